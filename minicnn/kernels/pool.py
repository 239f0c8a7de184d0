"""Pooling: ``textbook.max_pool2d_forward`` and ``_backward``, ``reference.avg_pool2d_forward`` and ``_backward``, with threads.

``reference.region_max_pool2d_forward`` and ``_backward``, too, in plain loops: its regions come in all sizes.

Windows slide over each plane (one channel of one picture); threads take whole planes. The loops go row by row and tap by tap
(a tap is one place in the window), so that the innermost one runs along a row of windows without any test for the border. Where
the order does not matter, a window is first gathered down its rows and then across its columns: KH + KW steps, not KH * KW. The
winners are found for LANES channels at a time (see ``simd.vectors``): a row of windows is often shorter than a vector.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..runtime.compilation import loop, sum_loop
from ..runtime.memory import workspace
from ..runtime.parallel import new_array, parallel_for
from .simd.layout import blocks_of, first_channel, planes, to_lanes, to_planes
from .simd.vectors import LANES, add, load, overtake, spread, store, where_equal

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


def max_pool2d_forward(
    x: np.ndarray, kernel: Pair, stride: Pair, pads: Pads, size: Pair, needs_winners: bool = True
) -> tuple[np.ndarray, np.ndarray | None]:
    """y and, if needed (for backward), the winning taps; both (N, C, OH, OW). Winners are uint8; int32 for large windows."""
    y = new_array((*x.shape[:2], *size), x.dtype)
    if not needs_winners:
        _over_planes(_max, x, kernel, stride, pads, _planes(y))
        return y, None
    winners = np.empty(y.shape, np.uint8 if kernel[0] * kernel[1] <= 256 else np.int32)
    if x.shape[1] < LANES:
        _over_planes(_max_and_winners, x, kernel, stride, pads, _planes(y), _planes(winners))
    else:
        _over_blocks(_max_and_winners_of_lanes, x, y, winners, kernel, stride, pads)
    return y, winners


def max_pool2d_backward(
    dy: np.ndarray, winners: np.ndarray, input_size: Pair, kernel: Pair, stride: Pair, pads: Pads
) -> np.ndarray:
    """dx (N, C, H, W) for ``input_size`` = (H, W): each dy at its winner's place, sums where one won several windows."""
    dx = np.empty((*dy.shape[:2], *input_size), dy.dtype)
    if dy.shape[1] < LANES:
        _over_planes(_to_winners, dy, kernel, stride, pads, _planes(winners), _planes(dx))
    else:
        _over_blocks(_to_winners_of_lanes, dx, dy, winners, kernel, stride, pads)
    return dx


def avg_pool2d_forward(
    x: np.ndarray, kernel: Pair, stride: Pair, pads: Pads, size: Pair, count_include_pad: bool
) -> np.ndarray:
    """y (N, C, OH, OW)."""
    y = new_array((*x.shape[:2], *size), x.dtype)
    weights = _window_weights(x.shape[2:], kernel, stride, pads, size, count_include_pad, x.dtype)
    _over_planes(_average, x, kernel, stride, pads, *weights, _planes(y))
    return y


def avg_pool2d_backward(
    dy: np.ndarray, input_size: Pair, kernel: Pair, stride: Pair, pads: Pads, count_include_pad: bool
) -> np.ndarray:
    """dx (N, C, H, W) for ``input_size`` = (H, W)."""
    dx = np.empty((*dy.shape[:2], *input_size), dy.dtype)
    weights = _window_weights(input_size, kernel, stride, pads, dy.shape[2:], count_include_pad, dy.dtype)
    _over_planes(_share_out, dy, kernel, stride, pads, *weights, _planes(dx))
    return dx


def global_avg_pool_forward(x: np.ndarray) -> np.ndarray:
    """y (N, C): the average of each plane, summed in float64."""
    y = new_array(x.shape[:2], x.dtype)
    planes, means = np.ascontiguousarray(x).reshape(y.size, x.shape[2] * x.shape[3]), y.reshape(-1)
    parallel_for(len(planes), lambda start, stop: _plane_means(start, stop, planes, means))
    return y


def global_avg_pool_backward(dy: np.ndarray, input_size: Pair) -> np.ndarray:
    """dx (N, C, H, W) = dy / (H * W) at every pixel, for ``input_size`` = (H, W)."""
    dx = np.empty((*dy.shape, *input_size), dy.dtype)
    dx[...] = (dy / (input_size[0] * input_size[1]))[:, :, None, None]
    return dx


