"""Fine-tuning against the linear probe: from where to start, what to train, and what to average; measured on a grid of tasks.

python lessons/laboratory/fine_tuning.py [--quick] [--seeds N] [--out FOLDER]
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from fine_tuning_cells import DEFAULT, FORMER, GRID, QUICK_GRID, TITLES, GridCell, grid_piece, in_words
from lab import Experiment, mean_and_interval, percent
from pairs import Difference, difference, words
from pieces import Workshop, digest_of, piece
from quadrants import SMALL_NET
from scenario_plan import FULL, QUICK, SOURCE
from small_data import FILES, decode_cifar
from small_nets import pretrain
from transfer_tasks import CODE

from minicnn.course.workbench import BLUE, GREY, ORANGE
from minicnn.transfer.strategies import LINEAR

THIRDS = ("lower", "middle", "upper")


@dataclass
class Measured:
    """A cell with the results of its seeds, as `grid_piece` gives them."""

    cell: GridCell
    results: list[dict]

    def tests(self, strategy: str) -> list[float]:
        """Test accuracy of each seed that has carried it out."""
        return [result["tests"][strategy] for result in self._with(strategy)]

    def _with(self, *strategies: str) -> list[dict]:
        return [result for result in self.results if set(strategies) <= set(result["tests"])]

    def gain(self, a: str, b: str) -> Difference:
        """How much better a is than b, over the seeds that have carried out both."""
        both = self._with(a, b)
        return difference([result["tests"][a] for result in both], [result["tests"][b] for result in both])

    def mean(self, strategy: str) -> float:
        return float(np.mean(self.tests(strategy)))

    @property
    def strategies(self) -> list[str]:
        return list(self.results[0]["tests"])

    @property
    def linear(self) -> str:
        """The better of the linear classifiers, on average: what fine-tuning is compared with."""
        return max(LINEAR, key=self.mean)

    @property
    def former_or_linear(self) -> str:
        """The better of that and of fine-tuning as it was before."""
        return max(self.linear, FORMER, key=self.mean)

    def networks(self, strategy: str) -> dict[str, list[float]]:
        """Test accuracies of the networks that a strategy chose from, by their names."""
        found = [result["networks"][strategy]["tests"] for result in self._with(strategy)]
        return {name: [tests[name] for tests in found] for name in found[0]}


def main(argv: Sequence[str] | None = None) -> None:
    title = "Fine-tuning that does not lose to the probe"
    experiment = Experiment.from_arguments(__file__, title, seeds=5, quick_seeds=1, argv=argv)
    grid, plan = (QUICK_GRID, QUICK) if experiment.quick else (GRID, FULL)
    for file in (*FILES.values(), "mnist", "ants-bees.zip"):
        experiment.data(file)
    decode_cifar(plan.most)
    decode_cifar((1000, grid[-1].tests))
    workshop = Workshop()
    arguments = {"data": "CIFAR-10", "classes": SOURCE, "most": plan.most, "per_class": plan.most[0]}
    trained = piece("pretraining the small network", pretrain, **arguments, recipe=plan.source, seed=0)
    source = workshop.run([trained])[0]["file"]
    code = digest_of([*CODE, sys.modules[grid_piece.__module__]])
    work = {
        cell: [
            piece(f"{cell.title}, seed {seed}", grid_piece, cell=cell.of_seed(number), source=source, seed=seed, code=code)
            for number, seed in enumerate(experiment.seeds[: cell.seeds])
        ]
        for cell in grid
    }
    measured = [Measured(cell, results) for cell, results in workshop.run_lists(work, in_words).items()]
    report(experiment, measured, workshop)


def report(experiment: Experiment, measured: list[Measured], workshop: Workshop) -> None:
    few = max(len(one.results) for one in measured)
    experiment.text(
        "Every cell is a network, a collection and a number of pictures to learn from. Each seed draws those pictures, the "
        "same for all strategies, which are those of `minicnn transfer`. With up to 666 pictures to learn from, fine-tuning "
        "begins under a strongly regularised linear probe (LP-FT), in four folds whose weights are averaged and moved halfway "
        "back, unless that is surely worse on what is held out; where the mean knows less of the pictures to learn from than "
        "the four networks do, one is trained anew on all of them. With more pictures it begins under a head of zeros. The "
        "small network begins under the linear probe itself, is trained six times as long, and does not go back. Fine-tuning "
        "ends with the linear classifier where it is worse than that on what is held out. *The default* is what `minicnn "
        "transfer` takes unasked: the upper layers; but the batch norms, which are not moved halfway back, where a large "
        "network has few pictures whose channels' statistics are unlike those it remembers. Everything that is chosen "
        "(regularisation, epochs, third, mixture, soup) is chosen there; test pictures are used for the numbers below alone. "
        f"The column *{TITLES[FORMER]}* is what the default was before: upper layers and a random head together, batch norm "
        "trained, a single validation part. EfficientNet-Lite0 sees pictures of 64 x 64 or 96 x 96 pixels here, far less than "
        "its 224 x 224, so that all this fits into some hours; the small network is that of the four scenarios, trained on "
        "five classes of CIFAR-10, and sees the other five. What the default never is, is carried out for the first seed only. "
        f"Mean ± half of the 95 % interval over up to {few} seed{'s' * (few > 1)}."
    )
    strategies = list(dict.fromkeys(s for one in measured for s in one.strategies if s != DEFAULT))
    rows = []
    for one in measured:
        best = max((s for s in one.strategies if s != DEFAULT), key=one.mean)
        cells = [percent(one.tests(s)) if s in one.strategies else "" for s in strategies]
        marked = [f"**{text}**" if s == best else text for s, text in zip(strategies, cells, strict=True)]
        default = Counter(result["chosen"][DEFAULT] for result in one.results)
        rows.append([one.cell.title, one.cell.kind, len(one.results), *marked, words(list(default))])
    experiment.table(["task", "kind", "seeds", *(TITLES[s] for s in strategies), "the default is"], rows)
    experiment.figure(draw(measured), "Each fine-tuning against the better linear classifier, in points of test accuracy")
    claims(experiment, measured)
    experiment.text(workshop.describe())
    cells = [vars(one.cell) | {"title": one.cell.title, "results": one.results} for one in measured]
    experiment.finish({"cells": cells})


def claims(experiment: Experiment, measured: list[Measured]) -> None:
    """What the literature says, against what was found here."""
    experiment.text("## The default against the linear classifier, and against a random head")
    experiment.table(
        ["task", f"{TITLES[DEFAULT]}, against the better linear classifier", "against a random head"],
        [[one.cell.title, one.gain(DEFAULT, one.linear), one.gain(DEFAULT, FORMER)] for one in measured],
    )
    over_all(experiment, "A random head against the better linear classifier", measured, FORMER, lambda one: one.linear)
    over_all(experiment, "The default against a random head", measured, DEFAULT, lambda one: FORMER)
    over_all(experiment, "The default against the better linear classifier", measured, DEFAULT, lambda one: one.linear)
    either = "The default against whichever of these two is better in each cell, known afterwards"
    over_all(experiment, either, measured, DEFAULT, lambda one: one.former_or_linear)
    better = [one.mean(one.former_or_linear) for one in measured]
    ours = [one.mean(DEFAULT) for one in measured]
    experiment.text(
        f"The mean over the grid: {100 * np.mean(ours):.1f} % for the default; "
        f"{100 * np.mean([one.mean(one.linear) for one in measured]):.1f} % for the better linear classifier, "
        f"{100 * np.mean([one.mean(FORMER) for one in measured]):.1f} % with a random head, and {100 * np.mean(better):.1f} % "
        "for the better of these two."
    )
    similar = [one for one in measured if one.cell.kind == "similar" and one.cell.per_class <= 120]
    worst = min(similar, key=lambda one: one.mean(DEFAULT) - one.mean(one.linear))
    experiment.text(
        f"On the {len(similar)} small and similar sets it loses at most "
        f"{max(0.0, 100 * (worst.mean(worst.linear) - worst.mean(DEFAULT))):.1f} points to the better linear classifier "
        f"({worst.cell.title})."
    )
    surgical_claim(experiment, [one for one in measured if "surgical" in one.strategies])
    for strategy, heading in (("norms", "## Batch norms alone"), ("biases", "## Biases alone")):
        with_it = [one for one in measured if strategy in one.strategies]
        if with_it:
            experiment.text(heading)
            over_all(experiment, "Against the better linear classifier", with_it, strategy, lambda one: one.linear)
            over_all(experiment, "Against the upper layers", with_it, strategy, lambda one: "finetune-upper")
    soup_claim(experiment, [one for one in measured if "soup" in one.strategies])
    mixture_claim(experiment, [one for one in measured if "interpolate" in one.strategies])


def over_all(
    experiment: Experiment, text: str, measured: list[Measured], strategy: str, other: Callable[[Measured], str]
) -> None:
    """The mean of the differences over cells, and in how many it is surely of one sign."""
    gains = [one.gain(strategy, other(one)) for one in measured]
    mean, half = mean_and_interval([g.mean for g in gains])
    signs = Counter(g.sign for g in gains)
    spread = "" if np.isnan(half) else f" ± {half:.1f}"
    sure = f"; surely better in {signs[1]}, surely worse in {signs[-1]}" if any(g.known for g in gains) else ""
    above = sum(g.mean > 0 for g in gains)
    experiment.text(f"{text}: {mean:+.1f}{spread} points in the mean of {len(gains)} cells, better in {above} of them{sure}.")


def surgical_claim(experiment: Experiment, measured: list[Measured]) -> None:
    if not measured:
        return
    experiment.text(
        "## One third of the layers\n\nLee et al. 2023: the lowest layers for pictures that look otherwise, the highest for "
        "other classes. Test accuracy of each third, trained alone under the probe, and which was chosen on what was held out:"
    )
    rows = []
    for one in measured:
        thirds = one.networks("surgical")
        best = max(thirds, key=lambda name: np.mean(thirds[name]))
        chosen = Counter(result["chosen"]["surgical"] for result in one.results if "surgical" in result["chosen"])
        cells = [f"**{percent(values)}**" if name == best else percent(values) for name, values in thirds.items()]
        rows.append([one.cell.title, one.cell.kind, *cells, words([f"{name} ({n})" for name, n in chosen.most_common()])])
    experiment.table(["task", "kind", *(f"{name} third" for name in THIRDS), "chosen (seeds)"], rows)
    for kind in dict.fromkeys(one.cell.kind for one in measured):
        ofkind = [one.networks("surgical") for one in measured if one.cell.kind == kind]
        best = Counter(max(thirds, key=lambda name: np.mean(thirds[name])) for thirds in ofkind)
        experiment.text(f"Best third, {kind}: {words([f'{name} in {n}' for name, n in best.most_common()])}.")


def soup_claim(experiment: Experiment, measured: list[Measured]) -> None:
    if not measured:
        return
    gains = []
    for one in measured:
        found = one.networks("soup")
        singles = [name for name in found if " + " not in name]
        together = found[" + ".join(singles)]
        gains.append(100 * (np.mean(together) - np.mean([found[name] for name in singles])))
    mean, half = mean_and_interval(gains)
    experiment.text(
        f"## Soups\n\nThree fine-tunings of the upper layers, at a third, once and three times the usual rate: the mean of all "
        f"three against what they are one by one: {mean:+.1f} ± {np.nan_to_num(half):.1f} points over {len(gains)} cells."
    )
    usual = "The soup that is chosen, against the usual rate alone"
    over_all(experiment, usual, measured, "soup", lambda one: "finetune-upper")


def mixture_claim(experiment: Experiment, measured: list[Measured]) -> None:
    if not measured:
        return
    experiment.text(
        "## Between the probe and the fine-tuned network\n\nWeights (1 - alpha) probe + alpha fine-tuned (WiSE-FT); test "
        "accuracy:"
    )
    alphas = list(measured[0].networks("interpolate"))
    rows = []
    for one in measured:
        found = one.networks("interpolate")
        best = max(found, key=lambda name: np.mean(found[name]))
        cells = [f"**{percent(found[name])}**" if name == best else percent(found[name]) for name in alphas]
        rows.append([one.cell.title, percent(one.tests("softmax")), *cells])
    experiment.table(["task", "the probe", *(f"alpha {alpha}" for alpha in alphas)], rows)
    over_all(experiment, "Alpha chosen on what is held out, against the probe", measured, "interpolate", lambda one: "softmax")


def draw(measured: list[Measured]) -> plt.Figure:
    """For each cell the differences of some strategies to the better linear classifier."""
    shown = ((FORMER, GREY, "o"), (DEFAULT, BLUE, "s"), ("soup", ORANGE, "^"))
    networks = list(dict.fromkeys(one.cell.network for one in measured))
    ordered = [one for network in networks for one in measured if one.cell.network == network]
    figure, ax = plt.subplots(figsize=(9, 1.5 + 0.3 * len(ordered)), layout="constrained")
    for row, one in enumerate(ordered):
        for place, (strategy, colour, marker) in enumerate(shown):
            if strategy in one.strategies:
                found = one.gain(strategy, one.linear)
                style = {"fmt": marker, "color": colour, "markersize": 5, "capsize": 2, "elinewidth": 1}
                ax.errorbar(found.mean, row + 0.22 * (place - 1), xerr=np.nan_to_num(found.half), **style)
    for strategy, colour, marker in shown:
        ax.plot([], [], marker, color=colour, label=TITLES[strategy])
    ax.axvline(0, color="black", linewidth=0.8)
    titles = [one.cell.title.replace(f"{SMALL_NET}: ", "small: ").replace("efficientnet_lite0: ", "") for one in ordered]
    ax.set_yticks(range(len(ordered)), titles, fontsize=8)
    ax.set(
        ylim=(len(ordered) - 0.4, -0.6), xlabel="points of test accuracy above the better linear classifier (95 % intervals)"
    )
    ax.grid(axis="x", color="#e4e4e4")
    ax.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8.5)
    return figure


if __name__ == "__main__":
    main()
