"""``minicnn explore``: a model file and pictures become a page."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..data.findings import findings_table
from ..data.folders import open_pictures
from ..data.picture_set import PictureSet
from ..data.preprocessing import Preprocessing
from ..errors import DataError, PictureError
from ..models.predict import check_target, expand_patterns, find_pictures
from ..pretrained import load
from ..text import counted, named
from .content import explore
from .live import NAMES, live_page

MARK = b"<!-- made by minicnn explore -->"  # in the first lines of a page, which may be replaced


def run(arguments: argparse.Namespace, log: Callable[[str], None] = print) -> int:
    out = arguments.out or Path("explore.html")
    _check_page(out)
    model = load(arguments.model)
    before = load(arguments.before) if arguments.before else None
    preprocessing = model.required_preprocessing()
    given: dict[str, Any] = {}
    if arguments.data:
        _, collection = open_pictures(arguments.data).fitted(preprocessing)  # without those that cannot be read
        log(findings_table(collection))
        if strangers := [name for name in collection.classes if name not in (model.classes or ())]:
            log(f"note: the network has no class {named(strangers)}; of pictures with these the page knows no mistakes")
        pictures, given["training"] = (collection, collection) if arguments.pictures else parts(collection)
    if arguments.pictures:
        pictures, given["names"] = read_named(arguments.pictures, preprocessing, log)
    about = collection.name if arguments.data else counted(len(pictures), "picture")
    title = arguments.title or f"{model.architecture} on {about}"
    page = explore(model, pictures, before=before, most=arguments.most, title=title, log=log, **given)
    path = page.save(out)
    log(f"{path}: {path.stat().st_size / 1e6:.1f} MB; open it in a browser")
    return 0


def run_live(arguments: argparse.Namespace, log: Callable[[str], None] = print) -> int:
    """A page to play with, which takes no model and no pictures. Raises ValueError if some are given."""
    if arguments.model or arguments.pictures or arguments.data or arguments.before or arguments.title:
        raise ValueError("--live makes a page of its own: give it a model, pictures and a title, or --live, not both")
    page = live_page(arguments.live)
    out = arguments.out or Path(f"{arguments.live}.html")
    _check_page(out)
    log(f"{page.save(out)}: {NAMES[arguments.live]}; open it in a browser")
    return 0


def parts(collection: PictureSet) -> tuple[PictureSet, PictureSet]:
    """The pictures that are explored, and those that the network was trained on; of a collection without parts, all and all."""
    splits = collection.splits
    if splits is None:
        return collection, collection
    fitted = np.concatenate([splits["train"], splits.get("val", np.empty(0, np.int64))])
    return collection.subset(splits["test"]), collection.subset(fitted)


def read_named(words: list[str], preprocessing: Preprocessing, log: Callable[[str], None]) -> tuple[np.ndarray, list[str]]:
    """Pixels and names of files, folders, archives and patterns as `minicnn predict` takes them; names without the way to them.

    Raises
    ------
    DataError
        If none of them can be read.
    """
    pixels, names, errors = [], [], []
    sources = find_pictures(expand_patterns(words), log)
    for source in tqdm(sources, "reading pictures", delay=2, leave=False):
        try:
            fitted = preprocessing.fit_picture(source.read(), name=source.name)
        except PictureError as error:
            errors.append(str(error))
            continue
        pixels.append(fitted)
        names.append(Path(source.name).name)
    if not pixels:
        raise DataError(f"none of {counted(len(sources), 'picture')} can be read: {named(errors, 3)}")
    for error in errors:
        log(f"left out: {error}")
    return np.stack(pixels), names


def _check_page(path: Path) -> None:
    """Refuse to replace what is no page of this command, before anything is computed. Raises DataError."""
    check_target(path, "page of minicnn explore", lambda beginning: MARK in beginning)
