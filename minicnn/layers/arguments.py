"""Checks of the sizes among layers' arguments: whole numbers, pairs of them, paddings.

``layer`` and ``argument`` are the names to use in an error's message.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Pair = tuple[int, int]


def is_whole(value: Any, least: int) -> bool:
    """Whether this is a whole number of at least ``least``; True and 3.0 are not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= least


def pair(layer: str, argument: str, value: Any, least: int) -> Pair:
    """(height, width) from two whole numbers of at least ``least``, or from one for both.

    Raises
    ------
    ValueError
        For anything else.
    """
    height_width = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(height_width) != 2 or not all(is_whole(v, least) for v in height_width):
        raise ValueError(f"{layer}: {argument} is a whole number of at least {least}, or a pair (height, width), got {value!r}")
    return int(height_width[0]), int(height_width[1])


def padding(layer: str, pad: Any) -> Pair | str:
    """(height, width), or "same" as it is; a ValueError for anything else."""
    if pad == "same":
        return pad
    if isinstance(pad, str):
        raise ValueError(f'{layer}: pad is a number, a pair (height, width) or "same", got {pad!r}; "valid" is pad=0')
    return pair(layer, "pad", pad, 0)


def padding_of_sides(layer: str, pad: Any) -> Pair | tuple[Pair, Pair] | str:
    """((top, bottom), (left, right)) from two pairs; anything else as ``padding``."""
    if isinstance(pad, (tuple, list)) and len(pad) == 2 and all(isinstance(side, (tuple, list)) for side in pad):
        return pair(layer, "pad of one axis", pad[0], 0), pair(layer, "pad of one axis", pad[1], 0)
    return padding(layer, pad)
