"""The Numba loops of ``winograd``: the transforms and products of ``textbook.winograd_forward`` for some tiles, in one thread.

All transforms are the same thing, a small constant matrix applied from the left and from the right, down the columns of a
tile and then along its rows, to vectors of channels or filters (see ``simd.vectors``). Pictures have their channels side by
side, so that a vector is read from where it lies; only windows that reach beyond the border are copied, with zeros around them.

Where channels or filters are no multiple of VECTOR_WIDTH, the last vector of them overlaps the one before; where there are
fewer, the other lanes hold nothing of interest.

Numba types integer literals separately, and compiles a function once more for each literal that it is called with. So the
constants below are NumPy's numbers.
"""

from __future__ import annotations

import numpy as np

from ...runtime.compilation import inlined, loop
from ..simd.products import matrix_rows, multiply
from ..simd.vectors import (
    PIECE,
    VECTOR_WIDTH,
    add,
    clamp,
    first_of_vector,
    load,
    load_part,
    spread,
    store,
    store_part,
    transpose,
    vectors_of,
)
from . import winograd_transforms as of

BT, AT, G, A, GT = np.arange(5)  # the matrices
ZERO, VECTOR = np.int64(0), np.int64(VECTOR_WIDTH)
CHANNELS_AT_ONCE = 64  # of transformed filters: those of a panel stay in the second-level cache
TILES_AT_ONCE = 8  # neighbouring tiles, at most: they stay in the first-level cache
FILTERS_AT_ONCE = 32  # of a lane that are read after each other


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
def _at_once(TW):
    """Neighbouring tiles of a row of TW that go through together: all groups of them are about equally large."""
    groups = (TW + TILES_AT_ONCE - 1) // TILES_AT_ONCE
    return (TW + groups - 1) // groups


@inlined
def _load_window(x, n, row, column, c, rows, columns, strip):
    """strip[(p*columns + j) * VECTOR_WIDTH + lane] = x[n, row + p, column + j, c + lane]; 0 outside of x (N, H, W, C)."""
    H, W, C = x.shape[1:]
    flat, zero, lanes = x.ravel(), spread(x.dtype.type(0)), min(C, VECTOR_WIDTH)
    for p in range(rows):
        for j in range(columns):
            at = (p * columns + j) * VECTOR_WIDTH
            if 0 <= row + p < H and 0 <= column + j < W:
                store(load_part(flat, ((n * H + row + p) * W + column + j) * C + c, lanes), strip, at)
            else:
                store(zero, strip, at)


@loop
def transform_tiles(start, stop, matrix, window, m, x, origin, grid, V, tiles_of_V, begin):
    """V[(i, j), t - begin, c] = sum over p, q of matrix[i, p] * matrix[j, q] * x_padded[n, ti*m + p, tj*m + q, c].

    For the tiles start <= t < stop, t = (n, ti, tj), p and q < ``window``; x (N, H, W, C) is padded by ``origin`` before the
    first row and column. V is flat: (alpha^2, tiles_of_V, C or VECTOR_WIDTH if that is more).
    """
    (_, H, W, C), (TH, TW), (top, left) = x.shape, grid, origin
    alpha, at_once, pitch_of_V, x_flat = m + 2, _at_once(TW), max(C, VECTOR_WIDTH), x.ravel()
    columns = m * (at_once - 1) + window
    strip = np.zeros(window * columns * VECTOR_WIDTH, x.dtype)
    half = np.empty(alpha * columns * VECTOR_WIDTH, x.dtype)
    t = start
    while t < stop:
        n, ti, tj = t // (TH * TW), t // TW % TH, t % TW
        tiles = min(at_once, TW - tj, stop - t)
        row, column, columns = ti * m - top, tj * m - left, m * (tiles - 1) + window
        pitch = columns * VECTOR_WIDTH
        is_inside = row >= 0 and column >= 0 and row + window <= H and column + columns <= W and C >= VECTOR_WIDTH
        for v in range(vectors_of(C)):
            c = first_of_vector(v, C)
            if is_inside:
                at = ((n * H + row) * W + column) * C + c
                _apply(matrix, m, x_flat, at, W * C, C, half, ZERO, pitch, VECTOR, columns)
            else:
                _load_window(x, n, row, column, c, window, columns, strip)
                _apply(matrix, m, strip, ZERO, pitch, VECTOR, half, ZERO, pitch, VECTOR, columns)
            for i in range(alpha):
                there = (i * alpha * tiles_of_V + t - begin) * pitch_of_V + c
                _apply(
                    matrix, m, half, i * pitch, VECTOR, m * VECTOR_WIDTH, V, there, tiles_of_V * pitch_of_V, pitch_of_V, tiles
                )
        t += tiles


