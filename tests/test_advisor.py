"""The advisor: what it measures, the rules it follows, and the command, with a network and pictures small enough for a test."""

import json
from importlib import import_module

import numpy as np
import pytest
from PIL import Image

from minicnn.advisor.advice import Advice
from minicnn.advisor.advise import advise
from minicnn.advisor.figure import map_height
from minicnn.advisor.measurements import (
    CodeMeasurements,
    Measurements,
    codes_and_probabilities,
    layers_to_try,
    measure_fitted,
    sample,
)
from minicnn.advisor.report import as_dict
from minicnn.advisor.rules import ENOUGH, MANY, RETRAINABLE, choose
from minicnn.cli import main
from minicnn.data.folders import open_pictures
from minicnn.data.preprocessing import Preprocessing
from minicnn.errors import DataError
from minicnn.experiment.presets import PRESETS
from minicnn.experiment.ways import ways_of
from minicnn.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    GlobalAvgPool2d,
    Linear,
    ReLU,
    Sequential,
)
from minicnn.linear_model.cross_validation import CrossValidation, cross_validate
from minicnn.models import Model, efficientnet_lite0, googlenet, lenet5, squeezenet1_1
from minicnn.transfer.features import extract_features
from minicnn.transfer.similarity import SIMILAR_SHIFT, Similarity, norm_shift, usual_confidence
from minicnn.transfer.strategies import STRATEGIES

SIZE = 16


def small_model(rng=0, include_top=True, norm=True, width=16):
    """Three blocks, the last one ``width`` maps wide, under a classifier for five things: "pretrained" on nothing."""
    rng = np.random.default_rng(rng)

    def block(c, f, stride):
        unit = Sequential(conv=Conv2d(c, f, 3, stride, "same", rng=rng))
        if norm:
            unit.append("norm", BatchNorm2d(f))
        unit.append("relu", ReLU())
        return unit

    layers = {"block0": block(3, 8, 2), "block1": block(8, 12, 2), "block2": block(12, width, 1)}
    if include_top:
        layers |= {"pool": GlobalAvgPool2d(), "dropout": Dropout(0.1), "classifier": Linear(width, 5, rng=rng)}
    preprocessing = Preprocessing(size=SIZE, mean=127.0, std=64.0)
    return Model(layers, architecture="small", input_shape=(3, SIZE, SIZE), preprocessing=preprocessing)


