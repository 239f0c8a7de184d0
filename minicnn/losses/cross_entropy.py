"""Softmax, and the cross-entropy of its probabilities: one class of K."""

from __future__ import annotations

import copy

import numpy as np

from ..kernels.softmax import below_largest, softmax_cross_entropy
from .base import Loss, check_fit, weights_of
from .targets import check_classes, check_probabilities, is_probabilities


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities from scores: p_k = exp(s_k) / sum over j of exp(s_j), along the last axis.

    The largest score is subtracted first: the result is the same (a factor cancels), and exp cannot overflow. Of infinite
    scores, p is the limit: 0 of -inf, and 1 of a single +inf. Where several scores are +inf, or all are -inf, there is none,
    and p is NaN.

    Parameters
    ----------
    scores : (..., K), float32 or float64

    Returns
    -------
    (..., K), the same dtype; each row sums to 1

    >>> softmax(np.array([1000.0, 1000.0, -np.inf]))
    array([0.5, 0.5, 0. ])
    """
    p = np.exp(below_largest(scores))
    p /= p.sum(axis=-1, keepdims=True)
    return p


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """log p_k = s_k - log(sum over j of exp(s_j)), along the last axis, without overflow.

    -inf only where p is 0 because a score is infinite. Shapes, dtypes and infinite scores as in ``softmax``.
    """
    z = below_largest(scores)
    z -= np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return z


class SoftmaxCrossEntropy(Loss):
    """The negative log-probability of the right class: L = mean over n of -log p[n, t_n], with p = softmax(scores).

    dL/ds[n, k] = (p[n, k] - q[n, k]) / N, where q is 1 at the right class and 0 elsewhere. With label smoothing e the target
    is softer, q = 1 - e + e/K at the right class and e/K elsewhere, and L = mean over n of -sum over k of q[n, k] log p[n, k]
    (Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", section 7).

    Where it is not certain which class is right (three experts looked, and one disagreed; two pictures were mixed), the
    targets may be probabilities q[n, k] themselves, which are smoothed in the same way.

    With scores near zero, as in an untrained network, L is about log(K).

    **Infinite scores.** A class with a score of -inf has p = 0. It costs nothing where its q is 0, and otherwise L = inf (with
    label smoothing no q is 0). A single score of +inf in a row has p = 1, and the others 0. The gradient is (p - q) / N as
    always, and finite. Where several scores of a row are +inf, or all are -inf, its p is not defined: L is NaN, and so is the
    row of the gradient.

    Parameters
    ----------
    label_smoothing : float
        e above, 0 <= e < 1.
    class_weights : (K,), optional
        The loss of a sample counts as many times as the weight of its class says (of probabilities: c_n = sum over k of
        q[n, k] class_weights[k], q before smoothing): L = mean over n of c_n L_n, and dL/ds[n, k] is c_n times as large. By
        default each counts once. PyTorch's ``CrossEntropyLoss`` divides by the sum of the c_n in place of N, so that the
        gradient of a sample depends on which others are in its batch; of probabilities, and with label smoothing, it weighs
        each term q[n, k] log p[n, k] by the weight of class k.

    Raises
    ------
    ValueError
        If ``label_smoothing`` is out of range or a class weight is no positive number; in ``forward``, as `Loss` says, and if
        there are not K class weights.

    >>> loss = SoftmaxCrossEntropy()
    >>> round(loss.forward(np.zeros((1, 10)), np.array([3])), 4)      # log(10)
    2.3026
    """

    chance_formula = "log C"

    def __init__(self, label_smoothing: float = 0.0, class_weights: np.ndarray | None = None):
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing is the share spread over all classes, 0 to below 1, got {label_smoothing}")
        self.label_smoothing = label_smoothing
        self.class_weights = weights_of(self, "class_weights", class_weights)

    def forward(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """Scores (N, K), float32 or float64; targets (N,), integer class numbers 0 to K-1, or (N, K), probabilities."""
        (check_probabilities if is_probabilities(targets) else check_classes)(self, scores, targets)
        check_fit(self, "class_weights", self.class_weights, scores.shape[1])
        losses, self._dscores = softmax_cross_entropy(scores, targets, self.label_smoothing)
        if self.class_weights is not None:
            c = targets @ self.class_weights if is_probabilities(targets) else self.class_weights[targets]
            losses, self._dscores = c * losses, c[:, None].astype(scores.dtype) * self._dscores
        return float(losses.mean(dtype=np.float64))

    def at_best(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """At p = q, the scores log q: the entropy of the smoothed targets, -sum over k of q log q."""
        K = scores.shape[1]
        q = targets if is_probabilities(targets) else np.eye(K)[targets]
        with np.errstate(divide="ignore"):
            best = np.log((1 - self.label_smoothing) * q + self.label_smoothing / K).astype(scores.dtype)
        return copy.copy(self).forward(best, targets)

    def labels(self, targets: np.ndarray) -> np.ndarray | None:
        return targets.argmax(axis=1) if is_probabilities(targets) else super().labels(targets)
