"""What the advisor is checked against: strategies carried out on data by which no threshold was chosen, and its measurements.

The cells of the four scenarios come from their own experiment (scenarios.py); the cases of this file have other networks, other
pictures and other sizes, each with a fixed recipe.
"""

from __future__ import annotations

import tempfile
import zipfile
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from quadrants import SMALL_NET
from real_strategies import SOLAR_CELLS, RealTarget
from scenario_plan import SOURCE, TARGETS, TRAINED
from small_data import FASHION, first_of_each_class, small_pictures
from small_nets import MOVED, Recipe, accuracy, network_file, small_net, train
from strategies import Part, Target, linear_by_depth
from transfer_tasks import transfer_task

from minicnn import load, models
from minicnn.advisor import measurements
from minicnn.advisor.measurements import (
    CodeMeasurements,
    Measurements,
    codes_and_probabilities,
    layers_to_try,
    measure_fitted,
    sample,
)
from minicnn.advisor.rules import choose
from minicnn.course.workbench import find_data
from minicnn.data import Augmentation, load_mnist
from minicnn.experiment.fine_tuning import train_layers
from minicnn.layers import BatchNorm2d
from minicnn.linear_model import cross_validation, nearest_neighbours, permutation
from minicnn.linear_model.cross_validation import CrossValidation
from minicnn.models.model import Model
from minicnn.pretrained import load_model
from minicnn.transfer import similarity, transferability

MOST = 1000  # pictures that the advisor measures, as in ``minicnn advise``
ANTS = "ants-bees.zip"
IDX_FOLDERS = {"MNIST": "mnist", "Fashion-MNIST": FASHION}
UNTRAINED = {"resnet20": models.resnet20, "lenet5": models.lenet5, "squeezenet1_1": models.squeezenet1_1}
UNTRAINED |= {"vgg_small": lambda classes, rng: models.vgg_small(classes, input_shape=(1, 28, 28), rng=rng)}
UNTRAINED |= {"efficientnet_lite0": models.efficientnet_lite0, SMALL_NET: lambda classes, rng: small_net(classes, rng=rng)}


# what decides what is measured; the rules, which use the measurements, are applied anew each time; see `pieces.digest_of`
CODE = (measurements, cross_validation, nearest_neighbours, permutation, similarity, transferability)


@dataclass(frozen=True)
class Case:
    """A network, new data for it, and the recipe of each strategy that trains layers.

    Attributes
    ----------
    network : str
        A name that ``minicnn.load`` knows; or "small_net", the network of the four scenarios.
    data : str
        "MNIST", "Fashion-MNIST", "CIFAR-10", "ants-bees.zip" or "solar cells".
    per_class : int
        Training pictures of each class.
    tuned, scratch : Recipe
    side : int or None
        Pictures are shrunk to side x side; None: to what the network was made for.
    tests : int
        Pictures of each class in the test part, of MNIST and its kin.
    """

    network: str
    data: str
    per_class: int
    tuned: Recipe
    scratch: Recipe
    side: int | None = None
    tests: int = 100

    @property
    def title(self) -> str:
        return f"{self.network}: {self.data.removesuffix('.zip')}, {self.per_class} a class"

    @property
    def trained(self) -> tuple[str, ...]:
        """The strategies that train layers."""
        return (*TRAINED, *["norms"] * (self.network in NORMS_TOO))


def case(network: str, data: str, per_class: int, epochs: tuple[int, int], rates: tuple[float, float], **others) -> Case:
    """With batches of 16 for few pictures and 32 for more; pretrained layers get 0.3 of the rate of the new head."""
    batch = 16 if per_class < 50 else 32
    tuned, scratch = Recipe(epochs[0], rates[0], batch, 0.3), Recipe(epochs[1], rates[1], batch)
    return Case(network, data, per_class, tuned, scratch, **others)


