"""A runtime that takes away what may not be read any more, to prove that the rule of `runtime.memory.workspace` is kept.

Under it, as with ``pytest --strict-workspaces``:

- the tasks of a loop run one after another in the calling thread, as they do while somebody else has the pool, and in random
  order;
- when a task has ended, every workspace that was handed out in it is filled with NaN;
- when somebody asks for a workspace again, what its last owner holds is filled with NaN, and the new owner gets other memory.

Whoever reads a workspace too late then computes NaN, and not, now and then, the numbers of another thread.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from minicnn.runtime.blas import one_blas_thread
from minicnn.runtime.parallel import AllThreads, run_tasks
from minicnn.runtime.process import process, thread


def spoil(array: np.ndarray) -> None:
    """NaN everywhere, or the largest number that there is."""
    array[:] = np.nan if array.dtype.kind == "f" else np.iinfo(array.dtype).max


class StrictWorkspaces(dict):
    """Workspaces of a thread; whoever asks for one gets a new one, and the one before is spoilt."""

    def __init__(self) -> None:
        super().__init__()
        self.handed_out: set[tuple] = set()  # since the last time that all were spoilt

    def get(self, key: tuple) -> None:
        """None: `workspace` makes a new one."""
        if key in self:
            spoil(self[key])
        self.handed_out.add(key)

    def __setitem__(self, key: tuple, array: np.ndarray) -> None:
        spoil(array)
        super().__setitem__(key, array)

    def end_task(self, of_callers: set[tuple]) -> None:
        """Spoil those that the task has asked for. Its callers' are still theirs, if it has asked for none of the same name."""
        for key in self.handed_out:
            spoil(self[key])
        self.handed_out = of_callers - self.handed_out


class StrictExecutor(AllThreads):
    """Runs the tasks of all threads in the calling thread, in random order."""

    def __init__(self) -> None:
        self.random = random.Random(0)

    def execute(self, shares: list) -> None:
        workspaces = thread.workspaces
        with one_blas_thread():
            for tasks in self.random.sample(shares, len(shares)):
                of_callers, workspaces.handed_out = workspaces.handed_out, set()
                try:
                    run_tasks(tasks)
                finally:
                    workspaces.end_task(of_callers)


@contextmanager
def strict_workspaces() -> Iterator[None]:
    """Loops that are started in the block, in whatever thread, run under the strict runtime."""
    before = process.executor, process.workspaces, thread.workspaces
    process.executor, process.workspaces, thread.workspaces = StrictExecutor(), StrictWorkspaces, StrictWorkspaces()
    try:
        yield
    finally:
        process.executor, process.workspaces, thread.workspaces = before
