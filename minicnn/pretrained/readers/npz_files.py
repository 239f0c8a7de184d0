"""NumPy's archives of arrays, ``.npz``, as ``numpy.savez`` and ``numpy.savez_compressed`` write them.

A zip archive with an entry ``NAME.npy`` for each array. NumPy can also put any Python object into such a file, as a pickle,
which may run a program when it is read; no array of numbers needs one, and none is read here.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

import numpy as np

from .archives import Archive
from .named_arrays import NamedArrays
from .opening import MOST_AXES, ZIP_START, Damaged, Unsuitable, other_kind, weights_file
from .raw_numbers import array_of

METADATA = "metadata.json"  # what minicnn writes beside the arrays
LONGEST_METADATA = 8 << 20  # bytes
START = b"\x93NUMPY"
WIDTHS = {b"\1\0": 2, b"\2\0": 4}  # version -> bytes of the length of the header
# a dict in Python's notation, as NumPy always writes it; the type of a table is a list, not a text
HEADER = re.compile(
    rf"\{{'descr': (?:'([<>|]?)(\w+)'|\[.*\]), 'fortran_order': (True|False), "
    rf"'shape': \(((?:\d{{1,20}},? ?){{0,{MOST_AXES}}})\), \}}\s*",
    re.ASCII,
)
DTYPES = {name: name for name in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")} | {"b1": "?"}


def read_npz(path: str | os.PathLike) -> NamedArrays:
    """The arrays of an ``.npz`` file by name, in the file's order, each with its own type.

    Raises
    ------
    WeightsError
        If the file is not there, damaged, truncated, of another kind, or holds a pickle or anything but arrays of numbers.
    """
    with weights_file(path, "an .npz file") as file:
        start = file.read(64)
        if not start.startswith(ZIP_START):
            raise other_kind(start, "an .npz file")
        archive = Archive(file)
        arrays = {name.removesuffix(".npy"): _array(name, archive.read(name)) for name in archive.entries if name != METADATA}
        return NamedArrays(arrays, metadata=_metadata(archive))


def _metadata(archive: Archive) -> Any:
    """What is in the entry of JSON; None if it is not there, or makes no sense: the arrays can be read without it."""
    text = archive.read(METADATA) if METADATA in archive.entries else b""
    try:
        return json.loads(text) if len(text) <= LONGEST_METADATA else None
    except (ValueError, RecursionError):
        return None


def _array(name: str, data: bytes) -> np.ndarray:
    """The array of one ``.npy`` entry: START, version, length of the header, header, numbers."""
    if not name.endswith(".npy") or not data.startswith(START):
        raise Unsuitable(f"has {name[:200]!r} inside, which is not an array; save the arrays of the network by themselves")
    width = WIDTHS.get(data[6:8])
    if width is None:
        raise Damaged(f"has {name[:200]!r} in a version of NumPy's format that no array of plain numbers needs")
    end = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    header = HEADER.fullmatch(data[8 + width : end].decode("latin1"))
    if header is None:
        raise Damaged(f"has {name[:200]!r} with a header that NumPy does not write")
    order, dtype, fortran_order, axes = header.groups()
    if dtype == "O":
        raise Unsuitable(
            f"has {name[:200]!r} as a pickle; a pickle can run any program, so nothing of it was read. "
            "Ask for a file in which every array is of numbers"
        )
    if dtype not in DTYPES:
        raise Unsuitable(
            f"has {name[:200]!r} of type {str(dtype)[:100]}, which is not one of numbers; save the network's arrays alone"
        )
    shape = [int(number) for number in re.findall(r"\d+", axes)]
    first_axis_fastest = fortran_order == "True"
    stored = shape[::-1] if first_axis_fastest else shape
    array = array_of(memoryview(data)[end:], DTYPES[dtype], stored, name, ">" if order == ">" else "<")
    return np.array(array.T, order="C") if first_axis_fastest else array
