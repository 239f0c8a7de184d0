"""Whether two sides compute the same: a comparison of the speed of different things is worth nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

TOLERANCE = 1e-3  # of the largest result: float32 in another order, and Winograd's rounding, stay far below


def largest_difference(mine: Any, theirs: Any) -> float:
    """Of corresponding arrays, the largest difference relative to the array's largest element.

    Raises
    ------
    ValueError
        If it is so large that the two sides do not compute the same: times of different things cannot be compared.
    """
    pairs = zip(mine, theirs, strict=True) if isinstance(mine, tuple) else [(mine, theirs)]
    difference = max(float(np.abs(a - np.asarray(b)).max() / np.abs(a).max()) for a, b in pairs)
    if not difference < TOLERANCE:
        raise ValueError(f"the two sides do not compute the same: results differ by {difference:.1e} of the largest")
    return difference
