"""The Numba loops of ``winograd``: the transforms and products of ``textbook.winograd_forward`` for some tiles, in one thread.

All transforms are the same thing, a small constant matrix applied from the left and from the right, down the columns of a
tile and then along its rows, to vectors of LANES channels or filters (see ``simd.vectors``). Pictures are therefore turned from
(channel, row, column) to (row, column, channel) on their way in, and back on their way out.

Where channels or filters are no multiple of LANES, the last block of them overlaps the one before; where there are fewer, the
other lanes hold nothing of interest.

Numba types integer literals separately, and compiles a function once more for each literal that it is called with. So the
constants below are NumPy's numbers.
"""

from __future__ import annotations

import numpy as np

from ...runtime.compilation import inlined, loop
from ..simd.layout import blocks_of, first_channel, to_lanes, to_planes
from ..simd.products import multiply
from ..simd.vectors import LANES, add, clamp, load, spread, store
from . import winograd_transforms as of

BT, AT, G, A, GT = np.arange(5)  # the matrices
ZERO, ONE, VECTOR, YES, NO = np.int64(0), np.int64(1), np.int64(LANES), np.bool_(True), np.bool_(False)
TOGETHER = 8  # neighbouring tiles, or channels of filters, at most
PAIR = 2  # blocks of filters that are brought back after each other, while M is in the cache; their products share what is read


@loop
def _apply(matrix, m, source, at, step, across, target, first, pitch, along, n):
    """target[first + k*along + i*pitch] = sum over j of matrix[i, j] * source[at + k*across + j*step] for k < n; vectors."""
    if matrix == BT and m == 4:
        for k in range(n):
            of.apply_BT4(source, at + k * across, step, target, first + k * along, pitch)
    elif matrix == AT and m == 4:
        for k in range(n):
            of.apply_AT4(source, at + k * across, step, target, first + k * along, pitch)
    elif matrix == A and m == 4:
        for k in range(n):
            of.apply_A4(source, at + k * across, step, target, first + k * along, pitch)
    elif matrix == G and m == 4:
        for k in range(n):
            of.apply_G4(source, at + k * across, step, target, first + k * along, pitch)
    elif matrix == GT and m == 4:
        for k in range(n):
            of.apply_GT4(source, at + k * across, step, target, first + k * along, pitch)
    elif matrix == BT:
        for k in range(n):
            of.apply_BT2(source, at + k * across, step, target, first + k * along, pitch)
    elif matrix == AT:
        for k in range(n):
            of.apply_AT2(source, at + k * across, step, target, first + k * along, pitch)
    elif matrix == A:
        for k in range(n):
            of.apply_A2(source, at + k * across, step, target, first + k * along, pitch)
    elif matrix == G:
        for k in range(n):
            of.apply_G2(source, at + k * across, step, target, first + k * along, pitch)
    else:
        for k in range(n):
            of.apply_GT2(source, at + k * across, step, target, first + k * along, pitch)


@inlined
def _together(TW):
    """Neighbouring tiles that go through together: they stay in the first-level cache, and all goes are about equally many."""
    goes = (TW + TOGETHER - 1) // TOGETHER
    return (TW + goes - 1) // goes


@inlined
def _load_window(x, plane, rows_of_planes, row, column, rows, columns, places, strip):
    """strip[(p*columns + j) * LANES + lane] = x[plane + lane, row + p, column + j] for p < rows, j < columns; 0 outside of x.

    x (planes, H, W); the numbers in ``places`` are j * LANES.
    """
    H, W = x.shape[1:]
    flat, zero, pitch = x.ravel(), spread(x.dtype.type(0)), columns * LANES
    first, last = min(max(-column, 0), columns), max(min(columns, W - column), 0)
    for p in range(rows):
        line = strip[p * pitch :]
        if row + p < 0 or row + p >= H or first >= last:
            for j in range(columns):
                store(zero, line, j * LANES)
            continue
        for j in range(first):
            store(zero, line, j * LANES)
        for j in range(last, columns):
            store(zero, line, j * LANES)
        start = (plane * H + row + p) * W + column + first
        to_lanes(flat[start:], rows_of_planes, line, places[first:last])


