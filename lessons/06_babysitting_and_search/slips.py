"""Lesson 6: the mistakes that people make in its exercise, as functions that make them.

For each function of the exercise there is one here that writes it with switches: what is not said is as it should be, and a
mistake is one switch turned.
"""

import math

import numpy as np

from minicnn.course import Slip

# ---- Task 1: the loss before the first step

CHANCE = {"softmax": math.log, "hinge": lambda C: C - 1, "sigmoids": lambda C: C * math.log(2)}


def square_sum(w):
    return (w * w).sum()


def initial_loss_by(penalty=lambda weights: sum(map(square_sum, weights)) / 2, strength=lambda lam: lam, **chance):
    """The chance of some kinds in other words, or the penalty (of strength 1), or how it is multiplied."""

    def expected_initial_loss(kind, C, weights, lam):
        return float((CHANCE | chance)[kind](C) + strength(lam) * penalty(weights))

    return {"expected_initial_loss": expected_initial_loss}


def no_arrays(weights):
    return square_sum(np.concatenate([w.ravel() for w in weights])) / 2


def verdict_by(
    data=lambda loss, penalty: loss - penalty,
    is_finite=math.isfinite,
    high=lambda data, penalty, chance: data > 2 * chance,
    low=lambda data, penalty, chance: data < chance / 3,
    words=("too high", "too low"),
):
    def verdict_on_initial_loss(loss, penalty, chance):
        if not is_finite(loss):
            return "not finite"
        of_data = data(loss, penalty)
        if high(of_data, penalty, chance):
            return words[0]
        return words[1] if low(of_data, penalty, chance) else "fine"

    return {"verdict_on_initial_loss": verdict_on_initial_loss}


INITIAL_LOSS_SLIPS = (
    Slip(
        "The logarithm is to another base than e",
        "Which logarithm is in the cross-entropy? For ten classes its value is 2.3.",
        initial_loss_by(softmax=np.log2, sigmoids=float),
        r"log2|log10",
    ),
    Slip(
        "The logarithm is to another base than e",
        "Which logarithm is in the cross-entropy? For ten classes its value is 2.3.",
        initial_loss_by(softmax=np.log10, sigmoids=lambda C: C * np.log10(2)),
        r"log2|log10",
    ),
    Slip(
        "The logarithm of the softmax is to another base than e",
        "Which logarithm is in the cross-entropy? For ten classes its value is 2.3.",
        initial_loss_by(softmax=np.log2),
        r"log2",
    ),
    Slip(
        "The logarithm of the softmax is to another base than e",
        "Which logarithm is in the cross-entropy? For ten classes its value is 2.3.",
        initial_loss_by(softmax=np.log10),
        r"log10",
    ),
    Slip(
        "The softmax has the sign of the logarithm wrong",
        "The probability of the right class is 1/C. Which sign has its logarithm, and which the loss?",
        initial_loss_by(softmax=lambda C: -math.log(C)),
        r"log",
    ),
    Slip(
        "The softmax has the probability where the loss belongs",
        "1/C is the probability of the right class. What does the cross-entropy make of it?",
        initial_loss_by(softmax=lambda C: 1 / C),
        r"1(\.0)? ?/ ?C",
    ),
    Slip(
        "The softmax has a class too few",
        "Over which classes does the sum in the denominator of the softmax run? Is the right one among them?",
        initial_loss_by(softmax=lambda C: math.log(C - 1)),
        r"C ?- ?1",
    ),
    Slip(
        "The hinge counts the right class as well",
        "Go through the sum class by class, with all scores 0. Which class is left out of it?",
        initial_loss_by(hinge=float),
        r"hinge",
    ),
    Slip(
        "The hinge forgets the margin",
        "With all scores 0, s[j] - s[t] is 0. What is max(0, 0 + 1)?",
        initial_loss_by(hinge=lambda C: 0.0),
        r"hinge|maximum|max\(",
    ),
    Slip(
        "The hinge is a mean over the wrong classes",
        "The loss of a sample is a sum over the wrong classes; only over the samples it is a mean.",
        initial_loss_by(hinge=lambda C: 1.0),
        r"hinge|mean",
    ),
    Slip(
        "The hinge is divided by C",
        "The loss of a sample is a sum over the wrong classes; only over the samples it is a mean.",
        initial_loss_by(hinge=lambda C: (C - 1) / C),
        r"/ ?C|mean",
    ),
    Slip(
        "The hinge has the loss of the softmax",
        "The hinge has no logarithm. Put s = 0 into its sum.",
        initial_loss_by(hinge=math.log),
        r"log",
    ),
    Slip(
        "The sigmoids are counted as a single one",
        "There are C questions, and the loss of a sample is a sum over all of them.",
        initial_loss_by(sigmoids=lambda C: math.log(2)),
        r"log\(2|sigmoids|mean",
    ),
    Slip(
        "The sigmoids have the loss of the softmax",
        "Each label is a question of its own with two answers. What is the probability of either, with a score of 0?",
        initial_loss_by(sigmoids=math.log),
        r"log",
    ),
    Slip(
        "The sigmoids take C where the two answers of each are meant",
        "How many answers has a question of yes or no? With a score of 0, what is the probability of either?",
        initial_loss_by(sigmoids=lambda C: C * math.log(C)),
        r"log\(C",
    ),
    Slip(
        "The sigmoids have the sign of the logarithm wrong",
        "The probability of each answer is 1/2. Which sign has its logarithm, and which the loss?",
        initial_loss_by(sigmoids=lambda C: -C * math.log(2)),
        r"log",
    ),
    Slip(
        "The half of the penalty is missing",
        "What stands in front of the sum of squares?",
        initial_loss_by(strength=lambda lam: 2 * lam),
        r"lam",
    ),
    Slip(
        "The penalty has the sum of |w|",
        "That is L1. L2 squares every entry.",
        initial_loss_by(lambda weights: sum(np.abs(w).sum() for w in weights) / 2),
        r"abs",
    ),
    Slip(
        "The penalty adds up entries before it squares them",
        "Positive and negative weights cancel in that sum. First square, then add.",
        initial_loss_by(lambda weights: sum(w.sum() ** 2 for w in weights) / 2),
        r"\*\* ?2|square",
    ),
    Slip(
        "The penalty has lengths, not their squares",
        "The length is the root of the sum of squares. The penalty has no root.",
        initial_loss_by(lambda weights: sum(math.sqrt(square_sum(w)) for w in weights) / 2),
        r"norm|sqrt",
    ),
    Slip(
        "The penalty has the length of all weights together, not its square",
        "The length is the root of the sum of squares. The penalty has no root.",
        initial_loss_by(lambda weights: math.sqrt(sum(map(square_sum, weights))) / 2),
        r"norm|sqrt",
    ),
    Slip(
        "The penalty has means over the entries of each array",
        "A penalty is a sum over all weights. (Otherwise a weight of a large layer would hardly be drawn to 0.)",
        initial_loss_by(lambda weights: sum((w * w).mean() for w in weights) / 2),
        r"mean|size",
    ),
    Slip(
        "The penalty has the mean over all arrays",
        "A penalty is a sum over all weights, and so over all arrays.",
        initial_loss_by(lambda weights: sum(map(square_sum, weights)) / 2 / max(len(weights), 1)),
        r"mean|len\(",
    ),
    Slip(
        "The penalty has only the first array",
        "weights is a list. Is your return inside the loop?",
        initial_loss_by(lambda weights: sum(map(square_sum, weights[:1])) / 2),
        r"\[0\]|return",
    ),
    Slip(
        "The penalty has only the last array",
        "In a loop over the arrays, is each one added to those before, or put in their place?",
        initial_loss_by(lambda weights: sum(map(square_sum, weights[-1:])) / 2),
        r"=[^=]|\[-1\]",
    ),
    Slip(
        "The penalty has the square of lam",
        "Only the weights are squared.",
        initial_loss_by(strength=lambda lam: lam**2),
        r"lam ?\*\* ?2|lam ?\* ?lam",
    ),
    Slip(
        "The penalty is not multiplied by lam",
        "What is the argument lam for? With lam = 0 there is no penalty.",
        initial_loss_by(strength=lambda lam: 1.0),
        r"sum|\+",
    ),
    Slip(
        "There is no penalty",
        "The loss that is made small in training has two parts. What are the arguments weights and lam for?",
        initial_loss_by(lambda weights: 0.0),
        r"return",
    ),
    Slip(
        "The penalty is subtracted",
        "Regularisation raises the loss: weights have to earn their size.",
        initial_loss_by(strength=lambda lam: -lam),
        r"-",
    ),
    Slip(
        "An empty list of weights is an error",
        "A network whose weights are all left alone has a penalty of 0. Does your sum work without any array?",
        initial_loss_by(no_arrays),
        r"concatenate|stack",
    ),
    Slip(
        "The penalty is taken for loss of the data",
        "The script prints loss of the data plus penalty. Only the data's part is compared with chance.",
        verdict_by(data=lambda loss, penalty: loss),
        r"loss",
    ),
    Slip(
        "The penalty is added once more",
        "The script prints loss of the data plus penalty. How do you get the first from the sum?",
        verdict_by(data=lambda loss, penalty: loss + penalty),
        r"\+",
    ),
    Slip(
        "The thresholds are of loss and penalty together",
        "Twice the chance is meant for the loss of the data. A large penalty must not raise the threshold.",
        verdict_by(
            high=lambda data, penalty, chance: data + penalty > 2 * (chance + penalty),
            low=lambda data, penalty, chance: data + penalty < (chance + penalty) / 3,
        ),
        r"\+",
    ),
    Slip(
        "NaN and infinity go unnoticed",
        "Every comparison with NaN is false, and infinity is above any threshold. Ask for them first.",
        verdict_by(is_finite=lambda loss: True),
        r"if ",
    ),
    Slip(
        "NaN goes unnoticed",
        "Every comparison with NaN is false, also that with itself. Is there a function that knows it?",
        verdict_by(is_finite=lambda loss: loss != math.inf),
        r"inf|==",
    ),
    Slip(
        "Infinity goes unnoticed",
        "NaN is not the only value that is no finite number.",
        verdict_by(is_finite=lambda loss: not math.isnan(loss)),
        r"isnan|!=",
    ),
    Slip(
        "The words are the wrong way round",
        "A loss above the upper threshold is too high.",
        verdict_by(words=("too low", "too high")),
        r"too",
    ),
    Slip(
        "The lower threshold is half of chance",
        "It is a third of it.",
        verdict_by(low=lambda data, penalty, chance: data < chance / 2),
        r"/ ?2|0?\.5",
    ),
    Slip(
        "Every loss below chance is called too low",
        "How far below chance must it be?",
        verdict_by(low=lambda data, penalty, chance: data < chance),
        r"<",
    ),
    Slip(
        "Every loss above chance is called too high",
        "How far above chance must it be?",
        verdict_by(high=lambda data, penalty, chance: data > chance),
        r">",
    ),
    Slip(
        "The upper threshold is three times chance",
        "Three and two: which of them belongs above, and which below?",
        verdict_by(high=lambda data, penalty, chance: data > 3 * chance),
        r"3",
    ),
    Slip(
        "The thresholds are differences, not factors",
        "Twice the chance is not 2 more than it.",
        verdict_by(high=lambda data, penalty, chance: data > chance + 2),
        r"\+ ?2|- ?chance",
    ),
    Slip(
        "A loss of exactly twice the chance is called too high",
        "More than is not the same as at least.",
        verdict_by(high=lambda data, penalty, chance: data >= 2 * chance),
        r">=",
    ),
    Slip(
        "A loss of exactly a third of chance is called too low",
        "Less than is not the same as at most.",
        verdict_by(low=lambda data, penalty, chance: data <= chance / 3),
        r"<=",
    ),
)

