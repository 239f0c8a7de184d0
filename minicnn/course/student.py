"""A student's functions: called, watched, and remembered."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .guard import Forbidden

# names of mistakes that every task knows
ARGUMENT_CHANGED = "An argument is changed"
NOTHING_RETURNED = "Nothing is returned"
VIEW_RETURNED = "The result is an argument, or a view of it"
ARRAY_KEPT = "An array is kept from call to call"
NO_FLOATS = "The result does not hold floats"
NOT_FINITE = "Values are NaN or infinite"
OTHER_COUNT = "Not as many results as asked for"
NO_NUMBER = "An array came where a number belongs"
TRANSPOSED = "The result is transposed"
AXIS_TOO_MANY = "The result has an axis of length 1 too many"
OVERFLOW_ON_THE_WAY = "A number overflows on the way"
KEPT_AND_USED = "Something that another call kept is used"
OTHER_GENERATOR = "The generator that was passed is not used"
KNOWN_EVERYWHERE = (
    ARGUMENT_CHANGED,
    NOTHING_RETURNED,
    VIEW_RETURNED,
    ARRAY_KEPT,
    NO_FLOATS,
    NOT_FINITE,
    OTHER_COUNT,
    NO_NUMBER,
    TRANSPOSED,
    AXIS_TOO_MANY,
    OVERFLOW_ON_THE_WAY,
    KEPT_AND_USED,
    OTHER_GENERATOR,
)


class Mistake(Exception):
    """What is wrong with a student's answer, in a sentence for the student.

    Attributes
    ----------
    name : str
        Of the mistake, where it is one that every task knows: one of ``KNOWN_EVERYWHERE``.
    """

    def __init__(self, text: str, name: str = ""):
        super().__init__(text)
        self.name = name


class NotDone(Exception):
    """A function that still raises NotImplementedError, or is not there."""


@dataclass
class Call:
    """A call of one of the student's functions.

    Attributes
    ----------
    name : str
    arguments : tuple
        Copies, as they were before.
    answer : object
        A copy of what came back; or the exception that was raised.
    """

    name: str
    arguments: tuple
    answer: Any


class Student:
    """The student's functions. ``student.relu_forward(x)`` calls theirs, and watches how it behaves.

    A stub counts as `NotDone`. An error, nothing returned, a changed argument, and a result that is not an array of its own
    (a view of an argument, or the array of an earlier result) are each a `Mistake` that says where. Only arrays are watched,
    alone or in a tuple, so that a task may well ask to change a network.

    Attributes
    ----------
    calls : list of Call
        In their order, for `minicnn.course.diagnose`.
    """

    def __init__(self, functions: Mapping[str, Any], file: str = ""):
        self._functions, self._file = functions, file
        self._returned: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}  # of each function the last arrays, and copies
        self.calls: list[Call] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = self._functions.get(name)
        if not callable(function):
            raise NotDone(f"there is no function {name}() in the file")

        def call(*arguments: Any) -> Any:
            before = [[array.copy() for array in _arrays_in(argument)] for argument in arguments]
            record = Call(name, copy.deepcopy(arguments), None)
            try:
                answer = function(*arguments)
            except NotImplementedError as error:
                raise NotDone(str(error)) from error
            except (Mistake, KeyboardInterrupt):  # raised by something of the checker's, or by Ctrl-C
                raise
            except BaseException as error:
                self.calls.append(Call(name, record.arguments, error))
                raise Mistake(f"{name}() {what_was_raised(error, self._file)}") from error
            record.answer = copy.deepcopy(answer)
            self.calls.append(record)
            for i, (argument, copies) in enumerate(zip(arguments, before, strict=True)):
                if any(not np.array_equal(*pair, equal_nan=True) for pair in zip(_arrays_in(argument), copies, strict=True)):
                    text = f"{name}() changes its argument number {i + 1}; others still need that array: work on a copy"
                    raise Mistake(text, name=ARGUMENT_CHANGED)
            if answer is None:
                text = f"{name}() returns nothing (None); is there a return at its end?"
                raise Mistake(text, name=NOTHING_RETURNED)
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
                    "changes the other. Return a new array",
                    name=VIEW_RETURNED,
                )
        if any(not np.array_equal(array, copy, equal_nan=True) for array, copy in self._returned.get(name, [])):
            raise Mistake(
                f"a call of {name}() changed the array that the call before had returned: is it kept from call to call? "
                "Make a new one each time",
                name=ARRAY_KEPT,
            )
        self._returned[name] = [(array, array.copy()) for array in results if array.dtype.kind == "f"]


def _arrays_in(argument: Any) -> list[np.ndarray]:
    return [a for a in (argument if isinstance(argument, (tuple, list)) else [argument]) if isinstance(a, np.ndarray)]


def what_was_raised(error: BaseException, file: str) -> str:
    """In words, with the last line of the student's own file that was running."""
    # without reading the lines of other files: of tasks.py it would be forbidden while answers run
    frames = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False)
    own = [frame for frame in frames if frame.filename == file]
    where = f" in line {own[-1].lineno}, `{own[-1].line}`" if own else ""
    if isinstance(error, Forbidden):
        what, _, advice = str(error).partition("; ")
        return f"{what}{where}; {advice}"
    if isinstance(error, SystemExit):
        return f"ends the program with exit(){where}; a function returns its answer, and a file has functions only"
    if isinstance(error, MemoryError):
        return f"asks for more memory than a task may have{where}"
    return f"raised {type(error).__name__}{where}: {error}"
