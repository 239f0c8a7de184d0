"""The Numba loops of ``winograd``: sequential, called on pieces of the work by several threads at once.

All four transforms are the same thing, a small matrix applied from the left and from the right, and all of them are made of
one loop, ``_apply``. It runs over many tiles and channels at a time, which lie side by side in memory, so that the vector
unit is always full; pictures are therefore turned from (channel, row, column) to (row, column, channel) on their way in,
and back on their way out.

The products are in these loops, too (Numba hands ``np.dot`` to SciPy's BLAS): a thread that went back to Python between them
would have to wait for the others that are there.

To Numba a 0 that is written down is of another type than a number that comes out as 0, and whatever it is handed to is compiled
once more for it: hence the variables called ``zero``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_loop = njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})


@_loop
def _apply_row(matrix, i, source, base, at, target, first, n):
    """target[first + k] = sum over j of matrix[i, j] * source[base + at[j] + k] for k < n.

    ``matrix`` is (picks, weights): of each row, the columns that are not 0, at most five, and their values.
    """
    out, pick, weight = target[first:], matrix[0][i], matrix[1][i]
    a, b, c = source[base + at[pick[0]] :], source[base + at[pick[1]] :], source[base + at[pick[2]] :]
    d, e = source[base + at[pick[3]] :], source[base + at[pick[4]] :]
    wa, wb, wc, wd, we = weight[0], weight[1], weight[2], weight[3], weight[4]
    if wd == 0:
        for k in range(n):
            out[k] = wa * a[k] + wb * b[k] + wc * c[k]
    elif we == 0:
        for k in range(n):
            out[k] = wa * a[k] + wb * b[k] + wc * c[k] + wd * d[k]
    else:
        for k in range(n):
            out[k] = wa * a[k] + wb * b[k] + wc * c[k] + wd * d[k] + we * e[k]


@_loop
def _apply(matrix, source, base, at, target, first, step, n):
    """All rows: target[first + i*step + k] = sum over j of matrix[i, j] * source[base + at[j] + k] for k < n."""
    for i in range(len(matrix[0])):
        _apply_row(matrix, i, source, base, at, target, first + i * step, n)


@_loop
def _channels_last(rows, slots, line):
    """line[slots[j] + c] = rows[c, j], eight channels at a time: they are one or two vectors in line."""
    C = len(rows)
    for c in range(0, C - 7, 8):
        r0, r1, r2, r3 = rows[c], rows[c + 1], rows[c + 2], rows[c + 3]
        r4, r5, r6, r7 = rows[c + 4], rows[c + 5], rows[c + 6], rows[c + 7]
        for j in range(len(slots)):
            out = line[slots[j] + c :]
            out[0], out[1], out[2], out[3] = r0[j], r1[j], r2[j], r3[j]
            out[4], out[5], out[6], out[7] = r4[j], r5[j], r6[j], r7[j]
    for c in range(C - C % 8, C):
        row, out = rows[c], line[c:]
        for j in range(len(slots)):
            out[slots[j]] = row[j]


@_loop
def _channels_first(line, slots, rows):
    """rows[c, j] = line[slots[j] + c]: the same the other way round."""
    C = len(rows)
    for c in range(0, C - 7, 8):
        r0, r1, r2, r3 = rows[c], rows[c + 1], rows[c + 2], rows[c + 3]
        r4, r5, r6, r7 = rows[c + 4], rows[c + 5], rows[c + 6], rows[c + 7]
        for j in range(len(slots)):
            source = line[slots[j] + c :]
            r0[j], r1[j], r2[j], r3[j] = source[0], source[1], source[2], source[3]
            r4[j], r5[j], r6[j], r7[j] = source[4], source[5], source[6], source[7]
    for c in range(C - C % 8, C):
        row, source = rows[c], line[c:]
        for j in range(len(slots)):
            row[j] = source[slots[j]]


@_loop
def _load_window(x, n, channel, C, row, column, rows, columns, slots, strip):
    """strip[p, slots[j] + c] = x[n, channel + c, row + p, column + j], and 0 outside of x, for c < C, p < rows, j < columns."""
    H, W = x.shape[2:]
    first, last = min(max(-column, 0), columns), max(min(columns, W - column), 0)
    for p in range(rows):
        line = strip[p]
        if row + p < 0 or row + p >= H or first >= last:
            line[:] = 0
            continue
        for j in range(first):
            line[slots[j] : slots[j] + C] = 0
        for j in range(last, columns):
            line[slots[j] : slots[j] + C] = 0
        _channels_last(x[n, channel : channel + C, row + p, column + first : column + last], slots[first:last], line)


@_loop
def transform_tiles(start, stop, matrix, window, m, x, channel, top, left, grid, side_by_side, V, begin):
    """V[(i, j), t - begin, c] = sum over p, q of matrix[i, p] * matrix[j, q] * tile_t[p, q, c], for tiles start <= t < stop.

    Tile t = (n, ti, tj) holds rows ti*m - top + p and columns tj*m - left + q of x[n, channel + c], p and q < window, and 0
    outside of x; V (alpha^2, tiles, C) tells how many channels. Neighbours in a tile row go through together, as many as make
    ``side_by_side`` numbers in a line.
    """
    C, (TH, TW), zero = V.shape[2], grid, np.int64(0)
    together = max(min(side_by_side // C, TW), 1)
    slots = np.empty(m * (together + 1), np.int64)
    for j in range(len(slots)):  # columns with the same remainder lie side by side: neighbouring tiles' j, m apart
        slots[j] = (j % m * (together + 1) + j // m) * C
    length = len(slots) * C
    strip, half = np.zeros((window, length), x.dtype), np.empty(length, x.dtype)
    at_row = np.arange(window) * length
    alpha, plane, V_flat, strip_flat = len(matrix[0]), V.shape[1] * C, V.ravel(), strip.ravel()
    t = start
    while t < stop:
        n, ti, tj = t // (TH * TW), t // TW % TH, t % TW
        tiles = min(together, TW - tj, stop - t)
        _load_window(x, n, channel, C, ti * m - top, tj * m - left, window, m * (tiles - 1) + window, slots, strip)
        for i in range(alpha):
            _apply_row(matrix, i, strip_flat, zero, at_row, half, zero, length)
            _apply(matrix, half, zero, slots, V_flat, i * alpha * plane + (t - begin) * C, plane, tiles * C)
        t += tiles


@_loop
def _restore_tiles(start, stop, matrix, m, M, first_filter, bias, low, high, grid, side_by_side, y):
    """y[n, f, ti*m + p, tj*m + q] = clamp(b[f] + sum over i, j of matrix[p, i] * matrix[q, j] * M[(i, j), t - start, f]).

    M (alpha^2, tiles, filters) has the filters from ``first_filter`` on; rows and columns beyond y's end are left out.
    """
    (_, _, OH, OW), (TH, TW), F, zero = y.shape, grid, M.shape[2], np.int64(0)
    together = max(min(side_by_side // F, TW), 1)
    alpha, plane, M_flat = m + 2, M.shape[1] * F, M.ravel()
    half, line = np.empty(alpha * m * together * F, y.dtype), np.empty(m * together * F, y.dtype)
    at, slots = np.arange(alpha), np.empty(m * together, np.int64)
    at_column = at * plane
    t = start
    while t < stop:
        n, ti, tj = t // (TH * TW), t // TW % TH, t % TW
        tiles = min(together, TW - tj, stop - t)
        length = tiles * F
        at_row = at * (m * length)
        rows, columns = min(m, OH - ti * m), min(m * tiles, OW - tj * m)
        for j in range(columns):
            slots[j] = j % m * length + j // m * F
        for i in range(alpha):
            _apply(matrix, M_flat, i * alpha * plane + (t - start) * F, at_column, half, i * m * length, length, length)
        for p in range(rows):
            _apply_row(matrix, p, half, zero, at_row, line, zero, m * length)
            _add_and_clamp(line[: m * length], bias[first_filter : first_filter + F], low, high)
            pixels = y[n, first_filter : first_filter + F, ti * m + p, tj * m : tj * m + columns]
            _channels_first(line, slots[:columns], pixels)
        t += tiles


@_loop
def _add_and_clamp(line, bias, low, high):
    """line[k] = min(max(line[k] + bias, low), high) with each channel's bias. A NaN fails both comparisons and stays."""
    F = len(bias)
    for first in range(0, len(line), F):
        row = line[first : first + F]
        for f in range(F):
            value = row[f] + bias[f]
            value = low if value < low else value
            row[f] = high if value > high else value


