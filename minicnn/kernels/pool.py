"""Pooling: ``textbook.max_pool2d_forward`` and ``_backward``, ``reference.avg_pool2d_forward`` and ``_backward``, with threads.

``reference.region_max_pool2d_forward`` and ``_backward``, too, and averages of regions. Whatever is pooled is a rectangle:
window (i, j) covers the picture's rows from ``rows[i, 0]`` to before ``rows[i, 1]``, and likewise columns. Padding is left out,
so that no loop tests for the border. Windows may overlap, or leave pixels out, but never step back: rows[:, 0] and rows[:, 1]
do not decrease. A third number, rows[i, 2], is the row from which places in the window are counted, perhaps in the padding.

Loops work on memory in the order (N, H, W, C) (see ``layout``), and all innermost ones run along the channels. Threads take
rows of the result, y in forward and dx in backward: a row of dx gathers from the windows that cover it, and no two threads add
to the same number. Where the order of its pixels does not matter, a window is gathered down its rows first and then across its
columns: KH + KW steps, not KH * KW.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ..runtime.compilation import inlined, loop
from ..runtime.memory import workspace
from ..runtime.parallel import new_array, parallel_for, threads_per_item
from .layout import channels_first, channels_last

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
Axes = tuple[np.ndarray, np.ndarray]  # of the rows and of the columns


# ---- max pooling


def max_pool2d_forward(
    x: np.ndarray, kernel: Pair, stride: Pair, pads: Pads, size: Pair, needs_winners: bool = True
) -> tuple[np.ndarray, np.ndarray | None]:
    """y and, if needed (for backward), the winners; both (N, C, OH, OW).

    y[n, c, i, j] = max over p, q of x[n, c, i*sh - top + p, j*sw - left + q], and its winner is the place p * KW + q of the
    largest, as uint8, or int32 for large windows. Padding never wins, NaN always does, and of equal values the first.
    """
    windows = _windows(x.shape[2:], kernel, stride, pads, size)
    if needs_winners:
        return _max_and_winners_of(x, windows, kernel[1], np.uint8 if kernel[0] * kernel[1] <= 256 else np.int32)
    x = channels_last(x)
    (N, H, W, C), (OH, OW) = x.shape, size
    y, picture_rows = new_array((N, OH, OW, C), x.dtype), x.reshape(N, H, W * C)

    def body(start: int, stop: int) -> None:
        _max(start, stop, picture_rows, *windows, workspace("largest of each column", (W, C), x.dtype), y)

    parallel_for(N * OH, body)
    return channels_first(y), None


def max_pool2d_backward(
    dy: np.ndarray, winners: np.ndarray, input_size: Pair, kernel: Pair, stride: Pair, pads: Pads
) -> np.ndarray:
    """dx (N, C, H, W) for ``input_size`` = (H, W): each dy at its winner's place, sums where one won several windows.

    dx[n, c, h, w] = sum of dy[n, c, i, j] over the windows with i*sh - top + p = h and j*sw - left + q = w for their winner's
    p and q
    """
    rows, columns = _windows(input_size, kernel, stride, pads, dy.shape[2:])
    dy, winners = channels_last(dy), channels_last(winners)
    dx = new_array((len(dy), *input_size, dy.shape[3]), dy.dtype)
    parallel_for(
        len(dx) * input_size[0],
        lambda start, stop: _to_winners(start, stop, dy, winners, rows, columns, kernel[1], dx),
    )
    return channels_first(dx)


def region_max_pool2d_forward(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """y and the winning pixels, h * W + w as int32, of the regions in rows (OH, 2) and columns (OW, 2); both (N, C, OH, OW).

    y[n, c, i, j] = max of x[n, c, h, w] over rows[i, 0] <= h < rows[i, 1] and columns[j, 0] <= w < columns[j, 1]
    """
    from_corner = [np.pad(axis, ((0, 0), (0, 1))) for axis in (rows, columns)]  # of the picture, pixels are counted
    return _max_and_winners_of(x, from_corner, x.shape[3], np.int32)


def region_max_pool2d_backward(dy: np.ndarray, winners: np.ndarray, input_size: Pair) -> np.ndarray:
    """dx (N, C, H, W) for ``input_size`` = (H, W): each dy at its winner's place, sums where one won several regions.

    dx[n, c, h, w] = sum of dy[n, c, i, j] over the regions with winners[n, c, i, j] = h * W + w
    """
    N, C, OH, OW = dy.shape
    dx = np.zeros((N, input_size[0] * input_size[1], C), dy.dtype)
    dy, winners = (channels_last(array).reshape(N, OH * OW, C) for array in (dy, winners))
    _over_channels(_to_pixels, dy, winners, dx)
    return channels_first(dx.reshape(N, *input_size, C))


def _max_and_winners_of(x: np.ndarray, windows: Axes, pitch: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """y and the winners (N, C, OH, OW), as places of which there are ``pitch`` in a row."""
    x, (rows, columns) = channels_last(x), windows
    y = new_array((len(x), len(rows), len(columns), x.shape[3]), x.dtype)
    winners = np.empty(y.shape, dtype)
    parallel_for(len(x) * len(rows), lambda start, stop: _max_and_winners(start, stop, x, rows, columns, pitch, y, winners))
    return channels_first(y), channels_first(winners)


# ---- average pooling


def avg_pool2d_forward(
    x: np.ndarray, kernel: Pair, stride: Pair, pads: Pads, size: Pair, count_include_pad: bool
) -> np.ndarray:
    """y (N, C, OH, OW): y[n, c, i, j] = sum over p, q of x_padded[n, c, i*sh + p, j*sw + q] / count[i, j]."""
    windows, counted = _windows_and_counted(x.shape[2:], kernel, stride, pads, size, count_include_pad)
    return _weighted_sums_of(x, windows, x.dtype, weights_of_y=_weights(counted))


def avg_pool2d_backward(
    dy: np.ndarray, input_size: Pair, kernel: Pair, stride: Pair, pads: Pads, count_include_pad: bool
) -> np.ndarray:
    """dx (N, C, H, W) for ``input_size`` = (H, W): dx[n, c, h, w] = sum of dy[n, c, i, j] / count[i, j] over its windows."""
    windows, counted = _windows_and_counted(input_size, kernel, stride, pads, dy.shape[2:], count_include_pad)
    return _weighted_sums_of(dy, _windows_over(windows, input_size), dy.dtype, weights_of_x=_weights(counted))


def region_avg_pool2d_forward(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """y (N, C, OH, OW): the averages of the regions in rows (OH, 2) and columns (OW, 2), summed in float64.

    y[n, c, i, j] = average of x[n, c, h, w] over rows[i, 0] <= h < rows[i, 1] and columns[j, 0] <= w < columns[j, 1]
    """
    return _weighted_sums_of(x, (rows, columns), np.float64, weights_of_y=_weights((rows, columns)))


def region_avg_pool2d_backward(dy: np.ndarray, rows: np.ndarray, columns: np.ndarray, input_size: Pair) -> np.ndarray:
    """dx (N, C, H, W) for ``input_size`` = (H, W): each pixel gets dy / (pixels of the region), summed over its regions."""
    windows = (rows, columns)
    return _weighted_sums_of(dy, _windows_over(windows, input_size), np.float64, weights_of_x=_weights(windows))


def global_avg_pool_forward(x: np.ndarray) -> np.ndarray:
    """y (N, C) = average over h, w of x[n, c, h, w], summed in float64."""
    N, C, H, W = x.shape
    y = new_array((N, C), x.dtype)
    _over_channels(_means, channels_last(x).reshape(N, H * W, C), y)
    return y


def global_avg_pool_backward(dy: np.ndarray, input_size: Pair) -> np.ndarray:
    """dx (N, C, H, W) = dy / (H * W) at every pixel, for ``input_size`` = (H, W)."""
    (N, C), (H, W) = dy.shape, input_size
    dx = new_array((N, H, W, C), dy.dtype)
    dx[...] = (dy / (H * W))[:, None, None]
    return channels_first(dx)


def _weighted_sums_of(
    x: np.ndarray,
    windows: Axes,
    sum_dtype: np.dtype | type,
    weights_of_x: Axes | None = None,
    weights_of_y: Axes | None = None,
) -> np.ndarray:
    """y (N, C, OH, OW): sums of x under the windows, where rows and columns have weights v in x and u in y, 1 if not given.

    y[n, c, i, j] = u_i u_j * sum over the rows h and columns w of window (i, j) of v_h v_w x[n, c, h, w]

    With u_i u_j = 1 / (pixels of the window) these are averages. Backward has the same form: it sums dy over all windows that
    cover a pixel, and the weights are dy's.
    """
    x, (rows, columns) = channels_last(x), windows
    N, H, W, C = x.shape
    y, picture_rows = new_array((N, len(rows), len(columns), C), x.dtype), x.reshape(N, H, W * C)
    v, u = weights_of_x or (np.ones(H), np.ones(W)), weights_of_y or (np.ones(len(rows)), np.ones(len(columns)))
    weights = [weight.astype(sum_dtype) for weight in (*v, *u)]

    def body(start: int, stop: int) -> None:
        sums = workspace("sums of columns", (W, C), sum_dtype)
        _weighted_sums(start, stop, picture_rows, rows, columns, *weights, sums, workspace("sum", (C,), sum_dtype), y)

    parallel_for(N * len(rows), body)
    return channels_first(y)


# ---- windows


@lru_cache(maxsize=256)
def _windows(input_size: Pair, kernel: Pair, stride: Pair, pads: Pads, size: Pair) -> Axes:
    """rows (OH, 3) and columns (OW, 3): from where to where windows cover the picture, and where they begin.

    >>> _windows((4, 6), (3, 2), (2, 2), (1, 0, 0, 0), (2, 3))[0].tolist()
    [[0, 2, -1], [1, 4, 1]]
    """
    axes = []
    for length, k, s, before, count in zip(input_size, kernel, stride, pads[::2], size, strict=True):
        first = np.arange(count) * s - before
        axes.append(np.stack([np.maximum(first, 0), np.minimum(first + k, length), first], axis=1))
    return axes[0], axes[1]


def _windows_and_counted(
    input_size: Pair, kernel: Pair, stride: Pair, pads: Pads, size: Pair, count_include_pad: bool
) -> tuple[Axes, Axes]:
    """The windows in the picture, and those whose pixels are counted: the same, or the windows in the padded picture."""
    windows, (top, bottom, left, right) = _windows(input_size, kernel, stride, pads, size), pads
    padded_size = top + input_size[0] + bottom, left + input_size[1] + right
    return windows, _windows(padded_size, kernel, stride, (0, 0, 0, 0), size) if count_include_pad else windows


def _weights(windows: Axes) -> Axes:
    """1 / rows of each window (OH,), and 1 / columns (OW,): their product is a pixel's weight in the average."""
    rows, columns = windows
    return 1 / (rows[:, 1] - rows[:, 0]), 1 / (columns[:, 1] - columns[:, 0])


