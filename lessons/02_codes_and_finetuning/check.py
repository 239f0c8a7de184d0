"""Lesson 2: checks exercise.py (or the file named on the command line), offline, with new numbers and shapes each time.

The numbers differ from run to run; the cases do not. Whatever tells a right answer from a wrong one is in every run.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from checking import Mistake, Student, expect_array, expect_close, expect_gradients, expect_number, expect_several, main
from known_accuracies import Trial

from minicnn.gradcheck import check_function
from minicnn.layers import BatchNorm2d, Conv2d, Dropout, GlobalAvgPool2d, Layer, Linear, Parameter, ReLU, Sequential
from minicnn.losses import SoftmaxCrossEntropy, softmax
from minicnn.models import Model

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
                "extracting codes left another network behind, with other layers or another dtype: others still need it. "
                "Work on a part of it, network.split(layer), or on a copy"
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
    while second.best == first.best:  # so that an answer which keeps its choice from one call to the next is noticed
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


if __name__ == "__main__":
    tasks = {
        "CNN codes": codes,
        "standardise": standardising,
        "a softmax classifier with L2 regularisation": classifier,
        "choose, then test": choosing,
        "a new head, and a frozen body": head_and_freeze,
        "learning-rate groups": learning_rates,
    }
    sys.exit(main(Path(__file__).parent, "Lesson 2, codes and fine-tuning", tasks))
