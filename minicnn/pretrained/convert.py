"""From other people's files of weights to networks of ours."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.preprocessing import Preprocessing
from ..errors import WeightsError
from ..models import ARCHITECTURES, Model
from ..models.columns import aligned
from ..models.hashes import sha256_of
from ..models.strict import Differences, fill
from .matching import Match
from .names import SOURCES, Source, family_of
from .names.base import Table
from .readers import read_weights


@dataclass(frozen=True)
class Row:
    """Where one array of the network comes from.

    Attributes
    ----------
    theirs : dict from name to shape
        The arrays in the file; empty if it has none for this.
    ours : str
    shape : tuple of int
        Of ours.
    change : str
        What was done to theirs, in words; empty if nothing.
    fits : bool
        Whether it was loaded.
    """

    theirs: dict[str, tuple[int, ...]]
    ours: str
    shape: tuple[int, ...]
    change: str
    fits: bool


@dataclass(frozen=True)
class Mapped:
    """The record of a conversion, one row for each array of the network; ``str()`` makes a table of it.

    Attributes
    ----------
    source : str
        Whose names the file has: "torchvision", "keras" or "caffe".
    rows : list of Row
    differences : Differences
        What did not fit; empty unless the conversion was partial.
    left_out : dict from name to shape
        Arrays of the file that no computation here uses.
    """

    source: str
    rows: list[Row]
    differences: Differences
    left_out: dict[str, tuple[int, ...]]

    def __str__(self) -> str:
        lines = []
        for row in self.rows:
            theirs = " + ".join(f"{name} {shape}" for name, shape in row.theirs.items()) or "(nothing)"
            ours = f"{row.ours} {row.shape}"
            lines.append((theirs, "->", ours, row.change) if row.fits else (theirs, "", ours, "NOT LOADED"))
        text = aligned(lines, gap=" ")
        if self.left_out:
            first_few = ", ".join(list(self.left_out)[:3])
            text.append(f"{len(self.left_out)} arrays of the file are left out, as nothing here uses them: {first_few}, ...")
        for difference, names in self.differences.lists().items():
            text += [f"{difference}:", *(f"  {name}" for name in names)] if names else []
        return "\n".join(text)


def convert(
    file: str | os.PathLike,
    architecture: str,
    source: str | None = None,
    partial: bool = False,
    classes: int | Sequence[str] | None = None,
    rng: np.random.Generator | int | None = 0,
    **build: Any,
) -> tuple[Model, Mapped]:
    """A network of ours with the weights of a file of PyTorch, Keras, Caffe, ONNX, safetensors or NumPy.

    Arrays are found by the names that the source gives to the layers of this architecture, and brought into our layout. What
    else the scores depend on is set as the source has it: how pictures are prepared, padding, strides, the eps of batch norms.

    Parameters
    ----------
    file : path
    architecture : str
        One of ``minicnn.models.ARCHITECTURES``, e.g. "resnet50". Where a source has a form of its own ("alexnet" of
        torchvision), the model gets that form.
    source : "torchvision", "keras" or "caffe", optional
        Whose names the file has. By default the one whose names fit best.
    partial : bool
        Load what fits, and list what does not; the rest keeps its random start.
    classes : int or sequence of str, optional
        How many classes, or their names. By default as many as the file's classifier has; if it has no classifier, the model
        has none either (``include_top=False``).
    rng : None, int or numpy.random.Generator
        For the random start of what a partial conversion leaves.
    build
        Further arguments of the architecture, e.g. ``input_shape=(3, 65, 97)`` for a VGG that was made for such pictures: found
        from the weights if the pictures were square.

    Returns
    -------
    model : Model
        In inference mode.
    mapped : Mapped
        What came from where.

    Raises
    ------
    WeightsError
        If the file cannot be read, or does not fit the architecture; missing, unexpected and misshapen arrays are listed.
    """
    if architecture not in ARCHITECTURES:
        raise WeightsError(f"there is no architecture {architecture!r}; known are {', '.join(ARCHITECTURES)}")
    if source is not None and source not in SOURCES:
        raise WeightsError(f"there is no source {source!r} of names; known are {', '.join(SOURCES)}")
    arrays = read_weights(file)
    model, mapped = convert_arrays(arrays, os.fspath(file), architecture, source, partial, classes, rng, **build)
    model.provenance |= {
        "source": f"{Path(file).name}, in the names of {mapped.source}",
        "source_file": Path(file).name,
        "source_sha256": sha256_of(file),
    }
    return model, mapped


def convert_arrays(
    arrays: Mapping[str, np.ndarray],
    file: str,
    architecture: str,
    source: str | None = None,
    partial: bool = False,
    classes: int | Sequence[str] | None = None,
    rng: np.random.Generator | int | None = 0,
    **build: Any,
) -> tuple[Model, Mapped]:
    """``convert`` for arrays that have been read; ``file`` says where they come from, for error messages."""
    chosen = SOURCES[source] if source else _guess(arrays, file, architecture)
    form, table = _form(chosen, architecture)
    if table is None:
        raise WeightsError(
            f"the names that {chosen.name} gives to {architecture} are not known; of {chosen.name} known are "
            f"{', '.join(convertible(chosen))}"
        )
    names = None if classes is None or isinstance(classes, (int, np.integer)) else [str(name) for name in classes]
    if classes is not None:
        build["num_classes"] = int(classes) if names is None else len(names)
    model = _network(form, arrays, chosen, table, build, rng if partial else NoRandomness())

    match = Match(model, arrays, chosen, table)
    if not match.used:
        raise WeightsError(
            f"{file} has none of the names that {chosen.name} gives to the layers of {architecture}; it has "
            f"{_first_few(arrays)}. Is it of another architecture, or of another source?"
        )
    made = {name: match.make(name) for name in match.used}
    left_out = {name: array for name, array in match.unused.items() if re.fullmatch(chosen.ignored, name)}
    unexpected = {
        f"{name} (theirs)" if name in match.targets else name: array  # not to be mistaken for one of ours
        for name, array in match.unused.items()
        if name not in left_out
    }
    try:
        differences = fill(model, made | unexpected, file, partial, match.foreign_names)
    except WeightsError as error:
        raise WeightsError(f"{error}{_hint_about_folding(arrays)}") from error
    rows = [
        Row(
            theirs={theirs: tuple(arrays[theirs].shape) for theirs in match.used.get(name, ())},
            ours=name,
            shape=match.shape(name),
            change=match.change(name),
            fits=name in made and name not in differences.unlike,
        )
        for name in match.targets
    ]
    model.seed(np.random.default_rng(rng))  # dropout's; so far it had that of NoRandomness
    model.classes = names
    model.eval()
    return model, Mapped(chosen.name, rows, differences, {name: tuple(array.shape) for name, array in left_out.items()})


def _hint_about_folding(arrays: Mapping[str, np.ndarray]) -> str:
    """A sentence for an error: arrays called "onnx::..." were computed by PyTorch's exporter, not trained."""
    nameless = {name: array for name, array in arrays.items() if name.startswith("onnx::")}
    if not nameless:
        return ""
    return (
        f" Some arrays have no names of their own ({_first_few(nameless)}): whoever exported the file had batch norms folded "
        "into the convolutions before them. Export the network again with training=torch.onnx.TrainingMode.PRESERVE and "
        "do_constant_folding=False, or convert its state_dict."
    )


