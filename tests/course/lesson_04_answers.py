"""Answers to the tasks of lesson 4: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` has (what it does, functions, the slip that it is or None), ``RIGHT[task]`` (how, functions); the functions take
the place of the solution's.
"""

import math

import numpy as np
import scipy.linalg
import scipy.special
import scipy.stats

from minicnn.course import find_lesson
from minicnn.data import ZCA
from minicnn.initializers import fans
from minicnn.layers import ELU, GELU, LeakyReLU, Maxout, Sigmoid

solution = find_lesson("4").solution
WRONG, RIGHT = {}, {}


def into_one_array(function):
    """The results of equal shape all in the same array."""
    kept = {}

    def call(*arguments):
        result = function(*arguments)
        kept.setdefault(result.shape, np.empty_like(result))[...] = result
        return kept[result.shape]

    return call


def by_element(function):
    """A function of numbers, in a loop over all elements of one or more arrays; constants come last."""

    def call(*arguments):
        arrays = [a for a in arguments if isinstance(a, np.ndarray)]
        constants = arguments[len(arrays) :]
        result = np.empty(arrays[0].shape)
        for i in np.ndindex(result.shape):
            result[i] = function(*(float(a[i]) for a in arrays), *constants)
        return result

    return call


# ---- sigmoid and tanh


def sigmoid_in_one_form(x):
    e = np.exp(x)
    return e / (1.0 + e)


def sigmoid_of_both_signs(x):
    """Right, but where chooses after both have been computed."""
    return np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))


def tanh_of_doubled(x):
    e = np.exp(x + x)
    return (e - 1) / (e + 1)


def tanh_of_halves(x):
    up, down = np.exp(x), np.exp(-x)
    return (up - down) / (up + down)


def tanh_of_minus_doubled(x):
    e = np.exp(-2.0 * x)
    return (1.0 - e) / (1.0 + e)


def sigmoid_by_masks(x):
    y = np.empty_like(x)
    positive = x > 0
    y[positive] = 1 / (1 + np.exp(-x[positive]))
    e = np.exp(x[~positive])
    y[~positive] = e / (1 + e)
    return y


def sigmoid_of_a_number(x):
    if x > 0:
        return 1 / (1 + math.exp(-x))
    return math.exp(x) / (1 + math.exp(x))


def sigmoid_gradient_loops(dy, y):
    """Of matrices only."""
    dx = np.zeros(dy.shape)
    for i in range(dy.shape[0]):
        for j in range(dy.shape[1]):
            dx[i, j] = dy[i, j] * y[i, j] * (1 - y[i, j])
    return dx


def tanh_gradient_in_place(dy, y):
    dy *= 1 - y**2
    return dy


WRONG[1] = [
    ("e / (1 + e)", {"sigmoid_forward": sigmoid_in_one_form}, "sigmoid_forward divides infinity by infinity"),
    ("both branches of where", {"sigmoid_forward": sigmoid_of_both_signs}, "A number overflows on the way"),
    ("1 / (1 + exp(-x))", {"sigmoid_forward": lambda x: np.reciprocal(1 + np.exp(-x))}, "A number overflows on the way"),
    ("exp(x)", {"sigmoid_forward": lambda x: scipy.special.expit(-x)}, "the sign of x is wrong in sigmoid_forward"),
    ("tanh of halves", {"tanh_forward": tanh_of_halves}, "tanh_forward divides infinity by infinity"),
    ("sinh / cosh", {"tanh_forward": lambda x: np.sinh(x) / np.cosh(x)}, "tanh_forward divides infinity by infinity"),
    ("tanh by exp(2x)", {"tanh_forward": tanh_of_doubled}, "tanh_forward takes exp(2x), which overflows for large x"),
    (
        "tanh by exp(-2x)",
        {"tanh_forward": tanh_of_minus_doubled},
        "tanh_forward takes exp(-2x), which overflows for very negative x",
    ),
    (
        "tanh as 2 sigmoid(x) - 1",
        {"tanh_forward": lambda x: 2 * scipy.special.expit(x) - 1},
        "tanh_forward is 2 sigmoid(x) - 1, which is tanh(x / 2)",
    ),
    (
        "backward calls forward on y",
        {"sigmoid_backward": lambda dy, y: dy * scipy.special.expit(y) * scipy.special.expit(-y)},
        "sigmoid_backward takes the sigmoid of y once more",
    ),
    (
        "tanh backward calls tanh on y",
        {"tanh_backward": lambda dy, y: dy / np.cosh(y) ** 2},
        "tanh_backward takes the tanh of y once more",
    ),
    (
        "sigmoid with tanh's slope",
        {"sigmoid_backward": lambda dy, y: (1 - y) * (1 + y) * dy},
        "sigmoid_backward has the slope of tanh",
    ),
    ("sigmoid's slope", {"tanh_backward": lambda dy, y: dy * (y - y**2)}, "tanh_backward has the slope of the sigmoid"),
    ("tanh's y not squared", {"tanh_backward": lambda dy, y: dy - dy * y}, "the square is missing in tanh_backward"),
    (
        "sigmoid's slope alone",
        {"sigmoid_backward": lambda dy, y: y - y**2},
        "sigmoid_backward returns the slope without dy",
    ),
    ("tanh's slope alone", {"tanh_backward": lambda dy, y: 1 - y**2}, "tanh_backward returns the slope without dy"),
    ("dy changed in place", {"tanh_backward": tanh_gradient_in_place}, "An argument is changed"),
    ("matrices only", {"sigmoid_backward": sigmoid_gradient_loops}, None),
    ("sign of the gradient", {"sigmoid_backward": lambda dy, y: dy * y * (y - 1)}, "sigmoid_backward has the wrong sign"),
    (
        "y always the same array",
        {"sigmoid_forward": into_one_array(solution.sigmoid_forward)},
        "An array is kept from call to call",
    ),
    (
        "hard sigmoid",
        {"sigmoid_forward": lambda x: np.clip(0.25 * x + 0.5, 0, 1)},
        "sigmoid_forward is straight in the middle and flat outside: the hard sigmoid",
    ),
    ("whole numbers", {"tanh_forward": lambda x: np.tanh(x).round()}, None),
]
RIGHT[1] = [
    ("masks, and NumPy's tanh", {"sigmoid_forward": sigmoid_by_masks, "tanh_forward": lambda x: np.tanh(x)}),
    (
        "number by number",
        {
            "sigmoid_forward": by_element(sigmoid_of_a_number),
            "sigmoid_backward": by_element(lambda dy, y: dy * y * (1 - y)),
            "tanh_forward": by_element(math.tanh),
            "tanh_backward": by_element(lambda dy, y: dy * (1 - y) * (1 + y)),
        },
    ),
    ("by tanh", {"sigmoid_forward": lambda x: 0.5 * (1 + np.tanh(x / 2))}),
    ("scipy's", {"sigmoid_forward": scipy.special.expit, "sigmoid_backward": lambda dy, y: dy * (y - y * y)}),
    ("clipped before", {"sigmoid_forward": lambda x: 1 / (1 + np.exp(-np.clip(x, -500, 500)))}),
    (
        "logaddexp",
        {"sigmoid_forward": lambda x: np.exp(-np.logaddexp(0, -x)), "tanh_backward": lambda dy, y: dy - dy * y**2},
    ),
    ("minicnn's", {"sigmoid_forward": lambda x: Sigmoid().forward(x)}),
    (
        "exp(-2|x|) and a sign",
        {"tanh_forward": lambda x: np.sign(x) * (1 - np.exp(-2 * abs(x))) / (1 + np.exp(-2 * abs(x)))},
    ),
]

