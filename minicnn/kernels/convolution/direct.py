"""Direct convolution: the sums of ``reference.conv2d_forward`` and of its backward, with vectors, caching and threads.

y[n, i, j, f] = b[f] + sum over p, q, c of x_padded[n, i*sh + p*dil_h, j*sw + q*dil_w, c] * w[p, q, c, f]

With channels last in memory (``kernels.layout``), the numbers of a window are a few runs that follow each other: a row of the
window if its taps are neighbours, KW*C numbers, else a tap, C numbers. Each number of x meets vectors of filters (see
``simd.products``), and nothing is turned or copied to columns; only the borders of a picture need a copy with zeros around
it, some rows at a time. It is the algorithm for every kernel, stride, dilation and number of groups: 1x1 filters are a plain
product of matrices that way, and the first layer of a network is nothing special.

The gradient to x is the same sum from dy, a phase of x after another (``phases``). Where x has so few channels that they would
fill a small part of a vector, as the pictures have with which a network begins, taps and channels are columns of a matrix:

dcolumns[n, i, j, (p, q, c)] = sum over f of dy[n, i, j, f] * w[p, q, c, f]
dx_padded[n, i*sh + p*dil_h, j*sw + q*dil_w, c] += dcolumns[n, i, j, (p, q, c)]

For the gradient to the filters,

dw[p, q, c, f] = sum over n, i, j of x_padded[n, i*sh + p*dil_h, j*sw + q*dil_w, c] * dy[n, i, j, f],

the sum runs along a row of pixels, and taps and channels have the places in x that pixels have above.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from ...runtime.memory import workspace
from ...runtime.parallel import gathering, loop_threads, parallel_for, parallel_sum, serial_if, threads_per_item
from ..elementwise import NO_CLIP
from ..geometry import ConvGeometry
from ..simd.products import MOST_VECTORS, ROWS, flat_filters, pack, pack_matrix, panels
from ..simd.vectors import VECTOR_WIDTH, vectors_of
from . import direct_loops as loops
from .phases import Phase, forward_phase, gradient_phases, runs
from .rows import Source, source_of

NUMBERS_PER_PIECE = 1 << 16  # of x, about: they stay in the core's second-level cache
PIXELS_PER_PIECE = 196  # of small maps, samples are taken together up to so many: each piece reads all filters
NUMBERS_PER_PART = 1 << 15  # of a panel of filters, about: they stay in the second-level cache while all pixels see them
PIXELS_PER_SUM = 128  # of a row of sums in the weight gradient: what they read stays in the first-level cache
FEW_CHANNELS = VECTOR_WIDTH // 2
SHORT_PACKING = 1 << 18  # weights that are packed or gathered in less time than it takes to wake another thread
SMALL_GRADIENT = 1 << 16  # numbers in dw, up to which each thread has one of its own


class Piece(NamedTuple):
    """Some rows of some samples of a phase of y, and some panels of filters."""

    n: int
    samples: int
    row: int
    rows: int
    panels: slice


def prepare(
    x_shape: tuple[int, ...],
    w: np.ndarray,
    b: np.ndarray | None,
    geometry: ConvGeometry,
    groups: int,
    *,
    clip: tuple[float, float],
    packed_filters: dict[int | str, np.ndarray] | None = None,
) -> Callable[[np.ndarray, np.ndarray, int], None]:
    """A function run(x, y, first): the channels of y from ``first`` on become min(max(b + w * x, low), high).

    x (N, H, W, C) and y (N, OH, OW, F or more) are contiguous. ``x_shape`` is (N, C, H, W), w (F, C / groups, KH, KW).
    ``packed_filters``, if given, is a cache for these filters.
    """
    (N, _, H, W), phase, (F, channels) = x_shape, forward_phase(geometry, x_shape[2:]), w.shape[:2]
    F_group, dtype = F // groups, w.dtype
    bias = np.zeros((groups, max(F_group, VECTOR_WIDTH)), dtype)
    if b is not None:
        bias[:, :F_group] = b.reshape(groups, F_group)

    def packed() -> np.ndarray:
        if packed_filters is not None and "direct" in packed_filters:
            return packed_filters["direct"]
        filters = _pack(w, groups, phase, is_gradient=False)
        if packed_filters is not None:
            packed_filters["direct"] = filters
        return filters

    return _prepare(phase, (N, H, W), (groups, channels, F_group), packed, bias, clip, geometry.count(H, W))


def backward_input(dy: np.ndarray, w: np.ndarray, geometry: ConvGeometry, groups: int, dx: np.ndarray) -> None:
    """Fill dx (N, H, W, C) from dy (N, OH, OW, F); w (F, C / groups, KH, KW)."""
    (N, OH, OW, F), (H, W), channels = dy.shape, dx.shape[1:3], w.shape[1]
    if groups == 1 and channels <= FEW_CHANNELS and geometry.kernel != (1, 1):
        _scatter(dy, w, geometry, dx)
        return
    F_group = F // groups
    zeros = np.zeros((groups, max(channels, VECTOR_WIDTH)), dx.dtype)
    phases = gradient_phases(geometry, (H, W))
    if not all(phase.taps for phase in phases):
        dx[...] = 0
    with gathering():
        for phase in phases:
            if phase.taps:
                packed = partial(_pack, w, groups, phase, is_gradient=True)
                _prepare(phase, (N, OH, OW), (groups, F_group, channels), packed, zeros, NO_CLIP, (H, W))(dy, dx, 0)


def _scatter(dy: np.ndarray, w: np.ndarray, geometry: ConvGeometry, dx: np.ndarray) -> None:
    """`backward_input` by way of columns. Threads take samples, or rows of one; some rows of dy then reach two parts."""
    (N, OH, OW, F), (H, _, C), dtype = dy.shape, dx.shape[1:], dy.dtype
    (KH, KW), (sh, _), (top, _, _, _), (dil_h, _) = geometry
    size = KH * KW * C
    of_columns, width = panels(size, dtype), vectors_of(size) * VECTOR_WIDTH
    packed = pack_matrix(w.transpose(2, 3, 1, 0).reshape(size, F), of_columns)  # the columns are (p, q, c)
    parts = min(threads_per_item(N), H)
    pieces = [(n, row, row + rows) for n in range(N) for row, rows in _split(H, parts)]
    at_once = min(max(PIXELS_PER_PIECE // OW, 1), OH)  # rows of dy

    def body(start: int, stop: int) -> None:
        columns = workspace("columns", (at_once * OW * width,), dtype)
        for n, first, end in pieces[start:stop]:
            i = max(-(-(first + top - (KH - 1) * dil_h) // sh), 0)  # the first row of dy that reaches these of dx
            rows_of_dy = (i, min((end - 1 + top) // sh + 1, OH))
            how = rows_of_dy, at_once, packed, of_columns, columns, geometry.flat
            loops.scatter(dy[n], *how, (first, end), dx[n])

    parallel_for(len(pieces), body)


def _pack(w: np.ndarray, groups: int, phase: Phase, is_gradient: bool) -> np.ndarray:
    """The filters of a phase as `products.pack` writes them, for each group: F columns of C channels, in a gradient C of F."""
    w_flat, (f_step, c_step, t_step) = flat_filters(w)
    F, C = len(w) // groups, w.shape[1]
    columns, channels, steps = (C, F, (c_step, f_step, t_step)) if is_gradient else (F, C, (f_step, c_step, t_step))
    of_columns, taps = panels(columns, w.dtype), np.array(phase.taps)
    size = vectors_of(columns) * VECTOR_WIDTH * len(taps) * channels
    packed = np.empty((groups, size), w.dtype)

    def body(start: int, stop: int) -> None:
        for piece in range(start, stop):
            g, panel = divmod(piece, len(of_columns))
            pack(w_flat[g * F * f_step :], taps, channels, steps, of_columns[panel : panel + 1], packed[g])

    with serial_if(packed.size < SHORT_PACKING):
        parallel_for(groups * len(of_columns), body)
    return packed


class _Plan(NamedTuple):
    """What follows from the shapes alone; see `_plan`.

    Attributes
    ----------
    source : Source
    offsets : int64 (runs,)
        Where each run of numbers begins, from a pixel on.
    parts : int64 (parts, 4)
        How the sum is divided, see `direct_loops.convolve`.
    panels : int64 (panels, 5)
    sizes : (groups, channels, columns, numbers in the filters of a group)
    width : int
        Of the sums of a pixel.
    work : tuple of (Piece, places, panels of the piece)
    """

    source: Source
    offsets: np.ndarray
    parts: np.ndarray
    panels: np.ndarray
    sizes: tuple[int, int, int, int]
    width: int
    work: tuple[tuple[Piece, np.ndarray, np.ndarray], ...]


@lru_cache(maxsize=128)
def _plan(
    phase: Phase,
    input_shape: tuple[int, int, int],
    sizes: tuple[int, int, int],
    output_shape: tuple[int, int, int],
    dtype: np.dtype,
    threads: int,
) -> _Plan:
    """For a phase of y, ``output_shape`` (OH, OW, channels); ``sizes`` is (groups, channels and columns of a group)."""
    (N, H, W), (groups, channels, columns) = input_shape, sizes
    source, (offsets, length) = source_of(phase, (H, W)), runs(phase, channels, groups == 1)
    of_columns, width = panels(columns, dtype), max(columns, VECTOR_WIDTH)
    size = vectors_of(columns) * VECTOR_WIDTH * len(offsets) * length
    pieces = _divide(phase, N, source.columns * groups * channels, len(of_columns), threads)
    places = {  # the same for most pieces
        size: _places(phase, source, groups * channels, output_shape, width, *size)
        for size in {(piece.samples, piece.rows) for piece in pieces}
    }
    work = tuple((piece, places[piece.samples, piece.rows], of_columns[piece.panels]) for piece in pieces)
    parts = _parts(len(offsets), length, int(of_columns[:, 0].max()) * VECTOR_WIDTH)
    numbers = source.place(offsets) * (groups * channels)
    return _Plan(source, numbers, parts, of_columns, (*sizes, size), width, work)


def _prepare(
    phase: Phase,
    input_shape: tuple[int, int, int],
    sizes: tuple[int, int, int],
    packed: Callable[[], np.ndarray],
    bias: np.ndarray,
    clip: tuple[float, float],
    output_size: tuple[int, int],
) -> Callable[[np.ndarray, np.ndarray, int], None]:
    """A function run(x, y, first) for a phase of y (N, *output_size, all columns or more), of x (N, H, W, all channels).

    ``sizes`` is (groups, channels of a group, columns of a group).
    """
    dtype, clip, (OH, OW), (th, _), (a, b) = bias.dtype, tuple(map(bias.dtype.type, clip)), output_size, phase.step, phase.first

    def run(x: np.ndarray, y: np.ndarray, first: int) -> None:
        pitch, filters = y.shape[3], packed().reshape(-1)
        plan, y_flat = _plan(phase, input_shape, sizes, (OH, OW, pitch), dtype, loop_threads()), y.reshape(-1)[first:]

        def body(start: int, stop: int) -> None:
            for (n, samples, row, rows, _), places, of_columns in plan.work[start:stop]:
                of_x = plan.source.read(x, n, samples, row, rows)
                sums = workspace("sums", (places.shape[1] * plan.width if len(plan.parts) > 1 else 0,), dtype)
                of_y = y_flat[((n * OH + row * th + a) * OW + b) * pitch :]
                loops.convolve(of_x, places, plan.parts, plan.offsets, filters, of_columns, plan.sizes, bias, clip, of_y, sums)

        parallel_for(len(plan.work), body, deferrable=True)

    return run


def _parts(count: int, length: int, width: int) -> np.ndarray:
    """How a sum of ``count`` runs is divided: (first run, end of runs, first number, end of numbers) of each part."""
    most = max(NUMBERS_PER_PART // width, 1)
    if length > most:
        cuts = -(-length // most)
        parts = [(run, run + 1, a, a + some) for run in range(count) for a, some in _split(length, cuts)]
    else:
        cuts = min(-(-count * length // most), count)
        parts = [(a, a + some, 0, length) for a, some in _split(count, cuts)]
    return np.array(parts)


@lru_cache(maxsize=256)
def _divide(phase: Phase, N: int, row_size: int, count_of_panels: int, threads: int) -> list[Piece]:
    """The pieces of the work: some rows of a large map or some small maps, and all filters or, of little else, some panels."""
    OH, OW = phase.count
    rows = max(NUMBERS_PER_PIECE // (row_size * phase.stride[0]), 1)
    samples = 1 if rows < OH else max(min(PIXELS_PER_PIECE // (OH * OW), rows // OH, -(-N // threads)), 1)
    cuts = -(-OH // rows)
    if samples > 1:  # as many for each thread
        rounds = -(-N // (threads * samples))
        samples = -(-N // (threads * rounds))
    count, shares = -(-N // samples) * cuts, 1
    if count % threads and count < 4 * threads:  # one thread would have a good part more to do than the others
        if OH * OW * N < PIXELS_PER_PIECE and count_of_panels >= threads:
            shares = threads
        elif samples == 1:
            cuts = min(cuts * threads, OH)
    blocks = [(n, min(samples, N - n), *block) for n in range(0, N, samples) for block in _split(OH, cuts)]
    return [Piece(*block, slice(a, a + some)) for block in blocks for a, some in _split(count_of_panels, shares)]


def _split(n: int, count: int) -> list[tuple[int, int]]:
    """range(n) in so many parts: where each begins, and how many it has."""
    return [(n * i // count, n * (i + 1) // count - n * i // count) for i in range(count)]


def _places(
    phase: Phase, source: Source, C: int, output_shape: tuple[int, int, int], width: int, samples: int, rows: int
) -> np.ndarray:
    """Where the pixels of a piece lie in x, in the sums and in y; the last is repeated until they are a multiple of ROWS."""
    (sh, sw), (th, tw), (OH, OW, pitch) = phase.stride, phase.step, output_shape
    n, i, j = np.indices((samples, rows, phase.count[1])).reshape(3, -1)
    in_x = ((n * source.pitch(rows) + i * sh) * source.columns + j * sw) * C
    in_y = ((n * OH + i * th) * OW + j * tw) * pitch
    return np.pad(np.stack([in_x, np.arange(len(n)) * width, in_y]), ((0, 0), (0, -len(n) % ROWS)), mode="edge")


def backward_weights(dy: np.ndarray, x: np.ndarray, geometry: ConvGeometry, groups: int, dw: np.ndarray) -> None:
    """Fill dw (F, C / groups, KH, KW) from dy (N, OH, OW, F) and x (N, H, W, C).

    Of 1x1 filters, x and dy have the same part in it: those that fill vectors lie in vectors, if both do, the channels of x,
    whose sums are then rows of dw.
    """
    (F, channels), by_group = dw.shape[:2], dw.reshape(groups, len(dw) // groups, dw.shape[1], -1)
    if geometry.is_pointwise and groups == 1 and channels >= min(F, MOST_VECTORS * VECTOR_WIDTH):
        sums = _sums_over_pixels(x, dy, geometry, 1)[0]
        with serial_if(dw.size < SHORT_PACKING):
            parallel_for(F, lambda start, stop: loops.gather_rows(start, stop, sums, dw.reshape(F, channels)))
        return
    sums = _sums_over_pixels(dy, x, geometry, groups)
    with serial_if(dw.size < SHORT_PACKING):
        parallel_for(vectors_of(F // groups), lambda start, stop: loops.gather_gradients(start, stop, sums, channels, by_group))


def _sums_over_pixels(dy: np.ndarray, x: np.ndarray, geometry: ConvGeometry, groups: int) -> np.ndarray:
    """sums[g, (p, q, c), f] over all pixels, whole vectors of f; the last pairs (p, q, c) may be more than there are.

    Of few filters and channels each thread takes some pixels, and has a sum of its own; of many, some taps and channels.
    """
    (N, OH, OW, F), (H, W, C), channels = dy.shape, x.shape[1:], x.shape[3] // groups
    phase, F_group, dtype, (sh, sw) = forward_phase(geometry, (H, W)), F // groups, x.dtype, geometry.stride
    source, of_columns, vectors = source_of(phase, (H, W)), panels(F_group, dtype), vectors_of(F_group)
    taps = (source.place(np.array(phase.offsets))[:, None] * C + np.arange(channels)).ravel()
    taps = np.pad(taps, (0, -len(taps) % ROWS), mode="edge")
    in_sums = np.arange(len(taps)) * (vectors * VECTOR_WIDTH)
    places = np.stack([taps, in_sums, in_sums])
    pieces = _divide(phase, N, source.columns * C, 1, loop_threads())
    shape = groups, len(taps), vectors * VECTOR_WIDTH

    def add(some: list[Piece], of_sums: np.ndarray, total: np.ndarray) -> None:
        runs_at_once = min(max(PIXELS_PER_SUM // OW, 1), max((piece.samples * piece.rows for piece in some), default=1))
        narrow = workspace("narrow", (runs_at_once * OW * VECTOR_WIDTH if F_group < VECTOR_WIDTH else 0,), dtype)
        for n, samples, row, rows, _ in some:
            of_x, of_dy = source.read(x, n, samples, row, rows), dy.reshape(-1)[(n * OH + row) * OW * F :]
            i, j = np.indices((samples, rows)).reshape(2, -1)
            runs = (i * source.pitch(rows) + j * sh) * (source.columns * C)
            loops.add_gradients(
                of_x, runs, runs_at_once, OW, sw * C, of_dy, (groups, channels, F_group), of_sums, of_columns, narrow, total
            )  # fmt: skip

    if math.prod(shape) > SMALL_GRADIENT or len(pieces) < loop_threads():
        sums = np.zeros(shape, dtype)
        parallel_for(
            len(taps) // ROWS,
            lambda start, stop: add(pieces, np.ascontiguousarray(places[:, start * ROWS : stop * ROWS]), sums),
        )
        return sums
    return parallel_sum(len(pieces), lambda start, stop, total: add(pieces[start:stop], places, total), shape, dtype)
