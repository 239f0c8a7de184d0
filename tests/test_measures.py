"""Measures of predictions and of codes, worked by hand: metrics, mirrored pictures, and the numbers of a table."""

import warnings

import numpy as np
import pytest

from minicnn.models import lenet5
from minicnn.transfer import mirrored, near_duplicates, novelty, transferability
from minicnn.transfer.crop_matching import crop_correlation
from minicnn.transfer.formatting import quantity
from minicnn.transfer.metrics import are_uneven, balanced_accuracy, classification_metrics, confusion_matrix, mean_and_std
from minicnn.transfer.mirrored import Mirrored, compare_mirrored
from minicnn.transfer.near_duplicates import NearDuplicates, find_near_duplicates, without_mean_picture
from minicnn.transfer.novelty import fit_novelty, left_out_classes
from minicnn.transfer.transferability import ledoit_wolf, logme

# ---- metrics


def scores_of(predicted, num_classes):
    return np.eye(num_classes)[predicted]


def test_the_rows_of_a_confusion_matrix_are_the_true_classes():
    confusion = confusion_matrix(np.array([0, 0, 2, 2, 2]), np.array([1, 1, 2, 0, 2]), 4)
    assert confusion.tolist() == [[0, 2, 0, 0], [0, 0, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]]


def test_the_metrics_of_three_classes_are_means_over_those_that_occur():
    y, predicted = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 2, 1, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # class 3 occurs nowhere: nothing is divided by its count
        found = classification_metrics(y, scores_of(predicted, 4))
    # recalls 1/2 and 1/2; F1 = 2 hits / (true + predicted) = 4/7 and 2/4
    assert found["accuracy"] == 0.5 and found["balanced_accuracy"] == 0.5
    assert found["f1"] == pytest.approx((4 / 7 + 1 / 2) / 2)
    assert classification_metrics(y, scores_of(predicted, 4), positive=1)["f1"] == 0.5
    assert classification_metrics(y, scores_of(predicted, 4), positive=0)["f1"] == pytest.approx(4 / 7)


def test_of_two_classes_the_second_is_looked_for_unless_another_one_is_named():
    y, predicted = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1])
    assert classification_metrics(y, scores_of(predicted, 2))["f1"] == pytest.approx(2 / 3)
    assert classification_metrics(y, scores_of(predicted, 2))["balanced_accuracy"] == pytest.approx((3 / 4 + 1) / 2)
    assert classification_metrics(1 - y, scores_of(1 - predicted, 2), positive=0)["f1"] == pytest.approx(2 / 3)


def test_a_single_class_has_an_accuracy_and_nothing_else():
    found = classification_metrics(np.array([1, 1, 1]), scores_of([1, 0, 1], 2))
    assert found == {"accuracy": 2 / 3, "balanced_accuracy": None, "f1": None, "confusion": [[0, 0], [1, 2]]}


def test_balanced_accuracy_and_its_error_leave_out_classes_without_samples():
    mean, error = balanced_accuracy([[3, 1, 0], [0, 0, 0], [0, 1, 1]])
    assert mean == pytest.approx((3 / 4 + 1 / 2) / 2)
    # the errors take 4/6 for 3 of 4 and 2/4 for 1 of 2
    assert error == pytest.approx(np.sqrt(4 / 6 * 2 / 6 / 4 + 1 / 2 * 1 / 2 / 2) / 2)


def test_a_class_of_one_picture_counts_as_every_other_one():
    assert balanced_accuracy([[3, 1], [0, 1]])[0] == pytest.approx((3 / 4 + 1) / 2)
    assert are_uneven([1, 4]) and not are_uneven([1, 3]) and not are_uneven([7])


def test_classes_are_uneven_where_one_has_more_than_three_times_as_many_pictures():
    assert not are_uneven([30, 10]) and are_uneven([31, 10]) and are_uneven([5, 20, 1])
    assert not are_uneven([50, 0]) and not are_uneven([]) and not are_uneven([50, 0, 40])


