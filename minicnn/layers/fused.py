"""For inference only: a convolution, the batch norm after it and the ReLU after that, in one pass over memory.

In inference batch norm is a fixed scale and shift for each channel, s = gamma / sqrt(running_var + eps), which the filters can
take over:

norm(w * x + b) = s (w * x + b - running_mean) + beta = (s w) * x + (s (b - running_mean) + beta)

and ReLU is a limit on numbers that are being written anyway. Nothing is saved in arithmetic, but maps are written once instead
of three times, and memory is what small networks wait for.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable

import numpy as np

from ..kernels.conv import conv2d_forward
from .activation import ReLU, ReLU6
from .base import Layer
from .containers import Concat, Residual, Sequential
from .conv import Conv2d
from .norm import BatchNorm2d
from .side import SideHead

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
        self._kept: dict[int, np.ndarray] = {}  # what the convolution makes of the filters, which stay as they are
        self.freeze()

    def forward(self, x: np.ndarray) -> np.ndarray:
        if self.training or self.remembers:
            raise RuntimeError(f"{self} is fused for inference and has no backward; train the network that it was fused from")
        self.check_input(x, ndim=4)
        w, b, windows = self.w.value, self.b.value, self.windows(x.shape)
        return conv2d_forward(x, w, b, *windows[1:], self.groups, clamp=self.limits, kept=self._kept)

    def _convert(self, dtype: np.dtype) -> None:
        super()._convert(dtype)
        self._kept = {}


def fuse(layer: Layer, keep: Iterable[str] = ()) -> Layer:
    """A copy for inference in which each Conv2d, with a BatchNorm2d and a ReLU or ReLU6 right after it, is one layer.

    What was fused has the name of the last of its layers, so that the output at a name is the same as before. Its weights are
    the copy's own: later changes of the original do not reach it. Of a side head, which runs in training only, nothing is left
    but its place.

    Parameters
    ----------
    keep : paths of layers, as in ``layer.walk()``
        Somebody wants to see what they give: they take over nothing that follows them, so that they are still there.

    >>> from minicnn.layers import GlobalAvgPool2d
    >>> net = Sequential(conv=Conv2d(3, 8, 3), norm=BatchNorm2d(8), relu=ReLU(), pool=GlobalAvgPool2d())
    >>> list(fuse(net).children()), list(fuse(net, keep=["norm"]).children())
    (['relu', 'pool'], ['norm', 'relu', 'pool'])
    """
    return _fused(layer, list(keep)).eval()


def _fused(layer: Layer, keep: list[str]) -> Layer:
    def inside(name: str) -> list[str]:
        return [path[len(name) + 1 :] for path in keep if path.startswith(f"{name}.")]

    if isinstance(layer, (Residual, Concat)):
        kind = Residual if isinstance(layer, Residual) else Concat
        return kind(**{name: _fused(branch, inside(name)) for name, branch in layer.children().items()})
    if isinstance(layer, SideHead):
        return Sequential()
    if isinstance(layer, Conv2d):
        return copy.deepcopy(layer) if isinstance(layer, FusedConv2d) else FusedConv2d(layer)
    if not isinstance(layer, Sequential):
        return copy.deepcopy(layer)

    fused, rest = Sequential(), list(layer.layers.items())
    while rest:
        name, first = rest.pop(0)
        if type(first) is not Conv2d:
            fused.append(name, _fused(first, inside(name)))
            continue
        norm, limits = None, NO_LIMITS
        if rest and name not in keep and isinstance(rest[0][1], BatchNorm2d):
            name, norm = rest.pop(0)
        if rest and name not in keep and type(rest[0][1]) in LIMITS:
            name, activation = rest.pop(0)
            limits = LIMITS[type(activation)]
        fused.append(name, FusedConv2d(first, norm, limits))
    return fused
