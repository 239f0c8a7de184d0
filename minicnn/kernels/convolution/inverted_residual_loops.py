"""The Numba loops of ``inverted_residual``: its three convolutions for some rows, or some channels, in one thread.

A pixel's channels are made side by side from the beginning, so that nothing needs to be transposed between the three.
"""

from __future__ import annotations

import numpy as np

from ...runtime.compilation import loop
from ..simd.layout import first_channel, to_lanes, to_planes
from ..simd.products import ROWS, multiply_tile, multiply_two_tiles
from ..simd.vectors import LANES, load, spread, store
from .depthwise_loops import filter_picture


@loop
def _widen(x, w, v, b, c, low, high, places, first, pixels, nowhere, y, z, both):
    """y[places[first + p]] = clamp(b + sum over k of x[k, p] * w[k]) for p < pixels; x has room for more.

    If ``both``, z likewise with v and c.
    """
    K, pitch = x.shape
    flat, offsets, some_places = x.ravel(), np.arange(K) * pitch, np.empty(ROWS, np.int64)
    for p in range(0, pixels, ROWS):
        where, at = places, first + p
        if p + ROWS > pixels:
            for i in range(ROWS):
                some_places[i] = places[first + p + i] if p + i < pixels else nowhere
            where, at = some_places, 0
        if both:
            multiply_two_tiles(flat, p, offsets, 1, w, v, b, c, low, high, y, z, where, at)
        else:
            multiply_tile(flat, p, offsets, 1, w, b, low, high, y, where, at)


@loop
def _narrow(x, pitch, w, v, K, pixels, places, y, z, both):
    """y[places[p]] = sum over k < K of x[p * pitch + k] * w[k] for p < pixels; x has room for more. If ``both``, z with v."""
    zero, low, high = spread(x.dtype.type(0)), spread(x.dtype.type(-np.inf)), spread(x.dtype.type(np.inf))
    offsets = np.arange(K)
    for p in range(0, pixels, ROWS):
        if both:
            multiply_two_tiles(x, p * pitch, offsets, pitch, w, v, zero, zero, low, high, y, z, places, p)
        else:
            multiply_tile(x, p * pitch, offsets, pitch, w, zero, low, high, y, places, p)


@loop
def add_channels(
    first_row, last_row, x, H, W, w1, b1, low1, high1, w2, b2, low2, high2, w3, F, KH, sh, top, OW, rows, x_rows, places,
    x_pitch, offsets, y_rows, y_places, d_pitch, tile_x, lanes_h, d, lanes_y, product
):  # fmt: skip
    """product (F * OH*OW,) = w3^T d, with d = clamp(w2 * h + b2) and h = clamp(w1 x + b1), ``rows`` of its rows at a time.

    That is, its rows ``first_row`` to ``last_row`` - 1. x (C, H*W), and by blocks of channels, see `layout.in_lanes`, w1
    (blocks, C * LANES), w2 (blocks, taps * LANES), w3 (blocks of F, E * LANES), b1 and b2 (blocks, LANES). Without blocks in
    w1, h is x, and x_rows are those of its planes. ``places``, of the pixels of the (rows - 1)*sh + KH rows under ``rows`` of
    y, ``x_pitch`` and ``offsets`` as in a `Plan`; y_rows and y_places those of y's planes. tile_x (C, pixels), lanes_h
    (2, numbers), d (pixels * d_pitch) and lanes_y (2, pixels * LANES) are workspaces; what lies at the end of lanes_h is not
    looked at.
    """
    C, E, blocks, OH = len(tile_x), w3.shape[1] // LANES, len(w2), len(product) // (F * OW)
    low1, high1, low2, high2 = spread(low1), spread(high1), spread(low2), spread(high2)
    zero = spread(x.dtype.type(0))
    nowhere, nothing = lanes_h.shape[1] - LANES, x[0, :0]
    lanes_h[:] = 0  # the padding at the sides
    for i in range(first_row, last_row, rows):
        some = min(rows, last_row - i)
        above = i * sh - top  # the row of h, or of the padding, under the first tap
        r, end = min(max(above, 0), H), max(min(above + (some - 1) * sh + KH, H), 0)
        pixels = max(end - r, 0) * W
        if len(w1) > 0:
            for c in range(C):
                source, target = x[c, r * W : r * W + pixels], tile_x[c]
                for k in range(pixels):
                    target[k] = source[k]
        first = (r - above) * W  # of the places
        for k in range(len(places)):
            if k < first or k >= first + pixels:
                store(zero, lanes_h[0], places[k])
                store(zero, lanes_h[1], places[k])
        for block in range(0, blocks, 2):
            other = min(block + 1, blocks - 1)
            if len(w1) > 0:
                _widen(
                    tile_x, w1[block], w1[other], load(b1[block], 0), load(b1[other], 0), low1, high1, places, first, pixels,
                    nowhere, lanes_h[0], lanes_h[1], other > block
                )  # fmt: skip
            elif pixels > 0:
                for e in range(block, other + 1):
                    plane = first_channel(e, E) * H * W + r * W
                    to_lanes(x.ravel()[plane:], x_rows, lanes_h[e - block], places[first : first + pixels])
            for e in range(block, other + 1):
                filter_picture(
                    lanes_h[e - block], offsets, w2[e], load(b2[e], 0), low2, high2, some, OW, x_pitch,
                    d[first_channel(e, E) :], OW * d_pitch, d_pitch, nothing
                )  # fmt: skip
        for block in range(0, len(w3), 2):
            other = min(block + 1, len(w3) - 1)
            _narrow(d, d_pitch, w3[block], w3[other], E, some * OW, y_places, lanes_y[0], lanes_y[1], other > block)
            for f in range(block, other + 1):
                plane = first_channel(f, F) * OH * OW + i * OW
                to_planes(lanes_y[f - block], y_places[: some * OW], product[plane:], y_rows)


@loop
def collect(products, bias, low, high, shortcut, begin, end, y):
    """y (F, pixels) = min(max(sum of products (parts, F, pixels) + bias, low), high), and + shortcut (1, F, pixels) if any.

    For the pixels ``begin`` to ``end`` - 1.
    """
    for f in range(len(y)):
        row, total, b = y[f, begin:end], products[0, f, begin:end], bias[f]
        for part in range(1, len(products)):
            term = products[part, f, begin:end]
            for k in range(len(total)):
                total[k] += term[k]
        for k in range(len(row)):
            value = total[k] + b
            value = low if value < low else value
            row[k] = high if value > high else value
        if len(shortcut):
            x = shortcut[0, f, begin:end]
            for k in range(len(row)):
                row[k] += x[k]
