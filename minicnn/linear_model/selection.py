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

    Raises
    ------
    ValueError
        If the path is empty.
    """
    if len(path) == 0:
        raise ValueError("choose_regularisation needs at least one regularisation to try, and the path is empty")
    points, best, previous = [], None, None
    for regularisation in sorted(path, reverse=True):
        previous = classifier(regularisation).fit(x, y, start=previous)
        points.append(PathPoint(regularisation, previous.score(x, y), previous.score(x_val, y_val)))
        if best is None or points[-1].val_accuracy > best[0].val_accuracy:
            best = points[-1], previous
    point, fitted = best
    final = classifier(point.regularisation).fit(np.concatenate([x, x_val]), np.concatenate([y, y_val]), start=fitted)
    return RegularisationChoice(point, fitted, final, points)
