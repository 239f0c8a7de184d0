"""Lesson 2: the tasks of its exercise, how answers are checked, and the mistakes that people make in them.

The numbers differ from check to check; the cases do not. Whatever tells a right answer from a wrong one is in every check: a
border and none, strides of 1 and more, no two sizes equal that could be mistaken for each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.course import Lesson, Mistake, Slip, Student, Task
from minicnn.course.expect import expect_array, expect_close, expect_gradients, expect_number, expect_several
from minicnn.gradcheck import check_function
from minicnn.kernels import reference, textbook
from minicnn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from minicnn.losses import Loss, SoftmaxCrossEntropy

solution = Lesson(Path(__file__).resolve().parent).solution

KEPT = "does it use what linear_forward() kept? It must use nothing but its own arguments"
EPSILONS = 1e-8, 1e-9, 1e-10, 1e-12, 1e-15  # what people add to a p that may be 0

# ---- Task 1


def linear(student: Student, rng: np.random.Generator) -> None:
    N, D, M = (int(n) for n in rng.permutation([3, 4, 5, 6, 7])[:3])  # all different, so that a transposed array shows
    for samples, inputs, outputs in ((N, D, M), (1, D, 1), (N, 1, M)):  # an axis of length 1 must stay an axis
        linear_of_size(student, rng, samples, inputs, outputs)


def linear_of_size(student: Student, rng: np.random.Generator, N: int, D: int, M: int) -> None:
    layer = Linear(D, M).astype(np.float64)
    x, w, b = rng.standard_normal((N, D)), rng.standard_normal((M, D)), rng.standard_normal(M)
    layer.w.value, layer.b.value = w.copy(), b.copy()
    y = layer.train().forward(x)
    slips = {"Was the bias forgotten?": y - b, "Was the bias subtracted?": y - 2 * b}
    expect_close("y", student.linear_forward(x, w, b), y, slips)

    dy = rng.standard_normal(y.shape)
    expected = {"dx": layer.backward(dy), "dw": layer.w.grad, "db": layer.b.grad}
    got = expect_several("linear_backward", student.linear_backward(dy, x, w), "dx, dw, db")

    def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        return student.linear_forward(x, w, b)

    def backward(dy: np.ndarray) -> dict:
        return dict(zip("xwb", student.linear_backward(dy, x, w), strict=True))

    subject = f"linear_backward (x {x.shape}, w {w.shape})"
    arrays = {"x": x, "w": w, "b": b}
    expect_gradients(subject, got, expected, lambda: check_function(forward, backward, arrays, subject=subject, rng=rng))
    student.linear_forward(x + 1, 2 * w, b)
    for name, again, right in zip(expected, student.linear_backward(dy, x, w), expected.values(), strict=True):
        if not np.allclose(again, right):
            raise Mistake(f"linear_backward() gives another {name} after another forward pass: {KEPT}")


# ---- Task 2


def relu(student: Student, rng: np.random.Generator) -> None:
    for axes in (2, 1, 3, 4):
        relu_of_shape(student, rng, tuple(int(n) for n in rng.permutation([3, 4, 5, 6])[:axes]))
    x, dy = np.array([-1.0, 0.0, -0.0, 1.0]), rng.uniform(1, 2, 4)
    for sign in (1, -1):
        dx = expect_array("dx", student.relu_backward(sign * dy, x), x.shape)
        if (dx[1:3] != 0).any():
            raise Mistake(f"at x = 0 there is no derivative; by our rule dx is 0 there (dx = dy only where x > 0), got {dx[1]}")


def relu_of_shape(student: Student, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    x, dy = rng.choice([-1, 1], shape) * rng.uniform(0.1, 2, shape), rng.standard_normal(shape)  # away from the kink at 0
    x.flat[rng.choice(x.size, 3, replace=False)] = 100, -100, 0.01
    slips = {"Are the negative values kept and the positive ones lost?": np.minimum(x, 0), "That is |x|.": np.abs(x)}
    expect_close(f"y (x {shape})", student.relu_forward(x), ReLU().forward(x), slips, tolerance=1e-9)

    def forward(x: np.ndarray) -> np.ndarray:
        return student.relu_forward(x)

    def backward(dy: np.ndarray) -> dict:
        return {"x": student.relu_backward(dy, x)}

    subject, dx = f"relu_backward (x {shape})", student.relu_backward(dy, x)
    expect_gradients(
        subject, [dx], {"dx": dy * (x > 0)}, lambda: check_function(forward, backward, {"x": x}, subject=subject, rng=rng)
    )
    positive = np.abs(x)
    expect_close("y (x all positive)", student.relu_forward(positive), positive)
    expect_close("dx (x all positive)", student.relu_backward(dy, positive), dy)


# ---- Task 3


def softmax(student: Student, rng: np.random.Generator) -> None:
    fewer, more = (int(n) for n in np.sort(rng.permutation([3, 4, 5, 6, 7])[:2]))
    for N, K in ((more, fewer), (fewer, more), (1, fewer)):  # some classes come up twice, and some never
        softmax_of_size(student, rng, N, K)


def softmax_of_size(student: Student, rng: np.random.Generator, N: int, K: int) -> None:
    scores, y = 2 * rng.standard_normal((N, K)), rng.permutation(np.arange(N) % K)
    reference = SoftmaxCrossEntropy()
    expected = reference.forward(scores, y)
    loss, dscores = expect_several("softmax_cross_entropy", student.softmax_cross_entropy(scores, y), "loss, dscores")
    slips = {
        "Is it the sum over the samples? It must be their mean.": np.float64(expected * N),
        "Is the minus sign missing?": np.float64(-expected),
        "Is the logarithm taken to base 2?": np.float64(expected / np.log(2)),
        "Is it divided by N * K? There is one loss a sample, so divide by N.": np.float64(expected / K),
    }
    expect_close(f"loss ({N} samples, {K} classes)", expect_number("loss", loss), np.float64(expected), slips)

    def forward(scores: np.ndarray) -> np.ndarray:
        return np.asarray(student.softmax_cross_entropy(scores, y)[0])

    def backward(dy: np.ndarray) -> dict:
        return {"scores": dy * student.softmax_cross_entropy(scores, y)[1]}

    subject, arrays = f"softmax_cross_entropy ({N} samples, {K} classes)", {"scores": scores}
    expect_gradients(
        subject,
        [dscores],
        {"dscores": reference.backward()},
        lambda: check_function(forward, backward, arrays, subject=subject, rng=rng),
    )
    if N > 1:
        large_softmax(student, scores, y)


def large_softmax(student: Student, scores: np.ndarray, y: np.ndarray) -> None:
    reference = SoftmaxCrossEntropy()
    for title, large, labels in large_scores(scores, y):
        with np.errstate(all="ignore"):
            loss, dscores = student.softmax_cross_entropy(large, labels)
        expected = reference.forward(large, labels)
        if not np.isfinite(loss) or not np.isfinite(dscores).all():
            raise Mistake(
                f"right for ordinary scores, but {title} give NaN or infinity. Subtract each sample's own largest score first, "
                "and write log p as (shifted score) - log(sum of exponentials), so that no logarithm of 0 is taken"
            )
        expect_close(f"loss ({title})", expect_number("loss", loss), np.float64(expected))
        expect_close(f"dscores ({title})", dscores, reference.backward())


def large_scores(scores: np.ndarray, y: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Scores that overflow or underflow with any shift but each row's own largest score, with a title and labels.

    One row far above the others leaves them nothing but exp(-1000) = 0 if the largest score of all is subtracted.
    """
    within, rows = scores.copy(), scores.copy()
    within[:, :2] = [1000, -1000]
    rows[0] += 1000
    rows[1] -= 1000
    labels = y.copy()
    labels[:2] = 0, 1
    return [
        ("scores of 1000 and -1000 in one row", within, labels),
        ("a row of scores around 1000 and one around -1000", rows, y),
    ]


