"""All that minicnn keeps at module level, in one place: what there is once in a process, and once in each of its threads.

Everything else is an object that somebody holds. These few things cannot be: cores, the pool of threads on them and the BLAS
libraries belong to the process, whoever asks for them; and which executor runs the loops that are started here is a question
about the calling thread, which nobody could hand down through every layer of a network.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from .cores import usable_cores


class Process:
    """What there is once.

    Attributes
    ----------
    threads : int
        Over how many threads a loop is split: see `workers.set_threads`.
    executor : Executor
        Runs the loops of every thread that has no executor of its own: see `parallel`.
    workers : list of Worker
        The pool: started when they are first needed, and kept.
    workers_in_use : Lock
        Held by whichever of the user's threads has the pool at the moment.
    blas : Blas or None
        The BLAS libraries, once they have been looked for, which takes milliseconds.
    lock : Lock
        Guards ``blas``.
    workspaces : type
        Of what keeps a thread's workspaces by name: a dictionary.
    """

    executor: Any  # set by `parallel`, which is above this file
    workspaces: type[dict] = dict

    def __init__(self) -> None:
        self.threads = usable_cores()
        self.start_afresh()

    def start_afresh(self) -> None:
        """No pool, and nobody who holds a lock: as in a new process."""
        self.workers: list = []
        self.workers_in_use, self.lock = threading.Lock(), threading.Lock()
        self.blas = None


class Thread(threading.local):
    """What each thread has of its own.

    Attributes
    ----------
    executor : Executor or None
        Runs the loops that are started in this thread; None: the process's.
    has_one_blas_thread : bool
        Whether it is within `blas.one_blas_thread`.
    workspaces : dict from (name, dtype) to array
        See `memory.workspace`.
    """

    def __init__(self) -> None:  # once in each thread
        self.executor = None
        self.has_one_blas_thread = False
        self.workspaces = process.workspaces()


process = Process()
thread = Thread()


def _after_fork_in_child() -> None:
    """A forked child inherits the pool's bookkeeping and none of its threads."""
    blas = process.blas
    process.start_afresh()
    thread.__init__()
    if blas is not None:
        blas.restore_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
