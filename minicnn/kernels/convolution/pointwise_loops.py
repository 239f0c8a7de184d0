"""The Numba loop of ``pointwise``: w @ x, the product in ``textbook.conv2d_forward``, for some filters and pixels.

It runs in one thread, and keeps sums and pixels in registers.
"""

from __future__ import annotations

from ...runtime.compilation import inlined, loop
from ..simd.products import ROWS, TWO_AT_ONCE
from ..simd.vectors import LANES, clamp, load, multiply_add_rows, spread, store, store_rows


@inlined
def _store_limited(sums, low, high, y, at, pitch):
    """y[at + i*pitch] = clamp(sums[i]), vectors, for i < ROWS."""
    a0, a1, a2, a3, a4, a5 = sums
    a0, a1, a2 = clamp(a0, low, high), clamp(a1, low, high), clamp(a2, low, high)
    store_rows((a0, a1, a2, clamp(a3, low, high), clamp(a4, low, high), clamp(a5, low, high)), y, at, pitch)


@loop
def convolve(pieces, x, w, bias, low, high, lanes, y):
    """y[n, f, p] = clamp(bias[f] + sum over c of w[f, c] * x[n, c, p], low, high), LANES pixels p as a vector.

    A piece is (n, first filter, last filter, first pixel, last pixel): at least ROWS filters and LANES pixels; the last of them
    overlap those before. x (N, C, P), w (F, C) and y (N, F, P) are contiguous, lanes (2, C * LANES) is a workspace, in which
    the pixels of all channels come to lie one after the other.
    """
    (_, C, P), at_once, w_flat = x.shape, 2 if TWO_AT_ONCE else 1, w.ravel()
    low, high, near, far = spread(low), spread(high), lanes[0], lanes[1]
    for n, first, last, first_pixel, last_pixel in pieces:
        x_n, y_n = x[n].ravel(), y[n].ravel()
        for pixel in range(first_pixel, last_pixel, at_once * LANES):
            p = min(pixel, last_pixel - LANES)
            q = min(pixel + LANES, last_pixel - LANES)
            for c in range(C):
                store(load(x_n, c * P + p), near, c * LANES)
                if TWO_AT_ONCE:
                    store(load(x_n, c * P + q), far, c * LANES)
            for filter in range(first, last, ROWS):
                f = min(filter, last - ROWS)
                b = bias[f:]
                sums = spread(b[0]), spread(b[1]), spread(b[2]), spread(b[3]), spread(b[4]), spread(b[5])
                if TWO_AT_ONCE:
                    others = sums
                    for c in range(C):
                        sums = multiply_add_rows(w_flat, f * C + c, C, load(near, c * LANES), sums)
                        others = multiply_add_rows(w_flat, f * C + c, C, load(far, c * LANES), others)
                    _store_limited(others, low, high, y_n, f * P + q, P)
                else:
                    for c in range(C):
                        sums = multiply_add_rows(w_flat, f * C + c, C, load(near, c * LANES), sums)
                _store_limited(sums, low, high, y_n, f * P + p, P)
