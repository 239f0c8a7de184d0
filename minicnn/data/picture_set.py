"""A set of labelled pictures that stay in their files until they are needed."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from ..cache import large_array
from ..errors import DataError, PictureError
from ..runtime.cores import usable_cores
from ..text import named
from .pictures import MAX_16_BIT, read_picture
from .preprocessing import Preprocessing

MAX_BYTES = 1 << 30  # of one picture's file, because a zip file may claim any size
HEAD = 512  # bytes at the beginning of a file


class Source(Protocol):
    """The source of one picture's bytes. ``name`` is its path within the set, with slashes."""

    name: str

    def read(self) -> bytes: ...

    def head(self) -> bytes:
        """The first bytes, from which the kind of file can be told; none where it cannot be read."""


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

    def head(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                return file.read(HEAD)
        except OSError:
            return b""


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

    def head(self) -> bytes:
        try:
            with self.archive.open(self.entry) as file:
                return file.read(HEAD)
        except Exception:  # as above; whoever reads the whole is told
            return b""


@dataclass
class Findings:
    """What was found when a collection was opened, in sentences for people: see `minicnn.data.findings.findings_table`.

    Attributes
    ----------
    left_out : list of str
        What is not used, how many pictures or files, and why.
    assumed : list of str
        How folders, names and pixels were understood where they could be understood otherwise.
    notes : list of str
        What else matters to whoever reads the results.
    """

    left_out: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def by_heading(self) -> dict[str, list[str]]:
        """The sentences under the headings that they have in tables and reports."""
        return {"left out": self.left_out, "assumed": self.assumed, "note": self.notes}

    def copy(self) -> Findings:
        return Findings(list(self.left_out), list(self.assumed), list(self.notes))


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
    white : int or None
        The value that is white in 16-bit pictures, 4095 for those of a camera of 12 bits; None: there are none.
    findings : Findings
        What was left out and what was assumed when this set was opened.
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
        white: int | None = None,
        findings: Findings | None = None,
        source: str = "",
        licence: str = "",
        citation: str = "",
    ):
        self.name, self.classes = name, list(classes)
        self.white = white
        self.findings = Findings() if findings is None else findings.copy()
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
    def notes(self) -> tuple[str, ...]:
        """All findings in one list, for reports; new ones go into ``findings``."""
        return tuple(sentence for sentences in self.findings.by_heading().values() for sentence in sentences)

    @property
    def targets(self) -> np.ndarray:
        """The targets of training: the probabilities (N, K) where there are any, else the labels (N,)."""
        return self.labels if self.probabilities is None else self.probabilities

    def file_name(self, i: int) -> str:
        """The picture's path within the set, with slashes: "train/ants/0013035.jpg"."""
        return self._sources[i].name

    def picture(self, i: int) -> np.ndarray:
        """The picture in full: uint8 (H, W, 3). Raises PictureError where it cannot be read."""
        return read_picture(self._sources[i].read(), name=self.file_name(i), white=self.white or MAX_16_BIT)

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
            white=self.white,
            findings=self.findings,
            source=self.source,
            licence=self.licence,
            citation=self.citation,
        )

    def without(self, indices: Iterable[int]) -> PictureSet:
        """The set without these pictures."""
        return self.subset(np.setdiff1d(np.arange(len(self)), np.asarray(indices, np.int64)))

    # ---- all pictures at the network's size

    def preprocessed_by(self, preprocessing: Preprocessing) -> Preprocessing:
        """The same preprocessing, with the value that is white in this set's 16-bit pictures, if it has any."""
        return preprocessing if self.white is None else replace(preprocessing, white=self.white)

    def fitted(self, preprocessing: Preprocessing, progress: bool = True) -> tuple[np.ndarray, PictureSet]:
        """All pictures at the network's size, and the set they belong to.

        Pictures that cannot be read are left out, and a finding names them; the set that is returned has the labels, groups
        and splits of the others. Where all can be read, it is this set itself.

        Parameters
        ----------
        preprocessing : Preprocessing
        progress : bool
            Show a progress bar when this takes over two seconds.

        Returns
        -------
        pixels : uint8 (N, H, W, C)
            C = 3 in RGB order; C = 1 where every picture is grey, or the network takes luma. ``preprocessing.normalise``
            accepts both. Where they take more than 256 MB they are on disk, as `minicnn.cache.large_array` says.
        used : PictureSet of N pictures

        Raises
        ------
        DataError
            If no picture of some class can be read, in the whole set or in a part of its split.
        """

        preprocessing = self.preprocessed_by(preprocessing)

        def fit(i: int) -> np.ndarray | PictureError:
            try:
                pixels = preprocessing.fit_picture(self._sources[i].read(), name=self.file_name(i))
            except PictureError as error:
                return error
            return pixels[..., :1] if _is_grey(pixels) else pixels

        pixels = large_array((len(self), *preprocessing.size, 1), np.uint8)
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
                    grey, pixels = pixels, large_array((*pixels.shape[:3], 3), np.uint8)
                    for k in range(i):
                        pixels[k] = grey[k]
                pixels[i] = result
        finally:
            pool.shutdown(cancel_futures=True)
        if not unreadable:
            return pixels, self
        used = self._without_unreadable(unreadable)
        for k, i in enumerate(np.setdiff1d(np.arange(len(self)), list(unreadable))):
            pixels[k] = pixels[i]
        return pixels[: len(used)], used

    def _without_unreadable(self, unreadable: dict[int, PictureError]) -> PictureSet:
        used = self.without(list(unreadable))
        reasons = "; ".join(str(error) for error in list(unreadable.values())[:3])
        before = self.splits or {"the whole set": np.arange(len(self))}
        after = used.splits or {"the whole set": np.arange(len(used))}
        for part, rows in before.items():
            missing = sorted(set(self.labels[rows].tolist()) - set(used.labels[after[part]].tolist()))
            if missing:
                names = ", ".join(repr(self.classes[k]) for k in missing)
                raise DataError(
                    f"{self.name}: no picture of class {names} in {part} can be read, so it cannot be learned ({reasons}). "
                    "Replace the damaged files"
                )
        names = named([self.file_name(i) for i in unreadable])
        used.findings.left_out.append(f"{len(unreadable)} of {len(self)} pictures, which cannot be read: {names} ({reasons})")
        return used


def _is_grey(pixels: np.ndarray) -> bool:
    """Whether all channels are equal. The first row is compared first, because it settles the question for most pictures."""
    red = pixels[..., :1]
    return bool((pixels[0] == red[0]).all() and (pixels == red).all())
