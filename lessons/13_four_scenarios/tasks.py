"""Lesson 13: what its exercise is checked for, offline, with new numbers and shapes each time.

The numbers differ from run to run; the cases do not. Where answers are small whole numbers, cases are drawn until every known
mistake shows, and looks different from the others.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from slips import (
    ERROR_SLIPS,
    H_SLIPS,
    HELD_OUT_SLIPS,
    KNN_SLIPS,
    LEEP_SLIPS,
    ONE_ERROR_SLIPS,
    RECOMMEND_SLIPS,
    SIGN_SLIPS,
)

from minicnn.course import Mistake, Slip, Student, Task
from minicnn.course.expect import expect_close, expect_number, expect_several

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from minicnn.data import PictureSet
    from minicnn.models import Model

Case = tuple[Any, ...]
Pictures = tuple[np.ndarray, np.ndarray]  # uint8 (N, H, W, C), and labels (N,)


def telling_cases(make: Callable[[], list[Case]], right: Callable, name: str, slips: Sequence[Slip]) -> list[Case]:
    """Cases for the function of this name, drawn until the slips can be told from what is right and from each other."""
    functions = [("", right), *((slip.title, slip.functions[name]) for slip in slips if name in slip.functions)]
    while True:
        cases, titles = make(), {}
        if all(title == titles.setdefault(answers_of(function, cases), title) for title, function in functions):
            return cases


def answers_of(function: Callable, cases: list[Case]) -> str:
    return "; ".join(in_digits(function, case) for case in cases)


def in_digits(function: Callable, case: Case) -> str:
    """What the function answers, or what it raises, as a text with five digits of each number."""
    try:
        with np.errstate(all="ignore"):
            answer = function(*case)
        parts = answer if isinstance(answer, tuple) else (answer,)
        return ", ".join(part if isinstance(part, str) else np.array2string(np.asarray(part), precision=5) for part in parts)
    except Exception as error:
        return type(error).__name__


def expect_values(what: str, got: Any, count: int, kinds: str, of: str) -> np.ndarray:
    """The answer as an array (count,) of numbers of these kinds; whole numbers may come as floats."""
    try:
        array = np.asarray(got)
    except ValueError:
        array = np.asarray(None)
    if array.shape != (count,) or array.dtype.kind not in kinds:
        came = f"shape {array.shape} and type {array.dtype}" if array.dtype.kind != "O" else f"a {type(got).__name__}"
        raise Mistake(f"{what} must be {of}, shape ({count},); got {came}")
    return array


# ---- Task 1


def errors_and_signs(student: Student, rng: np.random.Generator) -> None:
    sizes = rng.permutation([20, 23, 29, 31, 37])
    counts = [int(n * share) for n, share in zip(sizes, rng.permutation([0.3, 0.6, 0.8, 0.9]), strict=False)]
    cases = [shuffled(rng, [True] * count + [False] * (n - count)) for n, count in zip(sizes, counts, strict=False)]
    cases += [np.ones(sizes[4], bool), np.zeros(sizes[4], bool)]
    answers = [student.accuracy_and_error(right) for right in cases]
    for right, answer in zip(cases, answers, strict=True):
        p, subject = right.sum() / len(right), f"of {right.sum()} right ones of {len(right)}"
        got = expect_several("accuracy_and_error", answer, "p, error")
        expect_close(f"p {subject}", expect_number(f"p {subject}", got[0]), np.float64(p))
        expect_close(
            f"error {subject}", expect_number(f"error {subject}", got[1]), np.float64(math.sqrt(p * (1 - p) / len(right)))
        )

    cases = pairs(rng)
    answers = [student.sign_test(*case) for case in cases]
    for (a, b), answer in zip(cases, answers, strict=True):
        expected = expected_signs(a, b)
        agree = f"{int((a & b).sum())} both right, {int((~a & ~b).sum())} both wrong"
        subject = f"sign_test ({agree}, {expected[0]} only a, {expected[1]} only b)"
        got = expect_several("sign_test", answer, "only_a, only_b, p")
        for name, value, wanted in zip(("only_a", "only_b", "p"), got, expected, strict=True):
            expect_close(f"{name} of {subject}", expect_number(f"{name} of {subject}", value), np.float64(wanted))


def shuffled(rng: np.random.Generator, values: list[bool]) -> np.ndarray:
    return rng.permutation(np.array(values, bool))


def pairs(rng: np.random.Generator) -> list[Case]:
    """Two classifiers' answers: one ahead, the other ahead, both equally often, one alone, never apart, and thousands."""
    low, high = np.sort(rng.choice(np.arange(3, 12), 2, replace=False)).tolist()
    counts = [
        (high, low),
        (low, high),
        (high, high),
        (low, 0),
        (0, 0),
        (int(rng.integers(500, 520)), int(rng.integers(580, 600))),
    ]
    cases = []
    for only_a, only_b in counts:
        both, neither = rng.choice(np.arange(13, 30), 2, replace=False).tolist()
        order = rng.permutation(both + neither + only_a + only_b)
        a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
        b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
        cases.append((a[order], b[order]))
    return cases


