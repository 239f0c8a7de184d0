"""The definition of every kernel, as plain loops over plain indices: no cleverness, and slow.

The fast kernels in the modules beside this one must give the same numbers, up to rounding; the tests compare them over many
shapes. Everything here is a direct reading of the equation in the docstring. ``pads`` is (top, bottom, left, right): the rows
and columns of zeros put around each picture.
"""

from __future__ import annotations

import numpy as np

# ---- convolution


def conv2d_forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """Convolution as neural networks mean it, which is cross-correlation: the kernel is not flipped.

    y[n, f, i, j] = b[f] + sum over c, p, q of x_padded[n, c0 + c, i*sh + p*dil_h, j*sw + q*dil_w] * w[f, c, p, q]

    for each sample n, filter f and position i < OH, j < OW, summed over the places p < KH, q < KW in the filter and the
    channels c < C / groups that it sees, those of its own group; c0 is the first of these.

    Parameters
    ----------
    x : (N, C, H, W)
    w : (F, C / groups, KH, KW)
    b : (F,) or None
    stride, dilation : (sh, sw), (dil_h, dil_w)
    pads : (top, bottom, left, right)

    Returns
    -------
    y : (N, F, OH, OW), OH = floor((H + top + bottom - dil_h*(KH-1) - 1) / sh) + 1, OW likewise
    """
    (F, channels, KH, KW), (sh, sw), (dil_h, dil_w) = w.shape, stride, dilation
    x_padded = _pad(x, pads)
    N, _, PH, PW = x_padded.shape
    OH, OW = (PH - dil_h * (KH - 1) - 1) // sh + 1, (PW - dil_w * (KW - 1) - 1) // sw + 1
    y = np.zeros((N, F, OH, OW), x.dtype)
    for n in range(N):
        for f in range(F):
            c0 = f // (F // groups) * channels
            for i in range(OH):
                for j in range(OW):
                    total = 0.0 if b is None else b[f]
                    for c in range(channels):
                        for p in range(KH):
                            for q in range(KW):
                                total += x_padded[n, c0 + c, i * sh + p * dil_h, j * sw + q * dil_w] * w[f, c, p, q]
                    y[n, f, i, j] = total
    return y


