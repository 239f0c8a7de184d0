"""Fractional max pooling: a map that shrinks by less than a half, with regions that are drawn anew in each pass."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..kernels import pool as kernels
from .base import Layer

SEQUENCES = ("pseudorandom", "random")


class FractionalMaxPool2d(Layer):
    """The largest value of each of OH x OW regions, OH = floor(H / ratio): y[n, c, i, j] = max over region (i, j) of x[n, c].

    A region is an interval of rows times one of columns. Along the height, with a_0 = 0 and steps a_(i+1) - a_i of
    floor(alpha) or ceil(alpha) (one or two, for ratios below 2), the rows of region i are

    - a_i to a_(i+1) - 1: regions side by side, and alpha = H / OH, so that they fill the picture; or
    - overlapping, a_i to a_(i+1): one row more, which the next region has too, and alpha = (H - 1) / OH

    and columns likewise. In training the steps are drawn anew in each pass, for all pictures and channels of the batch alike:

    - "pseudorandom": a_i = ceil(alpha (i + u)) - ceil(alpha u), with one u from (0, 1): long and short steps nearly alternate
    - "random": the same long and short steps in a random order, which distorts the picture more

    In inference they are the pseudorandom ones with u = 1/2. (The paper draws them then, too, and averages the scores of many
    passes; layers in train mode do so.) dx is dy at the pixel that won and 0 elsewhere, summed where regions overlap; of equal
    values the first wins, row by row from the top left. NaN always wins.

    Graham 2014, "Fractional Max-Pooling" (arXiv 1412.6071), section 2.

    Parameters
    ----------
    ratio : float or (float, float)
        Along the height and the width, more than 1. In the paper between 1 and 2, the square root of 2 for example: two such
        layers do what one 2 x 2 pool does.
    overlapping : bool
    sequence : "pseudorandom" or "random"
    rng : None, int or Generator
        Of the steps: ``np.random.default_rng(rng)``, kept as the attribute ``rng``.

    Input (N, C, H, W), output (N, C, OH, OW), float32 or float64. Four bytes an output are remembered: which pixel won.

    Raises
    ------
    ValueError
        If an argument makes no sense; in ``forward``, if the picture is smaller than the ratio; in ``backward``, if dy is not
        like y.

    >>> x = np.arange(25.0).reshape(1, 1, 5, 5)
    >>> FractionalMaxPool2d(1.5, overlapping=False).forward(x)[0, 0]      # rows 0 and 1; 2 and 3; 4
    array([[ 6.,  8.,  9.],
           [16., 18., 19.],
           [21., 23., 24.]])
    """

    def __init__(
        self,
        ratio: float | tuple[float, float] = math.sqrt(2),
        overlapping: bool = True,
        sequence: str = "pseudorandom",
        rng: int | np.random.Generator | None = None,
    ):
        super().__init__()
        ratios = tuple(ratio) if isinstance(ratio, (tuple, list)) else (ratio, ratio)
        if len(ratios) != 2 or not all(isinstance(r, (int, float)) and 1 < r < math.inf for r in ratios):
            raise ValueError(
                f"FractionalMaxPool2d: ratio is how much smaller the map becomes, a number above 1 or a pair, got {ratio!r}"
            )
        if sequence not in SEQUENCES:
            raise ValueError(f"FractionalMaxPool2d: sequence is one of {', '.join(map(repr, SEQUENCES))}, got {sequence!r}")
        self.ratio, self.overlapping, self.sequence = ratios, bool(overlapping), sequence
        self.rng = np.random.default_rng(rng)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x, ndim=4)
        rows, columns = self.regions(x.shape, self.training)
        y, winners = kernels.region_max_pool2d_forward(x, rows, columns)
        self.remember(winners=winners, input_size=x.shape[2:], dtype=x.dtype)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        saved = self.recall()
        self.check_gradient(dy, saved.winners.shape, saved.dtype)
        return kernels.region_max_pool2d_backward(dy, saved.winners, saved.input_size)

    def regions(self, input_shape: tuple[int, ...], training: bool) -> tuple[np.ndarray, np.ndarray]:
        """(OH, 2): the first row of each region, and the one after its last; and (OW, 2), the columns.

        In training they are drawn; those of inference are always the same.
        """
        axes = []
        for length, count in zip(input_shape[2:], self.output_shape(input_shape)[2:], strict=True):
            span = length - self.overlapping
            if training and self.sequence == "random":
                starts = random_starts(span, count, self.rng)
            else:
                starts = pseudorandom_starts(span, count, self.rng.random() if training else 0.5)
            axes.append(np.stack([starts[:-1], starts[1:] + self.overlapping], axis=1))
        return axes[0], axes[1]

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != 4:
            raise ValueError(f"{self} expects an input of shape (N, C, H, W), got {tuple(input_shape)}")
        OH, OW = (int(length / ratio) for length, ratio in zip(input_shape[2:], self.ratio, strict=True))
        if min(OH, OW) < 1:
            raise ValueError(f"{self}: pictures of {tuple(input_shape[2:])} are smaller than the ratio {self.ratio}")
        return (*input_shape[:2], OH, OW)

    def config(self) -> dict[str, Any]:
        return {"ratio": list(self.ratio), "overlapping": self.overlapping, "sequence": self.sequence}


def pseudorandom_starts(span: int, count: int, u: float) -> np.ndarray:
    """a_i = ceil(alpha (i + u)) - ceil(alpha u) for i = 0 to count, with alpha = span / count: from 0 to span.

    >>> pseudorandom_starts(7, 5, u=0.5).tolist()
    [0, 2, 3, 4, 6, 7]
    """
    whole, rest = np.divmod(span * np.arange(count + 1), count)  # of alpha i: what is rounded is rounded for all i alike
    a = whole + np.ceil(rest / count + span / count * u).astype(np.int64)
    return a - a[0]


def random_starts(span: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Steps of floor(span / count) and ceil(span / count) in random order, summed up: from 0 to span."""
    steps = np.full(count, span // count)
    steps[: span % count] += 1
    return np.append(0, np.cumsum(rng.permutation(steps)))
