"""Lesson 11: what its exercise is checked for, offline, with new numbers and shapes each time.

The numbers differ from check to check; the cases do not. Whatever tells a right answer from a wrong one is in every check.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from known_accuracies import Trial
from slips import (
    CHOOSING_SLIPS,
    CLASSIFIER_SLIPS,
    CODES_SLIPS,
    DISTANCE_SLIPS,
    LENGTH_SLIPS,
    STANDARDISE_SLIPS,
    SVM_SLIPS,
    TRAINING_SLIPS,
    VOTE_SLIPS,
)
from small_network import a_network, everything_in

from minicnn.course import Mistake, Student, Task
from minicnn.course.expect import expect_array, expect_close, expect_gradients, expect_number, expect_several
from minicnn.gradcheck import check_function
from minicnn.losses import SoftmaxCrossEntropy, softmax
from minicnn.models import Model

# ---- Task 1


# layer, order of the channels, number of pictures and of those that may run at once: with a rest, without, and all at once
CODES_CASES = (
    ("relu1", "RGB", 7, 3),
    ("block10", "BGR", 8, 3),
    ("pool", "RGB", 6, 3),
    ("dropout", "BGR", 5, 2),
    ("scores", "RGB", 4, 9),
)


def codes(student: Student, rng: np.random.Generator) -> None:
    size = tuple(int(side) for side in rng.permutation([7, 9, 11])[:2])
    for layer, channels, N, batch_size in CODES_CASES:
        network = a_network(rng, channels, size)
        pictures = rng.integers(0, 256, (N, *size, 3)).astype(np.uint8)
        codes_of(student, network, layer, pictures, batch_size)
        codes_of(student, network, layer, pictures[:1], batch_size)


def codes_of(student: Student, network: Model, layer: str, pictures: np.ndarray, batch_size: int) -> None:
    lower, _ = network.split(layer)
    network.layers["entrance"].most = len(pictures)
    output = lower.eval().forward(network.preprocessing.normalise(pictures))
    expected = output.mean(axis=(2, 3)) if output.ndim == 4 else output
    before = everything_in(network)
    network.layers["entrance"].most = batch_size
    got = student.extract_codes(network.train(), layer, pictures, batch_size)
    after = everything_in(network)
    if after.keys() != before.keys() or any(after[name].dtype != before[name].dtype for name in before):
        raise Mistake(
            "extracting codes left another network behind, with other layers or another dtype: others still need it. Work on a "
            "part of it, network.split(layer), or on a copy"
        )
    if changed := [name for name in before if not np.array_equal(after[name], before[name])]:
        raise Mistake(
            f"extracting codes changed {', '.join(changed)}: the network came in train mode, where batch norm updates its "
            "running statistics. Call eval() first"
        )
    title = f"the codes at '{layer}' of {len(pictures)} picture{'s' * (len(pictures) > 1)}, {batch_size} at once,"
    expect_array(title, got, expected.shape)
    expect_close(title, got, expected, tolerance=1e-4)


# ---- Task 2


def scales(student: Student, rng: np.random.Generator) -> None:
    N, M, D = (int(n) for n in rng.permutation([7, 8, 9, 10])[:3])
    train, other = rng.normal(5, 3, (N, D)), rng.normal(2, 1, (M, D))
    mean, std = train.mean(axis=0), train.std(axis=0)
    results = expect_several("standardise", student.standardise(train, other), "train, other")
    for name, got, array in (("train", results[0], train), ("other", results[1], other)):
        expect_close(name, got, (array - mean) / std, tolerance=1e-5)
    for constant in (4.0, a_constant_with_a_std(train.shape, rng)):
        train[:, 0] = constant
        with np.errstate(all="ignore"):
            both = expect_several("standardise", student.standardise(train, other), "train, other")
        for name, got, array in (("train", both[0], train), ("other", both[1], other)):
            expected = (array - mean) / std
            expected[:, 0] = array[:, 0] - constant
            if not np.isfinite(np.asarray(got, np.float64)).all():
                raise Mistake(
                    f"{name} has NaN or infinity where feature 0 is constant in train: its std is 0, do not divide by it"
                )
            expect_close(f"{name} (feature 0 constant in train)", got, expected, tolerance=1e-5)
    lengths(student, rng)


def a_constant_with_a_std(shape: tuple[int, int], rng: np.random.Generator) -> float:
    """A number of which so many have a std of 1e-17, by rounding, and not 0."""
    while True:
        constant = float(rng.uniform(0.1, 1))
        if np.full(shape, constant).std(axis=0)[0] > 0:
            return constant


def lengths(student: Student, rng: np.random.Generator) -> None:
    for N, D in ((5, 7), (1, 4)):
        x = rng.normal(0.3, 1, (N, D)) * rng.uniform(0.1, 5, (N, 1))
        if N > 1:
            x[1] *= 0.05 / np.linalg.norm(x[1])  # shorter than 1, as some others are longer
        expected = np.stack([row / np.sqrt(sum(number**2 for number in row)) for row in x])
        expect_close(f"the codes ({N}, {D}) at unit length", student.unit_length(x), expected)
    x = rng.normal(0.3, 1, (4, 6))
    x[2], x[3] = 0, 1e-5 * x[3]
    with np.errstate(all="ignore"):
        got = np.asarray(student.unit_length(x))
    if got.shape == x.shape and not np.array_equal(got[2], x[2]):
        raise Mistake(f"a code of zeros only must stay as it is; it has become {got[2]}")
    expected = np.stack([row / (np.sqrt((row * row).sum()) or 1) for row in x])
    expect_close("the codes at unit length, of which one is all zeros and one is small all over,", got, expected)


# ---- Task 3


def classifier(student: Student, rng: np.random.Generator) -> None:
    D, *others = (int(n) for n in rng.permutation([4, 5, 6, 7])[:3])
    fewer, more = sorted(others)
    for N, K in ((more, fewer), (fewer, more)):  # some classes come up twice, and some never
        w, b, x, y, strength = linear_case(rng, N, D, K)
        classifier_case(student, rng, w, b, x, y, strength, f"({N} pictures, {K} classes)")
    w, b, x, y, strength = linear_case(rng, 4, 3, 2)
    b[0] += 1000
    with np.errstate(all="ignore"):
        results = expect_several("softmax_regression", student.softmax_regression(w, b, x, y, strength), "loss, dw, db")
    if not all(np.isfinite(np.asarray(result, np.float64)).all() for result in results):
        raise Mistake(
            "right for ordinary scores, but scores of 1000 give NaN or infinity: subtract each row's largest score, and write "
            "log p as a difference"
        )
    expected = softmax_results(w, b, x, y, strength)
    for name, got, right in zip(("loss", "dw", "db"), results, expected, strict=True):
        expect_close(f"{name} (scores of 1000)", expect_number(name, got) if name == "loss" else got, right)


def linear_case(rng: np.random.Generator, N: int, D: int, K: int) -> tuple:
    """w, b, x, y and a strength. With fewer pictures than classes, neither class 1 nor the last one comes up."""
    classes = np.arange(K) if N >= K else np.delete(np.arange(K - 1), 1)
    y = rng.permutation(np.resize(classes, N))
    return rng.standard_normal((K, D)), rng.standard_normal(K), rng.standard_normal((N, D)), y, float(rng.uniform(0.1, 0.5))


def softmax_results(w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray, strength: float) -> tuple:
    """Loss, dw and db by the engine's softmax, picture by picture."""
    scores = x @ w.T + b
    loss = SoftmaxCrossEntropy().forward(scores, y) + 0.5 * strength * (w * w).sum()
    dw, db, p = strength * w, np.zeros_like(b), softmax(scores)
    for n, label in enumerate(y):
        pull = p[n].copy()
        pull[label] -= 1
        dw, db = dw + np.outer(pull, x[n]) / len(y), db + pull / len(y)
    return np.float64(loss), dw, db


