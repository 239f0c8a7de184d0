"""Cutout: hide a square of the picture, so that no single part of it decides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .compose import Rng, check_pictures


@dataclass(frozen=True)
class Cutout:
    """Fills a square around a random pixel of each picture; of squares at the edge a part lies outside, and hides less.

    DeVries, Taylor 2017, "Improved Regularization of Convolutional Neural Networks with Cutout" (arXiv 1708.04552), section 3.

    Parameters
    ----------
    size : int
        Of the square's sides in pixels; from row - size // 2 on, likewise columns.
    fill : int or (int, int, int)
        The value of hidden pixels, 0 to 255, for all channels or one for each. In the paper the mean of the training set, 0
        after its subtraction; the middle grey is near it.

    Raises
    ------
    ValueError
        If the size is not at least 1, or a value not from 0 to 255; in a call, for other arrays, or not one value a channel.

    >>> Cutout(3, fill=0)(np.full((1, 5, 5), 9, np.uint8), np.random.default_rng(2))[0]
    array([[0, 0, 0, 9, 9],
           [0, 0, 0, 9, 9],
           [0, 0, 0, 9, 9],
           [9, 9, 9, 9, 9],
           [9, 9, 9, 9, 9]], dtype=uint8)
    """

    size: int
    fill: int | tuple[int, ...] = 127

    def __post_init__(self) -> None:
        if not isinstance(self.size, (int, np.integer)) or self.size < 1:
            raise ValueError(f"size={self.size!r}: expected the side of the square in pixels, at least 1")
        values = np.asarray(self.fill)
        if values.dtype.kind not in "iu" or values.ndim > 1 or values.min() < 0 or values.max() > 255:
            raise ValueError(f"fill={self.fill!r}: expected a value from 0 to 255, or one for each channel")

    def __call__(self, pictures: np.ndarray, rng: Rng) -> np.ndarray:
        """uint8 pictures (N, H, W, C) or (N, H, W); returns new ones."""
        check_pictures(pictures)
        if np.ndim(self.fill) and pictures.shape[3:] != np.shape(self.fill):
            raise ValueError(f"Cutout fills {len(self.fill)} channels, and pictures are {pictures.shape}")
        n, height, width = pictures.shape[:3]
        first = np.floor(rng.random((n, 2)) * (height, width)).astype(np.int64) - self.size // 2
        varied = pictures.copy()
        for picture, (top, left) in zip(varied, first, strict=True):
            picture[max(top, 0) : max(top + self.size, 0), max(left, 0) : max(left + self.size, 0)] = self.fill
        return varied

    def describe(self) -> str:
        """One line for reports."""
        return f"squares of {self.size} x {self.size} pixels hidden"
