"""Planes of channels, as arrays (N, C, H, W) have them, and the same numbers as vectors of channels: a transposition.

In NumPy, ``lanes = planes.reshape(channels, -1).T`` for a block of LANES channels. Added are padding, the phases of a stride,
blocks of fewer channels, and speed: blocks of numbers are transposed in registers. See ``vectors``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...runtime.compilation import loop
from .vectors import LANES, PIECE, transpose


class Planes(NamedTuple):
    """The offsets between the two layouts: where the numbers of LANES planes are, and where their vectors are.

    Attributes
    ----------
    rows : int64 (LANES,), fewer where there are fewer channels
        Where each of the planes begins.
    places : int64 (H*W,)
        Where the vector of each pixel begins.
    pitch : int
        From the first vector of a row to that of the next.
    """

    rows: np.ndarray
    places: np.ndarray
    pitch: int


def starts(channels: int, pixels: int) -> np.ndarray:
    """Where each of the first LANES planes of so many pixels begins, int64."""
    return np.arange(min(channels, LANES)) * pixels


@lru_cache(maxsize=256)
def planes(channels: int, pixels: int, places: int) -> tuple[np.ndarray, np.ndarray]:
    """``rows`` and ``places`` of `Planes` without padding."""
    return starts(channels, pixels), np.arange(places) * LANES


def in_lanes(numbers: np.ndarray) -> np.ndarray:
    """Pack numbers (C, taps) into vectors of channels: (blocks, taps * LANES), the channels of a tap side by side.

    Where C is no multiple of LANES, the last blocks overlap; where it is less, the other lanes are 0.
    """
    C, taps = numbers.shape
    lanes = np.zeros((-(-C // LANES), taps * LANES), numbers.dtype)
    pack(numbers.ravel(), C, *planes(C, taps, taps), lanes)
    return lanes


# ---- the same in Numba loops


@loop
def to_lanes(planes, rows, lanes, places):
    """lanes[places[k] + lane] = planes[rows[lane] + k]: pixel k of the lane's channel"""
    pixels = len(places)
    if len(rows) == LANES and pixels >= PIECE:
        for k in range(0, pixels - PIECE, PIECE):
            transpose(planes[k:], rows, lanes, places[k:])
        k = pixels - PIECE  # the last pieces overlap those before
        transpose(planes[k:], rows, lanes, places[k:])
    else:
        for lane in range(len(rows)):
            for k in range(pixels):
                lanes[places[k] + lane] = planes[rows[lane] + k]


@loop
def to_planes(lanes, places, planes, rows):
    """planes[rows[lane] + k] = lanes[places[k] + lane]"""
    pixels = len(places)
    if len(rows) == LANES and pixels >= LANES:
        for first in range(0, pixels, LANES):
            k = min(first, pixels - LANES)  # the last pixels overlap those before
            for lane in range(0, LANES, PIECE):
                transpose(lanes[lane:], places[k:], planes[k:], rows[lane:])
    else:
        for lane in range(len(rows)):
            for k in range(pixels):
                planes[rows[lane] + k] = lanes[places[k] + lane]


@loop
def blocks_of(C):
    """How many vectors it takes for so many channels."""
    return (C + LANES - 1) // LANES


@loop
def first_channel(block, C):
    """Of a block; where C is no multiple of LANES, the last block overlaps the one before."""
    return max(min(block * LANES, C - LANES), 0)


@loop
def pack(planes, C, rows, places, lanes):
    """The planes of C channels as vectors, lanes[block] (numbers,) for each block of channels."""
    for block in range(len(lanes)):
        to_lanes(planes[first_channel(block, C) * len(places) :], rows, lanes[block], places)
