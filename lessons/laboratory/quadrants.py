"""The lecture's recommendations compared with the measured strategies, and the quadrant map of the measurements."""

from __future__ import annotations

from dataclasses import dataclass, field

import matplotlib.pyplot as plt
import numpy as np
from lab import mean_and_interval, percent
from pairs import Difference, difference, words
from strategies import COMPARED, TITLES

from minicnn.course.workbench import BLUE, GREEN, GREY, ORANGE

# Of the lecture (CS231n, "Transfer Learning"): what to do, by the size of the new data and how much they are like the old.
RECOMMENDED = {
    ("small", "similar"): "svm",
    ("large", "similar"): "finetune-all",
    ("small", "different"): "svm-earlier",
    ("large", "different"): "finetune-all",
}
SMALL_NET = "small_net"  # of the map's main rows; another network has a row of its own
SHORT = {
    "svm": "SVM, last codes",
    "svm-earlier": "SVM, earlier codes",
    "finetune-upper": "fine-tune upper",
    "finetune-all": "fine-tune all",
    "scratch": "from scratch",
}
COLOURS = dict(zip(COMPARED, (BLUE, "#6fb1e8", "#e8a36f", ORANGE, GREY), strict=True))


@dataclass
class Cell:
    """One field of the map: a network, new data, and the results of each strategy.

    Attributes
    ----------
    runs : dict
        For each strategy one dictionary a seed, with "test_accuracy" and "seconds" at least.
    chosen : dict
        For each strategy, what was chosen for it on validation, in words.
    """

    network: str
    data: str
    classes: list[str]
    pictures_per_class: int
    size: str
    similarity: str
    seeds: list[int]
    runs: dict[str, list[dict]] = field(default_factory=dict)
    chosen: dict[str, str] = field(default_factory=dict)

    def accuracies(self, strategy: str) -> list[float]:
        return [run["test_accuracy"] for run in self.runs[strategy]]

    def seconds(self, strategy: str) -> float:
        return float(np.mean([run["seconds"] for run in self.runs[strategy]]))

    def difference(self, a: str, b: str) -> Difference:
        """Of two strategies, over the first seeds, which both have: the dearer one may have been run for fewer."""
        common = min(len(self.runs[a]), len(self.runs[b]))
        return difference(self.accuracies(a)[:common], self.accuracies(b)[:common])

    @property
    def best(self) -> str:
        """The strategy of the highest mean accuracy; of equals the cheapest."""
        return max(self.runs, key=lambda strategy: np.mean(self.accuracies(strategy)))

    @property
    def recommended(self) -> str | None:
        """What the lecture recommends here; None where it says nothing (data of middle size)."""
        return RECOMMENDED.get((self.size, self.similarity))

    @property
    def title(self) -> str:
        return f"{self.size}, {self.similarity}: {self.data}, {self.pictures_per_class} a class"

    def best_codes(self) -> str:
        """Layer and kind of codes with the highest mean test accuracy of a linear SVM, in words."""
        depths = [run["depth"] for run in self.runs["svm"]]
        means = {
            (layer, kind): np.mean([depth[layer][kind]["test_accuracy"] for depth in depths])
            for layer, kinds in depths[0].items()
            for kind in kinds
        }
        layer, kind = max(means, key=means.get)
        return f"{layer} ({kind}), {100 * means[layer, kind]:.1f} %"

    def record(self) -> dict:
        """For the JSON file."""
        strategies = {
            key: {
                "title": TITLES[key],
                "accuracies": self.accuracies(key),
                "seconds": [run["seconds"] for run in runs],
                "chosen": self.chosen.get(key, ""),
                "runs": runs,
            }
            for key, runs in self.runs.items()
        }
        described = {key: value for key, value in vars(self).items() if key not in ("runs", "chosen")}
        return described | {"recommended": self.recommended, "best": self.best, "strategies": strategies}


@dataclass(frozen=True)
class Verdict:
    """Whether a recommendation held in its cell.

    Attributes
    ----------
    held : bool or None
        False: another strategy was surely better. True: no other was, and it was surely better than some. None: cannot be told.
    differences : dict
        Recommended strategy minus each other one.
    """

    cell: Cell
    held: bool | None
    differences: dict[str, Difference]

    def __str__(self) -> str:
        recommended, cell = self.cell.recommended, self.cell

        def named(sign: int) -> str:
            """The others, where it was surely better (1), surely worse (-1) or neither (0)."""
            return words([f"{TITLES[key]} ({d})" for key, d in self.differences.items() if d.sign == sign]) or "none"

        word = {True: "held", False: "did not hold", None: "cannot be told"}[self.held]
        rank = "the best of all" if cell.best == recommended else f"the best was: {TITLES[cell.best]}"
        ours = percent(cell.accuracies(recommended))
        return (
            f"**{cell.size}, {cell.similarity}** ({cell.data}): {TITLES[recommended]} ({ours} %): "
            f"**{word}**; {rank}. Surely better than: {named(1)}. Surely worse than: {named(-1)}. Neither: {named(0)}."
        )


def judge(cell: Cell) -> Verdict:
    """The lecture's recommendation for this cell against the other strategies, seed by seed."""
    others = [key for key in cell.runs if key != cell.recommended]
    differences = {key: cell.difference(cell.recommended, key) for key in others}
    signs = {d.sign for d in differences.values()}
    return Verdict(cell, False if -1 in signs else True if 1 in signs else None, differences)


# ---- figures


