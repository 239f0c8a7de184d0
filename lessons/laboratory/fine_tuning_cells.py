"""The cells of the experiment on fine-tuning: networks, new pictures and how many; and what is measured in each."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from advisor_cells import idx_parts
from PIL import Image, ImageFilter
from quadrants import SMALL_NET
from real_strategies import SOLAR_CELLS, RealTarget
from scenario_plan import SOURCE
from small_data import CIFAR_CLASSES, first_of_each_class, small_pictures
from small_nets import MOVED, network_file
from strategies import Part
from transfer_tasks import transfer_task

from minicnn import load
from minicnn.data import Augmentation
from minicnn.experiment.fine_tuning import LayerTraining
from minicnn.experiment.linear_classifiers import train_classifier
from minicnn.experiment.task import TransferTask
from minicnn.inference.batches import infer
from minicnn.models.model import Model
from minicnn.pretrained import load_model
from minicnn.transfer import Phase, fine_tune
from minicnn.transfer.strategies import LINEAR, STRATEGIES
from minicnn.transfer.surgery import UPPER_FROZEN, freeze_point

FORMER = "former"  # fine-tuning of the upper layers as it was before: together with a random head
DEFAULT = "default"  # whichever of the strategies `minicnn transfer` takes where none is asked for
TITLES = STRATEGIES | {FORMER: "the upper layers with a random head", DEFAULT: "the default"}
LITE = "efficientnet_lite0"
DIGITS = "scikit-learn's digits"
ANTS = "ants-bees.zip"
FEW_LINES = ("svm", "softmax", "finetune-upper", "interpolate")
EVERY_SEED = ("svm", "softmax", "finetune-upper", "norms")  # the others, which take longest, for the first seed alone
MOST_LINES = (*FEW_LINES, "norms")
ALL_LINES = (*FEW_LINES, "biases", "norms", "surgical", "soup")


@dataclass(frozen=True)
class GridCell:
    """A network, new pictures for it, and the strategies that are carried out.

    Attributes
    ----------
    network : str
        "efficientnet_lite0", or "small_net": the small network of the four scenarios, trained on five classes of CIFAR-10.
    data : str
    per_class : int
        Pictures of each class to learn from.
    side : int
        Pictures are shrunk or enlarged to side x side.
    kind : str
        How they differ from what the network has learned: "similar", "different" or, of pictures that were changed, "shifted".
    change : str
        "none", "blurred", "inverted" or "noisy": what was done to all of them.
    strategies : several str
        Of the first seed; of the others, those of them that the default may be.
    seeds : int
        At most.
    tests : int
        Test pictures of each class, where the collection has no test part of its own.
    """

    network: str
    data: str
    per_class: int
    side: int
    kind: str
    change: str = "none"
    strategies: tuple[str, ...] = ALL_LINES
    seeds: int = 3
    tests: int = 100

    @property
    def title(self) -> str:
        changed = "" if self.change == "none" else f", {self.change}"
        return f"{self.network}: {self.data.removesuffix('.zip')}{changed}, {self.per_class} a class"

    def of_seed(self, number: int) -> GridCell:
        """What the seed of this place is to carry out."""
        strategies = self.strategies if number == 0 else tuple(s for s in self.strategies if s in EVERY_SEED)
        # how many seeds there are to be is no part of what one of them gives
        return replace(self, strategies=strategies, seeds=1)


def lite(data: str, per_class: int, kind: str, side: int = 64, **others) -> GridCell:
    return GridCell(LITE, data, per_class, side, kind, **others)


def small(data: str, per_class: int, kind: str, **others) -> GridCell:
    return GridCell(SMALL_NET, data, per_class, 32, kind, **others)


GRID = (
    lite(ANTS, 20, "similar", 96, seeds=5),
    lite(ANTS, 120, "similar", 96, seeds=5),
    lite("CIFAR-10", 10, "similar", seeds=5),
    lite("CIFAR-10", 30, "similar", seeds=5),
    lite("CIFAR-10", 100, "similar", strategies=MOST_LINES),
    lite("CIFAR-10", 300, "similar", strategies=FEW_LINES, seeds=2),
    lite(SOLAR_CELLS, 30, "different", 96, seeds=5),
    lite(SOLAR_CELLS, 100, "different", 96, strategies=MOST_LINES),
    lite(SOLAR_CELLS, 500, "different", 96, strategies=FEW_LINES, seeds=2),
    lite("Fashion-MNIST", 10, "different", seeds=5),
    lite("Fashion-MNIST", 30, "different"),
    lite("Fashion-MNIST", 100, "different", strategies=FEW_LINES),
    lite("Fashion-MNIST", 300, "different", strategies=FEW_LINES, seeds=2),
    lite("MNIST", 30, "different"),
    lite(DIGITS, 30, "different"),
    lite("CIFAR-10", 30, "shifted", change="blurred"),
    lite("CIFAR-10", 30, "shifted", change="inverted"),
    lite("CIFAR-10", 30, "shifted", change="noisy"),
    small("CIFAR-10", 10, "similar", seeds=5),
    small("CIFAR-10", 30, "similar", seeds=5),
    small("CIFAR-10", 100, "similar"),
    small("CIFAR-10", 300, "similar"),
    small("Fashion-MNIST", 30, "different", seeds=5),
    small("Fashion-MNIST", 300, "different"),
    small("MNIST", 30, "different", seeds=5),
    small(DIGITS, 30, "different", seeds=5),
    small("CIFAR-10", 30, "shifted", change="blurred", seeds=5),
    small("CIFAR-10", 30, "shifted", change="inverted", seeds=5),
    small("CIFAR-10", 30, "shifted", change="noisy", seeds=5),
)
QUICK_GRID = (
    replace(GRID[0], per_class=6, side=64, strategies=(*MOST_LINES, "surgical"), seeds=1),
    small("CIFAR-10", 5, "shifted", change="inverted", seeds=1, tests=10),
)


# ---- pictures


def changed(pictures: np.ndarray, change: str, seed: int) -> np.ndarray:
    """Pictures uint8 (N, H, W, C) that look otherwise and show the same: out of focus, as a negative, or with noise."""
    if change == "inverted":
        return 255 - pictures
    if change == "noisy":
        noise = np.random.default_rng(seed).normal(0, 40, pictures.shape)
        return np.clip(pictures + noise, 0, 255).astype(np.uint8)
    if change == "blurred":
        blur = ImageFilter.GaussianBlur(pictures.shape[1] / 32)
        return np.stack([np.asarray(Image.fromarray(picture).filter(blur)) for picture in pictures])
    return pictures


def pretrained(cell: GridCell, source: str) -> Model:
    """The network, prepared for pictures of the cell's size. ``source``: file of the small network."""
    if cell.network == SMALL_NET:
        return load_model(network_file(source))
    model = load(cell.network)
    if cell.data in (ANTS, SOLAR_CELLS):
        model.preprocessing = RealTarget(cell.data, cell.side).preprocessing(model.preprocessing)
    else:
        model.preprocessing = replace(model.preprocessing, size=cell.side, resize=None, fit="stretch")
    model.input_shape = (3, cell.side, cell.side)
    return model


