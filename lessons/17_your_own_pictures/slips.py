"""Lesson 17: the mistakes that people make in its exercise, as functions that make them."""

import math

import numpy as np

from minicnn.course import Slip

# ---- Task 1: copies


def means(picture, rows=8, columns=9):
    H, W = picture.shape
    return picture.reshape(rows, H // rows, columns, W // columns).mean(axis=(1, 3))


def wrong_hash(bits):
    return {"difference_hash": lambda picture: np.ascontiguousarray(bits(picture)).ravel()}


def pairs_where(is_pair):
    def near_duplicates(hashes, most):
        N = len(hashes)
        return [(i, k) for i in range(N) for k in range(N) if is_pair(i, k, int((hashes[i] ^ hashes[k]).sum()), most)]

    return {"near_duplicates": near_duplicates}


COPIES = (
    Slip(
        "The bits are the wrong way round: they say where it becomes brighter",
        "Take a picture that is white on the left and black on the right. Is m[i, j] > m[i, j + 1] true in it?",
        wrong_hash(lambda picture: means(picture)[:, :-1] < means(picture)[:, 1:]),
        r"<|diff",
    ),
    Slip(
        "Each block is compared with the mean of the picture",
        "That is another hash, the average hash. This one compares neighbours.",
        wrong_hash(lambda picture: means(picture)[:, :8] > means(picture).mean()),
        r"mean\(\)",
    ),
    Slip(
        "Blocks are compared with those below them, not with those to the right",
        "Which index of m grows from left to right?",
        wrong_hash(lambda picture: means(picture)[:-1, :8] > means(picture)[1:, :8]),
        r"\[:-1\]|\[1:\]",
    ),
    Slip(
        "Single pixels are compared, not the means of blocks",
        "A picture that was saved again has other pixels, and nearly the same means.",
        wrong_hash(
            lambda picture: (
                picture[:: len(picture) // 8, :: picture.shape[1] // 9][:, :-1]
                > picture[:: len(picture) // 8, :: picture.shape[1] // 9][:, 1:]
            )
        ),
        r"::",
    ),
    Slip(
        "Blocks that are equal count as becoming darker",
        "Look at an evenly grey picture: does it become darker anywhere?",
        wrong_hash(lambda picture: means(picture)[:, :-1] >= means(picture)[:, 1:]),
        r">=",
    ),
    Slip(
        "The bits come column after column",
        "The order matters as soon as two programs compare their hashes: row after row.",
        wrong_hash(lambda picture: (means(picture)[:, :-1] > means(picture)[:, 1:]).T),
        r"\.T|order|axis",
    ),
    Slip(
        "Pairs that differ in just as many bits as allowed are missing",
        "At most: is that less than, or less than or equal?",
        pairs_where(lambda i, k, d, most: i < k and d < most),
        r"<",
    ),
    Slip(
        "A picture is called a copy of itself",
        "i < k, and never i = k.",
        pairs_where(lambda i, k, d, most: i <= k and d <= most),
        r"range\(i",
    ),
    Slip(
        "Each pair is there twice, once in each order",
        "(i, k) and (k, i) are one pair.",
        pairs_where(lambda i, k, d, most: i != k and d <= most),
        r"!=",
    ),
    Slip(
        "The pairs have the larger index first",
        "i < k in (i, k).",
        {
            "near_duplicates": lambda hashes, most: [
                (k, i) for i in range(len(hashes)) for k in range(i + 1, len(hashes)) if (hashes[i] != hashes[k]).sum() <= most
            ]
        },
    ),
    Slip(
        "Bits that agree are counted, not those that differ",
        "Two equal hashes differ in no bit, and agree in 64.",
        pairs_where(lambda i, k, d, most: i < k and 64 - d <= most),
        r"==",
    ),
    Slip(
        "Only neighbours in the list are compared",
        "A copy can be anywhere in the collection.",
        pairs_where(lambda i, k, d, most: k == i + 1 and d <= most),
        r"i \+ 1\]",
    ),
)

# ---- Task 2: a split that keeps together what belongs together


def wrong_split(*, by_group=True, shuffled=True, of_class=True, stop_before=False, whole_data=False, at_least=False):
    """The solution's split with one thing wrong."""

    def split_by_group(labels, groups, share, rng):
        test, wanted_of_all = np.zeros(len(labels), bool), share * len(labels)
        for k in range(labels.max() + 1) if of_class else [None]:
            members = labels == k if of_class else np.ones(len(labels), bool)
            units = groups if by_group else np.arange(len(labels))
            names = np.unique(units[members])
            for name in rng.permutation(names) if shuffled else names:
                taken, wanted = test[members].sum(), wanted_of_all if whole_data else share * members.sum()
                size = (members & (units == name)).sum()
                if (taken + size > wanted) if stop_before else (taken > wanted) if at_least else (taken >= wanted):
                    break
                test |= units == name
        return test

    return {"split_by_group": split_by_group}


def share_of_groups(labels, groups, share, rng):
    test = np.zeros(len(labels), bool)
    for k in range(labels.max() + 1):
        names = rng.permutation(np.unique(groups[labels == k]))
        test |= np.isin(groups, names[: math.ceil(share * len(names))])
    return test


def right_split(labels, groups, share, rng):
    return wrong_split()["split_by_group"](labels, groups, share, rng)


SPLIT = (
    Slip(
        "Samples are divided, not groups",
        "With a copy in either part, what is tested is memory. What must stay together?",
        wrong_split(by_group=False),
        r"permutation",
    ),
    Slip(
        "Groups are taken in the order of their numbers, without shuffling",
        "The numbers often follow the time or the place where pictures were made. What makes the parts alike?",
        wrong_split(shuffled=False),
        r"unique|sorted",
    ),
    Slip(
        "Classes are not divided one by one",
        "A rare class may end up with no test sample at all. Each class has a share of its own.",
        wrong_split(of_class=False),
        r"permutation|unique",
    ),
    Slip(
        "A group that would be more than the share is left out, and the class's part ends before it",
        "Groups are put in as long as there are too few samples; the last one may be more than was needed.",
        wrong_split(stop_before=True),
        r"\+",
    ),
    Slip(
        "One group too many is taken where the share is reached exactly",
        "As long as it has fewer than share * N_k: what if it has just as many?",
        wrong_split(at_least=True),
        r"<=|>",
    ),
    Slip(
        "The share is that of all samples, for each class",
        "N_k counts the samples of the class.",
        wrong_split(whole_data=True),
        r"len\(",
    ),
    Slip(
        "The share is one of groups, not of samples",
        "Groups are of different sizes: ten copies of one picture are ten samples.",
        {"split_by_group": share_of_groups},
        r"len\(",
    ),
    Slip(
        "Training samples are marked, not test samples",
        "True is for the samples that are kept aside.",
        {"split_by_group": lambda labels, groups, share, rng: ~right_split(labels, groups, share, rng)},
        r"~|False|invert",
    ),
    Slip(
        "A generator of its own is used in the place of rng",
        "Whoever passes a generator wants the same split again with the same seed, and another one with another.",
        {"split_by_group": lambda labels, groups, share, rng: right_split(labels, groups, share, np.random.default_rng(0))},
        r"default_rng|np\.random",
    ),
    Slip(
        "The indices of the test samples come back, not a mark for each sample",
        "What is asked for is bool (N,).",
        {"split_by_group": lambda labels, groups, share, rng: np.flatnonzero(right_split(labels, groups, share, rng))},
        r"nonzero|where",
    ),
)

# ---- Task 3: what a test says


def count(y, answers, K):
    counts = np.zeros((K, K), int)
    for true, said in zip(y, answers, strict=True):
        counts[true, said] += 1
    return counts


def wrong_summary(function):
    """A function of hits, samples and answers of each class."""

    def summary(counts):
        with np.errstate(all="ignore"):
            return tuple(function(np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)))

    return {"summary": summary}


def mean_of(values, t):
    return values[t > 0].mean()


def f1(h, t, a):
    return 2 * h / np.maximum(t + a, 1)


def recall(h, t):
    return h / np.maximum(t, 1)


TEST = (
    Slip(
        "Rows and columns are exchanged",
        "counts[k, j]: k is the true class, j the answer.",
        {"confusion_matrix": lambda y, answers, K: count(answers, y, K)},
        r"answers",
    ),
    Slip(
        "A pair that occurs several times is counted once",
        "counts[y, answers] += 1 with arrays of indices adds once to each place, however often it is named.",
        {"confusion_matrix": lambda y, answers, K: np.minimum(count(y, answers, K), 1)},
        r"\+= ?1",
    ),
    Slip(
        "The matrix is as large as the largest label that occurs",
        "A class that nobody has and nobody answered has a row and a column all the same.",
        {"confusion_matrix": lambda y, answers, K: count(y, answers, max(y.max(), answers.max()) + 1)},
        r"max",
    ),
    Slip(
        "The matrix has shares, not counts",
        "How many, not which part of them.",
        {
            "confusion_matrix": lambda y, answers, K: (
                count(y, answers, K) / np.maximum(count(y, answers, K).sum(1, keepdims=True), 1)
            )
        },
        r"/",
    ),
    Slip(
        "Balanced accuracy is the mean of precisions, not of recalls",
        "Of the samples of a class, how many were found? By what is h_k divided?",
        wrong_summary(lambda h, t, a: (h.sum() / t.sum(), mean_of(h / np.maximum(a, 1), t), mean_of(f1(h, t, a), t))),
        r"axis ?= ?0|sum\(0\)",
    ),
    Slip(
        "Classes without samples count as recall 0",
        "Nobody has tested them. The mean is over the classes that have samples.",
        wrong_summary(lambda h, t, a: (h.sum() / t.sum(), recall(h, t).mean(), f1(h, t, a).mean())),
        r"mean",
    ),
    Slip(
        "Classes without samples make the means NaN",
        "0 / 0 is not a number. Which classes belong to the means?",
        wrong_summary(lambda h, t, a: (h.sum() / t.sum(), (h / t).mean(), (2 * h / (t + a)).mean())),
        r"/",
    ),
    Slip(
        "Classes without samples count in F1 alone",
        "Both means are over the classes that have samples.",
        wrong_summary(lambda h, t, a: (h.sum() / t.sum(), mean_of(recall(h, t), t), f1(h, t, a).mean())),
        r"mean",
    ),
    Slip(
        "F1 lacks the factor 2",
        "With all answers right, t_k = a_k = h_k, and F1 is 1.",
        wrong_summary(lambda h, t, a: (h.sum() / t.sum(), mean_of(recall(h, t), t), mean_of(f1(h, t, a) / 2, t))),
        r"\+ ",
    ),
    Slip(
        "Macro F1 is computed from the mean precision and the mean recall",
        "It is the mean of each class's F1. The harmonic mean of two means is another number.",
        wrong_summary(
            lambda h, t, a: (
                h.sum() / t.sum(),
                mean_of(recall(h, t), t),
                2
                * mean_of(recall(h, t), t)
                * mean_of(h / np.maximum(a, 1), t)
                / (mean_of(recall(h, t), t) + mean_of(h / np.maximum(a, 1), t)),
            )
        ),
        r"precision",
    ),
    Slip(
        "Accuracy is the mean of the recalls",
        "In accuracy each sample counts the same, not each class.",
        wrong_summary(lambda h, t, a: (mean_of(recall(h, t), t), mean_of(recall(h, t), t), mean_of(f1(h, t, a), t))),
        r"mean",
    ),
)

# ---- Task 4: how sure it is


def wrong_wilson(ends):
    return {"wilson_interval": lambda right, n, z: tuple(float(end) for end in ends(right / n, n, z))}


def interval(middle, half, divisor=1.0):
    return (middle - half) / divisor, (middle + half) / divisor


def root(p, n, z):
    return z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))


