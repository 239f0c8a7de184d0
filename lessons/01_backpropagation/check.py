"""Lesson 1: checks exercise.py (or the file named on the command line), offline, with new numbers and shapes each time."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from checking import Mistake, Student, expect_array, expect_close, expect_gradients, expect_several, main

from minicnn.gradcheck import check_function
from minicnn.kernels.reference import conv2d_forward
from minicnn.layers import Linear, ReLU
from minicnn.losses import SoftmaxCrossEntropy

# ---- Task 1


def linear(student: Student, rng: np.random.Generator) -> None:
    N, D, M = rng.permutation([3, 4, 5, 6, 7])[:3]  # all different, so that a transposed array shows
    layer = Linear(int(D), int(M)).astype(np.float64)
    x, w, b = rng.standard_normal((N, D)), rng.standard_normal((M, D)), rng.standard_normal(M)
    layer.w.value, layer.b.value = w.copy(), b.copy()
    y = layer.forward(x)
    slips = {"Was the bias forgotten?": y - b, "Was the bias subtracted?": y - 2 * b}
    expect_close("y", student.linear_forward(x, w, b), y, slips)

    dy = rng.standard_normal(y.shape)
    expect_several("linear_backward", student.linear_backward(dy, x, w), "dx, dw, db")

    def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        return student.linear_forward(x, w, b)

    def backward(dy: np.ndarray) -> dict:
        return dict(zip("xwb", student.linear_backward(dy, x, w), strict=True))

    arrays = {"x": x, "w": w, "b": b}
    expect_gradients(check_function(forward, backward, arrays, subject="linear_backward", rng=rng))


# ---- Task 2


def relu(student: Student, rng: np.random.Generator) -> None:
    shape = tuple(rng.integers(2, 6, size=rng.integers(1, 5)))
    x = rng.choice([-1, 1], shape) * rng.uniform(0.1, 2, shape)  # away from the kink at 0
    x.flat[0], x.flat[1] = 0.7, -0.7
    slips = {"Are the negative values kept and the positive ones lost?": np.minimum(x, 0), "That is |x|.": np.abs(x)}
    expect_close("y", student.relu_forward(x), ReLU().forward(x), slips)

    def forward(x: np.ndarray) -> np.ndarray:
        return student.relu_forward(x)

    def backward(dy: np.ndarray) -> dict:
        return {"x": student.relu_backward(dy, x)}

    expect_gradients(check_function(forward, backward, {"x": x}, subject="relu_backward", rng=rng))

    dx = student.relu_backward(np.ones(3), np.array([-1.0, 0.0, 1.0]))
    if dx[1] != 0:
        raise Mistake(f"at x = 0 there is no derivative; by our rule dx is 0 there (dx = dy only where x > 0), got {dx[1]}")


# ---- Task 3


def softmax(student: Student, rng: np.random.Generator) -> None:
    N, K = int(rng.integers(3, 8)), int(rng.integers(3, 8))
    scores, y = 2 * rng.standard_normal((N, K)), rng.integers(0, K, N)
    reference = SoftmaxCrossEntropy()
    expected = reference.forward(scores, y)
    loss, dscores = expect_several("softmax_cross_entropy", student.softmax_cross_entropy(scores, y), "loss, dscores")
    slips = {
        "Is it the sum over the samples? It must be their mean.": np.float64(expected * N),
        "Is the minus sign missing?": np.float64(-expected),
        "Is the logarithm taken to base 2?": np.float64(expected / np.log(2)),
        "Is it divided by N * K? There is one loss a sample, so divide by N.": np.float64(expected / K),
    }
    expect_close("loss", np.float64(loss), np.float64(expected), slips)

    def forward(scores: np.ndarray) -> np.ndarray:
        return np.asarray(student.softmax_cross_entropy(scores, y)[0])

    def backward(dy: np.ndarray) -> dict:
        return {"scores": dy * student.softmax_cross_entropy(scores, y)[1]}

    expect_gradients(check_function(forward, backward, {"scores": scores}, subject="dscores", rng=rng))

    scores[:, :2] = [1000, -1000]
    y[0], y[1] = 0, 1
    with np.errstate(all="ignore"):
        loss, dscores = student.softmax_cross_entropy(scores, y)
    expected = reference.forward(scores, y)
    if not np.isfinite(loss) or not np.isfinite(dscores).all():
        raise Mistake(
            "right for ordinary scores, but scores of 1000 and -1000 give NaN or infinity. Subtract each sample's largest "
            "score first, and write log p as (shifted score) - log(sum of exponentials), so that no logarithm of 0 is taken"
        )
    expect_close("loss (at scores of +-1000)", np.float64(loss), np.float64(expected))
    expect_close("dscores (at scores of +-1000)", dscores, reference.backward())


# ---- Tasks 4 and 5


def a_convolution(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int]:
    """x, w, b, stride and pad, with no two sizes equal that could be mistaken for each other."""
    stride, pad = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    KH, KW = (int(k) for k in rng.permutation([2, 3, 4])[:2])
    H, W = (int(side) for side in rng.permutation([4, 5, 6, 7])[:2])
    N, C, F = (int(n) for n in rng.permutation([2, 3, 4]))
    return rng.standard_normal((N, C, H, W)), rng.standard_normal((F, C, KH, KW)), rng.standard_normal(F), stride, pad


def reference_convolution(x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: int, pad: int) -> np.ndarray:
    return conv2d_forward(x, w, b, (stride, stride), (pad, pad, pad, pad), (1, 1), 1)


def convolution_forward(student: Student, rng: np.random.Generator) -> None:
    for _ in range(3):
        x, w, b, stride, pad = a_convolution(rng)
        y = reference_convolution(x, w, b, stride, pad)
        slips = {
            "Is the filter flipped? Here it is laid on the picture as it is (cross-correlation).": reference_convolution(
                x, w[:, :, ::-1, ::-1], b, stride, pad
            ),
            "Was the bias forgotten?": y - b[:, None, None],
            "Only the first input channel seems to count; sum over all of them.": reference_convolution(
                x[:, :1], w[:, :1], b, stride, pad
            ),
        }
        sizes = f"y (x {x.shape}, w {w.shape}, stride {stride}, pad {pad})"
        expect_array(sizes, student.conv2d_forward(x, w, b, stride, pad), y.shape)
        expect_close("y", student.conv2d_forward(x, w, b, stride, pad), y, slips)


def convolution_backward(student: Student, rng: np.random.Generator) -> None:
    for _ in range(2):
        x, w, b, stride, pad = a_convolution(rng)
        dy = rng.standard_normal(reference_convolution(x, w, b, stride, pad).shape)
        expect_several("conv2d_backward", student.conv2d_backward(dy, x, w, stride, pad), "dx, dw, db")
        subject = f"conv2d_backward (x {x.shape}, w {w.shape}, stride {stride}, pad {pad})"

        def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: int = stride, pad: int = pad) -> np.ndarray:
            return reference_convolution(x, w, b, stride, pad)

        def backward(dy: np.ndarray, x: np.ndarray = x, w: np.ndarray = w, stride: int = stride, pad: int = pad) -> dict:
            return dict(zip("xwb", student.conv2d_backward(dy, x, w, stride, pad), strict=True))

        arrays = {"x": x, "w": w, "b": b}
        expect_gradients(check_function(forward, backward, arrays, subject=subject, elements=60, rng=rng))


# ---- Task 6


def fault_finding(student: Student, rng: np.random.Generator) -> None:
    layers = right_layers(rng) + faulty_layers(rng)
    for index in rng.permutation(len(layers)):
        title, forward, backward, x, right, hint = layers[index]
        answer = student.gradient_is_right(forward, backward, x, np.random.default_rng(rng.integers(2**32)))
        if not isinstance(answer, (bool, np.bool_)):
            raise Mistake(f"gradient_is_right() must return True or False, got {type(answer).__name__}")
        if bool(answer) != right:
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
    whole = rng.integers(-4, 5, (3, 4))
    relative = "Compare differences relative to the largest gradient, and allow for the h^2 error of the numeric one."
    same = f"Here y has the shape of x. {relative}"
    return [
        ("y = tanh(x)", np.tanh, lambda dy, x: dy / np.cosh(x) ** 2, x, True, relative),
        ("y = x w", lambda x: x @ square, lambda dy, x: dy @ square.T, x, True, same),
        ("a batch normalisation", standardise, standardise_backward, x, True, EQUAL),
        ("y = 1e6 sin(x)", lambda x: 1e6 * np.sin(x), lambda dy, x: 1e6 * dy * np.cos(x), x, True, relative),
        (
            "y = sum of x^2 over the last axis, x of integers,",
            lambda x: (x * x).sum(axis=-1),
            lambda dy, x: 2 * x * dy[..., None],
            whole,
            True,
            "An array of integers cannot hold x + h: it rounds it back to x. Work on x.astype(np.float64). "
            "And y has another shape than x: draw r of y's shape.",
        ),
    ]


def faulty_layers(rng: np.random.Generator) -> list[tuple]:
    """(title, forward, backward, x, False, what to think about if it is called right)"""
    x, square = rng.standard_normal((5, 3)), rng.standard_normal((3, 3))
    spot = tuple(rng.integers(0, x.shape))

    def wrong_in_one_spot(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        dx = dy / np.cosh(x) ** 2
        dx[spot] *= 1.5
        return dx

    def without_variance(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        return (dy - dy.mean(axis=0)) / x.std(axis=0)

    return [
        ("y = x^3 with a wrong sign", lambda x: x**3, lambda dy, x: -3 * x * x * dy, x, False, "Compare signs too."),
        ("y = x w with w transposed", lambda x: x @ square, lambda dy, x: dy @ square, x, False, "Compare all entries."),
        ("y = exp(x) with dx twice too large", np.exp, lambda dy, x: 2 * dy * np.exp(x), x, False, "Compare sizes too."),
        ("a batch normalisation without the term of the variance", standardise, without_variance, x, False, EQUAL),
        (f"y = tanh(x), wrong at dx{[*map(int, spot)]} only,", np.tanh, wrong_in_one_spot, x, False, "Compare every entry."),
        (
            "y = 1e-6 sin(x), with a wrong sign",
            lambda x: 1e-6 * np.sin(x),
            lambda dy, x: -1e-6 * dy * np.cos(x),
            x,
            False,
            "All gradients are tiny here, and so are all differences: compare them relative to the gradient's own size.",
        ),
    ]


if __name__ == "__main__":
    tasks = {
        "the fully connected layer": linear,
        "ReLU": relu,
        "softmax and cross-entropy": softmax,
        "convolution, forward": convolution_forward,
        "convolution, backward": convolution_backward,
        "find the faulty one": fault_finding,
    }
    sys.exit(main(Path(__file__).parent, "Lesson 1, backpropagation", tasks))
