"""The Numba loops of ``depthwise``: ``textbook.depthwise_forward`` and dw of its backward for some rows, in one thread.

A pixel's channels lie side by side, so that the same channels of its neighbours in all directions are whole pixels away.
"""

from __future__ import annotations

from ...runtime.compilation import loop
from ..simd.vectors import (
    VECTOR_WIDTH,
    add,
    clamp,
    first_of_vector,
    load,
    load_part,
    multiply_add,
    spread,
    store,
    store_part,
    vectors_of,
)
from .rows import read_window

PIXELS = 4  # neighbours whose sums are made together, in registers
TAPS = 5  # of the filter whose sums are made together, for the gradient


@loop
def filter_rows(x, offsets, w, c, bias, clip, size, x_steps, y, y_steps):
    """y[i, j] = clip(bias[c] + sum over t of w[t, c] * x[offsets[t] + (i, j)]), for the vector of channels from c on.

    ``size`` is (rows, columns), the steps are numbers from a row to the next and from a pixel to the next; x, y and w
    (taps, len(bias)) are flat.
    """
    (rows, columns), (x_row, x_step), (y_row, y_step), width = size, x_steps, y_steps, len(bias)
    low, high, b = spread(clip[0]), spread(clip[1]), load(bias, c)
    for i in range(rows):
        for first in range(0, columns, PIXELS):
            j = min(first, max(columns - PIXELS, 0))  # the last pixels overlap those before
            y0, here = b, i * x_row + j * x_step + c
            y1, y2, y3 = y0, y0, y0
            there = i * y_row + j * y_step + c
            if columns >= PIXELS:
                for t in range(len(offsets)):
                    w_t, at = load(w, t * width + c), here + offsets[t]
                    y0 = multiply_add(w_t, load(x, at), y0)
                    y1 = multiply_add(w_t, load(x, at + x_step), y1)
                    y2 = multiply_add(w_t, load(x, at + 2 * x_step), y2)
                    y3 = multiply_add(w_t, load(x, at + 3 * x_step), y3)
                store(clamp(y0, low, high), y, there)
                store(clamp(y1, low, high), y, there + y_step)
                store(clamp(y2, low, high), y, there + 2 * y_step)
                store(clamp(y3, low, high), y, there + 3 * y_step)
            else:
                for k in range(columns):
                    total = b
                    for t in range(len(offsets)):
                        total = multiply_add(load(w, t * width + c), load(x, here + k * x_step + offsets[t]), total)
                    store(clamp(total, low, high), y, there + k * y_step)


@loop
def filter_few_channels(x, offsets, w, channels, bias, clip, size, x_steps, y, y_steps):
    """`filter_rows` where there are fewer channels than a vector has lanes."""
    (rows, columns), (x_row, x_step), (y_row, y_step) = size, x_steps, y_steps
    low, high, b = spread(clip[0]), spread(clip[1]), load(bias, 0)
    for i in range(rows):
        for j in range(columns):
            total = b
            for t in range(len(offsets)):
                x_t = load_part(x, i * x_row + j * x_step + offsets[t], channels)
                total = multiply_add(load(w, t * VECTOR_WIDTH), x_t, total)
            store_part(clamp(total, low, high), y, i * y_row + j * y_step, channels)


@loop
def filter_channels(x, offsets, w, channels, bias, clip, size, x_steps, y, y_steps):
    """`filter_rows` for all channels, a vector after another; where they are no multiple, the last overlaps the one before."""
    if channels < VECTOR_WIDTH:
        filter_few_channels(x, offsets, w, channels, bias, clip, size, x_steps, y, y_steps)
        return
    for v in range(vectors_of(channels)):
        filter_rows(x, offsets, w, first_of_vector(v, channels), bias, clip, size, x_steps, y, y_steps)


