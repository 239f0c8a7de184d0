"""Gradient clipping: one bad batch makes a step of bounded length, not a jump out of the valley."""

from __future__ import annotations

import math

import numpy as np

from ..errors import TrainingError
from ..layers.base import Parameter


def clip_gradient_norm(parameters: dict[str, Parameter], largest: float) -> float:
    """Shrink all gradients by one factor, so that together they are at most ``largest`` long.

    ::

        norm = sqrt(sum of |g|^2 over all parameters)
        g <- g largest / norm       if norm > largest

    The direction of the step stays. Call it between ``backward`` and the optimiser's ``step``.

    Parameters
    ----------
    parameters : dict of name to Parameter
        Those that are frozen, or have no gradient, do not count.
    largest : float, > 0

    Returns
    -------
    float
        The norm as it was before, summed up in float64.

    Raises
    ------
    ValueError
        If ``largest`` is not above 0.
    TrainingError
        If a gradient is not finite; no factor makes up for that, and nothing is changed.

    Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural networks", algorithm 1.

    >>> weight = Parameter(np.zeros(2))
    >>> weight.grad = np.array([3.0, 4.0])
    >>> clip_gradient_norm({"w": weight}, largest=1.0)
    5.0
    >>> weight.grad
    array([0.6, 0.8])
    """
    if not largest > 0:
        raise ValueError(
            f"clip_gradient_norm: largest must be above 0, got {largest}; to keep weights as they are, freeze them"
        )
    trained = {name: p for name, p in parameters.items() if p.trainable and p.grad is not None}
    norms = {name: float(np.linalg.norm(p.grad.ravel().astype(np.float64))) for name, p in trained.items()}
    for name, norm in norms.items():
        if not math.isfinite(norm):
            raise TrainingError(
                f"the gradient of {name} cannot be clipped: its norm is {norm}. Clipping helps against gradients that are too "
                "large, not against those that have overflowed: try a lower learning rate"
            )
    norm = math.hypot(*norms.values())
    if norm > largest:
        for parameter in trained.values():
            parameter.grad = parameter.grad * parameter.grad.dtype.type(largest / norm)
    return norm
