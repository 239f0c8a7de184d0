"""Plans: what can be prepared for inputs of one shape is prepared at the first of them, and kept for the others."""

from __future__ import annotations

import numpy as np

from .parallel import current

MAX_PLANS = 64  # in a cache; inputs of more shapes than that are not ordinary use, and must not fill the memory


def plan_key(x: np.ndarray) -> tuple | None:
    """All that a plan for an input depends on: its shape and dtype, and how loops are run in the calling thread.

    None for anything but a plain array: there are no plans for subclasses.
    """
    if type(x) is not np.ndarray:
        return None
    executor = current()
    return x.shape, x.dtype, executor.threads, executor.defers_loops


class PlanCache(dict):
    """Plans by `plan_key`. A copy begins empty, and so does what is unpickled, in another process for instance."""

    def __setitem__(self, key: tuple | None, plan: object) -> None:
        if key is None:
            return
        if len(self) >= MAX_PLANS:
            self.clear()
        super().__setitem__(key, plan)

    def __reduce__(self) -> tuple:
        return PlanCache, ()
