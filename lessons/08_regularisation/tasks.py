"""Lesson 8: what its exercise is checked for, offline, with new numbers and shapes each time.

The numbers differ from run to run; the cases do not. What could be mistaken for each other is different in all of them: p is
never 1/2, no two sizes are equal, partners are not partners of each other.
"""

from pathlib import Path

import numpy as np

from minicnn.course import Mistake, Slip, Student, Task
from minicnn.course.expect import expect_array, expect_close, expect_gradients, expect_number, expect_several
from minicnn.gradcheck import check_function
from minicnn.layers import Dropout, Linear, Parameter, ReLU, Sequential
from minicnn.losses import SoftmaxCrossEntropy, log_softmax, softmax
from minicnn.regularizers import ElasticNet, MaxNorm
from minicnn.training.averaging import WeightAverage


def in_body(pattern: str) -> str:
    """The pattern in a line that is not part of a function's signature, where names and arrows would be found first."""
    return rf"^(?!.*(\bdef\b|->|np\.ndarray)).*(?:{pattern})"


# ---- Task 1: penalties


def penalties(student: Student, rng: np.random.Generator) -> None:
    for shape in ((5,), (3, 4), (2, 3, 2, 4)):
        lambda1, lambda2 = rng.uniform(0.1, 0.4), rng.uniform(0.6, 0.9)
        for strengths in ((0.0, lambda2), (lambda1, 0.0), (lambda1, lambda2)):
            penalty(student, rng, away_from_zero(rng, shape), *strengths)
    w = away_from_zero(rng, (3, 4))
    w[0, 3] = w[2, 1] = 0
    with np.errstate(all="ignore"):
        value, gradient = expect_several("elastic_net", student.elastic_net(w, lambda1, lambda2), "R, dw")
    at_zero = np.asarray(gradient)[w == 0]
    if not (at_zero == 0).all():
        raise Mistake(f"where a weight is exactly 0 the derivative of |w| is 0 by our rule, and so is dw; got {at_zero[0]:.4g}")
    expected = engine_penalty(w, lambda1, lambda2)
    expect_close("R (some weights are 0)", expect_number("R", value), np.float64(expected[0]))
    expect_close("dw (some weights are 0)", gradient, expected[1])