def parts_of(cell: GridCell, model: Model, seed: int) -> tuple[Part, Part, Sequence[str], Augmentation]:
    """Pictures at the network's size with labels: those to learn from, which the seed draws, and those to test with."""
    if cell.data in (ANTS, SOLAR_CELLS):
        target = RealTarget(cell.data, cell.side)
        (x, y), test = target.parts(model.preprocessing, seed)
        classes, augmentation = target.open().classes, target.augmentation
    else:
        classes, (x, y), test = _small_pictures(cell)
        augmentation = Augmentation(shift=MOVED.shift) if cell.data in ("MNIST", DIGITS) else MOVED
    rows = first_of_each_class(y, min(cell.per_class, np.bincount(y).min()), np.random.default_rng(seed).permutation(len(y)))
    parts = [(changed(a, cell.change, seed), b) for a, b in ((x[rows], y[rows]), test)]
    if cell.data not in (ANTS, SOLAR_CELLS):
        parts = [(np.stack([model.preprocessing.fit_picture(_coloured(one)) for one in a]), b) for a, b in parts]
    return *parts, classes, augmentation


def _coloured(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture, 3, axis=-1) if picture.shape[-1] == 1 else picture


def _small_pictures(cell: GridCell) -> tuple[tuple[str, ...], tuple, tuple]:
    """Class names, (x, y) to draw from and to test with: uint8 (N, H, W, C)."""
    if cell.data == "CIFAR-10":
        unknown = tuple(name for name in CIFAR_CLASSES if name not in SOURCE)
        classes = unknown if cell.network == SMALL_NET else CIFAR_CLASSES
        found = small_pictures("CIFAR-10", classes, (1000, cell.tests))
        return classes, (found.x, found.y), (found.x_test, found.y_test)
    if cell.data == DIGITS:
        return _digits(cell.tests)
    return tuple(map(str, range(10))), *idx_parts(cell.data, 32, cell.tests)


