"""Which mistake it is: the one that gives just the student's numbers."""

from __future__ import annotations

import ast
import copy
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .same import same
from .student import Call
from .task import Slip


@dataclass(frozen=True)
class Diagnosis:
    """What the mistake is, and where it probably is.

    Attributes
    ----------
    slip : Slip
    line : int or None
        Of the student's file.
    text : str
        That line.
    """

    slip: Slip
    line: int | None = None
    text: str = ""

    def __str__(self) -> str:
        where = f" Look at line {self.line}: `{self.text}`." if self.line else ""
        return f"{self.slip.title}. {self.slip.think}{where}"


def diagnose(
    calls: Sequence[Call], right: Mapping[str, Callable], slips: Sequence[Slip], functions: Mapping[str, Any]
) -> Diagnosis | None:
    """The first of the mistakes that explains every call: with it the solution would have answered as the student's did.

    Parameters
    ----------
    calls : several Call
        Of the student's functions, up to the one that was wrong.
    right : dict of name to function
        The solution's.
    slips : several Slip
    functions : dict of name to function
        The student's, to find the line.
    """
    if not calls or _explains(calls, right):
        return None
    for slip in slips:
        if _explains(calls, {**right, **slip.functions}):
            return Diagnosis(slip, *_where(slip, functions))
    return None


def _explains(calls: Sequence[Call], functions: Mapping[str, Callable]) -> bool:
    """Whether these functions answer all calls as the student's did. The last call, the wrong one, is asked first."""
    return all(same(call.answer, _answer(functions.get(call.name), call)) for call in reversed(calls))


def _answer(function: Callable | None, call: Call) -> Any:
    if function is None:
        return None
    try:
        with np.errstate(all="ignore"):
            return function(*copy.deepcopy(call.arguments))
    except Exception as error:
        return error


def _where(slip: Slip, functions: Mapping[str, Any]) -> tuple[int | None, str]:
    """Number and text of the first statement of the student's in which the slip's pattern is found."""
    for name in slip.functions if slip.where else ():
        try:
            lines, first = inspect.getsourcelines(functions[name])
        except (KeyError, OSError, TypeError):
            continue
        for number, line in enumerate(_only_statements(lines), start=first):
            if re.search(slip.where, line):
                return number, line.strip()
    return None, ""


def _only_statements(lines: list[str]) -> list[str]:
    """The lines, those of signatures, docstrings and comments empty, so that line numbers stay."""
    kept = [line.partition("#")[0] for line in lines]
    try:
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except SyntaxError:  # the source of a lambda is whatever stands in its line
        return kept
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0]
            end = first.end_lineno if ast.get_docstring(node) is not None else first.lineno - 1
            kept[node.lineno - 1 : end] = [""] * (end - node.lineno + 1)
    return kept
