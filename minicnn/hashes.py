"""Hashes of files, by which a file is known to be the one that it should be."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable


def sha256_of(path: str | os.PathLike, start: int = 0) -> str:
    """The SHA-256 of a file's bytes from ``start`` on, as 64 hexadecimal digits."""
    return digests_of(path, ["sha256"], start)["sha256"]


def digests_of(path: str | os.PathLike, algorithms: Iterable[str], start: int = 0) -> dict[str, str]:
    """Hashes of a file's bytes from ``start`` on, which are read once: hexadecimal digits by the name of the algorithm.

    MD5 and SHA-1 tell a damaged file, not one that was made to deceive.
    """
    hashes = {algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in algorithms}
    with open(path, "rb") as file:
        file.seek(start)
        while block := file.read(1 << 20):
            for running in hashes.values():
                running.update(block)
    return {algorithm: running.hexdigest() for algorithm, running in hashes.items()}
