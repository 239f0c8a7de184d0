"""Several views of each picture: ten crops, or the whole picture densely at several sizes; and maps of class scores.

All give the mean of the probabilities of their views. More views cost more and are right more often, up to a point:
`lessons/laboratory/fc_to_conv.py` measures both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from ..data.pictures import read_picture
from ..data.preprocessing import Preprocessing
from ..kernels.pool import global_avg_pool_forward
from ..models.model import Model
from ..models.predictions import probabilities
from ..models.receptive_field import receptive_field
from ..runtime.parallel import parallel_each
from ..runtime.workers import get_threads
from .fc_to_conv import fc_to_conv


def ten_crops(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The four corners and the centre of a picture, and the mirror images of these five.

    Parameters
    ----------
    pixels : (H, W, C)
    size : (h, w), at most (H, W)

    Returns
    -------
    (10, h, w, C)

    Raises
    ------
    ValueError
        If the crops are larger than the picture.

    Krizhevsky, Sutskever, Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section 4.1.

    >>> crops = ten_crops(np.arange(9).reshape(3, 3, 1), (1, 2))
    >>> crops[:, 0, :, 0].tolist()
    [[0, 1], [1, 2], [6, 7], [7, 8], [3, 4], [1, 0], [2, 1], [7, 6], [8, 7], [4, 3]]
    """
    (H, W), (h, w) = pixels.shape[:2], size
    if h > H or w > W:
        raise ValueError(f"crops of {h} x {w} do not fit into a picture of {H} x {W}; make the picture larger first")
    corners = [(0, 0), (0, W - w), (H - h, 0), (H - h, W - w), ((H - h) // 2, (W - w) // 2)]
    crops = [pixels[top : top + h, left : left + w] for top, left in corners]
    return np.stack(crops + [crop[:, ::-1] for crop in crops])


def ten_crop_probabilities(
    model: Model, pictures: Sequence[Any], short_side: int | None = None, progress: bool = True
) -> np.ndarray:
    """Probabilities (N, K): the mean over ten crops of each picture.

    Parameters
    ----------
    model : Model
        With its preprocessing, whose size is the crops'.
    pictures : sequence of paths, bytes, Pillow images or uint8 (H, W, 3)
    short_side : int, optional
        Of the picture before it is cropped, in pixels; by default the preprocessing's, or an eighth more than the crops'.
    progress : bool
        Show a bar when this takes over two seconds.

    Raises
    ------
    ValueError
        For a model without preprocessing, or no picture.
    """
    preprocessing, network = _preprocessing(model), model.fuse()
    short_side = short_side or preprocessing.resize or max(preprocessing.size) * 8 // 7

    def of_picture(i: int) -> np.ndarray:
        crops = ten_crops(_whole(pictures[i], preprocessing, short_side), preprocessing.size)
        return probabilities(network.forward(preprocessing.normalise(crops))).mean(axis=0)

    return _of_each(len(pictures), of_picture, "ten crops" if progress else None)


def dense_probabilities(
    model: Model, pictures: Sequence[Any], short_sides: Iterable[int] = (256,), mirror: bool = True, progress: bool = True
) -> np.ndarray:
    """Probabilities (N, K) from whole pictures, uncropped, at one size or several.

    At each size the map of scores is averaged over space before the softmax; then the probabilities of all sizes, and of the
    mirror images, are averaged.

    Parameters
    ----------
    model : Model
        With its preprocessing; converted with ``fc_to_conv``, or it will be.
    pictures : as in ``ten_crop_probabilities``
    short_sides : several int
        To which the pictures are resized, in pixels, their aspect ratio kept.
    mirror : bool
        Whether the mirror images are looked at as well: twice the work.
    progress : bool

    Raises
    ------
    ValueError
        For a model without preprocessing or one that `fc_to_conv` cannot convert, for no size, or no picture.

    Simonyan, Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition", section 3.2; several sizes:
    section 4.2.
    """
    preprocessing, short_sides = _preprocessing(model), list(short_sides)
    network = _with_maps(model).fuse()
    if not short_sides:
        raise ValueError("dense_probabilities needs one size or more, as in short_sides=(256, 288)")

    def of_picture(i: int) -> np.ndarray:
        views = []
        for short_side in short_sides:
            x = preprocessing.normalise(_whole(pictures[i], preprocessing, short_side)[None])
            for view in [x, x[..., ::-1]] if mirror else [x]:
                views.append(probabilities(global_avg_pool_forward(network.forward(view))))
        return np.concatenate(views).mean(axis=0)

    return _of_each(len(pictures), of_picture, "dense" if progress else None)


@dataclass(frozen=True)
class ClassMap:
    """A network's scores for each place of a picture.

    Attributes
    ----------
    picture : uint8 (H, W, 3), or (H, W, 1) for networks that see grey
        At the size at which the network saw it.
    scores : float32 (K, OH, OW)
        Before the softmax.
    extent : (left, right, bottom, top)
        In pixels of the picture: where the map lies over it, for matplotlib's ``imshow``. Each element is one stride wide,
        around the middle of what it sees.
    """

    picture: np.ndarray
    scores: np.ndarray
    extent: tuple[float, float, float, float]


def class_map(model: Model, picture: Any, short_side: int | None = None) -> ClassMap:
    """The map of scores over one picture, by one dense pass.

    Parameters
    ----------
    model : Model
        As in ``dense_probabilities``.
    picture : path, bytes, Pillow image or uint8 (H, W, 3)
    short_side : int, optional
        To which it is resized, in pixels; by default it stays as it is.

    Raises
    ------
    ValueError
        For a model without preprocessing, or one that `fc_to_conv` cannot convert.
    """
    preprocessing, network = _preprocessing(model), _with_maps(model)
    pixels = _whole(picture, preprocessing, short_side)
    scores = network.fuse().forward(preprocessing.normalise(pixels[None]))[0]
    field = receptive_field(network, model.input_shape)
    sides = []
    for first, last, stride, count in zip(field.first, field.last, field.stride, scores.shape[1:], strict=True):
        start = (first + last + 1 - stride) / 2
        sides.append((start, start + count * stride))
    (top, bottom), (left, right) = sides
    return ClassMap(pixels, scores, (left, right, bottom, top))


def _with_maps(model: Model) -> Model:
    return model if len(model.output_shape((1, *model.input_shape))) == 4 else fc_to_conv(model)


def _preprocessing(model: Model) -> Preprocessing:
    if model.preprocessing is None:
        raise ValueError(
            f"{model.architecture} does not say how pictures become its input; set model.preprocessing to a "
            "minicnn.data.preprocessing.Preprocessing"
        )
    return model.preprocessing


def _whole(picture: Any, preprocessing: Preprocessing, short_side: int | None) -> np.ndarray:
    """All of the picture, its short side of that many pixels: uint8 (H, W, 3), or (H, W, 1) where the network sees grey."""
    pixels = read_picture(picture, short_side=short_side)
    H, W = pixels.shape[:2]
    scale = 1 if short_side is None else short_side / min(H, W)
    size = round(H * scale), round(W * scale)
    return replace(preprocessing, size=size, fit="stretch", resize=None, symmetry="none").fit_picture(pixels)


def _of_each(n: int, of_picture: Callable[[int], np.ndarray], label: str | None) -> np.ndarray:
    """``of_picture(i)`` of the pictures 0..n-1, in rows. Their sizes differ: each thread takes whole pictures."""
    if n < 1:
        raise ValueError("there are no pictures to look at: an empty sequence was given")
    first = of_picture(0)
    rows = np.empty((n, len(first)), first.dtype)
    rows[0] = first

    def row(i: int) -> None:
        rows[i] = of_picture(i)

    with tqdm(total=n, desc=label, unit=" pictures", delay=2, disable=label is None, leave=False) as bar:
        bar.update(1)
        for begin in range(1, n, 4 * get_threads()):
            batch = range(begin, min(begin + 4 * get_threads(), n))
            parallel_each(batch, row)
            bar.update(len(batch))
    return rows
