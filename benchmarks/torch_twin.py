"""The same network in PyTorch: our layers, one by one, turned into the modules that somebody at home there would write."""

from __future__ import annotations

import math

import torch
from torch import nn

from minicnn import layers as ours
from minicnn.kernels.geometry import ConvGeometry

from .torch_modules import Concat, Residual


def twin(layer: ours.Layer, input_shape: tuple[int, ...]) -> nn.Module:
    """A module that computes what the layer does, with a copy of its weights, statistics and frozen parameters.

    Activations work in place where nobody else needs their input, and convolutions pad by themselves where that is possible:
    PyTorch's convolution pads evenly only, so uneven padding ("same" at stride 2) is a module before it.

    Parameters
    ----------
    layer : Layer
    input_shape : (N, C, H, W) or (N, D)
        "same" padding depends on it.

    Raises
    ------
    TypeError
        For a layer that has no counterpart here.
    """
    return _twin(layer, tuple(input_shape), may_overwrite=False)


def _twin(layer: ours.Layer, shape: tuple[int, ...], may_overwrite: bool) -> nn.Module:
    """``may_overwrite``: nobody but this layer needs its input any more."""
    if isinstance(layer, ours.Sequential):
        return _sequential(layer, shape, may_overwrite)
    if isinstance(layer, ours.Residual):
        shortcut = _twin(layer.shortcut, shape, False) if layer.shortcut else None
        return Residual(_twin(layer.body, shape, False), shortcut, in_place=_output_is_free(layer.body))
    if isinstance(layer, ours.Concat):
        return Concat({name: _twin(branch, shape, False) for name, branch in layer.children().items()})
    if isinstance(layer, ours.Conv2d):
        return _convolution(layer, layer.geometry(shape))
    if isinstance(layer, (ours.MaxPool2d, ours.AvgPool2d)):
        return _pooling(layer, layer.geometry(shape))
    if isinstance(layer, (ours.BatchNorm1d, ours.BatchNorm2d)):
        kind = nn.BatchNorm1d if isinstance(layer, ours.BatchNorm1d) else nn.BatchNorm2d
        module = kind(layer.num_features, layer.eps, layer.momentum)
        _copy(layer.running_mean, module.running_mean)
        _copy(layer.running_var, module.running_var)
        return _with_parameters(module, weight=layer.gamma, bias=layer.beta)
    if isinstance(layer, ours.Linear):
        module = nn.utils.skip_init(nn.Linear, layer.in_features, layer.out_features, bias=layer.b is not None)
        return _with_parameters(module, weight=layer.w, bias=layer.b)
    simple = {
        ours.ReLU: lambda: nn.ReLU(may_overwrite),
        ours.ReLU6: lambda: nn.ReLU6(may_overwrite),
        ours.LeakyReLU: lambda: nn.LeakyReLU(layer.slope, may_overwrite),
        ours.ELU: lambda: nn.ELU(layer.alpha),
        ours.GELU: lambda: nn.GELU(approximate="tanh"),
        ours.Sigmoid: nn.Sigmoid,
        ours.Tanh: nn.Tanh,
        ours.Dropout: lambda: nn.Dropout(layer.p),
        ours.Flatten: nn.Flatten,
        ours.LocalResponseNorm: lambda: nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k),
        ours.AdaptiveAvgPool2d: lambda: nn.AdaptiveAvgPool2d(layer.output_size),
        ours.PadChannels: lambda: nn.ConstantPad3d((0, 0, 0, 0, layer.before, layer.after), 0.0),
        ours.GlobalAvgPool2d: lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    }
    if type(layer) not in simple:
        raise TypeError(f"{layer} has no counterpart in PyTorch here; write one into benchmarks/torch_twin.py")
    return simple[type(layer)]()


def _sequential(layer: ours.Sequential, shape: tuple[int, ...], may_overwrite: bool) -> nn.Sequential:
    modules = nn.Sequential()
    for name, inner in layer.layers.items():
        modules.add_module(name, _twin(inner, shape, may_overwrite))
        shape, may_overwrite = inner.output_shape(shape), _output_is_free(inner)
    return modules


def _output_is_free(layer: ours.Layer) -> bool:
    """Whether what follows may overwrite this layer's output: it is a new array, and its own backward pass does not read it."""
    if isinstance(layer, ours.Sequential):
        return bool(layer.layers) and _output_is_free(list(layer.layers.values())[-1])
    return isinstance(layer, (ours.Conv2d, ours.BatchNorm1d, ours.BatchNorm2d, ours.Linear, ours.Residual, ours.Concat))


def _convolution(layer: ours.Conv2d, geometry: ConvGeometry) -> nn.Module:
    top, bottom, left, right = geometry.pads
    even = (top, left) == (bottom, right)
    module = nn.utils.skip_init(
        nn.Conv2d,
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        (top, left) if even else 0,
        layer.dilation,
        layer.groups,
        bias=layer.b is not None,
    )
    _with_parameters(module, weight=layer.w, bias=layer.b)
    return module if even else nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), module)


def _pooling(layer: ours.MaxPool2d | ours.AvgPool2d, geometry: ConvGeometry) -> nn.Module:
    top, bottom, left, right = geometry.pads
    even = (top, left) == (bottom, right)
    if isinstance(layer, ours.AvgPool2d):
        if not even:
            raise TypeError(f"{layer}: PyTorch's average pooling has no uneven padding that does not count")
        return nn.AvgPool2d(layer.kernel_size, layer.stride, (top, left), layer.ceil_mode, layer.count_include_pad)
    pool = nn.MaxPool2d(layer.kernel_size, layer.stride, (top, left) if even else 0, ceil_mode=layer.ceil_mode)
    return pool if even else nn.Sequential(nn.ConstantPad2d((left, right, top, bottom), -math.inf), pool)


def _with_parameters(module: nn.Module, **parameters: ours.Parameter | None) -> nn.Module:
    for name, parameter in parameters.items():
        if parameter is not None:
            _copy(parameter.value, getattr(module, name).data)
            getattr(module, name).requires_grad_(parameter.trainable)
    return module


def _copy(array, tensor: torch.Tensor) -> None:
    tensor.copy_(torch.from_numpy(array))
