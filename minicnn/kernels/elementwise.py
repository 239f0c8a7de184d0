"""Functions applied to each element alone: the activations, forward and backward, and the sum of two arrays.

Each computes the equation in its docstring, a line of NumPy; what is added to that is a single pass over memory, in all
threads. Backward works from y = f(x), not from x: y is what the layer above remembers anyway, and each slope but that of GELU
can be read from it. The comparisons are arranged so that a NaN in x fails them and is passed on to y, and from y to dx, and no
``fastmath`` lets the compiler assume that there are none. Where the slope is 0 by definition, dx is 0 whatever dy is.

Maps are gone through in the order of their memory; results lie channels last if any of the inputs does (see ``layout``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..runtime.compilation import loop
from ..runtime.parallel import new_array, parallel_for, serial_if
from .layout import channels_first, channels_last, contiguous, is_channels_last

NO_CLIP = (-math.inf, math.inf)  # (low, high) of min(max(y, low), high)

GELU_CONSTANTS = (math.sqrt(2 / math.pi), 0.044715)  # c and a of tanh(c (x + a x^3))

SERIAL_BELOW_ELEMENTS = 1 << 14  # waking other threads would take longer than the work
CACHED_ELEMENTS = 1 << 12  # what is gone over several times stays in the first-level cache


def relu_forward(x: np.ndarray) -> np.ndarray:
    """y = max(x, 0), of x's shape and dtype."""
    return _apply(_relu, x)


def relu_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dx = dy where y > 0, else 0."""
    return _apply(_relu_gradient, dy, y)


def relu6_forward(x: np.ndarray) -> np.ndarray:
    """y = min(max(x, 0), 6)."""
    return _apply(_relu6, x, constants=(6,))


def relu6_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dx = dy where 0 < y < 6, else 0."""
    return _apply(_relu6_gradient, dy, y, constants=(6,))


def leaky_relu_forward(x: np.ndarray, slope: float) -> np.ndarray:
    """y = x where x > 0, else slope * x."""
    return _apply(_leaky_relu, x, constants=(slope,))


def leaky_relu_backward(dy: np.ndarray, y: np.ndarray, slope: float) -> np.ndarray:
    """dx = dy where y > 0, else slope * dy; y > 0 exactly where x > 0, as slope >= 0."""
    return _apply(_leaky_relu_gradient, dy, y, constants=(slope,))


def elu_forward(x: np.ndarray, alpha: float) -> np.ndarray:
    """y = x where x > 0, else alpha * (exp(x) - 1)."""
    return _apply(_elu, x, constants=(alpha,))


