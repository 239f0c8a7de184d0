"""Lesson 6: what its exercise is checked for, offline, with new numbers and shapes each time.

The numbers differ from run to run; the cases do not. A function is first called for all of its cases, and then judged: so a
mistake is named only where it explains all of the answers.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from slips import (
    CHOICE_SLIPS,
    CURVE_SLIPS,
    HALVING_SLIPS,
    INITIAL_LOSS_SLIPS,
    LAYER_SLIPS,
    ORDER,
    SEARCH_SLIPS,
)

from minicnn.course import Mistake, Student, Task
from minicnn.course.expect import expect_close, expect_number, expect_several
from minicnn.course.student import ARGUMENT_CHANGED
from minicnn.errors import TrainingError
from minicnn.initializers import msra, normal
from minicnn.layers import Conv2d, Flatten, Linear, MaxPool2d, Parameter, ReLU, Sequential
from minicnn.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SVMHinge
from minicnn.optim import SGD
from minicnn.regularizers import L2
from minicnn.search import LogUniform, Study
from minicnn.training import Trainer
from minicnn.training.callbacks import Callback
from minicnn.training.run import Run


def expect_text(what: str, got: Any, expected: str, choices: Sequence[str]) -> None:
    """`Mistake` unless the right one of some texts came."""
    if not isinstance(got, str) or got not in choices:
        raise Mistake(f"{what} must be one of {', '.join(map(repr, choices))}; got {got!r}")
    if got != expected:
        raise Mistake(f"{what} is {expected!r}; got {got!r}")


# ---- Task 1: the loss before the first step

VERDICTS = ("not finite", "too high", "too low", "fine")


def initial_losses(student: Student, rng: np.random.Generator) -> None:
    cases = []
    for kind in ("softmax", "hinge", "sigmoids"):
        C, lam = int(rng.integers(4, 60)), float(rng.uniform(0.1, 0.4))
        cases += [(kind, C, arrays(rng), 0.0), (kind, C + 3, arrays(rng), lam), (kind, C + 5, arrays(rng)[:1], 3 * lam)]
    cases += [("hinge", 2, arrays(rng), 0.0), ("softmax", 7, [], 0.3)]
    got = [student.expected_initial_loss(*case) for case in cases]
    for (kind, C, weights, lam), answer in zip(cases, got, strict=True):
        shapes = ", ".join(str(w.shape) for w in weights) or "none"
        what = f"expected_initial_loss ({kind!r}, C = {C}, weights of shapes {shapes}, lam = {lam:.3g})"
        parameters = {str(i): Parameter(w.copy()) for i, w in enumerate(weights)}
        penalty = L2(parameters, lam).value() if weights else 0.0
        expect_close(what, expect_number(what, answer), np.float64(loss_at_chance(kind, C) + penalty))
    verdicts(student, rng)


def arrays(rng: np.random.Generator) -> list[np.ndarray]:
    """Weights of several layers, whose entries do not add up to about 0."""
    return [rng.uniform(-0.5, 1.5, shape) for shape in ((5, 3), (2, 3, 4, 2), (7,))]


def loss_at_chance(kind: str, C: int) -> float:
    """By the engine's losses."""
    if kind == "sigmoids":
        return SigmoidCrossEntropy().at_chance(np.ones((3, C)), np.eye(3, C))
    return {"softmax": SoftmaxCrossEntropy, "hinge": SVMHinge}[kind]().at_chance(np.ones((2, C)), np.array([0, C - 1]))


def verdicts(student: Student, rng: np.random.Generator) -> None:
    chance = float(rng.choice([1.5, 3.0, 6.0]))  # numbers of few binary digits: exactly twice, and exactly a third
    cases = [
        (data * chance, share * chance, expected)
        for data, share, expected in (
            (rng.uniform(0.9, 1.1), 0.0, "fine"),
            (rng.uniform(0.9, 1.1), 2.5, "fine"),
            (rng.uniform(0.6, 0.8), 0.25, "fine"),
            (rng.uniform(0.36, 0.45), 0.0, "fine"),
            (rng.uniform(1.6, 1.9), 0.75, "fine"),
            (rng.uniform(2.2, 2.3), 1.0, "too high"),
            (rng.uniform(4, 9), 0.0, "too high"),
            (rng.uniform(0.05, 0.2), 0.5, "too low"),
            (rng.uniform(0.25, 0.3), 0.0, "too low"),
            (2.0, 0.5, "fine"),
            (1 / 3, 0.5, "fine"),
            (math.nan, 0.5, "not finite"),
            (math.inf, 0.5, "not finite"),
        )
    ]
    small = 0.125 * chance  # of a loss of another kind: here a difference of 2 is no factor of 2
    cases = [(data, penalty, chance, expected) for data, penalty, expected in cases]
    cases += [(5 * small, 0.0, small, "too high"), (1.5 * small, 0.5 * small, small, "fine")]
    got = [student.verdict_on_initial_loss(data + penalty, penalty, of) for data, penalty, of, _ in cases]
    for (data, penalty, of, expected), answer in zip(cases, got, strict=True):
        what = f"verdict_on_initial_loss (loss {data + penalty:.4g}, penalty {penalty:.4g}, chance {of:.4g})"
        expect_text(what, answer, expected, VERDICTS)


# ---- Task 2: what the layers do


def layers(student: Student, rng: np.random.Generator) -> None:
    cases = [steps_of_parameters(rng, scale) for scale in (1e-3, 0.1)]
    copies = [({name: w.copy() for name, w in before.items()}, dict(after)) for before, after in cases]
    got = [student.update_ratios(before, after) for before, after in cases]
    for (before, after), (same, _), ratios in zip(cases, copies, got, strict=True):
        if any(not np.array_equal(before[name], same[name]) for name in same) or before.keys() != same.keys():
            raise Mistake("update_ratios() changes the weights that it is given: work on copies", name=ARGUMENT_CHANGED)
        expected = {
            name: math.sqrt(sum((after[name] - w).ravel() ** 2) / sum(w.ravel() ** 2)) for name, w in same.items() if w.any()
        }
        expect_names("update_ratios", ratios, expected)
        for name, ratio in expected.items():
            what = f"the ratio of {name!r} {before[name].shape}"
            expect_close(what, expect_number(what, ratios[name]), np.float64(ratio))
    dead(student, rng)


