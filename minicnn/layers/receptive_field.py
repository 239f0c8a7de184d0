"""Receptive fields: which pixels of the picture an element of a map sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..kernels.geometry import ConvGeometry


@dataclass(frozen=True)
class ReceptiveField:
    """Element (i, j) of a map sees the rows first[0] + i stride[0] to last[0] + i stride[0] of the picture; columns likewise.

    Without arguments it is the field of the picture itself: each pixel sees itself.

    Attributes
    ----------
    first, last : (row, column)
        Of what element (0, 0) sees, both inclusive. Below 0, and beyond the picture's end, is padding.
    stride : (rows, columns)
        From one element's field to the next one's: the product of the strides of all layers.
    """

    first: tuple[int, int] = (0, 0)
    last: tuple[int, int] = (0, 0)
    stride: tuple[int, int] = (1, 1)

    def size(self, OH: int = 1, OW: int = 1) -> tuple[int, int]:
        """Height and width in pixels of what the first OH x OW elements see together."""
        axes = zip(self.first, self.last, self.stride, (OH, OW), strict=True)
        rows, columns = (last - first + 1 + (n - 1) * stride for first, last, stride, n in axes)
        return rows, columns

    def through(self, geometry: ConvGeometry) -> ReceptiveField:
        """The field of what a convolution or pool of this geometry makes of a map with this field.

        Along each axis, with s the stride so far, kernel k, dilation d, stride t, and padding p before the first row or column:

        first <- first - s p;  last <- last + s (d (k - 1) - p);  s <- s t

        >>> ReceptiveField().through(ConvGeometry((3, 5), (2, 2), (1, 1, 0, 0), (1, 1)))
        ReceptiveField(first=(-1, 0), last=(1, 4), stride=(2, 2))
        """
        s, p, t = self.stride, geometry.origin, geometry.stride
        reach = [d * (k - 1) for d, k in zip(geometry.dilation, geometry.kernel, strict=True)]
        return ReceptiveField(
            first=(self.first[0] - s[0] * p[0], self.first[1] - s[1] * p[1]),
            last=(self.last[0] + s[0] * (reach[0] - p[0]), self.last[1] + s[1] * (reach[1] - p[1])),
            stride=(s[0] * t[0], s[1] * t[1]),
        )


def union(layer: object, fields: Sequence[ReceptiveField]) -> ReceptiveField:
    """The field of what a layer makes of branches with these fields: from the least first to the greatest last.

    Raises
    ------
    ValueError
        If the branches have different strides, so that their maps do not lie on one another; it names the ``layer``.
    """
    strides = [field.stride for field in fields]
    if len(set(strides)) > 1:
        raise ValueError(f"{layer} joins branches with different strides, {', '.join(map(str, strides))}")
    return ReceptiveField(
        first=(min(field.first[0] for field in fields), min(field.first[1] for field in fields)),
        last=(max(field.last[0] for field in fields), max(field.last[1] for field in fields)),
        stride=strides[0],
    )
