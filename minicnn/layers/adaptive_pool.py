"""Average pooling to a map of a given size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .arguments import pair
from .base import Layer


class AdaptiveAvgPool2d(Layer):
    """The average under windows that divide a picture of any size into a map of OH x OW.

    y[n, c, i, j] = average of x[n, c, h, w] over floor(i H / OH) <= h < ceil((i + 1) H / OH), and columns likewise

    Where OH does not divide H, windows overlap by a row, and likewise columns; every pixel is under at least one window. dx:
    each pixel under a window gets dy / (number of pixels in the window), summed over the windows.

    torchvision uses it in older networks, whose fully connected layers need a map of one size, whatever the picture's size.

    Parameters
    ----------
    output_size : int or (int, int)
        (OH, OW).

    Input (N, C, H, W), output (N, C, OH, OW), float32 or float64.

    Raises
    ------
    ValueError
        If a size is not at least 1; in ``forward``, if x has another shape or no pixels; in ``backward``, if dy is not like y.

    >>> x = np.arange(5.0).reshape(1, 1, 1, 5)
    >>> AdaptiveAvgPool2d((1, 2)).forward(x).ravel()      # of 0, 1, 2 and of 2, 3, 4
    array([1., 3.])
    """

    def __init__(self, output_size: int | tuple[int, int]):
        super().__init__()
        self.output_size = pair("AdaptiveAvgPool2d", "output_size", output_size, 1)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x, ndim=4)
        y = np.empty(self.output_shape(x.shape), x.dtype)
        for i, j, rows, columns in self._windows(x.shape):
            y[:, :, i, j] = x[:, :, rows, columns].mean(axis=(2, 3))
        self.remember(input_shape=x.shape, dtype=x.dtype)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        saved = self.recall()
        self.check_gradient(dy, self.output_shape(saved.input_shape), saved.dtype)
        dx = np.zeros(saved.input_shape, saved.dtype)
        for i, j, rows, columns in self._windows(saved.input_shape):
            window = dx[:, :, rows, columns]
            window += (dy[:, :, i, j] / (window.shape[2] * window.shape[3]))[:, :, None, None]
        return dx

    def _windows(self, input_shape: tuple[int, ...]) -> Iterator[tuple[int, int, slice, slice]]:
        """i, j, and which rows and columns of the picture y[:, :, i, j] averages."""
        (H, W), (OH, OW) = input_shape[2:], self.output_size
        for i in range(OH):
            for j in range(OW):
                yield i, j, slice(i * H // OH, -(-(i + 1) * H // OH)), slice(j * W // OW, -(-(j + 1) * W // OW))

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != 4 or min(input_shape[2:]) < 1:
            raise ValueError(f"{self} expects an input of shape (N, C, H, W) with H and W at least 1, got {tuple(input_shape)}")
        return (*input_shape[:2], *self.output_size)

    def config(self) -> dict[str, Any]:
        return {"output_size": list(self.output_size)}
