"""Some pixels times some filters: what is compiled must do what its definition in Python says, and touch nothing else."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from minicnn.kernels.simd import products
from minicnn.kernels.simd.products import (
    MOST_VECTORS,
    ROWS,
    matrix_rows,
    multiply,
    multiply_tile,
    pack,
    panels,
    vectors_at_once,
)
from minicnn.kernels.simd.vectors import VECTOR_WIDTH

DTYPES = [np.float32, np.float64]
NO_CLIP = (-np.inf, np.inf)


@njit
def compiled_tile(x, places, p, offsets, steps, w, at, vectors, bias, clip, z, y, columns):
    multiply_tile(x, places, p, offsets, steps, w, at, vectors, bias, clip, z, y, columns)


def tile(
    vectors, dtype, count=VECTOR_WIDTH, overlap=0, runs=1, length=3, x_step=1, extra=0, with_z=False, clip=NO_CLIP, seed=0
):
    """Arguments of `multiply_tile` for pixels 2 to ROWS + 1 of some, y full of NaN; ``extra`` lies between the rows of w."""
    rng, width = np.random.default_rng(seed), vectors * VECTOR_WIDTH
    w_step, columns = width + extra, width if vectors > 1 else count
    x = rng.standard_normal(200).astype(dtype)
    places = np.stack([rng.integers(0, 60, ROWS + 3), *rng.permutation(2 * ROWS + 6).reshape(2, -1) * (columns + 7)])
    offsets = rng.integers(0, 100, runs)
    w = rng.standard_normal(5 + runs * length * w_step).astype(dtype)
    bias = rng.standard_normal(2 + width).astype(dtype)
    last = width - VECTOR_WIDTH - overlap
    size = places[1:].max() + width + 2
    z = rng.standard_normal(size if with_z else 0).astype(dtype)
    steps, clip = (length, x_step, w_step, last), tuple(map(dtype, clip))
    return [x, places, 2, offsets, steps, w, 5, vectors, bias, clip, z, np.full(size, np.nan, dtype), (1, 1 + last, count)]


def assert_as_defined(arguments):
    """Compiled, it writes what the Python code writes, and nowhere else."""
    *_, y, _ = arguments
    expected, dtype = y.copy(), y.dtype
    multiply_tile(*arguments[:11], expected, arguments[12])
    compiled_tile(*arguments)
    np.testing.assert_allclose(y, expected, rtol=0, atol=200 * np.finfo(dtype).eps)  # NaN where nothing is written
    return y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vectors", range(1, MOST_VECTORS + 1))
@pytest.mark.parametrize("with_z", [False, True])
@pytest.mark.parametrize(("runs", "length", "x_step"), [(1, 1, 1), (3, 1, 1), (1, 7, 3), (4, 5, 2)])
def test_a_tile_is_what_its_definition_in_python_says(dtype, vectors, with_z, runs, length, x_step):
    y = assert_as_defined(tile(vectors, dtype, runs=runs, length=length, x_step=x_step, extra=runs, with_z=with_z))
    assert np.count_nonzero(~np.isnan(y)) == ROWS * vectors * VECTOR_WIDTH


def test_the_definition_in_python_is_the_sum_that_it_claims():
    x, places, p, offsets, (length, x_step, w_step, _), w, at, _, bias, _, z, y, (first, _, _) = arguments = tile(
        1, np.float64, runs=2, length=3, x_step=4, extra=1, with_z=True, clip=(-1, 1.5)
    )
    multiply_tile(*arguments)
    for i, lane in itertools.product(range(ROWS), range(VECTOR_WIDTH)):
        from_x, from_z, to_y = places[:, p + i]
        total = bias[first + lane] + z[from_z + first + lane]
        for r, k in itertools.product(range(2), range(length)):
            total += x[from_x + offsets[r] + k * x_step] * w[at + (r * length + k) * w_step + lane]
        assert y[to_y + first + lane] == pytest.approx(min(max(total, -1), 1.5), abs=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("with_z", [False, True])
@pytest.mark.parametrize("count", range(1, VECTOR_WIDTH))
def test_of_fewer_lanes_than_a_vector_nothing_beyond_is_touched(dtype, count, with_z):
    y = assert_as_defined(tile(1, dtype, count, with_z=with_z))
    assert np.count_nonzero(~np.isnan(y)) == ROWS * count


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vectors", range(2, MOST_VECTORS + 1))
@pytest.mark.parametrize("overlap", [1, 9, VECTOR_WIDTH - 1])
def test_the_last_vector_may_overlap_the_one_before(dtype, vectors, overlap):
    arguments = tile(vectors, dtype, overlap=overlap, with_z=True)
    y = assert_as_defined(arguments)
    assert np.count_nonzero(~np.isnan(y)) == ROWS * (vectors * VECTOR_WIDTH - overlap)


@pytest.mark.parametrize("vectors", {1, MOST_VECTORS})
def test_sums_may_be_added_to_where_they_lie(vectors):
    arguments = tile(vectors, np.float64, with_z=True)
    arguments[1][2] = arguments[1][1]  # y and z have the same places
    z = arguments[10]
    arguments[11] = expected = z.copy()
    multiply_tile(*arguments)
    arguments[10] = arguments[11] = z
    compiled_tile(*arguments)
    np.testing.assert_allclose(z, expected, atol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vectors", {1, MOST_VECTORS})
def test_clipping_takes_infinities_and_leaves_nan_as_it_is(dtype, vectors):
    arguments = tile(vectors, dtype, length=1, clip=(0, 6))
    x, places, p, offsets = arguments[:4]
    seen = places[0, p : p + 3] + offsets[0]
    x[seen] = np.nan, np.inf, -np.inf
    arguments[5][:] = np.abs(arguments[5]) + dtype(0.1)
    y = assert_as_defined(arguments)
    rows = [y[at + 1 : at + 1 + vectors * VECTOR_WIDTH] for at in places[2, p : p + 3]]
    assert len({*seen}) == 3 and np.isnan(rows[0]).all() and (rows[1] == 6).all() and (rows[2] == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "vectors"), [(1, 1), (ROWS, MOST_VECTORS), (ROWS + 1, 1), (17, MOST_VECTORS)])
def test_a_matrix_product_of_any_height_is_made_and_added_to(dtype, rows, vectors):
    rng, K, x_step, width = np.random.default_rng(5), 5, 7, vectors * VECTOR_WIDTH
    x, w = rng.standard_normal((rows, x_step)).astype(dtype), rng.standard_normal((K, width)).astype(dtype)
    y = np.full((rows + ROWS, width), np.nan, dtype)
    places, zeros = matrix_rows(rows, x_step, width), np.zeros(width, dtype)
    assert places.shape[1] % ROWS == 0 and places.shape[1] < rows + ROWS
    how = (
        places,
        np.zeros(1, np.int64),
        (K, 1, width, width - VECTOR_WIDTH),
        w.ravel(),
        0,
        vectors,
        zeros,
        tuple(map(dtype, NO_CLIP)),
    )
    columns = (0, width - VECTOR_WIDTH, VECTOR_WIDTH)
    multiply(x.ravel(), *how, y.ravel()[:0], y.ravel(), columns)
    np.testing.assert_allclose(y[:rows], x[:, :K] @ w, atol=50 * np.finfo(dtype).eps)
    z = y.ravel().copy()
    multiply(x.ravel(), *how, z, y.ravel(), columns)
    np.testing.assert_allclose(y[:rows], 2 * (x[:, :K] @ w), atol=100 * np.finfo(dtype).eps)
    assert np.isnan(y[rows:]).all()  # nothing else is touched


def test_rows_of_a_matrix_are_repeated_up_to_whole_tiles():
    places = matrix_rows(ROWS + 1, 10, 100)
    last = [10 * ROWS] * (ROWS - 1)
    np.testing.assert_array_equal(places[0], [*range(0, 10 * ROWS + 1, 10), *last])
    np.testing.assert_array_equal(places[1:], np.stack([10 * places[0]] * 2))


# ---- panels of filters


@pytest.mark.parametrize("most", [1, 4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_panels_have_every_column_in_a_vector_and_no_more_vectors_than_go_together(dtype, most, monkeypatch):
    monkeypatch.setattr(products, "MOST_VECTORS", most)
    at_once = max(most * 4 // np.dtype(dtype).itemsize, 1)
    assert vectors_at_once(dtype) == at_once
    for columns in range(1, 200):
        seen, count = np.zeros(columns, int), 0
        for vectors, first, last, lanes, before in panels(columns, dtype):
            assert 1 <= vectors <= at_once and before == count and lanes == min(columns, VECTOR_WIDTH)
            for v in range(vectors):
                column = last if v == vectors - 1 else first + v * VECTOR_WIDTH
                assert column + lanes <= columns  # no vector reads or writes beyond
                seen[column : column + lanes] += 1
            count += vectors
        assert count == -(-columns // VECTOR_WIDTH) and seen.min() == 1
        assert seen.sum() == max(columns, count * VECTOR_WIDTH if columns > VECTOR_WIDTH else columns)


@pytest.mark.parametrize("dtype", DTYPES)
def test_panels_are_about_equally_wide(dtype):
    for columns in range(1, 400):
        vectors = panels(columns, dtype)[:, 0]
        assert vectors.max() - vectors.min() <= 1


ORDERS = {"as arrays have them": (0, 1, 2), "columns side by side": (2, 1, 0), "channels before columns": (1, 0, 2)}


@pytest.mark.parametrize("columns", [1, 3, 15, 16, 17, 40, 65, 130])
@pytest.mark.parametrize("taps", [[0], [4, 0, 3], [0, 1, 2, 3, 4], [0, 1]])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_packing_puts_the_filters_of_a_panel_side_by_side_and_zeros_into_lanes_without_a_filter(order, taps, columns):
    for C, count in ((1, 5), (3, 5), (3, len(taps)), (7, 1)):
        taps_of_filter = [tap for tap in taps if tap < count]
        of_columns, w = panels(columns, np.float64), np.random.default_rng(0).standard_normal((columns, C, count))
        memory = np.ascontiguousarray(w.transpose(order))
        steps = tuple(stride // memory.itemsize for stride in memory.transpose(np.argsort(order)).strides)
        packed = np.full((-(-columns // VECTOR_WIDTH), len(taps_of_filter), C, VECTOR_WIDTH), np.nan)
        pack(memory.ravel(), np.array(taps_of_filter), C, steps, of_columns, packed.ravel())
        for vectors, first, last, lanes, before in of_columns:
            panel = packed[before : before + vectors].reshape(len(taps_of_filter), C, vectors, VECTOR_WIDTH)
            for v in range(vectors):
                column = last if v == vectors - 1 else first + v * VECTOR_WIDTH
                np.testing.assert_array_equal(panel[:, :, v, :lanes], w[column : column + lanes, :, taps_of_filter].T)
                assert not panel[:, :, v, lanes:].any()


# ---- other processors


@pytest.mark.parametrize(("features", "most"), [("+avx2,+fma", 1), ("+avx2,+fma,+avx512f", 4)])
def test_how_many_vectors_go_together_follows_from_what_numba_compiles_for(features, most):
    script = f"""
