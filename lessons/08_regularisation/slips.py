"""Lesson 8: the mistakes that people make in its exercise, as functions that make them."""

import numpy as np

from minicnn.course import Slip
from minicnn.losses import log_softmax, softmax


def wrong_penalty(value, gradient):
    return {"elastic_net": lambda w, lambda1, lambda2: (float(value(w, lambda1, lambda2)), gradient(w, lambda1, lambda2))}


def right_value(w, lambda1, lambda2):
    return lambda1 * np.abs(w).sum() + lambda2 / 2 * (w * w).sum()


def right_gradient(w, lambda1, lambda2):
    return lambda1 * np.sign(w) + lambda2 * w


PENALTY_SLIPS = (
    Slip(
        "The half is missing, in R and in dw",
        "R and dw fit each other, but the penalty is twice as strong as lambda2 says. What is in front of the sum of squares?",
        wrong_penalty(lambda w, a, b: a * np.abs(w).sum() + b * (w * w).sum(), lambda w, a, b: a * np.sign(w) + 2 * b * w),
        r"\*\* ?2|square|w \* w",
    ),
    Slip(
        "The half is missing in R",
        "dw is right. Differentiate your R with respect to a single weight, and compare.",
        wrong_penalty(lambda w, a, b: a * np.abs(w).sum() + b * (w * w).sum(), right_gradient),
        r"\*\* ?2|square|w \* w",
    ),
    Slip(
        "The part of L2 in dw has a factor 2 too much",
        "R is right. What does its half do when w^2 is differentiated?",
        wrong_penalty(right_value, lambda w, a, b: a * np.sign(w) + 2 * b * w),
        r"2 ?\*",
    ),
    Slip(
        "R is a mean over the weights",
        "A penalty is a sum over all weights. Only the loss of the data is a mean, and that is over samples.",
        wrong_penalty(lambda w, a, b: a * np.abs(w).mean() + b / 2 * (w * w).mean(), right_gradient),
        r"mean",
    ),
    Slip(
        "R and dw are divided by the number of weights",
        "A penalty is a sum over all weights. Only the loss of the data is a mean, and that is over samples.",
        wrong_penalty(lambda w, a, b: right_value(w, a, b) / w.size, lambda w, a, b: right_gradient(w, a, b) / w.size),
        r"size|len\(|mean",
    ),
    Slip(
        "dw has no part of L1",
        "With lambda2 = 0 every weight is still drawn to 0, by a force that does not depend on how large it is.",
        wrong_penalty(right_value, lambda w, a, b: b * w),
    ),
    Slip(
        "dw has no part of L2",
        "With lambda1 = 0 every weight is still drawn to 0, by a force in proportion to it.",
        wrong_penalty(right_value, lambda w, a, b: a * np.sign(w)),
    ),
    Slip(
        "R adds the weights themselves, so that positive and negative ones cancel",
        "L1 counts how far a weight is from 0, whichever its sign.",
        wrong_penalty(lambda w, a, b: a * w.sum() + b / 2 * (w * w).sum(), right_gradient),
        r"sum\(",
    ),
    Slip(
        "L2 takes the length of w, not its square",
        "There is no root in R: the squares are added up, and that is all.",
        wrong_penalty(lambda w, a, b: a * np.abs(w).sum() + b / 2 * np.sqrt((w * w).sum()), right_gradient),
        r"norm|sqrt",
    ),
    Slip(
        "lambda1 and lambda2 are exchanged",
        "Which of them belongs to |w|, and which to w^2?",
        wrong_penalty(lambda w, a, b: right_value(w, b, a), lambda w, a, b: right_gradient(w, b, a)),
    ),
    Slip(
        "dw has the wrong sign",
        "The optimiser subtracts what you return. Which sign makes weights smaller, and which way does R grow?",
        wrong_penalty(right_value, lambda w, a, b: -right_gradient(w, a, b)),
        r"-",
    ),
    Slip(
        "dw has |w| where its derivative belongs",
        "What is the slope of |w| for a positive w, and for a negative one?",
        wrong_penalty(right_value, lambda w, a, b: a * np.abs(w) + b * w),
        r"abs",
    ),
    Slip(
        "dw is NaN where a weight is 0",
        "w / |w| is 0 / 0 there. Is there a function that gives the sign of a number, and 0 of 0?",
        wrong_penalty(right_value, lambda w, a, b: a * w / np.abs(w) + b * w),
        r"/",
    ),
    Slip(
        "The derivative of |w| is taken for 1 where a weight is 0",
        "Weights that have come to 0 would be pushed away from it again. Three cases: above 0, below, and at 0.",
        wrong_penalty(right_value, lambda w, a, b: a * np.where(w >= 0, 1.0, -1.0) + b * w),
        r">=|<",
    ),
    Slip(
        "The derivative of |w| is taken for -1 where a weight is 0",
        "Weights that have come to 0 would be pushed away from it again. Three cases: above 0, below, and at 0.",
        wrong_penalty(right_value, lambda w, a, b: a * np.where(w > 0, 1.0, -1.0) + b * w),
        r">",
    ),
)


def wrong_projection(function):
    return {"max_norm": function}


