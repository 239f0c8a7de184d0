"""Depthwise convolution: each channel with a filter of its own.

y[n, c, i, j] = b[c] + sum over p, q of w[c, p, q] * x_padded[n, c, i*sh + p*dh, j*sw + q*dw]

A plane of y is thus a sum of shifted copies of a plane of x, one for each tap of the filter. With the padded plane laid out in
one long line, row after row ("pitch" elements each), shifting it by (p, q) is starting p*pitch + q elements later:

line_y[k] = sum over taps t of w[t] * line_x[offset[t] + k]

which is a loop that the processor's vector unit can run over all rows without stopping at their ends. The last elements of each
row of line_y mix two rows of x; they are left out when y is copied from its line. A stride of (sh, sw) deals the rows and
columns of x out to sh * sw lines (its phases), so that neighbours in y are neighbours in a line again.

Memory traffic is all there is to it: x is read once and y written once, the lines stay in the core's cache.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from . import conv_loops as loops
from .threads import parallel_for, workspace
from .windows import Windows


class Lines(NamedTuple):
    """How the planes of one depthwise convolution are laid out in lines.

    Attributes
    ----------
    phases : (sh, sw)
        Padded row r lies in phase r % sh, as its row r // sh; columns likewise.
    shape : (rows, pitch)
        Of the line of one phase.
    phase, shift : int64 (KH*KW,)
        For each tap, the phase that it reads (a number below sh * sw) and where in that line it starts.
    length : int
        Of the line of y.
    """

    phases: tuple[int, int]
    shape: tuple[int, int]
    phase: np.ndarray
    shift: np.ndarray
    length: int


@lru_cache(maxsize=256)
def lay_out(windows: Windows, OH: int, OW: int) -> Lines:
    """The lines for these windows."""
    (KH, KW), (sh, sw), _, (dh, dw) = windows
    rows, pitch = OH + (KH - 1) * dh // sh, OW + (KW - 1) * dw // sw
    p, q = np.divmod(np.arange(KH * KW), KW)
    phase = p * dh % sh * sw + q * dw % sw
    shift = p * dh // sh * pitch + q * dw // sw
    return Lines((sh, sw), (rows, pitch), phase, shift, (OH - 1) * pitch + OW)


def forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, windows: Windows, low: float, high: float, y: np.ndarray
) -> None:
    """Fill y (N, C, OH, OW) with min(max(b + w * x, low), high); x (N, C, H, W) contiguous, w (C, 1, KH, KW), b (C,)."""
    lines = lay_out(windows, *y.shape[2:])
    (N, C, H, W), (sh, sw), size = x.shape, lines.phases, lines.shape[0] * lines.shape[1]
    offsets = lines.phase * size + lines.shift
    bias = np.zeros(C, x.dtype) if b is None else b
    filters, x_planes, y_planes = w.reshape(C, -1), x.reshape(N * C, H, W), y.reshape(N * C, *y.shape[2:])

    def body(start: int, stop: int) -> None:
        line_x = workspace("line x", (sh * sw, *lines.shape), x.dtype)
        line_x[:] = 0  # the padding; the rest is written anew for each plane
        line_y = workspace("line y", (lines.length,), x.dtype)
        loops.depthwise_forward(
            start, stop, x_planes, filters, bias, offsets, sh, sw, *windows.origin, line_x, line_y, low, high, y_planes
        )

    parallel_for(N * C, body)


def backward_input(dy: np.ndarray, w: np.ndarray, windows: Windows, dx: np.ndarray) -> None:
    """Fill dx (N, C, H, W): its line of phase a is the sum over a's taps of w[t] * line_dy, shifted the other way."""
    N, C, OH, OW = dy.shape
    lines = lay_out(windows, OH, OW)
    (sh, sw), (rows, pitch), margin = lines.phases, lines.shape, int(lines.shift.max())
    order = np.argsort(lines.phase, kind="stable")
    filters, offsets = np.ascontiguousarray(w.reshape(C, -1)[:, order]), margin - lines.shift[order]
    first_taps = np.searchsorted(lines.phase[order], np.arange(sh * sw + 1))
    dy_planes, dx_planes = dy.reshape(N * C, OH, OW), dx.reshape(N * C, *dx.shape[2:])

    def body(start: int, stop: int) -> None:
        line_dy = workspace("line y", (margin + rows * pitch,), dy.dtype)
        line_dy[:] = 0  # before the first row and between the rows; the rest is written anew for each plane
        line_dx = workspace("line x", (sh * sw, rows, pitch), dy.dtype)
        loops.depthwise_backward_input(
            start, stop, dy_planes, filters, offsets, first_taps, sh, sw, *windows.origin, margin, line_dy, line_dx, dx_planes
        )

    parallel_for(N * C, body)


def backward_weights(dy: np.ndarray, x: np.ndarray, windows: Windows, dw: np.ndarray) -> None:
    """Fill dw (C, 1, KH, KW): for each tap the inner product of line_dy and its view of line_x, summed over samples."""
    OH, OW = dy.shape[2:]
    lines = lay_out(windows, OH, OW)
    (sh, sw), size = lines.phases, lines.shape[0] * lines.shape[1]
    offsets, filters = lines.phase * size + lines.shift, dw.reshape(len(dw), -1)

    def body(start: int, stop: int) -> None:
        line_x = workspace("line x", (sh * sw, *lines.shape), x.dtype)
        line_dy = workspace("line y", (lines.length,), x.dtype)
        line_x[:], line_dy[:] = 0, 0
        loops.depthwise_backward_weights(start, stop, dy, x, offsets, sh, sw, *windows.origin, line_x, line_dy, filters)

    parallel_for(len(dw), body)
