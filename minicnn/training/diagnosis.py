"""Where a network's numbers stopped being numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ..layers.base import Layer


def first_non_finite(model: Layer, x: np.ndarray) -> str | None:
    """The first place, in running order, where NaN or infinity shows up in ``model.forward(x)``, in words.

    The forward pass is repeated with every layer watched, in the mode the model is in. A layer's parameters are looked at
    before its output: bad weights are nearer to the cause than what they give.

    Returns None where everything is finite (a dropout layer, for one, draws anew).
    """
    found: list[str] = []

    def watched(layer: Layer):
        forward = layer.forward

        def forward_and_look(x: np.ndarray) -> np.ndarray:
            y = forward(x)
            arrays = {f"parameter {key}": parameter.value for key, parameter in layer.parameters().items()} | {"output": y}
            found.extend(f"{layer} (its {what})" for what, array in arrays.items() if not np.isfinite(array).all())
            return y

        return forward_and_look

    layers = {id(layer): layer for _, layer in model.walk()}.values()
    for layer in layers:
        layer.forward = watched(layer)
    try:
        model.forward(x)
    finally:
        for layer in layers:
            del layer.forward
    return found[0] if found else None


@contextmanager
def without_overflow_warnings() -> Iterator[None]:
    """Hide NumPy's warnings about overflow, for those who look for it themselves and say where it happened.

    (``np.errstate`` would not reach the threads in which layers compute.)
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(overflow|invalid value) encountered", RuntimeWarning)
        yield
