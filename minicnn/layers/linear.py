"""The fully connected layer, and the step from pictures to rows of numbers before it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..initializers import Initializer, xavier
from ..kernels.layout import contiguous
from ..kernels.linear import product
from .arguments import is_whole
from .base import Layer, Parameter


class Linear(Layer):
    """Fully connected: each output is a weighted sum of all inputs.

    y = x w^T + b, and from dy = dL/dy:  dx = dy w,  dw = dy^T x,  db = sum of dy over samples

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
        Whether there is a b.
    initializer : function (shape, rng, dtype) -> array
        Of w; b starts at 0.
    rng : None, int or numpy.random.Generator
        Where the random numbers come from; an int is a seed.

    Input (N, in), output (N, out), both float32 or float64. Parameters w (out, in), one row an output, and b (out,).

    Raises
    ------
    ValueError
        If a number of features is not at least 1; in ``forward``, if x is not of shape (N, in); in ``backward``, if dy is not
        like y.

    >>> layer = Linear(2, 1)
    >>> layer.w.value[:], layer.b.value[:] = [[3, 4]], [1]
    >>> layer.forward(np.array([[10, 100]], np.float32))
    array([[431.]], dtype=float32)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        initializer: Initializer = xavier,
        rng: np.random.Generator | int | None = None,
    ):
        super().__init__()
        for name, value in (("in_features", in_features), ("out_features", out_features)):
            if not is_whole(value, 1):
                raise ValueError(f"Linear: {name} is a whole number of at least 1, got {value!r}")
        self.in_features, self.out_features = int(in_features), int(out_features)
        self.w = Parameter(initializer((self.out_features, self.in_features), np.random.default_rng(rng), np.float32))
        self.b = Parameter(np.zeros(self.out_features, np.float32), decays=False) if bias else None

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x, ndim=2)
        self.output_shape(x.shape)
        y = product(x, self.w.value.T)
        if self.b:
            y += self.b.value
        self.remember(x=x)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        x = self.recall().x
        self.check_gradient(dy, (len(x), self.out_features), x.dtype)
        if self.w.trainable:
            self.w.grad = product(dy.T, x)
        if self.b and self.b.trainable:
            self.b.grad = dy.sum(axis=0)
        return product(dy, self.w.value) if self.needs_dx else None

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != 2 or input_shape[1] != self.in_features:
            after = " Put Flatten() before it." if len(input_shape) > 2 else ""
            raise ValueError(
                f"{self} expects {self.in_features} features a sample, got an input of shape {tuple(input_shape)}, "
                f"w {self.w.value.shape}.{after}"
            )
        return input_shape[0], self.out_features

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        """One for each sample and weight: N * in * out."""
        return input_shape[0] * self.w.value.size

    def parameters(self) -> dict[str, Parameter]:
        return {"w": self.w} | ({"b": self.b} if self.b else {})

    def config(self) -> dict[str, Any]:
        return {"in_features": self.in_features, "out_features": self.out_features, "bias": self.b is not None}


class Flatten(Layer):
    """Everything of a sample in one row, channel after channel, row after row: (N, C, H, W) -> (N, C*H*W).

    Backward, dy is given x's shape again. Maps that lie channels last in memory are copied.

    Raises
    ------
    ValueError
        In ``forward``, if x has no axis after that of the samples; in ``backward``, if dy is not like y.

    >>> Flatten().output_shape((8, 16, 5, 5))
    (8, 400)
    """

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x)
        y = contiguous(x).reshape(self.output_shape(x.shape))
        self.remember(input_shape=x.shape, dtype=x.dtype)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        saved = self.recall()
        self.check_gradient(dy, self.output_shape(saved.input_shape), saved.dtype)
        return dy.reshape(saved.input_shape)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) < 2:
            raise ValueError(
                f"{self} expects samples along the first axis and something to flatten after it, got {tuple(input_shape)}"
            )
        return input_shape[0], math.prod(input_shape[1:])