def scaled_by_lengths(lengths_of, factor=lambda lengths, c: c / np.maximum(lengths, c)):
    """w times a factor of the lengths, which keep their axes."""
    return wrong_projection(lambda w, c: w * factor(lengths_of(w), c))


def unit_lengths(w):
    return np.sqrt((w * w).sum(axis=tuple(range(1, w.ndim)), keepdims=True))


NORM_SLIPS = (
    Slip(
        "The length of all weights together decides",
        "Every unit has a length of its own; one that is short must not shrink because another is long.",
        scaled_by_lengths(lambda w: np.sqrt((w * w).sum())),
        r"norm\(w\)|sum\(\)",
    ),
    Slip(
        "Lengths are taken along the first axis, across the units",
        "The first axis counts the units. The weights of one of them are w[f]: which axes does that have?",
        scaled_by_lengths(lambda w: np.sqrt((w * w).sum(axis=0, keepdims=True))),
        r"axis ?= ?0",
    ),
    Slip(
        "Each channel of a filter is scaled by itself",
        "A unit's weights are those of all its inputs: channels, rows and columns together.",
        scaled_by_lengths(lambda w: np.sqrt((w * w).sum(axis=tuple(range(min(2, w.ndim - 1), w.ndim)), keepdims=True))),
        r"axis",
    ),
    Slip(
        "Lengths are taken along axis 1 alone",
        "That is right for a fully connected layer. What of the axes behind it, in a convolution?",
        scaled_by_lengths(lambda w: np.sqrt((w * w).sum(axis=1, keepdims=True))),
        r"axis ?= ?1",
    ),
    Slip(
        "Lengths are taken along the last axis alone",
        "That is right for a fully connected layer. What of the other axes, in a convolution?",
        scaled_by_lengths(lambda w: np.sqrt((w * w).sum(axis=-1, keepdims=True))),
        r"axis ?= ?-1",
    ),
    Slip(
        "All units are scaled to length c, the short ones as well",
        "The constraint is that no unit is longer than c. What should happen to one that keeps to it?",
        scaled_by_lengths(unit_lengths, lambda lengths, c: c / lengths),
        r"/",
    ),
    Slip(
        "Short units are stretched to c, and long ones left",
        "It is the other way round. Write down the factor for a unit of length 2 c, and for one of length c / 2.",
        scaled_by_lengths(unit_lengths, lambda lengths, c: c / np.minimum(lengths, c)),
        r"min|<|max|>",
    ),
    Slip(
        "Every weight is clipped by itself",
        "That turns the vector of weights another way. The constraint is on its length, and keeps its direction.",
        wrong_projection(lambda w, c: np.clip(w, -c, c)),
        r"clip|minimum|where",
    ),
    Slip(
        "The root is missing in the length",
        "The sum of squares is the square of the length; c is a length.",
        scaled_by_lengths(lambda w: unit_lengths(w) ** 2),
        r"sum|square|\*\*",
    ),
    Slip(
        "Long units are divided by the square of their length",
        "c / |w[f]| has a length in the denominator, not its square.",
        scaled_by_lengths(unit_lengths, lambda lengths, c: np.where(lengths > c, c / lengths**2, 1.0)),
        r"/",
    ),
    Slip(
        "Long units are scaled to length 1",
        "Their new length is c: with c / |w[f]| as the factor, what is |w[f]| times that?",
        scaled_by_lengths(unit_lengths, lambda lengths, c: np.where(lengths > c, 1 / lengths, 1.0)),
        r"/",
    ),
    Slip(
        "The length is the sum of |w|",
        "Max norm is meant in the Euclidean sense: the root of the sum of squares.",
        scaled_by_lengths(lambda w: np.abs(w).sum(axis=tuple(range(1, w.ndim)), keepdims=True)),
        r"abs|ord",
    ),
    Slip(
        "A unit whose weights are all 0 becomes NaN",
        "Its length is 0. Do you divide by that anywhere?",
        scaled_by_lengths(unit_lengths, lambda lengths, c: np.minimum(lengths, c) / lengths),
        r"/",
    ),
    Slip(
        "Only the first unit is scaled back",
        "Every unit that is longer than c must come back to length c.",
        wrong_projection(lambda w, c: np.concatenate([w[:1] * (c / np.maximum(unit_lengths(w[:1]), c)), w[1:]])),
        r"\[0\]|\[:1\]",
    ),
)


def in_training(train, test=lambda x, p: x.copy()):
    """A function (x, p, u, training) of what is done in training, and in inference."""
    return lambda x, p, u, training: train(x, p, u) if training else test(x, p)


def inverted(x, p, u):
    return x * (u >= p) / (1 - p)


def plain(x, p, u):
    return x * (u >= p)


