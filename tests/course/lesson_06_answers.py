"""Answers to the tasks of lesson 6: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` lists (what it does, functions in place of the solution's, title of the slip that should be named or None);
``RIGHT[task]`` (how, functions).
"""

import bisect
import heapq
import itertools
import math
import statistics
from contextlib import suppress

import numpy as np

from minicnn.losses import SoftmaxCrossEntropy, SVMHinge
from minicnn.search import LogUniform
from minicnn.search import halving_schedule as engine_schedule

WRONG, RIGHT = {}, {}

# ---- 1: the loss before the first step


def loss_branches(kind, C, weights, lam):
    if kind == "softmax":
        loss = -math.log(1 / C)
    elif kind == "hinge":
        loss = sum(max(0, 0 - 0 + 1) for j in range(C) if j != 0)
    else:
        loss = -sum(math.log(0.5) for _ in range(C))
    for w in weights:
        for value in w.flat:
            loss += lam / 2 * value**2
    return loss


def loss_by_engine(kind, C, weights, lam):
    scores, right = np.zeros((1, C)), np.array([C // 2])
    penalty = 0.5 * lam * sum(np.vdot(w, w) for w in weights)
    if kind == "softmax":
        return SoftmaxCrossEntropy().forward(scores, right) + penalty
    if kind == "hinge":
        return SVMHinge().forward(scores, right) + penalty
    return np.log1p(np.exp(np.zeros(C))).sum() + penalty


def loss_einsum(kind, C, weights, lam):
    squares = [np.einsum("i,i", w.ravel(), w.ravel()) for w in weights]
    table = {"softmax": np.log(C), "hinge": float(C - 1), "sigmoids": np.log(2.0**C)}
    return np.array(table[kind] + np.sum(squares) * lam / 2)


def loss_one_vector(kind, C, weights, lam):
    flat = np.concatenate([np.zeros(0), *(w.ravel() for w in weights)])
    match kind:
        case "softmax":
            chance = np.logaddexp.reduce(np.zeros(C))
        case "hinge":
            chance = np.maximum(0, np.ones(C)).sum() - 1
        case _:
            chance = C * np.logaddexp(0, 0)
    return chance + lam * np.linalg.norm(flat) ** 2 / 2


def loss_changed(kind=None, chance=None, penalty=None):
    """One kind's chance, or the penalty, in other words; the rest as in loss_branches()."""

    def expected_initial_loss(k, C, weights, lam):
        of_data = chance(C) if k == kind else loss_branches(k, C, [], 0.0)
        of_weights = penalty(weights, lam) if penalty else 0.5 * lam * sum(np.sum(np.square(w)) for w in weights)
        return of_data + of_weights

    return {"expected_initial_loss": expected_initial_loss}


def squared_at_the_end(weights, lam):
    total = 0.0
    for w in weights:
        total += np.linalg.norm(w.ravel())
    return lam / 2 * total


def overwritten(weights, lam):
    penalty = 0.0
    for w in weights:
        penalty = 0.5 * lam * np.sum(w**2)
    return penalty


def returned_in_the_loop(weights, lam):
    for w in weights:
        return lam / 2 * float((w**2).sum())
    return 0.0


def norm_of_everything(weights, lam):
    return lam / 2 * np.sqrt(sum(np.vdot(w, w) for w in weights))


def base_two(kind, C, weights, lam):
    penalty = lam * sum((w**2).sum() for w in weights) / 2
    return {"softmax": -math.log2(1 / C), "hinge": C - 1.0, "sigmoids": C * -math.log2(0.5)}[kind] + penalty


def stacked(weights, lam):
    return lam / 2 * np.sum(np.hstack([w.reshape(-1) for w in weights]) ** 2)


def verdict_nested(loss, penalty, chance):
    if np.isnan(loss) or np.isinf(loss):
        return "not finite"
    ratio = (loss - penalty) / chance
    if ratio <= 2:
        if 3 * ratio < 1 and 3 * (loss - penalty) < chance:
            return "too low"
        return "fine"
    return "too high"


def verdict_between(loss, penalty, chance):
    of_data = loss - penalty
    if chance / 3 <= of_data <= 2 * chance:
        return "fine"
    if of_data != of_data or abs(of_data) == float("inf"):
        return "not finite"
    return "too low" if of_data < chance else "too high"


def verdict_bisect(loss, penalty, chance):
    if not -math.inf < loss < math.inf:
        return "not finite"
    data = loss - penalty
    if data in (chance / 3, 2 * chance):
        return "fine"
    return ("too low", "fine", "too high")[bisect.bisect([chance / 3, 2 * chance], data)]


def verdict_changed(loss=lambda loss, penalty: loss - penalty, bad=lambda loss: not np.isfinite(loss), tests=None, names=None):
    def verdict_on_initial_loss(total, penalty, chance):
        if bad(total):
            return "not finite"
        of_data = loss(total, penalty)
        for name, test in (tests or {}).items():
            if test(of_data, chance):
                return name
        verdict = "fine" if chance / 3 <= of_data <= chance * 2 else "too low" if of_data < chance else "too high"
        if of_data != of_data:
            verdict = "fine"
        return (names or {}).get(verdict, verdict)

    return {"verdict_on_initial_loss": verdict_on_initial_loss}


def verdict_totals(loss, penalty, chance):
    expected = chance + penalty
    if not math.isfinite(loss):
        return "not finite"
    if loss / expected > 2:
        return "too high"
    return "fine" if 3 * loss >= expected else "too low"


def verdict_without_words(loss, penalty, chance):
    return {"too high": 1, "too low": -1}.get(verdict_nested(loss, penalty, chance), 0)


HALF = "The half of the penalty is missing"
WRONG[1] = [
    ("log2 in both", {"expected_initial_loss": base_two}, "The logarithm is to another base than e"),
    (
        "log2 of C",
        loss_changed("softmax", lambda C: -math.log2(1 / C)),
        "The logarithm of the softmax is to another base than e",
    ),
    ("log10", loss_changed("softmax", lambda C: math.log(C, 10)), "The logarithm of the softmax is to another base than e"),
    ("a loss below 0", loss_changed("softmax", lambda C: np.log(1 / C)), "The softmax has the sign of the logarithm wrong"),
    (
        "the probability",
        loss_changed("softmax", lambda C: (np.exp(np.zeros(C)) / C).mean()),
        "The softmax has the probability where the loss belongs",
    ),
    ("others only", loss_changed("softmax", lambda C: np.log(np.ones(C - 1).sum())), "The softmax has a class too few"),
    (
        "a sum over all",
        loss_changed("hinge", lambda C: sum(max(0, 1) for _ in range(C))),
        "The hinge counts the right class as well",
    ),
    ("no margin", loss_changed("hinge", lambda C: np.maximum(0, np.zeros(C)).sum()), "The hinge forgets the margin"),
    ("mean", loss_changed("hinge", lambda C: np.ones(C - 1).mean()), "The hinge is a mean over the wrong classes"),
    ("mean over C", loss_changed("hinge", lambda C: 1 - 1 / C), "The hinge is divided by C"),
    ("everything is log C", loss_changed("hinge", lambda C: -np.log(1 / C)), "The hinge has the loss of the softmax"),
    ("one sigmoid", loss_changed("sigmoids", lambda C: -math.log(0.5)), "The sigmoids are counted as a single one"),
    ("softmax for sigmoids", loss_changed("sigmoids", lambda C: -np.log(1 / C)), "The sigmoids have the loss of the softmax"),
    (
        "1/C for each",
        loss_changed("sigmoids", lambda C: -sum(np.log(1 / C) for _ in range(C))),
        "The sigmoids take C where the two answers of each are meant",
    ),
    (
        "sum of log p",
        loss_changed("sigmoids", lambda C: C * math.log(0.5)),
        "The sigmoids have the sign of the logarithm wrong",
    ),
    ("lam w^2", loss_changed(penalty=lambda ws, lam: lam * sum(np.vdot(w, w) for w in ws)), HALF),
    (
        "lasso",
        loss_changed(penalty=lambda ws, lam: lam / 2 * sum(np.maximum(w, -w).sum() for w in ws)),
        "The penalty has the sum of |w|",
    ),
    (
        "square of the sum",
        loss_changed(penalty=lambda ws, lam: 0.5 * lam * sum(np.square(np.sum(w)) for w in ws)),
        "The penalty adds up entries before it squares them",
    ),
    ("norms", loss_changed(penalty=squared_at_the_end), "The penalty has lengths, not their squares"),
    (
        "one norm",
        loss_changed(penalty=norm_of_everything),
        "The penalty has the length of all weights together, not its square",
    ),
    (
        "mean squares",
        loss_changed(penalty=lambda ws, lam: sum(lam * np.square(w).sum() / w.size / 2 for w in ws)),
        "The penalty has means over the entries of each array",
    ),
    (
        "mean over layers",
        loss_changed(penalty=lambda ws, lam: lam / 2 * (statistics.fmean(np.vdot(w, w) for w in ws) if ws else 0)),
        "The penalty has the mean over all arrays",
    ),
    ("return in the loop", loss_changed(penalty=returned_in_the_loop), "The penalty has only the first array"),
    ("overwritten", loss_changed(penalty=overwritten), "The penalty has only the last array"),
    ("no lam", loss_changed(penalty=lambda ws, lam: sum((w**2).sum() for w in ws) / 2), "The penalty is not multiplied by lam"),
    ("loss of the data", {"expected_initial_loss": lambda k, C, ws, lam: loss_branches(k, C, [], lam)}, "There is no penalty"),
    ("minus", loss_changed(penalty=lambda ws, lam: -lam * sum((w**2).sum() for w in ws) / 2), "The penalty is subtracted"),
    ("hstack of nothing", loss_changed(penalty=stacked), "An empty list of weights is an error"),
    (
        "lam squared",
        loss_changed(penalty=lambda ws, lam: sum(np.square(lam * w).sum() / 2 for w in ws)),
        "The penalty has the square of lam",
    ),
    ("penalty counts", verdict_changed(lambda loss, penalty: loss), "The penalty is taken for loss of the data"),
    ("penalty added", verdict_changed(lambda loss, penalty: np.add(loss, penalty)), "The penalty is added once more"),
    (
        "against chance + penalty",
        {"verdict_on_initial_loss": verdict_totals},
        "The thresholds are of loss and penalty together",
    ),
    ("no question for NaN", verdict_changed(bad=lambda loss: False), "NaN and infinity go unnoticed"),
    ("only inf", verdict_changed(bad=lambda loss: loss == float("inf")), "NaN goes unnoticed"),
    ("only NaN", verdict_changed(bad=lambda loss: loss != loss), "Infinity goes unnoticed"),
    ("swapped", verdict_changed(names={"too low": "too high", "too high": "too low"}), "The words are the wrong way round"),
    ("a half", verdict_changed(tests={"too low": lambda data, c: data < 0.5 * c}), "The lower threshold is half of chance"),
    (
        "below is too low",
        verdict_changed(tests={"too low": lambda data, c: data / c < 1}),
        "Every loss below chance is called too low",
    ),
    (
        "above is too high",
        verdict_changed(tests={"too high": lambda data, c: data - c > 0}),
        "Every loss above chance is called too high",
    ),
    (
        "three times",
        verdict_changed(tests={"too high": lambda data, c: data / 3 > c, "fine": lambda data, c: data > c}),
        "The upper threshold is three times chance",
    ),
    (
        "two more",
        verdict_changed(tests={"too high": lambda data, c: data - c > 2, "fine": lambda data, c: data > c}),
        "The thresholds are differences, not factors",
    ),
    (
        "at least twice",
        verdict_changed(tests={"too high": lambda data, c: not data < 2 * c and not math.isnan(data)}),
        "A loss of exactly twice the chance is called too high",
    ),
    (
        "at most a third",
        verdict_changed(tests={"too low": lambda data, c: data * 3 <= c}),
        "A loss of exactly a third of chance is called too low",
    ),
    ("numbers for words", {"verdict_on_initial_loss": verdict_without_words}, None),
]
RIGHT[1] = [
    ("branches and loops", {"expected_initial_loss": loss_branches, "verdict_on_initial_loss": verdict_nested}),
    ("the engine's losses", {"expected_initial_loss": loss_by_engine, "verdict_on_initial_loss": verdict_between}),
    ("einsum, a 0-d array", {"expected_initial_loss": loss_einsum, "verdict_on_initial_loss": verdict_bisect}),
    ("one vector of all weights", {"expected_initial_loss": loss_one_vector}),
]

# ---- 2: what the layers do


def ratios_loop(before, after):
    ratios = {}
    for name in before:
        step = size = 0.0
        for old, new in zip(before[name].flat, after[name].flat, strict=True):
            step += (new - old) ** 2
            size += old**2
        if size > 0:
            ratios[name] = math.sqrt(step) / math.sqrt(size)
    return ratios


def ratios_norm(before, after):
    found = {}
    for name, old in before.items():
        size = np.linalg.norm(old.ravel())
        if size == 0:
            continue
        found[name] = np.linalg.norm(np.subtract(after[name], old).ravel()) / size
    return found


def ratios_rms(before, after):
    """Of root mean squares, whose number of entries cancels; from the last name to the first."""
    names = [name for name in reversed(list(before)) if np.count_nonzero(before[name])]
    return {n: np.sqrt(np.mean((after[n] - before[n]) ** 2) / np.mean(before[n] ** 2)) for n in names}


def ratios_einsum(before, after):
    def square(w):
        return np.einsum("i,i->", w.ravel(), w.ravel())

    return {n: np.array((square(after[n] - w) / square(w)) ** 0.5) for n, w in before.items() if square(w) != 0}


def ratios_changed(ratio, keep=lambda w: np.any(w != 0), otherwise=None):
    def update_ratios(before, after):
        result = {}
        for name in before:
            if keep(before[name]):
                result[name] = ratio(before[name].ravel(), after[name].ravel(), before[name], after[name])
            elif otherwise is not None:
                result[name] = otherwise
        return result

    return {"update_ratios": update_ratios}


def usual_ratio(w, v, *arrays):
    return np.linalg.norm(v - w) / np.linalg.norm(w)


def ratio_over_everything(before, after):
    old, new = (np.concatenate([part[name].ravel() for name in before]) for part in (before, after))
    return dict.fromkeys([name for name in before if before[name].any()], np.linalg.norm(new - old) / np.linalg.norm(old))


def ratio_with_numpy_infinity(before, after):
    with np.errstate(all="ignore"):
        return {n: np.divide(np.linalg.norm((after[n] - w).ravel()), np.linalg.norm(w.ravel())) for n, w in before.items()}


def ratio_with_epsilon(eps):
    def update_ratios(before, after):
        return {n: np.sqrt(np.sum((after[n] - before[n]) ** 2)) / (np.sqrt(np.sum(before[n] ** 2)) + eps) for n in before}

    return {"update_ratios": update_ratios}


def row_ratios(w, v, old, new):
    rows = [np.linalg.norm((b - a).ravel()) / np.linalg.norm(a.ravel()) if a.ndim else abs(b - a) / abs(a) for a, b in
            zip(old, new, strict=True)]  # fmt: skip
    return float(np.mean(rows))


def spectral(w, v, old, new):
    if old.ndim == 2:
        return np.linalg.svd(new - old, compute_uv=False)[0] / np.linalg.svd(old, compute_uv=False)[0]
    return usual_ratio(w, v)


def in_place(before, after):
    found = {}
    for name, w in before.items():
        size = np.sqrt((w**2).sum())
        w -= after[name]
        if size:
            found[name] = np.sqrt((w**2).sum()) / size
    return found


def dead_loop(y):
    dead = 0
    for unit in range(y.shape[1]):
        alive = False
        for sample in range(len(y)):
            alive = alive or np.any(y[sample, unit] > 0)
        dead += not alive
    return dead / y.shape[1]


def dead_sums(y):
    """Nothing is below 0, so that only zeros add up to 0."""
    sums = y.sum(axis=(0, 2, 3)) if y.ndim == 4 else y.sum(axis=0)
    return np.count_nonzero(sums == 0) / len(sums)


def dead_moved(y):
    units = np.moveaxis(y, 1, 0).reshape(y.shape[1], -1)
    return np.array(1 - np.mean(units.max(axis=1) > 0))


def dead_transposed(y):
    return sum(not unit.any() for unit in y.swapaxes(0, 1)) / y.shape[1]


def dead_changed(function):
    return {"dead_units": function}


def flat_units(y):
    return y.reshape(len(y), -1)


def dead_in_some_sample(y):
    count = 0
    for unit in range(y.shape[1]):
        count += any(not y[n, unit].any() for n in range(len(y)))
    return count / y.shape[1]


def zero_somewhere(y):
    return float(np.mean([(y[:, unit] == 0).any() for unit in range(y.shape[1])]))


def dead_nearly(y):
    return float(np.mean([np.allclose(y[:, unit], 0) for unit in range(y.shape[1])]))


ZERO = "A parameter that was all 0 has "
WRONG[2] = [
    ("squares", ratios_changed(lambda w, v, *_: np.vdot(v - w, v - w) / np.vdot(w, w)), "The root is missing in the lengths"),
    (
        "root above only",
        ratios_changed(lambda w, v, *_: np.linalg.norm(v - w) / np.sum(w**2)),
        "The root is missing in the denominator",
    ),
    (
        "maximum norm",
        ratios_changed(lambda w, v, *_: np.linalg.norm(v - w, np.inf) / np.linalg.norm(w, np.inf)),
        "Largest entries are compared, not lengths",
    ),
    (
        "mean of |.|",
        ratios_changed(lambda w, v, *_: np.abs(v - w).mean() / np.abs(w).mean()),
        "Sums of absolute values are compared, not lengths",
    ),
    (
        "norm with axis",
        ratios_changed(row_ratios),
        "It is the mean of the ratios of single units",
    ),
    ("norm of order 2", ratios_changed(spectral), "The matrix norm is not the length"),
    (
        "over the new ones",
        ratios_changed(lambda w, v, *_: np.sqrt(np.sum((v - w) ** 2) / np.sum(v**2))),
        "The step is divided by the new weights",
    ),
    (
        "upside down",
        ratios_changed(lambda w, v, *_: np.linalg.norm(w) / np.linalg.norm(v - w) if np.any(v != w) else float("inf")),
        "The ratio is upside down",
    ),
    (
        "difference of norms",
        ratios_changed(lambda w, v, *_: np.abs(np.linalg.norm(w) - np.linalg.norm(v)) / np.linalg.norm(w)),
        "Lengths are subtracted, not weights",
    ),
    (
        "new over old",
        ratios_changed(lambda w, v, *_: np.sqrt(np.vdot(v, v) / np.vdot(w, w))),
        "It is the ratio of the new length to the old one",
    ),
    (
        "step only",
        ratios_changed(lambda w, v, *_: np.linalg.norm(v - w)),
        "The step is not divided by the length of the weights",
    ),
    ("everything together", {"update_ratios": ratio_over_everything}, "All parameters together have one ratio"),
    ("0 for new biases", ratios_changed(usual_ratio, otherwise=0.0), ZERO + "a ratio of 0"),
    ("x / 0", {"update_ratios": ratio_with_numpy_infinity}, ZERO + "a ratio that is infinite"),
    ("NaN for new biases", ratios_changed(usual_ratio, otherwise=np.nan), ZERO + "the ratio NaN"),
    ("eps", ratio_with_epsilon(1e-8), "A parameter that was all 0 gets a ratio by a small number in the denominator"),
    ("smaller eps", ratio_with_epsilon(1e-12), "A parameter that was all 0 gets a ratio by a small number in the denominator"),
    ("all() for any()", ratios_changed(usual_ratio, keep=np.all), "A parameter with a single 0 in it is left out"),
    (
        "only those that moved",
        {"update_ratios": lambda before, after: {n: r for n, r in ratios_norm(before, after).items() if r > 0}},
        "A parameter that did not move is left out",
    ),
    (
        "weights only",
        {"update_ratios": lambda before, after: {n: r for n, r in ratios_loop(before, after).items() if before[n].ndim >= 2}},
        "Parameters with one axis are left out",
    ),
    ("sparsity", dead_changed(lambda y: 1 - np.count_nonzero(y) / y.size), "It is the share of zeros among all outputs"),
    ("alive", dead_changed(lambda y: np.mean([u.any() for u in y.swapaxes(0, 1)])), "It is the share of units that are alive"),
    ("a count", dead_changed(lambda y: float(round(dead_loop(y) * y.shape[1]))), "It counts dead units and gives no share"),
    ("any for all", dead_changed(zero_somewhere), "A unit that is 0 for one of the samples counts as dead"),
    (
        "samples",
        dead_changed(lambda y: np.mean(flat_units(y).sum(axis=1) == 0)),
        "It is the share of samples for which all units are 0",
    ),
    (
        "pixels",
        dead_changed(lambda y: np.mean(flat_units(y).max(axis=0) == 0)),
        "Each pixel of a channel counts as a unit of its own",
    ),
    (
        "maps",
        dead_changed(
            lambda y: np.mean(y.reshape(*y.shape[:2], -1).max(axis=2) == 0) if y.ndim > 2 else (y.max(axis=0) == 0).mean()
        ),
        "A channel counts for each sample by itself",
    ),
    (
        "the last axis",
        dead_changed(lambda y: np.mean(~y.reshape(-1, y.shape[-1]).any(axis=0))),
        "Columns of the picture are taken for units",
    ),
    ("first sample", dead_changed(lambda y: np.mean([not u.any() for u in y[0]])), "Only the first sample is looked at"),
    ("allclose", dead_changed(dead_nearly), "Units that are nearly 0 count as dead"),
    ("weights changed in place", {"update_ratios": in_place}, "An argument is changed"),
]
RIGHT[2] = [
    ("loops", {"update_ratios": ratios_loop, "dead_units": dead_loop}),
    ("norms; sums", {"update_ratios": ratios_norm, "dead_units": dead_sums}),
    ("root mean squares; moved axes", {"update_ratios": ratios_rms, "dead_units": dead_moved}),
    ("einsum, 0-d arrays; swapped axes", {"update_ratios": ratios_einsum, "dead_units": dead_transposed}),
]

# ---- 3: reading the curves


def curves_branches(first, losses, train_accuracy, val_accuracy):
    for loss in losses:
        if math.isnan(loss) or math.isinf(loss) or loss / first > 3:
            return "diverged"
    if losses[-1] > losses.min() + first / 10:
        return "too high"
    elif losses[-1] / first > 0.8:
        return "not learning"
    elif train_accuracy[-1] > val_accuracy[-1] + 0.1:
        return "overfitting"
    return "fine"


def curves_relative(first, losses, train_accuracy, val_accuracy):
    relative = np.asarray(losses) / first
    if not np.all(relative <= 3):  # false for NaN as well
        return "diverged"
    last = relative[-1]
    gap = (train_accuracy - val_accuracy)[-1]
    tests = [last - np.sort(relative)[0] > 0.1, last > 0.8, gap > 0.1, True]
    return ["too high", "not learning", "overfitting", "fine"][tests.index(True)]


def curves_backwards(first, losses, train_accuracy, val_accuracy):
    """From the weakest rule to the strongest; later ones write over earlier ones."""
    answer = "fine"
    if train_accuracy[-1] - val_accuracy[-1] > 0.1:
        answer = "overfitting"
    if losses[-1] > 0.8 * first:
        answer = "not learning"
    if np.ptp([losses[-1], *losses]) > 0 and (losses[-1] - losses > 0.1 * first).any():
        answer = "too high"
    if not np.isfinite(losses).all() or (losses > 3 * first).any():
        answer = "diverged"
    return answer


CURVE_TESTS = {
    "diverged": lambda first, L, train, val: not all(math.isfinite(x) and x <= 3 * first for x in L),
    "too high": lambda first, L, train, val: L[-1] - np.min(L) > first * 0.1,
    "not learning": lambda first, L, train, val: L[-1] > first * 0.8,
    "overfitting": lambda first, L, train, val: train[-1] - val[-1] > 0.1,
}


def curves_changed(order=tuple(CURVE_TESTS), names=None, **tests):
    rules = CURVE_TESTS | {name.replace("_", " "): test for name, test in tests.items()}

    def diagnose(first, losses, train_accuracy, val_accuracy):
        for name in order:
            if rules[name](first, losses, train_accuracy, val_accuracy):
                return (names or {}).get(name, name)
        return "fine"

    return {"diagnose": diagnose}


def loss_gap(first, L, train, val):
    return L[-1] < 0.1 * first


ORDER = {
    "gap first": ("overfitting", "diverged", "too high", "not learning"),
    "gap second": ("diverged", "overfitting", "too high", "not learning"),
    "gap third": ("diverged", "too high", "overfitting", "not learning"),
    "low, high": ("diverged", "not learning", "too high", "overfitting"),
    "diverged last": ("too high", "not learning", "overfitting", "diverged"),
}
WRONG[3] = [
    ("np.max", curves_changed(diverged=lambda f, L, t, v: any(x > 3 * f for x in L)), "NaN goes unnoticed"),
    ("max", curves_changed(diverged=lambda f, L, t, v: max(L.tolist()) > 3 * f), "NaN goes unnoticed where max() hides it"),
    (
        "last only",
        curves_changed(diverged=lambda f, L, t, v: not L[-1] <= 3 * f),
        "Only the last loss is looked at for NaN, infinity and more than 3 times first",
    ),
    (
        "last times 3",
        curves_changed(diverged=lambda f, L, t, v: np.isnan(L).any() or np.isinf(L).any() or L[-1] > 3 * f),
        "Only the last loss is compared with 3 times first",
    ),
    (
        "last is NaN",
        curves_changed(diverged=lambda f, L, t, v: np.isnan(L[-1]) or np.any(L / f > 3)),
        "Only the last loss is looked at for NaN and infinity",
    ),
    (
        "finite is enough",
        curves_changed(diverged=lambda f, L, t, v: np.isnan(L.sum()) or np.isinf(L.sum())),
        "Only NaN and infinity count as diverged",
    ),
    (
        "3 times the first epoch",
        curves_changed(diverged=lambda f, L, t, v: not np.all(np.isfinite(L)) or L.max() > L[0] * 3),
        "It has diverged only where the loss is above 3 times that of the first epoch",
    ),
    (
        "losses[0]",
        {"diagnose": lambda first, L, t, v: curves_branches(L[0], L, t, v)},
        "The first epoch's loss is taken for first, everywhere",
    ),
    (
        "rises",
        curves_changed(too_high=lambda f, L, t, v: any(b > a for a, b in itertools.pairwise(L))),
        "Any rise from one epoch to the next is called too high",
    ),
    (
        "not the lowest",
        curves_changed(too_high=lambda f, L, t, v: np.argmin(L) != len(L) - 1),
        "Any last loss above the lowest is called too high",
    ),
    (
        "the last step",
        curves_changed(too_high=lambda f, L, t, v: np.any(np.diff(L)[-1:] > 0.1 * f)),
        "The last loss is compared with the one before it, not with the lowest",
    ),
    (
        "a tenth of the lowest",
        curves_changed(too_high=lambda f, L, t, v: (L[-1] - L.min()) / L.min() > 0.1),
        "The rise is measured as a share of the lowest loss",
    ),
    (
        "a tenth",
        curves_changed(too_high=lambda f, L, t, v: L[-1] > L.min() + 0.1),
        "The rise is measured in absolute numbers",
    ),
    (
        "above first",
        curves_changed(too_high=lambda f, L, t, v: L[-1] - f > f / 10),
        "A rate is called too high only where the last loss is above first",
    ),
    (
        "highest minus lowest",
        curves_changed(too_high=lambda f, L, t, v: np.ptp(L) > 0.1 * f),
        "The highest loss is compared with the lowest, not the last",
    ),
    (
        "the lowest",
        curves_changed(not_learning=lambda f, L, t, v: L.min() / f > 0.8),
        "The lowest loss decides whether a run is not learning, not the last",
    ),
    (
        "0.2",
        curves_changed(not_learning=lambda f, L, t, v: (f - L[-1]) / f < 0.8),
        "A run must lose four fifths of first, not one, or it is called not learning",
    ),
    (
        "a fifth of nothing",
        curves_changed(not_learning=lambda f, L, t, v: L[-1] > f - 0.2),
        "What a run has lost is measured in absolute numbers",
    ),
    (
        "not below first",
        curves_changed(not_learning=lambda f, L, t, v: not L[-1] <= f),
        "Any loss below first is called learning",
    ),
    (
        "still flat",
        curves_changed(not_learning=lambda f, L, t, v: bool(np.any(L[1:][-1:] > 0.8 * L[:-1][-1:]))),
        "What the last epoch has lost decides whether a run is not learning",
    ),
    (
        "any gap",
        curves_changed(overfitting=lambda f, L, t, v: np.any(t - v > 0.1)),
        "The widest gap of any epoch is called overfitting",
    ),
    ("mean gap", curves_changed(overfitting=lambda f, L, t, v: (t - v).mean() > 0.1), "The gap is a mean over the epochs"),
    (
        "best of both",
        curves_changed(overfitting=lambda f, L, t, v: np.max(t) - np.max(v) > 0.1),
        "The best accuracies are compared, not the last ones",
    ),
    (
        "best of val",
        curves_changed(overfitting=lambda f, L, t, v: t[-1] - np.sort(v)[-1] > 0.1),
        "The best validation accuracy is compared with the last training accuracy",
    ),
    ("val - train", curves_changed(overfitting=lambda f, L, t, v: (v - t)[-1] > 0.1), "The gap has the wrong sign"),
    ("|gap|", curves_changed(overfitting=lambda f, L, t, v: np.abs(t - v)[-1] > 0.1), "The gap has no sign"),
    ("points", curves_changed(overfitting=lambda f, L, t, v: t[-1] > v[-1] + 10), "The gap is taken to be in per cent"),
    (
        "train > val",
        curves_changed(overfitting=lambda f, L, t, v: (t - v)[-1] > 0),
        "Any training accuracy above the validation accuracy is called overfitting",
    ),
    ("ten per cent more", curves_changed(overfitting=lambda f, L, t, v: t[-1] / v[-1] > 1.1), "The gap is measured as a ratio"),
    ("gap first", curves_changed(ORDER["gap first"]), "Overfitting is asked for first"),
    ("gap second", curves_changed(ORDER["gap second"]), "Overfitting is asked for before the rate"),
    ("gap third", curves_changed(ORDER["gap third"]), "Overfitting is asked for before whether it learns at all"),
    (
        "low, then high",
        curves_changed(ORDER["low, high"]),
        "Whether it learns at all is asked for before whether the rate is too high",
    ),
    ("diverged last", curves_changed(ORDER["diverged last"]), "Whether it has diverged is asked for last"),
    (
        "swapped",
        curves_changed(names={"too high": "not learning", "not learning": "too high"}),
        "Too high and not learning are the wrong way round",
    ),
    ("gap of the losses", curves_changed(overfitting=loss_gap), None),
]
RIGHT[3] = [
    ("a loop and branches", {"diagnose": curves_branches}),
    ("as shares of first, a list of tests", {"diagnose": curves_relative}),
    ("from the last rule to the first", {"diagnose": curves_backwards}),
    ("a table of rules", curves_changed()),
]

# ---- 4: random search


def log_by_exp(low, high, u):
    return math.exp(math.log(low) + u * (math.log(high) - math.log(low)))


def log_by_weights(low, high, u):
    return low ** (1 - u) * high**u


def log_by_base_ten(low, high, u):
    a, b = np.log10([low, high])
    return np.power(10.0, a + (b - a) * u)


def log_by_interpolation(low, high, u):
    return np.array(np.exp(np.interp(u, [0, 1], [np.log(low), np.log(high)])))


def search_engine_ranges(objective, space, numbers, budget, seed):
    def trial(i):
        rng = np.random.default_rng([seed, i])
        s = int(rng.integers(2**31))
        settings = dict(sorted((name, LogUniform(*space[name]).at(rng.random())) for name in sorted(space)))
        try:
            value = objective(dict(settings), budget, s)
        except FloatingPointError:
            value = float("nan")
        return {"settings": settings, "budget": budget, "seed": s, "val_acc": value}

    return [trial(i) for i in numbers]


def search_all_draws_at_once(objective, space, numbers, budget, seed):
    names, planned = sorted(space), []
    for i in numbers:
        rng = np.random.default_rng((seed, i))
        s = rng.integers(2**31)
        u = rng.random(len(names))
        lows, highs = np.array([space[name] for name in names]).T
        planned.append((int(s), dict(zip(names, np.exp(np.log(lows) + u * np.log(highs / lows)), strict=True))))
    trials = []
    for s, settings in planned:
        trials.append({"settings": settings, "budget": budget, "seed": s, "val_acc": np.nan})
        with suppress(FloatingPointError):
            trials[-1]["val_acc"] = objective(settings, budget, s)
    return trials


def search_generator_object(objective, space, numbers, budget, seed):
    found = ()
    for i in numbers:
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, i])))
        of_trial = rng.integers(0, 2**31)
        settings = {}
        for name, (low, high) in sorted(space.items()):
            settings[name] = log_by_weights(low, high, rng.uniform())
        found += ({"budget": budget, "val_acc": value_or_nan(objective, settings, budget, int(of_trial)),
                   "seed": of_trial, "settings": settings},)  # fmt: skip
    return found


