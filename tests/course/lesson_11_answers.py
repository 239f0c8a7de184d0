"""Answers to the tasks of lesson 11: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` lists (what it does, the functions that take the place of the solution's, the title of the slip that it is, or
None); ``RIGHT[task]`` lists (how it is written, functions).
"""

from collections.abc import Mapping
from contextlib import suppress

import numpy as np

from minicnn.course import find_lesson
from minicnn.layers import BatchNorm2d, Conv2d, Dropout, Linear

solution = find_lesson("11").solution
WRONG, RIGHT = {}, {}


class Anew(Mapping):
    """A method by its name, of an object that is made anew for each check, so that what it keeps reaches no other check."""

    def __init__(self, kind, method):
        self.kind, self.method = kind, method

    def __getitem__(self, name):
        if name != self.method:
            raise KeyError(name)
        return getattr(self.kind(), name)

    def __iter__(self):
        yield self.method

    def __len__(self):
        return 1


# ---- CNN codes


def codes(prepare=lambda network: network.eval(), pool=lambda maps: maps.mean(axis=(2, 3)), which=lambda names, layer: layer):
    def extract_codes(network, layer, x):
        prepare(network)
        output = network.split(which(list(network.layers), layer))[0].forward(x)
        return pool(output) if output.ndim == 4 else output

    return {"extract_codes": extract_codes}


def only(kind):
    def prepare(network):
        for _, layer in network.walk():
            if isinstance(layer, kind):
                layer.eval()

    return prepare


def top_level_only(network):
    for layer in network.layers.values():
        layer.training = False


def on_a_copy_in_train_mode(network, layer, x):
    output = network.copy().train().split(layer)[0].forward(x)
    return output.mean(axis=(2, 3)) if output.ndim == 4 else output


def layer_by_layer(network, layer, x):
    for name, inner in network.eval().layers.items():
        x = inner.forward(x)
        if name == layer:
            break
    return x.reshape(*x.shape[:2], -1).mean(axis=2)


def picture_by_picture(network, layer, x):
    return np.concatenate([solution.extract_codes(network, layer, x[n : n + 1]) for n in range(len(x))])


def cut_off(network, layer, x):
    output = network.cut(layer).eval().forward(x).astype(np.float64)
    return np.einsum("nchw->nc", output) / output[0, 0].size if output.ndim == 4 else output


def rest_thrown_away(network, layer, x):
    for name in list(network.layers)[list(network.layers).index(layer) + 1 :]:
        del network.layers[name]
    return layer_by_layer(network, layer, x)


def all_in_float64(network, layer, x):
    return solution.extract_codes(network.astype(np.float64), layer, x.astype(np.float64))


WRONG[1] = [
    ("rest thrown away", {"extract_codes": rest_thrown_away}, None),
    ("network left in float64", {"extract_codes": all_in_float64}, None),
    ("square pictures only", codes(pool=lambda maps: maps.sum(axis=(2, 3)) / maps.shape[2] ** 2), None),
    ("divided by the batch", codes(pool=lambda maps: maps.sum(axis=(2, 3)) / len(maps)), None),
    ("scaled to length 1", codes(pool=lambda maps: (c := maps.mean((2, 3))) / np.linalg.norm(c, axis=1, keepdims=True)), None),
    ("train mode", codes(lambda network: None), "the network stays in train mode"),
    ("train mode, on a copy", {"extract_codes": on_a_copy_in_train_mode}, "the network stays in train mode"),
    ("only batch norm in eval mode", codes(only(BatchNorm2d)), "dropout stays in train mode"),
    ("only dropout in eval mode", codes(only(Dropout)), "the network stays in train mode"),
    ("only top-level layers in eval mode", codes(top_level_only), "only the layers at the top are in eval mode"),
    (
        "one layer too few",
        codes(which=lambda names, layer: names[names.index(layer) - 1]),
        "the network is cut before the layer",
    ),
    (
        "one layer too many",
        codes(which=lambda names, layer: names[min(names.index(layer) + 1, len(names) - 1)]),
        "one layer too many runs",
    ),
    ("always the pool", codes(which=lambda names, layer: "pool"), None),
    ("summed", codes(pool=lambda maps: maps.sum(axis=(2, 3))), "the maps are summed and not averaged"),
    ("largest", codes(pool=lambda maps: maps.max(axis=(2, 3))), "the largest value of a map is taken, and not its mean"),
    ("flattened", codes(pool=lambda maps: maps.reshape(len(maps), -1)), "the maps are flattened"),
    ("not averaged", codes(pool=lambda maps: maps), "the maps come back as they are"),
    ("averaged over C and H", codes(pool=lambda maps: maps.mean(axis=(1, 2))), "averaged over the wrong axes"),
    ("averaged over rows, then the first column", codes(pool=lambda maps: maps.mean(axis=2)[:, :, 0]), None),
    (
        "axes of length 1 kept",
        codes(pool=lambda maps: maps.mean(axis=(2, 3), keepdims=True)),
        "the averaged axes are still there, with length 1",
    ),
    (
        "axes of length 1 lost",
        {"extract_codes": lambda *arguments: solution.extract_codes(*arguments).squeeze()},
        "axes of length 1 are lost",
    ),
]
RIGHT[1] = [
    (
        "by features()",
        {
            "extract_codes": lambda network, layer, x: (
                f.mean(axis=(2, 3)) if (f := network.eval().features(x, layer)).ndim == 4 else f
            )
        },
    ),
    ("on a copy that is cut off, in float64", {"extract_codes": cut_off}),
    ("layer by layer", {"extract_codes": layer_by_layer}),
    ("picture by picture", {"extract_codes": picture_by_picture}),
]

