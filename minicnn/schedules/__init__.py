"""Learning-rate schedules: how large a part of the base rate to use, as training goes on.

- ``decay``: those that fall, from 1.
- ``cycles``: those that rise and fall, once or again and again.
- ``plateau``: the one that waits for the validation loss.

Each function makes a schedule: ``schedule(progress) -> factor``, with progress from 0 (before the first step) to 1 (after the
last one). It is a fraction of the whole run, not a number of epochs, so that the same schedule fits a short trial and a long
run. The Trainer asks for the factor in the *middle* of each step, so that no step is spent at a rate of zero. A schedule raises
a ValueError for progress outside 0 to 1. `minicnn.viz.schedules.schedules_figure` draws them.

In the equations p is the progress.
"""

from .base import Schedule
from .cycles import cyclic, one_cycle, triangular, warm_restarts
from .decay import constant, cosine, exponential, linear, one_over_t, step
from .plateau import ReduceOnPlateau

__all__ = [
    "ReduceOnPlateau",
    "Schedule",
    "constant",
    "cosine",
    "cyclic",
    "exponential",
    "linear",
    "one_cycle",
    "one_over_t",
    "step",
    "triangular",
    "warm_restarts",
]