# ---- Tasks 4 and 5


def convolutions(rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, int, int]]:
    """x, w, b, stride and pad of five cases, with no two sizes equal that could be mistaken for each other.

    With and without a border, with strides of 1 and more; where the stride is more, the windows end short of the last rows or
    columns. No picture or filter is square, and among their heights and widths are odd and even ones. One case has a single
    picture, channel and filter, for an axis of length 1 must stay an axis.
    """
    cases = [(1, 0, (2, 3)), (2, 0, (3, 4)), (1, 1, (3, 5)), (3, 2, (2, 4))]  # stride, pad, sides of the filter
    while True:
        drawn = [a_convolution(rng, stride, pad, sides, rng.permutation([2, 3, 4])) for stride, pad, sides in cases]
        H, W = np.transpose([x.shape[2:] for x, *_ in drawn])
        if (H != W).all() and set(H % 2) == set(W % 2) == {0, 1}:
            return [*drawn, a_convolution(rng, 2, 1, (1, 3), (1, 1, 1))]


def a_convolution(
    rng: np.random.Generator, stride: int, pad: int, sides: tuple[int, int], sizes: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int]:
    N, C, F = (int(n) for n in sizes)
    kernel, output = rng.permutation(sides), rng.permutation([3, 4, 5])[:2]
    left_over = rng.permutation([0, stride - 1])  # rows and columns that no window reaches
    H, W = (int(n) for n in (output - 1) * stride + kernel + left_over - 2 * pad)
    return rng.standard_normal((N, C, H, W)), rng.standard_normal((F, C, *kernel)), rng.standard_normal(F), stride, pad


def convolve(x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: int, pad: int) -> np.ndarray:
    return textbook.conv2d_forward(x, w, b, (stride, stride), (pad, pad, pad, pad), (1, 1), 1)


def convolution_forward(student: Student, rng: np.random.Generator) -> None:
    for x, w, b, stride, pad in convolutions(rng):
        y = reference.conv2d_forward(x, w, b, (stride, stride), (pad, pad, pad, pad), (1, 1), 1)
        slips = {
            "Is the filter flipped? Here it is laid on the picture as it is (cross-correlation).": convolve(
                x, w[:, :, ::-1, ::-1], b, stride, pad
            ),
            "Was the bias forgotten?": y - b[:, None, None],
            "Only the first input channel seems to count; sum over all of them.": convolve(x[:, :1], w[:, :1], b, stride, pad),
        }
        sizes = f"y (x {x.shape}, w {w.shape}, stride {stride}, pad {pad})"
        got = expect_array(sizes, student.conv2d_forward(x, w, b, stride, pad), y.shape)
        expect_close(sizes, got, y, slips)
        other = student.conv2d_forward(-x, w, b, stride, pad)
        expect_close(f"{sizes}, another picture,", other, 2 * b[:, None, None] - y)


def convolution_backward(student: Student, rng: np.random.Generator) -> None:
    for case in convolutions(rng):
        convolution_backward_of(student, rng, *case)


def convolution_backward_of(
    student: Student, rng: np.random.Generator, x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: int, pad: int
) -> None:
    dy = rng.standard_normal(convolve(x, w, b, stride, pad).shape)
    got = expect_several("conv2d_backward", student.conv2d_backward(dy, x, w, stride, pad), "dx, dw, db")
    if np.size(got[0]) == 0:
        raise Mistake(f"dx is empty where pad is {pad}: [pad:-pad] takes nothing then; crop with [pad : pad + H]")
    expected = reference.conv2d_backward(dy, x, w, (stride, stride), (pad, pad, pad, pad), (1, 1), 1)

    def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        return convolve(x, w, b, stride, pad)

    def backward(dy: np.ndarray) -> dict:
        return dict(zip("xwb", student.conv2d_backward(dy, x, w, stride, pad), strict=True))

    arrays = {"x": x, "w": w, "b": b}
    subject = f"conv2d_backward (x {x.shape}, w {w.shape}, stride {stride}, pad {pad})"
    expect_gradients(
        subject,
        got,
        dict(zip(("dx", "dw", "db"), expected, strict=True)),
        lambda: check_function(forward, backward, arrays, subject=subject, elements=60, rng=rng),
    )


# ---- Task 6


def fault_finding(student: Student, rng: np.random.Generator) -> None:
    layers = right_layers(rng) + faulty_layers(rng)
    shown = [layers[i] for i in rng.permutation(len(layers))]
    answers = []  # to all layers, before any is judged: together they tell one mistake from another
    for _, forward, backward, x, _, _ in shown:
        answer = student.gradient_is_right(forward, backward, x, rng.spawn(1)[0])
        if not isinstance(answer, (bool, np.bool_)):
            raise Mistake(f"gradient_is_right() must return True or False, got {type(answer).__name__}")
        answers.append(bool(answer))
    for (title, _, _, _, right, hint), answer in zip(shown, answers, strict=True):
        if answer != right:
            verdict = "is right, but was called faulty" if right else "is faulty, but was called right"
            raise Mistake(f"{title} {verdict}. {hint}")


def standardise(x: np.ndarray) -> np.ndarray:
    """Every column to mean 0 and variance 1, as batch normalisation does it."""
    return (x - x.mean(axis=0)) / x.std(axis=0)


def standardise_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    y = standardise(x)
    return (dy - dy.mean(axis=0) - y * (dy * y).mean(axis=0)) / x.std(axis=0)


EQUAL = (
    "The sum of its outputs is 0 whatever x is: with equal entries in r the gradient is 0 but for rounding, for the right "
    "backward pass and for one that lacks a term. Draw r at random."
)


def right_layers(rng: np.random.Generator) -> list[tuple]:
    """(title, forward, backward, x, True, what to think about if it is called faulty)"""
    x, square = rng.standard_normal((5, 3)), rng.standard_normal((3, 3))
    whole = rng.permutation([-4, -3, -2, -1, 0, 0, 1, 1, 2, 3, 4, 5]).reshape(3, 4)
    row, block = rng.standard_normal(4), rng.standard_normal((2, 3, 2))
    relative = (
        "Compare differences relative to the largest gradient, with an h of about 1e-5: the numeric gradient has an error of "
        "h^2, and if h is much smaller one of rounding."
    )
    axes = f"x may have any number of axes: np.ndindex(x.shape) runs through all entries. {relative}"
    same = f"Here y has the shape of x. {relative}"
    return [
        ("y = tanh(x)", np.tanh, lambda dy, x: dy / np.cosh(x) ** 2, x, True, relative),
        ("y = x w", lambda x: x @ square, lambda dy, x: dy @ square.T, x, True, same),
        ("a batch normalisation", standardise, standardise_backward, x, True, EQUAL),
        ("y = exp(x) of a vector", np.exp, lambda dy, x: dy * np.exp(x), row, True, axes),
        ("y = exp(x) of an array with three axes", np.exp, lambda dy, x: dy * np.exp(x), block, True, axes),
        ("y = 1e8 sin(x)", lambda x: 1e8 * np.sin(x), lambda dy, x: 1e8 * dy * np.cos(x), x, True, relative),
        (
            "y = sum of x^2 over the last axis, x of integers,",
            lambda x: (x * x).sum(axis=-1),
            lambda dy, x: 2 * x * dy[..., None],
            whole,
            True,
            "An array of integers cannot hold x + h: it rounds it back to x. Work on x.astype(np.float64). And y has another "
            "shape than x: draw r of y's shape. Where x is 0 the gradient is 0: do not divide by it.",
        ),
    ]


