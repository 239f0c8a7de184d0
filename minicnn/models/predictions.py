"""From a network's scores to predictions: probabilities of the classes, of which two may share one score, and the mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..losses import softmax


def scores_of_classes(scores: np.ndarray) -> np.ndarray:
    """One score for each class.

    Scores (N, K) with K > 1 have that already. A single score a sample, (N, 1) or (N,), belongs to two classes: it is the one
    that `minicnn.losses.BinaryLogistic` trains, p = sigmoid(s) being the probability of class 1. It is completed to (0, s), as

    softmax((0, s))_1 = exp(s) / (exp(0) + exp(s)) = 1 / (1 + exp(-s)) = sigmoid(s)

    Conversely, of two scores softmax uses the difference alone, s = s_1 - s_0: one sigmoid output can say all that two softmax
    outputs can.

    >>> scores_of_classes(np.array([[2.0], [-1.0]]))
    array([[ 0.,  2.],
           [ 0., -1.]])
    """
    if scores.ndim == 2 and scores.shape[1] > 1:
        return scores
    s = scores.reshape(len(scores), -1)
    if s.shape[1] != 1:
        raise ValueError(f"expected scores (N, K), or one score a sample, (N, 1) or (N,), got {scores.shape}")
    return np.concatenate([np.zeros_like(s), s], axis=1)


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Probabilities of the classes, (N, K); of a single score a sample (N, 2), which are 1 - sigmoid(s) and sigmoid(s).

    >>> probabilities(np.array([[0.0], [1000.0]]))
    array([[0.5, 0.5],
           [0. , 1. ]])
    """
    return softmax(scores_of_classes(scores))


def number_of_classes(output_shape: tuple[int, ...]) -> int:
    """How many classes a network decides between whose output for one picture has this shape, (1, K): K, and 2 where K is 1.

    Raises
    ------
    ValueError
        If that is no output of scores.
    """
    if len(output_shape) != 2:
        raise ValueError(
            f"an output of shape {tuple(output_shape)} for one picture is not scores of classes, (1, K); was the network built "
            "with include_top=False?"
        )
    return max(output_shape[1], 2)


def confident_mistakes(labels: np.ndarray, scores: np.ndarray, most: int = 12) -> list[dict[str, Any]]:
    """The wrong predictions with the highest probability, the most confident first.

    Parameters
    ----------
    labels : (N,)
    scores : (N, K), or (N, 1) where two classes share a score
    most : int

    Returns
    -------
    list of dict
        "index" (from 0 to N - 1), "true", "predicted" (class numbers) and "confidence", the probability of what was predicted.

    >>> confident_mistakes(np.array([0, 1, 1]), np.array([[0.0, 1.0], [3.0, 0.0], [0.0, 2.0]]))[0]["index"]
    1
    """
    p = probabilities(scores)
    predicted = p.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    wrong = wrong[np.argsort(-p[wrong, predicted[wrong]], kind="stable")][:most]
    return [
        {"index": int(i), "true": int(labels[i]), "predicted": int(predicted[i]), "confidence": float(p[i, predicted[i]])}
        for i in wrong
    ]