# ---- leaky ReLU and ELU


def masked(dy, x, below):
    dx = dy.copy()
    dx[x <= 0] *= below[x <= 0]
    return dx


WRONG[2] = [
    (
        "ReLU's gradient",
        {"leaky_relu_backward": lambda dy, x, slope: dy * (x > 0)},
        "leaky_relu_backward is 0 below zero, as ReLU's is",
    ),
    (
        "slope * x added on both sides",
        {"leaky_relu_forward": lambda x, slope: np.clip(x, 0, None) + x * slope},
        "leaky_relu_forward adds slope * x on the positive side as well",
    ),
    (
        "slope instead of slope * x",
        {"leaky_relu_forward": by_element(lambda x, slope: x if x > 0 else slope)},
        "leaky_relu_forward gives the slope instead of slope * x",
    ),
    (
        "smaller of the two",
        {"leaky_relu_forward": lambda x, slope: np.minimum(x, slope * x)},
        "leaky_relu_forward has the two sides exchanged",
    ),
    (
        "slope without dy",
        {"leaky_relu_backward": by_element(lambda dy, x, slope: dy if x > 0 else slope)},
        "leaky_relu_backward returns the slope without dy below zero",
    ),
    (
        "y instead of the slope",
        {"leaky_relu_backward": lambda dy, x, slope: dy * (x > 0) + slope * np.minimum(x, 0)},
        "leaky_relu_backward returns slope * x below zero",
    ),
    (
        "by the sign of dy",
        {"leaky_relu_backward": lambda dy, x, slope: np.maximum(dy, slope * dy)},
        "leaky_relu_backward looks at the sign of dy",
    ),
    (
        "x = 0 to the right",
        {"leaky_relu_backward": lambda dy, x, slope: dy * np.where(x < 0, slope, 1.0)},
        "leaky_relu_backward counts x = 0 to the right side",
    ),
    (
        "half of both at x = 0",
        {"leaky_relu_backward": lambda dy, x, slope: dy * (slope + (1 - slope) * np.heaviside(x, 0.5))},
        "leaky_relu_backward takes the mean of both slopes at x = 0",
    ),
    (
        "a slope of its own",
        {"leaky_relu_forward": lambda x, slope: np.where(x > 0, x, 0.01 * x)},
        "leaky_relu_forward has a slope of its own: 0.01",
    ),
    (
        "x changed in place",
        {"leaky_relu_forward": lambda x, slope: np.multiply(x, slope, out=x, where=x < 0)},
        "An argument is changed",
    ),
    (
        "exp without -1",
        {"elu_forward": by_element(lambda x, alpha: x if x > 0 else alpha * math.exp(x))},
        "the 1 is not subtracted in elu_forward",
    ),
    (
        "brackets",
        {"elu_forward": by_element(lambda x, alpha: x if x > 0 else alpha * math.exp(x) - 1)},
        "elu_forward subtracts the 1 after multiplying by alpha",
    ),
    (
        "expm1 without alpha",
        {"elu_forward": lambda x, alpha: np.maximum(x, 0) + np.expm1(np.minimum(x, 0))},
        "alpha is forgotten in elu_forward",
    ),
    (
        "slope without alpha",
        {"elu_backward": lambda dy, x, alpha: dy * np.exp(np.minimum(x, 0))},
        "alpha is forgotten in elu_backward",
    ),
    (
        "y for the slope",
        {"elu_backward": lambda dy, x, alpha: dy * np.where(x > 0, 1, alpha * np.expm1(np.minimum(x, 0)))},
        "elu_backward multiplies by y, not by the slope",
    ),
    (
        "ELU's slope without dy",
        {"elu_backward": by_element(lambda dy, x, alpha: dy if x > 0 else alpha * math.exp(x))},
        "elu_backward returns the slope without dy below zero",
    ),
    (
        "ELU: x = 0 to the right",
        {"elu_backward": by_element(lambda dy, x, alpha: dy if x >= 0 else dy * alpha * math.exp(x))},
        "elu_backward counts x = 0 to the right side",
    ),
    (
        "ELU by masks",
        {"elu_forward": lambda x, alpha: (x > 0) * x + (x <= 0) * (alpha * (np.exp(x) - 1))},
        "elu_forward multiplies an infinite exponential by 0",
    ),
    (
        "ELU's gradient by masks",
        {"elu_backward": lambda dy, x, alpha: dy * (x > 0) + dy * (x <= 0) * (alpha * np.exp(x))},
        "elu_backward multiplies an infinite exponential by 0",
    ),
    (
        "both branches of where",
        {"elu_forward": lambda x, alpha: np.where(x > 0, x, alpha * (np.exp(x) - 1))},
        "A number overflows on the way",
    ),
    (
        "both branches, backward",
        {"elu_backward": lambda dy, x, alpha: np.where(x > 0, dy, dy * alpha * np.exp(x))},
        "A number overflows on the way",
    ),
    ("nothing returned", {"elu_backward": lambda dy, x, alpha: None}, "Nothing is returned"),
]
RIGHT[2] = [
    (
        "number by number",
        {
            "leaky_relu_forward": by_element(lambda x, slope: x if x > 0 else slope * x),
            "leaky_relu_backward": by_element(lambda dy, x, slope: dy if x > 0 else slope * dy),
            "elu_forward": by_element(lambda x, alpha: x if x > 0 else alpha * math.expm1(x)),
            "elu_backward": by_element(lambda dy, x, alpha: dy if x > 0 else dy * alpha * math.exp(x)),
        },
    ),
    (
        "maximum and minimum",
        {
            "leaky_relu_forward": lambda x, slope: np.maximum(x, slope * x),
            "elu_forward": lambda x, alpha: np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0)),
        },
    ),
    (
        "masked copies",
        {
            "leaky_relu_backward": lambda dy, x, slope: masked(dy, x, np.full(x.shape, slope)),
            "elu_backward": lambda dy, x, alpha: masked(dy, x, alpha * np.exp(np.minimum(x, 0))),
        },
    ),
    (
        "minicnn's, and y + alpha",
        {
            "leaky_relu_forward": lambda x, slope: LeakyReLU(slope).forward(x),
            "elu_forward": lambda x, alpha: ELU(alpha).forward(x),
            "elu_backward": lambda dy, x, alpha: dy * np.where(x > 0, 1, solution.elu_forward(x, alpha) + alpha),
        },
    ),
    (
        "exp only where it is wanted",
        {
            "elu_forward": lambda x, alpha: np.where(x > 0, x, alpha * (np.exp(x, where=x <= 0, out=np.zeros(x.shape)) - 1)),
            "leaky_relu_backward": lambda dy, x, slope: dy * (slope + (1 - slope) * (x > 0)),
        },
    ),
]

