"""Lesson 11: the tasks of its exercise, how answers are checked, and the mistakes that people make in them.

The numbers differ from check to check; the cases do not. Whatever tells a right answer from a wrong one is in every check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from known_accuracies import Trial

from minicnn.course import Lesson, Mistake, Slip, Student, Task
from minicnn.course.expect import expect_array, expect_close, expect_gradients, expect_number, expect_several
from minicnn.gradcheck import check_function
from minicnn.layers import BatchNorm2d, Conv2d, Dropout, GlobalAvgPool2d, Layer, Linear, Parameter, ReLU, Sequential
from minicnn.losses import SoftmaxCrossEntropy, softmax
from minicnn.models import Model

solution = Lesson(Path(__file__).resolve().parent).solution

WIDTHS = 6, 7, 8, 9  # of the body's last layer; nobody can know which a network has


def a_network(rng: np.random.Generator, head: str = "scores", width: int = WIDTHS[0]) -> Model:
    """A small "pretrained" network with everything that matters here.

    Batch norms with statistics of their own, dropout, layers without parameters, layers with others inside, two names that
    begin alike, and no Linear that is square.
    """

    def block(inputs: int, outputs: int, stride: int) -> Sequential:
        return Sequential(
            conv=Conv2d(inputs, outputs, 3, stride=stride, pad=1, rng=rng), norm=BatchNorm2d(outputs), relu=ReLU()
        )

    layers: dict[str, Layer] = {
        "conv1": Conv2d(3, 4, 3, pad=1, rng=rng),
        "norm1": BatchNorm2d(4),
        "relu1": ReLU(),
        "block1": block(4, 5, stride=1),
        "block10": block(5, width, stride=2),
        "pool": GlobalAvgPool2d(),
        "dropout": Dropout(0.5, rng=rng),
        head: Linear(width, 5, rng=rng),
    }
    network = Model(layers, architecture="small", input_shape=(3, 8, 8))
    for name, parameter in network.parameters().items():
        if not name.endswith(".w"):  # gamma is 1 in a new network, and all biases are 0
            parameter.value += rng.uniform(0.1, 0.5, parameter.value.shape).astype(np.float32)
    for name, array in network.state().items():
        array[...] = rng.uniform(0.5, 1.5, array.shape) if "var" in name else rng.standard_normal(array.shape)
    return network


def pictures(rng: np.random.Generator) -> np.ndarray:
    H, W = rng.permutation([6, 7, 8, 9])[:2]
    return rng.standard_normal((rng.integers(5, 9), 3, H, W)).astype(np.float32)


def everything_in(network: Model) -> dict[str, np.ndarray]:
    """Copies of all weights and statistics, by name."""
    arrays = {name: parameter.value for name, parameter in network.parameters().items()} | network.state()
    return {name: array.copy() for name, array in arrays.items()}


# ---- Task 1


def codes(student: Student, rng: np.random.Generator) -> None:
    network, x = a_network(rng), pictures(rng)
    for layer in ("relu1", "block10", "pool", "dropout", "scores"):
        lower, _ = network.split(layer)
        output = lower.eval().forward(x)
        expected = output.mean(axis=(2, 3)) if output.ndim == 4 else output
        before = everything_in(network)
        got = student.extract_codes(network.train(), layer, x)
        after = everything_in(network)
        if after.keys() != before.keys() or any(after[name].dtype != before[name].dtype for name in before):
            raise Mistake(
                "extracting codes left another network behind, with other layers or another dtype: others still need it. Work "
                "on a part of it, network.split(layer), or on a copy"
            )
        if changed := [name for name in before if not np.array_equal(after[name], before[name])]:
            raise Mistake(
                f"extracting codes changed {', '.join(changed)}: the network came in train mode, where batch norm updates its "
                "running statistics. Call eval() first"
            )
        slips = {}
        if output.ndim == 4:
            slips = {
                "Are the feature maps summed, instead of averaged over H and W?": output.sum(axis=(2, 3)),
                "Is the largest value taken instead of the mean?": output.max(axis=(2, 3)),
            }
        expect_array(f"the codes at '{layer}' of {len(x)} pictures", got, expected.shape)
        expect_close(f"codes at '{layer}'", got, expected, slips, tolerance=1e-4)
        alone = student.extract_codes(network.train(), layer, x[:1])
        expect_close(f"the code of one picture alone, at '{layer}',", alone, expected[:1], tolerance=1e-3)


# ---- Task 2


def standardising(student: Student, rng: np.random.Generator) -> None:
    N, M, D = (int(n) for n in rng.permutation([7, 8, 9, 10])[:3])
    train, other = rng.normal(5, 3, (N, D)), rng.normal(2, 1, (M, D))
    mean, std = train.mean(axis=0), train.std(axis=0)
    results = expect_several("standardise", student.standardise(train, other), "train, other")
    joined = np.concatenate([train, other])
    slips = {
        "That is what the mean and std of both sets together give; use those of the training codes.": (
            (train - joined.mean(axis=0)) / joined.std(axis=0),
            (other - joined.mean(axis=0)) / joined.std(axis=0),
        ),
        "Each set was standardised by its own mean and std; use those of the training codes for both.": (
            (train - mean) / std,
            (other - other.mean(axis=0)) / other.std(axis=0),
        ),
        "Mean and std were taken over everything; take them for each feature (axis=0).": (
            (train - train.mean()) / train.std(),
            (other - train.mean()) / train.std(),
        ),
        "Was it divided by the variance?": ((train - mean) / std**2, (other - mean) / std**2),
    }
    for i, (name, array) in enumerate((("train", train), ("other", other))):
        likely = {sentence: slip[i] for sentence, slip in slips.items()}
        expect_close(name, results[i], (array - mean) / std, likely, tolerance=1e-5)

    for constant in (4.0, a_constant_with_a_std(train.shape, rng)):
        train[:, 0] = constant
        with np.errstate(all="ignore"):
            constant_train, constant_other = student.standardise(train, other)
        if not (np.isfinite(constant_train).all() and np.isfinite(constant_other).all()):
            raise Mistake(
                "a feature that is constant over the training codes gives NaN or infinity: do not divide by its std, 0"
            )
        rounding = "Was it divided by a std of 1e-17? Rounding makes the std of a constant feature a little more than 0."
        likely = {rounding: (other[:, 0] - train[:, 0].mean()) / (train[:, 0].std() or 1.0)}
        expect_close("other (feature 0 constant in train)", constant_other[:, 0], other[:, 0] - constant, likely)
        for name, got, array in (("train", constant_train, train), ("other", constant_other, other)):
            expected = (array - mean) / std
            expected[:, 0] = array[:, 0] - constant
            expect_close(f"{name} (feature 0 constant in train)", got, expected, tolerance=1e-5)


def a_constant_with_a_std(shape: tuple[int, int], rng: np.random.Generator) -> float:
    """A number of which so many have a std of 1e-17, by rounding, and not 0."""
    while True:
        constant = float(rng.uniform(0.1, 1))
        if np.full(shape, constant).std(axis=0)[0] > 0:
            return constant


# ---- Task 3


def classifier(student: Student, rng: np.random.Generator) -> None:
    D, *others = (int(n) for n in rng.permutation([4, 5, 6, 7])[:3])
    fewer, more = sorted(others)
    for N, K in ((more, fewer), (fewer, more)):  # some classes come up twice, and some never
        classifier_of_size(student, rng, N, D, K)


def classifier_of_size(student: Student, rng: np.random.Generator, N: int, D: int, K: int) -> None:
    w, b = rng.standard_normal((K, D)), rng.standard_normal(K)
    x, y, strength = rng.standard_normal((N, D)), rng.permutation(np.arange(N) % K), float(rng.uniform(0.1, 0.5))
    data_loss = SoftmaxCrossEntropy().forward(x @ w.T + b, y)
    penalty = 0.5 * strength * (w * w).sum()
    loss, dw, db = expect_several("softmax_regression", student.softmax_regression(w, b, x, y, strength), "loss, dw, db")
    slips = {
        "Is the regularisation missing?": np.float64(data_loss),
        "The penalty is regularisation / 2 times the sum of squares: is the 1/2 missing?": np.float64(data_loss + 2 * penalty),
        "The bias is not to be regularised.": np.float64(data_loss + penalty + 0.5 * strength * (b * b).sum()),
        "Is the loss the sum over the pictures? It must be their mean.": np.float64(N * data_loss + penalty),
        "Is the regularisation divided by N as well?": np.float64(data_loss + penalty / N),
    }
    sizes = f"({N} pictures, {K} classes)"
    expect_close(f"loss {sizes}", expect_number("loss", loss), np.float64(data_loss + penalty), slips)

    dscores = softmax(x @ w.T + b)
    dscores[np.arange(N), y] -= 1
    without = dscores.T @ x / N
    slips = {
        "The regularisation has no part in dw: its gradient is regularisation * w.": without,
        "The square's 2 and the 1/2 before it cancel: the gradient of the regularisation is regularisation * w.": without
        + 2 * strength * w,
    }
    expect_close(f"dw {sizes}", dw, without + strength * w, slips)

    def forward(w: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(student.softmax_regression(w, b, x, y, strength)[0])

    def backward(dy: np.ndarray) -> dict:
        _, dw, db = student.softmax_regression(w, b, x, y, strength)
        return {"w": dy * dw, "b": dy * db}

    subject, expected = f"softmax_regression {sizes}", {"dw": without + strength * w, "db": dscores.mean(axis=0)}
    arrays = {"w": w, "b": b}
    expect_gradients(subject, [dw, db], expected, lambda: check_function(forward, backward, arrays, subject=subject, rng=rng))


# ---- Task 4


def choosing(student: Student, rng: np.random.Generator) -> None:
    first, second = Trial(rng), Trial(rng)
    while first.best in second.strengths:  # so that an answer which keeps its choice from one call to the next is noticed
        second = Trial(rng)
    for trial, order in ((first, 1), (second, -1)):  # by growing strength and by falling strength
        choose_along(student, trial, trial.strengths[::order], rng)


def choose_along(student: Student, trial: Trial, path: tuple[float, ...], rng: np.random.Generator) -> None:
    train, val, (x_test, y_test) = trial.parts.values()

    def answer(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        trial.fits.clear()
        given = student.choose_regularisation(trial.fit, train, val, (x_test, labels), path)
        if trial.complaint:  # an answer that catches it goes on
            raise trial.complaint
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


# ---- Task 5


def head_and_freeze(student: Student, rng: np.random.Generator) -> None:
    untils = "conv1", "relu1", "block1", "pool"  # the lowest, one without parameters, one with layers inside, the highest
    heads = rng.permutation(["scores", "classifier", "fc", "top"])
    for until, head, width, classes in zip(untils, heads, rng.permutation(WIDTHS), rng.permutation([2, 3, 4, 6]), strict=True):
        prepared_network(student, rng, a_network(rng, str(head), int(width)), int(classes), until)


def prepared_network(student: Student, rng: np.random.Generator, network: Model, num_classes: int, until: str) -> None:
    for name in ("conv1.b", "block10.norm.gamma"):
        network.parameters()[name].trainable = False  # what an earlier phase left behind
    others, seed = [network.copy(), network.copy()], int(rng.integers(2**32))
    names, old = list(network.layers), list(network.layers.values())[-1]
    body = {name: array for name, array in everything_in(network).items() if not name.startswith(f"{names[-1]}.")}
    result = student.replace_head_and_freeze(network, num_classes, until, np.random.default_rng(seed))
    if result is not network:
        raise Mistake("replace_head_and_freeze() must change the network in place and return that same network")
    if list(network.layers) != names:
        order = ", ".join(names)
        raise Mistake(f"the layers must keep names and order: {order}; they are now {', '.join(network.layers)}")
    head = list(network.layers.values())[-1]
    expect_new_head(head, old, num_classes)
    expect_frozen(network, names[: names.index(until) + 1], until)
    after = everything_in(network)
    if changed := sorted(name for name in body if not np.array_equal(after.get(name), body[name])):
        raise Mistake(f"{', '.join(changed)} changed; only the last layer is to be replaced")
    again, different = (
        list(student.replace_head_and_freeze(other, num_classes, until, np.random.default_rng(s)).layers.values())[-1].w.value
        for other, s in zip(others, (seed, seed + 1), strict=True)
    )
    if not np.array_equal(head.w.value, again) or np.array_equal(head.w.value, different):
        raise Mistake("the random weights of the new head must come from rng: the same ones from an equal rng, others else")


def expect_new_head(head: Layer, old: Linear, num_classes: int) -> None:
    if head is old or not isinstance(head, Linear):
        what = "the old one" if head is old else f"a {type(head).__name__}"
        raise Mistake(f"the last layer must be a new Linear layer, it is {what}")
    expect_array("the new head's w", head.w.value, (num_classes, old.in_features))
    if head.b is not None:
        expect_array("the new head's b", head.b.value, (num_classes,))
    if (head.in_features, head.out_features) != (old.in_features, num_classes):
        size = f"Linear({old.in_features}, {num_classes})"
        raise Mistake(f"the new head's w has been exchanged, and the layer does not know it: make a new one, {size}")
    if head.w.value.dtype != np.float32:
        raise Mistake(f"the new head's w must be float32 like the rest of the network, got {head.w.value.dtype}")
    if np.ptp(head.w.value) == 0:
        raise Mistake("all weights of the new head are equal; they must be random")


def expect_frozen(network: Model, lower: list[str], until: str) -> None:
    """`Mistake` unless exactly the parameters in these top-level layers are frozen."""
    parameters = network.parameters()
    below = {name for name in parameters if name.split(".")[0] in lower}
    trainable = {name for name, parameter in parameters.items() if parameter.trainable}
    if trainable == below:
        raise Mistake("it is the wrong way round: frozen means trainable = False (and one of the sources says the opposite)")
    if wrong := sorted(below & trainable):
        raise Mistake(f"up to and including '{until}' everything must be frozen, but {', '.join(wrong)} can still be trained")
    if wrong := sorted(set(parameters) - below - trainable):
        raise Mistake(
            f"everything above '{until}' must be trainable, but {', '.join(wrong)} cannot: unfreeze() what was frozen, and "
            "freeze no layer whose name only begins like that of another"
        )


# ---- Task 6


def learning_rates(student: Student, rng: np.random.Generator) -> None:
    for head in ("scores", "my_scores"):  # names that begin, and end, like each other
        network, ratio = a_network(rng), float(rng.uniform(0.05, 0.3))
        for name in ("my_scores", "scores_of_another_task"):
            network.append(name, Linear(5, 3, rng=rng))
        network.append("branch", Sequential(scores=Linear(3, 2, rng=rng)))
        for parameter in network.parameters().values():
            parameter.learning_rate_multiplier = float(rng.uniform(2, 3))
        before = everything_in(network)
        if student.set_learning_rates(network, head, ratio) is not network:
            raise Mistake("set_learning_rates() must change the network in place and return that same network")
        after = everything_in(network)
        if list(after) != list(before) or any(not np.array_equal(after[name], before[name]) for name in before):
            raise Mistake("set_learning_rates() must change no weights, only multipliers")
        for name, parameter in network.parameters().items():
            expect_multiplier(name, parameter, head, ratio)


def expect_multiplier(name: str, parameter: Parameter, head: str, ratio: float) -> None:
    if not parameter.trainable:
        raise Mistake(f"{name} is frozen: set_learning_rates() must not freeze anything, only set multipliers")
    got = expect_number(f"the learning_rate_multiplier of {name}", parameter.learning_rate_multiplier)
    expected = 1.0 if name.rsplit(".", 1)[0] == head else ratio
    if abs(got - expected) > 1e-6:
        hint = ""
        if expected == ratio and name.startswith(head):
            hint = f" '{name}' only begins like the head, '{head}'."
        elif expected == ratio and head in name:
            hint = f" '{name}' is not in the layer '{head}', although that is a part of its name."
        raise Mistake(f"the learning_rate_multiplier of {name} is {got:.3g}, expected {expected:.3g}.{hint}")


# ---- the mistakes that people make


def codes_by(
    prepare: Callable = lambda network: network.eval(),
    pool: Callable = lambda maps: maps.mean(axis=(2, 3)),
    which: Callable = lambda names, layer: layer,
) -> dict[str, Callable]:
    """extract_codes() in another mode, with other pooling, or cut after another layer."""

    def extract_codes(network: Model, layer: str, x: np.ndarray) -> np.ndarray:
        prepare(network)
        output = network.split(which(list(network.layers), layer))[0].forward(x)
        return pool(output) if output.ndim == 4 else output

    return {"extract_codes": extract_codes}


def eval_norms_only(network: Model) -> None:
    for _, layer in network.walk():
        if isinstance(layer, BatchNorm2d):
            layer.eval()


def eval_top_level_only(network: Model) -> None:
    for layer in network.layers.values():
        layer.training = False


LOST_AXES = "One picture alone has a code (1, D). Which function drops every axis of length 1, and which only those meant?"

CODES_SLIPS = (
    Slip(
        "the network stays in train mode",
        "A code must depend on its picture alone. Which layers look at the other pictures of the batch, and when?",
        codes_by(lambda network: None),
        r"forward|train\(|split",
    ),
    Slip(
        "dropout stays in train mode",
        "The same picture must give the same code twice. Which layer draws random numbers?",
        codes_by(eval_norms_only),
        r"forward|eval|training",
    ),
    Slip(
        "only the layers at the top are in eval mode",
        "A block has layers inside it, with modes of their own. What does network.eval() reach that a loop over "
        "network.layers does not?",
        codes_by(eval_top_level_only),
        r"training|eval",
    ),
    Slip(
        "the network is cut before the layer",
        "The codes are the output of the layer that was named: it has to run.",
        codes_by(which=lambda names, layer: names[names.index(layer) - 1]),
        r"break|index|- *1|==",
    ),
    Slip(
        "one layer too many runs",
        "The codes are the output of the layer that was named: nothing above it has to run.",
        codes_by(which=lambda names, layer: names[min(names.index(layer) + 1, len(names) - 1)]),
        r"index|\+ *1|==|break",
    ),
    Slip(
        "the maps are summed and not averaged",
        "A larger picture must not give larger codes.",
        codes_by(pool=lambda maps: maps.sum(axis=(2, 3))),
        r"sum",
    ),
    Slip(
        "the largest value of a map is taken, and not its mean",
        "That is another kind of pooling. Here a code says how much of a feature there is on average.",
        codes_by(pool=lambda maps: maps.max(axis=(2, 3))),
        r"max",
    ),
    Slip(
        "the maps are flattened",
        "How many numbers should a code at this layer have: one for each channel, or one for each place in each channel?",
        codes_by(pool=lambda maps: maps.reshape(len(maps), -1)),
        r"reshape|flatten|ravel",
    ),
    Slip(
        "the maps come back as they are",
        "A code is a row of numbers. What is to be done with (N, C, H, W)?",
        codes_by(pool=lambda maps: maps),
        r"return",
    ),
    Slip(
        "averaged over the wrong axes",
        "Of N, C, H and W the first two must stay. At which positions are the others?",
        codes_by(pool=lambda maps: maps.mean(axis=(1, 2))),
        r"mean",
    ),
    Slip(
        "the averaged axes are still there, with length 1",
        "Codes are (N, C), with two axes.",
        codes_by(pool=lambda maps: maps.mean(axis=(2, 3), keepdims=True)),
        r"keepdims|mean|Pool",
    ),
    Slip(
        "axes of length 1 are lost",
        LOST_AXES,
        {"extract_codes": lambda network, layer, x: solution.extract_codes(network, layer, x).squeeze()},
        r"squeeze",
    ),
)


def standardise_by(statistics: Callable) -> dict[str, Callable]:
    """standardise() with another mean and std: statistics(train, other)."""

    def standardise(train: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, std = statistics(train, other)
        return (train - mean) / std, (other - mean) / std

    return {"standardise": standardise}


def of_both(train: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    both = np.concatenate([train, other])
    return both.mean(axis=0), both.std(axis=0)


def by_rows(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)


def constant_becomes_0(train: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, ...]:
    varies = train.std(axis=0) > 1e-9
    return tuple(part * varies for part in solution.standardise(train, other))


STANDARDISE_SLIPS = (
    Slip(
        "mean and std are those of both sets together",
        "May the test pictures have a say in how the training codes are scaled?",
        standardise_by(of_both),
        r"concat|stack|append",
    ),
    Slip(
        "each set is standardised by its own mean and std",
        "The classifier learns what a 1 in a feature means on the training codes. Does a 1 mean the same in the other set?",
        {"standardise": lambda *sets: tuple((x - x.mean(axis=0)) / x.std(axis=0) for x in sets)},
        r"other\.(?:mean|std)|(?:mean|std)\(other",
    ),
    Slip(
        "mean and std are those of the other set",
        "Which of the two is there when the classifier is trained?",
        {"standardise": lambda train, other: solution.standardise(other, train)[::-1]},
        r"other\.(?:mean|std)|(?:mean|std)\(other",
    ),
    Slip(
        "one mean and one std are taken for all features",
        "Each feature has a scale of its own. Which axis is that of the pictures, over which the mean runs?",
        standardise_by(lambda train, other: (train.mean(), train.std())),
        r"(?:mean|std)\((?:train|other)?\)",
    ),
    Slip(
        "each picture is standardised, and not each feature",
        "Which axis is that of the pictures, over which the mean runs?",
        {"standardise": lambda *sets: tuple(map(by_rows, sets))},
        r"axis *= *1",
    ),
    Slip(
        "it is divided by the variance",
        "In which unit is a variance, if the codes are in metres?",
        standardise_by(lambda train, other: (train.mean(axis=0), train.var(axis=0))),
        r"var|\*\* *2",
    ),
    Slip(
        "the variance is divided by N - 1",
        "Here std is the root of the mean of the squared differences: divided by N, as NumPy does it unasked.",
        standardise_by(lambda train, other: (train.mean(axis=0), train.std(axis=0, ddof=1))),
        r"ddof|- *1",
    ),
    Slip(
        "the mean is not subtracted",
        "What is the mean of your standardised training codes?",
        standardise_by(lambda train, other: (0, train.std(axis=0))),
        r"/",
    ),
    Slip(
        "it is not divided by the std",
        "What is the std of your standardised training codes?",
        standardise_by(lambda train, other: (train.mean(axis=0), 1)),
        r"- *\w*mean|- *mu",
    ),
    Slip(
        "it is divided by the range",
        "The largest minus the least is another measure of spread, which a single odd picture decides.",
        standardise_by(lambda train, other: (train.mean(axis=0), np.ptp(train, axis=0))),
        r"ptp|min",
    ),
    Slip(
        "the other set stays as it was",
        "A classifier that was trained on standardised codes needs such codes to answer.",
        {"standardise": lambda train, other: (solution.standardise(train, other)[0], other.copy())},
        r"return",
    ),
    Slip(
        "the two sets come back in the wrong order",
        "Which one was asked for first?",
        {"standardise": lambda train, other: solution.standardise(train, other)[::-1]},
        r"return",
    ),
    Slip(
        "a feature that is constant is divided by 0",
        "What is its std, and what remains to be done if one cannot divide?",
        standardise_by(lambda train, other: (train.mean(axis=0), train.std(axis=0))),
        r"/",
    ),
    Slip(
        "a std of 1e-17 counts as one",
        "The mean of equal numbers can be off in its last digit; their std is then tiny, and not 0. Compare with something "
        "small.",
        standardise_by(lambda train, other: (train.mean(axis=0), np.where(train.std(axis=0) == 0, 1, train.std(axis=0)))),
        r"[=!]= *0|> *0\b",
    ),
    *(
        Slip(
            "a small number is added to the std",
            "Divided by the small number alone, what becomes of the other set's values in a feature that was constant in "
            "training?",
            standardise_by(lambda train, other, epsilon=epsilon: (train.mean(axis=0), train.std(axis=0) + epsilon)),
            r"\+ *(?:\d|eps)",
        )
        for epsilon in (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12)
    ),
    Slip(
        "a feature that is constant becomes 0 in the other set as well",
        "In training it is 0 once the mean is subtracted. In the other set it may vary: only subtract the mean there.",
        {"standardise": constant_becomes_0},
        r"nan_to_num|= *0",
    ),
)


def classifier_by(change: Callable) -> dict[str, Callable]:
    """softmax_regression() with its right results changed: change(loss, dw, db, w, b, x, y, strength)."""
    return {"softmax_regression": lambda *given: change(*solution.softmax_regression(*given), *given)}


def with_strength(change: Callable) -> dict[str, Callable]:
    """softmax_regression() with another strength: change(strength, N)."""
    return {"softmax_regression": lambda w, b, x, y, s: solution.softmax_regression(w, b, x, y, change(s, len(y)))}


def all_labels_columns(w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray, strength: float) -> tuple:
    loss, _, _ = solution.softmax_regression(w, b, x, y, strength)
    p = softmax(x @ w.T + b)
    p[:, y] -= 1
    return loss, p.T @ x / len(y) + strength * w, p.sum(axis=0) / len(y)


def too_few_columns(loss: float, dw: np.ndarray, db: np.ndarray, w: np.ndarray, b: np.ndarray, x: Any, y: Any, s: float):
    named = np.arange(len(b)) <= y.max()
    return loss, np.where(named[:, None], dw, s * w), np.where(named, db, 0)


def squares(w: np.ndarray) -> float:
    return (w * w).sum()


DIVIDED = "The mean over the pictures is taken once. Where in your function stands an N, and how often does it act here?"

CLASSIFIER_SLIPS = (
    Slip(
        "the regularisation is missing",
        "What does the last argument do?",
        with_strength(lambda s, N: 0),
        r"loss|return",
    ),
    Slip(
        "the regularisation is divided by N",
        "The penalty is no mean over pictures: it knows nothing of them.",
        with_strength(lambda s, N: s / N),
        r"/ *(?:N|len)|mean",
    ),
    Slip(
        "the 1/2 of the penalty is missing in the loss",
        "The derivative of w^2 is 2 w. With which factor in the loss does the gradient come out as regularisation * w?",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss + s / 2 * squares(w), dw, db)),
        r"(?:regularisation|strength|reg|lam)\w* *\*",
    ),
    Slip(
        "the penalty has the length of w, and not its square",
        "np.linalg.norm takes the root of the sum of squares.",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss + s / 2 * (np.sqrt(squares(w)) - squares(w)), dw, db)),
        r"norm|sqrt",
    ),
    Slip(
        "the penalty is a mean of squares",
        "By its definition it is a sum, over all weights.",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss + s / 2 * ((w * w).mean() - squares(w)), dw, db)),
        r"mean",
    ),
    Slip(
        "the bias is regularised as well",
        "Does the penalty have a b in it?",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss + s / 2 * squares(b), dw, db + s * b)),
        r"\bb\b *(?:\*|@|\*\*)|\* *b\b",
    ),
    Slip(
        "db has a share of the regularisation, and the loss has none of b",
        "Does the penalty have a b in it?",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, dw, db + s * b)),
        r"\* *b\b",
    ),
    Slip(
        "the loss is a sum over the pictures",
        "With twice as many pictures, should the loss be twice as large?",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (len(y) * (loss - s / 2 * squares(w)) + s / 2 * squares(w), dw, db)),
        r"sum\(\)",
    ),
    Slip(
        "dw lacks the regularisation",
        "The loss has a term in w^2. What is its derivative?",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, dw - s * w, db)),
        r"\bdw\b|return",
    ),
    Slip(
        "dw has the regularisation twice",
        "The 2 of the square and the 1/2 before it: what remains?",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, dw + s * w, db)),
        r"2 *\*",
    ),
    Slip(
        "dw is a sum over the pictures",
        DIVIDED,
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, (dw - s * w) * len(y) + s * w, db)),
        r"\bdw\b|return",
    ),
    Slip(
        "dw and db are sums over the pictures",
        DIVIDED,
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, (dw - s * w) * len(y) + s * w, db * len(y))),
        r"-= *1|return",
    ),
    Slip(
        "db is divided by N twice",
        DIVIDED,
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, dw, db / len(y))),
        r"mean\(|/ *(?:N|len)",
    ),
    Slip(
        "the gradients are divided by the number of classes",
        "There is one loss a picture. By which of the two sizes does a mean over pictures divide?",
        classifier_by(
            lambda loss, dw, db, w, b, x, y, s: (
                loss,
                (dw - s * w) * len(y) / len(b) + s * w,
                db * len(y) / len(b),
            )
        ),
        r"/|mean",
    ),
    Slip(
        "dw is transposed",
        "dw must have the shape of w, (K, D).",
        classifier_by(lambda loss, dw, db, *_: (loss, dw.T, db)),
        r"\bx\.T *@|\bdw\b",
    ),
    Slip(
        "db has the wrong sign",
        "Should the score of the right class grow or shrink? A step subtracts the gradient.",
        classifier_by(lambda loss, dw, db, *_: (loss, dw, -db)),
        r"-",
    ),
    Slip(
        "1 is subtracted in the columns of all labels, in every row",
        "Each row has one right class. `p[:, y]` takes all rows; what must stand in place of the colon?",
        {"softmax_regression": all_labels_columns},
        r"\[:, *y\]",
    ),
    Slip(
        "the labels are counted from 1",
        "Labels run from 0 to K-1, as Python counts.",
        {"softmax_regression": lambda w, b, x, y, s: solution.softmax_regression(w, b, x, y - 1, s)},
        r"- *1",
    ),
    Slip(
        "classes above the largest label get no gradient from the pictures",
        "How many classes are there? The labels of a small batch do not tell; w does.",
        classifier_by(too_few_columns),
        r"max\(\) *\+ *1|unique|eye",
    ),
)


def joined(*parts: tuple[np.ndarray, np.ndarray]) -> Iterable[np.ndarray]:
    return (np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def by_validation(fit: Callable, strength: float, train: tuple, val: tuple, test: tuple) -> float:
    return fit(*train, strength).score(*val)


def by_test(fit: Callable, strength: float, train: tuple, val: tuple, test: tuple) -> float:
    return fit(*train, strength).score(*test)


def strongest_of_best(path: Iterable[float], goodness: Callable) -> float:
    return max(path, key=lambda strength: (goodness(strength), strength))


def weakest_of_best(path: Iterable[float], goodness: Callable) -> float:
    return max(path, key=lambda strength: (goodness(strength), -strength))


def last_of_best(path: Iterable[float], goodness: Callable) -> float:
    return max(reversed(path), key=goodness)


def choose_by(goodness: Callable = by_validation, among: Callable = strongest_of_best, answer: Callable | None = None):
    """choose_regularisation() by another measure, with another rule for ties, or with another answer at the end.

    That is answer(best, of_train, of_both, val, test, path), where the next two are fits with a strength.
    """

    def choose_regularisation(fit: Callable, train: tuple, val: tuple, test: tuple, path: Iterable[float]) -> tuple:
        best = among(path, lambda strength: goodness(fit, strength, train, val, test))
        x, y = joined(train, val)
        if answer is None:
            return best, fit(x, y, best).score(*test)
        return answer(best, lambda strength: fit(*train, strength), lambda strength: fit(x, y, strength), val, test, path)

    return {"choose_regularisation": choose_regularisation}


CHOOSING_SLIPS = (
    Slip(
        "the test part decides",
        "An accuracy by which something was chosen is too good, by luck: that is why there is a part by which nothing is "
        "chosen.",
        choose_by(by_test),
        r"score\(.*test",
    ),
    Slip(
        "the weakest strength is chosen",
        "What decides? On pictures that a classifier was trained on the weakest always looks best; the validation part has to "
        "decide, and there the highest accuracy.",
        choose_by(among=lambda path, goodness: min(path)),
        r"score|argmin|<",
    ),
    Slip(
        "the strongest is chosen, whatever its accuracy",
        "What is it that must be largest?",
        choose_by(among=lambda path, goodness: max(path)),
        r"max",
    ),
    Slip(
        "of equally good strengths the weakest is taken",
        "Two are equally good on the validation part. Which of them does your comparison keep? The training part has no say "
        "in it.",
        choose_by(among=weakest_of_best),
        r"argmax|max\(|[^-]>|<",
    ),
    Slip(
        "of equally good strengths the last of the path is taken",
        "The path may rise or fall. Which one is kept must not hang on where it stands.",
        choose_by(among=last_of_best),
        r">=|<=|argmax|max\(",
    ),
    Slip(
        "the last classifier is not trained on both parts",
        "Once the choice is made the validation pictures are free to be learned from. Which classifier is it whose accuracy "
        "you return?",
        choose_by(answer=lambda best, of_train, of_both, val, test, path: (best, of_train(best).score(*test))),
        r"return|score\(.*test",
    ),
    Slip(
        "the last training is with the last strength of the path",
        "After a loop its variable still has its last value. Is that the best one?",
        choose_by(answer=lambda best, of_train, of_both, val, test, path: (best, of_both(path[-1]).score(*test))),
        r"concatenate|fit\(",
    ),
    Slip(
        "the validation accuracy is returned",
        "The choice was made by it; so it is too good. Which part has not been looked at yet?",
        choose_by(answer=lambda best, of_train, of_both, val, test, path: (best, of_train(best).score(*val))),
        r"return",
    ),
    Slip(
        "the last classifier is asked about validation pictures, which it was trained on",
        "Which part has neither been trained on nor chosen by?",
        choose_by(answer=lambda best, of_train, of_both, val, test, path: (best, of_both(best).score(*val))),
        r"return|score\(.*val",
    ),
    Slip(
        "the share of wrong answers is returned",
        "Accuracy is the share of right ones.",
        choose_by(answer=lambda best, of_train, of_both, val, test, path: (best, 1 - of_both(best).score(*test))),
        r"1 *-",
    ),
    Slip(
        "strength and accuracy have changed places",
        "In which order are the two asked for?",
        choose_by(answer=lambda best, of_train, of_both, val, test, path: (of_both(best).score(*test), best)),
        r"return",
    ),
)


def new_head(network: Model, num_classes: int, rng: np.random.Generator) -> None:
    name, old = list(network.layers.items())[-1]
    network.layers[name] = Linear(old.in_features, num_classes, rng=rng)


def frozen_by(freeze: Callable, unfreezes: bool = True, head: Callable = new_head) -> dict[str, Callable]:
    """replace_head_and_freeze() with another way to freeze, freeze(network, until, lower), or with another head.

    ``lower`` has the names of the layers up to and including ``until``.
    """

    def replace_head_and_freeze(network: Model, num_classes: int, until: str, rng: np.random.Generator) -> Model:
        head(network, num_classes, rng)
        if unfreezes:
            network.unfreeze()
        names = list(network.layers)
        freeze(network, until, names[: names.index(until) + 1])
        return network

    return {"replace_head_and_freeze": replace_head_and_freeze}


def freeze_rightly(network: Model, until: str, lower: list[str]) -> None:
    network.freeze(until=until)


def freeze_where(is_lower: Callable[[str, list[str]], bool]) -> Callable:
    """freeze(network, until, lower) of the parameters for whose names is_lower(name, lower) is true."""

    def freeze(network: Model, until: str, lower: list[str]) -> None:
        for name, parameter in network.parameters().items():
            parameter.trainable = not is_lower(name, lower)

    return freeze


def freeze_exchanged(network: Model, until: str, lower: list[str]) -> None:
    for name, parameter in network.parameters().items():
        parameter.trainable = name.split(".")[0] in lower


def freeze_all_but_head(network: Model, until: str, lower: list[str]) -> None:
    network.freeze()
    list(network.layers.values())[-1].unfreeze()


def freeze_until_parameters(network: Model, until: str, lower: list[str]) -> None:
    network.freeze(until=until if network.layers[until].parameters() else None)


def head_of(make: Callable) -> dict[str, Callable]:
    """replace_head_and_freeze() with a last layer by make(old, num_classes, rng)."""

    def head(network: Model, num_classes: int, rng: np.random.Generator) -> None:
        name, old = list(network.layers.items())[-1]
        network.layers[name] = make(old, num_classes, rng)

    return frozen_by(freeze_rightly, head=head)


def head_of_zeros(old: Linear, num_classes: int, rng: np.random.Generator) -> Linear:
    head = Linear(old.in_features, num_classes, rng=rng)
    head.w.value[...] = 0
    return head


HEAD_SLIPS = (
    Slip(
        "what should be frozen is trainable, and the other way round",
        "A frozen parameter is one that training leaves alone. Is it trainable?",
        frozen_by(freeze_exchanged),
        r"trainable",
    ),
    Slip(
        "the layer named by until can still be trained",
        "Up to and *including*: does your loop end before this layer, or after it? And is anything frozen at all? A flag of "
        "your own does nothing; a parameter's `trainable` does.",
        frozen_by(freeze_where(lambda name, lower: name.split(".")[0] in lower[:-1])),
        r"break|index|== *until|frozen",
    ),
    Slip(
        "only the layer named by until is frozen, and nothing below it",
        "What is below it would still change, and with it everything that this layer sees.",
        frozen_by(lambda network, until, lower: network.layers[until].freeze()),
        r"\[until\]|== *until",
    ),
    Slip(
        "a layer without parameters is never reached",
        "ReLU has no parameters, so that its name is in no parameter's name. Where else do all layers stand in their order?",
        frozen_by(freeze_until_parameters),
        r"parameters\(\)",
    ),
    Slip(
        "layers whose names only begin alike are frozen as well",
        '"block10" begins with "block1". What follows a layer\'s name in the name of a parameter?',
        frozen_by(freeze_where(lambda name, lower: name.startswith(tuple(lower)))),
        r"startswith|in name",
    ),
    Slip(
        "layers inside others are not frozen",
        'The parameter "block1.conv.w" belongs to the layer block1. Which part of its name says so?',
        frozen_by(freeze_where(lambda name, lower: name.rsplit(".", 1)[0] in lower)),
        r"split|hasattr",
    ),
    Slip(
        "only weights are frozen, and not biases, gamma and beta",
        "A bias that goes on learning changes the layer as well.",
        frozen_by(freeze_where(lambda name, lower: name.split(".")[0] in lower and name.endswith(".w"))),
        r"\.w\b|\"w\"",
    ),
    Slip(
        "everything is frozen, the new head too",
        "Then nothing can be learned.",
        frozen_by(lambda network, until, lower: network.freeze()),
        r"freeze\(\)|trainable",
    ),
    Slip(
        "everything but the head is frozen, whatever until says",
        "Which layers between `until` and the head are to be trained?",
        frozen_by(freeze_all_but_head),
        r"freeze\(|trainable",
    ),
    Slip(
        "what was frozen before stays frozen",
        "Somebody may have frozen layers above `until` in an earlier phase.",
        frozen_by(freeze_rightly, unfreezes=False),
        r"freeze\(|trainable",
    ),
    Slip(
        "the last layer is still the old one",
        "It knows the old classes. Where is the new one put?",
        frozen_by(freeze_rightly, head=lambda network, num_classes, rng: None),
        r"Linear|layers\[",
    ),
    Slip(
        "the new head has as many outputs as the old one",
        "How many classes are there now?",
        head_of(lambda old, num_classes, rng: Linear(old.in_features, old.out_features, rng=rng)),
        r"Linear\(",
    ),
    Slip(
        "the new head has as many inputs as the old one had outputs",
        "The layers below have not changed: what do they hand up?",
        head_of(lambda old, num_classes, rng: Linear(old.out_features, num_classes, rng=rng)),
        r"Linear\(",
    ),
    Slip(
        "inputs and outputs of the new head have changed places",
        "Linear(in_features, out_features): the inputs come first. (It is w that has the outputs first.)",
        head_of(lambda old, num_classes, rng: Linear(num_classes, old.in_features, rng=rng)),
        r"Linear\(",
    ),
    Slip(
        "all weights of the new head are 0",
        "Random weights were asked for.",
        head_of(head_of_zeros),
        r"zeros|= *0",
    ),
    Slip(
        "the new head has a seed of its own",
        "Whoever passes another rng expects other weights.",
        head_of(lambda old, num_classes, rng: Linear(old.in_features, num_classes, rng=0)),
        r"Linear\(|default_rng",
    ),
)


def rates_by(
    is_head: Callable = lambda name, head, network: name.split(".")[0] == head,
    new: Callable = lambda old, ratio: ratio,
    of_head: Callable = lambda old: 1.0,
    which: Callable = lambda name: True,
) -> dict[str, Callable]:
    """set_learning_rates() with another head, other multipliers, or only for parameters whose names ``which`` accepts."""

    def set_learning_rates(network: Model, head: str, ratio: float) -> Model:
        for name, parameter in network.parameters().items():
            if which(name):
                old = parameter.learning_rate_multiplier
                parameter.learning_rate_multiplier = of_head(old) if is_head(name, head, network) else new(old, ratio)
        return network

    return {"set_learning_rates": set_learning_rates}


def freeze_others(network: Model, head: str, ratio: float) -> Model:
    solution.set_learning_rates(network, head, ratio).freeze()
    network.layers[head].unfreeze()
    return network


RATES_SLIPS = (
    Slip(
        "layers whose names begin like the head's count as well",
        '"scores_of_another_task" begins with "scores". What follows the head\'s name in the names of its parameters?',
        rates_by(lambda name, head, network: name.startswith(head)),
        r"startswith|\[: *len",
    ),
    Slip(
        "layers whose names contain the head's count as well",
        "A name can stand in the middle of another one.",
        rates_by(lambda name, head, network: head in name),
        r"head in|find|count",
    ),
    Slip(
        "layers whose names end like the head's count as well",
        '"my_scores.w" has "scores." in it. Where in a parameter\'s name does that of its top-level layer stand?',
        rates_by(lambda name, head, network: f"{head}." in name),
        r"head.* in|find|endswith",
    ),
    Slip(
        "a layer of the head's name inside another one counts as well",
        '"branch.scores.w" belongs to the layer branch. Which part of a name is the top-level layer\'s?',
        rates_by(lambda name, head, network: name.split(".")[-2] == head),
        r"-2|split",
    ),
    Slip(
        "the head is looked for under a name that is always the same",
        "What is the argument `head` for?",
        rates_by(lambda name, head, network: name.split(".")[0] == "scores"),
        r"[\"']scores",
    ),
    Slip(
        "the last layer is taken for the head",
        "The head is the layer that was named, wherever it stands.",
        rates_by(lambda name, head, network: name.split(".")[0] == list(network.layers)[-1]),
        r"-1",
    ),
    Slip(
        "the head and all others have changed places",
        "Which of them is new, and has to learn fast?",
        rates_by(lambda name, head, network: name.split(".")[0] != head),
        r"ratio|multiplier",
    ),
    Slip(
        "the multiplier is multiplied by the ratio, and not set to it",
        "Whatever it was before: what is it after two calls?",
        rates_by(new=lambda old, ratio: old * ratio),
        r"\*=|\* *ratio|ratio *\*",
    ),
    Slip(
        "the head keeps the multiplier that it had",
        "It need not have been 1 before.",
        rates_by(of_head=lambda old: old),
        r"if|ratio",
    ),
    Slip(
        "the others keep the multiplier that they had",
        "What is the argument `ratio` for?",
        rates_by(new=lambda old, ratio: old),
        r"1(?:\.0)?\b|multiplier",
    ),
    Slip(
        "the others get 1 / ratio",
        "Should they learn more slowly than the head, or faster?",
        rates_by(new=lambda old, ratio: 1 / ratio),
        r"/ *ratio",
    ),
    Slip(
        "the head gets the ratio as well",
        "If all are slowed down alike the head is not faster than the others.",
        rates_by(lambda name, head, network: False),
        r"ratio",
    ),
    Slip(
        "only weights get their multiplier, and not biases, gamma and beta",
        "An optimiser moves these, too.",
        rates_by(which=lambda name: name.endswith(".w")),
        r"\.w\b|\"w\"",
    ),
    Slip(
        "layers inside others are left out",
        "The parameters of a block are those of the layers inside it.",
        rates_by(which=lambda name: name.count(".") == 1),
        r"hasattr|\.w\b|layers",
    ),
    Slip(
        "the pretrained layers are frozen",
        "They are to learn slowly, and not to stop.",
        {"set_learning_rates": freeze_others},
        r"freeze|trainable",
    ),
    Slip(
        "the network is not returned",
        "It is changed in place, and was to be returned as well.",
        {"set_learning_rates": lambda *given: None},
        r"multiplier",
    ),
)


# ---- when all is passed: a pretrained network taken to other pictures


def finale(functions: dict[str, Any], out: Path) -> None:
    """MNIST's LeNet-5 taken to other pictures by the student's six functions, and beside it minicnn's own classifier."""
    import matplotlib.pyplot as plt  # here, as a check does not need it
    from scipy.optimize import minimize

    import minicnn
    from minicnn.course.workbench import BLUE, GREY, ORANGE, drawn_digits, find_data
    from minicnn.data import load_fashion_mnist
    from minicnn.linear_model import SoftmaxRegression, choose_regularisation
    from minicnn.optim import AdamW
    from minicnn.training import Trainer

    rng, network, folder = np.random.default_rng(0), minicnn.load("lenet5_mnist"), find_data("fashion-mnist")
    if folder:
        shown, labels, test_shown, test_labels = (array[:1000] for array in load_fashion_mnist(folder))
    else:
        (shown, labels), (test_shown, test_labels) = drawn_digits(1000, rng), drawn_digits(1000, rng)
    train, val = slice(0, 600), slice(600, 1000)
    x, test_x = (network.preprocessing.normalise(array) for array in (shown, test_shown))
    raw, raw_test = (functions["extract_codes"](network.copy(), "relu5", array).astype(np.float64) for array in (x, test_x))
    (z, z_val), (_, z_test) = (functions["standardise"](raw[train], other) for other in (raw[val], raw_test))

    def fit(x: np.ndarray, y: np.ndarray, regularisation: float) -> SimpleNamespace:
        def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
            w, b = theta[:-10].reshape(10, -1), theta[-10:]
            value, dw, db = functions["softmax_regression"](w, b, x, y, regularisation)
            return float(value), np.concatenate([np.ravel(dw), np.ravel(db)])

        theta = minimize(loss, np.zeros(10 * (x.shape[1] + 1)), jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
        w, b = theta[:-10].reshape(10, -1), theta[-10:]
        return SimpleNamespace(score=lambda x, y: float(np.mean((x @ w.T + b).argmax(axis=1) == y)))

    path = 10.0 ** np.arange(-4, 2)
    parts = (z, labels[train]), (z_val, labels[val])
    strength, accuracy = functions["choose_regularisation"](fit, *parts, (z_test, test_labels), tuple(path))
    yours = [fit(*parts[0], s).score(*parts[1]) for s in path]
    ours = choose_regularisation(SoftmaxRegression, *parts[0], *parts[1], path=path)

    tuned = functions["replace_head_and_freeze"](network.copy(), 10, "s2", rng)
    functions["set_learning_rates"](tuned, "output", 0.3)
    optimizer = AdamW(tuned.parameters(), 3e-3)
    trainer = Trainer(tuned, SoftmaxCrossEntropy(), optimizer, epochs=12, batch_size=32, progress=False)
    history = trainer.fit(x[train], labels[train], x[val], labels[val])
    tuned_accuracy = trainer.evaluate(test_x, test_labels)[1]

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
    points = sorted(ours.path, key=lambda point: point.regularisation)
    left.semilogx(path, [point.val_accuracy for point in points], color=GREY, lw=4, alpha=0.6, label="minicnn's classifier")
    left.semilogx(path, yours, "o-", color=BLUE, lw=1, label="your classifier")
    left.axvline(float(strength), color=ORANGE, ls="--", lw=1, label="your choice")
    left.set(xlabel="regularisation", ylabel="accuracy, validation", title="A linear classifier on your codes")
    left.legend()
    right.plot([e["epoch"] for e in history.epochs], [e["val_accuracy"] for e in history.epochs], "o-", color=BLUE)
    right.axhline(max(yours), color=GREY, ls="--", lw=1)
    right.set(xlabel="epoch", title="Fine-tuned with your head and rates")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "finale.png")
    plt.close(figure)
    print(
        f"A network that knew digits only, on 1000 test pictures of {'clothes' if folder else 'drawn digits'}: "
        f"your codes and classifier {accuracy:.1%} (with minicnn's classifier {ours.final.score(z_test, test_labels):.1%}), "
        f"fine-tuned with your head and rates {tuned_accuracy:.1%}. Figure: {out / 'finale.png'}"
    )


