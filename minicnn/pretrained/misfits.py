"""Why a file does not fit: what its names tell of how it was made, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import numpy as np

from ..models import Model
from ..models.strict import Differences
from ..text import named
from .alternatives import better_architecture

# What arrays are called that stand for a weight and are not the weight itself -> whose they are, and what to do.
TELLTALES: dict[str, str] = {
    r"onnx::.*": "whoever exported the file had batch norms folded into the convolutions before them, and it does not say "
    "which layer each belongs to. Convert the network's state_dict instead, or export it again with the newest PyTorch, whose "
    "torch.onnx.export keeps the names",
    r".*\.weight_(orig|mask)": "the network was pruned, and each weight is a product. Call torch.nn.utils.prune.remove(layer, "
    '"weight") for these layers, and save its state_dict again',
    r".*\.(weight_[guv]|parametrizations\..+)": "these weights are computed from others, by weight norm, say. Call "
    'torch.nn.utils.parametrize.remove_parametrizations(layer, "weight"), or of the older kind remove_weight_norm(layer) or '
    "remove_spectral_norm(layer), and save its state_dict again",
    r".*[._]lora_.*": "it has changes of weights (LoRA) beside them. Put them into the weights with merge_and_unload(), and "
    "save its state_dict again",
    r".*\.(scale|zero_point|_packed_params.*)": "the network was quantised. Convert the one that it was made of",
}
NO_STATISTICS = (
    " All its norms lack mean and variance: it has norms of another kind (GroupNorm, InstanceNorm, or BatchNorm without "
    "running statistics), and no network here has those."
)
PARTIALLY = " A partial conversion (--partial) takes the network below it."


def explanation(
    differences: Differences,
    model: Model,
    arrays: Mapping[str, np.ndarray],
    architecture: str,
    reason: str,
    classes: int | None = None,
) -> str:
    """What an error says behind the differences: their cause, as far as it can be told, and the next step.

    Parameters
    ----------
    differences : Differences
    model : Model
        The network that the arrays should be for.
    arrays : mapping from name to array
        The file's.
    architecture : str
    reason : str
        Why the head that the file has cannot be built, if so.
    classes : int, optional
        How many were asked for.
    """
    if reason:
        return f" {reason}{PARTIALLY}"
    if told := _telltale(arrays):
        return told
    if differences.missing and all(re.search(r"running_(mean|var)$", name) for name in differences.missing):
        return NO_STATISTICS
    if classes and not differences.missing and _only_of(model.classifier_name, differences.unlike):
        return (
            f" Its classifier is for another number of classes than {classes}: leave that number out, or take --partial, which "
            "begins with a new classifier."
        )
    if not differences.missing and not differences.unlike:
        return (
            f" All that this {architecture} needs is there, and there is more that is not known here. A partial conversion "
            "(--partial) leaves it out: right if it is a classifier of your own or of use in training only, wrong if the "
            "scores depend on it."
        )
    return better_architecture(arrays, architecture) or f" Are these the weights of a {architecture}?"


def _only_of(layer: str, names: Collection[str]) -> bool:
    """Whether there are names, and all of this layer."""
    return bool(names) and all(name.rpartition(".")[0] == layer for name in names)


def _telltale(names: Collection[str]) -> str:
    for pattern, meaning in TELLTALES.items():
        if found := [name for name in names if re.fullmatch(pattern, name)]:
            return f" It has {named(found, most=3)}: {meaning}."
    return ""
