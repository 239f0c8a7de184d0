"""Answers to the exercise of lesson 1: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` lists (what it does, functions in place of the solution's, title of the slip that should be named or None);
``RIGHT[task]`` (how, functions).
"""

import math

import numpy as np

from minicnn.course import find_lesson
from minicnn.losses import BinaryLogistic, SoftmaxCrossEntropy, SVMHinge

solution = find_lesson("1").solution
WRONG, RIGHT = {}, {}


def rows_of(y):
    return np.arange(len(y))


def numeric(loss_of, x):
    """A gradient without any formula."""
    gradient, h = np.empty(x.shape), 1e-6
    for i in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[i] += h
        below[i] -= h
        gradient[i] = (loss_of(above) - loss_of(below)) / (2 * h)
    return gradient


def into_one_array(function):
    """The gradients of equal shape all in the same array."""
    kept = {}

    def call(*arguments):
        loss, dscores = function(*arguments)
        kept.setdefault(dscores.shape, np.empty_like(dscores))[...] = dscores
        return loss, kept[dscores.shape]

    return call


# ---- task 1: the hinge loss


def svm_loops(scores, y, margin=1.0, with_right=False, power=1, right_gradient=True, count_kink=False):
    (N, K), loss, dscores = scores.shape, 0.0, np.zeros(scores.shape)
    for n in range(N):
        for k in range(K):
            if k == y[n] and not with_right:
                continue
            m = scores[n, k] - scores[n, y[n]] + margin
            if m > 0 or (count_kink and m == 0):
                loss += m**power
                dscores[n, k] += power * m ** (power - 1)
                if right_gradient:
                    dscores[n, y[n]] -= power * m ** (power - 1)
    return loss / N, dscores / N


def svm_einsum(scores, y):
    one_hot = np.eye(scores.shape[1])[y]
    margins = scores + (1 - one_hot) - np.einsum("nk,nk->n", scores, one_hot)[:, None]
    active = np.where(margins > 0, 1.0, 0.0) * (1 - one_hot)
    return np.einsum("nk,nk->", margins, active) / len(y), (active - one_hot * active.sum(1, keepdims=True)) / len(y)


def svm_sample_by_sample(scores, y):
    losses, gradients = [], []
    for s, t in zip(scores, y, strict=True):
        others = np.delete(np.arange(len(s)), t)
        m = s[others] - s[t] + 1
        g = np.zeros(len(s))
        g[others] = m > 0
        g[t] = -np.count_nonzero(m > 0)
        losses.append(np.clip(m, 0, None).sum())
        gradients.append(g)
    return np.mean(losses), np.array(gradients) / len(y)


def svm_largest(scores, y):
    others = scores.copy()
    others[rows_of(y), y] = -np.inf
    worst = others.argmax(axis=1)
    m = np.maximum(0, others.max(axis=1) - scores[rows_of(y), y] + 1)
    dscores = np.zeros(scores.shape)
    dscores[rows_of(y), worst] = m > 0
    dscores[rows_of(y), y] = -(m > 0).astype(float)
    return m.mean(), dscores / len(y)


def svm_from_parts(scores, y, mask=lambda m: m > 0, right=lambda count: -count, after=lambda loss, dscores, y: (loss, dscores)):
    m = scores - scores[rows_of(y), y].reshape(-1, 1) + 1
    m[rows_of(y), y] = 0
    positive = np.where(m > 0, m, 0)
    dscores = mask(m).astype(float)
    dscores[rows_of(y), y] = 0
    dscores[rows_of(y), y] = right(dscores.sum(axis=1))
    return after(positive.sum() / len(y), dscores / len(y), y)


def svm_wrong_way(scores, y):
    m = np.maximum(0, scores[rows_of(y), y][:, None] - scores + 1)
    m[rows_of(y), y] = 0
    d = -(m > 0).astype(float)
    d[rows_of(y), y] = -d.sum(axis=1)
    return m.sum() / len(y), d / len(y)


def svm_counts_itself(scores, y):
    m = np.maximum(0, scores - scores[rows_of(y), y][:, None] + 1)
    d = (m > 0).astype(float)
    d[rows_of(y), y] = -d.sum(axis=1)
    m[rows_of(y), y] = 0
    return m.sum() / len(y), d / len(y)


def svm_columns(scores, y):
    m = np.maximum(0, scores - scores[rows_of(y), y][:, None] + 1)
    m[rows_of(y), y] = 0
    d = (m > 0).astype(float)
    d[:, y] = -d.sum(axis=1)
    return m.sum() / len(y), d / len(y)


def svm_every_class(scores, y):
    m = np.maximum(0, scores - scores[rows_of(y), y][:, None] + 1)
    m[rows_of(y), y] = 0
    d = (m >= 0) * 1.0
    d[rows_of(y), y] -= scores.shape[1]
    return m.sum() / len(y), d / len(y)


