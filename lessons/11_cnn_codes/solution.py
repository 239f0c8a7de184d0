"""Lesson 11, solution: one way to write it. Try exercise.py first."""

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
    lower, _ = network.split(layer)
    lower.eval()
    codes = []
    for start in range(0, len(pictures), batch_size):
        features = lower.forward(network.preprocessing.normalise(pictures[start : start + batch_size]))
        codes.append(features.mean(axis=(2, 3)) if features.ndim == 4 else features)
    return np.concatenate(codes)


# ---- Task 2: scales


def standardise(train: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets of codes with (x - mean) / std of each feature, where mean and std are those **of the training codes**.

    The other set (validation, test) must not have a say in them. A feature that is constant over the training codes has no
    std to divide by: only subtract its mean. (Rounding may make its std 1e-17 instead of 0.)

    train (N, D), other (M, D)  ->  the same shapes
    """
    mean, std = train.mean(axis=0), train.std(axis=0)
    std = np.where(std > 1e-9 * np.abs(train).max(axis=0), std, 1)  # of a constant feature it may be 1e-17
    return (train - mean) / std, (other - mean) / std


def unit_length(x: np.ndarray) -> np.ndarray:
    """Each code divided by its length, the square root of the sum of its squares. A code of zeros only stays as it is.

    (Add no small number to the length: it would leave codes that are small all over shorter than 1.)

    x (N, D)  ->  (N, D)
    """
    length = np.sqrt((x * x).sum(axis=1, keepdims=True))
    return x / np.where(length > 0, length, 1)


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
    samples = np.arange(len(y))
    scores = x @ w.T + b
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    dscores = np.exp(log_p)
    dscores[samples, y] -= 1
    dscores /= len(y)
    loss = -log_p[samples, y].mean() + regularisation / 2 * (w * w).sum()
    return float(loss), dscores.T @ x + regularisation * w, dscores.sum(axis=0)


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
    t = np.where(np.arange(len(w)) == y[:, None], 1.0, -1.0)
    slack = np.maximum(0, 1 - t * (x @ w.T + b))
    ds = -2 / len(x) * t * slack
    P = (slack * slack).sum() / len(x) + regularisation / 2 * (w * w).sum()
    return float(P), ds.T @ x + regularisation * w, ds.sum(axis=0)


def train_svm(
    x: np.ndarray, y: np.ndarray, num_classes: int, regularisation: float, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of the SVM after so many steps of gradient descent on P, from w = 0 and b = 0.

        w <- w - dw / L,   b <- b - db / L        both gradients at the same w and b

        L = regularisation + (2/N) sum over n of (|x[n]|^2 + 1)        |x[n]|^2: the sum of the squares of x[n]

    P is nowhere more curved than L, so that no step makes it larger: the learning rate 1/L needs no search.

    x (N, D), y (N,) integers 0..num_classes-1 (some may be missing)  ->  w (num_classes, D), b (num_classes,)
    """
    w, b = np.zeros((num_classes, x.shape[1])), np.zeros(num_classes)
    L = regularisation + 2 * ((x * x).sum(axis=1) + 1).mean()
    for _ in range(steps):
        _, dw, db = svm_objective(w, b, x, y, regularisation)
        w, b = w - dw / L, b - db / L
    return w, b


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
    best, best_accuracy = None, -1.0
    for strength in sorted(path, reverse=True):
        accuracy = fit(*train, strength).score(*val)
        if accuracy > best_accuracy:
            best, best_accuracy = strength, accuracy
    x, y = (np.concatenate(parts) for parts in zip(train, val, strict=True))
    return best, fit(x, y, best).score(*test)


# ---- Task 6: nearest neighbours


def cosine_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How far apart the directions of two codes are: 1 minus the cosine of the angle between them, for all pairs.

        distances[i, j] = 1 - (a[i] . b[j]) / (|a[i]| |b[j]|)        from 0, the same direction, to 2, the opposite one

    A code of zeros only has no direction: its distance to every code is 1. A code that is small all over has one.

    a (A, D), b (B, D)  ->  (A, B)
    """
    return 1 - unit_length(a) @ unit_length(b).T


def vote(distances: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """The labels that their k nearest neighbours give to A codes.

    distances[i, j] is the distance from code i to neighbour j, whose label is y[j]. Of neighbours that are equally near, the
    one with the smaller number j counts as nearer. Each of the k nearest has one vote, and the label with the most votes wins;
    of labels with equally many votes, the one that comes up first, going from the nearest neighbour outwards.

    distances (A, B), y (B,) integers from 0 on (some may be missing), 1 <= k <= B  ->  (A,) integers
    """
    winners = []
    for labels in y[np.argsort(distances, axis=1, kind="stable")[:, :k]]:
        votes = np.bincount(labels)
        winners.append(next(label for label in labels if votes[label] == votes.max()))
    return np.array(winners)