# ---- Task 2: what the layers do


def length(w):
    return math.sqrt(square_sum(w))


def ratios_by(ratio=lambda w, new: length(new - w) / length(w), has_ratio=lambda w: w.any(), without=None):
    """A ratio of its own; which parameters have one; and what the others get, if they are not left out."""

    def update_ratios(before, after):
        found = {}
        for name, w in before.items():
            if has_ratio(w):
                found[name] = float(ratio(w, after[name]))
            elif without is not None:
                found[name] = without
        return found

    return {"update_ratios": update_ratios}


def ratio_of_all(before, after):
    step, size = (sum(square_sum(w) for w in arrays) for arrays in ([after[n] - before[n] for n in before], before.values()))
    return {name: math.sqrt(step / size) for name, w in before.items() if w.any()}


def with_epsilon(eps):
    return ratios_by(lambda w, new: length(new - w) / (length(w) + eps), has_ratio=lambda w: True)


def mean_over_entries(w, new):
    with np.errstate(all="ignore"):
        return (np.abs(new - w) / np.abs(w)).mean()


def mean_over_units(w, new):
    rows, steps = (array.reshape(len(array), -1) for array in (w, new - w))
    return (np.sqrt((steps**2).sum(axis=1)) / np.sqrt((rows**2).sum(axis=1))).mean()


def dead_by(is_zero=lambda y: y == 0, of_units=lambda zeros: zeros.all(axis=(0, *range(2, zeros.ndim))), share=np.mean):
    return {"dead_units": lambda y: float(share(of_units(is_zero(y))))}


