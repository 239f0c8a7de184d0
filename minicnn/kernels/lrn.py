"""Local response normalisation: ``reference.local_response_norm_forward`` and ``_backward``, in all threads.

A pixel is a row of channels (see ``layout``), beside each other as in the equation, and stays in the first-level cache. The sum
over each window of channels is made anew: from one channel to the next, subtracting the channel that leaves the window would be
cheaper, but one large value (or NaN) would spoil the sums of all channels after it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..runtime.compilation import inlined, loop
from ..runtime.parallel import new_array, parallel_for, serial_if
from .elementwise import SERIAL_BELOW_ELEMENTS
from .layout import channel_rows, from_channel_rows


def local_response_norm_forward(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """y (N, C, H, W), of x's dtype."""
    return _over_rows(_forward, x, size, alpha, beta, k)


def local_response_norm_backward(dy: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """dx (N, C, H, W); the scales are computed again from x, which costs less than keeping them."""
    return _over_rows(_backward, x, size, alpha, beta, k, channel_rows(dy))


def _over_rows(
    loop: Callable, x: np.ndarray, size: int, alpha: float, beta: float, k: float, *others: np.ndarray
) -> np.ndarray:
    """What the loop makes of each pixel, in the shape of x."""
    rows, number = channel_rows(x), x.dtype.type
    result = new_array(rows.shape, rows.dtype)
    half = min(size // 2, max(rows.shape[1] - 1, 0))  # a window may be wider than there are channels
    constants = half, number(alpha / size), number(beta), number(k)  # else float32 would be computed in float64
    with serial_if(x.size < SERIAL_BELOW_ELEMENTS):
        parallel_for(len(rows), lambda start, stop: loop(start, stop, rows, *constants, *others, result))
    return from_channel_rows(result, x.shape)


@inlined
def _window_sums(padded, sums):
    """sums[c] = padded[c] + padded[c + 1] + ..., as many as padded is longer than sums, and one."""
    sums[:] = 0
    for m in range(padded.size - sums.size + 1):
        for c in range(sums.size):
            sums[c] += padded[c + m]


@inlined
def _scales_and_powers(row, half, a, beta, k, squares, scale, power):
    """scale = k + a * (sum of x^2 over each channel's window), and power = scale^-beta. Around the squares are half zeros.

    For a beta of 3/4, which all published networks have, the power is made of two roots: several times faster.
    """
    for c in range(row.size):
        squares[half + c] = row[c] * row[c]
    _window_sums(squares, scale)
    for c in range(row.size):
        scale[c] = k + a * scale[c]
    if beta == 0.75:
        one = beta / beta  # in the dtype of the arrays
        for c in range(row.size):
            root = np.sqrt(scale[c])
            power[c] = one / (root * np.sqrt(root))
    else:
        for c in range(row.size):
            power[c] = scale[c] ** -beta


@loop
def _forward(start, stop, x, half, a, beta, k, y):
    C = x.shape[1]
    squares, scale, power = np.zeros(C + 2 * half, x.dtype), np.empty(C, x.dtype), np.empty(C, x.dtype)
    for p in range(start, stop):
        _scales_and_powers(x[p], half, a, beta, k, squares, scale, power)
        for c in range(C):
            y[p, c] = x[p, c] * power[c]


@loop
def _backward(start, stop, x, half, a, beta, k, dy, dx):
    """dx = dy / scale^beta, what comes through the numerator, less what comes through the scales of the channels around it."""
    C, factor = x.shape[1], (a + a) * beta
    squares, scale, power = np.zeros(C + 2 * half, x.dtype), np.empty(C, x.dtype), np.empty(C, x.dtype)
    shares, total = np.zeros(C + 2 * half, x.dtype), np.empty(C, x.dtype)
    for p in range(start, stop):
        _scales_and_powers(x[p], half, a, beta, k, squares, scale, power)
        for c in range(C):
            dx[p, c] = dy[p, c] * power[c]
            shares[half + c] = dx[p, c] * x[p, c] / scale[c]  # dy * y / scale
        _window_sums(shares, total)
        for c in range(C):
            dx[p, c] -= factor * x[p, c] * total[c]
