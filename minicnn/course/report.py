"""Verdicts in words, and as numbers for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from .. import __version__
from .check import NOT_DONE, PASSED, Verdict
from .lesson import Lesson

WIDTH = 112


def heading(lesson: Lesson, file: Path, seed: int) -> str:
    """What is checked, and how to have the same numbers again."""
    return (
        f"Lesson {lesson.number}, {lesson.title}: {file}\n"
        f"minicnn {__version__}; the numbers are new each time, to have these again: --seed {seed}\n"
    )


def describe(verdict: Verdict) -> str:
    """A line, and below it what there is to say."""
    points = f", {verdict.points} point{'s' * (verdict.points != 1)}" if verdict.points else ""
    text = f"  task {verdict.number}  {verdict.title:<46} {verdict.verdict}{points}"
    said = [verdict.reason, verdict.think and f"Probably this: {verdict.think}"]
    if verdict.printed:
        said.append("what it printed:\n" + textwrap.indent(verdict.printed, "  "))
    return "\n".join([text, *(indented(words) for words in said if words)])


def summary(verdicts: Sequence[Verdict], possible: int) -> str:
    """How many tasks are passed, and with how many points."""
    passed, points = sum(v.verdict == PASSED for v in verdicts), sum(v.points for v in verdicts)
    praise = " Well done." if passed == len(verdicts) else ""
    return f"\n{passed} of {len(verdicts)} tasks passed, {points} of {possible} points.{praise}"


def next_step(lesson: Lesson, verdicts: Sequence[Verdict]) -> str:
    """What to do about the first task that is not passed."""
    first = next((v for v in verdicts if v.verdict != PASSED), None)
    if first is None:
        return ""
    doing = "to begin with it" if first.verdict == NOT_DONE else "if you are stuck"
    return f"A hint, {doing}: minicnn check {lesson.number} --task {first.number} --hint"


def as_dict(lesson: Lesson, file: Path, seed: int, verdicts: Sequence[Verdict], possible: int) -> dict:
    """For JSON."""
    return {
        "lesson": lesson.folder.name,
        "file": str(file),
        "seed": seed,
        "minicnn": __version__,
        "points": sum(v.points for v in verdicts),
        "possible": possible,
        "tasks": [asdict(verdict) for verdict in verdicts],
    }


def indented(text: str) -> str:
    """Lines folded at WIDTH, each continued two columns further in than it began."""
    lines = []
    for line in text.splitlines():
        margin = " " * (12 + len(line) - len(line.lstrip()))
        lines.append(textwrap.fill(line, WIDTH, initial_indent=" " * 10, subsequent_indent=margin))
    return "\n".join(lines)
