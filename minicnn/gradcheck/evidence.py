"""What is known about a wrong gradient, and how well a hypothesis explains it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field

import numpy as np

FIT_TOLERANCE = 1e-4  # of a pattern, relative to the largest value, because measured derivatives carry noise


@dataclass
class Evidence:
    """The wrong gradient of one array, the right one, and what both were computed from.

    Attributes
    ----------
    analytic : ndarray or None
        The gradient that ``backward`` gave, of any shape.
    numeric : ndarray
        The measured gradient, NaN where it was not measured.
    values : ndarray
        The array that the gradient is for, of the shape of ``numeric``.
    batch_size : int
        N.
    arrays : dict
        Everything that ``forward`` depends on, by name. The first one is the input.
    dy, y : ndarray or None
        What ``backward`` was given, and the output.
    shares : ndarray (elements, *y.shape) or None
        The derivative of each output with respect to each of some of the elements of ``values``.
    places : tuple of index arrays
        Which elements these are.
    derivative_now : function or None
        The derivative with respect to the element of an index, with all arrays as they are at the moment of the call.
    y_now : function or None
        The output, with all arrays as they are at the moment of the call.
    gradient_for : function or None
        What ``backward`` gives for another dy.
    """

    analytic: np.ndarray | None
    numeric: np.ndarray
    values: np.ndarray
    batch_size: int
    _: KW_ONLY
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    dy: np.ndarray | None = None
    y: np.ndarray | None = None
    shares: np.ndarray | None = None
    places: tuple[np.ndarray, ...] = ()
    derivative_now: Callable[[tuple[int, ...]], float] | None = None
    y_now: Callable[[], np.ndarray] | None = None
    gradient_for: Callable[[np.ndarray], np.ndarray | None] | None = None

    @property
    def has_output(self) -> bool:
        """Whether there is an output with a dy of its shape; a loss, a single number, has none worth the name."""
        return self.y is not None and self.y.ndim > 0

    @property
    def is_input(self) -> bool:
        """Whether this is the gradient of the first array, x."""
        return bool(self.arrays) and next(iter(self.arrays.values())) is self.values

    @property
    def is_like_output(self) -> bool:
        """Whether this is the gradient of an x whose shape is y's."""
        return self.has_output and self.is_input and self.y.shape == self.values.shape

    @property
    def is_complete(self) -> bool:
        """Whether there are ``shares`` for every element of ``values``."""
        return self.shares is not None and len(self.shares) == self.values.size

    @property
    def x(self) -> np.ndarray | None:
        return next(iter(self.arrays.values()), None)

    def at_places(self, values: np.ndarray) -> np.ndarray:
        """An array like ``numeric`` with these values at the places of ``shares``, NaN elsewhere."""
        whole = np.full(self.numeric.shape, np.nan)
        whole[(*self.places, ...)] = values
        return whole

    def carried_back(self, dy: np.ndarray) -> np.ndarray:
        """The measured gradient if dL/dy were this dy: the sum over all outputs of dy times their derivative."""
        return self.at_places(np.tensordot(self.shares, dy, axes=dy.ndim))

    def explains(self, candidate: np.ndarray) -> bool:
        """Whether ``backward`` gave the candidate, wherever it is a number, and far more exactly so than the right gradient."""
        if candidate.shape != self.analytic.shape:
            return False
        known = np.isfinite(candidate) & np.isfinite(self.numeric)
        if not known.any():
            return False
        a = self.analytic[known]
        off, wrong = np.abs(candidate[known] - a).max(), np.abs(self.numeric[known] - a).max()
        touches_the_wrong = wrong > 1e-3 * np.nanmax(np.abs(self.numeric - self.analytic))
        return bool(off <= FIT_TOLERANCE * np.abs(a).max() and off <= 0.1 * wrong and touches_the_wrong)


def fits(candidate: np.ndarray, numeric: np.ndarray) -> bool:
    """Whether the candidate equals the measured gradient wherever it was measured."""
    known = np.isfinite(numeric)
    if not known.any():
        return False
    return bool(np.abs(candidate - numeric)[known].max() <= FIT_TOLERANCE * np.abs(numeric[known]).max())


def grouped(array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The array as (groups, elements): the given axes flattened to the second axis, the other axes to the first."""
    others = [axis for axis in range(array.ndim) if axis not in axes]
    return array.transpose(*others, *axes).reshape(int(np.prod([array.shape[axis] for axis in others])), -1)


def first_few(indices: np.ndarray) -> str:
    shown = ", ".join(str(index) for index in indices[:6])
    return shown + (", ..." if len(indices) > 6 else "")