def _windows_over(windows: Axes, input_size: Pair) -> Axes:
    """Which windows cover each row of the picture, (H, 2), from the first to before the second; and each column, (W, 2).

    >>> _windows_over((np.array([[0, 2], [1, 4]]), np.array([[0, 1]])), (4, 1))[0].tolist()
    [[0, 1], [0, 2], [1, 2], [1, 2]]
    """
    axes = []
    for axis, length in zip(windows, input_size, strict=True):
        ended, begun = (np.searchsorted(axis[:, k], np.arange(length), side="right") for k in (1, 0))
        axes.append(np.stack([ended, begun], axis=1))
    return axes[0], axes[1]


def _over_channels(loop: Callable, *arrays: np.ndarray) -> None:
    """The loop over samples (N, ..., C), each of them in several ranges of channels if there are fewer samples than threads."""
    N, C = arrays[0].shape[0], arrays[0].shape[-1]
    parts = min(C, threads_per_item(N))
    parallel_for(N * parts, lambda start, stop: loop(start, stop, parts, *arrays))


# ---- loops; arrays are (N, H, W, C), or some of these axes are one
# rows[i, 0] and rows[i, 1] are read one by one: "first, end = rows[i]" would count references to rows, for each window anew


@loop
def _larger(value, best):
    return value if (value > best) | (value != value) else best  # NaN wins


