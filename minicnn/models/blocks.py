"""The unit that networks have been made of since batch normalisation, and what else the families share."""

from __future__ import annotations

from functools import partial

import numpy as np

from ..initializers import Initializer, msra
from ..layers import (
    BatchNorm2d,
    Conv2d,
    Layer,
    ReLU,
    ReLU6,
    Sequential,
)

Rng = np.random.Generator | int | None  # where the random weights come from; an int is a seed


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    *,
    pad: int | tuple | str | None = None,
    eps: float = 1e-5,
    momentum: float = 0.1,
    activation: type[Layer] | None = ReLU,
    rng: Rng = None,
) -> Sequential:
    """A convolution without bias, batch norm, and an activation: y = relu(norm(w * x)), the layers conv, norm, relu.

    The bias would do nothing: batch norm takes the mean away, and its beta is a bias. Without an activation (None) the unit is
    linear, as the last of a branch is. The padding, if none is given, is symmetric: (kernel - 1) / 2 on every side.

    (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)), float32 or float64.

    Ioffe, Szegedy 2015, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    section 3.2.

    >>> unit = conv_norm(3, 16, 5, stride=2)
    >>> list(unit.layers), unit.output_shape((8, 3, 33, 32))
    (['conv', 'norm', 'relu'], (8, 16, 17, 16))
    """
    pad = (kernel - 1) // 2 if pad is None else pad
    unit = Sequential(
        conv=Conv2d(in_channels, out_channels, kernel, stride, pad, groups=groups, bias=False, rng=rng),
        norm=BatchNorm2d(out_channels, eps, momentum),
    )
    if activation is not None:
        unit.append("relu", activation())
    return unit


# As networks trained in TensorFlow have it, for small devices: padding "same" is uneven at stride 2, eps is 1e-3, the running
# statistics move by 1 % a step, and activations end at 6.
tensorflow_unit = partial(conv_norm, pad="same", eps=1e-3, momentum=0.01, activation=ReLU6)


def conv_relu(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int = 1,
    pad: int = 0,
    rng: Rng = None,
    initializer: Initializer = msra,
) -> Sequential:
    """y = relu(w * x + b): the layers conv and relu."""
    conv = Conv2d(in_channels, out_channels, kernel, stride, pad, initializer=initializer, rng=rng)
    return Sequential(conv=conv, relu=ReLU())


def scaled(channels: int, width: float) -> int:
    """``channels * width``, rounded to a multiple of 8 (halves up), but never down by more than a tenth.

    How the channels of MobileNetV2 and of EfficientNet grow and shrink; Google's code calls it make_divisible.

    >>> scaled(24, 1.1), scaled(40, 1.1), scaled(112, 1.4)
    (24, 48, 160)
    """
    exact = channels * width
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * exact else rounded + 8