def stripes(rng, upright):
    """A noisy picture of stripes, upright or lying."""
    wave = 90 * np.sin(np.arange(SIZE) * rng.uniform(0.8, 1.2) + rng.uniform(0, 6))
    picture = 128 + np.broadcast_to(wave if upright else wave[:, None], (SIZE, SIZE)) + rng.normal(0, 20, (SIZE, SIZE))
    return np.repeat(picture.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(5)
    for name in ("lying", "upright"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(stripes(rng, name == "upright")).save(tmp_path / "pictures" / name / f"{i:02}.png")
    return tmp_path / "pictures"


# ---- similarity


def remembering(pictures):
    """A network whose batch norms have the statistics of these pictures."""
    model = small_model()
    x = model.preprocessing.normalise(pictures)
    for name in ("block0", "block1", "block2"):
        unit = model.layers[name]
        y = unit.layers["conv"].forward(x)
        unit.layers["norm"].running_mean[...] = y.mean((0, 2, 3))
        unit.layers["norm"].running_var[...] = y.var((0, 2, 3))
        x = unit.eval().forward(x)
    return model


def test_shift_is_nothing_on_the_remembered_pictures_and_grows_with_their_contrast():
    rng = np.random.default_rng(0)
    pictures = np.stack([stripes(rng, i % 2) for i in range(40)])
    model = remembering(pictures)
    paler = (128 + (pictures.astype(float) - 128) * 0.5).astype(np.uint8)
    palest = (128 + (pictures.astype(float) - 128) * 0.25).astype(np.uint8)
    same, pale, very_pale = (norm_shift(model, x) for x in (pictures, paler, palest))
    assert same < 1e-3 < SIMILAR_SHIFT < pale < very_pale


def test_shift_of_one_channel_worked_by_hand():
    norm = BatchNorm2d(1)
    norm.gamma.value[...], norm.beta.value[...] = 3, -2
    norm.running_mean[...], norm.running_var[...] = 10, 4 - norm.eps
    preprocessing = Preprocessing(size=2, channels="L")
    model = Model({"norm": norm}, architecture="one", input_shape=(1, 2, 2), preprocessing=preprocessing)
    pictures = np.array([[10, 10, 14, 14], [14, 14, 10, 10]], np.uint8).reshape(2, 2, 2, 1)
    # normalised the pixels are 0 and 2: mean 1 in both pictures, variance 1, KL = (1 + 1 - 1 - log 1) / 2
    assert norm_shift(model, pictures) == pytest.approx(0.5, abs=1e-4)


def test_shift_does_not_depend_on_how_many_pictures_show_it():
    rng = np.random.default_rng(1)
    pictures = np.stack([stripes(rng, i % 2) for i in range(80)])
    model = remembering(pictures)
    assert norm_shift(model, pictures[:10]) < SIMILAR_SHIFT


def test_shift_leaves_mode_and_statistics_as_they_were():
    model = small_model().train()
    before = {name: array.copy() for name, array in model.state().items()}
    norm_shift(model, np.zeros((3, SIZE, SIZE, 3), np.uint8))
    assert model.training
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_without_batch_norm_confidence_decides_if_there_are_many_old_classes():
    assert norm_shift(small_model(norm=False), np.zeros((3, SIZE, SIZE, 3), np.uint8)) is None
    assert Similarity(None, confidence=0.6, usual=0.7, classes=1000).similar is True
    assert Similarity(None, confidence=0.2, usual=0.7, classes=1000).similar is False
    assert Similarity(None, confidence=0.6, usual=0.7, classes=10).similar is None
    assert Similarity(None, confidence=0.6, usual=None, classes=1000).similar is None
    assert Similarity(None).similar is None


def test_usual_confidence_is_the_recorded_accuracy_where_it_was_not_measured():
    model = small_model()
    assert usual_confidence(model) is None
    model.provenance = {"published_top1": 75.0}
    assert usual_confidence(model) == 0.75


# ---- codes of all layers


def test_layers_are_taken_after_their_activation_or_pool_and_the_last_is_below_the_classifier():
    assert layers_to_try(small_model()) == ["block0", "block1", "pool"]
    assert layers_to_try(lenet5()) == ["s2", "s4", "flatten", "relu6"]
    assert layers_to_try(squeezenet1_1())[-1] == "fire9"
    assert len(layers_to_try(googlenet())) == 6
    assert layers_to_try(small_model(include_top=False)) == ["block0", "block1", "block2"]


def test_one_pass_gives_the_codes_that_each_layer_gives_alone_and_the_old_probabilities():
    model = small_model(3)
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)
    codes, probabilities = codes_and_probabilities(model, pictures, ["block0", "pool"], progress=False)
    assert list(codes) == [("block0", 1), ("block0", 4), ("pool", 1)]
    alone = extract_features(model, pictures, ["block0", "pool"], progress=False)
    np.testing.assert_allclose(codes["block0", 1], alone["block0"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(codes["pool", 1], alone["pool"], rtol=1e-4, atol=1e-5)
    maps = model.eval().features(model.preprocessing.normalise(pictures), "block0")
    parts = maps.reshape(7, 8, 4, 2, 4, 2).mean((3, 5)).reshape(7, -1)
    np.testing.assert_allclose(codes["block0", 4], parts, rtol=1e-4, atol=1e-5)
    scores = model.forward(model.preprocessing.normalise(pictures))
    expected = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4)


def test_a_sample_has_five_pictures_of_every_class_or_all_of_them():
    y = np.repeat([0, 1, 2], [500, 40, 3])
    assert np.bincount(y[sample(y, 60)]).tolist() == [55, 5, 3]
    assert sorted(sample(y, 1000)) == list(range(543))


# ---- the rules


def probe(accuracy, N=400):
    """Pictures named right from the first on, so that two probes differ in as few of them as they can."""
    return CrossValidation((np.arange(N) < accuracy * N).astype(float), ridge=0.1)


def measurements(last=0.8, earlier=0.7, lowest=0.55, pixels=0.5, per_class=50, shift=0.01, parameters=10_000_000):
    by_layer = {"low": lowest, "middle": earlier, "high": last}
    layers = [
        CodeMeasurements(layer, 1, 16, probe(accuracy), probe(accuracy), 0.0, 0.0) for layer, accuracy in by_layer.items()
    ]
    pictures = 4 * per_class
    counts = (per_class,) * 4
    return Measurements(pictures, pictures, counts, Similarity(shift), tuple(layers), probe(pixels), None, parameters)


@pytest.mark.parametrize(
    ("case", "strategy"),
    [
        ({"last": 0.95}, "svm"),
        ({"last": 0.8}, "svm"),  # 20 % mistakes, where the lowest layer leaves 45 %
        ({"last": 0.8, "parameters": 999_999}, "finetune-upper"),  # a small network
        ({"last": 0.8, "parameters": 1_000_000}, "svm"),
        ({"last": 0.75}, "svm"),  # similar, and too few to retrain a large network
        ({"last": 0.75, "per_class": 167}, "finetune-upper"),  # too many pictures for folds
        ({"last": 0.75, "parameters": 999_999}, "finetune-upper"),
        ({"last": 0.8, "shift": 0.3}, "svm"),
        ({"last": 0.8, "shift": 0.3, "earlier": 0.9}, "svm-earlier"),  # half of the mistakes
        ({"last": 0.8, "shift": 0.3, "earlier": 0.89}, "norms"),
        ({"last": 0.8, "shift": 0.3, "earlier": 0.89, "per_class": 167}, "finetune-upper"),
        ({"last": 0.8, "shift": None, "earlier": 0.89}, "finetune-upper"),
        ({"last": 0.8, "earlier": 0.9}, "svm"),
        ({"last": 0.75, "shift": 0.3}, "norms"),
        ({"last": 0.75, "shift": 0.3, "per_class": 166}, "norms"),
        ({"last": 0.75, "shift": 0.3, "per_class": 167}, "finetune-upper"),
        ({"last": 0.75, "shift": 0.3, "parameters": 999_999}, "finetune-upper"),  # a small network
        ({"per_class": MANY}, "finetune-all"),
        ({"parameters": ENOUGH * 200}, "finetune-upper"),  # it knows them, and 50 of a class are less than that many
        ({"per_class": MANY, "shift": 0.3}, "finetune-all"),
        ({"per_class": MANY, "last": 0.99}, "svm"),
        ({"pixels": 0.7}, "svm"),
        ({"pixels": 0.8, "parameters": RETRAINABLE * 200}, "finetune-all"),
        ({"pixels": 0.9, "parameters": RETRAINABLE * 200}, "svm-earlier"),
        ({"pixels": 0.9, "parameters": ENOUGH * 200}, "scratch"),
        ({"pixels": 0.8, "parameters": RETRAINABLE * 200, "shift": 0.3}, "svm-earlier"),
        ({"pixels": 0.8, "parameters": ENOUGH * 200, "shift": 0.3}, "scratch"),
        ({"lowest": 0.8, "parameters": ENOUGH * 200, "shift": 0.3}, "scratch"),
        ({"last": 0.75, "parameters": ENOUGH * 200}, "finetune-all"),
        ({"lowest": 0.8, "shift": 0.3}, "norms"),
        ({"shift": 0.3, "earlier": 0.9, "parameters": RETRAINABLE * 200}, "finetune-all"),
        ({"last": 0.75, "parameters": RETRAINABLE * 200}, "finetune-all"),
        ({"last": 0.75, "parameters": RETRAINABLE * 200 + 1}, "finetune-upper"),
    ],
)
def test_rules(case, strategy):
    assert choose(measurements(**case)).strategy == strategy


def test_the_reason_for_fine_tuning_says_what_was_found_of_earlier_codes():
    without, beside = (choose(measurements(last=0.75, earlier=a, per_class=167)) for a in (0.7, 0.85))
    assert without.strategy == beside.strategy == "finetune-upper"
    assert "no earlier codes avoid them" in without.reasons[-1]
    assert "earlier codes avoid some, though the pictures are similar" in beside.reasons[-1]
    different = choose(measurements(last=0.75, earlier=0.85, per_class=167, shift=0.3))
    assert different.strategy == "finetune-upper"
    assert "earlier codes avoid some, though less than half" in different.reasons[-1]


def test_the_smallest_class_counts_where_classes_are_uneven():
    even = measurements(per_class=MANY)
    uneven = Measurements(**{**vars(even), "counts": (MANY * 4 - 34, 4, 15, 15)})
    assert even.per_class == MANY and choose(even).many
    assert uneven.per_class == 4 and not choose(uneven).many
    assert "4 pictures to learn from of the smallest class" in choose(uneven).reasons[0]
    assert any("--balance" in reason for reason in choose(uneven).reasons)
    assert not choose(Measurements(**{**vars(uneven), "parameters": ENOUGH})).many, "four pictures are few for any network"


def test_a_classifier_that_finds_none_of_a_small_class_is_no_good_one():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [120, 10])
    x = rng.normal(size=(130, 5))
    plain, balanced = cross_validate(x, y), cross_validate(x, y, balanced=True)
    assert plain.accuracy > 0.9
    assert 0.3 < balanced.accuracy < 0.7
    x[y == 1] += 3
    assert cross_validate(x, y, balanced=True).accuracy > 0.95


def test_weights_of_one_change_nothing_in_cross_validation():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 20)
    x = rng.normal(size=(60, 5)) + y[:, None]
    plain, balanced = cross_validate(x, y), cross_validate(x, y, balanced=True)
    np.testing.assert_array_equal(plain.right, balanced.right)
    assert plain.standard_error == pytest.approx(balanced.standard_error)


