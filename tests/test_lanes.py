"""Vectors of channels: what is compiled must do what the definitions in Python, which stand above it, do."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit, types

from minicnn.kernels import lanes
from minicnn.kernels.lanes import LANES, PIECE, add, clamp, load, load_one, multiply_add, prefetch, spread, store, transpose

DTYPES = [np.float32, np.float64]


@njit
def arithmetic(x, y):
    a, b, c = load(x, 1), load(x, 2 + LANES), load_one(x, 0)
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


def test_limits_leave_nan_as_it_is_and_take_infinities():
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


def test_numba_knows_vectors_of_both_kinds_of_numbers_apart():
    assert lanes.Lanes(types.float32) != lanes.Lanes(types.float64)
    assert lanes.Lanes(types.float32) == lanes.Lanes(types.float32)


@pytest.mark.parametrize("features, at_once", [("+avx2,+fma", False), ("+avx2,+fma,+avx512f", True)])
def test_how_many_vectors_are_taken_at_once_follows_from_what_numba_compiles_for(features, at_once):
    script = f"from minicnn.kernels import lanes_loops; assert lanes_loops.TWO_AT_ONCE is {at_once}"
    result = subprocess.run([sys.executable, "-c", script], env=os.environ | {"NUMBA_CPU_FEATURES": features}, timeout=120)
    assert result.returncode == 0


@pytest.mark.parametrize("at_once", [True, False])
def test_processors_with_fewer_registers_take_one_vector_after_the_other(at_once):
    """Which of both is compiled is decided on import; as plain Python, both can be run anywhere."""
    script = f"""
import numpy as np
from minicnn.kernels import lanes_loops
from minicnn.kernels.lanes_loops import LANES, ROWS, multiply_two_tiles
lanes_loops.TWO_AT_ONCE = {at_once}
rng = np.random.default_rng(0)
x, w, v, b, c = (rng.standard_normal(n) for n in (100, 5 * LANES, 5 * LANES, LANES, LANES))
offsets, places = rng.integers(0, 40, 5), np.arange(ROWS) * LANES
y, z = np.zeros((2, ROWS * LANES))
multiply_two_tiles(x, 3, offsets, 7, w, v, b, c, np.full(LANES, -1.0), np.full(LANES, 2.0), y, z, places, 0)
seen = x[3 + offsets + 7 * np.arange(ROWS)[:, None]]
for out, filters, bias in ((y, w, b), (z, v, c)):
    np.testing.assert_allclose(out.reshape(ROWS, LANES), np.clip(bias + seen @ filters.reshape(5, LANES), -1, 2), atol=1e-12)
"""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
