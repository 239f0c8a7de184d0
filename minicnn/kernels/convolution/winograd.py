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
from ..simd.layout import blocks_of
from ..simd.products import ROWS
from ..simd.vectors import LANES
from . import winograd_loops as loops
from .winograd_transforms import F4, Transform

BLOCK = 1 << 17  # floats of V and M in a block of tiles: 512 KB, what a core's second-level cache holds
FEW = 32  # tiles in a block, at least, and for a thread: the filters are read for each block
NARROW = 1 << 15  # numbers in the filters, up to which that costs little
CORRELATED = 64  # tiles at a time in the weight gradient, about: more do not fit the cache, fewer visit dU too often
LARGE, MANY = 1 << 20, 128  # transformed filters, in numbers, and pixels that use them, above both of which they are not kept


def prepare(
    x_shape: tuple[int, ...],
    y_shape: tuple[int, ...],
    w: np.ndarray,
    b: np.ndarray | None,
    origin: tuple[int, int],
    *,
    clip: tuple[float, float],
    transform: Transform = F4,
    packed_filters: dict[int, np.ndarray] | None = None,
) -> Callable[[np.ndarray, np.ndarray], None]:
    """A function that fills y (N, F, OH, OW) with min(max(b + w * x, low), high), of x (N, C, H, W); w (F, C, 3, 3) contiguous.

    ``origin`` is (top, left), the padding before the first row and column; y's size tells what comes after the last.
    ``packed_filters``, if given, is a cache for these filters, transformed. Those of wide layers with many pixels are not kept
    in it: they would fill the memory and save little of the layer's time.
    """
    options = {"clip": clip, "transform": transform, "packed_filters": packed_filters}
    return _prepare(x_shape, y_shape, w, b, origin, is_turned=False, **options)


def backward_input(dy: np.ndarray, w: np.ndarray, origin: tuple[int, int], dx: np.ndarray, transform: Transform = F4) -> None:
    """Fill dx (N, C, H, W): dy padded by 2 - top and 2 - left, convolved with w (F, C, 3, 3), turned and its axes exchanged."""
    no_clip, padding = tuple(map(dx.dtype.type, (-np.inf, np.inf))), (2 - origin[0], 2 - origin[1])
    options = {"clip": no_clip, "transform": transform, "packed_filters": None}
    _prepare(dy.shape, dx.shape, w, None, padding, is_turned=True, **options)(dy, dx)


