"""Depthwise convolution: vectors of channels must give what the definition of a convolution with one channel a group gives."""

import numpy as np
import pytest

from minicnn.kernels import reference
from minicnn.kernels.convolution import depthwise
from minicnn.kernels.convolution import dispatch as conv
from minicnn.kernels.geometry import ConvGeometry, same_pads
from minicnn.kernels.simd.vectors import LANES
from minicnn.runtime.workers import get_threads, set_threads


def gradients(dy, x, w, *how):
    return conv.conv2d_dx(dy, w, x.shape[2:], *how), conv.conv2d_dw(dy, x, w.shape[2:], *how)


def compare(x, w, b, *how, tolerance=1e-11):
    y = reference.conv2d_forward(x, w, b, *how)
    np.testing.assert_allclose(conv.conv2d_forward(x, w, b, *how), y, atol=tolerance)
    dy = np.random.default_rng(9).standard_normal(y.shape).astype(x.dtype)
    for fast, slow in zip(gradients(dy, x, w, *how), reference.conv2d_backward(dy, x, w, *how)[:2], strict=True):
        np.testing.assert_allclose(fast, slow, atol=tolerance)
        assert fast.dtype == x.dtype


def test_each_channel_has_its_own_filter_worked_by_hand():
    x = np.array([[[[1.0, 2, 3]], [[4, 5, 6]]]])
    w = np.array([1.0, 10, 100, 1000]).reshape(2, 1, 1, 2)
    y = conv.conv2d_forward(x, w, np.array([0.0, 0.5]), (1, 1), (0, 0, 0, 0), (1, 1), 2)
    np.testing.assert_array_equal(y, [[[[21, 32]], [[5400.5, 6500.5]]]])


def test_backward_worked_by_hand_at_stride_two():
    x = np.arange(1.0, 6).reshape(1, 1, 1, 5)
    w = np.array([1.0, 10, 100]).reshape(1, 1, 1, 3)
    dy = np.array([2.0, 3]).reshape(1, 1, 1, 2)
    dx, dw = gradients(dy, x, w, (2, 2), (0, 0, 0, 0), (1, 1), 1)
    np.testing.assert_array_equal(dx.ravel(), [2, 20, 203, 30, 300])  # the middle pixel is in both windows
    np.testing.assert_array_equal(dw.ravel(), [2 * 1 + 3 * 3, 2 * 2 + 3 * 4, 2 * 3 + 3 * 5])


def test_a_stride_of_two_deals_even_and_odd_rows_and_columns_to_four_pictures():
    plan = depthwise.plan_forward(ConvGeometry((3, 3), (2, 2), (0, 1, 0, 1), (1, 1)), 8, 8, LANES)
    picture = 5 * 5  # vectors: a row and a column more than y has, for the filter's last taps
    places, offsets = plan.x.places.reshape(8, 8) // LANES, plan.offsets[:9].reshape(3, 3) // LANES
    assert plan.shape == (4, 4) and plan.sizes[0] == 4 * picture * LANES
    assert places[0, :4].tolist() == [0, picture, 1, picture + 1]  # even, odd, even, odd column of the even rows
    assert places[3, :2].tolist() == [2 * picture + 5, 3 * picture + 5]  # the second odd row
    assert offsets.tolist() == [[0, 25, 1], [50, 75, 51], [5, 30, 6]]  # as the taps go


def test_the_gradient_of_stride_two_is_made_in_four_pictures_of_the_taps_that_reach_them():
    plan = depthwise.plan_backward(ConvGeometry((3, 3), (2, 2), (0, 1, 0, 1), (1, 1)), 8, 8, LANES)
    assert plan.shape == (4, 4)
    assert np.argsort(plan.w.places).tolist() == [0, 2, 6, 8, 1, 7, 3, 5, 4] and plan.first_taps.tolist() == [0, 4, 6, 8, 9]


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 7), (8, 8), (5, 9), (1, 1), (2, 3)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_shapes_of_mobile_networks(kernel, stride, size, dtype):
    rng = np.random.default_rng(0)
    (top, bottom), (left, right) = (same_pads(n, kernel, stride, 1) for n in size)
    x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in ((2, 3, *size), (3, 1, kernel, kernel), (3,)))
    how = (stride, stride), (top, bottom, left, right), (1, 1), 3
    compare(x, w, b, *how, tolerance=1e-11 if dtype == np.float64 else 1e-4)


