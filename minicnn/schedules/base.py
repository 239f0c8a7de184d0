"""What schedules share: the check of the progress, and half a cosine wave."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def checked(schedule: Schedule) -> Schedule:
    """The schedule, but first a check that the progress is a fraction of the run."""

    def after_check(progress: float) -> float:
        check_progress(progress)
        return schedule(progress)

    return after_check


def check_progress(progress: float) -> None:
    """Refuse progress that is not from 0 to 1."""
    if not 0 <= progress <= 1:
        raise ValueError(
            f"progress is a share of the run, between 0 and 1, got {progress}; divide the step by the number of steps"
        )


def between(first: float, last: float, share: float) -> float:
    """From first to last along half a cosine wave.

    >>> between(1.0, 0.0, share=0.5)
    0.5
    """
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
