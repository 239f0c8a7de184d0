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
from slips import DEAD_SLIPS, GELU_SLIPS, LEAKY_SLIPS, MAXOUT_SLIPS, SQUASHING_SLIPS, START_SLIPS, WHITENING_SLIPS

from minicnn.course import Mistake, Student, Task
from minicnn.course.expect import expect_array, expect_close, expect_gradients, expect_number, expect_several
from minicnn.course.student import OTHER_GENERATOR, OVERFLOW_ON_THE_WAY
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
            "afterwards? np.where computes both of its branches everywhere",
            name=OVERFLOW_ON_THE_WAY,
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
        text = f"{call}, called again with the same rng, gives the same weights: are they drawn from that rng?"
        raise Mistake(text, OTHER_GENERATOR)
    if not np.array_equal(w, student.draw_weights(shape, std, np.random.default_rng(seed))):
        text = f"{call} gives other weights for another rng of the same seed: are they drawn from that rng?"
        raise Mistake(text, OTHER_GENERATOR)


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
