"""Convolution as matrix products: ``textbook.conv2d_forward`` and ``conv2d_backward``, with blocks of columns and threads.

With the windows of a picture as the columns of a matrix ("im2col"), the sum over c, p, q in the definition
(``reference.conv2d_forward``) is the inner sum of a matrix product. For each sample and group, with F filters and C channels in
the group:

y (F, OH*OW) = w (F, C*KH*KW) columns (C*KH*KW, OH*OW)
dcolumns = w^T dy,  dw = dy columns^T

The products are BLAS's. A column matrix is KH*KW times as large as the picture, so it is never made for a whole batch, as the
textbook does: a block of output rows at a time goes through a workspace that stays in the core's cache, and each thread has a
block and a workspace of its own.

Source: Chellapilla, Puri, Simard 2006, "High Performance Convolutional Neural Networks for Document Processing", section 3.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...runtime.memory import workspace
from ...runtime.parallel import loop_threads, parallel_for, parallel_sum, threads_per_item, work_items
from ..geometry import ConvGeometry
from . import im2col_loops as loops
from .epilogue import finish

COLUMNS = 1 << 18  # elements of a column workspace: 1 MB in float32, about what a core's second-level cache holds
LONG = 512  # inner dimension of a weight gradient's product from which BLAS is near its best


def prepare(
    x_shape: tuple[int, ...],
    y_shape: tuple[int, ...],
    w: np.ndarray,
    b: np.ndarray | None,
    geometry: ConvGeometry,
    groups: int,
    *,
    clip: tuple[float, float],
) -> Callable[[np.ndarray, np.ndarray], None]:
    """A function that fills y (N, F, OH, OW) with min(max(b + w * x, low), high), of x (N, C, H, W), both contiguous.

    w (F, C / groups, KH, KW).
    """
    (N, C), (F, OH, OW), (low, high) = x_shape[:2], y_shape[1:], clip
    filters = w.reshape(groups, F // groups, -1)
    by_filters = groups == 1 and OH * OW < F  # threads that share a picture share the longer side of the product
    parts = min(threads_per_item(N), F) if by_filters else 1
    rows = OH if by_filters else _rows_at_once(N, C, F // groups, OH, OW, geometry)
    pieces = [
        (*block, F * part // parts, F * (part + 1) // parts) for block in _row_blocks(N, OH, rows) for part in range(parts)
    ]
    finishes = b is not None or low > -np.inf or high < np.inf
    bias = np.zeros(F, w.dtype) if b is None else b

    def run(x: np.ndarray, y: np.ndarray) -> None:
        y_flat = y.reshape(N, F, OH * OW)

        def body(start: int, stop: int) -> None:
            for n, top, bottom, f, f_end in pieces[start:stop]:
                columns = _columns(x, n, n + 1, top, bottom, OW, geometry).reshape(groups, filters.shape[2], -1)
                some = filters[:, f:f_end] if parts > 1 else filters
                y_block = y_flat[n, f:f_end].reshape(groups, (f_end - f) // groups, -1)[:, :, top * OW : bottom * OW]
                np.matmul(some, columns, out=y_block)
                if finishes:
                    finish(y_flat[n, f:f_end], bias[f:f_end], low, high, top * OW, bottom * OW)

        parallel_for(len(pieces), body, deferrable=True)

    return run


def backward_input(dy: np.ndarray, w: np.ndarray, geometry: ConvGeometry, groups: int, dx: np.ndarray) -> None:
    """Fill dx (N, C, H, W): w^T dy is each window's share, and where windows overlap they add up."""
    (N, F, OH, OW), channels = dy.shape, w.shape[1]
    taps, dy_flat = w.shape[2] * w.shape[3], dy.reshape(N, F, OH * OW)
    filters = w.reshape(groups, F // groups, channels * taps)
    rows = _rows_of_columns(channels * taps, OH, OW)
    pieces = work_items(N, groups, channels)

    def body(start: int, stop: int) -> None:
        for n, g, first, last in pieces[start:stop]:
            dy_group = dy_flat[n, g * (F // groups) : (g + 1) * (F // groups)]
            target = dx[n, g * channels + first : g * channels + last]
            filters_transposed = filters[g, :, first * taps : last * taps].T
            target[:] = 0
            for top in range(0, OH, rows):
                bottom = min(top + rows, OH)
                columns = workspace("columns", ((last - first) * taps, (bottom - top) * OW), dy.dtype)
                np.matmul(filters_transposed, dy_group[:, top * OW : bottom * OW], out=columns)
                loops.col2im(columns.reshape(-1, bottom - top, OW), target, top, *geometry.flat)

    parallel_for(len(pieces), body)


def backward_weights(dy: np.ndarray, x: np.ndarray, geometry: ConvGeometry, groups: int, dw: np.ndarray) -> None:
    """Fill dw (F, C / groups, KH, KW) with the sum over blocks of windows of dy columns^T.

    Samples with few windows are taken together until the product has a long inner dimension.
    """
    (N, F, OH, OW), C = dy.shape, x.shape[1]
    shape = (groups, F // groups, C // groups * geometry.kernel[0] * geometry.kernel[1])
    rows = _rows_at_once(N, C, 1, OH, OW, geometry)
    together = samples_together(N, OH * OW) if rows == OH else 1
    pieces = [(n, min(n + together, N), top, min(top + rows, OH)) for n in range(0, N, together) for top in range(0, OH, rows)]

    def add(start: int, stop: int, total: np.ndarray) -> None:
        product = workspace("product", shape, x.dtype)
        for first, last, top, bottom in pieces[start:stop]:
            columns = _columns(x, first, last, top, bottom, OW, geometry).reshape(groups, shape[2], -1)
            dy_block = side_by_side(dy[first:last, :, top:bottom], "dy").reshape(groups, F // groups, -1)
            np.matmul(dy_block, columns.transpose(0, 2, 1), out=product)
            total += product

    dw.reshape(shape)[:] = parallel_sum(len(pieces), add, shape, x.dtype)


# ---- samples with few windows, or pixels, taken together


def samples_together(N: int, pixels: int) -> int:
    """How many samples make the inner dimension of a weight gradient's product long, with some left for each thread."""
    return max(min(-(-LONG // pixels), -(-N // loop_threads())), 1)


def side_by_side(samples: np.ndarray, use: str) -> np.ndarray:
    """(n, channels, ...) as (channels, n * ...): of one sample a view, of several a copy in the workspace ``use``."""
    if len(samples) > 1:
        gathered = workspace(use, (samples.shape[1], len(samples), *samples.shape[2:]), samples.dtype)
        gathered[:] = samples.swapaxes(0, 1)
        return gathered.reshape(len(gathered), -1)
    return samples[0].reshape(samples.shape[1], -1)


# ---- blocks of windows


def _rows_of_columns(height: int, OH: int, OW: int) -> int:
    """How many output rows of windows, ``height`` elements each, fit into the workspace."""
    return min(max(COLUMNS // (height * OW), 1), OH)


def _rows_at_once(N: int, C: int, F: int, OH: int, OW: int, geometry: ConvGeometry) -> int:
    """Output rows in a block: what fits into the workspace, and few enough to keep all threads busy when N is small.

    But at least as many windows as there are filters: BLAS packs both factors anew for each block.
    """
    fair = -(-OH // threads_per_item(N))
    return min(fair, max(_rows_of_columns(C * geometry.kernel[0] * geometry.kernel[1], OH, OW), F // OW))


def _row_blocks(N: int, OH: int, rows: int) -> list[tuple[int, int, int]]:
    """(n, top, bottom) of all blocks of at most ``rows`` output rows."""
    return [(n, top, min(top + rows, OH)) for n in range(N) for top in range(0, OH, rows)]


def _columns(x: np.ndarray, first: int, last: int, top: int, bottom: int, OW: int, geometry: ConvGeometry) -> np.ndarray:
    """The windows of samples first..last, output rows top..bottom, as (C*KH*KW, samples, rows, OW)."""
    (KH, KW), C = geometry.kernel, x.shape[1]
    columns = workspace("columns", (C * KH * KW, last - first, bottom - top, OW), x.dtype)
    loops.im2col(x[first:last], columns, top, *geometry.flat)
    return columns
