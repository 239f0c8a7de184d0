"""The folder for converted weights and computed codes between runs, large arrays on disk, and writing a file completely."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import secrets
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .errors import DataError


def cache_folder() -> Path:
    """The folder for files that can be computed again; it is created if it does not exist.

    The environment variable ``MINICNN_CACHE`` names it. If that is not set, the folder is ``minicnn`` in the platform's usual
    place (``~/.cache`` or ``$XDG_CACHE_HOME``, ``~/Library/Caches``, ``%LOCALAPPDATA%``); if that cannot be written, a folder
    among the temporary files is used, with a warning.

    Raises
    ------
    OSError
        If the folder that ``MINICNN_CACHE`` names cannot be written. No other folder is used in its place.
    """
    named = os.environ.get("MINICNN_CACHE")
    folder = Path(named).expanduser() if named else _usual_folder()
    try:
        return _writable(folder)
    except OSError as error:
        if named:
            raise type(error)(
                error.errno,
                f"MINICNN_CACHE names a folder that cannot be written ({error.strerror}); "
                "give it another value, or unset it to use the usual cache folder",
                str(folder),
            ) from error
        substitute = _temporary_folder()
        warnings.warn(
            f"the cache folder {folder} cannot be written ({error.strerror}); using {substitute} instead, which the system may "
            "empty. Set MINICNN_CACHE to a folder of your own to keep converted weights.",
            stacklevel=2,
        )
        return substitute


def _usual_folder() -> Path:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base)) / "minicnn"


def _writable(folder: Path) -> Path:
    """The folder, after a file has been created in it as a test, because permission bits are not reliable."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return folder


def _temporary_folder() -> Path:
    """A folder among the temporary files that belongs to this user."""
    user = os.getuid() if hasattr(os, "getuid") else None  # Windows gives each user a temporary folder anyway
    folder = Path(tempfile.gettempdir()) / ("minicnn" if user is None else f"minicnn-{user}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if user is not None and (folder.is_symlink() or folder.stat().st_uid != user):
        raise PermissionError(f"{folder} belongs to somebody else; set MINICNN_CACHE to a folder of your own")
    return _writable(folder)


LARGE = 256 << 20  # bytes, from which on an array is kept on disk
IN_USE = 256 << 20  # bytes that are mapped between two times that a large array gives its memory back
MAPPED = 2 << 20  # bytes that the system may map around a row that is read or written


def large_array(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """An array of zeros in memory; from 256 MB on in a file of the cache folder, of which only what is used is in memory.

    The file has no name and is gone with the array. Index arrays and slices of it as usual; ``array[indices]`` is a copy in
    memory, ``array[start:stop]`` is not.

    Raises
    ------
    OSError
        If the disk has no room for it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < LARGE:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(dir=cache_folder()) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)  # a disk that is full later would end the process
        except AttributeError:
            file.truncate(size)
        except OSError as error:
            raise OSError(
                error.errno,
                f"{size / 1e9:.1f} GB for the pictures do not fit on the disk ({error.strerror}); make room, or let "
                "MINICNN_CACHE name a folder on another one",
                str(cache_folder()),
            ) from error
        return LargeArray(file, dtype, "r+", shape=shape)


class LargeArray(np.memmap):
    """A memory map that gives its memory back to the system again and again; the file has all that was written."""

    def __array_finalize__(self, source: np.ndarray | None) -> None:
        super().__array_finalize__(source)
        self._used = getattr(source, "_used", None) or [0]  # bytes, counted together with all slices

    def __getitem__(self, key):
        found = super().__getitem__(key)
        if isinstance(found, LargeArray):
            self._count(found)
            if found._mmap is None:  # a copy
                return found.view(np.ndarray)
        return found

    def __setitem__(self, key, value) -> None:
        super().__setitem__(key, value)
        self._count(np.asarray(value))

    def _count(self, part: np.ndarray) -> None:
        """Note that one row of this array was used, or as many as ``part`` has."""
        rows = len(part) if part.ndim == self.ndim else 1
        self._used[0] += max(part.nbytes, rows * MAPPED)
        if self._used[0] > IN_USE and hasattr(mmap, "MADV_DONTNEED"):
            self._used[0] = 0
            self._mmap.madvise(mmap.MADV_DONTNEED)


@contextlib.contextmanager
def write_atomically(path: str | os.PathLike) -> Iterator[Path]:
    """The path of a temporary file to write to, which replaces ``path`` in one step when the block ends without an error.

    A reader of ``path`` finds the old content or the new, never a part of it. If the block fails (disk full, Ctrl-C), the
    temporary file is removed and ``path`` is unchanged. Missing folders on the way to ``path`` are created. ``~`` stands for
    the home folder.

    >>> import json, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "results" / "results.json"
    >>> with write_atomically(path) as temporary:
    ...     _ = temporary.write_text(json.dumps({"accuracy": 0.9}))
    >>> path.read_text(), [file.name for file in path.parent.iterdir()]
    ('{"accuracy": 0.9}', ['results.json'])
    """
    path = Path(os.path.expanduser(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")  # same folder: a rename does not cross disks
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # on the disk before the name points to it
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """A file with this content, which appears whole or not at all; see `write_atomically`."""
    with write_atomically(path) as temporary:
        temporary.write_bytes(content)


def make_writable(folder: Path) -> None:
    """Make the folder of a report, if it is not there, and check that it can be written: before an hour is spent on it.

    Raises
    ------
    DataError
        If it cannot be made or written.
    """
    probe = folder / ".write-probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise DataError(f"cannot write the report to {folder} ({error.strerror}); name another folder with --out") from error
