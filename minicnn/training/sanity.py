"""Before a long training: quick checks that find most mistakes, and say in words what is probably wrong.

1. **The initial loss.** A network that knows nothing gives each of C classes the probability 1 / C, and pays log C.
2. **Regularisation** raises the loss.
3. **A few samples are learned by heart**, without regularisation. A network that cannot do that has a mistake in it, and will
   learn nothing from many samples either.

CS231n, "Training Neural Networks", part "Babysitting the learning process"; its notes "Neural Networks 3", "Sanity checks".
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..layers import Layer
from ..losses import Loss
from ..optim import Adam, Optimizer
from ..regularizers import L2SP, Regularizer
from ..text import named
from .by_heart import ByHeart, learn_by_heart, train_without_regularisation, what_became_of_it, why_not
from .checks import check_regularizer, check_trainable, targets_of
from .diagnosis import first_non_finite, without_overflow_warnings

INITIAL_SAMPLES = 256  # the mean over so many differs from that over all by a sixteenth of a sample's spread
BATCH = 32  # at most so many of them at once, for the sake of memory
TOO_HIGH, TOO_LOW = 2, 1 / 3  # times the loss at chance
LARGE_INPUTS = 10.0  # root mean square; standardised inputs have 1
SEEN = 10  # with so many samples for each class, one that is there is missed in 1 of 20,000 cases: (1 - 1/C)^(10 C) < e^-10


class SanityCheck(NamedTuple):
    """One of the things that were looked at; ``ok`` is None where there was nothing to see."""

    name: str
    ok: bool | None
    words: str

    def __str__(self) -> str:
        return f"{ {True: 'ok', False: 'WRONG', None: '-'}[self.ok]:<6} {self.name}: {self.words}"


@dataclass
class SanityReport:
    """What `sanity_check` has found.

    Attributes
    ----------
    checks : list of SanityCheck
        "outputs", "initial loss", "regularisation", "trained layers", "by heart", "gradients"; those that came to be made.
    numbers : dict of name to float
        ``initial_loss``, ``loss_at_chance``, ``score_size`` (root mean square), ``penalty``, ``loss_by_heart``,
        ``accuracy_by_heart``, ``steps_by_heart``: those that were measured.
    """

    checks: list[SanityCheck] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all(check.ok is not False for check in self.checks)

    def text(self) -> str:
        """A line for each check."""
        return "\n".join(map(str, self.checks))

    def __getitem__(self, name: str) -> SanityCheck:
        return next(check for check in self.checks if check.name == name)


def sanity_check(
    model: Layer,
    loss: Loss,
    data: tuple[Sequence, Sequence],
    *,
    optimizer: Optimizer | None = None,
    regularizer: Regularizer | None = None,
    samples: int = 20,
    steps: int = 200,
    seed: int = 0,
    log: Callable[[str], Any] = print,
) -> SanityReport:
    """Look at a model before it is trained for long: a few seconds for small networks, on copies of everything.

    **The initial loss** L, in train mode without dropout, is held against the loss L0 of scores that are all 0
    (`minicnn.losses.Loss.at_chance`; log C for the softmax of C classes). Random scores of variance s^2, which know nothing of
    the targets, cost up to about L0 + s^2 / 2 with a softmax. A last layer with Xavier's weights gives an s^2 of 2 at most,
    for inputs of mean square 1, and one with small weights about 0. L > 2 L0 is called too high, and L < L0 / 3 too low to be
    chance.

    **Outputs** are as many as the targets name classes, where there are samples enough to tell.

    **Regularisation** adds R > 0 to the loss.

    **A few samples**, drawn at random, are **learned by heart**: all right, and 95 % of the way from L0 to the lowest loss that
    these targets allow (`minicnn.losses.Loss.at_best`), within ``steps`` steps on all of them at once, without dropout and
    weight decay. Meanwhile a **gradient** other than 0 must have arrived at all weights that are to be trained.

    Parameters
    ----------
    model : Layer
        New, or with a new head. Nothing of it changes, neither weights nor statistics, mode or random generators.
    loss : Loss
    data : (x, y)
        As `minicnn.training.Trainer.fit` takes them, but x[indices] is what the model takes.
    optimizer : Optimizer, optional
        The one for the training, of this model's parameters: its rate is tested, too. By default Adam with a rate of 0.001.
    regularizer : Regularizer, optional
    samples, steps : int
    seed : int
        Decides which samples are drawn.
    log : callable
        Is given each line of the report as soon as it is known.

    Returns
    -------
    SanityReport

    Raises
    ------
    ValueError, TypeError
        No samples; targets that the loss does not take, or that have no output; nothing to train; an optimiser or a regularizer
        of another model; ``samples`` or ``steps`` below 1.

    >>> from minicnn.layers import Linear
    >>> from minicnn.losses import SoftmaxCrossEntropy
    >>> from minicnn.optim import SGD
    >>> x, y = np.eye(3, dtype=np.float32), np.arange(3)
    >>> model = Linear(3, 3, rng=0)
    >>> report = sanity_check(model, SoftmaxCrossEntropy(), (x, y), optimizer=SGD(model.parameters(), 1.0))
    ok     outputs: 3, one for each class of the targets
    ok     initial loss: 1.51; to know nothing costs log C = 1.1
    -      regularisation: there is none
    ok     trained layers: all
    ok     by heart: 3 samples, loss 1.51 -> 0.0543 in 42 steps, accuracy 100%
    ok     gradients: arrive at all weights
    """
    for name, value in (("samples", samples), ("steps", steps)):
        if value < 1:
            raise ValueError(f"sanity_check: {name} must be at least 1, got {value}")
    x, y = data
    y = targets_of(x, y, "x", "y")
    optimizer = optimizer or Adam(model.parameters(), 1e-3)
    check_trainable(model, optimizer)
    if regularizer:
        check_regularizer(model, regularizer)
    # copied together, because optimiser and regularizer share the model's parameters
    model, loss, optimizer, regularizer = copy.deepcopy((model, loss, optimizer, regularizer))
    rng, report = np.random.default_rng(seed), SanityReport()
    some, few = _draw(rng, len(x), INITIAL_SAMPLES), _draw(rng, len(x), samples)

    def add(checks: Iterable[SanityCheck]) -> None:
        for check in checks:
            report.checks.append(check)
            log(str(check))

    with without_overflow_warnings():
        scores = _initial_scores(model, x[some])
        add([_outputs(loss, scores, y)])
        add(_before_training(model, loss, regularizer, x[some], scores, y[some], report.numbers))
        if math.isfinite(report.numbers["initial_loss"]):
            add(_while_training(model, loss, optimizer, x[few], y[few], steps, report.numbers))
    return report


def _draw(rng: np.random.Generator, total: int, most: int) -> np.ndarray:
    return np.sort(rng.choice(total, min(total, most), replace=False))


def _initial_scores(model: Layer, x: np.ndarray) -> np.ndarray:
    """In train mode, because a new batch norm has no statistics yet, without dropout, and without a backward pass to come."""
    train_without_regularisation(model)
    model.remembers = False
    parts = np.array_split(x, math.ceil(len(x) / BATCH))  # of equal size: the variance of a single sample is none
    return np.concatenate([model.forward(part) for part in parts])


def _before_training(
    model: Layer,
    loss: Loss,
    regularizer: Regularizer | None,
    x: np.ndarray,
    scores: np.ndarray,
    y: np.ndarray,
    numbers: dict[str, float],
) -> Iterator[SanityCheck]:
    yield _initial_loss(model, loss, scores, x, y, numbers)
    if math.isfinite(numbers["initial_loss"]):
        yield _regularisation(regularizer, numbers)
        yield _trained_layers(model)


def _while_training(
    model: Layer, loss: Loss, optimizer: Optimizer, x: np.ndarray, y: np.ndarray, steps: int, numbers: dict[str, float]
) -> Iterator[SanityCheck]:
    result = learn_by_heart(model, loss, optimizer, x, y, steps)
    numbers |= {"loss_by_heart": result.losses[-1], "steps_by_heart": result.steps}
    if result.accuracy is not None:
        numbers["accuracy_by_heart"] = result.accuracy
    yield _by_heart(result, optimizer, x, y)
    yield _gradients(result)


# ---- the checks


def _outputs(loss: Loss, scores: np.ndarray, y: np.ndarray) -> SanityCheck:
    name, labels = "outputs", loss.labels(y)
    if labels is None or scores.ndim != 2 or scores.shape[1] < 2:
        return SanityCheck(name, None, "the targets are no classes with an output each")
    K = scores.shape[1]
    classes, firsts = np.unique(labels, return_index=True)
    loss.at_chance(np.zeros((len(firsts), K), scores.dtype), y[firsts])  # its error names a class that has no output
    if len(classes) == K:
        return SanityCheck(name, True, f"{K}, one for each class of the targets")
    words = f"{K}, and the {len(y)} targets name {len(classes)} classes, the highest {classes[-1]}"
    if len(y) < SEEN * K:
        return SanityCheck(name, None, f"{words}: too few targets to tell whether others are missing")
    return SanityCheck(name, False, f"{words}. Give the last layer an output for each class, or look where the others are")


def _initial_loss(
    model: Layer, loss: Loss, scores: np.ndarray, x: np.ndarray, y: np.ndarray, numbers: dict[str, float]
) -> SanityCheck:
    name, value = "initial loss", loss.forward(scores, y)
    chance, size = loss.at_chance(scores, y), float(np.sqrt(np.square(scores, dtype=np.float64).mean()))
    numbers |= {"initial_loss": value, "loss_at_chance": chance, "score_size": size}
    if not math.isfinite(value):
        inputs_are_finite = np.isfinite(x).all()
        place = (first_non_finite(model, x) or "the loss") if inputs_are_finite else "the inputs: look at the samples"
        return SanityCheck(name, False, f"{value}; the first thing not to be a finite number is {place}")
    weights = any(getattr(loss, name, None) is not None for name in ("class_weights", "positive_weights"))
    formula = f"{loss.chance_formula}{', weighted,' if weights else ''}"
    words = f"{value:.3g}; to know nothing costs {formula} = {chance:.3g}"
    if value > TOO_HIGH * chance:
        return SanityCheck(name, False, f"{words}. Scores are too large, {size:.2g} in root mean square: {_why_large(x)}")
    if value < TOO_LOW * chance:
        return SanityCheck(
            name, False, f"{words}. The network knows the targets: its weights are not new, or the inputs give the targets away"
        )
    return SanityCheck(name, True, words)


def _why_large(x: np.ndarray) -> str:
    size = float(np.sqrt(np.square(x, dtype=np.float64).mean()))
    if size > LARGE_INPUTS:
        return f"so are the inputs, {size:.2g}; standardise them"
    return (
        f"the inputs are not, {size:.2g}, so the initial weights are. Start with minicnn.initializers.msra or xavier, and the "
        "last layer with normal(0.01)"
    )


def _regularisation(regularizer: Regularizer | None, numbers: dict[str, float]) -> SanityCheck:
    name = "regularisation"
    if regularizer is None:
        return SanityCheck(name, None, "there is none")
    kind = type(regularizer).__name__
    if type(regularizer)._penalty is Regularizer._penalty:
        return SanityCheck(name, None, f"{kind} is a constraint on the weights and adds nothing to the loss")
    numbers["penalty"] = penalty = regularizer.value()
    before = numbers["initial_loss"]
    if penalty > 0:
        return SanityCheck(name, math.isfinite(penalty), f"{kind} raises the loss by {penalty:.3g} to {before + penalty:.3g}")
    if penalty == 0 and isinstance(regularizer, L2SP):
        return SanityCheck(name, None, "L2SP adds nothing yet: the weights are where it draws them to")
    return SanityCheck(name, False, f"{kind} adds {penalty:g}, and should raise the loss. Is its strength 0?")


def _trained_layers(model: Layer) -> SanityCheck:
    name = "trained layers"
    layers = {path: layer for path, layer in model.walk() if not layer.children() and layer.parameters()}
    frozen = [path for path, layer in layers.items() if not layer.trainable]
    last = list(layers)[-1]
    if last in frozen:
        return SanityCheck(
            name, False, f"{last or 'it'}, the last layer with weights, is frozen; the scores come from it, so unfreeze() it"
        )
    return SanityCheck(name, True, f"all but the frozen {named(frozen, most=3)}" if frozen else "all")


def _by_heart(result: ByHeart, optimizer: Optimizer, x: np.ndarray, y: np.ndarray) -> SanityCheck:
    words = f"{len(x)} samples, {what_became_of_it(result)}"
    if result.learned and not result.random:
        return SanityCheck("by heart", True, words)
    return SanityCheck("by heart", False, ". ".join([words, *why_not(result, optimizer, x, y)]))


def _gradients(result: ByHeart) -> SanityCheck:
    name, waiting = "gradients", result.without_gradient
    if not waiting:
        return SanityCheck(name, True, "arrive at all weights")
    if result.knew_it_before or result.broke_at:
        return SanityCheck(name, None, "cannot be judged where there is nothing to learn, or no number left")
    cause = f"blocked by {result.blocked_by}" if result.blocked_by else "does the loss depend on it?"
    return SanityCheck(name, False, f"none has arrived at {named(waiting, most=3)}: {cause}")
