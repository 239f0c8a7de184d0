"""Mistakes of layers with windows, convolutions and pooling, each as the gradient that it leads to (see ``mistakes``)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from ..kernels import textbook
from .evidence import Evidence, fits

Mistakes = Iterator[tuple[str, np.ndarray]]

LARGE = 200_000  # elements of x or y, from which on no convolution is computed again to find its stride


def of_convolutions(e: Evidence) -> Mistakes:
    """The gradients of convolutions that differ from this one in their stride, dilation, padding or filter."""
    filters = [w for w in e.arrays.values() if w.ndim == 4 and w is not e.x]
    if not e.has_output or e.y.ndim != 4 or e.x.ndim != 4 or not filters or max(e.x.size, e.y.size) > LARGE:
        return
    x, y, dy, w = e.x, e.y, e.dy, filters[0]
    if w.shape[0] != y.shape[1] or x.shape[1] % w.shape[1]:
        return
    found = _convolution_from(x, w, y)
    if found is None:
        return
    stride, origin, dilation = found
    which = 0 if e.values is x else 1

    def gradient(w=w, stride=stride, dilation=dilation) -> np.ndarray:
        return _convolution_backward(dy, x, w, stride, origin, dilation)[which]

    flipped = w[:, :, ::-1, ::-1]
    if which == 0:
        yield (
            "the kernel is flipped (rotated by 180 degrees), or is not flipped where dx is computed as a convolution of dy: "
            "each dy must go back through the tap that it came through",
            gradient(w=flipped),
        )
        if w.shape[0] == w.shape[1]:
            yield "the filter's axes F and C are swapped", gradient(w=w.swapaxes(0, 1))
            yield "the filter's axes F and C are swapped, and it is flipped", gradient(w=flipped.swapaxes(0, 1))
    yield (
        f"the stride is ignored: windows lie {stride[0]} rows and {stride[1]} columns apart, not 1",
        gradient(stride=(1, 1)),
    )
    yield "the two strides are swapped", gradient(stride=stride[::-1])
    yield f"the dilation is ignored: taps lie {dilation[0]} rows and {dilation[1]} columns apart", gradient(dilation=(1, 1))


def _convolution_from(x: np.ndarray, w: np.ndarray, y: np.ndarray) -> tuple[tuple[int, int], ...] | None:
    """Stride, padding (top, left) and dilation with which x and w give y, up to a bias; None if there are none."""
    sides = []
    for n, k, size in zip(x.shape[2:], w.shape[2:], y.shape[2:], strict=True):
        possible = [
            (s, p, d)
            for d, s, p in product(range(1, 4), range(1, 5), range(k + 1))
            if any((n + p + after - d * (k - 1) - 1) // s + 1 == size for after in (p, p + 1))
        ]
        sides.append(possible)
    both = sorted(product(*sides), key=lambda sides: sides[0] != sides[1])  # most are the same in both directions
    for (sh, top, dh), (sw, left, dw) in both:
        padded = _padded(x, (sh, sw), (top, left), (dh, dw), w.shape[2:], y.shape[2:])
        out = textbook.conv2d_forward(padded, w, None, (sh, sw), (0, 0, 0, 0), (dh, dw), x.shape[1] // w.shape[1])
        bias = y - out
        if np.ptp(bias, axis=(0, 2, 3)).max() <= 1e-9 * np.abs(y).max():
            return (sh, sw), (top, left), (dh, dw)
    return None


def _padded(x, stride, origin, dilation, kernel, size) -> np.ndarray:
    """Exactly the part of the padded picture that all windows together cover."""
    reach = [s * (n - 1) + d * (k - 1) + 1 for s, n, d, k in zip(stride, size, dilation, kernel, strict=True)]
    padded = np.zeros((*x.shape[:2], *reach))
    (top, left), (H, W) = origin, x.shape[2:]
    h, w = min(H, reach[0] - top), min(W, reach[1] - left)
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
    if not e.has_output or not e.x.ndim == e.y.ndim == 4 or e.x.shape[:2] != e.y.shape[:2]:
        return
    if max(e.x.size, e.y.size) > LARGE:
        return
    x, y, dy = e.x, e.y, e.dy
    for k, s, p in product(range(1, 6), range(1, 6), range(3)):
        if any(s * (o - 1) + k > n + 2 * p for n, o in zip(x.shape[2:], y.shape[2:], strict=True)):
            continue
        windows = _windows(np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), constant_values=-np.inf), k, s, y.shape[2:])
        largest = windows.max(axis=(-2, -1))

        def spread(share: np.ndarray, k=k, p=p, step=s) -> np.ndarray:
            """Each window's (k, k) shares of dy at its place."""
            dx = np.zeros((*x.shape[:2], x.shape[2] + 2 * p, x.shape[3] + 2 * p))
            OH, OW = y.shape[2:]
            for i, j in product(range(k), range(k)):
                dx[:, :, i : i + step * OH : step, j : j + step * OW : step] += share[..., i, j]
            return dx[:, :, p : p + x.shape[2], p : p + x.shape[3]]

        dy_everywhere = np.broadcast_to(dy[..., None, None], windows.shape)
        to_largest = dy_everywhere * (windows == largest[..., None, None])
        if np.array_equal(largest, y):
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
            yield f"the stride is ignored: windows lie {s} apart, not 1", spread(to_largest, step=1)
            yield "dy goes to the right element of each window, mirrored or transposed", spread(to_largest.swapaxes(-1, -2))
            return
        if fits(windows.mean(axis=(-2, -1)), y):
            yield "the largest element of each window gets dy, as in max pooling: here all share it", spread(to_largest)
            yield f"the stride is ignored: windows lie {s} apart, not 1", spread(dy_everywhere / k**2, step=1)
            return


def _windows(x: np.ndarray, k: int, s: int, size: tuple[int, int]) -> np.ndarray:
    """(N, C, OH, OW, k, k)"""
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3))[:, :, ::s, ::s]
    return windows[:, :, : size[0], : size[1]]


WINDOW_MISTAKES = (of_convolutions, of_pools)
