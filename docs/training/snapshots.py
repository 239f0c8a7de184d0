"""An ensemble for the price of one network: the ends of the cycles of warm restarts, against one network and against several.

All on 10,000 pictures of Fashion-MNIST, with the same total of epochs: one network along a single cosine; one along warm
restarts, whose weights at the end of each cycle are snapshots, and whose probabilities are averaged; and, for several times the
price, as many networks from different starts.

Huang et al. 2017, "Snapshot Ensembles: Train 1, Get M for Free", arXiv 1704.00109.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from minicnn.layers import Layer
from minicnn.losses import SoftmaxCrossEntropy, softmax
from minicnn.models import lenet5
from minicnn.optim import SGD
from minicnn.recipes.base import preprocessing_of
from minicnn.schedules import Schedule, cosine, warm_restarts
from minicnn.training import Trainer
from minicnn.training.callbacks import Callback
from minicnn.training.run import Run
from minicnn.viz.style import TRAIN, VAL, WIDTH, styled

PICTURES, EPOCHS, CYCLES, BATCH, RATE = 10_000, 20, 4, 50, 0.05


class Snapshots(Callback):
    """Probabilities of the test pictures at the end of every cycle."""

    def __init__(self, every: int, network: Layer, x_test: np.ndarray):
        self.every, self.network, self.x_test, self.probabilities = every, network, x_test, []

    def on_epoch_end(self, run: Run) -> None:
        if run.epoch % self.every == 0:
            self.probabilities.append(probabilities(self.network, self.x_test))


def probabilities(network: Layer, x: np.ndarray) -> np.ndarray:
    network.eval()
    return np.concatenate([softmax(network.forward(x[i : i + 500])) for i in range(0, len(x), 500)])


def train(x, y, x_test, schedule: Schedule, epochs: int, seed: int, every: int) -> list[np.ndarray]:
    """The probabilities after every so many epochs; the last ones are the trained network's."""
    network = lenet5(rng=seed)
    snapshots = Snapshots(every, network, x_test)
    optimizer = SGD(network.parameters(), RATE, momentum=0.9, nesterov=True, weight_decay=5e-4)
    Trainer(
        network,
        SoftmaxCrossEntropy(),
        optimizer,
        epochs=epochs,
        batch_size=BATCH,
        schedule=schedule,
        seed=seed,
        callbacks=[snapshots],
        progress=False,
    ).fit(x, y)
    return snapshots.probabilities


def run(
    x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seeds: Sequence[int], quick: bool = False
) -> dict:
    """Accuracies for each seed; pictures are uint8 (N, 28, 28)."""
    few = np.random.default_rng(0).permutation(len(x))[: 500 if quick else PICTURES]
    epochs = CYCLES if quick else EPOCHS
    normalise = preprocessing_of(x[few][..., None]).normalise
    x, y, x_test = normalise(x[few]), y[few], normalise(x_test)

    def right(p: np.ndarray) -> float:
        return float((p.argmax(axis=1) == y_test).mean())

    rows = []
    for seed in tqdm(seeds, desc="snapshots", unit="seed", delay=2):
        (single,) = train(x, y, x_test, cosine(), epochs, seed, epochs)
        cycled = train(x, y, x_test, warm_restarts(CYCLES, T_mult=1), epochs, seed, epochs // CYCLES)
        several = [single] + [train(x, y, x_test, cosine(), epochs, 1000 * k + seed, epochs)[0] for k in range(1, CYCLES)]
        rows.append(
            {
                "seed": seed,
                "one network": right(single),
                "last snapshot": right(cycled[-1]),
                "snapshots together": right(np.mean(cycled, axis=0)),
                "several networks together": right(np.mean(several, axis=0)),
                "each snapshot": [right(p) for p in cycled],
                "disagreement of snapshots": float((cycled[-1].argmax(1) != cycled[-2].argmax(1)).mean()),
                "disagreement of networks": float((several[0].argmax(1) != several[1].argmax(1)).mean()),
            }
        )
    return {"pictures": len(x), "epochs": epochs, "cycles": CYCLES, "rows": rows}


WAYS = ("one network", "last snapshot", "snapshots together", "several networks together")


@styled
def figure(results: dict) -> Figure:
    """A dot for each seed, joined for each seed, and the mean of each way."""
    drawn = Figure(figsize=(WIDTH, 3.0))
    axes = drawn.subplots()
    accuracies = np.array([[100 * row[way] for way in WAYS] for row in results["rows"]])
    for values in accuracies:
        axes.plot(range(len(WAYS)), values, "o-", color=TRAIN, alpha=0.35, linewidth=1)
    axes.plot(range(len(WAYS)), accuracies.mean(axis=0), "D", color=VAL, markersize=7)
    for i, mean in enumerate(accuracies.mean(axis=0)):
        axes.annotate(f"{mean:.2f}", (i, mean), (9, 0), textcoords="offset points", va="center", fontsize=8.5)
    epochs, cycles = results["epochs"], results["cycles"]
    labels = (f"one network\n{epochs} epochs", "last snapshot", f"{cycles} snapshots\n{epochs} epochs in all")
    axes.set_xticks(range(len(WAYS)), [*labels, f"{cycles} networks\n{cycles * epochs} epochs in all"])
    axes.set(ylabel="test accuracy %", xlim=(-0.4, len(WAYS) - 0.4))
    return drawn


def table(results: dict) -> str:
    """Rows of the page."""
    lines = ["| | test accuracy % | gain over one network |", "| --- | ---: | ---: |"]
    single = 100 * np.array([row["one network"] for row in results["rows"]])
    for way in WAYS:
        values = 100 * np.array([row[way] for row in results["rows"]])
        spread = [f" ± {v.std(ddof=1):.2f}" if len(v) > 1 else "" for v in (values, values - single)]
        gain = "" if way == "one network" else f"{(values - single).mean():+.2f}{spread[1]}"
        lines.append(f"| {way} | {values.mean():.2f}{spread[0]} | {gain} |")
    return "\n".join(lines)
