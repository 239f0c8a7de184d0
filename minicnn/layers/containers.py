"""Networks out of layers: one after another, beside a shortcut, or side by side."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import zip_longest
from typing import Any

import numpy as np

from ..kernels.elementwise import add, join_channels
from ..kernels.threads import arrays_from, one_blas_thread
from .activation import LIMITS
from .base import Layer
from .norm import BatchNorm2d
from .recorded import Recorder


class Sequential(Layer):
    """Layers one after another: y = f_n(... f_2(f_1(x))), so that dx = J_1^T ... J_n^T dy (the chain rule, last layer first).

    Layers are given by name (``Sequential(conv1=Conv2d(1, 6, 5), relu1=ReLU())``) or, without names, counted from "0".

    ``forward`` finds the lowest trainable layer anew each time: those below it remember nothing, and ``backward`` ends there.

    >>> from minicnn.layers import Linear, ReLU
    >>> net = Sequential(hidden=Linear(4, 3), relu=ReLU(), scores=Linear(3, 2))
    >>> net.output_shape((8, 4))
    (8, 2)
    >>> lower, upper = net.split("relu")
    >>> list(lower.children()), list(upper.children())
    (['hidden', 'relu'], ['scores'])
    """

    loops_only = True

    def __init__(self, *layers: Layer, **named: Layer):
        super().__init__()
        self.layers: dict[str, Layer] = {}
        self.recorder: Recorder | None = None  # of a fused network
        for name, layer in [*((str(i), layer) for i, layer in enumerate(layers)), *named.items()]:
            self.append(name, layer)

    def append(self, name: str, layer: Layer) -> None:
        """Put one more layer on top."""
        if not isinstance(layer, Layer):
            raise TypeError(f"Sequential holds layers; {name!r} is a {type(layer).__name__}")
        if "." in name or name in self.layers:
            raise ValueError(f"a layer's name must be new and without a dot, got {name!r} beside {list(self.layers)}")
        self.layers[name] = layer
        for path, inner in layer.walk():
            inner.name = f"{name}.{path}" if path else name

    def children(self) -> dict[str, Layer]:
        return self.layers

    def forward(self, x: np.ndarray) -> np.ndarray:
        layers, is_applied = _plan(self, self.layers.values()), False
        with one_blas_thread(), arrays_from(self.recorder.pool) if self.recorder else nullcontext():
            if self.recorder and not self.remembers:
                x, layers = self.recorder.forward(layers, x)
            for layer, above in zip_longest(layers, layers[1:]):
                limits = _limits(layer, above)
                if is_applied:  # by the batch norm below it
                    is_applied = False
                elif limits:
                    x, is_applied = layer.forward(x, limits), True
                    above.remember(y=x)
                else:
                    x = layer.forward(x)
        self.remember()  # that there was a forward pass
        return x

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        self.recall()
        layers = list(self.layers.values())
        with one_blas_thread():
            while layers:
                layer = layers.pop()
                if not layer.remembers:  # nothing below is trainable, and nobody wants dx
                    return None
                limits = _limits(layers[-1], layer) if layers else None
                if limits and layers[-1].is_of_the_batch:
                    dy = layers.pop().backward(dy, layer.recall().y, limits)
                else:
                    dy = layer.backward(dy)
        return dy

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        for layer in self.layers.values():
            input_shape = layer.output_shape(input_shape)
        return input_shape

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        total = 0
        for layer in self.layers.values():
            total += layer.multiply_adds(input_shape)
            input_shape = layer.output_shape(input_shape)
        return total

    def config(self) -> dict[str, Any]:
        return dict(self.layers)

    def split(self, after: str) -> tuple[Sequential, Sequential]:
        """Cut in two: everything up to and including the layer named ``after``, and everything above it.

        The halves share their layers with this network: training the upper half trains this network.
        """
        if after not in self.layers:
            raise ValueError(f"there is no layer {after!r} to cut after; the layers here are {', '.join(self.layers)}")
        names = list(self.layers)
        at = names.index(after) + 1
        halves = Sequential(), Sequential()
        for half, part in zip(halves, (names[:at], names[at:]), strict=True):
            half.layers = {name: self.layers[name] for name in part}
            half.training, half.remembers = self.training, self.remembers
            half.recorder = self.recorder and Recorder()
        return halves


class Residual(Layer):
    """A shortcut around a branch: y = F(x) + S(x), and dx = J_F^T dy + J_S^T dy.

    S is the identity where no ``shortcut`` layer is given. The gradient passes the identity unweakened, which is why very
    deep networks of this kind train. He et al. 2016, "Deep Residual Learning for Image Recognition", section 3.1.
    """

    loops_only = True

    def __init__(self, body: Layer, shortcut: Layer | None = None):
        super().__init__()
        self.body, self.shortcut = body, shortcut
        _name_children(self)

    def children(self) -> dict[str, Layer]:
        return {"body": self.body} | ({"shortcut": self.shortcut} if self.shortcut else {})

    def forward(self, x: np.ndarray) -> np.ndarray:
        for branch in self.children().values():
            _plan(self, [branch])
        y, shortcut = self.body.forward(x), self.shortcut.forward(x) if self.shortcut else x
        if y.shape != shortcut.shape:
            raise ValueError(
                f"{self}: the branch gives {y.shape} and the shortcut {shortcut.shape}, and only equal shapes can be added. "
                "Give the shortcut a 1x1 convolution with the branch's stride and channels"
            )
        self.remember()
        return add(y, shortcut)

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        self.recall()
        through_body = self.body.backward(dy) if self.body.remembers else None
        through_shortcut = dy
        if self.shortcut:
            through_shortcut = self.shortcut.backward(dy) if self.shortcut.remembers else None
        return add(through_body, through_shortcut) if self.needs_dx else None

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.body.output_shape(input_shape)

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        return sum(branch.multiply_adds(input_shape) for branch in self.children().values())

    def config(self) -> dict[str, Any]:
        return self.children()


class Concat(Layer):
    """Branches side by side, joined along the channels: y = [F_1(x), F_2(x), ...], and dx = sum over i of J_Fi^T dy_i.

    Szegedy et al. 2015, "Going Deeper with Convolutions", figure 2 (the Inception module).
    """

    loops_only = True

    def __init__(self, *branches: Layer, **named: Layer):
        super().__init__()
        self.branches: dict[str, Layer] = {str(i): branch for i, branch in enumerate(branches)} | named
        if not self.branches:
            raise ValueError("Concat needs at least one branch")
        _name_children(self)

    def children(self) -> dict[str, Layer]:
        return self.branches

    def forward(self, x: np.ndarray) -> np.ndarray:
        for branch in self.branches.values():
            _plan(self, [branch])
        parts = [branch.forward(x) for branch in self.branches.values()]
        if len({(part.shape[0], *part.shape[2:]) for part in parts}) > 1:
            raise ValueError(f"{self}: branches may differ in channels only, got {[part.shape for part in parts]}")
        self.remember(channels=[part.shape[1] for part in parts])
        return join_channels(parts)

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        ends = np.cumsum(self.recall().channels)[:-1]
        pieces = zip(self.branches.values(), np.split(dy, ends, axis=1), strict=True)
        gradients = [branch.backward(np.ascontiguousarray(piece)) for branch, piece in pieces if branch.remembers]
        return sum(gradients[1:], start=gradients[0]) if self.needs_dx else None

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        shapes = [branch.output_shape(input_shape) for branch in self.branches.values()]
        return (shapes[0][0], sum(shape[1] for shape in shapes), *shapes[0][2:])

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        return sum(branch.multiply_adds(input_shape) for branch in self.branches.values())

    def config(self) -> dict[str, Any]:
        return dict(self.branches)


def _limits(layer: Layer, above: Layer | None) -> tuple[float, float] | None:
    """Of a ReLU or ReLU6 right above a batch norm, which applies it on its way; None for all others.

    Maps are large, and each pass over memory that is saved counts. Where somebody watches one of the two, by a ``forward`` of
    their own in its place, each does its own work.
    """
    if type(layer) is not BatchNorm2d or type(above) not in LIMITS or "forward" in vars(layer) or "forward" in vars(above):
        return None
    return LIMITS[type(above)]


def _plan(parent: Layer, layers):
    """The layers in order, each told what ``backward`` will want of it.

    A layer must return dx if the parent must, or if anything before it is trainable. It remembers only if it must return
    dx or is trainable itself: all others are not visited on the way back.
    """
    layers, needs_dx = list(layers), parent.needs_dx
    if not parent.remembers:  # there is no way back: nobody needs to look through all weights for what is trainable
        for layer in layers:
            layer.needs_dx = layer.remembers = False
        return layers
    for layer in layers:
        layer.needs_dx = needs_dx
        layer.remembers = needs_dx = needs_dx or layer.trainable
    return layers


def _name_children(parent: Layer) -> None:
    for name, child in parent.children().items():
        for path, inner in child.walk():
            inner.name = f"{name}.{path}" if path else name