# ---- maxout


def maxout_strided(x, K):
    """Feature by feature of each group: a view for each piece."""
    return np.maximum.reduce([x[:, k::K] for k in range(K)])


def maxout_in_blocks(x, K):
    return np.stack(np.split(x, K, axis=1)).max(axis=0)


def maxout_loops(x, K):
    y = np.empty((len(x), x.shape[1] // K, *x.shape[2:]))
    for c in range(y.shape[1]):
        y[:, c] = x[:, c * K : (c + 1) * K].max(axis=1)
    return y


def maxout_backward_loops(dy, x, K):
    dx = np.zeros(x.shape)
    for i in np.ndindex(dy.shape):
        n, c, *pixel = i
        group = [x[(n, c * K + k, *pixel)] for k in range(K)]
        dx[(n, c * K + group.index(max(group)), *pixel)] = dy[i]
    return dx


def maxout_backward_piece_by_piece(dy, x, K, last=False):
    """The pieces one after another; who is overtaken loses dy."""
    dx, best = np.zeros(x.shape), np.full(dy.shape, -np.inf)
    winner = np.zeros(dy.shape, int)
    for k in range(K):
        piece = x[:, k::K]
        wins = piece >= best if last else piece > best
        best, winner = np.where(wins, piece, best), np.where(wins, k, winner)
    for k in range(K):
        dx[:, k::K] = dy * (winner == k)
    return dx


def maxout_backward_repeated(dy, x, K):
    """Ties: everybody who equals the maximum."""
    return np.repeat(dy, K, axis=1) * (x == np.repeat(maxout_loops(x, K), K, axis=1))


def maxout_backward_shared(dy, x, K):
    wins = (x == np.repeat(maxout_loops(x, K), K, axis=1)).astype(float)
    number = np.repeat(maxout_strided_sum(wins, K), K, axis=1)
    return np.repeat(dy, K, axis=1) * wins / number


def maxout_strided_sum(x, K):
    return sum(x[:, k::K] for k in range(K))


def maxout_backward_tiled(dy, x, K):
    y = maxout_in_blocks(x, K)
    blocks = (1, K, *[1] * (x.ndim - 2))
    return np.tile(dy, blocks) * (x == np.tile(y, blocks))


def maxout_backward_one_hot(dy, x, K):
    groups = np.moveaxis(x.reshape(len(x), -1, K, *x.shape[2:]), 2, -1)
    one_hot = np.eye(K)[groups.argmax(axis=-1)]
    return np.moveaxis(one_hot * dy[..., None], -1, 2).reshape(x.shape)


def largest_size(x, K):
    top, bottom = maxout_strided(x, K), -maxout_strided(-x, K)
    return np.where(top > -bottom, top, bottom)


def maxout_of_matrices(x, K):
    return x.reshape(x.shape[0], x.shape[1] // K, K).max(axis=2)


WRONG[3] = [
    ("blocks", {"maxout_forward": maxout_in_blocks}, "the features of a group are taken C apart, not side by side"),
    ("blocks, backward", {"maxout_backward": maxout_backward_tiled}, "maxout_backward takes the features of a group C apart"),
    ("minimum", {"maxout_forward": lambda x, K: -maxout_strided(-x, K)}, "it is the smallest of each group"),
    ("mean", {"maxout_forward": lambda x, K: maxout_strided_sum(x, K) / K}, "it is the mean of each group"),
    ("sum", {"maxout_forward": maxout_strided_sum}, "it is the sum of each group"),
    ("begun with 0", {"maxout_forward": lambda x, K: np.clip(maxout_loops(x, K), 0, None)}, "0 takes part in the maximum"),
    ("by size", {"maxout_forward": largest_size}, "the number of largest size wins, whatever its sign"),
    ("ties to all", {"maxout_backward": maxout_backward_repeated}, "equal numbers all get dy"),
    ("ties shared", {"maxout_backward": maxout_backward_shared}, "equal numbers share dy"),
    (
        "ties to the last",
        {"maxout_backward": lambda dy, x, K: maxout_backward_piece_by_piece(dy, x, K, last=True)},
        "of equal numbers the last one gets dy",
    ),
    ("dy to all", {"maxout_backward": lambda dy, x, K: np.repeat(dy, K, axis=1)}, "every piece of a group gets dy"),
    ("dy / K to all", {"maxout_backward": lambda dy, x, K: np.repeat(dy / K, K, axis=1)}, "every piece gets dy / K"),
    (
        "times the winner",
        {"maxout_backward": lambda dy, x, K: maxout_backward_loops(dy, x, K) * x},
        "dy is multiplied by the number that won",
    ),
    (
        "1 for the winner",
        {"maxout_backward": lambda dy, x, K: maxout_backward_loops(np.ones(dy.shape), x, K)},
        "the winner gets 1 instead of dy",
    ),
    ("matrices only", {"maxout_forward": maxout_of_matrices}, None),
    (
        "pairs only",
        {"maxout_forward": lambda x, K: np.maximum(x[:, ::2], x[:, 1::2])},
        "maxout_forward has pairs, whatever K is",
    ),
    (
        "pieces kept as an axis",
        {"maxout_forward": lambda x, K: x.reshape(len(x), -1, K, *x.shape[2:])},
        "The result is an argument, or a view of it",
    ),
    ("shape of y kept", {"maxout_backward": lambda dy, x, K: dy.copy()}, None),
    (
        "y always the same array",
        {"maxout_forward": into_one_array(solution.maxout_forward)},
        "An array is kept from call to call",
    ),
]
RIGHT[3] = [
    ("strided views, loops", {"maxout_forward": maxout_strided, "maxout_backward": maxout_backward_loops}),
    ("loops over features", {"maxout_forward": maxout_loops, "maxout_backward": maxout_backward_piece_by_piece}),
    ("one-hot", {"maxout_backward": maxout_backward_one_hot}),
    ("minicnn's", {"maxout_forward": lambda x, K: Maxout(K).forward(x)}),
    ("sorted", {"maxout_forward": lambda x, K: np.sort(x.reshape(len(x), -1, K, *x.shape[2:]), axis=2)[:, :, -1].copy()}),
]

# ---- GELU


def gelu_number(x, factor=0.7978845608028654):
    return 0.5 * x * (1 + math.tanh(factor * (x + 0.044715 * x**3)))


def gelu_pieces(x):
    c = math.sqrt(2 / math.pi)
    u = c * (x + 0.044715 * x * x * x)
    return np.tanh(u), c + 3 * c * 0.044715 * x * x


def gelu_gradient(combine):
    return {"gelu_backward": lambda dy, x: combine(dy, x, *gelu_pieces(x))}


def gelu_slope_number(dy, x):
    u, slope = 0.7978845608028654 * (x + 0.044715 * x**3), 0.7978845608028654 * (1 + 0.134145 * x**2)
    return dy * (0.5 + 0.5 * math.tanh(u) + 0.5 * x * slope * (1 - math.tanh(u) ** 2))


def gelu_backward_by_hyperbolic(dy, x):
    u = 0.7978845608028654 * (x + 0.044715 * x**3)
    t = np.sinh(u) / np.cosh(u)
    return dy * 0.5 * (1 + t + x * (1 - t * t) * gelu_pieces(x)[1])


def gelu_backward_by_cosh(dy, x):
    t, inner = gelu_pieces(x)
    return dy * 0.5 * (1 + t + x * inner / np.cosh(0.7978845608028654 * (x + 0.044715 * x**3)) ** 2)


def gelu_by_sigmoid(x):
    """(1 + tanh u) / 2 is sigmoid(2u)."""
    return x * scipy.special.expit(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


def gelu_backward_by_sigmoid(dy, x):
    c = 2 * math.sqrt(2 / math.pi)
    s = scipy.special.expit(c * (x + 0.044715 * x**3))
    return dy * s + dy * x * s * (1 - s) * c * (1 + 0.134145 * x**2)


WRONG[4] = [
    ("not halved", {"gelu_forward": lambda x: 2 * gelu_by_sigmoid(x)}, "the half is missing in gelu_forward"),
    (
        "no x in front",
        {"gelu_forward": lambda x: 0.5 + 0.5 * gelu_pieces(x)[0]},
        "the x in front is missing in gelu_forward",
    ),
    ("no 1", {"gelu_forward": lambda x: 0.5 * x * gelu_pieces(x)[0]}, "the 1 is missing beside t in gelu_forward"),
    ("sqrt(2) / pi", {"gelu_forward": by_element(lambda x: gelu_number(x, 2**0.5 / math.pi))}, "c is sqrt(2) / pi"),
    ("2 / pi", {"gelu_forward": by_element(lambda x: gelu_number(x, 2 / math.pi))}, "the square root is missing in c"),
    (
        "no cube",
        {"gelu_forward": lambda x: x * scipy.special.expit(2 * (2 / np.pi) ** 0.5 * x)},
        "the term with x^3 is missing",
    ),
    (
        "square",
        {"gelu_forward": lambda x: 0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * x * (1 + 0.044715 * x)))},
        "x is squared inside the tanh, not cubed",
    ),
    (
        "brackets",
        {"gelu_forward": lambda x: 0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * x + 0.044715 * x**3))},
        "c multiplies only x, not the cube",
    ),
    ("erf", {"gelu_forward": lambda x: x * scipy.stats.norm.cdf(x)}, "it is the exact GELU, with erf"),
    (
        "by a sigmoid of 1.702 x",
        {"gelu_forward": lambda x: x * scipy.special.expit(1.702 * x)},
        "it is x sigmoid(1.702 x), another approximation of GELU",
    ),
    (
        "one term",
        gelu_gradient(lambda dy, x, t, inner: dy * (0.5 + 0.5 * t)),
        "gelu_backward lacks the second term of the product rule",
    ),
    (
        "the other term",
        gelu_gradient(lambda dy, x, t, inner: dy * 0.5 * x * (1 - t) * (1 + t) * inner),
        "gelu_backward lacks the first term of the product rule",
    ),
    (
        "no x in the second term",
        gelu_gradient(lambda dy, x, t, inner: dy * 0.5 * (1 + t + (1 - t**2) * inner)),
        "the x in front of the second term is missing in gelu_backward",
    ),
    (
        "not inside",
        gelu_gradient(lambda dy, x, t, inner: dy * 0.5 * (1 + t + x * (1 - t**2))),
        "the derivative of what is inside the tanh is missing",
    ),
    (
        "no c inside",
        gelu_gradient(lambda dy, x, t, inner: dy * 0.5 * (1 + t + x * (1 - t**2) * (1 + 0.134145 * x * x))),
        "c is missing in the derivative of what is inside the tanh",
    ),
    (
        "no 3",
        gelu_gradient(lambda dy, x, t, inner: dy / 2 * (1 + t + x * (1 - t**2) * (2 / np.pi) ** 0.5 * (1 + 0.044715 * x**2))),
        "the 3 is missing in the derivative of x^3",
    ),
    (
        "cube's derivative forgotten",
        gelu_gradient(lambda dy, x, t, inner: dy * (0.5 * (1 + t) + x * (1 - t**2) / math.sqrt(2 * math.pi))),
        "the derivative of the cube is missing",
    ),
    (
        "1 - t",
        gelu_gradient(lambda dy, x, t, inner: dy * 0.5 * (1 + t + x * (1 - t) * inner)),
        "the slope of tanh is 1 - t, not squared",
    ),
    (
        "second term not halved",
        gelu_gradient(lambda dy, x, t, inner: dy * ((1 + t) / 2 + x * (1 - t**2) * inner)),
        "the second term of gelu_backward is not halved",
    ),
    (
        "nothing halved",
        gelu_gradient(lambda dy, x, t, inner: dy * (1 + t + x * (1 - t**2) * inner)),
        "gelu_backward is not halved",
    ),
    (
        "slope alone",
        gelu_gradient(lambda dy, x, t, inner: 0.5 * (1 + t + x * (1 - t**2) * inner)),
        "gelu_backward returns the slope without dy",
    ),
    (
        "erf's slope",
        {"gelu_backward": lambda dy, x: dy * (scipy.stats.norm.cdf(x) + x * scipy.stats.norm.pdf(x))},
        "gelu_backward is the slope of the exact GELU",
    ),
    ("sinh / cosh, NaN for large x", {"gelu_backward": gelu_backward_by_hyperbolic}, "Values are NaN or infinite"),
]
RIGHT[4] = [
    ("by a sigmoid", {"gelu_forward": gelu_by_sigmoid, "gelu_backward": gelu_backward_by_sigmoid}),
    (
        "number by number",
        {
            "gelu_forward": by_element(gelu_number),
            "gelu_backward": by_element(gelu_slope_number),
        },
    ),
    ("minicnn's", {"gelu_forward": lambda x: GELU().forward(x)}),
    ("two terms", gelu_gradient(lambda dy, x, t, inner: dy / 2 * (1 + t) + dy / 2 * x * (1 - t) * (1 + t) * inner)),
    ("1 / cosh^2", {"gelu_backward": gelu_backward_by_cosh}),
]