def away_from_zero(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Weights of both signs, none near the kink."""
    signs = rng.permutation(np.resize([1, -1], np.prod(shape))).reshape(shape)
    return signs * rng.uniform(0.2, 2, shape)


def engine_penalty(w: np.ndarray, lambda1: float, lambda2: float) -> tuple[float, np.ndarray]:
    parameter = Parameter(w.copy())
    parameter.grad = np.zeros_like(w)
    regularizer = ElasticNet({"w": parameter}, lambda1, lambda2)
    regularizer.add_gradients()
    return regularizer.value(), parameter.grad


def penalty(student: Student, rng: np.random.Generator, w: np.ndarray, lambda1: float, lambda2: float) -> None:
    subject = f"elastic_net (w {w.shape}, lambda1 {lambda1:.3g}, lambda2 {lambda2:.3g})"
    value, gradient = engine_penalty(w, lambda1, lambda2)
    got = expect_several("elastic_net", student.elastic_net(w, lambda1, lambda2), "R, dw")
    expect_close(f"R of {subject}", expect_number("R", got[0]), np.float64(value))
    expect_array(f"dw of {subject}", got[1], w.shape)

    def forward(w: np.ndarray) -> np.ndarray:
        return np.asarray(lambda1 * np.abs(w).sum() + lambda2 / 2 * (w * w).sum())

    def backward(dy: np.ndarray) -> dict:
        return {"w": dy * student.elastic_net(w, lambda1, lambda2)[1]}

    expect_gradients(
        subject, got[1:], {"dw": gradient}, lambda: check_function(forward, backward, {"w": w}, subject=subject, rng=rng)
    )


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
        in_body(r"\*\* ?2|square|w \* w"),
    ),
    Slip(
        "The half is missing in R",
        "dw is right. Differentiate your R with respect to a single weight, and compare.",
        wrong_penalty(lambda w, a, b: a * np.abs(w).sum() + b * (w * w).sum(), right_gradient),
        in_body(r"\*\* ?2|square|w \* w"),
    ),
    Slip(
        "The part of L2 in dw has a factor 2 too much",
        "R is right. What does its half do when w^2 is differentiated?",
        wrong_penalty(right_value, lambda w, a, b: a * np.sign(w) + 2 * b * w),
        in_body(r"2 ?\*"),
    ),
    Slip(
        "R is a mean over the weights",
        "A penalty is a sum over all weights. Only the loss of the data is a mean, and that is over samples.",
        wrong_penalty(lambda w, a, b: a * np.abs(w).mean() + b / 2 * (w * w).mean(), right_gradient),
        in_body(r"mean"),
    ),
    Slip(
        "R and dw are divided by the number of weights",
        "A penalty is a sum over all weights. Only the loss of the data is a mean, and that is over samples.",
        wrong_penalty(lambda w, a, b: right_value(w, a, b) / w.size, lambda w, a, b: right_gradient(w, a, b) / w.size),
        in_body(r"size|len\(|mean"),
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
        in_body(r"sum\("),
    ),
    Slip(
        "L2 takes the length of w, not its square",
        "There is no root in R: the squares are added up, and that is all.",
        wrong_penalty(lambda w, a, b: a * np.abs(w).sum() + b / 2 * np.sqrt((w * w).sum()), right_gradient),
        in_body(r"norm|sqrt"),
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
        in_body(r"-"),
    ),
    Slip(
        "dw has |w| where its derivative belongs",
        "What is the slope of |w| for a positive w, and for a negative one?",
        wrong_penalty(right_value, lambda w, a, b: a * np.abs(w) + b * w),
        in_body(r"abs"),
    ),
    Slip(
        "dw is NaN where a weight is 0",
        "w / |w| is 0 / 0 there. Is there a function that gives the sign of a number, and 0 of 0?",
        wrong_penalty(right_value, lambda w, a, b: a * w / np.abs(w) + b * w),
        in_body(r"/"),
    ),
    Slip(
        "The derivative of |w| is taken for 1 where a weight is 0",
        "Weights that have come to 0 would be pushed away from it again. Three cases: above 0, below, and at 0.",
        wrong_penalty(right_value, lambda w, a, b: a * np.where(w >= 0, 1.0, -1.0) + b * w),
        in_body(r">=|<"),
    ),
    Slip(
        "The derivative of |w| is taken for -1 where a weight is 0",
        "Weights that have come to 0 would be pushed away from it again. Three cases: above 0, below, and at 0.",
        wrong_penalty(right_value, lambda w, a, b: a * np.where(w > 0, 1.0, -1.0) + b * w),
        in_body(r">"),
    ),
)

# ---- Task 2: max norm


def projections(student: Student, rng: np.random.Generator) -> None:
    for shape in ((6, 5), (4, 3, 2, 5), (5, 1), (1, 7), (7, 2, 3)):
        w, c = units(rng, shape)
        project(student, w, c, f"w {shape}, c {c:.3g}")
    w, c = units(rng, (4, 3))
    w[2] = 0
    with np.errstate(all="ignore"):
        project(student, w, c, "one unit's weights are all 0")


def units(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """Weights of units of which some are longer than c and some shorter, and c; the squares of their lengths are all longer."""
    c = rng.uniform(2, 3)
    factors = rng.permutation(np.resize([1, 0, 1], shape[0])) * rng.uniform(0.8, 2, shape[0]) + rng.uniform(
        0.75, 0.95, shape[0]
    )
    rows = rng.standard_normal((shape[0], int(np.prod(shape[1:]))))
    rows *= (c * factors / np.sqrt((rows * rows).sum(axis=1)))[:, None]
    return rows.reshape(shape), c


def project(student: Student, w: np.ndarray, c: float, title: str) -> None:
    parameter = Parameter(w.copy())
    MaxNorm({"w": parameter}, c).apply()
    got = expect_array(f"max_norm ({title})", student.max_norm(w, c), w.shape)
    rows, right = got.reshape(len(w), -1), parameter.value.reshape(len(w), -1)
    for f in range(len(w)):
        if not np.allclose(rows[f], right[f], rtol=1e-6, atol=1e-9):
            before, after, wanted = (np.sqrt((r[f] ** 2).sum()) for r in (w.reshape(len(w), -1), rows, right))
            raise Mistake(
                f"max_norm ({title}): the weights of unit {f} have length {before:.4f} and c is {c:.4f}; they must have length "
                f"{wanted:.4f} afterwards and keep their direction, got length {after:.4f}"
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
        in_body(r"norm\(w\)|sum\(\)"),
    ),
    Slip(
        "Lengths are taken along the first axis, across the units",
        "The first axis counts the units. The weights of one of them are w[f]: which axes does that have?",
        scaled_by_lengths(lambda w: np.sqrt((w * w).sum(axis=0, keepdims=True))),
        in_body(r"axis ?= ?0"),
    ),
    Slip(
        "Each channel of a filter is scaled by itself",
        "A unit's weights are those of all its inputs: channels, rows and columns together.",
        scaled_by_lengths(lambda w: np.sqrt((w * w).sum(axis=tuple(range(min(2, w.ndim - 1), w.ndim)), keepdims=True))),
        in_body(r"axis"),
    ),
    Slip(
        "Lengths are taken along axis 1 alone",
        "That is right for a fully connected layer. What of the axes behind it, in a convolution?",
        scaled_by_lengths(lambda w: np.sqrt((w * w).sum(axis=1, keepdims=True))),
        in_body(r"axis ?= ?1"),
    ),
    Slip(
        "Lengths are taken along the last axis alone",
        "That is right for a fully connected layer. What of the other axes, in a convolution?",
        scaled_by_lengths(lambda w: np.sqrt((w * w).sum(axis=-1, keepdims=True))),
        in_body(r"axis ?= ?-1"),
    ),
    Slip(
        "All units are scaled to length c, the short ones as well",
        "The constraint is that no unit is longer than c. What should happen to one that keeps to it?",
        scaled_by_lengths(unit_lengths, lambda lengths, c: c / lengths),
        in_body(r"/"),
    ),
    Slip(
        "Short units are stretched to c, and long ones left",
        "It is the other way round. Write down the factor for a unit of length 2 c, and for one of length c / 2.",
        scaled_by_lengths(unit_lengths, lambda lengths, c: c / np.minimum(lengths, c)),
        in_body(r"min|<|max|>"),
    ),
    Slip(
        "Every weight is clipped by itself",
        "That turns the vector of weights another way. The constraint is on its length, and keeps its direction.",
        wrong_projection(lambda w, c: np.clip(w, -c, c)),
        in_body(r"clip|minimum|where"),
    ),
    Slip(
        "The root is missing in the length",
        "The sum of squares is the square of the length; c is a length.",
        scaled_by_lengths(lambda w: unit_lengths(w) ** 2),
        in_body(r"sum|square|\*\*"),
    ),
    Slip(
        "Long units are divided by the square of their length",
        "c / |w[f]| has a length in the denominator, not its square.",
        scaled_by_lengths(unit_lengths, lambda lengths, c: np.where(lengths > c, c / lengths**2, 1.0)),
        in_body(r"/"),
    ),
    Slip(
        "Long units are scaled to length 1",
        "Their new length is c: with c / |w[f]| as the factor, what is |w[f]| times that?",
        scaled_by_lengths(unit_lengths, lambda lengths, c: np.where(lengths > c, 1 / lengths, 1.0)),
        in_body(r"/"),
    ),
    Slip(
        "The length is the sum of |w|",
        "Max norm is meant in the Euclidean sense: the root of the sum of squares.",
        scaled_by_lengths(lambda w: np.abs(w).sum(axis=tuple(range(1, w.ndim)), keepdims=True)),
        in_body(r"abs|ord"),
    ),
    Slip(
        "A unit whose weights are all 0 becomes NaN",
        "Its length is 0. Do you divide by that anywhere?",
        scaled_by_lengths(unit_lengths, lambda lengths, c: np.minimum(lengths, c) / lengths),
        in_body(r"/"),
    ),
)

# ---- Task 3: dropout


def dropouts(student: Student, rng: np.random.Generator) -> None:
    cases = [dropout_case(rng, (6, 5)), dropout_case(rng, (3, 2, 4, 5))]
    x, p, u = dropout_case(rng, (5, 4))
    u.flat[0] = 0.0
    cases.append((x, 0.0, u))  # nothing is dropped, not even where u is 0
    for x, p, u in cases:
        got = [(training, student.dropout_forward(x, p, u, training)) for training in (True, False)]  # both tell what it is
        for training, y in got:
            expect_close(f"y {in_words(x, p, training)}", y, expected_dropout(x, p, u, training))
    for x, p, u in cases:
        for training in (True, False):
            dropout_gradient(student, rng, x, p, u, training)
    for x, p, u in cases:
        got = [(training, student.vanilla_dropout_forward(x, p, u, training)) for training in (True, False)]
        for training, y in got:
            expect_close(f"vanilla y {in_words(x, p, training)}", y, x * (u >= p) if training else (1 - p) * x)


def dropout_case(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, float, np.ndarray]:
    """x, p and u: some units are kept and some dropped in every sample, and one has u = p exactly, which keeps it."""
    p = float(rng.choice([0.2, 0.3, 0.7, 0.8]))
    while True:
        u = rng.random(shape)
        kept = (u >= p).reshape(len(u), -1)
        if kept.any(axis=1).all() and not kept.all(axis=1).any() and not (kept == kept[0]).all():
            break
    x = rng.choice([-1, 1], shape) * rng.uniform(0.2, 2, shape)
    u.flat[kept.argmax()] = p
    return x, p, u


def expected_dropout(x: np.ndarray, p: float, u: np.ndarray, training: bool) -> np.ndarray:
    return np.where(u < p, 0.0, x / (1 - p)) if training else x


def in_words(x: np.ndarray, p: float, training: bool) -> str:
    return f"in {'training' if training else 'inference'} (x {x.shape}, p {p:g})"


def dropout_gradient(
    student: Student, rng: np.random.Generator, x: np.ndarray, p: float, u: np.ndarray, training: bool
) -> None:
    subject, dy = f"dropout_backward {in_words(x, p, training)}", rng.standard_normal(x.shape)
    dx = expected_dropout(dy, p, u, training)
    got = expect_array(f"dx of {subject}", student.dropout_backward(dy, p, u, training), x.shape)

    def forward(x: np.ndarray) -> np.ndarray:
        return expected_dropout(x, p, u, training) + 0.0

    def backward(dy: np.ndarray) -> dict:
        return {"x": student.dropout_backward(dy, p, u, training)}

    expect_gradients(subject, [got], {"dx": dx}, lambda: check_function(forward, backward, {"x": x}, subject=subject, rng=rng))


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
        in_body(r"<|/ ?p"),
    ),
    Slip(
        "Units are kept where they should be dropped",
        f"{KEEP} A unit is kept where u >= p.",
        {"dropout_forward": in_training(lambda x, p, u: x * (u < p) / (1 - p))},
        in_body(r"<|>"),
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
        in_body(r"/ ?p"),
    ),
    Slip(
        "What is kept is multiplied by 1 - p",
        "Units are missing in training; what is left must become larger, not smaller.",
        {"dropout_forward": in_training(lambda x, p, u: x * (u >= p) * (1 - p))},
        in_body(r"1 ?- ?p"),
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
        in_body(r"1 ?- ?p"),
    ),
    Slip(
        "y is scaled up in inference as well",
        "What is dropped in inference, that the others would have to make up for?",
        {"dropout_forward": in_training(inverted, lambda x, p: x / (1 - p))},
        in_body(r"1 ?- ?p"),
    ),
    Slip(
        "Training and inference are exchanged",
        "Noise belongs to training; in inference y = x.",
        {"dropout_forward": lambda x, p, u, training: x.copy() if training else inverted(x, p, u)},
        in_body(r"training"),
    ),
    Slip(
        "A unit whose u is just p is dropped",
        "u comes from [0, 1), 0 included. With p = 0 nothing may be dropped: is it `>` or `>=`?",
        {"dropout_forward": in_training(lambda x, p, u: x * (u > p) / (1 - p))},
        in_body(r">|<="),
    ),
    Slip(
        "All samples have the mask of the first one",
        "u has a number for each unit of each sample: every sample sees a thinned network of its own.",
        {"dropout_forward": in_training(lambda x, p, u: x * (u[:1] >= p) / (1 - p))},
        in_body(r"u\["),
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
        in_body(r"1 ?- ?p"),
    ),
    Slip(
        "dx has its mask the wrong way round",
        "The units that let x through let dy through, and no others.",
        {"dropout_backward": in_training(lambda dy, p, u: dy * (u < p) / (1 - p))},
        in_body(r"<|>"),
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
        in_body(r"1 ?- ?p"),
    ),
)
VANILLA_SLIPS = (
    Slip(
        "Inference multiplies by the probability of dropping",
        "So it stands in one of our sources, wrongly. A unit is there with probability 1 - p: what is the mean of y?",
        {"vanilla_dropout_forward": in_training(plain, lambda x, p: x * p)},
        in_body(r"\* ?p|p ?\*"),
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
        in_body(r"1 ?- ?p"),
    ),
    Slip(
        "It is scaled in training and in inference",
        "One of the two is enough: the vanilla form scales in inference.",
        {"vanilla_dropout_forward": in_training(inverted, lambda x, p: x * (1 - p))},
        in_body(r"1 ?- ?p"),
    ),
    Slip(
        "Inference divides by 1 - p",
        "Fewer units in training than in inference: must y in inference become smaller or larger, to match?",
        {"vanilla_dropout_forward": in_training(plain, lambda x, p: x / (1 - p))},
        in_body(r"/"),
    ),
    Slip(
        "Vanilla dropout keeps the wrong units",
        f"{KEEP} A unit is kept where u >= p.",
        {"vanilla_dropout_forward": in_training(lambda x, p, u: x * (u < p), lambda x, p: x * (1 - p))},
        in_body(r"<|>"),
    ),
    Slip(
        "p is taken for the probability of keeping, in vanilla dropout",
        f"{KEEP} A unit is kept where u >= p.",
        {"vanilla_dropout_forward": in_training(lambda x, p, u: x * (u < p), lambda x, p: x * p)},
        in_body(r"<|\* ?p"),
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

# ---- Task 4: crops and flips


def crops(student: Student, rng: np.random.Generator) -> None:
    for shape, pad in (((7, 3, 6, 7), 2), ((6, 1, 8, 5), 3), ((5, 2, 4, 6), 0), ((6, 2, 6, 5), 1)):
        x, seeds = rng.standard_normal(shape), telling_seeds(rng, shape[0], pad)
        y = moved(x, pad, seeds)
        got = student.crop_and_flip(x, pad, seeds)
        crop_by_crop(got, y, x, pad, seeds)
    alone = student.crop_and_flip(x[2:3], pad, seeds[2:3])
    expect_close("y of a sample in a batch of its own", alone, y[2:3])


def telling_seeds(rng: np.random.Generator, n: int, pad: int) -> np.ndarray:
    """Seeds that mirror some pictures and not others, move some down and right, and some up and left."""
    while True:
        seeds = rng.integers(0, 2**31, n)
        top, left, mirrored = np.transpose([draws(seed, pad) for seed in seeds])
        if mirrored[0] and 0 < mirrored[1:].sum() < n - 1:
            uneven = (top != left).sum() >= 2 and (top > pad).any() and (top < pad).any() and (left == 2 * pad).any()
            if pad == 0 or uneven:
                return seeds


def draws(seed: int, pad: int) -> tuple[int, int, bool]:
    rng = np.random.default_rng(seed)
    top, left = rng.integers(0, 2 * pad + 1, 2)
    return int(top), int(left), bool(rng.random() < 0.5)


def moved(x: np.ndarray, pad: int, seeds: np.ndarray) -> np.ndarray:
    """By the definition, pixel by pixel: where each one comes from."""
    N, _, H, W = x.shape
    y = np.empty_like(x)
    for n in range(N):
        top, left, mirrored = draws(seeds[n], pad)
        for i in range(H):
            for j in range(W):
                row, column = reflected(i + top - pad, H), reflected((W - 1 - j if mirrored else j) + left - pad, W)
                y[n, :, i, j] = x[n, :, row, column]
    return y


def reflected(i: int, size: int) -> int:
    """The row or column that one outside the picture is the mirror image of."""
    return size - 1 - abs(size - 1 - abs(i))


def crop_by_crop(got: np.ndarray, y: np.ndarray, x: np.ndarray, pad: int, seeds: np.ndarray) -> None:
    got = expect_array(f"y (x {x.shape}, pad {pad})", got, y.shape)
    for n in range(len(y)):
        if not np.allclose(got[n], y[n]):
            top, left, mirrored = draws(seeds[n], pad)
            at = tuple(int(i) for i in np.argwhere(~np.isclose(got[n], y[n]))[0])
            raise Mistake(
                f"y[{n}] is wrong (x {x.shape}, pad {pad}): its seed {seeds[n]} gives top {top}, left {left}, "
                f"{'mirrored' if mirrored else 'not mirrored'}; the first wrong pixel is y[{n}, {', '.join(map(str, at))}] = "
                f"{got[n][at]:.4g}, expected {y[n][at]:.4g}"
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
        in_body(r"seeds\[0\]|default_rng"),
    ),
    Slip(
        "All pictures share one generator",
        "What a sample gets depends on who was drawn before it. Where is the generator made, before the loop or inside?",
        wrong_crops(own=False),
        in_body(r"default_rng"),
    ),
    Slip(
        "The border repeats the outermost pixels",
        "The reflection is about the outermost pixel, which stands there once: next to it comes the one before it.",
        wrong_crops(mode="edge"),
        in_body(r"edge|clip"),
    ),
    Slip(
        "The reflection repeats the outermost pixel",
        "NumPy has two reflections. Of 1 2 3, which one gives 3 2 1 2 3 2 1?",
        wrong_crops(mode="symmetric"),
        in_body(r"symmetric"),
    ),
    Slip(
        "The border is zeros",
        "np.pad has a `mode`.",
        wrong_crops(mode="constant"),
        in_body(r"pad\(|zeros"),
    ),
    Slip(
        "The border comes from the other side of the picture",
        "That is a picture wrapped round. np.pad has another mode that reflects.",
        wrong_crops(mode="wrap"),
        in_body(r"wrap|roll"),
    ),
    Slip(
        "The last place is never drawn",
        "There are 2 pad + 1 places along each axis, 0 to 2 pad. Which end does rng.integers leave out?",
        wrong_crops(room=0),
        in_body(r"integers"),
    ),
    Slip(
        "The pictures are turned upside down",
        "Mirrored left-right means that the columns are turned round. Which axis of (C, H, W) is that?",
        wrong_crops(finish=lambda crop: crop[:, ::-1]),
        in_body(r"::-1|flip"),
    ),
    Slip(
        "The picture is mirrored before the crop is taken",
        "First the crop, then the mirror. In the other order the window is at another place of the picture.",
        wrong_crops(before=True),
        in_body(r"::-1|flip"),
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
        in_body(r"random\("),
    ),
    Slip(
        "top and left are exchanged",
        "The first number belongs to the rows, the second to the columns.",
        wrong_crops(draw=left_first),
        in_body(r"integers|top|left"),
    ),
    Slip(
        "top and left are the same number",
        "Both are drawn, one after the other, from one generator. Is it made anew between the two?",
        wrong_crops(draw=one_for_both),
        in_body(r"integers"),
    ),
    Slip(
        "The flip is drawn before the place",
        "A generator gives its numbers in a fixed order: first two for the place, then one for the flip.",
        wrong_crops(draw=flip_first),
        in_body(r"random\("),
    ),
)

# ---- Task 5: mixup


def mixing(student: Student, rng: np.random.Generator) -> None:
    for shape, classes in (((6, 4), 3), ((7, 2, 3, 5), 4)):
        x, (y, m, partner) = rng.standard_normal(shape), mixture(rng, shape[0], classes)
        got = expect_several("mixup", student.mixup(x, y, classes, m, partner), "x', q'")
        mixed, q = np.empty_like(x), np.zeros((len(x), classes))
        for n, (share, other) in enumerate(zip(m, partner, strict=True)):
            mixed[n] = share * x[n] + (1 - share) * x[other]
            q[n, y[n]] += share
            q[n, y[other]] += 1 - share
        title = f"(x {shape}, {classes} classes)"
        expect_close(f"x' {title}", got[0], mixed)
        rows = expect_array(f"q' {title}", got[1], q.shape).sum(axis=1)
        if not np.allclose(rows, 1):
            n = int(np.abs(rows - 1).argmax())
            raise Mistake(
                f"each row of q' {title} holds probabilities and must sum to 1; row {n}, of classes {y[n]} and {y[partner[n]]} "
                f"with m = {m[n]:.3f}, sums to {rows[n]:.3f}"
            )
        expect_close(f"q' {title}", got[1], q)
    for N, K in ((5, 3), (3, 5), (1, 4)):
        soft_loss(student, rng, N, K)
    scores, q = rng.standard_normal((4, 3)), rng.dirichlet(np.ones(3), 4)
    scores[0, :2], scores[1] = [1000, -1000], scores[1] + 1000
    with np.errstate(all="ignore"):
        loss, dscores = expect_several("soft_cross_entropy", student.soft_cross_entropy(scores, q), "loss, dscores")
    if not np.isfinite(loss) or not np.isfinite(dscores).all():
        raise Mistake("right for ordinary scores, but scores of 1000 give NaN or infinity: subtract each row's largest score")
    engine = SoftmaxCrossEntropy()
    expect_close("loss (scores of 1000)", expect_number("loss", loss), np.float64(engine.forward(scores, q)))
    expect_close("dscores (scores of 1000)", dscores, engine.backward())


def mixture(rng: np.random.Generator, n: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes, shares and partners; some partners are of the same class, some of another, and none is its partner's partner."""
    circle = rng.permutation(n)
    partner = np.empty(n, np.int64)
    partner[circle] = np.roll(circle, 1)
    m = np.where(rng.permutation(n) % 2, rng.uniform(0.05, 0.4, n), rng.uniform(0.6, 0.95, n))
    while True:
        y = rng.integers(0, classes, n)
        differ = y != y[partner]
        if not differ.all() and (m[differ] < 0.5).any() and (m[differ] > 0.5).any():
            return y, m, partner


def soft_loss(student: Student, rng: np.random.Generator, N: int, K: int) -> None:
    scores, q, engine = 2 * rng.standard_normal((N, K)), rng.dirichlet(np.ones(K), N), SoftmaxCrossEntropy()
    expected = engine.forward(scores, q)
    loss, dscores = expect_several("soft_cross_entropy", student.soft_cross_entropy(scores, q), "loss, dscores")
    subject = f"soft_cross_entropy ({N} samples, {K} classes)"
    expect_close(f"loss of {subject}", expect_number("loss", loss), np.float64(expected))
    expect_array(f"dscores of {subject}", dscores, scores.shape)

    def forward(scores: np.ndarray) -> np.ndarray:
        return np.asarray(-(q * log_softmax(scores)).sum() / N)

    def backward(dy: np.ndarray) -> dict:
        return {"scores": dy * student.soft_cross_entropy(scores, q)[1]}

    expect_gradients(
        subject,
        [dscores],
        {"dscores": engine.backward()},
        lambda: check_function(forward, backward, {"scores": scores}, subject=subject, rng=rng),
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
        in_body(r"1 ?- ?"),
    ),
    Slip(
        "Pictures and targets are mixed with shares the other way round from each other",
        "Where a picture is for the most part sample n, so is its target.",
        mixed_so(rightly, the_other_way_round),
        in_body(r"1 ?- ?"),
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
        in_body(r"where|argmax|>|<"),
    ),
    Slip(
        "Where both are of one class, the second share overwrites the first",
        "Both shares belong to that class then, and add up to 1. Is it = or +=?",
        mixed_so(rightly, overwritten),
        in_body(r"\] ?="),
    ),
    Slip(
        "Where both are of one class, the partner's share is overwritten",
        "Both shares belong to that class then, and add up to 1. Is it = or +=?",
        mixed_so(rightly, overwritten_by_itself),
        in_body(r"\] ?="),
    ),
    Slip(
        "All samples are mixed with the share of the first",
        "m has a number for each sample; give it axes so that it goes with the first one of x.",
        mixed_so(
            lambda x, m, partner, y: between(x, x[partner], np.full_like(m, m[0])),
            lambda q, m, partner, y: between(q, q[partner], np.full_like(m, m[0])),
        ),
        in_body(r"m\[0\]"),
    ),
    Slip(
        "All samples are mixed half and half",
        "m says how much of each there is.",
        mixed_so(
            lambda x, m, partner, y: (x + x[partner]) / 2,
            lambda q, m, partner, y: (q + q[partner]) / 2,
        ),
        in_body(r"/ ?2|0\.5"),
    ),
    Slip(
        "Samples are mixed with the one whose partner they are",
        "Sample n is mixed with sample partner[n], not with the n' for which partner[n'] = n.",
        mixed_so(
            lambda x, m, partner, y: between(x, x[np.argsort(partner)], m),
            lambda q, m, partner, y: between(q, q[np.argsort(partner)], m),
        ),
        in_body(r"partner"),
    ),
    Slip(
        "Samples are mixed with the batch turned round",
        "The partners are given: x[partner] has them in their order.",
        mixed_so(lambda x, m, partner, y: between(x, x[::-1], m), lambda q, m, partner, y: between(q, q[::-1], m)),
        in_body(r"::-1"),
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
        in_body(r"sum"),
    ),
    Slip(
        "The loss is a sum over the samples",
        "The gradient is that of a mean. Divide the loss by N as well.",
        wrong_loss(lambda log_p, q: -(q * log_p).sum()),
        in_body(r"sum"),
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
        in_body(r"mean"),
    ),
    Slip(
        "Loss and gradient are divided by N K",
        "There is one loss a sample, the sum over its classes. Which mean() is that, and which sum()?",
        wrong_loss(lambda log_p, q: -(q * log_p).mean(), lambda log_p, q: (np.exp(log_p) - q) / q.size),
        in_body(r"mean|size"),
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
        in_body(r"- ?"),
    ),
    Slip(
        "Targets are taken for classes, by their largest probability",
        "The targets stay soft: every class counts with its own q.",
        wrong_loss(lambda log_p, q: -(hard(q) * log_p).sum() / len(q), lambda log_p, q: (np.exp(log_p) - hard(q)) / len(q)),
        in_body(r"argmax"),
    ),
    Slip(
        "p and q are exchanged in the loss",
        "The logarithm is that of what the network says, weighted by what is right.",
        wrong_loss(lambda log_p, q: -(np.exp(log_p) * np.log(q)).sum() / len(q)),
        in_body(r"log"),
    ),
    Slip(
        "The entropy of the targets is subtracted",
        "That is the Kullback-Leibler divergence: the same gradient, but the loss asked for is the cross-entropy.",
        wrong_loss(lambda log_p, q: (q * (np.log(q) - log_p)).sum() / len(q)),
        in_body(r"log"),
    ),
    Slip(
        "Scores of 1000 overflow",
        "exp(1000) is infinite. What can be subtracted from all scores of a row without any change to p?",
        {"soft_cross_entropy": unshifted_loss},
        in_body(r"exp"),
    ),
    Slip(
        "The logarithm of a p that is 0 is taken",
        "p underflows to 0 for scores far below the largest. log p = (shifted score) - log(sum of exponentials) does not.",
        {"soft_cross_entropy": log_of_p},
        in_body(r"log"),
    ),
)

