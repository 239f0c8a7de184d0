"""Batch normalisation: ``textbook.batch_norm_forward`` and ``batch_norm_backward``, in all threads and few passes over memory.

With given statistics it is ``reference.running_norm_forward`` and ``running_norm_backward``. Inputs (N, C) and (N, C, H, W) are
rows of channels here, x[p, c] for pixel or sample p (see ``layout``), and the innermost loop is over c. One pass over memory
sums and one writes; the clip of a ReLU may be part of both. Each block of rows has sums of its own, in float64 also for float32
inputs, and these are added in order: results do not depend on the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..runtime.compilation import inlined, loop
from ..runtime.parallel import new_array, parallel_for, serial_if
from .elementwise import NO_CLIP, SERIAL_BELOW_ELEMENTS
from .layout import channel_rows, from_channel_rows

BLOCK_ROWS = 256  # that are summed by one thread
SHORT_ROW = 128  # a loop over fewer channels spends its time on beginning and ending


def batch_norm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float, clip: tuple[float, float] = NO_CLIP
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y, and the batch's mean and (biased) variance (C,) in float64. With ``clip``, y = min(max(norm(x), low), high).

    With d = x - x[0]:  mean = x[0] + average of d;  variance = average of d^2 - (average of d)^2. Both are summed in one pass,
    and as x[0] is one of the M values, hardly any digits cancel: (mean - x[0])^2 <= M * variance.

    Chan, Golub, LeVeque 1983, "Algorithms for Computing the Sample Variance", section 3 (shifted data).
    """
    rows, C = _rows(x), x.shape[1]
    first = rows[0, :C].astype(np.float64)
    d, d_squared = _sums(_deviations, C, rows, *_for_columns(rows, np.float64, first)) / (x.size // C)
    mean, variance = first + d, d_squared - d * d
    return _normalised(x, rows, gamma, beta, mean, variance, eps, clip), mean, variance


def batch_norm_backward(
    dy: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    eps: float,
    *,
    needs_dx: bool = True,
    y: np.ndarray | None = None,
    clip: tuple[float, float] = NO_CLIP,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """dx (None unless needed), dgamma, dbeta, for the statistics of the batch itself.

    Of a forward pass with a ``clip``, ``y`` is the result: dy passes only where y is strictly between low and high.
    """
    rows, count, number = _rows(x), x.size // x.shape[1], x.dtype.type
    upstream = _rows(dy), None if y is None else _rows(y), number(clip[0]), number(clip[1])
    total, product = _sums(_gradients, x.shape[1], rows, *upstream, *_for_columns(rows, np.float64, mean))
    inverse_std = 1 / np.sqrt(variance + eps)
    dx, dgamma, dbeta = None, (product * inverse_std).astype(gamma.dtype), total.astype(gamma.dtype)
    if needs_dx:
        dx, a = new_array(rows.shape, rows.dtype), gamma * inverse_std
        b, shift = -a * inverse_std * inverse_std * product / count, -a * total / count
        _over(len(rows), _combine, rows, *upstream, *_for_columns(rows, rows.dtype, mean, a, b, shift), dx)
        dx = from_channel_rows(dx, x.shape)
    return dx, dgamma, dbeta


def running_norm_forward(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    eps: float,
    clip: tuple[float, float] = NO_CLIP,
) -> np.ndarray:
    """y for a given mean and variance; ``clip`` as in `batch_norm_forward`."""
    return _normalised(x, _rows(x), gamma, beta, mean, variance, eps, clip)


def running_norm_backward(
    dy: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    eps: float,
    *,
    needs_dx: bool = True,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """dx (None unless needed), dgamma, dbeta, for a given mean and variance."""
    _, dgamma, dbeta = batch_norm_backward(dy, x, gamma, mean, variance.astype(np.float64), eps, needs_dx=False)
    return running_norm_dx(dy, gamma, variance, eps) if needs_dx else None, dgamma, dbeta


def running_norm_dx(dy: np.ndarray, gamma: np.ndarray, variance: np.ndarray, eps: float) -> np.ndarray:
    """dx = dy * gamma / std alone: all that the backward pass of a frozen layer needs, and x is not needed for it."""
    zero = np.zeros_like(gamma)
    return running_norm_forward(dy, gamma, zero, zero, variance, eps)


def _normalised(
    x: np.ndarray,
    rows: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    eps: float,
    clip: tuple[float, float],
) -> np.ndarray:
    """y in the shape of x, whose rows are given."""
    y, (low, high) = new_array(rows.shape, rows.dtype), map(x.dtype.type, clip)
    columns = _for_columns(rows, rows.dtype, mean, gamma / np.sqrt(variance + eps), beta)
    _over(len(rows), _scale, rows, *columns, low, high, y)
    return from_channel_rows(y, x.shape)


def _rows(x: np.ndarray) -> np.ndarray:
    """x as rows of channels; short ones are joined, 2, 4, 8, ... to a row, as far as that divides the number of pixels."""
    C = x.shape[1]
    joined = math.gcd(x.size // C, 1 << (SHORT_ROW // C).bit_length())
    return channel_rows(x).reshape(-1, joined * C)


def _for_columns(rows: np.ndarray, dtype: np.dtype | type, *arrays: np.ndarray) -> list[np.ndarray]:
    """A number for each column of the rows, from arrays (C,): where rows are joined, each channel has several columns."""
    return [np.resize(array, rows.shape[1]).astype(dtype, copy=False) for array in arrays]


def _over(n: int, loop: Callable, rows: np.ndarray, *others: object) -> None:
    """``loop(start, stop, rows, *others)`` on ranges that together make up range(n)."""
    with serial_if(rows.size < SERIAL_BELOW_ELEMENTS):
        parallel_for(n, lambda start, stop: loop(start, stop, rows, *others))


def _sums(loop: Callable, C: int, rows: np.ndarray, *others: object) -> np.ndarray:
    """The two sums (2, C) that the loop makes of each block of rows and column, over all rows and the columns of a channel."""
    sums = np.zeros((-(-len(rows) // BLOCK_ROWS), 2, rows.shape[1]))
    _over(len(sums), loop, rows, *others, sums)
    return sums.sum(axis=0).reshape(2, -1, C).sum(axis=1)


@inlined
def _rows_of_block(block, x):
    return range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, len(x)))


@inlined
def _passed(dy, y, low, high, p, c):
    """dy[p, c] where y[p, c] is strictly between low and high, else 0; without y, dy[p, c] everywhere."""
    passed = dy[p, c]
    if y is not None:
        zero = dy.dtype.type(0)
        passed = passed if y[p, c] > low else zero  # one choice after the other: that the vector unit can do
        passed = passed if y[p, c] < high else zero
    return passed


@loop
def _deviations(start, stop, x, shift, sums):
    """sums[block] = the block's sums of d and of d^2, with d = x - shift."""
    for block in range(start, stop):
        for p in _rows_of_block(block, x):
            for c in range(x.shape[1]):
                d = x[p, c] - shift[c]
                sums[block, 0, c] += d
                sums[block, 1, c] += d * d


@loop
def _gradients(start, stop, x, dy, y, low, high, mean, sums):
    """sums[block] = the block's sums of dy and of dy * (x - mean); dy as far as `_passed`."""
    for block in range(start, stop):
        for p in _rows_of_block(block, x):
            for c in range(x.shape[1]):
                passed = _passed(dy, y, low, high, p, c)
                sums[block, 0, c] += passed
                sums[block, 1, c] += passed * (x[p, c] - mean[c])


@loop
def _scale(start, stop, x, mean, scale, shift, low, high, y):
    """y = min(max((x - mean) * scale + shift, low), high), in the arrays' own dtype. A NaN fails both comparisons and stays."""
    for p in range(start, stop):
        for c in range(x.shape[1]):
            value = (x[p, c] - mean[c]) * scale[c] + shift[c]
            value = low if value < low else value
            y[p, c] = high if value > high else value


@loop
def _combine(start, stop, x, dy, y, low, high, mean, a, b, shift, dx):
    """dx = a * dy + b * (x - mean) + shift; dy as far as `_passed`."""
    for p in range(start, stop):
        for c in range(x.shape[1]):
            dx[p, c] = a[c] * _passed(dy, y, low, high, p, c) + (b[c] * (x[p, c] - mean[c]) + shift[c])
