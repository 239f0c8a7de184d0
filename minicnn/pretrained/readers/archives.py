"""Zip archives, which PyTorch, NumPy and Keras put their arrays into, read without trust in what they say of themselves.

A zip bomb is a small archive that unpacks to something enormous: a megabyte of packed zeros is a gigabyte of zeros. Trained
weights hardly shrink when they are packed, so an archive that would grow a lot is no file of weights.
"""

from __future__ import annotations

import zipfile
from typing import BinaryIO

from .opening import Damaged, size_of

MOST_GROWTH = 16  # times the archive's size; pruned networks, mostly zeros, shrink to a tenth
ALWAYS_FINE = 1 << 20  # bytes: a tiny archive may hold a few freshly made zeros
KNOWN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Archive:
    """The entries of a zip archive by name.

    Raises
    ------
    Damaged, zipfile.BadZipFile
        If it is not such an archive, has two entries of one name, or what is read of it is far more than its size.
    """

    def __init__(self, file: BinaryIO):
        self.size = size_of(file)
        self._left = MOST_GROWTH * self.size + ALWAYS_FINE
        self._zip = zipfile.ZipFile(file)
        entries = self._zip.infolist()
        self.entries = {entry.filename: entry for entry in entries}
        if len(self.entries) != len(entries):
            raise Damaged("is a zip archive with two entries of one name")

    def read(self, name: str) -> bytes:
        """The content of one entry, its checksum compared."""
        if name not in self.entries:
            raise Damaged(f"has no {name!r} inside")
        entry = self.entries[name]
        if entry.compress_type not in KNOWN:
            raise Damaged(f"keeps {name[:200]!r} compressed by a method other than zip's usual one")
        self._left -= entry.file_size
        if self._left < 0 or entry.compress_size > self.size:
            raise Damaged(
                f"has {self.size} bytes and more than {MOST_GROWTH} times as many compressed in it, as no weights have"
            )
        with self._zip.open(entry) as file:
            data = file.read(entry.file_size)  # never without a limit: what is packed may be more than the entry says
        if len(data) != entry.file_size:
            raise Damaged(f"is truncated or damaged: {name[:200]!r} should have {entry.file_size} bytes and has {len(data)}")
        return data