def value_or_nan(objective, *arguments):
    try:
        return objective(*arguments)
    except FloatingPointError:
        return math.nan


def search_changed(
    rng_of=lambda seed, i, k: np.random.default_rng([seed, i]),
    names_of=lambda space: sorted(space.keys()),
    sample=lambda rng, low, high: log_by_exp(low, high, rng.random()),
    arguments=lambda settings, budget, s, seed: (settings, budget, s),
    written=lambda s, seed: s,
    on_failure=lambda: math.nan,
    seed_last=False,
    collect=lambda trials: trials,
):
    def random_search(objective, space, numbers, budget, seed):
        results = []
        for k, i in enumerate(numbers):
            rng = rng_of(seed, i, k)
            s = None if seed_last else int(rng.integers(2**31))
            settings = {}
            for name in names_of(space):
                settings[name] = sample(rng, *space[name])
            if seed_last:
                s = int(rng.integers(2**31))
            try:
                accuracy = objective(*arguments(settings, budget, s, seed))
            except FloatingPointError:
                accuracy = on_failure()
            results.append({"settings": settings, "budget": budget, "seed": written(s, seed), "val_acc": accuracy})
        return collect(results)

    return {"random_search": random_search}


def shared_rng():
    """One generator for the whole search, made anew at its beginning."""
    state = {}

    def rng_of(seed, i, k):
        if k == 0:
            state["rng"] = np.random.default_rng(seed)
        return state["rng"]

    return rng_of


