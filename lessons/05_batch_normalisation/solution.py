"""Lesson 5, solution: one way to write it. Try exercise.py first."""

import numpy as np

# ---- Task 1: forward, in training


def batchnorm_forward(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    momentum: float,
    eps: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each feature is normalised with the mean and variance of this batch, then scaled and shifted; running averages move.

        mean[d]     = (1/N) sum over n of x[n, d]
        variance[d] = (1/N) sum over n of (x[n, d] - mean[d])^2
        xh[n, d]    = (x[n, d] - mean[d]) / sqrt(variance[d] + eps)
        y[n, d]     = gamma[d] xh[n, d] + beta[d]

        new running_mean = (1 - momentum) running_mean + momentum mean
        new running_var  = (1 - momentum) running_var  + momentum variance N / (N - 1)

    Momentum is the weight of the new batch. What is averaged is the unbiased variance (divided by N - 1), as in PyTorch; what
    normalises is the biased one. Some x are around 10,000,000: squares of those have no digits left for a variance of 1.

    x (N, D), N at least 2; gamma, beta, running_mean, running_var (D,)  ->  y (N, D), the new running_mean and running_var (D,)
    """
    N = len(x)
    mean = x.mean(axis=0)
    variance = ((x - mean) ** 2).mean(axis=0)
    y = gamma * (x - mean) / np.sqrt(variance + eps) + beta
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * variance * N / (N - 1)
    return y, new_mean, new_var


# ---- Task 2: backward, step by step


def batchnorm_backward_steps(
    dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All gradients of batch normalisation in training, by walking back through its computational graph.

    Forward, with one name for each step:

        mean = (1/N) sum of x;  c = x - mean;  variance = (1/N) sum of c^2
        s = sqrt(variance + eps);  xh = c / s;  y = gamma xh + beta

    Backward, each step from the ones before it (sums are over n, for each feature d):

        dbeta     = sum of dy
        dgamma    = sum of dy xh
        dxh       = gamma dy
        dvariance = sum of dxh c * (-1/2) (variance + eps)^(-3/2)
        dc        = dxh / s + dvariance * 2 c / N          (c goes two ways: into xh, and into the variance)
        dmean     = -sum of dc
        dx        = dc + dmean / N                         (x goes two ways: into c, and into the mean)

    dy, x (N, D), gamma (D,)  ->  dx (N, D), dgamma, dbeta, dvariance, dmean, each (D,)

    The checker looks at dvariance and dmean too, so that it can say which step went wrong.
    """
    N = len(x)
    c = x - x.mean(axis=0)
    variance = (c**2).mean(axis=0)
    s = np.sqrt(variance + eps)
    xh = c / s
    dbeta = dy.sum(axis=0)
    dgamma = (dy * xh).sum(axis=0)
    dxh = gamma * dy
    dvariance = (dxh * c).sum(axis=0) * -0.5 * (variance + eps) ** -1.5
    dc = dxh / s + dvariance * 2 * c / N
    dmean = -dc.sum(axis=0)
    dx = dc + dmean / N
    return dx, dgamma, dbeta, dvariance, dmean


# ---- Task 3: backward, in closed form


def batchnorm_backward(
    dy: np.ndarray, xh: np.ndarray, gamma: np.ndarray, std: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same gradients, simplified on paper, from nothing but what a layer would keep: xh and std = sqrt(variance + eps).

    With means over the N samples of the batch, for each feature,

        dx = gamma / std * (dy - mean of dy - xh * mean of (dy xh))

    The second term came through the mean, the third through the variance. dgamma and dbeta are as in task 2.

    dy, xh (N, D), gamma, std (D,)  ->  dx (N, D), dgamma (D,), dbeta (D,)
    """
    dx = gamma / std * (dy - dy.mean(axis=0) - xh * (dy * xh).mean(axis=0))
    return dx, (dy * xh).sum(axis=0), dy.sum(axis=0)


# ---- Task 4: frozen


def frozen_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, running_mean: np.ndarray, running_var: np.ndarray, eps: float
) -> np.ndarray:
    """Batch normalisation in inference, or frozen: the running statistics take the place of the batch's.

        y = gamma (x - running_mean) / sqrt(running_var + eps) + beta

    N may be 1 here: why not in task 1?

    x (N, D), gamma, beta, running_mean, running_var (D,)  ->  y (N, D)
    """
    return gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta


def frozen_backward(
    dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, running_mean: np.ndarray, running_var: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients that belong to frozen_forward. The statistics are constants now; ask again which ways lead from x to y.

    (A frozen layer uses dx alone. Saliency maps and gradient checks in eval mode want the other two as well.)

    dy, x (N, D), gamma, running_mean, running_var (D,)  ->  dx (N, D), dgamma (D,), dbeta (D,)
    """
    std = np.sqrt(running_var + eps)
    xh = (x - running_mean) / std
    return dy * gamma / std, (dy * xh).sum(axis=0), dy.sum(axis=0)


# ---- Task 5: pictures


def batchnorm2d_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Batch normalisation of maps: a filter is the same at all pixels, so each channel has one mean and one variance.

        mean[c]     = (1/M) sum over n, h, w of x[n, c, h, w]                     with M = N H W
        variance[c] = (1/M) sum over n, h, w of (x[n, c, h, w] - mean[c])^2
        y[n, c, h, w] = gamma[c] (x[n, c, h, w] - mean[c]) / sqrt(variance[c] + eps) + beta[c]

    x (N, C, H, W), gamma, beta (C,)  ->  y (N, C, H, W), mean (C,), variance (C,)

    An array (C,) meets (N, C, H, W) at the wrong end: a[:, None, None] has the axes that it needs.
    """
    mean = x.mean(axis=(0, 2, 3))
    centred = x - mean[:, None, None]
    variance = (centred**2).mean(axis=(0, 2, 3))
    y = (gamma / np.sqrt(variance + eps))[:, None, None] * centred + beta[:, None, None]
    return y, mean, variance


def batchnorm2d_backward(
    dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients that belong to batchnorm2d_forward: task 3, where everything about the batch is about M = N H W values.

    dy, x (N, C, H, W), gamma (C,)  ->  dx (N, C, H, W), dgamma (C,), dbeta (C,)
    """
    everything = (0, 2, 3)
    centred = x - x.mean(axis=everything, keepdims=True)
    std = np.sqrt((centred**2).mean(axis=everything, keepdims=True) + eps)
    xh = centred / std
    mean_dy, mean_dy_xh = dy.mean(axis=everything, keepdims=True), (dy * xh).mean(axis=everything, keepdims=True)
    dx = gamma[:, None, None] / std * (dy - mean_dy - xh * mean_dy_xh)
    return dx, (dy * xh).sum(axis=everything), dy.sum(axis=everything)


# ---- Task 6: folded into the convolution before it


def fold(
    w: np.ndarray,
    b: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    eps: float,
) -> tuple[np.ndarray, np.ndarray]:
    """A convolution that gives at once what convolution and batch normalisation give in inference, one after the other.

    For every picture x, with * for the convolution,

        w2 * x + b2  =  gamma (w * x + b - running_mean) / sqrt(running_var + eps) + beta

    Solve for w2 and b2.

    w (F, C, KH, KW), b, gamma, beta, running_mean, running_var (F,)  ->  w2 (F, C, KH, KW), b2 (F,)
    """
    scale = gamma / np.sqrt(running_var + eps)
    return w * scale[:, None, None, None], scale * (b - running_mean) + beta


# ---- Task 7: local response normalisation


def lrn_forward(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """A strong response weakens those of the channels beside it, at the same pixel.

        scale[n, c, h, w] = k + (alpha / size) sum of x[n, m, h, w]^2 over m = c - size // 2, ..., c + size // 2
        y = x / scale^beta

    Channels that do not exist count as zero; size is odd, and may be more than C. (AlexNet's paper does not divide alpha by the
    size. Caffe, PyTorch and ONNX do, and so do we.)

    x (N, C, H, W)  ->  y (N, C, H, W)
    """
    return x / _scale(x, size, alpha, k) ** beta


def lrn_backward(dy: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """The gradient that belongs to lrn_forward.

    x[m] goes into y[m] as its numerator, and into the scale of every y[c] whose window it is in, its own too. At each pixel:

        dx[m] = dy[m] / scale[m]^beta - 2 (alpha / size) beta x[m] * sum over c of dy[c] x[c] / scale[c]^(beta + 1)

    with c = m - size // 2, ..., m + size // 2: if m is in the window of c, then c is in the window of m.

    dy, x (N, C, H, W)  ->  dx (N, C, H, W)
    """
    scale = _scale(x, size, alpha, k)
    shares = _sum_over_windows(dy * x / scale ** (beta + 1), size)
    return dy / scale**beta - 2 * alpha / size * beta * x * shares


def _scale(x: np.ndarray, size: int, alpha: float, k: float) -> np.ndarray:
    return k + alpha / size * _sum_over_windows(x**2, size)


def _sum_over_windows(values: np.ndarray, size: int) -> np.ndarray:
    """At each channel c the sum of values over the channels from c - size // 2 to c + size // 2, as far as there are any."""
    half, C = size // 2, values.shape[1]
    return np.stack([values[:, max(c - half, 0) : c + half + 1].sum(axis=1) for c in range(C)], axis=1)
