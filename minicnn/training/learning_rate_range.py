"""The learning-rate range test: which rates a network can be trained at, from one short run.

The rate grows from step to step, by equal proportions, from one at which nothing happens to one at which the loss explodes.
Between them the loss falls, and the rate at which it falls most steeply is a good one.

Smith 2017, "Cyclical Learning Rates for Training Neural Networks", arXiv 1506.01186, section 3.3.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import TrainingError
from .callbacks import Callback
from .run import Run
from .trainer import Trainer

WINDOW = 9  # so many losses are averaged; odd, so that one of their rates is in the middle
EXPLODED = 4.0  # times the lowest average
MARGIN = 10.0  # the rate at which the loss explodes, divided by this, is a safe one
NOTHING_LEARNED = 0.02  # of the first average


@dataclass
class RangeTest:
    """What `range_test` has measured.

    Attributes
    ----------
    rates, losses : list of float
        For each step: the learning rate, and the loss of its batch before the step.
    exploded : bool
        Whether the last average is more than four times the lowest one, or no finite loss came after it.
    ended_by : str
        The error that ended the test, if it was one; otherwise ''.
    """

    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    exploded: bool = False
    ended_by: str = ""

    def add(self, rate: float, loss: float) -> None:
        """One more step."""
        self.rates.append(rate)
        self.losses.append(loss)
        _, averages = self.averages()
        self.exploded = len(averages) > 0 and averages[-1] > EXPLODED * averages.min()

    def averages(self) -> tuple[np.ndarray, np.ndarray]:
        """Rates, and at each the mean of the nine losses around it: eight fewer than there are steps."""
        if len(self.losses) < WINDOW:
            return np.empty(0), np.empty(0)
        half = WINDOW // 2
        return np.array(self.rates[half:-half]), np.convolve(self.losses, np.full(WINDOW, 1 / WINDOW), "valid")

    @property
    def steepest(self) -> float | None:
        """The rate around which the average falls most, over eight steps, before its lowest point; None if it never falls."""
        rates, averages = self.averages()
        if not len(averages) or averages.min() > (1 - NOTHING_LEARNED) * averages[0]:
            return None
        lowest, half = int(averages.argmin()), WINDOW // 2
        i = np.arange(lowest + 1)
        falls = averages[np.maximum(i - half, 0)] - averages[np.minimum(i + half, lowest)]
        return float(rates[falls.argmax()])

    @property
    def tenth_of_explosion(self) -> float | None:
        """A tenth of the rate at which the loss exploded; None if it did not."""
        return self.rates[-1] / MARGIN if self.exploded else None

    @property
    def suggestion(self) -> float | None:
        """The lower of `steepest` and `tenth_of_explosion`; None where the loss never fell."""
        found = [rate for rate in (self.steepest, self.tenth_of_explosion) if rate is not None]
        return min(found) if self.steepest is not None else None

    def text(self) -> str:
        """In words."""
        tested = f"rates from {self.rates[0]:.2g} to {self.rates[-1]:.2g} in {len(self.rates)} steps"
        end = (
            f"the loss explodes at {self.rates[-1]:.2g}" if self.exploded else "the loss did not explode: try higher rates, too"
        )
        if self.suggestion is None:
            return f"{tested}: the loss never falls; {end}. Run minicnn.training.sanity_check first"
        return f"{tested}: the loss falls most steeply at {self.steepest:.2g}; {end}. Try a rate of {self.suggestion:.2g}"


def range_test(
    trainer: Trainer, x: Sequence, y: Sequence, *, low: float = 1e-6, high: float = 10.0, steps: int = 100
) -> RangeTest:
    """Train a copy of the trainer's model for a few steps, step i of n at the rate low (high / low)^(i / (n - 1)).

    Batches, augmentation, optimiser, regularizer, clipping and seed are the trainer's; schedule, callbacks, checkpoints, the
    average of weights and the validation are left out. The test ends early where the average loss is more than four times its
    lowest value, or no longer a finite number. Neither the trainer nor its model changes.

    Parameters
    ----------
    trainer : Trainer
        Ready to train.
    x, y
        As in `Trainer.fit`.
    low, high : float
        More than 0. Of an `minicnn.optim.OptimizerGroup` they are the rates of the first optimiser; those of the others grow in
        proportion.
    steps : int
        At least 20; where the data are fewer, several times through them.

    Raises
    ------
    ValueError
        For rates or steps out of range; an optimiser whose base rate is 0; as in `Trainer.fit`.
    TrainingError
        If the first loss is not a finite number.

    >>> from minicnn.layers import Linear
    >>> from minicnn.losses import SoftmaxCrossEntropy
    >>> from minicnn.optim import SGD
    >>> model = Linear(1, 2, rng=0)
    >>> x, y = np.linspace(-1, 1, 40, dtype=np.float32)[:, None], np.repeat([0, 1], 20)
    >>> trainer = Trainer(model, SoftmaxCrossEntropy(), SGD(model.parameters(), 1.0), epochs=40)
    >>> print(range_test(trainer, x, y, low=1e-3, high=1000).text())
    rates from 0.001 to 71 in 81 steps: the loss falls most steeply at 0.35; the loss explodes at 71. Try a rate of 0.35
    """
    if not 0 < low < high < np.inf:
        raise ValueError(f"range_test: rates rise from low, above 0, to a higher one, got low={low} and high={high}")
    if steps < 20:
        raise ValueError(f"range_test: a curve needs at least 20 steps, got {steps}")
    if not trainer.optimizer.learning_rate > 0:
        raise ValueError("range_test multiplies the optimiser's base rate, and it is 0; give the optimiser any other one")
    shared = {id(function): function for function in (trainer.prepare, trainer.augment, trainer.mix)}  # data may be behind them
    trial = copy.deepcopy(trainer, shared | {id(trainer.callbacks): (), id(trainer.checkpoint): None})
    recorder = _Recorder(np.geomspace(low, high, steps).tolist())
    base = trial.optimizer.learning_rate
    trial.schedule = lambda progress: recorder.next_rate / base
    trial.callbacks, trial.epochs, trial.patience, trial.average = (recorder,), steps, None, 0.0
    trial.checkpoint, trial.resume, trial.progress, trial.label = None, False, False, "range test"
    try:
        trial.fit(x, y)
    except _EnoughSteps:
        pass
    except TrainingError as error:
        if not recorder.result.rates:
            raise
        recorder.result.ended_by, recorder.result.exploded = str(error), True
    return recorder.result


class _EnoughSteps(Exception):
    """The test is over in the middle of an epoch."""


class _Recorder(Callback):
    """Says the rate of each step, and keeps its loss."""

    def __init__(self, rates: list[float]):
        self.rates, self.result = rates, RangeTest()

    @property
    def next_rate(self) -> float:
        return self.rates[len(self.result.rates)]

    def on_step_end(self, run: Run) -> None:
        self.result.add(self.next_rate, run.loss)
        if self.result.exploded or len(self.result.rates) == len(self.rates):
            raise _EnoughSteps
