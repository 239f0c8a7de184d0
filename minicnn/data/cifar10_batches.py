"""The official files of CIFAR-10, five batches to train on and one to test: the binary version and the one for Python.

A batch has 10,000 pictures of 32 x 32. In the binary version each is 3,073 bytes: the label, then the red, the green and the
blue plane, row by row. In the version for Python a batch is a pickle of a dict with the labels and an array (10000, 3072) of
the same planes. A pickle is a program; here it may do nothing but describe numbers, texts and arrays of bytes.

Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images", section 3.1.
"""

from __future__ import annotations

import io
import math
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from ..errors import DataError
from ..text import named

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PICTURES_PER_BATCH = 10_000
TRAINING_BATCHES = 5
PLANES = (3, 32, 32)
STEMS = (*(f"data_batch_{i}" for i in range(1, TRAINING_BATCHES + 1)), "test_batch")
BATCHES = {"binary": tuple(f"{stem}.bin" for stem in STEMS), "python": STEMS}
CLASS_NAMES = {"binary": "batches.meta.txt", "python": "batches.meta"}
MAX_BYTES = 64 << 20  # of one file, twice what a batch has, because an archive may claim any size


def picture_counts() -> tuple[int, int]:
    """How many pictures there are to train on and to test."""
    return TRAINING_BATCHES * PICTURES_PER_BATCH, PICTURES_PER_BATCH


def new_arrays() -> tuple[np.ndarray, np.ndarray]:
    """Room for all pictures, uint8 (60000, 3, 32, 32), and their labels, int64 (60000,): first those to train on."""
    n = sum(picture_counts())
    return np.zeros((n, *PLANES), np.uint8), np.zeros(n, np.int64)


def read_batches(path: Path, form: str) -> tuple[np.ndarray, np.ndarray]:
    """All pictures of the official files in a folder or a tar archive, and their labels, as in `new_arrays`.

    Parameters
    ----------
    path : Path
    form : "binary" or "python"

    Raises
    ------
    DataError
        If a file is missing, damaged, or not of CIFAR-10.
    """
    x, y = new_arrays()
    missing = [CLASS_NAMES[form], *BATCHES[form]]
    for name, data in _files(path, missing):
        missing.remove(name)
        where = f"{path}: {name}"
        if name == CLASS_NAMES[form]:
            _check_classes(where, _binary_classes(data) if form == "binary" else _python_classes(where, data))
            continue
        labels, planes = (_binary_batch if form == "binary" else _python_batch)(where, data)
        if labels.min() < 0 or labels.max() >= len(CIFAR10_CLASSES):
            raise DataError(
                f"{where}: expected labels from 0 to 9, got {labels.min()} to {labels.max()}; is it a file of another data set?"
            )
        start = BATCHES[form].index(name) * PICTURES_PER_BATCH
        x[start : start + PICTURES_PER_BATCH] = planes.reshape(-1, *PLANES)
        y[start : start + PICTURES_PER_BATCH] = labels
    if missing:
        raise DataError(f"{path} has no file {named(missing)}; download or unpack the data set again")
    return x, y


# ---- files in a folder or an archive


