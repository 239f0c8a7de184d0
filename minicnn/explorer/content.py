"""A network and pictures become a page: `explore`."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from .. import __version__
from ..data.picture_set import PictureSet
from ..data.preprocessing import TEST_TIME_VIEWS
from ..inference.batches import infer
from ..inference.fusion import fuse
from ..models import Model
from ..models.predictions import number_of_classes, probabilities
from ..text import counted, named
from ..transfer.features import extract_features
from ..transfer.inputs import Inputs, inputs_of
from . import measurements
from .arrays import ArrayPack, stored_type
from .graph import Node, nodes_of
from .page import Page, build_page

FORMAT = 1
PICTURES = 24
THUMBNAIL = 64  # pixels
MOST_WEIGHTS = 16_000_000  # of a layer; the outputs of larger ones are in the page, and their weights are not


def explore(
    model: Model,
    pictures: PictureSet | Sequence[Any] | np.ndarray,
    labels: Sequence[int | str | None] | None = None,
    *,
    names: Sequence[str] | None = None,
    training: PictureSet | Sequence[Any] | np.ndarray | None = None,
    training_labels: Sequence[int | str | None] | None = None,
    training_names: Sequence[str] | None = None,
    training_codes: np.ndarray | None = None,
    before: Model | None = None,
    most: int = PICTURES,
    title: str | None = None,
    progress: bool = True,
    log: Callable[[str], None] = lambda text: None,
) -> Page:
    """A page in which the network can be explored on these pictures, from its mistakes down to a single multiplication.

    The page holds the network, its filters and matrices in half precision, and computes by itself, in the browser. It loads
    nothing from anywhere.

    Parameters
    ----------
    model : Model
        With a preprocessing, and scores of classes as its output.
    pictures : PictureSet, list of what ``model.preprocess`` takes, or uint8 (N, H, W, C) of the network's size
    labels : (N,) of class names or numbers, or None for unknown ones, optional
        A PictureSet brings its own, by the names of its classes.
    names : (N,) of str, optional
        What the pictures are called; a PictureSet brings the names of its files.
    training, training_labels, training_names : optional
        The pictures that the network was trained on, in the same forms: of each picture, the nearest of them are shown. If it
        is ``pictures`` itself, of each the nearest others.
    training_codes : (M, D), optional
        Their codes right below the classifier, where they are known already.
    before : Model, optional
        The network before it was fine-tuned, to switch to.
    most : int
        How many pictures the page holds: of the mistakes the surest first, up to two thirds, then others of every class.
    title : str, optional
    progress : bool
        Show bars where something takes over two seconds.
    log : function
        Is told in a line what the page will hold and how large it will be, before anything that takes long.

    Raises
    ------
    ValueError
        For a model without preprocessing or whose output is not scores of classes, labels that do not fit, no pictures, or
        a network before that takes other pictures.
    PictureError
        For what is no picture.
    """
    model.number_of_scores()
    if most < 1:
        raise ValueError(f"most is the number of pictures in the page, at least 1, got {most}")
    if before is not None and before.input_shape[0] != model.input_shape[0]:
        channels = before.input_shape[0], model.input_shape[0]
        raise ValueError(f"the network before takes {channels[0]} channels and this one {channels[1]}: not the same pictures")
    K = number_of_classes(model.output_shape((1, *model.input_shape)))
    classes = model.classes or [f"class {k}" for k in range(K)]
    given = _gallery(model, classes, pictures, labels, names)
    known = None if training is None else _gallery(model, classes, training, training_labels, training_names)
    networks = [measurements.half_precision(network) for network in (model, before) if network is not None]
    pack = ArrayPack()
    shape = (model.input_shape[0], *given.inputs.pixels(np.array([0])).shape[1:3])
    nodes = nodes_of(networks[0], shape)
    described = [_describe(node, pack) for node in nodes]
    if before is not None:
        _add_before(described, nodes, nodes_of(networks[1], shape), pack)
        if not any(node["parameters"] and node["arrays"][1] is not None for node in described):
            raise ValueError(
                f"{before.architecture} has no layer like those of {model.architecture}: it is not what was fine-tuned"
            )
    log(_announcement(shape, min(most, len(given.labels)), pack))

    scores = measurements.scores_of(networks[0], given.inputs, "scores" if progress else None)
    chosen = measurements.choose_pictures(scores, given.labels, most)
    pixels = given.inputs.pixels(np.array(chosen))
    x = given.inputs.preprocessing.normalise(pixels)
    p = probabilities(scores[chosen])
    cells = measurements.confusion(scores, given.labels)
    followed = [measurements.named_classes(row, given.labels[i]) for row, i in zip(p, chosen, strict=True)]
    entries = [
        {"name": given.names[i], "label": given.labels[i], "pixels": pack.add_pixels(picture), "neighbours": None}
        for i, picture in zip(chosen, pixels, strict=True)
    ]
    _add_attribution(entries, networks[0], x, followed, pack, progress)
    _add_outputs(entries, described, networks, x, pack)
    neighbours = []
    if known is not None:
        codes = training_codes if training_codes is not None else extract_features(model, training, progress=progress)
        of_chosen = codes[chosen] if training is pictures else extract_features(model, x, progress=progress)
        neighbours = _add_neighbours(entries, known, codes, of_chosen, chosen if training is pictures else None, pack)
    preprocessing = given.inputs.preprocessing
    data = {
        "format": FORMAT,
        "title": title or f"{model.architecture} on {counted(len(given.labels), 'picture')}",
        "made": {"minicnn": __version__, "date": datetime.date.today().isoformat()},
        "classes": classes,
        "single_score": scores.shape[1] == 1,
        "views": TEST_TIME_VIEWS[preprocessing.symmetry],  # of a picture, over which ``predict`` averages; the page shows one
        "input": {
            "shape": list(shape),
            "channels": preprocessing.channels,
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
        },
        "networks": [{"name": "fine-tuned"}, {"name": "before"}] if before else [{"name": model.architecture}],
        "nodes": described,
        "arrays": pack.entries,
        "pictures": entries,
        "training": neighbours,
        "same_collection": training is pictures,  # the neighbours are pictures of the same collection
        "confusion": None if cells is None else {"cells": cells, "of": sum(n for _, _, n in cells)},
        "rounding": {"same": _same_in_full_precision(model, x, p), "of": len(chosen)},
    }
    return build_page(data, pack)


@dataclass(frozen=True)
class Gallery:
    """Pictures in any form, each with a name and the number of its class, None where unknown or none of the network's."""

    inputs: Inputs
    labels: list[int | None]
    names: Sequence[str]


