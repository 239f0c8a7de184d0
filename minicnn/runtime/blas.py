"""BLAS gets one thread while our own threads compute.

Two pools that want the same cores wait for each other, and a kernel of one millisecond can then take eight.
"""

from __future__ import annotations

from threadpoolctl import ThreadpoolController

from .process import process, thread


class Blas:
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

    def restore_after_fork(self) -> None:
        """In a child that was forked while a loop was running, whose end will not come there."""
        if self.loops:
            self.exchange(self.per_process, self.before)


def loaded_blas() -> Blas:
    """The BLAS libraries, which are looked for when this is first called."""
    with process.lock:
        if process.blas is None:
            process.blas = Blas()
        return process.blas


def limit_for_good() -> None:
    """One BLAS thread for the calling thread from now on: a worker of the pool does nothing but our loops."""
    blas = loaded_blas()
    blas.exchange(blas.per_thread, [1] * len(blas.per_thread))


class one_blas_thread:
    """While in here, BLAS has one thread. A network enters once for all its layers: setting it takes longer than a small loop.

    Several threads of the user's may be in here at the same time: the first sets the limit, the last lifts it.
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
