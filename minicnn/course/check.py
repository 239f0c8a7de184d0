"""All tasks of a student's file, each judged in a process of its own."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .diagnose import Diagnosis, diagnose
from .guard import Originals, guarded
from .isolation import run_isolated
from .lesson import Lesson
from .student import Mistake, NotDone, Student, what_was_raised
from .task import Task

PASSED, NOT_DONE, WRONG = "passed", "not done yet", "WRONG"


@dataclass
class Verdict:
    """What a checker says of one task.

    Attributes
    ----------
    number : int
        From 1.
    title : str
    verdict : str
        "passed", "not done yet" or "WRONG".
    reason : str
        What is wrong: what came, and what was expected.
    diagnosis : str
        The name of the mistake, if it is a known one: the title of a `minicnn.course.Slip`, or the name of a `Mistake`.
    think : str
        What to think about then, and the line.
    printed : str
        The first lines of what the functions printed.
    points, seconds : int, float
    """

    number: int
    title: str
    verdict: str
    reason: str = ""
    diagnosis: str = ""
    think: str = ""
    printed: str = ""
    points: int = 0
    seconds: float = 0.0


def new_seed() -> int:
    """For numbers that are new each time; of few digits, as people type it again."""
    return int(np.random.SeedSequence().entropy % 1_000_000)


def check_file(lesson: Lesson, file: Path, seed: int, numbers: Sequence[int] | None = None) -> Iterator[Verdict]:
    """The verdicts on the tasks of a file, one after another as soon as they are known.

    Parameters
    ----------
    lesson : Lesson
    file : Path
        With the functions of its exercise.
    seed : int
        Of all numbers and shapes.
    numbers : several int, optional
        Of the tasks; by default all.

    Raises
    ------
    ValueError
        If there is no task of such a number.
    """
    for number in numbers or range(1, len(lesson.tasks) + 1):
        task = lesson.task(number)
        started = time.perf_counter()
        outcome = run_isolated(judge, lesson, file, number, seed)
        verdict = outcome.answer or Verdict(number, task.title, WRONG, outcome.failure)
        verdict.printed, verdict.seconds = outcome.printed, time.perf_counter() - started
        yield verdict


def judge(lesson: Lesson, file: Path, number: int, seed: int) -> Verdict:
    """The verdict on one task of a file. Its functions run in this process: see `check_file`."""
    task, solution = lesson.task(number), vars(lesson.solution)  # loaded before the guard, which refuses to open them
    with guarded(file) as originals:
        try:
            functions = load_answers(file)
            _expect_nothing_replaced(originals)
        except Mistake as mistake:
            return Verdict(number, task.title, WRONG, str(mistake))
        return judge_functions(task, solution, functions, number, seed, str(file), originals)


def judge_functions(
    task: Task,
    solution: Mapping[str, Any],
    functions: Mapping[str, Any],
    number: int = 1,
    seed: int = 0,
    file: str = "",
    originals: Originals | None = None,
) -> Verdict:
    """The verdict on the functions of one task, in this process."""
    student = Student(functions, file)
    verdict = Verdict(number, task.title, PASSED, points=task.points)
    try:
        try:
            with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):  # NumPy's own
                task.check(student, np.random.default_rng([seed, number]))
        finally:
            if originals:
                _expect_nothing_replaced(originals)
    except NotDone as stub:
        return Verdict(number, task.title, NOT_DONE, "" if "Lesson" in str(stub) else str(stub))
    except Mistake as mistake:
        verdict = Verdict(number, task.title, WRONG, str(mistake), mistake.name)
    except Exception as error:
        reason = f"the check broke off, probably over what came back: {type(error).__name__}: {error}"
        verdict = Verdict(number, task.title, WRONG, reason)
    if verdict.verdict == WRONG and (found := _diagnosis(task, solution, student, functions)):
        verdict.diagnosis, verdict.think = found.slip.title, str(found)
    return verdict


def _diagnosis(task: Task, solution: Mapping[str, Any], student: Student, functions: Mapping[str, Any]) -> Diagnosis | None:
    right = {name: solution[name] for name in {call.name for call in student.calls} | set(task.functions) if name in solution}
    return diagnose(student.calls, right, task.slips, functions)


def load_answers(path: Path) -> dict[str, Any]:
    """What a student's file defines, by name.

    Raises
    ------
    Mistake
        If there is no such file, or it cannot be loaded: why, and in which line.
    """
    if not path.is_file():
        raise Mistake(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location("student", path)
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise Mistake(f"Python cannot read {path}, line {error.lineno}: {error.msg}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Mistake(f"{path} cannot be loaded: it {what_was_raised(error, str(path))}") from error
    return vars(module)


def _expect_nothing_replaced(originals: Originals) -> None:
    """`Mistake` if functions of others were replaced; they are put back."""
    if replaced := originals.put_back():
        names = ", ".join(replaced)
        raise Mistake(f"{names} had been replaced by something else: give your functions and variables names of their own")
