"""Which arrays of a file are which of a network's, and what they tell about its sizes."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..errors import WeightsError
from ..layers import Conv2d, Flatten, GlobalAvgPool2d, Linear, Sequential
from ..models import Model
from ..models.strict import arrays_of
from .names import Recipe, Source
from .names.base import Table, Target, their_names

LARGEST_SIDE = 1024  # pixels, of pictures whose size is found from the weights


class Match:
    """The arrays of a network beside those of a file.

    Parameters
    ----------
    model : Model
    arrays : mapping from name to array
        The file's.
    source : Source
    table : Table
        What the source calls the layers of this network.

    Attributes
    ----------
    targets : dict from our name to Target
        All arrays of the network, layer by layer.
    recipes : dict from our name to Recipe
    used : dict from our name to list of their names
        The arrays of the file that one of ours is made of; ours of which something is missing are left out.
    folded : list of str
        Paths of the batch norms that the file has merged into convolutions.
    """

    def __init__(self, model: Model, arrays: Mapping[str, np.ndarray], source: Source, table: Table):
        self.arrays = arrays
        self.targets = dict(_targets(model, table))
        self.recipes = {name: source.recipe(target) for name, target in self.targets.items()}
        self.folded = self._fold()
        self.used = {
            name: [found for found in self._found(recipe) if found is not None]
            for name, recipe in self.recipes.items()
            if None not in self._found(recipe)[: len(recipe.names)]
        }

    def _fold(self) -> list[str]:
        """Where batch norms have been merged into the convolutions below them, they become the identity and the merged bias.

        The file then has no array of any norm, and for each convolution a bias. y = gamma * (x - mean) / sqrt(variance + eps) +
        beta is x + beta for gamma = 1, mean = 0 and variance = 1 - eps.

        Returns
        -------
        paths : list of str
            Of these norms: all of the network's, or none.
        """
        norms = {name.rpartition(".")[0]: target.layer for name, target in self.targets.items() if target.array == "gamma"}
        recipes: dict[str, Recipe] = {}
        for path, norm in norms.items():
            above, _, last = path.rpartition(".")
            conv = ".".join([*filter(None, [above]), last.replace("norm", "conv")])
            own = {array: f"{path}.{array}" for array in ("gamma", "beta", "running_mean", "running_var")}
            mean = self.recipes[own["running_mean"]]
            biased = f"{conv}.b" in self.recipes
            biases = self.recipes[f"{conv}.b"].names if biased else mean.optional
            there = any(_first(names, self.arrays) for name in own.values() for names in self.recipes[name].names)
            if there or not biases or not _first(biases[-1], self.arrays):
                return []
            for array, value in (("gamma", 1.0), ("beta", 0.0), ("running_mean", 0.0), ("running_var", 1.0 - norm.eps)):
                recipes[own[array]] = Recipe((), partial(np.full, norm.num_features, value, np.float32), "merged: the identity")
            if not biased:
                recipes[own["beta"]] = Recipe(biases[-1:], np.ravel, "merged: the convolution's bias")
        self.recipes |= recipes
        return list(norms)

    def _found(self, recipe: Recipe) -> list[str | None]:
        """For each array that a recipe needs, and each that it can use, its name in the file; None if it is not there."""
        return [_first(names, self.arrays) for names in recipe.names + recipe.optional]

    def make(self, name: str) -> np.ndarray:
        """One of our arrays, made of theirs."""
        recipe = self.recipes[name]
        return recipe.make(*(None if found is None else self.arrays[found] for found in self._found(recipe)))

    def change(self, name: str) -> str:
        """What is done to their arrays to make one of ours, in words; empty if nothing."""
        recipe = self.recipes[name]
        optional = self._found(recipe)[len(recipe.names) :]
        return ", ".join(text for text in (recipe.change, recipe.optional_change if any(optional) else "") if text)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one of our arrays."""
        target = self.targets[name]
        return arrays_of(target.layer)[target.array].shape

    @property
    def foreign_names(self) -> dict[str, str]:
        """What our arrays are called in such a file; where it has several for one of ours, the first."""
        return {name: recipe.names[0][0] for name, recipe in self.recipes.items() if recipe.names and recipe.names[0]}

    @property
    def unused(self) -> dict[str, np.ndarray]:
        """The file's arrays of which nothing was made."""
        taken = {name for names in self.used.values() for name in names}
        return {name: array for name, array in self.arrays.items() if name not in taken}

    def fitting(self) -> int:
        """How many of our arrays the file has in the right shape."""
        return sum(self.make(name).shape == self.shape(name) for name in self.used)

    def other_sizes(self, model: Model, takes: Collection[str]) -> dict[str, Any]:
        """What the shapes in the file say of the network's sizes, where those are other ones: arguments of its constructor.

        The number of classes, or that there is no classifier; the channels and the size of the pictures.

        Parameters
        ----------
        model : Model
            The one that this match is for.
        takes : collection of str
            The arguments that its constructor takes.
        """
        other: dict[str, Any] = {}
        first = next(iter(self.targets))
        if len(model.output_shape((1, *model.input_shape))) == 2:  # it has a classifier
            scores = f"{model.classifier_name}.w"
            if scores not in self.used:
                other["include_top"] = False
            elif len(self.make(scores)) != self.shape(scores)[0]:
                other["num_classes"] = len(self.make(scores))
        channels = self.make(first).shape[1:2] if first in self.used else ()
        if channels and channels != self.shape(first)[1:2]:
            if "input_shape" in takes:
                other["input_shape"] = (*channels, *model.input_shape[1:])
            elif "in_channels" in takes:
                (other["in_channels"],) = channels
        for name, target in self.targets.items():
            if target.flattened and target.array == "w" and name in self.used and "input_shape" in takes:
                features = self.make(name).shape[-1]
                if features != math.prod(target.flattened):
                    other["input_shape"] = (*channels, *square_pictures(model, features))
        return other

    def other_widths(self) -> set[float]:
        """How many times wider than the network the layers in the file are, each rounded; empty if all are as wide."""
        ratios = {
            len(self.make(name)) / self.shape(name)[0]
            for name in self.used
            if isinstance(self.targets[name].layer, Conv2d) and self.targets[name].array == "w"
        }
        return set() if ratios <= {1.0} else ratios


