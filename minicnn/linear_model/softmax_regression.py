"""Softmax regression: a linear classifier whose scores are logarithms of probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..losses import SoftmaxCrossEntropy, softmax
from .base import LinearClassifier, class_scores
from .dual_coordinate_descent import Minimum
from .lbfgs import lbfgs


class SoftmaxRegression(LinearClassifier):
    """Softmax (multinomial logistic) regression: loss = -log p_y with p = softmax(scores). Bishop 2006, section 4.3.4.

    Trained with L-BFGS. Parameters and attributes are those of `LinearClassifier`.

    scikit-learn's ``LogisticRegression`` finds the same with C = 1 / (lambda N) for three classes and more. Two have two rows
    of weights here, -coef_/2 and coef_/2, and one there, so that it takes C = 2 / (lambda N).

    >>> x = np.array([[0.0, 0.2], [0.1, 0.0], [2.0, 0.1], [2.1, 0.0], [0.0, 3.0], [0.1, 3.1]])
    >>> classifier = SoftmaxRegression(0.01).fit(x, ["ant", "ant", "bee", "bee", "wasp", "wasp"])
    >>> classifier.predict([[0.1, 0.1], [0.0, 2.8]]).tolist(), classifier.coef_.shape
    (['ant', 'wasp'], (3, 2))
    >>> classifier.predict_proba([[2.0, 0.0]]).round(2)
    array([[0.03, 0.97, 0.01]])
    """

    def _minimise(self, z: np.ndarray, y: np.ndarray, c: np.ndarray, start: tuple[np.ndarray, np.ndarray] | None) -> Minimum:
        K = int(y.max()) + 1
        weights = np.ones(K)
        weights[y] = c
        cross_entropy = SoftmaxCrossEntropy(class_weights=weights)

        def loss(scores: np.ndarray) -> tuple[float, np.ndarray]:
            return cross_entropy.forward(scores, y), cross_entropy.backward()

        return lbfgs(
            z,
            loss,
            rows=K,
            regularisation=self.regularisation,
            intercept=self.fit_intercept,
            tolerance=self.tolerance,
            max_iterations=self.max_iterations,
            start=start,
        )

    def predict_proba(self, x: Any) -> np.ndarray:
        """Probabilities of the classes, (N, K)."""
        return softmax(class_scores(self.decision_function(x)))
