"""Winograd's convolution: ``textbook.winograd_forward`` with tiles of 4x4 as well, gradients, vectors, caching and threads.

It is for 3x3 filters with a stride of 1, and needs a quarter of the multiplications.

A tile of m x m outputs depends on a window of alpha x alpha inputs, alpha = m + 2. Instead of 9 products for each output,
both the window d and the filter g go to another domain, in which the convolution is a product of elements, and back:

Y = A^T [ (G g G^T) . (B^T d B) ] A          ( . multiplies element by element)

That is alpha^2 products for m^2 outputs: 36 for 16 with m = 4, where the definition needs 9 * 16 = 144; 16 for 4 with m = 2,
where it needs 36. The three constant matrices hold small numbers, and applying them is cheap beside the sum over channels,
which can be taken before going back and makes alpha^2 matrix products out of the elements:

V[k] (tiles, C) = transformed windows,  U[k] (C, F) = transformed filters,  M[k] = V[k] U[k] (tiles, F),  k = (i, j)

The gradients are the same three steps. dx is a convolution of dy with the filters turned by 180 degrees. dw follows from
transposing each step of the equation: dU[k] = V[k]^T dM[k] with dM = A dy A^T, and dw = G^T dU G.

The matrices come from polynomials that are multiplied by way of their values at 0, 1, -1, (2, -2,) and infinity; larger tiles
save more products, and lose digits, as the points are further apart. Sums are taken in another order than the definition's, so
results differ from it by rounding; ``docs/speed.md`` has the measured errors.

Source: Winograd 1980, "Arithmetic Complexity of Computations"; Lavin, Gray 2016, "Fast Algorithms for Convolutional Neural
Networks" (arXiv 1509.09308), sections 4.1 to 4.3 and algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...runtime.memory import workspace
from ...runtime.parallel import loop_threads, parallel_for
from ..elementwise import NO_CLIP
from ..simd.products import ROWS, flat_filters, panels
from ..simd.vectors import VECTOR_WIDTH, vectors_of
from . import winograd_loops as loops
from .winograd_transforms import F4, Transform

NUMBERS_PER_BLOCK = 1 << 18  # of V and M in a block of tiles: 1 MB, what a core's second-level cache holds
TILES_PER_BLOCK = 36  # at least, and for a thread: the filters are read for each block; a multiple of ROWS
MANY_TILES = 128  # with more, they pay for filters that are transformed before, and written to memory
NARROW = 1 << 15  # numbers in the filters, up to which that costs little
TILES_PER_SUM = 64  # in the weight gradient, about: more do not fit the cache, fewer visit dU too often
LARGE, MANY = 1 << 20, 128  # transformed filters, in numbers, and pixels that use them, above both of which they are not kept


def prepare(
    x_shape: tuple[int, ...],
    w: np.ndarray,
    b: np.ndarray | None,
    origin: tuple[int, int],
    output_size: tuple[int, int],
    *,
    clip: tuple[float, float],
    transform: Transform = F4,
    packed_filters: dict[int | str, np.ndarray] | None = None,
) -> Callable[[np.ndarray, np.ndarray, int], None]:
    """A function run(x, y, first): the channels of y from ``first`` on become min(max(b + w * x, low), high).

    x (N, H, W, C) and y (N, OH, OW, F or more) are contiguous. ``x_shape`` is (N, C, H, W), w (F, C, 3, 3). ``origin`` is
    (top, left), the padding before the first row and column; ``output_size`` (OH, OW) tells what comes after the last.
    ``packed_filters``, if given, is a cache for these filters, transformed. Those of wide layers with many pixels are not kept
    in it: they would fill the memory and save little of the layer's time.
    """
    N, C, (OH, OW), F = x_shape[0], x_shape[1], output_size, len(w)
    options = {"clip": clip, "transform": transform, "packed_filters": packed_filters}
    return _prepare((N, C, F, OH, OW), w, b, origin, is_turned=False, **options)


def backward_input(dy: np.ndarray, w: np.ndarray, origin: tuple[int, int], dx: np.ndarray, transform: Transform = F4) -> None:
    """Fill dx (N, H, W, C): dy (N, OH, OW, F) padded by 2 - top and 2 - left, convolved with w, turned, its axes exchanged."""
    (N, H, W, C), F = dx.shape, dy.shape[3]
    padding = 2 - origin[0], 2 - origin[1]
    options = {"clip": NO_CLIP, "transform": transform, "packed_filters": None}
    _prepare((N, F, C, H, W), w, None, padding, is_turned=True, **options)(dy, dx, 0)


def backward_weights(dy: np.ndarray, x: np.ndarray, origin: tuple[int, int], dw: np.ndarray, transform: Transform = F4) -> None:
    """Fill dw (F, C, 3, 3) = G^T dU G, dU[k] = sum over tiles of V[k]^T dM[k], from dy (N, OH, OW, F) and x (N, H, W, C).

    Each thread takes a range of tiles, some of them at a time, and sums up a dU of its own. Where there are too few tiles for
    that, all are transformed first, and each thread then takes some k.
    """
    (F, C), (m, K), dtype = dw.shape[:2], (transform.m, transform.alpha**2), x.dtype
    (N, OH, OW), of_columns, origin = dy.shape[:3], panels(F, dtype), tuple(map(np.int64, origin))
    width = vectors_of(F) * VECTOR_WIDTH
    grid, tiles = _tiling(N, OH, OW, m)
    per_thread = -(-tiles // loop_threads())
    size = -(-per_thread // max(round(per_thread / TILES_PER_SUM), 1))  # tiles at a time, all but equally many
    has_many = per_thread >= TILES_PER_SUM // 2
    count_of_sums = min(tiles, loop_threads()) if has_many else 1
    # asked for out here, not in the tasks that fill them: they are read when those have ended
    sums = workspace("winograd dU", (count_of_sums, K * C * width), dtype)

    def workspaces(tiles: int) -> tuple[np.ndarray, np.ndarray]:
        V = workspace("winograd V", (K * tiles * max(C, VECTOR_WIDTH),), dtype)
        return V, workspace("winograd M", (K * tiles * max(F, VECTOR_WIDTH),), dtype)

    def tile_range(start: int, stop: int) -> None:
        V, dM = workspaces(size)
        task = -(-start * count_of_sums // tiles)  # the inverse of start = tiles * task // count_of_sums
        loops.correlate(start, stop, size, x, origin, V, dy, dM, m, grid, of_columns, sums[task])

    if has_many:
        parallel_for(tiles, tile_range)
    else:
        V, dM = workspaces(tiles)

        def transform_range(start: int, stop: int) -> None:
            loops.transform_tiles(start, stop, loops.BT, m + 2, m, x, origin, grid, V, tiles, 0)
            loops.transform_tiles(start, stop, loops.A, m, m, dy, (np.int64(0), np.int64(0)), grid, dM, tiles, 0)

        parallel_for(tiles, transform_range)
        parallel_for(K, lambda start, stop: loops.add_products(start, stop, tiles, C, F, V, dM, of_columns, True, sums[0]))

    dU, *others = sums
    dw_flat, by_channel = dw.reshape(F, C, 9), (K, C, width)

    def restore_range(start: int, stop: int) -> None:
        for other in others:
            dU.reshape(by_channel)[:, start:stop] += other.reshape(by_channel)[:, start:stop]
        loops.restore_filters(start, stop, m, dU, dw_flat)

    parallel_for(C, restore_range)


def _prepare(
    shape: tuple[int, int, int, int, int],
    w: np.ndarray,
    b: np.ndarray | None,
    origin: tuple[int, int],
    *,
    is_turned: bool,
    clip: tuple[float, float],
    transform: Transform,
    packed_filters: dict[int | str, np.ndarray] | None,
) -> Callable[[np.ndarray, np.ndarray, int], None]:
    """y = clip(b + w * x); or, if ``is_turned``, with the filters of w turned by 180 degrees and its axes exchanged.

    ``shape`` is (N, C, F, OH, OW). Threads take ranges of tiles: a block of tiles is transformed, multiplied with a panel of
    filters after another and brought back while it is in a core's cache. All filters are transformed before that. Where there
    are too few tiles to share, or where one block has all of them and the filters are not kept, threads take panels of
    filters, and (unless they are kept) a panel is transformed and used while it is in the cache.
    """
    (N, C, F, OH, OW), m, K, dtype = shape, transform.m, transform.alpha**2, w.dtype
    grid, tiles = _tiling(N, OH, OW, m)
    of_columns, origin, clip = panels(F, dtype), tuple(map(np.int64, origin)), tuple(map(dtype.type, clip))
    widest, pitch = int(of_columns[:, 0].max()) * VECTOR_WIDTH, max(C, VECTOR_WIDTH)
    bias = np.zeros(max(F, VECTOR_WIDTH), dtype)
    bias[:F] = 0 if b is None else b
    w_flat, (f_step, c_step, t_step) = flat_filters(w)
    w_steps = (c_step, f_step, t_step) if is_turned else (f_step, c_step, t_step)
    if tiles * m * m > MANY and K * C * F > LARGE:
        packed_filters = None
    is_kept = packed_filters is not None

    def all_filters() -> np.ndarray:
        """U, from ``packed_filters`` if there is such a cache."""
        if is_kept and (U := packed_filters.get(K)) is not None:
            return U
        size = K * C * vectors_of(F) * VECTOR_WIDTH
        U = np.empty(size, dtype) if is_kept else workspace("winograd U", (size,), dtype)

        def transform_range(start: int, stop: int) -> None:
            loops.transform_filters(start, stop, m, w_flat, w_steps, is_turned, of_columns, C, U)

        parallel_for(-(-C // loops.CHANNELS_AT_ONCE), transform_range)
        if is_kept:
            packed_filters.clear()  # of the other transform
            packed_filters[K] = U
        return U

    size = min(max(NUMBERS_PER_BLOCK // (K * (C + widest)) // ROWS * ROWS, TILES_PER_BLOCK), max(tiles, 1))
    by_tiles = tiles >= TILES_PER_BLOCK * loop_threads() and (tiles > MANY_TILES or is_kept)
    if by_tiles or C * F <= NARROW:

        def run(x: np.ndarray, y: np.ndarray, first: int) -> None:
            U, y_flat, of_y = all_filters(), y.reshape(-1)[first:], (*grid, OH, OW, y.shape[3])

            def tile_range(start: int, stop: int) -> None:
                V = workspace("winograd V", (K * size * pitch,), dtype)
                M = workspace("winograd M", (K * size * widest,), dtype)
                loops.convolve(start, stop, size, x, origin, V, U, M, m, of_columns, bias, clip, y_flat, of_y)

            # filters in the workspace are gone with the next call, so that a loop over them cannot be put off
            parallel_for(tiles, tile_range, deferrable=is_kept)

    else:

        def run(x: np.ndarray, y: np.ndarray, first: int) -> None:
            y_flat, of_y = y.reshape(-1)[first:], (*grid, OH, OW, y.shape[3])
            V = workspace("winograd V", (K * tiles * pitch,), dtype)
            whole = all_filters() if is_kept else None

            def transform_range(start: int, stop: int) -> None:
                loops.transform_tiles(start, stop, loops.BT, m + 2, m, x, origin, grid, V, tiles, 0)

            def panel_range(start: int, stop: int) -> None:
                M = workspace("winograd M", (K * tiles * widest,), dtype)
                U = whole if is_kept else workspace("winograd U", (K * loops.CHANNELS_AT_ONCE * widest,), dtype)
                how = w_flat, w_steps, is_turned, C, V, U, is_kept, M, m, bias, clip, y_flat, of_y
                loops.convolve_panels(of_columns[start:stop], *how)

            parallel_for(tiles, transform_range)
            parallel_for(len(of_columns), panel_range)

    return run


def _tiling(N: int, OH: int, OW: int, m: int) -> tuple[tuple[int, int], int]:
    """How many tiles of m x m outputs there are down and across a picture, and in the whole batch, in the order (n, ti, tj)."""
    grid = -(-OH // m), -(-OW // m)
    return grid, N * grid[0] * grid[1]
