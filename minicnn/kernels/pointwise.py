"""1x1 convolution with a stride of 1: a matrix product of the filters with each picture, which needs no columns and no copies.

y[n] (F, H*W) = w (F, C) x[n] (C, H*W),  dx[n] = w^T dy[n],  dw = sum over n of dy[n] x[n]^T
"""

from __future__ import annotations

import numpy as np

from . import conv_loops as loops
from .im2col import samples_together, side_by_side
from .threads import parallel_for, parallel_sum, threads_per_sample, workspace


def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, low: float, high: float, y: np.ndarray) -> None:
    """Fill y (N, F, H, W) with min(max(b + w * x, low), high); x (N, C, H, W) and w (F, C, 1, 1) contiguous."""
    _multiply(w.reshape(w.shape[:2]), x, y, b, low, high)


def backward_input(dy: np.ndarray, w: np.ndarray, dx: np.ndarray) -> None:
    """Fill dx (N, C, H, W)."""
    _multiply(w.reshape(w.shape[:2]).T, dy, dx, None, -np.inf, np.inf)


def _multiply(w: np.ndarray, x: np.ndarray, y: np.ndarray, b: np.ndarray | None, low: float, high: float) -> None:
    """y[n] = min(max(w x[n] + b, low), high). Threads that share a picture share the longer side of the product."""
    (N, C, H, W), F = x.shape, y.shape[1]
    x_flat, y_flat = x.reshape(N, C, H * W), y.reshape(N, F, H * W)
    longer = max(F, H * W)
    parts = min(threads_per_sample(N), longer)
    finishes = b is not None or low > -np.inf or high < np.inf
    bias = np.zeros(F, y.dtype) if b is None else b

    def body(start: int, stop: int) -> None:
        if parts == 1 and not finishes:
            np.matmul(w, x_flat[start:stop], out=y_flat[start:stop])
            return
        for piece in range(start, stop):
            n, part = divmod(piece, parts)
            some = slice(longer * part // parts, longer * (part + 1) // parts)
            filters, pixels = (some, slice(0, H * W)) if longer == F else (slice(0, F), some)
            np.matmul(w[filters], x_flat[n, :, pixels], out=y_flat[n, filters, pixels])
            if finishes:
                loops.finish(y_flat[n, filters], bias[filters], low, high, pixels.start, pixels.stop)

    parallel_for(N * parts, body, last=True)


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
