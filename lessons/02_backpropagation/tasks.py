"""Lesson 2: the tasks of its exercise, and how answers are checked.

The numbers differ from check to check; the cases do not. Whatever tells a right answer from a wrong one is in every check: a
border and none, strides of 1 and more, no two sizes equal that could be mistaken for each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from slips import CONV_BACKWARD_SLIPS, CONV_FORWARD_SLIPS, FAULT_FINDING_SLIPS, LINEAR_SLIPS, RELU_SLIPS, SOFTMAX_SLIPS

from minicnn.course import Mistake, Student, Task
from minicnn.course.expect import expect_array, expect_close, expect_gradients, expect_number, expect_several
from minicnn.course.student import KEPT_AND_USED
from minicnn.gradcheck import check_function
from minicnn.kernels import reference, textbook
from minicnn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from minicnn.losses import Loss, SoftmaxCrossEntropy

KEPT = "does it use what linear_forward() kept? It must use nothing but its own arguments"

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
            raise Mistake(f"linear_backward() gives another {name} after another forward pass: {KEPT}", KEPT_AND_USED)


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
