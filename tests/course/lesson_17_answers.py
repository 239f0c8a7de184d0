"""Lesson 17: wrong answers to its exercise, as students write them, and right ones."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
from scipy.special import log_softmax, logsumexp
from scipy.stats import binomtest

# ---- Task 1: copies


def hashed(function):
    return {"difference_hash": function}


def paired(function):
    return {"near_duplicates": function}


def blocks(picture, rows=8, columns=9):
    """Block means, in loops."""
    h, w = picture.shape[0] // rows, picture.shape[1] // columns
    return np.array([[picture[i * h : (i + 1) * h, j * w : (j + 1) * w].mean() for j in range(columns)] for i in range(rows)])


def bits_in_loops(picture):
    m, bits = blocks(picture), []
    for row in m:
        bits += [bool(left > right) for left, right in pairwise(row)]
    return bits


def pairs(hashes, keep):
    found = []
    for i in range(len(hashes)):
        for k in range(len(hashes)):
            if keep(i, k, int(np.sum(hashes[i] != hashes[k]))):
                found.append((i, k))
    return found


def matrix(hashes):
    signs = np.where(hashes, 1, -1)
    return (64 - signs @ signs.T) // 2


# ---- Task 2: a split that keeps together what belongs together


def split(function):
    return {"split_by_group": function}


def by_sets(labels, groups, share, rng, enough=lambda taken, size, wanted: taken >= wanted, shuffle=True):
    """With sets of groups and counters, class by class."""
    sizes, chosen = Counter(groups.tolist()), set()
    for k in sorted(set(labels.tolist())):
        names = np.array(sorted(set(groups[labels == k].tolist())))
        taken, wanted = 0, share * int((labels == k).sum())
        for name in rng.permutation(names) if shuffle else names:
            if enough(taken, sizes[int(name)], wanted):
                break
            chosen.add(int(name))
            taken += sizes[int(name)]
    return np.array([int(g) in chosen for g in groups])


def by_cumulative_sum(labels, groups, share, rng):
    test = np.zeros(len(labels), bool)
    for k in np.unique(labels):
        names = rng.permutation(np.unique(groups[labels == k]))
        before = np.cumsum([0] + [(groups == name).sum() for name in names])[:-1]
        test |= np.isin(groups, names[before < share * (labels == k).sum()])
    return test


def samples_divided(labels, groups, share, rng):
    test = np.zeros(len(labels), bool)
    for k in range(labels.max() + 1):
        members = rng.permutation(np.flatnonzero(labels == k))
        test[members[: math.ceil(share * len(members))]] = True
    return test


def classes_together(labels, groups, share, rng):
    test = np.zeros(len(labels), bool)
    for name in rng.permutation(np.unique(groups)):
        if test.sum() >= share * len(labels):
            break
        test[groups == name] = True
    return test


def share_of_everything(labels, groups, share, rng):
    test = np.zeros(len(labels), bool)
    for k in range(labels.max() + 1):
        taken = 0
        for name in rng.permutation(np.unique(groups[labels == k])):
            if taken >= share * len(labels):
                break
            test[groups == name] = True
            taken += (groups == name).sum()
    return test


def groups_counted(labels, groups, share, rng):
    chosen = []
    for k in range(labels.max() + 1):
        names = rng.permutation(np.unique(groups[labels == k]))
        chosen += names[: int(np.ceil(len(names) * share))].tolist()
    return np.isin(groups, chosen)


# ---- Task 3: what a test says


def confused(function):
    return {"confusion_matrix": function}


def summed(function):
    return {"summary": function}


def by_histogram(y, answers, K):
    return np.histogram2d(y, answers, bins=[np.arange(K + 1) - 0.5] * 2)[0].astype(int)


def by_bincount(y, answers, K):
    return np.bincount(K * y + answers, minlength=K * K).reshape(K, K)


def assigned(y, answers, K):
    counts = np.zeros((K, K), int)
    counts[y, answers] += 1
    return counts


def in_loops(counts, balanced=True, f1_scale=2.0, skip_recall=True, skip_f1=True, use_columns=False):
    """Accuracy, balanced accuracy and macro F1, class by class."""
    K = len(counts)
    hits, recalls, f1s = 0, [], []
    for k in range(K):
        t, a, h = sum(counts[k, j] for j in range(K)), sum(counts[j, k] for j in range(K)), counts[k, k]
        hits += h
        if t > 0 or not skip_recall:
            recalls.append(h / max(a if use_columns else t, 1))
        if t > 0 or not skip_f1:
            f1s.append(f1_scale * h / max(t + a, 1))
    recall = sum(recalls) / len(recalls)
    return (hits / counts.sum() if balanced else recall), recall, sum(f1s) / len(f1s)


def nan_means(counts):
    with np.errstate(all="ignore"):
        recall = np.diag(counts) / counts.sum(1)
        return np.trace(counts) / counts.sum(), np.mean(recall), np.mean(2 * np.diag(counts) / (counts.sum(0) + counts.sum(1)))


def of_means(counts):
    occurs = counts.sum(1) > 0
    r = (np.diag(counts)[occurs] / counts.sum(1)[occurs]).mean()
    p = (np.diag(counts)[occurs] / np.clip(counts.sum(0), 1, None)[occurs]).mean()
    return np.trace(counts) / counts.sum(), r, 2 / (1 / r + 1 / p)


# ---- Task 4: how sure it is


def wilson(function):
    return {"wilson_interval": function}


def sign(function):
    return {"sign_test": function}


def as_in_the_book(right, n, z):
    q = z * z
    centre = (2 * right + q) / (2 * (n + q))
    half = z * math.sqrt(q + 4 * right * (1 - right / n)) / (2 * (n + q))
    return centre - half, centre + half


def by_roots(right, n, z):
    p = right / n
    low, high = np.sort(np.roots([1 + z * z / n, -(2 * p + z * z / n), p * p]).real)
    return low, high


def parts(right, n, z):
    p = right / n
    return p, z * z / (2 * n), p * (1 - p) / n, z * z / (4 * n * n), 1 + z * z / n


def naive(right, n, z):
    p = right / n
    e = z * (p * (1 - p) / n) ** 0.5
    return [p - e, p + e]


def undivided(right, n, z):
    p, shift, v, w, _ = parts(right, n, z)
    return p + shift - z * math.sqrt(v + w), p + shift + z * math.sqrt(v + w)


def not_shifted(right, n, z):
    p, _, v, w, d = parts(right, n, z)
    return (p - z * math.sqrt(v + w)) / d, (p + z * math.sqrt(v + w)) / d


def no_w(right, n, z):
    p, shift, v, _, d = parts(right, n, z)
    return (p + shift - z * math.sqrt(v)) / d, (p + shift + z * math.sqrt(v)) / d


def four_n(right, n, z):
    p, shift, v, _, d = parts(right, n, z)
    return (p + shift - z * math.sqrt(v + z * z / 4 / n)) / d, (p + shift + z * math.sqrt(v + z * z / 4 / n)) / d


def counted(a, b):
    """How many each alone got right, in a loop."""
    u = v = 0
    for first, second in zip(a, b, strict=True):
        u += bool(first and not second)
        v += bool(second and not first)
    return u, v


def two_sided(a, b, terms=lambda u, v: range(min(u, v) + 1), factor=2, n_of=lambda u, v, a: u + v, most=1.0):
    u, v = counted(a, b)
    n = n_of(u, v, a)
    p = factor * sum(math.factorial(n) / math.factorial(i) / math.factorial(n - i) for i in terms(u, v)) * 0.5**n
    return min(most, p)


# ---- Task 5: rare classes


def weighing(function):
    return {"class_weights": function}


def losing(function):
    return {"weighted_softmax_loss": function}


def weights_in_a_loop(y, K):
    return [len(y) / K / n if (n := sum(1 for label in y if label == k)) else 0.0 for k in range(K)]


def occurring(y, K, weight):
    c = np.zeros(K)
    for k in np.unique(y):
        c[k] = weight((y == k).sum())
    return c


def infinite(y, K):
    with np.errstate(all="ignore"):
        return len(y) / K / np.bincount(y, minlength=K)


def loop_loss(scores, y, c, *, divide=lambda c, y: sum(c[y]), gradient_divide=None, weigh=(True, True), sign=1, one=1.0):
    """Sample by sample."""
    N, K = scores.shape
    total, dscores = 0.0, np.zeros((N, K))
    for n in range(N):
        log_p = scores[n] - logsumexp(scores[n])
        weight = c[y[n]]
        total -= (weight if weigh[0] else 1.0) * log_p[y[n]]
        for k in range(K):
            dscores[n, k] = sign * (weight if weigh[1] else 1.0) * (math.exp(log_p[k]) - one * (k == y[n]))
    return total / divide(c, y), dscores / (gradient_divide or divide)(c, y)


def overflowing(scores, y, c):
    with np.errstate(all="ignore"):
        e = np.exp(scores)
        p = e / e.sum(axis=1)[:, None]
        loss = np.average(-np.log(p[np.arange(len(y)), y]), weights=c[y])
        target = np.eye(scores.shape[1])[y]
        return loss, (p - target) * c[y][:, None] / c[y].sum()


def weighed_by_column(scores, y, c):
    log_p = log_softmax(scores, axis=1)
    target = np.eye(len(c))[y]
    return -(target * log_p * c).sum() / (target @ c).sum(), (np.exp(log_p) - target) * c[None] / (target @ c).sum()


def by_targets(scores, y, c):
    log_p = log_softmax(scores, axis=1)
    target = np.eye(len(c))[y] * (c[y] / c[y].sum())[:, None]
    return -(target * log_p).sum(), np.exp(log_p) * target.sum(axis=1, keepdims=True) - target


# ---- Task 6: when to say nothing


def calibrated(function):
    return {"calibration_error": function}


def accepted(function):
    return {"accept": function}


def error_in_loops(
    probabilities, y, bins, *, inside=lambda c, low, high: low < c <= high, gap=abs, share=lambda m, N, bins: m / N
):
    total = 0.0
    for b in range(bins):
        rows = [n for n, p in enumerate(probabilities) if inside(max(p), b / bins, (b + 1) / bins)]
        if rows:
            hits = sum(int(np.argmax(probabilities[n]) == y[n]) for n in rows) / len(rows)
            total += share(len(rows), len(y), bins) * gap(hits - sum(max(probabilities[n]) for n in rows) / len(rows))
    return total


def by_digitize(probabilities, y, bins):
    confidence, right = probabilities.max(1), probabilities.argmax(1) == y
    b = np.digitize(confidence, np.arange(1, bins) / bins, right=True)
    gaps = np.bincount(b, weights=right - confidence, minlength=bins)
    return np.abs(gaps).sum() / len(y)


def lower_edges(probabilities, y, bins):
    confidence, right = probabilities.max(1), probabilities.argmax(1) == y
    b = np.clip(np.floor(confidence * bins).astype(int), 0, bins - 1)
    return float(sum(abs(right[b == k].sum() - confidence[b == k].sum()) for k in range(bins)) / len(y))


def of_the_truth(probabilities, y, bins):
    confidence, right = np.take_along_axis(probabilities, y[:, None], 1)[:, 0], np.argmax(probabilities, 1) == y
    b = np.ceil(confidence * bins) - 1
    return sum((b == k).mean() * abs(right[b == k].mean() - confidence[b == k].mean()) for k in set(b.tolist()))


def filled_bins(probabilities, y, bins):
    b = np.ceil(probabilities.max(1) * bins) - 1
    gaps = []
    for k in np.unique(b):
        rows = b == k
        gaps.append(abs((probabilities[rows].argmax(1) == y[rows]).mean() - probabilities[rows].max(1).mean()))
    return np.mean(gaps)


def thresholds(confidence, right, wanted, taken=np.greater_equal, pick=min, empty=np.inf, enough=lambda s, w: s >= w):
    good = [t for t in confidence if taken(confidence, t).any() and enough(right[taken(confidence, t)].mean(), wanted)]
    return float(pick(good)) if good else empty


def from_above(confidence, right, wanted):
    """Sorted once, and the share of the surest ones by a running mean; equal confidences belong together."""
    order = np.argsort(-confidence, kind="stable")
    c, share = confidence[order], np.cumsum(right[order]) / np.arange(1, len(right) + 1)
    last = np.append(c[1:] != c[:-1], True)
    good = c[last & (share >= wanted)]
    return good[-1] if len(good) else math.inf


def stops_early(confidence, right, wanted):
    best = np.inf
    for t in sorted(set(confidence.tolist()), reverse=True):
        if np.mean(right[confidence >= t]) >= wanted:
            best = t
        else:
            return best
    return best


WRONG = {
    1: [
        (
            "np.diff > 0",
            hashed(lambda p: (np.diff(blocks(p), axis=1) > 0).ravel()),
            "The bits are the wrong way round: they say where it becomes brighter",
        ),
        (
            "average hash",
            hashed(lambda p: (blocks(p)[:, :-1] > p.mean()).ravel()),
            "Each block is compared with the mean of the picture",
        ),
        (
            "downwards",
            hashed(lambda p: np.array([blocks(p)[i, j] > blocks(p)[i + 1, j] for i in range(7) for j in range(8)])),
            "Blocks are compared with those below them, not with those to the right",
        ),
        (
            "thinned pixels",
            hashed(lambda p: (lambda s: (s[:, :8] > s[:, 1:9]).flatten())(p[:: p.shape[0] // 8, :: p.shape[1] // 9])),
            "Single pixels are compared, not the means of blocks",
        ),
        (
            "greater or equal, in a loop",
            hashed(lambda p: [bool(row[j] >= row[j + 1]) for row in blocks(p) for j in range(8)]),
            "Blocks that are equal count as becoming darker",
        ),
        (
            "Fortran order",
            hashed(lambda p: np.array(bits_in_loops(p)).reshape(8, 8).ravel(order="F")),
            "The bits come column after column",
        ),
        (
            "less than",
            paired(lambda h, most: [(i, k) for i, k in zip(*np.nonzero(np.triu(matrix(h) < most, 1)), strict=True)]),
            "Pairs that differ in just as many bits as allowed are missing",
        ),
        (
            "itself",
            paired(lambda h, most: pairs(h, lambda i, k, d: k >= i and d <= most)),
            "A picture is called a copy of itself",
        ),
        (
            "both orders",
            paired(
                lambda h, most: [(i, k) for i in range(len(h)) for k in range(len(h)) if i != k and matrix(h)[i, k] <= most]
            ),
            "Each pair is there twice, once in each order",
        ),
        (
            "larger first",
            paired(lambda h, most: [(k, i) for i, k in pairs(h, lambda i, k, d: i < k and d <= most)]),
            "The pairs have the larger index first",
        ),
        (
            "agreement",
            paired(lambda h, most: pairs(h, lambda i, k, d: i < k and np.sum(h[i] == h[k]) <= most)),
            "Bits that agree are counted, not those that differ",
        ),
        (
            "the next one only",
            paired(lambda h, most: [(i, i + 1) for i in range(len(h) - 1) if np.count_nonzero(h[i] ^ h[i + 1]) <= most]),
            "Only neighbours in the list are compared",
        ),
    ],
    2: [
        ("samples", split(samples_divided), "Samples are divided, not groups"),
        (
            "sorted groups",
            split(lambda *a: by_sets(*a, shuffle=False)),
            "Groups are taken in the order of their numbers, without shuffling",
        ),
        ("all classes together", split(classes_together), "Classes are not divided one by one"),
        (
            "never more than the share",
            split(lambda *a: by_sets(*a, enough=lambda taken, size, wanted: taken + size > wanted)),
            "A group that would be more than the share is left out, and the class's part ends before it",
        ),
        (
            "one too many",
            split(lambda *a: by_sets(*a, enough=lambda taken, size, wanted: taken > wanted)),
            "One group too many is taken where the share is reached exactly",
        ),
        ("a share of all samples", split(share_of_everything), "The share is that of all samples, for each class"),
        ("a share of groups", split(groups_counted), "The share is one of groups, not of samples"),
        ("inverted", split(lambda *a: np.logical_not(by_cumulative_sum(*a))), "Training samples are marked, not test samples"),
        (
            "its own generator",
            split(lambda labels, groups, share, rng: by_sets(labels, groups, share, np.random.default_rng(0))),
            "A generator of its own is used in the place of rng",
        ),
        (
            "indices",
            split(lambda *a: np.array([n for n, is_test in enumerate(by_sets(*a)) if is_test])),
            "The indices of the test samples come back, not a mark for each sample",
        ),
    ],
    3: [
        ("transposed", confused(lambda y, answers, K: by_bincount(answers, y, K)), "Rows and columns are exchanged"),
        ("+= with indices", confused(assigned), "A pair that occurs several times is counted once"),
        (
            "as many as occur",
            confused(
                lambda y, answers, K: by_bincount(y, answers, K)[
                    : max(y.max(), answers.max()) + 1, : max(y.max(), answers.max()) + 1
                ]
            ),
            "The matrix is as large as the largest label that occurs",
        ),
        (
            "row shares",
            confused(lambda y, answers, K: np.array([row / max(row.sum(), 1) for row in by_histogram(y, answers, K)])),
            "The matrix has shares, not counts",
        ),
        (
            "precisions",
            summed(lambda counts: in_loops(counts, use_columns=True)),
            "Balanced accuracy is the mean of precisions, not of recalls",
        ),
        (
            "over all classes",
            summed(lambda counts: in_loops(counts, skip_recall=False, skip_f1=False)),
            "Classes without samples count as recall 0",
        ),
        ("0 / 0", summed(nan_means), "Classes without samples make the means NaN"),
        ("F1 over all", summed(lambda counts: in_loops(counts, skip_f1=False)), "Classes without samples count in F1 alone"),
        ("half F1", summed(lambda counts: in_loops(counts, f1_scale=1.0)), "F1 lacks the factor 2"),
        ("F1 of means", summed(of_means), "Macro F1 is computed from the mean precision and the mean recall"),
        ("mean recall twice", summed(lambda counts: in_loops(counts, balanced=False)), "Accuracy is the mean of the recalls"),
        ("two numbers", summed(lambda counts: in_loops(counts)[:2]), "Not as many results as asked for"),
    ],
    4: [
        ("naive", wilson(naive), "It is the naive interval, p -+ z sqrt(p (1 - p) / n)"),
        ("not divided", wilson(undivided), "The division by 1 + z^2 / n is missing"),
        ("not shifted", wilson(not_shifted), "The middle is p, without z^2 / 2n"),
        ("one term under the root", wilson(no_w), "Under the root, z^2 / 4n^2 is missing"),
        ("4n", wilson(four_n), "Under the root, z^2 is divided by 4n, not by 4n^2"),
        ("upper first", wilson(lambda right, n, z: as_in_the_book(right, n, z)[::-1]), "The ends are the wrong way round"),
        (
            "middle and half",
            wilson(lambda right, n, z: (sum(as_in_the_book(right, n, z)) / 2, np.ptp(as_in_the_book(right, n, z)) / 2)),
            "The middle and the half width come back, not the ends",
        ),
        ("one-sided", sign(lambda a, b: two_sided(a, b, factor=1)), "Only one side is counted: the factor 2 is missing"),
        ("more than 1", sign(lambda a, b: two_sided(a, b, most=9.0)), "p can be larger than 1"),
        (
            "range too short",
            sign(lambda a, b: two_sided(a, b, terms=lambda u, v: range(min(u, v)))),
            "The sum stops one term too early",
        ),
        (
            "all samples",
            sign(lambda a, b: two_sided(a, b, n_of=lambda u, v, a: len(a))),
            "Samples that both got right, or both wrong, are counted",
        ),
        (
            "up to u",
            sign(lambda a, b: two_sided(a, b, terms=lambda u, v: range(u + 1))),
            "The sum goes up to u, whichever of the two is better",
        ),
        (
            "this very count",
            sign(lambda a, b: two_sided(a, b, terms=lambda u, v: [v])),
            "It is the probability of this very count, not of a difference at least as large",
        ),
    ],
    5: [
        ("N / N_k", weighing(lambda y, K: occurring(y, K, lambda n: len(y) / n)), "The weights are N / N_k, without K"),
        ("1 / N_k", weighing(lambda y, K: occurring(y, K, lambda n: 1 / n)), "The weights are 1 / N_k"),
        ("infinite", weighing(infinite), "A class without samples has an infinite weight"),
        (
            "K of those that occur",
            weighing(lambda y, K: occurring(y, K, lambda n: len(y) / (len(np.unique(y)) * n))),
            "K counts only the classes that occur",
        ),
        (
            "upside down",
            weighing(lambda y, K: [K * sum(y == k) / len(y) for k in range(K)]),
            "Frequent classes get large weights, and rare ones small ones",
        ),
        (
            "sum 1",
            weighing(lambda y, K: (lambda c: c / c.sum())(occurring(y, K, lambda n: 1.0 / n))),
            "The weights are normalised to add up to 1 over the classes",
        ),
        ("overflow", losing(overflowing), "The softmax overflows"),
        (
            "means over samples",
            losing(lambda s, y, c: loop_loss(s, y, c, divide=lambda c, y: len(y))),
            "Loss and gradient are divided by N",
        ),
        (
            "gradient a mean over samples",
            losing(lambda s, y, c: loop_loss(s, y, c, gradient_divide=lambda c, y: len(y))),
            "The gradient is divided by N",
        ),
        ("sums", losing(lambda s, y, c: loop_loss(s, y, c, divide=lambda c, y: 1)), "Loss and gradient are sums"),
        (
            "by c.sum()",
            losing(lambda s, y, c: loop_loss(s, y, c, divide=lambda c, y: c.sum())),
            "Loss and gradient are divided by the sum of the classes' weights",
        ),
        (
            "gradient not weighed",
            losing(lambda s, y, c: loop_loss(s, y, c, weigh=(True, False))),
            "The gradient has no weights",
        ),
        ("loss not weighed", losing(lambda s, y, c: loop_loss(s, y, c, weigh=(False, True))), "The loss has no weights"),
        (
            "by column",
            losing(weighed_by_column),
            "The gradient's weights are those of the column's class, not of the sample's",
        ),
        ("1 - p", losing(lambda s, y, c: loop_loss(s, y, c, sign=-1)), "The gradient has the wrong sign"),
        ("p alone", losing(lambda s, y, c: loop_loss(s, y, c, one=0.0)), "The 1 at the right class is missing in the gradient"),
        ("loss only", losing(lambda s, y, c: loop_loss(s, y, c)[0]), "Not as many results as asked for"),
    ],
    6: [
        ("floor", calibrated(lower_edges), "A confidence on the edge between two bins is put into the upper one"),
        (
            "squares",
            calibrated(lambda p, y, bins: error_in_loops(p, y, bins, gap=lambda d: d * d)),
            "Differences are squared",
        ),
        (
            "no abs",
            calibrated(lambda p, y, bins: error_in_loops(p, y, bins, gap=lambda d: d)),
            "Differences of both signs cancel",
        ),
        (
            "mean over bins",
            calibrated(lambda p, y, bins: error_in_loops(p, y, bins, share=lambda m, N, bins: 1 / bins)),
            "All bins count the same, the empty ones as well",
        ),
        ("mean over filled bins", calibrated(filled_bins), "All bins that have samples count the same"),
        ("the true class", calibrated(of_the_truth), "The confidence is the probability of the true class"),
        (
            "one bin",
            calibrated(lambda p, y, bins: abs(np.mean(p.argmax(1) == y) - p.max(1).mean())),
            "All answers are in one bin",
        ),
        (
            "above the threshold",
            accepted(lambda c, r, w: thresholds(c, r, w, taken=np.greater)),
            "Answers just at the threshold are not accepted",
        ),
        (
            "the highest",
            accepted(lambda c, r, w: thresholds(c, r, w, pick=max)),
            "It is the highest threshold that is good enough",
        ),
        ("stops early", accepted(stops_early), "It stops at the first threshold from above that is not good enough"),
        ("0 for none", accepted(lambda c, r, w: thresholds(c, r, w, empty=0.0)), "Without any good threshold it is 0"),
        ("1 for none", accepted(lambda c, r, w: thresholds(c, r, w, empty=1)), "Without any good threshold it is 1"),
        (
            "more than wanted",
            accepted(lambda c, r, w: thresholds(c, r, w, enough=lambda s, w: s > w)),
            "A share that is just as large as wanted is not enough",
        ),
    ],
}
RIGHT = {
    1: [
        ("a list of bits, in loops", hashed(bits_in_loops)),
        ("differences below 0", hashed(lambda p: (np.diff(blocks(p), axis=1) < 0).flatten())),
        ("products of signs", paired(lambda h, most: list(zip(*np.nonzero(np.triu(matrix(h) <= most, 1)), strict=True)))),
        ("loops", paired(lambda h, most: pairs(h, lambda i, k, d: i < k and d <= most))),
    ],
    2: [
        ("sets", split(by_sets)),
        ("cumulative sums", split(by_cumulative_sum)),
        ("0 and 1", split(lambda *a: by_cumulative_sum(*a).astype(int))),
    ],
    3: [
        ("a histogram", confused(by_histogram)),
        ("bincount", confused(by_bincount)),
        ("nested lists", confused(lambda y, answers, K: by_bincount(y, answers, K).tolist())),
        ("class by class", summed(in_loops)),
    ],
    4: [
        ("as in the book", wilson(as_in_the_book)),
        ("roots of the equation", wilson(by_roots)),
        ("a list", wilson(lambda right, n, z: list(as_in_the_book(right, n, z)))),
        ("SciPy's", sign(lambda a, b: binomtest(counted(a, b)[0], sum(counted(a, b))).pvalue if sum(counted(a, b)) else 1)),
        ("factorials", sign(two_sided)),
    ],
    5: [
        ("in a loop", weighing(weights_in_a_loop)),
        ("sample by sample", losing(loop_loss)),
        ("weights in the targets", losing(by_targets)),
        ("occurring classes", weighing(lambda y, K: occurring(y, K, lambda n: len(y) / (K * n)))),
    ],
    6: [
        ("in loops", calibrated(error_in_loops)),
        ("digitize", calibrated(by_digitize)),
        ("all thresholds", accepted(thresholds)),
        ("from above", accepted(from_above)),
    ],
}
