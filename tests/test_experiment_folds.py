"""Strategies that train layers, end to end: which pictures are held out, what each fold has seen, and what is made of all."""

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_experiment import draw_folder, results_in, small_model, stripes

import minicnn
from minicnn.cli import main
from minicnn.data.augmentation import Augmentation
from minicnn.data.picture_set import FileSource, PictureSet
from minicnn.experiment import fine_tuning
from minicnn.experiment import task as task_module
from minicnn.experiment.fine_tuning import LayerTraining, train_layers
from minicnn.experiment.held_out import HeldOut
from minicnn.experiment.linear_classifiers import choose_classifier
from minicnn.experiment.preparation import prepare
from minicnn.experiment.presets import PRESETS, Settings, Stage
from minicnn.experiment.results import PROBE
from minicnn.experiment.task import TransferTask
from minicnn.experiment.ways import HALFWAY
from minicnn.linear_model.selection import REGULARISATION_PATH
from minicnn.pretrained import load_model
from minicnn.transfer import finetune, learning_rates
from minicnn.transfer.learning_rates import parameters_of
from minicnn.transfer.near_duplicates import NearDuplicates
from minicnn.transfer.strategies import FINE_TUNING, STRATEGIES, TRANSFERABLE
from minicnn.transfer.weight_averages import MeanOfWeights, weights_of

NAMES = ("lying", "upright")


def striped(name, rng):
    return stripes(rng, upright=name == "upright")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """80 pictures, and a network that was trained on nothing."""
    place = tmp_path_factory.mktemp("transfer")
    draw_folder(place / "pictures", dict.fromkeys(NAMES, 40), striped)
    small_model().save(place / "small.h5")
    return place


def transfer(place, out, *more, data=None):
    words = ["--data", str(data or place / "pictures"), "--model", str(place / "small.h5"), "--out", str(out)]
    return main(["transfer", *words, "--quick", "--seeds", "1", "--epochs", "1", *more])


