"""GoogLeNet, which won ILSVRC 2014: 22 layers of weights, and a ninth of AlexNet's parameters.

Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich 2015, "Going Deeper with Convolutions" (arXiv
1409.4842), table 1. Nine Inception modules look at each pixel through windows of several sizes at once, behind 1x1
convolutions that keep the cost down; an average takes the place of the large fully connected layers.

There are two networks by this name, and the weights of one do not work in the other: the paper's and torchvision's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ..initializers import msra, normal
from ..layers import (
    AdaptiveAvgPool2d,
    AuxiliaryHead,
    AvgPool2d,
    Concat,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Sequential,
)
from .blocks import Rng, conv_norm, conv_relu
from .model import HEAD_STD, Model
from .published import ROUNDED_MEAN, UNIT_RANGE, Family, bgr, caffe_weights, torchvision_weights

# Table 1: filters of each module.
#      1x1  3x3 reduce  3x3  5x5 reduce  5x5  pool proj
MODULES = {
    "3a": (64,  96, 128, 16,  32,  32),  # 28 x 28 x 256
    "3b": (128, 128, 192, 32,  96,  64),  # 28 x 28 x 480
    "4a": (192,  96, 208, 16,  48,  64),  # 14 x 14 x 512
    "4b": (160, 112, 224, 24,  64,  64),  # 14 x 14 x 512
    "4c": (128, 128, 256, 24,  64,  64),  # 14 x 14 x 512
    "4d": (112, 144, 288, 32,  64,  64),  # 14 x 14 x 528
    "4e": (256, 160, 320, 32, 128, 128),  # 14 x 14 x 832
    "5a": (256, 160, 320, 32, 128, 128),  # 7 x 7 x 832
    "5b": (384, 192, 384, 48, 128, 128),  # 7 x 7 x 1024
}  # fmt: skip
FIRST, LAST = 192, 1024  # channels before and after the modules
AUXILIARY_HEADS = {"4a": "aux1", "4d": "aux2"}  # after which modules, section 5
AUXILIARY_CHANNELS, AUXILIARY_WIDTH, AUXILIARY_DROPOUT = 128, 1024, 0.7


# ---- the two networks


def googlenet(
    num_classes: int = 1000, include_top: bool = True, aux: bool = True, rng: Rng = None, *, in_channels: int = 3
) -> Model:
    """The paper's GoogLeNet with random weights: 6,998,552 parameters with 1,000 classes, 13,378,280 with the auxiliary heads.

    conv1, pool1, norm1, conv2_reduce, conv2, norm2, pool2, inception_3a, inception_3b, pool3, inception_4a, aux1, inception_4b,
    ..., inception_4d, aux2, inception_4e, pool4, inception_5a, inception_5b, pool5, drop5, fc. Details that the paper leaves
    open are those of Caffe's published weights (bvlc_googlenet): pools round up, and the response normalisation is that of
    `minicnn.layers.LocalResponseNorm`.

    Parameters
    ----------
    num_classes : int
    include_top : bool
        False: the last layer is inception_5b, and there are no auxiliary heads either, as those are classifiers, too.
    aux : bool
        Whether aux1 and aux2 are there (section 5): classifiers half way up, which run in training only, where the loss is
        `minicnn.losses.WithAuxiliaryHeads`. They take a map of 14 to 16 pixels, from pictures of 223 to 270.
    rng : None, int or numpy.random.Generator
    in_channels : int
        Of the pictures; 1 for grey ones.

    The paper's pictures are 224 x 224. In inference, and in training without auxiliary heads, any other input (N, 3, H, W) goes
    from 47 x 47 on.

    >>> googlenet(include_top=False).output_shape((1, 3, 224, 224))
    (1, 1024, 7, 7)
    """
    rng = np.random.default_rng(rng)
    layers: dict[str, Layer] = {
        "conv1": _conv(in_channels, 64, 7, 2, rng=rng),  # 112 x 112 x 64
        "pool1": MaxPool2d(3, stride=2, ceil_mode=True),  # 56 x 56 x 64
        "norm1": LocalResponseNorm(),
        "conv2_reduce": _conv(64, 64, 1, rng=rng),
        "conv2": _conv(64, FIRST, 3, rng=rng),  # 56 x 56 x 192
        "norm2": LocalResponseNorm(),
        "pool2": MaxPool2d(3, stride=2, ceil_mode=True),  # 28 x 28 x 192
    }
    pool4 = MaxPool2d(3, stride=2, ceil_mode=True)
    auxiliary_pool = partial(AvgPool2d, 5, stride=3) if aux and include_top else None  # 14 x 14 to 4 x 4
    layers |= _modules(_conv, 5, pool4, auxiliary_pool, num_classes, rng)
    if include_top:
        layers |= _classifier_head(0.4, num_classes, rng)
    return Model(layers, architecture="googlenet", input_shape=(in_channels, 224, 224))


def googlenet_torchvision(
    num_classes: int = 1000, include_top: bool = True, aux: bool = True, rng: Rng = None, *, in_channels: int = 3
) -> Model:
    """torchvision's GoogLeNet with random weights: 6,624,904 parameters with 1,000 classes, 13,004,888 with auxiliary heads.

    *Not the paper's.* Layers and arguments as in ``googlenet``, but:

    - where the paper has 5x5 convolutions, it has 3x3 (branch ``second_3x3``): a known slip, kept because the published
      weights were trained with it.
    - each convolution has batch norm, with an eps of 0.001, in the place of a bias; there is no response normalisation.
    - pool4 is 2x2; dropout before the scores is 0.2.
    - the auxiliary heads take any picture, as their pool adapts. The smallest is 31 x 31.

    >>> list(googlenet_torchvision(10).layers["inception_3a"].branches)
    ['1x1', '3x3', 'second_3x3', 'pool']
    """
    rng = np.random.default_rng(rng)
    layers: dict[str, Layer] = {
        "conv1": _normed_conv(in_channels, 64, 7, 2, rng=rng),  # 112 x 112 x 64
        "pool1": MaxPool2d(3, stride=2, ceil_mode=True),  # 56 x 56 x 64
        "conv2_reduce": _normed_conv(64, 64, 1, rng=rng),
        "conv2": _normed_conv(64, FIRST, 3, rng=rng),  # 56 x 56 x 192
        "pool2": MaxPool2d(3, stride=2, ceil_mode=True),  # 28 x 28 x 192
    }
    pool4 = MaxPool2d(2, ceil_mode=True)
    auxiliary_pool = partial(AdaptiveAvgPool2d, 4) if aux and include_top else None
    layers |= _modules(_normed_conv, 3, pool4, auxiliary_pool, num_classes, rng)
    if include_top:
        layers |= _classifier_head(0.2, num_classes, rng)
    return Model(layers, architecture="googlenet_torchvision", input_shape=(in_channels, 224, 224))


# ---- what they are made of


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1, *, rng: Rng = None) -> Sequential:
    """The paper's unit: convolution with bias, and ReLU; padded so that stride 1 keeps the size."""
    return conv_relu(in_channels, out_channels, kernel, stride, kernel // 2, rng)


def _normed_conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1, *, rng: Rng = None) -> Sequential:
    """torchvision's unit: convolution, batch norm, and ReLU, padded likewise."""
    return conv_norm(in_channels, out_channels, kernel, stride, eps=1e-3, rng=rng)


