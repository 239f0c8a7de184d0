"""Protocol Buffers as they are put into a file; `minicnn.pretrained.readers.protobuf_wire` says how they lie there.

A message is made of pieces, which are joined only in the file: its weights may be half a gigabyte, and are copied once.

Source: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import struct

from ..readers.protobuf_wire import FOUR_BYTES, LENGTH, VARINT

Pieces = list[bytes | memoryview]


def whole_number(number: int, value: int) -> Pieces:
    """A field of a whole number; a negative one is stored as 2^64 - n.

    >>> whole_number(1, 150)
    [b'\\x08\\x96\\x01']
    """
    return [_varint(number << 3 | VARINT) + _varint(value % (1 << 64))]


def single(number: int, value: float) -> Pieces:
    """A field of a number in four bytes."""
    return [_varint(number << 3 | FOUR_BYTES) + struct.pack("<f", value)]


def message(number: int, *fields: Pieces) -> Pieces:
    """A field that is a message of these fields."""
    pieces = [piece for field in fields for piece in field]
    length = sum(memoryview(piece).nbytes for piece in pieces)
    return [_varint(number << 3 | LENGTH) + _varint(length), *pieces]


def content(number: int, value: bytes | memoryview) -> Pieces:
    """A field of bytes."""
    return message(number, [value])


def text(number: int, value: str) -> Pieces:
    """A field of text.

    >>> text(2, "hi")
    [b'\\x12\\x02', b'hi']
    """
    return content(number, value.encode())


def _varint(value: int) -> bytes:
    """The number in groups of 7 bits, the lowest first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
