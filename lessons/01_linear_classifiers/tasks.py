"""Lesson 1: the tasks of its exercise, and how answers are checked.

Numbers and shapes are new each time; the cases are not: samples with every margin violated and with none, margins of exactly 0,
scores of 1000, features that never vary, pixels of 8 bits, a single sample.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from slips import LOGISTIC_SLIPS, PREPROCESSING_SLIPS, SOFTMAX_SLIPS, STEP_SLIPS, SVM_SLIPS

from minicnn.course import Mistake, Student, Task
from minicnn.course.expect import expect_close, expect_gradients, expect_number, expect_several
from minicnn.gradcheck import check_function
from minicnn.losses import BinaryLogistic, Loss, SoftmaxCrossEntropy, SVMHinge

# ---- the checks


def sizes(rng: np.random.Generator, count: int) -> list[int]:
    """So many sizes, all different, so that a transposed array shows; in rising order."""
    return sorted(int(n) for n in rng.permutation([3, 4, 5, 6, 7])[:count])


def labelled_scores(rng: np.random.Generator, N: int, K: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels: the right class of the first sample is the last of all, and that of the second leads by far."""
    scores, y = 2 * rng.standard_normal((N, K)), rng.permutation(np.arange(N) % K)
    scores[0, y[0]] = scores[0].min() - 1
    if N > 1:
        scores[1, y[1]] = scores[1].max() + 2
    return scores, y


def check_loss(student: Student, name: str, reference: Loss, scores: np.ndarray, targets: np.ndarray, what: str) -> None:
    """The student's loss and its gradient against minicnn's."""
    function = getattr(student, name)
    expected = reference.forward(scores, targets)
    loss, dscores = expect_several(name, function(scores, targets), "loss, dscores")
    expect_close(f"loss ({what})", expect_number("loss", loss), np.float64(expected), tolerance=1e-5)

    def forward(scores: np.ndarray) -> np.ndarray:
        return np.asarray(reference.forward(scores, targets))

    def backward(dy: np.ndarray) -> dict:
        return {"scores": dy * np.asarray(function(scores, targets)[1])}

    expect_gradients(
        f"{name} ({what})",
        [dscores],
        {"dscores": reference.backward()},
        lambda: check_function(forward, backward, {"scores": scores}, subject=f"{name} ({what})"),
    )


def check_large(student: Student, name: str, reference: Loss, scores: np.ndarray, targets: np.ndarray, what: str) -> None:
    """The same where numbers overflow, and no derivative can be measured."""
    expected = reference.forward(scores, targets)
    with np.errstate(all="ignore"):
        answer = getattr(student, name)(scores, targets)
    loss, dscores = expect_several(name, answer, "loss, dscores")
    if not np.isfinite(loss) or not np.isfinite(dscores).all():
        raise Mistake(f"{name}() is right for ordinary scores, but {what} give NaN or infinity (loss {loss})")
    expect_close(f"loss ({what})", expect_number("loss", loss), np.float64(expected), tolerance=1e-5)
    expect_close(f"dscores ({what})", dscores, reference.backward())


def check_svm(student: Student, rng: np.random.Generator) -> None:
    fewer, more = sizes(rng, 2)
    for N, K in ((more, fewer), (fewer, more), (1, fewer)):  # some classes come up twice, and some never
        scores, y = labelled_scores(rng, N, K)
        check_loss(student, "svm_loss", SVMHinge(), scores, y, f"{N} samples, {K} classes")
    y = rng.permutation(4)[:3]
    kinks = np.stack([np.roll([0.0, -1, 0, -2], k) for k in y]) + rng.integers(-3, 4, (3, 1))
    led = np.stack([np.roll([0.0, -3, -2, -5], k) for k in y]) + rng.standard_normal((3, 1))
    for scores, what in ((kinks, "some margins are exactly 0"), (led, "no margin is violated")):
        reference = SVMHinge()
        expected = reference.forward(scores, y)
        loss, dscores = expect_several("svm_loss", student.svm_loss(scores, y), "loss, dscores")
        expect_close(f"loss ({what})", expect_number("loss", loss), np.float64(expected))
        expect_close(f"dscores ({what})", dscores, reference.backward())


