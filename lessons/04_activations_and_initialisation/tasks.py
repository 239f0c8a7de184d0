"""Lesson 4: what its exercise asks for, and the mistakes that people make in it.

Numbers and shapes are new each time, the cases are not: one axis and four, both sides of each kink and the kink itself,
numbers of which an exponential overflows, ties, filters that are not square, features that never vary.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from minicnn.course import Mistake, Slip, Student, Task
from minicnn.course.expect import expect_array, expect_close, expect_gradients, expect_number, expect_several
from minicnn.course.workbench import GREY, ORANGE, drawn_digits, find_data
from minicnn.data import ZCA, load_mnist
from minicnn.gradcheck import check_function
from minicnn.layers import ELU, GELU, Layer, LeakyReLU, Linear, Maxout, Sequential, Sigmoid, Tanh
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models.activations import activations
from minicnn.optim import SGD
from minicnn.training import Trainer

# ---- what several tasks share


def shapes(rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Of two axes, one, and four; no two sides of a shape are equal."""
    return [tuple(int(n) for n in rng.permutation([3, 4, 5, 6])[:axes]) for axes in (2, 1, 4)]


def both_sides(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of both signs, none so near to 0 that a step of the gradient check would cross it."""
    x = rng.choice([-1, 1], shape) * rng.uniform(0.1, 2, shape)
    x.flat[:2] = 1.5, -1.5
    return rng.permuted(x)


def far_out(rng: np.random.Generator) -> np.ndarray:
    return rng.permutation([-1000.0, -30, -1, 0, 1, 30, 1000])


def compare_activation(
    student: Student,
    name: str,
    layer: Layer,
    x: np.ndarray,
    rng: np.random.Generator,
    constants: tuple = (),
    from_y: bool = False,
) -> None:
    """NAME_forward(x, ...) against the engine's layer, and NAME_backward(dy, x or y, ...) against a measured gradient too."""
    forward, backward = getattr(student, f"{name}_forward"), getattr(student, f"{name}_backward")
    other, y = layer.train().forward(-x), layer.forward(x)
    for sign, expected in ((1, y), (-1, other)):
        expect_close(f"y of {name}_forward (x {x.shape})", forward(sign * x, *constants), expected)
    dy = rng.standard_normal(y.shape)
    expected, seen = layer.backward(dy), y if from_y else x
    subject = f"{name}_backward (x {x.shape})"
    expect_gradients(
        subject,
        [backward(dy, seen, *constants)],
        {"dx": expected},
        lambda: check_function(
            lambda x: layer.eval().forward(x),
            lambda dy: {"x": backward(dy, seen, *constants)},
            {"x": x},
            subject=subject,
            rng=rng,
        ),
    )


def watched_call(function: Callable, *arguments: Any) -> tuple[Any, list[str]]:
    """What a function returns, and what NumPy warned of meanwhile."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answer = function(*arguments)
    return answer, [str(warning.message) for warning in caught if issubclass(warning.category, RuntimeWarning)]


def expect_without_overflow(name: str, answer: Any, warned: list[str], expected: np.ndarray) -> None:
    """`Mistake` unless the answer is right, finite, and was computed without a warning."""
    where = f"{name} for x from -1000 to 1000"
    if np.shape(answer) == expected.shape and not np.isfinite(answer).all():
        raise Mistake(
            f"right for ordinary numbers, but {where} holds NaN or infinity: exp(1000) is infinite, and infinity divided by "
            "infinity, or times 0, is NaN"
        )
    expect_close(where, answer, expected)
    if warned:
        raise Mistake(
            f"{where} is right, but on the way NumPy warns of {warned[0]!r}. Is a number computed there that is thrown away "
            "afterwards? np.where computes both of its branches everywhere"
        )


# ---- Task 1


def squashing(student: Student, rng: np.random.Generator) -> None:
    for name, layer in (("sigmoid", Sigmoid()), ("tanh", Tanh())):
        for shape in shapes(rng):
            compare_activation(student, name, layer, 2 * rng.standard_normal(shape), rng, from_y=True)
        x = far_out(rng)
        y, dy = layer.forward(x), rng.standard_normal(x.shape)
        expect_without_overflow(f"{name}_forward", *watched_call(getattr(student, f"{name}_forward"), x), y)
        slopes = getattr(student, f"{name}_backward")(dy, y)
        expect_close(f"{name}_backward for y from {y.min():g} to 1", slopes, layer.backward(dy))


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
)

# ---- Task 2


def leaky_and_elu(student: Student, rng: np.random.Generator) -> None:
    slope, alpha = float(rng.uniform(0.05, 0.4)), float(rng.choice([rng.uniform(0.4, 0.8), rng.uniform(1.3, 2)]))
    for name, layer, constant in (("leaky_relu", LeakyReLU(slope), slope), ("elu", ELU(alpha), alpha)):
        for shape in shapes(rng):
            compare_activation(student, name, layer, both_sides(rng, shape), rng, (constant,))
        forward, backward = getattr(student, f"{name}_forward"), getattr(student, f"{name}_backward")
        x = far_out(rng)
        dy = rng.choice([-1, 1], x.shape) * rng.uniform(1, 2, x.shape)
        y, dx = layer.forward(x), layer.backward(dy)
        expect_without_overflow(f"{name}_forward", *watched_call(forward, x, constant), y)
        got, warned = watched_call(backward, dy, x, constant)
        kink = x == 0
        if np.shape(got) == x.shape and np.allclose(got[~kink], dx[~kink]) and not np.allclose(got[kink], dx[kink]):
            raise Mistake(
                f"{name}_backward at x = 0: by our rule dx is dy only where x > 0, and so x = 0 belongs to the left side; "
                f"for dy = {dy[kink][0]:.4g} expected {dx[kink][0]:.4g}, got {got[kink][0]:.4g}"
            )
        expect_without_overflow(f"{name}_backward", got, warned, dx)


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
)

# ---- Task 3


def maxout(student: Student, rng: np.random.Generator) -> None:
    N, C, H, W = (int(n) for n in rng.permutation([3, 4, 5, 6]))
    cases = [((N, 2 * C), 2), ((N, 3 * C), 3), ((1, 4), 4), ((N, 2 * C, H, W), 2), ((C, 3 * 2, W, H), 3)]
    for shape, K in cases:
        maxout_of(student, rng, rng.standard_normal(shape), K)
        maxout_of(student, rng, -rng.uniform(0.1, 2, shape), K)  # a largest one may well be negative
    for shape in ((N, 2 * 3 * C), (2, 3 * C, 2, 2)):
        maxout_with_ties(student, rng, shape)


def maxout_of(student: Student, rng: np.random.Generator, x: np.ndarray, K: int) -> None:
    layer, subject = Maxout(K).train(), f"maxout_backward (x {x.shape}, K = {K})"
    y = layer.forward(x)
    expect_close(f"y (x {x.shape}, K = {K})", student.maxout_forward(x, K), y)
    dy = rng.standard_normal(y.shape)
    expect_gradients(
        subject,
        [student.maxout_backward(dy, x, K)],
        {"dx": layer.backward(dy)},
        lambda: check_function(
            lambda x: Maxout(K).forward(x),
            lambda dy: {"x": student.maxout_backward(dy, x, K)},
            {"x": x},
            subject=subject,
            rng=rng,
        ),
    )


def maxout_with_ties(student: Student, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    x = rng.integers(-1, 2, shape).astype(np.float64)
    x[0, :3] = np.reshape([1, 1, 0], (3, *[1] * (x.ndim - 2)))  # the first two of a group are equal
    layer = Maxout(3).train()
    dy = rng.uniform(1, 2, layer.forward(x).shape)
    expected = layer.backward(dy)
    got = expect_array("dx", np.asarray(student.maxout_backward(dy, x, 3)), x.shape)
    if not np.allclose(got, expected):
        raise Mistake(
            f"maxout_backward with equal numbers in a group of 3: one of them gets dy, the first, and the others 0. For "
            f"x = {_short(x)} and dy = {dy[0].ravel()[0]:.3g} the first group must get {_short(expected)}, got {_short(got)}"
        )


def _short(x: np.ndarray) -> str:
    group = x[0, :3] if x.ndim == 2 else x[0, :3, 0, 0]
    return "[" + ", ".join(f"{value:.3g}" for value in group) + "]"


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
)

# ---- Task 4


def gelu(student: Student, rng: np.random.Generator) -> None:
    for shape in shapes(rng):
        compare_activation(student, "gelu", GELU(), 1.5 * rng.standard_normal(shape), rng)
    layer, x = GELU().train(), far_out(rng)
    y, dy = layer.forward(x), rng.standard_normal(x.shape)
    dx = layer.backward(dy)
    with np.errstate(all="ignore"):
        expect_close("y for x of up to 1000 and down to -1000", student.gelu_forward(x), y)
        expect_close("dx for x of up to 1000 and down to -1000", student.gelu_backward(dy, x), dx)


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

# ---- Task 5


def starts(student: Student, rng: np.random.Generator) -> None:
    for _ in range(3):
        outputs, inputs, KH, KW = (int(n) for n in rng.permutation([2, 3, 5, 7, 11])[:4])
        for shape in ((outputs * 10, inputs), (outputs, inputs * 10), (outputs * 4, inputs, KH, KW), (1, inputs, KH, KW)):
            fan_in, fan_out = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
            for name, variance in (("xavier_std", 2 / (fan_in + fan_out)), ("msra_std", 2 / fan_in)):
                got = expect_number(f"{name}({shape})", getattr(student, name)(shape))
                expect_close(f"{name}({shape})", got, np.float64(math.sqrt(variance)))
    for shape in ((90, 200), (20, 30, 5, 6)):
        for std in (float(rng.uniform(0.02, 0.2)), float(rng.uniform(1.5, 3))):
            drawn(student, rng, shape, std)
    for shape in ((1, 3), (4, 1), (2, 1, 1, 1)):
        expect_array(f"draw_weights({shape}, ...)", student.draw_weights(shape, 0.1, rng.spawn(1)[0]), shape)


def drawn(student: Student, rng: np.random.Generator, shape: tuple[int, ...], std: float) -> None:
    """Weights as a whole: what is random is judged by its mean, spread and form only, within six standard errors."""
    seed, n = int(rng.integers(1, 2**31)), math.prod(shape)
    call = f"draw_weights({shape}, {std:.3g}, rng)"
    generator = np.random.default_rng(seed)
    w = expect_array(call, student.draw_weights(shape, std, generator), shape)
    found, mean = float(w.std()), float(w.mean())
    if abs(found - std) > 6 * std / math.sqrt(2 * n):
        raise Mistake(f"{call}: the standard deviation must be {std:.4g}, within chance, and is {found:.4g}")
    if abs(mean) > 6 * std / math.sqrt(n):
        raise Mistake(f"{call}: the mean must be 0, within chance, and is {mean:.4g}")
    kurtosis = float((((w - mean) / found) ** 4).mean())
    if abs(kurtosis - 3) > 6 * math.sqrt(24 / n):
        raise Mistake(
            f"{call}: the mean fourth power of w / std is {kurtosis:.2f}; of a normal distribution it is 3 (of a uniform one "
            "1.8, and less than 3 of one that is cut off)"
        )
    if len(np.unique(w)) < 0.99 * n:
        raise Mistake(f"{call}: of {n} weights only {len(np.unique(w))} are different; each is drawn by itself")
    if np.array_equal(w, student.draw_weights(shape, std, generator)):
        raise Mistake(f"{call}, called again with the same rng, gives the same weights: are they drawn from that rng?")
    if not np.array_equal(w, student.draw_weights(shape, std, np.random.default_rng(seed))):
        raise Mistake(f"{call} gives other weights for another rng of the same seed: are they drawn from that rng?")


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
)

# ---- Task 6


def whitening(student: Student, rng: np.random.Generator) -> None:
    for never_varies in (False, False, True):
        whitening_of(student, rng, never_varies)


def whitening_of(student: Student, rng: np.random.Generator, never_varies: bool) -> None:
    D, M = (int(n) for n in rng.permutation([3, 4, 5, 6])[:2])
    N, eps = int(rng.integers(20, 30)), float(rng.uniform(0.05, 0.3))
    mixture, offset = rng.standard_normal((D, D)) * rng.uniform(0.3, 2, D), rng.uniform(1, 3, D)
    train, test = (rng.standard_normal((n, D)) @ mixture + offset for n in (N, M))
    if never_varies:
        train[:, 0] = test[:, 0] = 2.5
        eps = 1e-4
    zca = ZCA(eps).fit(train)
    case = f"(train {train.shape}, test {test.shape}, eps {eps:.3g}" + (", one feature never varies)" if never_varies else ")")
    with np.errstate(all="ignore"):
        got = expect_several("whiten", student.whiten(train, test, eps), "train, test")
    for name, white, x in zip(("whitened train", "whitened test"), got, (train, test), strict=True):
        expect_close(f"{name} {case}", white, zca(x))


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
)

# ---- Task 7


def dead(student: Student, rng: np.random.Generator) -> None:
    """All answers first, and then the verdict: a single share may be right by chance, or be that of several mistakes."""
    units, H, W = (int(n) for n in rng.permutation([5, 6, 7]))
    N = int(rng.integers(20, 30))  # so many that no unit is silent by chance
    cases = [outputs_of_relus(rng, shape, number) for shape in ((N, units), (N, units, H, W)) for number in (2, 0, 1, units)]
    answers = [student.dead_share(y) for y in cases]
    for y, answer in zip(cases, answers, strict=True):
        number = sum(not y[:, unit].any() for unit in range(units))
        name = f"dead_share (y {y.shape})"
        got = expect_number(name, answer)
        if abs(got - number / units) > 1e-9:
            pixels = " and at every pixel" if y.ndim > 2 else ""
            raise Mistake(
                f"{name}: {number} of {units} units are 0 for every sample{pixels}, which is {number / units:.4g}; got "
                f"{got:.4g}. (Of all numbers in y, {np.mean(y == 0):.4g} are 0)"
            )


def outputs_of_relus(rng: np.random.Generator, shape: tuple[int, ...], number: int) -> np.ndarray:
    """So many dead units, one that answers once and weakly, many zeros, and a sample to which one unit answers at most."""
    y = np.maximum(rng.standard_normal(shape), 0)
    units = rng.permutation(shape[1])
    y[0, units[:-1]] = 0
    rarely = y[:, units[-2]]
    rarely[...] = 0
    rarely[(-1, *(int(rng.integers(n)) for n in rarely.shape[1:]))] = 0.01
    y[1] = 0
    y[:, units[:number]] = 0
    return y


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
)

# ---- the tasks

TASKS = [
    Task(
        "Sigmoid and tanh, for numbers of any size",
        squashing,
        ("sigmoid_forward", "sigmoid_backward", "tanh_forward", "tanh_backward"),
        SQUASHING_SLIPS,
        (
            "Print np.exp(1000), np.exp(-1000) and np.exp(1000) / np.exp(1000). Which of them can you live with?",
            "exp(-|x|) is never above 1. Both forms of the sigmoid can be written with it: one has 1 above the line, the other "
            "this number. The backward passes need nothing but y.",
            "e = np.exp(-np.abs(x)); y is 1 / (1 + e) where x >= 0 and e / (1 + e) elsewhere, and np.where may choose, as "
            "nothing here can overflow.",
        ),
        points=2,
    ),
    Task(
        "Leaky ReLU and ELU",
        leaky_and_elu,
        ("leaky_relu_forward", "leaky_relu_backward", "elu_forward", "elu_backward"),
        LEAKY_SLIPS,
        (
            "Draw both functions on paper, and below each its slope. Where is the kink of ELU if alpha is not 1?",
            "Each is np.where(x > 0, ..., ...), and backward chooses by the sign of x, not of dy. But np.where computes both "
            "sides everywhere: what do you give to exp where x is large?",
            "np.minimum(x, 0) is x where the left side is wanted, and 0 elsewhere. The slope of alpha * (exp(x) - 1) is "
            "alpha * exp(x).",
        ),
        points=2,
    ),
    Task(
        "Maxout",
        maxout,
        ("maxout_forward", "maxout_backward"),
        MAXOUT_SLIPS,
        (
            "Take x of one row, 0 to 5, and K = 2. What must y be, and which of the six get a share of dy?",
            "Reshape, so that the K of a group have an axis of their own: neighbours along the old axis stay neighbours along "
            "the last of the new ones. Pixels, if there are any, are simply two more axes.",
            "pieces = x.reshape(N, -1, K, *x.shape[2:]); forward is a max over axis 2. Backward, argmax over that axis says "
            "who won (the first of equals); np.put_along_axis puts dy there, into zeros of the shape of pieces.",
        ),
        points=2,
    ),
    Task(
        "GELU by tanh",
        gelu,
        ("gelu_forward", "gelu_backward"),
        GELU_SLIPS,
        (
            "Write t down first, as a line of its own. What are y and its slope where t is 1, and where it is -1?",
            "y = u v with u = x / 2 and v = 1 + t. The product rule gives two terms; the second needs dt/dx, and there the "
            "chain rule goes on inside the tanh.",
            "dt/dx = (1 - t^2) c (1 + 3 a x^2), and dy/dx = (1 + t) / 2 + (x / 2) dt/dx.",
        ),
        points=2,
    ),
    Task(
        "Xavier and MSRA",
        starts,
        ("xavier_std", "msra_std", "draw_weights"),
        START_SLIPS,
        (
            "Count for a filter of 2 x 3 pixels over 4 channels: how many products are summed up for one output?",
            "shape[0] counts outputs, shape[1] inputs, and whatever comes after is the pixels of a filter, which multiply "
            "both. For a linear layer there are none, and an empty product is 1.",
            "math.prod(shape[2:]) is 1 for a linear layer. The standard deviation is the square root of the variance. "
            "rng.standard_normal(shape) has standard deviation 1.",
        ),
        points=2,
    ),
    Task(
        "Whitening by principal components",
        whitening,
        ("whiten",),
        WHITENING_SLIPS,
        (
            "Compute np.cov of your whitened training data (bias=True, eps tiny). What should it be?",
            "Four steps with numbers of the training data only: mean, covariance, its eigenvalues and eigenvectors, a matrix "
            "made of these. Then both sets go through the same two lines.",
            "With variances, U = np.linalg.eigh(C), U / np.sqrt(variances + eps) divides each *column* of U, and that @ U.T "
            "is the matrix by which the rows of (x - mean) are multiplied from the right.",
        ),
        points=2,
    ),
    Task(
        "The share of dead units",
        dead,
        ("dead_share",),
        DEAD_SLIPS,
        (
            "Make y of two samples and three units by hand. Which units are dead? Which numbers are 0 in a unit that is not?",
            "First a verdict for each unit: 0 over all axes but that of the units. Then the share of these verdicts.",
            "(y == 0).all(axis=...) takes a tuple of axes: 0, and whatever comes after 1. The mean of verdicts is a share.",
        ),
        points=1,
    ),
]

# ---- when all is passed: a network of the student's functions


class FromFunctions(Layer):
    """An activation made of two functions; the backward one is given y or x, as it wants."""

    def __init__(self, forward: Callable, backward: Callable, constants: tuple = (), from_y: bool = False):
        super().__init__()
        self.function, self.gradient, self.constants, self.from_y = forward, backward, constants, from_y

    def forward(self, x: np.ndarray) -> np.ndarray:
        y = self.function(x, *self.constants).astype(x.dtype, copy=False)
        self.remember(seen=y if self.from_y else x)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return self.gradient(dy, self.recall().seen, *self.constants).astype(dy.dtype, copy=False)


KINDS = {  # title: name of the functions, their constants, whether backward wants y, the engine's layer, pieces of a unit
    "sigmoid": ("sigmoid", (), True, Sigmoid, 1),
    "tanh": ("tanh", (), True, Tanh, 1),
    "leaky ReLU": ("leaky_relu", (0.1,), False, LeakyReLU, 1),
    "ELU": ("elu", (1.0,), False, ELU, 1),
    "GELU": ("gelu", (), False, GELU, 1),
    "maxout": ("maxout", (2,), False, Maxout, 2),
}


def finale(functions: Mapping[str, Any], out: Path) -> None:
    """Digits, whitened and learned by the student's functions; beside them the engine's activations from the same start."""
    rng, n = np.random.default_rng(4), 2000
    folder = find_data("mnist")
    pictures, labels = load_mnist(folder)[:2] if folder else drawn_digits(n + 1000, rng)
    pixels, labels = pictures[: n + 1000, ::2, ::2].reshape(n + 1000, -1) / 255, labels[: n + 1000]
    train, test = (part.astype(np.float32) for part in functions["whiten"](pixels[:n], pixels[n:], 0.1))
    figure, axes = plt.subplots(2, 3, figsize=(9, 4.8), sharex=True, sharey=True)
    accuracies = []
    for ax, (title, (name, constants, from_y, engines, pieces)) in zip(axes.flat, KINDS.items(), strict=True):
        std = functions["xavier_std" if from_y else "msra_std"]
        students = partial(FromFunctions, functions[f"{name}_forward"], functions[f"{name}_backward"], constants, from_y)
        for make, style in (
            (partial(engines, *constants), {"color": GREY, "lw": 5, "alpha": 0.5, "label": "minicnn"}),
            (students, {"color": ORANGE, "label": "yours"}),
        ):
            net = digits_network(make, pieces, train.shape[1], std, functions["draw_weights"])
            optimizer = SGD(net.parameters(), 0.05, momentum=0.9)
            trainer = Trainer(net, SoftmaxCrossEntropy(), optimizer, epochs=5, batch_size=50, progress=False)
            losses = [epoch["loss"] for epoch in trainer.fit(train, labels[:n]).epochs]
            ax.semilogy(range(1, len(losses) + 1), losses, **style)
        accuracies.append(trainer.evaluate(test, labels[n:])[1])
        ax.set_title(f"{title}: {accuracies[-1]:.0%} of test digits", fontsize=9)
        if name == "leaky_relu":
            inputs = activations(net, test, ["linear2"])["linear2"]
            leaking = functions["dead_share"](np.maximum(inputs, 0).astype(np.float64))
    axes[0, 0].legend()
    axes[1, 0].set(xlabel="epoch", ylabel="loss")
    figure.suptitle("Your activations, your start, your whitened digits; in grey the engine's activations from the same start")
    figure.tight_layout()
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "finale.png")
    plt.close(figure)
    print(
        f"With your functions, six networks learned {n} digits: {min(accuracies):.0%} to {max(accuracies):.0%} of 1000 others "
        f"are right, and {leaking:.0%} of the leaky ReLUs would be dead ReLUs. Figure: {out / 'finale.png'}"
    )


def digits_network(
    activation: Callable[[], Layer], pieces: int, inputs: int, std: Callable, draw: Callable, units: int = 64
) -> Sequential:
    """Two hidden layers, whose weights are drawn by the student's functions, always from the same seed."""
    rng = np.random.default_rng(0)

    def start(shape: tuple[int, ...], rng: np.random.Generator, dtype: Any) -> np.ndarray:
        return draw(shape, std(shape), rng).astype(dtype)

    return Sequential(
        linear1=Linear(inputs, pieces * units, initializer=start, rng=rng),
        activation1=activation(),
        linear2=Linear(units, pieces * units, initializer=start, rng=rng),
        activation2=activation(),
        scores=Linear(units, 10, initializer=start, rng=rng),
    )


FINALE = finale
