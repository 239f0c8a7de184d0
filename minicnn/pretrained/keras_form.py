"""What a Keras file says about its network besides the weights, put into a network of ours."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..data.preprocessing import Preprocessing
from ..layers import Conv2d, MaxPool2d
from ..models import ARCHITECTURES, Model
from .matching import last_map
from .names.base import Table, their_names
from .readers.keras_config import KerasModel
from .readers.keras_files import KerasArrays

READ_FROM_FILE = "How pixels become numbers was read from the layers in the file."
ENDS = ("linear", "softmax", "sigmoid")  # activations of the last layer: the scores are what goes into it
SIZE_HINT = "model.preprocessing = dataclasses.replace(model.preprocessing, size=(H, W), resize=None), and save the model again"
PADS_FOR_ONE_SIZE = ("mobilenet_v2",)  # whose padding Keras computes when it makes the network
HINT = "model.preprocessing = minicnn.data.preprocessing.Preprocessing(size=..., mean=..., std=...), and save the model again"


def described(arrays: Mapping[str, np.ndarray]) -> KerasModel | None:
    """What the description in a Keras file says; None if the arrays are from elsewhere, or the file has none."""
    return arrays.model if isinstance(arrays, KerasArrays) else None


def problem_with_head(model: KerasModel | None, usual: Model) -> str:
    """Why the head in the file is none that is built here: fully connected layers with ReLU between; empty if it is one.

    ``usual`` is the network below it, with its own head.
    """
    if model is None or not model.activations:
        return ""
    *hidden, last = model.activations.items()
    wrong = [f"{kind} after {layer}" for layer, kind in hidden if kind != "relu"]
    wrong += [f"{last[1]} after {last[0]}"] if last[1] not in ENDS else []
    wrong += model.others
    if model.head == "GlobalMaxPooling2D":
        wrong.insert(0, model.head)
    if len(model.pools) > sum(isinstance(layer, MaxPool2d) for _, layer in usual.walk()):
        wrong.insert(0, "MaxPooling2D")
    if model.average_pool and model.average_pool != (whole := last_map(usual, model.size or usual.input_shape[1:])[1:]):
        wrong.insert(0, f"AveragePooling2D of {model.average_pool} on a map of {whole}")
    return f"it has {', '.join(wrong)}" if wrong else ""


def adapt(model: Model, arrays: Mapping[str, np.ndarray], table: Table) -> list[str]:
    """Set padding, rounding and preprocessing as the Keras file has them; what is to be said about it.

    Parameters
    ----------
    model : Model
        Changed.
    arrays : mapping from name to array
        The file's; if they are not from a Keras file, nothing is changed.
    table : Table
        Keras's names of the layers.
    """
    if not isinstance(arrays, KerasArrays):
        return assumed_preparation(model)
    pools = [layer for _, layer in model.walk() if isinstance(layer, MaxPool2d)]
    for pool in pools:  # Keras has no pool that rounds up
        pool.ceil_mode = False
    places = {name: place for place, name in enumerate(model.layers)}
    names = {path: their_names(path, table, places.get(path.split(".")[0], 0)) for path, _ in model.walk()}
    if arrays.model is None:
        published = {name for several in names.values() for name in several}
        scores = model.output_shape((1, *model.input_shape))[1:]
        if all(name.rpartition("/")[0] in published for name in arrays) and (len(scores) > 1 or scores == (1000,)):
            return []
        return _notes_about_bare_weights(model)
    if len(pools) == len(arrays.model.pools):
        for pool, padding in zip(pools, arrays.model.pools, strict=True):
            pool.pad = padding
    for path, layer in model.walk():
        for name in names[path]:
            if isinstance(layer, Conv2d) and max(layer.stride) > 1 and name in arrays.model.pads:
                layer.pad = arrays.model.pads[name]
    return _prepare(model, arrays.model)


def _notes_about_bare_weights(model: Model) -> list[str]:
    """What a file of weights alone leaves open, and how it was taken."""
    size = "{} x {}".format(*model.input_shape[1:])
    notes = [
        f"The file does not describe its network, only its weights: taken are pictures of {size}, prepared as the published "
        f"weights need it. If yours were of another size, or scaled by a layer of it (Rescaling, Normalization), set {HINT}; "
        "or convert the file of model.save(), which says that."
    ]
    if model.architecture in PADS_FOR_ONE_SIZE:
        notes.append(
            "At stride 2 Keras pads as for the size of picture that the model was made for, and as for an even size where that "
            "was None; here it is the size of each picture. That is the same for sides that can be halved five times, such as "
            "224; for others convert the file of model.save()."
        )
    return notes


def _prepare(model: Model, found: KerasModel) -> list[str]:
    """Set the preprocessing that the layers of the file do, as far as they are understood."""
    if found.unread:
        return [
            f"The file prepares its pictures by {', '.join(found.unread)}, which is not read: find out what it does to "
            f"pixels of 0 to 255, and set {HINT}."
        ]
    usual = model.preprocessing
    if usual is None:
        return []
    new, notes = usual, []
    if found.stretched:
        new = replace(new, resize=None, fit="stretch")
    if found.prepares:
        channels = "L" if model.input_shape[0] == 1 else "BGR" if found.reversed else "RGB"
        mean, std = 0.0 - found.offset / found.scale, 1 / found.scale  # 0.0 - 0.0 is not -0.0
        try:
            new = Preprocessing(**new.to_dict() | {"channels": channels, "mean": _row(mean), "std": _row(std), "resize": None})
        except ValueError as error:
            return [f"The file prepares its pictures as (x - {mean}) / {std}, which cannot be set here ({error}): set {HINT}."]
        notes.append(READ_FROM_FILE)
    else:
        notes += assumed_preparation(model)
    if found.size and found.stretched is None and (found.prepares or found.size != (224, 224)):
        notes.append(
            "How pictures were brought to their size is not in the file; here they are cropped. If they were stretched in "
            "training, as image_dataset_from_directory does, set model.preprocessing = dataclasses.replace("
            "model.preprocessing, fit='stretch', resize=None)."
        )
    model.preprocessing = new
    return notes


def assumed_preparation(model: Model) -> list[str]:
    """What is to be said where a file does not tell how pictures are prepared, and has classes of its own."""
    scores = model.output_shape((1, *model.input_shape))[1:]
    published = inspect.signature(ARCHITECTURES[model.architecture]).parameters["num_classes"].default
    if model.preprocessing is None or model.preprocessing.channels == "L" or len(scores) > 1 or scores == (published,):
        return []
    return [
        "The arrays do not say how pixels become numbers: taken is what the published weights need. If yours were prepared in "
        f"another way, only divided by 255, say, set {HINT}."
    ]


def _row(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(np.float32(value)) for value in values)
