"""Putting a layer back: its modes, its statistics and its random generators."""

from __future__ import annotations

from collections.abc import Callable

from ..layers.base import Layer


def mode_restorer(layer: Layer) -> Callable[[], None]:
    """A function that puts the layer and all layers inside it back into their present modes."""
    saved = [(inner, inner.training, inner.remembers, inner.needs_dx) for _, inner in layer.walk()]

    def restore() -> None:
        for inner, training, remembers, needs_dx in saved:
            inner.training, inner.remembers, inner.needs_dx = training, remembers, needs_dx

    return restore


def state_restorer(layer: Layer) -> Callable[[], None]:
    """A function that sets running statistics and random generators back to their present values."""
    arrays = [(array, array.copy()) for array in layer.state().values()]
    generators = [inner.rng for _, inner in layer.walk() if hasattr(inner, "rng")]
    states = [generator.bit_generator.state for generator in generators]

    def restore() -> None:
        for array, value in arrays:
            array[...] = value
        for generator, state in zip(generators, states, strict=True):
            generator.bit_generator.state = state

    return restore
