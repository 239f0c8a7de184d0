"""The small VGG is what it says, and computes what PyTorch computes from the same weights."""

from itertools import pairwise

import numpy as np
import pytest
from torch_parity import assert_same_gradients, assert_same_scores, pictures, shaken

from minicnn.models import vgg_small

CHANNELS = [3, 48, 48, 96, 96, 192, 192]


def by_torch(num_classes):
    nn = pytest.importorskip("torch").nn
    layers = []
    for i, (before, after) in enumerate(pairwise(CHANNELS), start=1):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        if i % 2 == 0:
            layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(192 * 16, 128), nn.ReLU(), nn.Dropout(), nn.Linear(128, 128), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(*layers, nn.Linear(128, num_classes))


def test_its_parameters_and_multiply_adds_worked_by_hand():
    model = vgg_small()
    filters = [9 * before * after for before, after in pairwise(CHANNELS)]
    connected = [192 * 16 * 128, 128 * 128, 128 * 10]
    parameters = sum(filters) + 2 * sum(CHANNELS[1:]) + sum(connected) + 128 + 128 + 10
    assert sum(parameter.value.size for parameter in model.parameters().values()) == parameters == 1_056_602
    assert model.multiply_adds((1, 3, 32, 32)) == np.dot(filters, [1024, 1024, 256, 256, 64, 64]) + sum(connected)


def test_random_weights_give_the_scores_of_pytorch():
    assert_same_scores(shaken(vgg_small(rng=0)), by_torch(10), pictures(3, 3, 32, 32))


def test_gradients_are_those_of_pytorch():
    model, theirs = shaken(vgg_small(rng=0)), by_torch(10)
    for layer in (model.layers["drop4"], model.layers["drop5"]):
        layer.p = 0.0
    for module in theirs.modules():
        if type(module).__name__ == "Dropout":
            module.p = 0.0
    assert_same_gradients(model, theirs, (4, 3, 32, 32))


def test_the_first_fully_connected_layer_decides_the_size_of_the_pictures():
    assert vgg_small(5, input_shape=(1, 28, 28)).output_shape((8, 1, 28, 28)) == (8, 5)
    with pytest.raises(ValueError, match="Linear 'fc4' expects 3072 features a sample"):
        vgg_small().forward(pictures(1, 3, 40, 32))
    assert vgg_small(include_top=False).output_shape((1, 3, 40, 72)) == (1, 192, 5, 9)
