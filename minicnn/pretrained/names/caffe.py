"""Caffe's names, those of its Model Zoo and of the networks that their authors published as ``.caffemodel``.

A layer has blobs by number, "layer/0", "layer/1", .... Layout is ours: (F, C / groups, KH, KW). The traps:

- old files give every blob four axes, so that the weights of a fully connected layer are (1, 1, out, in);
- what others call batch norm is two layers. BatchNorm has the mean, the variance, and a factor by which both are still to be
  divided (0 stands for no data yet); Scale above it has gamma and beta;
- pools round up;
- pictures are BGR, 0 to 255, minus a mean.
"""

from __future__ import annotations

import string

import numpy as np

from ...layers import MaxPool2d
from ...models import Model
from .base import (
    Recipe,
    Source,
    Table,
    Target,
    first_of,
    without_leading_ones,
)
from .keras import stride_first
from .torchvision import without_bias

BLOBS = {"w": "0", "b": "1"}

GOOGLENET: Table = (
    ("conv1.conv", "conv1/7x7_s2"),
    ("conv2_reduce.conv", "conv2/3x3_reduce"),
    ("conv2.conv", "conv2/3x3"),
    ("inception_{m}.1x1.conv", "inception_{m}/1x1"),
    ("inception_{m}.pool.proj.conv", "inception_{m}/pool_proj"),
    ("inception_{m}.{k}.reduce.conv", "inception_{m}/{k}_reduce"),
    ("inception_{m}.{k}.{k2}.conv", "inception_{m}/{k}"),
    ("aux{i}.head.conv.conv", "loss{i}/conv"),
    ("aux{i}.head.fc1", "loss{i}/fc"),
    ("aux{i}.head.fc2", "loss{i}/classifier"),
    ("fc", "loss3/classifier"),
)
SQUEEZENET: Table = (
    ("conv1.conv", "conv1"),
    ("fire{n}.squeeze.conv", "fire{n}/squeeze1x1"),
    ("fire{n}.expand.{k}.conv", "fire{n}/expand{k}"),
    ("conv10.conv", "conv10"),
)


def _resnet() -> Table:
    """He's names. Blocks are a, b, c, ... in the short stages; in the long ones of 101 and 152 layers a, b1, b2, ....

    A norm is called as both its layers: bn2a_branch1 and scale2a_branch1.
    """
    rows = [("conv1.conv", "conv1"), ("conv1.norm", "_conv1"), ("fc", "fc1000")]
    for b in range(1, 37):
        letters = [string.ascii_lowercase[b - 1]] if b <= 26 else []
        numbered = [f"b{b - 1}"] if b > 1 else []
        for ours, branch in [("shortcut", "1"), *((f"body.conv{k}", f"2{'abc'[k - 1]}") for k in (1, 2, 3))]:
            where = [f"{{s}}{block}_branch{branch}" for block in letters + numbered]
            rows.append((f"conv{{s}}_{b}.sum.{ours}.conv", "|".join(f"res{name}" for name in where)))
            rows.append((f"conv{{s}}_{b}.sum.{ours}.norm", "|".join(where)))
    return tuple(rows)


TABLES: dict[str, Table] = {
    "alexnet": (("{name}", "{name}"),),
    "vgg": (("{stage}_{i}", "{stage}_{i}"), ("{name}", "{name}")),
    "googlenet": GOOGLENET,
    "resnet": _resnet(),
    "squeezenet": SQUEEZENET,
}


# ---- layout


def recipe(target: Target) -> Recipe:
    """From Caffe's blobs to our arrays."""
    axes = 1
    if target.array in BLOBS:
        axes = target.layer.parameters()[target.array].value.ndim
        return Recipe((first_of(target.names, BLOBS[target.array]),), lambda blob: without_leading_ones(blob, axes))
    if target.array in ("gamma", "beta"):
        scale = tuple(f"scale{name}" for name in target.names)
        blob = {"gamma": "0", "beta": "1"}[target.array]
        return Recipe((first_of(scale, blob),), lambda blob: without_leading_ones(blob, 1))
    norm = tuple(f"bn{name}" for name in target.names)
    factor = first_of(norm, "2")
    if target.array == "running_var":
        return Recipe((first_of(norm, "1"), factor), divided, "divided by the factor")
    biases = first_of(target.unbiased, "1")
    return Recipe((first_of(norm, "0"), factor), mean_of, "divided by the factor", (biases,), "minus the convolution's bias")


def divided(total: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """A statistic of a BatchNorm layer: the running sum over its weight; nothing summed up yet counts as 0.

    >>> divided(np.array([[[[4.0, 8.0]]]]), np.array([2.0]))
    array([2., 4.])
    """
    total = without_leading_ones(total, 1)
    weight = float(factor.ravel()[0]) if factor.size else 0.0
    return total / weight if weight else np.zeros_like(total)


def mean_of(total: np.ndarray, factor: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """The mean of a BatchNorm layer, minus the bias of the convolution below it, as ours has none."""
    return without_bias(divided(total, factor), None if bias is None else without_leading_ones(bias, 1))


# ---- form


def round_up(model: Model) -> None:
    """Pools whose last window may reach over the edge."""
    for _, layer in model.walk():
        if isinstance(layer, MaxPool2d):
            layer.ceil_mode = True


def resnet(model: Model) -> None:
    """The paper's: the stride in a bottleneck's first convolution, and a pool that starts at the edge."""
    stride_first(model)
    round_up(model)
    model.layers["pool1"].pad = (0, 0)


CAFFE = Source(
    name="caffe",
    tables=TABLES,
    recipe=recipe,
    changes={"vgg": round_up, "resnet": resnet},
    ignored=r"loss[12]/.*",  # GoogLeNet's auxiliary heads, if ours has none
    linear=(("/0", "/1"),),
    leading_ones=True,
)
