"""Minimising a smooth, L2-regularised loss of linear scores with L-BFGS, until it is provably close to the minimum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from ..runtime.blas import one_blas_thread
from ..runtime.parallel import parallel_for, serial_if
from .dual_coordinate_descent import Minimum

SHORT = 1 << 20  # multiply-adds of a pass over the codes, in which a second thread would hardly get a word in
MEMORY = 20  # steps that L-BFGS remembers: twice the usual, as a step is cheap beside a pass over the codes


def lbfgs(
    x: np.ndarray,
    loss: Callable[[np.ndarray], tuple[float, np.ndarray]],
    rows: int,
    regularisation: float,
    intercept: bool,
    tolerance: float,
    max_iterations: int,
    start: tuple[np.ndarray, np.ndarray] | None = None,
) -> Minimum:
    """The minimum of P(w, b) = loss(x w^T + b) + lambda/2 |w|^2 over w (rows, D) and b (rows,).

    With all data in memory and no noise, L-BFGS (a full-batch method that estimates the curvature from its last steps; Nocedal
    & Wright 2006, section 7.2) converges in a few dozen passes over the codes and has no learning rate to choose.

    P is at least as curved as lambda/2 |w|^2, so that its gradient bounds how far below P(w, b) the minimum can be: if the best
    b is within 1 of b, by at most gap = |dP/dw|^2 / (2 lambda) + |dP/db|. It ends when the gap is at most tolerance * P; if
    rounding or ``max_iterations`` ends it earlier, the gap of the result is larger.

    Parameters
    ----------
    x : float32 or float64 (N, D), contiguous
    loss : function
        Scores, float64 (N, rows) -> mean loss, and its gradient (N, rows).
    regularisation : float
        lambda, at least 0; with 0 there is no bound, and it goes on until nothing changes any more.
    intercept : bool
        False: b stays 0.
    start : (w, b), optional
        By default zeros.

    >>> def squared_distance_from_one(scores):
    ...     return float(((scores - 1) ** 2).mean()), 2 * (scores - 1) / len(scores)
    >>> found = lbfgs(np.ones((4, 1)), squared_distance_from_one, 1, 2.0, False, 1e-9, 100)    # (w - 1)^2 + w^2
    >>> found.w.round(6), round(found.objective, 6)
    (array([[0.5]]), 0.5)
    """
    N, D = x.shape
    scores = np.empty((N, rows))

    def at(theta: np.ndarray) -> tuple[float, np.ndarray, float]:
        """P, its gradient, and the gap at w = theta[:, :D] and b = theta[:, D]."""
        theta = theta.reshape(rows, D + 1)
        w, b = theta[:, :D], theta[:, D]
        columns = np.ascontiguousarray(w.T, x.dtype)

        def forward(start: int, stop: int) -> None:
            scores[start:stop] = x[start:stop] @ columns + b

        def backward(start: int, stop: int) -> None:
            gradient[:, start:stop] = dscores @ x[:, start:stop]

        parallel_for(N, forward)
        value, dscores = loss(scores)
        db = dscores.sum(axis=0) if intercept else np.zeros(rows)
        dscores = np.ascontiguousarray(dscores.T, x.dtype)
        gradient = np.empty((rows, D + 1))
        parallel_for(D, backward)
        gradient[:, :D] += regularisation * w
        gradient[:, D] = db
        value += 0.5 * regularisation * float(np.square(w).sum())
        slope = float(np.square(gradient[:, :D]).sum())
        gap = slope / (2 * regularisation) + float(np.abs(db).sum()) if regularisation else np.inf
        return value, gradient.ravel(), gap

    def value_and_gradient(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient, gap = at(theta)
        if gap <= tolerance * value:
            raise _CloseEnough(theta.copy(), value, gap)
        return value, gradient

    steps = 0

    def count(_: np.ndarray) -> None:
        nonlocal steps
        steps += 1

    theta = np.zeros((rows, D + 1))
    if start is not None:
        theta[:, :D], theta[:, D] = start
    options = {"maxiter": max_iterations, "maxfun": 10 * max_iterations, "maxcor": MEMORY, "ftol": 0.0, "gtol": 0.0}
    try:
        # several threads would wait for each other longer than small products take
        with one_blas_thread(), serial_if(x.size * rows < SHORT):
            theta = minimize(value_and_gradient, theta.ravel(), jac=True, method="L-BFGS-B", callback=count, options=options).x
        value, _, gap = at(theta)
    except _CloseEnough as found:
        theta, value, gap = found.args
    theta = theta.reshape(rows, D + 1)
    return Minimum(theta[:, :D].copy(), theta[:, D].copy(), value, gap, steps)


class _CloseEnough(Exception):
    """Carries the solution out of SciPy's minimiser, which has no such stopping rule."""
