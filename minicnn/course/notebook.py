"""A check in a cell of a notebook: ``minicnn.check("relu_forward")``."""

from __future__ import annotations

import inspect
from typing import Any

from ..errors import DataError
from . import report
from .check import PASSED, judge_functions, new_seed
from .lesson import Lesson, all_lessons


def check(task: str, functions: dict[str, Any] | None = None, seed: int | None = None) -> bool:
    """Judge one task with the functions that the notebook has defined so far, and print the verdict.

    Parameters
    ----------
    task : str
        "2.3" for task 3 of lesson 2, or a function that it asks for.
    functions : dict, optional
        By name; by default all that is defined where this is called.
    seed : int, optional
        Of the numbers; new ones each time by default.

    Returns
    -------
    bool
        Whether it is passed.

    Raises
    ------
    DataError
        If there is no such task.
    """
    lesson, number = find_task(task)
    found = inspect.currentframe().f_back.f_globals if functions is None else functions
    seed = new_seed() if seed is None else seed
    verdict = judge_functions(lesson.task(number), vars(lesson.solution), found, number, seed)
    print(f"Lesson {lesson.number}, seed {seed}\n{report.describe(verdict)}")
    return verdict.verdict == PASSED


def find_task(word: str) -> tuple[Lesson, int]:
    """Lesson and number of a task, by "LESSON.TASK" or by a function that it asks for."""
    lessons = all_lessons()
    if word.replace(".", "", 1).isdecimal() and "." in word:
        number, task = (int(part) for part in word.split("."))
        found = [(lesson, task) for lesson in lessons if lesson.number == number and 1 <= task <= len(lesson.tasks)]
    else:
        found = [(lesson, i) for lesson in lessons for i, t in enumerate(lesson.tasks, start=1) if word in t.functions]
    if len(found) != 1:
        choices = ", ".join(f"{lesson.number}.{i}" for lesson, i in found)
        said = f"is asked for in several tasks: say one of {choices}" if found else "is no task, and no function of one"
        raise DataError(f'{word} {said}; a task is, for example, "2.1"')
    return found[0]
