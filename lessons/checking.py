"""The code that the checkers of all lessons share: they run a student's file task by task and say what is wrong, and why.

A lesson's ``check.py`` has one function for each task, ``check(student, rng)``, that calls the student's functions through
``student`` and raises `Mistake` with a sentence for the student. `main` runs them, each with a random generator of its own (and
so with new numbers and shapes every time), prints the report and gives the exit status: 0 only where every task is passed.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from guard import Forbidden, Originals, guarded
from time_limit import TimeIsUp, time_limit

from minicnn.gradcheck import Report

WIDTH = 112
TOLERANCE = 1e-6


class Mistake(Exception):
    """What is wrong with a student's answer, in a sentence for the student."""


class NotDone(Exception):
    """A function that still raises NotImplementedError, or is not there."""


class Student:
    """The student's functions. ``student.relu_forward(x)`` calls theirs, and watches how it behaves.

    A stub counts as `NotDone`. An error, nothing returned, a changed argument, and a result that is not an array of its own
    (a view of an argument, or the array of an earlier result) are each a `Mistake` that says where. Only arrays are watched,
    alone or in a tuple, so that a task may well ask to change a network.
    """

    def __init__(self, module: ModuleType):
        self._module = module
        self._returned: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}  # of each function the last arrays, and copies

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(self._module, name, None)
        if not callable(function):
            raise NotDone(f"there is no function {name}() in the file")

        def call(*arguments: Any) -> Any:
            before = [[array.copy() for array in _arrays_in(argument)] for argument in arguments]
            try:
                answer = function(*arguments)
            except NotImplementedError as error:
                raise NotDone(str(error)) from error
            except (Mistake, TimeIsUp, KeyboardInterrupt):  # raised by something of the checker's, or by Ctrl-C
                raise
            except BaseException as error:
                raise Mistake(f"{name}() {_what_was_raised(error, self._module.__file__)}") from error
            for i, (argument, copies) in enumerate(zip(arguments, before, strict=True)):
                if any(not np.array_equal(*pair) for pair in zip(_arrays_in(argument), copies, strict=True)):
                    raise Mistake(f"{name}() changes its argument number {i + 1}; others still need that array: work on a copy")
            if answer is None:
                raise Mistake(f"{name}() returns nothing (None); is there a return at its end?")
            self._expect_new_arrays(name, arguments, answer)
            return answer

        return call

    def _expect_new_arrays(self, name: str, arguments: tuple, answer: Any) -> None:
        """`Mistake` if a result is a view of an argument, or the array that an earlier call returned."""
        results = _arrays_in(answer)
        for i, argument in enumerate(arguments):
            if any(np.may_share_memory(result, array) for result in results for array in _arrays_in(argument)):
                raise Mistake(
                    f"{name}() returns its argument number {i + 1} itself, or a view of it: whoever changes the one later "
                    "changes the other. Return a new array"
                )
        if any(not np.array_equal(array, copy, equal_nan=True) for array, copy in self._returned.get(name, [])):
            raise Mistake(
                f"a call of {name}() changed the array that the call before had returned: is it kept from call to call? "
                "Make a new one each time"
            )
        self._returned[name] = [(array, array.copy()) for array in results if array.dtype.kind == "f"]


def _arrays_in(argument: Any) -> list[np.ndarray]:
    return [a for a in (argument if isinstance(argument, (tuple, list)) else [argument]) if isinstance(a, np.ndarray)]


def expect_several(name: str, answer: Any, parts: str) -> list[Any]:
    """The student's answer as a list, if it is a tuple of as many things as ``parts`` ("dx, dw, db") names."""
    names = parts.split(", ")
    if not isinstance(answer, (tuple, list)) or len(answer) != len(names):
        raise Mistake(f"{name}() must return {len(names)} things, {parts}; got {_what_came(answer)}")
    return list(answer)


def _what_came(got: Any) -> str:
    if isinstance(got, np.ndarray):
        return f"an array of shape {got.shape}"
    return f"a {type(got).__name__}" + (f" of {len(got)}" if isinstance(got, (tuple, list)) else "")


