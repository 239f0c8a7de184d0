"""The rows of pixels that a part of a convolution reads: where they lie or, at the borders, in a copy with zeros around it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...runtime.compilation import loop
from ...runtime.memory import workspace
from .phases import Phase


class Source(NamedTuple):
    """What the outputs of a phase read.

    Attributes
    ----------
    is_padded : bool
        Whether any of them reads what is not there; then rows are copied, with zeros around them.
    row, column : int
        The first that is read, of the picture; 0 without padding.
    height, columns : int
        Of the picture, or the columns of the copy.
    row_step, reach : int
        Rows between those that neighbouring outputs begin with, and how many one output reads.
    """

    is_padded: bool
    row: int
    column: int
    height: int
    columns: int
    row_step: int
    reach: int

    def rows_under(self, rows: int) -> int:
        """How many rows are read by so many rows of outputs."""
        return (rows - 1) * self.row_step + self.reach

    @property
    def window(self) -> tuple[int, int, int, int, int, int]:
        """What loops want to know of it: ``is_padded``, ``row_step``, ``reach``, ``row``, ``column``, ``columns``."""
        return int(self.is_padded), self.row_step, self.reach, self.row, self.column, self.columns

    def pitch(self, rows: int) -> int:
        """From a sample to the next, in rows, where so many rows of outputs are computed."""
        return self.rows_under(rows) if self.is_padded else self.height

    def place(self, offsets: np.ndarray) -> np.ndarray:
        """The pixel, counted from the first of `read`, at each of the (row, column) offsets of taps."""
        return (offsets[:, 0] - self.row) * self.columns + offsets[:, 1] - self.column

    def room(self, samples: int, rows: int, x: np.ndarray) -> np.ndarray:
        """A workspace for what so many rows of outputs read of some samples, flat; empty where no copy of it is needed."""
        size = samples * self.rows_under(rows) * self.columns * x.shape[3]
        return workspace("padded", (size if self.is_padded else 0,), x.dtype)

    def read(self, x: np.ndarray, n: int, samples: int, row: int, rows: int) -> np.ndarray:
        """`read_window`, in a workspace."""
        return read_window(x, n, samples, row, rows, self.window, self.room(samples, rows, x))


@lru_cache(maxsize=1024)
def source_of(phase: Phase, input_size: tuple[int, int]) -> Source:
    """What a phase reads of a picture (H, W)."""
    (H, W), rows, columns = input_size, *zip(*phase.offsets, strict=True)
    (sh, sw), (OH, OW), (row, column) = phase.stride, phase.count, (min(rows), min(columns))
    last_row, last_column = (OH - 1) * sh + max(rows), (OW - 1) * sw + max(columns)
    if row >= 0 and column >= 0 and last_row < H and last_column < W:
        return Source(False, 0, 0, H, W, sh, max(rows) + 1)
    return Source(True, row, column, H, last_column - column + 1, sh, max(rows) - row + 1)


@loop
def pad_rows(x, first_row, first_column, padded):
    """padded[n, i, j, c] = x[n, first_row + i, first_column + j, c], and 0 outside of x; both (N, rows, columns, C)."""
    samples, rows, columns, C = padded.shape
    H, W = x.shape[1:3]
    begin = min(max(-first_column, 0), columns) * C  # of what lies in x, along a row
    end = max(min(W - first_column, columns) * C, begin)
    for n in range(samples):
        for i in range(rows):
            row, target = first_row + i, padded[n, i].ravel()
            if row < 0 or row >= H:
                target[:] = 0
                continue
            target[:begin] = 0
            source, inside = x[n, row].ravel()[begin + first_column * C :], target[begin:]
            for k in range(end - begin):
                inside[k] = source[k]
            target[end:] = 0


@loop
def read_window(x, n, samples, row, rows, window, room):
    """The pixels of x (N, H, W, C), flat, that ``rows`` rows of outputs read of some samples, from ``row`` and sample ``n`` on.

    ``window`` is `Source.window`. Where zeros are needed around them, they are copied to ``room``.
    """
    is_padded, row_step, reach, first_row, first_column, columns = window
    (_, H, W, C), height = x.shape, (rows - 1) * row_step + reach
    if not is_padded:
        return x.ravel()[(n * H + row * row_step) * W * C :]
    copy = room[: samples * height * columns * C]
    pad_rows(x[n : n + samples], row * row_step + first_row, first_column, copy.reshape((samples, height, columns, C)))
    return copy
