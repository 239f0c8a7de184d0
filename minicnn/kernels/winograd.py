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

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from . import winograd_loops as loops
from .threads import free_threads, parallel_for, workspace

SMALL = 10**6  # multiply-adds of a product that OpenBLAS does without copying its factors first, which is faster
BLOCK = 1 << 18  # floats of V and M in a block of tiles: 1 MB, about what a core's second-level cache holds
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
    b: np.ndarray | None,
    origin: tuple[int, int],
    low: float,
    high: float,
    y: np.ndarray,
    transform: Transform = F4,
    kept: dict[int, list[np.ndarray]] | None = None,
) -> None:
    """Fill y (N, F, OH, OW) with min(max(b + w * x, low), high); x (N, C, H, W) and w (F, C, 3, 3) contiguous.

    ``origin`` is (top, left), the padding before the first row and column; y's size tells what comes after the last. In
    ``kept``, if given, the transformed filters stay for the next call with the same filters.
    """
    C = x.shape[1]
    _convolve(x, w, 0, (9 * C, 9, 1), b, origin, low, high, y, transform, kept)


def backward_input(dy: np.ndarray, w: np.ndarray, origin: tuple[int, int], dx: np.ndarray, transform: Transform = F4) -> None:
    """Fill dx (N, C, H, W): dy padded by 2 - top and 2 - left, convolved with w (F, C, 3, 3), turned and its axes exchanged."""
    C, (low, high) = dx.shape[1], map(dx.dtype.type, (-np.inf, np.inf))
    _convolve(dy, w, 8, (9, 9 * C, -1), None, (2 - origin[0], 2 - origin[1]), low, high, dx, transform)