@loop
def filter_pieces(pieces, x, window, room, offsets, w, bias, clip, columns, x_steps, y, y_steps):
    """`filter_channels` for pieces (sample, first row, rows of y), ``columns`` wide, of x (N, H, W, C).

    ``window`` and ``room`` as `rows.read_window` takes them; ``y_steps`` lead from a sample of the flat y to the next, from a
    row and from a pixel.
    """
    for i in range(len(pieces)):
        n, row, rows = pieces[i, 0], pieces[i, 1], pieces[i, 2]
        of_x, of_y = read_window(x, n, 1, row, rows, window, room), y[n * y_steps[0] + row * y_steps[1] :]
        filter_channels(of_x, offsets, w, x.shape[3], bias, clip, (rows, columns), x_steps, of_y, (y_steps[1], y_steps[2]))


@loop
def _add_inner_products(x, offsets, dy, lanes, size, x_steps, y_steps, sums):
    """sums[t] += sum over i, j of dy[i, j] * x[offsets[t] + (i, j)] for TAPS offsets, which lie VECTOR_WIDTH apart in sums."""
    (rows, columns), (x_row, x_step), (y_row, y_step) = size, x_steps, y_steps
    at0, at1, at2, at3, at4 = offsets[0], offsets[1], offsets[2], offsets[3], offsets[4]
    s0 = spread(sums.dtype.type(0))
    s1, s2, s3, s4 = s0, s0, s0, s0
    for i in range(rows):
        here, there = i * x_row, i * y_row
        for _ in range(columns):
            if lanes == VECTOR_WIDTH:
                d = load(dy, there)
                s0 = multiply_add(d, load(x, at0 + here), s0)
                s1 = multiply_add(d, load(x, at1 + here), s1)
                s2 = multiply_add(d, load(x, at2 + here), s2)
                s3 = multiply_add(d, load(x, at3 + here), s3)
                s4 = multiply_add(d, load(x, at4 + here), s4)
            else:
                d = load_part(dy, there, lanes)
                s0 = multiply_add(d, load_part(x, at0 + here, lanes), s0)
                s1 = multiply_add(d, load_part(x, at1 + here, lanes), s1)
                s2 = multiply_add(d, load_part(x, at2 + here, lanes), s2)
                s3 = multiply_add(d, load_part(x, at3 + here, lanes), s3)
                s4 = multiply_add(d, load_part(x, at4 + here, lanes), s4)
            here += x_step
            there += y_step
    store(add(load(sums, 0), s0), sums, 0)
    store(add(load(sums, VECTOR_WIDTH), s1), sums, VECTOR_WIDTH)
    store(add(load(sums, 2 * VECTOR_WIDTH), s2), sums, 2 * VECTOR_WIDTH)
    store(add(load(sums, 3 * VECTOR_WIDTH), s3), sums, 3 * VECTOR_WIDTH)
    store(add(load(sums, 4 * VECTOR_WIDTH), s4), sums, 4 * VECTOR_WIDTH)


@loop
def add_gradients(x, offsets, dy, channels, size, x_steps, y_steps, sums):
    """sums[v, t] += sum over i, j of dy[i, j] * x[offsets[t] + (i, j)] for each vector v of channels; a multiple of TAPS taps.

    sums (vectors, taps, VECTOR_WIDTH); the last vector overlaps the one before as in `filter_channels`.
    """
    for v in range(len(sums)):
        c = first_of_vector(v, channels)
        for t in range(0, len(offsets), TAPS):
            some = sums[v, t:].ravel()
            _add_inner_products(x[c:], offsets[t:], dy[c:], min(channels, VECTOR_WIDTH), size, x_steps, y_steps, some)


@loop
def add_gradients_of_pieces(pieces, x, window, room, offsets, dy, x_steps, sums):
    """`add_gradients` for pieces (sample, first row, rows) of dy (N, OH, OW, C), from x (N, H, W, C); see `filter_pieces`."""
    _, OH, OW, C = dy.shape
    for i in range(len(pieces)):
        n, row, rows = pieces[i, 0], pieces[i, 1], pieces[i, 2]
        of_x, of_dy = read_window(x, n, 1, row, rows, window, room), dy.ravel()[(n * OH + row) * OW * C :]
        add_gradients(of_x, offsets, of_dy, C, (rows, OW), x_steps, (OW * C, C), sums)
