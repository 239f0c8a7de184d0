"""Linear classifiers on CNN codes: a multi-class linear SVM and softmax regression, both trained with L-BFGS.

The network is a fixed feature extractor; all that is learned is one matrix. With everything in memory and no noise, L-BFGS
(a full-batch method that builds up curvature from the last few gradients; Nocedal & Wright 2006, section 7.2) converges in
a few dozen passes and has no learning rate to choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from ..errors import DataError
from ..losses import softmax

# lambda, from "the training set decides" to "all weights near zero". One decade a step is enough to see the hill.
REGULARISATION_PATH = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


class LinearClassifier:
    """scores = x W^T + b, trained by minimising  (1/N) sum_i loss(scores_i, y_i) + (lambda/2) ||W||^2.

    Codes are standardised first (each feature to zero mean and unit variance over the training set), because lambda weighs
    all weights alike; afterwards the standardisation is folded into W and b, so that both work on the codes as they come.
    The bias is not regularised.

    Parameters
    ----------
    regularisation : float
        lambda above, >= 0.
    max_iterations : int
        L-BFGS iterations at most.

    Attributes (after ``fit``)
    ----------
    w : (K, D) float32
    b : (K,) float32
    """

    def __init__(self, regularisation: float = 1e-2, max_iterations: int = 100):
        if regularisation < 0:
            raise ValueError(f"regularisation is a weight on ||W||^2 and cannot be negative, got {regularisation}")
        self.regularisation = regularisation
        self.max_iterations = max_iterations
        self.w: np.ndarray | None = None
        self.b: np.ndarray | None = None

    def loss(self, scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        """The mean loss of scores (N, K) float64 under labels (N,), and its gradient (N, K)."""
        raise NotImplementedError

    def fit(self, x: np.ndarray, y: np.ndarray, start: LinearClassifier | None = None) -> LinearClassifier:
        """Train on codes x (N, D) and labels y (N,) of 0..K-1. ``start``: a fitted classifier to begin from."""
        x, y = _checked(x, y)
        num_classes = int(y.max()) + 1
        if len(np.unique(y)) < 2:
            raise DataError(f"a classifier needs two classes or more, all {len(y)} labels are {y[0]}")
        mean, std = x.mean(0, dtype=np.float64).astype(np.float32), x.std(0, dtype=np.float64).astype(np.float32)
        std = np.where(std > 1e-6, std, 1).astype(np.float32)  # a feature that never changes says nothing: leave it alone
        z = (x - mean) / std
        D = z.shape[1]
        # Two classes are one problem seen from both sides: the best rows of W are each other's negatives, so one is enough.
        sides = np.array([[-1.0], [1.0]]) if num_classes == 2 else np.eye(num_classes)
        rows = sides.shape[1]

        def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
            theta = theta.reshape(rows, D + 1)
            w, b = theta[:, :D], theta[:, D]
            scores = ((z @ w.T.astype(np.float32)).astype(np.float64) + b) @ sides.T
            value, dscores = self.loss(scores, y)
            dscores = dscores @ sides
            gradient = np.empty_like(theta)
            norm = self.regularisation * len(sides) / rows  # every row of W counts
            gradient[:, :D] = dscores.T.astype(np.float32) @ z + norm * w
            gradient[:, D] = dscores.sum(0)
            return value + 0.5 * norm * float((w * w).sum()), gradient.ravel()

        theta = np.zeros((rows, D + 1))
        if start is not None and start.w is not None and start.w.shape == (num_classes, D):
            theta[:, :D], theta[:, D] = (start.w * std)[-rows:], (start.b + start.w @ mean)[-rows:]
        found = minimize(objective, theta.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": self.max_iterations})
        theta = sides @ found.x.reshape(rows, D + 1)
        self.w = (theta[:, :D] / std).astype(np.float32)
        self.b = (theta[:, D] - (theta[:, :D] / std) @ mean).astype(np.float32)
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        """Scores (N, K) of codes (N, D)."""
        if self.w is None:
            raise ValueError(f"{type(self).__name__} is not trained yet: call fit(codes, labels) first")
        if x.ndim != 2 or x.shape[1] != self.w.shape[1]:
            raise ValueError(f"{type(self).__name__} was trained on codes of {self.w.shape[1]} features, got {x.shape}")
        return x @ self.w.T + self.b

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The class with the highest score, (N,) int64."""
        return self.decision_function(x).argmax(1)

    def score(self, x: np.ndarray, y: np.ndarray) -> float:
        """Share of right predictions."""
        return float((self.predict(x) == y).mean())


