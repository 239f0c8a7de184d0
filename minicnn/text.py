"""Text for people: columns, long lists of names, numbers of things."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = (), gap: str = "  ") -> list[str]:
    """One line for each row, its cells as wide as the widest of their column; those in ``right`` end there, others begin there.

    A row of a single cell, among rows of several, may be wider than its column.

    >>> aligned([("name", "size"), ("vgg16", "8"), ("and another one",)], right={1})
    ['name   size', 'vgg16     8', 'and another one']
    """
    full = [row for row in rows if len(row) > 1] or rows
    widths = [max(map(width, column)) for column in zip(*full, strict=True)]
    return [
        gap.join(
            _filled(cell, columns, k in right) for k, (cell, columns) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    ]


def width(text: str) -> int:
    """In columns of a terminal, of which Korean, Chinese and Japanese characters take two, and combining ones none.

    >>> width("ants"), width("개미")
    (4, 4)
    """
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _filled(text: str, columns: int, right: bool) -> str:
    spaces = " " * (columns - width(text))
    return spaces + text if right else text + spaces


def named(names: Sequence[str], most: int = 5) -> str:
    """The names with commas between them; of more than ``most``, the first ones and how many more there are.

    >>> named(["ants", "bees"]), named(["ants", "bees", "wasps"], most=2)
    ('ants, bees', 'ants, bees and 1 more')
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def counted(n: int, thing: str) -> str:
    """A number of things whose plural ends in s.

    >>> counted(1, "thread"), counted(2, "thread")
    ('1 thread', '2 threads')
    """
    return f"{n} {thing}" + ("s" if n != 1 else "")
