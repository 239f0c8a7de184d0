"""Lesson 4: the mistakes that people make in its exercise, as functions that make them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minicnn.course import Slip


def plain_sigmoid(x):
    return 1 / (1 + np.exp(-x))


SQUASHING_SLIPS = (
    Slip(
        "sigmoid_forward divides infinity by infinity",
        "What is exp(x) / (1 + exp(x)) for x = 1000? And which of the two forms never sees an exponential above 1 there?",
        {"sigmoid_forward": lambda x: np.exp(x) / (1 + np.exp(x))},
        where=r"exp\(",
    ),
    Slip(
        "tanh_forward divides infinity by infinity",
        "What are exp(x) and exp(-x) for x = 1000, and for x = -1000?",
        {"tanh_forward": lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))},
        where=r"exp\(",
    ),
    Slip(
        "tanh_forward takes exp(2x), which overflows for large x",
        "What are numerator and denominator for x = 1000?",
        {"tanh_forward": lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1)},
        where=r"exp\(",
    ),
    Slip(
        "tanh_forward takes exp(-2x), which overflows for very negative x",
        "What are numerator and denominator for x = -1000?",
        {"tanh_forward": lambda x: (1 - np.exp(-2 * x)) / (1 + np.exp(-2 * x))},
        where=r"exp\(",
    ),
    Slip(
        "the sign of x is wrong in sigmoid_forward",
        "Where must the sigmoid go for large x, to 0 or to 1?",
        {"sigmoid_forward": lambda x: plain_sigmoid(np.clip(-x, -500, 500))},
        where=r"exp\(",
    ),
    Slip(
        "sigmoid_backward takes the sigmoid of y once more",
        "It is given y, not x. Which of the two is in the formula?",
        {"sigmoid_backward": lambda dy, y: dy * plain_sigmoid(y) * (1 - plain_sigmoid(y))},
        where=r"sigmoid|exp",
    ),
    Slip(
        "tanh_backward takes the tanh of y once more",
        "It is given y, not x. Which of the two is in the formula?",
        {"tanh_backward": lambda dy, y: dy * (1 - np.tanh(y) ** 2)},
        where=r"tanh\(|exp",
    ),
    Slip(
        "sigmoid_backward has the slope of tanh",
        "What is the slope of the sigmoid at x = 0, where y = 1/2?",
        {"sigmoid_backward": lambda dy, y: dy * (1 - y * y)},
        where=r"1 *- *y",
    ),
    Slip(
        "tanh_backward has the slope of the sigmoid",
        "What is the slope of tanh at x = 0, where y = 0?",
        {"tanh_backward": lambda dy, y: dy * y * (1 - y)},
        where=r"1 *- *y",
    ),
    Slip(
        "the square is missing in tanh_backward",
        "tanh is as steep at -x as at x. Is your slope?",
        {"tanh_backward": lambda dy, y: dy * (1 - y)},
        where=r"1 *- *y",
    ),
    Slip(
        "sigmoid_backward returns the slope without dy",
        "The chain rule multiplies two numbers. Which is the other one?",
        {"sigmoid_backward": lambda dy, y: y * (1 - y)},
        where=r"1 *- *y",
    ),
    Slip(
        "tanh_backward returns the slope without dy",
        "The chain rule multiplies two numbers. Which is the other one?",
        {"tanh_backward": lambda dy, y: 1 - y * y},
        where=r"1 *- *y",
    ),
    Slip(
        "tanh_forward is 2 sigmoid(x) - 1, which is tanh(x / 2)",
        "What is the slope of tanh at 0, and what is that of your function?",
        {"tanh_forward": lambda x: np.tanh(x / 2)},
        where=r"sigmoid",
    ),
    Slip(
        "sigmoid_backward has the wrong sign",
        "The sigmoid rises everywhere: which sign must its derivative have?",
        {"sigmoid_backward": lambda dy, y: dy * y * (y - 1)},
        r"-",
    ),
    Slip(
        "sigmoid_forward is straight in the middle and flat outside: the hard sigmoid",
        "That is an approximation of it, with corners. The equation has an exponential.",
        {"sigmoid_forward": lambda x: np.clip(0.25 * x + 0.5, 0, 1)},
        r"clip|min|max",
    ),
    Slip(
        "sigmoid_backward has the wrong sign",
        "The sigmoid rises everywhere: which sign must its derivative have?",
        {"sigmoid_backward": lambda dy, y: dy * y * (y - 1)},
        r"-",
    ),
    Slip(
        "sigmoid_forward is straight in the middle and flat outside: the hard sigmoid",
        "That is an approximation of it, with corners. The equation has an exponential.",
        {"sigmoid_forward": lambda x: np.clip(0.25 * x + 0.5, 0, 1)},
        r"clip|min|max",
    ),
)


LEAKY_SLIPS = (
    Slip(
        "leaky_relu_backward is 0 below zero, as ReLU's is",
        "What is the slope of slope * x?",
        {"leaky_relu_backward": lambda dy, x, slope: np.where(x > 0, dy, 0.0)},
        where=r"where|> *0",
    ),
    Slip(
        "leaky_relu_forward adds slope * x on the positive side as well",
        "What comes out for x = 1?",
        {"leaky_relu_forward": lambda x, slope: np.maximum(x, 0) + slope * x},
        where=r"slope",
    ),
    Slip(
        "leaky_relu_forward gives the slope instead of slope * x",
        "Is the function continuous at 0?",
        {"leaky_relu_forward": lambda x, slope: np.where(x > 0, x, slope)},
        where=r"slope",
    ),
    Slip(
        "leaky_relu_forward has the two sides exchanged",
        "On which side does the leaky ReLU do nothing to x?",
        {"leaky_relu_forward": lambda x, slope: np.where(x > 0, slope * x, x)},
        where=r"slope",
    ),
    Slip(
        "leaky_relu_backward returns the slope without dy below zero",
        "The chain rule multiplies on both sides.",
        {"leaky_relu_backward": lambda dy, x, slope: np.where(x > 0, dy, slope)},
        where=r"slope",
    ),
    Slip(
        "leaky_relu_backward returns slope * x below zero",
        "That is y. What is asked for is dy times the derivative of y.",
        {"leaky_relu_backward": lambda dy, x, slope: np.where(x > 0, dy, slope * x)},
        where=r"slope",
    ),
    Slip(
        "leaky_relu_backward looks at the sign of dy",
        "On which side of the kink is the unit? Which of the two arrays knows?",
        {"leaky_relu_backward": lambda dy, x, slope: np.where(dy > 0, dy, slope * dy)},
        where=r"dy *>|maximum|dy *<",
    ),
    Slip(
        "leaky_relu_backward counts x = 0 to the right side",
        "Read the rule again: where is dx = dy?",
        {"leaky_relu_backward": lambda dy, x, slope: np.where(x >= 0, dy, slope * dy)},
        where=r">= *0|< *0",
    ),
    Slip(
        "the 1 is not subtracted in elu_forward",
        "What is y just below 0, and just above?",
        {"elu_forward": lambda x, alpha: np.where(x > 0, x, alpha * np.exp(np.minimum(x, 0)))},
        where=r"exp",
    ),
    Slip(
        "elu_forward subtracts the 1 after multiplying by alpha",
        "What is y at 0? Where do the brackets stand?",
        {"elu_forward": lambda x, alpha: np.where(x > 0, x, alpha * np.exp(np.minimum(x, 0)) - 1)},
        where=r"exp",
    ),
    Slip(
        "alpha is forgotten in elu_forward",
        "To which value does y go for very negative x?",
        {"elu_forward": lambda x, alpha: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)},
        where=r"exp",
    ),
    Slip(
        "alpha is forgotten in elu_backward",
        "Differentiate alpha * (exp(x) - 1).",
        {"elu_backward": lambda dy, x, alpha: np.where(x > 0, dy, dy * np.exp(np.minimum(x, 0)))},
        where=r"exp",
    ),
    Slip(
        "elu_backward multiplies by y, not by the slope",
        "What becomes of the -1 when you differentiate? The slope is never negative; is yours?",
        {"elu_backward": lambda dy, x, alpha: np.where(x > 0, dy, dy * alpha * (np.exp(np.minimum(x, 0)) - 1))},
        where=r"exp",
    ),
    Slip(
        "elu_backward returns the slope without dy below zero",
        "The chain rule multiplies on both sides.",
        {"elu_backward": lambda dy, x, alpha: np.where(x > 0, dy, alpha * np.exp(np.minimum(x, 0)))},
        where=r"exp",
    ),
    Slip(
        "elu_backward counts x = 0 to the right side",
        "Read the rule again: where is dx = dy?",
        {"elu_backward": lambda dy, x, alpha: np.where(x >= 0, dy, dy * alpha * np.exp(np.minimum(x, 0)))},
        where=r">= *0|< *0",
    ),
    Slip(
        "elu_forward multiplies an infinite exponential by 0",
        "A mask does not undo what was computed: exp(1000) * 0 is NaN. What must exp not be given?",
        {"elu_forward": lambda x, alpha: x * (x > 0) + alpha * (np.exp(x) - 1) * (x <= 0)},
        where=r"exp\(x",
    ),
    Slip(
        "elu_backward multiplies an infinite exponential by 0",
        "A mask does not undo what was computed: exp(1000) * 0 is NaN. What must exp not be given?",
        {"elu_backward": lambda dy, x, alpha: dy * ((x > 0) + alpha * np.exp(x) * (x <= 0))},
        where=r"exp\(x",
    ),
    Slip(
        "leaky_relu_backward takes the mean of both slopes at x = 0",
        "By the rule in the docstring, x = 0 belongs to the left side.",
        {"leaky_relu_backward": lambda dy, x, slope: dy * np.where(x > 0, 1, np.where(x < 0, slope, (1 + slope) / 2))},
        r"/ ?2|0\.5",
    ),
    Slip(
        "leaky_relu_forward has a slope of its own: 0.01",
        "The slope is an argument.",
        {"leaky_relu_forward": lambda x, slope: np.where(x > 0, x, 0.01 * x)},
        r"0?\.01",
    ),
    Slip(
        "leaky_relu_backward takes the mean of both slopes at x = 0",
        "By the rule in the docstring, x = 0 belongs to the left side.",
        {"leaky_relu_backward": lambda dy, x, slope: dy * np.where(x > 0, 1, np.where(x < 0, slope, (1 + slope) / 2))},
        r"/ ?2|0\.5",
    ),
    Slip(
        "leaky_relu_forward has a slope of its own: 0.01",
        "The slope is an argument.",
        {"leaky_relu_forward": lambda x, slope: np.where(x > 0, x, 0.01 * x)},
        r"0?\.01",
    ),
)


def groups_of(x: np.ndarray, K: int) -> np.ndarray:
    return x.reshape(len(x), -1, K, *x.shape[2:])


def maxout_gradient(share: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable:
    """dx = dy times a share of each piece, from the groups and their largest numbers."""

    def maxout_backward(dy: np.ndarray, x: np.ndarray, K: int) -> np.ndarray:
        pieces = groups_of(x, K)
        return (np.expand_dims(dy, 2) * share(pieces, pieces.max(axis=2, keepdims=True))).reshape(x.shape)

    return maxout_backward


def of_first(pieces: np.ndarray, largest: np.ndarray) -> np.ndarray:
    is_largest = pieces == largest
    return is_largest & (is_largest.cumsum(axis=2) == 1)


def maxout_backward_apart(dy, x, K):
    """Groups of features that are C apart."""
    pieces = x.reshape(len(x), K, -1, *x.shape[2:])
    largest = pieces.max(axis=1, keepdims=True)
    return (np.expand_dims(dy, 1) * (pieces == largest)).reshape(x.shape)


MAXOUT_SLIPS = (
    Slip(
        "the features of a group are taken C apart, not side by side",
        "Write x[0] = 0, 1, 2, 3, 4, 5 with K = 2. Which groups does the formula have, and which does your reshape?",
        {"maxout_forward": lambda x, K: x.reshape(len(x), K, -1, *x.shape[2:]).max(axis=1)},
        where=r"reshape|::",
    ),
    Slip(
        "maxout_backward takes the features of a group C apart",
        "Write x[0] = 0, 1, 2, 3, 4, 5 with K = 2. Which groups does the formula have, and which does your reshape?",
        {"maxout_backward": maxout_backward_apart},
        where=r"reshape|repeat|tile|::",
    ),
    Slip(
        "it is the smallest of each group",
        "Maxout is a maximum.",
        {"maxout_forward": lambda x, K: groups_of(x, K).min(axis=2)},
        where=r"min",
    ),
    Slip(
        "it is the mean of each group",
        "Maxout is a maximum.",
        {"maxout_forward": lambda x, K: groups_of(x, K).mean(axis=2)},
        where=r"mean",
    ),
    Slip(
        "it is the sum of each group",
        "Maxout is a maximum.",
        {"maxout_forward": lambda x, K: groups_of(x, K).sum(axis=2)},
        where=r"sum",
    ),
    Slip(
        "0 takes part in the maximum",
        "Where does a 0 come from? Of -3 and -2 the largest is -2.",
        {"maxout_forward": lambda x, K: np.maximum(groups_of(x, K).max(axis=2), 0)},
        where=r"zeros|maximum|, *0",
    ),
    Slip(
        "the number of largest size wins, whatever its sign",
        "Of -3 and 2 the largest is 2.",
        {
            "maxout_forward": lambda x, K: np.take_along_axis(
                groups_of(x, K), np.expand_dims(np.abs(groups_of(x, K)).argmax(axis=2), 2), axis=2
            ).squeeze(axis=2)
        },
        where=r"abs",
    ),
    Slip(
        "equal numbers all get dy",
        "Only one of them can have been handed on. Which, by the rule?",
        {"maxout_backward": maxout_gradient(lambda pieces, largest: pieces == largest)},
        where=r"==|>=",
    ),
    Slip(
        "equal numbers share dy",
        "Only one of them can have been handed on. Which, by the rule?",
        {
            "maxout_backward": maxout_gradient(
                lambda pieces, largest: (pieces == largest) / (pieces == largest).sum(axis=2, keepdims=True)
            )
        },
        where=r"sum",
    ),
    Slip(
        "of equal numbers the last one gets dy",
        "Which of them does the rule say?",
        {
            "maxout_backward": maxout_gradient(
                lambda pieces, largest: np.flip(of_first(np.flip(pieces, axis=2), largest), axis=2)
            )
        },
        where=r"argmax|::-1|range|>=",
    ),
    Slip(
        "every piece of a group gets dy",
        "Move one that did not win a little: what becomes of y?",
        {"maxout_backward": maxout_gradient(lambda pieces, largest: np.ones(pieces.shape))},
        where=r"repeat",
    ),
    Slip(
        "dy is multiplied by the number that won",
        "y is the winner itself. What is dy/dx then?",
        {"maxout_backward": maxout_gradient(lambda pieces, largest: of_first(pieces, largest) * pieces)},
        where=r"\*",
    ),
    Slip(
        "every piece gets dy / K",
        "That is the gradient of the mean.",
        {"maxout_backward": maxout_gradient(lambda pieces, largest: np.ones(pieces.shape) / pieces.shape[2])},
        where=r"/ *K",
    ),
    Slip(
        "the winner gets 1 instead of dy",
        "The chain rule multiplies the slope, 1, by something.",
        {"maxout_backward": lambda dy, x, K: maxout_gradient(of_first)(np.ones(dy.shape), x, K)},
        where=r"= *1",
    ),
    Slip(
        "maxout_forward has pairs, whatever K is",
        "K is the size of a group.",
        {"maxout_forward": lambda x, K: groups_of(x, 2).max(axis=2)},
        r"\b2\b",
    ),
    Slip(
        "maxout_forward has pairs, whatever K is",
        "K is the size of a group.",
        {"maxout_forward": lambda x, K: groups_of(x, 2).max(axis=2)},
        r"\b2\b",
    ),
)


A, C = 0.044715, math.sqrt(2 / math.pi)


def gelu_tanh(x: np.ndarray, c: float = C, a: float = A) -> np.ndarray:
    return np.tanh(c * (x + a * x**3))


def gelu_by(t: Callable[[np.ndarray], np.ndarray]) -> Callable:
    return lambda x: x * (1 + t(x)) / 2


def gelu_slope(
    t: Callable = gelu_tanh,
    inner: Callable = lambda x: C * (1 + 3 * A * x**2),
    flat: Callable = lambda t: 1 - t**2,
    front: Callable = lambda x: x,
    first: float = 1.0,
    half: float = 0.5,
) -> Callable:
    """gelu_backward with a piece replaced."""
    return lambda dy, x: dy * half * (first * (1 + t(x)) + front(x) * flat(t(x)) * inner(x))


def exact_gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def exact_gelu_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    phi = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return dy * ((1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2 + x * phi)


GELU_SLIPS = (
    Slip(
        "the half is missing in gelu_forward",
        "What must y be for a large x, where t = 1?",
        {"gelu_forward": lambda x: x * (1 + gelu_tanh(x))},
        where=r"return",
    ),
    Slip(
        "the x in front is missing in gelu_forward",
        "What must y be for a large x, where t = 1?",
        {"gelu_forward": lambda x: (1 + gelu_tanh(x)) / 2},
        where=r"return",
    ),
    Slip(
        "the 1 is missing beside t in gelu_forward",
        "What must y be for a very negative x, where t = -1?",
        {"gelu_forward": lambda x: x * gelu_tanh(x) / 2},
        where=r"return",
    ),
    Slip(
        "c is sqrt(2) / pi",
        "How far does the square root reach?",
        {"gelu_forward": gelu_by(lambda x: gelu_tanh(x, c=math.sqrt(2) / math.pi))},
        where=r"sqrt|0\.5",
    ),
    Slip(
        "the square root is missing in c",
        "Read c again.",
        {"gelu_forward": gelu_by(lambda x: gelu_tanh(x, c=2 / math.pi))},
        where=r"pi",
    ),
    Slip(
        "the term with x^3 is missing",
        "Two terms are inside the tanh.",
        {"gelu_forward": gelu_by(lambda x: gelu_tanh(x, a=0.0))},
        where=r"tanh",
    ),
    Slip(
        "x is squared inside the tanh, not cubed",
        "t must have the sign of x. Has yours?",
        {"gelu_forward": gelu_by(lambda x: np.tanh(C * (x + A * x**2)))},
        where=r"\* *\* *2|x *\* *x",
    ),
    Slip(
        "c multiplies only x, not the cube",
        "Where do the brackets stand?",
        {"gelu_forward": gelu_by(lambda x: np.tanh(C * x + A * x**3))},
        where=r"tanh",
    ),
    Slip(
        "it is the exact GELU, with erf",
        "That is another function, if only by a little: here t is a tanh.",
        {"gelu_forward": exact_gelu},
        where=r"erf|cdf",
    ),
    Slip(
        "it is x sigmoid(1.702 x), another approximation of GELU",
        "Here t is a tanh.",
        {"gelu_forward": lambda x: x / (1 + np.exp(-1.702 * x))},
        where=r"1\.702",
    ),
    Slip(
        "gelu_backward lacks the second term of the product rule",
        "t depends on x as well. (u v)' has two terms.",
        {"gelu_backward": gelu_slope(front=lambda x: 0 * x)},
        where=r"return",
    ),
    Slip(
        "gelu_backward lacks the first term of the product rule",
        "The x in front has a derivative too. (u v)' has two terms.",
        {"gelu_backward": gelu_slope(first=0.0)},
        where=r"return",
    ),
    Slip(
        "the x in front of the second term is missing in gelu_backward",
        "(u v)' = u' v + u v'. What is u?",
        {"gelu_backward": gelu_slope(front=np.ones_like)},
        where=r"return",
    ),
    Slip(
        "the derivative of what is inside the tanh is missing",
        "The chain rule goes on inside: dt/dx = (1 - t^2) times what?",
        {"gelu_backward": gelu_slope(inner=np.ones_like)},
        where=r"1 *- *t",
    ),
    Slip(
        "c is missing in the derivative of what is inside the tanh",
        "What is the derivative of c (x + a x^3)?",
        {"gelu_backward": gelu_slope(inner=lambda x: 1 + 3 * A * x**2)},
        where=r"1 *- *t|a *\*|0\.04",
    ),
    Slip(
        "the 3 is missing in the derivative of x^3",
        "What is the derivative of c (x + a x^3)?",
        {"gelu_backward": gelu_slope(inner=lambda x: C * (1 + A * x**2))},
        where=r"x *\* *\* *2|x *\* *x",
    ),
    Slip(
        "the derivative of the cube is missing",
        "What is the derivative of c (x + a x^3)?",
        {"gelu_backward": gelu_slope(inner=lambda x: C * np.ones_like(x))},
        where=r"1 *- *t",
    ),
    Slip(
        "the slope of tanh is 1 - t, not squared",
        "tanh' = 1 - tanh^2.",
        {"gelu_backward": gelu_slope(flat=lambda t: 1 - t)},
        where=r"1 *- *t",
    ),
    Slip(
        "the second term of gelu_backward is not halved",
        "y = x/2 + x t/2: both terms are halved.",
        {"gelu_backward": gelu_slope(front=lambda x: 2 * x)},
        where=r"return",
    ),
    Slip(
        "gelu_backward is not halved",
        "What must dx be for a large x, where t = 1?",
        {"gelu_backward": gelu_slope(half=1.0)},
        where=r"return",
    ),
    Slip(
        "gelu_backward returns the slope without dy",
        "The chain rule multiplies two numbers. Which is the other one?",
        {"gelu_backward": lambda dy, x: gelu_slope()(np.ones_like(x), x)},
        where=r"return",
    ),
    Slip(
        "gelu_backward is the slope of the exact GELU",
        "It must belong to the forward pass, in which t is a tanh.",
        {"gelu_backward": exact_gelu_backward},
        where=r"erf|exp",
    ),
)


def std_of(variance: Callable[[int, int, int], float]) -> Callable[[tuple[int, ...]], float]:
    """The standard deviation from shape[1], shape[0] and the pixels of a filter."""
    return lambda shape: math.sqrt(variance(shape[1], shape[0], math.prod(shape[2:])))


START_SLIPS = (
    Slip(
        "xavier_std is the variance",
        "A standard deviation is what, of a variance?",
        {"xavier_std": lambda shape: std_of(lambda i, o, p: 2 / ((i + o) * p))(shape) ** 2},
        where=r"return",
    ),
    Slip(
        "msra_std is the variance",
        "A standard deviation is what, of a variance?",
        {"msra_std": lambda shape: std_of(lambda i, o, p: 2 / (i * p))(shape) ** 2},
        where=r"return",
    ),
    Slip(
        "xavier_std does not count the pixels of a filter",
        "How many numbers is one output of a 3 x 3 convolution summed from?",
        {"xavier_std": std_of(lambda i, o, p: 2 / (i + o))},
        where=r"shape\[",
    ),
    Slip(
        "msra_std does not count the pixels of a filter",
        "How many numbers is one output of a 3 x 3 convolution summed from?",
        {"msra_std": std_of(lambda i, o, p: 2 / i)},
        where=r"shape\[",
    ),
    Slip(
        "the pixels of a filter are in fan_in and not in fan_out",
        "One input pixel lies below how many places of the filter?",
        {"xavier_std": std_of(lambda i, o, p: 2 / (i * p + o))},
        where=r"shape\[0\]|fan_out",
    ),
    Slip(
        "xavier_std takes fan_in alone",
        "Whose size does the start keep, that of the signals or that of the gradients? Xavier's is between the two.",
        {"xavier_std": std_of(lambda i, o, p: 1 / (i * p))},
        where=r"sqrt|\*\*",
    ),
    Slip(
        "xavier_std has a 1 where there must be a 2",
        "If fan_in and fan_out are equal, the variance must be 1 / fan_in.",
        {"xavier_std": std_of(lambda i, o, p: 1 / ((i + o) * p))},
        where=r"sqrt|\*\*",
    ),
    Slip(
        "xavier_std is the bound of the uniform distribution",
        "A uniform distribution from -a to a has the variance a^2 / 3.",
        {"xavier_std": std_of(lambda i, o, p: 6 / ((i + o) * p))},
        where=r"6",
    ),
    Slip(
        "msra_std takes fan_out",
        "In (out, in), which one is the number of inputs?",
        {"msra_std": std_of(lambda i, o, p: 2 / (o * p))},
        where=r"shape\[0\]",
    ),
    Slip(
        "msra_std lacks the 2",
        "What does ReLU do to half of the numbers?",
        {"msra_std": std_of(lambda i, o, p: 1 / (i * p))},
        where=r"sqrt|\*\*",
    ),
    Slip(
        "msra_std is Xavier's",
        "MSRA's formula has no fan_out in it.",
        {"msra_std": std_of(lambda i, o, p: 2 / ((i + o) * p))},
        where=r"shape\[0\]|fan_out",
    ),
    Slip(
        "filters are taken to be square",
        "KH and KW may differ.",
        {"xavier_std": lambda shape: math.sqrt(2 / ((shape[0] + shape[1]) * (shape[2] ** 2 if shape[2:] else 1)))},
        where=r"\*\* *2|shape\[2\] *\* *shape\[2\]",
    ),
    Slip(
        "draw_weights takes std for the variance",
        "What is to be multiplied by what, to give numbers of standard deviation 1 the standard deviation std?",
        {"draw_weights": lambda shape, std, rng: math.sqrt(std) * rng.standard_normal(shape)},
        where=r"sqrt",
    ),
    Slip(
        "draw_weights takes the variance for std",
        "What is to be multiplied by what, to give numbers of standard deviation 1 the standard deviation std?",
        {"draw_weights": lambda shape, std, rng: std**2 * rng.standard_normal(shape)},
        where=r"\*\* *2|std *\* *std",
    ),
    Slip(
        "draw_weights forgets std",
        "Which of the three arguments is not used?",
        {"draw_weights": lambda shape, std, rng: rng.standard_normal(shape)},
        where=r"rng\.",
    ),
    Slip(
        "draw_weights is uniform between -std and std",
        "A normal distribution is asked for, and the uniform one from -a to a has the variance a^2 / 3.",
        {"draw_weights": lambda shape, std, rng: rng.uniform(-std, std, shape)},
        where=r"uniform|random",
    ),
    Slip(
        "draw_weights is uniform, if of the right spread",
        "A normal distribution is asked for.",
        {"draw_weights": lambda shape, std, rng: rng.uniform(-math.sqrt(3) * std, math.sqrt(3) * std, shape)},
        where=r"uniform|random",
    ),
    Slip(
        "draw_weights gives the mean as std",
        "rng.normal takes the mean first.",
        {"draw_weights": lambda shape, std, rng: rng.normal(std, 1.0, shape)},
        where=r"normal",
    ),
    Slip(
        "all outputs start with the same weights",
        "What becomes of units that start equal?",
        {"draw_weights": lambda shape, std, rng: np.zeros(shape) + std * rng.standard_normal(shape[1:])},
        where=r"shape\[1",
    ),
    Slip(
        "draw_weights has a generator of its own, with a fixed seed",
        "Two layers of one shape would start with the same weights.",
        {"draw_weights": lambda shape, std, rng: std * np.random.default_rng(0).standard_normal(shape)},
        where=r"default_rng",
    ),
    Slip(
        "all weights are positive",
        "What is the mean of them?",
        {"draw_weights": lambda shape, std, rng: np.abs(std * rng.standard_normal(shape))},
        where=r"abs",
    ),
    Slip(
        "msra_std counts all weights of the layer, not those of one output",
        "How many numbers is one output summed from?",
        {"msra_std": lambda shape: math.sqrt(2 / math.prod(shape))},
        r"prod|size",
    ),
    Slip(
        "xavier_std takes filters for squares of their width",
        "A filter has KH x KW pixels.",
        {"xavier_std": lambda shape: math.sqrt(2 / ((shape[0] + shape[1]) * (shape[-1] ** 2 if len(shape) > 2 else 1)))},
        r"\*\* ?2|-1",
    ),
)


def whiten_by(
    centre: Callable = lambda train, x: x - train.mean(axis=0),
    covariance: Callable = lambda train, test: np.cov(train.T, bias=True),
    scale: Callable = lambda variances, eps: 1 / np.sqrt(variances + eps),
    matrix: Callable = lambda U, scale: U * scale @ U.T,
) -> Callable:
    """whiten with a piece replaced."""

    def whiten(train, test, eps):
        variances, U = np.linalg.eigh(covariance(train, test))
        turn = matrix(U, scale(variances, eps))
        return centre(train, train) @ turn, centre(train, test) @ turn

    return whiten


def whiten_apart(train, test, eps):
    whiten = whiten_by()
    return whiten(train, train, eps)[0], whiten(test, test, eps)[0]


def scaled_by_column(train, test, eps):
    mean, variance = train.mean(axis=0), train.var(axis=0)
    return (train - mean) / np.sqrt(variance + eps), (test - mean) / np.sqrt(variance + eps)


def whiten_together(train, test, eps):
    both = np.concatenate([train, test])
    return whiten_by()(both, train, eps)[1], whiten_by()(both, test, eps)[1]


WHITENING_SLIPS = (
    Slip(
        "the test data is whitened by its own mean and covariance",
        "Whose statistics may a test sample depend on? What if a single one came?",
        {"whiten": whiten_apart},
        where=r"test",
    ),
    Slip(
        "training and test data are whitened by what both have together",
        "What may the test data have a say in?",
        {"whiten": whiten_together},
        where=r"concatenate|vstack|append",
    ),
    Slip(
        "the mean of the test data is taken away from the test data",
        "The same numbers are applied to both. Which mean is that?",
        {"whiten": whiten_by(centre=lambda train, x: x - x.mean(axis=0))},
        where=r"test\.mean|np\.mean\(test",
    ),
    Slip(
        "the mean is not taken away before turning",
        "What is y at x = mean?",
        {"whiten": whiten_by(centre=lambda train, x: x)},
        where=r"return|@|dot",
    ),
    Slip(
        "the covariance is that of data whose mean was not taken away",
        "The formula of C has a mean in it.",
        {"whiten": whiten_by(covariance=lambda train, test: train.T @ train / len(train))},
        where=r"\.T",
    ),
    Slip(
        "the covariance is divided by N - 1",
        "np.cov divides by N - 1 unless told otherwise; the formula by N.",
        {"whiten": whiten_by(covariance=lambda train, test: np.cov(train.T))},
        where=r"cov\(|- *1",
    ),
    Slip(
        "the covariance is not divided by N",
        "With twice the data, should the result change much?",
        {"whiten": whiten_by(covariance=lambda train, test: np.cov(train.T, bias=True) * len(train))},
        where=r"\.T *@|dot",
    ),
    Slip(
        "the data is not turned back",
        "The product has three matrices. What does the last one do?",
        {"whiten": whiten_by(matrix=lambda U, scale: U * scale)},
        where=r"@|dot",
    ),
    Slip(
        "U and its transpose are exchanged",
        "Are the components the rows or the columns of U? Where do (x - mean) and the variances meet?",
        {"whiten": whiten_by(matrix=lambda U, scale: U.T * scale @ U)},
        where=r"\.T",
    ),
    Slip(
        "each feature is divided by its own standard deviation: standardised, not whitened",
        "Are the features still correlated?",
        {"whiten": scaled_by_column},
        where=r"std|var",
    ),
    Slip(
        "eps is not used",
        "What becomes of a direction in which nothing varies?",
        {"whiten": whiten_by(scale=lambda variances, eps: 1 / np.sqrt(variances))},
        where=r"sqrt",
    ),
    Slip(
        "eps is added outside the square root",
        "eps is in the units of a variance. What is added to it?",
        {"whiten": whiten_by(scale=lambda variances, eps: 1 / (np.sqrt(variances) + eps))},
        where=r"sqrt",
    ),
    Slip(
        "it is divided by variances, not by their square roots",
        "A coordinate of variance l, divided by what, has variance 1?",
        {"whiten": whiten_by(scale=lambda variances, eps: 1 / (variances + eps))},
        where=r"eps",
    ),
    Slip(
        "it is multiplied by the square roots instead of divided",
        "Which variance do the coordinates have afterwards?",
        {"whiten": whiten_by(scale=lambda variances, eps: np.sqrt(variances + eps))},
        where=r"sqrt",
    ),
    Slip(
        "the coordinates are not divided by anything",
        "Turned there and turned back is where we were.",
        {"whiten": whiten_by(scale=lambda variances, eps: np.ones_like(variances))},
        where=r"return",
    ),
    Slip(
        "whiten has an eps of its own",
        "eps is an argument.",
        {"whiten": whiten_by(scale=lambda variances, eps: 1 / np.sqrt(variances + 1e-5))},
        r"1e-",
    ),
    Slip(
        "The whitened test set comes first",
        "In which order are the two asked for?",
        {"whiten": lambda train, test, eps: whiten_by()(train, test, eps)[::-1]},
        r"return",
    ),
)


def unit_axes(y: np.ndarray) -> tuple[int, ...]:
    return (0, *range(2, y.ndim))


DEAD_SLIPS = (
    Slip(
        "it is the share of zeros, not of units",
        "A unit that answers to a few samples only is alive. First decide for each unit, then count.",
        {"dead_share": lambda y: float((y == 0).mean())},
        where=r"mean|sum|count",
    ),
    Slip(
        "it is the share of units that are 0 for at least one sample",
        "For one sample, or for every sample?",
        {"dead_share": lambda y: float((y == 0).any(axis=unit_axes(y)).mean())},
        where=r"any|prod|min",
    ),
    Slip(
        "it is the share of units that are alive",
        "Which of the two is asked for?",
        {"dead_share": lambda y: float((y != 0).any(axis=unit_axes(y)).mean())},
        where=r"!=|>",
    ),
    Slip(
        "it is the number of dead units, not their share",
        "Of how many?",
        {"dead_share": lambda y: float((y == 0).all(axis=unit_axes(y)).sum())},
        where=r"sum|count",
    ),
    Slip(
        "it is the share of samples for which no unit answers",
        "Which axis is that of the samples? Over which one is `every` to be taken?",
        {"dead_share": lambda y: float((y == 0).all(axis=tuple(range(1, y.ndim))).mean())},
        where=r"axis",
    ),
    Slip(
        "every pixel of a map counts as a unit of its own",
        "The pixels of a channel share their weights. How many units has (N, C, H, W)?",
        {"dead_share": lambda y: float((y == 0).all(axis=0).mean())},
        where=r"axis|reshape",
    ),
    Slip(
        "only the first sample is looked at",
        "A unit that is silent now may answer to another sample.",
        {"dead_share": lambda y: float((y[:1] == 0).all(axis=unit_axes(y)).mean())},
        where=r"\[0\]",
    ),
    Slip(
        "dead units are divided by the number of samples",
        "The share of what?",
        {"dead_share": lambda y: float((y == 0).all(axis=unit_axes(y)).sum() / len(y))},
        where=r"/",
    ),
    Slip(
        "units that answer weakly are counted as dead",
        "How small is 0?",
        {"dead_share": lambda y: float((y < 0.05).all(axis=unit_axes(y)).mean())},
        where=r"<|isclose|allclose",
    ),
    Slip(
        "It is always 0",
        "Some units of the check are dead.",
        {"dead_share": lambda y: 0.0},
        r"return",
    ),
    Slip(
        "No unit of a convolution is found to be dead",
        "A unit of a convolution is a whole map: 0 for every sample and at every pixel.",
        {"dead_share": lambda y: float((y == 0).all(axis=0).mean()) if y.ndim == 2 else 0.0},
        r"axis ?= ?0",
    ),
)
