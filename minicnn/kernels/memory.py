"""Memory that was freed stays with the process, so that the next array need not be fetched from the system page by page.

A feature map of 30 MB is 7,500 pages. Fresh from the system, each of them must be mapped and filled with zeros when it is first
touched, which takes longer than most of what a layer does with it. Yet a network asks for the same sizes again in every pass.

The C library of Linux (glibc) gives two kinds of memory back at once: arrays above a threshold, at most 32 MB, which have a
mapping of their own, and whatever lies free at the end of its heap. Here it is told to do neither.
"""

from __future__ import annotations

import ctypes
import os
import sys

# of mallopt(3), and the environment variables by which a user sets the same before the process starts
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
USERS_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_")
NEVER = -1


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
