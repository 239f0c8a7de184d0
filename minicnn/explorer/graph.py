"""A network as a list of nodes: containers taken apart, each node with the nodes it reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import layers
from ..layers import AuxiliaryHead, Concat, DropConnect, Layer, Residual, Sequential, StochasticDepth, VanillaDropout
from ..layers.receptive_field import ReceptiveField, union

# The types that the page computes by itself. All others are opaque: their outputs are computed here, picture by picture.
COMPUTED = (
    *(layers.Conv2d, layers.Linear, layers.DropConnect, layers.BatchNorm1d, layers.BatchNorm2d, layers.LocalResponseNorm),
    *(layers.ReLU, layers.ReLU6, layers.LeakyReLU, layers.ELU, layers.Sigmoid, layers.Tanh, layers.GELU, layers.Maxout),
    *(layers.MaxPool2d, layers.AvgPool2d, layers.GlobalAvgPool2d, layers.AdaptiveAvgPool2d, layers.PadChannels, layers.Flatten),
)


@dataclass
class Node:
    """One step of the forward pass.

    Attributes
    ----------
    path : str
        The layer's path in the network; of a sum or a junction, the path of the container that it belongs to.
    type : str
        The layer's type, or "Input", "Add" (where the paths of a `Residual` meet), "Concat", "Scale" (y = factor x) or
        "Identity" (what matters to training only).
    inputs : list of int
        The numbers of the nodes whose outputs it reads.
    shape : tuple of int
        Of its output for one picture: (C, H, W) or (D,).
    config : dict
        The layer's arguments; of windows also "pads", (top, bottom, left, right), in pixels.
    layer : Layer or None
        What owns the weights, if there are any.
    receptive_field : ReceptiveField or None
        None where an element of the output does not see a window of the picture.
    multiply_adds : int
        For one picture.
    is_opaque : bool
        Whether this is a layer that the page cannot compute.
    """

    path: str
    type: str
    inputs: list[int]
    shape: tuple[int, ...]
    config: dict[str, Any] = field(default_factory=dict)
    layer: Layer | None = None
    receptive_field: ReceptiveField | None = None
    multiply_adds: int = 0
    is_opaque: bool = False

    @property
    def group(self) -> str:
        """The name of the top-level layer that it belongs to."""
        return self.path.partition(".")[0]

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights and statistics, by name."""
        if self.layer is None:
            return {}
        return {name: parameter.value for name, parameter in self.layer.parameters().items()} | self.layer.state()


def nodes_of(network: Sequential, input_shape: tuple[int, int, int]) -> list[Node]:
    """The nodes in an order in which they can be computed: the input first, the scores last.

    >>> from minicnn.layers import Conv2d, Flatten, Linear, ReLU, Residual
    >>> block = Residual(Sequential(conv=Conv2d(1, 1, 3, pad=1), relu=ReLU()))
    >>> network = Sequential(block=block, flatten=Flatten(), scores=Linear(16, 2))
    >>> [(node.type, node.inputs) for node in nodes_of(network, (1, 4, 4))]
    [('Input', []), ('Conv2d', [0]), ('ReLU', [1]), ('Add', [2, 0]), ('Flatten', [3]), ('Linear', [4])]
    """
    nodes = [Node("input", "Input", [], tuple(input_shape), receptive_field=ReceptiveField())]
    last = 0
    for name, layer in network.children().items():
        last = _add(nodes, name, layer, last)
    return nodes


def _add(nodes: list[Node], path: str, layer: Layer, below: int) -> int:
    """Append what ``layer`` computes from the output of node ``below``; returns the number of the node with its output."""
    x = nodes[below]
    x_shape = (1, *x.shape)
    if layer.is_identity_in_inference or isinstance(layer, AuxiliaryHead):
        return _append(nodes, Node(path, "Identity", [below], x.shape, {"of": type(layer).__name__}, None, x.receptive_field))
    if isinstance(layer, Sequential):
        for name, child in layer.children().items():
            below = _add(nodes, f"{path}.{name}", child, below)
        return below
    if isinstance(layer, (Residual, Concat)):
        ends = [_add(nodes, f"{path}.{name}", child, below) for name, child in layer.children().items()]
        if isinstance(layer, Residual) and layer.shortcut is None:
            ends.append(below)
        joined = "Add" if isinstance(layer, Residual) else "Concat"
        shape = tuple(layer.output_shape(x_shape)[1:])
        return _append(nodes, Node(path, joined, ends, shape, receptive_field=_joined([nodes[end] for end in ends])))
    if isinstance(layer, (StochasticDepth, VanillaDropout)):
        is_branch = isinstance(layer, StochasticDepth)
        end = _add(nodes, f"{path}.body", layer.body, below) if is_branch else below
        factor, y = layer.survival if is_branch else 1 - layer.p, nodes[end]
        config = {"factor": factor, "of": type(layer).__name__}
        return _append(nodes, Node(path, "Scale", [end], y.shape, config, None, y.receptive_field))
    kind = "Linear" if isinstance(layer, DropConnect) else type(layer).__name__
    config = layer.config()
    if hasattr(layer, "geometry"):
        config["pads"] = list(layer.geometry(x_shape).pads)
    node = Node(path, kind, [below], tuple(layer.output_shape(x_shape)[1:]), config, layer)
    node.receptive_field = _through(layer, x.receptive_field, x_shape)
    node.multiply_adds = layer.multiply_adds(x_shape)
    node.is_opaque = type(layer) not in COMPUTED
    return _append(nodes, node)


def _append(nodes: list[Node], node: Node) -> int:
    nodes.append(node)
    return len(nodes) - 1


def _through(layer: Layer, below: ReceptiveField | None, x_shape: tuple[int, ...]) -> ReceptiveField | None:
    try:
        return below and layer.receptive_field(below, x_shape)
    except ValueError:  # not a map of windows
        return None


def _joined(nodes: list[Node]) -> ReceptiveField | None:
    fields = [node.receptive_field for node in nodes]
    if None in fields or len({field.stride for field in fields}) > 1:
        return None
    return union(None, fields)
