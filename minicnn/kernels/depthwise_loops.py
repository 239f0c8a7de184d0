"""The Numba loops of ``depthwise`` and ``inverted_residual``: sequential, called on pieces of the work by several threads.

A unit of work is a block of up to LANES channels of one sample. Its planes are transposed, a pixel's channels side by side:
then a vector is a pixel, its neighbours in all directions are whole vectors away, and no row ends in the middle of one.
"""

from __future__ import annotations

import numpy as np

from .compilation import loop
from .lanes import LANES, add, clamp, load, multiply_add, prefetch, spread, store
from .lanes_loops import ROWS, first_channel, multiply_tile, multiply_two_tiles, pack, to_lanes, to_planes

TILE = 4  # neighbouring pixels of y whose sums are made together, in registers
TAPS = 5  # of the filter whose sums are made together, for the gradient
NEAR = 1024  # pixels of which they are made before they are added to the others: long sums of float32 are inexact


@loop
def _filter(x, offsets, w, b, low, high, rows, columns, x_pitch, y, y_pitch, y_step, ahead):
    """y[i, j] = min(max(b + sum over t of w[t] * x[offsets[t] + (i, j)], low), high), all of them vectors.

    (i, j) begins at i * x_pitch + j * LANES in x and at i * y_pitch + j * y_step in y. A row is made TILE columns at a time,
    from left to right; what that makes beyond its end is overwritten by the next row, or there is room for it. ``ahead`` is
    what will be read next: asked for a row at a time, it has come from the memory by then.
    """
    for i in range(rows):
        for k in range(len(ahead) * i // rows, len(ahead) * (i + 1) // rows, LANES):
            prefetch(ahead, k)
        for j in range(0, columns, TILE):
            y0, here = b, i * x_pitch + j * LANES
            y1, y2, y3 = y0, y0, y0
            for t in range(len(offsets)):
                w_t, at = load(w, t * LANES), here + offsets[t]
                y0 = multiply_add(w_t, load(x, at), y0)
                y1 = multiply_add(w_t, load(x, at + LANES), y1)
                y2 = multiply_add(w_t, load(x, at + 2 * LANES), y2)
                y3 = multiply_add(w_t, load(x, at + 3 * LANES), y3)
            there = i * y_pitch + j * y_step
            store(clamp(y0, low, high), y, there)
            store(clamp(y1, low, high), y, there + y_step)
            store(clamp(y2, low, high), y, there + 2 * y_step)
            store(clamp(y3, low, high), y, there + 3 * y_step)


@loop
def filter_planes(
    start, stop, C, x, w, b, low, high, x_rows, x_places, x_pitch, y_rows, y_places, y_pitch, w_rows, w_places, rows, columns,
    offsets, first_taps, lanes_x, lanes_w, lanes_y, y
):  # fmt: skip
    """Units ``start`` to ``stop`` - 1 of y = min(max(b + the sums of a `Plan`, low), high); x, w and y are flat."""
    blocks, phases = len(lanes_w), len(first_taps) - 1
    low, high = spread(low), spread(high)
    pack(w, C, w_rows, w_places, lanes_w)
    for unit in range(start, stop):
        n, block = unit // blocks, unit % blocks
        channel = n * C + first_channel(block, C)
        to_lanes(x[channel * len(x_places) :], x_rows, lanes_x, x_places)
        ahead = x[(channel + LANES) * len(x_places) :][: LANES * len(x_places)]
        for phase in range(phases):
            first, last = first_taps[phase], first_taps[phase + 1]
            w_phase, y_phase = lanes_w[block, first * LANES :], lanes_y[phase * rows * y_pitch :]
            some = ahead[len(ahead) * phase // phases : len(ahead) * (phase + 1) // phases]
            _filter(
                lanes_x, offsets[first:last], w_phase, load(b, first_channel(block, C)), low, high, rows, columns,
                x_pitch, y_phase, y_pitch, LANES, some
            )  # fmt: skip
        to_planes(lanes_y, y_places, y[channel * len(y_places) :], y_rows)


@loop
def _add_inner_products(x, offsets, y, rows, columns, x_pitch, y_pitch, sums):
    """sums[t] += sum over i, j of y[i, j] * x[offsets[t] + (i, j)], all of them vectors; TAPS offsets"""
    at0, at1, at2, at3, at4 = offsets[0], offsets[1], offsets[2], offsets[3], offsets[4]
    near = max(NEAR // columns, 1)
    for first in range(0, rows, near):
        s0 = spread(sums.dtype.type(0))
        s1, s2, s3, s4 = s0, s0, s0, s0
        for i in range(first, min(first + near, rows)):
            here, there = i * x_pitch, i * y_pitch
            for _ in range(columns):
                y_k = load(y, there)
                s0 = multiply_add(y_k, load(x, at0 + here), s0)
                s1 = multiply_add(y_k, load(x, at1 + here), s1)
                s2 = multiply_add(y_k, load(x, at2 + here), s2)
                s3 = multiply_add(y_k, load(x, at3 + here), s3)
                s4 = multiply_add(y_k, load(x, at4 + here), s4)
                here += LANES
                there += LANES
        store(add(load(sums, 0), s0), sums, 0)
        store(add(load(sums, LANES), s1), sums, LANES)
        store(add(load(sums, 2 * LANES), s2), sums, 2 * LANES)
        store(add(load(sums, 3 * LANES), s3), sums, 3 * LANES)
        store(add(load(sums, 4 * LANES), s4), sums, 4 * LANES)


@loop
def backward_weights(
    start, stop, C, N, x, dy, x_rows, x_places, x_pitch, y_rows, y_places, y_pitch, rows, columns, offsets, lanes_x, lanes_dy,
    sums
):  # fmt: skip
    """sums[g, block, t] += sum over i, j of dy[n, i, j] * x[n, offsets[t] + (i, j)] for the samples n of group g.

    Units ``start`` to ``stop`` - 1; a unit is a block of the channels of one group. sums (groups, blocks, taps * LANES), with a
    multiple of TAPS taps.
    """
    groups, blocks, _ = sums.shape
    for unit in range(start, stop):
        group, block = unit // blocks, unit % blocks
        for n in range(N * group // groups, N * (group + 1) // groups):
            channel = n * C + first_channel(block, C)
            to_lanes(x[channel * len(x_places) :], x_rows, lanes_x, x_places)
            to_lanes(dy[channel * len(y_places) :], y_rows, lanes_dy, y_places)
            for t in range(0, len(offsets), TAPS):
                near = sums[group, block, t * LANES :]
                _add_inner_products(lanes_x, offsets[t:], lanes_dy, rows, columns, x_pitch, y_pitch, near)


# ---- inverted residual: a pixel's channels are made side by side from the beginning


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

    That is, its rows ``first_row`` to ``last_row`` - 1. x (C, H*W), and by blocks of channels, see `planes.in_lanes`, w1
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
                _filter(
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