@loop
def transform_tiles(start, stop, matrix, window, m, x, top, left, grid, V, tiles_of_V, begin, in_blocks):
    """V[(i, j), t - begin, c] = sum over p, q of matrix[i, p] * matrix[j, q] * tile_t[p, q, c], for tiles start <= t < stop.

    Tile t = (n, ti, tj) holds rows ti*m - top + p and columns tj*m - left + q of x[n, c], p and q < window, and 0 outside of x.
    V is flat: (alpha^2, tiles, C or LANES if there are fewer) or, if ``in_blocks``, vectors (alpha^2, blocks, tiles), as
    `multiply` wants the one and the other factor. Neighbours in a tile row go together.
    """
    (_, C, H, W), (TH, TW) = x.shape, grid
    alpha, together, blocks = m + 2, _together(TW), blocks_of(C)
    columns, along = m * (together - 1) + window, LANES if in_blocks else max(C, LANES)
    plane = tiles_of_V * (blocks * LANES if in_blocks else along)
    x_rows, x_planes, places = np.arange(min(C, LANES)) * (H * W), x.reshape(-1, H, W), np.arange(columns) * LANES
    strip, half = np.zeros(window * columns * LANES, x.dtype), np.empty(alpha * columns * LANES, x.dtype)
    t = start
    while t < stop:
        n, ti, tj = t // (TH * TW), t // TW % TH, t % TW
        tiles = min(together, TW - tj, stop - t)
        columns = m * (tiles - 1) + window
        pitch = columns * LANES
        for block in range(blocks):
            c = first_channel(block, C)
            _load_window(x_planes, n * C + c, x_rows, ti * m - top, tj * m - left, window, columns, places, strip)
            _apply(matrix, m, strip, ZERO, pitch, VECTOR, half, ZERO, pitch, VECTOR, columns)
            there = (t - begin) * along + (block * tiles_of_V * LANES if in_blocks else c)
            for i in range(alpha):
                _apply(matrix, m, half, i * pitch, VECTOR, m * LANES, V, i * alpha * plane + there, plane, along, tiles)
        t += tiles


@loop
def _restore_tiles(start, stop, m, M, first_block, blocks, bias, low, high, grid, y):
    """y[n, f, ti*m + p, tj*m + q] = clamp(b[f] + sum over i, j of AT[p, i] * AT[q, j] * M[(i, j), block of f, t - start]).

    For tiles start <= t < stop and ``blocks`` filter blocks; M (alpha^2, blocks, tiles) are vectors, flat. Rows and columns
    beyond y's end are left out.
    """
    (_, F, OH, OW), (TH, TW) = y.shape, grid
    alpha, together, tiles_of_M, y_flat = m + 2, _together(TW), stop - start, y.ravel()
    half, strip = np.empty(alpha * m * together * LANES, y.dtype), np.empty(m * m * together * LANES, y.dtype)
    y_rows, places = np.arange(min(F, LANES)) * (OH * OW), np.empty(m * m * together, np.int64)
    plane = blocks * tiles_of_M * LANES
    low, high = spread(low), spread(high)
    t = start
    while t < stop:
        n, ti, tj = t // (TH * TW), t // TW % TH, t % TW
        tiles = min(together, TW - tj, stop - t)
        pitch = m * tiles * LANES
        rows, columns = min(m, OH - ti * m), min(m * tiles, OW - tj * m)
        lines, length = rows, columns
        if columns == OW:  # the end of a row is the beginning of the next
            lines, length = 1, rows * OW
        for k in range(length):
            places[k] = k // columns * pitch + k % columns * LANES
        for block in range(blocks):
            f = first_channel(first_block + block, F)
            for i in range(alpha):
                here = i * alpha * plane + (block * tiles_of_M + t - start) * LANES
                _apply(AT, m, M, here, plane, VECTOR, half, i * pitch, VECTOR, m * LANES, tiles)
            _apply(AT, m, half, ZERO, pitch, VECTOR, strip, ZERO, pitch, VECTOR, m * tiles)
            b = load(bias, f)
            for k in range(0, m * pitch, LANES):
                store(clamp(add(load(strip, k), b), low, high), strip, k)
            there = ((n * F + f) * OH + ti * m) * OW + tj * m
            for p in range(lines):
                to_planes(strip[p * pitch :], places[:length], y_flat[there + p * OW :], y_rows)
        t += tiles


