"""Convolution: ``textbook.conv2d_forward`` and ``conv2d_backward``, each step computed by the algorithm that is fastest for it.

The definition is ``reference.conv2d_forward``; the equations of each algorithm are in the module that has its name. Added here
are what they all share: contiguous arrays, the result's memory, and plans for filters that do not change.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...runtime.parallel import new_array, parallel_for, serial_if
from ...runtime.plans import PlanCache, plan_key
from .. import reference, textbook
from ..elementwise import NO_CLIP
from ..geometry import ConvGeometry
from . import depthwise, direct, im2col, pointwise, winograd
from .choice import choose_algorithm, is_too_short, threads_for
from .winograd_transforms import F2, F4

TRANSFORMS = {"winograd4": F4, "winograd2": F2}
READABLE = {"textbook": textbook, "reference": reference}


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
    w, geometry = np.ascontiguousarray(w), ConvGeometry(w.shape[2:], stride, pads, dilation)
    return _plan("forward", x.shape, w, b, geometry, groups, clip=clip, wanted=algorithm)(x)


class PlannedConvolution:
    """`conv2d_forward` with filters that do not change any more, as in inference: what can be prepared is prepared once.

    The filters in the form that an algorithm wants are kept for all calls, as ``packed_filters``. The rest of a plan (tiling,
    offsets, how the work is divided among threads) is kept for all inputs of the same shape. Between two layers there is then
    little left to do, which matters with small ones: while one thread does it, the others wait.
    """

    def __init__(self, w: np.ndarray, b: np.ndarray, groups: int, clip: tuple[float, float], algorithm: str | None = None):
        self.w, self.b, self.groups, self.clip, self.algorithm = np.ascontiguousarray(w), b, groups, clip, algorithm
        self.packed_filters: dict[int | str, np.ndarray] = {}
        self.plans = PlanCache()

    def cached_plan(self, x: np.ndarray) -> Callable[..., np.ndarray] | None:
        """The function that `plan` has made for an array like this one, if there is one."""
        return self.plans.get(plan_key(x))

    def plan(self, x: np.ndarray, geometry: ConvGeometry) -> Callable[..., np.ndarray]:
        """A function convolve(x, y) for arrays like this one; it fills the contiguous array y, or a new one, and returns it.

        Within `gathering`, y may be filled only when the block ends.
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
    """A function convolve(x, y) for an x of this shape; see `PlannedConvolution.plan`."""
    y_shape, dtype = (x_shape[0], len(w), *geometry.count(*x_shape[2:])), w.dtype
    clip = tuple(map(dtype.type, clip))
    algorithm = choose_algorithm(step, x_shape, y_shape, geometry, groups, dtype, wanted)
    if algorithm in READABLE:
        return lambda x, y=None: _readable(algorithm, x, w, b, geometry, groups, clip, y)
    is_short = is_too_short(algorithm, x_shape, y_shape, geometry, groups)
    with serial_if(is_short):
        if algorithm == "depthwise":
            run = depthwise.prepare(x_shape, w, b, geometry, clip)
        elif algorithm == "pointwise":
            run = pointwise.prepare(x_shape, w, b, clip)
        elif algorithm in TRANSFORMS:
            options = {"clip": clip, "transform": TRANSFORMS[algorithm], "packed_filters": packed_filters}
            run = winograd.prepare(x_shape, y_shape, w, b, geometry.origin, **options)
        elif algorithm == "direct":
            run = direct.prepare(x_shape, y_shape, w, b, geometry, groups, clip=clip, packed_filters=packed_filters)
        else:
            run = im2col.prepare(x_shape, y_shape, w, b, geometry, groups, clip=clip)

    def convolve(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
        x = np.ascontiguousarray(x)
        if y is None:
            y = new_array(y_shape, dtype)
        with serial_if(is_short):
            run(x, y)
        return y

    return convolve


def _readable(
    algorithm: str,
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    geometry: ConvGeometry,
    groups: int,
    clip: tuple[float, float],
    y: np.ndarray | None = None,
) -> np.ndarray:
    """The definition, or the textbook's algorithm: in this thread, for a reader with a debugger."""
    result = np.clip(READABLE[algorithm].conv2d_forward(x, w, b, *geometry[1:], groups), *clip)
    if y is None:
        return result
    y[...] = result
    return y


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
    dy, w, geometry = np.ascontiguousarray(dy), np.ascontiguousarray(w), ConvGeometry(w.shape[2:], stride, pads, dilation)
    dx = np.empty((len(dy), groups * w.shape[1], *input_size), dy.dtype)
    algorithm = choose_algorithm("dx", dx.shape, dy.shape, geometry, groups, dy.dtype, algorithm)
    if algorithm in READABLE:
        return READABLE[algorithm].conv2d_backward(dy, np.zeros_like(dx), w, *geometry[1:], groups)[0]
    with threads_for(algorithm, dx.shape, dy.shape, geometry, groups):
        if algorithm == "depthwise":
            depthwise.backward_input(dy, w, geometry, dx)
        elif algorithm == "pointwise":
            pointwise.backward_input(dy, w, dx)
        elif algorithm in TRANSFORMS:
            winograd.backward_input(dy, w, geometry.origin, dx, TRANSFORMS[algorithm])
        else:
            im2col.backward_input(dy, w, geometry, groups, dx)
    return dx


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
    dy, x, geometry = np.ascontiguousarray(dy), np.ascontiguousarray(x), ConvGeometry(kernel, stride, pads, dilation)
    dw = np.empty((dy.shape[1], x.shape[1] // groups, *kernel), x.dtype)
    algorithm = choose_algorithm("dw", x.shape, dy.shape, geometry, groups, x.dtype, algorithm)
    if algorithm in READABLE:
        return READABLE[algorithm].conv2d_backward(dy, x, np.zeros_like(dw), *geometry[1:], groups)[1]
    with threads_for(algorithm, x.shape, dy.shape, geometry, groups):
        if algorithm == "depthwise":
            depthwise.backward_weights(dy, x, geometry, dw)
        elif algorithm == "pointwise":
            pointwise.backward_weights(dy, x, dw)
        elif algorithm in TRANSFORMS:
            winograd.backward_weights(dy, x, geometry.origin, dw, TRANSFORMS[algorithm])
        elif algorithm == "direct":
            direct.backward_weights(dy, x, geometry, groups, dw)
        else:
            im2col.backward_weights(dy, x, geometry, groups, dw)
    return dw


def conv2d_db(dy: np.ndarray) -> np.ndarray:
    """dL/db (F,): each y holds b once, so db is the sum of dy (N, F, OH, OW) over samples and positions."""
    db = np.empty(dy.shape[1], dy.dtype)

    def body(start: int, stop: int) -> None:
        np.sum(dy[:, start:stop], axis=(0, 2, 3), out=db[start:stop])

    parallel_for(len(db), body)
    return db
