"""For a file that does not fit the architecture that was named: which one it does fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..models import FAMILIES
from .matching import Match
from .names import SOURCES, Source
from .untrained import as_wide, convertible, expected_names, form_of, untrained
from .wrapping import unwrap

LEAST_SHARE = 0.5  # of a network's arrays: with fewer in a file, it is another network's


def better_architecture(arrays: Mapping[str, np.ndarray], architecture: str) -> str:
    """A sentence for an error that names the architecture whose arrays are in the file, or says that it is none of those here.

    Nothing if the one that was named is the best.
    """
    own = max(_share(arrays, form_of(source, architecture)[0], source) for source in SOURCES.values())
    best, most = architecture, own
    for form, source in _candidates(arrays):
        if most == 1:
            break
        if (share := _share(arrays, form, source)) > most:
            best, most = form, share
    if most <= LEAST_SHARE:
        return f" No architecture here has half of its arrays in the file; known are {', '.join(convertible())}."
    if best == architecture:
        return ""
    return f" The file has {most:.0%} of the arrays that {best} has below its classifier: is it that architecture?"


def _candidates(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, Source]]:
    """Architectures whose names are in the file, with the source of the names.

    All of a family call their first layers alike: where the smallest of them has nothing in common with the file, none has.
    """
    for family in FAMILIES.values():
        for source in SOURCES.values():
            smallest = family.architectures[0]
            if source.table_of(smallest) and len(_match(arrays, smallest, source).used) > 1:
                yield from ((form, source) for form in family.architectures)


def _share(arrays: Mapping[str, np.ndarray], form: str, source: Source) -> float:
    """The part of a network's arrays, below its classifier, that the file has in the right shape."""
    if source.table_of(form) is None:
        return 0.0
    match = _match(arrays, form, source)
    return match.fitting() / len(match.targets)


def _match(arrays: Mapping[str, np.ndarray], form: str, source: Source) -> Match:
    bare = {"include_top": False}
    model, table = untrained(form, bare), source.table_of(form) or ()
    own = unwrap(arrays, expected_names(model, source, table)).arrays
    build = as_wide(form, bare, own, source, table)
    return Match(model if build == bare else untrained(form, build), own, source, table)