def classifier_case(student, rng, w, b, x, y, strength, sizes: str) -> None:
    loss, dw, db = expect_several("softmax_regression", student.softmax_regression(w, b, x, y, strength), "loss, dw, db")
    expected = softmax_results(w, b, x, y, strength)
    data_loss, penalty = expected[0] - 0.5 * strength * (w * w).sum(), 0.5 * strength * (w * w).sum()
    likely = {"Is the regularisation missing?": data_loss, "Is the penalty's 1/2 missing?": data_loss + 2 * penalty}
    expect_close(f"loss {sizes}", expect_number("loss", loss), expected[0], likely)

    def forward(w: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(student.softmax_regression(w, b, x, y, strength)[0])

    def backward(dy: np.ndarray) -> dict:
        _, dw, db = student.softmax_regression(w, b, x, y, strength)
        return {"w": dy * dw, "b": dy * db}

    subject, arrays = f"softmax_regression {sizes}", {"w": w, "b": b}
    right = {"dw": expected[1], "db": expected[2]}
    expect_gradients(subject, [dw, db], right, lambda: check_function(forward, backward, arrays, subject=subject, rng=rng))


# ---- Task 4


def svm(student: Student, rng: np.random.Generator) -> None:
    D, *others = (int(n) for n in rng.permutation([4, 5, 6, 7])[:3])
    fewer, more = sorted(others)
    for N, K in ((more, fewer), (fewer, more)):
        objective_case(student, rng, N, D, K)
    for N, K, steps in ((more, fewer, 1), (fewer, more, 3), (fewer, more, 25), (more, fewer, 0)):
        training_case(student, rng, N, D, K, steps)


def svm_results(w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray, strength: float) -> tuple:
    """P, dw and db, picture by picture and class by class."""
    P, dw, db = strength / 2 * (w * w).sum(), strength * w, np.zeros_like(b)
    for n in range(len(x)):
        for k in range(len(w)):
            t = 1 if k == y[n] else -1
            slack = max(0.0, 1 - t * (w[k] @ x[n] + b[k]))
            P += slack**2 / len(x)
            dw[k] -= 2 * t * slack * x[n] / len(x)
            db[k] -= 2 * t * slack / len(x)
    return np.float64(P), dw, db


def has_all_kinds(w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> bool:
    """Whether right and wrong classes have scores on the wrong side, within the margin, and beyond it; none near a kink."""
    t = np.where(np.arange(len(w)) == y[:, None], 1, -1)
    margins = t * (x @ w.T + b)
    kinds = [margins < 0, (margins > 0) & (margins < 1), margins > 1]
    return all((kind & (t == side)).any() for kind in kinds for side in (1, -1)) and np.abs(margins - 1).min() > 1e-3


def objective_case(student: Student, rng: np.random.Generator, N: int, D: int, K: int) -> None:
    while True:
        w, b, x, y, strength = linear_case(rng, N, D, K)
        if has_all_kinds(w, b, x, y):
            break
    sizes, expected = f"({N} pictures, {K} classes)", svm_results(w, b, x, y, strength)
    P, dw, db = expect_several("svm_objective", student.svm_objective(w, b, x, y, strength), "P, dw, db")
    expect_close(f"P {sizes}", expect_number("P", P), expected[0])

    def forward(w: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(student.svm_objective(w, b, x, y, strength)[0])

    def backward(dy: np.ndarray) -> dict:
        _, dw, db = student.svm_objective(w, b, x, y, strength)
        return {"w": dy * dw, "b": dy * db}

    subject, arrays = f"svm_objective {sizes}", {"w": w, "b": b}
    right = {"dw": expected[1], "db": expected[2]}
    expect_gradients(subject, [dw, db], right, lambda: check_function(forward, backward, arrays, subject=subject, rng=rng))


def training_case(student: Student, rng: np.random.Generator, N: int, D: int, K: int, steps: int) -> None:
    _, _, x, y, strength = linear_case(rng, N, D, K)
    x *= rng.uniform(0.5, 2, (N, 1))
    L = strength
    for row in x:
        L += 2 / N * (sum(number**2 for number in row) + 1)
    w, b = np.zeros((K, D)), np.zeros(K)
    for _ in range(steps):
        _, dw, db = svm_results(w, b, x, y, strength)
        w, b = w - dw / L, b - db / L
    got = expect_several("train_svm", student.train_svm(x, y, K, strength, steps), "w, b")
    title = f"after {steps} step{'s' * (steps != 1)} ({N} pictures, {K} classes)"
    for name, answer, right in (("w", got[0], w), ("b", got[1], b)):
        expect_array(f"{name} {title}", answer, right.shape)
        expect_close(f"{name} {title}", answer, right)


# ---- Task 5


def choosing(student: Student, rng: np.random.Generator) -> None:
    first, second = Trial(rng), Trial(rng)
    while first.best in second.strengths:  # so that an answer which keeps its choice from one call to the next is noticed
        second = Trial(rng)
    paths = [(first, first.strengths), (second, second.strengths[::-1])]  # by growing strength and by falling strength
    for trial, path in paths:  # both before either is judged: together they tell what it does where two are equally good
        student.choose_regularisation(trial.fit, *trial.parts.values(), path)
    for trial, path in paths:
        choose_along(student, trial, path, rng)


def choose_along(student: Student, trial: Trial, path: tuple[float, ...], rng: np.random.Generator) -> None:
    train, val, (x_test, y_test) = trial.parts.values()

    def answer(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        trial.fits.clear()
        given = student.choose_regularisation(trial.fit, train, val, (x_test, labels), path)
        trial.expect_nothing_refused()
        chosen, accuracy = expect_several("choose_regularisation", given, "regularisation, accuracy")
        return expect_number("regularisation", chosen), expect_number("accuracy", accuracy)

    chosen, _ = answer(y_test)
    for labels in (1 - y_test, np.zeros_like(y_test), rng.permutation(y_test)):
        other, _ = answer(labels)
        if other != chosen:
            raise Mistake(
                f"with other labels in the test part the choice changes from {chosen:g} to {other:g}: the test part has a say "
                "in it, and so its accuracy is no longer an honest one. Choose by the validation part"
            )
    chosen, accuracy = answer(y_test)
    best = trial.best
    if chosen != best:
        raise Mistake(f"chose {chosen:g}, expected {best:g}: {why_not(trial, float(chosen))}")
    if untried := [f"{strength:g}" for strength in path if (trial.train, strength) not in trial.fits]:
        raise Mistake(f"each strength must be tried on the training part alone, all of it; {', '.join(untried)} was not")
    if (trial.both, best) not in trial.fits:
        sizes = ", ".join(str(n) for n in sorted({len(rows) for rows, _ in trial.fits}))
        raise Mistake(
            "the last classifier must be trained with the chosen strength on training and validation part together "
            f"({len(train[1])} + {len(val[1])} pictures); fit() was called with {sizes} pictures only"
        )
    likely = {
        "That is the accuracy on the validation part.": trial.accuracy("val", best),
        "That is the last classifier's accuracy on the validation part, on which it was trained.": trial.accuracy(
            "val", best, both=True
        ),
        "That is the accuracy of the classifier before it was trained on both parts together.": trial.accuracy("test", best),
        "That is the share of wrong answers.": 1 - trial.accuracy("test", best, both=True),
    }
    expected = np.float64(trial.accuracy("test", best, both=True))
    expect_close("the test accuracy", accuracy, expected, {why: np.float64(slip) for why, slip in likely.items()})


def why_not(trial: Trial, chosen: float) -> str:
    """What is wrong with a choice, in words."""
    scores = {part: {strength: trial.accuracy(part, strength) for strength in trial.strengths} for part in trial.parts}
    if chosen not in trial.strengths:
        return f"the path has {', '.join(f'{strength:g}' for strength in trial.strengths)}"
    most = max(scores["val"].values())
    if scores["val"][chosen] == most:
        ties = ", ".join(f"{strength:g}" for strength, score in scores["val"].items() if score == most)
        return f"{ties} are equally good on the validation part; then take the strongest"
    if scores["train"][chosen] == max(scores["train"].values()):
        return "that is the best on the training part, which always likes weak regularisation"
    return f"its validation accuracy is {scores['val'][chosen]:.3f}, the best is {most:.3f}"


# ---- Task 6


def neighbours(student: Student, rng: np.random.Generator) -> None:
    A, B, D = (int(n) for n in rng.permutation([4, 5, 6, 7])[:3])
    a, b = (rng.normal(0.2, 1, (n, D)) * rng.uniform(0.2, 4, (n, 1)) for n in (A, B))
    b[1], b[2] = 3 * a[0], -0.5 * a[1]  # the same direction, and the opposite one
    distance_case(student, a, b, "")
    a[1], b[0], a[2], b[3] = 0, 0, 1e-5 * a[2], 1e-5 * b[3]
    distance_case(student, a, b, " (a[1] and b[0] are all zeros, a[2] and b[3] small all over)")
    for k in VOTES:
        vote_case(student, rng, k)


def distance_case(student: Student, a: np.ndarray, b: np.ndarray, remark: str) -> None:
    expected = np.empty((len(a), len(b)))
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            product = float(np.sqrt((one**2).sum()) * np.sqrt((other**2).sum()))
            expected[i, j] = 1 - (float((one * other).sum()) / product if product else 0.0)
    with np.errstate(all="ignore"):
        got = student.cosine_distances(a, b)
    expect_array(f"distances{remark}", got, expected.shape)
    expect_close(f"distances{remark}", got, expected)


# the labels of the nearest neighbours, from the nearest outwards, as letters
VOTES = {
    5: ("abcbc", "cabab", "acbbc", "bccba", "abbbc", "caaba", "aabbc"),
    4: ("abba", "baab", "cabc", "bcca", "abcb", "caab"),
    3: ("abb", "bac", "cba", "aba", "cca"),
    1: ("a", "b", "c"),
}
STEPS_BETWEEN = {5: (105, 6, 19, 1, 1), 4: (1, 2, 1, 20), 3: (0.25, 2, 3), 1: (2,)}  # from one distance to the next


def vote_case(student: Student, rng: np.random.Generator, k: int) -> None:
    """Rows of distances in which the labels come up in these orders.

    Where weights or means of the distances would say something else, k is 3 or 4; with 5 they agree with the votes. Behind the
    k come two with the last one's label, which can turn the vote, then class d, the largest, then the others.
    """
    patterns = VOTES[k]
    names = dict(zip("abcd", (int(n) for n in rng.permutation([1, 2, 4, 7])), strict=True))
    letters = rng.permutation(list("aaaaabbbbbbcccccccdddddddd"))
    while (letters[: len(patterns)] == "d").sum() > 1:  # or what is taken from the first places could pass for all together
        letters = rng.permutation(letters)
    y, rows, expected = np.array([names[letter] for letter in letters]), [], []
    for pattern in patterns:
        order: list[int] = []
        for letter in pattern + 2 * pattern[-1]:
            order.append(rng.choice([j for j in np.flatnonzero(letters == letter) if j not in order]))
        order += [j for j in rng.permutation(len(y)) if letters[j] == "d"]
        order += [j for j in rng.permutation(len(y)) if j not in order]
        steps = rng.integers(1, 4, len(y)).astype(float)
        steps[:k] = STEPS_BETWEEN[k]
        row = np.empty(len(y))
        row[order] = np.cumsum(steps)
        rows.append(row)
        expected.append(names[max(pattern, key=lambda letter: (pattern.count(letter), -pattern.index(letter)))])
    if k == 3:  # a row of equal distances: the first three decide
        while len(set(y[:3])) < 3 or y[0] in y[-3:]:
            order = rng.permutation(len(y))
            y, rows = y[order], [row[order] for row in rows]
        rows.append(np.full(len(y), 6.0))
        expected.append(y[0])
    distances, expected = np.stack(rows), np.array(expected)
    got = np.asarray(student.vote(distances, y, k))
    if got.shape != expected.shape or got.dtype.kind not in "iuf":
        raise Mistake(f"vote() must return {len(expected)} labels, as integers ({len(expected)},); got {got.dtype} {got.shape}")
    if (wrong := np.flatnonzero(got != expected)).size:
        i = wrong[0]
        first = np.argsort(distances[i], kind="stable")[:k]
        raise Mistake(
            f"code {i} gets the label {got[i]:g}, expected {expected[i]}: with k = {k} its nearest neighbours have the labels "
            f"{', '.join(str(label) for label in y[first])}, from the nearest outwards, at the distances "
            f"{', '.join(f'{distance:g}' for distance in distances[i, first])}"
        )


# ---- all tasks

TASKS = [
    Task(
        "CNN codes",
        codes,
        functions=("extract_codes",),
        slips=CODES_SLIPS,
        hints=(
            "Which of the two halves that network.split(layer) gives has to run, in which mode, and on how many at once?",
            "Batch norm and dropout do one thing in training and another in use; eval() of the network, or of the lower half, "
            "reaches all layers inside. Feature maps have four axes, of which the last two are averaged away. A slice of the "
            "pictures that reaches over their end is shorter, and that is just what the last batch needs.",
            "lower, _ = network.split(layer); lower.eval(). For start in range(0, len(pictures), batch_size): lower.forward of "
            "the normalised pictures[start : start + batch_size], .mean(axis=(2, 3)) where ndim is 4; np.concatenate at last.",
        ),
        points=2,
    ),
    Task(
        "scales: standardise, and unit length",
        scales,
        functions=("standardise", "unit_length"),
        slips=(*STANDARDISE_SLIPS, *LENGTH_SLIPS),
        hints=(
            "Standardising works feature by feature, down the columns; unit length code by code, along the rows.",
            "A feature that does not vary has no spread to divide by: put a 1 in the place of its std. Ask whether the std is "
            "tiny, beside the feature's own size, and not whether it is 0. A length of 0 is exact: there a comparison will do.",
            "std = np.where(std > 1e-9 * np.abs(train).max(axis=0), std, 1). length = np.sqrt((x * x).sum(axis=1, "
            "keepdims=True)), and np.where(length > 0, length, 1) to divide by.",
        ),
        points=2,
    ),
    Task(
        "a softmax classifier with L2 regularisation",
        classifier,
        functions=("softmax_regression",),
        slips=CLASSIFIER_SLIPS,
        hints=(
            "You have written most of it before, in lesson 1: scores, the softmax loss, the penalty, and their gradients.",
            "dscores is (p - one-hot) / N; from it dw and db are what the backward pass of a fully connected layer gives. The "
            "penalty adds to the loss, and its derivative to dw; b is not in it. Subtract each row's largest score before exp.",
            "dw = dscores.T @ x + regularisation * w; db = dscores.sum(axis=0); loss = -log_p[np.arange(N), y].mean() + "
            "regularisation / 2 * (w * w).sum().",
        ),
        points=2,
    ),
    Task(
        "a linear SVM, by gradient descent",
        svm,
        functions=("svm_objective", "train_svm"),
        slips=(*SVM_SLIPS, *TRAINING_SLIPS),
        hints=(
            "Make t (N, K) first: a row for each picture, with a single 1. The rest of the objective is what it says, line by "
            "line. The training is a loop around it.",
            "Compare a row of class numbers with a column of labels to get t. L is one number, computed before the loop. In "
            "the loop, both gradients come from one call.",
            "t = np.where(np.arange(K) == y[:, None], 1.0, -1.0). L = regularisation + 2 * ((x * x).sum(axis=1) + 1).mean(). "
            "_, dw, db = svm_objective(...), then w, b = w - dw / L, b - db / L.",
        ),
        points=3,
    ),
    Task(
        "choose, then test",
        choosing,
        functions=("choose_regularisation",),
        slips=CHOOSING_SLIPS,
        hints=(
            "Go through the three steps of the docstring one after another: which part is trained on, which is asked, in each "
            "of them?",
            "Keep the best strength so far and its validation accuracy. If the strengths come from the strongest to the "
            "weakest, a later one replaces it only where it is really better. The test part is needed once, in the last line.",
            "for strength in sorted(path, reverse=True): accuracy = fit(*train, strength).score(*val), and compare with >. "
            "Then x, y = both parts joined with np.concatenate, and return best, fit(x, y, best).score(*test).",
        ),
        points=3,
    ),
    Task(
        "nearest neighbours",
        neighbours,
        functions=("cosine_distances", "vote"),
        slips=(*DISTANCE_SLIPS, *VOTE_SLIPS),
        hints=(
            "Of two codes of length 1, the product is the cosine. For the votes, sort each row of distances, and look at the "
            "labels of the first k.",
            "All products at once are one matrix product, (A, D) times (D, B). np.argsort(..., kind='stable') keeps the order "
            "of equal distances. Count the votes, and then go through the k labels from the nearest outwards.",
            "1 - unit_length(a) @ unit_length(b).T. Labels of a row: y[order[:k]]; votes = np.bincount(labels); the winner is "
            "the first label with votes[label] == votes.max().",
        ),
        points=2,
    ),
]

# ---- all of them together: real pictures, classified by their codes

PATH = tuple(float(strength) for strength in 10.0 ** np.arange(-3, 3))
STEPS = 2000  # of the student's SVM
NEIGHBOURS = 5
AT_ONCE = 16


def finale(functions: dict[str, Any], out: Path) -> None:
    """Pictures to codes to answers by the student's functions, and beside them by the engine's own."""
    from matplotlib.figure import Figure  # slow to load, and no check needs it
    from scipy.optimize import minimize

    from minicnn.linear_model import LinearSVM, SoftmaxRegression, choose_regularisation
    from minicnn.transfer import extract_features
    from minicnn.viz import nearest_neighbours

    network, layer, parts, names, what = finale_pictures()
    y = {part: labels for part, (_, labels) in parts.items()}
    K = len(names)
    codes = {
        part: functions["extract_codes"](network.copy(), layer, pictures, AT_ONCE) for part, (pictures, _) in parts.items()
    }
    ours = {part: extract_features(network, pictures, layer, progress=False) for part, (pictures, _) in parts.items()}
    apart = max(np.abs(codes[part] - ours[part]).max() / np.abs(ours[part]).max() for part in parts)
    directions = {part: x / np.linalg.norm(x, axis=1, keepdims=True) for part, x in ours.items()}
    unit = {part: functions["unit_length"](np.asarray(x, np.float64)) for part, x in codes.items()}
    (z, z_val), (_, z_test) = (functions["standardise"](unit["train"], unit[part]) for part in ("val", "test"))
    pairs = (z, y["train"]), (z_val, y["val"]), (z_test, y["test"])

    def answers(w: np.ndarray, b: np.ndarray) -> SimpleNamespace:
        return SimpleNamespace(w=w, b=b, score=lambda x, labels: float(np.mean((x @ w.T + b).argmax(axis=1) == labels)))

    def fit_svm(x: np.ndarray, labels: np.ndarray, strength: float) -> SimpleNamespace:
        return answers(*functions["train_svm"](x, labels, K, strength, STEPS))

    def fit_softmax(x: np.ndarray, labels: np.ndarray, strength: float) -> SimpleNamespace:
        def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
            value, dw, db = functions["softmax_regression"](theta[:-K].reshape(K, -1), theta[-K:], x, labels, strength)
            return float(value), np.concatenate([np.ravel(dw), np.ravel(db)])

        theta = minimize(loss, np.zeros(K * (x.shape[1] + 1)), jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
        return answers(theta[:-K].reshape(K, -1), theta[-K:])

    rows, curves = {}, {}
    engines = {"linear SVM": (fit_svm, LinearSVM), "softmax classifier": (fit_softmax, SoftmaxRegression)}
    for title, (fit, engine) in engines.items():
        strength, accuracy = functions["choose_regularisation"](fit, *pairs, PATH)
        theirs = choose_regularisation(engine, directions["train"], y["train"], directions["val"], y["val"], path=PATH)
        rows[title] = float(accuracy), theirs.final.score(directions["test"], y["test"])
        points = sorted(theirs.path, key=lambda point: point.regularisation)
        curves[title] = [fit(*pairs[0], s).score(*pairs[1]) for s in PATH], [p.val_accuracy for p in points], float(strength)
    distances = functions["cosine_distances"](unit["test"], unit["train"])
    voted = np.asarray(functions["vote"](distances, y["train"], NEIGHBOURS))
    everyone, tested = np.concatenate([ours["train"], ours["test"]]), len(y["train"]) + np.arange(len(y["test"]))
    nearest, _ = nearest_neighbours(everyone, tested, NEIGHBOURS, among=np.arange(len(y["train"])))
    by_engine = np.array([np.bincount(labels).argmax() for labels in y["train"][nearest]])
    rows[f"{NEIGHBOURS} nearest neighbours"] = float(np.mean(voted == y["test"])), float(np.mean(by_engine == y["test"]))
    last = fit_svm(*pairs[0], curves["linear SVM"][2])
    answer = (z_test @ last.w.T + last.b).argmax(axis=1)

    figure = Figure(figsize=(10, 5.2), dpi=110, layout="constrained")
    grid = figure.add_gridspec(2, 8, height_ratios=(2, 1))
    for axes, (title, (yours, theirs, strength)) in zip(
        (figure.add_subplot(grid[0, :4]), figure.add_subplot(grid[0, 4:])), curves.items(), strict=True
    ):
        axes.semilogx(PATH, theirs, color="#8a8a8a", lw=4, alpha=0.6, label="minicnn's")
        axes.semilogx(PATH, yours, "o-", color="#2a6fbb", lw=1, label="yours")
        axes.axvline(strength, color="#d9722b", ls="--", lw=1, label="your choice")
        axes.set(title=f"{title} on your codes", xlabel="regularisation", ylabel="accuracy, validation")
        axes.legend(frameon=False)
    for i, k in enumerate(np.random.default_rng(0).permutation(len(answer))[:8]):
        axes = figure.add_subplot(grid[1, i], xticks=[], yticks=[])
        axes.imshow(parts["test"][0][k].squeeze(), cmap="gray")
        axes.set_xlabel(names[answer[k]], color="#3b8f4f" if answer[k] == y["test"][k] else "#d9722b", fontsize=9)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "finale.png")
    print(f"{what}: your codes differ from the engine's by {apart:.0e} of the largest number in them")
    for title, (yours, theirs) in rows.items():
        print(f"{title:<22} yours {yours:.1%} of {len(answer)} test pictures right, minicnn's {theirs:.1%}")
    print(f"figure: {out / 'finale.png'} (below, in green, what your SVM names rightly)")


def finale_pictures() -> tuple[Model, str, dict[str, tuple[np.ndarray, np.ndarray]], list[str], str]:
    """A pretrained network and a layer of it; pictures and labels of three parts; names of the classes; all that in words."""
    import minicnn
    from minicnn.course.workbench import drawn_digits, find_data
    from minicnn.data import load_fashion_mnist, solar_cells
    from minicnn.data.splits import split_pictures
    from minicnn.errors import DataError, WeightsError

    rng = np.random.default_rng(0)
    try:
        network, cells = minicnn.load("efficientnet_lite0"), solar_cells()
    except (WeightsError, DataError) as error:
        print(f"EfficientNet-Lite0 or the solar cells are not here ({error}); MNIST's LeNet-5 takes its place")
        network, folder = minicnn.load("lenet5_mnist"), find_data("fashion-mnist")
        pictures, labels = load_fashion_mnist(folder)[:2] if folder else drawn_digits(700, rng)
        bounds = {"train": (0, 200), "val": (200, 400), "test": (400, 700)}
        parts = {part: (pictures[i:j, ..., None], labels[i:j].astype(np.int64)) for part, (i, j) in bounds.items()}
        names = [str(k) for k in range(10)]
        return network, "relu5", parts, names, f"LeNet-5 and {'clothes' if folder else 'drawn digits'}"
    parts = {}
    for part, rows in split_pictures(cells, seed=0).items():
        most = {"train": 50, "val": 40, "test": 60}[part]  # of each class
        by_class = [rng.permutation(rows[cells.labels[rows] == k])[:most] for k in range(len(cells.classes))]
        chosen, used = cells.subset(np.sort(np.concatenate(by_class))).fitted(network.preprocessing, progress=False)
        parts[part] = chosen, used.labels
    return network, "block10", parts, cells.classes, f"EfficientNet-Lite0 and {cells.name}"


FINALE = finale
