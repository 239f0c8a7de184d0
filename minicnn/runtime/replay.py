"""Loops that are recorded while they run, and then run again without the Python code between them.

Usually one thread finds out what comes next, gives the others their tasks and waits for them, while they wait for it. Here
every thread knows its tasks of all loops, and goes through them by itself. Between two loops it only waits at a barrier until
all threads have done the first, as the second may read what any of them has written:

thread 0:  task 0 of loop 1 | task 0 of loop 2 | ...
thread 1:  task 1 of loop 1 | task 1 of loop 2 | ...

The same tasks run in the same threads on the same arrays, so results are the same to the bit. "CUDA graphs" do this on a
graphics card, for the same reason: what is known beforehand need not be said each time.
"""

from __future__ import annotations

import math
import threading
from functools import partial

import numpy as np

from .blas import one_blas_thread
from .memory import CACHE_LINE, aligned
from .parallel import Body, Executor, Tasks, Wrapper, run_tasks, split_loops
from .worker import BEGIN_PAUSE_NS, SPIN_NS, barrier
from .workers import run_together

FAILED = np.iinfo(np.int64).max  # more loops than there are: nobody waits for a thread that counts so many as done


class Tape:
    """What `Taping` records: loops, and the memory for their results.

    That memory is double-buffered. The result of layer i lies in one buffer, that of layer i + 1 in the other, and layer i + 2
    may overwrite the first: little memory is touched, and it stays in the cache.

    Parameters
    ----------
    size : int, optional
        Bytes of each buffer. Without it, each array has memory of its own, and ``size`` afterwards is what the buffers need.

    Attributes
    ----------
    loops : list
        For each loop, in the order in which they ran, the tasks of each thread.
    """

    def __init__(self, size: int = 0):
        self.loops: list[list[Tasks]] = []
        self.buffers = [aligned((size,), np.uint8) for _ in range(2)] if size else None
        self.size = self.used = self.buffer = 0

    def switch_buffer(self, x: np.ndarray) -> None:
        """New arrays come from the buffer in which x does not lie; of the arrays made so far, only x will still be read."""
        self.used = 0
        if self.buffers:
            self.buffer = int(np.may_share_memory(x, self.buffers[0]))

    def new_array(self, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        """As `parallel.new_array`; each time the recording runs, it writes to the same array."""
        size, start = math.prod(shape) * np.dtype(dtype).itemsize, self.used
        self.used += -(-size // CACHE_LINE) * CACHE_LINE
        self.size = max(self.size, self.used)
        if not self.buffers:
            return np.empty(shape, dtype)
        return self.buffers[self.buffer][start : start + size].view(dtype).reshape(shape)


class Taping(Wrapper):
    """An executor that also records the loops on a tape, and takes their new arrays from the tape's memory.

    Loops within tasks are not recorded: they are part of the task.
    """

    def __init__(self, inner: Executor, tape: Tape):
        super().__init__(inner)
        self.tape = tape

    def run(self, n: int, body: Body, deferrable: bool = False) -> None:
        self.execute(split_loops([(n, body)], self.threads))

    def execute(self, tasks_by_thread: list[Tasks]) -> None:
        self.tape.loops.append(tasks_by_thread)
        self.inner.execute(tasks_by_thread)

    def new_array(self, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        return self.tape.new_array(shape, dtype)

    def serial(self) -> Executor:
        return Taping(self.inner.serial(), self.tape)


class Recording:
    """The loops of a tape, to be run again on the arrays on which they ran when they were recorded."""

    def __init__(self, loops: list[list[Tasks]]):
        threads = max(map(len, loops), default=1)
        self.loops = [tasks_by_thread + [[]] * (threads - len(tasks_by_thread)) for tasks_by_thread in loops]
        self.thread_functions = [partial(self._run_tasks_of, me) for me in range(threads)]
        # the loops that each thread has done; a cache line each, so that no thread's spinning slows down another one's writing
        self.done = np.zeros((threads, CACHE_LINE // 8), np.int64)
        self.clocks = np.zeros_like(self.done)
        self.bell, self.sleepers = threading.Condition(), 0

    def run(self) -> bool:
        """Run all loops; False, and nothing is run, if another thread of the user's is using the pool."""
        self.done[:] = 0
        with one_blas_thread():
            if len(self.thread_functions) > 1:
                return run_together(self.thread_functions)
            self.thread_functions[0]()
            return True

    def _run_tasks_of(self, me: int) -> None:
        """The tasks of thread ``me`` in all loops."""
        try:
            for number, tasks_by_thread in enumerate(self.loops):
                if number:
                    self._wait_for_others(me, number)
                run_tasks(tasks_by_thread[me])
        except BaseException:  # Ctrl-C, perhaps: the others must not wait for this thread
            with self.bell:
                self.done[me, 0] = FAILED
                self.bell.notify_all()
            raise

    def _wait_for_others(self, me: int, number: int) -> None:
        """Thread ``me`` has done ``number`` loops; return when all threads have."""
        all_are_here = barrier(self.done, me, number, SPIN_NS, BEGIN_PAUSE_NS if me else 0, self.clocks[me])
        if all_are_here and not self.sleepers:
            return
        with self.bell:
            self.bell.notify_all()
            self.sleepers += 1
            self.bell.wait_for(lambda: (self.done[:, 0] >= number).all())
            self.sleepers -= 1
