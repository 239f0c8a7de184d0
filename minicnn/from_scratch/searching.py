"""``minicnn search``: which learning rate and weight decay suit these pictures, found by many short trainings."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..cache import make_writable, write_bytes
from ..search import LogUniform, RecipeObjective, Study
from ..viz.search import search_figure
from .data_sets import open_data_set
from .settings import Settings

METHODS = ("random", "grid", "coarse-to-fine", "halving")
FACTOR = 30.0  # below and above the recipe's own numbers, unless something else is asked for
MOST = 5000  # training pictures, so that a trial is short


@dataclass(frozen=True)
class Search:
    """How to search.

    Attributes
    ----------
    method : str
        One of ``METHODS``; each does about ``trials`` trials (a grid the largest square number of them; coarse to fine in two
        rounds, the second with twice the epochs; halving begins with so many, and gives the best third three times the epochs).
    trials, epochs : int
        ``epochs`` of each trial, of the first round where there are several.
    learning_rates, weight_decays : (low, high) or None
        None: from a thirtieth of the recipe's number to thirty times as much.
    workers : int
        Trials side by side, each in a process and a thread of its own.
    cluster : str or None
        The address of a cluster's scheduler, where they run then.

    Raises
    ------
    ValueError
        For another method.
    """

    method: str = "random"
    trials: int = 20
    epochs: int = 2
    learning_rates: tuple[float, float] | None = None
    weight_decays: tuple[float, float] | None = None
    workers: int = 1
    cluster: str | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"there is no method {self.method!r} of searching; there are {', '.join(METHODS)}")


def search(settings: Settings, how: Search, log: Callable[[str], None] = print) -> Study:
    """Search, and write ``search.png`` beside the trials in ``settings.out``; called again there, it goes on.

    The test pictures are not looked at; at most 5,000 training pictures are trained on.

    Parameters
    ----------
    settings : Settings
        Pictures, recipe, architecture, seed and folder.
    how : Search
    log : function
        Is called with each text that there is to say.

    Raises
    ------
    DataError, ValueError
        As `minicnn.from_scratch.train` does.
    TrainingError
        If the folder holds another study, or all trials of a round have failed.
    """
    make_writable(settings.out)
    data = open_data_set(settings, log)
    recipe = settings.chosen_recipe()
    recipe = replace(recipe, architecture=settings.architecture or recipe.architecture)
    rows = data.parts["train"]
    few = rows[:: -(-len(rows) // MOST)]
    val = data.parts["val"]
    labels = data.pictures.labels
    objective = RecipeObjective.save(
        settings.out / "pictures.npz",
        recipe,
        data.pixels[few],
        labels[few],
        data.pixels[val],
        labels[val],
        data.pictures.classes,
    )
    space = {
        "learning_rate": LogUniform(*(how.learning_rates or _around(recipe.learning_rate))),
        "weight_decay": LogUniform(*(how.weight_decays or _around(recipe.weight_decay))),
    }
    study = Study(objective, space, folder=settings.out, seed=settings.seed, workers=how.workers, cluster=how.cluster)
    log(
        f"{recipe.architecture} by the recipe {settings.recipe_name}: {len(few):,} pictures to train on, {len(val):,} to "
        "choose by"
    )
    _run(study, how)
    picture = io.BytesIO()
    search_figure(study).savefig(picture, format="png")
    write_bytes(settings.out / "search.png", picture.getvalue())
    return study


def _around(value: float) -> tuple[float, float]:
    return value / FACTOR, value * FACTOR


def _run(study: Study, how: Search) -> None:
    if how.method == "random":
        study.random(how.trials, how.epochs)
    elif how.method == "grid":
        study.grid(int(np.sqrt(how.trials)), how.epochs)
    elif how.method == "coarse-to-fine":
        study.coarse_to_fine(-(-how.trials // 2), (how.epochs, 2 * how.epochs))
    else:
        study.successive_halving(how.trials, how.epochs)
