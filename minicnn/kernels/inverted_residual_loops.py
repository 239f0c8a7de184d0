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

    h holds the rows from ``first_row`` on of a map of H rows. Taps that fall on padding are left out. Away from the borders
    with a stride of 1, two neighbours in y are computed together: they share all but one of the pixels under a row of taps.
    """
    W = h.shape[1]
    rows, OW = d.shape[:2]
    for i in range(rows):
        r, y = (i0 + i) * sh - top, d[i]
        p_begin, p_end = max(0, -r), min(KH, H - r)
        j = 0
        while j < OW:
            s = j * sw - left
            inside = s >= 0 and s + KW <= W and (KW == 3 or KW == 5)
            pair = inside and sw == 1 and s + KW < W and j + 1 < OW
            _fill(y[j], bias)
            if pair:
                _fill(y[j + 1], bias)
            for p in range(p_begin, p_end):
                x, t = h[r + p - first_row], p * KW
                if pair and KW == 3:
                    _three_taps_twice(y[j], y[j + 1], w[t], w[t + 1], w[t + 2], x[s], x[s + 1], x[s + 2], x[s + 3])
                elif pair:
                    a, b, c, d_, e = x[s], x[s + 1], x[s + 2], x[s + 3], x[s + 4]
                    _five_taps_twice(y[j], y[j + 1], w[t], w[t + 1], w[t + 2], w[t + 3], w[t + 4], a, b, c, d_, e, x[s + 5])
                elif inside and KW == 3:
                    _three_taps(y[j], w[t], w[t + 1], w[t + 2], x[s], x[s + 1], x[s + 2])
                elif inside:
                    a, b, c, d_, e = x[s], x[s + 1], x[s + 2], x[s + 3], x[s + 4]
                    _five_taps(y[j], w[t], w[t + 1], w[t + 2], w[t + 3], w[t + 4], a, b, c, d_, e)
                else:
                    for q in range(max(0, -s), min(KW, W - s)):
                        _tap(y[j], w[t + q], x[s + q])
            _clamp(y[j], low, high)
            if pair:
                _clamp(y[j + 1], low, high)
            j += 2 if pair else 1


@_loop
def _fill(y, bias):
    for e in range(len(y)):
        y[e] = bias[e]


@_loop
def _clamp(y, low, high):
    for e in range(len(y)):
        value = y[e]
        value = low if value < low else value
        y[e] = high if value > high else value


@_loop
def _tap(y, w, x):
    for e in range(len(y)):
        y[e] += w[e] * x[e]


@_loop
def _three_taps(y, w0, w1, w2, x0, x1, x2):
    for e in range(len(y)):
        y[e] += w0[e] * x0[e] + w1[e] * x1[e] + w2[e] * x2[e]


@_loop
def _three_taps_twice(y, z, w0, w1, w2, x0, x1, x2, x3):
    for e in range(len(y)):
        y[e] += w0[e] * x0[e] + w1[e] * x1[e] + w2[e] * x2[e]
        z[e] += w0[e] * x1[e] + w1[e] * x2[e] + w2[e] * x3[e]


@_loop
def _five_taps(y, w0, w1, w2, w3, w4, x0, x1, x2, x3, x4):
    for e in range(len(y)):
        y[e] += w0[e] * x0[e] + w1[e] * x1[e] + w2[e] * x2[e] + w3[e] * x3[e] + w4[e] * x4[e]


@_loop
def _five_taps_twice(y, z, w0, w1, w2, w3, w4, x0, x1, x2, x3, x4, x5):
    for e in range(len(y)):
        y[e] += w0[e] * x0[e] + w1[e] * x1[e] + w2[e] * x2[e] + w3[e] * x3[e] + w4[e] * x4[e]
        z[e] += w0[e] * x1[e] + w1[e] * x2[e] + w2[e] * x3[e] + w3[e] * x4[e] + w4[e] * x5[e]


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
