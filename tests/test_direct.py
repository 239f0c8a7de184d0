"""Direct convolution: the definition's sums, for vectors of filters and some pixels at a time."""

import numpy as np
import pytest

from minicnn.kernels import reference
from minicnn.kernels.convolution import dispatch as conv
from minicnn.kernels.convolution.choice import choose_algorithm
from minicnn.kernels.convolution.direct_weight_loops import LENGTH
from minicnn.kernels.geometry import ConvGeometry
from minicnn.runtime.workers import get_threads, set_threads


def direct(x, w, b, *how, **clip):
    return conv.conv2d_forward(x, w, b, *how, **clip, algorithm="direct")


@pytest.mark.parametrize("seed", range(20))
def test_it_is_the_definition_for_any_window_and_group(seed):
    rng = np.random.default_rng(seed)
    groups = int(rng.integers(1, 4))
    kernel, stride, dilation = (tuple(rng.integers(1, most, 2).tolist()) for most in (5, 4, 3))
    pads = tuple(rng.integers(0, 3, 4).tolist())
    H, W = ((k - 1) * d + 1 + int(rng.integers(0, 12)) for k, d in zip(kernel, dilation, strict=True))
    C, F = groups * int(rng.integers(1, 4)), groups * int(rng.integers(1, 13))
    x, w = rng.standard_normal((2, C, H, W)), rng.standard_normal((F, C // groups, *kernel))
    b = rng.standard_normal(F) if seed % 2 else None
    how = stride, pads, dilation, groups
    y = direct(x, w, b, *how)
    np.testing.assert_allclose(y, reference.conv2d_forward(x, w, b, *how), atol=1e-12)
    single = direct(*(None if array is None else array.astype(np.float32) for array in (x, w, b)), *how)
    np.testing.assert_allclose(single, y, atol=1e-4)
    dy = rng.standard_normal(y.shape)
    dw = conv.conv2d_dw(dy, x, kernel, *how, algorithm="direct")
    np.testing.assert_allclose(dw, reference.conv2d_backward(dy, x, w, *how)[1], atol=1e-11)


def test_a_plane_may_be_longer_than_what_is_summed_at_a_time_and_a_row_too():
    rng = np.random.default_rng(0)
    for H, W in ((40, 30), (2, LENGTH + 100)):
        x, w, b = rng.standard_normal((1, 3, H, W)), rng.standard_normal((9, 3, 3, 3)), rng.standard_normal(9)
        how = (1, 1), (1, 1, 1, 1), (1, 1), 1
        np.testing.assert_allclose(direct(x, w, b, *how), reference.conv2d_forward(x, w, b, *how), atol=1e-12)


def test_what_an_earlier_call_left_in_the_workspaces_does_not_show():
    rng = np.random.default_rng(1)
    w = rng.standard_normal((8, 2, 3, 3))
    how = (1, 1), (1, 1, 1, 1), (1, 1), 1
    small = rng.standard_normal((1, 2, 7, 5))
    fresh = reference.conv2d_forward(small, w, None, *how)
    direct(np.full((1, 2, 9, 11), np.nan), w, None, *how)
    np.testing.assert_allclose(direct(small, w, None, *how), fresh, atol=1e-12)


def test_one_wrong_pixel_spoils_the_windows_that_see_it_and_no_others():
    x, w = np.zeros((1, 1, 6, 40)), np.ones((3, 1, 2, 2))
    x[0, 0, 2, 3] = np.nan
    y = direct(x, w, None, (1, 1), (0, 0, 0, 0), (1, 1), 1)
    spoiled = np.zeros(y.shape, bool)
    spoiled[:, :, 1:3, 2:4] = True
    np.testing.assert_array_equal(np.isnan(y), spoiled)
    clamped = direct(x, w, np.ones(3), (1, 1), (0, 0, 0, 0), (1, 1), 1, clip=(0, 0.5))
    np.testing.assert_array_equal(np.isnan(clamped), spoiled)
    assert (clamped[~spoiled] == 0.5).all()


@pytest.mark.parametrize("N", [1, 3])
def test_the_number_of_threads_changes_no_bit(N):
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal((N, 3, 50, 50), np.float32), rng.standard_normal((20, 3, 7, 7), np.float32)
    before, results = get_threads(), []
    try:
        for threads in (1, 2, 3):
            set_threads(threads)
            results.append(direct(x, w, None, (2, 2), (3, 3, 3, 3), (1, 1), 1))
            dw = conv.conv2d_dw(results[-1], x, (7, 7), (2, 2), (3, 3, 3, 3), (1, 1), 1)
            np.testing.assert_array_equal(conv.conv2d_dw(results[-1], x, (7, 7), (2, 2), (3, 3, 3, 3), (1, 1), 1), dw)
    finally:
        set_threads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_it_is_chosen_for_few_channels_and_outputs_enough():
    def choice(step="forward", C=3, size=32, dtype=np.float32):
        y = (8, 64, size // 2, size // 2)
        geometry = ConvGeometry((3, 3), (2, 2), (0, 1, 0, 1), (1, 1))
        return choose_algorithm(step, (8, C, size, size), y, geometry, 1, np.dtype(dtype))

    assert choice() == choice(dtype=np.float64) == choice("inference") == choice("dw") == "direct"
    assert choice(C=64) == choice(size=8) == choice("dx") == "im2col"
