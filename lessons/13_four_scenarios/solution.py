"""Lesson 13, solution: one way to write it. Try exercise.py first."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

# ---- Task 1: an accuracy with its error, and a test for two of them


def accuracy_and_error(right: np.ndarray) -> tuple[float, float]:
    """The share p of the pictures that are right, and its binomial standard error.

        p = (number of right ones) / N          error = sqrt(p (1 - p) / N)

    right (N,) bool  ->  p, error (floats)
    """
    p = np.mean(right)
    return float(p), float(np.sqrt(p * (1 - p) / len(right)))


def sign_test(right_a: np.ndarray, right_b: np.ndarray) -> tuple[int, int, float]:
    """Are two classifiers equally good? They were asked about the same pictures, and only where they differ do these tell.

        only_a = how many pictures a has right and b has not, only_b the other way round, n = only_a + only_b
        If both are equally good, each of the n is a toss of a coin:  X ~ Binomial(n, 1/2).

        p = min(1, 2 P(X <= min(only_a, only_b)))          P(X <= m) = sum over j = 0..m of (n choose j) / 2^n

    Where they never differ p is 1. n may be in the thousands, and 0.5 ** 2000 is 0 in floating point: take care of the order
    of operations. (Python's whole numbers are as long as they have to be: math.comb, 2**n.)

    right_a, right_b (N,) bool  ->  only_a, only_b (ints), p (float)
    """
    only_a, only_b = int(np.sum(right_a & ~right_b)), int(np.sum(right_b & ~right_a))
    n = only_a + only_b
    ways = sum(math.comb(n, j) for j in range(min(only_a, only_b) + 1))
    return only_a, only_b, min(1.0, 2 * ways / 2**n)


# ---- Task 2: the k nearest neighbours, each picture left out in turn


def knn_predictions(codes: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """For each picture the class that most of the k pictures nearest to it have; the picture itself has no vote.

    - Near is what has a small Euclidean distance between the codes. Of equally near pictures the one with the smaller number
      (its row in ``codes``) comes first.
    - A picture may be there twice: then its double is a neighbour like any other, at distance 0.
    - If several classes have the most votes, it is the one of them whose nearest picture comes first.

    codes (N, D) float64, y (N,) integers, of any values, 1 <= k <= N - 1  ->  labels (N,) integers, values of y
    """
    distances = ((codes[:, None] - codes) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = y[np.argsort(distances, axis=1, kind="stable")[:, :k]]
    return np.array([max(labels, key=labels.count) for labels in nearest.tolist()])  # max() gives the first of equals


# ---- Task 3: choose codes by cross-validation


def held_out(fit: Callable[[np.ndarray, np.ndarray], Any], codes: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Which pictures are named rightly by a classifier that was trained on all the *other* folds?

    ``fit(x, y)`` trains a classifier on codes x and labels y and returns it; ``classifier.predict(x)`` gives labels.
    ``folds[i]`` is the number of the fold that picture i is in. The numbers are any integers, and folds differ in size.

    codes (N, D), y (N,), folds (N,)  ->  bool (N,), in the order of the pictures
    """
    right = np.zeros(len(y), bool)
    for fold in np.unique(folds):
        out = folds == fold
        right[out] = fit(codes[~out], y[~out]).predict(codes[out]) == y[out]
    return right


def one_standard_error(right: np.ndarray) -> int:
    """The one-standard-error rule: of several kinds of codes the first that is hardly worse than the best.

        p[l] = mean of right[l],   p* the highest of them,   e = sqrt(p* (1 - p*) / N)
        the smallest l with  p[l] >= p* - e

    The rows come in the order in which one would like to have them: the cheapest first.

    right (L, N) bool, a row for each kind of codes, as held_out gives it  ->  l (int)
    """
    p = right.mean(axis=1)
    error = np.sqrt(p.max() * (1 - p.max()) / right.shape[1])
    return int(np.argmax(p >= p.max() - error))  # the first True


# ---- Task 4: two scores of transferability


def leep(p: np.ndarray, y: np.ndarray) -> float:
    """LEEP (Nguyen et al. 2020, section 3): how well do the old network's answers predict the new labels?

        P(k, z)   = (1/N) sum over the pictures i of class k of p[i, z]
        P(k | z)  = P(k, z) / sum over k of P(k, z)
        LEEP      = (1/N) sum over i of log( sum over z of P(y_i | z) p[i, z] )

    An old class that no picture gets any probability of adds nothing.

    p (N, Z) float64, the old network's probabilities, rows of sum 1; y (N,) integers from 0, not all of which need occur
    ->  float, at most 0
    """
    joint = np.eye(y.max() + 1)[y].T @ p
    of_z = joint.sum(axis=0)
    conditional = joint / np.where(of_z > 0, of_z, 1)
    return float(np.log((conditional[y] * p).sum(axis=1)).mean())


def h_score(codes: np.ndarray, y: np.ndarray) -> float:
    """The H-score (Bao et al. 2019, definition 2): how much of the codes' variance lies between the classes?

        F = codes - their mean over the pictures,   G[i] = mean of F over all pictures of the class y_i
        C_F = F^T F / N,   C_G = G^T G / N          both (D, D)
        H = trace( pinv(C_F) C_G )

    pinv is the pseudo-inverse, because C_F need not have an inverse. In it, eigenvalues of C_F below 1e-6 of the largest one
    count as 0: np.linalg.pinv(C_F, rcond=1e-6, hermitian=True).

    codes (N, D) float64, y (N,) integers  ->  float, from 0 to K - 1
    """
    F = codes - codes.mean(axis=0)
    of_class = np.equal.outer(y, y).astype(float)
    G = of_class @ F / of_class.sum(axis=1, keepdims=True)
    return float(np.trace(np.linalg.pinv(F.T @ F / len(F), rcond=1e-6, hermitian=True) @ (G.T @ G / len(F))))


# ---- Task 5: a recommendation


def recommend(per_class: float, shift: float | None, last: np.ndarray, earlier: np.ndarray) -> str:
    """The lecture's quadrant with its thresholds stated, and with a look at the evidence.

    ``per_class``: how many pictures there are of a class. ``shift``: how far the channels' statistics on them are from those
    that batch norm remembers, None for a network without batch norm. ``last``, ``earlier`` (N,) floats: how often each picture
    was named rightly in cross-validation, 0 to 1, with the last codes and with the best earlier ones.

        d = earlier - last, picture by picture
        gain  = mean of d
        error = (standard deviation of d, with N - 1) / sqrt(N)
        earlier codes are surely better:  gain > 2 error
        many:     200 pictures of a class, or more
        similar:  a shift of 0.035, or less; where it is None: if earlier codes are not surely better

        many                                            ->  "finetune-all"
        few, similar,   earlier codes surely better     ->  "finetune-upper"
        few, similar,   otherwise                       ->  "svm"              on the last codes
        few, different, earlier codes surely better     ->  "svm-earlier"
        few, different, otherwise                       ->  "finetune-upper"

    ->  one of these words (keys of `minicnn.transfer.STRATEGIES`)
    """
    d = earlier - last
    surely_better = bool(d.mean() > 2 * d.std(ddof=1) / np.sqrt(len(d)))
    if per_class >= 200:
        return "finetune-all"
    similar = not surely_better if shift is None else shift <= 0.035
    if similar:
        return "finetune-upper" if surely_better else "svm"
    return "svm-earlier" if surely_better else "finetune-upper"
