"""Heat over pictures: where the answer comes from, by saliency, occlusion and Grad-CAM."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ..models import Model
from ..models.predictions import probabilities
from .attribution import grad_cam, saliency
from .hooks import Classes, class_names, class_numbers, modes_kept
from .occlusion import occlusion
from .panels import bare, prepared, shown
from .style import GREY, WIDTH, shorten, styled

COLUMN = 1.65  # inches


def upsampled(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps (N, h, w) at the size (H, W) of the picture, bilinearly, each covering all of it: float32 (N, H, W)."""
    maps = np.asarray(maps, np.float32)
    return np.stack([np.asarray(Image.fromarray(one).resize(size[::-1], Image.Resampling.BILINEAR)) for one in maps])


@styled
def heat_figure(
    pictures: Sequence[np.ndarray], heats: Mapping[str, np.ndarray], titles: Sequence[str] | None = None, note: str = ""
) -> Figure:
    """A row for each picture: the picture, and beside it each kind of heat, laid over it.

    Parameters
    ----------
    pictures : N pictures, uint8 (H, W, C)
    heats : mapping from a name to (N, h, w)
        At least 0. Of the picture's size it is drawn alone (saliency), smaller maps are laid over the picture. Each is scaled
        to its own maximum.
    titles : one for each picture, optional
    note : str
        A line below.
    """
    N, titles = len(pictures), titles or [""] * len(pictures)
    wrong = {name: np.shape(heat) for name, heat in heats.items() if np.ndim(heat) != 3 or len(heat) != N}
    if wrong or not heats or len(titles) != N:
        raise ValueError(
            f"{N} pictures need {N} titles and heats of shape ({N}, h, w), got {len(titles)} titles and heats {wrong or 'none'}"
        )
    columns = 1 + len(heats)
    width = min(WIDTH, COLUMN * columns)
    note = textwrap.fill(note, int(15 * width))
    lines = 1 + max(title.count("\n") for title in titles)
    figure = Figure(
        figsize=(width, (0.95 * width / columns + 0.05 + 0.14 * lines) * N + 0.1 + 0.15 * (note.count("\n") + bool(note)))
    )
    grid = figure.subplots(N, columns, squeeze=False)
    for n, (row, pixels, title) in enumerate(zip(grid, pictures, titles, strict=True)):
        picture = shown(np.asarray(pixels))
        row[0].imshow(picture)
        row[0].set_title(title, size=8, pad=3)
        for axes, (name, heat) in zip(row[1:], heats.items(), strict=True):
            axes.imshow(_over(picture, heat[n], whole=heat.shape[1:] == np.shape(pixels)[:2]))
            if n == 0:
                axes.set_title(name, size=8, pad=3)
        for axes in row:
            bare(axes)
    if note:
        figure.supxlabel(note, x=0.01, ha="left", size=8, color=GREY)
    return figure


def _over(picture: np.ndarray, heat: np.ndarray, whole: bool) -> np.ndarray:
    """RGB of the heat in colours; on top of the picture in grey where it is coarser than that."""
    size = picture.shape[:2]
    heat = np.clip(upsampled(heat[None], size)[0], 0, None)
    top = np.percentile(heat, 99.8) if whole else heat.max()  # a few single pixels would leave all others dark
    heat = np.clip(heat / (top or 1.0), 0, 1)
    if whole:
        return matplotlib.colormaps["inferno"](heat)[..., :3]
    grey = picture.mean(axis=2, keepdims=True) / 255
    colour = matplotlib.colormaps["inferno"](heat)[..., :3]
    return np.clip(0.45 * grey + 0.75 * colour, 0, 1)


def saliency_figure(model: Model, pictures: Any, classes: Classes = None) -> Figure:
    """Pictures, and how much the score of the class changes with each pixel; see `minicnn.viz.saliency`."""
    pixels, x, numbers, titles = _asked(model, pictures, classes)
    return heat_figure(pixels, {"saliency": saliency(model, x, numbers)}, titles, "Black is no influence, white the most.")


def grad_cam_figure(model: Model, pictures: Any, classes: Classes = None, layer: str | None = None) -> Figure:
    """Pictures, and which places speak for the class; see `minicnn.viz.grad_cam`."""
    pixels, x, numbers, titles = _asked(model, pictures, classes)
    return heat_figure(
        pixels, {"Grad-CAM": grad_cam(model, x, numbers, layer)}, titles, "The brighter, the more speaks for the class."
    )


def occlusion_figure(
    model: Model,
    pictures: Any,
    classes: Classes = None,
    square: int | None = None,
    stride: int | None = None,
    progress: bool = True,
) -> Figure:
    """Pictures, and how far the probability of the class falls when a place is covered; see `minicnn.viz.occlusion`."""
    pixels, x, numbers, titles = _asked(model, pictures, classes)
    covered, open_ = occlusion(model, x, numbers, square, stride, progress)
    titles = [f"{title}\nat worst {100 * p.min():.0f} %" for title, p in zip(titles, covered, strict=True)]
    note = "The brighter, the further the probability falls when that place is covered."
    return heat_figure(pixels, {"occlusion": open_[:, None, None] - covered}, titles, note)


def _asked(model: Model, pictures: Any, classes: Classes) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Pixels, input, class numbers, and titles with the classes' names and probabilities."""
    pixels, x = prepared(model, pictures)
    numbers = class_numbers(model, x, classes)
    with modes_kept(model):
        p = probabilities(model.eval().forward(x))
    numbers = p.argmax(1) if numbers is None else numbers
    names = class_names(model, numbers)
    titles = [f"{shorten(name, 20)} {100 * p[n, k]:.0f} %" for n, (name, k) in enumerate(zip(names, numbers, strict=True))]
    return pixels, x, numbers, titles
