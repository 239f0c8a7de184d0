"""Which layer learns how fast: multipliers of the optimiser's learning rate, layer by layer.

The lower layers of a pretrained network are general and nearly right for any picture; the upper ones, and most of all a new
head, have more to learn. So the learning rate grows from the bottom to the top. ``model.summary()`` shows the multipliers if
they differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..layers.base import Layer
from ..layers.norm import BatchNorm
from ..models.model import Model

DECAY = 1 / 2.6  # Howard & Ruder 2018, section 3.2
SMALL, SMALL_FASTER = 1_000_000, 5.0  # parameters; times (lessons/laboratory/learning_rates.py)


def parameters_of(layer: Layer) -> int:
    """How many numbers the parameters of a layer or a whole network have."""
    return sum(parameter.value.size for parameter in layer.parameters().values())


def is_small(parameters: int) -> bool:
    """Whether a pretrained network with so many parameters, its own head included, is small: it learns hardly by heart."""
    return parameters < SMALL


def rate_for_size(parameters: int) -> float:
    """What to multiply learning rates with, as small networks can take higher ones.

    >>> rate_for_size(61_706), rate_for_size(3_400_000)
    (5.0, 1.0)
    """
    return SMALL_FASTER if is_small(parameters) else 1.0


def set_learning_rates(model: Model, multipliers: Mapping[str, float]) -> None:
    """Multiply the learning rate of what is named: ``{"block4": 0.1, "head": 1.0}``.

    A path stands for all layers inside, and a longer path overrules a shorter one, whatever their order. Parameters that are
    not named keep their multiplier. It is read at every step of the optimiser.

    Parameters
    ----------
    model : Model
    multipliers : mapping from a path to a number above 0
        Of layers or parameters: ``"block3"``, ``"block3.body.expand.conv.w"``.

    Raises
    ------
    ValueError
        For a path that is not there or has no parameters; for numbers that are not above 0 and finite.

    >>> from minicnn.models import lenet5
    >>> model = lenet5()
    >>> set_learning_rates(model, {"c1": 0.1, "c3": 0.1, "c3.b": 0.5})
    >>> {path: parameter.learning_rate_multiplier for path, parameter in list(model.parameters().items())[:5]}
    {'c1.w': 0.1, 'c1.b': 0.1, 'c3.w': 0.1, 'c3.b': 0.5, 'c5.w': 1.0}
    """
    parameters = model.parameters()
    inside = {path: [name for name in parameters if name == path or name.startswith(f"{path}.")] for path in multipliers}
    for path, number in multipliers.items():
        if not inside[path]:
            raise ValueError(
                f"there is nothing to learn at {path!r} in {model.architecture}; its layers with parameters are "
                f"{', '.join(_learning(model))}, and one inside is named by its path, e.g. {max(parameters, key=len)!r}"
            )
        if not 0 < number < math.inf:
            raise ValueError(
                f"the learning rate of {path!r} is multiplied by a finite number above 0, got {number!r}; "
                f"to keep it as it is, model.freeze(names={path!r})"
            )
    for path in sorted(multipliers, key=lambda path: path.count(".")):
        for name in inside[path]:
            parameters[name].learning_rate_multiplier = float(multipliers[path])


def discriminative_rates(model: Model, decay: float = DECAY) -> dict[str, float]:
    """Learning rates that fall from the head down, layer by layer: multiplier of layer l = decay^(L - l), with L the head.

    The layers are the top-level ones with parameters, blocks as a whole; batch norm goes with the layer before it. The paper's
    decay, 1 / 2.6, is for four layers: a network of eighteen blocks would hardly learn at its lower end (2.6^-17 is 1e-7), and
    wants 0.7 to 0.9.

    Returns the multipliers, which have been set.

    Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification" (arXiv 1801.06146), section 3.2,
    "Discriminative fine-tuning".

    Raises
    ------
    ValueError
        If decay is not above 0 and at most 1.

    >>> from minicnn.models import lenet5
    >>> discriminative_rates(lenet5(), decay=0.5)
    {'c1': 0.0625, 'c3': 0.125, 'c5': 0.25, 'f6': 0.5, 'output': 1.0}
    """
    if not 0 < decay <= 1:
        raise ValueError(f"decay is a layer's learning rate as a share of the next higher one's, above 0 to 1, got {decay}")
    multipliers, number = {}, 1.0
    for name in reversed(_learning(model)):
        multipliers[name] = number
        if not isinstance(model.layers[name], BatchNorm):
            number *= decay
    multipliers = dict(reversed(multipliers.items()))
    set_learning_rates(model, multipliers)
    return multipliers


def _learning(model: Model) -> list[str]:
    return [name for name, layer in model.layers.items() if layer.parameters()]
