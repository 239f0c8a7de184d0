"""The page about training, ``docs/training.md``: its figures and tables, measured here.

::

    python docs/training/make.py                      # what takes seconds: optimisers, schedules, first weights, babysitting
    python docs/training/make.py --only ablation      # a part by its name; the long ones only so
    python docs/training/make.py --only ablation --kept  # drawn and written anew from the numbers that are kept
    python docs/training/make.py --quick --out FOLDER # everything, tiny: shows that it works, and leaves the page as it is

What is between two comments of the page, ``<!-- NAME -->`` and ``<!-- end of NAME -->``, comes from here; the rest of it is
written by hand. Numbers that took long are kept in ``docs/training/results/NAME.json``, with the machine and the date.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ablation
import ladder
import numpy as np
import snapshots
import trajectories

from minicnn import viz
from minicnn.cache import write_bytes
from minicnn.data import load_cifar10, load_fashion_mnist, load_mnist
from minicnn.data.mnist import FASHION_MNIST_CLASSES
from minicnn.experiment.results import cpu_name
from minicnn.layers import BatchNorm1d, Flatten, Linear, ReLU, Sequential
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models import lenet5
from minicnn.optim import SGD
from minicnn.recipes import Recipe
from minicnn.recipes.base import preprocessing_of
from minicnn.runtime.workers import get_threads
from minicnn.schedules import cosine, cyclic, exponential, linear, one_cycle, one_over_t, step, triangular, warm_restarts
from minicnn.search import LogUniform, RecipeObjective, Study
from minicnn.text import counted
from minicnn.training import LayerMonitor, Trainer, range_test, sanity_check

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))  # for the benchmarks, which are not installed
from benchmarks import cifar_speedrun  # noqa: E402
from benchmarks.machine import summary_of  # noqa: E402
from benchmarks.pages import filled  # noqa: E402

PAGE = HERE.parent / "training.md"
FIGURES = HERE.parent / "figures"
SEEDS = range(3)


@dataclass
class Place:
    """Where figures and numbers go, whether it is only a trial, and whether numbers that are kept are used."""

    figures: Path
    results: Path
    quick: bool = False
    kept: bool = False

    def save(self, figure, name: str) -> None:
        self.figures.mkdir(parents=True, exist_ok=True)
        path = self.figures / f"training_{name}.png"
        figure.savefig(path, dpi=130)
        print(path)

    def measured(self, name: str, run: Callable[[], dict]) -> dict:
        """Run, and keep the numbers with the machine and the date; or read those that are kept."""
        if self.kept:
            return self.read(name)
        results = run() | {
            "machine": f"{cpu_name()}, {counted(get_threads(), 'thread')}",
            "date": datetime.date.today().isoformat(),
        }
        self.results.mkdir(parents=True, exist_ok=True)
        write_bytes(self.results / f"{name}.json", json.dumps(results, indent=1).encode() + b"\n")
        return results

    def read(self, name: str) -> dict:
        return json.loads((self.results / f"{name}.json").read_text(encoding="utf-8"))


def optimisers(place: Place) -> str:
    """Paths of optimisers on functions of two weights."""
    rows = trajectories.trajectories()
    place.save(trajectories.trajectories_figure(rows), "trajectories")
    return trajectories.table(rows)


def schedules(place: Place) -> None:
    """The schedules over a run."""
    falling = {
        "step": step(),
        "exponential": exponential(),
        "1/t": one_over_t(),
        "linear": linear(),
        "cosine": cosine(),
    }
    rising = {
        "one cycle": one_cycle(),
        "triangular": triangular(0.2, 0.23, 0.07),
        "warm restarts": warm_restarts(3),
        "cyclic": cyclic(4),
    }
    place.save(viz.schedules_figure(falling), "schedules_falling")
    place.save(viz.schedules_figure(rising), "schedules_rising")


def first_weights(place: Place) -> None:
    """Activations through depth by how the weights start."""
    for activation in ("tanh", "relu"):
        place.save(viz.initialization_figure(activation), f"initialization_{activation}")


def babysitting(place: Place) -> str:
    """A sanity check, a range test and what a monitor sees, of LeNet-5 on 2,000 digits."""
    x, y, *_ = load_mnist()
    x, y = x[:2000, ..., None], y[:2000]
    x, model = preprocessing_of(x).normalise(x), lenet5(rng=0)
    report = sanity_check(model, SoftmaxCrossEntropy(), (x, y), log=lambda text: None)
    trainer = _digits(model, x, y, 0.05)
    place.save(viz.range_test_figure(range_test(trainer, x, y)), "range_test")
    monitor = LayerMonitor(every=5)
    # a deep narrow network without batch norm, at a rate that kills some of its units
    rng = np.random.default_rng(0)
    net = Sequential(flatten=Flatten(), fc1=Linear(784, 100, rng=rng), relu1=ReLU())
    net.append("fc2", Linear(100, 100, rng=rng))
    net.append("norm2", BatchNorm1d(100))
    net.append("relu2", ReLU())
    net.append("scores", Linear(100, 10, rng=rng))
    _digits(net, x, y, 0.5, callbacks=[monitor]).fit(x, y)
    place.save(viz.monitoring_figure(monitor), "monitoring")
    return f"```\n{report.text()}\n```"


def _digits(model, x, y, rate: float, **options) -> Trainer:
    optimizer = SGD(model.parameters(), rate, momentum=0.9)
    return Trainer(model, SoftmaxCrossEntropy(), optimizer, epochs=5, batch_size=50, progress=False, **options)


def searching(place: Place) -> str:
    """Nine trials in a grid and nine at random, of LeNet-5 on 1,000 pictures of Fashion-MNIST; and from coarse to fine."""
    x, y, *_ = load_fashion_mnist()
    x, space = x[..., None], {"learning_rate": LogUniform(1e-4, 1.0), "weight_decay": LogUniform(1e-6, 1e-3)}
    with tempfile.TemporaryDirectory() as folder:
        recipe, file = Recipe("lenet5", batch_size=50), Path(folder) / "pictures.npz"
        parts = x[:1000], y[:1000], x[1000:2000], y[1000:2000]
        objective = RecipeObjective.save(file, recipe, *parts, FASHION_MNIST_CLASSES)
        random, grid, finer = (Study(objective, space, progress=False) for _ in range(3))
        random.random(9, budget=3)
        grid.grid(3, budget=3)
        finer.coarse_to_fine(8, budgets=(1, 3))
    place.save(viz.random_against_grid_figure(random, grid), "random_against_grid")
    place.save(viz.search_figure(finer), "search")
    best = [f"{100 * study.best.value:.1f} %" for study in (random, grid)]
    return f"```\n{finer.table()}\n```\n\nThe best of nine at random: {best[0]}; of nine in a grid: {best[1]}."


def regularisers(place: Place) -> str:
    """What each regulariser is worth, on 10,000 pictures of CIFAR-10: 18 trainings and a search, about an hour."""

    def run() -> dict:
        x, y, x_test, y_test = load_cifar10()
        x, x_test = (np.ascontiguousarray(pictures.transpose(0, 2, 3, 1)) for pictures in (x, x_test))
        few = slice(0, None, 50 if place.quick else 1)
        return ablation.run(x, y, x_test[few], y_test[few], SEEDS, place.quick)

    results = place.measured("ablation", run)
    place.save(ablation.figure(results), "ablation")
    return f"{ablation.table(results)}\n\n({results['machine']}, {results['date']})"


def ensembles(place: Place) -> str:
    """Snapshots of one training against one network and against several, on 10,000 pictures of Fashion-MNIST."""

    def run() -> dict:
        return snapshots.run(*load_fashion_mnist(), SEEDS[:1] if place.quick else range(5), place.quick)

    results = place.measured("snapshots", run)
    place.save(snapshots.figure(results), "snapshots")
    return f"{snapshots.table(results)}\n\n({results['machine']}, {results['date']})"


def speed_run(place: Place) -> str:
    """The CIFAR-10 speed run, one ingredient after the other, and with Muon: some two hours of one core."""
    if not place.kept:
        place.results.mkdir(parents=True, exist_ok=True)
        lengths = ["--quick"] if place.quick else ["--epochs", *map(str, ladder.EPOCHS)]
        cifar_speedrun.main(["--ladder", "--muon", *lengths, "--json", str(place.results / "ladder.json")])
    results = place.read("ladder")
    place.save(ladder.figure(results), "ladder")
    return f"{ladder.table(results)}\n\n({summary_of(results['machine'])}, {results['machine']['date'][:10]})"


PARTS: dict[str, Callable[[Place], str | None]] = {
    "optimisers": optimisers,
    "schedules": schedules,
    "first-weights": first_weights,
    "babysitting": babysitting,
    "search": searching,
    "ensembles": ensembles,
    "ablation": regularisers,
    "ladder": speed_run,
}
LONG = ("ensembles", "ablation", "ladder")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="docs/training/make.py", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=list(PARTS), action="append", help="this part; may be repeated")
    parser.add_argument("--quick", action="store_true", help="everything, tiny; needs --out")
    parser.add_argument("--kept", action="store_true", help="no long training: draw and write what docs/training/results has")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where figures and numbers go in place of docs/")
    options = parser.parse_args(arguments)
    if options.quick and not options.out:
        parser.error("--quick is a trial whose numbers mean nothing: say with --out where they may go")
    if options.kept and (options.quick or options.out):
        parser.error("--kept draws the numbers of docs/training/results into the page; it goes with neither --quick nor --out")
    place = Place(options.out or FIGURES, (options.out or HERE) / "results", options.quick, options.kept)
    names = options.only or [name for name in PARTS if options.quick or name not in LONG]
    for name in names:
        text: Any = PARTS[name](place)
        if text and not options.out:
            page = filled(PAGE.read_text(encoding="utf-8"), name, text)
            write_bytes(PAGE, page.encode())
            print(f"{PAGE}: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
