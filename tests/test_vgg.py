"""VGG is the network of the paper's table 1, and computes what PyTorch computes from the same weights."""

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

from minicnn import initializers
from minicnn.layers import BatchNorm2d
from minicnn.models import (
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)
from minicnn.models.vgg import vgg

NARROW = 100


@pytest.fixture
def narrow(monkeypatch):
    """Hidden layers of 100 in the place of 4096: what they compute is the same, and it takes less time."""
    monkeypatch.setattr("minicnn.models.vgg.WIDTH", NARROW)


@pytest.fixture
def all_zero(monkeypatch):
    """No time is spent on drawing 140 million random numbers that no test looks at."""
    monkeypatch.setattr(initializers, "_normal", lambda shape, rng, dtype, std: np.zeros(shape, dtype))


def by_torch(depth, batch_norm, last_map, num_classes):
    return in_torch().vgg(depth, num_classes, batch_norm=batch_norm, last_map=last_map, width=NARROW)


# ---- the architecture


def test_the_depth_counts_the_layers_with_weights_and_each_stage_ends_in_a_pool(all_zero, narrow):
    builds = {vgg11: 11, vgg13: 13, vgg16: 16, vgg19: 19, vgg11_bn: 11, vgg13_bn: 13, vgg16_bn: 16, vgg19_bn: 19}
    for build, depth in builds.items():
        model = build(10, input_shape=(3, 32, 32))
        assert sum(name.startswith(("conv", "fc")) for name in model.layers) == depth
        assert model.split("pool3")[0].output_shape((1, 3, 32, 32)) == (1, 256, 4, 4)


def test_with_batch_norm_each_convolution_has_one_and_keeps_its_bias(all_zero, narrow):
    layers = vgg16_bn(10, input_shape=(3, 32, 32)).layers
    names = list(layers)
    assert names[names.index("conv5_3") :][:5] == ["conv5_3", "norm5_3", "relu5_3", "pool5", "flatten"]
    for name, layer in layers.items():
        if name.startswith("conv"):
            assert layer.b is not None and isinstance(layers[name.replace("conv", "norm")], BatchNorm2d)


def test_an_unknown_depth_and_a_picture_too_small_are_refused_in_words():
    with pytest.raises(ValueError, match="11, 13, 16, 19 layers of weights in the paper's table 1, got depth 17"):
        vgg(17)
    with pytest.raises(ValueError, match=r"MaxPool2d 'pool5': the window .* larger than the padded picture"):
        vgg11(input_shape=(3, 31, 224))


# ---- against PyTorch


@pytest.mark.parametrize(("build", "depth", "batch_norm"), [(vgg11_bn, 11, True), (vgg16, 16, False), (vgg19_bn, 19, True)])
def test_random_weights_give_the_scores_of_pytorch(narrow, build, depth, batch_norm):
    """65 x 97: a map of 2 x 3 at the end, so that the order in which fc6 reads it matters."""
    theirs = by_torch(depth, batch_norm, 2 * 3, 7)
    model = shaken(build(7, input_shape=(3, 65, 97), rng=0))
    assert_same_scores(model, theirs, pictures(2, 3, 65, 97))
    assert_fusing_changes_nothing(model, pictures(2, 3, 65, 97))


@pytest.mark.parametrize("assert_same", [assert_same_gradients, assert_same_gradient_in_float32])
def test_a_training_step_gives_the_gradients_of_pytorch(narrow, assert_same):
    theirs = by_torch(11, True, 1, 3)
    model = shaken(vgg11_bn(3, input_shape=(3, 33, 47), rng=0))
    assert_same(model, theirs, (4, 3, 33, 47))