@pytest.fixture(scope="module", autouse=True)
def large():
    """The network of these tests counts as a large one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning_rates, "SMALL", 0)
        yield


def prepared(place, out, *strategies, data=None, **options):
    options = {"mode": "quick", "seeds": 1, "epochs": 1, "progress": False} | options
    settings = Settings(str(data or place / "pictures"), str(place / "small.h5"), strategies or None, out=out, **options)
    return prepare(settings, lambda line: None)


# ---- which pictures are held out


def task_of(*counts, splits=None, pairs=(), **options):
    """A task of so many pictures a class, without pictures, network or codes."""
    labels = np.repeat(np.arange(len(counts)), counts)
    sources = [FileSource(Path(), f"{i}.png") for i in range(len(labels))]
    pictures = PictureSet("collection", [f"class {k}" for k in range(len(counts))], labels, sources, splits=splits)
    near = NearDuplicates(np.array(pairs, np.int64).reshape(-1, 2))
    return TransferTask(
        Settings(**options), pictures, None, 0, np.zeros((len(labels), 1)), 0.0, {}, Augmentation(), False, None, near
    )


def held_out_in(folds):
    return Counter(row for fold in folds for row in fold["val"].tolist())


def test_few_pictures_are_held_out_in_four_folds_each_of_them_once():
    task = task_of(100, 100)
    assert task.has_few_pictures
    parts, folds = task.split(3), task.folds(3)
    learning = np.sort(np.r_[parts["train"], parts["val"]])
    assert len(folds) == 4 and held_out_in(folds) == Counter(learning.tolist())
    for fold in folds:
        np.testing.assert_array_equal(np.sort(np.r_[fold["train"], fold["val"]]), learning)
        assert len(np.intersect1d(np.r_[fold["train"], fold["val"]], parts["test"])) == 0
    again, other = task.folds(3), task.folds(4)
    assert [fold["val"].tolist() for fold in again] == [fold["val"].tolist() for fold in folds]
    assert [fold["val"].tolist() for fold in other] != [fold["val"].tolist() for fold in folds]


@pytest.mark.parametrize("mode", PRESETS)
def test_many_pictures_have_one_validation_part(mode):
    task = task_of(450, 450, mode=mode)
    assert not task.has_few_pictures and len(task.split(0)["val"]) >= 100
    for of_codes in (False, True):
        (only,) = task.folds(0, of_codes)
        assert {part: rows.tolist() for part, rows in only.items()} == {p: r.tolist() for p, r in task.split(0).items()}
    fewer = task_of(440, 440, mode=mode)
    assert fewer.has_few_pictures and len(fewer.split(0)["val"]) < 100 and len(fewer.folds(0)) == 4


@pytest.mark.parametrize("mode", PRESETS)
def test_a_validation_part_that_came_with_the_pictures_is_the_only_one(mode):
    splits = {"train": np.arange(60), "val": np.arange(60, 70), "test": np.arange(70, 80)}
    task = task_of(40, 40, splits=splits, mode=mode)
    for of_codes in (False, True):
        (only,) = task.folds(5, of_codes)
        assert only["val"].tolist() == list(range(60, 70)) and only["train"].tolist() == list(range(60))


@pytest.mark.parametrize(("count", "alone"), [(40, True), (65, True), (66, False)])
def test_codes_of_under_100_pictures_to_learn_from_are_held_out_one_by_one(count, alone):
    task = task_of(count, count)
    learning = sum(len(task.split(0)[part]) for part in ("train", "val"))
    assert (learning < 100) == alone
    folds = task.folds(0, of_codes=True)
    assert len(folds) == (learning if alone else 4) and len(task.folds(0)) == 4
    assert sum(held_out_in(folds).values()) == learning


def test_a_class_of_one_picture_to_learn_from_is_in_every_fold_and_never_held_out():
    task = task_of(30, 30, 1)
    (row,) = np.flatnonzero(task.pictures.labels == 2)
    assert row not in task.split(0)["test"]
    for of_codes in (False, True):
        folds = task.folds(0, of_codes)
        assert all(row in fold["train"] for fold in folds) and row not in held_out_in(folds)
        assert len(folds) == (len(held_out_in(folds)) if of_codes else 4)


@pytest.mark.parametrize("counts", [(12, 2), (3, 3), (40, 8), (6, 2, 2)])
def test_every_fold_has_all_classes_to_learn_from(counts):
    task = task_of(*counts)
    learning = np.sort(np.r_[task.split(0)["train"], task.split(0)["val"]])
    for of_codes in (False, True):
        for fold in task.folds(0, of_codes):
            assert set(task.pictures.labels[fold["train"]]) == set(task.pictures.labels[learning])
            assert len(fold["val"]) >= 1


def test_pictures_that_are_nearly_the_same_are_held_out_together():
    pairs = [(i, i + 3) for i in range(0, 36, 7)] + [(41, 50), (50, 60), (42, 79), (40, 41)]
    task = task_of(40, 40, pairs=pairs, group_duplicates=True)
    for of_codes in (False, True):
        parts, folds = task.split(0), task.folds(0, of_codes)
        learning = np.sort(np.r_[parts["train"], parts["val"]])
        assert len(folds) == 4 and held_out_in(folds) == Counter(learning.tolist())
        together = [pair for pair in pairs if set(pair) <= set(learning.tolist())]
        assert len(together) >= 3
        for fold in folds:
            for pair in together:
                assert len(np.intersect1d(pair, fold["val"])) in (0, 2), pair
    without = replace(task, settings=Settings()).folds(0)
    assert any(len(np.intersect1d(pair, fold["val"])) == 1 for pair in pairs for fold in without), "by chance they are apart"


# ---- what is held out, in numbers


def test_the_loss_of_what_is_held_out_worked_by_hand():
    labels = np.array([0, 1, 1, 0])
    held_out = HeldOut(np.array([2, 0]), np.log([[1.0, 3.0], [1.0, 1.0]]))  # p = 3/4 and 1/2
    assert held_out.loss(labels) == pytest.approx(-(np.log(3 / 4) + np.log(1 / 2)) / 2)
    assert held_out.record(labels, is_uneven=False) == {"val_accuracy": 1.0, "val_pictures": 2}
    unknown = HeldOut(np.array([1, 3]), np.array([[0.0, -np.inf], [0.0, -np.inf]]))  # a class that was not known, and the other
    assert unknown.loss(labels) == pytest.approx(-np.log(1e-12) / 2), "no infinity"
    assert unknown.record(labels, is_uneven=True) == {
        "val_accuracy": 0.5, "val_pictures": 2, "val_confusion": [[1, 0], [1, 0]]
    }  # fmt: skip


# ---- what is carried out


@pytest.mark.parametrize(
    ("counts", "shift", "options", "expected"),
    [
        ((40, 40), 0.01, {}, ("svm", "softmax", "finetune-upper")),
        ((40, 40), None, {}, ("svm", "softmax", "finetune-upper")),
        ((40, 40), 0.2, {}, ("svm", "softmax", "norms")),
        ((40, 40), 0.2, {"mode": "quick"}, ("svm", "softmax", "finetune-upper")),
        ((40, 40), 0.01, {"mode": "full"}, ("svm", "softmax", "finetune-upper")),
        ((40, 40), 0.2, {"mode": "full"}, ("svm", "softmax", "norms")),
        ((450, 450), 0.2, {}, ("svm", "softmax", "finetune-upper")),
        ((450, 450), 0.2, {"mode": "full"}, ("svm", "softmax", "finetune-upper", "finetune-more")),
        ((40, 40), 0.2, {"strategies": ("soup", "svm")}, ("svm", "soup")),
        ((450, 450), 0.2, {"strategies": TRANSFERABLE[::-1]}, TRANSFERABLE),
    ],
)
def test_strategies_suit_the_pictures_and_come_from_cheap_to_expensive(counts, shift, options, expected):
    task = replace(task_of(*counts, **options), model=small_model())
    task.shift = shift
    assert task.strategies == expected


def test_whether_a_network_is_small_is_said_by_its_own_head_not_by_the_new_one(place, tmp_path):
    """SqueezeNet's 1000 classes make it a large one; with a head for two it would count as small, and be trained as one."""
    task = prepared(place, tmp_path, "svm")
    pretrained = load_model(place / "small.h5")
    assert task.parameters == parameters_of(pretrained) != parameters_of(task.model)


