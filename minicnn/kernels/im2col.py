"""Convolution as matrix products: each window of the picture becomes a column, each filter a row, and BLAS does the rest.

With the windows of a picture as the columns of a matrix ("im2col"), the sum over c, p, q in the definition
(``reference.conv2d_forward``) is the inner sum of a matrix product:

y (F, OH*OW) = w (F, C*KH*KW) columns (C*KH*KW, OH*OW)
dcolumns = w^T dy,  dw = dy columns^T

A column matrix is KH*KW times as large as the picture, so it is never made for a whole batch: a block of output rows at a
time goes through a workspace that stays in the core's cache. A 1x1 convolution with stride 1 needs none, the picture is its
own column matrix. Depthwise convolutions, one filter for each channel, are no matrix product and live in ``depthwise``.

Source: Chellapilla, Puri, Simard 2006, "High Performance Convolutional Neural Networks for Document Processing", section 3.
"""

from __future__ import annotations

import math

import numpy as np

from . import conv_loops as loops
from . import depthwise
from .threads import free_threads, parallel_for, workspace
from .windows import Windows

COLUMNS = 1 << 18  # elements of a column workspace: 1 MB in float32, about what a core's second-level cache holds
LONG = 512  # inner dimension of a weight gradient's product from which BLAS is near its best