def foreign_names(model: Model, source: str) -> dict[str, str]:
    """What a source calls each array of a network of ours; where it has several for one of ours, the first.

    >>> from minicnn.models import resnet20
    >>> foreign_names(resnet20(), "torchvision")["conv2_1.sum.body.conv1.norm.gamma"]
    'layer1.0.bn1.weight'
    """
    table = SOURCES[source].tables.get(family_of(model.architecture) or "")
    if table is None:
        raise ValueError(f"the names that {source} gives to {model.architecture} are not known")
    return Match(model, {}, SOURCES[source], table).foreign_names


def convertible(*sources: Source) -> list[str]:
    """The architectures for which the names of a source are known: of those given, or of any."""
    return [name for name in ARCHITECTURES if any(_form(source, name)[1] for source in sources or SOURCES.values())]


# ---- which source, and which form of the architecture


def _form(source: Source, architecture: str) -> tuple[str, Table | None]:
    """Our architecture for what a source calls by this name, and the table of its names, if there is one."""
    form = source.forms.get(architecture, architecture)
    return form, source.tables.get(family_of(form) or "")


def _guess(arrays: Mapping[str, np.ndarray], file: str, architecture: str) -> Source:
    """The source in whose layout, or at least in whose names, most arrays fit."""
    fitting = {}
    for source in SOURCES.values():
        form, table = _form(source, architecture)
        if table is not None:
            match = Match(ARCHITECTURES[form](rng=NoRandomness()), arrays, source, table)
            fitting[source.name] = match.fitting(), len(match.used)
    if not fitting:
        raise WeightsError(f"nobody else's names are known for {architecture}; known they are for {', '.join(convertible())}")
    best = max(fitting, key=fitting.__getitem__)
    if not any(fitting[best]):
        raise WeightsError(
            f"{file} does not look like {architecture} in the names of {' or '.join(fitting)}; it has {_first_few(arrays)}. "
            "Is it of another architecture?"
        )
    return SOURCES[best]


