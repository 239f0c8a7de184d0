"""Lesson 5: the mistakes that people make in its exercise, as functions that make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from minicnn.course import Slip

Equation = Callable[[SimpleNamespace], Any]


def by_equations(arguments: str, equations: Mapping[str, Equation], results: str) -> Callable[..., Callable]:
    """A function of these arguments as equations that are computed one after another, each from the values before it.

    Returned is ``variant(**others)``: the function with other equations in the places of some.
    """

    def variant(**others: Equation) -> Callable[..., Any]:
        def function(*values: Any) -> Any:
            v = SimpleNamespace(**dict(zip(arguments.split(), values, strict=True)))
            for name, equation in {**equations, **others}.items():
                setattr(v, name, equation(v))
            answer = tuple(getattr(v, name) for name in results.split())
            return answer if len(answer) > 1 else answer[0]

        return function

    return variant


forward_by = by_equations(
    "x gamma beta running_mean running_var momentum eps",
    {
        "mean": lambda v: v.x.mean(axis=0),
        "variance": lambda v: v.x.var(axis=0),
        "averaged": lambda v: v.x.var(axis=0, ddof=1),
        "new_mean": lambda v: (1 - v.momentum) * v.running_mean + v.momentum * v.mean,
        "new_var": lambda v: (1 - v.momentum) * v.running_var + v.momentum * v.averaged,
        "xh": lambda v: (v.x - v.mean) / np.sqrt(v.variance + v.eps),
        "y": lambda v: v.gamma * v.xh + v.beta,
    },
    "y new_mean new_var",
)


def in_forward(**others: Equation) -> dict[str, Callable]:
    return {"batchnorm_forward": forward_by(**others)}


FORWARD_SLIPS = (
    Slip(
        "momentum is taken for the weight of the old average",
        "There are two conventions, each the other's 1 - momentum. Which one is the docstring's: does a small momentum mean "
        "that the averages change slowly, or quickly?",
        in_forward(
            new_mean=lambda v: v.momentum * v.running_mean + (1 - v.momentum) * v.mean,
            new_var=lambda v: v.momentum * v.running_var + (1 - v.momentum) * v.averaged,
        ),
        where=r"momentum",
    ),
    Slip(
        "the running variance takes in the biased variance",
        "A batch's own mean is closer to its values than the true mean is, so that its variance is too small on average. "
        "What do statisticians divide by instead of N?",
        in_forward(averaged=lambda v: v.variance),
        where=r"momentum.*var|var.*momentum",
    ),
    Slip(
        "y is normalised by the unbiased variance",
        "The unbiased variance is for the running average only. What is divided by in the docstring's equation of variance[d]?",
        in_forward(variance=lambda v: v.x.var(axis=0, ddof=1)),
        where=r"ddof|N - 1|n - 1|len\(x\) - 1",
    ),
    Slip(
        "eps is added to the standard deviation, not to the variance",
        "sqrt(a + b) is not sqrt(a) + b. Where does eps stand in the equation, inside the root or outside?",
        in_forward(xh=lambda v: (v.x - v.mean) / (np.sqrt(v.variance) + v.eps)),
        where=r"eps",
    ),
    Slip(
        "eps is missing",
        "It keeps the root from 0 where a feature is constant in the batch, and it belongs to the definition of y.",
        in_forward(xh=lambda v: (v.x - v.mean) / np.sqrt(v.variance)),
        where=r"sqrt|std",
    ),
    Slip(
        "x - mean is divided by the variance, not by its root",
        "If x is measured in metres, in which unit is its variance? After normalisation there should be no unit left.",
        in_forward(xh=lambda v: (v.x - v.mean) / (v.variance + v.eps)),
        where=r"/",
    ),
    Slip(
        "mean and variance are those of each sample, over its features",
        "That is layer normalisation. Batch normalisation asks for each *feature* how it varies from sample to sample: which "
        "axis disappears, N or D?",
        in_forward(
            mean=lambda v: v.x.mean(axis=1, keepdims=True),
            variance=lambda v: v.x.var(axis=1, keepdims=True),
            averaged=lambda v: v.x.var(axis=1, ddof=1, keepdims=True),
        ),
        where=r"axis|mean\(|var\(",
    ),
    Slip(
        "mean and variance are those of a sample, over its features, and meet the features",
        "That is layer normalisation. Batch normalisation asks for each *feature* how it varies from sample to sample: which "
        "axis disappears, N or D?",
        in_forward(
            mean=lambda v: v.x.mean(axis=1),
            variance=lambda v: v.x.var(axis=1),
            averaged=lambda v: v.x.var(axis=1, ddof=1),
        ),
        where=r"axis|mean\(|var\(",
    ),
    Slip(
        "there is one mean and one variance for all features together",
        "Features may be of quite different sizes; each is normalised by itself. Over which axis are the sums?",
        in_forward(
            mean=lambda v: v.x.mean(),
            variance=lambda v: v.x.var(),
            averaged=lambda v: v.x.var(ddof=1),
        ),
        where=r"mean\(|var\(",
    ),
    Slip(
        "y is normalised by the running averages",
        "That is for inference. In training the mean and the variance are those of this very batch; the running averages are "
        "only kept up to date.",
        in_forward(xh=lambda v: (v.x - v.running_mean) / np.sqrt(v.running_var + v.eps)),
        where=r"sqrt",
    ),
    Slip(
        "y is normalised by the running averages, after they were moved",
        "That is for inference. In training the mean and the variance are those of this very batch; the running averages are "
        "only kept up to date.",
        in_forward(xh=lambda v: (v.x - v.new_mean) / np.sqrt(v.new_var + v.eps)),
        where=r"sqrt",
    ),
    Slip(
        "beta is scaled by gamma too",
        "First scaled, then shifted: how far does y move if beta grows by 1?",
        in_forward(y=lambda v: v.gamma * (v.xh + v.beta)),
        where=r"gamma",
    ),
    Slip(
        "gamma is missing",
        "xh is normalised, y is scaled and shifted as well.",
        in_forward(y=lambda v: v.xh + v.beta),
    ),
    Slip(
        "beta is missing",
        "xh is normalised, y is scaled and shifted as well.",
        in_forward(y=lambda v: v.gamma * v.xh),
    ),
    Slip(
        "the standard deviation is averaged, not the variance",
        "running_var will have its own root taken in inference. What must be in it then?",
        in_forward(averaged=lambda v: v.x.std(axis=0, ddof=1)),
        where=r"momentum.*(std|sqrt)|std",
    ),
    Slip(
        "eps is averaged into the running variance",
        "In inference eps is added under the root again. It must not be in there already.",
        in_forward(new_var=lambda v: (1 - v.momentum) * v.running_var + v.momentum * (v.averaged + v.eps)),
        where=r"eps",
    ),
    Slip(
        "the running averages are the statistics of this batch alone",
        "An average remembers. How much of the old one stays?",
        in_forward(new_mean=lambda v: v.mean, new_var=lambda v: v.averaged),
    ),
    Slip(
        "the running averages come back as they were",
        "They are returned, moved a little towards this batch.",
        in_forward(new_mean=lambda v: v.running_mean.copy(), new_var=lambda v: v.running_var.copy()),
    ),
)


steps_by = by_equations(
    "dy x gamma eps",
    {
        "N": lambda v: len(v.x),
        "c": lambda v: v.x - v.x.mean(axis=0),
        "variance": lambda v: (v.c**2).mean(axis=0),
        "s": lambda v: np.sqrt(v.variance + v.eps),
        "xh": lambda v: v.c / v.s,
        "dbeta": lambda v: v.dy.sum(axis=0),
        "dgamma": lambda v: (v.dy * v.xh).sum(axis=0),
        "dxh": lambda v: v.gamma * v.dy,
        "dvariance": lambda v: (v.dxh * v.c).sum(axis=0) * -0.5 / v.s**3,
        "dc": lambda v: v.dxh / v.s + v.dvariance * 2 * v.c / v.N,
        "dmean": lambda v: -v.dc.sum(axis=0),
        "dx": lambda v: v.dc + v.dmean / v.N,
    },
    "dx dgamma dbeta dvariance dmean",
)


def in_steps(**others: Equation) -> dict[str, Callable]:
    return {"batchnorm_backward_steps": steps_by(**others)}


STEPS_SLIPS = (
    Slip(
        "dvariance has the wrong sign",
        "If the variance grows, xh shrinks. What is the sign of the derivative of v^(-1/2)?",
        in_steps(dvariance=lambda v: (v.dxh * v.c).sum(axis=0) * 0.5 / v.s**3),
        where=r"dvar",
    ),
    Slip(
        "dvariance has the power -1/2 in place of -3/2",
        "xh = c v^(-1/2). Differentiate by v: what becomes of the exponent?",
        in_steps(dvariance=lambda v: (v.dxh * v.c).sum(axis=0) * -0.5 / v.s),
        where=r"dvar",
    ),
    Slip(
        "dvariance lacks its factor 1/2",
        "xh = c v^(-1/2). Differentiate by v: which factor comes down?",
        in_steps(dvariance=lambda v: (v.dxh * v.c).sum(axis=0) * -1.0 / v.s**3),
        where=r"dvar",
    ),
    Slip(
        "dvariance is made from xh where c belongs",
        "xh = c (variance + eps)^(-1/2): if you differentiate by the variance, c stays as it is, and xh has one s divided out "
        "of it already.",
        in_steps(dvariance=lambda v: (v.dxh * v.xh).sum(axis=0) * -0.5 / v.s**3),
        where=r"dvar",
    ),
    Slip(
        "dvariance is made from dy, without gamma",
        "Walk back one step after the other: between y and xh stands gamma.",
        in_steps(dvariance=lambda v: (v.dy * v.c).sum(axis=0) * -0.5 / v.s**3),
        where=r"dvar",
    ),
    Slip(
        "gamma is missing between dy and dxh",
        "y = gamma xh + beta: if xh moves by 1, how far does y?",
        in_steps(dxh=lambda v: v.dy),
        where=r"dxh|dxhat|dx_h|dx_n",
    ),
    Slip(
        "eps is missing",
        "The steps backward need the values of the steps forward, the same ones: s and everything made of it has eps in it.",
        in_steps(s=lambda v: np.sqrt(v.variance)),
        where=r"sqrt|std|var\(",
    ),
    Slip(
        "the variance is the unbiased one",
        "What normalises is the biased variance: its sum is divided by N.",
        in_steps(variance=lambda v: (v.c**2).sum(axis=0) / (v.N - 1)),
        where=r"ddof|N - 1|n - 1",
    ),
    Slip(
        "dgamma and dbeta are means over the batch",
        "gamma and beta take part in every sample's y, so each sample adds its share. Is anything divided by N in there?",
        in_steps(dgamma=lambda v: (v.dy * v.xh).mean(axis=0), dbeta=lambda v: v.dy.mean(axis=0)),
        where=r"dbeta|dgamma|mean\(",
    ),
    Slip(
        "dgamma is made from x, not from xh",
        "y = gamma xh + beta. Which number is gamma multiplied by?",
        in_steps(dgamma=lambda v: (v.dy * v.x).sum(axis=0)),
        where=r"dgamma",
    ),
    Slip(
        "sums run over the features, not over the samples",
        "gamma, beta, mean and variance belong to a feature, and all samples share them. Which axis disappears?",
        in_steps(
            c=lambda v: v.x - v.x.mean(axis=1),
            variance=lambda v: (v.c**2).mean(axis=1),
            dbeta=lambda v: v.dy.sum(axis=1),
            dgamma=lambda v: (v.dy * v.xh).sum(axis=1),
            dvariance=lambda v: (v.dxh * v.c).sum(axis=1) * -0.5 / v.s**3,
            dmean=lambda v: -v.dc.sum(axis=1),
        ),
        where=r"axis",
    ),
    Slip(
        "dgamma and dbeta are summed over the features, not over the samples",
        "gamma and beta belong to a feature, and all samples share them. Which axis disappears?",
        in_steps(dbeta=lambda v: v.dy.sum(axis=1), dgamma=lambda v: (v.dy * v.xh).sum(axis=1)),
        where=r"axis ?= ?(1|-1)",
    ),
    Slip(
        "dmean has the wrong sign",
        "c = x - mean. If the mean grows, what does c do?",
        in_steps(dmean=lambda v: v.dc.sum(axis=0)),
        where=r"dmean|dmu",
    ),
    Slip(
        "dmean has the right size but dx is given none of it",
        "x goes two ways: into c, and into the mean. dx is the sum of what comes back from both.",
        in_steps(dx=lambda v: v.dc),
        where=r"dx =|return",
    ),
    Slip(
        "the way through the variance is missing from dx",
        "c goes two ways: into xh, and into the variance. What comes back from both is added up.",
        in_steps(dc=lambda v: v.dxh / v.s),
        where=r"dc =|dx =",
    ),
    Slip(
        "mean and variance are treated as constants",
        "That is right for running statistics. Here every x has moved both of them, and through them every y of its feature.",
        in_steps(dx=lambda v: v.dxh / v.s),
        where=r"dx =|return",
    ),
    Slip(
        "1/N is missing on the way through the mean",
        "mean = (1/N) sum of x: if one x grows by 1, how far does the mean move?",
        in_steps(dx=lambda v: v.dc + v.dmean),
        where=r"dx =|return",
    ),
    Slip(
        "1/N is missing on the way through the variance",
        "variance = (1/N) sum of c^2: how much of one c's square gets into it?",
        in_steps(dc=lambda v: v.dxh / v.s + v.dvariance * 2 * v.c),
        where=r"dvar\w* ?[*/]|[*] ?dvar|dsq",
    ),
    Slip(
        "the 2 is missing on the way through the variance",
        "The variance is a sum of squares. What is the derivative of c^2?",
        in_steps(dc=lambda v: v.dxh / v.s + v.dvariance * v.c / v.N),
        where=r"dvar\w* ?[*/]|[*] ?dvar|dsq",
    ),
    Slip(
        "x stands where c belongs, on the way through the variance",
        "variance = (1/N) sum of c^2, with c = x - mean: the derivative of c^2 has c in it.",
        in_steps(
            dc=lambda v: v.dxh / v.s + v.dvariance * 2 * v.x / v.N,
            dmean=lambda v: -(v.dxh / v.s).sum(axis=0),
        ),
        where=r"dvar\w* ?[*/]|[*] ?dvar|dsq",
    ),
    Slip(
        "the way through the mean has the wrong sign in dx",
        "dmean has its sign already. What comes back from two ways is added.",
        in_steps(dx=lambda v: v.dc - v.dmean / v.N),
        where=r"dx =|return",
    ),
)

closed_by = by_equations(
    "dy xh gamma std",
    {
        "through_mean": lambda v: v.dy.mean(axis=0),
        "through_variance": lambda v: v.xh * (v.dy * v.xh).mean(axis=0),
        "factor": lambda v: v.gamma / v.std,
        "dx": lambda v: v.factor * (v.dy - v.through_mean - v.through_variance),
        "dgamma": lambda v: (v.dy * v.xh).sum(axis=0),
        "dbeta": lambda v: v.dy.sum(axis=0),
    },
    "dx dgamma dbeta",
)


def in_closed_form(**others: Equation) -> dict[str, Callable]:
    return {"batchnorm_backward": closed_by(**others)}


CLOSED_FORM_SLIPS = (
    Slip(
        "the term of the variance is missing",
        "Adding the same to all x changes no y; nor does multiplying all x - mean by the same (but for eps). What must the sum "
        "of dx xh be, then?",
        in_closed_form(through_variance=lambda v: 0),
        where=r"dx =|return",
    ),
    Slip(
        "the term of the mean is missing",
        "Adding the same to all x changes no y. What must the sum of dx over the batch be, then?",
        in_closed_form(through_mean=lambda v: 0),
        where=r"dx =|return",
    ),
    Slip(
        "mean and variance are treated as constants",
        "That is right for running statistics. Here every x has moved both of them, and through them every y of its feature.",
        in_closed_form(through_mean=lambda v: 0, through_variance=lambda v: 0),
        where=r"dx =|return",
    ),
    Slip(
        "the term of the variance has the wrong sign",
        "dx is what is left of dy when its part along 1 and its part along xh are taken away.",
        in_closed_form(through_variance=lambda v: -v.xh * (v.dy * v.xh).mean(axis=0)),
        where=r"xh",
    ),
    Slip(
        "both terms are added, not taken away",
        "dx is what is left of dy when its part along 1 and its part along xh are taken away.",
        in_closed_form(dx=lambda v: v.factor * (v.dy + v.through_mean + v.through_variance)),
        where=r"dx =|return",
    ),
    Slip(
        "sums stand where means belong",
        "If the batch were ten times as large, should the two terms be ten times as large beside dy?",
        in_closed_form(through_mean=lambda v: v.dy.sum(axis=0), through_variance=lambda v: v.xh * (v.dy * v.xh).sum(axis=0)),
        where=r"sum",
    ),
    Slip(
        "only one of the two terms is divided by N",
        "Both are means over the batch. dbeta and dgamma are the sums that belong to them.",
        in_closed_form(through_variance=lambda v: v.xh * (v.dy * v.xh).sum(axis=0)),
        where=r"sum|dgamma",
    ),
    Slip(
        "xh is missing in the last term",
        "How strongly the variance moves with one x depends on how far that x is from the mean.",
        in_closed_form(through_variance=lambda v: (v.dy * v.xh).mean(axis=0)),
        where=r"mean",
    ),
    Slip(
        "the last term is xh times the mean of dy, times xh",
        "The mean of a product is not the product of the means: first dy xh, then the mean.",
        in_closed_form(through_variance=lambda v: v.xh * v.xh * v.dy.mean(axis=0)),
        where=r"xh",
    ),
    Slip(
        "gamma is missing in dx",
        "Between dy and xh stands gamma: dxh = gamma dy, in all three terms.",
        in_closed_form(factor=lambda v: 1 / v.std),
        where=r"std",
    ),
    Slip(
        "gamma and std multiply the first term only",
        "gamma / std stands before a bracket.",
        in_closed_form(dx=lambda v: v.factor * v.dy - v.through_mean - v.through_variance),
        where=r"std",
    ),
    Slip(
        "dx is divided by the variance, not by std",
        "If all x were in millimetres and not in metres, how would dx change: by 1,000 or by 1,000,000?",
        in_closed_form(factor=lambda v: v.gamma / v.std**2),
        where=r"std",
    ),
    Slip(
        "dx is multiplied by std",
        "If x is spread over a thousand times the range, how much does y move when one x moves by 1?",
        in_closed_form(factor=lambda v: v.gamma * v.std),
        where=r"std",
    ),
    Slip(
        "dx is N times too large",
        "The form N dy - sum - xh sum has one more division by N in front.",
        in_closed_form(
            dx=lambda v: v.factor * (len(v.dy) * v.dy - v.dy.sum(axis=0) - v.xh * (v.dy * v.xh).sum(axis=0)),
        ),
        where=r"dx =|return",
    ),
    Slip(
        "dgamma and dbeta are means over the batch",
        "gamma and beta take part in every sample's y, so each sample adds its share.",
        in_closed_form(dgamma=lambda v: (v.dy * v.xh).mean(axis=0), dbeta=lambda v: v.dy.mean(axis=0)),
        where=r"mean",
    ),
    Slip(
        "dgamma has gamma in it",
        "y = gamma xh + beta: by how much does y move if gamma grows by 1?",
        in_closed_form(dgamma=lambda v: (v.gamma * v.dy * v.xh).sum(axis=0)),
        where=r"gamma",
    ),
    Slip(
        "means and sums run over the features, not over the samples",
        "gamma, beta, mean and variance belong to a feature, and all samples share them. Which axis disappears?",
        in_closed_form(
            through_mean=lambda v: v.dy.mean(axis=1, keepdims=True),
            through_variance=lambda v: v.xh * (v.dy * v.xh).mean(axis=1, keepdims=True),
            dgamma=lambda v: (v.dy * v.xh).sum(axis=1),
            dbeta=lambda v: v.dy.sum(axis=1),
        ),
        where=r"axis",
    ),
    Slip(
        "means are over all of dy, not for each feature",
        "Each feature is normalised by itself. Say along which axis the mean goes.",
        in_closed_form(
            through_mean=lambda v: v.dy.mean(),
            through_variance=lambda v: v.xh * (v.dy * v.xh).mean(),
        ),
        where=r"mean\(\)",
    ),
)


frozen_forward_by = by_equations(
    "x gamma beta running_mean running_var eps",
    {
        "mean": lambda v: v.running_mean,
        "std": lambda v: np.sqrt(v.running_var + v.eps),
        "y": lambda v: v.gamma * (v.x - v.mean) / v.std + v.beta,
    },
    "y",
)
frozen_backward_by = by_equations(
    "dy x gamma running_mean running_var eps",
    {
        "std": lambda v: np.sqrt(v.running_var + v.eps),
        "xh": lambda v: (v.x - v.running_mean) / v.std,
        "dx": lambda v: v.dy * v.gamma / v.std,
        "dgamma": lambda v: (v.dy * v.xh).sum(axis=0),
        "dbeta": lambda v: v.dy.sum(axis=0),
    },
    "dx dgamma dbeta",
)


def in_frozen_forward(**others: Equation) -> dict[str, Callable]:
    return {"frozen_forward": frozen_forward_by(**others)}


def in_frozen_backward(**others: Equation) -> dict[str, Callable]:
    return {"frozen_backward": frozen_backward_by(**others)}


FROZEN_SLIPS = (
    Slip(
        "y is normalised by the statistics of the batch",
        "Frozen means that what one sample becomes does not depend on which others are with it.",
        in_frozen_forward(mean=lambda v: v.x.mean(axis=0), std=lambda v: np.sqrt(v.x.var(axis=0) + v.eps)),
        where=r"mean\(|var\(",
    ),
    Slip(
        "eps is missing in the forward pass",
        "The network was trained with eps under the root; in inference it computes the same, with other statistics.",
        in_frozen_forward(std=lambda v: np.sqrt(v.running_var)),
        where=r"sqrt",
    ),
    Slip(
        "eps is added to the standard deviation, not to the variance",
        "sqrt(a + b) is not sqrt(a) + b. Where does eps stand in the equation, inside the root or outside?",
        in_frozen_forward(std=lambda v: np.sqrt(v.running_var) + v.eps),
        where=r"eps",
    ),
    Slip(
        "x - running_mean is divided by the variance, not by its root",
        "running_var is a variance: the unit of x, squared.",
        in_frozen_forward(std=lambda v: v.running_var + v.eps),
        where=r"running_var",
    ),
    Slip(
        "gamma or beta is missing in y",
        "Scale and shift are there in inference, too: y = gamma xh + beta.",
        in_frozen_forward(y=lambda v: (v.x - v.mean) / v.std),
    ),
    Slip(
        "beta is missing in y",
        "Scale and shift are there in inference, too: y = gamma xh + beta.",
        in_frozen_forward(y=lambda v: v.gamma * (v.x - v.mean) / v.std),
    ),
    Slip(
        "dx has the terms of training, through mean and variance",
        "Does x move running_mean here? Draw the graph again, and leave out the arrows that are not there.",
        in_frozen_backward(
            dx=lambda v: v.gamma / v.std * (v.dy - v.dy.mean(axis=0) - v.xh * (v.dy * v.xh).mean(axis=0)),
        ),
        where=r"mean\(|dx =",
    ),
    Slip(
        "dx has the term of training through the mean",
        "Does x move running_mean here? Draw the graph again, and leave out the arrows that are not there.",
        in_frozen_backward(dx=lambda v: v.gamma / v.std * (v.dy - v.dy.mean(axis=0))),
        where=r"mean\(|dx =",
    ),
    Slip(
        "gamma is missing in dx",
        "y = gamma xh + beta: if xh moves by 1, how far does y?",
        in_frozen_backward(dx=lambda v: v.dy / v.std),
        where=r"dx =|return",
    ),
    Slip(
        "std is missing in dx",
        "If x moves by 1, how far does xh?",
        in_frozen_backward(dx=lambda v: v.dy * v.gamma),
        where=r"dx =|return",
    ),
    Slip(
        "dx is divided by the variance, not by its root",
        "If x moves by 1, how far does xh?",
        in_frozen_backward(dx=lambda v: v.dy * v.gamma / v.std**2),
        where=r"dx =|return",
    ),
    Slip(
        "eps is missing in the backward pass",
        "The backward pass belongs to the forward pass: the same root divides in both.",
        in_frozen_backward(std=lambda v: np.sqrt(v.running_var)),
        where=r"sqrt",
    ),
    Slip(
        "dgamma is made from the batch's own xh",
        "y = gamma xh + beta: dgamma needs the xh that the forward pass had.",
        in_frozen_backward(
            dgamma=lambda v: (v.dy * (v.x - v.x.mean(axis=0)) / np.sqrt(v.x.var(axis=0) + v.eps)).sum(axis=0),
        ),
        where=r"mean\(|var\(|dgamma",
    ),
    Slip(
        "dgamma is made from x, not from xh",
        "y = gamma xh + beta. Which number is gamma multiplied by?",
        in_frozen_backward(dgamma=lambda v: (v.dy * v.x).sum(axis=0)),
        where=r"dgamma|return",
    ),
    Slip(
        "dgamma is made from x - running_mean, without the division",
        "y = gamma xh + beta. Which number is gamma multiplied by?",
        in_frozen_backward(dgamma=lambda v: (v.dy * (v.x - v.running_mean)).sum(axis=0)),
        where=r"dgamma|return",
    ),
    Slip(
        "dgamma and dbeta are zero",
        "A frozen layer does not use them, but they are not zero: y depends on gamma and beta. The docstring asks for them.",
        in_frozen_backward(dgamma=lambda v: np.zeros_like(v.gamma), dbeta=lambda v: np.zeros_like(v.gamma)),
        where=r"zeros",
    ),
    Slip(
        "dgamma and dbeta are means over the batch",
        "gamma and beta take part in every sample's y, so each sample adds its share.",
        in_frozen_backward(dgamma=lambda v: (v.dy * v.xh).mean(axis=0), dbeta=lambda v: v.dy.mean(axis=0)),
        where=r"mean",
    ),
)


def along_channels(a: Any) -> Any:
    """(C,) with two axes behind, so that it meets the channels of (N, C, H, W)."""
    return a[:, None, None] if np.ndim(a) == 1 else a


pictures_forward_by = by_equations(
    "x gamma beta eps",
    {
        "mean": lambda v: v.x.mean(axis=(0, 2, 3)),
        "c": lambda v: v.x - along_channels(v.mean),
        "variance": lambda v: (v.c**2).mean(axis=(0, 2, 3)),
        "std": lambda v: along_channels(np.sqrt(v.variance + v.eps)),
        "g": lambda v: v.gamma[:, None, None],
        "b": lambda v: v.beta[:, None, None],
        "y": lambda v: v.g * v.c / v.std + v.b,
    },
    "y mean variance",
)
pictures_backward_by = by_equations(
    "dy x gamma eps",
    {
        "axes": lambda v: (0, 2, 3),
        "M": lambda v: v.x.size / v.x.shape[1],
        "c": lambda v: v.x - v.x.mean(axis=v.axes, keepdims=True),
        "std": lambda v: np.sqrt((v.c**2).mean(axis=v.axes, keepdims=True) + v.eps),
        "xh": lambda v: v.c / v.std,
        "dgamma": lambda v: (v.dy * v.xh).sum(axis=(0, 2, 3)),
        "dbeta": lambda v: v.dy.sum(axis=(0, 2, 3)),
        "through_mean": lambda v: along_channels(v.dbeta) / v.M,
        "through_variance": lambda v: v.xh * along_channels(v.dgamma) / v.M,
        "g": lambda v: v.gamma[:, None, None],
        "dx": lambda v: v.g / v.std * (v.dy - v.through_mean - v.through_variance),
    },
    "dx dgamma dbeta",
)


def in_pictures_forward(**others: Equation) -> dict[str, Callable]:
    return {"batchnorm2d_forward": pictures_forward_by(**others)}


def in_pictures_backward(**others: Equation) -> dict[str, Callable]:
    return {"batchnorm2d_backward": pictures_backward_by(**others)}


def statistics_over(*axes: int) -> dict[str, Callable]:
    """batchnorm2d_forward with sums over these axes; mean and variance come back with the axes that are left."""
    return in_pictures_forward(
        c=lambda v: v.x - v.x.mean(axis=axes, keepdims=True),
        mean=lambda v: v.x.mean(axis=axes),
        variance=lambda v: v.x.var(axis=axes),
        std=lambda v: np.sqrt(v.x.var(axis=axes, keepdims=True) + v.eps),
    )


PICTURES_SLIPS = (
    Slip(
        "each picture is normalised by itself",
        "That is instance normalisation. The statistics of a channel are over all pictures of the batch as well: how many axes "
        "disappear?",
        statistics_over(2, 3),
        where=r"axis",
    ),
    Slip(
        "each pixel is normalised by itself, over the pictures",
        "A filter looks for the same thing at every pixel: its channel has one mean and one variance. How many axes disappear?",
        statistics_over(0),
        where=r"axis",
    ),
    Slip(
        "each picture is normalised over all its channels",
        "That is layer normalisation. Channels hold responses of different filters and are normalised each by itself.",
        statistics_over(1, 2, 3),
        where=r"axis",
    ),
    Slip(
        "the channels are normalised together",
        "Channels hold responses of different filters. Which is the only axis that stays?",
        statistics_over(0, 1, 2, 3),
        where=r"mean\(|var\(",
    ),
    Slip(
        "the sums run over the channels, and the columns stay",
        "The axes are (N, C, H, W), counted from 0. The one that stays is C.",
        statistics_over(0, 1, 2),
        where=r"axis",
    ),
    Slip(
        "gamma and beta meet the columns, not the channels",
        "NumPy lines shapes up from the right: (C,) meets W. Give gamma and beta two more axes.",
        in_pictures_forward(g=lambda v: v.gamma, b=lambda v: v.beta),
        where=r"gamma|beta",
    ),
    Slip(
        "mean, variance, gamma and beta meet the columns, not the channels",
        "NumPy lines shapes up from the right: (C,) meets W. Give each of them two more axes.",
        in_pictures_forward(
            c=lambda v: v.x - v.mean,
            variance=lambda v: v.x.var(axis=(0, 2, 3)),
            std=lambda v: np.sqrt(v.variance + v.eps),
            g=lambda v: v.gamma,
            b=lambda v: v.beta,
        ),
        where=r"mean|gamma|beta",
    ),
    Slip(
        "eps is missing in the forward pass",
        "It is added to the variance, under the root.",
        in_pictures_forward(std=lambda v: along_channels(np.sqrt(v.variance))),
        where=r"sqrt",
    ),
    Slip(
        "eps is added to the standard deviation, not to the variance",
        "sqrt(a + b) is not sqrt(a) + b.",
        in_pictures_forward(std=lambda v: along_channels(np.sqrt(v.variance)) + v.eps),
        where=r"eps",
    ),
    Slip(
        "the variance is the unbiased one",
        "The docstring divides by M = N H W.",
        in_pictures_forward(variance=lambda v: v.x.var(axis=(0, 2, 3), ddof=1)),
        where=r"ddof|- 1",
    ),
    Slip(
        "the variance that comes back has eps in it",
        "eps is added under the root. The variance itself goes into the running average.",
        in_pictures_forward(
            variance=lambda v: v.x.var(axis=(0, 2, 3)) + v.eps, std=lambda v: along_channels(np.sqrt(v.variance))
        ),
        where=r"eps",
    ),
    Slip(
        "the two terms of dx are divided by N, not by N H W",
        "How many values of a channel share one mean and one variance?",
        in_pictures_backward(M=lambda v: len(v.x)),
        where=r"len\(|shape\[0\]|/ ?N",
    ),
    Slip(
        "the two terms of dx are divided by H W, not by N H W",
        "How many values of a channel share one mean and one variance?",
        in_pictures_backward(M=lambda v: v.x.shape[2] * v.x.shape[3]),
        where=r"H|shape\[2\]",
    ),
    Slip(
        "the two terms of dx are divided by the size of the whole array",
        "How many values of a channel share one mean and one variance? The other channels have their own.",
        in_pictures_backward(M=lambda v: v.x.size),
        where=r"size",
    ),
    Slip(
        "the two terms of dx are sums, not means",
        "Both are means over the M = N H W values of the channel.",
        in_pictures_backward(M=lambda v: 1),
        where=r"sum",
    ),
    Slip(
        "the term of the variance is missing",
        "x moves the mean and the variance of its channel, and each of them moves every y.",
        in_pictures_backward(through_variance=lambda v: 0),
        where=r"dx =",
    ),
    Slip(
        "the term of the mean is missing",
        "x moves the mean and the variance of its channel, and each of them moves every y.",
        in_pictures_backward(through_mean=lambda v: 0),
        where=r"dx =",
    ),
    Slip(
        "mean and variance are treated as constants",
        "That is right for running statistics. Here every x has moved both of them.",
        in_pictures_backward(through_mean=lambda v: 0, through_variance=lambda v: 0),
        where=r"dx =",
    ),
    Slip(
        "gamma meets the columns, not the channels, in dx",
        "NumPy lines shapes up from the right: (C,) meets W. Give gamma two more axes.",
        in_pictures_backward(g=lambda v: v.gamma),
        where=r"gamma",
    ),
    Slip(
        "gamma is missing in dx",
        "Between dy and xh stands gamma.",
        in_pictures_backward(g=lambda v: 1),
        where=r"dx =",
    ),
    Slip(
        "eps is missing in the backward pass",
        "The backward pass belongs to the forward pass: the same root divides in both.",
        in_pictures_backward(std=lambda v: np.sqrt((v.c**2).mean(axis=v.axes, keepdims=True))),
        where=r"sqrt|std",
    ),
    Slip(
        "dgamma and dbeta are means",
        "gamma and beta take part in every y of their channel, so that each of these adds its share.",
        in_pictures_backward(
            dgamma=lambda v: (v.dy * v.xh).mean(axis=(0, 2, 3)), dbeta=lambda v: v.dy.mean(axis=(0, 2, 3)), M=lambda v: 1
        ),
        where=r"dgamma|dbeta|return",
    ),
    Slip(
        "dgamma and dbeta keep an axis of their pictures",
        "gamma has one number a channel, and all pictures share it: their shares are added up.",
        in_pictures_backward(
            dgamma=lambda v: (v.dy * v.xh).sum(axis=(2, 3)),
            dbeta=lambda v: v.dy.sum(axis=(2, 3)),
            through_mean=lambda v: v.dy.mean(axis=v.axes, keepdims=True),
            through_variance=lambda v: v.xh * (v.dy * v.xh).mean(axis=v.axes, keepdims=True),
        ),
        where=r"axis",
    ),
    Slip(
        "in the backward pass each picture is normalised by itself",
        "The statistics of a channel are over all pictures of the batch: the same axes as in the forward pass.",
        in_pictures_backward(
            axes=lambda v: (2, 3),
            through_mean=lambda v: v.dy.mean(axis=(2, 3), keepdims=True),
            through_variance=lambda v: v.xh * (v.dy * v.xh).mean(axis=(2, 3), keepdims=True),
        ),
        where=r"axis",
    ),
)


fold_by = by_equations(
    "w b gamma beta running_mean running_var eps",
    {
        "scale": lambda v: v.gamma / np.sqrt(v.running_var + v.eps),
        "w2": lambda v: v.w * v.scale[:, None, None, None],
        "b2": lambda v: v.scale * (v.b - v.running_mean) + v.beta,
    },
    "w2 b2",
)


def in_fold(**others: Equation) -> dict[str, Callable]:
    return {"fold": fold_by(**others)}


FOLD_SLIPS = (
    Slip(
        "the convolution's own bias is lost",
        "Multiply the bracket out: b is in it, too.",
        in_fold(b2=lambda v: v.beta - v.scale * v.running_mean),
        where=r"beta",
    ),
    Slip(
        "the convolution's own bias is not scaled",
        "b stands inside the bracket that is multiplied by gamma / sqrt(running_var + eps).",
        in_fold(b2=lambda v: v.b + v.beta - v.scale * v.running_mean),
        where=r"beta",
    ),
    Slip(
        "the running mean is added, not subtracted",
        "Which sign has the mean in the bracket?",
        in_fold(b2=lambda v: v.scale * (v.b + v.running_mean) + v.beta),
        where=r"running_mean",
    ),
    Slip(
        "the running mean is not scaled",
        "The mean is subtracted before the multiplication, so it is multiplied too.",
        in_fold(b2=lambda v: v.scale * v.b - v.running_mean + v.beta),
        where=r"running_mean",
    ),
    Slip(
        "the running mean is missing",
        "Put w = 0 in: what does the right side give?",
        in_fold(b2=lambda v: v.scale * v.b + v.beta),
        where=r"beta",
    ),
    Slip(
        "beta is scaled too",
        "beta stands outside the bracket.",
        in_fold(b2=lambda v: v.scale * (v.b - v.running_mean + v.beta)),
        where=r"beta",
    ),
    Slip(
        "beta is missing",
        "Put w = 0 and b = running_mean in: what does the right side give?",
        in_fold(b2=lambda v: v.scale * (v.b - v.running_mean)),
    ),
    Slip(
        "the filters are scaled by input channel",
        "Batch normalisation comes after the convolution: its channels are the filters. Which axis of w counts those?",
        in_fold(w2=lambda v: v.w * v.scale[:, None, None]),
        where=r"w \*|\* w|None|reshape",
    ),
    Slip(
        "the filters are scaled by the columns of the filter",
        "NumPy lines shapes up from the right: (F,) meets KW. Give the scale three more axes.",
        in_fold(w2=lambda v: v.w * v.scale),
        where=r"w \*|\* w",
    ),
    Slip(
        "w is not scaled",
        "w stands inside the bracket that is multiplied by gamma / sqrt(running_var + eps).",
        in_fold(w2=lambda v: v.w.copy()),
    ),
    Slip(
        "gamma is missing",
        "What is the bracket multiplied by?",
        in_fold(scale=lambda v: 1 / np.sqrt(v.running_var + v.eps)),
        where=r"sqrt",
    ),
    Slip(
        "eps is missing",
        "The folded convolution must give the same numbers, also where the variance is small.",
        in_fold(scale=lambda v: v.gamma / np.sqrt(v.running_var)),
        where=r"sqrt",
    ),
    Slip(
        "eps is added to the standard deviation, not to the variance",
        "sqrt(a + b) is not sqrt(a) + b.",
        in_fold(scale=lambda v: v.gamma / (np.sqrt(v.running_var) + v.eps)),
        where=r"eps",
    ),
    Slip(
        "it is divided by the variance, not by its root",
        "running_var is a variance: the unit of the convolution's output, squared.",
        in_fold(scale=lambda v: v.gamma / (v.running_var + v.eps)),
        where=r"running_var",
    ),
    Slip(
        "it is multiplied by the root, not divided",
        "A channel that varies much is made to vary less.",
        in_fold(scale=lambda v: v.gamma * np.sqrt(v.running_var + v.eps)),
        where=r"sqrt",
    ),
)


def window_sums(values: np.ndarray, before: int, after: int) -> np.ndarray:
    """At each channel c the sum over the channels c - before, ..., c + after, as far as there are any."""
    C = values.shape[1]
    return np.stack([values[:, max(c - before, 0) : max(c + after + 1, 0)].sum(axis=1) for c in range(C)], axis=1)


def around(values: np.ndarray, size: int) -> np.ndarray:
    return window_sums(values, size // 2, size // 2)


def around_in_a_circle(values: np.ndarray, size: int) -> np.ndarray:
    return sum(np.roll(values, shift, axis=1) for shift in range(-(size // 2), size // 2 + 1))


lrn_forward_by = by_equations(
    "x size alpha beta k",
    {
        "sums": lambda v: around(v.x**2, v.size),
        "scale": lambda v: v.k + v.alpha / v.size * v.sums,
        "y": lambda v: v.x / v.scale**v.beta,
    },
    "y",
)
lrn_backward_by = by_equations(
    "dy x size alpha beta k",
    {
        "factor": lambda v: 2 * v.alpha / v.size * v.beta,
        "scale": lambda v: v.k + v.alpha / v.size * around(v.x**2, v.size),
        "direct": lambda v: v.dy / v.scale**v.beta,
        "share": lambda v: v.dy * v.x / v.scale ** (v.beta + 1),
        "others": lambda v: v.factor * v.x * around(v.share, v.size),
        "dx": lambda v: v.direct - v.others,
    },
    "dx",
)


def in_lrn_forward(**others: Equation) -> dict[str, Callable]:
    return {"lrn_forward": lrn_forward_by(**others)}


def in_lrn_backward(**others: Equation) -> dict[str, Callable]:
    return {"lrn_backward": lrn_backward_by(**others)}


LRN_SLIPS = (
    Slip(
        "alpha is not divided by the size",
        "That is the paper's convention. The docstring's is another.",
        in_lrn_forward(scale=lambda v: v.k + v.alpha * v.sums),
        where=r"alpha",
    ),
    Slip(
        "the responses are not squared",
        "A strong negative response counts as much as a strong positive one.",
        in_lrn_forward(sums=lambda v: around(v.x, v.size)),
        where=r"sum",
    ),
    Slip(
        "the window has only the channels up to c",
        "It has as many channels above c as below it, and c in the middle.",
        in_lrn_forward(sums=lambda v: window_sums(v.x**2, v.size // 2, 0)),
        where=r"range|\[|sum",
    ),
    Slip(
        "the window lacks its last channel",
        "The end of a slice is not in it. What is the last channel of the window, c + size // 2 or the one before?",
        in_lrn_forward(sums=lambda v: window_sums(v.x**2, v.size // 2, v.size // 2 - 1)),
        where=r"range|\[|min\(",
    ),
    Slip(
        "the window reaches out a whole size on either side",
        "Half a window lies on either side.",
        in_lrn_forward(sums=lambda v: window_sums(v.x**2, v.size, v.size)),
        where=r"range|\[|min\(|max\(",
    ),
    Slip(
        "the window begins at c",
        "c is in the middle of its window.",
        in_lrn_forward(sums=lambda v: window_sums(v.x**2, 0, v.size - 1)),
        where=r"range|\[|min\(",
    ),
    Slip(
        "the first channel is a neighbour of the last",
        "Channels that do not exist count as zero: a negative index, and np.roll, come out at the other end.",
        in_lrn_forward(sums=lambda v: around_in_a_circle(v.x**2, v.size)),
        where=r"roll|%",
    ),
    Slip(
        "the window runs over the columns of the picture",
        "The axes are (N, C, H, W): the neighbours are channels, at the same pixel.",
        in_lrn_forward(sums=lambda v: around((v.x**2).swapaxes(1, 3), v.size).swapaxes(1, 3)),
        where=r"axis|\[",
    ),
    Slip(
        "k is missing, or taken for 1",
        "k is an argument: it stands first in the scale.",
        in_lrn_forward(scale=lambda v: 1 + v.alpha / v.size * v.sums),
        where=r"1 \+",
    ),
    Slip(
        "the exponent is missing",
        "y = x / scale^beta.",
        in_lrn_forward(y=lambda v: v.x / v.scale),
        where=r"/",
    ),
    Slip(
        "x is multiplied by scale^beta",
        "A strong neighbourhood makes y smaller, not larger.",
        in_lrn_forward(y=lambda v: v.x * v.scale**v.beta),
        where=r"\*\*",
    ),
    Slip(
        "dx has the first term only",
        "That would be right if the scale did not depend on x.",
        in_lrn_backward(others=lambda v: 0),
        where=r"return|dx =",
    ),
    Slip(
        "the second term is added, not subtracted",
        "If a neighbour grows, does y grow or shrink?",
        in_lrn_backward(dx=lambda v: v.direct + v.others),
        where=r"return|dx =",
    ),
    Slip(
        "the 2 is missing in the second term",
        "What is the derivative of x^2?",
        in_lrn_backward(factor=lambda v: v.alpha / v.size * v.beta),
        where=r"alpha",
    ),
    Slip(
        "beta is missing in the second term",
        "What is the derivative of scale^(-beta)?",
        in_lrn_backward(factor=lambda v: 2 * v.alpha / v.size),
        where=r"alpha",
    ),
    Slip(
        "alpha is not divided by the size, in the second term",
        "The derivative of the scale has the same factor as the scale.",
        in_lrn_backward(factor=lambda v: 2 * v.alpha * v.beta),
        where=r"alpha",
    ),
    Slip(
        "the exponent in the second term is beta, not beta + 1",
        "What is the derivative of scale^(-beta), and its exponent?",
        in_lrn_backward(share=lambda v: v.dy * v.x / v.scale**v.beta),
        where=r"\*\*",
    ),
    Slip(
        "the second term goes to x[m] from y[m] alone",
        "x[m] is in the scale of its neighbours as well: each of them sends its share back.",
        in_lrn_backward(others=lambda v: v.factor * v.x * v.share),
        where=r"return|dx =",
    ),
    Slip(
        "x[m] and x[c] are taken for the same in the second term",
        "Two different x are in the second term: the one in the numerator of y[c], and the one that dx belongs to.",
        in_lrn_backward(
            others=lambda v: v.factor * around(v.share * v.x, v.size),
        ),
        where=r"return|dx =",
    ),
    Slip(
        "dy of channel m stands before the sum, where each dy[c] belongs into it",
        "Each neighbour sends back its own dy.",
        in_lrn_backward(
            others=lambda v: v.factor * v.x * v.dy * around(v.x / v.scale ** (v.beta + 1), v.size),
        ),
        where=r"return|dx =",
    ),
    Slip(
        "the scale of channel m divides the sum, where each neighbour's own belongs into it",
        "Each neighbour y[c] has a scale of its own.",
        in_lrn_backward(
            others=lambda v: v.factor * v.x / v.scale ** (v.beta + 1) * around(v.dy * v.x, v.size),
        ),
        where=r"return|dx =",
    ),
    Slip(
        "the first channel is a neighbour of the last, in the backward pass",
        "Channels that do not exist count as zero: a negative index, and np.roll, come out at the other end.",
        in_lrn_backward(others=lambda v: v.factor * v.x * around_in_a_circle(v.share, v.size)),
        where=r"roll|%",
    ),
)
