"""Batch normalisation: ``textbook.batch_norm_forward`` and ``batch_norm_backward``, in all threads and few passes over memory.

With given statistics it is ``reference.running_norm_forward`` and ``running_norm_backward``. There are two sweeps over each
channel, one that sums and one that writes, the second while the channel is still in cache; the clip of a ReLU may be part of
the second. Sums are kept in float64, also for float32 inputs. Inputs are (N, C) or (N, C, H, W); threads take whole channels
(or, with given statistics, whole planes).
"""

from __future__ import annotations

import numpy as np

from ..runtime.compilation import loop, sum_loop
from ..runtime.parallel import parallel_for
from .elementwise import NO_CLIP
from .simd.vectors import LANES, prefetch

PREFETCH_UP_TO_PIXELS = 256  # of a plane; of longer ones, the processor itself prefetches most


def batch_norm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float, clip: tuple[float, float] = NO_CLIP
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y, and the batch's mean and (biased) variance (C,) in float64. With ``clip``, y = min(max(norm(x), low), high)."""
    planes = _planes(x)
    C = planes.shape[1]
    y, mean, variance = np.empty_like(planes), np.empty(C), np.empty(C)
    low, high = map(x.dtype.type, clip)
    parallel_for(C, lambda start, stop: _forward(start, stop, planes, gamma, beta, eps, mean, variance, low, high, y))
    return _like(x, y), mean, variance


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
    planes, upstream = _planes(x), _planes(dy)
    dx = np.empty_like(planes if needs_dx or y is not None else planes[:0])
    dgamma, dbeta = np.empty_like(gamma), np.empty_like(gamma)
    is_clipped, y_planes, (low, high) = y is not None, (planes if y is None else _planes(y)), map(x.dtype.type, clip)
    clipping, statistics, results = (is_clipped, y_planes, low, high), (mean, variance, eps), (dx, dgamma, dbeta)

    def body(start: int, stop: int) -> None:
        _backward(start, stop, upstream, planes, *clipping, gamma, *statistics, needs_dx, *results)

    parallel_for(planes.shape[1], body)
    return _like(x, dx) if needs_dx else None, dgamma, dbeta


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
    planes = _planes(x)
    y = np.empty_like(planes)
    scale = gamma / np.sqrt(variance + eps).astype(x.dtype, copy=False)
    mean = mean.astype(x.dtype, copy=False)
    N, C, _ = planes.shape
    low, high = map(x.dtype.type, clip)
    parallel_for(N * C, lambda start, stop: _scale_planes(start, stop, planes, mean, scale, beta, low, high, y))
    return _like(x, y)


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
    planes, upstream = _planes(x), _planes(dy)
    dgamma, dbeta = np.empty_like(gamma), np.empty_like(gamma)
    mean = mean.astype(np.float64, copy=False)

    def body(start: int, stop: int) -> None:
        _parameter_gradients(start, stop, upstream, planes, mean, variance, eps, dgamma, dbeta)

    parallel_for(planes.shape[1], body)
    return running_norm_dx(dy, gamma, variance, eps) if needs_dx else None, dgamma, dbeta


def running_norm_dx(dy: np.ndarray, gamma: np.ndarray, variance: np.ndarray, eps: float) -> np.ndarray:
    """dx = dy * gamma / std alone: all that the backward pass of a frozen layer needs, and x is not needed for it."""
    zero = np.zeros_like(gamma)
    return running_norm_forward(dy, gamma, zero, zero, variance, eps)


def _planes(x: np.ndarray) -> np.ndarray:
    """x (N, C, H, W) as (N, C, pixels) in memory order, and x (N, C) as (1, C, N): a channel's values must lie side by side."""
    if x.ndim == 2:
        return np.ascontiguousarray(x.T)[None]
    return np.ascontiguousarray(x).reshape(*x.shape[:2], x.shape[2] * x.shape[3])


