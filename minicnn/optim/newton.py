"""Newton's method, damped: for functions of a few weights, to see what knowing the curvature is worth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..layers.base import Parameter
from .full_batch import FullBatchOptimizer, Objective

MOST_WEIGHTS = 1000


class Newton(FullBatchOptimizer):
    """Newton's step, to where the parabola that fits the function here has its minimum.

    ::

        w <- w - lr (H + damping I)^-1 g            with the Hessian H = d^2L / dw^2

    On a quadratic function one step is enough, however long and narrow the valley. Damping shortens the step and turns it
    towards the gradient; without it, Newton's method goes to the nearest point where the gradient is zero, be it a saddle or a
    maximum: where H + damping I has a negative eigenvalue, the step goes *up* in that direction.

    Nobody does this to networks: H has D^2 elements, which for the 25 million weights of a ResNet-50 are 2.5 petabytes in
    float32, and solving for the step takes D^3 operations; and from batches, H is far noisier than g. So D is at most 1000
    here, and weights are float64. `LBFGS` estimates the curvature from a few gradients.

    Parameters
    ----------
    parameters : dict of name to Parameter, float64
    learning_rate : float, >= 0
        The share of the step that is taken.
    damping : float, >= 0
    hessian : function, optional
        w (D,) -> H (D, D), with w all trained parameters, flattened, one after the other. Without it, each column is measured
        as the difference of two gradients, (g(w + h e_i) - g(w - h e_i)) / 2h: 2 D evaluations.

    Raises
    ------
    ValueError
        As in `Optimizer`; negative damping.

    Nocedal and Wright 2006, "Numerical Optimization", second edition, sections 3.3 and 8.1 (differences); Levenberg 1944 (the
    damping).

    >>> weight = Parameter(np.array([1.0]))
    >>> def evaluate():  # w^4
    ...     weight.grad = 4 * weight.value**3
    ...     return float(weight.value[0] ** 4)
    >>> optimizer = Newton({"w": weight}, hessian=lambda w: 12 * w[:, None] ** 2)
    >>> optimizer.step(evaluate)  # the loss before it
    1.0
    >>> weight.value.round(6)  # 1 - 4/12
    array([0.666667])
    """

    def __init__(
        self,
        parameters: dict[str, Parameter],
        learning_rate: float = 1.0,
        damping: float = 0.0,
        hessian: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        super().__init__(parameters, learning_rate)
        self.damping, self.hessian = self._at_least_zero("damping", damping), hessian

    def step(self, evaluate: Callable[[], float]) -> float:
        """One step. See `FullBatchOptimizer.step`.

        Raises
        ------
        TypeError, ValueError, TrainingError
            As `FullBatchOptimizer.step`; more than 1000 weights, or other ones than float64; a Hessian of another shape, one
            that is not finite, or one that, with the damping, is singular. The weights are then as they were.
        """
        objective = self._objective(evaluate)
        _check_size(objective)
        with objective.restored_after_errors():
            w, value, g = objective.at_the_start()
            H = numeric_hessian(objective, w) if self.hessian is None else np.asarray(self.hessian(w.copy()), np.float64)
            if H.shape != (len(w), len(w)) or not np.isfinite(H).all():
                raise ValueError(f"Newton needs a finite Hessian of shape {(len(w), len(w))}, got {H.shape} at w = {w[:5]}")
            try:
                direction = np.linalg.solve(H + self.damping * np.eye(len(w)), g)
            except np.linalg.LinAlgError:
                raise ValueError(
                    f"Newton cannot take a step where H + damping I is singular, damping={self.damping}; give it some (more)"
                ) from None
            objective.move_to(w - self.learning_rate * direction)
        return value

    def _new_state(self, weights: np.ndarray) -> dict:
        return {}  # H is measured anew at each step


def numeric_hessian(objective: Objective, w: np.ndarray) -> np.ndarray:
    """H (D, D) at w by central differences of the gradient, made symmetric; the weights are then elsewhere."""
    H = np.empty((len(w), len(w)))
    for i in range(len(w)):
        h = np.finfo(np.float64).eps ** (1 / 3) * max(1.0, abs(w[i]))  # rounding and the next derivative weigh the same
        gradients = []
        for side in (1, -1):
            there = w.copy()
            there[i] += side * h
            objective.move_to(there)
            gradients.append(objective()[1])
        H[:, i] = (gradients[0] - gradients[1]) / (2 * h)
    return (H + H.T) / 2


def _check_size(objective: Objective) -> None:
    values = {name: parameter.value for name, parameter in objective.parameters.items()}
    D = sum(value.size for value in values.values())
    if D > MOST_WEIGHTS:
        raise ValueError(
            f"Newton's method is for {MOST_WEIGHTS} weights at most, got {D}, whose Hessian has {D**2:.2g} elements; use LBFGS"
        )
    for name, value in values.items():
        if value.dtype != np.float64:
            raise ValueError(f"Newton computes in float64, and {name} is {value.dtype}; convert with layer.astype(np.float64)")