def steps_of_parameters(rng: np.random.Generator, scale: float) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Weights before and after a step, of quite different lengths, also turned and shortened; a new bias, a frozen layer."""
    shapes = {"conv.w": (5, 4, 3, 2), "scores.b": (6,), "norm.gamma": (8,), "frozen.w": (3, 5), "scores.w": (6, 7)}
    before, after = {}, {}
    for size, (name, shape) in zip((1.0, 0.0, 30.0, 2.0, 0.05), shapes.items(), strict=True):
        before[name] = size * rng.choice([-1, 1], shape) * rng.uniform(0.3, 2, shape)
        step = scale * (size or 1) * rng.uniform(0.5, 3) * rng.standard_normal(shape)
        after[name] = before[name] + (0 if name == "frozen.w" else step)
    before["scores.w"][2, 3] = 0
    return before, after


def expect_names(function: str, got: Any, expected: dict[str, float]) -> None:
    """`Mistake` unless a dict of these names came."""
    if not isinstance(got, dict):
        raise Mistake(f"{function}() must return a dict from name to ratio; got a {type(got).__name__}")
    if missing := [name for name in expected if name not in got]:
        raise Mistake(f"{function}() has nothing for {missing[0]!r}; it has {', '.join(map(repr, got)) or 'no name at all'}")
    if more := [name for name in got if name not in expected]:
        raise Mistake(f"{function}() has a ratio for {more[0]!r}, {got[more[0]]}, whose entries were all 0 before the step")


def dead(student: Student, rng: np.random.Generator) -> None:
    cases = [
        outputs(rng, (6, 9), dead=2),
        outputs(rng, (4, 8, 3, 5), dead=3),
        outputs(rng, (5, 7), dead=0),
        outputs(rng, (3, 4, 2, 5), dead=4),
        outputs(rng, (1, 11), dead=4),
    ]
    got = [student.dead_units(y) for y, _ in cases]
    for (y, expected), answer in zip(cases, got, strict=True):
        what = f"dead_units (y {y.shape})"
        expect_close(what, expect_number(what, answer), np.float64(expected))


def outputs(rng: np.random.Generator, shape: tuple[int, ...], dead: int) -> tuple[np.ndarray, float]:
    """Outputs of a ReLU, about half of them 0, with so many dead units; each other one answers to one sample at least.

    One of them answers faintly, and to the last sample only; and where there are several samples, one of them but the last
    reaches no unit at all.
    """
    N, units = shape[:2]
    y = np.maximum(rng.standard_normal(shape), 0)
    alive = rng.permutation(units)[dead:]
    is_dead = np.ones(units, bool)
    is_dead[alive] = False
    y[:, is_dead] = 0
    for unit in alive:
        y[(N - 1, unit, *(int(rng.integers(n)) for n in shape[2:]))] = rng.uniform(0.5, 2)
    if len(alive) and N > 1:
        faint = alive[0]
        y[:, faint] = 0
        y[(N - 1, faint, *(0 for _ in shape[2:]))] = 1e-9
        y[int(rng.integers(N - 1))] = 0
    return y, dead / units


# ---- Task 3: reading the curves

# Losses as parts of first, then gaps between the accuracies, and what it is. The last number is the size of first, or 0 for a
# usual one.
CURVES = (
    ((0.7, 0.5, 0.35, 0.28, 0.25), (0.0, 0.02, 0.03, 0.03, 0.04), "fine", 0),
    ((0.7, 0.4, 0.2, 0.08, 0.03), (0.0, 0.01, 0.02, 0.05, 0.2), "overfitting", 0),
    ((0.8, 0.6, 0.5, 0.42, 0.4), (0.3, 0.24, 0.15, 0.12, 0.05), "fine", 0),
    ((0.8, 0.6, 0.5, 0.42, 0.4), (0.02, 0.17, 0.02, 0.02, 0.02), "fine", 0),
    ((0.8, 0.5, 0.35, 0.3, 0.28), (0.0, -0.04, -0.1, -0.15, -0.2), "fine", 0),
    ((0.99, 0.97, 0.96, 0.94, 0.93), (0.0, 0.01, 0.02, 0.02, 0.02), "not learning", 0),
    ((0.99, 0.97, 0.96, 0.94, 0.93), (0.0, 0.05, 0.1, 0.15, 0.2), "not learning", 0),
    ((0.6, 0.4, 0.55, 0.7, 0.72), (0.0, 0.01, 0.02, 0.03, 0.03), "too high", 0),
    ((0.7, 0.5, 0.8, 0.95, 0.93), (0.0, 0.01, 0.02, 0.03, 0.03), "too high", 0),
    ((0.6, 0.4, 0.55, 0.7, 0.72), (0.0, 0.05, 0.1, 0.2, 0.25), "too high", 0),
    ((0.9, 1.0, 1.2, 1.3), (0.0, 0.01, 0.02, 0.02), "too high", 0),
    ((0.9, 1.5, 3.6, 5.0), (0.0, 0.01, 0.02, 0.02), "diverged", 0),
    ((0.5, 0.3, 0.36, 0.42, 0.47), (0.0, 0.01, 0.02, 0.03, 0.03), "too high", 0),
    ((0.8, 4.2, 0.9, 0.5, 0.48), (0.0, 0.01, 0.02, 0.03, 0.03), "diverged", 0),
    ((0.8, 4.2, 0.9, 0.5, 0.48), (0.0, 0.05, 0.1, 0.2, 0.25), "diverged", 0),
    ((4.4, 1.2, 0.6, 0.5, 0.45), (0.0, 0.01, 0.02, 0.03, 0.03), "diverged", 0),
    ((0.9, 0.7, math.nan, math.nan, math.nan), (0.0, 0.01, 0.02, 0.02, 0.02), "diverged", 0),
    ((0.9, math.nan, 0.6, 0.5, 0.4), (0.0, 0.01, 0.02, 0.02, 0.02), "diverged", 0),
    ((math.nan, 4.5, 0.6, 0.5, 0.45), (0.0, 0.01, 0.02, 0.02, 0.02), "diverged", 0),
    ((0.9, math.inf, 0.6, 0.5, 0.4), (0.0, 0.01, 0.02, 0.02, 0.02), "diverged", 0),
    ((0.3, 0.96, 0.3, 0.26, 0.24), (0.0, 0.01, 0.02, 0.02, 0.02), "fine", 0),
    ((0.7, 0.5, 0.3, 0.26), (0.0, 0.01, 0.02, 0.02), "fine", 0.04),
    ((0.6, 0.3, 0.5, 0.55), (0.0, 0.01, 0.02, 0.02), "too high", 0.04),
    ((0.6, 0.4, 0.3, 0.33), (0.0, 0.01, 0.02, 0.02), "fine", 40.0),
    ((0.98, 0.96, 0.95, 0.93), (0.0, 0.01, 0.02, 0.02), "not learning", 40.0),
    ((0.6, 0.66, 0.3, 0.22, 0.2), (0.0, 0.01, 0.02, 0.02, 0.02), "fine", 0),
    ((0.5, 0.3, 0.2, 0.24), (0.0, 0.01, 0.02, 0.02), "fine", 0),
    ((0.3, 0.05, 0.004, 0.008), (0.0, 0.01, 0.02, 0.02), "fine", 0),
    ((0.9, 0.77, 0.83), (0.0, 0.01, 0.02), "not learning", 0),
    ((0.5,), (0.03,), "fine", 0),
)


def curves(student: Student, rng: np.random.Generator) -> None:
    cases = []
    for parts, gaps, expected, size in CURVES:
        first = size or rng.uniform(1.6, 3.5)
        val = np.linspace(0.3, rng.uniform(0.5, 0.6), len(parts))
        losses = first * np.array(parts) * (1 + rng.uniform(-0.01, 0.01, len(parts)))
        cases.append((first, losses, val + gaps + rng.uniform(-0.005, 0.005, len(parts)), val, expected))
    falling, shift = np.array([0.8, 0.6, 0.5, 0.45, 0.4]), rng.uniform(-0.02, 0.02)
    for train, val, expected in (
        ([0.6, 0.8, 0.9, 0.93, 0.95], [0.5, 0.9, 0.8, 0.75, 0.7], "overfitting"),  # the best of either are near each other
        ([0.5, 0.97, 0.8, 0.8, 0.8], [0.5, 0.7, 0.75, 0.76, 0.76], "fine"),  # far from each other, and not at the end
        ([0.1, 0.18, 0.25, 0.28, 0.3], [0.1, 0.15, 0.2, 0.24, 0.25], "fine"),  # a gap that is wide as a ratio only
    ):
        cases.append((2.3, 2.3 * falling, np.array(train) + shift, np.array(val) + shift, expected))
    got = [student.diagnose(*case[:-1]) for case in cases]
    for (first, losses, train, val, expected), answer in zip(cases, got, strict=True):
        what = (
            f"diagnose (first {first:.4g}, losses {row(losses)}, training accuracy {row(train)}, "
            f"validation accuracy {row(val)})"
        )
        expect_text(what, answer, expected, (*ORDER, "fine"))


def row(numbers: np.ndarray) -> str:
    return "[" + ", ".join(f"{number:.3g}" for number in numbers) + "]"


# ---- Task 4: random search


def searching(student: Student, rng: np.random.Generator) -> None:
    ranges = [(10 ** rng.uniform(-6, -4), 10 ** rng.uniform(-2, 0)), (0.02, rng.uniform(20, 60)), (rng.uniform(2, 3), 200.0)]
    cases = [(low, high, u) for low, high in ranges for u in (0.0, 0.5, rng.uniform(0.1, 0.4), rng.uniform(0.7, 0.95))]
    got = [student.log_uniform(*case) for case in cases]
    for (low, high, u), answer in zip(cases, got, strict=True):
        what = f"log_uniform ({low:.4g}, {high:.4g}, {u:.3g})"
        expect_close(what, expect_number(what, answer), np.float64(LogUniform(low, high).at(u)))

    space = {"rate": ranges[0], "decay": ranges[1], "width": ranges[2]}  # neither in the order of the names nor in its reverse
    seed, several = int(rng.integers(100, 1000)), [7, 9, 4, 5, 12, 11]
    weights = dict(zip(sorted(space), rng.uniform(0.02, 0.09, 3), strict=True))

    def accuracy(settings: dict[str, float], budget: int, seed: int) -> float:
        logs = sum(weights[name] * math.sin(3 * math.log(settings[name])) for name in settings)
        return 0.4 + logs + 0.01 * (budget % 10) + seed % 1000 / 1e5

    rates = sorted(trial.settings["rate"] for trial in by_the_engine(accuracy, space, several, 5, seed))
    limit = math.sqrt(rates[2] * rates[3])

    def breaks_down(settings: dict[str, float], budget: int, seed: int) -> float:
        if settings["rate"] > limit:
            raise FloatingPointError("the loss is NaN")
        return accuracy(settings, budget, seed)

    searches = [(accuracy, space, range(4), 3, seed), (breaks_down, space, several, 5, seed)]
    found = [student.random_search(*search) for search in searches]
    for (objective, _, numbers, budget, _), trials in zip(searches, found, strict=True):
        expect_trials(trials, by_the_engine(objective, space, numbers, budget, seed), objective is breaks_down)


def by_the_engine(objective: Callable, space: dict, numbers: Sequence[int], budget: int, seed: int) -> list:
    study = Study(objective, {name: LogUniform(*ends) for name, ends in space.items()}, seed=seed, progress=False)
    trials = study.random(max(numbers) + 1, budget)
    return [trials[i] for i in numbers]


def expect_trials(got: Any, expected: list, is_failing: bool) -> None:
    """`Mistake` unless these trials came, as the exercise wants them."""
    case = "some runs break down" if is_failing else "no run breaks down"
    if not isinstance(got, (list, tuple)) or len(got) != len(expected):
        came = f"{len(got)}" if isinstance(got, (list, tuple)) else f"a {type(got).__name__}"
        raise Mistake(f"random_search() must return a list of {len(expected)} trials ({case}); got {came}")
    for trial, right in zip(got, expected, strict=True):
        what, names = f"of trial {right.number} ({case})", ["settings", "budget", "seed", "val_acc"]
        if not isinstance(trial, dict) or sorted(trial) != sorted(names):
            came = ", ".join(map(str, trial)) if isinstance(trial, dict) else f"a {type(trial).__name__}"
            raise Mistake(f"each trial is a dict with {', '.join(names)}; got {came}")
        if not isinstance(trial["settings"], dict) or sorted(trial["settings"]) != sorted(right.settings):
            raise Mistake(f"the settings {what} are a dict with {', '.join(right.settings)}; got {trial['settings']}")
        for name, value in right.settings.items():
            expect_close(f"{name} {what}", expect_number(f"{name} {what}", trial["settings"][name]), np.float64(value))
        for name, value in (("seed", right.seed), ("budget", right.budget)):
            if trial[name] != value:
                raise Mistake(f"the {name} {what} is {value}; got {trial[name]}")
        value, name = trial["val_acc"], f"val_acc {what}"
        if right.value is not None:
            expect_close(name, expect_number(name, value), np.float64(right.value))
        elif not isinstance(value, (float, np.floating)) or not math.isnan(value):
            raise Mistake(f"{name}, whose run broke down, is NaN; got {value!r}")


# ---- Task 5: choose, and look more closely


def choosing(student: Student, rng: np.random.Generator) -> None:
    cases = choices(rng)
    got = [student.best_trial(trials) for trials, _ in cases]
    for (trials, expected), answer in zip(cases, got, strict=True):
        if isinstance(answer, bool) or not isinstance(answer, (int, np.integer)):
            raise Mistake(f"best_trial() returns a place in the list, a whole number; got a {type(answer).__name__}")
        if answer != expected:
            table = "; ".join(f"{i}: {trial['val_acc']:.3f} with budget {trial['budget']}" for i, trial in enumerate(trials))
            raise Mistake(f"best_trial() of trials with the val_acc {table} is {expected}; got {answer}")
    ranges(student, rng)


def choices(rng: np.random.Generator) -> list[tuple[list[dict], int]]:
    """Lists of trials, and the place of the best of each."""
    up = rng.uniform(-0.03, 0.03)

    def listed(*rows: tuple[float, float, float, int]) -> list[dict]:
        return [
            {"train_acc": train + up, "val_acc": val + up, "test_acc": test + up, "budget": budget}
            for val, train, test, budget in rows
        ]

    nan, few, many = math.nan, int(rng.integers(1, 4)), int(rng.integers(9, 20))
    return [
        # val, train, test: the best of each is another one, and so are the narrowest gap and the best mean of val and test
        (listed((0.5, 0.52, 0.48, 4), (0.62, 0.7, 0.55, 4), (0.6, 0.66, 0.71, 4), (0.55, 0.9, 0.5, 4), (0.2, 0.3, 0.2, 4)), 1),
        # the highest value was reached with little, and the place in the list is not that among those who compete
        (
            listed(
                (0.8, 0.82, 0.5, few),
                (0.3, 0.5, 0.4, many),
                (0.6, 0.65, 0.3, few),
                (0.7, 0.72, 0.5, many),
                (0.4, 0.9, 0.9, many),
            ),
            3,
        ),
        # failed ones, the first and others
        (
            listed(
                (nan, 0.1, 0.1, few), (0.41, 0.5, 0.5, few), (nan, 0.2, 0.1, few), (0.52, 0.6, 0.4, few), (0.3, 0.4, 0.5, few)
            ),
            3,
        ),
        (listed((0.3, 0.4, 0.5, few), (0.52, 0.6, 0.4, few), (nan, 0.2, 0.1, few), (0.41, 0.5, 0.5, few)), 1),
        # all of the largest budget have failed
        (
            listed((0.9, 0.9, 0.7, 1), (nan, 0.1, 0.1, many), (0.45, 0.5, 0.5, 5), (0.55, 0.6, 0.4, 5), (nan, 0.2, 0.1, many)),
            3,
        ),
        # three budgets, and the highest value was reached with the one between
        (listed((0.5, 0.6, 0.5, 1), (0.9, 0.92, 0.6, 5), (0.45, 0.6, 0.5, many), (0.6, 0.8, 0.5, many)), 3),
        # two are equal; the one or the other is better on the test pictures
        (listed((0.3, 0.4, 0.3, many), (0.61, 0.7, 0.5, many), (0.4, 0.5, 0.4, many), (0.61, 0.7, 0.66, many)), 1),
        (listed((0.3, 0.4, 0.3, many), (0.4, 0.5, 0.4, many), (0.61, 0.7, 0.66, many), (0.61, 0.7, 0.5, many)), 2),
    ]


def ranges(student: Student, rng: np.random.Generator) -> None:
    wide, other = (10 ** rng.uniform(-6, -5), 10 ** rng.uniform(-1, 0)), (rng.uniform(0.2, 0.4), rng.uniform(500, 900))
    places = [
        (wide, rng.uniform(0.45, 0.6), rng.uniform(0.25, 0.35)),
        (other, rng.uniform(0.35, 0.45), rng.uniform(0.4, 0.45)),
        (wide, rng.uniform(0.02, 0.06), 0.3),
        (wide, rng.uniform(0.94, 0.98), 0.25),
        (other, 0.0, 0.4),
        (other, 1.0, 0.35),
    ]
    cases = [(low, high, value_at(low, high, p), share) for (low, high), p, share in places]
    got = [student.narrowed(*case) for case in cases]
    for (low, high, best, share), answer in zip(cases, got, strict=True):
        right = LogUniform(low, high).narrowed(best, share)
        ends = expect_several("narrowed", answer, "low, high")
        for name, end, expected in zip(("low", "high"), ends, (right.low, right.high), strict=True):
            what = f"the new {name} of narrowed ({low:.4g}, {high:.4g}, best {best:.4g}, share {share:.3g})"
            expect_close(what, expect_number(what, end), np.float64(expected))

    places = [(p, ends) for p in (0.0, 0.06, 0.14, 0.5, 0.86, 0.94, 1.0) for ends in (wide, other)]
    places += [(0.06, (1e-12, 1.0)), (0.75, (1.0, 2.0)), (0.12, (1.0, 2.0))]
    cases = [(low, high, value_at(low, high, p)) for p, (low, high) in places]
    got = [student.near_an_end(*case) for case in cases]
    for (p, _), (low, high, best), answer in zip(places, cases, got, strict=True):
        what = f"near_an_end ({low:.4g}, {high:.4g}, best {best:.4g}), where p = {p:.3g},"
        expected = "lower" if p < 0.1 else "upper" if p > 0.9 else "inside"
        expect_text(what, answer, expected, ("lower", "upper", "inside"))


def value_at(low: float, high: float, p: float) -> float:
    """At p of the range on the log scale; the ends exactly."""
    return {0.0: low, 1.0: high}.get(p) or float(np.exp((1 - p) * np.log(low) + p * np.log(high)))


# ---- Task 6: successive halving


def halving(student: Student, rng: np.random.Generator) -> None:
    least = int(rng.integers(2, 6))
    cases = [
        (27, 1, 3),
        (11, least, 3),
        (20, 3, 4),
        (16, least + 1, 2),
        (1, 5, 2),
        (7, 1, 3),
        (int(rng.integers(22, 25)), 2, 5),
    ]
    got = [student.halving_schedule(*case) for case in cases]
    for (n, least_budget, eta), answer in zip(cases, got, strict=True):
        expected = schedule(n, least_budget, eta)
        if not isinstance(answer, (list, tuple, np.ndarray)) or not same_rungs(answer, expected):
            raise Mistake(f"halving_schedule ({n}, {least_budget}, {eta}) is {expected}; got {answer}")

    races = [race(rng, *numbers) for numbers in ((9, 1, 3), (11, least, 3), (7, 2, 3), (8, 1, 3), (12, 2, 2))]
    races += [race(rng, 9, 1, 3, failing=7), race(rng, 9, 2, 3, failing_later=True), turned_over(rng), *ties(rng)]
    got = [student.successive_halving(each.objective, each.candidates, each.least, each.eta) for each in races]
    for each, answer in zip(races, got, strict=True):
        each.expect(answer)


def schedule(n: int, least_budget: int, eta: int) -> list[tuple[int, int]]:
    rungs = []
    count, budget, parts = n, least_budget, 1
    while count:
        rungs.append((count, budget))
        parts, budget = parts * eta, budget * eta
        count = len(range(parts - 1, n, parts))  # so many whole parts of that size are in n
    return rungs


def same_rungs(got: Any, expected: list[tuple[int, int]]) -> bool:
    try:
        return [tuple(float(number) for number in rung) for rung in got] == expected
    except (TypeError, ValueError):
        return False


class Race:
    """Candidates, and the values that they reach by rung: values[i][rung], NaN where candidate i breaks down."""

    def __init__(self, values: Sequence[Sequence[float]], least: int, eta: int):
        self.values, self.least, self.eta = [list(map(float, of)) for of in values], least, eta
        self.candidates = [{"rate": 0.1 / (i + 1), "number": i} for i in range(len(values))]
        self.asked: set[tuple[int, int]] = set()

    def __deepcopy__(self, memo: dict) -> "Race":
        return self

    def objective(self, candidate: dict, budget: int) -> float:
        self.asked.add((candidate["number"], int(budget)))
        rung = round(math.log(max(budget / self.least, 1), self.eta))
        of = self.values[candidate["number"]]
        value = of[min(rung, len(of) - 1)]
        if math.isnan(value):
            raise FloatingPointError("the loss is NaN")
        return value

    def expect(self, got: Any) -> None:
        rungs, winner = expect_several("successive_halving", got, "rungs, winner")
        right, right_winner, pairs = self.run()
        n, first = len(self.candidates), [row[0] for row in self.values]
        what = (
            f"successive_halving ({n} candidates, least_budget {self.least}, eta {self.eta}, values in rung 0 {row_of(first)})"
        )
        try:
            rungs = [[int(i) for i in rung] for rung in rungs]
        except (TypeError, ValueError):
            raise Mistake(f"the rungs are lists of places in candidates, as [[0, 1, 2], [1]]; got {rungs}") from None
        if rungs != right:
            if [sorted(rung) for rung in rungs] == right:
                raise Mistake(f"in {what} the places of a rung are in ascending order; got {rungs}, expected {right}")
            raise Mistake(f"the rungs of {what} are {right}; got {rungs}")
        if isinstance(winner, bool) or not isinstance(winner, (int, np.integer)) or winner != right_winner:
            last = [self.values[i][len(right) - 1] for i in right[-1]]
            raise Mistake(
                f"the winner of {what}, whose last rung {right[-1]} has the values {row_of(last)}, is {right_winner}; "
                f"got {winner}"
            )
        if more := sorted(self.asked - pairs):
            raise Mistake(
                f"{what} evaluates candidate {more[0][0]} with a budget of {more[0][1]}, which is in no rung: {len(more)} "
                "evaluations too many. The savings are what all of it is for"
            )

    def run(self) -> tuple[list[list[int]], int, set[tuple[int, int]]]:
        """Rungs, winner, and all pairs of a candidate and a budget, one candidate after the other."""
        rungs, pairs, left = [], set(), list(range(len(self.candidates)))
        for k, (count, budget) in enumerate(schedule(len(self.candidates), self.least, self.eta)):
            while len(left) > count:
                worst = left[-1]
                for i in left[::-1]:
                    worst = i if self.values[i][k - 1] < self.values[worst][k - 1] else worst
                left.remove(worst)
            rungs.append(list(left))
            pairs |= {(i, budget) for i in left}
            left = [i for i in left if not math.isnan(self.values[i][k])]
        best = left[0]
        for i in left:
            best = i if self.values[i][k] > self.values[best][k] else best
        return rungs, best, pairs


def race(rng: np.random.Generator, n: int, least: int, eta: int, failing: int = 0, failing_later: bool = False) -> Race:
    """Values all different; from rung to rung the order is turned round, and the values are lower and nearer to each other.

    So what was best in one rung is worst in the next, and whoever goes by old values, by sums or by the highest of all is
    wrong. The best of rung 0 stand in no order of their places.
    """
    kept = max(n // eta, 1)
    while True:
        places = rng.permutation(n)
        best = places[:kept]
        if kept < 3 or not (np.all(np.diff(best) > 0) or np.all(np.diff(best) < 0)):
            break
    first = np.empty(n)
    first[places] = np.linspace(0.9, 0.5, n) + rng.uniform(-0.01, 0.01, n)
    rungs = len(schedule(n, least, eta))
    values = np.stack([first] + [0.4 - 0.08 * k + 0.05 * (-1) ** k * first for k in range(1, rungs)], axis=1)
    values[places[n - failing :], 0] = math.nan
    if failing_later:
        values[places[0], 1] = math.nan  # the best of rung 0
    return Race(values, least, eta)


def turned_over(rng: np.random.Generator) -> Race:
    """Of four in rung 1 other ones are the best two by its values, by those of rung 0, by sums, and by the highest so far."""
    values = [[0.9, 0.1], [0.8, 0.25], [0.7, 0.95, 0.2, 0.2], [0.6, 0.3, 0.5, 0.4], [0.5], [0.45], [0.4], [0.35]]
    values = [[value + rng.uniform(-0.01, 0.01) for value in row] for row in values]
    return Race([values[i] for i in rng.permutation(len(values))], int(rng.integers(1, 4)), 2)


def ties(rng: np.random.Generator) -> list[Race]:
    """Equal values where it is decided who goes on, and in the last rung."""
    a, b, c = 0.8 + rng.uniform(-0.02, 0.02), 0.6 + rng.uniform(-0.02, 0.02), 0.3 + rng.uniform(-0.02, 0.02)
    cut = Race([[b, c], [c, b], [b, a], [c, c], [a, c], [b, b]], 1, 3)  # two go on: the best, and the first of three equal ones
    last = Race([[c, a], [b, b], [c, b], [a, b], [c, a], [c, c], [c, c]], 2, 3)
    return [cut, last]


def row_of(numbers: Sequence[float]) -> str:
    return row(np.asarray(numbers, np.float64))


# ---- all of them together: a real network, looked after and searched for

FINALE_TRAIN, FINALE_VAL, FINALE_TEST, FINALE_BATCH = 400, 300, 1000, 20
TRIALS, BUDGETS, SHARE, SEARCH_SEED = 8, (1, 3), 0.3, 0
SPACE = {"learning_rate": (1e-4, 10.0), "weight_decay": (1e-6, 1.0)}
CANDIDATES, LAST_EPOCHS = 9, 12


def finale(functions: dict, out: Path) -> None:
    """A network for real pictures: checked, searched for by the student's functions and by the engine, watched, tested once."""
    from minicnn.runtime.blas import one_blas_thread
    from minicnn.runtime.workers import get_threads

    data = Pictures()
    print(f"{data.what}: {FINALE_TRAIN} to train on, {FINALE_VAL} to choose by, {FINALE_TEST} to test once, at the end.")
    print(before_training(functions, data))

    ranges = {name: LogUniform(*ends) for name, ends in SPACE.items()}
    by_engine = Study(data.accuracy, ranges, seed=SEARCH_SEED, threads=get_threads(), progress=False)
    by_engine.coarse_to_fine(TRIALS, BUDGETS, SHARE)
    with one_blas_thread():
        yours = coarse_to_fine(functions, data.accuracy)
    print_side_by_side(yours, by_engine.trials)
    best = yours[int(functions["best_trial"](yours))]
    ends = {name: functions["near_an_end"](*SPACE[name], best["settings"][name]) for name in SPACE}
    print(
        f"best by validation: {words(best['settings'])}, of the first ranges {', '.join(f'{n} {e}' for n, e in ends.items())}"
    )

    halving = Study(data.accuracy, ranges, seed=SEARCH_SEED + 1, threads=get_threads(), progress=False)
    halving.successive_halving(CANDIDATES, 1, 3)
    candidates = [{"settings": trial.settings, "seed": trial.seed} for trial in halving.trials if trial.round == 0]
    asked: dict[tuple[int, int], float] = {}

    def of_candidate(candidate: dict, budget: int) -> float:
        with one_blas_thread():
            value = data.accuracy(candidate["settings"], budget, candidate["seed"])
        asked[candidates.index(candidate), budget] = value
        return value

    rungs, winner = functions["successive_halving"](of_candidate, candidates, 1, 3)
    schedule_of = functions["halving_schedule"](CANDIDATES, 1, 3)
    epochs, in_full = sum(int(n * budget) for n, budget in schedule_of), CANDIDATES * int(schedule_of[-1][1])
    same = words(candidates[winner]["settings"]) == words(halving.best.settings)
    print(
        f"successive halving: rungs {', '.join(str(len(rung)) for rung in rungs)}, {epochs} epochs in place of {in_full};",
        end=" ",
    )
    print(f"winner {words(candidates[winner]['settings'])}, {'the same as' if same else 'not'} the engine's")

    runs = {factor: data.curves(best["settings"], factor, functions) for factor in (1 / 300, 1, 30)}
    found = {factor: functions["diagnose"](*curve) for factor, (curve, _, _) in runs.items()}
    for factor, (_, ratios, dead) in runs.items():
        rate = factor * best["settings"]["learning_rate"]
        dead_words = "it broke down" if math.isnan(dead) else f"{dead:.0%} of the hidden units dead at the end"
        print(f"rate {rate:<8.2g} first step {min(ratios):.0e} to {max(ratios):.0e} of the weights, {dead_words};", end=" ")
        print(f"your diagnosis: {found[factor]}")
    test = data.tested(best)
    print(f"tested once: {test:.1%} right (validation said {best['val_acc']:.1%} after {best['budget']} epochs).", end=" ")
    print(f"Figure: {out / 'finale.png'}")
    draw_finale(out, yours, by_engine.trials, asked, rungs, runs, found, best)


