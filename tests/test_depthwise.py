"""Depthwise convolution: its lines and phases must give what the definition of a convolution with one channel a group gives."""

import numpy as np
import pytest

from minicnn.kernels import conv, depthwise, reference
from minicnn.kernels.threads import get_threads, set_threads
from minicnn.kernels.windows import Windows, same_pads


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


def test_the_lines_of_stride_two_are_even_and_odd_rows_and_columns():
    lines = depthwise.lay_out(Windows((3, 3), (2, 2), (0, 1, 0, 1), (1, 1)), 4, 4)
    assert lines.phases == (2, 2) and lines.shape == (5, 5)
    assert lines.phase.tolist() == [0, 1, 0, 2, 3, 2, 0, 1, 0]  # even-even, even-odd, ... as the taps go
    assert lines.shift.tolist() == [0, 0, 1, 0, 0, 1, 5, 5, 6]


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


def test_the_fast_kernel_is_really_taken(monkeypatch):
    taken = []
    for name in ("forward", "backward_input", "backward_weights"):
        original = getattr(depthwise, name)
        monkeypatch.setattr(depthwise, name, lambda *args, name=name, original=original: taken.append(name) or original(*args))
    x, w = np.ones((1, 4, 3, 3)), np.ones((4, 1, 3, 3))
    how = (1, 1), (1, 1, 1, 1), (1, 1), 4
    gradients(conv.conv2d_forward(x, w, None, *how), x, w, *how)
    assert taken == ["forward", "backward_input", "backward_weights"]


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
