"""Callbacks: what else happens at fixed moments of a training run.

A callback is told of six moments, each with the `Run` that it may look at:

```
on_fit_begin                    once, before the first step (of a resumed run: before the first new one)
    on_step_begin               before each batch
    on_gradients                the gradients of the batch are there (clipped, too), the weights not yet changed
    on_step_end                 the weights have changed
    on_epoch_end                after the validation; the epoch's record is the last one in run.history.epochs
on_fit_end                      once, however the run ends: by itself, by Ctrl-C or by an error
```

The progress bar, the history and the checkpoints of the `Trainer` are callbacks themselves. A callback that sets
``run.stopped`` ends the run after the current epoch.
"""

from __future__ import annotations

import time
from typing import Any

from tqdm import tqdm

from ..schedules import ReduceOnPlateau
from .run import Run

BAR_DELAY = 2.0  # seconds: shorter work shows no progress bar


class Callback:
    """Does nothing at each moment; a new callback writes the methods of the moments that it needs.

    >>> class Losses(Callback):
    ...     def __init__(self):
    ...         self.values = []
    ...
    ...     def on_step_end(self, run):
    ...         self.values.append(run.loss)
    """

    def on_fit_begin(self, run: Run) -> None:
        """Before the first step."""

    def on_step_begin(self, run: Run) -> None:
        """Before a batch."""

    def on_gradients(self, run: Run) -> None:
        """Every trainable parameter has its gradient; the optimiser comes next."""

    def on_step_end(self, run: Run) -> None:
        """After the optimiser's step."""

    def on_epoch_end(self, run: Run) -> None:
        """After an epoch and its validation."""

    def on_fit_end(self, run: Run) -> None:
        """After the run; the model has its final weights."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of this callback, for `set_state` in a resumed run: what JSON can hold."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""


class Recorder(Callback):
    """Writes the history: one record an epoch, as `History` describes it."""

    def on_fit_begin(self, run: Run) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, run: Run) -> None:
        val_loss, val_accuracy = run.validation
        now = time.perf_counter()
        run.history.epochs.append(
            {
                "epoch": run.epoch,
                "loss": run.meter.loss,
                "train_accuracy": run.meter.accuracy,
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
                "learning_rate": run.learning_rate,
                "seconds": now - self._started,
            }
        )
        run.history.best_epoch = run.best_epoch
        self._started = now


class TellSchedule(Callback):
    """Tells a schedule that wants to know it, such as `ReduceOnPlateau`, the validation loss of each epoch."""

    def __init__(self, schedule: ReduceOnPlateau):
        self.schedule = schedule

    def on_epoch_end(self, run: Run) -> None:
        self.schedule.after_epoch(run.validation[0])

    def state(self) -> dict[str, Any]:
        return self.schedule.state_dict()

    def set_state(self, state: dict[str, Any]) -> None:
        self.schedule.load_state_dict(state)


class Patience(Callback):
    """Ends the run after so many epochs without a new best one."""

    def __init__(self, epochs: int):
        self.epochs = epochs

    def on_epoch_end(self, run: Run) -> None:
        run.stopped = run.stopped or run.epoch - run.best_epoch >= self.epochs


class ProgressBar(Callback):
    """A bar over all steps of the run, with the loss and accuracy of the current epoch; shown after two seconds."""

    def __init__(self, label: str, show: bool):
        self.label, self.show = label, show

    def on_fit_begin(self, run: Run) -> None:
        self._bar = progress_bar(self.label, run.epochs * run.steps_per_epoch, self.show)
        self._bar.update(run.steps_done)

    def on_step_begin(self, run: Run) -> None:
        self._bar.set_description(f"{self.label} {run.epoch}/{run.epochs}", refresh=False)

    def on_step_end(self, run: Run) -> None:
        self._bar.set_postfix(run.meter.words(), refresh=False)
        self._bar.update()

    def on_fit_end(self, run: Run) -> None:
        self._bar.close()


def progress_bar(label: str, total: int, show: bool) -> tqdm:
    """A bar over so many batches."""
    return tqdm(desc=label, total=total, unit="batch", delay=BAR_DELAY, leave=False, disable=not show)
