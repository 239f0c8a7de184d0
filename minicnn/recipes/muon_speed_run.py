"""The CIFAR-10 speed run with Muon: fewer epochs to the same accuracy.

Jordan, Jin, Boza, You, Cesista, Newhouse and Bernstein 2024, "Muon: An optimizer for hidden layers in neural networks",
kellerjordan.github.io/posts/muon, and the record of CIFAR-10 that it reports; network, pictures and views are those of
`SpeedRun`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..layers import Parameter
from ..models.model import Model
from ..optim import SGD, Muon, Optimizer, OptimizerGroup
from ..schedules import Schedule, linear
from ..training.callbacks import Callback
from ..training.run import Run
from ..training.trainer import Trainer
from .speed_run import MOMENTUM, SpeedRun, filters_of_blocks

FILTER_MOMENTUM = 0.6
ITERATIONS = 3  # of Newton and Schulz: enough for filters, as turning them need not be exact
BIAS_LEARNING_RATE = 106.0  # of SGD for the betas and the first bias
CLASSIFIER_LEARNING_RATE = 0.02
SHRINKING = 0.004  # of what SGD trains, a step at the highest rate: learning rate times weight decay


@dataclass(frozen=True)
class MuonSpeedRun(SpeedRun):
    """Filters are turned by `minicnn.optim.Muon`, and have a fixed length; rates fall to 0 along a line.

    Attributes
    ----------
    learning_rate : float
        Of Muon.
    weight_decay : float
        Of Muon: none, as the filters' lengths are fixed.

    The others are those of `SpeedRun`, of which ``fast_biases`` changes nothing here: biases have a rate of their own.
    """

    epochs: int = 8
    batch_size: int = 2000
    learning_rate: float = 0.24
    weight_decay: float = 0.0
    lookahead: bool = False

    def optimizer(self, model: Model) -> Optimizer:
        """Muon for the filters of the blocks; Nesterov's momentum for all else."""
        parameters, filters = model.parameters(), filters_of_blocks(model)
        head = {name: p for name, p in parameters.items() if name.startswith("fc.")}
        biases = {name: p for name, p in parameters.items() if name not in filters.keys() | head.keys()}
        muon = Muon(filters, self.learning_rate, FILTER_MOMENTUM, self.weight_decay, ITERATIONS)
        return OptimizerGroup([muon, _sgd(biases, BIAS_LEARNING_RATE), _sgd(head, CLASSIFIER_LEARNING_RATE)])

    def schedule(self) -> Schedule:
        return linear()

    def trainer(self, model: Model, seed: int, **options: Any) -> Trainer:
        """What trains it; options as in `minicnn.training.Trainer`."""
        return super().trainer(model, seed, callbacks=[*options.pop("callbacks", ()), FixedLengths()], **options)


def _sgd(parameters: dict[str, Parameter], rate: float) -> SGD:
    return SGD(parameters, rate, MOMENTUM, nesterov=True, weight_decay=SHRINKING / rate)


class FixedLengths(Callback):
    """Before each step the filters w (F, C, k, k) of a layer get the length |w| = sqrt(F), so that Muon turns all alike."""

    def on_step_begin(self, run: Run) -> None:
        for parameter in filters_of_blocks(run.model).values():
            w = parameter.value
            w *= w.dtype.type(np.sqrt(len(w)) / np.linalg.norm(w))