def wrong_sign_test(p_of):
    """A function of how many only a and only b got right, and of all samples."""
    return {"sign_test": lambda a, b: float(p_of(int((a & ~b).sum()), int((b & ~a).sum()), len(a)))}


def tail(n, most):
    return sum(math.comb(n, i) for i in range(most + 1)) / 2**n


SURE = (
    Slip(
        "It is the naive interval, p -+ z sqrt(p (1 - p) / n)",
        "With all right it has no width at all. Where do z^2 / 2n and z^2 / 4n^2 come in?",
        wrong_wilson(lambda p, n, z: interval(p, z * math.sqrt(p * (1 - p) / n))),
        r"sqrt",
    ),
    Slip(
        "The division by 1 + z^2 / n is missing",
        "With all right, the upper end must be 1.",
        wrong_wilson(lambda p, n, z: interval(p + z**2 / (2 * n), root(p, n, z))),
    ),
    Slip(
        "The middle is p, without z^2 / 2n",
        "Wilson's interval leans towards one half.",
        wrong_wilson(lambda p, n, z: interval(p, root(p, n, z), 1 + z**2 / n)),
    ),
    Slip(
        "Under the root, z^2 / 4n^2 is missing",
        "With all right the interval would have no width.",
        wrong_wilson(lambda p, n, z: interval(p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n), 1 + z**2 / n)),
        r"sqrt",
    ),
    Slip(
        "Under the root, z^2 is divided by 4n, not by 4n^2",
        "Both terms are variances: the second one falls with n squared.",
        wrong_wilson(
            lambda p, n, z: interval(p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n)), 1 + z**2 / n)
        ),
        r"4",
    ),
    Slip(
        "The ends are the wrong way round",
        "The lower one first.",
        wrong_wilson(lambda p, n, z: interval(p + z**2 / (2 * n), -root(p, n, z), 1 + z**2 / n)),
    ),
    Slip(
        "The middle and the half width come back, not the ends",
        "The ends are middle minus half, and middle plus half.",
        wrong_wilson(lambda p, n, z: ((p + z**2 / (2 * n)) / (1 + z**2 / n), root(p, n, z) / (1 + z**2 / n))),
    ),
    Slip(
        "Only one side is counted: the factor 2 is missing",
        "As large in either direction would have surprised you as much.",
        wrong_sign_test(lambda u, v, N: tail(u + v, min(u, v))),
    ),
    Slip(
        "p can be larger than 1",
        "With u = n - u the middle term is counted twice. At most 1.",
        wrong_sign_test(lambda u, v, N: 2 * tail(u + v, min(u, v))),
        r"2 ?\*",
    ),
    Slip(
        "The sum stops one term too early",
        "i = 0..min(u, n - u), the last one included. What does range leave out?",
        wrong_sign_test(lambda u, v, N: min(1.0, 2 * tail(u + v, min(u, v) - 1))),
        r"range",
    ),
    Slip(
        "Samples that both got right, or both wrong, are counted",
        "They say nothing about which of the two is better: n counts only those where they differ.",
        wrong_sign_test(lambda u, v, N: min(1.0, 2 * tail(N, min(u, v)))),
        r"len\(",
    ),
    Slip(
        "The sum goes up to u, whichever of the two is better",
        "The unlikely side is the smaller of the two counts.",
        wrong_sign_test(lambda u, v, N: min(1.0, 2 * tail(u + v, u))),
        r"range",
    ),
    Slip(
        "It is the probability of this very count, not of a difference at least as large",
        "Add up all counts that are as extreme or more.",
        wrong_sign_test(lambda u, v, N: min(1.0, 2 * math.comb(u + v, u) / 2 ** (u + v))),
        r"comb",
    ),
)

