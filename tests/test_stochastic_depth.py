"""Stochastic depth: a branch that is there or not in training, and weakened to its average in inference."""

import numpy as np
import pytest

import minicnn
from minicnn.gradcheck import check_layer
from minicnn.inference import fuse
from minicnn.layers import BatchNorm2d, Conv2d, Linear, ReLU, Residual, Sequential, StochasticDepth, survival_probabilities
from minicnn.models import Model

X = np.random.default_rng(0).normal(size=(3, 4, 5, 5))


def branch():
    return Sequential(conv=Conv2d(4, 4, 3, pad=1, rng=0), norm=BatchNorm2d(4), relu=ReLU(), out=Conv2d(4, 4, 1, rng=1))


def double():
    """A branch F(x) = 2 x."""
    layer = Linear(2, 2, bias=False).astype(np.float64)
    layer.w.value[:] = [[2, 0], [0, 2]]
    return layer


def seed_for(kept, survival=0.6):
    """A seed whose first draw keeps the branch, or does not."""
    return next(seed for seed in range(100) if (np.random.default_rng(seed).random() < survival) == kept)


def test_by_hand():
    x, dy = np.array([[1.0, 10]]), np.array([[5.0, 7]])
    kept = Residual(StochasticDepth(double(), 0.6, rng=seed_for(True))).train()
    assert np.array_equal(kept.forward(x), [[3, 30]]) and np.array_equal(kept.backward(dy), [[15, 21]])
    gone = Residual(StochasticDepth(double(), 0.6, rng=seed_for(False))).train()
    assert np.array_equal(gone.forward(x), x) and np.array_equal(gone.backward(dy), dy)
    assert not gone.body.body.w.grad.any()
    kept.eval(backward=True)
    np.testing.assert_allclose(kept.forward(x), [[2.2, 22]])
    np.testing.assert_allclose(kept.backward(dy), [[11, 15.4]])


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("mode", ["train", "eval", "frozen"])
def test_gradients_match_numeric_ones(mode, kept):
    layer = Residual(StochasticDepth(branch(), 0.6, rng=seed_for(kept))).astype(np.float64)
    if mode == "frozen":
        layer.freeze()
    report = check_layer(layer, X, training=mode != "eval", elements=40)
    assert report.ok, report
    assert len(report.arrays) == 1 + (0 if mode == "frozen" else len(layer.parameters()))


@pytest.mark.parametrize("fault", ["inference counts the branch fully", "a branch that is gone has a gradient", "unscaled dx"])
def test_a_wrong_gradient_would_be_seen(fault):
    class Wrong(StochasticDepth):
        def forward(self, x):
            y = super().forward(x)
            if not self.training and fault.startswith("inference"):
                return y / self.survival
            return y

        def backward(self, dy):
            if fault == "unscaled dx":
                self._remembered["factor"] = 1.0
            dx = super().backward(dy)
            return dy if fault.startswith("a branch") else dx

    kept = not fault.startswith("a branch")
    layer = Residual(Wrong(branch(), 0.6, rng=seed_for(kept))).astype(np.float64)
    assert not check_layer(layer, X, training=not kept, elements=20).ok


def test_it_survives_as_often_as_it_should_and_repeats_with_the_seed():
    layer, again = (StochasticDepth(Sequential(), 0.8, rng=3).train() for _ in range(2))
    x = np.ones(1)
    ran = [layer.forward(x)[0] for _ in range(4000)]
    assert set(ran) == {0, 1} and np.mean(ran) == pytest.approx(0.8, abs=0.03)
    assert ran[:50] == [again.forward(x)[0] for _ in range(50)]
    assert np.mean(ran) == pytest.approx(layer.eval().forward(x)[0], abs=0.03)


def test_a_branch_that_is_left_out_is_not_computed_and_keeps_its_statistics():
    layer = StochasticDepth(branch(), 0.6, rng=seed_for(False)).train()
    layer.body.layers["conv"].forward = None  # calling it would be an error
    before = {name: array.copy() for name, array in layer.state().items()}
    assert not layer.forward(X.astype(np.float32)).any()
    assert all(np.array_equal(array, before[name]) for name, array in layer.state().items())


def test_nothing_below_the_lowest_trainable_layer_is_remembered_or_given_a_gradient():
    net = Sequential(frozen=StochasticDepth(branch(), 1.0, rng=0).freeze(), scores=Conv2d(4, 2, 1, rng=2)).train()
    net.needs_dx = False
    y = net.forward(X.astype(np.float32))
    assert net.layers["frozen"].body._remembered is None
    assert net.backward(np.ones_like(y)) is None
    for kept in (True, False):
        layer = StochasticDepth(branch(), 0.6, rng=seed_for(kept)).train()
        layer.needs_dx = False
        y = layer.forward(X.astype(np.float32))
        assert layer.backward(y) is None and layer.body.layers["out"].w.grad is not None


def test_a_saved_model_computes_the_same_again(tmp_path):
    block = Residual(StochasticDepth(branch(), 0.7, rng=0))
    model = Model({"block": block, "relu": ReLU()}, architecture="small", input_shape=(4, 5, 5)).eval()
    model.save(tmp_path / "net.h5")
    loaded, x = minicnn.load(tmp_path / "net.h5"), X.astype(np.float32)
    np.testing.assert_array_equal(loaded.forward(x), model.forward(x))
    np.testing.assert_allclose(fuse(model).forward(x), model.forward(x), rtol=1e-5, atol=1e-5)
    assert loaded.layers["block"].body.survival == 0.7


def test_shapes_costs_and_fields_are_the_branchs():
    layer, shape = StochasticDepth(branch(), 0.7), (3, 4, 5, 5)
    assert layer.output_shape(shape) == shape
    assert layer.multiply_adds(shape) == layer.body.multiply_adds(shape) > 0
    field = minicnn.layers.receptive_field.ReceptiveField()
    assert layer.receptive_field(field, shape) == layer.body.receptive_field(field, shape) != field
    assert next(iter(layer.parameters())) == "body.conv.w" and layer.body.layers["conv"].name == "body.conv"


def test_survival_decays_linearly_to_the_last_block():
    probabilities = survival_probabilities(54)
    assert probabilities[0] == pytest.approx(1 - 0.5 / 54) and probabilities[-1] == 0.5
    np.testing.assert_allclose(np.diff(probabilities), -0.5 / 54)
    assert sum(probabilities) == pytest.approx((3 * 54 - 1) / 4)  # 40 blocks of the paper's 110 layers, section 3
    assert survival_probabilities(2, last=1) == [1, 1] and survival_probabilities(1) == [0.5]
    assert StochasticDepth(Sequential()).survival == 0.5


@pytest.mark.parametrize("survival", [0, -0.1, 1.1, np.nan])
def test_impossible_arguments_are_refused(survival):
    with pytest.raises(ValueError, match="probability of keeping the branch, more than 0 and up to 1"):
        StochasticDepth(Sequential(), survival)
    with pytest.raises(ValueError, match="last of more than 0 and up to 1"):
        survival_probabilities(3, survival)
    with pytest.raises(ValueError, match="blocks of at least 1"):
        survival_probabilities(0)
    with pytest.raises(TypeError, match="holds layers"):
        StochasticDepth("branch")
