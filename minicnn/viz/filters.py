"""The filters of a convolution as pictures: what it looks for."""

from __future__ import annotations

import math
import textwrap

import numpy as np
from matplotlib.figure import Figure

from ..layers import Conv2d
from ..models import Model
from .hooks import layer_of
from .panels import bare, mosaic
from .style import styled

TILE = 0.55  # inches, a filter with its gap
MOST = 16  # filters, and channels, of a convolution whose filters cannot be shown in colour


def filter_pictures(model: Model, layer: str | None = None) -> tuple[str, np.ndarray, float]:
    """The filters w of a convolution on a scale from 0 to 1: v = 1/2 + w / (2 m), with m the largest \\|w\\| of all of them.

    So 1/2, mid-grey, is a weight of 0, and brightness can be compared from filter to filter.

    Parameters
    ----------
    model : Model
    layer : str, optional
        The path of a Conv2d, or of what holds one; by default the first.

    Returns
    -------
    path : str
        Of the Conv2d.
    v : (F, C, KH, KW)
        For filters that look at the picture itself, C is in RGB order also where the network takes BGR.
    m : float

    Raises
    ------
    ValueError
        If there is no such layer, or no convolution in it.
    """
    inside = layer_of(model, layer) if layer else model
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
    """The filters of the first convolution, or of the one named: in colour where they have three channels.

    Otherwise each channel of each filter is a grey picture, of the first 16 filters and channels. All are on one scale, which
    the figure states. See `filter_pictures`.
    """
    path, v, m = filter_pictures(model, layer)
    F, C, KH, KW = v.shape
    scale = f"One scale for all: mid-grey is a weight of 0, {'full colour' if C == 3 else 'white'} {m:.2g}, black {-m:.2g}."
    if C in (1, 3):
        columns = math.ceil(math.sqrt(2 * F))
        tiles, said = (v.transpose(0, 2, 3, 1) if C == 3 else v[:, 0]), ""
    else:
        columns = min(C, MOST)
        tiles = v[:MOST, :MOST].reshape(-1, KH, KW)
        said = f" Rows: {_some(F, 'filters')}; columns: {_some(C, 'channels')}."
    gap = max(1, round(KW / 6))
    picture = mosaic(tiles, columns, gap)
    height, width = (side * (TILE if C in (1, 3) else TILE / 2) / (KW + gap) for side in picture.shape[:2])
    width = max(width, 4.9)
    note = textwrap.fill(scale + said, int(15 * width))
    figure = Figure(figsize=(width, height + 0.7 + 0.15 * note.count("\n")))
    axes = figure.add_subplot(anchor="NW")
    bare(axes)
    if picture.ndim == 3:
        picture = np.nan_to_num(picture, nan=1.0)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(f"{model.architecture}, {path}: {F} filters of {KH} x {KW}, {C} channel{'s' if C > 1 else ''}")
    figure.supxlabel(note, x=0.01, ha="left", size=8)
    return figure


def _some(n: int, what: str) -> str:
    return f"{n} {what}" if n <= MOST else f"the first {MOST} of {n} {what}"
