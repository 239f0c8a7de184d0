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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from ...errors import WeightsError
from .archives import Archive
from .named_arrays import NamedArrays
from .opening import (
    MOST_AXES,
    MOST_COPIES,
    ZIP_START,
    Damaged,
    Unsuitable,
    other_kind,
    size_of,
    weights_file,
)
from .pickle_machine import Inert, Known, RefusedName, read_pickle
from .raw_numbers import BFLOAT16, itemsize, numbers
from .trees import find_weights

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
MAGIC_INSTRUCTION = b"\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little")

DTYPES = {
    "Float": "f4", "Double": "f8", "Half": "f2", "BFloat16": BFLOAT16, "Long": "i8", "Int": "i4", "Short": "i2", "Char": "i1",
    "Byte": "u1", "Bool": "?",
}  # fmt: skip


@dataclass(frozen=True)
class _Storage:
    """A row of numbers beside the pickle, of which we know where it is and how long."""

    key: str
    dtype: str
    numel: int

    @property
    def nbytes(self) -> int:
        return self.numel * itemsize(self.dtype)


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


def read_torch(path: str | os.PathLike) -> NamedArrays:
    """The tensors of a PyTorch file as arrays by name, in the file's order.

    The state dict is found wherever in a checkpoint it is, and what is beside it does not matter: see
    `minicnn.pretrained.readers.trees.find_weights`. A prefix "module." that all names have (``torch.nn.DataParallel`` puts it
    there) is taken off. bfloat16 becomes float32, which holds it exactly; other types stay.

    Parameters
    ----------
    path : path of a ``.pt`` or ``.pth`` file, zip or legacy

    Returns
    -------
    NamedArrays
        A dict of contiguous arrays that share no memory; its ``notes`` say which were taken where there was a choice.

    Raises
    ------
    WeightsError
        If the file is not there, damaged, truncated, of another kind, without tensors by name, or a pickle that would run a
        program.
    """
    with weights_file(path, "a PyTorch file") as file:
        size = size_of(file)
        start = file.read(64)
        file.seek(0)
        try:
            if start.startswith(ZIP_START):
                return _read_zip(file, size)
            if is_legacy(start):
                return _read_legacy(file, size)
        except RefusedName as refused:
            raise WeightsError(
                f"{os.fspath(path)} asks for '{refused.name[:200]}', which is no part of reading arrays; a pickle can run any "
                "program that way, so nothing of it was run. If you trust its maker, ask for a file saved with "
                "torch.save(model.state_dict(), path)."
            ) from None
        raise other_kind(start, "a PyTorch file")


def is_legacy(start: bytes) -> bool:
    """Whether a file that begins so is one of PyTorch's before version 1.6, whose first pickle is the magic number."""
    return start.startswith(b"\x80") and MAGIC_INSTRUCTION in start[:32]


# ---- what the pickle may say


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> _Tensor | Inert:
    """A checked window: every element inside the storage, and no more elements than the storage has."""
    if isinstance(storage, Inert):
        return Inert("torch.Tensor")
    tensor = _Tensor(storage, offset, shape, stride)
    numbers_are_sound = (
        isinstance(storage, _Storage)
        and isinstance(shape, tuple)
        and isinstance(stride, tuple)
        and len(shape) == len(stride) <= MOST_AXES
        and all(type(number) is int and number >= 0 for number in (offset, *shape, *stride))
    )
    if not numbers_are_sound:
        raise Damaged("describes a tensor by something other than a storage and numbers of at least 0")
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if tensor.size and (last >= storage.numel or tensor.size > storage.numel):
        raise Damaged(
            f"describes a tensor of shape {shape} with strides {stride} from element {offset}, "
            f"which does not fit into its storage of {storage.numel} elements"
        )
    return tensor


def _rebuild_subclass(rebuild: Any, _: Any, arguments: Any, *__: Any) -> Any:
    """A tensor of a class of its own, as fastai has them: what it is made of is an ordinary one."""
    if not isinstance(rebuild, Known) or rebuild.call is None or not isinstance(arguments, tuple):
        return Inert("torch.Tensor")
    return rebuild.call(*arguments)


def _ordered_dict(pairs: Any = ()) -> dict:
    pairs = [tuple(pair) for pair in pairs]
    if not all(len(pair) == 2 and isinstance(pair[0], (str, int)) for pair in pairs):
        raise Damaged("has a dict whose keys are not texts")
    return dict(pairs)


NAMES: Mapping[str, Known] = {
    known.name: known
    for known in (
        Known("collections.OrderedDict", _ordered_dict),
        Known("torch._utils._rebuild_tensor", _rebuild_tensor),
        Known("torch._utils._rebuild_tensor_v2", _rebuild_tensor),
        Known("torch._utils._rebuild_parameter", lambda data, *_: data),
        Known("torch._utils._rebuild_parameter_with_state", lambda data, *_: data),
        Known("torch._tensor._rebuild_from_type_v2", _rebuild_subclass),
        Known("torch.Size", lambda shape=(): shape),
        *(Known(f"{module}.{kind}Storage") for module in ("torch", "torch.cuda") for kind in DTYPES),
    )
}


