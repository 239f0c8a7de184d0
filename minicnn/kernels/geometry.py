"""Where the windows of a convolution lie in the padded picture, and how many there are."""

from __future__ import annotations

from typing import NamedTuple


class ConvGeometry(NamedTuple):
    """Output (i, j) reads, for tap (p, q), row i*sh + p*dil_h - top and column j*sw + q*dil_w - left of the picture.

    Attributes
    ----------
    kernel : (KH, KW)
    stride : (sh, sw)
    pads : (top, bottom, left, right), rows and columns of zeros
    dilation : (dil_h, dil_w), distance between the taps of a window
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilation: tuple[int, int]

    def count(self, H: int, W: int) -> tuple[int, int]:
        """(OH, OW) for an H x W picture: OH = floor((H + top + bottom - dil_h*(KH-1) - 1) / sh) + 1, OW likewise.

        >>> ConvGeometry((3, 3), (2, 2), (0, 1, 0, 1), (1, 1)).count(224, 224)
        (112, 112)
        """
        (KH, KW), (sh, sw), (top, bottom, left, right), (dil_h, dil_w) = self
        return (H + top + bottom - dil_h * (KH - 1) - 1) // sh + 1, (W + left + right - dil_w * (KW - 1) - 1) // sw + 1

    @property
    def is_pointwise(self) -> bool:
        """Each window is one pixel, and each pixel a window."""
        return self.kernel == (1, 1) and self.stride == (1, 1) and not any(self.pads)

    @property
    def origin(self) -> tuple[int, int]:
        """(top, left)"""
        return self.pads[0], self.pads[2]

    @property
    def flat(self) -> tuple[int, ...]:
        """(KH, KW, sh, sw, top, left, dil_h, dil_w): as loops take them."""
        return (*self.kernel, *self.stride, *self.origin, *self.dilation)


def same_pads(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """TensorFlow's "SAME" padding along one axis, (before, after): the output has ceil(size / stride) elements.

    total = max((ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0), and if that is odd, the odd one
    comes after.

    >>> same_pads(224, 3, 2, 1), same_pads(225, 3, 2, 1), same_pads(7, 5, 1, 1)
    ((0, 1), (1, 1), (2, 2))
    """
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2
