"""The Numba loops of ``direct``: the sums of some pixels, in one thread; see there."""

from __future__ import annotations

import numpy as np

from ...runtime.compilation import loop
from ..simd.products import matrix_rows, multiply
from ..simd.vectors import VECTOR_WIDTH, first_of_vector, vectors_of


@loop
def convolve(x, places, parts, offsets, w, panels, groups, bias, clip, y, sums):
    """y[places[2, i] + g*F + f] = clip(bias[g, f] + sum over k of x[places[0, i] + g*C + offsets[k]] * w[g, k, f]).

    ``groups`` is (groups, channels C of a group, F, numbers in the filters of a group). The sum is taken in ``parts``: of
    (first run, end of runs, first number, end of numbers) in each, so that the filters of a part stay in the cache while all
    pixels see them. Meanwhile the sums lie in the workspace ``sums`` (pixels, F or a vector if that is more).
    """
    count, C, F, size = groups
    K, nothing, last_part = len(offsets) * parts[-1, 3], sums[:0], len(parts) - 1
    no_bias, no_clip = np.zeros_like(bias[0]), (x.dtype.type(-np.inf), x.dtype.type(np.inf))
    within = np.empty((3, places.shape[1]), np.int64) if last_part else places
    if last_part:
        for i in range(places.shape[1]):
            within[0, i], within[1, i], within[2, i] = places[0, i], places[1, i], places[1, i]
    for g in range(count):
        x_g, y_g, w_g = x[g * C :], y[g * F :], w[g * size :]
        for panel in range(len(panels)):
            vectors, first, last, lanes, before = panels[panel]
            width = vectors * VECTOR_WIDTH
            columns = first, last, lanes
            for part in range(len(parts)):
                run, end, begin, stop = parts[part]
                at = before * VECTOR_WIDTH * K + (run * parts[-1, 3] + begin) * width
                steps = stop - begin, 1, width, width - VECTOR_WIDTH
                so_far = sums if part else nothing
                if part == last_part:
                    multiply(
                        x_g[begin:], places, offsets[run:end], steps, w_g, at, vectors, bias[g], clip, so_far, y_g, columns
                    )
                else:
                    multiply(
                        x_g[begin:], within, offsets[run:end], steps, w_g, at, vectors, no_bias, no_clip, so_far, sums, columns
                    )


@loop
def add_gradients(x, runs, at_once, length, x_step, dy, groups, places, panels, narrow, sums):
    """sums[g, t, f] += sum over r, l of x[places[0, t] + g*C + runs[r] + l*x_step] * dy[r*length + l, g*F + f].

    For taps and channels t; ``groups`` is (groups, channels C of a group, F). The columns of sums are whole vectors, one after
    the other. ``at_once`` runs are summed up before they are added. ``narrow`` is a workspace for them, VECTOR_WIDTH numbers
    a pixel, where F is less than that.
    """
    count, C, F = groups
    width, pitch = sums.shape[2], count * F
    zeros, no_clip = np.zeros(width, sums.dtype), (x.dtype.type(-np.inf), x.dtype.type(np.inf))
    for first in range(0, len(runs), at_once):
        some = runs[first : first + at_once]
        for g in range(count):
            step, of_dy, flat = pitch, dy[first * length * pitch + g * F :], sums[g].ravel()
            if F < VECTOR_WIDTH:
                for pixel in range(len(some) * length):
                    for f in range(F):
                        narrow[pixel * VECTOR_WIDTH + f] = of_dy[pixel * pitch + f]
                    for f in range(F, VECTOR_WIDTH):
                        narrow[pixel * VECTOR_WIDTH + f] = 0
                step, of_dy = VECTOR_WIDTH, narrow
            for vectors, start, last, _, before in panels:
                how = length, x_step, step, last - start
                columns = before * VECTOR_WIDTH, (before + vectors - 1) * VECTOR_WIDTH, VECTOR_WIDTH
                multiply(x[g * C :], places, some, how, of_dy, start, vectors, zeros, no_clip, flat, flat, columns)


@loop
def gather_gradients(start, stop, sums, channels, dw):
    """dw[g, f, c, t] = sums[g, (t, c), f] for the vectors ``start`` to ``stop`` - 1 of filters.

    The last vector overlaps the one before as in `products.panels`, but not in sums.
    """
    count, F, _, taps = dw.shape
    for vector in range(start, stop):
        first, lanes = first_of_vector(vector, F), min(F, VECTOR_WIDTH)
        for g in range(count):
            for c in range(channels):
                for t in range(taps):
                    row = sums[g, t * channels + c]
                    for lane in range(lanes):
                        dw[g, first + lane, c, t] = row[vector * VECTOR_WIDTH + lane]


@loop
def gather_rows(start, stop, sums, dw):
    """dw[f, c] = sums[f, c] for the filters f from ``start`` on; the last vector of a row as in `gather_gradients`."""
    channels = dw.shape[1]
    for f in range(start, stop):
        row, target = sums[f], dw[f]
        for vector in range(vectors_of(channels)):
            first = first_of_vector(vector, channels)
            for lane in range(min(channels, VECTOR_WIDTH)):
                target[first + lane] = row[vector * VECTOR_WIDTH + lane]


@loop
def scatter(dy, rows_of_dy, at_once, w, panels, columns, geometry, rows, dx):
    """dx[i*sh + p*dil_h - top, j*sw + q*dil_w - left, c] = the sum of all columns[i, j, (p, q, c)] = dy[i, j] w[(p, q, c)].

    Of one sample, for the ``rows`` (first, end) of dx (H, W, C), which the ``rows_of_dy`` reach. The filters w and their
    ``panels`` are those of `products.pack`, with (p, q, c) as columns; ``at_once`` rows of dy (OH, OW, F) fit the workspace.
    """
    (_, W, C), (_, OW, F), flat = dx.shape, dy.shape, dy.ravel()
    KH, KW, sh, sw, top, left, dil_h, dil_w = geometry
    size, start_of_run = KH * KW * C, np.zeros(1, np.int64)
    width = vectors_of(size) * VECTOR_WIDTH
    zeros, no_clip = np.zeros(width, dy.dtype), (dy.dtype.type(-np.inf), dy.dtype.type(np.inf))
    dx[rows[0] : rows[1]] = 0
    for first in range(rows_of_dy[0], rows_of_dy[1], at_once):
        count = min(at_once, rows_of_dy[1] - first)
        places = matrix_rows(count * OW, F, width)
        for vectors, start, last, _, before in panels:
            how = F, 1, vectors * VECTOR_WIDTH, (vectors - 1) * VECTOR_WIDTH
            multiply(
                flat[first * OW * F :], places, start_of_run, how, w, before * VECTOR_WIDTH * F, vectors, zeros, no_clip,
                columns[:0], columns, (start, last, VECTOR_WIDTH)
            )  # fmt: skip
        for i in range(count):
            for p in range(KH):
                r = (first + i) * sh + p * dil_h - top
                if r < rows[0] or r >= rows[1]:
                    continue
                row = dx[r].ravel()
                for j in range(OW):
                    column = columns[(i * OW + j) * width + p * KW * C :]
                    for q in range(KW):
                        s = j * sw + q * dil_w - left
                        if 0 <= s < W:
                            for c in range(C):
                                row[s * C + c] += column[q * C + c]
