"""torchvision's names, and those of well-known PyTorch projects for networks that torchvision does not have.

A state dict calls arrays "layer.weight", "layer.bias", "layer.running_mean", "layer.running_var", and its layout is ours. The
layer's name is the path of attributes in the class that defined it; inside an ``nn.Sequential`` it is the place, counting the
layers without weights.

The CIFAR ResNets are those of Y. Idelbayev (github.com/akamaster/pytorch_resnet_cifar10) and, for ``resnet18_cifar``, of K. Liu
(github.com/kuangliu/pytorch-cifar); EfficientNet-Lite's names are those of L. Melas-Kyriazi's EfficientNet-PyTorch, in which
its weights are published.
"""

from __future__ import annotations

from math import prod

import numpy as np

from .base import Recipe, Source, Table, Target

ARRAYS = {"w": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}  # running_mean and running_var are called so by all


def unit(ours: str, theirs: str, conv: str, norm: str) -> Table:
    """The rows of a convolution and its norm, whose names begin with ``theirs``; each may have several names."""

    def names(last: str) -> str:
        return "|".join(f"{theirs}{name}" for name in last.split("|"))

    return ((f"{ours}.conv", names(conv)), (f"{ours}.norm", names(norm)))


# Also cut out of torchvision's as an nn.Sequential, as fastai does: conv1 is 0, bn1 is 1, layer1 is 4; and in the names of
# Hugging Face's transformers: embedder.embedder, encoder.stages.0.layers.0
HF_BLOCK = "encoder.stages.{s-2}.layers.{b-1}"
RESNET: Table = (
    *unit("conv1", "", "conv1|0|embedder.embedder.convolution", "bn1|1|embedder.embedder.normalization"),
    *unit(
        "conv{s}_{b}.sum.body.conv{k}",
        "",
        f"layer{{s-1}}.{{b-1}}.conv{{k}}|{{s+2}}.{{b-1}}.conv{{k}}|{HF_BLOCK}.layer.{{k-1}}.convolution",
        f"layer{{s-1}}.{{b-1}}.bn{{k}}|{{s+2}}.{{b-1}}.bn{{k}}|{HF_BLOCK}.layer.{{k-1}}.normalization",
    ),
    *unit(
        "conv{s}_{b}.sum.shortcut",
        "",
        *(
            f"layer{{s-1}}.{{b-1}}.downsample.{i}|layer{{s-1}}.{{b-1}}.shortcut.{i}|{{s+2}}.{{b-1}}.downsample.{i}"
            f"|{HF_BLOCK}.shortcut.{name}"
            for i, name in enumerate(("convolution", "normalization"))
        ),
    ),
)


def also_cut(table: Table) -> Table:
    """The same for ``net.features`` alone, which people take as the base of a network of their own."""
    return tuple(
        (ours, "|".join(dict.fromkeys([*theirs.split("|"), *(name.removeprefix("features.") for name in theirs.split("|"))])))
        for ours, theirs in table
    )


