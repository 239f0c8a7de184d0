"""A training run: all that changes from step to step, and so all that a checkpoint has to keep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..layers.base import Layer
from ..optim import Optimizer
from ..regularizers import Regularizer
from .averaging import WeightAverage, trained_arrays
from .history import History
from .meter import Meter


@dataclass
class Run:
    """One `Trainer.fit`, as callbacks see it.

    Attributes
    ----------
    model, optimizer
    epochs, steps_per_epoch : int
    order_rng : Generator
        Of the order of the samples. Layers that draw random numbers have their own, and augmentation needs none that goes on:
        its numbers follow from the seed, the epoch and the sample.
    regularizer : Regularizer or None
    average : WeightAverage or None
    history : History
    epoch : int
        The current one, from 1.
    step : int
        How many of the current epoch's steps are done.
    meter : Meter
        Loss and accuracy over those.
    loss : float
        Of the latest batch.
    learning_rate : float
        Of the latest step: the base rate times the schedule's factor.
    order_state : dict
        The state of ``order_rng`` before it drew the current epoch's order.
    arrays : dict of name to array
        What training changes: all that was trainable when the run began, though a callback may freeze some of it later.
    best : dict of name to array, best_score
        Copies of what training had changed after the best epoch so far (before training, as long as there is none).
    validation : (loss, accuracy)
        After the latest epoch; None where there was nothing to measure.
    best_epoch : int
        The one whose weights are kept; 0: those from before training.
    stopped : bool
        Set it to end the run after the current epoch.
    """

    model: Layer
    optimizer: Optimizer
    epochs: int
    steps_per_epoch: int
    order_rng: np.random.Generator
    regularizer: Regularizer | None
    average: WeightAverage | None
    history: History
    epoch: int = 1
    step: int = 0
    meter: Meter = field(default_factory=Meter)
    loss: float = float("nan")
    learning_rate: float = 0.0
    validation: tuple[float | None, float | None] = (None, None)
    best_epoch: int = 0
    stopped: bool = False

    def __post_init__(self) -> None:
        self.order_state = self.order_rng.bit_generator.state
        self.arrays = trained_arrays(self.model)
        self.best, self.best_score = self.snapshot(), None

    @property
    def steps_done(self) -> int:
        """Since the run began."""
        return (self.epoch - 1) * self.steps_per_epoch + self.step

    @property
    def progress(self) -> float:
        """The middle of the current step as a fraction of the run, which is what schedules are asked for."""
        return (self.steps_done + 0.5) / (self.epochs * self.steps_per_epoch)

    @property
    def finished(self) -> bool:
        return self.stopped or self.epoch > self.epochs

    def draw_order(self, samples: int) -> np.ndarray:
        """The order of the samples in the current epoch; after a resumption the same again."""
        self.order_rng.bit_generator.state = self.order_state
        return self.order_rng.permutation(samples)

    def next_epoch(self) -> None:
        self.order_state = self.order_rng.bit_generator.state
        self.epoch, self.step, self.meter = self.epoch + 1, 0, Meter()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """In the block the model has the averaged weights, if an average is kept."""
        with self.average.in_place() if self.average else nullcontext():
            yield

    # ---- to go on later as if there had been no break

    def state(self) -> dict[str, Any]:
        """Everything that the next steps depend on, for `set_state`: arrays (not copies), numbers and texts by name."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "loss": self.loss,
            "learning_rate": self.learning_rate,
            "validation": self.validation,
            "stopped": self.stopped,
            "meter": vars(self.meter),
            "history": self.history.epochs,
            "best": self.best,
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
            "arrays": self.arrays,
            "optimizer": self.optimizer.state_dict(),
            "regularizer": self.regularizer.state_dict() if self.regularizer else None,
            "average": self.average.state() if self.average else None,
            "generators": {name: rng.bit_generator.state for name, rng in self._generators().items()},
            "order_state": self.order_state,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Put the run, and with it model, optimiser and generators, where the run was whose `state` this is."""
        self.optimizer.load_state_dict(state["optimizer"])
        for name, array in self.arrays.items():
            np.copyto(array, state["arrays"][name])
        if self.regularizer:
            self.regularizer.load_state_dict(state["regularizer"])
        if self.average:
            self.average.set_state(state["average"])
        for name, rng in self._generators().items():
            rng.bit_generator.state = state["generators"][name]
        for name in ("epoch", "step", "loss", "learning_rate", "stopped", "best", "best_epoch", "order_state"):
            setattr(self, name, state[name])
        self.validation = tuple(state["validation"])
        self.best_score = None if state["best_score"] is None else tuple(state["best_score"])
        vars(self.meter).update(state["meter"])
        self.history.epochs[:], self.history.best_epoch = state["history"], self.best_epoch
        if self.step == self.steps_per_epoch:
            self.next_epoch()

    def _generators(self) -> dict[str, np.random.Generator]:
        layers = {f"layer {path}": layer.rng for path, layer in self.model.walk() if hasattr(layer, "rng")}
        return {"order": self.order_rng} | layers

    # ---- the best epoch

    def keep_if_best(self, score: tuple[float, ...]) -> None:
        """Keep the weights as they are now, if no epoch's score was higher."""
        if self.best_score is None or score > self.best_score:
            self.best, self.best_score, self.best_epoch = self.snapshot(), score, self.epoch

    def snapshot(self) -> dict[str, np.ndarray]:
        """Copies of what training changes."""
        return {name: array.copy() for name, array in self.arrays.items()}

    def restore_best(self) -> None:
        """Write the copies back into the arrays they were taken from, which others may share, and end train mode."""
        for name, array in self.best.items():
            np.copyto(self.arrays[name], array)
        for parameter in self.model.parameters().values():
            parameter.grad = None
        self.model.eval()
