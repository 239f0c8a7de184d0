"""Networks out of layers: one after another, beside a shortcut, or side by side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..kernels import single_pass
from ..kernels.elementwise import add, join_channels
from .base import Layer
from .norm_activation import NormActivation, in_one_step


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

    def __init__(self, *layers: Layer, **named: Layer):
        super().__init__()
        self.layers: dict[str, Layer] = {}
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

    @single_pass
    def forward(self, x: np.ndarray) -> np.ndarray:
        steps = self.steps()
        for step in steps:
            x = step.forward(x)
        self.remember(steps=[step for step in steps if step.remembers], y_shape=x.shape, dtype=x.dtype)
        return x

    @single_pass
    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        saved = self.recall()
        self.check_gradient(dy, saved.y_shape, saved.dtype)
        for step in reversed(saved.steps):
            dy = step.backward(dy)
        return dy if self.needs_dx else None

    def steps(self) -> list[Layer | NormActivation]:
        """What a pass runs, each told what ``backward`` will want of it: the layers, a batch norm and its ReLU as one step."""
        steps: list[Layer | NormActivation] = []
        for layer in plan_backward(self, self.layers.values()):
            if steps and in_one_step(steps[-1], layer):
                steps[-1] = NormActivation(steps[-1], layer)
            else:
                steps.append(layer)
        return steps

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
        return halves


class Residual(Layer):
    """A shortcut around a branch: y = F(x) + S(x), and dx = J_F^T dy + J_S^T dy.

    S is the identity where no ``shortcut`` layer is given. The gradient passes the identity unweakened, which is why very
    deep networks of this kind train. He et al. 2016, "Deep Residual Learning for Image Recognition", section 3.1.
    """

    def __init__(self, body: Layer, shortcut: Layer | None = None):
        super().__init__()
        self.body, self.shortcut = body, shortcut
        name_children(self)

    def children(self) -> dict[str, Layer]:
        return {"body": self.body} | ({"shortcut": self.shortcut} if self.shortcut else {})

    def forward(self, x: np.ndarray) -> np.ndarray:
        for branch in self.children().values():
            plan_backward(self, [branch])
        y, shortcut = self.body.forward(x), self.shortcut.forward(x) if self.shortcut else x
        if y.shape != shortcut.shape:
            raise ValueError(
                f"{self}: the branch gives {y.shape} and the shortcut {shortcut.shape}, and only equal shapes can be added. "
                "Give the shortcut a 1x1 convolution with the branch's stride and channels"
            )
        self.remember(y_shape=y.shape, dtype=y.dtype)
        return add(y, shortcut)

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        saved = self.recall()
        self.check_gradient(dy, saved.y_shape, saved.dtype)
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

    def __init__(self, *branches: Layer, **named: Layer):
        super().__init__()
        self.branches: dict[str, Layer] = {str(i): branch for i, branch in enumerate(branches)} | named
        if not self.branches:
            raise ValueError("Concat needs at least one branch")
        name_children(self)

    def children(self) -> dict[str, Layer]:
        return self.branches

    def forward(self, x: np.ndarray) -> np.ndarray:
        for branch in self.branches.values():
            plan_backward(self, [branch])
        parts = [branch.forward(x) for branch in self.branches.values()]
        if len({(part.shape[0], *part.shape[2:]) for part in parts}) > 1:
            raise ValueError(f"{self}: branches may differ in channels only, got {[part.shape for part in parts]}")
        y = join_channels(parts)
        self.remember(channels=[part.shape[1] for part in parts], y_shape=y.shape, dtype=y.dtype)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        saved = self.recall()
        self.check_gradient(dy, saved.y_shape, saved.dtype)
        parts = zip(self.branches.values(), np.split(dy, np.cumsum(saved.channels)[:-1], axis=1), strict=True)
        gradients = [branch.backward(np.ascontiguousarray(dy_i)) for branch, dy_i in parts if branch.remembers]
        return sum(gradients[1:], start=gradients[0]) if self.needs_dx else None

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        shapes = [branch.output_shape(input_shape) for branch in self.branches.values()]
        return (shapes[0][0], sum(shape[1] for shape in shapes), *shapes[0][2:])

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        return sum(branch.multiply_adds(input_shape) for branch in self.branches.values())

    def config(self) -> dict[str, Any]:
        return dict(self.branches)


def plan_backward(parent: Layer, layers: Iterable[Layer]) -> list[Layer]:
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


def name_children(parent: Layer) -> None:
    for name, child in parent.children().items():
        for path, inner in child.walk():
            inner.name = f"{name}.{path}" if path else name
