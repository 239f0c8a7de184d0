"""Maps of a network's answers, laid over the picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from .panels import bare, shown
from .style import GREY, WIDTH, shorten, styled

COLUMNS = 3


@styled
def class_map_figure(
    picture: np.ndarray,
    maps: Mapping[str, np.ndarray],
    extent: tuple[float, float, float, float] | None = None,
    label: str = "probability",
    note: str = "",
) -> Figure:
    """The picture, and beside it each map over the picture in grey, all in the same colours.

    Parameters
    ----------
    picture : uint8 (H, W), (H, W, 1) or (H, W, 3)
    maps : mapping from a class's name to (OH, OW)
        Its score or probability at each place, as `minicnn.transfer.multi_crop.class_map` gives them. Each element is drawn
        as one square, so that nothing looks finer than it is.
    extent : (left, right, bottom, top), optional
        Where the maps lie over the picture, in its pixels; by default over all of it.
    label : str
        What the colours mean.
    note : str
        A line below.

    Raises
    ------
    ValueError
        If there is no map, or one is not two-dimensional.
    """
    wrong = {name: np.shape(one) for name, one in maps.items() if np.ndim(one) != 2}
    if wrong or not maps:
        raise ValueError(f"class_map_figure draws one map (OH, OW) or more, by name; got {wrong or 'none'}")
    H, W = picture.shape[:2]
    columns = min(COLUMNS, 1 + len(maps))
    rows = -(-(1 + len(maps)) // columns)
    figure = Figure(figsize=(WIDTH, rows * (0.9 * WIDTH / columns * H / W + 0.3) + (0.25 if note else 0)))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    colour = shown(picture, largest=max(H, W))
    low, high = min(np.min(one) for one in maps.values()), max(np.max(one) for one in maps.values())
    for axes, (name, one) in zip(grid, {"": None, **maps}.items(), strict=False):
        whole = (0, W, H, 0)
        axes.imshow(colour if one is None else colour.mean(axis=2), extent=whole, cmap="gray", vmin=0, vmax=255)
        if one is not None:
            strength = 0.8 * (one - low) / ((high - low) or 1.0)  # the picture stays visible where the map is low
            over = {"extent": extent or whole, "alpha": strength, "interpolation": "nearest"}
            heat = axes.imshow(one, cmap="inferno", vmin=low, vmax=high, **over)
        axes.set(xlim=(0, W), ylim=(H, 0), aspect="equal")
        axes.set_title(shorten(name, 28), size=8, pad=3)
    for axes in grid:
        bare(axes)
    for axes in grid[1 + len(maps) :]:
        axes.set_visible(False)
    figure.colorbar(heat, ax=list(grid), label=label, shrink=0.7, pad=0.01)
    if note:
        figure.supxlabel(note, x=0.01, ha="left", size=8, color=GREY)
    return figure
