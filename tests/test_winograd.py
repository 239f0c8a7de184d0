"""Winograd's convolution: the identity it rests on, exactly; the definition against it; how many digits it keeps."""

from fractions import Fraction

import numpy as np
import pytest
from convolution_cases import CHANNELS, Case, check, everything, threads

from minicnn.kernels import reference
from minicnn.kernels.convolution import choice as algorithm
from minicnn.kernels.convolution import dispatch as conv
from minicnn.kernels.convolution import winograd
from minicnn.kernels.convolution.choice import choose_algorithm
from minicnn.kernels.convolution.winograd_transforms import F2, F4
from minicnn.kernels.geometry import ConvGeometry
from minicnn.layers import Conv2d

TRANSFORMS = {"winograd2": F2, "winograd4": F4}


def case(N=2, C=5, F=7, H=9, W=13, pads=(1, 1, 1, 1), dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((N, C, H, W)), rng.standard_normal((F, C, 3, 3))
    return x.astype(dtype), w.astype(dtype), rng.standard_normal(F).astype(dtype), ((1, 1), pads, (1, 1), 1)


def backward(dy, x, w, how, algorithm=None):
    dx = conv.conv2d_dx(dy, w, x.shape[2:], *how, algorithm=algorithm)
    return dx, conv.conv2d_dw(dy, x, w.shape[2:], *how, algorithm=algorithm)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_in_one_dimension_and_in_fractions_it_is_the_convolution_exactly(transform):
    BT, G, AT = (
        [[Fraction(value).limit_denominator(1000) for value in row] for row in matrix]
        for matrix in (transform.BT, transform.G, transform.AT)
    )
    rng = np.random.default_rng(0)
    for _ in range(20):
        d, g = [[int(v) for v in rng.integers(-9, 10, n)] for n in (transform.alpha, 3)]
        products = [
            sum(a * b for a, b in zip(u, g, strict=True)) * sum(a * b for a, b in zip(v, d, strict=True))
            for u, v in zip(G, BT, strict=True)
        ]
        y = [sum(a * b for a, b in zip(row, products, strict=True)) for row in AT]
        assert y == [sum(d[i + p] * g[p] for p in range(3)) for i in range(transform.m)]


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"N": 1, "H": 3, "W": 3, "pads": (0, 0, 0, 0)},  # a single output
        {"N": 3, "H": 8, "W": 8},  # whole tiles
        {"H": 6, "W": 5, "pads": (2, 0, 1, 2)},  # uneven padding
        {"H": 5, "W": 4, "pads": (4, 3, 5, 4)},  # windows that see nothing but padding
        {"N": 1, "C": 2, "F": 40, "H": 4, "W": 6},  # more filters than tiles
        {"C": 16, "F": 24, "H": 7, "W": 21},  # channels eight at a time
        {"N": 1, "C": 600, "F": 3, "H": 5, "W": 6},  # more channels than go through a transform at a time
        {"N": 1, "C": 1, "F": 1, "H": 70, "W": 130},
        {"N": 2, "C": 17, "F": 15, "H": 1, "W": 1},  # one pixel, in the corner of its tile
        {"N": 2, "C": 16, "F": 16, "H": 1, "W": 12, "pads": (2, 0, 0, 2)},
        {"N": 1, "C": 17, "F": 18, "H": 10, "W": 10, "pads": (0, 0, 0, 0)},  # windows that need no copy
    ],
)
def test_it_agrees_with_the_definition(name, shape):
    x, w, b, how = case(**shape)
    y = reference.conv2d_forward(x, w, b, *how)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    dx, dw, _ = reference.conv2d_backward(dy, x, w, *how)
    np.testing.assert_allclose(conv.conv2d_forward(x, w, b, *how, algorithm=name), y, atol=1e-11)
    for fast, expected in zip(backward(dy, x, w, how, algorithm=name), (dx, dw), strict=True):
        np.testing.assert_allclose(fast, expected, atol=1e-10)


@pytest.mark.parametrize(("name", "bound"), [("winograd2", 5e-6), ("winograd4", 5e-5)])
def test_in_float32_it_loses_few_digits(name, bound):
    x, w, b, how = case(N=1, C=64, F=32, H=16, W=16, dtype=np.float32)
    w /= np.float32(24)  # root of 9 * 64: outputs of about unit variance
    exact = conv.conv2d_forward(x.astype(np.float64), w.astype(np.float64), b.astype(np.float64), *how)
    dy = np.ones_like(x[:, :32])
    exact_backward = backward(dy.astype(np.float64), x.astype(np.float64), w.astype(np.float64), how)
    y, *gradients = conv.conv2d_forward(x, w, b, *how, algorithm=name), *backward(dy, x, w, how, algorithm=name)
    assert y.dtype == np.float32
    assert 0 < np.abs(y - exact).max() < bound
    for gradient, expected in zip(gradients, exact_backward, strict=True):
        assert np.abs(gradient - expected).max() < bound * np.abs(expected).max()


@pytest.mark.parametrize("C", CHANNELS)
@pytest.mark.parametrize("F", CHANNELS)
def test_any_number_of_channels_and_filters(C, F):
    rng = np.random.default_rng(C + F)
    x, w, b, how = case(N=1, C=C, F=F, H=6, W=7, pads=tuple(rng.integers(0, 4, 4).tolist()), seed=C + F)
    check(Case(x, w, b, how), "winograd4" if (C + F) % 2 else "winograd2", tolerance=1e-10)


