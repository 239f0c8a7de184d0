"""Lesson 9, exercise: what networks cost, counted, and the blocks that they are made of.

Fill in the functions, and as often as you like run

    minicnn check 9

Each function is a few lines. Arrays are float64; do not change the arrays you are given, return new ones. Counts are whole
numbers.
N pictures, C channels, H x W pixels, F filters of KH x KW, OH x OW pixels of a map that comes out.
"""

from collections.abc import Callable, Sequence

import numpy as np

# ---- Task 1: what a convolution costs


def conv_cost(
    input_shape: tuple[int, int, int],
    out_channels: int,
    kernel: tuple[int, int],
    stride: int,
    pad: int,
    groups: int,
    bias: bool,
) -> tuple[tuple[int, int, int], int, int]:
    """The shape of a convolution's output, its parameters, and its multiply-adds for one picture.

    It has F = out_channels filters. Channels and filters are split into `groups` equal parts, and a filter sees the channels
    of its own part only: C / groups of them.

        OH = floor((H + 2 pad - KH) / stride) + 1, and OW likewise
        parameters:     the weights of all filters; and one more for each filter, if there is a bias
        multiply_adds:  for each number of the output, one for each weight of the filter that computes it (the bias is not
                        counted: it is an addition only)

    input_shape (C, H, W), kernel (KH, KW)  ->  (F, OH, OW), parameters (int), multiply_adds (int)
    """
    raise NotImplementedError("Lesson 9, task 1: conv_cost")


# ---- Task 2: the table of a network


def stack_costs(
    input_shape: tuple[int, int, int], layers: Sequence[tuple]
) -> tuple[list[tuple[tuple[int, ...], int, int]], tuple[int, int, int]]:
    """A network as a table: of each layer the output's shape, the parameters and the multiply-adds; and the totals.

    A layer is one of

        ("conv", out_channels, kernel, stride, pad, groups)    as in task 1, with square filters and a bias
        ("pool", kernel, stride)                               square windows, without a border, sizes rounded down
        ("fc", outputs)                                        fully connected to all numbers of its input, with a bias

    and works on what the layer before it has put out. Shapes are (C, H, W), and (outputs,) after an fc. A pool has no
    parameters and no multiply-adds. An fc has a weight for each input and output, a bias for each output, and a multiply-add
    for each weight.

    The totals are values, parameters and multiply_adds, where values is how many numbers all outputs hold together. (That is
    what training must keep for the way back. The picture is not counted.)

    input_shape (C, H, W)  ->  a list of (shape, parameters, multiply_adds), and (values, parameters, multiply_adds)
    """
    raise NotImplementedError("Lesson 9, task 2: stack_costs")


# ---- Task 3: a residual block


def residual_forward(x: np.ndarray, w1: np.ndarray, w2: np.ndarray, ws: np.ndarray | None) -> np.ndarray:
    """A body beside a shortcut: y = relu(F(x) + S(x)).

        F(x) = relu(x w1^T) w2^T
        S(x) = x, the identity, where ws is None; else the projection x ws^T

    The rows of x are pixels with C channels each: for every pixel, a 1x1 convolution is this product with a matrix.

    x (N, C), w1 (M, C), w2 (F, M), ws (F, C) or None (then F = C)  ->  y (N, F)
    """
    raise NotImplementedError("Lesson 9, task 3: residual_forward")