@pytest.mark.parametrize("seed", range(40))
def test_any_kernel_stride_padding_and_dilation(seed):
    rng = np.random.default_rng(seed)
    kernel, stride, dilation, pads = rng.integers(1, 5, 2), rng.integers(1, 4, 2), rng.integers(1, 4, 2), rng.integers(0, 5, 4)
    H, W = np.maximum(dilation * (kernel - 1) + 1 - pads[[0, 2]] - pads[[1, 3]], 1) + rng.integers(0, 6, 2)
    C = int(rng.integers(1, 5))
    x, w = rng.standard_normal((int(rng.integers(1, 4)), C, H, W)), rng.standard_normal((C, 1, *kernel))
    how = tuple(tuple(map(int, numbers)) for numbers in (stride, pads, dilation))
    compare(x, w, rng.standard_normal(C) if seed % 2 else None, *how, C)


@pytest.mark.parametrize("channels", [1, LANES - 1, LANES, LANES + 1, 2 * LANES, 3 * LANES - 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(3, 5), (4, 4), (9, 7)])  # fewer pixels than a block of the transposition, as many, more
def test_full_blocks_of_channels_and_what_is_left_of_them(channels, stride, size):
    rng = np.random.default_rng(channels)
    x, w, b = (rng.standard_normal(shape) for shape in ((3, channels, *size), (channels, 1, 3, 3), (channels,)))
    compare(x, w, b, (stride, stride), (1, 1, 1, 1), (1, 1), channels)


def test_more_samples_than_groups_that_add_up_the_gradient():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((depthwise.GROUPS + 3, 2, 5, 5)), rng.standard_normal((2, 1, 3, 3))
    compare(x, w, None, (1, 1), (1, 1, 1, 1), (1, 1), 2)


def test_the_clip_is_applied_and_nan_stays_in_every_lane():
    x = np.zeros((1, LANES + 2, 4, 4), np.float32)
    x[0, :, 1, 1] = np.arange(LANES + 2) - 5
    x[0, 3, 2, 2] = np.nan
    w, how = np.ones((LANES + 2, 1, 1, 1), np.float32), ((1, 1), (0, 0, 0, 0), (1, 1), LANES + 2)
    y = conv.conv2d_forward(x, w, None, *how, clip=(0, 6))
    np.testing.assert_array_equal(y, np.where(np.isnan(x), x, np.clip(x, 0, 6)))
    assert np.isnan(y).sum() == 1


def test_the_fast_kernel_is_really_taken(monkeypatch):
    taken = []
    for name in ("prepare", "backward_input", "backward_weights"):
        original = getattr(depthwise, name)
        monkeypatch.setattr(depthwise, name, lambda *args, name=name, original=original: taken.append(name) or original(*args))
    x, w = np.ones((1, 4, 3, 3)), np.ones((4, 1, 3, 3))
    how = (1, 1), (1, 1, 1, 1), (1, 1), 4
    gradients(conv.conv2d_forward(x, w, None, *how), x, w, *how)
    assert taken == ["prepare", "backward_input", "backward_weights"]


def test_several_filters_a_channel_are_a_grouped_convolution():
    rng = np.random.default_rng(0)
    compare(rng.standard_normal((2, 3, 5, 5)), rng.standard_normal((6, 1, 3, 3)), None, (2, 1), (1, 1, 1, 1), (1, 1), 3)


@pytest.mark.parametrize("N", [1, 5])
def test_results_do_not_depend_on_the_number_of_threads_to_the_bit(N):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((N, 7, 13, 11), np.float32), rng.standard_normal((7, 1, 3, 3), np.float32)
    how = (2, 2), (0, 1, 1, 1), (1, 1), 7
    before, results = get_threads(), []
    try:
        for threads in (1, 2, 3, 2):
            set_threads(threads)
            y = conv.conv2d_forward(x, w, None, *how)
            results.append((y, *gradients(y, x, w, *how)))
    finally:
        set_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_nothing_of_an_earlier_call_is_left_in_the_workspace():
    w, how = np.ones((1, 1, 3, 3)), ((1, 1), (1, 1, 1, 1), (1, 1), 1)
    conv.conv2d_forward(np.full((1, 1, 9, 9), 7.0), w, None, *how)
    y = conv.conv2d_forward(np.ones((1, 1, 2, 2)), w, None, *how)
    np.testing.assert_array_equal(y, np.full((1, 1, 2, 2), 4.0))
    gradients(np.full((1, 1, 9, 9), 7.0), np.ones((1, 1, 9, 9)), w, *how)
    dx, dw = gradients(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2)), w, *how)
    np.testing.assert_array_equal(dx, np.full((1, 1, 2, 2), 4.0))
    np.testing.assert_array_equal(dw, [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]])
