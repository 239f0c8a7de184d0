"""Optimisers: what to do with the gradients.

All of them change the parameters in place and skip those that are frozen (``Parameter.trainable`` is read at every step) or
have no gradient. They multiply the learning rate by each parameter's ``learning_rate_multiplier``, and weight decay applies
only where ``Parameter.decays``. In the equations g is dL/dw, lr the rate for this step and parameter, and wd the weight decay.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .kernels import optimizer_steps as updates
from .layers.base import Parameter


class Optimizer:
    """What optimisers share: the learning rate, the parameters, and the state kept for each of them.

    A new optimiser writes ``_new_state`` and ``_update``.

    Parameters
    ----------
    parameters : dict of name to Parameter
        Usually ``model.parameters()``. The state is kept under these names.
    learning_rate : float, >= 0
        The base rate; the attribute may be set at any time.
    weight_decay : float, >= 0
        How strongly weights are drawn towards zero.

    Raises
    ------
    ValueError
        No parameters; a rate that is negative or not finite; other constants out of range.
    """

    def __init__(self, parameters: dict[str, Parameter], learning_rate: float, weight_decay: float):
        if not parameters:
            raise ValueError(
                f"{type(self).__name__} got no parameters to change; give it model.parameters() of a model that has some"
            )
        self.parameters = dict(parameters)
        self.learning_rate = self._at_least_zero("learning_rate", learning_rate)
        self.weight_decay = self._at_least_zero("weight_decay", weight_decay)
        self.state: dict[str, dict[str, Any]] = {}

    def step(self, factor: float = 1.0) -> None:
        """Change every parameter that is trainable and has a gradient, at ``factor`` (a schedule's) times the base rate.

        Raises
        ------
        ValueError
            If a gradient has not its parameter's shape, or a parameter's array is read-only.
        """
        for name, parameter in self.parameters.items():
            if not parameter.trainable or parameter.grad is None:
                continue
            weights, gradient = parameter.value, parameter.grad
            if gradient.shape != weights.shape:
                raise ValueError(
                    f"{name} has shape {weights.shape}, its gradient {gradient.shape}; they must be equal: see its backward()"
                )
            if not weights.flags.writeable:
                raise ValueError(
                    f"{name} cannot be changed: its array is read-only (of a file opened for reading, or another's memory). "
                    "Give the parameter a copy, parameter.value = parameter.value.copy(), or freeze it"
                )
            if name not in self.state:
                self.state[name] = self._new_state(weights)
            lr = float(self.learning_rate * factor * parameter.learning_rate_multiplier)
            wd = self.weight_decay if parameter.decays else 0.0
            self._update(weights, gradient, self.state[name], lr, wd)

    def _new_state(self, weights: np.ndarray) -> dict[str, Any]:
        """What is kept of a parameter from one step to the next, as it is before the first."""
        raise NotImplementedError(f"{type(self).__name__} must write _new_state(weights)")

    def _update(self, weights: np.ndarray, gradient: np.ndarray, state: dict[str, Any], lr: float, wd: float) -> None:
        """One step of one parameter, which changes its weights and state in place."""
        raise NotImplementedError(f"{type(self).__name__} must write _update(weights, gradient, state, lr, wd)")

    def _at_least_zero(self, name: str, value: float) -> float:
        if not 0 <= value < np.inf:
            raise ValueError(f"{type(self).__name__}: {name} must be a number from 0 up, got {value}")
        return float(value)

    def _fraction(self, name: str, value: float) -> float:
        if not 0 <= value < 1:
            raise ValueError(f"{type(self).__name__}: {name} must be at least 0 and below 1, got {value}")
        return float(value)


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
        self.nesterov = nesterov
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov=True is a kind of momentum and needs momentum above 0 (0.9, say), got momentum=0")

    def _new_state(self, weights: np.ndarray) -> dict[str, Any]:
        return {"v": np.zeros_like(weights)} if self.momentum else {}

    def _update(self, weights: np.ndarray, gradient: np.ndarray, state: dict[str, Any], lr: float, wd: float) -> None:
        updates.sgd(weights, gradient, state.get("v"), lr, self.momentum, self.nesterov, wd)


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
