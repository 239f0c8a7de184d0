"""The Numba loops of ``im2col``, ``direct`` and ``pointwise``: sequential, called on pieces of the work by several threads.

They stand in one file because Numba's cache on disk notices a change in the file of a loop, but not in that of a loop it calls.

With a stride of sw, neighbouring outputs read elements sw apart, which a vector unit does badly. Rows are therefore dealt out
like cards to sw "phases": phase b holds the elements j*sw + b, and neighbours in y are neighbours in a phase again. Every plain
loop below runs from 0 to a length over row views, because an index that could be negative keeps it from being vectorised.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LENGTH = 512  # outputs computed together: their sums and what they read of x stay in the first-level cache
PITCH = LENGTH + 16  # from one filter's sums to the next; a power of 2 would put them all into the same places of the cache

_loop = njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
# sums of many products may be taken in any order, or they could not be vectorised; NaN and infinity still pass through
_sum_loop = njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})


# ---- rows


@_loop
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


@_loop
def _pad_and_deal(source, left, reached, padded, phases, sw):
    """The row, as far as it is ``reached``, put into padded behind ``left`` zeros, and from there into the phases."""
    target = padded[left:]
    for j in range(reached):
        target[j] = source[j]
    _deal(padded, phases, 0, 0, sw)


@_loop
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


@_loop
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


@_loop
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


@_loop
def finish(y, bias, low, high, begin, end):
    """y (F, pixels) = min(max(y + bias, low), high) for pixels begin to end, in place. A NaN fails both and stays."""
    for f in range(len(y)):
        row = y[f, begin:end]
        for k in range(len(row)):
            value = row[k] + bias[f]
            value = low if value < low else value
            row[k] = high if value > high else value


# ---- direct convolution: a plane for each channel and column of the filter, all of a sample's in one long line


@_loop
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


@_loop
def _add_taps_of_eight(line_x, first, offsets, weights, sums, vectors):
    """sums[f*PITCH + k] += sum over t of weights[t, f] * line_x[first + offsets[t] + k] for k < 16 * vectors.

    Three taps in a pass. What is read of line_x is given names first: the compiler cannot know that sums is not a part of it.
    """
    n, taps = 16 * vectors, len(offsets)  # no scalar loop for a rest, whose 24 weights would take up the vector registers
    for t in range(0, taps - 2, 3):
        u, v, w = line_x[first + offsets[t] :], line_x[first + offsets[t + 1] :], line_x[first + offsets[t + 2] :]
        u0, u1, u2, u3 = weights[t, 0], weights[t, 1], weights[t, 2], weights[t, 3]
        u4, u5, u6, u7 = weights[t, 4], weights[t, 5], weights[t, 6], weights[t, 7]
        v0, v1, v2, v3 = weights[t + 1, 0], weights[t + 1, 1], weights[t + 1, 2], weights[t + 1, 3]
        v4, v5, v6, v7 = weights[t + 1, 4], weights[t + 1, 5], weights[t + 1, 6], weights[t + 1, 7]
        w0, w1, w2, w3 = weights[t + 2, 0], weights[t + 2, 1], weights[t + 2, 2], weights[t + 2, 3]
        w4, w5, w6, w7 = weights[t + 2, 4], weights[t + 2, 5], weights[t + 2, 6], weights[t + 2, 7]
        for k in range(n):
            p, q, r = u[k], v[k], w[k]
            sums[k] = sums[k] + u0 * p + v0 * q + w0 * r
            sums[k + PITCH] = sums[k + PITCH] + u1 * p + v1 * q + w1 * r
            sums[k + 2 * PITCH] = sums[k + 2 * PITCH] + u2 * p + v2 * q + w2 * r
            sums[k + 3 * PITCH] = sums[k + 3 * PITCH] + u3 * p + v3 * q + w3 * r
            sums[k + 4 * PITCH] = sums[k + 4 * PITCH] + u4 * p + v4 * q + w4 * r
            sums[k + 5 * PITCH] = sums[k + 5 * PITCH] + u5 * p + v5 * q + w5 * r
            sums[k + 6 * PITCH] = sums[k + 6 * PITCH] + u6 * p + v6 * q + w6 * r
            sums[k + 7 * PITCH] = sums[k + 7 * PITCH] + u7 * p + v7 * q + w7 * r
    for t in range(taps - taps % 3, taps):
        u = line_x[first + offsets[t] :]
        u0, u1, u2, u3 = weights[t, 0], weights[t, 1], weights[t, 2], weights[t, 3]
        u4, u5, u6, u7 = weights[t, 4], weights[t, 5], weights[t, 6], weights[t, 7]
        for k in range(n):
            p = u[k]
            sums[k] += u0 * p
            sums[k + PITCH] += u1 * p
            sums[k + 2 * PITCH] += u2 * p
            sums[k + 3 * PITCH] += u3 * p
            sums[k + 4 * PITCH] += u4 * p
            sums[k + 5 * PITCH] += u5 * p
            sums[k + 6 * PITCH] += u6 * p
            sums[k + 7 * PITCH] += u7 * p


@_loop
def direct_forward(pieces, x, line_x, planes, geometry, offsets, weights, bias, sums, low, high, y):
    """y[n, g, f, k] = clamp(bias[g, f] + sum over t of weights[g, f // 8, t, f % 8] * line_x[offsets[t] + k]).

    A piece is (n, g, first, last): a sample, a group, and the rows first to last - 1 of y. x (N, groups, C, H, W),
    y (N, groups, F, pixels).
    """
    KH, KW, sh, sw, top, left, dh, dw = geometry
    F, OW = y.shape[2], planes.shape[3]
    for n, g, first, last in pieces:
        _load_planes(x[n, g], KH, KW, sh, sw, top - first * sh, left, dh, dw, planes)
        pixels = (last - first) * OW
        for begin in range(0, pixels, LENGTH):
            count = min(LENGTH, pixels - begin)
            for eight in range(weights.shape[1]):
                filters = min(8, F - eight * 8)
                for f in range(filters):
                    sums[f * PITCH : f * PITCH + LENGTH] = bias[g, eight * 8 + f]
                _add_taps_of_eight(line_x, begin, offsets, weights[g, eight], sums, (count + 15) // 16)
                for f in range(filters):
                    source, target = sums[f * PITCH :], y[n, g, eight * 8 + f, first * OW + begin : first * OW + begin + count]
                    for k in range(count):
                        value = low if source[k] < low else source[k]  # a NaN fails both comparisons and stays
                        target[k] = high if value > high else value


@_sum_loop
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


@_loop
def direct_backward_weights(pieces, x, line_x, planes, geometry, offsets, dy, dw):
    """dw[g, f, t] += sum over k of dy[n, g, f, k] * line_x[offsets[t] + k]; F is at least 4.

    A piece is (n, g, first, last): sample, group and the range of f // 4.

    Where filters or taps do not come out even, the last block overlaps the one before it, and what is there twice is left out.
    """
    (F, pixels), taps = dy.shape[2:], len(offsets)
    products = np.empty((4, 3), dy.dtype)
    for n, g, first, last in pieces:
        _load_planes(x[n, g], *geometry, planes)
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
