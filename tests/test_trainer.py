"""The Trainer: what it keeps, what it leaves alone, how it ends."""

import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import h5py
import numpy as np
import pytest

from minicnn.errors import TrainingError
from minicnn.layers import (
    BatchNorm1d,
    Conv2d,
    Dropout,
    Layer,
    Linear,
    Parameter,
    ReLU,
    Sequential,
    set_algorithm,
)
from minicnn.losses import BinaryLogistic, Loss, SoftmaxCrossEntropy
from minicnn.optim import SGD, Adam
from minicnn.training import Trainer
from minicnn.training import callbacks as callbacks_module
from minicnn.training import trainer as trainer_module
from minicnn.training.diagnosis import first_non_finite, without_overflow_warnings
from minicnn.training.meter import Meter, count_correct


def blobs(n=30, seed=0, spread=1.0):
    """Three classes of points around three centres in four dimensions: x float32 (n, 4), y (n,)."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    centres = np.array([[2, 0, 0, 1], [0, 2, 0, -1], [0, 0, 2, 0]])
    return (centres[y] + spread * rng.normal(size=(n, 4))).astype(np.float32), y


def network(*, norm=True, dropout=0.0):
    layers = {"lower": Linear(4, 8, rng=1)}
    if norm:
        layers["norm"] = BatchNorm1d(8)
    layers["relu"] = ReLU()
    if dropout:
        layers["dropout"] = Dropout(dropout)
    return Sequential(**layers, upper=Linear(8, 3, rng=2))


def make(model, *, learning_rate=0.1, optimizer=None, loss=None, epochs=3, batch_size=8, **options):
    optimizer = optimizer or SGD(model.parameters(), learning_rate, momentum=0.9)
    loss = loss or SoftmaxCrossEntropy()
    return Trainer(model, loss, optimizer, epochs=epochs, batch_size=batch_size, **{"progress": False} | options)


def arrays(model):
    return {name: parameter.value.copy() for name, parameter in model.parameters().items()} | {
        name: array.copy() for name, array in model.state().items()
    }


def digest(model):
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays(model).values())).hexdigest()


class Calls:
    """A prepare() that knows how often it was called, and can do something special at one of the calls."""

    def __init__(self, at=None, event=None):
        self.count, self.at, self.event = 0, at, event
        self.sizes = []

    def __call__(self, x):
        self.count += 1
        self.sizes.append(len(x))
        if self.count == self.at:
            return self.event(x)
        return x


def ctrl_c(x):
    raise KeyboardInterrupt


# ---- learning


def test_overfits_a_tiny_set_with_random_labels():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(12, 4)).astype(np.float32), rng.integers(0, 3, 12)
    model = Sequential(hidden=Linear(4, 32, rng=1), relu=ReLU(), scores=Linear(32, 3, rng=2))
    trainer = make(model, optimizer=Adam(model.parameters(), 0.02), epochs=150, batch_size=6)
    history = trainer.fit(x, y)
    assert history.epochs[0]["loss"] > 0.7
    assert history.epochs[-1]["loss"] < 0.02
    assert trainer.evaluate(x, y)[1] == 1.0


def test_history_tells_each_epoch():
    x, y = blobs()
    history = make(network(), learning_rate=0.2, epochs=2, schedule=lambda p: 1 - p).fit(x, y, *blobs(9, seed=1))
    assert [record["epoch"] for record in history.epochs] == [1, 2]
    # 4 batches an epoch, asked in the middle of each step: the last steps are at 3.5 / 8 and 7.5 / 8 of the run
    assert [record["learning_rate"] for record in history.epochs] == pytest.approx([0.2 * (1 - 3.5 / 8), 0.2 * (1 - 7.5 / 8)])
    for record in history.epochs:
        assert list(record) == ["epoch", "loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"]
        assert 0 <= record["val_accuracy"] <= 1 and record["seconds"] > 0
    assert not history.interrupted


def test_loss_and_accuracy_are_means_over_samples_not_batches():
    x, y = blobs(10)
    trainer = make(network(norm=False), epochs=1, batch_size=8, learning_rate=0.0)
    record = trainer.fit(x, y).epochs[0]
    scores = trainer.decision_function(x)
    assert record["loss"] == pytest.approx(SoftmaxCrossEntropy().forward(scores, y), rel=1e-5)
    assert record["train_accuracy"] == np.mean(scores.argmax(axis=1) == y)


def test_the_schedule_is_asked_in_the_middle_of_each_step():
    x, y = blobs(16)
    asked = []
    make(network(), epochs=2, schedule=lambda p: asked.append(p) or 1.0).fit(x, y)
    assert asked == [0.125, 0.375, 0.625, 0.875]


def test_discriminative_learning_rates_act():
    x, y = blobs(8)

    def change(multiplier):
        model = network(norm=False)
        before = arrays(model)
        model.parameters()["lower.w"].learning_rate_multiplier = multiplier
        make(model, epochs=1).fit(x, y)
        return {name: after - before[name] for name, after in arrays(model).items()}

    full, gentle = change(1.0), change(0.1)
    np.testing.assert_allclose(gentle["lower.w"], 0.1 * full["lower.w"], atol=1e-6)
    np.testing.assert_array_equal(gentle["upper.w"], full["upper.w"])


# ---- repeating


def repeatable_run(seed=0):
    x, y = blobs()
    model = network(dropout=0.4)
    trainer = make(model, seed=seed, augment=lambda x, rng: x + rng.normal(size=x.shape).astype(np.float32) / 10)
    trainer.fit(x, y)
    return digest(model)


def test_the_same_seed_repeats_the_run_to_the_bit():
    assert repeatable_run() == repeatable_run()
    assert repeatable_run() != repeatable_run(seed=1)


def test_the_run_does_not_depend_on_the_hash_seed():
    root = Path(trainer_module.__file__).parents[2]
    code = "import sys; sys.path[:0] = sys.argv[1:]; import test_trainer; print(test_trainer.repeatable_run())"
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    command = [sys.executable, "-c", code, str(root), str(Path(__file__).parent)]
    elsewhere = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert elsewhere.stdout.strip() == repeatable_run()


@pytest.mark.parametrize("norm", [True, False])
def test_every_sample_once_an_epoch_in_a_new_order(norm):
    x, y = blobs(20)
    seen = []

    def prepare(indices):
        seen.append(list(indices))
        return x[indices]

    make(network(norm=norm), epochs=2, prepare=prepare).fit(np.arange(20), y)
    first, second = [i for batch in seen[:3] for i in batch], [i for batch in seen[3:] for i in batch]
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


# ---- kinds of samples


def test_indices_and_a_prepare_function_do_as_well_as_arrays(tmp_path):
    x, y = blobs()
    x_val, y_val = blobs(10, seed=1)
    all_samples = np.concatenate([x, x_val])

    direct = network()
    make(direct).fit(x, y, x_val, y_val)

    by_index = network()
    trainer = make(by_index, prepare=lambda indices: all_samples[indices])
    trainer.fit(np.arange(30), y, np.arange(30, 40), y_val)
    assert digest(by_index) == digest(direct)
    np.testing.assert_allclose(trainer.decision_function(np.arange(40))[30:], make(direct).decision_function(x_val), rtol=1e-5)

    with h5py.File(tmp_path / "samples.h5", "w") as file:
        from_disk = network()
        make(from_disk).fit(file.create_dataset("x", data=x), y, x_val, y_val)
    assert digest(from_disk) == digest(direct)


def test_augmentation_comes_before_prepare_and_only_in_training():
    x, y = blobs(8)
    seen = []

    def prepare(batch):
        seen.append(float(np.abs(batch).max()))
        return batch

    trainer = make(network(), epochs=1, augment=lambda batch, rng: 0 * batch + 100, prepare=prepare)
    trainer.fit(x, y, x, y)
    trainer.decision_function(x)
    assert seen == [100.0, np.abs(x).max(), np.abs(x).max()]


# ---- the last batch


@pytest.mark.parametrize(
    ("n", "norm", "frozen", "sizes"),
    [
        (10, True, None, [4, 4, 2]),
        (9, True, None, [4, 4]),
        (9, False, None, [4, 4, 1]),
        (9, True, "the layer", [4, 4, 1]),
        (9, True, "its statistics", [4, 4, 1]),
        (10, True, "its statistics", [4, 4, 2]),
    ],
)
def test_a_single_last_sample_is_left_out_where_batch_norm_is_trained_with_the_statistics_of_batches(n, norm, frozen, sizes):
    model = network(norm=norm)
    if frozen == "the layer":
        model.layers["norm"].freeze()
    elif frozen == "its statistics":
        model.layers["norm"].frozen_statistics = True
    calls = Calls()
    make(model, epochs=1, batch_size=4, prepare=calls).fit(*blobs(n))
    assert calls.sizes == sizes


# ---- the best epoch

RIGHT_AND_SURE = [[5, 0], [0, 5]]
RIGHT = [[0.1, 0], [0, 0.1]]  # every label right, at a higher loss than HALF
HALF = [[9, 0], [0.1, 0]]
WRONG = [[0, 1], [1, 0]]


class Scripted(Layer):
    """Gives the scores of a script, one entry an epoch's validation; its parameter w holds the number of steps taken."""

    def __init__(self, script):
        super().__init__()
        self.script, self.evaluations = script, 0
        self.w = Parameter(np.zeros(1, np.float32))

    def parameters(self):
        return {"w": self.w}

    def forward(self, x):
        scores = np.array(WRONG if self.training else self.script[self.evaluations], np.float32)
        self.evaluations += not self.training
        return scores

    def backward(self, dy):
        self.w.grad = np.full(1, -1, np.float32)


