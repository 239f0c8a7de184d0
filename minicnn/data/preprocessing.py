"""From a picture of any size to the numbers a network was trained on. It travels with the weights, inside their file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from PIL import Image

from .pictures import MAX_16_BIT, read_picture

INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
CHANNELS = {"RGB": 3, "BGR": 3, "L": 1}
EVEN_MEAN, EVEN_STD = 127.0, 40.0  # of a picture's pixels; three standard deviations to both sides are within 0 to 255
TEST_TIME_VIEWS = {"none": 1, "mirror": 2, "flips": 4, "square": 8}  # symmetry -> the number of views of a picture


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes a network's input: fit it to a size, then y = (x - mean) / std, channel by channel.

    Frozen, comparable and hashable; ``key()`` names it in caches, ``to_dict()`` goes into JSON and HDF5.

    Parameters
    ----------
    size : (H, W), or an int for a square
        Height and width of the network's input, in pixels.
    resize : int or None
        With ``fit="crop"``: the short side of the picture, in pixels, before the crop; at least as long as ``size``. A
        picture whose short side has this length already is not resampled. None: as small as still covers ``size``.
    fit : "crop" or "stretch"
        "crop" keeps the aspect ratio and cuts the centre out; "stretch" resizes the whole picture to ``size``.
    channels : "RGB", "BGR" or "L"
        What the network's input channels are; "L" is luma, 0.299 R + 0.587 G + 0.114 B, one channel.
    mean, std : one number a channel, or one for all of them
        In units of 8-bit pixels (0 to 255) and **in the order of** ``channels``. Statistics of pixels scaled to 0..1, as
        torchvision gives them, are to be multiplied by 255.
    interpolation : "bilinear" or "bicubic"
        The filter of the resampling, widened when shrinking (antialiased), as Pillow does it.
    exposure : "kept" or "even"
        "even" shifts and scales the pixels of each fitted picture, all channels alike, to a mean of 127 and a standard
        deviation of 40, clipped to 0..255: for pictures whose brightness and contrast say more about the camera, or the
        current that makes a solar cell glow, than about what they show.
    symmetry : "none", "mirror", "flips" or "square"
        The symmetry of what the pictures show, which decides the test-time views: what may be done to a picture without
        changing its class. Nothing; mirroring it; turning it upside down as well; or quarter turns too (all eight symmetries of
        a square). A network's scores are the mean over these views: 1, 2, 4 or 8 times the work, for fewer mistakes. See
        `test_time_views`.
    white : int
        The value that is white in 16-bit grey pictures; 4095 for those of a camera of 12 bits.

    Raises
    ------
    ValueError
        Where these do not fit together.

    Examples
    --------
    >>> lenet = Preprocessing(size=28, fit="stretch", channels="L", mean=33.3, std=78.6)
    >>> lenet(np.zeros((100, 200), np.uint8)).shape
    (1, 1, 28, 28)
    """

    size: tuple[int, int]
    resize: int | None = None
    fit: str = "crop"
    channels: str = "RGB"
    mean: tuple[float, ...] | float = 0.0
    std: tuple[float, ...] | float = 1.0
    interpolation: str = "bilinear"
    exposure: str = "kept"
    symmetry: str = "none"
    white: int = MAX_16_BIT

    def __post_init__(self) -> None:
        if self.channels not in CHANNELS:
            raise ValueError(f"channels={self.channels!r}: expected one of {', '.join(map(repr, CHANNELS))}")
        if self.fit not in ("crop", "stretch"):
            raise ValueError(f"fit={self.fit!r}: expected 'crop' (keeps the aspect ratio) or 'stretch'")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"interpolation={self.interpolation!r}: expected one of {', '.join(map(repr, INTERPOLATIONS))}")
        if self.exposure not in ("kept", "even"):
            raise ValueError(
                f"exposure={self.exposure!r}: expected 'kept' or 'even' (each picture to the same mean and contrast)"
            )
        if self.symmetry not in TEST_TIME_VIEWS:
            raise ValueError(f"symmetry={self.symmetry!r}: expected one of {', '.join(map(repr, TEST_TIME_VIEWS))}")
        if not 1 <= self.white <= MAX_16_BIT:
            raise ValueError(f"white={self.white!r}: expected a value of 16-bit pictures, 1 to {MAX_16_BIT}")
        size = (self.size, self.size) if np.isscalar(self.size) else tuple(self.size)
        if len(size) != 2 or any(int(side) != side or side < 1 for side in size):
            raise ValueError(f"size={self.size!r}: expected (height, width) in pixels, both at least 1")
        if self.symmetry == "square" and size[0] != size[1]:
            raise ValueError(f"symmetry='square' turns pictures by quarters, which needs a square size, got {size}")
        object.__setattr__(self, "size", (int(size[0]), int(size[1])))
        if self.resize is not None:
            if self.fit == "stretch":
                raise ValueError(f"resize={self.resize} has no meaning with fit='stretch', which resizes to size; leave it out")
            if self.resize < max(self.size):
                raise ValueError(f"resize={self.resize} is shorter than the crop, size={self.size}; it must cover it")
            object.__setattr__(self, "resize", int(self.resize))
        object.__setattr__(self, "mean", self._per_channel("mean"))
        object.__setattr__(self, "std", self._per_channel("std"))
        if min(self.std) < 1:
            raise ValueError(
                f"std={self.std}: expected standard deviations of 8-bit pixels, 0 to 255, at least 1. "
                "Were mean and std measured on pixels of 0 to 1? Then multiply both by 255."
            )

    def _per_channel(self, name: str) -> tuple[float, ...]:
        """The field's numbers, one for each channel."""
        given, count = getattr(self, name), CHANNELS[self.channels]
        values = tuple(float(value) for value in np.atleast_1d(given))
        if len(values) == 1:
            values *= count
        if len(values) != count or not all(map(math.isfinite, values)):
            raise ValueError(
                f"{name}={given!r}: expected {count} finite number(s) for channels {self.channels!r}, or one for all"
            )
        return values

    # ---- pictures

    def __call__(self, pictures: Any) -> np.ndarray:
        """The network's input for one picture, or for a list or (N, H, W, C) array of them: float32 (N, C, H, W)."""
        is_batch = isinstance(pictures, (list, tuple)) or (isinstance(pictures, np.ndarray) and pictures.ndim == 4)
        if not is_batch:
            pictures = [pictures]
        if len(pictures) == 0:
            return np.empty((0, CHANNELS[self.channels], *self.size), np.float32)
        return self.normalise(np.stack([self.fit_picture(picture) for picture in pictures]))

    def fit_picture(self, picture: Any, name: str | None = None) -> np.ndarray:
        """The picture (anything ``read_picture`` reads) at this size.

        Returns uint8 (H, W, 3) in RGB order, whether ``channels`` is RGB or BGR (so that it can be shown; ``normalise``
        swaps them), or (H, W, 1) for "L". ``name`` is what error messages call the picture.

        Raises PictureError where the picture cannot be read.
        """
        pixels = read_picture(picture, short_side=self.resize or max(self.size), name=name, white=self.white)
        if self.channels == "L":
            pixels = np.asarray(Image.fromarray(pixels).convert("L"))
        pixels = self._stretch(pixels) if self.fit == "stretch" else self._crop(pixels)
        if self.exposure == "even":
            pixels = _with_even_exposure(pixels)
        return pixels[..., None] if pixels.ndim == 2 else pixels

    def _stretch(self, pixels: np.ndarray) -> np.ndarray:
        if pixels.shape[:2] == self.size:
            return pixels
        return np.asarray(Image.fromarray(pixels).resize(self.size[::-1], INTERPOLATIONS[self.interpolation]))

    def _crop(self, pixels: np.ndarray) -> np.ndarray:
        """The centre crop of the picture with its short side resized; only the pixels inside the crop are computed.

        Sides and margins are rounded as in torchvision's Resize and CenterCrop, so both crop the same pixels.
        """
        (height, width), (crop_height, crop_width) = pixels.shape[:2], self.size
        short = min(height, width)
        if self.resize is None:
            scale = max(crop_height / height, crop_width / width)
            new_height, new_width = max(round(height * scale), crop_height), max(round(width * scale), crop_width)
        else:
            new_height, new_width = self.resize * height // short, self.resize * width // short
        top, left = round((new_height - crop_height) / 2), round((new_width - crop_width) / 2)
        if (new_height, new_width) == (height, width):
            return np.ascontiguousarray(pixels[top : top + crop_height, left : left + crop_width])
        y, x = height / new_height, width / new_width  # pixels of the picture per pixel of the resized one
        box = (left * x, top * y, min((left + crop_width) * x, width), min((top + crop_height) * y, height))
        resampling = INTERPOLATIONS[self.interpolation]
        return np.asarray(Image.fromarray(pixels).resize((crop_width, crop_height), resampling, box=box))

    def normalise(self, pixels: np.ndarray) -> np.ndarray:
        """y = (x - mean) / std, channels first.

        Parameters
        ----------
        pixels : uint8 (N, H, W, C), as ``fit_picture`` makes them
            C = 3 in RGB order, or C = 1 for "L" and for grey pictures that are stored with one channel to save memory; this
            channel is repeated for RGB and BGR. (N, H, W) counts as C = 1.

        Returns
        -------
        float32 (N, C, H, W), contiguous

        Raises
        ------
        ValueError
            For other dtypes and shapes.
        """
        pixels = np.asarray(pixels)
        if pixels.ndim == 3:
            pixels = pixels[..., None]
        channels = CHANNELS[self.channels]
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] not in (1, channels):
            raise ValueError(
                f"normalise expects uint8 pictures (N, H, W, {channels}), or (N, H, W, 1) for grey ones, "
                f"got {pixels.dtype} {pixels.shape}. Are the channels last, and the pixels 0 to 255?"
            )
        order = [0] * channels if pixels.shape[-1] == 1 else [2, 1, 0] if self.channels == "BGR" else list(range(channels))
        y = np.empty((len(pixels), channels, *pixels.shape[1:3]), np.float32)
        for picture, planes in zip(pixels, y, strict=True):  # one picture at a time, which stays in the cache
            for plane, source, mean, std in zip(planes, order, self.mean, self.std, strict=True):
                np.subtract(picture[..., source], np.float32(mean), out=plane)
                if std != 1:
                    np.divide(plane, np.float32(std), out=plane)
        return y

    def test_time_views(self, x: np.ndarray) -> list[np.ndarray]:
        """The input x (N, C, H, W) flipped and turned in all ways that ``symmetry`` allows, unchanged first.

        The mean of a network's scores over these views is test-time augmentation; ``infer(..., views=...)`` computes it.

        >>> x = np.arange(4).reshape(1, 1, 2, 2)
        >>> [view.ravel().tolist() for view in Preprocessing(size=2, symmetry="flips").test_time_views(x)]
        [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]
        """
        views = [x]
        if self.symmetry != "none":
            views += [view[..., ::-1] for view in views]
        if self.symmetry in ("flips", "square"):
            views += [view[..., ::-1, :] for view in views]
        if self.symmetry == "square":
            views += [view.swapaxes(-1, -2) for view in views]
        return views

    def scaled(self, scale: float) -> Preprocessing:
        """The same for larger (or smaller) pictures: ``size`` and ``resize`` times ``scale``, rounded to whole pixels.

        >>> larger = Preprocessing(size=224, resize=256).scaled(1.34)
        >>> larger.size, larger.resize
        ((300, 300), 343)
        """
        height, width = (round(scale * side) for side in self.size)
        return replace(self, size=(height, width), resize=self.resize and round(scale * self.resize))

    # ---- as text

    def to_dict(self) -> dict[str, Any]:
        """The fields, with lists in place of tuples, as JSON stores them; without ``white`` where it is 65535, as usual."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {name: value for name, value in values.items() if (name, value) != ("white", MAX_16_BIT)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The inverse of ``to_dict``. Raises ValueError for unknown fields, and where ``size`` is missing."""
        known = {field.name for field in fields(cls)}
        if not set(values) <= known or "size" not in values:
            raise ValueError(f"a preprocessing has the fields {sorted(known)} (size at least), got {sorted(values)}")
        return cls(**{name: tuple(value) if isinstance(value, (list, tuple)) else value for name, value in values.items()})

    def key(self) -> str:
        """16 hexadecimal digits that identify a preprocessing in caches: equal on every machine, different for any change."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def describe(self) -> str:
        """One line for reports."""
        height, width = self.size
        fit = f"stretched to {width}x{height}"
        if self.fit == "crop":
            fit = f"{f'short side {self.resize}, ' if self.resize else ''}centre crop {width}x{height}"
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        views = f", mean over {TEST_TIME_VIEWS[self.symmetry]} flipped or turned versions" if self.symmetry != "none" else ""
        exposure = ", even exposure" if self.exposure == "even" else ""
        return f"{fit}{exposure}, {self.channels}, (x - [{mean}]) / [{std}], {self.interpolation}{views}"


def _with_even_exposure(pixels: np.ndarray) -> np.ndarray:
    """x' = (x - m) / s * 40 + 127 with m and s the picture's own mean and standard deviation, s at least 1; uint8."""
    shift = np.float32(pixels.mean())
    stretch = np.float32(EVEN_STD / max(pixels.std(), 1.0))
    return np.rint(np.clip((pixels - shift) * stretch + np.float32(EVEN_MEAN), 0, 255)).astype(np.uint8)
