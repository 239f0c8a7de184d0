"""MNIST and Fashion-MNIST, from the idx files of their home pages.

An idx file is a header, two zero bytes, a type (8: unsigned bytes) and the number of dimensions, then each dimension as a
big-endian 32-bit number, and the values in row-major order. LeCun, Cortes, Burges, "The MNIST database", 1998.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from ..errors import DataError
from .data_sets import LabelledPictures, data_folder

MNIST_CLASSES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
FASHION_MNIST_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
UNSIGNED_BYTES = 8


def load_mnist(folder: str | os.PathLike | None = None) -> LabelledPictures:
    """MNIST: handwritten digits, 60,000 to train on and 10,000 to test; `MNIST_CLASSES` has the names of the classes.

    LeCun, Bottou, Bengio, Haffner 1998, "Gradient-Based Learning Applied to Document Recognition", section III.A.

    Parameters
    ----------
    folder : path, optional
        The folder of the four files (``train-images-idx3-ubyte.gz`` and so on, compressed or not). By default ``mnist`` in the
        folder that the environment variable MINICNN_DATA names.

    Returns
    -------
    x_train, y_train, x_test, y_test
        uint8 (N, 28, 28), 0 is the background and 255 the ink; labels int64 (N,), 0 to 9.

    Raises
    ------
    DataError
        If a file is missing, damaged, or does not fit the others.
    """
    return _load("mnist", "MNIST", folder)


def load_fashion_mnist(folder: str | os.PathLike | None = None) -> LabelledPictures:
    """Fashion-MNIST: grey pictures of clothes, as large and as many as MNIST's digits, and harder to tell apart.

    `FASHION_MNIST_CLASSES` has the names of the classes. Xiao, Rasul, Vollgraf 2017, "Fashion-MNIST: a Novel Image Dataset for
    Benchmarking Machine Learning Algorithms".

    Parameters
    ----------
    folder : path, optional
        The folder of the four files, which are called like those of MNIST. By default ``fashion-mnist`` in the folder that the
        environment variable MINICNN_DATA names.

    Returns
    -------
    x_train, y_train, x_test, y_test
        uint8 (N, 28, 28), 0 is the background; labels int64 (N,), 0 to 9.

    Raises
    ------
    DataError
        If a file is missing, damaged, or does not fit the others.
    """
    return _load("fashion-mnist", "Fashion-MNIST", folder)


def _load(name: str, title: str, folder: str | os.PathLike | None) -> LabelledPictures:
    """Both parts of a data set whose folder is usually called ``name``."""
    folder = data_folder(f"the {title} files, in {name}/") / name if folder is None else Path(folder).expanduser()
    x_train, y_train = _pair(folder, "train", title)
    x_test, y_test = _pair(folder, "t10k", title)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(
            f"{folder}: training pictures are {x_train.shape[1:]} and test pictures {x_test.shape[1:]}; expected one size"
        )
    return x_train, y_train, x_test, y_test


def _pair(folder: Path, part: str, title: str) -> tuple[np.ndarray, np.ndarray]:
    """The pictures and labels of one part."""
    images, labels = (_find(folder, f"{part}-{kind}-ubyte", title) for kind in ("images-idx3", "labels-idx1"))
    x, y = read_idx(images), read_idx(labels)
    if x.ndim != 3 or 0 in x.shape:
        raise DataError(f"{images}: expected pictures (N, height, width), got shape {x.shape}; is it the file of the labels?")
    if y.shape != x.shape[:1]:
        raise DataError(f"{labels}: expected {len(x)} labels, one for each picture of {images.name}, got shape {y.shape}")
    if y.max() > 9:
        raise DataError(f"{labels}: expected labels from 0 to 9, got {y.max()}; is it the file of another data set?")
    return x, y.astype(np.int64)


def _find(folder: Path, name: str, title: str) -> Path:
    """The file, under any of the names that are in use for it."""
    names = [f"{stem}{suffix}" for stem in (name, name.replace("-idx", ".idx")) for suffix in ("", ".gz")]
    for candidate in names:
        if (folder / candidate).is_file():
            return folder / candidate
    raise DataError(
        f"{folder} has no file {name}.gz; download the four {title} files into it, or name the folder that has them"
    )


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """The array in an idx file of unsigned bytes, compressed with gzip or not: uint8, of the shape in its header.

    Raises
    ------
    DataError
        If the file is missing, of another kind, or its length does not fit its header.
    """
    path = Path(path).expanduser()
    try:
        with path.open("rb") as file:
            is_gzip = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_gzip else path.open("rb") as file:
            data = file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is truncated or damaged ({error}); download it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check the path") from error
    if len(data) < 4 or data[:2] != b"\0\0":
        raise DataError(
            f"{path} is not an idx file: it should begin with two zero bytes, a type and a count, got {data[:4].hex(' ')}"
        )
    if data[2] != UNSIGNED_BYTES:
        raise DataError(f"{path}: idx files of unsigned bytes (type 8) are read, got type {data[2]}")
    start = 4 + 4 * data[3]
    if len(data) < start or data[3] == 0:
        raise DataError(f"{path} is truncated or damaged: its header of {data[3]} dimensions is incomplete; download it again")
    shape = struct.unpack(f">{data[3]}I", data[4:start])
    expected = start + math.prod(shape)
    if len(data) != expected:
        fault = "is truncated" if len(data) < expected else "has more in it than its header says"
        raise DataError(f"{path} {fault}: expected {expected} bytes for shape {shape}, got {len(data)}; download it again")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape).copy()  # frombuffer alone would be read-only
