"""The order of maps in memory: channels last. To a reader arrays are (N, C, H, W); fast kernels see the same as (N, H, W, C).

All channels of a pixel then lie side by side, as many as a vector holds are read at once, and neighbouring pixels are whole
vectors apart. What a fast kernel returns is a view of such memory with the axes in the usual order; what it is given may lie in
any order, and is copied if it does not lie in this one, in a parallel loop: where loops are recorded, it is copied again.
``reference`` and ``textbook`` do not care.

>>> x = np.zeros((8, 3, 32, 32), np.float32)
>>> channels_last(x).shape, channels_last(x).flags.c_contiguous
((8, 32, 32, 3), True)
>>> y = channels_first(channels_last(x))
>>> y.shape, y.flags.c_contiguous, np.shares_memory(channels_last(y), y)
((8, 3, 32, 32), False, True)
"""

from __future__ import annotations

import math

import numpy as np

from ..runtime.compilation import loop
from ..runtime.parallel import new_array, parallel_for
from .simd.vectors import PIECE, VECTOR_WIDTH, first_of_vector, transpose, vectors_of

PIXELS_AT_ONCE = 16  # a line of the cache of float32


def channels_last(x: np.ndarray) -> np.ndarray:
    """x (N, C, H, W) as a contiguous array (N, H, W, C): a view if x's memory has that order, else a copy."""
    x = x.transpose(0, 2, 3, 1)
    if x.flags.c_contiguous:
        return x
    copy, (N, H, W, C) = new_array(x.shape, x.dtype), x.shape
    if x.transpose(0, 3, 1, 2).flags.c_contiguous and C >= VECTOR_WIDTH and W >= PIECE:
        planes, pixels = x.transpose(0, 3, 1, 2).reshape(-1), copy.reshape(-1)
        parallel_for(N * H, lambda start, stop: _turn_rows(start, stop, planes, H, W, C, pixels))
    else:
        parallel_for(N * H, lambda start, stop: _copy_rows(start, stop, x, copy))
    return copy


@loop
def _turn_rows(start, stop, x, H, W, C, y):
    """y[n, i, j, c] = x[n, c, i, j] for the rows (n, i) from ``start`` to ``stop`` - 1, both flat.

    Blocks of some pixels and a vector of channels are transposed in registers; the last ones overlap those before.
    """
    planes, pixels = np.arange(VECTOR_WIDTH) * (H * W), np.arange(W) * C
    for row in range(start, stop):
        n, i = row // H, row % H
        for v in range(vectors_of(C)):
            c = first_of_vector(v, C)
            for some in range(0, W, PIECE):
                j = min(some, W - PIECE)
                transpose(x, (n * C + c) * H * W + i * W + j, planes, y, row * W * C + c, pixels, j)


@loop
def _copy_rows(start, stop, x, y):
    """y[n, i, j, c] = x[n, i, j, c] for the rows (n, i) from ``start`` to ``stop`` - 1; x of any strides.

    Some pixels at a time, channel by channel: in x, the pixels of a channel mostly lie side by side.
    """
    _, H, W, C = x.shape
    for row in range(start, stop):
        source, target = x[row // H, row % H], y[row // H, row % H]
        for first in range(0, W, PIXELS_AT_ONCE):
            last = min(first + PIXELS_AT_ONCE, W)
            for c in range(C):
                for j in range(first, last):
                    target[j, c] = source[j, c]


def channels_first(x: np.ndarray) -> np.ndarray:
    """x (N, H, W, C) as a view (N, C, H, W) of the same memory."""
    return x.transpose(0, 3, 1, 2)


def is_channels_last(x: np.ndarray) -> bool:
    """Whether `channels_last` of x is a view. For maps of one channel or one pixel, the usual order is the same."""
    return x.ndim == 4 and x.transpose(0, 2, 3, 1).flags.c_contiguous


def contiguous(x: np.ndarray) -> np.ndarray:
    """x itself if its memory has the order of its axes, else a copy whose memory has."""
    if x.flags.c_contiguous:
        return x
    y = new_array(x.shape, x.dtype)

    def copy(start: int, stop: int) -> None:
        y[start:stop] = x[start:stop]

    parallel_for(len(x), copy)
    return y


def channel_rows(x: np.ndarray) -> np.ndarray:
    """x (N, C, H, W) as (N H W, C), and x (N, C) as it is: a row for each pixel or sample, contiguous, with all its channels.

    >>> x = np.arange(8.0).reshape(1, 2, 2, 2)
    >>> channel_rows(x)
    array([[0., 4.],
           [1., 5.],
           [2., 6.],
           [3., 7.]])
    >>> np.array_equal(from_channel_rows(channel_rows(x), x.shape), x)
    True
    """
    rows = contiguous(x) if x.ndim == 2 else channels_last(x)
    return rows.reshape(math.prod(rows.shape[:-1]), rows.shape[-1])


def from_channel_rows(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `channel_rows`: a view of such rows in ``shape``, (N, C, H, W) or (N, C)."""
    N, C, *picture = shape
    return np.moveaxis(rows.reshape(N, *picture, C), -1, 1)
