"""A thread of the pool, and how it learns quickly that there is work.

A sleeping thread takes a tenth of a millisecond to wake up, which is as long as many a layer takes. Both sides therefore spin
for a moment (half a millisecond) before they fall asleep: the worker while it waits for its next task, and the caller while it
waits for the worker to finish. Spinning holds no lock of Python's, and lets any other thread have the core that wants it. Who
has waited longer than that sleeps until it is called.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import numba
import numpy as np

if sys.platform == "linux" and not numba.config.DISABLE_JIT:
    from .spin import barrier, spin_until
else:  # another system, or somebody who wants to step through the loops

    def spin_until(number: np.ndarray, value: int, patience: int, pause: int, clock: np.ndarray) -> bool:
        """No spinning: asleep at once."""
        return False

    def barrier(done: np.ndarray, me: int, number: int, patience: int, pause: int, clock: np.ndarray) -> bool:
        """No spinning: asleep at once, unless all others are there already."""
        done[me, 0] = number
        return bool((done[:, 0] >= number).all())


SPIN_NS = 500_000  # nanoseconds of spinning before a thread falls asleep
# A caller that has just begun a task needs Python's lock for some microseconds more, to start its own part. A worker that asked
# for the lock meanwhile would be put to sleep after all, so it goes on spinning until the lock is probably free. The caller
# does the same when a worker has finished, until that is probably spinning again.
BEGIN_PAUSE_NS, FINISH_PAUSE_NS = 15_000, 3_000


class Worker:
    """A thread that runs a task whenever it is given one.

    Parameters
    ----------
    prepare : function
        Called once in the thread, before its first task.
    """

    def __init__(self, prepare: Callable[[], object]) -> None:
        self.begun, self.finished = _Counter(), _Counter()  # tasks
        self.prepare, self.error = prepare, None
        threading.Thread(target=self._work, name="minicnn", daemon=True).start()

    def begin(self, task: Callable[[], object]) -> None:
        """Start the task and return at once; `wait` must follow before the next one."""
        self.task, self.error = task, None
        self.begun.increment()

    def wait(self) -> None:
        """Return when the task is finished, also after Ctrl-C. An exception that it raised is then in ``error``."""
        try:
            self.finished.wait_for(self.begun.value, FINISH_PAUSE_NS)
        except KeyboardInterrupt:
            self.finished.wait_for(self.begun.value, FINISH_PAUSE_NS)
            raise

    def _work(self) -> None:
        self.prepare()
        while True:
            self.begun.wait_for(self.finished.value + 1, BEGIN_PAUSE_NS)
            try:
                self.task()
            except BaseException as error:
                self.error = error  # for the caller to raise
            self.task = None
            self.finished.increment()


class _Counter:
    """A number that one thread increments and one other thread waits for."""

    def __init__(self) -> None:
        self.number, self.clock = np.zeros(1, np.int64), np.zeros(2, np.int64)
        self.mutex, self.bell, self.sleeps = threading.Lock(), threading.Lock(), False
        self.bell.acquire()  # to acquire it once more is to sleep until somebody releases it

    @property
    def value(self) -> int:
        return int(self.number[0])

    def increment(self) -> None:
        with self.mutex:
            self.number[0] += 1
            if self.sleeps and self.bell.locked():
                self.bell.release()

    def wait_for(self, value: int, pause: int) -> None:
        """Return when the number is ``value``; ``pause`` nanoseconds later if this thread has not slept."""
        if spin_until(self.number, value, SPIN_NS, pause, self.clock):
            return
        while True:
            with self.mutex:
                self.sleeps = self.value != value
                if not self.sleeps:
                    return
            self.bell.acquire()
