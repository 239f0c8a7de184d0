"""Lesson 12: what its exercise is checked for, offline, with new numbers and shapes each time.

The numbers differ from check to check; the cases do not. Names that begin alike, layers without parameters, blocks, what an
earlier phase left behind: whatever tells a right answer from a wrong one is in every check.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from slips import (
    CLASSIFIER_SLIPS,
    DX_SLIPS,
    HEAD_SLIPS,
    HEADS,
    NORM_SLIPS,
    PENALTY_SLIPS,
    PLAN_SLIPS,
    RATES_SLIPS,
    STEP_SLIPS,
)

from minicnn.course import Mistake, Student, Task
from minicnn.course.expect import expect_array, expect_close, expect_gradients, expect_number, expect_several
from minicnn.course.student import ARGUMENT_CHANGED
from minicnn.gradcheck import check_function
from minicnn.layers import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    GlobalAvgPool2d,
    Layer,
    Linear,
    Parameter,
    ReLU,
    Sequential,
)
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models import Model
from minicnn.optim import SGD
from minicnn.regularizers import L2SP
from minicnn.transfer import discriminative_rates

WIDTHS = 6, 7, 8, 9  # of the body's last layer
OLD_CLASSES = 5


def a_network(rng: np.random.Generator, head: str = "scores", width: int = WIDTHS[0], hidden: int = 0) -> Model:
    """A tiny "pretrained" network with everything that matters here.

    Batch norms at the top level and inside blocks, with statistics of their own; blocks of two convolutions; dropout; layers
    without parameters; names that begin alike ("unit1", "unit12"); no Linear that is square. With ``hidden`` units there is a
    fully connected layer with batch norm below the head.
    """

    def block(inputs: int, outputs: int, stride: int) -> Sequential:
        conv = Conv2d(inputs, outputs, 3, stride=stride, pad=1, bias=False, rng=rng, algorithm="textbook")
        mix = Conv2d(outputs, outputs, 1, rng=rng, algorithm="textbook")
        return Sequential(conv=conv, norm=BatchNorm2d(outputs), relu=ReLU(), mix=mix)

    layers: dict[str, Layer] = {
        "stem": Conv2d(3, 4, 3, stride=2, pad=1, rng=rng, algorithm="textbook"),
        "norm0": BatchNorm2d(4),
        "relu0": ReLU(),
        "unit1": block(4, 5, stride=1),
        "relu1": ReLU(),
        "unit12": block(5, width, stride=2),
        "pool": GlobalAvgPool2d(),
    }
    if hidden:
        layers |= {"hidden": Linear(width, hidden, rng=rng), "hidden_norm": BatchNorm1d(hidden), "hidden_relu": ReLU()}
    layers |= {"dropout": Dropout(0.4, rng=int(rng.integers(2**32))), head: Linear(hidden or width, OLD_CLASSES, rng=rng)}
    network = Model(layers, architecture="tiny", input_shape=(3, 8, 8))
    for name, parameter in network.parameters().items():
        if not name.endswith(".w"):  # gamma is 1 in a new network, and all biases are 0
            parameter.value += rng.uniform(0.1, 0.5, parameter.value.shape).astype(np.float32)
    for name, array in network.state().items():
        array[...] = rng.uniform(0.5, 1.5, array.shape) if "var" in name else rng.uniform(-0.5, 0.5, array.shape)
    return network


def arrays_of(network: Model) -> dict[str, np.ndarray]:
    """Copies of all weights and statistics, by name."""
    arrays = {name: parameter.value for name, parameter in network.parameters().items()} | network.state()
    return {name: array.copy() for name, array in arrays.items()}


def named(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(sorted(names)[:most]) + more


def different(rng: np.random.Generator, least: int, most: int, count: int) -> list[int]:
    """So many whole numbers from least to most, no two of them equal."""
    return [int(n) for n in rng.permutation(np.arange(least, most + 1))[:count]]


def expect_same_network(name: str, result: Any, network: Model, layers: list[str]) -> None:
    if result is not network:
        what = "another network" if isinstance(result, Layer) else f"a {type(result).__name__}"
        raise Mistake(f"{name}() must change the network in place and return that same network; it returned {what}")
    if list(network.layers) != layers:
        raise Mistake(f"the layers must keep names and order: {', '.join(layers)}; they are now {', '.join(network.layers)}")


# ---- Task 1: a new head, and a frozen body


def new_heads(student: Student, rng: np.random.Generator) -> None:
    untils = "unit12", "unit1", "relu0", "pool"  # with layers inside; another's name begins alike; no parameters; all the body
    classes = rng.permutation([2, 3, 4, OLD_CLASSES + 1])
    for until, head, width, count in zip(untils, rng.permutation(HEADS), rng.permutation(WIDTHS), classes, strict=True):
        hidden = 10 if until == "unit1" else 0
        new_head(student, rng, a_network(rng, str(head), int(width), hidden), int(count), until)


def new_head(student: Student, rng: np.random.Generator, network: Model, num_classes: int, until: str) -> None:
    for name in ("stem.b", "unit12.norm.gamma"):
        network.parameters()[name].trainable = False  # what an earlier phase left behind
    again, another = network.copy(), network.copy()
    names, old, before = list(network.layers), list(network.layers.values())[-1], arrays_of(network)
    seed = int(rng.integers(100, 2**32))
    result = student.replace_head_and_freeze(network, num_classes, until, np.random.default_rng(seed))
    expect_same_network("replace_head_and_freeze", result, network, names)
    head = network.layers[names[-1]]
    expect_new_head(head, old, num_classes)
    expect_frozen(network, names[: names.index(until) + 1], until)
    after = arrays_of(network)
    body = [name for name in before if name.split(".")[0] != names[-1]]
    if changed := [name for name in body if not np.array_equal(after[name], before[name])]:
        raise Mistake(f"{named(changed)} changed; only the last layer is to be replaced")
    same, other = (
        list(student.replace_head_and_freeze(copy, num_classes, until, np.random.default_rng(s)).layers.values())[-1].w.value
        for copy, s in ((again, seed), (another, seed + 1))
    )
    if not np.array_equal(head.w.value, same) or np.array_equal(head.w.value, other):
        raise Mistake("the random weights of the new head must come from rng: the same ones from an equal rng, others else")


def expect_new_head(head: Layer, old: Linear, num_classes: int) -> None:
    if head is old or not isinstance(head, Linear):
        what = "still the old one" if head is old else f"a {type(head).__name__}"
        raise Mistake(f"the last layer must be a new Linear layer, it is {what}")
    expect_array("the new head's w", head.w.value, (num_classes, old.in_features))
    if (head.in_features, head.out_features) != (old.in_features, num_classes):
        size = f"Linear({old.in_features}, {num_classes})"
        raise Mistake(f"the new head's w has been exchanged, and the layer does not know it: make a new one, {size}")
    if head.b is not None:
        expect_array("the new head's b", head.b.value, (num_classes,))
    if head.w.value.dtype != np.float32:
        raise Mistake(f"the new head's w must be float32 like the rest of the network, got {head.w.value.dtype}")
    if np.ptp(head.w.value) == 0:
        raise Mistake("all weights of the new head are equal; they must be random")


def expect_frozen(network: Model, lower: list[str], until: str) -> None:
    """`Mistake` unless exactly the parameters in these top-level layers are frozen."""
    parameters = network.parameters()
    below = [name for name in parameters if name.split(".")[0] in lower]
    trainable = {name for name, parameter in parameters.items() if parameter.trainable}
    if trainable == set(below):
        raise Mistake("it is the wrong way round: frozen means trainable = False (and one of the sources says the opposite)")
    if wrong := [name for name in below if name in trainable]:
        raise Mistake(f"up to and including '{until}' everything must be frozen, but {named(wrong)} can still be trained")
    if wrong := [name for name in parameters if name not in below and name not in trainable]:
        raise Mistake(
            f"everything above '{until}' must be trainable, but {named(wrong)} cannot: unfreeze() what was frozen, and freeze "
            "no layer whose name only begins like that of another"
        )


# ---- Task 2: learning rates by depth


def rates(student: Student, rng: np.random.Generator) -> None:
    heads = rng.permutation(HEADS)
    for head, hidden in ((heads[0], 0), (heads[1], 10)):
        network, decay = a_network(rng, str(head), hidden=hidden), float(rng.uniform(0.3, 0.8))
        for parameter in network.parameters().values():
            parameter.learning_rate_multiplier = float(rng.uniform(2, 3))
        network.layers["unit1"].freeze()
        network.parameters()["stem.b"].trainable = False
        flags = {name: parameter.trainable for name, parameter in network.parameters().items()}
        names, before, expected = list(network.layers), arrays_of(network), discriminative_rates(network.copy(), decay)
        expect_same_network("set_learning_rates", student.set_learning_rates(network, decay), network, names)
        after = arrays_of(network)
        if changed := [name for name in before if not np.array_equal(after[name], before[name])]:
            raise Mistake(f"{named(changed)} changed: set_learning_rates() sets multipliers, and changes no weights")
        parameters = network.parameters()
        if changed := [name for name, flag in flags.items() if parameters[name].trainable is not flag]:
            raise Mistake(f"{named(changed)} froze or thawed: set_learning_rates() sets multipliers, and changes no flags")
        for name in reversed(parameters):
            expect_multiplier(name, parameters[name], expected, decay)


def expect_multiplier(name: str, parameter: Parameter, expected: dict[str, float], decay: float) -> None:
    got = expect_number(f"the learning_rate_multiplier of {name}", parameter.learning_rate_multiplier)
    right = expected[name.split(".")[0]]
    if abs(got - right) > 1e-6:
        steps = round(np.log(right) / np.log(decay))
        counted = [top for top in reversed(expected) if "norm" not in top]
        raise Mistake(
            f"the learning_rate_multiplier of {name} is {got:.4g}, expected {right:.4g}: decay {decay:.3g} to the power of "
            f"{steps}. From the head down the layers that count are {', '.join(counted)}"
        )


# ---- Task 3: a step that keeps near the pretrained weights


def steps(student: Student, rng: np.random.Generator) -> None:
    for shape in ((5,), (3, 4), (2, 3, 2, 4)):
        penalties(student, rng, shape)
    for title, options in {
        "everything learns, no penalty": {"alpha": 0.0, "beta": 0.0},
        "everything learns, with penalty": {},
        "some frozen, some without a gradient": {"frozen": ("stem.w", "unit.norm.gamma"), "without": ("unit.conv.w", "fc.b")},
        "float32": {"dtype": np.float32},
    }.items():
        step(student, rng, title, **options)


def penalties(student: Student, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    """Of pretrained weights, and of new ones; both are computed before the first is judged: together they tell what it is."""
    w, alpha, beta = rng.standard_normal(shape), float(rng.uniform(0.2, 0.5)), float(rng.uniform(0.6, 0.9))
    cases = {"with w0": rng.standard_normal(shape), "w0 None": None}
    got = {title: student.l2sp_gradient(w, w0, alpha, beta) for title, w0 in cases.items()}
    for title, w0 in cases.items():
        expect_penalty(student, rng, got[title], w, w0, alpha, beta, f"l2sp_gradient (w {shape}, {title})")


def expect_penalty(
    student: Student,
    rng: np.random.Generator,
    got: Any,
    w: np.ndarray,
    w0: np.ndarray | None,
    alpha: float,
    beta: float,
    subject: str,
) -> None:
    parameter = Parameter(w.copy() if w0 is None else w0.copy())
    regularizer = L2SP({"w": parameter}, alpha, beta, new=["w"] if w0 is None else [])
    parameter.value[...], parameter.grad = w, np.zeros_like(w)
    regularizer.add_gradients()

    def forward(w: np.ndarray) -> np.ndarray:
        return np.asarray(beta / 2 * (w**2).sum() if w0 is None else alpha / 2 * ((w - w0) ** 2).sum())

    def backward(dy: np.ndarray) -> dict:
        return {"w": dy * student.l2sp_gradient(w, w0, alpha, beta)}

    got = expect_array(f"dR/dw of {subject}", got, w.shape)
    expect_gradients(
        subject,
        [got],
        {"dR/dw": parameter.grad},
        lambda: check_function(forward, backward, {"w": w}, subject=subject, rng=rng),
    )


def parameters_for_a_step(rng: np.random.Generator, dtype: type) -> tuple[dict[str, Parameter], dict[str, np.ndarray]]:
    """Parameters with gradients and multipliers of their own, and the pretrained arrays: all but those of the new head."""
    shapes = {
        "stem.w": (4, 3, 2, 2), "stem.b": (4,), "unit.conv.w": (5, 4, 1, 3), "unit.norm.gamma": (5,), "fc.w": (6, 5),
        "fc.b": (6,), "scores.w": (3, 6), "scores.b": (3,),
    }  # fmt: skip
    parameters, start = {}, {}
    for (name, shape), multiplier in zip(shapes.items(), rng.permutation(np.linspace(0.15, 0.9, len(shapes))), strict=True):
        parameter = parameters[name] = Parameter(rng.standard_normal(shape).astype(dtype), decays=name.endswith(".w"))
        parameter.grad = rng.standard_normal(shape).astype(dtype)
        parameter.learning_rate_multiplier = float(multiplier)
        if not name.startswith("scores."):
            start[name] = (parameter.value + rng.standard_normal(shape)).astype(dtype)
    return parameters, start


def step(
    student: Student,
    rng: np.random.Generator,
    title: str,
    frozen: Sequence[str] = (),
    without: Sequence[str] = (),
    dtype: type = np.float64,
    alpha: float | None = None,
    beta: float | None = None,
) -> None:
    learning_rate = float(rng.uniform(0.1, 0.3))
    alpha = float(rng.uniform(0.3, 0.6)) if alpha is None else alpha
    beta = float(rng.uniform(0.8, 1.2)) if beta is None else beta
    parameters, start = parameters_for_a_step(rng, dtype)
    for name in frozen:
        parameters[name].trainable = False
    for name in without:
        parameters[name].grad = None
    objects = dict(parameters)
    values = {name: p.value.copy() for name, p in parameters.items()}
    gradients = {name: None if p.grad is None else p.grad.copy() for name, p in parameters.items()}
    origins = {name: array.copy() for name, array in start.items()}
    expected = engine_step(values, gradients, objects, start, learning_rate, alpha, beta)

    got = student.sgd_step(parameters, start, learning_rate, alpha, beta)
    if not isinstance(got, dict) or any(got.get(name) is not p for name, p in objects.items()) or len(got) != len(objects):
        raise Mistake("sgd_step() must move the parameters in place and return the dict of those same parameters")
    if any(not np.array_equal(start[name], array) for name, array in origins.items()):
        text = f"sgd_step ({title}) changes an array of start: the pretrained weights must stay as they were"
        raise Mistake(text, name=ARGUMENT_CHANGED)
    for name, p in objects.items():
        was = gradients[name]
        if (p.grad is None) != (was is None) or (was is not None and not np.array_equal(p.grad, was)):
            text = f"sgd_step ({title}) changes the gradient of {name}: others may still want it"
            raise Mistake(text, name=ARGUMENT_CHANGED)
        value = p.value
        expect_array(f"{name} after sgd_step ({title})", value, values[name].shape)
        if value.dtype != dtype:
            raise Mistake(f"{name} was {np.dtype(dtype)} and is {value.dtype} after sgd_step ({title}); the dtype must stay")
        if (name in frozen or name in without) and not np.array_equal(value, values[name]):
            why = "is frozen (trainable = False)" if name in frozen else "has no gradient (None)"
            raise Mistake(f"{name} {why} and moved in sgd_step ({title}); it must stay as it is to the bit")
        expect_close(f"{name} after sgd_step ({title})", value, expected[name], tolerance=1e-6 if dtype == np.float64 else 1e-5)


def engine_step(values, gradients, parameters, start, learning_rate, alpha, beta) -> dict[str, np.ndarray]:
    """What minicnn's SGD and L2SP make of it, in float64."""
    twins = {}
    for name, p in parameters.items():
        twin = twins[name] = Parameter(start.get(name, values[name]).astype(np.float64), decays=p.decays)
        twin.trainable, twin.learning_rate_multiplier = p.trainable, p.learning_rate_multiplier
    regularizer = L2SP(twins, alpha, beta, new=[name for name in twins if name not in start])
    for name, twin in twins.items():
        twin.value[...] = values[name]
        twin.grad = None if gradients[name] is None else gradients[name].astype(np.float64)
    regularizer.add_gradients()
    SGD(twins, learning_rate).step()
    return {name: twin.value for name, twin in twins.items()}


