"""What comes back from a student's functions, compared with what is right; every difference is a `Mistake` in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..gradcheck import Report
from .student import AXIS_TOO_MANY, NO_FLOATS, NO_NUMBER, NOT_FINITE, OTHER_COUNT, TRANSPOSED, Mistake

TOLERANCE = 1e-6


def expect_several(name: str, answer: Any, parts: str) -> list[Any]:
    """The student's answer as a list, if it is a tuple of as many things as ``parts`` ("dx, dw, db") names."""
    names = parts.split(", ")
    if not isinstance(answer, (tuple, list)) or len(answer) != len(names):
        text = f"{name}() must return {len(names)} things, {parts}; got {_what_came(answer)}"
        raise Mistake(text, name=OTHER_COUNT)
    return list(answer)


def _what_came(got: Any) -> str:
    if isinstance(got, np.ndarray):
        return f"an array of shape {got.shape}"
    return f"a {type(got).__name__}" + (f" of {len(got)}" if isinstance(got, (tuple, list)) else "")


def expect_array(name: str, got: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The array, if it is one of this shape holding finite floating-point numbers. A list of lists is as good."""
    if isinstance(got, (list, tuple)):
        try:
            got = np.asarray(got, np.float64)
        except (TypeError, ValueError):
            raise Mistake(f"{name} must be a NumPy array of shape {shape}, got {_what_came(got)} that is none") from None
    if not isinstance(got, (np.ndarray, np.generic)):
        raise Mistake(f"{name} must be a NumPy array of shape {shape}, got {_what_came(got)}")
    if got.shape != shape:
        raise Mistake(f"{name} must have shape {shape}, got {got.shape}", _name_of_shape(got.shape, shape))
    if got.dtype.kind != "f":
        raise Mistake(f"{name} must hold floating-point numbers, got {got.dtype}", name=NO_FLOATS)
    if not np.isfinite(got).all():
        text = f"{name} holds {int((~np.isfinite(got)).sum())} values that are NaN or infinite"
        raise Mistake(text, name=NOT_FINITE)
    return np.asarray(got)


def _name_of_shape(got: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """What is wrong with a shape, where that can be told."""
    if got == expected[::-1]:
        return TRANSPOSED
    without_ones = [tuple(n for n in shape if n != 1) for shape in (got, expected)]
    return AXIS_TOO_MANY if len(got) > len(expected) and without_ones[0] == without_ones[1] else ""


def expect_number(name: str, got: Any) -> np.ndarray:
    """The number, if it is a single finite one: of Python or of NumPy, or an array without axes."""
    is_number = np.ndim(got) == 0 and np.asarray(got).dtype.kind in "fiu"
    if not is_number or not np.isfinite(got):
        text = f"{name} must be a single finite number, got {got if is_number else _what_came(got)}"
        raise Mistake(text, NOT_FINITE if is_number else NO_NUMBER if np.ndim(got) else "")
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
    except Mistake as mistake:
        if not (report := check()).ok:
            raise Mistake(str(report), mistake.name) from None
        raise
