"""From the names that others give to weights to ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from ..layers import Layer
from .strict import arrays_of

# EfficientNet-PyTorch, in whose names the Lite0 weights are stored: path of one of our units -> (convolution, batch norm) there
UNITS = {
    "stem": ("_conv_stem", "_bn0"),
    "head": ("_conv_head", "_bn1"),
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}
# running_mean and running_var are called so on both sides
ARRAYS = {"w": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}


def efficientnet_name(ours: str) -> str:
    """What the EfficientNet-PyTorch project calls one of our EfficientNet's arrays.

    >>> efficientnet_name("block3.body.depthwise.norm.gamma")
    '_blocks.3._bn1.weight'
    >>> efficientnet_name("stem.conv.w"), efficientnet_name("classifier.b")
    ('_conv_stem.weight', '_fc.bias')
    """
    *path, array = ours.replace(".body.", ".").split(".")
    array = ARRAYS.get(array, array)
    if path == ["classifier"]:
        return f"_fc.{array}"
    block = re.fullmatch(r"block(\d+)", path[0])
    where = f"_blocks.{block[1]}." if block else ""
    return f"{where}{UNITS[path[-2]][path[-1] == 'norm']}.{array}"


def renamed(layer: Layer, arrays: Mapping[str, np.ndarray], theirs: Callable[[str], str]) -> dict[str, np.ndarray]:
    """Foreign arrays under our names: ``theirs`` translates each of the network's names; foreign names that remain are kept.

    PyTorch counts the batches that a batch norm has seen (``num_batches_tracked``), which no computation here uses: left out.
    """
    rest = {name: array for name, array in arrays.items() if not name.endswith("num_batches_tracked")}
    ours = {name: theirs(name) for name in arrays_of(layer)}
    found = {name: rest.pop(foreign) for name, foreign in ours.items() if foreign in rest}
    return found | rest
