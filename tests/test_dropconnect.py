"""DropConnect: each sample sees its own part of the weights in training, and all of them see the average in inference."""

import numpy as np
import pytest

import minicnn
from minicnn.gradcheck import check_layer
from minicnn.inference import fuse
from minicnn.layers import DropConnect, Flatten, Linear
from minicnn.models import Model

X = np.random.default_rng(0).normal(size=(4, 5))


def layer_for_check(**arguments):
    return DropConnect(5, 3, p=0.4, rng=2, **arguments).astype(np.float64)


def masks(layer):
    """The masks of the next pass, of weights and biases, drawn as the layer's documentation says."""
    rng = np.random.default_rng()
    rng.bit_generator.state = layer.rng.bit_generator.state
    shape = layer.w.value.shape
    return (rng.random((len(X), *shape), np.float32) >= layer.p, rng.random((len(X), shape[0]), np.float32) >= layer.p)


def test_by_hand():
    """x = (1, 10, 100) and weights of 1: the digits of y say which connections were there, and half of them count twice."""
    layer = DropConnect(3, 40, p=0.5, rng=0).train()
    layer.w.value[:] = 1
    y = layer.forward(np.array([[1, 10, 100]], np.float32))[0]
    assert {f"{int(value):03}" for value in y} == {a + b + c for a in "02" for b in "02" for c in "02"}
    assert np.array_equal(layer.eval().forward(np.array([[1, 10, 100]], np.float32))[0], np.full(40, 111))


def test_forward_and_backward_are_the_sums_of_the_equation():
    layer = layer_for_check().train()
    layer.b.value[:] = [0.5, -1, 2]
    m, r = masks(layer)
    dy = np.random.default_rng(1).normal(size=(4, 3))
    y, dx = layer.forward(X), layer.backward(dy)
    expected = {"y": np.zeros((4, 3)), "dx": np.zeros((4, 5)), "dw": np.zeros((3, 5)), "db": np.zeros(3)}
    for n, o in np.ndindex(4, 3):
        expected["y"][n, o] += r[n, o] * layer.b.value[o] / 0.6
        expected["db"][o] += dy[n, o] * r[n, o] / 0.6
        for i in range(5):
            expected["y"][n, o] += m[n, o, i] * layer.w.value[o, i] * X[n, i] / 0.6
            expected["dx"][n, i] += dy[n, o] * m[n, o, i] * layer.w.value[o, i] / 0.6
            expected["dw"][o, i] += dy[n, o] * m[n, o, i] * X[n, i] / 0.6
    for name, value in {"y": y, "dx": dx, "dw": layer.w.grad, "db": layer.b.grad}.items():
        np.testing.assert_allclose(value, expected[name], err_msg=name)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mode", ["train", "eval", "frozen"])
def test_gradients_match_numeric_ones(mode, bias):
    layer = layer_for_check(bias=bias)
    if mode == "frozen":
        layer.freeze()
    report = check_layer(layer, X, training=mode != "eval")
    assert report.ok, report
    assert len(report.arrays) == 1 + (0 if mode == "frozen" else 1 + bias)


@pytest.mark.parametrize("fault", ["dx sees all connections", "dw sees all connections", "dw is not scaled", "db has no mask"])
def test_a_wrong_gradient_would_be_seen(fault):
    class Wrong(DropConnect):
        def backward(self, dy):
            saved = self._remembered
            dx = super().backward(dy)
            if fault.startswith("dx"):
                return dy @ self.w.value / (1 - self.p)
            if fault == "dw sees all connections":
                self.w.grad = dy.T @ saved["x"] / (1 - self.p)
            if fault == "dw is not scaled":
                self.w.grad = self.w.grad * (1 - self.p)
            if fault.startswith("db"):
                self.b.grad = dy.sum(axis=0) / (1 - self.p)
            return dx

    assert not check_layer(Wrong(5, 3, p=0.4, rng=2).astype(np.float64), X, training=True).ok


def test_samples_of_a_batch_and_passes_have_masks_of_their_own_which_repeat_with_the_seed():
    x = np.ones((2, 50), np.float32)
    first, again = (DropConnect(50, 20, rng=1).train() for _ in range(2))
    y = first.forward(x)
    assert not np.array_equal(y[0], y[1])
    assert np.array_equal(again.forward(x), y)
    assert not np.array_equal(first.forward(x), y)


def test_inference_is_the_average_over_masks():
    layer = DropConnect(6, 2, p=0.3, rng=1)
    layer.b.value[:] = [1, -2]
    x = np.repeat(np.random.default_rng(3).normal(size=(1, 6)).astype(np.float32), 20_000, 0)
    np.testing.assert_allclose(layer.train().forward(x).mean(axis=0), layer.eval().forward(x)[0], atol=0.03)


def test_in_inference_and_with_p_zero_it_is_linear_and_draws_nothing():
    plain = Linear(5, 3, rng=np.random.default_rng(4)).astype(np.float64).train()
    for layer in (DropConnect(5, 3, p=0.5, rng=4).astype(np.float64).eval(backward=True), DropConnect(5, 3, p=0, rng=4)):
        layer = layer.astype(np.float64) if layer.p else layer.astype(np.float64).train()
        state = layer.rng.bit_generator.state
        assert np.array_equal(layer.forward(X), plain.forward(X))
        assert np.array_equal(layer.backward(np.ones((4, 3))), plain.backward(np.ones((4, 3))))
        assert np.array_equal(layer.w.grad, plain.w.grad) and layer.rng.bit_generator.state == state


def test_a_saved_model_computes_the_same_again(tmp_path):
    layers = {"flatten": Flatten(), "scores": DropConnect(5, 3, p=0.3, rng=0)}
    model = Model(layers, architecture="small", input_shape=(1, 1, 5)).eval()
    model.save(tmp_path / "net.h5")
    loaded, x = minicnn.load(tmp_path / "net.h5"), X.astype(np.float32).reshape(4, 1, 1, 5)
    np.testing.assert_array_equal(loaded.forward(x), model.forward(x))
    np.testing.assert_array_equal(fuse(model).forward(x), model.forward(x))
    assert loaded.layers["scores"].p == 0.3 and type(loaded.layers["scores"]) is DropConnect


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="DropConnect's p is the probability of dropping a connection"):
        DropConnect(3, 2, p=1)
    with pytest.raises(ValueError, match="out_features is a whole number"):
        DropConnect(3, 0)
    with pytest.raises(ValueError, match="expects 5 features"):
        layer_for_check().train().forward(np.ones((2, 4)))
