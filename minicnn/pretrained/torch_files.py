"""PyTorch's files, ``.pt`` and ``.pth``, read as named arrays, without PyTorch and without running what is in them.

Two formats, both made of a pickle that describes tensors and of the raw numbers beside it:

- since PyTorch 1.6 a zip archive: ``NAME/data.pkl``, ``NAME/data/KEY`` for each storage, ``NAME/byteorder``;
- before ("legacy") five pickles one after another (magic number, protocol, system, the data, the list of storage keys), then
  for each key an int64 count and the numbers, little-endian.

A tensor is a window on a storage: element (i, j, ...) is number ``offset + i*stride[0] + j*stride[1] + ...`` of it. Several
tensors may look into one storage, and a window may be transposed, so the strides must be honoured.

The formats are those of ``torch/serialization.py``.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from ..errors import WeightsError
from .pickle_machine import Known, RefusedName, read_pickle

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_START = b"\x80\x02\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little")
ZIP_START = b"PK\x03\x04"
NESTED = ("state_dict", "model_state_dict", "model")  # keys under which training scripts keep the state dict
MOST_COPIES = 4  # tensors that share storages may add up to this many times the file
MOST_AXES = 32

DTYPES = {
    "Float": "f4", "Double": "f8", "Half": "f2", "BFloat16": "bfloat16", "Long": "i8", "Int": "i4", "Short": "i2", "Char": "i1",
    "Byte": "u1", "Bool": "?",
}  # fmt: skip


@dataclass(frozen=True)
class _Storage:
    """A row of numbers beside the pickle, of which we know where it is and how long."""

    key: str
    dtype: str
    numel: int

    @property
    def itemsize(self) -> int:
        return 2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize

    @property
    def nbytes(self) -> int:
        return self.numel * self.itemsize


@dataclass(frozen=True)
class _Tensor:
    """A window on a storage; shape and strides are counted in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class _Damaged(ValueError):
    """What is in the file cannot be; the message continues the sentence "this file ..."."""


def read_torch(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a PyTorch file as arrays by name, in the file's order.

    A state dict nested under "state_dict" (or "model", "model_state_dict") is found, and a prefix "module." that all names have
    (``torch.nn.DataParallel`` puts it there) is taken off. bfloat16 becomes float32, which holds it exactly; other types stay.

    Parameters
    ----------
    path : path of a ``.pt`` or ``.pth`` file, zip or legacy

    Returns
    -------
    dict of contiguous arrays that share no memory

    Raises
    ------
    WeightsError
        If the file is not there, damaged, truncated, of another kind, or a pickle that asks for anything but arrays.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(len(LEGACY_START))
            file.seek(0)
            if start.startswith(ZIP_START):
                return _read_zip(file, size)
            if start == LEGACY_START:
                return _read_legacy(file, size)
            raise _Damaged(f"is not a PyTorch file: it begins with {start[:8]!r}{_guess(start)}")
    except RefusedName as refused:
        raise WeightsError(
            f"{path} asks for '{refused.name}', which is no part of reading arrays; a pickle can run any program that way, so "
            "nothing of it was run. If you trust its maker, ask for a file saved with torch.save(model.state_dict(), path)."
        ) from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, EOFError, OverflowError, MemoryError, RuntimeError, struct.error,
            zipfile.BadZipFile) as error:  # fmt: skip
        what = str(error) if isinstance(error, _Damaged) else f"is damaged, or no PyTorch weights file ({error})"
        raise WeightsError(f"{path} {what}. Fetch it again, and compare its size and hash with the source's.") from error


def _guess(start: bytes) -> str:
    """A friendlier word about files that are often taken for PyTorch's."""
    if not start:
        return " (it is empty)"
    if start.startswith(b"\x89HDF"):
        return " (this is HDF5: read it with minicnn.load)"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return " (this is a web page: the download gave an error page instead of the file)"
    if start.startswith(b"\x80"):
        return " (this is some other pickle)"
    return ""