def residual_backward(
    dy: np.ndarray, x: np.ndarray, w1: np.ndarray, w2: np.ndarray, ws: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """The gradients with respect to x, w1, w2 and ws, given dy = dL/dy.

    With h = x w1^T and z = F(x) + S(x), so that y = relu(z):

        dz  = dy where z > 0, else 0           a sum hands its gradient, as it is, to both of its summands
        dw2 = dz^T relu(h)
        dh  = dz w2 where h > 0, else 0
        dw1 = dh^T x
        dws = dz^T x                           None without a ws
        dx  = what comes through the body, and what comes through the shortcut

    dy (N, F), the others as in residual_forward  ->  dx, dw1, dw2, dws of the shapes of x, w1, w2, ws
    """
    raise NotImplementedError("Lesson 9, task 3: residual_backward")


# ---- Task 4: an Inception module


def inception_forward(x: np.ndarray, branches: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Bottlenecks side by side, joined along the channels: y = [y_0, y_1, ...].

    Branch k is a pair (reduce, expand) of 1x1 convolutions, with a ReLU between them, and all branches see the same x:

        h_k[n, r, i, j] = max(0, sum over c of reduce[r, c] x[n, c, i, j])
        y_k[n, f, i, j] = sum over r of expand[f, r] h_k[n, r, i, j]

    x (N, C, H, W), reduce (R, C), expand (F, R), R and F of each branch its own  ->  y (N, sum of all F, H, W)
    """
    raise NotImplementedError("Lesson 9, task 4: inception_forward")


def inception_backward(
    dy: np.ndarray, x: np.ndarray, branches: Sequence[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """The gradients with respect to x and to all weights.

    Each branch gets its own channels of dy back, F of them, in the order of the branches. x went into all branches:

        dexpand[f, r] = sum over n, i, j of dy_k[n, f, i, j] h_k[n, r, i, j]
        dh_k = (sum over f of expand[f, r] dy_k[n, f, i, j]) where h_k > 0, else 0
        dreduce[r, c] = sum over n, i, j of dh_k[n, r, i, j] x[n, c, i, j]
        dx[n, c, i, j] = sum over all branches k, and over r, of reduce[r, c] dh_k[n, r, i, j]

    dy (N, sum of all F, H, W), x and branches as before  ->  dx, and a list with (dreduce, dexpand) of each branch
    """
    raise NotImplementedError("Lesson 9, task 4: inception_backward")


# ---- Task 5: a depthwise separable block


def separable_cost(input_shape: tuple[int, int, int], out_channels: int, kernel: int, stride: int) -> tuple[int, int, float]:
    """What a depthwise separable block costs, and the share of the full convolution's work that this is.

    The block is two convolutions without biases: first a depthwise one, with one kernel x kernel filter for each of the C
    channels, and with the stride; then a 1x1 convolution of stride 1 from C to F = out_channels channels. In its place stood
    one full convolution of F filters over all C channels, with this kernel and stride.

    The borders are such that stride 1 keeps the size: OH = ceil(H / stride), OW = ceil(W / stride), in both cases.

    input_shape (C, H, W)  ->  parameters (int), multiply_adds (int), ratio (float), where ratio is the block's multiply-adds
    divided by those of the full convolution
    """
    raise NotImplementedError("Lesson 9, task 5: separable_cost")


# ---- Task 6: SqueezeNet's fire module


def fire_cost(in_channels: int, squeezed: int, ones: int, threes: int, size: tuple[int, int]) -> tuple[int, int, int]:
    """What comes out of a fire module, and what it costs.

    A 1x1 convolution squeezes `in_channels` to `squeezed` channels. Two convolutions look at these, side by side: `ones`
    filters of 1x1 and `threes` filters of 3x3, the latter with a border of one pixel. What they give is joined along the
    channels. All three have biases; the map is H x W all the way.

    size (H, W)  ->  out_channels, parameters, multiply_adds (int; biases are no multiply-adds)
    """
    raise NotImplementedError("Lesson 9, task 6: fire_cost")


# ---- Task 7: an inverted residual


def inverted_residual(
    x: np.ndarray,
    expand: Callable[[np.ndarray], np.ndarray] | None,
    depthwise: Callable[[np.ndarray], np.ndarray],
    project: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """MobileNetV2's block, out of three convolutions that are given as functions (batch norm included).

        h = relu6(expand(x));  without an expand (None), h is x itself, without an activation
        h = relu6(depthwise(h))
        y = project(h)                            linear: no activation here

    with relu6(z) = min(max(z, 0), 6). Where y has the shape of x, the result is x + y; elsewhere (with a stride, or with other
    channels) it is y.

    x (N, C, H, W)  ->  (N, F, OH, OW)
    """
    raise NotImplementedError("Lesson 9, task 7: inverted_residual")