def check_softmax(student: Student, rng: np.random.Generator) -> None:
    fewer, more = sizes(rng, 2)
    for N, K in ((more, fewer), (fewer, more), (1, fewer)):
        scores, y = labelled_scores(rng, N, K)
        check_loss(student, "softmax_loss", SoftmaxCrossEntropy(), scores, y, f"{N} samples, {K} classes")
    scores, y = labelled_scores(rng, more, fewer)
    y[:2] = 0, 1
    within, rows = scores.copy(), scores.copy()
    within[:, :2] = 1000, -1000
    rows[0] += 1000
    rows[1] -= 1000
    large = partial(check_large, student, "softmax_loss", SoftmaxCrossEntropy())
    large(rows, y, "a row of scores around 1000 and one around -1000")
    large(within, y, "scores of 1000 and -1000 in one row")


def check_logistic(student: Student, rng: np.random.Generator) -> None:
    N = int(rng.integers(5, 9))
    for t in (rng.permutation(np.arange(N) % 2), np.array([1]), np.array([0])):
        scores = rng.choice([-1, 1], len(t)) * rng.uniform(0.5, 3, len(t))
        if len(t) > 1:
            scores[:2] = np.where(t[:2] == 1, 1, -1) * [1.5, -2.5]  # one on its right side, and one on the wrong one
        check_loss(student, "logistic_loss", BinaryLogistic(), scores, t, f"{len(t)} samples" if len(t) > 1 else f"t = {t}")
    for size in (40.0, 1000.0):
        order = rng.permutation(4)
        scores, t = size * np.array([1, 1, -1, -1])[order], np.array([0, 1, 0, 1])[order]
        check_large(student, "logistic_loss", BinaryLogistic(), scores, t, f"scores of {size:g} and {-size:g}")


def check_preprocessing(student: Student, rng: np.random.Generator) -> None:
    D, N = sizes(rng, 2)
    scale, offset = rng.uniform(0.5, 5, D), rng.choice([-1, 1], D) * rng.uniform(2, 9, D)
    x = offset + scale * rng.standard_normal((N, D))
    still = x.copy()
    still[:, rng.integers(D)] = rng.integers(-5, 6)
    pixels = rng.integers(0, 256, (N, D), dtype=np.uint8)
    pixels[0], pixels[1] = 250, 20
    pixels[:, rng.integers(D)] = rng.integers(0, 256)
    for data, what in ((x, "float64"), (still, "a feature that never varies"), (pixels, "uint8")):
        got = expect_several("measure", student.measure(data), "mean, std")
        deviations = np.asarray(data, np.float64) - np.mean(data, axis=0)
        std = np.sqrt(np.mean(deviations**2, axis=0))
        expect_close(f"mean (x {data.shape}, {what})", got[0], np.mean(data, axis=0))
        expect_close(f"std (x {data.shape}, {what})", got[1], np.where(std < 1e-9, 1.0, std))
    mean, std = offset + rng.uniform(0.2, 1, D), scale + rng.uniform(0.2, 1, D)
    for data, what in ((x, "float64"), (x[:1], "one sample"), (pixels, "uint8")):
        y = student.standardise(data, mean, std)
        expect_close(f"standardise() of x {data.shape}, {what},", y, np.divide(np.asarray(data, np.float64) - mean, std))


def check_step(student: Student, rng: np.random.Generator) -> None:
    K, D, N = (int(n) for n in rng.permutation(sizes(rng, 3)))
    for samples, inputs, classes in ((N, D, K), (1, D, K), (N, 1, K)):
        w, strength = rng.standard_normal((classes, inputs)), float(rng.uniform(0.2, 0.9))
        expected = strength * sum(float(value) ** 2 for value in w.flat) / 2
        expect_close(f"l2_penalty (w {w.shape})", expect_number("l2_penalty", student.l2_penalty(w, strength)), expected)
        step_of_size(student, rng, samples, inputs, classes, strength)
    step_of_size(student, rng, N, D, K, 0.0)


