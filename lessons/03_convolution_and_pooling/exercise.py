"""Lesson 3, exercise: the windows of convolutions and pools, where they lie, and what goes forward and back through them.

Fill in the functions, and as often as you like run

    minicnn check 3

Each function is a few lines. Arrays are float64; do not change the arrays you are given, return new ones.
N pictures, C channels, H x W pixels, F filters of KH x KW, OH x OW windows. Windows and paddings are alike down and across:
`stride`, `pad` and `dilation` are single numbers, and only `kernel` = (KH, KW) is a pair. Where nothing else is said,

    xp = x with `pad` rows and columns of zeros on all four sides
    OH = floor((H + 2 pad - KH) / stride) + 1, and OW likewise
"""

from collections.abc import Sequence

import numpy as np

# ---- Task 1: how large a map is, and what its elements see


def output_size(size: int, layers: Sequence[tuple[int, int, int, int]]) -> int:
    """How long the axis of a picture is after these layers, convolutions or pools, one after another.

    Each layer is (kernel, stride, pad, dilation). Its window is laid on the axis with `dilation` between neighbouring taps,
    so that from the first to the last it spans dilation * (kernel - 1) + 1 places, and it makes of `size`

        floor((size + 2 pad - dilation (kernel - 1) - 1) / stride) + 1

    size (int), layers from the picture upwards  ->  int; without layers it is `size` itself
    """
    raise NotImplementedError("Lesson 3, task 1: output_size")


def receptive_field(layers: Sequence[tuple[int, int, int, int]]) -> tuple[int, int, int]:
    """Which pixels of the picture an element of the last map sees, along one axis.

    Element i sees the pixels first + i * step to last + i * step, both included; below 0 is padding. Without layers each pixel
    sees itself: first = last = 0, step = 1. A layer (kernel, stride, pad, dilation) on a map with first, last and step makes

        first - step * pad,     last + step * (dilation (kernel - 1) - pad),     step * stride

    because its element 0 reaches from `pad` elements before the map's beginning to dilation (kernel - 1) elements after that.

    layers from the picture upwards  ->  first, last, step
    """
    raise NotImplementedError("Lesson 3, task 1: receptive_field")


# ---- Task 2: windows as the columns of a matrix, and back


def im2col(x: np.ndarray, kernel: tuple[int, int], stride: int, pad: int) -> np.ndarray:
    """The windows of each picture as the columns of a matrix.

        columns[n, (c KH + p) KW + q, i OW + j] = xp[n, c, i*stride + p, j*stride + q]

    So a row for each channel and each place (p, q) in the window, a column for each window, both counted row by row.

    x (N, C, H, W)  ->  columns (N, C KH KW, OH OW)
    """
    raise NotImplementedError("Lesson 3, task 2: im2col")


def col2im(columns: np.ndarray, input_size: tuple[int, int], kernel: tuple[int, int], stride: int, pad: int) -> np.ndarray:
    """The backward pass of im2col: every number goes back to the pixel that it was copied from, and there they add up.

        dxp[n, c, i*stride + p, j*stride + q] += columns[n, (c KH + p) KW + q, i OW + j]

    and the result is dxp without its border. im2col is linear, x -> A x; this is A^T, not the inverse.

    columns (N, C KH KW, OH OW), input_size = (H, W)  ->  dx (N, C, H, W)
    """
    raise NotImplementedError("Lesson 3, task 2: col2im")


# ---- Task 3: convolution as a matrix product


