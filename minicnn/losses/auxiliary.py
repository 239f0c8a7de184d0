"""The loss of a network with auxiliary heads."""

from __future__ import annotations

import numpy as np

from ..layers import AuxiliaryHead, Layer
from .base import Loss


class WithAuxiliaryHeads(Loss):
    """The loss of a network with auxiliary heads: L = loss(scores) + weight * sum over these heads of loss(their scores).

    The gradients of the heads' scores are left with the heads, where the network's ``backward`` finds them. In eval mode no
    head runs, and L is the loss of the network's scores alone: training losses are therefore higher than validation losses.

    Szegedy et al. 2015, "Going Deeper with Convolutions", section 5, where the weight is 0.3.

    Parameters
    ----------
    loss : Loss
        One that takes the mean over the samples, used for all of the scores.
    model : Layer
        Whose `minicnn.layers.AuxiliaryHead` layers are meant; its ``forward`` comes first.
    weight : float
        At least 0.

    Raises
    ------
    ValueError
        If ``weight`` is out of range; in ``forward``, also if a head's scores have not the shape of the network's.

    >>> from minicnn.layers import Linear, Sequential
    >>> from minicnn.losses import SoftmaxCrossEntropy
    >>> model = Sequential(hidden=Linear(4, 3), auxiliary=AuxiliaryHead(Linear(3, 2)), scores=Linear(3, 2)).train()
    >>> loss = WithAuxiliaryHeads(SoftmaxCrossEntropy(), model)
    >>> x, targets = np.zeros((1, 4), np.float32), np.array([1])
    >>> round(loss.forward(model.forward(x), targets), 4)      # log(2) + 0.3 log(2): biases start at 0
    0.9011
    >>> model.backward(loss.backward()).shape
    (1, 4)
    """

    def __init__(self, loss: Loss, model: Layer, weight: float = 0.3):
        super().__init__()
        if not 0 <= weight < np.inf:
            raise ValueError(
                f"WithAuxiliaryHeads: the weight of the auxiliary heads' losses is a number of at least 0, got {weight}"
            )
        self.loss, self.model, self.weight = loss, model, weight
        self._gradients_of_heads: list[tuple[AuxiliaryHead, np.ndarray]] = []

    def forward(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """Scores and targets as the loss takes them; the scores of the auxiliary heads must have the same shape."""
        value = self.loss.forward(scores, targets)
        self._dscores = self.loss.backward()
        self._gradients_of_heads = []
        for _, head in self.model.walk():
            if isinstance(head, AuxiliaryHead) and head.scores is not None:
                if head.scores.shape != scores.shape:
                    raise ValueError(
                        f"{head} gives scores {head.scores.shape} and the network {scores.shape}: after a change of classes "
                        "its head needs a new last layer as well, or build the network without auxiliary heads"
                    )
                value += self.weight * self.loss.forward(head.scores, targets)
                self._gradients_of_heads.append((head, self.weight * self.loss.backward()))
        return value

    @property
    def chance_formula(self) -> str:
        return self.loss.chance_formula

    def at_chance(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """As the loss itself says, and once more, times the weight, for each head that has run since the last ``backward``."""
        return self._with_heads(self.loss.at_chance(scores, targets))

    def at_best(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """As the loss itself says, and once more, times the weight, for each head that has run since the last ``backward``."""
        return self._with_heads(self.loss.at_best(scores, targets))

    def _with_heads(self, value: float) -> float:
        heads = sum(isinstance(layer, AuxiliaryHead) and layer.scores is not None for _, layer in self.model.walk())
        return value * (1 + self.weight * heads)

    def labels(self, targets: np.ndarray) -> np.ndarray | None:
        return self.loss.labels(targets)

    def backward(self) -> np.ndarray:
        """dL/dscores; each auxiliary head now has its ``dscores``."""
        dscores = super().backward()
        for head, gradient in self._gradients_of_heads:
            head.dscores = gradient
        self._gradients_of_heads = []
        return dscores