EPSILON = "A parameter that was all 0 gets a ratio by a small number in the denominator"
LAYER_SLIPS = (
    Slip(
        "The root is missing in the lengths",
        "A sum of squares is the square of a length: a ratio of 1/1000 becomes one of a millionth.",
        ratios_by(lambda w, new: square_sum(new - w) / square_sum(w)),
        r"sum|\*\*",
    ),
    Slip(
        "The root is missing in the denominator",
        "Both lengths have a root.",
        ratios_by(lambda w, new: length(new - w) / square_sum(w)),
        r"/",
    ),
    Slip(
        "Largest entries are compared, not lengths",
        "|w| stands for the square root of the sum of squares of all entries.",
        ratios_by(lambda w, new: np.abs(new - w).max() / np.abs(w).max()),
        r"max",
    ),
    Slip(
        "Sums of absolute values are compared, not lengths",
        "|w| stands for the square root of the sum of squares of all entries.",
        ratios_by(lambda w, new: np.abs(new - w).sum() / np.abs(w).sum()),
        r"abs",
    ),
    Slip(
        "It is the mean of the ratios of single entries",
        "One entry that is nearly 0 has a gigantic ratio, and decides the mean. First the two lengths, then one ratio.",
        ratios_by(mean_over_entries),
        r"mean",
    ),
    Slip(
        "It is the mean of the ratios of single units",
        "A parameter has one ratio: of all of its entries together.",
        ratios_by(mean_over_units),
        r"mean|axis",
    ),
    Slip(
        "The matrix norm is not the length",
        "np.linalg.norm(w, 2) of a matrix is its largest singular value. The length is of all entries in one row: w.ravel().",
        ratios_by(
            lambda w, new: np.linalg.norm(new - w, 2) / np.linalg.norm(w, 2) if w.ndim == 2 else length(new - w) / length(w)
        ),
        r"norm",
    ),
    Slip(
        "The step is divided by the new weights",
        "The length in the denominator is that of the weights before the step.",
        ratios_by(lambda w, new: length(new - w) / length(new)),
        r"/",
    ),
    Slip(
        "The ratio is upside down",
        "Usual values are near 1/1000: the step is much shorter than the weights.",
        ratios_by(lambda w, new: length(w) / length(new - w) if (new != w).any() else math.inf),
        r"/",
    ),
    Slip(
        "Lengths are subtracted, not weights",
        "Weights can turn without getting longer. The step is after - before, entry by entry; then take its length.",
        ratios_by(lambda w, new: abs(length(new) - length(w)) / length(w)),
        r"-",
    ),
    Slip(
        "It is the ratio of the new length to the old one",
        "That is near 1 always. The step is after - before; how long is it?",
        ratios_by(lambda w, new: length(new) / length(w)),
        r"/",
    ),
    Slip(
        "The step is not divided by the length of the weights",
        "A step of 0.01 is much for weights of 0.01, and little for weights of 10.",
        ratios_by(lambda w, new: length(new - w)),
        r"norm|sqrt",
    ),
    Slip(
        "All parameters together have one ratio",
        "One layer may be thrown about while another does not move: each parameter has a ratio of its own.",
        {"update_ratios": ratio_of_all},
        r"sum|concatenate|values",
    ),
    Slip(
        "A parameter that was all 0 has a ratio of 0",
        "It was to be left out of the dict: 0 would say that nothing moved.",
        ratios_by(without=0.0),
        r"0",
    ),
    Slip(
        "A parameter that was all 0 has a ratio that is infinite",
        "It was to be left out of the dict.",
        ratios_by(without=math.inf),
        r"/|inf",
    ),
    Slip(
        "A parameter that was all 0 has the ratio NaN",
        "It was to be left out of the dict.",
        ratios_by(without=math.nan),
        r"nan",
    ),
    *(Slip(EPSILON, "It was to be left out of the dict.", with_epsilon(10.0**-k), r"1e-|eps") for k in range(5, 13)),
    Slip(
        "A parameter with a single 0 in it is left out",
        "It has no ratio only if all of its entries are 0.",
        ratios_by(has_ratio=lambda w: w.all()),
        r"all",
    ),
    Slip(
        "A parameter that did not move is left out",
        "A frozen parameter has the ratio 0, and that is worth knowing.",
        {
            "update_ratios": lambda before, after: {
                name: length(after[name] - w) / length(w) for name, w in before.items() if w.any() and (after[name] != w).any()
            }
        },
        r"if",
    ),
    Slip(
        "Parameters with one axis are left out",
        "A bias that is not 0 any more has a ratio like any other parameter.",
        ratios_by(has_ratio=lambda w: w.any() and w.ndim > 1),
        r"ndim|bias|endswith|\.w",
    ),
    Slip(
        "It is the share of zeros among all outputs",
        "That is how sparse the outputs are: a healthy ReLU is 0 half of the time. A unit is dead if it is 0 every time.",
        dead_by(of_units=lambda zeros: zeros),
        r"mean|sum",
    ),
    Slip(
        "It is the share of units that are alive",
        "A layer in which nothing is wrong has 0.",
        dead_by(share=lambda dead: 1 - np.mean(dead)),
        r"1 ?-|any|!=|>",
    ),
    Slip(
        "It counts dead units and gives no share",
        "Divide by how many units there are.",
        dead_by(share=np.sum),
        r"sum|count",
    ),
    Slip(
        "A unit that is 0 for one of the samples counts as dead",
        "Every unit of a ReLU is 0 now and then. Dead is who is 0 for all samples.",
        dead_by(of_units=lambda zeros: zeros.any(axis=(0, *range(2, zeros.ndim)))),
        r"any",
    ),
    Slip(
        "It is the share of samples for which all units are 0",
        "Which axis counts the samples, and which the units?",
        dead_by(of_units=lambda zeros: zeros.all(axis=tuple(range(1, zeros.ndim)))),
        r"axis",
    ),
    Slip(
        "Each pixel of a channel counts as a unit of its own",
        "All pixels of a channel share their weights: they die together, and count once.",
        dead_by(of_units=lambda zeros: zeros.all(axis=0)),
        r"axis ?= ?0",
    ),
    Slip(
        "A channel counts for each sample by itself",
        "A channel that is 0 in one picture may well answer to another. It is dead if it is 0 in all of them.",
        dead_by(of_units=lambda zeros: zeros.all(axis=tuple(range(2, zeros.ndim))) if zeros.ndim == 4 else zeros.all(axis=0)),
        r"2",
    ),
    Slip(
        "Columns of the picture are taken for units",
        "Of (N, C, H, W) the channels are the second axis, not the last.",
        dead_by(of_units=lambda zeros: zeros.all(axis=tuple(range(zeros.ndim - 1)))),
        r"-1",
    ),
    Slip(
        "Only the first sample is looked at",
        "What if the unit answers to the second one?",
        dead_by(of_units=lambda zeros: zeros[0].all(axis=tuple(range(1, zeros.ndim - 1)))),
        r"\[0\]",
    ),
    Slip(
        "Units that are nearly 0 count as dead",
        "A small output has a gradient all the same, and the unit learns. Dead is exactly 0.",
        dead_by(is_zero=lambda y: y < 1e-5),
        r"1e-|0\.0|isclose|allclose|<",
    ),
)

# ---- Task 3: reading the curves

ORDER = ("diverged", "too high", "not learning", "overfitting")


def is_diverged(first, losses, train, val):
    return not np.isfinite(losses).all() or max(losses) > 3 * first


def is_too_high(first, losses, train, val):
    return losses[-1] - min(losses) > 0.1 * first


def is_not_learning(first, losses, train, val):
    return losses[-1] > 0.8 * first


def is_overfitting(first, losses, train, val):
    return train[-1] - val[-1] > 0.1


RULES = dict(zip(ORDER, (is_diverged, is_too_high, is_not_learning, is_overfitting), strict=True))


def diagnosis_by(order=ORDER, words=None, **rules):
    """Some rules in other words ("too_high" for "too high"), in another order, or under other names."""
    changed = RULES | {name.replace("_", " "): rule for name, rule in rules.items()}

    def diagnose(first, losses, train_accuracy, val_accuracy):
        with np.errstate(all="ignore"):
            found = next((r for r in order if changed[r](first, losses, train_accuracy, val_accuracy)), "fine")
        return (words or {}).get(found, found)

    return {"diagnose": diagnose}


