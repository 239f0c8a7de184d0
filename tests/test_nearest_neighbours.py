"""k nearest neighbours on codes: against brute force, ties, small and uneven classes, and what is refused."""

import numpy as np
import pytest

from minicnn.errors import DataError
from minicnn.linear_model import cross_validate, knn_accuracy


def clouds(seed, N=60, D=6, K=3, apart=1.5):
    """Codes (N, D) of K classes whose means are that far from 0, each along an axis of its own."""
    rng, y = np.random.default_rng(seed), np.arange(N) % K
    x = rng.standard_normal((N, D))
    x[np.arange(N), y] += apart
    return x, y


@pytest.mark.parametrize("k", [1, 3, 5, 8])
def test_the_majority_of_the_nearest_decides_as_brute_force_finds_it(k):
    x, y = clouds(k)
    z = (x - x.mean(0)) / x.std(0)
    cosine = z @ z.T / np.outer(*[np.linalg.norm(z, axis=1)] * 2)
    expected = []
    for i in range(len(y)):
        others = sorted((j for j in range(len(y)) if j != i), key=lambda j: -cosine[i, j])[:k]
        votes = [(sum(y[j] == c for j in others), sum(cosine[i, j] for j in others if y[j] == c)) for c in range(3)]
        expected.append(max(range(3), key=lambda c: votes[c]) == y[i])  # of equal votes, the nearer class
    np.testing.assert_array_equal(knn_accuracy(x, y, k).right, expected)


def test_neighbours_do_not_depend_on_the_features_units():
    x, y = clouds(0)
    np.testing.assert_array_equal(knn_accuracy(x * [1, 100, 0.01, 3, 5, 7] + 9, y).right, knn_accuracy(x, y).right)


def test_the_few_others_of_a_small_class_can_still_be_the_majority():
    angles = np.concatenate([np.linspace(0, 0.1, 3), np.linspace(2, 4, 9)])
    x, y = np.c_[np.cos(angles), np.sin(angles)], np.repeat([0, 1], [3, 9])
    assert knn_accuracy(x, y, k=100).accuracy == 1, "three neighbours, though more were asked for"
    with_two = np.delete(np.arange(12), 0)
    np.testing.assert_array_equal(knn_accuracy(x[with_two], y[with_two]).right, knn_accuracy(x[with_two], y[with_two], 1).right)


def test_balanced_gives_small_classes_their_say_in_vote_and_accuracy():
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], [150, 15])
    x = rng.standard_normal((165, 4)) + y[:, None]
    plain, balanced = knn_accuracy(x, y), knn_accuracy(x, y, balanced=True)
    assert balanced.right[y == 1].mean() > plain.right[y == 1].mean() + 0.2
    assert balanced.accuracy == pytest.approx((balanced.right[y == 0].mean() + balanced.right[y == 1].mean()) / 2)


def test_weights_of_one_change_nothing():
    x, y = clouds(2)
    plain, balanced = knn_accuracy(x, y), knn_accuracy(x, y, balanced=True)
    np.testing.assert_array_equal(plain.right, balanced.right)
    assert plain.standard_error == pytest.approx(balanced.standard_error)


def test_it_is_compared_with_a_linear_classifier_picture_by_picture():
    x, y = clouds(3, N=200)
    linear, nearest = cross_validate(x, y), knn_accuracy(x, y)
    difference, error = linear.better_than(nearest)
    assert difference == pytest.approx(linear.accuracy - nearest.accuracy)
    assert 0 < error < linear.standard_error + nearest.standard_error
    assert nearest.ridge is None


def test_labels_that_mean_nothing_are_guessed_at_chance_level():
    rng = np.random.default_rng(4)
    accuracies = [knn_accuracy(rng.standard_normal((100, 20)), rng.permutation(np.arange(100) % 2)).accuracy for _ in range(20)]
    assert abs(np.mean(accuracies) - 0.5) < 0.04


def test_codes_that_never_vary_are_as_good_as_guessing():
    assert knn_accuracy(np.ones((40, 4)), np.arange(40) % 2).accuracy <= 0.5


def test_any_labels_are_taken():
    x, y = clouds(5)
    np.testing.assert_array_equal(knn_accuracy(x, np.array(["ant", "bee", "cat"])[y]).right, knn_accuracy(x, y).right)


def test_what_cannot_be_judged_is_refused():
    x, y = clouds(6)
    with pytest.raises(ValueError, match="1 or more, got 0"):
        knn_accuracy(x, y, 0)
    with pytest.raises(ValueError, match=r"codes \(N, D\) and labels \(N,\), got \(60, 6\) and \(59,\)"):
        knn_accuracy(x, y[1:])
    with pytest.raises(DataError, match="the smallest of 1"):
        knn_accuracy(x[:4], y[:4])
    with pytest.raises(DataError, match="got 1 classes"):
        knn_accuracy(x, np.zeros(60, int))
    with pytest.raises(ValueError, match="NaN or an infinity"):
        knn_accuracy(np.where(x > 2, np.inf, x), y)
