"""Turning a picture the right way up, as its EXIF data require."""

from __future__ import annotations

from PIL import Image

ORIENTATION = 0x0112  # the EXIF tag for the orientation of the camera
TRANSPOSE_FOR_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF data require; unreadable EXIF data are ignored."""
    if image.format == "TIFF":  # Pillow turns these while loading, but older releases of it do not remove the tag
        return image
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # damaged metadata raise exceptions of many types
        return image
    transpose = TRANSPOSE_FOR_ORIENTATION.get(orientation)
    return image if transpose is None else image.transpose(transpose)