# ---- Task 6: an average of weights


def averages(student: Student, rng: np.random.Generator) -> None:
    for shape, decay in (((5,), rng.uniform(0.5, 0.7)), ((3, 4), rng.uniform(0.9, 0.97))):
        average, w, steps = rng.standard_normal(shape), rng.standard_normal(shape), (4, 1, 40, 800)
        got = [student.update_average(average, w, decay, t) for t in steps]  # early and late steps together tell what it is
        for t, a in zip(steps, got, strict=True):
            d = min(decay, t / (t + 10))
            expect_close(f"the average after step {t} (decay {decay:.3g}, w {shape})", a, d * average + (1 - d) * w)
        average_of_a_run(student, rng, decay)
    for decay, steps in ((0.6, 1), (0.55, 3), (0.6, 30), (0.95, 60)):
        expected = np.array([weight_of(t, decay, steps) for t in range(steps + 1)])
        title = f"shares (decay {decay:g}, {steps} steps)"
        got = expect_array(title, student.shares_in_average(decay, steps), expected.shape)
        if not np.isclose(got.sum(), 1):
            raise Mistake(f"all {title} together must be 1, got {got.sum():.6g}: {np.array2string(got[:5], precision=4)} ...")
        expect_close(title, got, expected)


def average_of_a_run(student: Student, rng: np.random.Generator, decay: float) -> None:
    """Step after step, against the engine's average."""
    layer = Linear(3, 2, bias=False, rng=rng).astype(np.float64)
    engine, average = WeightAverage(layer, decay), layer.w.value.copy()
    for t in range(1, 26):
        layer.w.value[...] = rng.standard_normal((2, 3))
        engine.update()
        average = student.update_average(average, layer.w.value.copy(), decay, t)
    with engine.in_place():
        expect_close(f"the average of a run of 25 steps (decay {decay:.3g})", average, layer.w.value.copy())