def test_of_a_small_network_the_upper_layers_are_fine_tuned_whatever_the_pictures(monkeypatch):
    monkeypatch.setattr(learning_rates, "SMALL", 1_000_000)
    task = replace(task_of(40, 40), model=small_model())
    task.shift = 0.2
    assert task.strategies == ("svm", "softmax", "finetune-upper")


def test_how_unlike_the_pretraining_pictures_are_is_seen_on_those_to_learn_from(place, tmp_path, monkeypatch):
    """And said, where it decides what is trained and nothing was asked for."""
    seen = []

    def watched(model, pictures):
        seen.append(pictures)
        return 0.2

    monkeypatch.setattr(task_module, "norm_shift", watched)
    task = prepared(place, tmp_path / "default", mode="default")
    assert task.strategies == ("svm", "softmax", "norms") and len(seen) == 1, "measured once"
    learning = task.fitted_for(task.model)[np.setdiff1d(np.arange(len(task.pictures)), task.split(0)["test"])]
    assert len(seen[0]) == 32 and all((one == learning).all(axis=(1, 2, 3)).any() for one in seen[0])
    assert "unlike those of the pretraining (channels' statistics shifted by 0.200 nats" in " ".join(
        task.pictures.findings.notes
    )
    asked = prepared(place, tmp_path / "asked", "svm", mode="default")
    assert not any("pretraining" in note for note in asked.pictures.findings.notes)


@pytest.fixture(scope="module")
def all_strategies(place):
    out = place / "all"
    assert transfer(place, out, "--strategy", "all") == 0
    return results_in(out), out


def test_all_strategies_are_carried_out_in_their_order(all_strategies):
    results, _ = all_strategies
    assert tuple(strategy["key"] for strategy in results["strategies"]) == TRANSFERABLE
    assert [strategy["title"] for strategy in results["strategies"]] == [STRATEGIES[key] for key in TRANSFERABLE]
    networks = {
        "finetune-upper": ["upper" + HALFWAY, "upper"],
        "interpolate": ["0.25", "0.5", "0.75", "1"],
        "finetune-more": ["more" + HALFWAY, "more"],
        "biases": ["biases"],
        "norms": ["norms", "norms" + HALFWAY],
        "surgical": ["lower", "middle", "upper"],
    }
    for strategy in results["strategies"]:
        (run,) = strategy["runs"]
        assert run["val_pictures"] == 60 and run["seconds"] > 0
        assert np.sum(run["confusion"]) == results["data"]["parts"]["test"] == 20
        if strategy["key"] not in FINE_TUNING:
            assert "phases" not in run
            continue
        assert [len(phases) for phases in run["other_folds"]] == [len(run["phases"])] * 3
        assert len(run["phases"]) == (2 if strategy["key"] == "finetune-more" else 1)
        losses = run["losses"]
        assert list(losses)[-1] == PROBE and run["chosen"] in losses
        assert strategy["key"] == "soup" or list(losses)[:-1] == networks[strategy["key"]]
        assert strategy["key"] != "soup" or len(losses) == 7 + 1
        if strategy["key"] != "soup" and run["chosen"] != PROBE:  # a soup is the uniform or the greedy one
            assert losses[run["chosen"]] == min(loss for name, loss in losses.items() if name != PROBE)
    probes = {run["losses"][PROBE] for strategy in results["strategies"] for run in strategy["runs"] if "losses" in run}
    assert len(probes) == 1, "all begin at one probe"


