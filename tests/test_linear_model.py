"""Linear classifiers on codes: what they minimise, that they reach the minimum, and how they are used."""

import pickle
import sys
import warnings
from functools import partial

import numpy as np
import pytest

from minicnn.errors import DataError
from minicnn.linear_model import dual_coordinate_descent as dual
from minicnn.linear_model.base import balanced_weights, class_scores
from minicnn.linear_model.calibration import calibrate, calibration_factor
from minicnn.linear_model.dual_coordinate_descent import CrammerSinger, Hinge
from minicnn.linear_model.estimator import NotFittedError
from minicnn.linear_model.selection import choose_regularisation, cross_validated_regularisation
from minicnn.linear_model.softmax_regression import SoftmaxRegression
from minicnn.linear_model.svm import LinearSVM, squared_hinge

KINDS = {
    "softmax": SoftmaxRegression,
    "squared_hinge": LinearSVM,
    "squared_hinge by L-BFGS": partial(LinearSVM, solver="lbfgs"),
    "hinge": partial(LinearSVM, loss="hinge"),
    "crammer_singer": partial(LinearSVM, loss="crammer_singer"),
}
pytestmark = pytest.mark.filterwarnings("error:.*ended after")
EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
BY_THE_DUAL = ["squared_hinge", "hinge", "crammer_singer"]