def weight_of(t: int, decay: float, steps: int) -> float:
    """The share of the weights of step t: what was added of them, times all d that came after."""
    d = [min(decay, s / (s + 10)) for s in range(1, steps + 1)]  # d[s - 1] is that of step s
    return (1 - d[t - 1] if t else 1.0) * float(np.prod(d[t:]))


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
        in_body(r"1 ?-"),
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
        in_body(r"max"),
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
        in_body(r"1 ?\+ ?t|t ?\+ ?1"),
    ),
    Slip(
        "Steps are counted from 0",
        "The first step has t = 1, and that is what you are given.",
        average_with(lambda decay, t: min(decay, (t - 1) / (t + 9))),
        in_body(r"t ?- ?1|t ?\+ ?9"),
    ),
    Slip(
        "It is the plain mean of all weights",
        "There the first weights count as much as the last. An exponential average forgets.",
        average_with(lambda decay, t: (t - 1) / t),
        in_body(r"/ ?t"),
    ),
    Slip(
        "The new weights are added with their full size",
        "The two shares must be 1 together, or the average grows from step to step.",
        {"update_average": lambda average, w, decay, t: usual_d(decay, t) * average + w},
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
        in_body(r"::-1|insert|append"),
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
        in_body(r"\*\*|power"),
    ),
    Slip(
        "The weights from before training have a share of 1 - the others' products",
        "shares[0] is the product of all d: what is left of a_0 after every step took its part.",
        shares_with(lambda d: np.array([1 - np.prod(d), *right_shares(d)[1:]])),
        in_body(r"1 ?-"),
    ),
)

