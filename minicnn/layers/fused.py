"""For inference only: a convolution, the batch norm after it and the ReLU after that, in one pass over memory.

In inference batch norm is a fixed scale and shift for each channel, s = gamma / sqrt(running_var + eps), which the filters can
take over:

norm(w * x + b) = s (w * x + b - running_mean) + beta = (s w) * x + (s (b - running_mean) + beta)

and ReLU is a limit on numbers that are being written anyway. Nothing is saved in arithmetic, but maps are written once instead
of three times, and memory is what small networks wait for. Inverted residual blocks go a step further: their wide maps are
never written at all.
"""

from __future__ import annotations

import copy
import math

import numpy as np

from ..kernels import inverted_residual
from ..kernels.conv import conv2d_forward
from ..kernels.inverted_residual import Filters
from .activation import ReLU, ReLU6
from .base import Layer
from .containers import Concat, Residual, Sequential
from .conv import Conv2d
from .norm import BatchNorm2d

NO_LIMITS = (-math.inf, math.inf)
LIMITS = {ReLU: (0.0, math.inf), ReLU6: (0.0, 6.0)}


class FusedConv2d(Conv2d):
    """y = limit(w' * x + b'): a convolution that has taken over the batch norm and the activation that followed it.

    Parameters
    ----------
    conv : Conv2d
    norm : BatchNorm2d, optional
        Folded into w' and b' with its running statistics.
    limits : (low, high)
        (0, inf) for a ReLU, (0, 6) for a ReLU6.

    Its parameters are frozen, and training is refused: the batch norm that it would need is gone.
    """

    def __init__(self, conv: Conv2d, norm: BatchNorm2d | None = None, limits: tuple[float, float] = NO_LIMITS):
        super().__init__(**conv.config() | {"bias": True}, initializer=lambda shape, rng, dtype: conv.w.value)
        w, b = conv.w.value.astype(np.float64), 0.0 if conv.b is None else conv.b.value.astype(np.float64)
        if norm is not None:
            scale = norm.gamma.value / np.sqrt(norm.running_var.astype(np.float64) + norm.eps)
            w, b = w * scale[:, None, None, None], (b - norm.running_mean) * scale + norm.beta.value
        self.w.value = w.astype(conv.w.value.dtype)
        self.b.value = np.broadcast_to(b, self.out_channels).astype(conv.w.value.dtype)
        self.limits = limits
        self._kept: dict[int, list[np.ndarray]] = {}  # what the convolution makes of the filters, which stay as they are
        self.freeze()

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.refuse_backward()
        self.check_input(x, ndim=4)
        w, b, windows = self.w.value, self.b.value, self.windows(x.shape)
        return conv2d_forward(x, w, b, *windows[1:], self.groups, clamp=self.limits, kept=self._kept)

    def refuse_backward(self) -> None:
        if self.training or self.remembers:
            raise RuntimeError(f"{self} is fused for inference and has no backward; train the network that it was fused from")

    def _convert(self, dtype: np.dtype) -> None:
        super()._convert(dtype)
        self._kept = {}


class FusedInvertedResidual(Sequential):
    """The body of an inverted residual block, expand, depthwise and project, a few channels of its wide middle at a time.

    See ``kernels.inverted_residual`` for the equations. For inference only, like the three layers that it is made of.
    """

    @staticmethod
    def fits(layers: list[Layer]) -> bool:
        """Whether these are the three convolutions of such a block."""
        if len(layers) != 3 or not all(isinstance(layer, FusedConv2d) for layer in layers):
            return False
        expand, depthwise, project = layers
        return (
            all(layer.groups == 1 and layer.windows((1, layer.in_channels, 1, 1)).is_pointwise for layer in (expand, project))
            and depthwise.groups == depthwise.in_channels == depthwise.out_channels
        )

    def forward(self, x: np.ndarray) -> np.ndarray:
        layers = list(self.layers.values())
        for layer in layers:
            layer.refuse_backward()
        layers[0].check_input(x, ndim=4)
        y = np.empty(self.output_shape(x.shape), x.dtype)
        windows = layers[1].windows((len(x), layers[1].in_channels, *x.shape[2:]))
        expand, depthwise, project = (Filters(layer.w.value, layer.b.value, *layer.limits) for layer in layers)
        inverted_residual.forward(np.ascontiguousarray(x), expand, depthwise, windows, project, y)
        return y


def fuse(layer: Layer) -> Layer:
    """A copy for inference in which each Conv2d, with a BatchNorm2d and a ReLU or ReLU6 right after it, is one layer.

    So do the three convolutions of an inverted residual block, as MobileNetV2 and EfficientNet have them. What was fused has the
    name of the last of its layers, so that the output at a name is the same as before. Its weights are the copy's own: later
    changes of the original do not reach it.

    >>> from minicnn.layers import GlobalAvgPool2d
    >>> net = Sequential(conv=Conv2d(3, 8, 3), norm=BatchNorm2d(8), relu=ReLU(), pool=GlobalAvgPool2d())
    >>> list(fuse(net).children())
    ['relu', 'pool']
    """
    return _fused(layer).eval()


def _fused(layer: Layer) -> Layer:
    if isinstance(layer, Residual):
        return Residual(**{name: _fused(branch) for name, branch in layer.children().items()})
    if isinstance(layer, Concat):
        return Concat(**{name: _fused(branch) for name, branch in layer.children().items()})
    if isinstance(layer, Conv2d):
        return copy.deepcopy(layer) if isinstance(layer, FusedConv2d) else FusedConv2d(layer)
    if not isinstance(layer, Sequential):
        return copy.deepcopy(layer)

    fused, rest = Sequential(), list(layer.layers.items())
    while rest:
        name, first = rest.pop(0)
        if type(first) is not Conv2d:
            fused.append(name, _fused(first))
            continue
        norm, limits = None, NO_LIMITS
        if rest and isinstance(rest[0][1], BatchNorm2d):
            name, norm = rest.pop(0)
        if rest and type(rest[0][1]) in LIMITS:
            name, activation = rest.pop(0)
            limits = LIMITS[type(activation)]
        fused.append(name, FusedConv2d(first, norm, limits))
    if FusedInvertedResidual.fits([_only(child) for child in fused.layers.values()]):
        return FusedInvertedResidual(**{name: _only(child) for name, child in fused.layers.items()})
    return fused


def _only(layer: Layer) -> Layer:
    """The layer inside a Sequential of one layer; else the layer itself."""
    if type(layer) is Sequential and len(layer.layers) == 1:
        return _only(*layer.layers.values())
    return layer