def shared_u():
    """The same u for all names of a trial: drawn for the first one."""

    def random_search(objective, space, numbers, budget, seed):
        results = []
        for i in numbers:
            rng = np.random.default_rng([seed, i])
            s, u = int(rng.integers(2**31)), rng.random()
            settings = {name: log_by_weights(*space[name], u) for name in space}
            accuracy = value_or_nan(objective, settings, budget, s)
            results.append({"settings": settings, "budget": budget, "seed": s, "val_acc": accuracy})
        return results

    return {"random_search": random_search}


def raising():
    raise FloatingPointError("the run broke down")


def without_failures(trials):
    return [trial for trial in trials if trial["val_acc"] == trial["val_acc"]]


def by_value(trials):
    good = sorted(without_failures(trials), key=lambda trial: trial["val_acc"], reverse=True)
    return good + [trial for trial in trials if trial not in good]


def settings_only(trials):
    return [trial["settings"] for trial in trials]


BASES = "There and back are by logarithms to different bases"
WRONG[4] = [
    (
        "np.random.uniform",
        {"log_uniform": lambda low, high, u: (1 - u) * low + u * high},
        "Values are drawn uniformly, not by factors",
    ),
    (
        "10 ** uniform",
        {"log_uniform": lambda low, high, u: np.power(10, low + (high - low) * u)},
        "low and high are taken for exponents",
    ),
    (
        "still a logarithm",
        {"log_uniform": lambda low, high, u: np.interp(u, [0, 1], np.log([low, high]))},
        "The way back from the logarithm is missing",
    ),
    (
        "still a log10",
        {"log_uniform": lambda low, high, u: np.log10(low) + u * np.log10(high / low)},
        "The way back from the logarithm is missing",
    ),
    ("10 and e", {"log_uniform": lambda low, high, u: 10.0 ** np.interp(u, [0, 1], np.log([low, high]))}, BASES),
    ("e and 10", {"log_uniform": lambda low, high, u: np.exp(np.interp(u, [0, 1], np.log10([low, high])))}, BASES),
    ("downwards", {"log_uniform": lambda low, high, u: low**u * high ** (1 - u)}, "It goes from high down to low"),
    (
        "low * high ** u",
        {"log_uniform": lambda low, high, u: low * math.exp(u * math.log(high))},
        "The width of the range is not divided by low",
    ),
    ("geometric mean", {"log_uniform": lambda low, high, u: (low * high) ** 0.5}, "Always the middle of the range comes back"),
    ("harmonic", {"log_uniform": lambda low, high, u: 1 / ((1 - u) / low + u / high)}, None),
    (
        "rng.uniform(low, high)",
        search_changed(sample=lambda rng, low, high: rng.uniform(low, high)),
        "random_search() draws uniformly, not by factors",
    ),
    (
        "order of the dict",
        search_changed(names_of=lambda space: space),
        "Settings are drawn in the order of the space, not by their names",
    ),
    (
        "reversed",
        search_changed(names_of=lambda space: sorted(space)[::-1]),
        "Settings are drawn in the reverse order of their names",
    ),
    ("one u", shared_u(), "All settings of a trial are drawn with the same u"),
    ("seed last", search_changed(seed_last=True), "The trial's seed is drawn last"),
    ("one generator", search_changed(shared_rng()), "One generator goes on from trial to trial"),
    (
        "a new one of the seed",
        search_changed(lambda seed, i, k: np.random.default_rng([seed][0])),
        "All trials have the same generator",
    ),
    (
        "of the number",
        search_changed(lambda seed, i, k: np.random.default_rng(int(i))),
        "The generator is of the trial's number alone",
    ),
    (
        "seed plus number",
        search_changed(lambda seed, i, k: np.random.default_rng(i + seed)),
        "The generator is of the sum of seed and number",
    ),
    (
        "turned round",
        search_changed(lambda seed, i, k: np.random.default_rng((i, seed))),
        "Number and seed are the wrong way round in the generator",
    ),
    (
        "range(len(numbers))",
        search_changed(lambda seed, i, k: np.random.default_rng([seed, k])),
        "The place in the list is taken for the trial's number",
    ),
    (
        "seed passed on",
        search_changed(arguments=lambda st, b, s, seed: (st, b, seed)),
        "The objective is given the seed of the search",
    ),
    (
        "one epoch",
        search_changed(arguments=lambda st, b, s, seed: (st, True + 0, s)),
        "The objective is always given a budget of 1",
    ),
    (
        "seed, budget",
        search_changed(arguments=lambda st, b, s, seed: (st, s, b)),
        "Budget and seed are the wrong way round for the objective",
    ),
    ("not caught", search_changed(on_failure=raising), "A run that breaks down ends the search"),
    ("0 for failures", search_changed(on_failure=lambda: 0), "A run that breaks down gets an accuracy of 0"),
    ("None for failures", search_changed(on_failure=lambda: None), "A run that breaks down gets None"),
    ("skipped", search_changed(collect=without_failures), "A run that breaks down is left out of the list"),
    ("the best", search_changed(collect=lambda trials: by_value(trials)[:1]), "Only the best trial is returned"),
    ("sorted", search_changed(collect=by_value), "The trials are sorted by their values"),
    ("list made in the loop", search_changed(collect=lambda trials: [trials[-1]]), "Only the last trial is returned"),
    ("return in the loop", search_changed(collect=lambda trials: [trials[0]]), "Only the first trial is returned"),
    ("seed written down", search_changed(written=lambda s, seed: seed), "The seed of the search is written down"),
    ("settings only", search_changed(collect=settings_only), None),
]
RIGHT[4] = [
    ("exp and log; the engine's ranges", {"log_uniform": log_by_exp, "random_search": search_engine_ranges}),
    ("weighted powers; all draws at once", {"log_uniform": log_by_weights, "random_search": search_all_draws_at_once}),
    ("base ten; a tuple, a bit generator", {"log_uniform": log_by_base_ten, "random_search": search_generator_object}),
    ("interpolation, a 0-d array", {"log_uniform": log_by_interpolation} | search_changed()),
]

