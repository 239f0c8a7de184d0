"""The advisor: a network and pictures in, what to do with them out, with the reasons and what was measured for them.

advice = advise(minicnn.load("efficientnet_lite0"), open_pictures("pictures/"))
print(advice.text())
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from ..data.picture_set import PictureSet
from ..data.splits import split_pictures
from ..layers import Flatten, GlobalAvgPool2d, Linear
from ..models.model import Model
from ..transfer.finetune import Phase
from ..transfer.setup import check_preprocessing
from ..transfer.surgery import freeze_points
from .advice import Advice
from .measurements import Measurements, gather, has_classifier
from .rules import Choice, choose

MOST = {"quick": 300, "default": 1000}  # pictures that are looked at
# AdamW's learning rate at the top of its cycle, of a new head or of all layers from scratch. Pretrained layers get
# Phase.body_multiplier of it. Networks of less than a million parameters bear more (lessons/laboratory/learning_rates.py).
RATE, RATE_OF_SMALL = 2e-3, 1e-2
SMALL = 1_000_000
DEAR = 100e6  # multiply-adds a picture, from which on the lowest quarter of a network is better left frozen on a laptop


def advise(
    model: Model,
    pictures: PictureSet,
    quick: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = lambda line: None,
    words: Sequence[str] = (),
) -> Advice:
    """Measure how the pictures lie to the network, and say what to do.

    Only those pictures are looked at that ``minicnn transfer`` trains and validates on with its first seed; its test part has
    no say in the advice. (Where some pictures cannot be read, the two draw their parts from different sets.)

    Parameters
    ----------
    model : Model
        Pretrained, with its preprocessing; it is not changed.
    pictures : PictureSet
    quick : bool
        Look at 300 pictures at most instead of 1,000.
    progress : bool
        Show bars.
    say : function
        Takes lines that tell how far the work is.
    words : several str
        Of the command line that names data and model, such as ("--data", "pictures/"), for the recommended command.

    Raises
    ------
    DataError
        If the model does not say how pictures become its input, or a class has too few pictures.
    """
    check_preprocessing(model, model.architecture)
    parts = split_pictures(pictures, seed=0)
    learning = pictures.subset([*parts["train"], *parts["val"]])
    say(f"{len(learning)} of {len(pictures)} pictures to learn from, {len(pictures.classes)} classes: {pictures.name}")
    evidence = gather(model, learning, MOST["quick" if quick else "default"], progress)
    choice = choose(evidence)
    layer, grid = _codes(choice, evidence)
    freeze_until = _freeze_until(choice, model, layer)
    head_rate, body_rate = _rates(choice, evidence.parameters)
    return Advice(
        model.architecture,
        pictures.name,
        tuple(pictures.classes),
        choice,
        layer,
        grid,
        freeze_until,
        head_rate,
        body_rate,
        evidence,
        _command(choice, words, layer, model.architecture),
    )


def _codes(choice: Choice, evidence: Measurements) -> tuple[str | None, int]:
    codes = {"last": evidence.last, "earlier": evidence.earlier}.get(choice.strategy)
    return (codes.layer, codes.grid) if codes else (None, 1)


def _freeze_until(choice: Choice, model: Model, layer: str | None) -> str | None:
    """How far to freeze: for codes up to them, for the upper layers three fifths of the work, otherwise a quarter or nothing.

    The lowest layers are the most general ones (Yosinski et al. 2014, "How transferable are features in deep neural
    networks?"), and the dearest, for their maps are large: where time matters they stay as they are.
    """
    if layer is not None:
        return layer
    if choice.strategy == "scratch":
        return None
    upper, more = freeze_points(model if has_classifier(model) else _with_classifier(model))
    if choice.strategy == "upper":
        return upper
    return more if model.multiply_adds((1, *model.input_shape)) > DEAR else None


def _with_classifier(model: Model) -> Model:
    """The same layers under a classifier of any kind: where to freeze does not depend on it."""
    shape = model.output_shape((1, *model.input_shape))
    top = {"codes": GlobalAvgPool2d() if len(shape) == 4 else Flatten(), "classifier": Linear(shape[1], 2, rng=0)}
    return Model(model.layers | top, architecture=model.architecture, input_shape=model.input_shape)


def _rates(choice: Choice, parameters: int) -> tuple[float | None, float | None]:
    """Of the head, and of the layers below it."""
    if choice.strategy in ("last", "earlier"):
        return None, None
    rate = RATE_OF_SMALL if parameters < SMALL else RATE
    return rate, rate if choice.strategy == "scratch" else rate * Phase.body_multiplier


def _command(choice: Choice, words: Sequence[str], layer: str | None, architecture: str) -> str:
    """What to run next."""
    if choice.strategy == "scratch":
        return f"a new {architecture} with minicnn.training.Trainer (minicnn transfer starts from pretrained weights)"
    options = {
        "last": ["--strategy", "svm", "--strategy", "softmax"],
        "earlier": ["--strategy", "svm", "--strategy", "softmax", "--layer", str(layer)],
        "upper": ["--strategy", "finetune-upper"],
        "all": ["--strategy", "finetune-upper", "--strategy", "finetune-more", "--full"],
    }
    return shlex.join(["minicnn", "transfer", *words, *options[choice.strategy]])