class Pictures:
    """Training, validation and test pictures, and what a small network makes of them with some settings."""

    def __init__(self):
        from minicnn.course.workbench import drawn_digits, find_data
        from minicnn.data import load_fashion_mnist

        rng, count = np.random.default_rng(6), FINALE_TRAIN + FINALE_VAL
        if folder := find_data("fashion-mnist"):
            x, y, x_test, y_test = load_fashion_mnist(folder)
            self.what = "Pictures of clothes"
        else:
            (x, y), (x_test, y_test) = drawn_digits(count, rng), drawn_digits(FINALE_TEST, rng)
            x, x_test = (np.clip(p + rng.normal(0, 30, p.shape), 0, 255) for p in (x, x_test))
            self.what = "Digits of a font, with noise"
        chosen, tested = rng.permutation(len(x))[:count], rng.permutation(len(x_test))[:FINALE_TEST]
        x, y, x_test, y_test = x[chosen], y[chosen], x_test[tested], y_test[tested]
        mean, std = x[:FINALE_TRAIN].mean(), x[:FINALE_TRAIN].std()  # the others have no say in these, either
        x, x_test = (((p[:, None] - mean) / std).astype(np.float32) for p in (x, x_test))
        self.train, self.val = (x[:FINALE_TRAIN], y[:FINALE_TRAIN]), (x[FINALE_TRAIN:], y[FINALE_TRAIN:])
        self._test = x_test, y_test

    def network(self, seed: int) -> Sequential:
        rng = np.random.default_rng(seed)
        return Sequential(
            conv=Conv2d(1, 8, 5, stride=2, pad=2, rng=rng),
            relu1=ReLU(),
            pool=MaxPool2d(2),
            flatten=Flatten(),
            hidden=Linear(8 * 7 * 7, 50, initializer=msra, rng=rng),
            relu2=ReLU(),
            scores=Linear(50, 10, initializer=normal(0.01), rng=rng),
        )

    def trainer(self, settings: dict, epochs: int, seed: int, callbacks: Sequence = ()) -> Trainer:
        net = self.network(seed)
        optimizer = SGD(net.parameters(), settings["learning_rate"], weight_decay=settings["weight_decay"])
        options = {"epochs": epochs, "batch_size": FINALE_BATCH, "seed": seed, "callbacks": callbacks, "progress": False}
        return Trainer(net, SoftmaxCrossEntropy(), optimizer, **options)

    def accuracy(self, settings: dict, budget: int, seed: int) -> float:
        """The objective: of the validation pictures, after the best of so many epochs."""
        try:
            return self.trainer(settings, budget, seed).fit(*self.train, *self.val).best["val_accuracy"]
        except TrainingError as error:
            raise FloatingPointError(str(error)) from error

    def curves(self, settings: dict, factor: float, functions: dict) -> tuple[tuple, list[float], float]:
        """At so many times the rate: what diagnose() takes, the ratios of the first step's layers, dead hidden units."""
        settings = settings | {"learning_rate": factor * settings["learning_rate"]}
        first_step = FirstStep()
        trainer = self.trainer(settings, LAST_EPOCHS // 2, 1, [first_step])
        net, (x, y) = trainer.model, self.train
        first = SoftmaxCrossEntropy().forward(net.forward(x), y)
        with suppress(TrainingError):
            trainer.fit(x, y, *self.val)
        epochs = trainer.history.epochs
        loss, train, val = (np.array([e[name] for e in epochs]) for name in ("loss", "train_accuracy", "val_accuracy"))
        broke_down = len(epochs) < trainer.epochs
        if broke_down:
            loss, train, val = np.append(loss, math.nan), np.append(train, 0.1), np.append(val, 0.1)
        ratios = functions["update_ratios"](first_step.before, first_step.after)
        hidden = net.split("relu2")[0].eval().forward(x)
        dead = math.nan if broke_down else float(functions["dead_units"](hidden))
        return (first, loss, train, val), list(ratios.values()), dead

    def tested(self, best: dict) -> float:
        """Of the test pictures, with the settings that were chosen: trained for longer, stopped by validation."""
        trainer = self.trainer(best["settings"], LAST_EPOCHS, best["seed"])
        trainer.fit(*self.train, *self.val)
        return trainer.evaluate(*self._test)[1]


class FirstStep(Callback):
    """Keeps the weights of before and after the first step."""

    def on_step_begin(self, run: Run) -> None:
        if run.steps_done == 0:
            self.before = {name: p.value.astype(np.float64) for name, p in run.model.parameters().items()}

    def on_step_end(self, run: Run) -> None:
        if run.steps_done == 1:
            self.after = {name: p.value.astype(np.float64) for name, p in run.model.parameters().items()}


def before_training(functions: dict, data: Pictures) -> str:
    net, lam = data.network(0), 0.01
    loss = SoftmaxCrossEntropy().forward(net.forward(data.train[0]), data.train[1])
    penalty = L2(net.parameters(), lam).value()
    weights = [p.value.astype(np.float64) for p in net.parameters().values() if p.decays]
    expected = functions["expected_initial_loss"]("softmax", 10, weights, lam)
    verdict = functions["verdict_on_initial_loss"](loss + penalty, penalty, math.log(10))
    got = f"expected {expected:.3f}, got {loss + penalty:.3f}: {verdict}"
    return f"Before the first step, with an L2 penalty of strength {lam}: {got}"


def coarse_to_fine(functions: dict, objective: Callable) -> list[dict]:
    """Two rounds of the student's random search, the second in ranges that the best of the first is in the middle of."""
    space, trials = dict(SPACE), []
    for k, budget in enumerate(BUDGETS):
        numbers = range(k * TRIALS, (k + 1) * TRIALS)
        found = functions["random_search"](objective, space, numbers, budget, SEARCH_SEED)
        best = found[int(functions["best_trial"](found))]["settings"]
        space = {name: functions["narrowed"](*ends, best[name], SHARE) for name, ends in space.items()}
        trials += found
    return trials


def words(settings: dict) -> str:
    return ", ".join(f"{name} {settings[name]:.3e}" for name in SPACE)


def print_side_by_side(yours: list[dict], engine: Sequence) -> None:
    print(f"{'':>7} {'your random search':<44}   {'the engine, same budget'}")
    for i, (mine, trial) in enumerate(zip(yours, engine, strict=True)):
        theirs = math.nan if trial.value is None else trial.value
        print(
            f"({i % TRIALS + 1} / {TRIALS}) val_acc {mine['val_acc']:.4f}, lr {mine['settings']['learning_rate']:.3e},", end=" "
        )
        print(
            f"reg {mine['settings']['weight_decay']:.3e}   val_acc {theirs:.4f}, lr {trial.settings['learning_rate']:.3e},",
            end=" ",
        )
        print(f"reg {trial.settings['weight_decay']:.3e}")


def draw_finale(out: Path, yours, engine, asked, rungs, runs, found, best) -> None:
    from matplotlib.figure import Figure  # slow to load, and no check needs it

    blue, orange, green, grey = "#2a6fbb", "#d9722b", "#3b8f4f", "#8a8a8a"
    figure = Figure(figsize=(12, 3.6), dpi=110, layout="tight")
    left, middle, right = figure.subplots(1, 3)
    for k, (color, budget) in enumerate(zip((blue, orange), BUDGETS, strict=True)):
        part = slice(k * TRIALS, (k + 1) * TRIALS)
        theirs = [(t.settings["learning_rate"], t.value) for t in engine[part] if t.value is not None]
        left.plot(*zip(*theirs, strict=True), "o", ms=11, mfc="none", color=grey, label=None if k else "the engine's")
        label = f"yours, {budget} epoch{'s' * (budget > 1)}"
        left.plot([t["settings"]["learning_rate"] for t in yours[part]], [t["val_acc"] for t in yours[part]], "o", color=color,
                  ms=5, label=label)  # fmt: skip
    left.axvline(best["settings"]["learning_rate"], color=green, lw=1, ls="--")
    left.set(xscale="log", xlabel="learning rate", ylabel="validation accuracy", title="Random search, coarse to fine")
    left.legend(frameon=False, fontsize=8, loc="lower center")
    for i in rungs[0]:
        points = sorted((budget, value) for (place, budget), value in asked.items() if place == i)
        if points:
            middle.plot(*zip(*points, strict=True), "o-", color=blue if i in rungs[-1] else grey, ms=4)
    middle.set(xscale="log", xticks=[1, 3, 9], xlabel="epochs", title="Successive halving")
    middle.set_xticklabels(["1", "3", "9"])
    middle.minorticks_off()
    for (factor, ((first, losses, _, _), _, _)), color in zip(runs.items(), (grey, blue, orange), strict=True):
        label = f"rate {factor * best['settings']['learning_rate']:.1e}: {found[factor]}"
        right.plot(range(len(losses) + 1), [first, *losses], "o-", ms=3, color=color, label=label)
    right.set(xlabel="epoch", ylabel="training loss", ylim=(0, 3.2), title="Your diagnoses")
    right.legend(frameon=False, fontsize=8)
    for ax in (left, middle, right):
        ax.spines[["top", "right"]].set_visible(False)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "finale.png")


