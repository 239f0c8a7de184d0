"""Lesson 11, for the checker of task 1: a small "pretrained" network that looks at what comes in."""

from __future__ import annotations

import numpy as np

from minicnn.data import Preprocessing
from minicnn.layers import BatchNorm2d, Conv2d, Dropout, GlobalAvgPool2d, Layer, Linear, ReLU, Sequential
from minicnn.models import Model


class TooManyAtOnce(Exception):
    """There is no room for so many pictures. Like the next ones, a class of its own, so that mistakes can be told apart."""


class NotFloat32(Exception):
    pass


class ChannelsNotSecond(Exception):
    pass


class OtherSides(Exception):
    pass


class Entrance(Layer):
    """Passes on what comes in, if it is such an input as the network takes, and no more pictures than there is room for."""

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.shape, self.most = shape, 0

    def forward(self, x: np.ndarray) -> np.ndarray:
        sentence = f"the network takes float32 (N, {', '.join(map(str, self.shape))}), got {x.dtype} {x.shape}"
        if x.dtype != np.float32:
            raise NotFloat32(sentence)
        if x.ndim != 4 or x.shape[1] != self.shape[0]:
            raise ChannelsNotSecond(sentence)
        if x.shape[1:] != self.shape:
            raise OtherSides(sentence)
        if len(x) > self.most:
            raise TooManyAtOnce(f"{len(x)} pictures at once, and batch_size is {self.most}")
        return x

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return input_shape


def a_network(rng: np.random.Generator, channels: str, size: tuple[int, int]) -> Model:
    """A small "pretrained" network with everything that matters here.

    Preprocessing, batch norms with statistics of their own, dropout, layers without parameters, and layers with others inside.
    """

    def block(inputs: int, outputs: int, stride: int) -> Sequential:
        return Sequential(
            conv=Conv2d(inputs, outputs, 3, stride=stride, pad=1, rng=rng), norm=BatchNorm2d(outputs), relu=ReLU()
        )

    layers: dict[str, Layer] = {
        "entrance": Entrance((3, *size)),
        "conv1": Conv2d(3, 4, 3, pad=1, rng=rng),
        "norm1": BatchNorm2d(4),
        "relu1": ReLU(),
        "block1": block(4, 5, stride=1),
        "block10": block(5, 6, stride=2),
        "pool": GlobalAvgPool2d(),
        "dropout": Dropout(0.5, rng=rng),
        "scores": Linear(6, 7, rng=rng),
    }
    preprocessing = Preprocessing(
        size=size, channels=channels, mean=tuple(rng.uniform(60, 180, 3)), std=tuple(rng.uniform(30, 80, 3))
    )
    network = Model(layers, architecture="small", input_shape=(3, *size), preprocessing=preprocessing)
    for name, parameter in network.parameters().items():
        if not name.endswith(".w"):  # gamma is 1 in a new network, and all biases are 0
            parameter.value += rng.uniform(0.1, 0.5, parameter.value.shape).astype(np.float32)
    for name, array in network.state().items():
        array[...] = rng.uniform(0.5, 1.5, array.shape) if "var" in name else rng.standard_normal(array.shape)
    return network


def everything_in(network: Model) -> dict[str, np.ndarray]:
    """Copies of all weights and statistics, by name."""
    arrays = {name: parameter.value for name, parameter in network.parameters().items()} | network.state()
    return {name: array.copy() for name, array in arrays.items()}