@loop
def _restore_tiles(start, stop, m, M, panel, bias, clip, y, of_y):
    """y[n, ti*m + p, tj*m + q, f] = clip(b[f] + sum over i, j of AT[p, i] * AT[q, j] * M[(i, j), t - start, f]).

    For tiles start <= t < stop and the filters of a ``panel`` of `products.panels`. ``of_y`` is (tiles down, tiles across, OH,
    OW, numbers from a pixel to the next); M (alpha^2, tiles, vectors) and y are flat. Rows and columns beyond y's end are left
    out.
    """
    (TH, TW, OH, OW, pitch_of_y), (vectors, first_f, last_f, lanes, _) = of_y, panel
    alpha, at_once, tiles_of_M = m + 2, _at_once(TW), stop - start
    half = np.empty(alpha * m * at_once * VECTOR_WIDTH, y.dtype)
    strip = np.empty(m * m * at_once * VECTOR_WIDTH, y.dtype)
    width, low, high = vectors * VECTOR_WIDTH, spread(clip[0]), spread(clip[1])
    t = start
    while t < stop:
        n, ti, tj = t // (TH * TW), t // TW % TH, t % TW
        tiles = min(at_once, TW - tj, stop - t)
        pitch = m * tiles * VECTOR_WIDTH
        rows, columns = min(m, OH - ti * m), min(m * tiles, OW - tj * m)
        for v in range(vectors):
            f = last_f if v == vectors - 1 else first_f + v * VECTOR_WIDTH
            for i in range(alpha):
                here = (i * alpha * tiles_of_M + t - start) * width + v * VECTOR_WIDTH
                _apply(AT, m, M, here, tiles_of_M * width, width, half, i * pitch, VECTOR, m * VECTOR_WIDTH, tiles)
            _apply(AT, m, half, ZERO, pitch, VECTOR, strip, ZERO, pitch, VECTOR, m * tiles)
            b = load(bias, f)
            for p in range(rows):
                there = ((n * OH + ti * m + p) * OW + tj * m) * pitch_of_y + f
                for j in range(columns):
                    value = clamp(add(load(strip, p * pitch + j * VECTOR_WIDTH), b), low, high)
                    if lanes == VECTOR_WIDTH:
                        store(value, y, there + j * pitch_of_y)
                    else:
                        store_part(value, y, there + j * pitch_of_y, lanes)
        t += tiles


@loop
def _add_channels(tiles, C, first, V, U, vectors, M, m):
    """M[k] (+)= V[k] U[k] for each k, of CHANNELS_AT_ONCE channels from ``first`` on; the first of them are not added to M.

    V (alpha^2, tiles, C or VECTOR_WIDTH), U (alpha^2, channels, vectors), only these channels, and M (alpha^2, tiles, vectors)
    are flat.
    """
    channels, pitch, width = min(CHANNELS_AT_ONCE, C - first), max(C, VECTOR_WIDTH), vectors * VECTOR_WIDTH
    places, offsets, columns = matrix_rows(tiles, pitch, width), np.zeros(1, np.int64), (ZERO, width - VECTOR, VECTOR)
    no_bias, no_clip = np.zeros(width, M.dtype), (M.dtype.type(-np.inf), M.dtype.type(np.inf))
    steps = channels, 1, width, width - VECTOR
    for k in range((m + 2) * (m + 2)):
        V_k, M_k = V[k * tiles * pitch + first :], M[k * tiles * width :]
        so_far = M_k[: len(M_k) if first else 0]
        multiply(V_k, places, offsets, steps, U, k * channels * width, vectors, no_bias, no_clip, so_far, M_k, columns)


@loop
def convolve(start, stop, size, x, origin, V, U, M, m, panels, bias, clip, y, of_y):
    """All filters for tiles start to stop, ``size`` tiles and a panel of filters at a time.

    U (panels, chunks, alpha^2, channels, vectors), see `transform_filters`; V and M are workspaces. All are flat.
    """
    C, alpha, grid = x.shape[3], m + 2, (of_y[0], of_y[1])
    for begin in range(start, stop, size):
        end = min(begin + size, stop)
        transform_tiles(begin, end, BT, alpha, m, x, origin, grid, V, end - begin, begin)
        for panel in panels:
            width = panel[0] * VECTOR_WIDTH
            U_of_panel = U[panel[4] * alpha * alpha * C * VECTOR_WIDTH :]
            for c in range(0, C, CHANNELS_AT_ONCE):
                _add_channels(end - begin, C, c, V, U_of_panel[alpha * alpha * c * width :], panel[0], M, m)
            _restore_tiles(begin, end, m, M, panel, bias, clip, y, of_y)


