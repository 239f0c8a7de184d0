"""What loops over vectors of channels or pixels have in common: transposed blocks of planes, and products of matrices.

Numba's cache on disk does not notice a change in here when it loads a loop of another file that calls one of these.
"""

from __future__ import annotations

from numba import njit
from numba.core.registry import cpu_target

from .lanes import LANES, PIECE, clamp, load, load_one, multiply_add, store, transpose

ROWS = 6  # with two vectors each, twelve sums: enough to keep the arithmetic busy while others wait for their last addition
# AVX2 has 16 registers of half a vector: six sums of one vector take twelve of them, and more would not stay there
TWO_AT_ONCE = "+avx512f" in cpu_target.target_context.codegen().magic_tuple()[2]  # what Numba compiles for

# written into the caller: a call for each tile would count anew who uses each of its arrays
_inlined = njit(inline="always", nogil=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
_loop = njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})


# ---- planes


@_loop
def to_lanes(planes, rows, lanes, places):
    """lanes[places[k] + lane] = planes[rows[lane] + k]: pixel k of the lane's channel"""
    pixels = len(places)
    if len(rows) == LANES and pixels >= PIECE:
        for k in range(0, pixels - PIECE, PIECE):
            transpose(planes[k:], rows, lanes, places[k:])
        k = pixels - PIECE  # the last pieces overlap those before
        transpose(planes[k:], rows, lanes, places[k:])
    else:
        for lane in range(len(rows)):
            for k in range(pixels):
                lanes[places[k] + lane] = planes[rows[lane] + k]


@_loop
def to_planes(lanes, places, planes, rows):
    """planes[rows[lane] + k] = lanes[places[k] + lane]"""
    pixels = len(places)
    if len(rows) == LANES and pixels >= LANES:
        for first in range(0, pixels, LANES):
            k = min(first, pixels - LANES)  # the last pixels overlap those before
            for lane in range(0, LANES, PIECE):
                transpose(lanes[lane:], places[k:], planes[k:], rows[lane:])
    else:
        for lane in range(len(rows)):
            for k in range(pixels):
                planes[rows[lane] + k] = lanes[places[k] + lane]


@_loop
def first_channel(block, C):
    """Of a block; where C is no multiple of LANES, the last block overlaps the one before."""
    return max(min(block * LANES, C - LANES), 0)


@_loop
def pack(planes, C, rows, places, lanes):
    """The planes of C channels as vectors, lanes[block] (numbers,) for each block of channels."""
    for block in range(len(lanes)):
        to_lanes(planes[first_channel(block, C) * len(places) :], rows, lanes[block], places)


# ---- products


@_inlined
def _add_products(x, at, offsets, step, w, sums):
    """sums[i] + sum over k of x[at + offsets[k] + i*step] * w[k] for i < ROWS; w (K * LANES,) and sums are vectors."""
    a0, a1, a2, a3, a4, a5 = sums
    for k in range(len(offsets)):
        w_k, here = load(w, k * LANES), at + offsets[k]
        a0 = multiply_add(load_one(x, here), w_k, a0)
        a1 = multiply_add(load_one(x, here + step), w_k, a1)
        a2 = multiply_add(load_one(x, here + 2 * step), w_k, a2)
        a3 = multiply_add(load_one(x, here + 3 * step), w_k, a3)
        a4 = multiply_add(load_one(x, here + 4 * step), w_k, a4)
        a5 = multiply_add(load_one(x, here + 5 * step), w_k, a5)
    return a0, a1, a2, a3, a4, a5


@_inlined
def _add_products_of_two(x, at, offsets, step, w, v, sums):
    """The same with two vectors for each k; the sums of w come first."""
    a0, a1, a2, a3, a4, a5, b0, b1, b2, b3, b4, b5 = sums
    for k in range(len(offsets)):
        w_k, v_k, here = load(w, k * LANES), load(v, k * LANES), at + offsets[k]
        x_k = load_one(x, here)
        a0, b0 = multiply_add(x_k, w_k, a0), multiply_add(x_k, v_k, b0)
        x_k = load_one(x, here + step)
        a1, b1 = multiply_add(x_k, w_k, a1), multiply_add(x_k, v_k, b1)
        x_k = load_one(x, here + 2 * step)
        a2, b2 = multiply_add(x_k, w_k, a2), multiply_add(x_k, v_k, b2)
        x_k = load_one(x, here + 3 * step)
        a3, b3 = multiply_add(x_k, w_k, a3), multiply_add(x_k, v_k, b3)
        x_k = load_one(x, here + 4 * step)
        a4, b4 = multiply_add(x_k, w_k, a4), multiply_add(x_k, v_k, b4)
        x_k = load_one(x, here + 5 * step)
        a5, b5 = multiply_add(x_k, w_k, a5), multiply_add(x_k, v_k, b5)
    return a0, a1, a2, a3, a4, a5, b0, b1, b2, b3, b4, b5


@_inlined
def _store_rows(sums, low, high, y, places, first):
    """y[places[first + i]] = sums[i], vectors, kept within ``low`` and ``high``, for i < ROWS."""
    a0, a1, a2, a3, a4, a5 = sums
    store(clamp(a0, low, high), y, places[first])
    store(clamp(a1, low, high), y, places[first + 1])
    store(clamp(a2, low, high), y, places[first + 2])
    store(clamp(a3, low, high), y, places[first + 3])
    store(clamp(a4, low, high), y, places[first + 4])
    store(clamp(a5, low, high), y, places[first + 5])


@_inlined
def multiply_tile(x, at, offsets, step, w, b, low, high, y, places, first):
    """y[places[first + i]] = clamp(b + sum over k of x[at + offsets[k] + i*step] * w[k]) for i < ROWS.

    w, b, low, high and y are vectors.
    """
    _store_rows(_add_products(x, at, offsets, step, w, (b, b, b, b, b, b)), low, high, y, places, first)


@_inlined
def multiply_two_tiles(x, at, offsets, step, w, v, b, c, low, high, y, z, places, first):
    """The same of y with w and b, and of z with v and c, in less than twice the time where there are registers for both."""
    if TWO_AT_ONCE:
        sums = _add_products_of_two(x, at, offsets, step, w, v, (b, b, b, b, b, b, c, c, c, c, c, c))
        a0, a1, a2, a3, a4, a5, b0, b1, b2, b3, b4, b5 = sums
        _store_rows((a0, a1, a2, a3, a4, a5), low, high, y, places, first)
        _store_rows((b0, b1, b2, b3, b4, b5), low, high, z, places, first)
    else:
        multiply_tile(x, at, offsets, step, w, b, low, high, y, places, first)
        multiply_tile(x, at, offsets, step, v, c, low, high, z, places, first)
