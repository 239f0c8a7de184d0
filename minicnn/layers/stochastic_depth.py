"""Stochastic depth: leave whole residual branches out at random while training, so that the network is shorter."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arguments import is_whole
from .base import Layer
from .containers import check_is_layer, set_backward_flags, set_names
from .receptive_field import ReceptiveField


class StochasticDepth(Layer):
    """A branch F that runs with probability p in training, and is weakened by p in inference. It goes into a `Residual`.

    In training, with one b for the whole batch, 1 with probability p and else 0:  y = b F(x) and dx = b J_F^T dy
    In inference:  y = p F(x) and dx = p J_F^T dy

    J_F is the Jacobian of F. ``Residual(StochasticDepth(F, p), shortcut)`` is the paper's block, y = b F(x) + S(x). Where b = 0
    nothing of F is computed, neither forward nor backward, and the batch does not count in its running statistics; the
    gradients of its parameters are 0. (torchvision's layer draws a b for each sample, divides by p in training, and computes
    the branch in any case.)

    Huang et al. 2016, "Deep Networks with Stochastic Depth", section 3.

    Parameters
    ----------
    body : Layer
        F.
    survival : float
        p, the probability that the branch is *kept*, 0 < p <= 1: p_l in the paper. `survival_probabilities` has its rule for
        all blocks of a network.
    rng : None, int or Generator
        Where the b come from: ``np.random.default_rng(rng)``, kept as the attribute ``rng``.

    Raises
    ------
    TypeError
        If ``body`` is no layer.
    ValueError
        If ``survival`` is out of range; in ``backward``, if dy is not like y.

    >>> from minicnn.layers import Residual, Sequential
    >>> block = Residual(StochasticDepth(Sequential(), survival=0.5, rng=0))
    >>> x = np.ones(2)
    >>> [float(block.train().forward(x)[0]) for step in range(4)]
    [1.0, 2.0, 2.0, 2.0]
    >>> block.eval().forward(x)
    array([1.5, 1.5])
    """

    def __init__(self, body: Layer, survival: float = 0.5, rng: int | np.random.Generator | None = None):
        super().__init__()
        if not 0 < survival <= 1:
            raise ValueError(
                f"StochasticDepth's survival is the probability of keeping the branch, more than 0 and up to 1, got {survival}"
            )
        check_is_layer(self, "body", body)
        self.body, self.survival = body, survival
        self.rng = np.random.default_rng(rng)
        set_names("body", body)

    def children(self) -> dict[str, Layer]:
        return {"body": self.body}

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x)
        set_backward_flags(self, [self.body])
        factor = self.survival
        if self.training:
            factor = 1.0 if self.rng.random() < self.survival else 0.0
        y = self.body.forward(x) if factor else np.zeros(self.body.output_shape(x.shape), x.dtype)
        self.remember(factor=factor, x_shape=x.shape, y_shape=y.shape, dtype=x.dtype)
        return y if factor == 1 else y * y.dtype.type(factor)

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        saved = self.recall()
        self.check_gradient(dy, saved.y_shape, saved.dtype)
        if saved.factor:
            dx = self.body.backward(dy if saved.factor == 1 else dy * dy.dtype.type(saved.factor))
            return dx if self.needs_dx else None
        for parameter in self.body.parameters().values():
            parameter.grad = np.zeros_like(parameter.value) if parameter.trainable else None
        return np.zeros(saved.x_shape, saved.dtype) if self.needs_dx else None

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.body.output_shape(input_shape)

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        return self.body.multiply_adds(input_shape)

    def receptive_field(self, below: ReceptiveField, input_shape: tuple[int, ...]) -> ReceptiveField:
        return self.body.receptive_field(below, input_shape)

    def config(self) -> dict[str, Any]:
        return {"body": self.body, "survival": self.survival}


def survival_probabilities(blocks: int, last: float = 0.5) -> list[float]:
    """The paper's linear decay for residual blocks l = 1 to L: p_l = 1 - l / L * (1 - p_L).

    The lower a block, the more often it survives: what it finds is used by all blocks above it. On average (3 L - 1) / 4
    blocks run, for p_L = 1/2.

    Huang et al. 2016, "Deep Networks with Stochastic Depth", equation 4.

    Parameters
    ----------
    blocks : int
        L, at least 1.
    last : float
        p_L, more than 0 and up to 1.

    Raises
    ------
    ValueError
        If one is out of range.

    >>> survival_probabilities(4)
    [0.875, 0.75, 0.625, 0.5]
    """
    if not is_whole(blocks, 1) or not 0 < last <= 1:
        raise ValueError(f"expected blocks of at least 1, and last of more than 0 and up to 1, got {blocks!r} and {last!r}")
    return [1 - block / blocks * (1 - last) for block in range(1, blocks + 1)]
