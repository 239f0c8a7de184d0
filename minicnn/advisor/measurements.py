"""The advisor's measurements: sizes, similarity, and the accuracy of linear classifiers on the codes of each layer.

One pass of the network over the pictures gives the codes of several layers and the old classifier's probabilities; everything
else is linear algebra on those. No training takes long.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from ..data.picture_set import PictureSet
from ..data.small_pixels import small_pixels
from ..errors import DataError
from ..inference.batches import infer
from ..inference.fusion import fuse
from ..layers import AdaptiveAvgPool2d, Layer, Sequential
from ..linear_model.cross_validation import CrossValidation, cross_validate
from ..linear_model.nearest_neighbours import knn_accuracy
from ..linear_model.permutation import TESTED_BELOW, permutation_test
from ..losses import softmax
from ..models.activations import activations
from ..models.model import Model
from ..transfer.features import pool_features
from ..transfer.learning_rates import parameters_of
from ..transfer.metrics import are_uneven
from ..transfer.similarity import Similarity, measure_similarity
from ..transfer.surgery import below_classifier
from ..transfer.transferability import h_score, leep, logme

MAX_LAYERS = 6  # whose codes are measured, from the lowest to the last
MAX_GRID = 4  # parts of the picture along each side, for codes that keep where in the picture something is
MAX_FEATURES = 4096  # in such a code: the grid is coarser for layers of many channels
SMALL_SIDE = 16  # pixels, of the small pictures that codes are compared with


@dataclass(frozen=True)
class CodeMeasurements:
    """The measurements of one kind of codes.

    Attributes
    ----------
    layer : str
    grid : int
        Feature maps are averaged over grid x grid parts of the picture; 1: over all of it.
    features : int
        Numbers in a code.
    probe : CrossValidation
        A linear classifier, cross-validated.
    knn : CrossValidation
        The nearest neighbours' majority, each picture left out in turn.
    logme, h_score : float
    """

    layer: str
    grid: int
    features: int
    probe: CrossValidation
    knn: CrossValidation
    logme: float
    h_score: float

    @property
    def title(self) -> str:
        return self.layer + (f", {self.grid} x {self.grid} parts" if self.grid > 1 else "")


@dataclass(frozen=True)
class Measurements:
    """All measurements that the advice is based on.

    Attributes
    ----------
    pictures : int
        Available to learn from: training and validation part, never the test part.
    measured : int
        How many of them were measured.
    counts : tuple of int
        Pictures of each class that are available to learn from.
    similarity : Similarity
    codes : tuple of CodeMeasurements
        From the lowest layer to the last one below the classifier.
    pixels : CrossValidation
        The same linear classifier on the pictures themselves, at 16 x 16: what can be reached without any network.
    leep : float or None
        None for a network without a classifier.
    parameters : int
        Of the network.
    p_value : float or None
        Of a permutation test of the linear classifier on the last codes; None from 100 pictures to learn from on.
    """

    pictures: int
    measured: int
    counts: tuple[int, ...]
    similarity: Similarity
    codes: tuple[CodeMeasurements, ...]
    pixels: CrossValidation
    leep: float | None
    parameters: int
    p_value: float | None = None

    @property
    def is_uneven(self) -> bool:
        """Whether some class has far more pictures than another one."""
        return are_uneven(np.array(self.counts))

    @property
    def per_class(self) -> float:
        """Pictures to learn from, per class on average; where classes are uneven, of the smallest one."""
        return float(min(self.counts)) if self.is_uneven else self.pictures / len(self.counts)

    @property
    def last(self) -> CodeMeasurements:
        """The codes right below the classifier."""
        return self.codes[-1]

    @property
    def plain(self) -> CrossValidation:
        """The best result with next to no pretraining: on pixels, or on the lowest layer's codes, edges and colours."""
        lowest = [entry.probe for entry in self.codes if entry.layer == self.codes[0].layer != self.last.layer]
        return max([self.pixels, *lowest], key=lambda probe: probe.accuracy)

    @property
    def earlier(self) -> CodeMeasurements | None:
        """The best codes of a lower layer by cross-validation, of equals the highest; None where there is no lower layer."""
        lower = [entry for entry in reversed(self.codes) if entry.layer != self.last.layer]
        return max(lower, key=lambda entry: entry.probe.accuracy, default=None)


