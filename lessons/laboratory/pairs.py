"""Comparing two ways over the same seeds: what one seed draws it draws for both, so that their difference is what counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from lab import mean_and_interval


@dataclass(frozen=True)
class Difference:
    """The mean over seeds of a - b with half its 95 % interval (NaN for one seed), in points: per cent of the test pictures."""

    mean: float
    half: float

    @property
    def sign(self) -> int:
        """1 or -1 where the interval is on one side of 0: a is surely better, or surely worse; otherwise 0."""
        return int(np.sign(self.mean)) if abs(self.mean) > self.half else 0  # NaN: never

    @property
    def known(self) -> bool:
        """Whether there is an interval: two seeds at least."""
        return not np.isnan(self.half)

    def __str__(self) -> str:
        return f"{self.mean:+.1f}" + (f" ± {self.half:.1f}" if self.known else "")


def difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Of two ways' accuracies (fractions), seed by seed.

    >>> str(difference([0.7, 0.8, 0.9], [0.6, 0.7, 0.8]))
    '+10.0 ± 0.0'
    >>> difference([0.7], [0.6]).sign
    0

    Raises
    ------
    ValueError
        If they are not of the same number of seeds.
    """
    if len(a) != len(b):
        raise ValueError(f"a difference over seeds needs the same seeds on both sides, got {len(a)} and {len(b)}")
    return Difference(*mean_and_interval(100 * (np.asarray(a, float) - np.asarray(b, float))))


def words(items: Sequence[str]) -> str:
    """A list in a sentence.

    >>> words(["a", "b", "c"])
    'a, b and c'
    """
    items = list(items)
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
