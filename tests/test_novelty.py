"""Pictures unlike all training pictures are noticed by their codes, at the rate that was calibrated, and a file keeps that."""

import math
from dataclasses import replace

import h5py
import numpy as np
import pytest
from test_store import rewrite

from minicnn.data.preprocessing import Preprocessing
from minicnn.errors import WeightsError
from minicnn.layers import Conv2d, Dropout, GlobalAvgPool2d, Linear, ReLU
from minicnn.models import Model, lenet5
from minicnn.models.model import load_model
from minicnn.models.novelty import NoveltyDetector
from minicnn.transfer import novelty
from minicnn.transfer.novelty import codes_of, fit_novelty, left_out_classes


def tiny(classes=("dark", "light"), **options):
    rng = np.random.default_rng(0)
    layers = {
        "conv": Conv2d(3, 12, 3, pad=1, rng=rng),
        "relu": ReLU(),
        "pool": GlobalAvgPool2d(),
        "dropout": Dropout(0.2),
        "scores": Linear(12, len(classes), rng=rng),
    }
    preprocessing = Preprocessing(size=(8, 8), mean=127.5, std=60.0, **options)
    return Model(layers, architecture="tiny", input_shape=(3, 8, 8), preprocessing=preprocessing, classes=classes)


def clouds(n=200, classes=3, width=40, seed=0):
    """Codes around the mean of their class, with most of the variance in a few directions, as those of networks have it."""
    rng = np.random.default_rng(seed)
    means, spread = rng.normal(size=(classes, width)), rng.normal(size=(5, width))
    labels = rng.integers(0, classes, n)
    codes = 4 + means[labels] + 0.3 * rng.normal(size=(n, 5)) @ spread + 0.1 * rng.normal(size=(n, width))
    return codes * rng.uniform(0.5, 2, (n, 1)), labels


def detector(**changes):
    """One class at (1, 0), with the variance 1/4 upwards and 1 sideways."""
    arrays = {"means": np.array([[1, 0]]), "directions": np.array([[0, 1]]), "variances": np.array([0.25])}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    numbers = {"rest": 1.0, "threshold": 2.0, "calibrated_on": 3, "rejected": 0.25}
    return NoveltyDetector(layer="pool", **arrays | numbers | changes)


# ---- the distance


def test_the_distance_is_the_one_worked_out_by_hand():
    # (3, 4) has the direction (0.6, 0.8): e = (-0.4, 0.8), and d^2 = 0.8^2 / 0.25 + 0.4^2 / 1
    assert detector().distances(np.array([[3.0, 4.0]])) == pytest.approx([math.sqrt(0.64 / 0.25 + 0.16)])
    assert detector().excess(np.array([[3.0, 4.0]])) == pytest.approx([math.sqrt(2.72) / 2])


def test_the_distance_is_mahalanobis_with_the_whole_covariance():
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(6, 6)))[0][:2]
    variances, rest, means = np.array([0.5, 0.2]), 0.05, rng.normal(size=(3, 6))
    found = replace(detector(), means=means, directions=directions, variances=variances, rest=rest)
    inverse = np.linalg.inv(directions.T @ np.diag(variances - rest) @ directions + rest * np.eye(6))
    codes = rng.normal(size=(5, 6))
    z = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    expected = [min(np.sqrt((row - m) @ inverse @ (row - m)) for m in means) for row in z]
    np.testing.assert_allclose(found.distances(codes), expected)


def test_a_picture_that_is_brighter_or_has_more_contrast_is_no_stranger_for_that():
    codes, labels = clouds()
    found = fit_novelty(lenet5(rng=0), codes[:150], labels[:150], codes[150:])
    np.testing.assert_allclose(found.excess(7 * codes), found.excess(codes))


@pytest.mark.parametrize(
    "changes",
    [
        {"rest": 0.0},
        {"threshold": math.nan},
        {"calibrated_on": 0},
        {"rejected": 1.5},
        {"variances": np.zeros(1)},
        {"means": np.ones((1, 3))},
        {"means": np.array([[1, np.nan]])},
    ],
)
def test_a_detector_that_cannot_be_is_refused(changes):
    with pytest.raises(ValueError):
        detector(**changes)


# ---- the threshold


def test_of_further_pictures_of_the_classes_as_many_are_rejected_as_was_asked_for():
    codes, labels = clouds(4000)
    found = fit_novelty(lenet5(rng=0), codes[:500], labels[:500], codes[500:1500], rejected=0.1)
    assert np.mean(found.excess(codes[1500:]) > 1) == pytest.approx(0.1, abs=0.03)
    assert found.rejected == pytest.approx(0.1, abs=0.001) and found.calibrated_on == 1000


