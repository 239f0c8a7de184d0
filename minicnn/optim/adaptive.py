"""Optimisers with a rate of its own for each weight, from the size that its gradients have had."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels import optimizer_steps as updates
from ..layers.base import Parameter
from .base import Optimizer


class AdaGrad(Optimizer):
    """AdaGrad: each weight's rate falls with the size of all the gradients it has had.

    ::

        g <- g + wd w               the gradient of wd/2 |w|^2 (L2 regularisation)
        cache <- cache + g^2
        w <- w - lr g / (sqrt(cache) + eps)

    A weight whose gradients are rare or small is still fast late in the run. But cache only grows, and so every weight slows
    down for good: `RMSProp` forgets. (In the paper cache is diag(G), and eps is delta.)

    Raises
    ------
    ValueError
        As in `Optimizer`; negative eps.

    Duchi, Hazan and Singer 2011, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", figure 1.

    >>> weight = Parameter(np.array([1.0]))
    >>> optimizer = AdaGrad({"w": weight}, learning_rate=0.5)
    >>> for gradient in (3.0, 4.0):
    ...     weight.grad = np.array([gradient])
    ...     optimizer.step()
    >>> weight.value.round(6)  # 1 - 0.5 * 3/3 = 0.5, then 0.5 - 0.5 * 4/5
    array([0.1])
    """

    def __init__(
        self,
        parameters: dict[str, Parameter],
        learning_rate: float = 1e-2,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, learning_rate, weight_decay)
        self.eps = self._at_least_zero("eps", eps)

    def _new_state(self, weights: np.ndarray) -> dict[str, Any]:
        return {"cache": np.zeros_like(weights)}

    def _update(self, weights: np.ndarray, gradient: np.ndarray, state: dict[str, Any], lr: float, wd: float) -> None:
        updates.adagrad(weights, gradient, state["cache"], lr, self.eps, wd)


class RMSProp(Optimizer):
    """RMSProp: each weight's gradient is divided by the root of a moving average of its squares.

    ::

        g <- g + wd w               the gradient of wd/2 |w|^2 (L2 regularisation)
        cache <- decay cache + (1 - decay) g^2
        w <- w - lr g / (sqrt(cache) + eps)

    eps stands outside the root, as in PyTorch (where decay is called alpha); Keras has it inside. cache begins at zero, so that
    the first step has about the length lr / sqrt(1 - decay), three times lr by default: `Adam` corrects that.

    Raises
    ------
    ValueError
        As in `Optimizer`; decay outside [0, 1); negative eps.

    Tieleman and Hinton 2012, "Neural Networks for Machine Learning", lecture 6e, slide 29 (with the decay of 0.9).

    >>> weight = Parameter(np.array([1.0]))
    >>> optimizer = RMSProp({"w": weight}, learning_rate=0.25, decay=0.75)
    >>> weight.grad = np.array([8.0])
    >>> optimizer.step()
    >>> weight.value.round(6)  # cache = 0.25 * 64 = 16: 1 - 0.25 * 8/4
    array([0.5])
    """

    def __init__(
        self,
        parameters: dict[str, Parameter],
        learning_rate: float = 1e-3,
        decay: float = 0.9,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, learning_rate, weight_decay)
        self.decay, self.eps = self._fraction("decay", decay), self._at_least_zero("eps", eps)

    def _new_state(self, weights: np.ndarray) -> dict[str, Any]:
        return {"cache": np.zeros_like(weights)}

    def _update(self, weights: np.ndarray, gradient: np.ndarray, state: dict[str, Any], lr: float, wd: float) -> None:
        updates.rmsprop(weights, gradient, state["cache"], lr, self.decay, self.eps, wd)


class Adam(Optimizer):
    """Adam: momentum, and for each weight a rate of its own, from the size its gradients have had.

    ::

        g <- g + wd w               the gradient of wd/2 |w|^2 (L2 regularisation)
        m <- beta1 m + (1 - beta1) g
        v <- beta2 v + (1 - beta2) g^2
        w <- w - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    t counts this parameter's steps from 1. m and v begin at zero and are too small at first: *dividing* by 1 - beta^t makes up
    for it, so that the first step has about the length lr.

    Raises
    ------
    ValueError
        As in `Optimizer`; beta1 or beta2 outside [0, 1); negative eps.

    Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", arXiv 1412.6980, algorithm 1.
    """

    def __init__(
        self,
        parameters: dict[str, Parameter],
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, learning_rate, weight_decay)
        self.beta1, self.beta2 = self._fraction("beta1", beta1), self._fraction("beta2", beta2)
        self.eps = self._at_least_zero("eps", eps)

    def _new_state(self, weights: np.ndarray) -> dict[str, Any]:
        return {"t": 0, "m": np.zeros_like(weights), "v": np.zeros_like(weights)}

    def _update(self, weights: np.ndarray, gradient: np.ndarray, state: dict[str, Any], lr: float, wd: float) -> None:
        state["t"] += 1
        wd_in_gradient, shrink = self._decay(lr, wd)
        updates.adam(
            weights,
            gradient,
            state["m"],
            state["v"],
            lr=lr,
            beta1=self.beta1,
            beta2=self.beta2,
            eps=self.eps,
            t=state["t"],
            wd=wd_in_gradient,
            shrink=shrink,
        )

    def _decay(self, lr: float, wd: float) -> tuple[float, float]:
        """The weight of w in the gradient, and the factor by which w is multiplied before the step."""
        return wd, 1.0


class AdamW(Adam):
    """Adam with the weight decay taken out of the gradient ("decoupled").

    ::

        w <- w - lr wd w
        then Adam's step with the gradient alone

    In `Adam` the decay passes through the division by sqrt(v): weights with large gradients hardly decay. Here all of them
    shrink by the same fraction. The fraction is lr times wd, as in PyTorch; in the paper the decay is scaled by the schedule
    but not by the base rate, so its values of wd are smaller by that factor.

    Raises
    ------
    ValueError
        As in `Adam`.

    Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", arXiv 1711.05101, algorithm 2.
    """

    def __init__(
        self,
        parameters: dict[str, Parameter],
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        super().__init__(parameters, learning_rate, beta1, beta2, eps, weight_decay)

    def _decay(self, lr: float, wd: float) -> tuple[float, float]:
        return 0.0, 1 - lr * wd