# ---- standardise


def standardised(safe=lambda std, train: np.where(std > 1e-9 * np.abs(train).max(axis=0), std, 1), ddof=0):
    def standardise(train, other):
        mean, std = train.mean(axis=0), safe(train.std(axis=0, ddof=ddof), train)
        with np.errstate(all="ignore"):
            return (train - mean) / std, (other - mean) / std

    return {"standardise": standardise}


def each_by_itself(train, other):
    return tuple((x - x.mean(0)) / np.where(x.std(0) > 1e-9, x.std(0), 1) for x in (train, other))


def both_together(train, other):
    joined = np.concatenate([train, other])
    return tuple((x - joined.mean(0)) / np.where(joined.std(0) > 1e-9, joined.std(0), 1) for x in (train, other))


def over_everything(train, other):
    return (train - train.mean()) / train.std(), (other - train.mean()) / train.std()


def unscaled_if_any_is_constant(train, other):
    std = train.std(axis=0)
    std = std if (std > 1e-9).all() else 1
    return (train - train.mean(axis=0)) / std, (other - train.mean(axis=0)) / std


def constants_set_to_zero(train, other):
    a, b = solution.standardise(train, other)
    return a * (train.std(axis=0) > 1e-9), b * (train.std(axis=0) > 1e-9)


def in_place(train, other):
    mean, std = train.mean(axis=0), train.std(axis=0)
    train -= mean
    return train / std, (other - mean) / std


def feature_by_feature(train, other):
    train, other = train.copy(), other.copy()
    for d in range(train.shape[1]):
        mean, std = train[:, d].mean(), np.sqrt(np.mean((train[:, d] - train[:, d].mean()) ** 2))
        for x in (train, other):
            x[:, d] = x[:, d] - mean if std < 1e-12 else (x[:, d] - mean) / std
    return [train, other]


def by_the_spread(train, other):
    mean = np.einsum("nd->d", train)[None] / len(train)
    variance = np.einsum("nd,nd->d", train - mean, train - mean)[None] / len(train)
    scale = np.ones_like(variance)
    np.divide(1, np.sqrt(variance), where=variance > 1e-18, out=scale)
    return np.multiply(train - mean, scale), np.multiply(other - mean, scale)


class FirstStatistics:
    """A scaler that is fitted once and for all."""

    mean = None

    def standardise(self, train, other):
        if self.mean is None:
            self.mean, self.std = train.mean(axis=0), train.std(axis=0)
        return (train - self.mean) / self.std, (other - self.mean) / self.std


WRONG[2] = [
    ("the first statistics for ever", Anew(FirstStatistics, "standardise"), None),
    ("by the range", standardised(lambda std, train: np.ptp(train, axis=0) + 1e-300), "it is divided by the range"),
    (
        "each row",
        {"standardise": lambda *sets: tuple((x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True) for x in sets)},
        "each picture is standardised, and not each feature",
    ),
    (
        "other as it was",
        {"standardise": lambda train, other: (solution.standardise(train, other)[0], other)},
        "the other set stays as it was",
    ),
    (
        "the other way round",
        {"standardise": lambda train, other: solution.standardise(other, train)[::-1]},
        "mean and std are those of the other set",
    ),
    (
        "exchanged",
        {"standardise": lambda train, other: solution.standardise(train, other)[::-1]},
        "the two sets come back in the wrong order",
    ),
    ("not at all", {"standardise": lambda train, other: (train.copy(), other.copy())}, None),
    ("each by itself", {"standardise": each_by_itself}, "each set is standardised by its own mean and std"),
    ("both together", {"standardise": both_together}, "mean and std are those of both sets together"),
    ("over everything", {"standardise": over_everything}, "one mean and one std are taken for all features"),
    ("by the variance", standardised(lambda std, train: np.where(std > 1e-9, std**2, 1)), "it is divided by the variance"),
    ("divided by N - 1", standardised(ddof=1), "the variance is divided by N - 1"),
    (
        "without the mean",
        {"standardise": lambda train, other: (train / train.std(axis=0), other / train.std(axis=0))},
        "the mean is not subtracted",
    ),
    ("without the std", standardised(lambda std, train: 1), "it is not divided by the std"),
    ("constants forgotten", standardised(lambda std, train: std), "a feature that is constant is divided by 0"),
    ("constants of std 0 only", standardised(lambda std, train: np.where(std == 0, 1, std)), "a std of 1e-17 counts as one"),
    ("1e-8 added", standardised(lambda std, train: std + 1e-8), "a small number is added to the std"),
    ("unscaled if any is constant", {"standardise": unscaled_if_any_is_constant}, None),
    (
        "constants set to zero",
        {"standardise": constants_set_to_zero},
        "a feature that is constant becomes 0 in the other set as well",
    ),
    ("in place", {"standardise": in_place}, None),
    ("train alone", {"standardise": lambda train, other: solution.standardise(train, other)[0]}, None),
    ("1e-12 added", standardised(lambda std, train: std + 1e-12), "a small number is added to the std"),
]
RIGHT[2] = [
    ("by the spread, with axes kept", {"standardise": by_the_spread}),
    ("std below 1e-12", standardised(lambda std, train: np.where(std < 1e-12, 1, std))),
    ("std below 1e-6", standardised(lambda std, train: np.where(std < 1e-6, 1, std))),
    ("largest equal to least", standardised(lambda std, train: np.where(np.ptp(train, axis=0) == 0, 1, std))),
    ("feature by feature", {"standardise": feature_by_feature}),
    ("float32", {"standardise": lambda *sets: tuple(x.astype(np.float32) for x in solution.standardise(*sets))}),
]

