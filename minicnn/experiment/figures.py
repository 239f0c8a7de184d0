"""The figures of the transfer report, drawn from its results.

Every figure is a plain `matplotlib.figure.Figure` drawn under this package's own style: no pyplot, no window, no backend is
chosen and no setting of the caller's is changed.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from io import BytesIO
from itertools import groupby, pairwise
from typing import NamedTuple

import matplotlib.style
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from ..viz.style import (
    FAINT,
    GREY,
    INK,
    TRAIN,
    VAL,
    WIDTH,
    shorten,
    style,
)
from .confusion_figures import confusion, mistakes
from .duplicate_figures import near_duplicates
from .results import majority_baseline, recommended


class Drawing(NamedTuple):
    """One figure of the report: the file's name without ``.png``, its bytes, and its description.

    ``alt`` says in words what the figure shows, for a reader who cannot see it; ``caption`` says how to read it.
    """

    name: str
    heading: str
    png: bytes
    alt: str
    caption: str


def draw(results: dict, pictures) -> list[Drawing]:
    """Every figure that the results have data for, in reading order.

    Parameters
    ----------
    results : dict
        As `minicnn.experiment.report.write_report` takes them.
    pictures : PictureSet
        Whose ``picture(i)``, uint8 (H, W, 3), the mistakes are drawn from.
    """
    drawings = []
    with matplotlib.style.context(["default", style()]):
        for name, (heading, function) in FIGURES.items():
            drawn = function(results, pictures)
            if drawn is None:
                continue
            figure, alt, caption = drawn
            png = BytesIO()
            figure.savefig(png, format="png", metadata={"Software": None})
            drawings.append(Drawing(name, heading, png.getvalue(), alt, caption))
    return drawings


# ---- the figures: each (results, pictures) -> (Figure, alt, caption), or None where there is nothing to draw


def accuracy(results: dict, pictures=None):
    """Test accuracy of each strategy: a dot a seed, a bar for the mean, lines for published results and the baseline."""
    strategies = results["strategies"]
    if not strategies or sum(len(strategy["runs"]) for strategy in strategies) == 1:  # a single dot says nothing
        return None
    best = recommended(results)
    figure = Figure(figsize=(WIDTH, 1.5 + 0.55 * len(strategies)))
    axes = figure.add_subplot()
    values, labels = [], []
    for row, strategy in enumerate(strategies):
        dots = [100 * run["accuracy"] for run in strategy["runs"]]
        mean, colour = 100 * strategy["accuracy"]["mean"], VAL if strategy is best else TRAIN
        if len(dots) > 1:
            axes.plot(dots, [row] * len(dots), "o", color=colour, alpha=0.55, markersize=6, markeredgewidth=0, clip_on=False)
            mark = [row - 0.22, row + 0.22]
            axes.plot([mean, mean], mark, color=colour, linewidth=2.5, solid_capstyle="butt", clip_on=False)
        else:
            axes.plot(mean, row, "o", color=colour, markersize=7, clip_on=False)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.85}  # a line of the others may pass behind
        axes.text(mean, row - 0.27, f"{mean:.1f} %", ha="center", va="bottom", size=9, bbox=box)
        values += [*dots, mean]
        labels.append(textwrap.fill(strategy["title"] + (" (recommended)" if strategy is best else ""), 26))
    lines = [(100 * p["accuracy"], f"published: {p['title']}") for p in results.get("published", ())]
    if (baseline := majority_baseline(results)) and 100 * baseline[0] > min(values) - 15:
        lines.append((100 * baseline[0], "always answering the most frequent class"))
    for (value, label), dashes in zip(lines, ((5, 2), (1.5, 1.5), (6, 2, 1, 2), (3, 4)) * len(lines), strict=False):
        label = textwrap.fill(f"{value:.1f} %  {label}", 80)
        axes.axvline(value, color=INK, linewidth=1.2, dashes=dashes, label=label, zorder=1)
        values.append(value)
    margin = max(1.0, 0.1 * (max(values) - min(values)))
    axes.set(xlim=(max(min(values) - margin, 0), min(max(values) + margin, 100)), ylim=(len(strategies) - 0.5, -0.7))
    axes.set_yticks(range(len(strategies)), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("test accuracy (%)")
    axes.grid(axis="y", visible=False)
    if lines:
        figure.legend(loc="outside lower left", fontsize=8.5, handlelength=3)
    described = [f"{s['title']} {100 * s['accuracy']['mean']:.1f} %" for s in strategies]
    seeds = max(len(s["runs"]) for s in strategies)
    caption = "Each dot is one seed, the bar their mean." if seeds > 1 else "One seed each: a second seed would move the dots."
    if seeds > 1 == min(len(s["runs"]) for s in strategies):
        caption = "Each dot is one seed, a bar the mean of several."
    if results["data"].get("uneven"):
        caption += " As the classes are uneven, strategies are compared by balanced accuracy, which is in the table."
    left = axes.get_xlim()[0]
    alt = "Test accuracy by strategy: " + ", ".join(described + [f"{label} {value:.1f} %" for value, label in lines])
    return figure, alt + ".", caption + (" The axis does not start at zero." if left > 0 else "")


def learning_curves(results: dict, pictures=None):
    """Loss and accuracy over epochs, training and validation, of the strategies that were fine-tuned."""
    tuned = [(strategy, _phases(strategy)) for strategy in results["strategies"]]
    tuned = [(strategy, runs) for strategy, runs in tuned if runs and not any(_begins(other, runs) for _, other in tuned)]
    if not tuned:
        return None
    figure = Figure(figsize=(WIDTH, 0.4 + 3.0 * len(tuned)))
    parts = figure.subfigures(len(tuned), 1, squeeze=False)[:, 0]
    described = []
    for (strategy, runs), part in zip(tuned, parts, strict=True):
        longest = max(runs, key=len)
        lengths = [max(len(run[k]["history"]) for run in runs if k < len(run)) for k in range(len(longest))]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        heading = [
            (f"{k}: " if len(longest) > 1 else "")
            + f"{phase['title']}: "
            + (f"frozen up to {phase['frozen_until']}, " if phase.get("frozen_until") else "")
            + (f"trained up to {phase['trained_until']}, " if phase.get("trained_until") else "")
            + f"learning rate {phase['learning_rate']:g}"
            for k, phase in enumerate(longest, start=1)
        ]
        part.suptitle("\n".join(textwrap.fill(line, 88) for line in heading), x=0.01, ha="left", size=9)
        curves = (("loss", 1, "loss", "val_loss"), ("accuracy (%)", 100, "train_accuracy", "val_accuracy"))
        for axes, (label, scale, train, val) in zip(part.subplots(1, 2), curves, strict=True):
            for run in runs:
                for phase, start in zip(run, starts, strict=False):
                    _curve(axes, phase, start, train, scale, TRAIN, len(runs))
                    _curve(axes, phase, start, val, scale, VAL, len(runs))
            _mark_phases(axes, starts)
            axes.set(xlabel="epoch", ylabel=label, xlim=(0.5, starts[-1] + 0.5))
            axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
            if scale == 100:
                end_at_all(axes)
        described.append(
            f"{strategy['title']}: {starts[-1]} epochs, {100 * strategy['val_accuracy']['mean']:.1f} % in validation"
        )
    _legend(figure, "epoch that was kept")
    caption = "A line a seed and a fold. " if any(len(runs) > 1 for _, runs in tuned) else ""
    if any(len(run) > 1 for _, runs in tuned for run in runs):
        caption += "The numbers of the phases stand above the curves. "
    augmented = not results["data"].get("augmentation", "none").startswith("none")
    dropout = "dropout" in (results["model"].get("summary") or "").lower()
    harder = " and ".join([*["of augmented pictures"] * augmented, *["with dropout on"] * dropout])
    caption += "Training values are means over the epoch while it ran" + (f", {harder}" if harder else "")
    caption += ": they can be worse than those in validation."
    return figure, "Loss and accuracy over epochs. " + "; ".join(described) + ".", caption


def _phases(strategy: dict) -> list[list[dict]]:
    """Of each run, and of each of its folds, the phases that got as far as one epoch; those without any are left out."""
    folds = [phases for run in strategy["runs"] for phases in (run.get("phases", ()), *run.get("other_folds", ()))]
    runs = [[phase for phase in phases if phase["history"]] for phases in folds]
    return [run for run in runs if run]


def _begins(longer: list[list[dict]], runs: list[list[dict]]) -> bool:
    """Whether ``longer`` are runs that went on from ``runs``, and show all of their curves."""
    return longer != runs and len(longer) == len(runs) and all(b[: len(a)] == a for a, b in zip(runs, longer, strict=True))


def _curve(axes, phase: dict, start: int, key: str, scale: float, colour: str, seeds: int) -> None:
    """One run's phase as a line, epochs counted on from ``start``; on validation curves a ring around the epoch kept."""
    epochs = [start + h["epoch"] for h in phase["history"]]
    y = [np.nan if h.get(key) is None else scale * h[key] for h in phase["history"]]
    style = {"dashes": (4, 1.5)} if colour == TRAIN else {}
    width = 1.6 if seeds == 1 else 0.9
    axes.plot(epochs, y, color=colour, linewidth=width, marker=".", markersize=4, clip_on=False, **style)
    kept = phase.get("best_epoch")
    if colour == VAL and kept and kept <= len(y):
        axes.plot(start + kept, y[kept - 1], "o", color=VAL, markerfacecolor="white", markersize=6, zorder=3, clip_on=False)


