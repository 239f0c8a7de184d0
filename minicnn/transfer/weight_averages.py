"""Averages of the weights of networks that were fine-tuned from one start.

Such networks lie in one valley of the loss: on the straight line between two of them it hardly rises, so that their mean is a
network too, and mostly a better one than each (Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned
models improves accuracy without increasing inference time", section 4). The same holds for the line from where fine-tuning
began to where it ended: in between lies what keeps most of the old knowledge and has most of the new (Wortsman et al. 2022,
"Robust fine-tuning of zero-shot models", who call it WiSE-FT).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..models.model import Model

Weights = Mapping[str, np.ndarray]


def weights_of(model: Model) -> dict[str, np.ndarray]:
    """Copies of all parameters and of batch norm's statistics, by name."""
    return {name: array.copy() for name, array in _arrays(model).items()}


def put_weights(model: Model, weights: Weights) -> None:
    """Write weights, as `weights_of` gives them, into a model of the same layers.

    Raises
    ------
    ValueError
        If these are not the model's weights; nothing is changed then.
    """
    arrays = _arrays(model)
    if {name: np.shape(array) for name, array in weights.items()} != {name: array.shape for name, array in arrays.items()}:
        raise ValueError(f"these weights are not those of this {model.architecture}: names or shapes differ")
    for name, array in arrays.items():
        np.copyto(array, weights[name])


def _arrays(model: Model) -> dict[str, np.ndarray]:
    return {name: parameter.value for name, parameter in model.parameters().items()} | model.state()


class MeanOfWeights:
    """The mean of several networks' weights, theta = 1/M sum_m theta_m: a uniform soup.

    They are taken in one after another, theta += (theta_m - theta) / m, so that what is equal in all of them stays so to the
    bit.

    >>> mean = MeanOfWeights()
    >>> for values in ([1.0, 5.0], [3.0, 5.0]):
    ...     mean.add({"w": np.array(values)})
    >>> mean.weights
    {'w': array([2., 5.])}
    """

    def __init__(self) -> None:
        self.weights: dict[str, np.ndarray] = {}
        self.networks = 0

    def add(self, weights: Weights) -> None:
        """Take in another network.

        Raises
        ------
        ValueError
            If it has other weights.
        """
        if self.networks and set(weights) != set(self.weights):
            raise ValueError("a mean of weights is of networks with the same layers, and this one's differ")
        self.networks += 1
        self.weights = {name: self._with(name, array) for name, array in weights.items()}

    def _with(self, name: str, array: np.ndarray) -> np.ndarray:
        if self.networks == 1:
            return array
        mean = self.weights[name]
        return mean + ((array - mean) / self.networks).astype(mean.dtype)


def interpolated(start: Weights, end: Weights, alpha: float) -> dict[str, np.ndarray]:
    """theta = theta_start + alpha (theta_end - theta_start): 0 is where fine-tuning began, 1 where it ended.

    >>> interpolated({"w": np.array([0.0, 4.0])}, {"w": np.array([2.0, 4.0])}, 0.25)
    {'w': array([0.5, 4. ])}
    """
    return {name: (array + alpha * (end[name] - array)).astype(array.dtype) for name, array in start.items()}


def greedy_soup(loss: Callable[[tuple[str, ...]], float], names: Sequence[str]) -> tuple[str, ...]:
    """Which networks to average: one after another is taken in if the mean with it has no higher loss than without.

    Parameters
    ----------
    loss : function
        Of the mean of the networks with these names, in the order of ``names``, on validation pictures.
    names : several str
        It begins with the best one alone, and tries the others from the best to the worst.

    Wortsman et al. 2022, "Model soups", recipe 1.

    >>> losses = {("a",): 2, ("b",): 1, ("c",): 3, ("a", "b"): 0.5, ("a", "b", "c"): 0.7}
    >>> greedy_soup(losses.get, "abc")
    ('a', 'b')
    """
    first, *others = sorted(names, key=lambda name: loss((name,)))
    chosen = (first,)
    for name in others:
        larger = tuple(one for one in names if one in (*chosen, name))
        if loss(larger) <= loss(chosen):
            chosen = larger
    return chosen
