"""Codes in a file: more of them than fit in memory, written block by block, so that an interrupted run can be continued."""

from __future__ import annotations

import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

BLOCK = 64  # pictures: as many are lost at most by an interruption
WAIT = 0.2  # seconds between two attempts to open a file that another process is writing


class CodeFile:
    """Codes (N, D) float32 in one HDF5 file, written in blocks of rows, in any order.

    All its space is allocated when the file is created. From then on only numbers change in it, so that a process that is
    killed leaves a file that can be opened. Each block of rows has a checksum; a block that does not match its checksum,
    because it was never finished or is damaged, counts as missing. A file that cannot be opened at all is removed.

    Of several processes that want the same codes, one computes them and the others wait.

    Parameters
    ----------
    path : Path
        Need not exist yet.
    rows : int
        N.
    width : function
        Gives D; called only if the file is to be created.
    about : str
        A description that is stored in the file.
    """

    def __init__(self, path: Path, rows: int, width: Callable[[], int], about: str):
        self.path, self.rows, self.about = path, rows, about
        self._file = self._open(width)

    @property
    def blocks(self) -> list[slice]:
        """The rows of each block."""
        return [slice(start, min(start + BLOCK, self.rows)) for start in range(0, self.rows, BLOCK)]

    def missing(self) -> list[slice]:
        """The blocks that are still to be computed."""
        codes, checksums = self._file["codes"], self._file["checksums"][:]
        return [rows for rows, checksum in zip(self.blocks, checksums, strict=True) if _checksum(codes[rows]) != checksum]

    def write(self, rows: slice, codes: np.ndarray) -> None:
        """Keep one block; when this returns, it is in the file."""
        self._file["codes"][rows] = codes
        self._file["checksums"][rows.start // BLOCK] = _checksum(codes)
        self._file.flush()

    def read(self) -> np.ndarray:
        """All codes, in memory."""
        return self._file["codes"][:]

    def close(self) -> None:
        """Close the file, so that other processes that wait for it can go on."""
        self._file.close()

    # ---- the file

    def _open(self, width: Callable[[], int]) -> h5py.File:
        """Open a complete file for reading, and one that is to be completed or created for writing, for this process alone."""
        warned = False
        while True:
            try:
                self._file = self._opened("r")
                if self._file is None:
                    return self._created(width())
                if not self.missing():
                    return self._file
                self._file.close()
                if (file := self._opened("r+")) is not None:
                    return file
            except (BlockingIOError, FileExistsError):
                if not warned:
                    warnings.warn(f"another process is computing {self.path}; waiting for it", stacklevel=4)
                    warned = True
                time.sleep(WAIT)

    def _opened(self, mode: str) -> h5py.File | None:
        """The file, or None if it is not there or of no use."""
        try:
            file = h5py.File(self.path, mode)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            raise
        except OSError:  # damaged, or cut short while it was made
            self.path.unlink(missing_ok=True)
            return None
        try:
            codes, checksums = file["codes"], file["checksums"]
            if codes.shape[0] == self.rows and codes.dtype == np.float32 and checksums.shape == (len(self.blocks),):
                return file
        except Exception:  # a damaged file can make HDF5 raise anything
            pass
        file.close()
        self.path.unlink(missing_ok=True)
        return None

    def _created(self, width: int) -> h5py.File:
        """The empty file; FileExistsError if another process was quicker."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = h5py.File(self.path, "x")
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((self.rows, width))
        h5py.h5d.create(file.id, b"codes", h5py.h5t.NATIVE_FLOAT, space, layout)
        file["checksums"] = np.zeros(len(self.blocks), np.uint64)
        file.attrs["about"] = self.about
        file.flush()
        return file


def _checksum(codes: np.ndarray) -> int:
    """CRC-32 of the numbers, plus 1: never 0, which stands for a block that is not there yet."""
    return zlib.crc32(np.ascontiguousarray(codes).data) + 1
