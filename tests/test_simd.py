"""Vectors of channels: what is compiled must do what the definitions in Python, which stand above it, do."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit, types

from minicnn.kernels.simd import vectors
from minicnn.kernels.simd.products import ROWS, multiply
from minicnn.kernels.simd.vectors import (
    LANES,
    PIECE,
    add,
    clamp,
    constant_matrix,
    load,
    multiply_add,
    multiply_add_rows,
    overtake,
    prefetch,
    spread,
    store,
    store_rows,
    transpose,
    where_equal,
)

DTYPES = [np.float32, np.float64]


@njit
def arithmetic(x, y):
    a, b, c = load(x, 1), load(x, 2 + LANES), spread(x[0])
    prefetch(x, 10**9)  # far beyond the end, and harmless
    store(clamp(multiply_add(a, b, add(b, c)), spread(x[3]), spread(x[4])), y, 3)


@njit
def transposed(x, rows, y, columns):
    transpose(x, rows, y, columns)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic_is_that_of_each_lane(dtype):
    x = np.random.default_rng(0).standard_normal(3 * LANES).astype(dtype)
    x[3], x[4] = -0.5, 1
    y, expected = np.zeros((2, LANES + 5), dtype)
    arithmetic(x, y)
    a, b = x[1 : 1 + LANES], x[2 + LANES : 2 + 2 * LANES]
    expected[3 : 3 + LANES] = np.clip(a * b + b + x[0], -0.5, 1)
    np.testing.assert_allclose(y, expected, atol=8 * np.finfo(dtype).eps)
    assert (y == -0.5).any() and (y == 1).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_compiled_and_plain_python_are_the_same(dtype):
    x = np.random.default_rng(1).standard_normal(3 * LANES).astype(dtype)
    y, plain = np.zeros((2, LANES + 5), dtype)
    arithmetic(x, y)
    arithmetic.py_func(x, plain)
    np.testing.assert_allclose(y, plain, atol=8 * np.finfo(dtype).eps)


def test_clamping_leaves_nan_as_it_is_and_takes_infinities():
    x = np.zeros(3 * LANES, np.float32)
    x[3], x[4] = 0, 6
    x[1 + 5 : 1 + 8] = np.nan, np.inf, -np.inf
    x[2 + LANES :] = 1
    y = np.zeros(LANES + 5, np.float32)
    arithmetic(x, y)
    np.testing.assert_array_equal(y[3 + 5 : 3 + 8], [np.nan, 6, 0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_block_is_transposed_from_any_rows_to_any_columns(dtype):
    rng = np.random.default_rng(2)
    x = rng.standard_normal(LANES * 20).astype(dtype)
    rows, columns = rng.permutation(LANES) * 20 + 3, rng.permutation(PIECE) * 17 + 1
    y, plain = np.zeros((2, PIECE * 18), dtype)
    transposed(x, rows, y, columns)
    transposed.py_func(x, rows, plain, columns)
    np.testing.assert_array_equal(y, plain)
    for k in range(PIECE):
        np.testing.assert_array_equal(y[columns[k] :][:LANES], x[rows + k])
    assert np.count_nonzero(y) == PIECE * LANES  # nothing else is touched


@njit
def rows_together(x, w, y):
    a, b = load(x, 0), load(x, 1)
    store_rows(multiply_add_rows(x, 2, 7, load(w, 3), (a, b)), y, 4, LANES + 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_multiplied_and_stored_together(dtype):
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((2, 3 * LANES)).astype(dtype)
    y, plain = np.zeros((2, 3 * LANES), dtype)
    rows_together(x, w, y)
    rows_together.py_func(x, w, plain)
    for i, first in enumerate((4, 5 + LANES)):
        np.testing.assert_allclose(
            y[first:][:LANES], x[i:][:LANES] + x[2 + 7 * i] * w[3:][:LANES], rtol=8 * np.finfo(dtype).eps
        )
    np.testing.assert_allclose(plain, y, rtol=8 * np.finfo(dtype).eps)


@njit
def compared(x, y):
    best, winner = overtake(load(x, 0), load(x, LANES), load(x, 1), load(x, 2 * LANES))
    store(best, y, 0)
    store(winner, y, LANES)
    store(where_equal(load(x, 0), load(x, 3), load(x, 5)), y, 2 * LANES)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_larger_value_or_a_nan_overtakes(dtype):
    x = np.random.default_rng(6).integers(0, 3, 4 * LANES).astype(dtype)
    x[3], x[7] = np.nan, np.inf
    y, plain = np.zeros((2, 3 * LANES), dtype)
    compared(x, y)
    compared.py_func(x, plain)
    np.testing.assert_array_equal(y, plain)
    best, value = x[:LANES], x[1 : LANES + 1]
    wins = (value > best) | np.isnan(value)
    np.testing.assert_array_equal(y[:LANES], np.where(wins, value, best))
    np.testing.assert_array_equal(y[LANES : 2 * LANES], np.where(wins, x[2 * LANES : 3 * LANES], x[LANES : 2 * LANES]))
    np.testing.assert_array_equal(y[2 * LANES :], np.where(best == x[3 : 3 + LANES], x[5 : 5 + LANES], 0))


MATRIX = ((1, 0, -2.5), (0, 0, 0.5), (1 / 3, -1, 0), (1, 1, 1))
apply_matrix = constant_matrix(MATRIX)


@njit
def with_matrix(x, y):
    apply_matrix(x, 5, LANES + 2, y, 3, LANES + 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_matrix_is_applied_to_each_lane(dtype):
    x = np.random.default_rng(4).standard_normal(5 * LANES).astype(dtype)
    y, plain = np.zeros((2, 5 * LANES + 9), dtype)
    with_matrix(x, y)
    with_matrix.py_func(x, plain)
    expected = np.array(MATRIX) @ [x[5 + j * (LANES + 2) :][:LANES] for j in range(3)]
    for i in range(4):
        np.testing.assert_allclose(y[3 + i * (LANES + 1) :][:LANES], expected[i], atol=8 * np.finfo(dtype).eps)
    np.testing.assert_allclose(plain, y, atol=8 * np.finfo(dtype).eps)


def test_what_a_matrix_does_not_look_at_may_be_infinite():
    x, y = np.full(5 * LANES, np.inf, np.float32), np.zeros(5 * LANES, np.float32)
    x[5 + 2 * (LANES + 2) :][:LANES] = 1
    with_matrix(x, y)
    np.testing.assert_array_equal(y[3 + LANES + 1 :][:LANES], 0.5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "blocks"), [(1, 1), (6, 2), (7, 3), (17, 2)])
def test_a_matrix_product_of_any_size_is_made_or_added(dtype, rows, blocks):
    rng, K, step, skip = np.random.default_rng(5), 5, 2, 60
    x, w = (
        rng.standard_normal(step * max(rows, ROWS) + skip * K).astype(dtype),
        rng.standard_normal((blocks, K, LANES)).astype(dtype),
    )
    y = np.full((blocks * rows + ROWS) * LANES, np.nan, dtype)
    used = x[np.arange(rows)[:, None] * step + np.arange(K) * skip]
    multiply(x, rows, step, K, skip, w.ravel(), blocks, y, True)
    expected = used @ w
    np.testing.assert_allclose(y[: blocks * rows * LANES].reshape(expected.shape), expected, atol=50 * np.finfo(dtype).eps)
    multiply(x, rows, step, K, skip, w.ravel(), blocks, y, False)
    np.testing.assert_allclose(y[: blocks * rows * LANES].reshape(expected.shape), 2 * expected, atol=100 * np.finfo(dtype).eps)
    assert np.isnan(y[blocks * rows * LANES :]).all()  # nothing else is touched


def test_numba_knows_vectors_of_both_kinds_of_numbers_apart():
    assert vectors.Lanes(types.float32) != vectors.Lanes(types.float64)
    assert vectors.Lanes(types.float32) == vectors.Lanes(types.float32)


@pytest.mark.parametrize("features, at_once", [("+avx2,+fma", False), ("+avx2,+fma,+avx512f", True)])
def test_how_many_vectors_are_taken_at_once_follows_from_what_numba_compiles_for(features, at_once):
    script = f"from minicnn.kernels.simd import products; assert products.TWO_AT_ONCE is {at_once}"
    result = subprocess.run([sys.executable, "-c", script], env=os.environ | {"NUMBA_CPU_FEATURES": features}, timeout=120)
    assert result.returncode == 0


@pytest.mark.parametrize("at_once", [True, False])
def test_processors_with_fewer_registers_take_one_vector_after_the_other(at_once):
    """Which of both is compiled is decided on import; as plain Python, both can be run anywhere."""
    script = f"""
