"""Where in a network NaN or infinity first appears."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ..layers.base import Layer
from ..layers.conv import Conv2d, set_algorithm


def first_non_finite(model: Layer, x: np.ndarray) -> str | None:
    """The first layer, in the order in which they run, with NaN or infinity in ``model.forward(x)``, and where: in words.

    The forward pass is repeated, in the mode the model is in, and every layer's parameters and output are looked at. The
    parameters come first: bad weights are nearer to the cause than the output that they lead to.

    Convolutions are computed as they are defined. Winograd's algorithm takes sums of inputs before it multiplies, which
    overflow earlier; only if nothing else does, that is what is found.

    Returns None where everything is finite (the second pass may differ from the first: dropout draws new random numbers).
    """
    with _exact_convolutions(model):
        found = _first_in_a_pass(model, x)
    if found is None and (found := _first_in_a_pass(model, x)):
        found += (
            ", which is finite by definition, but too large for the sums of Winograd's algorithm: "
            'minicnn.layers.set_algorithm(model, "direct") computes it without them'
        )
    return found


def _first_in_a_pass(model: Layer, x: np.ndarray) -> str | None:
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
def _exact_convolutions(model: Layer) -> Iterator[None]:
    """In the block no convolution is computed by Winograd's algorithm."""
    before = {layer: layer.algorithm for _, layer in model.walk() if isinstance(layer, Conv2d)}
    set_algorithm(model, "direct")
    try:
        yield
    finally:
        for conv, algorithm in before.items():
            conv.algorithm = algorithm


@contextmanager
def without_overflow_warnings() -> Iterator[None]:
    """Hide NumPy's warnings about overflow in the block, for callers who look for NaN and infinity themselves.

    (``np.errstate`` would not reach the threads in which layers compute.)
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(overflow|invalid value) encountered", RuntimeWarning)
        yield