@pytest.mark.parametrize(
    ("script", "best"),
    [
        ([WRONG, HALF, RIGHT], 3),  # accuracy before loss
        ([RIGHT, RIGHT_AND_SURE, RIGHT], 2),  # equal accuracy: the loss decides
        ([HALF, RIGHT, RIGHT], 2),  # equal in both: the earlier one
        ([HALF, WRONG, WRONG], 1),
    ],
)
def test_the_best_epoch_is_kept(script, best):
    model = Scripted(script)
    x, y = np.zeros((2, 1), np.float32), np.array([0, 1])
    history = make(model, optimizer=SGD(model.parameters(), 1.0)).fit(x, y, x, y)
    assert history.best_epoch == history.best["epoch"] == best
    assert model.w.value == best
    assert len(history.epochs) == 3


def test_without_validation_the_last_epoch_is_kept():
    model = Scripted([])
    history = make(model, optimizer=SGD(model.parameters(), 1.0)).fit(np.zeros((2, 1), np.float32), [0, 1])
    assert history.best_epoch == 3 and model.w.value == 3
    assert history.best["val_loss"] is None and history.best["val_accuracy"] is None


def test_patience_counts_epochs_since_the_best():
    script = [HALF, WRONG, RIGHT, WRONG, HALF, RIGHT_AND_SURE]
    model = Scripted(script)
    x, y = np.zeros((2, 1), np.float32), np.array([0, 1])
    history = make(model, optimizer=SGD(model.parameters(), 1.0), epochs=6, patience=2).fit(x, y, x, y)
    assert len(history.epochs) == 5
    assert history.best_epoch == 3 and model.w.value == 3