class SoftmaxRegression(LinearClassifier):
    """Softmax (multinomial logistic) regression: loss = -log p_y with p = softmax(scores). Bishop 2006, section 4.3.4."""

    def loss(self, scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        p = softmax(scores)
        rows = np.arange(len(y))
        value = -np.log(np.maximum(p[rows, y], 1e-300)).mean()
        p[rows, y] -= 1
        return float(value), p / len(y)


class LinearSVM(LinearClassifier):
    """One-vs-rest linear SVM with the squared hinge: loss = sum over k of max(0, 1 - t_k s_k)^2, t_k = +1 for k = y, else -1.

    The square makes the loss differentiable, which L-BFGS needs; it is what "linear SVM" means in the common solvers too
    (Fan et al. 2008, LIBLINEAR, section 2: the L2-loss SVM). Two classes are one problem seen from both sides.
    """

    def loss(self, scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        t = np.full(scores.shape, -1.0)
        t[np.arange(len(y)), y] = 1.0
        slack = np.maximum(0, 1 - t * scores)
        return float((slack * slack).sum() / len(y)), -2 * t * slack / len(y)


def calibrate(classifier: LinearClassifier, x: np.ndarray, y: np.ndarray) -> float:
    """Scale W and b so that softmax(scores) are honest probabilities on held-out codes; returns the factor.

    One number a > 0 is fitted, min over a of the mean of -log softmax(a s)_y: the order of the classes, and with it every
    prediction, stays as it is. Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2 (temperature 1/a).
    """
    scores, rows = classifier.decision_function(x).astype(np.float64), np.arange(len(y))

    def negative_log_likelihood(log_factor: float) -> float:
        return float(-np.log(np.maximum(softmax(np.exp(log_factor) * scores)[rows, y], 1e-300)).mean())

    factor = float(np.exp(minimize_scalar(negative_log_likelihood, bounds=(-5, 5), method="bounded").x))
    classifier.w, classifier.b = classifier.w * np.float32(factor), classifier.b * np.float32(factor)
    return factor


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
    classifier: type[LinearClassifier],
    x: np.ndarray,
    y: np.ndarray,
    x_val: np.ndarray,
    y_val: np.ndarray,
    path: Sequence[float] = REGULARISATION_PATH,
) -> RegularisationChoice:
    """Train along the path from strong to weak regularisation and choose by validation accuracy.

    Each point starts from the last one's solution. Ties go to the stronger regularisation, the simpler classifier.
    """
    points, best, previous = [], None, None
    for regularisation in sorted(path, reverse=True):
        previous = classifier(regularisation).fit(x, y, start=previous)
        points.append(PathPoint(regularisation, previous.score(x, y), previous.score(x_val, y_val)))
        if best is None or points[-1].val_accuracy > best[0].val_accuracy:
            best = points[-1], previous
    point, fitted = best
    final = classifier(point.regularisation).fit(np.concatenate([x, x_val]), np.concatenate([y, y_val]), start=fitted)
    return RegularisationChoice(point, fitted, final, points)


def _checked(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ValueError(f"fit expects codes (N, D) and labels (N,), got {x.shape} and {y.shape}")
    if y.dtype.kind not in "iu" or (len(y) and y.min() < 0):
        raise ValueError(f"labels are class numbers 0..K-1, got {y.dtype} from {y.min() if len(y) else 'nothing'}")
    if not np.isfinite(x).all():
        raise ValueError("the codes contain NaN or infinity: look at the pictures and the network that made them")
    return np.ascontiguousarray(x, np.float32), y
