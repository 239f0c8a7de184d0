"""The figures of the page about the zoo: the ImageNet challenge by year, and accuracy against multiply-adds."""

from __future__ import annotations

import math
from itertools import groupby

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from minicnn.viz.style import (
    CLASS_COLOURS,
    FAINT,
    GREY,
    INK,
    TRAIN,
    VAL,
    WIDTH,
    styled,
)

from .zoo_facts import HUMAN, NETWORKS, SECOND, WINNERS, accuracy_of, size_of

IN_THE_ZOO = {network.family for network in NETWORKS}
COLOURS, MARKERS = (*CLASS_COLOURS[:7], GREY), "osD^vPXh"  # a family each
SMALL = 7.5  # points, of the names in a figure
BESIDE = (4, 3, "left")  # where a network's name is, from its point, in points
CROWDED = {
    "caffenet": (14, -2, "left"),
    "alexnet": (14, -9, "left"),
    "alexnet_torchvision": (14, -13, "left"),
    "googlenet_torchvision": (-6, -3, "right"),
    "googlenet": (-6, -5, "right"),
    "resnet18": (6, -6, "left"),
}


@styled
def history_figure() -> Figure:
    """Top-5 error of each year's winner as bars, with what made it, and a person's error as a line."""
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.subplots()

    def write(text, place, points_above, **style):
        axes.annotate(text, place, (0, points_above), textcoords="offset points", **({"ha": "center"} | style))

    keys = {}
    for winner in WINNERS:
        label, face, edge, hatch = "another convolutional network", FAINT, GREY, ""
        if not winner.learned:
            label, hatch = "features made by hand", "////"
        elif winner.name in IN_THE_ZOO:
            label, face, edge = "a convolutional network of this zoo", TRAIN, TRAIN
        keys[label] = axes.bar(winner.year, winner.error, 0.7, color=face, edgecolor=edge, hatch=hatch)
        inside = winner.year == SECOND.year
        write(f"{winner.error:g}", (winner.year, winner.error), -26 if inside else 2, color="white" if inside else INK)
    axes.plot([SECOND.year - 0.35, SECOND.year + 0.35], [SECOND.error] * 2, color=INK, linewidth=1.2)
    write(f"second, {SECOND.name}: {SECOND.error}", (SECOND.year, SECOND.error), 3, fontsize=SMALL)
    axes.axhline(HUMAN, color=VAL, linestyle="--", linewidth=1.2)
    write(f"a person: {HUMAN}", (2017.42, HUMAN), 3, ha="right", color=VAL)
    axes.set_xticks([w.year for w in WINNERS], [f"{w.year}\n{w.name}" for w in WINNERS], fontsize=SMALL)
    axes.set_xlim(2009.5, 2017.5)
    axes.set_ylim(0, 31)
    axes.grid(axis="x", visible=False)
    axes.set_ylabel("top-5 error on the test pictures, %")
    axes.set_title("Winners of the ImageNet challenge (ILSVRC), classification")
    axes.legend(keys.values(), keys, loc="upper right")
    return figure


@styled
def accuracy_figure() -> Figure:
    """Published top-1 accuracy on ImageNet against multiply-adds, a line for each family; a circle's area is the parameters."""
    figure = Figure(figsize=(WIDTH, 5.2))
    axes = figure.subplots()
    imagenet = [network for network in NETWORKS if accuracy_of(network.name).data == "ImageNet"]
    handles = []
    families = groupby(imagenet, key=lambda network: network.family)
    for (family, members), colour, marker in zip(families, COLOURS, MARKERS, strict=True):
        names = {network.name: network.title for network in members}
        x = [size_of(name).multiply_adds / 1e9 for name in names]
        y = [accuracy_of(name).top1 for name in names]
        axes.plot(x, y, color=colour, linewidth=0.8, zorder=2)
        axes.scatter(x, y, [_area(size_of(name).parameters) for name in names], color=colour, alpha=0.25, zorder=2)
        axes.scatter(x, y, 14, color=colour, marker=marker, zorder=3)
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=4, linewidth=0.8, label=family))
        for (name, title), *at in zip(names.items(), x, y, strict=True):
            *offset, side = CROWDED.get(name, BESIDE)
            axes.annotate(_member(title), at, offset, textcoords="offset points", ha=side, fontsize=SMALL, zorder=4)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([0.25, 0.5, 1, 2, 4, 8, 16]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("multiply-adds for one picture, 10^9")
    axes.set_ylabel("published top-1 accuracy on ImageNet's validation pictures, %")
    axes.set_title("Accuracy and cost; the area of a circle shows the parameters")
    for millions in (5, 25, 125):
        size, label = math.sqrt(_area(1e6 * millions)), f"{millions} M parameters"
        handles.append(Line2D([], [], marker="o", linestyle="", color=GREY, alpha=0.4, markersize=size, label=label))
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.52, 0), labelspacing=0.9, fontsize=SMALL)
    return figure


def _area(parameters: float) -> float:
    """Of a circle, in square points."""
    return 6e-6 * parameters


def _member(title: str) -> str:
    """What tells a network from others of its family."""
    for begin in ("VGG-", "ResNet-", "EfficientNet-", "SqueezeNet ", "MobileNet"):
        title = title.removeprefix(begin)
    return title.removesuffix(", batch norm")
