"""Products of matrices, ``a @ b``, for Numba loops: the sums of some rows of a stay in registers until they are finished."""

from __future__ import annotations

import numpy as np
from numba.core.registry import cpu_target

from ...runtime.compilation import inlined, loop
from .vectors import LANES, add, clamp, load, multiply_add_rows, spread, store, store_rows

ROWS = 6  # with two vectors each, twelve sums: enough to keep the arithmetic busy while others wait for their last addition
# AVX2 has 16 registers of half a vector: six sums of one vector take twelve of them, and more would not stay there
TWO_AT_ONCE = "+avx512f" in cpu_target.target_context.codegen().magic_tuple()[2]  # what Numba compiles for


@inlined
def _add_products(x, at, offsets, step, w, sums):
    """sums[i] + sum over k of x[at + offsets[k] + i*step] * w[k] for i < ROWS; w (K * LANES,) and sums are vectors."""
    for k in range(len(offsets)):
        sums = multiply_add_rows(x, at + offsets[k], step, load(w, k * LANES), sums)
    return sums


@inlined
def _add_products_of_two(x, at, offsets, step, w, v, sums, others):
    """The same with two vectors for each k: what they have in common is read once."""
    for k in range(len(offsets)):
        here = at + offsets[k]
        sums = multiply_add_rows(x, here, step, load(w, k * LANES), sums)
        others = multiply_add_rows(x, here, step, load(v, k * LANES), others)
    return sums, others


@inlined
def _store_rows(sums, low, high, y, places, first):
    """y[places[first + i]] = sums[i], vectors, kept within ``low`` and ``high``, for i < ROWS."""
    a0, a1, a2, a3, a4, a5 = sums
    store(clamp(a0, low, high), y, places[first])
    store(clamp(a1, low, high), y, places[first + 1])
    store(clamp(a2, low, high), y, places[first + 2])
    store(clamp(a3, low, high), y, places[first + 3])
    store(clamp(a4, low, high), y, places[first + 4])
    store(clamp(a5, low, high), y, places[first + 5])


@inlined
def multiply_tile(x, at, offsets, step, w, b, low, high, y, places, first):
    """y[places[first + i]] = clamp(b + sum over k of x[at + offsets[k] + i*step] * w[k]) for i < ROWS.

    w, b, low, high and y are vectors.
    """
    _store_rows(_add_products(x, at, offsets, step, w, (b, b, b, b, b, b)), low, high, y, places, first)


@inlined
def multiply_two_tiles(x, at, offsets, step, w, v, b, c, low, high, y, z, places, first):
    """The same of y with w and b, and of z with v and c, in less than twice the time where there are registers for both."""
    if TWO_AT_ONCE:
        sums, others = _add_products_of_two(x, at, offsets, step, w, v, (b, b, b, b, b, b), (c, c, c, c, c, c))
        _store_rows(sums, low, high, y, places, first)
        _store_rows(others, low, high, z, places, first)
    else:
        multiply_tile(x, at, offsets, step, w, b, low, high, y, places, first)
        multiply_tile(x, at, offsets, step, v, c, low, high, z, places, first)


@inlined
def _keep_rows(sums, y, i, first, last, is_first, some):
    """y[r] (+)= sums[r - i] for the rows r from i on with first <= r < last, vectors; ``some`` has room for ROWS of them."""
    if not is_first:
        at, (a, b, c, d, e, f) = i * LANES, sums
        a, b, c = add(a, load(y, at)), add(b, load(y, at + LANES)), add(c, load(y, at + 2 * LANES))
        d, e, f = add(d, load(y, at + 3 * LANES)), add(e, load(y, at + 4 * LANES)), add(f, load(y, at + 5 * LANES))
        sums = a, b, c, d, e, f
    if first == i and i + ROWS <= last:
        store_rows(sums, y, i * LANES, LANES)
    else:
        store_rows(sums, some, 0, LANES)
        for r in range(first, min(i + ROWS, last)):
            store(load(some, (r - i) * LANES), y, r * LANES)


@loop
def multiply(x, rows, step, K, skip, w, blocks, y, is_first):
    """y[block, i] (+)= sum over k < K of x[i*step + k*skip] * w[block, k] for i < rows: a matrix product.

    w (blocks, K) and y (blocks, rows) are vectors, flat. If ``is_first``, y is new; else the sums are added to it when they are
    finished: long sums of float32 are inexact. x and y can be read as if they had at least ROWS rows.
    """
    some, at_once = np.empty(ROWS * LANES, y.dtype), 2 if TWO_AT_ONCE else 1
    zero = spread(y.dtype.type(0))
    zeros = zero, zero, zero, zero, zero, zero
    for block in range(0, blocks, at_once):
        other = min(block + at_once - 1, blocks - 1)
        w_block, y_block = w[block * K * LANES :], y[block * rows * LANES :]
        v, z = w[other * K * LANES :], y[other * rows * LANES :]
        for first in range(0, rows, ROWS):
            i = max(min(first, rows - ROWS), 0)  # the last rows overlap those before
            at, sums, others = i * step, zeros, zeros
            if TWO_AT_ONCE and other > block:  # the first is known when this is compiled, and what it excludes is left out
                for k in range(K):
                    sums = multiply_add_rows(x, at, step, load(w_block, k * LANES), sums)
                    others = multiply_add_rows(x, at, step, load(v, k * LANES), others)
                    at += skip
                _keep_rows(others, z, i, first, rows, is_first, some)
            else:
                for k in range(K):
                    sums = multiply_add_rows(x, at, step, load(w_block, k * LANES), sums)
                    at += skip
            _keep_rows(sums, y_block, i, first, rows, is_first, some)
