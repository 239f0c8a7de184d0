"""Linear classifiers on codes (minicnn.transfer.linear)."""

import numpy as np
import pytest

from minicnn.errors import DataError
from minicnn.transfer.linear import LinearSVM, SoftmaxRegression, calibrate, choose_regularisation

KINDS = [SoftmaxRegression, LinearSVM]


def blobs(n_per_class=60, num_classes=3, features=8, spread=1.0, seed=0):
    """Gaussian clouds around well-separated centres, on features of very different scales."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 3, (num_classes, features))
    y = np.repeat(np.arange(num_classes), n_per_class)
    x = (centres[y] + rng.normal(0, spread, (len(y), features))) * 10.0 ** np.linspace(-2, 2, features) + 5
    order = rng.permutation(len(y))
    return x[order].astype(np.float32), y[order]


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_of_the_loss_is_the_numeric_one(kind):
    rng = np.random.default_rng(3)
    scores, y = rng.normal(size=(7, 4)), rng.integers(0, 4, 7)
    _, dscores = kind().loss(scores.copy(), y)
    h = 1e-6
    for i in range(7):
        for k in range(4):
            up, down = scores.copy(), scores.copy()
            up[i, k] += h
            down[i, k] -= h
            numeric = (kind().loss(up, y)[0] - kind().loss(down, y)[0]) / (2 * h)
            assert dscores[i, k] == pytest.approx(numeric, rel=1e-6, abs=1e-9)


def test_svm_loss_worked_by_hand():
    # y = 1 of two classes, scores (-0.5, 2): t = (-1, +1), slack = (0.5, 0), loss 0.25; d/ds_0 = -2 * (-1) * 0.5 = 1
    loss, dscores = LinearSVM().loss(np.array([[-0.5, 2.0]]), np.array([1]))
    assert loss == pytest.approx(0.25)
    np.testing.assert_allclose(dscores, [[1.0, 0.0]])


@pytest.mark.parametrize("kind", KINDS)
def test_separates_clouds_whatever_the_features_scales(kind):
    x, y = blobs()
    x_new, y_new = blobs(seed=1)
    assert kind(1e-3).fit(x, y).score(x_new, y_new) > 0.97


@pytest.mark.parametrize("kind", KINDS)
def test_stronger_regularisation_gives_smaller_weights(kind):
    x, y = blobs()
    std = x.std(0)
    norms = [np.linalg.norm(kind(regularisation).fit(x, y).w * std) for regularisation in (1e-3, 1e-1, 10.0)]
    assert norms[0] > norms[1] > norms[2]


def test_softmax_regression_agrees_with_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = blobs(spread=4.0)
    z = (x - x.mean(0)) / x.std(0)
    ours = SoftmaxRegression(0.1, max_iterations=2000).fit(z, y)
    theirs = linear_model.LogisticRegression(C=1 / (0.1 * len(y)), tol=1e-8, max_iter=5000).fit(z, y)
    np.testing.assert_allclose(softmax_of(ours.decision_function(z)), theirs.predict_proba(z), atol=2e-3)


def test_svm_agrees_with_scikit_learn():
    svm = pytest.importorskip("sklearn.svm")
    x, y = blobs(spread=4.0)
    z = (x - x.mean(0)) / x.std(0)
    ours = LinearSVM(0.1, max_iterations=2000).fit(z, y)
    # theirs: 1/2 |w|^2 + C sum max(0, 1 - t s)^2, with the bias regularised as one more weight unless its scale is large
    theirs = svm.LinearSVC(C=1 / (0.1 * len(y)), intercept_scaling=100, tol=1e-8, max_iter=100000).fit(z, y)
    np.testing.assert_allclose(ours.w, theirs.coef_, atol=2e-3)
    np.testing.assert_allclose(ours.b, theirs.intercept_, atol=2e-2)


def softmax_of(scores):
    e = np.exp(scores - scores.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("kind", KINDS)
def test_regularisation_is_chosen_on_validation_and_the_final_one_sees_both_parts(kind):
    x, y = blobs(n_per_class=20, features=40, spread=6.0)
    x_val, y_val = blobs(n_per_class=100, features=40, spread=6.0, seed=1)
    choice = choose_regularisation(kind, x, y, x_val, y_val)
    assert choice.point.val_accuracy == max(point.val_accuracy for point in choice.path)
    assert choice.point.val_accuracy == choice.fitted.score(x_val, y_val)
    again = kind(choice.point.regularisation).fit(np.concatenate([x, x_val]), np.concatenate([y, y_val]))
    np.testing.assert_allclose(choice.final.decision_function(x_val), again.decision_function(x_val), atol=0.05)


def test_a_draw_goes_to_the_stronger_regularisation():
    x, y = blobs(spread=0.01)
    choice = choose_regularisation(SoftmaxRegression, x, y, x, y, path=(1e-3, 1e-2, 1e-1))
    assert choice.point.regularisation == 1e-1


def test_calibration_makes_margins_honest_and_changes_no_prediction():
    x, y = blobs(spread=8.0)
    x_val, y_val = blobs(spread=8.0, seed=1)
    svm = LinearSVM(1e-3).fit(x, y)
    svm.w, svm.b = svm.w * 50, svm.b * 50  # far too sure of itself
    before = svm.predict(x_val)
    assert calibrate(svm, x_val, y_val) < 0.5
    np.testing.assert_array_equal(svm.predict(x_val), before)
    p = softmax_of(svm.decision_function(x_val).astype(np.float64))
    assert abs(p.max(1).mean() - svm.score(x_val, y_val)) < 0.08


def test_a_constant_feature_does_no_harm():
    x, y = blobs()
    x[:, 3] = 7
    assert np.isfinite(SoftmaxRegression().fit(x, y).w).all()


def test_bad_input_is_named():
    x, y = blobs()
    with pytest.raises(DataError, match="two classes"):
        LinearSVM().fit(x, np.zeros(len(x), int))
    with pytest.raises(ValueError, match=r"codes \(N, D\)"):
        LinearSVM().fit(x, y[:-1])
    with pytest.raises(ValueError, match="class numbers"):
        LinearSVM().fit(x, y.astype(float))
    with pytest.raises(ValueError, match="NaN"):
        LinearSVM().fit(np.where(x > 10, np.nan, x), y)
    with pytest.raises(ValueError, match="cannot be negative"):
        LinearSVM(-1)
    with pytest.raises(ValueError, match="not trained yet"):
        LinearSVM().predict(x)
    with pytest.raises(ValueError, match="8 features"):
        LinearSVM().fit(x, y).predict(x[:, :5])
