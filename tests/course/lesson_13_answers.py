"""Answers to the tasks of lesson 13: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` lists (what it does, functions in place of the solution's, title of the slip that should be named or None);
``RIGHT[task]`` (how, functions).
"""

import math
from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
from scipy import linalg, stats
from scipy.spatial.distance import cdist

WRONG, RIGHT = {}, {}

# ---- 1: an accuracy and its error


def share_by_counting(right):
    hits = 0
    for answer in right:
        if answer:
            hits += 1
    p = hits / len(right)
    return p, math.sqrt(p * (1 - p)) / math.sqrt(len(right))


def share_by_std(right):
    values = np.asarray(right, float)
    return [values.mean(), values.std() / np.sqrt(values.size)]


def share_by_scipy(right):
    n, hits = right.size, np.count_nonzero(right)
    return np.float64(hits / n), stats.binom.std(n, hits / n) / n


# ---- 1: the sign test


def sign_by_scipy(right_a, right_b):
    a, b = np.sum(right_a > right_b), np.sum(right_a < right_b)
    return a, b, stats.binomtest(int(a), int(a + b)).pvalue if a + b else 1.0


def sign_by_cdf(right_a, right_b):
    d = right_a.astype(int) - right_b.astype(int)
    plus, minus = (d == 1).sum(), (d == -1).sum()
    return plus, minus, min(1, 2 * stats.binom(plus + minus, 0.5).cdf(min(plus, minus)))


def sign_by_fractions(right_a, right_b):
    a = b = 0
    for x, y in zip(right_a, right_b, strict=False):
        a += bool(x) and not y
        b += bool(y) and not x
    term = total = Fraction(1)
    for j in range(1, min(a, b) + 1):
        term = term * (a + b - j + 1) / j
        total += term
    return a, b, float(min(Fraction(1), 2 * total / 2 ** (a + b)))


def sign_by_logarithms(right_a, right_b):
    only_a = np.logical_and(right_a, np.logical_not(right_b)).sum()
    only_b = np.logical_and(right_b, np.logical_not(right_a)).sum()
    n, j = only_a + only_b, np.arange(min(only_a, only_b) + 1)
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2) for i in j]
    return [only_a, only_b, np.minimum(1.0, 2 * np.exp(logs).sum())]


def signed(p, swap=False):
    """A sign test with p(a, b) of the two counts."""

    def sign_test(right_a, right_b):
        d = np.subtract(right_a, right_b, dtype=int)
        a, b = int((d > 0).sum()), int((d < 0).sum())
        return (b, a, p(a, b)) if swap else (a, b, p(a, b))

    return {"sign_test": sign_test}


def cdf(m, n):
    return float(stats.binom.cdf(m, n, 0.5))


def pmf(m, n):
    return float(stats.binom.pmf(m, n, 0.5))


def ties_counted(right_a, right_b):
    a, b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    return a, b, min(1.0, 2 * stats.binom.cdf(min(a, b), right_a.size, 0.5))