def blobs(n_per_class=60, num_classes=3, features=8, spread=1.0, seed=0):
    """Gaussian clouds around well-separated centres, on features of very different scales."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 3, (num_classes, features))
    y = np.repeat(np.arange(num_classes), n_per_class)
    x = (centres[y] + rng.normal(0, spread, (len(y), features))) * 10.0 ** np.linspace(-2, 2, features) + 5
    order = rng.permutation(len(y))
    return x[order].astype(np.float32), y[order]


def overlapping(num_classes, seed=0):
    """Clouds that cannot be told apart without mistakes, of unequal sizes, float64."""
    rng = np.random.default_rng(seed)
    y = rng.choice(num_classes, 90, p=np.arange(1, num_classes + 1) / np.arange(1, num_classes + 1).sum())
    return rng.normal(0, 1, (num_classes, 5))[y] + rng.normal(0, 1.2, (90, 5)), y


def objective(name, regularisation, x, y, w, b):
    """What the classifier called ``name`` minimises, written from its definition; w and b as in coef_ and intercept_."""
    s = x @ w.T + b
    weight = regularisation / 2 * (w * w).sum()
    if len(w) == 1 and name in ("softmax", "crammer_singer"):  # two rows of weights, of which coef_ is the difference
        s, weight = np.hstack([-s / 2, s / 2]), weight / 2
    right = s[np.arange(len(y)), y] if s.shape[1] > 1 else None
    if name == "softmax":
        losses = np.log(np.exp(s).sum(1)) - right
    elif name == "crammer_singer":
        losses = (s + 1 - np.eye(s.shape[1])[y]).max(1) - right
    else:
        t = 2.0 * (y[:, None] == (np.arange(s.shape[1]) if s.shape[1] > 1 else 1)) - 1
        losses = (np.maximum(0, 1 - t * s) ** (1 if name == "hinge" else 2)).sum(1)
    return losses.mean() + weight


def can_be_improved(found, value):
    """Whether any of many steps in random directions makes the objective less by more than rounding."""
    least, rng = value(found.coef_, found.intercept_), np.random.default_rng(1)
    for size in np.repeat([1e-3, 1e-2, 1e-1], 40):
        dw, db = rng.normal(size=found.coef_.shape), rng.normal(size=found.intercept_.shape) * found.fit_intercept
        if value(found.coef_ + size * dw, found.intercept_ + size * db) < least - 2e-8:
            return True
    return False


# ---- the minimum


@pytest.mark.parametrize(("loss", "w"), [("hinge", 1.0), ("squared_hinge", 2 / 2.1), ("crammer_singer", 1.0)])
def test_two_points_worked_by_hand(loss, w):
    """x = 0 and x = 2: by symmetry the score is w (x - 1), and P = lambda/2 w^2 + max(0, 1 - w)^p with lambda = 0.1.

    For the hinge the slope 0.1 w - 1 is negative up to the kink at w = 1; for its square 0.1 w = 2 (1 - w) at w = 2 / 2.1.
    """
    x, y = np.array([[2.0], [0.0]]), np.array(["right", "left"])
    svm = LinearSVM(0.1, loss, standardise=False, tolerance=1e-9).fit(x, y)
    np.testing.assert_allclose([svm.coef_[0, 0], svm.intercept_[0]], [w, -w], atol=1e-6)
    assert svm.decision_function([[2.0]])[0] == pytest.approx(-w if svm.classes_[1] == "left" else w)


def test_squared_hinge_worked_by_hand():
    # scores (-0.5, 2), targets (-1, +1): slack (0.5, 0), loss 0.25; d/ds_0 = -2 * (-1) * 0.5 = 1
    loss, dscores = squared_hinge(np.array([[-0.5, 2.0]]), np.array([[-1.0, 1.0]]))
    assert loss == pytest.approx(0.25)
    np.testing.assert_allclose(dscores, [[1.0, 0.0]])


def test_gradient_of_the_squared_hinge_is_the_numeric_one():
    rng = np.random.default_rng(3)
    scores, t, h = rng.normal(size=(7, 4)), rng.choice([-1.0, 1.0], (7, 4)), 1e-6
    _, dscores = squared_hinge(scores, t)
    for i in np.ndindex(scores.shape):
        step = np.zeros_like(scores)
        step[i] = h
        numeric = (squared_hinge(scores + step, t)[0] - squared_hinge(scores - step, t)[0]) / (2 * h)
        assert dscores[i] == pytest.approx(numeric, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("name", KINDS)
def test_no_step_in_any_direction_leads_below_the_minimum_that_is_claimed(name, num_classes, intercept):
    """The objectives are convex: a point that no small step improves is the minimum."""
    x, y = overlapping(num_classes)
    found = KINDS[name](0.05, standardise=False, fit_intercept=intercept, tolerance=1e-8, max_iterations=20_000).fit(x, y)
    value = partial(objective, name.split()[0], 0.05, x, y)
    assert found.objective_ == pytest.approx(value(found.coef_, found.intercept_), rel=1e-9)
    assert intercept or not found.intercept_.any()
    assert not can_be_improved(found, value)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_both_solvers_find_the_same_squared_hinge_machine(num_classes):
    x, y = overlapping(num_classes)
    one, other = (LinearSVM(0.02, solver=solver, tolerance=1e-8).fit(x, y) for solver in ("dual", "lbfgs"))
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(one.intercept_, other.intercept_, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("num_classes", [2, 4])
@EVERY_KIND
def test_a_class_of_weight_three_counts_as_if_each_of_its_samples_were_there_three_times(kind, num_classes):
    x, y = overlapping(num_classes)
    times = np.where(y == 0, 3, 1)
    again = np.repeat(np.arange(len(y)), times)
    options = {"standardise": False, "tolerance": 1e-8, "max_iterations": 20_000}
    weighted = kind(0.05 * times.mean(), class_weight={0: 3.0}, **options).fit(x, y)
    repeated = kind(0.05, **options).fit(x[again], y[again])
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(weighted.intercept_, repeated.intercept_, rtol=2e-3, atol=2e-3)


@EVERY_KIND
def test_balanced_weights_find_a_class_that_is_too_small_to_matter_otherwise(kind):
    rng = np.random.default_rng(0)
    y = np.repeat(["normal", "rare"], [300, 6])
    x = rng.normal(0, 1, (306, 3)) + np.where(y == "rare", 1, 0)[:, None]
    new = rng.normal(1, 1, (300, 3))
    found = [np.mean(kind(0.1, class_weight=weight).fit(x, y).predict(new) == "rare") for weight in (None, "balanced")]
    assert found[1] > found[0] + 0.25


def test_a_class_of_none_has_no_weight_and_takes_none_from_the_others():
    np.testing.assert_allclose(balanced_weights(np.array([9, 0, 3])), [12 / (2 * 9), 0, 12 / (2 * 3)])


def test_weights_of_classes_are_positive_numbers_for_labels_that_there_are():
    x, y = overlapping(2)
    positive = "class_weight has a positive number for each label"
    for weight, says in (
        ("even", "'balanced'"),
        ({7: 2.0}, r"not in y: \[7\]"),
        ({0: -1.0}, positive),
        ({0: 0.0}, positive),
        ({1: np.inf}, positive),
    ):
        with pytest.raises(ValueError, match=says):
            LinearSVM(class_weight=weight).fit(x, y)


# ---- the gap


@pytest.mark.parametrize("sweeps", [1, 3, 10, 25])
@pytest.mark.parametrize("name", BY_THE_DUAL)
def test_the_minimum_is_within_the_gap_however_early_training_ends(name, sweeps):
    x, y = overlapping(4)
    least = KINDS[name](0.01, tolerance=1e-9, max_iterations=50_000).fit(x, y).objective_
    with pytest.warns(UserWarning, match=f"after {sweeps} iterations"):
        early = KINDS[name](0.01, tolerance=1e-9, max_iterations=sweeps).fit(x, y)
    assert least < early.objective_ <= least + early.gap_
    assert early.n_iter_ == sweeps


@EVERY_KIND
def test_training_ends_when_the_gap_is_below_the_tolerance(kind):
    x, y = overlapping(4)
    loose, tight = (kind(0.01, tolerance=tolerance, max_iterations=20_000).fit(x, y) for tolerance in (1e-1, 1e-6))
    for classifier in (loose, tight):
        assert 0 <= classifier.gap_ <= classifier.tolerance * classifier.objective_
    assert loose.n_iter_ < tight.n_iter_


FAULTS = {
    "forces up to 2": {"most": 2.0},
    "steps four times too long": {"squared_norms": 0.25, "r": 0.25},
    "twice the regularisation": {"scale": 0.5},
    "a bias that moves the wrong way": {"r": -1.0},
    "w does not follow": {"w": None},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_leaves_a_gap_or_something_to_improve(fault, monkeypatch):
    x, y = overlapping(2)
    sweep, names = dual._sweep_hinge, dual._sweep_hinge.py_func.__code__.co_varnames

    def faulty(*arguments):
        given = dict(zip(names, arguments, strict=False))
        for name, factor in FAULTS[fault].items():
            given[name] = given[name].copy() if factor is None else given[name] * factor
        sweep(*given.values())

    monkeypatch.setattr(dual, "_sweep_hinge", faulty)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = LinearSVM(0.01, "hinge", standardise=False, max_iterations=300, tolerance=1e-6).fit(x, y)
    assert caught or can_be_improved(found, partial(objective, "hinge", 0.01, x, y))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_loops_do_the_same_without_the_compiler(dtype):
    x, y = overlapping(3)
    x, t, order = np.ascontiguousarray(x, dtype), np.where(y == 1, 1.0, -1.0), np.random.default_rng(0).permutation(len(x))
    for make, loop in (
        (lambda: Hinge(x, t, 0.1), "_sweep_hinge"),
        (lambda: Hinge(x, t, 0.1, squared=True), "_sweep_hinge"),
        (lambda: CrammerSinger(x, y, 3, 0.1), "_sweep_crammer_singer"),
    ):
        compiled, plain = make(), make()
        for problem, with_compiler in ((compiled, True), (plain, False)):
            with pytest.MonkeyPatch.context() as patch:
                if not with_compiler:
                    patch.setattr(dual, "_to_simplex", dual._to_simplex.py_func)
                    patch.setattr(dual, loop, getattr(dual, loop).py_func)
                for _ in range(2):
                    problem.sweep(order)
        assert np.abs(plain.w).max() > 0.1
        np.testing.assert_allclose(compiled.w, plain.w, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(compiled.b, plain.b, rtol=1e-6, atol=1e-9)


def test_projection_on_the_simplex_worked_by_hand():
    # of (0.9, 0.5, -2): with all three tau = (-0.6 - 1) / 3 < -0.5; without the last tau = (1.4 - 1) / 2 = 0.2
    v = np.array([0.9, 0.5, -2.0])
    dual._to_simplex(v, 1.0)
    np.testing.assert_allclose(v, [0.7, 0.3, 0.0])


@pytest.mark.parametrize("name", BY_THE_DUAL)
def test_weights_are_the_pull_of_the_samples_in_force(name):
    """w = 1/(lambda N) sum of pulls times codes, after many updates in place."""
    x, y = overlapping(3)
    x = np.ascontiguousarray(x - x.mean(0))
    if name == "crammer_singer":
        problem = CrammerSinger(x, y, 3, 0.05)
    else:
        problem = Hinge(x, np.where(y == 0, 1.0, -1.0), 0.05, squared=name == "squared_hinge")
    found = problem.solve(1e-6, 5000, np.random.default_rng(0))
    pulls = problem.pulls()
    np.testing.assert_allclose(found.w, pulls.T @ x / (0.05 * len(x)), rtol=1e-9, atol=1e-12)
    assert 0 < (np.abs(pulls).max(axis=1) == 0).sum() < len(x), "some are right by the margin, and do not pull"
    np.testing.assert_allclose(pulls.sum(axis=0) / len(x), 0, atol=1e-6)


@pytest.mark.parametrize("name", BY_THE_DUAL)
def test_at_the_minimum_no_condition_is_violated_and_those_right_by_the_margin_sit_at_their_bound(name):
    x, y = overlapping(3)
    x = np.ascontiguousarray(x - x.mean(0))
    if name == "crammer_singer":
        problem = CrammerSinger(x, y, 3, 0.05)
    else:
        problem = Hinge(x, np.where(y == 0, 1.0, -1.0), 0.05, squared=name == "squared_hinge")
    found = problem.solve(1e-10, 20_000, np.random.default_rng(0))
    scores = x @ found.w.T + found.b
    violation, firmness = problem.violations(scores)
    assert 0 <= violation.max() < 1e-3
    if name == "crammer_singer":
        lead = scores[np.arange(len(y)), y] - np.where(np.eye(3)[y] == 1, -np.inf, scores).max(axis=1) - 1
    else:
        lead = problem.t * scores[:, 0] - 1
    np.testing.assert_allclose(firmness[lead > 1e-3], lead[lead > 1e-3])


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("name", BY_THE_DUAL)
def test_the_unit_in_which_codes_are_measured_does_not_matter(name, intercept):
    """Codes a thousand times smaller with weights a thousand times larger: the same scores, for lambda a millionth."""
    x, y = overlapping(3)
    x[0] = 0
    options = {"standardise": False, "fit_intercept": intercept, "max_iterations": 5000}
    usual, small, large = (
        KINDS[name](0.05 * unit**2, **options).fit(unit * x, y).decision_function(unit * x) for unit in (1, 1e-3, 1e3)
    )
    np.testing.assert_allclose(small, usual, atol=1e-6)
    np.testing.assert_allclose(large, usual, atol=1e-6)


def test_a_code_of_zeros_and_a_constant_feature_do_no_harm():
    x, y = overlapping(3)
    x[:, 1], x[0] = 7, 0
    for kind in KINDS.values():
        for intercept in (True, False):
            assert np.isfinite(kind(fit_intercept=intercept, max_iterations=5000).fit(x, y).coef_).all()


# ---- what it is good for


@EVERY_KIND
def test_separates_clouds_whatever_the_features_scales(kind):
    x, y = blobs()
    x_new, y_new = blobs(seed=1)
    assert kind(1e-3).fit(x, y).score(x_new, y_new) > 0.97


@EVERY_KIND
def test_standardising_inside_is_standardising_before(kind):
    x, y = blobs(spread=4.0)
    z = (x - x.mean(0)) / x.std(0)
    inside, before = kind(0.1, tolerance=1e-4).fit(x, y), kind(0.1, standardise=False, tolerance=1e-4).fit(z, y)
    np.testing.assert_allclose(
        class_scores(inside.decision_function(x)), class_scores(before.decision_function(z)), rtol=1e-2, atol=1e-2
    )
    other = kind(0.1, standardise=False, tolerance=1e-4).fit(2 * z, y)
    assert not np.allclose(class_scores(other.decision_function(2 * z)), class_scores(inside.decision_function(x)), atol=0.01)


@EVERY_KIND
def test_stronger_regularisation_gives_smaller_weights(kind):
    x, y = blobs()
    std = x.std(0)
    norms = [np.linalg.norm(kind(regularisation).fit(x, y).coef_ * std) for regularisation in (1e-3, 1e-1, 10.0)]
    assert norms[0] > norms[1] > norms[2]


@EVERY_KIND
def test_labels_can_be_of_any_type_and_come_back(kind):
    x, y = blobs()
    numbers = kind().fit(x, y)
    for labels in (np.array(["wasp", "ant", "bee"])[y], np.array(["wasp", "ant", "bee"], object)[y], (y - 7) * 10, y * 2.0):
        named = kind().fit(x, labels)
        assert named.score(x, labels) == pytest.approx(numbers.score(x, y), abs=0.02)
        assert named.classes_.tolist() == sorted(set(labels.tolist()))
        assert set(named.predict(x).tolist()) == set(labels.tolist())


@EVERY_KIND
def test_two_classes_have_one_decision_and_two_scores(kind):
    x, y = blobs(num_classes=2, spread=6.0)
    classifier = kind().fit(x, y)
    decision = classifier.decision_function(x)
    scores = class_scores(decision)
    assert classifier.coef_.shape == (1, 8) and decision.shape == (120,) and scores.shape == (120, 2)
    np.testing.assert_allclose(scores[:, 1] - scores[:, 0], decision, rtol=1e-5)
    np.testing.assert_allclose(x @ classifier.w.T + classifier.b, scores, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(classifier.predict(x), (decision > 0).astype(int))


@EVERY_KIND
def test_three_classes_have_a_score_each(kind):
    x, y = blobs()
    classifier = kind().fit(x, y)
    assert classifier.w.shape == (3, 8) and classifier.decision_function(x).shape == (180, 3)
    scores = class_scores(classifier.decision_function(x))
    np.testing.assert_array_equal(scores, classifier.decision_function(x))
    np.testing.assert_array_equal(classifier.predict(x), scores.argmax(1))


def test_probabilities_of_two_classes_are_the_sigmoid_of_the_decision():
    x, y = blobs(num_classes=2, spread=6.0)
    classifier = SoftmaxRegression().fit(x, y)
    np.testing.assert_allclose(classifier.predict_proba(x)[:, 1], 1 / (1 + np.exp(-classifier.decision_function(x))), rtol=1e-5)


def test_a_start_saves_l_bfgs_steps_and_changes_nothing_else():
    x, y = overlapping(4)
    near = SoftmaxRegression(0.012).fit(x, y)
    cold, warm = (SoftmaxRegression(0.01, tolerance=1e-4).fit(x, y, start=start) for start in (None, near))
    assert warm.n_iter_ < cold.n_iter_
    np.testing.assert_allclose(warm.coef_, cold.coef_, atol=0.02)
    there = SoftmaxRegression(0.01, tolerance=1e-6).fit(x + 5, y)  # codes far from 0, so that a wrong bias would be seen
    assert SoftmaxRegression(0.01, tolerance=1e-4).fit(x + 5, y, start=there).n_iter_ <= 1
    other_classes = SoftmaxRegression(0.01).fit(x, y % 2)
    np.testing.assert_array_equal(SoftmaxRegression(0.01, tolerance=1e-4).fit(x, y, start=other_classes).coef_, cold.coef_)


@pytest.mark.parametrize("kind", [SoftmaxRegression, partial(LinearSVM, solver="lbfgs")], ids=["softmax", "squared hinge"])
def test_two_classes_can_be_started_where_they_were_left(kind):
    x, y = overlapping(2)
    there = kind(0.01, tolerance=1e-8).fit(x + 5, y)
    assert kind(0.01, tolerance=1e-4).fit(x + 5, y).n_iter_ > 3
    assert kind(0.01, tolerance=1e-4).fit(x + 5, y, start=there).n_iter_ <= 1


# ---- choosing and calibrating


@EVERY_KIND
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


class Told:
    """Of 8 pictures of one class and 2 of another it names all of the first, or most of the first and all of the second."""

    def __init__(self, regularisation):
        self.answers = np.repeat([0, 1], [10, 0] if regularisation == 1.0 else [5, 5])

    def fit(self, x, y, start=None):
        return self

    def predict(self, x):
        return self.answers

    def score(self, x, y):
        return float(np.mean(self.answers == y))

    classes_ = np.array([0, 1])

    def decision_function(self, x):
        return self.answers - 0.5


@pytest.mark.parametrize(("balanced", "chosen"), [(False, 1.0), (True, 0.1)])
def test_a_small_class_has_as_much_say_in_the_choice_as_a_large_one_if_that_is_asked_for(balanced, chosen):
    x, y = np.zeros((10, 1)), np.repeat([0, 1], [8, 2])
    choice = choose_regularisation(Told, x, y, x, y, path=(0.1, 1.0), balanced=balanced)
    assert [point.val_accuracy for point in choice.path] == [0.8, 0.7]
    assert choice.point.regularisation == chosen


@pytest.mark.parametrize("num_classes", [2, 3])
def test_calibration_makes_margins_honest_and_changes_no_prediction(num_classes):
    x, y = blobs(spread=8.0, num_classes=num_classes)
    x_val, y_val = blobs(spread=8.0, num_classes=num_classes, seed=1)
    names = np.array(["wasp", "ant", "bee"])
    svm = LinearSVM(1e-3).fit(x, names[y])
    svm.coef_, svm.intercept_ = svm.coef_ * 50, svm.intercept_ * 50  # far too sure of itself
    before = svm.predict(x_val)
    assert calibrate(svm, x_val, names[y_val]) < 0.5
    np.testing.assert_array_equal(svm.predict(x_val), before)
    scores = class_scores(svm.decision_function(x_val))
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert abs(p.max(1).mean() - svm.score(x_val, names[y_val])) < 0.08
    for unknown in (y_val, np.where(y_val == 0, "moth", names[y_val])):
        with pytest.raises(ValueError, match="has not learned"):
            calibrate(svm, x_val, unknown)


# ---- fold after fold


def folds_of(n, count):
    """Every ``count``-th sample is held out, fold after fold."""
    return [(np.flatnonzero(np.arange(n) % count != k), np.flatnonzero(np.arange(n) % count == k)) for k in range(count)]


@EVERY_KIND
def test_held_out_scores_are_those_of_classifiers_that_have_not_seen_the_sample(kind):
    x, y = overlapping(3)
    folds = folds_of(len(x), 4)
    choice = cross_validated_regularisation(kind, x, y, folds, path=[0.1])
    expected = np.concatenate([class_scores(kind(0.1).fit(x[a], y[a]).decision_function(x[b])) for a, b in folds])
    np.testing.assert_array_equal(choice.held_out, expected)
    rows = np.concatenate([held_out for _, held_out in folds])
    assert sorted(rows) == list(range(len(x)))
    assert choice.point.val_accuracy == np.mean(expected.argmax(1) == y[rows])
    assert len(choice.of_folds) == 4 and choice.fitted is choice.of_folds[0]
    np.testing.assert_allclose(choice.final.coef_, kind(0.1).fit(x, y).coef_, atol=0.05)
    assert not np.allclose(class_scores(choice.final.decision_function(x[rows])), expected, atol=0.01), "it has seen them all"


def test_a_sample_that_contradicts_all_others_is_wrong_when_it_is_held_out_and_right_when_it_is_learned():
    """Scores of a classifier that has seen the sample, a planted fault, would say that all are right."""
    y = np.arange(16) % 2
    x = np.hstack([np.eye(16), 2.0 * y[:, None]])  # what each sample has alone, and what its class has
    x[0, -1] = 2.0
    choice = cross_validated_regularisation(SoftmaxRegression, x, y, folds_of(16, 16), path=[1e-3])
    assert choice.final.score(x, y) == 1.0
    assert choice.held_out[0].argmax() != y[0] and choice.point.val_accuracy == 15 / 16


@EVERY_KIND
@pytest.mark.parametrize("balanced", [False, True])
def test_one_fold_is_a_validation_part(kind, balanced):
    x, y = overlapping(3)
    one = choose_regularisation(kind, x[:60], y[:60], x[60:], y[60:], (0.01, 0.1, 1.0), balanced)
    fold = np.arange(60), np.arange(60, 90)
    same = cross_validated_regularisation(kind, x, y, [fold], (0.01, 0.1, 1.0), balanced)
    assert (same.point, same.path) == (one.point, one.path)
    np.testing.assert_array_equal(same.held_out, one.held_out)
    np.testing.assert_array_equal(same.final.coef_, one.final.coef_)
    np.testing.assert_array_equal(one.held_out, class_scores(one.fitted.decision_function(x[60:])))


def test_the_regularisation_that_is_chosen_is_best_over_the_samples_of_all_folds():
    x, y = blobs(n_per_class=12, features=40, spread=6.0)
    folds = folds_of(36, 4)
    choice = cross_validated_regularisation(SoftmaxRegression, x, y, folds)
    assert [point.regularisation for point in choice.path] == [10.0, 1.0, 0.1, 0.01, 0.001]
    for point in choice.path:
        fitted = [SoftmaxRegression(point.regularisation).fit(x[a], y[a]) for a, _ in folds]
        right = np.concatenate([one.predict(x[b]) == y[b] for one, (_, b) in zip(fitted, folds, strict=True)])
        assert point.val_accuracy == pytest.approx(right.mean(), abs=0.03)  # each starts from the one before
    best = [point for point in choice.path if point.val_accuracy == max(p.val_accuracy for p in choice.path)]
    assert choice.point == best[0], "of equals the strongest"


def test_a_class_that_a_fold_has_nothing_to_learn_from_has_no_chance_in_it():
    x, y = blobs(n_per_class=10)
    rare = np.flatnonzero(y == 1)
    others = np.flatnonzero(y != 1)
    folds = [(others, rare), (np.r_[others[4:], rare], others[:4])]
    choice = cross_validated_regularisation(SoftmaxRegression, x, y, folds, path=[0.1])
    assert choice.held_out.shape == (14, 3) and choice.held_out.dtype == np.float64
    np.testing.assert_array_equal(np.isneginf(choice.held_out), (np.arange(14) < 10)[:, None] & (np.arange(3) == 1))
    assert choice.point.val_accuracy <= 4 / 14
    two = SoftmaxRegression(0.1).fit(x[others], y[others])
    np.testing.assert_array_equal(choice.held_out[:10, [0, 2]], class_scores(two.decision_function(x[rare])))


# ---- honest probabilities


def probabilities(scores):
    e = np.exp(scores - scores.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("N", [4, 36, 1000])
@pytest.mark.parametrize("margin", [0.2, 3.0, 20.0])
def test_samples_that_all_are_right_by_the_same_margin_get_the_probability_of_platts_targets(N, margin):
    scores, y = np.zeros((N, 2)), np.arange(N) % 2
    scores[np.arange(N), y] = margin
    p = probabilities(calibration_factor(scores, y) * scores)
    np.testing.assert_allclose(p[np.arange(N), y], 1 - 1 / (N + 2), atol=2e-4)


def test_few_samples_that_all_are_right_do_not_make_sure_of_everything():
    """36 of 36: with targets of 1 no factor would be too large, and the mean probability would be 1."""
    rng = np.random.default_rng(0)
    y = np.arange(36) % 3
    scores = rng.uniform(0, 1, (36, 3))
    scores[np.arange(36), y] += 1.5
    p = probabilities(calibration_factor(scores, y) * scores)
    right = p[np.arange(36), y]
    assert (p.argmax(1) == y).all() and 0.9 < right.mean() < 1 - 1 / 38 + 0.005
    assert probabilities(100 * scores).max(1).mean() > 0.9999, "what the best factor for targets of 1 comes near to"


def test_half_of_the_samples_right_is_a_coin():
    scores, y = np.tile([4.0, 0.0], (40, 1)), np.arange(40) % 2
    assert probabilities(calibration_factor(scores, y) * scores).max() < 0.51


@pytest.mark.parametrize(("K", "unknown"), [(2, False), (3, False), (5, False), (4, True)])
def test_the_factor_is_the_best_of_a_fine_grid(K, unknown):
    rng = np.random.default_rng(K)
    N, rest = 30, 1 / 32
    y = rng.integers(0, K, N)
    scores = rng.normal(0, 2, (N, K)) + 3 * np.eye(K)[y]
    if unknown:
        scores[:7, 1], y[:7] = -np.inf, 0
    targets = np.full((N, K), rest / (K - 1))
    targets[np.arange(N), y] = 1 - rest

    def loss(a):
        logs = np.log(np.maximum(probabilities(a * scores), 1e-300))
        return -(targets * logs)[np.isfinite(scores)].sum()

    grid = np.exp(np.linspace(-4.9, 4.9, 4001))
    best = grid[np.argmin([loss(a) for a in grid])]
    assert calibration_factor(scores, y) == pytest.approx(best, rel=0.005)


def test_a_class_that_was_not_known_has_no_say_in_the_factor():
    """36 right answers of two classes that are known: the third's share of 1/76 is lost, p = (37/38) / (1 - 1/76) = 74/75."""
    scores, y = np.full((36, 3), -np.inf), np.arange(36) % 2
    scores[:, :2] = 0
    scores[np.arange(36), y] = 2.0
    factor = calibration_factor(scores, y)
    assert 1 / (1 + np.exp(-2 * factor)) == pytest.approx(74 / 75, abs=2e-4)
    y[:5] = 2  # their own class was not known
    assert 0 < calibration_factor(scores, y) < factor


