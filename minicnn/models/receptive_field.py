"""Which pixels of the picture an element of a map sees."""

from __future__ import annotations

from dataclasses import dataclass

from ..layers import (
    AuxiliaryHead,
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    Layer,
    LocalResponseNorm,
    PadChannels,
    Residual,
    Sequential,
)
from ..layers.activation import Activation
from ..layers.pool import Pool2d

SAME_PLACE = (
    Activation,
    BatchNorm2d,
    Dropout,
    LocalResponseNorm,
    PadChannels,
    AuxiliaryHead,
)  # y at a place is of x at that place


@dataclass(frozen=True)
class ReceptiveField:
    """Element (i, j) of a map sees the rows first[0] + i stride[0] to last[0] + i stride[0] of the picture; columns likewise.

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


def receptive_field(network: Layer, input_shape: tuple[int, int, int]) -> ReceptiveField:
    """The field of the network's output, for an input (C, H, W).

    From layer to layer, with s the stride so far, and a layer of kernel k, dilation d, stride t and padding p before:

    first <- first - s p;  last <- last + s (d (k - 1) - p);  s <- s t

    Branches together see from the least first to the greatest last. (The input's size matters only to padding "same".)

    Araujo, Norris, Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks", Distill.

    Raises
    ------
    ValueError
        If a layer is no map of its input: fully connected, say, or a global average.

    >>> from minicnn.models import vgg16
    >>> field = receptive_field(vgg16(include_top=False), (3, 224, 224))
    >>> field.size(), field.stride
    ((212, 212), (32, 32))
    """
    return _field(network, (1, *input_shape), ReceptiveField())


def _field(layer: Layer, shape: tuple[int, ...], below: ReceptiveField) -> ReceptiveField:
    """The field of a layer's output, given that of its input and the input's shape."""
    if isinstance(layer, Sequential):
        for child in layer.layers.values():
            below, shape = _field(child, shape, below), child.output_shape(shape)
        return below
    if isinstance(layer, (Residual, Concat)):
        fields = [_field(branch, shape, below) for branch in layer.children().values()]
        if isinstance(layer, Residual) and layer.shortcut is None:
            fields.append(below)
        return _union(layer, fields)
    if isinstance(layer, (Conv2d, Pool2d)):
        geometry = layer.geometry(shape)
        geometry = geometry[0] if isinstance(layer, Pool2d) else geometry
        reach = [d * (k - 1) for d, k in zip(geometry.dilation, geometry.kernel, strict=True)]
        axes = list(zip(below.first, below.last, below.stride, geometry.origin, reach, geometry.stride, strict=True))
        return ReceptiveField(
            tuple(first - s * p for first, _, s, p, _, _ in axes),
            tuple(last + s * (r - p) for _, last, s, p, r, _ in axes),
            tuple(s * t for _, _, s, _, _, t in axes),
        )
    if isinstance(layer, SAME_PLACE):
        return below
    raise ValueError(
        f"{layer} gives no map in which each element sees a window of the picture; leave it out, with cut(), or make it a "
        "convolution, with minicnn.transfer.fc_to_conv.fc_to_conv"
    )


def _union(layer: Layer, fields: list[ReceptiveField]) -> ReceptiveField:
    if len({field.stride for field in fields}) > 1:
        raise ValueError(f"{layer} joins branches with different strides, {', '.join(str(field.stride) for field in fields)}")
    firsts, lasts = zip(*(field.first for field in fields), strict=True), zip(*(field.last for field in fields), strict=True)
    return ReceptiveField(tuple(map(min, firsts)), tuple(map(max, lasts)), fields[0].stride)
