"""What a Keras model's description says of it besides the weights: how pictures are prepared, padding, the head.

``.keras`` archives have the description in ``config.json``, whole models in ``.h5`` in the attribute ``model_config``. It is a
tree: a model lists its layers, and one of them may be a model. Layers are listed in the order in which they run.

Source: ``keras/src/models/functional.py``, ``keras/src/layers/preprocessing``, ``keras/src/applications/imagenet_utils.py``
of Keras 3; of Keras 2 ``keras/layers/core/tf_op_layer.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

MODELS = ("Functional", "Sequential", "Model")
CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Convolution2D")
# in front of the first convolution, layers that leave a picture as it is in inference
HARMLESS = ("InputLayer", "Dropout", "SpatialDropout2D", "GaussianNoise", "Identity", "ZeroPadding2D")
ARITHMETIC = {  # operations on pictures as Keras 3 and Keras 2 call them: y = x * factor(value) + shift(value)
    "TrueDivide": "/", "Divide": "/", "math.truediv": "/", "math.divide": "/", "Multiply": "*", "math.multiply": "*",
    "Subtract": "-", "math.subtract": "-", "Add": "+", "math.add": "+",
}  # fmt: skip
POOLS = ("GlobalAveragePooling2D", "GlobalMaxPooling2D", "Flatten")
ACTIVATIONS = {"ReLU": "relu", "Softmax": "softmax", "LeakyReLU": "leaky_relu", "ELU": "elu", "PReLU": "prelu"}
LEAST_STD = 1e-7  # Keras's epsilon


class KerasLayer(NamedTuple):
    """A layer that is no model: its class, name, arguments, what it is called with, and the paths of models around it."""

    kind: str
    name: str
    config: dict[str, Any]
    inputs: list[Any]
    before: str  # the name of the layer whose result it takes
    path: str


@dataclass
class KerasModel:
    """What a description says.

    Attributes
    ----------
    size : (int, int) or None
        (H, W) of the pictures that the first convolution takes; None if any will do.
    stretched : bool or None
        Whether pictures are brought to that size without regard to their proportions, or cropped; None if it does not say.
    scale, offset : array (1,) or (C,)
        A pixel x, 0 to 255, becomes scale * x + offset, channel by channel, in the order of the network's input.
    reversed : bool
        Whether that is BGR.
    prepares : bool
        Whether any layer does that.
    unread : list of str
        Layers before the first convolution that change pictures in a way that is not understood.
    pads : dict from layer to (((top, bottom), (left, right)) or "same")
        Of convolutions with a stride; where both sides are equal, one number for both.
    pools : list of ((top, bottom), (left, right)) or "same"
        Padding of the max pools, in order; written as in ``pads``.
    head : str
        The layer that makes a row of numbers of the last map: one of ``POOLS``, or "".
    average_pool : (int, int) or None
        The window of an average pool in front of that layer.
    activations : dict from layer to str
        Of the fully connected layers above it.
    others : list of str
        Classes of the layers above it that are something else.
    """

    size: tuple[int, int] | None = None
    stretched: bool | None = None
    scale: np.ndarray = field(default_factory=lambda: np.ones(1))
    offset: np.ndarray = field(default_factory=lambda: np.zeros(1))
    reversed: bool = False
    prepares: bool = False
    unread: list[str] = field(default_factory=list)
    pads: dict[str, Any] = field(default_factory=dict)
    pools: list[Any] = field(default_factory=list)
    head: str = ""
    average_pool: tuple[int, int] | None = None
    activations: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def understand(config: Any, arrays: Mapping[str, np.ndarray]) -> KerasModel | None:
    """What the description says; None if it does not list layers, one of which is a convolution.

    Parameters
    ----------
    config : what JSON gave
    arrays : mapping from name to array
        The model's weights, among them the statistics of Normalization layers.
    """
    layers = list(_layers(config))
    convolutions = [i for i, layer in enumerate(layers) if layer.kind in CONVOLUTIONS]
    if not convolutions:
        return None
    model = KerasModel()
    _read_preparation(model, layers[: convolutions[0]], arrays)
    by_name = {layer.name: layer for layer in layers}
    for i in convolutions:
        conv = layers[i]
        if np.max(conv.config.get("strides", 1)) > 1:
            model.pads[conv.name] = _padding(conv, by_name)
    model.pools = [_padding(layer, by_name) for layer in layers if layer.kind == "MaxPooling2D"]
    _read_head(model, layers[convolutions[-1] + 1 :])
    return model


def _padding(layer: KerasLayer, by_name: Mapping[str, KerasLayer]) -> Any:
    """Of a convolution or a pool: its own, or that of a layer before it; where both sides are equal, one number for both."""
    if layer.config["padding"] == "same":
        return "same"
    before = by_name.get(layer.before)
    padded = before is not None and before.kind == "ZeroPadding2D"
    return tuple(
        first if first == second else (first, second)
        for first, second in (before.config["padding"] if padded else [[0, 0], [0, 0]])
    )


def _layers(config: Any, path: str = "") -> Iterator[KerasLayer]:
    """The layers of a model and of the models in it, in order."""
    before = ""
    for entry in config.get("config", {}).get("layers", ()) if isinstance(config, dict) else ():
        own = entry["config"]
        name = own.get("name", "")
        if entry["class_name"] in MODELS:
            yield from _layers(entry, f"{path}{name}/")
        else:
            inputs = entry.get("inbound_nodes") or []
            yield KerasLayer(entry["class_name"], name, own, inputs, _first_input(inputs) or before, path)
        before = name


def _first_input(node: Any) -> str:
    """The name of the layer whose result comes first in what a layer is called with; "" if there is none.

    Keras 3 has it in a "keras_history", Keras 2 as the first of a list ["name", 0, 0, {...}].
    """
    if isinstance(node, dict):
        history = node.get("config", {}).get("keras_history") if isinstance(node.get("config"), dict) else None
        return history[0] if history else _first_input(node.get("args", []))
    if isinstance(node, list) and node:
        is_reference = len(node) >= 3 and isinstance(node[0], str) and isinstance(node[1], int)
        return node[0] if is_reference else _first_input(node[0])
    return ""


# ---- how pictures are prepared


def _read_preparation(model: KerasModel, layers: list[KerasLayer], arrays: Mapping[str, np.ndarray]) -> None:
    """Sizes and arithmetic of the layers in front of the first convolution."""
    picked: list[int] = []  # channels that were taken out one by one, to be put together in another order
    for layer in layers:
        operation = str(layer.config.get("function", layer.kind)).removeprefix("tf.")
        if layer.kind == "InputLayer":
            shape = layer.config.get("batch_shape") or layer.config.get("batch_input_shape") or ()
            if len(shape) == 4 and all(shape[1:3]) and model.stretched is None:
                model.size = (shape[1], shape[2])
        elif layer.kind == "Resizing":
            model.size = (layer.config["height"], layer.config["width"])
            cropped = layer.config.get("crop_to_aspect_ratio") or layer.config.get("pad_to_aspect_ratio")
            model.stretched = not cropped
        elif layer.kind == "Rescaling":
            _change(model, np.array(layer.config["scale"], float), np.array(layer.config.get("offset", 0.0), float))
        elif layer.kind == "Normalization" and (statistics := _statistics(layer, arrays)):
            mean, std = statistics
            _change(model, 1 / std, -mean / std)
        elif operation in ARITHMETIC and (value := _constant(layer.inputs)) is not None:
            one, sign = np.ones(1), ARITHMETIC[operation]
            factor = value if sign == "*" else 1 / value if sign == "/" else one
            _change(model, factor, value if sign == "+" else -value if sign == "-" else 0 * one)
        elif layer.kind == "GetItem" and (channel := _picked(layer.inputs)) is not None:
            picked.append(channel)
        elif layer.kind == "Stack" and picked == [2, 1, 0]:
            model.scale, model.offset, model.reversed = model.scale[::-1], model.offset[::-1], not model.reversed
            model.prepares = True
        elif layer.kind not in HARMLESS and not layer.kind.startswith("Random"):
            model.unread.append(f"{layer.name} ({layer.kind})")


def _change(model: KerasModel, factor: np.ndarray, shift: np.ndarray) -> None:
    """y = factor * (scale * x + offset) + shift."""
    factor, shift = factor.reshape(-1), shift.reshape(-1)
    model.scale, model.offset, model.prepares = model.scale * factor, model.offset * factor + shift, True


def _statistics(layer: KerasLayer, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and standard deviation of a Normalization, from its arguments or, where it has measured them, from the weights."""
    if layer.config.get("invert"):
        return None
    found = []
    for name, number in (("mean", 0), ("variance", 1)):
        own = f"{layer.path}{layer.name}/"
        value = layer.config.get(name)
        value = arrays.get(f"{own}{name}", arrays.get(f"{own}{number}")) if value is None else value
        if value is None:
            return None
        found.append(np.array(value, float).reshape(-1))
    return found[0], np.maximum(np.sqrt(found[1]), LEAST_STD)


