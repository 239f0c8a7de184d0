"""Learning a few samples by heart, and what is wrong where that fails."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from ..layers import Layer, ReLU, ReLU6
from ..losses import Loss
from ..optim import Optimizer
from .diagnosis import first_non_finite
from .meter import count_correct
from .watching import watched

NEAR = 0.05  # of the way from the lowest possible loss to the loss at chance
FEWEST_STEPS = 5  # in a network that starts with zeros, gradients reach one layer more with each step
HARDLY = 0.05  # of the loss that was to be lost


@dataclass
class ByHeart:
    """What came of it.

    Attributes
    ----------
    losses : list of float
        Before each step.
    accuracy : float or None
        Of the latest; None where targets name no classes.
    best, chance : float
        The lowest possible loss of these targets, and that of scores 0.
    learned : bool
        Whether all samples are right and the loss is near the lowest possible.
    random : str
        What gave two results for the same input; '' where nothing did.
    broke_at : str
        The first thing not to be a finite number; '' where all stayed finite.
    moved : bool
        Whether any weight has changed.
    without_gradient : list of str
        The weights at which no gradient other than 0 has ever arrived.
    blocked_by : str
        The layer that passes no gradient on, if such a weight is below it; '' where there is none.
    """

    losses: list[float] = field(default_factory=list)
    accuracy: float | None = None
    best: float = 0.0
    chance: float = 0.0
    learned: bool = False
    random: str = ""
    broke_at: str = ""
    moved: bool = False
    without_gradient: list[str] = field(default_factory=list)
    blocked_by: str = ""

    @property
    def steps(self) -> int:
        return len(self.losses) - 1

    @property
    def knew_it_before(self) -> bool:
        return self._is_near(self.losses[0])

    def _is_near(self, loss: float) -> bool:
        return loss - self.best <= NEAR * (self.chance - self.best)


def learn_by_heart(model: Layer, loss: Loss, optimizer: Optimizer, x: np.ndarray, y: np.ndarray, steps: int) -> ByHeart:
    """Train on this one batch until it is learned, with ``steps`` steps at most; the model is changed.

    Layers that draw random numbers, as dropout does, do what they do in inference, and weight decay is off.
    """
    result = ByHeart()
    train_without_regularisation(model, optimizer)
    result.random = _what_is_random(model, loss, x, y)
    trained = {name: parameter for name, parameter in model.parameters().items() if parameter.trainable}
    before = {name: parameter.value.copy() for name, parameter in trained.items()}
    waiting = {name for name, parameter in trained.items() if parameter.decays}
    for step in range(steps + 1):
        scores = model.forward(x)
        result.losses.append(loss.forward(scores, y))
        if not math.isfinite(result.losses[-1]):
            result.broke_at = first_non_finite(model, x) or "the loss"
            break
        if step == 0:
            result.best, result.chance = loss.at_best(scores, y), loss.at_chance(scores, y)
        labels = loss.labels(y)
        correct = None if labels is None else count_correct(scores, labels)
        result.accuracy = None if correct is None else correct / len(labels)
        result.learned = result.accuracy in (None, 1.0) and result._is_near(result.losses[-1])
        if step == steps or (result.learned and step >= FEWEST_STEPS):
            break
        model.backward(loss.backward())
        waiting = {name for name in waiting if trained[name].grad is None or not trained[name].grad.any()}
        optimizer.step()
    result.moved = any(not np.array_equal(before[name], parameter.value) for name, parameter in trained.items())
    result.without_gradient = [name for name in trained if name in waiting]
    if waiting and not result.broke_at:
        result.blocked_by = _what_blocks(model, loss, x, y)
    return result


def train_without_regularisation(model: Layer, optimizer: Optimizer | None = None) -> None:
    """Train mode, in which layers that draw random numbers do what they do in inference; weight decay is off."""
    model.train()
    model.needs_dx = False
    for _, layer in model.walk():
        layer.training = not hasattr(layer, "rng")
    for part in getattr(optimizer, "optimizers", [optimizer] if optimizer else []):
        part.weight_decay = 0.0


def _what_is_random(model: Layer, loss: Loss, x: np.ndarray, y: np.ndarray) -> str:
    scores = model.forward(x)
    if not np.array_equal(scores, model.forward(x), equal_nan=True):
        return "the network gives other scores for the same samples"
    if not np.array_equal(loss.forward(scores, y), loss.forward(scores, y), equal_nan=True):
        return f"{type(loss).__name__} gives another loss for the same scores and targets"
    return ""


def _what_blocks(model: Layer, loss: Loss, x: np.ndarray, y: np.ndarray) -> str:
    """The uppermost layer that is given a gradient and passes none on, or the lowest dead one if it is dead."""
    dead, blocking = [], []

    def after_forward(path: str, layer: Layer, y: np.ndarray) -> None:
        if isinstance(layer, (ReLU, ReLU6)) and not y.any():
            dead.append(path)

    def after_backward(path: str, layer: Layer, dy: np.ndarray, dx: np.ndarray | None) -> None:
        if dx is not None and dy.any() and not dx.any():
            blocking.append((path, layer))

    with watched(model, forward=after_forward, backward=after_backward):
        loss.forward(model.forward(x), y)
        model.backward(loss.backward())
    if not blocking:
        return ""
    path, layer = blocking[0]
    return f"'{dead[0]}', all of whose outputs are 0: it is dead" if path in dead else f"{type(layer).__name__} '{path}'"


# ---- in words


def what_became_of_it(result: ByHeart) -> str:
    """In numbers: the loss before and after, the accuracy."""
    accuracy = "" if result.accuracy is None else f", accuracy {result.accuracy:.0%}"
    lowest = f" (the lowest possible is {result.best:.3g})" if result.best else ""
    return f"loss {result.losses[0]:.3g} -> {result.losses[-1]:.3g}{lowest} in {result.steps} steps{accuracy}"


def why_not(result: ByHeart, optimizer: Optimizer, x: np.ndarray, y: np.ndarray) -> Iterator[str]:
    """What is probably wrong, as sentences, the surest first."""
    rate = optimizer.learning_rate
    if result.random:
        yield f"{result.random}: what is learned in one step is wrong in the next"
    wrong_gradient = "or a gradient is wrong: minicnn.gradcheck finds out which"
    if result.broke_at:
        yield f"the first thing not to be a finite number is {result.broke_at}"
        yield f"a rate of {rate:g} is too high (try {rate / 10:g}), {wrong_gradient}"
        return
    if pair := _contradiction(x, y):
        yield f"samples {pair[0]} and {pair[1]} of them are the same, and their targets are not"
    if not result.moved:
        yield "no weight has changed: " + ("the learning rate is 0" if rate == 0 else "gradients or rates of all layers are 0")
    elif not result.random:
        first, last = result.losses[0], result.losses[-1]
        if last > first:
            yield f"the loss has risen: a rate of {rate:g} is too high (try {rate / 10:g}), {wrong_gradient}"
        elif first - last < HARDLY * (first - result.best):
            yield f"the loss has hardly changed: a rate of {rate:g} is too low (try {rate * 10:g}), {wrong_gradient}"
        else:
            yield f"the loss falls, but slowly: try a rate other than {rate:g}, more steps, or a larger network"


def _contradiction(x: np.ndarray, y: np.ndarray) -> tuple[int, int] | None:
    """Two samples that are equal and have different targets."""
    pairs = combinations(range(len(x)), 2)
    return next(((i, j) for i, j in pairs if np.array_equal(x[i], x[j]) and not np.array_equal(y[i], y[j])), None)
