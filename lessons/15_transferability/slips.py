"""Lesson 15: the mistakes that people make in its exercise, as functions that make them.

Each is the solution with one thing wrong, out of a base for each function with a switch for each thing that can be wrong.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import solution

from minicnn.course import Slip
from minicnn.layers import BatchNorm2d, Layer
from minicnn.models import Model

Functions = dict[str, Callable[..., Any]]
norm = np.linalg.norm


# ---- Task 1: linear CKA, by features and by kernels


def by_columns(z: np.ndarray) -> np.ndarray:
    return z - z.mean(axis=0)


def as_given(z: np.ndarray) -> np.ndarray:
    return z


def over(a: float, b: float) -> float:
    return float(a / b) if b > 0 else 0.0


def right_ratio(x: np.ndarray, y: np.ndarray) -> float:
    return over(norm(y.T @ x) ** 2, norm(x.T @ x) * norm(y.T @ y))


def by_features(
    of_x: Callable = by_columns,
    of_y: Callable | None = None,
    ratio: Callable = right_ratio,
    dtype: type = np.float64,
) -> Functions:
    """linear_cka() with other centring, another ratio, or computed in another dtype."""

    def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
        return ratio(of_x(np.asarray(x, dtype)), (of_y or of_x)(np.asarray(y, dtype)))

    return {"linear_cka": linear_cka}


def of_samples(x: np.ndarray, y: np.ndarray) -> float:
    return over(norm(x @ y.T) ** 2, norm(x @ x.T) * norm(y @ y.T))


def never_small(x: np.ndarray, y: np.ndarray) -> float:
    return 0.0 if min(norm(x.T @ x), norm(y.T @ y)) < 1e-12 else right_ratio(x, y)


CENTRING = "What does CKA become if somebody adds 100 to a feature of all samples? It should be what it was."
FEATURE_SLIPS = (
    Slip(
        "The columns of x and y are not centred",
        CENTRING,
        by_features(as_given),
        r"\.T|einsum|norm",
    ),
    Slip(
        "Only x is centred",
        f"{CENTRING} The numerator does not show it, the denominator does.",
        by_features(by_columns, as_given),
        r"y\.T|y",
    ),
    Slip(
        "Only y is centred",
        f"{CENTRING} The numerator does not show it, the denominator does.",
        by_features(as_given, by_columns),
        r"x\.T|x",
    ),
    Slip(
        "The rows are centred, and not the columns",
        "A column is a feature: its mean over the samples is what must become 0. Along which axis do the samples lie?",
        by_features(lambda z: z - z.mean(axis=1, keepdims=True)),
        r"mean",
    ),
    Slip(
        "One mean is subtracted from everything",
        "Each feature has a mean of its own.",
        by_features(lambda z: z - z.mean()),
        r"mean\(\)|mean",
    ),
    Slip(
        "The columns are standardised as well",
        "Features that vary more weigh more in linear CKA. Divided by their standard deviation, they would all weigh alike.",
        by_features(lambda z: (z - z.mean(axis=0)) / z.std(axis=0)),
        r"std|var",
    ),
    Slip(
        "The norm in the numerator is not squared",
        "Double x. The denominator grows by 4: what must the numerator do?",
        by_features(ratio=lambda x, y: over(norm(y.T @ x), norm(x.T @ x) * norm(y.T @ y))),
        r"norm|sum",
    ),
    Slip(
        "It is the square root of CKA",
        "The numerator is the square of a norm; each norm in the denominator stands there once.",
        by_features(ratio=lambda x, y: np.sqrt(right_ratio(x, y))),
        r"sqrt|norm|\*\*",
    ),
    Slip(
        "The denominator has |x|^2 |y|^2 in place of |x^T x| |y^T y|",
        "With y = x the CKA must be 1. Is it?",
        by_features(ratio=lambda x, y: over(norm(y.T @ x) ** 2, norm(x) ** 2 * norm(y) ** 2)),
        r"norm|sum|/",
    ),
    Slip(
        "The norms in the denominator are squared",
        "Double x. The numerator grows by 4: what must the denominator do?",
        by_features(ratio=lambda x, y: over(norm(y.T @ x) ** 2, (norm(x.T @ x) * norm(y.T @ y)) ** 2)),
        r"norm|sum|\*\*",
    ),
    Slip(
        "The norm of a matrix is its largest singular value",
        "Here |A| is the Frobenius norm, of all entries. np.linalg.norm(A, 2) of a matrix is another one.",
        by_features(ratio=lambda x, y: over(norm(y.T @ x, 2) ** 2, norm(x.T @ x, 2) * norm(y.T @ y, 2))),
        r"norm|svd",
    ),
    Slip(
        "The norm of a matrix is the sum of its singular values",
        "Here |A| is the Frobenius norm: the root of the sum of the squares of all entries, or of all singular values.",
        by_features(ratio=lambda x, y: over(norm(y.T @ x, "nuc") ** 2, norm(x.T @ x, "nuc") * norm(y.T @ y, "nuc"))),
        r"norm|svd|trace",
    ),
    Slip(
        "The products run over the features, and not over the samples",
        "The number of samples N is what both have in common; D and E may differ. Of which shape is y^T x?",
        by_features(ratio=of_samples),
        r"@|einsum|dot",
    ),
    *(
        Slip(
            "It is computed in float32",
            "Codes of 1e15 have products of 1e30, and the squares of those are more than float32 can hold.",
            by_features(ratio=ratio, dtype=np.float32),
            r"norm|@|einsum|sum",
        )
        for ratio in (right_ratio, lambda x, y: norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y)))
    ),
    Slip(
        "A representation that does not vary gives NaN",
        "If all rows of x are equal, what is left of it after centring, and what do you divide by?",
        by_features(ratio=lambda x, y: norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y))),
        r"/",
    ),
    Slip(
        "Small codes are taken for codes that do not vary",
        "Codes of 1e-15 vary like others. What is exactly 0 if nothing varies?",
        by_features(ratio=never_small),
        r"<|isclose|allclose|1e-|eps",
    ),
)


def double_centred(M: np.ndarray) -> np.ndarray:
    return M - M.mean(axis=0) - M.mean(axis=1, keepdims=True) + M.mean()


def right_cosine(K: np.ndarray, L: np.ndarray) -> float:
    return over((K * L).sum(), norm(K) * norm(L))


def by_kernels(of_K: Callable = double_centred, of_L: Callable | None = None, ratio: Callable = right_cosine) -> Functions:
    """kernel_cka() with other centring, or another ratio."""
    return {"kernel_cka": lambda K, L: ratio(of_K(K), (of_L or of_K)(L))}


CENTRED = "Look at the means of the rows and of the columns of your Kc: all must be 0."
KERNEL_SLIPS = (
    Slip("The kernels are not centred", CENTRED, by_kernels(as_given), r"sum|trace|norm|@"),
    Slip(
        "The kernels are centred along one axis only",
        f"{CENTRED} H stands on both sides of K.",
        by_kernels(by_columns),
        r"mean|H",
    ),
    Slip(
        "One mean is subtracted from the whole kernel",
        CENTRED,
        by_kernels(lambda M: M - M.mean()),
        r"mean",
    ),
    Slip(
        "The mean of the whole kernel is not added again",
        f"{CENTRED} If you subtract the means of rows and of columns, what has been subtracted twice?",
        by_kernels(lambda M: M - M.mean(axis=0) - M.mean(axis=1, keepdims=True)),
        r"mean",
    ),
    Slip(
        "The mean of the whole kernel is subtracted, not added",
        f"{CENTRED} Multiply H K H out, with H = I - J / N: which sign has the last term?",
        by_kernels(lambda M: M - M.mean(axis=0) - M.mean(axis=1, keepdims=True) - M.mean()),
        r"mean",
    ),
    Slip(
        "Only K is centred",
        "The numerator does not show it, the denominator does.",
        by_kernels(double_centred, as_given),
        r"L",
    ),
    Slip(
        "Only L is centred",
        "The numerator does not show it, the denominator does.",
        by_kernels(as_given, double_centred),
        r"K",
    ),
    Slip(
        "H is I - J, without the division by N",
        "What must H do to a column whose entries are all equal?",
        by_kernels(lambda M: (H := np.eye(len(M)) - 1) @ M @ H),
        r"ones|eye|H",
    ),
    Slip(
        "There is no square root in the denominator",
        "With L = K the CKA must be 1. Is it?",
        by_kernels(ratio=lambda K, L: over((K * L).sum(), (K * K).sum() * (L * L).sum())),
        r"/",
    ),
    Slip(
        "It is the square of CKA",
        "The numerator is a sum of products, as it is; there is no square around it.",
        by_kernels(ratio=lambda K, L: right_cosine(K, L) ** 2),
        r"\*\*",
    ),
    Slip(
        "The denominator has the traces of the kernels",
        "With L = K the CKA must be 1. Is it?",
        by_kernels(ratio=lambda K, L: over((K * L).sum(), np.trace(K) * np.trace(L))),
        r"trace",
    ),
    Slip(
        "Only the diagonals are summed",
        "trace(A @ B) is the sum of A[n, m] B[m, n] over all n and m; trace(A * B) is the sum over the diagonal alone.",
        by_kernels(
            ratio=lambda K, L: over(np.trace(K * L), np.sqrt(np.trace(K * K) * np.trace(L * L))),
        ),
        r"trace|diag",
    ),
    Slip(
        "A kernel that does not vary gives NaN",
        "If K is the same for all pairs, what is left of it after centring, and what do you divide by?",
        by_kernels(ratio=lambda K, L: (K * L).sum() / (norm(K) * norm(L))),
        r"/",
    ),
)

# ---- Task 2: probes


def ridge_by(
    penalty: Callable = lambda strength, N, D: N * strength * np.eye(D),
    target: Callable = lambda y, classes: np.eye(classes)[y],
    of_x: Callable = lambda x: x.mean(axis=0),
    bias: Callable = lambda qm, w, xm: qm - w @ xm,
    finish: Callable = lambda w, b: (w, b),
) -> Functions:
    """ridge_probe() with another penalty, other targets, another centre of x, another bias."""

    def ridge_probe(x: np.ndarray, y: np.ndarray, classes: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
        q, xm = target(y, classes), of_x(x)
        xc, qm = x - xm, q.mean(axis=0)
        w = np.linalg.solve(xc.T @ xc + penalty(strength, *x.shape), xc.T @ (q - qm)).T
        return finish(w, bias(qm, w, xm))

    return {"ridge_probe": ridge_probe}


def bias_penalised(x: np.ndarray, y: np.ndarray, classes: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    with_ones = np.column_stack([x, np.ones(len(x))])
    theta = np.linalg.solve(
        with_ones.T @ with_ones + len(x) * strength * np.eye(x.shape[1] + 1), with_ones.T @ np.eye(classes)[y]
    )
    return theta[:-1].T, theta[-1]


def without_bias(x: np.ndarray, y: np.ndarray, classes: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    w = np.linalg.solve(x.T @ x + len(x) * strength * np.eye(x.shape[1]), x.T @ np.eye(classes)[y]).T
    return w, np.zeros(classes)


def without_penalty(x: np.ndarray, y: np.ndarray, classes: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    q = np.eye(classes)[y]
    w = (np.linalg.pinv(x - x.mean(axis=0)) @ (q - q.mean(axis=0))).T
    return w, q.mean(axis=0) - w @ x.mean(axis=0)


def standardised(x: np.ndarray, y: np.ndarray, classes: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    return solution.ridge_probe((x - x.mean(axis=0)) / x.std(axis=0), y, classes, strength)


def divided_twice(x: np.ndarray, y: np.ndarray, classes: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    w, _ = solution.ridge_probe(x, y, classes, strength)
    w = w / len(x)
    return w, np.eye(classes)[y].mean(axis=0) - w @ x.mean(axis=0)


TRANSPOSED = "A row of w belongs to a class, as in all layers of this course: w is (classes, D)."
RIDGE_SLIPS = (
    Slip(
        "The strength is not multiplied by N",
        "The first part of the loss is a mean over the samples, the penalty is not. What does multiplying all by N give?",
        ridge_by(lambda strength, N, D: strength * np.eye(D)),
        r"eye|strength",
    ),
    Slip(
        "The strength is divided by N",
        "The first part of the loss is a mean over the samples, the penalty is not. What does multiplying all by N give?",
        ridge_by(lambda strength, N, D: strength / N * np.eye(D)),
        r"eye|strength",
    ),
    Slip(
        "The strength is halved",
        "There is no half in front of this penalty, nor in front of the squares.",
        ridge_by(lambda strength, N, D: N * strength / 2 * np.eye(D)),
        r"/ ?2|0\.5",
    ),
    Slip(
        "The strength is doubled",
        "Both parts of the loss are squares: the 2 of their derivatives cancels.",
        ridge_by(lambda strength, N, D: 2 * N * strength * np.eye(D)),
        r"2",
    ),
    Slip(
        "The strength is multiplied by the number of features",
        "N is the number of samples, and D that of features.",
        ridge_by(lambda strength, N, D: D * strength * np.eye(D)),
        r"shape|len|strength",
    ),
    Slip(
        "The penalty is added to all entries, and not to the diagonal",
        "I is the identity: 1 on the diagonal and 0 elsewhere.",
        ridge_by(lambda strength, N, D: np.full((D, D), N * strength)),
        r"strength",
    ),
    Slip(
        "There is no penalty",
        "What is the argument strength for?",
        {"ridge_probe": without_penalty},
        r"lstsq|pinv|inv|solve",
    ),
    Slip(
        "The bias is penalised, too",
        "A column of ones makes the bias one more weight. Which entry of the penalty must then be 0?",
        {"ridge_probe": bias_penalised},
        r"ones|eye",
    ),
    Slip(
        "There is no bias, and nothing is centred",
        "The best w for centred codes is another one than that for codes as they come.",
        {"ridge_probe": without_bias},
        r"solve|inv|zeros",
    ),
    Slip(
        "The codes are not centred",
        "The bias is right, given w. But w itself must come from codes and targets of mean 0.",
        ridge_by(of_x=lambda x: np.zeros(x.shape[1]), bias=lambda qm, w, xm: qm),
        r"mean|solve|inv",
    ),
    Slip(
        "The bias leaves out w times the mean code",
        "w was found for codes of mean 0; it will be given codes as they come.",
        ridge_by(bias=lambda qm, w, xm: qm),
        r"return|b =",
    ),
    Slip(
        "The bias adds w times the mean code",
        "w (x - xm) + qm = w x + b: which sign does w xm have in b?",
        ridge_by(bias=lambda qm, w, xm: qm + w @ xm),
        r"\+",
    ),
    Slip(
        "The bias leaves out the mean of the targets",
        "w (x - xm) + qm = w x + b: what is in b besides w xm?",
        ridge_by(bias=lambda qm, w, xm: -w @ xm),
        r"return|b =",
    ),
    Slip(
        "The targets are 1 and -1",
        "Here q is 0 for the wrong classes.",
        ridge_by(target=lambda y, classes: 2 * np.eye(classes)[y] - 1),
        r"- ?1",
    ),
    Slip(
        "There are only as many classes as the largest label says",
        "A class that no training sample has still has a row. What is the argument classes for?",
        ridge_by(target=lambda y, classes: np.eye(y.max() + 1)[y]),
        r"max|unique|set\(",
    ),
    Slip(
        "There are only as many classes as occur",
        "A class that no training sample has still has a row. What is the argument classes for?",
        ridge_by(target=lambda y, classes: np.eye(len(np.unique(y)))[np.unique(y, return_inverse=True)[1]]),
        r"unique|set\(",
    ),
    Slip("w is transposed", TRANSPOSED, ridge_by(finish=lambda w, b: (w.T, b)), r"return|solve|inv"),
    Slip(
        "The codes are standardised, and w fits those only",
        "w is for codes as they come. Nothing in the loss divides them by a standard deviation.",
        {"ridge_probe": standardised},
        r"std|var",
    ),
    Slip(
        "w is divided by N once too often",
        "The 1/N of the loss stands before both xc^T xc and qc^T xc: after multiplying by N it is in neither.",
        {"ridge_probe": divided_twice},
        r"/",
    ),
)


def curve_by(
    chooses: Callable = lambda right, train, val, test: right[val].mean(),
    tie: Callable = lambda strengths: sorted(strengths, reverse=True),
    trained: Callable = lambda train, val, test: train,
    final: Callable | None = None,
    accuracy: Callable = lambda right, train, val, test: right[test].mean(),
    finish: Callable = lambda chosen, accuracies: (chosen, accuracies),
) -> Functions:
    """probe_curve() that chooses by something else, breaks ties another way, trains on or tests with other samples."""

    def probe_curve(
        codes: Sequence[np.ndarray], y: np.ndarray, train: Any, val: Any, test: Any, classes: int, strengths: Sequence[float]
    ) -> tuple[np.ndarray, np.ndarray]:
        def right_with(x: np.ndarray, rows: np.ndarray, strength: float) -> np.ndarray:
            w, b = solution.ridge_probe(x[rows], y[rows], classes, strength)
            return (x @ w.T + b).argmax(axis=1) == y

        chosen, accuracies = [], []
        for x in codes:
            rows = trained(train, val, test)
            scores = {s: chooses(right_with(x, rows, s), train, val, test) for s in tie(strengths)}
            best = max(scores, key=scores.get)  # the first one of equals
            right = right_with(x, final(train, val, test) if final else rows, best)
            chosen.append(best)
            accuracies.append(accuracy(right, train, val, test))
        return finish(np.array(chosen, float), np.array(accuracies, float))

    return {"probe_curve": probe_curve}


def one_strength(
    codes: Sequence[np.ndarray], y: np.ndarray, train: Any, val: Any, test: Any, classes: int, strengths: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    curves = {s: [] for s in sorted(strengths, reverse=True)}
    for s, parts in curves.items():
        for x in codes:
            w, b = solution.ridge_probe(x[train], y[train], classes, s)
            right = (x @ w.T + b).argmax(axis=1) == y
            parts.append((right[val].mean(), right[test].mean()))
    best = max(curves, key=lambda s: np.mean([on_val for on_val, _ in curves[s]]))
    return np.full(len(codes), float(best)), np.array([on_test for _, on_test in curves[best]])


def joined(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts)


CURVE_SLIPS = (
    Slip(
        "The strength is chosen by the test samples",
        "Then the test accuracy is the best of several, and no longer an honest one.",
        curve_by(lambda right, train, val, test: right[test].mean()),
        r"test",
    ),
    Slip(
        "The strength is chosen by the training samples",
        "They always like the weakest penalty.",
        curve_by(lambda right, train, val, test: right[train].mean()),
        r"train",
    ),
    Slip(
        "Of strengths that are equally good, the weakest is chosen",
        "Ties go to the strongest. Do you compare with > or with >=, and in which order do you try them?",
        curve_by(tie=sorted),
        r">=|>|sorted|max",
    ),
    Slip(
        "Of strengths that are equally good, the first of the list is chosen",
        "The strengths come in any order, and ties go to the strongest.",
        curve_by(tie=list),
        r">|max|for .* in strengths",
    ),
    Slip(
        "Of strengths that are equally good, the last of the list is chosen",
        "The strengths come in any order, and ties go to the strongest.",
        curve_by(tie=lambda strengths: list(strengths)[::-1]),
        r">=|max|for .* in strengths",
    ),
    Slip(
        "The worst strength is chosen",
        "The highest validation accuracy is the best one.",
        curve_by(lambda right, train, val, test: -right[val].mean()),
        r"<|min",
    ),
    Slip(
        "The probe is trained again, on training and validation samples",
        "That is a good habit with few samples, but here the probe that was chosen is tested as it is.",
        curve_by(final=lambda train, val, test: joined(train, val)),
        r"concatenate|hstack|append|union|r_",
    ),
    Slip(
        "All probes are trained on training and validation samples",
        "Then the validation samples are not new to the probes, and cannot choose.",
        curve_by(trained=lambda train, val, test: joined(train, val)),
        r"concatenate|hstack|append|union|r_",
    ),
    Slip(
        "The probes are trained on all samples",
        "x has the samples of all three parts, and some of none. Which rows are for training?",
        {
            "probe_curve": lambda codes, y, train, val, test, classes, strengths: curve_by(
                trained=lambda *parts: np.arange(len(y))
            )["probe_curve"](codes, y, train, val, test, classes, strengths)
        },
        r"ridge_probe",
    ),
    Slip(
        "The accuracies are those on the validation samples",
        "These have chosen the strength, and it is no surprise that they like it.",
        curve_by(accuracy=lambda right, train, val, test: right[val].mean()),
        r"append|return",
    ),
    Slip(
        "The accuracies are those on the training samples",
        "The question is what a probe says of samples that it has not seen.",
        curve_by(accuracy=lambda right, train, val, test: right[train].mean()),
        r"append|return",
    ),
    Slip(
        "The accuracies are those on all samples together",
        "Which rows belong to the test part?",
        curve_by(accuracy=lambda right, train, val, test: right.mean()),
        r"mean",
    ),
    Slip(
        "It is the share of mistakes",
        "Accuracy is the share that is right.",
        curve_by(accuracy=lambda right, train, val, test: 1 - right[test].mean()),
        r"!=|1 ?-",
    ),
    Slip(
        "It is the number of right answers",
        "Accuracy is their share.",
        curve_by(accuracy=lambda right, train, val, test: right[test].sum()),
        r"sum",
    ),
    Slip(
        "One strength is chosen for all layers together",
        "Layers have codes of different size and number; each chooses for itself.",
        {"probe_curve": one_strength},
        r"mean|sum",
    ),
    Slip(
        "The two results come back in the wrong order",
        "Which one was asked for first?",
        curve_by(finish=lambda chosen, accuracies: (accuracies, chosen)),
        r"return",
    ),
)

# ---- Task 3: transfer


def moved_by(
    count: Callable = lambda n, names: n,
    bring: Callable = lambda source, fresh: copy.deepcopy(source),
    keep: Callable = copy.deepcopy,
    flags: Callable | None = None,
    once: bool = False,
    order: Callable = lambda depths: depths,
) -> Functions:
    """transfer_curve() with other numbers of layers, which brings, keeps or freezes something else.

    ``flags(network, names, n, frozen)`` sets trainable; by default rightly. ``once``: one network serves for all depths.
    """

    def transfer_curve(source: Model, fresh: Model, depths: Sequence[int], frozen: bool, train: Callable) -> np.ndarray:
        names, accuracies, network = list(fresh.layers), [], keep(fresh)
        for n in order(depths):
            network = network if once else keep(fresh)
            for name in names[: max(count(n, names), 0)]:
                network.layers[name] = bring(source.layers[name], fresh.layers[name])
            (flags or freeze_first)(network, names, n, frozen)
            accuracies.append(train(network))
        return np.array(accuracies, float)

    return {"transfer_curve": transfer_curve}


def set_flags(layer: Layer, trainable: bool) -> None:
    for parameter in layer.parameters().values():
        parameter.trainable = trainable


def freeze_first(network: Model, names: list[str], n: int, frozen: bool) -> None:
    for i, name in enumerate(names):
        set_flags(network.layers[name], not (frozen and i < n))


def freeze_only(network: Model, names: list[str], n: int, frozen: bool) -> None:
    """As a deepcopy alone would: what is frozen already stays so."""
    for name in names[:n] if frozen else ():
        set_flags(network.layers[name], False)


def freeze_alike_names(network: Model, names: list[str], n: int, frozen: bool) -> None:
    for path, parameter in network.parameters().items():
        parameter.trainable = not (frozen and any(path.startswith(name) for name in names[:n]))


def freeze_weights_only(network: Model, names: list[str], n: int, frozen: bool) -> None:
    for path, parameter in network.parameters().items():
        parameter.trainable = not (frozen and path.split(".")[0] in names[:n] and path.endswith(".w"))


def parameters_only(source: Layer, fresh: Layer, which: Callable = lambda name: True, statistics: bool = False) -> Layer:
    """A copy of fresh's layer with the parameters of source's whose names ``which`` accepts."""
    layer = copy.deepcopy(fresh)
    for name, parameter in layer.parameters().items():
        if which(name):
            parameter.value = source.parameters()[name].value.copy()
    if statistics:
        for name, array in layer.state().items():
            array[...] = source.state()[name]
    return layer


def shared_arrays(source: Layer, fresh: Layer) -> Layer:
    layer = copy.deepcopy(source)
    for name, parameter in layer.parameters().items():
        parameter.value = source.parameters()[name].value
    return layer


def statistics_reset(source: Layer, fresh: Layer) -> Layer:
    layer = copy.deepcopy(source)
    for _, inner in layer.walk():
        if isinstance(inner, BatchNorm2d):
            inner.running_mean[...], inner.running_var[...] = 0, 1
    return layer


def of_source(source: Model, fresh: Model, depths: Sequence[int], frozen: bool, train: Callable) -> np.ndarray:
    accuracies = []
    for n in depths:
        network = copy.deepcopy(source)
        freeze_first(network, list(network.layers), n, frozen)
        accuracies.append(train(network))
    return np.array(accuracies, float)


ALIASES = "Training changes arrays in place. Whose arrays are they, and who needs them as they were?"
TRANSFER_SLIPS = (
    Slip(
        "The layers of source are put in themselves, not copies of them",
        ALIASES,
        moved_by(bring=lambda source, fresh: source),
        r"source\.layers",
    ),
    Slip(
        "The weights are those of source themselves, not copies of them",
        f"{ALIASES} An assignment of an array copies nothing.",
        moved_by(bring=shared_arrays),
        r"\.value",
    ),
    Slip(
        "The upper layers are those of fresh themselves, not copies of them",
        ALIASES,
        moved_by(keep=lambda fresh: Model(fresh.layers, architecture=fresh.architecture, input_shape=fresh.input_shape)),
        r"fresh",
    ),
    Slip(
        "The running statistics are left behind",
        "With another layer's mean and variance the same weights compute something else. What is in layer.state()?",
        moved_by(bring=parameters_only),
        r"parameters\(\)|value",
    ),
    Slip(
        "The running statistics are set back",
        "In use, and where it is frozen, batch norm works with the statistics that it has. Whose should they be?",
        moved_by(bring=statistics_reset),
        r"running|state",
    ),
    Slip(
        "Only the weights w come along",
        "A batch norm has parameters as well, and no w.",
        moved_by(bring=lambda source, fresh: parameters_only(source, fresh, lambda name: name.endswith("w"), statistics=True)),
        r"\.w|endswith",
    ),
    Slip(
        "Only the weights w come along, without the statistics",
        "A batch norm has parameters as well, and no w; and it has statistics.",
        moved_by(bring=lambda source, fresh: parameters_only(source, fresh, lambda name: name.endswith("w"))),
        r"\.w|endswith",
    ),
    Slip(
        "The same network is trained again and again",
        "Is the network that is trained a new one for each n? Otherwise its upper layers have learned in the training before.",
        moved_by(once=True),
        r"copy\(|= *fresh",
    ),
    Slip(
        "The depths are taken in another order",
        "They come in any order, and the accuracies are wanted in that order.",
        moved_by(order=sorted),
        r"sorted|sort|range",
    ),
    Slip(
        "The depths are taken for 0, 1, 2, ...",
        "Which numbers of layers are asked for stands in depths.",
        moved_by(order=lambda depths: range(len(depths))),
        r"range|enumerate",
    ),
    Slip(
        "One layer too many is copied",
        "With n = 0 nothing comes from source.",
        moved_by(count=lambda n, names: n + 1),
        r"<=|\+ ?1",
    ),
    Slip(
        "One layer too few is copied",
        "With n = 1 the first layer comes from source.",
        moved_by(count=lambda n, names: n - 1),
        r"- ?1|range\(1",
    ),
    Slip(
        "All layers but the last are copied, whatever n is",
        "The layers above the first n start anew: they are fresh's.",
        moved_by(count=lambda n, names: len(names) - 1),
        r"-1|layers",
    ),
    Slip(
        "No layer is copied",
        "Which of the layers are source's?",
        moved_by(count=lambda n, names: 0),
        r"deepcopy|copy\(",
    ),
    Slip(
        "The upper layers are source's, too",
        "They know the old classes, and there may be another number of new ones.",
        {"transfer_curve": of_source},
        r"deepcopy\(source\)|source\.copy",
    ),
    Slip(
        "Frozen and trainable are exchanged",
        "Frozen means trainable = False.",
        moved_by(flags=lambda network, names, n, frozen: freeze_flipped(network, names, n, frozen)),
        r"trainable",
    ),
    Slip(
        "What was frozen before stays frozen",
        "source comes with some layers frozen, and so do copies of them. Set the flag of every parameter.",
        moved_by(flags=freeze_only),
        r"freeze|trainable|deepcopy",
    ),
    Slip(
        "The first layers are frozen even where that was not asked for",
        "What is the argument frozen for?",
        moved_by(flags=lambda network, names, n, frozen: freeze_first(network, names, n, True)),
        r"freeze|trainable",
    ),
    Slip(
        "Nothing is frozen",
        "What is the argument frozen for?",
        moved_by(flags=lambda network, names, n, frozen: freeze_first(network, names, n, False)),
        r"return",
    ),
    Slip(
        "Everything is frozen",
        "The layers above the first n start anew: how should they learn?",
        moved_by(flags=lambda network, names, n, frozen: freeze_first(network, names, len(names), frozen)),
        r"freeze|trainable",
    ),
    Slip(
        "With n = 0 everything is frozen",
        "Then nothing was copied, and nothing is to be frozen. What is names[n - 1] for n = 0?",
        moved_by(flags=lambda network, names, n, frozen: freeze_first(network, names, n or len(names), frozen)),
        r"- ?1|freeze",
    ),
    Slip(
        "One layer too few is frozen",
        "Copied and frozen are the same n layers.",
        moved_by(flags=lambda network, names, n, frozen: freeze_first(network, names, n - 1, frozen)),
        r"- ?1|freeze|trainable",
    ),
    Slip(
        "One layer too many is frozen",
        "Copied and frozen are the same n layers.",
        moved_by(flags=lambda network, names, n, frozen: freeze_first(network, names, n + 1, frozen)),
        r"\+ ?1|until|freeze|trainable",
    ),
    Slip(
        "Layers are frozen whose names only begin like those of the first",
        'The parameters of "block10" begin with "block1", too. What follows a layer\'s name in the name of its parameters?',
        moved_by(flags=freeze_alike_names),
        r"startswith| in ",
    ),
    Slip(
        "Only the weights w are frozen",
        "An optimiser moves gamma and beta as well; and a batch norm that is not frozen goes on changing its statistics.",
        moved_by(flags=freeze_weights_only),
        r"\.w|endswith",
    ),
)


def freeze_flipped(network: Model, names: list[str], n: int, frozen: bool) -> None:
    for i, name in enumerate(names):
        set_flags(network.layers[name], frozen and i < n)


# ---- Task 4: gains


def standard_error(g: np.ndarray) -> np.ndarray:
    return g.std(axis=0, ddof=1) / np.sqrt(len(g))


def gain_by(
    difference: Callable = lambda a, b: a - b[:, None],
    mean: Callable = lambda g: g.mean(axis=0),
    error: Callable = lambda g, a, b: standard_error(g),
) -> Functions:
    """paired_gain() with other differences, another mean or another error."""

    def paired_gain(accuracies: np.ndarray, baseline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        g = difference(accuracies, baseline)
        return mean(g), error(g, accuracies, baseline)

    return {"paired_gain": paired_gain}


def unpaired(g: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sqrt((a.var(axis=0, ddof=1) + b.var(ddof=1)) / len(a))


PAIRED = "Seeds with easy classes are good in both. Only the differences, seed by seed, are free of that."
GAIN_SLIPS = (
    Slip(
        "The error is that of two independent means",
        PAIRED,
        gain_by(error=unpaired),
        r"var|std|\+",
    ),
    Slip(
        "The error is that of the accuracies, and not of the differences",
        PAIRED,
        gain_by(error=lambda g, a, b: standard_error(a)),
        r"std|var|mean",
    ),
    Slip(
        "The squares are divided by S, and not by S - 1",
        "The mean was found from the same S differences: they are nearer to it than to the true one.",
        gain_by(error=lambda g, a, b: g.std(axis=0) / np.sqrt(len(g))),
        r"std|var|len|shape",
    ),
    Slip(
        "The error is the standard deviation of the seeds",
        "How far a mean of S is off is another question than how far a single one is.",
        gain_by(error=lambda g, a, b: g.std(axis=0, ddof=1)),
        r"std|var",
    ),
    Slip(
        "The standard deviation is divided by S, and not by its root",
        "Four times as many seeds make the mean twice as certain.",
        gain_by(error=lambda g, a, b: g.std(axis=0, ddof=1) / len(g)),
        r"/",
    ),
    Slip(
        "The error is divided by the root of the number of depths",
        "The mean is over the seeds. How many are these?",
        gain_by(error=lambda g, a, b: g.std(axis=0, ddof=1) / np.sqrt(g.shape[1])),
        r"shape|len|sqrt",
    ),
    Slip(
        "The standard deviation is divided by the root of S - 1, and not of S",
        "S - 1 belongs to the sum of squares; the standard deviation is then divided by the root of S.",
        gain_by(error=lambda g, a, b: g.std(axis=0, ddof=1) / np.sqrt(len(g) - 1)),
        r"- ?1",
    ),
    Slip(
        "The error is the variance of the mean, without the root",
        "In which unit is a variance, if accuracies are in points?",
        gain_by(error=lambda g, a, b: g.var(axis=0, ddof=1) / len(g)),
        r"var|\*\* ?2",
    ),
    *(
        Slip(
            "The error is half of the 95 % interval",
            "That is about two standard errors. Asked for is one.",
            gain_by(error=lambda g, a, b, times=times: times * standard_error(g)),
            r"1\.96|2 ?\*",
        )
        for times in (1.96, 2.0)
    ),
    Slip(
        "The gain has the wrong sign",
        "What is better than the baseline has a gain above 0.",
        gain_by(lambda a, b: b[:, None] - a),
        r"-",
    ),
    Slip(
        "The gain is a share of the baseline",
        "A gain is a difference, in the unit of the accuracies.",
        gain_by(lambda a, b: (a - b[:, None]) / b[:, None]),
        r"/",
    ),
    Slip(
        "The means run over the depths",
        "Of (S, L), which axis is that of the seeds?",
        gain_by(mean=lambda g: g.mean(axis=1), error=lambda g, a, b: standard_error(g.T)),
        r"axis ?= ?1|mean",
    ),
    Slip(
        "The mean is a median",
        "The equation has a sum over the seeds, divided by S.",
        gain_by(mean=lambda g: np.median(g, axis=0)),
        r"median",
    ),
    Slip(
        "Baseline and accuracies are subtracted along the wrong axis",
        "baseline[s] belongs to row s of the accuracies. What does NumPy do with (S, L) - (S,)?",
        gain_by(lambda a, b: a - b),
        r"- ?baseline",
    ),
)


def share_by(
    ratio: Callable = lambda t, o, r: (t - r).mean(axis=0) / (o - r).mean(axis=0),
    nothing: Callable = lambda share, possible: np.where(possible > 0, share, np.nan),
) -> Functions:
    """share_kept() of another ratio, or another answer where own layers are no better than random ones."""

    def share_kept(transferred: np.ndarray, own: np.ndarray, random: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return nothing(ratio(transferred, own, random), (own - random).mean(axis=0))

    return {"share_kept": share_kept}


SHARE_SLIPS = (
    Slip(
        "It is the mean of the ratios, and not the ratio of the means",
        "A seed in which own layers are hardly better than random ones has a wild ratio. Average first.",
        share_by(lambda t, o, r: ((t - r) / (o - r)).mean(axis=0)),
        r"mean",
    ),
    Slip(
        "The random baseline is not subtracted",
        "Even layers that have learned nothing reach something. What is 0 meant to say?",
        share_by(lambda t, o, r: t.mean(axis=0) / o.mean(axis=0)),
        r"/",
    ),
    Slip(
        "The random baseline is subtracted above only",
        "What is the most that there is to keep?",
        share_by(lambda t, o, r: (t - r).mean(axis=0) / o.mean(axis=0)),
        r"/",
    ),
    Slip(
        "The random baseline is subtracted below only",
        "What have transferred layers got that random ones have not?",
        share_by(lambda t, o, r: t.mean(axis=0) / (o - r).mean(axis=0)),
        r"/",
    ),
    Slip(
        "Numerator and denominator are exchanged",
        "With transferred layers that are as good as random ones, the answer is 0.",
        share_by(lambda t, o, r: (o - r).mean(axis=0) / (t - r).mean(axis=0)),
        r"/",
    ),
    Slip(
        "It is the share that is lost",
        "1 means that everything is kept.",
        share_by(lambda t, o, r: (o - t).mean(axis=0) / (o - r).mean(axis=0)),
        r"-",
    ),
    Slip(
        "The share is cut off at 0 and 1",
        "Worse than random and better than own both happen, and one wants to see it.",
        share_by(
            nothing=lambda share, possible: np.where(possible > 0, np.clip(share, 0, 1), np.nan),
        ),
        r"clip|min|max",
    ),
    Slip(
        "The share is cut off at 0",
        "Worse than random happens, and one wants to see it.",
        share_by(nothing=lambda share, possible: np.where(possible > 0, np.maximum(share, 0), np.nan)),
        r"clip|max",
    ),
    Slip(
        "Where there is nothing to keep, it is divided all the same",
        "A share of something negative, or of 0, means nothing: NaN.",
        share_by(nothing=lambda share, possible: share),
        r"/",
    ),
    Slip(
        "Only where own and random layers are equal is the share NaN",
        "Where own layers are worse than random ones there is nothing to keep either.",
        share_by(nothing=lambda share, possible: np.where(possible != 0, share, np.nan)),
        r"==|!=|isfinite|isinf",
    ),
    Slip(
        "Where there is nothing to keep, the share is 0",
        "0 says: as good as random ones. Here the question has no answer, which NaN says.",
        share_by(nothing=lambda share, possible: np.where(possible > 0, share, 0.0)),
        r"0",
    ),
    Slip(
        "The means run over the depths",
        "Of (S, L), which axis is that of the seeds?",
        {"share_kept": lambda t, o, r: np.where((o - r).mean(axis=1) > 0, (t - r).mean(axis=1) / (o - r).mean(axis=1), np.nan)},
        r"axis ?= ?1|mean",
    ),
)

# ---- Task 5: where layers become specific


def free_by(
    bound: Callable = lambda mean, error, best: mean[best] - error[best],
    error: Callable = standard_error,
    pick: Callable = lambda good: np.flatnonzero(good).max(),
    enough: Callable = lambda mean, bound: mean >= bound,
) -> Functions:
    """layers_for_free() with another bound or error, or another choice among the good ones."""

    def layers_for_free(accuracies: np.ndarray) -> int:
        mean = accuracies.mean(axis=0)
        return int(pick(enough(mean, bound(mean, error(accuracies), mean.argmax()))))

    return {"layers_for_free": layers_for_free}


def until_first_gap(good: np.ndarray) -> int:
    n = int(good.argmax())
    while n + 1 < len(good) and good[n + 1]:
        n += 1
    return n


FREE_SLIPS = (
    Slip(
        "It is the n of the highest mean",
        "Means that differ by less than their error cannot be told apart. Which of those has the most copied layers?",
        {"layers_for_free": lambda a: int(a.mean(axis=0).argmax())},
        r"argmax|max",
    ),
    Slip(
        "It is the smallest n that is good enough",
        "The question is how many layers can be copied at most.",
        free_by(pick=lambda good: np.flatnonzero(good).min()),
        r"min|argmax|\[0\]|break",
    ),
    Slip(
        "It ends at the first n that is not good enough",
        "A curve may sink and rise again: the largest n that is good enough counts, whatever lies below it.",
        free_by(pick=until_first_gap),
        r"break|while|and",
    ),
    Slip(
        "It counts how many n are good enough",
        "A number of layers is asked for: the largest such n, and n = 0 is one of them.",
        free_by(pick=np.sum),
        r"sum|len|count",
    ),
    Slip(
        "It is one more than the largest n",
        "Column n is for n copied layers, and the first column is n = 0.",
        free_by(pick=lambda good: np.flatnonzero(good).max() + 1),
        r"\+ ?1",
    ),
    Slip(
        "The bound uses the error of each n, and not that of the best",
        "The bound is one number: the best mean less its own error.",
        free_by(lambda mean, error, best: mean[best] - error),
        r"-",
    ),
    Slip(
        "The bound is the best mean less the standard deviation of the seeds",
        "How far a mean is off, and how far a single seed is, are two questions.",
        free_by(error=lambda a: a.std(axis=0, ddof=1)),
        r"std|var",
    ),
    Slip(
        "The error in the bound divides by S, and not by S - 1",
        "The mean was found from the same S numbers.",
        free_by(error=lambda a: a.std(axis=0) / np.sqrt(len(a))),
        r"std|var",
    ),
    Slip(
        "The bound is the best mean less two errors",
        "The rule is called the one-standard-error rule.",
        free_by(lambda mean, error, best: mean[best] - 2 * error[best]),
        r"2|1\.96",
    ),
    Slip(
        "The bound is the best mean plus its error",
        "What may a good one fall short by?",
        free_by(
            lambda mean, error, best: mean[best] + error[best],
            pick=lambda good: np.flatnonzero(good).max(initial=0),
        ),
        r"\+",
    ),
    Slip(
        "The bound is taken from n = 0, and not from the best",
        "The best mean may be that of copied layers.",
        free_by(lambda mean, error, best: mean[0] - error[0]),
        r"\[0\]|\[:, 0\]",
    ),
    Slip(
        "A mean that is just at the bound does not count",
        "If all seeds agree, the error is 0, and even the best is only just at the bound.",
        free_by(enough=lambda mean, bound: mean > bound),
        r">(?!=)|<=",
    ),
)


def specific_by(
    difference: Callable = lambda own, other: own - other,
    error: Callable = lambda d, own, other: standard_error(d),
    is_specific: Callable = lambda mean, error: mean > error,
    pick: Callable = lambda specific: lowest_of_the_top(specific),
) -> Functions:
    """first_specific_layer() with other differences or errors, another test of a layer, or another choice."""

    def first_specific_layer(own: np.ndarray, other: np.ndarray) -> int:
        d = difference(own, other)
        return int(pick(is_specific(d.mean(axis=0), error(d, own, other))))

    return {"first_specific_layer": first_specific_layer}


def lowest_of_the_top(specific: np.ndarray) -> int:
    n = len(specific) + 1
    while n > 1 and specific[n - 2]:
        n -= 1
    return n


def first_of_all(specific: np.ndarray) -> int:
    return int(specific.argmax()) + 1 if specific.any() else len(specific) + 1


SPECIFIC_SLIPS = (
    Slip(
        "It is the first layer that is specific, whatever lies above it",
        "All layers above it must be specific as well: begin at the top.",
        specific_by(pick=first_of_all),
        r"argmax|break|\[0\]|return",
    ),
    Slip(
        "Layers are counted from 0",
        "Column l is for l + 1 copied layers.",
        specific_by(pick=lambda specific: lowest_of_the_top(specific) - 1),
        r"return|range|argm",
    ),
    Slip(
        "Where not even the top layer is specific, the answer is L",
        "L says that the top layer is specific. One more says that none is.",
        specific_by(pick=lambda specific: min(lowest_of_the_top(specific), len(specific))),
        r"return|len|shape",
    ),
    Slip(
        "It is one more than the number of layers that are not specific",
        "A layer below may be specific by chance. The answer is where the run of specific layers at the top begins.",
        specific_by(pick=lambda specific: (~specific).sum() + 1),
        r"sum",
    ),
    Slip(
        "Any difference above 0 counts",
        "A difference within its error may well be chance.",
        specific_by(is_specific=lambda mean, error: mean > 0),
        r"> ?0",
    ),
    Slip(
        "The difference must exceed the standard deviation of the seeds",
        "How far a mean is off, and how far a single seed is, are two questions.",
        specific_by(error=lambda d, own, other: d.std(axis=0, ddof=1)),
        r"std|var",
    ),
    Slip(
        "The error of the difference divides by S, and not by S - 1",
        "The mean was found from the same S differences.",
        specific_by(error=lambda d, own, other: d.std(axis=0) / np.sqrt(len(d))),
        r"std|var",
    ),
    Slip(
        "The difference must exceed two errors",
        "Here one standard error is enough.",
        specific_by(is_specific=lambda mean, error: mean > 2 * error),
        r"2|1\.96",
    ),
    Slip(
        "The error is that of two independent means",
        PAIRED,
        specific_by(
            error=lambda d, own, other: np.sqrt((own.var(axis=0, ddof=1) + other.var(axis=0, ddof=1)) / len(d)),
        ),
        r"var|std|\+",
    ),
    Slip(
        "Own and other layers are exchanged",
        "Layers are specific where those of the other task are worse.",
        specific_by(lambda own, other: other - own),
        r"-",
    ),
    Slip(
        "Better layers count as specific as well",
        "Layers are specific where those of the other task are worse, not where they differ.",
        specific_by(is_specific=lambda mean, error: np.abs(mean) > error),
        r"abs",
    ),
    Slip(
        "A difference that is just its error counts",
        "Where all differences are 0 the error is 0 as well, and nothing is specific.",
        specific_by(is_specific=lambda mean, error: mean >= error),
        r">=",
    ),
)
