"""Parallel loops: ``parallel_for(n, body)`` runs body(start, stop) on tasks that together make up range(n).

Who runs the tasks is a question for the calling thread's **executor**. There are five:

- `AllThreads`, what a thread has if nobody says otherwise: one task for each thread of the pool;
- `Serial`: the whole loop as one task, right here;
- `Gathering`: loops that can wait are put off, and run together when the block ends;
- `PooledMemory`: as another executor, but new arrays have their memory from a pool;
- `replay.Taping`: as another executor, but the loops are also written down, to be run again.

The last three wrap another one. A kernel asks none of that: it calls `parallel_for`, and `new_array` for its result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TypeVar

import numpy as np

from .blas import one_blas_thread
from .memory import Pool
from .process import process, thread
from .workers import run_together

Item = TypeVar("Item")
Body = Callable[[int, int], object]
Loop = tuple[int, Body]  # n and body
Tasks = list[partial]  # of one thread: body(start, stop) with its start and stop


class Executor:
    """How the loops that a thread starts are run.

    Attributes
    ----------
    threads : int
        Over how many threads a loop is split.
    joins_later : bool
        Whether loops that can wait are put off, so that a short one costs no waiting of its own.
    """

    threads = 1
    joins_later = False

    def run(self, n: int, body: Body, deferrable: bool = False) -> None:
        """A loop; see `parallel_for`."""
        self.execute(share_out([(n, body)], self.threads))

    def execute(self, shares: list[Tasks]) -> None:
        """The tasks of each thread, until all are done."""
        raise NotImplementedError(f"{type(self).__name__} must write execute(shares)")

    def new_array(self, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        """Uninitialised, for what a loop makes."""
        return np.empty(shape, dtype)

    def serial(self) -> Executor:
        """What does the same in the calling thread alone."""
        return SERIAL


class Serial(Executor):
    """The calling thread alone: one task after the other, a loop as a whole."""

    def run(self, n: int, body: Body, deferrable: bool = False) -> None:
        body(0, n)

    def execute(self, shares: list[Tasks]) -> None:
        for tasks in shares:
            run_tasks(tasks)


class AllThreads(Executor):
    """All threads of the pool; or the calling thread alone, while another thread of the user's has the pool."""

    @property
    def threads(self) -> int:
        return process.threads

    def execute(self, shares: list[Tasks]) -> None:
        with one_blas_thread():
            if len(shares) == 1 or not run_together([partial(run_tasks, tasks) for tasks in shares]):
                SERIAL.execute(shares)


