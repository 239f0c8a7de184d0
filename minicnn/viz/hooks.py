"""What attribution needs from a network: class indices, modes for a backward pass to the input, and hooks on a layer.

`capture` is a hook: it records what a layer outputs, and the gradient with respect to that output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np

from ..layers import Layer
from ..models import Model
from ..models.activations import check_names
from ..models.predictions import number_of_classes, scores_of_classes
from .style import drawable

Classes = int | str | Sequence[int | str] | None


def class_indices(model: Model, x: np.ndarray, classes: Classes) -> np.ndarray | None:
    """The class index for each picture of an input (N, C, H, W), int64 (N,). None, for the most probable class, stays None.

    Raises
    ------
    ValueError
        For a class that the model does not have, or another number of classes than pictures.
    """
    if not isinstance(x, np.ndarray) or x.ndim != 4 or len(x) == 0:
        got = x.shape if isinstance(x, np.ndarray) else type(x).__name__
        raise ValueError(f"expected an input (N, C, H, W) of at least one picture, as model.preprocess gives it; got {got}")
    K = number_of_classes(model.output_shape((1, *x.shape[1:])))
    if classes is None:
        return None
    classes = [classes] * len(x) if isinstance(classes, (int, np.integer, str)) else list(classes)
    if len(classes) != len(x):
        raise ValueError(
            f"expected one class for all pictures or one for each: got {len(classes)} classes and {len(x)} pictures"
        )
    return np.array([_class_index(model, k, K) for k in classes], np.int64)


def _class_index(model: Model, k: int | str, K: int) -> int:
    if isinstance(k, str):
        if k not in (model.classes or ()):
            known = ", ".join((model.classes or ["(none are named)"])[:5]) + (", ..." if K > 5 else "")
            raise ValueError(f"{model.architecture} has no class {k!r}; its {K} classes are {known}")
        return model.classes.index(k)
    if not 0 <= k < K:
        raise ValueError(f"{model.architecture} has the classes 0 to {K - 1}, got {k}")
    return int(k)


def class_names(model: Model, indices: np.ndarray) -> list[str]:
    """The names of the classes with these indices; "class 7" where there is no name, or no font can write it."""
    names = [model.classes[k] if model.classes else f"class {k}" for k in indices]
    return [name if drawable(name) else f"class {k}" for name, k in zip(names, indices, strict=True)]


def most_probable(scores: np.ndarray) -> np.ndarray:
    """The index of the class with the highest score, (N,)."""
    return scores_of_classes(scores).argmax(1)


def class_score_gradient(scores: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """The gradient of the score of one class of each picture with respect to all scores: 1 for this class and 0 for others.

    A network of two classes may have a single output s: then the score of class 1 is s, and that of class 0 is -s.
    """
    dscores = np.zeros_like(scores)
    if scores.shape[1] == 1:
        dscores[:, 0] = np.where(indices == 1, 1, -1)
    else:
        dscores[np.arange(len(scores)), indices] = 1
    return dscores


@contextmanager
def preserve_modes(model: Layer) -> Iterator[None]:
    """When the block ends, every layer is in the mode in which it was before.

    What an earlier ``forward`` has remembered for its ``backward`` is lost.
    """
    modes = [(layer, layer.training, layer.remembers, layer.needs_dx) for _, layer in model.walk()]
    try:
        yield
    finally:
        for layer, training, remembers, needs_dx in modes:
            layer.training, layer.remembers, layer.needs_dx = training, remembers, needs_dx
            layer._remembered = None


@contextmanager
def input_gradient_mode(model: Layer) -> Iterator[None]:
    """Within the block: eval mode, with a ``backward`` down to the input that computes no gradients of parameters.

    Afterwards the modes and ``Parameter.trainable`` are what they were, and ``Parameter.grad`` has not been touched.
    """
    trainable = [parameter for parameter in model.parameters().values() if parameter.trainable]
    with preserve_modes(model):
        try:
            model.eval(backward=True)
            for parameter in trainable:
                parameter.trainable = False
            yield
        finally:
            for parameter in trainable:
                parameter.trainable = True


class GradientReached(Exception):
    """Raised when the gradient has reached the captured layer, since the layers below it need not run."""


@contextmanager
def capture(layer: Layer) -> Iterator[SimpleNamespace]:
    """Within the block: ``captured.y`` is the layer's output in ``forward``, ``captured.dy`` the gradient with respect to it.

    The backward pass ends at this layer, by raising `GradientReached`.

    >>> from minicnn.layers import Linear, ReLU, Sequential
    >>> net = Sequential(hidden=Linear(2, 3, rng=0), relu=ReLU(), scores=Linear(3, 1, rng=1))
    >>> with input_gradient_mode(net), capture(net.layers["relu"]) as captured:
    ...     scores = net.forward(np.ones((1, 2), np.float32))
    ...     try:
    ...         net.backward(np.ones_like(scores))
    ...     except GradientReached:
    ...         bool((captured.dy == net.layers["scores"].w.value).all())
    True
    """
    captured = SimpleNamespace(y=None, dy=None)
    forward = layer.forward

    def capturing_forward(x: np.ndarray) -> np.ndarray:
        captured.y = forward(x)
        return captured.y

    def capturing_backward(dy: np.ndarray) -> None:
        captured.dy = dy
        raise GradientReached

    layer.forward, layer.backward = capturing_forward, capturing_backward
    try:
        yield captured
    finally:
        del layer.forward, layer.backward


def find_layer(model: Model, path: str) -> Layer:
    """The layer with this path, at any depth. Raises ValueError with the most similar names where there is none."""
    check_names(model, [path])
    return dict(model.walk())[path]


def layers_with_maps(model: Model, input_shape: tuple[int, ...]) -> dict[str, tuple[int, int, int]]:
    """The top-level layers that give feature maps of more than one pixel, by name, with the shape (C, h, w) of their maps.

    ``input_shape`` is (N, C, H, W). Layers that are the identity in inference (dropout, auxiliary heads) are left out.
    """
    shapes, shape = {}, tuple(input_shape)
    for name, layer in model.layers.items():
        shape = layer.output_shape(shape)
        if len(shape) == 4 and shape[2] * shape[3] > 1 and not layer.is_identity_in_inference:
            shapes[name] = shape[1:]
    return shapes