def expect_array(name: str, got: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The array, if it is one of this shape holding finite floating-point numbers."""
    if not isinstance(got, (np.ndarray, np.generic)):
        raise Mistake(f"{name} must be a NumPy array of shape {shape}, got {_what_came(got)}")
    if got.shape != shape:
        hint = " Is it transposed?" if got.shape == shape[::-1] else ""
        raise Mistake(f"{name} must have shape {shape}, got {got.shape}.{hint}")
    if got.dtype.kind != "f":
        raise Mistake(f"{name} must hold floating-point numbers, got {got.dtype}")
    if not np.isfinite(got).all():
        raise Mistake(f"{name} holds {int((~np.isfinite(got)).sum())} values that are NaN or infinite")
    return np.asarray(got)


def expect_number(name: str, got: Any) -> np.ndarray:
    """The number, if it is a single finite one: of Python or of NumPy, or an array without axes."""
    is_number = np.ndim(got) == 0 and np.asarray(got).dtype.kind in "fiu"
    if not is_number or not np.isfinite(got):
        raise Mistake(f"{name} must be a single finite number, got {got if is_number else _what_came(got)}")
    return np.float64(got)


def expect_close(
    name: str, got: Any, expected: np.ndarray, likely: dict[str, np.ndarray] | None = None, tolerance: float = TOLERANCE
) -> None:
    """`Mistake` unless the two agree; it names the worst place, and the usual slip that gives just this result.

    Parameters
    ----------
    name : str
        What the array is called in the task.
    got, expected : arrays of equal shape
    likely : dict, optional
        What well-known slips would have given, under a sentence about each.
    tolerance : float
        Largest difference, relative to the largest expected value.
    """
    expected = np.asarray(expected)
    got = expect_array(name, got, expected.shape)
    scale = max(np.abs(expected).max(initial=0.0), 1e-12)
    if np.abs(got - expected).max(initial=0.0) <= tolerance * scale:
        return
    worst = np.unravel_index(np.abs(got - expected).argmax(), expected.shape)
    at = f"[{', '.join(str(int(i)) for i in worst)}]" if worst else ""
    wrong = int((np.abs(got - expected) > tolerance * scale).sum())
    text = f"{wrong} of {expected.size} values of {name} are wrong; the worst is {at}: " if worst else f"{name}: "
    text += f"got {got[worst]:.6g}, expected {expected[worst]:.6g}."
    for sentence, slip in (likely or {}).items():
        if np.shape(slip) == got.shape and np.allclose(got, slip, rtol=tolerance, atol=tolerance * scale):
            text += f" {sentence}"
            break
    raise Mistake(text)


def expect_gradients(subject: str, got: Sequence[Any], expected: dict[str, np.ndarray], check: Callable[[], Report]) -> None:
    """`Mistake` unless all gradients agree; in the words of a gradient check, which guesses at the cause.

    Parameters
    ----------
    subject : str
        What has been differentiated.
    got, expected : arrays in equal order, the expected ones by name
    check : function without arguments
        Runs the gradient check. That takes longer than a comparison, and so it is run only if something is wrong.
    """
    try:
        for (name, right), gradient in zip(expected.items(), got, strict=True):
            expect_close(f"{name} of {subject}", gradient, right)
    except Mistake:
        if not (report := check()).ok:
            raise Mistake(str(report)) from None
        raise


def main(folder: Path, lesson: str, tasks: dict[str, Callable[[Student, np.random.Generator], None]]) -> int:
    """Check the file named on the command line (``exercise.py`` if none is) and return the exit status.

    Parameters
    ----------
    folder : Path
        The lesson's.
    lesson : str
        Its title.
    tasks : dict of title to check
        In the order of the exercise.
    """
    parser = argparse.ArgumentParser(description=f"Checks the exercise of {lesson}.")
    parser.add_argument("file", nargs="?", type=Path, default=folder / "exercise.py", help="default: this lesson's exercise.py")
    parser.add_argument("--seed", type=int, help="repeat a check with the numbers it had")
    options = parser.parse_args()
    seed = int(np.random.SeedSequence().entropy % 1_000_000) if options.seed is None else options.seed
    print(f"{lesson}: {options.file}\nthe numbers are new each time; to have these again: --seed {seed}\n")

    passed = 0
    with guarded(options.file) as originals:
        try:
            with time_limit("loading the file"):
                student = Student(_load(options.file))
            expect_nothing_replaced(originals)
        except (Mistake, TimeIsUp) as mistake:
            print(_indented(str(mistake)))
            return 1
        for number, (title, check) in enumerate(tasks.items(), start=1):
            printed = io.StringIO()
            with redirect_stdout(printed):
                verdict, reason = _verdict(check, student, np.random.default_rng([seed, number]), f"task {number}", originals)
            passed += verdict == "passed"
            print(f"  task {number}  {title:<46} {verdict}")
            for text in (reason, _what_was_printed(printed)):
                if text:
                    print(_indented(text))
    print(f"\n{passed} of {len(tasks)} tasks passed." + (" Well done." if passed == len(tasks) else ""))
    return 0 if passed == len(tasks) else 1


def _verdict(
    check: Callable[[Student, np.random.Generator], None],
    student: Student,
    rng: np.random.Generator,
    task: str,
    originals: Originals,
) -> tuple[str, str]:
    """The verdict on one task, and the reason if there is anything to say."""
    try:
        try:
            with time_limit(task), np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):  # NumPy's own
                check(student, rng)
        finally:
            expect_nothing_replaced(originals)
    except NotDone as stub:
        return "not done yet", "" if "Lesson" in str(stub) else str(stub)
    except (Mistake, TimeIsUp) as mistake:
        return "WRONG", str(mistake)
    except Exception as error:
        return "WRONG", f"the check broke off, probably over what came back: {type(error).__name__}: {error}"
    return "passed", ""


def expect_nothing_replaced(originals: Originals) -> None:
    """`Mistake` if functions of others were replaced; they are put back."""
    if replaced := originals.put_back():
        names = ", ".join(replaced)
        raise Mistake(f"{names} had been replaced by something else: give your functions and variables names of their own")


def _load(path: Path) -> ModuleType:
    """The student's file as a module."""
    if not path.is_file():
        raise Mistake(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location("student", path)
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise Mistake(f"Python cannot read {path}, line {error.lineno}: {error.msg}") from error
    except (TimeIsUp, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise Mistake(f"{path} cannot be loaded: it {_what_was_raised(error, str(path))}") from error
    return module


def _what_was_printed(printed: io.StringIO) -> str:
    """The first lines of it, so that a print in a loop does not hide the report; '' if it was nothing, or was closed."""
    lines = [] if printed.closed else printed.getvalue().splitlines()
    if not lines:
        return ""
    rest = f"\n  ... and {len(lines) - 3} lines more" if len(lines) > 3 else ""
    return "what it printed:\n" + "\n".join(f"  {line[:WIDTH]}" for line in lines[:3]) + rest


def _what_was_raised(error: BaseException, file: str | None) -> str:
    """In words, with the last line of the student's own file that was running."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    where = f" in line {own[-1].lineno}, `{own[-1].line}`" if own else ""
    if isinstance(error, Forbidden):
        what, _, advice = str(error).partition("; ")
        return f"{what}{where}; {advice}"
    if isinstance(error, SystemExit):
        return f"ends the program with exit(){where}; a function returns its answer, and a file has functions only"
    return f"raised {type(error).__name__}{where}: {error}"


def _indented(text: str) -> str:
    """Lines folded at WIDTH, each continued two columns further in than it began."""
    lines = []
    for line in text.splitlines():
        margin = " " * (12 + len(line) - len(line.lstrip()))
        lines.append(textwrap.fill(line, WIDTH, initial_indent=" " * 10, subsequent_indent=margin))
    return "\n".join(lines)
