"""The initialisers of an ONNX model, ``.onnx``: its weights, and of its graph only what names them.

A Protocol Buffers message ModelProto, in it a GraphProto, in it a TensorProto for each array: dimensions, type, name, and the
numbers, either raw or as a repeated field of a type that can hold them.

Arrays that the program that wrote the file has computed, because it merged a batch norm into a convolution, have no names of
their own: PyTorch's first exporter calls them "onnx::Conv_193" and "onnx::Conv_194" and has the layer in the name of the node,
"/layer1/layer1.0/conv1/Conv"; its second calls the filters as before and the new bias "layer1.0.conv1.weight_bias". Here they
are "layer1.0.conv1.weight" and "layer1.0.conv1.bias"; and so are ONNX Runtime's "ConvBnFusion_W_layer1.0.conv1.weight" and
"ConvBnFusion_BN_B_layer1.0.bn1.bias". The first exporter also writes equal arrays once, and copies them by nodes "Identity" to
the other names; the second writes the numbers to a file of their own, "net.onnx.data". Initialisers that are no weights, but
say how a node works (a shape, the limits of a Clip), are left out. Weights may also be in nodes "Constant".

Source: ``onnx/onnx.proto`` of https://github.com/onnx/onnx (field numbers and types)
"""

from __future__ import annotations

import math
import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .named_arrays import NamedArrays
from .opening import MOST_AXES, Bounded, Unsuitable, add, weights_file
from .protobuf_wire import (
    Value,
    fields,
    integer,
    integers,
    joined,
    nested,
    text,
)
from .raw_numbers import BFLOAT16, array_of, itemsize

MODEL_GRAPH, MODEL_METADATA = 7, 14
GRAPH_NODE, NODE_INPUT, NODE_OUTPUT, NODE_NAME, NODE_OPERATOR, NODE_ATTRIBUTE = 1, 1, 2, 3, 4, 5
ATTRIBUTE_TENSOR = 5
WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm")  # nodes: their inputs are x, weight and bias
NORM = "BatchNormalization"
WITH_SETTINGS = (  # nodes whose inputs after the first say how they work
    "Clip", "Expand", "Pad", "ReduceMax", "ReduceMean", "ReduceSum", "Reshape", "Resize", "Slice", "Split", "Squeeze",
    "Unsqueeze",
)  # fmt: skip
QUANTISED = re.compile(r"(De|Dynamic)?[Qq]uantizeLinear|QLinear\w+|\w+Integer")  # nodes of whole numbers for weights
KEY, VALUE = 1, 2  # of an entry of the metadata
FUSED, FUSED_BIAS = "ConvBnFusion_W_", "ConvBnFusion_BN_B_"  # begin the names of what ONNX Runtime has merged with a norm
NAMELESS = "onnx::"  # begins the names that PyTorch's first exporter makes up,
CONSTANT = "/"  # and this those of constants, there and in minicnn's own files
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


