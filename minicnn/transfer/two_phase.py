"""Fine-tuning in two phases: first a linear classifier on the features as they are, then the network with it as its head.

Why not both at once? A new head is random, and so are the gradients that it passes down: in the first steps, while it learns
which feature is evidence for which class, it changes the features in random directions. They then fit the training pictures and
are worse for all others: the pretrained features are distorted before they have been used. A head that is right from the first
step passes down small errors, and the features change little, and only where it matters.

Kumar, Raghunathan, Jones, Ma, Liang 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution"
(arXiv 2202.10054), who call it LP-FT: section 3 for the theory. On pictures of another kind than those trained on, it was 10
points better than plain fine-tuning, as the mean of ten data sets, and 1 point better on pictures of the same kind.

Batch norm would undo a little of this: the head was fitted to features normalised with the running statistics, and training
normalises them with the statistics of each batch, so that the first steps would have larger errors than the probe had. So the
statistics stay frozen by default.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..data.augmentation import Augmentation
from ..linear_model.calibration import calibration_factor
from ..linear_model.selection import RegularisationChoice, choose_regularisation
from ..linear_model.softmax_regression import SoftmaxRegression
from ..models.model import Model
from ..training import History
from .feature_bank import build_feature_bank
from .features import pool_features
from .finetune import Phase, fine_tune
from .formatting import quantity
from .surgery import default_layer, freeze_points, set_head, with_new_head

NO_AUGMENTATION = Augmentation()
TITLES = ("phase", "trained", "parameters", "learning rate", "validation", "time")
WIDTHS = (14, 28, 10, 20, 10, 7)


@dataclass(frozen=True)
class PhaseRow:
    """What one phase trained, and the accuracy it reached.

    Attributes
    ----------
    title : str
    trained : str
        The top-level layers, lowest and highest.
    parameters : int
        How many numbers were trained.
    learning_rate : str
        The highest of the schedule, from the slowest to the fastest layer.
    val_accuracy : float or None
        Of the network as the phase left it; None if it was interrupted before there was any.
    seconds : float
    """

    title: str
    trained: str
    parameters: int
    learning_rate: str
    val_accuracy: float | None
    seconds: float

    def __str__(self) -> str:
        accuracy = "-" if self.val_accuracy is None else f"{100 * self.val_accuracy:.1f} %"
        cells = self.title, self.trained, quantity(self.parameters), self.learning_rate, accuracy, f"{self.seconds:.1f} s"
        return _line(cells)


@dataclass(frozen=True)
class TwoPhases:
    """The result of both phases.

    Attributes
    ----------
    model : Model
        The fine-tuned network: a copy, the pretrained one is as it was.
    probe : RegularisationChoice
        The linear classifier of the first phase, and how its regularisation was chosen.
    history : History
        Of the second phase.
    phases : two PhaseRow
    """

    model: Model
    probe: RegularisationChoice
    history: History
    phases: tuple[PhaseRow, PhaseRow]

    def table(self) -> str:
        """The phases in rows."""
        return "\n".join([_line(TITLES), *map(str, self.phases)])


def linear_probe_then_fine_tune(
    model: Model,
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
    classes: Sequence[str],
    phase: Phase | None = None,
    *,
    augmentation: Augmentation = NO_AUGMENTATION,
    seed: int = 0,
    progress: bool = True,
    log: Callable[[str], None] = print,
) -> TwoPhases:
    """Train a linear classifier on the codes, make it the network's head, and fine-tune from there.

    1. Linear probe: everything is frozen, and softmax regression on the codes of the plain pictures (L2, chosen on the
       validation pictures) gives the head, its scores scaled so that their probabilities are honest there. No learning rate;
       the features stay as they are to the bit.
    2. Fine-tuning: ``phase`` says what stays frozen; all above it learns, the head included. As the head is right already, by
       default nothing learns faster than the rest.

    The layers that are frozen in both phases run once over each picture (and once over each augmented view, if ``phase.views``
    is more than 1): their outputs are kept for both phases and all epochs. With ``phase.views`` = 0, which augments each
    picture anew, they run in every epoch.

    Parameters
    ----------
    model : Model
        Pretrained, with its old head; it is not changed.
    train, val : (pictures uint8 (N, H, W, C), labels (N,))
        As ``PictureSet.fitted`` gives them. Only ``train`` is trained on.
    classes : sequence of str
        The new ones.
    phase : Phase, optional
        The second phase; by default 5 epochs of the upper layers (`freeze_points`) at a small rate, the same for all of
        them, batch norm's statistics frozen, weights drawn back to where they were.
    augmentation : Augmentation
        For the second phase; by default none, and one view of each picture.
    seed : int
    progress : bool
        Show bars.
    log : function
        Is called with each line of the table when its phase has ended.

    Raises
    ------
    ValueError
        If the phase freezes everything below the head: then there is nothing to fine-tune.
    """
    tuned = with_new_head(model, default_layer(model), list(classes))
    phase = phase or _gentle(tuned, augmentation)
    layer, names = default_layer(tuned), list(tuned.layers)
    if phase.freeze_until in names and names.index(phase.freeze_until) >= names.index(layer):
        raise ValueError(
            f"with everything frozen until {phase.freeze_until!r} only the head is left, and the linear probe trains that; "
            f"freeze until a layer below {layer!r}"
        )
    log(_line(TITLES))

    started = time.perf_counter()
    bank = build_feature_bank(tuned, phase.freeze_until, max(phase.views, 1), train[0], val[0], augmentation, seed, progress)
    codes = pool_features(bank.up_to(tuned, layer, 1, progress).outputs.astype(np.float32))
    x, x_val = codes[: len(train[0])], codes[len(train[0]) :]
    probe = choose_regularisation(SoftmaxRegression, x, train[1], x_val, val[1])
    set_head(tuned, probe.fitted, calibration_factor(probe.held_out, np.asarray(val[1])))
    tuned.freeze().classifier.unfreeze()
    first = _row(tuned, "linear probe", "-", probe.point.val_accuracy, started)
    log(str(first))

    started = time.perf_counter()
    history = fine_tune(tuned, phase, train, val, augmentation, seed=seed, progress=progress, bank=bank)
    rates = [p.learning_rate_multiplier * phase.learning_rate for p in tuned.parameters().values() if p.trainable]
    rate = f"{min(rates):.2g}" + (f" to {max(rates):.2g}" if max(rates) > min(rates) else "")
    second = _row(tuned, "fine-tuning", rate, history.best["val_accuracy"] if history.best else None, started)
    log(str(second))
    return TwoPhases(tuned, probe, history, (first, second))


def _gentle(model: Model, augmentation: Augmentation) -> Phase:
    """The second phase if none is given."""
    views = 1 if augmentation == NO_AUGMENTATION else 4
    gentle = {"epochs": 5, "learning_rate": 3e-4, "body_multiplier": 1.0, "label_smoothing": 0.0, "frozen_statistics": True}
    return Phase("fine-tuning", freeze_points(model)[0], views=views, pull=0.01, **gentle)


def _row(model: Model, title: str, rate: str, val_accuracy: float | None, started: float) -> PhaseRow:
    """The row of the phase that has just ended: the layers that are trainable now are those it trained."""
    trained = [name for name, layer in model.layers.items() if layer.trainable]
    between = trained[0] if len(trained) == 1 else f"{trained[0]} to {trained[-1]}"
    number = sum(parameter.value.size for parameter in model.parameters().values() if parameter.trainable)
    return PhaseRow(title, between, number, rate, val_accuracy, time.perf_counter() - started)


def _line(cells: Sequence[str]) -> str:
    """Columns of the table; a cell that is wider than its column moves the rest."""
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()