CURVE_SLIPS = (
    Slip(
        "NaN goes unnoticed",
        "Every comparison with NaN is false, so that no threshold finds it. Ask for it.",
        diagnosis_by(diverged=lambda first, losses, train, val: bool((losses > 3 * first).any())),
        r">",
    ),
    Slip(
        "NaN goes unnoticed where max() hides it",
        "Python's max() of a list with NaN in it depends on the order. Ask for NaN by itself.",
        diagnosis_by(diverged=lambda first, losses, train, val: max(losses) > 3 * first),
        r"max\(",
    ),
    Slip(
        "Only the last loss is looked at for NaN, infinity and more than 3 times first",
        "A run that was thrown out and came back has diverged all the same: in any epoch.",
        diagnosis_by(diverged=lambda first, losses, train, val: not math.isfinite(losses[-1]) or losses[-1] > 3 * first),
        r"\[-1\]",
    ),
    Slip(
        "Only the last loss is compared with 3 times first",
        "A run that was thrown out and came back has diverged all the same: in any epoch.",
        diagnosis_by(diverged=lambda first, losses, train, val: not np.isfinite(losses).all() or losses[-1] > 3 * first),
        r"\[-1\]",
    ),
    Slip(
        "Only the last loss is looked at for NaN and infinity",
        "A run that was thrown out and came back has diverged all the same: in any epoch.",
        diagnosis_by(
            diverged=lambda first, losses, train, val: not math.isfinite(losses[-1]) or bool((losses > 3 * first).any())
        ),
        r"\[-1\]",
    ),
    Slip(
        "Only NaN and infinity count as diverged",
        "A loss of a thousand is a number, and nobody wants to wait until it is none.",
        diagnosis_by(diverged=lambda first, losses, train, val: not np.isfinite(losses).all()),
        r"finite|nan",
    ),
    Slip(
        "It has diverged only where the loss is above 3 times that of the first epoch",
        "first is the loss before the first step. The first epoch may already be thrown out, or already have learned much.",
        diagnosis_by(diverged=lambda first, losses, train, val: not np.isfinite(losses).all() or max(losses) > 3 * losses[0]),
        r"losses\[0\]",
    ),
    Slip(
        "The first epoch's loss is taken for first, everywhere",
        "The loss of the first epoch is a mean over steps that have learned already; first is from before them.",
        diagnosis_by(
            diverged=lambda first, losses, train, val: is_diverged(losses[0], losses, train, val),
            too_high=lambda first, losses, train, val: is_too_high(losses[0], losses, train, val),
            not_learning=lambda first, losses, train, val: is_not_learning(losses[0], losses, train, val),
        ),
        r"losses\[0\]",
    ),
    Slip(
        "Any rise from one epoch to the next is called too high",
        "A loss goes up a little now and then. Compare the last loss with the lowest.",
        diagnosis_by(too_high=lambda first, losses, train, val: bool((np.diff(losses) > 0).any())),
        r"diff|\[i|zip",
    ),
    Slip(
        "Any last loss above the lowest is called too high",
        "How far above it must the last loss be?",
        diagnosis_by(too_high=lambda first, losses, train, val: losses[-1] > min(losses)),
        r"min",
    ),
    Slip(
        "The last loss is compared with the one before it, not with the lowest",
        "It may have been rising for several epochs, a little in each. What is the lowest it ever was?",
        diagnosis_by(too_high=lambda first, losses, train, val: len(losses) > 1 and losses[-1] - losses[-2] > 0.1 * first),
        r"-2",
    ),
    Slip(
        "The rise is measured as a share of the lowest loss",
        "Near 0 any wiggle is a large share of the lowest loss. The rule takes a tenth of first.",
        diagnosis_by(too_high=lambda first, losses, train, val: losses[-1] > 1.1 * min(losses)),
        r"1\.1|min",
    ),
    Slip(
        "The rise is measured in absolute numbers",
        "Losses of other kinds are a hundred times as large, or as small. A tenth of what?",
        diagnosis_by(too_high=lambda first, losses, train, val: losses[-1] - min(losses) > 0.1),
        r"0?\.1",
    ),
    Slip(
        "A rate is called too high only where the last loss is above first",
        "The rule compares the last loss with the lowest one. A run can learn a lot, and lose half of it again.",
        diagnosis_by(too_high=lambda first, losses, train, val: losses[-1] > 1.1 * first),
        r"first",
    ),
    Slip(
        "The highest loss is compared with the lowest, not the last",
        "Every run has a high loss at its beginning. What matters is where it ends.",
        diagnosis_by(too_high=lambda first, losses, train, val: max(losses) - min(losses) > 0.1 * first),
        r"max",
    ),
    Slip(
        "The lowest loss decides whether a run is not learning, not the last",
        "Where the run ends is what counts.",
        diagnosis_by(not_learning=lambda first, losses, train, val: min(losses) > 0.8 * first),
        r"min",
    ),
    Slip(
        "A run must lose four fifths of first, not one, or it is called not learning",
        "More than 0.8 times first is left: how much was lost?",
        diagnosis_by(not_learning=lambda first, losses, train, val: losses[-1] > 0.2 * first),
        r"0?\.2",
    ),
    Slip(
        "What a run has lost is measured in absolute numbers",
        "Losses of other kinds are a hundred times as large, or as small. A fifth of what?",
        diagnosis_by(not_learning=lambda first, losses, train, val: first - losses[-1] < 0.2),
        r"0?\.2",
    ),
    Slip(
        "Any loss below first is called learning",
        "How far below first must the last loss be?",
        diagnosis_by(not_learning=lambda first, losses, train, val: losses[-1] > first),
        r"first",
    ),
    Slip(
        "What the last epoch has lost decides whether a run is not learning",
        "A run that has learned all it can does not move any more, either. Compare the last loss with first.",
        diagnosis_by(not_learning=lambda first, losses, train, val: len(losses) > 1 and losses[-1] > 0.8 * losses[-2]),
        r"-2",
    ),
    Slip(
        "The widest gap of any epoch is called overfitting",
        "The rule asks for the gap in the last epoch.",
        diagnosis_by(overfitting=lambda first, losses, train, val: max(np.subtract(train, val)) > 0.1),
        r"max|any",
    ),
    Slip(
        "The gap is a mean over the epochs",
        "The rule asks for the gap in the last epoch.",
        diagnosis_by(overfitting=lambda first, losses, train, val: np.mean(train) - np.mean(val) > 0.1),
        r"mean",
    ),
    Slip(
        "The best accuracies are compared, not the last ones",
        "The rule asks for the gap in the last epoch: both curves at the same moment.",
        diagnosis_by(overfitting=lambda first, losses, train, val: max(train) - max(val) > 0.1),
        r"max",
    ),
    Slip(
        "The best validation accuracy is compared with the last training accuracy",
        "The rule asks for the gap in the last epoch: both curves at the same moment.",
        diagnosis_by(overfitting=lambda first, losses, train, val: train[-1] - max(val) > 0.1),
        r"max",
    ),
    Slip(
        "The gap has the wrong sign",
        "Who learns by heart is better on which set?",
        diagnosis_by(overfitting=lambda first, losses, train, val: val[-1] - train[-1] > 0.1),
        r"-",
    ),
    Slip(
        "The gap has no sign",
        "A network that is better on the validation pictures has not learned the training pictures by heart.",
        diagnosis_by(overfitting=lambda first, losses, train, val: abs(train[-1] - val[-1]) > 0.1),
        r"abs",
    ),
    Slip(
        "The gap is taken to be in per cent",
        "Accuracies are fractions from 0 to 1 here.",
        diagnosis_by(overfitting=lambda first, losses, train, val: train[-1] - val[-1] > 10),
        r"10|100",
    ),
    Slip(
        "Any training accuracy above the validation accuracy is called overfitting",
        "A small gap is usual. How wide must it be?",
        diagnosis_by(overfitting=lambda first, losses, train, val: train[-1] > val[-1]),
        r">",
    ),
    Slip(
        "The gap is measured as a ratio",
        "The rule asks for a difference of 0.1.",
        diagnosis_by(overfitting=lambda first, losses, train, val: train[-1] > 1.1 * val[-1]),
        r"1\.1|/",
    ),
    Slip(
        "Overfitting is asked for first",
        "The rules have an order: what does a gap mean in a run that has diverged, or has learned hardly anything?",
        diagnosis_by(("overfitting", "diverged", "too high", "not learning")),
    ),
    Slip(
        "Overfitting is asked for before the rate",
        "The rules have an order: what does a gap mean in a run that does not settle, or has learned hardly anything?",
        diagnosis_by(("diverged", "overfitting", "too high", "not learning")),
    ),
    Slip(
        "Overfitting is asked for before whether it learns at all",
        "The rules have an order: what does a gap mean in a run that has learned hardly anything?",
        diagnosis_by(("diverged", "too high", "overfitting", "not learning")),
    ),
    Slip(
        "Whether it learns at all is asked for before whether the rate is too high",
        "The rules have an order: a loss that fell, and rose to nearly where it began, has learned something.",
        diagnosis_by(("diverged", "not learning", "too high", "overfitting")),
    ),
    Slip(
        "Whether it has diverged is asked for last",
        "The rules have an order: comparisons with NaN are all false, and a run that was thrown out may look like any other.",
        diagnosis_by(("too high", "not learning", "overfitting", "diverged")),
    ),
    Slip(
        "Too high and not learning are the wrong way round",
        "Which of the two rules compares the last loss with the lowest, and which with first?",
        diagnosis_by(words={"too high": "not learning", "not learning": "too high"}),
        r"too",
    ),
)

# ---- Task 4: random search


def log_value(low, high, u):
    return low * (high / low) ** u


