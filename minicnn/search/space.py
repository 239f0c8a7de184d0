"""What is searched: for each setting a range of values, from which points are drawn at random, in a grid, or near a good one.

A space is a dict from the name of a setting to one of these ranges. A range lays its values along u in [0, 1): `at(u)` is the
value there, so that u drawn uniformly gives values that are uniform, or uniform in their logarithm. Learning rates and
regularisation strengths multiply what they act on, so they are searched by factors, on the log scale (CS231n's notes, "Neural
Networks 3", hyperparameter optimization).
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

Narrower = TypeVar("Narrower", bound="Continuous")


class Range(ABC):
    """The values that one setting may have."""

    @abstractmethod
    def at(self, u: float) -> Any:
        """The value at u in [0, 1)."""

    @abstractmethod
    def grid(self, n: int) -> list[Any]:
        """At most n values, spread evenly."""

    @abstractmethod
    def narrowed(self, value: Any, share: float) -> Range:
        """The part of this range around a value that is ``share`` as wide."""


class Continuous(Range):
    """Real numbers from low to high; a subclass says on which scale."""

    low: float
    high: float

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"{name} goes from a number low up to a greater one, high; got low={self.low}, high={self.high}")

    @abstractmethod
    def position(self, value: float) -> float:
        """The u at which a value lies: the inverse of `at`."""

    def grid(self, n: int) -> list[float]:
        """n values at equal steps of u, both ends included; the one in the middle if n is 1."""
        return [self.at(u) for u in _steps(n)]

    def narrowed(self: Narrower, value: float, share: float) -> Narrower:
        """``share`` of this range, on its own scale, with the value in the middle, or nearer to an end that is an end of this.

        >>> LogUniform(1e-6, 1.0).narrowed(1e-2, 1 / 3)
        LogUniform(low=0.001, high=0.1)
        """
        start = min(max(self.position(value) - share / 2, 0.0), 1.0 - share)
        return replace(self, low=_rounded(self.at(start)), high=_rounded(self.at(start + share)))


@dataclass(frozen=True)
class Uniform(Continuous):
    """Real numbers, at(u) = low + u (high - low).

    Raises
    ------
    ValueError
        Unless low < high.

    >>> Uniform(0.0, 0.8).at(0.25), Uniform(0.0, 0.8).grid(3)
    (0.2, [0.0, 0.4, 0.8])
    """

    low: float
    high: float

    def at(self, u: float) -> float:
        return self.low + u * (self.high - self.low)

    def position(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class LogUniform(Continuous):
    """Positive numbers whose logarithm is uniform, at(u) = low (high / low)^u.

    Raises
    ------
    ValueError
        Unless 0 < low < high.

    >>> [f"{value:.0e}" for value in LogUniform(1e-4, 1e-2).grid(3)]
    ['1e-04', '1e-03', '1e-02']
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise ValueError(f"LogUniform needs low > 0, as 0 and what is below has no logarithm; got low={self.low}")

    def at(self, u: float) -> float:
        return self.low * (self.high / self.low) ** u

    def position(self, value: float) -> float:
        return math.log(value / self.low) / math.log(self.high / self.low)


@dataclass(frozen=True)
class Integers(Range):
    """Whole numbers from low to high, both included, each as likely as another.

    Raises
    ------
    ValueError
        Unless both are whole numbers and low < high.

    >>> Integers(1, 4).at(0.99), Integers(1, 9).grid(3), Integers(1, 9).narrowed(8, 0.5)
    (4, [1, 5, 9], Integers(low=5, high=9))
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        if not (isinstance(self.low, int) and isinstance(self.high, int) and self.low < self.high):
            raise ValueError(f"Integers goes from a whole number up to a greater one; got low={self.low!r}, high={self.high!r}")

    def at(self, u: float) -> int:
        return self.low + int(u * (self.high - self.low + 1))

    def grid(self, n: int) -> list[int]:
        """At most n of them, at nearly equal steps, both ends included."""
        return list(dict.fromkeys(round(self.low + u * (self.high - self.low)) for u in _steps(n)))

    def narrowed(self, value: int, share: float) -> Integers:
        """At least from one less to one more."""
        width = max(round(share * (self.high - self.low)), 2)
        low = max(min(value - width // 2, self.high - width), self.low)
        return Integers(low, min(low + width, self.high))


class Choice(Range):
    """One of some options, each as likely as another: texts, numbers, or anything else that JSON can write.

    Raises
    ------
    ValueError
        For fewer than two options, equal ones, or one that is not the same when JSON has written and read it.

    >>> Choice(["sgd", "adam"]).at(0.5), Choice([32, 64]).grid(5)
    ('adam', [32, 64])
    """

    def __init__(self, options):
        self.options = list(options)
        texts = [_json_text(option) for option in self.options]
        if len(set(texts)) < max(len(texts), 2):
            raise ValueError(f"Choice needs two options or more, no two of them equal; got {self.options!r}")

    def __repr__(self) -> str:
        return f"Choice({self.options!r})"

    def at(self, u: float) -> Any:
        return self.options[int(u * len(self.options))]

    def grid(self, n: int) -> list[Any]:
        """All options, whatever n is."""
        return list(self.options)

    def narrowed(self, value: Any, share: float) -> Choice:
        """This one: options have no order, so none is near another."""
        return self


Space = Mapping[str, Range]


def check_space(space: Space) -> dict[str, Range]:
    """The space as a dict of its own.

    Raises
    ------
    ValueError, TypeError
        If it is empty, or something in it is no range.
    """
    if not isinstance(space, Mapping) or not space:
        example = '{"lr": LogUniform(1e-5, 1e-1)}'
        raise ValueError(f"a space is a dict from the names of settings to ranges, such as {example}; got {space!r}")
    for name, values in space.items():
        if not isinstance(values, Range):
            raise TypeError(f"the space has {values!r} for {name!r}, which is none of LogUniform, Uniform, Integers, Choice")
    return dict(space)


def narrowed(space: Space, settings: Mapping[str, Any], share: float) -> dict[str, Range]:
    """Each range of a space narrowed around good settings: coarse to fine."""
    return {name: values.narrowed(settings[name], share) for name, values in space.items()}


def _steps(n: int) -> list[float]:
    """n numbers from 0 to 1 at equal steps; 1/2 if n is 1."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"a grid has a whole number of points from 1 up, got {n!r}")
    return [0.5] if n == 1 else [i / (n - 1) for i in range(n)]


def _rounded(value: float) -> float:
    """To 12 digits: the end of a narrowed range is read by people."""
    return float(f"{value:.12g}")


def _json_text(option: Any) -> str:
    try:
        text = json.dumps(option, allow_nan=False)
    except (TypeError, ValueError):
        text = "null"
    if json.loads(text) != option:
        raise ValueError(
            f"options of a Choice are written to a file as JSON, which would not give back {option!r}; use texts, numbers, "
            "lists or dicts, and translate them in the objective"
        )
    return text
