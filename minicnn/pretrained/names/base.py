"""Tables of names, and what a source of weights is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np

from ...data.preprocessing import Preprocessing
from ...layers import Layer
from ...models import FAMILIES, Model

# Rows of (our path of a layer, their name of it). ``{x}`` in a path stands for a number or a word, which the name may repeat as
# ``{x}``, or as ``{x-1}`` if it is a number; ``{#}`` is the place, from 0, of the top-level layer. A name may list several that
# are in use, "predictions|fc1000": the one that is in the file is meant. The first row that fits counts.
Table = tuple[tuple[str, str], ...]


def family_of(architecture: str) -> str | None:
    """The name of the family whose tables hold for an architecture; None if nobody else's names are known for it.

    >>> family_of("resnet50"), family_of("cifar_net")
    ('resnet', None)
    """
    return next((family.name for family in FAMILIES.values() if architecture in family.architectures), None)


class Recipe(NamedTuple):
    """How one of our arrays is made from theirs.

    Attributes
    ----------
    names : one item for each array that it needs, which lists the names that array may have
    make : function
        From these arrays to ours. It fails on no shape: what does not fit comes out in a shape that is not ours either.
    change : str
        What the function does, in words; empty if nothing.
    optional : as ``names``
        Arrays that may be missing: then the function gets None.
    optional_change : str
        What it does with those, if they are there.
    """

    names: tuple[tuple[str, ...], ...]
    make: Callable[..., np.ndarray]
    change: str = ""
    optional: tuple[tuple[str, ...], ...] = ()
    optional_change: str = ""


@dataclass(frozen=True)
class Target:
    """One of our arrays, and what a source must know of it to find theirs.

    Attributes
    ----------
    array : str
        "w", "b", "gamma", "beta", "running_mean" or "running_var".
    layer : Layer
        The one it belongs to.
    names : tuple of str
        What they may call that layer.
    unbiased : tuple of str
        For a batch norm: what they may call the convolution below it, if ours has no bias, so that theirs must be merged.
    flattened : (C, H, W) or None
        For the first Linear layer above a Flatten: the shape of the map that is flattened.
    """

    array: str
    layer: Layer
    names: tuple[str, ...]
    unbiased: tuple[str, ...] = ()
    flattened: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Source:
    """A project whose files of weights are understood.

    Attributes
    ----------
    name : str
    tables : mapping from family, or from a single architecture, to Table
    recipe : function
        From one of our arrays to how it is made.
    forms : mapping from architecture to architecture
        What this source calls the first is the second of ours.
    changes : mapping from family to function (Model) -> None
        What must be changed in a network of ours (strides, padding, eps) to make it the one their weights are for.
    ignored : regular expression
        Names of arrays that no computation of ours uses.
    linear : tuple of (str, str)
        How the arrays of a fully connected layer are called behind its name, weights and bias; several, if there are several
        ways.
    outputs_first : bool
        Whether its weights are (out, in).
    leading_ones : bool
        Whether they may have axes of length 1 in front of these two.
    remarks : mapping from family to str
        Sentences about what the names leave open, and how it was taken.
    """

    name: str
    tables: Mapping[str, Table]
    recipe: Callable[[Target], Recipe]
    forms: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, Callable[[Model], None]] = field(default_factory=dict)
    ignored: str = r"$^"
    linear: tuple[tuple[str, str], ...] = ()
    outputs_first: bool = True
    leading_ones: bool = False
    remarks: Mapping[str, str] = field(default_factory=dict)

    def table_of(self, architecture: str) -> Table | None:
        """The names of this architecture's layers; None if they are not known."""
        return self.tables.get(architecture) or self.tables.get(family_of(architecture) or "")

    def preprocessing_of(self, architecture: str) -> Preprocessing:
        """How pictures are prepared for the source's weights of this architecture."""
        return FAMILIES[family_of(architecture) or ""].preprocessing_of(architecture, self.name)


def their_names(path: str, table: Table, place: int) -> tuple[str, ...]:
    """What a layer of ours may be called by those whose table this is; empty if the table does not know it.

    >>> their_names("conv2_1.sum.body.conv1.norm", (("conv{s}_{b}.sum.body.conv{k}.norm", "layer{s-1}.{b-1}.bn{k}"),), 3)
    ('layer1.0.bn1',)
    >>> their_names("conv1_2", (("conv{s}_{i}", "features.{#}|conv{s}/{i}"),), 2)
    ('features.2', 'conv1/2')
    """
    for ours, theirs in table:
        if found := _pattern(ours).fullmatch(path):
            return tuple(_filled_in(theirs, found.groupdict() | {"#": str(place)}).split("|"))
    return ()


@cache
def _pattern(ours: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[0-9a-z]+)", re.escape(ours)))


def _filled_in(template: str, words: Mapping[str, str]) -> str:
    def word(item: re.Match) -> str:
        name, shift = item.groups()
        return str(int(words[name]) + int(shift)) if shift else words[name]

    return re.sub(r"\{(\w+|#)([+-]\d+)?\}", word, template)


def first_of(names: tuple[str, ...], *arrays: str) -> tuple[str, ...]:
    """All names "layer/array" of a layer that may have several names, and an array that may."""
    return tuple(f"{name}/{array}" for name in names for array in arrays)


def without_leading_ones(array: np.ndarray, axes: int) -> np.ndarray:
    """(1, 1, F, K) as (F, K), if there are that many axes too many and all have length 1."""
    extra = array.ndim - axes
    return array.reshape(array.shape[extra:]) if extra > 0 and set(array.shape[:extra]) == {1} else array
