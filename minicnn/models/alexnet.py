"""AlexNet, which won ILSVRC 2012 by ten points and brought convolutional networks back.

Krizhevsky, Sutskever, Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section 3 and figure 2:
ReLU, local response normalisation, overlapping pools, dropout, and two GPUs, of which the groups in conv2, conv4 and conv5
have remained. Three networks go by this name, and the weights of one do not work in another.
"""

from __future__ import annotations

import math

import numpy as np

from ..initializers import msra, normal
from ..layers import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Sequential,
)
from .blocks import Rng
from .model import HEAD_STD, Model
from .published import CAFFE_MEAN, IMAGENET, Family, bgr, caffe_weights, torchvision_weights

WIDTH = 4096  # of the two hidden fully connected layers
DROPOUT = 0.5

Shape = tuple[int, int, int]  # (C, H, W)


def alexnet(num_classes: int = 1000, include_top: bool = True, input_shape: Shape = (3, 227, 227), rng: Rng = None) -> Model:
    """The paper's AlexNet with random weights: 60,965,224 parameters at 227 x 227 with 1,000 classes.

    conv1, relu1, norm1, pool1, conv2, ..., pool5, flatten, fc6, relu6, drop6, fc7, relu7, drop7, fc8: the names of Caffe's
    published weights (bvlc_alexnet), whose form this is. It differs from the paper in details:

    - pictures of 227 x 227. The paper says 224, but its first map, 55 x 55, is that of a picture of 227 x 227.
    - the response normalisation has k = 1 and a fifth of the paper's alpha, see `minicnn.layers.LocalResponseNorm`.
    - pools round up; at 227 x 227 there is nothing to round.
    - the random start, which is He's here, as in the other networks.

    Parameters
    ----------
    num_classes : int
    include_top : bool
        False: the last layer is pool5, and pictures may have any size from 55 x 55 on.
    input_shape : (C, H, W)
        Of the pictures: the weights of fc6 are one for each number in the last map.
    rng : None, int or numpy.random.Generator

    >>> alexnet(include_top=False).output_shape((1, 3, 227, 227))
    (1, 256, 6, 6)
    """
    rng = np.random.default_rng(rng)
    layers: dict[str, Layer] = {
        "conv1": Conv2d(input_shape[0], 96, 11, stride=4, rng=rng),  # 55 x 55 x 96
        "relu1": ReLU(),
        "norm1": LocalResponseNorm(),
        "pool1": MaxPool2d(3, stride=2, ceil_mode=True),  # 27 x 27 x 96
        "conv2": Conv2d(96, 256, 5, pad=2, groups=2, rng=rng),  # 27 x 27 x 256
        "relu2": ReLU(),
        "norm2": LocalResponseNorm(),
        "pool2": MaxPool2d(3, stride=2, ceil_mode=True),  # 13 x 13 x 256
        "conv3": Conv2d(256, 384, 3, pad=1, rng=rng),  # 13 x 13 x 384
        "relu3": ReLU(),
        "conv4": Conv2d(384, 384, 3, pad=1, groups=2, rng=rng),  # 13 x 13 x 384
        "relu4": ReLU(),
        "conv5": Conv2d(384, 256, 3, pad=1, groups=2, rng=rng),  # 13 x 13 x 256
        "relu5": ReLU(),
        "pool5": MaxPool2d(3, stride=2, ceil_mode=True),  # 6 x 6 x 256
    }
    if include_top:
        features = math.prod(Sequential(**layers).output_shape((1, *input_shape)))
        layers |= {
            "flatten": Flatten(),
            "fc6": Linear(features, WIDTH, initializer=msra, rng=rng),
            "relu6": ReLU(),
            "drop6": Dropout(DROPOUT, rng),
            "fc7": Linear(WIDTH, WIDTH, initializer=msra, rng=rng),
            "relu7": ReLU(),
            "drop7": Dropout(DROPOUT, rng),
            "fc8": Linear(WIDTH, num_classes, initializer=normal(HEAD_STD), rng=rng),
        }
    return Model(layers, architecture="alexnet", input_shape=input_shape)