def by_svm(change):
    """The solution's loss and gradient, changed."""
    return {"svm_loss": lambda scores, y: change(*solution.svm_loss(scores, y), scores, y)}


WRONG[1] = [
    ("no margin", {"svm_loss": lambda s, y: svm_loops(s, y, margin=0.0)}, "The margin is missing"),
    ("right minus wrong", {"svm_loss": svm_wrong_way}, "The difference of the scores is the wrong way round"),
    (
        "right class too",
        {"svm_loss": lambda s, y: svm_loops(s, y, with_right=True)},
        "The right class is counted among the wrong ones",
    ),
    ("right class in the count", {"svm_loss": svm_counts_itself}, "The right class counts itself among the violations"),
    ("sums", by_svm(lambda loss, d, s, y: (loss * len(y), d * len(y))), "Loss and gradient are sums over the samples"),
    ("loss a sum", by_svm(lambda loss, d, s, y: (loss * len(y), d)), "The loss is a sum over the samples"),
    (
        "loss by np.mean",
        {
            "svm_loss": lambda s, y: (
                np.mean(np.maximum(0, s - s[rows_of(y), y][:, None] + (s != s[rows_of(y), y][:, None]))),
                solution.svm_loss(s, y)[1],
            )
        },
        "The loss is divided by the number of classes as well",
    ),
    (
        "both by np.size",
        by_svm(lambda loss, d, s, y: (loss * len(y) / np.size(s), d * len(y) / np.size(s))),
        "Loss and gradient are divided by the number of classes as well",
    ),
    ("gradient a sum", by_svm(lambda loss, d, s, y: (loss, d * len(y))), "dscores lacks its 1/N"),
    (
        "no gradient for the right class",
        {"svm_loss": lambda s, y: svm_loops(s, y, right_gradient=False)},
        "The right class has no gradient",
    ),
    (
        "right class -1",
        {"svm_loss": lambda s, y: svm_from_parts(s, y, right=lambda count: -np.minimum(count, 1))},
        "The right class has the gradient -1/N, however many classes violate the margin",
    ),
    (
        "right class plus",
        {"svm_loss": lambda s, y: svm_from_parts(s, y, right=lambda count: count)},
        "The gradient of the right class has the wrong sign",
    ),
    ("gradient negative", by_svm(lambda loss, d, s, y: (loss, -d)), "dscores has the wrong sign"),
    (
        "gradient of margins",
        {"svm_loss": lambda s, y: svm_from_parts(s, y, mask=lambda m: np.maximum(m, 0))},
        "dscores holds the margins themselves",
    ),
    ("squared", {"svm_loss": lambda s, y: svm_loops(s, y, power=2)}, "The violations are squared"),
    ("largest only", {"svm_loss": svm_largest}, "Only the largest violation of a sample counts"),
    ("every class", {"svm_loss": svm_every_class}, "Classes that keep the margin have a gradient as well"),
    (
        "kink counts",
        {"svm_loss": lambda s, y: svm_loops(s, y, count_kink=True)},
        "A margin of exactly 0 is taken for a violation",
    ),
    ("whole columns", {"svm_loss": svm_columns}, "dscores[:, y] changes whole columns"),
    (
        "right scores not a column",
        {"svm_loss": lambda s, y: (np.maximum(0, s - s[rows_of(y), y] + 1).sum() / len(y), np.zeros(s.shape))},
        "The scores of the right classes do not stand beside the rows that they belong to",
    ),
    (
        "columns of scores",
        {"svm_loss": lambda s, y: (np.maximum(0, s - s[:, y] + 1).sum() / len(y), np.zeros(s.shape))},
        "The scores of the right classes do not stand beside the rows that they belong to",
    ),
    ("margin of 1/2", {"svm_loss": lambda s, y: svm_loops(s, y, margin=0.5)}, None),
    ("mean over the violations", by_svm(lambda loss, d, s, y: (loss * len(y) / max(1, np.count_nonzero(d > 0)), d)), None),
    ("loss only", {"svm_loss": lambda s, y: solution.svm_loss(s, y)[0]}, "Not as many results as asked for"),
    ("gradient transposed", by_svm(lambda loss, d, s, y: (loss, d.T.copy())), "The result is transposed"),
    ("gradient in whole numbers", by_svm(lambda loss, d, s, y: (loss, d.astype(int))), "The result does not hold floats"),
    ("scores changed", by_svm(lambda loss, d, s, y: (loss, d + 0 * np.subtract(s, s.max(), out=s))), "An argument is changed"),
    ("always the same array", {"svm_loss": into_one_array(solution.svm_loss)}, "An array is kept from call to call"),
    ("several samples only", by_svm(lambda loss, d, s, y: (loss, d) if len(y) > 1 else (loss, d.squeeze())), None),
]
RIGHT[1] = [
    ("loops", {"svm_loss": svm_loops}),
    ("einsum", {"svm_loss": svm_einsum}),
    ("sample by sample", {"svm_loss": svm_sample_by_sample}),
    ("parts, a list", {"svm_loss": lambda s, y: list(svm_from_parts(s, y))}),
    ("an array without axes", by_svm(lambda loss, d, s, y: (np.array(loss), np.asfortranarray(d)))),
    ("minicnn's", {"svm_loss": lambda s, y: (lambda loss: (loss.forward(s, y), loss.backward()))(SVMHinge())}),
]

