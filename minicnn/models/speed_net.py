"""An eight-layer network that learns CIFAR-10 fast, from a first convolution that it need not learn.

Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498, section 3.1 and figure 1, after Page 2018,
"How to Train Your ResNet"; with the 1/9 by which scores are multiplied inside the classifier, and GELU by its tanh.
"""

from __future__ import annotations

import math

import numpy as np

from ..initializers import dirac
from ..layers import GELU, BatchNorm2d, Conv2d, Flatten, Layer, Linear, MaxPool2d, Sequential
from .blocks import Rng
from .model import Model

SCORE_SCALE = 1 / 9  # keeps the first scores small


def speed_net(num_classes: int = 10, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """2 x 2 patches, three pairs of convolutions with 64, 256 and 256 filters, a classifier: 1,972,792 parameters, 10 classes.

    ``whiten`` has two filters for each direction of a patch, meant to be set by `minicnn.layers.patch_whitening` and frozen.
    Batch norms have no gamma to be trained: it stays 1. Input (N, C, 32, 32); with ``include_top=False``, which leaves out
    flatten and fc, any (N, C, H, W) from 25 x 25 on.

    >>> model = speed_net()
    >>> sum(parameter.value.size for parameter in model.parameters().values())
    1972792
    """
    rng = np.random.default_rng(rng)
    patch = 2 * 2 * in_channels
    layers: dict[str, Layer] = {
        "whiten": Conv2d(in_channels, 2 * patch, 2, rng=rng),  # 31 x 31 x 24
        "gelu": GELU(),
        "block1": _block(2 * patch, 64, rng),  # 15 x 15 x 64
        "block2": _block(64, 256, rng),  # 7 x 7 x 256
        "block3": _block(256, 256, rng),  # 3 x 3 x 256
        "pool": MaxPool2d(3),
    }
    if include_top:
        layers |= {"flatten": Flatten(), "fc": Linear(256, num_classes, bias=False, initializer=_small_uniform, rng=rng)}
    return Model(layers, architecture="speed_net", input_shape=(in_channels, 32, 32))


def _block(in_channels: int, out_channels: int, rng: Rng) -> Sequential:
    """conv, pool, norm, gelu; conv, norm, gelu: half as high and wide."""
    block = Sequential(
        conv1=Conv2d(in_channels, out_channels, 3, pad=1, bias=False, initializer=dirac, rng=rng),
        pool=MaxPool2d(2),
        norm1=BatchNorm2d(out_channels, momentum=0.4),
        gelu1=GELU(),
        conv2=Conv2d(out_channels, out_channels, 3, pad=1, bias=False, initializer=dirac, rng=rng),
        norm2=BatchNorm2d(out_channels, momentum=0.4),
        gelu2=GELU(),
    )
    for name in ("norm1", "norm2"):
        block.layers[name].gamma.trainable = False
    return block


def _small_uniform(shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype | type = np.float32) -> np.ndarray:
    """Uniform from -b to b with b = SCORE_SCALE / sqrt(fan_in)."""
    bound = SCORE_SCALE / math.sqrt(shape[1])
    return rng.uniform(-bound, bound, shape).astype(dtype)
