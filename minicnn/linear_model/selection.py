"""Choosing the regularisation of a linear classifier on validation data: one part of the pictures, or fold after fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .base import LinearClassifier, class_scores

# lambda, from "the training set decides" to "all weights near zero". One decade a step is enough to see the hill.
REGULARISATION_PATH = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


Fold = tuple[np.ndarray, np.ndarray]  # numbers of the samples to train on, and of those held out


@dataclass
class PathPoint:
    """One point of the regularisation path; of several folds, the mean over the samples."""

    regularisation: float
    train_accuracy: float
    val_accuracy: float


@dataclass
class RegularisationChoice:
    """What `choose_regularisation` and `cross_validated_regularisation` found.

    Attributes
    ----------
    point : PathPoint
        The chosen one.
    of_folds : list of LinearClassifier
        With that regularisation, trained without the samples that each fold holds out: validation accuracies are honest.
    held_out : float64 (n, K)
        Their scores for the samples that are held out, fold after fold; -inf for a class that a fold had nothing to learn from.
    final : LinearClassifier
        Trained with the same regularisation on all samples: the one to use and to test.
    path : list of PathPoint
    """

    point: PathPoint
    of_folds: list[LinearClassifier]
    held_out: np.ndarray
    final: LinearClassifier
    path: list[PathPoint]

    @property
    def fitted(self) -> LinearClassifier:
        """The classifier that was trained without the validation samples; of several folds, the first one's."""
        return self.of_folds[0]


def choose_regularisation(
    classifier: Callable[[float], LinearClassifier],
    x: np.ndarray,
    y: np.ndarray,
    x_val: np.ndarray,
    y_val: np.ndarray,
    path: Sequence[float] = REGULARISATION_PATH,
    balanced: bool = False,
) -> RegularisationChoice:
    """Train along the path from strong to weak regularisation and choose by the accuracy on a validation part.

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
    fold = np.split(np.arange(len(x) + len(x_val)), [len(x)])
    both = np.concatenate([x, x_val]), np.concatenate([y, y_val])
    return cross_validated_regularisation(classifier, *both, [tuple(fold)], path, balanced)


def cross_validated_regularisation(
    classifier: Callable[[float], LinearClassifier],
    x: np.ndarray,
    y: np.ndarray,
    folds: Sequence[Fold],
    path: Sequence[float] = REGULARISATION_PATH,
    balanced: bool = False,
) -> RegularisationChoice:
    """The same by cross-validation: the accuracy is of all samples that are held out in any of the folds.

    Parameters
    ----------
    x, y : codes (N, D) and labels (N,)
    folds : several (numbers of the samples to train on, numbers of those held out)

    The others, and what is raised, are as in `choose_regularisation`.
    """
    if len(path) == 0:
        raise ValueError("choosing a regularisation needs at least one to try, and the path is empty")
    x, y = np.asarray(x), np.asarray(y)
    classes, y_val = np.unique(y), np.concatenate([y[val] for _, val in folds])
    strongest_first = sorted(path, reverse=True)
    fitted: list[list[LinearClassifier]] = []  # by fold, and in it by regularisation
    for train, _ in folds:
        of_path: list[LinearClassifier] = []
        for regularisation in strongest_first:
            start = of_path[-1] if of_path else None
            of_path.append(classifier(regularisation).fit(x[train], y[train], start=start))
        fitted.append(of_path)
    points, best, most = [], 0, -1.0
    for number, regularisation in enumerate(strongest_first):
        of_folds = [of_path[number] for of_path in fitted]
        predicted = np.concatenate([one.predict(x[val]) for one, (_, val) in zip(of_folds, folds, strict=True)])
        train_accuracy = np.mean([one.score(x[train], y[train]) for one, (train, _) in zip(of_folds, folds, strict=True)])
        points.append(PathPoint(regularisation, float(train_accuracy), float(np.mean(predicted == y_val))))
        value = _mean_recall(y_val, predicted) if balanced else points[-1].val_accuracy
        if value > most:
            best, most = number, value
    of_folds = [of_path[best] for of_path in fitted]
    held_out = np.concatenate([_scores(one, x[val], classes) for one, (_, val) in zip(of_folds, folds, strict=True)])
    final = classifier(points[best].regularisation).fit(x, y, start=of_folds[0])
    return RegularisationChoice(points[best], of_folds, held_out, final, points)


def _scores(classifier: LinearClassifier, x: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """float64 (N, K): a column for each of all classes."""
    scores = np.full((len(x), len(classes)), -np.inf)
    scores[:, np.searchsorted(classes, classifier.classes_)] = class_scores(classifier.decision_function(x))
    return scores


def _mean_recall(y: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.mean([np.mean(predicted[y == label] == label) for label in np.unique(y)]))