# ---- a softmax classifier with L2 regularisation


def classifier_by(change):
    """softmax_regression(), changed: change(loss, dw, db, w, b, x, y, strength)."""
    return {"softmax_regression": lambda *arguments: change(*solution.softmax_regression(*arguments), *arguments)}


def minus_all_labels(w, b, x, y, strength):
    loss = solution.softmax_regression(w, b, x, y, strength)[0]
    p = np.exp(x @ w.T + b)
    p /= p.sum(axis=1, keepdims=True)
    p[:, y] -= 1
    return loss, p.T @ x / len(y) + strength * w, p.sum(axis=0) / len(y)


def classifier_one_hot(w, b, x, y, strength):
    scores = np.einsum("nd,kd->nk", x, w) + b
    log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    dscores = (np.exp(log_p) - np.eye(len(b))[y]) / len(y)
    loss = -np.trace(log_p[:, y]) / len(y) + 0.5 * strength * np.linalg.norm(w) ** 2
    return [loss, np.einsum("nk,nd->kd", dscores, x) + w * strength, dscores.T @ np.ones(len(y))]


def classifier_loops(w, b, x, y, strength):
    loss, dw, db = 0.5 * strength * float(np.vdot(w, w)), strength * w, np.zeros_like(b)
    for row, label in zip(x, y, strict=True):
        e = np.exp(w @ row + b)
        p = e / e.sum()
        loss -= np.log(p[label]) / len(y)
        p[label] -= 1
        dw = dw + np.outer(p, row) / len(y)
        db += p / len(y)
    return loss, dw, db


def as_many_classes_as_labels(w, b, x, y, strength):
    loss, dw, db = solution.softmax_regression(w, b, x, y, strength)
    K = y.max() + 1
    return loss, np.vstack([dw[:K], strength * w[K:]]), np.append(db[:K], 0 * db[K:])


def written_out(of_data, of_gradients):
    """All in one, with the loss of the data and the gradients divided by these: of_data(N), of_gradients(N)."""

    def softmax_regression(w, b, x, y, strength):
        scores, N = x @ w.T + b, len(y)
        log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        p = np.exp(log_p)
        p[np.arange(N), y] -= 1
        loss = -log_p[np.arange(N), y].sum() / of_data(N) + strength / 2 * (w**2).sum()
        return loss, p.T @ x / of_gradients(N) + strength * w, p.sum(axis=0) / of_gradients(N)

    return {"softmax_regression": softmax_regression}