# Learning rates of fine-tuning and from scratch, by the kind of network; none was chosen by the test accuracies here.
NORMED, PLAIN, LARGE, NO_NORM = (0.01, 0.005), (0.003, 0.003), (0.002, 0.002), (0.0005, 0.001)
SEEN = (  # the rules were changed where an earlier form of them had failed on some of these
    case(SMALL_NET, "MNIST", 10, (60, 100), NORMED),
    case(SMALL_NET, "MNIST", 200, (12, 24), NORMED),
    case(SMALL_NET, "CIFAR-10", 100, (25, 50), NORMED),
    case("lenet5_mnist", "Fashion-MNIST", 10, (60, 60), PLAIN),
    case("lenet5_mnist", "Fashion-MNIST", 100, (15, 30), PLAIN),
    case("resnet20", "MNIST", 10, (20, 30), NORMED),
    case("resnet20", "CIFAR-10", 40, (6, 12), NORMED),
    case("squeezenet1_1_caffe", ANTS, 120, (6, 8), NO_NORM, side=127),
    case("efficientnet_lite0", ANTS, 15, (12, 12), LARGE, side=128),
    case("efficientnet_lite0", SOLAR_CELLS, 30, (10, 10), LARGE, side=128),
    case(SMALL_NET, "MNIST", 50, (20, 40), NORMED),
    case(SMALL_NET, "Fashion-MNIST", 100, (25, 50), NORMED),
    case("lenet5_mnist", "Fashion-MNIST", 300, (8, 16), PLAIN),
    case("resnet20", "MNIST", 60, (6, 12), NORMED),
    case("resnet20", "Fashion-MNIST", 30, (8, 16), NORMED),
    case("resnet20", "CIFAR-10", 10, (12, 24), NORMED),
    case("squeezenet1_1_caffe", ANTS, 30, (10, 12), NO_NORM, side=127),
    case("squeezenet1_1_caffe", SOLAR_CELLS, 60, (8, 10), NO_NORM, side=127),
    case("efficientnet_lite0", ANTS, 50, (8, 8), LARGE, side=128),
    case("efficientnet_lite0", SOLAR_CELLS, 100, (6, 6), LARGE, side=128),
    case(SMALL_NET, "CIFAR-10", 60, (30, 60), NORMED),
    case(SMALL_NET, "Fashion-MNIST", 50, (30, 60), NORMED),
    case("lenet5_mnist", "Fashion-MNIST", 30, (30, 60), PLAIN),
    case("resnet20", "MNIST", 25, (10, 20), NORMED),
    case("resnet20", "CIFAR-10", 20, (8, 16), NORMED),
    case("squeezenet1_1_caffe", ANTS, 60, (8, 10), NO_NORM, side=127),
    case("efficientnet_lite0", ANTS, 25, (10, 10), LARGE, side=128),
    case("efficientnet_lite0", SOLAR_CELLS, 60, (8, 8), LARGE, side=128),
    case("squeezenet1_1_caffe", SOLAR_CELLS, 120, (7, 9), NO_NORM, side=127),
    case("resnet20", "Fashion-MNIST", 100, (5, 10), NORMED),
    case("vgg_small_fashion_mnist", "MNIST", 10, (20, 40), NORMED),
    case("vgg_small_fashion_mnist", "MNIST", 50, (8, 16), NORMED),
    case("vgg_small_fashion_mnist", "MNIST", 150, (5, 10), NORMED),
    case("lenet5_mnist", "Fashion-MNIST", 20, (40, 60), PLAIN),
    case("lenet5_mnist", "Fashion-MNIST", 60, (20, 40), PLAIN),
    case("lenet5_mnist", "Fashion-MNIST", 200, (10, 20), PLAIN),
    case("resnet20", "MNIST", 15, (15, 30), NORMED),
    case("resnet20", "MNIST", 40, (8, 16), NORMED),
    case("resnet20", "Fashion-MNIST", 15, (12, 24), NORMED),
    case("resnet20", "Fashion-MNIST", 60, (6, 12), NORMED),
    case("resnet20", "CIFAR-10", 30, (8, 16), NORMED),
    case(SMALL_NET, "CIFAR-10", 20, (60, 100), NORMED),
    case(SMALL_NET, "CIFAR-10", 150, (20, 40), NORMED),
    case(SMALL_NET, "Fashion-MNIST", 20, (60, 100), NORMED),
    case(SMALL_NET, "Fashion-MNIST", 150, (20, 40), NORMED),
    case(SMALL_NET, "MNIST", 25, (40, 80), NORMED),
    case(SMALL_NET, "MNIST", 100, (15, 30), NORMED),
    case("efficientnet_lite0", ANTS, 35, (10, 10), LARGE, side=128),
    case("efficientnet_lite0", ANTS, 80, (8, 8), LARGE, side=128),
    case("efficientnet_lite0", SOLAR_CELLS, 45, (10, 10), LARGE, side=128),
    case("efficientnet_lite0", SOLAR_CELLS, 80, (8, 8), LARGE, side=128),
    case("squeezenet1_1_caffe", ANTS, 20, (12, 14), NO_NORM, side=127),
    case("squeezenet1_1_caffe", ANTS, 90, (8, 10), NO_NORM, side=127),
    case("squeezenet1_1_caffe", SOLAR_CELLS, 40, (10, 12), NO_NORM, side=127),
    case("squeezenet1_1_caffe", SOLAR_CELLS, 90, (8, 10), NO_NORM, side=127),
)
UNSEEN = (  # written down on 2026-12-01, before they were measured; no rule was changed since
    case("vgg_small_fashion_mnist", "MNIST", 25, (12, 24), NORMED),
    case("vgg_small_fashion_mnist", "MNIST", 100, (6, 12), NORMED),
    case("lenet5_mnist", "Fashion-MNIST", 15, (50, 60), PLAIN),
    case("lenet5_mnist", "Fashion-MNIST", 45, (25, 50), PLAIN),
    case("lenet5_mnist", "Fashion-MNIST", 150, (12, 24), PLAIN),
    case("resnet20", "MNIST", 20, (12, 24), NORMED),
    case("resnet20", "MNIST", 50, (7, 14), NORMED),
    case("resnet20", "Fashion-MNIST", 20, (10, 20), NORMED),
    case("resnet20", "Fashion-MNIST", 45, (7, 14), NORMED),
    case("resnet20", "Fashion-MNIST", 80, (6, 12), NORMED),
    case("resnet20", "CIFAR-10", 15, (10, 20), NORMED),
    case("resnet20", "CIFAR-10", 50, (6, 12), NORMED),
    case(SMALL_NET, "CIFAR-10", 15, (70, 110), NORMED),
    case(SMALL_NET, "CIFAR-10", 40, (40, 70), NORMED),
    case(SMALL_NET, "CIFAR-10", 80, (28, 56), NORMED),
    case(SMALL_NET, "Fashion-MNIST", 15, (70, 110), NORMED),
    case(SMALL_NET, "Fashion-MNIST", 40, (40, 70), NORMED),
    case(SMALL_NET, "Fashion-MNIST", 80, (28, 56), NORMED),
    case(SMALL_NET, "MNIST", 15, (50, 90), NORMED),
    case(SMALL_NET, "MNIST", 75, (18, 36), NORMED),
    case("efficientnet_lite0", ANTS, 40, (9, 9), LARGE, side=128),
    case("efficientnet_lite0", ANTS, 100, (7, 7), LARGE, side=128),
    case("efficientnet_lite0", SOLAR_CELLS, 40, (10, 10), LARGE, side=128),
    case("efficientnet_lite0", SOLAR_CELLS, 70, (8, 8), LARGE, side=128),
    case("squeezenet1_1_caffe", ANTS, 40, (9, 11), NO_NORM, side=127),
    case("squeezenet1_1_caffe", ANTS, 100, (7, 9), NO_NORM, side=127),
    case("squeezenet1_1_caffe", SOLAR_CELLS, 50, (9, 11), NO_NORM, side=127),
    case("squeezenet1_1_caffe", SOLAR_CELLS, 100, (7, 9), NO_NORM, side=127),
)
NORMS_TOO = ("efficientnet_lite0",)  # large networks with batch norm, of which `minicnn transfer` may train these alone
QUICK_UNSEEN = (
    case("lenet5_mnist", "Fashion-MNIST", 6, (2, 2), PLAIN, tests=10),
    case("efficientnet_lite0", ANTS, 6, (1, 1), LARGE, side=64),
)


