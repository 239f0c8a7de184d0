"""Channels of zeros, so that a map with few channels can be added to one with many."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.layout import channels_first
from .arguments import is_whole
from .base import Layer
from .receptive_field import ReceptiveField


class PadChannels(Layer):
    """Puts channels of zeros before and after those of the input: y = [0, x, 0], and dx = dy without these channels.

    With it a shortcut can join a branch that has more channels, and needs no parameters. He et al. 2016, "Deep Residual
    Learning for Image Recognition", section 4.1, option A.

    Parameters
    ----------
    before, after : int
        How many channels of zeros.

    Input (N, C, H, W), output (N, before + C + after, H, W), float32 or float64.

    Raises
    ------
    ValueError
        If a number is negative or not whole; in ``forward``, if x is not of shape (N, C, H, W); in ``backward``, if dy is not
        like y.

    >>> PadChannels(1, 2).forward(np.array([[[[5.0]], [[6.0]]]])).ravel()
    array([0., 5., 6., 0., 0.])
    """

    def __init__(self, before: int = 0, after: int = 0):
        super().__init__()
        if not (is_whole(before, 0) and is_whole(after, 0)):
            raise ValueError(f"PadChannels: before and after are numbers of channels, at least 0, got {before!r} and {after!r}")
        self.before, self.after = int(before), int(after)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x, ndim=4)
        N, C, H, W = self.output_shape(x.shape)
        y = channels_first(np.zeros((N, H, W, C), x.dtype))
        y[:, self.before : self.before + x.shape[1]] = x
        self.remember(input_shape=x.shape, dtype=x.dtype)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        saved = self.recall()
        self.check_gradient(dy, self.output_shape(saved.input_shape), saved.dtype)
        return dy[:, self.before : self.before + saved.input_shape[1]].copy(order="K")  # in the order of dy's memory

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != 4:
            raise ValueError(f"{self} expects an input of shape (N, C, H, W), got {tuple(input_shape)}")
        N, C, H, W = input_shape
        return N, self.before + C + self.after, H, W

    def receptive_field(self, below: ReceptiveField, input_shape: tuple[int, ...]) -> ReceptiveField:
        return below

    def config(self) -> dict[str, Any]:
        return {"before": self.before, "after": self.after}
