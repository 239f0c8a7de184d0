"""Calibration: scaling a classifier's scores so that their softmax gives honest probabilities."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from ..losses import log_softmax
from .base import LinearClassifier, class_scores


def calibrate(classifier: LinearClassifier, x: np.ndarray, y: np.ndarray) -> float:
    """Scale weights and biases in place so that softmax(scores) gives honest probabilities on held-out codes.

    The order of the classes, and with it every prediction, stays as it is.

    Parameters
    ----------
    classifier : LinearClassifier
        Trained on other codes.
    x, y : (N, D), (N,)
        Held-out codes and their labels.

    Returns
    -------
    float, the factor: see `calibration_factor`

    Raises
    ------
    ValueError
        For a label that the classifier was not trained on.
    """
    y = np.asarray(y)
    if not np.isin(y, classifier.classes_).all():
        raise ValueError(f"calibrate got labels that the classifier has not learned; it knows {classifier.classes_.tolist()}")
    scores = class_scores(classifier.decision_function(x))
    factor = calibration_factor(scores, np.searchsorted(classifier.classes_, y))
    classifier.coef_, classifier.intercept_ = classifier.coef_ * factor, classifier.intercept_ * factor
    return factor


def calibration_factor(scores: np.ndarray, y: np.ndarray) -> float:
    """The number a > 0 with which softmax(a * scores) gives the most honest probabilities of held-out samples.

    It minimises the mean over the N samples of -sum_k t_k log softmax(a s)_k, where t is 1 - 1/(N + 2) for the right class and
    the others share the rest. With t = 1, and N samples that all are classified correctly, as is common where there are few,
    no a would be too large, and every picture to come would get a probability of 100 %.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2 (temperature scaling, with the temperature 1/a);
    Platt 1999, "Probabilistic Outputs for Support Vector Machines", section 2.2 (the targets).

    Parameters
    ----------
    scores : (N, K)
        Of samples that were not trained on. -inf for a class that was not known.
    y : int (N,)
        Their classes, numbers of columns.

    >>> scores = np.array([[2.0, 0], [2.0, 0], [2.0, 0], [0, 2.0]])     # all of class 0, with equal confidence
    >>> a = calibration_factor(scores, np.zeros(4, int))
    >>> round(float(1 / (1 + np.exp(-2 * a))), 3)      # 3/4 of them right: (3 * 5/6 + 1/6) / 4
    0.667
    """
    scores, y = np.asarray(scores, np.float64), np.asarray(y)
    N, K = scores.shape
    rest = 1 / (N + 2)
    targets = np.full((N, K), rest / (K - 1))
    targets[np.arange(N), y] = 1 - rest
    known = np.isfinite(scores)
    targets *= known

    def loss(log_factor: float) -> float:
        logs = log_softmax(np.where(known, np.exp(log_factor) * np.where(known, scores, 0), -np.inf))
        return float(-(targets * np.where(known, logs, 0)).sum() / N)

    return float(np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded").x))