def _like(x: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """The inverse of `_planes`: planes in the shape of x."""
    return np.ascontiguousarray(planes[0].T) if x.ndim == 2 else planes.reshape(x.shape)


@sum_loop
def _mean_and_variance(x, c):
    """Of channel c, from the mean and the sum of squared deviations of each plane: one sweep over memory, and no cancellation.

    Chan, Golub, LeVeque 1983, "Algorithms for Computing the Sample Variance", equation 2.1 (joining two samples).
    """
    count, mean, squares = 0, 0.0, 0.0
    for n in range(x.shape[0]):
        plane = x[n, c]
        total = np.float64(0)
        for i in range(plane.size):
            total += plane[i]
        plane_mean = total / plane.size
        plane_squares = np.float64(0)
        for i in range(plane.size):
            deviation = plane[i] - plane_mean
            plane_squares += deviation * deviation
        apart = plane_mean - mean
        joined = count + plane.size
        mean += apart * plane.size / joined
        squares += plane_squares + apart * apart * count * plane.size / joined
        count = joined
    return mean, squares / count


@sum_loop
def _sums(dy, x, c, mean):
    """Over channel c: of dy, and of dy * (x - mean)."""
    total, product = np.float64(0), np.float64(0)
    for n in range(x.shape[0]):
        upstream, plane = dy[n, c], x[n, c]
        for i in range(plane.size):
            total += upstream[i]
            product += upstream[i] * (plane[i] - mean)
    return total, product


@loop
def _scale(x, mean, scale, shift, low, high, y):
    """y = min(max((x - mean) * scale + shift, low), high), in the arrays' own dtype. A NaN fails both comparisons and stays."""
    for i in range(x.size):
        value = (x[i] - mean) * scale + shift
        value = low if value < low else value
        y[i] = high if value > high else value


@loop
def _combine(dy, x, mean, a, b, shift, dx):
    """dx = a * dy + b * (x - mean) + shift"""
    for i in range(x.size):
        dx[i] = a * dy[i] + (b * (x[i] - mean) + shift)


@loop
def _ask_for(x, y, z, c):
    """Prefetch the planes of channel c, which are soon to be read, or written.

    There is one in each sample. They lie far apart, and where they are short, waiting for the first numbers of each takes
    longer than the arithmetic.
    """
    N, C, pixels = x.shape
    if pixels <= PREFETCH_UP_TO_PIXELS and c < C:
        for n in range(N):
            for at in range((n * C + c) * pixels, (n * C + c + 1) * pixels, LANES):
                prefetch(x, at)
                prefetch(y, at)
                prefetch(z, at)


@loop
def _forward(start, stop, x, gamma, beta, eps, mean, variance, low, high, y):
    number = x.dtype.type  # float32 arithmetic for float32 arrays: twice as many at a time
    for c in range(start, stop):
        _ask_for(x, y, y, c + 1)  # y twice does no harm, and one function for both passes is compiled once
        mean[c], variance[c] = _mean_and_variance(x, c)
        scale = gamma[c] / np.sqrt(variance[c] + eps)
        for n in range(x.shape[0]):
            _scale(x[n, c], number(mean[c]), number(scale), beta[c], low, high, y[n, c])


@loop
def _pass_between(dy, y, low, high, dx):
    """dx = dy where y is strictly between low and high, else 0."""
    zero = dx.dtype.type(0)
    for i in range(dy.size):
        dx[i] = dy[i] if y[i] > low and y[i] < high else zero


@loop
def _combine_in_place(x, mean, a, b, shift, dx):
    """dx = a * dx + b * (x - mean) + shift"""
    for i in range(x.size):
        dx[i] = a * dx[i] + (b * (x[i] - mean) + shift)


@loop
def _backward(start, stop, dy, x, between, y, low, high, gamma, mean, variance, eps, needs_dx, dx, dgamma, dbeta):
    """If ``between``, dy counts only where y is strictly between low and high (dx holds it at first); else y is not read."""
    number = x.dtype.type
    count = x.shape[0] * x.shape[2]
    for c in range(start, stop):
        _ask_for(x, dy, dx, c + 1)
        if between:
            for n in range(x.shape[0]):
                _pass_between(dy[n, c], y[n, c], low, high, dx[n, c])
        total, product = _sums(dx if between else dy, x, c, mean[c])
        inverse_std = 1 / np.sqrt(variance[c] + eps)
        dgamma[c], dbeta[c] = product * inverse_std, total
        if needs_dx:
            a = gamma[c] * inverse_std
            b, shift = -a * inverse_std * inverse_std * product / count, -a * total / count
            how = number(mean[c]), number(a), number(b), number(shift)
            for n in range(x.shape[0]):
                if between:
                    _combine_in_place(x[n, c], *how, dx[n, c])
                else:
                    _combine(dy[n, c], x[n, c], *how, dx[n, c])


@loop
def _parameter_gradients(start, stop, dy, x, mean, variance, eps, dgamma, dbeta):
    for c in range(start, stop):
        dbeta[c], product = _sums(dy, x, c, mean[c])
        dgamma[c] = product / np.sqrt(variance[c] + eps)


@loop
def _scale_planes(start, stop, x, mean, scale, shift, low, high, y):
    C = x.shape[1]
    for plane in range(start, stop):
        n, c = plane // C, plane % C
        _scale(x[n, c], mean[c], scale[c], shift[c], low, high, y[n, c])