def product_forward(columns: np.ndarray, w: np.ndarray, b: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The convolution, given the windows: filters as rows, times windows as columns.

        y[n, f, i, j] = b[f] + sum over c, p, q of w[f, c, p, q] columns[n, (c KH + p) KW + q, i OW + j]

    columns (N, C KH KW, OH OW), w (F, C, KH, KW), b (F,), size = (OH, OW)  ->  y (N, F, OH, OW)

    One matrix product for each picture. NumPy's @ makes it for all of them at once: of arrays with three axes it multiplies
    the matrices in the last two. Then look at which axis the bias belongs to.
    """
    raise NotImplementedError("Lesson 3, task 3: product_forward")


def product_backward(dy: np.ndarray, columns: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients with respect to the columns, w and b: two more matrix products, and a sum. With k = (c KH + p) KW + q,

        dcolumns[n, k, i OW + j] = sum over f of w[f, c, p, q] dy[n, f, i, j]
        dw[f, c, p, q]           = sum over n, i, j of dy[n, f, i, j] columns[n, k, i OW + j]
        db[f]                    = sum over n, i, j of dy[n, f, i, j]

    dy (N, F, OH, OW), columns (N, C KH KW, OH OW), w (F, C, KH, KW)  ->  dcolumns, dw, db of the shapes of columns, w and b

    (With yours, the gradient of a whole convolution is dx = col2im(dcolumns, ...).)
    """
    raise NotImplementedError("Lesson 3, task 3: product_backward")


# ---- Task 4: max pooling


def max_pool_forward(x: np.ndarray, kernel: tuple[int, int], stride: int, pad: int) -> np.ndarray:
    """The largest value under each window, for each channel by itself.

        y[n, c, i, j] = max over p, q of xp[n, c, i*stride + p, j*stride + q]

    The border never wins, not even over negative values. (`pad` is smaller than KH and KW, so that there is always a pixel.)

    x (N, C, H, W)  ->  y (N, C, OH, OW)
    """
    raise NotImplementedError("Lesson 3, task 4: max_pool_forward")


def max_pool_backward(dy: np.ndarray, x: np.ndarray, kernel: tuple[int, int], stride: int, pad: int) -> np.ndarray:
    """Each dy goes to the pixel that won its window; a pixel that won several windows gets their sum, all others get 0.

        dxp[n, c, i*stride + p, j*stride + q] += dy[n, c, i, j]   where (p, q) is the place of the largest value

    Where several are equally large, the first of them gets all: row by row, from the top left of the window.

    dy (N, C, OH, OW), x (N, C, H, W)  ->  dx (N, C, H, W)
    """
    raise NotImplementedError("Lesson 3, task 4: max_pool_backward")


# ---- Task 5: average pooling


def avg_pool_forward(x: np.ndarray, kernel: tuple[int, int], stride: int, pad: int, count_include_pad: bool) -> np.ndarray:
    """The average under each window, for each channel by itself.

        y[n, c, i, j] = (sum over p, q of xp[n, c, i*stride + p, j*stride + q]) / count[i, j]

    `count` is the number of pixels of the picture under the window; if `count_include_pad`, those of the border count as well,
    and it is KH KW everywhere. (`pad` is smaller than KH and KW, so that there is always a pixel.)

    x (N, C, H, W)  ->  y (N, C, OH, OW)
    """
    raise NotImplementedError("Lesson 3, task 5: avg_pool_forward")


def avg_pool_backward(
    dy: np.ndarray, input_size: tuple[int, int], kernel: tuple[int, int], stride: int, pad: int, count_include_pad: bool
) -> np.ndarray:
    """Each pixel under a window gets an equal share of its dy, and where windows overlap the shares add up.

        dxp[n, c, i*stride + p, j*stride + q] += dy[n, c, i, j] / count[i, j]   for all p, q

    and dx is dxp without its border.

    dy (N, C, OH, OW), input_size = (H, W)  ->  dx (N, C, H, W)
    """
    raise NotImplementedError("Lesson 3, task 5: avg_pool_backward")


# ---- Task 6: depthwise convolution


def depthwise_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: int, pad: int, dilation: int) -> np.ndarray:
    """Each channel convolved with a filter of its own, whose taps lie `dilation` pixels apart; no sum over channels.

        y[n, c, i, j] = b[c] + sum over p, q of xp[n, c, i*stride + p*dilation, j*stride + q*dilation] w[c, 0, p, q]

    x (N, C, H, W), w (C, 1, KH, KW), b (C,)  ->  y (N, C, OH, OW)
    with OH = floor((H + 2 pad - dilation (KH - 1) - 1) / stride) + 1, and OW likewise.
    """
    raise NotImplementedError("Lesson 3, task 6: depthwise_forward")


def depthwise_backward(
    dy: np.ndarray, x: np.ndarray, w: np.ndarray, stride: int, pad: int, dilation: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients with respect to x, w and b: every product hands dy back to both of its factors.

        dxp[n, c, h, v] += dy[n, c, i, j] w[c, 0, p, q]       at h = i*stride + p*dilation, v = j*stride + q*dilation
        dw[c, 0, p, q]  += dy[n, c, i, j] xp[n, c, h, v]
        db[c]           += dy[n, c, i, j]

    and dx is dxp without its border.

    dy (N, C, OH, OW), x (N, C, H, W), w (C, 1, KH, KW)  ->  dx, dw, db of the shapes of x, w and b
    """
    raise NotImplementedError("Lesson 3, task 6: depthwise_backward")
