"""torchvision's names, and those of well-known PyTorch projects for networks that torchvision does not have.

A state dict calls arrays "layer.weight", "layer.bias", "layer.running_mean", "layer.running_var", and its layout is ours. The
layer's name is the path of attributes in the class that defined it; inside an ``nn.Sequential`` it is the place, counting the
layers without weights.

The CIFAR ResNets are those of Y. Idelbayev (github.com/akamaster/pytorch_resnet_cifar10), EfficientNet-Lite's names those of
L. Melas-Kyriazi's EfficientNet-PyTorch, in which its weights are published.
"""

from __future__ import annotations

import numpy as np

from .base import Recipe, Source, Table, Target

ARRAYS = {"w": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}  # running_mean and running_var are called so by all


def _block(ours: str, theirs: str, conv: str, norm: str) -> Table:
    return ((f"{ours}.conv", f"{theirs}{conv}"), (f"{ours}.norm", f"{theirs}{norm}"))


RESNET: Table = (
    *_block("conv1", "", "conv1", "bn1"),
    ("conv{s}_{b}.sum.body.conv{k}.conv", "layer{s-1}.{b-1}.conv{k}"),
    ("conv{s}_{b}.sum.body.conv{k}.norm", "layer{s-1}.{b-1}.bn{k}"),
    *_block("conv{s}_{b}.sum.shortcut", "layer{s-1}.{b-1}.downsample.", "0", "1"),
)
MOBILENET_V2: Table = (
    *_block("stem", "features.0.", "0", "1"),
    *_block("block0.depthwise", "features.1.conv.", "0.0", "0.1"),  # the first has nothing to widen
    *_block("block0.project", "features.1.conv.", "1", "2"),
    *(
        row
        for block in ("block{n}", "block{n}.body")  # without a shortcut, and with one
        for row in (
            *_block(f"{block}.expand", "features.{n+1}.conv.", "0.0", "0.1"),
            *_block(f"{block}.depthwise", "features.{n+1}.conv.", "1.0", "1.1"),
            *_block(f"{block}.project", "features.{n+1}.conv.", "2", "3"),
        )
    ),
    *_block("head", "features.18.", "0", "1"),
    ("classifier", "classifier.1"),
)
EFFICIENTNET: Table = (
    *_block("stem", "", "_conv_stem", "_bn0"),
    *(
        row
        for block in ("block{n}", "block{n}.body")
        for row in (
            *_block(f"{block}.expand", "_blocks.{n}.", "_expand_conv", "_bn0"),
            *_block(f"{block}.depthwise", "_blocks.{n}.", "_depthwise_conv", "_bn1"),
            *_block(f"{block}.project", "_blocks.{n}.", "_project_conv", "_bn2"),
        )
    ),
    *_block("head", "", "_conv_head", "_bn1"),
    ("classifier", "_fc"),
)
SQUEEZENET: Table = (  # conv and relu are one layer in our count, two in theirs
    ("conv1.conv", "features.0"),
    ("fire{n}.squeeze.conv", "features.{#+1}.squeeze"),
    ("fire{n}.expand.{k}.conv", "features.{#+1}.expand{k}"),
    ("conv10.conv", "classifier.1"),
)
GOOGLENET: Table = (
    *_block("conv1", "conv1.", "conv", "bn"),
    *_block("conv2_reduce", "conv2.", "conv", "bn"),
    *_block("conv2", "conv3.", "conv", "bn"),
    *_block("inception_{m}.1x1", "inception{m}.branch1.", "conv", "bn"),
    *_block("inception_{m}.3x3.reduce", "inception{m}.branch2.0.", "conv", "bn"),
    *_block("inception_{m}.3x3.3x3", "inception{m}.branch2.1.", "conv", "bn"),
    *_block("inception_{m}.second_3x3.reduce", "inception{m}.branch3.0.", "conv", "bn"),
    *_block("inception_{m}.second_3x3.3x3", "inception{m}.branch3.1.", "conv", "bn"),
    *_block("inception_{m}.pool.proj", "inception{m}.branch4.1.", "conv", "bn"),
    *_block("aux{i}.head.conv", "aux{i}.conv.", "conv", "bn"),
    ("aux{i}.head.fc{k}", "aux{i}.fc{k}"),
    ("fc", "fc"),
)
VGG: Table = (
    ("conv{s}_{i}", "features.{#}"),
    ("norm{s}_{i}", "features.{#}"),
    ("fc6", "classifier.0"),
    ("fc7", "classifier.3"),
    ("fc8", "classifier.6"),
)
TABLES: dict[str, Table] = {
    "alexnet_torchvision": (
        ("conv{n}", "features.{#}"),
        ("fc6", "classifier.1"),
        ("fc7", "classifier.4"),
        ("fc8", "classifier.6"),
    ),
    "vgg": VGG,
    "vgg_bn": VGG,
    "googlenet_torchvision": GOOGLENET,
    "resnet": (*RESNET, ("fc", "fc")),
    "cifar_resnet": (*RESNET, ("fc", "linear")),
    "squeezenet": SQUEEZENET,
    "mobilenet_v2": MOBILENET_V2,
    "efficientnet": EFFICIENTNET,
}


def recipe(target: Target) -> Recipe:
    """PyTorch's layout is ours. A bias that our convolution does not have is subtracted from the mean of the norm above it."""
    array = ARRAYS.get(target.array, target.array)
    names = (tuple(f"{name}.{array}" for name in target.names),)
    if target.array == "running_mean" and target.unbiased:
        biases = tuple(f"{name}.bias" for name in target.unbiased)
        return Recipe(names, without_bias, "", (biases,), "minus the convolution's bias")
    return Recipe(names, lambda array: array)


def without_bias(mean: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """norm(w * x + b) with the mean m is norm(w * x) with the mean m - b."""
    return mean if bias is None or bias.shape != mean.shape else mean - bias


TORCHVISION = Source(
    name="torchvision",
    tables=TABLES,
    recipe=recipe,
    forms={"alexnet": "alexnet_torchvision", "googlenet": "googlenet_torchvision"},
    # the count of batches that a batch norm has seen; GoogLeNet's auxiliary heads, if ours has none
    ignored=r".*\.num_batches_tracked|aux[12]\..*",
)
