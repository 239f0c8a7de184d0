"""HDF5, the format of Keras's weights, as far as such files use it: groups, arrays in one piece, texts as attributes.

The HDF5 library is made for files that one trusts: a damaged one can make it read outside of its memory, which ends the
program, or run without end, and it follows links out of the file. So here is a small reader of our own, which does neither.

An HDF5 file is a graph of objects. Each is the address of a header in the file: a row of messages that say what the object is.
A group has messages that lead to its links, from a name to the address of another object; an array has messages with its shape,
its type and the place of its numbers; both may have attributes.

Source: HDF5 File Format Specification, version 3.0 (II.A superblock; III.A.1 B-trees, III.B symbol tables, III.D local heaps,
III.E global heaps; IV.A.1 object headers), https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from functools import cached_property
from typing import BinaryIO

import numpy as np

from . import hdf5_messages as messages
from .hdf5_messages import NOWHERE
from .opening import HDF5_START, Bounded, Damaged, add
from .raw_numbers import array_of

KEPT = {
    messages.DATASPACE, messages.LINK_INFO, messages.DATATYPE, messages.LINK, messages.EXTERNAL_FILES, messages.LAYOUT,
    messages.ATTRIBUTE, messages.SYMBOL_TABLE,
}  # fmt: skip
SHARED = 0x02  # the flag of a message whose content is kept elsewhere
LONGEST_TEXT = 4096  # bytes; names of layers have 30


class Hdf5File:
    """An HDF5 file, of which nothing but the beginning is read before it is asked for.

    Raises
    ------
    Damaged, struct.error
        Here and from whatever is asked of its objects, for what cannot be or is not read.
    """

    def __init__(self, file: BinaryIO):
        self.bytes = Bounded(file)
        self._objects: dict[int, Object] = {}
        self._collections: dict[int, dict[int, bytes]] = {}
        self._texts: dict[tuple[int, int], str] = {}
        start = self.bytes.at(0, min(96, self.bytes.size))
        version = start[8]
        if version in (0, 1):
            sizes, root = start[13:15], 64 if version == 0 else 68
        elif version in (2, 3):
            sizes, root = start[9:11], 36
        else:
            raise Damaged(f"is HDF5 of the unknown version {version}")
        if not start.startswith(HDF5_START) or sizes != b"\x08\x08":
            raise Damaged(f"is HDF5 with addresses and lengths of {sizes[0]} and {sizes[1]} bytes, not 8")
        self.root = self.object(*struct.unpack_from("<Q", start, root))

    def object(self, address: int) -> Object:
        """The object whose header is at this address; the same one each time."""
        if address not in self._objects:
            self._objects[address] = Object(self, address)
        return self._objects[address]

    def text(self, collection: int, index: int, longest: int) -> str:
        """A text that is kept apart in a collection of such ("global heap")."""
        if (collection, index) not in self._texts:
            if collection not in self._collections:
                self._collections[collection] = self._collection(collection)
            self._texts[collection, index] = _decoded(self._collections[collection][index], longest)
        return self._texts[collection, index]

    def _collection(self, address: int) -> dict[int, bytes]:
        signature, version, size = struct.unpack("<4sB3xQ", self.bytes.at(address, 16))
        if (signature, version) != (b"GCOL", 1):
            raise Damaged(f"has no collection of texts at byte {address}")
        data, at, found = self.bytes.at(address, size), 16, {}
        while at + 16 <= size:
            index, length = struct.unpack_from("<H6xQ", data, at)
            if index == 0:  # the space that is left
                break
            found[index] = data[at + 16 : at + 16 + length]
            at += 16 + (length + 7) // 8 * 8
        return found


class Object:
    """A group or an array of an HDF5 file."""

    def __init__(self, file: Hdf5File, address: int):
        self.file, self.address = file, address
        self._messages = [
            (message_type, body)
            for message_type, flags, body in _header(file.bytes, address)
            if message_type in KEPT and not flags & SHARED
        ]

    def _all(self, message_type: int) -> list[bytes]:
        return [body for own_type, body in self._messages if own_type == message_type]

    def _one(self, message_type: int, what: str) -> bytes:
        bodies = self._all(message_type)
        if len(bodies) != 1:
            raise Damaged(f"has an object with {len(bodies)} {what} where one belongs")
        return bodies[0]

    # ---- a group

    @cached_property
    def links(self) -> dict[str, int | None]:
        """The group's links: name -> address, or None for a link that is not to an object of this file."""
        links: dict[str, int | None] = {}
        for body in self._all(messages.SYMBOL_TABLE):
            for name, address in _symbol_table(self.file.bytes, *struct.unpack_from("<QQ", body)):
                add(links, name, address)
        for body in self._all(messages.LINK):
            add(links, *messages.link_of(body))
        for body in self._all(messages.LINK_INFO):
            if struct.unpack_from("<Q", body, 10 if body[1] & 1 else 2)[0] != NOWHERE:
                raise Damaged(
                    "keeps a large group in HDF5's newer form, which is not read; "
                    "the tool h5repack (options --low=0 --high=1) writes the usual one"
                )
        return links

    def child(self, path: str) -> Object:
        """What is in the group under a path like "layers/conv2d"."""
        target = self
        for name in path.split("/"):
            if name not in target.links:
                raise Damaged(f"has no {name[:200]!r} where {path[:200]!r} should be")
            address = target.links[name]
            if address is None:
                raise Damaged(f"has {name[:200]!r} as a link to something else, which is not followed")
            target = self.file.object(address)
        return target

    @cached_property
    def attributes(self) -> dict[str, messages.Attribute]:
        return dict(map(messages.attribute_of, self._all(messages.ATTRIBUTE)))

    def texts(self, name: str, longest: int = LONGEST_TEXT) -> list[str] | None:
        """The texts in an attribute, in order, each of at most so many bytes; None if there is no such attribute."""
        attribute = self.attributes.get(name)
        if attribute is None:
            return None
        count = 0 if attribute.shape is None else math.prod(attribute.shape)
        if not count:  # an empty list is stored as a row of no floats
            return []
        type_class, bits = attribute.datatype[0] & 0x0F, attribute.datatype[1]
        (size,) = struct.unpack_from("<I", attribute.datatype, 4)
        is_text = type_class == messages.TEXT or (type_class == messages.VARIABLE and bits & 0x0F == 1 and size == 16)
        if not is_text or size == 0 or count * size > len(attribute.data):
            raise Damaged(f"has an attribute {name!r} that is not of texts, or is cut off")
        parts = [attribute.data[k * size : (k + 1) * size] for k in range(count)]
        if type_class == messages.TEXT:
            return [_decoded(part, longest) for part in parts]
        return [self.file.text(*struct.unpack("<4xQI", part), longest) for part in parts]

    # ---- an array

    def array(self, name: str) -> np.ndarray:
        """The numbers; ``name`` is for messages."""
        if self._all(messages.EXTERNAL_FILES):
            raise Damaged(f"has the numbers of {name[:200]!r} in another file, which is not read")
        shape = messages.shape_of(self._one(messages.DATASPACE, "shapes"))
        dtype, order = messages.dtype_of(self._one(messages.DATATYPE, "types"))
        layout = messages.layout_of(self._one(messages.LAYOUT, "layouts"))
        if shape is None or (layout.data is None and layout.size and layout.address == NOWHERE):
            raise Damaged(f"has nothing under {name[:200]!r}")
        if layout.data is not None:
            return array_of(layout.data, dtype, shape, name, order)
        data = self.file.bytes.at(layout.address if layout.size else 0, layout.size)  # what is empty is nowhere
        return array_of(data, dtype, shape, name, order)


