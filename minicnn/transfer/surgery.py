"""Surgery on a pretrained network: where to cut it, how far to freeze it, and how it gets a head for other classes."""

from __future__ import annotations

import numpy as np

from ..layers import Flatten, GlobalAvgPool2d, Linear
from ..linear_model.base import LinearClassifier
from ..models.model import Model

# Shares of the multiply-adds that stay frozen while the upper layers are trained, and while more layers are
UPPER_FROZEN, MORE_FROZEN = 0.6, 0.25


# ---- where


def below_classifier(model: Model) -> list[str]:
    """Names of the top-level layers below the one that the classifier is or is in.

    Raises
    ------
    ValueError
        If the model has no classifier, or nothing below it.
    """
    names = list(model.layers)
    lower = names[: names.index(model.classifier_name.split(".")[0])]
    if not lower:
        raise ValueError(f"{model.architecture} has no layer below its classifier {model.classifier_name!r}, and so no codes")
    return lower


def default_layer(model: Model) -> str:
    """The top-level layer whose output is the code: the last one below the classifier that is not dropout.

    In most networks that is the pool after the last ReLU; in SqueezeNet, whose pool comes after its classifier, it is fire9.

    Raises
    ------
    ValueError
        If the model has no classifier, or nothing but dropout below it.

    >>> from minicnn.models import lenet5
    >>> default_layer(lenet5())
    'relu6'
    """
    for name in reversed(below_classifier(model)):
        if not model.layers[name].is_identity_in_inference:
            return name
    raise ValueError(f"{model.architecture} has nothing but dropout below its classifier, and so no codes")


def freeze_points(model: Model) -> tuple[str, str]:
    """The layers up to which to freeze for fine-tuning the upper layers, and for fine-tuning more of them.

    Up to the first, three fifths of the network's multiply-adds are done, which leaves the most specific layers to train; up to
    the second a quarter, which leaves all but the most general ones (edges, colours, textures).

    Raises
    ------
    ValueError
        As in `freeze_point`.

    >>> from minicnn.models import lenet5
    >>> freeze_points(lenet5())
    ('c3', 'c1')
    """
    return freeze_point(model, UPPER_FROZEN), freeze_point(model, MORE_FROZEN)


def freeze_point(model: Model, share: float) -> str:
    """The lowest top-level layer by which this share of the network's multiply-adds below the classifier is done.

    Parameters
    ----------
    model : Model
    share : float
        From 0 (the lowest layer) to 1.

    Raises
    ------
    ValueError
        If the share is not from 0 to 1, or the model has no classifier or nothing below it.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share of the multiply-adds that stays frozen is a number from 0 to 1, got {share}")
    names = below_classifier(model)
    shape = (1, *model.input_shape)
    costs = []
    for name in names:
        costs.append(model.layers[name].multiply_adds(shape))
        shape = model.layers[name].output_shape(shape)
    return names[int(np.argmax(np.cumsum(costs) >= share * sum(costs)))]


def thirds(model: Model) -> tuple[tuple[str | None, str], ...]:
    """The layers with parameters below the classifier in three parts of about equally many, for surgical fine-tuning: for each
    part the layer up to which to freeze (None for the lowest), and its own last layer.

    Raises
    ------
    ValueError
        If there are fewer than three such layers, or the model has no classifier.

    >>> from minicnn.models import lenet5
    >>> thirds(lenet5())
    ((None, 'c1'), ('c1', 'c5'), ('c5', 'f6'))
    """
    names = [name for name in below_classifier(model) if model.layers[name].parameters()]
    if len(names) < 3:
        raise ValueError(
            f"{model.architecture} has {len(names)} layers to train below its classifier ({', '.join(names)}), too few for "
            "three parts"
        )
    ends = [names[round(len(names) * part / 3) - 1] for part in (1, 2, 3)]
    return (None, ends[0]), (ends[0], ends[1]), (ends[1], ends[2])


# ---- a new head


def with_new_head(model: Model, layer: str, classes: list[str]) -> Model:
    """A copy of the network up to ``layer`` with an untrained classifier for ``classes`` on top of its codes.

    At the usual layer, right below the classifier, this replaces the head and keeps the dropout before it; at a lower one, what
    lies above is cut off, and feature maps are averaged over space first. Auxiliary heads, made for the old classes, are left
    out.

    Parameters
    ----------
    model : Model
        Pretrained, with a classifier; it is not changed.
    layer : str
        A top-level layer, see `default_layer`.
    classes : list of str
        The new ones.

    Raises
    ------
    ValueError
        If the model has no classifier, there is no such layer, or the classes' names do not differ.
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
    """Write a trained linear classifier into the network's own: scores of the network = scale * scores on the codes.

    Parameters
    ----------
    model : Model
        With a linear head for as many classes, as `with_new_head` makes it; changed in place.
    classifier : LinearClassifier
        Trained on this network's codes.
    scale : float
        For instance the factor that `minicnn.linear_model.calibrate` gives.

    Raises
    ------
    ValueError
        If the classifier is not trained, or is for other classes or other codes than the head; if the head has no biases.
    """
    head = model.classifier
    expected = head.w.value.shape[:2]
    if classifier.w.shape != expected or head.b is None:
        raise ValueError(
            f"the classifier's weights {classifier.w.shape} (classes, numbers in a code) do not fit the head of "
            f"{model.architecture}, which has weights {expected} and {'no' if head.b is None else expected[0]} biases; "
            "with_new_head(model, layer, classes) makes one for the codes of a layer"
        )
    head.w.value[...] = scale * classifier.w.reshape(head.w.value.shape)  # a 1x1 convolution has two axes more
    head.b.value[...] = scale * classifier.b


def scale_scores(model: Model, factor: float) -> None:
    """Multiply all scores of a network by a number, in its classifier: probabilities get more or less certain, answers stay."""
    for parameter in model.classifier.parameters().values():
        parameter.value *= parameter.value.dtype.type(factor)