def region_max_pool2d_forward(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """y and the winning pixels, h * W + w as int32, of the regions in rows (OH, 2) and columns (OW, 2); both (N, C, OH, OW)."""
    y = new_array((*x.shape[:2], len(rows), len(columns)), x.dtype)
    winners = np.empty(y.shape, np.int32)
    planes, arrays = _planes(np.ascontiguousarray(x)), (_planes(y), _planes(winners))
    parallel_for(len(planes), lambda start, stop: _max_of_regions(start, stop, planes, rows, columns, *arrays))
    return y, winners


def region_max_pool2d_backward(dy: np.ndarray, winners: np.ndarray, input_size: Pair) -> np.ndarray:
    """dx (N, C, H, W) for ``input_size`` = (H, W): each dy at its winner's place, sums where one won several regions."""
    dx = np.zeros((*dy.shape[:2], *input_size), dy.dtype)
    arrays = [_planes(array) for array in (np.ascontiguousarray(dy), winners, dx)]
    parallel_for(len(arrays[0]), lambda start, stop: _to_pixels(start, stop, *arrays))
    return dx


def _planes(array: np.ndarray) -> np.ndarray:
    """(N * C, H, W)"""
    return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])


def _over_planes(loop: Callable, source: np.ndarray, kernel: Pair, stride: Pair, pads: Pads, *arrays: np.ndarray) -> None:
    planes, geometry = _planes(np.ascontiguousarray(source)), (*kernel, *stride, pads[0], pads[2])
    parallel_for(len(planes), lambda start, stop: loop(start, stop, planes, *geometry, *arrays))


def _over_blocks(
    loop: Callable, x: np.ndarray, y: np.ndarray, winners: np.ndarray, kernel: Pair, stride: Pair, pads: Pads
) -> None:
    """The loop over all blocks of LANES channels of x (N, C, H, W), or dx, and y (N, C, OH, OW), or dy."""
    (N, C, H, W), (OH, OW) = x.shape, y.shape[2:]
    x_layout, y_layout = planes(C, H * W, H * W), planes(C, OH * OW, OH * OW)
    geometry, arrays = (*kernel, *stride, pads[0], pads[2]), [np.ascontiguousarray(a).ravel() for a in (x, y, winners)]

    def body(start: int, stop: int) -> None:
        lanes_x = workspace("lanes x", (H * W * LANES,), x.dtype)
        lanes_y = workspace("lanes y", (2, OH * OW * LANES), x.dtype)
        numbers = workspace("winners", (OH * OW * LANES,), x.dtype)
        loop(start, stop, C, H, W, OH, OW, *geometry, *x_layout, lanes_x, *y_layout, lanes_y, numbers, *arrays)

    parallel_for(N * blocks_of(C), body)


