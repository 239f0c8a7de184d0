"""Pictures unlike all training pictures, known by their code's distance from those of the classes: novelty detection.

A network gives each picture one of its classes, sure of itself, whatever the picture shows. What tells a stranger is where its
code lies (out-of-distribution detection; Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples
and Adversarial Attacks").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..kernels.pool import global_avg_pool_forward
from ..layers import Layer, Sequential

NONE_OF_THESE = "none of these"


@dataclass(frozen=True, eq=False)
class NoveltyDetector:
    """Where the codes of the training pictures lie, and how far from them a code is that is none of theirs.

    The code z of a picture, scaled to length 1, has from the nearest class the squared Mahalanobis distance

        d^2 = min_k (z - m_k)^T S^-1 (z - m_k)

    with the mean m_k of each class and one covariance S within all of them. S = sum_j (v_j - r) u_j u_j^T + r I has a few
    directions u_j of their own variance v_j, and the same variance r in all others (probabilistic principal components,
    Tipping & Bishop 1999), so that with e = z - m_k

        d^2 = sum_j (u_j . e)^2 / v_j + (|e|^2 - sum_j (u_j . e)^2) / r

    The codes' length would be in the way: with it, flat and noisy pictures, whose codes are short, pass for training pictures
    (Mueller & Hein 2025, "Mahalanobis++").

    Attributes
    ----------
    layer : str
        The top-level layer whose output is the code; of feature maps the mean over space.
    means : float32 (K, D)
    directions : float32 (R, D), orthonormal rows
    variances : float32 (R,)
    rest : float
        The variance in all other directions.
    threshold : float
        A picture whose distance is greater is rejected.
    calibrated_on : int
        The number of pictures that the threshold is from.
    rejected : float
        The share of pictures like those, not seen in training, that is expected to be rejected nevertheless.

    Raises
    ------
    ValueError
        Where these do not fit together.
    """

    layer: str
    means: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    rest: float
    threshold: float
    calibrated_on: int
    rejected: float

    def __post_init__(self) -> None:
        shapes = [np.shape(array) for array in (self.means, self.directions, self.variances)]
        (means, directions, variances) = shapes
        if len(means) != 2 or len(directions) != 2 or means[1:] != directions[1:] or variances != directions[:1]:
            raise ValueError(f"expected means (K, D), directions (R, D) and variances (R,), got {shapes}")
        arrays_are_finite = all(np.isfinite(array).all() for array in (self.means, self.directions, self.variances))
        if not arrays_are_finite or not np.all(self.variances > 0) or not 0 < self.rest < math.inf:
            raise ValueError("the means and directions of a novelty detector are finite, and its variances positive")
        if not 0 <= self.threshold < math.inf or self.calibrated_on < 1 or not 0 <= self.rejected <= 1:
            raise ValueError(
                f"threshold {self.threshold}, calibrated on {self.calibrated_on} pictures, rejecting {self.rejected}: "
                "expected a distance, at least one picture, and a share from 0 to 1"
            )

    def distances(self, codes: np.ndarray) -> np.ndarray:
        """The distance d of each code (N, D) from the nearest class, (N,)."""
        z, means, u = unit_length(np.asarray(codes, np.float64)), self.means.astype(np.float64), self.directions
        weights = 1 / self.variances.astype(np.float64) - 1 / self.rest
        squares = _squared_distances(z, means) / self.rest
        squares += _squared_distances(z @ u.T, means @ u.T, weights)
        return np.sqrt(np.maximum(squares.min(axis=1), 0))

    def excess(self, codes: np.ndarray) -> np.ndarray:
        """The distance of each code (N, D) as a multiple of the threshold, (N,): what is above 1 is rejected."""
        distances = self.distances(codes)
        if self.threshold == 0:
            return np.where(distances > 0, np.inf, 0.0)
        return distances / self.threshold


def _squared_distances(a: np.ndarray, b: np.ndarray, weights: np.ndarray | float = 1.0) -> np.ndarray:
    """sum_j w_j (a_ij - b_kj)^2 for all rows of a (N, D) and b (K, D), (N, K)."""
    return (weights * a * a).sum(axis=1)[:, None] + (weights * b * b).sum(axis=1) - 2 * (weights * a) @ b.T


def unit_length(codes: np.ndarray) -> np.ndarray:
    """The codes (N, D) scaled to length 1; one of zeros stays as it is.

    >>> unit_length(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    length = np.linalg.norm(codes, axis=1, keepdims=True)
    return np.divide(codes, length, out=np.zeros_like(codes), where=length > 0)


class CodesAndScores(Layer):
    """A network for inference whose output (N, D + K) is the code at one of its top-level layers, and after it the scores."""

    def __init__(self, network: Sequential, layer: str):
        super().__init__()
        self.lower, self.upper = network.split(layer)

    def eval(self) -> CodesAndScores:
        self.lower.eval()
        self.upper.eval()
        return self

    def forward(self, x: np.ndarray) -> np.ndarray:
        y = self.lower.forward(x)
        code = global_avg_pool_forward(y) if y.ndim == 4 else y.reshape(len(y), -1)
        return np.concatenate([code, self.upper.forward(y)], axis=1)
