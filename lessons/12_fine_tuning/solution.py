"""Lesson 12, solution: one way to write it. Try exercise.py first."""

from collections.abc import Sequence

import numpy as np

from minicnn.layers import BatchNorm1d, BatchNorm2d, Linear, Parameter
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models import Model
from minicnn.optim import SGD

# ---- Task 1: a new head, and a frozen body


def replace_head_and_freeze(network: Model, num_classes: int, until: str, rng: np.random.Generator) -> Model:
    """Prepare a pretrained network for other classes, in place, and return it.

    The last layer, a `minicnn.layers.Linear`, is replaced under its name by a new one with random weights (give it ``rng``),
    with as many inputs as the old one and ``num_classes`` outputs. Everything up to and including the layer ``until`` is
    frozen, everything above it is trainable, whatever was frozen before.

    With ``until`` right below the head the network is a fixed feature extractor. Which value of ``trainable`` is "frozen"?
    One source of the lecture has it the wrong way round.
    """
    name, old = list(network.layers.items())[-1]
    network.layers[name] = Linear(old.in_features, num_classes, rng=rng)
    network.unfreeze()
    return network.freeze(until=until)


# ---- Task 2: learning rates by depth


def set_learning_rates(network: Model, decay: float) -> Model:
    """Discriminative learning rates: each layer learns at ``decay`` times the rate of the one above it. In place; returned.

    Only top-level layers with parameters count, from the head (multiplier 1) down: decay, decay^2, decay^3, ... A block, which
    is a layer with others inside, counts as one layer, and all parameters inside it have its multiplier. A batch normalisation
    of the top level (`minicnn.layers.BatchNorm2d` or `BatchNorm1d`) is no step of its own: it has the multiplier of the
    convolution or fully connected layer below it.

    The optimiser moves a parameter with its own rate times ``parameter.learning_rate_multiplier``. That must have these values,
    whatever it was before. Frozen layers count like the others, and stay frozen.
    """
    multiplier = 1.0
    for layer in reversed(network.layers.values()):
        for parameter in layer.parameters().values():
            parameter.learning_rate_multiplier = multiplier
        if layer.parameters() and not isinstance(layer, (BatchNorm1d, BatchNorm2d)):
            multiplier *= decay
    return network


# ---- Task 3: a step that keeps near the pretrained weights


def l2sp_gradient(w: np.ndarray, w0: np.ndarray | None, alpha: float, beta: float) -> np.ndarray:
    """The gradient of the penalty L2-SP for one array of weights w, given the pretrained ones w0.

        R = (alpha / 2) sum of (w - w0)^2      of a pretrained layer,
        R = (beta / 2) sum of w^2              of a new one, which has no pretrained weights: w0 is None

    w, w0 of any shape  ->  dR/dw, of the same shape
    """
    return beta * w if w0 is None else alpha * (w - w0)


def sgd_step(
    parameters: dict[str, Parameter], start: dict[str, np.ndarray], learning_rate: float, alpha: float, beta: float
) -> dict[str, Parameter]:
    """One step of gradient descent with L2-SP, in place; returns the same parameters.

        w <- w - learning_rate * multiplier * (dw + dR/dw)

    where w is ``parameter.value``, dw ``parameter.grad`` and multiplier ``parameter.learning_rate_multiplier``. The penalty is
    for weights only, those with ``parameter.decays``; biases, gamma and beta move by dw alone. ``start`` has the pretrained
    arrays by name; a name that is not in it belongs to the new head.

    A parameter that is not trainable, and one that has no gradient (None), stays as it is to the bit. (What is frozen may
    still have the gradient of an earlier phase.) The dtype stays what it is, float32 or float64, and no gradient is changed.
    """
    for name, parameter in parameters.items():
        if parameter.trainable and parameter.grad is not None:
            penalty = l2sp_gradient(parameter.value, start.get(name), alpha, beta) if parameter.decays else 0
            parameter.value -= learning_rate * parameter.learning_rate_multiplier * (parameter.grad + penalty)
    return parameters


# ---- Task 4: a batch normalisation that can be frozen


