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
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from . import winograd_loops as loops
from .threads import free_threads, parallel_for, workspace

BLOCK = 1 << 18  # floats of a block that a thread works on: 1 MB, about what a core's second-level cache holds
CHUNK = 1 << 21  # floats of V and dM together that the threads share in the weight gradient: 8 MB, third-level cache
STRIP = 512  # floats side by side in a transform, neighbouring tiles times channels: long enough for any vector unit


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
    bias: np.ndarray,
    origin: tuple[int, int],
    low: float,
    high: float,
    y: np.ndarray,
    transform: Transform = F4,
    kept: dict[int, np.ndarray] | None = None,
) -> None:
    """Fill y (N, F, OH, OW) with min(max(bias + w * x, low), high); x (N, C, H, W) and w (F, C, 3, 3) contiguous.

    ``origin`` is (top, left), the padding before the first row and column; y's size tells what comes after the last. In
    ``kept``, if given, the transformed filters stay for the next call with the same filters.
    """
    C = x.shape[1]
    _convolve(x, w, 0, (9 * C, 9, 1), bias, origin, low, high, y, transform, kept)


def backward_input(dy: np.ndarray, w: np.ndarray, origin: tuple[int, int], dx: np.ndarray, transform: Transform = F4) -> None:
    """Fill dx (N, C, H, W): dy padded by 2 - top and 2 - left, convolved with w (F, C, 3, 3), turned and its axes exchanged."""
    C, none = dx.shape[1], np.zeros(dx.shape[1], dx.dtype)
    low, high = np.array((-np.inf, np.inf), dx.dtype)
    _convolve(dy, w, 8, (9, 9 * C, -1), none, (2 - origin[0], 2 - origin[1]), low, high, dx, transform)


