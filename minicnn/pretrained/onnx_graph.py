"""A network of ours as an ONNX graph: for each layer the nodes that compute the same in inference.

All sizes but the number of pictures are fixed, so padding is written out in pixels and nothing is left to how a runtime
understands "same" or rounding up.

Source: https://github.com/onnx/onnx/blob/main/docs/Operators.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..kernels.elementwise import GELU_CONSTANTS
from ..layers import (
    ELU,
    GELU,
    AdaptiveAvgPool2d,
    AuxiliaryHead,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Concat,
    Conv2d,
    DropConnect,
    Dropout,
    Flatten,
    FractionalMaxPool2d,
    GlobalAvgPool2d,
    Layer,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    Maxout,
    MaxPool2d,
    PadChannels,
    ReLU,
    ReLU6,
    Residual,
    Sequential,
    Sigmoid,
    StochasticDepth,
    Tanh,
    VanillaDropout,
)
from ..models import Model
from .writers import Node

Shape = tuple[int, ...]
INPUT, OUTPUT = "input", "output"


class Graph:
    """The nodes and arrays of a network's graph, from ``INPUT`` to ``OUTPUT``.

    Parameters
    ----------
    model : Model
    names : mapping from our name to name
        What the arrays are called in the graph; ours, where it does not say.

    Attributes
    ----------
    nodes : list of Node
    arrays : dict from name to array
        The model's and a few constants.
    output_shape : tuple of int

    Raises
    ------
    ValueError
        If a layer has no counterpart in ONNX: one of the user's own, or of a fused copy.
    """

    def __init__(self, model: Model, names: Mapping[str, str]):
        self.names = names
        self.nodes: list[Node] = []
        self.arrays: dict[str, np.ndarray] = {}
        shape: Shape = (1, *model.input_shape)
        result = INPUT
        for name, layer in model.layers.items():
            result, shape = self.add(layer, name, result, shape)
        self.nodes.append(Node("Identity", [result], [OUTPUT], {}))
        self.output_shape = shape

    def add(self, layer: Layer, path: str, x: str, shape: Shape) -> tuple[str, Shape]:
        """Put the nodes of a layer behind x, which has this shape; gives the name and the shape of its result."""
        translate = TRANSLATIONS.get(type(layer))
        if translate is None:
            raise ValueError(
                f"layer {path!r} is a {type(layer).__name__}, for which ONNX has no node that is known here; cut the network "
                "below it, or export the weights alone (safetensors, npz). A fused copy is exported as the model it was made of"
            )
        return translate(self, layer, path, x, shape), layer.output_shape(shape)

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node, and return the name of its output: the path of its layer with a slash before it, which no array has."""
        name = f"/{output}"
        self.nodes.append(Node(operator, inputs, [name], attributes))
        return name

    def own(self, layer: Layer, path: str, *names: str) -> list[str]:
        """Put arrays of a layer into the graph; those that it has not are left out. Their names there."""
        there = {name: parameter.value for name, parameter in layer.parameters().items()} | layer.state()
        called = {name: self.names.get(f"{path}.{name}", f"{path}.{name}") for name in names if name in there}
        self.arrays |= {theirs: there[name].astype(np.float32) for name, theirs in called.items()}
        return list(called.values())

    def constant(self, name: str, array: np.ndarray) -> str:
        """Put an array into the graph that is none of the network's, and return its name."""
        self.arrays[f"/{name}"] = array
        return f"/{name}"


# ---- layers with weights


def _conv(graph: Graph, layer: Conv2d, path: str, x: str, shape: Shape) -> str:
    kernel, stride, (top, bottom, left, right), dilation = layer.geometry(shape)
    return graph.node(
        "Conv",
        [x, *graph.own(layer, path, "w", "b")],
        path,
        kernel_shape=kernel,
        strides=stride,
        pads=(top, left, bottom, right),
        dilations=dilation,
        group=layer.groups,
    )


def _linear(graph: Graph, layer: Linear, path: str, x: str, shape: Shape) -> str:
    return graph.node("Gemm", [x, *graph.own(layer, path, "w", "b")], path, transB=1)


def _norm(graph: Graph, layer: BatchNorm2d, path: str, x: str, shape: Shape) -> str:
    arrays = graph.own(layer, path, "gamma", "beta", "running_mean", "running_var")
    return graph.node("BatchNormalization", [x, *arrays], path, epsilon=layer.eps)


# ---- pools


