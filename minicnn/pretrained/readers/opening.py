"""Opening a file that may be anything: whatever is wrong with it becomes one WeightsError with one sentence.

Also what bounds the memory of a reader: a damaged or malicious file may say of itself that it is a thousand times as large, or
that all of its arrays are the same bytes, so no length in it is believed before it is compared with the file's size.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from ...errors import WeightsError

MOST_COPIES = 4  # all that is read out of a file, arrays that share numbers included, may add up to this many times the file
READ_COST_BYTES, FREE_READS = 128, 16  # what each read counts besides its bytes; so many are free, for tiny files
MOST_AXES = 32
LONGEST_MESSAGE = 1000  # characters; names and numbers in a damaged file may have more

HDF5_START = b"\x89HDF\r\n\x1a\n"
ZIP_START = b"PK\x03\x04"
OUR_START = b"minicnn model"
PROTOTXT = re.compile(rb"\s*(#[^\n]*\n\s*)*(name\s*:|layers?\s*\{|input\w*\s*[:{]|net\s*:)")  # Caffe's networks as texts

# what reading broken bytes raises
PARSING_ERRORS = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, EOFError, MemoryError, RuntimeError,
    struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class Damaged(ValueError):
    """What is in the file cannot be; the message continues the sentence "this file ..."."""


class Unsuitable(ValueError):
    """The file may well be sound, and is not what is read here.

    The message continues the sentence "this file ..." and ends with what to do: to fetch it again would change nothing.
    """


@contextmanager
def weights_file(path: str | os.PathLike, expected: str) -> Iterator[BinaryIO]:
    """The file, open for reading; what goes wrong while it is read becomes a WeightsError.

    Parameters
    ----------
    path : path
    expected : str
        What it should be, with its article: "a safetensors file".

    Raises
    ------
    WeightsError
        If it is not there, not a file, or the body of the ``with`` statement could not make sense of it.
    """
    path = os.fspath(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would keep its reader waiting
            raise WeightsError(f"{path} cannot be read: it is not a file{_inside(path)}")
        with open(path, "rb") as file:
            yield file
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    except Unsuitable as error:
        raise WeightsError(f"{path} {str(error)[:LONGEST_MESSAGE].removesuffix('.')}.") from error
    except PARSING_ERRORS as error:
        complaint = str(error) if isinstance(error, Damaged) else f"is damaged, or not {expected} ({str(error)[:200]})"
        complaint = complaint[:LONGEST_MESSAGE]
        raise WeightsError(f"{path} {complaint}. Fetch it again, and compare its size and hash with the source's.") from error


def _inside(path: str) -> str:
    """What to do about a folder; nothing if it is none."""
    if not os.path.isdir(path):
        return ""
    if os.path.exists(os.path.join(path, "saved_model.pb")):
        return (
            " but a folder of TensorFlow, a SavedModel, which is not read: load it there and save it with model.save('net.h5')"
        )
    return " but a folder: name the file in it that has the weights"


def other_kind(start: bytes, expected: str) -> Damaged | Unsuitable:
    """The complaint about a file of another kind, from its first bytes, with a word about those that are often mistaken."""
    complaint = f"is not {expected}: it begins with {start[:8]!r}{guess(start)}"
    return Damaged(complaint) if _was_not_fetched(start) else Unsuitable(complaint)


def _was_not_fetched(start: bytes) -> bool:
    """Whether a file has what comes in the place of weights where a download fails."""
    return (
        not start
        or start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml"))
        or start.startswith(b"version https://git-lfs")
    )


def guess(start: bytes) -> str:
    """What a file may be that is not what it should be; nothing if its beginning does not say."""
    if not start:
        return " (it is empty)"
    if start.startswith(OUR_START):
        return " (this is a model that minicnn saved: minicnn.load reads it)"
    if start.startswith(HDF5_START[:4]):
        return " (this is HDF5: Keras's files are read with read_keras, minicnn's with minicnn.load)"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return " (this is a web page: the download gave an error page instead of the file)"
    if start.startswith(b"version https://git-lfs"):
        return " (this is Git LFS's note of where the file is, not the file)"
    if start.startswith(b"\x80"):
        return " (this is some other pickle)"
    if start[4:8] == b"TFL3":
        return " (this is TensorFlow Lite, which is not read: save the Keras model that it was made from, model.save('net.h5'))"
    if start.startswith((b"\x1f\x8b", b"BZh", b"7z\xbc\xaf", b"Rar!", b"\xfd7zXZ")):
        return " (this is a packed file: unpack it first)"
    if start.startswith(b"\x93NUMPY"):
        return " (this is a single array of NumPy: put the arrays of a network into one file with numpy.savez)"
    if PROTOTXT.match(start):
        return " (this is a text that describes a network of Caffe: its weights are in a .caffemodel)"
    if start.startswith(b"GGUF"):
        return " (this is a language model's format)"
    if start.startswith(ZIP_START):
        return " (this is a zip archive of something else)"
    return ""


def size_of(file: BinaryIO) -> int:
    """Bytes in the file, which is left at its beginning."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


class Bounded:
    """A file's bytes by place and length: never beyond its end, and in all no more than ``MOST_COPIES`` times the file.

    Each read counts ``READ_COST_BYTES`` more, so that reads of no bytes come to an end as well.
    """

    def __init__(self, file: BinaryIO):
        self.file, self.size = file, size_of(file)
        self.left = MOST_COPIES * self.size + FREE_READS * READ_COST_BYTES

    def at(self, place: int, length: int) -> bytes:
        """``length`` bytes from byte ``place`` on."""
        if not 0 <= place <= place + length <= self.size:
            raise Damaged(
                f"is truncated or damaged: {length} bytes belong at byte {place}, and the file has {self.size} in all"
            )
        self.left -= length + READ_COST_BYTES
        if self.left < 0:
            raise Damaged("refers to the same bytes again and again")
        self.file.seek(place)
        return self.file.read(length)


def add(arrays: dict, name: str, array: object) -> None:
    """Put an array into the dict under a name that is not yet taken."""
    if name in arrays:
        raise Damaged(f"has two arrays of the name {name[:200]!r}")
    arrays[name] = array
