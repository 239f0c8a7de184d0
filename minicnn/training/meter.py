"""Loss and accuracy over many batches."""

from __future__ import annotations

import numpy as np


class Meter:
    """Means of loss and accuracy over the samples of all batches so far; accuracy is None where there are no labels."""

    def __init__(self) -> None:
        self.samples, self.total_loss = 0, 0.0
        self.correct: int | None = 0

    def add(self, loss: float, scores: np.ndarray, labels: np.ndarray | None) -> None:
        """One more batch: its mean loss, its scores, and its labels if there are any."""
        correct = None if labels is None else count_correct(scores, labels)
        self.samples += len(scores)
        self.total_loss += loss * len(scores)
        self.correct = None if correct is None else self.correct + correct

    @property
    def loss(self) -> float:
        return self.total_loss / self.samples

    @property
    def accuracy(self) -> float | None:
        return None if self.correct is None else self.correct / self.samples

    def words(self) -> dict[str, str]:
        """Both as text, by name, for the end of a progress bar."""
        loss = {"loss": f"{self.loss:.3f}"}
        return loss if self.accuracy is None else loss | {"accuracy": f"{self.accuracy:.1%}"}


def count_correct(scores: np.ndarray, labels: np.ndarray) -> int | None:
    """How many labels, (N,) or (N, 1), the scores get right.

    With several scores a sample, the highest says which class; a single score says class 1 if it is above 0, otherwise class 0.
    None where there is nothing to count: several labels a sample, or scores that are not one row for each sample.

    >>> count_correct(np.array([[0.1, 2.0], [3.0, -1.0]]), np.array([1, 1]))
    1
    >>> count_correct(np.array([[0.5], [-0.5]]), np.array([1, 0]))
    2
    """
    if labels.size != len(labels) or scores.ndim > 2:
        return None
    one_score = scores.ndim == 1 or scores.shape[1] == 1
    predicted = scores.reshape(-1) > 0 if one_score else scores.argmax(axis=1)
    return int(np.count_nonzero(predicted == labels.reshape(-1)))
