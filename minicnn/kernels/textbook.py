"""The kernels as a textbook has them: the well-known algorithms in plain NumPy, to be read with the lecture open.

This is the rung between ``reference``, which defines each kernel by loops over single numbers, and the fast kernels. Here every
line works on whole arrays, and every function fits on a screen and gives what its definition gives, up to rounding. What each
shows:

- ``im2col``, ``col2im``: windows laid out as the columns of a matrix, and the transpose of that, which adds them up again
- ``conv2d_forward``, ``conv2d_backward``: with these, a convolution and both of its gradients are matrix products
- ``depthwise_forward``, ``depthwise_backward``: a filter for each channel: shifted maps are added up, and no matrix is needed
- ``winograd_forward``: a convolution with 3x3 filters and fewer multiplications
- ``max_pool2d_forward``, ``max_pool2d_backward``: a running maximum over the taps; the gradient goes to the winner
- ``batch_norm_forward``, ``batch_norm_backward``: sums over all but the channel axis, and the three terms of the gradient

A *tap* (p, q) is a place in the window. For all windows together the pixels at one tap are the picture itself, shifted (and
thinned out by the stride): a slice, see ``_taps``. All functions here but Winograd's and batch norm's are built on it.

The fast kernels (``convolution``, ``pool`` and ``norm``) compute the same, with threads, cache blocking and vectors on top.
Arrays are float32 or float64, and results have the dtype of the arguments, but batch norm's mean and variance are float64. No
argument is changed. ``pads`` is (top, bottom, left, right).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .geometry import ConvGeometry


def _taps(
    kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], size: tuple[int, int]
) -> Iterator[tuple[int, int, tuple[slice, ...]]]:
    """Each tap (p, q) of a window, and ``at``: where it lies in the padded picture, for all windows at once.

    x_padded[at][n, c, i, j] = x_padded[n, c, i*sh + p*dil_h, j*sw + q*dil_w],   i < OH, j < OW

    >>> row = np.arange(7).reshape(1, 1, 1, 7)
    >>> for p, q, at in _taps(kernel=(1, 3), stride=(1, 2), dilation=(1, 1), size=(1, 3)):
    ...     print(p, q, row[at].ravel())
    0 0 [0 2 4]
    0 1 [1 3 5]
    0 2 [2 4 6]
    """
    (KH, KW), (sh, sw), (dil_h, dil_w), (OH, OW) = kernel, stride, dilation, size
    for p in range(KH):
        for q in range(KW):
            yield p, q, np.s_[:, :, p * dil_h : p * dil_h + sh * OH : sh, q * dil_w : q * dil_w + sw * OW : sw]


# ---- convolution by matrix products


def im2col(
    x: np.ndarray,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
) -> np.ndarray:
    """The windows of each picture as the columns of a matrix; a pixel is copied once for each window that it is in.

    columns[n, (c, p, q), (i, j)] = x_padded[n, c, i*sh + p*dil_h, j*sw + q*dil_w]

    >>> x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    >>> im2col(x, (2, 2), (1, 1), (0, 0, 0, 0), (1, 1))[0]
    array([[1., 2., 4., 5.],
           [2., 3., 5., 6.],
           [4., 5., 7., 8.],
           [5., 6., 8., 9.]])

    Parameters
    ----------
    x : (N, C, H, W)
    kernel, stride, dilation : (KH, KW), (sh, sw), (dil_h, dil_w)
    pads : (top, bottom, left, right)

    Returns
    -------
    columns : (N, C*KH*KW, OH*OW), OH = floor((H + top + bottom - dil_h*(KH-1) - 1) / sh) + 1, OW likewise
        A row for each channel and tap, a column for each window; both counted row by row.

    Source: Chellapilla, Puri, Simard 2006, "High Performance Convolutional Neural Networks for Document Processing", section 3.
    """
    (N, C, H, W), (KH, KW), (top, bottom, left, right) = x.shape, kernel, pads
    OH, OW = ConvGeometry(kernel, stride, pads, dilation).count(H, W)
    x_padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    columns = np.empty((N, C, KH, KW, OH, OW), x.dtype)
    for p, q, at in _taps(kernel, stride, dilation, (OH, OW)):
        columns[:, :, p, q] = x_padded[at]
    return columns.reshape(N, C * KH * KW, OH * OW)


def col2im(
    columns: np.ndarray,
    input_size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
) -> np.ndarray:
    """The transpose of ``im2col``: columns go back to where they came from, and where windows overlap they add up.

    x_padded[n, c, i*sh + p*dil_h, j*sw + q*dil_w] += columns[n, (c, p, q), (i, j)]   (then cut off the padding)

    It is not the inverse: each pixel comes back as many times as there are windows that it is in.

    >>> x = np.ones((1, 1, 3, 3))
    >>> col2im(im2col(x, (2, 2), (1, 1), (0, 0, 0, 0), (1, 1)), (3, 3), (2, 2), (1, 1), (0, 0, 0, 0), (1, 1))[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])

    Parameters
    ----------
    columns : (N, C*KH*KW, OH*OW)
    input_size : (H, W)
    kernel, stride, pads, dilation : as in ``im2col``

    Returns
    -------
    x : (N, C, H, W)
    """
    (N, rows, _), (H, W), (KH, KW), (top, bottom, left, right) = columns.shape, input_size, kernel, pads
    C, (OH, OW) = rows // (KH * KW), ConvGeometry(kernel, stride, pads, dilation).count(H, W)
    columns = columns.reshape(N, C, KH, KW, OH, OW)
    x_padded = np.zeros((N, C, top + H + bottom, left + W + right), columns.dtype)
    for p, q, at in _taps(kernel, stride, dilation, (OH, OW)):
        x_padded[at] += columns[:, :, p, q]
    return x_padded[:, :, top : top + H, left : left + W]


def conv2d_forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """Convolution as matrix products: filters are rows, windows are columns. For each sample and group g,

    y_g (F / groups, OH*OW) = w_g (F / groups, K) columns_g (K, OH*OW) + b_g        with K = C / groups * KH*KW

    where y_g, w_g and b_g are of the group's filters, and columns_g of its channels. The sum over c, p, q in the definition
    (``reference.conv2d_forward``) is the inner sum of the product.

    Parameters
    ----------
    x : (N, C, H, W)
    w : (F, C / groups, KH, KW)
    b : (F,) or None
    stride, dilation : (sh, sw), (dil_h, dil_w)
    pads : (top, bottom, left, right)

    Returns
    -------
    y : (N, F, OH, OW)

    Source: as for ``im2col``; groups: Krizhevsky, Sutskever, Hinton 2012, section 3.5.
    """
    (N, _, H, W), F, kernel = x.shape, w.shape[0], w.shape[2:]
    OH, OW = ConvGeometry(kernel, stride, pads, dilation).count(H, W)
    columns, w_rows = im2col(x, kernel, stride, pads, dilation), w.reshape(F, -1)
    K = w_rows.shape[1]  # C / groups * KH * KW
    y = np.empty((N, F, OH * OW), x.dtype)
    for g in range(groups):
        filters, rows = slice(g * F // groups, (g + 1) * F // groups), slice(g * K, (g + 1) * K)
        # (F / groups, K) @ (N, K, OH*OW): of arrays with three axes, @ multiplies the matrices in the last two, one by one
        y[:, filters] = w_rows[filters] @ columns[:, rows]
    if b is not None:
        y += b[:, None]
    return y.reshape(N, F, OH, OW)


def conv2d_backward(
    dy: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of a loss L with respect to x, w and b, from dy = dL/dy: two more matrix products for each group.

    y_g = w_g columns_g + b_g is linear in each of its factors, so that

    dcolumns_g = w_g^T dy_g,   dx = col2im(dcolumns)
    dw_g = sum over samples of dy_g columns_g^T
    db = sum over samples and windows of dy

    Parameters
    ----------
    dy : (N, F, OH, OW)
    x, w, stride, pads, dilation, groups : as in ``conv2d_forward``

    Returns
    -------
    dx, dw, db : of the shapes of x, w and b
    """
    (N, F, OH, OW), input_size, kernel = dy.shape, x.shape[2:], w.shape[2:]
    columns, w_rows = im2col(x, kernel, stride, pads, dilation), w.reshape(F, -1)
    dy_rows, K = dy.reshape(N, F, OH * OW), w_rows.shape[1]
    dcolumns, dw = np.empty_like(columns), np.empty_like(w_rows)
    for g in range(groups):
        filters, rows = slice(g * F // groups, (g + 1) * F // groups), slice(g * K, (g + 1) * K)
        dcolumns[:, rows] = w_rows[filters].T @ dy_rows[:, filters]
        dw[filters] = (dy_rows[:, filters] @ columns[:, rows].transpose(0, 2, 1)).sum(axis=0)
    dx = col2im(dcolumns, input_size, kernel, stride, pads, dilation)
    db = dy.sum(axis=(0, 2, 3))
    return dx, dw.reshape(w.shape), db


# ---- depthwise convolution by shifted adds


def depthwise_forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
) -> np.ndarray:
    """Convolution of each channel with a filter of its own: a sum of KH*KW shifted maps, each times a number per channel.

    y[n, c, i, j] = b[c] + sum over p, q of x_padded[n, c, i*sh + p*dil_h, j*sw + q*dil_w] * w[c, 0, p, q]

    Channels are not summed over, so a matrix product would have only KH*KW numbers in its inner sum; this needs no columns.

    Parameters
    ----------
    x : (N, C, H, W)
    w : (C, 1, KH, KW)
    b : (C,) or None
    stride, pads, dilation : as in ``conv2d_forward``

    Returns
    -------
    y : (N, C, OH, OW), as ``conv2d_forward`` gives with C groups

    Source: Howard et al. 2017, "MobileNets" (arXiv 1704.04861), section 3.1.
    """
    (N, C, H, W), kernel, (top, bottom, left, right) = x.shape, w.shape[2:], pads
    OH, OW = ConvGeometry(kernel, stride, pads, dilation).count(H, W)
    x_padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    y = np.zeros((N, C, OH, OW), x.dtype)
    for p, q, at in _taps(kernel, stride, dilation, (OH, OW)):
        y += x_padded[at] * w[:, 0, p, q, None, None]
    if b is not None:
        y += b[:, None, None]
    return y


