"""The most confident mistakes: the place to look first for wrong labels, and for what a network does not see."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..models.predictions import confident_mistakes
from .panels import hide_axes, picture_at, show_picture
from .style import FAINT, GREY, WIDTH, class_labels, drawable, shorten, styled


def mistakes_figure(
    pictures: Any, labels: np.ndarray, scores: np.ndarray, classes: Sequence[str], most: int = 12, title: str = ""
) -> Figure:
    """The most confident mistakes as pictures, with the true class, the predicted class and the network's confidence.

    Parameters
    ----------
    pictures : PictureSet, or uint8 (N, H, W, C), or a list of N pictures
    labels, scores, most : see `minicnn.viz.confident_mistakes`
    classes : names of the classes

    Raises
    ------
    ValueError
        If there is no mistake to draw.
    """
    worst = confident_mistakes(labels, scores, most)
    if not worst:
        raise ValueError(f"all {len(labels)} answers are right: there is no mistake to draw")
    named = [mistake | {key: classes[mistake[key]] for key in ("true", "predicted")} for mistake in worst]
    return draw_mistakes(pictures, named, classes, title)


@styled
def draw_mistakes(pictures: Any, worst: list[dict[str, Any]], classes: Sequence[str], title: str = "") -> Figure:
    """As ``mistakes_figure``, for mistakes whose "true" and "predicted" are names, and which may have the name of a "file"."""
    columns = min(len(worst), 4)
    rows = -(-len(worst) // columns)
    figure = Figure(figsize=(WIDTH * max(columns, 2) / 4, 2.28 * rows + 0.3))
    figure.suptitle(textwrap.fill(title, 80 if columns == 4 else 36), x=0.01, ha="left", size=9.5)
    grid = figure.subplots(rows, columns, squeeze=False)
    names = dict(zip(classes, class_labels(classes, 16), strict=True))
    for number, (axes, mistake) in enumerate(zip(grid.flat, worst, strict=False), start=1):
        hide_axes(axes)
        _thumbnail(axes, pictures, mistake["index"])
        file = shorten(mistake.get("file", "").rsplit("/", 1)[-1], 22)
        axes.set_title(f"{number}  {file if drawable(file) else ''}", size=7.5, color=GREY, pad=3)
        text = f"true: {names[mistake['true']]}\nsaid: {names[mistake['predicted']]}\n{100 * mistake['confidence']:.0f} % sure"
        axes.set_xlabel(text, size=8, loc="left", labelpad=3)
    for axes in grid.flat[len(worst) :]:
        axes.remove()
    return figure


def _thumbnail(axes, pictures: Any, index: int) -> None:
    """Picture ``index``, or a sentence in its place when its file can no longer be read."""
    axes.set(aspect="equal")
    try:
        pixels = picture_at(pictures, index)
    except (OSError, ValueError):
        axes.text(0.5, 0.5, "the file can\nno longer\nbe read", ha="center", va="center", size=8)
        axes.set_facecolor(FAINT)
        return
    show_picture(axes, pixels)