# ---- 5: choose, and look more closely


def best_loop(trials):
    best, budget, accuracy = None, 0, -1.0
    for i, trial in enumerate(trials):
        if math.isnan(trial["val_acc"]) or trial["budget"] < budget:
            continue
        if trial["budget"] > budget or trial["val_acc"] > accuracy:
            best, budget, accuracy = i, trial["budget"], trial["val_acc"]
    return best


def best_masked(trials):
    values, budgets = (np.array([trial[name] for trial in trials]) for name in ("val_acc", "budget"))
    good = ~np.isnan(values)
    values[~good | (budgets < budgets[good].max())] = -1
    return values.argmax()


def best_sorted(trials):
    good = [(-t["budget"], -t["val_acc"], i) for i, t in enumerate(trials) if t["val_acc"] >= 0]
    return sorted(good)[0][2]


def best_by_groups(trials):
    for budget in sorted({t["budget"] for t in trials}, reverse=True):
        values = {i: t["val_acc"] for i, t in enumerate(trials) if t["budget"] == budget and not np.isnan(t["val_acc"])}
        if values:
            return max(values, key=values.get)
    return None


def best_changed(key=lambda t: t["val_acc"], competes=None, choose=None):
    """By the highest of a key among those that compete, with the first of equal ones; those that failed are out."""

    def best_trial(trials):
        good = [i for i, t in enumerate(trials) if not np.isnan(t["val_acc"])]
        budgets = [trials[i]["budget"] for i in good]
        those = [i for i in good if trials[i]["budget"] == max(budgets)] if competes is None else competes(trials, good)
        if choose:
            return choose(those, [key(trials[i]) for i in those])
        return those[int(np.argmax([key(trials[i]) for i in those]))]

    return {"best_trial": best_trial}


