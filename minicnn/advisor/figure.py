"""The figures of the advice: the quadrant map and accuracy over depth; and networks beside each other."""

from __future__ import annotations

import math
import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..transfer.formatting import quantity
from ..transfer.similarity import SIMILAR_CONFIDENCE, SIMILAR_SHIFT, Similarity
from ..transfer.strategies import STRATEGIES
from ..viz.style import (
    FAINT,
    GREY,
    INK,
    TRAIN,
    VAL,
    WIDTH,
    shorten,
    styled,
)
from .advice import Advice
from .networks import Comparison
from .rules import LECTURE, MANY


@styled
def advice_figure(advice: Advice) -> Figure:
    """The quadrant map with a point for the data; below it, accuracy over depth."""
    figure = Figure(figsize=(WIDTH, 6.4))
    above, below = figure.subplots(2, 1, height_ratios=(1.1, 1))
    _draw_map(above, advice)
    _draw_depth(below, advice)
    return figure


def _draw_map(axes: Axes, advice: Advice) -> None:
    choice, per_class = advice.choice, advice.measurements.per_class
    left, right = min(2, per_class / 1.5), max(20_000, per_class * 3)
    axes.set(xscale="log", xlim=(left, right), ylim=(0, 1))
    axes.set_xlabel("pictures to learn from, " + ("of the smallest class" if advice.measurements.is_uneven else "per class"))
    axes.grid(visible=False)
    for many in (False, True):
        for similar in (False, True):
            start, end = (MANY, right) if many else (left, MANY)
            is_chosen = (many, similar) == (choice.many, choice.similar)
            axes.fill_between(
                [start, end], 0.5 * similar, 0.5 + 0.5 * similar, color=FAINT if is_chosen else "white", linewidth=0
            )
            title = f"{'many' if many else 'few'}, {'similar' if similar else 'different'}"
            lines = textwrap.wrap(f"lecture: {STRATEGIES[LECTURE[many, similar]]}", 34)
            if is_chosen:
                lines += textwrap.wrap(f"advice: {STRATEGIES[choice.strategy]}", 34)
            place = math.exp(0.97 * math.log(start) + 0.03 * math.log(end))
            axes.text(place, 0.97 - 0.5 * (not similar), title, va="top", weight="bold", size=9)
            axes.text(place, 0.90 - 0.5 * (not similar), "\n".join(lines), va="top", size=8.5, color=INK)
    axes.axhline(0.5, color=GREY, linewidth=1)
    axes.axvline(MANY, color=GREY, linewidth=1)
    height = map_height(advice.measurements.similarity, choice.similar)
    axes.plot(per_class, height, "o", color=VAL, markersize=9, zorder=3)
    start, end = (MANY, right) if choice.many else (left, MANY)
    name, on_left = shorten(advice.data, 30), per_class > math.sqrt(start * end)  # the name stays within the quadrant
    axes.annotate(name, (per_class, height), (-9 if on_left else 9, 0), textcoords="offset points", va="center", color=VAL,
                  ha="right" if on_left else "left", weight="bold", size=9)  # fmt: skip
    axes.set_yticks([0.25, 0.75], ["different", "similar"], rotation=90, va="center")
    axes.tick_params(axis="y", length=0)
    axes.set_title(f"Where the pictures lie, seen by {advice.model}")


def map_height(similarity: Similarity, similar: bool) -> float:
    """The height on the map, from 0 (different) to 1 (similar): in the lower part of its half, below the text."""
    if similarity.shift is not None:
        away = math.log10(max(similarity.shift, 1e-6) / SIMILAR_SHIFT)
    elif similarity.similar is not None:
        away = SIMILAR_CONFIDENCE - similarity.confidence / similarity.usual
    else:
        away = 0.0
    share = min(abs(away), 1.0)
    return 0.54 + 0.12 * share if similar else 0.16 - 0.12 * share


