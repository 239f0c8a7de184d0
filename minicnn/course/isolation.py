"""A function run in a process of its own, with limits: what an answer does there costs its own task only."""

from __future__ import annotations

import faulthandler
import io
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

SECONDS = 60.0
GIGABYTES = 4.0
PRINTED_LINES, PRINTED_COLUMNS = 3, 120


@dataclass
class Outcome:
    """What became of it.

    Attributes
    ----------
    answer : object
        What the function returned, or None.
    failure : str
        Why it did not return, in words; "" if it did.
    printed : str
        The first lines of what it printed.
    """

    answer: Any = None
    failure: str = ""
    printed: str = ""


def run_isolated(function: Callable, *arguments: Any, seconds: float | None = None, gigabytes: float | None = None) -> Outcome:
    """Call ``function(*arguments)`` in a process of its own.

    It ends when the function returns, after so many seconds, or when it asks for more memory than it may have; then all that it
    has started ends with it. An exit of the process ends nothing else. What it prints is kept, the first lines of it.
    """
    seconds, gigabytes = seconds or SECONDS, gigabytes or GIGABYTES
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sender, gigabytes, function, arguments), daemon=True)
    sys.stdout.flush()  # or a fork would print it again
    process.start()
    sender.close()
    try:
        if not receiver.poll(seconds):
            return Outcome(failure=f"no answer within {seconds:g} seconds: is there a loop that never ends?")
        return receiver.recv()
    except EOFError:
        process.join(1)
        return Outcome(failure=_how_it_ended(process.exitcode))
    finally:
        _stop(process)
        receiver.close()


def _how_it_ended(status: int | None) -> str:
    if status is not None and status < 0:
        return f"it ended Python itself (signal {signal.Signals(-status).name}), as an endless recursion in compiled code does"
    return "it ends the program with exit(): a function returns its answer, and a file has functions only"


def _stop(process: multiprocessing.process.BaseProcess) -> None:
    if hasattr(os, "killpg") and process.pid:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _run(sender: Connection, gigabytes: float, function: Callable, arguments: tuple) -> None:
    """In the process: limits, then the function, then its answer through the pipe."""
    if hasattr(os, "setsid"):
        os.setsid()
    _limit_memory(gigabytes)
    faulthandler.disable()  # what breaks down here is somebody's answer, and is said in a sentence
    printed = FirstLines()
    with redirect_stdout(printed), redirect_stderr(printed):
        answer = function(*arguments)
    sender.send(Outcome(answer, printed=printed.summary()))


def _limit_memory(gigabytes: float) -> None:
    """So much more than there is already. Only systems with resource limits have it."""
    with suppress(ImportError, OSError, ValueError, FileNotFoundError):
        import resource

        pages = int(open("/proc/self/statm").read().split()[0])  # noqa: SIM115  a line, read at once
        most = pages * resource.getpagesize() + int(gigabytes * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


class FirstLines(io.TextIOBase):
    """Keeps the first lines of what is printed, and counts the others, so that a print in a loop does no harm."""

    def __init__(self) -> None:
        self._kept, self._lines = "", 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self._lines < PRINTED_LINES:
            self._kept += text[: PRINTED_LINES * PRINTED_COLUMNS]
        self._lines += text.count("\n")
        return len(text)

    def summary(self) -> str:
        """The first lines, shortened, and how many more there were."""
        lines = self._kept.splitlines()[:PRINTED_LINES]
        more = self._lines - len(lines)
        return "\n".join([line[:PRINTED_COLUMNS] for line in lines] + ([f"... and {more} lines more"] if more > 0 else []))
