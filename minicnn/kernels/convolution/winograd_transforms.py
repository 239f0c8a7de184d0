"""The matrices BT, G and AT of ``textbook.winograd_forward``, also for tiles of 4x4, and code that applies them to vectors."""

from __future__ import annotations

from typing import NamedTuple

from ..simd.vectors import constant_matrix

Rows = tuple[tuple[float, ...], ...]  # of a matrix


class Transform(NamedTuple):
    """F(m x m, 3 x 3): B^T, G and A^T, for tiles of m x m outputs."""

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


def _transposed(rows: Rows) -> Rows:
    return tuple(zip(*rows, strict=True))


apply_BT4, apply_AT4, apply_G4 = (constant_matrix(rows) for rows in (F4.BT, F4.AT, F4.G))
apply_A4, apply_GT4 = (constant_matrix(_transposed(rows)) for rows in (F4.AT, F4.G))
apply_BT2, apply_AT2, apply_G2 = (constant_matrix(rows) for rows in (F2.BT, F2.AT, F2.G))
apply_A2, apply_GT2 = (constant_matrix(_transposed(rows)) for rows in (F2.AT, F2.G))