import numpy as np
from minicnn.kernels import reference
from minicnn.kernels.convolution import direct_loops, pointwise_loops
from minicnn.kernels.simd import products
from minicnn.kernels.convolution.dispatch import conv2d_forward
from minicnn.kernels.simd.products import LANES, ROWS, multiply, multiply_two_tiles
direct_loops.TWO_AT_ONCE = products.TWO_AT_ONCE = pointwise_loops.TWO_AT_ONCE = {at_once}
rng = np.random.default_rng(0)
x, w, v, b, c = (rng.standard_normal(n) for n in (100, 5 * LANES, 5 * LANES, LANES, LANES))
offsets, places = rng.integers(0, 40, 5), np.arange(ROWS) * LANES
y, z = np.zeros((2, ROWS * LANES))
multiply_two_tiles(x, 3, offsets, 7, w, v, b, c, np.full(LANES, -1.0), np.full(LANES, 2.0), y, z, places, 0)
seen = x[3 + offsets + 7 * np.arange(ROWS)[:, None]]
for out, filters, bias in ((y, w, b), (z, v, c)):
    np.testing.assert_allclose(out.reshape(ROWS, LANES), np.clip(bias + seen @ filters.reshape(5, LANES), -1, 2), atol=1e-12)

w, y = rng.standard_normal((3, 5, LANES)), np.zeros((3, 8, LANES))
multiply(x, 8, 5, 5, 1, w.ravel(), 3, y.ravel(), True)
np.testing.assert_allclose(y, x[:40].reshape(8, 5) @ w, atol=1e-12)

x, w, b = rng.standard_normal((2, 3, 2 * LANES + 5)), rng.standard_normal((8, 3)), rng.standard_normal(8)
y = np.zeros((2, 8, 2 * LANES + 5))
pieces = np.array([[n, 0, 8, 0, 2 * LANES + 5] for n in range(2)])
pointwise_loops.convolve(pieces, x, w, b, -1.0, 2.0, np.zeros((2, 3 * LANES)), y)
np.testing.assert_allclose(y, np.clip(w @ x + b[:, None], -1, 2), atol=1e-12)

x, w, b = rng.standard_normal((1, 2, 5, 4)), rng.standard_normal((3 * LANES - 5, 2, 3, 3)), rng.standard_normal(3 * LANES - 5)
how = w, b, (1, 1), (1, 1, 1, 1), (1, 1), 1
np.testing.assert_allclose(conv2d_forward(x, *how, algorithm="direct"), reference.conv2d_forward(x, *how), atol=1e-12)
"""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