# ---- networks and pictures


def pretrained(case: Case, source: str) -> Model:
    """The network, prepared for pictures of the case's size. ``source``: file of the small network."""
    if case.network == SMALL_NET:
        return load_model(network_file(source))
    model = load(case.network)
    for _, layer in model.walk():
        if isinstance(layer, BatchNorm2d):
            layer.momentum = 0.1  # a network's own may be 0.01, too slow for a short training
    if case.side:
        model.preprocessing = _real(case).preprocessing(model.preprocessing)
    return model


def _real(case: Case) -> RealTarget:
    return RealTarget(case.data, case.side)


def parts(case: Case, model: Model, seed: int) -> tuple[Part, Part]:
    """(x, y) to learn from, so many of each class as the seed draws, in random order; and to test on."""
    if case.data in IDX_FOLDERS:
        (x, y), test = idx_parts(case.data, model.preprocessing.size[0], case.tests)
    elif case.data == "CIFAR-10":
        unknown = TARGETS["similar"][1]  # to the small network
        pictures = small_pictures("CIFAR-10", unknown if case.network == SMALL_NET else unknown + SOURCE, (2000, case.tests))
        (x, y), test = (pictures.x, pictures.y), (pictures.x_test, pictures.y_test)
    else:
        (x, y), test = _real(case).parts(model.preprocessing, seed)
    per_class = min(case.per_class, np.bincount(y).min())
    rows = first_of_each_class(y, per_class, np.random.default_rng(seed).permutation(len(y)))
    return (x[rows], y[rows]), test