# ---- Xavier and MSRA


def xavier_by(fan):
    return {"xavier_std": lambda shape: (2 / sum(fan(shape))) ** 0.5}


def fans_loops(shape):
    fan_in, fan_out = shape[1], shape[0]
    for n in shape[2:]:
        fan_in, fan_out = fan_in * n, fan_out * n
    return fan_in, fan_out


def fans_of_four(shape):
    """Filters or a matrix, told apart by the number of axes."""
    if len(shape) == 2:
        M, D = shape
        return D, M
    F, C, KH, KW = shape
    return C * KH * KW, F * KH * KW


def fans_of_square_filters(shape):
    pixels = shape[-1] ** 2 if len(shape) == 4 else 1
    return shape[1] * pixels, shape[0] * pixels


def fans_of_first_side(shape):
    pixels = shape[2] * shape[2] if len(shape) == 4 else 1
    return shape[1] * pixels, shape[0] * pixels


def normal_of_uniforms(shape, std, rng):
    """Box and Muller."""
    r = np.sqrt(-2 * np.log(1 - rng.random(shape)))
    return std * r * np.cos(2 * np.pi * rng.random(shape))


def row_by_row(shape, std, rng):
    w = np.empty(shape)
    for row in w:
        row[...] = rng.normal(scale=std, size=shape[1:])
    return w


