"""How far a linear classifier gets on codes: k-fold cross-validation, quick enough for many layers and regularisations.

The classifier is ridge regression to one-hot targets, because its held-out predictions have a closed form: one
eigendecomposition gives all folds and all regularisations, where an SVM or softmax regression would have to be trained for each
of them. On the codes of pretrained networks the three are about equally accurate (`lessons/laboratory/advisor.py` measures it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from ..data.splits import stratified_folds
from ..errors import DataError
from .base import balanced_weights

FOLDS = 5
HELD_OUT = 1000  # predictions, about: a small set is divided into folds several times, so that chance matters less
RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # lambda as a multiple of D, which is the mean eigenvalue of the (N, N) products


@dataclass(frozen=True)
class CrossValidation:
    """How often pictures were named right while they were held out, by one classifier on one kind of codes.

    Attributes
    ----------
    right : float64 (N,)
        For each picture, the share of the repeats in which it was classified correctly while it was held out.
    ridge : float or None
        The regularisation with the most correct predictions; the results of the others are not kept. None for a classifier
        without one (`knn_accuracy`).
    weights : float64 (N,) or None
        How much each picture counts; None: all count once.
    """

    right: np.ndarray
    ridge: float | None
    weights: np.ndarray | None = None

    @property
    def accuracy(self) -> float:
        """Share of held-out pictures that were classified correctly; with balanced weights, the mean over classes of it."""
        return _mean(self.right, self.weights)

    @property
    def standard_error(self) -> float:
        """The standard error of the accuracy: the standard deviation of ``right`` over pictures, divided by sqrt(N)."""
        return _standard_error(self.right, self.weights)

    def better_than(self, other: CrossValidation) -> tuple[float, float]:
        """By how much the accuracy is higher than that of ``other``, and the standard error of the difference.

        Both belong to the same pictures, so the error is that of the differences picture by picture: far smaller than the two
        errors together, because a picture that is hard for one classifier is mostly hard for the other.
        """
        difference = self.right - other.right
        return _mean(difference, self.weights), _standard_error(difference, self.weights)


def cross_validate(
    x: np.ndarray,
    y: np.ndarray,
    folds: int = FOLDS,
    repeats: int | None = None,
    ridges: Sequence[float] = RIDGES,
    rng: np.random.Generator | int = 0,
    balanced: bool = False,
) -> CrossValidation:
    """k-fold cross-validation of a linear classifier: every picture is classified by one that was not trained on it.

    The classifier is  argmax over k of (W x + b)_k,  with W and b the minimum of

        sum_i ||W z_i + b - t_i||^2 + lambda ||W||^2,     t_i the one-hot row of y_i, z the standardised codes.

    Its fitted values are T' = H T, with the hat matrix H = 1/N + Z (Z^T Z + lambda I)^-1 Z^T for centred Z. What a classifier
    trained without the pictures S predicts for them follows from H without training it:

        predictions_S = t_S - (I - H_SS)^-1 (t_S - T'_S).

    Parameters
    ----------
    x : (N, D)
        Codes.
    y : int (N,)
    folds : int
        At most; no more than the smallest class has pictures, so that every class is in every training part.
    repeats : int, optional
        How often the pictures are divided into folds anew; by default as often as gives up to 1000 predictions, but
        once at least and five times at most.
    ridges : several floats
        lambda / D; the best is taken, of equals the largest.
    rng : Generator or int
        Draws the folds; the same for all layers, so that they can be compared picture by picture.
    balanced : bool
        Every class has the same say, in the sum above and in the accuracy, however few its pictures are.

    Raises
    ------
    ValueError
        If x is not (N, D), there are not N labels, or a code is not finite.
    DataError
        If a class has a single picture: while that is held out, there is none to learn the class from.

    Allen 1974, "The Relationship between Variable Selection and Data Augmentation and a Method for Prediction" (predictions
    for one held-out point); An, Liu, Venkatesh 2007, "Fast cross-validation algorithms for least squares support vector machine
    and kernel ridge regression", theorem 1 (of many).
    """
    x, y, counts = checked(x, y)
    parts = repeated_folds(y, folds, repeats, np.random.default_rng(rng))
    best, weights = None, balanced_weights(counts)[y] if balanced else None
    strongest_first = sorted(ridges, reverse=True)
    for ridge, hat in zip(strongest_first, hat_matrices(x, strongest_first, weights), strict=True):
        found = CrossValidation(held_out_right(hat, y, parts, weights), ridge, weights)
        if best is None or found.accuracy > best.accuracy + 1e-12:
            best = found
    return best


def checked(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes (N, D), labels (N,) as numbers 0..K-1 without gaps, and how many pictures each class has, two or more."""
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ValueError(f"cross-validation expects codes (N, D) and labels (N,), got {x.shape} and {y.shape}")
    if not np.isfinite(x).all():
        raise ValueError("there is a NaN or an infinity among the codes: look at the pictures and the network that made them")
    classes, y, counts = np.unique(y, return_inverse=True, return_counts=True)
    if len(classes) < 2 or counts.min() < 2:
        raise DataError(
            f"cross-validation needs two classes or more and two pictures of each, got {len(classes)} classes, the smallest of "
            f"{counts.min(initial=len(y))}; add pictures"
        )
    return x, y, counts


def repeated_folds(y: np.ndarray, folds: int, repeats: int | None, rng: np.random.Generator) -> list[np.ndarray]:
    """The indices of each part, of all repeats; see `cross_validate`."""
    repeats = repeats or int(np.clip(HELD_OUT // len(y), 1, 5))
    return [part for _ in range(repeats) for part in stratified_folds(y, min(folds, np.bincount(y).min()), rng)]


def held_out_right(
    hat: np.ndarray, y: np.ndarray, parts: Sequence[np.ndarray], weights: np.ndarray | None = None
) -> np.ndarray:
    """For each picture, the share of the times it was held out in which its largest prediction was that of its class.

    Parameters
    ----------
    hat : (..., N, N)
        One hat matrix or several.
    y : int (N,)
    parts : list of int arrays
        Each is held out in turn; all pictures equally often.
    weights : (N,), optional
        Those of ``hat``: a picture of weight c is a row that is sqrt(c) times as long. Its largest score stays the largest.

    Returns
    -------
    float64 (..., N)
    """
    targets = np.eye(y.max() + 1)[y]
    if weights is not None:
        targets = np.sqrt(weights)[:, None] * targets
    residual, repeats = targets - hat @ targets, sum(map(len, parts)) / len(y)
    right = np.zeros(hat.shape[:-1])
    for rows in parts:
        held_out = np.eye(len(rows)) - hat[..., rows[:, None], rows]
        predictions = targets[rows] - np.linalg.solve(held_out, residual[..., rows, :])
        right[..., rows] += (predictions.argmax(-1) == y[rows]) / repeats
    return right


def hat_matrices(x: np.ndarray, ridges: Sequence[float], weights: np.ndarray | None = None):
    """The hat matrix (N, N) of ridge regression with an intercept for each lambda / D, from one eigendecomposition.

    With Z Z^T = Q diag(e) Q^T it is H = 1/N + Q diag(e / (e + lambda)) Q^T. With weights c of the pictures, 1 in the mean,
    sqrt(c_i) z_i takes the place of z_i, with the weighted mean subtracted, and sqrt(c_i c_j) / N that of 1/N.
    """
    z = standardised(x, weights)
    ones = np.ones(len(x)) if weights is None else np.sqrt(weights)
    z = ones[:, None] * z
    e, Q = eigh(z @ z.T)
    e = np.maximum(e, 0)
    for ridge in ridges:
        yield (Q * (e / (e + ridge * z.shape[1]))) @ Q.T + np.outer(ones, ones) / len(x)


def standardised(x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Codes whose features have mean 0, weighted if there are weights, and standard deviation 1; float64 (N, D).

    Features that never vary are left out. If none does, a single one of zeros is left.
    """
    z = x - (x.mean(0, dtype=np.float64) if weights is None else np.average(x, axis=0, weights=weights))
    std = z.std(0)
    z = (z[:, std > 1e-6] / std[std > 1e-6]).astype(np.float64)
    return z if z.shape[1] else np.zeros((len(x), 1))


def _mean(values: np.ndarray, weights: np.ndarray | None) -> float:
    return float(values.mean() if weights is None else np.average(values, weights=weights))


def _standard_error(values: np.ndarray, weights: np.ndarray | None) -> float:
    """Of the mean: the standard deviation of the weighted values over pictures, divided by sqrt(N)."""
    weighted = values if weights is None else weights / weights.mean() * (values - _mean(values, weights))
    return float(weighted.std(ddof=1) / np.sqrt(len(values)))