@loop
def convolve_panels(panels, w, w_steps, is_turned, C, V, U, is_whole, M, m, bias, clip, y, of_y):
    """All tiles for some panels of filters: V (alpha^2, tiles, C) has all of them; M is a workspace.

    U has all filters, as in `convolve`; or it is a workspace, in which some channels at a time are transformed right before
    they are needed.
    """
    alpha, tiles = m + 2, len(V) // ((m + 2) * (m + 2) * max(C, VECTOR_WIDTH))
    for panel in panels:
        width = panel[0] * VECTOR_WIDTH
        U_of_panel = U[panel[4] * alpha * alpha * C * VECTOR_WIDTH :] if is_whole else U
        for c in range(0, C, CHANNELS_AT_ONCE):
            if is_whole:
                U_of_channels = U_of_panel[alpha * alpha * c * width :]
            else:
                U_of_channels = U
                _transform_channels(c, m, w, w_steps, is_turned, panel, C, U)
            _add_channels(tiles, C, c, V, U_of_channels, panel[0], M, m)
        _restore_tiles(0, tiles, m, M, panel, bias, clip, y, of_y)


@loop
def add_products(start, stop, tiles, C, F, V, dM, panels, is_first, dU):
    """dU[k, c] (+)= V[k]^T dM[k] for start <= k < stop: V (alpha^2, tiles, C), dM (alpha^2, tiles, F), with whole vectors.

    dU (alpha^2, C, vectors), flat; new if ``is_first``.
    """
    pitch, step, width = max(C, VECTOR_WIDTH), max(F, VECTOR_WIDTH), vectors_of(F) * VECTOR_WIDTH
    places, offsets = matrix_rows(C, 1, width), np.zeros(1, np.int64)
    no_bias, no_clip = np.zeros(width, dU.dtype), (dU.dtype.type(-np.inf), dU.dtype.type(np.inf))
    for k in range(start, stop):
        V_k, dM_k, dU_k = V[k * tiles * pitch :], dM[k * tiles * step :], dU[k * C * width :]
        z = dU_k[: 0 if is_first else len(dU_k)]
        for panel in panels:
            vectors, first, last, _, before = panel
            columns = before * VECTOR, (before + vectors - 1) * VECTOR, VECTOR
            steps = tiles, pitch, step, last - first
            multiply(V_k, places, offsets, steps, dM_k, first, vectors, no_bias, no_clip, z, dU_k, columns)


@loop
def correlate(start, stop, size, x, origin, V, dy, dM, m, grid, panels, dU):
    """dU[k] = sum over tiles start <= t < stop of V[k]^T dM[k], ``size`` tiles at a time; see `add_products`."""
    for begin in range(start, stop, size):
        end = min(begin + size, stop)
        transform_tiles(begin, end, BT, m + 2, m, x, origin, grid, V, end - begin, begin)
        transform_tiles(begin, end, A, m, m, dy, (ZERO, ZERO), grid, dM, end - begin, begin)
        alpha, C, F = m + 2, x.shape[3], dy.shape[3]
        add_products(ZERO, alpha * alpha, end - begin, C, F, V, dM, panels, begin == start, dU)


