"""Augmentation: random changes to training pictures that leave their class as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Augmentation:
    """Random changes to a batch of 8-bit pictures, drawn anew for each picture and each call; by default none.

    In this order: a window of the picture is cropped and resized to the full size; the result is shifted, flipped and turned;
    then contrast c and brightness b are changed, y = ((x - m) c + m) b with m the picture's mean, clipped to 0..255.

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
    brightness, contrast : float
        b is drawn from 1 - brightness to 1 + brightness, and c from 1 - contrast to 1 + contrast.

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

    def __post_init__(self) -> None:
        for name in ("shift", "brightness", "contrast"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected a fraction from 0 to less than 1")
        if not 0 < self.min_scale <= 1:
            raise ValueError(f"min_scale={self.min_scale}: expected a fraction of the side, more than 0 and up to 1")

    def __call__(self, pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The pictures with random changes.

        Parameters
        ----------
        pictures : uint8 (N, H, W, C), or (N, H, W) for grey ones
            Not changed.
        rng : Generator
            Equal states give equal results.

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
        if pictures.dtype != np.uint8 or pictures.ndim not in (3, 4):
            raise ValueError(f"augmentation expects uint8 pictures (N, H, W, C), got {pictures.dtype} {pictures.shape}")
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
                varied[i] = _with_tone(varied[i], contrast[i], brightness[i])
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
}
EXAMPLE = "flip,window=0.7,brightness=0.2"


def parse_augmentation(text: str) -> Augmentation:
    """The augmentation that words describe; "none" is none.

    Parameters
    ----------
    text : str
        Separated by commas: flip, vertical-flip, turns (by quarters), and shift, window, brightness, contrast with a fraction
        each, which are ``Augmentation``'s shift, min_scale, brightness and contrast.

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
    image = Image.fromarray(picture[..., 0] if picture.shape[2:] == (1,) else picture)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=box)).reshape(picture.shape)


def _shifted(picture: np.ndarray, down: int, right: int) -> np.ndarray:
    """The picture moved, with its edge repeated where pixels from outside would come in."""
    height, width = picture.shape[:2]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return picture[rows].take(columns, axis=1)


def _with_tone(picture: np.ndarray, contrast: float, brightness: float) -> np.ndarray:
    """The picture with another contrast and brightness. bytes.translate with a table of all 256 results is fastest."""
    mean = picture.mean()
    table = np.rint(np.clip(((np.arange(256) - mean) * contrast + mean) * brightness, 0, 255)).astype(np.uint8)
    return np.frombuffer(picture.tobytes().translate(table.tobytes()), np.uint8).reshape(picture.shape)


PHOTOS = Augmentation(horizontal_flip=True, min_scale=0.7, brightness=0.2, contrast=0.2)
CELLS = Augmentation(horizontal_flip=True, vertical_flip=True, quarter_turns=True, shift=0.02, brightness=0.1, contrast=0.1)
