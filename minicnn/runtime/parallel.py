"""Parallel loops: ``parallel_for(n, body)`` splits range(n) into tasks and calls body(start, stop) for each of them.

Which thread runs a task, and when, is decided by the **executor** of the calling thread. There are five kinds:

- `AllThreads`, the default: one task for the calling thread and one for each worker of the pool, all at the same time;
- `Serial`: the whole loop as one task, in the calling thread;
- `Gathering`: deferrable loops are put off, and run together when a block ends;
- `PooledMemory`: new arrays take their memory from a pool;
- `replay.Taping`: loops are also recorded on a tape, to be run again.

The last three wrap another executor, and leave to it whatever they do not change. A kernel calls `parallel_for` for its loops
and `new_array` for its result. It need not know which executor it runs under, though it may ask how many threads it has
(`loop_threads`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TypeVar

import numpy as np

from .blas import one_blas_thread
from .memory import Pool, aligned
from .process import process, thread
from .workers import run_together

Item = TypeVar("Item")
Body = Callable[[int, int], object]  # of a loop: body(start, stop)
Loop = tuple[int, Body]  # n and body
Tasks = list[partial]  # of one thread, each a body(start, stop) with its start and stop


class Executor:
    """How the loops that a thread starts are run, and where new arrays come from.

    Attributes
    ----------
    threads : int
        Over how many threads a loop is split.
    defers_loops : bool
        Whether deferrable loops are put off, to be run together: then a short one costs no waiting of its own.
    """

    threads = 1
    defers_loops = False

    def run(self, n: int, body: Body, deferrable: bool = False) -> None:
        """Run a loop; see `parallel_for`."""
        self.execute(split_loops([(n, body)], self.threads))

    def execute(self, tasks_by_thread: list[Tasks]) -> None:
        """Run each thread's tasks, and return when all are done."""
        raise NotImplementedError(f"{type(self).__name__} must write execute(tasks_by_thread)")

    def new_array(self, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        """An uninitialised array, for the result of a loop; it starts with a line of the cache."""
        return aligned(shape, dtype)

    def serial(self) -> Executor:
        """The executor that takes this one's place in a `serial` block: it runs loops in the calling thread alone."""
        return SERIAL


class Serial(Executor):
    """The calling thread alone: each loop is one task."""

    def run(self, n: int, body: Body, deferrable: bool = False) -> None:
        body(0, n)

    def execute(self, tasks_by_thread: list[Tasks]) -> None:
        for tasks in tasks_by_thread:
            run_tasks(tasks)


class AllThreads(Executor):
    """The calling thread and the workers of the pool; without these, while another thread of the user's is using the pool."""

    @property
    def threads(self) -> int:
        return process.threads

    def execute(self, tasks_by_thread: list[Tasks]) -> None:
        with one_blas_thread():
            if len(tasks_by_thread) == 1 or not run_together([partial(run_tasks, tasks) for tasks in tasks_by_thread]):
                SERIAL.execute(tasks_by_thread)


class Wrapper(Executor):
    """An executor that passes everything on to another one; its subclasses override what they change."""

    def __init__(self, inner: Executor):
        self.inner, self.threads, self.defers_loops = inner, inner.threads, inner.defers_loops

    def run(self, n: int, body: Body, deferrable: bool = False) -> None:
        self.inner.run(n, body, deferrable)

    def execute(self, tasks_by_thread: list[Tasks]) -> None:
        self.inner.execute(tasks_by_thread)

    def new_array(self, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        return self.inner.new_array(shape, dtype)

    def serial(self) -> Executor:
        return self.inner.serial()


class Gathering(Wrapper):
    """Deferrable loops are put off until `run_gathered` runs them together; see `gathering`.

    Its ``serial()`` is the inner executor's: in a `serial` block nothing is put off, and loops run at once.
    """

    def __init__(self, inner: Executor):
        super().__init__(inner)
        self.defers_loops, self.gathered = True, []

    def run(self, n: int, body: Body, deferrable: bool = False) -> None:
        if deferrable:
            self.gathered.append((n, body))
        else:
            self.inner.run(n, body)

    def run_gathered(self) -> None:
        """Each thread runs its task of the first loop, then its task of the second, and so on."""
        loops, self.gathered = self.gathered, []
        if loops:
            self.inner.execute(split_loops(loops, self.threads))


class PooledMemory(Wrapper):
    """New arrays take their memory from a pool."""

    def __init__(self, inner: Executor, pool: Pool):
        super().__init__(inner)
        self.pool = pool

    def new_array(self, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        return self.pool.new_array(shape, dtype)

    def serial(self) -> Executor:
        return PooledMemory(self.inner.serial(), self.pool)


SERIAL = Serial()
process.executor = AllThreads()


# ---- the calling thread's executor
# The blocks below are classes and not generators with @contextmanager, which take microseconds longer: that counts in the
# inference of a small network with one picture.


def current() -> Executor:
    """The executor that runs the loops started in the calling thread."""
    return thread.executor or process.executor


class using:
    """Loops started in this block are run by the given executor."""

    def __init__(self, executor: Executor):
        self.executor = executor

    def __enter__(self) -> Executor:
        self.before, thread.executor = thread.executor, self.executor
        return self.executor

    def __exit__(self, *error: object) -> None:
        thread.executor = self.before


class serial:
    """Loops started in this block run in the calling thread: for work that takes less time than waking another thread.

    >>> with serial():
    ...     loop_threads()
    1
    """

    def __enter__(self) -> None:
        self.before, executor = thread.executor, current()
        self.blas = None if executor is SERIAL else one_blas_thread()
        if self.blas:
            self.blas.__enter__()
        thread.executor = executor.serial()

    def __exit__(self, *error: object) -> None:
        thread.executor = self.before
        if self.blas:
            self.blas.__exit__(*error)


_NO_CHANGE = nullcontext()


def serial_if(is_short: bool) -> AbstractContextManager:
    """`serial` for work that is too short to split, and a block without effect for other work."""
    return serial() if is_short else _NO_CHANGE


class gathering:
    """Deferrable loops started in this block run together at its end, so that threads are woken once and not for each loop.

    Other loops run at once, before them. No loop of the block may need what a deferred one computes. If the block fails, the
    deferred loops are not run.

    >>> squares, cubes = np.zeros(3), np.zeros(4)
    >>> def square(start, stop):
    ...     squares[start:stop] = np.arange(start, stop) ** 2
    >>> def cube(start, stop):
    ...     cubes[start:stop] = np.arange(start, stop) ** 3
    >>> with gathering():
    ...     parallel_for(3, square, deferrable=True)
    ...     parallel_for(4, cube, deferrable=True)
    >>> squares, cubes
    (array([0., 1., 4.]), array([ 0.,  1.,  8., 27.]))
    """

    def __enter__(self) -> None:
        self.before, self.executor = thread.executor, Gathering(current())
        thread.executor = self.executor

    def __exit__(self, error: type | None, *details: object) -> None:
        thread.executor = self.before
        if error is None:
            self.executor.run_gathered()


def loop_threads() -> int:
    """Over how many threads a loop that the calling thread starts now is split: 1 within a task of another loop."""
    return current().threads


def new_array(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """An uninitialised array for the result of a loop; the calling thread's executor decides where its memory comes from."""
    return current().new_array(shape, dtype)


# ---- loops


def parallel_for(n: int, body: Body, deferrable: bool = False) -> None:
    """Run ``body(start, stop)`` on tasks that together make up range(n), one contiguous task for each thread.

    Which index is in which task depends only on ``n`` and the number of threads: sums kept for each task and added in order
    are the same in every run. Within a task of another loop, all of range(n) is one task that runs at once.

    An exception in a task is raised here. Tasks that run at the same time in other threads end first, and if several fail, it
    is the exception of the first. Where one thread runs all tasks, those after the one that failed are not begun.

    ``deferrable`` is a promise that makes it possible to put the loop off (see `gathering`): the caller does not use what the
    loop computes before the block ends, and the loop reads no `workspace` that was handed out before it. An exception in a loop
    that was put off is raised at the end of the block.

    >>> squares = np.zeros(5)
    >>> def body(start, stop):
    ...     squares[start:stop] = np.arange(start, stop) ** 2
    >>> parallel_for(5, body)
    >>> squares
    array([ 0.,  1.,  4.,  9., 16.])
    """
    if n > 0:
        current().run(n, body, deferrable)


def parallel_each(items: Sequence[Item], body: Callable[[Item], object]) -> None:
    """``body(item)`` for each of the items; a thread that has finished one takes the next.

    For items that take long, and not all equally long: some have more work in them, and a laptop's cores are not all equally
    fast. Results must not depend on which thread does what. An exception is raised here once the other threads, if there are
    any, have done the remaining items; with a single thread these are dropped.

    >>> squares = {}
    >>> parallel_each([3, 1, 2], lambda i: squares.update({i: i * i}))
    >>> sorted(squares.items())
    [(1, 1), (2, 4), (3, 9)]
    """
    remaining = iter(items)  # over a sequence: Python's lock lets one thread at a time take the next item

    def take(start: int, stop: int) -> None:  # not those from start to stop, but whatever nobody else has taken yet
        for item in remaining:
            body(item)

    parallel_for(min(len(items), process.threads), take)  # a call of take in each thread


def parallel_sum(
    n: int, add: Callable[[int, int, np.ndarray], object], shape: tuple[int, ...], dtype: np.dtype | type
) -> np.ndarray:
    """The sum of all tasks' totals. Each starts with zeros and calls ``add(start, stop, total)`` to accumulate into them.

    The totals are added in order, so that the result repeats to the bit for a given number of threads.
    """
    totals: dict[int, np.ndarray] = {}

    def body(start: int, stop: int) -> None:
        total = np.zeros(shape, dtype)
        add(start, stop, total)
        totals[start] = total

    parallel_for(n, body)
    return sum((totals[start] for start in sorted(totals)), start=np.zeros(shape, dtype))


def split_loops(loops: list[Loop], threads: int) -> list[Tasks]:
    """The tasks of each thread: every loop (n, body) is split into as many tasks as there are threads, but at most n.

    >>> [[task.args for task in tasks] for tasks in split_loops([(5, print), (1, print)], threads=2)]
    [[(0, 2), (0, 1)], [(2, 5)]]
    """
    tasks_by_thread: list[Tasks] = [[] for _ in range(min(threads, max(n for n, _ in loops)))]
    for n, body in loops:
        count = min(n, threads)
        for i in range(count):
            tasks_by_thread[i].append(partial(body, n * i // count, n * (i + 1) // count))
    return tasks_by_thread


def run_tasks(tasks: Tasks) -> None:
    """Run one task after another in this thread. A loop within a task is part of the task and is not split again."""
    before, thread.executor = thread.executor, SERIAL
    try:
        for task in tasks:
            task()
    finally:
        thread.executor = before


# ---- how a batch is split


def threads_per_item(items: int) -> int:
    """How many threads must share an item so that all are busy: 1, unless there are fewer items than threads."""
    return -(-loop_threads() // max(items, 1))
