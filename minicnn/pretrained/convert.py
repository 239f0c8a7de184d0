"""From other people's files of weights to networks of ours."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import WeightsError
from ..hashes import sha256_of
from ..models import ARCHITECTURES, Model
from ..models.strict import Differences, arrays_of, fill
from ..text import named
from .alternatives import LEAST_SHARE, better_architecture
from .export_metadata import check_architecture, describes_model, model_of
from .keras_form import READ_FROM_FILE, adapt, described
from .matching import Match
from .misfits import explanation
from .names import SOURCES, Source, family_of
from .nearest import did_you_mean, known_as
from .network import network_for
from .readers import read_weights
from .record import Mapped, Row
from .untrained import NoRandomness, convertible, expected_names, form_of, untrained
from .wrapping import OUTSIDE, Wrapped, is_helper, is_statistic, unwrap

RESTORED = "minicnn exported the file: layers, classes and preprocessing are those of the model that it was made of."


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
    A file of `minicnn.pretrained.export.export` becomes the model that it was made of, with its classes and preprocessing.
    Wherever in a checkpoint the network is, and whatever its names begin with, it is found; a classifier of one or more fully
    connected layers that was put on it is built. What was found, chosen and assumed is in ``Mapped.notes``.

    Parameters
    ----------
    file : path
    architecture : str
        One of ``minicnn.models.ARCHITECTURES``, e.g. "resnet50"; "ResNet-50" is the same. Where a source has a form of its own
        ("alexnet" of torchvision), the model gets that form.
    source : str, optional
        Whose names the file has: "torchvision", "timm", "tonylins", "keras", "keras_old" or "caffe". By default the one whose
        names fit best.
    partial : bool
        Load what fits, and list what does not; the rest keeps its random start. At least half of the arrays must fit.
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
    wanted, architecture = architecture, known_as(architecture, ARCHITECTURES) or ""
    if not architecture:
        raise WeightsError(
            f"there is no architecture {wanted!r}; known are {', '.join(ARCHITECTURES)}.{did_you_mean(wanted, ARCHITECTURES)}"
        )
    if source is not None and source not in SOURCES:
        raise WeightsError(f"there is no source {source!r} of names; known are {', '.join(SOURCES)}")
    arrays = read_weights(file)
    exported = describes_model(metadata := getattr(arrays, "metadata", {}))
    if exported and source is None and not partial and not build:
        check_architecture(metadata, {form_of(each, architecture)[0] for each in SOURCES.values()}, os.fspath(file))
        return _restored(arrays, metadata, os.fspath(file), classes)
    model, mapped = convert_arrays(arrays, os.fspath(file), architecture, source, partial, classes, rng, **build)
    if exported:
        mapped.notes.append(
            f"{metadata['written_by']} exported the file, with classes, preprocessing and the form of each layer in it; these "
            "were not used, as a source, a size or a partial conversion was asked for."
        )
    model.provenance |= {
        "source": f"{Path(file).name}, in the names of {mapped.source}",
        "source_file": Path(file).name,
        "source_sha256": sha256_of(file),
    }
    return model, mapped


def _restored(
    arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str], file: str, classes: int | Sequence[str] | None
) -> tuple[Model, Mapped]:
    """``convert`` for a file that minicnn exported, in which the whole model is."""
    model, names = model_of(arrays, metadata, file)
    number, class_names = _number_and_names(classes)
    scores = model.output_shape((1, *model.input_shape))[1]
    if number not in (None, scores, max(scores, 2)):  # one score speaks for two classes
        raise WeightsError(f"the model that {file} has gives {scores} scores, not {number}")
    model.classes = class_names or model.classes
    rows = [Row({names[ours]: array.shape}, ours, array.shape, "", fits=True) for ours, array in arrays_of(model).items()]
    left_out = {name: array.shape for name, array in arrays.items() if name not in names.values()}
    model.provenance |= {"restored_from": Path(file).name}
    return model, Mapped("minicnn", rows, Differences(), left_out, [RESTORED], getattr(arrays, "beside", []))


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
    form, table = form_of(chosen, architecture)
    if table is None:
        raise WeightsError(
            f"the names that {chosen.name} gives to {architecture} are not known; of {chosen.name} known are "
            f"{', '.join(convertible(chosen))}"
        )
    number, class_names = _number_and_names(classes)
    if number is not None:
        build["num_classes"] = number
    description = described(arrays)
    if description and description.size and "input_shape" in inspect.signature(ARCHITECTURES[form]).parameters:
        build = {"input_shape": (3, *description.size)} | build
    usual = untrained(form, build)
    wrapped = unwrap(arrays, expected_names(usual, chosen, table))
    notes = [*getattr(arrays, "notes", ()), *_notes_about(wrapped, chosen, form, is_described=description is not None)]
    network = network_for(usual, wrapped, chosen, table, build, partial, rng if partial else NoRandomness(), description)
    model, match = network.model, network.match
    notes += adapt(model, arrays, table)
    if not match.used:
        raise WeightsError(
            f"{file} has none of the names that {chosen.name} gives to the layers of {architecture}; it has "
            f"{_named(arrays)}.{better_architecture(arrays, architecture)}"
        )
    made = {name: match.make(name) for name in match.used}
    left_out, unexpected = {}, {}
    for name, array in match.unused.items():
        useless = re.fullmatch(chosen.ignored, name) or is_helper(name, array) or is_statistic(name, array)
        if useless or (name.startswith(OUTSIDE) and not network.reason):
            left_out[wrapped.theirs[name]] = array
            if is_statistic(name, array) and READ_FROM_FILE not in notes:
                notes.append(_note_about_statistic(wrapped.theirs[name], array))
        else:  # the name in the file is not to be mistaken for one of ours
            theirs = wrapped.theirs[name]
            unexpected[f"{theirs} (theirs)" if theirs in match.targets else theirs] = array
    foreign = {ours: f"{wrapped.prefix}{theirs}" for ours, theirs in match.foreign_names.items()}
    try:
        differences = fill(model, made | unexpected, file, partial=True, foreign_names=foreign)
    except WeightsError as error:  # not one of them fits
        raise WeightsError(f"{error}{better_architecture(arrays, architecture)}") from error
    if differences and not partial:
        why = explanation(differences, model, arrays, architecture, network.reason, number)
        raise WeightsError(f"{file} does not fit {architecture}, and nothing was converted. {differences}{why}")
    rows = [
        Row(
            theirs={wrapped.theirs[theirs]: tuple(match.arrays[theirs].shape) for theirs in match.used.get(name, ())},
            ours=name,
            shape=match.shape(name),
            change=match.change(name),
            fits=name in made and name not in differences.unlike,
        )
        for name in match.targets
    ]
    fitting = sum(row.fits for row in rows)
    if fitting < LEAST_SHARE * len(rows):
        raise WeightsError(
            f"only {fitting} of the {len(rows)} arrays of {architecture} are in {file} with the right shape: it is not that "
            f"network, and what little fits would be of no use. {differences}{better_architecture(arrays, architecture)}"
        )
    if network.reason:
        notes.append(f"{network.reason} The network below it was taken.")
    model.seed(np.random.default_rng(rng))  # dropout's; so far it had that of NoRandomness
    model.classes = class_names
    model.eval()
    shapes = {name: tuple(array.shape) for name, array in left_out.items()}
    beside = getattr(arrays, "beside", [])
    return model, Mapped(chosen.name, rows, differences, shapes, [*notes, *network.notes], beside)


def _number_and_names(classes: int | Sequence[str] | None) -> tuple[int | None, list[str] | None]:
    """How many classes were asked for, and their names; None for what was not said."""
    if classes is None or isinstance(classes, (int, np.integer)):
        return None if classes is None else int(classes), None
    return len(classes), [str(name) for name in classes]


def _notes_about(wrapped: Wrapped, source: Source, form: str, is_described: bool) -> list[str]:
    """What was taken off the names, and what they leave open."""
    notes = []
    if wrapped.prefix:
        notes.append(f"The network's names in the file begin with {wrapped.prefix!r}.")
    if wrapped.rivals:
        notes.append(f"As large a network is in the file under {', '.join(map(repr, wrapped.rivals))}; it was not taken.")
    if not is_described and (remark := source.remarks.get(family_of(form) or "")):
        notes.append(remark)
    return notes


def _note_about_statistic(name: str, array: np.ndarray) -> str:
    variance = ", a variance" if name.endswith(("/1", "/variance")) else ""
    return (
        f"The file has {name} = {', '.join(f'{value:g}' for value in array.ravel())}{variance}: the network may prepare its "
        "pictures with it. Compare it with the preprocessing below (in units of 0 to 255), and set model.preprocessing if they "
        "differ."
    )


def foreign_names(model: Model, source: str) -> dict[str, str]:
    """What a source calls each array of a network of ours; where it has several for one of ours, the first.

    >>> from minicnn.models import resnet20
    >>> foreign_names(resnet20(), "torchvision")["conv2_1.sum.body.conv1.norm.gamma"]
    'layer1.0.bn1.weight'
    """
    table = SOURCES[source].table_of(model.architecture)
    if table is None:
        raise ValueError(f"the names that {source} gives to {model.architecture} are not known")
    return Match(model, {}, SOURCES[source], table).foreign_names


def _guess(arrays: Mapping[str, np.ndarray], file: str, architecture: str) -> Source:
    """The source in whose layout, or at least in whose names, most arrays fit."""
    fitting, models = {}, {}
    for source in SOURCES.values():
        form, table = form_of(source, architecture)
        if table is not None:
            model = models[form] = models.get(form) or untrained(form, {})
            match = Match(model, unwrap(arrays, expected_names(model, source, table)).arrays, source, table)
            fitting[source.name] = match.fitting(), len(match.used)
    if not fitting:
        raise WeightsError(f"nobody else's names are known for {architecture}; known they are for {', '.join(convertible())}")
    best = max(fitting, key=fitting.__getitem__)
    if not any(fitting[best]):
        raise WeightsError(
            f"{file} does not look like {architecture} in the names of {' or '.join(fitting)}; it has {_named(arrays)}."
            f"{better_architecture(arrays, architecture)}"
        )
    return SOURCES[best]


def _named(arrays: Mapping[str, np.ndarray]) -> str:
    """Names and shapes, for error messages."""
    return named([f"{name} {tuple(array.shape)}" for name, array in arrays.items()])
