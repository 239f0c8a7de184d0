"""Fine-tuning: a new head on a pretrained network, the lower part frozen, the upper part trained gently.

Two things make it quick on a laptop. The frozen part needs no backward pass; and as it does not change, its output for each
(augmented) picture is computed once, kept in a feature bank, and used in every epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.augmentation import Augmentation
from ..layers.norm import BatchNorm
from ..losses import Loss, SoftmaxCrossEntropy
from ..models.model import Model
from ..optim import AdamW
from ..schedules import one_cycle
from ..training import History, Trainer
from .feature_bank import FeatureBank, build_feature_bank
from .learning_rates import discriminative_rates, set_learning_rates


@dataclass(frozen=True)
class Phase:
    """One stretch of fine-tuning.

    Attributes
    ----------
    title : str
    freeze_until : str
        The top-level layer up to which (inclusive) everything is frozen.
    epochs : int
    learning_rate : float
        Of the new head. The pretrained layers above the frozen part get ``body_multiplier`` times that: they are nearly right
        already, and too large a step destroys what they know.
    layer_decay : float, optional
        In place of one multiplier for all: each layer learns at this fraction of the rate of the one above it, see
        `minicnn.transfer.learning_rates.discriminative_rates`.
    views : int
        Views of each training picture in the feature bank, the plain one included. 0: no bank; each picture is augmented anew
        in each epoch, and the frozen part runs again each time: more work, no memory, and never the same picture twice.
    norm_momentum : float
        Of the batch norms above the frozen part: how fast their running statistics follow the new pictures. A network that was
        trained for weeks often has 0.01, with which a short fine-tuning would end before they have changed enough.
    """

    title: str
    freeze_until: str
    epochs: int
    learning_rate: float
    body_multiplier: float = 0.25
    layer_decay: float | None = None
    views: int = 4
    batch_size: int = 16
    norm_momentum: float = 0.1
    weight_decay: float = 0.01
    label_smoothing: float = 0.05

    def record(self, history: History) -> dict:
        """The phase and how it went, as results.json holds it."""
        return {
            "title": self.title,
            "frozen_until": self.freeze_until,
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
    model.unfreeze()
    model.freeze(until=phase.freeze_until)
    if phase.layer_decay is None:
        body = {name: phase.body_multiplier for name, layer in model.layers.items() if layer.parameters()}
        set_learning_rates(model, body | {model.classifier_name: 1.0})
    else:
        discriminative_rates(model, phase.layer_decay)
    _, upper = model.split(phase.freeze_until)
    for _, layer in upper.walk():
        if isinstance(layer, BatchNorm):
            layer.momentum = phase.norm_momentum

    (x, y), (x_val, y_val) = train, val or (train[0][:0], None)
    if phase.views:
        bank = bank or build_feature_bank(model, phase.freeze_until, phase.views, x, x_val, augmentation, seed, progress)
        bank = bank.up_to(model, phase.freeze_until, phase.views, progress)
        trained, augment, prepare = upper, bank.augment, bank.prepare
        x, x_val = np.split(np.arange(bank.pictures), [len(x)])
    else:
        trained, augment, prepare = model, augmentation, model.preprocessing.normalise
    trainer = Trainer(
        trained,
        loss or SoftmaxCrossEntropy(phase.label_smoothing),
        AdamW(upper.parameters(), phase.learning_rate, weight_decay=phase.weight_decay),
        epochs=phase.epochs,
        batch_size=phase.batch_size,
        schedule=one_cycle(),
        seed=seed,
        augment=augment,
        prepare=prepare,
        monitor="loss",
        checkpoint=checkpoint,
        resume=checkpoint is not None,
        progress=progress,
        label=phase.title,
    )
    return trainer.fit(x, y, *(() if val is None else (x_val, y_val)))
