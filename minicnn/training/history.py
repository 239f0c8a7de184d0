"""What happened in a training run, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class History:
    """The record of one `Trainer.fit`.

    Attributes
    ----------
    epochs : list of dict
        For each finished epoch: ``epoch`` (from 1), ``loss`` and ``train_accuracy`` (means over the epoch's batches as they
        were trained on: in train mode, with weights that were changing), ``val_loss`` and ``val_accuracy`` (after the epoch,
        in eval mode), ``learning_rate`` (the base rate times the schedule's factor in its last step), ``seconds``. Accuracies
        are fractions from 0 to 1. None stands for what was not measured: no validation set, or targets that are not classes.
    best_epoch : int
        The epoch whose weights the model has now; 0: those from before training.
    interrupted : bool
        Whether the run was ended by Ctrl-C.
    """

    epochs: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    interrupted: bool = False

    @property
    def best(self) -> dict[str, Any] | None:
        """The record of the epoch whose weights the model has now; None if those are from before training."""
        return self.epochs[self.best_epoch - 1] if self.best_epoch else None

    def what_is_kept(self) -> str:
        """What a sentence that begins "the model ..." says of its weights."""
        if self.best is None:
            return "is as it was before training"
        accuracy = self.best["val_accuracy"]
        return f"keeps epoch {self.best_epoch}" + (f" (validation accuracy {accuracy:.1%})" if accuracy is not None else "")
