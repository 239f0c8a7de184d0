"""Auxiliary heads: what they add to the gradient, when they run, and the loss that looks at their scores."""

import numpy as np
import pytest

import minicnn
from minicnn.gradcheck import check_function, check_layer
from minicnn.inference.fusion import fuse
from minicnn.layers import (
    AuxiliaryHead,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
)
from minicnn.losses import SoftmaxCrossEntropy, SVMHinge, WithAuxiliaryHeads
from minicnn.models import Model
from minicnn.models.strict import arrays_of
from minicnn.optim import SGD
from minicnn.training import Trainer

PICTURES, TARGETS = np.random.default_rng(0).standard_normal((4, 2, 6, 6)), np.array([0, 2, 1, 2])


def small_model():
    """Two convolutions, each with a head after it, and a classifier on top."""
    layers = {
        "conv1": Conv2d(2, 4, 3, pad=1, rng=0),
        "relu1": ReLU(),
        "aux1": AuxiliaryHead(Sequential(pool=MaxPool2d(2), flatten=Flatten(), drop=Dropout(0.3, 1), fc=Linear(36, 3, rng=2))),
        "conv2": Conv2d(4, 5, 3, stride=2, rng=3),
        "norm2": BatchNorm2d(5),
        "aux2": AuxiliaryHead(Sequential(pool=GlobalAvgPool2d(), fc=Linear(5, 3, rng=4))),
        "flatten": Flatten(),
        "fc": Linear(20, 3, rng=5),
    }
    return Model(layers, architecture="small", input_shape=(2, 6, 6)).astype(np.float64)


def step(model, loss, x=PICTURES, targets=TARGETS):
    value = loss.forward(model.forward(x), targets)
    return value, model.backward(loss.backward())


def check_whole(model, weight=0.3):
    """The gradient of the whole loss with respect to x and everything trainable, against numeric ones."""
    model.train()
    loss = WithAuxiliaryHeads(SoftmaxCrossEntropy(), model, weight)
    trainable = {name: parameter for name, parameter in model.parameters().items() if parameter.trainable}
    arrays = {"x": PICTURES.copy()} | {name: parameter.value for name, parameter in trainable.items()}

    def forward(**_):
        model.seed(np.random.default_rng(7))
        for array in model.state().values():
            array[...] = 1
        return np.asarray(loss.forward(model.forward(arrays["x"]), TARGETS))

    def backward(dy):
        dx = model.backward(dy * loss.backward())
        return {"x": dx} | {name: parameter.grad for name, parameter in trainable.items()}

    return check_function(forward, backward, arrays, elements=25)


# ---- by hand, and against numeric gradients


def test_loss_and_gradient_by_hand():
    """One weight a layer, hinge losses that are all active: L = x w (s_1 - s_0 + 1) with a share of the side's."""
    model = Sequential(
        scale=Linear(1, 1, bias=False),
        side=AuxiliaryHead(Linear(1, 2, bias=False)),
        scores=Linear(1, 2, bias=False),
    ).astype(np.float64)
    parameters = model.parameters()
    assert list(parameters) == ["scale.w", "side.head.w", "scores.w"]
    for name, values in (("scale.w", [[2]]), ("side.head.w", [[3], [4]]), ("scores.w", [[5], [7]])):
        parameters[name].value[...] = values
    model.train()
    loss = WithAuxiliaryHeads(SVMHinge(), model, weight=0.5)
    value, dx = step(model, loss, np.array([[10.0]]), np.array([0]))
    # the middle is 20: scores 100, 140, and 60, 80 at the side
    assert value == (140 - 100 + 1) + 0.5 * (80 - 60 + 1)
    assert parameters["scores.w"].grad.tolist() == [[-20], [20]]
    assert parameters["side.head.w"].grad.tolist() == [[-10], [10]]
    middle = (7 - 5) + 0.5 * (4 - 3)
    assert parameters["scale.w"].grad.item() == 10 * middle
    assert dx.item() == 2 * middle


@pytest.mark.parametrize("weight", [0, 0.3, 2])
def test_the_gradient_of_the_whole_loss_is_exact(weight):
    model = small_model()
    report = check_whole(model, weight)
    assert report.ok, report
    assert len(report.arrays) == 1 + len(model.parameters()) == 13


@pytest.mark.parametrize("frozen", [["aux1"], ["conv1"], ["conv1", "aux1"], ["conv2", "norm2", "aux2.head.fc.b"], ["fc"]])
def test_it_is_exact_whatever_is_frozen_and_frozen_parameters_get_none(frozen):
    model = small_model().freeze(names=frozen)
    report = check_whole(model)
    assert report.ok, report
    assert all((parameter.grad is None) != parameter.trainable for parameter in model.parameters().values())