def test_what_a_strategy_trained_is_what_it_says(all_strategies):
    results, _ = all_strategies
    for strategy in results["strategies"]:
        (run,) = strategy["runs"]
        if run.get("chosen", PROBE) == PROBE:
            assert strategy["trained_parameters"] == 2 * (16 + 1) and strategy["trained"] == "classifier"
        elif strategy["key"] == "norms":
            assert strategy["trained_parameters"] == 2 * (16 + 1) + 2 * (8 + 12 + 16)
        elif strategy["key"] == "biases":
            assert strategy["trained_parameters"] == 2 * (16 + 1) + (8 + 12 + 16)
        elif strategy["key"] == "surgical":
            assert strategy["trained"] == {"lower": "block0", "middle": "block1", "upper": "block2"}[run["chosen"]]


def test_the_report_of_all_strategies_can_be_drawn(all_strategies):
    results, out = all_strategies
    page = (out / "report.html").read_text(encoding="utf-8")
    assert all(title in page for title in STRATEGIES.values() if title in {s["title"] for s in results["strategies"]})
    assert {"accuracy", "learning_curves", "confusion", "frozen", "regularisation"} <= {path.stem for path in out.glob("*.png")}
    assert minicnn.load(out / "model.h5").classes == list(NAMES)
    assert not (out / "checkpoints").exists()


def test_a_validation_part_of_ones_own_is_the_only_one_that_is_held_out(place, tmp_path):
    for part, count in (("train", 16), ("val", 6), ("test", 8)):
        draw_folder(tmp_path / "parts" / part, dict.fromkeys(NAMES, count), striped)
    words = ["--strategy", "softmax", "--strategy", "interpolate"]
    assert transfer(place, tmp_path / "report", *words, data=tmp_path / "parts") == 0
    for strategy in results_in(tmp_path / "report")["strategies"]:
        (run,) = strategy["runs"]
        assert run["val_pictures"] == 12 and run.get("other_folds", []) == []


def test_where_classes_are_uneven_every_strategy_has_a_confusion_of_what_was_held_out(place, tmp_path):
    data = draw_folder(tmp_path / "uneven", {"lying": 6, "upright": 40}, striped)
    words = ["--strategy", "svm", "--strategy", "norms", "--strategy", "surgical", "--balance"]
    assert transfer(place, tmp_path / "report", *words, data=data) == 0
    results = results_in(tmp_path / "report")
    for strategy in results["strategies"]:
        (run,) = strategy["runs"]
        confusion = np.array(run["val_confusion"])
        assert confusion.sum() == run["val_pictures"] and confusion.sum(1).tolist() == [5, 30]
        assert run["val_accuracy"] == pytest.approx(np.trace(confusion) / confusion.sum())
    assert "mean over classes" in results["recommendation"]["sentence"]


@pytest.mark.parametrize("strategy", ["finetune-upper", "surgical", "norms"])
def test_the_report_says_how_training_pictures_were_varied(place, tmp_path, monkeypatch, strategy):
    varied, original = [], Augmentation.__call__

    def watched(augmentation, pictures, rng):
        varied.append(augmentation != Augmentation())
        return original(augmentation, pictures, rng)

    monkeypatch.setattr(Augmentation, "__call__", watched)
    assert transfer(place, tmp_path / "report", "--strategy", strategy) == 0
    said = results_in(tmp_path / "report")["data"]["augmentation"]
    assert any(varied) == (not said.startswith("none")), f"{strategy}: {said}"


def test_a_name_that_is_mistyped_is_refused_beside_all_of_them_too(place, tmp_path, capsys):
    assert (
        transfer(place, tmp_path / "report", "--strategy", "all", "--strategy", "finetune-uper", data=tmp_path / "nowhere") != 0
    )
    assert "unknown strategy finetune-uper; choose from svm, softmax" in capsys.readouterr().err


# ---- what each fold has seen


@pytest.fixture
def seen(monkeypatch):
    """Of each phase that is trained: the numbers in the bank of what is trained on and validated with."""
    calls = []

    class Watched(finetune.Trainer):
        def fit(self, x, y, x_val, y_val):
            calls.append((self.label, np.asarray(x), np.asarray(x_val)))
            return super().fit(x, y, x_val, y_val)

    monkeypatch.setattr(finetune, "Trainer", Watched)
    return calls


def test_no_network_has_seen_the_pictures_that_it_is_judged_by(place, tmp_path, seen):
    task = prepared(place, tmp_path, "finetune-more")
    (run,) = train_layers(task, 0, lambda line: None)
    parts = task.split(0)
    learning = np.sort(np.r_[parts["train"], parts["val"]])
    assert sorted(run.held_out.rows) == learning.tolist(), "each picture once"
    assert len(seen) == 2 * 4
    np.testing.assert_array_equal(learning[np.concatenate([x_val for _, _, x_val in seen[::2]])], run.held_out.rows)
    np.testing.assert_array_equal([len(x_val) for _, _, x_val in seen[::2]], [len(x_val) for _, _, x_val in seen[1::2]])
    for _, x, x_val in seen:
        assert sorted(np.r_[x, x_val]) == list(range(60))


