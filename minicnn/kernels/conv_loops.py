"""The Numba loops of ``im2col``, ``direct`` and ``pointwise``: sequential, called on pieces of the work by several threads.

With a stride of sw, neighbouring outputs read elements sw apart, which a vector unit does badly. Rows are therefore dealt out
like cards to sw "phases": phase b holds the elements j*sw + b, and neighbours in y are neighbours in a phase again. Every plain
loop below runs from 0 to a length over row views, because an index that could be negative keeps it from being vectorised.
"""

from __future__ import annotations

import numpy as np

from .compilation import inlined, loop, sum_loop

LENGTH = 512  # outputs computed together: their sums and what they read of x stay in the first-level cache


# ---- rows


@inlined
def _deal(row, phases, first, i, sw):
    """phases[first + b, i, j] = row[j*sw + b] for b < sw"""
    pitch = phases.shape[2]
    if sw == 2:
        even, odd = phases[first, i], phases[first + 1, i]
        for j in range(pitch):
            even[j] = row[2 * j]
            odd[j] = row[2 * j + 1]
    else:
        for b in range(sw):
            phase = phases[first + b, i]
            for j in range(pitch):
                phase[j] = row[j * sw + b]


@inlined
def _pad_and_deal(source, left, reached, padded, phases, sw):
    """The row, as far as it is ``reached``, put into padded behind ``left`` zeros, and from there into the phases."""
    target = padded[left:]
    for j in range(reached):
        target[j] = source[j]
    _deal(padded, phases, 0, 0, sw)


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


# ---- general convolution


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
                    _pad_and_deal(x[n, c, r], left, reached, padded, phases, sw)
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


@loop
def finish(y, bias, low, high, begin, end):
    """y (F, pixels) = min(max(y + bias, low), high) for pixels begin to end, in place. A NaN fails both and stays."""
    for f in range(len(y)):
        row = y[f, begin:end]
        for k in range(len(row)):
            value = row[k] + bias[f]
            value = low if value < low else value
            row[k] = high if value > high else value


# ---- direct convolution: a plane for each channel and column of the filter, all of a sample's in one long line


@inlined
def _load_planes(x, KH, KW, sh, sw, top, left, dh, dw, planes):
    """planes[c*KW + q, a, i, j] = x_padded[c, i*sh + a, j*sw + q*dw] for a < sh; x (C, H, W)."""
    C, H, W = x.shape
    rows, OW = planes.shape[2:]
    pitch = OW + (KW - 1) * dw // sw
    padded, phases = np.zeros(sw * pitch, x.dtype), np.zeros((sw, 1, pitch), x.dtype)
    reached = min(W, sw * pitch - left)
    for c in range(C):
        for r in range(rows * sh):
            i, a = r // sh, r % sh
            if r < top or r >= top + H:
                planes[c * KW : (c + 1) * KW, a, i] = 0
                continue
            _pad_and_deal(x[c, r - top], left, reached, padded, phases, sw)
            for q in range(KW):
                source, target = phases[q * dw % sw, 0, q * dw // sw :], planes[c * KW + q, a, i]
                for j in range(OW):
                    target[j] = source[j]


@sum_loop
def _inner_products(line_x, offsets, t, dy, f, begin, n, products):
    """products[i, j] = sum over k < n of dy[f + i, begin + k] * line_x[offsets[t + j] + begin + k] for i < 4, j < 3."""
    a, b, c, d = dy[f, begin:], dy[f + 1, begin:], dy[f + 2, begin:], dy[f + 3, begin:]
    u, v, w = line_x[offsets[t] + begin :], line_x[offsets[t + 1] + begin :], line_x[offsets[t + 2] + begin :]
    au = av = aw = bu = bv = bw = cu = cv = cw = du = dv = dw = products.dtype.type(0)
    for k in range(n):
        p, q, r = u[k], v[k], w[k]
        au, av, aw = au + a[k] * p, av + a[k] * q, aw + a[k] * r
        bu, bv, bw = bu + b[k] * p, bv + b[k] * q, bw + b[k] * r
        cu, cv, cw = cu + c[k] * p, cv + c[k] * q, cw + c[k] * r
        du, dv, dw = du + d[k] * p, dv + d[k] * q, dw + d[k] * r
    products[0, 0], products[0, 1], products[0, 2] = au, av, aw
    products[1, 0], products[1, 1], products[1, 2] = bu, bv, bw
    products[2, 0], products[2, 1], products[2, 2] = cu, cv, cw
    products[3, 0], products[3, 1], products[3, 2] = du, dv, dw


@loop
def direct_backward_weights(pieces, x, line_x, planes, geometry, offsets, dy, dw):
    """dw[g, f, t] += sum over k of dy[n, g, f, k] * line_x[offsets[t] + k]; F is at least 4.

    A piece is (n, g, first, last): sample, group and the range of f // 4.

    Where filters or taps do not come out even, the last block overlaps the one before it, and what is there twice is left out.
    """
    (F, pixels), taps = dy.shape[2:], len(offsets)
    products = np.empty((4, 3), dy.dtype)
    KH, KW, sh, sw, top, left, dilation_h, dilation_w = geometry
    for n, g, first, last in pieces:
        _load_planes(x[n, g], KH, KW, sh, sw, top, left, dilation_h, dilation_w, planes)
        for begin in range(0, pixels, 2 * LENGTH):
            count = min(2 * LENGTH, pixels - begin)
            for four in range(first, last):
                f = min(four * 4, F - 4)
                for first_tap in range(0, taps, 3):
                    t = min(first_tap, taps - 3)
                    _inner_products(line_x, offsets, t, dy[n, g], f, begin, count, products)
                    for i in range(four * 4 - f, 4):
                        for j in range(first_tap - t, 3):
                            dw[g, f + i, t + j] += products[i, j]