class _Storages(dict[str, _Storage]):
    """The storages that a pickle refers to, by key; called with each reference."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped: set[str] = set()

    def __call__(self, identifier: Any) -> _Storage | Inert:
        """From ("storage", type, key, device, numel), to which legacy files add None or (view key, offset, size)."""
        if not isinstance(identifier, tuple) or len(identifier) not in (5, 6) or identifier[0] not in ("storage", b"storage"):
            raise Damaged("refers to something outside of its pickle that is not a storage")
        storage_type, key, numel = identifier[1], identifier[2], identifier[4]
        if isinstance(storage_type, Inert):  # of numbers that no network here computes with: complex, quantised
            self.skipped.add(str(key))
            return storage_type
        if (
            not isinstance(storage_type, Known)
            or not storage_type.name.endswith("Storage")
            or type(numel) is not int
            or numel < 0
        ):
            raise Damaged("describes a storage by something other than a type and a number of elements")
        if len(identifier) == 6 and identifier[5] is not None:
            raise Unsuitable("has views on storages, as PyTorch wrote before version 0.4; save it again with a later one")
        storage = _Storage(str(key), DTYPES[storage_type.name.rpartition(".")[2].removesuffix("Storage")], numel)
        if self.setdefault(storage.key, storage) != storage:
            raise Damaged(f"describes storage {storage.key!r} in two ways")
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


def _read_legacy(file: BinaryIO, size: int) -> NamedArrays:
    pickles = _Bounded(file, size)
    for _ in ("magic number", "protocol", "system"):
        read_pickle(pickles, NAMES)
    known = _Storages()
    tensors, notes = _state_dict(read_pickle(pickles, NAMES, known))
    keys = read_pickle(pickles, NAMES)
    if known.skipped:
        raise Unsuitable("has complex or quantised numbers beside others; save the network's state_dict by itself")
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(known):
        raise Damaged("lists other storages than its tensors refer to")

    def storages(wanted: set[str]) -> Iterator[tuple[_Storage, bytes]]:
        for storage in (known[str(key)] for key in keys):
            (numel,) = struct.unpack("<q", file.read(8).ljust(8, b"\0"))
            left = size - file.tell()
            if storage.nbytes > left:
                raise Damaged(f"is truncated: storage {storage.key!r} has {storage.nbytes} bytes, and only {left} are left")
            if numel != storage.numel:
                raise Damaged(f"contradicts itself: storage {storage.key!r} has {storage.numel} elements and then {numel}")
            if storage.key in wanted:
                yield storage, file.read(storage.nbytes)
            else:  # an optimiser's, say
                file.seek(storage.nbytes, os.SEEK_CUR)

    return NamedArrays(_arrays(tensors, storages, size, "<"), notes)


def _read_zip(file: BinaryIO, size: int) -> NamedArrays:
    archive = Archive(file)
    pickles = [name for name in archive.entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if any(name.endswith("/archive_format") or name == "archive_format" for name in archive.entries):
        raise Unsuitable("is a program of torch.export, not a state dict; save it with torch.save(model.state_dict(), path)")
    if len(pickles) != 1:
        raise Unsuitable(
            "is a zip archive but not one of PyTorch's: it has no data.pkl in its folder. Packed weights must be unpacked"
        )
    folder = pickles[0].removesuffix("data.pkl")
    if any(name.startswith(f"{folder}code/") for name in archive.entries):
        raise Unsuitable("is a TorchScript program, not a state dict; save it with torch.save(model.state_dict(), path)")
    big = f"{folder}byteorder" in archive.entries and archive.read(f"{folder}byteorder") == b"big"
    known = _Storages()
    tensors, notes = _state_dict(read_pickle(io.BytesIO(archive.read(pickles[0])), NAMES, known))

    def storages(wanted: set[str]) -> Iterator[tuple[_Storage, bytes]]:
        for storage in (known[key] for key in sorted(wanted)):
            data = archive.read(f"{folder}data/{storage.key}")
            if len(data) < storage.nbytes:
                raise Damaged(f"is truncated: storage {storage.key!r} has {len(data)} bytes where {storage.nbytes} belong")
            yield storage, data

    return NamedArrays(_arrays(tensors, storages, size, ">" if big else "<"), notes)


# ---- from tensors to arrays


def _state_dict(tree: Any) -> tuple[dict[str, _Tensor], list[str]]:
    """The named tensors of what the file holds, and what is to be said about which they are."""
    tensors, notes = find_weights(tree, lambda value: isinstance(value, _Tensor))
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors, notes


def _arrays(
    tensors: dict[str, _Tensor], read: Callable[[set[str]], Iterable[tuple[_Storage, bytes]]], size: int, order: str
) -> dict[str, np.ndarray]:
    """Cut the tensors out of their storages, one storage after another, so that few are in memory at a time."""
    windows: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        windows.setdefault(tensor.storage.key, []).append(name)
    needed = sum({tensor.storage.key: tensor.storage.nbytes for tensor in tensors.values()}.values())
    if needed > size:
        raise Damaged(f"is truncated: its tensors need {needed} bytes, and it has {size}")
    if sum(tensor.size * itemsize(tensor.storage.dtype) for tensor in tensors.values()) > MOST_COPIES * size:
        raise Damaged("repeats the same numbers in so many tensors that they would not fit into memory")

    arrays: dict[str, np.ndarray] = {}
    for storage, data in read(set(windows)):
        values = numbers(memoryview(data)[: storage.nbytes], storage.dtype, order)
        for name in windows[storage.key]:
            tensor = tensors[name]
            strides = [step * values.itemsize for step in tensor.stride]
            window = np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides)
            arrays[name] = np.array(window, values.dtype.newbyteorder("="), order="C")
    return {name: arrays[name] for name in tensors}
