"""Mistakes that people make in a backward pass, each as the gradient that it leads to.

A function here yields pairs of a sentence and an array: if ``backward`` gave this array, the sentence says why. They look at
the shapes first, and yield nothing where their kind of layer cannot be meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from .evidence import Evidence, fits

Mistakes = Iterator[tuple[str, np.ndarray]]


def of_a_slope(e: Evidence) -> Mistakes:
    """Functions of each element alone, dx = dy * slope, with a wrong slope; and sums with x itself."""
    if not e.is_like_output:
        return
    x, y, dy, right = e.x, e.y, e.dy, e.numeric
    yield (
        "it is dy itself, handed on as it came: the layer's own derivative (its mask or slope, or a branch beside the "
        "shortcut) is left out",
        dy,
    )
    yield "the mask is made of dy where x belongs: dy must pass where x > 0, not where dy > 0", np.where(dy > 0, dy, 0)
    yield "the mask is the wrong way round: dy passes where x < 0", np.where(x < 0, dy, 0)
    yield "dy passes only where x > 0, as in ReLU, and this layer has a slope below 0 as well", np.where(x > 0, dy, 0)
    if fits(dy * y * (1 - y), right):
        yield "the factor (1 - y) is missing: the sigmoid's slope is y * (1 - y)", dy * y
        yield "the factor y is missing: the sigmoid's slope is y * (1 - y)", dy * (1 - y)
        yield "it is made of x where y belongs: the sigmoid's slope is y * (1 - y) with y its output", dy * x * (1 - x)
    if fits(dy * (1 - y**2), right):
        yield "y is not squared: the slope of tanh is 1 - y^2", dy * (1 - y)
        yield "it is made of x where y belongs: the slope of tanh is 1 - y^2 with y its output", dy * (1 - x**2)
        yield "the 1 of the slope is missing: the slope of tanh is 1 - y^2", -dy * y**2
    yield "it is y, the output, and has nothing of dy in it", y
    yield "it is x, the input, and has nothing of dy in it", x
    yield "the factor y is there and should not be, or another factor beside it is missing", dy * y
    yield "the factor x is there and should not be, or another factor beside it is missing", dy * x
    with np.errstate(all="ignore"):  # where the slope is 0
        twice, divided = right * right / dy, dy * dy / right
    yield "the slope is multiplied twice", twice
    yield "it is divided by the slope, and should be multiplied by it", divided
    yield "the shortcut is missing: dy itself has to be added, as x itself is in the forward pass", right - dy
    yield "dy itself is added once too often: there is no shortcut here, or it is counted twice", right + dy


def of_softmax(e: Evidence) -> Mistakes:
    """dx = y * (dy - sum of dy * y) along an axis."""
    if not e.is_like_output:
        return
    y, dy = e.y, e.dy
    for axis in range(y.ndim):
        if not fits(_through_softmax(y, dy, axis), e.numeric):
            continue
        yield (
            "only the diagonal of softmax's matrix of derivatives is there, y * (1 - y): every score changes every "
            "probability, dx = y * (dy - sum of dy * y)",
            dy * y * (1 - y),
        )
        yield "the sum is missing in softmax's dx = y * (dy - sum of dy * y)", dy * y
        yield (
            "the sum in softmax's dx = y * (dy - sum of dy * y) lacks its factor y",
            y * (dy - dy.sum(axis=axis, keepdims=True)),
        )
        yield (
            "a mean where the sum belongs in softmax's dx = y * (dy - sum of dy * y)",
            y * (dy - (dy * y).mean(axis=axis, keepdims=True)),
        )
        yield (
            "the factor y in front is missing in softmax's dx = y * (dy - sum of dy * y)",
            dy - (dy * y).sum(axis, keepdims=True),
        )
        for other in range(y.ndim):
            yield (
                f"the sum in softmax's dx = y * (dy - sum of dy * y) runs over the wrong axis, {other}, and not {axis}",
                _through_softmax(y, dy, other),
            )


def _through_softmax(y: np.ndarray, dy: np.ndarray, axis: int) -> np.ndarray:
    return y * (dy - (dy * y).sum(axis=axis, keepdims=True))


def of_log_softmax(e: Evidence) -> Mistakes:
    """y = log softmax(x): dx = dy - p * sum of dy along an axis, p = exp(y)."""
    if not e.is_like_output:
        return
    y, dy, p = e.y, e.dy, np.exp(np.minimum(e.y, 0))  # log softmax is never above 0, and other outputs must not overflow
    for axis in range(y.ndim):
        total = dy.sum(axis=axis, keepdims=True)
        if fits(dy - p * total, e.numeric):
            right = "in the gradient of log softmax, dx = dy - p * sum of dy with the probabilities p = exp(y)"
            yield f"y stands where p belongs {right}", dy - y * total
            yield f"dy stands where its sum belongs {right}", dy - p * dy
            yield f"the sum of dy is missing {right}", dy - p
            yield f"a mean of dy stands where the sum belongs {right}", dy - p * total / y.shape[axis]
            yield f"p is missing {right}", dy - total


def of_products(e: Evidence) -> Mistakes:
    """y = x * g, where g depends on x as well: dx = dy * g + what goes through g."""
    if not e.is_like_output:
        return
    with np.errstate(all="ignore"):  # where x is 0
        direct = e.dy * e.y / e.x
    yield (
        "the output is x times something, g, and g is treated as a constant: by the product rule, dx = dy * g and what goes "
        "through g, if g depends on x",
        direct,
    )
    yield "the output is x times something, g, and dx lacks dy * g, the other part of the product rule", e.numeric - direct


def of_upstream(e: Evidence) -> Mistakes:
    """dy not used, or changed on its way."""
    if e.shares is None:
        return
    yield "dy is ignored: it is the gradient for dy = 1 everywhere", e.carried_back(np.ones_like(e.dy))
    yield (
        "negative values of dy are cut off: the mask must come from the layer's own input",
        e.carried_back(np.maximum(e.dy, 0)),
    )
    yield "dy is squared", e.carried_back(e.dy**2)
    yield "the absolute value of dy is used", e.carried_back(np.abs(e.dy))


def of_overlaps(e: Evidence) -> Mistakes:
    """= where += belongs: an element that several outputs depend on keeps the share of one of them."""
    if e.shares is None:
        return
    shares = e.shares * e.dy
    orders = [shares] + ([np.moveaxis(shares, 2, -1)] if shares.ndim == 5 else [])  # loops over channels outside, or inside
    summed = [shares.sum(axis=axes) for n in (1, 2) for axes in combinations(range(1, shares.ndim - 1), n)]
    if shares.ndim == 5:
        for which, at in (("last", -1), ("first", 0)):
            only = shares[..., at, at].sum(axis=(1, 2))
            yield f"only the share of the {which} window is kept: = where += belongs in a loop over windows", e.at_places(only)
    for which, step in (("last", -1), ("first", 1)):
        for order in orders + summed:
            flat = order.reshape(len(order), -1)[:, ::step]
            only = flat[np.arange(len(flat)), (flat != 0).argmax(axis=1)]
            yield (
                f"every element keeps only its {which} share where several outputs depend on it: = (or an index that comes "
                "twice) where += belongs",
                e.at_places(only),
            )


def of_sums(e: Evidence) -> Mistakes:
    """Parameters of a channel or feature, such as gamma, beta and biases: sums of dy times something over all other axes."""
    if e.shares is None or e.is_input:
        return
    y, dy = e.y, e.dy
    every = [axes for n in range(y.ndim + 1) for axes in combinations(range(y.ndim), n)]
    factor = e.shares.sum(axis=0)  # what the parameter is multiplied by: 1 for beta, x-hat for gamma
    for axes in every:
        yield f"the sum runs over the wrong axes: over {', '.join(map(str, axes))}", (dy * factor).sum(axis=axes)
    yield "the sum runs over all axes: each element should get its own", np.full(e.numeric.shape, (dy * factor).sum())
    for axes in every:
        yield from _of_the_factor(e, axes, (dy * y).sum(axis=axes))


def _of_the_factor(e: Evidence, axes: tuple[int, ...], with_y: np.ndarray) -> Mistakes:
    """A wrong factor in a sum over these axes."""
    x, y, dy = e.x, e.y, e.dy
    yield (
        f"it is the sum of dy alone over axes {', '.join(map(str, axes))}: the factor that the parameter is multiplied by is "
        "missing (x-hat, the normalised input, in the dgamma of batch norm), or the way back from the output to it",
        dy.sum(axis=axes),
    )
    yield "dy is multiplied by y, the output, where the factor of this parameter belongs (x-hat in dgamma)", with_y
    if x.shape != y.shape:
        return
    factor, centred = e.shares.sum(axis=0), x - x.mean(axis=axes, keepdims=True)
    if _is_proportional(factor, centred, axes):
        yield "dy is multiplied by x where x-hat belongs, the normalised input", (dy * x).sum(axis=axes)
        yield "x-hat is not divided by the standard deviation", (dy * centred).sum(axis=axes)
        with np.errstate(all="ignore"):  # where x is constant
            not_centred = x / x.std(axis=axes, keepdims=True)
        yield "the mean is not subtracted in x-hat", (dy * not_centred).sum(axis=axes)
    else:
        masked = fits(np.where(factor, x, 0), factor)
        what = (
            "x where it is multiplied by a part of x alone: a mask is missing" if masked else "x where another factor belongs"
        )
        yield f"dy is multiplied by {what}", (dy * x).sum(axis=axes)


def _is_proportional(factor: np.ndarray, centred: np.ndarray, axes: tuple[int, ...]) -> bool:
    """Whether the factor is x-hat, x - mean times a number of its own for each channel."""
    with np.errstate(all="ignore"):
        slope = (factor * centred).sum(axis=axes, keepdims=True) / (centred**2).sum(axis=axes, keepdims=True)
    return fits(slope * centred, factor)


def of_matrix_products(e: Evidence) -> Mistakes:
    """y = x w or x w^T (N, F), with the factors in the wrong order."""
    if not e.has_output or e.y.ndim != 2:
        return
    dy, y = e.dy, e.y
    for w in e.arrays.values():
        if e.is_like_output and w.shape == (y.shape[1], y.shape[1]):
            for matrix in (w, w.T):
                if fits(dy @ matrix.T, e.numeric):
                    yield "w stands in the wrong order: it has to be transposed (or is, and should not be)", dy @ matrix
    for which, factor in (("y, the output,", y), ("dy", dy)):
        for wrong in (dy.T @ factor, factor.T @ dy):
            yield f"dy is multiplied by {which} where x belongs", wrong


MISTAKES = (of_softmax, of_log_softmax, of_a_slope, of_products, of_matrix_products, of_sums, of_upstream, of_overlaps)
