"""AlexNet in its three forms has their published numbers, and computes what PyTorch computes from the same weights."""

import importlib

import numpy as np
import pytest
from torch_parity import (
    assert_fusing_changes_nothing,
    assert_same_gradient_in_float32,
    assert_same_gradients,
    assert_same_scores,
    in_torch,
    pictures,
    shaken,
)

import minicnn
from minicnn import initializers
from minicnn.models.alexnet import alexnet, alexnet_torchvision, caffenet

NARROW = 50


@pytest.fixture
def narrow(monkeypatch):
    """Hidden layers of 50 in the place of 4096: what they compute is the same, and it takes less time."""
    monkeypatch.setattr(importlib.import_module("minicnn.models.alexnet"), "WIDTH", NARROW)


@pytest.fixture
def all_zero(monkeypatch):
    """No time is spent on drawing 60 million random numbers that no test looks at."""
    monkeypatch.setattr(initializers, "_normal", lambda shape, rng, dtype, std: np.zeros(shape, dtype))


def by_torch(build, last_map):
    """``last_map``: pixels after pool5."""
    zoo = in_torch()
    if build is alexnet_torchvision:
        return zoo.alexnet(7, NARROW)
    return zoo.papers_alexnet(7, last_map, NARROW, caffenet=build is caffenet)


def random(build, size):
    return shaken(build(7, rng=0) if build is alexnet_torchvision else build(7, input_shape=(3, *size), rng=0))


def loud(build, size):
    """With first maps so large that the response normalisation matters, as with pixels up to 255."""
    model = random(build, size)
    model.layers["conv1"].w.value *= 40
    return model


# ---- the architectures


@pytest.mark.parametrize(
    ("build", "parameters", "millions"),
    [(alexnet, 60_965_224, 724), (caffenet, 60_965_224, 724), (alexnet_torchvision, 61_100_840, 714)],
)
def test_it_has_the_published_numbers_of_parameters_and_multiply_adds(all_zero, build, parameters, millions):
    model = build()
    assert sum(parameter.value.size for parameter in model.parameters().values()) == parameters
    assert round(model.multiply_adds((1, *model.input_shape)) / 1e6) == millions
    assert model.architecture == build.__name__
    assert model.output_shape((1, *model.input_shape)) == (1, 1000)


@pytest.mark.parametrize("build", [alexnet, caffenet, alexnet_torchvision])
def test_the_maps_have_the_sizes_of_the_paper(narrow, build):
    model, maps = build(), []
    shape = (1, *model.input_shape)
    for name, layer in model.layers.items():
        shape = layer.output_shape(shape)
        if name.startswith(("conv", "pool")):
            maps.append((name, shape[2]))
    sizes = (("conv1", 55), ("pool1", 27), ("conv2", 27), ("pool2", 13))
    assert maps == [*sizes, ("conv3", 13), ("conv4", 13), ("conv5", 13), ("pool5", 6)]


def test_half_of_the_filters_see_half_of_the_maps_in_conv2_conv4_and_conv5(narrow):
    shapes = {name: parameter.value.shape for name, parameter in alexnet(include_top=False).parameters().items()}
    assert [shapes[f"conv{i}.w"][1] for i in (2, 4, 5)] == [96 // 2, 384 // 2, 384 // 2]
    assert [layer.groups for name, layer in alexnet_torchvision(2).layers.items() if name.startswith("conv")] == [1] * 5


def test_the_three_differ_in_the_order_of_their_layers(narrow):
    orders = {build: " ".join(build(2).layers) for build in (alexnet, caffenet, alexnet_torchvision)}
    assert "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2 conv3 relu3 conv4" in orders[alexnet]
    assert "conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2 conv3 relu3 conv4" in orders[caffenet]
    assert orders[alexnet].endswith("pool5 flatten fc6 relu6 drop6 fc7 relu7 drop7 fc8")
    assert orders[caffenet].endswith("pool5 flatten fc6 relu6 drop6 fc7 relu7 drop7 fc8")
    assert orders[alexnet_torchvision].endswith("pool5 avgpool flatten drop5 fc6 relu6 drop6 fc7 relu7 fc8")
    assert "norm" not in orders[alexnet_torchvision]


@pytest.mark.parametrize("build", [alexnet, caffenet, alexnet_torchvision])
def test_without_its_top_it_ends_at_pool5_and_takes_other_sizes(build):
    model = build(include_top=False, rng=0)
    assert list(model.layers)[-1] == "pool5" and model.architecture == build.__name__
    assert model.eval().forward(pictures(1, 3, 131, 99)).shape == (1, 256, 3, 2)


def test_a_picture_too_small_is_refused_in_words():
    with pytest.raises(ValueError, match=r"the window .* is larger than the padded picture"):
        alexnet(input_shape=(3, 50, 227))


# ---- against PyTorch


@pytest.mark.parametrize(
    ("build", "size", "last_map"),
    [
        (alexnet, (227, 227), 36),
        (alexnet, (103, 99), 3 * 2),  # conv1 gives 24 x 23: the first pool rounds up
        (caffenet, (103, 99), 3 * 2),
        (alexnet_torchvision, (224, 224), 36),
        (alexnet_torchvision, (101, 131), 36),
        (alexnet_torchvision, (301, 263), 36),  # 8 x 7 to 6 x 6
    ],
)
def test_random_weights_give_the_scores_of_pytorch(narrow, build, size, last_map):
    theirs, model, x = by_torch(build, last_map), loud(build, size), pictures(2, 3, *size)
    assert_same_scores(model, theirs, x)
    if size == (101, 131):
        assert_fusing_changes_nothing(model, x)


@pytest.mark.parametrize("name", ["norm1", "norm2"])
def test_these_pictures_would_show_a_missing_normalisation(narrow, name):
    model, x = loud(alexnet, (103, 99)), pictures(2, 3, 103, 99)
    y = model.forward(x)
    model.layers[name].alpha = 0.0
    assert np.abs(model.forward(x) - y).max() > 0.01 * np.abs(y).max()


@pytest.mark.parametrize(
    ("build", "assert_same"),
    [
        (alexnet, assert_same_gradients),
        (alexnet, assert_same_gradient_in_float32),
        (caffenet, assert_same_gradients),
        (alexnet_torchvision, assert_same_gradients),
    ],
)
def test_a_training_step_gives_the_gradients_of_pytorch(narrow, build, assert_same):
    assert_same(random(build, (67, 99)), by_torch(build, 2), (3, 3, 67, 99))


def test_a_saved_alexnet_is_the_same_network(narrow, tmp_path):
    model, x = random(alexnet, (67, 99)), pictures(1, 3, 67, 99)
    model.save(tmp_path / "alexnet.h5")
    assert np.array_equal(minicnn.load(tmp_path / "alexnet.h5").forward(x), model.forward(x))
