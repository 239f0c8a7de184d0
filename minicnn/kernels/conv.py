"""Convolution, forward and backward: which algorithm computes it, and the checks and arrays that they all share.

The definition is ``reference.conv2d_forward``; the equations of each algorithm are in the module that has its name.
"""

from __future__ import annotations

import math

import numpy as np

from . import depthwise, direct, im2col, pointwise, winograd
from .algorithm import choose_algorithm, threads_for
from .threads import parallel_for
from .windows import Windows
from .winograd_transforms import F2, F4

TRANSFORMS = {"winograd4": F4, "winograd2": F2}


def conv2d_forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
    clamp: tuple[float, float] | None = None,
    kept: dict[int | str, np.ndarray] | None = None,
    y: np.ndarray | None = None,
) -> np.ndarray:
    """y = clamp(b + w * x), see ``reference.conv2d_forward`` for the equation.

    Parameters
    ----------
    x, w, b, stride, pads, dilation, groups : as in ``reference.conv2d_forward``; x of any strides
    clamp : (low, high), optional
        Limits put on y in the same pass that adds the bias: (0, 6) is a ReLU6 and (0, inf) a ReLU. NaN stays NaN.
    kept : dict, optional
        Belongs to these filters, which do not change any more: what an algorithm makes of them stays there for the next call.
    y : contiguous array, optional
        Where the result goes. Within `gathered_loops` it may be there only when they end.

    Returns
    -------
    y : (N, F, OH, OW), of x's dtype
    """
    x, w, windows = np.ascontiguousarray(x), np.ascontiguousarray(w), Windows(w.shape[2:], stride, pads, dilation)
    if y is None:
        y = np.empty((len(x), len(w), *windows.count(*x.shape[2:])), x.dtype)
    low, high = map(x.dtype.type, (-math.inf, math.inf) if clamp is None else clamp)
    step = "forward" if kept is None else "inference"
    algorithm = choose_algorithm(step, x.shape, y.shape, windows, groups, x.dtype)
    with threads_for(algorithm, x.shape, y.shape, windows, groups):
        if algorithm == "depthwise":
            depthwise.forward(x, w, b, windows, low, high, y)
        elif algorithm == "pointwise":
            pointwise.forward(x, w, b, low, high, y)
        elif algorithm in TRANSFORMS:
            winograd.forward(x, w, b, windows.origin, low, high, y, TRANSFORMS[algorithm], kept)
        elif algorithm == "direct":
            direct.forward(x, w, b, windows, groups, low, high, y, kept)
        else:
            im2col.forward(x, w, b, windows, groups, low, high, y)
    return y


def conv2d_dx(
    dy: np.ndarray,
    w: np.ndarray,
    picture: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """dL/dx (N, C, H, W) from dy = dL/dy (N, F, OH, OW).

    ``picture`` is (H, W) of the input: with a stride it cannot be told from dy's shape.
    """
    dy, w, windows = np.ascontiguousarray(dy), np.ascontiguousarray(w), Windows(w.shape[2:], stride, pads, dilation)
    dx = np.empty((len(dy), groups * w.shape[1], *picture), dy.dtype)
    algorithm = choose_algorithm("dx", dx.shape, dy.shape, windows, groups, dy.dtype)
    with threads_for(algorithm, dx.shape, dy.shape, windows, groups):
        if algorithm == "depthwise":
            depthwise.backward_input(dy, w, windows, dx)
        elif algorithm == "pointwise":
            pointwise.backward_input(dy, w, dx)
        elif algorithm in TRANSFORMS:
            winograd.backward_input(dy, w, windows.origin, dx, TRANSFORMS[algorithm])
        else:
            im2col.backward_input(dy, w, windows, groups, dx)
    return dx


def conv2d_dw(
    dy: np.ndarray,
    x: np.ndarray,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """dL/dw (F, C / groups, KH, KW) from dy = dL/dy (N, F, OH, OW); repeats to the bit for a given number of threads."""
    dy, x, windows = np.ascontiguousarray(dy), np.ascontiguousarray(x), Windows(kernel, stride, pads, dilation)
    dw = np.empty((dy.shape[1], x.shape[1] // groups, *kernel), x.dtype)
    algorithm = choose_algorithm("dw", x.shape, dy.shape, windows, groups, x.dtype)
    with threads_for(algorithm, x.shape, dy.shape, windows, groups):
        if algorithm == "depthwise":
            depthwise.backward_weights(dy, x, windows, dw)
        elif algorithm == "pointwise":
            pointwise.backward_weights(dy, x, dw)
        elif algorithm in TRANSFORMS:
            winograd.backward_weights(dy, x, windows.origin, dw, TRANSFORMS[algorithm])
        elif algorithm == "direct":
            direct.backward_weights(dy, x, windows, groups, dw)
        else:
            im2col.backward_weights(dy, x, windows, groups, dw)
    return dw


def conv2d_db(dy: np.ndarray) -> np.ndarray:
    """dL/db (F,): each y holds b once, so db is the sum of dy (N, F, OH, OW) over samples and positions."""
    db = np.empty(dy.shape[1], dy.dtype)

    def body(start: int, stop: int) -> None:
        np.sum(dy[:, start:stop], axis=(0, 2, 3), out=db[start:stop])

    parallel_for(len(db), body)
    return db