def with_nan(trials, good):
    budget = max(trials[i]["budget"] for i in good)
    return [i for i, t in enumerate(trials) if t["budget"] == budget]


def running_maximum(trials):
    """NaN in the first place is never beaten: nothing is greater than it."""
    those = with_nan(trials, [i for i, t in enumerate(trials) if t["val_acc"] == t["val_acc"]])
    best = those[0]
    for i in those[1:]:
        if trials[i]["val_acc"] > trials[best]["val_acc"]:
            best = i
    return best


def largest_budget_first(trials):
    """The largest budget of all; then those of it that have succeeded, of which there may be none."""
    largest = max(t["budget"] for t in trials)
    values = {i: t["val_acc"] for i, t in enumerate(trials) if t["budget"] == largest and not math.isnan(t["val_acc"])}
    return max(values, key=lambda i: values[i])


def test_breaks_ties(trials):
    i = best_loop(trials)
    equal = [j for j, t in enumerate(trials) if (t["budget"], t["val_acc"]) == (trials[i]["budget"], trials[i]["val_acc"])]
    return max(equal, key=lambda j: trials[j]["test_acc"])


def narrowed_logs(low, high, best, share):
    a, b, middle = math.log(low), math.log(high), math.log(best)
    half = share * (b - a) / 2
    left, right = middle - half, middle + half
    if left < a:
        left, right = a, a + 2 * half
    elif right > b:
        left, right = b - 2 * half, b
    return math.exp(left), math.exp(right)


