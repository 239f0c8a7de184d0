"""Dropout drops with probability p, keeps the average, and repeats when its generator does; vanilla dropout beside it."""

import numpy as np
import pytest

import minicnn
from minicnn.gradcheck import check_layer
from minicnn.inference import fuse
from minicnn.layers import Dropout, Flatten, Linear, Sequential, VanillaDropout
from minicnn.models import ARCHITECTURES, Model, squeezenet1_1
from minicnn.pretrained.convert import convert_arrays
from minicnn.pretrained.untrained import NoRandomness

DROPOUTS = {  # of each family, how many
    "alexnet": 2,
    "alexnet_torchvision": 2,
    "caffenet": 2,
    "efficientnet_lite0": 1,
    "googlenet": 3,
    "mobilenet_v1": 1,
    "mobilenet_v2": 1,
    "squeezenet1_1": 1,
    "vgg11_bn": 2,
}
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


@pytest.mark.parametrize(("name", "dropouts"), DROPOUTS.items())
def test_dropout_of_a_network_draws_from_the_networks_generator(name, dropouts):
    rng = NoRandomness()  # makes the weights in no time
    generators = [layer.rng for _, layer in ARCHITECTURES[name](rng=rng).walk() if isinstance(layer, Dropout)]
    assert generators == [rng] * dropouts


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


@pytest.mark.parametrize("kind", [Dropout, VanillaDropout])
@pytest.mark.parametrize("training", [True, False])
def test_gradients_match_numeric_ones(kind, training):
    report = check_layer(kind(0.4, rng=1), X, training=training)
    assert report.ok, report


@pytest.mark.parametrize("kind", [Dropout, VanillaDropout])
def test_arguments_are_not_touched(kind):
    layer, before, dy = kind(0.5, rng=3).train(), X.copy(), np.ones_like(X)
    layer.forward(X)
    layer.backward(dy)
    assert np.array_equal(X, before) and (dy == 1).all()


@pytest.mark.parametrize("kind", [Dropout, VanillaDropout])
@pytest.mark.parametrize("p", [1, -0.1, 1.5, np.nan])
def test_dropping_everything_is_refused(kind, p):
    with pytest.raises(ValueError, match=f"{kind.__name__}'s p is the probability of dropping a unit, 0 <= p < 1"):
        kind(p)


# ---- vanilla dropout


def test_vanilla_dropout_by_hand():
    """A unit that is kept is kept as it is; in inference each counts as often as it is kept, 3 times out of 4."""
    layer = VanillaDropout(0.25, rng=3).train()
    y = layer.forward(X)
    assert 0 < (y == 0).sum() < X.size
    assert np.array_equal(y[y != 0], X[y != 0])
    assert np.array_equal(layer.backward(X) != 0, y != 0)
    layer.eval(backward=True)
    assert np.array_equal(layer.forward(np.array([4.0, -8])), [3, -6])
    assert np.array_equal(layer.backward(np.array([4.0, 8])), [3, 6])


def test_both_kinds_drop_the_same_units_and_are_each_others_multiple():
    """The one divides by the probability of keeping in training, the other multiplies by it in inference."""
    inverted, vanilla = Dropout(0.2, rng=5), VanillaDropout(0.2, rng=5)
    np.testing.assert_allclose(inverted.train().forward(X) * 0.8, vanilla.train().forward(X))
    np.testing.assert_allclose(inverted.eval().forward(X) * 0.8, vanilla.eval().forward(X))


@pytest.mark.parametrize("kind", [Dropout, VanillaDropout])
def test_inference_is_the_average_over_masks(kind):
    x = np.ones(200_000)
    layer = kind(0.3, rng=1)
    assert layer.train().forward(x).mean() == pytest.approx(layer.eval().forward(x)[0], abs=0.01)


def test_vanilla_dropout_is_not_left_out_in_inference(tmp_path):
    layers = {"flatten": Flatten(), "drop": VanillaDropout(0.4, rng=0), "scores": Linear(5, 2, rng=0)}
    model = Model(layers, architecture="small", input_shape=(1, 1, 5)).eval()
    x = X.astype(np.float32).reshape(4, 1, 1, 5)
    y = model.forward(x)
    assert not np.allclose(y, model.layers["scores"].forward(x.reshape(4, 5)))
    np.testing.assert_array_equal(fuse(model).forward(x), y)
    model.save(tmp_path / "net.h5")
    np.testing.assert_array_equal(minicnn.load(tmp_path / "net.h5").forward(x), y)


@pytest.mark.parametrize("fault", ["inference forgets p", "inference multiplies by p", "backward forgets the mask"])
def test_a_wrong_vanilla_dropout_would_be_seen(fault):
    class Wrong(VanillaDropout):
        def _apply(self, values, kept):
            if kept is None:
                return values if fault == "inference forgets p" else values * self.p
            return super()._apply(values, kept)

        def backward(self, dy):
            return super().backward(dy) if "inference" in fault else dy

    layer, x = Wrong(0.3, rng=1), np.ones(200_000)
    if "inference" in fault:
        assert abs(layer.train().forward(x).mean() - layer.eval().forward(x)[0]) > 0.1
    else:
        assert not check_layer(layer, X, training=True).ok


def test_unless_told_it_drops_half_and_its_config_makes_it_again():
    assert Dropout().p == 0.5 and Dropout(**Dropout(0.3).config()).p == 0.3


def test_a_number_that_equals_p_keeps_the_unit():
    """A number below p has the probability p."""

    class Quarter:
        def random(self, shape, dtype):
            return np.full(shape, 0.25, dtype)

    for p, y in ((0.25, 1 / 0.75), (0.26, 0)):
        layer = Dropout(p).train()
        layer.rng = Quarter()
        assert layer.forward(np.ones(1)) == y


def test_only_floats_are_dropped():
    with pytest.raises(TypeError, match="float32 or float64, got int64"):
        Dropout().forward(np.arange(3))


def test_with_p_zero_it_hands_on_the_array_itself():
    assert Dropout(0).train().forward(X) is X
