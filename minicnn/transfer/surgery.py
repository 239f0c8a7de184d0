"""Surgery on a pretrained network: where to cut it, how far to freeze it, and how it gets a head for other classes."""

from __future__ import annotations

import numpy as np

from ..layers import Dropout, Flatten, GlobalAvgPool2d, Linear
from ..linear_model.base import LinearClassifier
from ..models.model import Model

# Shares of the multiply-adds that stay frozen while the upper part is trained, and while more of it is
UPPER_FROZEN, MORE_FROZEN = 0.6, 0.25


def freeze_points(model: Model) -> tuple[str, str]:
    """Where to cut for fine-tuning the upper part and for fine-tuning more of it.

    The layers by which three fifths, and a quarter, of the network's multiply-adds are done: the first leaves the most specific
    layers to train, the second all but the general ones (edges, colours, textures).
    """
    return freeze_point(model, UPPER_FROZEN), freeze_point(model, MORE_FROZEN)


def freeze_point(model: Model, share: float) -> str:
    """The lowest top-level layer by which this share, 0 to 1, of the network's multiply-adds below the classifier is done."""
    names = below_classifier(model)
    shape = (1, *model.input_shape)
    costs = []
    for name in names:
        costs.append(model.layers[name].multiply_adds(shape))
        shape = model.layers[name].output_shape(shape)
    return names[int(np.argmax(np.cumsum(costs) >= share * sum(costs)))]


def with_new_head(model: Model, layer: str, classes: list[str]) -> Model:
    """A copy of the network up to ``layer`` with an untrained classifier for ``classes`` on top of its codes.

    At the usual layer, right below the classifier, this replaces the head and keeps the dropout before it; below that, what
    lies above is cut off, and feature maps are averaged over space first. Side heads, made for the old classes, are left out.
    """
    if layer == default_layer(model):
        model = model.copy()
        model.replace_head(classes, rng=0)
        return model
    model = model.cut(layer)
    shape = model.output_shape((1, *model.input_shape))
    model.append("codes", GlobalAvgPool2d() if len(shape) == 4 else Flatten())
    model.append("classifier", Linear(shape[1], len(classes), rng=0))
    model.classes = list(classes)
    return model


def set_head(model: Model, classifier: LinearClassifier, scale: float = 1.0) -> None:
    """Write a trained linear classifier into the network's own: scores of the network = scale * scores on the codes."""
    head = model.classifier
    head.w.value[...] = scale * classifier.w.reshape(head.w.value.shape)  # a 1x1 convolution has two axes more
    head.b.value[...] = scale * classifier.b


def default_layer(model: Model) -> str:
    """The top-level layer whose output is the code: the last one below the classifier that is not dropout.

    In most networks that is the pool after the last ReLU; in SqueezeNet, whose pool comes after its classifier, it is fire9.
    """
    return next(name for name in reversed(below_classifier(model)) if not isinstance(model.layers[name], Dropout))


def below_classifier(model: Model) -> list[str]:
    """Names of the top-level layers below the one that the classifier is or is in."""
    names = list(model.layers)
    return names[: names.index(model.classifier_name.split(".")[0])]
