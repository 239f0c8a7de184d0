"""The five ways to use a pretrained network on new data that the lecture compares, each measured on a test part.

Whatever is chosen on the way (layer, regularisation, learning rate) is chosen on training pictures that were set aside for it;
then the strategy is applied to all training pictures, and tested once.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from small_data import Pictures, small_pictures
from small_nets import LAYERS, Recipe, accuracy, small_net, train, with_head

from minicnn.data import stratified_split
from minicnn.inference.batches import infer
from minicnn.inference.fusion import fuse
from minicnn.layers import AdaptiveAvgPool2d, Layer, Sequential
from minicnn.linear_model.estimator import ConvergenceWarning
from minicnn.linear_model.svm import LinearSVM
from minicnn.models.activations import activations
from minicnn.models.model import Model
from minicnn.transfer.features import pool_features
from minicnn.transfer.strategies import STRATEGIES

COMPARED = ("svm", "svm-earlier", "finetune-upper", "finetune-all", "scratch")  # keys of STRATEGIES
TITLES = {key: STRATEGIES[key] for key in COMPARED}
# their keys in results that were written before `minicnn advise` and `minicnn transfer` had the same ones
FORMER_KEYS = {"last": "svm", "earlier": "svm-earlier", "upper": "finetune-upper", "all": "finetune-all"}
FROZEN = {"finetune-upper": "conv3", "finetune-all": None, "scratch": None}  # of the small network: up to where
REGULARISATION = (10.0, 1.0, 0.1, 0.01)  # lambda, to choose from; the strongest first
VALIDATION = 0.2  # of the training pictures, while something is being chosen

Part = tuple[np.ndarray, np.ndarray]  # pictures (N, H, W, C) and labels (N,)


def with_current_keys(by_strategy: dict) -> dict:
    """A dictionary by strategy with the keys of ``STRATEGIES``, whether it was stored with these or with former ones.

    >>> with_current_keys({"last": 0.9, "scratch": 0.5})
    {'svm': 0.9, 'scratch': 0.5}
    """
    return {FORMER_KEYS.get(key, key): value for key, value in by_strategy.items()}


@dataclass(frozen=True)
class Target:
    """New data for a small network: some classes of a collection, and how many training pictures there are of each."""

    data: str
    classes: tuple[str, ...]
    per_class: int
    most: tuple[int, int]

    def pictures(self, seed: int) -> Pictures:
        """What this seed draws; the test part is the same for all."""
        return small_pictures(self.data, self.classes, self.most).draw(self.per_class, seed)


# ---- codes of all layers at once


class CodesAt(Layer):
    """The codes of several layers of a network, side by side: (N, sum of D).

    Feature maps (N, C, H, W) are averaged over a grid of ``grid`` x ``grid`` parts of the picture, which gives C grid^2
    numbers; outputs without spatial axes are taken as they are.
    """

    def __init__(self, network: Sequential, layers: Sequence[str], grid: int):
        super().__init__()
        self.network, self.layers, self.pool = network, list(layers), AdaptiveAvgPool2d(grid)

    def children(self) -> dict[str, Layer]:
        return {"network": self.network, "pool": self.pool}

    def forward(self, x: np.ndarray) -> np.ndarray:
        found = activations(self.network, x, self.layers).values()
        return np.concatenate([y if y.ndim == 2 else self.pool.forward(y).reshape(len(y), -1) for y in found], axis=1)


def codes_by_depth(model: Model, x: np.ndarray, layers: Sequence[str], grid: int) -> dict[str, dict[str, np.ndarray]]:
    """Codes (N, D) of pictures (N, H, W, C) by layer: averaged over the whole picture ("mean") and over a "grid" of parts."""
    shapes = {name: model.split(name)[0].output_shape((1, *model.input_shape)) for name in layers}
    rows = infer(CodesAt(fuse(model), layers, grid), len(x), lambda i: model.preprocessing.normalise(x[i]))
    codes, start = {}, 0
    for name, (_, channels, *places) in shapes.items():
        width = channels * grid**2 if places else channels
        part = rows[:, start : start + width]
        start += width
        if places:
            codes[name] = {"mean": pool_features(part.reshape(len(x), channels, grid, grid)), "grid": part}
        else:
            codes[name] = {"mean": part}
    return codes


@dataclass(frozen=True)
class Classified:
    """A linear classifier on one kind of codes: its validation accuracy, test accuracy and regularisation."""

    val_accuracy: float
    test_accuracy: float
    regularisation: float


def classify(x, y, x_test, y_test, folds: int, seed: int) -> Classified:
    """A linear SVM on the codes of training pictures, x (views, N, D): several views of each, as it is and mirrored, say.

    Its regularisation is chosen by cross-validation with ``folds`` (1 to 5) of five parts, on the pictures as they are.
    """
    parts = stratified_split(y, fractions={str(fold): VALIDATION for fold in range(round(1 / VALIDATION))}, rng=seed)
    val = np.zeros(len(REGULARISATION))
    for rows in list(parts.values())[:folds]:
        rest = np.setdiff1d(np.arange(len(y)), rows)
        val += [svm(strength, x[:, rest], y[rest]).score(x[0, rows], y[rows]) / folds for strength in REGULARISATION]
    best = int(val.argmax())  # of equals the strongest regularisation, the simplest classifier
    return Classified(float(val[best]), svm(REGULARISATION[best], x, y).score(x_test, y_test), REGULARISATION[best])


def svm(regularisation: float, x: np.ndarray, y: np.ndarray) -> LinearSVM:
    """Trained on codes (views, N, D) and labels (N,), to within a hundredth of the least objective or for a hundred sweeps.

    Predictions hardly change after that.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        codes = np.concatenate(list(x))
        return LinearSVM(regularisation, tolerance=0.01, max_iterations=100).fit(codes, np.tile(y, len(x)))


