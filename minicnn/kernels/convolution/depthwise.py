"""Depthwise convolution: ``textbook.depthwise_forward`` and ``depthwise_backward`` with vectors of channels, and threads.

y[n, i, j, c] = b[c] + sum over p, q of w[p, q, c] * x_padded[n, i*sh + p*dil_h, j*sw + q*dil_w, c]

All channels do the same with different numbers, and lie side by side (``kernels.layout``): a vector of channels of a pixel is
multiplied with the same channels of a tap, and the sums of some neighbouring pixels stay in registers until all taps are added.
Some rows of a picture go through all their channels while they are in the core's cache.

The gradient to x is the same kind of sum from dy, a phase of x after another (``phases``), and the gradient to the filters

dw[p, q, c] = sum over n, i, j of dy[n, i, j, c] * x_padded[n, i*sh + p*dil_h, j*sw + q*dil_w, c]
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...runtime.parallel import gathering, parallel_for, parallel_sum, threads_per_item
from ..elementwise import NO_CLIP
from ..geometry import ConvGeometry
from ..simd.vectors import VECTOR_WIDTH, vectors_of
from . import depthwise_loops as loops
from .direct_loops import gather_gradients
from .phases import Phase, forward_phase, gradient_phases
from .rows import Source, source_of

NUMBERS_PER_PIECE = 1 << 16  # of x, about: they stay in the core's second-level cache
PIXELS_PER_SUM = 1024  # in the weight gradient, about, before they are added to the others: long sums are inexact


def prepare(
    x_shape: tuple[int, ...], w: np.ndarray, b: np.ndarray | None, geometry: ConvGeometry, clip: tuple[float, float]
) -> Callable[[np.ndarray, np.ndarray, int], None]:
    """A function run(x, y, first): the channels of y from ``first`` on become min(max(b + w * x, low), high).

    x (N, H, W, C) and y (N, OH, OW, C or more) are contiguous. ``x_shape`` is (N, C, H, W), w (C, 1, KH, KW), b (C,).
    """
    N, C, H, W = x_shape
    bias = np.zeros(max(C, VECTOR_WIDTH), w.dtype)
    bias[:C] = 0 if b is None else b
    phase = forward_phase(geometry, (H, W))
    return _prepare(phase, (N, H, W), pack(w, phase), bias, clip, geometry.count(H, W), C)


def backward_input(dy: np.ndarray, w: np.ndarray, geometry: ConvGeometry, dx: np.ndarray) -> None:
    """Fill dx (N, H, W, C) from dy (N, OH, OW, C)."""
    (N, OH, OW, C), (H, W) = dy.shape, dx.shape[1:3]
    zeros = np.zeros(max(C, VECTOR_WIDTH), dy.dtype)
    phases = gradient_phases(geometry, (H, W))
    if not all(phase.taps for phase in phases):
        dx[...] = 0
    with gathering():
        for phase in phases:
            if phase.taps:
                _prepare(phase, (N, OH, OW), pack(w, phase), zeros, NO_CLIP, (H, W), C)(dy, dx, 0)


def pack(w: np.ndarray, phase: Phase) -> np.ndarray:
    """w (C, 1, KH, KW) as (taps of the phase, C), flat, with zeros up to a whole vector."""
    C = len(w)
    packed = np.zeros((len(phase.taps), max(C, VECTOR_WIDTH)), w.dtype)
    packed[:, :C] = w.reshape(C, -1).T[list(phase.taps)]
    return packed.reshape(-1)


def _prepare(
    phase: Phase,
    input_shape: tuple[int, int, int],
    w: np.ndarray,
    bias: np.ndarray,
    clip: tuple[float, float],
    output_size: tuple[int, int],
    C: int,
) -> Callable[[np.ndarray, np.ndarray, int], None]:
    """A function run(x, y, first) for a phase of y (N, *output_size, C or more), of x (N, H, W, C)."""
    (N, H, W), (rows, columns), (sh, sw), (th, tw), (a, b) = input_shape, phase.count, phase.stride, phase.step, phase.first
    (OH, OW), source, clip = output_size, source_of(phase, (H, W)), tuple(map(bias.dtype.type, clip))
    offsets = source.place(np.array(phase.offsets)) * C
    x_steps = sh * source.columns * C, sw * C
    pieces = _divide(N, rows, source, C)

    def run(x: np.ndarray, y: np.ndarray, first: int) -> None:
        pitch = y.shape[3]
        of_y, y_steps = y.reshape(-1)[(a * OW + b) * pitch + first :], (OH * OW * pitch, th * OW * pitch, tw * pitch)

        def body(start: int, stop: int) -> None:
            some, room = pieces[start:stop], source.room(1, int(pieces[:, 2].max()), x)
            loops.filter_pieces(some, x, source.window, room, offsets, w, bias, clip, columns, x_steps, of_y, y_steps)

        parallel_for(len(pieces), body, deferrable=True)

    return run


def _divide(N: int, rows: int, source: Source, C: int, most_pixels: int | None = None) -> np.ndarray:
    """The pieces of the work, (sample, first row, rows of y): their pixels stay in the cache, and each thread has some."""
    most = max(NUMBERS_PER_PIECE // (source.columns * C * source.row_step), 1)
    if most_pixels:
        most = max(min(most, most_pixels // source.columns), 1)
    cuts = min(max(-(-rows // most), threads_per_item(N)), rows)
    found = [(n, rows * i // cuts, rows * (i + 1) // cuts - rows * i // cuts) for n in range(N) for i in range(cuts)]
    return np.array(found).reshape(-1, 3)


def backward_weights(dy: np.ndarray, x: np.ndarray, geometry: ConvGeometry, dw: np.ndarray) -> None:
    """Fill dw (C, 1, KH, KW) from dy (N, OH, OW, C) and x (N, H, W, C)."""
    (N, OH, _, C), (H, W), taps = dy.shape, x.shape[1:3], dw[0].size
    phase, (sh, sw) = forward_phase(geometry, (H, W)), geometry.stride
    source = source_of(phase, (H, W))
    offsets = source.place(np.array(phase.offsets)) * C
    offsets = np.pad(offsets, (0, -taps % loops.TAPS), mode="edge")
    x_steps, pieces = (sh * source.columns * C, sw * C), _divide(N, OH, source, C, PIXELS_PER_SUM)
    shape = vectors_of(C), len(offsets), VECTOR_WIDTH

    def add(start: int, stop: int, total: np.ndarray) -> None:
        some, room = pieces[start:stop], source.room(1, int(pieces[:, 2].max()), x)
        loops.add_gradients_of_pieces(some, x, source.window, room, offsets, dy, x_steps, total)

    sums = parallel_sum(len(pieces), add, shape, x.dtype)
    by_tap = sums.swapaxes(0, 1).reshape(1, len(offsets), -1)  # as those of C filters of one channel
    gather_gradients(0, len(sums), by_tap, 1, dw.reshape(1, C, 1, taps))