@inlined
def _multiply_and_restore(begin, end, C, V, U, blocks_of_U, block_of_U, first_block, blocks, M, m, bias, low, high, grid, y):
    """y of tiles ``begin`` to ``end`` - 1 and ``blocks`` blocks of filters, which lie in U from ``block_of_U`` on.

    V (alpha^2, tiles, C), U (alpha^2, blocks_of_U, C, LANES) and M (alpha^2, blocks, tiles, LANES) are flat.
    """
    tiles, width = end - begin, max(C, LANES)
    for k in range((m + 2) * (m + 2)):
        U_k = U[(k * blocks_of_U + block_of_U) * C * LANES :]
        multiply(V[k * tiles * width :], tiles, width, C, ONE, U_k, blocks, M[k * blocks * tiles * LANES :], YES)
    _restore_tiles(begin, end, m, M, first_block, blocks, bias, low, high, grid, y)


@loop
def convolve(start, stop, size, x, top, left, V, U, M, m, bias, low, high, grid, y):
    """All filters for tiles start to stop, ``size`` tiles and a pair of blocks of filters at a time.

    U (alpha^2, blocks, C, LANES), flat; V and M are flat workspaces.
    """
    C, blocks = x.shape[1], blocks_of(y.shape[1])
    for begin in range(start, stop, size):
        end = min(begin + size, stop)
        transform_tiles(begin, end, BT, m + 2, m, x, top, left, grid, V, end - begin, begin, NO)
        for first in range(0, blocks, PAIR):
            pair = min(PAIR, blocks - first)
            _multiply_and_restore(begin, end, C, V, U, blocks, first, first, pair, M, m, bias, low, high, grid, y)


@loop
def convolve_filters(start, stop, w, w_steps, is_turned, C, V, tiles, U, is_whole, M, m, bias, low, high, grid, y):
    """Pairs ``start`` to ``stop`` - 1 of blocks of filters, for all tiles: V (alpha^2, tiles, C); M is a workspace.

    U has all filters, as in `convolve`; or it is a workspace, in which each pair is made when it is needed.
    """
    F = y.shape[1]
    blocks = blocks_of(F)
    for first in range(start * PAIR, min(stop * PAIR, blocks), PAIR):
        pair = min(PAIR, blocks - first)
        blocks_of_U, block_of_U = (blocks, first) if is_whole else (pair, ZERO)
        if not is_whole:
            transform_filters(ZERO, C, m, w, w_steps, is_turned, C, F, first, pair, U)
        _multiply_and_restore(ZERO, tiles, C, V, U, blocks_of_U, block_of_U, first, pair, M, m, bias, low, high, grid, y)


@loop
def add_products(start, stop, tiles, C, V, blocks, dM, is_first, dU):
    """dU[k] (+)= V[k]^T dM[k] for start <= k < stop: V (alpha^2, tiles, C), dM (alpha^2, blocks, tiles, LANES), both flat.

    dU (alpha^2, blocks, C, LANES), flat; new if ``is_first``.
    """
    width = max(C, LANES)
    for k in range(start, stop):
        x, w = V[k * tiles * width :], dM[k * blocks * tiles * LANES :]
        multiply(x, C, ONE, tiles, width, w, blocks, dU[k * blocks * C * LANES :], is_first)


