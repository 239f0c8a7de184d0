"""Activations: a function applied to each element alone, on inputs of any shape.

All but GELU remember y = f(x) and nothing else: their slopes can be computed from it, and the layer above keeps it as its own
input anyway. A network must not hide that it has broken: NaN in x is NaN in y, and in dx. NaN in dy is passed on as well, but
where a slope is 0 by definition, as ReLU's below zero, dx is 0 whatever dy is.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..kernels import elementwise
from .base import Layer
from .receptive_field import ReceptiveField


class Activation(Layer):
    """What the activations share: y = f(x) and dx = dy * f'(x), element by element.

    Each writes ``_function`` and ``_gradient``. Input and output have any shape, float32 or float64.

    Raises
    ------
    ValueError
        In ``backward``, if dy is not like y.
    """

    def _function(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} must write _function(x), which returns y")

    def _gradient(self, dy: np.ndarray, y: np.ndarray) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} must write _gradient(dy, y), which returns dx")

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x)
        y = self._function(x)
        self.remember(y=y)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        y = self.recall().y
        self.check_gradient(dy, y.shape, y.dtype)
        return self._gradient(dy, y)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(input_shape)

    def receptive_field(self, below: ReceptiveField, input_shape: tuple[int, ...]) -> ReceptiveField:
        return below


class ReLU(Activation):
    """Rectified linear unit: y = max(x, 0), and dx = dy where x > 0, else 0 (at the kink x = 0 as well).

    Nair & Hinton 2010, "Rectified Linear Units Improve Restricted Boltzmann Machines".

    >>> ReLU().forward(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """

    def _function(self, x: np.ndarray) -> np.ndarray:
        return elementwise.relu_forward(x)

    def _gradient(self, dy: np.ndarray, y: np.ndarray) -> np.ndarray:
        return elementwise.relu_backward(dy, y)


class ReLU6(Activation):
    """ReLU with an upper limit of six: y = min(max(x, 0), 6), and dx = dy where 0 < x < 6, else 0 (at both kinks as well).

    The bound keeps activations in a range that low-precision arithmetic can hold; mobile networks use it.
    Krizhevsky 2010, "Convolutional Deep Belief Networks on CIFAR-10", section 2.

    >>> ReLU6().forward(np.array([-1.0, 2.0, 9.0]))
    array([0., 2., 6.])
    """

    def _function(self, x: np.ndarray) -> np.ndarray:
        return elementwise.relu6_forward(x)

    def _gradient(self, dy: np.ndarray, y: np.ndarray) -> np.ndarray:
        return elementwise.relu6_backward(dy, y)


CLIPS = {ReLU: (0.0, math.inf), ReLU6: (0.0, 6.0)}  # y = min(max(x, low), high), and dx = dy where y is strictly between


class LeakyReLU(Activation):
    """ReLU that leaks: y = x where x > 0, else slope * x; dx = dy where x > 0, else slope * dy (at the kink as well).

    Maas et al. 2013, "Rectifier Nonlinearities Improve Neural Network Acoustic Models", section 2.

    Raises
    ------
    ValueError
        If ``slope`` is negative: y would no longer tell on which side of the kink x was.

    >>> LeakyReLU(slope=0.1).forward(np.array([-1.0, 2.0]))
    array([-0.1,  2. ])
    """

    def __init__(self, slope: float = 0.01):
        super().__init__()
        if not 0 <= slope < np.inf:
            raise ValueError(f"LeakyReLU's slope is the one below zero, 0 or more (usually 0.01 to 0.3), got {slope}")
        self.slope = slope

    def _function(self, x: np.ndarray) -> np.ndarray:
        return elementwise.leaky_relu_forward(x, self.slope)

    def _gradient(self, dy: np.ndarray, y: np.ndarray) -> np.ndarray:
        return elementwise.leaky_relu_backward(dy, y, self.slope)

    def config(self) -> dict[str, Any]:
        return {"slope": self.slope}


class ELU(Activation):
    """Exponential linear unit: y = x where x > 0, else alpha * (exp(x) - 1); dx = dy where x > 0, else dy * alpha * exp(x).

    Smooth at 0 for alpha = 1, otherwise with a kink there, where dx = alpha * dy.
    Clevert et al. 2016, "Fast and Accurate Deep Network Learning by Exponential Linear Units", equation 15.

    Raises
    ------
    ValueError
        If ``alpha`` is negative: y would no longer tell on which side of 0 x was.

    >>> ELU().forward(np.array([-1.0, 2.0])).round(4)
    array([-0.6321,  2.    ])
    """

    def __init__(self, alpha: float = 1.0):
        super().__init__()
        if not 0 <= alpha < np.inf:
            raise ValueError(f"ELU's alpha is how far below zero it saturates, 0 or more (usually 1), got {alpha}")
        self.alpha = alpha

    def _function(self, x: np.ndarray) -> np.ndarray:
        return elementwise.elu_forward(x, self.alpha)

    def _gradient(self, dy: np.ndarray, y: np.ndarray) -> np.ndarray:
        return elementwise.elu_backward(dy, y, self.alpha)

    def config(self) -> dict[str, Any]:
        return {"alpha": self.alpha}


class Sigmoid(Activation):
    """The logistic function: y = 1 / (1 + exp(-x)), and dx = dy * y * (1 - y), without overflow for any x.

    >>> Sigmoid().forward(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """

    def _function(self, x: np.ndarray) -> np.ndarray:
        return elementwise.sigmoid_forward(x)

    def _gradient(self, dy: np.ndarray, y: np.ndarray) -> np.ndarray:
        return elementwise.sigmoid_backward(dy, y)


class Tanh(Activation):
    """The hyperbolic tangent: y = tanh(x), and dx = dy * (1 - y^2).

    >>> Tanh().forward(np.array([0.0, 1000.0]))
    array([0., 1.])
    """

    def _function(self, x: np.ndarray) -> np.ndarray:
        return elementwise.tanh_forward(x)

    def _gradient(self, dy: np.ndarray, y: np.ndarray) -> np.ndarray:
        return elementwise.tanh_backward(dy, y)


class GELU(Activation):
    """Gaussian error linear unit: x times the probability that a standard normal number is below x, here by a tanh::

        y  = x Phi(x),  Phi(x) ~ (1 + t) / 2           with t = tanh(c (x + 0.044715 x^3)), c = sqrt(2 / pi)
        dx = dy ((1 + t) / 2 + x (1 - t^2) / 2 * c (1 + 3 * 0.044715 x^2))

    which differs from the exact one by 5e-4 at most. Smooth everywhere; it falls to -0.17 at x = -0.75 and rises to 0 again
    towards -inf, so that it remembers x: y does not tell on which side of the lowest point x was.

    Hendrycks & Gimpel 2016, "Gaussian Error Linear Units (GELUs)", arXiv 1606.08415, section 2.

    >>> GELU().forward(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.1588,  0.    ,  1.9546])
    """

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x)
        self.remember(x=x)
        return elementwise.gelu_forward(x)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        x = self.recall().x
        self.check_gradient(dy, x.shape, x.dtype)
        return elementwise.gelu_backward(dy, x)