def elu_backward(dy: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    """dx = dy where y > 0, else dy * (y + alpha); y + alpha = alpha * exp(x), the slope there."""
    return _apply(_elu_gradient, dy, y, constants=(alpha,))


def sigmoid_forward(x: np.ndarray) -> np.ndarray:
    """y = 1 / (1 + exp(-x)), without overflow."""
    return _apply(_sigmoid, x)


def sigmoid_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dx = dy * y * (1 - y)."""
    return _apply(_sigmoid_gradient, dy, y)


def tanh_forward(x: np.ndarray) -> np.ndarray:
    """y = tanh(x)."""
    return _apply(_tanh, x)


def tanh_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dx = dy * (1 - y^2)."""
    return _apply(_tanh_gradient, dy, y)


def gelu_forward(x: np.ndarray) -> np.ndarray:
    """y = x (1 + t) / 2, with t = tanh(sqrt(2 / pi) (x + 0.044715 x^3))."""
    return _apply(_gelu, x, constants=GELU_CONSTANTS)


def gelu_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx = dy ((1 + t) + x (1 - t^2) sqrt(2 / pi) (1 + 3 * 0.044715 x^2)) / 2. It works from x: two x can have the same y."""
    return _apply(_gelu_gradient, dy, x, constants=GELU_CONSTANTS)


def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a + b, of equal shapes."""
    return _apply(_add, a, b)


def join_channels(parts: Sequence[np.ndarray]) -> np.ndarray:
    """np.concatenate(parts, axis=1): (N, C_1 + C_2 + ..., ...) of parts (N, C_i, ...), whose other sizes are equal.

    It lies channels last, whatever the parts do.
    """
    ends = np.cumsum([part.shape[1] for part in parts]).tolist()
    N, _, *picture = parts[0].shape
    y = np.moveaxis(new_array((N, *picture, ends[-1]), parts[0].dtype), -1, 1)

    def copy(start: int, stop: int) -> None:
        for index in range(start, stop):
            n, i = divmod(index, len(parts))
            y[n, ends[i] - parts[i].shape[1] : ends[i]] = parts[i][n]

    with serial_if(y.size < SERIAL_BELOW_ELEMENTS):
        parallel_for(N * len(parts), copy)
    return y


def _apply(loop: Callable, *inputs: np.ndarray, constants: tuple[float, ...] = ()) -> np.ndarray:
    """What the loop makes of each element of the inputs, which have one shape."""
    order = channels_last if any(map(is_channels_last, inputs)) else contiguous
    arrays = [order(array) for array in inputs]
    y = new_array(arrays[0].shape, arrays[0].dtype)
    run_over(loop, (*arrays, y), constants)
    return channels_first(y) if order is channels_last else y


def run_over(loop: Callable, arrays: tuple[np.ndarray, ...], constants: tuple[float, ...] = ()) -> None:
    """Split the flattened arrays, which are contiguous, into ranges, and call ``loop(*ranges, *constants)`` for each of them.

    The loop changes the arrays in place.
    """
    flat, number = [array.reshape(-1) for array in arrays], arrays[0].dtype.type
    constants = tuple(number(constant) for constant in constants)  # else float32 would be computed in float64

    def body(start: int, stop: int) -> None:
        loop(*(array[start:stop] for array in flat), *constants)

    with serial_if(flat[0].size < SERIAL_BELOW_ELEMENTS):
        parallel_for(flat[0].size, body)


@loop
def _relu(x, y):
    for i in range(x.size):
        if x[i] <= 0:
            y[i] = 0
        else:
            y[i] = x[i]


@loop
def _relu_gradient(dy, y, dx):
    for i in range(dx.size):
        if y[i] > 0:
            dx[i] = dy[i]
        else:
            dx[i] = y[i]  # 0 or NaN


@loop
def _relu6(x, y, six):
    for i in range(x.size):
        capped = six if x[i] >= six else x[i]  # one choice after the other: that the vector unit can do
        if capped <= 0:
            y[i] = 0
        else:
            y[i] = capped


@loop
def _relu6_gradient(dy, y, dx, six):
    for i in range(dx.size):
        inside = dy[i] if y[i] > 0 else y[i]  # y is 0 or NaN
        if y[i] >= six:
            dx[i] = 0
        else:
            dx[i] = inside


@loop
def _leaky_relu(x, y, slope):
    for i in range(x.size):
        if x[i] <= 0:
            y[i] = slope * x[i]
        else:
            y[i] = x[i]


@loop
def _leaky_relu_gradient(dy, y, dx, slope):
    for i in range(dx.size):
        if y[i] <= 0:
            dx[i] = slope * dy[i]
        else:
            dx[i] = dy[i] if y[i] > 0 else y[i]  # NaN


@loop
def _elu(x, y, alpha):
    for i in range(x.size):
        if x[i] <= 0:
            y[i] = alpha * math.expm1(x[i])  # exp(x) - 1 would lose the digits of a small x
        else:
            y[i] = x[i]


@loop
def _elu_gradient(dy, y, dx, alpha):
    for i in range(dx.size):
        if y[i] <= 0:
            dx[i] = dy[i] * (y[i] + alpha)
        else:
            dx[i] = dy[i] if y[i] > 0 else y[i]  # NaN


@loop
def _sigmoid(x, y):
    for i in range(x.size):
        small = math.exp(-abs(x[i]))  # at most 1, so it cannot overflow
        if x[i] >= 0:
            y[i] = 1 / (1 + small)
        else:
            y[i] = small / (1 + small)


@loop
def _sigmoid_gradient(dy, y, dx):
    for i in range(dx.size):
        dx[i] = dy[i] * y[i] * (1 - y[i])


@loop
def _add(a, b, total):
    for i in range(total.size):
        total[i] = a[i] + b[i]


def _tanh(x, y):
    np.tanh(x, out=y)  # NumPy's is vectorised


@loop
def _tanh_gradient(dy, y, dx):
    for i in range(dx.size):
        dx[i] = dy[i] * (1 - y[i] * y[i])


def _gelu(x, y, c, a):
    for part in _cached_parts(x.size):
        _gelu_tanh(x[part], y[part], c, a)
        _gelu_of_tanh(x[part], y[part])


def _gelu_gradient(dy, x, dx, c, a):
    for part in _cached_parts(x.size):
        _gelu_tanh(x[part], dx[part], c, a)
        _gelu_slope(dy[part], x[part], dx[part], c, a)


def _cached_parts(size):
    return [slice(start, start + CACHED_ELEMENTS) for start in range(0, size, CACHED_ELEMENTS)]


def _gelu_tanh(x, t, c, a):
    _gelu_argument(x, t, c, a)
    np.tanh(t, out=t)


@loop
def _gelu_argument(x, u, c, a):
    for i in range(x.size):
        u[i] = c * (x[i] + a * x[i] * x[i] * x[i])


@loop
def _gelu_of_tanh(x, y):
    """y holds the tanh before."""
    one, half = x.dtype.type(1), x.dtype.type(0.5)
    for i in range(x.size):
        if y[i] == -one:
            y[i] = 0  # for x = -inf, too
        else:
            y[i] = half * x[i] * (one + y[i])


@loop
def _gelu_slope(dy, x, dx, c, a):
    """dx holds the tanh before."""
    one, half, three = x.dtype.type(1), x.dtype.type(0.5), x.dtype.type(3)
    for i in range(x.size):
        t = dx[i]
        flat = one - t * t
        rise = c * x[i] * (one + three * a * x[i] * x[i])
        if flat == 0:
            dx[i] = half * dy[i] * (one + t)  # for infinite x, too
        else:
            dx[i] = half * dy[i] * (one + t + rise * flat)