def backward_weights(dy: np.ndarray, x: np.ndarray, origin: tuple[int, int], dw: np.ndarray, transform: Transform = F4) -> None:
    """Fill dw (F, C, 3, 3) = G^T dU G, dU[k] = sum over tiles of V[k]^T dM[k], a chunk of tiles after the other.

    The threads share a chunk, first its tiles and then its products, so that the sum does not depend on their number.
    """
    (F, C), alpha, dtype, tiling = dw.shape[:2], transform.alpha, x.dtype, _Tiling(dy, transform)
    chunk = min(tiling.tiles, max(CHUNK // (alpha**2 * (C + F)), 64))
    dU = workspace("winograd dU", (alpha**2, C, F), dtype)
    for begin in range(0, tiling.tiles, chunk):
        end = min(begin + chunk, tiling.tiles)
        V = workspace("winograd V", (alpha**2, end - begin, C), dtype)
        dM = workspace("winograd M", (alpha**2, end - begin, F), dtype)

        def transform_piece(start: int, stop: int, begin: int = begin, V: np.ndarray = V, dM: np.ndarray = dM) -> None:
            tiling.to_domain(begin + start, begin + stop, transform.BT, x, origin, V, begin)
            tiling.to_domain(begin + start, begin + stop, _transposed(transform.AT), dy, (0, 0), dM, begin)

        def multiply_piece(start: int, stop: int, begin: int = begin, V: np.ndarray = V, dM: np.ndarray = dM) -> None:
            product = workspace("winograd product", (C, F), dtype)
            for k in range(start, stop):
                np.matmul(V[k].T, dM[k], out=product if begin else dU[k])
                if begin:
                    dU[k] += product

        parallel_for(end - begin, transform_piece)
        parallel_for(alpha**2, multiply_piece)

    GT = _sparse(_transposed(transform.G), dtype)

    def restore_piece(start: int, stop: int) -> None:
        together = _together(F)
        half, nine = (
            workspace(f"winograd {use}", (n * together * F,), dtype) for use, n in (("half", 3 * alpha), ("strip", 9))
        )
        loops.restore_filters(start, stop, GT, dU, np.arange(alpha), together, half, nine, dw.reshape(F, C, 9))

    parallel_for(C, restore_piece)


def _convolve(
    x: np.ndarray,
    w: np.ndarray,
    first: int,
    strides: tuple[int, int, int],
    bias: np.ndarray,
    origin: tuple[int, int],
    low: float,
    high: float,
    y: np.ndarray,
    transform: Transform,
    kept: dict[int, np.ndarray] | None = None,
) -> None:
    """y = clamp(bias + w * x); the tap k of filter f and channel c is the flat w's element first + (f, c, k) . strides.

    Of the two factors of the products, transformed filters and transformed tiles, the smaller is made as a whole; the larger
    is made a block at a time, which a thread multiplies and brings back while it is in its cache. Filters that are kept for
    later are made as a whole in any case.
    """
    C, F, alpha, dtype, tiling = x.shape[1], y.shape[1], transform.alpha, x.dtype, _Tiling(y, transform)
    tiles, G = tiling.tiles, _sparse(transform.G, dtype)

    def filters_to_domain(start: int, stop: int, first_filter: int, U: np.ndarray) -> None:
        F = U.shape[2]
        together, tap = _together(F), first + first_filter * strides[0]
        half, nine = (
            workspace(f"winograd {use}", (n * together * F,), dtype) for use, n in (("half", 3 * alpha), ("strip", 9))
        )
        loops.transform_filters(start, stop, G, w.ravel(), tap, strides, np.arange(3), together, nine, half, U)

    U = None if kept is None else kept.get(transform.m)
    if U is None and (tiles >= F or kept is not None):
        shape = (alpha**2, C, F)
        U = workspace("winograd U", shape, dtype) if kept is None else np.empty(shape, dtype)
        parallel_for(C, lambda start, stop: filters_to_domain(start, stop, 0, U))
        if kept is not None:
            kept[transform.m] = U

    if tiles >= F:
        blocks = _blocks(tiles, max(BLOCK // (alpha**2 * (C + F)), 32))

        def tile_blocks(start: int, stop: int) -> None:
            for begin, end in blocks[start:stop]:
                V = workspace("winograd V", (alpha**2, end - begin, C), dtype)
                M = workspace("winograd M", (alpha**2, end - begin, F), dtype)
                tiling.to_domain(begin, end, transform.BT, x, origin, V, begin)
                np.matmul(V, U, out=M)
                tiling.from_domain(begin, end, M, 0, bias, low, high, y)

        parallel_for(len(blocks), tile_blocks)
    else:
        V = workspace("winograd V", (alpha**2, tiles, C), dtype)
        parallel_for(tiles, lambda start, stop: tiling.to_domain(start, stop, transform.BT, x, origin, V, 0))
        blocks = _blocks(F, max(BLOCK // (alpha**2 * (C + tiles)), 32))

        def filter_blocks(start: int, stop: int) -> None:
            for begin, end in blocks[start:stop]:
                if U is None:
                    block = workspace("winograd U", (alpha**2, C, end - begin), dtype)
                    filters_to_domain(0, C, begin, block)
                else:
                    block = U[:, :, begin:end]
                M = workspace("winograd M", (alpha**2, tiles, end - begin), dtype)
                np.matmul(V, block, out=M)
                tiling.from_domain(0, tiles, M, begin, bias, low, high, y)

        parallel_for(len(blocks), filter_blocks)


class _Tiling:
    """The tiles of m x m outputs that cover a batch of pictures, in the order (n, ti, tj)."""

    def __init__(self, y: np.ndarray, transform: Transform):
        N, _, OH, OW = y.shape
        self.transform, self.grid = transform, (-(-OH // transform.m), -(-OW // transform.m))
        self.tiles = N * self.grid[0] * self.grid[1]

    def to_domain(
        self, start: int, stop: int, matrix: Rows, x: np.ndarray, origin: tuple[int, int], V: np.ndarray, begin: int
    ) -> None:
        """V[:, t - begin] = matrix tile_t matrix^T; a tile of x has as many rows as the matrix has columns."""
        m, C, window = self.transform.m, x.shape[1], len(matrix[0])
        strip_tiles = min(_together(C), self.grid[1])
        column = np.arange(m * (strip_tiles + 1))
        slots = (column % m * (strip_tiles + 1) + column // m) * C  # columns with the same remainder lie side by side
        length = len(column) * C
        strip = workspace("winograd strip", (window * length,), x.dtype)
        half = workspace("winograd half", (len(matrix) * length,), x.dtype)
        at_row, at_column, sparse = np.arange(window) * length, slots[:window], _sparse(matrix, x.dtype)
        loops.transform_tiles(
            start, stop, sparse, window, m, strip_tiles, x, *origin, self.grid, at_row, at_column, slots, strip, half, V, begin
        )

    def from_domain(
        self, start: int, stop: int, M: np.ndarray, first_filter: int, bias: np.ndarray, low: float, high: float, y: np.ndarray
    ) -> None:
        """Tiles start to stop of y = A^T M[:, t - start] A, for the filters that M has."""
        m, alpha, F = self.transform.m, self.transform.alpha, M.shape[2]
        strip_tiles = min(_together(F), self.grid[1])
        half = workspace("winograd half", (alpha * m * strip_tiles * F,), y.dtype)
        tile = workspace("winograd strip", (m * m * strip_tiles * F,), y.dtype)
        AT, at, slots = _sparse(self.transform.AT, y.dtype), np.arange(alpha), np.empty(m * strip_tiles, np.int64)
        loops.restore_tiles(
            start, stop, AT, m, strip_tiles, M, first_filter, bias, low, high, self.grid, at, half, tile, slots, y
        )


@lru_cache
def _sparse(matrix: Rows, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Of each row, the columns (rows, 5) that are not 0, filled up with column 0, and their values, filled up with 0."""
    picks, weights = np.zeros((len(matrix), 5), np.int64), np.zeros((len(matrix), 5), dtype)
    for i, row in enumerate(matrix):
        (columns,) = np.nonzero(row)
        picks[i, : len(columns)], weights[i, : len(columns)] = columns, np.array(row)[columns]
    return picks, weights


def _together(channels: int) -> int:
    """How many tiles, or filters, of so many channels go through a transform side by side."""
    return max(STRIP // channels, 1)


def _transposed(matrix: Rows) -> Rows:
    return tuple(zip(*matrix, strict=True))


def _blocks(n: int, size: int) -> list[tuple[int, int]]:
    """range(n) in blocks of at most ``size``, about equally long, as many as give each thread the same number."""
    threads = free_threads()
    count = min(-(-n // size // threads) * threads if n > size else threads, n)
    return list(pairwise(n * i // count for i in range(count + 1)))
