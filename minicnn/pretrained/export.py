"""From networks of ours to files that other programs read: ONNX, safetensors, NumPy's npz."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import __version__
from ..layers import Conv2d, Layer
from ..models import ARCHITECTURES, Model
from ..models.strict import arrays_of
from .convert import foreign_names
from .export_metadata import metadata_of
from .onnx_graph import INPUT, OUTPUT, Graph
from .untrained import NoRandomness
from .writers import write_npz, write_onnx, write_safetensors

FORMATS = {"onnx": ".onnx", "safetensors": ".safetensors", "npz": ".npz"}  # and the usual suffix of each
NAMES = "torchvision"  # whose names arrays get, where the architecture has them
GEOMETRY = ("kernel_size", "stride", "pad", "dilation", "groups", "ceil_mode", "count_include_pad", "eps")


@dataclass(frozen=True)
class Exported:
    """What went into a file.

    Attributes
    ----------
    arrays : int
        How many the network has.
    named : int
        How many of these have torchvision's names; the others have ours.
    metadata : dict from str to str
    unlike : list of str
        Layers that compute something else than those of the same names in torchvision's network: strides, padding or constants
        that the weights were trained with and a file of weights cannot hold. In ONNX they are part of the graph.
    """

    arrays: int
    named: int
    metadata: dict[str, str]
    unlike: list[str]


def export(model: Model, path: str | os.PathLike, to: str) -> Exported:
    """Write a model to a file for other programs; a file that is there is replaced in one step at the end.

    Parameters
    ----------
    model : Model
    path : path
    to : "onnx", "safetensors" or "npz"
        ONNX has the network and its weights: input "input" (N, C, H, W), prepared as the metadata says, output "output", the
        scores. The other two have the weights alone, in PyTorch's layout, (F, C, KH, KW) and (out, in).

    Arrays have torchvision's names where the architecture has any, so that ``load_state_dict`` takes them; others have ours.
    The metadata has the architecture, the preprocessing (as JSON and in words), the class names, and how scores become
    probabilities; and the form of each layer, with which `minicnn.pretrained.convert.convert` makes the same model again.

    Raises
    ------
    ValueError
        If there is no such format, or a layer has no counterpart in ONNX.
    OSError
        If the file cannot be written.

    >>> import tempfile
    >>> from minicnn.models import resnet20
    >>> export(resnet20(), f"{tempfile.mkdtemp()}/net.safetensors", "safetensors").named
    97
    """
    if to not in FORMATS:
        raise ValueError(f"there is no way out to {to!r}; there are {', '.join(FORMATS)}")
    names = _names(model)
    metadata = metadata_of(model, names, training=to != "onnx")
    if to == "onnx":
        graph = Graph(model, names)
        shapes = {INPUT: ("N", *model.input_shape)}, {OUTPUT: ("N", *graph.output_shape[1:])}
        write_onnx(path, graph.nodes, graph.arrays, *shapes, metadata, __version__)
    else:
        arrays = {names.get(name, name): array.astype(np.float32) for name, array in arrays_of(model).items()}
        (write_safetensors if to == "safetensors" else write_npz)(path, arrays, metadata)
    unlike = [] if to == "onnx" or not names else list(_unlike(model))
    ours = arrays_of(model)
    return Exported(len(ours), len(set(ours) & set(names)), metadata, unlike)


def _names(model: Model) -> dict[str, str]:
    """torchvision's names of the model's arrays, as far as it has any."""
    try:
        return foreign_names(model, NAMES)
    except ValueError:
        return {}


def _unlike(model: Model) -> Iterator[str]:
    """The layers whose geometry or constants are not those of torchvision's network."""
    usual = ARCHITECTURES.get(model.architecture)
    if usual is None:
        return
    theirs = dict(usual(rng=NoRandomness()).walk())
    for path, layer in model.walk():
        if path in theirs and _constants(layer) != _constants(theirs[path]):
            yield path


def _constants(layer: Layer) -> dict[str, Any]:
    """What a layer's result depends on besides its weights."""
    constants = {} if layer.children() else {name: value for name, value in layer.config().items() if name in GEOMETRY}
    if isinstance(layer, Conv2d) and layer.groups == layer.in_channels:
        constants.pop("groups")  # as many as there are channels, whose number may be another
    return constants