# ---- Task 4: a batch normalisation that can be frozen

CASES = {
    (True, True): "train mode, trainable",
    (True, False): "train mode, frozen",
    (False, True): "eval mode, trainable",
    (False, False): "eval mode, frozen",
}


def norms(student: Student, rng: np.random.Generator) -> None:
    for N, C, H, W in (different(rng, 2, 6, 4), different(rng, 2, 6, 4)):
        layer, x = a_norm(rng, C), rng.standard_normal((N, C, H, W)) + 1
        arrays = layer.gamma.value, layer.beta.value, layer.running_mean, layer.running_var
        got = {
            case: student.norm_forward(x, *(a.copy() for a in arrays), *case, layer.momentum, layer.eps) for case in CASES
        }  # all four, before the first is judged: together they tell what it is
        for case in CASES:
            expect_norm(got[case], layer, x, case)
    layer, x = a_norm(rng, 3), rng.standard_normal((1, 3, 1, 1))
    arrays = layer.gamma.value, layer.beta.value, layer.running_mean, layer.running_var
    got = student.norm_forward(x, *(a.copy() for a in arrays), True, False, layer.momentum, layer.eps)
    expect_norm(got, layer, x, (True, False))
    for N, C, H, W in (different(rng, 2, 6, 4), different(rng, 2, 6, 4)):
        passed_down(student, rng, a_norm(rng, C), rng.standard_normal((N, C, H, W)))


