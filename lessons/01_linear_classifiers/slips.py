"""Lesson 1: the mistakes that people make in its exercise, as functions that make them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from minicnn.course import Slip

LOG = r"\blog\d?p?\("  # a call, and no name that begins so
SMALL = (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15)  # what people add to numbers that might be 0


# ---- mistakes in task 1


def margins_of(scores: np.ndarray, y: np.ndarray, margin: float = 1.0, sign: int = 1) -> np.ndarray:
    """What each wrong class violates the margin by; 0 for the right one."""
    samples = np.arange(len(y))
    margins = np.maximum(0, sign * (scores - scores[samples, y][:, None]) + margin)
    margins[samples, y] = 0
    return margins


def at_right(values: np.ndarray, y: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The values, with the sum of each row, changed, at the right class."""
    values = values.copy()
    values[np.arange(len(y)), y] = change(values.sum(axis=1))
    return values


def violations(margins: np.ndarray, y: np.ndarray) -> np.ndarray:
    return at_right((margins > 0).astype(float), y, np.negative) / len(y)


def svm(
    margins: Callable = margins_of,
    loss: Callable = lambda m, y: m.sum() / len(y),
    dscores: Callable = violations,
) -> dict[str, Callable]:
    """svm_loss with other margins, another loss of them, or another gradient."""

    def svm_loss(scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        m = margins(scores, y)
        return float(loss(m, y)), dscores(m, y)

    return {"svm_loss": svm_loss}


def largest_only(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    m = margins_of(scores, y)
    return np.where(np.arange(m.shape[1]) == m.argmax(axis=1)[:, None], m, 0)


def one_more(m: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The right class counts itself among the violations."""
    return at_right((m > 0).astype(float), y, lambda count: -(count + 1)) / len(y)


def every_class(m: np.ndarray, y: np.ndarray, itself: int = 0) -> np.ndarray:
    return at_right(np.ones(m.shape), y, lambda count: -(count - 1 + itself)) / len(y)


def also_at_the_kink(scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    samples = np.arange(len(y))
    margins = scores - scores[samples, y][:, None] + 1
    counted = (margins >= 0).astype(float)
    counted[samples, y] = 0
    return svm()["svm_loss"](scores, y)[0], at_right(counted, y, np.negative) / len(y)


def whole_columns(scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    loss, dscores = svm()["svm_loss"](scores, y)
    dscores[np.arange(len(y)), y] = 0
    dscores[:, y] = -dscores.sum(axis=1)
    return loss, dscores


def does_not_broadcast(*arguments: object) -> None:
    raise ValueError("operands could not be broadcast together")


SVM_SLIPS = (
    Slip(
        "The margin is missing",
        "What must a wrong class's score do to cost nothing: stay below the right one's, or stay below it by something?",
        svm(partial(margins_of, margin=0.0)),
        r"scores\[|max",
    ),
    Slip(
        "The difference of the scores is the wrong way round",
        "Put in a sample that is clearly right: its loss must be 0. Which difference is negative there?",
        svm(partial(margins_of, sign=-1), dscores=lambda m, y: -violations(m, y)),
        r"scores\[",
    ),
    Slip(
        "The difference of the scores is the wrong way round",
        "Put in a sample that is clearly right: its loss must be 0. Which difference is negative there?",
        svm(partial(margins_of, sign=-1)),
        r"scores\[",
    ),
    Slip(
        "The right class is counted among the wrong ones",
        "For k = y the difference of the scores is 0. What does max(0, 0 + 1) add to each sample's loss?",
        svm(loss=lambda m, y: (m.sum() + len(y)) / len(y)),
        r"sum|mean",
    ),
    Slip(
        "The right class is counted among the wrong ones",
        "For k = y the difference of the scores is 0. What does max(0, 0 + 1) add to each sample's loss, and to the count?",
        svm(loss=lambda m, y: (m.sum() + len(y)) / len(y), dscores=one_more),
        r"sum|mean",
    ),
    Slip(
        "The right class counts itself among the violations",
        "How many classes can violate the margin at most, if there are K? Is the right one among those that you count?",
        svm(dscores=one_more),
        r"-.*sum|-=",
    ),
    Slip(
        "Loss and gradient are sums over the samples",
        "A loss that grows with the number of samples needs another learning rate for each data set.",
        svm(loss=lambda m, y: m.sum(), dscores=lambda m, y: violations(m, y) * len(y)),
    ),
    Slip(
        "The loss is a sum over the samples",
        "The gradient has its 1/N. Whose gradient is it then?",
        svm(loss=lambda m, y: m.sum()),
        r"return|sum",
    ),
    Slip(
        "The loss is divided by the number of classes as well",
        "mean() divides by the number of all entries. How many samples are there, and how many entries?",
        svm(loss=lambda m, y: m.mean()),
        r"mean",
    ),
    Slip(
        "Loss and gradient are divided by the number of classes as well",
        "mean() and .size mean all entries. How many samples are there, and how many entries?",
        svm(loss=lambda m, y: m.mean(), dscores=lambda m, y: violations(m, y) / m.shape[1]),
        r"mean|size",
    ),
    Slip(
        "dscores lacks its 1/N",
        "The loss is a mean over the samples. What does that do to the derivative with respect to one sample's scores?",
        svm(dscores=lambda m, y: violations(m, y) * len(y)),
        r"return|dscores",
    ),
    Slip(
        "The right class has no gradient",
        "The right score stands in every term of its sample's sum. What happens to each of them if it rises?",
        svm(dscores=lambda m, y: (m > 0) / len(y)),
    ),
    Slip(
        "The right class has the gradient -1/N, however many classes violate the margin",
        "The right score stands in every term of its sample's sum. How many of these are not cut off?",
        svm(dscores=lambda m, y: at_right((m > 0).astype(float), y, lambda count: -np.minimum(count, 1)) / len(y)),
        r"-= *1|= *-1",
    ),
    Slip(
        "The gradient of the right class has the wrong sign",
        "If the right score rises, does the loss rise or fall?",
        svm(dscores=lambda m, y: at_right((m > 0).astype(float), y, np.positive) / len(y)),
        r"sum",
    ),
    Slip(
        "dscores has the wrong sign",
        "If a wrong class that violates the margin scores more, does the loss rise or fall?",
        svm(dscores=lambda m, y: -violations(m, y)),
    ),
    Slip(
        "dscores holds the margins themselves",
        "The slope of max(0, m) is not m: by how much does it change if m grows by a little?",
        svm(dscores=lambda m, y: at_right(m, y, np.negative) / len(y)),
    ),
    Slip(
        "The violations are squared",
        "That is the squared hinge, another loss. Here each violation counts as it is.",
        svm(loss=lambda m, y: (m**2).sum() / len(y), dscores=lambda m, y: 2 * at_right(m, y, np.negative) / len(y)),
        r"\*\* *2|square",
    ),
    Slip(
        "Only the largest violation of a sample counts",
        "That is Crammer and Singer's loss. Here every class that violates the margin has a term of its own.",
        svm(largest_only),
        r"max",
    ),
    *(
        Slip(
            "Classes that keep the margin have a gradient as well",
            "After max(0, ...), which margins are at least 0? And which are above 0?",
            svm(dscores=partial(every_class, itself=itself)),
            r">=",
        )
        for itself in (0, 1)
    ),
    Slip(
        "A margin of exactly 0 is taken for a violation",
        "At the kink there is no derivative, and the task says which number to give there.",
        {"svm_loss": also_at_the_kink},
        r">=",
    ),
    Slip(
        "dscores[:, y] changes whole columns",
        "One entry of each row is meant. Which two index arrays, of equal length, name them?",
        {"svm_loss": whole_columns},
        r"\[:, *y",
    ),
    Slip(
        "The scores of the right classes do not stand beside the rows that they belong to",
        "One number is to be subtracted from each row of (N, K). Which shape does that need? And what does [:, y] pick?",
        {"svm_loss": does_not_broadcast},
        r"\[:, *y|scores\[",
    ),
)


# ---- mistakes in task 2


def log_softmax(scores: np.ndarray, shift: Callable = lambda s: s.max(axis=1, keepdims=True), axis: int = 1) -> np.ndarray:
    z = scores - shift(scores)
    return z - np.log(np.exp(z).sum(axis=axis, keepdims=True))


def of_right(log_p: np.ndarray, y: np.ndarray) -> np.ndarray:
    return log_p[np.arange(len(y)), y]


def p_minus_one(log_p: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (np.exp(log_p) - (np.arange(log_p.shape[1]) == y[:, None])) / len(y)


def softmax(
    log_p: Callable = log_softmax,
    loss: Callable = lambda log_p, y: -of_right(log_p, y).mean(),
    dscores: Callable = p_minus_one,
) -> dict[str, Callable]:
    """softmax_loss with other logarithms of probabilities, another loss of them, or another gradient."""

    def softmax_loss(scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        values = log_p(scores)
        return float(loss(values, y)), dscores(values, y)

    return {"softmax_loss": softmax_loss}


def by_division(shift: Callable, end: Callable = lambda p: p) -> dict[str, Callable]:
    """softmax_loss that computes p first, and then its logarithm; ``end`` changes p in between."""

    def softmax_loss(scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        e = np.exp(scores - shift(scores))
        p = e / e.sum(axis=1, keepdims=True)
        return float(-np.log(end(p[np.arange(len(y)), y])).mean()), (p - (np.arange(p.shape[1]) == y[:, None])) / len(y)

    return {"softmax_loss": softmax_loss}


def of_columns(log_p: np.ndarray, y: np.ndarray) -> np.ndarray:
    dscores = np.exp(log_p)
    dscores[:, y] -= 1
    return dscores / len(y)


def own_max(scores: np.ndarray) -> np.ndarray:
    return scores.max(axis=1, keepdims=True)


def no_shift(scores: np.ndarray) -> float:
    return 0.0


OVERFLOW = "exp() of large scores overflows"
SHIFT = (
    "exp(710) is infinite already. Any number may be subtracted from all scores of a sample without changing its p: which one "
    "leaves none of them above 0?"
)
UNDERFLOW = "The largest score of all samples is subtracted, and other samples underflow"
OWN = "Look at a sample whose scores are all 2000 below the others': what is left of exp()? Each needs a number of its own."
LOG_OF_P = "The logarithm is taken of a p that has underflowed to 0"
DIFFERENCE = "log(a / b) = log(a) - log(b), and the logarithm of exp(z) is z: then nothing that has become 0 has a logarithm."
ADDED = "Something small is added to p, or p is cut off, before the logarithm is taken"
HONEST = "That hides the 0, and a sample that is wrong by 2000 costs no more than one that is wrong by 30. " + DIFFERENCE

SOFTMAX_SLIPS = (
    Slip(
        "The minus sign of the loss is missing",
        "A logarithm of a probability is never above 0, and a loss never below.",
        softmax(loss=lambda log_p, y: of_right(log_p, y).mean()),
        LOG,
    ),
    Slip(
        "Loss and gradient are sums over the samples",
        "A loss that grows with the number of samples needs another learning rate for each data set.",
        softmax(loss=lambda log_p, y: -of_right(log_p, y).sum(), dscores=lambda log_p, y: p_minus_one(log_p, y) * len(y)),
    ),
    Slip(
        "The loss is a sum over the samples",
        "The gradient has its 1/N. Whose gradient is it then?",
        softmax(loss=lambda log_p, y: -of_right(log_p, y).sum()),
        r"sum",
    ),
    Slip(
        "The loss is divided by the number of classes as well",
        "Each sample has one loss, that of its right class. By how many must their sum be divided?",
        softmax(loss=lambda log_p, y: -of_right(log_p, y).mean() / log_p.shape[1]),
        r"mean|size",
    ),
    Slip(
        "The logarithm has the base 2",
        "exp() and the logarithm undo each other only if both have the same base.",
        softmax(loss=lambda log_p, y: -of_right(log_p, y).mean() / np.log(2)),
        r"log2",
    ),
    Slip(
        "The loss is taken of all classes",
        "Only the probability of the right class stands in the loss: one number of each row.",
        softmax(loss=lambda log_p, y: -log_p.sum() / len(y)),
        r"sum",
    ),
    Slip(
        "log_p[:, y] takes whole columns",
        "One entry of each row is meant. Which two index arrays, of equal length, name them?",
        softmax(loss=lambda log_p, y: -log_p[:, y].mean()),
        r"\[:, *y",
    ),
    Slip(
        "The loss is 1 - p, without a logarithm",
        "The task says which function of p the loss is.",
        softmax(loss=lambda log_p, y: (1 - np.exp(of_right(log_p, y))).mean()),
    ),
    Slip(
        "dscores lacks its 1/N",
        "The loss is a mean over the samples. What does that do to the derivative with respect to one sample's scores?",
        softmax(dscores=lambda log_p, y: p_minus_one(log_p, y) * len(y)),
        r"return|dscores",
    ),
    Slip(
        "dscores is p, and nothing is subtracted at the right class",
        "If the right score rises, the loss must fall. Which sign has p?",
        softmax(dscores=lambda log_p, y: np.exp(log_p) / len(y)),
    ),
    Slip(
        "dscores has the wrong sign",
        "If a wrong class scores more, does the loss rise or fall?",
        softmax(dscores=lambda log_p, y: -p_minus_one(log_p, y)),
    ),
    Slip(
        "dscores[:, y] -= 1 changes whole columns",
        "One entry of each row is meant. Which two index arrays, of equal length, name them?",
        softmax(dscores=of_columns),
        r"\[:, *y",
    ),
    Slip(
        "The 1 is subtracted after the division by N",
        "(p - 1) / N and p / N - 1 are not the same. What belongs into the bracket?",
        softmax(dscores=lambda log_p, y: np.exp(log_p) / len(y) - (np.arange(log_p.shape[1]) == y[:, None])),
        r"-= *1",
    ),
    Slip(
        "dscores goes through p (1 - p) once more",
        "The derivative with respect to the scores, not to p, is p - [k = y] already.",
        softmax(dscores=lambda log_p, y: p_minus_one(log_p, y) * np.exp(log_p) * (1 - np.exp(log_p))),
    ),
    Slip(
        "The probabilities of a class sum to 1 over the samples",
        "Which axis is the classes? The sum of exp() must run over those of one sample.",
        softmax(lambda scores: log_softmax(scores, lambda s: s.max(axis=0, keepdims=True), axis=0)),
        r"axis *= *0",
    ),
    Slip(
        "The sum of exp() runs over all samples",
        "Each sample's probabilities sum to 1. Along which axis, and what must be kept so that it fits the rows again?",
        softmax(lambda s: s - s.max() - np.log(np.exp(s - s.max()).sum())),
        r"sum\(\)",
    ),
    Slip(OVERFLOW, SHIFT, by_division(no_shift), r"exp"),
    Slip(OVERFLOW, SHIFT, softmax(partial(log_softmax, shift=no_shift)), r"exp"),
    Slip(OVERFLOW, SHIFT, by_division(lambda s: s.mean(axis=1, keepdims=True)), r"mean"),
    Slip(LOG_OF_P, DIFFERENCE, by_division(own_max), LOG),
    Slip(UNDERFLOW, OWN, softmax(partial(log_softmax, shift=np.max)), r"max\(\)"),
    Slip(UNDERFLOW, OWN, by_division(np.max), r"max\(\)"),
    *(Slip(ADDED, HONEST, by_division(own_max, lambda p, e=e: p + e), LOG + "|clip") for e in SMALL),
    *(Slip(ADDED, HONEST, by_division(own_max, lambda p, e=e: np.clip(p, e, 1)), LOG + "|clip") for e in SMALL),
)


# ---- mistakes in task 3


def sigmoid(s: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(s / 2)) / 2


def cost(s: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, np.where(t == 1, -s, s))


def logistic(
    loss: Callable = lambda s, t: cost(s, t).mean(), dscores: Callable = lambda s, t: (sigmoid(s) - t) / len(t)
) -> dict[str, Callable]:
    """logistic_loss with another loss, or another gradient."""
    return {"logistic_loss": lambda scores, t: (float(loss(scores, t)), dscores(scores, t))}


def of_p(t: np.ndarray, p: np.ndarray, small: float = 0.0) -> float:
    return -(t * np.log(p + small) + (1 - t) * np.log(1 - p + small)).mean()


def plain_sigmoid(s: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-s))


def sigmoid_of_ratio(s: np.ndarray) -> np.ndarray:
    return np.exp(s) / (1 + np.exp(s))


def clipped(s: np.ndarray, small: float) -> np.ndarray:
    return np.clip(sigmoid(s), small, 1 - small)


SIDES = "t and 1 - t are exchanged"
WHICH = "Where t = 1, a high score is right, and must cost little. Put in one such sample by hand."
NAIVE = "log(p) or log(1 - p) is taken where it is 0"
STABLE = "1 - p is 0 for a score of 40 already. The docstring has the loss as a function of the score, without p."
TOO_LARGE = "exp() of a large score overflows"
SIDE = "exp(710) is infinite. Use the form in which exp() only ever sees numbers that are not above 0."
CUT = "Something small is added to p, or p is cut off, before the logarithm is taken"
CUT_THINK = "That hides the 0, and a sample that is wrong by 1000 costs no more than one that is wrong by 30. " + STABLE
PLUS_MINUS = "This is the loss for labels -1 and 1"
ZERO_ONE = "Here t is 0 or 1. What becomes of t * score where t is 0?"

LOGISTIC_SLIPS = (
    Slip(
        SIDES,
        WHICH,
        logistic(lambda s, t: cost(s, 1 - t).mean(), lambda s, t: (sigmoid(s) - (1 - t)) / len(t)),
        LOG + "|where",
    ),
    Slip(f"{SIDES} in the loss", WHICH, logistic(lambda s, t: cost(s, 1 - t).mean()), LOG + "|where"),
    Slip(f"{SIDES} in the gradient", WHICH, logistic(dscores=lambda s, t: (sigmoid(s) - (1 - t)) / len(t)), r"- *t"),
    Slip(
        "The minus sign of the loss is missing",
        "A logarithm of a probability is never above 0, and a loss never below.",
        logistic(lambda s, t: -cost(s, t).mean()),
        LOG + "|mean",
    ),
    Slip(
        "Loss and gradient are sums over the samples",
        "A loss that grows with the number of samples needs another learning rate for each data set.",
        logistic(lambda s, t: cost(s, t).sum(), lambda s, t: sigmoid(s) - t),
        r"sum",
    ),
    Slip(
        "The loss is a sum over the samples",
        "The gradient has its 1/N. Whose gradient is it then?",
        logistic(lambda s, t: cost(s, t).sum()),
        r"sum",
    ),
    Slip(
        "dscores lacks its 1/N",
        "The loss is a mean over the samples. What does that do to the derivative with respect to one sample's score?",
        logistic(dscores=lambda s, t: sigmoid(s) - t),
        r"- *t",
    ),
    Slip(
        "dscores has the wrong sign",
        "Where t = 1 the loss falls as the score rises. Which sign has p - 1?",
        logistic(dscores=lambda s, t: (t - sigmoid(s)) / len(t)),
        r"t *- *",
    ),
    Slip(
        "dscores is p, and t is not subtracted",
        "Where t = 1 the loss falls as the score rises. Which sign has p?",
        logistic(dscores=lambda s, t: sigmoid(s) / len(t)),
    ),
    Slip(
        "The sigmoid's slope p (1 - p) is there, and it cancels",
        "dL/dp has p (1 - p) in its denominator, and the sigmoid's slope is p (1 - p). What is left of their product?",
        logistic(dscores=lambda s, t: (sigmoid(s) - t) * sigmoid(s) * (1 - sigmoid(s)) / len(t)),
        r"1 *- *p",
    ),
    Slip(
        "dscores is the derivative with respect to p, not to the score",
        "One factor of the chain rule is still to come: dp/ds.",
        logistic(dscores=lambda s, t: (sigmoid(s) - t) / (sigmoid(s) * (1 - sigmoid(s))) / len(t)),
        r"/",
    ),
    Slip(
        "p is rounded to 0 or 1 in the gradient",
        "The answer may be rounded, the gradient may not: how sure is the answer?",
        logistic(dscores=lambda s, t: ((s > 0) * 1.0 - t) / len(t)),
        r" > |round",
    ),
    Slip(
        "Samples with t = 0 cost nothing",
        "What does the loss ask of a sample of class 0? If nothing, a score of +infinity for everybody is perfect.",
        logistic(lambda s, t: (t * cost(s, t)).mean()),
        LOG,
    ),
    Slip(PLUS_MINUS, ZERO_ONE, logistic(lambda s, t: np.logaddexp(0, -t * s).mean()), r"t *\*|\* *t"),
    Slip(
        PLUS_MINUS,
        ZERO_ONE,
        logistic(lambda s, t: np.logaddexp(0, -t * s).mean(), lambda s, t: -t * sigmoid(-t * s) / len(t)),
        r"t *\*|\* *t",
    ),
    Slip(
        "The loss is the squared error of p",
        "The task asks for logarithms: a p of 0.01 instead of 1 must cost far more than one of 0.5.",
        logistic(lambda s, t: ((sigmoid(s) - t) ** 2).mean()),
        r"\*\* *2|square",
    ),
    Slip(NAIVE, STABLE, logistic(lambda s, t: of_p(t, plain_sigmoid(s))), LOG),
    Slip(NAIVE, STABLE, logistic(lambda s, t: -np.log(np.where(t == 1, sigmoid(s), 1 - sigmoid(s))).mean()), LOG),
    Slip(TOO_LARGE, SIDE, logistic(lambda s, t: np.log(1 + np.exp(np.where(t == 1, -s, s))).mean()), LOG),
    Slip(TOO_LARGE, SIDE, logistic(dscores=lambda s, t: (sigmoid_of_ratio(s) - t) / len(t)), r"exp"),
    *(Slip(CUT, CUT_THINK, logistic(lambda s, t, e=e: of_p(t, sigmoid(s), e)), LOG + "|clip") for e in SMALL),
    *(Slip(CUT, CUT_THINK, logistic(lambda s, t, e=e: of_p(t, clipped(s, e))), LOG + "|clip") for e in SMALL),
)


# ---- mistakes in task 4


def not_zero(std: np.ndarray) -> np.ndarray:
    return np.where(std == 0, 1, std)


def measured(std: Callable, mean: Callable = lambda x: x.mean(axis=0)) -> dict[str, Callable]:
    """measure with another std, or another mean."""
    return {"measure": lambda x: (mean(x), std(x))}


def with_overflow(x: np.ndarray) -> np.ndarray:
    """In x's own type, squares of 8-bit pixels are cut off at 8 bits."""
    return not_zero(np.sqrt((x * x).mean(axis=0) - x.mean(axis=0) ** 2))


def standardised(change: Callable) -> dict[str, Callable]:
    return {"standardise": change}


AXIS = "Which axis is the samples? There must be a mean for each feature, (D,)."
PREPROCESSING_SLIPS = (
    Slip(
        "There is one mean and one std for all features together",
        AXIS,
        measured(lambda x: x.std(), lambda x: x.mean()),
        r"mean\(\)|std\(\)|mean\(x\)|std\(x\)",
    ),
    Slip(
        "Each sample has a mean and a std of its own",
        AXIS,
        measured(lambda x: not_zero(x.std(axis=1)), lambda x: x.mean(axis=1)),
        r"axis *= *(1|-1)",
    ),
    Slip(
        "The variance is divided by N - 1",
        "That estimates the variance of a population. Here it is the training set's own, with 1/N.",
        measured(lambda x: not_zero(x.std(axis=0, ddof=1))),
        r"ddof|- *1",
    ),
    Slip(
        "std is the variance",
        "In which unit is a variance, if x is in grey levels? And in which one must std be?",
        measured(lambda x: not_zero(x.var(axis=0))),
        r"var|\*\* *2",
    ),
    Slip(
        "std is measured from 0, not from the mean",
        "The mean of x^2 is the variance only where the mean of x is 0.",
        measured(lambda x: not_zero(np.sqrt((x.astype(float) ** 2).mean(axis=0)))),
        r"\*\* *2|square",
    ),
    Slip(
        "std is the mean distance from the mean",
        "The square root of the mean square is not the mean of the absolute values.",
        measured(lambda x: not_zero(np.abs(x - x.mean(axis=0)).mean(axis=0))),
        r"abs",
    ),
    Slip(
        "mean and std are the smallest value and the range",
        "That brings each feature to 0..1. Its mean is not 0 then.",
        measured(lambda x: not_zero(1.0 * np.ptp(x, axis=0)), lambda x: 1.0 * x.min(axis=0)),
        r"min|max|ptp",
    ),
    Slip(
        "The mean is the median",
        "Half of the values are below a median. Their deviations need not sum to 0.",
        measured(lambda x: not_zero(x.std(axis=0)), lambda x: np.median(x, axis=0)),
        r"median",
    ),
    *(
        Slip(
            "The std of a feature that never varies is 0, or next to it",
            "A pixel that is lit for the first time in a test picture is divided by it. The task says which number to give.",
            measured(lambda x, e=e: x.std(axis=0) + e),
            r"std|sqrt",
        )
        for e in (0.0, 1e-6, 1e-5, 1e-4, 1e-3)
    ),
    Slip(
        "The squares of 8-bit pixels overflow",
        "What is 20 * 20 in eight bits? Convert before you compute.",
        measured(with_overflow),
        r"\*\* *2|x *\* *x|square",
    ),
    Slip(
        "x is standardised by its own mean and std",
        "If each set has its own numbers, the same picture gets other values in training than in the test.",
        standardised(lambda x, mean, std: (x - x.mean(axis=0)) / not_zero(x.std(axis=0))),
        r"x\.mean|np\.mean|measure",
    ),
    Slip(
        "The mean is not subtracted",
        "Where must the cloud of points lie, before it is scaled?",
        standardised(lambda x, mean, std: x / std),
        r"/",
    ),
    Slip(
        "The mean is added",
        "Put in the mean itself: what must come out?",
        standardised(lambda x, mean, std: (x + mean) / std),
        r"\+",
    ),
    Slip(
        "The mean is subtracted after the division",
        "Put in the mean itself: what must come out? Which operation comes first?",
        standardised(lambda x, mean, std: x / std - mean),
        r"/",
    ),
    Slip(
        "It is not divided by std",
        "The mean is 0 now. What about the variance?",
        standardised(lambda x, mean, std: x - mean),
        r"- *mean",
    ),
    Slip(
        "It is multiplied by std",
        "A feature that varies much must vary less afterwards.",
        standardised(lambda x, mean, std: (x - mean) * std),
        r"\*",
    ),
    Slip(
        "It is divided by the variance",
        "Scale x by 2: the result must stay the same, once mean and std are measured anew.",
        standardised(lambda x, mean, std: (x - mean) / std**2),
        r"/",
    ),
)


# ---- mistakes in task 5


def stepped(
    dw: Callable = lambda w, x, d, strength: d.T @ x + strength * w,
    db: Callable = lambda b, d, strength: d.sum(axis=0),
    sign: int = -1,
) -> dict[str, Callable]:
    """gradient_step by other gradients, or in the other direction."""

    def gradient_step(w, b, x, dscores, learning_rate, strength):
        return w + sign * learning_rate * dw(w, x, dscores, strength), b + sign * learning_rate * db(b, dscores, strength)

    return {"gradient_step": gradient_step}


def penalty(value: Callable) -> dict[str, Callable]:
    return {"l2_penalty": lambda w, strength: float(value(w, strength))}


def decay_without_rate(w, b, x, dscores, learning_rate, strength):
    return w - learning_rate * dscores.T @ x - strength * w, b - learning_rate * dscores.sum(axis=0)


def weights_only(w, b, x, dscores, learning_rate, strength):
    return stepped()["gradient_step"](w, b, x, dscores, learning_rate, strength)[0], b.copy()


def without_rate(w, b, x, dscores, learning_rate, strength):
    return stepped()["gradient_step"](w, b, x, dscores, 1.0, strength)


def bias_without_rate(w, b, x, dscores, learning_rate, strength):
    return stepped()["gradient_step"](w, b, x, dscores, learning_rate, strength)[0], b - dscores.sum(axis=0)


STEP_SLIPS = (
    Slip(
        "The factor 1/2 of the penalty is missing",
        "The lecture's slides leave it out as well. With it, the derivative has no factor: which is it?",
        penalty(lambda w, strength: strength * (w**2).sum()),
        r"sum",
    ),
    Slip(
        "The penalty is the length of the weights, not its square",
        "Is there a square root that nobody asked for?",
        penalty(lambda w, strength: strength / 2 * np.sqrt((w**2).sum())),
        r"norm|sqrt",
    ),
    Slip(
        "The penalty is a mean over the weights",
        "Then a weight would cost less the more others there are.",
        penalty(lambda w, strength: strength / 2 * (w**2).mean()),
        r"mean",
    ),
    Slip(
        "The weights are summed first, and then squared",
        "Weights of 1 and -1 must cost something.",
        penalty(lambda w, strength: strength / 2 * w.sum() ** 2),
        r"sum",
    ),
    Slip(
        "This is the penalty of L1",
        "L2 punishes squares, L1 absolute values.",
        penalty(lambda w, strength: strength / 2 * np.abs(w).sum()),
        r"abs",
    ),
    Slip(
        "This is the penalty of L1",
        "L2 punishes squares, L1 absolute values.",
        penalty(lambda w, strength: strength * np.abs(w).sum()),
        r"abs",
    ),
    Slip(
        "The strength is missing",
        "With strength 0 nothing may be left of the penalty.",
        penalty(lambda w, strength: (w**2).sum() / 2),
        r"sum",
    ),
    Slip(
        "The strength is squared as well",
        "Is it inside the bracket that is squared?",
        penalty(lambda w, strength: ((strength * w) ** 2).sum() / 2),
        r"sum",
    ),
    Slip(
        "The step goes along the gradient",
        "The gradient points to where the loss grows fastest. The slides' code goes there too; where do you want to go?",
        stepped(sign=1),
        r"\+",
    ),
    Slip(
        "The bias decays as well",
        "Of what is the penalty a function? What is its derivative with respect to b?",
        stepped(db=lambda b, d, strength: d.sum(axis=0) + strength * b),
        r"\* *b\b",
    ),
    Slip(
        "The penalty has no part in the step",
        "The step goes down on the loss and the penalty together. What is the derivative of strength / 2 w^2?",
        stepped(lambda w, x, d, strength: d.T @ x),
        r"dw|w *-",
    ),
    Slip(
        "The derivative of the penalty is twice as large",
        "What is the derivative of w^2, and which factor stands before it in the penalty?",
        stepped(lambda w, x, d, strength: d.T @ x + 2 * strength * w),
        r"2 *\*|\* *2",
    ),
    Slip(
        "The derivative of the penalty is half as large",
        "What is the derivative of w^2? The factor 1/2 meets another one.",
        stepped(lambda w, x, d, strength: d.T @ x + strength / 2 * w),
        r"/ *2|0?\.5",
    ),
    Slip(
        "The penalty makes the weights grow",
        "Follow the signs of both parts through the step: with dscores = 0, weights must come nearer to 0.",
        stepped(lambda w, x, d, strength: d.T @ x - strength * w),
        r"[-+*/] *strength|strength *[-+*/]",
    ),
    Slip(
        "The derivative of the penalty is the strength alone",
        "A derivative of w^2 depends on w.",
        stepped(lambda w, x, d, strength: d.T @ x + strength),
        r"[-+*/] *strength|strength *[-+*/]",
    ),
    Slip(
        "The derivative of the penalty is that of L1",
        "sign(w) is the derivative of |w|. Which function of w is it here?",
        stepped(lambda w, x, d, strength: d.T @ x + strength * np.sign(w)),
        r"sign",
    ),
    Slip(
        "The weights decay by the strength without the learning rate",
        "The penalty is a part of the loss, and its derivative a part of the gradient. What is the gradient multiplied by?",
        {"gradient_step": decay_without_rate},
        r"[-+*/] *strength|strength *[-+*/]",
    ),
    Slip(
        "The learning rate is missing",
        "How far does the step go?",
        {"gradient_step": without_rate},
        r"return",
    ),
    Slip(
        "The learning rate is missing in the step of the bias",
        "How far does it go?",
        {"gradient_step": bias_without_rate},
        r"b *-",
    ),
    Slip(
        "The bias stays as it was",
        "A class that comes up more often than others needs a higher score whatever the picture is.",
        {"gradient_step": weights_only},
        r"return",
    ),
    Slip(
        "dw and db are divided by N once more",
        "dscores is the gradient of a mean already, with its 1/N. What remains to be done over the samples?",
        stepped(lambda w, x, d, strength: d.T @ x / len(x) + strength * w, lambda b, d, strength: d.mean(axis=0)),
        r"mean|len|shape",
    ),
    Slip(
        "dw is divided by N once more",
        "dscores is the gradient of a mean already, with its 1/N. What remains to be done over the samples?",
        stepped(lambda w, x, d, strength: d.T @ x / len(x) + strength * w),
        r"len|shape|mean",
    ),
    Slip(
        "db is a mean over the samples",
        "dscores is the gradient of a mean already, with its 1/N. What remains to be done over the samples?",
        stepped(db=lambda b, d, strength: d.mean(axis=0)),
        r"mean",
    ),
    Slip(
        "db is one number for all classes",
        "Each class has a bias of its own. Over which axis must be summed?",
        stepped(db=lambda b, d, strength: d.sum()),
        r"sum",
    ),
    Slip(
        "The product for dw does not have the shape of w",
        "dw[k, d] is a sum over n. Which of the two arrays must be transposed so that their n meet, and which comes first?",
        {"gradient_step": does_not_broadcast},
        r"@|dot|matmul|einsum",
    ),
)
