"""A batch norm and the ReLU above it as one step: the same bits as one after the other, and no layers joined but these two."""

import copy

import numpy as np
import pytest
from test_norm import PICTURES, trained

from minicnn.gradcheck import check_layer
from minicnn.layers import BatchNorm1d, BatchNorm2d, ReLU, ReLU6, Sequential, Tanh
from minicnn.layers.norm_activation import NormActivation


@pytest.mark.parametrize("activation", [ReLU, ReLU6])
@pytest.mark.parametrize("mode", ["train", "eval", "frozen", "frozen statistics"])
@pytest.mark.parametrize("needs_dx", [True, False])
def test_a_batch_norm_and_the_relu_above_it_are_the_same_to_the_bit_together_and_apart(activation, mode, needs_dx):
    rng = np.random.default_rng(0)
    x, dy = 3 * rng.standard_normal((2, 4, 5, 6, 7), np.float32)
    net = Sequential(norm=BatchNorm2d(5), relu=activation())
    net.layers["norm"].gamma.value[...] = rng.uniform(0.5, 4, 5)
    net.layers["norm"].beta.value[...] = rng.standard_normal(5)
    net.layers["norm"].frozen_statistics = mode == "frozen statistics"
    apart = copy.deepcopy(net)
    for each in (net, apart):
        each.train() if mode != "eval" else each.eval(backward=True)
        each.needs_dx = needs_dx
        if mode == "frozen":
            each.freeze()
            each.needs_dx = True
    y = net.forward(x)
    norm, relu = apart.layers.values()
    for layer in (norm, relu):
        layer.needs_dx, layer.remembers = True, True
    norm.needs_dx = net.needs_dx
    np.testing.assert_array_equal(y, relu.forward(norm.forward(x)))
    assert (y == 0).any() and (y == 6).any() == (activation is ReLU6)
    dx, expected = net.backward(dy), norm.backward(relu.backward(dy))
    assert (dx is None) == (expected is None) == (not net.needs_dx)
    if dx is not None:
        np.testing.assert_array_equal(dx, expected)
    for name, parameter in net.layers["norm"].parameters().items():
        np.testing.assert_array_equal(parameter.grad, norm.parameters()[name].grad)
    np.testing.assert_array_equal(net.layers["norm"].running_var, norm.running_var)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", [ReLU, ReLU6])
@pytest.mark.parametrize("mode", ["train", "eval", "frozen", "frozen statistics", "only beta is trained"])
@pytest.mark.parametrize("needs_dx", [True, False])
def test_the_step_of_the_two_gives_the_bits_of_one_after_another(activation, mode, needs_dx, dtype):
    rng = np.random.default_rng(0)
    x, dy = (3 * rng.standard_normal((2, 4, 5, 16, 17))).astype(dtype)
    step_norm, step_relu = BatchNorm2d(5).astype(dtype), activation()
    step_norm.gamma.value[...], step_norm.beta.value[...] = rng.uniform(0.5, 4, 5), rng.standard_normal(5)
    if mode == "frozen":
        step_norm.freeze()
    step_norm.frozen_statistics = mode == "frozen statistics"
    step_norm.gamma.trainable &= mode != "only beta is trained"
    for layer in (step_norm, step_relu):
        layer.eval(backward=True) if mode == "eval" else layer.train()
    step_norm.needs_dx = needs_dx
    norm, relu = copy.deepcopy([step_norm, step_relu])
    step = NormActivation(step_norm, step_relu)
    y = step.forward(x)
    np.testing.assert_array_equal(y, relu.forward(norm.forward(x)))
    assert (y == 0).any() and (y == 6).any() == (activation is ReLU6)
    dx, expected = step.backward(dy), norm.backward(relu.backward(dy))
    assert (dx is None) == (expected is None) == (not needs_dx)
    if needs_dx:
        np.testing.assert_array_equal(dx, expected)
    for name, parameter in step_norm.parameters().items():
        np.testing.assert_array_equal(parameter.grad, norm.parameters()[name].grad)
        assert (parameter.grad is None) == (not parameter.trainable)
    for name, array in step_norm.state().items():
        np.testing.assert_array_equal(array, norm.state()[name])
    for layer in (step_norm, step_relu):  # nothing is left behind
        with pytest.raises(RuntimeError, match=r"needs a forward\(\) just before it"):
            layer.backward(dy)


def test_a_network_joins_a_batch_norm_with_the_relu_right_above_it_and_with_nothing_else():
    def kinds(*layers):
        return [type(step).__name__ for step in Sequential(*layers).train().steps()]

    assert kinds(BatchNorm2d(4), ReLU(), BatchNorm2d(4), ReLU6()) == ["NormActivation", "NormActivation"]
    assert kinds(ReLU(), BatchNorm2d(4), BatchNorm2d(4), ReLU(), ReLU()) == ["ReLU", "BatchNorm2d", "NormActivation", "ReLU"]
    assert kinds(BatchNorm2d(4), Tanh()) == ["BatchNorm2d", "Tanh"]
    assert kinds(BatchNorm1d(4), ReLU()) == ["BatchNorm1d", "ReLU"]

    class AnotherReLU(ReLU):
        """May compute something else."""

    assert kinds(BatchNorm2d(4), AnotherReLU()) == ["BatchNorm2d", "AnotherReLU"]


@pytest.mark.parametrize("watched", ["norm", "relu"])
def test_layers_with_a_forward_that_somebody_put_there_are_not_joined(watched):
    net, seen = Sequential(norm=trained(), relu=ReLU()).astype(np.float64).train(), []
    expected = copy.deepcopy(net).forward(PICTURES)
    layer = net.layers[watched]
    original = layer.forward
    layer.forward = lambda x: seen.append(original(x)) or seen[-1]
    np.testing.assert_array_equal(net.forward(PICTURES), expected)
    assert len(seen) == 1


@pytest.mark.parametrize("activation", [ReLU, ReLU6])
@pytest.mark.parametrize("frozen_statistics", [False, True])
def test_the_gradient_of_both_together_is_that_of_the_definition(activation, frozen_statistics):
    net = Sequential(norm=trained(), relu=activation()).astype(np.float64).train()
    net.layers["norm"].frozen_statistics = frozen_statistics
    report = check_layer(net, 3 * PICTURES)
    assert report.ok, str(report)
