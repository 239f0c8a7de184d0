"""The Numba loops of ``inverted_residual``: sequential, called on pieces of the work by several threads at once.

Maps are (rows, columns, channels) here. The innermost loop of each runs over the channels of one pixel, which lie side by side:
a vector of them is multiplied by a vector of taps, and no row of the picture ends in the middle of a vector.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_loop = njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})


@_loop
def add_channels(
    x, H, W, w1, b1, low1, high1, w2, b2, low2, high2, w3, KH, KW, sh, sw, top, left, OW, rows, tile_x, h, d, tile_y, product
):
    """product (F, OH*OW) = w3^T d, with d = clamp(w2 * h + b2) and h = clamp(w1 x + b1), ``rows`` of its rows at a time.

    x (C, H*W), w1 (E, C), w2 (KH*KW, E), w3 (E, F); tile_x, h, d and tile_y are flat workspaces.
    """
    (E, C), F = w1.shape, w3.shape[1]
    OH = product.shape[1] // OW
    for i in range(0, OH, rows):
        count = min(rows, OH - i) * OW
        r = max(i * sh - top, 0)  # the first of the rows of h that lie under them
        pixels = (min((i + count // OW - 1) * sh - top + KH, H) - r) * W
        h_tile = h[: max(pixels, 0) * E].reshape(max(pixels, 0), E)
        if pixels > 0:
            x_tile = tile_x[: C * pixels].reshape(C, pixels)
            for c in range(C):
                x_tile[c, :] = x[c, r * W : r * W + pixels]
            np.dot(x_tile.T, w1.T, h_tile)
            add_and_clamp(h_tile, b1, low1, high1)
        d_tile = d[: count * E].reshape(count // OW, OW, E)
        depthwise(h_tile.reshape(len(h_tile) // W, W, E), r, H, w2, b2, KH, KW, sh, sw, top, left, low2, high2, d_tile, i)
        y_tile = tile_y[: F * count].reshape(F, count)
        np.dot(w3.T, d_tile.reshape(count, E).T, y_tile)
        for f in range(F):
            product[f, i * OW : i * OW + count] = y_tile[f]


@_loop
def add_and_clamp(h, bias, low, high):
    """h (pixels, E) = min(max(h + bias, low), high), in place. A NaN fails both comparisons and stays."""
    for pixel in range(len(h)):
        row = h[pixel]
        for e in range(len(row)):
            value = row[e] + bias[e]
            value = low if value < low else value
            row[e] = high if value > high else value


@_loop
def depthwise(h, first_row, H, w, bias, KH, KW, sh, sw, top, left, low, high, d, i0):
    """d[i - i0, j, e] = min(max(bias[e] + sum over p, q of w[(p, q), e] * h_padded[i*sh + p, j*sw + q, e], low), high)

    h holds the rows from ``first_row`` on of a map of H rows. Taps that fall on padding are left out.

    With a stride of 1, neighbours in y see neighbours in h: away from the borders, the channels of some pixels are one line,
    and so are those that a tap sees of h. For that, w and bias have the channels of a pixel over and over, (KH*KW, pixels * E).
    """
    (_, W, E), (rows, OW, _) = h.shape, d.shape
    inside = W - KW + left + 1 if sw == 1 else 0  # from this column of y on, windows reach beyond the last column of h
    for i in range(rows):
        r, y = (i0 + i) * sh - top, d[i].ravel()
        for begin in range(0, len(y), len(bias)):
            _copy(bias, y[begin:])
        for p in range(max(0, -r), min(KH, H - r)):
            x, j = h[r + p - first_row].ravel(), 0
            while j < OW:
                s = j * sw - left
                q, end = max(0, -s), min(KW, W - s)
                pixels = min(len(bias) // E, inside - j) if j >= left and j < inside else 1
                _add_taps(y[j * E : (j + pixels) * E], w, p * KW + q, x[(s + q) * E :], E, end - q)
                j += pixels
        for k in range(len(y)):
            value = low if y[k] < low else y[k]  # a NaN fails both comparisons and stays
            y[k] = high if value > high else value


@_loop
def _copy(source, target):
    for k in range(min(len(source), len(target))):
        target[k] = source[k]


@_loop
def _add_taps(y, w, t, x, E, taps):
    """y[k] += sum over q < taps of w[t + q, k] * x[q*E + k]: five taps in a pass, then three, then one."""
    q = 0
    while q + 5 <= taps:
        a, b, c, d, e = x[q * E :], x[(q + 1) * E :], x[(q + 2) * E :], x[(q + 3) * E :], x[(q + 4) * E :]
        wa, wb, wc, wd, we = w[t + q], w[t + q + 1], w[t + q + 2], w[t + q + 3], w[t + q + 4]
        for k in range(len(y)):
            y[k] = y[k] + wa[k] * a[k] + wb[k] * b[k] + wc[k] * c[k] + wd[k] * d[k] + we[k] * e[k]
        q += 5
    while q + 3 <= taps:
        a, b, c = x[q * E :], x[(q + 1) * E :], x[(q + 2) * E :]
        wa, wb, wc = w[t + q], w[t + q + 1], w[t + q + 2]
        for k in range(len(y)):
            y[k] = y[k] + wa[k] * a[k] + wb[k] * b[k] + wc[k] * c[k]
        q += 3
    while q < taps:
        a, wa = x[q * E :], w[t + q]
        for k in range(len(y)):
            y[k] += wa[k] * a[k]
        q += 1


@_loop
def collect(products, bias, low, high, shortcut, y):
    """y (F, pixels) = min(max(sum of products (parts, F, pixels) + bias, low), high), and + shortcut (1, F, pixels) if any."""
    for f in range(len(y)):
        row = y[f]
        for k in range(len(row)):
            value = products[0, f, k] + bias[f]
            for part in range(1, len(products)):
                value += products[part, f, k]
            value = low if value < low else value
            row[k] = high if value > high else value
        if len(shortcut):
            x = shortcut[0, f]
            for k in range(len(row)):
                row[k] += x[k]