def _gallery(
    model: Model, classes: Sequence[str], pictures: Any, labels: Sequence | None, names: Sequence[str] | None
) -> Gallery:
    inputs = inputs_of(model, pictures)
    if inputs.count == 0 or inputs.preprocessing is None:
        raise ValueError("explore needs at least one picture, in a form that the model's preprocessing takes")
    if isinstance(pictures, PictureSet):
        if labels is None:
            known = [name if name in classes else None for name in pictures.classes]
            labels = [known[label] for label in pictures.labels]
        names = [pictures.file_name(i) for i in range(len(pictures))] if names is None else names
    labels = [None] * inputs.count if labels is None else labels
    names = [f"picture {i + 1}" for i in range(inputs.count)] if names is None else names
    for what, values in (("label", labels), ("name", names)):
        if len(values) != inputs.count:
            raise ValueError(f"expected a {what} for each of {inputs.count} pictures, got {len(values)}")
    return Gallery(inputs, [_class_number(label, classes) for label in labels], names)


def _class_number(label: int | str | None, classes: Sequence[str]) -> int | None:
    if isinstance(label, str) and label in classes:
        return classes.index(label)
    if label is not None and (isinstance(label, str) or not 0 <= label < len(classes)):
        raise ValueError(f"{label!r} is no class of this network; its classes are {named(classes)}")
    return None if label is None else int(label)


# ---- the network


def _describe(node: Node, pack: ArrayPack) -> dict:
    parameters = node.layer.parameters().values() if node.layer else ()
    trained = sum(parameter.value.size for parameter in parameters if parameter.trainable)
    size = sum(parameter.value.size for parameter in parameters)
    is_opaque = node.is_opaque or size > MOST_WEIGHTS
    field = node.receptive_field
    return {
        "path": node.path,
        "type": node.type,
        "inputs": node.inputs,
        "shape": list(node.shape),
        "group": node.group if node.inputs else "",
        "config": node.config,
        "parameters": size,
        "multiply_adds": node.multiply_adds,
        "trainable": "-" if not size else "yes" if trained == size else "partly" if trained else "no",
        "arrays": [{} if is_opaque else _packed(node, pack)],
        "moved": None,
        "opaque": is_opaque,
        "receptive_field": field and {"first": list(field.first), "last": list(field.last), "stride": list(field.stride)},
    }


def _packed(node: Node, pack: ArrayPack) -> dict[str, int]:
    return {name: pack.add(array.astype(stored_type(array))) for name, array in node.arrays().items()}


