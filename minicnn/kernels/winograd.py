"""Winograd's convolution: 3x3 filters with a stride of 1, with a quarter of the multiplications.

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

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from . import winograd_loops as loops
from .threads import free_threads, parallel_for, workspace

SMALL = 10**6  # multiply-adds of a product that OpenBLAS does without copying its factors first, which is faster
BLOCK = 1 << 18  # floats of V and M in a block of tiles: 1 MB, about what a core's second-level cache holds
CORRELATED = 64  # tiles at a time in the weight gradient, about: more do not fit the cache, fewer visit dU too often
LARGE, MANY = 1 << 20, 16  # numbers in the transformed filters, and tiles that use them, above both of which they are not kept
SIDE_BY_SIDE = 512  # numbers in a line of a transform, neighbouring tiles times channels: long enough for any vector unit


Rows = tuple[tuple[float, ...], ...]  # of a matrix


class Transform(NamedTuple):
    """F(m x m, 3 x 3): the matrices of the equation above, for tiles of m x m outputs."""

    m: int
    BT: Rows
    G: Rows
    AT: Rows

    @property
    def alpha(self) -> int:
        return self.m + 2

    def __hash__(self) -> int:  # of a tuple, it would be that of 72 numbers
        return self.m


F2 = Transform(
    2,
    BT=((1, 0, -1, 0),
        (0, 1, 1, 0),
        (0, -1, 1, 0),
        (0, 1, 0, -1)),
    G=((1, 0, 0),
       (1 / 2, 1 / 2, 1 / 2),
       (1 / 2, -1 / 2, 1 / 2),
       (0, 0, 1)),
    AT=((1, 1, 1, 0),
        (0, 1, -1, -1)),
)  # fmt: skip

F4 = Transform(
    4,
    BT=((4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1)),
    G=((1 / 4, 0, 0),
       (-1 / 6, -1 / 6, -1 / 6),
       (-1 / 6, 1 / 6, -1 / 6),
       (1 / 24, 1 / 12, 1 / 6),
       (1 / 24, -1 / 12, 1 / 6),
       (0, 0, 1)),
    AT=((1, 1, 1, 1, 1, 0),
        (0, 1, -1, 2, -2, 0),
        (0, 1, 1, 4, 4, 0),
        (0, 1, -1, 8, -8, 1)),
)  # fmt: skip


def forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    origin: tuple[int, int],
    low: float,
    high: float,
    y: np.ndarray,
    transform: Transform = F4,
    kept: dict[int, np.ndarray] | None = None,
) -> None:
    """Fill y (N, F, OH, OW) with min(max(b + w * x, low), high); x (N, C, H, W) and w (F, C, 3, 3) contiguous.

    ``origin`` is (top, left), the padding before the first row and column; y's size tells what comes after the last. In
    ``kept``, if given, transformed filters stay for the next call with the same filters; not those of wide layers that have
    some tiles to use them for, which would fill the memory and save a tenth of the layer's time.
    """
    C = x.shape[1]
    _convolve(x, w.reshape(len(w), C, 9), b, origin, low, high, y, transform, kept)


def backward_input(dy: np.ndarray, w: np.ndarray, origin: tuple[int, int], dx: np.ndarray, transform: Transform = F4) -> None:
    """Fill dx (N, C, H, W): dy padded by 2 - top and 2 - left, convolved with w (F, C, 3, 3), turned and its axes exchanged."""
    turned = w.reshape(*w.shape[:2], 9)[..., ::-1].transpose(1, 0, 2)
    low, high = map(dx.dtype.type, (-np.inf, np.inf))
    _convolve(dy, turned, None, (2 - origin[0], 2 - origin[1]), low, high, dx, transform)


def backward_weights(dy: np.ndarray, x: np.ndarray, origin: tuple[int, int], dw: np.ndarray, transform: Transform = F4) -> None:
    """Fill dw (F, C, 3, 3) = G^T dU G, dU[k] = sum over tiles of V[k]^T dM[k].

    Each thread takes a range of tiles, some of them and some channels at a time, and sums up a dU of its own. Where there are
    too few tiles for that, all are transformed first, and each thread then takes some k.
    """
    (F, C), (m, K), dtype = dw.shape[:2], (transform.m, transform.alpha**2), x.dtype
    BT, A, GT = (_sparse(transform, name, dtype) for name in ("BT", "A", "GT"))
    grid, tiles = _tiling(dy, m)
    mine = -(-tiles // free_threads())
    size = -(-mine // max(round(mine / CORRELATED), 1))  # tiles at a time, all but equally many
    width = min(max(SMALL // (size * F) // 8 * 8, 8), C)  # channels of x at a time
    sums: dict[int, np.ndarray] = {}

    def tile_range(start: int, stop: int) -> None:
        V, dM = workspace("winograd V", (K * size * width,), dtype), workspace("winograd M", (K * size * F,), dtype)
        product, dU = workspace("winograd product", (width * F,), dtype), workspace("winograd dU", (K, C, F), dtype)
        loops.correlate(start, stop, size, width, x, *origin, BT, V, dy, A, dM, m, grid, SIDE_BY_SIDE, product, dU)
        sums[start] = dU

    if mine >= CORRELATED // 2:
        parallel_for(tiles, tile_range)
    else:
        V, dM = workspace("winograd V", (K, tiles, C), dtype), workspace("winograd M", (K, tiles, F), dtype)
        sums[0] = workspace("winograd dU", (K, C, F), dtype)

        def transform_range(start: int, stop: int) -> None:
            loops.transform_tiles(start, stop, BT, m + 2, m, x, 0, *origin, grid, SIDE_BY_SIDE, V, 0)
            loops.transform_tiles(start, stop, A, m, m, dy, 0, 0, 0, grid, SIDE_BY_SIDE, dM, 0)

        parallel_for(tiles, transform_range)
        product = np.empty((0, 0), dtype)  # of which there is none: all tiles are there at once
        parallel_for(K, lambda start, stop: loops.add_products(start, stop, V, dM, product, True, 0, sums[0]))

    dU, *others = (sums[start] for start in sorted(sums))
    dw_flat = dw.reshape(F, C, 9)

    def restore_range(start: int, stop: int) -> None:
        for other in others:
            dU[:, start:stop] += other[:, start:stop]
        loops.restore_filters(start, stop, GT, dU, SIDE_BY_SIDE, dw_flat)

    parallel_for(C, restore_range)


def _convolve(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    origin: tuple[int, int],
    low: float,
    high: float,
    y: np.ndarray,
    transform: Transform,
    kept: dict[int, np.ndarray] | None = None,
) -> None:
    """y = clamp(b + w * x) with w (F, C, 9) of any strides.

    Threads take ranges of tiles: a block of tiles is transformed, multiplied with a block of filters and brought back while it
    is in a core's cache. All filters are transformed before that. Where there are too few tiles to share, threads take ranges
    of filters, and (unless they are kept) it is a block of filters that is transformed and used while it is in the cache.
    """
    C, F, m, K, dtype = x.shape[1], y.shape[1], transform.m, transform.alpha**2, x.dtype
    BT, AT, G = (_sparse(transform, name, dtype) for name in ("BT", "AT", "G"))
    grid, tiles = _tiling(y, m)
    width = F if 32 * C * F <= SMALL else 32  # filters in a block
    bias = np.zeros(F, dtype) if b is None else b
    rest = AT, m, bias, low, high, grid, SIDE_BY_SIDE, y

    if tiles > MANY and K * C * F > LARGE:
        kept = None

    if tiles >= 32 * free_threads() or width == F:
        size = max(min(SMALL // (C * width), BLOCK // (K * (C + F)) if width == F else SMALL), 32)  # tiles in a block
        U = _all_filters(w, G, K, width, kept)

        def tile_range(start: int, stop: int) -> None:
            V, M = workspace("winograd V", (K * size * C,), dtype), workspace("winograd M", (K * size * width,), dtype)
            loops.convolve(start, stop, size, x, *origin, BT, V, U, width, M, *rest)

        parallel_for(tiles, tile_range, last=True)
        return

    V = workspace("winograd V", (K, tiles, C), dtype)
    whole = None if kept is None else _all_filters(w, G, K, width, kept)

    def filter_range(start: int, stop: int) -> None:
        U = workspace("winograd U", (K * C * width,), dtype) if whole is None else whole
        M = workspace("winograd M", (K * tiles * width,), dtype)
        loops.convolve_filters(start * width, min(stop * width, F), w, G, V, U, whole is not None, width, M, *rest)

    parallel_for(
        tiles, lambda start, stop: loops.transform_tiles(start, stop, BT, m + 2, m, x, 0, *origin, grid, SIDE_BY_SIDE, V, 0)
    )
    parallel_for(-(-F // width), filter_range)


def _all_filters(w: np.ndarray, G: tuple, K: int, width: int, kept: dict[int, np.ndarray] | None) -> np.ndarray:
    """U, flat: a block (alpha^2, C, filters) of ``width`` filters after the other. From ``kept``, or put there, if given."""
    (F, C, _), dtype = w.shape, w.dtype
    if kept is not None and K in kept:
        return kept[K]
    U = workspace("winograd U", (K * C * F,), dtype) if kept is None else np.empty(K * C * F, dtype)

    def piece(start: int, stop: int) -> None:
        for first in range(0, F, width):
            last = min(first + width, F)
            block = U[K * C * first : K * C * last].reshape(K, C, last - first)
            loops.transform_filters(start, stop, G, w[first:last], SIDE_BY_SIDE, block)

    parallel_for(C, piece)
    if kept is not None:
        kept.clear()  # of the other transform
        kept[K] = U
    return U


def _tiling(y: np.ndarray, m: int) -> tuple[tuple[int, int], int]:
    """How many tiles of m x m outputs there are down and across a picture, and in the whole batch, in the order (n, ti, tj)."""
    N, _, OH, OW = y.shape
    grid = -(-OH // m), -(-OW // m)
    return grid, N * grid[0] * grid[1]


@lru_cache
def _sparse(transform: Transform, name: str, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Of each row of BT, G, AT, or of the transposed A, GT: the columns (rows, 5) that are not 0, and their values.

    Both are filled up, with column 0 and the value 0.
    """
    transposed = {"A": transform.AT, "GT": transform.G}
    matrix = np.transpose(transposed[name]) if name in transposed else np.array(getattr(transform, name))
    picks, weights = np.zeros((len(matrix), 5), np.int64), np.zeros((len(matrix), 5), dtype)
    for i, row in enumerate(matrix):
        (columns,) = np.nonzero(row)
        picks[i, : len(columns)], weights[i, : len(columns)] = columns, row[columns]
    return picks, weights