def norm_forward(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    training: bool,
    trainable: bool,
    momentum: float,
    eps: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Batch normalisation of maps in either mode, frozen or not, with the bookkeeping of its running statistics.

        y[n, c, h, w] = gamma[c] (x[n, c, h, w] - m[c]) / sqrt(v[c] + eps) + beta[c]

    In train mode, if it is trainable, m and v are mean and variance of the batch, over the M = N H W values of a channel
    (divided by M), and the running statistics move:

        new running_mean = (1 - momentum) running_mean + momentum m
        new running_var  = (1 - momentum) running_var  + momentum v M / (M - 1)

    In eval mode, and whenever it is frozen, m and v are the running statistics, which stay as they are to the bit. Then a batch
    may be as small as one picture of one pixel.

    x (N, C, H, W), the others (C,)  ->  y (N, C, H, W), the new running_mean and running_var (C,): new arrays in every case
    """

    def by_channel(a: np.ndarray) -> np.ndarray:
        return a[:, None, None]

    mean, variance = running_mean, running_var
    new_mean, new_var = running_mean.copy(), running_var.copy()
    if training and trainable:
        M = x.size // x.shape[1]
        mean, variance = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
        new_mean = (1 - momentum) * running_mean + momentum * mean
        new_var = (1 - momentum) * running_var + momentum * variance * M / (M - 1)
    xh = (x - by_channel(mean)) / by_channel(np.sqrt(variance + eps))
    return by_channel(gamma) * xh + by_channel(beta), new_mean, new_var


def frozen_norm_backward(dy: np.ndarray, gamma: np.ndarray, running_var: np.ndarray, eps: float) -> np.ndarray:
    """What a frozen batch normalisation passes down to the layers below it, which may well be learning.

    Its statistics are constants. It has no gradients of its own to compute: nobody would use them.

    dy (N, C, H, W), gamma, running_var (C,)  ->  dx (N, C, H, W)
    """
    return dy * (gamma / np.sqrt(running_var + eps))[:, None, None]


# ---- Task 5: a head that is right from the first step


def head_from_classifier(w: np.ndarray, b: np.ndarray, mean: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of a head that gives, on codes as they come, the scores of a linear classifier for standardised codes.

    The classifier was trained on z[n, d] = (x[n, d] - mean[d]) / std[d], and its scores are z w^T + b. The network has no layer
    that standardises: find w2 and b2 with

        x w2^T + b2  =  z w^T + b      for all codes x.

    A feature that was the same for all training codes has std[d] = 0: of that one only the mean was subtracted.

    w (K, D), b (K,), mean, std (D,)  ->  w2 (K, D), b2 (K,)
    """
    w2 = w / np.where(std == 0, 1, std)
    return w2, b - w2 @ mean


# ---- Task 6: fine-tuning in two phases

Batches = Sequence[tuple[np.ndarray, np.ndarray]]


def fine_tune(
    network: Model, head: str, first: Batches, second: Batches, head_rate: float, body_rate: float
) -> dict[str, np.ndarray]:
    """Train a pretrained network with a new head in two phases, in place, with plain SGD.

    Phase 1, a step for each batch (x, y) of ``first``: only the layer ``head``, one of the top level, learns, with
    ``head_rate``. All else is frozen, weights and statistics.

    Phase 2, a step for each batch of ``second``: everything learns, the head with ``head_rate`` and all else with
    ``body_rate``; except the batch normalisations (`minicnn.layers.BatchNorm2d`), wherever in the network they are: they stay
    frozen, gamma, beta and statistics.

    A step: forward in train mode, `minicnn.losses.SoftmaxCrossEntropy`, backward, and w <- w - rate * dw. The network may
    arrive in any state: in eval mode, with parts frozen, with learning-rate multipliers that are not 1.

    Returns copies of all arrays afterwards by name: the values of ``network.parameters()`` and those in ``network.state()``.

    Useful: ``network.train()``, ``freeze()`` and ``unfreeze()`` of a network or a layer, ``network.walk()``, which gives the
    path and the layer of everything inside; ``SGD(network.parameters(), rate)``, whose ``step()`` leaves alone what is frozen.
    """
    loss, optimizer = SoftmaxCrossEntropy(), SGD(network.parameters(), head_rate)

    def train_on(batches: Batches) -> None:
        for x, y in batches:
            loss.forward(network.train().forward(x), y)
            network.backward(loss.backward())
            optimizer.step()

    for name, parameter in network.parameters().items():
        parameter.learning_rate_multiplier = 1.0 if name.startswith(f"{head}.") else body_rate / head_rate
    network.freeze()
    network.layers[head].unfreeze()
    train_on(first)

    network.unfreeze()
    for _, layer in network.walk():
        if isinstance(layer, BatchNorm2d):
            layer.freeze()
    train_on(second)
    return {name: parameter.value.copy() for name, parameter in network.parameters().items()} | {
        name: array.copy() for name, array in network.state().items()
    }