def caffenet(num_classes: int = 1000, include_top: bool = True, input_shape: Shape = (3, 227, 227), rng: Rng = None) -> Model:
    """CaffeNet with random weights: ``alexnet`` with each pool before its normalisation, 60,965,224 parameters.

    Caffe's own network (bvlc_reference_caffenet), on which R-CNN and many others were built. Normalising the smaller map is
    less work. Arguments and names as in ``alexnet``.
    """
    layers = alexnet(num_classes, include_top, input_shape, rng).layers
    order = ["conv1", "relu1", "pool1", "norm1", "conv2", "relu2", "pool2", "norm2"]
    order += [name for name in layers if name not in order]
    return Model({name: layers[name] for name in order}, architecture="caffenet", input_shape=input_shape)


def alexnet_torchvision(num_classes: int = 1000, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """torchvision's AlexNet with random weights: 61,100,840 parameters with 1,000 classes. *Not the paper's.*

    It is the one-GPU version of a later paper, Krizhevsky 2014, "One weird trick for parallelizing convolutional neural
    networks" (arXiv 1404.5997): no groups, fewer filters, no response normalisation. Dropout comes before fc6 and fc7 here, not
    after them. Any input (N, C, H, W) goes from 63 x 63 on, as avgpool makes 6 x 6 of any map; torchvision's is 224 x 224.

    conv1, relu1, pool1, conv2, ..., pool5, avgpool, flatten, drop5, fc6, relu6, drop6, fc7, relu7, fc8. With
    ``include_top=False`` the last layer is pool5.

    >>> alexnet_torchvision(include_top=False).output_shape((1, 3, 224, 224))
    (1, 256, 6, 6)
    """
    rng = np.random.default_rng(rng)
    layers: dict[str, Layer] = {
        "conv1": Conv2d(in_channels, 64, 11, stride=4, pad=2, rng=rng),  # 55 x 55 x 64
        "relu1": ReLU(),
        "pool1": MaxPool2d(3, stride=2),  # 27 x 27 x 64
        "conv2": Conv2d(64, 192, 5, pad=2, rng=rng),  # 27 x 27 x 192
        "relu2": ReLU(),
        "pool2": MaxPool2d(3, stride=2),  # 13 x 13 x 192
        "conv3": Conv2d(192, 384, 3, pad=1, rng=rng),  # 13 x 13 x 384
        "relu3": ReLU(),
        "conv4": Conv2d(384, 256, 3, pad=1, rng=rng),  # 13 x 13 x 256
        "relu4": ReLU(),
        "conv5": Conv2d(256, 256, 3, pad=1, rng=rng),  # 13 x 13 x 256
        "relu5": ReLU(),
        "pool5": MaxPool2d(3, stride=2),  # 6 x 6 x 256
    }
    if include_top:
        layers |= {
            "avgpool": AdaptiveAvgPool2d(6),
            "flatten": Flatten(),
            "drop5": Dropout(DROPOUT, rng),
            "fc6": Linear(6 * 6 * 256, WIDTH, initializer=msra, rng=rng),
            "relu6": ReLU(),
            "drop6": Dropout(DROPOUT, rng),
            "fc7": Linear(WIDTH, WIDTH, initializer=msra, rng=rng),
            "relu7": ReLU(),
            "fc8": Linear(WIDTH, num_classes, initializer=normal(HEAD_STD), rng=rng),
        }
    return Model(layers, architecture="alexnet_torchvision", input_shape=(in_channels, 224, 224))


# ---- published weights

PAPER = "Krizhevsky, Sutskever, Hinton 2012, ImageNet Classification with Deep Convolutional Neural Networks"
ONE_GPU_PAPER = "Krizhevsky 2014, One Weird Trick for Parallelizing Convolutional Neural Networks, arXiv 1404.5997"

ALEXNET = Family(
    name="alexnet",
    architectures=("alexnet", "caffenet"),
    preprocessing={"caffe": bgr(227, CAFFE_MEAN)},
    weights=(
        caffe_weights("alexnet", "bvlc_alexnet", "9116a64c0fbe4459d18f4bb6b56d647b63920377", top1=57.1, top5=80.2, paper=PAPER),
        caffe_weights(
            "caffenet", "bvlc_reference_caffenet", "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46", top1=57.4, top5=80.4, paper=PAPER
        ),
    ),
)
ALEXNET_TORCHVISION = Family(
    name="alexnet_torchvision",
    architectures=("alexnet_torchvision",),
    preprocessing={"torchvision": IMAGENET},
    weights=(
        torchvision_weights(
            "alexnet_torchvision",
            "7be5be79",
            stem="alexnet-owt",
            size=244408911,
            top1=56.522,
            top5=79.066,
            paper=ONE_GPU_PAPER,
        ),
    ),
)
