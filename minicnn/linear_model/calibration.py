"""Calibration: scaling a classifier's scores so that their softmax gives honest probabilities."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from ..losses import log_softmax
from .base import LinearClassifier, class_scores


def calibrate(classifier: LinearClassifier, x: np.ndarray, y: np.ndarray) -> float:
    """Scale weights and biases in place so that softmax(scores) gives honest probabilities on held-out codes.

    A single number a > 0 is fitted: the one that minimises the mean of -log softmax(a s)_y. The order of the classes, and with
    it every prediction, stays as it is.

    Parameters
    ----------
    classifier : LinearClassifier
        Trained on other codes.
    x, y : (N, D), (N,)
        Held-out codes and their labels.

    Returns
    -------
    float, the factor a

    Raises
    ------
    ValueError
        For a label that the classifier was not trained on.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2 (temperature scaling, with the temperature 1/a).
    """
    scores, y = class_scores(classifier.decision_function(x)).astype(np.float64), np.asarray(y)
    if not np.isin(y, classifier.classes_).all():
        raise ValueError(f"calibrate got labels that the classifier has not learned; it knows {classifier.classes_.tolist()}")
    right = np.arange(len(y)), np.searchsorted(classifier.classes_, y)

    def negative_log_likelihood(log_factor: float) -> float:
        return float(-log_softmax(np.exp(log_factor) * scores)[right].mean())

    factor = float(np.exp(minimize_scalar(negative_log_likelihood, bounds=(-5, 5), method="bounded").x))
    classifier.coef_, classifier.intercept_ = classifier.coef_ * factor, classifier.intercept_ * factor
    return factor
