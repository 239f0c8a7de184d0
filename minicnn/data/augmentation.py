"""Augmentation: random changes to training pictures that leave their class as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .compose import Rng, check_pictures
from .crops import resized_window

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # how bright red, green and blue appear; ITU-R BT.601, as Pillow has it


@dataclass(frozen=True)
class Augmentation:
    """Random changes to a batch of 8-bit pictures, drawn anew for each picture and each call; by default none.

    In this order: a window of the picture is cropped and resized to the full size; the result is shifted, flipped and turned;
    then contrast c and brightness b are changed, y = ((x - m) c + m) b with m the picture's mean, and after that the saturation
    s of colours, z = g + (y - g) s with g the grey of the pixel, 0.299 R + 0.587 G + 0.114 B; rounded and clipped to 0..255.

    Parameters
    ----------
    horizontal_flip, vertical_flip : bool
        Mirror left-right, or upside down, with probability 1/2.
    quarter_turns : bool
        Turn by 0, 90, 180 or 270 degrees with equal probability; for square pictures.
    shift : float
        Move by up to this fraction of the side in either direction, along both axes, in whole pixels; the edge is repeated.
    min_scale : float
        The window's side as a fraction of the picture's is drawn from min_scale to 1, its position uniformly.
    brightness, contrast, saturation : float
        b is drawn from 1 - brightness to 1 + brightness, c from 1 - contrast to 1 + contrast, and s likewise.

    Raises
    ------
    ValueError
        For amounts that are not fractions.

    Examples
    --------
    >>> mirror = Augmentation(horizontal_flip=True)
    >>> pictures = np.arange(6, dtype=np.uint8).reshape(2, 1, 3, 1)
    >>> mirror(pictures, np.random.default_rng(1))[..., 0].tolist()
    [[[0, 1, 2]], [[3, 4, 5]]]
    """

    horizontal_flip: bool = False
    vertical_flip: bool = False
    quarter_turns: bool = False
    shift: float = 0.0
    min_scale: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self) -> None:
        for name in ("shift", "brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected a fraction from 0 to less than 1")
        if not 0 < self.min_scale <= 1:
            raise ValueError(f"min_scale={self.min_scale}: expected a fraction of the side, more than 0 and up to 1")

    def __call__(self, pictures: np.ndarray, rng: Rng) -> np.ndarray:
        """The pictures with random changes.

        Parameters
        ----------
        pictures : uint8 (N, H, W, C), or (N, H, W) for grey ones
            Not changed.
        rng : Generator or PerSampleGenerator
            Equal states give equal results; with the latter a picture's depend on (seed, epoch, number of the picture) alone.

        Returns
        -------
        uint8, of the same shape; the same array where nothing is to be changed

        Raises
        ------
        ValueError
            For other arrays, and for quarter turns of pictures that are not square.
        """
        if self == Augmentation():
            return pictures
        check_pictures(pictures)
        n, height, width = pictures.shape[:3]
        if self.quarter_turns and height != width:
            raise ValueError(f"quarter turns need square pictures, got {height} x {width}; set quarter_turns=False")

        # All random numbers are drawn for the whole batch, in a fixed order.
        scale = rng.uniform(self.min_scale, 1, n)
        position = rng.uniform(0, 1, (n, 2))
        shift = np.rint(rng.uniform(-self.shift, self.shift, (n, 2)) * (height, width)).astype(np.int64)
        flip = (rng.uniform(0, 1, (n, 2)) < 0.5) & (self.vertical_flip, self.horizontal_flip)
        turns = rng.integers(0, 4, n) * self.quarter_turns
        contrast = rng.uniform(1 - self.contrast, 1 + self.contrast, n)
        brightness = rng.uniform(1 - self.brightness, 1 + self.brightness, n)
        saturation = rng.uniform(1 - self.saturation, 1 + self.saturation, n) if self.saturation else np.ones(n)

        varied = np.empty_like(pictures)
        for i, picture in enumerate(pictures):
            if scale[i] < 1:
                picture = _window(picture, scale[i], position[i])
            if shift[i].any():
                picture = _shifted(picture, *shift[i])
            picture = picture[:: -1 if flip[i, 0] else 1, :: -1 if flip[i, 1] else 1]
            if turns[i]:
                picture = np.rot90(picture, turns[i])
            varied[i] = picture
        if self.contrast or self.brightness:
            _change_tones(varied, contrast, brightness)
        if self.saturation and varied.shape[3:] == (3,):
            for i in range(n):
                varied[i] = _with_saturation(varied[i], saturation[i])
        return varied

    @property
    def symmetry(self) -> str:
        """The ``Preprocessing.symmetry`` whose test-time views are the flips and turns of this augmentation."""
        if self.horizontal_flip and self.vertical_flip:
            return "square" if self.quarter_turns else "flips"
        return "mirror" if self.horizontal_flip else "none"

    def without_flips(self) -> Augmentation:
        """The same without mirroring pictures, for classes that differ by left and right or by up and down."""
        return replace(self, horizontal_flip=False, vertical_flip=False)

    def describe(self) -> str:
        """One line for reports."""
        parts = [
            "horizontal flips" if self.horizontal_flip else "",
            "vertical flips" if self.vertical_flip else "",
            "quarter turns" if self.quarter_turns else "",
            f"shifts up to {100 * self.shift:g} %" if self.shift else "",
            f"windows of {100 * self.min_scale:g} to 100 % of the side" if self.min_scale < 1 else "",
            f"brightness up to {100 * self.brightness:g} % more or less" if self.brightness else "",
            f"contrast up to {100 * self.contrast:g} % more or less" if self.contrast else "",
            f"saturation up to {100 * self.saturation:g} % more or less" if self.saturation else "",
        ]
        return ", ".join(filter(None, parts)) or "none"


WORDS = {
    "flip": "horizontal_flip",
    "vertical-flip": "vertical_flip",
    "turns": "quarter_turns",
    "shift": "shift",
    "window": "min_scale",
    "brightness": "brightness",
    "contrast": "contrast",
    "saturation": "saturation",
}
EXAMPLE = "flip,window=0.7,brightness=0.2"


def parse_augmentation(text: str) -> Augmentation:
    """The augmentation that words describe; "none" is none.

    Parameters
    ----------
    text : str
        Separated by commas: flip, vertical-flip, turns (by quarters), and shift, window, brightness, contrast, saturation with
        a fraction each, which are ``Augmentation``'s fields of that name, and min_scale.

    Raises
    ------
    ValueError
        For another word, a fraction that is missing, too much or no fraction.

    >>> parse_augmentation("flip,window=0.7,brightness=0.2").describe()
    'horizontal flips, windows of 70 to 100 % of the side, brightness up to 20 % more or less'
    """
    fields: dict[str, bool | float] = {}
    for word in text.split(","):
        name, given, value = (piece.strip() for piece in word.partition("="))
        if text.strip() == "none":
            break
        if name not in WORDS:
            raise ValueError(f"--augment: {name!r} is none of {', '.join(WORDS)}; an example: {EXAMPLE}, or none")
        takes_number = type(getattr(Augmentation, WORDS[name])) is float
        if takes_number != bool(given):
            expected = f"a fraction, as {name}=0.2" if takes_number else "no value"
            raise ValueError(f"--augment: {name} has {expected}, got {word.strip()!r}")
        try:
            fields[WORDS[name]] = float(value) if takes_number else True
        except ValueError:
            raise ValueError(f"--augment: expected a number in {word.strip()!r}, as {name}=0.2") from None
    return Augmentation(**fields)


def _window(picture: np.ndarray, scale: float, position: np.ndarray) -> np.ndarray:
    """A window of the picture, resized to the full size. ``position``: 0 is the top or left end, 1 the bottom or right one."""
    height, width = picture.shape[:2]
    top, left = position * (1 - scale) * (height, width)
    box = (left, top, min(left + scale * width, width), min(top + scale * height, height))
    return resized_window(picture, box, (height, width))


def _shifted(picture: np.ndarray, down: int, right: int) -> np.ndarray:
    """The picture moved, with its edge repeated where pixels from outside would come in."""
    height, width = picture.shape[:2]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return picture[rows].take(columns, axis=1)


def _change_tones(pictures: np.ndarray, contrast: np.ndarray, brightness: np.ndarray) -> None:
    """Give each picture its contrast and brightness. bytes.translate with a table of all 256 results is fastest."""
    means = pictures.mean(axis=tuple(range(1, pictures.ndim)))[:, None]
    results = ((np.arange(256) - means) * contrast[:, None] + means) * brightness[:, None]
    tables = np.rint(np.clip(results, 0, 255)).astype(np.uint8)
    for picture, table in zip(pictures, tables, strict=True):
        picture[...] = np.frombuffer(picture.tobytes().translate(table.tobytes()), np.uint8).reshape(picture.shape)


def _with_saturation(picture: np.ndarray, saturation: float) -> np.ndarray:
    """The colours of (H, W, 3) further from grey, or nearer to it."""
    grey = (picture @ LUMA)[..., None]
    return np.rint(np.clip(grey + (picture - grey) * np.float32(saturation), 0, 255)).astype(np.uint8)


PHOTOS = Augmentation(horizontal_flip=True, min_scale=0.7, brightness=0.2, contrast=0.2)
CELLS = Augmentation(horizontal_flip=True, vertical_flip=True, quarter_turns=True, shift=0.02, brightness=0.1, contrast=0.1)
