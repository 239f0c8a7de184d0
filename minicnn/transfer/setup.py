"""Opening the network and the pictures of a transfer, in the same way for ``minicnn transfer`` and ``minicnn advise``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..data.augmentation import CELLS, PHOTOS, Augmentation
from ..data.cells import solar_cells
from ..data.folders import open_pictures
from ..data.picture_set import PictureSet
from ..errors import DataError
from ..models.model import Model
from ..pretrained import load


def set_up(data: str | None, name: str, out: Path | None = None) -> tuple[Model, PictureSet, Augmentation]:
    """The pretrained network, the pictures, and the augmentation for training pictures.

    Parameters
    ----------
    data : str or None
        A folder or a zip archive; None: the solar cells.
    name : str
        Of a known model, or an ``.h5`` file.
    out : Path, optional
        Where the report goes. If that is a folder among the pictures, it is no class.

    Raises
    ------
    DataError
        If the network does not say how pictures become its input, or there is nothing to learn from.
    """
    model = load(name)
    check_preprocessing(model, name)
    if data is not None:
        pictures = open_pictures(data, exclude=[out] if out else [])
        model.preprocessing = pictures.preprocessed_by(model.preprocessing)
        return model, pictures, PHOTOS
    # cells are square and defects reach their edges: shrink the whole cell, crop nothing. How brightly a cell glows depends on
    # the current through its module
    model.preprocessing = replace(model.preprocessing, fit="stretch", resize=None, exposure="even")
    return model, solar_cells(), CELLS


def check_preprocessing(model: Model, name: str) -> None:
    """Raise a DataError for a network that does not say how pictures become its input."""
    if model.preprocessing is None:
        raise DataError(
            f"{name} does not say how pictures become its input: set model.preprocessing to a Preprocessing, and save it again "
            "with model.save()"
        )
