"""The contents of a folder or a zip archive, as a tree of the same form for both."""

from __future__ import annotations

import os
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from ..errors import DataError
from ..text import named
from .names import printer
from .picture_set import FileSource, Findings, Source, ZipSource
from .pictures import can_read_heic, identify_format

Parts = tuple[str, ...]

SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff"]
    + [".webp", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico"]
)
HEIC_SUFFIXES = frozenset([".heic", ".heif", ".hif"])
RAW_SUFFIXES = frozenset([".cr2", ".cr3", ".nef", ".nrw", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw"])
VIDEO_SUFFIXES = frozenset([".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".wmv", ".mpg", ".mpeg"])
SURE = frozenset(["JPEG", "PNG", "GIF", "TIFF", "WebP", "AVIF", "JPEG 2000"])  # not BMP and PPM: text may begin with BM or P1
HEIC, RAW, VIDEO = "HEIC picture(s)", "camera raw file(s)", "video(s)"
HINTS = {
    HEIC: 'install their reader, pip install "minicnn[heic]", or convert them to JPEG',
    RAW: "export them as JPEG or TIFF",
    VIDEO: "save single frames of them as pictures",
}

SYSTEM_FILES = frozenset(("__macosx", "thumbs.db", "desktop.ini", "@eadir"))
SYSTEM_FOLDERS = frozenset(("lost+found", "$recycle.bin", "recycler", "system volume information", "#recycle", "#snapshot"))
# Of minicnn transfer and train, advise, and search, each with the name that stands first in it
REPORT_FILES = {"results.json": b"version", "advice.json": b"version", "study.json": b"objective"}


@dataclass(frozen=True)
class Entry:
    """A picture's source, its size (files of different size are different, and need not be compared), its first bytes."""

    source: Source
    size: tuple[int, ...]
    head: bytes


class Counts:
    """The number of pictures directly in each folder (``direct``), and of those in each folder of each folder (``below``)."""

    def __init__(self, pictures: dict[Parts, Entry]):
        self.of = pictures
        self.direct: Counter[Parts] = Counter(parts[:-1] for parts in pictures)
        self.below: dict[Parts, Counter[str]] = defaultdict(Counter)
        for folder, count in self.direct.items():
            for depth, name in enumerate(folder):
                self.below[folder[:depth]][name] += count


@dataclass
class Tree:
    """Files and folders below a root. A path is the tuple of the names on it.

    Attributes
    ----------
    name : str
        The root's, for messages.
    pictures : dict of path to Entry
    folders : set of paths
    others : dict of path to text
        Files that are no pictures that can be read, and what they are: a suffix, or one of HINTS.
    reports : set of paths
        Folders with a report of this program.
    findings : Findings
    """

    name: str
    pictures: dict[Parts, Entry] = field(default_factory=dict)
    folders: set[Parts] = field(default_factory=set)
    others: dict[Parts, str] = field(default_factory=dict)
    reports: set[Parts] = field(default_factory=set)
    findings: Findings = field(default_factory=Findings)
    _counts: Counts | None = None

    def add(self, parts: Parts, source: Source, size: tuple[int, ...]) -> None:
        self.add_folder(parts[:-1])
        head = source.head()
        kind = _kind(parts[-1], head)
        if kind is None:
            self.pictures[parts] = Entry(source, size, head[:32])
            return
        self.others[parts] = kind
        first = REPORT_FILES.get(parts[-1].lower())
        if first and re.match(rb'\{\s*"' + first, head):
            self.reports.add(parts[:-1])

    def add_folder(self, parts: Parts) -> None:
        self.folders.update(parts[:depth] for depth in range(1, len(parts) + 1))

    def inside(self, prefix: Parts) -> dict[Parts, Entry]:
        """The pictures below a folder, sorted by path."""
        return {parts: self.pictures[parts] for parts in sorted(self.pictures) if parts[: len(prefix)] == prefix}

    def subfolders(self, prefix: Parts) -> list[str]:
        """The names of the folders directly in a folder, sorted."""
        return sorted(parts[-1] for parts in self.folders if len(parts) == len(prefix) + 1 and parts[:-1] == prefix)

    def folders_with_pictures(self, prefix: Parts) -> dict[str, int]:
        """The folders directly in a folder that have pictures at any depth, sorted by name, and how many."""
        return dict(sorted(self._counted().below[prefix].items()))

    def loose(self, prefix: Parts) -> int:
        """The number of pictures directly in a folder."""
        return self._counted().direct[prefix]

    def _counted(self) -> Counts:
        """How many pictures each folder has; counted again whenever ``pictures`` has been replaced."""
        if self._counts is None or self._counts.of is not self.pictures:
            self._counts = Counts(self.pictures)
        return self._counts

    def drop(self, prefixes: Iterable[Parts]) -> int:
        """Leave out folders with all that is in them; returns the number of pictures there."""
        prefixes = set(prefixes)
        before = len(self.pictures)

        def is_kept(parts: Parts) -> bool:
            return not any(parts[:depth] in prefixes for depth in range(1, len(parts) + 1))

        self.pictures = {parts: entry for parts, entry in self.pictures.items() if is_kept(parts)}
        self.others = {parts: kind for parts, kind in self.others.items() if is_kept(parts)}
        self.folders = {parts for parts in self.folders if is_kept(parts)}
        return before - len(self.pictures)

    def move_root(self, top: str) -> None:
        """Make a folder at the top the root. What lies beside it is no longer in the tree."""
        self.pictures = {parts[1:]: entry for parts, entry in self.pictures.items() if parts[0] == top and len(parts) > 1}
        self.others = {parts[1:]: kind for parts, kind in self.others.items() if parts[0] == top and len(parts) > 1}
        self.folders = {parts[1:] for parts in self.folders if parts[0] == top and len(parts) > 1}

    def make_printable(self) -> None:
        """Names that are not UTF-8 (of older systems) in characters that can be printed, different ones for different names."""
        every = {name for parts in (*self.pictures, *self.others, *self.folders) for name in parts}
        show, assumed = printer(every)
        if assumed:
            self.findings.assumed.append(assumed)
        if all(show(name) == name for name in every):
            return

        def shown(parts: Parts) -> Parts:
            return tuple(map(show, parts))

        self.pictures = {
            shown(parts): replace(entry, source=replace(entry.source, name="/".join(shown(parts))))
            for parts, entry in self.pictures.items()
        }
        self.others = {shown(parts): kind for parts, kind in self.others.items()}
        self.folders = set(map(shown, self.folders))
        self.reports = set(map(shown, self.reports))


def _kind(name: str, head: bytes) -> str | None:
    """None for a picture, else what the file is. The content decides; the suffix, where the content does not say."""
    suffix = PurePosixPath(name).suffix.lower()
    is_picture, description = identify_format(head)
    if suffix in RAW_SUFFIXES:  # many have the signature of TIFF, and would be read as the thumbnail in them
        return RAW
    if description.startswith(("HEIC", "a HEIC")) or (suffix in HEIC_SUFFIXES and not is_picture):
        return None if can_read_heic() else HEIC
    if suffix in SUFFIXES or (is_picture and description in SURE):
        return None
    if suffix in VIDEO_SUFFIXES or description == "a video":
        return VIDEO
    return suffix or name


def _is_ignored(name: str) -> bool:
    """Hidden files, and files that operating systems create."""
    return name.startswith(".") or name.lower() in SYSTEM_FILES


def _note_system_folders(tree: Tree, names: Collection[str]) -> None:
    if names:
        tree.findings.left_out.append(f"{', '.join(sorted(set(names)))}: made by the operating system")


def read_folder(root: Path, exclude: Collection[Path] = ()) -> Tree:
    """The tree of a folder. Links are followed, unless they lead back to a folder above them.

    Parameters
    ----------
    root : Path
    exclude : several Path
        Folders that are not looked into.
    """
    tree = Tree(str(root))
    broken_links: list[str] = []
    system: list[str] = []
    excluded = {_identity(os.stat(folder)) for folder in exclude if folder.is_dir()} - {_identity(root.stat())}

    def walk(folder: Path, parts: Parts, ancestors: frozenset[tuple[int, int]]) -> None:
        identity = _identity(folder.stat())
        if identity in ancestors:
            tree.findings.left_out.append(f"{'/'.join(parts)}: a link back to a folder above it, which was not followed")
            return
        if identity in excluded:
            return
        ancestors = ancestors | {identity}
        tree.add_folder(parts)
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = (*parts, entry.name)
                if _is_ignored(entry.name):
                    continue
                if entry.name.lower() in SYSTEM_FOLDERS:
                    system.append(entry.name)
                    continue
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
    _note_system_folders(tree, system)
    if broken_links:
        show, _ = printer(broken_links)
        examples = named([*map(show, broken_links)], 3)
        tree.findings.left_out.append(f"{len(broken_links)} broken link(s) ({examples})")
    tree.make_printable()
    return tree


def _identity(status: os.stat_result) -> tuple[int, int]:
    """Equal for the same file or folder, however it is reached."""
    return status.st_dev, status.st_ino


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
    system: list[str] = []
    for entry in archive.infolist():
        name = _name_in_zip(entry).replace("\\", "/")
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        of_system = [part for part in parts if part.lower() in SYSTEM_FOLDERS]
        if name.startswith("/") or ".." in parts or re.match("[A-Za-z]:", name):
            unsafe += 1
        elif not parts or any(map(_is_ignored, parts)):
            continue
        elif of_system:
            system += of_system
        elif name.endswith("/"):
            tree.add_folder(parts)
        elif entry.flag_bits & 1:
            raise DataError(f"{path} is encrypted ({name} needs a password); unpack it and pass the folder")
        else:
            tree.add(parts, ZipSource(archive, entry, "/".join(parts)), (entry.file_size, entry.CRC))
    _note_system_folders(tree, system)
    if unsafe:
        tree.findings.left_out.append(f"{unsafe} file(s) in the archive whose path leads out of it")
    tree.make_printable()
    return tree


def _name_in_zip(entry: zipfile.ZipInfo) -> str:
    """The name with surrogates in place of bytes that are not UTF-8, as Python gives those of folders.

    Without the flag for UTF-8, zipfile takes names for CP437, of which every byte is a character; most programs that do not set
    the flag write names as their system stores them.
    """
    if entry.flag_bits & 0x800 or entry.filename.isascii():
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # from a field of the archive that is in UTF-8 by definition
        return entry.filename