# ---- Task 7: an ensemble


def ensembles(student: Student, rng: np.random.Generator) -> None:
    cases = [2 * rng.standard_normal(shape) for shape in ((4, 3, 5), (3, 5, 4), (5, 4, 3), (2, 1, 6))]
    large = rng.standard_normal((3, 4, 5))
    large[1, 0] += 3000  # overflows in this sample; the largest score of all subtracted, the others underflow
    large[2, 1] -= 1000
    large[0, 2, 2] += 800
    for scores in (*cases, large):
        M, N, K = scores.shape
        title = f"of {M} models, {N} samples and {K} classes" + (", with scores in the thousands" if scores is large else "")
        p = sum(softmax(of_model) for of_model in scores) / M
        with np.errstate(all="ignore"):
            got = expect_array(f"mean_of_probabilities {title}", student.mean_of_probabilities(scores), p.shape)
        expect_close(f"mean_of_probabilities {title}", got, p)
    for scores in (*cases, large):
        M, N, K = scores.shape
        title = f"of {M} models, {N} samples and {K} classes" + (", with scores in the thousands" if scores is large else "")
        logs = log_softmax(scores).mean(axis=0)  # the geometric mean of probabilities, and its sum made 1
        p = np.exp(logs - logs.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        with np.errstate(all="ignore"):
            got = expect_array(f"mean_of_scores {title}", student.mean_of_scores(scores), p.shape)
        expect_close(f"mean_of_scores {title}", got, p)


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
        in_body(r"mean"),
    ),
    Slip(
        "Softmax runs over the models",
        "A model's probabilities for one sample sum to 1 over the classes, the last axis.",
        of_probabilities(lambda scores: along(scores, 0).mean(axis=0)),
        in_body(r"axis ?= ?0"),
    ),
    Slip(
        "Softmax runs over the samples",
        "A model's probabilities for one sample sum to 1 over the classes, the last axis.",
        of_probabilities(lambda scores: along(scores, 1).mean(axis=0)),
        in_body(r"axis ?= ?1"),
    ),
    Slip(
        "Softmax runs over all numbers of a model together",
        "A model's probabilities sum to 1 for each sample.",
        of_probabilities(lambda scores: softmax(scores.reshape(len(scores), -1)).reshape(scores.shape).mean(axis=0)),
        in_body(r"sum\("),
    ),
    Slip(
        "The mean runs over the samples",
        "Models are counted by the first axis; every sample keeps its own answer.",
        of_probabilities(lambda scores: softmax(scores).mean(axis=1)),
        in_body(r"mean\("),
    ),
    Slip(
        "The probabilities are added up",
        "The result is probabilities again: each row must sum to 1.",
        of_probabilities(lambda scores: softmax(scores).sum(axis=0)),
        in_body(r"sum\("),
    ),
    Slip(
        "The models vote",
        "A vote forgets how sure a model was. Average the probabilities themselves.",
        of_probabilities(votes),
        in_body(r"argmax"),
    ),
    Slip(
        "The probabilities are multiplied",
        "That is a geometric mean. The arithmetic one adds them up and divides by M.",
        of_probabilities(geometric_mean),
        in_body(r"prod|log"),
    ),
    Slip(
        "Only the first model is asked",
        "Every model has a say, scores[0] to scores[M - 1].",
        of_probabilities(lambda scores: softmax(scores[0])),
        in_body(r"\[0\]"),
    ),
    Slip(
        "Scores of 1000 overflow, in the mean of probabilities",
        "Subtract the largest score first; it changes nothing in the probabilities.",
        of_probabilities(lambda scores: unshifted_softmax(scores).mean(axis=0)),
        in_body(r"exp"),
    ),
    Slip(
        "The largest score of all is subtracted everywhere",
        "A model whose scores lie far below it is left with exp(-1000) = 0 only. Each row has a largest score of its own.",
        of_probabilities(lambda scores: softmax_shifted_by_the_largest_of_all(scores).mean(axis=0)),
        in_body(r"max\("),
    ),
    Slip(
        "Probabilities are averaged where scores should be",
        "Here the mean comes first, and then one softmax.",
        of_scores(lambda scores: softmax(scores).mean(axis=0)),
        in_body(r"mean"),
    ),
    Slip(
        "The softmax of the mean score is missing",
        "Scores are not probabilities: they may be negative, and their sum is not 1.",
        of_scores(lambda scores: scores.mean(axis=0)),
        in_body(r"mean"),
    ),
    Slip(
        "The scores are added up, not averaged",
        "The sum is M times the mean, and softmax makes that much surer of itself.",
        of_scores(lambda scores: softmax(scores.sum(axis=0))),
        in_body(r"sum\("),
    ),
    Slip(
        "The geometric mean is not divided by its sum",
        "The products of probabilities no longer sum to 1 over the classes.",
        of_scores(geometric_mean),
        in_body(r"prod|log|\*\*"),
    ),
    Slip(
        "Softmax is taken a second time, of probabilities",
        "Average the scores as they are. Softmax of probabilities, all between 0 and 1, makes them nearly equal.",
        of_scores(lambda scores: softmax(softmax(scores).mean(axis=0))),
        in_body(r"softmax"),
    ),
    Slip(
        "Softmax of the mean score runs over the samples",
        "After the mean over models there are two axes left, (N, K). Which counts the classes?",
        of_scores(lambda scores: along(scores.mean(axis=0), 0)),
        in_body(r"axis ?= ?0"),
    ),
    Slip(
        "Scores of 1000 overflow, in the mean of scores",
        "Subtract the largest score first; it changes nothing in the probabilities.",
        of_scores(lambda scores: unshifted_softmax(scores.mean(axis=0))),
        in_body(r"exp"),
    ),
)

