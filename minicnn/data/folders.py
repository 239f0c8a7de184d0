"""Opening a folder (or a .zip) of pictures with one folder for each class, already split into parts or not.

    FOLDER/<class>/*                       to be split later, at random
    FOLDER/{train,val,test}/<class>/*      used as given

Pictures may lie at any depth below their class. `minicnn.data.layout` decides what the folders are; whatever is left out or
assumed is said in the findings of the set.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection
from pathlib import Path

import numpy as np

from ..errors import DataError, PictureError
from ..text import named
from .layout import (
    PICTURES,
    find_parts,
    leave_out_companions,
    leave_out_reports,
    leave_out_unlabelled,
    note_same_folders,
    part_named,
    step_into_wrappers,
    turn_class_first,
)
from .names import folded, natural_order, printer
from .picture_set import PictureSet, Source
from .pixel_range import note_transparency, white_of
from .trees import HINTS, Parts, Tree, read_folder, read_zip

__all__ = ["PictureSet", "open_pictures"]


def open_pictures(path: str | os.PathLike, exclude: Collection[str | os.PathLike] = ()) -> PictureSet:
    """The pictures of a folder or a zip archive, by class; they are decoded only when they are needed.

    Classes are in natural order of their names, ``2`` before ``10``. The usual names of parts are known, in many variants
    (``train_set``, ``Validation``, ``dev``, ``holdout``). With ``train`` and ``val`` but no ``test``, ``val`` is used as the
    test part. A single folder around everything, as archives often have it, is taken as the root. Masks and labels beside
    pictures, files that are no pictures, folders of the operating system and reports of this program are left out. A zip
    archive is read in memory and never extracted.

    What was left out and what was assumed is in the set's ``findings``, and `minicnn.data.findings.findings_table` shows it.

    Parameters
    ----------
    path : str or Path
        ``~`` stands for the home folder.
    exclude : several paths
        Folders in it that are no part of the collection, such as the one that a report will be written to.

    Returns
    -------
    PictureSet

    Raises
    ------
    DataError
        Where the folder is missing, or its pictures cannot be learned from; each message says what to do.
    """
    path = Path(path).expanduser()
    try:
        if path.is_dir():
            tree = read_folder(path, [Path(folder).expanduser() for folder in exclude])
        elif path.is_file():
            tree = read_zip(path)
        else:
            raise DataError(f"{path}: there is no such folder or .zip file; check the path")
    except OSError as error:
        raise DataError(f"{error.filename or path} cannot be read: {error.strerror or error}; check its permissions") from error
    leave_out_reports(tree)
    others = dict(tree.others)
    leave_out_companions(tree)
    step_into_wrappers(tree)
    turn_class_first(tree)
    _note_others(tree, others)
    return _picture_set(tree, path)


def _picture_set(tree: Tree, path: Path) -> PictureSet:
    """The picture set that a tree describes."""
    parts = find_parts(tree)
    leave_out_unlabelled(tree, parts)
    if set(parts) == {"train"}:
        parts = {"all": parts["train"]}
        tree.findings.assumed.append("there is no part to test on: test and validation pictures are drawn at random")
    first = next(iter(parts))
    classes, spellings = _classes(tree, parts[first])
    for part in set(parts) - {first}:
        _check_part(tree, parts, part, classes, spellings)
    note_same_folders(tree, [prefix for prefixes in parts.values() for prefix in prefixes], classes)
    _say_what_is_drawn(tree, parts)
    prefixes = [(part, prefix) for part, of_part in parts.items() for prefix in of_part]
    loose = sum(tree.loose(prefix) for prefix in {(), *(prefix for _, prefix in prefixes)})
    if loose:
        tree.findings.left_out.append(f"{loose} picture(s) outside the class folders")
    number = {folded(name): k for k, name in enumerate(classes)}
    sources: list[Source] = []
    labels: list[int] = []
    used: list[Parts] = []
    rows: dict[str, list[int]] = {part: [] for part in parts}
    for part, prefix in prefixes:
        for picture, entry in tree.inside(prefix).items():
            if len(picture) > len(prefix) + 1:
                rows[part].append(len(sources))
                sources.append(entry.source)
                labels.append(number[folded(picture[len(prefix)])])
                used.append(picture)
    splits = {part: np.array(of_part, np.int64) for part, of_part in rows.items()}
    _check_counts(tree.name, classes, np.array(labels), splits)
    note_transparency(tree, used)
    name = path.stem if path.is_file() else path.resolve().name
    show, _ = printer([name])
    pictures = PictureSet(
        show(name),
        classes,
        labels,
        sources,
        splits=splits if "train" in splits else None,
        white=white_of(tree, used),
        findings=tree.findings,
        source=str(path),
    )
    _note_copies(pictures, [tree.pictures[picture].size for picture in used])
    return pictures


def _say_what_is_drawn(tree: Tree, parts: dict[str, list[Parts]]) -> None:
    """Say which parts are taken out of others. Without a test part, the validation part becomes it, in place."""
    if "train" not in parts:
        return
    train = named(["/".join(prefix) for prefix in parts["train"]])
    if "test" not in parts:
        val = named(["/".join(prefix) for prefix in parts["val"]])
        tree.findings.assumed.append(
            f"there is no test part: {val} is the test set, and validation pictures are taken out of {train}"
        )
        parts["test"] = parts.pop("val")
    elif "val" not in parts:
        tree.findings.assumed.append(f"there is no validation part: validation pictures are taken out of {train}")


# ---- classes


def _classes(tree: Tree, prefixes: list[Parts]) -> tuple[list[str], dict[str, str]]:
    """The class folders in these folders, in natural order, and the spelling of each as it is compared. Each has pictures."""
    where = "/".join((tree.name, *prefixes[0]))
    counts: Counter[str] = Counter()
    for prefix in prefixes:
        counts.update(tree.folders_with_pictures(prefix))
    loose = sum(tree.loose(prefix) for prefix in prefixes)
    if not counts and loose:
        raise DataError(
            f"{where} holds {loose} loose picture(s) and no class folders; put the pictures of each class into a folder "
            f"that bears the class's name{_left_out(tree)}"
        )
    empty = _folders_without_pictures(tree, prefixes, counts)
    if not counts:
        kinds = _kinds(tree.others.values())
        found = f"only files that are no pictures ({kinds})" if kinds else "nothing"
        hints = "".join(f"; {HINTS[kind]}" for kind in HINTS if kind in tree.others.values())
        raise DataError(f"{where} holds {found}; expected a folder for each class with its pictures inside{hints}")
    spellings: dict[str, str] = {}
    for prefix in prefixes:
        for name in tree.folders_with_pictures(prefix):
            other = spellings.setdefault(folded(name), name)
            if other != name and (*prefix, other) in tree.folders:
                raise DataError(
                    f"{where}: the class folders {other!r} and {name!r} differ only in case or in the form of their Unicode "
                    "characters, and are one folder on other systems; rename or merge them"
                )
    if empty:
        names = ", ".join(map(repr, empty))
        kinds = _kinds(kind for of_class in empty.values() for kind in of_class)
        found = f", only files of other kinds ({kinds})" if kinds else ""
        hints = [HINTS[kind] for kind in HINTS if any(kind in of_class for of_class in empty.values())]
        raise DataError(
            f"{where}: no pictures in class folder {names}{found}; {' or '.join(hints) or 'add some'} or remove the folder"
        )
    classes = sorted((unicodedata.normalize("NFC", name) for name in spellings.values()), key=natural_order)
    if len(classes) == 1:
        if PICTURES.fullmatch(folded(classes[0])):
            raise DataError(
                f"{where} holds its {counts.total()} pictures in {classes[0]!r}, without class folders; put the pictures of "
                f"each class into a folder that bears the class's name{_left_out(tree)}"
            )
        raise DataError(
            f"{where} has only one class, {classes[0]!r}; a classifier needs two at least, each in its own folder"
            f"{_left_out(tree)}"
        )
    like_parts = [name for name in classes if part_named(name)]
    if len(like_parts) > 1:
        raise DataError(
            f"{where}: {named(like_parts)} are names of parts, not of classes; put the pictures of each class into a folder "
            "that bears the class's name"
        )
    if like_parts:
        tree.findings.assumed.append(f"{named(like_parts)}: a class, although it is a usual name of a part")
    return classes, spellings


def _left_out(tree: Tree) -> str:
    """What was left out, for messages: it may be what the user means."""
    return f" (left out: {'; '.join(tree.findings.left_out)})" if tree.findings.left_out else ""


def _folders_without_pictures(tree: Tree, prefixes: list[Parts], counts: Counter[str]) -> dict[str, list[str]]:
    """Folders that may be classes whose pictures are missing or cannot be read, with the kinds of the files in them.

    A folder of other files only (code, tables) is none.
    """
    found: dict[str, list[str]] = {}
    for prefix in prefixes:
        depth = len(prefix)
        for name in tree.subfolders(prefix):
            if counts[name] or (*prefix, name) in tree.reports:
                continue
            kinds = [kind for parts, kind in tree.others.items() if parts[: depth + 1] == (*prefix, name)]
            if not kinds or any(kind in HINTS for kind in kinds):
                found[name] = kinds
    return found


def _check_part(tree: Tree, parts: dict[str, list[Parts]], part: str, classes: list[str], spellings: dict[str, str]) -> None:
    """Compare a part's class folders with those that are trained on."""
    found: dict[str, str] = {}
    for prefix in parts[part]:
        for name in tree.folders_with_pictures(prefix):
            if found.setdefault(folded(name), name) != name and (*prefix, found[folded(name)]) in tree.folders:
                raise DataError(
                    f"{'/'.join((tree.name, *prefix))}: the class folders {found[folded(name)]!r} and {name!r} differ only in "
                    "case or in the form of their Unicode characters; rename or merge them"
                )
    train, other = (named(["/".join(prefix) for prefix in parts[key]]) for key in ("train", part))
    extra = [name for key, name in found.items() if key not in spellings]
    if extra:
        missing = [name for key, name in spellings.items() if key not in found]
        also = f" ({named(missing)} only in {train})" if missing else ""
        raise DataError(
            f"{tree.name}: {other} has classes that are not in {train}, so that they cannot be learned: "
            f"{named(sorted(extra))}{also}; expected the same class folders in all parts"
        )
    missing = [name for name in classes if folded(name) not in found]
    if missing:
        tree.findings.assumed.append(f"{other} has no pictures of {named(missing)}, and is used as it is")
    different = [name for key, name in found.items() if spellings[key] != name]
    if different:
        tree.findings.assumed.append(
            f"{named(different)} in {other}: {named([spellings[folded(name)] for name in different])} in {train}, which differ "
            "only in case or in the form of their Unicode characters"
        )


