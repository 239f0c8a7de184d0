"""Kinks: points at which there is no derivative to compare with, such as 0 for a ReLU.

With a tenth of the step, a smooth function has a tenth of the bend, the difference of the slopes to the right and to the left.
What remains is a kink, at the element or beside it. A right gradient is then one of the slopes on its sides, or lies between
them; any other is wrong, kink or no kink.
"""

from __future__ import annotations

from .numeric import Measurement

MARGIN = 0.1  # how far outside of the slopes a gradient may lie, times the distance between them


def bend_is_noise(first: Measurement, second: Measurement) -> bool:
    """Whether a tenth of the step bends more for no other reason than that rounding noise is ten times as large there."""
    return abs(second.bend) > 3 * abs(first.bend) and abs(second.bend) <= 100 * second.noise


def at_a_kink(analytic: float, first: Measurement, second: Measurement) -> bool:
    """Whether a kink explains the difference between this gradient and the measured one, with a step and a tenth of it."""
    is_smooth = abs(second.bend - 0.1 * first.bend) <= 0.03 * abs(first.bend) + second.noise
    slopes = first.left, first.right, second.left, second.right
    margin = MARGIN * (max(slopes) - min(slopes))
    return not is_smooth and min(slopes) - margin <= analytic <= max(slopes) + margin
