"""VGG: nothing but 3x3 convolutions and 2x2 pools, and deep.

Simonyan, Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (arXiv 1409.1556), table 1.
Two 3x3 convolutions see 5x5 pixels, three see 7x7: with fewer weights than one large filter, and a ReLU after each.
"""

from __future__ import annotations

import math

import numpy as np

from ..initializers import msra
from ..layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
)
from .blocks import Rng
from .model import Model
from .published import IMAGENET, KERAS_KERNELS, VGG_MEAN, Family, bgr, keras_weights, torchvision_weights

# Table 1: 3x3 convolutions in each of the five stages, after which the picture is halved. The columns A, B, D and E.
#   at:  224  112  56  28  14
STAGES = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
CHANNELS = (64, 128, 256, 512, 512)
WIDTH = 4096  # of the two hidden fully connected layers
DROPOUT = 0.5

Shape = tuple[int, int, int]  # (C, H, W)
PAPER_SHAPE = (3, 224, 224)


def vgg(
    depth: int,
    num_classes: int = 1000,
    include_top: bool = True,
    input_shape: Shape = PAPER_SHAPE,
    rng: Rng = None,
    *,
    batch_norm: bool = False,
) -> Model:
    """The VGG network with ``depth`` layers of weights, their start random.

    conv1_1, relu1_1, ..., pool1, conv2_1, ..., pool5, flatten, fc6, relu6, drop6, fc7, relu7, drop7, fc8: the names that the
    authors gave them in their published weights, where fc6 is what comes after the five stages.

    Parameters
    ----------
    depth : 11, 13, 16 or 19
        Convolutions and fully connected layers together.
    num_classes : int
    include_top : bool
        False: the last layer is pool5, and pictures may have any size from 32 x 32 on.
    input_shape : (C, H, W)
        Of the pictures, 32 pixels or more in each direction: the weights of fc6 are one for each number in the last map. (At
        other sizes than 224 torchvision scales that map to 7 x 7 instead, and its weights do not fit.)
    rng : None, int or numpy.random.Generator
    batch_norm : bool
        Whether a norm1_1 follows conv1_1, and so on: not in the paper, which is older, but in torchvision's ``vgg16_bn``. The
        convolutions keep their biases there, and here.

    Raises
    ------
    ValueError
        For another depth, or pictures too small to be halved five times.

    >>> model = vgg(11, num_classes=10, input_shape=(3, 32, 32))
    >>> [name for name in model.layers if name.startswith(("conv", "fc"))]
    ['conv1_1', 'conv2_1', 'conv3_1', 'conv3_2', 'conv4_1', 'conv4_2', 'conv5_1', 'conv5_2', 'fc6', 'fc7', 'fc8']
    """
    if depth not in STAGES:
        raise ValueError(f"VGG has {', '.join(map(str, STAGES))} layers of weights in the paper's table 1, got depth {depth!r}")
    rng = np.random.default_rng(rng)
    layers = Sequential()
    channels = input_shape[0]
    for stage, (convolutions, out_channels) in enumerate(zip(STAGES[depth], CHANNELS, strict=True), start=1):
        for i in range(1, convolutions + 1):
            layers.append(f"conv{stage}_{i}", Conv2d(channels, out_channels, 3, pad=1, rng=rng))
            if batch_norm:
                layers.append(f"norm{stage}_{i}", BatchNorm2d(out_channels))
            layers.append(f"relu{stage}_{i}", ReLU())
            channels = out_channels
        layers.append(f"pool{stage}", MaxPool2d(2))
    features = math.prod(layers.output_shape((1, *input_shape)))  # 7 x 7 x 512 of a picture of 224 x 224
    if include_top:
        layers.append("flatten", Flatten())
        layers.append("fc6", Linear(features, WIDTH, initializer=msra, rng=rng))
        layers.append("relu6", ReLU())
        layers.append("drop6", Dropout(DROPOUT, rng))
        layers.append("fc7", Linear(WIDTH, WIDTH, initializer=msra, rng=rng))
        layers.append("relu7", ReLU())
        layers.append("drop7", Dropout(DROPOUT, rng))
        layers.append("fc8", Linear(WIDTH, num_classes, rng=rng))
    name = f"vgg{depth}_bn" if batch_norm else f"vgg{depth}"
    return Model(layers.layers, architecture=name, input_shape=input_shape)


# ---- the paper's


def vgg11(num_classes: int = 1000, include_top: bool = True, input_shape: Shape = PAPER_SHAPE, rng: Rng = None) -> Model:
    """VGG-11, column A of table 1: 132,863,336 parameters at 224 x 224 with 1,000 classes. Arguments as in ``vgg``."""
    return vgg(11, num_classes, include_top, input_shape, rng)