def _check_counts(name: str, classes: list[str], labels: np.ndarray, splits: dict[str, np.ndarray]) -> None:
    """Every class needs enough pictures to be in every part that is still to be split off."""
    if "train" not in splits:
        needed, why, rows = 3, "one to train on, one to validate and one to test", splits["all"]
    elif "val" not in splits:
        needed, why, rows = 2, "one to train on and one to validate", splits["train"]
    else:
        return
    counts = np.bincount(labels[rows], minlength=len(classes))
    few = [f"{classes[k]!r} ({counts[k]})" for k in np.flatnonzero(counts < needed)]
    if few:
        raise DataError(
            f"{name}: too few pictures in class {', '.join(few)}; expected at least {needed} of each, {why}; "
            "add pictures or remove the class"
        )


# ---- files that are no pictures


def _kinds(kinds) -> str:
    """A few of the kinds of files."""
    return named(sorted(set(kinds)))


def _note_others(tree: Tree, others: dict[Parts, str]) -> None:
    """Say what files are not used. Kinds of pictures that cannot be read are counted, and what can be done about it is said."""
    counts = Counter(others.values())
    for kind, hint in HINTS.items():
        if counts[kind]:
            tree.findings.left_out.append(f"{counts.pop(kind)} {kind}, which cannot be read: {hint}")
    if counts.total():
        tree.findings.left_out.append(f"{counts.total()} file(s) that are no pictures ({_kinds(counts)})")