# ---- Task 5: rare classes


def wrong_weights(function):
    """A function of the counts, N and K."""

    def weights(y, K):
        with np.errstate(all="ignore"):
            return np.asarray(function(np.bincount(y, minlength=K), len(y), K), np.float64)

    return {"class_weights": weights}


def softmax(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def wrong_loss(
    *, loss_divisor="weights", gradient_divisor="weights", weigh_loss=True, weigh_gradient=True, naive=False, sign=1
):
    """The solution's loss with one thing wrong."""

    def weighted_softmax_loss(scores, y, c):
        N, rows = len(y), np.arange(len(y))
        with np.errstate(all="ignore"):
            p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True) if naive else softmax(scores)
        divisors = {"weights": c[y].sum(), "samples": N, "nothing": 1.0, "classes": c.sum()}
        one = np.zeros_like(p)
        one[rows, y] = 1
        with np.errstate(all="ignore"):
            loss = -((c[y] if weigh_loss else 1.0) * np.log(p[rows, y])).sum() / divisors[loss_divisor]
        dscores = sign * (c[y][:, None] if weigh_gradient else 1.0) * (p - one) / divisors[gradient_divisor]
        return float(loss), dscores

    return {"weighted_softmax_loss": weighted_softmax_loss}


def weights_by_column(scores, y, c):
    loss, _ = wrong_loss()["weighted_softmax_loss"](scores, y, c)
    one = np.eye(len(c))[y]
    return loss, c * (softmax(scores) - one) / c[y].sum()


