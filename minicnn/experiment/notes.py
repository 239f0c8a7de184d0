"""What a reader of the results should know about the classes beforehand: which can hardly be tested, and which are uneven."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..data.findings import named
from ..data.picture_set import PictureSet
from ..transfer.metrics import are_uneven
from .presets import Settings

FEW_TESTED = 5  # pictures of a class; one more or less that is recognised is then 20 points and more


def collection_notes(
    pictures: PictureSet, parts: Mapping[str, np.ndarray], settings: Settings, positive: int | None
) -> list[str]:
    """What `notes_on_parts` says, and sentences on uneven classes and on the class whose F1 it is.

    Parameters
    ----------
    pictures : PictureSet
    parts : mapping
        Indices of the pictures in the "train", "val" and "test" part of a split.
    settings : Settings
    positive : int or None
        As `positive_class` chooses it.
    """
    counts = np.bincount(pictures.labels, minlength=len(pictures.classes))
    notes = notes_on_parts(pictures, parts)
    if are_uneven(counts):
        how = "each class has the same say (--balance)" if settings.balance else "--balance gives each class the same say"
        notes.append(
            f"the classes are uneven, {counts[counts > 0].min()} to {counts.max()} pictures: strategies are compared by "
            f"balanced accuracy, the mean over classes of the share that is recognised; {how}"
        )
    if positive is not None:
        other = "" if settings.positive else "; --positive NAME chooses another one"
        notes.append(f"F1 is of the class {pictures.classes[positive]!r}{other}")
    return notes


def notes_on_parts(pictures: PictureSet, parts: Mapping[str, np.ndarray]) -> list[str]:
    """Sentences on classes without or with few pictures in the parts that are validated and tested on."""
    counts = np.bincount(pictures.labels, minlength=len(pictures.classes))
    notes = []
    for part, purpose, effect in (
        ("test", "test", "no number in the results speaks of them"),
        ("val", "validate", "they have no say in what is chosen"),
    ):
        missing = np.setdiff1d(np.arange(len(counts)), pictures.labels[parts[part]])
        if len(missing):
            names = named([repr(pictures.classes[k]) for k in missing])
            notes.append(f"{len(missing)} of {len(counts)} classes have no pictures to {purpose}: {names}; {effect}")
    tested = np.bincount(pictures.labels[parts["test"]], minlength=len(counts))
    if len(few := np.flatnonzero((tested > 0) & (tested < FEW_TESTED))):
        names = named([f"{pictures.classes[k]!r} ({tested[k]})" for k in few])
        notes.append(f"fewer than {FEW_TESTED} test pictures of {names}: how well they are recognised is hardly measured")
    return notes


def positive_class(classes: Sequence[str], counts: np.ndarray, name: str | None) -> int | None:
    """The number of the class whose F1 is reported, None for the mean over all.

    Of two classes it is the one that was named, else the smaller one if they are uneven, else the second.

    Raises
    ------
    ValueError
        For a name that no class has.
    """
    if name is not None:
        if name not in classes:
            raise ValueError(f"--positive {name}: there is no such class; the classes are {named(classes, 20)}")
        return list(classes).index(name)
    if len(classes) != 2:
        return None
    return int(np.argmin(counts)) if are_uneven(counts) else 1
