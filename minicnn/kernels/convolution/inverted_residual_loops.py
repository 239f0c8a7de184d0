"""The Numba loops of ``inverted_residual``: its three convolutions for some rows, or some channels, in one thread."""

from __future__ import annotations

import numpy as np

from ...runtime.compilation import loop
from ..simd.products import ROWS, matrix_rows, multiply
from ..simd.vectors import VECTOR_WIDTH
from .depthwise_loops import filter_channels, filter_rows
from .rows import pad_rows


@loop
def _places_of_pixels(rows, W, C, columns, first, width):
    """Where pixels lie in x, rows of W, and in h, rows of ``columns``, from ``first`` on; see `products.multiply`."""
    pixels = rows * W
    places = np.empty((3, (pixels + ROWS - 1) // ROWS * ROWS), np.int64)
    for k in range(places.shape[1]):
        pixel = min(k, pixels - 1)
        places[0, k], places[1, k] = pixel * C, 0
        places[2, k] = (first + pixel // W * columns + pixel % W) * width
    return places


@loop
def add_channels(first_row, last_row, sizes, x, panels_of_h, panels_of_y, filters, clips, offsets, z, y, h, d):
    """y = clip(w3 d + b3 + z), with d = clip(w2 * h + b2) and h = clip(w1 x + b1), ``rows`` of its rows at a time.

    That is, the rows ``first_row`` to ``last_row`` - 1 of y (OH, OW, F), of one picture x (H, W, C). The filters as in a
    `ChannelSlice`; without w1, h is x. h and d are workspaces: h ((rows - 1)*sh + KH, columns, width_of_h), a panel of
    channels with zeros around it, and d (rows, OW, width_of_d). All of it is flat.
    """
    H, W, C, F, KH, sh, sw, top, left, OW, rows, columns, width_of_h, width_of_d = sizes
    w1, b1, w2, b2, w3, b3 = filters
    clip1, clip2, clip3 = (clips[0], clips[1]), (clips[2], clips[3]), (clips[4], clips[5])
    widens, nothing, start_of_run = len(w1) > 0, z[:0], np.zeros(1, np.int64)
    taps, channels = len(offsets), len(w3) // (panels_of_y[-1, 4] + panels_of_y[-1, 0]) // VECTOR_WIDTH  # of this slice
    if widens:
        h[:] = 0  # the padding at the sides
    for i in range(first_row, last_row, rows):
        count = min(rows, last_row - i)
        above, rows_of_h = i * sh - top, (count - 1) * sh + KH  # the row of h, or of the padding, under the first tap
        first, end = min(max(above, 0), H), max(min(above + rows_of_h, H), 0)
        size, steps, steps_of_d = (count, OW), (sh * columns * width_of_h, sw * width_of_h), (OW * width_of_d, width_of_d)
        if not widens:
            padded = h[: rows_of_h * columns * C].reshape(1, rows_of_h, columns, C)
            pad_rows(x.reshape(1, H, W, C), above, -left, padded)
            filter_channels(h, offsets, w2, channels, b2, clip2, size, steps, d, steps_of_d)
        else:
            h[: (first - above) * columns * width_of_h] = 0
            h[max(end - above, 0) * columns * width_of_h :] = 0
            places = _places_of_pixels(max(end - first, 0), W, C, columns, (first - above) * columns + left, width_of_h)
            for vectors, first_c, last_c, _, before in panels_of_h:
                width = vectors * VECTOR_WIDTH
                how = C, 1, width, width - VECTOR_WIDTH
                within = 0, width - VECTOR_WIDTH, VECTOR_WIDTH
                bias = b1[before * VECTOR_WIDTH :]
                w_at = before * VECTOR_WIDTH * C
                multiply(x[first * W * C :], places, start_of_run, how, w1, w_at, vectors, bias, clip1, nothing, h, within)
                for v in range(vectors):
                    c, vector = last_c if v == vectors - 1 else first_c + v * VECTOR_WIDTH, before + v
                    w2_v = w2[vector * taps * VECTOR_WIDTH :]
                    b2_v = b2[vector * VECTOR_WIDTH : (vector + 1) * VECTOR_WIDTH]
                    filter_rows(h[v * VECTOR_WIDTH :], offsets, w2_v, 0, b2_v, clip2, size, steps, d[c:], steps_of_d)
        places, at_y = matrix_rows(count * OW, width_of_d, F), i * OW * F
        for vectors, first_f, last_f, lanes, before in panels_of_y:
            width = vectors * VECTOR_WIDTH
            how, at = (channels, 1, width, width - VECTOR_WIDTH), before * VECTOR_WIDTH * channels
            multiply(d, places, start_of_run, how, w3, at, vectors, b3, clip3, z[at_y:], y[at_y:], (first_f, last_f, lanes))


@loop
def collect(products, bias, clip, shortcut, begin, end, y):
    """y (OH, OW, F) = clip(sum of products (parts, OH*OW*F) + bias, and + shortcut (1, OH*OW*F) if any).

    For the pixels ``begin`` to ``end`` - 1.
    """
    (low, high), F, flat = clip, len(bias), y.ravel()
    for pixel in range(begin, end):
        at = pixel * F
        row, total = flat[at : at + F], products[0, at : at + F]
        for part in range(1, len(products)):
            term = products[part, at : at + F]
            for f in range(F):
                total[f] += term[f]
        if len(shortcut):
            x = shortcut[0, at : at + F]
            for f in range(F):
                total[f] += x[f]
        for f in range(F):
            value = total[f] + bias[f]
            value = low if value < low else value
            row[f] = high if value > high else value