def narrowed_clip(low, high, best, share):
    p = np.log10(best / low) / np.log10(high / low)
    p = np.clip(p, share / 2, 1 - share / 2)
    return tuple(low * (high / low) ** np.array([p - share / 2, p + share / 2]))


def narrowed_factors(low, high, best, share):
    """By the root of the factor that the new range is wide."""
    factor = (high / low) ** (share / 2)
    middle = min(max(best, low * factor), high / factor)
    return [np.float64(middle / factor), np.array(middle * factor)]


def range_changed(function):
    return {"narrowed": function}


def in_logs(ends):
    """ends(a, b, m, half) -> both ends, all of them in logarithms to base 2."""

    def narrowed(low, high, best, share):
        a, b, m = (math.log2(value) for value in (low, high, best))
        return tuple(2.0**end for end in ends(a, b, m, share * (b - a) / 2))

    return {"narrowed": narrowed}


def kept_inside(a, b, m, half):
    m = min(max(m, a + half), b - half)
    return m - half, m + half


def narrowed_linear(low, high, best, share):
    half = share * (high - low) / 2
    middle = min(max(best, low + half), high - half)
    return middle - half, middle + half


def narrowed_place_linear(low, high, best, share):
    p = (best - low) / (high - low)
    start = max(0, min(p - share / 2, 1 - share))
    return low * (high / low) ** start, low * (high / low) ** (start + share)


def narrowed_places(low, high, best, share):
    p = math.log(best / low, high / low)
    start = np.clip(p - share / 2, 0, 1 - share)
    return float(start), float(start + share)


def end_logs(low, high, best):
    tenth = (math.log(high) - math.log(low)) / 10
    if math.log(best) - math.log(low) < tenth:
        return "lower"
    return "upper" if math.log(high) - math.log(best) < tenth else "inside"


def end_factors(low, high, best):
    factor = (high / low) ** 0.1
    return "lower" if best / low < factor else "upper" if high / best < factor else "inside"


def end_table(low, high, best):
    tenth = int(np.clip(10 * np.log2(best / low) / np.log2(high / low), 0, 9))
    return {0: "lower", 9: "upper"}.get(tenth, "inside")


def end_changed(
    place=lambda low, high, best: math.log2(best / low) / math.log2(high / low), width=0.1, names=("lower", "upper")
):
    def near_an_end(low, high, best):
        u = place(low, high, best)
        if u < width:
            return names[0]
        return names[1] if 1 - u < width else "inside"

    return {"near_an_end": near_an_end}


def narrowed_by_share(low, high, best, share):
    return best * share, best / share


