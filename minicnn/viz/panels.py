"""Pictures in figures: axes without ticks, a picture in the middle of a square, many small ones side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from ..models import Model

LARGEST = 400  # pixels of a picture in a figure; more would not be seen


def prepared(model: Model, pictures: Any) -> tuple[np.ndarray, np.ndarray]:
    """Pictures as the network sees them, uint8 (N, H, W, C), and its input, float32 (N, C, H, W).

    ``pictures`` is what ``model.preprocess`` takes: one picture, or a list or an array (N, H, W, C) of them.
    """
    several = isinstance(pictures, (list, tuple)) or (isinstance(pictures, np.ndarray) and pictures.ndim == 4)
    pictures = list(pictures) if several else [pictures]
    if not pictures:
        raise ValueError("there is no picture to draw: the list is empty")
    x = model.preprocess(pictures)
    return np.stack([model.preprocessing.fit_picture(picture) for picture in pictures]), x


def picture_of(pictures: Any, i: int) -> np.ndarray:
    """Picture i, uint8 (H, W, 3) or (H, W, 1), of a PictureSet, an array (N, H, W, C) or a list of such pictures."""
    return pictures.picture(i) if hasattr(pictures, "picture") else np.asarray(pictures[i])


def shown(pixels: np.ndarray, largest: int = LARGEST) -> np.ndarray:
    """RGB pixels no larger than a figure needs: uint8 (H, W, 3) from uint8 (H, W), (H, W, 1) or (H, W, 3)."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels).convert("RGB")
    image.thumbnail((largest, largest))
    return np.asarray(image)


def bare(axes) -> None:
    """Axes that are only a place for a picture: no ticks, no lines, no frame."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def show_picture(axes, pixels: np.ndarray) -> None:
    """A picture of any shape in the middle of square axes."""
    small = shown(pixels)
    height, width = small.shape[:2]
    axes.imshow(small, interpolation="nearest" if max(height, width) < 64 else "antialiased")
    half = max(width, height) / 2
    x, y = (width - 1) / 2, (height - 1) / 2
    axes.set(aspect="equal", xlim=(x - half, x + half), ylim=(y + half, y - half))


def mosaic(tiles: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
    """Equal tiles (N, h, w) or (N, h, w, 3) in rows of so many, with gaps of NaN (which is drawn white).

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