def repeated_rows(shape, std, rng):
    return np.repeat(std * rng.standard_normal((1, *shape[1:])), shape[0], axis=0)


WRONG[5] = [
    ("Xavier's variance", {"xavier_std": lambda shape: 2 / sum(fans(shape))}, "xavier_std is the variance"),
    ("MSRA's variance", {"msra_std": lambda shape: 2 / fans(shape)[0]}, "msra_std is the variance"),
    ("Xavier by shape[:2]", xavier_by(lambda shape: shape[:2]), "xavier_std does not count the pixels of a filter"),
    ("MSRA by shape[1]", {"msra_std": lambda shape: (2 / shape[1]) ** 0.5}, "msra_std does not count the pixels of a filter"),
    (
        "fan_out without pixels",
        xavier_by(lambda shape: (fans(shape)[0], shape[0])),
        "the pixels of a filter are in fan_in and not in fan_out",
    ),
    ("Caffe's Xavier", {"xavier_std": lambda shape: fans(shape)[0] ** -0.5}, "xavier_std takes fan_in alone"),
    ("1 above the line", {"xavier_std": lambda shape: sum(fans(shape)) ** -0.5}, "xavier_std has a 1 where there must be a 2"),
    (
        "bound of the uniform",
        {"xavier_std": lambda shape: (6 / sum(fans_loops(shape))) ** 0.5},
        "xavier_std is the bound of the uniform distribution",
    ),
    ("fan_out", {"msra_std": lambda shape: (2 / fans(shape)[1]) ** 0.5}, "msra_std takes fan_out"),
    ("without the 2", {"msra_std": lambda shape: 1 / fans(shape)[0] ** 0.5}, "msra_std lacks the 2"),
    ("Xavier for MSRA", {"msra_std": lambda shape: (2 / sum(fans(shape))) ** 0.5}, "msra_std is Xavier's"),
    ("square filters, by the height", xavier_by(fans_of_first_side), "filters are taken to be square"),
    ("square filters, by the width", xavier_by(fans_of_square_filters), "xavier_std takes filters for squares of their width"),
    (
        "normal of scale sqrt(std)",
        {"draw_weights": lambda shape, std, rng: rng.normal(0, np.sqrt(std), shape)},
        "draw_weights takes std for the variance",
    ),
    (
        "normal of scale std^2",
        {"draw_weights": lambda shape, std, rng: rng.normal(0, std * std, size=shape)},
        "draw_weights takes the variance for std",
    ),
    ("std forgotten", {"draw_weights": lambda shape, std, rng: rng.normal(size=shape)}, "draw_weights forgets std"),
    (
        "uniform within std",
        {"draw_weights": lambda shape, std, rng: std * (2 * rng.random(shape) - 1)},
        "draw_weights is uniform between -std and std",
    ),
    (
        "uniform of the right spread",
        {"draw_weights": lambda shape, std, rng: 12**0.5 * std * (rng.random(shape) - 0.5)},
        "draw_weights is uniform, if of the right spread",
    ),
    (
        "rng.normal(std)",
        {"draw_weights": lambda shape, std, rng: rng.normal(std, size=shape)},
        "draw_weights gives the mean as std",
    ),
    ("one row for all", {"draw_weights": repeated_rows}, "all outputs start with the same weights"),
    (
        "always the same",
        {"draw_weights": lambda shape, std, rng: np.random.default_rng(0).normal(0, std, shape)},
        "draw_weights has a generator of its own, with a fixed seed",
    ),
    ("sizes", {"draw_weights": lambda shape, std, rng: np.abs(rng.normal(0, std, shape))}, "all weights are positive"),
    (
        "NumPy's own generator",
        {"draw_weights": lambda shape, std, rng: np.random.normal(0, std, shape)},
        "The generator that was passed is not used",
    ),
    ("cut off", {"draw_weights": lambda shape, std, rng: np.clip(rng.normal(0, std, shape), -2 * std, 2 * std)}, None),
    ("transposed", {"draw_weights": lambda shape, std, rng: rng.normal(0, std, shape[::-1])}, "The result is transposed"),
    (
        "all weights counted",
        {"msra_std": lambda shape: (2 / np.prod(shape)) ** 0.5},
        "msra_std counts all weights of the layer, not those of one output",
    ),
]
RIGHT[5] = [
    ("minicnn's fans", {**xavier_by(fans), "msra_std": lambda shape: math.sqrt(2 / fans(shape)[0])}),
    (
        "loops, and scale",
        {**xavier_by(fans_loops), "draw_weights": lambda shape, std, rng: rng.normal(scale=std, size=shape)},
    ),
    (
        "by cases, row by row",
        {**xavier_by(fans_of_four), "msra_std": lambda shape: np.sqrt(2 / fans_of_four(shape)[0]), "draw_weights": row_by_row},
    ),
    ("Box and Muller", {"draw_weights": normal_of_uniforms}),
    ("inverse of the distribution", {"draw_weights": lambda shape, std, rng: std * scipy.stats.norm.ppf(rng.random(shape))}),
    ("array without axes", {"msra_std": lambda shape: np.array((2 / np.prod(shape[1:])) ** 0.5)}),
]

