"""Telling whether a file is the one that it should be."""

from __future__ import annotations

import hashlib
import os


def sha256_of(path: str | os.PathLike, start: int = 0) -> str:
    """The SHA-256 of a file's bytes from ``start`` on, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(start)
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
