"""What one pixel out of the ordinary does to outputs that do not see it: the price of Winograd's convolutions.

One picture of 16 x 16 with 32 channels, 32 filters of 3x3. The pixel stands at each place of a 6 x 6 square in turn, so that it
takes every place within a tile.
"""

from __future__ import annotations

import itertools

import numpy as np

from minicnn.layers import Conv2d

from .rows import Settings

ALGORITHMS = ("direct", "winograd2", "winograd4")
CHANNELS, SIZE, PLACES = 32, 16, range(4, 10)
DIVISORS = (1, 2, 4, 8, 16, 32, 64, 100, 128)  # of the largest float32
PICTURES = 30  # with random pixels up to that, none of which may overflow


def table(settings: Settings) -> list[dict]:
    """A row for each algorithm: ``algorithm``, ``nan_outputs``, ``error`` and ``finite_up_to``.

    How many outputs of a filter are NaN for one pixel that is (9 see it); the largest error in outputs that do not see a pixel
    of 1e6 among ones; and by what the largest float32 is to be divided for inputs whose sums all stay finite.
    """
    return [{"algorithm": algorithm} | _of(algorithm) for algorithm in ALGORITHMS]


def _of(algorithm: str) -> dict:
    rng = np.random.default_rng(0)
    conv = Conv2d(CHANNELS, CHANNELS, 3, pad=1, rng=0, algorithm=algorithm)
    exact = Conv2d(CHANNELS, CHANNELS, 3, pad=1, rng=0, algorithm="direct").astype(np.float64)
    nan_outputs, error = 0, 0.0
    for i, j in itertools.product(PLACES, PLACES):
        x = rng.standard_normal((1, CHANNELS, SIZE, SIZE), np.float32)
        x[0, 3, i, j] = np.nan
        nan_outputs = max(nan_outputs, int(np.isnan(conv.forward(x)[0, 0]).sum()))
        x = np.ones_like(x)
        x[0, 3, i, j] = 1e6
        difference = np.abs(conv.forward(x) - exact.forward(x.astype(np.float64)))[0]
        difference[:, i - 1 : i + 2, j - 1 : j + 2] = 0
        error = max(error, float(difference.max()))
    return {"nan_outputs": nan_outputs, "error": error, "finite_up_to": _finite_up_to(conv)}


def _finite_up_to(conv: Conv2d) -> int | None:
    """The first of the divisors at which no random picture overflows, with filters that only scale one channel by 1/100."""
    conv.w.value[:] = 0
    conv.w.value[:, 0, 1, 1] = 0.01
    x = np.zeros((1, CHANNELS, SIZE, SIZE), np.float32)
    for divisor in DIVISORS:
        largest, is_finite = np.finfo(np.float32).max / divisor, True
        for seed in range(PICTURES):
            x[0, 0] = largest * np.random.default_rng(seed).uniform(-1, 1, (SIZE, SIZE))
            is_finite = is_finite and bool(np.isfinite(conv.forward(x)).all())
        if is_finite:
            return divisor
    return None
