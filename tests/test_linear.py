"""The fully connected layer and Flatten."""

import numpy as np
import pytest

from minicnn.kernels.linear import product
from minicnn.layers import Flatten, Linear


def layer_2_to_3() -> Linear:
    layer = Linear(2, 3)
    layer.w.value[:] = [[1, 2], [3, 4], [5, 6]]
    layer.b.value[:] = [10, 20, 30]
    return layer


def test_forward_worked_by_hand():
    y = layer_2_to_3().forward(np.array([[1, 0], [2, -1]], np.float32))
    np.testing.assert_array_equal(y, [[11, 23, 35], [10, 22, 34]])
    assert y.dtype == np.float32


def test_backward_worked_by_hand():
    layer = layer_2_to_3().train()
    layer.forward(np.array([[1, 0], [2, -1]], np.float32))
    dx = layer.backward(np.array([[1, 0, 0], [0, 1, -1]], np.float32))
    np.testing.assert_array_equal(dx, [[1, 2], [-2, -2]])  # rows of w: the first; the second less the third
    np.testing.assert_array_equal(layer.w.grad, [[1, 0], [2, -1], [-2, 1]])
    np.testing.assert_array_equal(layer.b.grad, [1, 1, -1])


def test_gradients_belong_to_a_loss_in_both_precisions():
    rng = np.random.default_rng(0)
    for dtype, tolerance in ((np.float64, 1e-7), (np.float32, 1e-2)):
        layer = Linear(7, 5, rng=0).astype(dtype).train()
        x, dy = rng.standard_normal((4, 7)).astype(dtype), rng.standard_normal((4, 5)).astype(dtype)
        layer.forward(x)
        dx, step = layer.backward(dy), 1e-2  # the layer is linear in x, w and b: any step gives the exact slope
        for array, gradient in ((x, dx), (layer.w.value, layer.w.grad), (layer.b.value, layer.b.grad)):
            direction = rng.standard_normal(array.shape).astype(dtype) * dtype(step)
            array += direction
            higher = (layer.forward(x) * dy).sum()
            array -= 2 * direction
            lower = (layer.forward(x) * dy).sum()
            array += direction
            np.testing.assert_allclose(
                (higher - lower) / 2, (gradient * direction).sum(), rtol=tolerance, atol=tolerance * step
            )
            assert gradient.dtype == dtype


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 300, 7), (300, 5, 2), (3, 2, 300), (9, 9, 9)])
def test_the_product_on_all_threads_is_the_product(shape):
    M, K, L = shape
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((M, K)), rng.standard_normal((L, K)).T
    np.testing.assert_allclose(product(a, b), a @ b, atol=1e-12)


def test_without_bias_there_is_one_parameter():
    layer = Linear(3, 2, bias=False)
    assert list(layer.parameters()) == ["w"] and list(Linear(3, 2).parameters()) == ["w", "b"]
    assert not layer.train().forward(np.zeros((1, 3), np.float32)).any()
    assert layer.backward(np.ones((1, 2), np.float32)).shape == (1, 3)
    assert [Linear(**Linear(3, 2, bias=bias).config()).b is None for bias in (True, False)] == [False, True]


def test_a_frozen_part_gets_no_gradient_and_the_lowest_layer_gives_no_dx():
    layer = layer_2_to_3().train()
    layer.w.trainable, layer.needs_dx = False, False
    layer.forward(np.ones((1, 2), np.float32))
    assert layer.backward(np.ones((1, 3), np.float32)) is None
    assert layer.w.grad is None and layer.b.grad is not None
    layer = layer_2_to_3().train()
    layer.b.trainable = False
    layer.forward(np.ones((1, 2), np.float32))
    layer.backward(np.ones((1, 3), np.float32))
    assert layer.w.grad is not None and layer.b.grad is None


def test_decay_applies_to_the_weights_and_not_to_the_bias():
    layer = Linear(3, 2)
    assert layer.w.decays and not layer.b.decays


def test_cost_shape_and_config():
    layer = Linear(84, 10)
    assert layer.output_shape((32, 84)) == (32, 10)
    assert layer.multiply_adds((32, 84)) == 32 * 840
    assert Linear(**layer.config()).w.value.shape == (10, 84)


def test_one_seed_gives_the_same_layer():
    np.testing.assert_array_equal(Linear(5, 4, rng=3).w.value, Linear(5, 4, rng=np.random.default_rng(3)).w.value)


def test_wrong_inputs_are_refused_with_a_sentence():
    layer = Linear(400, 10)
    with pytest.raises(ValueError, match=r"Linear expects 400 features a sample, got an input of shape \(8, 300\)"):
        layer.forward(np.zeros((8, 300), np.float32))
    for shape, advised in (((8, 16, 5, 5), True), ((8, 20, 20), True), ((8, 300), False), ((400,), False)):
        with pytest.raises(ValueError, match="expects 400 features a sample") as error:
            layer.output_shape(shape)
        assert ("Put Flatten() before it" in str(error.value)) == advised
    with pytest.raises(TypeError, match="float32 or float64, got int64"):
        layer.forward(np.zeros((8, 400), np.int64))
    for bad in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="in_features is a whole number of at least 1"):
            Linear(bad, 3)


def test_flatten_keeps_channel_after_channel_and_gives_the_shape_back():
    x = np.arange(2 * 3 * 2 * 2, dtype=np.float32).reshape(2, 3, 2, 2)
    layer = Flatten().train()
    y = layer.forward(x)
    assert y.shape == (2, 12) and y[1, 4] == x[1, 1, 0, 0]
    np.testing.assert_array_equal(layer.backward(y), x)
    assert layer.output_shape((5, 3, 2, 2)) == (5, 12) and layer.multiply_adds((5, 3, 2, 2)) == 0


def test_flatten_takes_a_transposed_view():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2).transpose(0, 1, 3, 2)
    np.testing.assert_array_equal(Flatten().forward(x), np.ascontiguousarray(x).reshape(2, -1))


def test_flatten_needs_something_after_the_samples():
    with pytest.raises(ValueError, match="something to flatten"):
        Flatten().output_shape((5,))
    assert Flatten().output_shape((5, 3)) == (5, 3)
    with pytest.raises(TypeError, match="float32 or float64, got int64"):
        Flatten().forward(np.zeros((5, 3), np.int64))


def test_one_feature_is_enough():
    layer = Linear(1, 1)
    assert layer.forward(np.array([[2.0]], np.float32)) == 2 * layer.w.value


@pytest.mark.parametrize(("layer", "x"), [(layer_2_to_3(), np.ones((4, 2))), (Flatten(), np.ones((4, 3, 2)))], ids=str)
def test_a_dy_that_is_not_like_y_is_refused(layer, x):
    layer.train().forward(x.astype(np.float32))
    with pytest.raises(ValueError, match="expects a dy like y"):
        layer.backward(np.ones((4, 7), np.float32))
