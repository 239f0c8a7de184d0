"""Local response normalisation: ``reference.local_response_norm_forward`` and ``_backward``, in blocks and in all threads.

A thread takes a block of pixels and goes through all channels of it while it is in cache. The sum over each window of channels
is made anew: from one channel to the next, subtracting the channel that leaves the window would be cheaper, but one large value
(or NaN) would spoil the sums of all channels after it. Beside the input and the output, only some rows of a block are stored.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..runtime.compilation import loop
from ..runtime.parallel import new_array, parallel_for, serial_if
from .elementwise import SERIAL_BELOW_ELEMENTS

BLOCK_PIXELS = 256  # their rows of a window's channels stay in the first-level cache


def local_response_norm_forward(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """y (N, C, H, W), of x's dtype."""
    planes = _planes(x)
    y = new_array(planes.shape, planes.dtype)
    _over_blocks(_forward, planes, size, alpha, beta, k, y)
    return y.reshape(x.shape)


def local_response_norm_backward(dy: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """dx (N, C, H, W); the scales are computed again from x, which costs less than keeping them."""
    planes, upstream = _planes(x), _planes(dy)
    dx = np.empty_like(planes)
    _over_blocks(_backward, planes, size, alpha, beta, k, upstream, dx)
    return dx.reshape(x.shape)


def _planes(x: np.ndarray) -> np.ndarray:
    """(N, C, pixels) in memory order."""
    return np.ascontiguousarray(x).reshape(*x.shape[:2], x.shape[2] * x.shape[3])


def _over_blocks(loop: Callable, x: np.ndarray, size: int, alpha: float, beta: float, k: float, *arrays: np.ndarray) -> None:
    (N, C, pixels), number = x.shape, x.dtype.type
    half = min(size // 2, max(C - 1, 0))  # a window may be wider than there are channels
    blocks = -(-pixels // BLOCK_PIXELS)
    constants = blocks, half, number(alpha / size), number(beta), number(k)  # else float32 would be computed in float64

    def body(start: int, stop: int) -> None:
        loop(start, stop, x, *constants, *arrays)

    with serial_if(x.size < SERIAL_BELOW_ELEMENTS):
        parallel_for(N * blocks, body)


@loop
def _add_squares(row, total):
    for i in range(total.size):
        total[i] += row[i] * row[i]


@loop
def _scales(x, n, c, first, half, a, k, scale):
    """k + a * (sum of x^2 over the window of channel c), for the pixels of picture n from ``first`` on."""
    scale[:] = 0
    last = first + scale.size
    for other in range(max(c - half, 0), min(c + half + 1, x.shape[1])):
        _add_squares(x[n, other, first:last], scale)
    for i in range(scale.size):
        scale[i] = k + a * scale[i]


@loop
def _powers(scale, beta, power):
    """scale^-beta; for 3/4, which all published networks have, by two roots: several times faster."""
    if beta == 0.75:
        one = beta / beta  # in the dtype of the arrays
        for i in range(scale.size):
            root = np.sqrt(scale[i])
            power[i] = one / (root * np.sqrt(root))
    else:
        for i in range(scale.size):
            power[i] = scale[i] ** -beta


@loop
def _multiply(row, power, y):
    for i in range(y.size):
        y[i] = row[i] * power[i]


@loop
def _forward(start, stop, x, blocks, half, a, beta, k, y):
    C, pixels = x.shape[1:]
    scales, powers = np.empty(BLOCK_PIXELS, x.dtype), np.empty(BLOCK_PIXELS, x.dtype)
    for index in range(start, stop):
        n, first = index // blocks, index % blocks * BLOCK_PIXELS
        last = min(first + BLOCK_PIXELS, pixels)
        scale, power = scales[: last - first], powers[: last - first]
        for c in range(C):
            _scales(x, n, c, first, half, a, k, scale)
            _powers(scale, beta, power)
            _multiply(x[n, c, first:last], power, y[n, c, first:last])


@loop
def _direct_and_share(dy, x, scale, power, dx, share):
    """dx = dy / scale^beta, what comes through the numerator, and share = dy * y / scale, for what comes through the scales."""
    for i in range(dx.size):
        direct = dy[i] * power[i]
        dx[i] = direct
        share[i] = direct * x[i] / scale[i]


@loop
def _add(row, total):
    for i in range(total.size):
        total[i] += row[i]


@loop
def _take_away(x, total, factor, dx):
    for i in range(dx.size):
        dx[i] -= factor * x[i] * total[i]


@loop
def _backward(start, stop, x, blocks, half, a, beta, k, dy, dx):
    C, pixels = x.shape[1:]
    window = 2 * half + 1
    scales, powers, sums = np.empty(BLOCK_PIXELS, x.dtype), np.empty(BLOCK_PIXELS, x.dtype), np.empty(BLOCK_PIXELS, x.dtype)
    shares = np.empty((window, BLOCK_PIXELS), x.dtype)  # of the latest channels, as many as are in a window
    factor = (a + a) * beta
    for index in range(start, stop):
        n, first = index // blocks, index % blocks * BLOCK_PIXELS
        last = min(first + BLOCK_PIXELS, pixels)
        width = last - first
        scale, power, total = scales[:width], powers[:width], sums[:width]
        for ahead in range(C + half):  # dx of a channel can be finished when the last channel of its window is known
            if ahead < C:
                _scales(x, n, ahead, first, half, a, k, scale)
                _powers(scale, beta, power)
                here = slice(first, last)
                _direct_and_share(
                    dy[n, ahead, here], x[n, ahead, here], scale, power, dx[n, ahead, here], shares[ahead % window, :width]
                )
            c = ahead - half
            if c >= 0:
                total[:] = 0
                for other in range(max(c - half, 0), min(c + half + 1, C)):
                    _add(shares[other % window, :width], total)
                _take_away(x[n, c, first:last], total, factor, dx[n, c, first:last])