def a_norm(rng: np.random.Generator, C: int) -> BatchNorm2d:
    layer = BatchNorm2d(C, eps=float(rng.uniform(0.3, 0.6)), momentum=float(rng.uniform(0.15, 0.35))).astype(np.float64)
    layer.gamma.value, layer.beta.value = rng.uniform(1.5, 2.5, C), rng.uniform(0.4, 0.9, C)
    layer.running_mean, layer.running_var = rng.uniform(-2, -1, C), rng.uniform(2, 4, C)
    return layer


def expect_norm(got: Any, layer: BatchNorm2d, x: np.ndarray, case: tuple[bool, bool]) -> None:
    """`Mistake` unless this is what the engine's layer does in this mode."""
    training, trainable = case
    title = f"norm_forward ({CASES[case]}, x {x.shape})"
    y, mean, var = expect_several("norm_forward", got, "y, running_mean, running_var")
    before = layer.running_mean.copy(), layer.running_var.copy()
    layer.unfreeze() if trainable else layer.freeze()
    layer.train() if training else layer.eval()
    expected = layer.forward(x), layer.running_mean.copy(), layer.running_var.copy()
    layer.running_mean, layer.running_var = before
    expect_close(f"y of {title}", expect_array(f"y of {title}", y, x.shape), expected[0])
    for name, now, right, was in zip(("running_mean", "running_var"), (mean, var), expected[1:], before, strict=True):
        now = expect_array(f"the new {name} of {title}", now, was.shape)
        if not case == (True, True) and not np.array_equal(now, was):
            raise Mistake(f"{name} moved in {title}; it must stay as it is to the bit, so return a copy of it")
        expect_close(f"the new {name} of {title}", now, right)


