"""Lesson 17: what its exercise is checked for, offline, with new numbers and shapes each time."""

import math
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from scipy.optimize import brentq
from scipy.special import log_softmax
from scipy.stats import binomtest
from slips import COPIES, NOTHING, RARE, SPLIT, SURE, TEST

import minicnn
from minicnn.course import Mistake, Student, Task
from minicnn.course.expect import expect_array, expect_close, expect_gradients, expect_number, expect_several
from minicnn.course.workbench import BLUE, GREY, ORANGE, drawn_digits, find_data, save
from minicnn.data import open_pictures, solar_cells
from minicnn.data.splits import stratified_subset
from minicnn.errors import DataError, WeightsError
from minicnn.gradcheck import Report, check_function
from minicnn.linear_model import SoftmaxRegression
from minicnn.transfer import extract_features


def expect_mark(name: str, got: object, shape: tuple[int, ...]) -> np.ndarray:
    """A bool array of this shape; integers 0 and 1 are as good."""
    got = np.asarray(got)
    if got.shape != shape or got.dtype.kind not in "bi" or not np.isin(got, (0, 1)).all():
        raise Mistake(f"{name} must be a bool array of shape {shape}, got {got.dtype} of shape {got.shape}")
    return got.astype(bool)


# ---- Task 1: copies


