"""What ``--data`` names: a well-known data set, or a folder or an archive of pictures, all as one kind of object."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..data.cifar10 import CIFAR10_CLASSES, find_cifar10
from ..data.data_sets import LabelledPictures
from ..data.findings import findings_table
from ..data.folders import open_pictures
from ..data.mnist import FASHION_MNIST_CLASSES, MNIST_CLASSES, load_fashion_mnist, load_mnist
from ..data.picture_set import Findings, PictureSet
from ..data.preprocessing import Preprocessing
from ..data.selection import Selection
from ..data.splits import split_pictures, stratified_split, stratified_subset
from ..errors import DataError
from ..experiment.notes import notes_on_parts
from .settings import Settings

VAL_FRACTION = 0.1  # of the training pictures of a well-known data set
QUICK_FRACTIONS = {"train": 0.09, "val": 0.01, "rest": 0.9}  # of its training pictures with --quick
QUICK_TEST_FRACTION = 0.1  # of its test pictures
QUICK_PICTURES = 2000  # of a folder
FEW = 1000  # training pictures of a class: with fewer, a pretrained network has more to bring than they have
SIZE = (64, 64)  # of a folder's pictures, unless something else is asked for


@dataclass
class DataSet:
    """Pictures in memory, what they show, and what they are for.

    Attributes
    ----------
    pixels : uint8 (N, H, W, C)
        At the size that the network will see them.
    pictures : PictureSet of N pictures
        Names, labels, findings, and the pictures in full.
    parts : dict
        Indices of the pictures in the "train", "val" and "test" part.
    """

    pixels: np.ndarray
    pictures: PictureSet
    parts: dict[str, np.ndarray]

    def part(self, name: str) -> tuple[Selection, np.ndarray]:
        """The pictures of a part, and their labels."""
        rows = self.parts[name]
        return Selection(self.pixels, rows), self.pictures.labels[rows]

    def training_sample(self, most: int) -> np.ndarray:
        """Pictures of the training part, at most so many and evenly spread: uint8 (n, H, W, C)."""
        rows = self.parts["train"]
        return self.pixels[rows[:: -(-len(rows) // most)]]


def open_data_set(settings: Settings, log: Callable[[str], None]) -> DataSet:
    """The pictures that ``settings.data`` names, divided into parts.

    A well-known data set keeps its test part, and a tenth of its training pictures, drawn within each class, are held out for
    validation. A folder keeps the parts that it has, and the others are drawn. What was found is logged first, as a table.

    Parameters
    ----------
    settings : Settings
        Its ``out`` is no part of a collection.
    log : function
        Is called with each text that there is to say.

    Raises
    ------
    DataError
        If there is no such data, or nothing can be learned from it; each message says what to do.
    """
    known = KNOWN.get(settings.data.lower())
    if known is not None:
        return known.open(settings, log)
    if not os.path.exists(os.path.expanduser(settings.data)):
        raise DataError(
            f"--data {settings.data}: there is no such folder or archive, and no data set of that name; expected one of "
            f"{', '.join(KNOWN)}, or a folder or .zip archive with a folder for each class"
        )
    return _open_folder(settings, log)


# ---- a well-known data set


@dataclass(frozen=True)
class KnownDataSet:
    """A data set that comes as arrays, with a test part of its own.

    Attributes
    ----------
    title, source : str
    classes : several str
    load : function
        progress -> (pictures and labels of both parts; sentences for people). Pictures are uint8 (N, H, W) or (N, C, H, W).
    """

    title: str
    source: str
    classes: tuple[str, ...]
    load: Callable[[bool], tuple[LabelledPictures, list[str]]]

    def open(self, settings: Settings, log: Callable[[str], None]) -> DataSet:
        """Load it, say what it is, and divide it."""
        if settings.size is not None:
            raise ValueError(
                f"--size {settings.size[0]}x{settings.size[1]}: the pictures of {self.title} stay as they are; --size is for "
                "folders and archives"
            )
        (x_train, y_train, x_test, y_test), notes = self.load(settings.progress)
        findings = Findings(notes=notes)
        learning, testing = _parts_of_known(y_train, y_test, settings)
        rows = {"train": learning["train"], "val": learning["val"], "test": testing["test"]}
        if settings.quick:
            used = sum(map(len, rows.values()))
            every = len(y_train) + len(y_test)
            findings.left_out.append(f"{every - used} of {every} pictures, to save time (--quick): drawn within each class")
        findings.assumed.append("validation pictures are taken out of the training part, at random within each class")
        sources = {"train": x_train, "val": x_train, "test": x_test}
        pixels = np.concatenate([_channels_last(sources[part][rows[part]]) for part in rows])
        starts = np.cumsum([0, *map(len, rows.values())])
        parts = {part: np.arange(start, stop) for part, start, stop in zip(rows, starts, starts[1:], strict=False)}
        official = {"train": "train", "val": "train", "test": "test"}
        names = [f"{official[part]}/{number}" for part in rows for number in rows[part]]
        pictures = PictureSet(
            self.title,
            self.classes,
            np.concatenate([(y_test if part == "test" else y_train)[rows[part]] for part in rows]),
            [PixelSource(picture, name) for picture, name in zip(pixels, names, strict=True)],
            splits=parts,
            findings=findings,
            source=self.source,
        )
        _say_what_was_found(pictures, parts, log)
        return DataSet(pixels, pictures, parts)


def _parts_of_known(
    y_train: np.ndarray, y_test: np.ndarray, settings: Settings
) -> tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]:
    """Rows of the training part to train on and to validate, and of the test part; with --quick only some of them."""
    if settings.quick:
        fractions = {"test": QUICK_TEST_FRACTION, "rest": 1 - QUICK_TEST_FRACTION}
        return (
            stratified_split(y_train, fractions=QUICK_FRACTIONS, rng=settings.seed),
            stratified_split(y_test, fractions=fractions, rng=settings.seed),
        )
    fractions = {"train": 1 - VAL_FRACTION, "val": VAL_FRACTION}
    return stratified_split(y_train, fractions=fractions, rng=settings.seed), {"test": np.arange(len(y_test))}


def _channels_last(x: np.ndarray) -> np.ndarray:
    """Pictures (N, H, W) or (N, C, H, W) as (N, H, W, C)."""
    return x[..., None] if x.ndim == 3 else np.ascontiguousarray(x.transpose(0, 2, 3, 1))


@dataclass(frozen=True)
class PixelSource:
    """A picture that is in memory already; its file is made when it is asked for.

    Attributes
    ----------
    pixels : uint8 (H, W, C)
    name : str
    """

    pixels: np.ndarray
    name: str

    def read(self) -> bytes:
        """The picture as a PNG file."""
        file = io.BytesIO()
        Image.fromarray(self.pixels[..., 0] if self.pixels.shape[-1] == 1 else self.pixels).save(file, "png")
        return file.getvalue()

    def head(self) -> bytes:
        return self.read()


def _mnist(progress: bool) -> tuple[LabelledPictures, list[str]]:
    return load_mnist(), []


def _fashion_mnist(progress: bool) -> tuple[LabelledPictures, list[str]]:
    return load_fashion_mnist(), []


def _cifar10(progress: bool) -> tuple[LabelledPictures, list[str]]:
    files = find_cifar10()
    return files.load(progress), [files.describe()]


KNOWN = {
    "mnist": KnownDataSet("MNIST", "LeCun, Bottou, Bengio, Haffner 1998", MNIST_CLASSES, _mnist),
    "fashion-mnist": KnownDataSet("Fashion-MNIST", "Xiao, Rasul, Vollgraf 2017", FASHION_MNIST_CLASSES, _fashion_mnist),
    "cifar10": KnownDataSet("CIFAR-10", "Krizhevsky 2009", CIFAR10_CLASSES, _cifar10),
}


# ---- a folder or an archive


def _open_folder(settings: Settings, log: Callable[[str], None]) -> DataSet:
    """Say what was found, then read all pictures."""
    pictures = open_pictures(settings.data, exclude=[settings.out])
    if settings.quick:
        pictures = stratified_subset(pictures, QUICK_PICTURES)
    parts = split_pictures(pictures, settings.seed)
    pictures.findings.notes += notes_on_parts(pictures, parts)
    if len(parts["train"]) < FEW * len(pictures.classes):
        pictures.findings.notes.append(
            f"{len(parts['train'])} pictures are few for a network that has seen nothing else; minicnn transfer, which begins "
            "with one that has seen a million, usually does better"
        )
    _say_what_was_found(pictures, parts, log)
    known = len(pictures.findings.left_out)
    pixels, pictures = pictures.fitted(Preprocessing(settings.size or SIZE, fit="stretch"), settings.progress)
    for note in pictures.findings.left_out[known:]:
        log(f"left out: {note}")
    return DataSet(pixels, pictures, split_pictures(pictures, settings.seed))


def _say_what_was_found(pictures: PictureSet, parts: Mapping[str, np.ndarray], log: Callable[[str], None]) -> None:
    log(f"{len(pictures)} pictures of {len(pictures.classes)} classes: {pictures.name}")
    log(findings_table(pictures, parts))
