"""How far to go in a direction: a line search for a point that satisfies the strong Wolfe conditions.

Nocedal and Wright 2006, "Numerical Optimization", second edition, section 3.5. With phi(alpha) = f(w + alpha p):

::

    sufficient decrease   phi(alpha) <= phi(0) + c1 alpha phi'(0)
    curvature             |phi'(alpha)| <= c2 |phi'(0)|
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

C1, C2 = 1e-4, 0.9  # the book's values for quasi-Newton methods
TRIALS = 25  # until each of the two phases gives up


class Point(NamedTuple):
    """What is known at w + alpha p: phi, phi', w + alpha p itself, and the gradient of f there."""

    alpha: float
    value: float
    slope: float
    w: np.ndarray
    gradient: np.ndarray


def strong_wolfe(phi: Callable[[float], Point], start: Point, alpha: float) -> Point:
    """A point that satisfies both conditions; phi'(0) must be negative, and ``alpha`` is tried first.

    If rounding or `TRIALS` ends the search, it is the lowest point found with a sufficient decrease, or ``start`` if there is
    none. Where phi is not finite is taken to be too far.

    Algorithm 3.5: go on, until there must be such a point between the last two.
    """
    last = start
    for _ in range(TRIALS):
        point = phi(alpha)
        if not _decreases(point, start) or (last is not start and point.value >= last.value):
            return _zoom(phi, start, last, point)
        if abs(point.slope) <= -C2 * start.slope:
            return point
        if point.slope >= 0:
            return _zoom(phi, start, point, last)
        alpha = _cubic_minimum(last, point, alpha + 0.01 * (alpha - last.alpha), 10 * alpha)
        last = point
    return last


def _zoom(phi: Callable[[float], Point], start: Point, low: Point, high: Point) -> Point:
    """Algorithm 3.6: such a point is between ``low``, the lowest one so far with a sufficient decrease, and ``high``."""
    for _ in range(TRIALS):
        first, last = sorted((low.alpha, high.alpha))
        margin = 0.1 * (last - first)  # each trial shortens the interval by a tenth at least
        alpha = _cubic_minimum(low, high, first + margin, last - margin)
        if not first < alpha < last:
            break
        point = phi(alpha)
        if not _decreases(point, start) or point.value >= low.value:
            high = point
            continue
        if abs(point.slope) <= -C2 * start.slope:
            return point
        if point.slope * (high.alpha - low.alpha) >= 0:
            high = low
        low = point
    return low


def _decreases(point: Point, start: Point) -> bool:
    """The first condition; False where phi or its slope is not finite."""
    return (
        math.isfinite(point.value)
        and math.isfinite(point.slope)
        and point.value <= start.value + C1 * point.alpha * start.slope
    )


def _cubic_minimum(a: Point, b: Point, least: float, most: float) -> float:
    """Where the cubic through both values and slopes has its minimum (equation 3.59), but from ``least`` to ``most``.

    It is their middle if the cubic has no minimum.
    """
    middle = (least + most) / 2
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.alpha - b.alpha)
    square = d1 * d1 - a.slope * b.slope
    if not 0 <= square < math.inf:
        return middle
    d2 = math.copysign(math.sqrt(square), b.alpha - a.alpha)
    below = b.slope - a.slope + 2 * d2
    minimum = b.alpha - (b.alpha - a.alpha) * (b.slope + d2 - d1) / below if below else math.nan
    return min(max(minimum, least), most) if math.isfinite(minimum) else middle
