"""A convolution, and the gradient to its input, as the same kind of sum: which taps each output adds up, and of which pixels.

y[i*step + first] = sum over taps t of x[i*stride + offset[t]] * w[t]        (along rows, and along columns likewise)

The convolution is one such sum, with offset[p] = p*dil - pad. In its gradient to x,

dx[r] = sum over p and i with i*s + p*dil - pad = r of dy[i] * w[p],

every s-th row r has the same taps: those with (r + pad - p*dil) divisible by s. Such rows are a phase, and along each phase the
gradient is a sum as above, with a stride of 1.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..geometry import ConvGeometry

Pair = tuple[int, int]


class Phase(NamedTuple):
    """The outputs (i*step + first) that add up the same taps.

    Attributes
    ----------
    taps : tuple of int
        p*KW + q of each tap, in the order of their offsets.
    offsets : tuple of (int, int)
        Row and column of the pixel that the tap reads, from (i*stride).
    stride, step, first, count : (int, int)
        Rows and columns: between what is read; between outputs; of the first output; how many there are.
    """

    taps: tuple[int, ...]
    offsets: tuple[Pair, ...]
    stride: Pair
    step: Pair
    first: Pair
    count: Pair


@lru_cache(maxsize=1024)
def forward_phase(geometry: ConvGeometry, input_size: Pair) -> Phase:
    """Of a convolution: there is one phase.

    >>> forward_phase(ConvGeometry((1, 2), (1, 2), (0, 0, 1, 0), (1, 1)), (1, 4))
    Phase(taps=(0, 1), offsets=((0, -1), (0, 0)), stride=(1, 2), step=(1, 1), first=(0, 0), count=(1, 2))
    """
    (KH, KW), stride, (top, _, left, _), (dil_h, dil_w) = geometry
    offsets = tuple((p * dil_h - top, q * dil_w - left) for p in range(KH) for q in range(KW))
    return Phase(tuple(range(KH * KW)), offsets, stride, (1, 1), (0, 0), geometry.count(*input_size))


@lru_cache(maxsize=1024)
def gradient_phases(geometry: ConvGeometry, input_size: Pair) -> tuple[Phase, ...]:
    """Of the gradient to an input of this size: a phase for each row and column of a stride, some perhaps without taps.

    >>> for phase in gradient_phases(ConvGeometry((1, 3), (1, 2), (0, 0, 1, 1), (1, 1)), (1, 5)):
    ...     phase.taps, phase.offsets, phase.first, phase.count
    ((1,), ((0, 0),), (0, 0), (1, 3))
    ((2, 0), ((0, 0), (0, 1)), (0, 1), (1, 2))
    """
    (KH, KW), (sh, sw), (top, _, left, _), (dil_h, dil_w) = geometry
    rows = [_along(a, KH, sh, top, dil_h) for a in range(sh)]
    columns = [_along(b, KW, sw, left, dil_w) for b in range(sw)]
    H, W = input_size
    phases = []
    for a, of_rows in enumerate(rows):
        for b, of_columns in enumerate(columns):
            both = [(p * KW + q, (i, j)) for i, p in of_rows for j, q in of_columns]
            taps, offsets = tuple(zip(*both, strict=True)) if both else ((), ())
            count = (H - a + sh - 1) // sh, (W - b + sw - 1) // sw
            if min(count) > 0:
                phases.append(Phase(taps, offsets, (1, 1), (sh, sw), (a, b), count))
    return tuple(phases)


def _along(a: int, kernel: int, stride: int, pad: int, dilation: int) -> list[Pair]:
    """(offset in dy, tap) of the taps that reach the rows r = a, a + stride and so on; ascending offsets."""
    reached = [(a + pad - p * dilation, p) for p in range(kernel)]
    return sorted((distance // stride, p) for distance, p in reached if distance % stride == 0)


def runs(phase: Phase, channels: int, are_adjacent: bool) -> tuple[np.ndarray, int]:
    """Pixels that follow each other are one run of numbers: (row, column) of where each run begins, and its length.

    Taps are joined if ``are_adjacent``: if the channels that are read are all channels of a pixel.
    """
    offsets = np.array(phase.offsets).reshape(-1, 2)
    columns = len(set(offsets[:, 1].tolist()))
    is_joined = are_adjacent and columns > 1 and (np.diff(offsets[:columns, 1]) == 1).all()
    return (offsets[::columns], columns * channels) if is_joined else (offsets, channels)
