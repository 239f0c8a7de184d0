"""Places: where a gradient is wrong and where it is right, and what sets the ones apart from the others.

Each function returns a sentence if its pattern fits all elements that were measured, and None otherwise.
"""

from __future__ import annotations

import numpy as np

from .evidence import FIT_TOLERANCE, Evidence, first_few, fits

NOISE = 1e-6  # of a measured derivative, relative to the largest one


def off_by_one_number(e: Evidence) -> str | None:
    """Right at some elements, and off by the same number at all others."""
    analytic, numeric = e.analytic, e.numeric
    wrong, known = _is_wrong(e), np.isfinite(numeric)
    if wrong.sum() < 3 or wrong.sum() == known.sum():
        return None
    off = (analytic - numeric)[wrong]
    if np.ptp(off) > FIT_TOLERANCE * np.abs(off).max():
        return None
    right = known.sum() - wrong.sum()
    return (
        f"it is right at {right} elements and {off.mean():+.6g} off at the other {wrong.sum()}: a number that belongs to some "
        "of the elements is not added (such as the -1 of the right class in softmax cross-entropy)"
    )


def same_factor_where_wrong(e: Evidence) -> str | None:
    """Right at some elements, and a constant times what it should be at all others."""
    wrong, known = _is_wrong(e), np.isfinite(e.numeric)
    a, n = e.analytic[wrong], e.numeric[wrong]
    if wrong.sum() < 3 or not a.any() or not n.any() or not e.analytic[known & ~wrong].any():
        return None
    factor = float(a @ n / (n @ n))
    if not fits(a, factor * n):
        return None
    where = wrong_beyond_a_threshold(e) or wrong_slice(e) or f"it is right at {known.sum() - wrong.sum()} elements"
    times = "-1 times (the sign is wrong)" if abs(factor + 1) < FIT_TOLERANCE else f"{factor:.6g} times"
    return f"at {wrong.sum()} elements it is {times} what it should be: {where}"


def wrong_where_zero(e: Evidence) -> str | None:
    """Right but for a mask: zero where it should not be, or not zero where it should be."""
    analytic, numeric = e.analytic, e.numeric
    wrong, known = _is_wrong(e), np.isfinite(numeric)
    if wrong.sum() < 2:
        return None
    if np.array_equal(analytic[known] == 0, numeric[known] != 0):
        return "it is zero where it should not be, and not zero where it should be: the mask is the wrong way round"
    if not analytic[wrong].any():
        return "it is right where it is not zero, and zero where it should not be: a mask too many, or elements never written"
    if not numeric[wrong].any():
        return "it is right but where it should be zero: the mask of the forward pass is missing"
    return None


def wrong_beyond_a_threshold(e: Evidence) -> str | None:
    """Right on one side of a value of x, or of its size, and wrong on the other."""
    wrong, known = _is_wrong(e), np.isfinite(e.numeric)
    right = known & ~wrong
    if min(wrong.sum(), right.sum()) < 4 or known.sum() < 12 or not e.analytic[right].any():
        return None  # too few to be no chance; and 0 where everything is 0 shows nothing
    for what, values in (("the element itself", e.values), ("the element's absolute value", np.abs(e.values))):
        if values[wrong].min() > values[right].max():
            return f"it is wrong only where {what} is above {values[right].max():.4g}: another branch of the function?"
        if values[wrong].max() < values[right].min():
            return f"it is wrong only where {what} is below {values[right].min():.4g}: another branch of the function?"
    return None


def wrong_slice(e: Evidence) -> str | None:
    """Wrong on a grid of indices and right elsewhere: a loop leaves out a slice, or does it twice."""
    analytic, numeric = e.analytic, e.numeric
    wrong = _is_wrong(e)
    if not wrong.any():
        return None
    wrong_indices = [np.unique(indices) for indices in np.argwhere(wrong).T]  # of each axis
    grid = np.zeros(wrong.shape, bool)
    grid[np.ix_(*wrong_indices)] = True
    known = np.isfinite(numeric)
    if wrong[grid & known].mean() < 0.9:
        return None
    partly_wrong = [axis for axis, indices in enumerate(wrong_indices) if len(indices) < numeric.shape[axis]]
    if (known & ~grid).sum() < 2:
        return None
    condition = " and ".join(f"axis {axis} is {first_few(wrong_indices[axis])}" for axis in partly_wrong)
    condition = f"it is wrong only where {condition}"
    if numeric.ndim == 4 and set(partly_wrong) <= {2, 3}:
        zero = ", and zero there" if not analytic[wrong].any() else ""
        return f"{condition}{zero}: a loop leaves out a slice, or does it twice (a dropped tap of the kernel?)"
    if not analytic[wrong].any():
        return f"{condition}, and zero there: a loop leaves out a slice, or it was never written"
    return f"{condition}, and right elsewhere: look at what is done differently there"


def wrong_border(e: Evidence) -> str | None:
    """Right inside and wrong near the border."""
    if e.numeric.ndim != 4:
        return None
    H, W = e.numeric.shape[2:]
    wrong = _is_wrong(e)
    for depth in range(1, (min(H, W) + 1) // 2 if wrong.any() else 0):
        if not wrong[:, :, depth : H - depth, depth : W - depth].any():
            return f"it is right inside and wrong within {depth} pixel(s) of the border: look at how padding is treated"
    return None


def _is_wrong(e: Evidence) -> np.ndarray:
    """Where the two differ by more than noise: bool, of their shape."""
    known = np.isfinite(e.numeric)
    return known & (np.abs(e.analytic - e.numeric) > NOISE * np.abs(e.numeric[known]).max())
