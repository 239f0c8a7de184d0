"""The filters of a convolution as pictures: the patterns that it responds to."""

from __future__ import annotations

import math
import textwrap

import numpy as np
from matplotlib.figure import Figure

from ..layers import Conv2d
from ..models import Model
from .hooks import find_layer
from .panels import hide_axes, mosaic
from .style import styled

FILTER_INCHES = 0.55  # the width of a filter with its gap
MAX_FILTERS = 16  # and channels, drawn of a convolution whose filters cannot be shown in colour


def filter_pictures(model: Model, layer: str | None = None) -> tuple[str, np.ndarray, float]:
    """The filters w of a convolution on a scale from 0 to 1: v = 1/2 + w / (2 m), with m the largest \\|w\\| of all of them.

    So a weight of 0 is 1/2, mid-grey, and brightness can be compared between filters.

    Parameters
    ----------
    model : Model
    layer : str, optional
        The path of a Conv2d, or of a layer that contains one; by default the first of the network.

    Returns
    -------
    path : str
        The path of the Conv2d.
    v : (F, C, KH, KW)
        The channels of filters that see the picture itself are in RGB order, even where the network takes BGR.
    m : float
        The largest absolute weight.

    Raises
    ------
    ValueError
        If there is no such layer, or it contains no convolution.
    """
    inside = find_layer(model, layer) if layer else model
    found = next(((path, conv) for path, conv in inside.walk() if isinstance(conv, Conv2d)), None)
    if found is None:
        raise ValueError(f"there is no convolution in {layer or model.architecture}, whose filters could be shown")
    path = ".".join(filter(None, (layer, found[0])))
    w = found[1].w.value
    first = next(conv for _, conv in model.walk() if isinstance(conv, Conv2d))
    if found[1] is first and model.preprocessing is not None and model.preprocessing.channels == "BGR":
        w = w[:, ::-1]
    m = float(np.abs(w).max())
    return path, 0.5 + w / (2 * (m or 1.0)), m


@styled
def filters_figure(model: Model, layer: str | None = None) -> Figure:
    """The filters of the first convolution, or of the one named.

    Filters with three channels are drawn in colour. Of others, the first 16 channels of the first 16 filters are drawn in grey.
    All are on one scale, which the figure states; see `filter_pictures`.
    """
    path, v, m = filter_pictures(model, layer)
    F, C, KH, KW = v.shape
    scale = f"One scale for all: mid-grey is a weight of 0, {'full colour' if C == 3 else 'white'} {m:.2g}, black {-m:.2g}."
    if C in (1, 3):
        columns = math.ceil(math.sqrt(2 * F))
        tiles, arrangement = (v.transpose(0, 2, 3, 1) if C == 3 else v[:, 0]), ""
    else:
        columns = min(C, MAX_FILTERS)
        tiles = v[:MAX_FILTERS, :MAX_FILTERS].reshape(-1, KH, KW)
        arrangement = f" Rows: {_drawn(F, 'filters')}; columns: {_drawn(C, 'channels')}."
    gap = max(1, round(KW / 6))
    picture = mosaic(tiles, columns, gap)
    height, width = (side * (FILTER_INCHES if C in (1, 3) else FILTER_INCHES / 2) / (KW + gap) for side in picture.shape[:2])
    width = max(width, 4.9)
    note = textwrap.fill(scale + arrangement, int(15 * width))
    figure = Figure(figsize=(width, height + 0.7 + 0.15 * note.count("\n")))
    axes = figure.add_subplot(anchor="NW")
    hide_axes(axes)
    if picture.ndim == 3:
        picture = np.nan_to_num(picture, nan=1.0)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(f"{model.architecture}, {path}: {F} filters of {KH} x {KW}, {C} channel{'s' if C > 1 else ''}")
    figure.supxlabel(note, x=0.01, ha="left", size=8)
    return figure


def _drawn(n: int, noun: str) -> str:
    return f"{n} {noun}" if n <= MAX_FILTERS else f"the first {MAX_FILTERS} of {n} {noun}"