KEEP = "Here p is the probability of dropping, as in PyTorch; in the lecture and in the paper it is that of keeping."
INVERTED_SLIPS = (
    Slip(
        "p is taken for the probability of keeping",
        f"{KEEP} How many units of a hundred are left with p = 0.2?",
        {"dropout_forward": in_training(lambda x, p, u: x * (u < p) / p)},
        r"<|/ ?p",
    ),
    Slip(
        "Units are kept where they should be dropped",
        f"{KEEP} A unit is kept where u >= p.",
        {"dropout_forward": in_training(lambda x, p, u: x * (u < p) / (1 - p))},
        r"<|>",
    ),
    Slip(
        "This is vanilla dropout",
        "Here the scaling belongs into training, and inference has nothing to do.",
        {"dropout_forward": in_training(plain, lambda x, p: x * (1 - p))},
    ),
    Slip(
        "What is kept is not scaled up in training",
        "That is vanilla dropout. Inverted dropout has the same mean in training as in inference: by what is yours too small?",
        {"dropout_forward": in_training(plain)},
    ),
    Slip(
        "What is kept is divided by p",
        "A share of 1 - p is left of all units. By what must the rest be multiplied to make up for that?",
        {"dropout_forward": in_training(lambda x, p, u: x * (u >= p) / p)},
        r"/ ?p",
    ),
    Slip(
        "What is kept is multiplied by 1 - p",
        "Units are missing in training; what is left must become larger, not smaller.",
        {"dropout_forward": in_training(lambda x, p, u: x * (u >= p) * (1 - p))},
        r"1 ?- ?p",
    ),
    Slip(
        "Units are dropped in inference as well",
        "In inference nothing is drawn: the same picture must get the same answer every time. What is `training` for?",
        {"dropout_forward": lambda x, p, u, training: inverted(x, p, u)},
    ),
    Slip(
        "y is scaled in inference as well",
        "Inverted dropout has done that already, in training. Inference has nothing left to do.",
        {"dropout_forward": in_training(inverted, lambda x, p: x * (1 - p))},
        r"1 ?- ?p",
    ),
    Slip(
        "y is scaled up in inference as well",
        "What is dropped in inference, that the others would have to make up for?",
        {"dropout_forward": in_training(inverted, lambda x, p: x / (1 - p))},
        r"1 ?- ?p",
    ),
    Slip(
        "Training and inference are exchanged",
        "Noise belongs to training; in inference y = x.",
        {"dropout_forward": lambda x, p, u, training: x.copy() if training else inverted(x, p, u)},
        r"training",
    ),
    Slip(
        "A unit whose u is just p is dropped",
        "u comes from [0, 1), 0 included. With p = 0 nothing may be dropped: is it `>` or `>=`?",
        {"dropout_forward": in_training(lambda x, p, u: x * (u > p) / (1 - p))},
        r">|<=",
    ),
    Slip(
        "All samples have the mask of the first one",
        "u has a number for each unit of each sample: every sample sees a thinned network of its own.",
        {"dropout_forward": in_training(lambda x, p, u: x * (u[:1] >= p) / (1 - p))},
        r"u\[",
    ),
)
BACKWARD_SLIPS = (
    Slip(
        "dx is not scaled",
        "y = x times a number, which is more than the mask. By the chain rule dx is dy times that same number.",
        {"dropout_backward": in_training(plain)},
    ),
    Slip(
        "dx has no mask",
        "Where a unit was dropped, y is 0 whatever x is. What is the derivative there?",
        {"dropout_backward": in_training(lambda dy, p, u: dy / (1 - p))},
    ),
    Slip(
        "dx is dy, as if nothing had been dropped",
        "In inference that is right. In training y = x times a number: dx is dy times that same number.",
        {"dropout_backward": in_training(lambda dy, p, u: dy.copy())},
    ),
    Slip(
        "dx is multiplied by 1 - p",
        "y is x *divided* by 1 - p. The derivative of a x with respect to x is a, and not 1 / a.",
        {"dropout_backward": in_training(lambda dy, p, u: dy * (u >= p) * (1 - p))},
        r"1 ?- ?p",
    ),
    Slip(
        "dx has its mask the wrong way round",
        "The units that let x through let dy through, and no others.",
        {"dropout_backward": in_training(lambda dy, p, u: dy * (u < p) / (1 - p))},
        r"<|>",
    ),
    Slip(
        "dx is masked in inference as well",
        "What was dropped in the forward pass in inference?",
        {"dropout_backward": lambda dy, p, u, training: inverted(dy, p, u)},
    ),
    Slip(
        "dx is scaled twice",
        "The number that x was multiplied with is 1 / (1 - p), once.",
        {"dropout_backward": in_training(lambda dy, p, u: dy * (u >= p) / (1 - p) ** 2)},
        r"1 ?- ?p",
    ),
)
VANILLA_SLIPS = (
    Slip(
        "Inference multiplies by the probability of dropping",
        "So it stands in one of our sources, wrongly. A unit is there with probability 1 - p: what is the mean of y?",
        {"vanilla_dropout_forward": in_training(plain, lambda x, p: x * p)},
        r"\* ?p|p ?\*",
    ),
    Slip(
        "Inference does not scale",
        "In training a share of the units is missing. With all of them, the layer above gets more than it has learned from.",
        {"vanilla_dropout_forward": in_training(plain)},
    ),
    Slip(
        "This is inverted dropout",
        "Here training only drops, and the scaling is left to inference.",
        {"vanilla_dropout_forward": in_training(inverted)},
        r"1 ?- ?p",
    ),
    Slip(
        "It is scaled in training and in inference",
        "One of the two is enough: the vanilla form scales in inference.",
        {"vanilla_dropout_forward": in_training(inverted, lambda x, p: x * (1 - p))},
        r"1 ?- ?p",
    ),
    Slip(
        "Inference divides by 1 - p",
        "Fewer units in training than in inference: must y in inference become smaller or larger, to match?",
        {"vanilla_dropout_forward": in_training(plain, lambda x, p: x / (1 - p))},
        r"/",
    ),
    Slip(
        "Vanilla dropout keeps the wrong units",
        f"{KEEP} A unit is kept where u >= p.",
        {"vanilla_dropout_forward": in_training(lambda x, p, u: x * (u < p), lambda x, p: x * (1 - p))},
        r"<|>",
    ),
    Slip(
        "p is taken for the probability of keeping, in vanilla dropout",
        f"{KEEP} A unit is kept where u >= p.",
        {"vanilla_dropout_forward": in_training(lambda x, p, u: x * (u < p), lambda x, p: x * p)},
        r"<|\* ?p",
    ),
    Slip(
        "Vanilla dropout drops units in inference as well",
        "In inference nothing is drawn: y is x times one number for all.",
        {"vanilla_dropout_forward": lambda x, p, u, training: plain(x, p, u)},
    ),
    Slip(
        "Inference multiplies what is kept by 1 - p",
        "In inference no unit is dropped: u has no part in it.",
        {"vanilla_dropout_forward": lambda x, p, u, training: plain(x, p, u) * (1 if training else 1 - p)},
    ),
)