@lru_cache(maxsize=2)
def idx_parts(name: str, side: int, tests: int) -> tuple[Part, Part]:
    """MNIST or its kin, the first 400 of each class to draw from, on black margins that make them as large as is wanted."""
    x, y, x_test, y_test = load_mnist(find_data(IDX_FOLDERS[name]))
    found = []
    for pixels, labels, per_class in ((x, y, 400), (x_test, y_test, tests)):
        rows, margin = first_of_each_class(labels, per_class, np.arange(len(labels))), (side - pixels.shape[1]) // 2
        found.append((np.pad(pixels[rows], ((0, 0), (margin, margin), (margin, margin)))[..., None], labels[rows]))
    return found[0], found[1]


def augmentation(case: Case) -> Augmentation:
    """Digits are not mirrored; other small pictures are moved and mirrored, real ones as in the four scenarios."""
    if case.side:
        return _real(case).augmentation
    return Augmentation(shift=MOVED.shift) if case.data == "MNIST" else MOVED


# ---- strategies, as pieces


def case_linear(case: Case, source: str, seed: int) -> dict:
    """Linear classifiers on the codes of every layer that the advisor looks at, too; see `linear_by_depth` (a `Piece`)."""
    model = pretrained(case, source)
    (x, y), (x_test, y_test) = parts(case, model, seed)
    grid, mirror = 2 if case.side else 4, augmentation(case).horizontal_flip
    found = linear_by_depth(model, layers_to_try(model), grid, (x, y), (x_test, y_test), 3, seed, mirror)
    return found | {"tests": len(y_test)}


def case_trained(case: Case, source: str, strategy: str, seed: int, code: str) -> dict:
    """Test accuracy of a strategy that trains layers (a `Piece`).

    The upper layers or the batch norms are fine-tuned as `minicnn transfer` does it; all else by the case's recipe.
    """
    model = pretrained(case, source)
    (x, y), (x_test, y_test) = parts(case, model, seed)
    if strategy in ("finetune-upper", "norms"):
        return _transferred(strategy, model, (x, y), (x_test, y_test), augmentation(case), seed)
    classes, recipe = int(y.max()) + 1, case.tuned
    if strategy == "scratch":
        preprocessing, recipe = model.preprocessing, case.scratch
        model = UNTRAINED[model.architecture](classes, rng=seed)
        model.preprocessing = preprocessing
    else:
        model.replace_head(classes, rng=seed)
    train(model, recipe, x, y, seed, augmentation=augmentation(case))
    return {"test_accuracy": accuracy(model, x_test, y_test), "tests": len(y_test)}