def search_by(
    value=log_value,
    draw=lambda rng, names: {name: rng.random() for name in names},
    order=sorted,
    generator=lambda seed, i, place: np.random.default_rng([seed, i]),
    seed_first=True,
    tell=lambda settings, budget, trial_seed, seed: (settings, budget, trial_seed),
    noted=lambda trial_seed, seed: trial_seed,
    failed=math.nan,
    finish=list,
):
    """failed: what stands for the value of a run that broke down; an exception is raised instead."""

    def random_search(objective, space, numbers, budget, seed):
        trials = []
        for place, i in enumerate(numbers):
            rng = generator(seed, i, place)
            trial_seed = int(rng.integers(2**31)) if seed_first else None
            drawn = draw(rng, order(space))
            trial_seed = trial_seed if seed_first else int(rng.integers(2**31))
            settings = {name: value(*space[name], drawn[name]) for name in drawn}
            try:
                val_acc = objective(*tell(settings, budget, trial_seed, seed))
            except FloatingPointError:
                if failed is FloatingPointError:
                    raise
                val_acc = failed
            trials.append({"settings": settings, "budget": budget, "seed": noted(trial_seed, seed), "val_acc": val_acc})
        return finish(trials)

    return {"random_search": random_search}


def same_for_all(rng, names):
    u = rng.random()
    return dict.fromkeys(names, u)


def one_generator():
    """A generator that goes on from trial to trial."""
    kept = []

    def generator(seed, i, place):
        if place == 0:
            kept[:] = [np.random.default_rng(seed)]
        return kept[0]

    return generator


def wrong_value(function):
    """A log_uniform() that is wrong; it is checked before random_search(), which may use it."""
    return {"log_uniform": function}


SEARCH_SLIPS = (
    Slip(
        "Values are drawn uniformly, not by factors",
        "Of a range from 0.001 to 1, how many values would lie below 0.1? Equal steps of u are equal factors.",
        wrong_value(lambda low, high, u: low + u * (high - low)),
        r"\*|uniform",
    ),
    Slip(
        "low and high are taken for exponents",
        "They are the ends of the range themselves. What are their logarithms?",
        wrong_value(lambda low, high, u: 10 ** (low + u * (high - low))),
        r"10(\.0)? ?\*\*|power",
    ),
    Slip(
        "The way back from the logarithm is missing",
        "What you return is the logarithm of the value.",
        wrong_value(lambda low, high, u: math.log(low) + u * math.log(high / low)),
        r"log",
    ),
    Slip(
        "The way back from the logarithm is missing",
        "What you return is the logarithm of the value.",
        wrong_value(lambda low, high, u: math.log10(low) + u * math.log10(high / low)),
        r"log",
    ),
    Slip(
        "There and back are by logarithms to different bases",
        "If it is the natural logarithm on the way there, which function is its inverse?",
        wrong_value(lambda low, high, u: 10 ** (math.log(low) + u * math.log(high / low))),
        r"10(\.0)? ?\*\*|log",
    ),
    Slip(
        "There and back are by logarithms to different bases",
        "If it is the logarithm to base 10 on the way there, which function is its inverse?",
        wrong_value(lambda low, high, u: math.exp(math.log10(low) + u * math.log10(high / low))),
        r"exp|log10",
    ),
    Slip(
        "It goes from high down to low",
        "u = 0 gives low.",
        wrong_value(lambda low, high, u: high * (low / high) ** u),
        r"high",
    ),
    Slip(
        "The width of the range is not divided by low",
        "By which factor is high larger than low?",
        wrong_value(lambda low, high, u: low * high**u),
        r"\*\*",
    ),
    Slip(
        "Always the middle of the range comes back",
        "What is the argument u for?",
        wrong_value(lambda low, high, u: math.sqrt(low * high)),
        r"sqrt",
    ),
    Slip(
        "random_search() draws uniformly, not by factors",
        "You have written a function that knows how: log_uniform().",
        search_by(value=lambda low, high, u: low + u * (high - low)),
        r"\*|uniform",
    ),
    Slip(
        "Settings are drawn in the order of the space, not by their names",
        "In which order do the draws come, and does it depend on how the dict was written?",
        search_by(order=list),
        r"for .* in space|items",
    ),
    Slip(
        "Settings are drawn in the reverse order of their names",
        "Alphabetical order: a comes first.",
        search_by(order=lambda space: sorted(space, reverse=True)),
        r"reverse",
    ),
    Slip(
        "All settings of a trial are drawn with the same u",
        "That searches along a single line through the space. A draw for each name.",
        search_by(draw=same_for_all),
        r"random\(\)",
    ),
    Slip(
        "The trial's seed is drawn last",
        "What a generator gives depends on what was asked of it before. What comes first?",
        search_by(seed_first=False),
        r"integers",
    ),
    Slip(
        "One generator goes on from trial to trial",
        "Trial 7 alone would then be another one than trial 7 after six others. A generator for each, from its number.",
        search_by(generator=one_generator()),
        r"default_rng",
    ),
    Slip(
        "All trials have the same generator",
        "A generator that is made anew of the same seed gives the same numbers. What tells the trials apart?",
        search_by(generator=lambda seed, i, place: np.random.default_rng(seed)),
        r"default_rng",
    ),
    Slip(
        "The generator is of the trial's number alone",
        "Another seed must be another search.",
        search_by(generator=lambda seed, i, place: np.random.default_rng(i)),
        r"default_rng",
    ),
    Slip(
        "The generator is of the sum of seed and number",
        "Then trial 3 of seed 5 is trial 2 of seed 6. The two numbers are given as a list.",
        search_by(generator=lambda seed, i, place: np.random.default_rng(seed + i)),
        r"default_rng",
    ),
    Slip(
        "Number and seed are the wrong way round in the generator",
        "The seed of the search comes first in the list.",
        search_by(generator=lambda seed, i, place: np.random.default_rng([i, seed])),
        r"default_rng",
    ),
    Slip(
        "The place in the list is taken for the trial's number",
        "The numbers need not begin at 0: in a second round they go on where the first has ended.",
        search_by(generator=lambda seed, i, place: np.random.default_rng([seed, place])),
        r"range\(|enumerate",
    ),
    Slip(
        "The objective is given the seed of the search",
        "Each trial has a seed of its own, which was drawn first.",
        search_by(tell=lambda settings, budget, trial_seed, seed: (settings, budget, seed)),
        r"objective\(",
    ),
    Slip(
        "The seed of the search is written down",
        "Who wants to repeat a trial needs the seed that the objective was given.",
        search_by(noted=lambda trial_seed, seed: seed),
        r"\"seed\"|seed=",
    ),
    Slip(
        "The objective is always given a budget of 1",
        "What is the argument budget for?",
        search_by(tell=lambda settings, budget, trial_seed, seed: (settings, 1, trial_seed)),
        r"objective\(",
    ),
    Slip(
        "Budget and seed are the wrong way round for the objective",
        "It is called objective(settings, budget, seed).",
        search_by(tell=lambda settings, budget, trial_seed, seed: (settings, trial_seed, budget)),
        r"objective\(",
    ),
    Slip(
        "A run that breaks down ends the search",
        "At a high rate many do, and the trials after it are worth knowing.",
        search_by(failed=FloatingPointError),
        r"objective\(",
    ),
    Slip(
        "A run that breaks down gets an accuracy of 0",
        "Nobody has measured that. NaN says that there is no number.",
        search_by(failed=0.0),
        r"0",
    ),
    Slip(
        "A run that breaks down gets None",
        "A NaN was asked for: it is a float like the others.",
        search_by(failed=None),
        r"None",
    ),
    Slip(
        "A run that breaks down is left out of the list",
        "Where a run breaks down is worth knowing, too: it is an end of the useful range.",
        search_by(finish=lambda trials: [trial for trial in trials if not math.isnan(trial["val_acc"])]),
        r"continue|pass|except",
    ),
    Slip(
        "Only the best trial is returned",
        "The whole table is wanted: it shows whether the best lies at an end of a range, and what does not matter.",
        search_by(finish=lambda trials: [max(trials, key=lambda t: (not math.isnan(t["val_acc"]), t["val_acc"]))]),
        r"max",
    ),
    Slip(
        "The trials are sorted by their values",
        "They were to stay in the order of their numbers.",
        search_by(finish=lambda trials: sorted(trials, key=lambda t: (math.isnan(t["val_acc"]), -t["val_acc"]))),
        r"sort",
    ),
    Slip(
        "Only the last trial is returned",
        "Is the list made anew in the loop, or returned from inside it?",
        search_by(finish=lambda trials: trials[-1:]),
        r"\[\]",
    ),
    Slip(
        "Only the first trial is returned",
        "Is the return inside the loop?",
        search_by(finish=lambda trials: trials[:1]),
        r"return",
    ),
)

