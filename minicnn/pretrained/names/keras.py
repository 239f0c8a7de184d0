"""Keras's names, those of ``keras.applications``.

A file calls arrays "layer/kernel", "layer/bias", "layer/gamma", "layer/beta", "layer/moving_mean", "layer/moving_variance"; the
newest kind of file counts them instead, "layer/0", "layer/1", .... Its layout has the channels last:

- a convolution's kernel is (KH, KW, C, F), a depthwise one's (KH, KW, C, M), where channel c makes outputs c*M to c*M + M - 1;
- a Dense kernel is (in, out), and its rows after a Flatten are in the order of (H, W, C).

Kernels are not flipped. The networks are described in ``keras/src/applications``. ResNet's bottlenecks have their stride in the
first convolution, as in the paper and not in torchvision, and their convolutions have biases, although a norm follows;
MobileNetV1's classifier is a convolution; MobileNetV2 pads as TensorFlow does.
"""

from __future__ import annotations

import numpy as np

from ...layers import BatchNorm2d, Conv2d
from ...models import Model
from .base import Recipe, Source, Table, Target, first_of
from .torchvision import without_bias

# our array: its name, and its place where a file has no names
ARRAYS = {
    "w": ("kernel", "depthwise_kernel", "0"),
    "b": ("bias", "1"),
    "gamma": ("gamma", "0"),
    "beta": ("beta", "1"),
    "running_mean": ("moving_mean", "2"),
    "running_var": ("moving_variance", "3"),
}

RESNET: Table = (
    ("conv1.conv", "conv1_conv"),
    ("conv1.norm", "conv1_bn"),
    ("conv{s}_{b}.sum.body.conv{k}.conv", "conv{s}_block{b}_{k}_conv"),
    ("conv{s}_{b}.sum.body.conv{k}.norm", "conv{s}_block{b}_{k}_bn"),
    ("conv{s}_{b}.sum.shortcut.conv", "conv{s}_block{b}_0_conv"),
    ("conv{s}_{b}.sum.shortcut.norm", "conv{s}_block{b}_0_bn"),
    ("fc", "predictions|probs|fc1000"),
)
MOBILENET_V1: Table = (
    ("stem.conv", "conv1"),
    ("stem.norm", "conv1_bn"),
    ("block{n}.depthwise.conv", "conv_dw_{n}"),
    ("block{n}.depthwise.norm", "conv_dw_{n}_bn"),
    ("block{n}.pointwise.conv", "conv_pw_{n}"),
    ("block{n}.pointwise.norm", "conv_pw_{n}_bn"),
    ("classifier", "conv_preds"),
)
MOBILENET_V2: Table = (
    ("stem.conv", "Conv1"),
    ("stem.norm", "bn_Conv1"),
    ("block0.{part}.conv", "expanded_conv_{part}"),
    ("block0.{part}.norm", "expanded_conv_{part}_BN"),
    ("block{n}.{part}.conv", "block_{n}_{part}"),
    ("block{n}.{part}.norm", "block_{n}_{part}_BN"),
    ("block{n}.body.{part}.conv", "block_{n}_{part}"),
    ("block{n}.body.{part}.norm", "block_{n}_{part}_BN"),
    ("head.conv", "Conv_1"),
    ("head.norm", "Conv_1_bn"),
    ("classifier", "predictions|Logits"),
)
SQUEEZENET: Table = (  # not in keras.applications; its Keras versions have kept the authors' names, in Keras 3 without slashes
    ("conv1.conv", "conv1"),
    ("fire{n}.squeeze.conv", "fire{n}/squeeze1x1|fire{n}_squeeze1x1"),
    ("fire{n}.expand.{k}.conv", "fire{n}/expand{k}|fire{n}_expand{k}"),
    ("conv10.conv", "conv10"),
)
TABLES: dict[str, Table] = {
    "vgg": (
        ("conv{s}_{i}", "block{s}_conv{i}"),
        ("fc6", "fc1"),
        ("fc7", "fc2"),
        ("fc8", "predictions"),
    ),
    "resnet": RESNET,
    "squeezenet": SQUEEZENET,
    "mobilenet_v1": MOBILENET_V1,
    "mobilenet_v2": MOBILENET_V2,
}


# ---- layout