def measure_pictures(model: Model, pictures: PictureSet, most: int, progress: bool = True) -> Measurements:
    """The measurements on at most ``most`` pictures, drawn at random within each class.

    Parameters
    ----------
    model : Model
        With its preprocessing; with or without a classifier.
    pictures : PictureSet
        Those to learn from. The test part must not be among them.

    Raises
    ------
    DataError
        If a class has fewer than two pictures.
    """
    counts = check_counts(pictures)
    fitted, used = pictures.subset(sample(pictures.labels, max(most, 5 * len(counts)))).fitted(model.preprocessing, progress)
    return measure_fitted(model, fitted, used.labels, tuple(counts.tolist()), progress)


def check_counts(pictures: PictureSet) -> np.ndarray:
    """How many pictures each class has; raises a DataError if one has fewer than two."""
    counts = np.bincount(pictures.labels, minlength=len(pictures.classes))
    if counts.min() < 2:
        few = ", ".join(f"{pictures.classes[k]!r} has {counts[k]}" for k in np.flatnonzero(counts < 2))
        raise DataError(
            f"{pictures.name}: to learn from some pictures and hold others back takes two of each class at least, and "
            f"beside the test part {few}; add pictures or remove the class"
        )
    return counts


def measure_fitted(
    model: Model, fitted: np.ndarray, y: np.ndarray, counts: tuple[int, ...] | None = None, progress: bool = True
) -> Measurements:
    """The measurements on pictures that have been fitted to the network's input size.

    Parameters
    ----------
    fitted : uint8 (N, H, W, C)
        As ``PictureSet.fitted`` gives them, in random order.
    y : int (N,)
        Class numbers; each class has two pictures at least.
    counts : tuple of int, optional
        Pictures of each class that are available to learn from, if there are more than these.
    progress : bool
        Show a bar.

    Raises
    ------
    DataError
        If there is one class only, or a class has a single picture.
    """
    counts = counts or tuple(np.bincount(y).tolist())
    balanced = are_uneven(np.array(counts))
    probe = partial(cross_validate, balanced=balanced)
    codes, probabilities = codes_and_probabilities(model, fitted, layers_to_try(model), progress)
    return Measurements(
        pictures=sum(counts),
        measured=len(y),
        counts=counts,
        similarity=measure_similarity(model, fitted, probabilities),
        codes=tuple(
            CodeMeasurements(
                layer, grid, x.shape[1], probe(x, y), knn_accuracy(x, y, balanced=balanced), logme(x, y), h_score(x, y)
            )
            for (layer, grid), x in codes.items()
        ),
        pixels=probe(small_pixels(fitted, SMALL_SIDE), y),
        leep=None if probabilities is None else leep(probabilities, y),
        parameters=parameters_of(model),
        p_value=permutation_test(list(codes.values())[-1], y, balanced=balanced) if sum(counts) < TESTED_BELOW else None,
    )


def sample(labels: np.ndarray, most: int) -> np.ndarray:
    """Indices of about ``most`` pictures, each class with its share and at least five; in random order, the same every time.

    >>> y = np.repeat([0, 1], [96, 8])
    >>> np.bincount(y[sample(y, 26)]).tolist()
    [24, 5]
    """
    rng, share, chosen = np.random.default_rng(0), min(1.0, most / len(labels)), []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        chosen.append(members[: max(5, round(share * len(members)))])
    return rng.permutation(np.concatenate(chosen))


