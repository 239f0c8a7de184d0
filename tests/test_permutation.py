"""The permutation test: p-values that are uniform where there is nothing to learn, small where there is, and never 0."""

import numpy as np
import pytest

from minicnn.errors import DataError
from minicnn.linear_model import cross_validate, permutation_test


def noise(rng, N=40, D=12, counts=None):
    y = np.repeat(np.arange(len(counts)), counts) if counts else np.arange(N) % 2
    return rng.standard_normal((len(y), D)), rng.permutation(y)


@pytest.mark.parametrize(("counts", "balanced"), [((20, 20), False), ((14, 13, 13), False), ((28, 6), False), ((22, 8), True)])
def test_p_values_of_labels_that_mean_nothing_are_uniform(counts, balanced):
    rng, runs, permutations = np.random.default_rng(0), 60 if balanced else 200, 19
    p = [permutation_test(*noise(rng, counts=counts), permutations, rng, repeats=2, balanced=balanced) for _ in range(runs)]
    for alpha in (0.05, 0.1, 0.25, 0.5):  # at most alpha of them are as small; less where accuracies tie
        error = np.sqrt(alpha * (1 - alpha) / runs)
        assert np.mean(np.array(p) <= alpha + 1e-9) < alpha + 3 * error, alpha
    if balanced or counts[0] < 28:  # of classes so uneven, naming the larger one always is the best of most relabellings
        assert np.mean(p) < 0.65, "and they are not far larger than they have to be"


def test_p_is_small_where_there_is_something_to_learn_and_never_0():
    rng = np.random.default_rng(1)
    x, y = noise(rng, N=30)
    assert permutation_test(x + 3 * y[:, None], y) == 1 / 200
    assert permutation_test(x + 3 * y[:, None], y, permutations=1) in (0.5, 1.0)
    hidden = x.copy()
    hidden[:, 0] += 1.5 * y
    assert permutation_test(hidden, y) < 0.1


@pytest.mark.parametrize("balanced", [False, True])
def test_it_is_what_cross_validation_of_moved_pictures_gives(balanced):
    rng = np.random.default_rng(2)
    x, y = noise(rng, counts=(9, 6, 7))
    x[:, 0] += y
    draws = np.random.default_rng(5)
    found = cross_validate(x, y, rng=draws, balanced=balanced).accuracy  # which draws the folds, and the permutations follow
    orders = [draws.permutation(22) for _ in range(29)]
    # the same seed gives the same folds for labels in the same order: moving the pictures moves labels and folds together
    permuted = [cross_validate(x[order], y, rng=5, balanced=balanced).accuracy for order in orders]
    expected = (1 + sum(accuracy >= found - 1e-12 for accuracy in permuted)) / 30
    assert permutation_test(x, y, 29, rng=5, balanced=balanced) == expected


def test_pictures_in_several_blocks_give_the_same(monkeypatch):
    x, y = noise(np.random.default_rng(3))
    whole = permutation_test(x, y)
    monkeypatch.setattr("minicnn.linear_model.permutation.ELEMENTS", 5 * 40 * 40)
    assert permutation_test(x, y) == whole


def test_equal_seeds_give_equal_p_values():
    x, y = noise(np.random.default_rng(4))
    assert permutation_test(x, y, rng=3) == permutation_test(x, y, rng=np.random.default_rng(3))


def test_codes_that_never_vary_teach_nothing():
    assert permutation_test(np.ones((20, 3)), np.arange(20) % 2) == 1


def test_what_cannot_be_tested_is_refused():
    x, y = noise(np.random.default_rng(6))
    with pytest.raises(ValueError, match="one permutation or more, got 0"):
        permutation_test(x, y, 0)
    with pytest.raises(ValueError, match=r"codes \(N, D\) and labels \(N,\)"):
        permutation_test(x, y[1:])
    with pytest.raises(DataError, match="the smallest of 1"):
        permutation_test(x[:3], np.array([0, 0, 1]))
