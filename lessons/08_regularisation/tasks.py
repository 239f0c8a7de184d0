"""Lesson 8: what its exercise is checked for, offline, with new numbers and shapes each time.

The numbers differ from run to run; the cases do not. What could be mistaken for each other is different in all of them: p is
never 1/2, no two sizes are equal, partners are not partners of each other.
"""

from pathlib import Path

import numpy as np
from slips import (
    AVERAGE_SLIPS,
    BACKWARD_SLIPS,
    CROP_SLIPS,
    ENSEMBLE_SLIPS,
    INVERTED_SLIPS,
    LOSS_SLIPS,
    MIX_SLIPS,
    NORM_SLIPS,
    PENALTY_SLIPS,
    SHARE_SLIPS,
    VANILLA_SLIPS,
    between,
    usual_d,
)

from minicnn.course import Mistake, Student, Task
from minicnn.course.expect import expect_array, expect_close, expect_gradients, expect_number, expect_several
from minicnn.gradcheck import check_function
from minicnn.layers import Dropout, Linear, Parameter, ReLU, Sequential
from minicnn.losses import SoftmaxCrossEntropy, log_softmax, softmax
from minicnn.regularizers import ElasticNet, MaxNorm
from minicnn.training.averaging import WeightAverage

# ---- Task 1: penalties


def penalties(student: Student, rng: np.random.Generator) -> None:
    for shape in ((5,), (3, 4), (2, 3, 2, 4)):
        lambda1, lambda2 = rng.uniform(0.1, 0.4), rng.uniform(0.6, 0.9)
        for strengths in ((0.0, lambda2), (lambda1, 0.0), (lambda1, lambda2)):
            penalty(student, rng, away_from_zero(rng, shape), *strengths)
    w = away_from_zero(rng, (3, 4))
    w[0, 3] = w[2, 1] = 0
    with np.errstate(all="ignore"):
        value, gradient = expect_several("elastic_net", student.elastic_net(w, lambda1, lambda2), "R, dw")
    at_zero = np.asarray(gradient)[w == 0]
    if not (at_zero == 0).all():
        raise Mistake(f"where a weight is exactly 0 the derivative of |w| is 0 by our rule, and so is dw; got {at_zero[0]:.4g}")
    expected = engine_penalty(w, lambda1, lambda2)
    expect_close("R (some weights are 0)", expect_number("R", value), np.float64(expected[0]))
    expect_close("dw (some weights are 0)", gradient, expected[1])


