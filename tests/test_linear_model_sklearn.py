"""The linear classifiers beside scikit-learn's: the same minimum, the same conventions."""

import warnings
from functools import partial

import numpy as np
import pytest
from test_linear_model import KINDS, objective, overlapping

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import check_estimator

from minicnn.linear_model.softmax_regression import SoftmaxRegression
from minicnn.linear_model.svm import LinearSVM

LAMBDA = 0.05


def theirs(name, N, num_classes, **how):
    """scikit-learn's classifier with the same objective but for the bias; C = 1 / (lambda N)."""
    C = 1 / (LAMBDA * N)
    if name == "softmax":  # of two classes it has one vector of weights, and we two, each half as long
        return LogisticRegression(C=2 * C if num_classes == 2 else C, tol=1e-10, max_iter=10_000, **how)
    if name == "crammer_singer":
        return LinearSVC(C=C, multi_class=name, tol=1e-8, max_iter=1_000_000, **how)
    return LinearSVC(C=C, loss=name, dual=True, tol=1e-8, max_iter=1_000_000, **how)


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("name", ["softmax", "squared_hinge", "hinge", "crammer_singer"])
def test_without_bias_both_find_the_same_minimum(name, num_classes):
    x, y = overlapping(num_classes)
    how = {"standardise": False, "fit_intercept": False, "tolerance": 1e-7, "max_iterations": 20_000}
    one, other = KINDS[name](LAMBDA, **how).fit(x, y), theirs(name, len(x), num_classes, fit_intercept=False).fit(x, y)
    value = partial(objective, name, LAMBDA, x, y)
    assert value(one.coef_, 0) == pytest.approx(value(other.coef_, 0), rel=1e-6)
    np.testing.assert_allclose(one.coef_, other.coef_, atol=2e-3)
    np.testing.assert_allclose(one.decision_function(x), other.decision_function(x), atol=5e-3)


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("name", ["softmax", "squared_hinge", "hinge", "crammer_singer"])
def test_with_bias_both_find_the_same_minimum(name, num_classes):
    """LinearSVC regularises the bias, as the weight of a feature that is always ``intercept_scaling``: the larger, the less."""
    x, y = overlapping(num_classes)
    one = KINDS[name](LAMBDA, standardise=False, tolerance=1e-7, max_iterations=20_000).fit(x, y)
    other = theirs(name, len(x), num_classes, **({} if name == "softmax" else {"intercept_scaling": 30})).fit(x, y)
    value = partial(objective, name, LAMBDA, x, y)
    assert value(one.coef_, one.intercept_) == pytest.approx(value(other.coef_, other.intercept_), rel=1e-4)
    assert value(one.coef_, one.intercept_) <= value(other.coef_, other.intercept_) + 1e-6, "ours is the exact one"
    np.testing.assert_allclose(one.coef_, other.coef_, atol=2e-2)
    assert np.mean(one.predict(x) == other.predict(x)) >= 0.98


@pytest.mark.parametrize("num_classes", [2, 4])
def test_probabilities_agree(num_classes):
    x, y = overlapping(num_classes)
    one = SoftmaxRegression(LAMBDA, standardise=False, tolerance=1e-7).fit(x, y)
    other = theirs("softmax", len(x), num_classes).fit(x, y)
    np.testing.assert_allclose(one.predict_proba(x), other.predict_proba(x), atol=1e-3)


@pytest.mark.parametrize(
    "estimator", [SoftmaxRegression(), LinearSVM(), *(LinearSVM(loss=loss) for loss in ("hinge", "crammer_singer"))], ids=repr
)
def test_scikit_learns_own_estimator_checks_pass(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of checks that it skips where pandas is not installed, and of inheritance
        check_estimator(estimator)


def test_what_an_untrained_classifier_raises_is_what_scikit_learn_users_catch():
    with pytest.raises(NotFittedError, match="not trained yet"):
        LinearSVM().predict(np.zeros((1, 2)))


def test_it_works_in_pipelines_grids_and_cross_validation():
    x, y = overlapping(3)
    names = np.array(["wasp", "ant", "bee"])[y]
    grid = GridSearchCV(
        make_pipeline(StandardScaler(), LinearSVM(loss="hinge")), {"linearsvm__regularisation": [0.01, 0.1, 1.0]}
    )
    best = grid.fit(x, names)
    assert best.best_params_["linearsvm__regularisation"] in (0.01, 0.1, 1.0) and best.score(x, names) > 0.6
    assert cross_val_score(SoftmaxRegression(0.1), x, names, cv=3).mean() > 0.5
    copy = clone(LinearSVM(0.3, "crammer_singer").fit(x, y))
    assert copy.get_params() == LinearSVM(0.3, "crammer_singer").get_params() and not hasattr(copy, "coef_")