def test_runs_without_a_value_are_left_out_of_the_mean():
    assert mean_and_std([1.0, None, 4.0]) == {"mean": 2.5, "std": pytest.approx(np.sqrt(4.5))}
    assert mean_and_std([None]) == {"mean": None, "std": None}
    assert mean_and_std([0.0]) == {"mean": 0.0, "std": None}


# ---- numbers of a table


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0 k"),
        (99_949, "99.9 k"),
        (99_950, "100 k"),
        (999_499, "999 k"),
        (999_500, "1.0 M"),
        (99_900_000, "99.9 M"),
        (140_000_000, "140 M"),
        (999_499_999, "999 M"),
        (999_500_000, "1.0 G"),
        (2_100_000_000, "2.1 G"),
        (250_000_000_000, "250 G"),
    ],
)
def test_a_quantity_has_two_or_three_digits_and_the_unit_that_it_needs(count, text):
    assert quantity(count) == text


# ---- mirrored pictures


def test_mirrored_pictures_are_another_class_where_far_fewer_are_recognised_and_that_is_sure():
    for plain, flipped, error, is_other in (
        (1.0, 0.85, 0.01, True),
        (1.0, 0.95, 0.001, False),  # so few do no harm
        (1.0, 0.5, 0.2, False),  # that may be chance
        (1.0, 0.3, 0.2, True),
        (1.0, 0.25, 0.25, False),  # three standard errors, and no more
        (0.5, 0.9, 0.01, False),
    ):
        assert Mirrored(plain, flipped, error, None).looks_like_another_class == is_other


def test_the_sentence_on_mirrored_pictures_has_both_accuracies_and_the_example():
    said = Mirrored(0.9, 0.25, 0.1, ("left", "right")).sentence()
    assert "90 % of the pictures are recognised as they are and 25 % mirrored" in said
    assert said.endswith("; mirrored 'left' mostly look like 'right'")
    assert Mirrored(0.9, 0.25, 0.1, None).sentence().endswith("25 % mirrored")


def with_edges(left, right):
    """Pictures uint8 (N, 4, 4, 1) with this at the left edge, all that is looked at, and that at the right one."""
    pictures = np.zeros((len(left), 4, 4, 1), np.uint8)
    pictures[:, :, 0, 0], pictures[:, :, -1, 0] = np.transpose([left] * 4), np.transpose([right] * 4)
    return pictures


@pytest.fixture
def _looks_at_the_left_edge(monkeypatch):
    def codes(model, pictures, progress):
        return np.eye(4)[pictures[:, 0, 0, 0]]

    monkeypatch.setattr(mirrored, "extract_features", codes)


@pytest.mark.usefixtures("_looks_at_the_left_edge")
def test_what_mirrored_pictures_are_taken_for_is_counted_class_by_class():
    # 12 of a and 8 of b are each other mirrored, 2 pictures are labelled b and look like a, 20 of c are symmetric
    edges = np.repeat([0, 1, 0, 2], [12, 8, 2, 20])
    other = np.repeat([1, 0, 1, 2], [12, 8, 2, 20])
    labels = np.repeat([0, 1, 1, 2], [12, 8, 2, 20])
    found = compare_mirrored(None, with_edges(edges, other), labels, np.arange(42), ["a", "b", "c"])
    assert found.plain == pytest.approx(40 / 42) and found.mirrored == pytest.approx(22 / 42)
    difference = np.repeat([1, 1, -1, 0], [12, 8, 2, 20])
    assert found.difference_error == pytest.approx(np.std(difference, ddof=1) / np.sqrt(42))
    assert found.taken_for == ("a", "b")


