"""Which pixels of the picture an element of a network's output sees."""

from __future__ import annotations

from ..layers import Layer
from ..layers.receptive_field import ReceptiveField


def receptive_field(network: Layer, input_shape: tuple[int, int, int]) -> ReceptiveField:
    """The field of the network's output, for an input (C, H, W).

    Each layer says what it makes of the field of its input: see `minicnn.layers.base.Layer.receptive_field`, and for the
    equations `minicnn.layers.receptive_field`. (The input's size matters only to padding "same".)

    Araujo, Norris, Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks", Distill.

    Raises
    ------
    ValueError
        If the output of a layer is no map of its input, as of a fully connected layer or a global average; or if branches with
        different strides meet.

    >>> from minicnn.models import vgg16
    >>> field = receptive_field(vgg16(include_top=False), (3, 224, 224))
    >>> field.size(), field.stride
    ((212, 212), (32, 32))
    """
    return network.receptive_field(ReceptiveField(), (1, *input_shape))