# ---- conventions, without scikit-learn


def test_parameters_can_be_read_and_set_by_name():
    svm = LinearSVM(0.5, loss="hinge")
    assert svm.get_params()["regularisation"] == 0.5 and set(svm.get_params()) > set(SoftmaxRegression().get_params())
    assert svm.set_params(regularisation=2.0, standardise=False) is svm and svm.regularisation == 2.0
    assert LinearSVM().get_params().items() > SoftmaxRegression().get_params().items(), "what both have begins alike"
    assert repr(svm) == "LinearSVM(regularisation=2.0, loss='hinge', standardise=False)"
    assert repr(SoftmaxRegression()) == "SoftmaxRegression()"
    with pytest.raises(ValueError, match="no parameter C; it has regularisation"):
        svm.set_params(C=1)


@EVERY_KIND
def test_a_pickled_classifier_answers_as_before(kind):
    x, y = blobs()
    classifier = kind().fit(x, y)
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.decision_function(x), classifier.decision_function(x))


def test_an_untrained_classifier_says_so_with_an_error_of_our_own_where_scikit_learn_is_not_loaded(monkeypatch):
    monkeypatch.delitem(sys.modules, "sklearn.exceptions", raising=False)
    for ask in (LinearSVM().predict, LinearSVM().decision_function, SoftmaxRegression().predict_proba):
        with pytest.raises(NotFittedError, match="not trained yet") as raised:
            ask(blobs()[0])
        assert isinstance(raised.value, ValueError) and isinstance(raised.value, AttributeError)
    for name in ("w", "b"):
        with pytest.raises(NotFittedError, match="not trained yet"):
            getattr(LinearSVM(), name)


