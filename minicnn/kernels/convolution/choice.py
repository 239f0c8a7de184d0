"""Which algorithm computes a convolution: one small function, which a layer's ``algorithm`` overrules.

All of them compute ``textbook.conv2d_forward`` and its gradients, ``textbook.conv2d_backward``; nothing is computed here.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from functools import lru_cache

import numpy as np

from ...runtime.parallel import current, serial_if
from ..geometry import ConvGeometry

FAST = ("depthwise", "winograd4", "winograd2", "direct")
ALGORITHMS = (*FAST, "textbook", "reference")

CHANNELS = 16  # on both sides; with fewer, the transforms cost more than the products save
TILES = {"forward": 32, "inference": 32, "dx": 32, "dw": 16}  # of 4x4 in the batch; with fewer, filters take too long
FEW_TILES = {"forward": 16, "inference": 4}  # of 4x4, from which on tiles of 2x2 pay; in inference transformed filters are kept

# multiply-adds in 0.06 ms: the time that it takes to give another thread work and to wait for it
SHORT = {"depthwise": 800_000, "direct": 2_000_000, "winograd2": 3_000_000, "winograd4": 3_000_000}


@lru_cache(maxsize=4096)  # every layer asks in every pass, and always for the same
def choose_algorithm(
    step: str,
    x_shape: tuple[int, int, int, int],
    y_shape: tuple[int, int, int, int],
    geometry: ConvGeometry,
    groups: int,
    dtype: np.dtype,
    wanted: str | None = None,
) -> str:
    """The name of the algorithm for one step of a convolution from x to y: "forward", "inference", "dx" or "dw".

    "inference" is a forward pass with filters that do not change any more. If an algorithm is ``wanted``, it is taken unless it
    cannot compute this step: then the choice is as without it.

    - "depthwise": each channel has a filter of its own. No matrix product in it: vectors of channels.
    - "winograd4", "winograd2": 3x3 filters with a stride of 1 in float32, tiles of 4x4 or 2x2 outputs. Worth it where there
      are enough channels to pay for the transforms, and enough tiles to pay for transforming the filters. With few tiles, those
      of 2x2, whose filters take 16 / 9 of the memory, not 36 / 9; with very few, in inference only, where they are kept.
    - "direct": everything else, the definition's sums. In float64 Winograd's is never chosen, so that gradient checks test
      mathematics and not rounding.
    - "textbook", "reference": only if wanted, to be read and stepped through: plain NumPy, and the definition's loops.
    """
    (_, C, _, _), (N, F, OH, OW) = x_shape, y_shape
    is_depthwise, is_winograd = (can_compute(name, geometry, groups, C, F) for name in ("depthwise", "winograd4"))
    if wanted and can_compute(wanted, geometry, groups, C, F) and N > 0:
        return wanted
    if is_depthwise:
        return "depthwise"
    if is_winograd and N > 0 and dtype == np.float32 and min(C, F) >= CHANNELS:
        tiles = N * -(-OH // 4) * -(-OW // 4)
        if tiles >= TILES[step]:
            return "winograd4"
        if tiles >= FEW_TILES.get(step, math.inf):
            return "winograd2"
    return "direct"


def can_compute(algorithm: str, geometry: ConvGeometry, groups: int, C: int, F: int) -> bool:
    """Whether the algorithm can compute convolutions of this kind, from C channels to F.

    >>> windows = ConvGeometry((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    >>> can_compute("winograd2", windows, 1, 3, 5), can_compute("depthwise", windows, 1, 3, 5)
    (True, False)
    """
    if algorithm == "depthwise":
        return groups == C == F
    if algorithm in ("winograd4", "winograd2"):
        return groups == 1 and geometry.kernel == (3, 3) and geometry.stride == geometry.dilation == (1, 1)
    return True


def is_too_short(
    algorithm: str, x_shape: tuple[int, ...], y_shape: tuple[int, ...], geometry: ConvGeometry, groups: int
) -> bool:
    """Whether one step of this convolution takes less time than waking another thread for it."""
    return is_short_work(math.prod(y_shape) * x_shape[1] // groups * math.prod(geometry.kernel), algorithm)


def is_short_work(multiply_adds: int, algorithm: str = "direct") -> bool:
    """Whether so many multiply-adds take less time than waking another thread, which gathered loops need not do one by one."""
    return multiply_adds < SHORT[algorithm] and not current().defers_loops


def threads_for(
    algorithm: str, x_shape: tuple[int, ...], y_shape: tuple[int, ...], geometry: ConvGeometry, groups: int
) -> AbstractContextManager:
    """A block in which one step of this convolution runs on all threads or, if it is too short for that, on this one."""
    return serial_if(is_too_short(algorithm, x_shape, y_shape, geometry, groups))
