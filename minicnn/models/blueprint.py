"""A network's layers as text and back: each layer's type and constructor arguments, containers with what is inside them.

A file that describes its own network can be loaded without the code that once built it. It can also be wrong, or made to do
harm; so only the layers of ``minicnn.layers`` are built, and classes that whoever loads it hands over, and none is given more
memory than the file's weights account for.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .. import layers
from ..errors import WeightsError
from ..layers import Layer
from .strict import arrays_of

RENAMED = {"SideHead": "AuxiliaryHead"}  # types of layers in files of older versions, and what they are called now
HARMLESS_NUMBER = 1024  # in a constructor, numbers up to this need no weights to account for them


def _known_types() -> dict[str, type[Layer]]:
    """The layers that can be built from a file, by name."""
    return {
        name: layer_type
        for name, layer_type in vars(layers).items()
        if inspect.isclass(layer_type) and issubclass(layer_type, Layer) and layer_type is not Layer
    }


def describe(layer: Layer) -> dict[str, Any]:
    """The layer as JSON can hold it: ``{"type": "ReLU", "config": {}}``.

    Raises
    ------
    ValueError
        For a layer that could not be built again from the file: one of this library's that is not in ``minicnn.layers``, as in
        a fused copy; one of the user's own that has the name of one of ours, or a ``config()`` that does not make its like.
    """
    layer_type = type(layer)
    if _known_types().get(layer_type.__name__) is not layer_type:
        _check_can_be_built_again(layer)
    return {
        "type": layer_type.__name__,
        "config": {name: describe(value) if isinstance(value, Layer) else value for name, value in layer.config().items()},
    }


def _check_can_be_built_again(layer: Layer) -> None:
    """Refuse a layer of a class that is not ours before its weights are in a file that nobody can load."""
    layer_type, config = type(layer), layer.config()
    name = layer_type.__name__
    if layer_type.__module__.split(".")[0] == __name__.split(".")[0]:
        raise ValueError(
            f"{layer} cannot be saved: {layer_type.__module__}.{name} is not one of minicnn.layers. Of a fused copy, save the "
            "model that it was made of"
        )
    if name in _known_types():
        raise ValueError(f"{layer} cannot be saved: its class has the name of minicnn.layers.{name}; call it something else")
    try:
        inspect.signature(layer_type).bind(**config)
        json.dumps({key: value for key, value in config.items() if not isinstance(value, Layer)}, allow_nan=False)
        twin = None if layer.children() else layer_type(**config)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{layer} cannot be saved: {name}(**layer.config()) must make a layer like it, from values that JSON can hold, and "
            f"config() is {str(config)[:200]} ({error}). Write a config(self) that returns the arguments of __init__"
        ) from error
    if twin is not None and _shapes(twin) != _shapes(layer):
        raise ValueError(
            f"{layer} cannot be saved: {name}(**layer.config()) makes a layer with weights {_shapes(twin)}, and this one has "
            f"{_shapes(layer)}. Write a config(self) that returns the arguments of __init__"
        )


def _shapes(layer: Layer) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays_of(layer).items()}


def build(
    description: Any, shapes: Mapping[str, tuple[int, ...]], path: str, custom_layers: Mapping[str, type[Layer]] | None = None
) -> Layer:
    """The layer that ``describe`` has described, its weights not yet set.

    Parameters
    ----------
    description : what JSON gave
    shapes : mapping
        Shapes of the weights that go with the network, by full name: an array of any other size is not made.
    path : str
        Where in the network this layer is.
    custom_layers : mapping from name to class, optional
        Classes that may be built besides ours.

    Raises
    ------
    WeightsError
        If this is not the description of a layer, of an unknown layer, or of one that does not match its weights.
    """
    if not _is_description(description) or not isinstance(description["config"], dict):
        raise WeightsError(f"layer {path!r} is not described by a type and a config")
    name = str(description["type"])
    custom = (custom_layers or {}).get(name)
    layer_type = custom or _known_types().get(RENAMED.get(name, name))
    if layer_type is None:
        known = ", ".join(sorted({*_known_types(), *(custom_layers or ())}))
        hint = f". If {name[:80]} is a class of your own, hand it over: minicnn.load(path, custom_layers=[{name[:80]}])"
        raise WeightsError(
            f"layer {path!r} is of the unknown type {name[:80]!r}; known are {known}{hint if name.isidentifier() else ''}"
        )

    arguments = {
        name: build(value, shapes, f"{path}.{name}", custom_layers)
        if isinstance(value, dict) and (custom is None or _is_description(value))
        else value
        for name, value in description["config"].items()
    }
    own = {name: math.prod(shape) for name, shape in shapes.items() if name.startswith(f"{path}.")}
    most = max(HARMLESS_NUMBER, sum(own.values()))
    if custom is None and not any(isinstance(value, Layer) for value in arguments.values()):
        for number in _numbers(arguments.values()):
            if not -most <= number <= most:
                raise WeightsError(f"layer {path!r} is described with the number {number}, which no weights account for")

    def empty(shape: tuple[int, ...], rng: Any, dtype: Any = np.float32) -> np.ndarray:
        """Stands in for the random start of weights that are read from the file anyway."""
        if math.prod(shape) > most:
            raise WeightsError(f"layer {path!r} is described with weights {shape}, and the file has {sum(own.values())} for it")
        return np.zeros(shape, dtype)

    if "initializer" in arguments or "rng" in arguments:
        raise WeightsError(f"layer {path!r} is described with a random start, which no saved layer has")
    if "initializer" in inspect.signature(layer_type).parameters:
        arguments["initializer"] = empty
    try:
        return layer_type(**arguments)
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise error if isinstance(error, WeightsError) else WeightsError(f"layer {path!r} cannot be built: {error}") from error


def _is_description(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"type", "config"}


def _numbers(values: Iterable[Any]) -> Iterable[float]:
    """All numbers in the values and in lists among them; NaN counts as infinite."""
    for value in values:
        if isinstance(value, list):
            yield from _numbers(value)
        elif isinstance(value, (int, float)):
            yield math.inf if value != value else value