def away_from_zero(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Weights of both signs, none near the kink."""
    signs = rng.permutation(np.resize([1, -1], np.prod(shape))).reshape(shape)
    return signs * rng.uniform(0.2, 2, shape)


def engine_penalty(w: np.ndarray, lambda1: float, lambda2: float) -> tuple[float, np.ndarray]:
    parameter = Parameter(w.copy())
    parameter.grad = np.zeros_like(w)
    regularizer = ElasticNet({"w": parameter}, lambda1, lambda2)
    regularizer.add_gradients()
    return regularizer.value(), parameter.grad


def penalty(student: Student, rng: np.random.Generator, w: np.ndarray, lambda1: float, lambda2: float) -> None:
    subject = f"elastic_net (w {w.shape}, lambda1 {lambda1:.3g}, lambda2 {lambda2:.3g})"
    value, gradient = engine_penalty(w, lambda1, lambda2)
    got = expect_several("elastic_net", student.elastic_net(w, lambda1, lambda2), "R, dw")
    expect_close(f"R of {subject}", expect_number("R", got[0]), np.float64(value))
    expect_array(f"dw of {subject}", got[1], w.shape)

    def forward(w: np.ndarray) -> np.ndarray:
        return np.asarray(lambda1 * np.abs(w).sum() + lambda2 / 2 * (w * w).sum())

    def backward(dy: np.ndarray) -> dict:
        return {"w": dy * student.elastic_net(w, lambda1, lambda2)[1]}

    expect_gradients(
        subject, got[1:], {"dw": gradient}, lambda: check_function(forward, backward, {"w": w}, subject=subject, rng=rng)
    )


# ---- Task 2: max norm


def projections(student: Student, rng: np.random.Generator) -> None:
    for shape in ((6, 5), (4, 3, 2, 5), (5, 1), (1, 7), (7, 2, 3)):
        w, c = units(rng, shape)
        project(student, w, c, f"w {shape}, c {c:.3g}")
    w, c = units(rng, (4, 3))
    w[2] = 0
    with np.errstate(all="ignore"):
        project(student, w, c, "one unit's weights are all 0")


def units(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """Weights of units of which some are longer than c and some shorter, and c; the squares of their lengths are all longer."""
    c = rng.uniform(2, 3)
    factors = rng.permutation(np.resize([1, 0, 1], shape[0])) * rng.uniform(0.8, 2, shape[0]) + rng.uniform(
        0.75, 0.95, shape[0]
    )
    rows = rng.standard_normal((shape[0], int(np.prod(shape[1:]))))
    rows *= (c * factors / np.sqrt((rows * rows).sum(axis=1)))[:, None]
    return rows.reshape(shape), c


def project(student: Student, w: np.ndarray, c: float, title: str) -> None:
    parameter = Parameter(w.copy())
    MaxNorm({"w": parameter}, c).apply()
    got = expect_array(f"max_norm ({title})", student.max_norm(w, c), w.shape)
    rows, right = got.reshape(len(w), -1), parameter.value.reshape(len(w), -1)
    for f in range(len(w)):
        if not np.allclose(rows[f], right[f], rtol=1e-6, atol=1e-9):
            before, after, wanted = (np.sqrt((r[f] ** 2).sum()) for r in (w.reshape(len(w), -1), rows, right))
            raise Mistake(
                f"max_norm ({title}): the weights of unit {f} have length {before:.4f} and c is {c:.4f}; they must have length "
                f"{wanted:.4f} afterwards and keep their direction, got length {after:.4f}"
            )


# ---- Task 3: dropout


def dropouts(student: Student, rng: np.random.Generator) -> None:
    cases = [dropout_case(rng, (6, 5)), dropout_case(rng, (3, 2, 4, 5))]
    x, p, u = dropout_case(rng, (5, 4))
    u.flat[0] = 0.0
    cases.append((x, 0.0, u))  # nothing is dropped, not even where u is 0
    for x, p, u in cases:
        got = [(training, student.dropout_forward(x, p, u, training)) for training in (True, False)]  # both tell what it is
        for training, y in got:
            expect_close(f"y {in_words(x, p, training)}", y, expected_dropout(x, p, u, training))
    for x, p, u in cases:
        for training in (True, False):
            dropout_gradient(student, rng, x, p, u, training)
    for x, p, u in cases:
        got = [(training, student.vanilla_dropout_forward(x, p, u, training)) for training in (True, False)]
        for training, y in got:
            expect_close(f"vanilla y {in_words(x, p, training)}", y, x * (u >= p) if training else (1 - p) * x)


def dropout_case(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, float, np.ndarray]:
    """x, p and u: some units are kept and some dropped in every sample, and one has u = p exactly, which keeps it."""
    p = float(rng.choice([0.2, 0.3, 0.7, 0.8]))
    while True:
        u = rng.random(shape)
        kept = (u >= p).reshape(len(u), -1)
        if kept.any(axis=1).all() and not kept.all(axis=1).any() and not (kept == kept[0]).all():
            break
    x = rng.choice([-1, 1], shape) * rng.uniform(0.2, 2, shape)
    u.flat[kept.argmax()] = p
    return x, p, u


def expected_dropout(x: np.ndarray, p: float, u: np.ndarray, training: bool) -> np.ndarray:
    return np.where(u < p, 0.0, x / (1 - p)) if training else x


def in_words(x: np.ndarray, p: float, training: bool) -> str:
    return f"in {'training' if training else 'inference'} (x {x.shape}, p {p:g})"


def dropout_gradient(
    student: Student, rng: np.random.Generator, x: np.ndarray, p: float, u: np.ndarray, training: bool
) -> None:
    subject, dy = f"dropout_backward {in_words(x, p, training)}", rng.standard_normal(x.shape)
    dx = expected_dropout(dy, p, u, training)
    got = expect_array(f"dx of {subject}", student.dropout_backward(dy, p, u, training), x.shape)

    def forward(x: np.ndarray) -> np.ndarray:
        return expected_dropout(x, p, u, training) + 0.0

    def backward(dy: np.ndarray) -> dict:
        return {"x": student.dropout_backward(dy, p, u, training)}

    expect_gradients(subject, [got], {"dx": dx}, lambda: check_function(forward, backward, {"x": x}, subject=subject, rng=rng))


# ---- Task 4: crops and flips


def crops(student: Student, rng: np.random.Generator) -> None:
    for shape, pad in (((7, 3, 6, 7), 2), ((6, 1, 8, 5), 3), ((5, 2, 4, 6), 0), ((6, 2, 6, 5), 1)):
        x, seeds = rng.standard_normal(shape), telling_seeds(rng, shape[0], pad)
        y = moved(x, pad, seeds)
        got = student.crop_and_flip(x, pad, seeds)
        crop_by_crop(got, y, x, pad, seeds)
    alone = student.crop_and_flip(x[2:3], pad, seeds[2:3])
    expect_close("y of a sample in a batch of its own", alone, y[2:3])


def telling_seeds(rng: np.random.Generator, n: int, pad: int) -> np.ndarray:
    """Seeds that mirror some pictures and not others, move some down and right, and some up and left."""
    while True:
        seeds = rng.integers(0, 2**31, n)
        top, left, mirrored = np.transpose([draws(seed, pad) for seed in seeds])
        if mirrored[0] and 0 < mirrored[1:].sum() < n - 1:
            uneven = (top != left).sum() >= 2 and (top > pad).any() and (top < pad).any() and (left == 2 * pad).any()
            if pad == 0 or uneven:
                return seeds


def draws(seed: int, pad: int) -> tuple[int, int, bool]:
    rng = np.random.default_rng(seed)
    top, left = rng.integers(0, 2 * pad + 1, 2)
    return int(top), int(left), bool(rng.random() < 0.5)


def moved(x: np.ndarray, pad: int, seeds: np.ndarray) -> np.ndarray:
    """By the definition, pixel by pixel: where each one comes from."""
    N, _, H, W = x.shape
    y = np.empty_like(x)
    for n in range(N):
        top, left, mirrored = draws(seeds[n], pad)
        for i in range(H):
            for j in range(W):
                row, column = reflected(i + top - pad, H), reflected((W - 1 - j if mirrored else j) + left - pad, W)
                y[n, :, i, j] = x[n, :, row, column]
    return y


def reflected(i: int, size: int) -> int:
    """The row or column that one outside the picture is the mirror image of."""
    return size - 1 - abs(size - 1 - abs(i))


def crop_by_crop(got: np.ndarray, y: np.ndarray, x: np.ndarray, pad: int, seeds: np.ndarray) -> None:
    got = expect_array(f"y (x {x.shape}, pad {pad})", got, y.shape)
    for n in range(len(y)):
        if not np.allclose(got[n], y[n]):
            top, left, mirrored = draws(seeds[n], pad)
            at = tuple(int(i) for i in np.argwhere(~np.isclose(got[n], y[n]))[0])
            raise Mistake(
                f"y[{n}] is wrong (x {x.shape}, pad {pad}): its seed {seeds[n]} gives top {top}, left {left}, "
                f"{'mirrored' if mirrored else 'not mirrored'}; the first wrong pixel is y[{n}, {', '.join(map(str, at))}] = "
                f"{got[n][at]:.4g}, expected {y[n][at]:.4g}"
            )


# ---- Task 5: mixup


def mixing(student: Student, rng: np.random.Generator) -> None:
    for shape, classes in (((6, 4), 3), ((7, 2, 3, 5), 4)):
        x, (y, m, partner) = rng.standard_normal(shape), mixture(rng, shape[0], classes)
        got = expect_several("mixup", student.mixup(x, y, classes, m, partner), "x', q'")
        mixed, q = np.empty_like(x), np.zeros((len(x), classes))
        for n, (share, other) in enumerate(zip(m, partner, strict=True)):
            mixed[n] = share * x[n] + (1 - share) * x[other]
            q[n, y[n]] += share
            q[n, y[other]] += 1 - share
        title = f"(x {shape}, {classes} classes)"
        expect_close(f"x' {title}", got[0], mixed)
        rows = expect_array(f"q' {title}", got[1], q.shape).sum(axis=1)
        if not np.allclose(rows, 1):
            n = int(np.abs(rows - 1).argmax())
            raise Mistake(
                f"each row of q' {title} holds probabilities and must sum to 1; row {n}, of classes {y[n]} and {y[partner[n]]} "
                f"with m = {m[n]:.3f}, sums to {rows[n]:.3f}"
            )
        expect_close(f"q' {title}", got[1], q)
    for N, K in ((5, 3), (3, 5), (1, 4)):
        soft_loss(student, rng, N, K)
    scores, q = rng.standard_normal((4, 3)), rng.dirichlet(np.ones(3), 4)
    scores[0, :2], scores[1] = [1000, -1000], scores[1] + 1000
    with np.errstate(all="ignore"):
        loss, dscores = expect_several("soft_cross_entropy", student.soft_cross_entropy(scores, q), "loss, dscores")
    if not np.isfinite(loss) or not np.isfinite(dscores).all():
        raise Mistake("right for ordinary scores, but scores of 1000 give NaN or infinity: subtract each row's largest score")
    engine = SoftmaxCrossEntropy()
    expect_close("loss (scores of 1000)", expect_number("loss", loss), np.float64(engine.forward(scores, q)))
    expect_close("dscores (scores of 1000)", dscores, engine.backward())


def mixture(rng: np.random.Generator, n: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes, shares and partners; some partners are of the same class, some of another, and none is its partner's partner."""
    circle = rng.permutation(n)
    partner = np.empty(n, np.int64)
    partner[circle] = np.roll(circle, 1)
    m = np.where(rng.permutation(n) % 2, rng.uniform(0.05, 0.4, n), rng.uniform(0.6, 0.95, n))
    while True:
        y = rng.integers(0, classes, n)
        differ = y != y[partner]
        if not differ.all() and (m[differ] < 0.5).any() and (m[differ] > 0.5).any():
            return y, m, partner


def soft_loss(student: Student, rng: np.random.Generator, N: int, K: int) -> None:
    scores, q, engine = 2 * rng.standard_normal((N, K)), rng.dirichlet(np.ones(K), N), SoftmaxCrossEntropy()
    expected = engine.forward(scores, q)
    loss, dscores = expect_several("soft_cross_entropy", student.soft_cross_entropy(scores, q), "loss, dscores")
    subject = f"soft_cross_entropy ({N} samples, {K} classes)"
    expect_close(f"loss of {subject}", expect_number("loss", loss), np.float64(expected))
    expect_array(f"dscores of {subject}", dscores, scores.shape)

    def forward(scores: np.ndarray) -> np.ndarray:
        return np.asarray(-(q * log_softmax(scores)).sum() / N)

    def backward(dy: np.ndarray) -> dict:
        return {"scores": dy * student.soft_cross_entropy(scores, q)[1]}

    expect_gradients(
        subject,
        [dscores],
        {"dscores": engine.backward()},
        lambda: check_function(forward, backward, {"scores": scores}, subject=subject, rng=rng),
    )


# ---- Task 6: an average of weights


def averages(student: Student, rng: np.random.Generator) -> None:
    for shape, decay in (((5,), rng.uniform(0.5, 0.7)), ((3, 4), rng.uniform(0.9, 0.97))):
        average, w, steps = rng.standard_normal(shape), rng.standard_normal(shape), (4, 1, 40, 800)
        got = [student.update_average(average, w, decay, t) for t in steps]  # early and late steps together tell what it is
        for t, a in zip(steps, got, strict=True):
            d = min(decay, t / (t + 10))
            expect_close(f"the average after step {t} (decay {decay:.3g}, w {shape})", a, d * average + (1 - d) * w)
        average_of_a_run(student, rng, decay)
    for decay, steps in ((0.6, 1), (0.55, 3), (0.6, 30), (0.95, 60)):
        expected = np.array([weight_of(t, decay, steps) for t in range(steps + 1)])
        title = f"shares (decay {decay:g}, {steps} steps)"
        got = expect_array(title, student.shares_in_average(decay, steps), expected.shape)
        if not np.isclose(got.sum(), 1):
            raise Mistake(f"all {title} together must be 1, got {got.sum():.6g}: {np.array2string(got[:5], precision=4)} ...")
        expect_close(title, got, expected)


def average_of_a_run(student: Student, rng: np.random.Generator, decay: float) -> None:
    """Step after step, against the engine's average."""
    layer = Linear(3, 2, bias=False, rng=rng).astype(np.float64)
    engine, average = WeightAverage(layer, decay), layer.w.value.copy()
    for t in range(1, 26):
        layer.w.value[...] = rng.standard_normal((2, 3))
        engine.update()
        average = student.update_average(average, layer.w.value.copy(), decay, t)
    with engine.in_place():
        expect_close(f"the average of a run of 25 steps (decay {decay:.3g})", average, layer.w.value.copy())


def weight_of(t: int, decay: float, steps: int) -> float:
    """The share of the weights of step t: what was added of them, times all d that came after."""
    d = [min(decay, s / (s + 10)) for s in range(1, steps + 1)]  # d[s - 1] is that of step s
    return (1 - d[t - 1] if t else 1.0) * float(np.prod(d[t:]))


# ---- Task 7: an ensemble


def ensembles(student: Student, rng: np.random.Generator) -> None:
    cases = [2 * rng.standard_normal(shape) for shape in ((4, 3, 5), (3, 5, 4), (5, 4, 3), (2, 1, 6))]
    large = rng.standard_normal((3, 4, 5))
    large[1, 0] += 3000  # overflows in this sample; the largest score of all subtracted, the others underflow
    large[2, 1] -= 1000
    large[0, 2, 2] += 800
    for scores in (*cases, large):
        M, N, K = scores.shape
        title = f"of {M} models, {N} samples and {K} classes" + (", with scores in the thousands" if scores is large else "")
        p = sum(softmax(of_model) for of_model in scores) / M
        with np.errstate(all="ignore"):
            got = expect_array(f"mean_of_probabilities {title}", student.mean_of_probabilities(scores), p.shape)
        expect_close(f"mean_of_probabilities {title}", got, p)
    for scores in (*cases, large):
        M, N, K = scores.shape
        title = f"of {M} models, {N} samples and {K} classes" + (", with scores in the thousands" if scores is large else "")
        logs = log_softmax(scores).mean(axis=0)  # the geometric mean of probabilities, and its sum made 1
        p = np.exp(logs - logs.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        with np.errstate(all="ignore"):
            got = expect_array(f"mean_of_scores {title}", student.mean_of_scores(scores), p.shape)
        expect_close(f"mean_of_scores {title}", got, p)


# ---- all tasks

TASKS = [
    Task(
        "penalties: L2, L1 and both",
        penalties,
        functions=("elastic_net",),
        slips=PENALTY_SLIPS,
        hints=(
            "Write R and dw as two lines, each the sum of a part of L1 and a part of L2. Try w = [3, -2, 0] by hand.",
            "The derivative of |w| is +1 right of 0, -1 left of it, and 0 at it by our rule; that of w^2 / 2 is w.",
            "np.abs(w).sum() and (w * w).sum() / 2 for R; np.sign(w) and w for dw; each times its lambda.",
        ),
        points=1,
    ),
    Task(
        "max norm: a unit's weights scaled back",
        projections,
        functions=("max_norm",),
        slips=NORM_SLIPS,
        hints=(
            "One number for each unit: its length. Then one factor for each unit, by which all its weights are multiplied.",
            "w.reshape(len(w), -1) has a row for each unit, whatever the number of axes. The factor is 1 for short units.",
            "c / np.maximum(lengths, c) is 1 where a length is below c and never divides by 0; give it axes to fit w.",
        ),
        points=1,
    ),
    Task(
        "dropout, inverted and vanilla",
        dropouts,
        functions=("dropout_forward", "dropout_backward", "vanilla_dropout_forward"),
        slips=(*INVERTED_SLIPS, *BACKWARD_SLIPS, *VANILLA_SLIPS),
        hints=(
            "u >= p is an array of True and False, and counts as 1 and 0 in a product. Training and inference are two cases.",
            "The mean of y over all u must be the same in training and in inference: of a share 1 - p of the units, or of all.",
            "Inverted: x * kept / (1 - p), and x.copy() in inference; dx likewise of dy. Vanilla: x * kept, and x * (1 - p).",
        ),
        points=3,
    ),
    Task(
        "random crops and flips, a seed a sample",
        crops,
        functions=("crop_and_flip",),
        slips=CROP_SLIPS,
        hints=(
            "Pad the whole batch first; then loop over the samples: make the sample's generator, and draw three numbers.",
            "The window begins at (top, left) of the padded picture and is H x W; a slice with step -1 turns columns round.",
            "xp[n, :, top : top + H, left : left + W], and [:, :, ::-1] of it if mirrored. np.pad must leave N and C alone.",
        ),
        points=2,
    ),
    Task(
        "mixup, and a loss for soft targets",
        mixing,
        functions=("mixup", "soft_cross_entropy"),
        slips=(*MIX_SLIPS, *LOSS_SLIPS),
        hints=(
            "Make one-hot rows of y first; then pictures and targets are mixed by the very same line.",
            "x[partner] has the partners in order. To go with samples, m needs axes of length 1 behind its first.",
            "np.eye(classes)[y]; m.reshape(-1, 1, 1, 1) for (N, C, H, W). The loss is -(q * log_p).sum() / N.",
        ),
        points=3,
    ),
    Task(
        "an exponential average of weights",
        averages,
        functions=("update_average", "shares_in_average"),
        slips=(*AVERAGE_SLIPS, *SHARE_SLIPS),
        hints=(
            "The first function is one line, once d is there. For the second, write out a_1, a_2, a_3 in a_0 and the weights.",
            "Each step multiplies all shares that there are by its d, and puts 1 - d behind them.",
            "Begin with the shares [1.0]; for each t: multiply them by d_t and append 1 - d_t.",
        ),
        points=2,
    ),
    Task(
        "an ensemble: mean of probabilities, of scores",
        ensembles,
        functions=("mean_of_probabilities", "mean_of_scores"),
        slips=ENSEMBLE_SLIPS,
        hints=(
            "The axes are models, samples, classes. Which one does softmax sum over, and which one is averaged away?",
            "Softmax is along the last axis, the mean along the first; the two functions differ in which comes first.",
            "softmax(scores).mean(axis=0) and softmax(scores.mean(axis=0)); softmax subtracts each row's largest score first.",
        ),
        points=2,
    ),
]

# ---- all of them together, in a training run

FINALE_PICTURES, FINALE_EPOCHS, FINALE_BATCH = 300, 60, 30
LAMBDA1, LAMBDA2, LONGEST, DROPPED, DECAY = 1e-5, 1e-3, 2.0, 0.2, 0.97
PAD, LARGEST_SHARE = 1, 0.4  # of a crop, and of a partner in mixup


def finale(functions: dict, out: Path) -> None:
    """Three runs on the same few pictures: nothing against learning by heart, the engine's means against it, the student's."""
    from matplotlib.figure import Figure  # slow to load, and no check needs it

    x, y, x_val, y_val, what = finale_pictures()
    curves, last = {}, {}
    for title, means in {"nothing": None, "the engine's": engine_means(), "yours": student_means(functions)}.items():
        curves[title], last[title] = train_with(means, functions["crop_and_flip"], x, y, x_val, y_val)
    apart = max(abs(a - b) for a, b in zip(curves["the engine's"], curves["yours"], strict=True))
    together = functions["mean_of_probabilities"](np.stack([last["nothing"], last["yours"]]))

    figure = Figure(figsize=(6.5, 3.6), dpi=110, layout="tight")
    ax = figure.subplots()
    styles = {"nothing": ("#8a8a8a", "-", 1.5), "the engine's": ("#d9722b", "-", 4.0), "yours": ("#2a6fbb", "--", 1.5)}
    for title, losses in curves.items():
        color, style, width = styles[title]
        ax.plot(range(1, len(losses) + 1), losses, style, color=color, lw=width, label=title)
    ax.set(xlabel="epoch", ylabel="validation loss", title=f"{len(x)} {what}: learned by heart, or not")
    ax.legend(frameon=False)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "finale.png")

    alone = [f"{(last[title].argmax(axis=1) == y_val).mean():.1%}" for title in ("nothing", "yours")]
    print(
        f"{len(x)} {what}: validation loss {curves['nothing'][-1]:.2f} without regularisation, {curves['yours'][-1]:.2f} with "
        f"yours, {apart:.0e} away from the engine's; {alone[0]} and {alone[1]} right, together "
        f"{(together.argmax(axis=1) == y_val).mean():.1%}. Figure: {out / 'finale.png'}"
    )


def finale_pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str]:
    """Few pictures to train on and more to validate with, float64 (N, 1, 28, 28); a mirror image is of the same class."""
    from minicnn.course.workbench import drawn_digits, find_data
    from minicnn.data import load_fashion_mnist

    if folder := find_data("fashion-mnist"):
        pictures, labels, *_ = load_fashion_mnist(folder)
        what = "pictures of clothes"
    else:
        pictures, labels = drawn_digits(6000, np.random.default_rng(5))
        symmetric = np.isin(labels, (0, 1, 8))
        pictures, labels, what = pictures[symmetric], labels[symmetric], "drawn digits 0, 1 and 8"
    x = (pictures[: FINALE_PICTURES + 1000, None] - pictures.mean()) / pictures.std()
    few = FINALE_PICTURES
    return x[:few], labels[:few], x[few:], labels[few : len(x)], what