def test_bad_input_is_named():
    x, y = blobs()
    svm = LinearSVM().fit(x, y)
    for wrong, error, message in (
        (lambda: LinearSVM().fit(x, np.zeros(len(x), int)), DataError, "two classes"),
        (lambda: LinearSVM().fit(x, y[:-1]), ValueError, "1d array with a label for each of the 180 codes"),
        (lambda: LinearSVM().fit(x, np.stack([y, y], 1)), ValueError, "shape \\(180, 2\\)"),
        (lambda: LinearSVM().fit(x, y + 0.5), ValueError, "continuous"),
        (lambda: LinearSVM().fit(x, [None, *y[1:]]), TypeError, "one type"),
        (lambda: LinearSVM().fit(x, None), ValueError, "target y is None"),
        (lambda: LinearSVM().fit(np.where(x > 10, np.nan, x), y), ValueError, "NaN"),
        (lambda: LinearSVM().fit(x[None], y), ValueError, r"codes \(N, D\)"),
        (lambda: LinearSVM().fit(x[:, :0], y), ValueError, "0 feature"),
        (lambda: LinearSVM(-1).fit(x, y), ValueError, "finite and not negative, got -1"),
        (lambda: SoftmaxRegression(np.inf).fit(x, y), ValueError, "finite and not negative, got inf"),
        (lambda: LinearSVM(0).fit(x, y), ValueError, "above 0"),
        (lambda: LinearSVM(tolerance=0).fit(x, y), ValueError, "tolerance"),
        (lambda: LinearSVM(loss="log").fit(x, y), ValueError, "'crammer_singer', got 'log'"),
        (lambda: LinearSVM(loss="hinge", solver="lbfgs").fit(x, y), ValueError, "solver is 'dual', got 'lbfgs'"),
        (lambda: svm.predict(x[:, :5]), ValueError, "5 features.*8 features"),
        (lambda: svm.predict(x[0]), ValueError, "Reshape your data"),
    ):
        with pytest.raises(error, match=message):
            wrong()


def test_a_path_without_a_regularisation_is_refused():
    with pytest.raises(ValueError, match="the path is empty"):
        choose_regularisation(SoftmaxRegression, np.eye(4), np.arange(4) % 2, np.eye(4), np.arange(4) % 2, path=())