def test_what_the_network_cannot_say_about_similarity_its_layers_say():
    assert choose(measurements(shift=None)).similar
    assert not choose(measurements(shift=None, earlier=0.9)).similar


def test_a_network_of_one_layer_has_no_earlier_codes():
    only = measurements()
    only = Measurements(only.pictures, only.measured, only.counts, only.similarity, only.codes[-1:], only.pixels, None, 10**7)
    assert only.earlier is None
    assert choose(only).strategy == "svm"


def test_the_place_on_the_map_is_on_the_side_that_counts():
    heights = [map_height(Similarity(shift), shift <= SIMILAR_SHIFT) for shift in (1e-9, 0.01, 0.03, 0.04, 0.2, 5.0)]
    assert heights == sorted(heights, reverse=True)
    assert heights[2] > 0.5 > heights[3]


# ---- the advice


def test_advice_names_strategy_layers_rates_and_the_command(folder):
    advice = advise(small_model(width=1000), open_pictures(folder), progress=False, words=("--data", "my pictures"))
    assert advice.measurements.pictures == 30, "a quarter is the test part"
    assert advice.command.startswith("minicnn transfer --data 'my pictures' --strategy ")
    text = advice.text()
    assert max(len(line) for line in text.splitlines() if advice.command not in line) <= 110
    for said in (advice.command, "block0", "pool", "LogME", "LEEP, of the old classifier's answers"):
        assert said in text


