"""Networks out of layers: one after another, beside a shortcut, or side by side."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any

import numpy as np

from ..kernels import single_pass
from ..kernels.elementwise import add, join_channels
from .base import Layer
from .norm_activation import NormActivation, join_norms_with_activations
from .receptive_field import ReceptiveField, union


class Sequential(Layer):
    """Layers one after another: y = f_n(... f_2(f_1(x))), so that dx = J_1^T ... J_n^T dy (the chain rule, last layer first).

    J_i is the Jacobian of layer i: the derivatives of its outputs (rows) with respect to its inputs (columns).

    Layers are given by name (``Sequential(conv1=Conv2d(1, 6, 5), relu1=ReLU())``) or, without names, counted from "0".

    ``forward`` finds the lowest trainable layer anew each time. Where dx is not needed (``needs_dx`` is False, as the Trainer
    sets it), the layers below that one remember nothing, and ``backward`` ends there.

    Raises
    ------
    ValueError, TypeError
        As in `append`; in ``forward`` and ``backward``, as the layers say.

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
        """Put one more layer on top.

        Raises
        ------
        TypeError
            If it is no layer.
        ValueError
            If the name is taken, or has a dot in it: dots separate the names in a path.
        """
        add_child(self, self.layers, name, layer)

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
        """What one pass runs, in order: the layers, but a batch norm and the ReLU above it as one step.

        ``needs_dx`` and ``remembers`` of each are already set; see `set_backward_flags`.
        """
        set_backward_flags(self, self.layers.values())
        return join_norms_with_activations(self.layers.values())

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

    def receptive_field(self, below: ReceptiveField, input_shape: tuple[int, ...]) -> ReceptiveField:
        for layer in self.layers.values():
            below = layer.receptive_field(below, input_shape)
            input_shape = layer.output_shape(input_shape)
        return below

    def config(self) -> dict[str, Any]:
        return dict(self.layers)

    def split(self, after: str) -> tuple[Sequential, Sequential]:
        """Cut in two: everything up to and including the layer named ``after``, and everything above it.

        The halves share their layers with this network: training the upper half trains this network.

        Raises
        ------
        ValueError
            If there is no layer of this name.
        """
        if after not in self.layers:
            raise ValueError(f"there is no layer {after!r} to cut after; the layers here are {', '.join(self.layers)}")
        names = list(self.layers)
        end = names.index(after) + 1
        halves = Sequential(), Sequential()
        for half, names_in_half in zip(halves, (names[:end], names[end:]), strict=True):
            half.layers = {name: self.layers[name] for name in names_in_half}
            half.training, half.remembers = self.training, self.remembers
        return halves


class Residual(Layer):
    """Two paths from x to y, a body F and a shortcut S around it: y = F(x) + S(x), and dx = J_F^T dy + J_S^T dy.

    J_F and J_S are the Jacobians, as in `Sequential`. S is the identity where no ``shortcut`` layer is given. The gradient
    passes the identity unweakened, which is why very deep networks of this kind train. He et al. apply a ReLU after the
    addition. This layer does not; their networks have one above it.

    He et al. 2016, "Deep Residual Learning for Image Recognition", section 3.1.

    Parameters
    ----------
    body : Layer
        F.
    shortcut : Layer, optional
        S, for bodies that change the shape.

    Raises
    ------
    TypeError
        If one of them is no layer.
    ValueError
        In ``forward``, if F(x) and S(x) differ in shape.
    """

    def __init__(self, body: Layer, shortcut: Layer | None = None):
        super().__init__()
        self.body, self.shortcut = body, shortcut
        for name, layer in self.children().items():
            check_is_layer(self, name, layer)
            set_names(name, layer)

    def children(self) -> dict[str, Layer]:
        return {"body": self.body} | ({"shortcut": self.shortcut} if self.shortcut else {})

    def forward(self, x: np.ndarray) -> np.ndarray:
        for path in self.children().values():
            set_backward_flags(self, [path])
        through_body = self.body.forward(x)
        through_shortcut = self.shortcut.forward(x) if self.shortcut else x
        if through_body.shape != through_shortcut.shape:
            raise ValueError(
                f"{self}: the body gives {through_body.shape} and the shortcut {through_shortcut.shape}, and only equal "
                "shapes can be added. Give the shortcut a 1x1 convolution with the body's stride and channels"
            )
        y = add(through_body, through_shortcut)
        self.remember(y_shape=y.shape, dtype=y.dtype)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        saved = self.recall()
        self.check_gradient(dy, saved.y_shape, saved.dtype)
        gradients = [path.backward(dy) for path in self.children().values() if path.remembers]
        if self.shortcut is None:
            gradients.append(dy)  # through the identity
        return add(*gradients) if self.needs_dx else None

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.body.output_shape(input_shape)

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        return sum(path.multiply_adds(input_shape) for path in self.children().values())

    def receptive_field(self, below: ReceptiveField, input_shape: tuple[int, ...]) -> ReceptiveField:
        fields = [path.receptive_field(below, input_shape) for path in self.children().values()]
        return union(self, fields if self.shortcut else [*fields, below])

    def config(self) -> dict[str, Any]:
        return self.children()


