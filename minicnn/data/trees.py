"""The contents of a folder or a zip archive, as a tree of the same form for both."""

from __future__ import annotations

import os
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..errors import DataError
from .picture_set import FileSource, Source, ZipSource
from .pictures import identify_format

SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff"]
    + [".webp", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico"]
)
SYSTEM_FILES = frozenset(("__macosx", "thumbs.db", "desktop.ini", "@eadir"))


@dataclass
class Tree:
    """Files and folders below a root. A path is the tuple of the names on it.

    Attributes
    ----------
    name : str
        The root's, for messages.
    pictures : dict of path to Source
    sizes : dict of a picture's name to its size
        Files of different size are different, and need not be compared.
    folders : set of paths
    others : list of paths
        Files that are no pictures.
    notes : list of str
        Sentences for reports.
    """

    name: str
    pictures: dict[tuple[str, ...], Source] = field(default_factory=dict)
    sizes: dict[str, tuple] = field(default_factory=dict)
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
        """The names of the folders directly below the root, sorted."""
        return sorted(parts[0] for parts in self.folders if len(parts) == 1)

    def step_into_wrapper(self) -> None:
        """While all pictures lie in folders of a single folder, make that folder the root."""
        while len(self.top()) == 1 and self.pictures and all(len(parts) > 2 for parts in self.pictures):
            (top,) = self.top()
            self.notes.append(f"everything lies in {top}, whose folders are taken as the root's")
            self.pictures = {parts[1:]: source for parts, source in self.pictures.items()}
            self.folders = {parts[1:] for parts in self.folders if len(parts) > 1}
            self.others = [parts[1:] for parts in self.others if len(parts) > 1]

    def inside(self, prefix: tuple[str, ...]) -> dict[tuple[str, ...], Source]:
        """The pictures below a folder, sorted by path."""
        return {parts: self.pictures[parts] for parts in sorted(self.pictures) if parts[: len(prefix)] == prefix}


def _is_ignored(name: str) -> bool:
    """Hidden files, and files that operating systems create."""
    return name.startswith(".") or name.lower() in SYSTEM_FILES


def _printable(name: str) -> str:
    """The name with bytes that are not UTF-8 (in names from older systems) replaced, so that it can be printed."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read_folder(root: Path) -> Tree:
    """The tree of a folder. Links are followed, unless they lead back to a folder above them."""
    tree = Tree(str(root))
    broken_links: list[str] = []

    def walk(folder: Path, parts: tuple[str, ...], ancestors: frozenset[tuple[int, int]]) -> None:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in ancestors:
            tree.notes.append(f"{'/'.join(parts)} is a link back to a folder above it and was not followed")
            return
        ancestors = ancestors | {(status.st_dev, status.st_ino)}
        tree.add_folder(parts)
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if _is_ignored(entry.name):
                    continue
                path = (*parts, _printable(entry.name))
                try:
                    size = entry.stat().st_size
                except OSError:
                    broken_links.append("/".join(path))
                    continue
                if entry.is_dir():
                    walk(Path(entry.path), path, ancestors)
                elif entry.is_file():
                    tree.add(path, FileSource(Path(entry.path), "/".join(path)), (size,))

    walk(root, (), frozenset())
    if broken_links:
        examples = ", ".join(broken_links[:3]) + (", ..." if len(broken_links) > 3 else "")
        tree.notes.append(f"{len(broken_links)} broken link(s) were ignored ({examples})")
    return tree


def read_zip(path: Path) -> Tree:
    """The tree of a zip archive, without entries whose path is absolute or leads out of the archive.

    Raises DataError for a file that is not a zip archive, and for a damaged or an encrypted one.
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
        is_picture, description = identify_format(head)
        description = f"a single picture ({description})" if is_picture else description
        raise DataError(
            f"{path} looks like {description}; expected a folder or a .zip with a folder of pictures for each class"
        ) from error
    unsafe = 0
    for entry in archive.infolist():
        name = entry.filename.replace("\\", "/")
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if name.startswith("/") or ".." in parts or re.match("[A-Za-z]:", name):
            unsafe += 1
        elif not parts or any(map(_is_ignored, parts)):
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
