"""The Numba loops of ``direct``: ``reference.conv2d_forward`` for some rows and filters, in one thread; see there."""

from __future__ import annotations

from ...runtime.compilation import inlined, loop
from ..simd.layout import first_channel, to_planes
from ..simd.products import ROWS, TWO_AT_ONCE, multiply_tile, multiply_two_tiles
from ..simd.vectors import load, spread


@inlined
def _pad(x, first_row, rows, left, pitch, padded):
    """padded[(c * rows + r) * pitch + left + j] = x[c, first_row + r, j], and zeros around; nothing from pitch on."""
    C, H, W = x.shape
    reached = min(W, pitch - left)
    for c in range(C):
        for r in range(rows):
            target = padded[(c * rows + r) * pitch :]
            if first_row + r < 0 or first_row + r >= H:
                target[:pitch] = 0
                continue
            source, inside = x[c, first_row + r], target[left:]
            for j in range(left):
                target[j] = 0
            for j in range(reached):
                inside[j] = source[j]
            for j in range(left + reached, pitch):
                target[j] = 0


@loop
def _multiply_lines(x, lines, length, line_step, step, offsets, w, v, b, c, low, high, y, z, places, both):
    """y[i, j] = clamp(b + sum over k of x[offsets[k] + i*line_step + j*step] * w[k]); if ``both``, z with v and c.

    A function of its own, and a small one, so that the compiler has all registers for its sums.
    """
    for i in range(lines):
        for j in range(0, length, ROWS):  # what is made beyond the end of a line is overwritten by the next
            at, first = i * line_step + j * step, i * length + j
            if TWO_AT_ONCE and both:  # the first is known when this is compiled, and what it excludes is left out
                multiply_two_tiles(x, at, offsets, step, w, v, b, c, low, high, y, z, places, first)
            else:
                multiply_tile(x, at, offsets, step, w, b, low, high, y, places, first)


@loop
def convolve(
    pieces, x, reach, sh, sw, top, left, pitch, padded, all_offsets, filters, bias, low, high, lanes_y, y_rows, y_places, OW, y
):  # fmt: skip
    """y[n, g, f, i, j] = clamp(bias[g, f] + sum over k of w[g, f, k] * x_padded[n, g, offset[k] + (i*sh, j*sw)], low, high).

    A piece is (n, g, first row, last row, first block, last block). x (N, groups, C, H, W), y (N, groups, F, OH * OW), filters
    (groups, blocks, K * LANES), bias (groups, F or LANES if that is more). A window has ``reach`` rows; all_offsets (2, K) have
    the channel of k, and the rest of its offset.
    """
    F = y.shape[2]
    low, high, at_once = spread(low), spread(high), 2 if TWO_AT_ONCE else 1
    for n, g, first, last, first_block, last_block in pieces:
        rows = last - first
        rows_x = (rows - 1) * sh + reach
        _pad(x[n, g], first * sh - top, rows_x, left, pitch, padded)
        offsets = all_offsets[0] * (rows_x * pitch) + all_offsets[1]
        lines, length = rows, OW
        if pitch == OW and sh == 1 and sw == 1:  # the end of a row is the beginning of the next
            lines, length = 1, rows * OW
        out = y[n, g].ravel()
        for block in range(first_block, last_block, at_once):
            other = min(block + at_once - 1, last_block - 1)
            w, b = filters[g, block], load(bias[g], first_channel(block, F))
            v, c = filters[g, other], load(bias[g], first_channel(other, F))
            _multiply_lines(
                padded, lines, length, sh * pitch, sw, offsets, w, v, b, c, low, high, lanes_y[0], lanes_y[1], y_places,
                other > block
            )  # fmt: skip
            for e in range(block, other + 1):
                to_planes(
                    lanes_y[e - block], y_places[: rows * OW], out[first_channel(e, F) * y.shape[3] + first * OW :], y_rows
                )