def test_scores_of_what_is_held_out_are_those_of_the_folds_own_network_and_test_scores_those_of_the_mean(place, tmp_path):
    """The network of another fold has learned from these pictures; to judge by its scores is a planted fault."""
    task = prepared(place, tmp_path, "finetune-more", epochs=2)
    training, ends = LayerTraining(task, 0), []
    original = fine_tuning.put_weights
    for number in range(4):
        training.train_fold(number)
        ends.append(weights_of(training.model))  # halfway between the probe and where it ended
    network = training.outcomes["finetune-more"].networks["more"]
    mean = MeanOfWeights()
    for end in ends:
        mean.add(end)
    assert {name: array.tobytes() for name, array in network.mean.weights.items()} == {
        name: array.tobytes() for name, array in mean.weights.items()
    }
    pictures, prepare_batch = task.fitted_for(task.model), task.model.preprocessing.normalise

    def scores(weights, rows):
        """What is frozen comes from the bank, in half precision."""
        original(training.model, weights)
        lower, upper = training.model.eval().split(training.bank.layer)
        return upper.forward(lower.forward(prepare_batch(pictures[rows])).astype(np.float16).astype(np.float32))

    for number, end in enumerate(ends):
        rows = network.rows[number]
        np.testing.assert_allclose(network.scores[number], scores(end, rows), rtol=1e-3, atol=1e-3)
        assert not np.allclose(network.scores[number], scores(ends[number - 1], rows), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("strategy", "whole_network"), [("finetune-upper", False), ("norms", True), ("surgical", True)])
def test_what_is_frozen_is_not_run_again_to_see_what_a_network_has_learned(
    place, tmp_path, monkeypatch, strategy, whole_network
):
    training, whole, original = LayerTraining(prepared(place, tmp_path, "finetune-upper", strategy), 0), [], fine_tuning._scores

    def watched(*arguments):
        whole.append(1)
        return original(*arguments)

    monkeypatch.setattr(fine_tuning, "_scores", watched)
    training.train_fold(0)
    way = training.ways[strategy]
    for weights in training.outcomes[strategy].networks.values():
        fine_tuning.put_weights(training.model, weights.mean.weights)
        expected = original(training.task, training.model, training.learning)
        whole.clear()
        found = training._learned(way)
        assert bool(whole) == whole_network
        np.testing.assert_array_equal(found.rows, training.learning)
        np.testing.assert_allclose(found.scores, expected, atol=2e-3 * np.abs(expected).max())