WRONG[5] = [
    ("test", best_changed(lambda t: t["test_acc"]), "The test accuracy chooses"),
    (
        "test, whatever the budget",
        best_changed(lambda t: t["test_acc"], lambda trials, good: range(len(trials))),
        "The test accuracy chooses",
    ),
    ("test among equals", {"best_trial": test_breaks_ties}, "The test accuracy decides between equal ones"),
    ("val + test", best_changed(lambda t: t["val_acc"] + t["test_acc"]), "The test accuracy has a say in the mean of two"),
    ("train", best_changed(lambda t: t["train_acc"]), "The training accuracy chooses"),
    (
        "gap",
        best_changed(lambda t: -(t["train_acc"] - t["val_acc"])),
        "The narrowest gap between training and validation chooses",
    ),
    ("all budgets", best_changed(competes=lambda trials, good: good), "The budgets are not looked at"),
    (
        "least budget",
        best_changed(
            competes=lambda trials, good: [i for i in good if trials[i]["budget"] == min(trials[j]["budget"] for j in good)]
        ),
        "The trials of the smallest budget compete",
    ),
    (
        "failed budget",
        {"best_trial": largest_budget_first},
        "A budget counts as the largest although all of its trials have failed",
    ),
    ("argmax with NaN", best_changed(competes=with_nan), "A trial that has failed wins"),
    ("running maximum", {"best_trial": running_maximum}, "A trial that has failed wins where it comes first"),
    (
        ">=",
        best_changed(choose=lambda those, values: max(zip(values, those, strict=True))[1]),
        "The last of equal ones wins",
    ),
    ("argmin", best_changed(lambda t: -t["val_acc"]), "The lowest validation accuracy wins"),
    (
        "place among those",
        best_changed(competes=with_nan, choose=lambda those, values: int(np.nanargmax(values))),
        "The place is that among the trials that compete, not that in the list",
    ),
    (
        "from 1",
        best_changed(choose=lambda those, values: those[values.index(max(values))] + 1),
        "The place is counted from 1",
    ),
    ("the trial itself", {"best_trial": lambda trials: trials[best_loop(trials)]}, None),
    ("linear", range_changed(narrowed_linear), "The range is narrowed on the linear scale"),
    ("place on the linear scale", range_changed(narrowed_place_linear), "Where best lies is computed on the linear scale"),
    (
        "half as wide",
        range_changed(lambda low, high, best, share: narrowed_logs(low, high, best, share / 2)),
        "The new range is half as wide as asked for",
    ),
    (
        "twice as wide",
        range_changed(lambda low, high, best, share: narrowed_logs(low, high, best, 2 * share)),
        "The new range is as wide as share to each side",
    ),
    ("sticks out", in_logs(lambda a, b, m, half: (m - half, m + half)), "The new range sticks out beyond the old one"),
    (
        "cut off",
        in_logs(lambda a, b, m, half: (max(m - half, a), min(m + half, b))),
        "The new range is cut off at the ends of the old one, not moved",
    ),
    (
        "lower end only",
        in_logs(lambda a, b, m, half: (max(m, a + half) - half, max(m, a + half) + half)),
        "The new range is moved at the lower end only",
    ),
    (
        "upper end only",
        in_logs(lambda a, b, m, half: (min(m, b - half) - half, min(m, b - half) + half)),
        "The new range is moved at the upper end only",
    ),
    (
        "middle of the range",
        in_logs(lambda a, b, m, half: kept_inside(a, b, (a + b) / 2, half)),
        "The new range is in the middle of the old one, wherever best is",
    ),
    ("from best on", in_logs(lambda a, b, m, half: (m, m + 2 * half)), "The new range begins at best"),
    (
        "from best on, moved",
        in_logs(lambda a, b, m, half: kept_inside(a, b, m + half, half)),
        "The new range begins at best, and is moved where it sticks out",
    ),
    ("times share", range_changed(narrowed_by_share), "Best is multiplied and divided by share"),
    (
        "times share, cut off",
        range_changed(lambda low, high, best, share: tuple(np.clip([best * share, best / share], low, high))),
        "Best is multiplied and divided by share, and cut off at the ends",
    ),
    ("places", range_changed(narrowed_places), "The places on the log scale are returned, not the values"),
    ("high, low", range_changed(lambda *a: narrowed_logs(*a)[::-1]), "The new low and high are the wrong way round"),
    (
        "share of decades",
        in_logs(lambda a, b, m, half: kept_inside(a, b, m, half / (b - a) * math.log2(10))),
        "share is taken for a number of decades",
    ),
    ("low only", range_changed(lambda *a: narrowed_logs(*a)[0]), "Not as many results as asked for"),
    (
        "linear place",
        end_changed(lambda low, high, best: (best - low) / (high - low)),
        "Whether best is near an end is judged on the linear scale",
    ),
    (
        "1.1 times low",
        {"near_an_end": lambda low, high, best: "lower" if best / low < 1.1 else "upper" if best / high > 0.9 else "inside"},
        "Whether best is near an end is judged by its value",
    ),
    ("swapped", end_changed(names=("upper", "lower")), "Lower and upper are the wrong way round"),
    ("upper only", end_changed(names=("inside", "upper")), "The lower end goes unnoticed"),
    ("lower only", end_changed(names=("lower", "inside")), "The upper end goes unnoticed"),
    ("a fifth", end_changed(width=0.2), "An end is a fifth of the range"),
    (
        "equal",
        {"near_an_end": lambda low, high, best: "lower" if best == low else "upper" if best == high else "inside"},
        "Only the very ends count",
    ),
    (
        "0.1 decades",
        {
            "near_an_end": lambda low, high, best: (
                "lower" if np.log10(best / low) < 0.1 else "upper" if np.log10(high / best) < 0.1 else "inside"
            )
        },
        "An end is a tenth of a decade",
    ),
]
RIGHT[5] = [
    ("a loop; logarithms", {"best_trial": best_loop, "narrowed": narrowed_logs, "near_an_end": end_logs}),
    ("masks; clip, arrays; factors", {"best_trial": best_masked, "narrowed": narrowed_clip, "near_an_end": end_factors}),
    ("sorted; factors; a table", {"best_trial": best_sorted, "narrowed": narrowed_factors, "near_an_end": end_table}),
    ("group by group; base 2", {"best_trial": best_by_groups} | in_logs(kept_inside) | end_changed()),
]

# ---- 6: successive halving


