"""What the loaders of well-known data sets have in common: where they look, and what they return."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..errors import DataError

LabelledPictures = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # x_train, y_train, x_test, y_test


def data_folder(files: str) -> Path:
    """The folder that the environment variable MINICNN_DATA names.

    Parameters
    ----------
    files : str
        What is looked for there, for the error: "the MNIST files, in mnist/".

    Raises
    ------
    DataError
        If it is not set.
    """
    named = os.environ.get("MINICNN_DATA")
    if not named:
        raise DataError(f"MINICNN_DATA is not set; let it name the folder that has {files}, or pass where they are")
    return Path(named).expanduser()
