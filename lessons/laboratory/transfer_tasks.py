"""Tasks of `minicnn transfer` made of pictures in memory, so that experiments carry out what users get."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from strategies import Part

from minicnn.data import Augmentation
from minicnn.data.picture_set import PictureSet
from minicnn.experiment import fine_tuning, linear_classifiers, presets, task, ways
from minicnn.experiment.presets import Settings
from minicnn.experiment.task import TransferTask
from minicnn.linear_model import calibration, selection
from minicnn.models.model import Model
from minicnn.transfer import extract_features, finetune, similarity, weight_averages
from minicnn.transfer.learning_rates import parameters_of
from minicnn.transfer.surgery import default_layer, with_new_head

# what decides how a task is carried out; see `pieces.digest_of`
CODE = (fine_tuning, linear_classifiers, presets, task, ways, calibration, selection, finetune, similarity, weight_averages)


class InMemory:
    """The source of a picture that is there already, and is not read."""

    def __init__(self, name: str):
        self.name = name

    def read(self) -> bytes:
        raise RuntimeError(f"picture {self.name} is in memory, and nothing should read it")

    head = read


def transfer_task(
    model: Model,
    learning: Part,
    test: Part,
    classes: Sequence[str],
    augmentation: Augmentation,
    strategies: Sequence[str],
    folder: Path,
) -> TransferTask:
    """The task of taking a pretrained network to pictures, with its codes; ``folder`` is for checkpoints."""
    layer, x = default_layer(model), np.concatenate([learning[0], test[0]])
    labels, number = np.concatenate([learning[1], test[1]]), len(learning[1])
    splits = {"train": np.arange(number), "test": np.arange(number, len(labels))}
    sources = [InMemory(str(row)) for row in range(len(labels))]
    started = time.perf_counter()
    codes = extract_features(model, x, layer, progress=False)
    return TransferTask(
        settings=Settings("pictures in memory", strategies=tuple(strategies), out=folder, progress=False),
        pictures=PictureSet("pictures in memory", list(classes), labels, sources, splits=splits),
        model=with_new_head(model, layer, list(classes)),
        parameters=parameters_of(model),
        codes=codes,
        codes_seconds=time.perf_counter() - started,
        fitted={model.preprocessing.size: x},
        augmentation=augmentation,
        is_uneven=False,
        positive=None,
    )
