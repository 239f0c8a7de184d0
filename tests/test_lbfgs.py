"""L-BFGS and its line search: worked by hand, checked against the definitions, and against PyTorch's and SciPy's."""

import math

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

from minicnn.errors import TrainingError
from minicnn.layers import Linear, Sequential, Tanh
from minicnn.layers.base import Parameter
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import LBFGS, FullBatchOptimizer
from minicnn.optim.line_search import C1, C2, TRIALS, Point, strong_wolfe


def minimising(function, gradient, *starts, dtype=np.float64, **options):
    """An optimiser of parameters "0", "1", ..., the function it is given, and the weights at which that was asked."""
    parameters = {str(i): Parameter(np.array(start, dtype)) for i, start in enumerate(starts)}
    asked = []

    def evaluate():
        w = np.concatenate([p.value.ravel() for p in parameters.values()]).astype(np.float64)
        asked.append(w)
        pieces = np.split(gradient(w), np.cumsum([p.value.size for p in parameters.values()])[:-1])
        for parameter, piece in zip(parameters.values(), pieces, strict=True):
            parameter.grad = piece.reshape(parameter.value.shape).astype(dtype)
        return function(w)

    return LBFGS(parameters, **options), evaluate, asked


def weights(optimizer):
    return np.concatenate([p.value.ravel() for p in optimizer.parameters.values()])


def bowl(curvature):
    curvature = np.array(curvature, float)
    return lambda w: 0.5 * curvature @ w**2, lambda w: curvature * w


