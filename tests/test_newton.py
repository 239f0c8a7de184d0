"""Newton's method: two steps worked by hand, an independent loop, and what it is not for."""

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der, rosen_hess

from minicnn.layers.base import Parameter
from minicnn.optim import Newton


def minimising(function, gradient, *starts, **options):
    parameters = {str(i): Parameter(np.array(start, float)) for i, start in enumerate(starts)}

    def evaluate():
        w = np.concatenate([p.value.ravel() for p in parameters.values()])
        pieces = np.split(gradient(w), np.cumsum([p.value.size for p in parameters.values()])[:-1])
        for parameter, piece in zip(parameters.values(), pieces, strict=True):
            parameter.grad = piece.reshape(parameter.value.shape)
        return float(function(w))

    return Newton(parameters, **options), evaluate


def weights(optimizer):
    return np.concatenate([p.value.ravel() for p in optimizer.parameters.values()])


QUARTIC = (lambda w: (w**4).sum(), lambda w: 4 * w**3)


@pytest.mark.parametrize("hessian", [lambda w: np.diag(12 * w**2), None], ids=["given", "measured"])
@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({}, [2 / 3, 4 / 9]),  # w - 4 w^3 / 12 w^2 = 2/3 w
        ({"learning_rate": 0.5}, [5 / 6, 25 / 36]),  # 5/6 w
        ({"damping": 4.0}, [3 / 4, 3 / 4 - 4 * (3 / 4) ** 3 / (12 * (3 / 4) ** 2 + 4)]),  # 1 - 4/16
    ],
)
def test_two_steps_worked_by_hand(options, path, hessian):
    optimizer, evaluate = minimising(*QUARTIC, [1.0], hessian=hessian, **options)
    losses = [optimizer.step(evaluate)]
    assert weights(optimizer)[0] == pytest.approx(path[0], rel=1e-8)
    losses.append(optimizer.step(evaluate))
    assert weights(optimizer)[0] == pytest.approx(path[1], rel=1e-8)
    assert losses == pytest.approx([1.0, path[0] ** 4])


def test_one_step_is_enough_in_the_narrowest_valley():
    H = np.array([[1000.0, 30.0], [30.0, 1.0]])
    optimizer, evaluate = minimising(lambda w: w @ H @ w / 2, lambda w: H @ w, [3.0, -7.0])
    optimizer.step(evaluate)
    np.testing.assert_allclose(weights(optimizer), 0, atol=1e-6)


@pytest.mark.parametrize("hessian", [rosen_hess, None], ids=["given", "measured"])
def test_a_hundred_steps_are_those_of_an_independent_loop(hessian):
    w = np.array([-1.2, 1.0, 0.3, 0.2, 0.5])
    optimizer, evaluate = minimising(
        rosen, rosen_der, w[:4].reshape(2, 2), w[4:], learning_rate=0.2, damping=3.0, hessian=hessian
    )
    for _ in range(100):
        optimizer.step(evaluate)
        w = w - 0.2 * np.linalg.inv(rosen_hess(w) + 3 * np.eye(5)) @ rosen_der(w)
        np.testing.assert_allclose(weights(optimizer), w, rtol=1e-10 if hessian else 1e-5)


def test_without_damping_it_goes_to_the_saddle_and_with_it_away():
    saddle = (lambda w: w[0] ** 2 - w[1] ** 2, lambda w: np.array([2.0, -2.0]) * w)
    optimizer, evaluate = minimising(*saddle, [1.0, 0.1])
    optimizer.step(evaluate)
    np.testing.assert_allclose(weights(optimizer), 0, atol=1e-9)
    optimizer, evaluate = minimising(*saddle, [1.0, 0.1], damping=4.0)
    optimizer.step(evaluate)
    np.testing.assert_allclose(weights(optimizer), [1 - 2 / 6, 0.1 + 0.2 / 2])


