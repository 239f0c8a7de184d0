"""Answers to the tasks of lesson 11: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` lists (what it does, functions in place of the solution's, title of the slip that should be named or None);
``RIGHT[task]`` (how, functions).
"""

import math
from collections import Counter
from contextlib import suppress

import numpy as np

from minicnn.course import find_lesson
from minicnn.layers import BatchNorm2d, Dropout

solution = find_lesson("11").solution
WRONG, RIGHT = {}, {}


def named(name, *answers):
    """(title, function, slip) of one function, as the lists have them."""
    return [(title, {name: function}, *slip) for title, function, *slip in answers]


# ---- 1: CNN codes


def codes_in_a_while_loop(network, layer, pictures, batch_size):
    """Rows of the result are filled batch by batch."""
    network.eval()
    codes, start = None, 0
    while start < len(pictures):
        x = network.preprocessing.normalise(pictures[start : start + batch_size])
        f = network.features(x, layer)
        f = f if f.ndim == 2 else f.reshape(*f.shape[:2], -1).mean(axis=-1)
        if codes is None:
            codes = np.zeros((len(pictures), f.shape[1]), np.float32)
        codes[start : start + len(x)] = f
        start += batch_size
    return codes


def codes_picture_by_picture(network, layer, pictures, batch_size):
    lower = network.copy().cut(layer).eval()
    rows = []
    for picture in pictures:
        maps = lower.forward(network.preprocessing.normalise(picture[None]))[0]
        rows.append([float(m.mean()) for m in maps])
    return rows


def codes_layer_by_layer(network, layer, pictures, batch_size):
    network.eval()
    parts = []
    for batch in np.array_split(pictures, math.ceil(len(pictures) / batch_size)):
        x = network.preprocessing.normalise(batch)
        for name, child in network.layers.items():
            x = child.forward(x)
            if name == layer:
                break
        parts += [x] if x.ndim == 2 else [np.einsum("nchw->nc", x) / (x.shape[2] * x.shape[3])]
    return np.vstack(parts)


def codes_prepared_by_hand(network, layer, pictures, batch_size):
    given = network.preprocessing
    x = pictures[..., ::-1] if given.channels == "BGR" else pictures
    x = np.moveaxis((x - np.array(given.mean)) / np.array(given.std), -1, 1).astype(np.float32)
    lower = network.eval().split(layer)[0]
    out = [lower.forward(np.ascontiguousarray(x[i : i + batch_size])) for i in range(0, len(x), batch_size)]
    return np.concatenate([o.mean((2, 3)) if o.ndim > 2 else o for o in out])


def whole_passes(make_ready, run=None, of_maps=lambda maps: maps.mean(axis=3).mean(axis=2)):
    """Batches of pictures, made ready by make_ready(network, batch), up to the layer; then of_maps."""

    def extract_codes(network, layer, pictures, batch_size):
        network.eval()
        found = []
        for i in range(0, len(pictures), batch_size):
            x = make_ready(network, pictures[i : i + batch_size])
            y = network.features(x, layer) if run is None else run(network, layer, x)
            found.extend(of_maps(y) if y.ndim == 4 else y)
        return np.array(found)

    return extract_codes


def usual(network, batch):
    return network.preprocessing.normalise(batch)


def without_eval(network, layer, pictures, batch_size):
    out = []
    for i in range(0, len(pictures), batch_size):
        x = usual(network, pictures[i : i + batch_size])
        for name in list(network.layers)[: list(network.layers).index(layer) + 1]:
            x = network.layers[name].forward(x)
        out.append(x.mean((2, 3)) if x.ndim == 4 else x)
    return np.concatenate(out)


def train_mode_on_a_copy(network, layer, pictures, batch_size):
    return without_eval(network.copy(), layer, pictures, batch_size)


def only_some_in_eval_mode(chosen):
    def extract_codes(network, layer, pictures, batch_size):
        for name, child in network.layers.items():
            for path, inner in child.walk():
                if chosen(name, path, inner):
                    inner.training = False
        return without_eval(network, layer, pictures, batch_size)

    return extract_codes


def stops_before(network, layer, x):
    for name, child in network.layers.items():
        if name == layer:
            return x
        x = child.forward(x)


def runs_one_more(network, layer, x):
    names = list(network.layers)
    for name in names[: names.index(layer) + 2]:
        x = network.layers[name].forward(x)
    return x


def up_to(name):
    return lambda network, layer, x: network.features(x, name)


def by_parts(cut, join=np.concatenate):
    """The pictures cut in parts by cut(pictures, batch_size), and joined again."""

    def extract_codes(network, layer, pictures, batch_size):
        lower = network.split(layer)[0].eval()
        outputs = [lower.forward(usual(network, part)) for part in cut(pictures, batch_size)]
        return join([o.mean(axis=(-1, -2)) if o.ndim == 4 else o for o in outputs])

    return extract_codes


def regular(pictures, batch_size):
    return [pictures[i : i + batch_size] for i in range(0, len(pictures), batch_size)]


def returns_in_the_loop(network, layer, pictures, batch_size):
    lower, _ = network.eval().split(layer)
    for i in range(0, len(pictures), batch_size):
        f = lower.forward(usual(network, pictures[i : i + batch_size]))
        return np.mean(f, axis=(2, 3)) if f.ndim == 4 else f


def overwrites(network, layer, pictures, batch_size):
    lower, _ = network.eval().split(layer)
    for i in range(0, len(pictures), batch_size):
        f = lower.forward(usual(network, pictures[i : i + batch_size]))
        codes = np.mean(f, axis=(2, 3)) if f.ndim == 4 else f
    return codes


def in_float32(x):
    return np.ascontiguousarray(x, np.float32)


def first_channels(batch):
    return in_float32(np.rollaxis(batch, 3, 1))


def by_hand_in_rgb(network, batch):
    x = first_channels(batch)
    for c in range(3):
        x[:, c] = (x[:, c] - network.preprocessing.mean[c]) / network.preprocessing.std[c]
    return x


def mean_only(network, batch):
    x = batch[..., ::-1] if network.preprocessing.channels == "BGR" else batch
    return first_channels(x) - in_float32(network.preprocessing.mean)[:, None, None]


def whitened_by_the_batch(network, batch):
    x = first_channels(batch)
    return in_float32([(c - c.mean()) / c.std() for c in x.transpose(1, 0, 2, 3)]).transpose(1, 0, 2, 3).copy()


def turned(network, batch):
    return in_float32(usual(network, batch).T.transpose(3, 2, 0, 1).swapaxes(2, 3).transpose(0, 1, 3, 2))


def cut_up_anew(network, batch):
    N, H, W, _ = batch.shape
    x = in_float32(batch.reshape(N, 3, H, W))
    return (x - in_float32(network.preprocessing.mean)[:, None, None]) / in_float32(network.preprocessing.std)[:, None, None]


def rest_thrown_away(network, layer, pictures, batch_size):
    codes = codes_layer_by_layer(network, layer, pictures, batch_size)
    names = list(network.layers)
    for name in names[names.index(layer) + 1 :]:
        del network.layers[name]
    return codes