def test_advice_to_train_batch_norms_says_what_is_frozen_and_how_fast_they_learn(folder, monkeypatch):
    choice = choose(measurements(last=0.75, shift=0.3))
    monkeypatch.setattr(import_module("minicnn.advisor.advise"), "choose", lambda found: choice)
    advice = advise(small_model(), open_pictures(folder), progress=False, words=("--data", "pictures"))
    assert (advice.strategy, advice.layer, advice.freeze_until) == ("norms", None, None)
    assert advice.command == "minicnn transfer --data pictures --strategy norms"
    assert 'freeze           all but the batch norms and the head: Phase(..., trained="norms")' in advice.text()
    ways = ways_of(["norms"], PRESETS["default"], efficientnet_lite0(2, rng=0), 4_652_008, None, True)
    (phase,) = ways["norms"].trials["norms"]
    assert advice.head_rate == advice.body_rate == phase.learning_rate == phase.learning_rate * phase.body_multiplier


def test_advice_is_the_same_each_time(folder):
    first, second = (advise(small_model(), open_pictures(folder), progress=False).text() for _ in range(2))
    assert first == second


def test_test_pictures_have_no_say(folder, tmp_path):
    for part, names in {"train": range(12), "test": range(12, 20)}.items():
        for name in ("lying", "upright"):
            (tmp_path / "split" / part / name).mkdir(parents=True)
            for i in names:
                (folder / name / f"{i:02}.png").rename(tmp_path / "split" / part / name / f"{i:02}.png")
    before = advise(small_model(), open_pictures(tmp_path / "split"), progress=False)
    for name in ("lying", "upright"):
        for path in (tmp_path / "split" / "test" / name).iterdir():
            path.write_bytes(b"no picture")
    after = advise(small_model(), open_pictures(tmp_path / "split"), progress=False)
    assert before.measurements.pictures == 24
    assert after.text() == before.text()