def test_strangers_are_rejected_and_so_is_noise():
    codes, labels = clouds(400)
    found = fit_novelty(lenet5(rng=0), codes[:200], labels[:200], codes[200:])
    elsewhere, _ = clouds(100, seed=1)
    assert np.mean(found.excess(elsewhere) > 1) > 0.95
    assert np.all(found.excess(np.random.default_rng(2).normal(size=(50, 40))) > 1)
    assert np.all(found.excess(np.zeros((1, 40))) > 1)


def test_few_validation_pictures_reject_what_is_farther_than_all_of_them_and_say_how_often_that_happens():
    codes, labels = clouds(60)
    found = fit_novelty(lenet5(rng=0), codes[:50], labels[:50], codes[50:])
    assert found.excess(codes[50:]).max() == 1 and found.rejected == pytest.approx(1 / 11)


def test_training_pictures_calibrate_as_well_where_the_network_has_not_learned_them():
    codes, labels = clouds(3000)
    few = codes[300:310]
    without = fit_novelty(lenet5(rng=0), codes[:300], labels[:300], few, rejected=0.1)
    found = fit_novelty(lenet5(rng=0), codes[:300], labels[:300], few, rejected=0.1, cross_fit=True)
    assert (without.calibrated_on, found.calibrated_on) == (10, 310) and np.array_equal(without.means, found.means)
    # each is calibrated with fewer training pictures than the detector has in the end: rather too few are rejected
    assert 0.02 < np.mean(found.excess(codes[310:]) > 1) < 0.12


def test_a_covariance_from_thousands_of_codes_is_estimated_from_some_of_them():
    codes, labels = clouds(6000)
    found = fit_novelty(lenet5(rng=0), codes[:4000], labels[:4000], codes[4000:5000], rejected=0.1)
    assert np.mean(found.excess(codes[5000:]) > 1) == pytest.approx(0.1, abs=0.03)
    np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(len(found.directions)), atol=1e-4)


def test_the_codes_from_which_the_covariance_is_estimated_are_all_different(monkeypatch):
    codes, labels = clouds(1001)
    monkeypatch.setattr(novelty, "MOST_DEVIATIONS", 1001)
    of_all = fit_novelty(lenet5(rng=0), codes, labels, codes[:50])
    monkeypatch.setattr(novelty, "MOST_DEVIATIONS", 1000)
    without_one = fit_novelty(lenet5(rng=0), codes, labels, codes[:50])
    assert without_one.rest == pytest.approx(of_all.rest, rel=0.003) and without_one.rest != of_all.rest


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_few_training_pictures_and_equal_ones_do_not_break_it(n):
    codes = np.tile(np.arange(1.0, 11), (n, 1))
    found = fit_novelty(lenet5(rng=0), codes, np.zeros(n, int), codes[:1], cross_fit=True)
    assert np.isfinite(found.distances(codes)).all() and found.excess(-codes[:1])[0] > 1


@pytest.mark.parametrize(
    ("train", "labels", "val", "rejected"), [(3, 3, 0, 0.1), (0, 0, 3, 0.1), (3, 2, 3, 0.1), (3, 3, 3, 0), (3, 3, 3, 1)]
)
def test_codes_that_do_not_fit_together_are_refused(train, labels, val, rejected):
    with pytest.raises(ValueError, match=r"expected|between 0 and 1"):
        fit_novelty(lenet5(rng=0), np.ones((train, 4)), np.zeros(labels, int), np.ones((val, 4)), rejected)


@pytest.mark.parametrize(("train", "val"), [((3,), (1, 4)), ((3, 4), (4,)), ((3, 4), (1, 5))])
def test_codes_of_other_shapes_are_refused_with_both_shapes(train, val):
    with pytest.raises(ValueError, match=rf"codes \(N, D\) and \(M, D\), got \({train[0]},.*\({val[0]},"):
        fit_novelty(lenet5(rng=0), np.ones(train), np.zeros(3, int), np.ones(val))


def test_a_class_that_is_left_out_is_a_stranger():
    codes, labels = clouds(600)
    parts = {"train": np.arange(300), "val": np.arange(300, 450), "test": np.arange(450, 600)}
    shares = left_out_classes(lenet5(rng=0), codes, labels, parts)
    assert sorted(shares) == [0, 1, 2] and min(shares.values()) > 0.9
    assert left_out_classes(lenet5(rng=0), codes, np.zeros(600, int), parts) == {}


# ---- a model that has one


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    brightness = np.repeat([60, 190], 30)
    return rng.normal(brightness[:, None, None, None], 12, (60, 8, 8, 3)).clip(0, 255).astype(np.uint8), np.repeat([0, 1], 30)


@pytest.fixture
def model(pictures):
    model, (x, labels) = tiny(), pictures
    codes = codes_of(model, x, np.arange(60))
    model.novelty = fit_novelty(model, codes[::2], labels[::2], codes[1::2])
    return model