class Wrapper(Executor):
    """Does what another executor does, but for what it overrides."""

    def __init__(self, inner: Executor):
        self.inner, self.threads, self.joins_later = inner, inner.threads, inner.joins_later

    def run(self, n: int, body: Body, deferrable: bool = False) -> None:
        self.inner.run(n, body, deferrable)

    def execute(self, shares: list[Tasks]) -> None:
        self.inner.execute(shares)

    def new_array(self, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        return self.inner.new_array(shape, dtype)

    def serial(self) -> Executor:
        return self.inner.serial()


class Gathering(Wrapper):
    """Loops that can wait are put off; `run_gathered` runs them together. See `gathering`."""

    def __init__(self, inner: Executor):
        super().__init__(inner)
        self.joins_later, self.gathered = True, []

    def run(self, n: int, body: Body, deferrable: bool = False) -> None:
        if deferrable:
            self.gathered.append((n, body))
        else:
            self.inner.run(n, body)

    def run_gathered(self) -> None:
        """Each thread runs its task of the first loop, then its task of the second, and so on."""
        loops, self.gathered = self.gathered, []
        if loops:
            self.inner.execute(share_out(loops, self.threads))


class PooledMemory(Wrapper):
    """New arrays have their memory from a pool."""

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


def current() -> Executor:
    """The executor that runs the loops started here."""
    return thread.executor or process.executor


class using:
    """Loops started in the block are run by this executor."""

    def __init__(self, executor: Executor):
        self.executor = executor

    def __enter__(self) -> Executor:
        self.before, thread.executor = thread.executor, self.executor
        return self.executor

    def __exit__(self, *error: object) -> None:
        thread.executor = self.before


class serial:
    """Loops started in the block run as a whole where they are started: for work that takes less time than waking a thread.

    >>> with serial():
    ...     free_threads()
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


_AS_IT_IS = nullcontext()


def serial_if(is_short: bool) -> AbstractContextManager:
    """`serial` for work that is too short to share, and nothing for other work."""
    return serial() if is_short else _AS_IT_IS


class gathering:
    """Deferrable loops started in the block run together at its end, so that threads are given their tasks only once.

    For loops that need nothing of each other. If the block fails, they are not run.

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


def free_threads() -> int:
    """Over how many threads a loop started right here would be split: 1 within a task of another loop."""
    return current().threads


def new_array(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """An uninitialised array for what loops make, from wherever the calling thread's executor has arrays."""
    return current().new_array(shape, dtype)


# ---- loops


def parallel_for(n: int, body: Body, deferrable: bool = False) -> None:
    """Run ``body(start, stop)`` on tasks that together make up range(n), one contiguous task a thread.

    Which index is in which task depends on ``n`` and the number of threads alone, so that sums kept by task and added in order
    are the same in every run. A call from within a task runs all of range(n) where it is. An exception in a task is raised here
    once all tasks have ended (the first task's, if several fail).

    ``deferrable`` is the promise that the caller does nothing more with what the loop makes, and that it reads no `workspace`
    that was handed out before it: `gathering` may then put it off.

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
    """``body(item)`` for each of the items: whichever thread is free takes the next.

    For items that take long, and some of them longer than others, or on some cores: a laptop's are not all alike. Nothing may
    depend on which thread does what. An exception is raised here once the other threads have done the rest.

    >>> squares = {}
    >>> parallel_each([3, 1, 2], lambda i: squares.update({i: i * i}))
    >>> sorted(squares.items())
    [(1, 1), (2, 4), (3, 9)]
    """
    rest = iter(items)  # of a sequence: while one thread asks for the next, Python's lock keeps the others waiting

    def take(start: int, stop: int) -> None:
        for item in rest:
            body(item)

    parallel_for(min(len(items), process.threads), take)


def parallel_sum(
    n: int, add: Callable[[int, int, np.ndarray], object], shape: tuple[int, ...], dtype: np.dtype | type
) -> np.ndarray:
    """The sum of what ``add(start, stop, total)`` adds to each task's own total, which is 0 at first.

    The totals are added in order, so that the result repeats to the bit for a given number of threads.
    """
    totals: dict[int, np.ndarray] = {}

    def body(start: int, stop: int) -> None:
        total = np.zeros(shape, dtype)
        add(start, stop, total)
        totals[start] = total

    parallel_for(n, body)
    return sum((totals[start] for start in sorted(totals)), start=np.zeros(shape, dtype))


def share_out(loops: list[Loop], threads: int) -> list[Tasks]:
    """Each loop (n, body) split into as many tasks as there are threads, or into n if that is less; by thread."""
    shares: list[Tasks] = [[] for _ in range(min(threads, max(n for n, _ in loops)))]
    for n, body in loops:
        count = min(n, threads)
        for i in range(count):
            shares[i].append(partial(body, n * i // count, n * (i + 1) // count))
    return shares


def run_tasks(tasks: Tasks) -> None:
    """One task after the other. Loops within them are part of the task: they run where they are."""
    before, thread.executor = thread.executor, SERIAL
    try:
        for task in tasks:
            task()
    finally:
        thread.executor = before


# ---- how a batch is split


def threads_per_sample(N: int) -> int:
    """How many threads have to share a sample so that all are busy with N of them: 1, unless there are fewer samples."""
    return -(-free_threads() // max(N, 1))


def tasks_of_batch(N: int, groups: int, blocks: int) -> np.ndarray:
    """Rows (sample, group, first, last block), for ``parallel_for``: with few samples, each thread takes some blocks of each.

    >>> tasks_of_batch(max(free_threads(), 2), 1, 5)[:2].tolist()
    [[0, 0, 0, 5], [1, 0, 0, 5]]
    """
    parts = min(blocks, threads_per_sample(N * groups))
    n, g, part = np.indices((N, groups, parts)).reshape(3, -1)
    return np.stack([n, g, blocks * part // parts, blocks * (part + 1) // parts], axis=1)
