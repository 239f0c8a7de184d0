"""Stochastic gradient descent: every weight goes down its gradient at the same rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels import optimizer_steps as updates
from ..layers.base import Parameter
from .base import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent, plain, with momentum mu, or with Nesterov's momentum.

    ::

        g <- g + wd w               the gradient of wd/2 |w|^2 (L2 regularisation)
        plain       w <- w - lr g
        momentum    v <- mu v + g ;  w <- w - lr v
        Nesterov    v <- mu v + g ;  w <- w - lr (g + mu v)

    The rate multiplies v on its way out, as in PyTorch. Sutskever et al. put it inside, v <- mu v - lr g and w <- w + v: the
    same as long as the rate is constant; when it changes, theirs goes on for a while at the old speed. Nesterov's gradient
    would belong at the point w - lr mu v ahead; in the form above, w stands for that point, so that the gradient is taken
    where the weights are.

    Raises
    ------
    ValueError
        As in `Optimizer`; momentum outside [0, 1); ``nesterov`` without momentum.

    Polyak 1964 (momentum); Sutskever, Martens, Dahl and Hinton 2013, "On the importance of initialization and momentum in
    deep learning", section 2; Bengio et al. 2012, arXiv 1212.0901, section 3.5 (the change of variable).

    >>> weight = Parameter(np.array([1.0]))
    >>> optimizer = SGD({"w": weight}, learning_rate=0.1, momentum=0.5)
    >>> for _ in range(2):
    ...     weight.grad = 2 * weight.value  # of w^2
    ...     optimizer.step()
    >>> weight.value.round(6)  # 1 - 0.1 * 2 = 0.8, then 0.8 - 0.1 * (0.5 * 2 + 1.6)
    array([0.54])
    """

    def __init__(
        self,
        parameters: dict[str, Parameter],
        learning_rate: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, learning_rate, weight_decay)
        self.momentum = self._fraction("momentum", momentum)
        self.nesterov = bool(nesterov)
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov=True is a kind of momentum and needs momentum above 0 (0.9, say), got momentum=0")

    def _new_state(self, weights: np.ndarray) -> dict[str, Any]:
        return {"v": np.zeros_like(weights)} if self.momentum else {}

    def _update(self, weights: np.ndarray, gradient: np.ndarray, state: dict[str, Any], lr: float, wd: float) -> None:
        updates.sgd(weights, gradient, state.get("v"), lr, self.momentum, self.nesterov, wd)