def test_without_a_classifier_leep_is_left_out_and_said_so(folder):
    advice = advise(small_model(include_top=False), open_pictures(folder), progress=False)
    assert advice.measurements.leep is None
    assert "LEEP is left out" in advice.text()


def test_a_model_without_preprocessing_is_refused(folder):
    model = small_model()
    model.preprocessing = None
    with pytest.raises(DataError, match="does not say how pictures become its input"):
        advise(model, open_pictures(folder), progress=False)


def test_a_class_that_leaves_one_picture_to_learn_from_is_refused(folder):
    rare = open_pictures(folder)
    rare = rare.subset([*range(20), 20, 21])
    with pytest.raises(DataError, match="'upright' has 1"):
        advise(small_model(), rare, progress=False)


def test_a_network_that_tells_less_than_the_pixels_is_to_be_trained_from_scratch(tmp_path):
    for name, grey in (("dark", 60), ("bright", 180)):
        (tmp_path / "greys" / name).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(np.full((SIZE, SIZE, 3), grey + i, np.uint8)).save(tmp_path / "greys" / name / f"{i}.png")
    model = small_model()
    for parameter in model.parameters().values():
        parameter.value[...] = 0  # it says the same of every picture
    advice = advise(model, open_pictures(tmp_path / "greys"), progress=False)
    assert advice.strategy == "scratch"
    assert (advice.freeze_until, advice.layer) == (None, None)
    assert advice.head_rate == advice.body_rate
    assert "minicnn.training.Trainer" in advice.text()


# ---- the command


@pytest.fixture
def model_file(tmp_path):
    small_model(width=1000).save(tmp_path / "small.h5")
    return tmp_path / "small.h5"