# ---- whitening


def both(turn, mean, train, test):
    return (train - mean) @ turn, (test - mean) @ turn


def by_svd(train, test, eps, divisor=len, scale=lambda variances, eps: (variances + eps) ** -0.5):
    mean = train.mean(axis=0)
    _, s, Vt = np.linalg.svd(train - mean, full_matrices=False)
    return both(Vt.T @ np.diag(scale(s**2 / divisor(train), eps)) @ Vt, mean, train, test)


def by_square_root(train, test, eps):
    C = np.cov(train, rowvar=False, bias=True)
    return both(np.linalg.inv(scipy.linalg.sqrtm(C + eps * np.eye(len(C))).real), train.mean(axis=0), train, test)


def by_components(train, test, eps):
    """A sum over components, a loop over samples."""
    mean = np.mean(train, axis=0)
    variances, U = np.linalg.eigh(np.einsum("nd,ne->de", train - mean, train - mean) / train.shape[0])

    def one(x):
        return sum(u * (u @ (x - mean)) / math.sqrt(max(v, 0) + eps) for v, u in zip(variances, U.T, strict=True))

    return [np.array([one(x) for x in train]), np.array([one(x) for x in test])]


def by_minicnn(train, test, eps):
    zca = ZCA(eps).fit(train)
    return zca(train), zca(test)


