"""The training loop: batches forward, loss, backward, step; validation after each epoch; the best epoch kept."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..data.per_sample import PerSampleGenerator
from ..errors import TrainingError
from ..layers.base import Layer, Parameter
from ..losses import Loss
from ..optim import GradientAccumulator, Optimizer, clip_gradient_norm
from ..regularizers import Regularizer
from ..schedules import ReduceOnPlateau, Schedule, constant
from .averaging import WeightAverage
from .callbacks import Callback, Patience, ProgressBar, Recorder, TellSchedule, progress_bar
from .checkpoint import Checkpoints, describe
from .checks import check_data, check_no_validation_is_needed, check_regularizer, check_trainable, targets_of
from .diagnosis import first_non_finite, without_overflow_warnings
from .history import History
from .meter import Meter
from .run import Run


class Trainer:
    """Trains a model on one set, watches it on another, and leaves it as it was after its best epoch.

    Parameters
    ----------
    model : Layer
        What is frozen in it stays bit-identical, batch-norm statistics included.
    loss : Loss
    optimizer : Optimizer
        It must have been given all that is trainable in the model.
    epochs : int
        How often to go through the training set, at most.
    batch_size : int
    schedule : callable, optional
        ``schedule(progress) -> factor`` on the optimiser's base rate, see `minicnn.schedules`.
    seed : int
        Decides the order of the samples, the augmentation and dropout. The same seed, data and initial weights give the same
        run to the bit.
    prepare : callable, optional
        Turns ``x[indices]`` into what the model takes (normalises it, say, or reads pictures by their number).
    augment : callable, optional
        ``augment(x[indices], rng)``, before ``prepare``, on training batches only. rng is a
        `minicnn.data.PerSampleGenerator`: what a sample gets depends on the seed, the epoch and the sample, and not on the
        batch that it is in.
    mix : callable, optional
        ``mix(batch, targets, rng) -> batch, targets``, after ``prepare``, on training batches only, as `minicnn.data.Mixup`
        does.
    patience : int, optional
        Stop after this many epochs without a new best one. Needs a validation set.
    average : float
        Decay of an exponential average of the weights (`minicnn.training.averaging`), which is what is validated and kept;
        0, the default, keeps the weights themselves.
    monitor : "accuracy" or "loss"
        What decides on the validation set which epoch is the best; where it is equal, the other decides. With a few hundred
        validation pictures the loss tells more: accuracy changes only when a picture changes sides, and much of that is chance.
    accumulate : int
        Compute the gradient of each batch in so many parts, one after the other: the same gradient (but for batch norm, which
        sees the parts), and a fraction of the memory.
    clip : float, optional
        Largest norm of the gradient of all parameters together; a longer one is shortened to it
        (`minicnn.optim.clip_gradient_norm`).
    regularizer : Regularizer, optional
        A penalty on weights or a constraint (`minicnn.regularizers`), of parameters of this model. Losses are reported
        without it.
    callbacks : sequence of Callback
        What else happens at fixed moments of the run, see `minicnn.training.callbacks`.
    checkpoint : path or Checkpoints, optional
        A folder to which the whole state of the run is written now and then, see `minicnn.training.checkpoint`.
    resume : bool
        Go on from the newest checkpoint in that folder. The resumed run ends as the unbroken one would have, to the bit. Where
        there is none yet, the run begins.
    progress : bool
        Whether to show a bar, if the work takes more than two seconds.
    label : str
        What the progress bar and messages call this run.

    Attributes
    ----------
    history : History
        The record of the latest `fit`, also when it ended in an error.

    Raises
    ------
    ValueError
        ``epochs``, ``batch_size``, ``patience`` or ``accumulate`` below 1; ``average`` or ``clip`` out of range; another
        ``monitor``.

    >>> from minicnn.layers import Linear
    >>> from minicnn.losses import SoftmaxCrossEntropy
    >>> from minicnn.optim import SGD
    >>> model = Linear(1, 2, rng=0)
    >>> x, y = np.linspace(-1, 1, 40, dtype=np.float32)[:, None], np.repeat([0, 1], 20)
    >>> trainer = Trainer(model, SoftmaxCrossEntropy(), SGD(model.parameters(), 1.0), epochs=40)
    >>> trainer.fit(x, y).epochs[-1]["train_accuracy"]
    1.0
    """

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        optimizer: Optimizer,
        *,
        epochs: int,
        batch_size: int = 32,
        schedule: Schedule | None = None,
        seed: int = 0,
        prepare: Callable[[Any], np.ndarray] | None = None,
        augment: Callable[[Any, PerSampleGenerator], Any] | None = None,
        mix: Callable[[np.ndarray, np.ndarray, PerSampleGenerator], tuple[np.ndarray, np.ndarray]] | None = None,
        patience: int | None = None,
        average: float = 0.0,
        monitor: str = "accuracy",
        accumulate: int = 1,
        clip: float | None = None,
        regularizer: Regularizer | None = None,
        callbacks: Sequence[Callback] = (),
        checkpoint: str | os.PathLike | Checkpoints | None = None,
        resume: bool = False,
        progress: bool = True,
        label: str = "training",
    ):
        counts = {"epochs": epochs, "batch_size": batch_size, "patience": patience, "accumulate": accumulate}
        for name, value in counts.items():
            if value is not None and value < 1:
                raise ValueError(f"Trainer: {name} must be at least 1, got {value}")
        if not 0 <= average < 1:
            raise ValueError(f"Trainer: average is the decay of an average of weights, 0 (none) to below 1, got {average}")
        if monitor not in ("accuracy", "loss"):
            raise ValueError(f"Trainer: monitor is 'accuracy' or 'loss', got {monitor!r}")
        if clip is not None and not 0 < clip < math.inf:
            raise ValueError(f"Trainer: clip is the largest norm of a gradient, a number above 0, got {clip}")
        if resume and checkpoint is None:
            raise ValueError("Trainer: resume=True goes on from a checkpoint; say in which folder, checkpoint=FOLDER")
        self.model, self.loss, self.optimizer, self.monitor, self.average = model, loss, optimizer, monitor, average
        self.epochs, self.batch_size, self.patience, self.seed = epochs, batch_size, patience, seed
        self.accumulate, self.clip, self.regularizer = accumulate, clip, regularizer
        self.schedule = schedule or constant()
        self.prepare = prepare or (lambda x: x)
        self.augment = augment or (lambda x, rng: x)
        self.mix = mix or (lambda batch, targets, rng: (batch, targets))
        self.callbacks = tuple(callbacks)
        is_folder = isinstance(checkpoint, (str, os.PathLike))
        self.checkpoint, self.resume = Checkpoints(checkpoint) if is_folder else checkpoint, resume
        self.progress, self.label = progress, label
        self.history = History()

    # ---- training, predicting, evaluating

    def fit(self, x: Sequence, y: Sequence, x_val: Sequence | None = None, y_val: Sequence | None = None) -> History:
        """Train; at the end the model holds the best epoch's weights and running statistics, in eval mode, without gradients.

        The best epoch is the one with the highest validation accuracy and, among equals, the lowest validation loss; or the
        other way round (``monitor``). Without class labels the loss alone decides; without a validation set the last epoch is
        the best.

        Ctrl-C ends the run: the model is given the best of the finished epochs, and the history says ``interrupted``. Whatever
        else goes wrong, the model is left in that same state.

        A last batch that is smaller than the others is used like them, unless it is a single sample and batch normalisation is
        being trained: one sample has no variance. (In each epoch the samples are in a new order, so that another one is left
        out.)

        Parameters
        ----------
        x, x_val : anything with a length that gives a batch for an array of indices
            An array, a memory map, or an array of numbers that ``prepare`` turns into pictures.
        y, y_val : targets, as many
            Integer class labels (N,), or whatever the loss takes.

        Raises
        ------
        ValueError
            Empty sets, unequal lengths, nothing to train, an optimiser that was made for other parameters, read-only arrays.
        TrainingError
            The loss, or a weight, is no longer a finite number: the message says where it happened first. A checkpoint that
            cannot be gone on from, or one that is there and ``resume`` is False.
        """
        y, y_val = check_data(x, y, x_val, y_val)
        if x_val is None:
            check_no_validation_is_needed(self.patience, self.schedule)
        check_trainable(self.model, self.optimizer)
        if self.regularizer:
            check_regularizer(self.model, self.regularizer)
        run = self._begin(x)
        callbacks = self._all_callbacks()
        if self.checkpoint:
            self.checkpoint.begin(run, callbacks, self._settings(x, y, x_val, y_val), self.resume)
            callbacks.append(self.checkpoint)
        try:
            _tell(callbacks, "on_fit_begin", run)
            with without_overflow_warnings():
                while not run.finished:
                    self._train_epoch(run, x, y, callbacks)
                    self._validate(run, x_val, y_val)
                    _tell(callbacks, "on_epoch_end", run)
                    run.next_epoch()
        except KeyboardInterrupt:
            run.history.interrupted = True
        finally:
            run.restore_best()
            _tell(callbacks, "on_fit_end", run)
        if run.history.interrupted:
            done = f"{len(run.history.epochs)} of {self.epochs} epochs"
            print(f"{self.label}: stopped by Ctrl-C after {done}; the model {run.history.what_is_kept()}", file=sys.stderr)
        return run.history

    def decision_function(self, x: Sequence) -> np.ndarray:
        """Scores of all samples, in order, computed in eval mode and in batches: (N, ...)."""
        return np.concatenate([scores for _, _, scores in self._scores(x, show=self.progress)])

    def evaluate(self, x: Sequence, y: Sequence) -> tuple[float, float | None]:
        """Mean loss and accuracy (a fraction; None where the targets are not integer labels), in eval mode."""
        return self._evaluate(x, targets_of(x, y, "x", "y"), "in the evaluation", show=self.progress)

    # ---- a run

    def _begin(self, x: Sequence) -> Run:
        """A run before its first step."""
        order_rng, layers_rng = np.random.default_rng(self.seed).spawn(2)
        self.model.seed(layers_rng)
        self.history = History()
        return Run(
            self.model,
            self.optimizer,
            epochs=self.epochs,
            steps_per_epoch=len(self._batches(np.arange(len(x)), training=True)),
            order_rng=order_rng,
            regularizer=self.regularizer,
            average=WeightAverage(self.model, self.average) if self.average else None,
            history=self.history,
        )

    def _all_callbacks(self) -> list[Callback]:
        """In the order in which they are told: the record of an epoch is there before others look at it."""
        patience = [Patience(self.patience)] if self.patience else []
        watched = [TellSchedule(self.schedule)] if isinstance(self.schedule, ReduceOnPlateau) else []
        return [Recorder(), *watched, *patience, *self.callbacks, ProgressBar(self.label, self.progress)]

    def _settings(self, x: Sequence, y: np.ndarray, x_val: Sequence | None, y_val: np.ndarray | None) -> dict[str, Any]:
        """What a run is begun with and a resumed one must have too; of functions, only what schedules give can be compared."""
        names = ("epochs", "batch_size", "seed", "patience", "average", "monitor", "accumulate", "clip")
        settings = {name: getattr(self, name) for name in names}
        settings["the loss"] = type(self.loss).__name__
        settings["the optimiser"] = type(self.optimizer).__name__
        settings["the regularizer"] = type(self.regularizer).__name__ if self.regularizer else "none"
        settings |= describe(self.model, x, y, self.prepare)
        if x_val is not None:
            settings["the number of validation samples"] = len(x_val)
        return settings

    def _train_epoch(self, run: Run, x, y, callbacks: list[Callback]) -> None:
        self.model.train()
        self.model.needs_dx = False  # the gradient with respect to the pictures is not used
        batches = self._batches(run.draw_order(len(x)), training=True)
        _announce(x, batches[run.step :])
        for indices in batches[run.step :]:
            _tell(callbacks, "on_step_begin", run)
            self._compute_gradients(run, x, y, indices)
            _tell(callbacks, "on_gradients", run)
            factor = self.schedule(run.progress)
            self.optimizer.step(factor)
            if self.regularizer:
                self.regularizer.apply()
            if run.average:
                run.average.update()
            run.learning_rate = self.optimizer.learning_rate * factor
            run.step += 1
            _tell(callbacks, "on_step_end", run)
        # weights that a step has made infinite show in the loss of the next step; after the last step there is none
        if not all(np.isfinite(parameter.value).all() for parameter in self._trainable().values()):
            last = self.prepare(x[batches[-1]])
            raise self._not_finite(last, f"after the last step of epoch {run.epoch}", run.loss)

    def _compute_gradients(self, run: Run, x, y, indices: np.ndarray) -> None:
        """Forward, loss and backward for one batch, in parts: the gradient is the mean of theirs, weighted by their sizes."""
        parts = np.array_split(indices, min(self.accumulate, len(indices)))
        gradients = GradientAccumulator(self.model.parameters())
        run.loss = 0.0
        for part in parts:
            rng = PerSampleGenerator(self.seed, run.epoch, part)
            batch, targets = self.mix(self.prepare(self.augment(x[part], rng)), y[part], rng)
            scores = self.model.forward(batch)
            loss = self.loss.forward(scores, targets)
            if not math.isfinite(loss):
                raise self._not_finite(batch, f"in epoch {run.epoch}, step {run.step + 1} of {run.steps_per_epoch}", loss)
            self.model.backward(self.loss.backward())
            run.loss += len(part) / len(indices) * loss
            run.meter.add(loss, scores, self.loss.labels(targets))
            if len(parts) > 1:
                gradients.add(len(part))
        if len(parts) > 1:
            gradients.assign_mean()
        if self.regularizer:
            self.regularizer.add_gradients()
        if self.clip is not None:
            clip_gradient_norm(self.model.parameters(), self.clip)

    def _validate(self, run: Run, x_val, y_val) -> None:
        """Loss and accuracy of the averaged weights, if there is an average; and whether they are the best so far."""
        run.validation, score = (None, None), (run.epoch,)
        with run.averaged():
            if x_val is not None:
                where = f"in the validation after epoch {run.epoch}"
                run.validation = loss, accuracy = self._evaluate(x_val, y_val, where)
                score = (accuracy or 0.0, -loss) if self.monitor == "accuracy" else (-loss, accuracy or 0.0)
            run.keep_if_best(score)

    def _batches(self, order: np.ndarray, training: bool) -> list[np.ndarray]:
        """Indices of each batch, ascending: a memory map is read forwards, and HDF5 takes no others."""
        batches = [np.sort(order[i : i + self.batch_size]) for i in range(0, len(order), self.batch_size)]
        if training and len(batches) > 1 and len(batches[-1]) == 1 < self.batch_size and self._trains_statistics():
            batches.pop()
        return batches

    def _trains_statistics(self) -> bool:
        """Whether there is a layer, such as a batch norm, that computes statistics of the batches."""
        layers = [layer for _, layer in self.model.walk() if not layer.children()]
        return any(layer.state() and layer.trainable and not getattr(layer, "frozen_statistics", False) for layer in layers)

    # ---- evaluation

    def _evaluate(self, x, y, where: str, show: bool = False) -> tuple[float, float | None]:
        meter = Meter()
        for indices, batch, scores in self._scores(x, show):
            loss = self.loss.forward(scores, y[indices])
            if not math.isfinite(loss):
                raise self._not_finite(batch, where, loss)
            meter.add(loss, scores, self.loss.labels(y[indices]))
        return meter.loss, meter.accuracy

    def _scores(self, x, show: bool) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Indices, prepared batch and scores, batch by batch."""
        if len(x) == 0:
            raise ValueError("there are no samples to compute scores of: x is empty")
        self.model.eval()
        batches = self._batches(np.arange(len(x)), training=False)
        _announce(x, batches)
        with progress_bar(f"{self.label}: evaluating", len(batches), show) as bar:
            for indices in batches:
                batch = self.prepare(x[indices])
                yield indices, batch, self.model.forward(batch)
                bar.update()

    def _trainable(self) -> dict[str, Parameter]:
        return {name: parameter for name, parameter in self.model.parameters().items() if parameter.trainable}

    # ---- what can go wrong

    def _not_finite(self, batch: np.ndarray, where: str, loss: float) -> TrainingError:
        """The error to raise: it says when it happened, in which layer first, and what to do."""
        if np.isfinite(batch).all():
            place = first_non_finite(self.model, batch) or f"the loss ({loss}), after layers that are all finite"
            rate = self.optimizer.learning_rate
            advice = f"Most often the learning rate is too high: it is {rate:g}; try {rate / 10:g}."
        else:
            place = "the batch itself, before the first layer"
            advice = "Look at the samples, and at what prepare and augment do to them."
        return TrainingError(
            f"{self.label} broke down {where}: the first thing not to be a finite number is {place}. {advice} "
            f"The model {self.history.what_is_kept()}."
        )


def _tell(callbacks: Sequence[Callback], moment: str, run: Run) -> None:
    for callback in callbacks:
        getattr(callback, moment)(run)


def _announce(x: Sequence, batches: list[np.ndarray]) -> None:
    """Tell data that is read on demand (`minicnn.data.PictureStream`) what will be asked for, in this order."""
    if hasattr(x, "read_ahead") and batches:
        x.read_ahead(np.concatenate(batches))