def without_one(scores, y, c):
    loss, _ = wrong_loss()["weighted_softmax_loss"](scores, y, c)
    return loss, c[y][:, None] * softmax(scores) / c[y].sum()


RARE = (
    Slip(
        "The weights are N / N_k, without K",
        "What do the weights of all samples add up to?",
        wrong_weights(lambda n, N, K: np.where(n > 0, N / np.maximum(n, 1), 0.0)),
        r"/",
    ),
    Slip(
        "The weights are 1 / N_k",
        "What do the weights of all samples add up to? It should be N.",
        wrong_weights(lambda n, N, K: np.where(n > 0, 1 / np.maximum(n, 1), 0.0)),
        r"1(\.0)? ?/",
    ),
    Slip(
        "A class without samples has an infinite weight",
        "Its weight is never used; it should be 0.",
        wrong_weights(lambda n, N, K: N / (K * n)),
        r"/",
    ),
    Slip(
        "K counts only the classes that occur",
        "K is given, and counts the class without samples as well.",
        wrong_weights(lambda n, N, K: np.where(n > 0, N / ((n > 0).sum() * np.maximum(n, 1)), 0.0)),
        r"unique|> ?0",
    ),
    Slip(
        "Frequent classes get large weights, and rare ones small ones",
        "Which samples are to count more?",
        wrong_weights(lambda n, N, K: K * n / N),
        r"\* ?",
    ),
    Slip(
        "The weights are normalised to add up to 1 over the classes",
        "N / (K N_k), as it stands there.",
        wrong_weights(
            lambda n, N, K: np.where(n > 0, 1 / np.maximum(n, 1), 0) / np.where(n > 0, 1 / np.maximum(n, 1), 0).sum()
        ),
        r"sum",
    ),
    Slip(
        "The softmax overflows",
        "Which number can be taken from all scores of a row without a change?",
        wrong_loss(naive=True),
        r"exp",
    ),
    Slip(
        "Loss and gradient are divided by N",
        "A weighted mean is divided by the sum of its weights.",
        wrong_loss(loss_divisor="samples", gradient_divisor="samples"),
        r"mean|len\(|/ ?N",
    ),
    Slip(
        "The gradient is divided by N",
        "The loss is right. By what is it divided?",
        wrong_loss(gradient_divisor="samples"),
        r"len\(|/ ?N",
    ),
    Slip(
        "Loss and gradient are sums",
        "A weighted mean is divided by the sum of its weights.",
        wrong_loss(loss_divisor="nothing", gradient_divisor="nothing"),
        r"sum",
    ),
    Slip(
        "Loss and gradient are divided by the sum of the classes' weights",
        "The weights of all samples are added up: c[y].sum().",
        wrong_loss(loss_divisor="classes", gradient_divisor="classes"),
        r"c\.sum|sum\(c\)",
    ),
    Slip(
        "The gradient has no weights",
        "The loss is weighted: so is its derivative.",
        wrong_loss(weigh_gradient=False),
    ),
    Slip("The loss has no weights", "The gradient is weighted; the loss is not.", wrong_loss(weigh_loss=False)),
    Slip(
        "The gradient's weights are those of the column's class, not of the sample's",
        "One weight for a whole row of dscores: whose?",
        {"weighted_softmax_loss": weights_by_column},
        r"c ?\*|\* ?c\b",
    ),
    Slip("The gradient has the wrong sign", "p - 1 at the right class.", wrong_loss(sign=-1), r"-"),
    Slip(
        "The 1 at the right class is missing in the gradient",
        "Every row of dscores adds up to 0.",
        {"weighted_softmax_loss": without_one},
    ),
)