FINALE = finale

TASKS = [
    Task(
        "CNN codes",
        codes,
        ("extract_codes",),
        CODES_SLIPS,
        (
            "Which of the two halves that network.split(layer) gives has to run, and in which mode?",
            "Batch norm and dropout do one thing in training and another in use; eval() of the network, or of the lower half, "
            "reaches all layers inside. Feature maps have four axes, of which the last two are averaged away; rows of "
            "features have two, and stay.",
            "lower, _ = network.split(layer); features = lower.eval().forward(x). Then features.mean(axis=(2, 3)) if "
            "features.ndim is 4.",
        ),
        2,
    ),
    Task(
        "standardise",
        standardising,
        ("standardise",),
        STANDARDISE_SLIPS,
        (
            "Compute two rows of D numbers from the training codes. Both sets are treated with just these.",
            "A feature that does not vary has no spread to divide by: put a 1 in the place of its std. Ask whether the std is "
            "tiny, beside the feature's own size, and not whether it is 0.",
            "mean, std = train.mean(axis=0), train.std(axis=0); std = np.where(std > 1e-9 * np.abs(train).max(axis=0), std, "
            "1). Then (train - mean) / std, and the same with other.",
        ),
    ),
    Task(
        "a softmax classifier with L2 regularisation",
        classifier,
        ("softmax_regression",),
        CLASSIFIER_SLIPS,
        (
            "You have written most of it before, in lesson 2: a fully connected layer and the softmax loss on top of it. What "
            "is new is one term.",
            "dscores is (p - one-hot) / N; from it dw and db are what the backward pass of a fully connected layer gives. The "
            "penalty adds to the loss, and its derivative to dw; b is not in it.",
            "dw = dscores.T @ x + regularisation * w; db = dscores.sum(axis=0); loss = -log_p[np.arange(N), y].mean() + "
            "regularisation / 2 * (w * w).sum().",
        ),
        2,
    ),
    Task(
        "choose, then test",
        choosing,
        ("choose_regularisation",),
        CHOOSING_SLIPS,
        (
            "Go through the three steps of the docstring one after another: which part is trained on, which is asked, in each "
            "of them?",
            "Keep the best strength so far and its validation accuracy. If the strengths come from the strongest to the "
            "weakest, a later one replaces it only where it is really better. The test part is needed once, in the last line.",
            "for strength in sorted(path, reverse=True): accuracy = fit(*train, strength).score(*val), and compare with >. "
            "Then x, y = both parts joined with np.concatenate, and return best, fit(x, y, best).score(*test).",
        ),
        3,
    ),
    Task(
        "a new head, and a frozen body",
        head_and_freeze,
        ("replace_head_and_freeze",),
        HEAD_SLIPS,
        (
            "Print network.layers of lesson 11's network, then network.parameters(). Which is the last layer, and what is its "
            "in_features?",
            "Three steps: a new Linear under the old name, everything trainable, then everything up to `until` frozen. "
            "Model.unfreeze() and Model.freeze() know about layers inside layers.",
            "name, old = list(network.layers.items())[-1]; network.layers[name] = Linear(old.in_features, num_classes, "
            "rng=rng); network.unfreeze(); network.freeze(until=...).",
        ),
        2,
    ),
    Task(
        "learning-rate groups",
        learning_rates,
        ("set_learning_rates",),
        RATES_SLIPS,
        (
            "Every parameter gets one of two numbers. What tells which?",
            'network.parameters() has names such as "block2.conv.w": up to the first dot they are that of the top-level layer.',
            'for name, parameter in network.parameters().items(): the multiplier is 1.0 if name.startswith(f"{head}."), '
            "else ratio. Return the network.",
        ),
    ),
]
