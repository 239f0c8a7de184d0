"""Direct convolution: the sums in the definition, for some filters, taps and pixels at a time.

y[n, f, i, j] = b[f] + sum over c, p, q of w[f, c, p, q] * x_padded[n, c, i*sh + p*dh, j*sw + q*dw]

For y, LANES filters are a vector (see ``lanes``), and so are their numbers k = (c, p, q). Each number of x that they meet is
spread over a vector; the sums of ROWS neighbouring pixels of y for two vectors of filters stay in registers until all k are
added. Some rows of x stay in the core's cache, padded, and nothing is copied to columns:

y[pixel] = b + sum over k of x_padded[offset[k] + place of the pixel] * w[k]

For dw, there is a plane for each channel c and column q of the filter, of the columns j*sw + q*dw of x, as wide as y. With all
planes of a sample in one long line, k is the same line from another start on, and pixels follow each other as they do in dy:

dw[f, k] = sum over n, pixels of dy[f, pixel] * line_x[offset[k] + pixel]

Four filters and three k share what is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from . import conv_loops as line_loops
from . import direct_loops as loops
from .lanes import LANES
from .lanes_loops import ROWS
from .planes import in_lanes, planes
from .threads import parallel_for, parallel_sum, pieces_of_batch, threads_per_sample, workspace
from .windows import Windows

PIECE = 1 << 16  # numbers of x in a piece, about: they stay in the core's second-level cache
SLACK = 16  # numbers that the last vector may read beyond the end of the line


def prepare(
    x_shape: tuple[int, ...],
    y_shape: tuple[int, ...],
    w: np.ndarray,
    b: np.ndarray | None,
    windows: Windows,
    groups: int,
    low: float,
    high: float,
    kept: dict[str, np.ndarray] | None = None,
) -> Callable[[np.ndarray, np.ndarray], None]:
    """A function that fills y (N, F, OH, OW) with min(max(b + w * x, low), high), of x (N, C, H, W), both contiguous.

    w (F, C / groups, KH, KW). ``kept``, if given, belongs to these filters: as vectors, they stay there for the next call.
    """
    (N, F, OH, OW), channels, dtype = y_shape, w.shape[1], w.dtype
    (KH, _), (sh, sw), (top, _, left, _), (dh, _) = windows
    kept = {} if kept is None else kept
    if "direct" not in kept:
        kept["direct"] = np.stack([in_lanes(group.reshape(len(group), -1)) for group in np.split(w, groups)])
    filters, F_group = kept["direct"], F // groups
    bias = np.zeros((groups, max(F_group, LANES)), dtype)
    if b is not None:
        bias[:, :F_group] = b.reshape(groups, -1)
    pieces, rows, pitch, offsets = _divide(windows, N, groups, channels, F_group, OH, OW, threads_per_sample(N * groups))
    reach = (KH - 1) * dh + 1
    y_rows, y_places = planes(F_group, OH * OW, rows * OW + ROWS)
    of_x, of_y = (N, groups, channels, *x_shape[2:]), (N, groups, F_group, OH * OW)

    def run(x: np.ndarray, y: np.ndarray) -> None:
        def body(start: int, stop: int) -> None:
            padded = workspace("padded", (channels * ((rows - 1) * sh + reach) * pitch + ROWS * sw,), dtype)
            lanes_y = workspace("lanes y", (2, len(y_places) * LANES), dtype)
            how = reach, sh, sw, top, left, pitch, padded, offsets, filters, bias, low, high, lanes_y, y_rows, y_places, OW
            loops.convolve(pieces[start:stop], x.reshape(of_x), *how, y.reshape(of_y))

        parallel_for(len(pieces), body, last=True)

    return run


@lru_cache(maxsize=256)
def _divide(
    windows: Windows, N: int, groups: int, channels: int, F: int, OH: int, OW: int, threads: int
) -> tuple[np.ndarray, int, int, np.ndarray]:
    """The pieces of the work, and rows of y in each; from a padded row of x to the next, and what ``direct_loops`` adds for k.

    A piece is (n, g, first row, last row, first block of filters, last block). So many threads share a picture: its rows or,
    if those are fewer numbers, its filters.
    """
    (KH, KW), (sh, sw), (_, _, left, _), (dh, dw) = windows
    pitch, blocks = max((OW - 1) * sw + (KW - 1) * dw + 1, left), -(-F // LANES)
    rows, shares = max(PIECE // (channels * pitch * sh), 1), 1
    if OH * pitch < F:
        rows, shares = min(rows, OH), min(threads, -(-blocks // 2))
    else:
        rows = min(rows, -(-OH // threads))
    n, g, row, share = np.indices((N, groups, -(-OH // rows), shares)).reshape(4, -1)
    last_row = np.minimum((row + 1) * rows, OH)
    pieces = np.stack([n, g, row * rows, last_row, blocks * share // shares, blocks * (share + 1) // shares], axis=1)
    c, p, q = np.indices((channels, KH, KW)).reshape(3, -1)
    return pieces, rows, pitch, np.stack([c, p * dh * pitch + q * dw])


def backward_weights(dy: np.ndarray, x: np.ndarray, windows: Windows, groups: int, dw: np.ndarray) -> None:
    """Fill dw (F, C / groups, KH, KW); at least four filters a group, and three taps."""
    (N, F, OH, OW), channels = dy.shape, dw.shape[1]
    offsets, fours = _offsets(windows, channels, OH, OW), -(-F // groups // 4)
    x_groups, dy_groups = x.reshape(N, groups, channels, *x.shape[2:]), dy.reshape(N, groups, F // groups, OH * OW)
    pieces = pieces_of_batch(N, groups, fours)

    def add(start: int, stop: int, total: np.ndarray) -> None:
        line, planes = _line(windows, channels, OH, OW, x.dtype)
        how = line, planes, windows.flat, offsets
        line_loops.direct_backward_weights(pieces[start:stop], x_groups, *how, dy_groups, total)

    dw.reshape(-1)[:] = parallel_sum(len(pieces), add, (groups, F // groups, len(offsets)), x.dtype).ravel()


def _rows(windows: Windows, OH: int) -> int:
    """Rows of a plane: those of y, and what a filter reaches beyond."""
    return OH + (windows.kernel[0] - 1) * windows.dilation[0] // windows.stride[0]


def _offsets(windows: Windows, channels: int, OH: int, OW: int) -> np.ndarray:
    """Where in the line each tap (c, p, q) starts: in plane (c, q), among the rows r with r % sh = p*dh % sh."""
    (KH, KW), (sh, _), _, (dh, _) = windows
    c, p, q = np.ogrid[:channels, :KH, :KW]
    first_row = ((c * KW + q) * sh + p * dh % sh) * _rows(windows, OH) + p * dh // sh
    return first_row.ravel() * OW


def _line(windows: Windows, channels: int, OH: int, OW: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """A line for the planes of a sample, and the same as planes (C * KW, sh, rows, OW)."""
    shape = channels * windows.kernel[1], windows.stride[0], _rows(windows, OH), OW
    line = workspace("planes", (math.prod(shape) + SLACK,), dtype)
    line[-SLACK:] = 0
    return line, line[:-SLACK].reshape(shape)
