"""How many cores there are to work on."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """How many cores this process may run on: fewer than the machine has in a container or under ``taskset``."""
    if hasattr(os, "sched_getaffinity"):
        return max(len(os.sched_getaffinity(0)), 1)
    return os.cpu_count() or 1
