"""How long each augmentation takes, beside the training step of the small network for which its pictures are.

Pictures of 32 x 32 in three colours, in batches of BATCH; times are for 1,000 pictures. Augmentation runs in one thread, the
step in as many as there are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minicnn.data.augmentation import CELLS, PHOTOS, Augmentation
from minicnn.data.compose import Compose
from minicnn.data.crops import RandomCrop, RandomResizedCrop
from minicnn.data.cutout import Cutout
from minicnn.data.flips import AlternatingFlip
from minicnn.data.mixing import Mixup
from minicnn.data.pca_jitter import PCAJitter
from minicnn.data.per_sample import PerSampleGenerator
from minicnn.data.preprocessing import Preprocessing
from minicnn.models import cifar_net

from .rows import Settings
from .timing import interleaved
from .workloads import training_call

BATCH, SIZE, CLASSES = 128, 32, 10
STEP = "training step of cifar_net"


def table(settings: Settings) -> list[dict]:
    """A row for the step and for each augmentation: ``what``, ``ms`` for 1,000 pictures, ``share`` of the step's time."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (BATCH, SIZE, SIZE, 3), dtype=np.uint8)
    targets = rng.integers(0, CLASSES, BATCH)
    times = interleaved(calls(pictures, targets), settings.seconds)
    return [{"what": what, "ms": 1000 / BATCH * ms, "share": ms / times[STEP]} for what, ms in times.items()]


def calls(pictures: np.ndarray, targets: np.ndarray) -> dict[str, Callable[[], object]]:
    """What is timed: a training step on a batch, and what happens to the batch before it, the preparation included."""
    prepare = Preprocessing(size=SIZE, mean=127.0, std=64.0).normalise
    x, indices = prepare(pictures), np.arange(len(pictures))
    augmentations = {
        "random flip": Augmentation(horizontal_flip=True),
        "alternating flip": AlternatingFlip(),
        "reflected translation": RandomCrop(pad=4),
        "random resized crop": RandomResizedCrop(),
        "colour jitter": Augmentation(brightness=0.4, contrast=0.4, saturation=0.4),
        "PCA jitter": PCAJitter(pictures),
        "cutout": Cutout(8),
        "alternating flip, translation, cutout": Compose(AlternatingFlip(), RandomCrop(pad=4), Cutout(8)),
        "that of photographs in minicnn transfer": PHOTOS,
        "that of solar cells": CELLS,
    }
    mixup = Mixup(1.0, classes=CLASSES)
    return (
        {STEP: training_call(cifar_net(CLASSES, rng=0), x, targets)}
        | {name: lambda augment=augment: augment(pictures, _drawn(indices)) for name, augment in augmentations.items()}
        | {"mixup": lambda: mixup(x, targets, _drawn(indices)), "preparation: float32, mean, std": lambda: prepare(pictures)}
    )


def _drawn(indices: np.ndarray) -> PerSampleGenerator:
    return PerSampleGenerator(0, 1, indices)