def engine_means() -> dict:
    engine = SoftmaxCrossEntropy()

    def loss(scores, q):
        return engine.forward(scores, q), engine.backward()

    def mix(x, y, m, partner):
        q = np.eye(10)[y]
        return between(x, x[partner], m), between(q, q[partner], m)

    def project(w):
        parameter = Parameter(w.copy())
        MaxNorm({"w": parameter}, LONGEST).apply()
        return parameter.value

    return {
        "dropout": Dropout,
        "mix": mix,
        "loss": loss,
        "gradient": lambda w: engine_penalty(w, LAMBDA1, LAMBDA2)[1],
        "project": project,
        "average": lambda average, w, t: average + (1 - usual_d(DECAY, t)) * (w - average),
    }


def student_means(functions: dict) -> dict:
    class StudentsDropout(Dropout):
        def forward(self, x):
            u = self.rng.random(x.shape, dtype=np.float32) if self.training else np.zeros(x.shape)
            self.remember(u=u)
            return functions["dropout_forward"](x, self.p, u, self.training)

        def backward(self, dy):
            return functions["dropout_backward"](dy, self.p, self.recall().u, self.training)

    return {
        "dropout": StudentsDropout,
        "mix": lambda x, y, m, partner: functions["mixup"](x, y, 10, m, partner),
        "loss": functions["soft_cross_entropy"],
        "gradient": lambda w: functions["elastic_net"](w, LAMBDA1, LAMBDA2)[1],
        "project": lambda w: functions["max_norm"](w, LONGEST),
        "average": lambda average, w, t: functions["update_average"](average, w, DECAY, t),
    }