def test_the_best_epoch_comes_back_with_its_batch_norm_statistics():
    x, y = blobs(24)
    x_val, y_val = blobs(30, seed=1)
    model = network()
    statistics = []

    def prepare(batch):
        if not model.training and len(batch) == len(x_val):
            statistics.append(model.state()["norm.running_mean"].copy())
        return batch

    # The rate turns negative after two of four epochs: from there on the loss is climbed.
    trainer = make(model, epochs=4, batch_size=30, prepare=prepare, schedule=lambda p: 1 if p < 0.5 else -3)
    history = trainer.fit(x, y, x_val, y_val)
    assert history.best_epoch == 2
    np.testing.assert_array_equal(model.state()["norm.running_mean"], statistics[1])
    assert not np.array_equal(statistics[1], statistics[3])
    assert trainer.evaluate(x_val, y_val) == (history.best["val_loss"], history.best["val_accuracy"])

    model.state()["norm.running_mean"][...] = statistics[3]
    assert trainer.evaluate(x_val, y_val) != (history.best["val_loss"], history.best["val_accuracy"])


def test_arrays_shared_with_others_stay_shared_and_nothing_is_left_lying_about():
    x, y = blobs()
    model = network()
    before = {name: parameter.value for name, parameter in model.parameters().items()}
    make(model).fit(x, y, x, y)
    for name, parameter in model.parameters().items():
        assert parameter.value is before[name]
        assert parameter.grad is None
    assert all(not layer.training and layer._remembered is None for _, layer in model.walk())


