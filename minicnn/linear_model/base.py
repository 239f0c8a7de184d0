"""What all linear classifiers share: training, predictions, and scikit-learn's conventions."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .dual_coordinate_descent import Minimum
from .estimator import ConvergenceWarning, Estimator, as_in_scikit_learn


class LinearClassifier(Estimator):
    """scores = x w^T + b, trained by minimising  (1/N) sum_i c_i loss(scores_i, y_i) + (lambda/2) |w|^2.

    The weight c_i of a sample is that of its class, 1 by default.

    The bias is not regularised. Labels can be of any type that can be sorted. scikit-learn's conventions are kept: it can be
    cloned, pickled, put into a pipeline or a grid search. There, the loss is summed and has a weight: C = 1 / (lambda N).

    Parameters
    ----------
    regularisation : float
        lambda above.
    standardise : bool
        Divide each feature by its standard deviation over the training set before training, because lambda weighs all weights
        alike; afterwards this is folded into the weights, so that they work on the codes as they come. False: the features
        have one scale already, or their scales mean something.
    fit_intercept : bool
        False: b = 0.
    tolerance : float
        Training ends when the objective is proven to be at most this share above its minimum.
    max_iterations : int
        At most so many sweeps over the samples, or steps of L-BFGS; if that ends the training, there is a warning.
    class_weight : "balanced", dict or None
        A weight for each label (labels that are not named have 1). "balanced": N / (K N_k) for a class of N_k samples, so that
        each class has the same say, however few its samples are. None: all weights are 1, and large classes have more say.

    Attributes (after ``fit``)
    ----------
    classes_ : (K,)
        The labels that there are, sorted.
    coef_, intercept_ : float64 (K, D) and (K,), for two classes (1, D) and (1,)
        Of what ``decision_function`` gives.
    n_features_in_ : int
        D.
    n_iter_ : int
        Sweeps or steps that it took; the largest where each class is a problem of its own.
    objective_, gap_ : float
        The objective that was reached (on standardised codes), and how much less the least possible one can be.
    """

    def __init__(
        self,
        regularisation: float = 1e-2,
        standardise: bool = True,
        fit_intercept: bool = True,
        tolerance: float = 1e-3,
        max_iterations: int = 2000,
        class_weight: str | dict | None = None,
    ):
        self.regularisation = regularisation
        self.standardise = standardise
        self.fit_intercept = fit_intercept
        self.tolerance = tolerance
        self.max_iterations = max_iterations
        self.class_weight = class_weight

    def _minimise(self, z: np.ndarray, y: np.ndarray, c: np.ndarray, start: tuple[np.ndarray, np.ndarray] | None) -> Minimum:
        """Train on codes z (N, D), class numbers y (N,) and weights of samples c (N,).

        It gives K rows of weights, or for two classes 1, of s_1 - s_0. ``start``: weights (K, D) and biases (K,) to begin from.
        """
        raise NotImplementedError(f"{type(self).__name__} must write _minimise(z, y, c, start)")

    def fit(self, x: Any, y: Any, start: LinearClassifier | None = None) -> LinearClassifier:
        """Train on codes x (N, D) and labels y (N,).

        Parameters
        ----------
        x : (N, D)
            Work is done in float32 for float32 codes, else in float64.
        y : (N,)
        start : LinearClassifier, optional
            One that was trained on the same features and classes with another lambda, for L-BFGS to begin from: that saves
            time, and changes the outcome by no more than the tolerance. Dual coordinate descent would not be any quicker.

        Returns
        -------
        The classifier itself.

        Raises
        ------
        ValueError, TypeError
            For a parameter out of its range, codes that are not finite numbers (N, D), and labels that are not N classes.
        DataError
            If all labels are of one class.
        """
        x = self._checked_codes(x)
        self._check_parameters()
        classes, numbers = self._checked_labels(y, len(x))
        mean = x.mean(axis=0, dtype=np.float64) if self.fit_intercept else np.zeros(x.shape[1])
        std = x.std(axis=0, dtype=np.float64) if self.standardise else np.ones(x.shape[1])
        std[std <= 1e-6 * np.abs(x).max(axis=0)] = 1  # a feature that never changes says nothing: leave it alone
        z = np.subtract(x, mean.astype(x.dtype), order="C")
        z /= std.astype(x.dtype)

        first = None
        if start is not None and np.array_equal(start.classes_, classes) and start.n_features_in_ == x.shape[1]:
            first = start.w * std, start.b + start.w @ mean
        found = self._minimise(z, numbers, self._weights_of_classes(classes, numbers)[numbers], first)
        if found.gap > self.tolerance * found.objective and self.regularisation:
            message = (
                f"{self} ended after {found.iterations} iterations at {found.objective:.4g}, up to {found.gap:.2g} above "
                f"the minimum, and {self.tolerance:g} of it is the tolerance; raise max_iterations, tolerance or regularisation"
            )
            warnings.warn(message, as_in_scikit_learn(ConvergenceWarning), stacklevel=2)
        w, b = found.w, found.b
        if len(classes) == 2 and len(w) == 2:
            w, b = w[1:] - w[:1], b[1:] - b[:1]
        self.classes_, self.n_features_in_, self.n_iter_ = classes, x.shape[1], found.iterations
        self.objective_, self.gap_ = found.objective, found.gap
        self.coef_ = w / std
        self.intercept_ = b - self.coef_ @ mean
        return self

    def _check_parameters(self) -> None:
        if not 0 <= self.regularisation < np.inf:
            raise ValueError(f"regularisation is a weight on |w|^2, finite and not negative, got {self.regularisation}")
        if not self.tolerance > 0 or self.max_iterations < 1:
            raise ValueError(
                f"tolerance must be above 0 and max_iterations at least 1, got {self.tolerance} and {self.max_iterations}"
            )

    def _weights_of_classes(self, classes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """The weight of each class (K,), as ``class_weight`` says."""
        if self.class_weight is None:
            return np.ones(len(classes))
        if isinstance(self.class_weight, str):
            if self.class_weight != "balanced":
                raise ValueError(
                    f"class_weight is 'balanced', a dict from labels to weights, or None; got {self.class_weight!r}"
                )
            return balanced_weights(np.bincount(numbers))
        labels = classes.tolist()
        if unknown := [label for label in self.class_weight if label not in labels]:
            raise ValueError(f"class_weight names labels that are not in y: {unknown}; the labels are {labels[:10]}")
        weights = np.array([self.class_weight.get(label, 1.0) for label in labels], np.float64)
        if not (weights > 0).all() or not np.isfinite(weights).all():
            raise ValueError(f"class_weight has a positive number for each label, got {self.class_weight}")
        return weights

    # ---- predictions

    @property
    def w(self) -> np.ndarray:
        """Weights of the scores, (K, D), also for two classes: what a network's last layer would have."""
        self._check_fitted()
        return self.coef_ if len(self.classes_) > 2 else np.concatenate([-self.coef_ / 2, self.coef_ / 2])

    @property
    def b(self) -> np.ndarray:
        """Biases of the scores, (K,)."""
        self._check_fitted()
        return self.intercept_ if len(self.classes_) > 2 else np.concatenate([-self.intercept_ / 2, self.intercept_ / 2])

    def decision_function(self, x: Any) -> np.ndarray:
        """Scores (N, K) of codes (N, D); for two classes, as is the convention, one number (N,), above 0 for the second.

        It is the second class's score less the first's; `class_scores` makes two scores of it.
        """
        self._check_fitted()
        x = self._checked_codes(x, self.n_features_in_)
        decisions = x @ self.coef_.T.astype(x.dtype) + self.intercept_.astype(x.dtype)
        return decisions[:, 0] if len(self.classes_) == 2 else decisions

    def predict(self, x: Any) -> np.ndarray:
        """The label of the class with the highest score, (N,)."""
        scores = class_scores(self.decision_function(x))
        return self.classes_[scores.argmax(axis=1)]

    def score(self, x: Any, y: Any) -> float:
        """Accuracy: the share of the codes whose predicted label is right."""
        return float(np.mean(self.predict(x) == np.asarray(y)))


def balanced_weights(counts: np.ndarray) -> np.ndarray:
    """Weights with which each class has the same say: N / (K N_k) for N_k samples of N, float64 (K,); 0 for a class of none.

    They are 1 in the mean over the samples (King & Zeng 2001, "Logistic Regression in Rare Events Data", section 4).

    >>> balanced_weights(np.array([9, 3])).round(2)
    array([0.67, 2.  ])
    """
    counts = np.asarray(counts, np.float64)
    present = counts > 0
    return np.where(present, counts.sum() / (present.sum() * np.maximum(counts, 1)), 0.0)


def class_scores(decisions: np.ndarray) -> np.ndarray:
    """One score for each class, (N, K), from what ``decision_function`` gives, as the last layer of a network has them.

    For two classes, whose decisions s are (N,), the scores are -s/2 and s/2: they are what the weights ``classifier.w`` and
    biases ``classifier.b`` give, and softmax turns them into the probabilities 1 - sigmoid(s) and sigmoid(s).

    >>> class_scores(np.array([3.0, -1.0]))
    array([[-1.5,  1.5],
           [ 0.5, -0.5]])
    """
    return decisions if decisions.ndim == 2 else np.stack([-decisions / 2, decisions / 2], axis=1)
