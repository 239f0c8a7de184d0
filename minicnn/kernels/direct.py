"""Direct convolution: the sums in the definition, for some filters, taps and a few hundred pixels at a time.

y[n, f, i, j] = b[f] + sum over c, p, q of w[f, c, p, q] * x_padded[n, c, i*sh + p*dh, j*sw + q*dw]

For each channel c and column q of the filter there is a plane of the columns j*sw + q*dw of x, as wide as y. With all planes of
some rows of a sample in one long line, a tap t = (c, p, q) is the same line from another start on, and pixels k = i*OW + j
follow each other in it as they do in y:

y[f, k] = b[f] + sum over t of w[f, t] * line_x[offset[t] + k]
dw[f, t] = sum over n, k of dy[f, k] * line_x[offset[t] + k]

Eight filters and three taps (four and three for dw) share what is read, and their sums stay in registers and the core's
first-level cache. There are KW copies of the picture, not KH*KW as in im2col, and no matrix product whose inner dimension could
be too short for BLAS: for pictures with few channels this is the quickest way.
"""

from __future__ import annotations

import math

import numpy as np

from . import conv_loops as loops
from .threads import parallel_for, parallel_sum, pieces_of_batch, threads_per_sample, workspace
from .windows import Windows

FILTERS = 8  # of y computed together
PLANES = 1 << 16  # elements of a line, about: its planes stay in the core's second-level cache
SLACK = 16  # numbers that the last vector may read beyond the end of the line


def forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, windows: Windows, groups: int, low: float, high: float, y: np.ndarray
) -> None:
    """Fill y (N, F, OH, OW) with min(max(b + w * x, low), high); x (N, C, H, W) and w (F, C / groups, KH, KW) contiguous."""
    (N, F, OH, OW), channels = y.shape, w.shape[1]
    rows = _rows_at_once(windows, channels, N, OH, OW)
    offsets, eights = _offsets(windows, channels, rows, OW), -(-F // groups // FILTERS)
    x_groups, y_groups = x.reshape(N, groups, channels, *x.shape[2:]), y.reshape(N, groups, F // groups, OH * OW)
    bias = (np.zeros(F, x.dtype) if b is None else b).reshape(groups, -1)
    filters, weights = w.reshape(groups, F // groups, -1), np.zeros((groups, eights, len(offsets), FILTERS), x.dtype)
    for f in range(FILTERS):
        one_of_eight = filters[:, f::FILTERS]
        weights[:, : one_of_eight.shape[1], :, f] = one_of_eight
    n, g, first = np.indices((N, groups, -(-OH // rows))).reshape(3, -1)
    pieces = np.stack([n, g, first * rows, np.minimum((first + 1) * rows, OH)], axis=1)

    def body(start: int, stop: int) -> None:
        line, planes = _line(windows, channels, rows, OW, x.dtype)
        sums = workspace("sums", (FILTERS * loops.PITCH,), x.dtype)
        how = line, planes, windows.flat, offsets, weights, bias, sums, low, high
        loops.direct_forward(pieces[start:stop], x_groups, *how, y_groups)

    parallel_for(len(pieces), body, last=True)


def backward_weights(dy: np.ndarray, x: np.ndarray, windows: Windows, groups: int, dw: np.ndarray) -> None:
    """Fill dw (F, C / groups, KH, KW); at least four filters a group, and three taps."""
    (N, F, OH, OW), channels = dy.shape, dw.shape[1]
    offsets, fours = _offsets(windows, channels, OH, OW), -(-F // groups // 4)
    x_groups, dy_groups = x.reshape(N, groups, channels, *x.shape[2:]), dy.reshape(N, groups, F // groups, OH * OW)
    pieces = pieces_of_batch(N, groups, fours)

    def add(start: int, stop: int, total: np.ndarray) -> None:
        line, planes = _line(windows, channels, OH, OW, x.dtype)
        how = line, planes, windows.flat, offsets
        loops.direct_backward_weights(pieces[start:stop], x_groups, *how, dy_groups, total)

    dw.reshape(-1)[:] = parallel_sum(len(pieces), add, (groups, F // groups, len(offsets)), x.dtype).ravel()


def _rows_at_once(windows: Windows, channels: int, N: int, OH: int, OW: int) -> int:
    """Rows of y made from one line: all, unless that were too long a line or there are fewer samples than threads."""
    fair = -(-OH // threads_per_sample(N))
    return max(min(fair, PLANES // (channels * windows.kernel[1] * windows.stride[0] * OW)), 1)


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
