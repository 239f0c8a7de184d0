"""Depthwise convolution: each channel with a filter of its own.

y[n, c, i, j] = b[c] + sum over p, q of w[c, p, q] * x_padded[n, c, i*sh + p*dh, j*sw + q*dw]

A plane of y is thus a sum of shifted copies of a plane of x, one for each tap of the filter. With the padded plane laid out in
one long line, row after row ("pitch" elements each), shifting it by (p, q) is starting p*pitch + q elements later:

line_y[k] = sum over taps t of w[t] * line_x[offset[t] + k]

which is a loop that the processor's vector unit can run over all rows without stopping at their ends. The last elements of each
row of line_y mix two rows of x; they are left out when y is copied from its line. With a stride of 1, the zeros after a row are
those before the next one, too, and likewise the rows of zeros between samples: small planes would be half padding otherwise. A
stride of (sh, sw) deals the rows and columns of x out to sh * sw lines (its phases), so that neighbours in y are neighbours in
a line again. Small planes of several samples share a line.

Memory traffic is all there is to it: x is read once and y written once, the lines stay in the core's cache.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from . import conv_loops as loops
from .threads import parallel_for, workspace
from .windows import Windows

LINE = 2048  # elements of a line: some planes together, where they are small


class Lines(NamedTuple):
    """How the planes of one depthwise convolution are laid out in lines.

    Attributes
    ----------
    phases : (sh, sw)
        Padded row r lies in phase r % sh, as its row r // sh; columns likewise.
    shape : (rows, pitch)
        Of the line of one phase of one plane.
    beyond : int
        Rows of zeros after the last plane, for windows that reach there.
    phase, shift : int64 (KH*KW,)
        For each tap, the phase that it reads (a number below sh * sw) and where in that line it starts.
    """

    phases: tuple[int, int]
    shape: tuple[int, int]
    beyond: int
    phase: np.ndarray
    shift: np.ndarray

    def samples(self, N: int) -> int:
        """How many of N samples go into one line: long enough that starting the loops over it costs nothing."""
        return max(min(LINE // (self.shape[0] * self.shape[1]), N), 1)


@lru_cache(maxsize=256)
def lay_out(windows: Windows, OH: int, OW: int) -> Lines:
    """The lines for these windows."""
    (KH, KW), (sh, sw), (top, bottom, left, right), (dh, dw) = windows
    rows, pitch, beyond = OH + (KH - 1) * dh // sh, OW + (KW - 1) * dw // sw, 0
    if sh == sw == 1:
        shared = min(top, bottom, rows - OH)
        rows, pitch, beyond = rows - shared, pitch - min(left, right, pitch - OW), shared + 1
    p, q = np.divmod(np.arange(KH * KW), KW)
    phase = p * dh % sh * sw + q * dw % sw
    shift = p * dh // sh * pitch + q * dw // sw
    return Lines((sh, sw), (rows, pitch), beyond, phase, shift)


def forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, windows: Windows, low: float, high: float, y: np.ndarray
) -> None:
    """Fill y (N, C, OH, OW) with min(max(b + w * x, low), high); x (N, C, H, W) contiguous, w (C, 1, KH, KW), b (C,)."""
    lines = lay_out(windows, *y.shape[2:])
    (N, C), (sh, sw), (rows, pitch), samples = x.shape[:2], lines.phases, lines.shape, lines.samples(len(x))
    all_rows = samples * rows + lines.beyond
    offsets = lines.phase * (all_rows * pitch) + lines.shift
    filters, bias = w.reshape(C, -1), np.zeros(C, x.dtype) if b is None else b

    def body(start: int, stop: int) -> None:
        line_x = workspace("line x", (sh * sw, all_rows, pitch), x.dtype)
        line_x[:] = 0  # the padding; the rest is written anew for each plane
        line_y = workspace("line y", (samples * rows * pitch,), x.dtype)
        loops.depthwise_forward(
            start, stop, samples, rows, x, filters, bias, offsets, sh, sw, *windows.origin, line_x, line_y, low, high, y
        )

    parallel_for(C if N else 0, body, last=True)


def backward_input(dy: np.ndarray, w: np.ndarray, windows: Windows, dx: np.ndarray) -> None:
    """Fill dx (N, C, H, W): its line of phase a is the sum over a's taps of w[t] * line_dy, shifted the other way."""
    N, C, OH, OW = dy.shape
    lines = lay_out(windows, OH, OW)
    (sh, sw), (rows, pitch), samples, margin = lines.phases, lines.shape, lines.samples(N), int(lines.shift.max())
    order = np.argsort(lines.phase, kind="stable")
    filters, offsets = np.ascontiguousarray(w.reshape(C, -1)[:, order]), margin - lines.shift[order]
    first_taps = np.searchsorted(lines.phase[order], np.arange(sh * sw + 1))

    def body(start: int, stop: int) -> None:
        line_dy = workspace("line y", (margin + samples * rows * pitch,), dy.dtype)
        line_dy[:] = 0  # before the first row and between the rows; the rest is written anew for each plane
        line_dx = workspace("line x", (sh * sw, samples * rows, pitch), dy.dtype)
        loops.depthwise_backward_input(
            start, stop, samples, dy, filters, offsets, first_taps, sh, sw, *windows.origin, margin, line_dy, line_dx, dx
        )

    parallel_for(C if N else 0, body)


def backward_weights(dy: np.ndarray, x: np.ndarray, windows: Windows, dw: np.ndarray) -> None:
    """Fill dw (C, 1, KH, KW): for each tap the inner product of line_dy and its view of line_x, summed over samples."""
    lines = lay_out(windows, *dy.shape[2:])
    (sh, sw), (rows, pitch), samples = lines.phases, lines.shape, lines.samples(len(dy))
    all_rows = samples * rows + lines.beyond
    offsets, filters = lines.phase * (all_rows * pitch) + lines.shift, dw.reshape(len(dw), -1)

    def body(start: int, stop: int) -> None:
        line_x = workspace("line x", (sh * sw, all_rows, pitch), x.dtype)
        line_dy = workspace("line y", (samples * rows * pitch,), x.dtype)
        line_x[:], line_dy[:] = 0, 0
        loops.depthwise_backward_weights(
            start, stop, samples, rows, dy, x, offsets, sh, sw, *windows.origin, line_x, line_dy, filters
        )

    parallel_for(len(dw), body)
