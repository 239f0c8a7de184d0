"""Lesson 5, exercise: batch normalisation, forward and backward, frozen, for pictures, and folded away; and its predecessor.

Fill in the functions, and as often as you like run

    minicnn check 5

Each function is a few lines. Arrays are float64; do not change the arrays you are given, return new ones, keep nothing from one
call to the next. N samples (or pictures), D features, C channels, H x W pixels, F filters of KH x KW. Most checks use a large
eps, so that it shows where you put it.
"""

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
    raise NotImplementedError("Lesson 5, task 1: batchnorm_forward")


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
    raise NotImplementedError("Lesson 5, task 2: batchnorm_backward_steps")


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
    raise NotImplementedError("Lesson 5, task 3: batchnorm_backward")


# ---- Task 4: frozen


def frozen_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, running_mean: np.ndarray, running_var: np.ndarray, eps: float
) -> np.ndarray:
    """Batch normalisation in inference, or frozen: the running statistics take the place of the batch's.

        y = gamma (x - running_mean) / sqrt(running_var + eps) + beta

    N may be 1 here: why not in task 1?

    x (N, D), gamma, beta, running_mean, running_var (D,)  ->  y (N, D)
    """
    raise NotImplementedError("Lesson 5, task 4: frozen_forward")


def frozen_backward(
    dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, running_mean: np.ndarray, running_var: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients that belong to frozen_forward. The statistics are constants now; ask again which ways lead from x to y.

    (A frozen layer uses dx alone. Saliency maps and gradient checks in eval mode want the other two as well.)

    dy, x (N, D), gamma, running_mean, running_var (D,)  ->  dx (N, D), dgamma (D,), dbeta (D,)
    """
    raise NotImplementedError("Lesson 5, task 4: frozen_backward")


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
    raise NotImplementedError("Lesson 5, task 5: batchnorm2d_forward")


def batchnorm2d_backward(
    dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients that belong to batchnorm2d_forward: task 3, where everything about the batch is about M = N H W values.

    dy, x (N, C, H, W), gamma (C,)  ->  dx (N, C, H, W), dgamma (C,), dbeta (C,)
    """
    raise NotImplementedError("Lesson 5, task 5: batchnorm2d_backward")


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
    raise NotImplementedError("Lesson 5, task 6: fold")


# ---- Task 7: local response normalisation


def lrn_forward(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """A strong response weakens those of the channels beside it, at the same pixel.

        scale[n, c, h, w] = k + (alpha / size) sum of x[n, m, h, w]^2 over m = c - size // 2, ..., c + size // 2
        y = x / scale^beta

    Channels that do not exist count as zero; size is odd, and may be more than C. (AlexNet's paper does not divide alpha by the
    size. Caffe, PyTorch and ONNX do, and so do we.)

    x (N, C, H, W)  ->  y (N, C, H, W)
    """
    raise NotImplementedError("Lesson 5, task 7: lrn_forward")


def lrn_backward(dy: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """The gradient that belongs to lrn_forward.

    x[m] goes into y[m] as its numerator, and into the scale of every y[c] whose window it is in, its own too. At each pixel:

        dx[m] = dy[m] / scale[m]^beta - 2 (alpha / size) beta x[m] * sum over c of dy[c] x[c] / scale[c]^(beta + 1)

    with c = m - size // 2, ..., m + size // 2: if m is in the window of c, then c is in the window of m.

    dy, x (N, C, H, W)  ->  dx (N, C, H, W)
    """
    raise NotImplementedError("Lesson 5, task 7: lrn_backward")