def wrong_crops(mode="reflect", room=1, draw=None, finish=lambda crop: crop[:, :, ::-1], before=None, own=True):
    """crop_and_flip with one thing wrong."""

    def usual(rng, pad):
        top, left = rng.integers(0, 2 * pad + room, 2) if pad or room else (0, 0)
        return top, left, rng.random() < 0.5

    def crop_and_flip(x, pad, seeds):
        (_, _, H, W), y = x.shape, np.empty_like(x)
        xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode=mode)
        common = np.random.default_rng(seeds[0])
        for n, seed in enumerate(seeds):
            rng = np.random.default_rng(seed) if own else common
            top, left, mirrored = (draw or usual)(rng, pad)
            picture = xp[n][:, :, ::-1] if before and mirrored else xp[n]
            crop = picture[:, top : top + H, left : left + W]
            y[n] = finish(crop) if mirrored and not before else crop
        return y

    return {"crop_and_flip": crop_and_flip}


def flip_first(rng, pad):
    mirrored = rng.random() < 0.5
    top, left = rng.integers(0, 2 * pad + 1, 2)
    return top, left, mirrored


def the_other_half(rng, pad):
    top, left = rng.integers(0, 2 * pad + 1, 2)
    return top, left, rng.random() >= 0.5


def left_first(rng, pad):
    left, top = rng.integers(0, 2 * pad + 1, 2)
    return top, left, rng.random() < 0.5


def one_for_both(rng, pad):
    top = rng.integers(0, 2 * pad + 1)
    return top, top, rng.random() < 0.5


def crop_with_the_first_seed(x, pad, seeds):
    return wrong_crops()["crop_and_flip"](x, pad, np.full(len(seeds), seeds[0]))


CROP_SLIPS = (
    Slip(
        "All pictures are moved by the first one's numbers",
        "Each sample has a seed, and needs a generator and draws of its own, inside the loop over the samples.",
        {"crop_and_flip": crop_with_the_first_seed},
        r"seeds\[0\]|default_rng",
    ),
    Slip(
        "All pictures share one generator",
        "What a sample gets depends on who was drawn before it. Where is the generator made, before the loop or inside?",
        wrong_crops(own=False),
        r"default_rng",
    ),
    Slip(
        "The border repeats the outermost pixels",
        "The reflection is about the outermost pixel, which stands there once: next to it comes the one before it.",
        wrong_crops(mode="edge"),
        r"edge|clip",
    ),
    Slip(
        "The reflection repeats the outermost pixel",
        "NumPy has two reflections. Of 1 2 3, which one gives 3 2 1 2 3 2 1?",
        wrong_crops(mode="symmetric"),
        r"symmetric",
    ),
    Slip(
        "The border is zeros",
        "np.pad has a `mode`.",
        wrong_crops(mode="constant"),
        r"pad\(|zeros",
    ),
    Slip(
        "The border comes from the other side of the picture",
        "That is a picture wrapped round. np.pad has another mode that reflects.",
        wrong_crops(mode="wrap"),
        r"wrap|roll",
    ),
    Slip(
        "The last place is never drawn",
        "There are 2 pad + 1 places along each axis, 0 to 2 pad. Which end does rng.integers leave out?",
        wrong_crops(room=0),
        r"integers",
    ),
    Slip(
        "The pictures are turned upside down",
        "Mirrored left-right means that the columns are turned round. Which axis of (C, H, W) is that?",
        wrong_crops(finish=lambda crop: crop[:, ::-1]),
        r"::-1|flip",
    ),
    Slip(
        "The picture is mirrored before the crop is taken",
        "First the crop, then the mirror. In the other order the window is at another place of the picture.",
        wrong_crops(before=True),
        r"::-1|flip",
    ),
    Slip(
        "The pictures are never mirrored",
        "A third number is drawn for that, after the two of the place.",
        wrong_crops(finish=lambda crop: crop),
    ),
    Slip(
        "Mirrored and not mirrored are exchanged",
        "It is mirrored where the random number is below a half.",
        wrong_crops(draw=the_other_half),
        r"random\(",
    ),
    Slip(
        "top and left are exchanged",
        "The first number belongs to the rows, the second to the columns.",
        wrong_crops(draw=left_first),
        r"integers|top|left",
    ),
    Slip(
        "top and left are the same number",
        "Both are drawn, one after the other, from one generator. Is it made anew between the two?",
        wrong_crops(draw=one_for_both),
        r"integers",
    ),
    Slip(
        "The flip is drawn before the place",
        "A generator gives its numbers in a fixed order: first two for the place, then one for the flip.",
        wrong_crops(draw=flip_first),
        r"random\(",
    ),
    Slip(
        "Crops are turned by 180 degrees, not mirrored",
        "Left and right change places; what is on top stays on top.",
        wrong_crops(finish=lambda crop: crop[:, ::-1, ::-1]),
        r"::-1",
    ),
    Slip(
        "The channels are turned round, not the columns",
        "What is the first axis of a single picture?",
        wrong_crops(finish=lambda crop: crop[::-1]),
        r"::-1",
    ),
    Slip(
        "The numbers of the samples in the batch are taken as seeds",
        "Then the changes of a picture depend on its place in the batch.",
        {"crop_and_flip": lambda x, pad, seeds: wrong_crops()["crop_and_flip"](x, pad, np.arange(len(seeds)))},
        r"range\(|enumerate",
    ),
)


