"""Fine-tuning: a pretrained network with a head for new classes, part of it frozen, the rest trained gently.

Two things make it quick on a laptop. The frozen part needs no backward pass; and as it does not change, its output for each
(augmented) picture is computed once, kept in a feature bank, and used in every epoch.

What to train depends on how the new pictures differ from the old ones, as the literature has it: a new look of the same things
(blur, other colours) asks for the lowest layers, other things for the highest (Lee et al. 2023, "Surgical Fine-Tuning Improves
Adaptation to Distribution Shifts", section 3), and few numbers, such as those of the batch norms alone, hardly overfit
(Frankle, Schwab, Morcos 2021, "Training BatchNorm and Only BatchNorm"; for biases Ben Zaken et al. 2022, "BitFit").
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.augmentation import Augmentation
from ..inference.fusion import fuse
from ..layers import Sequential
from ..layers.norm import BatchNorm
from ..losses import Loss, SoftmaxCrossEntropy
from ..models.model import Model
from ..optim import AdamW
from ..regularizers import L2SP
from ..schedules import one_cycle
from ..training import History, Trainer
from .feature_bank import FeatureBank, build_feature_bank
from .learning_rates import discriminative_rates, set_learning_rates

TRAINED = ("all", "norms", "biases")


@dataclass(frozen=True)
class Phase:
    """One stretch of fine-tuning.

    Attributes
    ----------
    title : str
    freeze_until : str or None
        The top-level layer up to which (inclusive) everything is frozen; None: nothing is.
    epochs : int
    learning_rate : float
        Of the head. The pretrained layers that are trained get ``body_multiplier`` times that: under a new head they are nearly
        right already, and too large a step destroys what they know.
    layer_decay : float, optional
        In place of one multiplier for all: each layer learns at this fraction of the rate of the one above it, see
        `minicnn.transfer.learning_rates.discriminative_rates`.
    views : int
        Views of each training picture in the feature bank, the plain one included; 1: pictures are not augmented. 0: no bank;
        each picture is augmented anew in each epoch, and the frozen part, fused, runs again each time: more work, no memory,
        and never the same picture twice. So it is, with more than one view, where nothing is frozen.
    norm_momentum : float
        Of the batch norms above the frozen part: how fast their running statistics follow the new pictures. A network that was
        trained for weeks often has 0.01, with which a short fine-tuning would end before they have changed enough.
    frozen_statistics : bool
        Batch norms keep their running statistics and use them in training, too. A head that was fitted to features normalised
        with them is then right from the first step; and a batch of few pictures is no measure of a channel.
    pull : float
        Strength alpha of L2-SP, which draws every weight back to where it was when the phase began
        (`minicnn.regularizers.L2SP`), in the place of weight decay, which draws it to 0; 0: weight decay.
    train_until : str, optional
        The highest top-level layer that is trained: all above it is frozen, the head as well. None: the head.
    trained : "all", "norms" or "biases"
        Of the layers between: all parameters; or, together with the head, gamma and beta of the batch norms alone; or the
        biases alone, beta among them.

    Raises
    ------
    ValueError
        For another ``trained``.
    """

    title: str
    freeze_until: str | None
    epochs: int
    learning_rate: float
    body_multiplier: float = 0.25
    layer_decay: float | None = None
    views: int = 4
    batch_size: int = 16
    norm_momentum: float = 0.1
    weight_decay: float = 0.01
    label_smoothing: float = 0.05
    frozen_statistics: bool = False
    pull: float = 0.0
    train_until: str | None = None
    trained: str = "all"

    def __post_init__(self) -> None:
        if self.trained not in TRAINED:
            raise ValueError(f"a phase trains {', '.join(TRAINED)}; got trained={self.trained!r}")

    def record(self, history: History) -> dict:
        """The phase and how it went, as results.json holds it."""
        return {
            "title": self.title,
            "frozen_until": self.freeze_until,
            "trained_until": self.train_until,
            "trained": self.trained,
            "learning_rate": self.learning_rate,
            "history": history.epochs,
            "best_epoch": history.best_epoch,
        }


def fine_tune(
    model: Model,
    phase: Phase,
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray] | None,
    augmentation: Augmentation,
    *,
    seed: int = 0,
    progress: bool = True,
    bank: FeatureBank | None = None,
    rows: tuple[np.ndarray, np.ndarray] | None = None,
    loss: Loss | None = None,
    checkpoint: Path | None = None,
) -> History:
    """Train the upper part of ``model`` in place; it keeps the weights of the epoch with the lowest validation loss.

    Parameters
    ----------
    model : Model
        With a head for the new classes.
    phase : Phase
    train, val : (pictures uint8 (N, H, W, C), labels (N,))
        As ``PictureSet.fitted`` gives them; to train on, the labels may be probabilities (N, K) too. Without ``val`` the model
        keeps the weights of the last epoch.
    augmentation : Augmentation
        Applied to training pictures only.
    seed : int
        Of the augmentation, the order of the pictures and dropout.
    progress : bool
        Show bars.
    bank : FeatureBank, optional
        Of these pictures and this model, as ``build_feature_bank`` makes it, at the last frozen layer or below.
    rows : (int (n,), int (m,)), optional
        Which pictures of the bank ``train`` and ``val`` are; by default its first ones and those that follow. Of a bank whose
        pictures all are for training, any of them may be held out.
    loss : Loss, optional
        By default softmax cross-entropy with the phase's label smoothing.
    checkpoint : path, optional
        A folder for the checkpoints of this phase; where there are some, it goes on from them.

    Raises
    ------
    ValueError
        For a layer to freeze until that is not there; for a bank at a higher layer or with fewer views than the phase wants.
    """
    model.novelty = None  # it is for the weights of before
    choose_trained(model, phase)
    if phase.layer_decay is None:
        body = {name: phase.body_multiplier for name, layer in model.layers.items() if layer.parameters()}
        set_learning_rates(model, body | {model.classifier_name: 1.0})
    else:
        discriminative_rates(model, phase.layer_decay)
    lower, upper = (Sequential(), model) if phase.freeze_until is None else model.split(phase.freeze_until)
    for _, layer in upper.walk():
        if isinstance(layer, BatchNorm):
            layer.momentum, layer.frozen_statistics = phase.norm_momentum, phase.frozen_statistics

    (x, y), (x_val, y_val) = train, val or (train[0][:0], None)
    if phase.views and phase.freeze_until is not None:
        bank = bank or build_feature_bank(model, phase.freeze_until, phase.views, x, x_val, augmentation, seed, progress)
        bank = bank.up_to(model, phase.freeze_until, phase.views, progress)
        augment, prepare = bank.augment, bank.prepare
        x, x_val = rows or np.split(np.arange(len(x) + len(x_val)), [len(x)])
    else:
        frozen, normalise = fuse(lower), model.preprocessing.normalise
        augment, prepare = (augmentation if phase.views != 1 else None), lambda pictures: frozen.forward(normalise(pictures))
    parameters = upper.parameters()
    trainer = Trainer(
        upper,
        loss or SoftmaxCrossEntropy(phase.label_smoothing),
        AdamW(parameters, phase.learning_rate, weight_decay=0.0 if phase.pull else phase.weight_decay),
        epochs=phase.epochs,
        batch_size=phase.batch_size,
        schedule=one_cycle(),
        seed=seed,
        augment=augment,
        prepare=prepare,
        monitor="loss",
        regularizer=L2SP(parameters, phase.pull, phase.pull) if phase.pull else None,
        checkpoint=checkpoint,
        resume=checkpoint is not None,
        progress=progress,
        label=phase.title,
    )
    return trainer.fit(x, y, *(() if val is None else (x_val, y_val)))


def choose_trained(model: Model, phase: Phase) -> None:
    """Freeze all parameters but those that a phase trains.

    Raises
    ------
    ValueError
        For a layer that is not there, or where nothing is left to train.
    """
    model.unfreeze()
    if phase.freeze_until is not None:
        model.freeze(until=phase.freeze_until)
    head = model.classifier_name
    if phase.train_until is not None:
        names = list(model.layers)
        if phase.train_until not in names:
            raise ValueError(f"there is no {phase.train_until!r} to train until; {model.architecture} has {', '.join(names)}")
        model.freeze(names=names[names.index(phase.train_until) + 1 :])
    if phase.trained != "all":
        norms = [path for path, layer in model.walk() if isinstance(layer, BatchNorm)]
        chosen = {
            "norms": lambda name: name.rpartition(".")[0] in norms,
            "biases": lambda name: name.rpartition(".")[2] in ("b", "beta"),
        }[phase.trained]
        model.freeze(names=[name for name in model.parameters() if not chosen(name) and not name.startswith(f"{head}.")])
    if not model.trainable:
        raise ValueError(
            f"nothing is left to train in {model.architecture}: frozen until {phase.freeze_until!r}, trained until "
            f"{phase.train_until!r}, of these {phase.trained!r}"
        )
