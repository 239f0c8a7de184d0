"""A trial: some settings, what they were tried with, and what came of it."""

from __future__ import annotations

import math
import numbers
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..runtime.blas import one_blas_thread
from ..runtime.workers import set_threads

Objective = Callable[[dict[str, Any], int, int], float]


@dataclass(frozen=True)
class Trial:
    """One evaluation of the objective.

    Attributes
    ----------
    number : int
        From 0, in the order in which trials are planned. With the study's seed it decides all that is random in the trial.
    round : int
        Trials of one round are compared with each other: those of a grid, of a rung of successive halving, ...
    settings : dict
    budget : int
        How much the trial may cost, in units that the objective knows: epochs, usually.
    seed : int
        For what is random in the objective.
    value : float or None
        What the objective returned, the higher the better. None: not yet, or it failed.
    error : str or None
        Why it failed.
    seconds : float
        How long it took. Trials that differ in nothing else are equal.
    """

    number: int
    round: int
    settings: dict[str, Any]
    budget: int
    seed: int
    value: float | None = None
    error: str | None = None
    seconds: float = field(default=0.0, compare=False)

    @property
    def plan(self) -> tuple:
        """What is known of it before it is tried."""
        return self.number, self.round, self.settings, self.budget, self.seed

    @property
    def rank(self) -> tuple[float, int]:
        """The higher the better: the value, failures last; of equal ones, the first."""
        return (-math.inf if self.value is None else self.value), -self.number

    def line(self, measure: str, place: int, among: int) -> str:
        """As the lecture's slides show a running search.

        >>> trial = Trial(0, 0, {"lr": 1.405206e-04, "reg": 4.793564e-01}, budget=5, seed=1, value=0.412)
        >>> trial.line("val_acc", 1, 100)
        'val_acc: 0.412000, lr: 1.405206e-04, reg: 4.793564e-01, (1 / 100)'
        """
        result = f"failed: {self.error}" if self.value is None else f"{measure}: {self.value:.6f}"
        settings = (f"{name}: {f'{value:.6e}' if isinstance(value, float) else value}" for name, value in self.settings.items())
        return ", ".join([result, *settings, f"({place} / {among})"])


class Outcome(NamedTuple):
    """Of a trial: its value or, if it failed, the error in words; and its seconds."""

    value: float | None
    error: str | None
    seconds: float


def run_trial(objective: Objective, settings: dict[str, Any], budget: int, seed: int, threads: int) -> Outcome:
    """Evaluate the objective, wherever this is called, with so many threads (and BLAS with one): results repeat to the bit.

    Whatever the objective raises is its outcome. A value that is not a finite number is a failure as well.
    """
    set_threads(threads)
    started = time.perf_counter()
    try:
        with one_blas_thread():
            value = objective(dict(settings), budget, seed)
        error = None
        if not isinstance(value, numbers.Real):
            error = f"the objective returned {value!r}, and not a number"
        elif not math.isfinite(value):
            error = f"the objective returned {value}"
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    return Outcome(None if error else float(value), error, time.perf_counter() - started)


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the highest value; of equal ones, the first."""
    return max(trials, key=lambda trial: trial.rank)
