"""A set of labelled pictures that stay in their files until they are needed."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from ..errors import DataError, PictureError
from ..runtime.cores import usable_cores
from .pictures import read_picture
from .preprocessing import Preprocessing

MAX_BYTES = 1 << 30  # of one picture's file, because a zip file may claim any size


class Source(Protocol):
    """The source of one picture's bytes. ``name`` is its path within the set, with slashes."""

    name: str

    def read(self) -> bytes: ...


@dataclass(frozen=True)
class FileSource:
    """A picture in a file of its own."""

    path: Path
    name: str

    def read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise PictureError(f"{self.path} cannot be read: {error.strerror or error}") from error


@dataclass(frozen=True)
class ZipSource:
    """A picture inside a zip archive, which is read in memory and never extracted to disk."""

    archive: zipfile.ZipFile
    entry: zipfile.ZipInfo
    name: str

    def read(self) -> bytes:
        if self.entry.file_size > MAX_BYTES:
            raise PictureError(f"{self.name} claims {self.entry.file_size} bytes, more than the {MAX_BYTES} that are read")
        try:
            return self.archive.read(self.entry)
        except Exception as error:  # zlib.error, BadZipFile, NotImplementedError, EOFError, ...
            raise PictureError(f"{self.name} cannot be unpacked from {self.archive.filename}: {error}") from error


