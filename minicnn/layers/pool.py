"""Pooling: a smaller map, in which each element sums up a window of the one before."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..kernels import pool as kernels
from ..kernels.geometry import ConvGeometry, same_pads
from .arguments import padding, pair
from .base import Layer
from .receptive_field import ReceptiveField


class Pool2d(Layer):
    """What max and average pooling share: where their windows lie, and how many there are.

    Along the height, with padding ``top`` and ``bottom`` (along the width likewise):

    OH = floor((H + top + bottom - KH) / sh) + 1, or with ``ceil_mode`` ceil(...) + 1, so that no row at the bottom is left out;
    then the last window may hang over the edge, but only if it starts inside the picture or its top padding: one that
    would start beyond, at (OH - 1) * sh >= H + top, is dropped. Caffe and PyTorch do the same (Caffe always rounds up).

    Parameters
    ----------
    kernel_size : int or (int, int)
        (KH, KW), height first.
    stride : int or (int, int), optional
        (sh, sw); by default the kernel size, windows side by side.
    pad : int, (int, int) or "same"
        Above and below, left and right; smaller than the kernel. "same" pads as TensorFlow does: OH = ceil(H / sh), and
        where the padding is odd, bottom and right get one more.
    ceil_mode : bool
        Round up.

    Raises
    ------
    ValueError
        If an argument makes no sense, or the padding would put whole windows outside the picture; in ``forward``, if pictures
        are empty or the window is larger than the padded picture; in ``backward``, if dy has not y's shape and dtype.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        pad: int | tuple[int, int] | str = 0,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self.kernel_size = pair(self.name, "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair(self.name, "stride", stride, 1)
        self.pad = padding(self.name, pad)
        if self.pad != "same" and any(p >= k for p, k in zip(self.pad, self.kernel_size, strict=True)):
            raise ValueError(
                f"{self}: pad {self.pad} must be smaller than the kernel {self.kernel_size}, "
                "or some windows would contain nothing but padding"
            )
        self.ceil_mode = bool(ceil_mode)

    def geometry(self, input_shape: tuple[int, ...]) -> ConvGeometry:
        """Kernel, stride, pads (top, bottom, left, right) and dilation, always (1, 1), for an input (N, C, H, W).

        Raises
        ------
        ValueError
            If the picture is empty, or the window is larger than the padded picture.
        """
        (top, bottom, _), (left, right, _) = self._axes(input_shape)
        return ConvGeometry(self.kernel_size, self.stride, (top, bottom, left, right), (1, 1))

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        (_, _, OH), (_, _, OW) = self._axes(input_shape)
        return (*input_shape[:2], OH, OW)

    def _axes(self, input_shape: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """Along the height and the width: the padding before and after the picture, and the number of windows."""
        if len(input_shape) != 4:
            raise ValueError(f"{self} expects an input of shape (N, C, H, W), got {tuple(input_shape)}")
        H, W = input_shape[2:]
        if min(H, W) < 1:
            raise ValueError(f"{self}: a picture of {H} x {W} has no pixels: x {tuple(input_shape)}. Use a larger picture")
        pad = ("same", "same") if self.pad == "same" else self.pad
        arguments = zip((H, W), self.kernel_size, self.stride, pad, strict=True)
        axes = [_windows_along(*of_axis, self.ceil_mode) for of_axis in arguments]
        if any(windows < 1 for _, _, windows in axes):
            raise ValueError(
                f"{self}: the window {self.kernel_size} is larger than the padded picture, x {tuple(input_shape)} with "
                f"pad {self.pad}; use a larger picture, a smaller window or more padding"
            )
        return axes

    def receptive_field(self, below: ReceptiveField, input_shape: tuple[int, ...]) -> ReceptiveField:
        return below.through(self.geometry(input_shape))

    def config(self) -> dict[str, Any]:
        return {
            "kernel_size": list(self.kernel_size),
            "stride": list(self.stride),
            "pad": self.pad if isinstance(self.pad, str) else list(self.pad),
            "ceil_mode": self.ceil_mode,
        }


class MaxPool2d(Pool2d):
    """The largest value under each window: y[n, c, i, j] = max over p, q of x[n, c, i*sh + p - top, j*sw + q - left].

    Padding never wins, not even over negative values: it is minus infinity here, not zero. dx is dy at the pixel that won and 0
    elsewhere, summed where windows overlap. Of equal values the first one wins, row by row from the top left, and gets all of
    the gradient. NaN always wins, so that it is seen.

    Arguments, output size and errors as in ``Pool2d``. Input (N, C, H, W), output (N, C, OH, OW), float32 or float64. One byte
    an output is remembered: which element of the window won.

    Source: Ranzato et al. 2007, "Unsupervised Learning of Invariant Feature Hierarchies"; LeNet-5 (1998) still averaged.

    >>> x = np.array([[1.0, 5, 2], [3, 4, 0], [7, 7, 6]]).reshape(1, 1, 3, 3)
    >>> pool = MaxPool2d(2, stride=1).train()
    >>> pool.forward(x)[0, 0]
    array([[5., 5.],
           [7., 7.]])
    >>> pool.backward(np.array([[1.0, 10], [100, 1000]]).reshape(1, 1, 2, 2))[0, 0]
    array([[   0.,   11.,    0.],
           [   0.,    0.,    0.],
           [ 100., 1000.,    0.]])
    """

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x, ndim=4)
        kernel, stride, pads, _ = self.geometry(x.shape)
        size = self.output_shape(x.shape)[2:]
        y, winners = kernels.max_pool2d_forward(x, kernel, stride, pads, size, needs_winners=self.remembers)
        self.remember(winners=winners, input_shape=x.shape, dtype=x.dtype)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        saved = self.recall()
        self.check_gradient(dy, saved.winners.shape, saved.dtype)
        kernel, stride, pads, _ = self.geometry(saved.input_shape)
        return kernels.max_pool2d_backward(dy, saved.winners, saved.input_shape[2:], kernel, stride, pads)


