"""L-BFGS: a quasi-Newton method, which learns the curvature from the gradients of its last steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..layers.base import Parameter
from .full_batch import FullBatchOptimizer, Objective
from .line_search import Point, strong_wolfe


class LBFGS(FullBatchOptimizer):
    """L-BFGS: goes along -H g, with H, an estimate of the inverse Hessian, from the last m steps.

    ::

        p = -H g
        w <- w + alpha p                            alpha from a line search for the strong Wolfe conditions
        s = the change of w,  y = the change of g   remembered, the last m of them, if s^T y > 0

    H g is never more than the sum of such vectors (the two-loop recursion)::

        q <- g
        for i from the latest step to the earliest:   alpha_i = rho_i s_i^T q ;  q <- q - alpha_i y_i
        r <- gamma q
        for i from the earliest step to the latest:   beta = rho_i y_i^T r    ;  r <- r + (alpha_i - beta) s_i
        H g = r

    with rho_i = 1 / (y_i^T s_i), and gamma = s^T y / y^T y of the latest step. The first alpha tried is the learning rate, 1
    unless there is a reason; with nothing remembered, lr min(1, 1 / |g|_1).

    Everything is computed in float64. When the set of trainable parameters changes, or a line search finds nothing better, what
    is remembered is dropped.

    Parameters
    ----------
    parameters : dict of name to Parameter
    learning_rate : float, > 0
    memory : int, >= 1
        m, the steps that are remembered: 2 m more copies of the weights.
    tolerance : float, >= 0
        No step is taken where no element of the gradient is larger.

    Raises
    ------
    ValueError
        As in `Optimizer`; a constant out of range.

    Nocedal and Wright 2006, "Numerical Optimization", second edition, algorithms 7.4 (the recursion) and 7.5.

    >>> weight = Parameter(np.array([3.0, -1.0]))
    >>> def evaluate():  # w1^2 + 10 w2^2
    ...     weight.grad = np.array([2.0, 20.0]) * weight.value
    ...     return float(weight.grad @ weight.value / 2)
    >>> optimizer = LBFGS({"w": weight})
    >>> optimizer.step(evaluate, iterations=20)  # the loss before it
    19.0
    >>> bool(np.abs(weight.value).max() < 1e-6)
    True
    """

    def __init__(self, parameters: dict[str, Parameter], learning_rate: float = 1.0, memory: int = 10, tolerance: float = 1e-7):
        super().__init__(parameters, self._above_zero("learning_rate", learning_rate))
        self.memory, self.tolerance = self._count("memory", memory), self._at_least_zero("tolerance", tolerance)

    def step(self, evaluate: Callable[[], float], iterations: int = 1) -> float:
        """Take ``iterations`` steps, fewer if none is needed or possible any more. See `FullBatchOptimizer.step`.

        The loss is computed once where it starts, and mostly once in each iteration.

        Raises
        ------
        TypeError, ValueError, TrainingError
            As `FullBatchOptimizer.step`; fewer than 1 iterations.
        """
        iterations, objective = self._count("iterations", iterations), self._objective(evaluate)
        if self.state.keys() != objective.parameters.keys():
            self.state = {}
        with objective.restored_after_errors():
            w, first_value, g = objective.at_the_start()
            value = first_value
            for _ in range(iterations):
                if np.abs(g).max() <= self.tolerance:
                    break
                found = self._search(objective, w, value, g)
                if found.alpha == 0:
                    if not self.state:
                        break
                    self.state = {}
                    continue
                self._remember(objective, found.w - w, found.gradient - g)
                w, value, g = found.w, found.value, found.gradient
            objective.move_to(w)
        return first_value

    def _search(self, objective: Objective, w: np.ndarray, value: float, g: np.ndarray) -> Point:
        p = -self._inverse_hessian_times(g, objective)

        def phi(alpha: float) -> Point:
            objective.move_to(w + alpha * p)
            value, gradient = objective()
            return Point(alpha, value, float(gradient @ p), objective.weights(), gradient)

        length = 1.0 if self.state else min(1.0, 1 / float(np.abs(g).sum()))
        return strong_wolfe(phi, Point(0.0, value, float(g @ p), w, g), self.learning_rate * length)

    def _inverse_hessian_times(self, g: np.ndarray, objective: Objective) -> np.ndarray:
        """H g by the two-loop recursion."""
        pairs = self._pairs(objective)
        if not pairs:
            return g
        rho = [1 / float(y @ s) for s, y in pairs]
        alpha = [0.0] * len(pairs)
        q = g.copy()
        for i in reversed(range(len(pairs))):
            s, y = pairs[i]
            alpha[i] = rho[i] * float(s @ q)
            q -= alpha[i] * y
        s, y = pairs[-1]
        r = float(s @ y) / float(y @ y) * q
        for i, (s, y) in enumerate(pairs):
            beta = rho[i] * float(y @ r)
            r += (alpha[i] - beta) * s
        return r

    # ---- the memory: of each parameter the last m steps s and y, in turn in places 0 to m - 1, and how many there were

    def _new_state(self, weights: np.ndarray) -> dict[str, Any]:
        return {"t": 0, "s": np.zeros((self.memory, *weights.shape)), "y": np.zeros((self.memory, *weights.shape))}

    def _remember(self, objective: Objective, s: np.ndarray, y: np.ndarray) -> None:
        if not s @ y > np.finfo(np.float64).eps * np.linalg.norm(s) * np.linalg.norm(y):
            return  # no curvature upwards, or rounding alone
        if not self.state:
            self.state = {name: self._new_state(parameter.value) for name, parameter in objective.parameters.items()}
        s_of, y_of = objective.split(s), objective.split(y)
        for name, state in self.state.items():
            place = state["t"] % self.memory
            state["s"][place], state["y"][place] = s_of[name], y_of[name]
            state["t"] += 1

    def _pairs(self, objective: Objective) -> list[tuple[np.ndarray, np.ndarray]]:
        """s and y of each remembered step, from the earliest to the latest."""
        states = [self.state[name] for name in objective.parameters] if self.state else []
        t = states[0]["t"] if states else 0
        places = [i % self.memory for i in range(max(0, t - self.memory), t)]
        return [tuple(np.concatenate([state[key][i].ravel() for state in states]) for key in "sy") for i in places]
