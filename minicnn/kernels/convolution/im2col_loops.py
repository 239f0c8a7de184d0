"""The Numba loops of ``im2col``: ``textbook.im2col`` and ``textbook.col2im`` for some output rows, in one thread.

With a stride of sw, neighbouring outputs read elements sw apart, which a vector unit does badly. Rows are therefore dealt out
like cards to sw "phases": phase b holds the elements j*sw + b, and neighbours in y are neighbours in a phase again. Every plain
loop below runs from 0 to a length over row views, because an index that could be negative keeps it from being vectorised.
"""

from __future__ import annotations

import numpy as np

from ...runtime.compilation import loop
from .rows import pad_and_deal


@loop
def _collect(phases, first, i, row, sw):
    """row[j*sw + b] = phases[first + b, i, j] for b < sw"""
    pitch = phases.shape[2]
    if sw == 2:
        even, odd = phases[first, i], phases[first + 1, i]
        for j in range(pitch):
            row[2 * j] = even[j]
            row[2 * j + 1] = odd[j]
    else:
        for b in range(sw):
            phase = phases[first + b, i]
            for j in range(pitch):
                row[j * sw + b] = phase[j]


@loop
def im2col(x, columns, first_row, KH, KW, sh, sw, top, left, dh, dw):
    """columns[(c, p, q), n, i, j] = x_padded[n, c, (first_row + i)*sh + p*dh, j*sw + q*dw]"""
    N, C, H, W = x.shape
    rows, OW = columns.shape[2:]
    pitch = OW + (KW - 1) * dw // sw
    padded, phases = np.zeros(sw * pitch, x.dtype), np.zeros((sw, 1, pitch), x.dtype)
    reached = min(W, sw * pitch - left)
    for c in range(C):
        for n in range(N):
            for i in range(rows):
                for p in range(KH):
                    r, tap = (first_row + i) * sh + p * dh - top, (c * KH + p) * KW
                    if r < 0 or r >= H:
                        for q in range(KW):
                            columns[tap + q, n, i] = 0
                        continue
                    pad_and_deal(x[n, c, r], left, reached, padded, phases, sw)
                    for q in range(KW):
                        source, target = phases[q * dw % sw, 0, q * dw // sw :], columns[tap + q, n, i]
                        for j in range(OW):
                            target[j] = source[j]


@loop
def col2im(columns, dx, first_row, KH, KW, sh, sw, top, left, dh, dw):
    """dx_padded[c, (first_row + i)*sh + p*dh, j*sw + q*dw] += columns[(c, p, q), i, j], without the padding."""
    C, H, W = dx.shape
    rows, OW = columns.shape[1:]
    pitch = OW + (KW - 1) * dw // sw
    padded, phases = np.empty(sw * pitch, dx.dtype), np.empty((sw, 1, pitch), dx.dtype)
    reached = min(W, sw * pitch - left)
    for c in range(C):
        for i in range(rows):
            for p in range(KH):
                r, tap = (first_row + i) * sh + p * dh - top, (c * KH + p) * KW
                if r < 0 or r >= H:
                    continue
                phases[:] = 0
                for q in range(KW):
                    source, target = columns[tap + q, i], phases[q * dw % sw, 0, q * dw // sw :]
                    for j in range(OW):
                        target[j] += source[j]
                _collect(phases, 0, 0, padded, sw)
                source, target = padded[left:], dx[c, r]
                for j in range(reached):
                    target[j] += source[j]