def depthwise_backward(
    dy: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients with respect to x, w and b, from dy = dL/dy, which reaches both factors of each tap's product.

    dx_padded[n, c, i*sh + p*dil_h, j*sw + q*dil_w] += dy[n, c, i, j] * w[c, 0, p, q]   (then cut off the padding)
    dw[c, 0, p, q] = sum over n, i, j of dy[n, c, i, j] * x_padded[n, c, i*sh + p*dil_h, j*sw + q*dil_w]
    db[c] = sum over n, i, j of dy[n, c, i, j]

    Parameters
    ----------
    dy : (N, C, OH, OW)
    x, w, stride, pads, dilation : as in ``depthwise_forward``

    Returns
    -------
    dx, dw, db : of the shapes of x, w and b
    """
    (H, W), (top, bottom, left, right) = x.shape[2:], pads
    x_padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    dx_padded, dw = np.zeros_like(x_padded), np.empty_like(w)
    for p, q, at in _taps(w.shape[2:], stride, dilation, dy.shape[2:]):
        dx_padded[at] += dy * w[:, 0, p, q, None, None]
        dw[:, 0, p, q] = (dy * x_padded[at]).sum(axis=(0, 2, 3))
    db = dy.sum(axis=(0, 2, 3))
    return dx_padded[:, :, top : top + H, left : left + W], dw, db


# ---- Winograd's convolution
# F(m, r) is the algorithm for m outputs of a filter with r taps. (Elsewhere, F is the number of filters.) In one dimension,
# F(2, 3) takes four multiplications where the definition takes six:
#
#   y0 = d0*g0 + d1*g1 + d2*g2        m0 = (d0 - d2) * g0                     y0 = m0 + m1 + m2
#   y1 = d1*g0 + d2*g1 + d3*g2        m1 = (d1 + d2) * (g0 + g1 + g2) / 2     y1 = m1 - m2 - m3
#                                     m2 = (d2 - d1) * (g0 - g1 + g2) / 2
#                                     m3 = (d1 - d3) * g2
#
# As matrices: y = A^T [(G g) . (B^T d)], where . multiplies element by element. The rows of G give the values of the polynomial
# g0 + g1*t + g2*t^2 at t = 0, 1 and -1 (the latter two halved), and at infinity, which stands for its leading coefficient. From
# such values the Toom-Cook algorithm computes products of polynomials, and Winograd's is the transpose of that. F(2x2, 3x3) is
# F(2, 3) along the rows and along the columns. `Conv2d` knows it as algorithm "winograd2".

# fmt: off
# All entries are exact in float32; as float32 constants they keep float32 inputs float32 and float64 inputs float64.
BT = np.array([[1,  0, -1,  0],
               [0,  1,  1,  0],
               [0, -1,  1,  0],
               [0,  1,  0, -1]], np.float32)

G = np.array([[1,    0,   0],
              [1/2,  1/2, 1/2],
              [1/2, -1/2, 1/2],
              [0,    0,   1]], np.float32)

AT = np.array([[1, 1,  1,  0],
               [0, 1, -1, -1]], np.float32)
# fmt: on


def winograd_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, pads: tuple[int, int, int, int]) -> np.ndarray:
    """Convolution with 3x3 filters and a stride of 1 by Winograd's algorithm F(2x2, 3x3).

    For a channel, a filter and a tile of 2x2 outputs it takes 16 multiplications, where the definition needs 36 (transforms not
    counted). The tile Y depends on a window d of 4x4 inputs. With a filter g (3x3),

    Y = A^T [(G g G^T) . (B^T d B)] A          ( . multiplies element by element)

    The sum over channels can be taken before going back with A. For each of the 16 elements it is a matrix product:

    U = G g G^T,   V = B^T d B,   M_ij = U_ij (F, C) V_ij (C, tiles),   Y = A^T M A

    Tiles lie side by side, so windows start at every second pixel and overlap by two. What hangs over the edge of y is cut off.

    >>> x, w = np.arange(16.0).reshape(1, 1, 4, 4), np.ones((1, 1, 3, 3))
    >>> winograd_forward(x, w, None, (0, 0, 0, 0))[0, 0]
    array([[45., 54.],
           [81., 90.]])

    Parameters
    ----------
    x : (N, C, H, W)
    w : (F, C, 3, 3)
    b : (F,) or None
    pads : (top, bottom, left, right)

    Returns
    -------
    y : (N, F, OH, OW), OH = H + top + bottom - 2, OW likewise

    Source: Lavin, Gray 2016, "Fast Algorithms for Convolutional Neural Networks" (arXiv 1509.09308), sections 4.1 to 4.3.
    """
    (N, C, H, W), F, (top, bottom, left, right) = x.shape, w.shape[0], pads
    OH, OW = H + top + bottom - 2, W + left + right - 2
    TH, TW = (OH + 1) // 2, (OW + 1) // 2  # rows and columns of tiles
    # where OH or OW is odd, the last tiles hang over by one
    x_padded = np.pad(x, ((0, 0), (0, 0), (top, bottom + OH % 2), (left, right + OW % 2)))
    d = np.lib.stride_tricks.sliding_window_view(x_padded, (4, 4), axis=(2, 3))[:, :, ::2, ::2]  # (N, C, TH, TW, 4, 4)
    U = G @ w @ G.T  # (F, C, 4, 4)
    V = (BT @ d @ BT.T).reshape(N, C, TH * TW, 4, 4)
    M = np.empty((N, F, TH * TW, 4, 4), x.dtype)
    for i in range(4):
        for j in range(4):
            M[..., i, j] = U[..., i, j] @ V[..., i, j]  # (F, C) @ (N, C, TH*TW): a product for each sample
    Y = (AT @ M @ AT.T).reshape(N, F, TH, TW, 2, 2)
    # each tile's rows go next to the row that the tile is in, its columns next to the column: (N, F, TH, 2, TW, 2)
    y = Y.transpose(0, 1, 2, 4, 3, 5).reshape(N, F, 2 * TH, 2 * TW)[:, :, :OH, :OW]
    return y if b is None else y + b[:, None, None]


# ---- max pooling


def max_pool2d_forward(
    x: np.ndarray,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """The largest value under each window: a running maximum over the taps.

    y[n, c, i, j] = max over p, q of x_padded[n, c, i*sh + p, j*sw + q], padded with minus infinity, which never wins

    Of several equal values the first wins, row by row, because a later one has to be larger. NaN wins always; of several, the
    last.

    >>> y, winners = max_pool2d_forward(np.array([[[[1.0, 5], [5, 3]]]]), (2, 2), (2, 2), (0, 0, 0, 0), (1, 1))
    >>> y.item(), winners.item()
    (5.0, 1)

    Parameters
    ----------
    x : (N, C, H, W)
    kernel, stride : (KH, KW), (sh, sw)
    pads : (top, bottom, left, right), each smaller than the kernel
    size : (OH, OW); it is the caller who decides whether the last windows may hang over the padding (``ceil_mode``)

    Returns
    -------
    y : (N, C, OH, OW)
    winners : (N, C, OH, OW), int
        Which place in its window each y came from, counted row by row: p * KW + q.
    """
    (N, C), (KH, KW), (sh, sw), (top, _, left, _), (OH, OW) = x.shape[:2], kernel, stride, pads, size
    # the last windows may hang over the edge, but they start in the picture: KH rows and KW columns after it are enough
    x_padded = np.pad(x, ((0, 0), (0, 0), (top, KH), (left, KW)), constant_values=-np.inf)
    y = np.full((N, C, OH, OW), -np.inf, x.dtype)
    # to begin with, the first tap that lies in the picture; it stays the winner where a window holds nothing but -inf
    p_first, q_first = np.maximum(top - sh * np.arange(OH), 0), np.maximum(left - sw * np.arange(OW), 0)
    winners = np.broadcast_to(p_first[:, None] * KW + q_first, y.shape)
    for p, q, at in _taps(kernel, stride, (1, 1), size):
        wins = (x_padded[at] > y) | np.isnan(x_padded[at])
        y = np.where(wins, x_padded[at], y)
        winners = np.where(wins, p * KW + q, winners)
    return y, winners


def max_pool2d_backward(
    dy: np.ndarray,
    winners: np.ndarray,
    input_size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
) -> np.ndarray:
    """Each dy goes to the pixel that won; one that won several windows gets the sum.

    dx_padded[n, c, i*sh + p, j*sw + q] += dy[n, c, i, j] where (p, q) is the winner   (then cut off the padding)

    Parameters
    ----------
    dy, winners : (N, C, OH, OW)
    input_size : (H, W)
    kernel, stride, pads : as in ``max_pool2d_forward``

    Returns
    -------
    dx : (N, C, H, W)
    """
    (N, C), (H, W), (KH, KW), (top, _, left, _) = dy.shape[:2], input_size, kernel, pads
    dx_padded = np.zeros((N, C, top + H + KH, left + W + KW), dy.dtype)
    for p, q, at in _taps(kernel, stride, (1, 1), dy.shape[2:]):
        dx_padded[at] += np.where(winners == p * KW + q, dy, 0)
    return dx_padded[:, :, top : top + H, left : left + W]


# ---- batch normalisation


def batch_norm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each channel shifted and scaled to mean beta and standard deviation |gamma| (up to eps) over the batch.

    mean[c] = average of x[n, c, i] over n and i;  variance[c] = average of (x[n, c, i] - mean[c])^2
    xh[n, c, i] = (x[n, c, i] - mean[c]) / sqrt(variance[c] + eps);  y[n, c, i] = gamma[c] * xh[n, c, i] + beta[c]

    >>> y, mean, variance = batch_norm_forward(np.array([[1.0], [3]]), np.array([10.0]), np.array([7.0]), eps=0)
    >>> y.ravel(), mean, variance
    (array([-3., 17.]), array([2.]), array([1.]))

    Parameters
    ----------
    x : (N, C) or (N, C, H, W); i above runs over all places (h, w)
    gamma, beta : (C,)
    eps : float, which keeps the root away from 0 where a channel is constant

    Returns
    -------
    y : of x's shape
    mean, variance : (C,), float64

    Source: Ioffe, Szegedy 2015, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    algorithm 1 and section 3.2.
    """
    values = x.reshape(*x.shape[:2], -1).astype(np.float64)  # (N, C, H*W)
    mean = values.mean(axis=(0, 2))
    variance = ((values - mean[:, None]) ** 2).mean(axis=(0, 2))
    xh = (values - mean[:, None]) / np.sqrt(variance + eps)[:, None]
    y = gamma[:, None] * xh + beta[:, None]
    return y.reshape(x.shape).astype(x.dtype), mean, variance


def batch_norm_backward(
    dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, mean: np.ndarray, variance: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients with respect to x, gamma and beta; M values a channel, std = sqrt(variance + eps), xh = (x - mean) / std.

    dbeta[c] = sum of dy[n, c, i];  dgamma[c] = sum of dy[n, c, i] * xh[n, c, i]
    dx[n, c, i] = gamma[c] / std[c] * (dy[n, c, i] - dbeta[c] / M - xh[n, c, i] * dgamma[c] / M)

    The second term of dx comes through the mean, the third through the variance: each x moves both, and with them every y of
    its channel.

    Parameters
    ----------
    dy, x : (N, C) or (N, C, H, W)
    gamma, mean, variance : (C,), the latter two from ``batch_norm_forward``
    eps : float, as in ``batch_norm_forward``

    Returns
    -------
    dx, dgamma, dbeta : of the shapes of x, gamma and beta

    Source: as for ``batch_norm_forward``, section 3.
    """
    N, C = x.shape[:2]
    M, std = x.size // C, np.sqrt(variance + eps)[:, None]
    xh = (x.reshape(N, C, -1) - mean[:, None]) / std
    dy = dy.reshape(N, C, -1)
    dbeta = dy.sum(axis=(0, 2), dtype=np.float64)
    dgamma = (dy * xh).sum(axis=(0, 2), dtype=np.float64)
    dx = gamma[:, None] / std * (dy - dbeta[:, None] / M - xh * dgamma[:, None] / M)
    return dx.reshape(x.shape).astype(x.dtype), dgamma.astype(gamma.dtype), dbeta.astype(gamma.dtype)