WRONG[3] = [
    (
        "as many classes as labels come up",
        {"softmax_regression": as_many_classes_as_labels},
        "classes above the largest label get no gradient from the pictures",
    ),
    (
        "regularisation of one row",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, dw - s * np.vstack([w[:-1], 0 * w[:1]]), db)),
        None,
    ),
    (
        "root of the squares",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss + s / 2 * (np.linalg.norm(w) - (w * w).sum()), dw, db)),
        "the penalty has the length of w, and not its square",
    ),
    (
        "no regularisation",
        {"softmax_regression": lambda w, b, x, y, s: solution.softmax_regression(w, b, x, y, 0)},
        "the regularisation is missing",
    ),
    (
        "regularisation without 1/2",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss + s / 2 * (w * w).sum(), dw, db)),
        "the 1/2 of the penalty is missing in the loss",
    ),
    (
        "regularisation of the bias",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss + s / 2 * b @ b, dw, db + s * b)),
        "the bias is regularised as well",
    ),
    (
        "regularisation of the bias, in its gradient",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, dw, db + s * b)),
        "db has a share of the regularisation, and the loss has none of b",
    ),
    (
        "regularisation divided by N",
        {"softmax_regression": lambda w, b, x, y, s: solution.softmax_regression(w, b, x, y, s / len(y))},
        "the regularisation is divided by N",
    ),
    (
        "mean of the squares",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss + s / 2 * ((w * w).mean() - (w * w).sum()), dw, db)),
        "the penalty is a mean of squares",
    ),
    ("loss a sum", classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss * len(y), dw, db)), None),
    (
        "dw without regularisation",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, dw - s * w, db)),
        "dw lacks the regularisation",
    ),
    (
        "dw with twice the regularisation",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, dw + s * w, db)),
        "dw has the regularisation twice",
    ),
    (
        "dw a sum",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, (dw - s * w) * len(y) + s * w, db)),
        "dw is a sum over the pictures",
    ),
    ("dw transposed", classifier_by(lambda loss, dw, db, *_: (loss, dw.T, db)), "dw is transposed"),
    ("db a mean", classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, dw, db / len(y))), "db is divided by N twice"),
    ("db of zeros", classifier_by(lambda loss, dw, db, *_: (loss, dw, 0 * db)), None),
    ("db with the wrong sign", classifier_by(lambda loss, dw, db, *_: (loss, dw, -db)), "db has the wrong sign"),
    (
        "1 subtracted in all labels' columns",
        {"softmax_regression": minus_all_labels},
        "1 is subtracted in the columns of all labels, in every row",
    ),
    (
        "divided by K",
        classifier_by(lambda loss, dw, db, w, b, x, y, s: (loss, (dw - s * w) * len(y) / len(b) + s * w, db * len(y) / len(b))),
        "the gradients are divided by the number of classes",
    ),
    (
        "labels from 1",
        {"softmax_regression": lambda w, b, x, y, s: solution.softmax_regression(w, b, x, y - 1, s)},
        "the labels are counted from 1",
    ),
    ("db missing", classifier_by(lambda loss, dw, db, *_: (loss, dw)), None),
    ("w changed", classifier_by(lambda loss, dw, db, w, *_: (loss, dw, np.multiply(w, 2, out=w).sum() + db)), None),
    ("loss of the data a sum", written_out(lambda N: 1, lambda N: N), "the loss is a sum over the pictures"),
    ("both gradients sums", written_out(lambda N: N, lambda N: 1), "dw and db are sums over the pictures"),
]
RIGHT[3] = [
    ("one-hot, and a list", {"softmax_regression": classifier_one_hot}),
    ("loops", {"softmax_regression": classifier_loops}),
    ("an array of no axes", classifier_by(lambda loss, dw, db, *_: (np.asarray(loss), np.asfortranarray(dw), db))),
]

# ---- choose, then test


def joined(*parts):
    return tuple(np.concatenate(pair) for pair in zip(*parts, strict=True))


def validation(fit, strength, train, val, test):
    return fit(*train, strength).score(*val)


def strongest(path, goodness):
    """The best by this measure, the strongest of several."""
    return max(path, key=lambda strength: (goodness(strength), strength))


def choice(goodness=validation, among=strongest, answer=lambda fit, best, path, train, val, test: None):
    """choose_regularisation() by another measure, with another rule for ties, with another answer at the end."""

    def choose_regularisation(fit, train, val, test, path):
        best = among(path, lambda strength: goodness(fit, strength, train, val, test))
        other = answer(fit, best, path, train, val, test)
        return (best, fit(*joined(train, val), best).score(*test)) if other is None else other

    return {"choose_regularisation": choose_regularisation}


def first_in_path(path, goodness):
    return max(path, key=goodness)


def last_in_path(path, goodness):
    return max(reversed(path), key=goodness)


def weakest(path, goodness):
    return max(path, key=lambda strength: (goodness(strength), -strength))


def by_test_between_equals(fit, strength, train, val, test):
    classifier = fit(*train, strength)
    return classifier.score(*val) + 1e-6 * classifier.score(*test)


def by_worse_of_two(fit, strength, train, val, test):
    classifier = fit(*train, strength)
    return min(classifier.score(*val), classifier.score(*test))


def crossed(fit, best, path, train, val, test):
    """Pictures of training and validation part, and their labels in another order."""
    x, y = np.concatenate([train[0], val[0]]), np.concatenate([val[1], train[1]])
    return best, fit(x, y, best).score(*test)


def also_curious(fit, strength, train, val, test):
    """Looks at the test part, and does not let it decide."""
    classifier = fit(*train, strength)
    classifier.score(*test)
    return np.mean(classifier.predict(val[0]) == val[1])


def sorted_and_argmax(path, goodness):
    strengths = np.sort(path)[::-1]
    return strengths[np.argmax([goodness(strength) for strength in strengths])]


