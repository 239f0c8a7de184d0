"""Colour pictures of 16 bits a channel, of which Pillow gives the upper 8 bits alone: how to get the lower ones too.

Pillow has no mode for such pictures. It decodes them in full, and keeps of each number the byte that comes first or second,
depending on the byte order that the file's format has. Asked for the other byte order, it keeps the other byte.
"""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image

OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}  # big, little, this machine's
COLOURS = ("RGB;16", "RGBA;16", "RGBX;16")
GREY_ALPHA, ALL_BYTES = "LA;16B", "RGBA"  # of four bytes a pixel each
BITS_PER_SAMPLE, PLANAR_CONFIGURATION = 258, 284  # tags of TIFF


def raw_mode(image: Image.Image) -> str | None:
    """How the numbers lie in the file of an opened picture of 16 bits a channel that is not yet decoded; None for any other."""
    if image.mode not in ("RGB", "RGBA", "RGBX") or not image.tile:
        return None
    arguments = image.tile[0][3]
    mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return mode if isinstance(mode, str) and (mode == GREY_ALPHA or mode[:-1] in COLOURS) else None


def is_planar(image: Image.Image) -> bool:
    """Whether this is a TIFF picture of 16 bits with a plane for each channel, which Pillow reads wrongly."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(PLANAR_CONFIGURATION) == 2 and len(bits := tags.get(BITS_PER_SAMPLE, ())) > 1 and max(bits) == 16


def ask_for_lower_bytes(image: Image.Image) -> None:
    """Let an opened picture that has a `raw_mode` decode to its lower bytes; one of grey and alpha, to all four bytes."""
    mode = raw_mode(image)
    other = ALL_BYTES if mode == GREY_ALPHA else mode[:-1] + OTHER_ORDER[mode[-1]]
    image.tile = [_with_mode(tile, other) for tile in image.tile]


def _with_mode(tile: tuple, mode: str) -> tuple:
    arguments = mode if isinstance(tile[3], str) else (mode, *tile[3][1:])
    return tile._replace(args=arguments) if hasattr(tile, "_replace") else (*tile[:3], arguments)


def joined(upper: Image.Image, lower: Image.Image, mode: str) -> np.ndarray:
    """The numbers, uint16 (H, W, 3) or (H, W, 4), of the same picture decoded both ways; ``mode`` is its `raw_mode`."""
    lower_bytes = np.asarray(lower)
    if mode == GREY_ALPHA:
        return np.ascontiguousarray(lower_bytes).view(">u2").astype(np.uint16)[..., [0, 0, 0, 1]]
    numbers = np.asarray(upper).astype(np.uint16)
    numbers <<= 8
    numbers |= lower_bytes
    return numbers[..., :3] if mode.startswith("RGBX") else numbers
