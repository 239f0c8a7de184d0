"""The five strategies with a real network on real pictures: EfficientNet-Lite0, trained on ImageNet, at a reduced size."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from small_nets import Recipe, accuracy, train
from strategies import linear_by_depth

from minicnn import load
from minicnn.course.workbench import find_data
from minicnn.data import Augmentation, Preprocessing, open_pictures, solar_cells, stratified_split
from minicnn.data.folders import PictureSet
from minicnn.layers import BatchNorm2d
from minicnn.models.efficientnet import efficientnet_lite0
from minicnn.transfer.surgery import freeze_points

NETWORK = "efficientnet_lite0"
LAYERS = ("block1", "block4", "block7", "block10", "block15", "pool")
SOLAR_CELLS = "solar cells"  # any other name is that of a zip file
TEST_FRACTION = 0.25  # where a collection has no test part of its own


@dataclass(frozen=True)
class RealTarget:
    """A collection of pictures, shrunk to ``side`` x ``side``; ``most``: how many of them at most, for a quick trial."""

    data: str
    side: int
    most: int | None = None

    def open(self) -> PictureSet:
        pictures = solar_cells() if self.data == SOLAR_CELLS else open_pictures(find_data(self.data))
        if self.most and len(pictures) > self.most:
            share = self.most / len(pictures)
            pictures = pictures.subset(stratified_split(pictures.labels, fractions={"kept": share, "rest": 1 - share})["kept"])
        return pictures

    @property
    def augmentation(self) -> Augmentation:
        """A cell may lie either way round and its defects reach the edge; of a photo, a window shows the same thing."""
        if self.data == SOLAR_CELLS:
            return Augmentation(horizontal_flip=True, vertical_flip=True, shift=0.02, brightness=0.1, contrast=0.1)
        return Augmentation(horizontal_flip=True, min_scale=0.7, brightness=0.2, contrast=0.2)

    def preprocessing(self, usual: Preprocessing) -> Preprocessing:
        """The network's own, at the reduced size; cells are square, and shrunk as a whole."""
        if self.data == SOLAR_CELLS:
            return replace(usual, size=self.side, resize=None, fit="stretch")
        short = None if usual.resize is None else round(usual.resize * self.side / usual.size[0])
        return replace(usual, size=self.side, resize=short)

    def parts(
        self, preprocessing: Preprocessing, seed: int
    ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """(x, y) for training and for testing; the test part is the collection's own, or drawn by the seed."""
        x, pictures = self.open().fitted(preprocessing, progress=False)
        if pictures.splits and "test" in pictures.splits:
            rows = pictures.splits["train"], pictures.splits["test"]
        else:
            fractions = {"train": 1 - TEST_FRACTION, "test": TEST_FRACTION}
            rows = stratified_split(pictures.labels, pictures.groups, fractions, seed).values()
        return tuple((x[part], pictures.labels[part]) for part in rows)


def real_linear(target: RealTarget, folds: int, seed: int) -> dict:
    """Both strategies that train no more than a classifier (a `Piece`); see `linear_by_depth`."""
    model = load(NETWORK)
    model.preprocessing = target.preprocessing(model.preprocessing)
    (x, y), test_part = target.parts(model.preprocessing, seed)
    described = {"classes": target.open().classes, "pictures_per_class": round(len(y) / (int(y.max()) + 1))}
    return described | linear_by_depth(model, LAYERS, 2, (x, y), test_part, folds, seed)


def real_training(target: RealTarget, strategy: str, recipe: Recipe, seed: int) -> dict:
    """Test accuracy of a strategy that trains layers (a `Piece`)."""
    pretrained = load(NETWORK)
    preprocessing = target.preprocessing(pretrained.preprocessing)
    (x, y), (x_test, y_test) = target.parts(preprocessing, seed)
    classes = int(y.max()) + 1
    model = efficientnet_lite0(classes, rng=seed) if strategy == "scratch" else pretrained
    model.preprocessing = preprocessing
    if strategy != "scratch":
        model.replace_head(classes, rng=seed)
    started = time.perf_counter()
    for _, layer in model.walk():
        if isinstance(layer, BatchNorm2d):
            layer.momentum = 0.1  # with its own 0.01 the statistics would not have reached the new ones when the training ends
    freeze_until = freeze_points(model)[0] if strategy == "finetune-upper" else None
    history = train(model, recipe, x, y, seed, freeze_until, augmentation=target.augmentation)
    return {
        "seconds": time.perf_counter() - started,
        "train_accuracy": history.epochs[-1]["train_accuracy"],
        "test_accuracy": accuracy(model, x_test, y_test),
    }
