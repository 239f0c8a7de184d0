"""What was found when pictures were opened, as a table for the terminal: shown before anything is computed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np

from ..text import aligned, named
from .picture_set import PictureSet

__all__ = ["findings_table", "named"]

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
    lines = aligned(rows, right=range(1, len(rows[0])))
    for heading, sentences in pictures.findings.by_heading().items():
        for sentence in sentences:
            lines += _paragraph(heading, sentence)
    return "\n".join(lines)


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
    least, most = total[others[0]], total[others[-1]]
    counts = f"{least} to {most} pictures" if least < most else f"{least} picture{'' if least == 1 else 's'} each"
    between = f"... {len(others)} more classes, of {counts}"
    return [*((k, pictures.classes[k]) for k in smallest), (None, between), *((k, pictures.classes[k]) for k in largest)]


def _paragraph(heading: str, sentence: str) -> list[str]:
    return textwrap.wrap(
        f"{heading}: {sentence}", WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
