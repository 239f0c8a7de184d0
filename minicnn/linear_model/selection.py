"""Choosing the regularisation of a linear classifier on validation data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .base import LinearClassifier

# lambda, from "the training set decides" to "all weights near zero". One decade a step is enough to see the hill.
REGULARISATION_PATH = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


@dataclass
class PathPoint:
    """One point of the regularisation path."""

    regularisation: float
    train_accuracy: float
    val_accuracy: float


@dataclass
class RegularisationChoice:
    """What `choose_regularisation` found.

    Attributes
    ----------
    point : PathPoint
        The chosen one.
    fitted : LinearClassifier
        Trained on the training part only: its validation accuracy is honest.
    final : LinearClassifier
        Trained with the same regularisation on training and validation part together: the one to use and to test.
    path : list of PathPoint
    """

    point: PathPoint
    fitted: LinearClassifier
    final: LinearClassifier
    path: list[PathPoint]


def choose_regularisation(
    classifier: Callable[[float], LinearClassifier],
    x: np.ndarray,
    y: np.ndarray,
    x_val: np.ndarray,
    y_val: np.ndarray,
    path: Sequence[float] = REGULARISATION_PATH,
    balanced: bool = False,
) -> RegularisationChoice:
    """Train along the path from strong to weak regularisation and choose by validation accuracy.

    Each point starts from the last one's solution. Ties go to the stronger regularisation, the simpler classifier.

    Parameters
    ----------
    classifier : function or class
        Makes one for a lambda: ``SoftmaxRegression``, or ``functools.partial(LinearSVM, loss="hinge")``.
    x, y, x_val, y_val : codes (N, D) and labels (N,) of the training and of the validation part
    path : several floats
        The values of lambda to try.
    balanced : bool
        Choose by balanced accuracy, the mean over classes of the share that was recognised, in place of accuracy.

    Raises
    ------
    ValueError
        If the path is empty.
    """
    if len(path) == 0:
        raise ValueError("choose_regularisation needs at least one regularisation to try, and the path is empty")
    points, best, previous, most = [], None, None, -1.0
    for regularisation in sorted(path, reverse=True):
        previous = classifier(regularisation).fit(x, y, start=previous)
        points.append(PathPoint(regularisation, previous.score(x, y), previous.score(x_val, y_val)))
        value = _mean_recall(y_val, previous.predict(x_val)) if balanced else points[-1].val_accuracy
        if value > most:
            best, most = (points[-1], previous), value
    point, fitted = best
    final = classifier(point.regularisation).fit(np.concatenate([x, x_val]), np.concatenate([y, y_val]), start=fitted)
    return RegularisationChoice(point, fitted, final, points)


def _mean_recall(y: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.mean([np.mean(predicted[y == label] == label) for label in np.unique(y)]))
