"""A dict of NumPy arrays, or of lists of them, as ``pickle.dump`` writes it, read without running what is in it.

An array is written in two steps: a call that makes an empty one, and its state, (version, shape, type, column-major, bytes).

Source: ``__reduce__`` and ``__setstate__`` of ``numpy.ndarray`` and ``numpy.dtype`` in NumPy's reference.
"""

from __future__ import annotations

import io
import math
import os
from typing import Any

import numpy as np

from ...errors import WeightsError
from .named_arrays import NamedArrays
from .opening import MOST_AXES, MOST_COPIES, Damaged, Unsuitable, weights_file
from .pickle_machine import Known, RefusedName, Stateful, read_pickle
from .raw_numbers import array_of
from .trees import find_weights

NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
KIND = "a pickle of NumPy arrays by name"


class _Type(Stateful):
    """The type of an array's numbers; the state has their byte order."""

    def __init__(self, name: Any = None, *_: Any):
        self.name, self.order = name, "<"

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "=", "|"):
            raise Damaged("describes a type of numbers in an unknown way")
        self.order = ">" if state[1] == ">" else "<"


class _Array(Stateful):
    """An array of which the state has everything."""

    def __init__(self, *_: Any):
        self.shape: tuple[int, ...] | None = None

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise Damaged("describes an array by something other than five things")
        _, shape, self.type, self.column_major, data = state
        if isinstance(self.type, _Type) and self.type.name not in NUMBERS:  # of texts or of objects
            return
        self.shape = shape
        self.data = data.encode("latin-1") if isinstance(data, str) else data  # text: Python 2 made no difference
        sound = isinstance(self.shape, tuple) and isinstance(self.type, _Type) and isinstance(self.data, bytes)
        if not sound or len(self.shape) > MOST_AXES or not all(type(n) is int and n >= 0 for n in self.shape):
            raise Damaged("describes an array by something other than a shape, a type and bytes")

    @property
    def has_numbers(self) -> bool:
        """Whether it is there, and not of texts or objects."""
        return self.shape is not None

    def to_numpy(self, name: str) -> np.ndarray:
        shape = self.shape[::-1] if self.column_major else self.shape
        array = array_of(self.data, "?" if self.type.name == "b1" else self.type.name, shape, name, self.type.order)
        return np.ascontiguousarray(array.T) if self.column_major else array


NAMES = {
    known.name: known
    for known in (
        Known("numpy.ndarray"),
        Known("numpy.dtype", _Type),
        Known("numpy.core.multiarray._reconstruct", _Array),
        Known("numpy._core.multiarray._reconstruct", _Array),
    )
}


def read_numpy_pickle(path: str | os.PathLike) -> NamedArrays:
    """The arrays of a pickled dict: "NAME", or "NAME/0", "NAME/1", ... where there is a list of them under a name.

    The dict may be inside another one, and anything else beside the arrays: see
    `minicnn.pretrained.readers.trees.find_weights`.

    Raises
    ------
    WeightsError
        If the file is not there, damaged, truncated, of another kind, without arrays by name, or would run a program.
    """
    with weights_file(path, KIND) as file:
        whole = file.read()  # a damaged length must not make the pickle reader ask a file for more memory than it has
        try:
            tree = read_pickle(io.BytesIO(whole), NAMES)
        except RefusedName as refused:
            raise WeightsError(
                f"{os.fspath(path)} asks for '{refused.name[:200]}', which is no part of reading arrays; a pickle can run any "
                "program that way, so nothing of it was run."
            ) from None
        if not isinstance(tree, dict):
            raise Unsuitable(
                f"is not {KIND}: it is a {type(tree).__name__.strip('_').lower()}. Save a dict of them, name by name"
            )
        found, notes = find_weights(tree, lambda value: isinstance(value, _Array) and value.has_numbers)
        if sum(math.prod(array.shape or ()) for array in found.values()) > MOST_COPIES * len(whole):
            raise Damaged("repeats the same numbers in so many arrays that they would not fit into memory")
        return NamedArrays({name: array.to_numpy(name) for name, array in found.items()}, notes)