def step_of_size(student: Student, rng: np.random.Generator, N: int, D: int, K: int, strength: float) -> None:
    w, b, x, dscores = (rng.standard_normal(shape) for shape in ((K, D), (K,), (N, D), (N, K)))
    learning_rate = float(rng.uniform(0.1, 0.6))

    def step() -> list[np.ndarray]:
        """The gradients by which the student's step went."""
        answer = student.gradient_step(w, b, x, dscores, learning_rate, strength)
        new = expect_several("gradient_step", answer, "w, b")
        for name, old, array in zip("wb", (w, b), new, strict=True):
            if np.shape(array) != old.shape:
                raise Mistake(f"the new {name} must have shape {old.shape}, got {np.shape(array)}")
        return [(old - array) / learning_rate for old, array in zip((w, b), new, strict=True)]

    def loss(w: np.ndarray, b: np.ndarray) -> np.ndarray:
        """One with dscores for its gradient with respect to the scores, and the penalty."""
        return np.asarray((dscores * (x @ w.T + b)).sum() + strength / 2 * (w**2).sum())

    dw = np.stack([sum(dscores[n, k] * x[n] for n in range(N)) for k in range(K)]) + strength * w
    subject = f"(old - new) / learning_rate of gradient_step (x {x.shape}, w {w.shape}, strength {strength:.2f})"
    expect_gradients(
        subject,
        step(),
        {"dw": dw, "db": sum(dscores)},
        lambda: check_function(loss, lambda dy: dict(zip("wb", step(), strict=True)), {"w": w, "b": b}, subject=subject),
    )


# ---- the tasks


