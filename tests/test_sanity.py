"""The sanity checks before a long training: a healthy network passes, each planted fault is named, and nothing is changed."""

import copy

import numpy as np
import pytest

from minicnn.initializers import normal
from minicnn.layers import (
    AuxiliaryHead,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    GlobalAvgPool2d,
    Layer,
    Linear,
    Parameter,
    ReLU,
    Residual,
    Sequential,
)
from minicnn.losses import (
    BinaryLogistic,
    MeanSquaredError,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SVMHinge,
    WithAuxiliaryHeads,
)
from minicnn.optim import SGD, AdamW, OptimizerGroup
from minicnn.regularizers import L2, L2SP, MaxNorm
from minicnn.training import sanity_check

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 8)).astype(np.float32)
Y = RNG.integers(0, 4, 300)


def network(*between, outputs=4, initializer=None, seed=0):
    """8 numbers in; two hidden layers, what is ``between`` them and the scores, and a last layer that starts small."""
    rng = np.random.default_rng(seed)
    start = {} if initializer is None else {"initializer": initializer}
    return Sequential(
        fc1=Linear(8, 32, rng=rng, **start),
        relu1=ReLU(),
        fc2=Linear(32, 32, rng=rng, **start),
        relu2=ReLU(),
        **{f"between{i}": layer for i, layer in enumerate(between)},
        scores=Linear(32, outputs, rng=rng, initializer=initializer or normal(0.01)),
    )


def momentum(model, learning_rate=0.1, **options):
    return SGD(model.parameters(), learning_rate, momentum=0.9, **options)


def check(model, loss=None, data=(X, Y), **options):
    options = {"log": lambda line: None, "optimizer": momentum(model), "steps": 60} | options
    return sanity_check(model, loss or SoftmaxCrossEntropy(), data, **options)


def wrong(report):
    """What is wrong, by name."""
    return {check.name: check.words for check in report.checks if check.ok is False}


class BlocksGradient(Layer):
    """The identity, whose author forgot the backward pass."""

    def forward(self, x):
        self.remember(x=x)
        return x

    def backward(self, dy):
        self.recall()
        return np.zeros_like(dy)


class ShufflesTargets(SoftmaxCrossEntropy):
    """Loses track of which target belongs to which sample."""

    def forward(self, scores, targets):
        return super().forward(scores, RNG.permutation(targets))


# ---- what is healthy


def test_a_healthy_network_passes_every_check_and_hears_so_in_words(capsys):
    model = network(Dropout(0.5, rng=3))
    report = sanity_check(model, SoftmaxCrossEntropy(), (X, Y), regularizer=L2(model.parameters(), 0.01))
    assert report.ok and all(check.ok for check in report.checks)
    assert capsys.readouterr().out == report.text() + "\n"
    names = ["outputs", "initial loss", "regularisation", "trained layers", "by heart", "gradients"]
    assert [check.name for check in report.checks] == names
    assert "to know nothing costs log C = 1.39" in report["initial loss"].words
    assert report["trained layers"].words == "all"
    assert report.numbers["initial_loss"] == pytest.approx(np.log(4), rel=0.05)
    assert report.numbers["accuracy_by_heart"] == 1
    assert report.numbers["loss_by_heart"] <= 0.05 * np.log(4)
    assert report.numbers["penalty"] == pytest.approx(L2(model.parameters(), 0.01).value())


