"""The advisor: from a network and pictures to a strategy, with the reasons for it and the measurements behind them.

advice = advise(minicnn.load("efficientnet_lite0"), open_pictures("pictures/"))
print(advice.text())
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

import numpy as np

from ..data.findings import findings_table
from ..data.picture_set import PictureSet
from ..data.splits import split_pictures
from ..layers import Flatten, GlobalAvgPool2d, Linear
from ..models.model import Model
from ..transfer.finetune import Phase
from ..transfer.learning_rates import rate_for_size
from ..transfer.setup import check_preprocessing
from ..transfer.surgery import freeze_points
from .advice import Advice
from .measurements import has_classifier, measure_pictures
from .rules import Choice, choose

MOST_PICTURES = {"quick": 300, "default": 1000}  # that are measured
# AdamW's learning rate at the top of its cycle, for a new head or for all layers from scratch; pretrained layers get
# Phase.body_multiplier of it. Small networks can take a higher one (lessons/laboratory/learning_rates.py).
RATE = 2e-3
NORMS_RATE = 5e-3  # of batch norms alone with a head that begins as the linear classifier: as `minicnn transfer` trains them
EXPENSIVE = 100e6  # multiply-adds a picture, from which on the lowest quarter of a network is better left frozen on a laptop


def advise(
    model: Model,
    pictures: PictureSet,
    quick: bool = False,
    progress: bool = True,
    log: Callable[[str], None] = lambda line: None,
    words: Sequence[str] = (),
) -> Advice:
    """Measure how the pictures relate to the network, and choose a strategy.

    Only those pictures are measured that ``minicnn transfer`` trains and validates on with its first seed; its test part does
    not influence the advice. (If some pictures cannot be read, the two draw their parts from different sets.)

    Parameters
    ----------
    model : Model
        Pretrained, with its preprocessing; it is not changed.
    pictures : PictureSet
    quick : bool
        Measure 300 pictures at most instead of 1,000.
    progress : bool
        Show bars.
    log : function
        Is called with lines that tell the progress.
    words : several str
        Of the command line that name data and model, such as ("--data", "pictures/"), for the recommended command.

    Raises
    ------
    DataError
        If the model does not say how pictures become its input, or a class has too few pictures.
    """
    check_preprocessing(model, model.architecture)
    learning, parts = pictures_to_learn_from(pictures)
    log(f"{len(learning)} of {len(pictures)} pictures to learn from, {len(pictures.classes)} classes: {pictures.name}")
    log(findings_table(pictures, parts))
    measurements = measure_pictures(model, learning, MOST_PICTURES["quick" if quick else "default"], progress)
    choice = choose(measurements)
    codes = {"svm": measurements.last, "svm-earlier": measurements.earlier}.get(choice.strategy)
    layer = None if codes is None else codes.layer
    head_rate, body_rate = _rates(choice, measurements.parameters)
    return Advice(
        model=model.architecture,
        data=pictures.name,
        classes=tuple(pictures.classes),
        choice=choice,
        layer=layer,
        grid=1 if codes is None else codes.grid,
        freeze_until=_freeze_until(choice, model, layer),
        head_rate=head_rate,
        body_rate=body_rate,
        measurements=measurements,
        command=_command(choice, [*words, *["--balance"] * measurements.is_uneven], layer, model.architecture),
    )


def pictures_to_learn_from(pictures: PictureSet) -> tuple[PictureSet, dict[str, np.ndarray]]:
    """Those that are measured, and all parts: what ``minicnn transfer`` trains and validates on with its first seed."""
    parts = split_pictures(pictures, seed=0)
    return pictures.subset([*parts["train"], *parts["val"]]), parts


def _freeze_until(choice: Choice, model: Model, layer: str | None) -> str | None:
    """How far to freeze: up to the layer of the codes; below the upper layers; else the lowest quarter of the work or nothing.

    The lowest layers are the most general ones (Yosinski et al. 2014, "How transferable are features in deep neural
    networks?"), and the most expensive, because their maps are large: where time matters they are left frozen.
    """
    if layer is not None:
        return layer
    if choice.strategy in ("scratch", "norms"):
        return None
    upper, more = freeze_points(model if has_classifier(model) else _with_classifier(model))
    if choice.strategy == "finetune-upper":
        return upper
    return more if model.multiply_adds((1, *model.input_shape)) > EXPENSIVE else None


def _with_classifier(model: Model) -> Model:
    """The same layers under a classifier of any kind: where to freeze does not depend on it."""
    shape = model.output_shape((1, *model.input_shape))
    top = {"codes": GlobalAvgPool2d() if len(shape) == 4 else Flatten(), "classifier": Linear(shape[1], 2, rng=0)}
    return Model(model.layers | top, architecture=model.architecture, input_shape=model.input_shape)


def _rates(choice: Choice, parameters: int) -> tuple[float | None, float | None]:
    """The learning rates of the head and of the layers below it; None for linear classifiers, which have none to choose."""
    if choice.strategy in ("svm", "svm-earlier"):
        return None, None
    if choice.strategy == "norms":
        return NORMS_RATE, NORMS_RATE
    rate = RATE * rate_for_size(parameters)
    return rate, rate if choice.strategy == "scratch" else rate * Phase.body_multiplier


def _command(choice: Choice, words: Sequence[str], layer: str | None, architecture: str) -> str:
    """What to run next. A softmax classifier is as cheap as an SVM and about as accurate: if one is advised, both are run."""
    if choice.strategy == "scratch":
        return f"a new {architecture} with minicnn.training.Trainer (minicnn transfer starts from pretrained weights)"
    options = {
        "svm": ["--strategy", "svm", "--strategy", "softmax"],
        "svm-earlier": ["--strategy", "svm", "--strategy", "softmax", "--layer", str(layer)],
        "finetune-upper": ["--strategy", "finetune-upper"],
        "norms": ["--strategy", "norms"],
        "finetune-all": ["--strategy", "finetune-upper", "--strategy", "finetune-more", "--full"],
    }
    return shlex.join(["minicnn", "transfer", *words, *options[choice.strategy]])
