"""Which algorithm computes a convolution: one small function, and a way to overrule it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache

import numpy as np

from .threads import is_gathering, on_this_thread_if
from .windows import Windows

ALGORITHMS = ("depthwise", "pointwise", "winograd4", "winograd2", "direct", "im2col")

CHANNELS = 16  # on both sides; with fewer, the transforms cost more than the products save
TILES = {"forward": 32, "inference": 32, "dx": 32, "dw": 16}  # of 4x4 in the batch; with fewer, filters take too long
TAPS = 512  # of a filter; with more, the inner dimension of im2col's product is long enough for BLAS to be at its best
PIXELS = 64  # of an output; with fewer, the lines of the direct sum are too short
FEW_TILES = {"forward": 16, "inference": 4}  # of 4x4, from which on tiles of 2x2 pay; in inference transformed filters are kept

# multiply-adds in 0.06 ms, which it takes to give another thread work and wait for it
SHORT = {"depthwise": 800_000, "direct": 2_000_000, "im2col": 3_000_000}

_forced: str | None = None


@lru_cache(maxsize=4096)  # every layer asks in every pass, and always for the same
def choose_algorithm(
    step: str,
    x_shape: tuple[int, int, int, int],
    y_shape: tuple[int, int, int, int],
    windows: Windows,
    groups: int,
    dtype: np.dtype,
) -> str:
    """The name of the algorithm for one step of a convolution from x to y: "forward", "inference", "dx" or "dw".

    "inference" is a forward pass with filters that do not change any more.

    - "depthwise": each channel has a filter of its own. No matrix product in it: vectors of channels.
    - "pointwise": 1x1 filters with a stride of 1, a plain matrix product.
    - "winograd4", "winograd2": 3x3 filters with a stride of 1 in float32, tiles of 4x4 or 2x2 outputs. Worth it where there
      are enough channels to pay for the transforms, and enough tiles to pay for transforming the filters. With few tiles, those
      of 2x2, whose filters take 16 / 9 of the memory, not 36 / 9; with very few, in inference only, where they are kept.
    - "direct": y and dw with few channels, as in first layers: the definition's sums, for some filters and taps at a time.
    - "im2col": everything else. In float64, Winograd's is never chosen: the other sums are the definition's, so that gradient
      checks test mathematics and not rounding.
    """
    (_, C, _, _), (N, F, OH, OW) = x_shape, y_shape
    taps = C // groups * math.prod(windows.kernel)  # of a filter
    is_depthwise = groups == C == F
    is_winograd = groups == 1 and windows.kernel == (3, 3) and windows.stride == windows.dilation == (1, 1) and N > 0
    is_pointwise = groups == 1 and windows.is_pointwise
    able = {
        "depthwise": is_depthwise,
        "pointwise": is_pointwise,
        "winograd4": is_winograd,
        "winograd2": is_winograd,
        "direct": step != "dx" and (step != "dw" or (F // groups >= 4 and taps >= 3)),
        "im2col": True,
    }
    if _forced and able[_forced]:
        return _forced
    if is_depthwise:
        return "depthwise"
    if is_pointwise:
        return "pointwise"
    if is_winograd and dtype == np.float32 and min(C, F) >= CHANNELS:
        tiles = N * -(-OH // 4) * -(-OW // 4)
        if tiles >= TILES[step]:
            return "winograd4"
        if tiles >= FEW_TILES.get(step, math.inf):
            return "winograd2"
    if able["direct"] and windows.kernel != (1, 1) and taps <= TAPS and OH * OW >= PIXELS:
        return "direct"
    return "im2col"


def is_too_short(algorithm: str, x_shape: tuple[int, ...], y_shape: tuple[int, ...], windows: Windows, groups: int) -> bool:
    """Whether one step of this convolution takes less time than to wake another thread for it."""
    return is_short_work(math.prod(y_shape) * x_shape[1] // groups * math.prod(windows.kernel), algorithm)


def is_short_work(multiply_adds: int, algorithm: str = "im2col") -> bool:
    """Whether so many multiply-adds of an algorithm take less. Loops that are gathered wake nobody by themselves."""
    return multiply_adds < SHORT.get(algorithm, SHORT["im2col"]) and not is_gathering()


def threads_for(
    algorithm: str, x_shape: tuple[int, ...], y_shape: tuple[int, ...], windows: Windows, groups: int
) -> AbstractContextManager:
    """In here, one step of this convolution runs on all threads or, if it is too short to wake others for, on this one."""
    return on_this_thread_if(is_too_short(algorithm, x_shape, y_shape, windows, groups))


def forced() -> str | None:
    """The algorithm that is forced at the moment."""
    return _forced


@contextmanager
def forced_algorithm(name: str) -> Iterator[None]:
    """Within the block, in the whole process, every convolution that ``name`` can compute is computed by it.

    For measurements and tests. Those that it cannot compute are computed as usual.

    Raises
    ------
    ValueError
        If there is no such algorithm.

    >>> with forced_algorithm("winograd2"):
    ...     windows = Windows((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    ...     choose_algorithm("forward", (1, 3, 8, 8), (1, 5, 8, 8), windows, 1, np.dtype(np.float64))
    'winograd2'
    """
    global _forced
    if name not in ALGORITHMS:
        raise ValueError(f"there is no algorithm {name!r} for convolutions; there are {', '.join(ALGORITHMS)}")
    before, _forced = _forced, name
    choose_algorithm.cache_clear()
    try:
        yield
    finally:
        _forced = before
        choose_algorithm.cache_clear()
