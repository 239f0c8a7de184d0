"""The CIFAR-10 speed run: how to reach a given accuracy with as little arithmetic as possible.

Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498, whose section 3 has the ingredients in the
order in which they stand in `SpeedRun`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..data.augmentation import Augmentation
from ..data.compose import Compose
from ..data.crops import RandomCrop
from ..data.flips import AlternatingFlip
from ..initializers import msra
from ..layers import Parameter, patch_whitening
from ..models.model import Model
from ..models.speed_net import SCORE_SCALE
from ..optim import SGD, Optimizer, OptimizerGroup
from ..schedules import Schedule, triangular
from ..training.callbacks import Callback
from ..training.lookahead import Lookahead
from ..training.run import Run
from ..training.trainer import Trainer
from .base import Recipe

WHITENED = 5000  # pictures whose patches decide the first filters
EPS = 5e-4
WHITEN_BIAS_EPOCHS = 3  # then the bias of the first convolution is frozen, and the gradient need not go down there
BIAS_RATE = 64  # times as fast as the others
MOMENTUM = 0.85


@dataclass(frozen=True)
class SpeedRun(Recipe):
    """The recipe, of which each ingredient can be left out.

    Attributes
    ----------
    whitening : bool
        The first filters are the frozen principal directions of 2 x 2 patches, and their negatives. Else they are trained.
    dirac : bool
        Convolutions begin as the identity as far as that is possible.
    fast_biases : bool
        The betas of batch norms are trained at 64 times the rate.
    lookahead : bool
        Every five steps the weights go back to an average of where they have been.
    alternating_flip : bool
        Each picture is mirrored in every other epoch. Else at random.
    learning_rate, weight_decay : float
        Of SGD, for a loss that is the mean over the batch.

    The others are those of `Recipe`.
    """

    architecture: str = "speed_net"
    epochs: int = 10
    batch_size: int = 1000
    learning_rate: float = 1.5
    weight_decay: float = 0.0013
    label_smoothing: float = 0.2
    whitening: bool = True
    dirac: bool = True
    fast_biases: bool = True
    lookahead: bool = True
    alternating_flip: bool = True

    def network(self, x: np.ndarray, classes: Sequence[str], seed: int, architecture: str | None = None) -> Model:
        """The network before training, for pictures x uint8 (N, 32, 32, C).

        Raises
        ------
        ValueError
            For another architecture.
        """
        if (architecture or self.architecture) != "speed_net":
            raise ValueError(f"the recipe speed-run is for speed_net, got {architecture}; choose another recipe for it")
        model = super().network(x, classes, seed)
        if not self.dirac:
            _draw_filters(model, seed)
        for name, parameter in model.parameters().items():
            parameter.decays |= name.endswith(".beta")  # at 64 times the rate they would go astray
        if self.whitening:
            whiten, few = model.layers["whiten"], x[:: max(1, len(x) // WHITENED)]
            whiten.w.value[...] = patch_whitening(model.preprocessing.normalise(few), eps=EPS)
            whiten.b.value[...] = 0
            whiten.w.trainable = False
        return model

    def optimizer(self, model: Model) -> Optimizer:
        """Nesterov's momentum, with rates of their own for the betas of batch norms and for the classifier."""
        parameters = model.parameters()
        betas = {name: p for name, p in parameters.items() if name.endswith(".beta")}
        head = {name: p for name, p in parameters.items() if name.startswith("fc.")}
        others = {name: p for name, p in parameters.items() if name not in betas.keys() | head.keys()}
        faster = BIAS_RATE if self.fast_biases else 1
        slower = SCORE_SCALE**2  # as if the classifier's scores were multiplied by SCORE_SCALE after it
        return OptimizerGroup([self._sgd(others, 1), self._sgd(betas, faster), self._sgd(head, slower)])

    def _sgd(self, parameters: dict[str, Parameter], factor: float) -> SGD:
        """At ``factor`` times the rate, with weight decay as if it were not."""
        return SGD(parameters, self.learning_rate * factor, MOMENTUM, nesterov=True, weight_decay=self.weight_decay / factor)

    def schedule(self) -> Schedule:
        return triangular(start=0.2, peak=0.23, end=0.07)

    def trainer(self, model: Model, seed: int, **options: Any) -> Trainer:
        """What trains it; options as in `minicnn.training.Trainer`."""
        flip = AlternatingFlip() if self.alternating_flip else Augmentation(horizontal_flip=True)
        callbacks = [*options.pop("callbacks", ())]
        if self.lookahead:
            callbacks.append(Lookahead(k=5))
        if self.whitening:
            callbacks.append(FreezeWhitening())
        recipe = replace(self, augment=self.augment or Compose(flip, RandomCrop(pad=2)))
        return super(SpeedRun, recipe).trainer(model, seed, callbacks=callbacks, **options)


def _draw_filters(model: Model, seed: int) -> None:
    """Filters of the blocks drawn at random, as `minicnn.initializers.msra` does, in the place of the identity."""
    rng = np.random.default_rng(seed)
    for parameter in filters_of_blocks(model).values():
        parameter.value[...] = msra(parameter.value.shape, rng)


def filters_of_blocks(model: Model) -> dict[str, Parameter]:
    """The filters of all convolutions but the first, by name."""
    return {name: p for name, p in model.parameters().items() if name.startswith("block") and p.value.ndim == 4}


class FreezeWhitening(Callback):
    """Ends the training of the first convolution's bias after a few epochs: below it there is nothing else to be learned."""

    def on_step_begin(self, run: Run) -> None:
        run.model.layers["whiten"].b.trainable = run.epoch <= WHITEN_BIAS_EPOCHS


def six_view_scores(scores: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """Scores of six views of each picture, averaged: in its place, a pixel up-left and a pixel down-right, each mirrored, too.

    The first of the three counts as much as the other two together. Pixels from outside are reflected ones. Jordan 2024,
    section 3.5.

    Parameters
    ----------
    scores : callable
        From (N, C, H, W) to (N, K): the ``forward`` of a network in eval mode.
    x : (N, C, H, W)

    Returns
    -------
    (N, K)
    """
    H, W = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    views = ((x, 0.5), (padded[..., :H, :W], 0.25), (padded[..., 2:, 2:], 0.25))
    return sum(weight / 2 * scores(np.ascontiguousarray(side)) for view, weight in views for side in (view, view[..., ::-1]))
