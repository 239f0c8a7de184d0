"""Lesson 15: what its exercise is checked for, offline, with new numbers and shapes each time.

The numbers differ from run to run; the cases do not. Where an answer is one of a few (a chosen strength, a number of layers),
cases are drawn until they tell all known mistakes from the right answer.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from slips import (
    CURVE_SLIPS,
    FEATURE_SLIPS,
    FREE_SLIPS,
    GAIN_SLIPS,
    KERNEL_SLIPS,
    RIDGE_SLIPS,
    SHARE_SLIPS,
    SPECIFIC_SLIPS,
    TRANSFER_SLIPS,
)

from minicnn.course import Mistake, Slip, Student, Task
from minicnn.course.expect import expect_array, expect_close, expect_number, expect_several
from minicnn.course.same import same
from minicnn.course.student import ARGUMENT_CHANGED
from minicnn.layers import BatchNorm1d, BatchNorm2d, Conv2d, GlobalAvgPool2d, Layer, Linear, ReLU, Sequential
from minicnn.models import Model

# ---- cases that tell mistakes apart


def telling_cases(
    rng: np.random.Generator, slips: Sequence[Slip], name: str, reference: Callable, draw: Callable, least: int = 5
) -> list[tuple]:
    """Arguments with which the known mistakes in this function give other answers than the right one, and than each other."""
    functions = [reference, *(slip.functions[name] for slip in slips)]
    alike, cases = set(combinations(range(len(functions)), 2)), []
    while alike or len(cases) < least:
        arguments = draw(rng)
        answers = [answer_of(function, arguments) for function in functions]
        told = {pair for pair in alike if not same(answers[pair[0]], answers[pair[1]])}
        if told or not alike:
            cases.append(arguments)
            alike -= told
    return cases


def answer_of(function: Callable, arguments: tuple) -> Any:
    try:
        return function(*arguments)
    except ValueError as error:  # nothing to choose from
        return error


# ---- Task 1: CKA


def similarities(student: Student, rng: np.random.Generator) -> None:
    for sizes in ((9, 4, 6), (11, 5, 1), (6, 8, 13)):  # more samples than features, a single feature, fewer samples
        x, y = two_representations(rng, *sizes)
        expect_feature_cka(student, x, y)
    x, y = two_representations(rng, 10, 3, 5)
    expect_feature_cka(student, x, 1e-9 * y)
    expect_feature_cka(student, (1e15 * x).astype(np.float32), (1e-15 * y).astype(np.float32))
    expect_nothing_varies(student, "linear_cka", np.full((8, 3), 0.75), two_representations(rng, 8, 3, 4)[1])
    for N in (7, 10):
        K, L = two_kernels(rng, N)
        expect_close(f"kernel_cka of kernels {K.shape}", expect_number("CKA", student.kernel_cka(K, L)), cka_of(K, L))
    x, y = two_representations(rng, 9, 5, 12)
    K, L = x @ x.T, y @ y.T
    got = expect_number("CKA", student.kernel_cka(K, L))
    expect_close("kernel_cka of K = x x^T and L = y y^T", got, cka_of(K, L))
    expect_nothing_varies(student, "kernel_cka", np.full((8, 8), 0.75), two_kernels(rng, 8)[1])


def two_representations(rng: np.random.Generator, N: int, D: int, E: int) -> tuple[np.ndarray, np.ndarray]:
    """Both have something to do with one hidden thing, and columns of different means and sizes."""
    hidden = rng.standard_normal((N, 2))
    return tuple(
        (hidden @ rng.standard_normal((2, width)) + 0.7 * rng.standard_normal((N, width))) * rng.uniform(0.5, 2, width)
        + rng.uniform(0.5, 3, width) * rng.choice([-1, 1], width)
        for width in (D, E)
    )


def two_kernels(rng: np.random.Generator, N: int) -> tuple[np.ndarray, np.ndarray]:
    """A Gaussian one and one of squares, neither of which is centred."""
    x, y = two_representations(rng, N, 3, 4)
    squares = ((x[:, None] - x) ** 2).sum(axis=2)
    return np.exp(-squares / np.median(squares)), (0.5 + y @ y.T / 4) ** 2


def cka_of(K: np.ndarray, L: np.ndarray) -> np.float64:
    """By the definition with H."""
    H = np.eye(len(K)) - 1 / len(K)
    Kc, Lc = H @ K @ H, H @ L @ H
    return np.trace(Kc @ Lc) / np.sqrt(np.trace(Kc @ Kc) * np.trace(Lc @ Lc))


def expect_feature_cka(student: Student, x: np.ndarray, y: np.ndarray) -> None:
    as_float64 = x.astype(np.float64), y.astype(np.float64)
    expected = cka_of(*(z @ z.T for z in as_float64))
    size = f"numbers near {np.abs(x).max():.0e} and {np.abs(y).max():.0e} in float32" if x.dtype == np.float32 else "float64"
    name = f"linear_cka (x {x.shape}, y {y.shape}, {size})"
    with np.errstate(all="ignore"):
        got = student.linear_cka(x, y)
    if np.ndim(got) == 0 and not np.isfinite(got):
        raise Mistake(f"{name}: got {got}, expected {expected:.6g}. Is there an overflow on the way, or a division by 0?")
    expect_close(name, expect_number("CKA", got), expected)


def expect_nothing_varies(student: Student, name: str, constant: np.ndarray, other: np.ndarray) -> None:
    for arguments in ((constant, other), (other, constant)):
        with np.errstate(all="ignore"):
            got = getattr(student, name)(*arguments)
        if np.ndim(got) != 0 or not abs(got) < 1e-9:
            which = "the first" if arguments[0] is constant else "the second"
            raise Mistake(f"{name} where {which} argument does not vary must be 0 by our rule; got {got}")


# ---- Task 2: probes


def probes(student: Student, rng: np.random.Generator) -> None:
    for N, D, classes, missing in ((13, 3, 6, (2, 5)), (6, 9, 4, ()), (11, 4, 5, (4,))):
        expect_ridge(student, rng, N, D, classes, missing)
    trials = telling_cases(rng, CURVE_SLIPS, "probe_curve", reference_curve, one_trial, least=2)
    kept = [[array.copy() for array in arrays_in(trial)] for trial in trials]
    answers = [student.probe_curve(*trial) for trial in trials]  # all of them, to tell which mistake it is
    for trial, before, answer in zip(trials, kept, answers, strict=True):
        if any(not np.array_equal(*pair) for pair in zip(arrays_in(trial), before, strict=True)):
            raise Mistake("probe_curve() changes its arguments; others still need them: work on copies", name=ARGUMENT_CHANGED)
        expect_curve(trial, answer)


def expect_ridge(student: Student, rng: np.random.Generator, N: int, D: int, classes: int, missing: tuple[int, ...]) -> None:
    there = [k for k in range(classes) if k not in missing]
    y = rng.permutation(np.resize(there, N))
    x = (
        rng.standard_normal((N, D)) * rng.uniform(0.5, 2, D)
        + rng.uniform(0.5, 2, D)
        + 0.5 * rng.standard_normal((classes, D))[y]
    )
    strength = float(rng.uniform(0.1, 0.4))
    name = f"ridge_probe ({N} samples, {D} features, {classes} classes"
    name += f", none of class {' and '.join(map(str, missing))})" if missing else ")"
    w, b = expect_several("ridge_probe", student.ridge_probe(x, y, classes, strength), "w, b")
    right_w, right_b = ridge_with_ones(x, y, classes, strength)
    expect_close(f"w of {name}", w, right_w)
    expect_close(f"b of {name}", b, right_b)


def ridge_with_ones(x: np.ndarray, y: np.ndarray, classes: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """The same minimum with the bias as one more weight, which is not penalised: nothing is centred."""
    N, D = x.shape
    q = (y[:, None] == np.arange(classes)).astype(float)
    with_ones = np.column_stack([x, np.ones(N)])
    penalty = np.diag([strength] * D + [0.0])
    theta = np.linalg.solve(with_ones.T @ with_ones / N + penalty, with_ones.T @ q / N)
    return theta[:-1].T, theta[-1]


def one_trial(rng: np.random.Generator) -> tuple:
    """Arguments of probe_curve(): with so few validation samples strengths are often equally good; some are in no part."""
    layers, classes, N = int(rng.integers(2, 5)), int(rng.integers(3, 5)), int(rng.integers(46, 54))
    rows = rng.permutation(N)
    train, val, test = rows[:16], rows[16:25], rows[25:38]
    y = rng.permutation(np.arange(N) % classes)
    codes = []
    for width in rng.permutation([3, 4, 5, 6])[:layers]:
        means = rng.standard_normal((classes, width))
        codes.append(rng.uniform(0.4, 0.8) * means[y] + rng.standard_normal((N, width)) + rng.uniform(-1, 1, width))
    strengths = [float(s) for s in rng.permutation([0.003, 0.03, 0.3, 3.0, 30.0]) * rng.uniform(0.8, 1.2)]
    return codes, y, train, val, test, classes, strengths


def arrays_in(trial: tuple) -> list[np.ndarray]:
    codes, y, train, val, test, *_ = trial
    return [*codes, y, train, val, test]


def reference_curve(codes, y, train, val, test, classes, strengths) -> tuple[np.ndarray, np.ndarray]:
    chosen, accuracies = [], []
    for x in codes:
        table = []
        for strength in strengths:
            w, b = ridge_with_ones(x[train], y[train], classes, strength)
            answers = np.argmax(x @ w.T + b, axis=1)
            table.append((np.mean(answers[val] == y[val]), strength, np.mean(answers[test] == y[test])))
        _, strength, accuracy = max(table)
        chosen.append(strength)
        accuracies.append(accuracy)
    return np.array(chosen), np.array(accuracies)


def expect_curve(trial: tuple, answer: Any) -> None:
    chosen, accuracies = expect_several("probe_curve", answer, "chosen, accuracies")
    L = len(trial[0])
    chosen, accuracies = expect_array("chosen", chosen, (L,)), expect_array("accuracies", accuracies, (L,))
    right, tested = reference_curve(*trial)
    for i in range(L):
        if not np.isclose(chosen[i], right[i], rtol=1e-9):
            raise Mistake(f"layer {i} of {L}: chose {chosen[i]:.4g}, expected {right[i]:.4g}: {why_not(trial, i, chosen[i])}")
    likely = {"Those are the shares of mistakes.": 1 - tested}
    expect_close(f"accuracies of the probes of {L} layers, on {len(trial[4])} test samples,", accuracies, tested, likely)


def why_not(trial: tuple, layer: int, chosen: float) -> str:
    """What is wrong with a choice, in words."""
    codes, y, train, val, _, classes, strengths = trial
    x, on_val = codes[layer], {}
    for strength in strengths:
        w, b = ridge_with_ones(x[train], y[train], classes, strength)
        on_val[strength] = float(np.mean((x[val] @ w.T + b).argmax(axis=1) == y[val]))
    given = next((strength for strength in strengths if np.isclose(strength, chosen, rtol=1e-9)), None)
    if given is None:
        return f"the strengths are {', '.join(f'{strength:.4g}' for strength in strengths)}"
    most = max(on_val.values())
    if on_val[given] == most:
        ties = ", ".join(f"{strength:.4g}" for strength in sorted(on_val) if on_val[strength] == most)
        return f"{ties} are equally good on the validation samples; then take the strongest"
    return f"trained on the training samples, it gets {on_val[given]:.3f} of the validation samples right, the best {most:.3f}"


# ---- Task 3: transfer


def transfers(student: Student, rng: np.random.Generator) -> None:
    cases = []
    for depths, frozen in (((2, 0, 3), False), ((1, 3, 0), True)):
        source, fresh = small_network(rng, classes=6), small_network(rng, classes=4)
        for network, names in ((source, ("block1.conv.w", "block10.norm.gamma")), (fresh, ("block1.norm.beta", "scores.b"))):
            for name in names:
                network.parameters()[name].trainable = False  # what an earlier phase has left
        before = source.copy(), fresh.copy()
        train, seen = stand_in_for_training()
        got = student.transfer_curve(source, fresh, depths, frozen, train)
        cases.append((depths, frozen, (source, fresh), before, list(seen), got))
    for case in cases:
        expect_transfer(*case)


def small_network(rng: np.random.Generator, classes: int) -> Model:
    """With all that matters here: batch norms with statistics, layers inside others, and two names that begin alike."""
    layers: dict[str, Layer] = {
        "block1": Sequential(conv=Conv2d(2, 3, 1, rng=rng), norm=BatchNorm2d(3), relu=ReLU()),
        "block10": Sequential(conv=Conv2d(3, 4, 1, bias=False, rng=rng), norm=BatchNorm2d(4), relu=ReLU()),
        "norm": BatchNorm2d(4),
        "pool": GlobalAvgPool2d(),
        "scores": Linear(4, classes, rng=rng),
    }
    network = Model(layers, architecture="small", input_shape=(2, 5, 5))
    for parameter in network.parameters().values():
        parameter.value += rng.uniform(-0.5, 0.5, parameter.value.shape).astype(np.float32)
    for array in network.state().values():
        array += rng.uniform(0.1, 0.9, array.shape).astype(np.float32)
    return network


def arrays_of(network: Layer) -> dict[str, np.ndarray]:
    """All weights and statistics, by name."""
    return {name: parameter.value for name, parameter in network.parameters().items()} | network.state()


def stand_in_for_training() -> tuple[Callable[[Model], float], list[Model]]:
    """A function that changes a network in place as a training would, and returns a number that depends on all that is in it;
    and the list in which it keeps copies of the networks that it was given."""
    seen: list[Model] = []

    def train(network: Model) -> float:
        seen.append(network.copy())
        flags = {name: np.array(2.0 * parameter.trainable) for name, parameter in network.parameters().items()}
        numbers = [np.ravel(array) for content in (arrays_of(network), flags) for array in content.values()]
        sums = [np.sin(1 + 3 * i + np.arange(part.size)) @ part for i, part in enumerate(numbers)]
        for _, layer in network.walk():
            if not layer.children() and layer.trainable:
                for parameter in layer.parameters().values():
                    parameter.value += np.float32(parameter.trainable)
                for array in layer.state().values():
                    array += 1
        return float(0.5 + np.arctan(sum(sums) / 10) / np.pi)

    return train, seen


def put_together(source: Model, fresh: Model, n: int, frozen: bool) -> Model:
    network, lower = fresh.copy(), list(fresh.layers)[:n]
    for name, array in arrays_of(network).items():
        if name.split(".")[0] in lower:
            array[...] = arrays_of(source)[name]
    network.unfreeze()
    return network.freeze(until=lower[-1]) if lower and frozen else network


def expect_transfer(
    depths: tuple, frozen: bool, given: tuple[Model, Model], before: tuple[Model, Model], seen: list[Model], got: Any
) -> None:
    train, _ = stand_in_for_training()
    networks = [put_together(*before, n, frozen) for n in depths]
    expected = np.array([train(network.copy()) for network in networks])
    title = f"(depths {depths}, {'frozen' if frozen else 'not frozen'})"
    if len(seen) != len(depths):
        raise Mistake(f"train() was called {len(seen)} times {title}, and {len(depths)} networks are asked for")
    for place, (n, network, right) in enumerate(zip(depths, seen, networks, strict=True)):
        if wrong := what_differs(network, right, n, frozen, place):
            raise Mistake(f"the network for n = {n} {title}: {wrong}")
    for name, network, old in zip(("source", "fresh"), given, before, strict=True):
        if not same(network, old):
            raise Mistake(f"{name} is not what it was {title}: the new networks must share nothing with it; copy its layers")
    expect_close(f"accuracies {title}", expect_array("accuracies", got, (len(depths),)), expected)


def what_differs(network: Model, right: Model, n: int, frozen: bool, place: int) -> str:
    """Between the network that was handed to train() and the right one, in words; "" if nothing does."""
    if list(network.layers) != list(right.layers):
        return f"its layers are {', '.join(network.layers)}, and must be {', '.join(right.layers)}"
    arrays, expected = arrays_of(network), arrays_of(right)
    if arrays.keys() != expected.keys():
        return f"it has other parameters: {', '.join(sorted(arrays.keys() ^ expected.keys()))}"
    lower = list(right.layers)[:n]
    wrong = [name for name in expected if not np.array_equal(arrays[name], expected[name])]
    if wrong:
        of = "source" if wrong[0].split(".")[0] in lower else "fresh"
        text = f"{', '.join(wrong[:4])}{', ...' if len(wrong) > 4 else ''} must be what they are in {of}"
        return text + (", as they were before the trainings for the other n" if place else "")
    flags = {name: parameter.trainable for name, parameter in network.parameters().items()}
    for name, parameter in right.parameters().items():
        if flags[name] != parameter.trainable:
            state = "trainable" if flags[name] else "frozen"
            return f"{name} is {state}, and must {'be frozen' if flags[name] else 'not be'}"
    return ""


# ---- Task 4: gains


def gains(student: Student, rng: np.random.Generator) -> None:
    for S, L in ((5, 3), (4, 6), (2, 4), (3, 3)):
        accuracies, baseline = accuracies_of(rng, S, L)
        subject = f"paired_gain ({S} seeds, {L} depths)"
        got = expect_several("paired_gain", student.paired_gain(accuracies, baseline), "mean, error")
        columns = [[float(a - b) for a, b in zip(column, baseline, strict=True)] for column in accuracies.T]
        expect_close(f"mean of {subject}", got[0], np.array([statistics.mean(column) for column in columns]))
        errors = np.array([statistics.stdev(column) / S**0.5 for column in columns])
        expect_close(f"error of {subject}", got[1], errors)
    for S, L in ((4, 6), (3, 7)):
        expect_shares(student, *three_curves(rng, S, L))


def accuracies_of(rng: np.random.Generator, S: int, L: int) -> tuple[np.ndarray, np.ndarray]:
    """Seeds differ much, and depths of one seed little."""
    easy = rng.uniform(0.5, 0.8, S)
    return easy[:, None] + rng.uniform(-0.1, 0.1, (S, L)), easy + rng.uniform(-0.02, 0.02, S)


def three_curves(rng: np.random.Generator, S: int, L: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Transferred, own and random: better than own at depth 0, worse than random at depth 1; at depth 2 own layers are worse
    than random ones, and at depth 3 they are equal."""
    own = rng.uniform(0.75, 0.9, (S, L))
    random = own - rng.uniform(0.1, 0.3, (S, L))
    transferred = random + rng.uniform(0.2, 0.9, (S, L)) * (own - random)
    transferred[:, 0] = own[:, 0] + rng.uniform(0.02, 0.08, S)
    transferred[:, 1] = random[:, 1] - rng.uniform(0.02, 0.08, S)
    own[:, 2] = random[:, 2] - rng.uniform(0.02, 0.08, S)
    own[:, 3] = random[:, 3]
    return transferred, own, random


