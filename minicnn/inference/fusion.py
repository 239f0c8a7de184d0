"""A copy of a network for inference, in which convolutions take over the batch norms and activations that follow them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

from ..kernels.elementwise import NO_CLIP
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

    A fused layer has the name of the last of the layers that it replaces, so that the output at a name is the same as before.
    A container that holds an inverted residual block and nothing else becomes one layer with the container's name, and so does
    a Concat of single convolutions. An auxiliary head, which runs in training only, is replaced by an empty Sequential. The
    copy has weights of its own: later changes of the original do not reach it.

    Parameters
    ----------
    layer : Layer
        A network, or a part of one.
    keep : paths of layers, as in ``layer.walk()``
        Layers whose outputs somebody wants to see: they are not merged with those that follow them.

    Returns
    -------
    layer : Layer
        In eval mode; a `FusedNetwork`, if the original is a Sequential.

    >>> from minicnn.layers import GlobalAvgPool2d, ReLU
    >>> net = Sequential(conv=Conv2d(3, 8, 3), norm=BatchNorm2d(8), relu=ReLU(), pool=GlobalAvgPool2d())
    >>> list(fuse(net).children()), list(fuse(net, keep=["norm"]).children())
    (['relu', 'pool'], ['norm', 'relu', 'pool'])
    """
    fused = _fused(layer, list(keep))
    return (FusedNetwork(**fused.layers) if isinstance(fused, Sequential) else fused).eval()


def _fused(layer: Layer, keep: list[str]) -> Layer:
    if isinstance(layer, (Residual, Concat)):
        container = Residual if isinstance(layer, Residual) else Concat
        return container(**{name: _fused(branch, _within(name, keep)) for name, branch in layer.children().items()})
    if isinstance(layer, AuxiliaryHead):
        return Sequential()
    if isinstance(layer, Conv2d):
        return copy.deepcopy(layer) if isinstance(layer, FusedConv2d) else FusedConv2d(layer)
    if isinstance(layer, Sequential):
        return _fused_sequential(layer, keep)
    return copy.deepcopy(layer)


def _fused_sequential(layer: Sequential, keep: list[str]) -> Sequential:
    """Each convolution takes over the batch norm and the activation that follow it; other children are fused by themselves."""
    fused, remaining = Sequential(), list(layer.layers.items())
    while remaining:
        name, child = remaining.pop(0)
        if type(child) is not Conv2d:
            keep_within = _within(name, keep)
            child = _fused(child, keep_within)
            fused.append(name, child if keep_within else _as_one_layer(child))
            continue
        norm, clip = None, NO_CLIP
        if remaining and name not in keep and isinstance(remaining[0][1], BatchNorm2d):
            name, norm = remaining.pop(0)
        if remaining and name not in keep and type(remaining[0][1]) in CLIPS:
            name, activation = remaining.pop(0)
            clip = CLIPS[type(activation)]
        fused.append(name, FusedConv2d(child, norm, clip))
    return fused


def _within(name: str, paths: list[str]) -> list[str]:
    """Of the paths, those that lead into the child of this name, as seen from there."""
    return [path.removeprefix(f"{name}.") for path in paths if path.startswith(f"{name}.")]


def _as_one_layer(layer: Layer) -> Layer:
    """The single layer that replaces an inverted residual block, or a Concat of convolutions, already fused; else the layer."""
    if isinstance(layer, Concat):
        branches = {name: list(_flattened(branch)) for name, branch in layer.branches.items()}
        if all(len(inner) == 1 and isinstance(inner[0], FusedConv2d) for inner in branches.values()):
            return FusedConcat(**{name: conv for name, (conv,) in branches.items()})
        return layer
    shortcut = isinstance(layer, Residual) and layer.shortcut is None
    convolutions = list(_flattened(layer.body if shortcut else layer))
    if len(convolutions) not in (2, 3) or not all(type(conv) is FusedConv2d for conv in convolutions):
        return layer
    if any(conv.algorithm for conv in convolutions):  # somebody wants to see them one by one
        return layer
    *expand, depthwise, project = convolutions
    if shortcut and project.clip != NO_CLIP:  # which the shortcut is not to be part of
        return layer
    is_pointwise = all(
        conv.groups == 1 and conv.geometry((1, conv.in_channels, 1, 1)).is_pointwise for conv in (*expand, project)
    )
    is_depthwise = depthwise.groups == depthwise.in_channels == depthwise.out_channels and depthwise.dilation == (1, 1)
    return FusedInvertedResidual(*convolutions, shortcut=shortcut) if is_pointwise and is_depthwise else layer


def _flattened(layer: Layer) -> Iterator[Layer]:
    """The layers of a Sequential in the order in which they run, including those of Sequentials within; else the layer."""
    if isinstance(layer, Sequential):
        for child in layer.layers.values():
            yield from _flattened(child)
    else:
        yield layer
