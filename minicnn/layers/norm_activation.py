"""A batch norm with the ReLU above it, as one step of a network: maps are large, and each pass over them costs."""

from __future__ import annotations

import numpy as np

from .activation import CLIPS, Activation
from .base import Layer
from .norm import BatchNorm2d


class NormActivation:
    """y = relu(norm(x)), written in the pass that normalises, and as the two layers one after another to the bit.

    Backward, dy passes where y is strictly within the ReLU's limits, and from there on as `BatchNorm` says; with the batch's
    statistics that is one sweep as well.

    Made by a `Sequential` for each pass, it owns nothing: the parameters are the batch norm's, and each of the two layers
    remembers what is its own.

    Parameters
    ----------
    norm : BatchNorm2d
    activation : ReLU or ReLU6
    """

    def __init__(self, norm: BatchNorm2d, activation: Activation):
        self.norm, self.activation, self.clip = norm, activation, CLIPS[type(activation)]
        self.remembers = norm.remembers

    def forward(self, x: np.ndarray) -> np.ndarray:
        y = self.norm.normalise(x, self.clip)
        self.activation.remember(y=y)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        if not self.norm.uses_batch_statistics:
            return self.norm.backward(self.activation.backward(dy))
        return self.norm.gradients(dy, self.activation.recall().y, self.clip)


def in_one_step(layer: Layer, above: Layer | None) -> bool:
    """Whether the two are a batch norm and a ReLU or ReLU6, and nobody has put a ``forward`` of their own in its place."""
    watched = "forward" in vars(layer) or "forward" in vars(above or layer)
    return type(layer) is BatchNorm2d and type(above) in CLIPS and not watched
