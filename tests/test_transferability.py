"""LEEP, LogME, H-score and the cross-validation of a linear classifier: worked by hand, by brute force, and at the edges."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from minicnn.data.splits import stratified_folds
from minicnn.errors import DataError
from minicnn.linear_model.cross_validation import cross_validate
from minicnn.transfer.transferability import h_score, ledoit_wolf, leep, logme


def clouds(rng, N=60, D=5, K=3, apart=2.0):
    """Codes (N, D) of K classes whose means are that far from 0, each along an axis of its own; every class occurs."""
    y = np.arange(N) % K
    x = rng.standard_normal((N, D))
    x[np.arange(N), y] += apart
    return x, y


# ---- LEEP


def test_leep_worked_by_hand():
    p = np.array([[0.5, 0.5], [1.0, 0.0]])
    # P(k, z) = [[1/4, 1/4], [1/2, 0]], so P(k | z) = [[1/3, 1], [2/3, 0]]: expected 2/3 for the first, 2/3 for the second
    assert leep(p, np.array([0, 1])) == pytest.approx(np.log(2 / 3))


def test_leep_is_0_where_each_old_class_goes_with_one_new_class():
    old = np.array([0, 1, 2, 3, 0, 1])
    assert leep(np.eye(4)[old], np.array([0, 1, 0, 1, 0, 1])) == pytest.approx(0)


def test_leep_of_answers_that_are_always_the_same_is_the_entropy_of_the_labels():
    y = np.array([0, 0, 0, 1])
    assert leep(np.full((4, 7), 1 / 7), y) == pytest.approx(0.75 * np.log(0.75) + 0.25 * np.log(0.25))


def test_leep_does_not_depend_on_the_order_of_old_or_new_classes():
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(6), 40), rng.integers(0, 3, 40)
    assert leep(p[:, rng.permutation(6)], np.array([2, 0, 1])[y]) == pytest.approx(leep(p, y))


def test_leep_refuses_scores():
    with pytest.raises(ValueError, match="softmax"):
        leep(np.array([[2.0, -1.0], [0.5, 0.5]]), np.array([0, 1]))


# ---- LogME


@pytest.mark.parametrize(("N", "D", "K"), [(30, 5, 3), (16, 40, 2), (12, 12, 2)])
def test_logme_is_the_maximum_of_the_evidence_as_brute_force_finds_it(N, D, K):
    x, y = clouds(np.random.default_rng(N), N, D, K)
    by_class = []
    for k in range(K):
        t = (y == k).astype(float)

        def negative(log_precisions, t=t):
            alpha, beta = np.exp(log_precisions)
            covariance = x @ x.T / alpha + np.eye(N) / beta  # of t, with the weights integrated out
            return -multivariate_normal(np.zeros(N), covariance).logpdf(t)

        starts = [(0, 1), (3, 3)]
        options = {"xatol": 1e-6, "fatol": 1e-9, "maxiter": 2000}
        bounds = [(-15, 15), (-15, 15)]
        best = min(minimize(negative, s, method="Nelder-Mead", bounds=bounds, options=options).fun for s in starts)
        by_class.append(-best / N)
    assert logme(x, y) == pytest.approx(np.mean(by_class), abs=1e-5)


def test_logme_does_not_change_when_codes_are_rotated_or_scaled():
    rng = np.random.default_rng(1)
    x, y = clouds(rng)
    rotation, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    assert logme(30 * x @ rotation, y) == pytest.approx(logme(x, y), abs=1e-6)


def test_logme_prefers_codes_that_tell_the_classes_apart():
    rng = np.random.default_rng(2)
    x, y = clouds(rng)
    assert logme(x, y) > logme(rng.standard_normal(x.shape), y) + 0.1


def test_logme_is_finite_for_codes_that_fit_the_labels_exactly_and_for_codes_that_never_vary():
    y = np.arange(20) % 2
    exact, constant, zero = logme(np.c_[y, 1 - y], y), logme(np.ones((20, 3)), y), logme(np.zeros((20, 3)), y)
    assert np.isfinite([exact, constant, zero]).all()
    assert exact > constant > zero


def test_logme_of_many_more_features_than_pictures_still_tells_labels_from_noise():
    rng = np.random.default_rng(3)
    x, y = clouds(rng, N=40, D=400, K=2, apart=8)
    assert logme(x, y) > logme(x, rng.permutation(y)) + 0.1


# ---- H-score


def test_h_score_worked_by_hand():
    # class means -1 and 1; the total variance is 1 between them and 1/4 within: H = 1 / (5/4)
    x = np.array([[-1.5], [-0.5], [0.5], [1.5]])
    assert h_score(x, np.array([0, 0, 1, 1]), shrinkage=0) == pytest.approx(0.8)


def test_h_score_is_at_most_the_number_of_classes_but_one():
    y = np.arange(60) % 3
    assert h_score(np.eye(3)[y][:, :2], y, shrinkage=0) == pytest.approx(2)


def test_plain_h_score_does_not_change_under_invertible_maps():
    rng = np.random.default_rng(4)
    x, y = clouds(rng)
    mixed = x @ rng.standard_normal((5, 5)) + 7
    assert h_score(mixed, y, shrinkage=0) == pytest.approx(h_score(x, y, shrinkage=0))


def test_plain_h_score_refuses_more_features_than_pictures():
    x, y = clouds(np.random.default_rng(5), N=20, D=30)
    with pytest.raises(ValueError, match="no inverse"):
        h_score(x, y, shrinkage=0)


def test_shrunken_h_score_tells_labels_from_noise_where_the_pseudo_inverse_cannot():
    rng = np.random.default_rng(6)
    x, y = clouds(rng, N=40, D=400, K=2, apart=12)
    noise = rng.permutation(y)
    assert h_score(x, y) > h_score(x, noise) + 0.05
    centred = x - x.mean(0)

    def plain(y):  # with the pseudo-inverse
        means = np.array([centred[y == k].mean(0) for k in y])
        return np.trace(np.linalg.pinv(np.cov(centred.T, bias=True)) @ np.cov(means.T, bias=True))

    assert plain(y) == pytest.approx(plain(noise), abs=1e-6)
    assert plain(y) == pytest.approx(1)


def test_h_score_of_codes_that_never_vary_is_0():
    assert h_score(np.ones((6, 3)), np.array([0, 1] * 3)) == 0


def test_a_single_feature_has_no_covariance_that_could_be_shrunken():
    x, y = np.array([[-1.5], [-0.5], [0.5], [1.5]]), np.array([0, 0, 1, 1])
    assert h_score(x, y) == h_score(x, y, shrinkage=0) == pytest.approx(0.8)


def test_a_shrunken_h_score_worked_by_hand():
    # cov = diag(1.25, 0.25) with mean variance 0.75, halfway to that: diag(1, 0.5); half of the 1 between the classes is left
    x, y = np.array([[-1.5, 0.5], [-0.5, -0.5], [0.5, -0.5], [1.5, 0.5]]), np.array([0, 0, 1, 1])
    assert h_score(x, y, shrinkage=0.5) == pytest.approx(0.5)
    assert h_score(x, y, shrinkage=1) == 0
    for no_share in (-0.1, 1.1):
        with pytest.raises(ValueError, match=f"share from 0 to 1, got {no_share}"):
            h_score(x, y, shrinkage=no_share)


def test_shrinkage_is_that_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.covariance")
    x, _ = clouds(np.random.default_rng(7), N=25, D=40)
    x -= x.mean(0)
    for codes in (x, 0.01 * x):
        assert ledoit_wolf(codes, codes.T @ codes / len(x)) == pytest.approx(sklearn.ledoit_wolf(x, assume_centered=True)[1])


@pytest.mark.parametrize("score", [logme, h_score])
def test_scores_refuse_what_they_cannot_judge(score):
    x = np.ones((4, 2))
    with pytest.raises(ValueError, match="two of them"):
        score(x, np.zeros(4, int))
    with pytest.raises(ValueError, match="N labels"):
        score(x, np.zeros(3, int))
    for broken in (np.nan, np.inf):
        with pytest.raises(ValueError, match="NaN"):
            score(np.array([[1.0, 2], [3, broken], [5, 6], [0, 1]]), np.array([0, 1, 0, 1]))
    for labels in (np.array([0.0, 1.0, 0.0, 1.0]), np.array([0, 1, -1, 1])):
        with pytest.raises(ValueError, match="class numbers"):
            score(x, labels)
    for codes in (np.ones(4), np.ones((0, 2))):
        with pytest.raises(ValueError, match=r"\(N, D\) with N labels"):
            score(codes, np.arange(len(codes)))


@pytest.mark.parametrize("score", [logme, h_score])
def test_one_picture_of_each_class_gives_a_finite_score(score):
    assert np.isfinite(score(np.random.default_rng(8).standard_normal((4, 9)), np.arange(4)))


@pytest.mark.parametrize("score", [logme, h_score])
def test_a_class_number_that_no_picture_has_changes_nothing(score):
    x, y = clouds(np.random.default_rng(5), N=30, D=4)
    y = y % 2
    assert score(x, 3 * y) == pytest.approx(score(x, y))


# ---- cross-validation


def test_held_out_answers_are_those_of_classifiers_trained_without_the_pictures():
    rng = np.random.default_rng(9)
    x, y = clouds(rng, N=45, D=6, K=3, apart=1)
    ridge, K = 0.1, 3
    probe = cross_validate(x, y, folds=5, repeats=2, ridges=(ridge,), rng=1)

    draws, right = np.random.default_rng(1), np.zeros(45)
    z = np.c_[(x - x.mean(0)) / x.std(0), np.ones(45)]
    penalty = ridge * 6 * np.diag([1.0] * 6 + [0.0])  # the intercept is free
    for _ in range(2):
        for rows in stratified_folds(y, 5, draws):
            rest = np.setdiff1d(np.arange(45), rows)
            w = np.linalg.solve(z[rest].T @ z[rest] + penalty, z[rest].T @ np.eye(K)[y[rest]])
            right[rows] += ((z[rows] @ w).argmax(1) == y[rows]) / 2
    np.testing.assert_allclose(probe.right, right)
    assert 0.4 < probe.accuracy < 1


def test_cross_validation_chooses_the_ridge_with_the_most_right_answers():
    x, y = clouds(np.random.default_rng(10), N=60, D=200, apart=3)
    alone = {ridge: cross_validate(x, y, ridges=(ridge,)).accuracy for ridge in (1e-3, 0.1, 10.0)}
    chosen = cross_validate(x, y, ridges=tuple(alone))
    assert chosen.accuracy == max(alone.values()) == alone[chosen.ridge]


@pytest.mark.parametrize(("N", "repeats"), [(150, 5), (199, 5), (300, 3), (501, 1), (1100, 1)])
def test_a_small_set_is_divided_several_times_for_up_to_a_thousand_predictions(N, repeats):
    x, y = clouds(np.random.default_rng(13), N=N, D=3, apart=1)
    by_default, told = cross_validate(x, y), cross_validate(x, y, folds=5, repeats=repeats, rng=0)
    np.testing.assert_array_equal(by_default.right, told.right)
    assert (by_default.right % 1 != 0).any() == (repeats > 1)


def test_no_more_folds_than_the_smallest_class_has_pictures():
    x, y = clouds(np.random.default_rng(14), N=40, D=3, apart=1)
    y[:], y[:3] = 0, 1
    np.testing.assert_array_equal(cross_validate(x, y).right, cross_validate(x, y, folds=3).right)
    y[0] = 0
    np.testing.assert_array_equal(cross_validate(x, y).right, cross_validate(x, y, folds=2).right)


def test_labels_that_mean_nothing_are_guessed_at_chance_level_even_with_many_features():
    rng = np.random.default_rng(11)
    probe = cross_validate(rng.standard_normal((200, 500)), rng.integers(0, 2, 200), ridges=(0.1,))
    assert abs(probe.accuracy - 0.5) < 3 * 0.035  # three standard errors of 200 guesses


def test_two_kinds_of_codes_are_compared_picture_by_picture():
    rng = np.random.default_rng(12)
    x, y = clouds(rng, N=200, apart=1.5)
    noisy = x + 0.05 * rng.standard_normal(x.shape)
    first, second = cross_validate(x, y), cross_validate(noisy, y)
    difference, error = first.better_than(second)
    assert difference == pytest.approx(first.accuracy - second.accuracy)
    assert error < first.standard_error / 2, "what is hard for one is hard for the other"


def test_each_class_is_spread_evenly_over_the_folds():
    y = np.repeat([0, 1, 2], [7, 12, 3])
    folds = stratified_folds(y, 4, np.random.default_rng(0))
    assert sorted(np.concatenate(folds)) == list(range(22))
    counts = np.array([np.bincount(y[rows], minlength=3) for rows in folds])
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert np.ptp(counts.sum(1)) <= 1


def test_codes_that_never_vary_give_the_most_frequent_class():
    y = np.repeat([0, 1], [30, 10])
    assert cross_validate(np.ones((40, 4)), y).accuracy == 0.75


def test_a_class_with_a_single_picture_cannot_be_cross_validated():
    with pytest.raises(DataError, match="smallest of 1"):
        cross_validate(np.ones((3, 2)), np.array([0, 0, 1]))


@pytest.mark.parametrize(("x", "labels"), [((4,), 4), ((4, 2, 2), 4), ((4, 2), 3)])
def test_codes_and_labels_of_other_shapes_cannot_be_cross_validated(x, labels):
    with pytest.raises(ValueError, match=r"expects codes \(N, D\) and labels \(N,\)"):
        cross_validate(np.ones(x), np.arange(labels) % 2)