def own_means(train, test, eps):
    return by_svd(train, test - test.mean(axis=0) + train.mean(axis=0), eps)


def mean_kept(train, test, eps):
    mean = train.mean(axis=0)
    white = by_svd(train, np.vstack([train, test]) + mean, eps)[1]
    return white[: len(train)], white[len(train) :]


def scatter_not_centred(train, test, eps):
    variances, U = np.linalg.eigh(train.T @ train / len(train))
    return both(U @ np.diag(1 / np.sqrt(variances + eps)) @ U.T, train.mean(axis=0), train, test)


def rows_for_columns(train, test, eps):
    variances, U = np.linalg.eigh(np.cov(train.T, ddof=0))
    return both(U.T @ np.diag((variances + eps) ** -0.5) @ U, train.mean(axis=0), train, test)


def not_turned_back(train, test, eps):
    variances, U = np.linalg.eigh(np.cov(train.T, ddof=0))
    mean = train.mean(axis=0)
    return (train - mean) @ U / np.sqrt(variances + eps), (test - mean) @ U / np.sqrt(variances + eps)


def not_turned_back_by_svd(train, test, eps):
    mean = train.mean(axis=0)
    _, s, Vt = np.linalg.svd(train - mean, full_matrices=False)
    return both(Vt.T / np.sqrt(s**2 / len(train) + eps), mean, train, test)


def standardised(train, test, eps):
    scale = np.sqrt(np.diag(np.cov(train.T, ddof=0)) + eps)
    return (train - train.mean(0)) / scale, (test - train.mean(0)) / scale


def together(train, test, eps):
    white = by_svd(np.vstack([train, test]), test, eps)[0]
    return white[: len(train)], white[len(train) :]


