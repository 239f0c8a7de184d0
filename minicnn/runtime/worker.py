"""A thread of the pool, and how it is told quickly that there is work.

A sleeping thread wakes up a tenth of a millisecond after it is called, which is as long as many a layer takes. So both sides
watch for a moment (about half a millisecond) before they fall asleep, without holding Python's lock: the worker for its next
piece, whoever gave it one for its end. Any other thread that wants the core gets it; after that, on a busy machine some
milliseconds later, the moment is over, and whoever watched sleeps until called, like everybody else.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import numba
import numpy as np

if sys.platform == "linux" and not numba.config.DISABLE_JIT:
    from .spin import meet, watch
else:  # another system, or somebody who wants to step through the loops

    def watch(number: np.ndarray, value: int, patience: int, pause: int, clock: np.ndarray) -> bool:
        """Asleep at once."""
        return False

    def meet(done: np.ndarray, me: int, number: int, patience: int, pause: int, clock: np.ndarray) -> bool:
        """Asleep at once, unless the others are there."""
        done[me, 0] = number
        return bool((done[:, 0] >= number).all())


PATIENCE = 500_000  # nanoseconds of watching before falling asleep
# Who gives a piece goes on in Python for some microseconds, to its own. If the worker asked for Python's lock meanwhile, it
# would be put to sleep after all: it looks on until the lock is probably free.
GIVEN_PAUSE, FINISHED_PAUSE = 15_000, 3_000  # nanoseconds


class Worker:
    """A thread that does a piece of work whenever it is given one.

    Parameters
    ----------
    prepare : function
        Called once in the thread, before its first piece.
    """

    def __init__(self, prepare: Callable[[], object]) -> None:
        self.given, self.finished = _Count(), _Count()  # pieces
        self.prepare, self.error = prepare, None
        threading.Thread(target=self._work, name="minicnn", daemon=True).start()

    def begin(self, piece: Callable[[], object]) -> None:
        self.piece, self.error = piece, None
        self.given.raise_by_one()

    def wait(self) -> None:
        """Until the piece is finished, also after Ctrl-C. What went wrong in it is then in ``error``."""
        try:
            self.finished.wait_for(self.given.value, FINISHED_PAUSE)
        except KeyboardInterrupt:
            self.finished.wait_for(self.given.value, FINISHED_PAUSE)
            raise

    def _work(self) -> None:
        self.prepare()
        while True:
            self.given.wait_for(self.finished.value + 1, GIVEN_PAUSE)
            try:
                self.piece()
            except BaseException as error:
                self.error = error  # for the caller to raise
            self.piece = None
            self.finished.raise_by_one()


class _Count:
    """A number that one thread raises and one other waits for."""

    def __init__(self) -> None:
        self.number, self.clock = np.zeros(1, np.int64), np.zeros(2, np.int64)
        self.mutex, self.bell, self.sleeps = threading.Lock(), threading.Lock(), False
        self.bell.acquire()

    @property
    def value(self) -> int:
        return int(self.number[0])

    def raise_by_one(self) -> None:
        with self.mutex:
            self.number[0] += 1
            if self.sleeps and self.bell.locked():
                self.bell.release()

    def wait_for(self, value: int, pause: int) -> None:
        """Until the number is ``value``; if it was awaited awake, for ``pause`` looks more."""
        if watch(self.number, value, PATIENCE, pause, self.clock):
            return
        while True:
            with self.mutex:
                self.sleeps = self.value != value
                if not self.sleeps:
                    return
            self.bell.acquire()