# ---- task 2: softmax


def softmax_loops(scores, y, log=math.log, shift=max, sign=-1):
    N, loss, dscores = len(y), 0.0, np.zeros(scores.shape)
    for n in range(N):
        s = [score - shift(scores[n]) for score in scores[n]]
        total = sum(math.exp(value) for value in s)
        loss += sign * (s[y[n]] - log(total)) / N
        for k, value in enumerate(s):
            dscores[n, k] = (math.exp(value) / total - (k == y[n])) / N
    return loss, dscores


def softmax_of_p(p_of, end=lambda p: p):
    """Probabilities first, then their logarithms."""

    def softmax_loss(scores, y):
        p = p_of(scores)
        one_hot = np.eye(scores.shape[1])[y]
        return -np.log(end((p * one_hot).sum(axis=1))).mean(), (p - one_hot) / len(y)

    return {"softmax_loss": softmax_loss}


def plain_p(scores):
    return np.exp(scores) / np.exp(scores).sum(axis=1)[:, None]


def shifted_p(scores):
    e = np.exp(scores - np.amax(scores, axis=1)[:, None])
    return e / np.sum(e, axis=1)[:, None]


def p_below_largest_of_all(scores):
    e = np.exp(scores - np.max(scores))
    return e / e.sum(axis=-1, keepdims=True)


def p_over_samples(scores):
    e = np.exp(scores - scores.max(axis=0))
    return e / e.sum(axis=0)


def p_over_all(scores):
    e = np.exp(scores - scores.max())
    return e / e.sum()


def unshifted_logarithms(scores, y):
    log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return -log_p[rows_of(y), y].mean(), (np.exp(log_p) - np.eye(scores.shape[1])[y]) / len(y)


def softmax_from(change):
    """Of log p, the one-hot rows and N."""

    def softmax_loss(scores, y):
        log_p = np.log(shifted_p(scores))
        return change(log_p, np.eye(scores.shape[1])[y], len(y), y)

    return {"softmax_loss": softmax_loss}


def by_softmax(change):
    return {"softmax_loss": lambda scores, y: change(*solution.softmax_loss(scores, y), scores, y)}


def softmax_by_logaddexp(scores, y):
    total = np.logaddexp.reduce(scores, axis=1)
    d = np.exp(scores - total[:, None])
    np.subtract.at(d, (rows_of(y), y), 1)
    return (total - np.take_along_axis(scores, y[:, None], axis=1)[:, 0]).sum() / len(y), d / len(y)


def subtract_columns(log_p, one_hot, N, y):
    d = np.exp(log_p)
    d[:, y] -= 1
    return -(log_p * one_hot).sum() / N, d / N