def passed_down(student: Student, rng: np.random.Generator, layer: BatchNorm2d, x: np.ndarray) -> None:
    dy, gamma, beta, eps = rng.standard_normal(x.shape), layer.gamma.value, layer.beta.value, layer.eps
    layer.freeze().train().forward(x)
    expected = layer.backward(dy)
    subject = f"frozen_norm_backward (dy {dy.shape}, eps {eps:.3g})"
    mean, var = layer.running_mean, layer.running_var

    def forward(x: np.ndarray) -> np.ndarray:
        s = np.sqrt(var + eps)
        return gamma[:, None, None] * ((x - mean[:, None, None]) / s[:, None, None]) + beta[:, None, None]

    def backward(dy: np.ndarray) -> dict:
        return {"x": student.frozen_norm_backward(dy, gamma, var, eps)}

    got = expect_array(f"dx of {subject}", student.frozen_norm_backward(dy, gamma, var, eps), x.shape)
    check = lambda: check_function(forward, backward, {"x": x}, subject=subject, rng=rng)  # noqa: E731
    expect_gradients(subject, [got], {"dx": expected}, check)


# ---- Task 5: a head that is right from the first step


def classifiers(student: Student, rng: np.random.Generator) -> None:
    for constant in (0, 0, 2):
        K, D, N = different(rng, 3, 9, 3)
        w, b, mean, std = rng.standard_normal((K, D)), rng.standard_normal(K), rng.normal(2, 1, D), rng.uniform(0.3, 0.8, D)
        std[rng.permutation(D)[:constant]] = 0
        with np.errstate(divide="ignore", invalid="ignore"):
            got = student.head_from_classifier(w, b, mean, std)
        w2, b2 = expect_several("head_from_classifier", got, "w2, b2")
        title = f"{K} classes, {D} features" + (f", {constant} of which were constant" if constant else "")
        w2, b2 = expect_array(f"w2 ({title})", w2, (K, D)), expect_array(f"b2 ({title})", b2, (K,))
        x = rng.normal(2, 1, (N, D))
        z = x - mean
        z[:, std > 0] /= std[std > 0]
        scores = z @ w.T + b
        apart = np.abs(x @ w2.T + b2 - scores).max()
        if apart > 1e-6 * np.abs(scores).max():
            raise Mistake(
                f"on codes as they come the head gives other scores than the classifier on standardised ones ({title}): "
                f"{apart:.3g} apart, where the largest score is {np.abs(scores).max():.3g}"
            )


