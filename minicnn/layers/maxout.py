"""Maxout: an activation that is learned, the largest of several linear functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arguments import is_whole
from .base import Layer
from .receptive_field import ReceptiveField


class Maxout(Layer):
    """The largest of each K channels, or features, side by side: y[n, c] = max over k < K of x[n, c*K + k].

    Above a `Linear` or `Conv2d` with K times as many outputs, each y is the largest of K linear functions, a convex function
    that is learned: ReLU, |x| and any other in pieces. dx is dy at the one that won, and 0 at the others; of equal ones the
    first wins. NaN always wins, so that it is seen.

    Goodfellow et al. 2013, "Maxout Networks", section 3 (k is K here).

    Parameters
    ----------
    pieces : int
        K, at least 2.

    Input (N, C*K) or (N, C*K, H, W), output (N, C) or (N, C, H, W), float32 or float64. One byte an output is remembered, which
    piece won (four where there are more than 256).

    Raises
    ------
    ValueError
        If K is not at least 2; in ``forward``, if it does not divide the number of channels; in ``backward``, if dy is not
        like y.

    >>> layer = Maxout(2).train()
    >>> layer.forward(np.array([[3.0, 5, -1, -1]]))
    array([[ 5., -1.]])
    >>> layer.backward(np.array([[10.0, 20]]))
    array([[ 0., 10., 20.,  0.]])
    """

    def __init__(self, pieces: int = 2):
        super().__init__()
        if not is_whole(pieces, 2):
            raise ValueError(f"Maxout: pieces is a whole number of at least 2, got {pieces!r}")
        self.pieces = int(pieces)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x)
        N, C, *picture = y_shape = self.output_shape(x.shape)
        groups = np.moveaxis(x, 1, -1).reshape(N, *picture, C, self.pieces)  # a pixel's channels side by side, as maps lie
        winners = groups.argmax(axis=-1)
        self.remember(winners=winners.astype(np.uint8 if self.pieces <= 256 else np.int32), y_shape=y_shape, dtype=x.dtype)
        return np.moveaxis(np.take_along_axis(groups, winners[..., None], axis=-1)[..., 0], -1, 1)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        saved = self.recall()
        self.check_gradient(dy, saved.y_shape, saved.dtype)
        N, C, *picture = saved.y_shape
        groups = np.zeros((*saved.winners.shape, self.pieces), saved.dtype)
        np.put_along_axis(groups, saved.winners[..., None].astype(np.intp), np.moveaxis(dy, 1, -1)[..., None], axis=-1)
        return np.moveaxis(groups.reshape(N, *picture, C * self.pieces), -1, 1)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) not in (2, 4) or input_shape[1] % self.pieces or not input_shape[1]:
            raise ValueError(
                f"{self} expects (N, C) or (N, C, H, W) with a multiple of {self.pieces} channels, got {tuple(input_shape)}"
            )
        return (input_shape[0], input_shape[1] // self.pieces, *input_shape[2:])

    def receptive_field(self, below: ReceptiveField, input_shape: tuple[int, ...]) -> ReceptiveField:
        return below

    def config(self) -> dict[str, Any]:
        return {"pieces": self.pieces}