def quadrant_map(cells: list[Cell]) -> plt.Figure:
    """The cells as a map: similar data on the left, different data on the right; a row for each size, and for each network."""
    rows = list(dict.fromkeys(_row(cell) for cell in cells))
    figure, axes = plt.subplots(len(rows), 2, figsize=(9, 1.95 * len(rows) + 0.8), squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.set_axis_off()
    for cell in cells:
        _draw_cell(axes[rows.index(_row(cell)), int(cell.similarity == "different")], cell)
    axes[0, 0].annotate("SIMILAR", (0.5, 1.32), xycoords="axes fraction", ha="center", weight="bold")
    axes[0, 1].annotate("DIFFERENT", (0.5, 1.32), xycoords="axes fraction", ha="center", weight="bold")
    figure.supxlabel(
        "test accuracy, %  (mean over seeds with its 95 % interval; bold: the best;  ★ what the lecture recommends)", size=9
    )
    return figure


def _row(cell: Cell) -> str:
    return cell.size.upper() if cell.network == SMALL_NET else cell.network


def _draw_cell(ax: plt.Axes, cell: Cell) -> None:
    ax.set_axis_on()
    keys = list(cell.runs)
    values = np.array([mean_and_interval([100 * a for a in cell.accuracies(key)]) for key in keys])
    means, halves = values[:, 0], np.nan_to_num(values[:, 1])
    for place, key in enumerate(keys):
        ax.errorbar(means[place], place, xerr=halves[place], fmt="o", color=COLOURS[key], markersize=6, capsize=3)
        weight = "bold" if key == cell.best else "normal"
        at = (1.0, place)
        ax.annotate(
            f"{means[place]:.1f}", at, xycoords=("axes fraction", "data"), va="center", ha="right", size=8.5, weight=weight
        )
    low, high = (means - halves).min(), (means + halves).max()
    room = 0.08 * (high - low) + 0.5
    ax.set_xlim(low - room, high + room + 0.25 * (high - low + 2 * room))  # the numbers on the right stand clear of the points
    ax.set_ylim(len(keys) - 0.4, -0.6)
    ax.set_yticks(range(len(keys)), [f"{'★ ' if key == cell.recommended else ''}{SHORT[key]}" for key in keys], fontsize=8.5)
    for label, key in zip(ax.get_yticklabels(), keys, strict=True):
        label.set_weight("bold" if key == cell.best else "normal")
    ax.grid(axis="x", color="#e4e4e4")
    ax.set_axisbelow(True)
    ax.set_title(f"{_row(cell)}: {cell.data}, {cell.pictures_per_class} pictures a class", fontsize=9, loc="left")


def accuracy_by_size(cells: list[Cell]) -> plt.Figure:
    """Where the strategies' lines cross: accuracy over the number of pictures, one panel for each data set."""
    panels = list(dict.fromkeys(cell.data for cell in cells))
    figure, axes = plt.subplots(1, len(panels), figsize=(9, 3.9), squeeze=False, layout="constrained")
    for ax, data in zip(axes[0], panels, strict=True):
        shown = sorted((cell for cell in cells if cell.data == data), key=lambda cell: cell.pictures_per_class)
        sizes = [cell.pictures_per_class for cell in shown]
        for number, key in enumerate(COMPARED):
            values = np.array([mean_and_interval([100 * a for a in cell.accuracies(key)]) for cell in shown])
            moved = np.array(sizes) * 1.04 ** (number - 2)  # side by side, or the intervals hide each other
            style = {"color": COLOURS[key], "marker": "o", "markersize": 5, "capsize": 3}
            ax.errorbar(moved, values[:, 0], np.nan_to_num(values[:, 1]), label=TITLES[key], **style)
        ax.set(xscale="log", xlabel="training pictures of each class", ylabel="test accuracy, %" if data == panels[0] else "")
        ax.set_title(f"{shown[0].similarity}: {data}", loc="left")
        ax.set_xticks(sizes, list(map(str, sizes)))
        ax.minorticks_off()
        ax.grid(axis="y", color="#e4e4e4")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8.5)
    return figure


def accuracy_by_depth(cells: list[Cell]) -> plt.Figure:
    """Linear SVMs on the codes of each layer, averaged over the picture or over a grid of its parts, one panel a data set."""
    panels = list(dict.fromkeys((cell.network, cell.data) for cell in cells))
    figure, axes = plt.subplots(1, len(panels), figsize=(3.0 * len(panels) + 0.4, 4.2), squeeze=False, layout="constrained")
    for ax, panel in zip(axes[0], panels, strict=True):
        shown = [cell for cell in cells if (cell.network, cell.data) == panel]
        layers = list(shown[0].runs["svm"][0]["depth"])
        for cell, colour in zip(shown, (BLUE, GREEN, ORANGE), strict=False):
            depths = [run["depth"] for run in cell.runs["svm"]]
            for kind, line in (("mean", "-"), ("grid", "--")):
                places = [i for i, name in enumerate(layers) if kind in depths[0][name]]
                accuracies = [[100 * depth[layers[i]][kind]["test_accuracy"] for depth in depths] for i in places]
                values = np.array([mean_and_interval(at) for at in accuracies])
                style = {"color": colour, "linestyle": line, "marker": "o", "markersize": 4, "capsize": 2}
                label = f"{cell.pictures_per_class} a class" + (", in a grid" if kind == "grid" else "")
                ax.errorbar(places, values[:, 0], np.nan_to_num(values[:, 1]), label=label, **style)
        ax.set_xticks(range(len(layers)), layers, rotation=40 if len(layers) > 5 else 0, fontsize=8.5)
        ax.set_ylabel("test accuracy, %" if panel == panels[0] else "")
        ax.set_title(
            f"{shown[0].similarity}: {panel[1]}" + ("" if panel[0] == SMALL_NET else "\n(EfficientNet-Lite0)"),
            size=9,
            loc="left",
        )
        ax.grid(axis="y", color="#e4e4e4")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), fontsize=7.5)
    return figure