LENET: Table = (  # as it is usually written in PyTorch; c5 is a fully connected layer there
    ("c1", "conv1|c1|features.0"),
    ("c3", "conv2|c3|features.3"),
    ("c5", "fc1|c5|classifier.0"),
    ("f6", "fc2|f6|classifier.2"),
    ("output", "fc3|output|classifier.4"),
)
MOBILENET_V2: Table = (
    *unit("stem", "features.0.", "0", "1"),
    *unit("block0.depthwise", "features.1.conv.", "0.0", "0.1"),  # the first has nothing to widen
    *unit("block0.project", "features.1.conv.", "1", "2"),
    *(
        row
        for block in ("block{n}", "block{n}.body")  # without a shortcut, and with one
        for row in (
            *unit(f"{block}.expand", "features.{n+1}.conv.", "0.0", "0.1"),
            *unit(f"{block}.depthwise", "features.{n+1}.conv.", "1.0", "1.1"),
            *unit(f"{block}.project", "features.{n+1}.conv.", "2", "3"),
        )
    ),
    *unit("head", "features.18.", "0", "1"),
    ("classifier", "classifier.1|classifier"),
)
EFFICIENTNET: Table = (
    *unit("stem", "", "_conv_stem", "_bn0"),
    *(
        row
        for block in ("block{n}", "block{n}.body")
        for row in (
            *unit(f"{block}.expand", "_blocks.{n}.", "_expand_conv", "_bn0"),
            *unit(f"{block}.depthwise", "_blocks.{n}.", "_depthwise_conv", "_bn1"),
            *unit(f"{block}.project", "_blocks.{n}.", "_project_conv", "_bn2"),
        )
    ),
    *unit("head", "", "_conv_head", "_bn1"),
    ("classifier", "_fc"),
)
SQUEEZENET: Table = (  # conv and relu are one layer in our count, two in theirs
    ("conv1.conv", "features.0"),
    ("fire{n}.squeeze.conv", "features.{#+1}.squeeze"),
    ("fire{n}.expand.{k}.conv", "features.{#+1}.expand{k}"),
    ("conv10.conv", "classifier.1"),
)
GOOGLENET: Table = (
    *unit("conv1", "conv1.", "conv", "bn"),
    *unit("conv2_reduce", "conv2.", "conv", "bn"),
    *unit("conv2", "conv3.", "conv", "bn"),
    *unit("inception_{m}.1x1", "inception{m}.branch1.", "conv", "bn"),
    *unit("inception_{m}.3x3.reduce", "inception{m}.branch2.0.", "conv", "bn"),
    *unit("inception_{m}.3x3.3x3", "inception{m}.branch2.1.", "conv", "bn"),
    *unit("inception_{m}.second_3x3.reduce", "inception{m}.branch3.0.", "conv", "bn"),
    *unit("inception_{m}.second_3x3.3x3", "inception{m}.branch3.1.", "conv", "bn"),
    *unit("inception_{m}.pool.proj", "inception{m}.branch4.1.", "conv", "bn"),
    *unit("aux{i}.head.conv", "aux{i}.conv.", "conv", "bn"),
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
# What is counted beside weights: batches that a batch norm has seen, models in an average, operations (by the package thop)
COUNTERS = r"(.*\.)?(num_batches_tracked|n_averaged|total_ops|total_params)"
TABLES: dict[str, Table] = {
    "alexnet_torchvision": also_cut(
        (
            ("conv{n}", "features.{#}"),
            ("fc6", "classifier.1"),
            ("fc7", "classifier.4"),
            ("fc8", "classifier.6"),
        )
    ),
    "vgg": also_cut(VGG),
    "vgg_bn": also_cut(VGG),
    "googlenet_torchvision": GOOGLENET,
    "resnet": (*RESNET, ("fc", "fc|linear")),
    "cifar_resnet": (*RESNET, ("fc", "linear|fc")),
    "lenet": LENET,
    "squeezenet": also_cut(SQUEEZENET),
    "mobilenet_v2": also_cut(MOBILENET_V2),
    "efficientnet": EFFICIENTNET,
}


def recipe(target: Target) -> Recipe:
    """PyTorch's layout is ours. A bias that our convolution does not have is subtracted from the mean of the norm above it.

    Where one has a fully connected layer and the other a convolution that covers its whole input, the numbers are the same.
    """
    array = ARRAYS.get(target.array, target.array)
    names = (tuple(f"{name}.{array}" for name in target.names),)
    if target.array == "running_mean" and target.unbiased:
        biases = tuple(f"{name}.bias" for name in target.unbiased)
        return Recipe(names, without_bias, "", (biases,), "minus the convolution's bias")
    if target.array != "w":
        return Recipe(names, lambda array: array)
    shape = target.layer.parameters()["w"].value.shape
    return Recipe(
        names, lambda array: array.reshape(shape) if array.ndim != len(shape) and array.size == prod(shape) else array
    )


def without_bias(mean: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """norm(w * x + b) with the mean m is norm(w * x) with the mean m - b."""
    return mean if bias is None or bias.shape != mean.shape else mean - bias


TORCHVISION = Source(
    name="torchvision",
    tables=TABLES,
    recipe=recipe,
    forms={"alexnet": "alexnet_torchvision", "googlenet": "googlenet_torchvision"},
    # also GoogLeNet's auxiliary heads, if ours has none
    ignored=rf"{COUNTERS}|aux[12]\..*",
    linear=((".weight", ".bias"),),
    remarks={
        "lenet": "a file does not say how maps are padded and pooled, nor the activation: taken are a padding of 2 in the "
        "first convolution, for pictures of 28 x 28, maximum pools and ReLU."
    },
)
