"""The pictures of the experiments with small networks: CIFAR-10 and Fashion-MNIST at 32 x 32, drawn anew for each seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from minicnn.cache import cache_folder, write_atomically
from minicnn.course.workbench import find_data
from minicnn.data import Preprocessing, load_mnist, open_pictures
from minicnn.data.folders import PictureSet
from minicnn.errors import DataError

CIFAR = "cifar10-jpeg.zip"
FASHION = "fashion-mnist"
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FASHION_CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
FILES = {"CIFAR-10": CIFAR, "Fashion-MNIST": FASHION}


@dataclass(frozen=True)
class Pictures:
    """Pictures of some classes, in a part for training and one for testing.

    Attributes
    ----------
    x, x_test : uint8 (N, 32, 32, C), C = 1 for grey ones
    y, y_test : int64 (N,), indices into ``classes``
    """

    classes: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    def of(self, classes: tuple[str, ...]) -> Pictures:
        """Those of some classes alone, which are numbered anew in the order given."""
        number = np.full(len(self.classes), -1)
        number[[self.classes.index(name) for name in classes]] = np.arange(len(classes))
        train, test = number[self.y] >= 0, number[self.y_test] >= 0
        return Pictures(classes, self.x[train], number[self.y[train]], self.x_test[test], number[self.y_test[test]])

    def draw(self, per_class: int, seed: int) -> Pictures:
        """As many training pictures of each class, drawn at random and in random order; the test part stays as it is.

        A smaller draw with the same seed is a part of a larger one.
        """
        rows = first_of_each_class(self.y, per_class, np.random.default_rng(seed).permutation(len(self.y)))
        return replace(self, x=self.x[rows], y=self.y[rows])

    def statistics(self) -> Preprocessing:
        """Subtract the mean of the training pictures and divide by their standard deviation, channel by channel."""
        mean, std = (self.x.mean((0, 1, 2)), self.x.std((0, 1, 2))) if len(self.x) else (127.0, 64.0)
        return Preprocessing(size=32, mean=tuple(mean), std=tuple(std))


def first_of_each_class(y: np.ndarray, per_class: int, order: np.ndarray) -> np.ndarray:
    """Of the indices in ``order`` those of the first so many of each class, in that order.

    >>> first_of_each_class(np.array([0, 0, 1, 1, 0]), 1, np.array([4, 3, 2, 1, 0])).tolist()
    [4, 3]

    Raises
    ------
    ValueError
        If a class has not as many.
    """
    keep = np.zeros(len(order), bool)
    for label in np.unique(y):
        places = np.flatnonzero(y[order] == label)
        if len(places) < per_class:
            raise ValueError(f"{per_class} pictures of each class were asked for, and class {label} has {len(places)}")
        keep[places[:per_class]] = True
    return order[keep]


def small_pictures(name: str, classes: tuple[str, ...], most: tuple[int, int]) -> Pictures:
    """Pictures of some classes of ``"CIFAR-10"`` or ``"Fashion-MNIST"``; of each class at most so many (training, test)."""
    everything = _cifar(most) if name == "CIFAR-10" else _fashion(most)
    return everything.of(tuple(classes))


def decode_cifar(most: tuple[int, int]) -> Path:
    """The file in the cache folder with the decoded pictures of CIFAR-10, made if it is not there: once, for all processes."""
    archive = _find(CIFAR)
    path = cache_folder() / "laboratory" / f"cifar10-{archive.stat().st_size}-{most[0]}-{most[1]}.h5"
    if not path.exists():
        print("decoding CIFAR-10, once", flush=True)
        pictures = open_pictures(archive)
        with write_atomically(path) as temporary, h5py.File(temporary, "w") as file:
            for part, per_class in zip(("train", "test"), most, strict=True):
                file[f"{part}/x"], file[f"{part}/y"] = _decoded(pictures, pictures.splits[part], per_class)
    return path


@lru_cache(maxsize=2)
def _cifar(most: tuple[int, int]) -> Pictures:
    with h5py.File(decode_cifar(most), "r") as file:
        return Pictures(CIFAR_CLASSES, *(file[name][:] for name in ("train/x", "train/y", "test/x", "test/y")))


def _decoded(pictures: PictureSet, part: np.ndarray, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    chosen = pictures.subset(part[first_of_each_class(pictures.labels[part], per_class, np.arange(len(part)))])
    x, chosen = chosen.fitted(Preprocessing(size=32), progress=False)
    return x, chosen.labels


@lru_cache(maxsize=2)
def _fashion(most: tuple[int, int]) -> Pictures:
    """Fashion-MNIST on black margins of two pixels, which make 32 x 32 of 28 x 28."""
    x, y, x_test, y_test = load_mnist(_find(FASHION))
    parts = []
    for pixels, labels, per_class in ((x, y, most[0]), (x_test, y_test, most[1])):
        rows = first_of_each_class(labels, per_class, np.arange(len(labels)))
        parts += [np.pad(pixels[rows], ((0, 0), (2, 2), (2, 2)))[..., None], labels[rows]]
    return Pictures(FASHION_CLASSES, *parts)


def _find(name: str) -> Path:
    path = find_data(name)
    if path is None:
        raise DataError(f"there is no {name}; put it into a folder and name that folder in MINICNN_DATA")
    return path
