"""A classifier half way up a network that helps to train the layers below it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.elementwise import add
from .base import Layer
from .containers import set_backward_flags, set_names
from .receptive_field import ReceptiveField


class AuxiliaryHead(Layer):
    """The identity, y = x, which in training also gives x to a classifier of its own, the head: scores = head(x).

    A loss reads the scores and sets ``dscores`` to its gradient, as `minicnn.losses.WithAuxiliaryHeads` does; then

    dx = dy + J_head^T dscores

    so that layers far below the top get a gradient that has not come all the way down. Where no loss sets it, dscores counts as
    zero: dx = dy, and the gradients of the head's parameters are zero.

    The head runs in train mode only, and only where the backward pass will come by: not in inference, nor among frozen lower
    layers. Its multiply-adds are not counted, as they are not part of inference.

    Szegedy et al. 2015, "Going Deeper with Convolutions", section 5.

    Parameters
    ----------
    head : Layer
        From x to scores; x may have any shape.

    Attributes
    ----------
    scores : ndarray or None
        What the head gave in the latest ``forward``, None if it did not run; None again after ``backward``.
    dscores : ndarray or None
        dL/dscores, to be set between ``forward`` and ``backward``.

    Raises
    ------
    TypeError
        If the head is no layer.
    ValueError
        In ``backward``, if dy is not like y.

    >>> from minicnn.layers import Linear
    >>> auxiliary = AuxiliaryHead(Linear(3, 2))
    >>> x = np.ones((1, 3), np.float32)
    >>> auxiliary.train().forward(x) is x, auxiliary.scores.shape
    (True, (1, 2))
    >>> auxiliary.eval().forward(x) is x, auxiliary.scores
    (True, None)
    """

    is_identity_in_inference = True

    def __init__(self, head: Layer):
        super().__init__()
        if not isinstance(head, Layer):
            raise TypeError(f"AuxiliaryHead needs a layer that makes scores, got a {type(head).__name__}")
        self.head = head
        self.scores: np.ndarray | None = None
        self.dscores: np.ndarray | None = None
        set_names("head", head)

    def children(self) -> dict[str, Layer]:
        return {"head": self.head}

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x)
        self.scores = self.dscores = None
        if self.training:
            set_backward_flags(self, [self.head])
            if self.head.remembers:
                self.scores = self.head.forward(x)
        self.remember(shape=x.shape, dtype=x.dtype)
        return x

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        saved = self.recall()
        self.check_gradient(dy, saved.shape, saved.dtype)
        dscores, self.scores, self.dscores = self.dscores, None, None
        if dscores is not None:
            through_head = self.head.backward(dscores)
            return add(dy, through_head) if self.needs_dx else None
        for _, layer in self.head.walk():
            layer._remembered = None  # no backward of the head follows
        for parameter in self.head.parameters().values():
            parameter.grad = np.zeros_like(parameter.value) if parameter.trainable else None
        return dy if self.needs_dx else None

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(input_shape)

    def receptive_field(self, below: ReceptiveField, input_shape: tuple[int, ...]) -> ReceptiveField:
        return below

    def config(self) -> dict[str, Any]:
        return {"head": self.head}