WRONG[2] = [
    ("sign", {"softmax_loss": lambda s, y: softmax_loops(s, y, sign=1)}, "The minus sign of the loss is missing"),
    ("sums", by_softmax(lambda loss, d, s, y: (loss * len(y), d * len(y))), "Loss and gradient are sums over the samples"),
    ("loss a sum", by_softmax(lambda loss, d, s, y: (loss * len(y), d)), "The loss is a sum over the samples"),
    (
        "loss by np.mean",
        softmax_from(lambda log_p, one_hot, N, y: (-np.mean(log_p * one_hot), (np.exp(log_p) - one_hot) / N)),
        "The loss is divided by the number of classes as well",
    ),
    (
        "log2",
        softmax_from(
            lambda log_p, one_hot, N, y: (-np.log2(np.exp(log_p))[rows_of(y), y].mean(), (np.exp(log_p) - one_hot) / N)
        ),
        "The logarithm has the base 2",
    ),
    (
        "all classes",
        softmax_from(lambda log_p, one_hot, N, y: (-np.einsum("nk->", log_p) / N, (np.exp(log_p) - one_hot) / N)),
        "The loss is taken of all classes",
    ),
    (
        "columns in the loss",
        softmax_from(lambda log_p, one_hot, N, y: (np.mean(-log_p[:, y]), (np.exp(log_p) - one_hot) / N)),
        "log_p[:, y] takes whole columns",
    ),
    (
        "1 - p",
        softmax_from(lambda log_p, one_hot, N, y: (1 - (np.exp(log_p) * one_hot).sum() / N, (np.exp(log_p) - one_hot) / N)),
        "The loss is 1 - p, without a logarithm",
    ),
    ("gradient a sum", by_softmax(lambda loss, d, s, y: (loss, len(y) * d)), "dscores lacks its 1/N"),
    (
        "gradient p",
        softmax_from(lambda log_p, one_hot, N, y: (-(log_p * one_hot).sum() / N, np.exp(log_p) / N)),
        "dscores is p, and nothing is subtracted at the right class",
    ),
    (
        "gradient negative",
        softmax_from(lambda log_p, one_hot, N, y: (-(log_p * one_hot).sum() / N, (one_hot - np.exp(log_p)) / N)),
        "dscores has the wrong sign",
    ),
    ("columns in the gradient", softmax_from(subtract_columns), "dscores[:, y] -= 1 changes whole columns"),
    (
        "1 after the division",
        softmax_from(lambda log_p, one_hot, N, y: (-(log_p * one_hot).sum() / N, np.exp(log_p) / N - one_hot)),
        "The 1 is subtracted after the division by N",
    ),
    (
        "slope twice",
        softmax_from(
            lambda log_p, one_hot, N, y: (
                -(log_p * one_hot).sum() / N,
                (np.exp(log_p) - one_hot) * (np.exp(log_p) - np.exp(log_p) ** 2) / N,
            )
        ),
        "dscores goes through p (1 - p) once more",
    ),
    ("over the samples", softmax_of_p(p_over_samples), "The probabilities of a class sum to 1 over the samples"),
    ("over everything", softmax_of_p(p_over_all), "The sum of exp() runs over all samples"),
    ("not shifted", softmax_of_p(plain_p), "exp() of large scores overflows"),
    ("not shifted, logarithms", {"softmax_loss": unshifted_logarithms}, "exp() of large scores overflows"),
    (
        "shifted by the largest of all",
        softmax_of_p(p_below_largest_of_all),
        "The largest score of all samples is subtracted, and other samples underflow",
    ),
    ("log of p", softmax_of_p(shifted_p), "The logarithm is taken of a p that has underflowed to 0"),
    (
        "1e-12 added",
        softmax_of_p(shifted_p, lambda p: p + 1e-12),
        "Something small is added to p, or p is cut off, before the logarithm is taken",
    ),
    (
        "1e-8 added",
        softmax_of_p(shifted_p, lambda p: p + 1e-8),
        "Something small is added to p, or p is cut off, before the logarithm is taken",
    ),
    (
        "cut off at 1e-7",
        softmax_of_p(shifted_p, lambda p: np.maximum(p, 1e-7)),
        "Something small is added to p, or p is cut off, before the logarithm is taken",
    ),
    (
        "shifted by the mean",
        {"softmax_loss": lambda s, y: softmax_of_p(lambda s: plain_p(s - s.mean(axis=1)[:, None]))["softmax_loss"](s, y)},
        "exp() of large scores overflows",
    ),
    ("labels from 1", {"softmax_loss": lambda s, y: solution.softmax_loss(s, y - 1)}, None),
    ("scores cut off at 700", {"softmax_loss": lambda s, y: solution.softmax_loss(np.clip(s, -700, 700), y)}, None),
    (
        "shifted in place",
        by_softmax(lambda loss, d, s, y: (loss, d + 0 * np.subtract(s, s.max(axis=1, keepdims=True), out=s))),
        "An argument is changed",
    ),
    ("always the same array", {"softmax_loss": into_one_array(solution.softmax_loss)}, "An array is kept from call to call"),
    (
        "loss of every sample",
        by_softmax(lambda loss, d, s, y: (np.full(len(y), loss), d)),
        "An array came where a number belongs",
    ),
]
RIGHT[2] = [
    ("loops", {"softmax_loss": softmax_loops}),
    ("logaddexp", {"softmax_loss": softmax_by_logaddexp}),
    (
        "one row after the other",
        {
            "softmax_loss": lambda s, y: (
                np.mean([softmax_loops(s[n : n + 1], y[n : n + 1])[0] for n in range(len(y))]),
                np.concatenate([softmax_loops(s[n : n + 1], y[n : n + 1])[1] for n in range(len(y))]) / len(y),
            )
        },
    ),
    (
        "minicnn's, a list",
        {"softmax_loss": lambda s, y: (lambda loss: [loss.forward(s, y), loss.backward()])(SoftmaxCrossEntropy())},
    ),
]

# ---- task 3: one sigmoid output


def logistic_loops(scores, t):
    loss, d = 0.0, np.zeros(len(t))
    for n, (s, right) in enumerate(zip(scores, t, strict=True)):
        z = -s if right else s
        loss += z + math.log1p(math.exp(-z)) if z > 0 else math.log1p(math.exp(z))
        p = 1 / (1 + math.exp(-s)) if s >= 0 else math.exp(s) / (1 + math.exp(s))
        d[n] = p - right
    return loss / len(t), d / len(t)


