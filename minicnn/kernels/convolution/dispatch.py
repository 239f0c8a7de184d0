"""Convolution: ``textbook.conv2d_forward`` and ``conv2d_backward``, each step computed by the algorithm that is fastest for it.

The definition is ``reference.conv2d_forward``; the equations of each algorithm are in the module that has its name. Added here
are what they all share: maps with their channels last in memory (``kernels.layout``), the result's memory, and plans for
filters that do not change.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...runtime.compilation import loop
from ...runtime.parallel import new_array, parallel_sum, serial_if
from ...runtime.plans import PlanCache, plan_key
from .. import reference, single_pass, textbook
from ..elementwise import NO_CLIP
from ..geometry import ConvGeometry
from ..layout import channels_first, channels_last
from . import depthwise, direct, winograd
from .choice import choose_algorithm, is_too_short, threads_for
from .winograd_transforms import F2, F4

TRANSFORMS = {"winograd4": F4, "winograd2": F2}
ROWS_PER_SUM = 256  # of db, before they are added to the others: long sums of float32 are inexact
READABLE = {"textbook": textbook, "reference": reference}


@single_pass
def conv2d_forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
    *,
    clip: tuple[float, float] = NO_CLIP,
    algorithm: str | None = None,
) -> np.ndarray:
    """y = min(max(b + w * x, low), high); see ``reference.conv2d_forward`` for the equation.

    Parameters
    ----------
    x, w, b, stride, pads, dilation, groups : as in ``reference.conv2d_forward``; x of any strides
    clip : (low, high), optional
        In the same pass that adds the bias: (0, 6) is a ReLU6 and (0, inf) a ReLU. NaN stays NaN.
    algorithm : one of ``choice.ALGORITHMS``, optional
        Instead of the one that is fastest, where it can compute this.

    Returns
    -------
    y : (N, F, OH, OW), of x's dtype
    """
    geometry = ConvGeometry(w.shape[2:], stride, pads, dilation)
    return _plan("forward", x.shape, w, b, geometry, groups, clip=clip, wanted=algorithm)(x)


class PlannedConvolution:
    """`conv2d_forward` with filters that do not change any more, as in inference: what can be prepared is prepared once.

    The filters in the form that an algorithm wants are kept for all calls, as ``packed_filters``. The rest of a plan (tiling,
    offsets, how the work is divided among threads) is kept for all inputs of the same shape. Between two layers there is then
    little left to do, which matters with small ones: while one thread does it, the others wait.
    """

    def __init__(self, w: np.ndarray, b: np.ndarray, groups: int, clip: tuple[float, float], algorithm: str | None = None):
        self.w, self.b, self.groups, self.clip, self.algorithm = w, b, groups, clip, algorithm
        self.packed_filters: dict[int | str, np.ndarray] = {}
        self.plans = PlanCache()

    def cached_plan(self, x: np.ndarray) -> Callable[..., np.ndarray] | None:
        """The function that `plan` has made for an array like this one, if there is one."""
        return self.plans.get(plan_key(x))

    def plan(self, x: np.ndarray, geometry: ConvGeometry) -> Callable[..., np.ndarray]:
        """A function convolve(x, maps, first) for arrays like this one, which returns y, channels last in memory.

        Without ``maps`` y is new. Else it becomes F channels of ``maps`` (N, OH, OW, all channels), from ``first`` on, and
        within `gathering` it may be filled only when the block ends.
        """
        options = {"clip": self.clip, "packed_filters": self.packed_filters, "wanted": self.algorithm}
        self.plans[plan_key(x)] = convolve = _plan("inference", x.shape, self.w, self.b, geometry, self.groups, **options)
        return convolve


def _plan(
    step: str,
    x_shape: tuple[int, ...],
    w: np.ndarray,
    b: np.ndarray | None,
    geometry: ConvGeometry,
    groups: int,
    *,
    clip: tuple[float, float],
    packed_filters: dict[int | str, np.ndarray] | None = None,
    wanted: str | None = None,
) -> Callable[..., np.ndarray]:
    """A function convolve(x, maps, first) for an x of this shape; see `PlannedConvolution.plan`."""
    N, F, (OH, OW), dtype = x_shape[0], len(w), geometry.count(*x_shape[2:]), w.dtype
    y_shape = N, F, OH, OW
    algorithm = choose_algorithm(step, x_shape, y_shape, geometry, groups, dtype, wanted)
    if algorithm in READABLE:
        # in this thread, for a reader with a debugger
        def run(x: np.ndarray, y: np.ndarray, first: int) -> None:
            result = READABLE[algorithm].conv2d_forward(channels_first(x), w, b, *geometry[1:], groups)
            y[..., first : first + F] = channels_last(np.clip(result, *clip))

        is_short = False
    else:
        is_short = is_too_short(algorithm, x_shape, y_shape, geometry, groups)
        with serial_if(is_short):
            if algorithm == "depthwise":
                run = depthwise.prepare(x_shape, w, b, geometry, clip)
            elif algorithm in TRANSFORMS:
                options = {"clip": clip, "transform": TRANSFORMS[algorithm], "packed_filters": packed_filters}
                run = winograd.prepare(x_shape, w, b, geometry.origin, (OH, OW), **options)
            else:
                run = direct.prepare(x_shape, w, b, geometry, groups, clip=clip, packed_filters=packed_filters)

    def convolve(x: np.ndarray, maps: np.ndarray | None = None, first: int = 0) -> np.ndarray:
        if maps is None:
            maps = new_array((N, OH, OW, F), dtype)
        with serial_if(is_short):
            run(channels_last(x), maps, first)
        return channels_first(maps[..., first : first + F])

    return convolve


@single_pass
def conv2d_dx(
    dy: np.ndarray,
    w: np.ndarray,
    input_size: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
    *,
    algorithm: str | None = None,
) -> np.ndarray:
    """dL/dx (N, C, H, W) from dy = dL/dy (N, F, OH, OW).

    ``input_size`` is (H, W) of the input: with a stride it cannot be told from dy's shape.
    """
    dy, geometry = channels_last(dy), ConvGeometry(w.shape[2:], stride, pads, dilation)
    (N, OH, OW, F), C = dy.shape, groups * w.shape[1]
    dx_shape, dy_shape = (N, C, *input_size), (N, F, OH, OW)
    algorithm = choose_algorithm("dx", dx_shape, dy_shape, geometry, groups, dy.dtype, algorithm)
    if algorithm in READABLE:
        x = np.zeros(dx_shape, dy.dtype)
        return READABLE[algorithm].conv2d_backward(channels_first(dy), x, w, *geometry[1:], groups)[0]
    dx = new_array((N, *input_size, C), dy.dtype)
    with threads_for(algorithm, dx_shape, dy_shape, geometry, groups):
        if algorithm == "depthwise":
            depthwise.backward_input(dy, w, geometry, dx)
        elif algorithm in TRANSFORMS:
            winograd.backward_input(dy, w, geometry.origin, dx, TRANSFORMS[algorithm])
        else:
            direct.backward_input(dy, w, geometry, groups, dx)
    return channels_first(dx)


@single_pass
def conv2d_dw(
    dy: np.ndarray,
    x: np.ndarray,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
    *,
    algorithm: str | None = None,
) -> np.ndarray:
    """dL/dw (F, C / groups, KH, KW) from dy = dL/dy (N, F, OH, OW); repeats to the bit for a given number of threads."""
    x_shape, dy_shape, geometry = x.shape, dy.shape, ConvGeometry(kernel, stride, pads, dilation)
    dw = np.empty((dy.shape[1], x.shape[1] // groups, *kernel), x.dtype)
    algorithm = choose_algorithm("dw", x_shape, dy_shape, geometry, groups, x.dtype, algorithm)
    if algorithm in READABLE:
        return READABLE[algorithm].conv2d_backward(dy, x, np.zeros_like(dw), *geometry[1:], groups)[1]
    dy, x = channels_last(dy), channels_last(x)
    with threads_for(algorithm, x_shape, dy_shape, geometry, groups):
        if algorithm == "depthwise":
            depthwise.backward_weights(dy, x, geometry, dw)
        elif algorithm in TRANSFORMS:
            winograd.backward_weights(dy, x, geometry.origin, dw, TRANSFORMS[algorithm])
        else:
            direct.backward_weights(dy, x, geometry, groups, dw)
    return dw


def conv2d_db(dy: np.ndarray) -> np.ndarray:
    """dL/db (F,): each y holds b once, so db is the sum of dy (N, F, OH, OW) over samples and positions."""
    pixels = channels_last(dy).reshape(-1, dy.shape[1])
    return parallel_sum(
        len(pixels), lambda start, stop, total: add_rows(start, stop, pixels, total), dy.shape[1:2], np.float64
    ).astype(dy.dtype)


@loop
def add_rows(start, stop, rows, total):
    """total[f] += sum of rows[k, f] for start <= k < stop; total is float64, and rows are added up some at a time."""
    some = np.empty_like(rows[0])
    for first in range(start, stop, ROWS_PER_SUM):
        some[:] = 0
        for k in range(first, min(first + ROWS_PER_SUM, stop)):
            row = rows[k]
            for f in range(len(row)):
                some[f] += row[f]
        for f in range(len(some)):
            total[f] += some[f]
