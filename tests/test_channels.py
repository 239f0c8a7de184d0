"""Channels of zeros around others: what comes out, what comes back, and what is refused."""

import json

import numpy as np
import pytest

from minicnn.layers import PadChannels

X = np.random.default_rng(0).standard_normal((2, 3, 4, 5))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zeros_are_put_around_and_taken_off_again(dtype):
    layer, x = PadChannels(1, 2).train(), X.astype(dtype)
    y = layer.forward(x)
    assert y.dtype == dtype and y.shape == layer.output_shape(x.shape) == (2, 6, 4, 5)
    assert np.array_equal(y[:, 1:4], x) and not y[:, 0].any() and not y[:, 4:].any()
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    assert np.array_equal(layer.backward(dy), dy[:, 1:4])


def test_a_dy_of_another_shape_is_refused():
    layer = PadChannels(1, 2).train()
    layer.forward(X)
    with pytest.raises(ValueError, match=r"PadChannels: backward\(dy\) expects a dy like y"):
        layer.backward(X)


@pytest.mark.parametrize("numbers", [(-1, 0), (0, 1.5), ("1", 1)], ids=str)
def test_numbers_of_channels_are_whole_and_not_negative(numbers):
    with pytest.raises(ValueError, match="numbers of channels, at least 0"):
        PadChannels(*numbers)


def test_only_pictures_have_channels():
    with pytest.raises(ValueError, match=r"shape \(N, C, H, W\), got \(2, 3\)"):
        PadChannels(1, 1).output_shape((2, 3))


def test_its_config_makes_it_again():
    config = json.loads(json.dumps(PadChannels(3, 4).config()))
    assert PadChannels(**config).config() == {"before": 3, "after": 4}


def test_unless_told_it_adds_no_channels():
    assert np.array_equal(PadChannels().forward(X), X)


@pytest.mark.parametrize(("before", "after"), [(0, 2), (1, 0), (4, 3)])
def test_the_zeros_may_be_on_one_side_only_and_more_than_there_are_channels(before, after):
    layer = PadChannels(before, after).train()
    y = layer.forward(X)
    assert np.array_equal(y[:, before : before + 3], X) and np.count_nonzero(y) == np.count_nonzero(X)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    assert np.array_equal(layer.backward(dy), dy[:, before : before + 3])


def test_only_pictures_of_floats_are_padded():
    with pytest.raises(TypeError, match="float32 or float64, got int64"):
        PadChannels(1, 1).forward(np.zeros((1, 2, 3, 3), np.int64))