def end_at_all(axes) -> None:
    """Let an axis of percentages end at 100."""
    axes.set_ylim(top=min(axes.get_ylim()[1], 100))


def _mark_phases(axes, starts: np.ndarray) -> None:
    """A dashed line between phases, and their numbers above the axes."""
    if len(starts) == 2:
        return
    for number, (start, stop) in enumerate(pairwise(starts), start=1):
        if start:
            axes.axvline(start + 0.5, color=GREY, linewidth=0.8, dashes=(4, 3))
        where = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        axes.text((start + stop + 1) / 2, 1.01, number, size=8, color=GREY, **where)


def _legend(figure: Figure, ring: str) -> None:
    """What dashed, solid and ringed mean, below the figure."""
    lines = [
        Line2D([], [], color=TRAIN, marker=".", dashes=(4, 1.5), label="training"),
        Line2D([], [], color=VAL, marker=".", label="validation"),
        Line2D([], [], color=VAL, marker="o", markerfacecolor="white", linestyle="", label=ring),
    ]
    figure.legend(handles=lines, loc="outside lower center", ncols=3)


def regularisation(results: dict, pictures=None):
    """Training and validation accuracy of the linear classifiers along their regularisation path."""
    linear = [s for s in results["strategies"] if any(run.get("regularisation_path") for run in s["runs"])]
    if not linear:
        return None
    columns = min(len(linear), 2)
    rows = -(-len(linear) // columns)
    figure = Figure(figsize=(WIDTH, 0.4 + 2.6 * rows))
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    chosen = []
    for axes, strategy in zip(grid.flat, linear, strict=False):
        runs = [run for run in strategy["runs"] if run.get("regularisation_path")]
        width = 1.6 if len(runs) == 1 else 0.9
        for run in runs:
            path = sorted(run["regularisation_path"], key=lambda point: point["regularisation"])
            x = [point["regularisation"] for point in path]
            look = {"linewidth": width, "clip_on": False}
            axes.plot(x, [100 * p["train_accuracy"] for p in path], ".-", color=TRAIN, dashes=(4, 1.5), **look)
            axes.plot(x, [100 * p["val_accuracy"] for p in path], ".-", color=VAL, **look)
            kept = run.get("chosen_regularisation")
            y = [100 * p["val_accuracy"] for p in path if p["regularisation"] == kept]
            axes.plot([kept] * len(y), y, "o", color=VAL, markerfacecolor="white", markersize=7, zorder=3, clip_on=False)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(textwrap.fill(strategy["title"], 40))
        axes.set_xlabel("regularisation λ")
        values = sorted({run["chosen_regularisation"] for run in runs if run.get("chosen_regularisation") is not None})
        chosen.append(f"{strategy['title']}: λ = " + ", ".join(f"{value:g}" for value in values))
    for axes in grid.flat[len(linear) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy (%)")
        end_at_all(axes)
    _legend(figure, "chosen")
    caption = (
        "With a small λ the classifier may learn the training pictures by heart, with a large one it may hardly learn at "
        "all. The validation pictures choose; of equals, the stronger λ is taken."
    )
    if results["data"].get("uneven"):
        caption += " As the classes are uneven, the choice is by balanced accuracy, which is not drawn here."
    return figure, "Accuracy against regularisation. Chosen: " + "; ".join(chosen) + ".", caption


def frozen(results: dict, pictures=None):
    """The network as a ladder of layers: what each strategy left frozen, and at which learning rate the rest was trained."""
    ladder = results.get("ladder")
    if not ladder or not ladder["strategies"]:
        return None
    has_weights = [k for k, count in enumerate(ladder["parameters"]) if count]  # pooling and dropout have nothing to freeze
    layers = [ladder["layers"][k] for k in has_weights]
    counts = [ladder["parameters"][k] / 1000 for k in has_weights]
    titles = {s["key"]: s["title"] for s in results["strategies"]}
    rates = {titles[key]: [r[k] for k in has_weights] for key, r in ladder["strategies"].items() if key in titles}
    if not rates:
        return None
    figure = Figure(figsize=(WIDTH, 2.5 + 0.45 * len(rates)))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1.5, 0.45 * len(rates) + 0.1))
    top.bar(range(len(layers)), counts, color=GREY, width=0.8)
    top.set_ylabel("parameters\n(thousands)")
    top.grid(axis="x", visible=False)
    top.tick_params(axis="x", length=0, labelbottom=False)
    shades = matplotlib.colormaps["Blues"]
    highest = max(max(row) for row in rates.values())
    for y, row in enumerate(rates.values()):
        for rate, run in groupby(range(len(row)), key=row.__getitem__):
            columns = list(run)
            shade = 0.3 + 0.6 * rate / highest
            look = {"color": shades(shade)} if rate else {"facecolor": FAINT, "hatch": "////", "edgecolor": "#bdbdbd"}
            bottom.barh(y, len(columns) - 0.12, left=columns[0] - 0.44, height=0.66, linewidth=0, **look)
            text = f"{rate:g}" if rate else "frozen"
            if 0.07 * len(text) > 4.9 * len(columns) / len(layers):  # inches
                continue
            text_style = (
                {"color": "white" if shade > 0.6 else INK} if rate else {"bbox": {"fc": "white", "ec": "none", "pad": 1.5}}
            )
            bottom.text(columns[0] + (len(columns) - 1) / 2, y, text, ha="center", va="center", size=8, **text_style)
    bottom.set_yticks(range(len(rates)), [textwrap.fill(title, 26) for title in rates], size=8.5)
    step = -(-len(layers) // 40)
    bottom.set_xticks(range(0, len(layers), step), [shorten(name, 18) for name in layers[::step]], rotation=90, size=8)
    bottom.set(xlim=(-0.6, len(layers) - 0.4), ylim=(len(rates) - 0.5, -0.5))
    bottom.tick_params(length=0)
    bottom.grid(False)
    bottom.spines[:].set_visible(False)
    bottom.set_xlabel("layer, from the picture (left) to the answer (right)")
    described = []
    for title, row in rates.items():
        trained = [name for name, rate in zip(layers, row, strict=True) if rate]
        described.append(f"{title} trains {len(trained)} of {len(layers)}" + (f", from {trained[0]} on" if trained else ""))
    hatched = any(not rate for row in rates.values() for rate in row)
    caption = ("Hatched layers stayed as they came, to the bit. " if hatched else "") + (
        "The numbers are learning rates relative to the new head's. Layers without parameters are not shown."
    )
    return figure, "Which layers were trained: " + "; ".join(described) + ".", caption


FIGURES: dict[str, tuple[str, Callable]] = {
    "accuracy": ("Test accuracy", accuracy),
    "frozen": ("What was frozen, what was trained", frozen),
    "learning_curves": ("Learning curves", learning_curves),
    "regularisation": ("Choosing the regularisation", regularisation),
    "confusion": ("Confusion matrices", confusion),
    "mistakes": ("The most confident mistakes", mistakes),
    "near_duplicates": ("Nearly the same pictures in different parts", near_duplicates),
}
