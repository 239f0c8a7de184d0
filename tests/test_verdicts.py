"""The verdicts of the gradient checker: what it looks at, what it refuses, and the report to the line."""

import numpy as np
import pytest

from minicnn.gradcheck import check_function, check_layer, check_loss
from minicnn.gradcheck.report import ArrayCheck, Report
from minicnn.layers import BatchNorm1d, ReLU, Sequential, Sigmoid
from minicnn.losses import SoftmaxCrossEntropy

ROWS = np.random.default_rng(1).standard_normal((5, 4))


class Halved(Sigmoid):
    def backward(self, dy):
        return super().backward(dy) / 2


class HalvedLoss(SoftmaxCrossEntropy):
    def backward(self):
        return super().backward() / 2


def test_in_eval_mode_all_passes_are_those_of_eval_mode_and_the_mode_is_put_back():
    modes = set()

    class Watching(ReLU):
        def forward(self, x):
            modes.add(self.training)
            return super().forward(x)

    layer = Sequential(norm=BatchNorm1d(4), watching=Watching()).astype(np.float64).train()
    report = check_layer(layer, ROWS, training=False)
    assert report.ok, report
    assert modes == {False}
    assert all(inner.training and inner.remembers for _, inner in layer.walk())


def test_what_is_no_array_is_refused_by_its_type():
    with pytest.raises(TypeError, match="need float64, and w is list"):
        check_function(lambda w: np.square(w), lambda dy: {"w": dy}, {"w": [1.0, 2.0]})


def test_a_sample_is_of_different_elements():
    before, moved = np.arange(1.0, 31), set()

    def forward(x):
        moved.update(np.flatnonzero(x != before))
        return x**2

    assert check_function(forward, lambda dy: {"x": 2 * before * dy}, {"x": before.copy()}, elements=29).arrays[0].checked == 29
    assert len(moved) == 29


def test_a_single_number_before_all_else_makes_no_batch_of_two():
    t, x = np.array(3.0), ROWS.copy()
    report = check_function(lambda t, x: t * x, lambda dy: {"t": np.sum(dy * x), "x": 2 * t * dy}, {"t": t, "x": x})
    assert [check.guess != "" for check in report.arrays] == [False, True]
    assert "multiplied by 2" in report.arrays[1].guess and "batch size" not in report.arrays[1].guess


def test_each_backward_follows_a_forward_with_the_arrays_as_they_are():
    x, w = ROWS.copy(), np.random.default_rng(3).standard_normal((4, 4))
    last, in_time = {}, []

    def forward(x, w):
        last.update(x=x.copy(), w=w.copy())
        return np.tanh(np.tanh(x @ w) @ w)

    def backward(dy):
        in_time.append(np.array_equal(last["x"], x) and np.array_equal(last["w"], w))
        h = np.tanh(x @ w)
        d = dy * (1 - np.tanh(h @ w) ** 2)
        return {"x": (d @ w.T * (1 - h**2)) @ w.T, "w": h.T @ d}  # the second use of w alone

    assert "in 2 places or more" in check_function(forward, backward, {"x": x, "w": w}).arrays[1].guess
    assert len(in_time) > 2 and all(in_time)  # two equal passes, and once more for a single output


@pytest.mark.parametrize("slope", [-1.3, 1.3])
def test_beside_both_slopes_of_a_kink_a_gradient_is_wrong(slope):
    x = np.array([0.0, 2.0])
    report = check_function(lambda x: np.abs(x), lambda dy: {"x": [slope, 1.0] * dy}, {"x": x})
    assert not report.ok and report.kinks == 0


def test_what_is_drawn_is_that_of_seed_0_or_of_a_generator_that_is_given():
    x = np.random.default_rng(2).standard_normal((40, 10))
    wrong = {
        "layer": lambda **options: check_layer(Halved(), x, **options),
        "loss": lambda **options: check_loss(HalvedLoss(), x, np.arange(40) % 10, **options),
        "function": lambda **options: check_function(lambda x: x**2, lambda dy: {"x": x * dy}, {"x": x}, **options),
    }
    for check in wrong.values():
        assert str(check()) == str(check(rng=0)) != str(check(rng=1))
    for check in (wrong["layer"], wrong["function"]):
        given, equal = np.random.default_rng(5), np.random.default_rng(5)
        assert str(check(rng=given)) == str(check(rng=equal)) != str(check(rng=given)), "it has moved on"


def test_the_floor_of_relative_errors_is_a_thousandth_of_the_largest_element():
    size = np.array([1.0, 4e-4])  # |a| + |n| = 8e-4 of the second one is below the floor
    for wrong_by, passes in ((2e-6, True), (3e-6, False)):
        given = size * [1, 1 + wrong_by]
        report = check_function(lambda x: np.sum(size * x), lambda dy, g=given: {"x": g}, {"x": np.array([0.3, -0.7])})
        assert report.ok == passes


def test_passes_repeat_up_to_rounding_errors_relative_to_the_largest_element():
    for noise, repeats in ((1e-14, True), (1e-6, False)):
        passes = [np.array([0.0, 2.0]), np.array([noise, 2.0])]
        report = check_function(lambda x: np.sum(x**2), lambda dy, p=passes: {"x": p.pop(0)}, {"x": np.array([0.0, 1.0])})
        assert report.ok == repeats and report.max_error < 1e-6


