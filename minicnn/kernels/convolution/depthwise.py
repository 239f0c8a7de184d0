"""Depthwise convolution: ``textbook.depthwise_forward`` and ``depthwise_backward`` with vectors of channels, and threads.

y[n, c, i, j] = b[c] + sum over p, q of w[c, p, q] * x_padded[n, c, i*sh + p*dil_h, j*sw + q*dil_w]

All channels do the same with different numbers, so LANES of them make a vector (``simd.vectors``), and x is a picture of them:
LANES planes are transposed when they come into the core's cache, padding around them, and those of y when they leave it. A tap
of the filter is then a vector, too, that multiplies a shifted copy of the picture:

y[i, j] = b + sum over taps t of w[t] * x[offset[t] + (i, j)]

A stride of (sh, sw) deals the rows and columns of x out to sh * sw smaller pictures (its phases), so that what neighbours in y
read of it for one tap are neighbours again: row r of the padded picture is row r // sh of a phase r % sh, columns likewise.
The gradient to x is the same kind of sum, one for each phase of x: over those taps that read it, shifted the other way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...runtime.memory import workspace
from ...runtime.parallel import parallel_for
from ..geometry import ConvGeometry
from ..simd.layout import Planes, starts
from ..simd.vectors import LANES
from . import depthwise_loops as loops
from .depthwise_loops import TAPS, TILE

GROUPS = 8  # of samples, at most, whose weight gradients threads make each for itself: there may be few blocks of channels


class Plan(NamedTuple):
    """y[phase, i, j] = sum over taps t of the phase of w[t] * x[offsets[t] + (i, j)], for i, j within ``shape``.

    Attributes
    ----------
    x, y : Planes
    w : Planes
        Filters (KH*KW,), whose taps come to lie in the order in which the phases take them.
    shape : (rows, columns)
        Of a phase of y.
    sizes : (int, int)
        Numbers in the pictures of vectors that x and y are.
    offsets : int64 (taps,)
        In that order; repeats of the last fill up to a multiple of TAPS.
    first_taps : int64 (phases + 1,)
        Where in it those of each phase begin.
    """

    x: Planes
    y: Planes
    w: Planes
    shape: tuple[int, int]
    sizes: tuple[int, int]
    offsets: np.ndarray
    first_taps: np.ndarray


@lru_cache(maxsize=256)
def plan_forward(geometry: ConvGeometry, H: int, W: int, channels: int) -> Plan:
    """From planes x (H, W) to their y, ``channels`` at a time."""
    (KH, KW), (sh, sw), (top, _, left, _), (dil_h, dil_w) = geometry
    OH, OW = geometry.count(H, W)
    r, s = _pixels(H, W, top, left)
    p, q = _pixels(KH, KW)
    rows = max(OH + (KH - 1) * dil_h // sh, (top + H - 1) // sh + 1)
    columns = max(_tiled(OW) + (KW - 1) * dil_w // sw, (left + W - 1) // sw + 1)
    return Plan(
        x=Planes(starts(channels, H * W), _deal(r, s, geometry, rows, columns) * LANES, columns * LANES),
        y=_picture(channels, OH, OW, _tiled(OW)),
        w=_picture(channels, KH, KW, KW),
        shape=(OH, OW),
        sizes=(sh * sw * rows * columns * LANES, OH * _tiled(OW) * LANES),
        first_taps=np.array([0, KH * KW]),
        offsets=_filled_up(_deal(p * dil_h, q * dil_w, geometry, rows, columns) * LANES),
    )


@lru_cache(maxsize=256)
def plan_backward(geometry: ConvGeometry, H: int, W: int, channels: int) -> Plan:
    """From dy to the planes dx (H, W); the plan calls dy "x" and dx "y", and dx has the phases."""
    (KH, KW), (sh, sw), (top, _, left, _), (dil_h, dil_w) = geometry
    OH, OW = geometry.count(H, W)
    r, s = _pixels(H, W, top, left)
    p, q = _pixels(KH, KW)
    phase = p * dil_h % sh * sw + q * dil_w % sw
    taps = np.argsort(phase, kind="stable")
    up, back = (p * dil_h // sh)[taps], (q * dil_w // sw)[taps]  # rows and columns of dy before those of dx

    row, column = top // sh, left // sw  # the first of a phase that are not all padding
    rows, columns = (top + H - 1) // sh + 1 - row, (left + W - 1) // sw + 1 - column
    above, before = max(up.max() - row, 0), max(back.max() - column, 0)  # zeros around dy
    below = max(OH, row + rows)
    pitch = before + max(OW, column + _tiled(columns))
    place = _deal(r, s, geometry, rows, _tiled(columns)) - row * _tiled(columns) - column
    return Plan(
        x=_picture(channels, OH, OW, pitch, above, before),
        y=Planes(starts(channels, H * W), place * LANES, _tiled(columns) * LANES),
        w=Planes(starts(channels, KH * KW), np.argsort(taps) * LANES, LANES),
        shape=(rows, columns),
        sizes=((above + below) * pitch * LANES, sh * sw * rows * _tiled(columns) * LANES),
        first_taps=np.searchsorted(phase[taps], np.arange(sh * sw + 1)),
        offsets=_filled_up(((row + above - up) * pitch + column + before - back) * LANES),
    )


def _deal(r: np.ndarray, s: np.ndarray, geometry: ConvGeometry, rows: int, columns: int) -> np.ndarray:
    """Where row r and column s of a picture are among its phases (phases, rows, columns)."""
    sh, sw = geometry.stride
    return ((r % sh * sw + s % sw) * rows + r // sh) * columns + s // sw


def _pixels(H: int, W: int, top: int = 0, left: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each pixel in the padded picture, int64 (H*W,)."""
    r, s = np.divmod(np.arange(H * W), W)
    return r + top, s + left


