"""Looking on while a network computes: what each layer gives upwards, and which gradient it passes downwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from ..layers.base import Layer


@contextmanager
def watched(
    model: Layer,
    *,
    forward: Callable[[str, Layer, np.ndarray], None] | None = None,
    backward: Callable[[str, Layer, np.ndarray, np.ndarray | None], None] | None = None,
) -> Iterator[None]:
    """In the block, each pass of each layer that holds no others is told of, and computes what it always does, to the bit.

    Parameters
    ----------
    model : Layer
    forward : ``forward(path, layer, y)``, optional
        After the layer's forward pass.
    backward : ``backward(path, layer, dy, dx)``, optional
        After its backward pass; dx is None where it was not needed.

    The arrays are the network's own: whoever is told may read them, and must not change or keep them.

    >>> from minicnn.layers import Linear, ReLU, Sequential
    >>> net = Sequential(hidden=Linear(2, 3, rng=0), relu=ReLU())
    >>> with watched(net, forward=lambda path, layer, y: print(path, y.shape)):
    ...     y = net.forward(np.ones((4, 2), np.float32))
    hidden (4, 3)
    relu (4, 3)
    """
    leaves = {id(layer): (path, layer) for path, layer in model.walk() if not layer.children()}
    for path, layer in leaves.values():
        # also where nobody listens: in a Sequential, a batch norm with another ``forward`` stays apart from the ReLU above it
        layer.forward = _telling_forward(path, layer, forward)
        if backward:
            layer.backward = _telling_backward(path, layer, backward)
    try:
        yield
    finally:
        for _, layer in leaves.values():
            for name in ("forward", "backward"):
                vars(layer).pop(name, None)


def _telling_forward(path: str, layer: Layer, tell: Callable | None) -> Callable[[np.ndarray], np.ndarray]:
    compute = layer.forward

    def forward(x: np.ndarray) -> np.ndarray:
        y = compute(x)
        if tell:
            tell(path, layer, y)
        return y

    return forward


def _telling_backward(path: str, layer: Layer, tell: Callable) -> Callable[[np.ndarray], np.ndarray | None]:
    compute = layer.backward

    def backward(dy: np.ndarray) -> np.ndarray | None:
        dx = compute(dy)
        tell(path, layer, dy, dx)
        return dx

    return backward
