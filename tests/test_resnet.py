"""ResNets are the networks of the paper, and compute what PyTorch computes from the same weights."""

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
from minicnn.models import (
    resnet18,
    resnet18_cifar,
    resnet20,
    resnet34,
    resnet50,
    resnet101,
    resnet110,
    resnet152,
)
from minicnn.models.resnet import basic_block, zero_padding
from minicnn.models.strict import arrays_of

FAMILY = {
    "resnet18": (resnet18, lambda zoo: zoo.imagenet_resnet(18, 7)),
    "resnet50": (resnet50, lambda zoo: zoo.imagenet_resnet(50, 7)),
    "resnet18_cifar": (resnet18_cifar, lambda zoo: zoo.resnet((2, 2, 2, 2), 7, small=True)),
    "resnet20": (resnet20, lambda zoo: zoo.cifar_resnet(20, 7)),
}


# ---- the architectures


def test_the_depth_counts_the_layers_with_weights_and_not_the_projections(monkeypatch):
    monkeypatch.setattr("minicnn.initializers._normal", lambda shape, rng, dtype, std: np.zeros(shape, dtype))
    builds = {resnet18: 18, resnet34: 34, resnet50: 50, resnet101: 101, resnet152: 152, resnet20: 20, resnet110: 110}
    for build, depth in builds.items():
        weights = [name for name in build().parameters() if name.endswith(".w") and ".shortcut." not in name]
        assert len(weights) == depth


def test_the_maps_have_the_sizes_of_table_1():
    model, shape, maps = resnet50(), (1, 3, 224, 224), {}
    for name, layer in model.layers.items():
        shape = layer.output_shape(shape)
        maps[name] = shape[1:]
    assert [maps[name] for name in ("conv1", "pool1", "conv2_3", "conv3_4", "conv4_6", "conv5_3", "pool", "fc")] == [
        (64, 112, 112),
        (64, 56, 56),
        (256, 56, 56),
        (512, 28, 28),
        (1024, 14, 14),
        (2048, 7, 7),
        (2048,),
        (1000,),
    ]


def test_a_bottleneck_has_its_stride_in_the_3x3_convolution():
    body = resnet50().layers["conv3_1"].layers["sum"].body.layers
    assert [body[name].layers["conv"].stride for name in ("conv1", "conv2", "conv3")] == [(1, 1), (2, 2), (1, 1)]


def test_the_relu_comes_after_the_sum():
    """A branch of zeros lets the shortcut through, but no negative number."""
    block = basic_block(4, 4, 1)
    for parameter in block.parameters().values():
        parameter.value[...] = 0
    x = pictures(1, 4, 5, 6)
    assert np.array_equal(block.eval().forward(x), np.maximum(x, 0))


def test_option_a_takes_every_second_pixel_and_puts_zeros_on_both_sides():
    x = pictures(2, 4, 5, 6)
    y = zero_padding(4, 10, 2).forward(x)
    assert y.shape == (2, 10, 3, 3)
    assert np.array_equal(y[:, 3:7], x[:, :, ::2, ::2]) and not y[:, :3].any() and not y[:, 7:].any()


# ---- against PyTorch


@pytest.mark.parametrize("name", FAMILY)
def test_random_weights_give_the_scores_of_pytorch_at_odd_sizes(name):
    build, theirs = FAMILY[name][0], FAMILY[name][1](in_torch())
    model = shaken(build(7, rng=0))
    x = pictures(2, 3, *((65, 97) if model.input_shape == (3, 224, 224) else (33, 45)))
    assert_same_scores(model, theirs, x)
    assert_fusing_changes_nothing(model, x)


@pytest.mark.parametrize(
    ("name", "assert_same"),
    [
        ("resnet20", assert_same_gradients),
        ("resnet20", assert_same_gradient_in_float32),
        ("resnet50", assert_same_gradients),
    ],
)
def test_a_training_step_gives_the_gradients_of_pytorch(name, assert_same):
    build, theirs = FAMILY[name][0], FAMILY[name][1](in_torch())
    assert_same(shaken(build(7, rng=0)), theirs, (3, 3, 33, 41))


# ---- back from a file


def test_a_saved_resnet20_is_the_same_network(tmp_path):
    model = shaken(resnet20(rng=0))
    model.save(tmp_path / "resnet20.h5")
    again = minicnn.load(tmp_path / "resnet20.h5")
    assert list(arrays_of(again)) == list(arrays_of(model))
    assert np.array_equal(again.forward(pictures(1, 3, 33, 45)), model.forward(pictures(1, 3, 33, 45)))