# ---- Task 6: when to say nothing


def wrong_error(*, upper=True, squared=False, weigh="samples", signed=False, confidence_of="answer", bins_of=None):
    """The solution's error with one thing wrong."""

    def calibration_error(probabilities, y, bins):
        bins = bins_of or bins
        answers = probabilities.argmax(axis=1)
        right = (answers == y).astype(float)
        confidence = probabilities[np.arange(len(y)), answers if confidence_of == "answer" else y]
        b = np.ceil(confidence * bins).astype(int) - 1 if upper else np.minimum((confidence * bins).astype(int), bins - 1)
        total, filled = 0.0, max(1, len(np.unique(b)))
        for k in np.unique(b):
            gap = right[b == k].mean() - confidence[b == k].mean()
            gap = gap**2 if squared else gap if signed else abs(gap)
            share = {"samples": (b == k).mean(), "bins": 1 / bins, "filled": 1 / filled}[weigh]
            total += share * gap
        return float(total)

    return {"calibration_error": calibration_error}


def wrong_accept(*, strict=False, highest=False, order=1, nothing=math.inf, more=False):
    def accept(confidence, right, wanted):
        good = []
        for threshold in confidence:
            taken = confidence > threshold if strict else confidence >= threshold
            share = right[taken].mean() if taken.any() else 0.0
            if share > wanted if more else share >= wanted:
                good.append(float(threshold))
        return (max(good) if highest else min(good)) if good else nothing

    return {"accept": accept}


