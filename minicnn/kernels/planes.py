"""Planes of channels in the memory, and the same numbers as vectors of channels: see ``lanes``."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .lanes import LANES


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
    """numbers (C, taps) by blocks of channels: (blocks, taps * LANES), the channels of a tap side by side."""
    C, taps = numbers.shape
    first = np.maximum(np.minimum(np.arange(0, C, LANES), C - LANES), 0)  # where C is no multiple, the last ones overlap
    lanes = np.zeros((len(first), taps, LANES), numbers.dtype)
    for block, channel in zip(lanes, first, strict=True):
        some = numbers[channel : channel + LANES].T
        block[:, : some.shape[1]] = some
    return lanes.reshape(len(first), taps * LANES)