def read_onnx(path: str | os.PathLike) -> NamedArrays:
    """The initialisers of an ONNX model by name, in the file's order. bfloat16 becomes float32; other types stay.

    What a merged batch norm has left without a name is called after its layer, and settings of nodes are left out, see above.

    Raises
    ------
    WeightsError
        If the file is not there, damaged, truncated, of another kind, quantised, or has weights in a file that is not beside
        it, or of a type that NumPy does not know.
    """
    elsewhere = Elsewhere(path)
    with weights_file(path, "an ONNX model") as file, elsewhere.open:
        arrays: dict[str, np.ndarray] = {}
        nodes: list[Node] = []
        metadata: dict[str, str] = {}
        for number, content in fields(memoryview(file.read())):
            if number == MODEL_METADATA:
                entry = {part: text(value) for part, value in fields(nested(content))}
                metadata[entry.get(KEY, "")] = entry.get(VALUE, "")
            if number == MODEL_GRAPH:
                for part, value in fields(nested(content)):
                    if part == GRAPH_SPARSE_INITIALIZER:
                        raise Unsuitable("has sparse initialisers, which are not read; save them dense")
                    if part == GRAPH_INITIALIZER:
                        add(arrays, *_tensor(nested(value), elsewhere))
                    if part == GRAPH_NODE:
                        nodes.append(_node(nested(value)))
        if quantised := next((node.operator for node in nodes if QUANTISED.fullmatch(node.operator)), None):
            raise Unsuitable(f"is quantised (it has nodes {quantised}), which is not read; take the model that was quantised")
        arrays |= {name: _tensor(value, elsewhere)[1] for name, value in _constant_weights(nodes) if name not in arrays}
        if not arrays:
            raise Unsuitable(
                "is no ONNX model with initialisers: it has no weights. TensorFlow's saved_model.pb, Core ML's .mlmodel, "
                "Caffe's .solverstate and .binaryproto begin as ONNX does, and are not read; take the network in another "
                "kind of file"
            )
        return NamedArrays(_named(arrays, nodes), metadata=metadata, beside=elsewhere.paths)


class Node(NamedTuple):
    """A step of the graph, as far as it is read: its name, the names of what it takes and gives, and a tensor it may have."""

    operator: str
    name: str
    inputs: list[str]
    outputs: list[str]
    tensor: memoryview | None


def _node(message: memoryview) -> Node:
    texts: dict[int, list[str]] = {NODE_INPUT: [], NODE_OUTPUT: [], NODE_NAME: [""], NODE_OPERATOR: [""]}
    tensor = None
    for number, value in fields(message):
        if number in texts:
            texts[number].append(text(value))
        elif number == NODE_ATTRIBUTE:
            tensor = next((nested(part) for kind, part in fields(nested(value)) if kind == ATTRIBUTE_TENSOR), tensor)
    return Node(texts[NODE_OPERATOR][-1], texts[NODE_NAME][-1], texts[NODE_INPUT], texts[NODE_OUTPUT], tensor)


def _constant_weights(nodes: list[Node]) -> list[tuple[str, memoryview]]:
    """The tensors of nodes "Constant" that are weights, by name."""
    weights = {name for node in nodes if node.operator in (*WITH_WEIGHTS, NORM) for name in node.inputs[1:]}
    return [
        (node.outputs[0], node.tensor)
        for node in nodes
        if node.operator == "Constant" and node.tensor is not None and node.outputs and node.outputs[0] in weights
    ]


def _named(arrays: dict[str, np.ndarray], nodes: list[Node]) -> dict[str, np.ndarray]:
    """The arrays, those without names of their own called after the layers that use them, and copies under their names."""
    copies = {name: node.inputs[0] for node in nodes if node.operator == "Identity" and node.inputs for name in node.outputs}
    for copy, name in copies.items():
        if name in arrays and copy not in arrays:
            arrays[copy] = arrays[name]
    found: dict[str, str] = {}  # a new name -> the file's
    for node in nodes:
        if node.operator not in WITH_WEIGHTS or len(node.inputs) < 2:
            continue
        weight, bias = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else ""
        module = layer_of(node.name) if weight.startswith(NAMELESS) else weight.removeprefix(FUSED).removesuffix(".weight")
        if module in ("", weight):
            continue
        found[f"{module}.weight"] = weight
        if bias.startswith((NAMELESS, FUSED_BIAS)) or bias == f"{weight}_bias":
            found[f"{module}.bias"] = bias
    found = {new: old for new, old in found.items() if old in arrays and new not in arrays}
    dropped = {*found.values(), *_settings(nodes), *(name for name in arrays if name.startswith(CONSTANT))}
    return {name: array for name, array in arrays.items() if name not in dropped} | {
        new: arrays[old] for new, old in found.items()
    }