def train_with(means: dict | None, crop_and_flip, x, y, x_val, y_val) -> tuple[list[float], np.ndarray]:
    """Validation losses after each epoch, and the last scores: of the averaged weights, where there is an average."""
    rng, loss = np.random.default_rng(6), SoftmaxCrossEntropy()
    net = Sequential(hidden=Linear(784, 100, rng=7), relu=ReLU())
    if means:
        net.append("drop", means["dropout"](DROPPED, rng=8))
    net.append("scores", Linear(100, 10, rng=9))
    net.astype(np.float64)
    weights = net.parameters()
    average = {name: parameter.value.copy() for name, parameter in weights.items()}
    velocity = {name: np.zeros_like(parameter.value) for name, parameter in weights.items()}
    losses, t = [], 0
    for epoch in range(FINALE_EPOCHS):
        net.train()
        order = rng.permutation(len(x))
        for batch in order.reshape(-1, FINALE_BATCH):
            pictures, targets = x[batch], y[batch]
            if means:
                pictures = crop_and_flip(pictures, PAD, epoch * len(x) + batch)
                m, partner = 1 - LARGEST_SHARE * rng.random(len(batch)), np.roll(np.arange(len(batch)), 1)
                pictures, q = means["mix"](pictures, targets, m, partner)
                _, dscores = means["loss"](net.forward(pictures.reshape(len(batch), -1)), q)
            else:
                loss.forward(net.forward(pictures.reshape(len(batch), -1)), targets)
                dscores = loss.backward()
            net.backward(dscores)
            t += 1
            for name, parameter in weights.items():
                gradient = parameter.grad
                if means and parameter.decays:
                    gradient = gradient + means["gradient"](parameter.value)
                velocity[name] = 0.9 * velocity[name] - 0.01 * gradient
                parameter.value += velocity[name]
                if means and parameter.decays:
                    parameter.value[...] = means["project"](parameter.value)
                average[name] = means["average"](average[name], parameter.value, t) if means else parameter.value
        scores = scores_with(net, average, x_val)
        losses.append(loss.forward(scores, y_val))
    return losses, scores


def scores_with(net: Sequential, average: dict, x: np.ndarray) -> np.ndarray:
    """In eval mode, with these weights for a moment."""
    own = {name: parameter.value.copy() for name, parameter in net.parameters().items()}
    for name, parameter in net.parameters().items():
        parameter.value[...] = average[name]
    scores = net.eval().forward(x.reshape(len(x), -1))
    for name, parameter in net.parameters().items():
        parameter.value[...] = own[name]
    return scores


FINALE = finale
