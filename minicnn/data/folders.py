"""Opening a folder (or a .zip) of pictures with one folder for each class, already split into parts or not.

    FOLDER/<class>/*                       to be split later, at random
    FOLDER/{train,val,test}/<class>/*      used as given

Pictures may lie at any depth below their class. Hidden files, and files that operating systems create, are ignored.
"""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from ..errors import DataError, PictureError
from .picture_set import PictureSet, Source
from .trees import Tree, read_folder, read_zip

__all__ = ["PictureSet", "open_pictures"]

PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def open_pictures(path: str | os.PathLike) -> PictureSet:
    """The pictures of a folder or a zip archive, by class; they are decoded only when they are needed.

    Classes are sorted by name. With ``train`` and ``val`` but no ``test``, ``val`` is used as the test part. A single folder
    around everything, as archives often have it, is taken as the root. A zip archive is read in memory and never extracted.

    Parameters
    ----------
    path : str or Path
        ``~`` stands for the home folder.

    Returns
    -------
    PictureSet

    Raises
    ------
    DataError
        Where the folder is missing, or its pictures cannot be learned from; each message says what to do.

    Warns
    -----
    UserWarning
        If identical pictures are in several parts, or occur more than once in a set that is yet to be split.
    """
    path = Path(path).expanduser()
    try:
        if path.is_dir():
            tree = read_folder(path)
        elif path.is_file():
            tree = read_zip(path)
        else:
            raise DataError(f"{path}: there is no such folder or .zip file; check the path")
    except OSError as error:
        raise DataError(f"{error.filename or path} cannot be read: {error.strerror or error}; check its permissions") from error
    tree.step_into_wrapper()
    pictures = _picture_set(tree, path)
    _warn_of_duplicates(pictures, tree.sizes)
    return pictures


def _picture_set(tree: Tree, path: Path) -> PictureSet:
    """The picture set that a tree describes."""
    prefixes = _part_folders(tree) or {"all": ()}
    classes_by_part = {part: _class_folders(tree, prefix) for part, prefix in prefixes.items()}
    classes = next(iter(classes_by_part.values()))
    for part, classes_of_part in classes_by_part.items():
        if classes_of_part != classes:
            raise DataError(_different_classes(tree.name, prefixes, part, set(classes), set(classes_of_part)))
    notes = [*tree.notes, *_notes_on_ignored(tree, prefixes)]
    if "train" in prefixes:
        train = "/".join(prefixes["train"])
        if "test" not in prefixes:
            val = "/".join(prefixes["val"])
            notes.append(f"there is no test part: {val} is the test set, and validation pictures are taken out of {train}")
            prefixes["test"] = prefixes.pop("val")
        elif "val" not in prefixes:
            notes.append(f"there is no validation part: validation pictures are taken out of {train}")
    sources: list[Source] = []
    labels: list[int] = []
    splits: dict[str, np.ndarray] = {}
    for part, prefix in prefixes.items():
        rows = {parts: source for parts, source in tree.inside(prefix).items() if len(parts) > len(prefix) + 1}
        splits[part] = np.arange(len(sources), len(sources) + len(rows))
        sources += rows.values()
        labels += [classes.index(parts[len(prefix)]) for parts in rows]
    _check_counts(tree.name, classes, np.array(labels), splits)
    return PictureSet(
        path.stem if path.is_file() else path.resolve().name,
        classes,
        labels,
        sources,
        splits=splits if "train" in splits else None,
        notes=notes,
        source=str(path),
    )


def _part_folders(tree: Tree) -> dict[str, tuple[str, ...]]:
    """The folder of each part, train first; an empty dict where the tree is not split.

    ``train`` without ``val`` and ``test`` beside it is a class like any other (of vehicles, say).
    """
    found: dict[str, list[str]] = defaultdict(list)
    for top in tree.top():
        if top.lower() in PARTS:
            found[PARTS[top.lower()]].append(top)
    if len(found) < 2:
        return {}
    if "train" not in found:
        raise DataError(f"{tree.name} has {' and '.join(sorted(found))} folders but no train folder to learn from; add it")
    for part, tops in found.items():
        if len(tops) > 1:
            raise DataError(f"{tree.name} has several folders for the {part} part ({', '.join(tops)}); keep one of them")
    return {part: (found[part][0],) for part in ("train", "val", "test") if part in found}