def first_from_above(confidence, right, wanted):
    found = math.inf
    for threshold in -np.sort(-confidence):
        if right[confidence >= threshold].mean() < wanted:
            break
        found = float(threshold)
    return found


NOTHING = (
    Slip(
        "A confidence on the edge between two bins is put into the upper one",
        "b / bins < confidence <= (b + 1) / bins: to which bin does the edge belong?",
        wrong_error(upper=False),
        r"int|digitize|floor",
    ),
    Slip("Differences are squared", "Absolute values, weighted by n_b / N.", wrong_error(squared=True), r"\*\* ?2"),
    Slip(
        "Differences of both signs cancel",
        "Too sure in one bin and too unsure in another are two faults, not none.",
        wrong_error(signed=True),
    ),
    Slip(
        "All bins count the same, the empty ones as well",
        "A bin with one sample must not count as much as one with a hundred.",
        wrong_error(weigh="bins"),
        r"/ ?bins|mean",
    ),
    Slip(
        "All bins that have samples count the same",
        "A bin with one sample must not count as much as one with a hundred.",
        wrong_error(weigh="filled"),
        r"mean",
    ),
    Slip(
        "The confidence is the probability of the true class",
        "Who uses the classifier does not know the true class. What does it say of its own answer?",
        wrong_error(confidence_of="truth"),
        r"\by\b",
    ),
    Slip(
        "All answers are in one bin",
        "Too sure in one bin and too unsure in another: only bins can show it.",
        wrong_error(bins_of=1),
    ),
    Slip(
        "Answers just at the threshold are not accepted",
        "At least the threshold: > or >=?",
        wrong_accept(strict=True),
        r">",
    ),
    Slip(
        "It is the highest threshold that is good enough",
        "The lower the threshold, the more answers.",
        wrong_accept(highest=True),
        r"max",
    ),
    Slip(
        "It stops at the first threshold from above that is not good enough",
        "One wrong answer of high confidence spoils the first few, and further down the share may be high enough again.",
        {"accept": first_from_above},
        r"break|argmax",
    ),
    Slip(
        "Without any good threshold it is 0",
        "Threshold 0 accepts everything. Which threshold accepts nothing?",
        wrong_accept(nothing=0.0),
    ),
    Slip("Without any good threshold it is 1", "An answer may have confidence 1.", wrong_accept(nothing=1.0)),
    Slip("A share that is just as large as wanted is not enough", "At least the share wanted.", wrong_accept(more=True), r">"),
)