def expected_signs(a: np.ndarray, b: np.ndarray) -> tuple[int, int, float]:
    from scipy.stats import binomtest

    only_a = sum(bool(x and not y) for x, y in zip(a, b, strict=True))
    only_b = sum(bool(y and not x) for x, y in zip(a, b, strict=True))
    n = only_a + only_b
    return only_a, only_b, float(binomtest(min(only_a, only_b), n).pvalue) if n else 1.0


# ---- Task 2


def neighbours(student: Student, rng: np.random.Generator) -> None:
    cases = telling_cases(lambda: crowded_codes(rng), expected_knn, "knn_predictions", KNN_SLIPS)
    answers = [student.knn_predictions(*case) for case in cases]
    for (codes, y, k), answer in zip(cases, answers, strict=True):
        subject = f"knn_predictions (codes {codes.shape}, k = {k})"
        got = expect_values(subject, answer, len(y), "iuf", "a label for each picture")
        right = expected_knn(codes, y, k)
        if (wrong := np.flatnonzero(got != right)).size:
            i = int(wrong[0])
            near = nearest_others(codes, i)[:k]
            raise Mistake(
                f"{subject}: {len(wrong)} of {len(y)} labels are wrong. The nearest others of picture {i} are {near}, the "
                f"nearest first, with the labels {y[near].tolist()}: that makes {right[i]}, got {got[i]}"
            )


def crowded_codes(rng: np.random.Generator) -> list[Case]:
    """Whole numbers, so that many distances are equal and some pictures are there twice."""
    cases = []
    for N, D, k in ((14, 2, 3), (17, 2, 4), (13, 3, 5), (11, 2, 1), (10, 3, 9), (15, 2, 6)):
        codes = rng.integers(1, 5, (N, D)).astype(float) * rng.permutation([1.0, 2.0, 3.0][:D])
        labels = rng.choice(np.arange(2, 40), 3, replace=False)
        cases.append((codes, labels[rng.permutation(np.arange(N) % 3)], k))
    return cases


def nearest_others(codes: np.ndarray, i: int) -> list[int]:
    others = [j for j in range(len(codes)) if j != i]
    return sorted(others, key=lambda j: (sum((a - b) ** 2 for a, b in zip(codes[i], codes[j], strict=True)), j))