@_loop
def _multiply(begin, end, V, U, first, M, AT, m, bias, low, high, grid, side_by_side, y):
    """Products with some filters, ``first`` and those after it, and back: tiles begin to end of y[:, first : first + filters].

    V (alpha^2, end - begin, C), U (alpha^2, C, filters); M is a flat workspace.
    """
    (K, tiles, _), filters = V.shape, U.shape[2]
    M_block = M[: K * tiles * filters].reshape(K, tiles, filters)
    for k in range(K):
        np.dot(V[k], U[k], M_block[k])
    _restore_tiles(begin, end, AT, m, M_block, first, bias, low, high, grid, side_by_side, y)


@_loop
def convolve(start, stop, size, x, top, left, BT, V, U, width, M, AT, m, bias, low, high, grid, side_by_side, y):
    """All filters for tiles start to stop, ``size`` tiles and ``width`` filters at a time; V and M are flat workspaces.

    U holds a block (alpha^2, C, filters) after the other, flat.
    """
    C, F, K, zero = x.shape[1], y.shape[1], (m + 2) * (m + 2), np.int64(0)
    for begin in range(start, stop, size):
        end = min(begin + size, stop)
        V_block = V[: K * (end - begin) * C].reshape(K, end - begin, C)
        transform_tiles(begin, end, BT, m + 2, m, x, zero, top, left, grid, side_by_side, V_block, begin)
        for first in range(0, F, width):
            last = min(first + width, F)
            U_block = U[K * C * first : K * C * last].reshape(K, C, last - first)
            _multiply(begin, end, V_block, U_block, first, M, AT, m, bias, low, high, grid, side_by_side, y)