def logistic_by_softmax(scores, t):
    loss, d = solution.softmax_loss(np.stack([np.zeros(len(scores)), scores], axis=1), t)
    return loss, d[:, 1].copy()


def naive_p(s):
    return 1 / (1 + np.exp(-s))


def p_as_ratio(s):
    return np.exp(s) / (np.exp(s) + 1)


def logistic_of_p(loss, dscores=lambda p, t: (p - t) / len(t), p_of=naive_p):
    """Probabilities first."""

    def logistic_loss(scores, t):
        p = p_of(scores)
        return loss(p, t), dscores(p, t)

    return {"logistic_loss": logistic_loss}


def entropy(p, t):
    return -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))


def by_logistic(change):
    return {"logistic_loss": lambda scores, t: change(*solution.logistic_loss(scores, t), scores, t)}


CUT = "Something small is added to p, or p is cut off, before the logarithm is taken"
WRONG[3] = [
    ("sides", {"logistic_loss": lambda s, t: logistic_loops(s, 1 - t)}, "t and 1 - t are exchanged"),
    (
        "sides in the loss",
        logistic_of_p(lambda p, t: -np.mean(np.where(t == 1, np.log(1 - p), np.log(p)))),
        "t and 1 - t are exchanged in the loss",
    ),
    (
        "sides in the gradient",
        by_logistic(lambda loss, d, s, t: (loss, (logistic_loops(s, 1 - t)[1]))),
        "t and 1 - t are exchanged in the gradient",
    ),
    ("sign", logistic_of_p(lambda p, t: -entropy(p, t)), "The minus sign of the loss is missing"),
    ("sums", by_logistic(lambda loss, d, s, t: (loss * len(t), d * len(t))), "Loss and gradient are sums over the samples"),
    ("loss a sum", logistic_of_p(lambda p, t: entropy(p, t) * len(p)), "The loss is a sum over the samples"),
    ("gradient a sum", by_logistic(lambda loss, d, s, t: (loss, d * len(t))), "dscores lacks its 1/N"),
    ("gradient negative", by_logistic(lambda loss, d, s, t: (loss, -d)), "dscores has the wrong sign"),
    ("gradient p", logistic_of_p(entropy, lambda p, t: p / len(t)), "dscores is p, and t is not subtracted"),
    (
        "slope twice",
        logistic_of_p(entropy, lambda p, t: (p - t) * p * (1 - p) / len(t)),
        "The sigmoid's slope p (1 - p) is there, and it cancels",
    ),
    (
        "by p",
        logistic_of_p(entropy, lambda p, t: (-t / p + (1 - t) / (1 - p)) / len(t)),
        "dscores is the derivative with respect to p, not to the score",
    ),
    (
        "rounded",
        logistic_of_p(entropy, lambda p, t: (np.round(p) - t) / len(t)),
        "p is rounded to 0 or 1 in the gradient",
    ),
    ("one side", logistic_of_p(lambda p, t: -(t * np.log(p)).mean()), "Samples with t = 0 cost nothing"),
    (
        "plus and minus 1",
        by_logistic(lambda loss, d, s, t: (np.log(1 + np.exp(-t * s)).mean(), d)),
        "This is the loss for labels -1 and 1",
    ),
    ("squared", logistic_of_p(lambda p, t: np.square(p - t).mean()), "The loss is the squared error of p"),
    ("log of 0", logistic_of_p(entropy), "log(p) or log(1 - p) is taken where it is 0"),
    (
        "log of 0, chosen",
        logistic_of_p(lambda p, t: -np.where(t == 1, np.log(p), np.log(1 - p)).mean()),
        "log(p) or log(1 - p) is taken where it is 0",
    ),
    (
        "exp too large",
        by_logistic(lambda loss, d, s, t: (np.log1p(np.exp((1 - 2 * t) * s)).mean(), d)),
        "exp() of a large score overflows",
    ),
    ("p as a ratio", logistic_of_p(entropy, p_of=p_as_ratio), "log(p) or log(1 - p) is taken where it is 0"),
    (
        "p as a ratio, in the gradient only",
        by_logistic(lambda loss, d, s, t: (loss, (p_as_ratio(s) - t) / len(t))),
        "exp() of a large score overflows",
    ),
    ("1e-12 added", logistic_of_p(lambda p, t: -np.mean(t * np.log(p + 1e-12) + (1 - t) * np.log(1 - p + 1e-12))), CUT),
    ("cut off at 1e-7", logistic_of_p(lambda p, t: entropy(np.clip(p, 1e-7, 1 - 1e-7), t)), CUT),
    ("cut off at 1e-15", logistic_of_p(lambda p, t: entropy(np.minimum(np.maximum(p, 1e-15), 1 - 1e-15), t)), CUT),
    ("the hinge", by_logistic(lambda loss, d, s, t: (np.maximum(0, 1 - (2 * t - 1) * s).mean(), d)), None),
    ("scores cut off at 500", {"logistic_loss": lambda s, t: solution.logistic_loss(np.clip(s, -500, 500), t)}, None),
    (
        "gradient a column",
        by_logistic(lambda loss, d, s, t: (loss, d[:, None].copy())),
        "The result has an axis of length 1 too many",
    ),
    ("always the same array", {"logistic_loss": into_one_array(solution.logistic_loss)}, "An array is kept from call to call"),
]
RIGHT[3] = [
    ("loops", {"logistic_loss": logistic_loops}),
    ("softmax of two classes", {"logistic_loss": logistic_by_softmax}),
    (
        "logaddexp and tanh",
        {
            "logistic_loss": lambda s, t: (
                np.logaddexp(0, s * (1 - 2 * t)).mean(),
                (0.5 + 0.5 * np.tanh(0.5 * s) - t) / t.size,
            )
        },
    ),
    (
        "the naive sigmoid in the gradient",
        {
            "logistic_loss": lambda s, t: (
                np.mean(np.maximum(s, 0) - s * t + np.log1p(np.exp(-abs(s)))),
                (1 / (1 + np.exp(-s)) - t) / len(s),
            )
        },
    ),
    ("minicnn's", {"logistic_loss": lambda s, t: (lambda loss: (loss.forward(s, t), loss.backward()))(BinaryLogistic())}),
]

