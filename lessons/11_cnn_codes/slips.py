"""Lesson 11: the mistakes that people make in its exercise, by task, as small functions that make them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import solution

from minicnn.course import Slip
from minicnn.layers import BatchNorm2d
from minicnn.losses import softmax
from minicnn.models import Model

# ---- Task 1: CNN codes


def prepared(network: Model, pictures: np.ndarray) -> np.ndarray:
    return network.preprocessing.normalise(pictures)


def channels_first(pictures: np.ndarray) -> np.ndarray:
    """float32 (N, C, H, W), 0 to 255."""
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32)


def per_channel(numbers: Sequence[float]) -> np.ndarray:
    return np.array(numbers, np.float32).reshape(1, -1, 1, 1)


def in_batches(N: int, batch_size: int) -> list[slice]:
    return [slice(start, start + batch_size) for start in range(0, N, batch_size)]


def wrong_codes(
    mode: Callable = lambda network: network.eval(),
    pool: Callable = lambda maps: maps.mean(axis=(2, 3)),
    which: Callable = lambda names, layer: layer,
    prepare: Callable = prepared,
    batches: Callable = in_batches,
    join: Callable = np.concatenate,
) -> dict[str, Callable]:
    """extract_codes() with one thing wrong: mode, pool, layer, preparation, batches, or how they are joined."""

    def extract_codes(network: Model, layer: str, pictures: np.ndarray, batch_size: int) -> np.ndarray:
        mode(network)
        lower, _ = network.split(which(list(network.layers), layer))
        outputs = [lower.forward(prepare(network, pictures[rows])) for rows in batches(len(pictures), batch_size)]
        return join([pool(output) if output.ndim == 4 else output for output in outputs])

    return {"extract_codes": extract_codes}


def eval_norms_only(network: Model) -> None:
    for _, layer in network.walk():
        if isinstance(layer, BatchNorm2d):
            layer.eval()


def eval_top_level_only(network: Model) -> None:
    for layer in network.layers.values():
        layer.training = False


def in_rgb_order(network: Model, pictures: np.ndarray) -> np.ndarray:
    mean, std = (per_channel(numbers) for numbers in (network.preprocessing.mean, network.preprocessing.std))
    return (channels_first(pictures) - mean) / std


def without_std(network: Model, pictures: np.ndarray) -> np.ndarray:
    return prepared(network, pictures) * per_channel(network.preprocessing.std)


def by_their_own_statistics(network: Model, pictures: np.ndarray) -> np.ndarray:
    x = channels_first(pictures)
    return (x - x.mean(axis=(0, 2, 3), keepdims=True)) / x.std(axis=(0, 2, 3), keepdims=True)


def rows_and_columns_exchanged(network: Model, pictures: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(prepared(network, pictures).swapaxes(2, 3))


def reshaped(network: Model, pictures: np.ndarray) -> np.ndarray:
    N, H, W, C = pictures.shape
    mean, std = (per_channel(numbers) for numbers in (network.preprocessing.mean, network.preprocessing.std))
    return (pictures.reshape(N, C, H, W).astype(np.float32) - mean) / std


PREPARE = "A network answers to inputs like those that it was trained on: the same mean, std and order of channels."
NEXT = "The codes are the output of the layer that was named"

CODES_SLIPS = (
    Slip(
        "the network stays in train mode",
        "A code must depend on its picture alone. Which layers look at the other pictures of the batch, and when?",
        wrong_codes(mode=lambda network: None),
        r"forward|train\(|split",
    ),
    Slip(
        "dropout stays in train mode",
        "The same picture must give the same code twice. Which layer draws random numbers?",
        wrong_codes(mode=eval_norms_only),
        r"forward|eval|training",
    ),
    Slip(
        "only the layers at the top are in eval mode",
        "A block has layers inside it, with modes of their own. What does network.eval() reach that a loop over "
        "network.layers does not?",
        wrong_codes(mode=eval_top_level_only),
        r"training|eval",
    ),
    Slip(
        "the network is cut before the layer",
        f"{NEXT}: it has to run.",
        wrong_codes(which=lambda names, layer: names[names.index(layer) - 1]),
        r"break|index|- *1|==",
    ),
    Slip(
        "one layer too many runs",
        f"{NEXT}: nothing above it has to run.",
        wrong_codes(which=lambda names, layer: names[min(names.index(layer) + 1, len(names) - 1)]),
        r"index|\+ *1|==|break",
    ),
    *(
        Slip(
            "the codes are those of a layer that is always the same",
            "What is the argument `layer` for?",
            wrong_codes(which=lambda names, layer, i=i: names[i]),
            r"split|features|cut|\[-",
        )
        for i in (-1, -2, -3)
    ),
    Slip(
        "the maps are summed and not averaged",
        "A larger picture must not give larger codes.",
        wrong_codes(pool=lambda maps: maps.sum(axis=(2, 3))),
        r"sum",
    ),
    Slip(
        "the largest value of a map is taken, and not its mean",
        "That is another kind of pooling. Here a code says how much of a feature there is on average.",
        wrong_codes(pool=lambda maps: maps.max(axis=(2, 3))),
        r"max",
    ),
    Slip(
        "the maps are flattened",
        "How many numbers should a code at this layer have: one for each channel, or one for each place in each channel?",
        wrong_codes(pool=lambda maps: maps.reshape(len(maps), -1)),
        r"reshape|flatten|ravel",
    ),
    Slip(
        "the maps come back as they are",
        "A code is a row of numbers. What is to be done with (N, C, H, W)?",
        wrong_codes(pool=lambda maps: maps),
        r"return|append",
    ),
    Slip(
        "averaged over the wrong axes",
        "Of N, C, H and W the first two must stay. At which positions are the others?",
        wrong_codes(pool=lambda maps: maps.mean(axis=(1, 2))),
        r"mean",
    ),
    Slip(
        "averaged over rows only, and one column taken",
        "A map has two axes to be averaged away, H and W.",
        wrong_codes(pool=lambda maps: maps.mean(axis=2)[..., 0]),
        r"mean|\[.*0\]",
    ),
    Slip(
        "divided by the square of H, as if all maps were square",
        "How many places has a map of H rows and W columns?",
        wrong_codes(pool=lambda maps: maps.sum(axis=(2, 3)) / maps.shape[2] ** 2),
        r"shape",
    ),
    Slip(
        "divided by the number of pictures",
        "The mean runs over the places of a map. How many are they?",
        wrong_codes(pool=lambda maps: maps.sum(axis=(2, 3)) / len(maps)),
        r"len\(",
    ),
    Slip(
        "the averaged axes are still there, with length 1",
        "Codes are (N, C), with two axes.",
        wrong_codes(pool=lambda maps: maps.mean(axis=(2, 3), keepdims=True)),
        r"keepdims|mean|Pool",
    ),
    Slip(
        "axes of length 1 are lost",
        "One picture alone has a code (1, D). Which function drops every axis of length 1, and which only those meant?",
        {"extract_codes": lambda *given: solution.extract_codes(*given).squeeze()},
        r"squeeze",
    ),
    Slip(
        "each code is divided by its length",
        "That is a step of its own, in task 2. Here the codes are wanted as they come.",
        wrong_codes(join=lambda codes: solution.unit_length(np.concatenate(codes))),
        r"norm|sqrt",
    ),
    Slip(
        "more pictures than batch_size run at once",
        "The network says how many came. Cut the pictures into pieces, and run one after the other.",
        wrong_codes(batches=lambda N, batch_size: [slice(N)]),
        r"forward|features|normalise",
    ),
    Slip(
        "the last, smaller batch is left out",
        "How many codes come out, and how many pictures went in? Divide 7 pictures into batches of 3 on paper.",
        wrong_codes(batches=lambda N, batch_size: in_batches(N, batch_size)[: max(N // batch_size, 1)]),
        r"//|range",
    ),
    Slip(
        "only the codes of the first batch come back",
        "Where is the return: in the loop or behind it?",
        wrong_codes(batches=lambda N, batch_size: [slice(batch_size)]),
        r"return",
    ),
    Slip(
        "only the codes of the last batch come back",
        "Each round of the loop overwrites what the last one computed. Where could all of it be kept?",
        wrong_codes(join=lambda codes: codes[-1]),
        r"return|=",
    ),
    Slip(
        "the batches are not joined",
        "One array was asked for, (N, D). Which function joins several along their first axis?",
        wrong_codes(join=lambda codes: codes),
        r"return",
    ),
    Slip(
        "the batches are stacked along the features",
        "Codes of further pictures are further rows. Along which axis are the batches to be joined?",
        wrong_codes(join=lambda codes: np.concatenate(codes, axis=1)),
        r"axis|hstack",
    ),
    Slip(
        "each batch begins one picture after the last one",
        "By how many pictures must the start move on in each round?",
        wrong_codes(batches=lambda N, batch_size: [slice(start, start + batch_size) for start in range(N)]),
        r"range",
    ),
    Slip(
        "the batches are in the reverse order",
        "Row n of the codes belongs to picture n.",
        wrong_codes(join=lambda codes: np.concatenate(codes[::-1])),
        r"-1",
    ),
    *(
        Slip(
            "the pictures go in without mean and std",
            PREPARE,
            wrong_codes(prepare=lambda network, pictures, scale=scale: channels_first(pictures) / np.float32(scale)),
            r"transpose|moveaxis|255|astype",
        )
        for scale in (1, 255)
    ),
    Slip(
        "the network gets bytes or float64, and not float32",
        "Pictures come as uint8, and NumPy makes float64 of them in a division. normalise() gives what the network takes.",
        wrong_codes(prepare=lambda network, pictures: pictures),
        r"forward|features|astype",
    ),
    Slip(
        "the pictures go in with their channels last",
        "The network wants (N, C, H, W), and pictures are (N, H, W, C). network.preprocessing knows how.",
        wrong_codes(prepare=lambda network, pictures: pictures.astype(np.float32)),
        r"forward|features|astype",
    ),
    Slip(
        "the channels stay in the order red, green, blue",
        "Some networks were trained with blue first. network.preprocessing.channels says so, and normalise() heeds it.",
        wrong_codes(prepare=in_rgb_order),
        r"transpose|mean|moveaxis",
    ),
    Slip(
        "it is not divided by the std",
        PREPARE,
        wrong_codes(prepare=without_std),
        r"mean|std",
    ),
    Slip(
        "the pictures are standardised by their own mean and std",
        f"{PREPARE} Those are in network.preprocessing; the mean and std of these few pictures are others.",
        wrong_codes(prepare=by_their_own_statistics),
        r"mean|std",
    ),
    Slip(
        "rows and columns of the pictures have changed places",
        "Which axis of (N, H, W, C) comes where in (N, C, H, W)? `.T` turns all of them round.",
        wrong_codes(prepare=rows_and_columns_exchanged),
        r"transpose|swapaxes|\.T",
    ),
    Slip(
        "the channels are put first by a reshape",
        "reshape leaves the numbers in their order in memory and cuts them up anew: pixels and channels are mixed. Moving an "
        "axis is something else.",
        wrong_codes(prepare=reshaped),
        r"reshape",
    ),
)

# ---- Task 2: scales


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


def unscaled_where_any_is_constant(train: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    std = train.std(axis=0)
    return train.mean(axis=0), std if (std > 1e-9).all() else 1.0


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
        "it is divided by the root of the mean square",
        "The std is measured from the mean, and not from 0.",
        standardise_by(lambda train, other: (train.mean(axis=0), np.sqrt((train * train).mean(axis=0)))),
        r"sqrt|norm|\*\*",
    ),
    Slip(
        "the least and the largest value become 0 and 1",
        "That is another scale, which a single odd picture decides. Mean and std were asked for.",
        standardise_by(lambda train, other: (train.min(axis=0), np.ptp(train, axis=0))),
        r"min",
    ),
    Slip(
        "the other set stays as it was",
        "A classifier that was trained on standardised codes needs such codes to answer.",
        {"standardise": lambda train, other: (solution.standardise(train, other)[0], other.copy())},
        r"return",
    ),
    Slip(
        "the training codes stay as they were",
        "Both sets are wanted on the new scale.",
        {"standardise": lambda train, other: (train.copy(), solution.standardise(train, other)[1])},
        r"return",
    ),
    Slip(
        "only the training codes come back",
        "Two arrays were asked for.",
        {"standardise": lambda train, other: solution.standardise(train, other)[0]},
        r"return",
    ),
    Slip(
        "the two sets come back in the wrong order",
        "Which one was asked for first?",
        {"standardise": lambda train, other: solution.standardise(train, other)[::-1]},
        r"return",
    ),
    Slip(
        "all features stay unscaled where one is constant",
        "A feature without spread is a matter of that feature alone.",
        standardise_by(unscaled_where_any_is_constant),
        r"any|all",
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
        for epsilon in (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12)
    ),
    Slip(
        "a feature that is constant becomes 0 in the other set as well",
        "In training it is 0 once the mean is subtracted. In the other set it may vary: only subtract the mean there.",
        {"standardise": constant_becomes_0},
        r"nan_to_num|= *0",
    ),
)


def row_lengths(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x, axis=1, keepdims=True)


def scaled_by(lengths: Callable, of_zeros: float = 0.0) -> dict[str, Callable]:
    """unit_length() with other lengths: lengths(x); rows of zeros become ``of_zeros``."""

    def unit_length(x: np.ndarray) -> np.ndarray:
        result = x / lengths(x)
        result[~x.any(axis=1)] = of_zeros
        return result

    return {"unit_length": unit_length}


LENGTH_SLIPS = (
    Slip(
        "each feature is divided by its length, and not each code",
        "A code is a row of x. Along which axis do its numbers lie?",
        scaled_by(lambda x: np.linalg.norm(x, axis=0, keepdims=True)),
        r"axis *= *0|norm",
    ),
    Slip(
        "all codes are divided by one length",
        "Each code has a length of its own.",
        scaled_by(np.linalg.norm),
        r"norm\(x\)|sum\(\)",
    ),
    Slip(
        "the length is the sum of the absolute values",
        "The length is meant in the usual, Euclidean sense: the root of the sum of squares.",
        scaled_by(lambda x: np.abs(x).sum(axis=1, keepdims=True)),
        r"abs|ord",
    ),
    Slip(
        "the length is the sum of the numbers",
        "They would then sum to 1, as probabilities do. The length is the root of the sum of squares.",
        scaled_by(lambda x: x.sum(axis=1, keepdims=True)),
        r"sum",
    ),
    Slip(
        "the largest number is taken for the length",
        "The length is the root of the sum of squares.",
        scaled_by(lambda x: np.abs(x).max(axis=1, keepdims=True)),
        r"max",
    ),
    Slip(
        "the root is missing in the length",
        "What is the length of your result, for a code of length 2?",
        scaled_by(lambda x: row_lengths(x) ** 2),
        r"sum|square|\*\*",
    ),
    Slip(
        "the length is a root of the mean, and not of the sum, of squares",
        "Then the result has length sqrt(D).",
        scaled_by(lambda x: np.sqrt((x * x).mean(axis=1, keepdims=True))),
        r"mean",
    ),
    Slip(
        "the std is taken for the length",
        "The length is measured from 0, and not from the mean of the code's numbers.",
        scaled_by(lambda x: x.std(axis=1, keepdims=True)),
        r"std",
    ),
    Slip(
        "only codes longer than 1 are divided by their length",
        "Short codes are to have length 1 as well.",
        scaled_by(lambda x: np.maximum(row_lengths(x), 1)),
        r"max|> *1|clip",
    ),
    Slip(
        "a code of zeros becomes NaN",
        "Its length is 0. Do you divide by that?",
        scaled_by(row_lengths, of_zeros=np.nan),
        r"/",
    ),
    Slip(
        "a code of zeros becomes something else",
        "It has no direction that it could keep: it stays as it is.",
        {"unit_length": lambda x: np.where(x.any(axis=1, keepdims=True), solution.unit_length(x), x.shape[1] ** -0.5)},
        r"where|ones|if",
    ),
    *(
        Slip(
            "a small number is added to the length",
            "A code that is small all over is to have length 1 as well. What does the small number make of it?",
            scaled_by(lambda x, epsilon=epsilon: row_lengths(x) + epsilon),
            r"\+ *(?:\d|eps)",
        )
        for epsilon in (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12)
    ),
    *(
        Slip(
            "small codes count as zeros",
            "A code that is small all over has a direction, too: only one of length 0 has none.",
            scaled_by(lambda x, least=least: np.where(row_lengths(x) > least, row_lengths(x), 1)),
            r"[<>]|where",
        )
        for least in (1e-4, 1e-9)
    ),
    *(
        Slip(
            "small codes are divided by a least length",
            "A code that is small all over has a direction, too, and is to have length 1.",
            scaled_by(lambda x, least=least: np.maximum(row_lengths(x), least)),
            r"max|clip",
        )
        for least in (1e-4, 1e-5, 1e-6)
    ),
)

# ---- Task 3: a softmax classifier


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


def of_some_classes(named: np.ndarray, dw: np.ndarray, db: np.ndarray, w: np.ndarray, s: float) -> tuple:
    """Gradients in which only the named classes have a part from the pictures."""
    return np.where(named[:, None], dw, s * w), np.where(named, db, 0)


def unshifted(w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray, strength: float) -> tuple:
    e = np.exp(x @ w.T + b)
    p = e / e.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(len(y)), y]).mean() + strength / 2 * (w * w).sum()
    p[np.arange(len(y)), y] -= 1
    return loss, p.T @ x / len(y) + strength * w, p.mean(axis=0)


def log_of_a_shifted_p(w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray, strength: float) -> tuple:
    _, dw, db = solution.softmax_regression(w, b, x, y, strength)
    p = softmax(x @ w.T + b)[np.arange(len(y)), y]
    return -np.log(p).mean() + strength / 2 * (w * w).sum(), dw, db


def squares(w: np.ndarray) -> float:
    return (w * w).sum()


DIVIDED = "The mean over the pictures is taken once. Where in your function stands an N, and how often does it act here?"
NO_BIAS = "Does the penalty have a b in it?"

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
        "the penalty is missing in the loss",
        "dw has its derivative. What is it the derivative of?",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss - s / 2 * squares(w), dw, db)),
        r"loss|return",
    ),
    Slip(
        "the 1/2 of the penalty is missing in the loss",
        "The derivative of w^2 is 2 w. With which factor in the loss does the gradient come out as regularisation * w?",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss + s / 2 * squares(w), dw, db)),
        r"(?:regularisation|strength|reg|lam)\w* *\*|\* *(?:regularisation|strength|reg|lam)",
    ),
    Slip(
        "the 1/2 of the penalty is missing, in the loss and in dw",
        "Loss and dw fit each other, but the penalty is twice as strong as it should be.",
        with_strength(lambda s, N: 2 * s),
        r"2 *\*",
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
        "the penalty adds the weights themselves, and not their squares",
        "Positive and negative weights would cancel.",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss + s / 2 * (w.sum() - squares(w)), dw, db)),
        r"w\.sum|sum\(w\)",
    ),
    Slip(
        "the penalty adds absolute values, and not squares",
        "That is L1, which has another gradient.",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss + s / 2 * (np.abs(w).sum() - squares(w)), dw, db)),
        r"abs",
    ),
    Slip(
        "the penalty has the wrong sign",
        "Large weights should cost something.",
        with_strength(lambda s, N: -s),
        r"-",
    ),
    Slip(
        "the bias is regularised as well",
        NO_BIAS,
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss + s / 2 * squares(b), dw, db + s * b)),
        r"\bb\b *(?:\*|@|\*\*)|\* *b\b",
    ),
    Slip(
        "the penalty in the loss has the bias in it",
        NO_BIAS,
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss + s / 2 * squares(b), dw, db)),
        r"\bb\b *(?:\*|@|\*\*)|\* *b\b",
    ),
    Slip(
        "db has a share of the regularisation, and the loss has none of b",
        NO_BIAS,
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, dw, db + s * b)),
        r"\* *b\b",
    ),
    Slip(
        "the scores have no bias",
        "scores = x w^T + b: what is b for?",
        {"softmax_regression": lambda w, b, x, y, s: solution.softmax_regression(w, 0 * b, x, y, s)},
        r"@|einsum|dot",
    ),
    Slip(
        "the loss has the wrong sign",
        "log p is negative, and a loss is the larger, the worse the classifier is.",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (s * squares(w) - loss, dw, db)),
        r"log",
    ),
    Slip(
        "the loss is a sum over the pictures",
        "With twice as many pictures, should the loss be twice as large?",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (len(y) * (loss - s / 2 * squares(w)) + s / 2 * squares(w), dw, db)),
        r"sum\(\)",
    ),
    Slip(
        "the loss is divided by the number of classes as well",
        "There is one log p a picture: the mean is over N numbers.",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: ((loss - s / 2 * squares(w)) / len(b) + s / 2 * squares(w), dw, db)),
        r"mean|size",
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
        "dw has half of the regularisation",
        "The 2 of the square and the 1/2 before it: what remains?",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, dw - s / 2 * w, db)),
        r"/ *2|0\.5",
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
        "db is a sum over the pictures",
        DIVIDED,
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, dw, db * len(y))),
        r"\bdb\b|return",
    ),
    Slip(
        "db is divided by N twice",
        DIVIDED,
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, dw, db / len(y))),
        r"mean\(|/ *(?:N|len)",
    ),
    Slip(
        "dw and db are divided by N twice",
        DIVIDED,
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, (dw - s * w) / len(y) + s * w, db / len(y))),
        r"mean\(|/=? *(?:N|len)",
    ),
    Slip(
        "the gradients are divided by the number of classes",
        "There is one loss a picture. By which of the two sizes does a mean over pictures divide?",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, (dw - s * w) * len(y) / len(b) + s * w, db * len(y) / len(b))),
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
        "dw and db have the wrong sign",
        "Should the score of the right class grow or shrink? A step subtracts the gradient.",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, 2 * s * w - dw, -db)),
        r"-",
    ),
    Slip(
        "the labels have no part in the gradient",
        "p alone pushes all scores down. What is subtracted from it?",
        classifier_by(
            lambda loss, dw, db, w, b, x, y, s: (
                loss,
                softmax(x @ w.T + b).T @ x / len(y) + s * w,
                softmax(x @ w.T + b).mean(axis=0),
            )
        ),
        r"@|einsum",
    ),
    Slip(
        "db is 0",
        "A bias is added to every score of its class: by how much do the scores' gradients pull at it, all together?",
        classifier_by(lambda loss, dw, db, *_: (loss, dw, 0 * db)),
        r"zeros|\bdb\b",
    ),
    Slip(
        "db does not come back",
        "Three things were asked for.",
        classifier_by(lambda loss, dw, db, *_: (loss, dw)),
        r"return",
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
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, *of_some_classes(np.arange(len(b)) <= y.max(), dw, db, w, s))),
        r"max\(\) *\+ *1|eye",
    ),
    Slip(
        "classes of no picture get no gradient from the pictures",
        "A class that none of these pictures is of still has scores, and they are too high.",
        classifier_by(
            lambda loss, dw, db, w, b, x, y, s: (loss, *of_some_classes(np.isin(np.arange(len(b)), y), dw, db, w, s))
        ),
        r"unique|set\(|in y",
    ),
    Slip(
        "scores of 1000 overflow",
        "exp(1000) is infinite. What can be subtracted from all scores of a picture without changing its probabilities?",
        {"softmax_regression": unshifted},
        r"exp",
    ),
    Slip(
        "the logarithm of a probability of 0 is taken",
        "A probability can be too small for a computer; its logarithm is not. Write log p as a difference of scores.",
        {"softmax_regression": log_of_a_shifted_p},
        r"log",
    ),
)

# ---- Task 4: a linear SVM


def signs(w: np.ndarray, y: np.ndarray, wrong: float = -1.0) -> np.ndarray:
    """1 for the right class, ``wrong`` for the others."""
    return np.where(np.arange(len(w)) == y[:, None], 1.0, wrong)


def usual_slack(t: np.ndarray, s: np.ndarray) -> np.ndarray:
    return np.maximum(0, 1 - t * s)


def wrong_svm(
    loss: Callable = lambda slack: slack**2,
    slope: Callable = lambda t, slack: -2 * t * slack,
    slack_of: Callable = usual_slack,
    targets: Callable = signs,
    mean: Callable = lambda N, K: N,
    penalty: Callable = lambda w, s: s / 2 * (w * w).sum(),
    decay: Callable = lambda w, s: s * w,
    finish: Callable = lambda P, dw, db: (P, dw, db),
) -> dict[str, Callable]:
    """svm_objective() with one thing wrong: what a slack costs and how it grows, the slack, t, the mean, the penalty, ..."""

    def svm_objective(w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray, regularisation: float) -> tuple:
        t, N = targets(w, y), mean(len(x), len(w))
        slack = slack_of(t, x @ w.T + b)
        P, ds = loss(slack).sum() / N + penalty(w, regularisation), slope(t, slack) / N
        return finish(P, ds.T @ x + decay(w, regularisation), ds.sum(axis=0))

    return {"svm_objective": svm_objective}


def svm_by(change: Callable) -> dict[str, Callable]:
    """svm_objective() with its right results changed: change(P, dw, db, w, b, x, y, strength)."""
    return {"svm_objective": lambda *given: change(*solution.svm_objective(*given), *given)}


def lead_over_the_right_class(w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray, strength: float) -> tuple:
    samples, s = np.arange(len(y)), x @ w.T + b
    slack = np.maximum(0, s - s[samples, y][:, None] + 1)
    slack[samples, y] = 0
    ds = 2 * slack / len(y)
    ds[samples, y] = -ds.sum(axis=1)
    return (slack**2).sum() / len(y) + strength / 2 * squares(w), ds.T @ x + strength * w, ds.sum(axis=0)


SVM_SLIPS = (
    Slip(
        "the slack is not squared",
        "That is the plain hinge. Here a slack of 2 costs 4, and its slope grows with it.",
        wrong_svm(lambda slack: slack, lambda t, slack: -t * (slack > 0)),
        r"sum",
    ),
    Slip(
        "the gradient is that of the plain hinge",
        "P squares the slack. What is the derivative of a square?",
        wrong_svm(slope=lambda t, slack: -t * (slack > 0)),
        r"> *0",
    ),
    Slip(
        "P does not square the slack",
        "The gradients are right for the squared hinge; P is that of the plain one.",
        wrong_svm(lambda slack: slack),
        r"sum",
    ),
    Slip(
        "the 2 of the square is missing in the gradients",
        "P squares the slack. What is the derivative of a square?",
        wrong_svm(slope=lambda t, slack: -t * slack),
        r"slack|- *t",
    ),
    Slip(
        "P has a 1/2 in front of the squared slack",
        "Only the penalty has a 1/2.",
        wrong_svm(lambda slack: slack**2 / 2, lambda t, slack: -t * slack),
        r"2|0\.5",
    ),
    Slip(
        "the gradients of the slack have the wrong sign",
        "Where the right class has too small a score, should a step make it larger or smaller? A step subtracts.",
        wrong_svm(slope=lambda t, slack: 2 * t * slack),
        r"2",
    ),
    Slip(
        "the gradient lacks t",
        "The right class must be pushed up and the others down.",
        wrong_svm(slope=lambda t, slack: -2 * slack),
        r"2",
    ),
    Slip(
        "t is 0 for the wrong classes, and not -1",
        "With t = 0 the slack of a wrong class is 1 whatever its score is.",
        wrong_svm(targets=lambda w, y: signs(w, y, 0.0)),
        r"zeros|eye|where|astype",
    ),
    Slip(
        "t has the wrong sign",
        "Which class should have a score of 1 or more, and which of -1 or less?",
        wrong_svm(targets=lambda w, y: -signs(w, y)),
        r"where|eye|- *1",
    ),
    Slip(
        "scores that are right by more than the margin cost something, too",
        "A score of 5 for the right class is as good as one of 1. What does max(0, ...) do?",
        wrong_svm(slack_of=lambda t, s: 1 - t * s),
        r"1 *-",
    ),
    Slip(
        "there is no margin",
        "A score that is right only just is not good enough: it should be right by 1.",
        wrong_svm(slack_of=lambda t, s: np.maximum(0, -t * s)),
        r"max|where",
    ),
    Slip(
        "the slack grows where the score is right",
        "1 - t s, or 1 + t s? Try a score of 1 for the right class.",
        wrong_svm(slack_of=lambda t, s: np.maximum(0, 1 + t * s)),
        r"1 *\+|\+ *1",
    ),
    Slip(
        "the right class must lead the others by 1, each wrong class with a slack of its own",
        "That is the SVM of lesson 1. Here each score is judged by itself: above 1 or below -1.",
        {"svm_objective": lead_over_the_right_class},
        r"\[.*y\]",
    ),
    Slip(
        "only the right class has a slack",
        "The wrong classes should have scores of -1 or less.",
        wrong_svm(slack_of=lambda t, s: np.maximum(0, 1 - t * s) * (t > 0)),
        r"\[.*y\]",
    ),
    Slip(
        "only the wrong classes have a slack",
        "The right class should have a score of 1 or more.",
        wrong_svm(slack_of=lambda t, s: np.maximum(0, 1 - t * s) * (t < 0)),
        r"\[.*y\]|continue|!=",
    ),
    Slip(
        "P is the largest slack of each picture, and not the sum",
        "All classes count, each against the rest.",
        wrong_svm(lambda slack: slack.max(axis=1) ** 2),
        r"max",
    ),
    Slip(
        "P, dw and db are sums over the pictures",
        DIVIDED,
        wrong_svm(mean=lambda N, K: 1),
        r"sum",
    ),
    Slip(
        "P, dw and db are divided by N and by K",
        "The mean is over the pictures; over the classes it is a sum.",
        wrong_svm(mean=lambda N, K: N * K),
        r"mean|size",
    ),
    Slip(
        "P is divided by N and by K",
        "The mean is over the pictures; over the classes it is a sum.",
        svm_by(lambda P, dw, db, w, b, x, y, s: ((P - s / 2 * squares(w)) / len(b) + s / 2 * squares(w), dw, db)),
        r"mean|size",
    ),
    Slip(
        "P is a sum over the pictures",
        "With twice as many pictures, should P be twice as large?",
        svm_by(lambda P, dw, db, w, b, x, y, s: ((P - s / 2 * squares(w)) * len(x) + s / 2 * squares(w), dw, db)),
        r"sum",
    ),
    Slip(
        "dw and db are sums over the pictures",
        DIVIDED,
        svm_by(lambda P, dw, db, w, b, x, y, s: (P, (dw - s * w) * len(x) + s * w, db * len(x))),
        r"\bds\b|return",
    ),
    Slip(
        "db is divided by N twice",
        DIVIDED,
        svm_by(lambda P, dw, db, w, b, x, y, s: (P, dw, db / len(x))),
        r"mean\(",
    ),
    Slip(
        "the regularisation is missing",
        "What does the last argument do?",
        wrong_svm(penalty=lambda w, s: 0, decay=lambda w, s: 0),
        r"return",
    ),
    Slip(
        "the penalty is missing in P",
        "dw has its derivative. What is it the derivative of?",
        wrong_svm(penalty=lambda w, s: 0),
        r"return|\bP\b",
    ),
    Slip(
        "dw lacks the regularisation",
        "P has a term in w^2. What is its derivative?",
        wrong_svm(decay=lambda w, s: 0),
        r"return|\bdw\b",
    ),
    Slip(
        "the 1/2 of the penalty is missing in P",
        "The derivative of w^2 is 2 w. With which factor in P does dw have regularisation * w?",
        wrong_svm(penalty=lambda w, s: s * squares(w)),
        r"\* *\(?w|w *\*\*|square",
    ),
    Slip(
        "dw has the regularisation twice",
        "The 2 of the square and the 1/2 before it: what remains?",
        wrong_svm(decay=lambda w, s: 2 * s * w),
        r"2 *\*",
    ),
    Slip(
        "the 1/2 of the penalty is missing, in P and in dw",
        "P and dw fit each other, but the penalty is twice as strong as it should be.",
        wrong_svm(penalty=lambda w, s: s * squares(w), decay=lambda w, s: 2 * s * w),
        r"2 *\*",
    ),
    Slip(
        "the bias is regularised as well",
        NO_BIAS,
        svm_by(lambda P, dw, db, w, b, x, y, s: (P + s / 2 * squares(b), dw, db + s * b)),
        r"\bb\b *(?:\*|@|\*\*)|\* *b\b",
    ),
    Slip(
        "db has a share of the regularisation, and P has none of b",
        NO_BIAS,
        svm_by(lambda P, dw, db, w, b, x, y, s: (P, dw, db + s * b)),
        r"\* *b\b",
    ),
    Slip(
        "the scores have no bias",
        "s = x w^T + b: what is b for?",
        {"svm_objective": lambda w, b, x, y, s: solution.svm_objective(w, 0 * b, x, y, s)},
        r"@|einsum|dot",
    ),
    Slip(
        "dw is transposed",
        "dw must have the shape of w, (K, D).",
        wrong_svm(finish=lambda P, dw, db: (P, dw.T, db)),
        r"\bx\.T *@|\bdw\b",
    ),
    Slip(
        "db does not come back",
        "Three things were asked for.",
        wrong_svm(finish=lambda P, dw, db: (P, dw)),
        r"return",
    ),
)


def usual_L(x: np.ndarray, strength: float) -> float:
    return strength + 2 * ((x * x).sum(axis=1) + 1).mean()


def both_at_once(w: np.ndarray, b: np.ndarray, L: float, gradients: Callable) -> tuple[np.ndarray, np.ndarray]:
    _, dw, db = gradients(w, b)
    return w - dw / L, b - db / L


def wrong_training(
    L: Callable = usual_L,
    step: Callable = both_at_once,
    steps_of: Callable = lambda steps: steps,
    start: Callable = np.zeros,
    rows: Callable = lambda y, num_classes: num_classes,
    finish: Callable = lambda w, b: (w, b),
    strength_of: Callable = lambda strength: strength,
) -> dict[str, Callable]:
    """train_svm() with one thing wrong: L(x, strength), the step, their number, the start, the number of rows, ..."""

    def train_svm(x: np.ndarray, y: np.ndarray, num_classes: int, regularisation: float, steps: int) -> tuple:
        K = rows(y, num_classes)
        w, b = start((K, x.shape[1])), start(K)
        for _ in range(steps_of(steps)):
            w, b = step(
                w,
                b,
                L(x, regularisation),
                lambda w, b: solution.svm_objective(w, b, x, y, strength_of(regularisation)),
            )
        return finish(w, b)

    return {"train_svm": train_svm}


def bias_afterwards(w: np.ndarray, b: np.ndarray, L: float, gradients: Callable) -> tuple[np.ndarray, np.ndarray]:
    w = w - gradients(w, b)[1] / L
    return w, b - gradients(w, b)[2] / L


def bias_first(w: np.ndarray, b: np.ndarray, L: float, gradients: Callable) -> tuple[np.ndarray, np.ndarray]:
    b = b - gradients(w, b)[2] / L
    return w - gradients(w, b)[1] / L, b


def mean_of_all(x: np.ndarray, y: np.ndarray, num_classes: int, regularisation: float, steps: int) -> tuple:
    runs = [solution.train_svm(x, y, num_classes, regularisation, t) for t in range(1, steps + 1)]
    return tuple(np.mean(arrays, axis=0) for arrays in zip(*runs, strict=True))


def falling_rate(x: np.ndarray, y: np.ndarray, num_classes: int, regularisation: float, steps: int) -> tuple:
    w, b = np.zeros((num_classes, x.shape[1])), np.zeros(num_classes)
    for t in range(1, steps + 1):
        w, b = both_at_once(
            w, b, t * usual_L(x, regularisation), lambda w, b: solution.svm_objective(w, b, x, y, regularisation)
        )
    return w, b


ABOUT_L = "Write L out for two pictures by hand, and compare with yours."
TRAINING_SLIPS = (
    Slip(
        "the steps climb: the gradient is added",
        "The gradient points to where P grows.",
        wrong_training(L=lambda x, s: -usual_L(x, s)),
        r"\+",
    ),
    Slip(
        "the steps are L times the gradient, and not 1/L times",
        "The more curved P is, the smaller must a step be.",
        wrong_training(L=lambda x, s: 1 / usual_L(x, s)),
        r"\bL\b *\*|\* *L\b",
    ),
    Slip(
        "L lacks the 1 that stands for the bias",
        ABOUT_L,
        wrong_training(L=lambda x, s: s + 2 * (x * x).sum(axis=1).mean()),
        r"L *=|sum|norm",
    ),
    Slip(
        "L lacks the regularisation",
        ABOUT_L,
        wrong_training(L=lambda x, s: usual_L(x, 0)),
        r"L *=|sum|norm",
    ),
    Slip(
        "L lacks the factor 2",
        ABOUT_L,
        wrong_training(L=lambda x, s: (usual_L(x, s) + s) / 2),
        r"L *=|sum|norm",
    ),
    Slip(
        "L has the regularisation twice",
        ABOUT_L,
        wrong_training(L=lambda x, s: usual_L(x, s) + s),
        r"L *=|sum|norm",
    ),
    Slip(
        "L is a sum over the pictures, and not a mean",
        ABOUT_L,
        wrong_training(L=lambda x, s: s + len(x) * usual_L(x, 0)),
        r"L *=|sum|norm",
    ),
    Slip(
        "the 1 in L is there once, and not once for each picture",
        "Where does the bracket close: is the 1 inside the sum over the pictures?",
        wrong_training(L=lambda x, s: s + 2 * ((x * x).sum() + 1) / len(x)),
        r"L *=|sum|norm",
    ),
    Slip(
        "L has the lengths of the codes, and not their squares",
        ABOUT_L,
        wrong_training(L=lambda x, s: s + 2 * (np.sqrt((x * x).sum(axis=1)) + 1).mean()),
        r"norm|sqrt",
    ),
    Slip(
        "L has the square of a sum, and not a sum of squares",
        "|x|^2 is the sum of the squares of its numbers.",
        wrong_training(L=lambda x, s: s + 2 * (x.sum(axis=1) ** 2 + 1).mean()),
        r"sum",
    ),
    Slip(
        "L has a mean over the features as well",
        "|x|^2 is a sum over the features. The mean is over the pictures.",
        wrong_training(L=lambda x, s: s + 2 * ((x * x).mean() + 1)),
        r"mean",
    ),
    Slip(
        "L has the longest code, and not the mean",
        ABOUT_L,
        wrong_training(L=lambda x, s: s + 2 * ((x * x).sum(axis=1).max() + 1)),
        r"max",
    ),
    Slip(
        "L is the mean without 2 and without the 1",
        ABOUT_L,
        wrong_training(L=lambda x, s: s + (x * x).sum(axis=1).mean()),
        r"L *=|sum|norm",
    ),
    Slip(
        "the learning rate falls from step to step",
        "Here it is 1/L in every step.",
        {"train_svm": falling_rate},
        r"range|/ *\(?t",
    ),
    Slip(
        "the learning rate is 1 / regularisation",
        "The pictures curve P as well, and far more than the penalty does.",
        wrong_training(L=lambda x, s: s),
        r"/ *(?:reg|lam|strength)",
    ),
    Slip(
        "the bias is not trained",
        "Two things are moved in each step.",
        wrong_training(step=lambda w, b, L, gradients: (w - gradients(w, b)[1] / L, b)),
        r"zeros|_",
    ),
    Slip(
        "db is computed with the new w",
        "Both gradients are those at the same point. How often do you ask for them in a step?",
        wrong_training(step=bias_afterwards),
        r"svm_objective",
    ),
    Slip(
        "dw is computed with the new b",
        "Both gradients are those at the same point. How often do you ask for them in a step?",
        wrong_training(step=bias_first),
        r"svm_objective",
    ),
    Slip(
        "there is a step too many",
        "How many gradients are asked for with steps = 1?",
        wrong_training(steps_of=lambda steps: steps + 1),
        r"range|while",
    ),
    Slip(
        "there is a step too few",
        "How many gradients are asked for with steps = 1?",
        wrong_training(steps_of=lambda steps: max(steps - 1, 0)),
        r"range|while",
    ),
    Slip(
        "there is one step only",
        "Where is the return: in the loop or behind it? And do the new weights reach the next step?",
        wrong_training(steps_of=lambda steps: min(steps, 1)),
        r"return|svm_objective",
    ),
    Slip(
        "weights and biases begin at 1",
        "They begin at 0.",
        wrong_training(start=np.ones),
        r"ones",
    ),
    Slip(
        "the steps have no regularisation",
        "P has a penalty, and dw its derivative.",
        wrong_training(strength_of=lambda strength: 0.0),
        r"svm_objective|\bdw\b",
    ),
    Slip(
        "there are as many classes as the largest label says",
        "A class may have no pictures here. Which argument says how many there are?",
        wrong_training(rows=lambda y, num_classes: int(y.max()) + 1),
        r"max\(",
    ),
    Slip(
        "there are as many classes as labels come up",
        "A class may have no pictures here. Which argument says how many there are?",
        wrong_training(rows=lambda y, num_classes: len(np.unique(y))),
        r"unique|set\(",
    ),
    Slip(
        "w is transposed",
        "w must have a row for each class.",
        wrong_training(finish=lambda w, b: (w.T, b)),
        r"zeros|return",
    ),
    Slip(
        "w and b have changed places",
        "In which order are the two asked for?",
        wrong_training(finish=lambda w, b: (b, w)),
        r"return",
    ),
    Slip(
        "only w comes back",
        "The biases were asked for as well.",
        wrong_training(finish=lambda w, b: w),
        r"return",
    ),
    Slip(
        "the mean over all steps comes back",
        "The weights after the last step were asked for.",
        {"train_svm": mean_of_all},
        r"mean|/ *steps",
    ),
)

# ---- Task 5: choose, then test


def joined(*parts: tuple[np.ndarray, np.ndarray]) -> Iterable[np.ndarray]:
    return (np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def by_validation(fit: Callable, strength: float, train: tuple, val: tuple, test: tuple) -> float:
    return fit(*train, strength).score(*val)


def by_test(fit: Callable, strength: float, train: tuple, val: tuple, test: tuple) -> float:
    return fit(*train, strength).score(*test)


def by_both(fit: Callable, strength: float, train: tuple, val: tuple, test: tuple) -> float:
    return fit(*train, strength).score(*joined(val, test))


def by_test_between_equals(fit: Callable, strength: float, train: tuple, val: tuple, test: tuple) -> tuple[float, float]:
    classifier = fit(*train, strength)
    return classifier.score(*val), classifier.score(*test)


def by_training_and_validation(fit: Callable, strength: float, train: tuple, val: tuple, test: tuple) -> float:
    return fit(*train, strength).score(*joined(train, val))


def strongest_of_best(path: Iterable[float], goodness: Callable) -> float:
    return max(path, key=lambda strength: (goodness(strength), strength))


def weakest_of_best(path: Iterable[float], goodness: Callable) -> float:
    return max(path, key=lambda strength: (goodness(strength), -strength))


def last_of_best(path: Sequence[float], goodness: Callable) -> float:
    return max(reversed(path), key=goodness)


def first_of_best(path: Sequence[float], goodness: Callable) -> float:
    return max(path, key=goodness)


def sorts_a_tuple(path: Sequence[float], goodness: Callable) -> float:
    path.sort()
    return strongest_of_best(path, goodness)


def choose_by(
    goodness: Callable = by_validation, among: Callable = strongest_of_best, answer: Callable | None = None
) -> dict[str, Callable]:
    """choose_regularisation() by another measure, with another rule for ties, or with another answer at the end.

    That is answer(best, fit, train, val, test, path).
    """

    def choose_regularisation(fit: Callable, train: tuple, val: tuple, test: tuple, path: Iterable[float]) -> tuple:
        best = among(path, lambda strength: goodness(fit, strength, train, val, test))
        return (answer or trained_on_both)(best, fit, train, val, test, path)

    return {"choose_regularisation": choose_regularisation}


def trained_on_both(best: float, fit: Callable, train: tuple, val: tuple, test: tuple, path: Sequence[float]) -> tuple:
    return best, fit(*joined(train, val), best).score(*test)


def with_crossed_labels(best: float, fit: Callable, train: tuple, val: tuple, test: tuple, path: Sequence[float]) -> tuple:
    return best, fit(np.concatenate([train[0], val[0]]), np.concatenate([val[1], train[1]]), best).score(*test)


def place_in_path(best: float, fit: Callable, train: tuple, val: tuple, test: tuple, path: Sequence[float]) -> tuple:
    return list(path).index(best), fit(*joined(train, val), best).score(*test)


def standardised_first(fit: Callable, train: tuple, val: tuple, test: tuple, path: Sequence[float]) -> tuple:
    (x, y), (x_val, y_val) = train, val
    z, z_val = solution.standardise(x, x_val)
    return solution.choose_regularisation(fit, (z, y), (z_val, y_val), test, path)


CHOOSING_SLIPS = (
    Slip(
        "the test part decides",
        "An accuracy by which something was chosen is too good, by luck: that is why there is a part by which nothing is "
        "chosen.",
        choose_by(by_test),
        r"score\(.*test|test",
    ),
    Slip(
        "validation and test part decide together",
        "More pictures to choose by would be welcome, but these are needed for something else.",
        choose_by(by_both),
        r"test",
    ),
    Slip(
        "between equals the test part decides",
        "Even there: the test part must have no say at all. Of several that are equally good on the validation part, which was "
        "asked for?",
        choose_by(by_test_between_equals),
        r"test",
    ),
    Slip(
        "training and validation part decide together",
        "A classifier always looks good on what it was trained on, and the less it is regularised the better.",
        choose_by(by_training_and_validation),
        r"concatenate|\+|train",
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
        "of equally good strengths the first of the path is taken",
        "The path may rise or fall. Which one is kept must not hang on where it stands.",
        choose_by(among=first_of_best),
        r"argmax|max\(|[^-]>|<",
    ),
    Slip(
        "of equally good strengths the last of the path is taken",
        "The path may rise or fall. Which one is kept must not hang on where it stands.",
        choose_by(among=last_of_best),
        r">=|<=|argmax|max\(",
    ),
    Slip(
        "the path is sorted in place",
        "It need not be a list, and if it is, others need it as it was. sorted(path) makes a new list.",
        choose_by(among=sorts_a_tuple),
        r"sort|reverse",
    ),
    Slip(
        "the last classifier is not trained on both parts",
        "Once the choice is made the validation pictures are free to be learned from. Which classifier is it whose accuracy "
        "you return?",
        choose_by(answer=lambda best, fit, train, val, test, path: (best, fit(*train, best).score(*test))),
        r"return|score\(.*test",
    ),
    Slip(
        "the last classifier is trained on the validation part alone",
        "It should learn from as many pictures as it may: those of both parts.",
        choose_by(answer=lambda best, fit, train, val, test, path: (best, fit(*val, best).score(*test))),
        r"fit\(.*val",
    ),
    Slip(
        "the last training is with the last strength of the path",
        "After a loop its variable still has its last value. Is that the best one?",
        choose_by(answer=lambda best, fit, train, val, test, path: (best, fit(*joined(train, val), path[-1]).score(*test))),
        r"concatenate|fit\(",
    ),
    Slip(
        "the test part is trained on",
        "fit() says that it was given test pictures. How good is a classifier on pictures that it was trained on?",
        choose_by(answer=lambda best, fit, train, val, test, path: (best, fit(*joined(train, val, test), best).score(*test))),
        r"fit\(.*test|test\[",
    ),
    Slip(
        "the labels are joined in another order than the codes",
        "Row n of the codes and label n belong together: both must be joined in the same order.",
        choose_by(answer=with_crossed_labels),
        r"concatenate|stack",
    ),
    Slip(
        "the codes are changed before fit() gets them",
        "Standardising is another task. fit() wants the codes as they are.",
        {"choose_regularisation": standardised_first},
        r"mean|std|standardise|norm",
    ),
    Slip(
        "fit() gets a strength that is not in the path",
        "path has the strengths themselves: no logarithms, no numbers of places.",
        choose_by(goodness=lambda fit, strength, train, val, test: fit(*train, 10.0**strength).score(*val)),
        r"fit\(",
    ),
    Slip(
        "the validation accuracy is returned",
        "The choice was made by it; so it is too good. Which part has not been looked at yet?",
        choose_by(answer=lambda best, fit, train, val, test, path: (best, fit(*train, best).score(*val))),
        r"return",
    ),
    Slip(
        "the last classifier is asked about validation pictures, which it was trained on",
        "Which part has neither been trained on nor chosen by?",
        choose_by(answer=lambda best, fit, train, val, test, path: (best, fit(*joined(train, val), best).score(*val))),
        r"return|score\(.*val",
    ),
    Slip(
        "the last classifier is asked about training pictures",
        "Which part has neither been trained on nor chosen by?",
        choose_by(answer=lambda best, fit, train, val, test, path: (best, fit(*joined(train, val), best).score(*train))),
        r"return|score\(.*train",
    ),
    Slip(
        "the last classifier is asked about everything that it was trained on",
        "Which part has neither been trained on nor chosen by?",
        choose_by(
            answer=lambda best, fit, train, val, test, path: (
                best,
                fit(*joined(train, val), best).score(*joined(train, val)),
            )
        ),
        r"return|score\(",
    ),
    Slip(
        "the share of wrong answers is returned",
        "Accuracy is the share of right ones.",
        choose_by(answer=lambda best, fit, train, val, test, path: (best, 1 - fit(*joined(train, val), best).score(*test))),
        r"1 *-",
    ),
    Slip(
        "strength and accuracy have changed places",
        "In which order are the two asked for?",
        choose_by(answer=lambda best, fit, train, val, test, path: (fit(*joined(train, val), best).score(*test), best)),
        r"return",
    ),
    Slip(
        "the place in the path is returned, and not the strength",
        "Somebody will train with what you return.",
        choose_by(answer=place_in_path),
        r"index|enumerate|argmax",
    ),
    Slip(
        "the strength is returned alone",
        "Two things were asked for.",
        choose_by(answer=lambda best, fit, train, val, test, path: best),
        r"return",
    ),
    Slip(
        "a classifier is returned, and not its accuracy",
        "classifier.score(x, y) is its accuracy.",
        choose_by(answer=lambda best, fit, train, val, test, path: (best, fit(*joined(train, val), best))),
        r"return",
    ),
)

# ---- Task 6: nearest neighbours


def safe_unit(x: np.ndarray, axis: int | None = 1) -> np.ndarray:
    length = np.linalg.norm(x, axis=axis, keepdims=True)
    return x / np.where(length > 0, length, 1)


def distances_by(function: Callable) -> dict[str, Callable]:
    return {"cosine_distances": function}


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ((a[:, None] - b) ** 2).sum(axis=2)


def of_zeros(value: float) -> dict[str, Callable]:
    """cosine_distances() where codes of zeros have another distance."""

    def cosine_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        without = ~a.any(axis=1)[:, None] | ~b.any(axis=1)
        return np.where(without, value, solution.cosine_distances(a, b))

    return {"cosine_distances": cosine_distances}


def centred(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return solution.cosine_distances(*(x - x.mean(axis=1, keepdims=True) for x in (a, b)))


DISTANCE_SLIPS = (
    Slip(
        "similarities come back, and not distances",
        "The nearest code should have the smallest number. What is the distance of a code to itself?",
        distances_by(lambda a, b: safe_unit(a) @ safe_unit(b).T),
        r"return|@",
    ),
    Slip(
        "the codes are not divided by their lengths",
        "How strong all features are together makes a code long or short. Only its direction counts here.",
        distances_by(lambda a, b: 1 - a @ b.T),
        r"@|einsum|dot",
    ),
    Slip(
        "only the codes of a are divided by their lengths",
        "Both lengths stand under the fraction.",
        distances_by(lambda a, b: 1 - safe_unit(a) @ b.T),
        r"/",
    ),
    Slip(
        "only the codes of b are divided by their lengths",
        "Both lengths stand under the fraction.",
        distances_by(lambda a, b: 1 - a @ safe_unit(b).T),
        r"/",
    ),
    Slip(
        "each feature is divided by its length, and not each code",
        "A code is a row. Along which axis do its numbers lie?",
        distances_by(lambda a, b: 1 - safe_unit(a, 0) @ safe_unit(b, 0).T),
        r"axis *= *0",
    ),
    Slip(
        "all codes of a set are divided by one length",
        "Each code has a length of its own.",
        distances_by(lambda a, b: 1 - safe_unit(a, None) @ safe_unit(b, None).T),
        r"norm\(\w\)",
    ),
    Slip(
        "the root is missing in the lengths",
        "A length is the root of the sum of squares.",
        distances_by(
            lambda a, b: (
                1 - (safe_unit(a) / np.maximum(row_lengths(a), 1e-300)) @ (safe_unit(b) / np.maximum(row_lengths(b), 1e-300)).T
            )
        ),
        r"sum|square|\*\*",
    ),
    Slip(
        "the Euclidean distance is taken",
        "That is how far apart the ends of two codes are. Here the angle counts.",
        distances_by(lambda a, b: np.sqrt(squared_distances(a, b))),
        r"norm|sqrt",
    ),
    Slip(
        "the squared Euclidean distance is taken",
        "That is how far apart the ends of two codes are. Here the angle counts.",
        distances_by(squared_distances),
        r"sum|\*\*",
    ),
    Slip(
        "the Euclidean distance of the directions is taken",
        "It gives the same order of neighbours, but other numbers: its square is twice the distance that was asked for.",
        distances_by(lambda a, b: np.sqrt(squared_distances(safe_unit(a), safe_unit(b)))),
        r"norm|sqrt",
    ),
    Slip(
        "the squared Euclidean distance of the directions is taken",
        "It is twice the distance that was asked for.",
        distances_by(lambda a, b: squared_distances(safe_unit(a), safe_unit(b))),
        r"sum|\*\*",
    ),
    Slip(
        "the angle is taken, and not 1 minus its cosine",
        "It gives the same order of neighbours, but other numbers.",
        distances_by(lambda a, b: np.arccos(np.clip(safe_unit(a) @ safe_unit(b).T, -1, 1))),
        r"arccos",
    ),
    Slip(
        "opposite directions count as equal",
        "The cosine is negative there. How far apart are they?",
        distances_by(lambda a, b: 1 - np.abs(safe_unit(a) @ safe_unit(b).T)),
        r"abs",
    ),
    Slip(
        "negative cosines count as 0",
        "Codes that point away from each other are further apart than those at a right angle.",
        distances_by(lambda a, b: 1 - np.maximum(safe_unit(a) @ safe_unit(b).T, 0)),
        r"max|clip",
    ),
    Slip(
        "the distance runs from 0 to 1",
        "By its definition it is 2 for opposite directions.",
        distances_by(lambda a, b: (1 - safe_unit(a) @ safe_unit(b).T) / 2),
        r"/ *2|0\.5",
    ),
    Slip(
        "the distance is minus the cosine",
        "It gives the same order of neighbours, but the distance of a code to itself should be 0.",
        distances_by(lambda a, b: -safe_unit(a) @ safe_unit(b).T),
        r"-",
    ),
    Slip(
        "each code is centred first",
        "That is a correlation. The angle is measured at 0.",
        distances_by(centred),
        r"mean",
    ),
    Slip(
        "rows and columns of the result have changed places",
        "Row i belongs to a[i].",
        distances_by(lambda a, b: solution.cosine_distances(b, a)),
        r"@|einsum|return",
    ),
    Slip(
        "a code of zeros gives NaN",
        "Its length is 0. Do you divide by that?",
        of_zeros(np.nan),
        r"/",
    ),
    Slip(
        "a code of zeros is at distance 0 from everything",
        "Then it would be the nearest neighbour of all.",
        of_zeros(0.0),
        r"nan_to_num|= *0",
    ),
    Slip(
        "a code of zeros is at the largest distance from everything",
        "It is neither near nor opposite: its cosine with anything counts as 0.",
        of_zeros(2.0),
        r"2",
    ),
    Slip(
        "a code of zeros is infinitely far from everything",
        "It is neither near nor opposite: its cosine with anything counts as 0.",
        of_zeros(np.inf),
        r"inf",
    ),
    *(
        Slip(
            "a small number is added to the product of the lengths",
            "Codes that are small all over have a direction, too. What does the small number make of them?",
            distances_by(lambda a, b, epsilon=epsilon: 1 - a @ b.T / (row_lengths(a) * row_lengths(b).T + epsilon)),
            r"\+ *(?:\d|eps)",
        )
        for epsilon in (1e-6, 1e-8, 1e-9, 1e-10, 1e-12)
    ),
    *(
        Slip(
            "a small number is added to the lengths",
            "Codes that are small all over have a direction, too. What does the small number make of them?",
            distances_by(
                lambda a, b, epsilon=epsilon: 1 - (a / (row_lengths(a) + epsilon)) @ (b / (row_lengths(b) + epsilon)).T
            ),
            r"\+ *(?:\d|eps)",
        )
        for epsilon in (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12)
    ),
)


def in_order(distances: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(distances, axis=1, kind="stable")[:, :k]


def first_met(labels: np.ndarray, distances: np.ndarray) -> int:
    votes = np.bincount(labels)
    return next(label for label in labels if votes[label] == votes.max())


def last_met(labels: np.ndarray, distances: np.ndarray) -> int:
    return first_met(labels[::-1], distances)


def largest_label(labels: np.ndarray, distances: np.ndarray) -> int:
    votes = np.bincount(labels)
    return np.flatnonzero(votes == votes.max())[-1]


def nearest_on_average(labels: np.ndarray, distances: np.ndarray) -> int:
    votes = np.bincount(labels)
    return min(np.flatnonzero(votes == votes.max()), key=lambda label: distances[labels == label].mean())


def most_weight(labels: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """The labels of the neighbours, from the nearest outwards, whose label has the largest sum of 1 / distance."""
    weights = np.bincount(labels, weights=1 / distances)
    return labels[weights[labels] > weights.max() * (1 - 1e-9)]


def place_among_labels(labels: np.ndarray, distances: np.ndarray) -> int:
    return np.unique(labels, return_counts=True)[1].argmax()


def vote_by(neighbours: Callable = in_order, winner: Callable = first_met) -> dict[str, Callable]:
    """vote() with other neighbours(distances, k), or with another winner(labels, their distances)."""

    def vote(distances: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
        nearest = neighbours(distances, k)
        return np.array([winner(y[row], distances[i, row]) for i, row in enumerate(nearest)])

    return {"vote": vote}


def larger_numbers_first(distances: np.ndarray, k: int) -> np.ndarray:
    B = distances.shape[1]
    return (B - 1 - np.argsort(distances[:, ::-1], axis=1, kind="stable"))[:, :k]


TIES = "Two labels have equally many votes. Which of them comes up first, going from the nearest neighbour outwards?"
VOTE_SLIPS = (
    *(
        Slip(
            "the farthest neighbours vote",
            "These are distances: the nearest has the smallest.",
            vote_by(farthest),
            r"-|::|reverse",
        )
        for farthest in (
            lambda distances, k: in_order(-distances, k),
            lambda distances, k: in_order(distances, distances.shape[1])[:, ::-1][:, :k],
        )
    ),
    Slip(
        "the nearest neighbour alone decides",
        "What is k for?",
        vote_by(lambda distances, k: in_order(distances, 1)),
        r"argmin|0\]|\[0",
    ),
    Slip(
        "all neighbours vote",
        "What is k for?",
        vote_by(lambda distances, k: in_order(distances, distances.shape[1])),
        r"argsort|bincount",
    ),
    Slip(
        "one neighbour too many votes",
        "A slice ends before its second number.",
        vote_by(lambda distances, k: in_order(distances, k + 1)),
        r"\+ *1|<=",
    ),
    Slip(
        "one neighbour too few votes",
        "A slice ends before its second number.",
        vote_by(lambda distances, k: in_order(distances, max(k - 1, 1))),
        r"- *1",
    ),
    Slip(
        "the nearest neighbour has no vote",
        "A picture is its own nearest neighbour only where it is among those that are searched. Here it is not.",
        vote_by(lambda distances, k: in_order(distances, k + 1)[:, 1:]),
        r"1 *:",
    ),
    Slip(
        "the distances are sorted down the columns",
        "Row i has the distances from code i. Along which axis are its neighbours?",
        vote_by(lambda distances, k: np.argsort(distances, axis=0, kind="stable")[:, :k]),
        r"axis *= *0",
    ),
    Slip(
        "of equally near neighbours those with larger numbers come first",
        "Which of several equal distances does your sorting take first? NumPy's argsort has a `kind` that keeps their order.",
        vote_by(larger_numbers_first),
        r"::-1|sort|<=",
    ),
    Slip(
        "of labels with equally many votes the smallest wins",
        TIES,
        vote_by(winner=lambda labels, distances: np.bincount(labels).argmax()),
        r"argmax|max\(|mode",
    ),
    Slip(
        "of labels with equally many votes the largest wins",
        TIES,
        vote_by(winner=largest_label),
        r"argmax|max\(|>=",
    ),
    Slip(
        "of labels with equally many votes the last one met wins",
        TIES,
        vote_by(winner=last_met),
        r">=|max\(|argmax",
    ),
    Slip(
        "of labels with equally many votes the one that is nearer on average wins",
        TIES,
        vote_by(winner=nearest_on_average),
        r"mean|sum",
    ),
    Slip(
        "where labels have equally many votes the nearest neighbour decides",
        "The nearest neighbour's label need not be among those with the most votes.",
        vote_by(winner=lambda labels, distances: labels[0] if is_tie(labels) else np.bincount(labels).argmax()),
        r"\[0\]|0\]",
    ),
    *(
        Slip(
            "near neighbours have more than one vote",
            "Each of the k nearest has one vote.",
            vote_by(winner=lambda labels, distances, pick=pick: pick(most_weight(labels, distances))),
            r"weights|1 */|1\.0 */",
        )
        for pick in (lambda labels: labels[0], min)
    ),
    Slip(
        "the number of a neighbour comes back, and not its label",
        "y[j] is the label of neighbour j.",
        {"vote": lambda distances, y, k: np.array([first_met(row, None) for row in in_order(distances, k)])},
        r"argmin|argsort",
    ),
    Slip(
        "the label's place among the labels comes back",
        "np.unique gives the labels and how often each comes up. The place of the most frequent is not the label itself.",
        vote_by(winner=place_among_labels),
        r"argmax",
    ),
    Slip(
        "the mean of the labels is taken",
        "Labels are names, and not quantities: between class 0 and class 2 there is not class 1.",
        vote_by(winner=lambda labels, distances: round(labels.mean())),
        r"mean|round",
    ),
    Slip(
        "the median of the labels is taken",
        "Labels are names, and not quantities: between class 0 and class 2 there is not class 1.",
        vote_by(winner=lambda labels, distances: int(np.median(labels))),
        r"median",
    ),
    Slip(
        "the number of votes comes back, and not the label",
        "Which label has them?",
        vote_by(winner=lambda labels, distances: np.bincount(labels).max()),
        r"max",
    ),
    Slip(
        "a vote counts how many of all neighbours have the label",
        "Only the k nearest have a vote.",
        {"vote": lambda distances, y, k: np.array([most_common_of_all(y[row], y) for row in in_order(distances, k)])},
        r"count|sum|bincount",
    ),
)


def is_tie(labels: np.ndarray) -> bool:
    votes = np.sort(np.bincount(labels))
    return len(votes) > 1 and votes[-1] == votes[-2]


def most_common_of_all(labels: np.ndarray, y: np.ndarray) -> int:
    votes = np.bincount(y)
    return max(labels, key=lambda label: votes[label])
