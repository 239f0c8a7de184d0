"""What all runs of an experiment have in common: the pictures, the pretrained network, the codes, and how to split them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data.augmentation import Augmentation
from ..data.picture_set import PictureSet
from ..data.splits import are_few, folds_of, split_pictures
from ..errors import DataError
from ..models.model import Model
from ..transfer.learning_rates import is_small
from ..transfer.near_duplicates import NearDuplicates, grouped
from ..transfer.similarity import PICTURES, SIMILAR_SHIFT, norm_shift
from ..transfer.strategies import LINEAR, TRANSFERABLE
from . import unfinished
from .held_out import HeldOut
from .presets import PRESETS, Preset, Settings

FOLDS = 4
FEW_LEARNING = 100  # pictures to learn from: with fewer, codes are held out one by one


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
    parameters : int
        How many numbers the pretrained network consists of, with its own head: a large one with few outputs stays large.
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
    parameters: int
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

    @property
    def has_few_pictures(self) -> bool:
        """Whether the pictures to learn from are few; then folds take the place of the validation part."""
        parts = self.split(self.settings.first_seed)
        return are_few(len(parts["train"]) + len(parts["val"]))

    @cached_property
    def shift(self) -> float | None:
        """How far the pictures to learn from are from those of the pretraining, in nats (`norm_shift`); None: unknown."""
        parts = self.split(self.settings.first_seed)
        rows = np.random.default_rng(0).permutation(np.sort(np.r_[parts["train"], parts["val"]]))[:PICTURES]
        return norm_shift(self.model, self.fitted_for(self.model)[rows])

    @property
    def usual_fine_tuning(self) -> str:
        """The kind of fine-tuning that suits network and pictures, as far as can be said beforehand.

        Of a large network that was made for other pictures, a few of these teach the upper layers too little, as what the lower
        ones hand up is wrong already: there it is the batch norms, of all layers. That takes three times as long.
        """
        is_far = self.has_few_pictures and not is_small(self.parameters) and (self.shift or 0.0) > SIMILAR_SHIFT
        return "norms" if is_far else "finetune-upper"

    @property
    def strategies(self) -> tuple[str, ...]:
        """What is asked for; or, as the advisor would choose, linear classifiers and one kind of fine-tuning or two.

        The quick mode fine-tunes the upper layers in any case. More layers are worth their time in the full mode alone, where
        there are pictures enough to teach them something.
        """
        if self.settings.strategies is not None:
            return tuple(strategy for strategy in TRANSFERABLE if strategy in self.settings.strategies)
        deep = self.settings.mode == "full" and not self.has_few_pictures
        usual = "finetune-upper" if self.settings.mode == "quick" else self.usual_fine_tuning
        return (*LINEAR, usual, *["finetune-more"] * deep)

    def folds(self, seed: int, of_codes: bool = False) -> list[dict[str, np.ndarray]]:
        """How pictures are held out to choose by: {"train": ..., "val": ...}, once or several times.

        The validation part alone, where it has 100 pictures or came with the collection. Else the pictures to learn from are
        divided into four folds; of codes, if there are fewer than 100, each is held out alone.
        """
        parts = self.split(seed)
        if "val" in (self.pictures.splits or {}) or not self.has_few_pictures:
            return [parts]
        learning = np.sort(np.r_[parts["train"], parts["val"]])
        together = self.settings.group_duplicates and len(self.near_duplicates.pairs) > 0
        alone = of_codes and not together and len(learning) < FEW_LEARNING
        folds = folds_of(parts, self.pictures, len(learning) if alone else FOLDS, seed)
        if together:
            pairs = self.near_duplicates.pairs[np.isin(self.near_duplicates.pairs, learning).all(axis=1)]
            held_out = grouped({str(number): fold["val"] for number, fold in enumerate(folds)}, pairs).values()
            folds = [{"train": np.setdiff1d(learning, rows), "val": rows} for rows in held_out if len(rows)]
        labels = self.pictures.labels
        classes = np.unique(labels[learning])
        return [fold for fold in folds if np.array_equal(np.unique(labels[fold["train"]]), classes)] or [parts]

    def fitted_for(self, model: Model) -> np.ndarray:
        """All pictures at this network's input size, uint8 (N, H, W, C)."""
        size = model.preprocessing.size
        if size not in self.fitted:
            self.fitted[size], _ = self.pictures.fitted(model.preprocessing, self.settings.progress)
        return self.fitted[size]


class TrainedRun(NamedTuple):
    """One strategy, trained on one split.

    Attributes
    ----------
    strategy : str
    model : Model
    held_out : HeldOut
        Its scores of the pictures that it is chosen by.
    record : dict
        What else the results tell about the training.
    test_scores : (n, K) or None
        Of the test pictures; None: not yet tested.
    """

    strategy: str
    model: Model
    held_out: HeldOut
    record: dict
    test_scores: np.ndarray | None = None