# ---- freezing


def test_frozen_layers_stay_to_the_bit_with_their_statistics():
    x, y = blobs()
    model = network()
    for name in ("lower", "norm"):
        model.layers[name].freeze()
    before = arrays(model)
    make(model).fit(x, y, x, y)
    after = arrays(model)
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {"upper.w", "upper.b"}


def test_nothing_below_the_lowest_trainable_layer_goes_backward():
    class Forbidden(Linear):
        def backward(self, dy):
            raise AssertionError("a layer below the lowest trainable one was asked for a gradient")

    x, y = blobs()
    model = Sequential(bottom=Forbidden(4, 4).freeze(), frozen=Sequential(inner=Forbidden(4, 8)).freeze(), top=network_top())
    make(model).fit(x, y)


def network_top():
    return Sequential(relu=ReLU(), scores=Linear(8, 3, rng=2))


@pytest.mark.parametrize("frozen", [0, 1])
def test_nobody_computes_the_gradient_of_the_pictures(frozen):
    asked = {}

    class Spy(Linear):
        def backward(self, dy):
            asked[self.name] = self.needs_dx
            return super().backward(dy)

    model = Sequential(a=Spy(4, 4), b=Spy(4, 4), c=Spy(4, 3))
    if frozen:
        model.layers["a"].freeze()
    make(model).fit(*blobs())
    assert asked == ({"b": False, "c": True} if frozen else {"a": False, "b": True, "c": True})


def test_freezing_takes_effect_in_the_middle_of_a_run():
    x, y = blobs(16)
    model = network(norm=False)
    seen = []

    def freeze(batch):
        model.layers["lower"].freeze()
        seen.append(model.layers["lower"].w.value.copy())
        return batch

    make(model, epochs=2, prepare=Calls(at=3, event=freeze)).fit(x, y)
    np.testing.assert_array_equal(model.layers["lower"].w.value, seen[0])


# ---- Ctrl-C


def test_ctrl_c_gives_back_the_best_epoch_and_says_so(capsys):
    x, y = blobs(16)

    uninterrupted = network()
    make(uninterrupted, epochs=2).fit(x, y)

    model = network()
    # two batches an epoch: the sixth call is in the middle of the third epoch
    history = make(model, epochs=9, prepare=Calls(at=6, event=ctrl_c), label="fine-tuning").fit(x, y)
    assert history.interrupted
    assert len(history.epochs) == history.best_epoch == 2
    assert digest(model) == digest(uninterrupted)
    said = capsys.readouterr().err
    assert said == "fine-tuning: stopped by Ctrl-C after 2 of 9 epochs; the model keeps epoch 2\n"


def test_ctrl_c_in_the_first_epoch_leaves_the_model_as_it_was(capsys):
    model = network()
    before = digest(model)
    history = make(model, prepare=Calls(at=2, event=ctrl_c)).fit(*blobs())
    assert history.interrupted and history.best is None
    assert digest(model) == before
    assert "as it was before training" in capsys.readouterr().err