def expect_shares(student: Student, transferred: np.ndarray, own: np.ndarray, random: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        got = student.share_kept(transferred, own, random)
    got = np.asarray(got, float) if isinstance(got, (list, tuple)) else got
    S, L = own.shape
    if not isinstance(got, np.ndarray) or got.shape != (L,):
        shape = f"shape {got.shape}" if isinstance(got, np.ndarray) else type(got).__name__
        raise Mistake(f"share_kept ({S} seeds, {L} depths) must return an array of shape {(L,)}, got {shape}")
    for depth in range(L):
        possible = statistics.fmean(own[:, depth] - random[:, depth])
        gained = statistics.fmean(transferred[:, depth] - random[:, depth])
        what = (
            f"share at depth {depth}, where own layers are {possible:+.3f} and transferred ones {gained:+.3f} above random ones"
        )
        if possible <= 0:
            if not np.isnan(got[depth]):
                raise Mistake(f"{what}: there is nothing to keep, expected NaN, got {got[depth]:.4g}")
        elif not np.isclose(got[depth], gained / possible, rtol=1e-6, atol=1e-9):
            raise Mistake(f"{what}: got {got[depth]:.5g}, expected {gained / possible:.5g}")


# ---- Task 5: where layers become specific


def specific_layers(student: Student, rng: np.random.Generator) -> None:
    curves = telling_cases(rng, FREE_SLIPS, "layers_for_free", reference_free, one_curve)
    pairs = telling_cases(rng, SPECIFIC_SLIPS, "first_specific_layer", reference_specific, two_curves)
    given_free = [student.layers_for_free(*arguments) for arguments in curves]  # all of them, to tell which mistake it is
    for arguments, got in zip(curves, given_free, strict=True):
        expect_layer("layers_for_free", got, reference_free(*arguments), describe_free(*arguments))
    given_specific = [student.first_specific_layer(*arguments) for arguments in pairs]
    for arguments, got in zip(pairs, given_specific, strict=True):
        expect_layer("first_specific_layer", got, reference_specific(*arguments), describe_specific(*arguments))


def mean_and_error(columns: np.ndarray) -> list[tuple[float, float]]:
    pairs = []
    for column in columns.T.tolist():
        S, mean = len(column), sum(column) / len(column)
        pairs.append((mean, (sum((value - mean) ** 2 for value in column) / (S - 1) / S) ** 0.5))
    return pairs


def reference_free(accuracies: np.ndarray) -> int:
    means, errors = zip(*mean_and_error(accuracies), strict=True)
    best = means.index(max(means))
    return max(n for n, mean in enumerate(means) if mean >= means[best] - errors[best])


def reference_specific(own: np.ndarray, other: np.ndarray) -> int:
    depths = mean_and_error(own - other)
    return min(
        [n for n in range(1, len(depths) + 1) if all(mean > error for mean, error in depths[n - 1 :])] + [len(depths) + 1]
    )


def one_curve(rng: np.random.Generator) -> tuple[np.ndarray]:
    """A plateau, often with a dip, and a fall; now and then all seeds agree, so that the error is 0."""
    S, L = int(rng.integers(3, 6)), int(rng.integers(4, 7))
    if rng.random() < 0.1:
        return (np.repeat([rng.integers(30, 34, L) / 64], 4, axis=0),)
    while True:
        curve = rng.uniform(0.7, 0.8) - rng.uniform(0, 0.03, L) - np.linspace(0, rng.uniform(0, 0.06), L)
        accuracies = curve + rng.normal(0, rng.uniform(0.01, 0.04), (S, L))
        means, errors = np.transpose(mean_and_error(accuracies))
        if np.abs(means - means.max() + errors[means.argmax()]).min() > 1e-6:  # or rounding could decide
            return (accuracies,)


def two_curves(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Of own and of other layers, with the same seeds; at some depths they are equal for all seeds."""
    S, L = int(rng.integers(3, 6)), int(rng.integers(3, 6))
    while True:
        own = rng.uniform(0.5, 0.9, (S, 1)) + rng.uniform(-0.05, 0.05, (S, L))
        loss = np.linspace(0, rng.uniform(0, 0.1), L) * rng.choice([1, 1, 1, -1])
        other = own - loss + rng.normal(0, rng.uniform(0.01, 0.04), (S, L))
        equal = rng.random(L) < 0.25
        other[:, equal] = own[:, equal]
        means, errors = np.transpose(mean_and_error(own - other))
        if np.abs(means - errors)[errors > 0].min(initial=1) > 1e-6:  # or rounding could decide
            return own, other


def describe_free(accuracies: np.ndarray) -> str:
    return ", ".join(f"n = {n}: {mean:.4f} +- {error:.4f}" for n, (mean, error) in enumerate(mean_and_error(accuracies)))


def describe_specific(own: np.ndarray, other: np.ndarray) -> str:
    depths = enumerate(mean_and_error(own - other), start=1)
    return ", ".join(f"n = {n}: own - other {mean:+.4f} +- {error:.4f}" for n, (mean, error) in depths)


def expect_layer(name: str, got: Any, expected: int, case: str) -> None:
    n = expect_number(f"{name}()", got)
    if n != expected:
        raise Mistake(f"{name}: got {float(n):g}, expected {expected}, for means and standard errors over the seeds of {case}")


# ---- when all is passed: the student's functions measure a real network

FINALE_LAYERS = ("conv1", "conv2", "conv3", "conv4")
FINALE_SEEDS, FINALE_PICTURES, FINALE_EPOCHS, FINALE_VAL = 3, 100, 8, 150
FINALE_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def finale(functions: dict[str, Any], out: Path) -> None:
    """Two halves of the classes: what the student's functions say of networks that the engine trains, beside other numbers."""
    from matplotlib.figure import Figure  # slow to load, and no check needs it

    from minicnn.linear_model import SoftmaxRegression, choose_regularisation

    pictures, labels, what = finale_pictures()
    curves = {kind: [] for kind in ("own", "other", "random")}
    for seed in range(FINALE_SEEDS):
        order = np.random.default_rng(seed).permutation(10)
        x, y = of_classes(pictures, labels, order[:5], seed)
        x_other, y_other = of_classes(pictures, labels, order[5:], seed)
        few = 5 * FINALE_PICTURES
        train, test = (x[:few], y[:few]), (x[few:], y[few:])
        sources = {
            "own": finale_train(finale_network(seed), *train),
            "other": finale_train(finale_network(seed + 10), x_other[:few], y_other[:few]),
            "random": settled(finale_network(seed + 20), x[:few]),
        }

        def accuracy_after_training(network: Model, train=train, test=test) -> float:
            finale_train(network, *train)
            return float((network.eval().forward(test[0]).argmax(axis=1) == test[1]).mean())

        for kind, source in sources.items():
            depths = range(len(FINALE_LAYERS) + 1) if kind == "other" else range(1, len(FINALE_LAYERS) + 1)
            curve = functions["transfer_curve"](source, finale_network(seed + 30), depths, True, accuracy_after_training)
            curves[kind].append(curve)
    own, with_base, random = (np.array(curve, float) for curve in curves.values())
    other = with_base[:, 1:]
    mean, error = functions["paired_gain"](with_base, with_base[:, 0])
    own_mean, own_error = functions["paired_gain"](own, with_base[:, 0])
    share = functions["share_kept"](other, own, random)
    first = functions["first_specific_layer"](own, other)
    free = functions["layers_for_free"](with_base)

    codes = {kind: codes_of(sources[kind], x) for kind in sources}
    rows = np.arange(len(x))
    train_rows, val, test_rows = rows[: few - FINALE_VAL], rows[few - FINALE_VAL : few], rows[few:]
    probe = {}
    for kind in ("own", "random"):
        parts = (train_rows, val, test_rows)
        probe[kind] = functions["probe_curve"](codes[kind], y, *parts, 5, FINALE_STRENGTHS)[1]
    engine = [
        choose_regularisation(SoftmaxRegression, z[train_rows], y[train_rows], z[val], y[val]).fitted.score(
            z[test_rows], y[test_rows]
        )
        for z in codes["own"]
    ]
    some = rows[few : few + 300]
    maps = np.array([[functions["linear_cka"](a[some], b[some]) for b in codes["other"]] for a in codes["own"]])
    kernels = {kind: [z[some] @ z[some].T for z in codes[kind]] for kind in ("own", "other")}
    by_kernels = np.array([[functions["kernel_cka"](K, L) for L in kernels["other"]] for K in kernels["own"]])
    ours = np.array([[cka_of(K, L) for L in kernels["other"]] for K in kernels["own"]])
    apart = max(np.abs(maps - ours).max(), np.abs(by_kernels - ours).max())

    figure = Figure(figsize=(11, 3.4), dpi=110, layout="tight")
    left, middle, right = figure.subplots(1, 3)
    names = ["pixels", *FINALE_LAYERS]
    image = left.imshow(maps, vmin=0, vmax=1, cmap="magma", origin="lower")
    for (i, j), value in np.ndenumerate(maps):
        left.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8, color="white" if value < 0.6 else "black")
    left.set_xticks(range(5), names, rotation=40)
    left.set_yticks(range(5), names)
    left.set(xlabel="trained on the other half", ylabel="trained on this half", title="Your CKA")
    figure.colorbar(image, ax=left)
    middle.plot(engine, color="#8a8a8a", lw=5, alpha=0.5, label="minicnn's softmax regression")
    middle.plot(probe["own"], "o-", color="#2a6fbb", label="your probes, trained layers")
    middle.plot(probe["random"], "s--", color="#d9722b", label="your probes, random layers")
    middle.set_xticks(range(5), names, rotation=40)
    middle.set(ylabel="test accuracy", title="Your probe curve")
    middle.legend(frameon=False, fontsize=8)
    right.errorbar(range(5), 100 * mean, 100 * error, fmt="o-", color="#d9722b", capsize=3, label="from the other half")
    right.errorbar(range(1, 5), 100 * own_mean, 100 * own_error, fmt="s--", color="#2a6fbb", capsize=3, label="own layers")
    right.axhline(0, color="#8a8a8a", lw=0.8)
    right.legend(frameon=False, fontsize=8)
    if first <= len(FINALE_LAYERS):
        right.axvspan(first - 0.3, len(FINALE_LAYERS) + 0.3, color="#d9722b", alpha=0.15, lw=0)
    right.set_xticks(range(5))
    right.set(xlabel="copied and frozen layers n", ylabel="gain over n = 0, points", title="Your gains; shaded: specific")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "finale.png")

    kept = "nothing" if np.isnan(share[-1]) else f"{share[-1]:.0%}"
    specific = f"from layer {first} on" if first <= len(FINALE_LAYERS) else "nowhere"
    print(
        f"{what}, two halves of five classes: your CKA maps and ours are {apart:.0e} apart; your probes on the last layer get "
        f"{probe['own'][-1]:.1%} right, minicnn's softmax regression {engine[-1]:.1%}, your probes on random layers "
        f"{probe['random'][-1]:.1%}. Frozen layers of the other half are specific {specific}; of what own layers are worth "
        f"more than random ones all four keep {kept}. Without a loss one could be sure of, {free} of 4 layers can be "
        f"copied. Figure: {out / 'finale.png'}"
    )


