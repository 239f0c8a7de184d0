"""One augmentation after another, and what all of them expect."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .per_sample import PerSampleGenerator

Rng = np.random.Generator | PerSampleGenerator


class Compose:
    """Augmentations in their order: each is applied to what the one before it gave.

    An augmentation is a function of (pictures, rng), as the Trainer's ``augment`` is: uint8 pictures (N, H, W, C), or (N, H, W)
    for grey ones, are not changed, and new ones are returned. The Trainer's rng is a `PerSampleGenerator`, with which a
    picture's changes depend on (seed, epoch, number of the picture) alone.

    Parameters
    ----------
    *augmentations : callable
        Each ``augmentation(pictures, rng) -> pictures``, with a ``describe()``.

    >>> from minicnn.data.crops import RandomCrop
    >>> from minicnn.data.flips import AlternatingFlip
    >>> augment = Compose(AlternatingFlip(), RandomCrop(pad=2))
    >>> augment.describe()
    'flips in every other epoch, reflected translations by up to 2 pixels'
    >>> augment(np.zeros((2, 8, 8, 3), np.uint8), PerSampleGenerator(seed=0, epoch=1, indices=np.arange(2))).shape
    (2, 8, 8, 3)
    """

    def __init__(self, *augmentations: Callable[[np.ndarray, Rng], np.ndarray]):
        self.augmentations = augmentations

    def __call__(self, pictures: np.ndarray, rng: Rng) -> np.ndarray:
        for augmentation in self.augmentations:
            pictures = augmentation(pictures, rng)
        return pictures

    def describe(self) -> str:
        """One line for reports."""
        return ", ".join(augmentation.describe() for augmentation in self.augmentations) or "none"


def check_pictures(pictures: np.ndarray) -> None:
    """Refuse what is no batch of 8-bit pictures.

    Raises
    ------
    ValueError
        As it says.
    """
    if pictures.dtype != np.uint8 or pictures.ndim not in (3, 4):
        raise ValueError(f"augmentation expects uint8 pictures (N, H, W, C), got {pictures.dtype} {pictures.shape}")
