"""Heads that people put on published networks: from the code to the scores by one or more fully connected layers.

What a file has of such a head is the weights of its fully connected layers. Dropout leaves no trace and changes nothing in
inference; between two layers there is taken to be a ReLU, as nearly always. What has other weights, batch norms say, cannot be
told from the file and is not built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..layers import AdaptiveAvgPool2d, Flatten, GlobalAvgPool2d, Layer, Linear, ReLU, Sequential
from ..models import Model
from ..models.blocks import Rng
from ..text import named
from .names.base import Source, Table, without_leading_ones
from .wrapping import OUTSIDE

HIDDEN = "hidden"  # layers of the head below its last: hidden1, relu_hidden1, hidden2, ...


class Dense(NamedTuple):
    """A fully connected layer in a file.

    Attributes
    ----------
    name : str
    inputs, outputs : int
    weights : str
        The name of its array of weights.
    bias : str
        The name of its biases, whether the file has any or not.
    """

    name: str
    inputs: int
    outputs: int
    weights: str
    bias: str

    @property
    def parent(self) -> str:
        """What the names of the head's other layers begin with, too."""
        return self.name[: max(self.name.rfind("."), self.name.rfind("/")) + 1]


def dense_layers(arrays: Mapping[str, np.ndarray], source: Source) -> list[Dense]:
    """All fully connected layers among the arrays, in the file's order."""
    found = []
    for name, array in arrays.items():
        shape = (without_leading_ones(array, 2) if source.leading_ones else array).shape
        for weights, bias in source.linear:
            if name.endswith(weights) and len(shape) == 2:
                outputs, inputs = shape if source.outputs_first else shape[::-1]
                layer = name.removesuffix(weights)
                found.append(Dense(layer, inputs, outputs, name, f"{layer}{bias}"))
                break
    return found


def find_head(arrays: Mapping[str, np.ndarray], source: Source, features: int) -> tuple[list[Dense], str]:
    """The layers of a head on a code of so many numbers, and why there are none, if there are arrays that may be one.

    Parameters
    ----------
    arrays : mapping from name to array
        Of the file, those that are not of the network below the head, and no helpers.
    source : Source
    features : int

    Returns
    -------
    layers : list of Dense
        Each takes what the one before gives. Empty if no head can be told.
    reason : str
        Empty if there are layers, or nothing that may be a head.
    """
    layers = dense_layers(arrays, source)
    first = [layer for layer in layers if layer.inputs == features]
    if not first:
        weights = _named([layer.weights for layer in layers])
        return [], f"none of its layers takes the {features} numbers that the network gives ({weights})" if layers else ""
    chain, parent = first[:1], first[0].parent
    for layer in layers[layers.index(first[0]) + 1 :]:
        if layer.parent == parent and layer.inputs == chain[-1].outputs:
            chain.append(layer)
    if several := [layer.name for layer in first if layer not in chain]:
        return [], f"there are several, {_named([first[0].name, *several])}"
    own = {name for layer in chain for name in (layer.weights, layer.bias)}
    others = [name for name in arrays if name not in own and (parent in ("", OUTSIDE) or name.startswith(parent))]
    if others:
        return [], f"it has more than fully connected layers: {_named(others)}"
    return chain, ""


def _named(names: list[str]) -> str:
    return named([name.removeprefix(OUTSIDE) for name in names])


def code_size(model: Model) -> int | None:
    """How many numbers the first layer above the network's body is given; None if that layer is not a Linear one."""
    shape: tuple[int, ...] = (1, *model.input_shape)
    for layer in model.layers.values():
        if isinstance(layer, Linear):
            return shape[1]
        shape = layer.output_shape(shape)
        if len(shape) == 2 and layer.parameters():
            return None
    return None


def last_channels(model: Model) -> int | None:
    """How many channels the last map has, which the network flattens or averages; None if it does neither."""
    shape: tuple[int, ...] = (1, *model.input_shape)
    for layer in model.layers.values():
        if isinstance(layer, (Flatten, GlobalAvgPool2d)):
            return shape[1]
        shape = layer.output_shape(shape)
    return None


def with_head(model: Model, head: list[Dense], rng: Rng) -> Model:
    """The network with a head of these sizes in the place of all from its first Linear layer on.

    Where the network flattens its last map, and the head takes a number for each channel, they are the channels' averages; and
    where the network averages it, and the head takes more, the map is flattened.
    """
    rng = np.random.default_rng(rng)
    layers: dict[str, Layer] = {}
    takes_averages = head[0].inputs == last_channels(model)
    for name, layer in model.layers.items():
        if isinstance(layer, Linear):
            break
        if isinstance(layer, GlobalAvgPool2d) and not takes_averages:
            layers["flatten"] = Flatten()
        elif isinstance(layer, Flatten) and takes_averages:
            layers["average"] = GlobalAvgPool2d()
        elif not (isinstance(layer, AdaptiveAvgPool2d) and takes_averages):
            layers[name] = layer
    for i, layer in enumerate(head[:-1], 1):
        layers[f"{HIDDEN}{i}"] = Linear(layer.inputs, layer.outputs, rng=rng)
        layers[f"relu_{HIDDEN}{i}"] = ReLU()
    layers[model.classifier_name] = Linear(head[-1].inputs, head[-1].outputs, rng=rng)
    return Model(**model.config() | {"layers": layers, "classes": None})


def table_with(head: list[Dense], model: Sequential, table: Table) -> Table:
    """The table with the names of the head's layers in front."""
    names = [f"{HIDDEN}{i}" for i in range(1, len(head))] + [list(model.layers)[-1]]
    return (*((ours, layer.name) for ours, layer in zip(names, head, strict=True)), *table)