# ---- Task 5: choose, and look more closely


def choice_by(
    value=lambda trial: trial["val_acc"],
    among=lambda trials, largest: [i for i, trial in enumerate(trials) if trial["budget"] == largest],
    counts=lambda trial: not math.isnan(trial["val_acc"]),
    best=lambda values: int(np.nanargmax(values)),
    place=lambda i, found: found[i],
):
    """counts: whether a trial has a say in which budget is the largest."""

    def best_trial(trials):
        largest = max(trial["budget"] for trial in trials if counts(trial))
        found = among(trials, largest)
        return place(best([value(trials[i]) for i in found]), found)

    return {"best_trial": best_trial}


def last_of_equals(values):
    return len(values) - 1 - int(np.nanargmax(values[::-1]))


def by_python_max(values):
    return max(range(len(values)), key=lambda i: values[i])


def everybody(trials, largest):
    return list(range(len(trials)))


def position(low, high, value):
    return math.log(value / low) / math.log(high / low)


def narrowed_by(
    centre=position,
    width=lambda share: share,
    moved=lambda start, width: min(max(start, 0), 1 - width),
    ends=lambda start, width: (start, start + width),
    value=log_value,
):
    def narrowed(low, high, best, share):
        wide = width(share)
        start, end = ends(moved(centre(low, high, best) - wide / 2, wide), wide)
        return value(low, high, start), value(low, high, end)

    return {"narrowed": narrowed}


def narrowed_in_decades(low, high, best, share):
    decades = math.log10(high / low)
    start = min(max(position(low, high, best) - share / decades / 2, 0), 1 - share / decades)
    return log_value(low, high, start), log_value(low, high, start + share / decades)


def linear_position(low, high, value):
    return (value - low) / (high - low)


def end_by(p=position, margin=0.1, words=("lower", "upper")):
    def near_an_end(low, high, best):
        place = p(low, high, best)
        return words[0] if place < margin else words[1] if place > 1 - margin else "inside"

    return {"near_an_end": near_an_end}


CHOICE_SLIPS = (
    Slip(
        "The test accuracy chooses",
        "Then it is no test any more: of many trials the one that was lucky with the test pictures wins, and its test accuracy "
        "flatters it. What is the validation set for?",
        choice_by(value=lambda trial: trial["test_acc"]),
        r"test_acc",
    ),
    Slip(
        "The test accuracy chooses",
        "Then it is no test any more: of many trials the one that was lucky with the test pictures wins, and its test accuracy "
        "flatters it. What is the validation set for?",
        choice_by(value=lambda trial: trial["test_acc"], among=everybody),
        r"test_acc",
    ),
    Slip(
        "The test accuracy decides between equal ones",
        "It must not decide anything. Of equal ones the first in the list wins.",
        choice_by(value=lambda trial: trial["val_acc"] + 1e-9 * trial["test_acc"]),
        r"test_acc",
    ),
    Slip(
        "The test accuracy has a say in the mean of two",
        "It must not have any. Choose by validation alone, and test once, at the very end.",
        choice_by(value=lambda trial: (trial["val_acc"] + trial["test_acc"]) / 2),
        r"test_acc",
    ),
    Slip(
        "The training accuracy chooses",
        "That finds the settings that learn by heart best.",
        choice_by(value=lambda trial: trial["train_acc"] + 0 * trial["val_acc"]),
        r"train_acc",
    ),
    Slip(
        "The training accuracy chooses",
        "That finds the settings that learn by heart best.",
        choice_by(value=lambda trial: trial["train_acc"], among=everybody),
        r"train_acc",
    ),
    Slip(
        "The narrowest gap between training and validation chooses",
        "A network that knows nothing has no gap. The highest validation accuracy is asked for.",
        choice_by(value=lambda trial: -abs(trial["train_acc"] - trial["val_acc"])),
        r"train_acc",
    ),
    Slip(
        "The budgets are not looked at",
        "An accuracy after one epoch does not compare with one after ten. Which trials compete?",
        choice_by(among=everybody),
        r"max",
    ),
    Slip(
        "The trials of the smallest budget compete",
        "The largest one is asked for: what was reached there is nearest to what will be trained.",
        choice_by(
            among=lambda trials, largest: [
                i
                for i, trial in enumerate(trials)
                if trial["budget"] == min(t["budget"] for t in trials if not math.isnan(t["val_acc"]))
            ]
        ),
        r"min",
    ),
    Slip(
        "A budget counts as the largest although all of its trials have failed",
        "Then there is nobody to choose. The largest budget with which any trial has succeeded is asked for.",
        choice_by(counts=lambda trial: True, best=by_python_max),
        r"max",
    ),
    Slip(
        "A budget counts as the largest although all of its trials have failed",
        "Then there is nobody to choose. The largest budget with which any trial has succeeded is asked for.",
        choice_by(counts=lambda trial: True, best=lambda values: int(np.argmax(values))),
        r"max",
    ),
    Slip(
        "A budget counts as the largest although all of its trials have failed",
        "Then there is nobody to choose. The largest budget with which any trial has succeeded is asked for.",
        choice_by(counts=lambda trial: True),
        r"max",
    ),
    Slip(
        "A trial that has failed wins",
        "np.argmax takes NaN for the largest of all. Leave those trials out first.",
        choice_by(best=lambda values: int(np.argmax(values))),
        r"argmax",
    ),
    Slip(
        "A trial that has failed wins where it comes first",
        "Every comparison with NaN is false: nothing after it is found to be larger. Leave those trials out first.",
        choice_by(best=by_python_max),
        r"max\(|>",
    ),
    Slip(
        "The last of equal ones wins",
        "Of equal ones the first in the list is asked for. Is it > or >= that you compare with, and which way do you sort?",
        choice_by(best=last_of_equals),
        r">=|sort|reverse",
    ),
    Slip(
        "The lowest validation accuracy wins",
        "Accuracies are the better the higher.",
        choice_by(best=lambda values: int(np.nanargmin(values))),
        r"min",
    ),
    Slip(
        "The place is that among the trials that compete, not that in the list",
        "You have made a list of some of the trials. Where do these stand in the one that was given?",
        choice_by(place=lambda i, found: i),
        r"argmax|index",
    ),
    Slip(
        "The place is counted from 1",
        "The first in the list has the place 0.",
        choice_by(place=lambda i, found: found[i] + 1),
        r"\+ ?1",
    ),
    Slip(
        "The range is narrowed on the linear scale",
        "A learning rate is searched by factors: width and middle are meant in the logarithm.",
        narrowed_by(centre=linear_position, value=lambda low, high, u: low + u * (high - low)),
        r"high ?- ?low",
    ),
    Slip(
        "Where best lies is computed on the linear scale",
        "log(best / low) / log(high / low) is its place between the ends.",
        narrowed_by(centre=linear_position),
        r"best ?- ?low",
    ),
    Slip(
        "The new range is as wide as share to each side",
        "It is share wide in all: how much of that is on either side of best?",
        narrowed_by(width=lambda share: 2 * share, moved=lambda start, width: min(max(start, 0), 1 - min(width, 1))),
        r"share",
    ),
    Slip(
        "The new range is half as wide as asked for",
        "It is share wide in all: how much of that is on either side of best?",
        narrowed_by(width=lambda share: share / 2),
        r"share",
    ),
    Slip(
        "The new range sticks out beyond the old one",
        "Where best is near an end, the range is moved until it just ends there.",
        narrowed_by(moved=lambda start, width: start),
        r"share",
    ),
    Slip(
        "The new range is cut off at the ends of the old one, not moved",
        "It keeps its width: what is missing on one side is added on the other.",
        narrowed_by(moved=lambda start, width: start, ends=lambda start, width: (max(start, 0), min(start + width, 1))),
        r"max|min",
    ),
    Slip(
        "The new range is moved at the lower end only",
        "And if best is near the upper one?",
        narrowed_by(moved=lambda start, width: max(start, 0)),
        r"max",
    ),
    Slip(
        "The new range is moved at the upper end only",
        "And if best is near the lower one?",
        narrowed_by(moved=lambda start, width: min(start, 1 - width)),
        r"min",
    ),
    Slip(
        "The new range is in the middle of the old one, wherever best is",
        "What is the argument best for?",
        narrowed_by(centre=lambda low, high, best: 0.5),
        r"0?\.5|/ ?2",
    ),
    Slip(
        "The new range begins at best",
        "Best belongs in its middle: the next best may lie on either side.",
        narrowed_by(centre=lambda low, high, best: position(low, high, best), moved=lambda start, width: start + width / 2),
        r"best",
    ),
    Slip(
        "The new range begins at best, and is moved where it sticks out",
        "Best belongs in its middle: the next best may lie on either side.",
        narrowed_by(moved=lambda start, width: min(max(start + width / 2, 0), 1 - width)),
        r"best",
    ),
    Slip(
        "share is taken for a number of decades",
        "It is a part of the width that the range has on the log scale, however many decades that is.",
        {"narrowed": narrowed_in_decades},
        r"10|log",
    ),
    Slip(
        "Best is multiplied and divided by share",
        "share is a part of the width of the range, whatever that is. Which factor is it, for this low and high?",
        {"narrowed": lambda low, high, best, share: (best * share, best / share)},
        r"best",
    ),
    Slip(
        "Best is multiplied and divided by share, and cut off at the ends",
        "share is a part of the width of the range, whatever that is. Which factor is it, for this low and high?",
        {"narrowed": lambda low, high, best, share: (max(best * share, low), min(best / share, high))},
        r"best",
    ),
    Slip(
        "The places on the log scale are returned, not the values",
        "They go from 0 to 1. Which value of the range is at such a place? You have written that function in task 4.",
        narrowed_by(value=lambda low, high, u: u),
        r"return",
    ),
    Slip(
        "The new low and high are the wrong way round",
        "The lower one comes first.",
        narrowed_by(ends=lambda start, width: (start + width, start)),
        r"return",
    ),
    Slip(
        "Whether best is near an end is judged on the linear scale",
        "On the linear scale nearly all of a range of many decades is near its lower end. Take p as in narrowed().",
        end_by(p=linear_position),
        r"high ?- ?low|best ?- ?low",
    ),
    Slip(
        "Whether best is near an end is judged by its value",
        "1.1 times low is a tiny step on the log scale of many decades. Take p as in narrowed().",
        {"near_an_end": lambda low, high, best: "lower" if best < 1.1 * low else "upper" if best > 0.9 * high else "inside"},
        r"low|high",
    ),
    Slip(
        "Lower and upper are the wrong way round",
        "Near which end is p = 0?",
        end_by(words=("upper", "lower")),
        r"lower|upper",
    ),
    Slip(
        "The lower end goes unnoticed",
        "There are two ends.",
        end_by(words=("inside", "upper")),
        r"if|return",
    ),
    Slip(
        "The upper end goes unnoticed",
        "There are two ends.",
        end_by(words=("lower", "inside")),
        r"if|return",
    ),
    Slip(
        "An end is a fifth of the range",
        "A tenth of it, on the log scale.",
        end_by(margin=0.2),
        r"0?\.2",
    ),
    Slip(
        "Only the very ends count",
        "A tenth of the range at either end, on the log scale.",
        end_by(margin=1e-9),
        r"==|<=|>=",
    ),
    Slip(
        "An end is a tenth of a decade",
        "A tenth of the range, however many decades that has.",
        end_by(p=lambda low, high, best: 0.0 if best < low * 10**0.1 else 1.0 if best > high / 10**0.1 else 0.5),
        r"log10",
    ),
)

