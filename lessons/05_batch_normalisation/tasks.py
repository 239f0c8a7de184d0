"""Lesson 5: the tasks of the exercise, how each is judged, and the mistakes that people make in it.

Numbers and shapes are new each time, the cases are not. The first case of a task is square (as many samples as features, as
many filters as channels), so that a sum along the wrong axis gives numbers and not an error; in the cases after it no two sizes
are equal. Every eps is large but in the cases that need a small one, so that it shows where it was put.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from slips import CLOSED_FORM_SLIPS, FOLD_SLIPS, FORWARD_SLIPS, FROZEN_SLIPS, LRN_SLIPS, PICTURES_SLIPS, STEPS_SLIPS

from minicnn.course import Mistake, Student, Task
from minicnn.course.expect import expect_close, expect_gradients, expect_several
from minicnn.gradcheck import check_function
from minicnn.kernels import reference, textbook
from minicnn.layers import BatchNorm2d, Conv2d, Flatten, Linear, ReLU, Sequential


def sizes(rng: np.random.Generator) -> list[tuple[int, int]]:
    """(N, D): a square one, others, a single feature, two samples."""
    square, N, D = (int(n) for n in rng.permutation([3, 4, 5, 6, 7])[:3])
    return [(square, square), (N, D), (N, 1), (2, D)]


def signed(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers of both signs that are far from 0 and from 1 and -1."""
    return rng.choice([-1, 1], shape) * rng.choice([0.6, 1.7], shape) * rng.uniform(0.9, 1.1, shape)


def large_eps(rng: np.random.Generator) -> float:
    return float(rng.uniform(0.2, 0.5))


# ---- Task 1


def forward(student: Student, rng: np.random.Generator) -> None:
    cases = sizes(rng)
    for N, D in [*cases, cases[-1]]:  # the same shape twice, for those who keep something under it
        x = signed(rng, D) + rng.uniform(0.5, 2, D) * rng.standard_normal((N, D))
        forward_of(student, rng, f"x {x.shape}", x, large_eps(rng))
    constant = rng.standard_normal((5, 3))
    constant[:, 1] = 0.75
    forward_of(student, rng, "a feature that is the same for all samples, x (5, 3)", constant, 1e-5)
    far = 1e7 + rng.standard_normal((6, 4))
    try:
        forward_of(student, rng, "x (6, 4) around 10,000,000", far, 1e-5)
    except Mistake as mistake:
        raise Mistake(
            f"right for ordinary numbers, but not far from zero. {mistake} Is the variance the mean of the squares minus the "
            "square of the mean? Those are nearly equal there, and their difference has no digits left: subtract the mean "
            "first, then square"
        ) from None


def forward_of(student: Student, rng: np.random.Generator, case: str, x: np.ndarray, eps: float) -> None:
    D, momentum = x.shape[1], float(rng.uniform(0.1, 0.3))
    gamma, beta = signed(rng, D), signed(rng, D)
    running_mean, running_var = 2 * signed(rng, D), rng.uniform(0.5, 3, D)
    y, mean, variance = reference.batch_norm_forward(x, gamma, beta, eps)
    answer = student.batchnorm_forward(x, gamma, beta, running_mean, running_var, momentum, eps)
    got = expect_several("batchnorm_forward", answer, "y, running_mean, running_var")
    unbiased = variance * len(x) / (len(x) - 1)
    expect_close(f"y ({case})", got[0], y)
    expect_close(f"the new running_mean ({case})", got[1], running_mean + momentum * (mean - running_mean))
    expect_close(f"the new running_var ({case})", got[2], running_var + momentum * (unbiased - running_var))


# ---- Tasks 2 and 3