def _first(names: Sequence[str], arrays: Collection[str]) -> str | None:
    return next((name for name in names if name in arrays), None)


def _targets(model: Model, table: Table) -> Iterator[tuple[str, Target]]:
    """Our arrays by name, each with what is needed to find theirs."""
    layers = dict(model.walk())
    places = {name: place for place, name in enumerate(model.layers)}
    flattened = _flattened(model)
    for path, layer in layers.items():
        if layer.children():
            continue
        unit, _, last = path.rpartition(".")
        below = layers.get(f"{unit}.conv") if last == "norm" else None
        place = places[path.split(".")[0]]
        names = their_names(path, table, place)
        unbiased = their_names(f"{unit}.conv", table, place) if below is not None and below.b is None else ()
        for array in arrays_of(layer):
            yield f"{path}.{array}", Target(array, layer, names, unbiased, flattened.get(path))


def _flattened(model: Model) -> dict[str, tuple[int, int, int]]:
    """Path of the first Linear layer above a Flatten -> the (C, H, W) that is flattened for it."""
    shape: tuple[int, ...] = (1, *model.input_shape)
    last_map = None
    for name, layer in model.layers.items():
        if isinstance(layer, Flatten) and len(shape) == 4:
            last_map = shape[1:]
        if isinstance(layer, Linear):
            return {name: last_map} if last_map else {}
        shape = layer.output_shape(shape)
    return {}


def last_map(model: Model, size: tuple[int, int]) -> tuple[int, int, int]:
    """(C, H, W) of the map that the network flattens or averages, for pictures of this size."""
    below = Sequential()
    for name, layer in model.layers.items():
        if isinstance(layer, (Flatten, GlobalAvgPool2d)):
            break
        below.layers[name] = layer
    return below.output_shape((1, model.input_shape[0], *size))[1:]


def square_pictures(model: Model, features: int) -> tuple[int, int]:
    """(H, W) of square pictures whose last map has this many numbers: of the model's usual size, or else the smallest.

    Raises
    ------
    WeightsError
        If there are none.
    """
    for side in (model.input_shape[1], *range(1, LARGEST_SIDE + 1)):
        try:
            if math.prod(last_map(model, (side, side))) == features:
                return side, side
        except ValueError:  # too small for the pools
            continue
    raise WeightsError(
        f"the first fully connected layer in the file takes {features} numbers, and {model.architecture} makes that many of no "
        "square picture. For what size of picture was the network made? If it is a VGG or an AlexNet, say so "
        "(--size HEIGHTxWIDTH); else convert a file that describes its network, such as that of Keras's model.save()"
    )