WRONG[1] = named(
    "extract_codes",
    ("no eval anywhere", without_eval, "the network stays in train mode"),
    ("train mode, on a copy", train_mode_on_a_copy, "the network stays in train mode"),
    (
        "only dropout put into eval mode",
        only_some_in_eval_mode(lambda name, path, inner: isinstance(inner, Dropout)),
        "the network stays in train mode",
    ),
    (
        "only batch norms put into eval mode",
        only_some_in_eval_mode(lambda name, path, inner: isinstance(inner, BatchNorm2d)),
        "dropout stays in train mode",
    ),
    (
        "a loop over the layers at the top",
        only_some_in_eval_mode(lambda name, path, inner: path == ""),
        "only the layers at the top are in eval mode",
    ),
    ("stops before the layer has run", whole_passes(usual, stops_before), "the network is cut before the layer"),
    ("slice to index + 2", whole_passes(usual, runs_one_more), "one layer too many runs"),
    ("always the pool", whole_passes(usual, up_to("pool")), "the codes are those of a layer that is always the same"),
    ("always the scores", whole_passes(usual, up_to("scores")), "the codes are those of a layer that is always the same"),
    ("einsum without the division", whole_passes(usual, of_maps=lambda m: np.einsum("nchw->nc", m)),
     "the maps are summed and not averaged"),
    ("max over both axes", whole_passes(usual, of_maps=lambda m: m.max(axis=3).max(axis=2)),
     "the largest value of a map is taken, and not its mean"),
    ("flattened", whole_passes(usual, of_maps=lambda m: m.reshape(len(m), -1)), "the maps are flattened"),
    ("not pooled", whole_passes(usual, of_maps=lambda m: m), "the maps come back as they are"),
    ("mean over C and H", whole_passes(usual, of_maps=lambda m: m.mean(axis=1).mean(axis=1)), "averaged over the wrong axes"),
    ("mean over H, first column", whole_passes(usual, of_maps=lambda m: m.mean(axis=2)[:, :, 0]),
     "averaged over rows only, and one column taken"),
    ("sum / H^2", whole_passes(usual, of_maps=lambda m: m.sum(axis=(2, 3)) / m.shape[-2] ** 2),
     "divided by the square of H, as if all maps were square"),
    ("sum / N", whole_passes(usual, of_maps=lambda m: m.sum(axis=(2, 3)) / m.shape[0]), "divided by the number of pictures"),
    ("keepdims", whole_passes(usual, of_maps=lambda m: np.mean(m, axis=(2, 3), keepdims=True)),
     "the averaged axes are still there, with length 1"),
    ("squeezed", by_parts(regular, lambda parts: np.squeeze(np.concatenate(parts))), "axes of length 1 are lost"),
    (
        "scaled to length 1",
        by_parts(regular, lambda parts: (c := np.vstack(parts)) / np.sqrt(np.sum(c**2, axis=1, keepdims=True))),
        "each code is divided by its length",
    ),
    ("all at once", by_parts(lambda pictures, batch_size: [pictures]), "more pictures than batch_size run at once"),
    (
        "one more than allowed",
        by_parts(lambda pictures, batch_size: [pictures[i : i + batch_size + 1] for i in range(0, len(pictures), batch_size)]),
        "more pictures than batch_size run at once",
    ),
    (
        "N // batch_size batches",
        by_parts(lambda pictures, n: [pictures[b * n : (b + 1) * n] for b in range(len(pictures) // n)]),
        "the last, smaller batch is left out",
    ),
    (
        "a last batch only if it is full",
        by_parts(lambda pictures, n: [pictures[i : i + n] for i in range(0, len(pictures) - n + 1, n)]),
        "the last, smaller batch is left out",
    ),
    ("return inside the loop", returns_in_the_loop, "only the codes of the first batch come back"),
    ("codes overwritten in each round", overwrites, "only the codes of the last batch come back"),
    ("a list of batches", by_parts(regular, list), "the batches are not joined"),
    ("hstack", by_parts(regular, np.hstack), "the batches are stacked along the features"),
    (
        "step forgotten in range",
        by_parts(lambda pictures, n: [pictures[i : i + n] for i in range(len(pictures))]),
        "each batch begins one picture after the last one",
    ),
    ("joined in front", by_parts(regular, lambda parts: np.concatenate(list(reversed(parts)))),
     "the batches are in the reverse order"),
    ("0 to 255", whole_passes(lambda network, batch: first_channels(batch)), "the pictures go in without mean and std"),
    ("0 to 1", whole_passes(lambda network, batch: first_channels(batch) / 255), "the pictures go in without mean and std"),
    ("raw bytes", whole_passes(lambda network, batch: batch), "the network gets bytes or float64, and not float32"),
    (
        "float64 by hand",
        whole_passes(lambda network, batch: by_hand_in_rgb(network, batch).astype(float)),
        "the network gets bytes or float64, and not float32",
    ),
    ("channels last", whole_passes(lambda network, batch: batch.astype("f")), "the pictures go in with their channels last"),
    ("by hand, red first", whole_passes(by_hand_in_rgb), "the channels stay in the order red, green, blue"),
    ("minus the mean", whole_passes(mean_only), "it is not divided by the std"),
    ("by the batch's statistics", whole_passes(whitened_by_the_batch),
     "the pictures are standardised by their own mean and std"),
    ("two axes turned", whole_passes(turned), "rows and columns of the pictures have changed places"),
    ("reshape for transpose", whole_passes(cut_up_anew), "the channels are put first by a reshape"),
    ("rest thrown away", rest_thrown_away, None),
)  # fmt: skip
RIGHT[1] = named(
    "extract_codes",
    ("a while loop that fills rows", codes_in_a_while_loop),
    ("picture by picture, a list of lists", codes_picture_by_picture),
    ("layer by layer, array_split and einsum", codes_layer_by_layer),
    ("prepared by hand, BGR heeded", codes_prepared_by_hand),
    ("rows one by one", whole_passes(usual)),
)

# ---- 2: scales


def scaled(scale, mean=lambda train, other: np.average(train, axis=0)):
    """(x - mean) / scale(train - mean, train, other)."""

    def standardise(train, other):
        m = mean(train, other)
        s = scale(train - m, train, other)
        with np.errstate(all="ignore"):
            return tuple((x - m) / s for x in (train, other))

    return standardise


def root_mean_square(centred):
    return np.sqrt(np.einsum("nd,nd->d", centred, centred) / len(centred))


def standardise_by_feature(train, other):
    train, other = train.copy(), other.copy()
    for d in range(train.shape[1]):
        column = train[:, d].copy()
        mean = math.fsum(column) / len(column)
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in column) / len(column))
        for x in (train, other):
            x[:, d] = x[:, d] - mean if std < 1e-12 else (x[:, d] - mean) / std
    return [train, other]


def standardise_with_a_mask(train, other):
    mean, varies = train.mean(0), np.ptp(train, axis=0) > 0
    parts = []
    for x in (train, other):
        z = x - mean
        z[:, varies] /= root_mean_square(train - mean)[varies]
        parts.append(z)
    return tuple(parts)


def standardise_by_multiplication(train, other):
    centred = train - train.mean(axis=0, keepdims=True)
    variance = np.square(centred).mean(axis=0)
    scale = np.divide(1, np.sqrt(variance), out=np.ones_like(variance), where=variance > 1e-16)
    return np.multiply(centred, scale), np.multiply(other - train.mean(axis=0), scale)


def each_its_own(train, other):
    parts = []
    for x in (train, other):
        std = root_mean_square(x - x.mean(0))
        parts.append((x - x.mean(0)) / np.where(std < 1e-9, 1, std))
    return parts


def pooled(train, other):
    everything = np.vstack((train, other))
    z = (everything - everything.mean(0)) / np.sqrt(everything.var(0))
    return z[: len(train)], z[len(train) :]


def picture_by_picture(train, other):
    return tuple(np.array([(row - row.mean()) / row.std() for row in x]) for x in (train, other))


def in_place(train, other):
    mean, std = train.mean(axis=0), train.std(axis=0)
    train -= mean
    return train / std, (other - mean) / std


def nan_to_zero(train, other):
    with np.errstate(all="ignore"):
        std = np.where(train.std(0) < 1e-9, 0, train.std(0))
        return tuple(np.where(np.isfinite(z), z, 0) for z in ((train - train.mean(0)) / std, (other - train.mean(0)) / std))


def usual_scale(centred, train, other):
    return np.where(root_mean_square(centred) < 1e-10, 1, root_mean_square(centred))


def unit_loop(x):
    result = np.array(x)
    for row in result:
        length = math.sqrt(sum(value * value for value in row))
        if length != 0:
            row /= length
    return result


def unit_hypot(x):
    lengths = np.array([math.hypot(*row) for row in x])
    lengths[lengths == 0] = 1
    return (x.T / lengths).T


def unit_einsum(x):
    squares = np.einsum("nd,nd->n", x, x)
    return x * np.divide(1, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)[:, None]


def unit_with_the_usual_epsilon(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def unit_over(lengths):
    """x / lengths(x) with rows of zeros kept."""

    def unit_length(x):
        with np.errstate(all="ignore"):
            return np.where((x == 0).all(axis=1)[:, None], 0.0, x / lengths(x))

    return unit_length


def unit_nan(x):
    with np.errstate(all="ignore"):
        return np.stack([row / math.sqrt(row @ row) if row.any() else row / np.float64(0) for row in x])


def unit_skips_short(x):
    return np.array([row if (n := np.linalg.norm(row)) <= 1 else row / n for row in x])


def unit_even(x):
    return np.array([row / np.linalg.norm(row) if row.any() else np.full(len(row), 1 / math.sqrt(len(row))) for row in x])


def unit_threshold(x):
    n = np.linalg.norm(x, axis=1)
    return np.array([row / length if length > 1e-4 else row for row, length in zip(x, n, strict=True)])


WRONG[2] = [
    *named(
        "standardise",
        ("vstack, then split again", pooled, "mean and std are those of both sets together"),
        ("each by itself, in a loop", each_its_own, "each set is standardised by its own mean and std"),
        (
            "statistics of the second set",
            lambda train, other: tuple((x - other.mean(0)) / other.std(0) for x in (train, other)),
            "mean and std are those of the other set",
        ),
        ("row by row", picture_by_picture, "each picture is standardised, and not each feature"),
        (
            "np.mean and np.std of all",
            lambda train, other: tuple((x - np.mean(train)) / np.std(train) for x in (train, other)),
            "one mean and one std are taken for all features",
        ),
        (
            "root forgotten",
            scaled(lambda centred, train, other: np.where((v := np.square(centred).mean(0)) > 1e-16, v, 1)),
            "it is divided by the variance",
        ),
        (
            "N - 1",
            scaled(lambda centred, train, other: np.sqrt(np.square(centred).sum(0) / (len(train) - 1))),
            "the variance is divided by N - 1",
        ),
        (
            "no mean",
            lambda train, other: (train / train.std(axis=0), other / train.std(axis=0)),
            "the mean is not subtracted",
        ),
        ("no std", scaled(lambda centred, train, other: 1.0), "it is not divided by the std"),
        ("max - min", scaled(lambda centred, train, other: train.max(0) - train.min(0)), "it is divided by the range"),
        (
            "sum of squares from 0",
            scaled(lambda centred, train, other: np.linalg.norm(train, axis=0) / math.sqrt(len(train))),
            "it is divided by the root of the mean square",
        ),
        (
            "min-max scaling",
            scaled(lambda centred, train, other: train.max(0) - train.min(0), lambda train, other: train.min(0)),
            "the least and the largest value become 0 and 1",
        ),
        (
            "other untouched",
            lambda train, other: (standardise_by_feature(train, other)[0], 1.0 * other),
            "the other set stays as it was",
        ),
        (
            "train untouched",
            lambda train, other: (1.0 * train, standardise_by_feature(train, other)[1]),
            "the training codes stay as they were",
        ),
        ("train alone", lambda train, other: standardise_by_feature(train, other)[0], "only the training codes come back"),
        (
            "exchanged",
            lambda train, other: tuple(reversed(standardise_by_feature(train, other))),
            "the two sets come back in the wrong order",
        ),
        (
            "if any std is 0: no scaling",
            scaled(lambda centred, train, other: s if np.all((s := root_mean_square(centred)) > 1e-12) else np.ones(len(s))),
            "all features stay unscaled where one is constant",
        ),
        (
            "constants not thought of",
            scaled(lambda centred, train, other: root_mean_square(centred)),
            "a feature that is constant is divided by 0",
        ),
        (
            "std == 0 -> 1",
            scaled(lambda centred, train, other: np.where(train.std(0) != 0, train.std(0), 1)),
            "a std of 1e-17 counts as one",
        ),
        ("std + 1e-8", scaled(lambda centred, train, other: root_mean_square(centred) + 1e-8),
         "a small number is added to the std"),
        ("std + 1e-6", scaled(lambda centred, train, other: np.std(train, 0) + 1e-6), "a small number is added to the std"),
        ("NaN to 0", nan_to_zero, "a feature that is constant becomes 0 in the other set as well"),
        ("in place", in_place, "An argument is changed"),
    ),
    *named(
        "unit_length",
        ("lengths of the columns", unit_over(lambda x: np.sqrt((x**2).sum(0))),
         "each feature is divided by its length, and not each code"),
        ("Frobenius norm", unit_over(lambda x: math.sqrt(np.vdot(x, x))), "all codes are divided by one length"),
        ("sum of |x|", unit_over(lambda x: np.linalg.norm(x, ord=1, axis=1)[:, None]),
         "the length is the sum of the absolute values"),
        ("sums to 1", unit_over(lambda x: np.einsum("nd->n", x)[:, None]), "the length is the sum of the numbers"),
        ("largest", unit_over(lambda x: np.maximum(x, -x).max(axis=1)[:, None]), "the largest number is taken for the length"),
        ("x . x", unit_over(lambda x: np.einsum("nd,nd->n", x, x)[:, None]), "the root is missing in the length"),
        ("root mean square", unit_over(lambda x: (np.linalg.norm(x, axis=1) / math.sqrt(x.shape[1]))[:, None]),
         "the length is a root of the mean, and not of the sum, of squares"),
        ("std of each row", unit_over(lambda x: np.sqrt(np.var(x, axis=1))[:, None]), "the std is taken for the length"),
        ("short ones kept", unit_skips_short, "only codes longer than 1 are divided by their length"),
        ("0 / 0", unit_nan, "a code of zeros becomes NaN"),
        ("zeros become even", unit_even, "a code of zeros becomes something else"),
        ("norm + 1e-8", lambda x: x / (np.linalg.norm(x, axis=1)[:, None] + 1e-8), "a small number is added to the length"),
        ("norm + 1e-6", lambda x: x / (np.sqrt(np.sum(x * x, 1, keepdims=True)) + 1e-6),
         "a small number is added to the length"),
        ("short ones for zeros", unit_threshold, "small codes count as zeros"),
    ),
]  # fmt: skip
RIGHT[2] = [
    *named(
        "standardise",
        ("feature by feature", standardise_by_feature),
        ("a mask of what varies", standardise_with_a_mask),
        ("multiplied, with axes kept", standardise_by_multiplication),
        ("std below 1e-6", scaled(lambda centred, train, other: np.where(train.std(0) < 1e-6, 1, train.std(0)))),
        ("float32", lambda *sets: tuple(z.astype(np.float32) for z in solution.standardise(*sets))),
        ("einsum", scaled(usual_scale)),
    ),
    *named(
        "unit_length",
        ("a loop over rows", unit_loop),
        ("hypot, and transposed", unit_hypot),
        ("einsum", unit_einsum),
        ("at least 1e-12", unit_with_the_usual_epsilon),
    ),
]

# ---- 3: a softmax classifier


def softmax_written_out(
    data=lambda terms, N, K: terms.mean(),
    penalty=lambda w, b, s: s / 2 * np.vdot(w, w),
    pull=lambda p, q, N, K: (p - q) / N,
    to_dw=lambda ds, x: np.einsum("nk,nd->kd", ds, x),
    to_db=lambda ds: np.add.reduce(ds, 0),
    decay=lambda w, s: s * w,
    bias_decay=lambda b, s: 0,
    answer=lambda loss, dw, db: (loss, dw, db),
    q_of=lambda y, K: np.eye(K)[y],
):
    """All of it by one-hot rows q, with one thing to be changed."""

    def softmax_regression(w, b, x, y, regularisation):
        (N, _), K = x.shape, len(b)
        scores = np.einsum("nd,kd->nk", x, w) + b[None]
        log_p = scores - np.logaddexp.reduce(scores, axis=1)[:, None]
        q = q_of(y, K)
        ds = pull(np.exp(log_p), q, N, K)
        loss = data(-(q * log_p).sum(axis=1), N, K) + penalty(w, b, regularisation)
        return answer(loss, to_dw(ds, x) + decay(w, regularisation), to_db(ds) + bias_decay(b, regularisation))

    return softmax_regression


def softmax_loops(w, b, x, y, regularisation):
    N = len(x)
    loss, dw, db = regularisation * 0.5 * sum(v * v for v in w.flat), regularisation * w, [0.0] * len(b)
    for n in range(N):
        scores = [float(w[k] @ x[n] + b[k]) for k in range(len(b))]
        top = max(scores)
        total = sum(math.exp(s - top) for s in scores)
        loss -= (scores[y[n]] - top - math.log(total)) / N
        for k, s in enumerate(scores):
            d = (math.exp(s - top) / total - (k == y[n])) / N
            dw[k] += d * x[n]
            db[k] += d
    return loss, dw, db


def softmax_augmented(w, b, x, y, regularisation):
    """The bias as one more column of w."""
    theta, z = np.column_stack([w, b]), np.column_stack([x, np.ones(len(x))])
    s = theta @ z.T
    s = s - s.max(axis=0)
    p = np.exp(s) / np.exp(s).sum(axis=0)
    log_p = s - np.log(np.exp(s).sum(axis=0))
    p[y, np.arange(len(y))] -= 1
    gradient = p @ z / len(y)
    gradient[:, :-1] += regularisation * w
    loss = -np.trace(log_p[y]) / len(y) + regularisation / 2 * np.linalg.norm(w) ** 2
    return [np.asarray(loss), np.asfortranarray(gradient[:, :-1]), gradient[:, -1].copy()]


def softmax_minus_all_labels(w, b, x, y, regularisation):
    e = np.exp((s := x @ w.T + b) - s.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    loss = -np.log(p[range(len(y)), y]).mean() + regularisation * 0.5 * np.sum(w**2)
    p[:, y] -= 1.0
    p /= len(y)
    return loss, p.T @ x + w * regularisation, p.sum(0)


def softmax_overflows(w, b, x, y, regularisation):
    with np.errstate(all="ignore"):
        e = np.exp(np.dot(x, w.T) + b)
        p = e / np.sum(e, axis=1)[:, None]
        loss = -np.sum(np.log(p[np.arange(len(y)), y])) / len(y) + 0.5 * regularisation * np.sum(w * w)
        d = p - np.eye(len(b))[y]
        return loss, np.dot(d.T, x) / len(y) + regularisation * w, d.sum(axis=0) / len(y)


def softmax_log_of_zero(w, b, x, y, regularisation):
    with np.errstate(divide="ignore"):
        s = x @ w.T + b
        e = np.exp(s - s.max(axis=1)[:, None])
        p = e / e.sum(axis=1)[:, None]
        loss = np.mean([-np.log(p[n, y[n]]) for n in range(len(y))]) + regularisation / 2 * (w**2).sum()
    d = (p - (np.arange(len(b)) == y[:, None])) / len(y)
    return loss, d.T @ x + regularisation * w, d.sum(axis=0)


def softmax_from_one(w, b, x, y, regularisation):
    return softmax_written_out(q_of=lambda y, K: np.eye(K)[(y - 1) % K])(w, b, x, y, regularisation)


def softmax_largest_label(w, b, x, y, regularisation):
    loss, dw, db = softmax_augmented(w, b, x, y, regularisation)
    seen = range(max(y) + 1)
    short, few = regularisation * w, np.zeros(len(b))
    for k in seen:
        short[k], few[k] = dw[k], db[k]
    return loss, short, few


def softmax_seen_classes(w, b, x, y, regularisation):
    loss, dw, db = softmax_augmented(w, b, x, y, regularisation)
    short, few = regularisation * w, np.zeros(len(b))
    for k in set(y.tolist()):
        short[k], few[k] = dw[k], db[k]
    return loss, short, few


def softmax_weights_scaled_in_place(w, b, x, y, regularisation):
    loss, dw, db = softmax_loops(w, b, x, y, regularisation)
    w *= regularisation
    return loss, dw, db


WRONG[3] = named(
    "softmax_regression",
    (
        "no penalty at all",
        softmax_written_out(penalty=lambda w, b, s: 0, decay=lambda w, s: 0),
        "the regularisation is missing",
    ),
    ("no penalty in the loss", softmax_written_out(penalty=lambda w, b, s: 0), "the penalty is missing in the loss"),
    (
        "everything divided by N",
        lambda w, b, x, y, s: softmax_loops(w, b, x, y, s / len(x)),
        "the regularisation is divided by N",
    ),
    (
        "s * w^2 in the loss",
        softmax_written_out(penalty=lambda w, b, s: s * (w**2).sum()),
        "the 1/2 of the penalty is missing in the loss",
    ),
    (
        "s * w^2 and 2 s w",
        softmax_written_out(penalty=lambda w, b, s: s * (w**2).sum(), decay=lambda w, s: 2 * s * w),
        "the 1/2 of the penalty is missing, in the loss and in dw",
    ),
    (
        "norm(w)",
        softmax_written_out(penalty=lambda w, b, s: s / 2 * np.linalg.norm(w)),
        "the penalty has the length of w, and not its square",
    ),
    ("mean of w^2", softmax_written_out(penalty=lambda w, b, s: s / 2 * np.mean(w * w)), "the penalty is a mean of squares"),
    (
        "sum of w",
        softmax_written_out(penalty=lambda w, b, s: 0.5 * s * w.sum()),
        "the penalty adds the weights themselves, and not their squares",
    ),
    (
        "sum of |w|",
        softmax_written_out(penalty=lambda w, b, s: 0.5 * s * np.abs(w).sum()),
        "the penalty adds absolute values, and not squares",
    ),
    ("subtracted", lambda w, b, x, y, s: softmax_loops(w, b, x, y, -s), "the penalty has the wrong sign"),
    (
        "bias in the penalty and its gradient",
        softmax_written_out(penalty=lambda w, b, s: s / 2 * (np.sum(w * w) + np.sum(b * b)), bias_decay=lambda b, s: s * b),
        "the bias is regularised as well",
    ),
    (
        "bias in the penalty",
        softmax_written_out(penalty=lambda w, b, s: s / 2 * (np.sum(w * w) + b @ b)),
        "the penalty in the loss has the bias in it",
    ),
    (
        "bias decayed",
        softmax_written_out(bias_decay=lambda b, s: s * b),
        "db has a share of the regularisation, and the loss has none of b",
    ),
    ("no bias", lambda w, b, x, y, s: softmax_loops(w, np.zeros(len(b)), x, y, s), "the scores have no bias"),
    (
        "+ log p",
        softmax_written_out(data=lambda terms, N, K: -terms.mean()),
        "the loss has the wrong sign",
    ),
    ("summed loss", softmax_written_out(data=lambda terms, N, K: terms.sum()), "the loss is a sum over the pictures"),
    (
        "np.mean of all entries of q log p",
        softmax_written_out(data=lambda terms, N, K: terms.sum() / (N * K)),
        "the loss is divided by the number of classes as well",
    ),
    ("no decay", softmax_written_out(decay=lambda w, s: 0), "dw lacks the regularisation"),
    ("2 s w", softmax_written_out(decay=lambda w, s: s * w * 2), "dw has the regularisation twice"),
    ("s w / 2", softmax_written_out(decay=lambda w, s: 0.5 * s * w), "dw has half of the regularisation"),
    ("dw summed", softmax_written_out(to_dw=lambda ds, x: len(x) * ds.T @ x), "dw is a sum over the pictures"),
    ("gradients summed", softmax_written_out(pull=lambda p, q, N, K: p - q), "dw and db are sums over the pictures"),
    ("db summed", softmax_written_out(to_db=lambda ds: len(ds) * ds.sum(axis=0)), "db is a sum over the pictures"),
    ("db a mean", softmax_written_out(to_db=lambda ds: np.mean(ds, axis=0)), "db is divided by N twice"),
    ("divided twice", softmax_written_out(pull=lambda p, q, N, K: (p - q) / N / N), "dw and db are divided by N twice"),
    (
        "divided by K",
        softmax_written_out(pull=lambda p, q, N, K: (p - q) / K),
        "the gradients are divided by the number of classes",
    ),
    ("x.T @ ds", softmax_written_out(answer=lambda loss, dw, db: (loss, np.transpose(dw).copy(), db)), "dw is transposed"),
    ("-db", softmax_written_out(to_db=lambda ds: -ds.sum(axis=0)), "db has the wrong sign"),
    ("q - p", softmax_written_out(pull=lambda p, q, N, K: (q - p) / N), "dw and db have the wrong sign"),
    ("p alone", softmax_written_out(pull=lambda p, q, N, K: p / N), "the labels have no part in the gradient"),
    ("db of zeros", softmax_written_out(to_db=lambda ds: np.zeros(ds.shape[1])), "db is 0"),
    ("two results", softmax_written_out(answer=lambda loss, dw, db: [loss, dw]), "db does not come back"),
    ("p[:, y] -= 1", softmax_minus_all_labels, "1 is subtracted in the columns of all labels, in every row"),
    ("labels from 1", softmax_from_one, "the labels are counted from 1"),
    ("max(y) + 1 classes", softmax_largest_label, "classes above the largest label get no gradient from the pictures"),
    ("set(y) classes", softmax_seen_classes, "classes of no picture get no gradient from the pictures"),
    ("plain exp", softmax_overflows, "scores of 1000 overflow"),
    ("log of 0", softmax_log_of_zero, "the logarithm of a probability of 0 is taken"),
    ("w scaled in place", softmax_weights_scaled_in_place, "An argument is changed"),
)
RIGHT[3] = named(
    "softmax_regression",
    ("one-hot rows and einsum", softmax_written_out()),
    ("loops over everything", softmax_loops),
    ("the bias as a column, a list", softmax_augmented),
)

# ---- 4: a linear SVM


def svm_written_out(
    cost=lambda h: np.square(h),
    slope=lambda h: 2 * h,
    hinge=lambda m: np.clip(1 - m, 0, None),
    other=-1,
    N_of=lambda N, K: (N, N),
    penalty=lambda w, b, s: 0.5 * s * np.square(w).sum(),
    decay=lambda w, s: s * w,
    bias_decay=lambda b, s: 0,
    answer=lambda P, dw, db: (P, dw, db),
    direction=lambda t: t,
    keep=lambda t: 1,
):
    """By one-hot rows; m = t s are the margins, h the hinges."""

    def svm_objective(w, b, x, y, regularisation):
        K, N = len(w), len(x)
        t = np.full((N, K), float(other))
        t[np.arange(N), y] = 1
        m = t * (np.einsum("kd,nd->nk", w, x) + b)
        h = hinge(m) * keep(t)
        for_P, for_gradients = N_of(N, K)
        P = np.sum(cost(h)) / for_P + penalty(w, b, regularisation)
        ds = -direction(t) * slope(h) / for_gradients
        return answer(P, np.tensordot(ds, x, (0, 0)) + decay(w, regularisation), ds.sum(0) + bias_decay(b, regularisation))

    return svm_objective


def svm_loops(w, b, x, y, regularisation):
    N, K = len(x), len(b)
    P, dw, db = 0.0, np.zeros(w.shape), np.zeros(K)
    for k in range(K):
        for n in range(N):
            sign = 1.0 if y[n] == k else -1.0
            room = 1.0 - sign * (np.dot(w[k], x[n]) + b[k])
            if room > 0:
                P += room**2
                dw[k] += -2 * sign * room * x[n]
                db[k] += -2 * sign * room
    return P / N + regularisation / 2 * np.sum(w**2), dw / N + regularisation * w, db / N


def svm_class_by_class(w, b, x, y, regularisation):
    P, dw, db = regularisation / 2 * float(np.vdot(w, w)), [], []
    for k in range(len(w)):
        t = 2.0 * (y == k) - 1
        active = np.flatnonzero(t * (x @ w[k] + b[k]) < 1)
        error = x[active] @ w[k] + b[k] - t[active]  # t^2 = 1: the slack's square is (s - t)^2
        P += error @ error / len(x)
        dw.append(2 * error @ x[active] / len(x) + regularisation * w[k])
        db.append(2 * error.sum() / len(x))
    return [P, np.array(dw), np.array(db)]


def svm_augmented(w, b, x, y, regularisation):
    theta, z = np.hstack([w, b[:, None]]), np.hstack([x, np.ones((len(x), 1))])
    t = 2 * np.eye(len(w))[y] - 1
    h = np.maximum(1 - t * (z @ theta.T), 0)
    g = -2 * (t * h).T @ z / len(z)
    return (h**2).sum(axis=1).mean() + regularisation / 2 * (w**2).sum(), g[:, :-1] + regularisation * w, 1 * g[:, -1]


def lead_svm(w, b, x, y, regularisation):
    """Weston and Watkins, squared."""
    N, s = len(x), x @ w.T + b
    P, ds = 0.0, np.zeros(s.shape)
    for n in range(N):
        for k in range(len(w)):
            if k != y[n] and s[n, k] - s[n, y[n]] + 1 > 0:
                m = s[n, k] - s[n, y[n]] + 1
                P += m * m / N
                ds[n, k] += 2 * m / N
                ds[n, y[n]] -= 2 * m / N
    return P + regularisation / 2 * (w * w).sum(), ds.T @ x + regularisation * w, ds.sum(axis=0)


def training_loop(
    L_of=lambda x, s: s + 2 * np.mean(np.einsum("nd,nd->n", x, x) + 1),
    first=lambda K, D: (np.zeros((K, D)), np.zeros(K)),
    gradients=svm_loops,
    count=lambda steps: steps,
    answer=lambda w, b: (w, b),
    classes=lambda y, K: K,
    strength=lambda s: s,
    bias=1.0,
    rate=lambda L, t: 1 / L,
):
    """Gradient descent in place, with one thing to be changed."""

    def train_svm(x, y, num_classes, regularisation, steps):
        w, b = first(classes(y, num_classes), x.shape[1])
        L = L_of(x, regularisation)
        for t in range(count(steps)):
            _, dw, db = gradients(w, b, x, y, strength(regularisation))
            w -= rate(L, t) * dw
            b -= bias * rate(L, t) * db
        return answer(w, b)

    return train_svm


def training_by_recursion(x, y, num_classes, regularisation, steps):
    if steps == 0:
        return np.zeros((num_classes, x.shape[1])), np.zeros(num_classes)
    w, b = training_by_recursion(x, y, num_classes, regularisation, steps - 1)
    L = regularisation + 2 / len(x) * sum(float(row @ row) + 1 for row in x)
    _, dw, db = svm_class_by_class(w, b, x, y, regularisation)
    return w - dw / L, b - db / L


def training_of_each_class(x, y, num_classes, regularisation, steps):
    """A problem of its own for each class, with the bias as a weight that is not regularised."""
    z = np.column_stack([x, np.ones(len(x))])
    L = regularisation + 2 * np.linalg.norm(z) ** 2 / len(x)
    rows = []
    for k in range(num_classes):
        t, v = np.where(y == k, 1.0, -1.0), np.zeros(z.shape[1])
        for _ in range(steps):
            slack = np.maximum(0, 1 - t * (z @ v))
            v = v - (-2 * (t * slack) @ z / len(x) + regularisation * np.append(v[:-1], 0)) / L
        rows.append(v)
    return np.array(rows)[:, :-1].copy(), np.array(rows)[:, -1].copy()


def sequential(bias_first):
    def train_svm(x, y, num_classes, regularisation, steps):
        w, b = np.zeros((num_classes, x.shape[1])), np.zeros(num_classes)
        L = regularisation + 2 / len(x) * (np.sum(x**2) + len(x))
        for _ in range(steps):
            for what in "bw" if bias_first else "wb":
                _, dw, db = svm_augmented(w, b, x, y, regularisation)
                if what == "w":
                    w = w - dw / L
                else:
                    b = b - db / L
        return w, b

    return train_svm


def training_averaged(x, y, num_classes, regularisation, steps):
    w, b = np.zeros((num_classes, x.shape[1])), np.zeros(num_classes)
    L = regularisation + 2 / len(x) * (np.sum(x**2) + len(x))
    total_w, total_b = 0 * w, 0 * b
    for _ in range(steps):
        _, dw, db = svm_loops(w, b, x, y, regularisation)
        w, b = w - dw / L, b - db / L
        total_w, total_b = total_w + w, total_b + b
    return total_w / max(steps, 1), total_b / max(steps, 1)


def training_returns_in_the_loop(x, y, num_classes, regularisation, steps):
    w, b = np.zeros((num_classes, x.shape[1])), np.zeros(num_classes)
    L = regularisation + 2 / len(x) * (np.sum(x**2) + len(x))
    for _ in range(steps):
        _, dw, db = svm_loops(w, b, x, y, regularisation)
        return w - dw / L, b - db / L
    return w, b


def squares_of(x):
    return np.square(x).sum(1)


WRONG[4] = [
    *named(
        "svm_objective",
        (
            "plain hinge throughout",
            svm_written_out(cost=lambda h: h, slope=lambda h: np.sign(h)),
            "the slack is not squared",
        ),
        ("slope of the plain hinge", svm_written_out(slope=lambda h: (h > 0) * 1.0), "the gradient is that of the plain hinge"),
        ("P of the plain hinge", svm_written_out(cost=lambda h: h), "P does not square the slack"),
        ("2 forgotten", svm_written_out(slope=lambda h: h), "the 2 of the square is missing in the gradients"),
        (
            "half the square",
            svm_written_out(cost=lambda h: 0.5 * h * h, slope=lambda h: h),
            "P has a 1/2 in front of the squared slack",
        ),
        (
            "minus forgotten",
            svm_written_out(direction=lambda t: -t),
            "the gradients of the slack have the wrong sign",
        ),
        ("t forgotten in ds", svm_written_out(direction=lambda t: np.ones(t.shape)), "the gradient lacks t"),
        ("targets 0 and 1", svm_written_out(other=0), "t is 0 for the wrong classes, and not -1"),
        (
            "targets exchanged",
            lambda w, b, x, y, s: svm_class_by_class(-w, -b, x, y, s)[:1]
            + [-(svm_class_by_class(-w, -b, x, y, s)[1] + s * w) + s * w, -svm_class_by_class(-w, -b, x, y, s)[2]],
            "t has the wrong sign",
        ),
        (
            "least squares",
            svm_written_out(hinge=lambda m: 1 - m),
            "scores that are right by more than the margin cost something, too",
        ),
        ("perceptron", svm_written_out(hinge=lambda m: np.maximum(-m, 0)), "there is no margin"),
        ("1 + m", svm_written_out(hinge=lambda m: np.where(m > -1, 1 + m, 0)), "the slack grows where the score is right"),
        (
            "lead over the right class",
            lead_svm,
            "the right class must lead the others by 1, each wrong class with a slack of its own",
        ),
        ("right class only", svm_written_out(keep=lambda t: t == 1), "only the right class has a slack"),
        ("wrong classes only", svm_written_out(keep=lambda t: t == -1), "only the wrong classes have a slack"),
        (
            "largest slack",
            svm_written_out(cost=lambda h: h.max(axis=1) ** 2),
            "P is the largest slack of each picture, and not the sum",
        ),
        ("sums", svm_written_out(N_of=lambda N, K: (1, 1)), "P, dw and db are sums over the pictures"),
        ("means of all", svm_written_out(N_of=lambda N, K: (N * K, N * K)), "P, dw and db are divided by N and by K"),
        ("np.mean in P", svm_written_out(N_of=lambda N, K: (N * K, N)), "P is divided by N and by K"),
        ("np.sum in P", svm_written_out(N_of=lambda N, K: (1, N)), "P is a sum over the pictures"),
        ("N forgotten in ds", svm_written_out(N_of=lambda N, K: (N, 1)), "dw and db are sums over the pictures"),
        (
            "mean for db",
            lambda w, b, x, y, s: (*svm_loops(w, b, x, y, s)[:2], svm_loops(w, b, x, y, s)[2] / len(x)),
            "db is divided by N twice",
        ),
        (
            "no regularisation",
            lambda w, b, x, y, s: svm_loops(w, b, x, y, 0.0),
            "the regularisation is missing",
        ),
        ("none in P", svm_written_out(penalty=lambda w, b, s: 0.0), "the penalty is missing in P"),
        ("none in dw", svm_written_out(decay=lambda w, s: 0.0), "dw lacks the regularisation"),
        ("s w^2", svm_written_out(penalty=lambda w, b, s: s * np.vdot(w, w)), "the 1/2 of the penalty is missing in P"),
        ("2 s w", svm_written_out(decay=lambda w, s: 2 * s * w), "dw has the regularisation twice"),
        (
            "s w^2 and 2 s w",
            lambda w, b, x, y, s: svm_augmented(w, b, x, y, 2 * s),
            "the 1/2 of the penalty is missing, in P and in dw",
        ),
        (
            "bias regularised",
            svm_written_out(
                penalty=lambda w, b, s: s / 2 * (np.vdot(w, w) + np.vdot(b, b)), bias_decay=lambda b, s: s * b
            ),
            "the bias is regularised as well",
        ),
        (
            "bias decayed",
            svm_written_out(bias_decay=lambda b, s: s * b),
            "db has a share of the regularisation, and P has none of b",
        ),
        ("no bias", lambda w, b, x, y, s: svm_loops(w, np.zeros_like(b), x, y, s), "the scores have no bias"),
        ("dw of shape (D, K)", svm_written_out(answer=lambda P, dw, db: (P, dw.T.copy(), db)), "dw is transposed"),
        ("db forgotten", svm_written_out(answer=lambda P, dw, db: (P, dw)), "db does not come back"),
    ),
    *named(
        "train_svm",
        ("gradient added", training_loop(rate=lambda L, t: -1 / L), "the steps climb: the gradient is added"),
        ("times L", training_loop(rate=lambda L, t: L), "the steps are L times the gradient, and not 1/L times"),
        ("no + 1", training_loop(lambda x, s: s + 2 * np.mean(squares_of(x))), "L lacks the 1 that stands for the bias"),
        ("no regularisation in L", training_loop(lambda x, s: 2 * np.mean(squares_of(x) + 1)), "L lacks the regularisation"),
        ("no 2", training_loop(lambda x, s: s + np.mean(squares_of(x) + 1)), "L lacks the factor 2"),
        ("2 s", training_loop(lambda x, s: 2 * (s + np.mean(squares_of(x) + 1))), "L has the regularisation twice"),
        ("N forgotten", training_loop(lambda x, s: s + 2 * np.sum(squares_of(x) + 1)),
         "L is a sum over the pictures, and not a mean"),
        ("+ 1 outside the sum", training_loop(lambda x, s: s + 2 / len(x) * (np.sum(x**2) + 1)),
         "the 1 in L is there once, and not once for each picture"),
        ("norms", training_loop(lambda x, s: s + 2 * np.mean(np.linalg.norm(x, axis=1) + 1)),
         "L has the lengths of the codes, and not their squares"),
        ("square of the sum", training_loop(lambda x, s: s + 2 * np.mean(np.square(x.sum(1)) + 1)),
         "L has the square of a sum, and not a sum of squares"),
        ("mean of all squares", training_loop(lambda x, s: s + 2 * (np.mean(x**2) + 1)),
         "L has a mean over the features as well"),
        ("longest code", training_loop(lambda x, s: s + 2 * max(squares_of(x) + 1)),
         "L has the longest code, and not the mean"),
        ("mean square only", training_loop(lambda x, s: s + np.mean(squares_of(x))),
         "L is the mean without 2 and without the 1"),
        ("1 / (L t)", training_loop(rate=lambda L, t: 1 / (L * (t + 1))), "the learning rate falls from step to step"),
        ("1 / regularisation", training_loop(lambda x, s: s), "the learning rate is 1 / regularisation"),
        ("bias stays 0", training_loop(bias=0.0), "the bias is not trained"),
        ("b after w", sequential(bias_first=False), "db is computed with the new w"),
        ("w after b", sequential(bias_first=True), "dw is computed with the new b"),
        ("steps + 1", training_loop(count=lambda steps: steps + 1), "there is a step too many"),
        ("range(1, steps)", training_loop(count=lambda steps: len(range(1, steps))), "there is a step too few"),
        ("return in the loop", training_returns_in_the_loop, "there is one step only"),
        ("begins at 1", training_loop(first=lambda K, D: (np.full((K, D), 1.0), np.full(K, 1.0))),
         "weights and biases begin at 1"),
        ("unregularised steps", training_loop(strength=lambda s: 0.0), "the steps have no regularisation"),
        ("max(y) + 1", training_loop(classes=lambda y, K: max(y) + 1),
         "there are as many classes as the largest label says"),
        ("len(set(y))", training_loop(classes=lambda y, K: len(set(y.tolist())), gradients=solution.svm_objective),
         "there are as many classes as labels come up"),
        ("w.T", training_loop(answer=lambda w, b: (w.T.copy(), b)), "w is transposed"),
        ("b, w", training_loop(answer=lambda w, b: (b, w)), "w and b have changed places"),
        ("w only", training_loop(answer=lambda w, b: w), "only w comes back"),
        ("averaged", training_averaged, "the mean over all steps comes back"),
    ),
]  # fmt: skip
RIGHT[4] = [
    *named(
        "svm_objective",
        ("loops", svm_loops),
        ("class by class, active ones only, a list", svm_class_by_class),
        ("the bias as a column", svm_augmented),
        ("one-hot and tensordot", svm_written_out()),
    ),
    *named(
        "train_svm",
        ("in place, by loops", training_loop()),
        ("by recursion", training_by_recursion),
        ("each class by itself", training_of_each_class),
    ),
]

# ---- 5: choose, then test


def table_of(fit, train, val, path):
    """(strength, validation accuracy) of all."""
    return [(strength, fit(train[0], train[1], strength).score(val[0], val[1])) for strength in path]


def both_parts(train, val):
    return np.concatenate([train[0], val[0]]), np.concatenate([train[1], val[1]])


def chosen_from(table, pick):
    """choose_regularisation() by pick(table(fit, train, val, test, path))."""

    def choose_regularisation(fit, train, val, test, path):
        best = pick(table(fit, train, val, test, path))
        return best, fit(*both_parts(train, val), best).score(*test)

    return choose_regularisation


def highest_strongest(rows):
    top = max(value for _, value in rows)
    return max(strength for strength, value in rows if value == top)


def honest(fit, train, val, test, path):
    return table_of(fit, train, val, path)


def finished(finish):
    """The right choice, and then finish(fit, best, train, val, test, path)."""

    def choose_regularisation(fit, train, val, test, path):
        return finish(fit, highest_strongest(table_of(fit, train, val, path)), train, val, test, path)

    return choose_regularisation


def looking_at(*names):
    """Goodness on these parts together."""

    def table(fit, train, val, test, path):
        parts = {"train": train, "val": val, "test": test}
        x = np.concatenate([parts[name][0] for name in names])
        y = np.concatenate([parts[name][1] for name in names])
        return [(strength, fit(*train, strength).score(x, y)) for strength in path]

    return table


def running_best(better):
    def choose_regularisation(fit, train, val, test, path):
        best, accuracy = path[0], fit(*train, path[0]).score(*val)
        for strength in path[1:]:
            new = fit(*train, strength).score(*val)
            if better(new, accuracy):
                best, accuracy = strength, new
        return best, fit(*both_parts(train, val), best).score(*test)

    return choose_regularisation


def ascending_argmax(fit, train, val, test, path):
    ordered = np.sort(np.array(path))
    accuracies = np.array([fit(*train, s).score(*val) for s in ordered])
    best = ordered[int(np.argmax(accuracies))]
    return best, fit(*both_parts(train, val), best).score(*test)


def descending_argmax(fit, train, val, test, path):
    ordered = sorted(path)[::-1]
    accuracies = [np.mean(fit(*train, s).predict(val[0]) == val[1]) for s in ordered]
    best = ordered[accuracies.index(max(accuracies))]
    x, y = np.vstack([val[0], train[0]]), np.append(val[1], train[1])
    return [best, np.float64(fit(x, y, best).score(*test))]


def ties_by_the_test_part(fit, train, val, test, path):
    best = None
    for strength in path:
        c = fit(*train, strength)
        key = c.score(*val) + 1e-5 * c.score(*test)
        if best is None or key > best[0]:
            best = key, strength
    return best[1], fit(*both_parts(train, val), best[1]).score(*test)


def sorts_the_path(fit, train, val, test, path):
    path.sort(reverse=True)
    return descending_argmax(fit, train, val, test, path)


def last_in_the_loop(fit, train, val, test, path):
    best, top = None, 0
    for strength in sorted(path, reverse=True):
        accuracy = fit(*train, strength).score(*val)
        if accuracy > top:
            best, top = strength, accuracy
    strength = path[-1]
    return best, fit(*both_parts(train, val), strength).score(*test)


def shuffled_labels(fit, best, train, val, test, path):
    x, y = np.concatenate([train[0], val[0]]), np.concatenate([val[1], train[1]])
    return best, fit(x, y, best).score(*test)


def standardised(fit, train, val, test, path):
    mean, std = train[0].mean(0), train[0].std(0)
    train, val, test = (((x - mean) / std, y) for x, y in (train, val, test))
    return descending_argmax(fit, train, val, test, path)


def numbers_of_places(fit, train, val, test, path):
    rows = [(i, fit(*train, i + 0.5).score(*val)) for i, _ in enumerate(path)]
    return descending_argmax(fit, train, val, test, [path[highest_strongest(rows)]])


def spies(fit, train, val, test, path):
    """Trains on the test part, and says nothing of what fit() says to that."""
    with suppress(Exception):
        fit(*test, path[0])
    return descending_argmax(fit, train, val, test, path)


def curious(fit, train, val, test, path):
    """Looks at the test part, and lets it decide nothing."""
    rows = []
    for strength in path:
        classifier = fit(*train, strength)
        classifier.score(*test)
        rows.append((strength, classifier.score(*val)))
    best = highest_strongest(rows)
    x, y = both_parts(train, val)
    order = np.random.default_rng(0).permutation(len(y))
    return best, fit(x[order].astype(np.float32), y[order], best).score(*test)


WRONG[5] = named(
    "choose_regularisation",
    ("by the test part", chosen_from(looking_at("test"), highest_strongest), "the test part decides"),
    (
        "by validation and test part",
        chosen_from(looking_at("val", "test"), highest_strongest),
        "validation and test part decide together",
    ),
    ("ties by the test part", ties_by_the_test_part, "between equals the test part decides"),
    (
        "by training and validation part",
        chosen_from(looking_at("train", "val"), highest_strongest),
        "training and validation part decide together",
    ),
    ("by the training part", chosen_from(looking_at("train"), highest_strongest), "the weakest strength is chosen"),
    (
        "lowest accuracy",
        chosen_from(honest, lambda rows: min(rows, key=lambda row: row[1])[0]),
        "the weakest strength is chosen",
    ),
    (
        "trained on both parts from the beginning",
        chosen_from(
            lambda fit, train, val, test, path: [(s, fit(*both_parts(train, val), s).score(*val)) for s in path],
            highest_strongest,
        ),
        "the weakest strength is chosen",
    ),
    (
        "train and val exchanged",
        chosen_from(lambda fit, train, val, test, path: table_of(fit, val, train, path), highest_strongest),
        "the weakest strength is chosen",
    ),
    (
        "max of the strengths",
        chosen_from(honest, lambda rows: max(rows)[0]),
        "the strongest is chosen, whatever its accuracy",
    ),
    ("sorted upwards, argmax", ascending_argmax, "of equally good strengths the weakest is taken"),
    (
        "weakest of the best",
        chosen_from(honest, lambda rows: min(rows, key=lambda row: (-row[1], row[0]))[0]),
        "of equally good strengths the weakest is taken",
    ),
    ("> along the path", running_best(lambda new, old: new > old), "of equally good strengths the first of the path is taken"),
    (
        "max() along the path",
        chosen_from(honest, lambda rows: max(rows, key=lambda row: row[1])[0]),
        "of equally good strengths the first of the path is taken",
    ),
    (">= along the path", running_best(lambda new, old: new >= old), "of equally good strengths the last of the path is taken"),
    (
        "a dict by accuracy",
        chosen_from(honest, lambda rows: (by := {value: strength for strength, value in rows})[max(by)]),
        "of equally good strengths the last of the path is taken",
    ),
    ("path.sort()", sorts_the_path, "the path is sorted in place"),
    (
        "not trained again",
        finished(lambda fit, best, train, val, test, path: (best, fit(*train, best).score(*test))),
        "the last classifier is not trained on both parts",
    ),
    (
        "trained again for nothing",
        finished(
            lambda fit, best, train, val, test, path: (
                fit(*both_parts(train, val), best) and (best, np.mean(fit(*train, best).predict(test[0]) == test[1]))
            )
        ),
        "the last classifier is not trained on both parts",
    ),
    (
        "validation part alone",
        finished(lambda fit, best, train, val, test, path: (best, fit(val[0], val[1], best).score(*test))),
        "the last classifier is trained on the validation part alone",
    ),
    ("loop variable", last_in_the_loop, "the last training is with the last strength of the path"),
    (
        "trained on everything",
        finished(
            lambda fit, best, train, val, test, path: (best, fit(*both_parts(both_parts(train, val), test), best).score(*test))
        ),
        "the test part is trained on",
    ),
    (
        "trained on the test part",
        finished(lambda fit, best, train, val, test, path: (best, fit(*test, best).score(*test))),
        "the test part is trained on",
    ),
    ("labels crossed", finished(shuffled_labels), "the labels are joined in another order than the codes"),
    ("standardised on the way", standardised, "the codes are changed before fit() gets them"),
    ("numbers for strengths", numbers_of_places, "fit() gets a strength that is not in the path"),
    (
        "validation accuracy",
        finished(lambda fit, best, train, val, test, path: (best, max(a for _, a in table_of(fit, train, val, path)))),
        "the validation accuracy is returned",
    ),
    (
        "asked about val",
        finished(lambda fit, best, train, val, test, path: (best, fit(*both_parts(train, val), best).score(val[0], val[1]))),
        "the last classifier is asked about validation pictures, which it was trained on",
    ),
    (
        "asked about train",
        finished(lambda fit, best, train, val, test, path: (best, fit(*both_parts(train, val), best).score(*train))),
        "the last classifier is asked about training pictures",
    ),
    (
        "asked about both",
        finished(lambda fit, best, train, val, test, path: (best, fit(*(both := both_parts(train, val)), best).score(*both))),
        "the last classifier is asked about everything that it was trained on",
    ),
    (
        "error rate",
        finished(
            lambda fit, best, train, val, test, path: (
                best,
                np.mean(fit(*both_parts(train, val), best).predict(test[0]) != test[1]),
            )
        ),
        "the share of wrong answers is returned",
    ),
    ("accuracy first", lambda *given: tuple(descending_argmax(*given)[::-1]), "strength and accuracy have changed places"),
    (
        "index of the best",
        lambda fit, train, val, test, path: (
            path.index((found := descending_argmax(fit, train, val, test, path))[0]),
            found[1],
        ),
        "the place in the path is returned, and not the strength",
    ),
    ("strength alone", lambda *given: descending_argmax(*given)[0], "the strength is returned alone"),
    (
        "classifier returned",
        finished(lambda fit, best, train, val, test, path: [best, fit(*both_parts(train, val), best)]),
        "a classifier is returned, and not its accuracy",
    ),
    ("the test part in spite of it all", spies, None),
)
RIGHT[5] = named(
    "choose_regularisation",
    ("a table", chosen_from(honest, highest_strongest)),
    ("sorted, by predictions, joined the other way round, a list", descending_argmax),
    ("curious, shuffled, float32", curious),
    (
        "by the largest pair",
        chosen_from(honest, lambda rows: max((value, strength) for strength, value in rows)[1]),
    ),
)

# ---- 6: nearest neighbours


def distances_loop(a, b):
    result = np.ones((len(a), len(b)))
    for i in range(len(a)):
        for j in range(len(b)):
            lengths = math.sqrt(sum(v * v for v in a[i])) * math.sqrt(sum(v * v for v in b[j]))
            if lengths > 0:
                result[i, j] -= sum(p * q for p, q in zip(a[i], b[j], strict=True)) / lengths
    return result.tolist()


def distances_einsum(a, b):
    products = np.einsum("ad,bd->ab", a, b)
    lengths = np.sqrt(np.einsum("ad,ad->a", a, a)[:, None] * np.einsum("bd,bd->b", b, b))
    return 1 - np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def distances_by_halves(a, b):
    """Half the squared distance of the directions, where there is one."""

    def direction(x):
        return x / np.maximum(np.linalg.norm(x, axis=1), 1e-200)[:, None]

    half = 0.5 * ((direction(a)[:, None, :] - direction(b)[None]) ** 2).sum(-1)
    return np.where((a == 0).all(1)[:, None] | (b == 0).all(1), 1.0, half)


def cosine_over(lengths_a, lengths_b, finish=lambda c: 1 - c):
    """a . b over these lengths; where one is 0 the cosine is 0."""

    def cosine_distances(a, b):
        bottom = np.outer(lengths_a(a), lengths_b(b))
        with np.errstate(all="ignore"):
            return finish(np.where(bottom == 0, 0.0, np.dot(a, b.T) / np.where(bottom == 0, 1, bottom)))

    return cosine_distances


def euclid(x):
    return np.sqrt(np.sum(x**2, axis=1))


def ones(x):
    return np.ones(len(x))


def columns_scaled(a, b):
    a, b = (x / np.sqrt((x**2).sum(axis=0)) for x in (a, b))
    return 1.0 - np.inner(a, b)


def frobenius(a, b):
    return 1 - a.dot(b.T) / (np.linalg.norm(a) * np.linalg.norm(b))


def ends(a, b):
    return np.array([[np.linalg.norm(p - q) for q in b] for p in a])


def squared_ends(a, b):
    return (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)


def directions(x):
    return np.array([row / (np.linalg.norm(row) or 1) for row in x])


def correlation(a, b):
    return distances_einsum(*(x - x.mean(1)[:, None] for x in (a, b)))


def zeros_at(value):
    def cosine_distances(a, b):
        result = distances_einsum(a, b)
        result[~a.any(1)] = value
        result[:, ~b.any(1)] = value
        return result

    return cosine_distances


def with_a_small_number(epsilon, both=True):
    def cosine_distances(a, b):
        if both:
            return 1 - np.dot(a, b.T) / (np.outer(euclid(a), euclid(b)) + epsilon)
        a, b = (x / (np.linalg.norm(x, axis=1)[:, None] + epsilon) for x in (a, b))
        return 1 - a @ b.T

    return cosine_distances


def vote_counter(distances, y, k):
    answers = []
    for row in distances:
        near = sorted(range(len(y)), key=lambda j: (row[j], j))[:k]
        counts = Counter(int(y[j]) for j in near)  # most_common() keeps the order in which labels came
        answers.append(counts.most_common(1)[0][0])
    return answers


def vote_lexsort(distances, y, k):
    answers = np.empty(len(distances), np.int64)
    for i, row in enumerate(distances):
        labels = y[np.lexsort((np.arange(len(y)), row))[:k]]
        counts = (labels[:, None] == labels).sum(axis=1)
        answers[i] = labels[np.argmax(counts)]
    return answers


def vote_by_removal(distances, y, k):
    answers = []
    for row in np.array(distances):
        labels = []
        for _ in range(k):
            j = int(np.argmin(row))
            labels.append(y[j])
            row[j] = np.inf
        answers.append(max(labels, key=labels.count))
    return np.array(answers, np.int32)


def votes(near=lambda row, k: np.argsort(row, kind="stable")[:k], winner=None):
    """Row by row, with winner(labels from the nearest outwards, distances)."""

    def vote(distances, y, k):
        answers = []
        for row in distances:
            order = near(row, k)
            labels = [int(label) for label in y[order]]
            answers.append((winner or first_of_most)(labels, row[order]))
        return np.array(answers)

    return vote


def first_of_most(labels, row):
    return max(labels, key=labels.count)


def most_common(labels, tie):
    top = max(labels.count(label) for label in labels)
    return tie({label for label in labels if labels.count(label) == top})


def by_mean_distance(labels, row):
    means = {label: np.mean([d for other, d in zip(labels, row, strict=True) if other == label]) for label in labels}
    return most_common(labels, lambda best: min(best, key=means.get))


def nearest_if_tied(labels, row):
    (_, first), *others = Counter(labels).most_common()
    if others and others[0][1] == first:
        return labels[0]
    return Counter(labels).most_common(1)[0][0]


def by_weights(labels, row):
    weights = Counter()
    for label, distance in zip(labels, row, strict=True):
        weights[label] += 1 / distance
    return max(weights, key=weights.get)


def columns_sorted(distances, y, k):
    order = np.argsort(distances, axis=0, kind="stable")
    return [first_of_most(y[row[:k]].tolist(), None) for row in order]


WRONG[6] = [
    *named(
        "cosine_distances",
        ("cosines", lambda a, b: 1 - distances_einsum(a, b), "similarities come back, and not distances"),
        ("plain products", cosine_over(ones, ones), "the codes are not divided by their lengths"),
        ("only |a|", cosine_over(euclid, ones), "only the codes of a are divided by their lengths"),
        ("only |b|", cosine_over(ones, euclid), "only the codes of b are divided by their lengths"),
        ("axis 0", columns_scaled, "each feature is divided by its length, and not each code"),
        ("np.linalg.norm(a)", frobenius, "all codes of a set are divided by one length"),
        (
            "squared lengths",
            cosine_over(lambda x: (x * x).sum(1), lambda x: (x * x).sum(1)),
            "the root is missing in the lengths",
        ),
        ("norm of the difference", ends, "the Euclidean distance is taken"),
        ("squared, expanded", squared_ends, "the squared Euclidean distance is taken"),
        (
            "norm of the difference of directions",
            lambda a, b: ends(directions(a), directions(b)),
            "the Euclidean distance of the directions is taken",
        ),
        (
            "squared, of directions",
            lambda a, b: squared_ends(directions(a), directions(b)),
            "the squared Euclidean distance of the directions is taken",
        ),
        (
            "arccos",
            lambda a, b: np.arccos(np.minimum(1, np.maximum(-1, 1 - distances_einsum(a, b)))),
            "the angle is taken, and not 1 minus its cosine",
        ),
        ("1 - |cos|", cosine_over(euclid, euclid, lambda c: 1 - np.abs(c)), "opposite directions count as equal"),
        ("clipped at 1", lambda a, b: np.minimum(distances_einsum(a, b), 1), "negative cosines count as 0"),
        ("halved", lambda a, b: distances_einsum(a, b) / 2, "the distance runs from 0 to 1"),
        ("-cos", cosine_over(euclid, euclid, lambda c: -c), "the distance is minus the cosine"),
        ("correlation", correlation, "each code is centred first"),
        ("b @ a.T", lambda a, b: distances_einsum(a, b).T.copy(), "rows and columns of the result have changed places"),
        ("0 / 0", zeros_at(np.nan), "a code of zeros gives NaN"),
        ("nan_to_num", lambda a, b: np.nan_to_num(zeros_at(np.nan)(a, b)), "a code of zeros is at distance 0 from everything"),
        ("zeros opposite", zeros_at(2.0), "a code of zeros is at the largest distance from everything"),
        ("zeros infinitely far", zeros_at(np.inf), "a code of zeros is infinitely far from everything"),
        ("+ 1e-8", with_a_small_number(1e-8), "a small number is added to the product of the lengths"),
        ("+ 1e-9 to each", with_a_small_number(1e-9, both=False), "a small number is added to the lengths"),
    ),
    *named(
        "vote",
        ("descending", votes(lambda row, k: np.argsort(-row, kind="stable")[:k]), "the farthest neighbours vote"),
        (
            "last k of argsort",
            votes(lambda row, k: np.argsort(row, kind="stable")[::-1][:k]),
            "the farthest neighbours vote",
        ),
        ("1-NN", lambda distances, y, k: y[np.argmin(distances, axis=1)], "the nearest neighbour alone decides"),
        ("everybody", votes(lambda row, k: np.argsort(row, kind="stable")), "all neighbours vote"),
        ("k + 1", votes(lambda row, k: sorted(range(len(row)), key=row.__getitem__)[: k + 1]), "one neighbour too many votes"),
        ("k - 1", votes(lambda row, k: np.argsort(row, kind="stable")[: k - 1 or 1]), "one neighbour too few votes"),
        ("itself left out", votes(lambda row, k: np.argsort(row, kind="stable")[1 : k + 1]),
         "the nearest neighbour has no vote"),
        ("down the columns", columns_sorted, "the distances are sorted down the columns"),
        (
            "reversed among equals",
            votes(lambda row, k: sorted(range(len(row)), key=lambda j: (row[j], -j))[:k]),
            "of equally near neighbours those with larger numbers come first",
        ),
        ("bincount", votes(winner=lambda labels, row: int(np.argmax(np.bincount(labels)))),
         "of labels with equally many votes the smallest wins"),
        ("np.unique", votes(winner=lambda labels, row: (u := np.unique(labels, return_counts=True))[0][u[1].argmax()]),
         "of labels with equally many votes the smallest wins"),
        ("largest of the tied", votes(winner=lambda labels, row: most_common(labels, max)),
         "of labels with equally many votes the largest wins"),
        ("last of the tied", votes(winner=lambda labels, row: first_of_most(labels[::-1], row)),
         "of labels with equally many votes the last one met wins"),
        ("mean distance", votes(winner=by_mean_distance),
         "of labels with equally many votes the one that is nearer on average wins"),
        ("nearest if tied", votes(winner=nearest_if_tied),
         "where labels have equally many votes the nearest neighbour decides"),
        ("weights 1 / d", votes(winner=by_weights), "near neighbours have more than one vote"),
        (
            "index of the nearest",
            lambda distances, y, k: np.argsort(distances, axis=1, kind="stable")[:, 0],
            "the number of a neighbour comes back, and not its label",
        ),
        (
            "argmax of the counts",
            votes(winner=lambda labels, row: np.argmax(np.unique(labels, return_counts=True)[1])),
            "the label's place among the labels comes back",
        ),
        ("rounded mean", votes(winner=lambda labels, row: int(np.rint(np.mean(labels)))), "the mean of the labels is taken"),
        ("median", votes(winner=lambda labels, row: int(np.median(labels))), "the median of the labels is taken"),
        (
            "largest count",
            votes(winner=lambda labels, row: max(map(labels.count, labels))),
            "the number of votes comes back, and not the label",
        ),
        (
            "counted in y",
            lambda distances, y, k: np.array(
                [max(y[np.argsort(row, kind="stable")[:k]], key=lambda label: (y == label).sum()) for row in distances]
            ),
            "a vote counts how many of all neighbours have the label",
        ),
    ),
]  # fmt: skip
RIGHT[6] = [
    *named(
        "cosine_distances",
        ("loops, a list of lists", distances_loop),
        ("einsum", distances_einsum),
        ("half the squared distance of directions", distances_by_halves),
        ("an outer product of lengths", cosine_over(euclid, euclid)),
    ),
    *named(
        "vote",
        ("Counter, a list", vote_counter),
        ("lexsort, and comparing all", vote_lexsort),
        ("the nearest taken away one by one, int32", vote_by_removal),
    ),
]