FINALE = finale

TASKS = [
    Task(
        "the loss before the first step",
        initial_losses,
        ("expected_initial_loss", "verdict_on_initial_loss"),
        INITIAL_LOSS_SLIPS,
        (
            "Put s = 0 into each of the three losses, on paper. None of them depends on which class is the right one then.",
            "Softmax: the probability of the right class is 1/C. Hinge: each of C - 1 wrong classes costs max(0, 0 - 0 + 1). "
            "Sigmoids: each answer has the probability 1/2. For the verdict, take the penalty off first; and what does a "
            "comparison with NaN say?",
            "chance is math.log(C), C - 1 or C * math.log(2); add lam / 2 * sum((w * w).sum() for w in weights). "
            "For the verdict ask math.isfinite(loss) first, then compare loss - penalty with 2 * chance and chance / 3.",
        ),
        2,
    ),
    Task(
        "what the layers do",
        layers,
        ("update_ratios", "dead_units"),
        LAYER_SLIPS,
        (
            "Two lengths for each parameter, and one number of both. For the dead units: over which axes must everything be 0?",
            "The length of any array is np.sqrt((w * w).sum()), however many axes it has. The units are the second axis of y, "
            "in both of its forms, so look along all axes but that one.",
            "np.linalg.norm((after[name] - w).ravel()) / np.linalg.norm(w.ravel()), if w.any(). And (y == 0).all(axis=0) of "
            "(N, D), (y == 0).all(axis=(0, 2, 3)) of (N, C, H, W); then the mean.",
        ),
        2,
    ),
    Task(
        "reading the curves",
        curves,
        ("diagnose",),
        CURVE_SLIPS,
        (
            "Five rules, one after another, each with a return. Which of them look at all epochs, and which at the last one?",
            "NaN makes every comparison false, so it has to be asked for: np.isfinite(losses).all(). Thresholds of losses are "
            "shares of first, that of the accuracies is a difference.",
            "if not np.isfinite(losses).all() or losses.max() > 3 * first; if losses[-1] - losses.min() > 0.1 * first; "
            "if losses[-1] > 0.8 * first; if train_accuracy[-1] - val_accuracy[-1] > 0.1.",
        ),
    ),
    Task(
        "random search, by factors",
        searching,
        ("log_uniform", "random_search"),
        SEARCH_SLIPS,
        (
            "By which factor is high larger than low? At u = 1/2 the value has half of that way behind it, in the logarithm.",
            "low * factor ** u, which is the same as going to the logarithm, uniformly along, and back. In the search go "
            "through the docstring line by line: the order in which the generator is asked decides what it gives.",
            "low * (high / low) ** u. For i in numbers: rng = np.random.default_rng([seed, i]), then int(rng.integers(2**31)), "
            "then {name: log_uniform(*space[name], rng.random()) for name in sorted(space)}; try the objective, except "
            "FloatingPointError: math.nan.",
        ),
        3,
    ),
    Task(
        "choose, and look more closely",
        choosing,
        ("best_trial", "narrowed", "near_an_end"),
        CHOICE_SLIPS,
        (
            "Who competes? Leave out those who have failed, then those with less than the largest budget of the rest. For the "
            "ranges, draw the old one as a line from 0 to 1, on the log scale.",
            "Compare (budget, val_acc) as a pair: the first one decides, and the second where it is equal. A range from start "
            "to start + share has to keep 0 <= start <= 1 - share. Values come from places as in log_uniform.",
            'max(those, key=lambda i: (trials[i]["budget"], trials[i]["val_acc"], -i)) over the places whose val_acc is not '
            "NaN. start = min(max(p - share / 2, 0), 1 - share); low * (high / low) ** start, and the same of start + share.",
        ),
        3,
    ),
    Task(
        "successive halving",
        halving,
        ("halving_schedule", "successive_halving"),
        HALVING_SLIPS,
        (
            "Write down the rungs of 11 candidates with eta = 3 by hand. What decides who is in rung 1, and who is in rung 2?",
            "n // eta**i candidates with least_budget * eta**i, until there are none. In each rung collect the values of those "
            "who have succeeded in a new dict, rank its keys by them, the highest first, and cut the list at the next count. "
            "sorted() is stable: with reverse=True equal ones stay in the order in which they came.",
            "for count, budget in halving_schedule(...): rung = sorted(ranked[:count]); values = {i: objective(candidates[i], "
            "budget)} for those that do not raise; ranked = sorted(values, key=values.get, reverse=True). The winner is "
            "ranked[0] in the end.",
        ),
        3,
    ),
]