def finale_pictures() -> tuple[np.ndarray, np.ndarray, str]:
    """Grey pictures uint8 (N, H, W) of ten classes, their labels, and what they are."""
    from minicnn.course.workbench import drawn_digits, find_data
    from minicnn.data import load_cifar10

    if archive := find_data("cifar-10-binary.tar.gz") or find_data("cifar10-jpeg.zip"):
        x, y, *_ = load_cifar10(archive)
        return x.mean(axis=1, dtype=np.float32).astype(np.uint8), y, "photographs (CIFAR-10 in grey)"
    rng = np.random.default_rng(15)
    x, y = drawn_digits(6000, rng)
    return np.clip(x + rng.normal(0, 110, x.shape), 0, 255).astype(np.uint8), y, "drawn digits with much noise"


def of_classes(pictures: np.ndarray, labels: np.ndarray, classes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures to train on and, behind them, twice as many to test with, of each class equally many; float32 (N, 1, H, W)."""
    rng, parts = np.random.default_rng(seed), []
    for of_class in (rng.permutation(np.flatnonzero(labels == k))[: 3 * FINALE_PICTURES] for k in classes):
        parts.append(np.split(of_class, [FINALE_PICTURES]))
    rows = np.concatenate([rng.permutation(np.concatenate(part)) for part in zip(*parts, strict=True)])
    number = np.argsort(classes)[np.searchsorted(np.sort(classes), labels[rows])]
    return ((pictures[rows, None] - pictures[:2000].mean()) / pictures[:2000].std()).astype(np.float32), number


def finale_network(seed: int) -> Model:
    from minicnn.models.blocks import conv_norm

    rng = np.random.default_rng(seed)
    widths, kernels, strides = (1, 8, 16, 24, 40), (5, 3, 3, 3), (2, 2, 1, 2)
    layers: dict[str, Layer] = {
        name: conv_norm(widths[i], widths[i + 1], kernels[i], stride=strides[i], rng=rng)
        for i, name in enumerate(FINALE_LAYERS)
    }
    layers |= {"pool": GlobalAvgPool2d(), "norm": BatchNorm1d(widths[-1]), "scores": Linear(widths[-1], 5, rng=rng)}
    for parameter in layers["scores"].parameters().values():
        parameter.learning_rate_multiplier = 3.0
    return Model(layers, architecture="four units", input_shape=(1, 32, 32))


def finale_train(network: Model, x: np.ndarray, y: np.ndarray) -> Model:
    from minicnn.losses import SoftmaxCrossEntropy
    from minicnn.optim import AdamW
    from minicnn.schedules import one_cycle
    from minicnn.training import Trainer

    part: Layer = network
    if frozen := [name for name in FINALE_LAYERS if not network.layers[name].trainable]:
        lower, part = network.split(frozen[-1])  # what is frozen gives the same in all epochs
        x = lower.eval().forward(x)
    optimizer = AdamW(part.parameters(), 0.01)
    options = {"epochs": FINALE_EPOCHS, "batch_size": 50, "schedule": one_cycle(), "progress": False}
    Trainer(part, SoftmaxCrossEntropy(), optimizer, **options).fit(x, y)
    return network


def settled(network: Model, x: np.ndarray) -> Model:
    """Random weights; the batch norms' statistics are those of these pictures."""
    for i in np.tile(np.arange(0, len(x), 50), 5):
        network.train().forward(x[i : i + 50])
    return network.eval()


def codes_of(network: Model, x: np.ndarray) -> list[np.ndarray]:
    """Pixels and the maps of each layer as rows, float64; those of the first layer are averaged over 2 x 2 windows."""
    maps = network.eval().forward(x, layers=FINALE_LAYERS)
    N, C, H, W = maps["conv1"].shape
    maps["conv1"] = maps["conv1"].reshape(N, C, H // 2, 2, W // 2, 2).mean(axis=(3, 5))
    return [part.reshape(N, -1).astype(np.float64) for part in (x, *maps.values())]


FINALE = finale

TASKS = [
    Task(
        "linear CKA, by features and by kernels",
        similarities,
        functions=("linear_cka", "kernel_cka"),
        slips=(*FEATURE_SLIPS, *KERNEL_SLIPS),
        hints=(
            "Three matrix products, whose sizes are (E, D), (D, D) and (E, E), and three norms of them. For kernels: look at "
            "the means of rows and columns of H K H.",
            "Centring is what makes it forget the means: columns for features, rows and columns for kernels. np.linalg.norm(A) "
            "of a matrix is the root of its sum of squares. Ask before you divide.",
            "x = x.astype(np.float64), xc = x - x.mean(axis=0); np.linalg.norm(yc.T @ xc) ** 2 over the product of the other "
            "two norms. Kc = K - K.mean(0) - K.mean(1, keepdims=True) + K.mean(); (Kc * Lc).sum() over theirs.",
        ),
        points=3,
    ),
    Task(
        "linear probes, layer by layer",
        probes,
        functions=("ridge_probe", "probe_curve"),
        slips=(*RIDGE_SLIPS, *CURVE_SLIPS),
        hints=(
            "The first function is the closed form, line by line; watch where N stands. The second has two loops: over layers, "
            "and over strengths.",
            "np.linalg.solve(A, B) gives A^-1 B without an inverse, and xc^T xc + N strength I is symmetric. In the curve, "
            "training samples train, validation samples choose, test samples are only counted.",
            "q = np.eye(classes)[y]; w = np.linalg.solve(xc.T @ xc + N * strength * np.eye(D), xc.T @ qc).T; b = qm - w @ xm. "
            "Then for strength in sorted(strengths, reverse=True), and a later one wins only if it is really better.",
        ),
        points=3,
    ),
    Task(
        "transfer of the first n layers",
        transfers,
        functions=("transfer_curve",),
        slips=TRANSFER_SLIPS,
        hints=(
            "For each n: a network of its own, the right layers in it, the right flags, then train(network).",
            "copy.deepcopy of a layer takes along what is inside: weights, statistics, flags. So the flags must be set anew, "
            "for every parameter of every layer, and the copying done again for each n.",
            "network = copy.deepcopy(fresh); network.layers[name] = copy.deepcopy(source.layers[name]) for the first n names; "
            "parameter.trainable = not (frozen and i < n) for the parameters of layer number i.",
        ),
        points=3,
    ),
    Task(
        "gains over a baseline",
        gains,
        functions=("paired_gain", "share_kept"),
        slips=(*GAIN_SLIPS, *SHARE_SLIPS),
        hints=(
            "Differences first, seed by seed; then means over the first axis.",
            "baseline needs a second axis to go with (S, L). NumPy's std divides by S unless told otherwise (ddof). A share is "
            "a ratio of two means, where the lower one is above 0.",
            "g = accuracies - baseline[:, None]; g.mean(axis=0); g.std(axis=0, ddof=1) / np.sqrt(len(g)). np.where(possible > "
            "0, gained / possible, np.nan).",
        ),
        points=2,
    ),
    Task(
        "where layers become specific",
        specific_layers,
        functions=("layers_for_free", "first_specific_layer"),
        slips=(*FREE_SLIPS, *SPECIFIC_SLIPS),
        hints=(
            "Both need a mean and a standard error over the seeds at each depth, and then a choice among depths.",
            "The bound of the first is one number: the best mean less its own error. For the second go down from the top, as "
            "long as the mean difference is more than its error.",
            "np.flatnonzero(mean >= mean[best] - error[best]).max(). And: n = L + 1; while n > 1 and specific[n - 2]: n -= 1.",
        ),
        points=2,
    ),
]
