"""Average pooling to a map of a given size."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels import pool as kernels
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
        y = kernels.region_avg_pool2d_forward(x, *self.regions(x.shape))
        self.remember(input_shape=x.shape, dtype=x.dtype)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        saved = self.recall()
        self.check_gradient(dy, self.output_shape(saved.input_shape), saved.dtype)
        return kernels.region_avg_pool2d_backward(dy, *self.regions(saved.input_shape), saved.input_shape[2:])

    def regions(self, input_shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """(OH, 2): the first row of each window, and the one after its last; and (OW, 2), the columns."""
        _, _, OH, OW = self.output_shape(input_shape)
        return _windows_along(input_shape[2], OH), _windows_along(input_shape[3], OW)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != 4 or min(input_shape[2:]) < 1:
            raise ValueError(f"{self} expects an input of shape (N, C, H, W) with H and W at least 1, got {tuple(input_shape)}")
        return (*input_shape[:2], *self.output_size)

    def config(self) -> dict[str, Any]:
        return {"output_size": list(self.output_size)}


def _windows_along(length: int, count: int) -> np.ndarray:
    """floor(i length / count) and ceil((i + 1) length / count) for each of so many windows i, (count, 2).

    >>> _windows_along(5, 2).tolist()
    [[0, 3], [2, 5]]
    """
    i = np.arange(count)
    return np.stack([i * length // count, -(-(i + 1) * length // count)], axis=1)
