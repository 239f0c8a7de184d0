"""Heatmaps over pictures: saliency, occlusion and Grad-CAM drawn as colours."""

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
from .hooks import Classes, class_indices, class_names, preserve_modes
from .occlusion import occlusion
from .panels import hide_axes, prepare_pictures, thumbnail
from .style import GREY, WIDTH, shorten, styled

COLUMN_INCHES = 1.65


def upsample(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps (N, h, w) resized bilinearly to the size (H, W) of the picture: float32 (N, H, W)."""
    maps = np.asarray(maps, np.float32)
    return np.stack([np.asarray(Image.fromarray(values).resize(size[::-1], Image.Resampling.BILINEAR)) for values in maps])


@styled
def heatmaps_figure(
    pictures: Sequence[np.ndarray], heatmaps: Mapping[str, np.ndarray], titles: Sequence[str] | None = None, note: str = ""
) -> Figure:
    """A row for each picture: the picture, and beside it each of its heatmaps.

    Parameters
    ----------
    pictures : N pictures, uint8 (H, W, C)
    heatmaps : mapping from a method's name to (N, h, w)
        At least 0, each scaled to its own maximum. Maps of the picture's size (saliency) are drawn alone, smaller ones over the
        picture.
    titles : one for each picture, optional
    note : str
        A line below the figure.

    Raises
    ------
    ValueError
        Unless there is at least one heatmap, each with a map for each picture, and a title for each picture.
    """
    N, titles = len(pictures), titles or [""] * len(pictures)
    wrong = {name: np.shape(maps) for name, maps in heatmaps.items() if np.ndim(maps) != 3 or len(maps) != N}
    if wrong or not heatmaps or len(titles) != N:
        raise ValueError(
            f"{N} pictures need {N} titles and heatmaps of shape ({N}, h, w), got {len(titles)} titles and heatmaps "
            f"{wrong or 'none'}"
        )
    columns = 1 + len(heatmaps)
    width = min(WIDTH, COLUMN_INCHES * columns)
    note = textwrap.fill(note, int(15 * width))
    lines = 1 + max(title.count("\n") for title in titles)
    figure = Figure(
        figsize=(width, (0.95 * width / columns + 0.05 + 0.14 * lines) * N + 0.1 + 0.15 * (note.count("\n") + bool(note)))
    )
    grid = figure.subplots(N, columns, squeeze=False)
    for n, (row, pixels, title) in enumerate(zip(grid, pictures, titles, strict=True)):
        picture = thumbnail(np.asarray(pixels))
        row[0].imshow(picture)
        row[0].set_title(title, size=8, pad=3)
        for axes, (name, maps) in zip(row[1:], heatmaps.items(), strict=True):
            axes.imshow(_coloured(picture, maps[n], per_pixel=maps.shape[1:] == np.shape(pixels)[:2]))
            if n == 0:
                axes.set_title(name, size=8, pad=3)
        for axes in row:
            hide_axes(axes)
    if note:
        figure.supxlabel(note, x=0.01, ha="left", size=8, color=GREY)
    return figure


def _coloured(picture: np.ndarray, heat: np.ndarray, per_pixel: bool) -> np.ndarray:
    """The heatmap in colours, RGB from 0 to 1; over a grey copy of the picture unless it has a value for each pixel."""
    size = picture.shape[:2]
    heat = np.clip(upsample(heat[None], size)[0], 0, None)
    top = np.percentile(heat, 99.8) if per_pixel else heat.max()  # a few extreme pixels would leave all others dark
    heat = np.clip(heat / (top or 1.0), 0, 1)
    colour = matplotlib.colormaps["inferno"](heat)[..., :3]
    if per_pixel:
        return colour
    grey = picture.mean(axis=2, keepdims=True) / 255
    return np.clip(0.45 * grey + 0.75 * colour, 0, 1)


def saliency_figure(model: Model, pictures: Any, classes: Classes = None) -> Figure:
    """Pictures, and how much the score of the class changes with each pixel; see `minicnn.viz.saliency`."""
    pixels, x, indices, titles = _inputs_and_titles(model, pictures, classes)
    return heatmaps_figure(pixels, {"saliency": saliency(model, x, indices)}, titles, "Black is no influence, white the most.")


def grad_cam_figure(model: Model, pictures: Any, classes: Classes = None, layer: str | None = None) -> Figure:
    """Pictures, and which of their regions raise the score of the class; see `minicnn.viz.grad_cam`."""
    pixels, x, indices, titles = _inputs_and_titles(model, pictures, classes)
    return heatmaps_figure(
        pixels, {"Grad-CAM": grad_cam(model, x, indices, layer)}, titles, "The brighter, the more speaks for the class."
    )


def occlusion_figure(
    model: Model,
    pictures: Any,
    classes: Classes = None,
    patch_size: int | None = None,
    stride: int | None = None,
    progress: bool = True,
) -> Figure:
    """Pictures, and how far the probability of the class falls when a region is covered; see `minicnn.viz.occlusion`."""
    pixels, x, indices, titles = _inputs_and_titles(model, pictures, classes)
    covered, uncovered = occlusion(model, x, indices, patch_size, stride, progress)
    titles = [f"{title}\nat worst {100 * p.min():.0f} %" for title, p in zip(titles, covered, strict=True)]
    note = "The brighter, the further the probability falls when that place is covered."
    return heatmaps_figure(pixels, {"occlusion": uncovered[:, None, None] - covered}, titles, note)


def _inputs_and_titles(model: Model, pictures: Any, classes: Classes) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Pixels, network input, class indices, and titles with the classes' names and probabilities."""
    pixels, x = prepare_pictures(model, pictures)
    indices = class_indices(model, x, classes)
    with preserve_modes(model):
        p = probabilities(model.eval().forward(x))
    indices = p.argmax(1) if indices is None else indices
    names = class_names(model, indices)
    titles = [f"{shorten(name, 20)} {100 * p[n, k]:.0f} %" for n, (name, k) in enumerate(zip(names, indices, strict=True))]
    return pixels, x, indices, titles
