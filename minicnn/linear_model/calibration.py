"""Scores that become honest probabilities."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from ..losses import log_softmax
from .base import LinearClassifier


def calibrate(classifier: LinearClassifier, x: np.ndarray, y: np.ndarray) -> float:
    """Scale weights and biases so that softmax(scores) are honest probabilities on held-out codes; returns the factor.

    One number a > 0 is fitted, min over a of the mean of -log softmax(a s)_y: the order of the classes, and with it every
    prediction, stays as it is. Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2 (temperature 1/a).
    """
    scores, y = classifier.scores(x).astype(np.float64), np.asarray(y)
    if not np.isin(y, classifier.classes_).all():
        raise ValueError(f"calibrate got labels that the classifier has not learned; it knows {classifier.classes_.tolist()}")
    right = np.arange(len(y)), np.searchsorted(classifier.classes_, y)

    def negative_log_likelihood(log_factor: float) -> float:
        return float(-log_softmax(np.exp(log_factor) * scores)[right].mean())

    factor = float(np.exp(minimize_scalar(negative_log_likelihood, bounds=(-5, 5), method="bounded").x))
    classifier.coef_, classifier.intercept_ = classifier.coef_ * factor, classifier.intercept_ * factor
    return factor
