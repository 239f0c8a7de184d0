"""How good predictions are: accuracy, balanced accuracy, F1 and the confusion matrix; and their spread over several runs."""

from __future__ import annotations

import numpy as np


def classification_metrics(y: np.ndarray, scores: np.ndarray) -> dict:
    """Metrics of scores (N, K) for samples with labels y (N,), as JSON can hold them.

    accuracy = hits / N; recall_k = hits_k / true_k; precision_k = hits_k / predicted_k; F1 = 2 P R / (P + R).

    Returns
    -------
    dict
        "accuracy"; "balanced_accuracy", the mean recall over the classes that occur (a class of 10 pictures counts as much as
        one of 1000); "f1" of the second class where there are two (the one looked for: "defective"), else the classes' mean;
        "confusion" (K, K) counts, rows the true class, columns the predicted one.

    >>> classification_metrics(np.array([0, 0, 0, 1]), np.array([[2, 1], [3, 1], [0, 1], [0, 5]]))["confusion"]
    [[2, 1], [0, 1]]
    """
    K = scores.shape[1]
    confusion = np.zeros((K, K), int)
    np.add.at(confusion, (y, scores.argmax(1)), 1)
    hits, true, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    f1 = 2 * hits / np.maximum(true + predicted, 1)
    occurs = true > 0
    return {
        "accuracy": float(hits.sum() / len(y)),
        "balanced_accuracy": float((hits[occurs] / true[occurs]).mean()),
        "f1": float(f1[1] if K == 2 else f1[occurs].mean()),
        "confusion": confusion.tolist(),
    }


def mean_and_std(values: list[float]) -> dict:
    """Mean and standard deviation over runs, N - 1 in the denominator; None for a single run."""
    return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1)) if len(values) > 1 else None}
