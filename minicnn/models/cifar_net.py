"""A plain network for CIFAR-10's pictures of 32 x 32, small enough to be trained on an ordinary computer.

Not from a paper: pairs of 3x3 convolutions as in VGG (Simonyan, Zisserman 2015), each with the batch norm of Ioffe, Szegedy
2015, and one fully connected layer.
"""

from __future__ import annotations

import numpy as np

from ..layers import Flatten, Layer, Linear, MaxPool2d
from .blocks import Rng, conv_norm
from .model import Model


def cifar_net(num_classes: int = 10, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """Six convolutions in three pairs, and a classifier: 1,187,274 parameters with 10 classes.

    Each of conv1_1 to conv3_2 is a 3x3 convolution with batch norm and ReLU. Input (N, C, 32, 32); with ``include_top=False``,
    which leaves out flatten and fc, any (N, C, H, W).

    >>> model = cifar_net()
    >>> sum(parameter.value.size for parameter in model.parameters().values())
    1187274
    """
    rng = np.random.default_rng(rng)
    layers: dict[str, Layer] = {
        "conv1_1": conv_norm(in_channels, 64, 3, rng=rng),  # 32 x 32 x 64
        "conv1_2": conv_norm(64, 64, 3, rng=rng),
        "pool1": MaxPool2d(2),  # 16 x 16 x 64
        "conv2_1": conv_norm(64, 128, 3, rng=rng),
        "conv2_2": conv_norm(128, 128, 3, rng=rng),
        "pool2": MaxPool2d(2),  # 8 x 8 x 128
        "conv3_1": conv_norm(128, 256, 3, rng=rng),
        "conv3_2": conv_norm(256, 256, 3, rng=rng),
        "pool3": MaxPool2d(2),  # 4 x 4 x 256
    }
    if include_top:
        layers |= {"flatten": Flatten(), "fc": Linear(4 * 4 * 256, num_classes, rng=rng)}
    return Model(layers, architecture="cifar_net", input_shape=(in_channels, 32, 32))
