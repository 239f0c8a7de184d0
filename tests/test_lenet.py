"""LeNet-5 as it is built today has the numbers that can be worked out, and computes what PyTorch computes."""

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

from minicnn.models import lenet5


def by_torch(include_top=True):
    nn = in_torch().nn
    layers = [nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(16, 120, 5), nn.ReLU()]
    top = [nn.Flatten(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)] if include_top else []
    return nn.Sequential(*layers, *top)


def test_its_parameters_and_multiply_adds_worked_by_hand():
    model = lenet5()
    weights = np.array([25 * 6, 25 * 6 * 16, 25 * 16 * 120, 120 * 84, 84 * 10])
    parameters = weights.sum() + 6 + 16 + 120 + 84 + 10
    assert sum(parameter.value.size for parameter in model.parameters().values()) == parameters
    assert model.multiply_adds((1, 1, 28, 28)) == weights @ [28 * 28, 10 * 10, 1, 1, 1]


def test_random_weights_give_the_scores_of_pytorch():
    theirs, model, x = by_torch(), shaken(lenet5(rng=0)), pictures(3, 1, 28, 28)
    assert_same_scores(model, theirs, x)
    assert_fusing_changes_nothing(model, x)


def test_below_its_top_it_gives_the_maps_of_pytorch_for_pictures_of_other_sizes():
    assert_same_scores(shaken(lenet5(include_top=False, rng=0)), by_torch(include_top=False), pictures(2, 1, 37, 45))


@pytest.mark.parametrize("assert_same", [assert_same_gradients, assert_same_gradient_in_float32])
def test_a_training_step_gives_the_gradients_of_pytorch(assert_same):
    assert_same(shaken(lenet5(rng=0)), by_torch(), (4, 1, 28, 28))