WRONG[6] = [
    (
        "each by itself",
        {"whiten": lambda train, test, eps: (by_square_root(train, test, eps)[0], by_square_root(test, train, eps)[0])},
        "the test data is whitened by its own mean and covariance",
    ),
    ("together", {"whiten": together}, "training and test data are whitened by what both have together"),
    ("its own mean", {"whiten": own_means}, "the mean of the test data is taken away from the test data"),
    ("mean kept", {"whiten": mean_kept}, "the mean is not taken away before turning"),
    ("uncentred C", {"whiten": scatter_not_centred}, "the covariance is that of data whose mean was not taken away"),
    (
        "N - 1",
        {"whiten": lambda train, test, eps: by_svd(train, test, eps, lambda x: len(x) - 1)},
        "the covariance is divided by N - 1",
    ),
    ("no N", {"whiten": lambda train, test, eps: by_svd(train, test, eps, lambda x: 1)}, "the covariance is not divided by N"),
    ("PCA", {"whiten": not_turned_back}, "the data is not turned back"),
    ("PCA by SVD", {"whiten": not_turned_back_by_svd}, None),
    ("U^T and U", {"whiten": rows_for_columns}, "U and its transpose are exchanged"),
    (
        "standardised",
        {"whiten": standardised},
        "each feature is divided by its own standard deviation: standardised, not whitened",
    ),
    (
        "no eps",
        {"whiten": lambda train, test, eps: by_svd(train, test, eps, scale=lambda v, eps: v**-0.5)},
        "eps is not used",
    ),
    (
        "eps outside",
        {"whiten": lambda train, test, eps: by_svd(train, test, eps, scale=lambda v, eps: 1 / (v**0.5 + eps))},
        "eps is added outside the square root",
    ),
    (
        "no square root",
        {"whiten": lambda train, test, eps: by_svd(train, test, eps, scale=lambda v, eps: 1 / (v + eps))},
        "it is divided by variances, not by their square roots",
    ),
    (
        "multiplied",
        {"whiten": lambda train, test, eps: by_svd(train, test, eps, scale=lambda v, eps: (v + eps) ** 0.5)},
        "it is multiplied by the square roots instead of divided",
    ),
    (
        "only centred",
        {"whiten": lambda train, test, eps: (train - train.mean(0), test - train.mean(0))},
        "the coordinates are not divided by anything",
    ),
    (
        "training data only",
        {"whiten": lambda train, test, eps: by_svd(train, test, eps)[0]},
        "Not as many results as asked for",
    ),
    ("an eps of its own", {"whiten": lambda train, test, eps: by_svd(train, test, 1e-5)}, "whiten has an eps of its own"),
    (
        "test before train",
        {"whiten": lambda train, test, eps: by_svd(train, test, eps)[::-1]},
        "The whitened test set comes first",
    ),
]
RIGHT[6] = [
    ("SVD", {"whiten": by_svd}),
    ("square root of a matrix", {"whiten": by_square_root}),
    ("component by component, and a list", {"whiten": by_components}),
    ("minicnn's", {"whiten": by_minicnn}),
]

# ---- dead units


def rows_of_units(y):
    """(units, everything else)"""
    return np.moveaxis(y, 1, 0).reshape(y.shape[1], -1)


def dead_loops(y):
    dead = 0
    for unit in range(y.shape[1]):
        if np.count_nonzero(y[:, unit]) == 0:
            dead += 1
    return dead / y.shape[1]


WRONG[7] = [
    ("zeros", {"dead_share": lambda y: 1 - np.count_nonzero(y) / y.size}, "it is the share of zeros, not of units"),
    (
        "some sample",
        {"dead_share": lambda y: (rows_of_units(y).min(axis=1) == 0).mean()},
        "it is the share of units that are 0 for at least one sample",
    ),
    ("alive", {"dead_share": lambda y: (rows_of_units(y).max(axis=1) > 0).mean()}, "it is the share of units that are alive"),
    (
        "number",
        {"dead_share": lambda y: int((rows_of_units(y).sum(axis=1) == 0).sum())},
        "it is the number of dead units, not their share",
    ),
    (
        "samples",
        {"dead_share": lambda y: (y.reshape(len(y), -1).max(axis=1) == 0).mean()},
        "it is the share of samples for which no unit answers",
    ),
    (
        "pixels",
        {"dead_share": lambda y: (y.reshape(len(y), -1).max(axis=0) == 0).mean()},
        "every pixel of a map counts as a unit of its own",
    ),
    (
        "first sample",
        {"dead_share": lambda y: np.mean([not unit.any() for unit in y[0]])},
        "only the first sample is looked at",
    ),
    (
        "divided by N",
        {"dead_share": lambda y: dead_loops(y) * y.shape[1] / y.shape[0]},
        "dead units are divided by the number of samples",
    ),
    (
        "nearly 0",
        {"dead_share": lambda y: np.isclose(rows_of_units(y), 0, atol=0.02).all(axis=1).mean()},
        "units that answer weakly are counted as dead",
    ),
    (
        "matrices only",
        {"dead_share": lambda y: float((y == 0).all(axis=0).mean()) if y.ndim == 2 else 0.0},
        "No unit of a convolution is found to be dead",
    ),
    ("an array", {"dead_share": lambda y: (rows_of_units(y) == 0).all(axis=1)}, "An array came where a number belongs"),
    ("always none", {"dead_share": lambda y: 0.0}, "It is always 0"),
]
RIGHT[7] = [
    ("loops", {"dead_share": dead_loops}),
    ("largest number of each unit", {"dead_share": lambda y: (rows_of_units(y).max(axis=1) == 0).mean()}),
    ("sums, and 1 - alive", {"dead_share": lambda y: 1 - np.count_nonzero(rows_of_units(y).sum(axis=1)) / y.shape[1]}),
    (
        "einsum, and an array without axes",
        {"dead_share": lambda y: np.array((np.einsum("nup->u", y.reshape(*y.shape[:2], -1)) == 0).mean())},
    ),
]
