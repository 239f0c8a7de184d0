"""CNN codes: what a pretrained network says about a picture just before it names a class, computed once and kept on disk.

Razavian et al. 2014, "CNN Features off-the-shelf: an Astounding Baseline for Recognition"; Donahue et al. 2014, "DeCAF".
"""

from __future__ import annotations

import hashlib
import json

import h5py
import numpy as np

from ..cache import cache_folder, write_atomically
from ..data.picture_set import PictureSet
from ..inference import infer
from ..layers import Dropout
from ..layers.fused import fuse
from ..models.model import Model


def fingerprint(model: Model) -> str:
    """SHA-256 over the names and bytes of all weights and statistics: equal networks have equal fingerprints."""
    digest = hashlib.sha256()
    arrays = {name: parameter.value for name, parameter in model.parameters().items()} | model.state()
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def default_layer(model: Model) -> str:
    """The top-level layer whose output is the code: the last one below the classifier that is not dropout.

    In most networks that is the pool after the last ReLU; in SqueezeNet, whose pool comes after its classifier, it is fire9.
    """
    return next(name for name in reversed(below_classifier(model)) if not isinstance(model.layers[name], Dropout))


def below_classifier(model: Model) -> list[str]:
    """Names of the top-level layers below the one that the classifier is or is in."""
    names = list(model.layers)
    return names[: names.index(model.classifier_name.split(".")[0])]


def codes_of(output: np.ndarray) -> np.ndarray:
    """A layer's output as one vector a picture: feature maps (N, C, H, W) are averaged over space to (N, C)."""
    return output.mean(axis=(2, 3)) if output.ndim == 4 else output.reshape(len(output), -1)


def extract_codes(
    model: Model, pictures: PictureSet, fitted: np.ndarray, layer: str | None = None, progress: bool = True
) -> np.ndarray:
    """The codes of all pictures at one layer, (N, D) float32; from the cache where they have been computed before.

    The cache's key is the weights, the layer, the preprocessing and the content of every picture, so that a changed picture
    or a retrained network never gets old codes.

    Parameters
    ----------
    model : Model
        With its preprocessing.
    pictures, fitted : the two that ``PictureSet.fitted(model.preprocessing)`` gives
    layer : str, optional
        A top-level layer of the model (see ``model.summary()``); by default the one right below the classifier.
    """
    layer = layer or default_layer(model)
    lower, _ = model.split(layer)
    key = {"weights": fingerprint(model), "layer": layer, "preprocessing": model.preprocessing.to_dict()}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode())
    for i in range(len(pictures)):
        digest.update(pictures.content_hash(i).encode())
    path = cache_folder() / "codes" / f"{digest.hexdigest()[:32]}.h5"

    if path.exists():
        try:
            with h5py.File(path, "r") as file:
                return file["codes"][:]
        except (OSError, KeyError):  # damaged: compute it again, the new file takes its place
            pass

    codes = infer(
        fuse(lower),
        len(fitted),
        lambda i: model.preprocessing.normalise(fitted[i]),
        finish=codes_of,
        label=f"CNN codes at '{layer}'" if progress else None,
    )
    with write_atomically(path) as temporary, h5py.File(temporary, "w") as file:
        file["codes"] = codes
        file.attrs["key"] = json.dumps(key)
    return codes