def _add_before(described: list[dict], nodes: list[Node], before: list[Node], pack: ArrayPack) -> None:
    """The arrays of the network before, where it has the same layer; how far the weights have moved since."""
    by_path = {(node.path, node.type): node for node in before}
    for entry, node in zip(described, nodes, strict=True):
        other = by_path.get((node.path, node.type))
        arrays, old = node.arrays(), other.arrays() if other else {}
        if other is None or {name: a.shape for name, a in arrays.items()} != {name: a.shape for name, a in old.items()}:
            entry["arrays"].append(None)
            continue
        entry["arrays"].append({} if entry["opaque"] else _packed(other, pack))
        trained = list(node.layer.parameters()) if node.layer else []
        if trained:
            moved, length = (
                np.sqrt(sum(float(np.sum(np.square(a, dtype=np.float64))) for a in differences))
                for differences in ([arrays[name] - old[name] for name in trained], [old[name] for name in trained])
            )
            entry["moved"] = moved / length if length else float(moved > 0)


def _announcement(shape: tuple[int, int, int], pictures: int, pack: ArrayPack) -> str:
    C, H, W = shape
    network, others = 4 / 3 * pack.size, 4 / 3 * pictures * 0.7 * C * H * W
    return (
        f"the page will take about {(network + others) / 1e6:.1f} MB: the network {network / 1e6:.1f} MB, "
        f"{counted(pictures, 'picture')} {others / 1e6:.1f} MB"
    )


def _same_in_full_precision(model: Model, x: np.ndarray, p: np.ndarray) -> int:
    """Of how many pictures the class is the same in full precision."""
    full = infer(fuse(model), len(x), lambda rows: x[rows], finish=probabilities)
    return int((full.argmax(1) == p.argmax(1)).sum())


# ---- the pictures


def _add_attribution(
    entries: list[dict], model: Model, x: np.ndarray, followed: list[list[int]], pack: ArrayPack, progress: bool
) -> None:
    maps = measurements.grad_cams(model, x, followed)
    occlusion = measurements.occlusions(model, x, followed, progress)
    for n, (entry, classes) in enumerate(zip(entries, followed, strict=True)):
        entry["grad_cam"] = None
        if maps is not None:
            largest = np.maximum(maps[n].max(axis=(1, 2), keepdims=True), 1e-30)
            entry["grad_cam"] = {"classes": classes, "maps": pack.add(np.round(255 * maps[n] / largest).astype(np.uint8))}
        of_picture = pack.add(occlusion["probabilities"][n].astype(np.float16))
        entry["occlusion"] = {
            "patch": occlusion["patch"],
            "stride": occlusion["stride"],
            "probabilities": of_picture,
            "classes": classes,
        }


def _add_outputs(entries: list[dict], described: list[dict], networks: list[Model], x: np.ndarray, pack: ArrayPack) -> None:
    """The scores of the networks, and the outputs of the layers that the page cannot compute."""
    opaque = {number: node["path"] for number, node in enumerate(described) if node["opaque"]}
    for n, entry in enumerate(entries):
        entry["scores"], entry["opaque"] = [], {}
        for k, network in enumerate(networks):
            is_complete = all(node["arrays"][k] is not None for node in described)
            entry["scores"].append(network.forward(x[n : n + 1])[0].tolist() if is_complete else None)
            outputs = network.forward(x[n : n + 1], opaque.values()) if opaque and is_complete else {}
            for number, path in opaque.items():
                index = pack.add(outputs[path][0].astype(np.float32)) if outputs else None
                entry["opaque"].setdefault(number, []).append(index)


def _add_neighbours(
    entries: list[dict], known: Gallery, codes: np.ndarray, of_chosen: np.ndarray, rows: Sequence[int] | None, pack: ArrayPack
) -> list[dict]:
    """Number and distance of each picture's nearest training pictures; returns those that are some picture's."""
    nearest, distances = measurements.neighbours(codes, of_chosen, rows)
    shown = np.unique(nearest)
    for entry, row, of_row in zip(entries, np.searchsorted(shown, nearest).tolist(), distances.tolist(), strict=True):
        entry["neighbours"] = [{"training": i, "distance": round(far, 4)} for i, far in zip(row, of_row, strict=True)]
    return [
        {"name": known.names[i], "label": known.labels[i], "thumbnail": pack.add_pixels(_thumbnail(pixels))}
        for i, pixels in zip(shown, known.inputs.pixels(shown), strict=True)
    ]


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return np.asarray(picture)
