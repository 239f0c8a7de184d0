"""Derivatives, measured: central differences of L = sum(r * y)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

SHARES = 2_000_000  # derivatives of single outputs that are kept to find the cause of a wrong gradient


class Measurement(NamedTuple):
    """At one element: the derivative, the slopes to the left and to the right, and the rounding noise of the derivative."""

    derivative: float
    left: float
    right: float
    noise: float

    @property
    def bend(self) -> float:
        return self.right - self.left


class CentralDifference:
    """Numeric derivatives of L = sum(r * y), y = forward(**arrays), with respect to the elements of one of the arrays."""

    def __init__(
        self,
        forward: Callable[..., np.ndarray],
        arrays: dict[str, np.ndarray],
        array: np.ndarray,
        *,
        r: np.ndarray,
        y: np.ndarray,
        step: float,
    ):
        self.forward, self.arrays, self.array, self.r, self.y, self.step = forward, arrays, array, r, y, step

    def at(self, index: tuple[int, ...], scale: float = 1.0) -> Measurement:
        """(L(a + h) - L(a - h)) / 2h at the element of this index, with h = scale * step * max(1, |a|)."""
        y_above, y_below, two_h = self._on_both_sides(index, scale)
        # the difference before the sum, so that outputs that do not depend on a contribute exactly 0, and no rounding errors
        derivative = float(np.sum((y_above - y_below) * self.r)) / two_h
        left, right = (float(np.sum(change * self.r)) / (two_h / 2) for change in (self.y - y_below, y_above - self.y))
        depend = y_above != y_below
        terms = (self.y * self.r)[depend] if depend.any() else self.y * self.r  # by less than their rounding errors, if at all
        noise = 1e-15 * float(np.linalg.norm(terms)) / (two_h / 2)
        return Measurement(derivative, left, right, noise)

    def derivative_now(self, index: tuple[int, ...]) -> float:
        """The derivative at this index with the arrays as they are now, which need not be those that gave y."""
        y_above, y_below, two_h = self._on_both_sides(index, 1.0)
        return float(np.sum((y_above - y_below) * self.r)) / two_h

    def _on_both_sides(self, index: tuple[int, ...], scale: float) -> tuple[np.ndarray, np.ndarray, float]:
        """y at a + h and at a - h, and 2h: the difference of the two as they were rounded."""
        a = self.array[index]
        h = self.step * max(1.0, abs(a)) * scale
        try:
            self.array[index] = a + h
            y_above = np.array(self.forward(**self.arrays))
            self.array[index] = a - h
            y_below = np.array(self.forward(**self.arrays))
        finally:
            self.array[index] = a
        return y_above, y_below, float((a + h) - (a - h))

    def shares(self, indices: list[tuple[int, ...]]) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """dy/da of every output, (elements, *y.shape), for as many of the elements as memory allows, and which these are."""
        most = max(SHARES // max(self.y.size, 1), 1)
        chosen = indices[:: max(-(-len(indices) // most), 1)]
        derivatives = np.empty((len(chosen), *self.y.shape))
        for i, index in enumerate(chosen):
            y_above, y_below, two_h = self._on_both_sides(index, 1.0)
            derivatives[i] = (y_above - y_below) / two_h
        places = np.array(chosen, dtype=int).reshape(len(chosen), self.array.ndim)
        return derivatives, tuple(places.T)


def extrapolated(first: Measurement, second: Measurement) -> float:
    """The derivative from a step and a tenth of it: the errors ~ h^2 cancel (Richardson extrapolation)."""
    return (100 * second.derivative - first.derivative) / 99
