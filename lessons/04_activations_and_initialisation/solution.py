"""Lesson 4, solution: one way to write it. Try exercise.py first."""

import numpy as np

# ---- Task 1: sigmoid and tanh, for numbers of any size


def sigmoid_forward(x: np.ndarray) -> np.ndarray:
    """y = 1 / (1 + exp(-x)), element by element. x of any shape -> y of the same shape.

    Without overflow: x of 1000 and of -1000 must work, and NumPy must have nothing to warn of. exp(1000) is infinite; so take
    the exponential only of numbers that are not positive. Two forms of the same function help, the one above for x >= 0 and

        y = exp(x) / (1 + exp(x))      for x < 0

    Beware: np.where(condition, a, b) computes a and b everywhere, and chooses afterwards.
    """
    small = np.exp(-np.abs(x))  # at most 1
    return np.where(x >= 0, 1, small) / (1 + small)


def sigmoid_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dx = dy * y (1 - y): the slope from the output y = sigmoid(x) alone. dy and y of one shape -> dx of that shape."""
    return dy * y * (1 - y)


def tanh_forward(x: np.ndarray) -> np.ndarray:
    """y = (exp(x) - exp(-x)) / (exp(x) + exp(-x)), element by element. x of any shape -> y of the same shape.

    Without overflow, as above. np.tanh is as good as a form of your own; tanh(x) = 2 sigmoid(2x) - 1 is one.
    """
    return 2 * sigmoid_forward(2 * x) - 1


def tanh_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dx = dy * (1 - y^2), from the output y = tanh(x) alone. dy and y of one shape -> dx of that shape."""
    return dy * (1 - y * y)


# ---- Task 2: leaky ReLU and ELU


def leaky_relu_forward(x: np.ndarray, slope: float) -> np.ndarray:
    """y = x where x > 0, and slope * x elsewhere. x of any shape, 0 < slope < 1 -> y of the same shape."""
    return np.where(x > 0, x, slope * x)


def leaky_relu_backward(dy: np.ndarray, x: np.ndarray, slope: float) -> np.ndarray:
    """dx = dy where x > 0, and slope * dy elsewhere (at x = 0 as well). dy and x of one shape -> dx of that shape."""
    return np.where(x > 0, dy, slope * dy)


def elu_forward(x: np.ndarray, alpha: float) -> np.ndarray:
    """y = x where x > 0, and alpha * (exp(x) - 1) elsewhere. x of any shape, alpha > 0 -> y of the same shape.

    Without overflow, as in task 1: where x is large, exp(x) is not wanted, and must not be computed.
    """
    return np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1))


def elu_backward(dy: np.ndarray, x: np.ndarray, alpha: float) -> np.ndarray:
    """dx = dy where x > 0, and dy * alpha * exp(x) elsewhere (at x = 0 as well). Without overflow.

    dy and x of one shape -> dx of that shape
    """
    return np.where(x > 0, dy, dy * alpha * np.exp(np.minimum(x, 0)))


# ---- Task 3: maxout


def maxout_forward(x: np.ndarray, K: int) -> np.ndarray:
    """The largest of each K features or channels side by side: y[n, c] = max over k < K of x[n, c*K + k].

    x (N, C*K) -> y (N, C); and of pictures, pixel by pixel, x (N, C*K, H, W) -> y (N, C, H, W)
    """
    return x.reshape(len(x), -1, K, *x.shape[2:]).max(axis=2)


def maxout_backward(dy: np.ndarray, x: np.ndarray, K: int) -> np.ndarray:
    """dx is dy at the one of the K that won, and 0 at the others. Of equal ones the first wins.

        dx[n, c*K + k] = dy[n, c] if k is the first of c's pieces at which x[n, c*K + k] = y[n, c], else 0

    dy (N, C) and x (N, C*K) -> dx (N, C*K); or dy (N, C, H, W) and x (N, C*K, H, W) -> dx (N, C*K, H, W)
    """
    pieces = x.reshape(len(x), -1, K, *x.shape[2:])
    winner = np.expand_dims(pieces.argmax(axis=2), 2)  # of equal ones, argmax takes the first
    dx = np.zeros(pieces.shape)
    np.put_along_axis(dx, winner, np.expand_dims(dy, 2), axis=2)
    return dx.reshape(x.shape)


