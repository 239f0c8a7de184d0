"""Attribution by occlusion: how the probability of a class changes when a part of the picture is covered."""

from __future__ import annotations

import numpy as np

from ..inference.batches import infer
from ..models import Model
from ..models.predictions import probabilities
from .hooks import Classes, class_indices


def occlusion(
    model: Model,
    x: np.ndarray,
    classes: Classes = None,
    patch_size: int | None = None,
    stride: int | None = None,
    progress: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """The probability of a class while a grey square patch covers one region of the picture after the other.

    The picture is divided into cells of stride x stride pixels, and the patch is centred on each cell in turn and cropped at
    the border. So the result has one number for each cell, and the cells cover the picture without gaps. Grey is 0 in x: the
    mean colour that the preprocessing subtracts.

    Parameters
    ----------
    model, x, classes : see `minicnn.viz.saliency`
    patch_size : int, optional
        The side of the patch in pixels; by default about a fifth of the picture's short side.
    stride : int, optional
        The side of a cell in pixels; by default about a fourteenth of the short side, which takes 14 x 14 = 196 forward passes
        for a square picture.
    progress : bool
        Show a bar when this takes over two seconds.

    Returns
    -------
    covered : (N, ceil(H / stride), ceil(W / stride))
        The probability of the class with the patch on each cell. It is low where the prediction depends on what is covered.
    uncovered : (N,)
        The probability with nothing covered.

    Zeiler, Fergus 2014, "Visualizing and Understanding Convolutional Networks" (arXiv 1311.2901), section 4.2 and figure 7.

    Raises
    ------
    ValueError
        If patch_size or stride is not from 1 to the picture's short side, and for classes as in `minicnn.viz.saliency`.
    """
    indices = class_indices(model, x, classes)
    covered, uncovered = occluded_probabilities(model, x, patch_size, stride, progress)
    n, k = np.arange(len(x)), uncovered.argmax(1) if indices is None else indices
    return covered[n, :, :, k], uncovered[n, k]


def occluded_probabilities(
    model: Model, x: np.ndarray, patch_size: int | None = None, stride: int | None = None, progress: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities of all K classes with the patch on each cell, (N, rows, columns, K), and with nothing covered, (N, K).

    Arguments, cells and errors as in `occlusion`.
    """
    N, _, H, W = x.shape
    short = min(H, W)
    patch_size = max(round(short / 5), 1) if patch_size is None else patch_size
    stride = max(round(short / 14), 1) if stride is None else stride
    for name, value in (("patch_size", patch_size), ("stride", stride)):
        if not isinstance(value, (int, np.integer)) or not 1 <= value <= short:
            raise ValueError(
                f"occlusion: {name} is a number of pixels from 1 to the picture's short side, {short}; got {value!r}"
            )
    rows, columns = -(-H // stride), -(-W // stride)
    cells = rows * columns

    def covered_pictures(samples: np.ndarray) -> np.ndarray:
        """Sample s is picture s // cells with the patch on cell s % cells."""
        pictures = x[samples // cells]  # a copy, because the indices are an array
        for picture, cell in zip(pictures, samples % cells, strict=True):
            top, left = (((2 * position + 1) * stride - patch_size) // 2 for position in divmod(cell, columns))
            picture[:, max(top, 0) : top + patch_size, max(left, 0) : left + patch_size] = 0
        return pictures

    fused = model.fuse()
    uncovered = infer(fused, N, lambda n: x[n], finish=probabilities, dtype=x.dtype)
    label = "occlusion" if progress else None
    covered = infer(fused, N * cells, covered_pictures, finish=probabilities, label=label, dtype=x.dtype)
    return covered.reshape(N, rows, columns, -1), uncovered
