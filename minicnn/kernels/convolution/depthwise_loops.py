"""The Numba loops of ``depthwise``: ``textbook.depthwise_forward`` and dw of its backward for some channels, in one thread.

A unit of work is a block of up to LANES channels of one sample. Its planes are transposed, a pixel's channels side by side:
then a vector is a pixel, its neighbours in all directions are whole vectors away, and no row ends in the middle of one.
``inverted_residual`` uses ``filter_picture`` as well.
"""

from __future__ import annotations

from ...runtime.compilation import loop
from ..simd.layout import first_channel, pack, to_lanes, to_planes
from ..simd.vectors import LANES, add, clamp, load, multiply_add, prefetch, spread, store

TILE = 4  # neighbouring pixels of y whose sums are made together, in registers
TAPS = 5  # of the filter whose sums are made together, for the gradient
NEAR = 1024  # pixels of which they are made before they are added to the others: long sums of float32 are inexact


@loop
def filter_picture(x, offsets, w, b, low, high, rows, columns, x_pitch, y, y_pitch, y_step, ahead):
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
            filter_picture(
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
