"""The report on the advisor: how often its advice is good, and which of the scores correlate with measured accuracies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from lab import Experiment, percent
from pieces import Workshop
from scipy.stats import spearmanr
from strategies import COMPARED

from minicnn.advisor.rules import LECTURE
from minicnn.course.workbench import BLUE, GREY, INK, ORANGE
from minicnn.transfer.similarity import SIMILAR_SHIFT

TARGET = 0.85  # share of good advice that is asked for
SAME_LAYER = {"pool": "conv5"}  # of the small network: the advisor names the pool, the scenarios the convolution below it
SCORES = {"cross-validation": "accuracy", "k-NN": "knn", "LogME": "logme", "H-score": "h_score"}
PREDICTED = (0.01, 0.02, 0.05, 0.1, 0.2)  # differences between which those of codes are counted together


@dataclass
class Checked:
    """A network and data with the accuracy of every strategy, and the advice that was given beforehand, seed by seed.

    Attributes
    ----------
    accuracies : dict
        Of each strategy that was carried out, one a seed.
    tests : int
        Pictures in the test part.
    advice : list of dict
        See `advisor_cells.advice_on`; one for each seed that draws other pictures.
    depth : list of dict
        For some seeds, test accuracies of linear classifiers on the codes of each layer.
    seen : bool
        Whether rules or thresholds may have been chosen by it.
    """

    title: str
    accuracies: dict[str, list[float]]
    tests: int
    advice: list[dict]
    depth: list[dict]
    seen: bool

    def mean(self, strategy: str) -> float:
        return float(np.mean(self.accuracies[strategy]))

    @property
    def best(self) -> str:
        return max(self.accuracies, key=self.mean)

    @property
    def error(self) -> float:
        """Standard error of the best strategy's mean accuracy: from the seeds, and from the test part's limited size.

        sqrt(s^2 / n + p (1 - p) / N) with s the standard deviation over n seeds and N test pictures.
        """
        values, p = self.accuracies[self.best], self.mean(self.best)
        over_seeds = np.var(values, ddof=1) / len(values) if len(values) > 1 else 0.0
        return float(np.sqrt(over_seeds + p * (1 - p) / self.tests))

    def good(self, strategy: str) -> bool:
        """Whether a strategy is the best or within one standard error of it; one that was not carried out is not."""
        return strategy in self.accuracies and self.mean(strategy) >= self.mean(self.best) - self.error

    def share_good(self, choose: Callable[[dict], str]) -> float:
        """Of the seeds' advice, the share that is good."""
        return float(np.mean([self.good(choose(advice)) for advice in self.advice]))


