"""The Numba loops of ``worker`` and ``replay``: they wait for numbers in memory without holding Python's lock ("spinning")."""

from __future__ import annotations

from numba import types

from .compilation import inlined, loop

# Lets other threads have this core. As the compiler cannot look inside, it must assume that memory has changed afterwards, and
# so the loops below read the number anew each time.
_let_others_run = types.ExternalFunction("sched_yield", types.int32())
_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.uintp))
MONOTONIC = 1  # Linux's number of the clock that nobody sets


@inlined
def _now(clock):
    """Nanoseconds. ``clock`` int64 (2,) is where the system writes seconds and nanoseconds."""
    _clock_gettime(MONOTONIC, clock.ctypes.data)
    return clock[0] * 1_000_000_000 + clock[1]


@inlined
def _pause(pause, clock):
    end = _now(clock) + pause
    while _now(clock) < end:
        _let_others_run()


@loop
def spin_until(number, value, patience, pause, clock):
    """Whether number[0] becomes ``value`` within ``patience`` nanoseconds; if so, returns ``pause`` nanoseconds later.

    The limit is a time and not a number of turns: on a busy machine, letting others run takes milliseconds.
    """
    if number[0] != value:
        end = _now(clock) + patience
        while number[0] != value:
            if _now(clock) > end:
                return False
            _let_others_run()
    _pause(pause, clock)
    return True


@loop
def barrier(done, me, number, patience, pause, clock):
    """Set done[me, 0] = ``number``, for all to see; then, as `spin_until`, wait until done[i, 0] is at least that for all i."""
    done[me, 0] = number
    end = _now(clock) + patience
    for i in range(len(done)):
        while done[i, 0] < number:
            if _now(clock) > end:
                return False
            _let_others_run()
    _pause(pause, clock)
    return True
