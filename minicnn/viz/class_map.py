"""Class maps over a picture: the score or probability of a class at each position."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from .panels import hide_axes, thumbnail
from .style import GREY, WIDTH, shorten, styled

MAX_COLUMNS = 3


@styled
def class_map_figure(
    picture: np.ndarray,
    maps: Mapping[str, np.ndarray],
    extent: tuple[float, float, float, float] | None = None,
    label: str = "probability",
    note: str = "",
) -> Figure:
    """The picture, and beside it each map drawn over a grey copy of the picture, all on one colour scale.

    Parameters
    ----------
    picture : uint8 (H, W), (H, W, 1) or (H, W, 3)
    maps : mapping from a class's name to (OH, OW)
        Its score or probability at each position, as `minicnn.transfer.class_map` gives them. Each element is drawn as one
        square, so that no map looks finer than it is.
    extent : (left, right, bottom, top), optional
        The part of the picture that the maps cover, in its pixels; by default all of it.
    label : str
        What the colours mean.
    note : str
        A line below the figure.

    Raises
    ------
    ValueError
        If there is no map, or one is not two-dimensional.
    """
    wrong = {name: np.shape(values) for name, values in maps.items() if np.ndim(values) != 2}
    if wrong or not maps:
        raise ValueError(f"class_map_figure draws one map (OH, OW) or more, by name; got {wrong or 'none'}")
    H, W = picture.shape[:2]
    columns = min(MAX_COLUMNS, 1 + len(maps))
    rows = -(-(1 + len(maps)) // columns)
    figure = Figure(figsize=(WIDTH, rows * (0.9 * WIDTH / columns * H / W + 0.3) + (0.25 if note else 0)))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    colour = thumbnail(picture, max_side=max(H, W))
    lowest, highest = min(np.min(values) for values in maps.values()), max(np.max(values) for values in maps.values())
    for axes, (name, values) in zip(grid, {"": None, **maps}.items(), strict=False):
        whole = (0, W, H, 0)
        axes.imshow(colour if values is None else colour.mean(axis=2), extent=whole, cmap="gray", vmin=0, vmax=255)
        if values is not None:
            alpha = 0.8 * (values - lowest) / ((highest - lowest) or 1.0)  # the picture stays visible where the map is low
            overlay = {"extent": extent or whole, "alpha": alpha, "interpolation": "nearest"}
            image = axes.imshow(values, cmap="inferno", vmin=lowest, vmax=highest, **overlay)
        axes.set(xlim=(0, W), ylim=(H, 0), aspect="equal")
        axes.set_title(shorten(name, 28), size=8, pad=3)
    for axes in grid:
        hide_axes(axes)
    for axes in grid[1 + len(maps) :]:
        axes.set_visible(False)
    figure.colorbar(image, ax=list(grid), label=label, shrink=0.7, pad=0.01)
    if note:
        figure.supxlabel(note, x=0.01, ha="left", size=8, color=GREY)
    return figure