def between(values, others, m):
    m = m.reshape(-1, *[1] * (values.ndim - 1))
    return m * values + (1 - m) * others


def mixed_so(pictures, targets):
    """mixup from what it does to x, and to one-hot targets q: functions (values, m, partner, y)."""
    return {
        "mixup": lambda x, y, classes, m, partner: (
            pictures(x, m, partner, y),
            targets(np.eye(classes)[y], m, partner, y),
        )
    }


def rightly(values, m, partner, y):
    return between(values, values[partner], m)


def overwritten(q, m, partner, y):
    mixed, samples = np.zeros_like(q), np.arange(len(q))
    mixed[samples, y] = m
    mixed[samples, y[partner]] = 1 - m
    return mixed


def overwritten_by_itself(q, m, partner, y):
    mixed, samples = np.zeros_like(q), np.arange(len(q))
    mixed[samples, y[partner]] = 1 - m
    mixed[samples, y] = m
    return mixed


def of_the_larger_share(q, m, partner, y):
    return np.where(m[:, None] >= 0.5, q, q[partner])


def the_other_way_round(values, m, partner, y):
    return between(values[partner], values, m)


def wrong_loss(value=None, gradient=None):
    """soft_cross_entropy with another value, or gradient, of (log p, q)."""

    def soft_cross_entropy(scores, q):
        log_p = log_softmax(scores)
        right = -(q * log_p).sum() / len(q), (np.exp(log_p) - q) / len(q)
        loss, dscores = value(log_p, q) if value else right[0], gradient(log_p, q) if gradient else right[1]
        return float(loss), dscores

    return {"soft_cross_entropy": soft_cross_entropy}


def unshifted_loss(scores, q):
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return float(-(q * np.log(p)).sum() / len(q)), (p - q) / len(q)


def log_of_p(scores, q):
    p = softmax(scores)
    return float(-(q * np.log(p)).sum() / len(q)), (p - q) / len(q)


def hard(q):
    return np.eye(q.shape[1])[q.argmax(axis=1)]


