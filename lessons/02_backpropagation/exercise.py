"""Lesson 2, exercise: write the layers of a small convolutional network, forward and backward, and a test for them.

Fill in the functions, and as often as you like run

    minicnn check 2

Each function is a few lines. Arrays are float64; do not change the arrays you are given, return new ones.
N pictures (or samples), D inputs, M outputs, C channels, H x W pixels, F filters of KH x KW.
"""

from collections.abc import Callable

import numpy as np

# ---- Task 1: the fully connected layer


def linear_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y[n, m] = b[m] + sum over d of x[n, d] w[m, d], that is y = x w^T + b.

    x (N, D), w (M, D), b (M,)  ->  y (N, M)
    """
    raise NotImplementedError("Lesson 2, task 1: linear_forward")


def linear_backward(dy: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of the loss with respect to x, w and b, given dy = dL/dy.

    By the chain rule, each entry collects a share from every output that it had a part in:

        dx[n, d] = sum over m of dy[n, m] w[m, d]
        dw[m, d] = sum over n of dy[n, m] x[n, d]
        db[m]    = sum over n of dy[n, m]

    dy (N, M), x (N, D), w (M, D)  ->  dx (N, D), dw (M, D), db (M,)

    Two matrix products and a sum. When in doubt which is transposed, let the shapes decide.
    """
    raise NotImplementedError("Lesson 2, task 1: linear_backward")


# ---- Task 2: ReLU


def relu_forward(x: np.ndarray) -> np.ndarray:
    """y = max(0, x), element by element. x of any shape -> y of the same shape."""
    raise NotImplementedError("Lesson 2, task 2: relu_forward")


def relu_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx = dy where x > 0, and 0 elsewhere. dy and x of any one shape -> dx of that shape."""
    raise NotImplementedError("Lesson 2, task 2: relu_backward")


# ---- Task 3: softmax and cross-entropy


def softmax_cross_entropy(scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The loss, a mean over the samples, and its gradient with respect to the scores.

        p[n, k] = exp(scores[n, k]) / sum over j of exp(scores[n, j])
        loss    = -(1/N) sum over n of log p[n, y[n]]
        dscores[n, k] = (p[n, k] - [k = y[n]]) / N          ([...] is 1 where true, else 0)

    scores (N, K), y (N,) integers 0..K-1  ->  loss (float), dscores (N, K)

    Scores of 1000 and -1000 must work as well: exp(1000) is infinite, but subtracting the same number from all scores of a
    sample changes nothing in p. And where p underflows to 0 its logarithm must not be taken: write log p as a difference.
    """
    raise NotImplementedError("Lesson 2, task 3: softmax_cross_entropy")


# ---- Task 4: convolution, forward


def conv2d_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: int, pad: int) -> np.ndarray:
    """Convolution as networks mean it: the filter is laid on the picture as it is, not flipped.

        xp = x with `pad` rows and columns of zeros on all four sides
        y[n, f, i, j] = b[f] + sum over c, p, q of xp[n, c, i*stride + p, j*stride + q] w[f, c, p, q]

    x (N, C, H, W), w (F, C, KH, KW), b (F,)  ->  y (N, F, OH, OW)
    with OH = (H + 2 pad - KH) // stride + 1, and OW likewise.

    Loops over i and j are enough, if NumPy does the rest; seven nested loops are right as well. np.pad makes the border.
    """
    raise NotImplementedError("Lesson 2, task 4: conv2d_forward")


# ---- Task 5: convolution, backward


def conv2d_backward(
    dy: np.ndarray, x: np.ndarray, w: np.ndarray, stride: int, pad: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients with respect to x, w and b.

    Every product xp * w that went into y[n, f, i, j] hands dy[n, f, i, j] back to both of its factors:

        dxp[n, c, i*stride + p, j*stride + q] += dy[n, f, i, j] w[f, c, p, q]
        dw[f, c, p, q]                        += dy[n, f, i, j] xp[n, c, i*stride + p, j*stride + q]
        db[f]                                 += dy[n, f, i, j]

    and dx is dxp without its border.

    dy (N, F, OH, OW), x (N, C, H, W), w (F, C, KH, KW)  ->  dx, dw, db of the shapes of x, w, b
    """
    raise NotImplementedError("Lesson 2, task 5: conv2d_backward")


# ---- Task 6: find the faulty one


def gradient_is_right(
    forward: Callable[[np.ndarray], np.ndarray],
    backward: Callable[[np.ndarray, np.ndarray], np.ndarray],
    x: np.ndarray,
    rng: np.random.Generator,
) -> bool:
    """Whether backward(dy, x) is the gradient that belongs to forward(x), found out by numeric differentiation.

    Draw an upstream gradient r of the shape of y = forward(x); then L(x) = sum(r * forward(x)) is one number, and

        dL/dx[i]  =  ( L(x + h e_i) - L(x - h e_i) ) / (2 h)        for every i, up to about h^2

    must be what backward(r, x) says, compared *relative* to the size of the gradient: one that is a millionth everywhere
    may be right or wrong like any other. The checker shows you right layers and faulty ones, wrong by 5 % or more. Among
    them is one that no r of equal entries can tell from a right one (why?), some that are wrong in a single entry, and inputs
    of integer type.

    forward: x -> y, backward: (dy, x) -> dx; x of any shape  ->  True or False
    """
    raise NotImplementedError("Lesson 2, task 6: gradient_is_right")