@_loop
def convolve_filters(start, stop, w, G, V, U, is_whole, width, M, AT, m, bias, low, high, grid, side_by_side, y):
    """Filters start to stop, ``width`` at a time, for all tiles: V (alpha^2, tiles, C); M is a flat workspace.

    U has all of them, as in `convolve`; or it is a workspace, in which each block is made when it is needed.
    """
    (K, tiles, C), zero = V.shape, np.int64(0)
    for first in range(start, stop, width):
        last = min(first + width, stop)
        begin = first if is_whole else zero
        U_block = U[K * C * begin : K * C * (begin + last - first)].reshape(K, C, last - first)
        if not is_whole:
            transform_filters(zero, C, G, w[first:last], side_by_side, U_block)
        _multiply(zero, tiles, V, U_block, first, M, AT, m, bias, low, high, grid, side_by_side, y)


@_loop
def add_products(start, stop, V, dM, product, is_first, channel, dU):
    """dU[k, channel:] += V[k]^T dM[k] for start <= k < stop, or = if this is the first chunk of tiles."""
    C = V.shape[2]
    for k in range(start, stop):
        target = dU[k, channel : channel + C]
        if is_first:
            np.dot(V[k].T, dM[k], target)
        else:
            np.dot(V[k].T, dM[k], product)
            total, term = target.ravel(), product.ravel()
            for i in range(len(total)):
                total[i] += term[i]


@_loop
def correlate(start, stop, size, width, x, top, left, BT, V, dy, A, dM, m, grid, side_by_side, product, dU):
    """dU[k] = sum of V[k]^T dM[k] over tiles start to stop, ``size`` at a time and ``width`` channels of x at a time.

    V, dM and product are flat workspaces.
    """
    (K, C, F), zero = dU.shape, np.int64(0)
    for begin in range(start, stop, size):
        end = min(begin + size, stop)
        tiles = end - begin
        dM_block = dM[: K * tiles * F].reshape(K, tiles, F)
        transform_tiles(begin, end, A, m, m, dy, zero, zero, zero, grid, side_by_side, dM_block, begin)
        for channel in range(0, C, width):
            channels = min(width, C - channel)
            V_block = V[: K * tiles * channels].reshape(K, tiles, channels)
            transform_tiles(begin, end, BT, m + 2, m, x, channel, top, left, grid, side_by_side, V_block, begin)
            block = product[: channels * F].reshape(channels, F)
            add_products(zero, K, V_block, dM_block, block, begin == start, channel, dU)


@_loop
def transform_filters(start, stop, matrix, w, side_by_side, U):
    """U[(i, j), c, f] = sum over p, q of matrix[i, p] * matrix[j, q] * w[f, c, 3*p + q], for channels start <= c < stop."""
    alpha, (_, C, F), flat, zero = len(matrix[0]), U.shape, U.ravel(), np.int64(0)
    together = max(side_by_side // F, 1)
    nine, half = np.empty(9 * together * F, w.dtype), np.empty(3 * alpha * together * F, w.dtype)
    for begin in range(start, stop, together):
        channels = min(together, stop - begin)
        n = channels * F
        slots = np.arange(9) * n
        for c in range(channels):
            _channels_last(w[:, begin + c], slots, nine[c * F :])
        _apply(matrix, nine, zero, np.arange(3) * (3 * n), half, zero, 3 * n, 3 * n)
        for i in range(alpha):
            _apply(matrix, half, 3 * i * n, np.arange(3) * n, flat, (i * alpha * C + begin) * F, C * F, n)


@_loop
def restore_filters(start, stop, matrix, dU, side_by_side, dw):
    """dw[f, c, p, q] = sum over i, j of matrix[p, i] * matrix[q, j] * dU[(i, j), c, f], for channels start <= c < stop."""
    (K, C, F), flat, zero = dU.shape, dU.ravel(), np.int64(0)
    alpha, together = round(K**0.5), max(side_by_side // F, 1)
    at, half, nine = np.arange(alpha), np.empty(3 * alpha * together * F, dw.dtype), np.empty(9 * together * F, dw.dtype)
    for begin in range(start, stop, together):
        channels = min(together, stop - begin)
        n = channels * F
        for i in range(alpha):
            _apply(matrix, flat, (i * alpha * C + begin) * F, at * (C * F), half, 3 * i * n, n, n)
        _apply(matrix, half, zero, at * (3 * n), nine, zero, 3 * n, 3 * n)
        for f in range(F):
            for c in range(channels):
                source, out = nine[c * F + f :], dw[f, begin + c]
                for k in range(9):
                    out[k] = source[k * n]
