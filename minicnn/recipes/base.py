"""What recipes share, and the plain ones: momentum or AdamW with a rate that rises and falls once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.compose import Rng
from ..data.preprocessing import Preprocessing
from ..data.whitening import Standardization
from ..layers import Dropout
from ..losses import SoftmaxCrossEntropy
from ..models import ARCHITECTURES
from ..models.model import Model
from ..optim import SGD, AdamW, Optimizer
from ..schedules import Schedule, one_cycle
from ..training.trainer import Trainer

Augment = Callable[[np.ndarray, Rng], np.ndarray]


@dataclass(frozen=True)
class Recipe:
    """How to train a network from the beginning: everything but the pictures and the seed.

    This one is stochastic gradient descent with Nesterov's momentum, along one cycle of the learning rate; others write
    `optimizer`, `schedule` or `trainer` anew. Pictures are uint8 (N, H, W, C).

    Attributes
    ----------
    architecture : str
        One of ``minicnn.models.ARCHITECTURES``, which this recipe was made for; it may be used for others.
    epochs, batch_size : int
    learning_rate : float
        The highest.
    weight_decay : float
    label_smoothing : float
        Of the softmax cross-entropy.
    augment : callable or None
        How training pictures are varied.
    average : float
        Decay of the average of the weights that is kept; 0: none.
    dropout : float or None
        The probability in all dropout layers of the network; None: the architecture's own.
    """

    architecture: str = "vgg_small"
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 0.05
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    augment: Augment | None = None
    average: float = 0.0
    dropout: float | None = None

    def network(self, x: np.ndarray, classes: Sequence[str], seed: int, architecture: str | None = None) -> Model:
        """The network before training, with the preprocessing that gives the training pictures x mean 0 and variance 1.

        Raises
        ------
        ValueError
            For an architecture that there is not, or that is not for pictures of this size.
        """
        name = architecture or self.architecture
        if name not in ARCHITECTURES:
            raise ValueError(f"there is no architecture {name!r}; there are {', '.join(ARCHITECTURES)}")
        model = build(name, len(classes), x.shape[1:], seed)
        model.preprocessing = preprocessing_of(x)
        model.classes = list(classes)
        if self.dropout is not None:
            for layer in model.layers.values():
                if isinstance(layer, Dropout):
                    layer.p = self.dropout
        return model

    def optimizer(self, model: Model) -> Optimizer:
        """For all of its parameters."""
        return SGD(model.parameters(), self.learning_rate, momentum=0.9, nesterov=True, weight_decay=self.weight_decay)

    def schedule(self) -> Schedule:
        return one_cycle()

    def trainer(self, model: Model, seed: int, **options: Any) -> Trainer:
        """What trains a `network` of this recipe; options as in `minicnn.training.Trainer`."""
        return Trainer(
            model,
            SoftmaxCrossEntropy(self.label_smoothing),
            self.optimizer(model),
            epochs=self.epochs,
            batch_size=self.batch_size,
            schedule=self.schedule(),
            seed=seed,
            prepare=model.preprocessing.normalise,
            augment=self.augment,
            average=self.average,
            **options,
        )


@dataclass(frozen=True)
class AdamWRecipe(Recipe):
    """The same with AdamW, for networks whose best learning rate is not known."""

    learning_rate: float = 2e-3
    weight_decay: float = 0.05

    def optimizer(self, model: Model) -> Optimizer:
        return AdamW(model.parameters(), self.learning_rate, weight_decay=self.weight_decay)


def build(name: str, num_classes: int, picture: tuple[int, int, int], seed: int) -> Model:
    """The architecture of this name for pictures (H, W, C), with random weights.

    Raises
    ------
    ValueError
        If it has another number of channels, or takes only pictures of another size.
    """
    make, (height, width, channels) = ARCHITECTURES[name], picture
    takes = inspect.signature(make).parameters
    options: dict[str, Any] = {"aux": False} if "aux" in takes else {}
    if "input_shape" in takes:
        options["input_shape"] = (channels, height, width)
    elif "in_channels" in takes:
        options["in_channels"] = channels
    try:
        model = make(num_classes, rng=seed, **options)
        model.input_shape = (channels, height, width)
        model.output_shape((1, channels, height, width))
    except ValueError as error:
        raise ValueError(f"{name} does not take pictures of {height} x {width} with {channels} channels: {error}") from error
    return model


def preprocessing_of(x: np.ndarray) -> Preprocessing:
    """To this size, and (x - mean) / std with the mean and standard deviation of each channel of x uint8 (N, H, W, C)."""
    standardization = Standardization(per="channel").fit(x.transpose(0, 3, 1, 2))
    mean, std = (tuple(values.ravel().tolist()) for values in (standardization.mean, standardization.std))
    return Preprocessing(x.shape[1:3], fit="stretch", channels="L" if x.shape[-1] == 1 else "RGB", mean=mean, std=std)