@pytest.mark.usefixtures("_looks_at_the_left_edge")
def test_pictures_that_are_taken_for_another_class_as_they_are_too_are_no_example():
    # half of c looks like d, mirrored or not; few of a and b are each other mirrored
    edges = np.repeat([0, 1, 2, 3, 3], [4, 4, 9, 11, 20])
    other = np.repeat([1, 0, 2, 3, 3], [4, 4, 9, 11, 20])
    labels = np.repeat([0, 1, 2, 2, 3], [4, 4, 9, 11, 20])
    found = compare_mirrored(None, with_edges(edges, other), labels, np.arange(48), list("abcd"))
    assert found.plain == pytest.approx(37 / 48)
    assert found.taken_for == ("a", "b")
    same = compare_mirrored(None, with_edges(edges, edges), labels, np.arange(48), list("abcd"))
    assert same.taken_for is None and same.plain == same.mirrored and same.difference_error == 0


@pytest.mark.usefixtures("_looks_at_the_left_edge")
def test_only_some_of_many_pictures_are_looked_at_and_never_the_others(monkeypatch):
    monkeypatch.setattr(mirrored, "MOST", 30)
    seen = []
    extract = mirrored.extract_features
    monkeypatch.setattr(mirrored, "extract_features", lambda model, x, progress: seen.append(x) or extract(model, x, progress))
    edges = np.repeat([0, 1, 3], [50, 50, 10])
    labels = np.repeat([0, 1, 0], [50, 50, 10])  # the last ten are not to be looked at
    found = compare_mirrored(None, with_edges(edges, 1 - np.minimum(edges, 1)), labels, np.arange(100), ["a", "b"])
    assert [len(x) for x in seen] == [30, 30] and (found.plain, found.mirrored) == (1, 0)
    assert np.array_equal(seen[1], seen[0][:, :, ::-1])
    counts = np.bincount(seen[0][:, 0, 0, 0])
    assert len(counts) == 2 and counts.min() > 5


@pytest.mark.usefixtures("_looks_at_the_left_edge")
@pytest.mark.parametrize(("labels", "compared"), [([0, 0, 2, 2], True), ([0, 0, 2], False), ([0, 0, 0, 0], False)])
def test_a_class_needs_two_pictures_and_there_must_be_another_class(labels, compared):
    pictures = with_edges(labels, labels)
    assert (compare_mirrored(None, pictures, np.array(labels), np.arange(len(labels)), list("abc")) is not None) == compared


@pytest.mark.usefixtures("_looks_at_the_left_edge")
def test_what_counts_for_an_example_is_how_many_more_are_taken_for_another_class():
    edges, labels = np.repeat([0, 0, 1, 1], [9, 3, 4, 20]), np.repeat([0, 0, 0, 1], [9, 3, 4, 20])
    for other, example in (
        (np.repeat([0, 1, 1, 1], [9, 3, 4, 20]), ("a", "b")),  # 7 of a instead of 4
        (np.repeat([0, 1, 0, 1, 1], [11, 1, 0, 4, 20]), ("a", "b")),  # a single one more
        (np.repeat([0, 0, 0, 1], [9, 3, 4, 20]), None),  # mirrored, more of a are recognised
    ):
        assert compare_mirrored(None, with_edges(edges, other), labels, np.arange(36), ["a", "b"]).taken_for == example


# ---- LogME


def test_logme_of_codes_that_fit_exactly_is_the_same_at_every_scale():
    y = np.arange(20) % 2
    codes = np.c_[y, 1 - y, np.zeros(20)]
    assert logme(1e-9 * codes, y) == pytest.approx(logme(codes, y)) == pytest.approx(logme(1e9 * codes, y))


def test_logme_that_may_not_finish_is_the_best_evidence_so_far(monkeypatch):
    rng, y = np.random.default_rng(0), np.arange(40) % 2
    codes = rng.standard_normal((40, 30)) + y[:, None]
    whole = logme(codes, y)
    monkeypatch.setattr(transferability, "MAX_ITERATIONS", 2)
    assert whole - 1 < logme(codes, y) < whole


def test_no_more_than_all_of_a_covariance_is_replaced():
    codes = np.array(
        [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.001]]
    )  # the covariance is nearly the same in both directions
    assert ledoit_wolf(codes, codes.T @ codes / 4) == 1


# ---- novelty