from minicnn.kernels.simd import products
assert products.HAS_AVX512 is {most == 4} and products.MOST_VECTORS == {most}
"""
    result = subprocess.run([sys.executable, "-c", script], env=os.environ | {"NUMBA_CPU_FEATURES": features}, timeout=120)
    assert result.returncode == 0


@pytest.mark.parametrize("most", [1, 4])
def test_as_plain_python_convolutions_are_the_definition_with_few_registers_and_with_many(most):
    """Which of both is compiled is decided on import; as plain Python, both can be run anywhere."""
    script = f"""
import numpy as np
from minicnn.kernels import reference
from minicnn.kernels.simd import products
from minicnn.kernels.convolution import direct
from minicnn.kernels.convolution import dispatch as conv
assert type(products.multiply).__name__ == "function"
products.MOST_VECTORS = {most}
rng = np.random.default_rng(0)
for F, groups, numbers in ((37, 1, 1 << 15), (5, 1, 60), (34, 2, 1)):
    direct.NUMBERS_PER_PART = numbers
    x, w, b = rng.standard_normal((2, 2 * groups, 3, 4)), rng.standard_normal((F, 2, 2, 3)), rng.standard_normal(F)
    how = (1, 2), (1, 0, 1, 1), (1, 1), groups
    y = reference.conv2d_forward(x, w, b, *how)
    np.testing.assert_allclose(conv.conv2d_forward(x, w, b, *how, algorithm="direct"), y, atol=1e-12)
    dx, dw, _ = reference.conv2d_backward(y, x, w, *how)
    np.testing.assert_allclose(conv.conv2d_dx(y, w, (3, 4), *how, algorithm="direct"), dx, atol=1e-11)
    np.testing.assert_allclose(conv.conv2d_dw(y, x, (2, 3), *how, algorithm="direct"), dw, atol=1e-11)
x, w = rng.standard_normal((1, 3, 3, 4)).astype(np.float32), rng.standard_normal((70, 3, 1, 1)).astype(np.float32)
how = (1, 1), (0, 0, 0, 0), (1, 1), 1
y = conv.conv2d_forward(x, w, None, *how, algorithm="direct")
np.testing.assert_allclose(y, reference.conv2d_forward(x, w, None, *how), atol=1e-5)
"""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