class Concat(Layer):
    """Branches side by side, joined along the channels: y = [F_1(x), F_2(x), ...], and dx = sum over i of J_i^T dy_i.

    J_i is the Jacobian of branch F_i, and dy_i are the channels of dy that belong to F_i(x). Branches are given by name or,
    without names, counted from "0".

    Szegedy et al. 2015, "Going Deeper with Convolutions", figure 2 (the Inception module).

    Raises
    ------
    TypeError
        If a branch is no layer.
    ValueError
        If there is no branch, or two have the same name, or a name has a dot in it; in ``forward``, if the branches' results
        differ in anything but the number of channels.
    """

    def __init__(self, *branches: Layer, **named: Layer):
        super().__init__()
        self.branches: dict[str, Layer] = {}
        for name, branch in [*((str(i), branch) for i, branch in enumerate(branches)), *named.items()]:
            add_child(self, self.branches, name, branch)
        if not self.branches:
            raise ValueError("Concat needs at least one branch")

    def children(self) -> dict[str, Layer]:
        return self.branches

    def forward(self, x: np.ndarray) -> np.ndarray:
        for branch in self.branches.values():
            set_backward_flags(self, [branch])
        parts = [branch.forward(x) for branch in self.branches.values()]
        if len({(part.shape[0], *part.shape[2:]) for part in parts}) > 1:
            raise ValueError(f"{self}: branches may differ in channels only, got {[part.shape for part in parts]}")
        y = join_channels(parts)
        self.remember(channels=[part.shape[1] for part in parts], y_shape=y.shape, dtype=y.dtype)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        saved = self.recall()
        self.check_gradient(dy, saved.y_shape, saved.dtype)
        parts = np.split(dy, np.cumsum(saved.channels)[:-1], axis=1)
        branches = zip(self.branches.values(), parts, strict=True)
        # copies in the order of dy's memory, so that the branch's layers need not make them
        gradients = [branch.backward(dy_i.copy(order="K")) for branch, dy_i in branches if branch.remembers]
        return reduce(add, gradients) if self.needs_dx else None

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        shapes = [branch.output_shape(input_shape) for branch in self.branches.values()]
        return (shapes[0][0], sum(shape[1] for shape in shapes), *shapes[0][2:])

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        return sum(branch.multiply_adds(input_shape) for branch in self.branches.values())

    def receptive_field(self, below: ReceptiveField, input_shape: tuple[int, ...]) -> ReceptiveField:
        return union(self, [branch.receptive_field(below, input_shape) for branch in self.branches.values()])

    def config(self) -> dict[str, Any]:
        return dict(self.branches)


def set_backward_flags(parent: Layer, layers: Iterable[Layer]) -> None:
    """Set ``needs_dx`` and ``remembers`` of layers that run one after another inside ``parent``, from the first to the last.

    A layer must return dx if the parent must, or if a layer before it is trainable. It remembers if it must return dx or is
    trainable itself; the other layers have no backward pass.
    """
    if not parent.remembers:  # No backward pass follows, so skip the search for trainable parameters.
        for layer in layers:
            layer.needs_dx = layer.remembers = False
        return
    needs_dx = parent.needs_dx
    for layer in layers:
        layer.needs_dx = needs_dx
        layer.remembers = needs_dx or layer.trainable
        needs_dx = layer.remembers  # a layer with a backward pass gets its dy from the layer after it


def add_child(parent: Layer, children: dict[str, Layer], name: str, layer: Layer) -> None:
    """Put a layer of a new name among the children of ``parent``; see `Sequential.append` for what is refused."""
    check_is_layer(parent, name, layer)
    if "." in name or name in children:
        raise ValueError(f"{parent}: a layer's name must be new and without a dot, got {name!r} beside {list(children)}")
    children[name] = layer
    set_names(name, layer)


def check_is_layer(parent: Layer, name: str, child: Layer) -> None:
    if not isinstance(child, Layer):
        raise TypeError(f"{parent} holds layers; {name!r} is of type {type(child).__name__}")


def set_names(name: str, layer: Layer) -> None:
    """From here on the layer is called ``name``, and each layer inside it by its path: ``"name.body.conv"``."""
    for path, inner in layer.walk():
        inner.name = f"{name}.{path}" if path else name
