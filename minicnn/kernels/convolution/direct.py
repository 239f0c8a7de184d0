"""Direct convolution: the sums of ``reference.conv2d_forward``, and of dw in its backward, with vectors, caching and threads.

y[n, f, i, j] = b[f] + sum over c, p, q of w[f, c, p, q] * x_padded[n, c0 + c, i*sh + p*dil_h, j*sw + q*dil_w]

where c0 is the first channel of f's group. For y, LANES filters are a vector (see ``simd.vectors``), and so are their numbers
k = (c, p, q). Each number of x that they meet is spread over a vector; the sums of ROWS neighbouring pixels of y for two
vectors of filters stay in registers until all k are added. Some rows of x stay in the core's cache, padded, and nothing is
copied to columns:

y[pixel] = b + sum over k of x_padded[offset[k] + place of the pixel] * w[k]

For dw, there is a plane for each channel c and column q of the filter, of the columns j*sw + q*dil_w of x, as wide as y. With
all planes of a sample in one long line, k is the same line from another start on, and pixels follow each other as in dy:

dw[f, k] = sum over n, pixels of dy[f, pixel] * line_x[offset[k] + pixel]

Four filters and three k share what is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ...runtime.memory import workspace
from ...runtime.parallel import parallel_for, parallel_sum, threads_per_item, work_items
from ..geometry import ConvGeometry
from ..simd.layout import in_lanes, planes
from ..simd.products import ROWS
from ..simd.vectors import LANES
from . import direct_loops as loops
from . import direct_weight_loops as weight_loops

PIECE = 1 << 16  # numbers of x in a piece, about: they stay in the core's second-level cache
SLACK = 16  # numbers that the last vector may read beyond the end of the line


def prepare(
    x_shape: tuple[int, ...],
    y_shape: tuple[int, ...],
    w: np.ndarray,
    b: np.ndarray | None,
    geometry: ConvGeometry,
    groups: int,
    *,
    clip: tuple[float, float],
    packed_filters: dict[str, np.ndarray] | None = None,
) -> Callable[[np.ndarray, np.ndarray], None]:
    """A function that fills y (N, F, OH, OW) with min(max(b + w * x, low), high), of x (N, C, H, W), both contiguous.

    w (F, C / groups, KH, KW). ``packed_filters``, if given, is a cache for these filters, packed into vectors.
    """
    (N, F, OH, OW), channels, dtype, (low, high) = y_shape, w.shape[1], w.dtype, clip
    (KH, _), (sh, sw), (top, _, left, _), (dil_h, _) = geometry
    packed_filters = {} if packed_filters is None else packed_filters
    if "direct" not in packed_filters:
        packed_filters["direct"] = np.stack([in_lanes(group.reshape(len(group), -1)) for group in np.split(w, groups)])
    filters, F_group = packed_filters["direct"], F // groups
    bias = np.zeros((groups, max(F_group, LANES)), dtype)
    if b is not None:
        bias[:, :F_group] = b.reshape(groups, -1)
    pieces, rows, pitch, offsets = _divide(geometry, N, groups, channels, F_group, OH, OW, threads_per_item(N * groups))
    reach = (KH - 1) * dil_h + 1
    y_rows, y_places = planes(F_group, OH * OW, rows * OW + ROWS)
    of_x, of_y = (N, groups, channels, *x_shape[2:]), (N, groups, F_group, OH * OW)

    def run(x: np.ndarray, y: np.ndarray) -> None:
        def body(start: int, stop: int) -> None:
            padded = workspace("padded", (channels * ((rows - 1) * sh + reach) * pitch + ROWS * sw,), dtype)
            lanes_y = workspace("lanes y", (2, len(y_places) * LANES), dtype)
            how = reach, sh, sw, top, left, pitch, padded, offsets, filters, bias, low, high, lanes_y, y_rows, y_places, OW
            loops.convolve(pieces[start:stop], x.reshape(of_x), *how, y.reshape(of_y))

        parallel_for(len(pieces), body, deferrable=True)

    return run


@lru_cache(maxsize=256)
def _divide(
    geometry: ConvGeometry, N: int, groups: int, channels: int, F: int, OH: int, OW: int, threads: int
) -> tuple[np.ndarray, int, int, np.ndarray]:
    """The pieces of the work, and rows of y in each; from a padded row of x to the next, and what ``direct_loops`` adds for k.

    A piece is (n, g, first row, last row, first block of filters, last block). So many threads share a picture: its rows or,
    if those are fewer numbers, its filters.
    """
    (KH, KW), (sh, sw), (_, _, left, _), (dil_h, dil_w) = geometry
    pitch, blocks = max((OW - 1) * sw + (KW - 1) * dil_w + 1, left), -(-F // LANES)
    rows, shares = max(PIECE // (channels * pitch * sh), 1), 1
    if OH * pitch < F:
        rows, shares = min(rows, OH), min(threads, -(-blocks // 2))
    else:
        rows = min(rows, -(-OH // threads))
    n, g, row, share = np.indices((N, groups, -(-OH // rows), shares)).reshape(4, -1)
    last_row = np.minimum((row + 1) * rows, OH)
    pieces = np.stack([n, g, row * rows, last_row, blocks * share // shares, blocks * (share + 1) // shares], axis=1)
    c, p, q = np.indices((channels, KH, KW)).reshape(3, -1)
    return pieces, rows, pitch, np.stack([c, p * dil_h * pitch + q * dil_w])


def backward_weights(dy: np.ndarray, x: np.ndarray, geometry: ConvGeometry, groups: int, dw: np.ndarray) -> None:
    """Fill dw (F, C / groups, KH, KW); at least four filters a group, and three taps."""
    (N, F, OH, OW), channels = dy.shape, dw.shape[1]
    offsets, fours = _offsets(geometry, channels, OH, OW), -(-F // groups // 4)
    x_groups, dy_groups = x.reshape(N, groups, channels, *x.shape[2:]), dy.reshape(N, groups, F // groups, OH * OW)
    pieces = work_items(N, groups, fours)

    def add(start: int, stop: int, total: np.ndarray) -> None:
        line, planes = _line(geometry, channels, OH, OW, x.dtype)
        how = line, planes, geometry.flat, offsets
        weight_loops.direct_backward_weights(pieces[start:stop], x_groups, *how, dy_groups, total)

    dw.reshape(-1)[:] = parallel_sum(len(pieces), add, (groups, F // groups, len(offsets)), x.dtype).ravel()


def _rows(geometry: ConvGeometry, OH: int) -> int:
    """Rows of a plane: those of y, and what a filter reaches beyond."""
    return OH + (geometry.kernel[0] - 1) * geometry.dilation[0] // geometry.stride[0]


def _offsets(geometry: ConvGeometry, channels: int, OH: int, OW: int) -> np.ndarray:
    """Where in the line each tap (c, p, q) starts: in plane (c, q), among the rows r with r % sh = p*dil_h % sh."""
    (KH, KW), (sh, _), _, (dil_h, _) = geometry
    c, p, q = np.ogrid[:channels, :KH, :KW]
    first_row = ((c * KW + q) * sh + p * dil_h % sh) * _rows(geometry, OH) + p * dil_h // sh
    return first_row.ravel() * OW


def _line(geometry: ConvGeometry, channels: int, OH: int, OW: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """A line for the planes of a sample, and the same as planes (C * KW, sh, rows, OW)."""
    shape = channels * geometry.kernel[1], geometry.stride[0], _rows(geometry, OH), OW
    line = workspace("planes", (math.prod(shape) + SLACK,), dtype)
    line[-SLACK:] = 0
    return line, line[:-SLACK].reshape(shape)