@inlined
def _largest(rows, first, end, left, right, largest):
    """largest[k] = max of rows[p, left + k] over first <= p < end; of two rows, or three, in one go."""
    a, b, c = rows[first, left:right], rows[min(first + 1, end - 1), left:right], rows[min(first + 2, end - 1), left:right]
    for k in range(len(largest)):
        largest[k] = _larger(c[k], _larger(b[k], a[k]))
    for p in range(first + 3, end):
        d = rows[p, left:right]
        for k in range(len(largest)):
            largest[k] = _larger(d[k], largest[k])


@loop
def _max(start, stop, x, rows, columns, largest_of_columns, y):
    """x (N, H, W * C); a column's largest is found just before the first window that needs it, and is still in cache there."""
    (OH, OW, C), flat = y.shape[1:], largest_of_columns.reshape(-1)
    for unit in range(start, stop):
        n, i = unit // OH, unit % OH
        known = 0
        for j in range(OW):
            first, end = columns[j, 0], columns[j, 1]
            new = max(first, known)
            if new < end:
                _largest(x[n], rows[i, 0], rows[i, 1], new * C, end * C, flat[new * C : end * C])
            known = end
            _largest(largest_of_columns, first, end, 0, C, y[n, i, j])


@inlined
def _next(h, w, bottom, left, right):
    """The pixel after (h, w) in a window, row by row; after the last one that again."""
    if w + 1 < right:
        return h, w + 1
    if h + 1 < bottom:
        return h + 1, left
    return h, w


