"""DropConnect: switch connections off at random while training, where dropout switches units off."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..initializers import Initializer, xavier
from .dropout import draw_kept, drop_probability
from .linear import Linear


class DropConnect(Linear):
    """A `Linear` layer of whose weights, and biases, each sample sees a random part in training.

    With masks m[n, o, i] and r[n, o] that are 0 with probability p, else 1, drawn anew for each sample n:

    y[n, o] = (sum over i of m[n, o, i] w[o, i] x[n, i] + r[n, o] b[o]) / (1 - p)

    dx[n, i] = sum over o of dy[n, o] m[n, o, i] w[o, i] / (1 - p)
    dw[o, i] = sum over n of dy[n, o] m[n, o, i] x[n, i] / (1 - p)
    db[o] = sum over n of dy[n, o] r[n, o] / (1 - p)

    In inference the weights take the place of their average over the masks: y = x w^T + b, as in `Linear`. As in inverted
    dropout the division by 1 - p happens in training; without it, as in the lecture, inference would multiply by the
    probability of keeping, which the paper calls p and which is 1 - p here. (The paper goes one step further: it matches mean
    and variance of the layer's output by a Gaussian, draws from it in inference, and averages what the activation above makes
    of the draws. The average weights are what other networks use.)

    One mask for a whole batch would be cheaper, but it regularises too little, the paper says. The masks of a batch take one
    byte for each sample and weight.

    Wan et al. 2013, "Regularization of Neural Networks using DropConnect", section 3.

    Parameters
    ----------
    in_features, out_features, bias, initializer
        As in `Linear`.
    p : float
        The probability of dropping a connection, 0 <= p < 1.
    rng : None, int or numpy.random.Generator
        Where the weights come from, and then the masks; kept as the attribute ``rng``.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1); else as in `Linear`.

    >>> layer = DropConnect(3, 2, p=0.5, rng=4).train()
    >>> layer.w.value[:] = 1
    >>> layer.forward(np.array([[1, 10, 100], [1, 10, 100]], np.float32))
    array([[222., 220.],
           [ 20.,   2.]], dtype=float32)
    >>> layer.eval().forward(np.array([[1, 10, 100]], np.float32))
    array([[111., 111.]], dtype=float32)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        p: float = 0.5,
        *,
        initializer: Initializer = xavier,
        rng: np.random.Generator | int | None = None,
    ):
        self.rng = np.random.default_rng(rng)
        super().__init__(in_features, out_features, bias, initializer=initializer, rng=self.rng)
        self.p = drop_probability(self, p, "a connection")

    def forward(self, x: np.ndarray) -> np.ndarray:
        if not self.training or self.p == 0:
            y = super().forward(x)
            self.remember(x=x, kept=None)
            return y
        self.check_input(x, ndim=2)
        y = np.empty(self.output_shape(x.shape), x.dtype)
        kept = draw_kept(self.rng, (len(x), *self.w.value.shape), self.p)
        kept_b = draw_kept(self.rng, y.shape, self.p) if self.b else None
        for n, mask in enumerate(kept):  # one sample at a time: its weights stay in the cache
            y[n] = (self.w.value * mask) @ x[n]
        if self.b:
            y += self.b.value * kept_b
        y *= 1 / (1 - self.p)
        self.remember(x=x, kept=kept, kept_b=kept_b)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        if self._remembered is None or self._remembered["kept"] is None:
            return super().backward(dy)
        saved = self.recall()
        self.check_gradient(dy, (len(saved.x), self.out_features), saved.x.dtype)
        dy = dy * dy.dtype.type(1 / (1 - self.p))
        if self.w.trainable:
            self.w.grad = np.zeros_like(self.w.value)
            for dy_n, x_n, mask in zip(dy, saved.x, saved.kept, strict=True):
                self.w.grad += np.outer(dy_n, x_n) * mask
        if self.b and self.b.trainable:
            self.b.grad = (dy * saved.kept_b).sum(axis=0)
        if not self.needs_dx:
            return None
        dx = np.empty_like(saved.x)
        for n, mask in enumerate(saved.kept):
            dx[n] = dy[n] @ (self.w.value * mask)
        return dx

    def config(self) -> dict[str, Any]:
        return super().config() | {"p": self.p}