def report(experiment: Experiment, checked: list[Checked], imagenet: dict[str, dict], workshop: Workshop) -> None:
    experiment.text(
        "The advisor looks at pictures and a pretrained network, trains nothing but linear classifiers, and names a strategy. "
        "Here the strategies are carried out, and its advice is compared with what they achieved on test pictures. Advice "
        "counts as **good** if the strategy is the best of those that were carried out or within one standard error of it: "
        "sqrt(s² / n + p (1 - p) / N), with s the standard deviation over n seeds, p the accuracy and N the test pictures."
    )
    experiment.text(
        "The cells that are *seen*, those of the four scenarios and some others, are those by which the advisor's rules and "
        "thresholds may have been chosen. What it has *not seen* are other networks, data and sizes, written down before they "
        "were measured, with one fixed recipe each. Of the seen ones, those beside the four scenarios are carried out for the "
        "first seed only."
    )
    rows = []
    for cell in checked:
        for key in cell.accuracies:
            named = sum(advice["strategy"] == key for advice in cell.advice)
            marks = ("★ " if key == cell.best else "") + (f"advised {named} of {len(cell.advice)}" if named else "")
            verdict = ("good" if cell.good(key) else "not good") if named else ""
            first = key == next(iter(cell.accuracies))
            where = ("seen" if cell.seen else "not seen") if first else ""
            rows.append([cell.title if first else "", where, key, percent(cell.accuracies[key]), marks, verdict])
    experiment.table(["network: data", "", "strategy", "test accuracy %", "★ best", "advice"], rows)

    rules = {"the advisor": lambda advice: advice["strategy"], "the lecture's quadrant": by_lecture}
    rules |= {f"always {key}": (lambda advice, key=key: key) for key in COMPARED}
    groups = {"seen": [cell for cell in checked if cell.seen], "not seen": [cell for cell in checked if not cell.seen]}
    groups |= {"all": checked}
    rows, shares = [], {}
    for name, rule in rules.items():
        found = {group: share_good(cells, rule) for group, cells in groups.items()}
        shares[name] = found
        lost = [points_lost(cells, rule) for cells in (groups["not seen"], checked)]
        rows.append([name, *(_share(found[group], groups[group]) for group in groups), *lost])
    header = [*(f"good advice, {group} %" for group in groups), "points lost, not seen", "points lost, all"]
    experiment.table(["rule", *header], rows)
    for group, cells in groups.items():
        if cells:
            verdict = "reached" if shares["the advisor"][group] >= TARGET else "not reached"
            experiment.text(
                f"Good advice in at least {100 * TARGET:.0f} % of the cells that are {group}: **{verdict}** "
                f"({100 * shares['the advisor'][group]:.0f} % of {len(cells)} cells; a cell counts by the share of its seeds)."
            )
    experiment.figure(regret(checked), "How far below the best strategy the advised one is")
    layers, cells = across_layers(checked), across_cells(checked)
    experiment.text(
        "## The scores\n\nWhich of the literature's scores can be trusted? First, do they order the layers of one network as "
        "the test accuracies of linear classifiers on their codes (averaged over the picture) do? Spearman's rank correlation, "
        "mean over cells and seeds, and in brackets over how many."
    )
    experiment.table(["score", "similar", "different"], layers)
    experiment.text(
        "And over cells: does a higher score of the last codes go with a higher accuracy, of those codes and of the best?"
    )
    experiment.table(["score", "with the last codes' accuracy", "with the best strategy's", "cells"], cells)
    experiment.text(
        "Is a difference that cross-validation predicts as large as it says? Each layer's codes against the last ones: the "
        "difference of the accuracies in cross-validation beforehand, and of those on the test pictures, in points."
    )
    rows, slope = fidelity(checked)
    experiment.table(["predicted", "pairs", "predicted, mean", "tested, mean", "same sign %"], rows)
    if slope is not None:
        experiment.text(f"A predicted point is {slope:.2f} tested points (least squares through 0).")
    experiment.text(
        "Similarity, as the network sees it: the median shift of the channels' statistics in nats (up to "
        f"{SIMILAR_SHIFT} counts as similar), and how sure the old classifier is."
    )
    experiment.table(["network: data", "shift", "confidence %"], similarities(checked, imagenet))
    experiment.text(workshop.describe())
    results = [vars(cell) | {"best": cell.best, "error": cell.error} for cell in checked]
    experiment.finish({"cells": results, "good": shares, "imagenet": imagenet})


def by_lecture(advice: dict) -> str:
    """What CS231n says of the quadrant, with the advisor's own idea of many and similar."""
    return LECTURE[advice["many"], advice["similar"]]


def share_good(cells: Sequence[Checked], rule: Callable[[dict], str]) -> float:
    """Mean over cells; NaN without any."""
    return float(np.mean([cell.share_good(rule) for cell in cells])) if cells else float("nan")


def points_lost(cells: Sequence[Checked], rule: Callable[[dict], str]) -> str:
    """How far below the best strategy those are, on average, that a rule names."""
    named = [(cell, rule(advice)) for cell in cells for advice in cell.advice]
    lost = [100 * (cell.mean(cell.best) - cell.mean(key)) for cell, key in named if key in cell.accuracies]
    return f"{np.mean(lost):.1f}" if lost else "-"


def _share(value: float, cells: Sequence[Checked]) -> str:
    return f"{100 * value:.0f}" if cells else "-"


# ---- the scores


def across_layers(checked: Sequence[Checked]) -> list[list[str]]:
    """For each score: its mean rank correlation with the test accuracy of linear classifiers, over the layers of a network."""
    rows = []
    for title, key in SCORES.items():
        found: dict[bool, list[float]] = {True: [], False: []}
        for cell in checked:
            for advice, depth in zip(cell.advice, cell.depth, strict=False):
                pairs = [
                    (code[key], depth[SAME_LAYER.get(code["layer"], code["layer"])]["mean"]["test_accuracy"])
                    for code in advice["codes"]
                    if code["grid"] == 1 and SAME_LAYER.get(code["layer"], code["layer"]) in depth
                ]
                if len(pairs) >= 4:
                    found[advice["similar"]].append(spearmanr(*zip(*pairs, strict=True)).statistic)
        rows.append([title, *(_mean(found[similar]) for similar in (True, False))])
    return rows


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2f} ({len(values)})" if values else "-"


