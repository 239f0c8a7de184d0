"""An ONNX model, ``.onnx``: a graph of nodes, its weights, and what else is known of it.

Source: ``onnx/onnx.proto`` of https://github.com/onnx/onnx (field numbers and types), ``docs/Operators.md`` (the nodes)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ...cache import write_atomically
from ..readers.onnx_files import DIMS, GRAPH_INITIALIZER, KEY, MODEL_GRAPH, MODEL_METADATA, NAME, RAW, TYPE, VALUE
from .protobuf_wire import Pieces, content, message, single, text, whole_number

FORMAT_VERSION, OPERATORS_VERSION = 8, 15  # of ONNX 1.10, 2021; whatever reads ONNX reads these
PRODUCER = "minicnn"
FIELDS_OF_MODEL = {"format_version": 1, "producer": 2, "producer_version": 3, "operators": 8}
GRAPH_NODE, GRAPH_NAME, GRAPH_INPUT, GRAPH_OUTPUT = 1, 2, 11, 12
NODE_INPUT, NODE_OUTPUT, NODE_NAME, NODE_OPERATOR, NODE_ATTRIBUTE = 1, 2, 3, 4, 5
ATTRIBUTE_NAME, ATTRIBUTE_FLOAT, ATTRIBUTE_INT, ATTRIBUTE_INTS, ATTRIBUTE_KIND = 1, 2, 3, 8, 20
KIND_FLOAT, KIND_INT, KIND_INTS = 1, 2, 7
TENSOR_TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}


class Node(NamedTuple):
    """One step of the graph.

    Attributes
    ----------
    operator : str
        "Conv", "Relu", ...
    inputs, outputs : sequence of str
        Names of what it takes and gives.
    attributes : mapping from name to int, float or sequence of int
    """

    operator: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, int | float | Sequence[int]]


def write_onnx(
    path: str | os.PathLike,
    nodes: Sequence[Node],
    arrays: Mapping[str, np.ndarray],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str]],
    metadata: Mapping[str, str],
    version: str = "",
) -> None:
    """Write a graph to ``path``; a file that is there is replaced in one step at the end.

    Parameters
    ----------
    path : path
    nodes : sequence of Node
        In an order in which they can run.
    arrays : mapping from name to float32 or int64 array
        The initialisers.
    inputs, outputs : mapping from name to shape
        Of the whole graph, float32. A size that is not fixed has a name: ``("N", 3, 224, 224)``.
    metadata : mapping
        Any texts.
    version : str
        Of the program that writes.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    graph = [
        *(_node(node) for node in nodes),
        text(GRAPH_NAME, metadata.get("architecture", PRODUCER)),
        *(_tensor(name, array) for name, array in arrays.items()),
        *(_value(GRAPH_INPUT, name, shape) for name, shape in inputs.items()),
        *(_value(GRAPH_OUTPUT, name, shape) for name, shape in outputs.items()),
    ]
    model = [
        whole_number(FIELDS_OF_MODEL["format_version"], FORMAT_VERSION),
        text(FIELDS_OF_MODEL["producer"], PRODUCER),
        text(FIELDS_OF_MODEL["producer_version"], version),
        message(MODEL_GRAPH, *graph),
        message(FIELDS_OF_MODEL["operators"], text(1, ""), whole_number(2, OPERATORS_VERSION)),
        *(message(MODEL_METADATA, text(KEY, key), text(VALUE, value)) for key, value in metadata.items()),
    ]
    with write_atomically(path) as temporary, open(temporary, "wb") as file:
        for field in model:
            file.writelines(field)


def _node(node: Node) -> Pieces:
    return message(
        GRAPH_NODE,
        *(text(NODE_INPUT, name) for name in node.inputs),
        *(text(NODE_OUTPUT, name) for name in node.outputs),
        text(NODE_NAME, f"{node.outputs[0]}/{node.operator}"),
        text(NODE_OPERATOR, node.operator),
        *(_attribute(name, value) for name, value in node.attributes.items()),
    )


def _attribute(name: str, value: int | float | Sequence[int]) -> Pieces:
    if isinstance(value, float):
        values, kind = [single(ATTRIBUTE_FLOAT, value)], KIND_FLOAT
    elif isinstance(value, int):
        values, kind = [whole_number(ATTRIBUTE_INT, value)], KIND_INT
    else:
        values, kind = [whole_number(ATTRIBUTE_INTS, number) for number in value], KIND_INTS
    return message(NODE_ATTRIBUTE, text(ATTRIBUTE_NAME, name), *values, whole_number(ATTRIBUTE_KIND, kind))


def _tensor(name: str, array: np.ndarray) -> Pieces:
    numbers = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return message(
        GRAPH_INITIALIZER,
        *(whole_number(DIMS, length) for length in array.shape),
        whole_number(TYPE, TENSOR_TYPES[array.dtype]),
        text(NAME, name),
        content(RAW, numbers.reshape(-1).view(np.uint8).data),
    )


def _value(number: int, name: str, shape: Sequence[int | str]) -> Pieces:
    """An input or an output: its name, type and shape."""
    axes = [message(1, text(2, axis) if isinstance(axis, str) else whole_number(1, axis)) for axis in shape]
    tensor = message(1, whole_number(1, TENSOR_TYPES[np.dtype(np.float32)]), message(2, *axes))
    return message(number, text(1, name), message(2, tensor))