def expected_knn(codes: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    labels = []
    for i in range(len(codes)):
        near = [int(y[j]) for j in nearest_others(codes, i)[:k]]
        votes = Counter(near)
        labels.append(next(label for label in near if votes[label] == max(votes.values())))
    return np.array(labels)


# ---- Task 3


class NearestMean:
    """A classifier of few pictures, whose answers depend on each of them."""

    def __init__(self, x: np.ndarray, y: np.ndarray):
        self.labels = np.unique(y)
        self.means = np.stack([np.asarray(x)[np.asarray(y) == label].mean(axis=0) for label in self.labels])

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.labels[((np.asarray(x)[:, None] - self.means) ** 2).sum(axis=2).argmin(axis=1)]


def fit(x: np.ndarray, y: np.ndarray) -> NearestMean:
    if len(x) == 0 or len(x) != len(y):
        raise ValueError(f"fit() was given {len(x)} codes and {len(y)} labels; it takes as many of both, and at least one")
    return NearestMean(x, y)


def cross_validation(student: Student, rng: np.random.Generator) -> None:
    cases = telling_cases(lambda: divided(rng), expected_held_out, "held_out", HELD_OUT_SLIPS)
    answers = [student.held_out(*case) for case in cases]
    for (_, codes, y, folds), answer in zip(cases, answers, strict=True):
        numbers = ", ".join(f"{number} ({count} pictures)" for number, count in sorted(Counter(folds.tolist()).items()))
        subject = f"held_out (codes {codes.shape}, folds {numbers})"
        got = expect_values(subject, answer, len(y), "biuf", "a bool for each picture")
        right = expected_held_out(fit, codes, y, folds)
        if (wrong := np.flatnonzero(got != right)).size:
            i = int(wrong[0])
            raise Mistake(
                f"{subject}: {len(wrong)} of {len(y)} are wrong. Trained without fold {folds[i]}, the classifier "
                f"{'names' if right[i] else 'does not name'} picture {i} rightly; got {got[i]}"
            )

    cases = telling_cases(lambda: rows_of_answers(rng), expected_row, "one_standard_error", ONE_ERROR_SLIPS)
    rows = [student.one_standard_error(*case) for case in cases]
    for (right,), answer in zip(cases, rows, strict=True):
        p = [sum(map(bool, row)) / len(row) for row in right]
        bound = max(p) - math.sqrt(max(p) * (1 - max(p)) / right.shape[1])
        got = expect_number("one_standard_error", answer)
        if got != expected_row(right):
            raise Mistake(
                f"one_standard_error: of {right.shape[1]} pictures the rows have {', '.join(f'{share:.3f}' for share in p)} "
                f"right. The bound is {bound:.4f}, and row {expected_row(right)} the first within it; got {answer}"
            )


def divided(rng: np.random.Generator) -> list[Case]:
    """Codes of classes that overlap; folds of different sizes, whose numbers are any, in no order."""
    cases = []
    for N, D, sizes in ((19, 2, (8, 6, 5)), (23, 3, (4, 9, 3, 7))):
        y = rng.permutation(rng.choice(np.arange(2, 30), 3, replace=False)[np.arange(N) % 3])
        codes = rng.standard_normal((N, D)) + 0.8 * (np.unique(y, return_inverse=True)[1])[:, None]
        numbers = rng.permutation(np.concatenate([[-rng.integers(1, 5)], rng.choice(np.arange(3, 12), len(sizes) - 1, False)]))
        cases.append((fit, codes, y, rng.permutation(np.repeat(numbers, sizes))))
    return cases


def expected_held_out(fit: Callable, codes: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    right = []
    for i in range(len(y)):
        others = [j for j in range(len(y)) if folds[j] != folds[i]]
        right.append(bool(fit(codes[others], y[others]).predict(codes[i : i + 1])[0] == y[i]))
    return np.array(right)


def rows_of_answers(rng: np.random.Generator) -> list[Case]:
    """Kinds of codes within one standard error of the best, just below that bound, and far below it; none at the bound."""
    cases: list[Case] = []
    while len(cases) < 12:
        L, N = int(rng.integers(4, 8)), int(rng.integers(40, 90))
        most = int(N * rng.uniform(0.75, 0.95))
        bound = most - math.sqrt(most * (N - most) / N)  # of numbers of right pictures
        counts = np.rint(most - rng.uniform(0, 4, L) * (most - bound)).astype(int)
        counts[:2] = N * rng.uniform([0.2, 0.5], [0.5, 0.75])
        counts[2 + rng.permutation(L - 2)[:2]] = most, math.ceil(bound) - 1
        if np.abs(counts - bound).min() > 0.01:
            rows = [shuffled(rng, [True] * count + [False] * (N - count)) for count in counts.tolist()]
            cases.append((np.stack(rows),))
    perfect = np.ones((4, 31), bool)
    perfect[0, rng.permutation(31)[:2]] = perfect[1, rng.permutation(31)[:1]] = False
    return [*cases, (perfect,)]


def expected_row(right: np.ndarray) -> int:
    p = [sum(map(bool, row)) / len(row) for row in right]
    bound = max(p) - math.sqrt(max(p) * (1 - max(p)) / right.shape[1])
    return next(number for number, share in enumerate(p) if share >= bound)


# ---- Task 4


def scores(student: Student, rng: np.random.Generator) -> None:
    cases = old_answers(rng)
    answers = [student.leep(*case) for case in cases]
    for (p, y), answer in zip(cases, answers, strict=True):
        dead = f", old class {int(np.flatnonzero(p.sum(axis=0) == 0)[0])} never named" if (p.sum(axis=0) == 0).any() else ""
        subject = f"leep (p {p.shape}, new classes {sorted(set(y.tolist()))}{dead})"
        expect_close(subject, expect_number(subject, answer), np.float64(expected_leep(p, y)))

    cases = spread_codes(rng)
    for some in (cases[:4], cases[4:]):
        answers = [student.h_score(*case) for case in some]
        for (codes, y), answer in zip(some, answers, strict=True):
            std = codes.std(axis=0)
            note = (
                ", a constant feature"
                if std.min() == 0
                else ", a feature that hardly varies"
                if std.min() < 0.001 * std.max()
                else ""
            )
            subject = f"h_score (codes {codes.shape}, {len(np.unique(y))} classes{note})"
            expect_close(subject, expect_number(subject, answer), np.float64(expected_h_score(codes, y)), tolerance=1e-5)


def old_answers(rng: np.random.Generator) -> list[Case]:
    """Probabilities that have something to do with the labels; classes of different sizes, a number that is missing, an old
    class that is never named."""
    cases = []
    for Z, counts, labels in (
        (4, (5, 3, 6), (0, 1, 2)),
        (3, (4, 2, 3, 5), (0, 1, 2, 3)),
        (5, (4, 7), (0, 2)),
        (6, (6, 3, 4), (0, 1, 2)),
    ):
        y = np.repeat(labels, counts)
        p = rng.dirichlet(np.full(Z, 0.5), len(y)) + 2.0 * np.eye(Z)[rng.permutation(Z)[y % Z]] * rng.random((len(y), 1))
        if Z == 6:
            p[:, rng.integers(Z)] = 0
        order = rng.permutation(len(y))
        cases.append(((p / p.sum(axis=1, keepdims=True))[order], y[order]))
    return cases


def expected_leep(p: np.ndarray, y: np.ndarray) -> float:
    N, Z = p.shape
    joint = {(k, z): sum(p[i, z] for i in range(N) if y[i] == k) / N for k in set(y.tolist()) for z in range(Z)}
    total = 0.0
    for i in range(N):
        expected = 0.0
        for z in range(Z):
            of_z = sum(value for (_, other), value in joint.items() if other == z)
            expected += joint[int(y[i]), z] / of_z * p[i, z] if of_z else 0.0
        total += math.log(expected) / N
    return total


def spread_codes(rng: np.random.Generator) -> list[Case]:
    """Codes of classes of different sizes.

    All small; with a constant feature; with one that hardly varies, or is nearly the double of another, and tells the classes
    apart; and with more features than pictures.
    """
    sizes = {"small": (3, (5, 8, 4)), "constant": (4, (7, 3, 6)), "faint": (4, (4, 9, 6)), "double": (4, (6, 3, 8))}
    cases = []
    for kind, (D, counts) in (sizes | {"wide": (13, (5, 2, 4))}).items():
        N, labels = sum(counts), rng.choice(np.arange(1, 20), 3, replace=False)
        number = np.repeat(np.arange(3), counts)
        codes = (rng.standard_normal((N, D)) + 1.5 * rng.standard_normal((3, D))[number]) * rng.uniform(0.5, 2, D) + 1.0
        one, other = rng.permutation(D)[:2]
        faint = 3e-4 * (number + 0.1 * rng.standard_normal(N))
        if kind == "small":
            codes *= 1e-4
        elif kind == "constant":
            codes[:, one] = float(rng.integers(2, 9))
        elif kind == "faint":
            codes[:, one] = faint
            codes *= 100
        elif kind == "double":
            codes[:, one] = codes[:, other] + faint
        order = rng.permutation(N)
        cases.append((codes[order], labels[number][order]))
    return cases


def expected_h_score(codes: np.ndarray, y: np.ndarray) -> float:
    """By singular vectors: with F = U S V^T, tr(pinv(C_F) C_G) is the sum of squares of U's class means, picture by picture."""
    U, s, _ = np.linalg.svd(codes - codes.mean(axis=0), full_matrices=False)
    U = U[:, s * s > 1e-6 * s[0] * s[0]]
    return float(sum((y == label).sum() * (U[y == label].mean(axis=0) ** 2).sum() for label in np.unique(y)))


# ---- Task 5


def recommendations(student: Student, rng: np.random.Generator) -> None:
    cases = situations(rng)
    answers = [student.recommend(*case) for case in cases]
    words = {expected_word(*case) for case in cases}
    for (per_class, shift, last, earlier), answer in zip(cases, answers, strict=True):
        d = earlier - last
        gain, error = d.mean(), d.std(ddof=1) / math.sqrt(len(d))
        subject = (
            f"recommend ({per_class:g} pictures of a class, shift {shift}, earlier codes better by {gain:.4f} with an error of "
            f"{error:.4f})"
        )
        if not isinstance(answer, str) or str(answer) not in words:
            raise Mistake(f"{subject} must be one of {', '.join(sorted(words))}; got {answer!r}")
        if answer != (right := expected_word(per_class, shift, last, earlier)):
            raise Mistake(f"{subject}: it is {right!r}, got {answer!r}")


def situations(rng: np.random.Generator) -> list[Case]:
    """Numbers of pictures, shifts and evidence with each other, at the thresholds and on both sides of them."""
    numbers = [int(rng.integers(5, 100)), 199, 200, int(rng.integers(300, 3000))]
    shifts = [0.0, float(rng.uniform(0.005, 0.03)), 0.035, float(rng.uniform(0.05, 0.5)), None]
    N = int(rng.integers(11, 17))
    ranges = [(2.3, 2.9), (3.6, 4.0), (4.6, 6.0), (9, 10), (1.2, 1.7), (0.7, 0.9), (0.2, 0.4), (-0.9, -0.5), (-5, -3)]
    ratios = [rng.uniform(*ends) for ends in ranges] + [2 * (1 - 0.2 / N)]  # the last is above 2 if it is divided by N alone
    evidence = [evidence_of(rng, N, ratio) for ratio in ratios]
    same = rng.random(N)
    evidence += [(same, same.copy()), (np.full(N, 0.25), np.full(N, 0.75))]
    few, *others = numbers
    return [(few, shift, *pair) for shift in shifts for pair in evidence] + [
        (number, shift, *pair) for number in others for shift in shifts for pair in evidence[::5]
    ]


def evidence_of(rng: np.random.Generator, N: int, ratio: float) -> Case:
    """Shares of right answers by the last and by earlier codes, whose mean difference is so many standard errors.

    The standard deviations are those of which every other error that people take is larger or smaller than the ratios above.
    """
    last, d = (values - values.mean() for values in rng.uniform(-1, 1, (2, N)))
    d -= last * (d @ last) / (last @ last)
    last, d = 0.45 + 0.08 * last / last.std(ddof=1), 0.06 * d / d.std(ddof=1)
    return last, last + d + ratio * 0.06 / math.sqrt(N)


def expected_word(per_class: float, shift: float | None, last: np.ndarray, earlier: np.ndarray) -> str:
    N = len(last)
    d = [float(b) - float(a) for a, b in zip(last, earlier, strict=True)]
    gain = sum(d) / N
    error = math.sqrt(sum((one - gain) ** 2 for one in d) / (N - 1) / N)
    sure = gain > 2 * error
    similar = (not sure) if shift is None else shift <= 0.035
    if per_class >= 200:
        return "finetune-all"
    return ("finetune-upper" if sure else "svm") if similar else ("svm-earlier" if sure else "finetune-upper")


# ---- when all is passed: advice on real pictures, and what the test pictures say of it

SIDE, LEARN, TEST = 128, 40, 75  # pixels; pictures of each class to learn from, and to test with
FOLDS, NEIGHBOURS = 5, 5
EPOCHS, RATE, BODY = 5, 2e-3, 0.3  # of fine-tuning the upper layers


def finale(functions: dict[str, Any], out: Path) -> None:
    """The student's functions recommend what to do with a network and pictures; then it is carried out, and tested."""
    from matplotlib.figure import Figure  # slow to load, and no check needs it

    sets = list(finale_sets())
    figure = Figure(figsize=(4.6 * len(sets), 3.4), dpi=110, layout="tight")
    for ax, (network, name, learn, test) in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        advise_on(functions, network, name, learn, test, ax)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "finale.png")
    print(f"Figure: {out / 'finale.png'}")


def finale_sets() -> Iterator[tuple[Model, str, Pictures, Pictures]]:
    """A network and pictures (N, H, W, C) with labels, to learn from and to test with: real ones where there are any."""
    import minicnn
    from minicnn.course.workbench import drawn_digits, find_data
    from minicnn.data import load_fashion_mnist, open_pictures, solar_cells
    from minicnn.errors import DataError, WeightsError

    found = 0
    with suppress(WeightsError, DataError):
        usual = minicnn.load("efficientnet_lite0").preprocessing
        archive = find_data("ants-bees.zip")
        for collection, fit in [*([(open_pictures(archive), "crop")] if archive else []), (solar_cells(), "stretch")]:
            network = minicnn.load("efficientnet_lite0")
            network.preprocessing = replace(usual, size=SIDE, fit=fit, resize=None)
            yield network, collection.name, *parts_of(collection, network)
            found += 1
    if found:
        return
    network, folder, rng = minicnn.load("lenet5_mnist"), find_data("fashion-mnist"), np.random.default_rng(0)
    learn_count, test_count = 10 * LEARN, 20 * TEST
    if folder:
        x, y, x_test, y_test = load_fashion_mnist(folder)
    else:
        (x, y), (x_test, y_test) = drawn_digits(learn_count, rng), drawn_digits(test_count, rng)
    name = "Fashion-MNIST" if folder else "drawn digits"
    yield network, name, (x[:learn_count, ..., None], y[:learn_count]), (x_test[:test_count, ..., None], y_test[:test_count])


def parts_of(collection: PictureSet, network: Model) -> tuple[Pictures, Pictures]:
    """So many pictures of each class to learn from, and others to test with, fitted to the network's input."""
    from minicnn.data import stratified_split

    splits = collection.splits or stratified_split(collection.labels, collection.groups, {"train": 0.75, "test": 0.25}, 0)
    parts = []
    for part, most in (("train", LEARN), ("test", TEST)):
        rows = np.random.default_rng(0).permutation(splits[part])
        chosen = np.concatenate([rows[collection.labels[rows] == k][:most] for k in range(len(collection.classes))])
        x, used = collection.subset(np.random.default_rng(1).permutation(chosen)).fitted(network.preprocessing, progress=False)
        parts.append((x, used.labels))
    return parts[0], parts[1]


def advise_on(functions: dict[str, Any], network: Model, name: str, learn: Pictures, test: Pictures, ax: Axes) -> None:
    """What the student's functions and the advisor say of pictures to learn from; then the same of the test pictures."""
    from minicnn.advisor.measurements import codes_and_probabilities, layers_to_try, measure_fitted
    from minicnn.advisor.rules import choose
    from minicnn.data.splits import stratified_folds
    from minicnn.linear_model import LinearSVM
    from minicnn.transfer import STRATEGIES, h_score, leep
    from minicnn.transfer.similarity import SIMILAR_SHIFT

    (x, y), (x_test, y_test) = learn, test
    layers = layers_to_try(network)
    codes, probabilities = codes_and_probabilities(network, x, layers, progress=False)
    tested, _ = codes_and_probabilities(network, x_test, layers, progress=False)
    z, z_test = ({layer: found[layer, 1].astype(np.float64) for layer in layers} for found in (codes, tested))

    def fit(codes: np.ndarray, labels: np.ndarray) -> LinearSVM:
        return LinearSVM(0.1).fit(codes, labels)

    folds = np.empty(len(y), int)
    for number, rows in enumerate(stratified_folds(y, FOLDS, np.random.default_rng(0))):
        folds[rows] = number
    right = np.stack([functions["held_out"](fit, z[layer], y, folds) for layer in layers]).astype(bool)
    shares = [functions["accuracy_and_error"](row) for row in right]
    row = int(functions["one_standard_error"](right))
    last, earlier = len(layers) - 1, int(np.argmax(right[:-1].mean(axis=1)))
    near = np.mean(np.asarray(functions["knn_predictions"](z[layers[-1]], y, NEIGHBOURS)) == y)
    measured = measure_fitted(network, x, y, progress=False)
    similarity, per_class = measured.similarity, len(y) / len(np.unique(y))
    yours = functions["recommend"](per_class, similarity.shift, right[last].astype(float), right[earlier].astype(float))
    ours = choose(measured).strategy

    right_test = {layer: fit(z[layer], y).predict(z_test[layer]) == y_test for layer in layers}
    answers = {"svm": right_test[layers[-1]], "svm-earlier": right_test[layers[earlier]]}
    answers["finetune-upper"] = fine_tuned(network, x, y, x_test) == y_test
    print(f"{name}, {network.architecture}: {len(y)} pictures to learn from, {len(y_test)} to test with")
    print(
        f"  leaving one out, {NEIGHBOURS} neighbours name {near:.1%} rightly; in cross-validation your rule takes {layers[row]}"
    )
    layer = layers[-2]
    score, of_h = functions["leep"](probabilities.astype(np.float64), y), functions["h_score"](z[layer], y)
    print(
        f"  LEEP {score:.3f}, the engine's {leep(probabilities, y):.3f}; H of the {z[layer].shape[1]} numbers of {layer}",
        end=" ",
    )
    print(f"{of_h:.2f}, the engine's, shrunk, {h_score(z[layer], y):.2f}; shift", end=" ")
    print(
        "unknown, without batch norm" if similarity.shift is None else f"{similarity.shift:.3f}, similar up to {SIMILAR_SHIFT}"
    )
    aside = "" if ours in answers else " (not carried out here)"
    print(f"  you recommend: {STRATEGIES[yours]}; the advisor: {STRATEGIES[ours]}{aside}")
    for strategy, of_test in answers.items():
        p, error = functions["accuracy_and_error"](of_test)
        against = ""
        if strategy != "svm":
            only, only_last, probability = functions["sign_test"](of_test, answers["svm"])
            against = f"; against the last codes {only} to {only_last}, p = {probability:.2g}"
        print(f"  on the test pictures: {STRATEGIES[strategy]}, {100 * p:.1f} +- {100 * error:.1f} %{against}")

    places, values = range(len(layers)), np.array(shares, float)
    engines = [100 * entry.probe.accuracy for entry in measured.codes if entry.grid == 1]
    ax.errorbar(
        places, 100 * values[:, 0], yerr=100 * values[:, 1], fmt="o-", color="#2a6fbb", capsize=3, label="your cross-validation"
    )
    ax.plot(places, engines, "s--", color="#8a8a8a", ms=4, label="the advisor's")
    ax.plot(places, [100 * right_test[layer].mean() for layer in layers], "x", color="#d9722b", ms=8, label="test pictures")
    ax.set_xticks(places, layers, fontsize=8)
    ax.set(title=name, xlabel="codes of", ylabel="accuracy %")
    ax.legend(fontsize=8, frameon=False)


def fine_tuned(network: Model, x: np.ndarray, y: np.ndarray, x_test: np.ndarray) -> np.ndarray:
    """What the network answers after its upper layers have learned these pictures; the lower ones run once, for all epochs."""
    from minicnn.inference import fuse, infer
    from minicnn.layers.norm import BatchNorm
    from minicnn.losses import SoftmaxCrossEntropy
    from minicnn.optim import AdamW
    from minicnn.schedules import one_cycle
    from minicnn.training import Trainer
    from minicnn.transfer import freeze_points

    model = network.copy()
    model.replace_head(len(np.unique(y)), rng=0)
    until = freeze_points(model)[0]
    model.freeze(until=until, names=[path for path, layer in model.walk() if isinstance(layer, BatchNorm)])
    lower, upper = model.split(until)
    maps, maps_test = (
        infer(fuse(lower), len(pictures), lambda rows, pictures=pictures: model.preprocessing.normalise(pictures[rows]))
        for pictures in (x, x_test)
    )
    for name, parameter in upper.parameters().items():
        parameter.learning_rate_multiplier = 1.0 if name.startswith(f"{model.classifier_name}.") else BODY
    optimizer = AdamW(upper.parameters(), RATE)
    options = {"epochs": EPOCHS, "batch_size": 16, "schedule": one_cycle(), "progress": False}
    Trainer(upper, SoftmaxCrossEntropy(), optimizer, **options).fit(maps, y)
    return infer(fuse(upper), len(maps_test), lambda rows: maps_test[rows]).argmax(axis=1)


FINALE = finale

TASKS = [
    Task(
        "an accuracy with its error, and a sign test",
        errors_and_signs,
        ("accuracy_and_error", "sign_test"),
        (*ERROR_SLIPS, *SIGN_SLIPS),
        (
            "Two formulas. For the second, write down on paper which pictures say something about which classifier is better.",
            "only_a counts pictures where a is right and b is not. Add up the whole numbers (n choose j) first, as Python "
            "integers; the division by 2**n comes last.",
            "math.sqrt(p * (1 - p) / N). only_a = np.sum(right_a & ~right_b); ways = sum(math.comb(n, j) for j in range(m + "
            "1)); then min(1.0, 2 * ways / 2**n), with n and m as Python's own int.",
        ),
        2,
    ),
    Task(
        "the nearest neighbours, each picture left out",
        neighbours,
        ("knn_predictions",),
        KNN_SLIPS,
        (
            "All distances first, (N, N). Then for each row: who is near, in which order, and who must not be there?",
            "A picture is kept out by its place in the row, and not by its distance: set the diagonal to infinity. A stable "
            "sort keeps equally near pictures in the order of their numbers.",
            'np.fill_diagonal(distances, np.inf); np.argsort(distances, axis=1, kind="stable")[:, :k]. Of a list of labels in '
            "that order, max(labels, key=labels.count) is the first of those with the most votes.",
        ),
        2,
    ),
    Task(
        "choose codes by cross-validation",
        cross_validation,
        ("held_out", "one_standard_error"),
        (*HELD_OUT_SLIPS, *ONE_ERROR_SLIPS),
        (
            "One loop over the folds that there are. In it a classifier is trained, and asked about the pictures it has not "
            "seen.",
            "folds == fold is a mask, and ~ of it the rest. An array of False of the length of y takes the answers at the "
            "mask's places. For the rule: one bound, the highest mean less its error, and the first row that is not below it.",
            "right[out] = fit(codes[~out], y[~out]).predict(codes[out]) == y[out], for each of np.unique(folds). np.argmax of "
            "an array of bools is the place of the first True.",
        ),
        2,
    ),
    Task(
        "two scores of transferability: LEEP and H",
        scores,
        ("leep", "h_score"),
        (*LEEP_SLIPS, *H_SLIPS),
        (
            "Both are written out in the docstrings, line by line. Write down the shape of each matrix first.",
            "With one-hot rows of y, P(k, z) is a matrix product, (K, N) times (N, Z). Divided by its column sums, it gives "
            "each picture the row of its class. For H the class mean of every picture's class is an array like F.",
            "joint = np.eye(K)[y].T @ p; conditional = joint / joint.sum(axis=0), with care for 0; np.log((conditional[y] * "
            "p).sum(axis=1)).mean(). G = np.stack([F[y == label].mean(axis=0) for label in y]); np.trace(np.linalg.pinv(...) @ "
            "...).",
        ),
        3,
    ),
    Task(
        "a recommendation",
        recommendations,
        ("recommend",),
        RECOMMEND_SLIPS,
        (
            "Three questions, each with the answer yes or no: are they many, are they similar, are earlier codes surely "
            "better?",
            "Answer the third first: the second needs it where the shift is missing. Missing means None, and a shift of 0 is "
            "not missing.",
            "d = earlier - last; d.mean() > 2 * d.std(ddof=1) / np.sqrt(len(d)). Then if per_class >= 200: ...; similar = not "
            "surely_better if shift is None else shift <= 0.035; and the four words.",
        ),
    ),
]
