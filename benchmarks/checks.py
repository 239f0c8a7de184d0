"""Whether two sides compute the same: a comparison of the speed of different things is worth nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

# Of the largest result. In ResNet-152 with random weights float32 alone is 3e-4 away from float64, and with Winograd's
# convolutions 8e-4; two sides that do not compute the same are farther apart.
TOLERANCE = 5e-3


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
