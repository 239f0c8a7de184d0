"""The squared error: regression, where the scores are the values to predict."""

from __future__ import annotations

import numpy as np

from .base import Loss, check_scores


class MeanSquaredError(Loss):
    """The squared distance to the targets: L = mean over n of sum over k of (s[n, k] - t[n, k])^2.

    dL/ds = 2 (s - t) / N. The sum runs over all values of a sample, whatever their shape, and there is no factor 1/2, as in the
    CS231n notes ("Neural Networks 2", regression). With one value a sample it is the same as PyTorch's ``MSELoss`` and
    scikit-learn's ``mean_squared_error``, which with K values divide by K as well.

    The error counts in the square of the targets' units: values far from 1 (prices, pixels) are best standardised first.
    Training with this loss reports no accuracy.

    Raises
    ------
    TypeError, ValueError
        In ``forward``, as `Loss` says.

    >>> loss = MeanSquaredError()
    >>> loss.forward(np.array([[1.0, 2.0], [0.0, 5.0]]), np.array([[0.0, 4.0], [0.0, 5.0]]))       # (1 + 4) / 2
    2.5
    >>> loss.backward()
    array([[ 1., -2.],
           [ 0.,  0.]])
    """

    chance_formula = "the mean square of the targets, summed over a sample's values"

    def forward(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """Scores (N, ...), float32 or float64; targets of the same shape, finite numbers."""
        check_scores(self, scores)
        targets = np.asarray(targets)
        if targets.shape != scores.shape:
            raise ValueError(
                f"MeanSquaredError expects a target for each score, {scores.shape}, got targets {targets.shape}"
                + (f"; give them the scores' shape with targets.reshape{scores.shape}" if targets.size == scores.size else "")
            )
        if targets.dtype.kind not in "iuf":
            raise TypeError(f"MeanSquaredError's targets are numbers, got {targets.dtype}; convert with targets.astype(float)")
        if not np.isfinite(targets).all():
            missing = np.count_nonzero(~np.isfinite(targets))
            raise ValueError(
                f"MeanSquaredError's targets are finite numbers, got {missing} of {targets.size} that are NaN or infinite; "
                "leave samples without a value out"
            )
        difference = scores - targets.astype(scores.dtype)
        self._dscores = 2 / len(scores) * difference
        return float(np.square(difference, dtype=np.float64).sum() / len(scores))

    def labels(self, targets: np.ndarray) -> None:
        """None: the targets are values, also where they are whole numbers."""
