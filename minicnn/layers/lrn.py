"""Local response normalisation, which came before batch normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels import lrn as kernels
from .arguments import is_whole
from .base import Layer
from .receptive_field import ReceptiveField


class LocalResponseNorm(Layer):
    """A strong response in one channel weakens those in the channels beside it, at the same pixel.

    scale[n, c, h, w] = k + alpha / size * sum of x[n, m, h, w]^2 over m = c - (size - 1) / 2, ..., c + (size - 1) / 2
    y = x / scale^beta

    where channels that do not exist count as zero. From dy, at each pixel:

    dx[m] = dy[m] / scale[m]^beta - 2 * alpha / size * beta * x[m] * sum of dy[c] * y[c] / scale[c] over m's window

    where the first term comes through the numerator of y[m], the second through the scales of y[m] and its neighbours.

    There is nothing to train, and the layer does the same in training and in inference.

    Alpha is divided by the size, as in Caffe, PyTorch and ONNX, and k is 1. *The paper does not
    divide*, and has k = 2, n = 5, alpha = 1e-4, beta = 0.75: that is ``LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)``.
    (Caffe's published AlexNet and GoogLeNet were trained with the defaults here, and so with a fifth of the paper's alpha.)

    Parameters
    ----------
    size : int, odd
        Channels in a window. (For an even size the frameworks disagree which side gets one more.)
    alpha, beta : float
        At least 0.
    k : float
        More than 0: it keeps the scale away from zero.

    Input and output (N, C, H, W), float32 or float64.

    Raises
    ------
    ValueError
        For an even size and other arguments that make no sense; in ``forward``, if x is not of shape (N, C, H, W); in
        ``backward``, if dy is not like y.

    Source: Krizhevsky, Sutskever, Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section 3.3.

    >>> x = np.array([3.0, 4.0, 0.0]).reshape(1, 3, 1, 1)
    >>> LocalResponseNorm(3, alpha=3.0, beta=0.5, k=11.0).forward(x).ravel()      # 3 / sqrt(11 + 9 + 16), and so on
    array([0.5       , 0.66666667, 0.        ])
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        if not is_whole(size, 1) or size % 2 == 0:
            raise ValueError(
                f"LocalResponseNorm: size is an odd number of channels, so that the window has a middle, got {size!r}"
            )
        for name, value in (("alpha", alpha), ("beta", beta)):
            if not 0 <= value < np.inf:
                raise ValueError(f"LocalResponseNorm: {name} is a number of at least 0, got {value!r}")
        if not 0 < k < np.inf:
            raise ValueError(f"LocalResponseNorm: k keeps the scale away from 0 and must be more than 0, got {k!r}")
        self.size, self.alpha, self.beta, self.k = int(size), float(alpha), float(beta), float(k)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x, ndim=4)
        self.remember(x=x)
        return kernels.local_response_norm_forward(x, self.size, self.alpha, self.beta, self.k)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        x = self.recall().x
        self.check_gradient(dy, x.shape, x.dtype)
        return kernels.local_response_norm_backward(dy, x, self.size, self.alpha, self.beta, self.k)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != 4:
            raise ValueError(f"{self} expects an input of shape (N, C, H, W), got {tuple(input_shape)}")
        return tuple(input_shape)

    def receptive_field(self, below: ReceptiveField, input_shape: tuple[int, ...]) -> ReceptiveField:
        return below

    def config(self) -> dict[str, Any]:
        return {"size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k}