# ---- what the pickle may say


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> _Tensor:
    """A checked window: every element inside the storage, and no more elements than the storage has."""
    tensor = _Tensor(storage, offset, shape, stride)
    numbers_are_sound = (
        isinstance(storage, _Storage)
        and isinstance(shape, tuple)
        and isinstance(stride, tuple)
        and len(shape) == len(stride) <= MOST_AXES
        and all(type(number) is int and number >= 0 for number in (offset, *shape, *stride))
    )
    if not numbers_are_sound:
        raise _Damaged("describes a tensor by something other than a storage and numbers of at least 0")
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if tensor.size and (last >= storage.numel or tensor.size > storage.numel):
        raise _Damaged(
            f"describes a tensor of shape {shape} with strides {stride} from element {offset}, "
            f"which does not fit into its storage of {storage.numel} elements"
        )
    return tensor


def _ordered_dict(pairs: Any = ()) -> dict:
    pairs = [tuple(pair) for pair in pairs]
    if not all(len(pair) == 2 and isinstance(pair[0], (str, int)) for pair in pairs):
        raise _Damaged("has a dict whose keys are not texts")
    return dict(pairs)


NAMES: Mapping[str, Known] = {
    known.name: known
    for known in (
        Known("collections.OrderedDict", _ordered_dict),
        Known("torch._utils._rebuild_tensor", _rebuild_tensor),
        Known("torch._utils._rebuild_tensor_v2", _rebuild_tensor),
        Known("torch._utils._rebuild_parameter", lambda data, *_: data),
        Known("torch.Size", lambda shape=(): shape),
        *(Known(f"{module}.{kind}Storage") for module in ("torch", "torch.cuda") for kind in DTYPES),
    )
}


class _Storages(dict[str, _Storage]):
    """The storages that a pickle refers to, by key; called with each reference."""

    def __call__(self, identifier: Any) -> _Storage:
        """From ("storage", type, key, device, numel), to which legacy files add None or (view key, offset, size)."""
        if not isinstance(identifier, tuple) or len(identifier) not in (5, 6) or identifier[0] not in ("storage", b"storage"):
            raise _Damaged("refers to something outside of its pickle that is not a storage")
        kind, key, numel = identifier[1], identifier[2], identifier[4]
        if not isinstance(kind, Known) or not kind.name.endswith("Storage") or type(numel) is not int or numel < 0:
            raise _Damaged("describes a storage by something other than a type and a number of elements")
        if len(identifier) == 6 and identifier[5] is not None:
            raise _Damaged("has views on storages, as PyTorch wrote before version 0.4; save it again with a later one")
        storage = _Storage(str(key), DTYPES[kind.name.rpartition(".")[2].removesuffix("Storage")], numel)
        if self.setdefault(storage.key, storage) != storage:
            raise _Damaged(f"describes storage {storage.key!r} in two ways")
        return storage


class _Bounded:
    """The rest of a file for the pickle reader: a damaged length must not make it ask for more memory than the file has."""

    def __init__(self, file: BinaryIO, size: int):
        self.file, self.size, self.tell = file, size, file.tell

    def read(self, n: int) -> bytes:
        return self.file.read(min(n, self.size - self.file.tell()))

    def readline(self) -> bytes:
        return self.file.readline(4096)


# ---- the two formats


