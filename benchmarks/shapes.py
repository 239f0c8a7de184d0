"""The convolutions inside a network, the shapes they meet, and a name for each."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

from minicnn import layers as ours

from .workloads import NETWORKS

LARGE = ("VGG-16", "ResNet-18", "EfficientNet-Lite0", "MobileNetV2")  # 224 x 224
SMALL = ("CIFAR net",)  # 32 x 32


class Found(NamedTuple):
    """A convolution that was found in networks.

    Attributes
    ----------
    name : str
        See ``describe``.
    config : dict
        ``Conv2d(**config)`` makes one.
    picture : (C, H, W)
        Its input.
    is_first : bool
        Whether a network begins with it.
    networks : list of str
        Where it was found, one or several times.
    """

    name: str
    config: dict[str, Any]
    picture: tuple[int, ...]
    is_first: bool
    networks: list[str]

    @property
    def is_small(self) -> bool:
        """Of a network for pictures of 32 x 32."""
        return self.networks[0] in SMALL


@functools.cache
def all_convolutions() -> list[Found]:
    """The convolutions of the networks, each shape once."""
    found: dict[str, Found] = {}
    for network in LARGE + SMALL:
        model = NETWORKS[network](rng=0)
        for at, (conv, shape) in enumerate(convolutions(model, (1, *model.input_shape))):
            new = Found(describe(conv, shape), conv.config(), shape[1:], at == 0, [])
            networks = found.setdefault(new.name, new).networks
            if network not in networks:
                networks.append(network)
    return list(found.values())


def convolutions(layer: ours.Layer, shape: tuple[int, ...]) -> Iterator[tuple[ours.Conv2d, tuple[int, ...]]]:
    """Every convolution inside, with the shape (N, C, H, W) of its input."""
    if isinstance(layer, ours.Conv2d):
        yield layer, shape
    elif isinstance(layer, ours.Sequential):
        for inner in layer.layers.values():
            yield from convolutions(inner, shape)
            shape = inner.output_shape(shape)
    else:  # branches, which all have the same input
        for inner in layer.children().values():
            yield from convolutions(inner, shape)


def describe(conv: ours.Conv2d, shape: tuple[int, ...]) -> str:
    """``"3x3/2 64-128 at 56x56"``: kernel, stride unless 1, channels in and out, size of the input; padding if unusual.

    Square strides, no dilation, and groups only as one for each channel: the networks here have no others.
    """
    (KH, KW), (stride, _), pads = conv.kernel_size, conv.stride, conv.geometry(shape).pads
    kernel = f"{KH}x{KW}" + (f"/{stride}" if stride > 1 else "")
    channels = f"{conv.in_channels}-{conv.out_channels}" if conv.groups == 1 else f"depthwise {conv.groups}"
    usual = ((KH - 1) // 2, (KH - 1) // 2, (KW - 1) // 2, (KW - 1) // 2)
    padding = "" if pads == usual else " padding " + " ".join(map(str, pads))
    return f"{kernel} {channels} at {shape[2]}x{shape[3]}{padding}"
