"""Loops for test_assembly: one whose sums fit into the registers of every processor, and one whose sums fit into none."""

from minicnn.kernels.simd.vectors import load, multiply_add, spread, store
from minicnn.runtime.compilation import inlined, loop


@inlined
def eight_vectors(x, at):
    return (
        load(x, at), load(x, at + 1), load(x, at + 2), load(x, at + 3),
        load(x, at + 4), load(x, at + 5), load(x, at + 6), load(x, at + 7),
    )  # fmt: skip


@inlined
def add_products(y, k, w, sums):
    """sums[i] + y[k + i] * w for each i < 8"""
    a, b, c, d, e, f, g, h = sums
    return (
        multiply_add(spread(y[k]), w, a), multiply_add(spread(y[k + 1]), w, b), multiply_add(spread(y[k + 2]), w, c),
        multiply_add(spread(y[k + 3]), w, d), multiply_add(spread(y[k + 4]), w, e), multiply_add(spread(y[k + 5]), w, f),
        multiply_add(spread(y[k + 6]), w, g), multiply_add(spread(y[k + 7]), w, h),
    )  # fmt: skip


@inlined
def store_vectors(sums, y, at):
    a, b, c, d, e, f, g, h = sums
    store(a, y, at), store(b, y, at + 16), store(c, y, at + 32), store(d, y, at + 48)
    store(e, y, at + 64), store(f, y, at + 80), store(g, y, at + 96), store(h, y, at + 112)


@loop
def few_sums(x, y, rounds):
    """Two vectors of sums."""
    a, b = load(x, 0), load(x, 1)
    for k in range(rounds):
        w = load(x, k)
        a, b = multiply_add(spread(y[k]), w, a), multiply_add(spread(y[k + 1]), w, b)
    store(a, y, 0)
    store(b, y, 16)


@loop
def many_sums(x, y, rounds):
    """Thirty-two vectors of sums and one of factors: one more than AVX-512 has registers."""
    a, b, c, d = eight_vectors(x, 0), eight_vectors(x, 8), eight_vectors(x, 16), eight_vectors(x, 24)
    for k in range(rounds):
        w = load(x, k)
        a, b = add_products(y, k, w, a), add_products(y, k + 8, w, b)
        c, d = add_products(y, k + 16, w, c), add_products(y, k + 24, w, d)
    store_vectors(a, y, 0)
    store_vectors(b, y, 128)
    store_vectors(c, y, 256)
    store_vectors(d, y, 384)