@loop
def correlate(start, stop, size, x, top, left, V, dy, dM, m, grid, dU):
    """dU[k] = sum of V[k]^T dM[k] over tiles start to stop, ``size`` at a time; V and dM are flat workspaces."""
    C, blocks = x.shape[1], blocks_of(dy.shape[1])
    for begin in range(start, stop, size):
        end = min(begin + size, stop)
        tiles = end - begin
        transform_tiles(begin, end, A, m, m, dy, ZERO, ZERO, grid, dM, tiles, begin, YES)
        transform_tiles(begin, end, BT, m + 2, m, x, top, left, grid, V, tiles, begin, NO)
        add_products(ZERO, (m + 2) * (m + 2), tiles, C, V, blocks, dM, begin == start, dU)


@inlined
def _taps(channels, is_turned):
    """Where tap k of some channels' filters lies among vectors [p, channel, q]; from the last to the first, if turned."""
    places = np.empty((channels, 9), np.int64)
    for c in range(channels):
        for k in range(9):
            tap = 8 - k if is_turned else k
            places[c, k] = ((tap // 3 * channels + c) * 3 + tap % 3) * LANES
    return places


@loop
def transform_filters(start, stop, m, w, w_steps, is_turned, C, F, first_block, blocks, U):
    """U[(i, j), block, c] = sum over p, q of G[i, p] * G[j, q] * w[f, c, p, q], f a vector, for channels start <= c < stop.

    For ``blocks`` blocks of filters from ``first_block`` on. w is flat, and w_steps lead to its next filter and channel;
    ``is_turned`` if its taps are to be read from the last to the first. U (alpha^2, blocks, C, LANES), flat.
    """
    alpha, w_rows, w_step = m + 2, np.arange(min(F, LANES)) * w_steps[0], w_steps[1]
    plane = blocks * C * LANES
    nine, half = np.zeros(9 * TOGETHER * LANES, w.dtype), np.empty(3 * alpha * TOGETHER * LANES, w.dtype)
    for begin in range(start, stop, TOGETHER):
        together = min(TOGETHER, stop - begin)
        places, pitch = _taps(together, is_turned), 3 * together * LANES
        for block in range(blocks):
            f = first_channel(first_block + block, F)
            for c in range(together):
                to_lanes(w[f * w_steps[0] + (begin + c) * w_step :], w_rows, nine, places[c])
            _apply(G, m, nine, ZERO, pitch, VECTOR, half, ZERO, pitch, VECTOR, 3 * together)
            for i in range(alpha):
                there = i * alpha * plane + (block * C + begin) * LANES
                _apply(G, m, half, i * pitch, VECTOR, 3 * LANES, U, there, plane, VECTOR, together)


@loop
def restore_filters(start, stop, m, dU, dw):
    """dw[f, c, p, q] = sum over i, j of GT[p, i] * GT[q, j] * dU[(i, j), block of f, c], for channels start <= c < stop.

    dU (alpha^2, blocks, C, LANES), flat.
    """
    F, C, _ = dw.shape
    alpha, blocks, dw_flat, dw_rows = m + 2, blocks_of(F), dw.ravel(), np.arange(min(F, LANES)) * (C * 9)
    plane = blocks * C * LANES
    half, nine = np.empty(3 * alpha * TOGETHER * LANES, dw.dtype), np.empty(9 * TOGETHER * LANES, dw.dtype)
    for begin in range(start, stop, TOGETHER):
        together = min(TOGETHER, stop - begin)
        places, pitch = _taps(together, NO), 3 * together * LANES
        for block in range(blocks):
            f = first_channel(block, F)
            for i in range(alpha):
                here = i * alpha * plane + (block * C + begin) * LANES
                _apply(GT, m, dU, here, plane, VECTOR, half, i * pitch, VECTOR, 3 * LANES, together)
            _apply(GT, m, half, ZERO, pitch, VECTOR, nine, ZERO, pitch, VECTOR, 3 * together)
            to_planes(nine, places.ravel(), dw_flat[(f * C + begin) * 9 :], dw_rows)
