"""The main job end to end, with a network and pictures small enough for a test: codes, fine-tuning, the command."""

import json
import re
import signal
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.cli import main
from minicnn.data.augmentation import PHOTOS
from minicnn.data.folders import open_pictures
from minicnn.data.preprocessing import Preprocessing
from minicnn.data.splits import split_pictures
from minicnn.experiment.experiment import Experiment
from minicnn.experiment.held_out import HeldOut
from minicnn.experiment.presets import PRESETS, Settings, Stage
from minicnn.experiment.results import describe_mistakes
from minicnn.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    ReLU,
    Sequential,
)
from minicnn.linear_model.base import class_scores
from minicnn.linear_model.softmax_regression import SoftmaxRegression
from minicnn.losses import softmax
from minicnn.models.model import Model
from minicnn.transfer.feature_bank import build_feature_bank
from minicnn.transfer.features import extract_features
from minicnn.transfer.finetune import Phase, fine_tune
from minicnn.transfer.metrics import classification_metrics, mean_and_std
from minicnn.transfer.mirrored import compare_mirrored
from minicnn.transfer.near_duplicates import NearDuplicates, find_near_duplicates
from minicnn.transfer.surgery import freeze_points, set_head, with_new_head

SIZE = 16


def small_model(rng=0):
    """Three blocks of convolution, batch norm and ReLU under a classifier: "pretrained" on nothing."""
    rng = np.random.default_rng(rng)

    def block(c, f, stride):
        return Sequential(conv=Conv2d(c, f, 3, stride, "same", bias=False, rng=rng), norm=BatchNorm2d(f), relu=ReLU())

    layers = {"block0": block(3, 8, 2), "block1": block(8, 12, 2), "block2": block(12, 16, 1), "pool": GlobalAvgPool2d()}
    layers |= {"dropout": Dropout(0.1), "classifier": Linear(16, 5, rng=rng)}
    preprocessing = Preprocessing(size=SIZE, mean=127.0, std=64.0)
    names = [f"thing {i}" for i in range(5)]
    return Model(layers, architecture="small", input_shape=(3, SIZE, SIZE), preprocessing=preprocessing, classes=names)


