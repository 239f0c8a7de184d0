"""Occlusion: what becomes of the answer when a part of the picture is covered."""

from __future__ import annotations

import numpy as np

from ..inference.batches import infer
from ..models import Model
from ..models.predictions import probabilities
from .hooks import Classes, class_numbers


def occlusion(
    model: Model,
    x: np.ndarray,
    classes: Classes = None,
    square: int | None = None,
    stride: int | None = None,
    progress: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """The probability of a class while a grey square covers one place of the picture after the other.

    The picture is divided into cells of stride x stride pixels, and the square is centred on each cell in turn; what of it
    would be outside is cut off. So the answer has one number for each cell and lies over the picture without gaps. Grey is 0
    in x: the mean colour that the preprocessing subtracts.

    Parameters
    ----------
    model, x, classes : see `minicnn.viz.saliency`
    square : int, optional
        Its side in pixels; by default about a fifth of the picture's short side.
    stride : int, optional
        By default about a fourteenth of the short side: 14 x 14 = 196 passes for a square picture.
    progress : bool
        Show a bar when this takes over two seconds.

    Returns
    -------
    covered : (N, ceil(H / stride), ceil(W / stride))
        The probability of the class with the square there. Low where the answer depends on what is covered.
    open : (N,)
        The probability with nothing covered.

    Zeiler, Fergus 2014, "Visualizing and Understanding Convolutional Networks" (arXiv 1311.2901), section 4.2 and figure 7.

    Raises
    ------
    ValueError
        If square or stride is not from 1 to the picture's short side.
    """
    numbers = class_numbers(model, x, classes)
    N, _, H, W = x.shape
    short = min(H, W)
    square = max(round(short / 5), 1) if square is None else square
    stride = max(round(short / 14), 1) if stride is None else stride
    for name, value in (("square", square), ("stride", stride)):
        if not isinstance(value, (int, np.integer)) or not 1 <= value <= short:
            raise ValueError(
                f"occlusion: {name} is a number of pixels from 1 to the picture's short side, {short}; got {value!r}"
            )
    fused = model.fuse()
    p = infer(fused, N, lambda n: x[n], finish=probabilities, dtype=x.dtype)
    k = p.argmax(1) if numbers is None else numbers

    rows, columns = -(-H // stride), -(-W // stride)
    places = rows * columns

    def covered(samples: np.ndarray) -> np.ndarray:
        pictures = x[samples // places]  # a copy: the indices are an array
        for picture, place in zip(pictures, samples % places, strict=True):
            top, left = (int((cell + 0.5) * stride - square / 2) for cell in divmod(place, columns))
            picture[:, max(top, 0) : top + square, max(left, 0) : left + square] = 0
        return pictures

    label = "occlusion" if progress else None
    found = infer(fused, N * places, covered, finish=probabilities, label=label, dtype=x.dtype)
    found = found[np.arange(N * places), np.repeat(k, places)]
    return found.reshape(N, rows, columns), p[np.arange(N), k]
