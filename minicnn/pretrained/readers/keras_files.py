"""Keras's files: ``.h5`` of Keras 1, 2 and 3, ``.weights.h5`` and ``.keras`` of Keras 3, as arrays named "layer/variable".

- An ``.h5`` of ``model.save_weights`` lists its layers in the attribute ``layer_names``; each layer is a group whose attribute
  ``weight_names`` lists its arrays. An ``.h5`` of ``model.save`` has the same in its group ``model_weights``. A list that is
  too long for an attribute is cut into ``layer_names0``, ``layer_names1``, ...
- A ``.weights.h5`` has a group ``layers`` with a group for each layer, called after its class (``conv2d``, ``conv2d_1``), in
  that ``vars``, and in that ``0``, ``1``, ... for its arrays. In newer versions ``vars`` has the layer's name as an attribute.
- A ``.keras`` is a zip archive with a ``model.weights.h5`` of that kind and ``config.json``, which has the names of the layers
  and, as the attribute ``model_config`` of an ``.h5`` does, describes the whole model.

Arrays are as Keras keeps them: kernels (KH, KW, C/groups, F), of depthwise convolutions (KH, KW, C, M), of Dense (in, out).

Source: ``keras/engine/topology.py`` of Keras 1.2, ``keras/engine/saving.py`` of 2.2, ``keras/src/saving/saving_lib.py`` of 3.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from .archives import Archive
from .hdf5 import Hdf5File, Object
from .keras_config import KerasModel, understand
from .opening import (
    HDF5_START,
    PARSING_ERRORS,
    ZIP_START,
    Damaged,
    Unsuitable,
    add,
    other_kind,
    weights_file,
)

Names = dict[str, tuple[str, "Names"]]  # group of a layer -> its name, and the same for layers inside it

WEIGHTS, CONFIG = "model.weights.h5", "config.json"
LONGEST_CONFIG = 8 << 20  # bytes
CONTAINERS = ("layers", "_layer_checkpoint_dependencies")  # the second is Keras 2.12's name for it
VARIABLES, OPTIMIZER = "vars", "optimizer"
FLIPS_KERNELS = "theano"
# Keras 1's names of variables, as in "conv1_W:0"; its running_std is a variance, in spite of its name
KERAS_1 = {
    "W": "kernel", "b": "bias", "depthwise_kernel": "depthwise_kernel", "pointwise_kernel": "pointwise_kernel",
    "gamma": "gamma", "beta": "beta", "running_mean": "moving_mean", "running_std": "moving_variance",
}  # fmt: skip


class KerasArrays(dict[str, np.ndarray]):
    """The arrays of a Keras file by name; ``model`` is what its description says, None if there is none that is understood."""

    def __init__(self, arrays: dict[str, np.ndarray], model: KerasModel | None):
        super().__init__(arrays)
        self.model = model


def read_keras(path: str | os.PathLike) -> KerasArrays:
    """The weights of a Keras file by name, layer after layer in the file's order, with the layout that Keras gave them.

    Names are "LAYER/VARIABLE" ("block1_conv1/kernel", "bn/moving_mean") where the file has names of variables, else "LAYER/0",
    "LAYER/1", ... in the order in which the layer made them: kernel, bias; gamma, beta, moving_mean, moving_variance. A layer
    inside a model inside the model is "MODEL/LAYER/VARIABLE". Where a ``.weights.h5`` has no names of layers, LAYER is that of
    its class with a number ("conv2d_1"). What an optimiser remembers is left out. bfloat16 becomes float32; other types stay.

    Raises
    ------
    WeightsError
        If the file is not there, damaged, truncated, of another kind, has numbers that are elsewhere or packed, or was written
        under Theano, whose convolutions flip their kernels.
    """
    with weights_file(path, "a Keras file") as file:
        start = file.read(64)
        names: Names = {}
        config: Any = {}
        if start.startswith(ZIP_START):
            archive = Archive(file)
            config = _config(archive)
            names = _names_in(config)
            file = io.BytesIO(archive.read(WEIGHTS))
        elif not start.startswith(HDF5_START):
            raise other_kind(start, "a Keras file")
        root = Hdf5File(file).root
        weights = root.child("model_weights") if "model_weights" in root.links else root
        layers = _list(weights, "layer_names")
        arrays: dict[str, np.ndarray] = {}
        for name, array in _by_class(root, names, "", set()) if layers is None else _by_name(weights, layers):
            add(arrays, name, array)
        if not arrays:
            raise Unsuitable(
                "has no weights where Keras keeps them: it is HDF5 of another program, or of a model without weights. Save the "
                "arrays by their names with numpy.savez, or the model with Keras's model.save('net.keras')"
            )
        return KerasArrays(arrays, _description(config or _config_of(root), arrays))


def _config_of(root: Object) -> Any:
    """The description of a whole model in an ``.h5``; nothing if the file has the weights alone."""
    texts = root.texts("model_config", LONGEST_CONFIG)
    return json.loads(texts[0]) if texts else {}


def _description(config: Any, arrays: dict[str, np.ndarray]) -> KerasModel | None:
    """What the description says, if it makes sense; the weights can be read without it."""
    try:
        return understand(config, arrays)
    except PARSING_ERRORS:
        return None


# ---- .h5: layers and their arrays are listed by name


def _by_name(weights: Object, layers: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of the layers, by the lists of names that the groups carry."""
    if weights.texts("backend") == [FLIPS_KERNELS]:
        raise Unsuitable(
            "was written by Keras under Theano, which flips the kernels of convolutions; load it there and save it after "
            "keras.utils.convert_all_kernels_in_model(model), with another backend"
        )
    for layer in layers:
        group = weights.child(layer)
        for variable in _list(group, "weight_names") or ():
            yield layer_and_variable(layer, variable), group.child(variable).array(variable)


