"""Regularizers: what keeps weights small, or near the pretrained ones, whatever the data say.

A **penalty** R(w) is added to the loss, L + R, and so its derivative to the gradient; a **constraint** (max norm) changes the
weights themselves. Both have the same four moments in a step of training:

    loss.forward(...); model.backward(loss.backward())
    regularizer.add_gradients()         # dR/dw onto each gradient: once, after backward, which assigns them
    optimizer.step()
    regularizer.apply()                 # the constraint, on the new weights

and ``value()``, R itself, is there to be looked at. As with an optimiser's weight decay, only parameters with
``Parameter.decays`` are meant (weights, and not biases, gamma and beta), and of these only the ones that are trainable, which
is read at every step. In the equations w is such a weight, and lambda how strong the penalty is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from .layers.base import Parameter


class Regularizer:
    """What regularizers share: the parameters, and nothing done at each moment, of which each kind writes what it needs.

    A penalty writes ``_penalty(name, w)``, its value, and ``_gradient(name, w)``, its derivative; a constraint ``apply``.

    Parameters
    ----------
    parameters : dict of name to Parameter
        Usually ``model.parameters()``, after the last change of layers.

    Raises
    ------
    ValueError
        If none of the parameters decays, or a strength is out of range.
    """

    def __init__(self, parameters: dict[str, Parameter]):
        self.parameters = dict(parameters)
        if not any(parameter.decays for parameter in self.parameters.values()):
            raise ValueError(
                f"{type(self).__name__} got no parameters that decay (of {len(self.parameters)}); give it model.parameters() "
                "of a model with weights: biases, gamma and beta are left alone"
            )

    def value(self) -> float:
        """R, the sum over all weights that are meant; 0 for a constraint."""
        return float(sum(self._penalty(name, parameter.value) for name, parameter in self._meant()))

    def add_gradients(self) -> None:
        """Add dR/dw to the gradient of each weight that is meant; a parameter without a gradient (None) is left without."""
        for name, parameter in self._meant():
            gradient = self._gradient(name, parameter.value)
            if parameter.grad is not None and gradient is not None:
                gradient += parameter.grad
                parameter.grad = gradient

    def apply(self) -> None:
        """Make the weights keep to the constraint, in place; a penalty does nothing here."""

    def state_dict(self) -> dict[str, np.ndarray]:
        """What a checkpoint must keep, as copies by name, for `load_state_dict`: nothing, except for `L2SP`."""
        return {}

    def load_state_dict(self, saved: dict[str, np.ndarray]) -> None:
        """Remember what the regularizer remembered whose `state_dict` this is.

        Raises
        ------
        ValueError
            If names or shapes are not those of this one's state; nothing is changed then.
        """
        own = self.state_dict()
        if set(saved) != set(own):
            raise ValueError(
                f"{type(self).__name__} remembers {len(own)} arrays, and the saved state holds {len(saved)}; not in both: "
                f"{', '.join(sorted(set(saved) ^ set(own))[:3])}. A state fits the parameters it was saved with"
            )

    def _meant(self) -> Iterator[tuple[str, Parameter]]:
        return ((name, p) for name, p in self.parameters.items() if p.trainable and p.decays)

    def _penalty(self, name: str, w: np.ndarray) -> float:
        return 0.0

    def _gradient(self, name: str, w: np.ndarray) -> np.ndarray | None:
        """A new array of w's dtype; None where there is no penalty."""

    def _strength(self, name: str, value: float) -> float:
        if not 0 <= value < np.inf:
            raise ValueError(f"{type(self).__name__}: {name} says how strong the penalty is, a number from 0 up, got {value}")
        return float(value)


class ElasticNet(Regularizer):
    """R = lambda1 * sum of |w| + lambda2 / 2 * sum of w^2, dR/dw = lambda1 sign(w) + lambda2 w.

    At w = 0, where |w| has a kink, sign(w) is 0: a subgradient. Steps along it make weights that the data do not need small,
    but seldom exactly 0: they end up jumping around it by learning rate * lambda1.

    Zou and Hastie 2005, "Regularization and Variable Selection via the Elastic Net", without their 1/2; the form here has the
    same lambda2 as weight decay.

    >>> w = Parameter(np.array([3.0, -2.0, 0.0]))
    >>> w.grad = np.zeros(3)
    >>> penalty = ElasticNet({"w": w}, lambda1=0.1, lambda2=0.5)
    >>> round(penalty.value(), 6)       # 0.1 * 5 + 0.25 * 13
    3.75
    >>> penalty.add_gradients()
    >>> w.grad
    array([ 1.6, -1.1,  0. ])
    """

    def __init__(self, parameters: dict[str, Parameter], lambda1: float, lambda2: float):
        super().__init__(parameters)
        self.lambda1, self.lambda2 = self._strength("lambda1", lambda1), self._strength("lambda2", lambda2)

    def _penalty(self, name: str, w: np.ndarray) -> float:
        absolute, squares = np.abs(w).sum(dtype=np.float64), np.square(w, dtype=np.float64).sum()
        return self.lambda1 * absolute + self.lambda2 / 2 * squares

    def _gradient(self, name: str, w: np.ndarray) -> np.ndarray:
        return self.lambda1 * np.sign(w) + self.lambda2 * w


class L1(ElasticNet):
    """R = lambda * sum of |w|, dR/dw = lambda sign(w), 0 at w = 0: every weight is drawn to 0 by the same force.

    Tibshirani 1996, "Regression Shrinkage and Selection via the Lasso".
    """

    def __init__(self, parameters: dict[str, Parameter], strength: float):
        super().__init__(parameters, self._strength("strength", strength), 0.0)