def inception(
    in_channels: int,
    filters: tuple[int, int, int, int, int, int],
    conv: Callable[..., Sequential] = _conv,
    largest: int = 5,
    rng: Rng = None,
) -> Concat:
    """The Inception module: 1x1, 3x3 and 5x5 convolutions and a pool side by side, joined along the channels.

    (N, in_channels, H, W) -> (N, filters[0] + filters[2] + filters[4] + filters[5], H, W). Figure 2(b) of the paper.

    Parameters
    ----------
    filters : six numbers
        A row of table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj.
    conv : function (in_channels, out_channels, kernel, rng=) -> Sequential
        Makes a convolution with its activation.
    largest : 5 or 3
        The kernel of what is 5x5 in the paper, and 3x3 in torchvision's form.

    >>> module = inception(192, MODULES["3a"])
    >>> module.output_shape((1, 192, 28, 28)), list(module.branches)
    ((1, 256, 28, 28), ['1x1', '3x3', '5x5', 'pool'])
    """
    ones, reduce_threes, threes, reduce_fives, fives, projected = filters
    branches = {
        "1x1": conv(in_channels, ones, 1, rng=rng),
        "3x3": Sequential(
            **{
                "reduce": conv(in_channels, reduce_threes, 1, rng=rng),
                "3x3": conv(reduce_threes, threes, 3, rng=rng),
            }
        ),
        "second_3x3" if largest == 3 else "5x5": Sequential(
            **{
                "reduce": conv(in_channels, reduce_fives, 1, rng=rng),
                f"{largest}x{largest}": conv(reduce_fives, fives, largest, rng=rng),
            }
        ),
        "pool": Sequential(
            pool=MaxPool2d(3, stride=1, pad=1),
            proj=conv(in_channels, projected, 1, rng=rng),
        ),
    }
    return Concat(**branches)