def stripes(rng, upright):
    """A noisy picture of stripes, upright or lying."""
    wave = 90 * np.sin(np.arange(24) * rng.uniform(0.8, 1.2) + rng.uniform(0, 6))
    picture = 128 + np.broadcast_to(wave if upright else wave[:, None], (24, 24)) + rng.normal(0, 20, (24, 24))
    return np.repeat(picture.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(5)
    for name in ("lying", "upright"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(40):
            Image.fromarray(stripes(rng, name == "upright")).save(tmp_path / "pictures" / name / f"{i:02}.png")
    return tmp_path / "pictures"


@pytest.fixture
def model_file(tmp_path):
    small_model().save(tmp_path / "small.h5")
    return tmp_path / "small.h5"


@pytest.fixture
def ready(folder, cache):
    """(model, fitted pictures, the set)."""
    model = small_model().eval()
    fitted, pictures = open_pictures(folder).fitted(model.preprocessing, progress=False)
    return model, fitted, pictures


# ---- heads and fine-tuning


def test_network_with_the_classifier_as_head_gives_the_classifiers_scores(ready):
    model, fitted, pictures = ready
    for layer in ("pool", "block1"):
        codes = extract_features(model, fitted, layer, progress=False)
        classifier = SoftmaxRegression().fit(codes, pictures.labels)
        new = with_new_head(model, layer, pictures.classes)
        set_head(new, classifier)
        scores = new.eval().forward(model.preprocessing.normalise(fitted))
        np.testing.assert_allclose(scores, class_scores(classifier.decision_function(codes)), rtol=1e-3, atol=1e-3)
        assert new.classes == ["lying", "upright"]
    assert model.classes[0] == "thing 0", "the pretrained network is left as it was"


def test_freeze_points_leave_more_to_train_the_second_time():
    model = small_model()
    names = list(model.layers)
    upper, more = freeze_points(model)
    assert 0 <= names.index(more) < names.index(upper) < names.index("classifier")


def test_bank_holds_plain_views_of_all_and_augmented_ones_of_training_pictures(ready):
    model, fitted, _ = ready
    lower, _ = model.split("block0")
    bank = build_feature_bank(model, "block0", 3, fitted[:60], fitted[60:], PHOTOS, progress=False)
    assert len(bank.outputs) == 80 + 2 * 60
    plain = lower.forward(model.preprocessing.normalise(fitted))
    np.testing.assert_allclose(bank.prepare(np.arange(80)), plain, atol=0.01)
    drawn = np.stack([bank.augment(np.arange(60), np.random.default_rng(seed)) for seed in range(40)])
    assert ((drawn < 60) | (drawn >= 80)).all(), "a training step never sees a validation picture"
    np.testing.assert_array_equal(np.where(drawn < 60, drawn, (drawn - 80) % 60), np.broadcast_to(np.arange(60), drawn.shape))
    assert len(np.unique(drawn)) > 0.95 * 180, "all views get their turn"


def test_a_bank_goes_on_to_a_higher_cut_and_to_fewer_views(ready):
    model, fitted, _ = ready
    low = build_feature_bank(model, "block0", 3, fitted[:60], fitted[60:], PHOTOS, progress=False)
    high = build_feature_bank(model, "block1", 3, fitted[:60], fitted[60:], PHOTOS, progress=False)
    np.testing.assert_allclose(low.up_to(model, "block1", 3, progress=False).outputs, high.outputs, atol=0.05)
    fewer = low.up_to(model, "block0", 2, progress=False)
    np.testing.assert_array_equal(fewer.outputs, low.outputs[: 80 + 60])
    drawn = np.stack([fewer.augment(np.arange(60), np.random.default_rng(seed)) for seed in range(40)])
    assert drawn.max() < len(fewer.outputs)


def test_a_bank_refuses_lower_layers_and_views_that_it_does_not_have(ready):
    model, fitted, _ = ready
    bank = build_feature_bank(model, "block1", 2, fitted[:60], fitted[60:], PHOTOS, progress=False)
    with pytest.raises(ValueError, match=r"at 'block1' can be carried on to a layer above it, one of block2, .*; got 'block0'"):
        bank.up_to(model, "block0", 2, progress=False)
    with pytest.raises(ValueError, match="has 2 views of each picture, asked for were 3"):
        bank.up_to(model, "block2", 3, progress=False)
    with pytest.raises(ValueError, match="got views=0"):
        build_feature_bank(model, "block1", 0, fitted[:60], fitted[60:], PHOTOS, progress=False)


def test_fine_tuning_learns_and_leaves_the_frozen_part_bit_identical(ready):
    model, fitted, pictures = ready
    model = with_new_head(model, "pool", pictures.classes)
    order = np.random.default_rng(1).permutation(len(fitted))
    train, val = ((fitted[part], pictures.labels[part]) for part in (order[:60], order[60:]))
    before = {name: p.value.copy() for name, p in model.parameters().items()} | {k: v.copy() for k, v in model.state().items()}
    phase = Phase("test", "block0", epochs=12, learning_rate=0.02, views=2, batch_size=16)
    history = fine_tune(model, phase, train, val, PHOTOS, progress=False)
    after = {name: p.value for name, p in model.parameters().items()} | model.state()
    for name, value in before.items():
        same = np.array_equal(value, after[name])
        assert same == name.startswith("block0."), name
    assert history.best["val_accuracy"] > 0.9
    multipliers = {name: p.learning_rate_multiplier for name, p in model.parameters().items()}
    assert multipliers["classifier.w"] == 1.0 and multipliers["block2.conv.w"] == phase.body_multiplier
    phase = Phase("test", "block0", epochs=1, learning_rate=0.02, layer_decay=0.5)
    fine_tune(model, phase, train, val, PHOTOS, progress=False)
    multipliers = {name: p.learning_rate_multiplier for name, p in model.parameters().items()}
    assert (
        multipliers["classifier.w"] == 1.0 and multipliers["block2.norm.gamma"] == 0.5 and multipliers["block1.conv.w"] == 0.25
    )


def test_without_a_bank_every_epoch_sees_its_own_view_of_each_picture(ready):
    model, fitted, pictures = ready
    model = with_new_head(model, "pool", pictures.classes)
    before = {name: p.value.copy() for name, p in model.parameters().items()}
    seen = []

    def recorded(x, rng):
        seen.append(PHOTOS(x, rng))
        return seen[-1]

    phase = Phase("test", "block0", epochs=3, learning_rate=0.02, views=0, batch_size=40)
    history = fine_tune(model, phase, (fitted, pictures.labels), None, recorded, progress=False)
    views = np.concatenate(seen)
    assert len(views) == 3 * 80 and len(np.unique(views.reshape(240, -1), axis=0)) == 240
    assert history.best_epoch == 3, "without validation pictures the last epoch stays"
    for name, p in model.parameters().items():
        assert np.array_equal(before[name], p.value) == name.startswith("block0."), name


def test_uncertain_pictures_can_be_trained_on(ready):
    model, fitted, pictures = ready
    model = with_new_head(model, "pool", pictures.classes)
    targets = np.full((80, 2), 0.2)
    targets[np.arange(80), pictures.labels] = 0.8
    phase = Phase("test", "block0", epochs=12, learning_rate=0.02, views=2, batch_size=16, label_smoothing=0)
    order = np.random.default_rng(1).permutation(80)
    train, val = order[:60], order[60:]
    history = fine_tune(
        model, phase, (fitted[train], targets[train]), (fitted[val], pictures.labels[val]), PHOTOS, progress=False
    )
    assert history.best["val_accuracy"] > 0.9
    scores = model.forward(model.preprocessing.normalise(fitted))
    confident = softmax(scores).max(axis=1)
    assert 0.6 < confident.mean() < 0.9, "no more certain than its targets"


# ---- metrics


def test_metrics_worked_by_hand():
    # true 0 0 0 1, predicted 0 0 1 1: accuracy 3/4; recalls 2/3 and 1; class 1: P = 1/2, R = 1, F1 = 2/3
    result = classification_metrics(np.array([0, 0, 0, 1]), np.array([[2.0, 1], [3, 1], [0, 1], [0, 5]]))
    assert result["accuracy"] == 0.75
    assert result["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert result["f1"] == pytest.approx(2 / 3)
    assert mean_and_std([1.0, 3.0]) == {"mean": 2.0, "std": pytest.approx(2**0.5)}
    assert mean_and_std([1.0])["std"] is None


def test_metrics_do_not_speak_of_classes_without_samples():
    alone = classification_metrics(np.array([0, 0]), np.array([[2.0, 1], [3, 1]]))
    assert alone["accuracy"] == 1 and alone["balanced_accuracy"] is None and alone["f1"] is None
    y, scores = np.array([0, 1, 1]), np.eye(3)[[0, 1, 0]]
    assert classification_metrics(y, scores)["balanced_accuracy"] == 0.75
    assert classification_metrics(y, scores, positive=2)["f1"] is None
    assert classification_metrics(y, scores, positive=0)["f1"] == pytest.approx(2 / 3)
    assert mean_and_std([None, None]) == {"mean": None, "std": None}


def test_mistakes_come_most_confident_first(ready):
    _, _, pictures = ready
    indices = np.array([0, 1, 40, 41])  # two lying, two upright
    mistakes = describe_mistakes(pictures, indices, np.array([[0.0, 3], [5, 0], [9, 0], [0, 1]]))
    assert [(m["index"], m["true"], m["predicted"]) for m in mistakes] == [(40, "upright", "lying"), (0, "lying", "upright")]
    assert mistakes[0]["confidence"] > mistakes[1]["confidence"] > 0.5


# ---- the experiment and the command


def test_parts_of_a_split_do_not_overlap_and_cover_everything(folder):
    pictures = open_pictures(folder)
    for seed in (0, 1):
        parts = split_pictures(pictures, seed)
        together = np.concatenate(list(parts.values()))
        assert sorted(together) == list(range(80)) and list(parts) == ["train", "val", "test"]
        assert len(parts["test"]) == 20
    assert not np.array_equal(split_pictures(pictures, 0)["test"], split_pictures(pictures, 1)["test"])


def transfer(folder, model_file, out, *more):
    return main(["transfer", "--data", str(folder), "--model", str(model_file), "--out", str(out), "--quick", *more])


def test_transfer_then_predict(folder, model_file, tmp_path, cache, capsys):
    out = tmp_path / "report"
    assert transfer(folder, model_file, out, "--epochs", "2") == 0
    printed = capsys.readouterr().out
    assert "Recommended" in printed and str(out / "report.html") in printed
    results = json.loads((out / "results.json").read_text())
    assert [strategy["key"] for strategy in results["strategies"]] == ["svm", "softmax", "finetune-upper"]
    for strategy in results["strategies"]:
        for run in strategy["runs"]:
            confusion = np.array(run["confusion"])
            assert confusion.sum() == results["data"]["parts"]["test"]
            assert run["accuracy"] == pytest.approx(np.trace(confusion) / confusion.sum())
    assert results["published"] == [], "figures for solar cells mean nothing here"
    assert (out / "report.html").stat().st_size > 10_000

    check_the_saved_model(folder, out, results, capsys)


def check_the_saved_model(folder, out, results, capsys):
    """It gets on its own test part what the table says, through the command that users will type."""
    best = next(s for s in results["strategies"] if s["key"] == results["recommendation"]["key"])
    run = max(best["runs"], key=lambda run: run["val_accuracy"])
    pictures = open_pictures(folder)
    test = split_pictures(pictures, run["seed"])["test"]
    paths = [str(folder / pictures.classes[pictures.labels[i]] / pictures.file_name(i).split("/")[-1]) for i in test]
    assert main(["predict", str(out / "model.h5"), *paths, "--top", "1"]) == 0
    answers = re.findall(r"^ +[\d.]+ % +(\w+)$", capsys.readouterr().out, re.MULTILINE)
    right = np.mean([answer == pictures.classes[pictures.labels[i]] for answer, i in zip(answers, test, strict=True)])
    assert right == pytest.approx(run["accuracy"])
    assert main(["predict", str(out / "model.h5"), *paths, "--reject", "--json", str(out / "predictions.json")]) == 0
    predictions = json.loads((out / "predictions.json").read_text(encoding="utf-8"))["predictions"]
    rejected = np.mean([prediction["answer"] == "none of these" for prediction in predictions])
    assert rejected == pytest.approx(results["novelty"]["test_rejected"])


def test_the_full_mode_takes_the_mean_over_mirrored_pictures_and_so_does_the_saved_model(
    folder, model_file, tmp_path, cache, capsys
):
    out = tmp_path / "report"
    words = ["--data", str(folder), "--model", str(model_file), "--out", str(out), "--full", "--seeds", "1", "--epochs", "1"]
    assert main(["transfer", *words, "--strategy", "finetune-upper"]) == 0
    capsys.readouterr()
    assert minicnn.load(out / "model.h5").preprocessing.symmetry == "mirror"
    check_the_saved_model(folder, out, json.loads((out / "results.json").read_text()), capsys)


def test_the_full_mode_ends_with_validation_pictures_and_lower_layers_in_training_too(
    folder, model_file, tmp_path, cache, monkeypatch
):
    monkeypatch.setattr(HeldOut, "is_worse_than", lambda self, other, labels: False)
    out = tmp_path / "report"
    words = ["--data", str(folder), "--model", str(model_file), "--out", str(out), "--full", "--seeds", "1", "--epochs", "1"]
    assert main(["transfer", *words, "--strategy", "finetune-more"]) == 0
    (strategy,) = json.loads((out / "results.json").read_text())["strategies"]
    *chosen, last = strategy["runs"][0]["phases"]
    without = [phase["history"][0]["val_accuracy"] is None for phase in (*chosen, last)]
    assert without == [False] * len(chosen) + [True]
    names = list(small_model().layers)
    assert names.index(last["frozen_until"]) <= names.index(chosen[-1]["frozen_until"])
    assert strategy["frozen"] == names[0] == last["frozen_until"]
    page = (out / "explore.html").read_text(encoding="utf-8")
    assert '"name":"before"' in page and '<a href="explore.html">' in (out / "report.html").read_text(encoding="utf-8")


def test_the_full_mode_ends_with_larger_pictures_and_the_saved_model_wants_such(
    folder, model_file, tmp_path, cache, capsys, monkeypatch
):
    monkeypatch.setattr(HeldOut, "is_worse_than", lambda self, other, labels: False)
    out = tmp_path / "report"
    words = ["--data", str(folder), "--model", str(model_file), "--out", str(out), "--full", "--seeds", "1", "--epochs", "1"]
    assert main(["transfer", *words, "--strategy", "finetune-more"]) == 0
    capsys.readouterr()
    results, model = json.loads((out / "results.json").read_text()), minicnn.load(out / "model.h5")
    assert model.preprocessing.size == (21, 21) and model.input_shape == (3, 21, 21)
    assert results["strategies"][0]["runs"][0]["phases"][-1]["title"].endswith("21x21")
    check_the_saved_model(folder, out, results, capsys)


def test_a_network_for_one_size_only_is_fine_tuned_at_that_size(folder, tmp_path, cache, capsys):
    model = small_model()
    model.layers["pool"], model.layers["classifier"] = Flatten(), Linear(16 * (SIZE // 4) ** 2, 5, rng=0)
    model.save(tmp_path / "fixed.h5")
    out = tmp_path / "report"
    words = ["--data", str(folder), "--model", str(tmp_path / "fixed.h5"), "--out", str(out), "--full", "--seeds", "1"]
    assert main(["transfer", *words, "--epochs", "1", "--strategy", "finetune-more"]) == 0
    assert "takes pictures of one size only" in capsys.readouterr().out
    assert minicnn.load(out / "model.h5").preprocessing.size == (SIZE, SIZE)


def test_two_runs_give_the_same_numbers(folder, model_file, tmp_path, cache):
    found = []
    for name in ("a", "b"):
        settings = Settings(str(folder), str(model_file), out=tmp_path / name, mode="quick", epochs=1, progress=False)
        results = Experiment(settings, log=lambda line: None).run()
        found.append([(run["accuracy"], run["val_accuracy"]) for s in results["strategies"] for run in s["runs"]])
        losses = [epoch["loss"] for epoch in results["strategies"][-1]["runs"][0]["phases"][-1]["history"]]
        found[-1].append(losses)
    assert found[0] == found[1]


def test_splits_can_be_run_one_at_a_time(folder, model_file, tmp_path, cache, capsys):
    def parts(*words):
        assert transfer(folder, model_file, tmp_path / "report", "--strategy", "softmax", *words) == 0
        (strategy,) = json.loads((tmp_path / "report" / "results.json").read_text())["strategies"]
        return [(run["seed"], run["val_accuracy"], run["accuracy"]) for run in strategy["runs"]]

    together = parts("--seeds", "3")
    assert [seed for seed, *_ in together] == [0, 1, 2]
    assert parts("--seeds", "1", "--first-seed", "2") == together[2:]
    with pytest.raises(SystemExit):
        parts("--first-seed", "-1")
    assert "whole number of at least 0, got -1" in capsys.readouterr().err


def test_strategy_and_layer_can_be_chosen(folder, model_file, tmp_path, cache, capsys):
    assert transfer(folder, model_file, tmp_path / "report", "--strategy", "softmax", "--layer", "block1") == 0
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    assert [strategy["key"] for strategy in results["strategies"]] == ["softmax"]
    model = minicnn.load(tmp_path / "report" / "model.h5")
    assert list(model.layers) == ["block0", "block1", "codes", "classifier"]


# ---- what is said first, and what it leads to


def draw_folder(root, counts, picture):
    """A folder of ``counts`` pictures a class; ``picture(name, rng)`` draws one."""
    rng = np.random.default_rng(7)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(picture(name, rng)).save(root / name / f"{i:03}.png")
    return root


def results_in(out):
    return json.loads((out / "results.json").read_text(encoding="utf-8"))


def test_classes_and_their_counts_are_said_before_anything_is_computed(folder, model_file, tmp_path, cache, capsys):
    (folder / "upright" / "bad.png").write_bytes(b"no picture at all, whatever its name says")
    assert transfer(folder, model_file, tmp_path / "report", "--strategy", "svm") == 0
    said = capsys.readouterr()
    lines = said.out[: said.out.index("CNN codes")].splitlines()
    assert ["class", "train", "val", "test"] in [line.split() for line in lines]
    assert ["lying", "26", "4", "10"] in [line.split() for line in lines]
    assert any(line.startswith("left out: ") and "1 " in line for line in lines)
    assert any("F1 is of the class 'upright'" in line for line in lines)
    assert "Warning" not in said.err and "warnings.warn" not in said.err and "max_iterations" not in said.err
    findings = results_in(tmp_path / "report")["data"]["findings"]
    assert findings["left out"] and findings["note"]


def test_python_warnings_reach_users_as_sentences(folder, model_file, tmp_path, cache, capsys, monkeypatch):
    def warns(*arguments, **options):
        warnings.warn("the sky is falling", stacklevel=2)
        return small_model(), open_pictures(folder), PHOTOS

    monkeypatch.setattr("minicnn.experiment.preparation.set_up", warns)
    assert transfer(folder, model_file, tmp_path / "report", "--strategy", "svm") == 0
    assert capsys.readouterr().err.splitlines() == ["note: the sky is falling"]


def uneven_pictures(name, rng):
    return stripes(rng, upright=name == "normal")


def test_where_classes_are_uneven_the_small_one_is_not_forgotten(model_file, tmp_path, cache, capsys):
    data = draw_folder(tmp_path / "uneven", {"defect": 8, "normal": 80}, uneven_pictures)
    assert transfer(data, model_file, tmp_path / "report", "--strategy", "svm", "--strategy", "finetune-upper") == 0
    said = capsys.readouterr().out
    assert said.index("the classes are uneven, 8 to 80 pictures") < said.index("CNN codes")
    assert said.index("fewer than 5 test pictures of 'defect' (2)") < said.index("CNN codes")
    results = results_in(tmp_path / "report")
    assert results["f1_of"] == "defect", "the smaller class is the one that is looked for"
    assert all("val_confusion" in run for strategy in results["strategies"] for run in strategy["runs"])
    assert "'defect'" in results["recommendation"]["sentence"] and "mean over classes" in results["recommendation"]["sentence"]


def test_classes_that_cannot_be_tested_are_named_before_anything_is_computed(folder, model_file, tmp_path, cache, capsys):
    for part, names in (("train", ("lying", "upright")), ("test", ("lying",))):
        for name in names:
            (tmp_path / "parts" / part / name).mkdir(parents=True)
            for i in range(20) if part == "train" else range(20, 30):
                (folder / name / f"{i:02}.png").rename(tmp_path / "parts" / part / name / f"{i:02}.png")
    assert transfer(tmp_path / "parts", model_file, tmp_path / "report", "--strategy", "svm") == 0
    said = capsys.readouterr().out
    assert said.index("1 of 2 classes have no pictures to test: 'upright'") < said.index("CNN codes")
    (strategy,) = results_in(tmp_path / "report")["strategies"]
    assert strategy["accuracy"]["mean"] is not None
    assert strategy["balanced_accuracy"]["mean"] is None and strategy["f1"]["mean"] is None


def test_many_pictures_are_on_disk_and_give_the_same_numbers(folder, model_file, tmp_path, cache, monkeypatch, capsys):
    words = ["transfer", "--data", str(folder), "--model", str(model_file), "--out", str(tmp_path / "report")]
    found = []
    for large in (None, 1):
        if large:
            monkeypatch.setattr("minicnn.cache.LARGE", large)
            monkeypatch.setattr("minicnn.cache.IN_USE", 1000)
        assert main([*words, "--full", "--seeds", "1", "--epochs", "1"]) == 0
        strategies = results_in(tmp_path / "report")["strategies"]
        found.append([(run["val_accuracy"], run["confusion"]) for strategy in strategies for run in strategy["runs"]])
    assert found[0] == found[1] and len(found[0]) == 3


def test_balance_gives_small_classes_the_same_say(model_file, tmp_path, cache, capsys):
    def overlapping(name, rng):
        return np.clip(rng.normal(110 if name == "normal" else 122, 14) + rng.normal(0, 3, (24, 24, 3)), 0, 255).astype(
            np.uint8
        )

    data = draw_folder(tmp_path / "uneven", {"defect": 40, "normal": 320}, overlapping)
    found = []
    for words in ([], ["--balance"]):
        assert transfer(data, model_file, tmp_path / "report", "--strategy", "softmax", "--seeds", "3", *words) == 0
        (strategy,) = results_in(tmp_path / "report")["strategies"]
        matrix = np.sum([run["confusion"] for run in strategy["runs"]], axis=0)
        found.append(matrix[0, 0] / matrix[0].sum())
    assert found[1] > found[0] + 0.2
    assert transfer(data, model_file, tmp_path / "report", "--strategy", "finetune-upper", "--epochs", "1", "--balance") == 0


def test_the_positive_class_can_be_chosen_and_must_be_there(folder, model_file, tmp_path, cache, capsys):
    assert transfer(folder, model_file, tmp_path / "report", "--strategy", "svm", "--positive", "lying") == 0
    results = results_in(tmp_path / "report")
    assert results["f1_of"] == "lying"
    (strategy,), matrix = results["strategies"], np.array(results["strategies"][0]["runs"][0]["confusion"])
    expected = 2 * matrix[0, 0] / (matrix[0].sum() + matrix[:, 0].sum())
    assert strategy["runs"][0]["f1"] == pytest.approx(expected)
    assert transfer(folder, model_file, tmp_path / "report", "--positive", "flying") != 0
    assert "--positive flying: there is no such class; the classes are lying, upright" in capsys.readouterr().err


def half_bright(name, rng):
    """Bright on the left or on the right: mirrored, one is the other."""
    pixels = rng.normal(60, 10, (24, 24, 3))
    pixels[:, :12] += 120
    return np.clip(pixels if name == "left" else pixels[:, ::-1], 0, 255).astype(np.uint8)


def test_pictures_that_are_another_class_when_mirrored_are_not_mirrored(model_file, tmp_path, cache, capsys):
    data = draw_folder(tmp_path / "sides", {"left": 30, "right": 30}, half_bright)
    words = ["transfer", "--data", str(data), "--model", str(model_file), "--out", str(tmp_path / "report")]
    words += ["--strategy", "finetune-upper", "--epochs", "1", "--seeds", "1"]
    for more, outcome, flips in (
        ([], "so training pictures are not mirrored", False),
        (["--augment", "flip,shift=0.1"], "they are mirrored, as --augment says", True),
        (["--no-flip"], None, False),
    ):
        assert main([*words, *more]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert ("mirrored pictures look like other classes" in said) == (outcome is not None)
        assert outcome is None or outcome in said
        assert ("flips" in results_in(tmp_path / "report")["data"]["augmentation"]) == flips


def test_pictures_that_stay_what_they_are_when_mirrored_may_be_mirrored(ready):
    model, fitted, pictures = ready
    found = compare_mirrored(model, fitted, pictures.labels, np.arange(80), pictures.classes)
    assert not found.looks_like_another_class


def test_an_augmentation_that_cannot_be_is_refused_before_anything_is_opened(model_file, tmp_path, cache, capsys):
    for words, says in (("flip,spin", "'spin' is none of flip"), ("shift", "a fraction, as shift=0.2"), ("shift=2", "shift=2")):
        assert transfer(tmp_path / "nowhere", model_file, tmp_path / "report", "--augment", words) != 0
        assert says in capsys.readouterr().err


def smooth(name, rng):
    """Clouds: no two are alike, and a copy that was saved again still is."""
    small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    pixels = np.asarray(small.resize((48, 48), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(pixels + (60 if name == "bright" else -60), 0, 255).astype(np.uint8)


def test_copies_that_were_saved_again_are_noticed_across_parts_and_can_be_kept_in_one(model_file, tmp_path, cache, capsys):
    data = draw_folder(tmp_path / "clouds", {"bright": 30, "dark": 30}, smooth)
    for name in ("bright", "dark"):
        for i in range(6):
            Image.open(data / name / f"{i:03}.png").save(data / name / f"again{i}.jpg", quality=60)
    out = tmp_path / "report"
    assert transfer(data, model_file, out, "--strategy", "svm") == 0
    said = " ".join(capsys.readouterr().out.split())
    found = results_in(out)["data"]["near_duplicates"]
    assert "12 pairs of pictures look nearly the same" in said and "the test score is too good by that" in said
    assert found["pairs"] == 12 and 0 < len(found["across_parts"]) <= 12
    assert (out / "near_duplicates.png").exists()
    assert transfer(data, model_file, out, "--strategy", "svm", "--group-duplicates") == 0
    results, said = results_in(out), " ".join(capsys.readouterr().out.split())
    assert results["data"]["near_duplicates"]["across_parts"] == []
    assert not (out / "near_duplicates.png").exists()
    sizes = re.search(r"which makes (\d+) train, (\d+) val, (\d+) test pictures", said)
    assert sum(map(int, sizes.groups())) == 72


def test_copies_of_one_picture_alone_cannot_be_kept_in_one_part(folder, model_file, tmp_path, cache, monkeypatch, capsys):
    chain = NearDuplicates(np.stack([np.arange(79), np.arange(1, 80)], axis=1))
    monkeypatch.setattr("minicnn.experiment.preparation.find_near_duplicates", lambda codes, fitted: chain)
    assert transfer(folder, model_file, tmp_path / "report", "--strategy", "svm", "--group-duplicates") != 0
    assert re.search("--group-duplicates leaves no pictures for .*(val|test)", capsys.readouterr().err)


def test_pictures_of_one_kind_are_not_taken_for_copies(cache):
    rng, model = np.random.default_rng(3), small_model().eval()
    fitted = model.preprocessing.fit_picture
    clouds = np.stack([fitted(smooth(name, rng)) for name in ("bright", "dark") for _ in range(40)])
    assert len(find_near_duplicates(extract_features(model, clouds, progress=False), clouds).pairs) == 0


def test_parts_given_by_folders_are_used_as_they_are(folder, tmp_path):
    for name in ("lying", "upright"):
        for part, numbers in (("train", range(25)), ("val", range(25, 32)), ("test", range(32, 40))):
            (tmp_path / "parts" / part / name).mkdir(parents=True)
            for i in numbers:
                (folder / name / f"{i:02}.png").rename(tmp_path / "parts" / part / name / f"{i:02}.png")
    pictures = open_pictures(tmp_path / "parts")
    for seed in (0, 1):
        parts = split_pictures(pictures, seed)
        for part, indices in parts.items():
            assert {pictures.file_name(i).split("/")[0] for i in indices} == {part}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["transfer", "--data", "{tmp}/nowhere"], "nowhere"),
        (["transfer", "--data", "{folder}", "--model", "resnet-9000"], "efficientnet_lite0"),
        (["transfer", "--data", "{folder}", "--model", "{model}", "--strategy", "magic"], "finetune-upper"),
        (["transfer", "--data", "{folder}", "--model", "{model}", "--layer", "blockX"], "block1"),
        (["transfer", "--data", "{folder}", "--model", "{model}", "--out", "{model}/x"], "--out"),
        (["predict", "{model}"], "no picture"),
        (["predict", "{model}", "{tmp}/absent.jpg"], "absent.jpg"),
        (["predict", "{folder}/lying/00.png", "{folder}/lying/01.png"], "00.png"),
    ],
)
def test_what_users_can_put_right_is_one_sentence_and_a_non_zero_exit(
    arguments, says, folder, model_file, tmp_path, cache, capsys
):
    names = {"tmp": tmp_path, "folder": folder, "model": model_file}
    assert main([argument.format(**names) for argument in arguments]) != 0
    error = capsys.readouterr().err
    assert says in error and "Traceback" not in error


def test_one_bad_picture_does_not_keep_the_others_from_being_named(folder, model_file, tmp_path, cache, capsys):
    (tmp_path / "bad.jpg").write_text("not a picture")
    assert main(["predict", str(model_file), str(tmp_path / "bad.jpg"), str(folder / "lying" / "00.png")]) != 0
    captured = capsys.readouterr()
    assert "bad.jpg" in captured.err and "00.png" in captured.out and "thing" in captured.out


def test_a_model_without_preprocessing_cannot_be_transferred_and_says_so(folder, tmp_path, cache, capsys):
    model = small_model()
    model.preprocessing = None
    model.save(tmp_path / "bare.h5")
    assert transfer(folder, tmp_path / "bare.h5", tmp_path / "report") != 0
    assert "preprocessing" in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_finished_and_says_where(folder, model_file, tmp_path, cache):
    """A real Ctrl-C in a real process, while it fine-tunes."""
    out = tmp_path / "report"
    # a test run in a shell's background is deaf to Ctrl-C, and what it starts would be, too
    script = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import minicnn.__main__"
    words = ["transfer", "--data", folder, "--model", model_file, "--out", out, "--epochs", "100000"]
    command = [sys.executable, "-u", "-c", script, *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "softmax classifier" in line:  # the linear ones are done, fine-tuning comes next
            break
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    results = json.loads((out / "results.json").read_text())
    assert results["interrupted"] and {"svm", "softmax"} <= {strategy["key"] for strategy in results["strategies"]}
    assert str(out / "report.html") in printed
    assert minicnn.load(out / "model.h5").classes == ["lying", "upright"]


def test_an_error_in_the_middle_keeps_what_is_finished(folder, model_file, tmp_path, cache, monkeypatch, capsys):
    def broken(*arguments, **options):
        raise OSError("the pictures' disk is gone")

    monkeypatch.setattr("minicnn.experiment.fine_tuning.fine_tune", broken)
    assert transfer(folder, model_file, tmp_path / "report") != 0
    captured = capsys.readouterr()
    assert "disk is gone" in captured.err and str(tmp_path / "report") in captured.out
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    assert results["interrupted"] and {"svm", "softmax"} == {strategy["key"] for strategy in results["strategies"]}


def test_an_error_that_leads_to_another_one_in_saving_is_the_one_that_is_reported(
    folder, model_file, tmp_path, cache, monkeypatch, capsys
):
    def broken(*arguments, **options):
        raise OSError("the pictures' disk is gone")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minicnn.experiment.fine_tuning.fine_tune", broken)
    monkeypatch.setattr("minicnn.experiment.experiment.write_report", full)
    assert transfer(folder, model_file, tmp_path / "report", "--strategy", "svm", "--strategy", "finetune-upper") != 0
    captured = capsys.readouterr()
    assert captured.err.rstrip().endswith("the pictures' disk is gone")
    assert "could not be saved: [Errno 28] No space left on device" in captured.out


def test_phases_without_a_feature_bank_are_trained_without_one(folder, model_file, tmp_path, cache, monkeypatch):
    stage = Stage(epochs=1, views=0, learning_rate=2e-3)
    monkeypatch.setitem(PRESETS, "quick", replace(PRESETS["quick"], upper=stage, more=stage))
    settings = Settings(str(folder), str(model_file), ("finetune-more",), mode="quick", out=tmp_path / "report", progress=False)
    settings.epochs = 1
    (strategy,) = Experiment(settings, log=lambda line: None).run()["strategies"]
    assert [len(phase["history"]) for phase in strategy["runs"][0]["phases"]] == [1, 1]


@pytest.mark.parametrize(("name", "value", "least"), [("seeds", 0, 1), ("epochs", -1, 1), ("first_seed", -1, 0)])
def test_an_experiment_of_no_runs_is_refused(name, value, least):
    with pytest.raises(ValueError, match=f"{name} is a whole number of at least {least}, got {value}"):
        Settings(**{name: value})


def test_layers_above_the_classifier_are_not_taken_for_it(folder, tmp_path, cache, monkeypatch):
    """SqueezeNet classifies each place and takes the mean over all: its last layer has nothing to learn."""
    model = small_model()
    del model.layers["pool"], model.layers["classifier"]
    model.append("block3", Sequential(conv=Conv2d(16, 16, 3, 1, "same", rng=0), relu=ReLU()))
    model.append("scores", Conv2d(16, 5, 1, rng=0))
    model.append("mean", GlobalAvgPool2d())
    model.save(tmp_path / "convolutional.h5")
    settings = Settings(str(folder), str(tmp_path / "convolutional.h5"), ("svm", "finetune-upper"), mode="quick", epochs=1)
    monkeypatch.setattr(HeldOut, "is_worse_than", lambda self, other, labels: False)
    settings.out, settings.progress = tmp_path / "report", False
    results = Experiment(settings, log=lambda line: None).run()
    svm, upper = results["strategies"]
    assert svm["trained"] == "scores" and svm["trained_parameters"] == 2 * (16 + 1)
    assert upper["trained"].endswith(" to scores")
    rates = dict(zip(results["ladder"]["layers"], results["ladder"]["strategies"]["finetune-upper"], strict=True))
    assert rates["scores"] == rates["block3"] == 1 and rates["block0"] == 0


def test_a_full_disk_loses_the_model_but_not_the_results(folder, model_file, tmp_path, cache, monkeypatch, capsys):
    def full(model, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("minicnn.experiment.experiment.save_model", full)
    assert transfer(folder, model_file, tmp_path / "report", "--strategy", "svm") != 0
    assert "No space left" in capsys.readouterr().err
    assert json.loads((tmp_path / "report" / "results.json").read_text())["strategies"]
