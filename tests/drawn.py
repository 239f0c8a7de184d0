"""Whether a figure is whole."""

from io import BytesIO

import numpy as np
from PIL import Image


def png_of(figure):
    """The figure as the bytes of a PNG file."""
    png = BytesIO()
    figure.savefig(png, format="png", dpi=120)
    return png.getvalue()


def frame_is_white(png):
    """Whether nothing reaches the outermost pixels, as letters do that are cut off."""
    pixels = np.asarray(Image.open(BytesIO(png)).convert("L"))
    return all((edge > 250).all() for edge in (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:]))
