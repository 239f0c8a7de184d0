"""What all losses have in common: the contract, and the checks of scores and weights."""

from __future__ import annotations

import copy

import numpy as np

from ..layers.base import FLOATS


class Loss:
    """The contract: ``value = loss.forward(scores, targets)``, then once ``dscores = loss.backward()``.

    A new loss writes ``forward``, which also leaves the gradient in ``_dscores``; where its targets are neither integers nor
    booleans that name classes, ``labels``; and where no scores give a loss of 0, ``at_best``.

    Attributes
    ----------
    chance_formula : str
        `at_chance` in a few letters, for C classes, labels or values, without weights.
    """

    chance_formula = "the loss of scores that are all 0"

    def __init__(self) -> None:
        self._dscores: np.ndarray | None = None

    def forward(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """The mean loss over the N samples of the batch.

        Raises
        ------
        TypeError
            If the scores are no float32 or float64 array, or the targets of a type that the loss does not take.
        ValueError
            If the batch is empty, shapes do not fit together, or a target is impossible.
        """
        raise NotImplementedError(f"{type(self).__name__} must write forward(scores, targets)")

    def at_chance(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """The loss if these scores were all 0: what a network pays that knows nothing. ``backward`` is not prepared."""
        return copy.copy(self).forward(np.zeros_like(scores), targets)

    def at_best(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """The lowest loss that any scores in the place of these could have: 0, unless targets are uncertain."""
        return 0.0

    def labels(self, targets: np.ndarray) -> np.ndarray | None:
        """The right class of each sample according to the targets, to compute the accuracy; None where they name no classes."""
        return targets if targets.dtype.kind in "iub" else None

    def backward(self) -> np.ndarray:
        """The gradient of the latest ``forward`` with respect to its scores, of their shape and dtype.

        Raises
        ------
        RuntimeError
            If there was no ``forward`` before it, or ``backward`` was called already.
        """
        if self._dscores is None:
            raise RuntimeError(f"{type(self).__name__}: backward() needs a forward(scores, targets) just before it, once each")
        dscores, self._dscores = self._dscores, None
        return dscores


def check_scores(loss: Loss, scores: np.ndarray) -> None:
    """Refuse what is no float32 or float64 array, or empty."""
    name = type(loss).__name__
    if not isinstance(scores, np.ndarray) or scores.dtype not in FLOATS:
        got = scores.dtype if isinstance(scores, np.ndarray) else type(scores).__name__
        raise TypeError(f"{name} expects scores as a float32 or float64 array, got {got}")
    if scores.ndim == 0 or scores.size == 0:
        raise ValueError(f"{name} takes the mean over a batch, and there is nothing in this one: scores {scores.shape}")


def weights_of(loss: Loss, what: str, weights: np.ndarray | None, each: str = "class") -> np.ndarray | None:
    """The weights as a float64 array; None stays None. ``what`` is the argument's name, each weight that of a class or label.

    Raises
    ------
    ValueError
        If they are not positive numbers in a row.
    """
    if weights is None:
        return None
    try:
        array = np.asarray(weights, np.float64)
    except (TypeError, ValueError):  # of names, say
        array = np.empty(0)
    if array.ndim != 1 or not array.size or not ((array > 0) & np.isfinite(array)).all():
        raise ValueError(f"{type(loss).__name__}: {what} are positive numbers, one for each {each}, got {weights!r}")
    return array


def check_fit(loss: Loss, what: str, weights: np.ndarray | None, K: int) -> None:
    """Refuse weights that are not K."""
    if weights is not None and len(weights) != K:
        raise ValueError(f"{type(loss).__name__} has {len(weights)} {what}, and there are {K}: give one weight for each")