def test_a_head_whose_gradient_is_forgotten_fails_the_check():
    class Forgetful(AuxiliaryHead):
        def backward(self, dy):
            super().backward(dy)
            return dy

    model = small_model()
    model.layers["aux2"] = Forgetful(model.layers["aux2"].head)
    assert not check_whole(model).ok


def test_without_a_loss_that_looks_a_head_has_no_influence():
    model = small_model()
    for training in (True, False):
        report = check_layer(model, PICTURES, training=training, elements=40)
        assert report.ok, report
    step(model.train(), WithAuxiliaryHeads(SoftmaxCrossEntropy(), model))
    assert model.parameters()["aux1.head.fc.w"].grad.any()
    step(model, SoftmaxCrossEntropy())
    assert not model.parameters()["aux1.head.fc.w"].grad.any(), "the gradient of an earlier step is still there"
    assert all(layer._remembered is None for _, layer in model.walk())


# ---- when they run


def test_in_eval_mode_no_head_runs_and_the_loss_is_that_of_the_scores_alone():
    model, plain = small_model(), SoftmaxCrossEntropy()
    whole = WithAuxiliaryHeads(plain, model)
    model.train().forward(PICTURES)
    scores = model.eval().forward(PICTURES)
    assert model.layers["aux1"].scores is None
    assert whole.forward(scores, TARGETS) == plain.forward(scores, TARGETS)
    assert np.array_equal(whole.backward(), plain.backward())


@pytest.fixture
def runs(monkeypatch):
    """Names of the layers with weights that have run forward or backward."""
    ran = []
    for method in ("forward", "backward"):
        original = getattr(Linear, method)
        monkeypatch.setattr(Linear, method, lambda self, x, original=original: (ran.append(self.name), original(self, x))[1])
    return ran


def test_below_the_lowest_trainable_layer_no_head_runs(runs):
    model = small_model().freeze(until="norm2").train()
    model.needs_dx = False
    step(model, WithAuxiliaryHeads(SoftmaxCrossEntropy(), model))
    assert runs == ["aux2.head.fc", "fc", "fc", "aux2.head.fc"]
    assert model.parameters()["aux1.head.fc.w"].grad is None


def test_the_lowest_trainable_layer_may_be_in_a_head(runs):
    model = small_model().freeze(until="norm2").train()
    model.needs_dx = False
    assert step(model, WithAuxiliaryHeads(SoftmaxCrossEntropy(), model))[1] is None
    assert model.parameters()["aux2.head.fc.w"].grad.any()
    runs.clear()
    model.freeze(until="aux2")
    step(model, WithAuxiliaryHeads(SoftmaxCrossEntropy(), model))
    assert runs == ["fc", "fc"]


def test_a_frozen_head_above_something_trainable_still_hands_its_gradient_down():
    gradients = []
    for weight in (0, 1):
        model = small_model().freeze(names=["aux1", "aux2"]).seed(np.random.default_rng(0)).train()
        step(model, WithAuxiliaryHeads(SoftmaxCrossEntropy(), model, weight))
        gradients.append(model.parameters()["conv1.w"].grad)
    assert np.abs(gradients[0] - gradients[1]).max() > 1e-3


def test_where_no_loss_looks_only_what_is_trained_gets_a_gradient_of_zeros_and_dx_only_who_asks():
    side, x = AuxiliaryHead(Linear(2, 3)).train(), np.ones((4, 2), np.float32)
    side.head.b.trainable = side.needs_dx = False
    side.forward(x)
    assert side.backward(x) is None
    assert side.head.b.grad is None and not side.head.w.grad.any()


def test_for_gradients_in_eval_mode_no_head_runs_either():
    side = AuxiliaryHead(Linear(2, 3)).eval(backward=True)
    x = np.ones((4, 2), np.float32)
    assert side.forward(x) is x and side.scores is None
    assert side.backward(x) is x
    assert side.is_identity_in_inference


# ---- in a network's life


def test_the_trainer_trains_the_heads_and_validates_without_them():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((24, 2, 6, 6)), rng.integers(0, 3, 24)
    model = small_model()
    before = model.parameters()["aux1.head.fc.w"].value.copy()
    trainer = Trainer(
        model,
        WithAuxiliaryHeads(SoftmaxCrossEntropy(), model),
        SGD(model.parameters(), 0.05),
        epochs=15,
        batch_size=8,
        progress=False,
    )
    history = trainer.fit(x, y)
    assert history.epochs[-1]["loss"] < 0.7 * history.epochs[0]["loss"]
    assert np.abs(model.parameters()["aux1.head.fc.w"].value - before).max() > 0.01
    plain = SoftmaxCrossEntropy().forward(model.eval().forward(x), y)
    assert trainer.evaluate(x, y)[0] == pytest.approx(plain)


