"""Direct convolution: the sum in the definition, for eight filters and a few hundred outputs at a time.

y[n, f, i, j] = b[f] + sum over c, p, q of w[f, c, p, q] * x_padded[n, c, i*sh + p*dh, j*sw + q*dw]

With the padded planes of x in one long line (``lines``), a tap (c, p, q) is the same line from another start on:

line_y[f, k] = b[f] + sum over taps t of w[f, t] * line_x[offset[t] + k]

Eight filters share what is read of line_x, and their sums stay in the core's first-level cache until they are complete.
Nothing is copied once for each tap, and there is no matrix product whose inner dimension could be too short for BLAS: for
pictures with few channels this is the quickest way.
"""

from __future__ import annotations

import numpy as np

from . import conv_loops as loops
from .lines import Lines, lay_out
from .threads import free_threads, parallel_for, parallel_sum, workspace
from .windows import Windows

FILTERS = 8  # of y computed together


def forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, windows: Windows, groups: int, low: float, high: float, y: np.ndarray
) -> None:
    """Fill y (N, F, OH, OW) with min(max(b + w * x, low), high); x (N, C, H, W) and w (F, C / groups, KH, KW) contiguous."""
    lines, (N, F), channels = lay_out(windows, *y.shape[2:]), y.shape[:2], w.shape[1]
    offsets, per_group, pitch = _offsets(lines, channels), F // groups, lines.shape[1]
    bias = np.zeros(F, x.dtype) if b is None else b
    eights = -(-per_group // FILTERS)
    weights = np.zeros((groups, eights, len(offsets), FILTERS), x.dtype)
    filters = w.reshape(groups, per_group, -1)
    for f in range(FILTERS):
        one_of_eight = filters[:, f::FILTERS]
        weights[:, : one_of_eight.shape[1], :, f] = one_of_eight
    pieces = _pieces(N, groups, eights)

    def body(start: int, stop: int) -> None:
        line_x = _line_for(lines, channels, x.dtype)
        sums = workspace("line y", (FILTERS * loops.PITCH,), x.dtype)
        for n, g, first, last in pieces[start:stop]:
            y_group, bias_group = y[n, g * per_group : (g + 1) * per_group], bias[g * per_group : (g + 1) * per_group]
            _load(x[n, g * channels : (g + 1) * channels], lines, windows, line_x)
            loops.direct_forward(first, last, line_x, offsets, weights[g], bias_group, sums, pitch, low, high, y_group)

    parallel_for(len(pieces), body)


def backward_weights(dy: np.ndarray, x: np.ndarray, windows: Windows, groups: int, dw: np.ndarray) -> None:
    """Fill dw (F, C / groups, KH, KW): dw[f, t] = sum over n, k of line_dy[f, k] * line_x[offset[t] + k], without the padding.

    There are at least four filters a group, and three taps. The rows of dy lie in lines of x's pitch, with zeros between them.
    """
    lines, (N, F), channels = lay_out(windows, *dy.shape[2:]), dy.shape[:2], dw.shape[1]
    offsets, per_group, (rows, pitch) = _offsets(lines, channels), F // groups, lines.shape
    pieces = _pieces(N, groups, -(-per_group // 4))

    def add(start: int, stop: int, total: np.ndarray) -> None:
        line_x = _line_for(lines, channels, x.dtype)
        line_dy = workspace("line y", (4 * rows * pitch,), x.dtype)
        line_dy[:] = 0
        for n, g, first, last in pieces[start:stop]:
            _load(x[n, g * channels : (g + 1) * channels], lines, windows, line_x)
            dy_group = dy[n, g * per_group : (g + 1) * per_group]
            loops.direct_backward_weights(first, last, line_x, offsets, dy_group, pitch, line_dy, total[g])

    dw.reshape(-1)[:] = parallel_sum(len(pieces), add, (groups, per_group, len(offsets)), x.dtype).ravel()


def _offsets(lines: Lines, channels: int) -> np.ndarray:
    """Where in the line each tap (c, p, q) starts."""
    plane = lines.shape[0] * lines.shape[1]
    channel = np.arange(channels) * (lines.phases[0] * lines.phases[1] * plane)
    return (channel[:, None] + lines.phase * plane + lines.shift).ravel()


def _pieces(N: int, groups: int, blocks: int) -> list[tuple[int, int, int, int]]:
    """(sample, group, first, last block of filters): a small batch keeps all threads busy with different filters."""
    parts = min(blocks, -(-free_threads() // max(N * groups, 1)))
    return [
        (n, g, blocks * part // parts, blocks * (part + 1) // parts)
        for n in range(N)
        for g in range(groups)
        for part in range(parts)
    ]


def _line_for(lines: Lines, channels: int, dtype: np.dtype) -> np.ndarray:
    """A line for some channels of a sample, all zeros: so is the padding, and what the last vector reads beyond the end."""
    (sh, sw), (rows, pitch) = lines.phases, lines.shape
    line = workspace("line x", (channels * sh * sw * rows * pitch + 16,), dtype)
    line[:] = 0
    return line


def _load(x: np.ndarray, lines: Lines, windows: Windows, line: np.ndarray) -> None:
    """Deal the planes of x (C, H, W) to the line; what is padding is not written."""
    (sh, sw), shape = lines.phases, (len(x), lines.phases[0] * lines.phases[1], *lines.shape)
    loops.load_lines(x, sh, sw, *windows.origin, line[:-16].reshape(shape))