def _read_legacy(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    pickles = _Bounded(file, size)
    for _ in ("magic number", "protocol", "system"):
        read_pickle(pickles, NAMES)
    known = _Storages()
    tensors = _state_dict(read_pickle(pickles, NAMES, known))
    keys = read_pickle(pickles, NAMES)
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(known):
        raise _Damaged("lists other storages than its tensors refer to")

    def storages(wanted: set[str]) -> Iterator[tuple[_Storage, bytes]]:
        for storage in (known[str(key)] for key in keys):
            (numel,) = struct.unpack("<q", file.read(8).ljust(8, b"\0"))
            left = size - file.tell()
            if storage.nbytes > left:
                raise _Damaged(f"is truncated: storage {storage.key!r} has {storage.nbytes} bytes, and only {left} are left")
            if numel != storage.numel:
                raise _Damaged(f"contradicts itself: storage {storage.key!r} has {storage.numel} elements and then {numel}")
            if storage.key in wanted:
                yield storage, file.read(storage.nbytes)
            else:  # an optimiser's, say
                file.seek(storage.nbytes, os.SEEK_CUR)

    return _arrays(tensors, storages, size, "<")


def _read_zip(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        entries = {info.filename: info for info in archive.infolist()}

        def read(name: str) -> bytes:
            if name not in entries:
                raise _Damaged(f"has no {name!r} inside")
            if entries[name].compress_type != zipfile.ZIP_STORED or entries[name].file_size > size:
                raise _Damaged(f"keeps {name!r} compressed, as PyTorch never does")
            return archive.read(name)

        pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _Damaged("is a zip archive but not one of PyTorch's: it has no data.pkl in its folder")
        folder = pickles[0].removesuffix("data.pkl")
        if any(name.startswith(f"{folder}code/") for name in entries):
            raise _Damaged("is a TorchScript program, not a state dict; save it with torch.save(model.state_dict(), path)")
        big = f"{folder}byteorder" in entries and read(f"{folder}byteorder") == b"big"
        known = _Storages()
        tensors = _state_dict(read_pickle(io.BytesIO(read(pickles[0])), NAMES, known))

        def storages(wanted: set[str]) -> Iterator[tuple[_Storage, bytes]]:
            for storage in (known[key] for key in sorted(wanted)):
                data = read(f"{folder}data/{storage.key}")
                if len(data) < storage.nbytes:
                    raise _Damaged(f"is truncated: storage {storage.key!r} has {len(data)} bytes where {storage.nbytes} belong")
                yield storage, data

        return _arrays(tensors, storages, size, ">" if big else "<")


# ---- from tensors to arrays


def _state_dict(tree: Any) -> dict[str, _Tensor]:
    """The named tensors of what the file holds, wherever in it the training script put them."""
    if not isinstance(tree, dict):
        raise _Damaged(f"holds a {type(tree).__name__.lstrip('_')}, not tensors by name")
    for key in NESTED:
        if isinstance(tree.get(key), dict):
            tree = tree[key]
            break
    tensors = {name: value for name, value in tree.items() if isinstance(value, _Tensor) and isinstance(name, str)}
    if not tensors:
        some = ", ".join(str(key)[:40] for key in list(tree)[:10])
        raise _Damaged(f"has no tensors by name at the top or under {', '.join(NESTED)}; what it has: {some or 'nothing'}")
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _arrays(
    tensors: dict[str, _Tensor], read: Callable[[set[str]], Iterable[tuple[_Storage, bytes]]], size: int, order: str
) -> dict[str, np.ndarray]:
    """Cut the tensors out of their storages, one storage after another, so that few are in memory at a time."""
    windows: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        windows.setdefault(tensor.storage.key, []).append(name)
    needed = sum({tensor.storage.key: tensor.storage.nbytes for tensor in tensors.values()}.values())
    if needed > size:
        raise _Damaged(f"is truncated: its tensors need {needed} bytes, and it has {size}")
    if sum(tensor.size * tensor.storage.itemsize for tensor in tensors.values()) > MOST_COPIES * size:
        raise _Damaged("repeats the same numbers in so many tensors that they would not fit into memory")

    arrays: dict[str, np.ndarray] = {}
    for storage, data in read(set(windows)):
        if storage.dtype == "bfloat16":  # the upper half of a float32
            numbers = np.frombuffer(data, f"{order}u2", storage.numel).astype(np.uint32)
            numbers = (numbers << 16).view(np.float32)
        else:
            numbers = np.frombuffer(data, np.dtype(storage.dtype).newbyteorder(order), storage.numel)
        for name in windows[storage.key]:
            tensor = tensors[name]
            strides = [step * numbers.itemsize for step in tensor.stride]
            window = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides)
            arrays[name] = np.array(window, numbers.dtype.newbyteorder("="), order="C")
    return {name: arrays[name] for name in tensors}
