"""Losses of p = sigmoid(s) = 1 / (1 + exp(-s)), where each score is a question of its own with the answer yes or no."""

from __future__ import annotations

import copy

import numpy as np

from .base import Loss, check_fit, check_scores, weights_of
from .targets import first_few, is_one_hot


class BinaryLogistic(Loss):
    """Two classes, one score: L = mean over n of log(1 + exp(-s)) where the target is 1, log(1 + exp(s)) where it is 0.

    That is the cross-entropy of p = sigmoid(s), the probability of class 1, computed as max(-s, 0) + log(1 + exp(-|s|)), or
    max(s, 0) + log(1 + exp(-|s|)), in which nothing overflows. dL/ds = (p - t) / N. An infinite score on the right side costs
    nothing, and on the wrong one infinitely much; the gradient is finite.

    Parameters
    ----------
    class_weights : (c_0, c_1), optional
        What a sample of class 0 counts, and one of class 1: L = mean over n of c_n L_n, and dL/ds = c_n (p - t) / N. By default
        each counts once. (PyTorch's ``pos_weight`` is c_1, with c_0 = 1.)

    Raises
    ------
    TypeError, ValueError
        If the weights are not two positive numbers; in ``forward``, as `Loss` says.

    >>> loss = BinaryLogistic()
    >>> round(loss.forward(np.array([0.0, 1000.0]), np.array([1, 1])), 4)       # log(2) / 2
    0.3466
    """

    chance_formula = "log 2"

    def __init__(self, class_weights: np.ndarray | None = None):
        super().__init__()
        self.class_weights = weights_of(self, "class_weights", class_weights)
        check_fit(self, "class_weights", self.class_weights, 2)

    def forward(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """Scores (N,) or (N, 1), float32 or float64; targets (N,) or of the scores' shape, each 0 or 1 (False or True)."""
        check_scores(self, scores)
        targets = np.asarray(targets)
        if scores.shape[1:] not in ((), (1,)) or targets.size != len(scores):
            raise ValueError(
                f"BinaryLogistic expects one score a sample, (N,) or (N, 1), and as many targets, got scores {scores.shape} "
                f"and targets {targets.shape}{_other_than_binary(scores, targets)}"
            )
        if targets.dtype.kind not in "biuf":
            raise TypeError(
                f"BinaryLogistic's targets are 0 or 1, got {targets.dtype}; of two names the one that means 1 makes them: "
                "(targets == name).astype(np.int64)"
            )
        if not np.isin(targets, (0, 1)).all():
            raise ValueError(f"BinaryLogistic's targets are 0 or 1, got {first_few(targets)}")
        t = targets.reshape(scores.shape).astype(scores.dtype)
        c_0, c_1 = (1.0, 1.0) if self.class_weights is None else (float(c) for c in self.class_weights)
        losses, self._dscores = _sigmoid_cross_entropy(scores, c_1 * t, c_0 * (1 - t))
        return float(losses.mean(dtype=np.float64))


class SigmoidCrossEntropy(Loss):
    """Any number of K labels: L = mean over n of sum over k of -t log p - (1 - t) log(1 - p), with p = sigmoid(scores).

    Each score is a question of its own (is there a crack? is there a dark spot?), whatever the answers to the others: a
    `BinaryLogistic` for each label. The target t[n, k] is 1 where sample n has label k and 0 where not, or a probability
    between. dL/ds[n, k] = (p - t) / N, which does not depend on K.

    With scores near zero, as in an untrained network, L is about K log(2). PyTorch's ``BCEWithLogitsLoss`` divides by K as
    well, Caffe's SigmoidCrossEntropyLoss does not. An infinite score on the right side of a certain target (0 or 1) costs
    nothing, and otherwise infinitely much; the gradient is finite.

    No single class is right, so training with this loss reports no accuracy.

    Parameters
    ----------
    positive_weights : (K,), optional
        v_k, how much a sample that has label k counts in its sum, for labels that few samples have:
        -v_k t log p - (1 - t) log(1 - p), whose derivative is (1 - t) p - v_k t (1 - p). By default 1. (PyTorch's
        ``pos_weight``; (number without the label) / (number with it) lets both sides of each label weigh the same.)

    Raises
    ------
    TypeError, ValueError
        If a weight is no positive number; in ``forward``, as `Loss` says, and if there are not K weights.

    >>> loss = SigmoidCrossEntropy()
    >>> round(loss.forward(np.array([[0.0, 1000.0, -1000.0]]), np.array([[1, 1, 0]])), 4)       # log(2) + 0 + 0
    0.6931
    """

    chance_formula = "C log 2"

    def __init__(self, positive_weights: np.ndarray | None = None):
        super().__init__()
        self.positive_weights = weights_of(self, "positive_weights", positive_weights, "label")

    def forward(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """Scores (N, K), float32 or float64; targets (N, K), numbers from 0 to 1 (or False and True)."""
        check_scores(self, scores)
        targets = np.asarray(targets)
        if scores.ndim != 2 or targets.shape != scores.shape:
            advice = "; for one class a sample use SoftmaxCrossEntropy" if targets.shape == scores.shape[:1] else ""
            raise ValueError(
                "SigmoidCrossEntropy expects scores (N, K), a column a label, and a target for each of them, got scores "
                f"{scores.shape} and targets {targets.shape}{advice}"
            )
        if targets.dtype.kind not in "biuf":
            raise TypeError(
                f"SigmoidCrossEntropy's targets are numbers from 0 to 1, got {targets.dtype}; a column for each label makes "
                "them of names: np.array([[label in names for label in labels] for names in names_of_samples])"
            )
        outside = ~((targets >= 0) & (targets <= 1))
        if outside.any():
            raise ValueError(f"SigmoidCrossEntropy's targets are 0 to 1, got {first_few(targets[outside])}")
        check_fit(self, "positive_weights", self.positive_weights, scores.shape[1])
        t = targets.astype(scores.dtype)
        v = 1 if self.positive_weights is None else self.positive_weights.astype(scores.dtype)
        losses, self._dscores = _sigmoid_cross_entropy(scores, v * t, 1 - t)
        return float(losses.sum(dtype=np.float64) / len(scores))

    def at_best(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """At p = v t / (v t + 1 - t), the scores log(v t / (1 - t)): 0 where all targets are certain."""
        t = np.asarray(targets, np.float64)
        v = 1 if self.positive_weights is None else self.positive_weights
        with np.errstate(divide="ignore"):
            best = (np.log(v * t) - np.log(1 - t)).astype(scores.dtype)
        return copy.copy(self).forward(best, targets)

    def labels(self, targets: np.ndarray) -> None:
        """None: several labels of a sample may be right."""


def _sigmoid_cross_entropy(s: np.ndarray, yes: np.ndarray, no: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """yes log(1 + exp(-s)) + no log(1 + exp(s)) of each score, and its derivative no p - yes (1 - p), over N.

    ``yes`` and ``no`` are the weights of the two answers.
    """
    small = np.exp(-np.abs(s))  # at most 1, so it cannot overflow
    rest = np.log1p(small)
    losses = _times(yes, np.maximum(-s, 0) + rest) + _times(no, np.maximum(s, 0) + rest)
    p = np.where(s >= 0, s.dtype.type(1), small) / (1 + small)
    one_minus_p = np.where(s >= 0, small, s.dtype.type(1)) / (1 + small)  # where p is near 1, the difference has no digits left
    return losses, (no * p - yes * one_minus_p) / len(s)


def _times(weight: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """weight * cost, where a weight of 0 makes nothing of an infinite cost."""
    return np.multiply(weight, cost, out=np.zeros_like(cost), where=weight > 0)


def _other_than_binary(scores: np.ndarray, targets: np.ndarray) -> str:
    """Which loss is meant where there are several scores a sample; '' where that is not the question."""
    if scores.ndim != 2 or scores.shape[1] < 2:
        return ""
    if targets.shape != scores.shape:
        return "; for one class a sample, with a score for each class, use SoftmaxCrossEntropy"
    if is_one_hot(targets):
        return "; for one class a sample, as these are, use SoftmaxCrossEntropy with targets.argmax(axis=1)"
    return "; for several labels a sample, a score for each label, use SigmoidCrossEntropy"
