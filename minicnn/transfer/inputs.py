"""Pictures in any form, as input for a network a few at a time, and each with bytes that identify its content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..data.picture_set import PictureSet
from ..data.pictures import read_picture
from ..data.preprocessing import Preprocessing
from ..models.model import Model


@dataclass(frozen=True)
class Inputs:
    """N pictures on their way into a network.

    Attributes
    ----------
    count : int
        N.
    pixels : function
        Indices (int array) -> uint8 (len(indices), H, W, C); without a preprocessing, network input (len(indices), C, H, W).
    content : function
        Index -> bytes that are equal for equal pictures, and only for them.
    preprocessing : Preprocessing or None
        Turns pixels into the network's input; None: they are that already.
    """

    count: int
    pixels: Callable[[np.ndarray], np.ndarray]
    content: Callable[[int], bytes]
    preprocessing: Preprocessing | None


def inputs_of(model: Model, images: PictureSet | Sequence[Any] | np.ndarray) -> Inputs:
    """Pictures in the forms that `minicnn.transfer.features.extract_features` lists, for this model.

    Raises
    ------
    TypeError, ValueError
        For something in another form, or pictures for a model without preprocessing.
    """
    if isinstance(images, np.ndarray):
        if images.ndim == 4 and images.dtype.kind == "f":

            def as_they_are(indices: np.ndarray) -> np.ndarray:
                return np.ascontiguousarray(images[indices], np.float32)

            return Inputs(len(images), as_they_are, lambda i: _of_array(images[i]), None)
        if images.dtype != np.uint8 or images.ndim not in (3, 4):
            raise ValueError(
                "an array of images is uint8 (N, H, W, C), pixels at the network's size, or floating-point (N, C, H, W), the "
                f"network's input; got {images.dtype} {images.shape}. Pictures of other sizes come in a list or a PictureSet"
            )
    preprocessing = model.preprocessing
    if preprocessing is None:
        raise ValueError(
            f"{model.architecture} does not know how pictures are to be prepared for it; set its .preprocessing, or give "
            "extract_features what goes into the network, floating-point (N, C, H, W)"
        )
    if isinstance(images, np.ndarray):
        return Inputs(len(images), lambda indices: images[indices], lambda i: _of_array(images[i]), preprocessing)

    if isinstance(images, PictureSet):
        preprocessing = images.preprocessed_by(preprocessing)

        def fitted(i: int) -> np.ndarray:
            return preprocessing.fit_picture(images.file_content(i), name=images.file_name(i))

        def content(i: int) -> bytes:
            return images.content_hash(i).encode()

    elif isinstance(images, (list, tuple)):
        for image in images:
            if not isinstance(image, (str, os.PathLike, bytes, Image.Image, np.ndarray)):
                raise TypeError(f"a list of images holds paths, bytes, Pillow images or arrays, got a {type(image).__name__}")

        def fitted(i: int) -> np.ndarray:
            return preprocessing.fit_picture(images[i])

        def content(i: int) -> bytes:
            image = images[i]
            if isinstance(image, (str, os.PathLike)) and Path(image).expanduser().is_file():
                image = Path(image).expanduser().read_bytes()
            # anything else is identified by its pixels; reading them raises an error if it is no picture
            return hashlib.sha256(image).digest() if isinstance(image, bytes) else _of_array(read_picture(image))

    else:
        raise TypeError(
            f"images are a PictureSet, a list of paths or pictures, or an array of all of them, got a {type(images).__name__}"
        )

    return Inputs(len(images), lambda indices: np.stack([fitted(int(i)) for i in indices]), content, preprocessing)


def _of_array(array: np.ndarray) -> bytes:
    digest = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
