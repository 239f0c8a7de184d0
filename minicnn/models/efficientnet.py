"""EfficientNet-Lite0: the EfficientNet baseline found by architecture search, made plain for small devices.

Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (arXiv 1905.11946), table 1. The Lite
variant (Renjie Liu 2020, the TensorFlow blog on "EfficientNet-Lite") differs from that table in three ways: no
squeeze-and-excitation, ReLU6 where the paper has swish, and stem and head that do not grow with the larger variants.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..layers import Dropout, GlobalAvgPool2d, Layer, Linear, ReLU6
from .blocks import conv_norm
from .mobilenet import inverted_residual
from .model import Model

# Table 1, stages 2 to 8: MBConv blocks, which are MobileNetV2's inverted residuals. The stride is that of a stage's first, its
# others have stride 1.
#        expansion  kernel  stride  out  blocks     input of the stage, at 224
STAGES = [
    (1, 3, 1, 16, 1),   # 112 x 112 x 32
    (6, 3, 2, 24, 2),   # 112 x 112 x 16
    (6, 5, 2, 40, 2),   # 56 x 56 x 24
    (6, 3, 2, 80, 3),   # 28 x 28 x 40
    (6, 5, 1, 112, 3),  # 14 x 14 x 80
    (6, 5, 2, 192, 4),  # 14 x 14 x 112
    (6, 3, 1, 320, 1),  # 7 x 7 x 192
]  # fmt: skip
STEM, HEAD = 32, 1280  # channels
DROPOUT = 0.2

# Padding and the constants of the batch norm are TensorFlow's, where the weights were trained: "same" is uneven at stride 2,
# eps is 1e-3, and the running statistics move by 1 % a step.
unit = partial(conv_norm, pad="same", eps=1e-3, momentum=0.01, activation=ReLU6)


def efficientnet_lite0(num_classes: int = 1000, rng: np.random.Generator | int | None = None) -> Model:
    """EfficientNet-Lite0 with random weights; ``minicnn.load("efficientnet_lite0")`` gives it trained on ImageNet.

    stem, block0 to block15, head, pool, dropout, classifier: 4,652,008 parameters with 1,000 classes. Any input (N, 3, H, W)
    goes; the paper's is 224 x 224.

    >>> model = efficientnet_lite0()
    >>> sum(parameter.value.size for parameter in model.parameters().values())
    4652008
    """
    rng = np.random.default_rng(rng)
    layers: dict[str, Layer] = {"stem": unit(3, STEM, 3, stride=2, rng=rng)}
    channels = STEM
    for expansion, kernel, stride, out_channels, blocks in STAGES:
        for _ in range(blocks):
            layers[f"block{len(layers) - 1}"] = inverted_residual(channels, out_channels, expansion, kernel, stride, unit, rng)
            channels, stride = out_channels, 1
    layers["head"] = unit(channels, HEAD, 1, rng=rng)
    layers["pool"] = GlobalAvgPool2d()
    layers["dropout"] = Dropout(DROPOUT, rng)
    layers["classifier"] = Linear(HEAD, num_classes, rng=rng)
    return Model(layers, architecture="efficientnet_lite0", input_shape=(3, 224, 224))