class PictureSet:
    """Pictures with their classes, in a fixed order.

    Attributes
    ----------
    name : str
        The name of the set in tables and reports.
    classes : list of str
        Class names; a label is an index into them.
    labels : int64 (N,)
    probabilities : float32 (N, K) or None
        The probability of each class, where the experts who labelled the pictures were not certain. The label is the most
        probable class.
    groups : ndarray (N,) or None
        A further property to stratify by, one value for each picture (the type of the solar cell, say).
    splits : dict or None
        Where the collection comes with its parts: {"train": ..., "val": ..., "test": ...} -> sorted int64 indices. "val" may
        be absent; validation pictures are then taken out of "train". None: the collection is not split.
    notes : list of str
        Sentences for reports on how this set was read.
    source, licence, citation : str
        Of the pictures; empty where unknown.

    Raises
    ------
    ValueError
        Where the numbers of pictures, labels, groups and probabilities differ.
    """

    def __init__(
        self,
        name: str,
        classes: Sequence[str],
        labels: Iterable[int],
        sources: Sequence[Source],
        *,
        probabilities: np.ndarray | None = None,
        groups: np.ndarray | None = None,
        splits: Mapping[str, np.ndarray] | None = None,
        notes: Sequence[str] = (),
        source: str = "",
        licence: str = "",
        citation: str = "",
    ):
        self.name, self.classes, self.notes = name, list(classes), list(notes)
        self.source, self.licence, self.citation = source, licence, citation
        self.labels = np.asarray(labels, np.int64)
        self.probabilities = None if probabilities is None else np.asarray(probabilities, np.float32)
        self.groups = None if groups is None else np.asarray(groups)
        self.splits = None if splits is None else {part: np.asarray(rows, np.int64) for part, rows in splits.items()}
        self._sources = list(sources)
        if len(self.labels) != len(self._sources) or (self.groups is not None and len(self.groups) != len(self.labels)):
            raise ValueError(
                f"{len(self._sources)} pictures, {len(self.labels)} labels and groups: expected one of each a picture"
            )
        if self.probabilities is not None and self.probabilities.shape != (len(self), len(self.classes)):
            raise ValueError(
                f"{len(self)} pictures of {len(self.classes)} classes, and probabilities {self.probabilities.shape}: "
                "expected a row a picture and a column a class"
            )

    def __len__(self) -> int:
        return len(self._sources)

    def __repr__(self) -> str:
        return f"PictureSet({self.name!r}, {len(self)} pictures, {len(self.classes)} classes)"

    @property
    def targets(self) -> np.ndarray:
        """The targets of training: the probabilities (N, K) where there are any, else the labels (N,)."""
        return self.labels if self.probabilities is None else self.probabilities

    def file_name(self, i: int) -> str:
        """The picture's path within the set, with slashes: "train/ants/0013035.jpg"."""
        return self._sources[i].name

    def picture(self, i: int) -> np.ndarray:
        """The picture in full: uint8 (H, W, 3). Raises PictureError where it cannot be read."""
        return read_picture(self._sources[i].read(), name=self.file_name(i))

    def file_content(self, i: int) -> bytes:
        """The bytes of the picture's file, not decoded. Raises PictureError where it cannot be read."""
        return self._sources[i].read()

    def content_hash(self, i: int) -> str:
        """SHA-256 of the picture's file, in hexadecimal: equal for equal files, whatever their names."""
        return hashlib.sha256(self.file_content(i)).hexdigest()

    # ---- smaller sets

    def subset(self, indices: Iterable[int]) -> PictureSet:
        """The set of these pictures only, in this order, with the same classes and with their splits and groups."""
        indices = np.asarray(indices, np.int64)
        splits = None
        if self.splits is not None:
            splits = {part: np.flatnonzero(np.isin(indices, rows)) for part, rows in self.splits.items()}
        return PictureSet(
            self.name,
            self.classes,
            self.labels[indices],
            [self._sources[i] for i in indices],
            probabilities=None if self.probabilities is None else self.probabilities[indices],
            groups=None if self.groups is None else self.groups[indices],
            splits=splits,
            notes=self.notes,
            source=self.source,
            licence=self.licence,
            citation=self.citation,
        )

    def without(self, indices: Iterable[int]) -> PictureSet:
        """The set without these pictures."""
        return self.subset(np.setdiff1d(np.arange(len(self)), np.asarray(indices, np.int64)))

    # ---- all pictures at the network's size

    def fitted(self, preprocessing: Preprocessing, progress: bool = True) -> tuple[np.ndarray, PictureSet]:
        """All pictures at the network's size, and the set they belong to.

        Pictures that cannot be read are left out, with one warning that names them; the set that is returned has the labels,
        groups and splits of the others. Where all can be read, it is this set itself.

        Parameters
        ----------
        preprocessing : Preprocessing
        progress : bool
            Show a progress bar when this takes over two seconds.

        Returns
        -------
        pixels : uint8 (N, H, W, C)
            C = 3 in RGB order; C = 1 where every picture is grey, or the network takes luma. ``preprocessing.normalise``
            accepts both.
        used : PictureSet of N pictures

        Raises
        ------
        DataError
            If no picture of some class can be read, in the whole set or in a part of its split.
        """

        def fit(i: int) -> np.ndarray | PictureError:
            try:
                pixels = preprocessing.fit_picture(self._sources[i].read(), name=self.file_name(i))
            except PictureError as error:
                return error
            return pixels[..., :1] if _is_grey(pixels) else pixels

        pixels = np.zeros((len(self), *preprocessing.size, 1), np.uint8)
        unreadable: dict[int, PictureError] = {}
        # Pillow decodes and resizes without holding Python's lock; at least two threads, because one may wait for the disk
        pool = ThreadPoolExecutor(max(2, usable_cores()))
        try:
            results = pool.map(fit, range(len(self)))
            bar = tqdm(results, "reading pictures", len(self), unit=" pictures", delay=2, disable=not progress, leave=False)
            for i, result in enumerate(bar):
                if isinstance(result, PictureError):
                    unreadable[i] = result
                    continue
                if result.shape[-1] > pixels.shape[-1]:
                    pixels = np.repeat(pixels, 3, axis=-1)
                pixels[i] = result
        finally:
            pool.shutdown(cancel_futures=True)
        if not unreadable:
            return pixels, self
        return np.delete(pixels, list(unreadable), axis=0), self._without_unreadable(unreadable)

    def _without_unreadable(self, unreadable: dict[int, PictureError]) -> PictureSet:
        used = self.without(list(unreadable))
        reasons = "; ".join(str(error) for error in list(unreadable.values())[:3])
        for part, rows in (used.splits or {"the whole set": np.arange(len(used))}).items():
            missing = sorted(set(range(len(self.classes))) - set(used.labels[rows].tolist()))
            if missing:
                names = ", ".join(repr(self.classes[k]) for k in missing)
                raise DataError(
                    f"{self.name}: no picture of class {names} in {part} can be read, so it cannot be learned ({reasons}). "
                    "Replace the damaged files"
                )
        count, names = len(unreadable), ", ".join(self.file_name(i) for i in list(unreadable)[:5])
        text = f"{count} of {len(self)} pictures cannot be read and are left out: {names}{', ...' if count > 5 else ''}"
        used.notes.append(text)
        warnings.warn(f"{self.name}: {text} ({reasons})", stacklevel=3)
        return used


def _is_grey(pixels: np.ndarray) -> bool:
    """Whether all channels are equal. The first row is compared first, because it settles the question for most pictures."""
    red = pixels[..., :1]
    return bool((pixels[0] == red[0]).all() and (pixels == red).all())
