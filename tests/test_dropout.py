"""Dropout drops with probability p, keeps the average, and repeats when its generator does."""

import numpy as np
import pytest

from minicnn.gradcheck import check_layer
from minicnn.layers import Dropout, Linear, Sequential
from minicnn.models import squeezenet1_1
from minicnn.pretrained.convert import convert_arrays

X = np.random.default_rng(0).uniform(1, 2, (4, 5))


def test_p_is_the_probability_of_dropping():
    y = Dropout(0.2, rng=1).train().forward(np.ones(100_000))
    assert (y == 0).mean() == pytest.approx(0.2, abs=0.01)
    assert np.unique(y) == pytest.approx([0, 1 / 0.8])
    assert y.mean() == pytest.approx(1, abs=0.01)


def test_the_gradient_passes_where_the_value_did_with_the_same_scale():
    layer = Dropout(0.5, rng=3).train()
    y = layer.forward(X)
    dx = layer.backward(np.ones_like(X))
    assert 0 < (y == 0).sum() < X.size
    np.testing.assert_allclose(y, X * dx)
    assert set(np.unique(dx)) == {0, 2}


@pytest.mark.parametrize("layer", [Dropout(0.5).eval(backward=True), Dropout(0).train()])
def test_in_inference_and_with_p_zero_it_is_the_identity(layer):
    assert np.array_equal(layer.forward(X), X)
    assert np.array_equal(layer.backward(2 * X), 2 * X)


def test_inference_draws_no_random_numbers():
    layer = Dropout(0.5, rng=3).eval()
    layer.forward(X)
    assert layer.rng.random() == np.random.default_rng(3).random()


def test_masks_differ_from_pass_to_pass_and_repeat_with_the_seed():
    layer = Dropout(0.5, rng=3).train()
    first, second = layer.forward(X), layer.forward(X)
    assert not np.array_equal(first, second)
    assert np.array_equal(Dropout(0.5, rng=3).train().forward(X), first)


def test_float32_and_float64_draw_the_same_mask():
    double = Dropout(0.3, rng=3).train().forward(X)
    single = Dropout(0.3, rng=3).train().forward(X.astype(np.float32))
    assert single.dtype == np.float32
    assert np.array_equal(single == 0, double == 0)


def test_seeding_a_network_gives_each_dropout_a_generator_of_its_own():
    def network():
        return Sequential(a=Dropout(0.5), b=Linear(5, 5, rng=0).astype(np.float64), c=Dropout(0.5))

    one, two = (network().seed(np.random.default_rng(9)).train() for _ in range(2))
    assert np.array_equal(one.forward(X), two.forward(X))
    a, c = one.layers["a"], one.layers["c"]
    assert not np.array_equal(a.forward(np.ones(64)), c.forward(np.ones(64)))


def test_a_converted_network_drops_at_random_and_repeats_with_its_seed():
    # in the names of torchvision; SqueezeNet has a dropout below its last convolution
    fires = dict(zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True))
    theirs = {"conv1.conv": "features.0", "conv10.conv": "classifier.1"}
    for n, i in fires.items():
        theirs |= {f"fire{n}.squeeze.conv": f"features.{i}.squeeze"}
        theirs |= {f"fire{n}.expand.{k}.conv": f"features.{i}.expand{k}" for k in ("1x1", "3x3")}
    arrays = {}
    for name, parameter in squeezenet1_1(3, rng=0).parameters().items():
        layer, _, array = name.rpartition(".")
        arrays[f"{theirs[layer]}.{'weight' if array == 'w' else 'bias'}"] = parameter.value
    x = np.ones(1000)

    def masks(rng):
        model, _ = convert_arrays(arrays, "squeezenet.npz", "squeezenet1_1", classes=3, rng=rng)
        (dropout,) = [layer for _, layer in model.train().walk() if isinstance(layer, Dropout)]
        return dropout.forward(x), dropout.forward(x)

    first, second = masks(5)
    assert {0, 2} == set(np.unique(first))
    assert not np.array_equal(first, second)
    assert np.array_equal(masks(5), (first, second))
    assert not np.array_equal(masks(6), (first, second))


@pytest.mark.parametrize("training", [True, False])
def test_gradients_match_numeric_ones(training):
    report = check_layer(Dropout(0.4, rng=1), X, training=training)
    assert report.ok, report


def test_arguments_are_not_touched():
    layer, before, dy = Dropout(0.5, rng=3).train(), X.copy(), np.ones_like(X)
    layer.forward(X)
    layer.backward(dy)
    assert np.array_equal(X, before) and (dy == 1).all()


@pytest.mark.parametrize("p", [1, -0.1, 1.5, np.nan])
def test_dropping_everything_is_refused(p):
    with pytest.raises(ValueError, match="probability of dropping a unit, 0 <= p < 1"):
        Dropout(p)
