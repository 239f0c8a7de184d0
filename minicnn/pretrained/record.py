"""The record of a conversion: which array of a file went where."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..models.strict import Differences
from ..text import aligned, named


@dataclass(frozen=True)
class Row:
    """Where one array of the network comes from.

    Attributes
    ----------
    theirs : dict from name to shape
        The arrays in the file; empty if it has none for this.
    ours : str
    shape : tuple of int
        Of ours.
    change : str
        What was done to theirs, in words; empty if nothing.
    fits : bool
        Whether it was loaded.
    """

    theirs: dict[str, tuple[int, ...]]
    ours: str
    shape: tuple[int, ...]
    change: str
    fits: bool


@dataclass(frozen=True)
class Mapped:
    """The record of a conversion, one row for each array of the network; ``str()`` makes a table of it.

    Attributes
    ----------
    source : str
        Whose names the file has: one of ``minicnn.pretrained.names.SOURCES``, or "minicnn" for a file that was exported here.
    rows : list of Row
    differences : Differences
        What did not fit; empty unless the conversion was partial.
    left_out : dict from name to shape
        Arrays of the file that no computation here uses.
    notes : list of str
        Sentences about what was found, chosen and assumed.
    beside : list of Path
        Files beside the one that was converted from which numbers were read, too.
    """

    source: str
    rows: list[Row]
    differences: Differences
    left_out: dict[str, tuple[int, ...]]
    notes: list[str] = field(default_factory=list)
    beside: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        lines = []
        for row in self.rows:
            theirs = " + ".join(f"{name} {shape}" for name, shape in row.theirs.items()) or "(nothing)"
            ours = f"{row.ours} {row.shape}"
            lines.append((theirs, "->", ours, row.change) if row.fits else (theirs, "", ours, "NOT LOADED"))
        text = aligned(lines, gap=" ")
        if self.left_out:
            text.append(f"Left out of the file, as nothing here uses it: {named(list(self.left_out), most=3)}")
        for difference, names in self.differences.lists().items():
            text += [f"{difference}:", *(f"  {name}" for name in names)] if names else []
        return "\n".join(text)