def softmax_regression():
    """A loss of 12 weights, a (3, 3) and b (3,), with all its curvature different; as in `minimising`, and for PyTorch."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)), rng.integers(3, size=30)
    x[:, 2] *= 5

    def probabilities(w):
        scores = x @ w[:9].reshape(3, 3).T + w[9:]
        scores = scores - scores.max(axis=1, keepdims=True)
        return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)

    def function(w):
        return -np.log(probabilities(w)[np.arange(30), y]).mean() + 0.01 * w @ w

    def gradient(w):
        d = (probabilities(w) - np.eye(3)[y]) / 30
        return np.concatenate([(d.T @ x).ravel(), d.sum(axis=0)]) + 0.02 * w

    return function, gradient, x, y


# ---- two steps worked by hand


def test_two_steps_worked_by_hand():
    """f = w1^2 / 2 + 2 w2^2 from (2, 0.5), where g = (2, 2).

    Nothing is remembered: p = -g, and alpha = min(1, 1 / (2 + 2)) = 1/4 goes to (1.5, 0). f falls from 2.5 to 1.125, by more
    than 1e-4 * 8/4, and the slope there, (1.5, 0) . (-2, -2) = -3, is within 0.9 of -8. So s = (-1/2, -1/2), y = (-1/2, -2).

    Second step: g = (1.5, 0), s.y = 5/4, rho = 4/5, gamma = (5/4) / (17/4) = 5/17. alpha_1 = rho s.q = 4/5 * -3/4 = -3/5;
    q = (1.5, 0) + 3/5 (-1/2, -2) = (1.2, -1.2); r = 5/17 q = (6/17, -6/17); beta = rho y.r = 4/5 * (-3/17 + 12/17) = 36/85;
    r + s (alpha_1 - beta) = (6/17, -6/17) + 87/85 (1/2, 1/2) = (147/170, 27/170). With alpha = 1, w = (1.5, 0) - that.
    """
    optimizer, evaluate, asked = minimising(*bowl([1, 4]), [2.0, 0.5])
    assert optimizer.step(evaluate) == 2.5
    np.testing.assert_allclose(weights(optimizer), [1.5, 0])
    assert optimizer.step(evaluate) == 1.125
    np.testing.assert_allclose(weights(optimizer), [1.5 - 147 / 170, -27 / 170])
    assert len(asked) == 4  # at the start of each, and at the first alpha


def test_the_learning_rate_is_the_length_that_is_tried_first():
    for rate in (0.5, 1.0):
        optimizer, evaluate, asked = minimising(*bowl([1, 4]), [2.0, 0.5], learning_rate=rate)
        optimizer.step(evaluate)
        np.testing.assert_allclose(asked[1], [2 - rate / 2, 0.5 - rate / 2])


def test_a_small_gradient_is_not_made_longer_at_first():
    optimizer, evaluate, asked = minimising(*bowl([1, 2]), [0.1, 0.05])
    optimizer.step(evaluate)
    np.testing.assert_allclose(asked[1], [0, -0.05])


# ---- the estimate of the inverse Hessian


@pytest.mark.parametrize(("memory", "steps"), [(10, 4), (3, 7), (1, 3)])
def test_the_recursion_is_the_formula_with_matrices(memory, steps):
    """H <- V^T H V + rho s s^T with V = I - rho y s^T, from gamma I, for the last m pairs: Nocedal and Wright, eq. 7.16."""
    optimizer, evaluate, _ = minimising(rosen, rosen_der, [[-1.2, 1.0], [0.3, 0.2]], [0.5], memory=memory)
    points = [weights(optimizer)]
    for _ in range(steps):
        optimizer.step(evaluate)
        points.append(weights(optimizer))
    S = np.diff(points, axis=0)[-memory:]
    Y = np.diff([rosen_der(w) for w in points], axis=0)[-memory:]
    assert all(s @ y > 0 for s, y in zip(S, Y, strict=True))
    H = S[-1] @ Y[-1] / (Y[-1] @ Y[-1]) * np.eye(5)
    for s, y in zip(S, Y, strict=True):
        rho = 1 / (y @ s)
        V = np.eye(5) - rho * np.outer(y, s)
        H = V.T @ H @ V + rho * np.outer(s, s)
    g = rosen_der(points[-1])
    np.testing.assert_allclose(optimizer._inverse_hessian_times(g, optimizer._objective(evaluate)), H @ g, rtol=1e-8)


# ---- oracles


@pytest.mark.parametrize("memory", [3, 10])
def test_the_path_is_pytorchs(memory):
    """The same weights after each step, and as many evaluations, as long as digits allow."""
    torch = pytest.importorskip("torch")
    function, gradient, x, y = softmax_regression()
    ours, evaluate, asked = minimising(function, gradient, np.zeros((3, 3)), np.zeros(3), memory=memory)
    a, b = (torch.zeros(size, dtype=torch.float64, requires_grad=True) for size in ((3, 3), (3,)))
    options = {"history_size": memory, "line_search_fn": "strong_wolfe", "tolerance_grad": 0, "tolerance_change": 0}
    theirs = torch.optim.LBFGS([a, b], lr=1, max_iter=1, max_eval=100, **options)
    their_calls = 0

    def closure():
        nonlocal their_calls
        their_calls += 1
        theirs.zero_grad()
        scores = torch.tensor(x) @ a.T + b
        value = torch.nn.functional.cross_entropy(scores, torch.tensor(y)) + 0.01 * ((a**2).sum() + (b**2).sum())
        value.backward()
        return value

    for _ in range(14):
        assert ours.step(evaluate) == pytest.approx(float(theirs.step(closure).detach()), rel=1e-12)
        np.testing.assert_allclose(weights(ours)[:9], a.detach().numpy().ravel(), rtol=1e-6, atol=1e-9)
    assert len(asked) == their_calls


def test_a_hundred_steps_reach_scipys_minimum_with_as_few_evaluations():
    from scipy.optimize import minimize

    function, gradient, _, _ = softmax_regression()
    for f, df, start in ((function, gradient, np.zeros(12)), (rosen, rosen_der, np.array([-1.2, 1.0, 0.3, 0.2, 0.5]))):
        theirs = minimize(f, start, jac=df, method="L-BFGS-B", options={"gtol": 1e-7, "ftol": 0})
        optimizer, evaluate, asked = minimising(f, df, start)
        assert optimizer.step(evaluate, iterations=100) == f(start)
        assert np.abs(df(weights(optimizer))).max() <= 1e-7
        np.testing.assert_allclose(weights(optimizer), theirs.x, atol=1e-5)
        assert len(asked) < 1.5 * theirs.nfev


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_change_in_place_and_keep_their_dtype(dtype):
    optimizer, evaluate, _ = minimising(*bowl([1, 10, 100]), [[3.0, -1.0]], [2.0], dtype=dtype)
    arrays = [parameter.value for parameter in optimizer.parameters.values()]
    optimizer.step(evaluate, iterations=50)
    assert all(parameter.value is array for parameter, array in zip(optimizer.parameters.values(), arrays, strict=True))
    assert arrays[0].shape == (1, 2) and arrays[0].dtype == dtype
    np.testing.assert_allclose(weights(optimizer), 0, atol=1e-6)


# ---- when it ends, and what it forgets


def test_it_ends_where_no_element_of_the_gradient_is_above_the_tolerance():
    optimizer, evaluate, asked = minimising(*bowl([1, 1]), [0.25, -0.5], tolerance=0.5)
    optimizer.step(evaluate, iterations=5)
    assert len(asked) == 1 and weights(optimizer).tolist() == [0.25, -0.5]
    optimizer.tolerance = 0.499
    optimizer.step(evaluate, iterations=5)
    assert len(asked) == 3 and optimizer.state["0"]["t"] == 1


def test_where_nothing_is_better_it_drops_what_it_remembers_and_then_ends():
    """A loss that is rounded to two digits, with a gradient that promises more."""
    optimizer, evaluate, asked = minimising(lambda w: round(rosen(w), 2), rosen_der, [-1.2, 1.0])
    optimizer.step(evaluate, iterations=1000)
    assert rosen(weights(optimizer)) < 0.1 and np.abs(rosen_der(weights(optimizer))).max() > optimizer.tolerance
    assert optimizer.state == {}
    before, calls = weights(optimizer), len(asked)
    assert calls < 300
    optimizer.step(evaluate, iterations=1000)
    assert len(asked) == calls + 1 + TRIALS + 1 and np.array_equal(weights(optimizer), before)


def test_after_a_search_in_vain_the_weights_are_not_where_it_tried_last():
    optimizer, evaluate, asked = minimising(lambda w: float(w[0] != 0), lambda w: -np.ones(1), [0.0])
    optimizer.step(evaluate)
    assert weights(optimizer)[0] == 0 and asked[-1][0] > 0


def test_a_network_is_trained_by_the_function_of_the_docstring():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 2)).astype(np.float32), np.arange(40) % 2
    x[y == 1] *= 3  # a ring around the others: no straight line parts them
    net = Sequential(hidden=Linear(2, 8, rng=0), tanh=Tanh(), scores=Linear(8, 2, rng=1)).train()
    loss, optimizer = SoftmaxCrossEntropy(), LBFGS(net.parameters())

    def evaluate():
        value = loss.forward(net.forward(x), y)
        net.backward(loss.backward())
        return value

    losses = [optimizer.step(evaluate, iterations=10) for _ in range(5)]
    assert losses == sorted(losses, reverse=True) and losses[0] > 0.5 and evaluate() < 0.2


def test_a_step_without_upward_curvature_is_not_remembered():
    optimizer, evaluate, _ = minimising(lambda w: -w.sum(), lambda w: -np.ones(1), [0.0])
    optimizer.step(evaluate)
    assert weights(optimizer)[0] > 1 and optimizer.state == {}


def test_curvature_within_rounding_is_not_remembered():
    """s = (100, 0), y = (1/2, 10^16): s.y is 50, and rounding eps |s| |y| = 222."""
    gradients = {0.0: [-1.0, 0.0], 100.0: [-0.5, 1e16]}
    optimizer, evaluate, _ = minimising(lambda w: -w[0], lambda w: np.array(gradients[w[0]]), [0.0, 0.0], learning_rate=100.0)
    optimizer.step(evaluate)
    assert weights(optimizer).tolist() == [100, 0] and optimizer.state == {}


def test_when_other_parameters_are_trained_it_starts_anew():
    optimizer, evaluate, _ = minimising(*bowl([1, 10, 100]), [3.0, -1.0], [2.0])
    optimizer.step(evaluate, iterations=3)
    optimizer.parameters["1"].trainable = False
    frozen = optimizer.parameters["1"].value.copy()
    optimizer.step(evaluate)
    assert optimizer.state.keys() == {"0"} and optimizer.state["0"]["t"] == 1
    assert optimizer.parameters["1"].value == frozen


def test_a_run_that_was_saved_goes_on_to_the_bit():
    whole, evaluate, _ = minimising(rosen, rosen_der, [-1.2, 1.0, 0.3], [0.5], memory=3)
    whole.step(evaluate, iterations=5)
    saved, there = whole.state_dict(), weights(whole)
    whole.step(evaluate, iterations=6)
    rest, evaluate, _ = minimising(rosen, rosen_der, there[:3], there[3:], memory=3)
    rest.load_state_dict(saved)
    rest.step(evaluate, iterations=6)
    assert np.array_equal(weights(rest), weights(whole))
    other, _, _ = minimising(rosen, rosen_der, there[:3], there[3:], memory=4)
    with pytest.raises(ValueError, match="LBFGS has memory=4, and the saved state is of one with memory=3"):
        other.load_state_dict(saved)


# ---- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be a number above 0, got 0.0"),
        ({"learning_rate": math.inf}, "learning_rate must be a number above 0, got inf"),
        ({"memory": 0}, "memory must be a whole number from 1 up, got 0"),
        ({"tolerance": -1}, "tolerance must be a number from 0 up, got -1"),
    ],
)
def test_impossible_constants_are_refused(options, message):
    with pytest.raises(ValueError, match=f"LBFGS: {message}"):
        LBFGS({"w": Parameter(np.zeros(1))}, **options)


def test_steps_on_batches_are_refused_with_the_way_out():
    with pytest.raises(TypeError, match=r"takes a function that computes the loss of all .* got float; .* use SGD or AdamW"):
        LBFGS({"w": Parameter(np.zeros(1))}).step(1.0)


def test_what_cannot_be_minimised_is_refused_and_the_weights_stay():
    optimizer, evaluate, _ = minimising(*bowl([1, 1]), [0.25], [-0.5])
    with pytest.raises(ValueError, match="iterations must be a whole number from 1 up, got 0"):
        optimizer.step(evaluate, iterations=0)
    optimizer.parameters["1"].learning_rate_multiplier = 0.5
    with pytest.raises(ValueError, match=r"moves all weights together, and 1 has a learning_rate_multiplier of 0.5"):
        optimizer.step(evaluate)
    optimizer.parameters["1"].learning_rate_multiplier = 1.0
    with pytest.raises(ValueError, match="left 0, 1 without a gradient"):
        optimizer.step(lambda: 1.0)
    optimizer.parameters["1"].value.flags.writeable = False
    with pytest.raises(ValueError, match="1 cannot be changed: its array is read-only"):
        optimizer.step(evaluate)
    for parameter in optimizer.parameters.values():
        parameter.trainable = False
    with pytest.raises(ValueError, match="nothing to change: all of its parameters are frozen"):
        optimizer.step(evaluate)
    assert weights(optimizer).tolist() == [0.25, -0.5]


def test_a_gradient_of_another_shape_is_refused_by_name():
    optimizer, evaluate, _ = minimising(*bowl([1, 1]), [0.25], [-0.5])

    def evaluate_and_confuse():
        value = evaluate()
        optimizer.parameters["1"].grad = np.zeros((1, 1))
        return value

    with pytest.raises(ValueError, match=r"1 has shape \(1,\), its gradient \(1, 1\)"):
        optimizer.step(evaluate_and_confuse)


def test_a_gradient_of_before_is_not_taken_for_that_of_this_loss():
    optimizer, evaluate, _ = minimising(*bowl([1, 1]), [0.25], [-0.5])
    evaluate()
    with pytest.raises(ValueError, match="left 0, 1 without a gradient"):
        optimizer.step(lambda: 1.0)


@pytest.mark.parametrize(
    ("function", "gradient"),
    [(lambda w: math.nan, lambda w: w), (lambda w: math.inf, lambda w: w), (lambda w: 1.0, lambda w: w / 0)],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_it_does_not_start_where_the_loss_is_not_finite(function, gradient):
    optimizer, evaluate, _ = minimising(function, gradient, [0.5])
    with pytest.raises(TrainingError, match="cannot start where the loss is"):
        optimizer.step(evaluate)


def test_an_error_in_the_middle_leaves_the_weights_as_they_were():
    optimizer, evaluate, asked = minimising(*bowl([1, 10]), [3.0, 1.0])

    def breaks():
        if len(asked) == 3:
            raise RuntimeError("out of memory")
        return evaluate()

    with pytest.raises(RuntimeError, match="out of memory"):
        optimizer.step(breaks, iterations=9)
    assert weights(optimizer).tolist() == [3.0, 1.0]


def test_a_new_full_batch_optimiser_is_told_what_to_write():
    class Nothing(FullBatchOptimizer):
        pass

    with pytest.raises(NotImplementedError, match=r"Nothing must write step\(evaluate\)"):
        Nothing({"w": Parameter(np.zeros(1))}, 1.0).step(lambda: 0.0)


# ---- the line search


def along(f, df, tried):
    def phi(alpha):
        tried.append(alpha)
        return Point(alpha, f(alpha), df(alpha), np.array([alpha]), np.array([df(alpha)]))

    return phi


FUNCTIONS = {
    "a parabola": (lambda a: (a - 1) ** 2, lambda a: 2 * (a - 1)),
    "a steep wall": (lambda a: -a + a**20, lambda a: -1 + 20 * a**19),
    "a long way down": (lambda a: -a / (a * a + 2), lambda a: (a * a - 2) / (a * a + 2) ** 2),  # More and Thuente, 5.1
    "waves": (lambda a: -a - 0.3 * math.sin(8 * a) + 0.1 * a * a, lambda a: -1 - 2.4 * math.cos(8 * a) + 0.2 * a),
    "overflow": (lambda a: -math.log(1 - a) - 5 * a if a < 1 else math.nan, lambda a: 1 / (1 - a) - 5 if a < 1 else math.nan),
}


@pytest.mark.parametrize("first", [1e-3, 0.1, 0.9, 1.0, 3.0, 10.0, 1000.0])
@pytest.mark.parametrize(("f", "df"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_what_is_found_satisfies_both_conditions_from_wherever_it_starts(f, df, first):
    tried = []
    phi = along(f, df, tried)
    start = Point(0.0, f(0), df(0), np.zeros(1), np.array([df(0)]))
    found = strong_wolfe(phi, start, first)
    assert found.alpha > 0
    assert f(found.alpha) <= f(0) + C1 * found.alpha * df(0)
    assert abs(df(found.alpha)) <= C2 * abs(df(0))
    assert tried[0] == first and found.alpha in tried and len(tried) <= 20
    assert found.w[0] == found.alpha and found.value == f(found.alpha)


def test_the_first_step_is_taken_if_it_will_do():
    f, df = FUNCTIONS["a parabola"]
    tried = []
    start = Point(0.0, 1.0, -2.0, np.zeros(1), np.array([-2.0]))
    assert strong_wolfe(along(f, df, tried), start, 0.5).alpha == 0.5
    assert tried == [0.5]


def test_a_parabola_is_known_from_two_points():
    """From too far, the cubic through both ends is the parabola itself, whose minimum is at 1."""
    f, df = FUNCTIONS["a parabola"]
    for first in (2.1, 5.0, 0.04):  # beyond, far beyond, and before the minimum
        tried = []
        start = Point(0.0, 1.0, -2.0, np.zeros(1), np.array([-2.0]))
        found = strong_wolfe(along(f, df, tried), start, first)
        assert found.alpha == pytest.approx(1 if first > 1 else 0.4)  # at most ten times as far
        assert len(tried) == 2


def test_the_constants_are_the_books():
    assert (C1, C2) == (1e-4, 0.9)


def test_where_it_only_goes_down_it_gives_up_far_away():
    tried = []
    found = strong_wolfe(along(lambda a: -a, lambda a: -1.0, tried), Point(0.0, 0.0, -1.0, np.zeros(1), np.ones(1)), 1.0)
    assert len(tried) == TRIALS and found.alpha > 1


def test_where_nothing_is_lower_the_start_is_returned():
    start = Point(0.0, 0.0, -1.0, np.zeros(1), np.ones(1))
    tried = []
    assert strong_wolfe(along(lambda a: 1.0, lambda a: -1.0, tried), start, 1.0) is start
    assert len(tried) == TRIALS + 1


def tries(first, *found, slope=-1.0):
    """The lengths that are tried from phi(0) = 0 and a slope, if phi and phi' are one after another what is found there."""
    tried, found = [], iter(found)

    def phi(alpha):
        tried.append(alpha)
        return Point(alpha, *next(found), np.array([alpha]), np.ones(1))

    assert strong_wolfe(phi, Point(0.0, 0.0, slope, np.zeros(1), np.array([slope])), first).alpha == tried[-1]
    assert next(found, None) is None
    return tried