@lru_cache(maxsize=2)
def _digits(tests: int) -> tuple[tuple[str, ...], tuple, tuple]:
    """Handwritten digits of 8 x 8 pixels, enlarged to 32 x 32; the last ones of each class are for testing."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = np.stack([np.asarray(Image.fromarray((one * 15.9).astype(np.uint8)).resize((32, 32))) for one in found.images])
    last = first_of_each_class(found.target, min(tests, 80), np.arange(len(pixels))[::-1])
    rest = np.setdiff1d(np.arange(len(pixels)), last)
    return tuple(map(str, range(10))), *((pixels[rows][..., None], found.target[rows]) for rows in (rest, last))


# ---- a piece of work


def grid_piece(cell: GridCell, source: str, seed: int, code: str) -> dict:
    """All strategies of a cell for one seed (a `Piece`): test accuracies, and those of the networks that each chose from."""
    model = pretrained(cell, source)
    with tempfile.TemporaryDirectory() as folder:
        return _measured(transfer_task(model, *parts_of(cell, model, seed), cell.strategies, Path(folder)), seed)


def _measured(task: TransferTask, seed: int) -> dict:
    test = task.split(seed)["test"]
    y, tests, seconds = task.pictures.labels[test], {}, {}

    def right(model: Model) -> float:
        fitted, prepare = task.fitted_for(model), model.preprocessing.normalise
        scores = infer(model.fuse(), len(test), lambda i: prepare(fitted[test[i]]))
        return float(np.mean(scores.argmax(1) == y))

    for strategy in LINEAR:
        run = train_classifier(task, strategy, seed)
        tests[strategy], seconds[strategy] = float(np.mean(run.test_scores.argmax(1) == y)), run.record["seconds"]
    started = time.perf_counter()
    tests[FORMER] = right(former_fine_tuning(task, seed))
    seconds[FORMER] = time.perf_counter() - started
    training, chosen, networks = LayerTraining(task, seed), {}, {}
    for number in range(len(training.folds)):
        training.train_fold(number)
    for strategy, outcome in training.outcomes.items():
        run = training.finished(strategy)
        tests[strategy], seconds[strategy], chosen[strategy] = right(run.model), run.record["seconds"], run.record["chosen"]
        networks[strategy] = {"losses": run.record["losses"], "tests": {}}
        for name in outcome.networks:
            networks[strategy]["tests"][name] = right(training.with_weights(training.weights_to_take(strategy, name)))
    usual = task.usual_fine_tuning
    tests[DEFAULT], seconds[DEFAULT], chosen[DEFAULT] = tests[usual], seconds[usual], usual
    return {"tests": tests, "seconds": seconds, "chosen": chosen, "networks": networks, "test_pictures": len(test)}


def former_fine_tuning(task: TransferTask, seed: int) -> Model:
    """The upper layers together with a random head, batch norms trained: the default mode's first phase of before."""
    model, parts = task.model.copy(), task.split(seed)
    model.replace_head(task.pictures.classes, rng=seed)
    phase = Phase(FORMER, freeze_point(model, UPPER_FROZEN), epochs=4, learning_rate=2e-3, views=3)
    fitted, labels = task.fitted_for(model), task.pictures.labels
    train, val = ((fitted[parts[part]], labels[parts[part]]) for part in ("train", "val"))
    fine_tune(model, phase, train, val, task.augmentation, seed=seed, progress=False)
    return model


def in_words(result: dict) -> str:
    """The result of a finished piece in a few words."""
    return ", ".join(f"{name} {100 * value:.1f}" for name, value in result["tests"].items())
