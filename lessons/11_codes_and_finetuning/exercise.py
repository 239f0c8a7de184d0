"""Lesson 11, exercise: the steps of transfer learning, each as a small function.

Fill in the functions, and as often as you like run

    minicnn check 11

A network is a `minicnn.models.Model`, as in the lesson: ``network.layers`` is a dict of its layers by name, in running order,
and a layer may have others inside; ``network.parameters()`` is a dict such as {"conv1.w": Parameter, "block2.conv.w":
Parameter, ...}; a Parameter has ``value``, ``trainable`` and ``learning_rate_multiplier``. N pictures, D features, K classes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

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
    raise NotImplementedError("Lesson 11, task 1: extract_codes")


# ---- Task 2: standardise


def standardise(train: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets of codes with (x - mean) / std of each feature, where mean and std are those **of the training codes**.

    The other set (validation, test) must not have a say in them. A feature that is constant over the training codes has no
    std to divide by: only subtract its mean. (Rounding may make its std 1e-17 instead of 0.)

    train (N, D), other (M, D)  ->  the same shapes
    """
    raise NotImplementedError("Lesson 11, task 2: standardise")


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
    raise NotImplementedError("Lesson 11, task 3: softmax_regression")


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
    raise NotImplementedError("Lesson 11, task 4: choose_regularisation")


# ---- Task 5: a new head, and a frozen body


def replace_head_and_freeze(network: Model, num_classes: int, until: str, rng: np.random.Generator) -> Model:
    """Prepare a pretrained network for fine-tuning to other classes, in place, and return it.

    The last layer, a `minicnn.layers.Linear`, is replaced under its name by a new one with random weights (give it ``rng``),
    with as many inputs as the old one and ``num_classes`` outputs. Everything up to and including the layer ``until`` is
    frozen, everything above it is trainable; whatever was frozen before.

    Which value of ``trainable`` is "frozen"? One of the lecture's sources has it the wrong way round.
    """
    raise NotImplementedError("Lesson 11, task 5: replace_head_and_freeze")


# ---- Task 6: learning-rate groups


def set_learning_rates(network: Model, head: str, ratio: float) -> Model:
    """Let pretrained layers learn more slowly than the new head, in place; return the network.

    The optimiser moves each parameter with its learning rate times ``parameter.learning_rate_multiplier``. That must be 1 for
    the parameters of the layer ``head``, and ``ratio`` for all others, whatever it was before.
    """
    raise NotImplementedError("Lesson 11, task 6: set_learning_rates")
