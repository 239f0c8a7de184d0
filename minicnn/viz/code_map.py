"""A map of CNN codes on the plane: each picture drawn as a point, or as the picture itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from .panels import hide_axes, picture_at, thumbnail
from .style import CLASS_COLOURS, WIDTH, class_labels, styled

MARKERS = "osD^vP*X"
THUMBNAIL_INCHES = 0.36  # of its longer side


@styled
def code_map_figure(
    points: np.ndarray,
    labels: np.ndarray | None = None,
    classes: Sequence[str] | None = None,
    pictures: Any = None,
    title: str = "",
    axis_labels: tuple[str, str] = ("", ""),
) -> Figure:
    """A scatter plot of codes on the plane, with a colour and a marker for each class.

    Parameters
    ----------
    points : (N, 2)
        As `pca` and `tsne` give them.
    labels : int (N,), optional
    classes : names, optional
    pictures : PictureSet, or uint8 (N, H, W, C), or a list of N pictures, optional
        With these, each point is drawn as its picture, framed in the colour of its class. A picture that would cover another
        one remains a point.
    title : str
    axis_labels : two of str

    Raises
    ------
    ValueError
        For points or labels of another shape.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 2 or (labels is not None and len(labels) != len(points)):
        got = "none" if labels is None else len(labels)
        raise ValueError(f"code_map_figure expects points (N, 2) and a label for each, got {points.shape} and labels: {got}")
    labels = np.zeros(len(points), int) if labels is None else np.asarray(labels)
    names = class_labels(classes, 22) if classes is not None else [f"class {k}" for k in range(labels.max() + 1)]
    figure = Figure(figsize=(WIDTH, 0.8 * WIDTH))
    axes = figure.add_subplot()
    hide_axes(axes)
    axes.spines[:].set(visible=True, linewidth=0.8)
    size = 26 if len(points) <= 300 else 12
    for k in np.unique(labels):
        style = {"color": _colour(k), "marker": MARKERS[k % len(MARKERS)], "s": size, "alpha": 0.75, "linewidths": 0}
        axes.scatter(*points[labels == k].T, label=names[k], **style)
    axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1])
    axes.margins(0.05)
    if pictures is not None:
        _thumbnails(figure, axes, points, labels, pictures)
    axes.set_title(title)
    if len(np.unique(labels)) > 1:
        figure.legend(loc="outside lower left", ncols=4, fontsize=8.5, handletextpad=0.2, columnspacing=1)
    return figure


def _colour(k: int) -> str:
    return CLASS_COLOURS[k % len(CLASS_COLOURS)]


def _thumbnails(figure: Figure, axes, points: np.ndarray, labels: np.ndarray, pictures: Any) -> None:
    """Draw the pictures at their points, in order, leaving out each that would cover an earlier one."""
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
    inches = (points - points.min(axis=0)) / np.maximum(np.ptp(points, axis=0), 1e-300) * 0.86 * figure.get_size_inches()
    drawn: list[np.ndarray] = []
    for i, position in enumerate(inches):
        if any((np.abs(position - other) < 1.1 * THUMBNAIL_INCHES).all() for other in drawn):
            continue
        drawn.append(position)
        pixels = thumbnail(picture_at(pictures, i), 96)
        image = OffsetImage(pixels, zoom=72 * THUMBNAIL_INCHES / max(pixels.shape[:2]), dpi_cor=True)
        frame = {"edgecolor": _colour(labels[i]), "linewidth": 1.5, "boxstyle": "square,pad=0"}
        axes.add_artist(AnnotationBbox(image, points[i], pad=0, bboxprops=frame))