# ---- Task 6: fine-tuning in two phases


def phases(student: Student, rng: np.random.Generator) -> None:
    runs = [
        a_run(rng, "phase 1 alone", 2, 0),
        a_run(rng, "phase 2 alone", 0, 2),
        a_run(rng, "both phases", 2, 3),
        a_run(rng, "both phases, of a network with parts frozen and multipliers set", 1, 1, is_used=True),
    ]
    for run in runs:  # all of them, before the first is judged: together they tell what it is
        given = [array for part in run.plan[1:3] for batch in part for array in batch]
        copies = [array.copy() for array in given]
        run.got = student.fine_tune(run.network, *run.plan)
        if any(not np.array_equal(*pair) for pair in zip(given, copies, strict=True)):
            raise Mistake(f"fine_tune ({run.title}) changes the batches: others still need them", name=ARGUMENT_CHANGED)
    for run in runs:
        expect_tuned(run)


def a_run(rng: np.random.Generator, title: str, first: int, second: int, is_used: bool = False) -> SimpleNamespace:
    """A network before fine-tuning, the plan with so many batches for each phase, and what is expected of it.

    A network that is used has parts frozen, and multipliers that are not 1.
    """
    head = str(rng.choice(HEADS))
    network = a_network(rng, head, int(rng.choice(WIDTHS))).astype(np.float64)
    if is_used:
        for name in ("unit1.conv.w", f"{head}.w"):
            network.parameters()[name].trainable = False
        for parameter in network.parameters().values():
            parameter.learning_rate_multiplier = float(rng.uniform(0.2, 0.6))
    batches = [
        (rng.standard_normal((N, 3, 6, 5)), rng.integers(0, OLD_CLASSES, N)) for N in different(rng, 2, 7, first + second)
    ]
    rates = float(rng.uniform(0.4, 0.6)), float(rng.uniform(0.1, 0.2))
    plan = head, batches[:first], batches[first:], *rates
    expected = reference(network.copy(), *plan)
    return SimpleNamespace(title=title, network=network.eval(), plan=plan, before=arrays_of(network), expected=expected)


def expect_tuned(run: SimpleNamespace) -> None:
    got, before, title = run.got, run.before, f"fine_tune ({run.title})"
    if not isinstance(got, dict) or any(not isinstance(array, (np.ndarray, list)) for array in got.values()):
        raise Mistake("fine_tune() must return a dict of arrays by name, parameters and statistics")
    if missing := [name for name in before if name not in got]:
        raise Mistake(f"what fine_tune() returns lacks {named(missing)}: parameters() and state() together have all arrays")
    if unknown := [name for name in got if name not in before]:
        raise Mistake(f"what fine_tune() returns has {named(unknown)}: such arrays are not in the network")
    expect_moved(title, got, before, run.expected)
    after = arrays_of(run.network)
    if wrong := [name for name in before if not np.array_equal(after.get(name), got[name])]:
        raise Mistake(f"{title}: the network itself has other values than what came back in {named(wrong)}: train it in place")