def conv2d_forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
    clamp: tuple[float, float] | None = None,
) -> np.ndarray:
    """y = clamp(b + w * x), see ``reference.conv2d_forward`` for the equation.

    Parameters
    ----------
    x, w, b, stride, pads, dilation, groups : as in ``reference.conv2d_forward``; x of any strides
    clamp : (low, high), optional
        Limits put on y in the same pass that adds the bias: (0, 6) is a ReLU6 and (0, inf) a ReLU. NaN stays NaN.

    Returns
    -------
    y : (N, F, OH, OW), of x's dtype
    """
    x, windows = np.ascontiguousarray(x), Windows(w.shape[2:], stride, pads, dilation)
    (N, C, H, W), F = x.shape, w.shape[0]
    OH, OW = windows.count(H, W)
    y = np.empty((N, F, OH, OW), x.dtype)
    bias = np.zeros(F, x.dtype) if b is None else b
    low, high = np.array((-math.inf, math.inf) if clamp is None else clamp, x.dtype)
    if groups == C == F:
        depthwise.forward(x, w, bias, windows, low, high, y)
        return y
    filters, y_flat = w.reshape(groups, F // groups, -1), y.reshape(N, F, OH * OW)
    pieces = _row_blocks(N, OH, _rows_at_once(N, C, OH, OW, windows))

    def body(start: int, stop: int) -> None:
        for n, top, bottom in pieces[start:stop]:
            columns = _columns(x, n, n + 1, top, bottom, OW, windows).reshape(groups, filters.shape[2], -1)
            np.matmul(filters, columns, out=y_flat[n, :, top * OW : bottom * OW].reshape(groups, F // groups, -1))
            if b is not None or clamp is not None:
                loops.finish(y_flat, n, top * OW, bottom * OW, bias, low, high)

    parallel_for(len(pieces), body)
    return y


def conv2d_dx(
    dy: np.ndarray,
    w: np.ndarray,
    picture: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """dL/dx (N, C, H, W) from dy = dL/dy (N, F, OH, OW): w^T dy is each window's share, and where windows overlap they add up.

    ``picture`` is (H, W) of the input: with a stride it cannot be told from dy's shape.
    """
    dy, windows = np.ascontiguousarray(dy), Windows(w.shape[2:], stride, pads, dilation)
    (N, F, OH, OW), (H, W), channels = dy.shape, picture, w.shape[1]
    dx = np.empty((N, groups * channels, H, W), dy.dtype)
    if channels == 1 and groups == F:
        depthwise.backward_input(dy, w, windows, dx)
        return dx
    taps, dy_flat = w.shape[2] * w.shape[3], dy.reshape(N, F, OH * OW)
    filters = w.reshape(groups, F // groups, channels * taps)
    rows = OH if windows.is_pointwise else _rows_of_columns(channels * taps, OH, OW)
    parts = min(channels, -(-free_threads() // max(N * groups, 1)))  # a small batch keeps all threads busy by channels
    pieces = [
        (n, g, channels * part // parts, channels * (part + 1) // parts)
        for n in range(N)
        for g in range(groups)
        for part in range(parts)
    ]

    def body(start: int, stop: int) -> None:
        for n, g, first, last in pieces[start:stop]:
            dy_group = dy_flat[n, g * (F // groups) : (g + 1) * (F // groups)]
            target = dx[n, g * channels + first : g * channels + last]
            filters_transposed = filters[g, :, first * taps : last * taps].T
            if windows.is_pointwise:
                np.matmul(filters_transposed, dy_group, out=target.reshape(last - first, H * W))
                continue
            target[:] = 0
            for top in range(0, OH, rows):
                bottom = min(top + rows, OH)
                columns = workspace("columns", ((last - first) * taps, (bottom - top) * OW), dy.dtype)
                np.matmul(filters_transposed, dy_group[:, top * OW : bottom * OW], out=columns)
                loops.col2im(
                    columns.reshape(-1, bottom - top, OW), target, top, *windows.kernel, *stride, *windows.origin, *dilation
                )

    parallel_for(len(pieces), body)
    return dx


def conv2d_dw(
    dy: np.ndarray,
    x: np.ndarray,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """dL/dw (F, C / groups, KH, KW) from dy = dL/dy (N, F, OH, OW): dw = sum over blocks of windows of dy columns^T.

    Samples with few windows are taken together until the product has a long inner dimension. Each thread adds up its own
    blocks, and the threads' sums are added in order, so that the result repeats to the bit for a given number of threads.
    """
    dy, x, windows = np.ascontiguousarray(dy), np.ascontiguousarray(x), Windows(kernel, stride, pads, dilation)
    (N, F, OH, OW), C = dy.shape, x.shape[1]
    dw = np.empty((F, C // groups, *kernel), x.dtype)
    if groups == C == F:
        depthwise.backward_weights(dy, x, windows, dw)
        return dw
    shape = (groups, F // groups, C // groups * kernel[0] * kernel[1])
    rows = _rows_at_once(N, C, OH, OW, windows)
    together = max(min(-(-LONG // (OH * OW)), -(-N // free_threads())), 1) if rows == OH else 1
    pieces = [(n, min(n + together, N), top, min(top + rows, OH)) for n in range(0, N, together) for top in range(0, OH, rows)]
    sums: dict[int, np.ndarray] = {}

    def body(start: int, stop: int) -> None:
        total, product = np.zeros(shape, x.dtype), workspace("product", shape, x.dtype)
        for first, last, top, bottom in pieces[start:stop]:
            columns = _columns(x, first, last, top, bottom, OW, windows).reshape(groups, shape[2], -1)
            dy_block = dy[first:last, :, top:bottom]
            if last - first > 1:
                gathered = workspace("dy", (F, last - first, bottom - top, OW), x.dtype)
                gathered[:] = dy_block.transpose(1, 0, 2, 3)
                dy_block = gathered
            np.matmul(dy_block.reshape(groups, F // groups, -1), columns.transpose(0, 2, 1), out=product)
            total += product
        sums[start] = total

    parallel_for(len(pieces), body)
    dw.reshape(shape)[:] = sum(sums[start] for start in sorted(sums))
    return dw


def conv2d_db(dy: np.ndarray) -> np.ndarray:
    """dL/db (F,): each y holds b once, so db is the sum of dy (N, F, OH, OW) over samples and positions."""
    db = np.empty(dy.shape[1], dy.dtype)

    def body(start: int, stop: int) -> None:
        np.sum(dy[:, start:stop], axis=(0, 2, 3), out=db[start:stop])

    parallel_for(len(db), body)
    return db


# ---- blocks of windows


def _rows_of_columns(height: int, OH: int, OW: int) -> int:
    """How many output rows of windows, ``height`` elements each, fit into the workspace."""
    return min(max(COLUMNS // (height * OW), 1), OH)


def _rows_at_once(N: int, C: int, OH: int, OW: int, windows: Windows) -> int:
    """Output rows in a block: what fits into the workspace, and few enough to keep all threads busy when N is small."""
    fair = -(-OH // -(-free_threads() // max(N, 1)))
    return fair if windows.is_pointwise else min(fair, _rows_of_columns(C * windows.kernel[0] * windows.kernel[1], OH, OW))


def _row_blocks(N: int, OH: int, rows: int) -> list[tuple[int, int, int]]:
    """(n, top, bottom) of all blocks of at most ``rows`` output rows."""
    return [(n, top, min(top + rows, OH)) for n in range(N) for top in range(0, OH, rows)]


def _columns(x: np.ndarray, first: int, last: int, top: int, bottom: int, OW: int, windows: Windows) -> np.ndarray:
    """The windows of samples first..last, output rows top..bottom, as (C*KH*KW, samples, rows, OW)."""
    (KH, KW), C = windows.kernel, x.shape[1]
    if windows.is_pointwise and last - first == 1:
        return x[first, :, top:bottom].reshape(C, 1, bottom - top, OW)
    columns = workspace("columns", (C * KH * KW, last - first, bottom - top, OW), x.dtype)
    if windows.is_pointwise:
        columns[:] = x[first:last, :, top:bottom].transpose(1, 0, 2, 3)
        return columns
    loops.im2col(x[first:last], columns, top, KH, KW, *windows.stride, *windows.origin, *windows.dilation)
    return columns
