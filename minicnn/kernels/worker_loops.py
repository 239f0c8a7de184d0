"""The Numba loop of ``worker``: to watch a number in memory without holding Python's lock."""

from __future__ import annotations

from numba import njit, types

# lets other threads run that want this core; and for all the compiler knows it changes the number, which is thus read each time
_let_others_run = types.ExternalFunction("sched_yield", types.int32())


@njit(nogil=True, cache=True)
def watch(number, value, looks, pause):
    """Whether number[0] becomes ``value`` within so many looks at it; if so, returns after ``pause`` looks more."""
    for _ in range(looks):
        if number[0] == value:
            for _ in range(pause):
                _let_others_run()
            return True
        _let_others_run()
    return False
