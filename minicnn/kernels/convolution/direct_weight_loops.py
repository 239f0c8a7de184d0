"""The Numba loops of ``direct``'s weight gradient: dw of ``reference.conv2d_backward`` for some filters, in one thread.

There is a plane for each channel and column of the filter, all planes of a sample in one long line; see ``direct``.
"""

from __future__ import annotations

import numpy as np

from ...runtime.compilation import inlined, loop, sum_loop
from .rows import pad_and_deal

LENGTH = 512  # outputs computed together: their sums and what they read of x stay in the first-level cache


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
            pad_and_deal(x[c, r - top], left, reached, padded, phases, sw)
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
