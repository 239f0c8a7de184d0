"""The hinge loss of a multi-class support vector machine."""

from __future__ import annotations

import numpy as np

from .base import Loss, check_fit, weights_of
from .targets import check_classes


class SVMHinge(Loss):
    """The multi-class hinge loss: L = mean over n of sum over j != t of max(0, s_j - s_t + margin), t the right class.

    The loss of a sample is 0 once the score of the right class is higher than each other one by at least the margin. Each class
    that violates the margin gets the gradient 1/N, and the right class minus the number of violations / N; a term that is
    exactly at its kink adds 0.

    **Infinite scores.** The differences decide: s_j = -inf costs nothing, s_j = +inf infinitely much, and s_t the other way
    round; the gradient counts violations as above, and is finite. Where s_j and s_t are the same infinity there is no
    difference: L is NaN, and so is the gradient of these two scores.

    Weston & Watkins 1999, "Support Vector Machines for Multi-Class Pattern Recognition"; the form of the CS231n notes.

    Parameters
    ----------
    margin : float
        More than 0.
    class_weights : (K,), optional
        The loss of a sample counts as many times as the weight of its class says: L = mean over n of c_n L_n, and dL/ds is c_n
        times as large. By default each counts once. PyTorch's ``MultiMarginLoss`` means the same by its weights, and divides by
        K as well.

    Raises
    ------
    ValueError
        If ``margin`` is out of range or a class weight is no positive number; in ``forward``, as `Loss` says, and if there are
        not K class weights.

    >>> loss = SVMHinge()
    >>> loss.forward(np.array([[3.0, 5.0, -1.5]]), np.array([0]))       # max(0, 5 - 3 + 1) + max(0, -1.5 - 3 + 1)
    3.0
    >>> loss.backward()
    array([[-1.,  1.,  0.]])
    """

    chance_formula = "(C - 1) margin"

    def __init__(self, margin: float = 1.0, class_weights: np.ndarray | None = None):
        super().__init__()
        if not 0 < margin < np.inf:
            raise ValueError(f"SVMHinge's margin is the lead the right class must have, more than 0 (usually 1), got {margin}")
        self.margin = margin
        self.class_weights = weights_of(self, "class_weights", class_weights)

    def forward(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """Scores (N, K), float32 or float64; targets (N,), integer class numbers 0 to K-1."""
        check_classes(self, scores, targets)
        check_fit(self, "class_weights", self.class_weights, scores.shape[1])
        N, rows = len(scores), np.arange(len(scores))
        with np.errstate(invalid="ignore"):  # inf - inf
            margins = scores - scores[rows, targets][:, None] + scores.dtype.type(self.margin)
        margins[rows, targets] = 0
        np.maximum(margins, 0, out=margins)
        losses = margins.sum(axis=1, dtype=np.float64)
        dscores = np.sign(margins, out=margins)
        dscores[rows, targets] = -dscores.sum(axis=1)
        dscores /= N
        if self.class_weights is not None:
            c = self.class_weights[targets]
            losses *= c
            dscores *= c[:, None].astype(scores.dtype)
        self._dscores = dscores
        return float(losses.mean())