# ---- task 4: preprocessing


def measure_loops(x):
    N, D = x.shape
    mean, std = np.zeros(D), np.zeros(D)
    for d in range(D):
        mean[d] = sum(float(x[n, d]) for n in range(N)) / N
        std[d] = math.sqrt(sum((float(x[n, d]) - mean[d]) ** 2 for n in range(N)) / N)
        if std[d] < 1e-9:
            std[d] = 1
    return mean, std


def measure_moments(x):
    x = x.astype(np.float64)
    mean = np.einsum("nd->d", x) / len(x)
    variance = np.einsum("nd,nd->d", x - mean, x - mean) / len(x)
    return mean, np.sqrt(np.where(variance > 1e-18, variance, 1.0))


def measure_masked(x):
    mean, std = np.average(x, axis=0), np.std(x, axis=0)
    std[std == 0] = 1.0
    return [mean, std]


def measure_in_bytes(x):
    mean = x.mean(axis=0)
    std = np.sqrt((x**2).mean(axis=0) - mean**2)
    std[std == 0] = 1
    return mean, std


def measure_columns(columns, std):
    """Column by column, with another deviation."""

    def measure(x):
        values = [std(np.asarray(column, float)) for column in x.T]
        return np.array([columns(column) for column in x.T], float), np.array([value or 1.0 for value in values])

    return {"measure": measure}


def around_zero(column):
    return math.sqrt(np.dot(column, column) / len(column))