def _picture(channels: int, H: int, W: int, pitch: int, above: int = 0, before: int = 0) -> Planes:
    """Planes (H, W) as a picture of one phase, with zeros before the first row and column."""
    r, s = _pixels(H, W, above, before)
    return Planes(starts(channels, H * W), (r * pitch + s) * LANES, pitch * LANES)


def _tiled(columns: int) -> int:
    return -(-columns // TILE) * TILE


def _filled_up(offsets: np.ndarray) -> np.ndarray:
    return np.pad(offsets, (0, -len(offsets) % TAPS), mode="edge")


def prepare(
    x_shape: tuple[int, ...], w: np.ndarray, b: np.ndarray | None, geometry: ConvGeometry, clip: tuple[float, float]
) -> Callable[[np.ndarray, np.ndarray], None]:
    """A function that fills y (N, C, OH, OW) with min(max(b + w * x, low), high), of x (N, C, H, W), both contiguous.

    w (C, 1, KH, KW), b (C,).
    """
    _, C, H, W = x_shape
    plan = plan_forward(geometry, H, W, min(C, LANES))
    return lambda x, y: _filter(x, w, b, plan, clip, y)


def backward_input(dy: np.ndarray, w: np.ndarray, geometry: ConvGeometry, dx: np.ndarray) -> None:
    """Fill dx (N, C, H, W)."""
    _, C, H, W = dx.shape
    no_clip = tuple(map(dy.dtype.type, (-math.inf, math.inf)))
    _filter(dy, w, None, plan_backward(geometry, H, W, min(C, LANES)), no_clip, dx)


def _filter(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, plan: Plan, clip: tuple[float, float], y: np.ndarray) -> None:
    (N, C), blocks, (low, high) = x.shape[:2], -(-x.shape[1] // LANES), clip
    bias = np.zeros(max(C, LANES), x.dtype)
    bias[:C] = 0 if b is None else b

    def body(start: int, stop: int) -> None:
        lanes_x, lanes_y = _workspaces(plan, x.dtype)
        lanes_w = workspace("lanes w", (blocks, len(plan.w.places) * LANES), x.dtype)
        how = *plan.x, *plan.y, plan.w.rows, plan.w.places, *plan.shape, plan.offsets, plan.first_taps
        loops.filter_planes(start, stop, C, x.ravel(), w.ravel(), bias, low, high, *how, lanes_x, lanes_w, lanes_y, y.ravel())

    parallel_for(N * blocks, body, deferrable=True)


def _workspaces(plan: Plan, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    lanes_x, lanes_y = (workspace(f"lanes {name}", (size,), dtype) for name, size in zip("xy", plan.sizes, strict=True))
    lanes_x[:] = 0  # the padding; the rest is written anew for each unit
    return lanes_x, lanes_y


def backward_weights(dy: np.ndarray, x: np.ndarray, geometry: ConvGeometry, dw: np.ndarray) -> None:
    """Fill dw (C, 1, KH, KW): dw[t] = sum over samples, i and j of dy[i, j] * x[offset[t] + (i, j)]."""
    (N, C, H, W), taps = x.shape, math.prod(geometry.kernel)
    plan, blocks, groups = plan_forward(geometry, H, W, min(C, LANES)), -(-C // LANES), min(N, GROUPS)
    sums = np.zeros((groups, blocks, len(plan.offsets) * LANES), x.dtype)

    def body(start: int, stop: int) -> None:
        lanes_x, lanes_dy = _workspaces(plan, x.dtype)
        how = *plan.x, *plan.y, *plan.shape, plan.offsets
        loops.backward_weights(start, stop, C, N, x.ravel(), dy.ravel(), *how, lanes_x, lanes_dy, sums)

    parallel_for(groups * blocks, body)
    by_channel = sums.sum(axis=0).reshape(blocks, -1, LANES)[:, :taps].transpose(0, 2, 1).reshape(-1, taps)
    last = C - LANES * (blocks - 1)  # channels of the last block that are not in the one before, its last lanes
    dw.reshape(C, taps)[: C - last] = by_channel[: C - last]
    dw.reshape(C, taps)[C - last :] = by_channel[-last:] if blocks > 1 else by_channel[:last]
