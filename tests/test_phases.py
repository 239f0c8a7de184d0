"""What a convolution and its gradient add up: taps, places, and pixels, at the border too."""

import itertools

import numpy as np
import pytest

from minicnn.kernels import reference
from minicnn.kernels.convolution.phases import forward_phase, gradient_phases, runs
from minicnn.kernels.convolution.rows import pad_rows, source_of
from minicnn.kernels.geometry import ConvGeometry


def random_geometry(seed):
    """A geometry and (H, W): strides beyond the kernel, padding beyond it, and pictures of one pixel are among them."""
    rng = np.random.default_rng(seed)
    kernel, stride, dilation, pads = rng.integers(1, 5, 2), rng.integers(1, 6, 2), rng.integers(1, 4, 2), rng.integers(0, 7, 4)
    reach = dilation * (kernel - 1) + 1
    size = np.maximum(reach - pads[[0, 2]] - pads[[1, 3]], 1) + rng.integers(0, 7, 2) * (seed % 4 > 0)
    return ConvGeometry(*(tuple(map(int, numbers)) for numbers in (kernel, stride, pads, dilation))), tuple(map(int, size))


def seen(x, row, column):
    """x[row, column], or 0 outside of it"""
    return x[row, column] if 0 <= row < x.shape[0] and 0 <= column < x.shape[1] else 0


def phases_of(geometry, size):
    """All phases, each with the size of what it reads."""
    return [
        (forward_phase(geometry, size), size),
        *((phase, geometry.count(*size)) for phase in gradient_phases(geometry, size)),
    ]


@pytest.mark.parametrize("seed", range(30))
def test_the_phases_of_a_gradient_cover_every_pixel_once_and_their_sums_are_the_gradient(seed):
    geometry, size = random_geometry(seed)
    rng = np.random.default_rng(seed)
    dy, w = rng.standard_normal(geometry.count(*size)), rng.standard_normal(geometry.kernel)
    dx, covered = np.zeros(size), np.zeros(size, int)
    for phase in gradient_phases(geometry, size):
        assert phase.stride == (1, 1)
        for i, j in np.ndindex(*phase.count):
            pixel = i * phase.step[0] + phase.first[0], j * phase.step[1] + phase.first[1]
            covered[pixel] += 1
            for tap, (row, column) in zip(phase.taps, phase.offsets, strict=True):
                dx[pixel] += seen(dy, i + row, j + column) * w.flat[tap]
    x = np.zeros((1, 1, *size))
    expected = reference.conv2d_backward(dy[None, None], x, w[None, None], *geometry[1:], 1)[0][0, 0]
    assert (covered == 1).all()
    np.testing.assert_allclose(dx, expected, atol=1e-12)


def test_each_tap_is_in_one_phase_where_the_picture_has_a_row_and_a_column_of_each():
    geometry = ConvGeometry((3, 4), (2, 3), (1, 1, 1, 1), (1, 1))
    taps = [tap for phase in gradient_phases(geometry, (9, 9)) for tap in phase.taps]
    assert sorted(taps) == list(range(12))


def test_a_stride_beyond_the_kernel_leaves_phases_without_taps():
    counts = [len(phase.taps) for phase in gradient_phases(ConvGeometry((1, 1), (2, 3), (0, 0, 0, 0), (1, 1)), (4, 6))]
    assert counts == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("seed", range(10))