def faulty_layers(rng: np.random.Generator) -> list[tuple]:
    """(title, forward, backward, x, False, what to think about if it is called right)

    Each is wrong by some per cent of its largest gradient at least, whatever r is, as long as that is drawn at random.
    """
    x, square = rng.standard_normal((5, 3)), rng.standard_normal((3, 3))

    def tanh_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        return dy / np.cosh(x) ** 2

    def wrong_only_at(spot: tuple[int, ...]) -> tuple:
        def backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
            dx = tanh_backward(dy, x)
            dx[spot] += np.abs(dx).max()
            return dx

        return (f"y = tanh(x), wrong at dx{[*map(int, spot)]} only,", np.tanh, backward, x, False, "Compare every entry.")

    def with_a_nan(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        dx = tanh_backward(dy, x)
        dx[1, 1] = np.nan
        return dx

    def another_row(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.roll(tanh_backward(dy, x), 1, axis=0)

    def without_variance(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        return (dy - dy.mean(axis=0)) / x.std(axis=0)

    def without_mean(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        y = standardise(x)
        return (dy - y * (dy * y).mean(axis=0)) / x.std(axis=0)

    entries = "The sum over all entries is right, and so is their size: compare entry by entry."
    return [
        ("y = x^3 with a wrong sign", lambda x: x**3, lambda dy, x: -3 * x * x * dy, x, False, "Compare signs too."),
        ("y = x w with w transposed", lambda x: x @ square, lambda dy, x: dy @ square, x, False, "Compare all entries."),
        ("y = exp(x) with dx 5 % too large", np.exp, lambda dy, x: 1.05 * dy * np.exp(x), x, False, "Compare sizes too."),
        ("a batch normalisation without the term of the variance", standardise, without_variance, x, False, EQUAL),
        ("a batch normalisation without the term of the mean", standardise, without_mean, x, False, "Draw r at random."),
        ("y = tanh(x) with the rows of dx in another order", np.tanh, another_row, x, False, entries),
        (
            "y = 1e-6 sin(x), with a wrong sign",
            lambda x: 1e-6 * np.sin(x),
            lambda dy, x: -1e-6 * dy * np.cos(x),
            x,
            False,
            "All gradients are tiny here, and so are all differences: compare them relative to the gradient's own size.",
        ),
        (
            "y = tanh(x) with a NaN in dx",
            np.tanh,
            with_a_nan,
            x,
            False,
            "NaN is neither larger nor smaller than anything: ask whether all differences are small, not whether one is large.",
        ),
        *map(wrong_only_at, np.ndindex(x.shape)),
    ]


# ---- the mistakes that people make


def linear_by(change: Callable) -> dict[str, Callable]:
    """linear_backward() with its right results changed: change(dx, dw, db, dy, x, w)."""
    return {"linear_backward": lambda dy, x, w: change(*solution.linear_backward(dy, x, w), dy, x, w)}


AVERAGED = (
    "Does its definition divide by anything? The mean over the batch is taken once, in the loss, and the dy that comes from "
    "there has its 1/N already."
)
ONE_SAMPLE = "A batch of one sample is still a batch, and a layer with one output a layer: every axis stays, however short."

LINEAR_SLIPS = (
    Slip(
        "the bias is forgotten",
        "What must y be where all inputs are 0? What is it in yours?",
        {"linear_forward": lambda x, w, b: x @ w.T},
        r"@|\bdot\b|einsum|matmul|\bsum\(",
    ),
    Slip(
        "the bias is subtracted",
        "What must y be where all inputs are 0? What is it in yours?",
        {"linear_forward": lambda x, w, b: x @ w.T - b},
        r"-=? *b\b",
    ),
    Slip(
        "y is cut to whole numbers",
        "Of which dtype is the array that the results are put into? One of integers drops whatever stands behind the point.",
        {"linear_forward": lambda x, w, b: (x @ w.T + b).astype(int)},
        r"\bint\b|int64|int32",
    ),
    Slip(
        "axes of length 1 are lost from y",
        ONE_SAMPLE,
        {"linear_forward": lambda x, w, b: np.squeeze(x @ w.T + b)},
        r"squeeze|ravel|flatten",
    ),
    Slip(
        "axes of length 1 are lost from the gradients",
        ONE_SAMPLE,
        linear_by(lambda dx, dw, db, *_: (dx.squeeze(), dw.squeeze(), db)),
        r"squeeze|ravel|flatten",
    ),
    Slip(
        "dw is transposed",
        "dw must have the shape of w, (M, D). Which of your two factors has M, and along which axis?",
        linear_by(lambda dx, dw, db, *_: (dx, dw.T, db)),
        r"\bdw\b.*=.*(?:@|\bdot\b|einsum|matmul)|\bx\.T *@",
    ),
    Slip(
        "dw is a mean over the batch",
        AVERAGED,
        linear_by(lambda dx, dw, db, dy, *_: (dx, dw / len(dy), db)),
        r"\bdw\b.*/|mean|/",
    ),
    Slip(
        "db is a mean over the batch",
        AVERAGED,
        linear_by(lambda dx, dw, db, dy, *_: (dx, dw, db / len(dy))),
        r"\bdb\b.*/|mean|/",
    ),
    Slip(
        "dw and db are means over the batch",
        AVERAGED,
        linear_by(lambda dx, dw, db, dy, *_: (dx, dw / len(dy), db / len(dy))),
        r"mean|/",
    ),
    Slip(
        "dw has the share of the last sample only",
        "w is used once for every sample, and each use hands back a share. Do they add up in your loop, or does each replace "
        "the one before?",
        linear_by(lambda dx, dw, db, dy, x, w: (dx, np.outer(dy[-1], x[-1]), db)),
        r"\bdw\b(?:\[.*\])? *=[^=].*(?:outer|\[)",
    ),
    Slip(
        "db is a single number",
        "Each of the M biases has a gradient of its own. Which axis is summed over, and which has to stay?",
        linear_by(lambda dx, dw, db, *_: (dx, dw, db.sum())),
        r"sum\(",
    ),
    Slip(
        "db keeps the axis of the samples",
        "db has the shape of b: (M,), one axis and not two.",
        linear_by(lambda dx, dw, db, *_: (dx, dw, db[None])),
        r"keepdims",
    ),
    Slip(
        "dx and dw have changed places",
        "In which order are the three asked for?",
        linear_by(lambda dx, dw, db, *_: (dw, dx, db)),
        r"return",
    ),
)


def relu_matrices_only(x: np.ndarray) -> np.ndarray:
    y = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = max(x[i, j], 0)
    return y


RELU_SLIPS = (
    Slip("y is |x|", "What becomes of -3?", {"relu_forward": np.abs}, r"abs|fabs"),
    Slip(
        "the negative values are kept, and the positive ones lost",
        "Of x and 0, is it the larger or the smaller that you take?",
        {"relu_forward": lambda x: np.minimum(x, 0)},
        r"min|<",
    ),
    Slip(
        "this is leaky ReLU: negative values are multiplied by 0.01",
        "By its definition this one is exactly 0 there.",
        {"relu_forward": lambda x: np.where(x > 0, x, 0.01 * x)},
        r"0?\.01",
    ),
    Slip(
        "this is ReLU6: what is above 6 is cut off",
        "Is there an upper limit in max(0, x)?",
        {"relu_forward": lambda x: np.clip(x, 0, 6)},
        r"6",
    ),
    Slip(
        "what is above 1 is cut off",
        "Is there an upper limit in max(0, x)?",
        {"relu_forward": lambda x: np.clip(x, 0, 1)},
        r"clip|minimum|min\(|\b1\b",
    ),
    Slip(
        "only the positive values come back, in one row",
        "y has as many entries as x, and its shape: those that are not positive are 0, and not absent.",
        {"relu_forward": lambda x: x[x > 0]},
        r"\[.*>",
    ),
    Slip(
        "two loops serve matrices only",
        "x may have one axis or four. NumPy compares and chooses element by element whatever the shape.",
        {"relu_forward": relu_matrices_only},
        r"for .* in |shape",
    ),
    Slip(
        "nothing is returned",
        "What a function computes or prints stays inside; only `return` hands it to whoever called.",
        {"relu_forward": lambda x: None},
        r"print",
    ),
    Slip(
        "dx lacks dy",
        "That is the slope of ReLU. The chain rule multiplies it by what comes from above.",
        {"relu_backward": lambda dy, x: (x > 0) * 1.0},
        r"return|=",
    ),
    Slip(
        "at x = 0 dx is dy",
        "There the slope could be 0 or 1; the rule of this exercise decides.",
        {"relu_backward": lambda dy, x: np.where(x >= 0, dy, 0)},
        r">=|x < 0|< 0",
    ),
    Slip(
        "dy is multiplied by y",
        "The chain rule multiplies by the slope of y, which is 1 wherever x is positive, and not by y itself.",
        {"relu_backward": lambda dy, x: dy * np.maximum(x, 0)},
        r"dy *\*|\* *dy|maximum",
    ),
    Slip(
        "where x is negative dx is -dy",
        "How much does y change there, if x changes a little? You have the derivative of another function.",
        {"relu_backward": lambda dy, x: dy * np.sign(x)},
        r"sign|-",
    ),
    Slip(
        "the sign of dy decides, and not that of x",
        "Which of the two was it that the forward pass cut off?",
        {"relu_backward": lambda dy, x: np.where(dy > 0, dy, 0)},
        r"dy *[<>]|maximum\(.*dy",
    ),
    Slip(
        "negative gradients are dropped as well",
        'dy may have any sign: an output can be too large, too. (What you have is "guided backpropagation", which makes '
        "pretty pictures, and no gradient.)",
        {"relu_backward": lambda dy, x: np.where((dy > 0) & (x > 0), dy, 0)},
        r"dy *[<>]|maximum\(.*dy",
    ),
)


def softmax_by(change: Callable) -> dict[str, Callable]:
    """softmax_cross_entropy() with its right results changed: change(loss, dscores, scores, y)."""
    return {"softmax_cross_entropy": lambda scores, y: change(*solution.softmax_cross_entropy(scores, y), scores, y)}


def softmax_of(shift: Callable, epsilon: float | None = None, axis: int = 1) -> dict[str, Callable]:
    """softmax_cross_entropy() with another number subtracted; with an epsilon, by the logarithm of p + epsilon."""

    def softmax_cross_entropy(scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        samples, shifted = np.arange(len(y)), scores - shift(scores)
        e = np.exp(shifted)
        total = e.sum(axis=axis, keepdims=True)
        log_p = shifted - np.log(total) if epsilon is None else np.log(e / total + epsilon)
        p = np.exp(log_p) if epsilon is None else e / total
        p[samples, y] -= 1
        return float(-log_p[samples, y].mean()), p / len(y)

    return {"softmax_cross_entropy": softmax_cross_entropy}


def largest_of_row(scores: np.ndarray) -> np.ndarray:
    return scores.max(axis=1, keepdims=True)


def labels_from_1(scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    return solution.softmax_cross_entropy(scores, y - 1)


def all_labels_columns(loss: float, dscores: np.ndarray, scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    p = len(y) * dscores
    p[np.arange(len(y)), y] += 1
    p[:, y] -= 1
    return loss, p / len(y)


def as_many_columns_as(count: Callable) -> dict[str, Callable]:
    """One-hot labels with so many columns, where the scores may have more."""

    def change(loss: float, dscores: np.ndarray, scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        K = scores.shape[1]
        one_hot = np.eye(count(scores, y))[y][:, :K]
        return loss, (len(y) * dscores + np.eye(K)[y] - one_hot) / len(y)

    return softmax_by(change)


SOFTMAX_SLIPS = (
    Slip(
        "the softmax is taken over the samples, and not over the classes",
        "What has to sum to 1, a row or a column? Look at the axis of every sum and maximum.",
        softmax_of(lambda scores: scores.max(axis=0), axis=0),
        r"axis *= *0|sum\(\)",
    ),
    Slip(
        "each column's largest score is subtracted",
        "p stays the same only if all scores of one sample lose the same number. Are those in a row or in a column?",
        softmax_of(lambda scores: scores.max(axis=0)),
        r"axis *= *0",
    ),
    Slip(
        "the logarithm is taken of p, which may be 0",
        "log p is the shifted score minus the logarithm of the sum, and that sum is at least 1: nothing can become log 0.",
        softmax_of(largest_of_row, 0),
        r"log\(",
    ),
    Slip(
        "the largest score of all is subtracted, and others' exponentials become 0",
        "It serves one sample. What is left of another whose scores lie 1000 below?",
        softmax_of(np.max),
        r"max\(\w*\)",
    ),
    *(
        Slip(
            "exp() overflows, as too little is subtracted before",
            "Which number, taken from all scores of a sample, leaves the largest of them at exp(0) = 1?",
            softmax_of(lambda scores: 0, epsilon),
            r"exp\(",
        )
        for epsilon in (None, 0)
    ),
    *(
        Slip(
            "a small number is added to p before the logarithm",
            "That avoids the infinity, and gives another loss: -log of the small number. Write log p as a difference instead.",
            softmax_of(largest_of_row, epsilon),
            r"\d[eE]-\d|eps",
        )
        for epsilon in EPSILONS
    ),
    Slip(
        "the minus sign of the loss is missing",
        "A logarithm of a probability is negative. Which sign has a loss?",
        softmax_by(lambda loss, dscores, *_: (-loss, dscores)),
        r"log",
    ),
    Slip(
        "the logarithm is that to base 2",
        "Losses in this field are in natural units; the gradient of your loss would have a factor 1/log 2 as well.",
        softmax_by(lambda loss, dscores, *_: (loss / np.log(2), dscores)),
        r"log2|log\(2",
    ),
    Slip(
        "loss and gradient are sums over the samples, and no means",
        "With twice as many samples, should loss and step be twice as large?",
        softmax_by(lambda loss, dscores, scores, y: (loss * len(y), dscores * len(y))),
        r"sum\(\)",
    ),
    Slip(
        "the gradient is not divided by N",
        "The loss is a mean. What becomes of its 1/N in the derivative?",
        softmax_by(lambda loss, dscores, scores, y: (loss, dscores * len(y))),
        r"return",
    ),
    Slip(
        "the mean is taken with the number of classes",
        "There is one loss a sample. By which of the two sizes does a mean over samples divide?",
        softmax_by(lambda loss, dscores, scores, y: tuple(part * len(y) / scores.shape[1] for part in (loss, dscores))),
        r"shape\[1\]|\bK\b|/",
    ),
    Slip(
        "the labels are counted from 1",
        "Labels run from 0 to K-1, as Python counts.",
        {"softmax_cross_entropy": labels_from_1},
        r"- *1",
    ),
    Slip(
        "the gradient has the wrong sign",
        "Should the score of the right class grow or shrink? A step subtracts the gradient.",
        softmax_by(lambda loss, dscores, *_: (loss, -dscores)),
        r"\+= *1|1 *-|-",
    ),
    Slip(
        "in the gradient the 1 of the right class is not subtracted",
        "With p alone every score would have to shrink, that of the right class too.",
        softmax_by(lambda loss, dscores, scores, y: (loss, dscores + np.eye(scores.shape[1])[y] / len(y))),
        r"return",
    ),
    Slip(
        "1 is subtracted in the columns of all labels, in every row",
        "Each row has one right class. `p[:, y]` takes all rows; what must stand in place of the colon?",
        softmax_by(all_labels_columns),
        r"\[:, *y\]",
    ),
    Slip(
        "the loss is one number for each sample",
        "A network has one loss, the mean of these.",
        softmax_by(lambda loss, dscores, scores, y: (losses_of_samples(scores, y), dscores)),
        r"log",
    ),
    *(
        Slip(
            "the one-hot labels have too few columns",
            "How many classes are there? The labels of a small batch, or its size, do not tell; the scores do.",
            as_many_columns_as(count),
            r"eye|zeros|max\(\) *\+ *1",
        )
        for count in (lambda scores, y: y.max() + 1, lambda scores, y: len(y))
    ),
)


def losses_of_samples(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.array([solution.softmax_cross_entropy(scores[n : n + 1], y[n : n + 1])[0] for n in range(len(y))])


def conv_forward_by(change: Callable) -> dict[str, Callable]:
    """conv2d_forward() with its right result changed: change(y, b, channels)."""
    right = solution.conv2d_forward
    return {"conv2d_forward": lambda x, w, b, *how: change(right(x, w, b, *how), b[:, None, None], x.shape[1])}


def conv_with(
    border: Callable[[int], tuple[int, int]] = lambda pad: (pad, pad), mode: str = "constant", step: int | None = None
) -> dict[str, Callable]:
    """conv2d_forward() with another border, before and after, or always the same stride."""

    def conv2d_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: int, pad: int) -> np.ndarray:
        sides = border(pad)
        return solution.conv2d_forward(np.pad(x, ((0, 0), (0, 0), sides, sides), mode=mode), w, b, step or stride, 0)

    return {"conv2d_forward": conv2d_forward}


def conv_flipped(x: np.ndarray, w: np.ndarray, *rest: Any) -> np.ndarray:
    return solution.conv2d_forward(x, w[:, :, ::-1, ::-1], *rest)


def conv_of_first_channel(x: np.ndarray, w: np.ndarray, *rest: Any) -> np.ndarray:
    return solution.conv2d_forward(x[:, :1], w[:, :1], *rest)


def conv_side_by_side(x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: int, pad: int) -> np.ndarray:
    OH, OW = solution.conv2d_forward(x, w, b, stride, pad).shape[2:]
    return solution.conv2d_forward(x, w, b, 1, pad)[:, :, :OH, :OW]


CONV_FORWARD_SLIPS = (
    Slip(
        "the filter is flipped",
        "Networks lay the filter on the picture as it is: w[f, c, 0, 0] meets the upper left pixel of the window.",
        {"conv2d_forward": conv_flipped},
        r"::-1|flip|convolve",
    ),
    Slip(
        "the bias is forgotten",
        "What must y be for a black picture?",
        conv_forward_by(lambda y, b, channels: y - b),
        r"einsum|tensordot|sum\(|@|\+=",
    ),
    Slip(
        "the bias is added once for each channel",
        "In which of the loops stands the b? The sum over channels has it once.",
        conv_forward_by(lambda y, b, channels: y + (channels - 1) * b),
        r"\bb\[|\+ *b\b",
    ),
    Slip(
        "only the first channel counts",
        "A filter has a layer of weights for each channel, and their sums go into one number.",
        {"conv2d_forward": conv_of_first_channel},
        r"\[.*\b0\b.*\]",
    ),
    Slip(
        "there is no border",
        "What does `pad` do in your function?",
        conv_with(lambda pad: (0, 0)),
        r"\bpad\b",
    ),
    Slip(
        "there is a border even where pad is 0",
        "How wide is it in yours if pad is 0? It has nothing to do with the size of the filter.",
        conv_with(lambda pad: (max(pad, 1), max(pad, 1))),
        r"pad|// *2",
    ),
    Slip(
        "the border is on two sides only",
        "np.pad takes (before, after) for each axis; a picture has four sides.",
        conv_with(lambda pad: (0, 2 * pad)),
        r"pad",
    ),
    Slip(
        "the border repeats the edge of the picture",
        "The border is of zeros.",
        conv_with(mode="edge"),
        r"edge|pad\(",
    ),
    Slip(
        "the border mirrors the picture",
        "The border is of zeros.",
        conv_with(mode="reflect"),
        r"reflect|pad\(",
    ),
    Slip(
        "the stride is ignored",
        "With a stride of 2, where does the second window begin, and how many fit?",
        conv_with(step=1),
        r"range\(|for |stride",
    ),
    Slip(
        "y has the right size, but its windows lie side by side",
        "With a stride of 2, in which row of the picture begins window number i?",
        {"conv2d_forward": conv_side_by_side},
        r"\bi *: *i\b|\bi *\+|\bi *:",
    ),
    Slip(
        "y is a row and a column short",
        "How many windows of 3 fit into 3 pixels? Put that into your formula for OH.",
        conv_forward_by(lambda y, *_: y[:, :, :-1, :-1]),
        r"// *stride",
    ),
    Slip(
        "rows and columns of y have changed places",
        "Which of i and j counts rows? y is (N, F, OH, OW).",
        conv_forward_by(lambda y, *_: y.swapaxes(2, 3)),
        r"j, *i\b|OW, *OH|swapaxes|transpose|\.T\b",
    ),
    Slip(
        "the channels are y's last axis",
        "y is (N, F, OH, OW): the filters come right after the pictures.",
        conv_forward_by(lambda y, *_: y.transpose(0, 2, 3, 1)),
        r"return|einsum|tensordot",
    ),
    Slip(
        "axes of length 1 are lost",
        "One picture, one filter, one row of windows: each is an axis all the same.",
        conv_forward_by(lambda y, *_: y.squeeze()),
        r"squeeze",
    ),
)


def conv_backward_by(change: Callable) -> dict[str, Callable]:
    """conv2d_backward() with its right results changed: change(dx, dw, db, dy, x, w, stride, pad)."""
    return {"conv2d_backward": lambda dy, x, w, *how: change(*solution.conv2d_backward(dy, x, w, *how), dy, x, w, *how)}


def cropped(dxp: np.ndarray, pad: int) -> np.ndarray:
    return dxp[:, :, pad : dxp.shape[2] - pad, pad : dxp.shape[3] - pad]


def conv_backward_loops(assigned: str = "", step: int | None = None, crop: Callable = cropped) -> dict[str, Callable]:
    """conv2d_backward() with ``assigned`` ("dx" or "dw") assigned and not added up, always the same stride, or another crop."""

    def conv2d_backward(dy: np.ndarray, x: np.ndarray, w: np.ndarray, stride: int, pad: int) -> tuple[np.ndarray, ...]:
        xp, (KH, KW), s = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad))), w.shape[2:], step or stride
        dxp, dw = np.zeros_like(xp), np.zeros_like(w)
        for i, j in np.ndindex(dy.shape[2:]):
            window = (..., slice(i * s, i * s + KH), slice(j * s, j * s + KW))
            to_x = np.einsum("nf,fcpq->ncpq", dy[:, :, i, j], w)
            to_w = np.einsum("nf,ncpq->fcpq", dy[:, :, i, j], xp[window])
            dxp[window] = to_x if assigned == "dx" else dxp[window] + to_x
            dw = to_w if assigned == "dw" else dw + to_w
        return crop(dxp, pad), dw, dy.sum(axis=(0, 2, 3))

    return {"conv2d_backward": conv2d_backward}


def as_far_as_windows_reach(
    dx: np.ndarray, dw: np.ndarray, db: np.ndarray, dy: np.ndarray, x: np.ndarray, w: np.ndarray, stride: int, pad: int
) -> tuple[np.ndarray, ...]:
    rows, columns = ((n - 1) * stride + k - pad for n, k in zip(dy.shape[2:], w.shape[2:], strict=True))
    return dx[:, :, :rows, :columns], dw, db


def dx_of_flipped(dx: np.ndarray, dw: np.ndarray, db: np.ndarray, dy: np.ndarray, x: np.ndarray, w: np.ndarray, *how: int):
    return solution.conv2d_backward(dy, x, w[:, :, ::-1, ::-1], *how)[0], dw, db


CONV_BACKWARD_SLIPS = (
    Slip(
        "dx is assigned, and not added up",
        "Where windows overlap, a pixel was used several times and collects a share from each. What happens to the first one?",
        conv_backward_loops(assigned="dx"),
        r"\bdxp?\w*\[.*\] *=[^=]",
    ),
    Slip(
        "dw has the share of the last window only",
        "A weight was used in every window. Do its shares add up in your loop?",
        conv_backward_loops(assigned="dw"),
        r"\bdw\b(?:\[.*\])? *=[^=].*(?:einsum|tensordot|sum|@)",
    ),
    Slip(
        "the stride is ignored",
        "Where did the forward pass find window (i, j)? The shares go back to the same place.",
        conv_backward_loops(step=1),
        r"\bi *: *i\b|\bi *\+|\bi *:|slice\(i",
    ),
    Slip(
        "dx still has its border",
        "dxp is the gradient of the picture with its border of zeros. What was asked for is that of the picture.",
        conv_backward_loops(crop=lambda dxp, pad: dxp),
        r"return",
    ),
    Slip(
        "where pad is 0, [pad:-pad] takes nothing",
        "-0 is 0, so this is [0:0]. Say where the picture ends by its height and width.",
        conv_backward_loops(crop=lambda dxp, pad: dxp[:, :, pad:-pad, pad:-pad]),
        r": *-pad",
    ),
    Slip(
        "dx is smaller than x, where the last rows or columns are in no window",
        "They had no part in y; so their gradient is 0, and they are there.",
        conv_backward_by(as_far_as_windows_reach),
        r"zeros",
    ),
    Slip(
        "dx belongs to a flipped filter",
        "The products go back the way they came: pixel (i + p, j + q) was multiplied by w[p, q], and by no other weight.",
        conv_backward_by(dx_of_flipped),
        r"::-1|flip",
    ),
    Slip(
        "dw belongs to a flipped filter",
        "w[p, q] was multiplied by pixel (i + p, j + q), and that is where its gradient comes from.",
        conv_backward_by(lambda dx, dw, db, *_: (dx, dw[:, :, ::-1, ::-1], db)),
        r"::-1|flip",
    ),
    Slip(
        "dw has filters and channels exchanged",
        "dw has w's shape, (F, C, KH, KW): the filters first.",
        conv_backward_by(lambda dx, dw, db, *_: (dx, dw.swapaxes(0, 1), db)),
        r"\bdw\b.*(?:einsum|tensordot|swapaxes|transpose)|->cf",
    ),
    Slip(
        "dw is a mean over the batch",
        "The mean over the batch is taken once, in the loss, and dy has its 1/N already.",
        conv_backward_by(lambda dx, dw, db, dy, *_: (dx, dw / len(dy), db)),
        r"mean|/ *(?:N|len)",
    ),
    Slip(
        "db is a mean over the places",
        "A bias is added at every place, and each hands back its share, undivided.",
        conv_backward_by(lambda dx, dw, db, dy, *_: (dx, dw, dy.mean(axis=(2, 3)).sum(axis=0))),
        r"mean",
    ),
    Slip(
        "db is a single number",
        "Each filter has a bias of its own. Which axis has to stay?",
        conv_backward_by(lambda dx, dw, db, *_: (dx, dw, db.sum())),
        r"sum\(",
    ),
    Slip(
        "db is summed over the wrong axes",
        "Of dy's four axes only that of the filters stays. Which number has it?",
        conv_backward_by(lambda dx, dw, db, dy, *_: (dx, dw, dy.sum(axis=(1, 2, 3)))),
        r"axis *= *\(1",
    ),
    Slip(
        "dx and dw have changed places",
        "In which order are the three asked for?",
        conv_backward_by(lambda dx, dw, db, *_: (dw, dx, db)),
        r"return",
    ),
    Slip(
        "axes of length 1 are lost",
        "One picture, one channel, one filter: each is an axis all the same.",
        conv_backward_by(lambda dx, dw, db, *_: (dx.squeeze(), dw.squeeze(), db)),
        r"squeeze",
    ),
)


def within(tolerance: float) -> Callable[[np.ndarray, np.ndarray], bool]:
    """Whether all differences are at most this share of the largest gradient."""
    return lambda claimed, numeric: np.abs(claimed - numeric).max() <= tolerance * np.abs(numeric).max()


close_enough = within(1e-5)


def below(tolerance: float) -> Callable[[np.ndarray, np.ndarray], bool]:
    """Whether all differences are below this number."""
    return lambda claimed, numeric: np.abs(claimed - numeric).max() < tolerance


def nearly_within(claimed: np.ndarray, numeric: np.ndarray) -> bool:
    """As within(1e-5), and whatever is below 1e-9 counts as equal."""
    return np.abs(claimed - numeric).max() <= 1e-5 * np.abs(numeric).max() + 1e-9


def cosine(claimed: np.ndarray, numeric: np.ndarray) -> bool:
    return (claimed * numeric).sum() > 0.99999 * np.linalg.norm(claimed) * np.linalg.norm(numeric)


def at_random(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return rng.standard_normal(np.shape(y))


def ones(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.ones(np.shape(y))


def judge_by(
    compare: Callable = close_enough, projection: Callable = at_random, h: float = 1e-5, dtype: type | None = np.float64
) -> dict[str, Callable]:
    """gradient_is_right() with another comparison, another r, another h, or with x as it comes (no dtype)."""

    def gradient_is_right(forward: Callable, backward: Callable, x: np.ndarray, rng: np.random.Generator) -> bool:
        x = x.astype(dtype or x.dtype)
        r = projection(rng, x, forward(x))
        claimed, numeric = np.array(backward(r, x), np.float64), np.empty(x.shape)
        for i in np.ndindex(x.shape):
            above, below = x.copy(), x.copy()
            above[i] += h
            below[i] -= h
            numeric[i] = ((forward(above) - forward(below)) * r).sum() / (2 * h)
        return bool(compare(claimed, numeric))

    return {"gradient_is_right": gradient_is_right}


def of_a_matrix(forward: Callable, backward: Callable, x: np.ndarray, rng: np.random.Generator) -> bool:
    rows, columns = x.shape
    return solution.gradient_is_right(forward, backward, x, rng) and rows * columns > 0


EQUAL_ENTRIES = (
    "There are layers whose outputs have the same sum whatever x is. Weighted alike they tell nothing: the gradient is 0, and "
    "so is that of a backward pass which lacks a term."
)

FAULT_FINDING_SLIPS = (
    Slip(
        "every layer is called right, the faulty ones too",
        "What is compared with what? Neither side may come from the other.",
        {"gradient_is_right": lambda *_: True},
        r"return",
    ),
    *(
        Slip(
            "nearly all layers are called faulty, the right ones too",
            "A numeric gradient is never exact. In float64 an h of about 1e-5 leaves an error of 1e-10 or so; with a much "
            "smaller h, or in float32, only rounding is left.",
            functions,
            r"1e-(?:9|1\d)|float32|==",
        )
        for functions in ({"gradient_is_right": lambda *_: False}, judge_by(h=1e-12))
    ),
    Slip("r has equal entries", EQUAL_ENTRIES, judge_by(projection=ones), r"ones|sum\(\)"),
    Slip(
        "r has equal entries, and small differences count as none",
        EQUAL_ENTRIES,
        judge_by(nearly_within, ones),
        r"ones|sum\(\)",
    ),
    Slip(
        "r is y itself",
        "There are layers for which the sum of the squares of y is always the same. r must have nothing to do with y.",
        judge_by(nearly_within, lambda rng, x, y: y),
        r"\br\b *= *.*forward",
    ),
    *(
        Slip(
            "differences are compared with a fixed number",
            "A gradient can be a millionth everywhere, or a hundred million. What is a small difference in each of them?",
            judge_by(below(tolerance)),
            r"<|>|allclose|tol",
        )
        for tolerance in (1e-5, 1e-7)
    ),
    Slip(
        "a NaN is let through",
        "NaN is neither larger nor smaller than anything: both comparisons are False. Ask whether all differences are small.",
        judge_by(lambda claimed, numeric: not np.abs(claimed - numeric).max() > 1e-5 * np.abs(numeric).max()),
        r">",
    ),
    Slip(
        "only the first entry is compared",
        "A fault may sit in a single entry, in any of them.",
        judge_by(lambda claimed, numeric: close_enough(claimed.ravel()[:1], numeric.ravel()[:1])),
        r"\[0\]|return",
    ),
    Slip(
        "signs are ignored",
        "The most common fault of all is a minus. Where is the absolute value taken, of each side or of the difference?",
        judge_by(lambda claimed, numeric: close_enough(np.abs(claimed), np.abs(numeric))),
        r"abs",
    ),
    *(
        Slip(
            "differences of some per cent pass",
            "A gradient that is 5 % too large everywhere is wrong, and a numeric one is good to many digits. How strict is "
            "yours?",
            judge_by(compare),
            r"<|>|tol|norm|0\.\d",
        )
        for compare in (within(0.1), within(0.5), cosine)
    ),
    Slip(
        "only sums or means over all entries are compared",
        "Two entries that have changed places leave the sum as it is. Compare entry by entry.",
        judge_by(lambda claimed, numeric: abs(claimed.sum() - numeric.sum()) <= 1e-5 * np.abs(numeric).max()),
        r"sum\(|mean\(",
    ),
    Slip(
        "only lengths are compared",
        "A vector of the same length can point anywhere. Take the length of the difference, or compare entry by entry.",
        judge_by(lambda claimed, numeric: close_enough(np.linalg.norm(claimed), np.linalg.norm(numeric))),
        r"norm",
    ),
    Slip(
        "h is too large",
        "The error of a numeric gradient grows with the square of h. How large is it with yours, beside what you allow?",
        judge_by(h=0.1),
        r"\bh\b *=|eps",
    ),
    Slip(
        "whole numbers and gradients of 0 are not provided for",
        "An array of integers cannot hold x + h. And where the gradient is 0, what gives a difference divided by it?",
        judge_by(dtype=None),
        r"copy\(|/",
    ),
    Slip(
        "r has the shape of x, and not that of y",
        "r stands for dL/dy: there is one number for each entry of y, and y may be smaller than x.",
        judge_by(projection=lambda rng, x, y: rng.standard_normal(x.shape)),
        r"x\.shape|like\(x",
    ),
    Slip(
        "x is taken for a matrix",
        "x may have any number of axes; np.ndindex runs through all entries of any shape.",
        {"gradient_is_right": of_a_matrix},
        r"shape|for .* in range",
    ),
)

# ---- when all is passed: a network of the student's layers


class YourLinear(Linear):
    def __init__(self, functions: dict[str, Callable], *sizes: int, rng: np.random.Generator):
        super().__init__(*sizes, rng=rng)
        self.functions = functions

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.remember(x=x)
        return np.ascontiguousarray(self.functions["linear_forward"](x, self.w.value, self.b.value), np.float64)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        gradients = self.functions["linear_backward"](dy, self.recall().x, self.w.value)
        dx, self.w.grad, self.b.grad = (np.ascontiguousarray(array, np.float64) for array in gradients)
        return dx


class YourConv2d(Conv2d):
    def __init__(self, functions: dict[str, Callable], *sizes: int, rng: np.random.Generator, **how: int):
        super().__init__(*sizes, rng=rng, **how)
        self.functions, self.how = functions, (how.get("stride", 1), how.get("pad", 0))

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.remember(x=x)
        return np.ascontiguousarray(self.functions["conv2d_forward"](x, self.w.value, self.b.value, *self.how), np.float64)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        gradients = self.functions["conv2d_backward"](dy, self.recall().x, self.w.value, *self.how)
        dx, self.w.grad, self.b.grad = (np.ascontiguousarray(array, np.float64) for array in gradients)
        return dx


class YourReLU(ReLU):
    def __init__(self, functions: dict[str, Callable]):
        super().__init__()
        self.functions = functions

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.remember(x=x)
        return np.ascontiguousarray(self.functions["relu_forward"](x), np.float64)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(self.functions["relu_backward"](dy, self.recall().x), np.float64)


class YourLoss(Loss):
    def __init__(self, functions: dict[str, Callable]):
        super().__init__()
        self.functions = functions

    def forward(self, scores: np.ndarray, targets: np.ndarray) -> float:
        loss, dscores = self.functions["softmax_cross_entropy"](scores, targets)
        self._dscores = np.asarray(dscores, np.float64)
        return float(loss)


def small_lenet(conv: Callable, relu: Callable, linear: Callable) -> Sequential:
    """After LeNet-5, with fewer filters and a stride; from the same random weights whoever makes the layers."""
    rng = np.random.default_rng(5)
    network = Sequential(
        c1=conv(1, 6, 5, stride=2, pad=2, rng=rng),  # 14 x 14 x 6
        relu1=relu(),
        s2=MaxPool2d(2),  # 7 x 7 x 6
        c3=conv(6, 16, 3, rng=rng),  # 5 x 5 x 16
        relu3=relu(),
        flatten=Flatten(),
        f4=linear(400, 48, rng=rng),
        relu4=relu(),
        scores=linear(48, 10, rng=rng),
    )
    return network.astype(np.float64).train()


SECONDS, STEPS, BATCH = 10, 250, 16  # seven nested loops are right as well, and make a few steps only in this time


def finale(functions: dict[str, Any], out: Path) -> None:
    """Digits, learned by a network of the student's layers, and beside it by one of minicnn's from the same start."""
    import matplotlib.pyplot as plt  # here, as a check does not need it

    from minicnn.course.workbench import BLUE, GREY, drawn_digits, find_data
    from minicnn.data import load_mnist
    from minicnn.optim import SGD

    rng, folder = np.random.default_rng(0), find_data("mnist")
    if folder:
        pictures, labels, test_pictures, test_labels = load_mnist(folder)
    else:
        (pictures, labels), (test_pictures, test_labels) = drawn_digits(STEPS * BATCH, rng), drawn_digits(500, rng)
    x, test_x = ((part[:, None] - 33.3) / 78.6 for part in (pictures[: STEPS * BATCH], test_pictures[:500]))

    def yours(kind: type) -> Callable:
        return lambda *sizes, **how: kind(functions, *sizes, **how)

    ours, your_network = small_lenet(Conv2d, ReLU, Linear), small_lenet(yours(YourConv2d), yours(YourReLU), yours(YourLinear))
    pairs = [(ours, SoftmaxCrossEntropy()), (your_network, YourLoss(functions))]
    optimizers = [SGD(network.parameters(), 0.02, momentum=0.9) for network, _ in pairs]
    losses, until = [], time.monotonic() + SECONDS
    while len(losses) < STEPS and (time.monotonic() < until or not losses):
        batch = slice(BATCH * len(losses), BATCH * (len(losses) + 1))
        losses.append([])
        for (network, loss), optimizer in zip(pairs, optimizers, strict=True):
            losses[-1].append(loss.forward(network.forward(x[batch]), labels[batch]))
            network.backward(loss.backward())
            optimizer.step()
    losses = np.array(losses)
    for name, parameter in ours.parameters().items():  # what yours has learned, asked by quick layers
        parameter.value[...] = your_network.parameters()[name].value
    found = ours.eval().forward(test_x).argmax(axis=1)
    accuracy = np.mean(found == test_labels[:500])

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), width_ratios=(1.5, 1))
    left.plot(losses[:, 0], color=GREY, lw=4, alpha=0.6, label="minicnn's layers")
    left.plot(losses[:, 1], color=BLUE, lw=1, label="your layers")
    left.set(xlabel="step", ylabel="loss of the batch", title="The same digits, from the same start")
    left.legend()
    right.imshow(np.vstack([np.hstack(test_pictures[6 * row : 6 * row + 6]) for row in range(4)]))
    answers = "\n".join("  ".join(map(str, found[6 * row : 6 * row + 6])) for row in range(4))
    right.text(1.05, 0.5, answers, transform=right.transAxes, va="center", linespacing=2.5)
    right.set(xticks=[], yticks=[], title="What your network reads")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "finale.png")
    plt.close(figure)
    print(
        f"A network of your layers has made {len(losses)} steps on digits, with the losses of minicnn's to "
        f"{np.abs(losses[:, 0] - losses[:, 1]).max():.0e}, and reads {accuracy:.0%} of 500 others. Figure: {out / 'finale.png'}"
    )


FINALE = finale

TASKS = [
    Task(
        "the fully connected layer",
        linear,
        ("linear_forward", "linear_backward"),
        LINEAR_SLIPS,
        (
            "Write the shapes beside the names: x (N, D), w (M, D), y (N, M). Which products of two of them give a third?",
            "The letter over which a definition sums is the axis that the matrix product uses up: in y it is d, in dx it is "
            "m, in dw it is n. A transpose brings that axis to where the product wants it.",
            "y = x @ w.T + b. Backward: dx is dy times w as it is; dw is dy.T times x; db sums dy over axis 0.",
        ),
        2,
    ),
    Task(
        "ReLU",
        relu,
        ("relu_forward", "relu_backward"),
        RELU_SLIPS,
        (
            "Forward needs x alone, backward needs to know where x was positive.",
            "NumPy compares arrays entry by entry, of any shape: x > 0 is an array of True and False. Something that chooses "
            "by such an array does the rest.",
            "np.maximum(x, 0) forward; np.where(x > 0, ..., 0) backward, with what came from above in the gap.",
        ),
    ),
    Task(
        "softmax and cross-entropy",
        softmax,
        ("softmax_cross_entropy",),
        SOFTMAX_SLIPS,
        (
            "Try it with one sample on paper: three scores, the second class right. Then two samples: which numbers may meet "
            "only those of their own row?",
            "Subtract each row's own largest score; keepdims=True leaves it a column. Then log p is (shifted score) - log(sum "
            "of exp of the shifted scores), and p is exp of that.",
            "log_p[np.arange(N), y] picks the right class of each row: minus its mean is the loss. For the gradient take p, "
            "subtract 1 at just these places, and divide by N.",
        ),
        2,
    ),
    Task(
        "convolution, forward",
        convolution_forward,
        ("conv2d_forward",),
        CONV_FORWARD_SLIPS,
        (
            "Draw a picture of 5 x 5 pixels with its border, a filter of 3 x 3, a stride of 2. Where is the window of output "
            "(1, 1)?",
            "Fill y place by place: for each (i, j) cut the window out of the padded picture, for all pictures and channels "
            "at once, and multiply it with all filters. The sum runs over c, p and q.",
            "window = xp[:, :, i*stride : i*stride + KH, j*stride : j*stride + KW] is (N, C, KH, KW); "
            'np.einsum("ncpq,fcpq->nf", window, w) is what y[:, :, i, j] needs, but for b.',
        ),
        2,
    ),
    Task(
        "convolution, backward",
        convolution_backward,
        ("conv2d_backward",),
        CONV_BACKWARD_SLIPS,
        (
            "Start from your forward pass: the same loops, the same windows. Only what is known and what is wanted have "
            "changed places.",
            "Make arrays of zeros for dxp (with border) and dw. At each (i, j) two things are added: to the window of dxp, "
            "dy[:, :, i, j] times w; to dw, dy[:, :, i, j] times the window of xp. At the end cut the border off.",
            'np.einsum("nf,fcpq->ncpq", dy[:, :, i, j], w) goes to dxp\'s window with +=, and np.einsum("nf,ncpq->fcpq", '
            "...) with xp's window to dw. db sums dy over three axes. dx is dxp[:, :, pad : pad + H, pad : pad + W].",
        ),
        3,
    ),
    Task(
        "find the faulty one",
        fault_finding,
        ("gradient_is_right",),
        FAULT_FINDING_SLIPS,
        (
            "You have two gradients to compare: the claimed one, from a single call of backward, and the measured one, for "
            "which each entry of x takes two calls of forward.",
            "Work on a float64 copy of x. Draw r once, at random, in the shape of y, and use the same r on both sides. Decide "
            "by the largest difference, relative to the largest measured gradient, and so that a NaN counts as a difference.",
            "For each i of np.ndindex(x.shape) set x[i] a little higher, then a little lower, each time computing (r * "
            "forward(x)).sum(), and put x[i] back. Then: np.abs(claimed - numeric).max() <= 1e-5 * np.abs(numeric).max().",
        ),
        3,
    ),
]
