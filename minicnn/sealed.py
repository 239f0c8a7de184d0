"""HDF5 files that say of themselves whether they are whole: models, and checkpoints of training runs.

HDF5 leaves the first 512 bytes of a file to the application (its "user block"). Here they are a line of text, the seal: what
kind of file it is, and the SHA-256 of everything after it. The seal is checked before the HDF5 library sees the file, because
that library may hang on a damaged one, and because a flipped bit among the weights would not be noticed at all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

import h5py

from .cache import write_atomically
from .hashes import sha256_of

SEAL_SIZE = 512  # bytes, the smallest user block of HDF5
OTHER_KINDS = {
    b"\x89HDF": " (it is HDF5, but of another program)",
    b"PK": " (it may be PyTorch's, whose arrays minicnn.pretrained.read_torch gives)",
    b"\x80": " (it may be PyTorch's, whose arrays minicnn.pretrained.read_torch gives)",
}


class SealError(ValueError):
    """A file that cannot be read, or is of another kind."""


class DamagedError(SealError):
    """A file that is not as it was written."""


def seal_text(kind: str) -> str:
    """How a file of this kind ("model", "checkpoint") begins."""
    return f"minicnn {kind}, an HDF5 file with this user block of 512 bytes. SHA-256 of what follows it: "


def seal(kind: str, sha256: str) -> bytes:
    """The first 512 bytes of a file whose other bytes have this SHA-256."""
    return f"{seal_text(kind)}{sha256}\n".encode().ljust(SEAL_SIZE)


def write_sealed(path: str | os.PathLike, kind: str, fill: Callable[[h5py.File], None]) -> None:
    """Write the HDF5 file that ``fill`` fills; one that is already there is replaced in one step at the end.

    Raises
    ------
    OSError
        If the file cannot be written (disk full, no permission). What was there before is untouched.
    """
    # HDF5 keeps a file open that it could not finish, for instance because the disk is full, and complains once more when the
    # program ends. So it writes to memory, and the memory is written to the disk here.
    with h5py.File("memory.h5", "w", driver="core", backing_store=False, userblock_size=SEAL_SIZE) as file:
        fill(file)
        file.flush()
        image = file.id.get_file_image()  # without the user block
    try:
        with write_atomically(path) as temporary, open(temporary, "wb") as raw:
            raw.write(seal(kind, hashlib.sha256(image).hexdigest()))
            raw.write(image)
    except OSError as error:
        raise type(error)(
            error.errno,
            f"the {kind} ({len(image) / 1e6:.1f} MB) could not be saved: {error.strerror}. "
            "Nothing is lost of what was there before; free some space, or choose another place",
            str(path),
        ) from error


def check_seal(path: str | os.PathLike, kind: str) -> None:
    """Refuse a file that is not, to the bit, one that `write_sealed` wrote.

    Raises
    ------
    DamagedError, SealError
        With the reason, which begins with the path.
    """
    try:
        with open(path, "rb") as raw:
            start = raw.read(SEAL_SIZE)
        sha256 = sha256_of(path, SEAL_SIZE)
    except OSError as error:
        raise SealError(f"{path} cannot be read: {error.strerror}; check the path") from error
    if not start.startswith(seal_text(kind).encode()):
        guesses = [guess for magic, guess in OTHER_KINDS.items() if start.startswith(magic)]
        guess = guesses[0] if guesses else "" if start else " (it is empty)"
        raise SealError(f"{path} is not a {kind} that minicnn saved: it begins with {start[:14]!r}{guess}")
    if start != seal(kind, sha256):
        raise DamagedError(f"{path} is damaged, truncated or was changed: its SHA-256 is not the one in its first line")
