"""Winograd's convolution: the identity it rests on, exactly; the definition against it; how many digits it keeps."""

from fractions import Fraction

import numpy as np
import pytest

from minicnn.kernels import reference
from minicnn.kernels.convolution import choice as algorithm
from minicnn.kernels.convolution import dispatch as conv
from minicnn.kernels.convolution import winograd
from minicnn.kernels.convolution.choice import choose_algorithm
from minicnn.kernels.convolution.winograd_transforms import F2, F4
from minicnn.kernels.geometry import ConvGeometry
from minicnn.layers import Conv2d
from minicnn.runtime.workers import get_threads, set_threads

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


def test_results_do_not_depend_on_how_the_work_is_cut_into_blocks(monkeypatch):
    x, w, b, how = case(N=3, C=20, F=18, H=13, W=22)
    y = conv.conv2d_forward(x, w, b, *how, algorithm="winograd4")
    before = y, *backward(y, x, w, how, algorithm="winograd4")
    monkeypatch.setattr(winograd, "BLOCK", 1)
    monkeypatch.setattr(winograd, "CORRELATED", 1)
    for array, same in zip(
        (conv.conv2d_forward(x, w, b, *how, algorithm="winograd4"), *backward(y, x, w, how, algorithm="winograd4")),
        before,
        strict=True,
    ):
        np.testing.assert_allclose(array, same, rtol=1e-10, atol=1e-10)


def test_the_weight_gradient_repeats_to_the_bit_and_any_number_of_threads_gives_the_same_numbers(monkeypatch):
    monkeypatch.setattr(algorithm, "SHORT", dict.fromkeys(algorithm.SHORT, 0))  # nothing is too short to share
    x, w, _, how = case(N=4, C=24, F=16, H=17, W=16, dtype=np.float32)
    threads, results = get_threads(), []
    try:
        for n in (1, 2, 3):
            set_threads(n)
            results.append(backward(x[:, :16].copy(), x, w, how, algorithm="winograd4")[1])
            np.testing.assert_array_equal(backward(x[:, :16].copy(), x, w, how, algorithm="winograd4")[1], results[-1])
    finally:
        set_threads(threads)
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-4, atol=1e-4 * np.abs(results[0]).max())


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
    assert choice(wanted="winograd2", stride=2) == "im2col"
    assert choice(wanted="im2col") == choice(wanted="im2col", groups=64) == "im2col"
    assert choice(wanted="direct", step="dx") == "winograd4"
    assert choice(wanted="reference") == "reference" and choice(wanted="textbook") == "textbook"
    assert choice() == "winograd4"


def test_a_layer_in_float64_keeps_to_the_exact_path():
    layer, x = Conv2d(16, 16, 3, pad=1, rng=0).astype(np.float64), np.random.default_rng(1).standard_normal((4, 16, 32, 32))
    y = layer.forward(x)
    layer.algorithm = "im2col"
    np.testing.assert_array_equal(layer.forward(x), y)