@pytest.mark.parametrize(("n", "width", "directions"), [(20, 30, 9), (100, 6, 5), (3, 8, 1)])
def test_the_covariance_of_a_detector_is_that_of_the_codes_within_the_classes(n, width, directions):
    labels = np.arange(n) % 2
    codes = np.random.default_rng(0).normal(size=(n, width)) * np.linspace(1, 3, width) + 3 * labels[:, None]
    z = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    deviations = z - np.array([z[labels == k].mean(axis=0) for k in range(2)])[labels]
    variances, vectors = np.linalg.eigh(deviations.T @ deviations / n)
    found = fit_novelty(lenet5(rng=0), codes, labels, codes)
    assert found.directions.shape == (directions, width)
    rest = variances[: width - directions].sum() / (width - directions)
    assert found.rest == pytest.approx(max(rest, novelty.LEAST_VARIANCE), rel=1e-6)
    np.testing.assert_allclose(found.variances, variances[::-1][:directions], rtol=1e-5)
    cosines = np.abs(np.sum(found.directions * vectors.T[::-1][:directions], axis=1))
    np.testing.assert_allclose(cosines, 1, rtol=1e-5)


def test_of_many_codes_some_are_enough_for_the_covariance(monkeypatch):
    monkeypatch.setattr(novelty, "MOST_DEVIATIONS", 6)
    codes = np.random.default_rng(0).normal(size=(40, 30))
    assert len(fit_novelty(lenet5(rng=0), codes, np.arange(40) % 2, codes).directions) == 2  # (6 - 2) / 2


def test_the_share_of_a_class_that_is_caught_is_that_of_a_detector_without_it():
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    codes = rng.normal(size=(90, 20)) + 4 * np.eye(20)[labels] + 1
    parts = {"train": np.arange(45), "val": np.arange(45, 60), "test": np.arange(60, 90)}
    shares = left_out_classes(lenet5(rng=0), codes, labels, parts)
    for stranger, share in shares.items():
        train, val = (rows[labels[rows] != stranger] for rows in (parts["train"], parts["val"]))
        others = fit_novelty(lenet5(rng=0), codes[train], labels[train], codes[val], cross_fit=True)
        assert share == np.mean(others.excess(codes[60:][labels[60:] == stranger]) > 1)
    assert 0 < max(shares.values()) < 1
    parts["val"] = np.flatnonzero(labels == 1)
    assert sorted(left_out_classes(lenet5(rng=0), codes, labels, parts)) == [0, 2]


# ---- near duplicates


def noise(count, seed=0):
    return np.random.default_rng(seed).integers(0, 60, (count, 64, 64, 3), dtype=np.uint8)


def test_pictures_are_compared_less_their_mean_picture_at_equal_contrast():
    same = noise(1)[0]
    twice = without_mean_picture(np.stack([same, 3 * same + 40]), np.arange(2))
    assert max(np.abs(picture).max() for picture in twice.values()) < 1e-4
    three = without_mean_picture(noise(3), np.arange(3))
    assert np.abs(sum(three.values())).max() < 1e-4 and np.abs(three[0]).max() > 0.01
    assert abs(three[0].mean()) < 1e-5 and 0.5 < np.linalg.norm(three[0]) < 2  # a vector of length 1, less a third of it


def test_copies_are_found_block_by_block_and_among_three_pictures(monkeypatch):
    assert NearDuplicates().pairs.shape == (0, 2)
    monkeypatch.setattr(near_duplicates, "ROWS", 7)
    for count, pair in ((23, [3, 20]), (3, [0, 2])):
        pictures, codes = noise(count), np.random.default_rng(1).normal(size=(count, 40))
        pictures[pair[1]], codes[pair[1]] = pictures[pair[0]], codes[pair[0]] + 0.01
        assert find_near_duplicates(codes, pictures).pairs.tolist() == [pair]


def test_brightness_hides_no_crop():
    picture = noise(1)[0].mean(axis=2, dtype=np.float32)
    plain = crop_correlation(picture, picture[:48, :48])
    assert crop_correlation(picture + 2000, picture[:48, :48] + 2000) == pytest.approx(plain, abs=0.01) and plain > 0.5
