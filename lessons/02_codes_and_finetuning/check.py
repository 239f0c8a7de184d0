"""Lesson 2: checks exercise.py (or the file named on the command line), offline, with new numbers and shapes each time."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from checking import Mistake, Student, expect_array, expect_close, expect_gradients, expect_several, main

from minicnn.gradcheck import check_function
from minicnn.layers import BatchNorm2d, Conv2d, Dropout, GlobalAvgPool2d, Linear, ReLU, Sequential
from minicnn.linear_model import SoftmaxRegression
from minicnn.losses import SoftmaxCrossEntropy, softmax
from minicnn.optim import SGD


def a_network(rng: np.random.Generator, last: int = 5) -> Sequential:
    """A small "pretrained" network with everything that matters here: batch norm with statistics of its own, and dropout."""
    width = int(rng.integers(4, 8))
    network = Sequential(
        conv1=Conv2d(3, 4, 3, pad=1, rng=rng),
        norm1=BatchNorm2d(4),
        relu1=ReLU(),
        conv2=Conv2d(4, width, 3, stride=2, pad=1, rng=rng),
        norm2=BatchNorm2d(width),
        relu2=ReLU(),
        pool=GlobalAvgPool2d(),
        dropout=Dropout(0.5, rng=rng),
        scores=Linear(width, last, rng=rng),
    )
    for name, array in network.state().items():
        array[...] = rng.uniform(0.5, 1.5, array.shape) if "var" in name else rng.standard_normal(array.shape)
    return network


def pictures(rng: np.random.Generator) -> np.ndarray:
    N, side = rng.integers(5, 9), rng.integers(6, 10)
    return rng.standard_normal((N, 3, side, side)).astype(np.float32)


def everything_in(network: Sequential) -> dict[str, np.ndarray]:
    """Copies of all weights and statistics, by name."""
    arrays = {name: parameter.value for name, parameter in network.parameters().items()} | network.state()
    return {name: array.copy() for name, array in arrays.items()}


# ---- Task 1


def codes(student: Student, rng: np.random.Generator) -> None:
    network, x = a_network(rng), pictures(rng)
    for layer in ("relu2", "pool", "relu1"):
        lower, _ = network.split(layer)
        output = lower.eval().forward(x)
        expected = output.mean(axis=(2, 3)) if output.ndim == 4 else output
        before = everything_in(network)
        got = student.extract_codes(network.train(), layer, x)
        changed = [name for name, array in everything_in(network).items() if not np.array_equal(array, before[name])]
        if changed:
            raise Mistake(
                f"extracting codes changed {', '.join(changed)}: the network came in train mode, where batch norm updates its "
                "running statistics. Call eval() first"
            )
        slips = {
            "Are the feature maps flattened or summed, instead of averaged over H and W?": output.sum(axis=(2, 3))
            if output.ndim == 4
            else output,
            "Is the largest value taken instead of the mean?": output.max(axis=(2, 3)) if output.ndim == 4 else output,
        }
        expect_array(f"the codes at '{layer}' of {len(x)} pictures", got, expected.shape)
        expect_close(f"codes at '{layer}'", got, expected, slips, tolerance=1e-4)
        alone = student.extract_codes(network.train(), layer, x[:1])
        if not np.allclose(alone[0], got[0], rtol=1e-3, atol=1e-4):
            raise Mistake(f"at '{layer}' a picture's code depends on the others in its batch: eval mode is missing")


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
        expect_close(name, results[i], (array - mean) / std, {sentence: slip[i] for sentence, slip in slips.items()})

    for constant in (4.0, 0.1):  # the std of the second comes out as 1e-17, not as 0
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


# ---- Task 3


def classifier(student: Student, rng: np.random.Generator) -> None:
    N, D, K = (int(n) for n in rng.permutation([5, 6, 7, 8])[:3])
    w, b = rng.standard_normal((K, D)), rng.standard_normal(K)
    x, y, strength = rng.standard_normal((N, D)), rng.integers(0, K, N), float(rng.uniform(0.1, 0.5))
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
    expect_close("loss", np.float64(loss), np.float64(data_loss + penalty), slips)

    dscores = softmax(x @ w.T + b)
    dscores[np.arange(N), y] -= 1
    without = dscores.T @ x / N
    slips = {
        "The regularisation has no part in dw: its gradient is regularisation * w.": without,
        "The square's 2 and the 1/2 before it cancel: the gradient of the regularisation is regularisation * w.": without
        + 2 * strength * w,
    }
    expect_close("dw", dw, without + strength * w, slips)
    expect_array("db", db, b.shape)

    def forward(w: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(student.softmax_regression(w, b, x, y, strength)[0])

    def backward(dy: np.ndarray) -> dict:
        _, dw, db = student.softmax_regression(w, b, x, y, strength)
        return {"w": dy * dw, "b": dy * db}

    expect_gradients(check_function(forward, backward, {"w": w, "b": b}, subject="softmax_regression", rng=rng))


# ---- Task 4


PATH = (1e-4, 1e-2, 1.0, 100.0)


def a_choice(rng: np.random.Generator) -> tuple[dict[str, tuple], dict[str, dict[float, float]]]:
    """Noisy codes in three parts, drawn until training and test part would each choose another strength than validation."""
    truth = rng.standard_normal(12)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.standard_normal((n, 12))
        return x, (x @ truth + 3 * rng.standard_normal(n) > 0).astype(int)

    while True:
        train = draw(24)
        if len(np.unique(train[1])) < 2:
            continue
        fitted = {strength: SoftmaxRegression(strength).fit(*train) for strength in PATH}
        for _ in range(100):
            parts = {"train": train, "val": draw(16), "test": draw(16)}
            scores = {part: {s: fitted[s].score(*parts[part]) for s in PATH} for part in parts}
            best = strongest_best(scores["val"])
            if all(max(scores[part].values()) > scores[part][best] for part in ("train", "test")):
                return parts, scores


def strongest_best(scores: dict[float, float]) -> float:
    return max(scores, key=lambda strength: (scores[strength], strength))


def choosing(student: Student, rng: np.random.Generator) -> None:
    parts, scores = a_choice(rng)
    fits: list[tuple[int, float]] = []

    def fit(x: np.ndarray, y: np.ndarray, regularisation: float) -> SoftmaxRegression:
        fits.append((len(x), float(regularisation)))
        return SoftmaxRegression(regularisation).fit(x, y)

    def answer(test: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
        fits.clear()
        path = tuple(rng.permutation(PATH))
        given = student.choose_regularisation(fit, parts["train"], parts["val"], test, path)
        return tuple(expect_several("choose_regularisation", given, "regularisation, accuracy"))

    chosen, accuracy = answer(parts["test"])
    x_test, y_test = parts["test"]
    for labels in (1 - y_test, np.zeros_like(y_test), rng.permutation(y_test), *rng.integers(0, 2, (8, len(y_test)))):
        other, _ = answer((x_test, labels))
        if other != chosen:
            raise Mistake(
                f"with other labels in the test part the choice changes from {chosen:g} to {other:g}: the test part has a say "
                "in it, and so its accuracy is no longer an honest one. Choose by the validation part"
            )
    chosen, accuracy = answer(parts["test"])
    best = strongest_best(scores["val"])
    if chosen != best:
        ties = [s for s in PATH if scores["val"][s] == max(scores["val"].values())]
        if chosen in ties:
            why = f"{', '.join(f'{s:g}' for s in ties)} are equally good on the validation part; then take the strongest"
        elif scores["train"].get(chosen) == max(scores["train"].values()):
            why = "that is the best on the training part, which always likes weak regularisation"
        else:
            got, most = scores["val"].get(chosen, np.nan), max(scores["val"].values())
            why = f"its validation accuracy is {got:.3f}, the best is {most:.3f}"
        raise Mistake(f"chose {chosen:g}, expected {best:g}: {why}")
    n_train, n_val = len(parts["train"][1]), len(parts["val"][1])
    joined = [np.concatenate(pair) for pair in zip(parts["train"], parts["val"], strict=True)]
    expected = SoftmaxRegression(chosen).fit(*joined).score(*parts["test"])
    if (n_train + n_val, chosen) not in fits:
        sizes = ", ".join(str(n) for n in sorted({n for n, _ in fits}))
        raise Mistake(
            f"the last classifier must be trained with the chosen strength on training and validation part together "
            f"({n_train} + {n_val} pictures); fit() was called with {sizes} pictures only"
        )
    expect_close("the test accuracy", np.float64(accuracy), np.float64(expected))


# ---- Task 5


def head_and_freeze(student: Student, rng: np.random.Generator) -> None:
    network, x, num_classes = a_network(rng), pictures(rng), int(rng.integers(2, 5))
    for name in ("conv1.b", "norm2.gamma"):
        network.parameters()[name].trainable = False  # what an earlier phase left behind
    until = str(rng.choice(["norm1", "relu1", "conv2"]))
    names, old = list(network.layers), network.layers["scores"]
    shape = old.w.value.shape
    result = student.replace_head_and_freeze(network, num_classes, until, rng.spawn(1)[0])
    if result is not network:
        raise Mistake("replace_head_and_freeze() must change the network in place and return that same network")
    if list(network.layers) != names:
        raise Mistake(f"the layers must keep names and order: {', '.join(names)}; they are now {', '.join(network.layers)}")
    head = network.layers["scores"]
    if head is old or not isinstance(head, Linear):
        what = "the old one" if head is old else f"a {type(head).__name__}"
        raise Mistake(f"the last layer must be a new Linear layer, it is {what}")
    expect_array("the new head's w", head.w.value, (num_classes, shape[1]))
    if np.ptp(head.w.value) == 0:
        raise Mistake("all weights of the new head are equal; they must be random")

    at = names.index(until) + 1
    parameters = network.parameters()
    lower = {name for name in parameters if name.split(".")[0] in names[:at]}
    trainable = {name for name, parameter in parameters.items() if parameter.trainable}
    if trainable == lower:
        raise Mistake("it is the wrong way round: frozen means trainable = False (and one of the sources says the opposite)")
    if wrong := sorted(lower & trainable):
        raise Mistake(f"up to and including '{until}' everything must be frozen, but {', '.join(wrong)} can still be trained")
    if wrong := sorted(set(parameters) - lower - trainable):
        raise Mistake(
            f"everything above '{until}' must be trainable, but {', '.join(wrong)} cannot: unfreeze() what was frozen"
        )

    before = everything_in(network)
    optimizer, loss = SGD(network.parameters(), 0.1), SoftmaxCrossEntropy()
    for _ in range(3):
        loss.forward(network.train().forward(x), rng.integers(0, num_classes, len(x)))
        network.backward(loss.backward())
        optimizer.step()
    after = everything_in(network)
    moved = sorted(name for name in after if name.split(".")[0] in names[:at] and not np.array_equal(after[name], before[name]))
    if moved:
        raise Mistake(f"after three steps of training {', '.join(moved)} have changed, although they should be frozen")
    still = sorted(name for name in trainable if np.array_equal(after[name], before[name]))
    if still:
        raise Mistake(f"after three steps of training {', '.join(still)} have not changed, although they should learn")


# ---- Task 6


def learning_rates(student: Student, rng: np.random.Generator) -> None:
    ratio, learning_rate = float(rng.uniform(0.05, 0.3)), 0.1
    network, x = a_network(rng), pictures(rng)
    network.append("scores_of_another_task", Linear(5, 3, rng=rng))  # its name begins like that of the head
    head = "scores"
    for parameter in network.parameters().values():
        parameter.learning_rate_multiplier = float(rng.uniform(2, 3))
    if student.set_learning_rates(network, head, ratio) is not network:
        raise Mistake("set_learning_rates() must change the network in place and return that same network")

    loss, optimizer = SoftmaxCrossEntropy(), SGD(network.parameters(), learning_rate)
    loss.forward(network.train().forward(x), rng.integers(0, 3, len(x)))
    network.backward(loss.backward())
    before = everything_in(network)
    optimizer.step()
    for name, parameter in network.parameters().items():
        if parameter.grad is None:
            raise Mistake(f"{name} has no gradient: set_learning_rates() must not freeze anything, only set multipliers")
        gradient = np.linalg.norm(parameter.grad)
        if gradient < 1e-4:  # a bias before a batch norm, say: it does nothing, and does not move
            continue
        factor = np.linalg.norm(parameter.value - before[name]) / (learning_rate * gradient)
        expected = 1.0 if name.rsplit(".", 1)[0] == head else ratio
        if abs(factor - expected) > 0.02:
            hint = f" '{name}' only begins like the head, '{head}'." if name.startswith(head) and expected == ratio else ""
            raise Mistake(
                f"one step of SGD moved {name} by {factor:.3g} x learning rate x gradient, expected {expected:.3g} x.{hint}"
            )


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
