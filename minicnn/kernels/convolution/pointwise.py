"""1x1 convolution with a stride of 1: ``textbook.conv2d_forward`` and ``conv2d_backward`` without columns, and with threads.

The picture itself is the matrix that the filters are multiplied with:

y[n] (F, H*W) = w (F, C) x[n] (C, H*W),  dx[n] = w^T dy[n],  dw = sum over n of dy[n] x[n]^T

BLAS copies both factors before it multiplies, so that they lie as it needs them. Where a picture's product is small, that takes
a good part of the time; there, vectors of pixels (see ``simd.vectors``) are multiplied in loops of our own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...runtime.memory import workspace
from ...runtime.parallel import parallel_for, parallel_sum, threads_per_item
from ..simd.products import ROWS
from ..simd.vectors import LANES
from . import pointwise_loops
from .epilogue import finish
from .im2col import samples_together, side_by_side

SMALL = 7_000_000  # multiply-adds of a picture's product, up to which BLAS is slower


def prepare(
    x_shape: tuple[int, ...], w: np.ndarray, b: np.ndarray | None, clip: tuple[float, float]
) -> Callable[[np.ndarray, np.ndarray], None]:
    """A function that fills y (N, F, H, W) with min(max(b + w * x, low), high), of x (N, C, H, W), both contiguous.

    w (F, C, 1, 1). Threads that share a picture share the longer side of the product.
    """
    (N, C, H, W), F = x_shape, len(w)
    parts = min(threads_per_item(N), max(F, H * W))
    is_small = F * C * H * W <= SMALL and parts * ROWS <= F and parts * LANES <= H * W
    return (_prepare_small if is_small else _prepare)(x_shape, w.reshape(F, C), b, clip)


def backward_input(dy: np.ndarray, w: np.ndarray, dx: np.ndarray) -> None:
    """Fill dx (N, C, H, W)."""
    _prepare(dy.shape, w.reshape(w.shape[:2]).T, None, (-np.inf, np.inf))(dy, dx)


def _prepare(
    x_shape: tuple[int, ...], w: np.ndarray, b: np.ndarray | None, clip: tuple[float, float]
) -> Callable[[np.ndarray, np.ndarray], None]:
    """y[n] = min(max(w x[n] + b, low), high)"""
    (N, C, H, W), F, (low, high) = x_shape, len(w), clip
    pixels = H * W
    longer = max(F, pixels)
    parts = min(threads_per_item(N), longer)
    finishes = b is not None or low > -np.inf or high < np.inf
    bias = np.zeros(F, w.dtype) if b is None else b

    def run(x: np.ndarray, y: np.ndarray) -> None:
        x_flat, y_flat = x.reshape(N, C, pixels), y.reshape(N, F, pixels)

        def body(start: int, stop: int) -> None:
            if parts == 1 and not finishes:
                np.matmul(w, x_flat[start:stop], out=y_flat[start:stop])
                return
            for piece in range(start, stop):
                n, part = divmod(piece, parts)
                some = slice(longer * part // parts, longer * (part + 1) // parts)
                filters, places = (some, slice(0, pixels)) if longer == F else (slice(0, F), some)
                np.matmul(w[filters], x_flat[n, :, places], out=y_flat[n, filters, places])
                if finishes:
                    finish(y_flat[n, filters], bias[filters], low, high, places.start, places.stop)

        parallel_for(N * parts, body, deferrable=True)

    return run


def _prepare_small(
    x_shape: tuple[int, ...], w: np.ndarray, b: np.ndarray | None, clip: tuple[float, float]
) -> Callable[[np.ndarray, np.ndarray], None]:
    """The same with vectors of pixels."""
    (N, C, H, W), F, dtype, (low, high) = x_shape, len(w), w.dtype, clip
    parts, bias = threads_per_item(N), np.zeros(F, dtype) if b is None else b
    pixels = H * W
    n, part = np.indices((N, parts)).reshape(2, -1)
    begin, end = (max(F, pixels) * (part + i) // parts for i in range(2))
    nothing = np.zeros_like(n)
    ranges = (begin, end, nothing, nothing + pixels) if pixels < F else (nothing, nothing + F, begin, end)
    pieces = np.stack([n, *ranges], axis=1)

    def run(x: np.ndarray, y: np.ndarray) -> None:
        x_flat, y_flat = x.reshape(N, C, pixels), y.reshape(N, F, pixels)

        def body(start: int, stop: int) -> None:
            lanes = workspace("lanes x", (2, C * LANES), dtype)
            pointwise_loops.convolve(pieces[start:stop], x_flat, w, bias, low, high, lanes, y_flat)

        parallel_for(N * parts, body, deferrable=True)

    return run


def backward_weights(dy: np.ndarray, x: np.ndarray, dw: np.ndarray) -> None:
    """Fill dw (F, C, 1, 1). Samples with few pixels are taken together until the product has a long inner dimension."""
    (N, C), F, pixels = x.shape[:2], dy.shape[1], x.shape[2] * x.shape[3]
    x_flat, dy_flat = x.reshape(N, C, pixels), dy.reshape(N, F, pixels)
    together = samples_together(N, pixels)

    def add(start: int, stop: int, total: np.ndarray) -> None:
        product = workspace("product", (F, C), x.dtype)
        for piece in range(start, stop):
            samples = slice(piece * together, (piece + 1) * together)
            np.matmul(side_by_side(dy_flat[samples], "dy"), side_by_side(x_flat[samples], "columns").T, out=product)
            total += product

    dw.reshape(F, C)[:] = parallel_sum(-(-N // together), add, (F, C), x.dtype)
