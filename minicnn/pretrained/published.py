"""What is known of a file of weights that somebody has published."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ..data.preprocessing import Preprocessing
from ..errors import WeightsError
from .packages import package_file

HASHES = {"sha256": ("SHA-256", 64), "sha1": ("SHA-1", 40), "md5": ("MD5", 32)}  # names, and hexadecimal digits
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Entry:
    """A trained network in a file that is downloaded, or that comes with a Python package. None is what is not known.

    Attributes
    ----------
    name : str
        By which ``minicnn.load`` knows it.
    architecture : str
        One of ``minicnn.models.ARCHITECTURES``.
    source : "torchvision", "keras" or "caffe"
        Whose names and layout the file has.
    file : str
        Its name on the disk, or its path inside the package.
    licence, paper, page : str
        ``page`` is where it is described.
    origin : str
        Who has published it, in a word; empty for the ``source``.
    url : str or None
        From where it is downloaded; None for a package's.
    package, module : str or None
        The package that carries it, as ``pip`` and as Python call it.
    size : int or None
        Bytes.
    exact : bool
        Whether ``size`` is the size to the byte; if not it is rounded, and only shown.
    hash : str or None
        "sha256:..." of all 64 digits or of the first 8, which the file's own name carries; "sha1:..." or "md5:...". The last
        three tell a damaged file, and would not keep out one that was made to deceive.
    top1, top5 : float or None
        Published share of the validation pictures named right, at once or in the first five, in percent.
    preprocessing : Preprocessing or None
        Where it is not the source's usual one.
    trained_on : str
    classes : tuple of str or None
        Their names, where they are not ImageNet's.
    """

    name: str
    architecture: str
    source: str
    file: str
    licence: str
    paper: str
    page: str
    origin: str = ""
    url: str | None = None
    package: str | None = None
    module: str | None = None
    size: int | None = None
    exact: bool = True
    hash: str | None = None
    top1: float | None = None
    top5: float | None = None
    preprocessing: Preprocessing | None = None
    trained_on: str = "ImageNet (ILSVRC 2012)"
    classes: tuple[str, ...] | None = None

    @property
    def length(self) -> int | None:
        """Bytes, if they are known exactly."""
        return self.size if self.exact else None

    @property
    def size_in_words(self) -> str:
        """In decimal megabytes."""
        return f"size {UNKNOWN}" if self.size is None else f"{self.size / 1e6:.1f} MB"

    @property
    def hash_in_words(self) -> str:
        """What can be compared."""
        if self.hash is None:
            return f"hash {UNKNOWN}"
        kind, digits = self.hash.split(":")
        name, length = HASHES[kind]
        return name if len(digits) == length else f"first {len(digits)} digits of the {name}"

    def in_package(self) -> Path | None:
        """The file in the package, if that is installed."""
        return package_file(self.module, self.file) if self.module else None

    def check(self, path: str | os.PathLike, called: str | None = None) -> str:
        """Refuse a file that is not the published one, as far as its size and hash can tell; returns its SHA-256.

        Parameters
        ----------
        path : path
        called : str, optional
            What to call it in error messages instead.

        Raises
        ------
        WeightsError
            It gives what was found and what was expected.
        """
        called = called or os.fspath(path)
        advice = f"Install {self.package} again" if self.package else "Remove it and fetch it again"
        length = os.stat(path).st_size
        if self.length not in (None, length):
            raise WeightsError(f"{called} is not the file that is expected: it has {length} bytes, not {self.length}. {advice}")
        kind, digits = (self.hash or "sha256:").split(":")
        sha256, found = digests(path, kind)
        if not found.startswith(digits):
            raise WeightsError(
                f"{called} is not the file that is expected: its {HASHES[kind][0]} is {found}, not {digits}"
                f"{'' if len(digits) == len(found) else '...'}. It was changed or damaged. {advice}"
            )
        return sha256


def digests(path: str | os.PathLike, kind: str) -> tuple[str, str]:
    """The SHA-256 of a file, and its hash of another kind, in hexadecimal digits."""
    sha256, other = hashlib.sha256(), hashlib.new(kind, usedforsecurity=False)
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            sha256.update(piece)
            if kind != "sha256":
                other.update(piece)
    return sha256.hexdigest(), sha256.hexdigest() if kind == "sha256" else other.hexdigest()
