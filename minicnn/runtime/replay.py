"""Loops that were written down when they ran, and run again without Python between them.

One loop at a time, a single thread finds out what is next, gives the others their pieces and waits for them; they wait for it
meanwhile. Here every thread knows its pieces of all loops, and goes through them by itself. Between two loops it only waits
until all have done the first, as the second may read what any of them has written:

thread 0:  piece 0 of loop 1 | piece 0 of loop 2 | ...
thread 1:  piece 1 of loop 1 | piece 1 of loop 2 | ...

Same pieces, same threads, same arrays: the results are the same to the bit. "CUDA graphs" do the same on a graphics card, for
the same reason: what is known beforehand need not be said each time.
"""

from __future__ import annotations

import math
import threading
from functools import partial

import numpy as np

from .blas import one_blas_thread
from .memory import CACHE_LINE, aligned
from .parallel import Body, Executor, Tasks, Wrapper, run_tasks, share_out
from .worker import GIVEN_PAUSE, PATIENCE, meet
from .workers import run_together

ALL = np.iinfo(np.int64).max  # loops


class Tape:
    """What `Taping` writes on: loops, and the memory for what they make.

    The network's maps take turns in two halves of it. What layer i makes lies in the one, what layer i + 1 makes of it in the
    other, and layer i + 2 may write over the first: so little memory stays in the cache.

    Parameters
    ----------
    size : int, optional
        Bytes of a half. Without it, each array has memory of its own, and ``size`` afterwards is what it has to be.

    Attributes
    ----------
    loops : list
        For each loop, in the order in which they ran, the tasks of each thread.
    """

    def __init__(self, size: int = 0):
        self.loops: list[list[Tasks]] = []
        self.halves = [aligned(size, np.dtype(np.uint8)) for _ in range(2)] if size else None
        self.size = self.used = self.half = 0

    def next_layer(self, x: np.ndarray) -> None:
        """Of what was made so far, what comes next will read x and nothing else."""
        self.used = 0
        if self.halves:
            self.half = int(np.may_share_memory(x, self.halves[0]))

    def new_array(self, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        """As `parallel.new_array` says; the next pass fills it again."""
        size, start = math.prod(shape) * np.dtype(dtype).itemsize, self.used
        self.used += -(-size // CACHE_LINE) * CACHE_LINE
        self.size = max(self.size, self.used)
        if not self.halves:
            return np.empty(shape, dtype)
        return self.halves[self.half][start : start + size].view(dtype).reshape(shape)


class Taping(Wrapper):
    """Loops are also written on a tape, and what they make lies in the tape's memory. Loops within tasks are not written down:
    they are part of the task.
    """

    def __init__(self, inner: Executor, tape: Tape):
        super().__init__(inner)
        self.tape = tape

    def run(self, n: int, body: Body, deferrable: bool = False) -> None:
        self.execute(share_out([(n, body)], self.threads))

    def execute(self, shares: list[Tasks]) -> None:
        self.tape.loops.append(shares)
        self.inner.execute(shares)

    def new_array(self, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        return self.tape.new_array(shape, dtype)

    def serial(self) -> Executor:
        return Taping(self.inner.serial(), self.tape)


class Recording:
    """Loops from a tape, to be run again on the arrays on which they ran then."""

    def __init__(self, loops: list[list[Tasks]]):
        threads = max(map(len, loops), default=1)
        self.loops = [shares + [[]] * (threads - len(shares)) for shares in loops]
        self.walks = [partial(self._walk, me) for me in range(threads)]
        # loops that each thread has done, on a line of the cache each: whoever watches one slows down who writes it
        self.done = np.zeros((threads, CACHE_LINE // 8), np.int64)
        self.clocks = np.zeros_like(self.done)
        self.bell, self.sleepers = threading.Condition(), 0

    def run(self) -> bool:
        """False, and nothing is run, if another thread of the user's has the pool's at the moment."""
        self.done[:] = 0
        with one_blas_thread():
            if len(self.walks) > 1:
                return run_together(self.walks)
            self.walks[0]()
            return True

    def _walk(self, me: int) -> None:
        try:
            for number, shares in enumerate(self.loops):
                if number:
                    self._wait_for_others(me, number)
                run_tasks(shares[me])
        except BaseException:  # Ctrl-C, perhaps: let the others come to their end
            with self.bell:
                self.done[me, 0] = ALL
                self.bell.notify_all()
            raise

    def _wait_for_others(self, me: int, number: int) -> None:
        """This thread has done ``number`` loops; until all have."""
        are_here = meet(self.done, me, number, PATIENCE, GIVEN_PAUSE if me else 0, self.clocks[me])
        if are_here and not self.sleepers:
            return
        with self.bell:
            self.bell.notify_all()
            self.sleepers += 1
            self.bell.wait_for(lambda: (self.done[:, 0] >= number).all())
            self.sleepers -= 1
