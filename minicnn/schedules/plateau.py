"""The schedule that waits for the validation loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .base import Schedule, check_progress, checked


class ReduceOnPlateau:
    """Drops whenever the validation loss has not got better for a while.

    Whoever trains tells it the validation loss of each epoch with `after_epoch`. A loss is better if it is below
    best - threshold |best|. After ``patience`` epochs in a row without a better one, the factor, 1 at first, is multiplied by
    ``drop``, but not to below ``smallest``, and counting starts again.

    Parameters
    ----------
    drop : in (0, 1)
    patience : int, at least 1; PyTorch, which waits for one epoch *more* than its patience, calls this patience - 1
    smallest : in [0, 1]
    threshold : in [0, 1)

    Attributes
    ----------
    factor : float
        The factor now.

    Raises
    ------
    ValueError
        If an argument is out of range.

    He et al. 2016, arXiv 1512.03385, section 3.4 (the rate is divided by 10 "when the error plateaus").

    >>> plateau = ReduceOnPlateau(drop=0.1, patience=2)
    >>> for val_loss in (0.5, 0.4, 0.4, 0.41):
    ...     plateau.after_epoch(val_loss)
    >>> plateau(0.7)  # whatever the progress
    0.1
    """

    def __init__(self, drop: float = 0.1, patience: int = 10, smallest: float = 0.0, threshold: float = 1e-4):
        if not 0 < drop < 1:
            raise ValueError(f"ReduceOnPlateau: drop must be above 0 and below 1, got {drop}")
        if not (isinstance(patience, int) and patience >= 1):
            raise ValueError(f"ReduceOnPlateau: patience must be a whole number of epochs from 1 up, got {patience}")
        if not 0 <= smallest <= 1:
            raise ValueError(f"ReduceOnPlateau: smallest is a factor between 0 and 1, got {smallest}")
        if not 0 <= threshold < 1:
            raise ValueError(f"ReduceOnPlateau: threshold is a share of the loss, at least 0 and below 1, got {threshold}")
        self.drop, self.patience, self.smallest, self.threshold = drop, patience, smallest, threshold
        self.factor, self.best, self.epochs_without_better = 1.0, math.inf, 0

    def __call__(self, progress: float) -> float:
        """The factor now, whatever the progress."""
        check_progress(progress)
        return self.factor

    def after_epoch(self, val_loss: float) -> None:
        """Take note of an epoch's validation loss.

        Raises
        ------
        ValueError
            If it is not a finite number.
        """
        if val_loss is None or not math.isfinite(val_loss):
            raise ValueError(f"ReduceOnPlateau needs the validation loss of each epoch, a finite number, got {val_loss}")
        if self.best == math.inf or val_loss < self.best - self.threshold * abs(self.best):
            self.best, self.epochs_without_better = float(val_loss), 0
            return
        self.epochs_without_better += 1
        if self.epochs_without_better == self.patience:
            self.factor, self.epochs_without_better = max(self.factor * self.drop, self.smallest), 0

    def schedule_for(self, val_losses: Sequence[float]) -> Schedule:
        """What it would do, from the beginning, in a run with these validation losses: a function of progress, to be drawn.

        >>> ReduceOnPlateau(drop=0.5, patience=1).schedule_for([0.4, 0.3, 0.3, 0.3])(0.8)  # the last quarter
        0.5
        """
        if not len(val_losses):
            raise ValueError("ReduceOnPlateau.schedule_for needs the validation loss of one epoch at least, got none")
        fresh = ReduceOnPlateau(self.drop, self.patience, self.smallest, self.threshold)
        factors = []
        for val_loss in val_losses:
            factors.append(fresh.factor)
            fresh.after_epoch(val_loss)
        return checked(lambda progress: factors[min(int(progress * len(factors)), len(factors) - 1)])

    # ---- to go on later as if there had been no break

    def state_dict(self) -> dict[str, float]:
        """All that changes from epoch to epoch, for `load_state_dict`."""
        return {"factor": self.factor, "best": self.best, "epochs_without_better": self.epochs_without_better}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Raises
        ------
        ValueError
            If it is not that; nothing is changed then.
        """
        expected = self.state_dict().keys()
        if not isinstance(saved, dict) or saved.keys() != expected:
            got = sorted(saved) if isinstance(saved, dict) else type(saved).__name__
            raise ValueError(f"ReduceOnPlateau goes on from its state_dict(), which has {sorted(expected)}, got {got}")
        self.factor, self.best = float(saved["factor"]), float(saved["best"])
        self.epochs_without_better = int(saved["epochs_without_better"])
