"""Lesson 11, solution: one way to write it. Try exercise.py first."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.layers import Linear
from minicnn.models import Model

# ---- Task 1: CNN codes


def extract_codes(network: Model, layer: str, x: np.ndarray) -> np.ndarray:
    """The codes of pictures x at the top-level layer of this name: cut the network after it, and run what is below.

    Feature maps (N, C, H, W) become codes (N, C) by averaging over H and W; what is (N, D) already stays so.

    The network may come in train mode, where dropout draws random numbers and batch norm mixes the pictures of a batch and
    changes its statistics. A code must depend on its picture alone: use eval mode.

    x (N, C, H, W) float32  ->  codes (N, D) float32

    Useful: ``lower, upper = network.split(layer)``, ``network.eval()``.
    """
    lower, _ = network.split(layer)
    features = lower.eval().forward(x)
    return features.mean(axis=(2, 3)) if features.ndim == 4 else features


# ---- Task 2: standardise


def standardise(train: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets of codes with (x - mean) / std of each feature, where mean and std are those **of the training codes**.

    The other set (validation, test) must not have a say in them. A feature that is constant over the training codes has no
    std to divide by: only subtract its mean. (Rounding may make its std 1e-17 instead of 0.)

    train (N, D), other (M, D)  ->  the same shapes
    """
    mean, std = train.mean(axis=0), train.std(axis=0)
    std = np.where(std > 1e-9 * np.abs(train).max(axis=0), std, 1)  # of a constant feature it may be 1e-17
    return (train - mean) / std, (other - mean) / std


# ---- Task 3: a softmax classifier with L2 regularisation


def softmax_regression(
    w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray, regularisation: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """The loss of a linear classifier on codes, and its gradients.

        scores = x w^T + b,   p = softmax(scores)
        loss = -(1/N) sum over n of log p[n, y[n]]  +  (regularisation / 2) * (sum of all w^2)

    The bias is not regularised.

    w (K, D), b (K,), x (N, D), all float64; y (N,) integers  ->  loss (float), dw (K, D), db (K,)

    From lesson 2: dscores = (p - one-hot(y)) / N, and then it is the backward pass of a fully connected layer.
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


# ---- Task 4: choose, then test


def choose_regularisation(
    fit: Callable[[np.ndarray, np.ndarray, float], Any],
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    path: Sequence[float],
) -> tuple[float, float]:
    """Choose the strength of the regularisation, and say honestly how good the result is.

    ``fit(x, y, regularisation)`` trains a classifier on codes x and labels y and returns it; ``classifier.score(x, y)`` is its
    accuracy. ``train``, ``val`` and ``test`` are pairs (x, y); ``path`` lists the strengths to try.

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


# ---- Task 5: a new head, and a frozen body


def replace_head_and_freeze(network: Model, num_classes: int, until: str, rng: np.random.Generator) -> Model:
    """Prepare a pretrained network for fine-tuning to other classes, in place, and return it.

    The last layer, a `minicnn.layers.Linear`, is replaced under its name by a new one with random weights (give it ``rng``),
    with as many inputs as the old one and ``num_classes`` outputs. Everything up to and including the layer ``until`` is
    frozen, everything above it is trainable; whatever was frozen before.

    Which value of ``trainable`` is "frozen"? One of the lecture's sources has it the wrong way round.
    """
    name, old = list(network.layers.items())[-1]
    network.layers[name] = Linear(old.in_features, num_classes, rng=rng)
    network.unfreeze()
    return network.freeze(until=until)


# ---- Task 6: learning-rate groups


def set_learning_rates(network: Model, head: str, ratio: float) -> Model:
    """Let pretrained layers learn more slowly than the new head, in place; return the network.

    The optimiser moves each parameter with its learning rate times ``parameter.learning_rate_multiplier``. That must be 1 for
    the parameters of the layer ``head``, and ``ratio`` for all others, whatever it was before.
    """
    for name, parameter in network.parameters().items():
        parameter.learning_rate_multiplier = 1.0 if name.startswith(f"{head}.") else ratio
    return network
