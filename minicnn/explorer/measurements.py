"""What the page is told because it would take too long to find out by itself: scores, occlusion, Grad-CAM, neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..inference.batches import infer
from ..inference.fusion import fuse
from ..models import Model
from ..models.predictions import probabilities
from ..transfer.inputs import Inputs
from ..viz import grad_cam, nearest_neighbours
from ..viz.occlusion import occluded_probabilities
from .arrays import stored_type

NAMED_CLASSES = 5  # of a picture: how many of the most probable classes the occlusion is followed for
CELLS = 8  # along the picture's short side
PATCH = 1.5  # side of the patch, in cells
NEIGHBOURS = 5


def half_precision(model: Model) -> Model:
    """A copy of the model with its filters and matrices rounded to half precision, as the page has them."""
    rounded = model.copy().eval()
    for parameter in rounded.parameters().values():
        parameter.value = parameter.value.astype(stored_type(parameter.value)).astype(np.float32)
    return rounded


def scores_of(model: Model, inputs: Inputs, label: str | None = None) -> np.ndarray:
    """The scores of all pictures, one view of each."""
    return infer(fuse(model), inputs.count, lambda rows: inputs.preprocessing.normalise(inputs.pixels(rows)), label=label)


def choose_pictures(scores: np.ndarray, labels: Sequence[int | None], most: int) -> list[int]:
    """Which pictures the page shows: first mistakes, the surest first, up to two thirds; then others, class by class.

    >>> scores = np.array([[0.0, 9], [9, 0], [0, 5], [0, 1]])
    >>> choose_pictures(scores, [0, 0, 0, 1], most=3)
    [0, 2, 1]
    """
    p = probabilities(scores)
    predicted = p.argmax(1)
    surest = np.argsort(-p.max(1), kind="stable").tolist()
    wrong = [i for i in surest if labels[i] is not None and labels[i] != predicted[i]]
    others = [i for i in range(len(p)) if i not in set(wrong)]
    turn, seen = {}, {}  # of each picture: how many of its class come before it
    for i in others:
        turn[i] = seen[predicted[i]] = seen.get(predicted[i], -1) + 1
    others.sort(key=lambda i: (turn[i], predicted[i]))
    room = max(most - len(others), -(-2 * most // 3))
    return (wrong[:room] + others)[:most]


def confusion(scores: np.ndarray, labels: Sequence[int | None]) -> list[list[int]] | None:
    """[class, answer, number of pictures], where there are any; None where no class is known."""
    known = [i for i, label in enumerate(labels) if label is not None]
    if not known:
        return None
    pairs = np.stack([[labels[i] for i in known], probabilities(scores)[known].argmax(1)], axis=1)
    cells, counts = np.unique(pairs, axis=0, return_counts=True)
    return np.column_stack([cells, counts]).tolist()


def named_classes(p: np.ndarray, label: int | None) -> list[int]:
    """The most probable classes of a picture, and its own."""
    classes = np.argsort(-p, kind="stable")[:NAMED_CLASSES].tolist()
    return classes if label is None or label in classes else [*classes, label]


def grad_cams(model: Model, x: np.ndarray, classes: Sequence[Sequence[int]]) -> list[np.ndarray] | None:
    """For each picture a map (h, w) of each of its classes; None for a network without feature maps."""
    rows = [(n, k) for n, of_picture in enumerate(classes) for k in of_picture]
    try:
        maps = grad_cam(model, x[[n for n, _ in rows]], [k for _, k in rows])
    except ValueError:
        return None
    return [np.stack([m for m, (row, _) in zip(maps, rows, strict=True) if row == n]) for n in range(len(classes))]


def occlusions(model: Model, x: np.ndarray, classes: Sequence[Sequence[int]], progress: bool) -> dict[str, Any]:
    """The side of patch and cell in pixels, and for each picture the probabilities of its classes, (rows, columns, classes)."""
    stride = -(-min(x.shape[2:]) // CELLS)
    patch = min(round(PATCH * stride), min(x.shape[2:]))
    covered, _ = occluded_probabilities(model, x, patch, stride, progress)
    return {
        "patch": patch,
        "stride": stride,
        "probabilities": [of_picture[:, :, k] for of_picture, k in zip(covered, classes, strict=True)],
    }


def neighbours(known: np.ndarray, codes: np.ndarray, rows: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray]:
    """The nearest known codes of each code, (Q, k), and their distances.

    Where the codes are themselves among the known ones, ``rows`` are their places, and each gets the nearest others.
    """
    among = np.arange(len(known))
    k = min(NEIGHBOURS, len(known) - (rows is not None))
    if k < 1:
        return np.zeros((len(codes), 0), np.int64), np.zeros((len(codes), 0))
    queries = range(len(known), len(known) + len(codes)) if rows is None else rows
    return nearest_neighbours(np.concatenate([known, codes]), queries, k, among=among)