def test_a_second_ctrl_c_is_not_swallowed(monkeypatch):
    model = network()
    trainer = make(model, prepare=Calls(at=2, event=ctrl_c))
    monkeypatch.setattr(trainer_module.Run, "restore_best", ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(*blobs())


# ---- numbers that are no numbers


class Poison(Layer):
    """Hands x through, until its n-th forward."""

    def __init__(self, at):
        super().__init__()
        self.at, self.count = at, 0

    def forward(self, x):
        self.count += 1
        return x * np.float32(np.nan) if self.count >= self.at else x

    def backward(self, dy):
        return dy


def test_a_broken_loss_names_the_layer_the_epoch_and_the_step():
    x, y = blobs(16)
    model = Sequential(lower=Linear(4, 8, rng=1), block=Sequential(relu=ReLU(), poison=Poison(at=6)), upper=Linear(8, 3, rng=2))
    trainer = make(model, epochs=5, learning_rate=0.05)
    with pytest.raises(TrainingError, match=r"epoch 3, step 2 of 2: .* is Poison 'block.poison' \(its output\)") as info:
        trainer.fit(x, y)
    assert "it is 0.05; try 0.005. The model keeps epoch 2" in str(info.value)
    assert len(trainer.history.epochs) == 2

    healthy = Sequential(lower=Linear(4, 8, rng=1), block=Sequential(relu=ReLU()), upper=Linear(8, 3, rng=2))
    make(healthy, epochs=2, learning_rate=0.05).fit(x, y)
    assert digest(model) == digest(healthy)
    assert not any("forward" in vars(layer) for _, layer in model.walk())


@pytest.mark.filterwarnings("error")
def test_a_far_too_high_learning_rate_is_noticed_in_the_parameters():
    x, y = blobs(16)
    model = network(norm=False)
    before = digest(model)
    with pytest.raises(TrainingError, match=r"epoch 1, step 2 of 2.*Linear 'lower' \(its (parameter w|output)\).*try 1e\+36"):
        make(model, optimizer=SGD(model.parameters(), 1e37)).fit(100 * x, y)
    assert digest(model) == before


def test_damage_done_by_the_very_last_step_is_noticed():
    x, y = blobs(8)
    model = network(norm=False)
    before = digest(model)
    with pytest.raises(TrainingError, match=r"after the last step of epoch 1.*Linear '(lower|upper)' \(its parameter w\)"):
        make(model, optimizer=SGD(model.parameters(), 1e38), epochs=1).fit(10000 * x, y)
    assert digest(model) == before


def test_a_broken_validation_is_noticed():
    x, y = blobs(16)
    model = Sequential(lower=Linear(4, 3, rng=1), poison=Poison(at=3))
    with pytest.raises(TrainingError, match=r"in the validation after epoch 1: .* is Poison 'poison' \(its output\)"):
        make(model).fit(x, y, x, y)


def test_bad_samples_are_not_blamed_on_a_layer():
    x, y = blobs(8)
    x[3, 1] = np.nan
    with pytest.raises(TrainingError, match=r"the batch itself, before the first layer. Look at the samples"):
        make(network()).fit(x, y)


def test_a_loss_that_breaks_by_itself_is_named():
    class NoLoss(Loss):
        def forward(self, scores, targets):
            return float("inf")

    with pytest.raises(TrainingError, match=r"the loss \(inf\), after layers that are all finite"):
        make(network(), loss=NoLoss()).fit(*blobs())


def signs(size):
    """A picture in the largest numbers whose sums of a few do not fit into float32, their signs alternating."""
    return np.float32(1e38) * (-1) ** np.add.outer(np.arange(size), np.arange(size))[None, None].astype(np.float32)


def small_convolution(algorithm):
    """Divides its input by a thousand, if it is computed as it is defined."""
    conv = Conv2d(1, 1, 3, pad=1, algorithm=algorithm)
    conv.w.value[...] = 0
    conv.w.value[0, 0, 1, 1] = 1e-3
    return conv


@pytest.mark.parametrize("algorithm", ["winograd4", "winograd2"])
def test_the_layer_that_is_named_is_the_one_that_overflows_by_definition(algorithm):
    model = Sequential(conv=small_convolution(algorithm), poison=Poison(at=1)).eval()
    with without_overflow_warnings():
        assert not np.isfinite(model.layers["conv"].forward(signs(16))).all()
        assert first_non_finite(model, signs(16)) == "Poison 'poison' (its output)"
    assert model.layers["conv"].algorithm == algorithm


@pytest.mark.parametrize("algorithm", ["winograd4", "winograd2"])
def test_where_only_winograds_sums_overflow_that_is_said_with_the_way_round_it(algorithm):
    model = Sequential(conv=small_convolution(algorithm)).eval()
    with without_overflow_warnings():
        found = first_non_finite(model, signs(16))
    assert found.startswith("Conv2d 'conv' (its output), which is finite by definition")
    assert 'set_algorithm(model, "direct")' in found
    set_algorithm(model, "direct")
    assert first_non_finite(model, signs(16)) is None


def test_a_bad_pixel_is_traced_to_the_layer_that_made_it_and_weights_come_first():
    model = Sequential(below=small_convolution(None), poison=Poison(at=3), above=small_convolution("winograd4")).eval()
    x = np.ones((1, 1, 16, 16), np.float32)
    assert first_non_finite(model, x) is None
    assert first_non_finite(model, x) == "Poison 'poison' (its output)"
    model.layers["below"].w.value[0, 0, 0, 0] = np.nan
    assert first_non_finite(model, x) == "Conv2d 'below' (its parameter w)"


def test_read_only_arrays_are_refused_before_anything_is_trained():
    for name in ("upper.w", "norm.running_mean"):
        model = network()
        before = digest(model)
        trained = {name: parameter.value for name, parameter in model.parameters().items()} | model.state()
        trained[name].flags.writeable = False
        with pytest.raises(ValueError, match=rf"1 of the model's are read-only \({name}\).*Give the model copies of them"):
            make(model).fit(*blobs())
        assert digest(model) == before


def test_frozen_weights_may_be_read_only():
    model = network()
    model.layers["lower"].freeze()
    model.layers["lower"].w.value.flags.writeable = False
    make(model).fit(*blobs())


def test_other_errors_leave_the_best_epoch_too():
    x, y = blobs(16)
    finished = network()
    make(finished, epochs=1).fit(x, y)

    def fail(batch):
        raise OSError("the disk is gone")

    model = network()
    with pytest.raises(OSError, match="the disk is gone"):
        make(model, prepare=Calls(at=4, event=fail)).fit(x, y)
    assert digest(model) == digest(finished)
    assert not model.training


# ---- predicting and evaluating


def test_the_decision_function_is_in_eval_mode_in_order_and_in_batches():
    x, _ = blobs(21)
    model = network(dropout=0.5)
    calls = Calls()
    scores = make(model, prepare=calls).decision_function(x)
    assert calls.sizes == [8, 8, 5]
    np.testing.assert_allclose(scores, model.eval().forward(x), rtol=1e-5, atol=1e-6)


def test_one_score_is_judged_by_its_sign():
    x, y = blobs(40)
    model = Sequential(score=Linear(4, 1, rng=0))
    trainer = make(model, loss=BinaryLogistic(), epochs=20)
    trainer.fit(x, y == 0)
    loss, accuracy = trainer.evaluate(x, (y == 0).astype(int))
    assert accuracy == np.mean((trainer.decision_function(x)[:, 0] > 0) == (y == 0)) > 0.85
    assert loss < 0.4


def test_targets_that_are_no_classes_have_a_loss_and_no_accuracy():
    class Squares(Loss):
        def forward(self, scores, targets):
            difference = scores - targets
            self._dscores = 2 * difference / len(scores)
            return float((difference**2).sum(axis=1).mean())

    x, _ = blobs()
    targets = x @ np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    model = Sequential(line=Linear(4, 3, rng=0))
    trainer = make(model, loss=Squares(), epochs=30, learning_rate=0.02)
    history = trainer.fit(x, targets, x, targets)
    assert history.epochs[-1]["loss"] < 0.05 * history.epochs[0]["loss"]
    assert history.best["val_accuracy"] is None and history.best["train_accuracy"] is None
    assert history.best["val_loss"] == min(record["val_loss"] for record in history.epochs)


def test_uncertain_targets_are_trained_on_and_counted_by_their_most_probable_class():
    x, y = blobs()
    targets = np.full((len(y), 3), 0.1)
    targets[np.arange(len(y)), y] = 0.8
    model = network()
    history = make(model, epochs=8).fit(x, targets, x, y)
    assert history.epochs[-1]["train_accuracy"] > 0.8
    assert history.epochs[-1]["val_accuracy"] == pytest.approx((model.forward(x).argmax(1) == y).mean())


@pytest.mark.parametrize(
    ("scores", "targets", "count"),
    [
        ([[1, 2], [2, 1], [0, 3]], [1, 1, 1], 2),
        ([[1], [-1], [0]], [1, 0, 1], 2),
        ([1, -1], [True, True], 1),
        ([[1], [-1]], [[1], [1]], 1),
        ([[1, 2]], [[0, 1]], None),
    ],
)
def test_counting_correct_answers(scores, targets, count):
    assert count_correct(np.array(scores, np.float32), np.array(targets)) == count


# ---- the progress bar


def test_quick_work_shows_no_bar_and_slow_work_does(capsys, monkeypatch):
    x, y = blobs()
    monkeypatch.setattr(callbacks_module, "BAR_DELAY", 1e9)  # however slow this machine is
    make(network(), progress=True).fit(x, y, x, y)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(callbacks_module, "BAR_DELAY", 0)
    trainer = make(network(), epochs=1, progress=True, label="head", prepare=lambda x: time.sleep(0.15) or x)
    trainer.fit(x, y)
    assert re.search(r"head 1/1: .*loss=\d\.\d+, accuracy=\d+\.\d%", capsys.readouterr().err)
    trainer.decision_function(x)
    assert "head: evaluating" in capsys.readouterr().err
    make(network(), progress=False).fit(x, y)
    assert capsys.readouterr() == ("", "")


# ---- what is refused


@pytest.mark.parametrize("option", ["epochs", "batch_size", "patience"])
def test_counts_start_at_one(option):
    with pytest.raises(ValueError, match=f"{option} must be at least 1, got 0"):
        make(network(), **{option: 0})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, y[:-1]), r"one target: x holds 30 samples, y has shape \(29,\)"),
        (lambda x, y: (x[:0], y[:0]), "x is empty"),
        (lambda x, y: (x, y, x[:0], y[:0]), "x_val is empty"),
        (lambda x, y: (x, y, x, y[1:]), "x_val holds 30 samples, y_val has shape"),
        (lambda x, y: (x, y, x), "needs both x_val and y_val"),
        (lambda x, y: (x, y + 1), "classes 0 to 2, got targets 3"),
    ],
)
def test_sets_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        make(network()).fit(*change(*blobs()))