def _files(path: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """Those of the files that are there, with their content, in any order."""
    names = list(names)
    try:
        if path.is_dir():
            for name in names:
                if (path / name).is_file():
                    yield name, (path / name).read_bytes()
            return
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if member.isfile() and name in names:
                    if member.size > MAX_BYTES:
                        raise DataError(f"{path}: {name} claims {member.size} bytes, more than a batch can have")
                    names.remove(name)
                    yield name, archive.extractfile(member).read()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is truncated or damaged ({error}); download it again") from error
    except OSError as error:  # also a gzip file's false checksum, which has no strerror
        raise DataError(f"{error.filename or path} cannot be read: {error.strerror or error}; copy it again") from error


def form_of_archive(path: Path) -> str:
    """The version, "binary" or "python", that a tar archive has.

    Raises
    ------
    DataError
        If it has none, or is no tar archive.
    """
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                for form, names in BATCHES.items():
                    if PurePosixPath(member.name).name in names:
                        return form
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(
            f"{path} cannot be read as an archive of CIFAR-10 ({error}); expected the official .tar.gz, or a .zip of JPEGs"
        ) from error
    raise DataError(f"{path} has no file {BATCHES['binary'][0]} or {BATCHES['python'][0]} in it; is it another data set?")


def _check_classes(where: str, classes: list[str]) -> None:
    if tuple(classes) != CIFAR10_CLASSES:
        raise DataError(
            f"{where} names the classes {named(classes, 10)}; expected {', '.join(CIFAR10_CLASSES)}. Is it another data set?"
        )


# ---- the binary version


def _binary_classes(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").split()


def _binary_batch(where: str, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) and planes (n, 3072)."""
    record = 1 + math.prod(PLANES)
    expected = PICTURES_PER_BATCH * record
    if len(data) != expected:
        fault = "is truncated" if len(data) < expected else "is too long"
        raise DataError(
            f"{where} {fault}: expected {expected} bytes, {PICTURES_PER_BATCH} pictures of {record}, got {len(data)}; copy or "
            "download it again"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, record)
    return records[:, 0], records[:, 1:]


# ---- the version for Python


def _python_classes(where: str, data: bytes) -> list[str]:
    classes = _unpickled(where, data).get(b"label_names")
    return [str(name, "utf-8", "replace") if isinstance(name, bytes) else str(name) for name in classes or ()]


def _python_batch(where: str, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) and planes (n, 3072)."""
    batch = _unpickled(where, data)
    labels, planes = batch.get(b"labels"), getattr(batch.get(b"data"), "values", None)
    if not isinstance(labels, list) or not all(type(label) is int for label in labels) or planes is None:
        raise DataError(f"{where} is no batch of CIFAR-10: expected a list of labels, and an array of bytes under 'data'")
    expected = (PICTURES_PER_BATCH, math.prod(PLANES))
    if planes.shape != expected or len(labels) != PICTURES_PER_BATCH:
        raise DataError(f"{where}: expected data {expected} and as many labels, got {planes.shape} and {len(labels)}")
    return np.array(labels), planes


def _unpickled(where: str, data: bytes) -> dict:
    """The dict that a pickle of Python 2 describes; its texts are bytes."""
    try:
        value = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except _ForeignName as error:
        raise DataError(
            f"{where} asks for {error}, which no batch of CIFAR-10 does; it was not run. Do not trust it"
        ) from error
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{where} is truncated or damaged ({error or type(error).__name__}); download it again") from error
    if not isinstance(value, dict):
        raise DataError(f"{where} is no file of CIFAR-10: expected a dict, got {type(value).__name__}")
    return value


class _ForeignName(pickle.UnpicklingError):
    """The pickle asks for something that an array does not need."""


class _Type:
    """Stands for a NumPy dtype."""

    def __init__(self, name: bytes | str, *_: object):
        self.name = name

    def __setstate__(self, state: tuple) -> None:
        """Byte order and the like, which bytes do not have."""


class _Array:
    """Stands for a NumPy array of bytes, which it has as ``values``."""

    def __init__(self, *_: object):
        """As an empty array; `__setstate__` fills it."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        if dtype.name not in (b"u1", "u1") or is_fortran:
            raise ValueError("an array that is not of bytes in row-major order")
        self.values = np.frombuffer(data, np.uint8).reshape(shape)


class _Unpickler(pickle.Unpickler):
    """Makes numbers, texts, tuples, lists, dicts and arrays of bytes, and calls nothing else."""

    def find_class(self, module: str, name: str) -> type:
        """What stands for a name in the pickle."""
        known = {"multiarray._reconstruct": _Array, "numpy.ndarray": _Array, "numpy.dtype": _Type}
        module = module.removeprefix("numpy.core.").removeprefix("numpy._core.")
        if f"{module}.{name}" not in known:
            raise _ForeignName(f"{module}.{name}")
        return known[f"{module}.{name}"]