def across_cells(checked: Sequence[Checked]) -> list[list[str]]:
    """For each score of the last codes or of the old classifier: its rank correlation over cells with measured accuracies."""
    scores = {title: (lambda advice, key=key: advice["codes"][-1][key]) for title, key in SCORES.items()}
    scores |= {"LEEP": lambda advice: advice["leep"], "pixels": lambda advice: advice["pixels"]}
    rows = []
    for title, score in scores.items():
        values = [np.mean([score(advice) for advice in cell.advice]) for cell in checked]
        accuracies = [[cell.mean("svm") for cell in checked], [cell.mean(cell.best) for cell in checked]]
        found = [f"{spearmanr(values, means).statistic:.2f}" if len(checked) > 2 else "-" for means in accuracies]
        rows.append([title, *found, str(len(checked))])
    return rows


def fidelity(checked: Sequence[Checked]) -> tuple[list[list[str]], float | None]:
    """Rows of predicted and tested differences between layers' codes and the last ones, by size; and the slope through 0."""
    pairs = []
    for cell in checked:
        for advice, depth in zip(cell.advice, cell.depth, strict=False):
            codes = [code for code in advice["codes"] if code["grid"] == 1]
            tested = {code["layer"]: depth.get(SAME_LAYER.get(code["layer"], code["layer"]), {}).get("mean") for code in codes}
            last = codes[-1]
            for code in codes[:-1]:
                if tested[code["layer"]] and tested[last["layer"]]:
                    before = code["accuracy"] - last["accuracy"]
                    after = tested[code["layer"]]["test_accuracy"] - tested[last["layer"]]["test_accuracy"]
                    pairs.append((abs(before), after * (1 if before >= 0 else -1)))
    if not pairs:
        return [], None
    predicted, found = np.array(pairs).T
    rows = []
    for low, high in zip((0.0, *PREDICTED), (*PREDICTED, 1.0), strict=True):
        some = (predicted >= low) & (predicted < high)
        if some.any():
            means = (f"{100 * values[some].mean():.1f}" for values in (predicted, found))
            rows.append(
                [f"{100 * low:.0f} to {100 * high:.0f}", str(some.sum()), *means, f"{100 * (found[some] > 0).mean():.0f}"]
            )
    return rows, float(predicted @ found / (predicted @ predicted))


def similarities(checked: Sequence[Checked], imagenet: dict[str, dict]) -> list[list[str]]:
    """Shift and confidence, of ImageNet's own pictures and of each cell's."""
    found = {f"{network}: ImageNet": likeness for network, likeness in imagenet.items()}
    found |= {cell.title: cell.advice[0] for cell in checked}
    return [
        [title, "-" if one["shift"] is None else f"{one['shift']:.3f}", f"{100 * one['confidence']:.0f}"]
        for title, one in found.items()
    ]


# ---- the figure


def regret(checked: Sequence[Checked]) -> plt.Figure:
    """For each cell: how many points below the best strategy the advised one is, beside the standard error and the others."""
    figure, ax = plt.subplots(figsize=(8, 0.36 * len(checked) + 1.3), layout="constrained")
    for row, cell in enumerate(checked):
        best = cell.mean(cell.best)
        ax.barh(row, -100 * cell.error, color="#dddddd", height=0.7, label="within one standard error" if row == 0 else None)
        for number, key in enumerate(cell.accuracies):
            label = "all strategies" if row == number == 0 else None
            ax.plot(100 * (cell.mean(key) - best), row, "|", color=GREY, markersize=9, label=label)
        for number, key in enumerate(sorted({advice["strategy"] for advice in cell.advice} & set(cell.accuracies))):
            loss = 100 * (cell.mean(key) - best)
            ax.plot(loss, row, "o", color=ORANGE if cell.seen else BLUE, markersize=6)
            above_or_below = (0, 7 if number % 2 == 0 else -12)  # two that are close would lie on each other
            ax.annotate(key, (loss, row), above_or_below, textcoords="offset points", ha="center", fontsize=7, color=INK)
    for seen, colour in ((True, ORANGE), (False, BLUE)):
        if any(cell.seen == seen for cell in checked):
            ax.plot([], [], "o", color=colour, label=f"advised ({'seen' if seen else 'not seen'})")
    ax.set_yticks(range(len(checked)), [cell.title for cell in checked], fontsize=8)
    ax.set(xlabel="accuracy below the best strategy, points", ylim=(len(checked) - 0.4, -0.8))
    ax.set_xlim(max(ax.get_xlim()[0], -25), 1)
    ax.grid(axis="x", color="#e4e4e4")
    ax.set_axisbelow(True)
    ax.set_title("The advised strategy against the best one", loc="left")
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    return figure