def _draw_depth(axes: Axes, advice: Advice) -> None:
    measurements = advice.measurements
    layers = list(dict.fromkeys(entry.layer for entry in measurements.codes))
    whole = [entry for entry in measurements.codes if entry.grid == 1]
    by_parts = [entry for entry in measurements.codes if entry.grid > 1]
    curves = (
        ("linear, codes averaged over the picture", 0, whole, "probe", TRAIN, "o", "-"),
        ("linear, averaged over its parts", 0.06, by_parts, "probe", INK, "s", "--"),
        ("nearest neighbours, over the picture", -0.06, whole, "knn", VAL, "^", ":"),
    )
    for label, shift, entries, classifier, colour, marker, line in curves:
        if entries:
            found = [getattr(entry, classifier) for entry in entries]
            axes.errorbar(
                [layers.index(entry.layer) + shift for entry in entries],
                [100 * validation.accuracy for validation in found],
                [100 * validation.standard_error for validation in found],
                color=colour, marker=marker, linestyle=line, markersize=5, capsize=3, label=label,
            )  # fmt: skip
    axes.axhline(100 * measurements.pixels.accuracy, color=GREY, dashes=(4, 2), label="the pixels, without a network")
    axes.set_xticks(range(len(layers)), [shorten(name, 14) for name in layers])
    axes.set(xlabel="layer, from the lowest to the last", ylabel=f"{'balanced ' * measurements.is_uneven}accuracy (%)")
    axes.set_ylim(top=min(axes.get_ylim()[1], 100))
    axes.set_title("Classifiers on the codes of each layer, cross-validated (± 1 standard error)")
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", fontsize=8.5, ncols=2)


@styled
def networks_figure(comparison: Comparison) -> Figure:
    """A row for each network, the cheapest at the top: its accuracies, and its difference to the best."""
    networks = sorted(comparison.networks, key=lambda network: network.cost)
    rows = range(len(networks))
    figure = Figure(figsize=(WIDTH, 1.7 + 0.5 * len(networks)))
    accuracies, differences = figure.subplots(1, 2, sharey=True, width_ratios=(1.3, 1))
    probes = [network.codes.probe for network in networks]
    uneven = comparison.best.advice.measurements.is_uneven
    for shift, name, entries, colour, marker in (
        (-0.1, "linear classifier", probes, TRAIN, "o"),
        (0.1, "nearest neighbours", [network.codes.knn for network in networks], INK, "^"),
    ):
        accuracies.errorbar(
            [100 * entry.accuracy for entry in entries], [row + shift for row in rows],
            xerr=[100 * entry.standard_error for entry in entries],
            color=colour, marker=marker, linestyle="", capsize=3, label=name,
        )  # fmt: skip
    gaps = [comparison.than_best(network) for network in networks]
    for row, network, (difference, error) in zip(rows, networks, gaps, strict=True):
        is_chosen = network is comparison.recommended
        differences.errorbar(
            100 * difference, row, xerr=100 * error, color=VAL if is_chosen else TRAIN, marker="D" if is_chosen else "o",
            capsize=3, linestyle="", label="recommended" if is_chosen else None,
        )  # fmt: skip
    differences.axvline(0, color=GREY, linewidth=1)
    labels = [f"{shorten(network.name, 22)}\n{quantity(network.multiply_adds)} multiply-adds" for network in networks]
    accuracies.set_yticks(rows, labels)
    accuracies.set_ylim(len(networks) - 0.5, -0.5)
    accuracies.set_xlabel(f"{'balanced ' * uneven}accuracy on the last codes (%)")
    differences.set_xlabel("difference to the best (points)")
    figure.suptitle(f"Networks for {shorten(comparison.best.advice.data, 30)} (± 1 standard error)")
    handles, names = accuracies.get_legend_handles_labels()
    more, more_names = differences.get_legend_handles_labels()
    figure.legend(handles + more, names + more_names, loc="outside lower left", fontsize=8.5, ncols=3)
    return figure
