"""One pool of threads for everything: who runs which piece of a loop, and where each thread keeps its workspace.

Numba kernels compiled with ``nogil=True`` and NumPy's products let go of Python's lock while they compute, so ordinary Python
threads keep all cores busy. While they do, BLAS gets one thread only: two pools wanting the same cores wait for each other,
and a kernel of one millisecond can then take eight.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from .cores import usable_cores
from .memory import Pool, keep_freed_memory
from .worker import Worker

if TYPE_CHECKING:
    from .recording import Tape

keep_freed_memory()  # before the first large array

CACHE_LINE = 64  # bytes

_lock = threading.Lock()
# what belongs to one thread: .inside (it is running a piece), .gathered (loops put off), .tape and .pool (where new arrays come
# from), .one_blas_thread, .workspaces
_here = threading.local()

Item = TypeVar("Item")
Pieces = list[partial]  # body(start, stop) with its start and stop

_threads = usable_cores()
_workers: list[Worker] = []  # started when they are first needed, and kept
_workers_in_use = threading.Lock()


def get_threads() -> int:
    """How many threads ``parallel_for`` splits a loop over; at first, the number of usable cores."""
    return _threads


def free_threads() -> int:
    """How many threads a loop started right here would be split over: 1 within a piece of another loop."""
    return 1 if is_inside() else _threads


def is_inside() -> bool:
    """Whether this is within a piece of a loop, or within `on_this_thread`."""
    return getattr(_here, "inside", False)


class on_this_thread:
    """Loops started in here run as a whole where they are started: for work that takes less time than waking another thread.

    >>> with on_this_thread():
    ...     free_threads()
    1
    """

    def __enter__(self) -> None:
        self.is_outermost = not is_inside()  # within a piece they do anyway
        if self.is_outermost:
            self.blas = one_blas_thread()
            self.blas.__enter__()
            _here.inside = True

    def __exit__(self, *error: object) -> None:
        if self.is_outermost:
            _here.inside = False
            self.blas.__exit__()


def on_this_thread_if(is_short: bool) -> AbstractContextManager:
    """`on_this_thread` for work that is too short to share, and nothing for other work."""
    return on_this_thread() if is_short else nullcontext()


def set_threads(n: int) -> None:
    """Split loops over ``n`` threads from now on. Results repeat to the bit as long as this number stays the same.

    Raises
    ------
    ValueError
        If ``n`` is not a whole number of at least 1.
    """
    global _threads
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"the number of threads is a whole number of at least 1, got {n!r}")
    _threads = int(n)


def parallel_for(n: int, body: Callable[[int, int], object], last: bool = False) -> None:
    """Run ``body(start, stop)`` on pieces that together make up range(n), one contiguous piece a thread.

    Which index is in which piece depends on ``n`` and ``get_threads()`` alone, so that sums kept by piece and added in
    order are the same in every run. A call from within a piece runs all of range(n) where it is. An exception in a piece
    is raised here once all pieces have ended (the first piece's, if several fail).

    ``last`` is the promise that the caller does nothing more with what the loop makes, so that `gathered_loops` may put it off.

    >>> squares = np.zeros(5)
    >>> def body(start, stop):
    ...     squares[start:stop] = np.arange(start, stop) ** 2
    >>> parallel_for(5, body)
    >>> squares
    array([ 0.,  1.,  4.,  9., 16.])
    """
    if n <= 0:
        return
    if is_inside():
        if is_recording():
            _run_and_write_down([[partial(body, 0, n)]])
        else:
            body(0, n)
        return
    gathered = getattr(_here, "gathered", None)
    if last and gathered is not None:
        gathered.append((n, body))
    else:
        _run_loops([(n, body)])


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

    parallel_for(min(len(items), _threads), take)


@contextmanager
def gathered_loops() -> Iterator[None]:
    """Loops started in here as their caller's last are run together at the end, and threads are given their pieces only once.

    For loops that need nothing of each other. Each thread runs its piece of the first, then its piece of the second, and so on.

    >>> squares, cubes = np.zeros(3), np.zeros(4)
    >>> def square(start, stop):
    ...     squares[start:stop] = np.arange(start, stop) ** 2
    >>> def cube(start, stop):
    ...     cubes[start:stop] = np.arange(start, stop) ** 3
    >>> with gathered_loops():
    ...     parallel_for(3, square, last=True)
    ...     parallel_for(4, cube, last=True)
    >>> squares, cubes
    (array([0., 1., 4.]), array([ 0.,  1.,  8., 27.]))
    """
    _here.gathered = []
    try:
        yield
        loops = _here.gathered
    finally:
        _here.gathered = None
    _run_loops(loops)


@contextmanager
def recorded_loops(tape: Tape) -> Iterator[None]:
    """Loops started in here are also written down, to be run again: see ``recording``."""
    _here.tape = tape
    try:
        yield
    finally:
        _here.tape = None


def new_array(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """An uninitialised array for what loops make; while they are recorded, one that they will fill each time.

    Otherwise with memory from the pool that `arrays_from` has named, if it has.
    """
    source = _tape() or getattr(_here, "pool", None)
    return np.empty(shape, dtype) if source is None else source.new_array(shape, dtype)


@contextmanager
def arrays_from(pool: Pool) -> Iterator[None]:
    """New arrays made in here come from the pool."""
    before = getattr(_here, "pool", None)
    _here.pool = pool
    try:
        yield
    finally:
        _here.pool = before


def is_recording() -> bool:
    """Whether the loops started here are being written down."""
    return _tape() is not None


def _tape() -> Tape | None:
    return getattr(_here, "tape", None)


def is_gathering() -> bool:
    """Whether loops are being gathered, so that a short one costs no waiting of its own."""
    return getattr(_here, "gathered", None) is not None


def _run_loops(loops: list[tuple[int, Callable[[int, int], object]]]) -> None:
    """Each loop (n, body) split over the threads, or over n of them if that is less."""
    shares: list[Pieces] = [[] for _ in range(min(_threads, max((n for n, _ in loops), default=0)))]
    for n, body in loops:
        count = min(n, _threads)
        for i in range(count):
            shares[i].append(partial(body, n * i // count, n * (i + 1) // count))
    if shares:
        with one_blas_thread():
            _run_and_write_down(shares)


def _run_and_write_down(shares: list[Pieces]) -> None:
    tape = _tape()
    if tape is not None:
        tape.loops.append(shares)
    if len(shares) == 1 or not run_together([partial(run_pieces, share) for share in shares]):
        for share in shares:
            run_pieces(share)


def run_together(functions: list[Callable[[], object]]) -> bool:
    """Each function in a thread of the pool, all at the same time, the first one in this thread.

    False, and nothing is run, if another thread of the user's has the pool's at the moment.
    """
    if not _workers_in_use.acquire(blocking=False):
        return False
    try:
        first, *others = functions
        while len(_workers) < len(others):
            _workers.append(Worker(_prepare_worker))
        busy = list(zip(_workers, others, strict=False))
        for worker, function in busy:
            worker.begin(function)
        try:
            first()
        finally:
            for worker, _ in busy:  # also after Ctrl-C: nobody may still be writing into an array its owner has let go
                worker.wait()
        for worker, _ in busy:
            if worker.error is not None:
                raise worker.error
        return True
    finally:
        _workers_in_use.release()


def threads_per_sample(N: int) -> int:
    """How many threads have to share a sample so that all are busy with N of them: 1, unless there are fewer samples."""
    return -(-free_threads() // max(N, 1))


def pieces_of_batch(N: int, groups: int, blocks: int) -> np.ndarray:
    """Rows (sample, group, first, last block), for ``parallel_for``: with few samples, each thread takes some blocks of each.

    >>> pieces_of_batch(max(get_threads(), 2), 1, 5)[:2].tolist()
    [[0, 0, 0, 5], [1, 0, 0, 5]]
    """
    parts = min(blocks, threads_per_sample(N * groups))
    n, g, part = np.indices((N, groups, parts)).reshape(3, -1)
    return np.stack([n, g, blocks * part // parts, blocks * (part + 1) // parts], axis=1)


def parallel_sum(
    n: int, add: Callable[[int, int, np.ndarray], object], shape: tuple[int, ...], dtype: np.dtype | type
) -> np.ndarray:
    """The sum of what ``add(start, stop, total)`` adds to each piece's own total, which is 0 at first.

    The totals are added in order, so that the result repeats to the bit for a given number of threads.
    """
    totals: dict[int, np.ndarray] = {}

    def body(start: int, stop: int) -> None:
        total = np.zeros(shape, dtype)
        add(start, stop, total)
        totals[start] = total

    parallel_for(n, body)
    return sum((totals[start] for start in sorted(totals)), start=np.zeros(shape, dtype))


def workspace(use: str, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """An uninitialised array that belongs to the calling thread and is used again by its next call with the same ``use``.

    A new array of some megabytes costs more in page faults than the arithmetic on it; this memory is kept. Its contents are
    good until the same thread asks for the same ``use`` again.
    """
    workspaces = _here.__dict__.setdefault("workspaces", {})
    size, key = math.prod(shape), (use, dtype)
    flat = workspaces.get(key)
    if flat is None or flat.size < size:
        flat = workspaces[key] = aligned(size, np.dtype(dtype))
    return flat[:size] if len(shape) == 1 else flat[:size].reshape(shape)


def aligned(size: int, dtype: np.dtype) -> np.ndarray:
    """An uninitialised array that starts with a line of the cache: a vector that crosses lines takes twice as long."""
    memory = np.empty(size * dtype.itemsize + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + size * dtype.itemsize].view(dtype)


def run_pieces(pieces: Pieces) -> None:
    """One piece after the other. Loops within them are part of the piece: they run where they are, and are not written down."""
    before = is_inside(), _tape()
    _here.inside, _here.tape = True, None
    try:
        for piece in pieces:
            piece()
    finally:
        _here.inside, _here.tape = before


def _prepare_worker() -> None:
    blas = _get_blas()
    blas.exchange(blas.per_thread, [1] * len(blas.per_thread))  # the thread is ours alone, so this can stay


class _Blas:
    """The loaded BLAS libraries: one thread while any of our loops runs, and afterwards what the user had set."""

    def __init__(self) -> None:
        import scipy.linalg.cython_blas  # noqa: F401  the BLAS of products inside Numba loops: loaded before it is looked for

        # looks through all libraries of the process, which takes milliseconds: done once
        libraries = [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]
        libraries = [library for library in libraries if library.get_num_threads() is not None]
        # built on OpenMP, a library keeps a setting for each thread that calls it; else there is one for the process
        self.per_thread = [library for library in libraries if getattr(library, "threading_layer", None) == "openmp"]
        self.per_process = [library for library in libraries if library not in self.per_thread]
        self.loops = 0  # running now
        self.before: list[int] = []

    @staticmethod
    def exchange(libraries: list, numbers: list[int]) -> list[int]:
        """Set each library's number of threads, and return what it was."""
        before = [library.get_num_threads() for library in libraries]
        for library, number in zip(libraries, numbers, strict=True):
            # newer versions of threadpoolctl ignore, without a word, whoever is not the first thread to have set something
            if hasattr(library, "clear_controlling_thread"):
                library.clear_controlling_thread(force=True)
            library.set_num_threads(number)
            if hasattr(library, "clear_controlling_thread"):
                library.clear_controlling_thread(force=True)
        return before


_blas: _Blas | None = None


def _get_blas() -> _Blas:
    global _blas
    with _lock:
        if _blas is None:
            _blas = _Blas()
        return _blas


class one_blas_thread:
    """While in here, BLAS has one thread. A network enters once for all its layers: setting it takes longer than a small loop.

    Several threads of the user's may be in here at the same time: the first sets the limit, the last lifts it.
    """

    def __enter__(self) -> None:
        self.is_outermost = not getattr(_here, "one_blas_thread", False)
        if not self.is_outermost:
            return
        blas = _get_blas()
        with _lock:
            if blas.loops == 0:
                blas.before = blas.exchange(blas.per_process, [1] * len(blas.per_process))
            blas.loops += 1
        self.blas, self.mine = blas, blas.exchange(blas.per_thread, [1] * len(blas.per_thread))
        _here.one_blas_thread = True

    def __exit__(self, *error: object) -> None:
        if not self.is_outermost:
            return
        _here.one_blas_thread, blas = False, self.blas
        blas.exchange(blas.per_thread, self.mine)
        with _lock:
            blas.loops -= 1
            if blas.loops == 0:
                blas.exchange(blas.per_process, blas.before)


def _after_fork_in_child() -> None:
    """A forked child inherits the pool's bookkeeping and none of its threads: start afresh."""
    global _lock, _workers, _workers_in_use, _blas
    _lock, _workers, _workers_in_use = threading.Lock(), [], threading.Lock()
    _here.inside = _here.one_blas_thread = False
    _here.gathered = _here.tape = _here.pool = None
    if _blas is not None and _blas.loops:  # forked while a loop was running: its end will not come here
        _blas.exchange(_blas.per_process, _blas.before)
    _blas = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
