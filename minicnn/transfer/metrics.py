"""How good predictions are: accuracy, balanced accuracy, F1 and the confusion matrix; and their spread over several runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

UNEVEN = (
    3.0  # times as many pictures of the largest class as of the smallest one: accuracy is then mostly that of large classes
)


def confusion_matrix(y: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts (K, K) of labels y (N,) and predictions (N,): rows are the true classes, columns the predicted ones."""
    confusion = np.zeros((num_classes, num_classes), int)
    np.add.at(confusion, (y, predicted), 1)
    return confusion


def classification_metrics(y: np.ndarray, scores: np.ndarray, positive: int | None = None) -> dict:
    """Metrics of scores (N, K) for samples with labels y (N,), as JSON can hold them.

    accuracy = hits / N; recall_k = hits_k / true_k; precision_k = hits_k / predicted_k; F1 = 2 P R / (P + R).

    Parameters
    ----------
    y : int (N,)
    scores : (N, K)
    positive : int, optional
        The class that is looked for. By default the second of two; of more, none.

    Returns
    -------
    dict
        "accuracy"; "balanced_accuracy", the mean recall over the classes that occur (a class of 10 pictures counts as much as
        one of 1000); "f1" of the positive class, else the mean over the classes that occur; "confusion" (K, K) counts, rows the
        true class, columns the predicted one. Balanced accuracy is None if fewer than two classes occur, and so is F1, also if
        the positive class does not: such numbers would speak of classes that nobody has tested.

    >>> classification_metrics(np.array([0, 0, 0, 1]), np.array([[2, 1], [3, 1], [0, 1], [0, 5]]))["confusion"]
    [[2, 1], [0, 1]]
    """
    K = scores.shape[1]
    positive = 1 if positive is None and K == 2 else positive
    confusion = confusion_matrix(y, scores.argmax(1), K)
    hits, true, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    f1 = 2 * hits / np.maximum(true + predicted, 1)
    occurs = true > 0
    can_be_balanced = np.count_nonzero(occurs) > 1
    has_f1 = can_be_balanced and (positive is None or occurs[positive])
    return {
        "accuracy": float(hits.sum() / len(y)),
        "balanced_accuracy": float((hits[occurs] / true[occurs]).mean()) if can_be_balanced else None,
        "f1": float(f1[occurs].mean() if positive is None else f1[positive]) if has_f1 else None,
        "confusion": confusion.tolist(),
    }


def balanced_accuracy(confusion: np.ndarray) -> tuple[float, float]:
    """The mean recall over the classes that occur, and its standard error.

    With K classes of n_k samples, of which h_k are hits, it is sqrt(sum_k r_k (1 - r_k) / n_k) / K. For r_k the error takes
    (h_k + 1) / (n_k + 2): one hit of one sample does not make certain.

    >>> balanced_accuracy(np.array([[8, 2], [1, 1]]))[0]
    0.65
    """
    confusion = np.asarray(confusion)
    true = confusion.sum(1)
    hits, true = np.diag(confusion)[true > 0], true[true > 0]
    cautious = (hits + 1) / (true + 2)
    error = np.sqrt((cautious * (1 - cautious) / true).sum()) / len(true)
    return float((hits / true).mean()), float(error)


def are_uneven(counts: np.ndarray) -> bool:
    """Whether one class has more than three times as many pictures as another; classes of none are not compared.

    >>> are_uneven(np.array([1803, 821])), are_uneven(np.array([120, 4]))
    (False, True)
    """
    counts = np.asarray(counts)
    counts = counts[counts > 0]
    return len(counts) > 1 and bool(counts.max() > UNEVEN * counts.min())


def mean_and_std(values: Sequence[float | None]) -> dict:
    """Mean and standard deviation over runs that have a value, N - 1 in the denominator; None where there are too few."""
    known = [value for value in values if value is not None]
    return {
        "mean": float(np.mean(known)) if known else None,
        "std": float(np.std(known, ddof=1)) if len(known) > 1 else None,
    }
