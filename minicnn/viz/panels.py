"""Pictures in figures: axes without ticks, a picture centred in a square, and mosaics of many small ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from ..models import Model

MAX_SIDE = 400  # pixels of a picture in a figure; more could not be seen


def prepare_pictures(model: Model, pictures: Any) -> tuple[np.ndarray, np.ndarray]:
    """Pictures at the network's size, uint8 (N, H, W, C), and the network's input, float32 (N, C, H, W).

    ``pictures`` is what ``model.preprocess`` takes: one picture, or a list or an array (N, H, W, C) of them.
    """
    several = isinstance(pictures, (list, tuple)) or (isinstance(pictures, np.ndarray) and pictures.ndim == 4)
    pictures = list(pictures) if several else [pictures]
    if not pictures:
        raise ValueError("there is no picture to draw: the list is empty")
    x = model.preprocess(pictures)
    return np.stack([model.preprocessing.fit_picture(picture) for picture in pictures]), x


def picture_at(pictures: Any, i: int) -> np.ndarray:
    """Picture i, uint8 (H, W, 3) or (H, W, 1), of a PictureSet, an array (N, H, W, C) or a list of such pictures."""
    return pictures.picture(i) if hasattr(pictures, "picture") else np.asarray(pictures[i])


def thumbnail(pixels: np.ndarray, max_side: int = MAX_SIDE) -> np.ndarray:
    """RGB pixels, shrunk to at most ``max_side`` a side: uint8 (h, w, 3) from uint8 (H, W), (H, W, 1) or (H, W, 3)."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels).convert("RGB")
    image.thumbnail((max_side, max_side))
    return np.asarray(image)


def hide_axes(axes) -> None:
    """Remove ticks, grid and frame, so that the axes only hold a picture."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def show_picture(axes, pixels: np.ndarray) -> None:
    """Draw a picture of any aspect ratio, centred in square axes."""
    small = thumbnail(pixels)
    height, width = small.shape[:2]
    axes.imshow(small, interpolation="nearest" if max(height, width) < 64 else "antialiased")
    half = max(width, height) / 2
    x, y = (width - 1) / 2, (height - 1) / 2
    axes.set(aspect="equal", xlim=(x - half, x + half), ylim=(y + half, y - half))


def mosaic(tiles: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
    """Tiles (N, h, w) or (N, h, w, 3) side by side, ``columns`` in each row, with gaps of NaN (which is drawn white).

    >>> mosaic(np.array([[[1.0]], [[2]], [[3]]]), columns=2)
    array([[ 1., nan,  2.],
           [nan, nan, nan],
           [ 3., nan, nan]])
    """
    N, h, w = tiles.shape[:3]
    rows = -(-N // columns)
    whole = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, *tiles.shape[3:]), np.nan)
    for n, tile in enumerate(tiles):
        top, left = n // columns * (h + gap), n % columns * (w + gap)
        whole[top : top + h, left : left + w] = tile
    return whole