def test_patience_needs_a_validation_set():
    with pytest.raises(ValueError, match="patience=2 waits for a better validation"):
        make(network(), patience=2).fit(*blobs())


def test_a_model_with_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="nothing in Sequential is trainable"):
        make(network().freeze()).fit(*blobs())


def test_an_optimiser_from_before_the_new_head_is_refused():
    model = network()
    optimizer = SGD(model.parameters(), 0.1)
    model.layers["upper"] = Linear(8, 3)
    with pytest.raises(ValueError, match=r"not given 2 of the model's 6 trainable parameters \(upper.w, upper.b\)"):
        make(model, optimizer=optimizer).fit(*blobs())


def test_nothing_to_predict_is_refused():
    with pytest.raises(ValueError, match="x is empty"):
        make(network()).decision_function(np.zeros((0, 4), np.float32))


@pytest.mark.parametrize(("monitor", "best_epoch"), [("accuracy", 1), ("loss", 2)])
def test_accuracy_or_loss_decides_which_epoch_is_the_best(monitor, best_epoch, monkeypatch):
    model, x, y = Linear(2, 2, rng=0), np.eye(2, dtype=np.float32), np.arange(2)
    validations = iter([(0.9, 1.0), (0.1, 0.5), (0.5, 0.5)])  # (loss, accuracy) after each epoch
    trainer = Trainer(model, SoftmaxCrossEntropy(), SGD(model.parameters(), 0.1), epochs=3, monitor=monitor, progress=False)
    monkeypatch.setattr(trainer, "_evaluate", lambda *_: next(validations))
    assert trainer.fit(x, y, x, y).best_epoch == best_epoch