def backward_weights(dy: np.ndarray, x: np.ndarray, origin: tuple[int, int], dw: np.ndarray, transform: Transform = F4) -> None:
    """Fill dw (F, C, 3, 3) = G^T dU G, dU[k] = sum over tiles of V[k]^T dM[k], a chunk of tiles after the other.

    The threads share a chunk, first its tiles and then its products, so that the sum does not depend on their number.
    """
    (F, C), alpha, dtype, tiling = dw.shape[:2], transform.alpha, x.dtype, _Tiling(dy, transform)
    chunk = min(tiling.tiles, max(CHUNK // (alpha**2 * (C + F)), 64))
    dU = workspace("winograd dU", (alpha**2, C, F), dtype)
    x_into_domain = tiling.into_domain(transform.BT, x, origin)
    dy_into_domain = tiling.into_domain(_transposed(transform.AT), dy, (0, 0))
    for begin in range(0, tiling.tiles, chunk):
        end = min(begin + chunk, tiling.tiles)
        V = workspace("winograd V", (alpha**2, end - begin, C), dtype)
        dM = workspace("winograd M", (alpha**2, end - begin, F), dtype)

        def transform_piece(start: int, stop: int, begin: int = begin, V: np.ndarray = V, dM: np.ndarray = dM) -> None:
            x_into_domain(begin + start, begin + stop, V, begin)
            dy_into_domain(begin + start, begin + stop, dM, begin)

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
    b: np.ndarray | None,
    origin: tuple[int, int],
    low: float,
    high: float,
    y: np.ndarray,
    transform: Transform,
    kept: dict[int, list[np.ndarray]] | None = None,
) -> None:
    """y = clamp(b + w * x); the tap k of filter f and channel c is the flat w's element first + (f, c, k) . strides.

    All filters are transformed first. A block of tiles is then transformed, multiplied with a block of filters and brought back
    while it is in a core's cache. Threads take blocks of tiles; where there are too few of those, blocks of filters.
    """
    C, F, alpha, tiling = x.shape[1], y.shape[1], transform.alpha, _Tiling(y, transform)
    width = F if 32 * C * F <= SMALL else 32
    size = min(SMALL // (C * width), BLOCK // (alpha**2 * (C + F)) if width == F else SMALL)
    filters = [(begin, min(begin + width, F)) for begin in range(0, F, width)]
    if kept is not None and transform.m in kept:
        U = kept[transform.m]
    else:
        U = _transformed_filters(w, first, strides, C, filters, transform, keep=kept is not None)
        if kept is not None:
            kept[transform.m] = U

    into_domain = tiling.into_domain(transform.BT, x, origin)
    bias = np.zeros(F, y.dtype) if b is None else b
    out_of_domain = tiling.out_of_domain(transform.AT, min(width, F), bias, low, high, y)
    tiles = _blocks(tiling.tiles, max(size, 32))

    def multiply(begin: int, end: int, V: np.ndarray, blocks: slice) -> None:
        for (first_filter, last_filter), U_block in zip(filters[blocks], U[blocks], strict=True):
            M = workspace("winograd M", (alpha**2, end - begin, last_filter - first_filter), x.dtype)
            np.matmul(V, U_block, out=M)
            out_of_domain(begin, end, M, first_filter)

    def tile_blocks(start: int, stop: int) -> None:
        for begin, end in tiles[start:stop]:
            V = workspace("winograd V", (alpha**2, end - begin, C), x.dtype)
            into_domain(begin, end, V, begin)
            multiply(begin, end, V, slice(None))

    if tiling.tiles >= 32 * free_threads() or len(filters) < free_threads():
        parallel_for(len(tiles), tile_blocks)
    else:
        V = workspace("winograd V", (alpha**2, tiling.tiles, C), x.dtype)
        parallel_for(tiling.tiles, lambda start, stop: into_domain(start, stop, V, 0))
        parallel_for(len(filters), lambda start, stop: multiply(0, tiling.tiles, V, slice(start, stop)))


def _transformed_filters(
    w: np.ndarray,
    first: int,
    strides: tuple[int, int, int],
    C: int,
    filters: list[tuple[int, int]],
    transform: Transform,
    keep: bool,
) -> list[np.ndarray]:
    """U (alpha^2, C, filters) of each block of filters: in new arrays, or in a workspace if they are not to be kept."""
    w, F, alpha, G = w.ravel(), filters[-1][1], transform.alpha, _sparse(transform.G, w.dtype)
    size = alpha**2 * C
    flat = np.empty(size * F, w.dtype) if keep else workspace("winograd U", (size * F,), w.dtype)
    U = [flat[size * begin : size * end].reshape(alpha**2, C, end - begin) for begin, end in filters]

    def piece(start: int, stop: int) -> None:
        for (begin, end), block in zip(filters, U, strict=True):
            together = _together(end - begin)
            length = together * (end - begin)
            half = workspace("winograd half", (3 * alpha * length,), w.dtype)
            nine = workspace("winograd strip", (9 * length,), w.dtype)
            tap = first + begin * strides[0]
            loops.transform_filters(start, stop, G, w, tap, strides, np.arange(3), together, nine, half, block)

    parallel_for(C, piece)
    return U


class _Tiling:
    """The tiles of m x m outputs that cover a batch of pictures, in the order (n, ti, tj)."""

    def __init__(self, y: np.ndarray, transform: Transform):
        N, _, OH, OW = y.shape
        self.m, self.alpha = transform.m, transform.alpha
        self.grid = -(-OH // self.m), -(-OW // self.m)
        self.tiles = N * self.grid[0] * self.grid[1]

    def into_domain(self, matrix: Rows, x: np.ndarray, origin: tuple[int, int]) -> Callable[[int, int, np.ndarray, int], None]:
        """A function (start, stop, V, begin) that sets V[:, t - begin] = matrix tile_t matrix^T for start <= t < stop.

        A tile of x has as many rows and columns as the matrix has columns; the first begins at -origin.
        """
        m, C, window, sparse = self.m, x.shape[1], len(matrix[0]), _sparse(matrix, x.dtype)
        strip_tiles = min(_together(C), self.grid[1])
        column = np.arange(m * (strip_tiles + 1))
        slots = (column % m * (strip_tiles + 1) + column // m) * C  # columns with the same remainder lie side by side
        length = len(column) * C
        at_row = np.arange(window) * length

        def transform(start: int, stop: int, V: np.ndarray, begin: int) -> None:
            strip, half = workspace("winograd strip", (window, length), x.dtype), workspace("winograd half", (length,), x.dtype)
            loops.transform_tiles(
                start, stop, sparse, window, m, strip_tiles, x, *origin, self.grid, at_row, slots, slots, strip, half, V, begin
            )

        return transform

    def out_of_domain(
        self, matrix: Rows, filters: int, bias: np.ndarray, low: float, high: float, y: np.ndarray
    ) -> Callable[[int, int, np.ndarray, int], None]:
        """A function (start, stop, M, first) that fills tiles start to stop of y with matrix M[:, t - start] matrix^T.

        M holds at most ``filters`` filters, ``first`` and those after it.
        """
        m, alpha, strip_tiles, sparse = self.m, self.alpha, min(_together(filters), self.grid[1]), _sparse(matrix, y.dtype)
        at, size = np.arange(alpha), m * strip_tiles * filters

        def restore(start: int, stop: int, M: np.ndarray, first: int) -> None:
            half, line = workspace("winograd half", (alpha * size,), y.dtype), workspace("winograd strip", (size,), y.dtype)
            slots = workspace("winograd slots", (m * strip_tiles,), np.int64)
            loops.restore_tiles(
                start, stop, sparse, m, strip_tiles, M, first, bias, low, high, self.grid, at, slots, half, line, y
            )

        return restore


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
