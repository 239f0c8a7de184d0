"""Lesson 13: the mistakes that people make in its exercise, each as functions that make it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.course import Lesson, Slip

solution = Lesson(Path(__file__).resolve().parent).solution


# ---- Task 1: accuracy and error


def error_is(
    error: Callable[[float, int], float], share: Callable = lambda right: float(np.mean(right))
) -> dict[str, Callable]:
    """accuracy_and_error() with error(p, N), or with another share."""
    return {"accuracy_and_error": lambda right: (share(right), float(error(float(np.mean(right)), len(right))))}


def standard(p: float, n: int) -> float:
    return float(np.sqrt(p * (1 - p) / n))


ERROR_SLIPS = (
    Slip(
        "the root is missing: that is the variance of the share",
        "A standard error is in the same units as the share itself. What are the units of p (1 - p)?",
        error_is(lambda p, n: p * (1 - p) / n),
        r"1(?:\.0)? ?- ?p|/",
    ),
    Slip(
        "it is not divided by N: that is how much a single picture scatters",
        "More pictures make a share more certain. Where does N come in?",
        error_is(lambda p, n: np.sqrt(p * (1 - p))),
        r"sqrt|std|\*\* ?0?\.5",
    ),
    Slip(
        "N stands outside the root",
        "Four times as many pictures halve the error. What do they do to yours?",
        error_is(lambda p, n: np.sqrt(p * (1 - p)) / n),
        r"/",
    ),
    Slip(
        "it is divided by N - 1",
        "That is the formula for a variance that is estimated from a sample. Here it follows from p: which N does the "
        "docstring say?",
        error_is(lambda p, n: np.sqrt(p * (1 - p) / (n - 1))),
        r"- ?1\)|ddof",
    ),
    Slip(
        "1 - p is missing",
        "Of a hundred right answers out of a hundred, how much do you expect the next hundred to scatter?",
        error_is(lambda p, n: np.sqrt(p / n)),
        r"sqrt",
    ),
    Slip(
        "the error is that of p = 1/2, whatever p is",
        "That is the largest it can be. Near 0 and near 1 it is smaller.",
        error_is(lambda p, n: 0.5 / np.sqrt(n)),
        r"0?\.5|0\.25|/ ?2",
    ),
    Slip(
        "it is half of a 95 % interval, and not one standard error",
        "Whoever reads the number will multiply it by 2 once more.",
        error_is(lambda p, n: 1.96 * standard(p, n)),
        r"1\.96",
    ),
    Slip(
        "it is two standard errors",
        "Whoever reads the number will multiply it by 2 once more.",
        error_is(lambda p, n: 2 * standard(p, n)),
        r"2 ?\*|\* ?2",
    ),
    Slip(
        "the share of wrong pictures is returned",
        "An accuracy counts those that are right.",
        error_is(standard, lambda right: 1 - float(np.mean(right))),
        r"~|1 ?-|not ",
    ),
    Slip(
        "the number of right pictures is returned, and not their share",
        "It has to be divided by N once more.",
        error_is(standard, lambda right: float(np.sum(right))),
        r"sum|count",
    ),
    Slip(
        "both are in per cent",
        "A share is from 0 to 1; per cent are for printing.",
        error_is(lambda p, n: 100 * standard(p, n), lambda right: 100 * float(np.mean(right))),
        r"100",
    ),
    Slip(
        "the error is that of the number of right pictures, and not of their share",
        "The number scatters by the root of N p (1 - p). By what is the share smaller than the number?",
        error_is(lambda p, n: np.sqrt(n * p * (1 - p))),
        r"sqrt",
    ),
)


# ---- Task 1: the sign test


def both_counts(a: np.ndarray, b: np.ndarray) -> tuple[int, int]:
    return int(np.sum(a & ~b)), int(np.sum(b & ~a))


def tail(m: int, n: int) -> float:
    """P(X <= m) for X ~ Binomial(n, 1/2); 0 for m below 0."""
    return sum(math.comb(n, j) for j in range(min(m, n) + 1)) / 2**n


def signs(
    p: Callable[[int, int], float] = lambda a, b: min(1.0, 2 * tail(min(a, b), a + b)),
    counts: Callable = both_counts,
    told: Callable = lambda a, b, only_a, only_b: (only_a, only_b),
) -> dict[str, Callable]:
    """sign_test() with another p-value of the two counts, with other counts, or with other counts in what is returned."""

    def sign_test(right_a: np.ndarray, right_b: np.ndarray) -> tuple[int, int, float]:
        only_a, only_b = counts(right_a, right_b)
        return *told(right_a, right_b, only_a, only_b), p(only_a, only_b)

    return {"sign_test": sign_test}


def over_all_pictures(right_a: np.ndarray, right_b: np.ndarray) -> tuple[int, int, float]:
    only_a, only_b = both_counts(right_a, right_b)
    return only_a, only_b, min(1.0, 2 * tail(min(only_a, only_b), len(right_a)))


def with_ties_shared(right_a: np.ndarray, right_b: np.ndarray) -> tuple[int, int, float]:
    only_a, only_b = both_counts(right_a, right_b)
    same = len(right_a) - only_a - only_b
    return only_a, only_b, min(1.0, 2 * tail(min(only_a, only_b) + same // 2, len(right_a)))


def as_if_of_other_pictures(right_a: np.ndarray, right_b: np.ndarray) -> tuple[int, int, float]:
    """A z-test of two shares, each with an error of its own."""
    a, b, n = float(right_a.mean()), float(right_b.mean()), len(right_a)
    z = abs(a - b) / math.sqrt((a * (1 - a) + b * (1 - b)) / n)
    return *both_counts(right_a, right_b), math.erfc(z / math.sqrt(2))


def mcnemar(less: float) -> Callable[[int, int], float]:
    return lambda a, b: math.erfc(math.sqrt(max(abs(a - b) - less, 0) ** 2 / (a + b) / 2)) if a + b else 1.0


def each_in_floating_point(a: int, b: int) -> float:
    """Each term of the sum by itself: 0.5 ** n is 0 for large n, or the binomial coefficient is too large for a float."""
    return min(1.0, 2 * sum(math.comb(a + b, j) * 0.5 ** (a + b) for j in range(min(a, b) + 1)))


def all_zero(a: int, b: int) -> float:
    return min(1.0, 2 * tail(min(a, b), a + b)) if a + b < 1000 else 0.0


SIGN_SLIPS = (
    Slip(
        "the test is one-sided: the factor 2 is missing",
        "Before the pictures were seen nobody knew which of the two would be ahead. What would have surprised you as much?",
        signs(lambda a, b: tail(min(a, b), a + b)),
        r"sum|cdf|/",
    ),
    Slip(
        "p is larger than 1 where both are ahead equally often",
        "Twice the lower half counts the middle twice. A probability is 1 at most.",
        signs(lambda a, b: 2 * tail(min(a, b), a + b)),
        r"2",
    ),
    Slip(
        "the pictures on which both agree are tosses as well",
        "Where both are right, or both are wrong, nothing is said about which is better. What is n?",
        {"sign_test": over_all_pictures},
        r"len|size|shape",
    ),
    Slip(
        "the pictures on which both agree are shared out between the two",
        "Where both are right, or both are wrong, nothing is said about which is better. They are left out.",
        {"sign_test": with_ties_shared},
        r"// ?2|/ ?2",
    ),
    Slip(
        "the observed number itself is missing from the tail",
        "P(X <= m) has m in it. How far does your sum go?",
        signs(lambda a, b: min(1.0, 2 * tail(min(a, b) - 1, a + b))),
        r"range|cdf|<",
    ),
    Slip(
        "only the probability of this very number is taken, and not of all that are as extreme",
        "One number of many is improbable whatever happens. Add up what would have been still more one-sided.",
        signs(lambda a, b: min(1.0, 2 * math.comb(a + b, min(a, b)) / 2 ** (a + b))),
        r"comb|pmf",
    ),
    Slip(
        "the tail reaches up to the larger of the two numbers",
        "How probable is a result as one-sided as this one? That is asked of the smaller number.",
        signs(lambda a, b: min(1.0, 2 * tail(max(a, b), a + b))),
        r"max",
    ),
    Slip(
        "the tail reaches up to only_a, whichever is the smaller",
        "Exchange the two classifiers: p must stay.",
        signs(lambda a, b: min(1.0, 2 * tail(a, a + b))),
        r"only_a",
    ),
    Slip(
        "the two counts are exchanged",
        "only_a counts pictures that a has right.",
        signs(counts=lambda a, b: both_counts(b, a)),
        r"~|not ",
    ),
    Slip(
        "all that a classifier has right is counted, what both have right as well",
        "*only* a: what of the pictures that both have right?",
        signs(counts=lambda a, b: (int(a.sum()), int(b.sum()))),
        r"sum",
    ),
    Slip(
        "the pictures are counted on which both agree",
        "Only those where they differ tell which is better.",
        signs(counts=lambda a, b: (int((a & b).sum()), int((~a & ~b).sum()))),
        r"&|==",
    ),
    Slip(
        "where the two never differ p is not 1",
        "No picture speaks against their being equally good. What is 2^0?",
        signs(lambda a, b: min(1.0, 2 * tail(min(a, b), a + b)) if a + b else 0.0),
        r"== ?0|not ",
    ),
    Slip(
        "where the two never differ it is divided by 0",
        "No picture speaks against their being equally good: then p is 1.",
        signs(lambda a, b: mcnemar(0)(a, b) if (a + b) else 0 / 0),
        r"/",
    ),
    Slip(
        "that is McNemar's approximation by a chi-square",
        "It is good for many differing pictures, and wrong for few. Here the binomial sum itself is asked for.",
        signs(mcnemar(0)),
        r"chi2|erfc|norm|sqrt",
    ),
    Slip(
        "that is McNemar's approximation, with the continuity correction",
        "It is good for many differing pictures, and only nearly right for few. Here the binomial sum itself is asked for.",
        signs(mcnemar(1)),
        r"chi2|erfc|norm|sqrt|- ?1",
    ),
    Slip(
        "the two are compared as if they had been asked about different pictures",
        "A picture that is hard for one is mostly hard for the other. Look at those on which they differ.",
        {"sign_test": as_if_of_other_pictures},
        r"mean|sqrt",
    ),
    Slip(
        "floating point is left, with some thousand pictures",
        "0.5 ** n is 0, or n choose j too large for a float. Add up whole numbers first; divide the sum by 2**n at the end.",
        signs(each_in_floating_point),
        r"0\.5|\*\*",
    ),
    Slip(
        "p is 0 with some thousand pictures",
        "0.5 ** n is 0 there. Add up whole numbers first, and divide the sum by 2**n at the end.",
        signs(all_zero),
        r"0\.5|\*\*",
    ),
)


# ---- Task 2: nearest neighbours


def squared(codes: np.ndarray) -> np.ndarray:
    return ((codes[:, None] - codes) ** 2).sum(axis=2)


def city_blocks(codes: np.ndarray) -> np.ndarray:
    return np.abs(codes[:, None] - codes).sum(axis=2)


def by_angle(codes: np.ndarray) -> np.ndarray:
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    return -np.round(unit @ unit.T, 9)


def standardised(codes: np.ndarray) -> np.ndarray:
    return np.round(squared((codes - codes.mean(axis=0)) / codes.std(axis=0)), 9)


def rows_without_itself(distances: np.ndarray) -> list[list[int]]:
    """For each picture the others, the nearest first; of equals the one with the smaller number."""
    order = np.argsort(distances, axis=1, kind="stable")
    return [[j for j in row if j != i] for i, row in enumerate(order.tolist())]


def later_first(distances: np.ndarray) -> list[list[int]]:
    order = len(distances) - 1 - np.argsort(distances[:, ::-1], axis=1, kind="stable")
    return [[j for j in row if j != i] for i, row in enumerate(order.tolist())]


def without_the_first(distances: np.ndarray) -> list[list[int]]:
    return np.argsort(distances, axis=1, kind="stable")[:, 1:].tolist()


def with_itself(distances: np.ndarray) -> list[list[int]]:
    return np.argsort(distances, axis=1, kind="stable").tolist()


def with_itself_first(distances: np.ndarray) -> list[list[int]]:
    return [[i, *row] for i, row in enumerate(rows_without_itself(distances))]


def without_doubles(distances: np.ndarray) -> list[list[int]]:
    order = np.argsort(np.where(distances == 0, np.inf, distances), axis=1, kind="stable")
    return order.tolist()


def without_doubles_at_all(distances: np.ndarray) -> list[list[int]]:
    return [[j for j in row if distances[i, j] > 0] for i, row in enumerate(rows_without_itself(distances))]


def farthest(distances: np.ndarray) -> list[list[int]]:
    return rows_without_itself(-distances)


def most_votes(labels: list[int]) -> int:
    return max(labels, key=labels.count)


def most_votes_smallest(labels: list[int]) -> int:
    return max(sorted(labels), key=labels.count)


def most_votes_largest(labels: list[int]) -> int:
    return max(sorted(labels, reverse=True), key=labels.count)


def most_votes_last(labels: list[int]) -> int:
    return max(labels[::-1], key=labels.count)


def knn(
    distance: Callable = squared,
    rows: Callable = rows_without_itself,
    vote: Callable = most_votes,
    count: Callable = lambda k: k,
    answer: Callable = lambda predicted, y: predicted,
) -> dict[str, Callable]:
    """knn_predictions() with other distances, another order, another vote, or other numbers of neighbours."""

    def knn_predictions(codes: np.ndarray, y: np.ndarray, k: int) -> Any:
        labels = [y[row[: count(k)]].tolist() for row in rows(distance(codes))]
        return answer(np.array([vote(found) for found in labels]), y)

    return {"knn_predictions": knn_predictions}


def by_distance_weight(codes: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    distances, predicted = np.sqrt(squared(codes)), []
    for i, row in enumerate(rows_without_itself(distances)):
        votes: dict[int, float] = {}
        for j in row[:k]:
            votes[int(y[j])] = votes.get(int(y[j]), 0.0) + 1 / (distances[i, j] + 1e-9)
        predicted.append(max(votes, key=votes.get))
    return np.array(predicted)


def class_numbers(codes: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    return np.searchsorted(np.unique(y), solution.knn_predictions(codes, y, k))


def pictures_of_nearest(codes: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    return np.array([row[0] for row in rows_without_itself(squared(codes))])


def nearest_mean(codes: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    labels = np.unique(y)
    means = np.stack([codes[y == label].mean(axis=0) for label in labels])
    return labels[((codes[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)]


KNN_SLIPS = (
    Slip(
        "the picture itself has a vote",
        "Its own distance is 0, so it is always among the nearest. How is it kept out?",
        knn(rows=with_itself),
        r"argsort|sorted|\[: ?k\]",
    ),
    Slip(
        "the picture itself has a vote, before all others",
        "Its own distance is 0, so it is always among the nearest. How is it kept out?",
        knn(rows=with_itself_first),
        r"argsort|sorted|\[: ?k\]",
    ),
    Slip(
        "the first in the order is left out, and that need not be the picture itself",
        "A double with a smaller number comes before it, at the same distance. Leave the picture out by its number.",
        knn(rows=without_the_first),
        r"1 ?: ?|\[1",
    ),
    Slip(
        "doubles of the picture are left out as well",
        "The picture itself is one row, i. Another one with the same code is a neighbour. Do not ask whether the distance is "
        "0.",
        knn(rows=without_doubles_at_all),
        r"== ?0|> ?0|!= ?0",
    ),
    Slip(
        "doubles of the picture are left out as well",
        "The picture itself is one row, i. Another one with the same code is a neighbour. Do not ask whether the distance is "
        "0.",
        knn(rows=without_doubles),
        r"== ?0|> ?0|inf",
    ),
    Slip(
        "of equally near pictures the later one comes first",
        "The smaller number comes first: a stable sort in ascending order does that by itself.",
        knn(rows=later_first),
        r"argsort|sort|::-1",
    ),
    Slip(
        "of classes with equally many votes the smallest label wins",
        "Labels are names, and no name is better than another. Whose nearest picture comes first?",
        knn(vote=most_votes_smallest),
        r"argmax|bincount|unique|max\(",
    ),
    Slip(
        "of classes with equally many votes the largest label wins",
        "Labels are names, and no name is better than another. Whose nearest picture comes first?",
        knn(vote=most_votes_largest),
        r"argmax|bincount|unique|max\(|>=",
    ),
    Slip(
        "of classes with equally many votes the one wins that is reached last",
        "It should be the one whose nearest picture comes first.",
        knn(vote=most_votes_last),
        r">=|::-1|max\(",
    ),
    Slip(
        "one neighbour too few is asked",
        "Of the others k have a vote. Where do they begin in your order, and where do they end?",
        knn(count=lambda k: max(k - 1, 1)),
        r"k ?- ?1|range|\[1",
    ),
    Slip(
        "one neighbour too many is asked",
        "Of the others k have a vote. Where do they begin in your order, and where do they end?",
        knn(count=lambda k: k + 1),
        r"k ?\+ ?1",
    ),
    Slip(
        "only the nearest picture is asked, whatever k is",
        "What is the argument k for?",
        knn(count=lambda k: 1),
        r"argmin|min\(|\[0\]",
    ),
    Slip(
        "all others are asked, whatever k is",
        "What is the argument k for?",
        knn(count=lambda k: None),
        r"argsort|sorted",
    ),
    Slip(
        "the farthest pictures are asked",
        "In which direction does your order go?",
        knn(rows=farthest),
        r"-|reverse|::-1|max",
    ),
    Slip(
        "distances are added up without squares",
        "Euclidean: the sum of squares, or its root, which gives the same order.",
        knn(distance=city_blocks),
        r"abs",
    ),
    Slip(
        "near is what has a small angle, and not a small distance",
        "That is another measure. Here the Euclidean distance is asked for, and lengths count.",
        knn(distance=by_angle),
        r"norm|@|dot",
    ),
    Slip(
        "the codes are standardised first",
        "That changes which pictures are near. Take the codes as they are.",
        knn(distance=standardised),
        r"std|mean",
    ),
    Slip(
        "near pictures have a larger vote than distant ones",
        "Each of the k has one vote.",
        {"knn_predictions": by_distance_weight},
        r"1(?:\.0)? ?/",
    ),
    Slip(
        "the labels are averaged",
        "Labels are names: between class 3 and class 7 there is no class 5. Let the neighbours vote.",
        knn(vote=lambda labels: int(np.rint(np.mean(labels)))),
        r"mean|round|rint",
    ),
    Slip(
        "the median of the labels is taken",
        "Labels are names, and have no order. Let the neighbours vote.",
        knn(vote=lambda labels: int(np.median(labels))),
        r"median",
    ),
    Slip(
        "the classes are numbered anew",
        "The values of y are asked for, and they need not be 0, 1, 2. Which label has your number?",
        {"knn_predictions": class_numbers},
        r"argmax|unique|bincount",
    ),
    Slip(
        "the number of the nearest picture comes back, and not its class",
        "y has the class of each picture.",
        {"knn_predictions": pictures_of_nearest},
        r"argmin|argsort",
    ),
    Slip(
        "the share of right predictions comes back, and not the predictions",
        "A label for each picture is asked for. Whoever calls can compare them with y.",
        knn(answer=lambda predicted, y: float(np.mean(predicted == y))),
        r"mean",
    ),
    Slip(
        "it comes back which predictions are right, and not the predictions",
        "A label for each picture is asked for. Whoever calls can compare them with y.",
        knn(answer=lambda predicted, y: predicted == y),
        r"==",
    ),
    Slip(
        "each picture goes to the class with the nearest mean",
        "That is another classifier. Here single pictures vote.",
        {"knn_predictions": nearest_mean},
        r"mean",
    ),
)


# ---- Task 3: cross-validation


def by_folds(
    train: Callable = lambda folds, fold: folds != fold,
    out: Callable = lambda folds, fold: folds == fold,
    numbers: Callable = lambda folds: np.unique(folds).tolist(),
    answer: Callable = lambda right, folds: right,
) -> dict[str, Callable]:
    """held_out() that trains on other pictures, holds out others, or has other folds or another answer."""

    def held_out(fit: Callable, codes: np.ndarray, y: np.ndarray, folds: np.ndarray) -> Any:
        right = np.zeros(len(y), bool)
        for fold in numbers(folds):
            rows, kept = train(folds, fold), out(folds, fold)
            if kept.any():
                right[kept] = fit(codes[rows], y[rows]).predict(codes[kept]) == y[kept]
        return answer(right, folds)

    return {"held_out": held_out}


def predictions_themselves(fit: Callable, codes: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    predicted = np.zeros_like(y)
    for fold in np.unique(folds):
        out = folds == fold
        predicted[out] = fit(codes[~out], y[~out]).predict(codes[out])
    return predicted


def reversed_folds(fit: Callable, codes: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Trained on one fold, asked about all others; the last answer stays."""
    right = np.zeros(len(y), bool)
    for fold in np.unique(folds):
        rows = folds == fold
        right[~rows] = fit(codes[rows], y[rows]).predict(codes[~rows]) == y[~rows]
    return right


