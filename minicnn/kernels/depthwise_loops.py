"""The Numba loops of ``depthwise``: sequential, called on pieces of the work by several threads at once.

A unit of work is a block of up to LANES channels of one sample. Its planes are transposed, a pixel's channels side by side:
then a vector is a pixel, its neighbours in all directions are whole vectors away, and no row ends in the middle of one.
"""

from __future__ import annotations

from numba import njit

from .lanes import LANES, add, clamp, load, multiply_add, prefetch, spread, store, transpose

TILE = 4  # neighbouring pixels of y whose sums are made together, in registers
TAPS = 5  # of the filter whose sums are made together, for the gradient
NEAR = 1024  # pixels of which they are made before they are added to the others: long sums of float32 are inexact

_loop = njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})


@_loop
def _to_lanes(planes, rows, lanes, places):
    """lanes[places[k] + lane] = planes[rows[lane] + k]: pixel k of the lane's channel"""
    pixels = len(places)
    if len(rows) == LANES and pixels >= LANES:
        for k in range(0, pixels - LANES, LANES):
            transpose(planes[k:], rows, lanes, places[k:])
        k = pixels - LANES  # the last block overlaps the one before
        transpose(planes[k:], rows, lanes, places[k:])
    else:
        for lane in range(len(rows)):
            for k in range(pixels):
                lanes[places[k] + lane] = planes[rows[lane] + k]


@_loop
def _to_planes(lanes, places, planes, rows):
    """planes[rows[lane] + k] = lanes[places[k] + lane]"""
    pixels = len(places)
    if len(rows) == LANES and pixels >= LANES:
        for k in range(0, pixels - LANES, LANES):
            transpose(lanes, places[k:], planes[k:], rows)
        k = pixels - LANES
        transpose(lanes, places[k:], planes[k:], rows)
    else:
        for lane in range(len(rows)):
            for k in range(pixels):
                planes[rows[lane] + k] = lanes[places[k] + lane]


@_loop
def _filter(x, offsets, w, b, low, high, rows, columns, x_pitch, y, y_pitch, ahead):
    """y[i, j] = min(max(b + sum over t of w[t] * x[offsets[t] + (i, j)], low), high), all of them vectors.

    (i, j) begins at i * x_pitch + j * LANES in x, likewise in y, which has room for a multiple of TILE columns. ``ahead`` is
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
            there = i * y_pitch + j * LANES
            store(clamp(y0, low, high), y, there)
            store(clamp(y1, low, high), y, there + LANES)
            store(clamp(y2, low, high), y, there + 2 * LANES)
            store(clamp(y3, low, high), y, there + 3 * LANES)


@_loop
def filter_planes(
    start, stop, C, x, w, b, low, high, x_rows, x_places, x_pitch, y_rows, y_places, y_pitch, w_rows, w_places, rows, columns,
    offsets, first_taps, lanes_x, lanes_w, lanes_y, y
):  # fmt: skip
    """Units ``start`` to ``stop`` - 1 of y = min(max(b + the sums of a `Plan`, low), high); x, w and y are flat."""
    blocks, phases, taps = len(lanes_w), len(first_taps) - 1, len(w_places)
    lowest, highest = spread(low), spread(high)
    for block in range(blocks):
        _to_lanes(w[_first_channel(block, C) * taps :], w_rows, lanes_w[block], w_places)
    for unit in range(start, stop):
        n, block = unit // blocks, unit % blocks
        channel = n * C + _first_channel(block, C)
        _to_lanes(x[channel * len(x_places) :], x_rows, lanes_x, x_places)
        ahead = x[(channel + LANES) * len(x_places) :][: LANES * len(x_places)]
        for phase in range(phases):
            first, last = first_taps[phase], first_taps[phase + 1]
            w_phase, y_phase = lanes_w[block, first * LANES :], lanes_y[phase * rows * y_pitch :]
            some = ahead[len(ahead) * phase // phases : len(ahead) * (phase + 1) // phases]
            _filter(
                lanes_x, offsets[first:last], w_phase, load(b, _first_channel(block, C)), lowest, highest, rows, columns,
                x_pitch, y_phase, y_pitch, some
            )  # fmt: skip
        _to_planes(lanes_y, y_places, y[channel * len(y_places) :], y_rows)


@_loop
def _first_channel(block, C):
    """Of a block; where C is no multiple of LANES, the last block overlaps the one before."""
    return max(min(block * LANES, C - LANES), 0)


@_loop
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


@_loop
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
            channel = n * C + _first_channel(block, C)
            _to_lanes(x[channel * len(x_places) :], x_rows, lanes_x, x_places)
            _to_lanes(dy[channel * len(y_places) :], y_rows, lanes_dy, y_places)
            for t in range(0, len(offsets), TAPS):
                near = sums[group, block, t * LANES :]
                _add_inner_products(lanes_x, offsets[t:], lanes_dy, rows, columns, x_pitch, y_pitch, near)
