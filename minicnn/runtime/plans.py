"""Plans: what is prepared for inputs that have been seen, so that there is little left to do when one like them comes again."""

from __future__ import annotations

import numpy as np

from .parallel import current

SHAPES = 64  # of inputs, at most; nobody has so many, except who wants to fill the memory


def plan_key(x: np.ndarray) -> tuple | None:
    """All that a plan for an input depends on: its shape and dtype, and how loops are run in the calling thread.

    None for what is no plain array, for which there are no plans.
    """
    if type(x) is not np.ndarray:
        return None
    executor = current()
    return x.shape, x.dtype, executor.threads, executor.joins_later


class PlanCache(dict):
    """Plans by `plan_key`. A copy, or what another process gets, begins empty."""

    def __setitem__(self, key: tuple | None, plan: object) -> None:
        if key is None:
            return
        if len(self) >= SHAPES:
            self.clear()
        super().__setitem__(key, plan)

    def __reduce__(self) -> tuple:
        return PlanCache, ()
