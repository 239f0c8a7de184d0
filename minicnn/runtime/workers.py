"""The pool of threads: how many there are, and functions that run in all of them at the same time.

Numba loops compiled with ``nogil=True`` and NumPy's products release Python's lock while they compute, so ordinary Python
threads keep all cores busy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .blas import limit_for_good
from .process import process
from .worker import Worker


def get_threads() -> int:
    """How many threads ``parallel_for`` splits a loop over; at first, the number of usable cores."""
    return process.threads


def set_threads(n: int) -> None:
    """Split loops over ``n`` threads from now on. Results repeat to the bit as long as this number stays the same.

    Raises
    ------
    ValueError
        If ``n`` is not a whole number of at least 1.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"the number of threads is a whole number of at least 1, got {n!r}")
    process.threads = int(n)


def run_together(functions: list[Callable[[], object]]) -> bool:
    """Run each function in a thread of its own, all at the same time: the first in this thread, the others in the pool's.

    Returns True when all have ended. Returns False, having run none, if another thread of the user's is using the pool.
    """
    if not process.workers_in_use.acquire(blocking=False):
        return False
    try:
        first, *others = functions
        while len(process.workers) < len(others):
            process.workers.append(Worker(limit_for_good))
        busy = list(zip(process.workers, others, strict=False))
        for worker, function in busy:
            worker.begin(function)
        try:
            first()
        finally:
            for worker, _ in busy:  # also after Ctrl-C: no worker may still write into an array that its owner has freed
                worker.wait()
        for worker, _ in busy:
            if worker.error is not None:
                raise worker.error
        return True
    finally:
        process.workers_in_use.release()