LIMITS = {
    "a tile at a time": {"NUMBERS_PER_BLOCK": 1, "TILES_PER_BLOCK": 1, "TILES_PER_SUM": 1},
    "some tiles at a time": {"NUMBERS_PER_BLOCK": 1, "TILES_PER_BLOCK": 7, "TILES_PER_SUM": 7},
    "all tiles at a time": {"NUMBERS_PER_BLOCK": 1 << 20, "TILES_PER_SUM": 1 << 30},
    "threads share filters, not tiles": {"TILES_PER_BLOCK": 1 << 30, "NARROW": 0},
    "filters are not kept": {"LARGE": 0, "MANY": 0, "TILES_PER_BLOCK": 1},
    "filters are not kept, and shared": {"LARGE": 0, "MANY": 0, "TILES_PER_BLOCK": 1 << 30, "NARROW": 0},
}


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_results_do_not_depend_on_how_the_work_is_divided(name, limits, count, monkeypatch):
    monkeypatch.setattr(algorithm, "SHORT", dict.fromkeys(algorithm.SHORT, 0))  # nothing is too short to share
    for limit, value in limits.items():
        monkeypatch.setattr(winograd, limit, value)
    with threads(count):
        for N, C, F, H, W in ((3, 20, 18, 13, 22), (1, 3, 70, 5, 6), (1, 17, 150, 3, 9)):
            x, w, b, how = any_case = Case(*case(N, C, F, H, W))
            check(any_case, name, tolerance=1e-10)
            planned = conv.PlannedConvolution(w, b, 1, (-1, 1), name)
            convolve = planned.plan(x, ConvGeometry((3, 3), *how[:3]))
            for _ in range(2):  # with filters that are made, and that are kept
                maps = np.full((N, H, W, F + 3), np.nan)
                y = convolve(x, maps, 2)
                np.testing.assert_allclose(
                    y, np.clip(conv.conv2d_forward(x, w, b, *how, algorithm="textbook"), -1, 1), atol=1e-11
                )
                assert np.isnan(maps[..., :2]).all() and np.isnan(maps[..., 2 + F :]).all()


@pytest.mark.parametrize("shape", [(4, 24, 16, 17, 16), (1, 17, 40, 9, 9)])
def test_the_number_of_threads_changes_no_bit_of_maps_and_the_weight_gradient_repeats(shape, monkeypatch):
    monkeypatch.setattr(algorithm, "SHORT", dict.fromkeys(algorithm.SHORT, 0))
    any_case, results = Case(*case(*shape, dtype=np.float32)), []
    for count in (1, 2, 3, 8):
        with threads(count):
            results.append(everything(any_case, "winograd4"))
            np.testing.assert_array_equal(everything(any_case, "winograd4")[2], results[-1][2])
    for y, dx, dw, _ in results[1:]:
        np.testing.assert_array_equal(y, results[0][0])
        np.testing.assert_array_equal(dx, results[0][1])
        np.testing.assert_allclose(dw, results[0][2], rtol=1e-4, atol=1e-4 * np.abs(results[0][2]).max())


def test_bias_and_clip_are_applied_on_the_way_out_and_nan_is_not_hidden():
    x, w, b, how = case()
    y = conv.conv2d_forward(x, w, b, *how, algorithm="winograd4")
    np.testing.assert_array_equal(conv.conv2d_forward(x, w, b, *how, clip=(0, 6), algorithm="winograd4"), np.clip(y, 0, 6))
    x[0, 0, 4, 4] = np.nan
    assert np.isnan(conv.conv2d_forward(x, w, b, *how, clip=(0, 6), algorithm="winograd4")[0, :, 3:6, 3:6]).all()


def test_an_empty_batch_has_an_empty_result():
    x, w, b, how = case(N=1)
    assert conv.conv2d_forward(x[:0], w, b, *how, algorithm="winograd4").shape == (0, 7, 9, 13)


# ---- which algorithm


def choice(step="forward", C=64, F=64, size=32, N=8, kernel=3, stride=1, dilation=1, groups=1, dtype=np.float32, wanted=None):
    geometry = ConvGeometry((kernel, kernel), (stride, stride), (1, 1, 1, 1), (dilation, dilation))
    y = (N, F, *geometry.count(size, size))
    return choose_algorithm(step, (N, C, size, size), y, geometry, groups, np.dtype(dtype), wanted)


def test_winograd_is_chosen_for_3x3_filters_of_stride_one_in_float32_only():
    assert choice() == "winograd4"
    for other in ({"kernel": 5}, {"stride": 2}, {"dilation": 2}, {"groups": 4}, {"dtype": np.float64}, {"C": 3}, {"F": 2}):
        assert not choice(**other).startswith("winograd"), other


def test_depthwise_is_chosen_where_each_channel_has_its_own_filter():
    assert choice(groups=64) == choice(groups=64, dtype=np.float64, stride=2) == "depthwise"
    assert choice(groups=64, F=128) == "direct"


def test_an_algorithm_that_is_wanted_is_taken_where_it_is_able_and_nowhere_else():
    assert choice(wanted="winograd2", dtype=np.float64) == "winograd2"
    assert choice(wanted="winograd2", stride=2) == choice(wanted="depthwise", stride=2) == "direct"
    assert choice(wanted="winograd2", groups=64) == "depthwise" and choice(wanted="depthwise") == "winograd4"
    assert choice(wanted="direct") == choice(wanted="direct", groups=64) == choice(wanted="direct", step="dx") == "direct"
    assert choice(wanted="reference") == "reference" and choice(wanted="textbook") == "textbook"
    assert choice() == "winograd4"


def test_a_layer_in_float64_keeps_to_the_exact_path():
    layer, x = Conv2d(16, 16, 3, pad=1, rng=0).astype(np.float64), np.random.default_rng(1).standard_normal((4, 16, 32, 32))
    y = layer.forward(x)
    layer.algorithm = "direct"
    np.testing.assert_array_equal(layer.forward(x), y)
