"""Random crops: another part of the picture each time, as it is or resized."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .compose import Rng, check_pictures

Size = int | tuple[int, int] | None
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class RandomCrop:
    """A window at a random place of the picture, which is first made larger by its own reflection: each place equally likely.

    ``RandomCrop(pad=k)`` is a reflected translation: the picture moves by up to k pixels in either direction along both axes,
    and what comes in at the edge is the picture mirrored about its outermost pixels (which are not repeated).
    ``RandomCrop(size)`` cuts out a part.

    Krizhevsky, Sutskever, Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section 4.1 (224 out
    of 256 pixels); He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2 (padded, by zeros there).

    Parameters
    ----------
    size : int, (height, width) or None
        Of the window in pixels; None: as large as the picture.
    pad : int
        Pixels of reflection on each side.

    Raises
    ------
    ValueError
        For sizes that make no sense; in a call, for a window larger than the padded picture, or a padding that is not smaller
        than the picture's sides.

    >>> pictures = np.array([[[1, 2, 3]], [[1, 2, 3]], [[1, 2, 3]]], np.uint8)                        # three of 1 x 3 pixels
    >>> RandomCrop((1, 2))(pictures, np.random.default_rng(0)).tolist()
    [[[1, 2]], [[1, 2]], [[2, 3]]]
    """

    size: Size = None
    pad: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _height_and_width(self.size))
        if not isinstance(self.pad, (int, np.integer)) or self.pad < 0:
            raise ValueError(f"pad={self.pad!r}: expected a number of pixels, at least 0")

    def __call__(self, pictures: np.ndarray, rng: Rng) -> np.ndarray:
        """uint8 pictures (N, H, W, C) or (N, H, W); returns new ones of this size."""
        check_pictures(pictures)
        (n, *sides), (height, width) = pictures.shape[:3], self.size or pictures.shape[1:3]
        room = np.array(sides) + 2 * self.pad - (height, width)
        if self.pad >= min(sides) or room.min() < 0:
            raise ValueError(
                f"pictures of {sides[0]} x {sides[1]} with {self.pad} reflected pixels on each side have no windows of "
                f"{height} x {width}; a padding must be smaller than the picture, and a window not larger than both together"
            )
        corners = np.floor(rng.random((n, 2)) * (room + 1)).astype(np.int64)
        around = ((0, 0), (self.pad, self.pad), (self.pad, self.pad), (0, 0))
        padded = np.pad(pictures, around[: pictures.ndim], mode="reflect") if self.pad else pictures
        cropped = np.empty((n, height, width, *pictures.shape[3:]), np.uint8)
        for i, (top, left) in enumerate(corners):
            cropped[i] = padded[i, top : top + height, left : left + width]
        return cropped

    def describe(self) -> str:
        """One line for reports."""
        if self.size is None:
            return f"reflected translations by up to {self.pad} pixels"
        padded = f" of pictures padded by {self.pad} reflected pixels" if self.pad else ""
        return f"random crops of {self.size[0]} x {self.size[1]}{padded}"


@dataclass(frozen=True)
class RandomResizedCrop:
    """A window of random area, aspect ratio and place, resized: things appear larger, wider, and cut off.

    The area is drawn uniformly from a range of fractions of the picture's, and the aspect ratio, width / height, from another
    range, its logarithm uniformly; a side that would be longer than the picture's is as long as it. Each place in the picture
    is equally likely. The window is resampled bilinearly, antialiased where it shrinks.

    Szegedy et al. 2015, "Going Deeper with Convolutions", section 6.

    Parameters
    ----------
    size : int, (height, width) or None
        What windows are resized to, in pixels; None: the size of the picture.
    area : (float, float)
        Smallest and largest fraction of the picture's area.
    aspect : (float, float)
        Smallest and largest width / height, in units of the picture's.

    Raises
    ------
    ValueError
        For sizes and ranges that make no sense.

    >>> RandomResizedCrop(16)(np.zeros((2, 32, 40, 3), np.uint8), np.random.default_rng(0)).shape
    (2, 16, 16, 3)
    """

    size: Size = None
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _height_and_width(self.size))
        for name, least, most in (("area", 0, 1), ("aspect", 0, np.inf)):
            low, high = getattr(self, name)
            if not least < low <= high <= most:
                raise ValueError(f"{name}={getattr(self, name)}: expected a range, smallest first, above 0 and up to {most}")

    def __call__(self, pictures: np.ndarray, rng: Rng) -> np.ndarray:
        """uint8 pictures (N, H, W, C) or (N, H, W); returns new ones of this size."""
        check_pictures(pictures)
        n, height, width = pictures.shape[:3]
        area = rng.uniform(*self.area, n)
        aspect = np.exp(rng.uniform(*np.log(self.aspect), n))
        place = rng.random((n, 2))
        sides = np.minimum(np.stack([np.sqrt(area / aspect), np.sqrt(area * aspect)], axis=1), 1) * (height, width)
        corners = place * ((height, width) - sides)
        resized = np.empty((n, *(self.size or (height, width)), *pictures.shape[3:]), np.uint8)
        for i, ((top, left), (rows, columns)) in enumerate(zip(corners, sides, strict=True)):
            box = (left, top, min(left + columns, width), min(top + rows, height))
            resized[i] = resized_window(pictures[i], box, resized.shape[1:3])
        return resized

    def describe(self) -> str:
        """One line for reports."""
        (least, most), (narrow, wide) = self.area, self.aspect
        return f"windows of {100 * least:g} to {100 * most:g} % of the area, {narrow:.2g} to {wide:.2g} times as wide as high"


def resized_window(picture: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    """The window (left, top, right, bottom), in pixels and fractions of them, resampled bilinearly to (height, width)."""
    height, width = size
    image = Image.fromarray(picture[..., 0] if picture.shape[2:] == (1,) else picture)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=box)).reshape(*size, *picture.shape[2:])


def _height_and_width(size: Size) -> tuple[int, int] | None:
    """(height, width) from two numbers or one for both; None as it is."""
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2 or not all(isinstance(side, (int, np.integer)) and side >= 1 for side in sides):
        raise ValueError(f"size={size!r}: expected pixels, at least 1, or (height, width)")
    return int(sides[0]), int(sides[1])
