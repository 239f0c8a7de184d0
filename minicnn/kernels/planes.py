"""Planes of channels in the memory, and the same numbers as vectors of channels: see ``lanes``."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .lanes import LANES
from .lanes_loops import pack


class Planes(NamedTuple):
    """Where LANES planes stand in the memory, and where as a picture of vectors.

    Attributes
    ----------
    rows : int64 (LANES,), fewer where there are fewer channels
        Where each of the planes begins.
    places : int64 (H*W,)
        Where the vector of each pixel begins.
    pitch : int
        From one row of vectors to the next.
    """

    rows: np.ndarray
    places: np.ndarray
    pitch: int


def starts(channels: int, pixels: int) -> np.ndarray:
    """Where each of the first LANES planes of so many pixels begins, int64."""
    return np.arange(min(channels, LANES)) * pixels


@lru_cache(maxsize=256)
def planes(channels: int, pixels: int, places: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and places of `Planes` of which no pixel has padding."""
    return starts(channels, pixels), np.arange(places) * LANES


def in_lanes(numbers: np.ndarray) -> np.ndarray:
    """numbers (C, taps) by blocks of channels: (blocks, taps * LANES), the channels of a tap side by side.

    Where C is no multiple of LANES, the last blocks overlap; where it is less, the other lanes are 0.
    """
    C, taps = numbers.shape
    lanes = np.zeros((-(-C // LANES), taps * LANES), numbers.dtype)
    pack(numbers.ravel(), C, *planes(C, taps, taps), lanes)
    return lanes
