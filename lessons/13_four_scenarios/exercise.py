"""Lesson 13, exercise: what it takes to say which way suits some pictures, and how sure that is.

Fill in the functions, and as often as you like run

    minicnn check 13

Each is a few lines of NumPy. Do not change the arrays you are given, return new ones.
N pictures, D numbers in a code, K classes, Z classes of the old network, L kinds of codes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

# ---- Task 1: an accuracy with its error, and a test for two of them


def accuracy_and_error(right: np.ndarray) -> tuple[float, float]:
    """The share p of the pictures that are right, and its binomial standard error.

        p = (number of right ones) / N          error = sqrt(p (1 - p) / N)

    right (N,) bool  ->  p, error (floats)
    """
    raise NotImplementedError("Lesson 13, task 1: accuracy_and_error")


def sign_test(right_a: np.ndarray, right_b: np.ndarray) -> tuple[int, int, float]:
    """Are two classifiers equally good? They were asked about the same pictures, and only where they differ do these tell.

        only_a = how many pictures a has right and b has not, only_b the other way round, n = only_a + only_b
        If both are equally good, each of the n is a toss of a coin:  X ~ Binomial(n, 1/2).

        p = min(1, 2 P(X <= min(only_a, only_b)))          P(X <= m) = sum over j = 0..m of (n choose j) / 2^n

    Where they never differ p is 1. n may be in the thousands, and 0.5 ** 2000 is 0 in floating point: take care of the order
    of operations. (Python's whole numbers are as long as they have to be: math.comb, 2**n.)

    right_a, right_b (N,) bool  ->  only_a, only_b (ints), p (float)
    """
    raise NotImplementedError("Lesson 13, task 1: sign_test")


# ---- Task 2: the k nearest neighbours, each picture left out in turn


def knn_predictions(codes: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """For each picture the class that most of the k pictures nearest to it have; the picture itself has no vote.

    - Near is what has a small Euclidean distance between the codes. Of equally near pictures the one with the smaller number
      (its row in ``codes``) comes first.
    - A picture may be there twice: then its double is a neighbour like any other, at distance 0.
    - If several classes have the most votes, it is the one of them whose nearest picture comes first.

    codes (N, D) float64, y (N,) integers, of any values, 1 <= k <= N - 1  ->  labels (N,) integers, values of y
    """
    raise NotImplementedError("Lesson 13, task 2: knn_predictions")


# ---- Task 3: choose codes by cross-validation


def held_out(fit: Callable[[np.ndarray, np.ndarray], Any], codes: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Which pictures are named rightly by a classifier that was trained on all the *other* folds?

    ``fit(x, y)`` trains a classifier on codes x and labels y and returns it; ``classifier.predict(x)`` gives labels.
    ``folds[i]`` is the number of the fold that picture i is in. The numbers are any integers, and folds differ in size.

    codes (N, D), y (N,), folds (N,)  ->  bool (N,), in the order of the pictures
    """
    raise NotImplementedError("Lesson 13, task 3: held_out")


def one_standard_error(right: np.ndarray) -> int:
    """The one-standard-error rule: of several kinds of codes the first that is hardly worse than the best.

        p[l] = mean of right[l],   p* the highest of them,   e = sqrt(p* (1 - p*) / N)
        the smallest l with  p[l] >= p* - e

    The rows come in the order in which one would like to have them: the cheapest first.

    right (L, N) bool, a row for each kind of codes, as held_out gives it  ->  l (int)
    """
    raise NotImplementedError("Lesson 13, task 3: one_standard_error")


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
    raise NotImplementedError("Lesson 13, task 4: leep")


def h_score(codes: np.ndarray, y: np.ndarray) -> float:
    """The H-score (Bao et al. 2019, definition 2): how much of the codes' variance lies between the classes?

        F = codes - their mean over the pictures,   G[i] = mean of F over all pictures of the class y_i
        C_F = F^T F / N,   C_G = G^T G / N          both (D, D)
        H = trace( pinv(C_F) C_G )

    pinv is the pseudo-inverse, because C_F need not have an inverse. In it, eigenvalues of C_F below 1e-6 of the largest one
    count as 0: np.linalg.pinv(C_F, rcond=1e-6, hermitian=True).

    codes (N, D) float64, y (N,) integers  ->  float, from 0 to K - 1
    """
    raise NotImplementedError("Lesson 13, task 4: h_score")


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
    raise NotImplementedError("Lesson 13, task 5: recommend")
