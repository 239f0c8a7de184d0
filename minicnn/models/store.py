"""A network in one HDF5 file: how it is built, its weights and statistics, its preprocessing, classes and origin.

```
(first 512 bytes)     a line of text, the seal: the SHA-256 of everything after it
/                     attributes: format_version, architecture, dtype, input_shape, written_by
/layers               JSON: for each layer by name its type and constructor arguments, containers with their layers
/preprocessing        JSON, or "null"
/classes              JSON: list of names, or "null"
/provenance           JSON: source, licence, hash, ...
/parameters/NAME      float32 or float16, e.g. block0.depthwise.conv.w; attribute: trainable
/state/NAME           float32, e.g. block0.depthwise.norm.running_mean
/novelty              where there is a novelty detector: its arrays, float32, and its numbers as attributes
```

Any HDF5 tool can look into it (``h5ls -r``); `minicnn.sealed` is about its first 512 bytes. Loading checks the seal before
anything else. Then it builds only layers of ``minicnn.layers`` and of classes that it is handed, and runs nothing else.
"""

from __future__ import annotations

import datetime
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import h5py
import numpy as np

from .. import __version__
from ..data.preprocessing import Preprocessing
from ..errors import WeightsError
from ..layers import Layer, Parameter, Sequential
from ..sealed import DamagedError, SealError, check_seal, write_sealed
from .blueprint import build, describe
from .novelty import NoveltyDetector
from .strict import fill

FORMAT_VERSION = 1
TEXTS = ("layers", "preprocessing", "classes", "provenance")
NOVELTY_ARRAYS = ("means", "directions", "variances")
NOVELTY_NUMBERS = {"rest": float, "threshold": float, "calibrated_on": int, "rejected": float}
LONGEST_TEXT = 8 << 20  # bytes; that of a network of 1,000 layers and 1,000 classes has 200,000

Network = TypeVar("Network", bound=Sequential)


# ---- writing


def write(
    path: str | os.PathLike,
    config: Mapping[str, Any],
    parameters: Mapping[str, Parameter],
    state: Mapping[str, np.ndarray],
    dtype: str = "float32",
) -> None:
    """Write a network to ``path``, an ``.h5`` file. A file that is already there is replaced in one step at the end.

    Parameters
    ----------
    path : path
        Folders on the way are made.
    config : mapping
        "layers" by name, "architecture", "input_shape", "preprocessing", "classes" and "provenance", as ``Model.config()``; and
        "novelty", a NoveltyDetector or None.
    parameters, state : mapping
        The network's, by full name.
    dtype : "float32" or "float16"
        Of the stored weights. float16 halves the file and keeps 3 significant digits; it is loaded as float32 again, and batch
        norm's statistics stay in float32.

    Raises
    ------
    ValueError
        If a layer could not be built again (see `minicnn.models.blueprint.describe`), or a weight is too large for float16.
    OSError
        If the file cannot be written (disk full, no permission). What was there before is untouched.
    """
    if dtype not in ("float32", "float16"):
        raise ValueError(f"weights are stored in 'float32' or 'float16', got {dtype!r}")
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    texts = {
        "layers": {name: describe(layer) for name, layer in config["layers"].items()},
        "preprocessing": config["preprocessing"] and config["preprocessing"].to_dict(),
        "classes": config["classes"],
        "provenance": config["provenance"] | {"saved": now},
    }

    def fill_file(file: h5py.File) -> None:
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["architecture"], file.attrs["dtype"] = config["architecture"], dtype
        file.attrs["input_shape"] = np.array(config["input_shape"], np.int64)
        file.attrs["written_by"] = f"minicnn {__version__}"
        for name, content in texts.items():
            text = json.dumps(content, ensure_ascii=True, allow_nan=False).encode()
            file.create_dataset(name, data=np.bytes_(text))
        for name, parameter in parameters.items():
            with np.errstate(over="ignore"):
                stored = parameter.value.astype(dtype)
            if np.isfinite(parameter.value).all() > np.isfinite(stored).all():
                raise ValueError(f"{name} has values of up to {np.abs(parameter.value).max():g}, too large for {dtype}")
            file.create_dataset(f"parameters/{name}", data=stored).attrs["trainable"] = parameter.trainable
        for name, array in state.items():
            file.create_dataset(f"state/{name}", data=array.astype(np.float32))
        if config["novelty"] is not None:
            _write_novelty(file.create_group("novelty"), config["novelty"])

    write_sealed(path, "model", fill_file)


def _write_novelty(group: h5py.Group, detector: NoveltyDetector) -> None:
    for name in NOVELTY_ARRAYS:
        group.create_dataset(name, data=getattr(detector, name).astype(np.float32))
    for name in NOVELTY_NUMBERS:
        group.attrs[name] = getattr(detector, name)
    group.attrs["layer"] = detector.layer


# ---- reading