# ---- Task 6: successive halving


def schedule_by(
    count=lambda n, eta, i: n // eta**i, budget=lambda least, eta, i: least * eta**i, goes_on=lambda count: count >= 1
):
    """At most twelve rungs, for those that never end."""

    def halving_schedule(n, least_budget, eta):
        rungs = []
        while len(rungs) < 12 and (not rungs or goes_on(count(n, eta, len(rungs)))):
            rungs.append((count(n, eta, len(rungs)), budget(least_budget, eta, len(rungs))))
        return rungs

    return {"halving_schedule": halving_schedule}


def right_schedule(n, least_budget, eta):
    return schedule_by()["halving_schedule"](n, least_budget, eta)


def halving_by(
    schedule=right_schedule,
    count=lambda planned, before, eta: planned,
    rank=lambda values: sorted(values, key=lambda i: (-values[i], i)),
    budget=lambda planned, least: planned,
    failed=None,
    remembered=lambda old, new: new,
    order=sorted,
    finish=lambda rungs, ranked, history: (rungs, ranked[0]),
):
    """failed: the value of a candidate that fails, None for out, or the exception for raised again.

    remembered: which value counts, of the sum or list of all so far and the new one; history: the values of each rung.
    """

    def successive_halving(objective, candidates, least_budget, eta):
        rungs, history, ranked, kept = [], [], list(range(len(candidates))), {}
        before = None
        for planned, planned_budget in schedule(len(candidates), least_budget, eta):
            chosen = ranked[: planned if before is None else count(planned, before, eta)]
            if not chosen:
                break
            rungs.append(order(chosen))
            values = {}
            for i in chosen:
                try:
                    value = objective(candidates[i], budget(planned_budget, least_budget))
                except FloatingPointError:
                    if failed is FloatingPointError:
                        raise
                    if failed is None:
                        continue
                    value = failed
                kept[i] = values[i] = value if i not in kept else remembered(kept[i], value)
            history.append(values)
            ranked, before = rank(values), len(values)
        return finish(rungs, ranked, history)

    return {"successive_halving": successive_halving}


def best_ever(rungs, ranked, history):
    return rungs, max(range(len(rungs[0])), key=lambda i: max((values[i] for values in history if i in values), default=-1))