@loop
def _transform_channels(begin, m, w, w_steps, is_turned, panel, C, U):
    """U[(i, j), c] = sum over p, q of G[i, p] * G[j, q] * w[f, c, p, q], f the vectors of a panel, CHANNELS_AT_ONCE channels c.

    They are those from ``begin`` on. w is flat, ``w_steps`` lead to its next filter, channel and tap; ``is_turned`` if its taps
    are to be read from the last to the first. U (alpha^2, channels, vectors), flat.
    """
    alpha, (f_step, c_step, t_step), (vectors, first, last, lanes, _) = m + 2, w_steps, panel
    channels, width = min(CHANNELS_AT_ONCE, C - begin), vectors * VECTOR_WIDTH
    pitch = 3 * FILTERS_AT_ONCE * VECTOR_WIDTH
    nine = np.zeros(3 * pitch, w.dtype)
    half = np.empty(3 * alpha * FILTERS_AT_ONCE * VECTOR_WIDTH, w.dtype)
    rows, places = np.arange(VECTOR_WIDTH) * f_step, np.empty(9 * FILTERS_AT_ONCE, np.int64)
    for k in range(len(places)):
        tap = 8 - k % 9 if is_turned else k % 9
        places[k] = tap // 3 * pitch + (k // 9 * 3 + tap % 3) * VECTOR_WIDTH
    for first_c in range(0, channels, FILTERS_AT_ONCE):
        count = min(FILTERS_AT_ONCE, channels - first_c)
        for v in range(vectors):
            f = last if v == vectors - 1 else first + v * VECTOR_WIDTH
            source = f * f_step + (begin + first_c) * c_step
            if f_step == 1 and lanes == VECTOR_WIDTH and not is_turned:  # a vector lies there as it is wanted
                for q in range(3):
                    at, there = source + q * t_step, q * VECTOR_WIDTH
                    _apply(G, m, w, at, 3 * t_step, c_step, half, there, pitch, 3 * VECTOR_WIDTH, count)
            else:
                lines = 1 if c_step == 9 and t_step == 1 else count  # of numbers of a filter that lie side by side
                for c in range(lines):
                    at, line = source + c * c_step, 9 * count // lines
                    if t_step == 1 and lanes == VECTOR_WIDTH:
                        for some in range(0, line, PIECE):
                            k = min(some, line - PIECE)  # the last pieces overlap those before
                            transpose(w, at + k, rows, nine, ZERO, places, c * line + k)
                    else:
                        for k in range(line):
                            for lane in range(lanes):
                                number = at + k // 9 * c_step + k % 9 * t_step + rows[lane]
                                nine[places[c * line + k] + lane] = w[number]
                _apply(G, m, nine, ZERO, pitch, VECTOR, half, ZERO, pitch, VECTOR, 3 * count)
            for i in range(alpha):
                there = (i * alpha * channels + first_c) * width + v * VECTOR_WIDTH
                _apply(G, m, half, i * pitch, VECTOR, 3 * VECTOR_WIDTH, U, there, channels * width, width, count)


@loop
def transform_filters(start, stop, m, w, w_steps, is_turned, panels, C, U):
    """U (panels, chunks of CHANNELS_AT_ONCE channels, alpha^2, channels, vectors), flat: chunks start to stop of each panel."""
    alpha = m + 2
    for panel in panels:
        width = panel[0] * VECTOR_WIDTH
        U_of_panel = U[panel[4] * alpha * alpha * C * VECTOR_WIDTH :]
        for chunk in range(start, stop):
            c = chunk * CHANNELS_AT_ONCE
            _transform_channels(c, m, w, w_steps, is_turned, panel, C, U_of_panel[alpha * alpha * c * width :])


@loop
def restore_filters(start, stop, m, dU, dw):
    """dw[f, c, p, q] = sum over i, j of GT[p, i] * GT[q, j] * dU[(i, j), c, vector and lane of f], channels start <= c < stop.

    dU (alpha^2, C, vectors), flat; dw (F, C, 9).
    """
    F, C, _ = dw.shape
    alpha, vectors = m + 2, vectors_of(F)
    width, lanes = vectors * VECTOR_WIDTH, min(F, VECTOR_WIDTH)
    half = np.empty(3 * alpha * FILTERS_AT_ONCE * VECTOR_WIDTH, dw.dtype)
    nine = np.empty(9 * FILTERS_AT_ONCE * VECTOR_WIDTH, dw.dtype)
    for begin in range(start, stop, FILTERS_AT_ONCE):
        channels = min(FILTERS_AT_ONCE, stop - begin)
        pitch = 3 * channels * VECTOR_WIDTH
        for v in range(vectors):
            f = first_of_vector(v, F)
            for i in range(alpha):
                here = (i * alpha * C + begin) * width + v * VECTOR_WIDTH
                _apply(GT, m, dU, here, C * width, width, half, i * pitch, VECTOR, 3 * VECTOR_WIDTH, channels)
            _apply(GT, m, half, ZERO, pitch, VECTOR, nine, ZERO, pitch, VECTOR, 3 * channels)
            for lane in range(lanes):
                for c in range(channels):
                    for p in range(3):
                        for q in range(3):
                            dw[f + lane, begin + c, p * 3 + q] = nine[p * pitch + (c * 3 + q) * VECTOR_WIDTH + lane]