def test_an_unknown_monitor_is_refused():
    model = Linear(2, 2, rng=0)
    with pytest.raises(ValueError, match="monitor"):
        Trainer(model, SoftmaxCrossEntropy(), SGD(model.parameters(), 0.1), epochs=1, monitor="f1")


# ---- what is recorded and shown


def test_after_ctrl_c_it_says_how_good_the_epoch_is_that_is_kept(capsys):
    x, y = blobs(16)
    # two batches and a validation an epoch: the fifth call is in the second epoch
    history = make(network(), prepare=Calls(at=5, event=ctrl_c)).fit(x, y, x, y)
    accuracy = history.best["val_accuracy"]
    assert f"the model keeps epoch 1 (validation accuracy {accuracy:.1%})" in capsys.readouterr().err


def test_the_seconds_of_an_epoch_are_those_since_the_one_before(monkeypatch):
    clock = iter([10.0, 13.0, 17.5])  # when the run begins, and after each epoch
    monkeypatch.setattr(callbacks_module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    history = make(network(), epochs=2).fit(*blobs())
    assert [record["seconds"] for record in history.epochs] == [3.0, 4.5]


class Bar:
    """Takes the place of tqdm's: remembers what it was told, and is not drawn."""

    made: ClassVar = []

    def __init__(self, **options):
        self.options, self.done, self.closed, self.shown = options, [], False, []
        Bar.made.append(self)

    def update(self, n=1):
        self.done.append(n)

    def set_description(self, text, refresh):
        self.shown.append(text)

    def set_postfix(self, words, refresh):
        self.shown.append(words)

    def close(self):
        self.closed = True


def test_the_bar_counts_the_steps_of_all_epochs_and_disappears_when_the_run_ends(monkeypatch, tmp_path):
    monkeypatch.setattr(callbacks_module, "tqdm", Bar)
    monkeypatch.setattr(Bar, "made", [])
    x, y = blobs(30)  # four batches an epoch
    options = {"epochs": 2, "progress": True, "label": "head", "checkpoint": tmp_path}
    make(network(), **options).fit(x, y)
    make(network(), **options, resume=True).fit(x, y)
    whole, resumed = Bar.made
    assert whole.options["total"] == 8 and sum(whole.done) == 8 and whole.done.count(1) == 8
    assert [text for text in whole.shown if isinstance(text, str)] == ["head 1/2"] * 4 + ["head 2/2"] * 4
    assert resumed.done == [8]
    for bar in Bar.made:
        assert bar.closed and not bar.options["leave"] and not bar.options["disable"] and bar.options["delay"] == 2


def test_a_bar_shows_the_means_over_the_epoch_so_far():
    meter = Meter()
    meter.add(1.0, np.array([[1.0, 0.0]]), np.array([0]))
    meter.add(0.25, np.array([[1.0, 0.0]] * 2), np.array([1, 1]))
    assert meter.words() == {"loss": "0.500", "accuracy": "33.3%"}
    meter.add(0.5, np.array([[1.0, 0.0]]), None)
    assert meter.words() == {"loss": "0.500"} and meter.accuracy is None


def test_there_is_nothing_to_count_where_the_scores_are_no_row_for_each_sample():
    assert count_correct(np.zeros((2, 3, 1)), np.zeros(2)) is None
    assert count_correct(np.zeros((2, 3, 4, 4)), np.zeros(2)) is None