MIX_SLIPS = (
    Slip(
        "m and 1 - m are exchanged",
        "m is the sample's own share, 1 - m its partner's.",
        mixed_so(the_other_way_round, the_other_way_round),
        r"1 ?- ?",
    ),
    Slip(
        "Pictures and targets are mixed with shares the other way round from each other",
        "Where a picture is for the most part sample n, so is its target.",
        mixed_so(rightly, the_other_way_round),
        r"1 ?- ?",
    ),
    Slip(
        "Targets are not mixed",
        "A picture that is two thirds a cat and one third a dog has a target that says so.",
        mixed_so(rightly, lambda q, m, partner, y: q),
    ),
    Slip(
        "Targets are those of the larger share",
        "The target is soft: both classes are in it, each with its share.",
        mixed_so(rightly, of_the_larger_share),
        r"where|argmax|>|<",
    ),
    Slip(
        "Where both are of one class, the second share overwrites the first",
        "Both shares belong to that class then, and add up to 1. Is it = or +=?",
        mixed_so(rightly, overwritten),
        r"\] ?=",
    ),
    Slip(
        "Where both are of one class, the partner's share is overwritten",
        "Both shares belong to that class then, and add up to 1. Is it = or +=?",
        mixed_so(rightly, overwritten_by_itself),
        r"\] ?=",
    ),
    Slip(
        "All samples are mixed with the share of the first",
        "m has a number for each sample; give it axes so that it goes with the first one of x.",
        mixed_so(
            lambda x, m, partner, y: between(x, x[partner], np.full_like(m, m[0])),
            lambda q, m, partner, y: between(q, q[partner], np.full_like(m, m[0])),
        ),
        r"m\[0\]",
    ),
    Slip(
        "All samples are mixed half and half",
        "m says how much of each there is.",
        mixed_so(
            lambda x, m, partner, y: (x + x[partner]) / 2,
            lambda q, m, partner, y: (q + q[partner]) / 2,
        ),
        r"/ ?2|0\.5",
    ),
    Slip(
        "Samples are mixed with the one whose partner they are",
        "Sample n is mixed with sample partner[n], not with the n' for which partner[n'] = n.",
        mixed_so(
            lambda x, m, partner, y: between(x, x[np.argsort(partner)], m),
            lambda q, m, partner, y: between(q, q[np.argsort(partner)], m),
        ),
        r"partner",
    ),
    Slip(
        "Samples are mixed with the batch turned round",
        "The partners are given: x[partner] has them in their order.",
        mixed_so(lambda x, m, partner, y: between(x, x[::-1], m), lambda q, m, partner, y: between(q, q[::-1], m)),
        r"::-1",
    ),
    Slip(
        "Nothing is mixed",
        "x'[n] is a share of sample n and a share of its partner; so is its target.",
        mixed_so(lambda x, m, partner, y: x.copy(), lambda q, m, partner, y: q),
    ),
)
LOSS_SLIPS = (
    Slip(
        "Loss and gradient are sums over the samples",
        "Both are means: divide by N.",
        wrong_loss(lambda log_p, q: -(q * log_p).sum(), lambda log_p, q: np.exp(log_p) - q),
        r"sum",
    ),
    Slip(
        "The loss is a sum over the samples",
        "The gradient is that of a mean. Divide the loss by N as well.",
        wrong_loss(lambda log_p, q: -(q * log_p).sum()),
        r"sum",
    ),
    Slip(
        "The gradient is not divided by N",
        "The loss is a mean over N samples: each of them has only an N-th of the say.",
        wrong_loss(None, lambda log_p, q: np.exp(log_p) - q),
    ),
    Slip(
        "The loss is divided by N K",
        "There is one loss a sample, the sum over its classes. Which mean() is that, and which sum()?",
        wrong_loss(lambda log_p, q: -(q * log_p).mean()),
        r"mean",
    ),
    Slip(
        "Loss and gradient are divided by N K",
        "There is one loss a sample, the sum over its classes. Which mean() is that, and which sum()?",
        wrong_loss(lambda log_p, q: -(q * log_p).mean(), lambda log_p, q: (np.exp(log_p) - q) / q.size),
        r"mean|size",
    ),
    Slip(
        "The minus sign of the loss is missing",
        "Logarithms of probabilities are negative; a loss is not.",
        wrong_loss(lambda log_p, q: (q * log_p).sum() / len(q)),
    ),
    Slip(
        "The gradient has the wrong sign",
        "If p is larger than q, should that score go up or down? The optimiser subtracts what you return.",
        wrong_loss(None, lambda log_p, q: (q - np.exp(log_p)) / len(q)),
        r"- ?",
    ),
    Slip(
        "Targets are taken for classes, by their largest probability",
        "The targets stay soft: every class counts with its own q.",
        wrong_loss(lambda log_p, q: -(hard(q) * log_p).sum() / len(q), lambda log_p, q: (np.exp(log_p) - hard(q)) / len(q)),
        r"argmax",
    ),
    Slip(
        "p and q are exchanged in the loss",
        "The logarithm is that of what the network says, weighted by what is right.",
        wrong_loss(lambda log_p, q: -(np.exp(log_p) * np.log(q)).sum() / len(q)),
        r"log",
    ),
    Slip(
        "The entropy of the targets is subtracted",
        "That is the Kullback-Leibler divergence: the same gradient, but the loss asked for is the cross-entropy.",
        wrong_loss(lambda log_p, q: (q * (np.log(q) - log_p)).sum() / len(q)),
        r"log",
    ),
    Slip(
        "Scores of 1000 overflow",
        "exp(1000) is infinite. What can be subtracted from all scores of a row without any change to p?",
        {"soft_cross_entropy": unshifted_loss},
        r"exp",
    ),
    Slip(
        "The logarithm of a p that is 0 is taken",
        "p underflows to 0 for scores far below the largest. log p = (shifted score) - log(sum of exponentials) does not.",
        {"soft_cross_entropy": log_of_p},
        r"log",
    ),
    Slip(
        "The logarithm has base 2",
        "Then dscores is no longer (p - q) / N. Which logarithm is the inverse of exp?",
        wrong_loss(value=lambda log_p, q: -(q * log_p).sum() / len(q) / np.log(2)),
        r"log2",
    ),
    Slip(
        "It is the gradient with respect to the probabilities, not to the scores",
        "-q / p has to go through the softmax as well. What is left is shorter than either.",
        wrong_loss(gradient=lambda log_p, q: -q / np.exp(log_p) / len(q)),
        r"/ ?p",
    ),
)


def average_with(d_of):
    """update_average with another d."""

    def update_average(average, w, decay, t):
        d = d_of(decay, t)
        return d * average + (1 - d) * w

    return {"update_average": update_average}


def usual_d(decay, t):
    return min(decay, t / (t + 10))


def shares_with(function):
    """shares_in_average from the d of all steps, d[0] that of the first one."""
    return {"shares_in_average": lambda decay, steps: function(np.array([usual_d(decay, t) for t in range(1, steps + 1)]))}