def _constant(inputs: list[Any]) -> np.ndarray | None:
    """The number, or one for each channel, that an operation takes beside the picture; None if it is anything else."""
    node = inputs[0] if inputs else None
    if isinstance(node, dict):  # Keras 3: {"args": [picture, value]}
        value = node["args"][1] if len(node["args"]) > 1 and isinstance(node["args"][0], dict) else None
        value = value["config"].get("value") if isinstance(value, dict) else value
    elif isinstance(node, list):  # Keras 2: [["layer", 0, 0, {"y": value}]]
        last = node[-1] if isinstance(node[-1], dict) else node[0][-1]
        value = last.get("y")
    else:
        value = None
    if isinstance(value, (int, float)):
        return np.array([float(value)])
    row = np.array(value).reshape(-1) if isinstance(value, list) else np.empty(0, object)
    return row.astype(float) if row.dtype.kind in "if" and len(row) in (1, 3) else None


def _picked(inputs: list[Any]) -> int | None:
    """c, where a GetItem takes x[..., c]."""
    arguments = inputs[0]["args"] if inputs and isinstance(inputs[0], dict) else []
    index = arguments[1] if len(arguments) > 1 else None
    return index[1] if isinstance(index, list) and len(index) == 2 and isinstance(index[1], int) else None


# ---- the head


def _read_head(model: KerasModel, layers: list[KerasLayer]) -> None:
    """What comes after the last convolution, from the layer on that makes a row of the map."""
    last = ""
    for layer in layers:
        if not model.head:
            model.head = layer.kind if layer.kind in POOLS else ""
            if layer.kind == "AveragePooling2D":
                model.average_pool = tuple(layer.config["pool_size"])
        elif layer.kind == "Dense":
            last = layer.name
            model.activations[last] = _name_of(layer.config.get("activation"))
        elif layer.kind in ("Activation", *ACTIVATIONS) and last:
            model.activations[last] = ACTIVATIONS.get(layer.kind) or _name_of(layer.config.get("activation"))
        elif layer.kind not in ("Dropout", "Flatten", "InputLayer", "Identity"):
            model.others.append(layer.kind)


def _name_of(activation: Any) -> str:
    if isinstance(activation, dict):
        return str(activation.get("class_name") or activation.get("config"))
    return str(activation or "linear")
