"""What ``minicnn train`` was asked for."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

from ..recipes import RECIPES, USUAL, Recipe

USUAL_FOR_FOLDERS = "adamw"  # a rate that suits one collection lets the loss of another one explode; AdamW forgives more
QUICK_EPOCHS, QUICK_EPOCHS_OF_FOLDERS = 2, 5


@dataclass
class Settings:
    """What ``minicnn train`` was asked for. None means: as the recipe says.

    Attributes
    ----------
    data : str
        "mnist", "fashion-mnist", "cifar10", a folder or a zip archive.
    architecture : str or None
        One of ``minicnn.models.ARCHITECTURES``.
    recipe : str or None
        One of ``minicnn.recipes.RECIPES``; None: the one that is usual for the data set.
    epochs, batch_size : int or None
    learning_rate : float or None
        The highest.
    weight_decay : float or None
    seed : int
        Of the first weights, the parts, the order of the pictures and all other chance.
    size : (H, W) or None
        Of the pictures of a folder; None: 64 x 64.
    quick : bool
        Some pictures and few epochs, for a first impression.
    resume : bool
        Go on with the run that was begun in ``out`` and has not finished.
    out : Path
        The folder that model and report are written to.
    command : str
        What was typed, for the report and for saying how to go on.
    progress : bool
        Whether to show bars where work takes long.
    seconds_between_checkpoints : float

    Raises
    ------
    ValueError
        For a recipe that there is not, and numbers out of range.
    """

    data: str
    architecture: str | None = None
    recipe: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    seed: int = 0
    size: tuple[int, int] | None = None
    quick: bool = False
    resume: bool = False
    out: Path = Path("train-report")
    command: str = "minicnn train"
    progress: bool = True
    seconds_between_checkpoints: float = 30.0

    def __post_init__(self) -> None:
        if self.recipe is not None and self.recipe not in RECIPES:
            raise ValueError(f"there is no recipe {self.recipe!r}; there are {', '.join(RECIPES)}")
        for name, least in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            if (value := getattr(self, name)) is not None and value < least:
                raise ValueError(f"{name} is a whole number of at least {least}, got {value}")
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate is a number above 0, got {self.learning_rate}")
        if self.weight_decay is not None and not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay is a number of at least 0, got {self.weight_decay}")
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f"size is (height, width) in pixels, both at least 1, got {self.size}")

    @property
    def recipe_name(self) -> str:
        """The recipe that is asked for, or the usual one."""
        return self.recipe or USUAL.get(self.data.lower(), USUAL_FOR_FOLDERS)

    def chosen_recipe(self) -> Recipe:
        """The recipe, with what is asked for in place of its own numbers."""
        asked = {name: getattr(self, name) for name in ("epochs", "batch_size", "learning_rate", "weight_decay")}
        if self.quick and self.epochs is None:
            asked["epochs"] = QUICK_EPOCHS if self.data.lower() in USUAL else QUICK_EPOCHS_OF_FOLDERS
        return replace(RECIPES[self.recipe_name], **{name: value for name, value in asked.items() if value is not None})

    def identity(self) -> dict[str, str]:
        """By option, all that two runs must have in common so that one can go on with the other."""
        recipe = self.chosen_recipe()
        path = os.path.expanduser(self.data)
        return {
            "--data": os.path.abspath(path) if os.path.exists(path) else self.data,
            "--recipe": self.recipe_name,
            "--arch": self.architecture or recipe.architecture,
            "--epochs": str(recipe.epochs),
            "--batch-size": str(recipe.batch_size),
            "--learning-rate": str(recipe.learning_rate),
            "--weight-decay": str(recipe.weight_decay),
            "--seed": str(self.seed),
            "--size": "the usual one" if self.size is None else f"{self.size[0]}x{self.size[1]}",
            "--quick": "given" if self.quick else "not given",
        }
