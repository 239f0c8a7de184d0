"""Convolution, forward and backward: which algorithm computes it, and the checks and arrays that they all share.

The definition is ``reference.conv2d_forward``; the equations of each algorithm are in the module that has its name.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from . import depthwise, direct, im2col, pointwise, winograd
from .algorithm import choose_algorithm, forced, is_too_short, threads_for
from .prepared import Prepared
from .threads import free_threads, is_gathering, new_array, on_this_thread_if, parallel_for
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
) -> np.ndarray:
    """y = clamp(b + w * x), see ``reference.conv2d_forward`` for the equation.

    Parameters
    ----------
    x, w, b, stride, pads, dilation, groups : as in ``reference.conv2d_forward``; x of any strides
    clamp : (low, high), optional
        Limits put on y in the same pass that adds the bias: (0, 6) is a ReLU6 and (0, inf) a ReLU. NaN stays NaN.

    Returns
    -------
    y : (N, F, OH, OW), of x's dtype
    """
    w, windows = np.ascontiguousarray(w), Windows(w.shape[2:], stride, pads, dilation)
    return _prepare("forward", x.shape, w, b, windows, groups, clamp, None)(x)


class FixedFilters:
    """The same with filters that do not change any more, as in inference: what can be prepared is prepared once.

    What an algorithm makes of the filters stays for all calls; where everything is, and who does which part of it, for those
    with an x of the same shape. Between two layers there is then little left to do, which matters with small ones: while one
    thread does it, the others wait.
    """

    def __init__(self, w: np.ndarray, b: np.ndarray, groups: int, clamp: tuple[float, float]):
        self.w, self.b, self.groups, self.clamp = np.ascontiguousarray(w), b, groups, clamp
        self.kept: dict[int | str, np.ndarray] = {}
        self.prepared = Prepared()

    def known(self, x: np.ndarray) -> Callable[..., np.ndarray] | None:
        """The function for an array like this one, if it has been prepared; see `prepare`."""
        return self.prepared.get(self._key(x)) if type(x) is np.ndarray else None

    def prepare(self, x: np.ndarray, windows: Windows) -> Callable[..., np.ndarray]:
        """A function of x, and of a contiguous array y for the result, if there is one already; it returns y.

        Within `gathered_loops` the result may be there only when they end.
        """
        how = self.w, self.b, windows, self.groups, self.clamp, self.kept
        self.prepared[self._key(x)] = convolve = _prepare("inference", x.shape, *how)
        return convolve

    def _key(self, x: np.ndarray) -> tuple:
        return x.shape, x.dtype, free_threads(), is_gathering(), forced()


def _prepare(
    step: str,
    x_shape: tuple[int, ...],
    w: np.ndarray,
    b: np.ndarray | None,
    windows: Windows,
    groups: int,
    clamp: tuple[float, float] | None,
    kept: dict[int | str, np.ndarray] | None,
) -> Callable[..., np.ndarray]:
    """A function of x, of this shape, and y, if there is already a place for it, that makes y and returns it."""
    y_shape, dtype = (x_shape[0], len(w), *windows.count(*x_shape[2:])), w.dtype
    low, high = map(dtype.type, (-math.inf, math.inf) if clamp is None else clamp)
    algorithm = choose_algorithm(step, x_shape, y_shape, windows, groups, dtype)
    is_short = is_too_short(algorithm, x_shape, y_shape, windows, groups)
    with on_this_thread_if(is_short):
        if algorithm == "depthwise":
            run = depthwise.prepare(x_shape, w, b, windows, low, high)
        elif algorithm == "pointwise":
            run = pointwise.prepare(x_shape, w, b, low, high)
        elif algorithm in TRANSFORMS:
            run = winograd.prepare(x_shape, y_shape, w, b, windows.origin, low, high, TRANSFORMS[algorithm], kept)
        elif algorithm == "direct":
            run = direct.prepare(x_shape, y_shape, w, b, windows, groups, low, high, kept)
        else:
            run = im2col.prepare(x_shape, y_shape, w, b, windows, groups, low, high)

    def convolve(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
        x = np.ascontiguousarray(x)
        if y is None:
            y = new_array(y_shape, dtype)
        with on_this_thread_if(is_short):
            run(x, y)
        return y

    return convolve


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
