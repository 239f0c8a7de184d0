"""A limit to the time that a student's code may take."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from guard import exit_at_once

SECONDS = 120  # that a task may take
GRACE = 5  # seconds in which it is interrupted again and again; then the whole check ends


class TimeIsUp(BaseException):
    """A task took too long. No `Exception`, so that ``except Exception`` in a student's loop does not swallow it."""


@contextmanager
def time_limit(what: str) -> Iterator[None]:
    """`TimeIsUp` in a block that takes longer than ``SECONDS``: a loop without an end costs its own task only.

    A thread waits beside the block, and then interrupts it as Ctrl-C would, which works on every system. Python looks for
    interrupts between its own steps, so that one long call into compiled code (on Windows a sleep, too) has to come to its end
    first; and a loop that catches everything goes on. So the interrupt is repeated, and if nothing helps for ``GRACE`` seconds
    the thread says so and ends the program, with status 1.
    """
    seconds, complaint = SECONDS, f"no answer within {SECONDS} seconds: is there a loop that never ends?"
    is_done, is_late = threading.Event(), threading.Event()

    def watch() -> None:
        if is_done.wait(seconds):
            return
        is_late.set()
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline:
            _interrupt_main()
            if is_done.wait(0.1):
                return
        last_words = (
            f"  {what}: WRONG, {complaint}\n  It cannot be interrupted either (does it catch every exception?).\n\n"
            "The check ends here; mend that, and run it again."
        )
        print(last_words, file=sys.__stdout__, flush=True)
        exit_at_once(1)

    def interrupt(*arguments: Any) -> None:
        if is_late.is_set() and not is_done.is_set():
            raise TimeIsUp(complaint)
        if not is_late.is_set() and callable(before):  # somebody pressed Ctrl-C
            before(*arguments)

    before = signal.signal(signal.SIGINT, interrupt)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_done.set()
        watcher.join()
        signal.signal(signal.SIGINT, before)


def _interrupt_main() -> None:
    """What Ctrl-C does; where there are POSIX signals, it ends a sleep as well."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    else:
        _thread.interrupt_main()
