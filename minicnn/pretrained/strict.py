"""Putting arrays into a network: strictly by name and by shape, or not at all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import WeightsError
from ..layers import Layer

SHOWN = 8  # names of each kind in an error message


def arrays_of(layer: Layer) -> dict[str, np.ndarray]:
    """Everything that makes up a trained network: parameters and state by name, the live arrays."""
    return {name: parameter.value for name, parameter in layer.parameters().items()} | layer.state()


def fill(layer: Layer, arrays: Mapping[str, np.ndarray], source: str) -> None:
    """Copy the arrays into the parameters and the state of the same names.

    Parameters
    ----------
    layer : Layer
    arrays : mapping from name to array
        One for each name in ``arrays_of(layer)``, of that shape, and no others.
    source : str
        Where they come from, for the message.

    Raises
    ------
    WeightsError
        If names are missing or too many, or shapes differ: all of them are listed, and nothing has been changed.
    """
    targets = arrays_of(layer)
    wrong = {
        "missing": [f"{name} {target.shape}" for name, target in targets.items() if name not in arrays],
        "unexpected": [f"{name} {array.shape}" for name, array in arrays.items() if name not in targets],
        "of another shape": [
            f"{name}: {arrays[name].shape}, the network has {target.shape}"
            for name, target in targets.items()
            if name in arrays and arrays[name].shape != target.shape
        ],
    }
    if any(wrong.values()):
        raise WeightsError(
            f"{source} does not fit the network, of which nothing was changed. "
            + " ".join(f"{len(names)} {kind}: {_some(names)}." for kind, names in wrong.items() if names)
            + " Are these the weights of this architecture, with this number of classes?"
        )
    for name, target in targets.items():
        target[...] = arrays[name][...]


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