# ---- all tasks

TASKS = [
    Task(
        "penalties: L2, L1 and both",
        penalties,
        functions=("elastic_net",),
        slips=PENALTY_SLIPS,
        hints=(
            "Write R and dw as two lines, each the sum of a part of L1 and a part of L2. Try w = [3, -2, 0] by hand.",
            "The derivative of |w| is +1 right of 0, -1 left of it, and 0 at it by our rule; that of w^2 / 2 is w.",
            "np.abs(w).sum() and (w * w).sum() / 2 for R; np.sign(w) and w for dw; each times its lambda.",
        ),
        points=1,
    ),
    Task(
        "max norm: a unit's weights scaled back",
        projections,
        functions=("max_norm",),
        slips=NORM_SLIPS,
        hints=(
            "One number for each unit: its length. Then one factor for each unit, by which all its weights are multiplied.",
            "w.reshape(len(w), -1) has a row for each unit, whatever the number of axes. The factor is 1 for short units.",
            "c / np.maximum(lengths, c) is 1 where a length is below c and never divides by 0; give it axes to fit w.",
        ),
        points=1,
    ),
    Task(
        "dropout, inverted and vanilla",
        dropouts,
        functions=("dropout_forward", "dropout_backward", "vanilla_dropout_forward"),
        slips=(*INVERTED_SLIPS, *BACKWARD_SLIPS, *VANILLA_SLIPS),
        hints=(
            "u >= p is an array of True and False, and counts as 1 and 0 in a product. Training and inference are two cases.",
            "The mean of y over all u must be the same in training and in inference: of a share 1 - p of the units, or of all.",
            "Inverted: x * kept / (1 - p), and x.copy() in inference; dx likewise of dy. Vanilla: x * kept, and x * (1 - p).",
        ),
        points=3,
    ),
    Task(
        "random crops and flips, a seed a sample",
        crops,
        functions=("crop_and_flip",),
        slips=CROP_SLIPS,
        hints=(
            "Pad the whole batch first; then loop over the samples: make the sample's generator, and draw three numbers.",
            "The window begins at (top, left) of the padded picture and is H x W; a slice with step -1 turns columns round.",
            "xp[n, :, top : top + H, left : left + W], and [:, :, ::-1] of it if mirrored. np.pad must leave N and C alone.",
        ),
        points=2,
    ),
    Task(
        "mixup, and a loss for soft targets",
        mixing,
        functions=("mixup", "soft_cross_entropy"),
        slips=(*MIX_SLIPS, *LOSS_SLIPS),
        hints=(
            "Make one-hot rows of y first; then pictures and targets are mixed by the very same line.",
            "x[partner] has the partners in order. To go with samples, m needs axes of length 1 behind its first.",
            "np.eye(classes)[y]; m.reshape(-1, 1, 1, 1) for (N, C, H, W). The loss is -(q * log_p).sum() / N.",
        ),
        points=3,
    ),
    Task(
        "an exponential average of weights",
        averages,
        functions=("update_average", "shares_in_average"),
        slips=(*AVERAGE_SLIPS, *SHARE_SLIPS),
        hints=(
            "The first function is one line, once d is there. For the second, write out a_1, a_2, a_3 in a_0 and the weights.",
            "Each step multiplies all shares that there are by its d, and puts 1 - d behind them.",
            "Begin with the shares [1.0]; for each t: multiply them by d_t and append 1 - d_t.",
        ),
        points=2,
    ),
    Task(
        "an ensemble: mean of probabilities, of scores",
        ensembles,
        functions=("mean_of_probabilities", "mean_of_scores"),
        slips=ENSEMBLE_SLIPS,
        hints=(
            "The axes are models, samples, classes. Which one does softmax sum over, and which one is averaged away?",
            "Softmax is along the last axis, the mean along the first; the two functions differ in which comes first.",
            "softmax(scores).mean(axis=0) and softmax(scores.mean(axis=0)); softmax subtracts each row's largest score first.",
        ),
        points=2,
    ),
]

