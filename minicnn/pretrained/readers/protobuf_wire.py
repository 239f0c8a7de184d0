"""Protocol Buffers as they lie in a file, which ONNX and Caffe store their networks in.

A message is a row of fields, each a tag and a value. The tag is a number, ``field number * 8 + wire type``, and the wire type
says how the value is stored: 0, a whole number in groups of 7 bits, the lowest first, the top bit of a byte set where another
follows ("varint"); 1, eight bytes; 5, four bytes; 2, a length and so many bytes, which are a text, another message, or a row
of numbers ("packed"). What a field means is not in the file: the reader must know the message's definition.

Source: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .opening import Damaged

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
WIDTHS = {EIGHT_BYTES: 8, FOUR_BYTES: 4}
LONGEST_VARINT = 10  # bytes, of 64 bits
PACKED_BYTES = 1 << 16  # of packed varints that are decoded together

Value = int | memoryview


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """(field number, value) of each field, in the file's order: a number for a varint, else the bytes.

    A repeated field of four or eight bytes may be packed into one value or stand there number by number, each with its tag.
    Here both give the same: the bytes of the numbers, one behind the other.

    >>> message = bytes([1 << 3 | VARINT, 0x96, 1, 2 << 3 | LENGTH, 2]) + b"hi"
    >>> [(number, value if isinstance(value, int) else bytes(value)) for number, value in fields(memoryview(message))]
    [(1, 150), (2, b'hi')]
    """
    at = 0
    while at < len(message):
        start = at
        tag, at = _varint(message, at)
        number, wire_type = tag >> 3, tag & 7
        value: Value
        if number == 0:
            raise Damaged(f"has a field of number 0 at byte {start} of a message")
        if wire_type == VARINT:
            value, at = _varint(message, at)
        elif wire_type == LENGTH:
            length, at = _varint(message, at)
            if length > len(message) - at:
                raise Damaged(
                    f"is truncated or damaged: a field has {length} bytes, and only {len(message) - at} are left for it"
                )
            value = message[at : at + length]
            at += length
        elif wire_type in WIDTHS:
            value, at = _same_tag(message, start, at, WIDTHS[wire_type])
        else:
            raise Damaged(f"has a field of kind {wire_type} at byte {start} of a message, which is not used any more")
        yield number, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at byte ``at``, and where the next thing begins."""
    value = 0
    for k, byte in enumerate(message[at : at + LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * k)
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + k + 1
    raise Damaged(f"is truncated or damaged: the number at byte {at} of a message does not end")


def _same_tag(message: memoryview, start: int, at: int, width: int) -> tuple[memoryview, int]:
    """The numbers of all fields from ``start`` on that have the tag of the first, and where the next field begins.

    There may be millions of them, so NumPy looks at many together; at ever more, in order not to look far for a few.
    """
    tag = np.frombuffer(message[start:at], np.uint8)
    record = len(tag) + width
    found, many = [], 1
    while True:
        count = min(many, (len(message) - start) // record)
        records = np.frombuffer(message[start : start + count * record], np.uint8).reshape(count, record)
        same = (records[:, : len(tag)] == tag).all(axis=1)
        good = count if same.all() else int(same.argmin())
        found.append(records[:good, len(tag) :].tobytes())
        start += good * record
        if good < many:
            break
        many *= 4
    if not any(found):
        raise Damaged(f"is truncated: a number of {width} bytes is not all there")
    return memoryview(b"".join(found)), start


def integer(value: Value) -> int:
    """The value of a field of whole numbers; negative ones are stored as 2^64 - n."""
    if not isinstance(value, int):
        raise Damaged("has bytes where a number belongs")
    return value - (1 << 64) if value >> 63 else value


def nested(value: Value) -> memoryview:
    """The value of a field that is a message, or numbers of four or eight bytes."""
    if isinstance(value, int):
        raise Damaged("has a number where bytes belong")
    return value


def joined(values: list[Value]) -> bytes | memoryview:
    """The numbers of a repeated field of four or eight bytes from all its values; usually it is one, which is not copied."""
    return nested(values[0]) if len(values) == 1 else b"".join(map(nested, values))


def text(value: Value) -> str:
    """The value of a field that is a text."""
    return str(nested(value), "utf-8")


def integers(value: Value) -> np.ndarray:
    """The whole numbers of a repeated field, one or packed: shape (count,), int64.

    >>> integers(memoryview(b"\\x01\\x96\\x01\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x01"))
    array([  1, 150,  -1])
    """
    if isinstance(value, int):
        return np.array([value], np.uint64).view(np.int64)
    parts, at = [np.empty(0, np.int64)], 0
    while at < len(value):
        data = np.frombuffer(value[at : at + PACKED_BYTES], np.uint8)
        last = np.flatnonzero(data < 0x80)  # the last byte of each number
        if not len(last):
            raise Damaged("has a row of numbers of which the last does not end")
        first = np.concatenate(([0], last[:-1] + 1))
        length = last - first + 1
        if length.max() > LONGEST_VARINT:
            raise Damaged("has a number of more than 64 bits")
        whole = np.zeros(len(last), np.uint64)
        for k in range(length.max()):
            more = length > k
            whole[more] |= (data[first[more] + k] & np.uint64(0x7F)) << np.uint64(7 * k)
        parts.append(whole.view(np.int64))
        at += int(last[-1]) + 1
    return np.concatenate(parts)