def _window_weights(
    input_size: Pair, kernel: Pair, stride: Pair, pads: Pads, size: Pair, count_include_pad: bool, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """1 / rows under each row of windows (OH,), and 1 / columns (OW,): their product is a pixel's weight in the average."""
    weights = []
    for length, k, s, before, after, count in zip(input_size, kernel, stride, pads[::2], pads[1::2], size, strict=True):
        first = np.arange(count) * s - before
        last = np.minimum(first + k, length + after)
        if not count_include_pad:
            first, last = np.maximum(first, 0), np.minimum(last, length)
        weights.append((1 / (last - first)).astype(dtype))
    return weights[0], weights[1]


@loop
def _reach(q, s, before, length, count):
    """Which of ``count`` windows along an axis have their tap q inside the picture: those from ``low`` to ``high`` - 1.

    The third result is the index in the picture at which window ``low`` has it.
    """
    low = max((before - q + s - 1) // s, 0)
    high = max(min((length - 1 + before - q) // s + 1, count), low)
    return low, high, low * s + q - before


@loop
def _larger(value, best):
    return value if (value > best) | (value != value) else best  # NaN wins


@loop
def _max(start, stop, x, KH, KW, sh, sw, top, left, y):
    H, W = x.shape[1:]
    OH, OW = y.shape[1:]
    padded = np.full(max(left + W, (OW - 1) * sw + KW), -np.inf, x.dtype)  # every window lies inside
    best = padded[left : left + W]
    for plane in range(start, stop):
        for i in range(OH):
            h, end = max(i * sh - top, 0), min(i * sh - top + KH, H)
            if end - h == 3:
                first, second, third = x[plane, h], x[plane, h + 1], x[plane, h + 2]
                for j in range(W):
                    best[j] = _larger(third[j], _larger(second[j], first[j]))
            else:
                first, second = x[plane, h], x[plane, min(h + 1, end - 1)]
                for j in range(W):
                    best[j] = _larger(second[j], first[j])
                for p in range(h + 2, end):
                    row = x[plane, p]
                    for j in range(W):
                        best[j] = _larger(row[j], best[j])
            # written out where it pays: a step known at compile time is what makes vectors of it
            row = y[plane, i]
            if sw == 2 and KW == 2:
                for j in range(OW):
                    row[j] = _larger(padded[2 * j + 1], padded[2 * j])
            elif sw == 2 and KW == 3:
                for j in range(OW):
                    row[j] = _larger(padded[2 * j + 2], _larger(padded[2 * j + 1], padded[2 * j]))
            elif sw == 1:
                row[:] = padded[:OW]
                for q in range(1, KW):
                    tap = padded[q:]
                    for j in range(OW):
                        row[j] = _larger(tap[j], row[j])
            else:
                row[:] = padded[: (OW - 1) * sw + 1 : sw]
                for q in range(1, KW):
                    tap = padded[q::sw]
                    for j in range(OW):
                        row[j] = _larger(tap[j], row[j])


@loop
def _max_and_winners(start, stop, x, KH, KW, sh, sw, top, left, y, winners):
    H, W = x.shape[1:]
    OH, OW = y.shape[1:]
    number = winners.dtype.type
    for plane in range(start, stop):
        for i in range(OH):
            p_first, p_last = max(top - i * sh, 0), min(H + top - i * sh, KH)
            for j in range(OW):  # the first pixel of the window leads until another beats it
                q = max(left - j * sw, 0)
                y[plane, i, j] = x[plane, i * sh - top + p_first, j * sw - left + q]
                winners[plane, i, j] = p_first * KW + q
            for p in range(p_first, p_last):
                for q in range(KW):
                    low, high, first = _reach(q, sw, left, W, OW)
                    values = x[plane, i * sh - top + p, first::sw]
                    best, winner, tap = y[plane, i, low:high], winners[plane, i, low:high], number(p * KW + q)
                    for k in range(best.size):
                        value, old, leader = values[k], best[k], winner[k]
                        wins = (value > old) | (value != value)  # NaN wins
                        best[k] = value if wins else old
                        winner[k] = tap if wins else leader


@loop
def _max_and_winners_of_lanes(
    start, stop, C, H, W, OH, OW, KH, KW, sh, sw, top, left, x_rows, x_places, lanes_x, y_rows, y_places, lanes_y, numbers, x,
    y, winners
):  # fmt: skip
    """y and winners of blocks ``start`` to ``stop`` - 1 of channels; x, y and winners are flat, the rest are workspaces."""
    number, blocks, best_of, winner_of = x.dtype.type, blocks_of(C), lanes_y[0], lanes_y[1]
    for unit in range(start, stop):
        channel = unit // blocks * C + first_channel(unit % blocks, C)
        to_lanes(x[channel * H * W :], x_rows, lanes_x, x_places)
        for i in range(OH):
            p_first, p_last = max(top - i * sh, 0), min(H + top - i * sh, KH)
            for j in range(OW):
                q_first, q_last = max(left - j * sw, 0), min(W + left - j * sw, KW)
                first = (i * sh - top) * W + j * sw - left
                best, winner = load(lanes_x, (first + p_first * W + q_first) * LANES), spread(number(p_first * KW + q_first))
                for p in range(p_first, p_last):
                    for q in range(q_first, q_last):
                        value = load(lanes_x, (first + p * W + q) * LANES)
                        best, winner = overtake(best, winner, value, spread(number(p * KW + q)))
                store(best, best_of, (i * OW + j) * LANES)
                store(winner, winner_of, (i * OW + j) * LANES)
        to_planes(best_of, y_places, y[channel * OH * OW :], y_rows)
        to_planes(winner_of, y_places, numbers, y_rows)
        target = winners[channel * OH * OW :]
        for k in range(len(numbers)):
            target[k] = winners.dtype.type(numbers[k])


@loop
def _to_winners_of_lanes(
    start, stop, C, H, W, OH, OW, KH, KW, sh, sw, top, left, x_rows, x_places, lanes_dx, y_rows, y_places, lanes_y, numbers, dx,
    dy, winners
):  # fmt: skip
    """dx of blocks ``start`` to ``stop`` - 1 of channels; dx, dy and winners are flat, the rest are workspaces."""
    number, blocks, dy_of, winner_of = dx.dtype.type, blocks_of(C), lanes_y[0], lanes_y[1]
    for unit in range(start, stop):
        channel = unit // blocks * C + first_channel(unit % blocks, C)
        source = winners[channel * OH * OW :]
        for k in range(len(numbers)):
            numbers[k] = source[k]
        to_lanes(dy[channel * OH * OW :], y_rows, dy_of, y_places)
        to_lanes(numbers, y_rows, winner_of, y_places)
        lanes_dx[:] = 0
        for i in range(OH):
            p_first, p_last = max(top - i * sh, 0), min(H + top - i * sh, KH)
            for j in range(OW):
                q_first, q_last = max(left - j * sw, 0), min(W + left - j * sw, KW)
                first = (i * sh - top) * W + j * sw - left
                gradient, winner = load(dy_of, (i * OW + j) * LANES), load(winner_of, (i * OW + j) * LANES)
                for p in range(p_first, p_last):
                    for q in range(q_first, q_last):
                        share, at = where_equal(winner, spread(number(p * KW + q)), gradient), (first + p * W + q) * LANES
                        store(add(load(lanes_dx, at), share), lanes_dx, at)
        to_planes(lanes_dx, x_places, dx[channel * H * W :], x_rows)


@loop
def _to_winners(start, stop, dy, KH, KW, sh, sw, top, left, winners, dx):
    OH, OW = dy.shape[1:]
    for plane in range(start, stop):
        dx[plane] = 0
        for i in range(OH):
            for j in range(OW):
                tap = int(winners[plane, i, j])
                dx[plane, i * sh - top + tap // KW, j * sw - left + tap % KW] += dy[plane, i, j]


@loop
def _average(start, stop, x, KH, KW, sh, sw, top, left, row_share, column_share, y):
    H, W = x.shape[1:]
    OH, OW = y.shape[1:]
    column_sum = np.empty(W, x.dtype)
    for plane in range(start, stop):
        for i in range(OH):
            column_sum[:] = 0
            for h in range(max(i * sh - top, 0), min(i * sh - top + KH, H)):
                column_sum += x[plane, h]
            y[plane, i] = 0
            for q in range(KW):
                low, high, first = _reach(q, sw, left, W, OW)
                sums, total = column_sum[first::sw], y[plane, i, low:high]
                for k in range(total.size):
                    total[k] += sums[k]
            for j in range(OW):
                y[plane, i, j] *= row_share[i] * column_share[j]


@loop
def _share_out(start, stop, dy, KH, KW, sh, sw, top, left, row_share, column_share, dx):
    H, W = dx.shape[1:]
    OH, OW = dy.shape[1:]
    share, column_share_of_row = np.empty(OW, dy.dtype), np.empty(W, dy.dtype)
    for plane in range(start, stop):
        dx[plane] = 0
        for i in range(OH):
            for j in range(OW):
                share[j] = dy[plane, i, j] * row_share[i] * column_share[j]
            column_share_of_row[:] = 0
            for q in range(KW):
                low, high, first = _reach(q, sw, left, W, OW)
                shares, columns = share[low:high], column_share_of_row[first::sw]
                for k in range(shares.size):
                    columns[k] += shares[k]
            for h in range(max(i * sh - top, 0), min(i * sh - top + KH, H)):
                dx[plane, h] += column_share_of_row


@sum_loop
def _plane_means(start, stop, planes, means):
    for plane in range(start, stop):
        row, total = planes[plane], np.float64(0)
        for k in range(len(row)):  # over indices: the values one by one would not become vectors
            total += row[k]
        means[plane] = total / len(row)


@loop
def _max_of_regions(start, stop, x, rows, columns, y, winners):
    W = x.shape[2]
    for plane in range(start, stop):
        for i in range(len(rows)):
            for j in range(len(columns)):
                first, left = rows[i, 0], columns[j, 0]
                best, winner = x[plane, first, left], first * W + left
                for h in range(first, rows[i, 1]):
                    for w in range(left, columns[j, 1]):
                        value = x[plane, h, w]
                        if (value > best) | (value != value):  # NaN wins
                            best, winner = value, h * W + w
                y[plane, i, j], winners[plane, i, j] = best, winner


@loop
def _to_pixels(start, stop, dy, winners, dx):
    W = dx.shape[2]
    for plane in range(start, stop):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                winner = winners[plane, i, j]
                dx[plane, winner // W, winner % W] += dy[plane, i, j]
