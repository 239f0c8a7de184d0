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
from .lines import lay_out
from .threads import free_threads, parallel_for, workspace
from .windows import Windows

FILTERS = 8  # computed together


def forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, windows: Windows, groups: int, low: float, high: float, y: np.ndarray
) -> None:
    """Fill y (N, F, OH, OW) with min(max(b + w * x, low), high); x (N, C, H, W) and w (F, C / groups, KH, KW) contiguous."""
    lines, (N, F), channels = lay_out(windows, *y.shape[2:]), y.shape[:2], w.shape[1]
    (sh, sw), (rows, pitch) = lines.phases, lines.shape
    plane = sh * sw * rows * pitch
    within = lines.phase * (rows * pitch) + lines.shift
    offsets = (np.arange(channels)[:, None] * plane + within).ravel()
    bias = np.zeros(F, x.dtype) if b is None else b
    per_group = F // groups
    eights = -(-per_group // FILTERS)
    weights = np.zeros((groups, eights, len(offsets), FILTERS), x.dtype)
    filters = w.reshape(groups, per_group, -1)
    for f in range(FILTERS):
        one_of_eight = filters[:, f::FILTERS]
        weights[:, : one_of_eight.shape[1], :, f] = one_of_eight
    # a small batch keeps all threads busy with different filters of the same sample
    parts = min(eights, -(-free_threads() // max(N * groups, 1)))
    pieces = [
        (n, g, eights * part // parts, eights * (part + 1) // parts)
        for n in range(N)
        for g in range(groups)
        for part in range(parts)
    ]

    def body(start: int, stop: int) -> None:
        line = workspace("line x", (channels * plane + 16,), x.dtype)
        line[:] = 0  # the padding, and what the last vector reads beyond the end; the rest is written anew for each sample
        line_x = line[: channels * plane].reshape(channels, sh * sw, rows, pitch)
        sums = workspace("line y", (FILTERS * loops.PITCH,), x.dtype)
        for n, g, first, last in pieces[start:stop]:
            x_group = x[n, g * channels : (g + 1) * channels]
            y_group, bias_group = y[n, g * per_group : (g + 1) * per_group], bias[g * per_group : (g + 1) * per_group]
            loops.load_lines(x_group, sh, sw, *windows.origin, line_x)
            loops.direct_forward(first, last, line, offsets, weights[g], bias_group, sums, pitch, low, high, y_group)

    parallel_for(len(pieces), body)
