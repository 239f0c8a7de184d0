"""Dropout: switch units off at random while training, so that none can rely on another."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Layer
from .receptive_field import ReceptiveField


class Dropout(Layer):
    """Inverted dropout: y = x * m / (1 - p) with m = 0 with probability p, else 1; dx = dy * m / (1 - p).

    ``p`` is the probability of *dropping* a unit, as in PyTorch. The lecture slides (and Srivastava's paper) use p for the
    opposite, the probability of keeping it. "Inverted": the division by 1 - p happens in training, so that E[y] = x there and
    in eval mode the layer has nothing to do: y = x.

    Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", section 4 (and section 10 for
    the scaling).

    Parameters
    ----------
    p : float
        0 <= p < 1.
    rng : None, int or Generator
        Where the masks m come from: ``np.random.default_rng(rng)``, kept as the attribute ``rng``.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1); in ``backward``, if dy is not like y.

    >>> layer = Dropout(0.5, rng=0).train()
    >>> layer.forward(np.ones(6))
    array([2., 2., 2., 0., 0., 0.])
    >>> layer.backward(np.ones(6))
    array([2., 2., 2., 0., 0., 0.])
    >>> layer.eval().forward(np.ones(3))
    array([1., 1., 1.])
    """

    is_identity_in_inference = True

    def __init__(self, p: float = 0.5, rng: int | np.random.Generator | None = None):
        super().__init__()
        self.p = drop_probability(self, p, "a unit")
        self.rng = np.random.default_rng(rng)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x)
        kept = draw_kept(self.rng, x.shape, self.p) if self.training and self.p else None
        self.remember(kept=kept, shape=x.shape, dtype=x.dtype)
        return self._apply(x, kept)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        saved = self.recall()
        self.check_gradient(dy, saved.shape, saved.dtype)
        return self._apply(dy, saved.kept)  # y is linear in x, so that dx depends on dy as y does on x

    def _apply(self, values: np.ndarray, kept: np.ndarray | None) -> np.ndarray:
        """y from x, or dx from dy; ``kept`` is None where nothing is dropped."""
        if kept is None:
            return values
        scaled = np.multiply(values, kept, out=np.empty_like(values))  # in the order of the values' memory, not of the masks'
        scaled *= 1 / (1 - self.p)
        return scaled

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(input_shape)

    def receptive_field(self, below: ReceptiveField, input_shape: tuple[int, ...]) -> ReceptiveField:
        return below

    def config(self) -> dict[str, Any]:
        return {"p": self.p}


class VanillaDropout(Dropout):
    """Dropout as it was first published: y = x * m in training and y = (1 - p) x in inference; dx likewise from dy.

    m = 0 with probability ``p``, else 1; here, too, p is the probability of *dropping*. In the paper and in the lecture p is
    the probability of keeping, 1 - p here, and inference multiplies by it: "vanilla dropout". The average of y over masks in
    training is the y of inference, as in `Dropout`; but there inference costs nothing, which is why that one is in use.

    Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", section 4 and figure 2.

    Parameters and errors as in `Dropout`.

    >>> layer = VanillaDropout(0.5, rng=0).train()
    >>> layer.forward(np.ones(6))
    array([1., 1., 1., 0., 0., 0.])
    >>> layer.eval().forward(np.ones(3))
    array([0.5, 0.5, 0.5])
    """

    is_identity_in_inference = False

    def _apply(self, values: np.ndarray, kept: np.ndarray | None) -> np.ndarray:
        factor = values.dtype.type(1 - self.p) if kept is None else kept
        return np.multiply(values, factor, out=np.empty_like(values))


def draw_kept(rng: np.random.Generator, shape: tuple[int, ...], p: float) -> np.ndarray:
    """False with probability p, else True: in float32 for float64 too, so that both draw the same."""
    return rng.random(shape, dtype=np.float32) >= p


def drop_probability(layer: Layer, p: float, dropped: str) -> float:
    """p, if it is one.

    Raises
    ------
    ValueError
        If it is not in [0, 1).
    """
    if not 0 <= p < 1:
        name = type(layer).__name__
        raise ValueError(
            f"{name}'s p is the probability of dropping {dropped}, 0 <= p < 1, got {p}: "
            f"with p = 1 nothing would be left. (To keep {dropped} with probability k, write p=1 - k.)"
        )
    return p
