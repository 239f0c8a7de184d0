"""Fine-tuning in an experiment: a new head together with the upper layers, then with more layers, then on larger pictures.

Each of the first two phases is a strategy of its own. The third, which only the full mode has, ends the second strategy: it
learns from the validation pictures too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from ..data.selection import Selection
from ..inference.batches import infer
from ..linear_model.base import balanced_weights
from ..losses import SoftmaxCrossEntropy
from ..models.model import Model
from ..training import History
from ..transfer.feature_bank import FeatureBank, build_feature_bank
from ..transfer.finetune import Phase, fine_tune
from ..transfer.metrics import confusion_matrix
from ..transfer.strategies import STRATEGIES
from ..transfer.surgery import UPPER_FROZEN, freeze_point
from .task import TrainedRun, TransferTask


def train_layers(
    task: TransferTask, parts: Mapping[str, np.ndarray], seed: int, log: Callable[[str], None]
) -> Iterator[TrainedRun]:
    """Train a new head with the upper layers, and then, starting from there, with more layers: a run for each strategy.

    Parameters
    ----------
    task : TransferTask
    parts : mapping
        Indices of the pictures in "train", "val" and "test".
    seed : int
        Of the new head, the augmentation and the order of the pictures.
    log : function
        Is called with each line that there is to say.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, once the phase that it ended has been handed out, if that had an epoch.
    """
    train, val, test = (parts[part] for part in ("train", "val", "test"))
    model = task.model.copy()
    model.replace_head(task.pictures.classes, rng=seed)
    if task.preset.test_time_views:
        model.preprocessing = replace(model.preprocessing, symmetry=task.augmentation.symmetry)
    x_train, x_val = (Selection(task.fitted_for(model), rows) for rows in (train, val))
    y_train, y_val = task.pictures.targets[train], task.pictures.labels[val]
    options = {"augmentation": task.augmentation, "seed": seed, "progress": task.settings.progress}

    phases = _phases(task, model)
    started = time.perf_counter()
    bank = _bank_for(list(phases.values()), model, x_train, x_val, options)
    seconds = time.perf_counter() - started

    phase_records: list[dict] = []
    for strategy, phase in phases.items():
        started = time.perf_counter()
        loss = _loss(task, phase, train)
        folder = task.checkpoints / f"seed-{seed}-{strategy}"
        learned = (x_train, y_train), (x_val, y_val)
        history = fine_tune(model, phase, *learned, **options, bank=bank, loss=loss, checkpoint=folder)
        seconds += time.perf_counter() - started
        phase_records.append(phase.record(history))
        if strategy in task.settings.strategies and history.best:
            validated = _validated(task, model, x_val, y_val, history)
            if strategy == "finetune-more" and task.preset.final and not history.interrupted:
                started = time.perf_counter()
                final, history = _train_finally(task, model, phase.freeze_until, parts, seed, log)
                phase_records.append(final.record(history))
                seconds += time.perf_counter() - started
            record = {**validated, "seconds": seconds, "phases": list(phase_records)}
            test_scores = _scores(task, model, Selection(task.fitted_for(model), test), "test")
            yield TrainedRun(strategy, model.copy(), test_scores, record)
        if history.interrupted:
            raise KeyboardInterrupt


def _phases(task: TransferTask, model: Model) -> dict[str, Phase]:
    """The phases by strategy: "finetune-more" begins with that of "finetune-upper", asked for or not."""
    stages = {
        "finetune-upper": (task.preset.upper, UPPER_FROZEN),
        "finetune-more": (task.preset.more, task.preset.frozen),
    }
    if "finetune-more" not in task.settings.strategies:
        del stages["finetune-more"]
    return {
        strategy: Phase(
            STRATEGIES[strategy],
            freeze_until=freeze_point(model, frozen),
            epochs=task.settings.epochs or stage.epochs,
            learning_rate=stage.learning_rate,
            views=stage.views,
        )
        for strategy, (stage, frozen) in stages.items()
    }


def _bank_for(phases: list[Phase], model: Model, x_train: Selection, x_val: Selection, options: dict) -> FeatureBank | None:
    """One feature bank for all phases that have views, at the layer up to which the last one is frozen; None if none has."""
    banked = [phase for phase in phases if phase.views]
    if not banked:
        return None
    return build_feature_bank(model, banked[-1].freeze_until, max(phase.views for phase in banked), x_train, x_val, **options)


def _loss(task: TransferTask, phase: Phase, train: np.ndarray) -> SoftmaxCrossEntropy:
    """With ``balance``, small classes count more."""
    counts = np.bincount(task.pictures.labels[train], minlength=len(task.pictures.classes))
    return SoftmaxCrossEntropy(phase.label_smoothing, balanced_weights(counts) if task.settings.balance else None)


def _validated(task: TransferTask, model: Model, x_val: Selection, y_val: np.ndarray, history: History) -> dict:
    """How well the network does on the validation pictures: what the results hold of it.

    The history's accuracy is of one view of each picture, and knows no classes.
    """
    accuracy = history.best["val_accuracy"]
    if not task.preset.test_time_views and not task.is_uneven:
        return {"val_accuracy": accuracy}
    predicted = _scores(task, model, x_val, "validation").argmax(1)
    record = {"val_accuracy": float(np.mean(predicted == y_val))}
    if task.is_uneven:
        record["val_confusion"] = confusion_matrix(y_val, predicted, len(task.pictures.classes)).tolist()
    return record


def _train_finally(
    task: TransferTask,
    model: Model,
    freeze_until: str,
    parts: Mapping[str, np.ndarray],
    seed: int,
    log: Callable[[str], None],
) -> tuple[Phase, History]:
    """Train further, on training and validation pictures together and at a larger size, which the model then keeps."""
    epochs, learning_rate, scale = task.preset.final
    title, larger = "on validation pictures too", model.preprocessing.scaled(scale)
    if _accepts(model, larger.size):
        model.preprocessing, model.input_shape = larger, (model.input_shape[0], *larger.size)
        title += ", {}x{}".format(*larger.size)
    else:
        log(f"{model.architecture} takes pictures of one size only: they stay as they are in the last phase")
    phase = Phase(title, freeze_until, task.settings.epochs or epochs, learning_rate, views=0)
    learning = np.r_[parts["train"], parts["val"]]
    pictures = Selection(task.fitted_for(model), learning), task.pictures.targets[learning]
    options = {"seed": seed, "progress": task.settings.progress, "loss": _loss(task, phase, parts["train"])}
    options["checkpoint"] = task.checkpoints / f"seed-{seed}-final"
    return phase, fine_tune(model, phase, pictures, None, task.augmentation, **options)


def _accepts(model: Model, size: tuple[int, int]) -> bool:
    """Whether the network gives scores for pictures of this size as well; with a Flatten in it, it does not."""
    try:
        return len(model.output_shape((1, model.input_shape[0], *size))) == 2
    except ValueError:
        return False


def _scores(task: TransferTask, model: Model, pictures: Selection, label: str) -> np.ndarray:
    """The network's scores (N, classes) of pictures as ``PictureSet.fitted`` gives them."""
    network, preprocessing = model.fuse(), model.preprocessing
    return infer(
        network,
        len(pictures),
        lambda i: preprocessing.normalise(pictures[i]),
        label=label if task.settings.progress else None,
        views=preprocessing.test_time_views,
    )