def conv2d_backward(
    dy: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of a loss L with respect to the convolution's input, weights and bias, from dy = dL/dy.

    Each y is a sum of products x * w, so dy reaches both factors of each product, times the other factor:

    dx_padded[n, c0 + c, i*sh + p*dil_h, j*sw + q*dil_w] += dy[n, f, i, j] * w[f, c, p, q]   (then cut off the padding)
    dw[f, c, p, q] += dy[n, f, i, j] * x_padded[n, c0 + c, i*sh + p*dil_h, j*sw + q*dil_w]
    db[f] += dy[n, f, i, j]

    Parameters
    ----------
    dy : (N, F, OH, OW)
    x, w, stride, pads, dilation, groups : as in ``conv2d_forward``

    Returns
    -------
    dx, dw, db : of the shapes of x, w and b
    """
    (F, channels, KH, KW), (sh, sw), (dil_h, dil_w) = w.shape, stride, dilation
    N, _, OH, OW = dy.shape
    (top, _, left, _), (H, W) = pads, x.shape[2:]
    x_padded = _pad(x, pads)
    dx_padded, dw, db = np.zeros_like(x_padded), np.zeros_like(w), np.zeros(F, w.dtype)
    for n in range(N):
        for f in range(F):
            c0 = f // (F // groups) * channels
            for i in range(OH):
                for j in range(OW):
                    db[f] += dy[n, f, i, j]
                    for c in range(channels):
                        for p in range(KH):
                            for q in range(KW):
                                at = n, c0 + c, i * sh + p * dil_h, j * sw + q * dil_w
                                dx_padded[at] += dy[n, f, i, j] * w[f, c, p, q]
                                dw[f, c, p, q] += dy[n, f, i, j] * x_padded[at]
    return dx_padded[:, :, top : top + H, left : left + W], dw, db


def _pad(x: np.ndarray, pads: tuple[int, int, int, int]) -> np.ndarray:
    """``x`` with zeros around each picture: (N, C, top + H + bottom, left + W + right)."""
    top, bottom, left, right = pads
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))


# ---- pooling


def max_pool2d_forward(
    x: np.ndarray,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """The largest value under each window.

    y[n, c, i, j] = max of x[n, c, h, w] over i*sh - top <= h < i*sh - top + KH and j*sw - left <= w < j*sw - left + KW,
    as far as h and w lie in the picture: padding never wins. Of several equal ones the first wins, row by row. NaN wins always;
    of several, the last.

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
    (N, C, H, W), (KH, KW), (sh, sw), (top, _, left, _) = x.shape, kernel, stride, pads
    y, winners = np.empty((N, C, *size), x.dtype), np.empty((N, C, *size), int)
    for n, c, i, j in np.ndindex(y.shape):
        best, winner = None, None
        for p in range(KH):
            for q in range(KW):
                h, w = i * sh - top + p, j * sw - left + q
                if 0 <= h < H and 0 <= w < W and (best is None or x[n, c, h, w] > best or np.isnan(x[n, c, h, w])):
                    best, winner = x[n, c, h, w], p * KW + q
        y[n, c, i, j], winners[n, c, i, j] = best, winner
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

    dx[n, c, i*sh - top + p, j*sw - left + q] += dy[n, c, i, j] with (p, q) from the winner, dx (N, C, H, W), input_size (H, W).
    """
    (N, C, OH, OW), (sh, sw), (top, _, left, _) = dy.shape, stride, pads
    dx = np.zeros((N, C, *input_size), dy.dtype)
    for n, c, i, j in np.ndindex(N, C, OH, OW):
        p, q = divmod(int(winners[n, c, i, j]), kernel[1])
        dx[n, c, i * sh - top + p, j * sw - left + q] += dy[n, c, i, j]
    return dx


def avg_pool2d_forward(
    x: np.ndarray,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    size: tuple[int, int],
    count_include_pad: bool,
) -> np.ndarray:
    """The sum over the pixels under each window divided by how many they are.

    Pixels of the padding (zeros) are counted if ``count_include_pad``; what a window covers beyond the padding never is.
    Parameters and shapes as in ``max_pool2d_forward``.
    """
    (N, C, H, W), (KH, KW), (sh, sw), (top, bottom, left, right) = x.shape, kernel, stride, pads
    y = np.empty((N, C, *size), x.dtype)
    for n, c, i, j in np.ndindex(y.shape):
        total, count = 0.0, 0
        for h in range(i * sh - top, min(i * sh - top + KH, H + bottom)):
            for w in range(j * sw - left, min(j * sw - left + KW, W + right)):
                if 0 <= h < H and 0 <= w < W:
                    total += x[n, c, h, w]
                    count += 1
                elif count_include_pad:
                    count += 1
        y[n, c, i, j] = total / count
    return y


def avg_pool2d_backward(
    dy: np.ndarray,
    input_size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    count_include_pad: bool,
) -> np.ndarray:
    """Each pixel under window (i, j) gets an equal share of dy[n, c, i, j]; dx (N, C, H, W) for ``input_size`` = (H, W)."""
    (N, C, OH, OW), (H, W), (KH, KW), (sh, sw), (top, bottom, left, right) = dy.shape, input_size, kernel, stride, pads
    dx = np.zeros((N, C, H, W), dy.dtype)
    for n, c, i, j in np.ndindex(N, C, OH, OW):
        under = [
            (h, w)
            for h in range(i * sh - top, min(i * sh - top + KH, H + bottom))
            for w in range(j * sw - left, min(j * sw - left + KW, W + right))
        ]
        inside = [(h, w) for h, w in under if 0 <= h < H and 0 <= w < W]
        for h, w in inside:
            dx[n, c, h, w] += dy[n, c, i, j] / len(under if count_include_pad else inside)
    return dx


def region_max_pool2d_forward(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest value of each region of the picture, where regions are not all of one size.

    y[n, c, i, j] = max of x[n, c, h, w] over rows[i, 0] <= h < rows[i, 1] and columns[j, 0] <= w < columns[j, 1]

    Of several equal ones the first wins, row by row. NaN wins always; of several, the last.

    Parameters
    ----------
    x : (N, C, H, W)
    rows, columns : (OH, 2), (OW, 2), int
        First row of each region, and the one after its last; within the picture, at least one row each. Columns likewise.

    Returns
    -------
    y : (N, C, OH, OW)
    winners : (N, C, OH, OW), int
        Which pixel of the picture each y came from, counted row by row: h * W + w.
    """
    (N, C, _, W), size = x.shape, (len(rows), len(columns))
    y, winners = np.empty((N, C, *size), x.dtype), np.empty((N, C, *size), int)
    for n, c, i, j in np.ndindex(y.shape):
        best, winner = None, None
        for h in range(*rows[i]):
            for w in range(*columns[j]):
                if best is None or x[n, c, h, w] > best or np.isnan(x[n, c, h, w]):
                    best, winner = x[n, c, h, w], h * W + w
        y[n, c, i, j], winners[n, c, i, j] = best, winner
    return y, winners


def region_max_pool2d_backward(dy: np.ndarray, winners: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
    """Each dy goes to the pixel that won, sums where one won several regions; dx (N, C, H, W) for ``input_size`` = (H, W)."""
    dx = np.zeros((*dy.shape[:2], *input_size), dy.dtype)
    for n, c, i, j in np.ndindex(dy.shape):
        h, w = divmod(int(winners[n, c, i, j]), input_size[1])
        dx[n, c, h, w] += dy[n, c, i, j]
    return dx


# ---- maxout


def maxout_forward(x: np.ndarray, pieces: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest of K channels side by side: y[n, c, ...] = max over k < K of x[n, c*K + k, ...], with K = ``pieces``.

    The first of equal ones wins. x (N, C*K, ...); returns y (N, C, ...), and which k won, of the same shape.
    """
    y = np.empty((x.shape[0], x.shape[1] // pieces, *x.shape[2:]), x.dtype)
    winners = np.empty(y.shape, int)
    for n, c, *place in np.ndindex(y.shape):
        values = [x[(n, c * pieces + k, *place)] for k in range(pieces)]
        winners[(n, c, *place)] = values.index(max(values))
        y[(n, c, *place)] = max(values)
    return y, winners


def maxout_backward(dy: np.ndarray, winners: np.ndarray, pieces: int) -> np.ndarray:
    """dx[n, c*K + k, ...] = dy[n, c, ...] where k won, else 0; dx (N, C*K, ...)."""
    dx = np.zeros((dy.shape[0], dy.shape[1] * pieces, *dy.shape[2:]), dy.dtype)
    for n, c, *place in np.ndindex(dy.shape):
        dx[(n, c * pieces + winners[(n, c, *place)], *place)] = dy[(n, c, *place)]
    return dx


# ---- batch normalisation


def batch_norm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each channel shifted and scaled to mean beta and standard deviation |gamma| (up to eps) over the batch.

    mean[c] = average of x[n, c, i] over n and i;  variance[c] = average of (x[n, c, i] - mean[c])^2
    y[n, c, i] = gamma[c] * (x[n, c, i] - mean[c]) / sqrt(variance[c] + eps) + beta[c]

    Parameters
    ----------
    x : (N, C) or (N, C, H, W); i above runs over all places (h, w)
    gamma, beta : (C,)
    eps : float, which keeps the root away from 0 where a channel is constant

    Returns
    -------
    y : of x's shape
    mean, variance : (C,), float64
    """
    C = x.shape[1]
    mean, variance = np.empty(C), np.empty(C)
    for c in range(C):
        values = [float(value) for value in x[:, c].flat]
        mean[c] = sum(values) / len(values)
        variance[c] = sum((value - mean[c]) ** 2 for value in values) / len(values)
    return running_norm_forward(x, gamma, beta, mean, variance, eps), mean, variance


def running_norm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, variance: np.ndarray, eps: float
) -> np.ndarray:
    """The same y with a mean and variance that are given, not the batch's own."""
    y = np.empty_like(x)
    for n in range(len(x)):
        for c in range(x.shape[1]):
            y[n, c] = gamma[c] * (x[n, c] - mean[c]) / np.sqrt(variance[c] + eps) + beta[c]
    return y


def batch_norm_backward(
    dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, mean: np.ndarray, variance: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients with respect to x, gamma and beta; M values a channel, std = sqrt(variance + eps), xh = (x - mean) / std.

    dbeta[c] = sum of dy[n, c, i];  dgamma[c] = sum of dy[n, c, i] * xh[n, c, i]
    dx[n, c, i] = gamma[c] / std[c] * (dy[n, c, i] - dbeta[c] / M - xh[n, c, i] * dgamma[c] / M)

    The second term of dx comes through the mean, the third through the variance: each x moves both, and with them every y of
    its channel.
    """
    dx, dgamma, dbeta = np.empty_like(x), np.zeros_like(gamma), np.zeros_like(gamma)
    for c in range(x.shape[1]):
        std, M = np.sqrt(variance[c] + eps), x[:, c].size
        xh = (x[:, c] - mean[c]) / std
        for at in np.ndindex(xh.shape):
            dbeta[c] += dy[:, c][at]
            dgamma[c] += dy[:, c][at] * xh[at]
        for at in np.ndindex(xh.shape):
            dx[:, c][at] = gamma[c] / std * (dy[:, c][at] - dbeta[c] / M - xh[at] * dgamma[c] / M)
    return dx, dgamma, dbeta


def running_norm_backward(
    dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, mean: np.ndarray, variance: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same gradients where mean and variance are given: nothing flows through them, and dx = dy * gamma / std."""
    dx, dgamma, dbeta = np.empty_like(x), np.zeros_like(gamma), np.zeros_like(gamma)
    for n in range(len(x)):
        for c in range(x.shape[1]):
            std = np.sqrt(variance[c] + eps)
            dx[n, c] = dy[n, c] * gamma[c] / std
            dgamma[c] += np.sum(dy[n, c] * (x[n, c] - mean[c]) / std)
            dbeta[c] += np.sum(dy[n, c])
    return dx, dgamma, dbeta


# ---- normalisation over neighbouring channels


def local_response_norm_forward(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """Each value divided by a measure of how much goes on in the channels around it.

    scale[n, c, h, w] = k + alpha / size * sum of x[n, m, h, w]^2 over the channels m from c - size // 2 to c + size // 2,
    as far as there are any;  y = x / scale^beta.  x (N, C, H, W), size odd.
    """
    y = np.empty_like(x)
    for n, c, h, w in np.ndindex(x.shape):
        y[n, c, h, w] = x[n, c, h, w] / _response(x, n, c, h, w, size, alpha, k) ** beta
    return y


def local_response_norm_backward(dy: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """The gradient with respect to x: each x is the numerator of its own y, and in the scale of every y around it.

    dx[m] = dy[m] / scale[m]^beta - 2 * alpha / size * beta * x[m] * sum of dy[c] * x[c] / scale[c]^(beta + 1)
    over the channels c whose window has m in it, all at the same (n, h, w).
    """
    dx = np.zeros_like(x)
    for n, c, h, w in np.ndindex(x.shape):
        scale = _response(x, n, c, h, w, size, alpha, k)
        dx[n, c, h, w] += dy[n, c, h, w] / scale**beta
        for m in _around(c, size, x.shape[1]):
            through_scale = dy[n, c, h, w] * x[n, c, h, w] * -beta * scale ** (-beta - 1)
            dx[n, m, h, w] += through_scale * alpha / size * 2 * x[n, m, h, w]
    return dx


def _around(c: int, size: int, C: int) -> range:
    """The channels in the window of channel c."""
    return range(max(c - size // 2, 0), min(c + size // 2 + 1, C))


def _response(x: np.ndarray, n: int, c: int, h: int, w: int, size: int, alpha: float, k: float) -> float:
    """``scale`` above, in float64."""
    return k + alpha / size * sum(float(x[n, m, h, w]) ** 2 for m in _around(c, size, x.shape[1]))
