"""What the figures ask of a network: the score of a class, its gradient, and what passes through a layer on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np

from ..layers import AuxiliaryHead, Dropout, Layer
from ..models import Model
from ..models.activations import check_names
from ..models.predictions import number_of_classes, scores_of_classes
from .style import drawable

Classes = int | str | Sequence[int | str] | None


def class_numbers(model: Model, x: np.ndarray, classes: Classes) -> np.ndarray | None:
    """The class asked about for each picture of an input (N, C, H, W), int64 (N,). None, the most probable, stays None.

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
    asked = [classes] * len(x) if isinstance(classes, (int, np.integer, str)) else list(classes)
    if len(asked) != len(x):
        raise ValueError(f"one class for all pictures or one for each: got {len(asked)} classes and {len(x)} pictures")
    return np.array([_class_number(model, k, K) for k in asked], np.int64)


def _class_number(model: Model, k: int | str, K: int) -> int:
    if isinstance(k, str):
        if k not in (model.classes or ()):
            known = ", ".join((model.classes or ["(none are named)"])[:5]) + (", ..." if K > 5 else "")
            raise ValueError(f"{model.architecture} has no class {k!r}; its {K} classes are {known}")
        return model.classes.index(k)
    if not 0 <= k < K:
        raise ValueError(f"{model.architecture} has the classes 0 to {K - 1}, got {k}")
    return int(k)


def class_names(model: Model, numbers: np.ndarray) -> list[str]:
    """What the classes of these numbers are called; by number where no font can write the name."""
    names = [model.classes[k] if model.classes else f"class {k}" for k in numbers]
    return [name if drawable(name) else f"class {k}" for name, k in zip(names, numbers, strict=True)]


def most_probable(scores: np.ndarray) -> np.ndarray:
    """The class with the highest score, (N,)."""
    return scores_of_classes(scores).argmax(1)


def one_at_class(scores: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """dscores for the score of one class a picture: 1 there and 0 elsewhere.

    Where two classes share one score s it speaks for class 1, and -s for class 0.
    """
    dscores = np.zeros_like(scores)
    if scores.shape[1] == 1:
        dscores[:, 0] = np.where(numbers == 1, 1, -1)
    else:
        dscores[np.arange(len(scores)), numbers] = 1
    return dscores


@contextmanager
def modes_kept(model: Layer) -> Iterator[None]:
    """Whatever the mode is within, afterwards every layer is in the one it was in.

    (A ``backward`` that was still to come from an earlier ``forward`` is lost.)
    """
    modes = [(layer, layer.training, layer.remembers, layer.needs_dx) for _, layer in model.walk()]
    try:
        yield
    finally:
        for layer, training, remembers, needs_dx in modes:
            layer.training, layer.remembers, layer.needs_dx = training, remembers, needs_dx
            layer._remembered = None


@contextmanager
def for_gradients(model: Layer) -> Iterator[None]:
    """Within: inference, with a ``backward`` down to the input that computes no gradient of any parameter.

    Afterwards modes are as they were, what was frozen or trainable is so again, and ``Parameter.grad`` has not been touched.
    """
    trainable = [parameter for parameter in model.parameters().values() if parameter.trainable]
    with modes_kept(model):
        try:
            model.eval(backward=True)
            for parameter in trainable:
                parameter.trainable = False
            yield
        finally:
            for parameter in trainable:
                parameter.trainable = True


class Arrived(Exception):
    """The gradient has come to the layer that was watched: nothing below need run."""


@contextmanager
def watched(layer: Layer) -> Iterator[SimpleNamespace]:
    """Within: ``seen.y`` is what the layer gives, and ``seen.dy`` the gradient that comes back to it, which ends the pass.

    >>> from minicnn.layers import Linear, ReLU, Sequential
    >>> net = Sequential(hidden=Linear(2, 3, rng=0), relu=ReLU(), scores=Linear(3, 1, rng=1))
    >>> with for_gradients(net), watched(net.layers["relu"]) as seen:
    ...     scores = net.forward(np.ones((1, 2), np.float32))
    ...     try:
    ...         net.backward(np.ones_like(scores))
    ...     except Arrived:
    ...         bool((seen.dy == net.layers["scores"].w.value).all())
    True
    """
    seen = SimpleNamespace(y=None, dy=None)
    forward = layer.forward

    def forward_and_keep(x: np.ndarray) -> np.ndarray:
        seen.y = forward(x)
        return seen.y

    def keep_and_stop(dy: np.ndarray) -> None:
        seen.dy = dy
        raise Arrived

    layer.forward, layer.backward = forward_and_keep, keep_and_stop
    try:
        yield seen
    finally:
        del layer.forward, layer.backward


def layer_of(model: Model, path: str) -> Layer:
    """The layer of this path, at any depth; a ValueError with the most alike names where there is none."""
    check_names(model, [path])
    return dict(model.walk())[path]


def layers_with_maps(model: Model, input_shape: tuple[int, ...]) -> dict[str, tuple[int, int, int]]:
    """The top-level layers that give maps of more than one place for an input (N, C, H, W), with the shape (C, H, W) of theirs.

    Layers that hand through what they get (dropout, auxiliary heads) are left out.
    """
    shapes, shape = {}, tuple(input_shape)
    for name, layer in model.layers.items():
        shape = layer.output_shape(shape)
        if len(shape) == 4 and shape[2] * shape[3] > 1 and not isinstance(layer, (Dropout, AuxiliaryHead)):
            shapes[name] = shape[1:]
    return shapes