def _list(group: Object, name: str) -> list[str] | None:
    """The texts of an attribute, which may be cut into several; None if the group has none of that name."""
    whole = group.texts(name)
    if whole is not None:
        return whole
    parts = []
    while (part := group.texts(f"{name}{len(parts)}")) is not None:
        parts.append(part)
    return [text for part in parts for text in part] if parts else None


def layer_and_variable(layer: str, variable: str) -> str:
    """One name for what the vintages of Keras call differently.

    >>> layer_and_variable("conv1", "conv1/kernel:0")  # Keras 2
    'conv1/kernel'
    >>> layer_and_variable("conv1", "vgg16/conv1_1/kernel:0")  # with the model's name, and after a second layer "conv1"
    'conv1/kernel'
    >>> layer_and_variable("conv1", "conv1_W_1:0")  # Keras 1
    'conv1/kernel'
    >>> layer_and_variable("vgg16", "conv1/kernel:0")  # a layer of a model inside the model
    'vgg16/conv1/kernel'
    """
    own, variable = re.escape(layer), re.sub(r":\d+$", "", variable)
    of_keras_1 = re.fullmatch(rf"{own}(?:_\d+)?_({'|'.join(KERAS_1)})(?:_\d+)?", variable)
    if of_keras_1:
        return f"{layer}/{KERAS_1[of_keras_1[1]]}"
    behind_it = re.search(rf"(?:^|/){own}/(.+)", variable) or re.search(rf"(?:^|/){own}_\d+/(.+)", variable)
    return f"{layer}/{behind_it[1] if behind_it else variable}"


# ---- .weights.h5 and .keras: layers are groups, their arrays are numbered


def _by_class(group: Object, names: Names, path: str, seen: set[int]) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a group and of all groups below it.

    Parameters
    ----------
    group : Object
    names : dict
        Names of the layers in it by their groups, as far as they are known.
    path : str
        What stands before the names of its arrays.
    seen : set of int
        Addresses of groups that are done; a group that is met again would lead in a circle, or multiply without end.
    """
    if group.address in seen:
        raise Damaged(f"has one group in two places, one of them {path[:200]!r}")
    seen.add(group.address)
    for name in group.links:
        if not path and name == OPTIMIZER:
            continue
        child = group.child(name)
        if name == VARIABLES:
            for number in sorted(child.links, key=_by_number):
                yield path + number, child.child(number).array(path + number)
        elif name in CONTAINERS:
            for group_name in child.links:
                label, inside = names.get(group_name, (group_name, {}))
                layer = child.child(group_name)
                own = layer.child(VARIABLES).texts("name") if VARIABLES in layer.links else None
                yield from _by_class(layer, inside, f"{path}{own[0] if own else label}/", seen)
        else:
            yield from _by_class(child, {}, f"{path}{name}/", seen)


def _by_number(name: str) -> tuple[bool, int, str]:
    """Puts 2 before 10, and numbers before other names."""
    return (False, int(name), name) if name.isdecimal() else (True, 0, name)


def _config(archive: Archive) -> Any:
    """How the model is built, as its archive describes it."""
    if CONFIG not in archive.entries:
        return {}
    text = archive.read(CONFIG)
    if len(text) > LONGEST_CONFIG:
        raise Damaged(f"has a {CONFIG} of {len(text)} bytes")
    return json.loads(text)


def _names_in(model: Any) -> Names:
    """The names of a model's layers by the groups in which their arrays are: called after the class, and numbered."""
    names: Names = {}
    used: Counter[str] = Counter()
    for layer in model.get("config", {}).get("layers", ()):
        class_name = re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", layer["class_name"]).lower()
        group = f"{class_name}_{used[class_name]}" if used[class_name] else class_name
        used[class_name] += 1
        names[group] = (layer["config"].get("name", group), _names_in(layer))
    return names