def recipe(target: Target) -> Recipe:
    """From Keras's layout to ours."""
    names = (first_of(target.names, *ARRAYS[target.array]),)
    if target.array == "running_mean" and target.unbiased:
        biases = first_of(target.unbiased, *ARRAYS["b"])
        return Recipe(names, without_bias, "", (biases,), "minus the convolution's bias")
    if target.array != "w":
        return Recipe(names, lambda array: array)
    if isinstance(target.layer, Conv2d):
        if target.layer.groups > 1 and target.layer.groups == target.layer.in_channels:
            return Recipe(names, from_depthwise, "(KH, KW, C, M) to (C*M, 1, KH, KW)")
        return Recipe(names, from_conv, "(KH, KW, C, F) to (F, C, KH, KW)")
    if target.flattened:
        chw = target.flattened
        return Recipe(names, lambda array: from_dense(array, chw), f"(in, out) to (out, in), in from (H, W, C) to {chw}")
    return Recipe(names, from_dense, "(in, out) to (out, in)")


def from_conv(kernel: np.ndarray) -> np.ndarray:
    """(KH, KW, C, F) to (F, C, KH, KW).

    >>> from_conv(np.zeros((3, 5, 8, 16))).shape
    (16, 8, 3, 5)
    """
    return kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel


def from_depthwise(kernel: np.ndarray) -> np.ndarray:
    """(KH, KW, C, M) to (C*M, 1, KH, KW).

    >>> from_depthwise(np.zeros((3, 5, 8, 2))).shape
    (16, 1, 3, 5)
    """
    if kernel.ndim != 4:
        return kernel
    KH, KW, C, M = kernel.shape
    return kernel.transpose(2, 3, 0, 1).reshape(C * M, 1, KH, KW)


def from_dense(kernel: np.ndarray, flattened: tuple[int, int, int] | None = None) -> np.ndarray:
    """(in, out) to (out, in); the kernel of a 1x1 convolution, (1, 1, in, out), likewise.

    With ``flattened`` (C, H, W) the inputs are the numbers of a map, which Keras reads with the channels last, and we first.

    >>> from_dense(np.arange(4.0)[:, None], flattened=(2, 1, 2))
    array([[0., 2., 1., 3.]])
    """
    if kernel.ndim == 4 and kernel.shape[:2] == (1, 1):
        kernel = kernel[0, 0]
    if kernel.ndim != 2:
        return kernel
    if flattened and np.prod(flattened) == len(kernel):
        C, H, W = flattened
        kernel = kernel.reshape(H, W, C, -1).transpose(2, 0, 1, 3).reshape(len(kernel), -1)
    return kernel.T


# ---- form


def stride_first(model: Model) -> None:
    """Bottlenecks with the stride in their first convolution, as in the paper; ours have it in the second."""
    for _, block in model.walk():
        parts = block.children()
        if {"conv1", "conv2", "conv3"} <= set(parts):
            first, second = (parts[name].children()["conv"] for name in ("conv1", "conv2"))
            first.stride, second.stride = second.stride, first.stride


def set_norms(model: Model, eps: float, momentum: float) -> None:
    """The constants of all batch norms; ``momentum`` is the weight of the new batch, 1 minus Keras's."""
    for _, layer in model.walk():
        if isinstance(layer, BatchNorm2d):
            layer.eps, layer.momentum = eps, momentum


def resnet(model: Model) -> None:
    """The stride in front, and Keras's batch norm."""
    stride_first(model)
    set_norms(model, eps=1.001e-5, momentum=0.01)


def mobilenet_v2(model: Model) -> None:
    """TensorFlow's padding, which is uneven at stride 2, and its batch norm."""
    set_norms(model, eps=1e-3, momentum=0.001)
    for _, layer in model.walk():
        if isinstance(layer, Conv2d):
            layer.pad = "same"


KERAS = Source(
    name="keras",
    tables=TABLES,
    recipe=recipe,
    changes={"resnet": resnet, "mobilenet_v2": mobilenet_v2},
    # statistics and count of a Normalization, and what layers of random augmentation remember
    ignored=r"\^?(.*/)?(normalization|random_|seed_generator)\w*/.*",
    linear=(("/kernel", "/bias"), ("/0", "/1")),
    outputs_first=False,
)
