"""MobileNetV2: blocks that are wide inside and narrow between, for telephones.

Sandler, Howard, Zhu, Zhmoginov, Chen 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (arXiv 1801.04381),
table 2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ..layers import Dropout, GlobalAvgPool2d, Layer, Linear, ReLU6, Residual, Sequential
from .blocks import conv_norm
from .model import Model

# Table 2, the bottlenecks. The stride is that of a stage's first block, its others have stride 1.
#        expansion  out  blocks  stride     input of the stage, at 224
STAGES = [
    (1, 16, 1, 1),   # 112 x 112 x 32
    (6, 24, 2, 2),   # 112 x 112 x 16
    (6, 32, 3, 2),   # 56 x 56 x 24
    (6, 64, 4, 2),   # 28 x 28 x 32
    (6, 96, 3, 1),   # 14 x 14 x 64
    (6, 160, 3, 2),  # 14 x 14 x 96
    (6, 320, 1, 1),  # 7 x 7 x 160
]  # fmt: skip
STEM, HEAD = 32, 1280  # channels
DROPOUT = 0.2

unit = partial(conv_norm, activation=ReLU6)


def mobilenet_v2(num_classes: int = 1000, rng: np.random.Generator | int | None = None) -> Model:
    """MobileNetV2 of width 1 with random weights: 3,504,872 parameters and 301 million multiply-adds with 1,000 classes.

    stem, block0 to block16, head, pool, dropout, classifier. Any input (N, 3, H, W) goes; the paper's is 224 x 224. Padding is
    symmetric and batch norm's eps is 1e-5, as in torchvision; the paper's own weights, of TensorFlow, were trained with
    padding "same", which is uneven at stride 2, and eps 1e-3.

    >>> model = mobilenet_v2()
    >>> sum(parameter.value.size for parameter in model.parameters().values())
    3504872
    """
    rng = np.random.default_rng(rng)
    layers: dict[str, Layer] = {"stem": unit(3, STEM, 3, stride=2, rng=rng)}
    channels = STEM
    for expansion, out_channels, blocks, stride in STAGES:
        for _ in range(blocks):
            layers[f"block{len(layers) - 1}"] = inverted_residual(channels, out_channels, expansion, 3, stride, unit, rng)
            channels, stride = out_channels, 1
    layers["head"] = unit(channels, HEAD, 1, rng=rng)
    layers["pool"] = GlobalAvgPool2d()
    layers["dropout"] = Dropout(DROPOUT, rng)
    layers["classifier"] = Linear(HEAD, num_classes, rng=rng)
    return Model(layers, architecture="mobilenet_v2", input_shape=(3, 224, 224))


def inverted_residual(
    in_channels: int,
    out_channels: int,
    expansion: int,
    kernel: int,
    stride: int,
    unit: Callable[..., Sequential],
    rng: np.random.Generator | int | None = None,
) -> Layer:
    """Widen with 1x1, filter each channel by itself, narrow with 1x1, and add the input: a residual block turned inside out.

    A ResNet's bottleneck is narrow in the middle and its shortcut joins the wide ends; here it is the other way round. The
    last convolution has no activation: ReLU would lose what the few channels carry. The shortcut is there where input and
    output have one shape.

    Parameters
    ----------
    in_channels, out_channels : int
    expansion : int
        How many times wider the middle is; with 1 there is nothing to widen, and the first convolution is left out.
    kernel, stride : int
        Of the depthwise convolution.
    unit : function
        Makes convolution, batch norm and activation, as ``conv_norm`` does.

    Section 3 of the paper, figure 3b. EfficientNet, whose blocks these are too, calls them MBConv.

    >>> inverted_residual(24, 32, 6, 3, 2, conv_norm).output_shape((1, 24, 56, 56))
    (1, 32, 28, 28)
    """
    wide = in_channels * expansion
    body = Sequential()
    if expansion > 1:
        body.append("expand", unit(in_channels, wide, 1, rng=rng))
    body.append("depthwise", unit(wide, wide, kernel, stride, groups=wide, rng=rng))
    body.append("project", unit(wide, out_channels, 1, activation=None, rng=rng))
    return Residual(body) if (in_channels, stride) == (out_channels, 1) else body
