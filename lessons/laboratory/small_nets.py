"""A network that learns CIFAR-10's pictures within minutes on one core, and how the experiments train it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from small_data import small_pictures

from minicnn.cache import cache_folder
from minicnn.data import Augmentation, Preprocessing
from minicnn.inference.batches import infer
from minicnn.inference.fusion import fuse
from minicnn.layers import (
    BatchNorm2d,
    Conv2d,
    GlobalAvgPool2d,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
)
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models.blocks import Rng, conv_norm
from minicnn.models.model import Model
from minicnn.optim import AdamW
from minicnn.pretrained import load_model
from minicnn.schedules import constant, one_cycle
from minicnn.training import History, Trainer

MOVED = Augmentation(horizontal_flip=True, shift=0.1)  # mirrored half of the time, and moved by up to three pixels
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")  # below the classifier


def small_net(classes: int, preprocessing: Preprocessing | None = None, rng: Rng = None) -> Model:
    """Five convolutions with batch norm and a classifier: 126,000 parameters, 6.2 million multiply-adds a picture.

    The picture is halved by the first convolution's stride and by two max pools, which come before the batch norm: that leaves
    a quarter of the numbers to normalise, and the maximum is what the ReLU would have let through anyway.

    >>> model = small_net(10)
    >>> model.output_shape((1, 3, 32, 32)), round(model.multiply_adds((1, 3, 32, 32)) / 1e6, 1)
    ((1, 10), 6.2)
    """
    rng = np.random.default_rng(rng)
    layers = {
        "conv1": conv_norm(3, 16, 5, stride=2, rng=rng),  # 16 x 16 x 16
        "conv2": pooled_unit(16, 32, rng),  # 8 x 8 x 32
        "conv3": conv_norm(32, 64, 3, rng=rng),  # 8 x 8 x 64
        "conv4": pooled_unit(64, 64, rng),  # 4 x 4 x 64
        "conv5": conv_norm(64, 128, 3, rng=rng),  # 4 x 4 x 128
        "pool": GlobalAvgPool2d(),
        "fc": Linear(128, classes, rng=rng),
    }
    return Model(layers, architecture="small_net", input_shape=(3, 32, 32), preprocessing=preprocessing)


def pooled_unit(in_channels: int, out_channels: int, rng: np.random.Generator) -> Sequential:
    """y = relu(norm(maximum over 2x2 of w * x)), with 3x3 filters."""
    conv = Conv2d(in_channels, out_channels, 3, pad=1, bias=False, rng=rng)
    return Sequential(conv=conv, pool=MaxPool2d(2), norm=BatchNorm2d(out_channels), relu=ReLU())


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    epochs, batch_size : int
    learning_rate : float
        Of AdamW, at its highest.
    body : float
        What of it the layers below the classifier get: less than 1 for those that are pretrained.
    anneal : bool
        Whether the rate rises and falls in one cycle. If not it is constant, and the mean of the weights over about the last
        200 steps is what counts: that is good at any moment, however long the training is to be.
    """

    epochs: int
    learning_rate: float
    batch_size: int = 64
    body: float = 1.0
    anneal: bool = True
    weight_decay: float = 0.05


def train(
    model: Model,
    recipe: Recipe,
    x: np.ndarray,
    y: np.ndarray,
    seed: int,
    freeze_until: str | None = None,
    watch: tuple[np.ndarray, np.ndarray] | None = None,
    augmentation: Augmentation = MOVED,
) -> History:
    """Train in place with what is up to ``freeze_until`` frozen.

    The last epoch's weights stay. With ``watch``, validation pictures and their labels, it is those of the epoch that does best
    on them, and the history has its accuracy after each epoch.
    """
    model.unfreeze()
    if freeze_until:
        model.freeze(until=freeze_until)
    for name, parameter in model.parameters().items():
        parameter.learning_rate_multiplier = 1.0 if name.startswith(f"{model.classifier_name}.") else recipe.body
    return fit(model, recipe, x, y, seed, model.preprocessing.normalise, augmentation, watch)


def fit(
    network: Layer,
    recipe: Recipe,
    x: np.ndarray,
    y: np.ndarray,
    seed: int,
    prepare: Callable[[np.ndarray], np.ndarray],
    augment: Callable[[np.ndarray, np.random.Generator], np.ndarray],
    watch: tuple[np.ndarray, np.ndarray] | None = None,
) -> History:
    """`Trainer` with AdamW, as the recipe says."""
    trainer = Trainer(
        network,
        SoftmaxCrossEntropy(),
        AdamW(network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay),
        epochs=recipe.epochs,
        batch_size=min(recipe.batch_size, len(x)),
        schedule=one_cycle() if recipe.anneal else constant(),
        seed=seed,
        prepare=prepare,
        augment=augment,
        average=0.0 if recipe.anneal else 0.995,
        progress=False,
    )
    return trainer.fit(x, y, *(watch or ()))


def accuracy(model: Model, x: np.ndarray, y: np.ndarray) -> float:
    """Share of the pictures (N, 32, 32, C) that the network names rightly."""
    scores = infer(fuse(model), len(x), lambda rows: model.preprocessing.normalise(x[rows]))
    return float((scores.argmax(1) == y).mean())


def pretrain(data: str, classes: tuple[str, ...], most: tuple[int, int], per_class: int, recipe: Recipe, seed: int) -> dict:
    """Train a network from a random start on some classes, and keep it in the cache folder (a `Piece`).

    Returns its file's name there, its test accuracy, and the seconds of training.
    """
    pictures = small_pictures(data, classes, most).draw(per_class, seed)
    model = small_net(len(classes), pictures.statistics(), rng=seed)
    started = time.perf_counter()
    train(model, recipe, pictures.x, pictures.y, seed)
    seconds = time.perf_counter() - started
    file = network_name("small_net", data, classes, most, per_class, recipe, seed)
    model.classes = list(classes)
    model.save(network_file(file))
    return {
        "file": file,
        "test_accuracy": accuracy(model, pictures.x_test, pictures.y_test),
        "seconds": seconds,
    }


def network_name(kind: str, *recipe: object) -> str:
    """A file's name for the network that this recipe makes."""
    return f"{kind}-{hashlib.sha256(repr(recipe).encode()).hexdigest()[:24]}.h5"


def network_file(name: str) -> Path:
    """Where a network of that name is kept."""
    return cache_folder() / "laboratory" / name


def with_head(file: str, classes: int, seed: int) -> Model:
    """A pretrained network with a new classifier."""
    model = load_model(network_file(file))
    model.replace_head(classes, rng=seed)
    return model