@pytest.mark.parametrize(
    ("loss", "outputs", "targets"),
    [
        (SoftmaxCrossEntropy(label_smoothing=0.2), 4, Y),
        (SoftmaxCrossEntropy(class_weights=[1, 2, 3, 4]), 4, np.eye(4)[Y]),
        (SVMHinge(), 4, Y),
        (BinaryLogistic(), 1, Y % 2),
        (SigmoidCrossEntropy(), 4, RNG.integers(0, 2, (300, 4))),
        (MeanSquaredError(), 2, RNG.normal(size=(300, 2))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_loss_can_be_checked(loss, outputs, targets):
    report = check(network(outputs=outputs), loss, (X, targets), optimizer=None, steps=400)
    assert report.ok, report.text()


@pytest.mark.parametrize("seed", range(5))
def test_weights_that_start_in_the_usual_way_are_no_fault(seed):
    rng = np.random.default_rng(seed)
    plain = Sequential(fc1=Linear(8, 32, rng=rng), relu1=ReLU(), scores=Linear(32, 4, rng=rng))
    assert check(plain).ok
    norms = Sequential(fc1=Linear(8, 32, rng=rng), norm=BatchNorm1d(32), relu1=ReLU(), scores=Linear(32, 4, rng=rng))
    assert check(norms).ok


def test_a_network_that_starts_with_zeros_gets_its_gradients_a_few_steps_later():
    x = RNG.normal(size=(60, 3, 6, 6)).astype(np.float32)
    body = Sequential(Conv2d(8, 8, 3, pad=1, rng=1), ReLU(), Conv2d(8, 8, 3, pad=1, rng=2), BatchNorm2d(8))
    body.layers["3"].gamma.value[:] = 0
    model = Sequential(
        c=Conv2d(3, 8, 3, rng=0),
        n=BatchNorm2d(8),
        block=Residual(body),
        p=GlobalAvgPool2d(),
        fc=Linear(8, 4, initializer=normal(0)),
    )
    model.layers["block"].body.layers["0"].name = "body"
    assert check(model, data=(x, Y[:60]), steps=1).ok is False  # not learned in a single step
    report = check(model, data=(x, Y[:60]), optimizer=AdamW(model.parameters(), 0.01, weight_decay=1.0))
    assert report.ok, report.text()


def test_auxiliary_heads_are_counted():
    model = Sequential(fc1=Linear(8, 32, rng=0), relu=ReLU(), aux=AuxiliaryHead(Linear(32, 4, rng=1)), fc2=Linear(32, 4, rng=2))
    assert check(model, WithAuxiliaryHeads(SoftmaxCrossEntropy(0.1), model)).ok
    assert "none has arrived at aux.head.w" in wrong(check(model))["gradients"]


def test_a_model_and_everything_that_belongs_to_it_is_left_as_it_was():
    model = network(Dropout(0.5, rng=3), BatchNorm1d(32)).train()
    model.forward(X[:5])
    model.layers["fc2"].w.trainable = False
    optimizer, loss = momentum(model, weight_decay=0.1), SoftmaxCrossEntropy()
    regularizer = L2SP(model.parameters(), 0.1, 0.1)

    def everything():
        arrays = {name: (p.value.tobytes(), p.grad, p.trainable) for name, p in model.parameters().items()}
        arrays |= {name: array.tobytes() for name, array in model.state().items()}
        modes = [(layer.training, layer.remembers, layer.needs_dx, list(vars(layer))) for _, layer in model.walk()]
        rng = model.layers["between0"].rng.bit_generator.state
        return arrays, modes, rng, optimizer.state_dict(), loss._dscores, str(regularizer.state_dict())

    before, global_state = copy.deepcopy(everything()), np.random.get_state()[1].tolist()
    check(model, loss, optimizer=optimizer, regularizer=regularizer)
    assert everything() == before
    assert np.random.get_state()[1].tolist() == global_state
    model.backward(np.ones((5, 4), np.float32))  # what forward has remembered is still there


def test_the_same_seed_gives_the_same_report():
    reports = [check(network(), seed=seed).numbers for seed in (0, 0, 1)]
    assert reports[0] == reports[1] != reports[2]


# ---- the initial loss


def test_weights_that_start_too_large_are_named():
    report = check(network(initializer=normal(1.0)))
    assert not report.ok
    assert (
        "Scores are too large" in wrong(report)["initial loss"]
        and "so the initial weights are" in wrong(report)["initial loss"]
    )


def test_inputs_that_are_too_large_are_named():
    model = Sequential(fc1=Linear(8, 32, rng=0), relu1=ReLU(), scores=Linear(32, 4, rng=1))
    assert "so are the inputs, 1e+02; standardise them" in wrong(check(model, data=(100 * X, Y)))["initial loss"]


def test_a_network_that_knows_the_targets_before_training_is_named():
    model = Sequential(scores=Linear(8, 4, rng=0))
    model.layers["scores"].w.value[:] = 20 * np.eye(4, 8)
    x = X.copy()
    x[:, :4] = np.eye(4)[Y]
    assert "The network knows the targets" in wrong(check(model, data=(x, Y)))["initial loss"]


@pytest.mark.parametrize(("gain", "ok"), [(1.53, True), (1.67, False), (-1.53, True), (-1.70, False)])
def test_a_loss_is_chance_from_a_third_of_log_C_to_twice_as_much(gain, ok):
    """L = log(1 + 3 exp(-gain)): 0.36, 0.32, 1.95 and 2.07 times log 4."""
    model = Sequential(scores=Linear(8, 4, rng=0))
    model.layers["scores"].w.value[:] = gain * np.eye(4, 8)
    report = check(model, data=(np.eye(8, dtype=np.float32)[Y], Y), steps=1)
    assert report.numbers["initial_loss"] == pytest.approx(np.log(1 + 3 * np.exp(-gain)), rel=1e-5)
    assert report["initial loss"].ok is ok


def test_what_is_not_finite_is_named_and_ends_the_checks():
    model = network()
    model.layers["fc2"].w.value[0, 0] = np.nan
    report = check(model)
    assert "is Linear 'fc2' (its parameter w)" in wrong(report)["initial loss"]
    assert len(report.checks) == 2
    bad = X.copy()
    bad[:, 3] = np.inf
    assert "the inputs" in wrong(check(network(), data=(bad, Y)))["initial loss"]


def test_the_formula_of_a_weighted_loss_is_called_weighted():
    report = check(network(), SoftmaxCrossEntropy(class_weights=[1, 1, 1, 3]), optimizer=None)
    assert "log C, weighted, = " in report["initial loss"].words


# ---- the number of outputs


def test_too_few_outputs_are_an_error():
    with pytest.raises(ValueError, match="3 scores a sample mean classes 0 to 2, got targets 3"):
        check(network(outputs=3))


def test_outputs_without_a_class_are_named_where_there_are_samples_enough():
    report = check(network(outputs=6))
    assert wrong(report)["outputs"].startswith("6, and the 300 targets name 4 classes, the highest 3")
    assert check(network(outputs=6), data=(X[:59], Y[:59]))["outputs"].ok is None
    assert check(network(outputs=6), data=(X[:60], Y[:60]))["outputs"].ok is False


# ---- regularisation


def test_what_a_regularizer_adds_is_said():
    model = network()
    assert "adds 0, and should raise the loss" in wrong(check(model, regularizer=L2(model.parameters(), 0.0)))["regularisation"]
    assert check(model)["regularisation"].words == "there is none"
    assert "constraint" in check(model, regularizer=MaxNorm(model.parameters(), 3))["regularisation"].words
    assert "adds nothing yet" in check(model, regularizer=L2SP(model.parameters(), 0.1, 0.1))["regularisation"].words
    with pytest.raises(ValueError, match="made for 3 parameters that the model does not have"):
        check(network(), regularizer=L2({n: p for n, p in model.parameters().items() if p.decays}, 0.1))


# ---- what is trained, and whether it learns


def test_a_frozen_last_layer_is_named():
    model = network()
    model.layers["scores"].freeze()
    assert "scores, the last layer with weights, is frozen" in wrong(check(model))["trained layers"]
    model.unfreeze()
    model.layers["fc1"].freeze()
    report = check(model)
    assert report.ok and report["trained layers"].words == "all but the frozen fc1"
    with pytest.raises(ValueError, match="nothing in Sequential is trainable"):
        check(model.freeze())


def test_a_layer_that_passes_no_gradient_on_is_named_even_if_the_samples_are_learned_without_it():
    model = network(BlocksGradient())
    report = check(model, optimizer=AdamW(model.parameters(), 0.03), steps=200)
    assert report["by heart"].ok
    assert wrong(report) == {"gradients": "none has arrived at fc1.w, fc2.w: blocked by BlocksGradient 'between0'"}


def test_dead_units_are_named():
    model = network()
    model.layers["fc1"].b.value[:] = -100
    assert "fc1.w, fc2.w, scores.w: blocked by 'relu1', all of whose outputs are 0" in wrong(check(model, steps=5))["gradients"]


def test_a_loss_that_shuffles_its_targets_is_named():
    words = wrong(check(network(), ShufflesTargets()))["by heart"]
    assert "ShufflesTargets gives another loss for the same scores and targets" in words


def test_a_network_with_randomness_of_its_own_is_named():
    class Noise(Layer):
        def forward(self, x):
            return x + RNG.normal(size=x.shape).astype(x.dtype)

        def backward(self, dy):
            return dy

    assert "the network gives other scores for the same samples" in wrong(check(network(Noise())))["by heart"]


def test_a_rate_of_zero_is_named():
    model = network()
    report = check(model, optimizer=momentum(model, 0.0), steps=7)
    assert "no weight has changed: the learning rate is 0" in wrong(report)["by heart"]
    assert "in 7 steps" in wrong(report)["by heart"] and report.numbers["steps_by_heart"] == 7
    for parameter in model.parameters().values():
        parameter.learning_rate_multiplier = 0.0
    assert "gradients or rates of all layers are 0" in wrong(check(model))["by heart"]


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (1e-7, "has hardly changed: a rate of 1e-07 is too low (try 1e-06)"),
        (1e-3, "the loss falls, but slowly"),
        (20.0, "a rate of 20 is too high (try 2)"),
        (1e30, "a rate of 1e+30 is too high (try 1e+29)"),
    ],
)
def test_rates_that_are_too_low_or_too_high_are_named(rate, words):
    model = network()
    assert words in wrong(check(model, optimizer=momentum(model, rate)))["by heart"]


def test_a_gradient_of_the_wrong_sign_is_sent_to_the_gradient_checker():
    class Uphill(SoftmaxCrossEntropy):
        def backward(self):
            return -super().backward()

    assert "or a gradient is wrong: minicnn.gradcheck" in wrong(check(network(), Uphill()))["by heart"]


def test_equal_samples_with_unequal_targets_are_named():
    assert "samples 0 and 2 of them are the same" in wrong(check(network(), data=(np.ones_like(X), Y)))["by heart"]


def test_weight_decay_does_not_keep_samples_from_being_learned():
    model = network()
    parameters = model.parameters()
    halves = [dict(list(parameters.items())[:3]), dict(list(parameters.items())[3:])]
    group = OptimizerGroup([SGD(half, 0.1, momentum=0.9, weight_decay=1.0) for half in halves])
    assert check(model, optimizer=group).ok
    assert [optimizer.weight_decay for optimizer in group.optimizers] == [1.0, 1.0]


def test_data_sorted_by_class_are_drawn_from_everywhere():
    order = np.argsort(Y)
    report = check(network(), data=(X[order], Y[order]), samples=8)
    assert report["by heart"].words.startswith("8 samples, ")
    assert check(network(BlocksGradient()), data=(X[order], Y[order]), samples=8, steps=1)["by heart"].ok is False


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        check(network(), samples=0)
    with pytest.raises(ValueError, match="steps must be at least 1, got -1"):
        check(network(), steps=-1)
    with pytest.raises(ValueError, match="x holds 300 samples, y has shape"):
        check(network(), data=(X, Y[:10]))
    with pytest.raises(ValueError, match="the optimiser was not given 6 of the model's 6 trainable parameters"):
        check(network(), optimizer=SGD({"w": Parameter(np.zeros(1))}, 0.1))
