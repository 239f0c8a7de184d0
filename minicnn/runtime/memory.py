"""Memory that is kept: for the next array, for a network's maps, and for each thread's workspaces.

What was freed stays with the process, so that the next array need not be fetched from the system page by page.

A feature map of 30 MB is 7,500 pages. Fresh from the system, each of them must be mapped and filled with zeros when it is first
touched, which takes longer than most of what a layer does with it. Yet a network asks for the same sizes again in every pass.

The C library of Linux (glibc) gives two kinds of memory back at once: arrays above a threshold, at most 32 MB, which have a
mapping of their own, and whatever lies free at the end of its heap. Here it is told to do neither.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
import weakref

import numpy as np

from .process import thread

CACHE_LINE = 64  # bytes

# of mallopt(3), and the environment variables by which a user sets the same before the process starts
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
USERS_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_")
NEVER = -1

LARGE = 8 << 20  # bytes of an array, from which on it comes from a pool
ROOMY = 8  # what is more than so many times as large as an array is not lent for it


def keep_freed_memory() -> bool:
    """Tell malloc to keep what is freed for the arrays to come; True if it does from now on.

    It holds for the whole process, whose memory then stays as large as its largest moment. Nothing is changed where the C
    library is another, or where the user has set one of malloc's own variables (``MALLOC_MMAP_MAX_=65536`` is its default).

    Source: mallopt(3) of the Linux manual.
    """
    if sys.platform != "linux" or any(name in os.environ for name in USERS_OWN):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl has none
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, NEVER))


class Pool(threading.local):
    """Memory of large arrays that come and go, as the maps of a network do: what one leaves is there for the next.

    From malloc, a map gets memory in which the one before has lain. So does whatever else is made meanwhile, and some of that
    stays. In the next pass the map does not fit there any more, and gets new memory; what it has left is of no use.

    Each thread that asks for arrays has memory of its own.
    """

    def __init__(self) -> None:  # once in each thread
        self.free: list[np.ndarray] = []  # bytes

    def new_array(self, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        """Uninitialised; its memory comes back when neither it nor a view of it is there any more."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size < LARGE:
            return aligned(shape, dtype)
        memory = self._take(size)
        lent = (ctypes.c_ubyte * size).from_buffer(memory)
        weakref.finalize(lent, self.free.append, memory).atexit = False
        return np.frombuffer(lent, dtype).reshape(shape)

    def _take(self, size: int) -> np.ndarray:
        """The smallest that fits; if there is none, a new one, for which the largest of those that are too small goes."""
        found = min((memory for memory in self.free if size <= len(memory) <= ROOMY * size), key=len, default=None)
        too_small = max((memory for memory in self.free if len(memory) < size), key=len, default=None)
        gone = too_small if found is None else found
        self.free[:] = [memory for memory in self.free if memory is not gone]
        return aligned((size,), np.uint8) if found is None else found


def aligned(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """An uninitialised array that starts with a line of the cache: a vector that crosses lines takes twice as long."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def workspace(use: str, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """An uninitialised array that belongs to the calling thread and is used again by its next call with the same ``use``.

    A new array of some megabytes costs more in page faults than the arithmetic on it; this memory is kept.

    **The rule.** Whoever asks within a task of a loop may use it until that task ends, and nobody may read it afterwards: the
    next task may be another thread's, or run in the same thread and write over it. Whoever asks outside of any loop may use it
    until it asks for the same ``use`` again, in the loops that it starts as well, unless they are ``deferrable``: a loop that
    is put off would find in it what came later. What lives longer is an array of its own. ``pytest --strict-workspaces`` proves
    that the rule is kept: there a workspace is filled with NaN as soon as it may not be read any more.
    """
    size, key = math.prod(shape), (use, dtype)
    flat = thread.workspaces.get(key)
    if flat is None or flat.size < size:
        flat = thread.workspaces[key] = aligned((size,), dtype)
    return flat[:size] if len(shape) == 1 else flat[:size].reshape(shape)


keep_freed_memory()  # before the first large array
