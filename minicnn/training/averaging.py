"""Averages over the weights that training passes through: less noise than any single one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..layers.base import Layer


def trained_arrays(model: Layer) -> dict[str, np.ndarray]:
    """What training changes, by name: the values of trainable parameters, and state. The arrays themselves, not copies."""
    parameters = model.parameters().items()
    return {name: parameter.value for name, parameter in parameters if parameter.trainable} | model.state()


class WeightAverage:
    """Exponential average of everything that training changes, batch norm's running statistics included.

    a_t = d_t a_(t-1) + (1 - d_t) theta_t   with   d_t = min(decay, t / (t + 10))

    after step t = 1, 2, ..., which has made the weights theta_t. With a constant d, the weights from before training would be
    part of the average for about 1 / (1 - d) steps; with d_t, which grows to it, only for a few.

    The last steps of stochastic gradient descent jump around a minimum; their mean lies nearer to it.
    Polyak & Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging"; in this form e.g. Szegedy et al. 2016,
    "Rethinking the Inception Architecture for Computer Vision", section 8.

    Parameters
    ----------
    model : Layer
        What is frozen is not averaged: it does not change.
    decay : float
        0 to below 1; about 1 / (1 - decay) steps are averaged.

    Raises
    ------
    ValueError
        For another decay.

    >>> from minicnn.layers import Linear
    >>> layer = Linear(1, 1, bias=False, rng=0)
    >>> layer.w.value[...] = 0
    >>> average = WeightAverage(layer, decay=0.5)
    >>> layer.w.value[...] = 11
    >>> average.update()                         # d = 1/11
    >>> with average.in_place():
    ...     print(layer.w.value)
    [[10.]]
    >>> print(layer.w.value)
    [[11.]]
    """

    def __init__(self, model: Layer, decay: float):
        if not 0 <= decay < 1:
            raise ValueError(f"WeightAverage: decay is how much of the old average stays, 0 to below 1, got {decay}")
        self.decay, self.steps = decay, 0
        self._live = trained_arrays(model)
        self._average = {name: array.copy() for name, array in self._live.items()}

    def update(self) -> None:
        """Add the weights as they are now to the average."""
        self.steps += 1
        d = min(self.decay, self.steps / (self.steps + 10))
        for name, average in self._average.items():
            average *= average.dtype.type(d)
            average += average.dtype.type(1 - d) * self._live[name]

    def state(self) -> dict[str, Any]:
        """The average so far, for `set_state`."""
        return {"steps": self.steps, "average": self._average}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.steps = state["steps"]
        for name, average in self._average.items():
            np.copyto(average, state["average"][name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """In the block the model has the averaged weights, and afterwards its own again."""
        own = {name: array.copy() for name, array in self._live.items()}
        for name, array in self._live.items():
            np.copyto(array, self._average[name])
        try:
            yield
        finally:
            for name, array in self._live.items():
                np.copyto(array, own[name])