def ties_halved(right_a, right_b):
    a, b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    ties = int((right_a == right_b).sum())
    return a, b, min(1.0, 2 * stats.binom.cdf(min(a, b) + ties // 2, len(right_a), 0.5))


def all_hits(right_a, right_b):
    a, b = np.count_nonzero(right_a), np.count_nonzero(right_b)
    return a, b, min(1.0, 2 * cdf(min(a, b), a + b))


def agreeing(right_a, right_b):
    a, b = int(np.sum(right_a * right_b)), int(np.sum((1 - right_a) * (1 - right_b)))
    return a, b, min(1.0, 2 * cdf(min(a, b), a + b))


def chi_square(right_a, right_b, correction=0):
    a, b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    if a + b == 0:
        return a, b, 1.0
    return a, b, float(stats.chi2.sf(max(abs(a - b) - correction, 0) ** 2 / (a + b), 1))


def two_proportions(right_a, right_b):
    pa, pb, n = np.mean(right_a), np.mean(right_b), len(right_a)
    z = (pa - pb) / np.sqrt(pa * (1 - pa) / n + pb * (1 - pb) / n)
    only_a, only_b = (right_a & ~right_b).sum(), (right_b & ~right_a).sum()
    return int(only_a), int(only_b), float(2 * stats.norm.sf(abs(z)))


def terms_in_floats(a, b):
    total = 0.0
    for j in range(min(a, b) + 1):
        total += math.comb(a + b, j) * 0.5 ** (a + b)
    return min(1.0, 2 * total)


def running_product(a, b):
    """The first term is 0.5 ** n, and the others are multiples of it."""
    n, term = a + b, 0.5 ** (a + b)
    total = term
    for j in range(1, min(a, b) + 1):
        term *= (n - j + 1) / j
        total += term
    return min(1.0, 2 * total)


def no_case_for_equal(right_a, right_b):
    a, b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    return a, b, math.erfc(abs(a - b) / math.sqrt(a + b) / math.sqrt(2))


def error(function):
    return {"accuracy_and_error": lambda right: (np.mean(right), function(np.mean(right), len(right)))}


WRONG[1] = [
    ("variance", error(lambda p, n: p * (1 - p) / n), "the root is missing: that is the variance of the share"),
    (
        "std of the answers",
        {"accuracy_and_error": lambda right: (right.mean(), right.std())},
        "it is not divided by N: that is how much a single picture scatters",
    ),
    (
        "std over n",
        {"accuracy_and_error": lambda right: (right.mean(), right.std() / right.size)},
        "N stands outside the root",
    ),
    (
        "sem with ddof 1",
        {"accuracy_and_error": lambda right: (right.mean(), stats.sem(right.astype(float)))},
        "it is divided by N - 1",
    ),
    ("sqrt(p / n)", error(lambda p, n: (p / n) ** 0.5), "1 - p is missing"),
    ("a rule of thumb", error(lambda p, n: 1 / (2 * n**0.5)), "the error is that of p = 1/2, whatever p is"),
    (
        "an interval",
        error(lambda p, n: 1.96 * math.sqrt(p * (1 - p) / n)),
        "it is half of a 95 % interval, and not one standard error",
    ),
    ("two of them", error(lambda p, n: math.sqrt(4 * p * (1 - p) / n)), "it is two standard errors"),
    (
        "error rate",
        {"accuracy_and_error": lambda right: share_by_counting(~right)},
        "the share of wrong pictures is returned",
    ),
    (
        "a count",
        {"accuracy_and_error": lambda right: (sum(right), share_by_std(right)[1])},
        "the number of right pictures is returned, and not their share",
    ),
    (
        "per cent",
        {"accuracy_and_error": lambda right: [100 * value for value in share_by_counting(right)]},
        "both are in per cent",
    ),
    (
        "binomial std",
        error(lambda p, n: float(stats.binom.std(n, p))),
        "the error is that of the number of right pictures, and not of their share",
    ),
    ("one-sided", signed(lambda a, b: cdf(min(a, b), a + b)), "the test is one-sided: the factor 2 is missing"),
    (
        "not capped",
        signed(lambda a, b: 2 * cdf(min(a, b), a + b)),
        "p is larger than 1 where both are ahead equally often",
    ),
    ("ties counted", {"sign_test": ties_counted}, "the pictures on which both agree are tosses as well"),
    ("ties halved", {"sign_test": ties_halved}, "the pictures on which both agree are shared out between the two"),
    (
        "strictly below",
        signed(lambda a, b: min(1.0, 2 * cdf(min(a, b) - 1, a + b))),
        "the observed number itself is missing from the tail",
    ),
    (
        "pmf",
        signed(lambda a, b: min(1.0, 2 * pmf(b, a + b))),
        "only the probability of this very number is taken, and not of all that are as extreme",
    ),
    (
        "up to the larger",
        signed(lambda a, b: min(1.0, 2 * cdf(max(a, b), a + b))),
        "the tail reaches up to the larger of the two numbers",
    ),
    (
        "up to a",
        signed(lambda a, b: min(1.0, 2 * cdf(a, a + b))),
        "the tail reaches up to only_a, whichever is the smaller",
    ),
    ("exchanged", signed(lambda a, b: min(1.0, 2 * cdf(min(a, b), a + b)), swap=True), "the two counts are exchanged"),
    ("all hits", {"sign_test": all_hits}, "all that a classifier has right is counted, what both have right as well"),
    ("agreement", {"sign_test": agreeing}, "the pictures are counted on which both agree"),
    (
        "nothing to tell",
        signed(lambda a, b: 0.0 if a == b == 0 else min(1.0, 2 * cdf(min(a, b), a + b))),
        "where the two never differ p is not 1",
    ),
    ("chi-square", {"sign_test": chi_square}, "that is McNemar's approximation by a chi-square"),
    (
        "chi-square, corrected",
        {"sign_test": lambda a, b: chi_square(a, b, 1)},
        "that is McNemar's approximation, with the continuity correction",
    ),
    ("chi-square over 0", {"sign_test": no_case_for_equal}, "where the two never differ it is divided by 0"),
    (
        "two proportions",
        {"sign_test": two_proportions},
        "the two are compared as if they had been asked about different pictures",
    ),
    ("terms in floats", signed(terms_in_floats), "floating point is left, with some thousand pictures"),
    ("a running product", signed(running_product), "p is 0 with some thousand pictures"),
]
RIGHT[1] = [
    ("counting, and scipy's test", {"accuracy_and_error": share_by_counting, "sign_test": sign_by_scipy}),
    ("by the standard deviation, and the cdf", {"accuracy_and_error": share_by_std, "sign_test": sign_by_cdf}),
    ("scipy, and fractions", {"accuracy_and_error": share_by_scipy, "sign_test": sign_by_fractions}),
    ("logarithms", {"sign_test": sign_by_logarithms}),
]

# ---- 2: nearest neighbours


def knn_loops(codes, y, k):
    labels = []
    for i, code in enumerate(codes):
        others = sorted((float(((code - other) ** 2).sum()), j) for j, other in enumerate(codes) if j != i)
        votes = Counter(int(y[j]) for _, j in others[:k])
        labels.append(votes.most_common(1)[0][0])  # of equals the one that was counted first
    return labels


def knn_expanded(codes, y, k):
    squares = (codes * codes).sum(axis=1)
    d = squares[:, None] + squares - 2 * codes @ codes.T
    d[np.diag_indices(len(d))] = np.inf
    order = d.argsort(axis=1, kind="stable")[:, :k]
    classes, number = np.unique(y, return_inverse=True)
    votes = np.eye(len(classes))[number[order]]  # (N, k, K)
    first = np.argmax(votes, axis=1)  # the place of the first vote of each class
    best = votes.sum(axis=1) - (first + k * (votes.sum(axis=1) == 0)) / (4 * k)
    return classes[best.argmax(axis=1)]


def knn_lexsort(codes, y, k):
    d, rows = cdist(codes, codes, "sqeuclidean"), np.arange(len(y))
    out = np.empty(len(y), y.dtype)
    for i in rows:
        near = y[np.lexsort((rows, d[i], rows == i))[:k]]
        counts = np.array([(near == label).sum() for label in near])
        out[i] = near[counts.argmax()]
    return out


def voting(vote, near=None):
    """k nearest others, by near(d, i, k), whose labels vote."""
    near = near or (lambda d, i, k: [j for j in np.argsort(d, kind="stable") if j != i][:k])

    def knn_predictions(codes, y, k):
        d = cdist(codes, codes, "sqeuclidean")
        return np.array([vote(y[near(d[i], i, k)]) for i in range(len(y))])

    return {"knn_predictions": knn_predictions}


def first_of_most(labels):
    counts = Counter(labels.tolist())
    return max(counts, key=counts.get)


def by_bincount(labels):
    return np.bincount(labels).argmax()


def by_mode(labels):
    return int(stats.mode(labels).mode)


def by_last_of_most(labels):
    best, most = None, 0
    for label in labels[::-1]:
        count = (labels == label).sum()
        if count > most:
            best, most = label, count
    return best


def by_largest_label(labels):
    values, counts = np.unique(labels, return_counts=True)
    return values[counts == counts.max()].max()


def order_of(d):
    return np.argsort(d, kind="stable")


def zero_is_itself(d, i, k):
    return [j for j in order_of(d) if d[j] != 0][:k]


def zeros_at_infinity(codes, y, k):
    d = cdist(codes, codes)
    d[d == 0] = np.inf
    return np.array([first_of_most(y[order_of(row)[:k]]) for row in d])


def later_of_equals(d, i, k):
    return sorted((j for j in range(len(d)) if j != i), key=lambda j: (d[j], -j))[:k]


def other_distance(metric, code=lambda codes: codes):
    def knn_predictions(codes, y, k):
        d = np.round(cdist(code(codes), code(codes), metric), 9)
        np.fill_diagonal(d, np.inf)
        return np.array([first_of_most(y[order_of(row)[:k]]) for row in d])

    return {"knn_predictions": knn_predictions}


def weighted(codes, y, k):
    d = cdist(codes, codes)
    np.fill_diagonal(d, np.inf)
    labels = []
    for row in d:
        votes = defaultdict(float)
        for j in order_of(row)[:k]:
            votes[y[j]] += 1 / (row[j] + 1e-9)
        labels.append(max(votes, key=votes.get))
    return np.array(labels)


def class_positions(codes, y, k):
    _classes, number = np.unique(y, return_inverse=True)
    return np.array(knn_loops(codes, number, k))


def centroids(codes, y, k):
    classes = sorted(set(y.tolist()))
    return np.array([min(classes, key=lambda c: ((codes[y == c].mean(axis=0) - code) ** 2).sum()) for code in codes])


def nearest_rows(codes, y, k):
    d = cdist(codes, codes)
    np.fill_diagonal(d, np.inf)
    return d.argmin(axis=1)


WRONG[2] = [
    ("itself too", voting(first_of_most, lambda d, i, k: order_of(d)[:k]), "the picture itself has a vote"),
    (
        "itself first",
        voting(first_of_most, lambda d, i, k: np.array([i, *[j for j in order_of(d) if j != i]])[:k]),
        "the picture itself has a vote, before all others",
    ),
    (
        "first left out",
        voting(first_of_most, lambda d, i, k: order_of(d)[1 : k + 1]),
        "the first in the order is left out, and that need not be the picture itself",
    ),
    ("zero is itself", voting(first_of_most, zero_is_itself), "doubles of the picture are left out as well"),
    ("zeros at infinity", {"knn_predictions": zeros_at_infinity}, "doubles of the picture are left out as well"),
    ("later of equals", voting(first_of_most, later_of_equals), "of equally near pictures the later one comes first"),
    ("bincount", voting(by_bincount), "of classes with equally many votes the smallest label wins"),
    ("mode", voting(by_mode), "of classes with equally many votes the smallest label wins"),
    ("largest label", voting(by_largest_label), "of classes with equally many votes the largest label wins"),
    ("last of most", voting(by_last_of_most), "of classes with equally many votes the one wins that is reached last"),
    (
        "one too few",
        voting(first_of_most, lambda d, i, k: [j for j in order_of(d) if j != i][: k - 1 or 1]),
        "one neighbour too few is asked",
    ),
    (
        "one too many",
        voting(first_of_most, lambda d, i, k: [j for j in order_of(d) if j != i][: k + 1]),
        "one neighbour too many is asked",
    ),
    (
        "one nearest",
        {"knn_predictions": lambda codes, y, k: y[nearest_rows(codes, y, k)]},
        "only the nearest picture is asked, whatever k is",
    ),
    (
        "all others",
        voting(first_of_most, lambda d, i, k: [j for j in order_of(d) if j != i]),
        "all others are asked, whatever k is",
    ),
    (
        "farthest",
        voting(first_of_most, lambda d, i, k: [j for j in order_of(-d) if j != i][:k]),
        "the farthest pictures are asked",
    ),
    ("city blocks", other_distance("cityblock"), "distances are added up without squares"),
    ("cosine", other_distance("cosine"), "near is what has a small angle, and not a small distance"),
    ("standardised", other_distance("sqeuclidean", stats.zscore), "the codes are standardised first"),
    ("weighted votes", {"knn_predictions": weighted}, "near pictures have a larger vote than distant ones"),
    ("mean of labels", voting(lambda labels: round(float(labels.mean()))), "the labels are averaged"),
    ("median", voting(lambda labels: int(np.median(labels))), "the median of the labels is taken"),
    ("class positions", {"knn_predictions": class_positions}, "the classes are numbered anew"),
    (
        "nearest rows",
        {"knn_predictions": nearest_rows},
        "the number of the nearest picture comes back, and not its class",
    ),
    (
        "accuracy",
        {"knn_predictions": lambda codes, y, k: np.mean(np.array(knn_loops(codes, y, k)) == y)},
        "the share of right predictions comes back, and not the predictions",
    ),
    (
        "which are right",
        {"knn_predictions": lambda codes, y, k: np.array(knn_loops(codes, y, k)) == y},
        "it comes back which predictions are right, and not the predictions",
    ),
    ("centroids", {"knn_predictions": centroids}, "each picture goes to the class with the nearest mean"),
]
RIGHT[2] = [
    ("loops and a counter, a list", {"knn_predictions": knn_loops}),
    ("by a matrix product, and votes in one array", {"knn_predictions": knn_expanded}),
    ("lexsort", {"knn_predictions": knn_lexsort}),
    ("floats", {"knn_predictions": lambda codes, y, k: np.array(knn_loops(codes, y, k), float)}),
]

# ---- 3: cross-validation


def held_out_loops(fit, codes, y, folds):
    right = [None] * len(y)
    for fold in set(folds.tolist()):
        train = [i for i in range(len(y)) if folds[i] != fold]
        test = [i for i in range(len(y)) if folds[i] == fold]
        predicted = fit(codes[train], y[train]).predict(codes[test])
        for i, label in zip(test, predicted, strict=False):
            right[i] = bool(label == y[i])
    return right


def held_out_picture_by_picture(fit, codes, y, folds):
    predicted = [fit(codes[folds != f], y[folds != f]).predict(codes[i : i + 1])[0] for i, f in enumerate(folds)]
    return np.equal(predicted, y)


def held_out_concatenated(fit, codes, y, folds):
    parts = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    answers = []
    for part in parts:
        rest = np.setdiff1d(np.arange(len(y)), part)
        answers.append(fit(codes[rest], y[rest]).predict(codes[part]) == y[part])
    return np.concatenate(answers)[np.argsort(np.concatenate(parts))]


def held_out_numbers(fit, codes, y, folds):
    return np.array(held_out_loops(fit, codes, y, folds), int)


def crossed(train, test, numbers=lambda folds: np.unique(folds), finish=lambda marks, folds, y: marks):
    """Cross-validation with masks train(folds, f) and test(folds, f)."""

    def held_out(fit, codes, y, folds):
        marks = np.full(len(y), False)
        for f in numbers(folds):
            a, b = train(folds, f), test(folds, f)
            marks[b] = fit(codes[a], y[a]).predict(codes[b]) == y[b]
        return finish(marks, folds, y)

    return {"held_out": held_out}


def others(folds, f):
    return np.flatnonzero(folds != f)


def own(folds, f):
    return np.flatnonzero(folds == f)


def trained_once(fit, codes, y, folds):
    classifier = fit(codes, y)
    right = np.zeros(len(y), bool)
    for f in np.unique(folds):
        right[folds == f] = classifier.predict(codes[folds == f]) == y[folds == f]
    return right


def appended(fit, codes, y, folds):
    right = []
    for f in np.unique(folds):
        right.extend(fit(codes[folds != f], y[folds != f]).predict(codes[folds == f]) == y[folds == f])
    return np.array(right)


def blocks(fit, codes, y, folds):
    own_folds = np.concatenate([np.full(len(part), j) for j, part in enumerate(np.array_split(y, len(set(folds.tolist()))))])
    return held_out_picture_by_picture(fit, codes, y, own_folds)


def blocks_by_division(fit, codes, y, folds):
    number = len(np.unique(folds))
    return held_out_picture_by_picture(fit, codes, y, np.array([i * number // len(y) for i in range(len(y))]))


def every_so_many(fit, codes, y, folds):
    number, right = len(set(folds.tolist())), np.zeros(len(y), bool)
    for start in range(number):
        test = np.zeros(len(y), bool)
        test[start::number] = True
        right[test] = fit(codes[~test], y[~test]).predict(codes[test]) == y[test]
    return right


def one_at_a_time(fit, codes, y, folds):
    return np.array(
        [
            fit(np.delete(codes, i, axis=0), np.delete(y, i)).predict(codes[i][None])[0] == y[i]
            for i in range(len(y))
        ]
    )  # fmt: skip


def last_answers(fit, codes, y, folds):
    for f in np.unique(folds):
        right = fit(codes[others(folds, f)], y[others(folds, f)]).predict(codes) == y
    return right


def any_of_them(fit, codes, y, folds):
    answers = [fit(codes[others(folds, f)], y[others(folds, f)]).predict(codes) == y for f in np.unique(folds)]
    return np.any(answers, axis=0)


def labels_back(fit, codes, y, folds):
    predicted = y.copy()
    for f in np.unique(folds):
        predicted[folds == f] = fit(codes[folds != f], y[folds != f]).predict(codes[folds == f])
    return predicted


def early_return(fit, codes, y, folds):
    right = np.zeros(len(y), bool)
    for f in sorted(set(folds.tolist())):
        test = folds == f
        right[test] = fit(codes[~test], y[~test]).predict(codes[test]) == y[test]
        return right


def rule_loop(right):
    shares = [sum(row) / len(row) for row in right.tolist()]
    best = max(shares)
    error = math.sqrt(best * (1 - best) / len(right[0]))
    for number, share in enumerate(shares):
        if share + error >= best:
            return number


def rule_std(right):
    p = np.mean(right, axis=-1)
    best = right[p.argmax()]
    return np.flatnonzero(p >= p.max() - best.std() / np.sqrt(best.size))[0]


def rule_while(right):
    p, number = np.count_nonzero(right, axis=1) / right.shape[1], 0
    least = p.max() - (p.max() * (1 - p.max()) / right.shape[1]) ** 0.5
    while p[number] < least:
        number += 1
    return np.int64(number)


def chosen(pick):
    """pick(p, best, N), of shares p, the highest share and the number of pictures."""

    def one_standard_error(right):
        p = np.array([row.sum() for row in right]) / right.shape[1]
        return int(pick(p, p.max(), right.shape[1]))

    return {"one_standard_error": one_standard_error}


def se(p, n):
    return np.sqrt(p * (1 - p) / n)


def first(mask):
    return next((i for i, inside in enumerate(mask) if inside), 0)


def wrong_axis(right):
    p = right.mean(axis=0)
    return first(p >= p.max() - se(p.max(), right.shape[1]))


WRONG[3] = [
    ("trained once", {"held_out": trained_once}, "the classifier is trained on all pictures, those held out too"),
    (
        "all rows every time",
        crossed(lambda folds, f: np.arange(len(folds)), own),
        "the classifier is trained on all pictures, those held out too",
    ),
    ("fold on itself", crossed(own, own), "the classifier is trained on the fold itself, and asked about that"),
    ("the other way round", crossed(own, others), "it is trained on one fold and asked about all others"),
    (
        "last answers",
        {"held_out": last_answers},
        "every classifier answers for all pictures, and the last one's answers stay",
    ),
    (
        "any of them",
        {"held_out": any_of_them},
        "a picture counts as right where any of the classifiers names it rightly",
    ),
    (
        "the past only",
        crossed(lambda folds, f: np.flatnonzero(folds < f), own),
        "it is trained only on folds with smaller numbers",
    ),
    (
        "range of how many",
        crossed(others, own, lambda folds: range(len(set(folds.tolist())))),
        "the folds are taken to be 0, 1, 2 and so on",
    ),
    (
        "range up to the largest",
        crossed(others, own, lambda folds: range(int(max(folds)) + 1)),
        "folds whose numbers are below 0 are never held out",
    ),
    ("return in the loop", {"held_out": early_return}, "only the first fold is held out"),
    (
        "all but the last",
        crossed(others, own, lambda folds: sorted(set(folds.tolist()))[:-1]),
        "the last fold is never held out",
    ),
    (
        "appended",
        {"held_out": appended},
        "the answers come fold after fold, and not in the order of the pictures",
    ),
    ("blocks", {"held_out": blocks_by_division}, "the folds are made anew, of neighbouring rows"),
    ("every so many", {"held_out": every_so_many}, "the folds are made anew, by turns"),
    ("one at a time", {"held_out": one_at_a_time}, "each picture is held out by itself"),
    (
        "mean",
        crossed(others, own, finish=lambda marks, folds, y: np.mean(marks)),
        "the mean comes back, and not an answer for each picture",
    ),
    (
        "mean of each fold",
        crossed(others, own, finish=lambda marks, folds, y: [marks[own(folds, f)].mean() for f in np.unique(folds)]),
        "the accuracy of each fold comes back, and not an answer for each picture",
    ),
    (
        "wrong ones",
        crossed(others, own, finish=lambda marks, folds, y: np.logical_not(marks)),
        "the pictures are marked that are wrong",
    ),
    ("labels", {"held_out": labels_back}, "the predictions come back, and not whether they are right"),
    (
        "the best",
        chosen(lambda p, best, n: np.argmax(p)),
        "that is the best row: without the rule, or with an error that is far too small",
    ),
    (
        "the last within",
        chosen(lambda p, best, n: max(i for i in range(len(p)) if p[i] >= best - se(best, n))),
        "the last row within one standard error is taken",
    ),
    (
        "the worst within",
        chosen(lambda p, best, n: min((share, i) for i, share in enumerate(p) if share >= best - se(best, n))[1]),
        "the worst row within one standard error is taken",
    ),
    (
        "strictly above",
        chosen(lambda p, best, n: first(p > best - se(best, n))),
        "a row must be better than the bound, and not as good as it",
    ),
    (
        "two errors",
        chosen(lambda p, best, n: first(p + 2 * se(best, n) >= best)),
        "two standard errors are allowed, or a 95 % interval",
    ),
    (
        "95 per cent",
        chosen(lambda p, best, n: first(p >= best - 1.96 * se(best, n))),
        "two standard errors are allowed, or a 95 % interval",
    ),
    (
        "own errors",
        chosen(lambda p, best, n: first(p + se(p, n) >= best)),
        "each row's own error is taken, and not that of the best",
    ),
    ("error of the first", chosen(lambda p, best, n: first(p >= best - se(p[0], n))), "the error is that of the first row"),
    ("not divided", chosen(lambda p, best, n: first(p >= best - se(best, 1))), "the error is not divided by N"),
    (
        "divided by N",
        chosen(lambda p, best, n: first(p >= best - se(best, 1) / n)),
        "that is the best row: without the rule, or with an error that is far too small",
    ),
    (
        "a variance",
        chosen(lambda p, best, n: first(p >= best - best * (1 - best) / n)),
        "that is the best row: without the rule, or with an error that is far too small",
    ),
    ("rows for N", chosen(lambda p, best, n: first(p >= best - se(best, len(p)))), "N is taken to be the number of rows"),
    ("wrong axis", {"one_standard_error": wrong_axis}, "the means run over the kinds of codes, and not over the pictures"),
    (
        "near the mean",
        chosen(lambda p, best, n: first(p >= np.mean(p) - se(best, n))),
        "rows are compared with the mean of all rows, and not with the best",
    ),
    (
        "spread of the rows",
        chosen(lambda p, best, n: first(p >= best - np.std(p) / len(p) ** 0.5)),
        "the error is the spread between the rows",
    ),
    (
        "standard deviation of the rows",
        chosen(lambda p, best, n: first(p >= best - np.std(p))),
        "the error is the spread between the rows, and not of a mean",
    ),
]
RIGHT[3] = [
    ("lists and loops", {"held_out": held_out_loops, "one_standard_error": rule_loop}),
    ("picture by picture", {"held_out": held_out_picture_by_picture, "one_standard_error": rule_std}),
    ("concatenated and put in order", {"held_out": held_out_concatenated, "one_standard_error": rule_while}),
    ("zeros and ones", {"held_out": held_out_numbers}),
]

# ---- 4: LEEP and the H-score


def leep_loops(p, y):
    N, Z = p.shape
    K = max(y) + 1
    table = [[sum(p[i][z] for i in range(N) if y[i] == k) for z in range(Z)] for k in range(K)]
    total = 0.0
    for i in range(N):
        expected = 0.0
        for z in range(Z):
            column = sum(table[k][z] for k in range(K))
            if column > 0:
                expected += table[y[i]][z] / column * p[i, z]
        total += math.log(expected)
    return total / N


def leep_add_at(p, y):
    joint = np.zeros((y.max() + 1, p.shape[1]))
    np.add.at(joint, y, p)
    conditional = np.divide(joint, joint.sum(axis=0), out=np.zeros_like(joint), where=joint.sum(axis=0) > 0)
    return np.log(np.einsum("iz,iz->i", conditional[y], p)).mean()


def leep_classes(p, y):
    names, number = np.unique(y, return_inverse=True)
    hot = (number[:, None] == np.arange(len(names))).astype(float)
    used = p[:, p.sum(axis=0) > 0]
    conditional = (hot.T @ used) / used.sum(axis=0)
    return np.log((used @ conditional.T)[np.arange(len(y)), number]).mean()


def leep_like(
    table=lambda joint: joint / (joint.sum(axis=0) + 1e-300), finish=lambda e, y: np.log(e).mean(), answers=None, mix=None
):
    def leep(p, y):
        q = answers(p) if answers else p
        joint = np.array([q[y == k].sum(axis=0) for k in range(y.max() + 1)]) / len(y)
        t = table(joint)
        e = mix(t, q, y) if mix else np.array([t[y[i]] @ q[i] for i in range(len(y))])
        return finish(e, y)

    return {"leep": leep}


def soft(p):
    e = np.exp(p - p.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def hard(p):
    q = np.zeros_like(p)
    q[np.arange(len(p)), p.argmax(axis=1)] = 1
    return q


def log_inside(t, q, y):
    values = []
    for i in range(len(y)):
        values.append(sum(q[i, z] * math.log(t[y[i], z]) for z in range(q.shape[1]) if t[y[i], z] > 0))
    return np.array(values)


def balanced(e, y):
    means = [np.log(e)[y == k].mean() for k in sorted(set(y.tolist()))]
    return sum(means) / len(means)


def dead_columns(p, y):
    joint = np.eye(y.max() + 1)[y].T @ p
    with np.errstate(invalid="ignore"):
        return float(np.log(((joint / joint.sum(axis=0))[y] * p).sum(axis=1)).mean())


def only_classes_there(p, y):
    joint = np.array([p[y == k].sum(axis=0) for k in sorted(set(y.tolist()))])
    conditional = joint / np.maximum(joint.sum(axis=0), 1e-300)
    return np.mean([np.log(conditional[label] @ row) for label, row in zip(y, p, strict=False)])


def equal_classes(joint):
    t = joint / (joint.sum(axis=1, keepdims=True) + 1e-300)
    return t / (t.sum(axis=0) + 1e-300)


def of_new_class(joint):
    return joint / (joint.sum(axis=1, keepdims=True) + 1e-300)


def h_loops(codes, y):
    N, D = codes.shape
    F = codes - codes.mean(axis=0)
    whole, part = np.zeros((D, D)), np.zeros((D, D))
    for i in range(N):
        g = F[y == y[i]].mean(axis=0)
        whole += np.outer(F[i], F[i]) / N
        part += np.outer(g, g) / N
    return np.trace(np.linalg.pinv(whole, rcond=1e-6) @ part)


def h_np_cov(codes, y):
    G = np.zeros_like(codes)
    for label in set(y.tolist()):
        G[y == label] = codes[y == label].mean(axis=0)
    whole, part = np.cov(codes, rowvar=False), np.cov(G, rowvar=False)
    return float((np.linalg.pinv(whole, rcond=1e-6, hermitian=True) * part.T).sum())


def h_eigen(codes, y):
    F = codes - codes.mean(axis=0)
    values, vectors = np.linalg.eigh(F.T @ F / len(F))
    keep = values > 1e-6 * values.max()
    white = F @ vectors[:, keep] / np.sqrt(values[keep])
    labels, number, counts = np.unique(y, return_inverse=True, return_counts=True)
    means = np.array([white[number == k].mean(axis=0) for k in range(len(labels))])
    return np.sum(counts / len(y) * (means**2).sum(axis=1))


def h_lstsq(codes, y):
    F = codes - codes.mean(axis=0)
    hot = (y[:, None] == np.unique(y)).astype(float)
    G = hot @ np.linalg.inv(hot.T @ hot) @ hot.T @ F
    return np.linalg.lstsq(F.T @ F, G.T @ G, rcond=1e-6)[0].trace()


def h_like(centre=lambda c, y: c - c.mean(axis=0), group=None, finish=None, least=1e-6, invert=None):
    """H-score from centred codes and class means, with finish(inverse of the whole, part, whole)."""
    finish = finish or (lambda inverse, part, whole: np.trace(inverse @ part))
    group = group or (lambda F, y: np.array([F[y == label].mean(axis=0) for label in y]))
    invert = invert or (lambda whole: np.linalg.pinv(whole, rcond=least))

    def h_score(codes, y):
        F = centre(codes, y)
        G = group(F, y)
        whole, part = np.einsum("nd,ne->de", F, F) / len(F), np.einsum("nd,ne->de", G, G) / len(G)
        return finish(invert(whole), part, whole)

    return {"h_score": h_score}


def class_rows(F, y):
    return np.array([F[y == label].mean(axis=0) for label in sorted(set(y.tolist()))])


def class_rows_np_cov(codes, y):
    means = class_rows(codes, y)
    part = np.cov(means.T, bias=True)
    F = codes - codes.mean(axis=0)
    return np.trace(np.linalg.pinv(F.T @ F / len(F), rcond=1e-6) @ part)


def mixed_denominators(codes, y):
    F = codes - codes.mean(axis=0)
    G = np.array([F[y == label].mean(axis=0) for label in y])
    return np.trace(np.linalg.pinv(np.cov(codes.T), rcond=1e-6) @ (G.T @ G) / len(G))


def h_sums(codes, y):
    F = codes - codes.mean(axis=0)
    G = np.array([F[y == label].mean(axis=0) for label in y])
    return np.trace(np.linalg.pinv(F.T @ F / len(F), rcond=1e-6) @ G.T @ G)


def within(codes, y):
    F = codes - codes.mean(axis=0)
    W = np.array([f - F[y == label].mean(axis=0) for f, label in zip(F, y, strict=False)])
    return np.trace(np.linalg.pinv(F.T @ F, rcond=1e-6) @ (W.T @ W))


def fisher(codes, y):
    F = codes - codes.mean(axis=0)
    G = np.array([F[y == label].mean(axis=0) for label in y])
    W = F - G
    return np.trace(np.linalg.pinv(W.T @ W / len(F), rcond=1e-6) @ (G.T @ G / len(F)))


def by_pictures(codes, y):
    F = codes - codes.mean(axis=0)
    G = np.array([F[y == label].mean(axis=0) for label in y])
    return np.trace(np.linalg.pinv(F @ F.T, rcond=1e-6) @ (G @ G.T))


def cut_by_size(whole):
    values, vectors = np.linalg.eigh(whole)
    values = np.array([1 / value if value > 1e-6 else 0.0 for value in values])
    return vectors @ np.diag(values) @ vectors.T


def one_by_one(codes, y):
    total = 0.0
    for column in codes.T:
        f = column - column.mean()
        g = np.array([f[y == label].mean() for label in y])
        if f.var() > 0:
            total += g.var() / f.var()
    return total


WRONG[4] = [
    ("joint", leep_like(lambda joint: joint), "the joint probabilities are not divided by those of the old class"),
    ("P(z | k)", leep_like(of_new_class), "they are conditioned on the new class, and not on the old one"),
    (
        "class means",
        leep_like(equal_classes),
        "P(k | z) is made of the classes' mean probabilities, as if all had equally many pictures",
    ),
    ("only classes there", {"leep": only_classes_there}, "a class number that no picture has breaks it"),
    (
        "log of the mean",
        leep_like(finish=lambda e, y: math.log(e.mean())),
        "the logarithm is taken of the mean, and not the mean of the logarithms",
    ),
    ("no logarithm", leep_like(finish=lambda e, y: e.mean()), "the logarithm is missing"),
    ("sum", leep_like(finish=lambda e, y: np.log(e).sum()), "it is the sum over the pictures, and not their mean"),
    ("negative log", leep_like(finish=lambda e, y: np.mean(-np.log(e))), "the sign is turned round"),
    ("bits", leep_like(finish=lambda e, y: np.mean(np.log2(e))), "the logarithm is that to the base 2"),
    (
        "base 10",
        leep_like(finish=lambda e, y: sum(math.log10(value) for value in e) / len(e)),
        "the logarithm is that to the base 10",
    ),
    ("balanced", leep_like(finish=balanced), "every new class has the same say, however few its pictures are"),
    ("hard answers", leep_like(answers=hard), "only the most probable old class of each picture counts"),
    (
        "most probable old class at the end",
        leep_like(mix=lambda t, q, y: t[y, q.argmax(axis=1)]),
        "the expectation takes the most probable old class alone",
    ),
    ("not weighed", leep_like(mix=lambda t, q, y: t[y].sum(axis=1)), "the expectation is not weighed with p"),
    (
        "log inside",
        leep_like(mix=log_inside, finish=lambda e, y: e.mean()),
        "the logarithm is taken within the sum over the old classes",
    ),
    ("dead columns", {"leep": dead_columns}, "an old class that is never named gives NaN"),
    ("softmax", leep_like(answers=soft), "softmax is taken of what are probabilities already"),
    (
        "the best new class",
        leep_like(mix=lambda t, q, y: np.array([(t @ row).max() for row in q])),
        "the most probable new class counts, whichever is the picture's own",
    ),
    ("not centred", h_like(centre=lambda c, y: c), "the codes are not centred"),
    (
        "one mean",
        h_like(centre=lambda c, y: c - np.mean(c)),
        "one mean of all numbers is subtracted, and not that of each feature",
    ),
    ("rows centred", h_like(centre=lambda c, y: (c.T - c.T.mean(axis=0)).T), "each code is centred by itself"),
    (
        "z-scores",
        h_like(centre=lambda c, y: (c - c.mean(0)) / np.where(c.std(0) > 0, c.std(0), 1)),
        "the codes are standardised, and directions that count as 0 change with it",
    ),
    ("class rows", h_like(group=class_rows), "every class has the same say, however few its pictures are"),
    (
        "np.cov of class rows",
        {"h_score": class_rows_np_cov},
        "every class has the same say, and its mean is taken about the mean of the means",
    ),
    ("inv", h_like(invert=np.linalg.inv), "the covariance is inverted as if it always had an inverse"),
    (
        "solve",
        h_like(invert=lambda whole: np.linalg.solve(whole, np.eye(len(whole)))),
        "the covariance is inverted as if it always had an inverse",
    ),
    (
        "pinv as it comes",
        h_like(invert=np.linalg.pinv),
        "directions of hardly any variance count in the pseudo-inverse",
    ),
    (
        "cut by size",
        h_like(invert=cut_by_size),
        "eigenvalues count as 0 by their own size, and not beside the largest one",
    ),
    ("mixed denominators", {"h_score": mixed_denominators}, "the two covariances are divided by different numbers"),
    ("sums", {"h_score": h_sums}, "the covariance between the classes is not divided by N"),
    (
        "exchanged",
        h_like(finish=lambda inverse, part, whole: np.trace(np.linalg.pinv(part, rcond=1e-6) @ whole)),
        "the covariances have changed places",
    ),
    ("within", {"h_score": within}, "the part within the classes is taken, and not that between them"),
    ("Fisher", {"h_score": fisher}, "the part between the classes is compared with that within them"),
    (
        "ratio of traces",
        h_like(finish=lambda inverse, part, whole: np.trace(part) / np.trace(whole)),
        "two traces are divided, and no matrix is inverted",
    ),
    (
        "entry by entry",
        h_like(finish=lambda inverse, part, whole: np.trace(inverse * part)),
        "only the diagonals are multiplied",
    ),
    ("one by one", {"h_score": one_by_one}, "features are taken one by one: their covariances are left out"),
    (
        "all entries",
        h_like(finish=lambda inverse, part, whole: np.sum(inverse @ part)),
        "all entries are added up, and not the diagonal",
    ),
    (
        "mean of the diagonal",
        h_like(finish=lambda inverse, part, whole: np.diag(inverse @ part).mean()),
        "it is divided by the number of features",
    ),
    (
        "a share",
        {"h_score": lambda codes, y: h_eigen(codes, y) / (len(set(y.tolist())) - 1)},
        "it is divided by K - 1",
    ),
    ("by pictures", {"h_score": by_pictures}, "the covariances are those of the pictures, (N, N)"),
]
RIGHT[4] = [
    ("loops", {"leep": leep_loops, "h_score": h_loops}),
    ("add.at, and np.cov twice", {"leep": leep_add_at, "h_score": h_np_cov}),
    ("classes that are there, and whitened codes", {"leep": leep_classes, "h_score": h_eigen}),
    ("least squares", {"h_score": h_lstsq}),
    ("scipy's pinv", {"h_score": h_like(invert=lambda whole: linalg.pinv(whole, rtol=1e-6))["h_score"]}),
]

# ---- 5: a recommendation


def recommend_by_table(per_class, shift, last, earlier):
    difference = np.subtract(earlier, last)
    sure = difference.mean() - 2 * math.sqrt(difference.var(ddof=1) / difference.size) > 0
    similar = {True: not sure, False: shift is not None and shift <= 0.035}[shift is None]
    if not per_class < 200:
        return "finetune-all"
    table = [["finetune-upper", "svm-earlier"], ["svm", "finetune-upper"]]
    return table[int(similar)][int(sure)]


def recommend_by_loops(per_class, shift, last, earlier):
    n = len(last)
    d = [e - l for e, l in zip(earlier, last, strict=False)]  # noqa: E741
    gain = math.fsum(d) / n
    error = math.sqrt(math.fsum((x - gain) ** 2 for x in d) / (n - 1)) / math.sqrt(n)
    if per_class >= 200:
        word = "finetune-all"
    elif shift is None:
        word = "svm-earlier" if gain > 2 * error else "svm"
    elif shift > 0.035:
        word = "svm-earlier" if gain > 2 * error else "finetune-upper"
    else:
        word = "finetune-upper" if gain > 2 * error else "svm"
    return word


def recommend_by_t(per_class, shift, last, earlier):
    difference = earlier - last
    error = stats.sem(difference)
    better = difference.mean() / error > 2 if error > 0 else difference.mean() > 0
    if per_class >= 200:
        return "finetune-all"
    different = better if shift is None else not shift <= 0.035
    return str(np.array([["svm", "finetune-upper"], ["finetune-upper", "svm-earlier"]])[int(different), int(better)])


def deciding(
    sure=lambda d, last, earlier: d.mean() > 2 * stats.sem(d),
    is_many=lambda n: n >= 200,
    is_similar=lambda shift, sure: (not sure) if shift is None else shift <= 0.035,
    many=lambda similar, sure: "finetune-all",
    few_similar=("svm", "finetune-upper"),
    few_different=("finetune-upper", "svm-earlier"),
):
    """recommend() in pieces; the pairs are the words without and with earlier codes that are surely better."""

    def recommend(per_class, shift, last, earlier):
        better = bool(sure(earlier - last, last, earlier))
        similar = is_similar(shift, better)
        if is_many(per_class):
            return many(similar, better)
        return few_similar[better] if similar else few_different[better]

    return {"recommend": recommend}


WRONG[5] = [
    ("more than 200", deciding(is_many=lambda n: n > 200), "200 pictures of a class do not count as many"),
    ("few for many", deciding(is_many=lambda n: n < 200), "few and many have changed places"),
    (
        "less than 0.035",
        deciding(is_similar=lambda shift, sure: not sure if shift is None else shift < 0.035),
        "a shift of 0.035 itself does not count as similar",
    ),
    (
        "far is similar",
        deciding(is_similar=lambda shift, sure: not sure if shift is None else shift > 0.035),
        "similar and different have changed places",
    ),
    (
        "or",
        deciding(is_similar=lambda shift, sure: shift <= 0.035 if shift else not sure),
        "a shift of 0 is taken for one that is missing",
    ),
    (
        "None is similar",
        deciding(is_similar=lambda shift, sure: (0 if shift is None else shift) <= 0.035),
        "without a shift the pictures always count as similar",
    ),
    (
        "None is different",
        deciding(is_similar=lambda shift, sure: (math.inf if shift is None else shift) <= 0.035),
        "without a shift the pictures always count as different",
    ),
    (
        "None the wrong way round",
        deciding(is_similar=lambda shift, sure: sure if shift is None else shift <= 0.035),
        "without a shift it is the wrong way round",
    ),
    ("None compared", deciding(is_similar=lambda shift, sure: shift <= 0.035), "without a shift it breaks off"),
    (
        "one error",
        deciding(lambda d, last, earlier: d.mean() > d.std(ddof=1) / len(d) ** 0.5),
        "one standard error is enough for surely better",
    ),
    ("any gain", deciding(lambda d, last, earlier: earlier.mean() > last.mean() + 1e-12), "any gain counts as surely better"),
    (
        "at least",
        deciding(lambda d, last, earlier: d.mean() >= 2 * stats.sem(d)),
        "no gain with no error counts as surely better",
    ),
    ("either way", deciding(lambda d, last, earlier: abs(d.mean()) > 2 * stats.sem(d)), "a loss counts like a gain"),
    (
        "last less earlier",
        deciding(lambda d, last, earlier: np.mean(last - earlier) > 2 * stats.sem(last - earlier)),
        "the last codes less the earlier ones are taken",
    ),
    (
        "two separate errors",
        deciding(lambda d, last, earlier: d.mean() > 2 * math.hypot(stats.sem(last), stats.sem(earlier))),
        "the error is that of two separate sets of pictures",
    ),
    (
        "two binomial errors",
        deciding(
            lambda d, last, earlier: d.mean() > 2 * math.sqrt(sum(a.mean() * (1 - a.mean()) / len(a) for a in (last, earlier)))
        ),
        "the error is the binomial one of two separate sets of pictures",
    ),
    (
        "error of the better ones",
        deciding(lambda d, last, earlier: d.mean() > 2 * stats.sem(earlier)),
        "the error is that of the earlier codes alone",
    ),
    (
        "np.std as it comes",
        deciding(lambda d, last, earlier: d.mean() > 2 * np.std(d) / math.sqrt(d.size)),
        "the standard deviation is divided by N, and not by N - 1",
    ),
    (
        "standard deviation",
        deciding(lambda d, last, earlier: d.mean() > 2 * np.std(d, ddof=1)),
        "the standard deviation is not divided by the root of N",
    ),
    (
        "over N",
        deciding(lambda d, last, earlier: d.mean() > 2 * np.std(d, ddof=1) / d.size),
        "the standard deviation is divided by N, where its root belongs",
    ),
    (
        "from scratch",
        deciding(many=lambda similar, sure: "finetune-all" if similar else "scratch"),
        "many and different pictures train a network from scratch",
    ),
    (
        "upper for similar",
        deciding(many=lambda similar, sure: "finetune-upper" if similar else "finetune-all"),
        "many and similar pictures train the upper layers only",
    ),
    (
        "codes first",
        deciding(many=lambda similar, sure: "svm-earlier" if sure else "finetune-all"),
        "many pictures whose earlier codes are better get no fine-tuning",
    ),
    (
        "the quadrant, similar",
        deciding(few_similar=("svm", "svm")),
        "few and similar pictures always get a classifier on the last codes",
    ),
    (
        "earlier for similar",
        deciding(few_similar=("svm", "svm-earlier")),
        "few and similar pictures whose earlier codes are better get a classifier on those",
    ),
    (
        "the quadrant, different",
        deciding(few_different=("svm-earlier", "svm-earlier")),
        "few and different pictures always get a classifier on earlier codes",
    ),
    (
        "last codes for different",
        deciding(few_different=("svm", "svm-earlier")),
        "few and different pictures get a classifier on the last codes, where earlier ones are not better",
    ),
    (
        "different exchanged",
        deciding(few_different=("svm-earlier", "finetune-upper")),
        "few and different pictures have their two answers exchanged",
    ),
    (
        "similar exchanged",
        deciding(few_similar=("finetune-upper", "svm")),
        "few and similar pictures have their two answers exchanged",
    ),
]
RIGHT[5] = [
    ("a table", {"recommend": recommend_by_table}),
    ("plain Python", {"recommend": recommend_by_loops}),
    ("by the ratio of gain and error", {"recommend": recommend_by_t}),
]
