"""The network that a file's arrays are for: as wide as they are, with its classes and channels, and the head on it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..data.preprocessing import CHANNELS, Preprocessing
from ..layers import Linear
from ..models import ARCHITECTURES, Model
from ..models.published import IMAGENET
from .alternatives import LEAST_SHARE
from .keras_form import SIZE_HINT, problem_with_head
from .matching import Match, square_pictures
from .names import Source, family_of
from .names.base import Table
from .own_heads import Dense, code_size, dense_layers, find_head, last_channels, table_with, with_head
from .readers.keras_config import KerasModel
from .untrained import as_wide, untrained
from .wrapping import OUTSIDE, Wrapped, is_helper

GREY = (float(np.mean(IMAGENET.mean)), float(np.mean(IMAGENET.std)))  # mean and standard deviation of ImageNet's pixels


@dataclass(frozen=True)
class Network:
    """A network as large as the arrays are, and what they are for it.

    ``reason`` says why what is on it in the file could not be built, where that is so.
    """

    model: Model
    match: Match
    notes: list[str]
    reason: str


def network_for(
    usual: Model,
    wrapped: Wrapped,
    source: Source,
    table: Table,
    build: dict[str, Any],
    partial: bool,
    rng: np.random.Generator | int | None,
    described: KerasModel | None = None,
) -> Network:
    """The network that the arrays are for: as large as they are, in the form and with the preprocessing of their source.

    ``described`` is what a Keras file says of its network.
    """
    form, arrays, notes = usual.architecture, dict(wrapped.arrays), []
    constructor, family = ARCHITECTURES[form], family_of(form)
    takes = inspect.signature(constructor).parameters
    if (wider := as_wide(form, build, arrays, source, table)) != build:
        build, usual = wider, untrained(form, wider)
        notes.append(f"The network in the file is {build['width']:.3g} times as wide as usual, and so is this one.")
    other = Match(usual, arrays, source, table).other_sizes(usual, takes)
    if "input_shape" in build and "input_shape" in other:
        build = build | {"input_shape": (other["input_shape"][0], *build["input_shape"][1:])}
    head, reason = _head_of(usual, arrays, source, table)
    if head and (problem := problem_with_head(described, usual)):
        head, reason = [], f"The head that the network has in the file cannot be built here: {problem}."
    if "num_classes" in build:  # then a classifier is wanted, whether the file has one or not
        other.pop("include_top", None)
        if head and head[-1].outputs != build["num_classes"]:
            name = head[-1].name.removeprefix(OUTSIDE)
            head, reason = [], f"The file's own head, {name}, gives {head[-1].outputs} scores, not {build['num_classes']}."
    size = build.get("input_shape", other.get("input_shape", ()))[1:] or (described.size if described else None)
    if head and head[0].inputs not in (code_size(usual), last_channels(usual)) and not size:
        size = square_pictures(usual, head[0].inputs)
        if "input_shape" in takes:
            other["input_shape"] = (*other.get("input_shape", usual.input_shape)[:1], *size)
    if size and "input_shape" not in build and not (described and described.size) and size != usual.input_shape[1:]:
        notes.append(
            f"For what size of picture the network was made is not in the file: {size[0]} x {size[1]} is the smallest square "
            "whose last map has as many numbers as the first fully connected layer takes. If yours was another one, "
            f"{'give it (--size HEIGHTxWIDTH).' if 'input_shape' in takes else f'set {SIZE_HINT}.'}"
        )
    auxiliary = {"aux": False} if "aux" in takes and "aux" not in build else {}
    lacks_classifier = not other.get("include_top", True) and "include_top" not in build
    build = other | auxiliary | build
    if head:
        model = constructor(**build | {"include_top": True}, rng=rng)
        model = with_head(model, head, rng)
        table = table_with(head, model, table)
        notes.append(_note_about_head(head, is_told=described is not None))
        for layer in head:
            if layer.bias not in arrays:
                arrays[layer.bias] = np.zeros(layer.outputs, np.float32)
                wrapped.theirs[layer.bias] = "(no bias: zeros)"
    else:
        model = constructor(**build, rng=rng)
        if lacks_classifier:
            notes.append("The file has no classifier, and neither has the network.")
    if family in source.changes:
        source.changes[family](model)
        model.provenance["form"] = f"changed from the usual {form} to that of {source.name}"
    channels = model.input_shape[0]
    model.preprocessing = source.preprocessing_of(form)
    if size:
        model.preprocessing = _sized(model.preprocessing, size)
    model.input_shape = (channels, *model.preprocessing.size)
    if channels != CHANNELS[model.preprocessing.channels]:
        model.preprocessing, note = _for_channels(model.preprocessing, channels)
        notes.append(note)
    return Network(model, Match(model, arrays, source, table), notes, reason)


def _head_of(usual: Model, arrays: Mapping[str, np.ndarray], source: Source, table: Table) -> tuple[list[Dense], str]:
    """The fully connected layers that are on the network in the place of its own, and why they cannot be built if so.

    No layers and no reason: it has its own, or none.
    """
    features = code_size(usual)
    if features is None or not source.linear:
        return [], ""
    match = Match(usual, arrays, source, table)
    if match.fitting() < LEAST_SHARE * len(match.targets):  # another network
        return [], ""
    dense = [name for name, target in match.targets.items() if isinstance(target.layer, Linear) and target.array == "w"]
    first, last = dense[0], dense[-1]
    its_own = all(
        name in match.used
        and (name == last or match.make(name).shape[0] == match.shape(name)[0])
        and (name == first or match.make(name).shape[1:] == match.shape(name)[1:])
        for name in dense
    )
    if its_own and f"{last[:-2]}.b" in match.used:
        return [], ""
    below = {name for ours, names in match.used.items() if ours.rpartition(".")[0] + ".w" not in dense for name in names}
    rest = {
        name: array
        for name, array in arrays.items()
        if name not in below and not re.fullmatch(source.ignored, name) and not is_helper(name, array)
    }
    head, reason = find_head(rest, source, features)
    for inputs in () if head else _other_codes(usual, rest, source):
        if head := find_head(rest, source, inputs)[0]:
            return head, ""
    if reason:
        reason = f"The head that the network has in the file cannot be built here: {reason}."
    return head, reason


def _other_codes(usual: Model, arrays: Mapping[str, np.ndarray], source: Source) -> list[int]:
    """How many numbers a head may take where the last map is averaged in the place of being flattened, or the reverse."""
    channels = last_channels(usual)
    first = next((layer.inputs for layer in dense_layers(arrays, source)), 0)
    return [] if channels is None else [channels, *([first] if first and first % channels == 0 else [])]


def _note_about_head(head: list[Dense], is_told: bool) -> str:
    sizes = " to ".join(map(str, [head[0].inputs, *(layer.outputs for layer in head)]))
    names = ", ".join(layer.name.removeprefix(OUTSIDE) for layer in head)
    between = "" if len(head) == 1 else "; between them a ReLU" + ("" if is_told else " is assumed, as the file does not say")
    return f"The classifier is the file's own: {names}, {sizes}{between}."


def _for_channels(preprocessing: Preprocessing, channels: int) -> tuple[Preprocessing | None, str]:
    """How pictures are prepared for a first layer of so many channels, and what is to be said about it."""
    if channels == 1:
        mean, std = GREY
        return replace(preprocessing, channels="L", mean=mean, std=std), (
            "Its first layer takes grey pictures. How they were prepared is not in the file; assumed are a mean of "
            f"{mean:.1f} and a standard deviation of {std:.1f} (of 0 to 255). If it was otherwise, set model.preprocessing and "
            "save the model again."
        )
    return None, (
        f"Its first layer takes {channels} channels, which no picture file has: the model has no preprocessing, and only "
        "forward(x) works."
    )


def _sized(preprocessing: Preprocessing, size: tuple[int, int]) -> Preprocessing:
    """The same for pictures of another size, with a margin around the crop in the same proportion."""
    resize = preprocessing.resize and max(round(preprocessing.resize * min(size) / min(preprocessing.size)), *size)
    return replace(preprocessing, size=size, resize=resize)
