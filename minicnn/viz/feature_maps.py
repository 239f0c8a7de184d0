"""Feature maps through depth: what becomes of one picture, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ..models import Model
from .hooks import layers_with_maps, preserve_modes
from .panels import hide_axes, mosaic, prepare_pictures, show_picture
from .style import WIDTH, styled

DEFAULT_LAYERS = 8  # how many layers are shown where none are named


class FeatureMaps(NamedTuple):
    """Selected feature maps of one layer.

    Attributes
    ----------
    shape : (C, h, w)
        Of the layer's whole output.
    channels : int (n,)
        The indices of the selected channels.
    maps : (n, h, w)
        Their values.
    """

    shape: tuple[int, int, int]
    channels: np.ndarray
    maps: np.ndarray


def feature_maps(
    model: Model, x: np.ndarray, layers: str | Iterable[str] | None = None, most: int = 8, which: str = "active"
) -> dict[str, FeatureMaps]:
    """A few feature maps of each of several layers, for one picture.

    Parameters
    ----------
    model : Model
        In any mode; it is left as it was.
    x : float32 or float64 (1, C, H, W)
    layers : str or several, optional
        Paths at any depth. By default up to eight top-level layers that give feature maps, evenly spread from the first to the
        last.
    most : int
        The largest number of maps of each layer.
    which : "active" or "first"
        "active": the channels with the largest standard deviation over the positions, the largest first. (A map that is high
        everywhere does not show where anything is.) "first": channels 0, 1, 2, ...

    Returns
    -------
    dict
        From a layer's path to its `FeatureMaps`, in the order of ``layers``.

    Raises
    ------
    ValueError
        For more than one picture, and for a layer that does not exist or whose output is not feature maps.
    """
    if x.ndim != 4 or len(x) != 1:
        raise ValueError(f"feature_maps shows one picture at a time, x (1, C, H, W), got {x.shape}")
    if which not in ("active", "first") or most < 1:
        raise ValueError(f"feature_maps: which is 'active' or 'first' and most at least 1, got {which!r} and {most}")
    names = [layers] if isinstance(layers, str) else list(layers or _evenly_spread(list(layers_with_maps(model, x.shape))))
    with preserve_modes(model):
        outputs = model.eval().forward(x, layers=names)
    selected = {}
    for name, y in outputs.items():
        if y.ndim != 4:
            raise ValueError(f"{name!r} gives {y.shape} and no maps (N, C, h, w); it comes after the last layer that has some")
        activity = y[0].std(axis=(1, 2)) if which == "active" else -np.arange(y.shape[1])
        channels = np.argsort(-activity, kind="stable")[:most]
        selected[name] = FeatureMaps(y.shape[1:], channels, y[0, channels])
    return selected


def _evenly_spread(names: list[str]) -> list[str]:
    """Up to DEFAULT_LAYERS of the names, including the first and the last."""
    return [names[k] for k in np.unique(np.linspace(0, len(names) - 1, DEFAULT_LAYERS).round().astype(int))] if names else []


@styled
def feature_maps_figure(
    model: Model, picture: Any, layers: str | Iterable[str] | None = None, most: int = 8, which: str = "active"
) -> Figure:
    """A picture, and below it a row of feature maps for each layer, with the layer's name and shape; see `feature_maps`.

    Each row has its own grey scale, from the lowest to the highest value in the row. The title of the row states both.
    """
    pixels, x = prepare_pictures(model, picture)
    selected = feature_maps(model, x, layers, most, which)
    rows = [mosaic(maps, most, gap=max(1, round(maps.shape[2] / 12))) for _, _, maps in selected.values()]
    heights = [1.3] + [WIDTH * row.shape[0] / row.shape[1] + 0.28 for row in rows]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.1))
    grid = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    hide_axes(grid[0])
    show_picture(grid[0], pixels[0])
    grid[0].set_anchor("W")
    selection = "the most active channels" if which == "active" else "the first channels"
    grid[0].set_title(f"{model.architecture}: {selection} of each layer, for this picture")
    for axes, row, (name, (shape, channels, maps)) in zip(grid[1:], rows, selected.items(), strict=True):
        hide_axes(axes)
        axes.imshow(row, cmap="gray", interpolation="nearest")
        axes.set_anchor("W")
        numbers = ", ".join(map(str, channels))
        scale = f"black {maps.min():.2g}, white {maps.max():.2g}"
        axes.set_title(f"{name}: {' x '.join(map(str, shape))}; channels {numbers}; {scale}", size=8, pad=3)
    return figure
