"""What all runs of an experiment have in common: the pictures, the pretrained network, the codes, and how to split them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data.augmentation import Augmentation
from ..data.picture_set import PictureSet
from ..data.splits import split_pictures
from ..errors import DataError
from ..models.model import Model
from ..transfer.near_duplicates import NearDuplicates, grouped
from . import unfinished
from .presets import PRESETS, Preset, Settings


@dataclass
class TransferTask:
    """A pretrained network and the pictures that it is to be transferred to, prepared for any number of runs.

    Attributes
    ----------
    settings : Settings
    pictures : PictureSet
        Those that are left after thinning, and could be read.
    model : Model
        The pretrained network with a new head; every run starts from a copy.
    codes : float32 (N, D)
        Of all pictures, at the layer below the new head.
    codes_seconds : float
        That it took to compute them.
    fitted : dict
        All pictures, uint8 (N, H, W, C), by their size (H, W): see `fitted_for`.
    augmentation : Augmentation
        Of training pictures.
    is_uneven : bool
        Whether some class has far more pictures than another one; what is best is then chosen by balanced accuracy.
    positive : int or None
        The class whose F1 is reported; None: the mean over all classes.
    near_duplicates : NearDuplicates
        Pairs of pictures that are nearly the same.
    """

    settings: Settings
    pictures: PictureSet
    model: Model
    codes: np.ndarray
    codes_seconds: float
    fitted: dict[tuple[int, int], np.ndarray]
    augmentation: Augmentation
    is_uneven: bool
    positive: int | None
    near_duplicates: NearDuplicates = field(default_factory=NearDuplicates)

    @property
    def checkpoints(self) -> Path:
        """Where the state of fine-tuning is kept until the experiment has finished."""
        return self.settings.out / unfinished.FOLDER

    @property
    def preset(self) -> Preset:
        """How much work the mode does."""
        return PRESETS[self.settings.mode]

    def split(self, seed: int) -> dict[str, np.ndarray]:
        """The parts that this seed draws; with ``group_duplicates``, pictures that are nearly the same are in one part.

        Raises
        ------
        DataError
            If that leaves a part without pictures.
        """
        parts = split_pictures(self.pictures, seed)
        if not self.settings.group_duplicates:
            return parts
        parts = grouped(parts, self.near_duplicates.pairs)
        if empty := [part for part, rows in parts.items() if not len(rows)]:
            raise DataError(
                f"{self.pictures.name}: --group-duplicates leaves no pictures for {' and '.join(empty)}, as all of them are "
                "nearly the same as others; add pictures, or give the parts as folders (train, val, test)"
            )
        return parts

    def fitted_for(self, model: Model) -> np.ndarray:
        """All pictures at this network's input size, uint8 (N, H, W, C)."""
        size = model.preprocessing.size
        if size not in self.fitted:
            self.fitted[size], _ = self.pictures.fitted(model.preprocessing, self.settings.progress)
        return self.fitted[size]


class TrainedRun(NamedTuple):
    """One strategy, trained on one split and not yet tested.

    Attributes
    ----------
    strategy : str
    model : Model
    test_scores : (n, K)
        Of the test pictures.
    record : dict
        What the results tell about the training.
    """

    strategy: str
    model: Model
    test_scores: np.ndarray
    record: dict