def test_both_conditions_may_hold_with_equality():
    assert tries(1.0, (-C1 * 2, -C2 * 2), slope=-2.0) == [1.0]
    assert tries(1.0, (100.0, 0.0), (-C1 * 0.1 * 2, -C2 * 2), slope=-2.0) == [1.0, 0.1]


def test_a_trial_keeps_its_distance_from_those_before():
    lowest = (-20.0, 0.0)
    # the cubic's minimum is behind: it goes on by a hundredth of the way from the last one
    assert tries(1.0, (-0.4, -2.0), (-0.404, -2.0), lowest) == pytest.approx([1, 1.01, 1.0101], rel=1e-12)
    # there is no minimum: the middle of what is allowed, 1.01 to 10
    assert tries(1.0, (-1.0, -1.0), lowest) == pytest.approx([1, 5.505])
    # the minimum is near an end of the interval: a tenth of its length from there
    assert tries(1.0, (100.0, 0.0), (-1.0, 0.0)) == pytest.approx([1, 0.1])
    assert tries(1.0, (-10.0, 1.0), lowest) == pytest.approx([1, 0.9])
    # and the same in the interval from 1 to 1.01
    assert tries(1.0, (-0.4, -2.0), (100.0, 0.0), lowest) == pytest.approx([1, 1.01, 1.001], rel=1e-12)


def test_a_point_that_is_no_lower_ends_the_interval():
    lowest = (-20.0, 0.0)
    *_, last, between = tries(1.0, (-0.4, -2.0), (-0.4, -2.0), lowest)
    assert 1 < between < last
    *_, low, last, between = tries(1.0, (100.0, 0.0), (-0.5, -1.5), (-0.5, -1.5), lowest)
    assert low < between < last


def test_a_slope_upwards_means_that_the_minimum_is_behind():
    first, second = tries(1.0, (-0.5, 0.95), (-20.0, 0.0))
    assert 0 < second < first
