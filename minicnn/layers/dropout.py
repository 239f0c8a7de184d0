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
        if not 0 <= p < 1:
            raise ValueError(
                f"Dropout's p is the probability of dropping a unit, 0 <= p < 1, got {p}: "
                "with p = 1 nothing would be left. (To keep a unit with probability k, write Dropout(1 - k).)"
            )
        self.p = p
        self.rng = np.random.default_rng(rng)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x)
        if not self.training or self.p == 0:
            self.remember(kept=None, shape=x.shape, dtype=x.dtype)
            return x
        kept = self.rng.random(x.shape, dtype=np.float32) >= self.p  # float32 for float64, too: the same mask in both
        self.remember(kept=kept, shape=x.shape, dtype=x.dtype)
        return self._scaled(x, kept)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        saved = self.recall()
        self.check_gradient(dy, saved.shape, saved.dtype)
        return dy if saved.kept is None else self._scaled(dy, saved.kept)

    def _scaled(self, values: np.ndarray, kept: np.ndarray) -> np.ndarray:
        scaled = values * kept
        scaled *= 1 / (1 - self.p)
        return scaled

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(input_shape)

    def receptive_field(self, below: ReceptiveField, input_shape: tuple[int, ...]) -> ReceptiveField:
        return below

    def config(self) -> dict[str, Any]:
        return {"p": self.p}