def layers_to_try(model: Model, most: int = MAX_LAYERS) -> list[str]:
    """Top-level layers with learned weights between them, evenly spaced, from the lowest to the last below the classifier.

    A layer with weights and the activation or pooling after it count as one, which ends with the latter: codes are taken after
    the ReLU.

    >>> from minicnn.models import lenet5
    >>> layers_to_try(lenet5())
    ['s2', 's4', 'flatten', 'relu6']
    """
    names = below_classifier(model) if has_classifier(model) else list(model.layers)
    ends: list[str] = []
    for name in names:
        layer = model.layers[name]
        if layer.is_identity_in_inference:
            continue
        if not ends or layer.parameters():
            ends.append(name)
        else:
            ends[-1] = name
    places = np.unique(np.rint(np.linspace(0, len(ends) - 1, most)).astype(int))
    return [ends[place] for place in places]


def has_classifier(model: Model) -> bool:
    """Whether it gives scores of classes; a network built with ``include_top=False`` does not."""
    try:
        return bool(model.classifier_name)
    except ValueError:
        return False


# ---- codes of all layers and the old classifier's probabilities, in one pass


class _CodesOfLayers(Layer):
    """The codes of several layers of a network, side by side: (N, sum of features)."""

    def __init__(self, network: Sequential, layers: list[str], grids: dict[str, list[int]]):
        super().__init__()
        self.network, self.layers, self.grids = network, layers, grids

    def children(self) -> dict[str, Layer]:
        return {"network": self.network}

    def forward(self, x: np.ndarray) -> np.ndarray:
        parts = []
        for layer, y in activations(self.network, x, self.layers).items():
            for grid in self.grids[layer]:
                parts.append(pool_features(y) if grid == 1 else AdaptiveAvgPool2d(grid).forward(y).reshape(len(y), -1))
        return np.concatenate(parts, axis=1)


def codes_and_probabilities(
    model: Model, fitted: np.ndarray, layers: list[str], progress: bool = True
) -> tuple[dict[tuple[str, int], np.ndarray], np.ndarray | None]:
    """Codes (N, D) by (layer, grid), and the old classifier's probabilities (N, Z), or None without a classifier.

    Parameters
    ----------
    fitted : uint8 (N, H, W, C)
        As ``PictureSet.fitted`` gives them.
    layers : list of str
        From the lowest to the last.
    """
    shapes, shape = {}, (1, *model.input_shape)
    for name, layer in model.layers.items():
        shape = shapes[name] = layer.output_shape(shape)
    top = next(reversed(model.layers)) if has_classifier(model) else None
    grids = {layer: [1] if layer == layers[-1] else grids_for(shapes[layer]) for layer in layers}
    wanted = dict.fromkeys([*layers, *([top] if top else [])])
    grids |= {name: [1] for name in wanted if name not in grids}
    rows = infer(
        _CodesOfLayers(fuse(model), list(wanted), grids),
        len(fitted),
        lambda i: model.preprocessing.normalise(fitted[i]),
        label="codes of all layers" if progress else None,
    )
    keys = [(name, grid) for name in wanted for grid in grids[name]]
    ends = np.cumsum([shapes[name][1] * (grid * grid if len(shapes[name]) == 4 else 1) for name, grid in keys])
    codes = dict(zip(keys, np.split(rows, ends[:-1], axis=1), strict=True))
    return codes, softmax(codes.pop((top, 1))) if top else None


def grids_for(shape: tuple[int, ...]) -> list[int]:
    """Into how many parts along each side to divide feature maps (1, C, H, W): not at all, and finely if they are large enough.

    >>> grids_for((1, 64, 28, 28)), grids_for((1, 320, 7, 7)), grids_for((1, 1280, 1, 1)), grids_for((1, 84))
    ([1, 4], [1, 3], [1], [1])
    """
    if len(shape) < 4:
        return [1]
    finest = min(MAX_GRID, *shape[2:], int((MAX_FEATURES / shape[1]) ** 0.5))
    return [1, finest] if finest > 1 else [1]