def all_at_once(fit: Callable, codes: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Everything is predicted each time, and the last classifier's answer stays."""
    for fold in np.unique(folds):
        out = folds == fold
        right = fit(codes[~out], y[~out]).predict(codes) == y
    return right


def any_classifier(fit: Callable, codes: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    right = np.zeros(len(y), bool)
    for fold in np.unique(folds):
        out = folds == fold
        right |= fit(codes[~out], y[~out]).predict(codes) == y
    return right


def leave_one_out(fit: Callable, codes: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    return solution.held_out(fit, codes, y, np.arange(len(y)))


def own_folds(fit: Callable, codes: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """As many folds, but of neighbouring rows, and not those that were given."""
    return solution.held_out(fit, codes, y, np.arange(len(y)) * len(np.unique(folds)) // len(y))


def by_turns(fit: Callable, codes: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    return solution.held_out(fit, codes, y, np.arange(len(y)) % len(np.unique(folds)))


def in_order_of_folds(right: np.ndarray, folds: np.ndarray) -> np.ndarray:
    return right[np.argsort(folds, kind="stable")]


HELD_OUT_SLIPS = (
    Slip(
        "the classifier is trained on all pictures, those held out too",
        "It has seen the answers. Which rows may fit() get?",
        by_folds(train=lambda folds, fold: folds == folds),
        r"fit\(",
    ),
    Slip(
        "the classifier is trained on the fold itself, and asked about that",
        "It has seen the answers. Which rows may fit() get?",
        by_folds(train=lambda folds, fold: folds == fold),
        r"fit\(",
    ),
    Slip(
        "it is trained on one fold and asked about all others",
        "It is the other way round: one fold is held out, the others train.",
        {"held_out": reversed_folds},
        r"fit\(",
    ),
    Slip(
        "every classifier answers for all pictures, and the last one's answers stay",
        "A picture's answer comes from the classifier that has not seen it. Where does yours go?",
        {"held_out": all_at_once},
        r"predict",
    ),
    Slip(
        "a picture counts as right where any of the classifiers names it rightly",
        "Most of them were trained on it. Only the one that was not has a say.",
        {"held_out": any_classifier},
        r"\|=",
    ),
    Slip(
        "it is trained only on folds with smaller numbers",
        "All other folds train, those after it too.",
        by_folds(train=lambda folds, fold: folds < fold),
        r"<",
    ),
    Slip(
        "the folds are taken to be 0, 1, 2 and so on",
        "The numbers are any integers. Which ones there are is in the array itself.",
        by_folds(numbers=lambda folds: range(len(np.unique(folds)))),
        r"range|max",
    ),
    Slip(
        "folds whose numbers are below 0 are never held out",
        "The numbers are any integers. Which ones there are is in the array itself.",
        by_folds(numbers=lambda folds: range(folds.max() + 1)),
        r"range|max",
    ),
    Slip(
        "only the first fold is held out",
        "Each fold is held out once. Is there a return within the loop?",
        by_folds(numbers=lambda folds: np.unique(folds)[:1].tolist()),
        r"return",
    ),
    Slip(
        "the last fold is never held out",
        "How far does your loop go?",
        by_folds(numbers=lambda folds: np.unique(folds)[:-1].tolist()),
        r"range|- ?1",
    ),
    Slip(
        "the answers come fold after fold, and not in the order of the pictures",
        "right[i] belongs to picture i. Put each fold's answers where its pictures are.",
        by_folds(answer=in_order_of_folds),
        r"concatenate|append|extend",
    ),
    Slip(
        "the folds are made anew, of neighbouring rows",
        "Which pictures are held out together is given: folds.",
        {"held_out": own_folds},
        r"split|//|linspace",
    ),
    Slip(
        "the folds are made anew, by turns",
        "Which pictures are held out together is given: folds.",
        {"held_out": by_turns},
        r"%|:: ?",
    ),
    Slip(
        "each picture is held out by itself",
        "Which pictures are held out together is given: folds.",
        {"held_out": leave_one_out},
        r"range|arange|delete",
    ),
    Slip(
        "the mean comes back, and not an answer for each picture",
        "Which pictures are right is needed too, to compare two kinds of codes picture by picture.",
        by_folds(answer=lambda right, folds: float(right.mean())),
        r"mean",
    ),
    Slip(
        "the accuracy of each fold comes back, and not an answer for each picture",
        "Which pictures are right is needed too, to compare two kinds of codes picture by picture.",
        by_folds(answer=lambda right, folds: np.array([right[folds == fold].mean() for fold in np.unique(folds)])),
        r"mean|append",
    ),
    Slip(
        "the pictures are marked that are wrong",
        "True is for those that are named rightly.",
        by_folds(answer=lambda right, folds: ~right),
        r"!=",
    ),
    Slip(
        "the predictions come back, and not whether they are right",
        "Compare them with y.",
        {"held_out": predictions_themselves},
        r"predict",
    ),
)


def rule(
    error: Callable = lambda p, n: np.sqrt(p.max() * (1 - p.max()) / n),
    choose: Callable = lambda p, e: np.argmax(p >= p.max() - e),
    mean: Callable = lambda right: right.mean(axis=1),
) -> dict[str, Callable]:
    """one_standard_error() with another error(p, N), another choice(p, e) or other means."""

    def one_standard_error(right: np.ndarray) -> int:
        p = mean(right)
        return int(choose(p, error(p, right.shape[1])))

    return {"one_standard_error": one_standard_error}


def strictly(p: np.ndarray, e: Any) -> int:
    return int(np.argmax(p > p.max() - e))


def rows_for_n(right: np.ndarray) -> int:
    p = right.mean(axis=1)
    return int(np.argmax(p >= p.max() - np.sqrt(p.max() * (1 - p.max()) / len(right))))


ONE_ERROR_SLIPS = (
    Slip(
        "that is the best row: without the rule, or with an error that is far too small",
        "Of those that are hardly worse the first is to be taken. Where an error is subtracted: the root of p (1 - p) / N, "
        "with N under it.",
        rule(choose=lambda p, e: p.argmax()),
        r"argmax\(p\)|argmax\(\)|/|max\(",
    ),
    Slip(
        "the last row within one standard error is taken",
        "The cheapest comes first.",
        rule(choose=lambda p, e: np.flatnonzero(p >= p.max() - e)[-1]),
        r"-1\]|max\(|for",
    ),
    Slip(
        "the worst row within one standard error is taken",
        "The rows come in order: it is the first that counts, not the one with the lowest share.",
        rule(choose=lambda p, e: np.where(p >= p.max() - e, p, np.inf).argmin()),
        r"min",
    ),
    Slip(
        "a row must be better than the bound, and not as good as it",
        "Where all pictures are right the error is 0, and the best row itself must still be within it.",
        rule(choose=strictly),
        r">(?!=)|<(?!=)",
    ),
    Slip(
        "two standard errors are allowed, or a 95 % interval",
        "The rule is named after one.",
        rule(choose=lambda p, e: np.argmax(p >= p.max() - 2 * e)),
        r"2 ?\*|\* ?2|1\.96",
    ),
    Slip(
        "each row's own error is taken, and not that of the best",
        "One bound for all rows: the best one's share, less its error.",
        rule(error=lambda p, n: np.sqrt(p * (1 - p) / n)),
        r"sqrt",
    ),
    Slip(
        "the error is that of the first row",
        "How sure is the *best* share?",
        rule(error=lambda p, n: np.sqrt(p[0] * (1 - p[0]) / n)),
        r"\[0\]",
    ),
    Slip(
        "the error is not divided by N",
        "That is how much a single picture scatters, and allows nearly everything.",
        rule(error=lambda p, n: np.sqrt(p.max() * (1 - p.max()))),
        r"sqrt|std",
    ),
    Slip(
        "N is taken to be the number of rows",
        "How many pictures is a share the mean of?",
        {"one_standard_error": rows_for_n},
        r"len\(",
    ),
    Slip(
        "the means run over the kinds of codes, and not over the pictures",
        "A row for each kind of codes: along which axis do its pictures lie?",
        rule(mean=lambda right: right.mean(axis=0)),
        r"axis ?= ?0|mean\(0",
    ),
    Slip(
        "rows are compared with the mean of all rows, and not with the best",
        "Hardly worse than which one?",
        rule(choose=lambda p, e: np.argmax(p >= p.mean() - e)),
        r"mean",
    ),
    Slip(
        "the error is the spread between the rows",
        "How sure is a share of N pictures? Compare with task 1.",
        rule(error=lambda p, n: p.std() / np.sqrt(len(p))),
        r"std",
    ),
    Slip(
        "the error is the spread between the rows, and not of a mean",
        "How sure is a share of N pictures? Compare with task 1.",
        rule(error=lambda p, n: p.std()),
        r"std",
    ),
)


# ---- Task 4: LEEP and the H-score


def leep_by(
    conditional: Callable = lambda joint: joint / np.where(joint.sum(axis=0) > 0, joint.sum(axis=0), 1),
    answer: Callable = lambda expected, y: np.log(expected).mean(),
    see: Callable = lambda p: p,
    expect: Callable = lambda conditional, y, p: (conditional[y] * p).sum(axis=1),
) -> dict[str, Callable]:
    """leep() with other conditional probabilities, another mean, other answers of the old network, or another expectation."""

    def leep(p: np.ndarray, y: np.ndarray) -> float:
        p = see(p)
        joint = np.eye(int(y.max()) + 1)[y].T @ p / len(y)
        return float(answer(expect(conditional(joint), y, p), y))

    return {"leep": leep}


def softmax_rows(p: np.ndarray) -> np.ndarray:
    e = np.exp(p)
    return e / e.sum(axis=1, keepdims=True)


def by_class(expected: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean([np.log(expected[y == k]).mean() for k in np.unique(y)]))


def as_if_equally_many(joint: np.ndarray) -> np.ndarray:
    mean = joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-300)
    return mean / np.where(mean.sum(axis=0) > 0, mean.sum(axis=0), 1)


def rows_of_classes_there(p: np.ndarray, y: np.ndarray) -> float:
    joint = np.stack([p[y == k].sum(axis=0) for k in np.unique(y)])
    conditional = joint / np.where(joint.sum(axis=0) > 0, joint.sum(axis=0), 1)
    return float(np.log((conditional[y] * p).sum(axis=1)).mean())


LEEP_SLIPS = (
    Slip(
        "the joint probabilities are not divided by those of the old class",
        "P(k | z) is a probability over k: for each z they add up to 1. P(k, z) do not.",
        leep_by(lambda joint: joint),
        r"/|sum",
    ),
    Slip(
        "they are conditioned on the new class, and not on the old one",
        "P(k | z): given the old class z, how probable is the new class k? Along which axis do they add up to 1?",
        leep_by(lambda joint: joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-300)),
        r"axis ?= ?1|keepdims",
    ),
    Slip(
        "P(k | z) is made of the classes' mean probabilities, as if all had equally many pictures",
        "P(k, z) is a sum over the pictures of class k, divided by the number of all pictures.",
        leep_by(as_if_equally_many),
        r"mean",
    ),
    Slip(
        "a class number that no picture has breaks it",
        "The numbers of y need not all occur. Does your table have a row for each number up to the largest?",
        {"leep": rows_of_classes_there},
        r"unique|set\(",
    ),
    Slip(
        "the logarithm is taken of the mean, and not the mean of the logarithms",
        "Each picture has a logarithm of its own; then they are averaged.",
        leep_by(answer=lambda expected, y: np.log(expected.mean())),
        r"log",
    ),
    Slip(
        "the logarithm is missing",
        "That is the mean expected probability. LEEP is the mean of its logarithms.",
        leep_by(answer=lambda expected, y: expected.mean()),
        r"mean",
    ),
    Slip(
        "it is the sum over the pictures, and not their mean",
        "Twice as many pictures of the same kind should get the same score.",
        leep_by(answer=lambda expected, y: np.log(expected).sum()),
        r"sum",
    ),
    Slip(
        "the sign is turned round",
        "The logarithm of a probability is at most 0, and higher is better.",
        leep_by(answer=lambda expected, y: -np.log(expected).mean()),
        r"-",
    ),
    Slip(
        "the logarithm is that to the base 2",
        "Natural logarithms: the score is in nats.",
        leep_by(answer=lambda expected, y: np.log2(expected).mean()),
        r"log2",
    ),
    Slip(
        "the logarithm is that to the base 10",
        "Natural logarithms: the score is in nats.",
        leep_by(answer=lambda expected, y: np.log10(expected).mean()),
        r"log10",
    ),
    Slip(
        "every new class has the same say, however few its pictures are",
        "The mean runs over the pictures.",
        leep_by(answer=by_class),
        r"for|unique",
    ),
    Slip(
        "only the most probable old class of each picture counts",
        "The old network hedges, and LEEP keeps that: the sum runs over all old classes.",
        leep_by(see=lambda p: np.eye(p.shape[1])[p.argmax(axis=1)]),
        r"argmax",
    ),
    Slip(
        "the expectation takes the most probable old class alone",
        "The sum over z has p[i, z] for every z in it.",
        leep_by(expect=lambda conditional, y, p: conditional[y, p.argmax(axis=1)]),
        r"argmax",
    ),
    Slip(
        "the expectation is not weighed with p",
        "sum over z of P(y_i | z) p[i, z]: where is the second factor?",
        leep_by(expect=lambda conditional, y, p: conditional[y].sum(axis=1)),
        r"sum",
    ),
    Slip(
        "the logarithm is taken within the sum over the old classes",
        "First the expected probability of the picture's class, then its logarithm.",
        leep_by(
            answer=lambda expected, y: expected.mean(),
            expect=lambda conditional, y, p: (np.log(np.where(conditional > 0, conditional, 1))[y] * p).sum(axis=1),
        ),
        r"log",
    ),
    Slip(
        "an old class that is never named gives NaN",
        "0 / 0: no picture has any probability of it. What should it add?",
        leep_by(lambda joint: joint / joint.sum(axis=0)),
        r"/",
    ),
    Slip(
        "softmax is taken of what are probabilities already",
        "The rows of p have the sum 1. Take them as they are.",
        leep_by(see=softmax_rows),
        r"exp",
    ),
    Slip(
        "the most probable new class counts, whichever is the picture's own",
        "P(y_i | z): the class that the picture really has.",
        leep_by(expect=lambda conditional, y, p: (p @ conditional.T).max(axis=1)),
        r"max",
    ),
)


def between(
    centre: Callable = lambda codes: codes - codes.mean(axis=0),
    means: Callable = lambda F, y: np.stack([F[y == label].mean(axis=0) for label in y]),
    score: Callable = lambda F, G: np.trace(inverse(F.T @ F / len(F)) @ (G.T @ G / len(G))),
) -> dict[str, Callable]:
    """h_score() that centres otherwise, has other class means (N, D), or another score of F and G."""

    def h_score(codes: np.ndarray, y: np.ndarray) -> float:
        F = centre(codes)
        return float(score(F, means(F, y)))

    return {"h_score": h_score}


def inverse(covariance: np.ndarray, least: float = 1e-6) -> np.ndarray:
    return np.linalg.pinv(covariance, rcond=least, hermitian=True)


def cov(F: np.ndarray) -> np.ndarray:
    return F.T @ F / len(F)


def one_row_a_class(F: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([F[y == label].mean(axis=0) for label in np.unique(y)])


H_SLIPS = (
    Slip(
        "the codes are not centred",
        "A covariance is about the mean. Subtract it from the codes first, feature by feature.",
        between(centre=lambda codes: codes),
        r"codes\.T|codes|cov",
    ),
    Slip(
        "one mean of all numbers is subtracted, and not that of each feature",
        "The mean over the pictures: along which axis?",
        between(centre=lambda codes: codes - codes.mean()),
        r"mean\(\)",
    ),
    Slip(
        "each code is centred by itself",
        "The mean over the pictures: along which axis?",
        between(centre=lambda codes: codes - codes.mean(axis=1, keepdims=True)),
        r"axis ?= ?1",
    ),
    Slip(
        "the codes are standardised, and directions that count as 0 change with it",
        "Only the mean is subtracted.",
        between(centre=lambda codes: (codes - codes.mean(axis=0)) / (codes.std(axis=0) + 1e-12)),
        r"std",
    ),
    Slip(
        "every class has the same say, however few its pictures are",
        "G has a row for each picture, so a large class is in C_G as often as it has pictures.",
        between(means=one_row_a_class),
        r"unique|cov|/",
    ),
    Slip(
        "every class has the same say, and its mean is taken about the mean of the means",
        "G has a row for each picture, so a large class is in C_G as often as it has pictures.",
        between(means=lambda F, y: (rows := one_row_a_class(F, y)) - rows.mean(axis=0)),
        r"unique|cov|/",
    ),
    Slip(
        "the covariance is inverted as if it always had an inverse",
        "A feature that never changes, or more features than pictures, and it has none. What takes the place of an inverse?",
        between(score=lambda F, G: np.trace(np.linalg.inv(cov(F)) @ cov(G))),
        r"inv\(|solve",
    ),
    Slip(
        "directions of hardly any variance count in the pseudo-inverse",
        "Eigenvalues below 1e-6 of the largest are to count as 0. What does pinv take, if nothing is said?",
        between(score=lambda F, G: np.trace(inverse(cov(F), 1e-15) @ cov(G))),
        r"pinv",
    ),
    Slip(
        "eigenvalues count as 0 by their own size, and not beside the largest one",
        "Codes ten times as large should get the same score. Compare with the largest eigenvalue.",
        between(score=lambda F, G: np.trace(absolute_pinv(cov(F)) @ cov(G))),
        r"1e-6",
    ),
    Slip(
        "the two covariances are divided by different numbers",
        "np.cov divides by N - 1. Then both must be, or neither.",
        between(score=lambda F, G: np.trace(inverse(cov(F) * len(F) / (len(F) - 1)) @ cov(G))),
        r"np\.cov|- ?1",
    ),
    Slip(
        "the covariance between the classes is not divided by N",
        "Both covariances are means over the pictures.",
        between(score=lambda F, G: np.trace(inverse(cov(F)) @ (G.T @ G))),
        r"\.T @",
    ),
    Slip(
        "the covariances have changed places",
        "pinv(C_F) C_G: the whole is inverted, the part between the classes is not.",
        between(score=lambda F, G: np.trace(inverse(cov(G)) @ cov(F))),
        r"pinv",
    ),
    Slip(
        "the part within the classes is taken, and not that between them",
        "G has the class means. What is left when they are subtracted is the rest.",
        between(score=lambda F, G: np.trace(inverse(cov(F)) @ cov(F - G))),
        r"- ",
    ),
    Slip(
        "the part between the classes is compared with that within them",
        "That is Fisher's ratio. The H-score compares it with the whole, C_F.",
        between(score=lambda F, G: np.trace(inverse(cov(F - G)) @ cov(G))),
        r"- ",
    ),
    Slip(
        "two traces are divided, and no matrix is inverted",
        "That forgets that features vary together. It is the trace of a product with the pseudo-inverse.",
        between(score=lambda F, G: np.trace(cov(G)) / np.trace(cov(F))),
        r"trace|sum",
    ),
    Slip(
        "only the diagonals are multiplied",
        "* multiplies entry by entry, @ multiplies matrices.",
        between(score=lambda F, G: np.trace(inverse(cov(F)) * cov(G))),
        r"\*",
    ),
    Slip(
        "features are taken one by one: their covariances are left out",
        "C_F has the covariances of every two features in it.",
        between(score=lambda F, G: sum_of_ratios((F * F).mean(axis=0), (G * G).mean(axis=0))),
        r"var|/",
    ),
    Slip(
        "all entries are added up, and not the diagonal",
        "The trace is the sum of the diagonal.",
        between(score=lambda F, G: (inverse(cov(F)) @ cov(G)).sum()),
        r"sum",
    ),
    Slip(
        "it is divided by the number of features",
        "The score is a sum over directions: at most K - 1, however many features there are.",
        between(score=lambda F, G: np.trace(inverse(cov(F)) @ cov(G)) / F.shape[1]),
        r"/|mean",
    ),
    Slip(
        "it is divided by K - 1",
        "Then it would be at most 1. The score as it is defined is at most K - 1.",
        {"h_score": lambda codes, y: solution.h_score(codes, y) / (len(np.unique(y)) - 1)},
        r"- ?1",
    ),
    Slip(
        "the covariances are those of the pictures, (N, N)",
        "C_F and C_G have the shape (D, D): which of the two factors is transposed?",
        between(score=lambda F, G: np.trace(inverse(F @ F.T / len(F)) @ (G @ G.T / len(G)))),
        r"@ .*\.T",
    ),
)


def absolute_pinv(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.where(values > 1e-6, 1 / np.where(values > 1e-6, values, 1), 0)) @ vectors.T


def sum_of_ratios(whole: np.ndarray, part: np.ndarray) -> float:
    return float((part / np.where(whole > 0, whole, 1)).sum())


# ---- Task 5: a recommendation


def gain_and_error(d: np.ndarray) -> tuple[float, float]:
    return float(d.mean()), float(d.std(ddof=1) / np.sqrt(len(d)))


def advice(
    better: Callable = lambda gain, error, last, earlier: gain > 2 * error,
    many: Callable = lambda per_class: per_class >= 200,
    similar: Callable = lambda shift, better: not better if shift is None else shift <= 0.035,
    words: dict[tuple[bool, bool, bool], str] | None = None,
) -> dict[str, Callable]:
    """recommend() with another criterion, or other words for (many, similar, earlier codes surely better)."""

    def recommend(per_class: float, shift: float | None, last: np.ndarray, earlier: np.ndarray) -> str:
        surely = bool(better(*gain_and_error(earlier - last), last, earlier))
        return (WORDS | (words or {}))[bool(many(per_class)), bool(similar(shift, surely)), surely]

    return {"recommend": recommend}


WORDS = {(True, similar, better): "finetune-all" for similar in (True, False) for better in (True, False)} | {
    (False, True, True): "finetune-upper",
    (False, True, False): "svm",
    (False, False, True): "svm-earlier",
    (False, False, False): "finetune-upper",
}


def unpaired(gain: float, error: float, last: np.ndarray, earlier: np.ndarray) -> bool:
    return gain > 2 * np.sqrt((last.var(ddof=1) + earlier.var(ddof=1)) / len(last))


def binomial(gain: float, error: float, last: np.ndarray, earlier: np.ndarray) -> bool:
    p = np.array([last.mean(), earlier.mean()])
    return gain > 2 * np.sqrt((p * (1 - p)).sum() / len(last))


def of_the_best(gain: float, error: float, last: np.ndarray, earlier: np.ndarray) -> bool:
    return gain > 2 * earlier.std(ddof=1) / np.sqrt(len(last))


RECOMMEND_SLIPS = (
    Slip(
        "200 pictures of a class do not count as many",
        "Many: 200, or more.",
        advice(many=lambda per_class: per_class > 200),
        r"> ?200|<= ?200",
    ),
    Slip(
        "few and many have changed places",
        "In which direction does your comparison go?",
        advice(many=lambda per_class: per_class < 200),
        r"200",
    ),
    Slip(
        "a shift of 0.035 itself does not count as similar",
        "Similar: 0.035, or less.",
        advice(similar=lambda shift, better: not better if shift is None else shift < 0.035),
        r"0\.035",
    ),
    Slip(
        "similar and different have changed places",
        "A large shift means that the pictures are unlike the old ones.",
        advice(similar=lambda shift, better: not better if shift is None else shift > 0.035),
        r"0\.035",
    ),
    Slip(
        "a shift of 0 is taken for one that is missing",
        "In Python `not 0.0` is true. What is the test for None?",
        advice(similar=lambda shift, better: not better if not shift else shift <= 0.035),
        r"not shift|if shift|shift or|shift and",
    ),
    Slip(
        "without a shift the pictures always count as similar",
        "Where it is None the codes themselves tell: are earlier ones surely better?",
        advice(similar=lambda shift, better: shift is None or shift <= 0.035),
        r"None",
    ),
    Slip(
        "without a shift the pictures always count as different",
        "Where it is None the codes themselves tell: are earlier ones surely better?",
        advice(similar=lambda shift, better: shift is not None and shift <= 0.035),
        r"None",
    ),
    Slip(
        "without a shift it is the wrong way round",
        "If earlier codes are better, the last layers are too special: are the pictures then similar, or different?",
        advice(similar=lambda shift, better: better if shift is None else shift <= 0.035),
        r"None",
    ),
    Slip(
        "without a shift it breaks off",
        "A network without batch norm has none: shift is None, which cannot be compared with a number.",
        advice(similar=lambda shift, better: shift <= 0.035),
        r"0\.035",
    ),
    Slip(
        "one standard error is enough for surely better",
        "The best of several earlier codes was taken, which looks good by chance alone. How many errors are asked for?",
        advice(lambda gain, error, last, earlier: gain > error),
        r">|<",
    ),
    Slip(
        "any gain counts as surely better",
        "How large is the gain beside its error?",
        advice(lambda gain, error, last, earlier: gain > 0),
        r"> ?0|mean",
    ),
    Slip(
        "no gain with no error counts as surely better",
        "Two codes that are right about the same pictures: 0 > 2 * 0?",
        advice(lambda gain, error, last, earlier: gain >= 2 * error),
        r">=|<=",
    ),
    Slip(
        "a loss counts like a gain",
        "Surely better, not surely other.",
        advice(lambda gain, error, last, earlier: abs(gain) > 2 * error),
        r"abs",
    ),
    Slip(
        "the last codes less the earlier ones are taken",
        "d = earlier - last.",
        advice(lambda gain, error, last, earlier: -gain > 2 * error),
        r"last ?- ?earlier|<",
    ),
    Slip(
        "the error is that of two separate sets of pictures",
        "Both codes were asked about the same pictures. Take the differences first, picture by picture.",
        advice(unpaired),
        r"\+",
    ),
    Slip(
        "the error is the binomial one of two separate sets of pictures",
        "Both codes were asked about the same pictures. Take the differences first, picture by picture.",
        advice(binomial),
        r"1 ?-",
    ),
    Slip(
        "the error is that of the earlier codes alone",
        "It is the difference that has to be sure.",
        advice(of_the_best),
        r"earlier\.(?:std|var)|std\(earlier",
    ),
    Slip(
        "the standard deviation is divided by N, and not by N - 1",
        "np.std divides by N unless it is told otherwise: ddof.",
        advice(lambda gain, error, last, earlier: gain > 2 * (earlier - last).std() / np.sqrt(len(last))),
        r"std|var",
    ),
    Slip(
        "the standard deviation is not divided by the root of N",
        "That is how much a single picture's difference scatters; the mean of N scatters less.",
        advice(lambda gain, error, last, earlier: gain > 2 * error * np.sqrt(len(last))),
        r"std",
    ),
    Slip(
        "the standard deviation is divided by N, where its root belongs",
        "Four times as many pictures halve the error.",
        advice(lambda gain, error, last, earlier: gain > 2 * error / np.sqrt(len(last))),
        r"/ ?len|/ ?N|/ ?n",
    ),
    Slip(
        "many and different pictures train a network from scratch",
        "The table says otherwise: what do the pretrained weights save, even there?",
        advice(words={(True, False, False): "scratch", (True, False, True): "scratch"}),
        r"scratch",
    ),
    Slip(
        "many and similar pictures train the upper layers only",
        "So many can retrain the whole network.",
        advice(words={(True, True, False): "finetune-upper", (True, True, True): "finetune-upper"}),
        r"finetune-upper",
    ),
    Slip(
        "many pictures whose earlier codes are better get no fine-tuning",
        "With many pictures the codes are not asked.",
        advice(words={(True, True, True): "svm-earlier", (True, False, True): "svm-earlier"}),
        r"svm-earlier",
    ),
    Slip(
        "few and similar pictures always get a classifier on the last codes",
        "That is the lecture's quadrant alone. What if earlier codes are surely better?",
        advice(words={(False, True, True): "svm"}),
        r"svm",
    ),
    Slip(
        "few and similar pictures whose earlier codes are better get a classifier on those",
        "The network fits these pictures, only its last layers do not yet. What does the table say?",
        advice(words={(False, True, True): "svm-earlier"}),
        r"svm-earlier",
    ),
    Slip(
        "few and different pictures always get a classifier on earlier codes",
        "That is the lecture's quadrant alone. What if the earlier codes are not surely better?",
        advice(words={(False, False, False): "svm-earlier"}),
        r"svm-earlier",
    ),
    Slip(
        "few and different pictures get a classifier on the last codes, where earlier ones are not better",
        "The network does not fit these pictures: its upper layers have to learn. What does the table say?",
        advice(words={(False, False, False): "svm"}),
        r"svm",
    ),
    Slip(
        "few and different pictures have their two answers exchanged",
        "Which of them is for earlier codes that are surely better?",
        advice(words={(False, False, True): "finetune-upper", (False, False, False): "svm-earlier"}),
        r"svm-earlier|finetune-upper",
    ),
    Slip(
        "few and similar pictures have their two answers exchanged",
        "Which of them is for earlier codes that are surely better?",
        advice(words={(False, True, True): "svm", (False, True, False): "finetune-upper"}),
        r"svm|finetune-upper",
    ),
)
