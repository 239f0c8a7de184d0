"""The comparison of a gradient with the measured one: relative errors, floors, and what is done about noise and kinks."""

from __future__ import annotations

import numpy as np

from .kinks import at_a_kink, bend_is_noise
from .numeric import CentralDifference, Measurement, extrapolated
from .report import ArrayCheck

FLOOR = 1e-3  # times the largest value of the gradient: elements below it need not be right to as many digits
COARSE = (1e4, 1e3)  # times the step, where noise hides the gradient
COARSE_TOLERANCE = 0.02
TINY = np.finfo(np.float64).tiny


def relative_error(analytic: float, numeric: float, floor: float) -> float:
    """|analytic - numeric| / max(|analytic| + |numeric|, floor).

    >>> relative_error(2.0, 2.0, 1e-4), relative_error(3.0, -3.0, 1e-4), relative_error(1e-9, 0.0, 1e-4)
    (0.0, 1.0, 1e-05)
    """
    return abs(analytic - numeric) / max(abs(analytic) + abs(numeric), floor)


def compare(
    name: str,
    analytic: np.ndarray | None,
    difference: CentralDifference,
    indices: list[tuple[int, ...]],
    tolerance: float,
) -> tuple[ArrayCheck, np.ndarray]:
    """Compare the analytic and the numeric gradient of one array at these indices. Returns the numeric one as well."""
    array = difference.array
    measured = {index: difference.at(index) for index in indices}
    numeric = np.full(array.shape, np.nan)
    for index, measurement in measured.items():
        numeric[index] = measurement.derivative
    check = ArrayCheck(name, array.shape, checked=len(indices))
    if analytic is None or analytic.shape != array.shape:
        got = "there is no gradient (None)" if analytic is None else f"the gradient's shape is {analytic.shape}"
        check.problem = f"{got}, expected one of shape {array.shape}"
        check.max_error = np.inf
        return check, numeric
    if analytic.dtype.kind not in "biuf":
        check.problem, check.max_error = f"the gradient is {analytic.dtype}, expected float64", np.inf
        return check, numeric

    largest = float(np.nanmax(np.abs(analytic), initial=0.0))
    floor = max(FLOOR * largest, TINY)
    for index in indices:
        a = float(analytic[index])
        error = _error_at(index, a, measured[index], difference, floor, tolerance)
        if error is None:
            check.kinks, check.checked, numeric[index] = check.kinks + 1, check.checked - 1, np.nan
        elif error > check.max_error:
            check.max_error, check.worst, check.analytic, check.numeric = error, index, a, float(numeric[index])
    if check.kinks and not check.checked:
        check.max_error = np.inf
        check.problem = "every element lies at a kink, so nothing was checked: choose inputs that keep away from them"
    noise = max((m.noise for m in measured.values()), default=0.0)
    check.is_zero = bool(check.max_error <= tolerance and largest <= noise)
    return check, numeric


def _error_at(
    index: tuple[int, ...], analytic: float, first: Measurement, difference: CentralDifference, floor: float, tolerance: float
) -> float | None:
    """The relative error at one element, measured again where that may change the verdict; None at a kink."""
    best = first
    error = relative_error(analytic, first.derivative, max(floor, first.noise / tolerance))
    if not error <= tolerance:  # true for NaN as well
        second = difference.at(index, scale=0.1)
        if bend_is_noise(first, second):
            best = first._replace(noise=max(first.noise, abs(first.bend), 0.1 * abs(second.bend)))
        elif at_a_kink(analytic, first, second):
            return None
        else:
            best = first._replace(derivative=extrapolated(first, second))
        error = min(error, relative_error(analytic, best.derivative, max(floor, best.noise / tolerance)))
    if error <= tolerance and best.noise > floor:
        error = max(error, _coarse_error(index, analytic, best, difference))
    return error if np.isfinite(error) else np.inf  # NaN equals nothing, and is no gradient


def _coarse_error(index: tuple[int, ...], analytic: float, measured: Measurement, difference: CentralDifference) -> float:
    """The relative error with far larger steps, above which noise does not reach; 0 where that finds nothing wrong.

    The function may be curved, or have kinks, within such steps: two of them must agree, and only gross errors count.
    """
    first, second = (difference.at(index, scale) for scale in COARSE)
    derivative = extrapolated(first, second)
    noise = 10 * measured.noise / COARSE[1]
    allowed = COARSE_TOLERANCE * max(abs(analytic), abs(derivative)) + noise
    steps_agree = abs(first.derivative - second.derivative) <= allowed
    return relative_error(analytic, derivative, TINY) if steps_agree and abs(analytic - derivative) > allowed else 0.0