def read(path: str | os.PathLike, make: Callable[..., Network], custom_layers: Iterable[type[Layer]] = ()) -> Network:
    """The network in a file that ``write`` wrote, in inference mode, with what was frozen still frozen.

    Parameters
    ----------
    path : path
    make : function (layers, architecture=, input_shape=, preprocessing=, classes=, provenance=) -> Sequential
        Makes a network of these layers and facts, as the constructor of ``Model`` does; its weights are then read into it.
    custom_layers : classes
        Of layers that are not in ``minicnn.layers``.

    Raises
    ------
    WeightsError
        If the file is not there, truncated, not such a file, or describes anything but layers of ``minicnn.layers`` and of
        ``custom_layers``.
    TypeError
        If one of these is not a class of layers.
    """
    path = os.path.expanduser(os.fspath(path))
    own = list(custom_layers)
    if wrong := [layer for layer in own if not (isinstance(layer, type) and issubclass(layer, Layer))]:
        raise TypeError(f"custom_layers is a list of classes derived from minicnn.layers.Layer, got {wrong[0]!r} in it")
    try:
        check_seal(path, "model")
    except DamagedError as error:
        raise WeightsError(f"{error}; copy or train it again") from error
    except SealError as error:
        raise WeightsError(str(error)) from error
    try:
        with h5py.File(path, "r") as file:
            return _read(file, make, {layer.__name__: layer for layer in own})
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, RecursionError, MemoryError) as error:
        raise WeightsError(f"{path} is not what minicnn saves ({str(error)[:200]}); copy or train it again") from error


def _read(file: h5py.File, make: Callable[..., Network], custom_layers: Mapping[str, type[Layer]]) -> Network:
    version = file.attrs.get("format_version")
    if version != FORMAT_VERSION:
        raise WeightsError(f"its format has version {version}, and this minicnn reads version {FORMAT_VERSION}; update minicnn")
    texts = {name: _read_json(file, name) for name in TEXTS}
    groups = {name: _datasets(file, name) for name in ("parameters", "state")}
    stored = {name: dataset for group in groups.values() for name, dataset in group.items()}
    detector = _datasets(file, "novelty") if "novelty" in file else {}
    if sum(dataset.nbytes for dataset in [*stored.values(), *detector.values()]) > file.id.get_filesize():
        raise WeightsError("it describes more weights than it has bytes")
    if not isinstance(texts["layers"], dict):
        raise WeightsError("its layers are not given by name")

    shapes = {name: dataset.shape for name, dataset in stored.items()}
    network = make(
        {name: build(description, shapes, name, custom_layers) for name, description in texts["layers"].items()},
        architecture=_text(file.attrs["architecture"]),
        input_shape=_input_shape(file.attrs["input_shape"]),
        preprocessing=None if texts["preprocessing"] is None else Preprocessing.from_dict(texts["preprocessing"]),
        classes=texts["classes"],
        provenance=texts["provenance"],
    )
    fill(network, stored, "the file")
    for name, parameter in network.parameters().items():
        parameter.trainable = bool(groups["parameters"][name].attrs["trainable"])
    network.eval()
    if "novelty" in file:
        network.novelty = _read_novelty(file, network)
    return network


def _read_novelty(file: h5py.File, network: Sequential) -> NoveltyDetector:
    arrays, attributes = _datasets(file, "novelty"), file["novelty"].attrs
    if sorted(arrays) != sorted(NOVELTY_ARRAYS):
        raise WeightsError(f"its novelty detector has {', '.join(sorted(arrays))}, not {', '.join(NOVELTY_ARRAYS)}")
    layer = _text(attributes["layer"])
    lower, _ = network.split(layer)
    code = lower.output_shape((1, *network.input_shape))
    detector = NoveltyDetector(
        layer=layer,
        **{name: np.asarray(array[()], np.float32) for name, array in arrays.items()},
        **{name: kind(attributes[name]) for name, kind in NOVELTY_NUMBERS.items()},
    )
    if detector.means.shape[1] != (code[1] if len(code) == 4 else math.prod(code)):
        raise WeightsError(
            f"its novelty detector is for codes of {detector.means.shape[1]} numbers, and {layer!r} gives {code}"
        )
    return detector


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _input_shape(values: Any) -> tuple[int, ...]:
    shape = tuple(int(value) for value in values)
    if len(shape) != 3 or not all(0 < value <= 1 << 16 for value in shape):
        raise WeightsError(f"its input shape, {shape}, is not (C, H, W)")
    return shape


def _item(group: h5py.Group, name: str, expected: type) -> Any:
    """What is in the group under this name, and in this very file: links to elsewhere are not followed."""
    link = group.get(name, getlink=True)
    if link is None:
        raise WeightsError(f"it has no {name!r}")
    if not isinstance(link, h5py.HardLink):
        raise WeightsError(f"{name!r} is a link to something outside, which is not followed")
    item = group[name]
    if not isinstance(item, expected):
        raise WeightsError(f"{name!r} is a {type(item).__name__.lower()}, not a {expected.__name__.lower()}")
    if expected is h5py.Dataset and (
        item.is_virtual or item.external or item.chunks or item.id.get_storage_size() != item.nbytes
    ):
        raise WeightsError(f"{name!r} does not have its numbers in one piece in this file, as save_model writes them")
    return item


def _read_json(file: h5py.File, name: str) -> Any:
    dataset = _item(file, name, h5py.Dataset)
    if dataset.dtype.kind != "S" or dataset.shape != () or dataset.nbytes > LONGEST_TEXT:
        raise WeightsError(f"{name!r} is not a text of at most {LONGEST_TEXT} bytes")
    return json.loads(bytes(dataset[()]).decode())


def _datasets(file: h5py.File, group_name: str) -> dict[str, h5py.Dataset]:
    """The arrays of a group by name; a network without batch norm has no group of states."""
    if group_name not in file and group_name == "state":
        return {}
    group = _item(file, group_name, h5py.Group)
    datasets = {name: _item(group, name, h5py.Dataset) for name in group}
    for name, dataset in datasets.items():
        if dataset.dtype not in (np.float16, np.float32) or math.prod(dataset.shape) == 0:
            raise WeightsError(f"{name!r} is {dataset.dtype} {dataset.shape}, not an array of float16 or float32")
    return datasets
