"""Layers: one concept a file, each with its equation and its written-out backward pass."""

from .activation import ELU, GELU, LeakyReLU, ReLU, ReLU6, Sigmoid, Tanh
from .adaptive_pool import AdaptiveAvgPool2d
from .auxiliary import AuxiliaryHead
from .base import Layer, Parameter
from .channels import PadChannels
from .containers import Concat, Residual, Sequential
from .conv import Conv2d, set_algorithm
from .dropconnect import DropConnect
from .dropout import Dropout, VanillaDropout
from .fractional_pool import FractionalMaxPool2d
from .linear import Flatten, Linear
from .lrn import LocalResponseNorm
from .maxout import Maxout
from .norm import BatchNorm1d, BatchNorm2d
from .pool import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from .stochastic_depth import StochasticDepth, survival_probabilities
from .whitening import patch_whitening, whitening_conv

__all__ = [
    "ELU",
    "GELU",
    "AdaptiveAvgPool2d",
    "AuxiliaryHead",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Concat",
    "Conv2d",
    "DropConnect",
    "Dropout",
    "Flatten",
    "FractionalMaxPool2d",
    "GlobalAvgPool2d",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "MaxPool2d",
    "Maxout",
    "PadChannels",
    "Parameter",
    "ReLU",
    "ReLU6",
    "Residual",
    "Sequential",
    "Sigmoid",
    "StochasticDepth",
    "Tanh",
    "VanillaDropout",
    "patch_whitening",
    "set_algorithm",
    "survival_probabilities",
    "whitening_conv",
]