def finale(functions: dict[str, Callable], out: Path) -> None:
    """A linear classifier of real pictures, trained by the student's functions, beside one by minicnn's."""
    import matplotlib.pyplot as plt

    from minicnn.course.workbench import BLUE, ORANGE, drawn_digits, find_data
    from minicnn.data import load_fashion_mnist, load_mnist
    from minicnn.layers import Linear
    from minicnn.optim import SGD

    rng = np.random.default_rng(1)
    if folder := find_data("fashion-mnist"):
        pictures, y, test_pictures, test_y = load_fashion_mnist(folder)
    elif folder := find_data("mnist"):
        pictures, y, test_pictures, test_y = load_mnist(folder)
    else:
        (pictures, y), (test_pictures, test_y) = drawn_digits(3000, rng), drawn_digits(1000, rng)
    chosen = rng.permutation(len(y))[:3000]
    x, y, test_x, test_y = pictures[chosen].reshape(3000, -1), y[chosen], test_pictures[:1000].reshape(1000, -1), test_y[:1000]
    mean, std = functions["measure"](x)
    x, test_x = (functions["standardise"](part, mean, std) for part in (x, test_x))
    D, K, learning_rate, strength = x.shape[1], 10, 8 / x.shape[1], 0.1

    def train(begin: Callable, step: Callable) -> tuple[np.ndarray, list[float]]:
        """Weights after five epochs in batches of 50, and the test accuracy after each."""
        state, accuracies, order = begin(), [], np.random.default_rng(2)
        for _ in range(5):
            for batch in order.permutation(len(x)).reshape(-1, 50):
                state = step(state, x[batch], y[batch])
            w, b = state
            accuracies.append(float(np.mean((test_x @ w.T + b).argmax(axis=1) == test_y)))
        return state[0], accuracies

    def yours(state: tuple, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        w, b = state
        _, dscores = functions["softmax_loss"](x @ w.T + b, y)
        return tuple(functions["gradient_step"](w, b, x, dscores, learning_rate, strength))

    layer, loss = Linear(D, K).astype(np.float64).train(), SoftmaxCrossEntropy()
    layer.w.value[...] = 0
    optimizer = SGD(layer.parameters(), learning_rate, weight_decay=strength)

    def ours(state: tuple, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        loss.forward(layer.forward(x), y)
        layer.backward(loss.backward())
        optimizer.step()
        return layer.w.value, layer.b.value

    w, accuracies = train(lambda: (np.zeros((K, D)), np.zeros(K)), yours)
    _, of_minicnn = train(lambda: (layer.w.value, layer.b.value), ours)
    figure = plt.figure(figsize=(9, 3.2))
    grid = figure.add_gridspec(2, 9)
    for k in range(K):
        ax = figure.add_subplot(grid[k // 5, k % 5])
        ax.imshow(w[k].reshape(28, 28), cmap="RdBu_r", vmin=-np.abs(w[k]).max(), vmax=np.abs(w[k]).max())
        ax.set(xticks=[], yticks=[])
    ax = figure.add_subplot(grid[:, 6:])
    ax.plot(range(1, 6), accuracies, "o-", color=BLUE, label="your functions")
    ax.plot(range(1, 6), of_minicnn, "x--", color=ORANGE, label="minicnn's")
    ax.set(xlabel="epoch", ylabel="test accuracy")
    ax.legend()
    figure.suptitle("Your templates, and what they are worth")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "finale.png")
    plt.close(figure)
    print(f"Your classifier gets {accuracies[-1]:.1%} of 1000 test pictures right, minicnn's {of_minicnn[-1]:.1%}.")


FINALE = finale

TASKS = [
    Task(
        "the hinge loss of a multi-class SVM",
        check_svm,
        ("svm_loss",),
        SVM_SLIPS,
        (
            "Work one sample out on paper first: three scores, the second one right. Which two differences are taken, and "
            "which number is added to both?",
            "Get the right scores as a column, so that one subtraction serves all classes; then set the margin of the right "
            "class to 0. In the gradient each violation counts 1, whatever its size; the right score stands in all of them.",
            "right = scores[np.arange(N), y][:, None] is the column, margins = np.maximum(0, scores - right + 1) with zeros at "
            "[np.arange(N), y]. For dscores begin with (margins > 0) as floats; minus each row's sum goes to the right class.",
        ),
        2,
    ),
    Task(
        "the softmax loss",
        check_softmax,
        ("softmax_loss",),
        SOFTMAX_SLIPS,
        (
            "Which axis of the scores is the classes? Every row of p must sum to 1.",
            "Subtract each row's own largest score. Then log p is (shifted score) - log(sum of exp(shifted scores)): no "
            "quotient, and no logarithm of a p that has become 0. p itself is exp of that.",
            "shifted = scores - scores.max(axis=1, keepdims=True); log_p = shifted - np.log(np.exp(shifted).sum(axis=1, "
            "keepdims=True)). The loss is minus the mean of log_p[np.arange(N), y]; for dscores subtract 1 from np.exp(log_p) "
            "at just these places.",
        ),
        2,
    ),
    Task(
        "two classes, one sigmoid output",
        check_logistic,
        ("logistic_loss",),
        LOGISTIC_SLIPS,
        (
            "Put in a score of 3 for t = 1 and for t = 0. Which of the two must cost much?",
            "Turn the score round where t is 1: z = -score. Then both kinds of samples have the same loss, log(1 + exp(z)). "
            "The form with max(z, 0) never lets exp() see a number above 0.",
            "z = np.where(t == 1, -scores, scores) and np.maximum(z, 0) + np.log(1 + np.exp(-np.abs(z))). For the gradient "
            "p = 1 / (1 + np.exp(-scores)) is good enough: where exp() overflows, p is 0, as it should be.",
        ),
        2,
    ),
    Task(
        "preprocessing, by the training set",
        check_preprocessing,
        ("measure", "standardise"),
        PREPROCESSING_SLIPS,
        (
            "There is a mean for each of the D features. Along which axis of (N, D) does it run?",
            "Deviations from the mean, squared, their mean, and its square root; as floating-point numbers, also where x is "
            "uint8. And standardise() measures nothing: it takes what it is given.",
            "x.mean(axis=0) and x.std(axis=0) do it, for uint8 as well; np.where(std == 0, 1, std) afterwards.",
        ),
        2,
    ),
    Task(
        "the step, with L2 regularisation",
        check_step,
        ("l2_penalty", "gradient_step"),
        STEP_SLIPS,
        (
            "Write the penalty of a single weight, and its derivative, on paper. Then look at the shapes: what do you get from "
            "(N, K) and (N, D) that has the shape (K, D)?",
            "dw is a matrix product in which n is summed away, plus the derivative of the penalty; db is a sum over n alone, "
            "because the penalty does not know b. Both are subtracted, times the learning rate, from copies.",
            "dw = dscores.T @ x + strength * w, and db = dscores.sum(axis=0).",
        ),
        2,
    ),
]