def test_a_convolution_is_one_phase(seed):
    geometry, size = random_geometry(seed)
    rng = np.random.default_rng(seed)
    x, w, phase = rng.standard_normal(size), rng.standard_normal(geometry.kernel), forward_phase(geometry, size)
    y = np.zeros(phase.count)
    for i, j in np.ndindex(*phase.count):
        for tap, (row, column) in zip(phase.taps, phase.offsets, strict=True):
            y[i, j] += seen(x, i * phase.stride[0] + row, j * phase.stride[1] + column) * w.flat[tap]
    expected = reference.conv2d_forward(x[None, None], w[None, None], None, *geometry[1:], 1)
    np.testing.assert_allclose(y, expected[0, 0], atol=1e-12)
    assert (phase.step, phase.first) == ((1, 1), (0, 0))


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("are_adjacent", [False, True])
def test_runs_are_the_taps_in_their_order(seed, are_adjacent):
    C = 3
    for phase, _ in phases_of(*random_geometry(seed)):
        starts, length = runs(phase, C, are_adjacent)
        pixels = [(row, column + k) for row, column in starts for k in range(length // C)]
        assert pixels == [tuple(offset) for offset in phase.offsets]
        assert length == C or are_adjacent


def test_neighbouring_taps_of_all_channels_are_one_run_and_others_are_not():
    def count(dilation, are_adjacent):
        phase = forward_phase(ConvGeometry((2, 3), (1, 1), (0, 0, 0, 0), (1, dilation)), (9, 9))
        starts, length = runs(phase, 5, are_adjacent)
        return len(starts), length

    assert count(1, True) == (2, 15)
    assert count(2, True) == count(1, False) == (6, 5)


# ---- the pixels that are read


@pytest.mark.parametrize("seed", range(30))
def test_every_tap_finds_its_pixel_or_a_zero_where_the_source_says(seed):
    geometry, size = random_geometry(seed)
    C, samples = 2, 2
    for phase, (H, W) in phases_of(geometry, size):
        if not phase.taps:
            continue
        x, source = np.random.default_rng(seed).standard_normal((3, H, W, C)), source_of(phase, (H, W))
        places = source.place(np.array(phase.offsets))
        for first, rows in {(0, phase.count[0]), (phase.count[0] // 2, 1)}:
            pixels = source.read(x, 1, samples, first, rows)
            for n, i, j in itertools.product(range(samples), range(rows), range(phase.count[1])):
                start = (n * source.pitch(rows) + i * source.row_step) * source.columns + j * phase.stride[1]
                for place, (row, column) in zip(start + places, phase.offsets, strict=True):
                    expected = seen(x[1 + n], (first + i) * phase.stride[0] + row, j * phase.stride[1] + column)
                    np.testing.assert_array_equal(pixels[place * C : place * C + C], expected)


def test_nothing_is_copied_where_no_window_reaches_beyond_the_picture():
    x = np.zeros((2, 5, 6, 3))
    for pads, is_padded in (((0, 0, 0, 0), False), ((0, 1, 0, 0), True), ((0, 0, 1, 0), True)):
        source = source_of(forward_phase(ConvGeometry((3, 3), (1, 1), pads, (1, 1)), (5, 6)), (5, 6))
        assert source.is_padded == is_padded and np.shares_memory(source.read(x, 1, 1, 1, 1), x) != is_padded


def test_padding_that_no_window_reaches_is_not_copied():
    """At a stride of two the last column of padding is left out."""
    geometry = ConvGeometry((2, 2), (2, 2), (0, 1, 0, 1), (1, 1))
    assert not source_of(forward_phase(geometry, (4, 4)), (4, 4)).is_padded
    assert source_of(forward_phase(geometry, (5, 4)), (5, 4)).is_padded


@pytest.mark.parametrize("seed", range(30))
def test_padding_puts_zeros_around_any_part_of_a_picture_and_beside_it(seed):
    rng = np.random.default_rng(seed)
    (N, H, W, C), (rows, columns) = rng.integers(1, 5, 4), rng.integers(1, 9, 2)
    row, column = (int(rng.integers(-size - 2, size + 3)) for size in (rows, columns))
    x, padded = rng.standard_normal((N, H, W, C)), np.full((N, rows, columns, C), np.nan)
    pad_rows(x, row, column, padded)
    for n, i, j in np.ndindex(N, rows, columns):
        np.testing.assert_array_equal(padded[n, i, j], seen(x[n], row + i, column + j))
