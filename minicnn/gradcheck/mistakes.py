"""Mistakes that people make in a backward pass, each as the gradient that it leads to.

A function here yields pairs of a sentence and an array: if ``backward`` gave this array, the sentence says why. They look at
the shapes first, and yield nothing where their kind of layer cannot be meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

import numpy as np

from ..kernels import textbook
from .evidence import Evidence, fits

Mistakes = Iterator[tuple[str, np.ndarray]]

LARGE = 200_000  # elements of x or y, from which on no convolution is computed again to find its stride


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
    axes = [axis for axis in range(y.ndim) if fits(_through_softmax(y, dy, axis), e.numeric)]
    if axes:
        axis = axes[0]
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
            if other != axis:
                yield (
                    f"the sum in softmax's dx = y * (dy - sum of dy * y) runs over the wrong axis, {other}, and not {axis}",
                    _through_softmax(y, dy, other),
                )


def _through_softmax(y: np.ndarray, dy: np.ndarray, axis: int) -> np.ndarray:
    return y * (dy - (dy * y).sum(axis=axis, keepdims=True))


def of_upstream(e: Evidence) -> Mistakes:
    """dy not used, or changed on its way."""
    if not e.has_output or e.shares is None:
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
    if not e.has_output or e.shares is None:
        return
    shares = e.shares * e.dy
    outputs = range(1, shares.ndim)
    orders = [shares] + ([np.moveaxis(shares, 2, -1)] if shares.ndim == 5 else [])  # loops over channels outside, or inside
    summed = [shares.sum(axis=axes) for n in (1, 2) for axes in combinations(outputs[:-1] or outputs, n) if n < len(outputs)]
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
    if not e.has_output or e.is_input or e.shares is None:
        return
    y, dy, x = e.y, e.dy, e.x
    shape = e.numeric.shape
    axes_that_fit = [
        axes
        for n in range(y.ndim)
        for axes in combinations(range(y.ndim), n)
        if tuple(size for i, size in enumerate(y.shape) if i not in axes) == shape
    ]
    complete = e.shares.shape[0] == e.numeric.size
    factor = e.shares.sum(axis=0) if complete else None  # what the parameter is multiplied by: 1 for beta, x-hat for gamma
    for axes in axes_that_fit:
        over = ", ".join(str(axis) for axis in axes)
        if factor is not None:
            yield f"the sum runs over the wrong axes: over {over}", (dy * factor).sum(axis=axes)
        yield (
            f"it is the sum of dy alone over axes {over}: the factor that the parameter is multiplied by is missing (x-hat, "
            "the normalised input, in the dgamma of batch norm)",
            dy.sum(axis=axes),
        )
        yield (
            "dy is multiplied by y, the output, where the factor of this parameter belongs (x-hat in dgamma)",
            (dy * y).sum(axes),
        )
        if x.shape == y.shape:
            centred = x - x.mean(axis=axes, keepdims=True)
            std = x.std(axis=axes, keepdims=True) + 1e-300
            yield "dy is multiplied by x where x-hat belongs, the normalised input", (dy * x).sum(axis=axes)
            yield "x-hat is not divided by the standard deviation", (dy * centred).sum(axis=axes)
            yield "the mean is not subtracted in x-hat", (dy * x / std).sum(axis=axes)


def of_matrix_products(e: Evidence) -> Mistakes:
    """y = x w or x w^T (N, F), with the factors in the wrong order."""
    if not e.has_output or e.y.ndim != 2 or e.x.ndim != 2:
        return
    x, dy, y = e.x, e.dy, e.y
    for w in e.arrays.values():
        if e.is_input and w is not e.values and w.ndim == 2:
            for matrix in (w, w.T):
                if matrix.shape == (y.shape[1], x.shape[1]):
                    yield "w stands in the wrong order: it has to be transposed (or is, and should not be)", dy @ matrix
    if not e.is_input:
        for which, factor in (("y, the output,", y), ("dy", dy)):
            if factor.shape[1] == x.shape[1]:
                for wrong in (dy.T @ factor, factor.T @ dy):
                    yield f"dy is multiplied by {which} where x belongs", wrong


def of_convolutions(e: Evidence) -> Mistakes:
    """The gradients of convolutions that differ from this one in their stride, dilation, padding or filter."""
    filters = [w for w in e.arrays.values() if w.ndim == 4 and w is not e.x]
    if not e.has_output or e.y.ndim != 4 or e.x.ndim != 4 or not filters or max(e.x.size, e.y.size) > LARGE:
        return
    x, y, dy, w = e.x, e.y, e.dy, filters[0]
    if not any(e.values is array for array in (x, w)) or w.shape[0] != y.shape[1] or x.shape[1] % w.shape[1]:
        return
    found = _convolution_from(x, w, y)
    if found is None:
        return
    stride, origin, dilation = found
    which = 0 if e.values is x else 1

    def gradient(w=w, stride=stride, origin=origin, dilation=dilation) -> np.ndarray:
        return _convolution_backward(dy, x, w, stride, origin, dilation)[which]

    flipped = w[:, :, ::-1, ::-1]
    if which == 0:
        yield (
            "the kernel is flipped (rotated by 180 degrees), or is not flipped where dx is computed as a convolution of dy: "
            "each dy must go back through the tap that it came through",
            gradient(w=flipped),
        )
        yield "the kernel's rows and columns are swapped", gradient(w=w.swapaxes(2, 3)) if w.shape[2] == w.shape[3] else dy
        if w.shape[0] == w.shape[1]:
            yield "the filter's axes F and C are swapped", gradient(w=w.swapaxes(0, 1))
            yield "the filter's axes F and C are swapped, and it is flipped", gradient(w=flipped.swapaxes(0, 1))
    if stride != (1, 1):
        yield (
            f"the stride is ignored: windows lie {stride[0]} rows and {stride[1]} columns apart, not 1",
            gradient(stride=(1, 1)),
        )
        yield "the two strides are swapped", gradient(stride=stride[::-1])
    if dilation != (1, 1):
        yield f"the dilation is ignored: taps lie {dilation[0]} rows and {dilation[1]} columns apart", gradient(dilation=(1, 1))
    if origin != (0, 0):
        yield (
            f"the padding is ignored: the first window starts at row {-origin[0]}, column {-origin[1]}",
            gradient(origin=(0, 0)),
        )


def _convolution_from(x: np.ndarray, w: np.ndarray, y: np.ndarray) -> tuple[tuple[int, int], ...] | None:
    """Stride, padding (top, left) and dilation with which x and w give y, up to a bias; None if there are none."""
    sides = []
    for n, k, size in zip(x.shape[2:], w.shape[2:], y.shape[2:], strict=True):
        possible = [
            (s, p, d)
            for d, s, p in product(range(1, 4), range(1, 5), range(k + 1))
            if any((n + p + after - d * (k - 1) - 1) // s + 1 == size for after in (p, p + 1)) and (d == 1 or k > 1)
        ]
        sides.append(possible)
    both = sorted(product(*sides), key=lambda sides: sides[0] != sides[1])  # most are the same in both directions
    for (sh, top, dh), (sw, left, dw) in both:
        padded = _padded(x, (sh, sw), (top, left), (dh, dw), w.shape[2:], y.shape[2:])
        out = textbook.conv2d_forward(padded, w, None, (sh, sw), (0, 0, 0, 0), (dh, dw), x.shape[1] // w.shape[1])
        bias = y - out
        if np.ptp(bias, axis=(0, 2, 3)).max() <= 1e-9 * max(np.abs(y).max(), 1e-300):
            return (sh, sw), (top, left), (dh, dw)
    return None


def _padded(x, stride, origin, dilation, kernel, size) -> np.ndarray:
    """Exactly the part of the padded picture that all windows together cover."""
    reach = [s * (n - 1) + d * (k - 1) + 1 for s, n, d, k in zip(stride, size, dilation, kernel, strict=True)]
    padded = np.zeros((*x.shape[:2], *reach))
    (top, left), (H, W) = origin, x.shape[2:]
    h, w = min(H, reach[0] - top), min(W, reach[1] - left)
    if h > 0 and w > 0:
        padded[:, :, top : top + h, left : left + w] = x[:, :, :h, :w]
    return padded


def _convolution_backward(dy, x, w, stride, origin, dilation) -> tuple[np.ndarray, np.ndarray]:
    """dx and dw of the convolution with windows at these places."""
    padded = _padded(x, stride, origin, dilation, w.shape[2:], dy.shape[2:])
    groups = x.shape[1] // w.shape[1]
    dpadded, dw, _ = textbook.conv2d_backward(dy, padded, np.ascontiguousarray(w), stride, (0, 0, 0, 0), dilation, groups)
    dx, (top, left), (H, W) = np.zeros_like(x), origin, x.shape[2:]
    part = dpadded[:, :, top : top + H, left : left + W]
    dx[:, :, : part.shape[2], : part.shape[3]] = part
    return dx, dw


def of_pools(e: Evidence) -> Mistakes:
    """Max and average pooling taken for each other, or with the wrong windows."""
    if not e.has_output or not e.is_input or e.y.ndim != 4 or e.x.ndim != 4 or e.x.shape[:2] != e.y.shape[:2]:
        return
    if max(e.x.size, e.y.size) > LARGE:
        return
    x, y, dy = e.x, e.y, e.dy
    for k, s, p in product(range(1, 6), range(1, 6), range(3)):
        if p > k // 2 or any(s * (o - 1) + k > n + 2 * p for n, o in zip(x.shape[2:], y.shape[2:], strict=True)):
            continue
        windows = _windows(np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), constant_values=-np.inf), k, s, y.shape[2:])
        largest = windows.max(axis=(-2, -1))

        def spread(share: np.ndarray, k=k, s=s, p=p, step: int | None = None) -> np.ndarray:
            """Each window's (k, k) shares of dy at its place."""
            dx = np.zeros((*x.shape[:2], x.shape[2] + 2 * p + k, x.shape[3] + 2 * p + k))
            OH, OW = y.shape[2:]
            step = step or s
            for i, j in product(range(k), range(k)):
                dx[:, :, i : i + step * OH : step, j : j + step * OW : step] += share[..., i, j]
            return dx[:, :, p : p + x.shape[2], p : p + x.shape[3]]

        dy_everywhere = np.broadcast_to(dy[..., None, None], windows.shape)
        if np.allclose(largest, y, rtol=1e-9, atol=0):
            winners = windows == largest[..., None, None]
            to_largest = dy_everywhere * winners
            yield (
                "it is spread evenly over each window, as in average pooling: in max pooling the largest element alone gets dy",
                spread(dy_everywhere / k**2),
            )
            yield "every element of a window gets dy: in max pooling only the largest does", spread(dy_everywhere)
            lowest = windows == windows.min(axis=(-2, -1))[..., None, None]
            yield "the smallest element of each window gets dy, and should be the largest", spread(dy_everywhere * lowest)
            corner = np.zeros((k, k))
            corner[0, 0] = 1
            yield "the first element of each window gets dy, and should be the largest", spread(dy_everywhere * corner)
            if s > 1:
                yield f"the stride is ignored: windows lie {s} apart, not 1", spread(to_largest, step=1)
            if k > 1:
                yield "dy goes to the right element of each window, mirrored or transposed", spread(to_largest.swapaxes(-1, -2))
            return
        if p == 0 and np.allclose(windows.mean(axis=(-2, -1)), y, rtol=1e-9, atol=1e-12):
            winners = windows == largest[..., None, None]
            yield (
                "the largest element of each window gets dy, as in max pooling: here all share it",
                spread(dy_everywhere * winners),
            )
            if s > 1:
                yield f"the stride is ignored: windows lie {s} apart, not 1", spread(dy_everywhere / k**2, step=1)
            return


def _windows(x: np.ndarray, k: int, s: int, size: tuple[int, int]) -> np.ndarray:
    """(N, C, OH, OW, k, k)"""
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3))[:, :, ::s, ::s]
    return windows[:, :, : size[0], : size[1]]


MISTAKES = (of_softmax, of_a_slope, of_matrix_products, of_convolutions, of_pools, of_sums, of_upstream, of_overlaps)