def test_command_prints_the_advice_and_writes_figure_and_numbers(folder, model_file, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["advise", "--data", str(folder), "--model", str(model_file), "--quick", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert ["lying", "13", "2", "5"] in [line.split() for line in printed[: printed.index("Why")].splitlines()]
    assert f"minicnn transfer --data {folder} --model {model_file}" in printed
    assert (out / "advice.png").read_bytes().startswith(b"\x89PNG")
    numbers = json.loads((out / "advice.json").read_text())
    assert numbers["strategy"] in STRATEGIES
    assert [entry["layer"] for entry in numbers["evidence"]["codes"]][-1] == "pool"
    assert numbers["evidence"]["classes"] == {"lying": 15, "upright": 15}
    assert sorted(path.name for path in out.iterdir()) == ["advice.json", "advice.png"]


def test_command_refuses_a_folder_of_one_class(folder, model_file, tmp_path, capsys):
    for path in (folder / "upright").iterdir():
        path.unlink()
    (folder / "upright").rmdir()
    assert main(["advise", "--data", str(folder), "--model", str(model_file), "--out", str(tmp_path / "out")]) == 1
    assert "only one class" in capsys.readouterr().err


# ---- simple rules beside the advice, and whether anything was learned


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ({"last": 0.95}, "always the linear classifier: agrees; always fine-tune the upper layers: differs; the lecture for "
         "few and similar pictures: agrees (linear SVM on CNN codes)"),
        ({"last": 0.75, "per_class": 167}, "always the linear classifier: differs; always fine-tune the upper layers: agrees; "
         "the lecture for few and similar pictures: differs (linear SVM on CNN codes)"),
        ({"last": 0.75, "shift": 0.3}, "always the linear classifier: differs; always fine-tune the upper layers: differs; the "
         "lecture for few and different pictures: differs (linear SVM on the codes of an earlier layer)"),
    ],
)  # fmt: skip
def test_simple_rules_stand_beside_the_advice(case, said):
    found = measurements(**case)
    choice = choose(found)
    advice = Advice("net", "insects", tuple("abcd"), choice, None, 1, None, None, None, found, "minicnn transfer")
    assert f"simple rules {said}" in " ".join(advice.text().split())
    assert as_dict(advice)["baselines"] == choice.baselines


def test_with_few_pictures_the_advice_says_whether_anything_was_learned(folder):
    found = measurements()
    assert not any("chance" in reason for reason in choose(found).reasons)
    for p, said in ((0.005, "with a probability of 0.005 only. Something was learned."), (0.3, "of 0.3. Whether anything")):
        choice = choose(Measurements(**{**vars(found), "p_value": p}))
        assert any(said in reason for reason in choice.reasons)
        assert choice.reasons[-1] == choose(found).reasons[-1], "what decided comes last"
    advice = advise(small_model(), open_pictures(folder), progress=False)
    assert 0 < advice.measurements.p_value <= 1
    assert as_dict(advice)["evidence"]["p_value"] == advice.measurements.p_value


def test_whether_anything_was_learned_is_tested_below_a_hundred_pictures():
    rng = np.random.default_rng(0)
    pictures = np.stack([stripes(rng, i % 2) for i in range(100)])
    for N, is_tested in ((99, True), (100, False)):
        found = measure_fitted(small_model(), pictures[:N], np.arange(N) % 2, progress=False)
        assert (found.p_value is not None) == is_tested


def test_where_classes_are_uneven_each_has_the_same_say_in_every_measure(monkeypatch):
    rng, y = np.random.default_rng(0), np.repeat([0, 1], [32, 8])
    pictures = np.stack([stripes(rng, k) for k in y])
    asked = []
    monkeypatch.setattr("minicnn.advisor.measurements.permutation_test", lambda x, y, **kwargs: asked.append(kwargs) or 0.5)
    found = measure_fitted(small_model(), pictures, y, progress=False)
    assert asked == [{"balanced": True}] and found.p_value == 0.5
    for validation in (found.pixels, found.last.probe, found.last.knn):
        np.testing.assert_allclose(validation.weights, np.where(y, 2.5, 0.625))


def test_the_nearest_neighbours_of_each_layers_codes_are_measured(folder):
    advice = advise(small_model(), open_pictures(folder), progress=False)
    for entry, numbers in zip(advice.measurements.codes, as_dict(advice)["evidence"]["codes"], strict=True):
        assert numbers["knn"] == {"accuracy": entry.knn.accuracy, "standard_error": entry.knn.standard_error}
        assert len(entry.knn.right) == len(entry.probe.right) == 30
