"""Lookahead: fast weights run ahead, slow weights follow, and every few steps the fast ones begin from there again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .averaging import trained_arrays
from .callbacks import Callback
from .run import Run


def rising_decay(p: float) -> float:
    """0.95^5 p^3: at first the slow weights are the fast ones; at the end they move by a fifth of the way.

    Jordan 2024, arXiv 2404.00498, section 3.4.
    """
    return 0.95**5 * p**3


class Lookahead(Callback):
    """Every k steps the weights go back to an average of where they have been::

        slow <- d slow + (1 - d) fast
        fast <- slow                              with d = decay(progress of the run)

    fast is everything that training changes, batch norm's running statistics included; the optimiser's momentum goes on. The
    last step of the run ends with it, too, so that the model has the slow weights.

    Zhang, Lucas, Hinton, Ba 2019, "Lookahead Optimizer: k steps forward, 1 step back", arXiv 1907.08610, algorithm 1, with
    d = 1 - alpha; with a d that grows, `rising_decay`, Jordan 2024, arXiv 2404.00498, section 3.4.

    Parameters
    ----------
    k : int, at least 1
    decay : callable
        progress (0 to 1) -> d, in [0, 1].

    Raises
    ------
    ValueError
        If k is not a whole number from 1 up.
    """

    def __init__(self, k: int = 5, decay: Callable[[float], float] = rising_decay):
        if not (isinstance(k, int) and k >= 1):
            raise ValueError(f"Lookahead: k is after how many steps to look back, a whole number from 1 up, got {k}")
        self.k, self.decay = k, decay
        self._slow: dict[str, np.ndarray] = {}

    def on_fit_begin(self, run: Run) -> None:
        if run.steps_done == 0:
            self._slow = {name: array.copy() for name, array in trained_arrays(run.model).items()}

    def on_step_end(self, run: Run) -> None:
        if run.steps_done % self.k and run.steps_done < run.epochs * run.steps_per_epoch:
            return
        d = self.decay(run.progress)
        for name, fast in trained_arrays(run.model).items():
            slow = self._slow[name]
            slow *= slow.dtype.type(d)
            slow += slow.dtype.type(1 - d) * fast
            np.copyto(fast, slow)

    def state(self) -> dict[str, Any]:
        return {"slow": self._slow}

    def set_state(self, state: dict[str, Any]) -> None:
        self._slow = dict(state["slow"])
