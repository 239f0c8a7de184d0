"""Two classes, one sigmoid: a pretrained network with a single output, the probability of the second class.

The recipe of Chollet 2016, "Building powerful image classification models using very little data" (the Keras blog), for cats
and dogs: first the "bottleneck features" (CNN codes) are computed once, and a small network is trained on them; then it is put
on top of the pretrained one, and the top block of that is fine-tuned with it, gently (`minicnn.transfer.finetune.fine_tune`
with ``loss=loss_of(model)``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..inference.batches import infer
from ..inference.fusion import fuse
from ..initializers import normal
from ..layers import (
    Dropout,
    GlobalAvgPool2d,
    Layer,
    Linear,
    ReLU,
    Sequential,
)
from ..losses import BinaryLogistic, Loss, SoftmaxCrossEntropy
from ..models.heads import replace_classifier
from ..models.model import HEAD_STD, Model
from ..optim import AdamW
from ..training import History, Trainer
from .features import pool_features
from .surgery import below_classifier, default_layer

HEAD = "small_head"


def with_small_head(
    model: Model,
    classes: Sequence[str],
    outputs: int = 1,
    hidden: int = 256,
    dropout: float = 0.5,
    rng: np.random.Generator | int | None = None,
) -> Model:
    """A copy of the network up to its codes, with a small untrained network on top, "small_head": hidden, relu, dropout, score.

    Parameters
    ----------
    model : Model
        Pretrained; it is not changed. Feature maps, where the codes are maps, are averaged over space.
    classes : two names
        The score, or its sigmoid, speaks for the second.
    outputs : 1 or 2
        One score for a sigmoid, or two for a softmax.
    hidden : int
        Units of the hidden layer; 256 in the recipe.
    dropout : float
        Probability of dropping a hidden unit while training.
    rng : None, int or numpy.random.Generator

    Raises
    ------
    ValueError
        If there are not two classes, or another number of outputs.

    >>> from minicnn.models import lenet5
    >>> model = with_small_head(lenet5(), ["even", "odd"], hidden=16, rng=0)
    >>> list(model.layers)[-2:], list(model.layers["small_head"].layers), model.output_shape((1, 1, 28, 28))
    (['relu6', 'small_head'], ['hidden', 'relu', 'dropout', 'score'], (1, 1))
    """
    if isinstance(classes, str) or len(set(classes)) != 2 or outputs not in (1, 2):
        raise ValueError(f"expected two classes and 1 or 2 outputs, got the classes {classes!r} and {outputs} outputs")
    rng = np.random.default_rng(rng)
    lower = model.cut(default_layer(model))
    layers: dict[str, Layer] = dict(lower.layers)
    shape = lower.output_shape((1, *model.input_shape))
    if len(shape) == 4:
        layers["codes"] = GlobalAvgPool2d()
    layers[HEAD] = Sequential(
        hidden=Linear(shape[1], hidden, rng=rng),
        relu=ReLU(),
        dropout=Dropout(dropout, rng),
        score=Linear(hidden, outputs, initializer=normal(HEAD_STD), rng=rng),
    )
    name = f"{model.architecture} with {'one sigmoid' if outputs == 1 else 'two softmax outputs'}"
    return Model(**lower.config() | {"layers": layers, "architecture": name, "classes": list(classes)})


def loss_of(model: Model) -> Loss:
    """The loss that fits the scores: binary logistic for one, softmax cross-entropy for several."""
    outputs = model.output_shape((1, *model.input_shape))[-1]
    return BinaryLogistic() if outputs == 1 else SoftmaxCrossEntropy()


def train_head(
    model: Model,
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
    epochs: int = 30,
    learning_rate: float = 1e-3,
    batch_size: int = 16,
    seed: int = 0,
    progress: bool = True,
) -> History:
    """Train the small head of ``with_small_head`` on codes that are computed once; the layers below are frozen.

    Parameters
    ----------
    model : Model
        Trained in place; it keeps the epoch with the lowest validation loss.
    train, val : (pictures uint8 (N, H, W, C), labels (N,) of 0 and 1)
        As ``PictureSet.fitted`` gives them.

    Raises
    ------
    ValueError
        If the model has no such head.
    """
    if HEAD not in model.layers:
        raise ValueError(f"{model.architecture} has no small head to train; with_small_head(model, classes) puts one on top")
    codes_at = below_classifier(model)[-1]
    model.unfreeze()
    model.freeze(until=codes_at)
    lower, head = model.split(codes_at)
    pixels, label = np.concatenate([train[0], val[0]]), "bottleneck features" if progress else None
    codes = infer(fuse(lower), len(pixels), lambda i: model.preprocessing.normalise(pixels[i]), pool_features, label)
    x, x_val = codes[: len(train[0])], codes[len(train[0]) :]
    trainer = Trainer(
        head,
        loss_of(model),
        AdamW(head.parameters(), learning_rate),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        monitor="loss",
        progress=progress,
        label="head on bottleneck features",
    )
    return trainer.fit(x, train[1], x_val, val[1])


def to_one_sigmoid(model: Model) -> Model:
    """A copy of a two-class network with one score instead of two, s = s_1 - s_0, and the same probabilities.

    softmax(s_0, s_1)_1 = 1 / (1 + exp(-(s_1 - s_0))) = sigmoid(s), so that w = w_1 - w_0 and b = b_1 - b_0 give every picture
    the same probability. In training they differ: both of the two scores move, in opposite directions, so that with plain
    gradient descent their difference takes steps twice as long as the one score does at the same learning rate.

    Raises
    ------
    ValueError
        If the network has not two scores from a last linear layer.
    """
    output = model.output_shape((1, *model.input_shape))
    if output != (1, 2):
        raise ValueError(f"expected a network with two scores, (1, 2) for one picture; {model.architecture} gives {output}")
    old, one = model.classifier, model.copy()
    new = replace_classifier(one, 1, normal(HEAD_STD), rng=0)
    if len(list(one.walk())) != len(list(model.walk())):
        raise ValueError(
            f"the scores of {model.architecture} are not those of a linear layer (there is a ReLU on them, or there are "
            "auxiliary heads), and neither is their difference; model.replace_head(classes) first, and train it"
        )
    new.w.value[...] = old.w.value[1:] - old.w.value[:1]
    new.b.value[...] = 0 if old.b is None else old.b.value[1:] - old.b.value[:1]
    one.architecture = f"{model.architecture} with one sigmoid"
    return one
