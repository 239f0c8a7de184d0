"""A feature bank: the output of the frozen part of a network for each picture, computed once and used in every epoch."""

from __future__ import annotations

import numpy as np

from ..cache import large_array
from ..data.augmentation import Augmentation
from ..data.compose import Rng
from ..inference.batches import infer
from ..inference.fusion import fuse
from ..models.model import Model


class FeatureBank:
    """The frozen part's outputs in float16: of every picture as it is, and of training pictures also augmented.

    Samples 0..N-1 are the N pictures as they are, the first M of them for training, the rest for validation. Sample
    N + (v - 1) M + i is augmented view v = 1..V-1 of training picture i. Each epoch of training draws one view of each picture.

    Attributes
    ----------
    layer : str
        The top-level layer whose output is kept.
    outputs : float16 (samples, ...)
        On disk where they are many.
    training_pictures, pictures, views : int
        M, N and V above; V counts the plain one.
    """

    def __init__(self, layer: str, outputs: np.ndarray, training_pictures: int, pictures: int, views: int):
        self.layer, self.outputs = layer, outputs
        self.training_pictures, self.pictures, self.views = training_pictures, pictures, views

    def up_to(self, model: Model, layer: str, views: int, progress: bool = True) -> FeatureBank:
        """The bank of this model's outputs at the same or a higher layer, for as many views or fewer.

        Raises
        ------
        ValueError
            If the layer is below the bank's or not there, or the bank has fewer views.
        """
        if not 1 <= views <= self.views:
            raise ValueError(
                f"the feature bank at '{self.layer}' has {self.views} views of each picture, asked for were {views}"
            )
        outputs = self.outputs[: self.pictures + self.training_pictures * (views - 1)]
        if layer != self.layer:
            names = list(model.layers)
            if layer not in names or names.index(layer) < names.index(self.layer):
                raise ValueError(
                    f"a feature bank at '{self.layer}' can be carried on to a layer above it, one of "
                    f"{', '.join(names[names.index(self.layer) + 1 :])}; got {layer!r}"
                )
            between, _ = model.split(self.layer)[1].split(layer)
            label = f"from '{self.layer}' to '{layer}'" if progress else None
            outputs = infer(
                fuse(between),
                len(outputs),
                lambda i: outputs[i].astype(np.float32),
                label=label,
                dtype=np.float16,
                allocate=large_array,
            )
        return FeatureBank(layer, outputs, self.training_pictures, self.pictures, views)

    def prepare(self, samples: np.ndarray) -> np.ndarray:
        """Sample numbers -> input of the upper part, float32."""
        return self.outputs[samples].astype(np.float32)

    def augment(self, pictures: np.ndarray, rng: Rng) -> np.ndarray:
        """Numbers of training pictures -> sample numbers: one view of each, drawn at random."""
        view = rng.integers(0, self.views, len(pictures))
        return np.where(view == 0, pictures, self.pictures + (view - 1) * self.training_pictures + pictures)


def build_feature_bank(
    model: Model,
    layer: str,
    views: int,
    train: np.ndarray,
    val: np.ndarray,
    augmentation: Augmentation,
    seed: int = 0,
    progress: bool = True,
) -> FeatureBank:
    """Run ``views`` views of each training picture, and the validation pictures as they are, up to a top-level layer.

    Parameters
    ----------
    model : Model
        With its preprocessing.
    layer : str
        The last of the frozen layers.
    views : int
        1 or more; the first is the plain picture.
    train, val : uint8 (N, H, W, C)
        As ``PictureSet.fitted`` gives them.
    augmentation : Augmentation
        Makes all views but the first.
    seed : int
        Of the augmentation.
    progress : bool
        Show a bar.

    Raises
    ------
    ValueError
        For no view, or a layer that is not there.
    """
    if views < 1:
        raise ValueError(f"a feature bank has 1 view of each training picture or more, got views={views}")
    pictures = len(train) + len(val)
    seeds = np.random.default_rng(seed).integers(0, 2**63, size=len(train) * (views - 1))

    def picture(sample: int) -> np.ndarray:
        if sample < pictures:
            return train[sample] if sample < len(train) else val[sample - len(train)]
        extra = sample - pictures  # each view has a generator of its own, so that the order of the threads does not matter
        return augmentation(train[[extra % len(train)]], np.random.default_rng(seeds[extra]))[0]

    def batch(samples: np.ndarray) -> np.ndarray:
        return model.preprocessing.normalise(np.stack([picture(sample) for sample in samples]))

    lower, _ = model.split(layer)
    label = f"views up to '{layer}'" if progress else None
    outputs = infer(fuse(lower), pictures + len(seeds), batch, label=label, dtype=np.float16, allocate=large_array)
    return FeatureBank(layer, outputs, len(train), pictures, views)