def schedule_recursive(n, least_budget, eta):
    return [(n, least_budget), *(schedule_recursive(n // eta, least_budget * eta, eta) if n >= eta else [])]


def schedule_steps(n, least_budget, eta):
    rungs = []
    while n > 0:
        rungs.append([n, least_budget])
        n, least_budget = int(n / eta), least_budget * eta
    return rungs


def schedule_array(n, least_budget, eta):
    powers = eta ** np.arange(40 // eta)
    counts = n // powers
    return np.stack([counts, least_budget * powers], axis=1)[counts > 0]


def evaluated(objective, candidates, places, budget):
    values = {}
    for i in places:
        with suppress(FloatingPointError):
            values[i] = objective(candidates[i], budget)
    return values


def halving_recursive(objective, candidates, least_budget, eta):
    n = len(candidates)

    def climb(places, i):
        values = evaluated(objective, candidates, places, least_budget * eta**i)
        best = sorted(values, key=lambda k: (-values[k], k))
        count = n // eta ** (i + 1)
        if count == 0:
            return [places], best[0]
        rungs, winner = climb(sorted(best[:count]), i + 1)
        return [places, *rungs], winner

    return climb(list(range(n)), 0)


def halving_argsort(objective, candidates, least_budget, eta):
    left, rungs, values = np.arange(len(candidates)), [], np.zeros(0)
    for count, budget in engine_schedule(len(candidates), least_budget, eta):
        if rungs:
            left = np.sort(left[np.argsort(-values, kind="stable")][:count])
        rungs.append(left)
        results = evaluated(objective, candidates, left.tolist(), budget)
        left = np.array([i for i in left if i in results])
        values = np.array([results[i] for i in left])
    return rungs, left[np.argmax(values)]


def halving_heap(objective, candidates, least_budget, eta):
    rungs, left, values = [], range(len(candidates)), {}
    for count, budget in schedule_steps(len(candidates), least_budget, eta):
        if values:
            left = sorted(heapq.nsmallest(count, values, key=lambda i: (-values[i], i)))
        rungs.append(tuple(left))
        values = evaluated(objective, candidates, left, budget)
    return [tuple(rungs), np.int64(max(values, key=values.__getitem__))]


def rungs_changed(count=None, budget=None, until=lambda count: count > 0):
    def halving_schedule(n, least_budget, eta):
        rungs, i = [], 0
        while i == 0 or (until(count(n, eta, i) if count else n // eta**i) and i < 12):
            of_rung = count(n, eta, i) if count else n // eta**i
            rungs.append((of_rung, budget(least_budget, eta, i) if budget else least_budget * eta**i))
            i += 1
        return rungs

    return {"halving_schedule": halving_schedule}


def counts_subtracted(n, least_budget, eta):
    return [(n - eta * i, least_budget * eta**i) for i in range(12) if i == 0 or n > eta * i]


def race_changed(
    select=lambda values, count: sorted(values, key=lambda i: (-values[i], i))[:count],
    value_of=lambda old, new: new,
    budget_of=lambda planned, least: planned,
    failing=None,
    winner_of=None,
    arrange=sorted,
    counts=None,
    shown=lambda rungs: rungs,
):
    """failing: what happens to a candidate that breaks down: None is out, a number its value, "raise" an error.

    winner_of(rungs, table): table[k] has the values of rung k.
    """

    def successive_halving(objective, candidates, least_budget, eta):
        n = len(candidates)
        left, memory, rungs, table, i = list(range(n)), {}, [], [], 0
        while True:
            rungs.append(arrange(left))
            now = {}
            for k in left:
                try:
                    result = objective(candidates[k], budget_of(least_budget * eta**i, least_budget))
                except FloatingPointError:
                    if failing == "raise":
                        raise
                    if failing is None:
                        continue
                    result = failing
                memory[k] = value_of(memory[k], result) if k in memory else result
                now[k] = memory[k]
            table.append(now)
            i += 1
            following = counts(len(now), eta) if counts else n // eta**i
            if following == 0 or n // eta**i == 0:
                break
            left = select(now, following)
        winner = winner_of(rungs, table) if winner_of else select(table[-1], 1)[0]
        return shown(rungs), winner

    return {"successive_halving": successive_halving}


def worst(values, count):
    return sorted(values, key=values.get)[:count]


def later_first(values, count):
    ranked = sorted(sorted(values), key=values.get)
    ranked.reverse()
    return ranked[:count]


def highest(values):
    return max(values, key=lambda i: (values[i], -i))


def whole_history(rungs, table):
    best = {}
    for values in table:
        for i, value in values.items():
            best[i] = max(best.get(i, 0), value)
    return highest(best)


def everybody_in_all_rungs(objective, candidates, least_budget, eta):
    """The right rungs, at many times the cost."""
    budgets = [budget for _, budget in schedule_steps(len(candidates), least_budget, eta)]
    table = [evaluated(objective, candidates, range(len(candidates)), budget) for budget in budgets]

    def looked_up(candidate, budget):
        i = next(i for i, other in enumerate(candidates) if other is candidate)
        if i not in table[budgets.index(budget)]:
            raise FloatingPointError
        return table[budgets.index(budget)][i]

    return halving_recursive(looked_up, candidates, least_budget, eta)


OLD = "The values of the first rung decide everything"
WRONG[6] = [
    ("budget + least", rungs_changed(budget=lambda r, eta, i: r + i * r), "The budgets grow by adding"),
    ("budget + eta", rungs_changed(budget=lambda r, eta, i: sum([eta] * i, r)), "The budgets grow by adding eta"),
    ("same budget", rungs_changed(budget=lambda r, eta, i: r), "The budgets do not grow"),
    ("budget divided", rungs_changed(budget=lambda r, eta, i: max(1, int(r / eta**i))), "The budgets shrink"),
    (
        "eta too early",
        rungs_changed(budget=lambda r, eta, i: eta * r * eta**i),
        "The first rung has already eta times the least budget",
    ),
    (
        "halves",
        rungs_changed(lambda n, eta, i: n >> i, lambda r, eta, i: r << i),
        "The budgets are halved and doubled, whatever eta is",
    ),
    ("counts halved", rungs_changed(lambda n, eta, i: n >> i), "The counts are halved, whatever eta is"),
    ("budgets doubled", rungs_changed(budget=lambda r, eta, i: r << i), "The budgets are doubled, whatever eta is"),
    (
        "ceil",
        rungs_changed(lambda n, eta, i: math.ceil(n / eta**i), until=lambda count: count >= 2),
        "The counts are rounded up",
    ),
    ("round", rungs_changed(lambda n, eta, i: int(np.round(n / eta**i))), "The counts are rounded to the nearest"),
    (
        "true division",
        rungs_changed(lambda n, eta, i: n / eta**i, until=lambda count: count >= 1),
        "The counts are not rounded",
    ),
    ("until 1", rungs_changed(until=lambda count: count >= 2), "The rung with a single candidate is missing"),
    (
        "while n >= eta",
        {"halving_schedule": lambda n, r, eta: [(n // eta**i, r * eta**i) for i in range(9) if i == 0 or n >= eta ** (i + 1)]},
        "The last rungs are missing, those with fewer than eta candidates",
    ),
    (
        "a rung of nobody",
        {
            "halving_schedule": lambda n, r, eta: [
                *schedule_recursive(n, r, eta),
                (0, r * eta ** len(schedule_recursive(n, r, eta))),
            ]
        },
        "A rung without candidates comes last",
    ),
    (
        "total budgets",
        {"halving_schedule": lambda n, r, eta: [(c, b * c) for c, b in schedule_steps(n, r, eta)]},
        "Rungs have the budget of all candidates together",
    ),
    (
        "budget, count",
        {"halving_schedule": lambda n, r, eta: [rung[::-1] for rung in schedule_recursive(n, r, eta)]},
        "Count and budget are the wrong way round",
    ),
    (
        "drops 1/eta",
        rungs_changed(lambda n, eta, i: int(n * ((eta - 1) / eta) ** i + 1e-12)),
        "A fraction of 1/eta is dropped, not kept",
    ),
    ("n - eta", {"halving_schedule": counts_subtracted}, "eta candidates fewer in each rung"),
    ("rungs only", {"successive_halving": lambda *a: halving_recursive(*a)[0]}, "Not as many results as asked for"),
    ("counts only", {"halving_schedule": lambda n, r, eta: [c for c, _ in schedule_recursive(n, r, eta)]}, None),
    ("ascending", race_changed(worst), "The worst candidates go on"),
    (
        "ascending, then max",
        race_changed(worst, winner_of=lambda rungs, table: highest(table[-1])),
        "The worst candidates go on, and the best of the last rung wins",
    ),
    ("reversed", race_changed(later_first), "Of equal ones the later go on"),
    (
        "the first ones",
        race_changed(lambda values, count: sorted(values)[:count], winner_of=lambda rungs, table: highest(table[-1])),
        "The first ones of a rung go on, whatever their values",
    ),
    ("cached values", race_changed(value_of=lambda old, new: old), OLD),
    ("sums", race_changed(value_of=lambda old, new: math.fsum([old, new])), "The values of all rungs are added up"),
    (
        "highest so far",
        race_changed(value_of=lambda old, new: old if old > new else new),
        "The highest value of all rungs so far counts",
    ),
    ("least budget", race_changed(budget_of=lambda planned, least: least), "The budget stays the least one"),
    (
        "of the survivors",
        race_changed(counts=lambda left, eta: left // eta),
        "How many go on follows from how many have succeeded",
    ),
    (
        "of the survivors, one at least",
        race_changed(counts=lambda left, eta: left // eta or 1),
        "At least one goes on of those that have succeeded, however few",
    ),
    ("not caught", race_changed(failing="raise"), "A candidate that fails ends the search"),
    ("0 for failures", race_changed(failing=0), "A candidate that fails gets a value, and may go on"),
    ("-1 for failures", race_changed(failing=-1.0), "A candidate that fails gets a value, and may go on"),
    ("by value", race_changed(arrange=list), "The rungs are in the order of the values"),
    ("best ever", race_changed(winner_of=whole_history), "The winner has the highest value of any rung"),
    (
        "best of the first rung",
        race_changed(winner_of=lambda rungs, table: highest(table[0])),
        "The winner is the best of the first rung",
    ),
    (
        "first of the last rung",
        race_changed(winner_of=lambda rungs, table: min(rungs[-1])),
        "The winner is the first of the last rung, whatever its value",
    ),
    (
        "last of the last rung",
        race_changed(winner_of=lambda rungs, table: max(rungs[-1])),
        "The winner is the last one of the last rung, whatever its value",
    ),
    (
        "of the rung before",
        race_changed(winner_of=lambda rungs, table: highest(table[-2] if len(table) > 1 else table[0])),
        "The winner is the best of the rung before the last",
    ),
    (
        "argmax in the rung",
        race_changed(winner_of=lambda rungs, table: int(np.argmax([table[-1].get(i, -1) for i in rungs[-1]]))),
        "The winner's place is that in the last rung",
    ),
    ("last rung missing", race_changed(shown=lambda rungs: rungs[: len(rungs) - 1]), "The last rung is left out of the answer"),
    (
        "first rung missing",
        race_changed(shown=lambda rungs: [rung for k, rung in enumerate(rungs) if k]),
        "The first rung is left out of the answer",
    ),
    ("all in all rungs", {"successive_halving": everybody_in_all_rungs}, None),
]
RIGHT[6] = [
    ("recursive", {"halving_schedule": schedule_recursive, "successive_halving": halving_recursive}),
    ("step by step, lists; argsort, arrays", {"halving_schedule": schedule_steps, "successive_halving": halving_argsort}),
    ("an array; a heap, tuples", {"halving_schedule": schedule_array, "successive_halving": halving_heap}),
    ("the engine's schedule; a table of values", {"halving_schedule": engine_schedule} | race_changed()),
]