HALVING_SLIPS = (
    Slip(
        "The budgets grow by adding",
        "From rung to rung the budget is multiplied: by which number?",
        schedule_by(budget=lambda least, eta, i: least * (1 + i)),
        r"\+=",
    ),
    Slip(
        "The budgets grow by adding eta",
        "From rung to rung the budget is multiplied: by which number?",
        schedule_by(budget=lambda least, eta, i: least + eta * i),
        r"\+",
    ),
    Slip(
        "The budgets do not grow",
        "Fewer candidates, and each of them for longer.",
        schedule_by(budget=lambda least, eta, i: least),
        r"budget",
    ),
    Slip(
        "The budgets shrink",
        "Fewer candidates, and each of them for longer: a rung costs about as much as another.",
        schedule_by(budget=lambda least, eta, i: max(least // eta**i, 1)),
        r"//|/",
    ),
    Slip(
        "The first rung has already eta times the least budget",
        "eta to the power of 0 is 1.",
        schedule_by(budget=lambda least, eta, i: least * eta ** (i + 1)),
        r"eta",
    ),
    Slip(
        "The budgets are halved and doubled, whatever eta is",
        "What is the argument eta for?",
        schedule_by(count=lambda n, eta, i: n // 2**i, budget=lambda least, eta, i: least * 2**i),
        r"2",
    ),
    Slip(
        "The counts are halved, whatever eta is",
        "What is the argument eta for?",
        schedule_by(count=lambda n, eta, i: n // 2**i),
        r"// ?2|/ ?2",
    ),
    Slip(
        "The budgets are doubled, whatever eta is",
        "What is the argument eta for?",
        schedule_by(budget=lambda least, eta, i: least * 2**i),
        r"\* ?2|2 ?\*",
    ),
    Slip(
        "The counts are rounded up",
        "Floor goes down. (Rounded up, a single candidate would go on for ever.)",
        schedule_by(count=lambda n, eta, i: -(-n // eta**i), goes_on=lambda count: count > 1),
        r"ceil|-\(?-",
    ),
    Slip(
        "The counts are rounded up",
        "Floor goes down. (Rounded up, a single candidate would go on for ever.)",
        schedule_by(count=lambda n, eta, i: -(-n // eta**i)),
        r"ceil|-\(?-",
    ),
    Slip(
        "The counts are rounded to the nearest",
        "Floor goes down.",
        schedule_by(count=lambda n, eta, i: round(n / eta**i)),
        r"round",
    ),
    Slip(
        "The counts are not rounded",
        "How many candidates are 2.33? Floor goes down to a whole number.",
        schedule_by(count=lambda n, eta, i: n / eta**i),
        r"[^/]/[^/]",
    ),
    Slip(
        "The rung with a single candidate is missing",
        "It goes on as long as there is at least one.",
        schedule_by(goes_on=lambda count: count > 1),
        r"> ?1|while",
    ),
    Slip(
        "The last rungs are missing, those with fewer than eta candidates",
        "It goes on as long as there is at least one.",
        {
            "halving_schedule": lambda n, least_budget, eta: [
                rung for k, rung in enumerate(right_schedule(n, least_budget, eta)) if not k or rung[0] >= eta
            ]
        },
        r"eta",
    ),
    Slip(
        "A rung without candidates comes last",
        "It goes on as long as there is at least one.",
        {
            "halving_schedule": lambda n, least_budget, eta: [
                *(found := right_schedule(n, least_budget, eta)),
                (0, least_budget * eta ** len(found)),
            ]
        },
        r"while|append",
    ),
    Slip(
        "Rungs have the budget of all candidates together",
        "The budget of each candidate is asked for.",
        schedule_by(budget=lambda least, eta, i: least * eta**i, count=lambda n, eta, i: n // eta**i)
        | {
            "halving_schedule": lambda n, least_budget, eta: [
                (count, count * budget) for count, budget in right_schedule(n, least_budget, eta)
            ]
        },
        r"\*",
    ),
    Slip(
        "Count and budget are the wrong way round",
        "A rung is (count, budget).",
        {
            "halving_schedule": lambda n, least_budget, eta: [
                (budget, count) for count, budget in right_schedule(n, least_budget, eta)
            ]
        },
        r"append|\(",
    ),
    Slip(
        "A fraction of 1/eta is dropped, not kept",
        "Of 27 candidates, with eta = 3, nine go on.",
        schedule_by(count=lambda n, eta, i: int(n * (1 - 1 / eta) ** i)),
        r"1 ?- ?1|-",
    ),
    Slip(
        "eta candidates fewer in each rung",
        "The count is divided from rung to rung.",
        schedule_by(count=lambda n, eta, i: n - eta * i),
        r"-",
    ),
    Slip(
        "The worst candidates go on",
        "Which way does your sorting go? Accuracies are the better the higher.",
        halving_by(rank=lambda values: sorted(values, key=lambda i: (values[i], i))),
        r"sort",
    ),
    Slip(
        "The worst candidates go on, and the best of the last rung wins",
        "Which way does your sorting go? Accuracies are the better the higher.",
        halving_by(
            rank=lambda values: sorted(values, key=lambda i: (values[i], i)),
            finish=lambda rungs, ranked, history: (rungs, max(sorted(history[-1]), key=history[-1].get)),
        ),
        r"sort",
    ),
    Slip(
        "Of equal ones the later go on",
        "Sorting is stable, reversing what was sorted turns equal ones round as well. Sort by the negative value, say.",
        halving_by(rank=lambda values: sorted(values, key=lambda i: (values[i], i), reverse=True)),
        r"reverse|::-1|>=",
    ),
    Slip(
        "The first ones of a rung go on, whatever their values",
        "Which of them are the best?",
        halving_by(rank=sorted, finish=lambda rungs, ranked, history: (rungs, max(sorted(history[-1]), key=history[-1].get))),
        r"\[:",
    ),
    Slip(
        "The values of the first rung decide everything",
        "They were reached with the least budget. After each rung there are new ones: of those that are in it.",
        halving_by(remembered=lambda old, new: old),
        r"objective",
    ),
    Slip(
        "The values of all rungs are added up",
        "A value with a small budget says less than one with a large one. Only those of the rung before count.",
        halving_by(remembered=lambda old, new: old + new),
        r"\+=",
    ),
    Slip(
        "The highest value of all rungs so far counts",
        "A value with a small budget says less than one with a large one. Only those of the rung before count.",
        halving_by(remembered=max),
        r"max",
    ),
    Slip(
        "The budget stays the least one",
        "Each rung of the schedule has a budget of its own.",
        halving_by(budget=lambda planned, least: least),
        r"objective",
    ),
    Slip(
        "How many go on follows from how many have succeeded",
        "The schedule is that of all candidates: count of rung i = floor(n / eta^i), and n does not change.",
        halving_by(count=lambda planned, before, eta: before // eta),
        r"len|//",
    ),
    Slip(
        "At least one goes on of those that have succeeded, however few",
        "The schedule is that of all candidates: count of rung i = floor(n / eta^i), and n does not change.",
        halving_by(count=lambda planned, before, eta: max(before // eta, 1)),
        r"len|//",
    ),
    Slip(
        "A candidate that fails ends the search",
        "At a high rate many fail; the others go on without them.",
        halving_by(failed=FloatingPointError),
        r"objective",
    ),
    Slip(
        "A candidate that fails gets a value, and may go on",
        "It has failed and is in no later rung, also where there is room for it.",
        halving_by(failed=0.0),
        r"0|except",
    ),
    Slip(
        "A candidate that fails gets a value, and may go on",
        "It has failed and is in no later rung, also where there is room for it.",
        halving_by(failed=-math.inf),
        r"inf|except|-1",
    ),
    Slip(
        "The rungs are in the order of the values",
        "In ascending order of the places in the list, it was asked for.",
        halving_by(order=list),
        r"append|rank|sort",
    ),
    Slip(
        "The winner has the highest value of any rung",
        "A value with a small budget may be high by luck, and does not compare. Who is best in the last rung?",
        halving_by(finish=best_ever),
        r"max",
    ),
    Slip(
        "The winner is the best of the first rung",
        "That was after the least budget. Who is best in the last rung?",
        halving_by(finish=lambda rungs, ranked, history: (rungs, max(sorted(history[0]), key=history[0].get))),
        r"max|\[0\]",
    ),
    Slip(
        "The winner is the first of the last rung, whatever its value",
        "The last rung may have several candidates, and has values of its own.",
        halving_by(finish=lambda rungs, ranked, history: (rungs, rungs[-1][0])),
        r"\[0\]",
    ),
    Slip(
        "The winner is the best of the rung before the last",
        "The last rung has values of its own: those of the largest budget.",
        halving_by(
            finish=lambda rungs, ranked, history: (
                rungs,
                max(sorted(history[max(len(history) - 2, 0)]), key=history[max(len(history) - 2, 0)].get),
            )
        ),
        r"\[0\]|max",
    ),
    Slip(
        "The winner is the last one of the last rung, whatever its value",
        "The last rung may have several candidates, and has values of its own.",
        halving_by(finish=lambda rungs, ranked, history: (rungs, rungs[-1][-1])),
        r"-1",
    ),
    Slip(
        "The winner's place is that in the last rung",
        "Its place in the list of all candidates is asked for.",
        halving_by(finish=lambda rungs, ranked, history: (rungs, rungs[-1].index(ranked[0]))),
        r"argmax|index",
    ),
    Slip(
        "The last rung is left out of the answer",
        "Every rung that is evaluated is in the list, the last one as well.",
        halving_by(finish=lambda rungs, ranked, history: (rungs[:-1], ranked[0])),
        r"append|return",
    ),
    Slip(
        "The first rung is left out of the answer",
        "Rung 0 has all candidates, and is in the list as well.",
        halving_by(finish=lambda rungs, ranked, history: (rungs[1:], ranked[0])),
        r"append|return",
    ),
)