def right_shares(d):
    shares = np.ones(1)
    for d_t in d:
        shares = np.append(d_t * shares, 1 - d_t)
    return shares


def shares_of_constant_decay(decay, steps):
    return right_shares(np.full(steps, decay))


AVERAGE_SLIPS = (
    Slip(
        "d and 1 - d are exchanged",
        "Late in training d is 0.99 or so. Most of what should stay then, the average or the newest weights?",
        average_with(lambda decay, t: 1 - usual_d(decay, t)),
        r"1 ?-",
    ),
    Slip(
        "The decay is the same from the first step on",
        "Then the weights from before training stay in the average for long. How large is d_1?",
        average_with(lambda decay, t: decay),
    ),
    Slip(
        "It is the larger of the two, not the smaller",
        "d_t begins near 0, and grows until it is decay.",
        average_with(lambda decay, t: max(decay, t / (t + 10))),
        r"max",
    ),
    Slip(
        "d is t / (t + 10), without a limit",
        "It would come ever nearer to 1, and new weights would count for less and less. Where does decay come in?",
        average_with(lambda decay, t: t / (t + 10)),
    ),
    Slip(
        "d is (1 + t) / (10 + t)",
        "That is TensorFlow's rule. Here it is t / (t + 10).",
        average_with(lambda decay, t: min(decay, (1 + t) / (10 + t))),
        r"1 ?\+ ?t|t ?\+ ?1",
    ),
    Slip(
        "Steps are counted from 0",
        "The first step has t = 1, and that is what you are given.",
        average_with(lambda decay, t: min(decay, (t - 1) / (t + 9))),
        r"t ?- ?1|t ?\+ ?9",
    ),
    Slip(
        "It is the plain mean of all weights",
        "There the first weights count as much as the last. An exponential average forgets.",
        average_with(lambda decay, t: (t - 1) / t),
        r"/ ?t",
    ),
    Slip(
        "The new weights are added with their full size",
        "The two shares must be 1 together, or the average grows from step to step.",
        {"update_average": lambda average, w, decay, t: usual_d(decay, t) * average + w},
    ),
    Slip(
        "d_t is always one half",
        "d_t depends on decay and on t.",
        average_with(lambda decay, t: 0.5),
        r"/ ?2|0\.5",
    ),
    Slip(
        "The average is the new weights alone",
        "What became of the old average?",
        average_with(lambda decay, t: 0.0),
    ),
)
SHARE_SLIPS = (
    Slip(
        "The weights from before training have no share",
        "a_0 is in every average, multiplied by all d. That is shares[0], and there are steps + 1 of them.",
        shares_with(lambda d: right_shares(d)[1:]),
    ),
    Slip(
        "The shares are in the order of the newest first",
        "shares[t] belongs to step t: the newest weights come last.",
        shares_with(lambda d: right_shares(d)[::-1].copy()),
        r"::-1|insert|append",
    ),
    Slip(
        "The decay is the same in all steps, in the shares",
        "Each step has a d_t of its own. In the first ones it is small.",
        {"shares_in_average": shares_of_constant_decay},
    ),
    Slip(
        "A step's share is multiplied by its own d as well",
        "The weights of step t come in with 1 - d_t. After that, which d are they multiplied by: from d_t on, or from d_(t+1)?",
        shares_with(lambda d: np.array([np.prod(d), *((1 - d[t]) * np.prod(d[t:]) for t in range(len(d)))])),
    ),
    Slip(
        "A step's share is multiplied by the d of the steps before it",
        "What comes before step t cannot make its weights smaller. What comes after it does.",
        shares_with(lambda d: np.array([np.prod(d), *((1 - d[t]) * np.prod(d[:t]) for t in range(len(d)))])),
    ),
    Slip(
        "Steps do not fade",
        "1 - d_t is a step's share when it comes in. Each later step multiplies it by its d, as it does all of the average.",
        shares_with(lambda d: np.array([np.prod(d), *(1 - d)])),
    ),
    Slip(
        "d_t is raised to the power of the steps since",
        "The d of later steps differ from d_t: a product of them, and not a power of one.",
        shares_with(lambda d: np.array([np.prod(d), *((1 - d[t]) * d[t] ** (len(d) - 1 - t) for t in range(len(d)))])),
        r"\*\*|power",
    ),
    Slip(
        "The weights from before training have a share of 1 - the others' products",
        "shares[0] is the product of all d: what is left of a_0 after every step took its part.",
        shares_with(lambda d: np.array([1 - np.prod(d), *right_shares(d)[1:]])),
        r"1 ?-",
    ),
    Slip(
        "All weights have equal shares",
        "That is the plain mean. Weights from long ago count less here: by what, in each step?",
        shares_with(lambda d: np.full(len(d) + 1, 1 / (len(d) + 1))),
    ),
)


def unshifted_softmax(scores):
    p = np.exp(scores)
    return p / p.sum(axis=-1, keepdims=True)


def softmax_shifted_by_the_largest_of_all(scores):
    p = np.exp(scores - scores.max())
    return p / p.sum(axis=-1, keepdims=True)


def along(scores, axis):
    return np.moveaxis(softmax(np.moveaxis(scores, axis, -1)), -1, axis)


