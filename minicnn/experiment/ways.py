"""The strategies that train layers, as data: which phases of training each consists of, and what is made of the networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ..models.model import Model
from ..transfer.finetune import Phase
from ..transfer.learning_rates import is_small, rate_for_size
from ..transfer.strategies import STRATEGIES
from ..transfer.surgery import UPPER_FROZEN, freeze_point, thirds
from ..transfer.weight_averages import MeanOfWeights, Weights, greedy_soup, interpolated
from .held_out import are_surely_higher
from .presets import Preset, Stage

Trial = tuple[Phase, ...]  # phases one after another
Losses = Mapping[str, np.ndarray]
HALFWAY = ", halfway"
ALPHAS = (0.25, 0.5, 0.75, 1.0)
LONGER = 2  # times: what is held out once, and not in four folds, has the time for it
SMALL_LONGER = 6  # times: a small network has the time for it in any case, and needs it
HEAD_FASTER = 4.0  # times: a head of zeros, where pictures are many, has more to learn than the layers below
FEW_FASTER = 10.0  # times: gamma, beta and biases are few and far from 0, and learn faster than filters
SOUP_RATES = (1 / 3, 1.0, 3.0)  # times the usual learning rate


def itself(start: Weights, ends: Mapping[str, Weights]) -> Mapping[str, Weights]:
    """The networks as they were trained."""
    return ends


def halfway(start: Weights, ends: Mapping[str, Weights]) -> Mapping[str, Weights]:
    """Each network halfway between where it began and where it ended, and as it ended."""
    return {name + HALFWAY: interpolated(start, end, 0.5) for name, end in ends.items()} | dict(ends)


def or_halfway(start: Weights, ends: Mapping[str, Weights]) -> Mapping[str, Weights]:
    """Each network as it ended, and halfway between there and where it began."""
    return dict(ends) | halfway(start, ends)


def mixed_with_the_start(start: Weights, ends: Mapping[str, Weights]) -> Mapping[str, Weights]:
    """The network on several places of the line from where it began to where it ended."""
    (end,) = ends.values()
    return {f"{alpha:g}": interpolated(start, end, alpha) for alpha in ALPHAS}


def all_means(start: Weights, ends: Mapping[str, Weights]) -> Mapping[str, Weights]:
    """The mean of each choice of one network or more, named after them: "a", "b", "a + b"."""
    means = {}
    for size in range(1, len(ends) + 1):
        for names in combinations(ends, size):
            mean = MeanOfWeights()
            for name in names:
                mean.add(ends[name])
            means[_together(names)] = mean.weights
    return means


def least(losses: Losses) -> str:
    """The name with the lowest loss."""
    return min(losses, key=lambda name: losses[name].mean())


def first_unless_surely_worse(losses: Losses) -> str:
    """The first name, or the one of the lowest loss where that is lower by more than one standard error."""
    first, best = next(iter(losses)), least(losses)
    return best if are_surely_higher(losses[first], losses[best]) else first


def best_soup(losses: Losses) -> str:
    """The mean of all networks, or the greedy one where its loss is lower; `all_means` has named them."""
    means = {name: float(values.mean()) for name, values in losses.items()}
    singles = [name for name in losses if " + " not in name]
    greedy = _together(greedy_soup(lambda names: means[_together(names)], singles))
    return min(_together(singles), greedy, key=means.__getitem__)


def _together(names: Sequence[str]) -> str:
    return " + ".join(names)


@dataclass(frozen=True)
class Way:
    """A strategy that trains layers.

    Attributes
    ----------
    trials : dict
        By name the phases of each training; every one begins with the pretrained network under the linear probe.
    make : function
        (weights at the start, weights at the end by trial) -> by name the weights of the networks to choose from.
    choose : function
        By name the losses of pictures that were held out, one by one -> the name of the network to take.
    """

    trials: dict[str, Trial]
    make: Callable[[Weights, Mapping[str, Weights]], Mapping[str, Weights]] = itself
    choose: Callable[[Losses], str] = least


def begins_with_zeros(parameters: int, are_few: bool) -> bool:
    """Whether fine-tuning begins under a head of zeros: with many pictures, unless the network is small."""
    return not are_few and not is_small(parameters)


def ways_of(
    strategies: Sequence[str], preset: Preset, model: Model, parameters: int, epochs: int | None, are_few: bool
) -> dict[str, Way]:
    """By strategy what it does with this network; only for those that are asked for.

    Parameters
    ----------
    strategies : several keys of `minicnn.transfer.strategies.FINE_TUNING`
    preset : Preset
    model : Model
        With the new head.
    parameters : int
        Of the pretrained network, with its own head (`minicnn.transfer.learning_rates.is_small`).
    epochs : int or None
        Of each phase; None: as the preset says.
    are_few : bool
        Whether the pictures to learn from are few. Fine-tuning of the upper layers or more then goes back halfway to where it
        began (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", section 4), unless that is surely worse; that of
        the batch norms ends where it ended, unless halfway is surely better. Many pictures train the upper layers for twice as
        long. Batch norms keep their statistics, which did better in nearly all
        tasks of `lessons/laboratory/fine_tuning.py`; but not where many pictures train nearly all layers. Small networks are
        trained for six times as long, at higher rates, and do not go back: they do not learn pictures by heart so soon.
    """
    small, from_zeros = is_small(parameters), begins_with_zeros(parameters, are_few)

    def phase(strategy: str, stage: Stage, freeze_until: str | None, **others) -> Phase:
        head_faster = HEAD_FASTER if from_zeros else 1.0
        rate = head_faster * stage.learning_rate * rate_for_size(parameters)
        length = stage.epochs * (SMALL_LONGER if small else 1)
        options = {"freeze_until": freeze_until, "epochs": epochs or length, "learning_rate": rate}
        options |= {"views": stage.views, "frozen_statistics": True, "pull": preset.pull} | others
        return Phase(STRATEGIES[strategy], **options, body_multiplier=1 / head_faster)

    def upper() -> Phase:
        stage = preset.upper if are_few or small else preset.upper._replace(epochs=LONGER * preset.upper.epochs)
        return phase("finetune-upper", stage, freeze_point(model, UPPER_FROZEN))

    def more() -> Phase:
        return phase("finetune-more", preset.more, freeze_point(model, preset.frozen), frozen_statistics=are_few)

    def few(kind: str) -> Phase:
        stage = preset.upper._replace(learning_rate=FEW_FASTER * preset.upper.learning_rate)
        return phase(kind, stage, None, trained=kind)

    def third(place: tuple[str | None, str]) -> Phase:
        return phase("surgical", preset.upper, place[0], train_until=place[1])

    go_back = are_few and not small
    usual = (halfway, first_unless_surely_worse) if go_back else (itself, least)
    less_far = (or_halfway, first_unless_surely_worse) if go_back else (itself, least)  # moves numbers that are few
    makers: dict[str, Callable[[], Way]] = {
        "finetune-upper": lambda: Way({"upper": (upper(),)}, *usual),
        "interpolate": lambda: Way({"upper": (upper(),)}, mixed_with_the_start),
        "finetune-more": lambda: Way({"more": (upper(), more())}, *usual),
        "biases": lambda: Way({"biases": (few("biases"),)}),
        "norms": lambda: Way({"norms": (few("norms"),)}, *less_far),
        "surgical": lambda: Way(dict(zip(("lower", "middle", "upper"), ((third(p),) for p in thirds(model)), strict=True))),
        "soup": lambda: Way(
            {
                f"rate x {factor:.2g}": (replace(upper(), learning_rate=factor * upper().learning_rate),)
                for factor in SOUP_RATES
            },
            all_means,
            best_soup,
        ),
    }
    return {strategy: make() for strategy, make in makers.items() if strategy in strategies}
