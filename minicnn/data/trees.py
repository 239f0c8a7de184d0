"""What lies in a folder or a zip archive, as one kind of tree."""

from __future__ import annotations

import os
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..errors import DataError
from .picture_set import FileSource, Source, ZipSource
from .pictures import kind_of

SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff"]
    + [".webp", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico"]
)
LEFT_BEHIND = frozenset(("__macosx", "thumbs.db", "desktop.ini", "@eadir"))


@dataclass
class Tree:
    """Files and folders below a root, by their path as a tuple of names; those that are no pictures are only counted."""

    name: str
    pictures: dict[tuple[str, ...], Source] = field(default_factory=dict)
    sizes: dict[str, tuple] = field(default_factory=dict)  # by name; files of different size are different
    folders: set[tuple[str, ...]] = field(default_factory=set)
    others: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, parts: tuple[str, ...], source: Source, size: tuple) -> None:
        self.add_folder(parts[:-1])
        if PurePosixPath(parts[-1]).suffix.lower() in SUFFIXES:
            self.pictures[parts] = source
            self.sizes[source.name] = size
        else:
            self.others.append(parts)

    def add_folder(self, parts: tuple[str, ...]) -> None:
        self.folders.update(parts[:depth] for depth in range(1, len(parts) + 1))

    def top(self) -> list[str]:
        """The folders right under the root."""
        return sorted(parts[0] for parts in self.folders if len(parts) == 1)

    def step_into_wrapper(self) -> None:
        """If all pictures lie in folders of a single folder, that one becomes the root."""
        while len(self.top()) == 1 and self.pictures and all(len(parts) > 2 for parts in self.pictures):
            (top,) = self.top()
            self.notes.append(f"everything lies in {top}, whose folders are taken as the root's")
            self.pictures = {parts[1:]: source for parts, source in self.pictures.items()}
            self.folders = {parts[1:] for parts in self.folders if len(parts) > 1}
            self.others = [parts[1:] for parts in self.others if len(parts) > 1]

    def inside(self, prefix: tuple[str, ...]) -> dict[tuple[str, ...], Source]:
        """The pictures below a folder, sorted by path."""
        return {parts: self.pictures[parts] for parts in sorted(self.pictures) if parts[: len(prefix)] == prefix}


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name.lower() in LEFT_BEHIND


def _printable(name: str) -> str:
    """The name with those bytes replaced that are no UTF-8 (names from older systems), so that it can be printed."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read_folder(root: Path) -> Tree:
    """Everything in a folder; links are followed, except back to a folder above them."""
    tree = Tree(str(root))
    broken: list[str] = []

    def walk(folder: Path, parts: tuple[str, ...], above: frozenset[tuple[int, int]]) -> None:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in above:
            tree.notes.append(f"{'/'.join(parts)} is a link back to a folder above it and was not followed")
            return
        above = above | {(status.st_dev, status.st_ino)}
        tree.add_folder(parts)
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if _passed_over(entry.name):
                    continue
                inside = (*parts, _printable(entry.name))
                try:
                    size = entry.stat().st_size
                except OSError:
                    broken.append("/".join(inside))
                    continue
                if entry.is_dir():
                    walk(Path(entry.path), inside, above)
                elif entry.is_file():
                    tree.add(inside, FileSource(Path(entry.path), "/".join(inside)), (size,))

    walk(root, (), frozenset())
    if broken:
        tree.notes.append(
            f"{len(broken)} broken link(s) were ignored ({', '.join(broken[:3])}{', ...' if len(broken) > 3 else ''})"
        )
    return tree


def read_zip(path: Path) -> Tree:
    """Everything in a zip archive but what has an absolute path or one that leads out of it.

    Raises DataError for what is no zip archive, a damaged one, or an encrypted one.
    """
    tree = Tree(str(path))
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        if isinstance(error, PermissionError):
            raise
        with path.open("rb") as file:
            head = file.read(512)
        if not head:
            raise DataError(f"{path} is empty (zero bytes); copy or download it again") from error
        if head.startswith(b"PK"):
            raise DataError(f"{path} is a truncated or damaged zip archive; copy or download it again") from error
        picture, kind = kind_of(head)
        kind = f"a single picture ({kind})" if picture else kind
        raise DataError(f"{path} looks like {kind}; expected a folder or a .zip with a folder of pictures a class") from error
    unsafe = 0
    for entry in archive.infolist():
        name = entry.filename.replace("\\", "/")
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if name.startswith("/") or ".." in parts or re.match("[A-Za-z]:", name):
            unsafe += 1
        elif not parts or any(map(_passed_over, parts)):
            continue
        elif name.endswith("/"):
            tree.add_folder(parts)
        elif entry.flag_bits & 1:
            raise DataError(f"{path} is encrypted ({name} needs a password); unpack it and pass the folder")
        else:
            tree.add(parts, ZipSource(archive, entry, "/".join(parts)), (entry.file_size, entry.CRC))
    if unsafe:
        tree.notes.append(f"ignored in the archive: {unsafe} with a path that leads out of it")
    return tree
