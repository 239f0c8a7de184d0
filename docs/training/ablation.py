"""What each regulariser is worth: one small network on a fifth of CIFAR-10, with none of them, each alone, and all.

10,000 training pictures and 20 epochs are few enough for the network to learn them by heart if nothing keeps it from that. Each
variant is trained with the same seeds, at a learning rate chosen for it on validation pictures out of three, with one seed that
is not among those that count. The test pictures decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from minicnn.data import Augmentation, Compose, RandomCrop
from minicnn.errors import TrainingError
from minicnn.initializers import msra
from minicnn.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Sequential
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import SGD
from minicnn.recipes.base import preprocessing_of
from minicnn.schedules import one_cycle
from minicnn.training import Trainer
from minicnn.viz.style import TRAIN, VAL, WIDTH, styled

CHANNELS = (16, 32, 64)
TRAINED, VALIDATED = 10_000, 5_000
EPOCHS, BATCH = 20, 50
RATES = (0.01, 0.03, 0.1)
SEARCH_EPOCHS, SEARCH_SEED = 5, 1000


@dataclass(frozen=True)
class Variant:
    """Which regularisers there are; all strengths are usual ones and were not tuned."""

    title: str
    weight_decay: float = 0.0
    dropout: float = 0.0
    batch_norm: bool = False
    augment: bool = False


VARIANTS = (
    Variant("none"),
    Variant("L2", weight_decay=1e-3),
    Variant("dropout", dropout=0.5),
    Variant("batch norm", batch_norm=True),
    Variant("augmentation", augment=True),
    Variant("all", weight_decay=1e-3, dropout=0.5, batch_norm=True, augment=True),
)


def network(variant: Variant, rng: np.random.Generator) -> Sequential:
    """Three pairs of 3x3 convolutions and a hidden layer of 128, for pictures of 32 x 32."""
    net, channels = Sequential(), 3
    for stage, width in enumerate(CHANNELS, start=1):
        for i in (1, 2):
            net.append(f"conv{stage}_{i}", Conv2d(channels, width, 3, pad=1, rng=rng))
            if variant.batch_norm:
                net.append(f"norm{stage}_{i}", BatchNorm2d(width))
            net.append(f"relu{stage}_{i}", ReLU())
            channels = width
        net.append(f"pool{stage}", MaxPool2d(2))
    net.append("flatten", Flatten())
    net.append("fc4", Linear(16 * channels, 128, initializer=msra, rng=rng))
    net.append("relu4", ReLU())
    if variant.dropout:
        net.append("drop4", Dropout(variant.dropout, rng))
    net.append("fc5", Linear(128, 10, rng=rng))
    return net


def trainer(variant: Variant, x: np.ndarray, rate: float, epochs: int, seed: int) -> Trainer:
    net = network(variant, np.random.default_rng(seed))
    augment = Compose(Augmentation(horizontal_flip=True), RandomCrop(pad=4)) if variant.augment else None
    return Trainer(
        net,
        SoftmaxCrossEntropy(),
        SGD(net.parameters(), rate, momentum=0.9, nesterov=True, weight_decay=variant.weight_decay),
        epochs=epochs,
        batch_size=BATCH,
        schedule=one_cycle(),
        seed=seed,
        augment=augment,
        prepare=preprocessing_of(x).normalise,
        progress=False,
    )


def run(
    x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seeds: Sequence[int], quick: bool = False
) -> dict:
    """All variants and seeds on pictures uint8 (N, 32, 32, 3): accuracies on the training pictures, as they are, and the test
    pictures."""
    order = np.random.default_rng(0).permutation(len(x))
    size = 500 if quick else TRAINED
    train, val = order[:size], order[size : size + (200 if quick else VALIDATED)]
    epochs, search_epochs = (1, 1) if quick else (EPOCHS, SEARCH_EPOCHS)
    rows = []
    bar = tqdm(total=len(VARIANTS) * (len(RATES) + len(seeds)), desc="ablation", unit="run", delay=2)
    for variant in VARIANTS:
        found = {}
        for rate in RATES:
            searched = trainer(variant, x, rate, search_epochs, SEARCH_SEED)
            found[rate] = _accuracy_or_none(searched, x[train], y[train], x[val], y[val])
            bar.update()
        rate = max(found, key=found.get)
        for seed in seeds:
            trained = trainer(variant, x, rate, epochs, seed)
            trained.fit(x[train], y[train])
            accuracies = {
                "train": trained.evaluate(x[train], y[train])[1],
                "test": trained.evaluate(x_test, y_test)[1],
            }
            rows.append({"variant": variant.title, "seed": seed, "rate": rate} | accuracies)
            bar.update()
    bar.close()
    return {"pictures": size, "epochs": epochs, "rows": rows}


def _accuracy_or_none(searched: Trainer, x, y, x_val, y_val) -> float:
    """Of a short training; 0 where it breaks down."""
    try:
        searched.fit(x, y)
    except TrainingError:
        return 0.0
    return searched.evaluate(x_val, y_val)[1]


@styled
def figure(results: dict) -> Figure:
    """Bars of the test accuracy with its spread over seeds, and dots for the training accuracy."""
    drawn = Figure(figsize=(WIDTH, 3.4))
    axes = drawn.subplots()
    for i, variant in enumerate(VARIANTS):
        test, train = (
            np.array([100 * row[part] for row in results["rows"] if row["variant"] == variant.title])
            for part in ("test", "train")
        )
        spread = test.std(ddof=1) if len(test) > 1 else 0
        axes.bar(i, test.mean(), 0.62, color=TRAIN, yerr=spread, capsize=4, label="test" if i == 0 else None)
        axes.plot(i, train.mean(), "o", color=VAL, label="training" if i == 0 else None)
        axes.annotate(f"{test.mean():.1f}", (i, test.mean() - 4), ha="center", color="white", fontsize=8.5)
    lowest = min(row["test"] for row in results["rows"])
    axes.set_xticks(range(len(VARIANTS)), [variant.title for variant in VARIANTS])
    axes.set(ylabel="accuracy %", ylim=(max(0, 100 * lowest - 15), 102))
    drawn.legend(loc="outside upper left", ncols=2, fontsize=8.5)
    return drawn


def table(results: dict) -> str:
    """Rows of the page."""
    lines = ["| regularisers | learning rate | training % | test % | gap |", "| --- | ---: | ---: | ---: | ---: |"]
    for variant in VARIANTS:
        rows = [row for row in results["rows"] if row["variant"] == variant.title]
        train, test = (100 * np.array([row[part] for row in rows]) for part in ("train", "test"))
        spread = f" ± {test.std(ddof=1):.1f}" if len(rows) > 1 else ""
        lines.append(
            f"| {variant.title} | {rows[0]['rate']:g} | {train.mean():.1f} | {test.mean():.1f}{spread} | "
            f"{train.mean() - test.mean():.1f} |"
        )
    return "\n".join(lines)