def linear_by_depth(
    model: Model,
    layers: Sequence[str],
    grid: int,
    train_part: Part,
    test_part: Part,
    folds: int,
    seed: int,
    mirror: bool = True,
) -> dict:
    """Linear SVMs on the codes of every layer, and the two strategies that are made of them.

    With ``mirror``, each training picture is used twice, as it is and mirrored, as by the strategies that train layers; not so
    for digits, which are other signs when mirrored.

    Returns
    -------
    {"depth": {layer: {kind: vars(Classified)}}, "last": {...}, "earlier": {...}}
        Of "last" the codes of the last layer with the highest validation accuracy, of "earlier" those of all earlier layers; of
        equals the highest layer's.
    """
    (x, y), (x_test, y_test) = train_part, test_part
    started = time.perf_counter()
    views = [codes_by_depth(model, pixels, layers, grid) for pixels in ([x, x[:, :, ::-1]] if mirror else [x])]
    extraction, seconds, depth = time.perf_counter() - started, {}, {}
    codes_test = codes_by_depth(model, x_test, layers, grid)
    for name in layers:
        started = time.perf_counter()
        depth[name] = {
            kind: vars(classify(np.stack([codes[name][kind] for codes in views]), y, test, y_test, folds, seed))
            for kind, test in codes_test[name].items()
        }
        seconds[name] = time.perf_counter() - started

    def best_of(names: Sequence[str]) -> dict:
        found = [(depth[name][kind]["val_accuracy"], i, name, kind) for i, name in enumerate(names) for kind in depth[name]]
        _, _, name, kind = max(found)
        return depth[name][kind] | {"layer": name, "kind": kind, "seconds": extraction + sum(seconds[name] for name in names)}

    return {"depth": depth, "last": best_of(layers[-1:]), "earlier": best_of(layers[:-1])}


# ---- pieces of work with small networks


def linear_strategies(source: str, target: Target, folds: int, seed: int) -> dict:
    """Both strategies that train no more than a classifier (a `Piece`); see `linear_by_depth`."""
    pictures = target.pictures(seed)
    model = with_head(source, len(target.classes), seed)
    parts = (pictures.x, pictures.y), (pictures.x_test, pictures.y_test)
    return linear_by_depth(model, LAYERS, 4, *parts, folds, seed)


def try_rate(source: str | None, target: Target, strategy: str, recipe: Recipe, seed: int) -> dict:
    """Validation accuracy of a strategy that trains layers, with a fifth of the training pictures set aside (a `Piece`)."""
    pictures = target.pictures(seed)
    parts = stratified_split(pictures.y, fractions={"train": 1 - VALIDATION, "val": VALIDATION}, rng=seed)
    rows, val = parts["train"], parts["val"]
    model = _start(source, target, pictures, seed)
    train(model, recipe, pictures.x[rows], pictures.y[rows], seed, FROZEN[strategy])
    return {"val_accuracy": accuracy(model, pictures.x[val], pictures.y[val])}


def train_and_test(source: str | None, target: Target, strategy: str, recipe: Recipe, seed: int) -> dict:
    """Test accuracy of a strategy that trains layers on all training pictures (a `Piece`)."""
    pictures = target.pictures(seed)
    model = _start(source, target, pictures, seed)
    started = time.perf_counter()
    history = train(model, recipe, pictures.x, pictures.y, seed, FROZEN[strategy])
    return {
        "seconds": time.perf_counter() - started,
        "train_accuracy": history.epochs[-1]["train_accuracy"],
        "test_accuracy": accuracy(model, pictures.x_test, pictures.y_test),
    }


def _start(source: str | None, target: Target, pictures: Pictures, seed: int) -> Model:
    """The pretrained network with a new head and its own preprocessing; or a random one with that of the new pictures."""
    if source is None:
        return small_net(len(target.classes), pictures.statistics(), rng=seed)
    return with_head(source, len(target.classes), seed)