def copies(student: Student, rng: np.random.Generator) -> None:
    for H, W, dtype in ((8, 9, np.float64), (24, 36, np.float64), (40, 18, np.uint8)):
        picture = rng.integers(0, 256, (H, W)).astype(dtype)
        if H == 24:
            picture[:12] = picture[0, 0]  # evenly grey: it becomes darker nowhere
        got = expect_mark("difference_hash", student.difference_hash(picture), (64,))
        blocks = [
            [np.mean(picture[i * H // 8 : (i + 1) * H // 8, j * W // 9 : (j + 1) * W // 9]) for j in range(9)] for i in range(8)
        ]
        right = np.array([blocks[i][j] > blocks[i][j + 1] for i in range(8) for j in range(8)])
        if (got != right).any():
            place = int(np.flatnonzero(got != right)[0])
            i, j = divmod(place, 8)
            raise Mistake(
                f"{(got != right).sum()} of 64 bits of a picture of {H} x {W} are wrong; the first is bit {place}, of blocks "
                f"({i}, {j}) and ({i}, {j + 1}) with means {blocks[i][j]:.4g} and "
                f"{blocks[i][j + 1]:.4g}: got {bool(got[place])}"
            )
    hashes = rng.random((9, 64)) < 0.5
    for copy, of, flipped in ((4, 1, 3), (8, 2, 5), (5, 0, 0), (6, 5, 2), (7, 3, 6)):
        hashes[copy] = hashes[of]
        hashes[copy, rng.permutation(64)[:flipped]] ^= True
    for most in (3, 5, 0):
        got = student.near_duplicates(hashes, most)
        right = [(i, k) for i, k in combinations(range(9), 2) if sum(hashes[i] != hashes[k]) <= most]
        if not isinstance(got, (list, tuple, np.ndarray)) or any(np.shape(pair) != (2,) for pair in got):
            raise Mistake(f"near_duplicates must return a list of pairs, got {got!r}")
        pairs = [tuple(int(i) for i in pair) for pair in got]
        if pairs != right:
            raise Mistake(f"of 9 hashes these pairs differ in at most {most} bits: {right}; got {pairs}")
    if len(student.near_duplicates(hashes[:1], 64)):
        raise Mistake("a single picture is no copy of another one, and there are no pairs; got some")


# ---- Task 2: a split that keeps together what belongs together


def splits(student: Student, rng: np.random.Generator) -> None:
    for sizes, share in (([7, 5, 4], 0.3), ([9, 3], 0.5), ([6, 6, 8, 2], 0.25)):
        labels, groups = grouped(rng, sizes)
        compare_split(student, labels, groups, share, int(rng.integers(1000)))
    labels = np.repeat([0, 1], [12, 8])  # groups of one, and shares that are reached exactly
    compare_split(student, labels, rng.permutation(20), 0.25, int(rng.integers(1000)))


def grouped(rng: np.random.Generator, groups_of_class: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and groups of 1 to 5 samples, in random order; the numbers of groups say nothing about classes."""
    count = sum(groups_of_class)
    sizes = rng.permutation(np.resize([1, 2, 3, 5, 1], count))
    label_of, number_of = np.repeat(np.arange(len(groups_of_class)), groups_of_class), rng.permutation(3 * count)[:count]
    order = rng.permutation(sizes.sum())
    return np.repeat(label_of, sizes)[order], np.repeat(number_of, sizes)[order]


def compare_split(student: Student, labels: np.ndarray, groups: np.ndarray, share: float, seed: int) -> None:
    title = (
        f"split_by_group ({len(labels)} samples, {len(np.unique(groups))} groups, {labels.max() + 1} classes, share {share})"
    )
    got = expect_mark(title, student.split_by_group(labels, groups, share, np.random.default_rng(seed)), labels.shape)
    for group in np.unique(groups):
        if len(set(got[groups == group].tolist())) > 1:
            raise Mistake(f"{title}: samples of group {group} are in both parts")
    rng, right = np.random.default_rng(seed), np.zeros(len(labels), bool)
    for k in range(labels.max() + 1):
        names = rng.permutation(np.array(sorted(set(groups[labels == k].tolist()))))
        taken = 0
        for name in names:
            if taken >= share * (labels == k).sum():
                break
            right[groups == name] = True
            taken += (groups == name).sum()
        if got[labels == k].sum() != taken:
            raise Mistake(
                f"{title}: class {k} has {(labels == k).sum()} samples; taking group after group as rng shuffles them, {taken} "
                f"of them are to test with; got {got[labels == k].sum()}"
            )
    if (got != right).any():
        raise Mistake(f"{title}: the right number of samples, but not those of the groups in the order that rng gives them")


# ---- Task 3: what a test says


def tests(student: Student, rng: np.random.Generator) -> None:
    for K, N in ((2, 17), (5, 60), (4, 9)):
        y = rng.integers(0, K - 1, N) if K == 4 else rng.integers(0, K, N)  # of four classes, the last one has no sample
        answers = np.where(rng.random(N) < 0.5, y, rng.integers(0, K - 1, N))
        counts = np.asarray(student.confusion_matrix(y, answers, K))
        right = np.array([[sum((y == k) & (answers == j)) for j in range(K)] for k in range(K)])
        if counts.shape != (K, K):
            raise Mistake(f"confusion_matrix of {K} classes must have shape {(K, K)}, got {counts.shape}")
        if (counts != right).any():
            raise Mistake(
                f"confusion_matrix of y {y.tolist()} and answers {answers.tolist()}: expected {right.tolist()}, "
                f"got {counts.tolist()}"
            )
    for K in (2, 3, 6):
        counts = rng.integers(1, 9, (K, K)) + 5 * np.diag(rng.integers(1, 4, K))
        if K == 6:
            counts[2] = 0  # nobody has this class, and some answers name it
        judge_summary(student, counts)
    counts[:, 4] = 0  # nobody answers this class
    counts[3] = counts[:, 3] = 0  # neither: it does not occur
    judge_summary(student, counts)


def judge_summary(student: Student, counts: np.ndarray) -> None:
    occurring = [k for k in range(len(counts)) if counts[k].sum()]
    recall = [counts[k, k] / counts[k].sum() for k in occurring]
    f1 = [2 * counts[k, k] / (counts[k].sum() + counts[:, k].sum()) for k in occurring]
    right = {
        "accuracy": np.trace(counts) / counts.sum(),
        "balanced accuracy": np.mean(recall),
        "macro F1": np.mean(f1),
    }
    with np.errstate(all="ignore"):
        got = expect_several("summary", student.summary(counts), ", ".join(right))
    for (name, expected), value in zip(right.items(), got, strict=True):
        expect_close(f"{name} of counts {counts.tolist()}", expect_number(name, value), np.float64(expected))


# ---- Task 4: how sure it is


def sure(student: Student, rng: np.random.Generator) -> None:
    n = int(rng.integers(30, 90))
    for right, z in ((int(rng.integers(5, n - 5)), 1.96), (n, rng.uniform(1, 3)), (0, 1.96), (n // 2 + 2, rng.uniform(1, 3))):
        got = expect_several("wilson_interval", student.wilson_interval(right, n, z), "lower end, upper end")
        for name, value, expected in zip(("lower end", "upper end"), got, ends(right / n, n, z), strict=True):
            value = expect_number(name, value)
            if abs(value - expected) > 1e-6:
                raise Mistake(f"the {name} for {right} of {n} right, z = {z:.4g}, is {expected:.6f}; got {value:.6f}")
    for both, u, v, neither in ((9, 7, 2, 3), (4, 1, 6, 5), (3, 4, 4, 2), (5, 3, 2, 4), (6, 0, 0, 1), (2, 0, 8, 1)):
        u += 2 * int(rng.integers(0, 3)) if u > v else 0
        order = rng.permutation(both + u + v + neither)
        a = np.repeat([True, True, False, False], [both, u, v, neither])[order]
        b = np.repeat([True, False, True, False], [both, u, v, neither])[order]
        expected = binomtest(u, u + v).pvalue if u + v else 1.0
        got = expect_number("p", student.sign_test(a, b))
        if abs(got - expected) > 1e-9:
            raise Mistake(
                f"{u} samples right by a alone, {v} by b alone, {both} by both, {neither} by none: p is {expected:.6g}; "
                f"got {got:.6g}"
            )


def ends(p: float, n: int, z: float) -> tuple[float, float]:
    """Wilson's interval by its definition: where |p - q| = z sqrt(q (1 - q) / n)."""

    def beyond(q: float) -> float:
        return (p - q) ** 2 - z * z * q * (1 - q) / n

    return (
        0.0 if p == 0 else brentq(beyond, 0.0, p, xtol=1e-14) if p < 1 else brentq(beyond, 0.0, 1 - 1e-9, xtol=1e-14),
        1.0 if p == 1 else brentq(beyond, p, 1.0, xtol=1e-14) if p > 0 else brentq(beyond, 1e-9, 1.0, xtol=1e-14),
    )


# ---- Task 5: rare classes


def rare(student: Student, rng: np.random.Generator) -> None:
    for K, empty in ((3, None), (5, 3)):
        y = np.concatenate([np.arange(K), rng.integers(0, K, 14), np.zeros(9, int)])
        y = rng.permutation(y[y != empty])
        right = np.array([len(y) / (K * (y == k).sum()) if (y == k).any() else 0.0 for k in range(K)])
        with np.errstate(all="ignore"):
            got = student.class_weights(y, K)
        expect_close(f"the weights of {K} classes with {np.bincount(y, minlength=K).tolist()} samples", got, right)
        c = rng.uniform(0.3, 3, K)
        scores = rng.standard_normal((len(y), K))
        judge_loss(student, scores, y, c, rng)
    with np.errstate(all="ignore"):
        judge_loss(student, scores + rng.choice([-2000.0, 2000.0], (len(y), 1)), y, c, rng)


def judge_loss(student: Student, scores: np.ndarray, y: np.ndarray, c: np.ndarray, rng: np.random.Generator) -> None:
    rows, log_p = np.arange(len(y)), log_softmax(scores, axis=1)
    right = -np.average(log_p[rows, y], weights=c[y])
    gradient = (np.exp(log_p) - np.eye(scores.shape[1])[y]) * (c[y] / c[y].sum())[:, None]
    got = expect_several("weighted_softmax_loss", student.weighted_softmax_loss(scores, y, c), "L, dscores")
    expect_close(f"L (scores {scores.shape})", expect_number("L", got[0]), np.float64(right))
    expect_array("dscores", got[1], scores.shape)
    expect_gradients(
        f"weighted_softmax_loss, scores {scores.shape}",
        got[1:],
        {"dscores": gradient},
        lambda: numeric(student, scores, y, c, rng),
    )


def numeric(student: Student, scores: np.ndarray, y: np.ndarray, c: np.ndarray, rng: np.random.Generator) -> Report:
    """Runs only if the gradient is wrong, to find words for it."""

    def forward(scores: np.ndarray) -> np.ndarray:
        log_p = log_softmax(scores, axis=1)
        return np.asarray(-(c[y] * log_p[np.arange(len(y)), y]).sum() / c[y].sum())

    def backward(dy: np.ndarray) -> dict:
        return {"scores": dy * student.weighted_softmax_loss(scores, y, c)[1]}

    return check_function(forward, backward, {"scores": scores}, subject="weighted_softmax_loss", rng=rng)


# ---- Task 6: when to say nothing


def nothing(student: Student, rng: np.random.Generator) -> None:
    cases = [
        (*sure_answers(rng, 3, 41, right=0.3), 7),
        (*sure_answers(rng, 2, 30, right=0.95), 5),
        (*sure_of_the_wrong_ones(rng, 3, 35), 6),
        (*at_the_edges(), 4),
    ]
    got = [expect_number("ECE", student.calibration_error(*case)) for case in cases]  # all of them, before the first is judged
    for (probabilities, y, bins), error in zip(cases, got, strict=True):
        right = np.float64(calibration_error(probabilities, y, bins))
        expect_close(f"the calibration error of {len(y)} answers in {bins} bins", error, right)
    for wanted, confidence, right in (
        (0.75, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [1, 1, 1, 0, 0, 0]),  # just as many as wanted
        (0.8, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3], [0, 1, 1, 1, 1, 0, 0]),  # the surest one is wrong
        (0.6, [0.9, 0.7, 0.7, 0.7, 0.4], [1, 1, 0, 0, 1]),  # several of the same confidence
        (0.9, [0.9, 1.0, 0.7, 0.6], [0, 0, 1, 0]),  # never good enough
    ):
        order = rng.permutation(len(right))
        confidence, right = np.array(confidence)[order] * rng.uniform(0.98, 1), np.array(right, bool)[order]
        judge_threshold(student, confidence, right, wanted)
    confidence = rng.permutation(np.linspace(0.3, 0.99, 23))
    judge_threshold(student, confidence, rng.random(23) < confidence, 0.8)


def sure_answers(rng: np.random.Generator, K: int, N: int, right: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and labels of which about this share is what was answered: far too sure, or not sure enough."""
    probabilities = rng.dirichlet(np.full(K, 0.6), N)
    answers = probabilities.argmax(axis=1)
    return probabilities, np.where(rng.permutation(N) < right * N, answers, (answers + 1) % K)


def sure_of_the_wrong_ones(rng: np.random.Generator, K: int, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and labels with which the surer half of the answers is wrong and the other right."""
    probabilities, y = sure_answers(rng, K, N, right=1)
    confidence = probabilities.max(axis=1)
    return probabilities, np.where(confidence > np.median(confidence), (y + 1) % K, y)


def at_the_edges() -> tuple[np.ndarray, np.ndarray]:
    """Confidences of 3/4, two in three right, and of 0.85, all right."""
    probabilities = np.repeat([[0.75, 0.25, 0, 0], [0, 0.15, 0.85, 0]], 12, axis=0)
    return probabilities, np.array([0, 0, 3] * 4 + [2] * 12)


def calibration_error(probabilities: np.ndarray, y: np.ndarray, bins: int) -> float:
    """By its definition, bin by bin."""
    error = 0.0
    for b in range(bins):
        inside = [n for n, p in enumerate(probabilities) if b / bins < max(p) <= (b + 1) / bins]
        if inside:
            hits = np.mean([probabilities[n].argmax() == y[n] for n in inside])
            error += len(inside) / len(y) * abs(hits - np.mean([max(probabilities[n]) for n in inside]))
    return error


def judge_threshold(student: Student, confidence: np.ndarray, right: np.ndarray, wanted: float) -> None:
    good = [t for t in confidence if right[confidence >= t].mean() >= wanted]
    expected = min(good) if good else math.inf
    got = student.accept(confidence, right, wanted)
    if np.ndim(got) != 0 or np.asarray(got).dtype.kind not in "fiu":
        raise Mistake(f"accept must return a number, got {got!r}")
    if not (got == expected or abs(got - expected) < 1e-9):
        listed = ", ".join(
            f"{c:.3f} {'right' if r else 'wrong'}" for c, r in sorted(zip(confidence, right, strict=True), reverse=True)
        )
        raise Mistake(
            f"for {wanted:.0%} of the accepted answers right, the threshold is {expected:.6g}, got {got:.6g} ({listed})"
        )


# ---- the end of the exercise


def report(functions: dict, folder: Path) -> None:
    """The student's functions around a network and a real collection, beside the engine's split that knows no groups."""
    pixels, labels, classes, codes = real_codes()
    rng = np.random.default_rng(0)
    grey = [np.asarray(Image.fromarray(p.squeeze()).convert("L").resize((72, 64), Image.Resampling.BOX), float) for p in pixels]
    hashes = np.array([functions["difference_hash"](picture) for picture in grey])
    pairs = functions["near_duplicates"](hashes, 5)
    groups = np.arange(len(labels))
    for i, k in pairs:
        groups[groups == groups[k]] = groups[i]
    mixed = [group for group in np.unique(groups) if len(np.unique(labels[groups == group])) > 1]
    groups = np.where(np.isin(groups, mixed), np.arange(len(labels)) + len(labels), groups)  # alike, but of different classes
    test = np.asarray(functions["split_by_group"](labels, groups, 0.3, rng), bool)
    K = len(classes)
    classifier = SoftmaxRegression(0.1, class_weight=None).fit(codes[~test], labels[~test])
    weights = functions["class_weights"](labels[~test], K)
    loss, _ = functions["weighted_softmax_loss"](scores_of(classifier, codes[test]), labels[test], weights)
    probabilities = classifier.predict_proba(codes[test])
    answers, y = probabilities.argmax(axis=1), labels[test]
    right, sure = answers == y, probabilities.max(axis=1)
    counts = functions["confusion_matrix"](y, answers, K)
    accuracy, balanced, f1 = functions["summary"](counts)
    low, high = functions["wilson_interval"](int(right.sum()), len(y), 1.96)
    pixel_rows = np.stack([np.asarray(Image.fromarray(g.astype(np.uint8)).resize((16, 16)), float).ravel() / 255 for g in grey])
    by_pixels = SoftmaxRegression(0.1).fit(pixel_rows[~test], labels[~test]).predict(pixel_rows[test]) == y
    p = functions["sign_test"](right, by_pixels)
    error = functions["calibration_error"](probabilities, y, 10)
    threshold = functions["accept"](sure, right, min(1.0, accuracy + 0.03))
    accepted = sure >= threshold
    print(f"{len(labels)} pictures, {len(pairs)} pairs of copies, {test.sum()} to test with")
    print(f"accuracy {accuracy:.1%} (95 %: {low:.1%} to {high:.1%}), balanced {balanced:.1%}, macro F1 {f1:.1%}")
    print(f"weighted loss {loss:.3f}; calibration error {error:.3f}")
    print(f"small pixels instead: {by_pixels.mean():.1%}; that the two are equally good has p = {p:.2g}")
    if accepted.any():
        print(
            f"accepting answers from {threshold:.2f} on: {accepted.mean():.0%} of them, "
            f"of these {right[accepted].mean():.1%} right"
        )
    figure, (left, middle) = plt.subplots(1, 2, figsize=(8, 3.2), layout="tight")
    left.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    left.set(xlabel="answer", ylabel="class", title="Your confusion matrix", xticks=range(K), yticks=range(K))
    order = np.argsort(-sure)
    kept = np.arange(1, len(y) + 1)
    middle.plot(100 * kept / len(y), 100 * np.cumsum(right[order]) / kept, color=BLUE)
    middle.axhspan(100 * low, 100 * high, color=GREY, alpha=0.2, label="95 % of the accuracy")
    middle.axvline(100 * accepted.mean(), color=ORANGE, label="accepted")
    middle.set(xlabel="answers given, %", ylabel="of these right, %", title="Saying nothing when unsure")
    middle.legend(fontsize=8)
    save(figure, folder.parent, "exercise")


def scores_of(classifier: SoftmaxRegression, codes: np.ndarray) -> np.ndarray:
    """The logarithms of probabilities are scores as well."""
    return np.log(np.maximum(classifier.predict_proba(codes).astype(np.float64), 1e-12))


def real_codes() -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    """Pictures, labels, classes and codes: of ants and bees or solar cells; of drawn digits where there is no network."""
    try:
        model, archive = minicnn.load("efficientnet_lite0"), find_data("ants-bees.zip")
        pictures = stratified_subset(open_pictures(archive) if archive else solar_cells(), 200)
        pixels, pictures = pictures.fitted(model.preprocessing, progress=False)
        classes, labels = pictures.classes, pictures.labels
    except (WeightsError, DataError):
        model, rng = minicnn.load("lenet5_mnist"), np.random.default_rng(0)
        pixels, labels = drawn_digits(300, rng)
        pixels, classes = pixels[..., None], [str(k) for k in range(10)]
    return pixels, labels, classes, extract_features(model, pixels, progress=False)


TASKS = [
    Task(
        "copies",
        copies,
        functions=("difference_hash", "near_duplicates"),
        slips=COPIES,
        hints=(
            "Look at one row of blocks: nine means, and eight comparisons of neighbours.",
            "A reshape to (8, H / 8, 9, W / 9) has a block's pixels along two of its axes.",
            "bits = m[:, :-1] > m[:, 1:], written as one row; and pairs i < k with (hashes[i] != hashes[k]).sum() <= most.",
        ),
        points=2,
    ),
    Task(
        "a split that keeps groups together",
        splits,
        functions=("split_by_group",),
        slips=SPLIT,
        hints=(
            "Look at one class: which groups has it, and how many samples does it want?",
            "What is drawn are groups; what is counted are samples.",
            "For each class: for group in rng.permutation(np.unique(groups of the class)): stop when the class has its share.",
        ),
        points=2,
    ),
    Task(
        "what a test says",
        tests,
        functions=("confusion_matrix", "summary"),
        slips=TEST,
        hints=(
            "Look at the diagonal, the sums of rows, and the sums of columns.",
            "Rows are what is, columns what was said; a class without samples has nothing to be found.",
            "np.add.at counts pairs; recall is diagonal / row sum, F1 twice the diagonal / (row sum + column sum).",
        ),
        points=2,
    ),
    Task(
        "how sure it is",
        sure,
        functions=("wilson_interval", "sign_test"),
        slips=SURE,
        hints=(
            "Try 10 of 10 right: the upper end is 1, the lower end is not.",
            "A middle that leans towards one half, and a half width; for the sign test, only samples on which the two differ.",
            "u = (a & ~b).sum(), v = (b & ~a).sum(); twice the sum of C(u + v, i) up to min(u, v), over 2^(u + v), at most 1.",
        ),
        points=2,
    ),
    Task(
        "rare classes",
        rare,
        functions=("class_weights", "weighted_softmax_loss"),
        slips=RARE,
        hints=(
            "Look at what the weights of all samples add up to.",
            "A weighted mean is divided by the sum of its weights, and its gradient as well.",
            "weights = c[y] / c[y].sum(); the loss is their sum with -log p; each row of p, less 1 at the class, is "
            "multiplied by its weight.",
        ),
        points=3,
    ),
    Task(
        "when to say nothing",
        nothing,
        functions=("calibration_error", "accept"),
        slips=NOTHING,
        hints=(
            "Look at a confidence that lies on the edge of two bins, and at a class that is sure and wrong.",
            "The confidence is that of the answer; bins weigh as much as they have samples.",
            "The bin is ceil(confidence * bins) - 1; for accept, go through all confidences from the lowest on.",
        ),
        points=2,
    ),
]
FINALE = report