# ---- all of them together, in a training run

FINALE_PICTURES, FINALE_EPOCHS, FINALE_BATCH = 300, 60, 30
LAMBDA1, LAMBDA2, LONGEST, DROPPED, DECAY = 1e-5, 1e-3, 2.0, 0.2, 0.97
PAD, LARGEST_SHARE = 1, 0.4  # of a crop, and of a partner in mixup


def finale(functions: dict, out: Path) -> None:
    """Three runs on the same few pictures: nothing against learning by heart, the engine's means against it, the student's."""
    from matplotlib.figure import Figure  # slow to load, and no check needs it

    x, y, x_val, y_val, what = finale_pictures()
    curves, last = {}, {}
    for title, means in {"nothing": None, "the engine's": engine_means(), "yours": student_means(functions)}.items():
        curves[title], last[title] = train_with(means, functions["crop_and_flip"], x, y, x_val, y_val)
    apart = max(abs(a - b) for a, b in zip(curves["the engine's"], curves["yours"], strict=True))
    together = functions["mean_of_probabilities"](np.stack([last["nothing"], last["yours"]]))

    figure = Figure(figsize=(6.5, 3.6), dpi=110, layout="tight")
    ax = figure.subplots()
    styles = {"nothing": ("#8a8a8a", "-", 1.5), "the engine's": ("#d9722b", "-", 4.0), "yours": ("#2a6fbb", "--", 1.5)}
    for title, losses in curves.items():
        color, style, width = styles[title]
        ax.plot(range(1, len(losses) + 1), losses, style, color=color, lw=width, label=title)
    ax.set(xlabel="epoch", ylabel="validation loss", title=f"{len(x)} {what}: learned by heart, or not")
    ax.legend(frameon=False)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "finale.png")

    alone = [f"{(last[title].argmax(axis=1) == y_val).mean():.1%}" for title in ("nothing", "yours")]
    print(
        f"{len(x)} {what}: validation loss {curves['nothing'][-1]:.2f} without regularisation, {curves['yours'][-1]:.2f} with "
        f"yours, {apart:.0e} away from the engine's; {alone[0]} and {alone[1]} right, together "
        f"{(together.argmax(axis=1) == y_val).mean():.1%}. Figure: {out / 'finale.png'}"
    )


