"""The training loop: batches forward, loss, backward, step; validation after each epoch; the best epoch kept."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from tqdm import tqdm

from ..errors import TrainingError
from ..layers.base import Layer, Parameter
from ..losses import Loss
from ..optim import Optimizer
from ..schedules import Schedule, constant
from .averaging import WeightAverage, trained_arrays
from .diagnosis import first_non_finite, without_overflow_warnings
from .history import History
from .meter import Meter

BAR_DELAY = 2.0  # seconds: shorter work shows no progress bar


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
        ``augment(x[indices], rng)``, before ``prepare``, on training batches only.
    patience : int, optional
        Stop after this many epochs without a new best one. Needs a validation set.
    average : float
        Decay of an exponential average of the weights (`minicnn.training.averaging`), which is what is validated and kept;
        0, the default, keeps the weights themselves.
    monitor : "accuracy" or "loss"
        What decides on the validation set which epoch is the best; where it is equal, the other decides. With a few hundred
        validation pictures the loss tells more: accuracy changes only when a picture changes sides, and much of that is chance.
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
        ``epochs``, ``batch_size`` or ``patience`` below 1; an ``average`` out of range; another ``monitor``.

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
        augment: Callable[[Any, np.random.Generator], Any] | None = None,
        patience: int | None = None,
        average: float = 0.0,
        monitor: str = "accuracy",
        progress: bool = True,
        label: str = "training",
    ):
        for name, value in {"epochs": epochs, "batch_size": batch_size, "patience": patience}.items():
            if value is not None and value < 1:
                raise ValueError(f"Trainer: {name} must be at least 1, got {value}")
        if not 0 <= average < 1:
            raise ValueError(f"Trainer: average is the decay of an average of weights, 0 (none) to below 1, got {average}")
        if monitor not in ("accuracy", "loss"):
            raise ValueError(f"Trainer: monitor is 'accuracy' or 'loss', got {monitor!r}")
        self.model, self.loss, self.optimizer, self.monitor, self.average = model, loss, optimizer, monitor, average
        self.epochs, self.batch_size, self.patience, self.seed = epochs, batch_size, patience, seed
        self.schedule = schedule or constant()
        self.prepare = prepare or (lambda x: x)
        self.augment = augment or (lambda x, rng: x)
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
            The loss, or a weight, is no longer a finite number. The message says where it happened first.
        """
        y, y_val = self._check(x, y, x_val, y_val)
        order_rng, augment_rng, layers_rng = np.random.default_rng(self.seed).spawn(3)
        self.model.seed(layers_rng)
        history = self.history = History()
        best, best_score = self._snapshot(), None
        average = WeightAverage(self.model, self.average) if self.average else None
        bar = self._bar(self.label, self.epochs * len(self._batches(np.arange(len(x)), training=True)), self.progress)
        try:
            with bar, without_overflow_warnings():
                for epoch in range(1, self.epochs + 1):
                    started = time.perf_counter()
                    meter, learning_rate = self._train_epoch(epoch, x, y, order_rng, augment_rng, average, bar)
                    val_loss, val_accuracy, score = None, None, (epoch,)
                    with average.in_place() if average else nullcontext():
                        if x_val is not None:
                            val_loss, val_accuracy = self._evaluate(x_val, y_val, f"in the validation after epoch {epoch}")
                            score = (val_accuracy or 0.0, -val_loss)
                            score = score[::-1] if self.monitor == "loss" else score
                        is_best = best_score is None or score > best_score
                        if is_best:
                            best, best_score = self._snapshot(), score
                    history.epochs.append(
                        {
                            "epoch": epoch,
                            "loss": meter.loss,
                            "train_accuracy": meter.accuracy,
                            "val_loss": val_loss,
                            "val_accuracy": val_accuracy,
                            "learning_rate": learning_rate,
                            "seconds": time.perf_counter() - started,
                        }
                    )
                    if is_best:
                        history.best_epoch = epoch
                    if self.patience and epoch - history.best_epoch >= self.patience:
                        break
        except KeyboardInterrupt:
            history.interrupted = True
        finally:
            self._restore(best)
        if history.interrupted:
            done = f"{len(history.epochs)} of {self.epochs} epochs"
            print(f"{self.label}: stopped by Ctrl-C after {done}; the model {self._what_is_kept()}", file=sys.stderr)
        return history

    def decision_function(self, x: Sequence) -> np.ndarray:
        """Scores of all samples, in order, computed in eval mode and in batches: (N, ...)."""
        return np.concatenate([scores for _, _, scores in self._scores(x, show=self.progress)])

    def evaluate(self, x: Sequence, y: Sequence) -> tuple[float, float | None]:
        """Mean loss and accuracy (a fraction; None where the targets are not integer labels), in eval mode."""
        return self._evaluate(x, _targets(x, y, "x", "y"), "in the evaluation", show=self.progress)

    # ---- one epoch

    def _train_epoch(
        self, epoch: int, x, y, order_rng, augment_rng, average: WeightAverage | None, bar: tqdm
    ) -> tuple[Meter, float]:
        """Loss and accuracy over the batches, and the learning rate of the last step."""
        bar.set_description(f"{self.label} {epoch}/{self.epochs}", refresh=False)
        self.model.train()
        self.model.needs_dx = False  # the gradient with respect to the pictures is not used
        batches = self._batches(order_rng.permutation(len(x)), training=True)
        meter = Meter()
        for step, indices in enumerate(batches):
            batch = self.prepare(self.augment(x[indices], augment_rng))
            scores = self.model.forward(batch)
            loss = self.loss.forward(scores, y[indices])
            if not math.isfinite(loss):
                raise self._not_finite(batch, f"in epoch {epoch}, step {step + 1} of {len(batches)}", loss)
            self.model.backward(self.loss.backward())
            factor = self.schedule(((epoch - 1) * len(batches) + step + 0.5) / (self.epochs * len(batches)))
            self.optimizer.step(factor)
            if average:
                average.update()
            meter.add(loss, scores, self.loss.labels(y[indices]))
            bar.set_postfix(meter.words(), refresh=False)
            bar.update()
        # weights that a step has made infinite show in the loss of the next step; after the last step there is none
        if not all(np.isfinite(parameter.value).all() for parameter in self._trainable().values()):
            raise self._not_finite(batch, f"after the last step of epoch {epoch}", loss)
        return meter, self.optimizer.learning_rate * factor

    def _batches(self, order: np.ndarray, training: bool) -> list[np.ndarray]:
        """Indices of each batch, ascending: a memory map is read forwards, and HDF5 takes no others."""
        batches = [np.sort(order[i : i + self.batch_size]) for i in range(0, len(order), self.batch_size)]
        if training and len(batches) > 1 and len(batches[-1]) == 1 < self.batch_size and self._trains_statistics():
            batches.pop()
        return batches

    def _trains_statistics(self) -> bool:
        """Whether there is a layer with statistics of the batches, such as a batch norm, that is trained."""
        return any(layer.state() and layer.trainable for _, layer in self.model.walk() if not layer.children())

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
        with self._bar(f"{self.label}: evaluating", len(batches), show) as bar:
            for indices in batches:
                batch = self.prepare(x[indices])
                yield indices, batch, self.model.forward(batch)
                bar.update()

    def _bar(self, label: str, total: int, show: bool) -> tqdm:
        return tqdm(desc=label, total=total, unit="batch", delay=BAR_DELAY, leave=False, disable=not show)

    # ---- what is kept

    def _trainable(self) -> dict[str, Parameter]:
        return {name: parameter for name, parameter in self.model.parameters().items() if parameter.trainable}

    def _snapshot(self) -> dict[str, np.ndarray]:
        """Copies of what training changes: trainable parameters, and state."""
        return {name: array.copy() for name, array in trained_arrays(self.model).items()}

    def _restore(self, kept: dict[str, np.ndarray]) -> None:
        """Write the copies back into the arrays they were taken from, which others may share, and end train mode."""
        arrays = {name: parameter.value for name, parameter in self.model.parameters().items()} | self.model.state()
        for name, array in kept.items():
            np.copyto(arrays[name], array)
        for parameter in self.model.parameters().values():
            parameter.grad = None
        self.model.eval()

    def _what_is_kept(self) -> str:
        best = self.history.best
        if best is None:
            return "is as it was before training"
        accuracy = best["val_accuracy"]
        return f"keeps epoch {best['epoch']}" + (f" (validation accuracy {accuracy:.1%})" if accuracy is not None else "")

    # ---- what can go wrong

    def _check(self, x, y, x_val, y_val) -> tuple[np.ndarray, np.ndarray | None]:
        if (x_val is None) != (y_val is None):
            raise ValueError("validation needs both x_val and y_val, got only one of them")
        if self.patience and x_val is None:
            raise ValueError(f"patience={self.patience} waits for a better validation: give x_val and y_val, or no patience")
        optimised = {id(parameter) for parameter in self.optimizer.parameters.values()}
        trainable = self._trainable()
        if not trainable:
            raise ValueError(f"nothing in {self.model} is trainable: unfreeze() some of it, or put a new head on top")
        missing = [name for name, parameter in trainable.items() if id(parameter) not in optimised]
        if missing:
            names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise ValueError(
                f"the optimiser was not given {len(missing)} of the model's {len(trainable)} trainable parameters ({names}); "
                "make it from model.parameters() after the last change of layers, and freeze what is not to be trained"
            )
        read_only = [name for name, array in trained_arrays(self.model).items() if not array.flags.writeable]
        if read_only:
            names = ", ".join(read_only[:3]) + (", ..." if len(read_only) > 3 else "")
            raise ValueError(
                f"training changes arrays in place, and {len(read_only)} of the model's are read-only ({names}): of a file "
                "opened for reading, or another's memory. Give the model copies of them"
            )
        return _targets(x, y, "x", "y"), None if x_val is None else _targets(x_val, y_val, "x_val", "y_val")

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
            f"The model {self._what_is_kept()}."
        )


def _targets(x: Sequence, y: Sequence, x_name: str, y_name: str) -> np.ndarray:
    """y as an array, if it fits x."""
    y = np.asarray(y)
    if len(x) == 0:
        raise ValueError(f"{x_name} is empty; at least one sample is needed")
    if y.shape[:1] != (len(x),):
        raise ValueError(f"each sample needs one target: {x_name} holds {len(x)} samples, {y_name} has shape {y.shape}")
    return y