def reference(network: Model, head: str, first: list, second: list, head_rate: float, body_rate: float) -> dict:
    """All arrays after both phases, with the engine's layers and a step in plain words."""
    loss, norms = SoftmaxCrossEntropy(), [path for path, layer in network.walk() if isinstance(layer, BatchNorm2d)]
    body = [name for name in network.layers if name != head]
    for batches, frozen in ((first, body), (second, norms)):
        for x, y in batches:
            network.unfreeze()
            network.freeze(names=frozen)
            loss.forward(network.train().forward(x), y)
            network.backward(loss.backward())
            for name, parameter in network.parameters().items():
                if parameter.trainable:
                    parameter.value -= (head_rate if name.startswith(f"{head}.") else body_rate) * parameter.grad
    return arrays_of(network)


def expect_moved(title: str, got: dict, before: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """`Mistake` unless what should have stayed has stayed to the bit, and what should have moved is where it should be."""
    for name in before:
        got[name] = expect_array(f"{name} after {title}", got[name], before[name].shape)
    stays = [name for name in before if np.array_equal(expected[name], before[name])]
    moved = [name for name in stays if not np.array_equal(got[name], before[name])]
    if moved:
        statistics = [name for name in moved if "running" in name]
        hint = " (a batch norm that is not frozen moves its statistics in train mode)" if statistics == moved else ""
        raise Mistake(f"{title}: {named(moved)} moved, and must stay as they were to the bit{hint}")
    if stuck := [name for name in before if name not in stays and np.array_equal(got[name], before[name])]:
        raise Mistake(f"{title}: {named(stuck)} did not move, and should have learned")
    for name in before:
        expect_close(f"{name} after {title}", got[name], expected[name])


# ---- all tasks

TASKS = [
    Task(
        "a new head, and a frozen body",
        new_heads,
        functions=("replace_head_and_freeze",),
        slips=HEAD_SLIPS,
        hints=(
            "Print network.layers of the lesson's network, then network.parameters(). Which is the last layer, and what is its "
            "in_features?",
            "Three steps: a new Linear under the old name, everything trainable, then everything up to `until` frozen. "
            "Model.unfreeze() and Model.freeze() know about layers inside layers.",
            "name, old = list(network.layers.items())[-1]; network.layers[name] = Linear(old.in_features, num_classes, "
            "rng=rng); network.unfreeze(); network.freeze(until=...).",
        ),
        points=2,
    ),
    Task(
        "learning rates by depth",
        rates,
        functions=("set_learning_rates",),
        slips=RATES_SLIPS,
        hints=(
            "Write the layers of a network from the head down, and beside each the power of decay that it has.",
            "Go through network.layers from the last to the first with a number that begins at 1. All parameters of a layer "
            "get the number as it is; which layers make it smaller for those that follow?",
            "for layer in reversed(network.layers.values()): set the multipliers of layer.parameters().values(); then "
            "multiply by decay if the layer has parameters and is no BatchNorm1d or BatchNorm2d.",
        ),
        points=2,
    ),
    Task(
        "a step that keeps near the pretrained weights",
        steps,
        functions=("l2sp_gradient", "sgd_step"),
        slips=(*PENALTY_SLIPS, *STEP_SLIPS),
        hints=(
            "First the penalty: where is R least, and what is its slope beside that? Then the step: which parameters does it "
            "leave alone?",
            "start.get(name) is None for a name that is not there, which is just what l2sp_gradient wants to know. The "
            "penalty's gradient is added to dw before anything is multiplied.",
            "if parameter.trainable and parameter.grad is not None: parameter.value -= learning_rate * "
            "parameter.learning_rate_multiplier * (parameter.grad + penalty), with penalty 0 where decays is False.",
        ),
        points=3,
    ),
    Task(
        "a batch normalisation that can be frozen",
        norms,
        functions=("norm_forward", "frozen_norm_backward"),
        slips=(*NORM_SLIPS, *DX_SLIPS),
        hints=(
            "Make a table of the four cases of training and trainable: which statistics normalise, and which move?",
            "Only one of the four cases uses the batch's statistics, and it is the same one in which the running ones move. "
            "Backward, a frozen norm is a factor for each channel.",
            "mean, variance = (those of the batch over axes 0, 2, 3) if training and trainable else (running_mean, "
            "running_var). a[:, None, None] fits (C,) to (N, C, H, W). dx = dy * gamma / sqrt(running_var + eps).",
        ),
        points=3,
    ),
    Task(
        "a head that is right from the first step",
        classifiers,
        functions=("head_from_classifier",),
        slips=CLASSIFIER_SLIPS,
        hints=(
            "Write z out in z w^T + b, and multiply it out: one part has x in it, the rest has not.",
            "sum over d of (x[d] - mean[d]) / std[d] * w[k, d] = sum of x[d] * (w[k, d] / std[d]) - sum of mean[d] * "
            "(w[k, d] / std[d]). A feature whose std is 0 was divided by nothing.",
            "w2 = w / np.where(std == 0, 1, std), and then b2 = b - w2 @ mean.",
        ),
        points=2,
    ),
    Task(
        "fine-tuning in two phases",
        phases,
        functions=("fine_tune",),
        slips=PLAN_SLIPS,
        hints=(
            "Both phases are the same loop over batches. What differs is what may move, which is decided before each of them.",
            "Phase 1: freeze() the network, unfreeze() the head. Phase 2: unfreeze() the network, then freeze every layer of "
            "network.walk() that is a BatchNorm2d. Frozen norms keep their statistics in train mode.",
            "One SGD(network.parameters(), head_rate) serves both phases, if the multiplier of everything outside the head is "
            "body_rate / head_rate. A step: loss.forward(network.train().forward(x), y); network.backward(loss.backward()); "
            "optimizer.step().",
        ),
        points=3,
    ),
]

# ---- all of them together: a network that knows some classes learns others

CLASSES = 5  # old ones, and new ones
FEW, BATCH, EPOCHS = 20, 20, 12  # pictures of each new class; of a batch; epochs of each phase
HEAD_RATE, BODY_RATE = 0.2, 0.02  # in two phases
RATE, DECAY, ALPHA, BETA = 0.05, 0.5, 0.05, 0.01  # from a linear classifier's head


def finale(functions: dict[str, Callable], out: Path) -> None:
    """A small network that knows five classes learns five others, from few pictures, in two ways: the student's, the engine's.

    In two phases, with the student's fine_tune(); and from a linear classifier's head, with the student's rates, norms and
    steps.
    """
    from matplotlib.figure import Figure  # slow to load, and no check needs it

    pretrained, what, train, val = finale_network_and_pictures()
    yours = functions["replace_head_and_freeze"](pretrained.copy(), CLASSES, "pool", np.random.default_rng(3))
    ours = pretrained.copy()
    ours.replace_head(CLASSES).w.value[...] = yours.classifier.w.value  # so that both begin alike
    yours.astype(np.float64)
    ours.astype(np.float64)
    curves = {
        "in two phases": [
            two_phases(ours.copy(), reference, train, val),
            two_phases(yours.copy(), functions["fine_tune"], train, val),
        ],
        "from a linear classifier's head": [
            from_a_classifier(ours.copy(), None, train, val),
            from_a_classifier(yours.copy(), functions, train, val),
        ],
    }
    figure = Figure(figsize=(9, 3.4), dpi=110, layout="tight")
    for ax, (title, pair) in zip(figure.subplots(1, 2, sharey=True), curves.items(), strict=True):
        for curve, label, style in zip(
            pair,
            ("the engine's", "yours"),
            ({"color": "#d9722b", "lw": 4}, {"color": "#2a6fbb", "ls": "--", "lw": 1.5}),
            strict=True,
        ):
            ax.plot([loss for loss, _ in curve], label=label, **style)
        ax.set(xlabel="epoch", title=title)
        ax.legend(frameon=False)
    figure.axes[0].axvline(EPOCHS, color="#8a8a8a", lw=0.8)
    figure.axes[0].set_ylabel("validation loss")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "finale.png")

    apart = max(abs(a - b) for pair in curves.values() for (a, _), (b, _) in zip(*pair, strict=True))
    phases, head_first = ([accuracy for _, accuracy in pair[1]] for pair in curves.values())
    print(
        f"A network that knew five classes of {what} met five others, {FEW} pictures of each. With your new head "
        f"{phases[0]:.1%} right, after your phase 1 {phases[EPOCHS]:.1%}, after phase 2 {phases[-1]:.1%}. From a linear "
        f"classifier's head {head_first[0]:.1%}, and after your steps {head_first[-1]:.1%}. Your losses and the engine's "
        f"differ by {apart:.0e} at most. Figure: {out / 'finale.png'}"
    )


