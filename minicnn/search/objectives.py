"""Objectives that are ready to be searched: training a network by a recipe, judged on a validation set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..cache import write_atomically
from ..hashes import sha256_of


@dataclass(frozen=True)
class RecipeObjective:
    """The validation accuracy of a recipe's network, trained with other settings and as many epochs as the budget.

    `save` makes one. The pictures stand in a file, which each process reads once, and are not sent along with each trial. The
    workers of a cluster must find it under the same path.

    Attributes
    ----------
    recipe : Recipe
        Its fields are what settings may name, ``learning_rate`` and ``weight_decay`` first of all.
    classes : tuple of str
    sha256 : str
        Of the file: a study is not gone on with on other pictures.
    file : Path

    >>> objective = RecipeObjective.save("study/data.npz", recipe, x, y, x_val, y_val, classes)         # doctest: +SKIP
    >>> Study(objective, {"learning_rate": LogUniform(1e-3, 1.0)}, folder="study").random(20, budget=2)  # doctest: +SKIP
    """

    recipe: Any
    classes: tuple[str, ...]
    sha256: str
    file: Path = field(repr=False)  # it may be moved

    @classmethod
    def save(
        cls,
        file: str | os.PathLike,
        recipe: Any,
        x: np.ndarray,
        y: np.ndarray,
        x_val: np.ndarray,
        y_val: np.ndarray,
        classes: Sequence[str],
    ) -> RecipeObjective:
        """Write the pictures, uint8 (N, H, W, C), and their classes (N,) to an .npz file, which is replaced if it is there.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        file = Path(os.path.expanduser(file)).resolve()
        with write_atomically(file) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, x=x, y=y, x_val=x_val, y_val=y_val)
        return cls(recipe, tuple(classes), sha256_of(file), file)

    def __call__(self, settings: dict[str, Any], budget: int, seed: int) -> float:
        recipe = replace(self.recipe, **settings | {"epochs": budget})
        x, y, x_val, y_val = _read(self.file, self.sha256)
        model = recipe.network(x, self.classes, seed)
        return recipe.trainer(model, seed, progress=False).fit(x, y, x_val, y_val).best["val_accuracy"]


@lru_cache(maxsize=1)
def _read(file: Path, sha256: str) -> tuple[np.ndarray, ...]:
    """The arrays of the file, once in each process."""
    if sha256_of(file) != sha256:
        raise ValueError(f"{file} has changed since the study began; begin a new one")
    with np.load(file) as arrays:
        return tuple(arrays[name] for name in ("x", "y", "x_val", "y_val"))
