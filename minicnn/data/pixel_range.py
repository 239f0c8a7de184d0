"""What value is white in a collection of 16-bit pictures, and whether there are transparent ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import PictureError
from .pictures import MAX_16_BIT, largest_value
from .trees import Entry, Parts, Tree

BITS = (8, 10, 12, 14, 16)  # that cameras and scanners have a pixel
NEARLY_BLACK = 16  # times darker than white, at its brightest place
SAMPLE = 100  # pictures that are looked into
PNG, TIFF = b"\x89PNG\r\n", (b"II*\0", b"MM\0*")


def white_of(tree: Tree, pictures: Sequence[Parts]) -> int | None:
    """The value of 16-bit pictures, grey or in colour, that stands for white; None where there are no such pictures.

    Many cameras of 10, 12 or 14 bits write 16-bit files without scaling their values, which would all be nearly black. White is
    therefore the largest value of the fewest bits that hold every value, in a hundred pictures evenly spread over the set; it
    is one for all pictures, because which one is brighter may be what tells them apart.

    Parameters
    ----------
    tree : Tree
        Its findings get a sentence where white is not 65535.
    pictures : several paths in the tree
    """
    candidates = [parts for parts in pictures if _may_have_16_bits(tree.pictures[parts])]
    values = [value for parts in _sample(candidates) if (value := _largest_value(tree.pictures[parts])) is not None]
    if not values:
        return None
    if max(values) > MAX_16_BIT:  # of 32 bits; `read_picture` says that these cannot be read
        return MAX_16_BIT
    bits = next(bits for bits in BITS if max(values) < 1 << bits)
    white = (1 << bits) - 1
    if white < MAX_16_BIT:
        tree.findings.assumed.append(
            f"the 16-bit pictures use {bits} bits (of {len(values)} looked into, the largest value is {max(values)}): "
            f"{white} is white in all of them"
        )
    dark = [value for value in values if NEARLY_BLACK * value < white]
    if dark:
        tree.findings.notes.append(
            f"{len(dark)} of {len(values)} 16-bit pictures that were looked into hold no value above {max(dark)}, and are "
            f"nearly black where {white} is white; if they are from another camera than the others, scale them first"
        )
    return white


def _sample(pictures: Sequence[Parts]) -> list[Parts]:
    """At most a hundred of them, evenly spread."""
    if not pictures:
        return []
    return [pictures[i] for i in np.unique(np.linspace(0, len(pictures) - 1, SAMPLE).astype(int))]


def _may_have_16_bits(entry: Entry) -> bool:
    """PNG says it in its first bytes; TIFF may, and has to be looked into."""
    return (entry.head.startswith(PNG) and entry.head[24:25] == b"\x10") or entry.head.startswith(TIFF)


def _largest_value(entry: Entry) -> int | None:
    try:
        return largest_value(entry.source.read())
    except PictureError:  # whoever reads the picture is told
        return None


def note_transparency(tree: Tree, pictures: Sequence[Parts]) -> None:
    """Say how transparent pictures are shown, where there may be some."""
    count = sum(_has_alpha(tree.pictures[parts].head) for parts in pictures)
    if count:
        tree.findings.assumed.append(
            f"{count} picture(s) have an alpha channel: what is transparent is white, or black where most of the rest is white"
        )


def _has_alpha(head: bytes) -> bool:
    """Of a PNG the colour types with alpha, of a WebP the flag."""
    if head.startswith(PNG):
        return head[25:26] in (b"\x04", b"\x06")
    return head[:4] == b"RIFF" and head[12:16] == b"VP8X" and bool(head[20] & 0x10)
