"""The files of Hugging Face's safetensors, ``.safetensors``: a list of arrays in JSON, and their numbers behind it.

Eight bytes with the length N of the list, little-endian; N bytes of JSON, ``{"conv.weight": {"dtype": "F32", "shape": [2, 3],
"data_offsets": [0, 24]}, ...}`` with offsets counted from the end of the JSON; then the numbers, without gaps and overlaps.

Source: https://github.com/huggingface/safetensors (section "Format")
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from .named_arrays import NamedArrays
from .opening import Bounded, Damaged, Unsuitable, add, other_kind, weights_file
from .raw_numbers import BFLOAT16, array_of

LONGEST_HEADER = 8 << 20  # bytes; that of a network of 1,000 arrays has 100,000
METADATA = "__metadata__"  # the one name that is not an array's
DTYPES = {
    "F64": "f8", "F32": "f4", "F16": "f2", "BF16": BFLOAT16, "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def read_safetensors(path: str | os.PathLike) -> NamedArrays:
    """The arrays of a safetensors file by name, in the order of its list. bfloat16 becomes float32; other types stay.

    Raises
    ------
    WeightsError
        If the file is not there, damaged, truncated, of another kind, or has numbers of a type that NumPy does not know.
    """
    with weights_file(path, "a safetensors file") as file:
        start = file.read(64)
        content = Bounded(file)
        length = int.from_bytes(start[:8], "little")
        if start[8:9] != b"{" or length > LONGEST_HEADER:
            raise other_kind(start, "a safetensors file")
        header = json.loads(content.at(8, length), object_pairs_hook=_once, parse_int=_integer)
        metadata = header.pop(METADATA, None)
        arrays: dict[str, np.ndarray] = {}
        _check_places(header, content.size - 8 - length)
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            arrays[name] = array_of(content.at(8 + length + begin, end - begin), DTYPES[entry["dtype"]], entry["shape"], name)
        return NamedArrays(arrays, metadata=metadata)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dict, of which JSON would silently keep the last of several equal names."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        add(found, name, value)
    return found


def _integer(digits: str) -> int:
    if len(digits) > 20:  # reading a number takes time that grows with the square of its length
        raise Damaged(f"has a number of {len(digits)} digits")
    return int(digits)


def _check_places(header: dict[str, Any], size: int) -> None:
    """That each entry is complete, and that together they are the file's numbers from first to last, each once."""
    for name, entry in header.items():
        if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= set(entry):
            raise Damaged(f"describes {name[:200]!r} by something other than dtype, shape and data_offsets")
        if entry["dtype"] not in DTYPES:
            raise Unsuitable(
                f"has {name[:200]!r} in {str(entry['dtype'])[:20]}; read are {', '.join(DTYPES)}: save it in one of those"
            )
        if not isinstance(entry["shape"], list) or not all(type(number) is int for number in entry["data_offsets"]):
            raise Damaged(f"describes {name[:200]!r} by a shape or offsets that are not rows of whole numbers")
    place = 0
    for begin, end, name in sorted((*entry["data_offsets"], name) for name, entry in header.items()):
        if begin != place or end < begin:
            raise Damaged(f"has {name[:200]!r} at bytes {begin} to {end} of its numbers, and what is before it ends at {place}")
        place = end
    if place != size:
        raise Damaged(f"is truncated or damaged: its arrays have {place} bytes, and {size} are there")