# ---- copies


def _note_copies(pictures: PictureSet, sizes: list[tuple[int, ...]]) -> None:
    """Say so if the test set contains, or may contain, training pictures. Only files of equal size are read and compared."""
    part_of = np.zeros(len(pictures), np.int64)
    for number, rows in enumerate((pictures.splits or {}).values()):
        part_of[rows] = number
    split = pictures.splits is not None
    pairs = [
        (same[0], other)
        for same in _duplicates(pictures, sizes)
        for other in same[1:]
        if not split or part_of[other] != part_of[same[0]]
    ]
    if not pairs:
        return
    examples = named([f"{pictures.file_name(a)} = {pictures.file_name(b)}" for a, b in pairs], 3)
    text = f"{len(pairs)} picture(s) in more than one part" if split else f"{len(pairs)} picture(s) that are copies of others"
    text += f" ({examples})"
    if any(pictures.labels[a] != pictures.labels[b] for a, b in pairs):
        text += ", some of them under another class"
    risk = "the test score is too good" if split else "copies may be both trained on and tested, and the test score too good"
    pictures.findings.notes.append(f"{text}: {risk}; remove the copies")


def _duplicates(pictures: PictureSet, sizes: list[tuple[int, ...]]) -> list[list[int]]:
    """Groups of pictures with the same content, each in order."""
    by_size = defaultdict(list)
    for i, size in enumerate(sizes):
        by_size[size].append(i)
    by_content = defaultdict(list)
    for same_size in by_size.values():
        for i in same_size if len(same_size) > 1 else ():
            try:
                by_content[pictures.content_hash(i)].append(i)
            except PictureError:  # `PictureSet.fitted` reports pictures that cannot be read
                continue
    return [same for same in by_content.values() if len(same) > 1 and _can_be_read(pictures, same[0])]


def _can_be_read(pictures: PictureSet, i: int) -> bool:
    """Empty files, and error pages in place of pictures, are equal too; they are left out as what they are."""
    try:
        pictures.picture(i)
    except PictureError:
        return False
    return True