def finale_network_and_pictures() -> tuple[Model, str, tuple, tuple]:
    """A network that has learned classes 0 to 4, what the pictures are, and few of classes 5 to 9: to train on, to validate.

    Pictures are float64 (N, 1, 14, 14), labels 0 to 4.
    """
    from minicnn.course.workbench import drawn_digits, find_data
    from minicnn.data import load_fashion_mnist
    from minicnn.models.blocks import conv_norm
    from minicnn.optim import AdamW
    from minicnn.training import Trainer

    rng = np.random.default_rng(12)
    if folder := find_data("fashion-mnist"):
        pictures, labels, *_ = load_fashion_mnist(folder)
        pictures, labels, what = pictures[:10000], labels[:10000], "clothes"
    else:
        pictures, labels = drawn_digits(8000, rng)
        pictures = np.clip(pictures + rng.normal(0, 60, pictures.shape), 0, 255)
        what = "noisy drawn digits"
    x = pictures.reshape(-1, 1, 14, 2, 14, 2).mean(axis=(3, 5))
    x = (x - x.mean()) / x.std()
    is_old = labels < CLASSES
    network = Model(
        {
            "conv1": conv_norm(1, 8, 3, rng=rng),
            "conv2": conv_norm(8, 16, 3, stride=2, rng=rng),
            "conv3": conv_norm(16, 32, 3, stride=2, rng=rng),
            "pool": GlobalAvgPool2d(),
            "scores": Linear(32, CLASSES, rng=rng),
        },
        architecture="a small network",
        input_shape=(1, 14, 14),
    )
    trainer = Trainer(
        network, SoftmaxCrossEntropy(), AdamW(network.parameters(), 0.003), epochs=3, batch_size=50, label="five old classes"
    )
    trainer.fit(x[is_old].astype(np.float32), labels[is_old])
    x, y = x[~is_old], labels[~is_old] - CLASSES
    few = np.concatenate([np.flatnonzero(y == k)[:FEW] for k in range(CLASSES)])
    others = np.setdiff1d(np.arange(len(y)), few)[:1500]
    return network, what, (x[few], y[few]), (x[others], y[others])


