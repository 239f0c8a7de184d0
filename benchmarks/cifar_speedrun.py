"""The CIFAR-10 speed run: how many minutes to a given accuracy, here and with PyTorch, and what each ingredient brings.

::

    python -m benchmarks.cifar_speedrun [--seeds N] [--epochs N ...] [--torch] [--ladder] [--muon] [--only NAME]
                                        [--threads N] [--json FILE]
    python -m benchmarks.cifar_speedrun --in-turns 5   # how long a step takes on either side, in minutes instead of hours
    python -m benchmarks.cifar_speedrun --quick        # 2,000 pictures, one epoch: shows that all of it works

Every accuracy is of the 10,000 test pictures, which decide nothing, and stands there twice: of the pictures as they are, and of
six views of each (`minicnn.recipes.speed_run.six_view_scores`). The time is that of training, from the first batch to the last,
with the variation of the pictures in it, and in a first run the compilation of kernels; reading the data is not. With
``--torch`` PyTorch runs the same recipe after ours, from the same first weights, on the same batches and cores. ``--ladder``
begins without any ingredient and adds one after the other. ``--muon`` adds a run with Muon (`minicnn.recipes.MuonSpeedRun`), of
fewer epochs, here alone. With several numbers of epochs, each recipe is trained anew for each, which tells how long it takes to
a given accuracy. The JSON file has what has finished, whatever happens later. ``--in-turns N`` trains on a few batches here,
then in PyTorch, then here again, N times, so that a machine whose speed varies is fair to both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from minicnn.cache import write_bytes
from minicnn.data.cifar10 import CIFAR10_CLASSES, find_cifar10
from minicnn.models import Model
from minicnn.recipes import MuonSpeedRun
from minicnn.recipes.speed_run import SpeedRun, six_view_scores
from minicnn.runtime.workers import get_threads, set_threads
from minicnn.training.callbacks import Callback

from .limits import measure_limits
from .machine import describe, summary_of, torch_is_here
from .table import format_table

INGREDIENTS = ("whitening", "dirac", "fast_biases", "lookahead", "alternating_flip")
BARE = dict.fromkeys(INGREDIENTS, False)
QUICK_PICTURES = 2000
TEST_BATCH = 250
STEPS = 4  # of each side in a round of --in-turns
HEADINGS = {
    "who": "",
    "recipe": "recipe",
    "seed": "seed",
    "epochs": "epochs",
    "minutes": "minutes",
    "accuracy": "accuracy %",
    "with_views": "six views %",
}

Scores = Callable[[np.ndarray], np.ndarray]


class EpochLines(Callback):
    """Says after each epoch how far the run is."""

    def on_epoch_end(self, run) -> None:
        print(f"minicnn: epoch {run.epoch}/{run.epochs}, loss {run.meter.loss:.3f}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, save; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cifar_speedrun", description=__doc__.split("\n")[0])
    parser.add_argument("--data", metavar="FOLDER", help="with CIFAR-10 (default: where MINICNN_DATA says)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="runs of each recipe (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, metavar="N")
    parser.add_argument("--epochs", type=int, nargs="+", metavar="N", help="one run for each (default: those of the recipe)")
    parser.add_argument("--torch", action="store_true", help="the same in PyTorch")
    parser.add_argument("--ladder", action="store_true", help="one ingredient after the other")
    parser.add_argument("--muon", action="store_true", help="also with Muon, which PyTorch does not run")
    parser.add_argument("--only", default="", metavar="NAME", help="of these recipes those with this in their name")
    parser.add_argument("--in-turns", type=int, metavar="N", help="no run: the time of a step, N times in turns with PyTorch")
    parser.add_argument("--threads", type=int, metavar="N", help="of both sides (default: as many as there are cores)")
    parser.add_argument("--quick", action="store_true", help="2,000 pictures, one epoch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all numbers go")
    options = parser.parse_args(arguments)
    if (options.torch or options.in_turns) and not torch_is_here():
        parser.error("--torch and --in-turns need PyTorch, which is not installed: pip install torch")
    set_threads(options.threads or get_threads())

    found = find_cifar10(options.data)
    x, y, x_test, y_test = found.load()
    x, x_test = (np.ascontiguousarray(pictures.transpose(0, 2, 3, 1)) for pictures in (x, x_test))
    if options.quick:
        x, y, x_test, y_test, options.epochs = *_some(x, y), *_some(x_test, y_test), [1]
    machine = describe(get_threads(), measure_limits(get_threads(), 5))
    print(f"{found.describe()}; {len(x):,} pictures to train on, {len(x_test):,} to test")
    print(f"{summary_of(machine)}, {machine['date']}")

    if options.in_turns:
        seconds = in_turns(SpeedRun(epochs=1), x, y, options.in_turns)
        return print_turns(seconds, machine, options.json)
    rows = []
    found_recipes = [one for epochs in options.epochs or [None] for one in recipes(epochs, options.ladder, options.muon)]
    for recipe_name, recipe in [one for one in found_recipes if options.only in one[0]]:
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            model = recipe.network(x, CIFAR10_CLASSES, seed)
            for who in ("minicnn", "PyTorch") if options.torch and not isinstance(recipe, MuonSpeedRun) else ("minicnn",):
                started = time.perf_counter()
                scores = TRAIN[who](recipe, model, x, y, seed)
                minutes = (time.perf_counter() - started) / 60
                plain, views = accuracies(scores, model, x_test, y_test)
                rows.append(
                    {"who": who, "recipe": recipe_name, "seed": seed, "epochs": recipe.epochs, "minutes": round(minutes, 2)}
                    | {"accuracy": round(100 * plain, 2), "with_views": round(100 * views, 2)}
                )
                print(format_table(rows[-1:], HEADINGS), flush=True)
                if options.json:
                    content = {"machine": machine, "data": found.describe(), "rows": rows}
                    write_bytes(options.json, json.dumps(content, indent=1).encode() + b"\n")
    print(f"\n{format_table(rows, HEADINGS)}")
    print(f"\n{format_table(means(rows), HEADINGS | {'seed': 'runs'})}" if options.seeds > 1 else "")
    if options.json:
        print(options.json)
    return 0


def in_turns(recipe: SpeedRun, x: np.ndarray, y: np.ndarray, rounds: int) -> dict[str, list[float]]:
    """Seconds a step of each side in each round; a round before these, which compiles, is not counted."""
    pictures, labels = x[: STEPS * recipe.batch_size], y[: STEPS * recipe.batch_size]
    model = recipe.network(x, CIFAR10_CLASSES, 0)
    seconds: dict[str, list[float]] = {who: [] for who in TRAIN}
    for number in range(rounds + 1):
        for who, train in TRAIN.items():
            started = time.perf_counter()
            train(recipe, model, pictures, labels, number)
            seconds[who].append((time.perf_counter() - started) / STEPS)
    return {who: times[1:] for who, times in seconds.items()}


def print_turns(seconds: dict[str, list[float]], machine: dict, target: Path | None) -> int:
    """The median step of each side, and how much longer PyTorch's is, round by round."""
    for who, times in seconds.items():
        print(f"{who:<8} {statistics.median(times):.2f} s a step ({min(times):.2f} to {max(times):.2f})")
    ratios = [theirs / ours for ours, theirs in zip(*seconds.values(), strict=True)]
    print(f"PyTorch's time / ours: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    if target:
        write_bytes(target, json.dumps({"machine": machine, "seconds": seconds}, indent=1).encode() + b"\n")
    return 0


def recipes(epochs: int | None, ladder: bool, muon: bool) -> list[tuple[str, SpeedRun]]:
    """The recipe with everything; for a ladder also those before it, from the bare one on; and the one with Muon."""
    full = SpeedRun(epochs=epochs or SpeedRun.epochs)
    rungs = [("all ingredients", full)]
    if ladder:
        recipe = replace(full, **BARE)
        rungs = [("none of them", recipe)]
        for name in INGREDIENTS:
            recipe = replace(recipe, **{name: True})
            rungs.append((f"+ {name.replace('_', ' ')}", recipe))
    return rungs + ([("Muon", MuonSpeedRun(epochs=epochs or MuonSpeedRun.epochs))] if muon else [])


def means(rows: list[dict]) -> list[dict]:
    """For each side, recipe and number of epochs the means over seeds, and the standard deviation of the accuracies."""
    found = []
    for who, recipe, epochs in dict.fromkeys((row["who"], row["recipe"], row["epochs"]) for row in rows):
        own = [row for row in rows if (row["who"], row["recipe"], row["epochs"]) == (who, recipe, epochs)]
        mean = {name: statistics.mean(row[name] for row in own) for name in ("minutes", "accuracy", "with_views")}
        text = {
            name: f"{mean[name]:.2f} ± {statistics.stdev([row[name] for row in own]) if len(own) > 1 else 0:.2f}"
            for name in ("accuracy", "with_views")
        }
        found.append({"who": who, "recipe": recipe, "seed": len(own), "epochs": epochs} | mean | text)
    return found


def accuracies(scores: Scores, model: Model, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The share of test pictures named right, as they are and by six views."""
    right = np.zeros(2)
    for start in range(0, len(x), TEST_BATCH):
        batch, labels = model.preprocessing.normalise(x[start : start + TEST_BATCH]), y[start : start + TEST_BATCH]
        for k, answer in enumerate((scores(batch), six_view_scores(scores, batch))):
            right[k] += (answer.argmax(axis=1) == labels).sum()
    return tuple((right / len(x)).tolist())


def train_here(recipe: SpeedRun, model: Model, x: np.ndarray, y: np.ndarray, seed: int) -> Scores:
    """Train a copy of the model; returns the function from inputs (N, C, H, W) to scores (N, K)."""
    model = model.copy()
    recipe.trainer(model, seed, progress=False, callbacks=[EpochLines()]).fit(x, y)
    return model.forward


def train_with_pytorch(recipe: SpeedRun, model: Model, x: np.ndarray, y: np.ndarray, seed: int) -> Scores:
    """The same in PyTorch."""
    import torch

    from .torch_speedrun import train_in_torch

    torch.set_num_threads(get_threads())
    return train_in_torch(recipe, model, x, y, seed, lambda text: print(text, flush=True))


TRAIN = {"minicnn": train_here, "PyTorch": train_with_pytorch}


def _some(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = np.random.default_rng(0).permutation(len(x))[:QUICK_PICTURES]
    return x[rows], y[rows]


if __name__ == "__main__":
    raise SystemExit(main())
