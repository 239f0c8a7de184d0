"""What was found when pictures were opened, as a table for the terminal: shown before anything is computed."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np

from .picture_set import PictureSet

MOST_ROWS = 30  # classes in the table; of more, the smallest and the largest ones are shown
WIDTH = 110  # of a line, in characters


def findings_table(pictures: PictureSet, parts: Mapping[str, np.ndarray] | None = None) -> str:
    """Classes by name with their counts in each part, what was left out and why, what was assumed.

    Parameters
    ----------
    pictures : PictureSet
        After `PictureSet.fitted`, the findings include pictures that could not be read.
    parts : mapping from a part's name to indices, optional
        As `minicnn.data.splits.split_pictures` draws them. By default those that the collection comes with.

    Returns
    -------
    Several lines, without a newline at the end. Of more than 30 classes, the ten smallest and the ten largest are listed.
    """
    if parts is None:
        parts = pictures.splits or {"pictures": np.arange(len(pictures))}
    columns = {part: _counts(pictures, rows) for part, rows in parts.items()}
    total = np.sum(list(columns.values()), axis=0)
    rows = [["class", *columns]]
    rows += [
        [name] if k is None else [name, *(str(counts[k]) for counts in columns.values())]
        for k, name in _listed(pictures, total)
    ]
    rows.append(["all", *(str(counts.sum()) for counts in columns.values())])
    lines = _aligned(rows)
    for heading, sentences in pictures.findings.by_heading().items():
        for sentence in sentences:
            lines += _paragraph(heading, sentence)
    return "\n".join(lines)


def named(names: Sequence[str], most: int = 5) -> str:
    """The names with commas between them, at most so many.

    >>> named(["ants", "bees", "wasps"], most=2)
    'ants, bees, ... (3 in all)'
    """
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def _counts(pictures: PictureSet, rows: np.ndarray) -> np.ndarray:
    """The number of pictures of each class among some."""
    return np.bincount(pictures.labels[np.asarray(rows, np.int64)], minlength=len(pictures.classes))


def _listed(pictures: PictureSet, total: np.ndarray) -> list[tuple[int | None, str]]:
    """The number and the name of each class that gets a row; without a number, a row that stands for several classes."""
    if len(total) <= MOST_ROWS:
        return list(enumerate(pictures.classes))
    by_size = np.argsort(total, kind="stable")
    third = MOST_ROWS // 3
    smallest, others, largest = by_size[:third], by_size[third:-third], by_size[-third:]
    between = f"... {len(others)} more classes, of {total[others[0]]} to {total[others[-1]]} pictures"
    return [*((k, pictures.classes[k]) for k in smallest), (None, between), *((k, pictures.classes[k]) for k in largest)]


def _aligned(rows: list[list[str]]) -> list[str]:
    """Lines with the first column to the left and numbers to the right; a row of a single cell may be wider than its column."""
    first = max(_width(row[0]) for row in rows if len(row) > 1)
    widths = [max(len(row[i]) for row in rows if len(row) > 1) for i in range(1, len(rows[0]))]
    return [
        "  ".join(
            [row[0] + " " * (first - _width(row[0])), *(cell.rjust(w) for cell, w in zip(row[1:], widths, strict=False))]
        ).rstrip()
        for row in rows
    ]


def _width(text: str) -> int:
    """In columns of a terminal, of which Korean, Chinese and Japanese characters take two, and combining ones none."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _paragraph(heading: str, sentence: str) -> list[str]:
    return textwrap.wrap(
        f"{heading}: {sentence}", WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