def a_batch(rng: np.random.Generator, N: int, D: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, gamma, beta."""
    return 2 * signed(rng, D) + rng.uniform(0.8, 2, D) * rng.standard_normal((N, D)), signed(rng, D), signed(rng, D)


def backward_steps(student: Student, rng: np.random.Generator) -> None:
    for N, D in sizes(rng):
        x, gamma, beta = a_batch(rng, N, D)
        eps, dy = large_eps(rng), rng.standard_normal((N, D))
        _, mean, variance = textbook.batch_norm_forward(x, gamma, beta, eps)
        dx, dgamma, dbeta = textbook.batch_norm_backward(dy, x, gamma, mean, variance, eps)
        answer = student.batchnorm_backward_steps(dy, x, gamma, eps)
        got = expect_several("batchnorm_backward_steps", answer, "dx, dgamma, dbeta, dvariance, dmean")
        case, squared = f"(x {x.shape})", variance + eps
        expect_close(f"dbeta {case}", got[2], dbeta)
        expect_close(f"dgamma {case}", got[1], dgamma)
        expect_close(f"dvariance {case}", got[3], -gamma * dgamma / squared / 2)
        expect_close(f"dmean {case}", got[4], -gamma * dbeta / np.sqrt(squared))

        def backward(dy: np.ndarray, x: np.ndarray = x, gamma: np.ndarray = gamma, eps: float = eps) -> dict:
            return dict(zip(("x", "gamma", "beta"), student.batchnorm_backward_steps(dy, x, gamma, eps)[:3], strict=True))

        expect_batch_norm_gradients(
            f"batchnorm_backward_steps {case}", rng, got, (dx, dgamma, dbeta), (x, gamma, beta), backward, eps
        )


def backward(student: Student, rng: np.random.Generator) -> None:
    for N, D in sizes(rng):
        x, gamma, beta = a_batch(rng, N, D)
        eps, dy = large_eps(rng), rng.standard_normal((N, D))
        _, mean, variance = textbook.batch_norm_forward(x, gamma, beta, eps)
        right = textbook.batch_norm_backward(dy, x, gamma, mean, variance, eps)
        std = np.sqrt(variance + eps)
        xh = (x - mean) / std
        got = expect_several("batchnorm_backward", student.batchnorm_backward(dy, xh, gamma, std), "dx, dgamma, dbeta")

        def backward(dy: np.ndarray, xh: np.ndarray = xh, gamma: np.ndarray = gamma, std: np.ndarray = std) -> dict:
            return dict(zip(("x", "gamma", "beta"), student.batchnorm_backward(dy, xh, gamma, std), strict=True))

        expect_batch_norm_gradients(f"batchnorm_backward (xh {x.shape})", rng, got, right, (x, gamma, beta), backward, eps)


def expect_batch_norm_gradients(
    subject: str,
    rng: np.random.Generator,
    got: list[Any],
    right: tuple[np.ndarray, ...],
    inputs: tuple[np.ndarray, ...],
    backward: Callable[[np.ndarray], dict],
    eps: float,
) -> None:
    """dx, dgamma and dbeta, the first three of ``got``, against those of the engine; if wrong, in words of a gradient check."""

    def forward(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
        return textbook.batch_norm_forward(x, gamma, beta, eps)[0]

    arrays = dict(zip(("x", "gamma", "beta"), inputs, strict=True))
    expect_gradients(
        subject,
        got[:3],
        dict(zip(("dx", "dgamma", "dbeta"), right, strict=True)),
        lambda: check_function(forward, backward, arrays, subject=subject, elements=60, rng=rng),
    )


# ---- Task 4


def frozen(student: Student, rng: np.random.Generator) -> None:
    for N, D in [*sizes(rng), (1, 3)]:  # a single sample, too
        x, gamma, beta = a_batch(rng, N, D)
        eps, dy = large_eps(rng), rng.standard_normal((N, D))
        mean, variance = 2 * signed(rng, D), rng.uniform(1.5, 3, D)
        arrays, case = {"x": x, "gamma": gamma, "beta": beta}, f"(x {x.shape})"
        y = reference.running_norm_forward(x, gamma, beta, mean, variance, eps)
        expect_close(f"y {case}", student.frozen_forward(x, gamma, beta, mean, variance, eps), y)

        def forward(mean: np.ndarray = mean, variance: np.ndarray = variance, eps: float = eps, **arrays: np.ndarray):
            return reference.running_norm_forward(arrays["x"], arrays["gamma"], arrays["beta"], mean, variance, eps)

        def backward(dy: np.ndarray, own: tuple = (x, gamma, mean, variance, eps)) -> dict:
            return dict(zip(("x", "gamma", "beta"), student.frozen_backward(dy, *own), strict=True))

        right = reference.running_norm_backward(dy, x, gamma, mean, variance, eps)
        got = expect_several("frozen_backward", student.frozen_backward(dy, x, gamma, mean, variance, eps), "dx, dgamma, dbeta")
        subject = f"frozen_backward {case}"
        expect_gradients(
            subject,
            got,
            dict(zip(("dx", "dgamma", "dbeta"), right, strict=True)),
            lambda f=forward, b=backward, a=arrays, s=subject: check_function(f, b, a, subject=s, elements=60, rng=rng),
        )


# ---- Task 5


def pictures(student: Student, rng: np.random.Generator) -> None:
    side = int(rng.integers(3, 5))
    N, C, H, W = (int(n) for n in rng.permutation([2, 3, 4, 5]))
    for shape in [(side,) * 4, (N, C, H, W), (1, C, H, W), (N, 1, W, H)]:
        channels = (shape[1], 1, 1)
        x = 2 * signed(rng, *channels) + rng.uniform(0.8, 2, channels) * rng.standard_normal(shape)
        gamma, beta, eps, dy = signed(rng, shape[1]), signed(rng, shape[1]), large_eps(rng), rng.standard_normal(shape)
        y, mean, variance = reference.batch_norm_forward(x, gamma, beta, eps)
        got = expect_several("batchnorm2d_forward", student.batchnorm2d_forward(x, gamma, beta, eps), "y, mean, variance")
        for name, array, right in zip(("mean", "variance", "y"), (*got[1:], got[0]), (mean, variance, y), strict=True):
            expect_close(f"{name} (x {shape})", array, right)

        def backward(dy: np.ndarray, x: np.ndarray = x, gamma: np.ndarray = gamma, eps: float = eps) -> dict:
            return dict(zip(("x", "gamma", "beta"), student.batchnorm2d_backward(dy, x, gamma, eps), strict=True))

        right = textbook.batch_norm_backward(dy, x, gamma, mean, variance, eps)
        got = expect_several("batchnorm2d_backward", student.batchnorm2d_backward(dy, x, gamma, eps), "dx, dgamma, dbeta")
        subject = f"batchnorm2d_backward (x {shape})"
        expect_batch_norm_gradients(subject, rng, got, right, (x, gamma, beta), backward, eps)


# ---- Task 6


def folding(student: Student, rng: np.random.Generator) -> None:
    F, C, KH, KW = (int(n) for n in rng.permutation([2, 3, 4, 5]))
    for shape in [(3, 3, 3, 3), (F, C, KH, KW), (F, 1, 1, 1), (1, C, KW, KH)]:
        F = shape[0]
        w, b, gamma, beta = rng.standard_normal(shape), signed(rng, F), signed(rng, F), signed(rng, F)
        mean, variance, eps = 2 * signed(rng, F), rng.uniform(1.5, 3, F), large_eps(rng)
        got = expect_several("fold", student.fold(w, b, gamma, beta, mean, variance, eps), "w2, b2")
        scale = gamma / np.sqrt(variance + eps)
        for name, array, right in zip(
            ("w2", "b2"), got, (np.einsum("fcij,f->fcij", w, scale), b * scale + beta - scale * mean), strict=True
        ):
            expect_close(f"{name} (w {shape})", array, right)
        x = rng.standard_normal((2, shape[1], 6, 7))
        y = reference.running_norm_forward(convolve(x, w, b), gamma, beta, mean, variance, eps)
        expect_close(f"the convolution with w2 and b2 (w {shape})", convolve(x, *got), y)


def convolve(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    return textbook.conv2d_forward(x, w, b, (1, 1), (0, 0, 0, 0), (1, 1), 1)


# ---- Task 7


def local_response(student: Student, rng: np.random.Generator) -> None:
    for C, size, beta in ((7, 5, 0.75), (6, 3, 0.6), (3, 1, 1.2), (2, 5, 0.75), (3, 7, 0.5)):  # windows wider than C, too
        N, H, W = (int(n) for n in rng.permutation([1, 2, 4]))
        x, dy = 1.5 * signed(rng, N, C, H, W), rng.standard_normal((N, C, H, W))
        alpha, k = float(rng.uniform(0.8, 2)), float(rng.uniform(1.5, 2.5))
        case = f"(x {x.shape}, size {size}, beta {beta:g})"
        y = reference.local_response_norm_forward(x, size, alpha, beta, k)
        expect_close(f"y {case}", student.lrn_forward(x, size, alpha, beta, k), y)

        def forward(x: np.ndarray, how: tuple = (size, alpha, beta, k)) -> np.ndarray:
            return reference.local_response_norm_forward(x, *how)

        def backward(dy: np.ndarray, x: np.ndarray = x, how: tuple = (size, alpha, beta, k)) -> dict:
            return {"x": student.lrn_backward(dy, x, *how)}

        subject = f"lrn_backward {case}"
        expect_gradients(
            subject,
            [student.lrn_backward(dy, x, size, alpha, beta, k)],
            {"dx": reference.local_response_norm_backward(dy, x, size, alpha, beta, k)},
            lambda f=forward, b=backward, x=x, s=subject: check_function(f, b, {"x": x}, subject=s, elements=40, rng=rng),
        )


# ---- all of them

TASKS = [
    Task(
        "batch normalisation, forward",
        forward,
        functions=("batchnorm_forward",),
        slips=FORWARD_SLIPS,
        hints=(
            "What belongs to a feature has the shape (D,): gamma, beta, mean, variance, the running averages. So each sum runs "
            "over the samples, and NumPy lets (D,) meet (N, D) by itself.",
            "Follow the equations of the docstring from top to bottom, a line each. Keep two variances apart: the biased one "
            "normalises, and N / (N - 1) times it is averaged.",
            "mean = x.mean(axis=0); variance = ((x - mean) ** 2).mean(axis=0); y is gamma times (x - mean) over the root of "
            "variance + eps, plus beta; each new average is (1 - momentum) times the old one plus momentum times the batch's.",
        ),
    ),
    Task(
        "backward, step by step",
        backward_steps,
        functions=("batchnorm_backward_steps",),
        slips=STEPS_SLIPS,
        hints=(
            "Compute the forward pass again first, and keep c, the variance, s and xh by those names. Then go back a line at "
            "a time, and print shapes: what belongs to a feature is (D,).",
            "Where a value goes two ways, what comes back from the two is added; where it is shared by all samples, what comes "
            "back from all of them is summed.",
            "dvariance = (dxh * c).sum(axis=0) * -0.5 * (variance + eps) ** -1.5; dc has two parts, dxh / s and dvariance by "
            "2 c / N; dmean is minus the sum of dc; dx has two parts again.",
        ),
        points=2,
    ),
    Task(
        "backward, in closed form",
        backward,
        functions=("batchnorm_backward",),
        slips=CLOSED_FORM_SLIPS,
        hints=(
            "Two means over the batch, for each feature: of dy, and of dy times xh.",
            "Take from dy its mean, and xh times the mean of dy xh; then scale what is left. The sum of dx over the batch "
            "comes out as 0: try it.",
            "dx = gamma / std * (dy - dy.mean(axis=0) - xh * ...), and dgamma and dbeta are sums, not means.",
        ),
    ),
    Task(
        "frozen, and in inference",
        frozen,
        functions=("frozen_forward", "frozen_backward"),
        slips=FROZEN_SLIPS,
        hints=(
            "Nothing here is computed from the batch but y and the gradients.",
            "y = a x + const for each feature, with a = gamma / sqrt(running_var + eps). What is dx, then?",
            "dx is dy times gamma over the root; dgamma is the sum of dy times (x - running_mean) over the root; dbeta the sum "
            "of dy.",
        ),
    ),
    Task(
        "pictures, channel by channel",
        pictures,
        functions=("batchnorm2d_forward", "batchnorm2d_backward"),
        slips=PICTURES_SLIPS,
        hints=(
            "Three axes disappear from each sum: axis=(0, 2, 3). What is left has the shape (C,).",
            "To meet x again, mean, variance, gamma and beta need two more axes: mean[:, None, None], or keepdims=True. Or put "
            "the channels last, reshape to (N H W, C), and use what you have already.",
            "dx = gamma[:, None, None] / std * (dy - mean of dy - xh * mean of dy xh), with both means by "
            ".mean(axis=(0, 2, 3), keepdims=True).",
        ),
    ),
    Task(
        "folded into the convolution",
        folding,
        functions=("fold",),
        slips=FOLD_SLIPS,
        hints=(
            "Write scale for gamma / sqrt(running_var + eps), and multiply the right side out.",
            "What stands beside x is w2, all the rest is b2. Each filter f has its own scale[f].",
            "w2 is w times scale[:, None, None, None]; b2 is scale times (b - running_mean), plus what is outside the bracket.",
        ),
    ),
    Task(
        "local response normalisation",
        local_response,
        functions=("lrn_forward", "lrn_backward"),
        slips=LRN_SLIPS,
        hints=(
            "Both functions need sums over windows of channels: of x^2 in the one, of dy x / scale^(beta + 1) in the other. "
            "Write that once, as a function of its own.",
            "A loop over the channels is enough: at channel c, a slice from c - size // 2, but not below 0, up to and with "
            "c + size // 2. A slice may end behind the last channel.",
            "values[:, max(c - half, 0) : c + half + 1].sum(axis=1) for each c, stacked along axis 1. Then the equations, as "
            "they stand.",
        ),
        points=2,
    ),
]


# ---- when all is passed


def finale(functions: Mapping[str, Callable], out: Path) -> None:
    """A small network trained with the student's batch norm, beside the engine's; then without it, folded by the student."""
    import matplotlib.pyplot as plt

    from minicnn.course.workbench import BLUE, GREY, ORANGE, drawn_digits, find_data
    from minicnn.data import load_mnist
    from minicnn.losses import SoftmaxCrossEntropy
    from minicnn.optim import SGD

    rng = np.random.default_rng(5)
    folder = find_data("mnist")
    if folder:
        pixels, labels, test_pixels, test_labels = load_mnist(folder)
    else:
        (pixels, labels), (test_pixels, test_labels) = drawn_digits(1500, rng), drawn_digits(500, rng)
    chosen = rng.permutation(len(pixels))[:1500]
    x, y = pixels[chosen][:, None] / 128.0 - 0.5, labels[chosen]
    test_x, test_y = test_pixels[:500, None] / 128.0 - 0.5, test_labels[:500]
    batches = [chosen for _ in range(3) for chosen in np.array_split(rng.permutation(len(x)), 30)]

    class Student2d(BatchNorm2d):
        """The engine's layer with the student's functions in it."""

        def forward(self, x: np.ndarray) -> np.ndarray:
            gamma, beta = self.gamma.value, self.beta.value
            if not self.training:
                rows = x.transpose(0, 2, 3, 1)
                flat = rows.reshape(-1, rows.shape[3])
                running = functions["frozen_forward"](flat, gamma, beta, self.running_mean, self.running_var, self.eps)
                return np.ascontiguousarray(running.reshape(rows.shape).transpose(0, 3, 1, 2))
            y, mean, variance = functions["batchnorm2d_forward"](x, gamma, beta, self.eps)
            self._update_running_statistics(mean, variance, M=x.size // self.num_features)
            self.remember(x=x)
            return np.ascontiguousarray(y)

        def backward(self, dy: np.ndarray) -> np.ndarray:
            dx, dgamma, dbeta = functions["batchnorm2d_backward"](dy, self.recall().x, self.gamma.value, self.eps)
            self.gamma.grad, self.beta.grad = np.array(dgamma), np.array(dbeta)
            return np.ascontiguousarray(dx)

    def network(norm: type[BatchNorm2d]) -> Sequential:
        net = Sequential(conv1=Conv2d(1, 6, 5, stride=2, rng=1), norm1=norm(6), relu1=ReLU())
        for name, layer in (("conv2", Conv2d(6, 12, 3, stride=2, rng=2)), ("norm2", norm(12)), ("relu2", ReLU())):
            net.append(name, layer)
        net.append("flatten", Flatten())
        net.append("scores", Linear(12 * 5 * 5, 10, rng=3))
        return net.astype(np.float64)

    def train(net: Sequential, steps: int, seconds: float) -> list[float]:
        loss, optimizer, losses = SoftmaxCrossEntropy(), SGD(net.parameters(), 0.1, momentum=0.9), []
        start = time.perf_counter()
        for batch in batches[:steps]:
            losses.append(loss.forward(net.train().forward(x[batch]), y[batch]))
            net.backward(loss.backward())
            optimizer.step()
            if time.perf_counter() - start > seconds:
                break
        return losses

    def accuracy(net: Sequential) -> float:
        return float((net.eval().forward(test_x).argmax(axis=1) == test_y).mean())

    yours = network(Student2d)
    losses = train(yours, len(batches), seconds=8)  # plain loops are slow: as far as they come
    engines = network(BatchNorm2d)
    engine_losses = train(engines, len(losses), seconds=60)
    folded = Sequential()
    layers = yours.layers
    for i in (1, 2):
        conv, norm = layers[f"conv{i}"], layers[f"norm{i}"]
        running = norm.gamma.value, norm.beta.value, norm.running_mean, norm.running_var, norm.eps
        plain = Conv2d(**conv.config()).astype(np.float64)
        plain.w.value[...], plain.b.value[...] = functions["fold"](conv.w.value, conv.b.value, *running)
        folded.append(f"conv{i}", plain)
        folded.append(f"relu{i}", ReLU())
    folded.append("flatten", Flatten())
    folded.append("scores", layers["scores"])
    scores, folded_scores = yours.eval().forward(test_x), folded.eval().forward(test_x)
    difference = abs(scores - folded_scores).max() / abs(scores).max()

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    left.plot(engine_losses, color=GREY, lw=5, label="the engine's batch norm")
    left.plot(losses, color=ORANGE, lw=1.2, label="yours")
    left.set(title="The same network, trained twice", xlabel="step", ylabel="loss")
    left.legend()
    right.plot(scores.ravel(), folded_scores.ravel(), ".", ms=2, color=BLUE)
    right.set(title="Scores of 500 digits", xlabel="with your batch norm", ylabel="folded by you, without it")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "finale.png")
    plt.close(figure)
    print(
        f"Your batch norm, {len(losses)} steps: {accuracy(yours):.0%} of 500 digits right (engine: {accuracy(engines):.0%}); "
        f"folded by you, scores differ by {difference:.0e} of the largest. Figure: {out / 'finale.png'}"
    )


FINALE = finale
