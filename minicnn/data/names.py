"""Names of files and folders as people read, compare and order them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # a line break in a name would break tables
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
HANGUL = range(0xAC00, 0xD7A4)


def raw_name(name: str) -> bytes:
    """The bytes of a name that Python decoded with surrogates in place of those that are not UTF-8."""
    return name.encode("utf-8", "surrogateescape")


def printer(names: Iterable[str]) -> tuple[Callable[[str], str], str]:
    """A function that makes names printable, and what it assumes; an empty text where all names are UTF-8.

    Names of older Korean systems are in CP949. Bytes in another encoding rarely make whole Hangul syllables, so that CP949 is
    assumed if all names that are not UTF-8 do. Otherwise their bytes are written ``\\\\xb0``, so that different names stay
    different. So are characters that are not printed, such as line breaks.

    >>> name = b"\\xb0\\xb3".decode("utf-8", "surrogateescape")
    >>> show, assumed = printer([name])
    >>> show(name), assumed
    ('개', 'names that are not in UTF-8 are in CP949, the older Korean encoding')
    """
    foreign = {name for name in names if not name.isascii() and _from_utf8(name) is None}
    korean = bool(foreign) and all(map(_is_korean, foreign))

    def show(name: str) -> str:
        if name in foreign:
            name = raw_name(name).decode("cp949") if korean else raw_name(name).decode("utf-8", "backslashreplace")
        return CONTROL.sub(lambda character: repr(character[0])[1:-1], name)

    if not foreign:
        return show, ""
    if korean:
        return show, "names that are not in UTF-8 are in CP949, the older Korean encoding"
    return show, f"names that are not in UTF-8 are shown with their bytes ({show(min(foreign))})"


def _from_utf8(name: str) -> str | None:
    try:
        return raw_name(name).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _is_korean(name: str) -> bool:
    try:
        text = raw_name(name).decode("cp949")
    except UnicodeDecodeError:
        return False
    return all(character.isascii() or ord(character) in HANGUL for character in text)


def folded(name: str) -> str:
    """Equal for names that differ only in case or in Unicode form, which are one and the same on other systems."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def natural_order(name: str) -> tuple:
    """A key to sort by: ``2`` comes before ``10``, and names that are numbers as a whole are ordered by value.

    >>> sorted(["10", "b12", "0.25", "2", "b9", "0.5", "-1"], key=natural_order)
    ['-1', '0.25', '0.5', '2', '10', 'b9', 'b12']
    """
    name = unicodedata.normalize("NFC", name)
    if NUMBER.fullmatch(name):
        return (0, float(name)), name
    pieces = re.split(r"(\d+)", name)  # texts at even places and digits at odd ones
    return (1, [(piece, 0) if i % 2 == 0 else ("", int(piece)) for i, piece in enumerate(pieces)]), name
