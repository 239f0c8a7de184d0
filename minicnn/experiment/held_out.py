"""What is known of a strategy before the test: its scores of pictures that it was not trained on."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..linear_model.calibration import calibration_factor
from ..losses import log_softmax
from ..transfer.metrics import confusion_matrix


class HeldOut(NamedTuple):
    """Scores of pictures that were held out: of the validation part, or of all folds one after another.

    Attributes
    ----------
    rows : int (n,)
        Numbers of the pictures.
    scores : (n, K)
    """

    rows: np.ndarray
    scores: np.ndarray

    def calibrated(self, labels: np.ndarray) -> tuple[HeldOut, float]:
        """The scores times the factor that makes their probabilities honest, and the factor. ``labels``: of all pictures."""
        factor = calibration_factor(self.scores, labels[self.rows])
        return HeldOut(self.rows, factor * self.scores), factor

    def losses(self, labels: np.ndarray) -> np.ndarray:
        """-log p of the right class, picture by picture (n,)."""
        logs = log_softmax(np.asarray(self.scores, np.float64))
        return -np.maximum(logs[np.arange(len(self.rows)), labels[self.rows]], math.log(1e-12))

    def loss(self, labels: np.ndarray) -> float:
        """Their mean."""
        return float(self.losses(labels).mean())

    def is_worse_than(self, other: HeldOut, labels: np.ndarray) -> bool:
        """Whether its loss is higher than that of other scores of the same pictures, by more than one standard error."""
        return are_surely_higher(self.losses(labels), other.losses(labels))

    def first(self, n: int) -> HeldOut:
        """Those of the first n pictures."""
        return HeldOut(self.rows[:n], self.scores[:n])

    def record(self, labels: np.ndarray, is_uneven: bool) -> dict:
        """As a run's record holds it: accuracy, number of pictures, and the confusion matrix where classes are uneven."""
        predicted = self.scores.argmax(axis=1)
        record = {"val_accuracy": float(np.mean(predicted == labels[self.rows])), "val_pictures": len(self.rows)}
        if is_uneven:
            record["val_confusion"] = confusion_matrix(labels[self.rows], predicted, self.scores.shape[1]).tolist()
        return record


def are_surely_higher(losses: np.ndarray, others: np.ndarray) -> bool:
    """Whether the losses of some pictures (n,) are higher than others of the same pictures, by more than one standard error."""
    difference = losses - others
    error = difference.std(ddof=1) / math.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return bool(difference.mean() > error)