STRIPES = np.tile(np.array([[0, 0, 255], [255, 0, 0]], np.uint8), (8, 4, 1))


@pytest.mark.parametrize("number", [1, 60])
def test_a_picture_of_something_else_is_novel_and_the_training_pictures_are_not(model, pictures, number):
    x, _ = pictures
    model.train()
    assert not model.is_novel(x[::2][:number]).any()
    assert model.is_novel(STRIPES).tolist() == [True] and model.is_novel([]).shape == (0,)
    assert model.training


def test_codes_are_the_mean_over_the_views_that_the_network_takes_of_a_picture(pictures):
    x, _ = pictures
    model = tiny(symmetry="flips")
    views = [x, x[:, :, ::-1], x[:, ::-1], x[:, ::-1, ::-1]]
    each = [codes_of(tiny(), np.ascontiguousarray(view), np.arange(3)) for view in views]
    np.testing.assert_allclose(codes_of(model, x, np.arange(3)), np.mean(each, 0), rtol=1e-5)


def test_without_a_detector_the_model_says_that_it_has_nothing_to_reject_with():
    with pytest.raises(ValueError, match=r"nothing to reject pictures with.*minicnn transfer"):
        tiny().is_novel(STRIPES)


def test_other_classes_and_other_layers_take_the_detector_away_and_copies_keep_it(model):
    assert model.copy().novelty is not None and model.fuse().is_novel([STRIPES] * 9).all()
    assert model.cut("pool").novelty is None
    model.replace_head(["a", "b"])
    assert model.novelty is None


# ---- in the file


def test_a_loaded_model_rejects_what_the_saved_one_did(model, pictures, tmp_path):
    model.save(tmp_path / "model.h5")
    loaded = load_model(tmp_path / "model.h5")
    x, _ = pictures
    codes = codes_of(model, x, np.arange(60))
    assert np.array_equal(loaded.novelty.excess(codes), model.novelty.excess(codes))
    assert (loaded.novelty.calibrated_on, loaded.novelty.rejected) == (30, model.novelty.rejected)


def test_what_is_stored_is_no_larger_than_a_few_codes(tmp_path):
    model = lenet5(rng=0)
    model.save(tmp_path / "without.h5")
    rng = np.random.default_rng(0)
    model.novelty = fit_novelty(model, rng.normal(size=(3000, 84)), rng.integers(0, 10, 3000), rng.normal(size=(50, 84)))
    model.save(tmp_path / "with.h5")
    assert (tmp_path / "with.h5").stat().st_size - (tmp_path / "without.h5").stat().st_size < 90 * 84 * 4 + 6000


def test_a_file_of_an_older_version_loads_and_has_no_detector(tmp_path):
    lenet5(rng=0).save(tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5") as file:
        assert "novelty" not in file
    assert load_model(tmp_path / "old.h5").novelty is None


def _rename(group, old, new):
    group[new] = group[old][()]
    del group[old]


@pytest.mark.parametrize(
    "change",
    [
        lambda group: group.attrs.__setitem__("layer", "conv9"),
        lambda group: group.attrs.__setitem__("layer", 3),
        lambda group: group.attrs.__setitem__("layer", "scores"),
        lambda group: group.attrs.__setitem__("threshold", float("nan")),
        lambda group: group.attrs.__setitem__("rest", -1.0),
        lambda group: group.attrs.__setitem__("calibrated_on", "many"),
        lambda group: group.attrs.__delitem__("rejected"),
        lambda group: _rename(group, "means", "modes"),
        lambda group: group.__delitem__("variances"),
        lambda group: group["variances"].__setitem__(0, 0.0),
        lambda group: group.create_group("more"),
    ],
)
def test_a_detector_that_was_tampered_with_is_refused_in_words(model, tmp_path, change):
    path = tmp_path / "model.h5"
    model.save(path)
    rewrite(path, lambda file: change(file["novelty"]))
    with pytest.raises(WeightsError, match=r"model\.h5"):
        load_model(path)


def test_two_training_pictures_calibrate_each_other():
    codes, labels = clouds(3)
    found = fit_novelty(lenet5(rng=0), codes[:2], labels[:2], codes[2:], cross_fit=True)
    assert found.calibrated_on == 3
    assert fit_novelty(lenet5(rng=0), codes[:1], labels[:1], codes[2:], cross_fit=True).calibrated_on == 1


def test_without_test_pictures_no_class_plays_the_stranger():
    codes, labels = clouds(30)
    parts = {"train": np.arange(20), "val": np.arange(20, 30), "test": np.arange(0)}
    assert left_out_classes(lenet5(rng=0), codes, labels, parts) == {}
