"""CIFAR-10 as JPEG files in a folder for each class: ``train/airplane/0000.jpg`` and so on, in a folder or a zip archive.

JPEG is lossy: these pixels differ from those of the official files by a few grey levels, and accuracies differ with them. The
order of the official files is lost as well: pictures are in the order of their classes and names.
"""

from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
from tqdm import tqdm

from ..cache import cache_folder, write_atomically
from ..errors import DataError
from ..runtime.cores import usable_cores
from ..text import named
from .cifar10_batches import CIFAR10_CLASSES, PLANES, new_arrays, picture_counts
from .picture_set import FileSource, Source, ZipSource
from .pictures import read_picture

PICTURE = re.compile(r"(?:.*/)?(train|test)/([^/]+)/[^/.][^/]*\.jpe?g", re.IGNORECASE)
PICTURES_PER_TASK = 250


def read_jpegs(path: Path, progress: bool) -> tuple[np.ndarray, np.ndarray]:
    """All pictures, uint8 (60000, 3, 32, 32), and their labels, int64 (60000,): first those to train on.

    What was decoded from a zip archive is kept in the cache folder, as long as the archive's size and time and the version of
    Pillow, which decodes it, stay the same.

    Parameters
    ----------
    path : Path
    progress : bool
        Show a bar where this takes over two seconds.

    Raises
    ------
    DataError
        If it has not the folders and the numbers of pictures of CIFAR-10.
    PictureError
        If a picture is damaged.
    """
    if path.is_dir():
        files = [FileSource(file, file.relative_to(path).as_posix()) for file in path.glob("t*/*/*")]
        return _decoded(path, files, progress)
    status = path.stat()
    archive = f"{status.st_size} bytes, modified {status.st_mtime_ns}, decoded by Pillow {PIL.__version__}"
    cached = cache_folder() / f"cifar10-jpeg-{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}.npz"
    arrays = _cached(cached, archive)
    if arrays is None:
        try:
            with zipfile.ZipFile(path) as opened:
                files = [ZipSource(opened, entry, entry.filename) for entry in opened.infolist()]
                arrays = _decoded(path, files, progress)
        except zipfile.BadZipFile as error:
            raise DataError(f"{path} is a truncated or damaged zip archive ({error}); copy or download it again") from error
        _keep(cached, archive, arrays)
    return arrays


def _decoded(path: Path, files: list[Source], progress: bool) -> tuple[np.ndarray, np.ndarray]:
    """The arrays of those files that are pictures of the data set."""
    x, y = new_arrays()
    sources, y[:] = _in_order(path, files)

    def decode(start: int) -> int:
        for i in range(start, min(start + PICTURES_PER_TASK, len(x))):
            picture = read_picture(sources[i].read(), name=f"{path}: {sources[i].name}")
            if picture.shape != (*PLANES[1:], 3):
                raise DataError(
                    f"{path}: {sources[i].name} has {picture.shape[0]} x {picture.shape[1]} pixels; expected 32 x 32, as all "
                    "pictures of CIFAR-10 have"
                )
            x[i] = picture.transpose(2, 0, 1)
        return i + 1 - start

    pool = ThreadPoolExecutor(max(2, usable_cores()))  # Pillow decodes without holding Python's lock
    try:
        with tqdm(desc="reading CIFAR-10", total=len(x), unit=" pictures", delay=2, disable=not progress, leave=False) as bar:
            for count in pool.map(decode, range(0, len(x), PICTURES_PER_TASK)):
                bar.update(count)
    finally:
        pool.shutdown(cancel_futures=True)
    return x, y


def _in_order(path: Path, files: list[Source]) -> tuple[list[Source], np.ndarray]:
    """The pictures by part, class and name, and their labels; a DataError if they are not those of CIFAR-10."""
    found: dict[tuple[str, str], list[Source]] = defaultdict(list)
    for file in files:
        if match := PICTURE.fullmatch(file.name):
            found[match[1].lower(), match[2].lower()].append(file)
    sources: list[Source] = []
    labels: list[int] = []
    for part, count in zip(("train", "test"), picture_counts(), strict=True):
        classes = sorted(name for of_part, name in found if of_part == part)
        if tuple(classes) != CIFAR10_CLASSES:
            raise DataError(
                f"{path}: {part}/ has JPEGs in the folders {named(classes, 10) or '(none)'}; expected one for each class of "
                f"CIFAR-10: {', '.join(CIFAR10_CLASSES)}"
            )
        of_class = count // len(CIFAR10_CLASSES)
        for label, name in enumerate(CIFAR10_CLASSES):
            pictures = sorted(found[part, name], key=lambda source: source.name)
            if len(pictures) != of_class:
                raise DataError(
                    f"{path}: {part}/{name} has {len(pictures)} JPEGs; expected {of_class}. Copy or unpack the data set again, "
                    "or open a part of it with open_pictures"
                )
            sources += pictures
            labels += [label] * of_class
    return sources, np.array(labels)


# ---- the cache


def _cached(path: Path, archive: str) -> tuple[np.ndarray, np.ndarray] | None:
    """What was decoded from this archive; None if nothing was, or the file is damaged (it has checksums)."""
    try:
        with np.load(path) as arrays:
            if str(arrays["archive"]) == archive:
                return arrays["x"], arrays["y"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    return None


def _keep(path: Path, archive: str, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = arrays
    try:
        with write_atomically(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, x=x, y=y, archive=archive)
    except OSError as error:
        warnings.warn(
            f"the decoded pictures of CIFAR-10 could not be kept in {path} ({error.strerror}); they will be decoded again next "
            "time",
            stacklevel=2,
        )
