"""MobileNets: convolutions taken apart into a filter for each channel and a mixing of channels, for telephones.

V1: Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto, Adam 2017, "MobileNets: Efficient Convolutional Neural Networks
for Mobile Vision Applications" (arXiv 1704.04861), table 1.

V2: Sandler, Howard, Zhu, Zhmoginov, Chen 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (arXiv 1801.04381),
table 2: blocks that are wide inside and narrow between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from ..layers import (
    Dropout,
    GlobalAvgPool2d,
    Layer,
    Linear,
    ReLU6,
    Residual,
    Sequential,
)
from .blocks import Rng, conv_norm, scaled, tensorflow_unit
from .model import Model
from .published import IMAGENET, KERAS_KERNELS, UNIT_RANGE, Family, keras_weights, torchvision_weights

STEM = 32  # channels, in both

# Table 1 of V1, blocks of a depthwise and a 1x1 convolution. The stride is that of a stage's first block, its others have
# stride 1. (The table's last stride of 2 is a misprint: the map stays 7 x 7.)
#   out  blocks  stride   input of the stage, at 224
V1_STAGES = [
    (64, 1, 1),    # 112 x 112 x 32
    (128, 2, 2),   # 112 x 112 x 64
    (256, 2, 2),   # 56 x 56 x 128
    (512, 6, 2),   # 28 x 28 x 256
    (1024, 2, 2),  # 14 x 14 x 512
]  # fmt: skip
V1_DROPOUT = 0.001

# Table 2 of V2, the bottlenecks, with the stride of a stage's first block.
#        expansion  out  blocks  stride     input of the stage, at 224
V2_STAGES = [
    (1, 16, 1, 1),   # 112 x 112 x 32
    (6, 24, 2, 2),   # 112 x 112 x 16
    (6, 32, 3, 2),   # 56 x 56 x 24
    (6, 64, 4, 2),   # 28 x 28 x 32
    (6, 96, 3, 1),   # 14 x 14 x 64
    (6, 160, 3, 2),  # 14 x 14 x 96
    (6, 320, 1, 1),  # 7 x 7 x 160
]  # fmt: skip
V2_HEAD = 1280  # channels
V2_DROPOUT = 0.2

v2_unit = partial(conv_norm, activation=ReLU6)


# ---- V1


def mobilenet_v1(
    num_classes: int = 1000, width: float = 1.0, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3
) -> Model:
    """MobileNetV1 with random weights: 4,231,976 parameters and 569 million multiply-adds at width 1 with 1,000 classes.

    stem, block1 to block13, pool, dropout, classifier; with ``include_top=False`` the last layer is block13. Any input
    (N, C, H, W) goes; the paper's is 224 x 224. Padding and the constants of the batch norm are Keras's, where the weights were
    published: uneven at stride 2, and an eps of 1e-3.

    Parameters
    ----------
    num_classes : int
    width : float
        All numbers of channels are multiplied by it and rounded down; the paper has 1, 0.75, 0.5 and 0.25 (section 3.3).
    include_top : bool
    rng : None, int or numpy.random.Generator
    in_channels : int
        Of the pictures; 1 for grey ones.

    >>> model = mobilenet_v1()
    >>> sum(parameter.value.size for parameter in model.parameters().values())
    4231976
    """
    rng = np.random.default_rng(rng)
    channels = int(STEM * width)
    layers: dict[str, Layer] = {"stem": tensorflow_unit(in_channels, channels, 3, stride=2, rng=rng)}
    for out_channels, blocks, stride in V1_STAGES:
        for _ in range(blocks):
            layers[f"block{len(layers)}"] = separable(channels, int(out_channels * width), stride, rng)
            channels, stride = int(out_channels * width), 1
    if include_top:
        layers |= classifier_head(channels, num_classes, V1_DROPOUT, rng)
    return Model(layers, architecture="mobilenet_v1", input_shape=(in_channels, 224, 224))


def separable(in_channels: int, out_channels: int, stride: int, rng: Rng = None) -> Sequential:
    """A 3x3 convolution in two steps and for about a ninth of the work: filter each channel by itself, then mix the channels.

    (N, in_channels, H, W) -> (N, out_channels, floor(H / stride), floor(W / stride)). Section 3.1 of the paper, figure 3.

    At stride 2 there is padding below and to the right only, as in Keras. For even H and W that is TensorFlow's "same"; for odd
    ones the windows lie one pixel further on.

    >>> separable(64, 128, 2).output_shape((1, 64, 112, 112))
    (1, 128, 56, 56)
    """
    pad = "same" if stride == 1 else ((0, 1), (0, 1))
    return Sequential(
        depthwise=tensorflow_unit(in_channels, in_channels, 3, stride, groups=in_channels, pad=pad, rng=rng),
        pointwise=tensorflow_unit(in_channels, out_channels, 1, rng=rng),
    )


# ---- V2


def mobilenet_v2(
    num_classes: int = 1000, include_top: bool = True, rng: Rng = None, *, width: float = 1.0, in_channels: int = 3
) -> Model:
    """MobileNetV2 with random weights: 3,504,872 parameters and 301 million multiply-adds at width 1 with 1,000 classes.

    stem, block0 to block16, head, pool, dropout, classifier; with ``include_top=False`` the last layer is head. Any input
    (N, C, H, W) goes; the paper's is 224 x 224. Padding is symmetric and batch norm's eps is 1e-5, as in torchvision; the
    paper's own weights, of TensorFlow, were trained with padding "same", which is uneven at stride 2, and eps 1e-3.

    Parameters
    ----------
    num_classes : int
    include_top : bool
    rng : None, int or numpy.random.Generator
    width : float
        All numbers of channels are multiplied by it and rounded to multiples of 8, see `minicnn.models.blocks.scaled`; the head
        never gets fewer (section 4.1). Published are 0.35, 0.5, 0.75, 1, 1.3 and 1.4.
    in_channels : int
        Of the pictures; 1 for grey ones.

    >>> model = mobilenet_v2()
    >>> sum(parameter.value.size for parameter in model.parameters().values())
    3504872
    """
    rng = np.random.default_rng(rng)
    channels = scaled(STEM, width)
    layers: dict[str, Layer] = {"stem": v2_unit(in_channels, channels, 3, stride=2, rng=rng)}
    for expansion, out_channels, blocks, stride in V2_STAGES:
        out_channels = scaled(out_channels, width)
        for _ in range(blocks):
            layers[f"block{len(layers) - 1}"] = inverted_residual(channels, out_channels, expansion, 3, stride, v2_unit, rng)
            channels, stride = out_channels, 1
    head = scaled(V2_HEAD, max(1.0, width))
    layers["head"] = v2_unit(channels, head, 1, rng=rng)
    if include_top:
        layers |= classifier_head(head, num_classes, V2_DROPOUT, rng)
    return Model(layers, architecture="mobilenet_v2", input_shape=(in_channels, 224, 224))


def inverted_residual(
    in_channels: int,
    out_channels: int,
    expansion: int,
    kernel: int,
    stride: int,
    unit: Callable[..., Sequential],
    rng: Rng = None,
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


# ---- both


def classifier_head(channels: int, num_classes: int, dropout: float, rng: np.random.Generator) -> dict[str, Layer]:
    """From the last map to the scores: the average of each channel, dropout, and a fully connected layer."""
    return {
        "pool": GlobalAvgPool2d(),
        "dropout": Dropout(dropout, rng),
        "classifier": Linear(channels, num_classes, rng=rng),
    }


# ---- published weights

V1_PAPER = "Howard et al. 2017, MobileNets: Efficient Convolutional Neural Networks for Mobile Vision, arXiv 1704.04861"
V2_PAPER = "Sandler et al. 2018, MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv 1801.04381"
GOOGLE = "Apache-2.0 (Google)"

MOBILENET_V1 = Family(
    name="mobilenet_v1",
    architectures=("mobilenet_v1",),
    preprocessing={"keras": UNIT_RANGE},
    weights=(
        keras_weights(
            "mobilenet_v1",
            "mobilenet_v1",
            "mobilenet/mobilenet_1_0_224_tf.h5",
            size=17225924,
            top1=70.424,
            top5=89.504,
            licence=GOOGLE,
            paper=V1_PAPER,
        ),
    ),
)
MOBILENET_V2 = Family(
    name="mobilenet_v2",
    architectures=("mobilenet_v2",),
    preprocessing={
        "torchvision": IMAGENET,
        "timm": replace(IMAGENET, interpolation="bicubic"),
        "tonylins": IMAGENET,
        "keras": UNIT_RANGE,
    },
    weights=(
        torchvision_weights("mobilenet_v2", "b0353104", mib=13.555, top1=71.878, top5=90.286, paper=V2_PAPER),
        keras_weights(
            "mobilenet_v2_keras",
            "mobilenet_v2",
            f"mobilenet_v2/mobilenet_v2_{KERAS_KERNELS}_1.0_224.h5",
            size=14536120,
            top1=71.336,
            top5=90.142,
            licence=GOOGLE,
            paper=V2_PAPER,
        ),
    ),
)
