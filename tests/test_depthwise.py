"""Depthwise convolution: vectors of channels must give what the definition of a convolution with one channel a group gives."""

import numpy as np
import pytest
from convolution_cases import Case, check, is_channels_last, random_case, threads

from minicnn.kernels import reference
from minicnn.kernels.convolution import choice, depthwise
from minicnn.kernels.convolution import dispatch as conv
from minicnn.kernels.geometry import ConvGeometry, same_pads
from minicnn.kernels.simd.vectors import VECTOR_WIDTH


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


@pytest.mark.parametrize("channels", [1, 15, 16, 17, 32, 40, 65, 130])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(3, 5), (4, 4), (9, 7), (2, 1)])  # fewer pixels than have sums together, as many, more
def test_whole_vectors_of_channels_and_what_is_left_of_them(channels, stride, size):
    rng = np.random.default_rng(channels)
    x, w, b = (rng.standard_normal(shape) for shape in ((3, channels, *size), (channels, 1, 3, 3), (channels,)))
    check(Case(x, w, b, ((stride, stride), (1, 1, 1, 1), (1, 1), channels)), "depthwise")


@pytest.mark.parametrize("seed", range(20))
def test_vectors_of_channels_and_any_geometry(seed):
    case = random_case(seed, 1, 1, groups=(2, 17, 33)[seed % 3])
    check(case, "depthwise")
    check(case.astype(np.float32), "depthwise", tolerance=1e-4)


@pytest.mark.parametrize(
    "limits",
    [
        {"NUMBERS_PER_PIECE": 1},
        {"NUMBERS_PER_PIECE": 300},
        {"NUMBERS_PER_PIECE": 1 << 30},
        {"PIXELS_PER_SUM": 1},
        {"PIXELS_PER_SUM": 1 << 30},
    ],
)
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_results_do_not_depend_on_how_the_work_is_divided(limits, count, monkeypatch):
    monkeypatch.setattr(choice, "SHORT", dict.fromkeys(choice.SHORT, 0))  # nothing is too short to share
    for limit, value in limits.items():
        monkeypatch.setattr(depthwise, limit, value)
    with threads(count):
        for seed, C in enumerate((3, 17, 40)):
            for N in (1, 5):
                case = random_case(30 + seed, 1, 1, groups=C)
                check(case._replace(x=np.concatenate([case.x[:1]] * N)), "depthwise")


def test_a_range_of_channels_is_filled_and_nothing_beside_it():
    for C in (3, 17, 32):
        x, w, b, how = random_case(7, 1, 1, groups=C)
        geometry = ConvGeometry(w.shape[2:], *how[:3])
        y = reference.conv2d_forward(x, w, b, *how)
        maps = np.full((*y.shape[:1], *y.shape[2:], C + 9), np.nan)
        depthwise.prepare(x.shape, w, b, geometry, (-1, 1))(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), maps, 4)
        np.testing.assert_allclose(maps[..., 4 : 4 + C].transpose(0, 3, 1, 2), np.clip(y, -1, 1), atol=1e-12)
        assert np.isnan(maps[..., :4]).all() and np.isnan(maps[..., 4 + C :]).all()


def test_one_wrong_pixel_spoils_the_windows_that_see_it_and_no_others():
    for C in (2, 18):
        x, w = np.zeros((1, C, 6, 9)), np.ones((C, 1, 2, 2))
        x[0, C - 1, 2, 3] = np.nan
        y = conv.conv2d_forward(x, w, None, (1, 1), (1, 1, 1, 1), (1, 1), C)
        spoiled = np.zeros(y.shape, bool)
        spoiled[:, C - 1, 2:4, 3:5] = True
        np.testing.assert_array_equal(np.isnan(y), spoiled)


def test_the_clip_is_applied_and_nan_stays_in_every_lane():
    x = np.zeros((1, VECTOR_WIDTH + 2, 4, 4), np.float32)
    x[0, :, 1, 1] = np.arange(VECTOR_WIDTH + 2) - 5
    x[0, 3, 2, 2] = np.nan
    w, how = np.ones((VECTOR_WIDTH + 2, 1, 1, 1), np.float32), ((1, 1), (0, 0, 0, 0), (1, 1), VECTOR_WIDTH + 2)
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
    y = conv.conv2d_forward(x, w, None, *how)
    dx, _ = gradients(y, x, w, *how)
    assert is_channels_last(y) and is_channels_last(dx)
    assert taken == ["prepare", "backward_input", "backward_weights"]


def test_several_filters_a_channel_are_a_grouped_convolution():
    rng = np.random.default_rng(0)
    compare(rng.standard_normal((2, 3, 5, 5)), rng.standard_normal((6, 1, 3, 3)), None, (2, 1), (1, 1, 1, 1), (1, 1), 3)


@pytest.mark.parametrize("N", [1, 5])
@pytest.mark.parametrize("C", [7, 40])
def test_the_number_of_threads_changes_no_bit_of_maps_and_dw_repeats(N, C, monkeypatch):
    monkeypatch.setattr(choice, "SHORT", dict.fromkeys(choice.SHORT, 0))
    rng, results = np.random.default_rng(0), []
    x, w = rng.standard_normal((N, C, 13, 11), np.float32), rng.standard_normal((C, 1, 3, 3), np.float32)
    how = (2, 2), (0, 1, 1, 1), (1, 1), C
    for count in (1, 2, 3, 8):
        with threads(count):
            y = conv.conv2d_forward(x, w, None, *how)
            results.append((y, *gradients(y, x, w, *how)))
            np.testing.assert_array_equal(gradients(y, x, w, *how)[1], results[-1][2])
    for y, dx, dw in results[1:]:
        np.testing.assert_array_equal(y, results[0][0])
        np.testing.assert_array_equal(dx, results[0][1])
        np.testing.assert_allclose(dw, results[0][2], rtol=1e-4, atol=1e-4)


def test_nothing_of_an_earlier_call_is_left_in_the_workspace():
    w, how = np.ones((1, 1, 3, 3)), ((1, 1), (1, 1, 1, 1), (1, 1), 1)
    conv.conv2d_forward(np.full((1, 1, 9, 9), 7.0), w, None, *how)
    y = conv.conv2d_forward(np.ones((1, 1, 2, 2)), w, None, *how)
    np.testing.assert_array_equal(y, np.full((1, 1, 2, 2), 4.0))
    gradients(np.full((1, 1, 9, 9), 7.0), np.ones((1, 1, 9, 9)), w, *how)
    dx, dw = gradients(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2)), w, *how)
    np.testing.assert_array_equal(dx, np.full((1, 1, 2, 2), 4.0))
    np.testing.assert_array_equal(dw, [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]])
