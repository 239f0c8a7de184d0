"""BLAS gets one thread while our own threads compute.

Two pools of threads on the same cores wait for each other, and a kernel of one millisecond can then take eight.
"""

from __future__ import annotations

from threadpoolctl import ThreadpoolController

from .process import process, thread


class Blas:
    """The loaded BLAS libraries: limited to one thread while any of our loops runs, and then set back to what the user had.

    Attributes
    ----------
    per_thread, per_process : list
        Libraries whose number of threads is a setting of each calling thread (those built on OpenMP), or of the process.
    loops : int
        How many outermost `one_blas_thread` blocks are running now, in all threads.
    before : list of int
        What the user had set for ``per_process`` when the first of those blocks began.
    """

    def __init__(self) -> None:
        import scipy.linalg.cython_blas  # noqa: F401  the BLAS of products inside Numba loops: must be loaded to be found below

        # looks through all libraries of the process, which takes milliseconds: done once
        libraries = [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]
        libraries = [library for library in libraries if library.get_num_threads() is not None]
        self.per_thread = [library for library in libraries if getattr(library, "threading_layer", None) == "openmp"]
        self.per_process = [library for library in libraries if library not in self.per_thread]
        self.loops = 0
        self.before: list[int] = []

    @staticmethod
    def exchange(libraries: list, numbers: list[int]) -> list[int]:
        """Set each library's number of threads, and return what it was."""
        before = [library.get_num_threads() for library in libraries]
        for library, number in zip(libraries, numbers, strict=True):
            # newer versions of threadpoolctl ignore, without a word, any thread but the first that has set something
            if hasattr(library, "clear_controlling_thread"):
                library.clear_controlling_thread(force=True)
            library.set_num_threads(number)
            if hasattr(library, "clear_controlling_thread"):
                library.clear_controlling_thread(force=True)
        return before

    def restore_after_fork(self) -> None:
        """Undo the limit in a child that was forked while a loop was running: that loop will never end in the child."""
        if self.loops:
            self.exchange(self.per_process, self.before)


def loaded_blas() -> Blas:
    """The BLAS libraries, which are looked for when this is first called."""
    with process.lock:
        if process.blas is None:
            process.blas = Blas()
        return process.blas


def limit_for_good() -> None:
    """One BLAS thread for the calling thread from now on: for workers of the pool, which run nothing but our loops."""
    blas = loaded_blas()
    blas.exchange(blas.per_thread, [1] * len(blas.per_thread))


class one_blas_thread:
    """BLAS has one thread within this block.

    To set that takes longer than a small loop, so a network enters the block once for all its layers: inner blocks do nothing.
    Several threads of the user's may be within such blocks at the same time: the first sets the limit, the last lifts it.
    """

    def __enter__(self) -> None:
        self.is_outermost = not thread.has_one_blas_thread
        if not self.is_outermost:
            return
        blas = loaded_blas()
        with process.lock:
            if blas.loops == 0:
                blas.before = blas.exchange(blas.per_process, [1] * len(blas.per_process))
            blas.loops += 1
        self.blas, self.of_this_thread = blas, blas.exchange(blas.per_thread, [1] * len(blas.per_thread))
        thread.has_one_blas_thread = True

    def __exit__(self, *error: object) -> None:
        if not self.is_outermost:
            return
        thread.has_one_blas_thread, blas = False, self.blas
        blas.exchange(blas.per_thread, self.of_this_thread)
        with process.lock:
            blas.loops -= 1
            if blas.loops == 0:
                blas.exchange(blas.per_process, blas.before)
