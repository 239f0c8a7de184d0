"""What is done to gradients before the step: clipped, or summed up over several batches."""

import numpy as np
import pytest

from minicnn.errors import TrainingError
from minicnn.layers import Linear
from minicnn.layers.base import Parameter
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import GradientAccumulator, clip_gradient_norm


def with_gradient(*values, dtype=np.float64):
    parameter = Parameter(np.zeros(len(values), dtype))
    parameter.grad = np.array(values, dtype)
    return parameter


def test_all_gradients_together_get_the_length_and_keep_the_direction():
    a, b = with_gradient(2.0, 3.0), with_gradient(6.0)  # 4 + 9 + 36 = 49
    assert clip_gradient_norm({"a": a, "b": b}, largest=3.5) == 7
    assert a.grad.tolist() == [1.0, 1.5] and b.grad.tolist() == [3.0]


@pytest.mark.parametrize("largest", [5.0, 6.0])
def test_gradients_that_are_short_enough_are_not_touched(largest):
    a = with_gradient(3.0, 4.0)
    before = a.grad
    assert clip_gradient_norm({"a": a}, largest) == 5
    assert a.grad is before and before.tolist() == [3, 4]


def test_what_gets_no_step_does_not_count():
    a, frozen, without = with_gradient(3.0), with_gradient(4.0), Parameter(np.zeros(1))
    frozen.trainable = False
    assert clip_gradient_norm({"a": a, "frozen": frozen, "without": without}, largest=1.0) == 3
    assert a.grad[0] == 1 and frozen.grad[0] == 4 and without.grad is None
    assert clip_gradient_norm({"frozen": frozen}, largest=1.0) == 0


def test_the_norm_of_many_float32_is_summed_in_float64():
    a = with_gradient(*np.full(100_000, 1e-3), dtype=np.float32)
    assert clip_gradient_norm({"a": a}, 1.0) == pytest.approx(np.sqrt(100_000) * float(np.float32(1e-3)), rel=1e-12)
    large = with_gradient(3e30, 4e30, dtype=np.float32)  # whose squares are not float32
    assert clip_gradient_norm({"a": large}, 1.0) == pytest.approx(5e30)
    np.testing.assert_allclose(large.grad, [0.6, 0.8], rtol=1e-6)
    assert large.grad.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("largest", [0.5, 50.0])
def test_clipping_is_pytorchs(dtype, largest):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    parameters = {str(i): Parameter(np.zeros((3, i + 1), dtype)) for i in range(4)}
    tensors = [torch.tensor(parameter.value, requires_grad=True) for parameter in parameters.values()]
    for parameter, tensor in zip(parameters.values(), tensors, strict=True):
        parameter.grad = rng.normal(size=parameter.value.shape).astype(dtype)
        tensor.grad = torch.tensor(parameter.grad)
    theirs = float(torch.nn.utils.clip_grad_norm_(tensors, largest))
    assert clip_gradient_norm(parameters, largest) == pytest.approx(theirs, rel=1e-6)
    for parameter, tensor in zip(parameters.values(), tensors, strict=True):
        np.testing.assert_allclose(parameter.grad, tensor.grad.numpy(), rtol=2e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_named_and_nothing_is_changed(bad):
    good, broken = with_gradient(3.0), with_gradient(1.0, bad)
    with pytest.raises(TrainingError, match=f"the gradient of conv2.w cannot be clipped: its norm is {bad}"):
        clip_gradient_norm({"conv1.w": good, "conv2.w": broken}, largest=1.0)
    assert good.grad[0] == 3


@pytest.mark.parametrize("largest", [0, -1, np.nan])
def test_a_length_that_is_none_is_refused(largest):
    with pytest.raises(ValueError, match=f"largest must be above 0, got {largest}"):
        clip_gradient_norm({"a": with_gradient(3.0)}, largest)


# ---- several batches


def test_small_batches_of_any_size_add_up_to_the_gradient_of_a_large_one():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10, 4)), rng.integers(3, size=10)
    layer, loss = Linear(4, 3, rng=0).astype(np.float64).train(), SoftmaxCrossEntropy()

    def gradients(part):
        loss.forward(layer.forward(x[part]), y[part])
        layer.backward(loss.backward())
        return {name: parameter.grad.copy() for name, parameter in layer.parameters().items()}

    whole = gradients(slice(0, 10))
    accumulator = GradientAccumulator(layer.parameters())
    for _ in range(2):  # it starts again by itself
        for part in (slice(0, 4), slice(4, 8), slice(8, 10)):
            gradients(part)
            accumulator.add(samples=part.stop - part.start)
        accumulator.assign_mean()
        for name, parameter in layer.parameters().items():
            np.testing.assert_allclose(parameter.grad, whole[name], rtol=1e-12)


def test_frozen_parameters_and_those_without_a_gradient_get_none():
    a, frozen, without = with_gradient(3.0, dtype=np.float32), with_gradient(4.0), Parameter(np.zeros(1))
    frozen.trainable = False
    accumulator = GradientAccumulator({"a": a, "frozen": frozen, "without": without})
    accumulator.add(1)
    accumulator.add(np.int64(3))
    frozen.grad = None
    accumulator.assign_mean()
    assert a.grad.tolist() == [3] and a.grad.dtype == np.float32
    assert frozen.grad is None and without.grad is None


def test_a_mean_of_nothing_is_refused():
    accumulator = GradientAccumulator({"a": with_gradient(3.0)})
    with pytest.raises(RuntimeError, match="there are no gradients; call add"):
        accumulator.assign_mean()
    with pytest.raises(ValueError, match="at least one sample, got 0"):
        accumulator.add(0)
    accumulator.add(1)
    accumulator.assign_mean()
    with pytest.raises(RuntimeError, match="there are no gradients"):
        accumulator.assign_mean()
