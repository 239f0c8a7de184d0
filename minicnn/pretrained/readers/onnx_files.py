"""The initialisers of an ONNX model, ``.onnx``: its weights, without its graph.

A Protocol Buffers message ModelProto, in it a GraphProto, in it a TensorProto for each array: dimensions, type, name, and the
numbers, either raw or as a repeated field of a type that can hold them.

Source: ``onnx/onnx.proto`` of https://github.com/onnx/onnx (field numbers and types)
"""

from __future__ import annotations

import os

import numpy as np

from .opening import Damaged, add, weights_file
from .protobuf_wire import (
    Value,
    fields,
    integer,
    integers,
    joined,
    nested,
    text,
)
from .raw_numbers import BFLOAT16, array_of

MODEL_GRAPH = 7
GRAPH_INITIALIZER, GRAPH_SPARSE_INITIALIZER = 5, 15
DIMS, TYPE, NAME, RAW, ELSEWHERE, LOCATION = 1, 2, 8, 9, 13, 14  # of a TensorProto
FLOATS, INT32S, INT64S, DOUBLES, UINT64S = 4, 5, 7, 10, 11  # of it, too: the repeated fields that may hold the numbers
BITS = {"f2": "u2", BFLOAT16: "u2"}  # types whose bits are kept as a whole number among the int32s
# number of the type -> the type, and the field that holds its numbers where they are not raw
TYPES = {
    1: ("f4", FLOATS), 2: ("u1", INT32S), 3: ("i1", INT32S), 4: ("u2", INT32S), 5: ("i2", INT32S), 6: ("i4", INT32S),
    7: ("i8", INT64S), 9: ("?", INT32S), 10: ("f2", INT32S), 11: ("f8", DOUBLES), 12: ("u4", UINT64S), 13: ("u8", UINT64S),
    16: (BFLOAT16, INT32S),
}  # fmt: skip


def read_onnx(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The initialisers of an ONNX model by name, in the file's order. bfloat16 becomes float32; other types stay.

    Raises
    ------
    WeightsError
        If the file is not there, damaged, truncated, of another kind, or has weights in another file or of a type that NumPy
        does not know.
    """
    with weights_file(path, "an ONNX model") as file:
        arrays: dict[str, np.ndarray] = {}
        for number, graph in fields(memoryview(file.read())):
            if number == MODEL_GRAPH:
                for part, value in fields(nested(graph)):
                    if part == GRAPH_SPARSE_INITIALIZER:
                        raise Damaged("has sparse initialisers, which are not read; save them dense")
                    if part == GRAPH_INITIALIZER:
                        add(arrays, *_tensor(nested(value)))
        if not arrays:
            raise Damaged("is no ONNX model with initialisers")
        return arrays


def _tensor(message: memoryview) -> tuple[str, np.ndarray]:
    """Name and array of a TensorProto."""
    name, data_type, raw = "", 0, None
    shape: list[int] = []
    stored: dict[int, list[Value]] = {}
    for number, value in fields(message):
        if number == DIMS:
            shape += integers(value).tolist()
        elif number == TYPE:
            data_type = integer(value)
        elif number == NAME:
            name = text(value)
        elif number == RAW:
            raw = nested(value)
        elif number == ELSEWHERE or (number == LOCATION and integer(value)):
            raise Damaged(f"keeps {name[:200]!r} in another file; put all into one with onnx.save(onnx.load(path), new_path)")
        elif number in (FLOATS, INT32S, INT64S, DOUBLES, UINT64S):
            stored.setdefault(number, []).append(value)
    if data_type not in TYPES:
        raise Damaged(f"has {name[:200]!r} in ONNX's type number {data_type}, which is none of NumPy's types of numbers")
    dtype, field = TYPES[data_type]
    if raw is None:
        raw = _raw(stored.get(field, []), dtype, field)
    return name, array_of(raw, dtype, shape, name)


def _raw(values: list[Value], dtype: str, field: int) -> bytes | memoryview:
    """The numbers of a repeated field as they would lie in memory, little-endian."""
    if field in (FLOATS, DOUBLES):
        return joined(values)
    type_of_bits = np.dtype(BITS.get(dtype, dtype)).newbyteorder("<")
    return b"".join(integers(value).astype(type_of_bits).tobytes() for value in values)
