"""Checks of targets, and the advice for targets of another form: which conversion, or which other loss, is meant."""

from __future__ import annotations

import numpy as np

from ..layers.base import FLOATS
from .base import Loss, check_scores


def is_probabilities(targets: np.ndarray) -> bool:
    """Whether these are rows of floats, a number for each class."""
    return isinstance(targets, np.ndarray) and targets.ndim == 2 and targets.dtype.kind == "f"


def is_one_hot(targets: np.ndarray) -> bool:
    """Whether each row has a single 1, and 0 elsewhere."""
    is_number = targets.ndim == 2 and targets.dtype.kind in "biuf"
    return bool(is_number and np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all())


def check_probabilities(loss: Loss, scores: np.ndarray, targets: np.ndarray) -> None:
    """Refuse what is not a row of probabilities for each sample, 1 in sum."""
    name = type(loss).__name__
    check_scores(loss, scores)
    if targets.shape != scores.shape:
        raise ValueError(f"{name} expects a probability for each score, {scores.shape}, got targets {targets.shape}")
    digits = 1e-4 if targets.dtype in FLOATS else 2e-3  # float16 has three
    are_positive = (targets >= 0).all(axis=1)
    wrong = ~are_positive | ~(np.abs(targets.sum(axis=1, dtype=np.float64) - 1) <= digits)
    if wrong.any():
        first = int(wrong.argmax())
        are_labels = ((targets >= 0) & (targets <= 1)).all()
        raise ValueError(
            f"{name} expects rows of probabilities, 0 or more and 1 in sum; row {first} of targets is {targets[first]}. "
            + ("Where several labels of a sample may be right, use SigmoidCrossEntropy. " if are_labels else "")
            + "Class numbers are given as integers (N,)"
        )


def check_classes(loss: Loss, scores: np.ndarray, targets: np.ndarray) -> None:
    """Refuse what is not scores (N, K) and the number of a class for each sample, (N,)."""
    name = type(loss).__name__
    check_scores(loss, scores)
    if scores.ndim != 2:
        raise ValueError(f"{name} expects scores of shape (N, K), a row a sample and a column a class, got {scores.shape}")
    if not isinstance(targets, np.ndarray) or targets.dtype.kind not in "iu":
        got = f"{targets.dtype} {targets.shape}" if isinstance(targets, np.ndarray) else type(targets).__name__
        raise TypeError(f"{name} expects targets as an array of integer class numbers, got {got}; {how_to_number(targets)}")
    if targets.shape != scores.shape[:1]:
        advice = ""
        if targets.shape == (*scores.shape[:1], 1):
            advice = "; take them out of their column with targets[:, 0]"
        elif is_one_hot(targets):
            advice = "; convert one-hot rows with targets.argmax(axis=1)"
        elif targets.shape == scores.shape:
            advice = "; the loss for several labels a sample is SigmoidCrossEntropy"
        raise ValueError(f"{name} expects one target a sample, {scores.shape[:1]}, got targets {targets.shape}{advice}")
    K = scores.shape[1]
    outside = (targets < 0) | (targets >= K)
    if outside.any():
        raise ValueError(
            f"{name}: {K} scores a sample mean classes 0 to {K - 1}, got targets {first_few(targets[outside])}. "
            "Count classes from 0; or does the network's last layer have too few outputs?"
        )


def how_to_number(targets: object) -> str:
    """How to make class numbers of something else."""
    if not isinstance(targets, np.ndarray):
        return "convert with np.asarray(targets)"
    if targets.dtype.kind in "USO":
        return "number the names with classes, targets = np.unique(targets, return_inverse=True)"
    if targets.ndim == 2:
        one_hot = "one-hot rows" if is_one_hot(targets) else "rows, if the class is where the largest value is,"
        return f"convert {one_hot} with targets.argmax(axis=1)"
    if targets.dtype.kind == "f" and not (targets == np.round(targets)).all():
        return "these are not whole numbers, and so name no classes"
    return "convert with targets.astype(np.int64)"


def first_few(values: np.ndarray) -> str:
    """The lowest of the values, each once, for a message."""
    different = np.unique(values)
    return ", ".join(str(value) for value in different[:5]) + (", ..." if len(different) > 5 else "")