def _settings(nodes: list[Node]) -> set[str]:
    """The names of what is used by nodes as nothing but a setting."""
    settings: set[str] = set()
    others: set[str] = set()
    for node in nodes:
        first = 1 if node.operator in WITH_SETTINGS else len(node.inputs)
        others.update(node.inputs[:first])
        settings.update(node.inputs[first:])
    return settings - others


def layer_of(node: str) -> str:
    """The path of the layer that PyTorch's first exporter has made a node of, from the node's name; "" if it does not say.

    >>> layer_of("/layer1/layer1.0/conv1/Conv"), layer_of("/features/features.0/features.0.1/Conv_2"), layer_of("Conv_3")
    ('layer1.0.conv1', 'features.0.1', '')
    """
    path: list[str] = []
    for part in node.split("/")[1:-1]:
        if path and part.startswith(f"{path[-1]}."):  # a child that is named with its parent
            path.pop()
        path.append(part)
    return ".".join(path)


def _tensor(message: memoryview, elsewhere: Elsewhere) -> tuple[str, np.ndarray]:
    """Name and array of a TensorProto."""
    name, data_type, raw = "", 0, None
    shape: list[int] = []
    stored: dict[int, list[Value]] = {}
    place: dict[str, str] = {}
    for number, value in fields(message):
        if number == DIMS:
            shape += integers(value).tolist()
        elif number == TYPE:
            data_type = integer(value)
        elif number == NAME:
            name = text(value)
        elif number == RAW:
            raw = nested(value)
        elif number == ELSEWHERE:
            key, content = (text(part) for _, part in fields(nested(value)))
            place[key] = content
        elif number == LOCATION and integer(value):
            place.setdefault("location", "")
        elif number in (FLOATS, INT32S, INT64S, DOUBLES, UINT64S):
            stored.setdefault(number, []).append(value)
    if data_type not in TYPES:
        raise Unsuitable(f"has {name[:200]!r} in ONNX's type number {data_type}, which is none of NumPy's types of numbers")
    dtype, field = TYPES[data_type]
    if place:
        raw = elsewhere.numbers(name, place, shape, itemsize(dtype))
    if raw is None:
        raw = _raw(stored.get(field, []), dtype, field)
    return name, array_of(raw, dtype, shape, name)


class Elsewhere:
    """The files beside a model that have the numbers of its arrays, as PyTorch's newest exporter writes them ("net.onnx.data").

    Only files in the model's own folder are read, whatever path it gives.
    """

    def __init__(self, path: str | os.PathLike):
        self.folder = Path(path).parent
        self.contents: dict[str, Bounded] = {}
        self.open = ExitStack()  # of these files

    @property
    def paths(self) -> list[Path]:
        """Of those that were read."""
        return [self.folder / file for file in self.contents]

    def numbers(self, name: str, place: dict[str, str], shape: list[int], width: int) -> bytes:
        """The numbers of an array of this shape, each of so many bytes."""
        file, offset = place.get("location", ""), int(place.get("offset", 0))
        count = math.prod(shape) if len(shape) <= MOST_AXES and all(length >= 0 for length in shape) else 0
        if not file or Path(file).name != file or file in (".", ".."):
            raise Unsuitable(
                f"keeps {name[:200]!r} in another file; put all into one with onnx.save(onnx.load(path), new_path)"
            )
        if file not in self.contents:
            if not (self.folder / file).is_file():
                raise Unsuitable(
                    f"keeps {name[:200]!r} in the file {file[:200]!r}, which is not beside it; put it there under that name"
                )
            self.contents[file] = Bounded(self.open.enter_context(open(self.folder / file, "rb")))  # noqa: SIM115
        return self.contents[file].at(offset, count * width)


def _raw(values: list[Value], dtype: str, field: int) -> bytes | memoryview:
    """The numbers of a repeated field as they would lie in memory, little-endian."""
    if field in (FLOATS, DOUBLES):
        return joined(values)
    type_of_bits = np.dtype(BITS.get(dtype, dtype)).newbyteorder("<")
    return b"".join(integers(value).astype(type_of_bits).tobytes() for value in values)
