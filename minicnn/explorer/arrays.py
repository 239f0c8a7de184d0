"""The numbers of the page: arrays of a few types in one compressed stream of bytes, as text."""

from __future__ import annotations

import base64
import hashlib
import zlib

import numpy as np

HALF_FROM = 2  # axes: filters and matrices are stored in half precision; biases and statistics, which are few, in single
LARGEST_HALF = float(np.finfo(np.float16).max)


def stored_type(array: np.ndarray) -> np.dtype:
    """How an array of weights is stored: half precision for filters and matrices, unless their numbers are too large for it."""
    fits = array.ndim >= HALF_FROM and np.abs(array).max(initial=0) <= LARGEST_HALF
    return np.dtype(np.float16 if fits else np.float32)


class ArrayPack:
    """Arrays one after another. Equal ones are stored once.

    >>> pack = ArrayPack()
    >>> pack.add(np.zeros((2, 3), np.float32)), pack.add(np.ones(1, np.uint8)), pack.add(np.zeros((2, 3), np.float32))
    (0, 1, 0)
    >>> pack.entries[1]
    {'shape': [1], 'dtype': 'uint8', 'offset': 24, 'coding': ''}
    """

    def __init__(self) -> None:
        self.entries: list[dict] = []
        self._known: dict[bytes, int] = {}
        self._blocks: list[bytes] = []
        self.size = 0  # bytes, before compression

    def add(self, array: np.ndarray) -> int:
        """The number of the array: float16, float32 or uint8.

        Of halves first all low bytes, then all high ones, which are signs and exponents and take less space by themselves.
        """
        return self._add(np.ascontiguousarray(array), "byte-planes" if array.dtype == np.float16 else "")

    def add_pixels(self, pixels: np.ndarray) -> int:
        """The number of a picture, uint8 (H, W, C) or (H, W): each pixel as its difference, mod 256, from its left neighbour.

        The differences are mostly small, so that they take less space.
        """
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        differences = pixels.copy()
        differences[:, 1:] -= pixels[:, :-1]
        return self._add(differences, "horizontal-differences")

    def _add(self, array: np.ndarray, coding: str) -> int:
        entry = {"shape": list(array.shape), "dtype": array.dtype.name, "coding": coding}
        content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        if coding == "byte-planes":
            content = content[::2] + content[1::2]
        key = hashlib.sha256(repr(entry).encode() + content).digest()
        if key not in self._known:
            self._known[key] = len(self.entries)
            self.entries.append({"shape": entry["shape"], "dtype": entry["dtype"], "offset": self.size, "coding": coding})
            padding = bytes(-len(content) % 4)  # every array begins where a 32-bit number may
            self._blocks += [content, padding]
            self.size += len(content) + len(padding)
        return self._known[key]

    def as_text(self) -> str:
        """All bytes, compressed (zlib), in base64."""
        compressor = zlib.compressobj(6)
        parts = [compressor.compress(block) for block in self._blocks]
        return base64.b64encode(b"".join([*parts, compressor.flush()])).decode()
