"""Putting arrays into a network: strictly by name and by shape, or not at all; or, if asked, as far as they fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..errors import WeightsError
from ..layers import Layer
from ..text import named

NAMES_SHOWN = 8  # names of each kind in an error message


@dataclass(frozen=True)
class Differences:
    """What keeps arrays from being those of a network.

    Attributes
    ----------
    missing : dict from name to shape
        Of the network's arrays that were not given.
    unexpected : dict from name to shape
        Of the arrays that the network has no place for.
    unlike : dict from name to (shape, the network's shape)
        Of those with another shape. Where the shape is right, it is the type that is not numbers.
    foreign_names : dict from name to name
        The names that the missing ones would have in the file, where those are not the network's.
    """

    missing: dict[str, tuple[int, ...]] = field(default_factory=dict)
    unexpected: dict[str, tuple[int, ...]] = field(default_factory=dict)
    unlike: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    foreign_names: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.unlike)

    def lists(self) -> dict[str, list[str]]:
        """For each kind of difference the names, with shapes, as a reader wants to see them."""
        return {
            "missing": [
                f"{name} {shape}" + (f" (there: {self.foreign_names[name]})" if name in self.foreign_names else "")
                for name, shape in self.missing.items()
            ],
            "unexpected": [f"{name} {shape}" for name, shape in self.unexpected.items()],
            "of another shape": [f"{name}: {theirs}, the network has {ours}" for name, (theirs, ours) in self.unlike.items()],
        }

    def __str__(self) -> str:
        """One sentence for each kind of difference; of many names the first few."""
        return " ".join(
            f"{len(names)} {difference}: {named(names, NAMES_SHOWN)}." for difference, names in self.lists().items() if names
        )


def arrays_of(layer: Layer) -> dict[str, np.ndarray]:
    """Everything that makes up a trained network: parameters and state by name, the live arrays."""
    return {name: parameter.value for name, parameter in layer.parameters().items()} | layer.state()


def fill(
    layer: Layer,
    arrays: Mapping[str, np.ndarray],
    source: str,
    partial: bool = False,
    foreign_names: Mapping[str, str] | None = None,
) -> Differences:
    """Copy the arrays into the parameters and the state of the same names.

    Parameters
    ----------
    layer : Layer
    arrays : mapping from name to array
        One for each name in ``arrays_of(layer)``, of that shape, and no others.
    source : str
        Where they come from, for the message.
    partial : bool
        Copy what fits, and leave the rest of the network as it is.
    foreign_names : mapping, optional
        What the arrays of these names are called in the file, for the message.

    Returns
    -------
    Differences
        Empty unless ``partial``.

    Raises
    ------
    WeightsError
        If names are missing or too many, or shapes differ: they are listed, and nothing has been changed. With ``partial`` if
        nothing at all fits.
    """
    targets = arrays_of(layer)
    unlike = {
        name: (tuple(arrays[name].shape), target.shape)
        for name, target in targets.items()
        if name in arrays and (arrays[name].shape != target.shape or arrays[name].dtype.kind not in "fiub")
    }
    differences = Differences(
        missing={name: target.shape for name, target in targets.items() if name not in arrays},
        unexpected={name: tuple(array.shape) for name, array in arrays.items() if name not in targets},
        unlike=unlike,
        foreign_names=foreign_names or {},
    )
    fitting = [name for name in targets if name in arrays and name not in unlike]
    if (differences and not partial) or not fitting:
        raise WeightsError(f"{source} does not fit the network, of which nothing was changed. {differences}")
    for name in fitting:
        targets[name][...] = arrays[name][...]
    return differences