def _first_few(arrays: Mapping[str, np.ndarray]) -> str:
    """Names and shapes of the first few arrays, for error messages."""
    first = [f"{name} {tuple(array.shape)}" for name, array in list(arrays.items())[:5]]
    return ", ".join(first) + (f" and {len(arrays) - 5} more" if len(arrays) > 5 else "")


# ---- the network around the arrays


def _network(
    form: str,
    arrays: Mapping[str, np.ndarray],
    source: Source,
    table: Table,
    build: dict[str, Any],
    rng: np.random.Generator | int | None,
) -> Model:
    """The network that the arrays are for: as large as they are, in the form and with the preprocessing of their source."""
    constructor, family = ARCHITECTURES[form], family_of(form)
    takes = inspect.signature(constructor).parameters
    if wrong := [name for name in build if name not in takes]:
        raise WeightsError(f"{form} has no {', '.join(wrong)}; it takes {', '.join(takes)}")
    if "aux" in takes:  # auxiliary heads run in training only
        build = {"aux": False} | build
    model = constructor(**build, rng=NoRandomness())
    other = Match(model, arrays, source, table).other_sizes(model, takes)
    if "num_classes" in build:  # then a classifier is wanted, whether the file has one or not
        other.pop("include_top", None)
    build = other | build
    if other or not isinstance(rng, NoRandomness):
        model = constructor(**build, rng=rng)
    if family in source.changes:
        source.changes[family](model)
        model.provenance["form"] = f"changed from the usual {form} to that of {source.name}"
    model.preprocessing = source.preprocessing_of(form)
    if "input_shape" in build:
        model.preprocessing = _sized(model.preprocessing, model.input_shape[1:])
    model.input_shape = (model.input_shape[0], *model.preprocessing.size)
    return model


def _sized(preprocessing: Preprocessing, size: tuple[int, int]) -> Preprocessing:
    """The same for pictures of another size, with a margin around the crop in the same proportion."""
    resize = preprocessing.resize and max(round(preprocessing.resize * min(size) / min(preprocessing.size)), *size)
    return replace(preprocessing, size=size, resize=resize)


class NoRandomness(np.random.Generator):
    """In the place of the random start of a network whose weights are read from a file anyway: all zeros, in no time."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        return np.broadcast_to(np.zeros((), dtype), size)
