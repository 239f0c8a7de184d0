"""Checks of the sizes that layers are made with: whole numbers, pairs of them, paddings."""

from __future__ import annotations

from typing import Any

import numpy as np

Pair = tuple[int, int]


def is_whole(value: Any, least: int) -> bool:
    """Whether this is a whole number of at least ``least``; True and 3.0 are not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= least


def pair(layer: str, what: str, value: Any, least: int) -> Pair:
    """(height, width) from one number for both or from two. ``layer`` and ``what`` name them in the ValueError."""
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or not all(is_whole(v, least) for v in both):
        raise ValueError(f"{layer}: {what} is a whole number of at least {least}, or a pair (height, width), got {value!r}")
    return int(both[0]), int(both[1])


def padding(layer: str, pad: Any) -> Pair | str:
    """(height, width), or "same" as it is."""
    if pad == "same":
        return pad
    if isinstance(pad, str):
        raise ValueError(f'{layer}: pad is a number, a pair (height, width) or "same", got {pad!r}; "valid" is pad=0')
    return pair(layer, "pad", pad, 0)


def sides(layer: str, pad: Any) -> Pair | tuple[Pair, Pair] | str:
    """((top, bottom), (left, right)) from two pairs; anything else as ``padding``."""
    if isinstance(pad, (tuple, list)) and len(pad) == 2 and all(isinstance(side, (tuple, list)) for side in pad):
        return pair(layer, "pad of one axis", pad[0], 0), pair(layer, "pad of one axis", pad[1], 0)
    return padding(layer, pad)