WRONG[4] = [
    (
        "one for all",
        {"measure": lambda x: (np.mean(x), np.std(x))},
        "There is one mean and one std for all features together",
    ),
    (
        "each sample its own",
        {"measure": lambda x: tuple(np.array([f(row) for row in x]) for f in (np.mean, np.std))},
        "Each sample has a mean and a std of its own",
    ),
    ("N - 1", measure_columns(np.mean, lambda c: np.std(c, ddof=1)), "The variance is divided by N - 1"),
    ("variance", measure_columns(np.mean, np.var), "std is the variance"),
    ("from 0", measure_columns(np.mean, around_zero), "std is measured from 0, not from the mean"),
    ("distance", measure_columns(np.mean, lambda c: np.mean(np.abs(c - np.mean(c)))), "std is the mean distance from the mean"),
    ("range", measure_columns(min, lambda c: max(c) - min(c)), "mean and std are the smallest value and the range"),
    ("median", measure_columns(np.median, np.std), "The mean is the median"),
    (
        "std 0",
        {"measure": lambda x: (x.mean(axis=0), np.sqrt(((x - x.mean(axis=0)) ** 2).mean(axis=0)))},
        "The std of a feature that never varies is 0, or next to it",
    ),
    (
        "1e-8 added",
        {"measure": lambda x: (x.mean(0), x.std(0) + 1e-8)},
        "The std of a feature that never varies is 0, or next to it",
    ),
    (
        "1e-6 added",
        {"measure": lambda x: (x.mean(0), x.std(0) + 1e-6)},
        "The std of a feature that never varies is 0, or next to it",
    ),
    (
        "at least 1e-7",
        {"measure": lambda x: (x.mean(0), np.clip(x.std(0), 1e-7, None))},
        "The std of a feature that never varies is 0, or next to it",
    ),
    ("squares in bytes", {"measure": measure_in_bytes}, "The squares of 8-bit pixels overflow"),
    (
        "its own mean and std",
        {"standardise": lambda x, mean, std: (x - measure_loops(x)[0]) / measure_loops(x)[1]},
        "x is standardised by its own mean and std",
    ),
    ("not centred", {"standardise": lambda x, mean, std: x / std}, "The mean is not subtracted"),
    ("mean added", {"standardise": lambda x, mean, std: x / std + mean / std}, "The mean is added"),
    ("mean at the end", {"standardise": lambda x, mean, std: -mean + x / std}, "The mean is subtracted after the division"),
    ("not scaled", {"standardise": lambda x, mean, std: x - mean}, "It is not divided by std"),
    (
        "multiplied",
        {"standardise": lambda x, mean, std: np.stack([(row - mean) * std for row in x])},
        "It is multiplied by std",
    ),
    ("by the variance", {"standardise": lambda x, mean, std: (x - mean) / np.square(std)}, "It is divided by the variance"),
    ("whole numbers", {"standardise": lambda x, mean, std: np.round((x - mean) / std)}, None),
    (
        "x changed",
        {"standardise": lambda x, mean, std: np.subtract(x, mean, out=x) / std if x.dtype == float else (x - mean) / std},
        "An argument is changed",
    ),
    ("transposed", {"standardise": lambda x, mean, std: ((x - mean) / std).T.copy()}, "The result is transposed"),
    ("mean in bytes", {"standardise": lambda x, mean, std: (x - mean.astype(x.dtype)) / std}, None),
    ("mean only", {"measure": lambda x: x.mean(axis=0)}, "Not as many results as asked for"),
    (
        "axes kept",
        {"measure": lambda x: (x.mean(axis=0, keepdims=True), x.std(axis=0, keepdims=True))},
        "The result has an axis of length 1 too many",
    ),
]
RIGHT[4] = [
    ("loops", {"measure": measure_loops}),
    ("einsum", {"measure": measure_moments, "standardise": lambda x, mean, std: np.einsum("nd,d->nd", x - mean, 1 / std)}),
    ("masked, a list", {"measure": measure_masked, "standardise": lambda x, mean, std: np.divide(np.subtract(x, mean), std)}),
    ("column by column", measure_columns(np.mean, np.std)),
    (
        "sample by sample",
        {
            "standardise": lambda x, mean, std: np.array(
                [[(v - m) / s for v, m, s in zip(row, mean, std, strict=True)] for row in x]
            )
        },
    ),
]

# ---- task 5: the step


def step_loops(w, b, x, dscores, learning_rate, strength):
    new_w, new_b = w.copy(), b.copy()
    for k in range(len(w)):
        for d in range(w.shape[1]):
            slope = sum(dscores[n, k] * x[n, d] for n in range(len(x))) + strength * w[k, d]
            new_w[k, d] -= learning_rate * slope
        new_b[k] -= learning_rate * sum(dscores[:, k])
    return new_w, new_b


def step_einsum(w, b, x, dscores, learning_rate, strength):
    data = np.einsum("nk,nd->kd", dscores, x)
    return [(1 - learning_rate * strength) * w - learning_rate * data, b - learning_rate * np.einsum("nk->k", dscores)]


def step_with_bias_column(w, b, x, dscores, learning_rate, strength):
    both, ones = np.hstack([w, b[:, None]]), np.hstack([x, np.ones((len(x), 1))])
    both = both - learning_rate * ((ones.T @ dscores).T + strength * np.hstack([w, np.zeros((len(b), 1))]))
    return both[:, :-1].copy(), both[:, -1].copy()


def step_by_differences(w, b, x, dscores, learning_rate, strength):
    def loss(w, b):
        return (dscores * (x @ w.T + b)).sum() + solution.l2_penalty(w, strength)

    return (
        w - learning_rate * numeric(lambda w: loss(w, b), w),
        b - learning_rate * numeric(lambda b: loss(w, b), b),
    )


def step_of(dw=lambda w, strength: strength * w, db=lambda b, strength: 0.0, data=lambda d, x: d.T @ x, bias=lambda d: sum(d)):
    """With another derivative of the penalty, or of the loss."""

    def gradient_step(w, b, x, dscores, learning_rate, strength):
        w, b = w.copy(), b.copy()
        w -= learning_rate * (data(dscores, x) + dw(w, strength))
        b -= learning_rate * (bias(dscores) + db(b, strength))
        return w, b

    return {"gradient_step": gradient_step}


def slides_step(w, b, x, dscores, learning_rate, strength):
    w, b = w.copy(), b.copy()
    w += learning_rate * (dscores.T @ x + strength * w)
    b += learning_rate * dscores.sum(axis=0)
    return w, b


def step_in_place(w, b, x, dscores, learning_rate, strength):
    w -= learning_rate * (dscores.T @ x + strength * w)
    b -= learning_rate * dscores.sum(axis=0)
    return w, b


def by_step(change):
    return {
        "gradient_step": lambda w, b, x, d, rate, strength: change(
            *solution.gradient_step(w, b, x, d, rate, strength), w, b, x, d, rate, strength
        )
    }


