"""What minicnn puts beside the arrays of a model that it exports, for other programs to use and for itself to read back.

All values are texts, most of them JSON. ``preprocessing``, ``classes`` and ``scores`` are for whoever uses the network. Of
``layers`` and ``array_names`` the whole model is made again, with what names of arrays do not tell: heads of one's own, the
strides of another source.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from .. import __version__, layers
from ..data.preprocessing import Preprocessing
from ..errors import WeightsError
from ..layers import AuxiliaryHead
from ..models import ARCHITECTURES, Model
from ..models.blueprint import build, describe
from ..models.strict import arrays_of, fill
from ..text import named

WRITER = "minicnn"


# ---- writing


def metadata_of(model: Model, array_names: Mapping[str, str], training: bool = True) -> dict[str, str]:
    """The metadata of a file with a model's arrays.

    Parameters
    ----------
    model : Model
    array_names : mapping from name to name
        What arrays are called in the file; those that are not in it have our names.
    training : bool
        Whether the file has what is used in training only: the auxiliary heads.
    """
    facts: dict[str, Any] = {
        "architecture": model.architecture,
        "written_by": f"{WRITER} {__version__}",
        "input_shape": json.dumps(model.input_shape),
    }
    scores = model.output_shape((1, *model.input_shape))
    if len(scores) == 2:
        facts["scores"] = (
            "sigmoid gives the probability of the second class" if scores[1] == 1 else "softmax gives the probabilities"
        )
    if model.preprocessing is not None:
        facts["preprocessing"] = json.dumps(model.preprocessing.to_dict())
        facts["preprocessing_in_words"] = model.preprocessing.describe()
    if model.classes is not None:
        facts["classes"] = json.dumps(model.classes)
    if model.provenance:
        facts["provenance"] = json.dumps(model.provenance)
    children = {name: layer for name, layer in model.layers.items() if training or not isinstance(layer, AuxiliaryHead)}
    if all(vars(layers).get(type(layer).__name__) is type(layer) for child in children.values() for _, layer in child.walk()):
        facts["layers"] = json.dumps({name: describe(layer) for name, layer in children.items()})
        ours = [f"{path}.{name}" for path, layer in children.items() for name in arrays_of(layer)]
        facts["array_names"] = json.dumps({name: array_names.get(name, name) for name in ours})
    return facts | {"format": "pt"}  # what Hugging Face's programs expect of arrays in PyTorch's layout


# ---- reading


def describes_model(metadata: Mapping[str, str]) -> bool:
    """Whether it is the metadata of a file that minicnn exported, from which the model can be made again."""
    return metadata.get("written_by", "").split(" ")[0] == WRITER and "layers" in metadata


def model_of(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str], file: str) -> tuple[Model, dict[str, str]]:
    """The model that was exported, in inference mode, and what each of its arrays is called in the file.

    Raises
    ------
    WeightsError
        If the metadata is not what minicnn writes, or does not go with the arrays.
    """
    try:
        names = _fact(metadata, "array_names", dict)
        if not all(isinstance(name, str) for name in names.values()):
            raise ValueError("'array_names' has names that are not texts")
        missing = [name for name in names.values() if name not in arrays]
        if missing:
            raise ValueError(f"of the arrays that it names, the file has no {named(missing)}")
        shapes = {ours: arrays[theirs].shape for ours, theirs in names.items()}
        described = _fact(metadata, "layers", dict)
        model = Model(
            {name: build(layer, shapes, name) for name, layer in described.items()},
            architecture=metadata.get("architecture", ""),
            input_shape=_input_shape(_fact(metadata, "input_shape", list)),
            preprocessing=_preprocessing(metadata),
            classes=_fact(metadata, "classes", list, None),
            provenance=_fact(metadata, "provenance", dict, None),
        )
        fill(model, {ours: arrays[theirs] for ours, theirs in names.items()}, file)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, MemoryError) as error:
        raise WeightsError(
            f"{metadata['written_by'][:40]} wrote {file}, and its arrays or its metadata were changed since, or are damaged "
            f"({str(error)[:500].removesuffix('.')}). Export the model again; or go by the names of the arrays alone, with "
            "--source torchvision, and set classes and preprocessing yourself."
        ) from error
    return model.eval(), names


def check_architecture(metadata: Mapping[str, str], wanted: Collection[str], file: str) -> None:
    """Refuse a file of another architecture than one of those wanted; but it may be one that has no name here."""
    exported = metadata.get("architecture", "").split(" ")[0]  # of "resnet20 up to conv4_3" the first word
    if exported in ARCHITECTURES and exported not in wanted:
        raise WeightsError(
            f"{file} has a {exported} that {WRITER} exported, not {' or '.join(sorted(wanted))}; convert it with "
            f"--arch {exported}"
        )


def _input_shape(values: list[Any]) -> tuple[int, int, int]:
    if len(values) != 3 or not all(type(value) is int and 0 < value <= 1 << 16 for value in values):
        raise ValueError(f"'input_shape' is {str(values)[:100]}, not [C, H, W]")
    return tuple(values)


def _preprocessing(metadata: Mapping[str, str]) -> Preprocessing | None:
    values = _fact(metadata, "preprocessing", dict, None)
    try:
        return None if values is None else Preprocessing.from_dict(values)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"'preprocessing' cannot be used ({error})") from error


def _fact(metadata: Mapping[str, str], name: str, kind: type, *default: Any) -> Any:
    """What JSON gives for an entry; the default, if there is one, where there is no such entry."""
    if name not in metadata and default:
        return default[0]
    try:
        value = json.loads(metadata[name])
    except KeyError:
        raise ValueError(f"it has no {name!r}") from None
    except ValueError as error:
        raise ValueError(f"{name!r} is no JSON ({error})") from error
    if not isinstance(value, kind):
        raise ValueError(f"{name!r} is {metadata[name][:100]}, not a JSON {'object' if kind is dict else 'list'}")
    return value
