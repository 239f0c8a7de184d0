"""A batch norm and the ReLU above it as one step of a network: the map between them is not written to memory and read again."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .activation import CLIPS, Activation
from .base import Layer
from .norm import BatchNorm2d


class NormActivation:
    """y = min(max(norm(x), low), high) in one parallel loop; (low, high) is (0, inf) for a ReLU, (0, 6) for a ReLU6.

    The results are those of the two layers one after another, to the bit. Backward: first the ReLU's gradient (dy where
    low < y < high, else 0), then that of `BatchNorm`; with the statistics of the batch this, too, is one loop.

    A `Sequential` makes it for one pass. It owns nothing: the parameters are the batch norm's, and each of the two layers
    remembers its own values.

    Parameters
    ----------
    norm : BatchNorm2d
    activation : ReLU or ReLU6
    """

    def __init__(self, norm: BatchNorm2d, activation: Activation):
        self.norm, self.activation, self.clip = norm, activation, CLIPS[type(activation)]
        self.remembers, self.uses_batch_statistics = norm.remembers, norm.uses_batch_statistics

    def forward(self, x: np.ndarray) -> np.ndarray:
        y = self.norm.forward_clipped(x, self.clip)
        self.activation.remember(y=y)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        if not self.uses_batch_statistics:
            return self.norm.backward(self.activation.backward(dy))
        return self.norm.backward_clipped(dy, self.activation.recall().y, self.clip)


def join_norms_with_activations(layers: Iterable[Layer]) -> list[Layer | NormActivation]:
    """The layers in their order, each BatchNorm2d with a ReLU or ReLU6 right above it as one step.

    Where somebody has put another ``forward`` in the place of a layer's own, to watch it, it stays as it is.
    """
    steps: list[Layer | NormActivation] = []
    for layer in layers:
        if type(layer) in CLIPS and steps and type(steps[-1]) is BatchNorm2d and not _is_watched(steps[-1], layer):
            steps[-1] = NormActivation(steps[-1], layer)
        else:
            steps.append(layer)
    return steps


def _is_watched(*layers: Layer) -> bool:
    return any("forward" in vars(layer) for layer in layers)
