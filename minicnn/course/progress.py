"""What of an exercise is done: the verdicts of the last checks, kept beside it."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..cache import write_bytes
from .check import PASSED, Verdict
from .lesson import Lesson


def written_out(code: str) -> list[str]:
    """The functions that do more than raise an error: those that are no stubs any more.

    Raises
    ------
    SyntaxError
        If it is not Python.
    """
    functions = [node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
    return [function.name for function in functions if not isinstance(function.body[-1], ast.Raise)]


def is_begun(file: Path) -> bool:
    """Whether somebody has written a function of this exercise, or tried to."""
    try:
        return bool(written_out(file.read_text(encoding="utf-8", errors="replace")))
    except SyntaxError:
        return True


def remember(file: Path, verdicts: Iterable[Verdict]) -> None:
    """Keep these verdicts in ``out/verdicts.json`` beside the file, and those that are there of its other tasks.

    In a folder that cannot be written, nothing is kept.
    """
    kept = _kept(file).get("tasks", {}) | {str(verdict.number): verdict.verdict for verdict in verdicts}
    content = {"file": _digest(file), "tasks": kept}
    with suppress(OSError):
        write_bytes(_record(file), json.dumps(content, indent=1).encode() + b"\n")


def describe(lesson: Lesson, file: Path) -> str:
    """How far this exercise is, in a few words."""
    if not is_begun(file):
        return "not begun"
    kept = _kept(file)
    if not kept:
        return "begun, not checked yet"
    passed = sum(verdict == PASSED for verdict in kept["tasks"].values())
    text = "done" if passed == len(lesson.tasks) else f"{passed} of {len(lesson.tasks)} tasks passed"
    return text if kept["file"] == _digest(file) else f"{text} when it was last checked, changed since"


def _record(file: Path) -> Path:
    return file.resolve().parent / "out" / "verdicts.json"


def _kept(file: Path) -> dict:
    """What was kept; nothing, if that cannot be read."""
    try:
        content = json.loads(_record(file).read_text(encoding="utf-8"))
        return content if {"file", "tasks"} <= content.keys() else {}
    except (OSError, ValueError, AttributeError):
        return {}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