def votes(scores):
    return np.eye(scores.shape[2])[scores.argmax(axis=2)].mean(axis=0)


def geometric_mean(scores):
    return np.exp(log_softmax(scores).mean(axis=0))


def of_probabilities(function):
    return {"mean_of_probabilities": function}


def of_scores(function):
    return {"mean_of_scores": function}


ENSEMBLE_SLIPS = (
    Slip(
        "Scores are averaged where probabilities should be",
        "First each model's softmax, then the mean. The other order is the other function.",
        of_probabilities(lambda scores: softmax(scores.mean(axis=0))),
        r"mean",
    ),
    Slip(
        "Softmax runs over the models",
        "A model's probabilities for one sample sum to 1 over the classes, the last axis.",
        of_probabilities(lambda scores: along(scores, 0).mean(axis=0)),
        r"axis ?= ?0",
    ),
    Slip(
        "Softmax runs over the samples",
        "A model's probabilities for one sample sum to 1 over the classes, the last axis.",
        of_probabilities(lambda scores: along(scores, 1).mean(axis=0)),
        r"axis ?= ?1",
    ),
    Slip(
        "Softmax runs over all numbers of a model together",
        "A model's probabilities sum to 1 for each sample.",
        of_probabilities(lambda scores: softmax(scores.reshape(len(scores), -1)).reshape(scores.shape).mean(axis=0)),
        r"sum\(",
    ),
    Slip(
        "The mean runs over the samples",
        "Models are counted by the first axis; every sample keeps its own answer.",
        of_probabilities(lambda scores: softmax(scores).mean(axis=1)),
        r"mean\(",
    ),
    Slip(
        "The probabilities are added up",
        "The result is probabilities again: each row must sum to 1.",
        of_probabilities(lambda scores: softmax(scores).sum(axis=0)),
        r"sum\(",
    ),
    Slip(
        "The models vote",
        "A vote forgets how sure a model was. Average the probabilities themselves.",
        of_probabilities(votes),
        r"argmax",
    ),
    Slip(
        "The probabilities are multiplied",
        "That is a geometric mean. The arithmetic one adds them up and divides by M.",
        of_probabilities(geometric_mean),
        r"prod|log",
    ),
    Slip(
        "Only the first model is asked",
        "Every model has a say, scores[0] to scores[M - 1].",
        of_probabilities(lambda scores: softmax(scores[0])),
        r"\[0\]",
    ),
    Slip(
        "Scores of 1000 overflow, in the mean of probabilities",
        "Subtract the largest score first; it changes nothing in the probabilities.",
        of_probabilities(lambda scores: unshifted_softmax(scores).mean(axis=0)),
        r"exp",
    ),
    Slip(
        "The largest score of all is subtracted everywhere",
        "A model whose scores lie far below it is left with exp(-1000) = 0 only. Each row has a largest score of its own.",
        of_probabilities(lambda scores: softmax_shifted_by_the_largest_of_all(scores).mean(axis=0)),
        r"max\(",
    ),
    Slip(
        "Probabilities are averaged where scores should be",
        "Here the mean comes first, and then one softmax.",
        of_scores(lambda scores: softmax(scores).mean(axis=0)),
        r"mean",
    ),
    Slip(
        "The softmax of the mean score is missing",
        "Scores are not probabilities: they may be negative, and their sum is not 1.",
        of_scores(lambda scores: scores.mean(axis=0)),
        r"mean",
    ),
    Slip(
        "The scores are added up, not averaged",
        "The sum is M times the mean, and softmax makes that much surer of itself.",
        of_scores(lambda scores: softmax(scores.sum(axis=0))),
        r"sum\(",
    ),
    Slip(
        "The geometric mean is not divided by its sum",
        "The products of probabilities no longer sum to 1 over the classes.",
        of_scores(geometric_mean),
        r"prod|log|\*\*",
    ),
    Slip(
        "Softmax is taken a second time, of probabilities",
        "Average the scores as they are. Softmax of probabilities, all between 0 and 1, makes them nearly equal.",
        of_scores(lambda scores: softmax(softmax(scores).mean(axis=0))),
        r"softmax",
    ),
    Slip(
        "Softmax of the mean score runs over the samples",
        "After the mean over models there are two axes left, (N, K). Which counts the classes?",
        of_scores(lambda scores: along(scores.mean(axis=0), 0)),
        r"axis ?= ?0",
    ),
    Slip(
        "Scores of 1000 overflow, in the mean of scores",
        "Subtract the largest score first; it changes nothing in the probabilities.",
        of_scores(lambda scores: unshifted_softmax(scores.mean(axis=0))),
        r"exp",
    ),
    Slip(
        "The largest probability of the models is taken, not the mean",
        "Then the probabilities do not sum to 1.",
        of_probabilities(lambda scores: softmax(scores).max(axis=0)),
        r"max\(",
    ),
    Slip(
        "The median of the scores is taken, not the mean",
        "Add up, and divide by the number of models.",
        of_scores(lambda scores: softmax(np.median(scores, axis=0))),
        r"median",
    ),
    Slip(
        "Only the last model is asked",
        "All M of them have a say.",
        of_probabilities(lambda scores: softmax(scores[-1])),
        r"\[-1\]",
    ),
)