class L2(ElasticNet):
    """R = lambda / 2 * sum of w^2, dR/dw = lambda w: large weights are drawn to 0 most.

    To see R beside the loss. To train, ``weight_decay`` of `minicnn.optim.SGD` does the same without an array of its own.
    """

    def __init__(self, parameters: dict[str, Parameter], strength: float):
        super().__init__(parameters, 0.0, self._strength("strength", strength))


class L2SP(Regularizer):
    """R = alpha / 2 * sum of (w - w0)^2 + beta / 2 * sum of w_new^2: pretrained weights are drawn back to where they started.

    dR/dw = alpha (w - w0), and beta w_new for the weights of new layers. w0 are the pretrained weights ("SP" is the starting
    point): copies of what the parameters hold when the regularizer is made, so make it before training. A new head has no
    pretrained weights, and is drawn to 0, as weight decay does. The optimiser's own ``weight_decay`` should be 0 meanwhile: it
    would draw all of them to 0 as well.

    Li, Grandvalet, Davoine 2018, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks", section 3.

    Parameters
    ----------
    parameters : dict of name to Parameter
        Usually ``model.parameters()``, with the pretrained weights and the new head in place.
    alpha, beta : float, at least 0
    new : names of parameters
        Those that are not pretrained. Of a `minicnn.models.Model`: ``[name for name in model.parameters() if
        name.startswith(f"{model.classifier_name}.")]``.

    Raises
    ------
    ValueError
        As in `Regularizer`; and if a name in ``new`` is none of the parameters.

    >>> w, head = Parameter(np.array([1.0, 2.0])), Parameter(np.array([3.0]))
    >>> penalty = L2SP({"body.w": w, "head.w": head}, alpha=0.1, beta=0.01, new=["head.w"])
    >>> round(penalty.value(), 6)       # w = w0, so only the head: 0.005 * 9
    0.045
    >>> w.value += 2
    >>> round(penalty.value(), 6)       # and 0.05 * (4 + 4)
    0.445
    """

    def __init__(self, parameters: dict[str, Parameter], alpha: float, beta: float, new: Iterable[str] = ()):
        super().__init__(parameters)
        self.alpha, self.beta = self._strength("alpha", alpha), self._strength("beta", beta)
        new = {new} if isinstance(new, str) else set(new)
        if unknown := sorted(new - set(self.parameters)):
            raise ValueError(
                f"L2SP: new names parameters that are not there, {', '.join(unknown[:3])}; there are "
                f"{', '.join(list(self.parameters)[-3:])} at the end of {len(self.parameters)}"
            )
        self._w0 = {n: p.value.copy() for n, p in self.parameters.items() if p.decays and n not in new}

    def state_dict(self) -> dict[str, np.ndarray]:
        """w0, as copies by the parameters' names: a run that goes on from a checkpoint still needs the pretrained weights."""
        return {name: w0.copy() for name, w0 in self._w0.items()}

    def load_state_dict(self, saved: dict[str, np.ndarray]) -> None:
        """Take w0 from a `state_dict`, in place of the weights of when this one was made; raises as in `Regularizer`."""
        super().load_state_dict(saved)
        for name, w0 in self._w0.items():
            if np.shape(saved[name]) != w0.shape:
                raise ValueError(f"L2SP: w0 of {name} is {w0.shape}, and in the saved state {np.shape(saved[name])}")
        self._w0 = {name: np.array(saved[name], w0.dtype) for name, w0 in self._w0.items()}

    def _penalty(self, name: str, w: np.ndarray) -> float:
        strength, distance = self._drawn(name, w)
        return strength / 2 * np.square(distance, dtype=np.float64).sum()

    def _gradient(self, name: str, w: np.ndarray) -> np.ndarray:
        strength, distance = self._drawn(name, w)
        return strength * distance

    def _drawn(self, name: str, w: np.ndarray) -> tuple[float, np.ndarray]:
        """How strongly, and the distance from where to."""
        if name not in self._w0:
            return self.beta, w
        return self.alpha, w - self._w0[name].astype(w.dtype, copy=False)


class MaxNorm(Regularizer):
    """The constraint ||w_f||_2 <= c for the weights w_f of each filter of a convolution, and of each row of a Linear layer.

    w_f are the weights of all inputs of one unit f, ``w[f]`` here. After each step, one that is too long is scaled back:
    w_f <- w_f * c / ||w_f||_2. Weights cannot grow without bound then, so that even a high learning rate may be tried.

    Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", section 5.1.

    Parameters
    ----------
    parameters : dict of name to Parameter
    c : float
        More than 0; 3 or 4 in the paper.

    >>> w = Parameter(np.array([[3.0, 4.0], [0.3, 0.4]]))
    >>> MaxNorm({"w": w}, c=2.5).apply()
    >>> w.value
    array([[1.5, 2. ],
           [0.3, 0.4]])
    """

    def __init__(self, parameters: dict[str, Parameter], c: float):
        super().__init__(parameters)
        if not 0 < c < np.inf:
            raise ValueError(f"MaxNorm: c is the largest length of a unit's weights, more than 0, got {c}")
        self.c = float(c)

    def apply(self) -> None:
        """Scale back, in place, the weights of each unit that are longer than c."""
        for _, parameter in self._meant():
            w = parameter.value
            rows = w.reshape(len(w), -1)
            norms = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1))
            too_long = (norms > self.c) & np.isfinite(norms)  # what is not finite is left to be seen, and not made NaN
            w[too_long] *= (self.c / norms[too_long]).astype(w.dtype).reshape(-1, *[1] * (w.ndim - 1))