def test_frozen_weights_have_no_part_in_it():
    optimizer, evaluate = minimising(*QUARTIC, [1.0], [2.0])
    optimizer.parameters["1"].trainable = False
    optimizer.step(evaluate)
    np.testing.assert_allclose(weights(optimizer), [2 / 3, 2])


def test_differences_are_taken_where_the_weights_are_and_in_proportion_to_them():
    """Of (w - 1)^4 at 100 000, where h = 6e-6 would be lost in rounding, and at 0, where h in proportion would be nothing."""
    optimizer, evaluate = minimising(lambda w: ((w - 1) ** 4).sum(), lambda w: 4 * (w - 1) ** 3, [1e5 + 1, 0.0])
    optimizer.step(evaluate)
    np.testing.assert_allclose(weights(optimizer), [2e5 / 3 + 1, 1 / 3], rtol=1e-8)


def test_what_is_too_much_for_newton_is_refused():
    optimizer, evaluate = minimising(lambda w: w @ w, lambda w: 2 * w, np.zeros((7, 11, 13)))
    with pytest.raises(ValueError, match=r"1000 weights at most, got 1001, whose Hessian has 1e\+06 elements; use LBFGS"):
        optimizer.step(evaluate)
    largest, evaluate = minimising(lambda w: w @ w, lambda w: 2 * w, np.ones(1000), hessian=lambda w: 2 * np.eye(1000))
    largest.step(evaluate)
    assert not weights(largest).any()
    single = Newton({"w": Parameter(np.zeros(2, np.float32))})
    with pytest.raises(ValueError, match=r"in float64, and w is float32; convert with layer.astype\(np.float64\)"):
        single.step(lambda: 0.0)


@pytest.mark.parametrize(
    ("hessian", "damping", "message"),
    [
        (lambda w: np.eye(3), 0.0, r"finite Hessian of shape \(2, 2\), got \(3, 3\)"),
        (lambda w: np.array([[1.0, 0.0], [0.0, np.nan]]), 0.0, "needs a finite Hessian"),
        (lambda w: np.zeros((2, 2)), 0.0, r"where H \+ damping I is singular, damping=0.0; give it some"),
        (lambda w: -np.eye(2), 1.0, "singular, damping=1.0"),
    ],
)
def test_hessians_that_give_no_step_are_refused_and_the_weights_stay(hessian, damping, message):
    optimizer, evaluate = minimising(*QUARTIC, [1.0, 2.0], hessian=hessian, damping=damping)
    with pytest.raises(ValueError, match=message):
        optimizer.step(evaluate)
    assert weights(optimizer).tolist() == [1, 2]


def test_an_error_while_it_measures_leaves_the_weights_as_they_were():
    optimizer, evaluate = minimising(*QUARTIC, [1.0, 2.0])
    calls = iter([False, False, True])

    def breaks():
        if next(calls):
            raise RuntimeError("out of memory")
        return evaluate()

    with pytest.raises(RuntimeError, match="out of memory"):
        optimizer.step(breaks)
    assert weights(optimizer).tolist() == [1, 2]


def test_impossible_constants_are_refused():
    with pytest.raises(ValueError, match="Newton: damping must be a number from 0 up, got -1"):
        minimising(*QUARTIC, [1.0], damping=-1)
    with pytest.raises(TypeError, match=r"Newton.step\(evaluate\) takes a function .* got float"):
        minimising(*QUARTIC, [1.0])[0].step(0.5)


def test_there_is_nothing_to_save_but_the_constants():
    optimizer, evaluate = minimising(*QUARTIC, [1.0], damping=0.5)
    optimizer.step(evaluate)
    saved = optimizer.state_dict()
    assert saved["state"] == {} and saved["constants"] == {"learning_rate": 1.0, "weight_decay": 0.0, "damping": 0.5}
    optimizer.load_state_dict(saved)
    saved["state"] = {"0": {"v": np.zeros(1)}}
    with pytest.raises(ValueError, match=r"of 0 the state holds \[\], and the saved one \['v'\]"):
        optimizer.load_state_dict(saved)