def loss_and_accuracy(network: Model, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    scores = network.eval().forward(x)
    return SoftmaxCrossEntropy().forward(scores, y), float((scores.argmax(axis=1) == y).mean())


def batches_of_an_epoch(x: np.ndarray, y: np.ndarray, epoch: int) -> list[tuple[np.ndarray, np.ndarray]]:
    order = np.random.default_rng(epoch).permutation(len(x))
    return [(x[rows], y[rows]) for rows in order.reshape(-1, BATCH)]


def two_phases(network: Model, fine_tune: Callable, train: tuple, val: tuple) -> list[tuple[float, float]]:
    """Loss and accuracy before, and after each epoch of both phases."""
    curve = [loss_and_accuracy(network, *val)]
    for epoch in range(2 * EPOCHS):
        batches = batches_of_an_epoch(*train, epoch)
        plan = (batches, []) if epoch < EPOCHS else ([], batches)
        fine_tune(network, "scores", *plan, HEAD_RATE, BODY_RATE)
        curve.append(loss_and_accuracy(network, *val))
    return curve


def from_a_classifier(network: Model, functions: dict | None, train: tuple, val: tuple) -> list[tuple[float, float]]:
    """Loss and accuracy with a linear classifier's head, and after each epoch from there: the engine's, or with functions.

    All but the batch norms learns, with rates that fall from the head down, and is drawn back to where it was.
    """
    from minicnn.linear_model import SoftmaxRegression

    codes = network.split("pool")[0].eval().forward(train[0])
    mean, std = codes.mean(axis=0), codes.std(axis=0)
    safe = np.where(std == 0, 1, std)
    classifier = SoftmaxRegression(0.1, standardise=False).fit((codes - mean) / safe, train[1])
    if functions:
        w, b = functions["head_from_classifier"](classifier.w, classifier.b, mean, std)
        functions["set_learning_rates"](network, DECAY)
        take_norms(network, functions)
    else:
        w = classifier.w / safe
        b = classifier.b - (w * mean).sum(axis=1)
        discriminative_rates(network, DECAY)
    network.classifier.w.value[...], network.classifier.b.value[...] = w, b
    network.unfreeze()
    network.freeze(names=[path for path, layer in network.walk() if isinstance(layer, BatchNorm2d)])
    parameters = network.parameters()
    start = {name: p.value.copy() for name, p in parameters.items() if not name.startswith("scores.")}
    regularizer, optimizer = L2SP(parameters, ALPHA, BETA, new=["scores.w", "scores.b"]), SGD(parameters, RATE)
    loss, curve = SoftmaxCrossEntropy(), [loss_and_accuracy(network, *val)]
    for epoch in range(EPOCHS):
        for x, y in batches_of_an_epoch(*train, epoch):
            loss.forward(network.train().forward(x), y)
            network.backward(loss.backward())
            if functions:
                functions["sgd_step"](parameters, start, RATE, ALPHA, BETA)
            else:
                regularizer.add_gradients()
                optimizer.step()
        curve.append(loss_and_accuracy(network, *val))
    return curve


def take_norms(network: Model, functions: dict[str, Callable]) -> None:
    """Let each batch norm of the network compute what the student's functions say."""

    def forward_of(layer: BatchNorm2d) -> Callable:
        def forward(x: np.ndarray) -> np.ndarray:
            arrays = layer.gamma.value, layer.beta.value, layer.running_mean, layer.running_var
            modes = layer.training, layer.trainable
            y, mean, var = functions["norm_forward"](x, *arrays, *modes, layer.momentum, layer.eps)
            layer.running_mean[...], layer.running_var[...] = mean, var
            return np.ascontiguousarray(y)

        return forward

    def backward_of(layer: BatchNorm2d) -> Callable:
        def backward(dy: np.ndarray) -> np.ndarray:
            dx = functions["frozen_norm_backward"](dy, layer.gamma.value, layer.running_var, layer.eps)
            return np.ascontiguousarray(dx)

        return backward

    for _, layer in network.walk():
        if isinstance(layer, BatchNorm2d):
            layer.forward, layer.backward = forward_of(layer), backward_of(layer)


FINALE = finale