def test_it_is_saved_loaded_and_copied_with_its_head(tmp_path):
    model = small_model().astype(np.float32)
    model.save(tmp_path / "small.h5")
    x, loaded = PICTURES.astype(np.float32), minicnn.load(tmp_path / "small.h5")
    for other in (loaded, model.copy()):
        assert list(arrays_of(other)) == list(arrays_of(model))
        values = []
        for net in (model, other):
            net.seed(np.random.default_rng(3)).train()
            values.append(step(net, WithAuxiliaryHeads(SoftmaxCrossEntropy(), net), x)[0])
        assert values[0] == values[1]
        other.parameters()["aux1.head.fc.w"].value += 1
    assert model.parameters()["aux1.head.fc.w"].value.max() < 1


def test_fused_it_hands_on_what_it_gets():
    model = small_model().eval()
    fused = fuse(model)
    np.testing.assert_allclose(fused.forward(PICTURES), model.forward(PICTURES), atol=1e-12)
    assert not fused.layers["aux1"].parameters()


def test_the_summary_counts_its_parameters_and_not_the_work_it_does_in_training_only():
    model = small_model()
    row = next(line.split() for line in model.summary().splitlines() if line.startswith("aux1"))
    assert row == ["aux1", "AuxiliaryHead", "4", "x", "6", "x", "6", "111", "0", "yes"]
    plain = Sequential(**{name: layer for name, layer in model.layers.items() if not isinstance(layer, AuxiliaryHead)})
    assert model.multiply_adds((1, 2, 6, 6)) == plain.multiply_adds((1, 2, 6, 6))
    totals = [model.summary(depth=depth).splitlines()[-2:] for depth in (1, 3)]
    assert totals[0] == totals[1]


# ---- what is refused


def test_what_makes_no_sense_is_refused():
    with pytest.raises(TypeError, match="needs a layer that makes scores, got a str"):
        AuxiliaryHead("aux")
    model = small_model().train()
    for weight in (-1, np.inf, np.nan):
        with pytest.raises(ValueError, match=f"weight of the auxiliary heads' losses is a number of at least 0, got {weight}"):
            WithAuxiliaryHeads(SoftmaxCrossEntropy(), model, weight)
    with pytest.raises(RuntimeError, match="needs a forward"):
        WithAuxiliaryHeads(SoftmaxCrossEntropy(), model).backward()
    model.layers["fc"] = Linear(20, 5, rng=0).astype(np.float64).train()
    with pytest.raises(
        ValueError, match=r"AuxiliaryHead 'aux1' gives scores \(4, 3\) and the network \(4, 5\): after a change"
    ):
        WithAuxiliaryHeads(SoftmaxCrossEntropy(), model).forward(model.forward(PICTURES), TARGETS)
    with pytest.raises(TypeError, match="float32 or float64, got int64"):
        AuxiliaryHead(Linear(2, 2)).forward(np.zeros((3, 2), np.int64))
    with pytest.raises(ValueError, match=r"Linear 'head.fc' expects 2 features"):
        AuxiliaryHead(Sequential(fc=Linear(2, 2))).train().forward(np.zeros((3, 4), np.float32))
    side = AuxiliaryHead(Linear(2, 2)).train()
    side.forward(np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="expects a dy like y"):
        side.backward(np.zeros((2, 2), np.float32))


def test_chance_and_best_count_each_head_that_has_run():
    model = Sequential(hidden=Linear(4, 3, rng=0), auxiliary=AuxiliaryHead(Linear(3, 5, rng=1)), scores=Linear(3, 5, rng=2))
    inner, targets = SoftmaxCrossEntropy(label_smoothing=0.1), np.arange(5)
    loss = WithAuxiliaryHeads(inner, model, weight=0.3)
    scores = model.train().forward(np.ones((5, 4), np.float32))
    assert loss.at_chance(scores, targets) == pytest.approx(1.3 * np.log(5))
    assert loss.at_best(scores, targets) == pytest.approx(1.3 * inner.at_best(scores, targets)) != 0
    scores = model.eval().forward(np.ones((5, 4), np.float32))
    assert loss.at_chance(scores, targets) == pytest.approx(np.log(5))
    assert loss.chance_formula == inner.chance_formula == "log C"