def _transferred(strategy: str, model: Model, learning: Part, test: Part, augmentation: Augmentation, seed: int) -> dict:
    """Test accuracy of a strategy, carried out by `minicnn transfer`."""
    names = [str(k) for k in range(int(learning[1].max()) + 1)]
    with tempfile.TemporaryDirectory() as folder:
        task = transfer_task(model, learning, test, names, augmentation, (strategy,), Path(folder))
        (run,) = train_layers(task, seed, print)
    return {"test_accuracy": float(np.mean(run.test_scores.argmax(1) == test[1])), "tests": len(test[1])}


# ---- the advisor's measurements, as pieces


def case_measurements(case: Case, source: str, seed: int, code: str) -> dict:
    """The measurements for one of the cases above (a `Piece`)."""
    model = pretrained(case, source)
    (x, y), _ = parts(case, model, seed)
    return found_by(model, x, y)


def small_measurements(source: str, target: Target, seed: int, code: str) -> dict:
    """The same for one of the four scenarios' cells with the small network (a `Piece`)."""
    pictures = target.pictures(seed)
    return found_by(load_model(network_file(source)), pictures.x, pictures.y)


def real_measurements(target: RealTarget, network: str, seed: int, code: str) -> dict:
    """The same for one of their cells with a real network (a `Piece`)."""
    model = load(network)
    model.preprocessing = target.preprocessing(model.preprocessing)
    (x, y), (_, y_test) = target.parts(model.preprocessing, seed)
    return found_by(model, x, y) | {"tests": len(y_test)}


def found_by(model: Model, x: np.ndarray, y: np.ndarray) -> dict:
    """The measurements on pictures to learn from, uint8 (N, H, W, C) with labels (N,), as JSON can hold them."""
    rows = sample(y, max(MOST, 5 * (int(y.max()) + 1)))
    found = asdict(measure_fitted(model, x[rows], y[rows], tuple(np.bincount(y).tolist()), progress=False))
    for probe in (found["pixels"], *(codes[name] for codes in found["codes"] for name in ("probe", "knn"))):
        probe |= {name: None if probe[name] is None else probe[name].tolist() for name in ("right", "weights")}
    return {"measurements": found}


def advice_on(piece: dict) -> dict:
    """Strategy, quadrant and scores, from the result of such a piece."""
    found = measurements_of(piece["measurements"])
    choice, likeness = choose(found), found.similarity
    codes = [
        {
            "layer": entry.layer,
            "grid": entry.grid,
            "accuracy": entry.probe.accuracy,
            "knn": entry.knn.accuracy,
            "logme": entry.logme,
            "h_score": entry.h_score,
        }
        for entry in found.codes
    ]
    return {
        "strategy": choice.strategy,
        "many": choice.many,
        "similar": choice.similar,
        "shift": likeness.shift,
        "confidence": likeness.confidence,
        "usual": likeness.usual,
        "leep": found.leep,
        "pixels": found.pixels.accuracy,
        "codes": codes,
    }


def measurements_of(found: dict) -> Measurements:
    """The measurements that JSON holds."""

    def probe(values: dict) -> CrossValidation:
        weights = None if values["weights"] is None else np.array(values["weights"])
        return CrossValidation(np.array(values["right"]), values["ridge"], weights)

    codes = tuple(
        CodeMeasurements(**entry | {name: probe(entry[name]) for name in ("probe", "knn")}) for entry in found["codes"]
    )
    similar = similarity.Similarity(**found["similarity"])
    counts = tuple(found["counts"])
    return Measurements(**found | {"counts": counts, "similarity": similar, "codes": codes, "pixels": probe(found["pixels"])})


def imagenet_likeness(network: str, pictures: int, code: str) -> dict:
    """Shift and confidence of a network on ImageNet's own pictures, from the development data (a `Piece`)."""
    model = load(network)
    with zipfile.ZipFile(find_data("imagenet-250.zip")) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith(".jpg"))
        chosen = np.random.default_rng(0).permutation(len(names))[:pictures]
        x = np.stack([model.preprocessing.fit_picture(archive.read(names[i])) for i in chosen])
    _, probabilities = codes_and_probabilities(model, x, layers_to_try(model)[-1:], progress=False)
    likeness = similarity.measure_similarity(model, x, probabilities)
    return {"shift": likeness.shift, "confidence": likeness.confidence, "usual": likeness.usual}
