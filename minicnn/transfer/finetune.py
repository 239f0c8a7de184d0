"""Fine-tuning: a new head on a pretrained network, the lower part frozen, the upper part trained gently.

Two things make it quick on a laptop. The frozen part needs no backward pass; and as it does not change, what it makes of each
(augmented) picture is computed once, kept in a bank of views, and used in every epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..data.augmentation import Augmentation
from ..inference import infer
from ..layers import BatchNorm1d, BatchNorm2d, Flatten, GlobalAvgPool2d, Linear
from ..layers.fused import fuse
from ..losses import Loss, SoftmaxCrossEntropy
from ..models.model import Model
from ..optim import AdamW
from ..schedules import one_cycle
from ..training import History, Trainer
from .codes import below_classifier, default_layer
from .learning_rates import discriminative_rates, set_learning_rates
from .linear import LinearClassifier

# Shares of the multiply-adds that stay frozen while the upper part is trained, and while more of it is
UPPER_FROZEN, MORE_FROZEN = 0.6, 0.25


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
        Versions of each training picture in the bank, the plain one included. 0: no bank. Each picture is varied anew in each
        epoch, and the frozen part runs again each time: more work, no memory, and never the same picture twice.
    norm_momentum : float
        Of the batch norms above the frozen part: how fast their running statistics follow the new pictures. A network that was
        trained for weeks often has 0.01, with which a short fine-tuning would end before they arrive.
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
        """What the report says about this phase."""
        return {
            "title": self.title,
            "frozen_until": self.freeze_until,
            "learning_rate": self.learning_rate,
            "history": history.epochs,
            "best_epoch": history.best_epoch,
        }


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


class ViewBank:
    """What the frozen lower part makes of every picture, once plain and for training pictures also augmented, in float16.

    Samples 0..N-1 are the N pictures as they are, the first M of them for training, the rest for validation. Sample
    N + (v - 1) M + i is augmented view v = 1..V-1 of training picture i. Each epoch of training draws one view of each picture.

    Attributes
    ----------
    layer : str
        The top-level layer whose output is kept.
    outputs : float16 (samples, ...)
    trained_on, pictures, views : int
        M, N and V above; V counts the plain one.
    """

    def __init__(self, layer: str, outputs: np.ndarray, trained_on: int, pictures: int, views: int):
        self.layer, self.outputs = layer, outputs
        self.trained_on, self.pictures, self.views = trained_on, pictures, views

    def up_to(self, model: Model, layer: str, views: int, progress: bool = True) -> ViewBank:
        """The bank for a cut of this model at a higher layer, and for as many views or fewer."""
        outputs = self.outputs[: self.pictures + self.trained_on * (views - 1)]
        if layer != self.layer:
            between, _ = model.split(self.layer)[1].split(layer)
            label = f"from '{self.layer}' to '{layer}'" if progress else None
            outputs = infer(fuse(between), len(outputs), lambda i: outputs[i].astype(np.float32), label=label, dtype=np.float16)
        return ViewBank(layer, outputs, self.trained_on, self.pictures, views)

    def prepare(self, samples: np.ndarray) -> np.ndarray:
        """Sample numbers -> input of the upper part, float32."""
        return self.outputs[samples].astype(np.float32)

    def augment(self, pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Numbers of training pictures -> sample numbers: one view of each, drawn at random."""
        view = rng.integers(0, self.views, len(pictures))
        return np.where(view == 0, pictures, self.pictures + (view - 1) * self.trained_on + pictures)


def view_bank(
    model: Model,
    layer: str,
    views: int,
    train: np.ndarray,
    val: np.ndarray,
    augmentation: Augmentation,
    seed: int = 0,
    progress: bool = True,
) -> ViewBank:
    """Run ``views`` versions of each training picture, and the validation pictures as they are, up to a top-level layer.

    Parameters
    ----------
    train, val : uint8 (N, H, W, C)
        As ``PictureSet.fitted`` gives them.
    augmentation : Augmentation
        Makes all views but the first, which is plain.
    """
    pictures = len(train) + len(val)
    seeds = np.random.default_rng(seed).integers(0, 2**63, size=len(train) * (views - 1))

    def picture(sample: int) -> np.ndarray:
        if sample < pictures:
            return train[sample] if sample < len(train) else val[sample - len(train)]
        extra = sample - pictures  # a generator for each view: it does not matter which thread comes first
        return augmentation(train[[extra % len(train)]], np.random.default_rng(seeds[extra]))[0]

    def batch(samples: np.ndarray) -> np.ndarray:
        return model.preprocessing.normalise(np.stack([picture(sample) for sample in samples]))

    lower, _ = model.split(layer)
    label = f"views up to '{layer}'" if progress else None
    outputs = infer(fuse(lower), pictures + len(seeds), batch, label=label, dtype=np.float16)
    return ViewBank(layer, outputs, len(train), pictures, views)


def fine_tune(
    model: Model,
    phase: Phase,
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray] | None,
    augmentation: Augmentation,
    seed: int = 0,
    progress: bool = True,
    bank: ViewBank | None = None,
    loss: Loss | None = None,
) -> History:
    """Train the upper part of ``model`` in place; the best epoch by validation loss is what stays (without ``val``, the last).

    Parameters
    ----------
    model : Model
        With a head for the new classes.
    phase : Phase
    train, val : (pictures uint8 (N, H, W, C), labels (N,))
        As ``PictureSet.fitted`` gives them; to train on, the labels may be probabilities (N, K) too.
    augmentation : Augmentation
        Applied to training pictures only.
    bank : ViewBank, optional
        Of these pictures and this model, as ``view_bank`` makes it, for a lower or the same cut.
    loss : Loss, optional
        By default softmax cross-entropy with the phase's label smoothing.
    """
    model.unfreeze()
    model.freeze(until=phase.freeze_until)
    if phase.layer_decay is None:
        body = {name: phase.body_multiplier for name, layer in model.layers.items() if layer.parameters()}
        set_learning_rates(model, body | {model.classifier_name: 1.0})
    else:
        discriminative_rates(model, phase.layer_decay)
    _, upper = model.split(phase.freeze_until)
    for _, layer in upper.walk():
        if isinstance(layer, (BatchNorm1d, BatchNorm2d)):
            layer.momentum = phase.norm_momentum

    (x, y), (x_val, y_val) = train, val or (train[0][:0], None)
    if phase.views:
        bank = bank or view_bank(model, phase.freeze_until, phase.views, x, x_val, augmentation, seed, progress)
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
        progress=progress,
        label=phase.title,
    )
    return trainer.fit(x, y, *(() if val is None else (x_val, y_val)))