def finale_pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str]:
    """Few pictures to train on and more to validate with, float64 (N, 1, 28, 28); a mirror image is of the same class."""
    from minicnn.course.workbench import drawn_digits, find_data
    from minicnn.data import load_fashion_mnist

    if folder := find_data("fashion-mnist"):
        pictures, labels, *_ = load_fashion_mnist(folder)
        what = "pictures of clothes"
    else:
        pictures, labels = drawn_digits(6000, np.random.default_rng(5))
        symmetric = np.isin(labels, (0, 1, 8))
        pictures, labels, what = pictures[symmetric], labels[symmetric], "drawn digits 0, 1 and 8"
    x = (pictures[: FINALE_PICTURES + 1000, None] - pictures.mean()) / pictures.std()
    few = FINALE_PICTURES
    return x[:few], labels[:few], x[few:], labels[few : len(x)], what


def engine_means() -> dict:
    engine = SoftmaxCrossEntropy()

    def loss(scores, q):
        return engine.forward(scores, q), engine.backward()

    def mix(x, y, m, partner):
        q = np.eye(10)[y]
        return between(x, x[partner], m), between(q, q[partner], m)

    def project(w):
        parameter = Parameter(w.copy())
        MaxNorm({"w": parameter}, LONGEST).apply()
        return parameter.value

    return {
        "dropout": Dropout,
        "mix": mix,
        "loss": loss,
        "gradient": lambda w: engine_penalty(w, LAMBDA1, LAMBDA2)[1],
        "project": project,
        "average": lambda average, w, t: average + (1 - usual_d(DECAY, t)) * (w - average),
    }


def student_means(functions: dict) -> dict:
    class StudentsDropout(Dropout):
        def forward(self, x):
            u = self.rng.random(x.shape, dtype=np.float32) if self.training else np.zeros(x.shape)
            self.remember(u=u)
            return functions["dropout_forward"](x, self.p, u, self.training)

        def backward(self, dy):
            return functions["dropout_backward"](dy, self.p, self.recall().u, self.training)

    return {
        "dropout": StudentsDropout,
        "mix": lambda x, y, m, partner: functions["mixup"](x, y, 10, m, partner),
        "loss": functions["soft_cross_entropy"],
        "gradient": lambda w: functions["elastic_net"](w, LAMBDA1, LAMBDA2)[1],
        "project": lambda w: functions["max_norm"](w, LONGEST),
        "average": lambda average, w, t: functions["update_average"](average, w, DECAY, t),
    }


def train_with(means: dict | None, crop_and_flip, x, y, x_val, y_val) -> tuple[list[float], np.ndarray]:
    """Validation losses after each epoch, and the last scores: of the averaged weights, where there is an average."""
    rng, loss = np.random.default_rng(6), SoftmaxCrossEntropy()
    net = Sequential(hidden=Linear(784, 100, rng=7), relu=ReLU())
    if means:
        net.append("drop", means["dropout"](DROPPED, rng=8))
    net.append("scores", Linear(100, 10, rng=9))
    net.astype(np.float64)
    weights = net.parameters()
    average = {name: parameter.value.copy() for name, parameter in weights.items()}
    velocity = {name: np.zeros_like(parameter.value) for name, parameter in weights.items()}
    losses, t = [], 0
    for epoch in range(FINALE_EPOCHS):
        net.train()
        order = rng.permutation(len(x))
        for batch in order.reshape(-1, FINALE_BATCH):
            pictures, targets = x[batch], y[batch]
            if means:
                pictures = crop_and_flip(pictures, PAD, epoch * len(x) + batch)
                m, partner = 1 - LARGEST_SHARE * rng.random(len(batch)), np.roll(np.arange(len(batch)), 1)
                pictures, q = means["mix"](pictures, targets, m, partner)
                _, dscores = means["loss"](net.forward(pictures.reshape(len(batch), -1)), q)
            else:
                loss.forward(net.forward(pictures.reshape(len(batch), -1)), targets)
                dscores = loss.backward()
            net.backward(dscores)
            t += 1
            for name, parameter in weights.items():
                gradient = parameter.grad
                if means and parameter.decays:
                    gradient = gradient + means["gradient"](parameter.value)
                velocity[name] = 0.9 * velocity[name] - 0.01 * gradient
                parameter.value += velocity[name]
                if means and parameter.decays:
                    parameter.value[...] = means["project"](parameter.value)
                average[name] = means["average"](average[name], parameter.value, t) if means else parameter.value
        scores = scores_with(net, average, x_val)
        losses.append(loss.forward(scores, y_val))
    return losses, scores


def scores_with(net: Sequential, average: dict, x: np.ndarray) -> np.ndarray:
    """In eval mode, with these weights for a moment."""
    own = {name: parameter.value.copy() for name, parameter in net.parameters().items()}
    for name, parameter in net.parameters().items():
        parameter.value[...] = average[name]
    scores = net.eval().forward(x.reshape(len(x), -1))
    for name, parameter in net.parameters().items():
        parameter.value[...] = own[name]
    return scores


FINALE = finale