class AvgPool2d(Pool2d):
    """The average under each window: y[n, c, i, j] = sum over p, q of x_padded[n, c, i*sh + p, j*sw + q] / count[i, j].

    ``count_include_pad`` says what ``count`` is at the border. False (the default here, and what TensorFlow's "SAME" does): the
    pixels of the picture under the window. True (PyTorch's default, and what Caffe does): those of the padding too, as zeros
    that pull the average down. What a window covers beyond the padding (``ceil_mode``) never counts.

    dx: each pixel under a window gets dy / count, summed where windows overlap. Nothing is remembered but shapes.

    Other arguments, output size and errors as in ``Pool2d``. Input (N, C, H, W), output (N, C, OH, OW), float32 or float64.

    >>> x = np.array([[1.0, 3], [5, 7]]).reshape(1, 1, 2, 2)
    >>> AvgPool2d(2).forward(x)[0, 0]
    array([[4.]])
    >>> AvgPool2d(2, pad=1).forward(x)[0, 0]
    array([[1., 3.],
           [5., 7.]])
    >>> AvgPool2d(2, pad=1, count_include_pad=True).forward(x)[0, 0]
    array([[0.25, 0.75],
           [1.25, 1.75]])
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        pad: int | tuple[int, int] | str = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = False,
    ):
        super().__init__(kernel_size, stride, pad, ceil_mode)
        self.count_include_pad = bool(count_include_pad)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x, ndim=4)
        kernel, stride, pads, _ = self.geometry(x.shape)
        size = self.output_shape(x.shape)[2:]
        self.remember(input_shape=x.shape, dtype=x.dtype)
        return kernels.avg_pool2d_forward(x, kernel, stride, pads, size, self.count_include_pad)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        saved = self.recall()
        self.check_gradient(dy, self.output_shape(saved.input_shape), saved.dtype)
        kernel, stride, pads, _ = self.geometry(saved.input_shape)
        return kernels.avg_pool2d_backward(dy, saved.input_shape[2:], kernel, stride, pads, self.count_include_pad)

    def config(self) -> dict[str, Any]:
        return super().config() | {"count_include_pad": self.count_include_pad}


class GlobalAvgPool2d(Layer):
    """The average of each channel over the whole picture: y[n, c] = sum over h, w of x[n, c, h, w] / (H * W).

    dx[n, c, h, w] = dy[n, c] / (H * W). Input (N, C, H, W) of any size, output (N, C), so that a classifier above does not
    depend on the size of the picture. Lin et al. 2014, "Network In Network", section 3.2.

    Raises
    ------
    ValueError
        In ``forward``, if x has another shape or no pixels; in ``backward``, if dy is not like y.

    >>> GlobalAvgPool2d().forward(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[1.5, 5.5]])
    """

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x, ndim=4)
        self.output_shape(x.shape)
        self.remember(input_shape=x.shape, dtype=x.dtype)
        return kernels.global_avg_pool_forward(x)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        saved = self.recall()
        self.check_gradient(dy, saved.input_shape[:2], saved.dtype)
        return kernels.global_avg_pool_backward(dy, saved.input_shape[2:])

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != 4 or min(input_shape[2:]) < 1:
            raise ValueError(f"{self} expects an input of shape (N, C, H, W) with H and W at least 1, got {tuple(input_shape)}")
        return tuple(input_shape[:2])


@lru_cache(maxsize=1024)  # every pass asks several times, and always for the same few
def _windows_along(length: int, kernel: int, stride: int, pad: int | str, ceil_mode: bool) -> tuple[int, int, int]:
    """Padding before and after an axis of the picture, and how many windows there are along it: 0 if not even one fits."""
    before, after = same_pads(length, kernel, stride, 1) if pad == "same" else (pad, pad)
    room = length + before + after - kernel
    if room < 0:
        return before, after, 0
    windows = (-(-room // stride) if ceil_mode else room // stride) + 1
    starts_beyond_the_picture = (windows - 1) * stride >= length + before
    return before, after, windows - 1 if starts_beyond_the_picture else windows
