"""A copy of a network for inference, in which convolutions have taken over the batch norms and activations that follow them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

from ..kernels.norm import NO_CLIP
from ..layers.activation import CLIPS
from ..layers.auxiliary import AuxiliaryHead
from ..layers.base import Layer
from ..layers.containers import Concat, Residual, Sequential
from ..layers.conv import Conv2d
from ..layers.norm import BatchNorm2d
from .fused_layers import FusedConcat, FusedConv2d, FusedInvertedResidual
from .replay import FusedNetwork


def fuse(layer: Layer, keep: Iterable[str] = ()) -> Layer:
    """A copy for inference in which each Conv2d, with a BatchNorm2d and a ReLU or ReLU6 right after it, is one layer.

    What was fused has the name of the last of its layers, so that the output at a name is the same as before. A container
    with an inverted residual block and nothing else becomes one layer with the container's name. All weights are the copy's
    own: later changes of the original do not reach it. Of an auxiliary head, which runs in training only, nothing is left
    but its place.

    Parameters
    ----------
    keep : paths of layers, as in ``layer.walk()``
        Somebody wants to see what they give: they take over nothing that follows them, so that they are still there.

    >>> from minicnn.layers import GlobalAvgPool2d, ReLU
    >>> net = Sequential(conv=Conv2d(3, 8, 3), norm=BatchNorm2d(8), relu=ReLU(), pool=GlobalAvgPool2d())
    >>> list(fuse(net).children()), list(fuse(net, keep=["norm"]).children())
    (['relu', 'pool'], ['norm', 'relu', 'pool'])
    """
    fused = _fused(layer, list(keep))
    return (FusedNetwork(**fused.layers) if isinstance(fused, Sequential) else fused).eval()


def _fused(layer: Layer, keep: list[str]) -> Layer:
    def inside(name: str) -> list[str]:
        return [path[len(name) + 1 :] for path in keep if path.startswith(f"{name}.")]

    if isinstance(layer, (Residual, Concat)):
        kind = Residual if isinstance(layer, Residual) else Concat
        return kind(**{name: _fused(branch, inside(name)) for name, branch in layer.children().items()})
    if isinstance(layer, AuxiliaryHead):
        return Sequential()
    if isinstance(layer, Conv2d):
        return copy.deepcopy(layer) if isinstance(layer, FusedConv2d) else FusedConv2d(layer)
    if not isinstance(layer, Sequential):
        return copy.deepcopy(layer)

    fused, rest = Sequential(), list(layer.layers.items())
    while rest:
        name, first = rest.pop(0)
        if type(first) is not Conv2d:
            within = inside(name)
            child = _fused(first, within)
            fused.append(name, child if within else _as_one_layer(child))
            continue
        norm, clip = None, NO_CLIP
        if rest and name not in keep and isinstance(rest[0][1], BatchNorm2d):
            name, norm = rest.pop(0)
        if rest and name not in keep and type(rest[0][1]) in CLIPS:
            name, activation = rest.pop(0)
            clip = CLIPS[type(activation)]
        fused.append(name, FusedConv2d(first, norm, clip))
    return fused


def _as_one_layer(layer: Layer) -> Layer:
    """One layer in the place of a fused inverted residual block, or of convolutions side by side; anything else as it is."""
    if isinstance(layer, Concat):
        branches = {name: list(_in_a_row(branch)) for name, branch in layer.branches.items()}
        if all(len(inner) == 1 and isinstance(inner[0], FusedConv2d) for inner in branches.values()):
            return FusedConcat(**{name: conv for name, (conv,) in branches.items()})
        return layer
    shortcut = isinstance(layer, Residual) and layer.shortcut is None
    convolutions = list(_in_a_row(layer.body if shortcut else layer))
    if len(convolutions) not in (2, 3) or not all(type(conv) is FusedConv2d for conv in convolutions):
        return layer
    if any(conv.algorithm for conv in convolutions):  # somebody wants to see them one by one
        return layer
    *expand, depthwise, project = convolutions
    plain = all(conv.groups == 1 and conv.geometry((1, conv.in_channels, 1, 1)).is_pointwise for conv in (*expand, project))
    by_channel = depthwise.groups == depthwise.in_channels == depthwise.out_channels and depthwise.dilation == (1, 1)
    return FusedInvertedResidual(*convolutions, shortcut=shortcut) if plain and by_channel else layer


def _in_a_row(layer: Layer) -> Iterator[Layer]:
    """The layers that run one after another in here, through containers inside containers."""
    if isinstance(layer, Sequential):
        for child in layer.layers.values():
            yield from _in_a_row(child)
    else:
        yield layer
