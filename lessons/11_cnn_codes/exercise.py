"""Lesson 11, exercise: from pictures to CNN codes, and from codes to classifiers, each step a small function.

Fill in the functions, and as often as you like run

    minicnn check 11

A network is a `minicnn.models.Model`, as in the lesson: ``network.layers`` is a dict of its layers by name, in running order,
and a layer may have others inside. Arrays of codes are float64 unless it says otherwise; do not change the arrays that you are
given, return new ones. N pictures, D numbers in a code, K classes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.models import Model

# ---- Task 1: CNN codes


def extract_codes(network: Model, layer: str, pictures: np.ndarray, batch_size: int) -> np.ndarray:
    """The codes of pictures at the top-level layer of this name: cut the network after it, and run what is below.

    Pictures are prepared as the network expects them: ``network.preprocessing.normalise(pictures)`` makes float32 (N, C, H, W)
    of uint8 (N, H, W, C), (pixel - mean) / std for each channel, with the channels in the network's order.

    Never run more than batch_size pictures at once: there is no room for the feature maps of all. Where batch_size does not
    divide N, the last batch is smaller.

    Feature maps (N, C, H, W) become codes (N, C) by averaging over H and W; what is (N, D) already stays so.

    The network may come in train mode, where dropout draws random numbers and batch norm mixes the pictures of a batch and
    changes its statistics. A code must depend on its picture alone: use eval mode.

    pictures (N, H, W, C) uint8  ->  codes (N, D) float32, in the order of the pictures

    Useful: ``lower, upper = network.split(layer)``, ``network.eval()``.
    """
    raise NotImplementedError("Lesson 11, task 1: extract_codes")


# ---- Task 2: scales


def standardise(train: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets of codes with (x - mean) / std of each feature, where mean and std are those **of the training codes**.

    The other set (validation, test) must not have a say in them. A feature that is constant over the training codes has no
    std to divide by: only subtract its mean. (Rounding may make its std 1e-17 instead of 0.)

    train (N, D), other (M, D)  ->  the same shapes
    """
    raise NotImplementedError("Lesson 11, task 2: standardise")


def unit_length(x: np.ndarray) -> np.ndarray:
    """Each code divided by its length, the square root of the sum of its squares. A code of zeros only stays as it is.

    (Add no small number to the length: it would leave codes that are small all over shorter than 1.)

    x (N, D)  ->  (N, D)
    """
    raise NotImplementedError("Lesson 11, task 2: unit_length")


# ---- Task 3: a softmax classifier with L2 regularisation


def softmax_regression(
    w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray, regularisation: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """The loss of a linear classifier on codes, and its gradients.

        scores = x w^T + b,   p = softmax(scores)
        loss = -(1/N) sum over n of log p[n, y[n]]  +  (regularisation / 2) * (sum of all w^2)

    The bias is not regularised.

    w (K, D), b (K,), x (N, D), all float64; y (N,) integers 0..K-1  ->  loss (float), dw (K, D), db (K,)

    From lesson 1: dscores = (p - one-hot(y)) / N, and then it is the backward pass of a fully connected layer.
    """
    raise NotImplementedError("Lesson 11, task 3: softmax_regression")


# ---- Task 4: a linear SVM


def svm_objective(
    w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray, regularisation: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """The objective of a linear SVM with the squared hinge, each class against the rest, and its gradients.

        s = x w^T + b,   t[n, k] = 1 if k = y[n], else -1,   slack[n, k] = max(0, 1 - t[n, k] s[n, k])
        P = (1/N) sum over n and k of slack[n, k]^2  +  (regularisation / 2) * (sum of all w^2)

        ds[n, k] = -(2/N) t[n, k] slack[n, k]
        dw       = ds^T x + regularisation * w,   db[k] = sum over n of ds[n, k]

    w (K, D), b (K,), x (N, D), all float64; y (N,) integers 0..K-1  ->  P (float), dw (K, D), db (K,)
    """
    raise NotImplementedError("Lesson 11, task 4: svm_objective")


def train_svm(
    x: np.ndarray, y: np.ndarray, num_classes: int, regularisation: float, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of the SVM after so many steps of gradient descent on P, from w = 0 and b = 0.

        w <- w - dw / L,   b <- b - db / L        both gradients at the same w and b

        L = regularisation + (2/N) sum over n of (|x[n]|^2 + 1)        |x[n]|^2: the sum of the squares of x[n]

    P is nowhere more curved than L, so that no step makes it larger: the learning rate 1/L needs no search.

    x (N, D), y (N,) integers 0..num_classes-1 (some may be missing)  ->  w (num_classes, D), b (num_classes,)
    """
    raise NotImplementedError("Lesson 11, task 4: train_svm")


# ---- Task 5: choose, then test


def choose_regularisation(
    fit: Callable[[np.ndarray, np.ndarray, float], Any],
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    path: Sequence[float],
) -> tuple[float, float]:
    """Choose the strength of the regularisation, and say honestly how good the result is.

    ``fit(x, y, regularisation)`` trains a classifier on codes x and labels y and returns it; ``classifier.score(x, y)`` is its
    accuracy. ``train``, ``val`` and ``test`` are pairs (x, y); ``path`` lists the strengths to try, in any order.

    1. For each strength train on the training part. The best is the one with the highest accuracy on the validation part;
       where several are equally good, the strongest of them.
    2. Train once more with it, on training and validation part together (np.concatenate).
    3. Return the chosen strength, and the accuracy of that last classifier on the test part.

    The test part must not have any influence on the choice. (How would you notice, if it were your colleague's code?)
    """
    raise NotImplementedError("Lesson 11, task 5: choose_regularisation")


# ---- Task 6: nearest neighbours


def cosine_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How far apart the directions of two codes are: 1 minus the cosine of the angle between them, for all pairs.

        distances[i, j] = 1 - (a[i] . b[j]) / (|a[i]| |b[j]|)        from 0, the same direction, to 2, the opposite one

    A code of zeros only has no direction: its distance to every code is 1. A code that is small all over has one.

    a (A, D), b (B, D)  ->  (A, B)
    """
    raise NotImplementedError("Lesson 11, task 6: cosine_distances")


def vote(distances: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """The labels that their k nearest neighbours give to A codes.

    distances[i, j] is the distance from code i to neighbour j, whose label is y[j]. Of neighbours that are equally near, the
    one with the smaller number j counts as nearer. Each of the k nearest has one vote, and the label with the most votes wins;
    of labels with equally many votes, the one that comes up first, going from the nearest neighbour outwards.

    distances (A, B), y (B,) integers from 0 on (some may be missing), 1 <= k <= B  ->  (A,) integers
    """
    raise NotImplementedError("Lesson 11, task 6: vote")