def _class_folders(tree: Tree, prefix: tuple[str, ...]) -> list[str]:
    """The names of the class folders in a folder, sorted. Each must contain pictures."""
    where = "/".join((tree.name, *prefix))
    classes = sorted(parts[-1] for parts in tree.folders if len(parts) == len(prefix) + 1 and parts[:-1] == prefix)
    inside = tree.inside(prefix)
    if not inside:
        found = f"only files that are no pictures ({_suffixes(tree.others)})" if tree.others else "nothing"
        raise DataError(f"{where} holds {found}; expected a folder for each class with its pictures inside")
    if not classes:
        raise DataError(
            f"{where} holds {len(inside)} loose picture(s) and no class folders; put the pictures of each class into a folder "
            "that bears the class's name"
        )
    folded = defaultdict(list)
    for name in classes:
        folded[unicodedata.normalize("NFC", name).casefold()].append(name)
    for names in folded.values():
        if len(names) > 1:
            raise DataError(
                f"{where}: the class folders {' and '.join(map(repr, names))} differ only in case, and are one folder on other "
                "systems; rename or merge them"
            )
    counts = Counter(parts[len(prefix)] for parts in inside if len(parts) > len(prefix) + 1)
    empty = [name for name in classes if not counts[name]]
    if empty:
        others = [parts for parts in tree.others if parts[: len(prefix)] == prefix and parts[len(prefix)] in empty]
        found = f", only files of other kinds ({_suffixes(others)})" if others else ""
        raise DataError(
            f"{where}: no pictures in class folder {', '.join(map(repr, empty))}{found}; add some or remove the folder"
        )
    if len(classes) == 1:
        raise DataError(f"{where} has only one class, {classes[0]!r}; a classifier needs two at least, each in its own folder")
    return classes


def _different_classes(
    name: str, prefixes: dict[str, tuple[str, ...]], part: str, train_classes: set[str], part_classes: set[str]
) -> str:
    """The error message for a part whose classes are not those of the training part."""
    train, other = ("/".join(prefixes[key]) for key in ("train", part))
    missing = ((train, train_classes - part_classes), (other, part_classes - train_classes))
    found = "; ".join(f"{', '.join(sorted(classes))} only in {folder}" for folder, classes in missing if classes)
    return f"{name}: {train} and {other} have different classes ({found}); expected the same class folders in all parts"


def _check_counts(name: str, classes: list[str], labels: np.ndarray, splits: dict[str, np.ndarray]) -> None:
    """Every class needs enough pictures to be in every part, including the parts that are still to be split off."""
    if "train" not in splits:
        needed, why, rows = 3, "one to train on, one to validate and one to test", splits["all"]
    elif "val" not in splits:
        needed, why, rows = 2, "one to train on and one to validate", splits["train"]
    else:
        return
    counts = np.bincount(labels[rows], minlength=len(classes))
    few = [f"{classes[k]!r} has {counts[k]}" for k in np.flatnonzero(counts < needed)]
    if few:
        raise DataError(
            f"{name}: too few pictures in class {', '.join(few)}; expected at least {needed} of each, {why}; "
            "add pictures or remove the class"
        )


def _suffixes(files: list[tuple[str, ...]]) -> str:
    """A few of the suffixes of these files (or their names, where they have no suffix)."""
    suffixes = sorted({PurePosixPath(parts[-1]).suffix.lower() or parts[-1] for parts in files})
    return ", ".join(suffixes[:5]) + (", ..." if len(suffixes) > 5 else "")


def _notes_on_ignored(tree: Tree, prefixes: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """Notes on files that are not used."""
    if tree.others:
        yield f"{len(tree.others)} file(s) that are no pictures were ignored ({_suffixes(tree.others)})"
    loose = sum(len(parts) <= len(prefix) + 1 for prefix in prefixes.values() for parts in tree.inside(prefix))
    if loose:
        yield f"{loose} picture(s) outside the class folders were ignored"
    if "train" in prefixes:
        beside = sorted({parts[0] for parts in tree.pictures} - {prefix[0] for prefix in prefixes.values()})
        if beside:
            yield f"not part of the split and ignored: {', '.join(beside[:5])}{', ...' if len(beside) > 5 else ''}"


# ---- duplicates


def _warn_of_duplicates(pictures: PictureSet, sizes: dict[str, tuple]) -> None:
    """Warn if the test set contains, or may contain, training pictures. Only files of equal size are read and compared."""
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
    examples = ", ".join(f"{pictures.file_name(a)} = {pictures.file_name(b)}" for a, b in pairs[:3])
    text = f"{len(pairs)} picture(s) in more than one part" if split else f"{len(pairs)} picture(s) that are copies of others"
    text += f" ({examples}{', ...' if len(pairs) > 3 else ''})"
    if any(pictures.labels[a] != pictures.labels[b] for a, b in pairs):
        text += ", some of them under another class"
    risk = "the test score is too good" if split else "copies may be both trained on and tested, and the test score too good"
    pictures.notes.append(f"{text}: {risk}")
    warnings.warn(f"{pictures.name}: {text}: {risk}; remove the copies", stacklevel=3)


def _duplicates(pictures: PictureSet, sizes: dict[str, tuple]) -> list[list[int]]:
    """Groups of pictures with the same content, each in order."""
    by_size = defaultdict(list)
    for i in range(len(pictures)):
        by_size[sizes[pictures.file_name(i)]].append(i)
    by_content = defaultdict(list)
    for same_size in by_size.values():
        for i in same_size if len(same_size) > 1 else ():
            try:
                by_content[pictures.content_hash(i)].append(i)
            except PictureError:  # `PictureSet.fitted` reports pictures that cannot be read
                continue
    return [same for same in by_content.values() if len(same) > 1]
