"""The Numba loops of ``winograd``: sequential, called on pieces of the work by several threads at once.

All four transforms are the same thing, a small matrix applied from the left and from the right, and all of them are made of
one loop, ``_apply``. It runs over many tiles and channels at a time, which lie side by side in memory, so that the vector
unit is always full; pictures are therefore turned from (channel, row, column) to (row, column, channel) on their way in,
and back on their way out.
"""

from __future__ import annotations

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
def _load_window(x, n, row, column, rows, columns, slots, strip):
    """strip[p, slots[j] + c] = x[n, c, row + p, column + j], and 0 outside of x, for p < rows and j < columns."""
    _, C, H, W = x.shape
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
        _channels_last(x[n, :, row + p, column + first : column + last], slots[first:last], line)


@_loop
def transform_tiles(
    start, stop, matrix, window, m, strip_tiles, x, top, left, grid, at_row, at_column, slots, strip, half, V, begin
):
    """V[(i, j), t - begin, c] = sum over p, q of matrix[i, p] * matrix[j, q] * tile_t[p, q, c], for tiles start <= t < stop.

    Tile t = (n, ti, tj) holds rows ti*m - top + p and columns tj*m - left + q of x[n, c], p and q < window; 0 outside of x.
    ``strip_tiles`` neighbours of a tile row go through the workspaces ``strip`` and ``half`` at a time.
    """
    C, (TH, TW), (length,) = x.shape[1], grid, half.shape
    alpha, plane, flat, strip_flat = len(matrix[0]), V.shape[1] * C, V.ravel(), strip.ravel()
    t = start
    while t < stop:
        n, ti, tj = t // (TH * TW), t // TW % TH, t % TW
        tiles = min(strip_tiles, TW - tj, stop - t)
        _load_window(x, n, ti * m - top, tj * m - left, window, m * (tiles - 1) + window, slots, strip)
        for i in range(alpha):
            _apply_row(matrix, i, strip_flat, 0, at_row, half, 0, length)
            _apply(matrix, half, 0, at_column, flat, i * alpha * plane + (t - begin) * C, plane, tiles * C)
        t += tiles


@_loop
def restore_tiles(start, stop, matrix, m, strip_tiles, M, first_filter, bias, low, high, grid, at, slots, half, line, y):
    """y[n, f, ti*m + p, tj*m + q] = clamp(b[f] + sum over i, j of matrix[p, i] * matrix[q, j] * M[(i, j), t - start, f]).

    M (alpha^2, tiles, filters) has the filters from ``first_filter`` on; rows and columns beyond y's end are left out.
    """
    (_, _, OH, OW), (TH, TW), F = y.shape, grid, M.shape[2]
    alpha, plane, flat = len(at), M.shape[1] * F, M.ravel()
    at_column = at * plane
    t = start
    while t < stop:
        n, ti, tj = t // (TH * TW), t // TW % TH, t % TW
        tiles = min(strip_tiles, TW - tj, stop - t)
        length = tiles * F
        rows, columns = min(m, OH - ti * m), min(m * tiles, OW - tj * m)
        for j in range(columns):
            slots[j] = j % m * length + j // m * F
        for i in range(alpha):
            _apply(matrix, flat, i * alpha * plane + (t - start) * F, at_column, half, i * m * length, length, length)
        for p in range(rows):
            _apply_row(matrix, p, half, 0, at * (m * length), line, 0, m * length)
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
def transform_filters(start, stop, matrix, w, first, strides, at, together, nine, half, U):
    """U[(i, j), c, f] = sum over p, q of matrix[i, p] * matrix[j, q] * w[f, c, p, q], for channels start <= c < stop.

    w is flat, w[f, c, p, q] its element first + f*strides[0] + c*strides[1] + (3*p + q)*strides[2]. ``together`` channels go
    through the workspaces ``nine`` and ``half`` at a time.
    """
    alpha, (_, C, F), flat = len(matrix[0]), U.shape, U.ravel()
    for begin in range(start, stop, together):
        channels = min(together, stop - begin)
        n = channels * F
        for f in range(F):
            for c in range(channels):
                tap, out = first + f * strides[0] + (begin + c) * strides[1], nine[c * F + f :]
                for k in range(9):
                    out[k * n] = w[tap + k * strides[2]]
        _apply(matrix, nine, 0, at * (3 * n), half, 0, 3 * n, 3 * n)
        for i in range(alpha):
            _apply(matrix, half, 3 * i * n, at * n, flat, (i * alpha * C + begin) * F, C * F, n)


@_loop
def restore_filters(start, stop, matrix, dU, at, together, half, nine, dw):
    """dw[f, c, p, q] = sum over i, j of matrix[p, i] * matrix[q, j] * dU[(i, j), c, f], for channels start <= c < stop."""
    alpha, (_, C, F), flat = len(at), dU.shape, dU.ravel()
    for begin in range(start, stop, together):
        channels = min(together, stop - begin)
        n = channels * F
        for i in range(alpha):
            _apply(matrix, flat, (i * alpha * C + begin) * F, at * (C * F), half, 3 * i * n, n, n)
        _apply(matrix, half, 0, at * (3 * n), nine, 0, 3 * n, 3 * n)
        for f in range(F):
            for c in range(channels):
                source, out = nine[c * F + f :], dw[f, begin + c]
                for k in range(9):
                    out[k] = source[k * n]
