"""Anyone's pictures: a folder (or a .zip) with one folder for each class, split into parts already or not.

    FOLDER/<class>/*                       split later, at random
    FOLDER/{train,val,test}/<class>/*      used as given

Pictures may lie at any depth below their class. Hidden files and what operating systems leave behind are passed over.
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
    """The pictures of a folder or a zip archive, by class; they are not decoded before they are wanted.

    Classes are sorted by name. With ``train`` and ``val`` but no ``test``, ``val`` plays the test part. One folder around
    everything, as archives often have it, is stepped into. A zip archive is read in memory and never extracted.

    Parameters
    ----------
    path : str or Path
        ``~`` stands for the home folder.

    Raises
    ------
    DataError
        Where there is nothing to learn from; each message says what to do.

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
    pictures = _set_of(tree, path)
    _warn_of_copies(pictures, tree.sizes)
    return pictures


def _set_of(tree: Tree, path: Path) -> PictureSet:
    """The picture set that a tree describes."""
    prefixes = _parts_of(tree) or {"all": ()}
    by_part = {part: _classes_of(tree, prefix) for part, prefix in prefixes.items()}
    classes = next(iter(by_part.values()))
    for part, theirs in by_part.items():
        if theirs != classes:
            raise DataError(_differ(tree.name, prefixes, part, set(classes), set(theirs)))
    notes = [*tree.notes, *_ignored(tree, prefixes)]
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


def _parts_of(tree: Tree) -> dict[str, tuple[str, ...]]:
    """The folder of each part, train first, or nothing where the tree is not split.

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


def _classes_of(tree: Tree, prefix: tuple[str, ...]) -> list[str]:
    """The names of the class folders in a folder, sorted, each with pictures in it."""
    where = "/".join((tree.name, *prefix))
    classes = sorted(parts[-1] for parts in tree.folders if len(parts) == len(prefix) + 1 and parts[:-1] == prefix)
    inside = tree.inside(prefix)
    if not inside:
        found = f"only files that are no pictures ({_kinds(tree.others)})" if tree.others else "nothing"
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
        found = f", only files of other kinds ({_kinds(others)})" if others else ""
        raise DataError(
            f"{where}: no pictures in class folder {', '.join(map(repr, empty))}{found}; add some or remove the folder"
        )
    if len(classes) == 1:
        raise DataError(f"{where} has only one class, {classes[0]!r}; a classifier needs two at least, each in its own folder")
    return classes


def _differ(name: str, prefixes: dict[str, tuple[str, ...]], part: str, classes: set[str], theirs: set[str]) -> str:
    """The sentence for parts of a split with different classes."""
    train, other = ("/".join(prefixes[key]) for key in ("train", part))
    found = [f"{', '.join(sorted(lacking))} only in {where}"
             for where, lacking in ((train, classes - theirs), (other, theirs - classes)) if lacking]  # fmt: skip
    return (
        f"{name}: {train} and {other} have different classes ({'; '.join(found)}); expected the same class folders in all parts"
    )


def _check_counts(name: str, classes: list[str], labels: np.ndarray, splits: dict[str, np.ndarray]) -> None:
    """Every class must be able to be in every part of the split, the parts that are still to be made included."""
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


def _kinds(files: list[tuple[str, ...]]) -> str:
    """A few of the suffixes (or names, without one) of files."""
    kinds = sorted({PurePosixPath(parts[-1]).suffix.lower() or parts[-1] for parts in files})
    return ", ".join(kinds[:5]) + (", ..." if len(kinds) > 5 else "")


def _ignored(tree: Tree, prefixes: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """Notes on what is there and not used."""
    if tree.others:
        yield f"{len(tree.others)} file(s) that are no pictures were ignored ({_kinds(tree.others)})"
    loose = sum(len(parts) <= len(prefix) + 1 for prefix in prefixes.values() for parts in tree.inside(prefix))
    if loose:
        yield f"{loose} picture(s) outside the class folders were ignored"
    if "train" in prefixes:
        beside = sorted({parts[0] for parts in tree.pictures} - {prefix[0] for prefix in prefixes.values()})
        if beside:
            yield f"not part of the split and ignored: {', '.join(beside[:5])}{', ...' if len(beside) > 5 else ''}"


# ---- copies


def _warn_of_copies(pictures: PictureSet, sizes: dict[str, tuple]) -> None:
    """Say so if the test set will contain what was trained on. Only files of equal size are read and compared."""
    part_of = np.zeros(len(pictures), np.int64)
    for number, rows in enumerate((pictures.splits or {}).values()):
        part_of[rows] = number
    split = pictures.splits is not None
    pairs = [
        (same[0], other)
        for same in _identical(pictures, sizes)
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


def _identical(pictures: PictureSet, sizes: dict[str, tuple]) -> list[list[int]]:
    """Groups of pictures with the same content, each in order."""
    by_size = defaultdict(list)
    for i in range(len(pictures)):
        by_size[sizes[pictures.file_name(i)]].append(i)
    by_content = defaultdict(list)
    for same_size in by_size.values():
        for i in same_size if len(same_size) > 1 else ():
            try:
                by_content[pictures.content_hash(i)].append(i)
            except PictureError:  # `fitted` tells of what cannot be read
                continue
    return [same for same in by_content.values() if len(same) > 1]