def shuffled(fit, best, path, train, val, test):
    x, y = joined(val, train)
    order = np.random.default_rng(0).permutation(len(y))
    return best, fit(x[order].astype(np.float32), y[order], best).score(*test)


class BestOfAll:
    """Keeps its best from one call to the next."""

    best, accuracy = None, -1.0

    def choose_regularisation(self, fit, train, val, test, path):
        for strength in sorted(path, reverse=True):
            accuracy = fit(*train, strength).score(*val)
            if accuracy > self.accuracy:
                self.best, self.accuracy = strength, accuracy
        return self.best, fit(*joined(train, val), self.best).score(*test)


def test_part_in_spite_of_it_all(fit, strength, train, val, test):
    """Trains on the test part, and catches what the checker says to that."""
    with suppress(Exception):
        fit(*test, strength)
    return fit(*train, strength).score(*val)


WRONG[4] = [
    ("the best of all calls", Anew(BestOfAll, "choose_regularisation"), None),
    ("the test part in spite of it all", choice(test_part_in_spite_of_it_all), None),
    ("path sorted in place", choice(among=lambda path, goodness: path.sort() or strongest(path, goodness)), None),
    (
        "the middle of the path",
        choice(among=lambda path, goodness: path[len(path) // 2]),
        None,
    ),
    ("all but the strongest", choice(among=lambda path, goodness: strongest(sorted(path)[:-1], goodness)), None),
    (
        "twice the accuracy",
        choice(answer=lambda fit, best, path, train, val, test: (best, 2 * fit(*joined(train, val), best).score(*test))),
        None,
    ),
    ("by the test part", choice(lambda fit, s, train, val, test: fit(*train, s).score(*test)), "the test part decides"),
    (
        "by the training part",
        choice(lambda fit, s, train, val, test: fit(*train, s).score(*train)),
        "the weakest strength is chosen",
    ),
    ("by validation and test part", choice(lambda fit, s, train, val, test: fit(*train, s).score(*joined(val, test))), None),
    (
        "by training and validation part",
        choice(lambda fit, s, train, val, test: fit(*train, s).score(*joined(train, val))),
        "of equally good strengths the weakest is taken",
    ),
    ("by the worse of validation and test", choice(by_worse_of_two), None),
    ("by the test part between equals", choice(by_test_between_equals), None),
    (
        "trained on what it is chosen by",
        choice(lambda fit, s, train, val, test: fit(*joined(train, val), s).score(*val)),
        "the weakest strength is chosen",
    ),
    (
        "trained on the validation part",
        choice(lambda fit, s, train, val, test: fit(*val, s).score(*train)),
        "the weakest strength is chosen",
    ),
    ("trained on the test part", choice(lambda fit, s, train, val, test: fit(*joined(train, test), s).score(*val)), None),
    (
        "trained on the first ten",
        choice(lambda fit, s, train, val, test: fit(train[0][:10], train[1][:10], s).score(*val)),
        None,
    ),
    ("least accurate", choice(lambda fit, s, train, val, test: -fit(*train, s).score(*val)), "the weakest strength is chosen"),
    ("first of equals", choice(among=first_in_path), "of equally good strengths the weakest is taken"),
    ("last of equals", choice(among=last_in_path), "of equally good strengths the last of the path is taken"),
    ("weakest of equals", choice(among=weakest), "of equally good strengths the weakest is taken"),
    ("strongest of all", choice(among=lambda path, goodness: max(path)), "the strongest is chosen, whatever its accuracy"),
    ("number in the path", choice(answer=lambda fit, best, path, train, val, test: (path.index(best), 0.5)), None),
    (
        "not trained again",
        choice(answer=lambda fit, best, path, train, val, test: (best, fit(*train, best).score(*test))),
        "the last classifier is not trained on both parts",
    ),
    (
        "trained again for nothing",
        choice(
            answer=lambda fit, best, path, train, val, test: (
                fit(*joined(train, val), best) and (best, fit(*train, best).score(*test))
            )
        ),
        "the last classifier is not trained on both parts",
    ),
    (
        "trained again with the last of the path",
        choice(answer=lambda fit, best, path, train, val, test: (best, fit(*joined(train, val), path[-1]).score(*test))),
        "the last training is with the last strength of the path",
    ),
    (
        "trained again on the test part too",
        choice(answer=lambda fit, best, path, train, val, test: (best, fit(*joined(train, val, test), best).score(*test))),
        None,
    ),
    (
        "trained again on validation alone",
        choice(answer=lambda fit, best, path, train, val, test: (best, fit(*val, best).score(*test))),
        None,
    ),
    ("labels in another order", choice(answer=crossed), None),
    (
        "validation accuracy",
        choice(
            answer=lambda fit, best, path, train, val, test: (
                fit(*joined(train, val), best) and (best, fit(*train, best).score(*val))
            )
        ),
        "the validation accuracy is returned",
    ),
    (
        "validation accuracy of the last classifier",
        choice(answer=lambda fit, best, path, train, val, test: (best, fit(*joined(train, val), best).score(*val))),
        "the last classifier is asked about validation pictures, which it was trained on",
    ),
    (
        "training accuracy",
        choice(answer=lambda fit, best, path, train, val, test: (best, fit(*joined(train, val), best).score(*train))),
        None,
    ),
    (
        "share of wrong answers",
        choice(answer=lambda fit, best, path, train, val, test: (best, 1 - fit(*joined(train, val), best).score(*test))),
        "the share of wrong answers is returned",
    ),
    (
        "accuracy first",
        choice(answer=lambda fit, best, path, train, val, test: (fit(*joined(train, val), best).score(*test), best)),
        "strength and accuracy have changed places",
    ),
    ("strength alone", choice(answer=lambda fit, best, path, train, val, test: best), None),
]
RIGHT[4] = [
    (
        "loops over numbers",
        choice(among=lambda path, goodness: min(((-goodness(s), -s, i) for i, s in enumerate(path)))[1] * -1),
    ),
    ("by the largest pair", choice()),
    ("sorted, and argmax", choice(among=sorted_and_argmax)),
    ("by predictions, and curious", choice(also_curious)),
    ("joined the other way round and shuffled, float32", choice(answer=shuffled)),
    (
        "a list",
        choice(
            answer=lambda fit, best, path, train, val, test: [best, np.float64(fit(*joined(train, val), best).score(*test))]
        ),
    ),
]

# ---- a new head, and a frozen body


def new_head(network, num_classes, rng):
    name, old = list(network.layers.items())[-1]
    network.layers[name] = Linear(old.in_features, num_classes, rng=rng)


def headed_by(change):
    """replace_head_and_freeze(), and something else afterwards."""

    def replace_head_and_freeze(network, num_classes, until, rng):
        result = change(solution.replace_head_and_freeze(network, num_classes, until, rng), until)
        return network if result is None else result

    return {"replace_head_and_freeze": replace_head_and_freeze}


def frozen_by(freeze, unfreezes=True, head=new_head):
    """replace_head_and_freeze() with another way to freeze, or another head."""

    def replace_head_and_freeze(network, num_classes, until, rng):
        head(network, num_classes, rng)
        if unfreezes:
            network.unfreeze()
        freeze(network, until)
        return network

    return {"replace_head_and_freeze": replace_head_and_freeze}


def right_freeze(network, until):
    network.freeze(until=until)


def reversed_flags(network, until):
    for parameter in network.parameters().values():
        parameter.trainable = not parameter.trainable


def until_excluded(network, until):
    names = list(network.layers)
    for name in names[: names.index(until)]:
        network.layers[name].freeze()


def layer_by_layer_until(network, until):
    for name, layer in network.layers.items():
        layer.freeze()
        if name == until:
            break


def until_a_parameter_of_it(network, until):
    """Goes on to the end where ``until`` has no parameters."""
    reached = False
    for name, parameter in network.parameters().items():
        if reached and not name.startswith(until + "."):
            break
        parameter.trainable, reached = False, reached or name.startswith(until + ".")


def names_that_begin_alike(network, until):
    names = list(network.layers)
    for name, parameter in network.parameters().items():
        if name.startswith(tuple(names[: names.index(until) + 1])):
            parameter.trainable = False


def innermost_names(network, until):
    names = list(network.layers)
    for name, parameter in network.parameters().items():
        if name.rsplit(".", 1)[0] in names[: names.index(until) + 1]:
            parameter.trainable = False


def top_level_names(network, until):
    names = list(network.layers)
    lower = set(names[: names.index(until) + 1])
    for name, parameter in network.parameters().items():
        parameter.trainable = name.split(".")[0] not in lower


def without_norms(network, until):
    for layer in (layer for _, layer in network.split(until)[0].walk() if isinstance(layer, BatchNorm2d | Conv2d)):
        for name, parameter in layer.parameters().items():
            parameter.trainable = name != "w"


def own_weights(network, num_classes, rng):
    name, old = list(network.layers.items())[-1]
    network.layers[name] = Linear(old.in_features, num_classes)
    network.layers[name].w.value = rng.normal(0, 0.01, (num_classes, old.in_features)).astype(np.float32)


def head_of(make):
    """A last layer made by make(old, num_classes, rng)."""

    def head(network, num_classes, rng):
        name, old = list(network.layers.items())[-1]
        network.layers[name] = make(old, num_classes, rng)

    return frozen_by(right_freeze, head=head)


def with_values(layer, values):
    layer.w.value[...] = values
    return layer


def in_float64(old, num_classes, rng):
    return Linear(old.in_features, num_classes, rng=rng).astype(np.float64)


def under_another_name(network, until):
    network.layers["new_scores"] = network.layers.pop("scores")


def with_a_forward_pass(network, until):
    network.train().forward(np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32))


def always_scores(network, num_classes, rng):
    network.layers["scores"] = Linear(network.layers["scores"].in_features, num_classes, rng=rng)


def weights_exchanged(old, num_classes, rng):
    head = Linear(old.in_features, old.out_features, rng=rng)
    head.w.value = head.w.value[:1].repeat(num_classes, axis=0) * rng.standard_normal((num_classes, 1)).astype(np.float32)
    head.b.value = np.zeros(num_classes, np.float32)
    return head


def bias_of_the_old_head(old, num_classes, rng):
    head = Linear(old.in_features, num_classes, rng=rng)
    head.b.value = old.b.value.copy()
    return head


def a_flag_on_the_layers(network, until):
    for name, layer in network.layers.items():
        vars(layer)["frozen"] = True
        if name == until:
            break


def trainable_on_the_layers(network, until):
    network.layers[until].trainable = False


WRONG[5] = [
    ("always the layer scores", frozen_by(right_freeze, head=always_scores), None),
    ("always seven inputs", head_of(lambda old, num_classes, rng: Linear(7, num_classes, rng=rng)), None),
    ("always three classes", head_of(lambda old, num_classes, rng: Linear(old.in_features, 3, rng=rng)), None),
    ("weights exchanged in an old layer", head_of(weights_exchanged), None),
    ("bias of the old head", head_of(bias_of_the_old_head), None),
    ("a flag on the layers", frozen_by(a_flag_on_the_layers), "the layer named by until can still be trained"),
    ("trainable on the layers", frozen_by(trainable_on_the_layers), None),
    (
        "until alone",
        frozen_by(lambda network, until: network.layers[until].freeze()),
        "only the layer named by until is frozen, and nothing below it",
    ),
    ("the wrong way round", headed_by(reversed_flags), "what should be frozen is trainable, and the other way round"),
    ("until excluded", frozen_by(until_excluded), "the layer named by until can still be trained"),
    ("until its parameters", frozen_by(until_a_parameter_of_it), "a layer without parameters is never reached"),
    ("names that begin alike", frozen_by(names_that_begin_alike), "layers whose names only begin alike are frozen as well"),
    ("names of the innermost layers", frozen_by(innermost_names), "layers inside others are not frozen"),
    ("weights only", frozen_by(without_norms), "only weights are frozen, and not biases, gamma and beta"),
    ("everything", frozen_by(lambda network, until: network.freeze()), "everything is frozen, the new head too"),
    (
        "everything but the head",
        frozen_by(lambda network, until: network.split("dropout")[0].freeze()),
        "everything but the head is frozen, whatever until says",
    ),
    ("nothing", frozen_by(lambda network, until: None), "the layer named by until can still be trained"),
    ("frozen before, and still", frozen_by(right_freeze, unfreezes=False), "what was frozen before stays frozen"),
    (
        "the old head",
        frozen_by(right_freeze, head=lambda network, num_classes, rng: None),
        "the last layer is still the old one",
    ),
    (
        "as many classes as before",
        head_of(lambda old, num_classes, rng: Linear(old.in_features, old.out_features, rng=rng)),
        "the new head has as many outputs as the old one",
    ),
    (
        "as many inputs as old classes",
        head_of(lambda old, num_classes, rng: Linear(old.w.value.shape[0], num_classes, rng=rng)),
        "the new head has as many inputs as the old one had outputs",
    ),
    (
        "inputs and outputs exchanged",
        head_of(lambda old, num_classes, rng: Linear(num_classes, old.in_features, rng=rng)),
        "inputs and outputs of the new head have changed places",
    ),
    (
        "weights of the old head",
        head_of(lambda old, num_classes, rng: with_values(Linear(old.in_features, num_classes), old.w.value[:num_classes])),
        None,
    ),
    (
        "weights of zeros",
        head_of(lambda old, num_classes, rng: with_values(Linear(old.in_features, num_classes), 0)),
        "all weights of the new head are 0",
    ),
    ("rng not used", head_of(lambda old, num_classes, rng: Linear(old.in_features, num_classes)), None),
    (
        "always the same rng",
        head_of(lambda old, num_classes, rng: Linear(old.in_features, num_classes, rng=0)),
        "the new head has a seed of its own",
    ),
    ("float64", head_of(in_float64), None),
    ("a convolution", head_of(lambda old, num_classes, rng: Conv2d(old.in_features, num_classes, 1, rng=rng)), None),
    ("another name", headed_by(under_another_name), None),
    ("a copy", headed_by(lambda network, until: network.copy()), None),
    ("the lower half", headed_by(lambda network, until: network.split(until)[0]), None),
    ("statistics changed", headed_by(with_a_forward_pass), None),
]
RIGHT[5] = [
    ("in other words", frozen_by(lambda network, until: network.freeze(names=list(network.split(until)[0].layers)))),
    ("without a bias", head_of(lambda old, num_classes, rng: Linear(old.in_features, num_classes, bias=False, rng=rng))),
    ("layer by layer", frozen_by(layer_by_layer_until)),
    ("the lower half frozen", frozen_by(lambda network, until: network.split(until)[0].freeze())),
    ("parameters by their top-level layer", frozen_by(top_level_names, unfreezes=False)),
    ("by replace_head()", frozen_by(right_freeze, head=lambda network, classes, rng: network.replace_head(classes, rng))),
    ("own weights", frozen_by(right_freeze, head=own_weights)),
    (
        "frozen before the head is new",
        {
            "replace_head_and_freeze": lambda network, num_classes, until, rng: (
                network.unfreeze().freeze(until=until),
                new_head(network, num_classes, rng),
                network,
            )[-1]
        },
    ),
]

# ---- learning-rate groups


def rates(is_head, new=lambda old, ratio: ratio, of_head=lambda old: 1.0):
    def set_learning_rates(network, head, ratio):
        for name, parameter in network.parameters().items():
            old = parameter.learning_rate_multiplier
            parameter.learning_rate_multiplier = of_head(old) if is_head(name, head, network) else new(old, ratio)
        return network

    return {"set_learning_rates": set_learning_rates}


def in_head(name, head, network):
    return name.startswith(f"{head}.")


def with_frozen_body(network, head, ratio):
    solution.set_learning_rates(network, head, ratio).freeze()
    network.layers[head].unfreeze()
    return network


def weights_only(network, head, ratio):
    for name, parameter in network.parameters().items():
        if name.endswith(".w"):
            parameter.learning_rate_multiplier = 1.0 if name.startswith(f"{head}.") else ratio
    return network


def top_level_weights(network, head, ratio):
    for name, layer in network.layers.items():
        for own in ("w", "b", "gamma", "beta"):
            if hasattr(layer, own):
                getattr(layer, own).learning_rate_multiplier = 1.0 if name == head else ratio
    return network


def by_layer(network, head, ratio):
    for name, layer in network.layers.items():
        for parameter in layer.parameters().values():
            parameter.learning_rate_multiplier = 1 if name == head else np.float32(ratio)
    return network


def scaled_weights(network, head, ratio):
    for name, parameter in solution.set_learning_rates(network, head, ratio).parameters().items():
        parameter.value *= 1.0 if name.startswith(f"{head}.") else ratio
    return network


WRONG[6] = [
    (
        "names that begin alike",
        rates(lambda name, head, network: name.startswith(head)),
        "layers whose names begin like the head's count as well",
    ),
    (
        "names that contain it",
        rates(lambda name, head, network: head in name),
        "layers whose names contain the head's count as well",
    ),
    (
        "names that contain it, with a dot",
        rates(lambda name, head, network: f"{head}." in name),
        "layers whose names end like the head's count as well",
    ),
    (
        "names of the innermost layers",
        rates(lambda name, head, network: name.split(".")[-2] == head),
        "a layer of the head's name inside another one counts as well",
    ),
    (
        "always scores",
        rates(lambda name, head, network: name.startswith("scores.")),
        "the head is looked for under a name that is always the same",
    ),
    (
        "always the last layer",
        rates(lambda name, head, network: name.startswith(list(network.layers)[-1])),
        "the last layer is taken for the head",
    ),
    (
        "exchanged",
        rates(lambda name, head, network: not in_head(name, head, network)),
        "the head and all others have changed places",
    ),
    (
        "multiplied",
        rates(in_head, new=lambda old, ratio: old * ratio),
        "the multiplier is multiplied by the ratio, and not set to it",
    ),
    ("head as it was", rates(in_head, of_head=lambda old: old), "the head keeps the multiplier that it had"),
    ("body as it was", rates(in_head, new=lambda old, ratio: old), "the others keep the multiplier that they had"),
    ("one over the ratio", rates(in_head, new=lambda old, ratio: 1 / ratio), "the others get 1 / ratio"),
    ("always a tenth", rates(in_head, new=lambda old, ratio: 0.1), None),
    ("all alike", rates(lambda name, head, network: False), "the head gets the ratio as well"),
    ("weights only", {"set_learning_rates": weights_only}, "only weights get their multiplier, and not biases, gamma and beta"),
    ("top-level layers only", {"set_learning_rates": top_level_weights}, "layers inside others are left out"),
    ("body frozen", {"set_learning_rates": with_frozen_body}, "the pretrained layers are frozen"),
    ("weights scaled", {"set_learning_rates": scaled_weights}, None),
    ("a copy", {"set_learning_rates": lambda network, *how: solution.set_learning_rates(network.copy(), *how)}, None),
    (
        "nothing returned",
        {"set_learning_rates": lambda *arguments: solution.set_learning_rates(*arguments) and None},
        "the network is not returned",
    ),
]
RIGHT[6] = [
    ("layer by layer", {"set_learning_rates": by_layer}),
    ("by the top-level name", rates(lambda name, head, network: name.split(".")[0] == head)),
    (
        "by identity",
        rates(
            lambda name, head, network: any(p is network.parameters()[name] for p in network.layers[head].parameters().values())
        ),
    ),
]