def vgg13(num_classes: int = 1000, include_top: bool = True, input_shape: Shape = PAPER_SHAPE, rng: Rng = None) -> Model:
    """VGG-13, column B of table 1: 133,047,848 parameters at 224 x 224 with 1,000 classes. Arguments as in ``vgg``."""
    return vgg(13, num_classes, include_top, input_shape, rng)


def vgg16(num_classes: int = 1000, include_top: bool = True, input_shape: Shape = PAPER_SHAPE, rng: Rng = None) -> Model:
    """VGG-16, column D of table 1: 138,357,544 parameters at 224 x 224 with 1,000 classes. Arguments as in ``vgg``.

    Nine tenths of the parameters are in the fully connected layers, nearly all multiply-adds in the convolutions.
    """
    return vgg(16, num_classes, include_top, input_shape, rng)


def vgg19(num_classes: int = 1000, include_top: bool = True, input_shape: Shape = PAPER_SHAPE, rng: Rng = None) -> Model:
    """VGG-19, column E of table 1: 143,667,240 parameters at 224 x 224 with 1,000 classes. Arguments as in ``vgg``."""
    return vgg(19, num_classes, include_top, input_shape, rng)


# ---- with batch norm, torchvision's


def vgg11_bn(num_classes: int = 1000, include_top: bool = True, input_shape: Shape = PAPER_SHAPE, rng: Rng = None) -> Model:
    """VGG-11 with batch norm after each convolution: 132,868,840 parameters. Otherwise like ``vgg11``."""
    return vgg(11, num_classes, include_top, input_shape, rng, batch_norm=True)


def vgg13_bn(num_classes: int = 1000, include_top: bool = True, input_shape: Shape = PAPER_SHAPE, rng: Rng = None) -> Model:
    """VGG-13 with batch norm after each convolution: 133,053,736 parameters. Otherwise like ``vgg13``."""
    return vgg(13, num_classes, include_top, input_shape, rng, batch_norm=True)


def vgg16_bn(num_classes: int = 1000, include_top: bool = True, input_shape: Shape = PAPER_SHAPE, rng: Rng = None) -> Model:
    """VGG-16 with batch norm after each convolution: 138,365,992 parameters. Otherwise like ``vgg16``."""
    return vgg(16, num_classes, include_top, input_shape, rng, batch_norm=True)


def vgg19_bn(num_classes: int = 1000, include_top: bool = True, input_shape: Shape = PAPER_SHAPE, rng: Rng = None) -> Model:
    """VGG-19 with batch norm after each convolution: 143,678,248 parameters. Otherwise like ``vgg19``."""
    return vgg(19, num_classes, include_top, input_shape, rng, batch_norm=True)


# ---- published weights

PAPER = "Simonyan, Zisserman 2015, Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv 1409.1556"
OXFORD = "CC BY 4.0 (VGG, Oxford)"  # Keras's are the authors' own weights

VGG = Family(
    name="vgg",
    architectures=("vgg11", "vgg13", "vgg16", "vgg19"),
    preprocessing={"torchvision": IMAGENET, "keras": bgr(224, VGG_MEAN), "caffe": bgr(224, VGG_MEAN)},
    weights=(
        torchvision_weights("vgg11", "8a719046", mib=506.84, top1=69.020, top5=88.628, paper=PAPER),
        torchvision_weights("vgg13", "19584684", mib=507.545, top1=69.928, top5=89.246, paper=PAPER),
        torchvision_weights("vgg16", "397923af", size=553433881, top1=71.592, top5=90.382, paper=PAPER),
        torchvision_weights("vgg19", "dcbb9e9d", size=574673361, top1=72.376, top5=90.876, paper=PAPER),
        keras_weights(
            "vgg16_keras",
            "vgg16",
            f"vgg16/vgg16_{KERAS_KERNELS}.h5",
            size=553467096,
            md5="64373286793e3c8b2b4e3219cbf3544b",
            top1=71.268,
            top5=90.05,
            licence=OXFORD,
            paper=PAPER,
        ),
        keras_weights(
            "vgg19_keras",
            "vgg19",
            f"vgg19/vgg19_{KERAS_KERNELS}.h5",
            size=574710816,
            md5="cbe5617147190e668d6c5d5026f83318",
            top1=71.256,
            top5=89.988,
            licence=OXFORD,
            paper=PAPER,
        ),
    ),
)
VGG_BN = Family(
    name="vgg_bn",
    architectures=("vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"),
    preprocessing={"torchvision": IMAGENET},
    weights=(
        torchvision_weights("vgg11_bn", "6002323d", mib=506.881, top1=70.370, top5=89.810, paper=PAPER),
        torchvision_weights("vgg13_bn", "abd245e5", mib=507.59, top1=71.586, top5=90.374, paper=PAPER),
        torchvision_weights("vgg16_bn", "6c64b313", size=553507836, top1=73.360, top5=91.516, paper=PAPER),
        torchvision_weights("vgg19_bn", "c79401a0", size=574769405, top1=74.218, top5=91.842, paper=PAPER),
    ),
)
