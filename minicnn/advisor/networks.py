"""The choice among networks: each is measured on the same pictures, and the cheapest of those that are about the best is named.

models = {name: minicnn.load(name) for name in ("efficientnet_lite0", "resnet20")}
comparison = compare_networks(models, open_pictures("pictures/"))
print(comparison.text())
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from ..data.picture_set import PictureSet
from ..data.preprocessing import CHANNELS
from ..errors import DataError
from ..models.model import Model
from ..pretrained.registry import known_name
from ..text import aligned, width
from ..transfer.formatting import quantity
from ..transfer.setup import check_preprocessing, set_up
from .advice import COLUMNS, Advice, plus_minus
from .advise import advise, pictures_to_learn_from
from .measurements import CodeMeasurements, check_counts

NAME = 22  # columns for a network's name in the table
HEADER = ("network", "accuracy %", "to the best", "k-NN %", "LogME", "H-score", "parameters", "MACs", "seconds")


@dataclass(frozen=True)
class Network:
    """One of the networks that are compared.

    Attributes
    ----------
    name : str
        As it was given.
    advice : Advice
        With this network.
    multiply_adds : int
        For one picture.
    seconds : float
        That its measurements took, with reading the pictures.
    """

    name: str
    advice: Advice
    multiply_adds: int
    seconds: float

    @property
    def codes(self) -> CodeMeasurements:
        """The measurements of its last codes, by which networks are compared."""
        return self.advice.measurements.last

    @property
    def parameters(self) -> int:
        """With those of its old classifier."""
        return self.advice.measurements.parameters

    @property
    def cost(self) -> tuple[int, int]:
        """Multiply-adds; and parameters, where those are equal."""
        return self.multiply_adds, self.parameters


@dataclass(frozen=True)
class Comparison:
    """Several networks on the same pictures.

    Attributes
    ----------
    networks : tuple of Network, two or more
        In the order in which they were given.
    """

    networks: tuple[Network, ...]

    @property
    def best(self) -> Network:
        """The one on whose last codes a linear classifier is most accurate; of equals, the cheapest."""
        return min(self.networks, key=lambda network: (-network.codes.probe.accuracy, *network.cost))

    @property
    def recommended(self) -> Network:
        """The cheapest within one standard error of the best.

        The error is that of the difference, picture by picture. The rule of one standard error: Breiman, Friedman, Olshen,
        Stone 1984, "Classification and Regression Trees", section 3.4.3.
        """
        about_best = [network for network in self.networks if self.is_about_best(network)]
        return min(about_best, key=lambda network: network.cost)

    def is_about_best(self, network: Network) -> bool:
        """Whether it is the best or within one standard error of it."""
        difference, error = self.than_best(network)
        return difference >= -error

    def than_best(self, network: Network) -> tuple[float, float]:
        """By how much it is more accurate than the best, 0 or less, and the standard error of that difference."""
        return network.codes.probe.better_than(self.best.codes.probe)

    @property
    def baselines(self) -> dict[str, Network]:
        """What other rules would choose: the largest network, and the highest of each score of the last codes."""
        scores = {
            "the largest network": lambda network: network.parameters,
            "k-NN": lambda network: network.codes.knn.accuracy,
            "LogME": lambda network: network.codes.logme,
            "H-score": lambda network: network.codes.h_score,
        }
        return {name: max(self.networks, key=score) for name, score in scores.items()}

    def text(self) -> str:
        """The table of networks, what is recommended, and the advice for that network, at most 110 columns wide."""
        advice, recommended = self.recommended.advice, self.recommended
        lines = [f"Networks for {advice.data}, on the same {advice.measurements.measured:,} pictures"]
        lines += ["  " + line for line in aligned([HEADER, *map(self._row, self.networks)], right=range(1, len(HEADER)))]
        if recommended is self.best:
            cheaper = any(network.multiply_adds < recommended.multiply_adds for network in self.networks)
            why = "the best, and no cheaper one is within one standard error of it" if cheaper else "the best and the cheapest"
        else:
            difference = plus_minus(*self.than_best(recommended), sign="+")
            why = f"the cheapest within one standard error of the best, {self.best.name} ({difference} points)"
        for paragraph in (
            f"Recommended: {recommended.name}, {why}.",
            self._other_rules(),
            f"{'Balanced accuracy' if advice.measurements.is_uneven else 'Accuracy'} of a linear classifier on the last codes "
            "in cross-validation ± one standard error; beside it, the difference to the best, picture by picture. What "
            "fine-tuning would make of each network is not measured. MACs are the multiply-adds for one picture, by which the "
            "cheapest is found; seconds are how long measuring took.",
        ):
            lines += textwrap.wrap(paragraph, COLUMNS)
        return "\n".join([*lines, "", advice.text()])

    def _other_rules(self) -> str:
        """What each would choose, network by network, and how far that is below the best."""
        rules: dict[str, list[str]] = {}
        for rule, network in self.baselines.items():
            rules.setdefault(network.name, []).append(rule)
        chosen = []
        for network in self.networks:
            if network.name in rules:
                gap = "" if network is self.best else f"; {plus_minus(*self.than_best(network), sign='+')} points"
                chosen.append(f"{network.name} ({', '.join(rules[network.name])}{gap})")
        return f"Other rules would choose {'; '.join(chosen)}."

    def _row(self, network: Network) -> list[str]:
        codes = network.codes
        return [
            _end(network.name),
            plus_minus(codes.probe.accuracy, codes.probe.standard_error),
            "" if network is self.best else plus_minus(*self.than_best(network), sign="+"),
            plus_minus(codes.knn.accuracy, codes.knn.standard_error),
            f"{codes.logme:.3f}",
            f"{codes.h_score:.3f}",
            quantity(network.parameters),
            quantity(network.multiply_adds),
            f"{network.seconds:.1f}",
        ]


def _end(name: str) -> str:
    """A name cut to its end, where paths differ."""
    while width(name) > NAME:
        name = "…" + name[2:]
    return name


def compare_networks(
    models: Mapping[str, Model],
    pictures: PictureSet,
    quick: bool = False,
    progress: bool = True,
    log: Callable[[str], None] = lambda line: None,
    words: Sequence[str] = (),
) -> Comparison:
    """Measure the same pictures with several networks, each with its own preprocessing; see `advise`.

    Parameters
    ----------
    models : mapping from a name to a pretrained network, two or more
    pictures : PictureSet
    quick, progress, log, words
        As `advise` takes them; ``words`` without the model.

    Raises
    ------
    DataError
        If a network cannot take pictures, or a class has too few pictures; before anything is measured.
    """
    if len(models) < 2:
        raise ValueError(f"to compare takes two networks or more, got {len(models)}; of a single one advise says what to do")
    for name, model in models.items():
        check_input(model, name)
    check_counts(pictures_to_learn_from(pictures)[0])
    networks: list[Network] = []
    for name, model in models.items():
        start = perf_counter()
        advice = advise(model, pictures, quick, progress, log if not networks else lambda line: None, [*words, "--model", name])
        multiply_adds = model.multiply_adds((1, *model.input_shape))
        networks.append(Network(name, advice, multiply_adds, perf_counter() - start))
    return Comparison(tuple(networks))


def check_input(model: Model, name: str) -> None:
    """Raise a DataError, which names the network, if what its preprocessing makes of pictures does not fit its layers."""
    check_preprocessing(model, name)
    shape = (1, CHANNELS[model.preprocessing.channels], *model.preprocessing.size)
    try:
        model.output_shape(shape)
    except ValueError as error:
        raise DataError(
            f"{name} cannot take the pictures that its preprocessing makes, {shape}: {error}. Leave it out, or save it again "
            "with another preprocessing"
        ) from error


def set_up_networks(data: str | None, names: Sequence[str], out: Path | None = None) -> tuple[dict[str, Model], PictureSet]:
    """The networks by name, and the pictures; see `minicnn.transfer.setup.set_up`.

    Raises
    ------
    ValueError
        If a network is named twice, however it is written.
    """
    meant: dict[str, str] = {}
    for name in names:
        same = known_name(name) or os.path.realpath(name)
        if same in meant:
            raise ValueError(f"--model {meant[same]} and --model {name} are the same network; name each once")
        meant[same] = name
    models = {}
    for name in names:
        models[name], pictures, _ = set_up(data, name, out)
    return models, pictures