def test_every_fold_begins_under_the_probe_of_its_own_pictures(place, tmp_path, monkeypatch):
    task = prepared(place, tmp_path, "finetune-upper", "surgical")
    starts, original = [], fine_tuning.fine_tune

    def watched(model, *arguments, **options):
        starts.append({name: array.copy() for name, array in weights_of(model).items()})
        return original(model, *arguments, **options)

    monkeypatch.setattr(fine_tuning, "fine_tune", watched)
    training = LayerTraining(task, 0)
    for number in range(4):
        training.train_fold(number)
    probe = choose_classifier(task, "softmax", task.folds(0), REGULARISATION_PATH[-1:])
    assert probe.point.regularisation == max(REGULARISATION_PATH), "one that does not know its pictures by heart"
    assert len(starts) == 4 * 4  # the upper layers, and three thirds
    pretrained = weights_of(task.model)
    for number, start in enumerate(starts):
        np.testing.assert_allclose(start["classifier.w"], training.start.factor * probe.of_folds[number // 4].w, rtol=1e-5)
        same = [name for name in start if start[name].tobytes() == pretrained[name].tobytes()]
        assert {name for name in start if not name.startswith("classifier")} == set(same)


@pytest.mark.parametrize("strategy", FINE_TUNING)
def test_where_pictures_are_many_a_head_that_learns_begins_at_zero_and_layers_learn_all_the_same(
    place, tmp_path, monkeypatch, strategy
):
    monkeypatch.setattr(TransferTask, "has_few_pictures", False)
    task = prepared(place, tmp_path, strategy)
    starts, original = [], fine_tuning.fine_tune

    def watched(model, *arguments, **options):
        starts.append(model.parameters()["classifier.w"].value.copy())
        return original(model, *arguments, **options)

    monkeypatch.setattr(fine_tuning, "fine_tune", watched)
    training = LayerTraining(task, 0)
    training.train_fold(0)
    assert len(training.folds) == 1
    frozen_head = strategy == "surgical"  # which hands down nothing if it is zero, and stays so
    assert starts[0].any() == frozen_head
    for name, network in training.outcomes[strategy].networks.items():
        assert np.ptp(network.scores[0]) > 0, f"{name} gives all pictures the same scores, and has learned nothing"


@pytest.mark.parametrize("are_few", [True, False])
def test_a_small_network_begins_under_the_linear_probe_and_is_trained_longer(place, tmp_path, monkeypatch, are_few):
    """Its codes are few: the probe does not know pictures by heart."""
    monkeypatch.setattr(learning_rates, "SMALL", 1_000_000)
    monkeypatch.setattr(TransferTask, "has_few_pictures", are_few)
    task = prepared(place, tmp_path, "finetune-upper", "norms", epochs=None)
    starts, original = [], fine_tuning.fine_tune

    def watched(model, phase, *arguments, **options):
        starts.append((phase, model.parameters()["classifier.w"].value.copy()))
        return original(model, phase, *arguments, **options)

    monkeypatch.setattr(fine_tuning, "fine_tune", watched)
    training = LayerTraining(task, 0)
    training.train_fold(0)
    probe, preset = choose_classifier(task, "softmax", task.folds(0)), PRESETS["quick"]
    assert probe.point.regularisation < max(REGULARISATION_PATH)
    for phase, w in starts:
        np.testing.assert_allclose(w, training.probe.factor * probe.of_folds[0].w, rtol=1e-5)
        assert phase.epochs == 6 * preset.upper.epochs
    assert starts[0][0].learning_rate == pytest.approx(5 * preset.upper.learning_rate) and starts[0][0].body_multiplier == 1
    assert list(training.outcomes["finetune-upper"].networks) == ["upper"], "it does not go back halfway"


def test_probabilities_of_what_is_held_out_are_those_of_the_networks_scores(place, tmp_path):
    """The factor that makes held-out scores honest goes into the classifier, and moves no answer."""
    task = prepared(place, tmp_path, "biases")
    training = LayerTraining(task, 0)
    training.probe = training.probe._replace(held_out=HeldOut(training.probe.held_out.rows, np.zeros((60, 2)) + [0, 1e4]))
    for number in range(4):
        training.train_fold(number)
    network, run = training.outcomes["biases"].networks["biases"], training.finished("biases")
    calibrated, factor = network.held_out.calibrated(task.pictures.labels)
    assert run.record["chosen"] == "biases" and factor > 0
    np.testing.assert_array_equal(run.held_out.scores, calibrated.scores)
    np.testing.assert_allclose(calibrated.scores, factor * network.held_out.scores, rtol=1e-6)
    w = network.mean.weights
    for name in ("classifier.w", "classifier.b"):
        np.testing.assert_allclose(run.model.parameters()[name].value, factor * w[name], rtol=1e-5)
    assert all(
        run.model.parameters()[name].value.tobytes() == w[name].tobytes() for name in w if name.startswith("block0.conv")
    )
    assert run.record["losses"]["biases"] == pytest.approx(calibrated.loss(task.pictures.labels))
    assert calibrated.loss(task.pictures.labels) <= network.held_out.loss(task.pictures.labels) + 0.02


# ---- where it is no better than the probe


@pytest.fixture
def destroying(monkeypatch):
    """Learning rates at which every step throws the weights far away."""
    stage = Stage(epochs=1, views=1, learning_rate=20.0)
    monkeypatch.setitem(PRESETS, "quick", replace(PRESETS["quick"], upper=stage, more=stage))


def is_as_pretrained(model):
    """Whether all but the head is the pretrained network to the bit."""
    weights, pretrained = weights_of(model), weights_of(small_model())
    return all(weights[name].tobytes() == array.tobytes() for name, array in pretrained.items() if "classifier" not in name)


def test_strategies_that_destroy_what_the_probe_was_right_about_end_with_the_probe(place, tmp_path, destroying):
    task = prepared(place, tmp_path, *(strategy for strategy in FINE_TUNING if strategy != "finetune-upper"))
    probe = choose_classifier(task, "softmax", task.folds(0))
    for run in train_layers(task, 0, lambda line: None):
        losses = run.record["losses"]
        assert run.record["chosen"] == PROBE and losses[PROBE] == min(losses.values()) < 0.5, run.strategy
        assert is_as_pretrained(run.model)
        w, b = (run.model.parameters()[f"classifier.{name}"] for name in "wb")
        scale = w.value[0, 0] / probe.final.w[0, 0]
        np.testing.assert_allclose(w.value, scale * probe.final.w, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(b.value, scale * probe.final.b, rtol=1e-4, atol=1e-6)
        assert scale > 0 and w.trainable and not run.model.layers["block0"].trainable
        np.testing.assert_array_equal(run.held_out.scores.argmax(1), probe.held_out.argmax(1))
        assert run.held_out.loss(task.pictures.labels) == pytest.approx(losses[PROBE])


def test_the_comparison_notices_a_network_that_was_destroyed(place, tmp_path, destroying):
    """A planted fault: scores of the probe that make it the worse one."""
    training = LayerTraining(prepared(place, tmp_path, "surgical"), 0)
    rows, scores = training.probe.held_out
    training.probe = training.probe._replace(held_out=HeldOut(rows, -1000 * scores))
    for number in range(4):
        training.train_fold(number)
    run = training.finished("surgical")
    assert run.record["chosen"] != PROBE and not is_as_pretrained(run.model)


def test_a_strategy_that_ended_with_the_probe_says_so_and_its_saved_model_is_the_pretrained_network(
    place, tmp_path, destroying, capsys
):
    assert transfer(place, tmp_path / "report", "--strategy", "finetune-more") == 0
    said = " ".join(capsys.readouterr().out.split())
    (only,) = results_in(tmp_path / "report")["strategies"]
    (run,) = only["runs"]
    assert run["chosen"] == PROBE and run["accuracy"] >= 0.9 and only["trained"] == "classifier"
    assert [len(phases) for phases in (run["phases"], *run["other_folds"])] == [2] * 4, "what was tried is in the record"
    assert "Worse than the linear probe on what was held out, and so ended with it: then fine-tune more layers." in said
    assert is_as_pretrained(minicnn.load(tmp_path / "report" / "model.h5"))


def noisy(name, rng):
    """Stripes that are hard to see."""
    picture = stripes(rng, name == "upright").astype(float)
    return np.clip(128 + 0.25 * (picture - 128) + rng.normal(0, 40, picture.shape), 0, 255).astype(np.uint8)


def test_where_fine_tuning_is_better_it_is_taken(place, tmp_path, monkeypatch):
    stage = Stage(epochs=6, views=1, learning_rate=3e-3)
    monkeypatch.setitem(PRESETS, "quick", replace(PRESETS["quick"], upper=stage, more=stage))
    data = draw_folder(tmp_path / "noisy", dict.fromkeys(NAMES, 30), noisy)
    task = prepared(place, tmp_path, "finetune-more", data=data, epochs=None)
    (run,) = train_layers(task, 0, lambda line: None)
    assert run.record["chosen"] == "more" and run.record["losses"]["more"] < run.record["losses"][PROBE]
    assert not is_as_pretrained(run.model) and run.model.layers["block2"].trainable


# ---- Ctrl-C


@pytest.mark.parametrize(("after", "folds"), [(1, (1, 0)), (2, (1, 1)), (3, (2, 1)), (8, (4, 4))])
def test_ctrl_c_hands_out_what_had_finished_by_then(place, tmp_path, monkeypatch, after, folds):
    """Two phases in a fold: of the upper layers, which both strategies begin with, and of more of them."""
    task = prepared(place, tmp_path, "finetune-upper", "finetune-more")
    calls, runs, original = [], [], fine_tuning.fine_tune

    def interrupted(model, phase, *arguments, **options):
        calls.append(phase.title)
        history = original(model, phase, *arguments, **options)
        history.interrupted = len(calls) == after
        return history

    monkeypatch.setattr(fine_tuning, "fine_tune", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runs.extend(train_layers(task, 0, lambda line: None))
    assert len(calls) == after
    assert [run.strategy for run in runs] == [s for s, count in zip(task.strategies, folds, strict=True) if count]
    for run, count in zip(runs, folds, strict=False):
        assert 1 + len(run.record["other_folds"]) == count
        assert len(run.held_out.rows) == 15 * count and len(run.test_scores) == 20


@pytest.mark.parametrize(
    ("apart", "anew", "expected"), [(False, 5.0, 0.0), (True, 5.0, 5.0), (True, 7.0, 1.0), (True, None, 1.0)]
)
def test_a_mean_that_knows_less_than_the_folds_networks_is_not_taken(monkeypatch, apart, anew, expected):
    """Two networks of a single weight: -1 and 1 know all four pictures, and 0, halfway between them, may know nothing.

    Then one that is trained anew is taken (5); and where that has failed (7) or Ctrl-C has prevented it, the better of the two,
    which is 1.
    """
    labels, learning = np.array([0, 1, 0, 1]), np.arange(4)
    right, margins = np.eye(2)[labels], {-1.0: 2.9, 1.0: 3.1, 0.0: 0.0 if apart else 4.0, 5.0: 4.0, 7.0: 0.0}

    def learned(w):
        return HeldOut(learning, margins[w] * right)

    network, taken = fine_tuning.Network(), []
    for w, val in ((-1.0, [0, 1]), (1.0, [2, 3])):
        network.add({"w": np.array([w])}, learned(w), np.array(val), labels)
    monkeypatch.setattr(fine_tuning, "put_weights", lambda model, weights: taken.append(*weights["w"]))
    training = SimpleNamespace(
        task=SimpleNamespace(pictures=SimpleNamespace(labels=labels)),
        model=None,
        ways={"soup": None},
        outcomes={"soup": SimpleNamespace(networks={"mean": network})},
        _learned=lambda way: learned(taken[-1]),
        _trained_anew=lambda strategy, name: anew and {"w": np.array([anew])},
    )
    training._knows_enough = partial(LayerTraining._knows_enough, training)
    assert LayerTraining.weights_to_take(training, "soup", "mean")["w"] == expected
    assert network.held_out.rows.tolist() == [0, 1, 2, 3]


def test_a_network_is_trained_anew_on_all_pictures_for_as_many_epochs_as_were_best_in_the_folds(place, tmp_path, monkeypatch):
    task = prepared(place, tmp_path, "finetune-more", epochs=3)
    training, calls, original = LayerTraining(task, 0), [], fine_tuning.fine_tune

    def watched(model, phase, train, val, *arguments, **options):
        calls.append((phase.title, phase.epochs, len(train[1]), val, weights_of(model)))
        return original(model, phase, train, val, *arguments, **options)

    for number in range(4):
        training.train_fold(number)
    folds = training.outcomes["finetune-more"].phases["more"]
    for fold, (first, second) in zip(folds, [(1, 3), (2, 3), (1, 3), (2, 2)], strict=True):
        fold[0]["best_epoch"], fold[1]["best_epoch"] = first, second
    monkeypatch.setattr(fine_tuning, "fine_tune", watched)
    seconds = training.outcomes["finetune-more"].seconds
    anew = training._trained_anew("finetune-more", "more")
    assert [(epochs, count, val) for _, epochs, count, val, _ in calls] == [(2, 60, None), (3, 60, None)]
    assert calls[0][0] != calls[1][0]
    start = calls[0][-1]
    np.testing.assert_allclose(start["classifier.w"], training.start.factor * training.start.choice.final.w, rtol=1e-5)
    halfway = training._trained_anew("finetune-more", "more, halfway")
    assert len(calls) == 2, "it is the same training"
    assert training.outcomes["finetune-more"].seconds > seconds
    for name in anew:
        np.testing.assert_allclose(halfway[name], (start[name] + anew[name]) / 2, rtol=1e-5, atol=1e-6)
    assert any((anew[name] != start[name]).any() for name in anew if not name.startswith("classifier"))


def test_of_a_soup_only_what_is_in_it_is_trained_anew(place, tmp_path, monkeypatch):
    training, calls, original = LayerTraining(prepared(place, tmp_path, "soup"), 0), [], fine_tuning.fine_tune
    for number in range(4):
        training.train_fold(number)
    names = list(training.ways["soup"].trials)
    monkeypatch.setattr(fine_tuning, "fine_tune", lambda *args, **options: calls.append(args[1]) or original(*args, **options))
    mean = training._trained_anew("soup", f"{names[0]} + {names[2]}")
    assert [phase.learning_rate for phase in calls] == [training.ways["soup"].trials[names[k]][0].learning_rate for k in (0, 2)]
    ends = [end.weights for end in training.anew.values()]
    for name, array in mean.items():
        np.testing.assert_allclose(array, (ends[0][name] + ends[1][name]) / 2, rtol=1e-5, atol=1e-6)


def test_ctrl_c_while_a_network_is_trained_anew_leaves_the_best_fold(place, tmp_path, monkeypatch):
    task, original = prepared(place, tmp_path, "finetune-upper"), fine_tuning.fine_tune
    runs, calls, asked = [], [], []

    def learned(training, way):
        """All is known to the folds' networks, of which there are two each, and nothing to their mean."""
        asked.append(way)
        return HeldOut(training.learning, 9 * (len(asked) <= 8) * np.eye(2)[task.pictures.labels[training.learning]])

    monkeypatch.setattr(LayerTraining, "_learned", learned)

    def interrupted(model, phase, train, val, *arguments, **options):
        calls.append(val)
        history = original(model, phase, train, val, *arguments, **options)
        history.interrupted = val is None
        return history

    monkeypatch.setattr(fine_tuning, "fine_tune", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runs.extend(train_layers(task, 0, lambda line: None))
    assert len(calls) == 5 and calls[-1] is None and len(runs) == 1 and len(runs[0].test_scores) == 20
