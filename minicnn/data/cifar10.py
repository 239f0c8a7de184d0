"""CIFAR-10, from its official files or from JPEGs.

Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images", section 3.1.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from .cifar10_batches import BATCHES, CIFAR10_CLASSES, form_of_archive, picture_counts, read_batches
from .cifar10_jpeg import read_jpegs
from .data_sets import LabelledPictures, data_folder

__all__ = ["CIFAR10_CLASSES", "Cifar10Files", "find_cifar10", "load_cifar10"]

PLACES = {  # form -> what its folder and its archive are called; lossless forms first
    "binary": ("cifar-10-batches-bin", "cifar-10-binary.tar.gz"),
    "python": ("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    "jpeg": ("cifar10-jpeg", "cifar10-jpeg.zip"),
}


@dataclass(frozen=True)
class Cifar10Files:
    """Files that have CIFAR-10.

    Attributes
    ----------
    path : Path
        A folder or an archive.
    form : "binary", "python" or "jpeg"
        The official version of that name, or JPEGs, ``train/<class>/*.jpg`` and ``test/<class>/*.jpg``.
    """

    path: Path
    form: str

    @property
    def is_lossy(self) -> bool:
        """Whether the pixels are not those of the official files."""
        return self.form == "jpeg"

    def describe(self) -> str:
        """One line for reports, which may be shown to others: without the folder."""
        name = os.path.basename(self.path)
        if self.is_lossy:
            return f"CIFAR-10 as JPEGs, which are lossy: accuracies may differ from those on the official files ({name})"
        return f"CIFAR-10, official {self.form} version ({name})"

    def load(self, progress: bool = True) -> LabelledPictures:
        """What `load_cifar10` returns."""
        x, y = read_jpegs(self.path, progress) if self.is_lossy else read_batches(self.path, self.form)
        train, _ = picture_counts()
        return x[:train], y[:train], x[train:], y[train:]


def load_cifar10(folder: str | os.PathLike | None = None, progress: bool = True) -> LabelledPictures:
    """CIFAR-10: small colour pictures of ten classes, 50,000 to train on and 10,000 to test.

    `CIFAR10_CLASSES` has the names of the classes. **JPEGs are lossy**: their pixels are not quite those of the official files,
    and an accuracy measured on them is to be called so; ``find_cifar10().describe()`` says which files are used. Decoding them
    takes some ten seconds the first time; of a zip archive the result is kept in the cache folder.

    Parameters
    ----------
    folder : path, optional
        A folder as `find_cifar10` finds it, or an archive. By default the folder that the environment variable MINICNN_DATA
        names.
    progress : bool
        Show a bar where this takes over two seconds.

    Returns
    -------
    x_train, y_train, x_test, y_test
        uint8 (N, 3, 32, 32), red, green and blue; labels int64 (N,), 0 to 9. Of JPEGs the pictures of a class are in a row.
        Augmentation and `Preprocessing.normalise` take channels last, ``x.transpose(0, 2, 3, 1)``.

    Raises
    ------
    DataError
        If files are missing, damaged, or not of CIFAR-10.
    PictureError
        If a JPEG is damaged.
    """
    return find_cifar10(folder).load(progress)


def find_cifar10(folder: str | os.PathLike | None = None) -> Cifar10Files:
    """Where CIFAR-10 is and in which form, lossless ones first.

    Parameters
    ----------
    folder : path, optional
        An archive, a folder with the files of the official binary version (``data_batch_1.bin``) or of the version for Python
        (``data_batch_1``), or one with ``train/<class>/*.jpg`` and ``test/<class>/*.jpg``; or a folder that has one of these
        under its usual name: ``cifar-10-batches-bin``, ``cifar-10-binary.tar.gz``, ``cifar-10-batches-py``,
        ``cifar-10-python.tar.gz``, ``cifar10-jpeg``, ``cifar10-jpeg.zip``. By default the folder that the environment variable
        MINICNN_DATA names.

    Raises
    ------
    DataError
        If there are no such files.
    """
    folder = data_folder("CIFAR-10") if folder is None else Path(folder).expanduser()
    if folder.is_file():
        return Cifar10Files(folder, "jpeg" if zipfile.is_zipfile(folder) else form_of_archive(folder))
    for form, names in PLACES.items():
        for place in (folder, *(folder / name for name in names)):
            if place.is_file() or _has(place, form):
                return Cifar10Files(place, form)
    if not folder.exists():
        raise DataError(f"{folder}: there is no such folder or archive; check the path")
    places = ", ".join(name for names in PLACES.values() for name in names)
    raise DataError(f"{folder} has no CIFAR-10; expected its files, or one of {places}")


def _has(folder: Path, form: str) -> bool:
    """Whether a folder has files of this form, be it not all of them."""
    if form == "jpeg":
        return any((folder / "train" / name).is_dir() for name in CIFAR10_CLASSES)
    return any((folder / name).is_file() for name in BATCHES[form])