def _modules(
    conv: Callable[..., Sequential],
    largest: int,
    pool4: Layer,
    auxiliary_pool: Callable[[], Layer] | None,
    num_classes: int,
    rng: Rng,
) -> dict[str, Layer]:
    """inception_3a to inception_5b with the pools between; with an ``auxiliary_pool``, a head after some."""
    layers: dict[str, Layer] = {}
    channels = FIRST
    for name, filters in MODULES.items():
        if name == "4a":
            layers["pool3"] = MaxPool2d(3, stride=2, ceil_mode=True)  # 14 x 14 x 480
        if name == "5a":
            layers["pool4"] = pool4  # 7 x 7 x 832
        layers[f"inception_{name}"] = inception(channels, filters, conv, largest, rng)
        channels = filters[0] + filters[2] + filters[4] + filters[5]
        if auxiliary_pool is not None and name in AUXILIARY_HEADS:
            layers[AUXILIARY_HEADS[name]] = AuxiliaryHead(
                _auxiliary_classifier(channels, conv, auxiliary_pool(), num_classes, rng)
            )
    return layers


def _auxiliary_classifier(
    channels: int, conv: Callable[..., Sequential], pool: Layer, num_classes: int, rng: Rng
) -> Sequential:
    """The classifier of an auxiliary head, section 5 of the paper: from (N, channels, 14, 14) to scores (N, num_classes)."""
    return Sequential(
        pool=pool,  # 4 x 4
        conv=conv(channels, AUXILIARY_CHANNELS, 1, rng=rng),
        flatten=Flatten(),
        fc1=Linear(4 * 4 * AUXILIARY_CHANNELS, AUXILIARY_WIDTH, initializer=msra, rng=rng),
        relu=ReLU(),
        drop=Dropout(AUXILIARY_DROPOUT, rng),
        fc2=Linear(AUXILIARY_WIDTH, num_classes, initializer=normal(HEAD_STD), rng=rng),
    )


def _classifier_head(dropout: float, num_classes: int, rng: Rng) -> dict[str, Layer]:
    """From the last map to the scores: the average of each channel, dropout, and a fully connected layer."""
    return {
        "pool5": GlobalAvgPool2d(),
        "drop5": Dropout(dropout, rng),
        "fc": Linear(LAST, num_classes, initializer=normal(HEAD_STD), rng=rng),
    }


# ---- published weights

PAPER = "Szegedy et al. 2015, Going Deeper with Convolutions, arXiv 1409.4842"

GOOGLENET = Family(
    name="googlenet",
    architectures=("googlenet",),
    preprocessing={"caffe": bgr(224, ROUNDED_MEAN)},
    weights=(
        caffe_weights(
            "googlenet", "bvlc_googlenet", "405fc5acd08a3bb12de8ee5e23a96bec22f08204", top1=68.7, top5=88.9, paper=PAPER
        ),
    ),
)
GOOGLENET_TORCHVISION = Family(
    name="googlenet_torchvision",
    architectures=("googlenet_torchvision",),
    # torchvision's class changes the input from the usual mean and deviation to a half and a half: both steps in one
    preprocessing={"torchvision": UNIT_RANGE},
    weights=(
        torchvision_weights(
            "googlenet_torchvision", "1378be20", stem="googlenet", mib=49.731, top1=69.778, top5=89.530, paper=PAPER
        ),
    ),
)
