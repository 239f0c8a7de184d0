"""The messages in the headers of HDF5's objects: what each of them says, from its bytes. ``hdf5`` is the reader.

Source: HDF5 File Format Specification, version 3.0, section IV.A.2, in which the messages have the numbers below.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .opening import MOST_AXES, Damaged
from .raw_numbers import BFLOAT16

DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL_FILES, LAYOUT, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE = (
    0x01, 0x02, 0x03, 0x06, 0x07, 0x08, 0x0C, 0x10, 0x11,
)  # fmt: skip
NOWHERE = 0xFFFF_FFFF_FFFF_FFFF  # the address of what is not there

WHOLE, FLOATING, TEXT, OPAQUE, VARIABLE = 0, 1, 3, 5, 9  # classes of types
FLOATS = {(2, 5, 10): "f2", (4, 8, 23): "f4", (8, 11, 52): "f8", (2, 8, 7): BFLOAT16}  # (bytes, bits of exponent, of fraction)


def shape_of(body: bytes) -> tuple[int, ...] | None:
    """The shape in a dataspace message; None for one that says there are no elements at all."""
    version, rank = body[0], body[1]
    if version not in (1, 2) or rank > MOST_AXES:
        raise Damaged(f"has an array of {rank} axes (dataspace version {version})")
    if version == 2 and body[3] == 2:
        return None
    return struct.unpack_from(f"<{rank}Q", body, 8 if version == 1 else 4)


def dtype_of(body: bytes) -> tuple[str, str]:
    """(type, byte order) in a datatype message of numbers."""
    type_class, bits = body[0] & 0x0F, body[1]
    (size,) = struct.unpack_from("<I", body, 4)
    order = ">" if bits & 1 else "<"
    if type_class == WHOLE and size in (1, 2, 4, 8) and struct.unpack_from("<HH", body, 8) == (0, 8 * size):
        return f"{'i' if bits & 8 else 'u'}{size}", order
    if type_class == FLOATING and not bits & 0x40:  # that bit: the order of bytes of a VAX
        exponent, fraction = body[13], body[15]
        if (size, exponent, fraction) in FLOATS:
            return FLOATS[size, exponent, fraction], order
    if type_class == OPAQUE and size == 2:  # so h5py stores bfloat16, of which it has no type: two bytes as they are
        return BFLOAT16, "<"
    raise Damaged(
        f"has an array of HDF5's type class {type_class} with {size} bytes, which is none of NumPy's types of numbers"
    )


@dataclass(frozen=True)
class Layout:
    """Where an array's numbers are: at an address in the file, or in the message itself."""

    address: int
    size: int
    data: bytes | None = None


def layout_of(body: bytes) -> Layout:
    """The place in a layout message, for an array in one piece."""
    version, layout_class = body[0], body[1]
    if version in (3, 4) and layout_class == 0:
        (size,) = struct.unpack_from("<H", body, 2)
        return Layout(NOWHERE, size, body[4 : 4 + size])
    if version in (3, 4) and layout_class == 1:
        return Layout(*struct.unpack_from("<QQ", body, 2))
    raise Damaged(
        "has an array that is packed, in pieces or made of others, which Keras never writes; "
        "the tool h5repack (options -f NONE -l CONTI) puts it into one piece"
    )


def link_of(body: bytes) -> tuple[str, int | None]:
    """(name, address) in a link message; None for a link by name, or into another file."""
    version, flags = body[0], body[1]
    if version != 1:
        raise Damaged(f"has a link of the unknown version {version}")
    at, link_type = 2, 0
    if flags & 0x08:
        link_type, at = body[at], at + 1
    at += (8 if flags & 0x04 else 0) + (1 if flags & 0x10 else 0)  # when it was made, and the alphabet
    width = 1 << (flags & 3)
    length = int.from_bytes(body[at : at + width], "little")
    name = body[at + width : at + width + length]
    if len(name) != length:
        raise Damaged("has a link whose name is cut off")
    address = struct.unpack_from("<Q", body, at + width + length)[0] if link_type == 0 else None
    return name.decode(), address


@dataclass(frozen=True)
class Attribute:
    """A small array that is kept in an object's header: its type, its shape and its bytes."""

    datatype: bytes
    shape: tuple[int, ...] | None
    data: bytes


def attribute_of(body: bytes) -> tuple[str, Attribute]:
    """(name, content) in an attribute message."""
    version, flags = body[0], body[1]
    if version not in (1, 2, 3) or (version > 1 and flags):
        raise Damaged(f"has an attribute that is stored in an unusual way (version {version}, flags {flags})")
    sizes = struct.unpack_from("<HHH", body, 2)  # of name, type and shape
    at = 9 if version == 3 else 8
    parts = []
    for size in sizes:
        part = body[at : at + size]
        if len(part) != size:
            raise Damaged("has an attribute that is cut off")
        parts.append(part)
        at += (size + 7) // 8 * 8 if version == 1 else size
    name, datatype, space = parts
    return name.partition(b"\0")[0].decode(), Attribute(datatype, shape_of(space), body[at:])