def _decoded(text: bytes, longest: int) -> str:
    """A text as Python has it; it may end before its space does."""
    if len(text) > longest:
        raise Damaged(f"has a name of {len(text)} bytes")
    return text.partition(b"\0")[0].decode()


def _header(content: Bounded, address: int) -> Iterator[tuple[int, int, bytes]]:
    """(message_type, flags, content) of each message in the header at this address."""
    start = content.at(address, 16)
    if start.startswith(b"OHDR"):  # version 2
        flags = start[5]
        at = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)  # times, limits of attributes
        width = 1 << (flags & 3)
        blocks = [(at + width, int.from_bytes(content.at(at, width), "little"))]
        entry = "<BHB2x" if flags & 0x04 else "<BHB"  # type, size, flags; with or without an order of creation
        skipped = (4, 8)  # in later blocks: signature in front; in all a checksum behind, which the first's length leaves out
    elif start[0] == 1:
        blocks = [(address + 16, struct.unpack_from("<I", start, 8)[0])]
        entry, skipped = "<HHB3x", (0, 0)
    else:
        raise Damaged(f"has no object at byte {address}")
    seen = set()
    while blocks:
        block = blocks.pop(0)
        if block in seen:
            raise Damaged("has an object that goes on where it began")
        seen.add(block)
        data, at = content.at(*block), 0
        while at + struct.calcsize(entry) <= len(data):
            message_type, size, flags = struct.unpack_from(entry, data, at)
            at += struct.calcsize(entry) + size
            body = data[at - size : at]
            if len(body) != size:
                raise Damaged(f"has an object at byte {address} that is cut off")
            if message_type == messages.CONTINUATION:
                place, length = struct.unpack_from("<QQ", body)
                blocks.append((place + skipped[0], length - skipped[1]))
            yield message_type, flags, body


def _symbol_table(content: Bounded, tree: int, heap: int) -> Iterator[tuple[str, int | None]]:
    """The links of a group of the older form: a tree whose leaves list names, as places in a heap, and addresses."""
    signature, size, names_at = struct.unpack("<4s4xQ8xQ", content.at(heap, 32))
    if signature != b"HEAP":
        raise Damaged(f"has no names of a group at byte {heap}")
    names = content.at(names_at, size)
    nodes, seen = [tree], set()
    while nodes:
        address = nodes.pop()
        if address in seen:
            raise Damaged("has a group whose tree of links has a loop")
        seen.add(address)
        start = content.at(address, 8)
        if start.startswith(b"TREE\0"):
            (count,) = struct.unpack_from("<H", start, 6)
            keys_and_children = struct.unpack(f"<{2 * count}Q", content.at(address + 24, 16 * count))
            nodes += keys_and_children[::-2]  # children from last to first: the first is looked at next
        elif start.startswith(b"SNOD"):
            (count,) = struct.unpack_from("<H", start, 6)
            for name, target, cache_type in struct.iter_unpack("<QQI20x", content.at(address + 8, 40 * count)):
                is_soft = cache_type == 2
                yield names[name : names.index(b"\0", name)].decode(), None if is_soft or target == NOWHERE else target
        else:
            raise Damaged(f"has no links of a group at byte {address}")
