"""Vectors of channels: what is compiled must do what the definitions in Python, which stand above it, do."""

import numpy as np
import pytest
from numba import njit, types

from minicnn.kernels.simd import vectors
from minicnn.kernels.simd.vectors import (
    VECTOR_WIDTH,
    add,
    clamp,
    constant_matrix,
    load,
    load_part,
    multiply_add,
    spread,
    store,
    store_part,
)

DTYPES = [np.float32, np.float64]


@njit
def arithmetic(x, y):
    a, b, c = load(x, 1), load(x, 2 + VECTOR_WIDTH), spread(x[0])
    store(clamp(multiply_add(a, b, add(b, c)), spread(x[3]), spread(x[4])), y, 3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic_is_that_of_each_lane(dtype):
    x = np.random.default_rng(0).standard_normal(3 * VECTOR_WIDTH).astype(dtype)
    x[3], x[4] = -0.5, 1
    y, expected = np.zeros((2, VECTOR_WIDTH + 5), dtype)
    arithmetic(x, y)
    a, b = x[1 : 1 + VECTOR_WIDTH], x[2 + VECTOR_WIDTH : 2 + 2 * VECTOR_WIDTH]
    expected[3 : 3 + VECTOR_WIDTH] = np.clip(a * b + b + x[0], -0.5, 1)
    np.testing.assert_allclose(y, expected, atol=8 * np.finfo(dtype).eps)
    assert (y == -0.5).any() and (y == 1).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_compiled_and_plain_python_are_the_same(dtype):
    x = np.random.default_rng(1).standard_normal(3 * VECTOR_WIDTH).astype(dtype)
    y, plain = np.zeros((2, VECTOR_WIDTH + 5), dtype)
    arithmetic(x, y)
    arithmetic.py_func(x, plain)
    np.testing.assert_allclose(y, plain, atol=8 * np.finfo(dtype).eps)


def test_clamping_leaves_nan_as_it_is_and_takes_infinities():
    x = np.zeros(3 * VECTOR_WIDTH, np.float32)
    x[3], x[4] = 0, 6
    x[1 + 5 : 1 + 8] = np.nan, np.inf, -np.inf
    x[2 + VECTOR_WIDTH :] = 1
    y = np.zeros(VECTOR_WIDTH + 5, np.float32)
    arithmetic(x, y)
    np.testing.assert_array_equal(y[3 + 5 : 3 + 8], [np.nan, 6, 0])


@njit
def parts(x, at, count, y, to, stored):
    store_part(load_part(x, at, count), y, to, stored)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", range(VECTOR_WIDTH + 1))
def test_of_a_part_of_a_vector_nothing_beyond_is_touched(dtype, count):
    """Loaded from the very end of an array; the other lanes hold 0; stored, they leave alone what is there."""
    x = np.random.default_rng(count).standard_normal(20).astype(dtype)
    for stored in range(VECTOR_WIDTH + 1):
        y, plain = np.full((2, VECTOR_WIDTH + 9), np.nan, dtype)
        parts(x, 20 - count, count, y, 4, stored)
        parts.py_func(x, 20 - count, count, plain, 4, stored)
        np.testing.assert_array_equal(y, plain)
        np.testing.assert_array_equal(y[4 : 4 + stored], np.append(x[20 - count :], np.zeros(VECTOR_WIDTH))[:stored])
        assert np.count_nonzero(~np.isnan(y)) == stored


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_part_may_be_stored_to_the_very_end_of_an_array(dtype):
    x = np.arange(3 * VECTOR_WIDTH).astype(dtype)
    parts(x, 0, VECTOR_WIDTH, x[: 2 * VECTOR_WIDTH], 2 * VECTOR_WIDTH - 3, 3)
    np.testing.assert_array_equal(x[2 * VECTOR_WIDTH - 3 : 2 * VECTOR_WIDTH + 1], [0, 1, 2, 2 * VECTOR_WIDTH])


MATRIX = ((1, 0, -2.5), (0, 0, 0.5), (1 / 3, -1, 0), (1, 1, 1))
apply_matrix = constant_matrix(MATRIX)


@njit
def with_matrix(x, y):
    apply_matrix(x, 5, VECTOR_WIDTH + 2, y, 3, VECTOR_WIDTH + 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_matrix_is_applied_to_each_lane(dtype):
    x = np.random.default_rng(4).standard_normal(5 * VECTOR_WIDTH).astype(dtype)
    y, plain = np.zeros((2, 5 * VECTOR_WIDTH + 9), dtype)
    with_matrix(x, y)
    with_matrix.py_func(x, plain)
    expected = np.array(MATRIX) @ [x[5 + j * (VECTOR_WIDTH + 2) :][:VECTOR_WIDTH] for j in range(3)]
    for i in range(4):
        np.testing.assert_allclose(y[3 + i * (VECTOR_WIDTH + 1) :][:VECTOR_WIDTH], expected[i], atol=8 * np.finfo(dtype).eps)
    np.testing.assert_allclose(plain, y, atol=8 * np.finfo(dtype).eps)


def test_what_a_matrix_does_not_look_at_may_be_infinite():
    x, y = np.full(5 * VECTOR_WIDTH, np.inf, np.float32), np.zeros(5 * VECTOR_WIDTH, np.float32)
    x[5 + 2 * (VECTOR_WIDTH + 2) :][:VECTOR_WIDTH] = 1
    with_matrix(x, y)
    np.testing.assert_array_equal(y[3 + VECTOR_WIDTH + 1 :][:VECTOR_WIDTH], 0.5)


def test_numba_knows_vectors_of_both_kinds_of_numbers_apart():
    assert vectors.Vector(types.float32) != vectors.Vector(types.float64)
    assert vectors.Vector(types.float32) == vectors.Vector(types.float32)
