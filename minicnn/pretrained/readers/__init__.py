"""Readers of the files in which others keep trained weights: each gives arrays by the file's own names, and runs nothing.

Every one returns names, order, layout and bits as they are in the file; what they mean to a network of this project is the
converter's business. Whatever is wrong with a file, the answer is one ``WeightsError``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .archives import Archive
from .caffe_files import read_caffe
from .keras_files import WEIGHTS, read_keras
from .npz_files import METADATA, read_npz
from .numpy_pickles import read_numpy_pickle
from .onnx_files import read_onnx
from .opening import (
    HDF5_START,
    ZIP_START,
    guess,
    other_kind,
    size_of,
    weights_file,
)
from .safetensors_files import read_safetensors
from .torch_files import is_legacy, read_torch

__all__ = [
    "read_caffe",
    "read_keras",
    "read_npz",
    "read_numpy_pickle",
    "read_onnx",
    "read_safetensors",
    "read_torch",
    "read_weights",
]

Reader = Callable[[str | os.PathLike], dict[str, np.ndarray]]
PICKLE_START = b"\x80"
SUFFIXES: dict[str, Reader] = {".onnx": read_onnx, ".caffemodel": read_caffe}  # of the formats without a beginning of their own
# field 1 of the messages of both, which comes first: in ONNX a number (the version), in Caffe a text (the network's name)
FIRST_FIELDS: dict[bytes, Reader] = {b"\x08": read_onnx, b"\x0a": read_caffe}
KINDS = "a file of PyTorch, safetensors, Keras, Caffe, ONNX or NumPy"


def read_weights(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays by name of a file of any of the known kinds, told by its content and, where that says nothing, by its suffix.

    PyTorch (zip and legacy), safetensors, Keras (.h5, .weights.h5, .keras), Caffe, ONNX, NumPy's .npz, pickled NumPy arrays:
    see the reader of each.

    Raises
    ------
    WeightsError
        If the file is not there, of no known kind, or its reader refuses it.
    """
    with weights_file(path, KINDS) as file:
        size = size_of(file)
        start = file.read(64)
        if start.startswith(ZIP_START):
            names = Archive(file).entries
            is_keras, is_npz = WEIGHTS in names, all(name.endswith(".npy") or name == METADATA for name in names)
            reader: Reader | None = read_keras if is_keras else read_npz if is_npz else read_torch
        elif start.startswith(HDF5_START):
            reader = read_keras
        elif start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= size - 8:
            # a length, which may begin as a pickle does
            reader = read_safetensors
        elif start.startswith(PICKLE_START):
            reader = read_torch if is_legacy(start) else read_numpy_pickle
        else:
            reader = FIRST_FIELDS.get(start[:1]) or SUFFIXES.get(Path(path).suffix.lower())
        if reader is None or (reader in SUFFIXES.values() and guess(start)):
            raise other_kind(start, KINDS)
    return reader(path)
