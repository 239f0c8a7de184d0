"""The result of a gradient check, as numbers and as text."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class ArrayCheck:
    """The result for the gradient with respect to one array.

    Attributes
    ----------
    name, shape : str, tuple
    checked, kinks : int
        The number of elements that were compared, and of those that were skipped because they lie at a kink.
    max_error : float
        The largest relative error; infinite where the gradient is missing, has the wrong shape or is not a number.
    worst : tuple of int or None
        The index with the largest error, where the gradients are ``analytic`` and ``numeric``; None, and NaN, if there
        is no error.
    problem : str
        What is wrong with the gradient as a whole; '' if nothing is.
    guess : str
        The likely cause of the error; '' if there is no error or no known pattern fits.
    is_zero : bool
        Whether the gradient is zero and right to be, for all that can be measured, so that little was put to the test.
    """

    name: str
    shape: tuple[int, ...]
    checked: int = 0
    kinks: int = 0
    max_error: float = 0.0
    worst: tuple[int, ...] | None = None
    analytic: float = np.nan
    numeric: float = np.nan
    problem: str = ""
    guess: str = ""
    is_zero: bool = False


@dataclass
class Report:
    """The result of a check: ``ok``, ``max_error``, and all details in ``str(report)``.

    Attributes
    ----------
    subject : str
        What was checked.
    tolerance : float
        The largest relative error that passes.
    arrays : list of ArrayCheck
    faults : list of str
        Wrong behaviour besides wrong numbers: changed arguments, accumulated gradients, passes that do not repeat, and a check
        in which nothing was put to the test.
    """

    subject: str
    tolerance: float
    arrays: list[ArrayCheck] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether all gradients are right within the tolerance, and there are no faults."""
        return not self.faults and all(array.max_error <= self.tolerance for array in self.arrays)

    @property
    def max_error(self) -> float:
        """The largest relative error in any array."""
        return max((array.max_error for array in self.arrays), default=0.0)

    @property
    def kinks(self) -> int:
        """How many elements were skipped because they lie at a kink."""
        return sum(array.kinks for array in self.arrays)

    def __str__(self) -> str:
        verdict = "all gradients are right" if self.ok else "WRONG" if self.max_error > self.tolerance else "FAILED"
        lines = [f"{self.subject}: {verdict} (largest relative error {self.max_error:.1e}, allowed {self.tolerance:.0e})"]
        lines += [f"  {fault}" for fault in self.faults]
        for array in self.arrays:
            lines += self._lines(array)
        return "\n".join(lines)

    def _lines(self, array: ArrayCheck) -> list[str]:
        size = int(np.prod(array.shape))
        tried = array.checked + array.kinks
        amount = f"all {size} elements" if tried == size else f"{tried} of {size} elements, drawn at random"
        line = f"  {array.name} {array.shape}: {amount}"
        if array.kinks:
            line += f", {array.kinks} of them at a kink and skipped"
        lines = [f"{line}, relative error up to {array.max_error:.1e}"]
        if array.is_zero:
            lines.append(
                "    zero, for all that can be measured, as it should be: a missing term of it would not be noticed here"
            )
        if array.max_error > self.tolerance:
            if array.problem:
                lines.append(f"    {array.problem}")
            if array.worst is not None:
                at = ", ".join(str(i) for i in array.worst)
                lines.append(f"    worst at {array.name}[{at}]: analytic {array.analytic:.9g}, numeric {array.numeric:.9g}")
            if array.guess or not array.problem:
                lines.append(f"    guess: {array.guess or 'none; the wrong elements show no pattern that is known here'}")
        return lines