def backward_weights(dy: np.ndarray, x: np.ndarray, origin: tuple[int, int], dw: np.ndarray, transform: Transform = F4) -> None:
    """Fill dw (F, C, 3, 3) = G^T dU G, dU[k] = sum over tiles of V[k]^T dM[k].

    Each thread takes a range of tiles, some of them at a time, and sums up a dU of its own. Where there are too few tiles for
    that, all are transformed first, and each thread then takes some k.
    """
    (F, C), (m, K), dtype = dw.shape[:2], (transform.m, transform.alpha**2), x.dtype
    width, blocks = max(C, LANES), blocks_of(F)
    grid, tiles = _tiling(dy.shape, m)
    mine = -(-tiles // loop_threads())
    size = -(-mine // max(round(mine / CORRELATED), 1))  # tiles at a time, all but equally many
    sums_of_tasks = min(tiles, loop_threads()) if mine >= CORRELATED // 2 else 1
    # asked for out here, not in the tasks that fill them: they are read when those have ended
    sums = workspace("winograd dU", (sums_of_tasks, K * blocks * C * LANES + ROWS * LANES), dtype)[:, : -ROWS * LANES]

    def workspaces(tiles: int) -> tuple[np.ndarray, np.ndarray]:
        V = workspace("winograd V", (K * tiles * width,), dtype)
        return V, workspace("winograd M", (K * blocks * tiles * LANES,), dtype)

    def tile_range(start: int, stop: int) -> None:
        V, dM = workspaces(size)
        task = -(-start * sums_of_tasks // tiles)  # the inverse of start = tiles * task // sums_of_tasks
        loops.correlate(start, stop, size, x, *origin, V, dy, dM, m, grid, sums[task])

    if mine >= CORRELATED // 2:
        parallel_for(tiles, tile_range)
    else:
        V, dM = workspaces(tiles)

        def transform_range(start: int, stop: int) -> None:
            loops.transform_tiles(start, stop, loops.BT, m + 2, m, x, *origin, grid, V, tiles, 0, False)
            loops.transform_tiles(start, stop, loops.A, m, m, dy, 0, 0, grid, dM, tiles, 0, True)

        parallel_for(tiles, transform_range)
        parallel_for(K, lambda start, stop: loops.add_products(start, stop, tiles, C, V, blocks, dM, True, sums[0]))

    dU, *others = sums
    dw_flat, by_channel = dw.reshape(F, C, 9), (K * blocks, C, LANES)

    def restore_range(start: int, stop: int) -> None:
        for other in others:
            dU.reshape(by_channel)[:, start:stop] += other.reshape(by_channel)[:, start:stop]
        loops.restore_filters(start, stop, m, dU, dw_flat)

    parallel_for(C, restore_range)


def _prepare(
    x_shape: tuple[int, ...],
    y_shape: tuple[int, ...],
    w: np.ndarray,
    b: np.ndarray | None,
    origin: tuple[int, int],
    *,
    is_turned: bool,
    clip: tuple[float, float],
    transform: Transform,
    packed_filters: dict[int, np.ndarray] | None,
) -> Callable[[np.ndarray, np.ndarray], None]:
    """y = clamp(b + w * x); or, if ``is_turned``, with the filters of w turned by 180 degrees and its axes exchanged.

    Threads take ranges of tiles: a block of tiles is transformed, multiplied with a pair of blocks of filters and brought back
    while it is in a core's cache. All filters are transformed before that. Where there are too few tiles to share, or where one
    block has all of them and the filters are not kept, threads take ranges of filters, and (unless they are kept) it is a pair
    that is transformed and used while it is in the cache.
    """
    (C, F), m, K, dtype, (low, high) = (x_shape[1], y_shape[1]), transform.m, transform.alpha**2, w.dtype, clip
    blocks = blocks_of(F)
    grid, tiles = _tiling(y_shape, m)
    bias = np.zeros(max(F, LANES), dtype)
    bias[:F] = 0 if b is None else b
    # from a filter to the next, and from a channel to the next
    w_flat, w_steps = w.ravel(), np.array([9, 9 * F] if is_turned else [9 * C, 9])
    rest = m, bias, low, high, grid
    if tiles * m * m > MANY and K * C * F > LARGE:
        packed_filters = None

    def space_for_V(tiles: int) -> np.ndarray:
        return workspace("winograd V", ((K * tiles + ROWS) * max(C, LANES),), dtype)

    def space_for_M(tiles: int) -> np.ndarray:
        return workspace("winograd M", (K * loops.PAIR * tiles * LANES,), dtype)

    def all_filters() -> np.ndarray:
        """U, from ``packed_filters`` if there is such a cache."""
        if packed_filters is not None and (U := packed_filters.get(K)) is not None:
            return U
        size = K * blocks * C * LANES
        U = workspace("winograd U", (size,), dtype) if packed_filters is None else np.empty(size, dtype)
        parallel_for(
            C, lambda start, stop: loops.transform_filters(start, stop, m, w_flat, w_steps, is_turned, C, F, 0, blocks, U)
        )
        if packed_filters is not None:
            packed_filters.clear()  # of the other transform
            packed_filters[K] = U
        return U

    size = max(BLOCK // (K * (C + loops.PAIR * LANES)), FEW)
    by_tiles = tiles >= FEW * loop_threads() and (tiles > size or packed_filters is not None)
    if by_tiles or C * F <= NARROW:

        def run(x: np.ndarray, y: np.ndarray) -> None:
            U = all_filters()

            def tile_range(start: int, stop: int) -> None:
                loops.convolve(start, stop, size, x, *origin, space_for_V(size), U, space_for_M(size), *rest, y)

            # filters in the workspace are gone with the next call, so that a loop over them cannot be put off
            parallel_for(tiles, tile_range, deferrable=packed_filters is not None)

    else:

        def run(x: np.ndarray, y: np.ndarray) -> None:
            V, whole = space_for_V(tiles), None if packed_filters is None else all_filters()

            def transform_range(start: int, stop: int) -> None:
                loops.transform_tiles(start, stop, loops.BT, m + 2, m, x, *origin, grid, V, tiles, 0, False)

            def filter_range(start: int, stop: int) -> None:
                U = workspace("winograd U", (K * loops.PAIR * C * LANES,), dtype) if whole is None else whole
                how = w_flat, w_steps, is_turned, C, V, tiles, U, whole is not None, space_for_M(tiles)
                loops.convolve_filters(start, stop, *how, *rest, y)

            parallel_for(tiles, transform_range)
            parallel_for(-(-blocks // loops.PAIR), filter_range)

    return run


def _tiling(y_shape: tuple[int, ...], m: int) -> tuple[tuple[int, int], int]:
    """How many tiles of m x m outputs there are down and across a picture, and in the whole batch, in the order (n, ti, tj)."""
    N, _, OH, OW = y_shape
    grid = -(-OH // m), -(-OW // m)
    return grid, N * grid[0] * grid[1]