@loop
def _leader(best, winner, value, place):
    """The largest so far and its place, after one more value."""
    wins = (value > best) | (value != value)  # NaN wins
    return value if wins else best, place if wins else winner


@loop
def _max_and_winners(start, stop, x, rows, columns, pitch, y, winners):
    """The first pixel of a window leads; then three at a time, in order, of which any that is larger takes the lead."""
    (OH, OW, C), place = y.shape[1:], winners.dtype.type
    for unit in range(start, stop):
        n, i = unit // OH, unit % OH
        top, bottom = rows[i, 0], rows[i, 1]
        for j in range(OW):
            left, right = columns[j, 0], columns[j, 1]
            origin = rows[i, 2] * pitch + columns[j, 2]
            best, winner, first = y[n, i, j], winners[n, i, j], x[n, top, left]
            place_of_first = place(top * pitch + left - origin)
            for c in range(C):
                best[c], winner[c] = first[c], place_of_first
            h3, w3 = top, left
            while h3 < bottom - 1 or w3 < right - 1:
                h1, w1 = _next(h3, w3, bottom, left, right)
                h2, w2 = _next(h1, w1, bottom, left, right)
                h3, w3 = _next(h2, w2, bottom, left, right)
                place1, place2 = place(h1 * pitch + w1 - origin), place(h2 * pitch + w2 - origin)
                place3 = place(h3 * pitch + w3 - origin)
                values1, values2, values3 = x[n, h1, w1], x[n, h2, w2], x[n, h3, w3]
                for c in range(C):
                    largest, at = best[c], winner[c]
                    largest, at = _leader(largest, at, values1[c], place1)
                    largest, at = _leader(largest, at, values2[c], place2)
                    best[c], winner[c] = _leader(largest, at, values3[c], place3)


@loop
def _to_winners(start, stop, dy, winners, rows, columns, pitch, dx):
    """Rows of dx: each pixel gets dy of the windows that it has won."""
    H, C, place, zero = dx.shape[1], dx.shape[3], winners.dtype.type, dx.dtype.type(0)
    for unit in range(start, stop):
        n, h = unit // H, unit % H
        dx[n, h] = 0
        for i in range(len(rows)):
            if rows[i, 0] <= h < rows[i, 1]:
                for j in range(len(columns)):
                    gradient, winner = dy[n, i, j], winners[n, i, j]
                    for w in range(columns[j, 0], columns[j, 1]):
                        here, pixel = place((h - rows[i, 2]) * pitch + w - columns[j, 2]), dx[n, h, w]
                        for c in range(C):
                            pixel[c] += gradient[c] if winner[c] == here else zero


@loop
def _to_pixels(start, stop, parts, dy, winners, dx):
    """dy and winners (N, OH * OW, C), dx (N, H * W, C)"""
    windows, C = dy.shape[1:]
    for unit in range(start, stop):
        n, part = unit // parts, unit % parts
        for k in range(windows):
            for c in range(C * part // parts, C * (part + 1) // parts):
                dx[n, winners[n, k, c], c] += dy[n, k, c]


@inlined
def _add_scaled(row, weight, total):
    """total += weight * row"""
    for k in range(len(total)):
        total[k] += weight * row[k]


@loop
def _weighted_sums(
    start, stop, x, rows, columns, before_rows, before_columns, after_rows, after_columns, sums_of_columns, total, y
):
    """x (N, H, W * C); sums_of_columns (W, C) and total (C,) are workspaces."""
    (OH, OW, C), flat = y.shape[1:], sums_of_columns.reshape(-1)
    for unit in range(start, stop):
        n, i = unit // OH, unit % OH
        sums_of_columns[:] = 0
        for h in range(rows[i, 0], rows[i, 1]):
            _add_scaled(x[n, h], before_rows[h], flat)
        for j in range(OW):
            total[:] = 0
            for w in range(columns[j, 0], columns[j, 1]):
                _add_scaled(sums_of_columns[w], before_columns[w], total)
            weight, mean = after_rows[i] * after_columns[j], y[n, i, j]
            for c in range(C):
                mean[c] = total[c] * weight


@loop
def _means(start, stop, parts, x, means):
    """x (N, pixels, C), means (N, C)"""
    pixels, C = x.shape[1:]
    for unit in range(start, stop):
        n, part = unit // parts, unit % parts
        first, end = C * part // parts, C * (part + 1) // parts
        total, mean = np.zeros(end - first, np.float64), means[n, first:end]
        for k in range(pixels):
            _add_scaled(x[n, k, first:end], 1.0, total)
        for c in range(end - first):
            mean[c] = total[c] / pixels
