"""Files of 16 bits a channel, written by hand: Pillow writes none in colour."""

import struct
import zlib

import numpy as np

ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))  # y, x, and steps


def png16(values, interlaced=False):
    """A PNG file of values (H, W, C): grey, grey and alpha, RGB or RGBA."""
    height, width, channels = values.shape
    passes = [values[y::dy, x::dx] for y, x, dy, dx in ADAM7] if interlaced else [values]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for part in passes if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, interlaced)
    chunks = (b"IHDR" + header, b"IDAT" + zlib.compress(rows), b"IEND")
    data = b"".join(struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + data


def tiff16(values, order="<", compressed=False, planar=False, orientation=1):
    """A TIFF file of values (H, W, C), RGB or RGBA."""
    height, width, channels = values.shape
    planes = np.moveaxis(values, 2, 0) if planar else values[None]
    strips = [plane.astype(order + "u2").tobytes() for plane in planes]
    strips = [zlib.compress(strip) if compressed else strip for strip in strips]
    bits_at, lists_at = 8 + 2 + 12 * 12 + 4, 8 + 2 + 12 * 12 + 4 + 2 * channels
    data_at = lists_at + 8 * len(strips)
    offsets = [data_at + sum(map(len, strips[:k])) for k in range(len(strips))]

    def entry(tag, kind, *numbers, at=0):
        code = "H" if kind == 3 else "I"
        value = struct.pack(order + "I", at) if at else struct.pack(order + code, *numbers[:1]).ljust(4, b"\0")
        return struct.pack(order + "HHI", tag, kind, len(numbers)) + value

    many = len(strips) > 1
    entries = [
        entry(256, 3, width), entry(257, 3, height), entry(258, 3, *[16] * channels, at=bits_at),
        entry(259, 3, 8 if compressed else 1), entry(262, 3, 2), entry(273, 4, *offsets, at=lists_at * many),
        entry(274, 3, orientation), entry(277, 3, channels), entry(278, 4, height),
        entry(279, 4, *map(len, strips), at=(lists_at + 4 * len(strips)) * many),
        entry(284, 3, 2 if planar else 1), entry(338, 3, 2),
    ]  # fmt: skip
    entries = entries[: 8 + channels]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries)) + b"".join(entries)
    lists = struct.pack(order + f"{channels}H", *[16] * channels)
    lists += struct.pack(order + f"{2 * len(strips)}I", *offsets, *map(len, strips))
    return head.ljust(bits_at, b"\0") + lists + b"".join(strips)
