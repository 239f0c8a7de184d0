"""The layer that gives a network's scores: where it is, and how another takes its place."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..initializers import Initializer
from ..layers import (
    AuxiliaryHead,
    Conv2d,
    GlobalAvgPool2d,
    Layer,
    Linear,
    ReLU,
    Sequential,
)

Classifier = Linear | Conv2d


def find_classifier(network: Sequential) -> tuple[str, Classifier]:
    """Path and layer of the classifier, which gives the scores: the last layer with weights.

    It is a Linear layer; or, as in SqueezeNet, a 1x1 Conv2d that makes a map of scores for each class, of which a
    GlobalAvgPool2d takes the average.

    Raises
    ------
    ValueError
        If the network ends in anything else.
    """
    above: list[type[Layer]] = []
    for path, layer in reversed(list(_layers_in_a_row(network))):
        is_map_of_scores = isinstance(layer, Conv2d) and layer.kernel_size == (1, 1) and GlobalAvgPool2d in above
        if isinstance(layer, Linear) or is_map_of_scores:
            return path, layer
        if layer.parameters():
            break
        above.append(type(layer))
    raise ValueError(
        f"{getattr(network, 'architecture', network)} has no classifier: a Linear layer, or a 1x1 Conv2d under a "
        f"GlobalAvgPool2d, as its last layer with weights. Its layers are {', '.join(network.layers)}. "
        "Was it built with include_top=False?"
    )


def replace_classifier(
    network: Sequential, classes: int, initializer: Initializer, rng: np.random.Generator | int | None = None
) -> Classifier:
    """Put a new layer of the same kind, for another number of classes, in the place of the classifier, and return it.

    What belongs to the old classes goes with it: auxiliary heads, and a ReLU after the classifier; see ``Model.replace_head``.

    Parameters
    ----------
    network : Sequential
    classes : int
    initializer : Initializer
        Draws the new weights; the biases are 0.
    rng : None, int or numpy.random.Generator

    Raises
    ------
    ValueError
        If the network does not end in a classifier, as in ``find_classifier``.
    """
    path, old = find_classifier(network)
    outputs = "out_features" if isinstance(old, Linear) else "out_channels"
    new = type(old)(**old.config() | {outputs: classes, "bias": True}, initializer=initializer, rng=rng)
    new.astype(old.w.value.dtype)
    new.name, new.training, new.remembers = old.name, old.training, old.remembers

    *containers, name = path.split(".")
    parent = network
    for container in containers:
        parent = parent.layers[container]
    parent.layers[name] = new
    names = list(parent.layers)
    above = names[names.index(name) + 1 :]
    if above and isinstance(parent.layers[above[0]], ReLU):
        del parent.layers[above[0]]
    for auxiliary in [name for name, layer in network.layers.items() if isinstance(layer, AuxiliaryHead)]:
        del network.layers[auxiliary]
    return new


def _layers_in_a_row(layer: Sequential, path: str = "") -> Iterator[tuple[str, Layer]]:
    """The layers that run one after another, with their paths: a Sequential is opened, a layer with branches is one layer."""
    for name, child in layer.layers.items():
        if isinstance(child, Sequential):
            yield from _layers_in_a_row(child, f"{path}{name}.")
        else:
            yield f"{path}{name}", child
