"""A VGG for pictures of about 32 x 32, with its fully connected layers, small enough to be trained on an ordinary computer.

Not from a paper: pairs of 3x3 convolutions, each pair followed by a pool and twice as wide as the one before it, and three
fully connected layers (Simonyan, Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition", section
2), with the batch norm of Ioffe, Szegedy 2015.
"""

from __future__ import annotations

import math

import numpy as np

from ..initializers import msra
from ..layers import Dropout, Flatten, Linear, MaxPool2d, ReLU, Sequential
from .blocks import Rng, conv_norm
from .model import Model

CHANNELS = (48, 96, 192)
WIDTH = 128
DROPOUT = 0.5


def vgg_small(
    num_classes: int = 10, include_top: bool = True, input_shape: tuple[int, int, int] = (3, 32, 32), rng: Rng = None
) -> Model:
    """Six convolutions in three pairs, and three fully connected layers: 1,056,602 parameters at 32 x 32 with 10 classes.

    Each of conv1_1 to conv3_2 is a 3x3 convolution with batch norm and ReLU. With ``include_top=False`` the last layer is
    pool3, and pictures may have any size from 8 x 8 on.

    Parameters
    ----------
    input_shape : (C, H, W)
        Of the pictures, 8 pixels or more in each direction.

    >>> model = vgg_small(input_shape=(1, 28, 28))
    >>> [name for name in model.layers if name.startswith("fc")], sum(p.value.size for p in model.parameters().values())
    (['fc4', 'fc5', 'fc6'], 883706)
    """
    rng = np.random.default_rng(rng)
    layers = Sequential()
    channels = input_shape[0]
    for stage, out_channels in enumerate(CHANNELS, start=1):
        layers.append(f"conv{stage}_1", conv_norm(channels, out_channels, 3, rng=rng))
        layers.append(f"conv{stage}_2", conv_norm(out_channels, out_channels, 3, rng=rng))
        layers.append(f"pool{stage}", MaxPool2d(2))
        channels = out_channels
    features = math.prod(layers.output_shape((1, *input_shape)))  # 4 x 4 x 192 of a picture of 32 x 32
    if include_top:
        layers.append("flatten", Flatten())
        layers.append("fc4", Linear(features, WIDTH, initializer=msra, rng=rng))
        layers.append("relu4", ReLU())
        layers.append("drop4", Dropout(DROPOUT, rng))
        layers.append("fc5", Linear(WIDTH, WIDTH, initializer=msra, rng=rng))
        layers.append("relu5", ReLU())
        layers.append("drop5", Dropout(DROPOUT, rng))
        layers.append("fc6", Linear(WIDTH, num_classes, rng=rng))
    return Model(layers.layers, architecture="vgg_small", input_shape=input_shape)
