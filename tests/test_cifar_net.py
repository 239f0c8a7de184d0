"""The plain network for CIFAR-10 is what it says, and computes what PyTorch computes from the same weights."""

from itertools import pairwise

import numpy as np
import pytest
from torch_parity import (
    assert_fusing_changes_nothing,
    assert_same_gradient_in_float32,
    assert_same_gradients,
    assert_same_scores,
    pictures,
    shaken,
)

from minicnn.models import cifar_net

PLAN = [64, 64, "pool", 128, 128, "pool", 256, 256, "pool"]


def by_torch(num_classes):
    nn = pytest.importorskip("torch").nn
    layers, channels = [], 3
    for item in PLAN:
        if item == "pool":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, item, 3, padding=1, bias=False), nn.BatchNorm2d(item), nn.ReLU()]
            channels = item
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 4 * 256, num_classes))


def test_its_parameters_and_multiply_adds_worked_by_hand():
    model = cifar_net()
    channels = [3, 64, 64, 128, 128, 256, 256]
    places = [32 * 32] * 2 + [16 * 16] * 2 + [8 * 8] * 2
    filters = [9 * before * after for before, after in pairwise(channels)]
    parameters = sum(filters) + 2 * sum(channels[1:]) + 4096 * 10 + 10
    assert sum(parameter.value.size for parameter in model.parameters().values()) == parameters == 1_187_274
    assert model.multiply_adds((1, 3, 32, 32)) == np.dot(filters, places) + 4096 * 10


def test_it_takes_pictures_of_32_by_32_only():
    assert cifar_net(5).output_shape((8, 3, 32, 32)) == (8, 5)
    with pytest.raises(ValueError, match="Linear 'fc' expects 4096 features a sample"):
        cifar_net().forward(pictures(1, 3, 40, 32))


def test_random_weights_give_the_scores_of_pytorch():
    theirs, model, x = by_torch(10), shaken(cifar_net(rng=0)), pictures(3, 3, 32, 32)
    assert_same_scores(model, theirs, x)
    assert_fusing_changes_nothing(model, x)


@pytest.mark.parametrize("assert_same", [assert_same_gradients, assert_same_gradient_in_float32])
def test_a_training_step_gives_the_gradients_of_pytorch(assert_same):
    assert_same(shaken(cifar_net(rng=0)), by_torch(10), (4, 3, 32, 32))