def _overhang(layer: MaxPool2d | AvgPool2d, shape: Shape) -> tuple[Shape, Shape]:
    """Padding (top, left, bottom, right), and how far the last windows hang over the padded picture, below and beside it."""
    kernel, stride, (top, bottom, left, right), _ = layer.geometry(shape)
    padded = (shape[2] + top + bottom, shape[3] + left + right)
    windows = layer.output_shape(shape)[2:]
    over = tuple(max((n - 1) * s + k - p, 0) for n, s, k, p in zip(windows, stride, kernel, padded, strict=True))
    return (top, left, bottom, right), over


def _max_pool(graph: Graph, layer: MaxPool2d, path: str, x: str, shape: Shape) -> str:
    """ONNX's padding never wins either, so windows that hang over the edge are padded windows."""
    (top, left, bottom, right), (below, beside) = _overhang(layer, shape)
    pads = (top, left, bottom + below, right + beside)
    return graph.node("MaxPool", [x], path, kernel_shape=layer.kernel_size, strides=layer.stride, pads=pads)


def _avg_pool(graph: Graph, layer: AvgPool2d, path: str, x: str, shape: Shape) -> str:
    """Padding that counts is put there as zeros first; then what still hangs over does not count."""
    (top, left, bottom, right), (below, beside) = _overhang(layer, shape)
    if layer.count_include_pad and any((top, left, bottom, right)):
        pads = graph.constant(f"{path}.pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
        x = graph.node("Pad", [x, pads], f"{path}.padded")
        top = left = bottom = right = 0
    pads = (top, left, bottom + below, right + beside)
    return graph.node("AveragePool", [x], path, kernel_shape=layer.kernel_size, strides=layer.stride, pads=pads)


def _adaptive_pool(graph: Graph, layer: AdaptiveAvgPool2d, path: str, x: str, shape: Shape) -> str:
    """Rows are averaged by a matrix from the left, columns by one from the right: y = A x B."""
    if layer.output_size == shape[2:]:  # each window is a pixel
        return x
    rows, columns = (_averages(n, out) for n, out in zip(shape[2:], layer.output_size, strict=True))
    left, right = graph.constant(f"{path}.rows", rows), graph.constant(f"{path}.columns", columns.T.copy())
    return graph.node("MatMul", [graph.node("MatMul", [left, x], f"{path}.averaged_rows"), right], path)


def _averages(length: int, windows: int) -> np.ndarray:
    """(windows, length): row i averages the pixels under the i-th of the windows that divide the axis."""
    averages = np.zeros((windows, length), np.float32)
    for i, row in enumerate(averages):
        under = slice(i * length // windows, -(-(i + 1) * length // windows))
        row[under] = 1 / (under.stop - under.start)
    return averages


def _global_pool(graph: Graph, layer: GlobalAvgPool2d, path: str, x: str, shape: Shape) -> str:
    return graph.node("Flatten", [graph.node("GlobalAveragePool", [x], f"{path}.averages")], path, axis=1)


def _fractional_pool(graph: Graph, layer: FractionalMaxPool2d, path: str, x: str, shape: Shape) -> str:
    """The regions of inference: the largest of their first rows, second rows, ..., and then the same of columns."""
    for axis, regions in enumerate(layer.regions(shape, training=False), start=2):
        first, end = regions.T
        taps = []
        for k in range((end - first).max()):  # a shorter region has its last row again
            rows = graph.constant(f"{path}.{axis}.{k}", np.minimum(first + k, end - 1))
            taps.append(graph.node("Gather", [x, rows], f"{path}.{axis}.{k}.taken", axis=axis))
        x = graph.node("Max", taps, path if axis == 3 else f"{path}.rows")
    return x


# ---- containers


def _sequential(graph: Graph, layer: Sequential, path: str, x: str, shape: Shape) -> str:
    for name, child in layer.layers.items():
        x, shape = graph.add(child, f"{path}.{name}", x, shape)
    return x


def _residual(graph: Graph, layer: Residual, path: str, x: str, shape: Shape) -> str:
    body, _ = graph.add(layer.body, f"{path}.body", x, shape)
    shortcut = graph.add(layer.shortcut, f"{path}.shortcut", x, shape)[0] if layer.shortcut else x
    return graph.node("Add", [body, shortcut], path)


def _stochastic_depth(graph: Graph, layer: StochasticDepth, path: str, x: str, shape: Shape) -> str:
    body, _ = graph.add(layer.body, f"{path}.body", x, shape)
    return _scaled(graph, layer.survival, path, body)


def _concat(graph: Graph, layer: Concat, path: str, x: str, shape: Shape) -> str:
    branches = [graph.add(branch, f"{path}.{name}", x, shape)[0] for name, branch in layer.branches.items()]
    return graph.node("Concat", branches, path, axis=1)


# ---- the rest


def _scaled(graph: Graph, factor: float, path: str, x: str) -> str:
    return graph.node("Mul", [x, graph.constant(f"{path}.factor", np.array(factor, np.float32))], path)


def _vanilla_dropout(graph: Graph, layer: VanillaDropout, path: str, x: str, shape: Shape) -> str:
    return _scaled(graph, 1 - layer.p, path, x)


def _maxout(graph: Graph, layer: Maxout, path: str, x: str, shape: Shape) -> str:
    groups = np.array([0, shape[1] // layer.pieces, layer.pieces, *shape[2:]], np.int64)  # 0: as many as there are
    x = graph.node("Reshape", [x, graph.constant(f"{path}.groups", groups)], f"{path}.grouped")
    return graph.node("ReduceMax", [x], path, axes=(2,), keepdims=0)


def _pad_channels(graph: Graph, layer: PadChannels, path: str, x: str, shape: Shape) -> str:
    pads = np.array([0, layer.before, 0, 0, 0, layer.after, 0, 0], np.int64)
    return graph.node("Pad", [x, graph.constant(f"{path}.pads", pads)], path)


def _local_response(graph: Graph, layer: LocalResponseNorm, path: str, x: str, shape: Shape) -> str:
    return graph.node("LRN", [x], path, size=layer.size, alpha=layer.alpha, beta=layer.beta, bias=layer.k)


def _relu6(graph: Graph, layer: ReLU6, path: str, x: str, shape: Shape) -> str:
    limits = [graph.constant(name, np.array(value, np.float32)) for name, value in (("/zero", 0), ("/six", 6))]
    return graph.node("Clip", [x, *limits], path)


def _gelu(graph: Graph, layer: GELU, path: str, x: str, shape: Shape) -> str:
    """x (1 + tanh(c x (1 + a x^2))) / 2, node by node: ONNX has a node for it only since version 20."""
    numbers = dict(zip(("c", "a"), GELU_CONSTANTS, strict=True)) | {"one": 1.0, "half": 0.5}
    c, a, one, half = (graph.constant(f"/gelu.{name}", np.array(value, np.float32)) for name, value in numbers.items())
    square = graph.node("Mul", [x, x], f"{path}.square")
    growing = graph.node("Add", [graph.node("Mul", [square, a], f"{path}.scaled"), one], f"{path}.growing")
    argument = graph.node("Mul", [graph.node("Mul", [x, growing], f"{path}.cubic"), c], f"{path}.argument")
    gate = graph.node("Add", [graph.node("Tanh", [argument], f"{path}.tanh"), one], f"{path}.gate")
    return graph.node("Mul", [graph.node("Mul", [x, half], f"{path}.half"), gate], path)


def _elementwise(operator: str, **arguments: str) -> Callable[..., str]:
    """An activation: a node whose attributes are attributes of the layer."""

    def translate(graph: Graph, layer: Layer, path: str, x: str, shape: Shape) -> str:
        attributes = {theirs: float(getattr(layer, ours)) for theirs, ours in arguments.items()}
        return graph.node(operator, [x], path, **attributes)

    return translate


def _nothing(graph: Graph, layer: Layer, path: str, x: str, shape: Shape) -> str:
    """What is the identity in inference has no node."""
    return x


def _flatten(graph: Graph, layer: Flatten, path: str, x: str, shape: Shape) -> str:
    return graph.node("Flatten", [x], path, axis=1)


TRANSLATIONS: dict[type[Layer], Callable[..., str]] = {
    Conv2d: _conv,
    Linear: _linear,
    DropConnect: _linear,
    BatchNorm1d: _norm,
    BatchNorm2d: _norm,
    MaxPool2d: _max_pool,
    FractionalMaxPool2d: _fractional_pool,
    AvgPool2d: _avg_pool,
    AdaptiveAvgPool2d: _adaptive_pool,
    GlobalAvgPool2d: _global_pool,
    Sequential: _sequential,
    Residual: _residual,
    StochasticDepth: _stochastic_depth,
    Concat: _concat,
    PadChannels: _pad_channels,
    Maxout: _maxout,
    LocalResponseNorm: _local_response,
    ReLU: _elementwise("Relu"),
    ReLU6: _relu6,
    LeakyReLU: _elementwise("LeakyRelu", alpha="slope"),
    ELU: _elementwise("Elu", alpha="alpha"),
    GELU: _gelu,
    Sigmoid: _elementwise("Sigmoid"),
    Tanh: _elementwise("Tanh"),
    Flatten: _flatten,
    Dropout: _nothing,
    VanillaDropout: _vanilla_dropout,
    AuxiliaryHead: _nothing,
}
