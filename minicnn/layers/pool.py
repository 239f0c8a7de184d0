"""Pooling: a smaller picture, in which each pixel speaks for a window of the one before."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels import pool as kernels
from ..kernels.geometry import ConvGeometry, same_pads
from .arguments import padding, pair
from .base import Layer


class Pool2d(Layer):
    """Where the windows of max and average pooling lie, and how many they are.

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
        If a number makes no sense, or the padding would put whole windows outside the picture.
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
                "or there are windows with nothing but padding in them"
            )
        self.ceil_mode = bool(ceil_mode)

    def geometry(self, input_shape: tuple[int, ...]) -> tuple[ConvGeometry, tuple[int, int]]:
        """Kernel, stride and pads for an input (N, C, H, W), and the number of windows (OH, OW)."""
        if len(input_shape) != 4:
            raise ValueError(f"{self} expects an input of shape (N, C, H, W), got {tuple(input_shape)}")
        pads, counts = [], []
        for axis, length in enumerate(input_shape[2:]):
            k, s = self.kernel_size[axis], self.stride[axis]
            before, after = same_pads(length, k, s, 1) if self.pad == "same" else (self.pad[axis], self.pad[axis])
            room = length + before + after - k
            if room < 0 or length < 1:
                raise ValueError(
                    f"{self}: the window {self.kernel_size} is larger than the padded picture, x {tuple(input_shape)} with "
                    f"pad {self.pad}; use a larger picture, a smaller window or more padding"
                )
            count = (-(-room // s) if self.ceil_mode else room // s) + 1
            if (count - 1) * s >= length + before:
                count -= 1
            pads += [before, after]
            counts.append(count)
        return ConvGeometry(self.kernel_size, self.stride, tuple(pads), (1, 1)), (counts[0], counts[1])

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*input_shape[:2], *self.geometry(input_shape)[1])

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

    Arguments and output size as in ``Pool2d``. Input (N, C, H, W), output (N, C, OH, OW), float32 or float64. Remembered is one
    byte an output: which place in the window won.

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
        (kernel, stride, pads, _), size = self.geometry(x.shape)
        y, winners = kernels.max_pool2d_forward(x, kernel, stride, pads, size, needs_winners=self.remembers)
        self.remember(winners=winners, input_shape=x.shape, dtype=x.dtype)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        saved = self.recall()
        self.check_gradient(dy, saved.winners.shape, saved.dtype)
        kernel, stride, pads, _ = self.geometry(saved.input_shape)[0]
        return kernels.max_pool2d_backward(dy, saved.winners, saved.input_shape[2:], kernel, stride, pads)


class AvgPool2d(Pool2d):
    """The average under each window: y[n, c, i, j] = sum over p, q of x_padded[n, c, i*sh + p, j*sw + q] / count[i, j].

    ``count_include_pad`` says what ``count`` is at the border. False (the default here, and what TensorFlow's "SAME" does): the
    pixels of the picture under the window. True (PyTorch's default, and Caffe's way): those of the padding too, as zeros that
    pull the average down. What a window covers beyond the padding (``ceil_mode``) never counts.

    dx: each pixel under a window gets dy / count, summed where windows overlap. Nothing is remembered but shapes.

    Other arguments and output size as in ``Pool2d``. Input (N, C, H, W), output (N, C, OH, OW), float32 or float64.

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
        (kernel, stride, pads, _), size = self.geometry(x.shape)
        self.remember(input_shape=x.shape, dtype=x.dtype)
        return kernels.avg_pool2d_forward(x, kernel, stride, pads, size, self.count_include_pad)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        saved = self.recall()
        self.check_gradient(dy, self.output_shape(saved.input_shape), saved.dtype)
        kernel, stride, pads, _ = self.geometry(saved.input_shape)[0]
        return kernels.avg_pool2d_backward(dy, saved.input_shape[2:], kernel, stride, pads, self.count_include_pad)

    def config(self) -> dict[str, Any]:
        return super().config() | {"count_include_pad": self.count_include_pad}


class GlobalAvgPool2d(Layer):
    """The average of each channel over the whole picture: y[n, c] = sum over h, w of x[n, c, h, w] / (H * W).

    dx[n, c, h, w] = dy[n, c] / (H * W). Input (N, C, H, W) of any size, output (N, C), so that a classifier above does not
    depend on the size of the picture. Lin et al. 2014, "Network In Network", section 3.2.

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