# ---- Task 4: GELU


def gelu_forward(x: np.ndarray) -> np.ndarray:
    """GELU by a tanh, element by element:

        y = x (1 + t) / 2      with t = tanh(c (x + a x^3)), c = sqrt(2 / pi), a = 0.044715

    x of any shape -> y of the same shape
    """
    t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    return x * (1 + t) / 2


def gelu_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx = dy * dy/dx. x is in y twice, in front and inside t: differentiate the product.

        dt/dx = (1 - t^2) * (the derivative of what is inside the tanh)

    dy and x of one shape -> dx of that shape
    """
    c, a = np.sqrt(2 / np.pi), 0.044715
    t = np.tanh(c * (x + a * x**3))
    slope_of_t = (1 - t * t) * c * (1 + 3 * a * x * x)
    return dy * ((1 + t) / 2 + x * slope_of_t / 2)


# ---- Task 5: how weights start


def xavier_std(shape: tuple[int, ...]) -> float:
    """The standard deviation of Xavier's start (Glorot and Bengio 2010, equation 12): the variance is 2 / (fan_in + fan_out).

    fan_in is the number of inputs that one output is summed from, fan_out that of the outputs which one input goes into:

        (M, D), a linear layer of D inputs and M outputs:  fan_in = D,          fan_out = M
        (F, C, KH, KW), F filters over C channels:         fan_in = C * KH*KW,  fan_out = F * KH*KW
    """
    pixels = np.prod(shape[2:])  # of a filter; 1 for a linear layer
    return float(np.sqrt(2 / (shape[1] * pixels + shape[0] * pixels)))


def msra_std(shape: tuple[int, ...]) -> float:
    """The standard deviation of MSRA's start (He et al. 2015, equation 10): the variance is 2 / fan_in.

    Shapes and fan_in are those of xavier_std.
    """
    return float(np.sqrt(2 / np.prod(shape[1:])))


def draw_weights(shape: tuple[int, ...], std: float, rng: np.random.Generator) -> np.ndarray:
    """Weights from a normal distribution with mean 0 and this standard deviation, drawn from rng: float64, of this shape."""
    return std * rng.standard_normal(shape)


# ---- Task 6: whitening by principal components


def whiten(train: np.ndarray, test: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Whitened training and test data; everything is measured on the training data, and applied to both.

        C = sum over n of (x_n - mean) (x_n - mean)^T / N  =  U diag(l) U^T      of the training data
        y = U diag(1 / sqrt(l + eps)) U^T (x - mean)                             of each sample x

    In words: take away the mean; turn into the coordinates of the principal components, the columns of U; divide each by the
    square root of its variance plus eps; and turn back. (np.linalg.eigh gives l and U. Turning back makes the answer unique:
    it depends neither on the order of the components nor on their signs. This is ZCA, a rotation away from PCA whitening.)

    train (N, D) with N > D, test (M, D), eps > 0  ->  whitened train (N, D), whitened test (M, D)
    """
    mean = train.mean(axis=0)
    covariance = (train - mean).T @ (train - mean) / len(train)
    variances, U = np.linalg.eigh(covariance)
    turn_scale_and_turn_back = U / np.sqrt(variances + eps) @ U.T
    return (train - mean) @ turn_scale_and_turn_back, (test - mean) @ turn_scale_and_turn_back


# ---- Task 7: dead units


def dead_share(y: np.ndarray) -> float:
    """The share of units that are dead: 0 for every sample. y are outputs of a layer of ReLUs, none of them negative.

    A unit is a column of (N, D). In (N, C, H, W) it is a channel, dead only if it is 0 at every pixel of every sample, for all
    of them share its weights.

    y (N, D) or (N, C, H, W)  ->  a number from 0 to 1
    """
    everything_but_units = (0, *range(2, y.ndim))
    return float((y == 0).all(axis=everything_but_units).mean())