def test_an_infinite_gradient_fails_and_is_the_worst():
    given = np.array([2.0, -np.inf, 6.0])
    report = check_function(lambda x: np.sum(x**2), lambda dy: {"x": given}, {"x": np.array([1.0, 2.0, 3.0])})
    assert not report.ok and report.max_error == np.inf
    assert report.arrays[0].worst == (1,) and "infinite" in report.arrays[0].guess


def test_of_equally_wrong_elements_the_first_is_named():
    given = np.array([2.0, np.nan, np.nan])
    report = check_function(lambda x: np.sum(x**2), lambda dy: {"x": given}, {"x": np.array([1.0, 2.0, 3.0])})
    assert report.arrays[0].worst == (1,)


def test_an_argument_that_holds_nan_is_not_taken_for_a_changed_one():
    x = np.array([1.0, np.nan])
    assert check_function(lambda x: x[:1] ** 2, lambda dy: {"x": np.array([2.0, 0.0]) * dy}, {"x": x}).faults == []


# ---- the report


def test_the_report_of_a_wrong_gradient_is_its_worst_element_and_a_guess():
    report = check_function(lambda w: w**2, lambda dy: {"w": -2 * dy * [1.0, 2.0]}, {"w": np.array([1.0, 2.0])})
    first, array, worst, guess = str(report).splitlines()
    assert first == "function: WRONG (largest relative error 1.0e+00, allowed 1e-06)"
    assert array == "  w (2,): all 2 elements, relative error up to 1.0e+00"
    assert worst.startswith("    worst at w[") and guess.startswith("    guess: the sign is flipped")


def test_an_error_of_just_the_tolerance_is_reported_as_a_right_gradient_is():
    report = Report("function", 0.5, [ArrayCheck("x", (2,), checked=2, max_error=0.5, worst=(1,))])
    assert report.ok and str(report).splitlines() == [
        "function: all gradients are right (largest relative error 5.0e-01, allowed 5e-01)",
        "  x (2,): all 2 elements, relative error up to 5.0e-01",
    ]


def test_an_error_of_just_the_tolerance_needs_no_guess():
    report = check_function(lambda x: np.sum(x), lambda dy: {"x": np.array([3.0])}, {"x": np.array([1.0])}, tolerance=0.5)
    assert report.ok and report.max_error == 0.5 and report.arrays[0].guess == ""


def test_a_check_whose_numbers_are_right_fails_by_its_faults():
    assert str(Report("function", 1e-6, faults=["forward() does not repeat"])).splitlines() == [
        "function: FAILED (largest relative error 0.0e+00, allowed 1e-06)",
        "  forward() does not repeat",
    ]


def test_a_gradient_that_is_rightly_zero_has_no_guess():
    x, b = ROWS.copy(), np.zeros(4)
    report = check_function(lambda x, b: x**2 - (b - b), lambda dy: {"x": 2 * x * dy, "b": np.zeros(4)}, {"x": x, "b": b})
    assert report.ok and [(check.is_zero, check.guess) for check in report.arrays] == [(False, ""), (True, "")]


def test_the_report_says_where_no_pattern_is_known():
    x = np.arange(1.0, 8)
    wrong = 2 * x * [1.1, 1.3, 0.4, 0.6, 2.2, -0.7, 1.9]
    report = check_function(lambda x: x**2, lambda dy: {"x": wrong * dy}, {"x": x})
    assert str(report).splitlines()[-1] == "    guess: none; the wrong elements show no pattern that is known here"


def test_the_report_of_kinks_alone_says_so_and_guesses_nothing():
    assert str(check_layer(ReLU(), np.zeros((2, 3)))).splitlines() == [
        "ReLU: WRONG (largest relative error inf, allowed 1e-06)",
        "  x (2, 3): all 6 elements, 6 of them at a kink and skipped, relative error up to inf",
        "    every element lies at a kink, so nothing was checked: choose inputs that keep away from them",
    ]


# ---- what rounding noise hides at the usual step


def test_a_small_gradient_where_there_is_none_is_noticed_although_the_function_is_curved():
    # at w = 0 all of the change is the curve's, by which the largest steps disagree
    for curve in (1.5e-10, 0):
        report = check_function(
            lambda w, c=curve: np.sum(1 + c * w**3), lambda dy: {"w": 0.9e-10 * np.ones(1)}, {"w": np.zeros(1)}
        )
        assert report.arrays[0].max_error > 0.9


@pytest.mark.parametrize("size", [1e-9, 3e-9])
def test_what_rounding_does_to_the_last_digit_of_an_output_is_no_error(size):
    x = np.random.default_rng(1).standard_normal(300)
    report = check_function(lambda x: 1 + size * x, lambda dy: {"x": size * dy}, {"x": x})
    assert report.ok, report


def test_what_noise_hides_at_the_usual_step_must_be_right_to_two_percent():
    # 1 + 1e-9 w: with a step of 1e-5 its last digit changes or not, with one of 0.01 the derivative has five digits
    for wrong_by, passes in ((0.015, True), (0.03, False)):
        given = np.array([1e-9 * (1 + wrong_by)])
        report = check_function(lambda w: np.sum(1 + 1e-9 * w), lambda dy, g=given: {"w": g}, {"w": np.array([0.5])})
        assert report.ok == passes


def test_an_output_without_numbers_cannot_be_checked():
    report = check_function(lambda x: x[:0], lambda dy: {"x": np.ones(3)}, {"x": np.ones(3)})
    assert not report.ok and "nothing to differentiate" in str(report)