WRONG[5] = [
    ("no half", {"l2_penalty": lambda w, strength: strength * np.sum(w * w)}, "The factor 1/2 of the penalty is missing"),
    (
        "norm",
        {"l2_penalty": lambda w, strength: strength * np.linalg.norm(w) / 2},
        "The penalty is the length of the weights, not its square",
    ),
    ("mean", {"l2_penalty": lambda w, strength: strength * np.mean(w**2) / 2}, "The penalty is a mean over the weights"),
    (
        "sum first",
        {"l2_penalty": lambda w, strength: 0.5 * strength * sum(w.ravel()) ** 2},
        "The weights are summed first, and then squared",
    ),
    ("L1", {"l2_penalty": lambda w, strength: strength * abs(w).sum()}, "This is the penalty of L1"),
    (
        "strength squared",
        {"l2_penalty": lambda w, strength: np.sum(np.square(w * strength)) / 2},
        "The strength is squared as well",
    ),
    ("no strength", {"l2_penalty": lambda w, strength: 0.5 * np.vdot(w, w)}, "The strength is missing"),
    (
        "a square for each row",
        {"l2_penalty": lambda w, strength: strength / 2 * (w**2).sum(axis=1)},
        "An array came where a number belongs",
    ),
    ("slides", {"gradient_step": slides_step}, "The step goes along the gradient"),
    ("bias decays", step_of(db=lambda b, strength: strength * b), "The bias decays as well"),
    ("no decay", step_of(dw=lambda w, strength: 0.0), "The penalty has no part in the step"),
    ("twice", step_of(dw=lambda w, strength: 2 * strength * w), "The derivative of the penalty is twice as large"),
    ("half", step_of(dw=lambda w, strength: 0.5 * strength * w), "The derivative of the penalty is half as large"),
    ("growth", step_of(dw=lambda w, strength: -strength * w), "The penalty makes the weights grow"),
    ("constant", step_of(dw=lambda w, strength: strength), "The derivative of the penalty is the strength alone"),
    (
        "L1 step",
        step_of(dw=lambda w, strength: strength * np.where(w > 0, 1, -1)),
        "The derivative of the penalty is that of L1",
    ),
    (
        "decay without rate",
        by_step(lambda new_w, new_b, w, b, x, d, rate, strength: ((1 - strength) * w - rate * d.T @ x, new_b)),
        "The weights decay by the strength without the learning rate",
    ),
    (
        "no rate",
        {"gradient_step": lambda w, b, x, d, rate, strength: (w - d.T @ x - strength * w, b - d.sum(axis=0))},
        "The learning rate is missing",
    ),
    (
        "no rate for the bias",
        by_step(lambda new_w, new_b, w, b, x, d, rate, strength: (new_w, b - np.add.reduce(d))),
        "The learning rate is missing in the step of the bias",
    ),
    ("bias kept", by_step(lambda new_w, new_b, w, b, *rest: (new_w, b + 0)), "The bias stays as it was"),
    (
        "by N again",
        step_of(data=lambda d, x: d.T @ x / len(x), bias=lambda d: d.mean(axis=0)),
        "dw and db are divided by N once more",
    ),
    ("dw by N again", step_of(data=lambda d, x: np.einsum("nk,nd->kd", d, x) / x.shape[0]), "dw is divided by N once more"),
    ("db a mean", step_of(bias=lambda d: np.mean(d, axis=0)), "db is a mean over the samples"),
    ("db one number", step_of(bias=np.sum), "db is one number for all classes"),
    ("dw transposed", step_of(data=lambda d, x: x.T @ d), "The product for dw does not have the shape of w"),
    ("product without transposing", step_of(data=lambda d, x: d @ x), "The product for dw does not have the shape of w"),
    ("in place", {"gradient_step": step_in_place}, "An argument is changed"),
    ("weights only", by_step(lambda new_w, *rest: new_w), "Not as many results as asked for"),
    ("last sample", step_of(data=lambda d, x: np.outer(d[-1], x[-1]), bias=lambda d: d[-1]), None),
    ("the bias a column", by_step(lambda new_w, new_b, *rest: (new_w, new_b[:, None].copy())), None),
]
RIGHT[5] = [
    ("loops", {"gradient_step": step_loops, "l2_penalty": lambda w, strength: sum(strength * v * v / 2 for v in w.flat)}),
    (
        "einsum, a list",
        {"gradient_step": step_einsum, "l2_penalty": lambda w, strength: np.array(strength * np.einsum("kd,kd->", w, w) / 2)},
    ),
    (
        "the bias as a column",
        {"gradient_step": step_with_bias_column, "l2_penalty": lambda w, strength: 0.5 * strength * np.linalg.norm(w) ** 2},
    ),
    ("numeric differences", {"gradient_step": step_by_differences}),
    ("copies", step_of()),
]
