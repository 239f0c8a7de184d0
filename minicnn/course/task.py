"""What a task of an exercise is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .student import Student

Check = Callable[[Student, np.random.Generator], None]


@dataclass(frozen=True)
class Slip:
    """A mistake that people make in a task, as functions that make it.

    The functions are the solution's with one thing wrong. Where a student's functions gave the same numbers on the same
    arguments, it is the student's mistake.

    Attributes
    ----------
    title : str
        What is wrong, as a sentence about the answer: "db is a mean over the batch".
    think : str
        What to think about, without the line that would be right.
    functions : dict of name to function
        Those that differ from the solution's.
    where : str
        A regular expression for the line that has the mistake, if it can be told; the first line that fits is named.
    """

    title: str
    think: str
    functions: Mapping[str, Callable[..., Any]]
    where: str = ""


@dataclass(frozen=True)
class Task:
    """A task of an exercise.

    Attributes
    ----------
    title : str
    check : function
        ``check(student, rng)`` calls the student's functions with numbers from rng, and raises `Mistake` if one is wrong. It
        judges all that matters with every rng: the numbers and shapes are new each time, the cases are not.
    functions : names
        That the task asks for.
    slips : several Slip
        More special ones first.
    hints : three str
        What to look at; the principle; nearly the line.
    points : int
    """

    title: str
    check: Check
    functions: tuple[str, ...]
    slips: tuple[Slip, ...] = ()
    hints: tuple[str, str, str] = ("", "", "")
    points: int = 1
