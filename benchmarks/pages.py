"""Parts of pages that are made by a command, between two comments of the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def filled(page: str, name: str, text: str) -> str:
    """The page with this text between the comments that begin and end a part.

    >>> filled("a <!-- x -->old<!-- end of x --> b", "x", "new")
    'a <!-- x -->\\nnew\\n<!-- end of x --> b'
    """
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, has_start, rest = page.partition(start)
    _, has_end, after = rest.partition(end)
    if not (has_start and has_end):
        raise ValueError(f"the page has no place for {name}: it lacks {start} or, after that, {end}")
    return f"{before}{start}\n{text}\n{end}{after}"


def markdown(heading: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table; columns whose place is in ``numbers`` are aligned to the right.

    >>> print(markdown(["a", "b"], [["x", "1"]], numbers=[1]))
    | a | b |
    | --- | ---: |
    | x | 1 |
    """
    rule = ["---:" if k in numbers else "---" for k in range(len(heading))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [heading, rule, *rows])
