"""What a checker does not let an answer do: replace the functions that judge it, start processes, or read the solution.

All of that happens by accident (an ``np.abs = ...`` left from a trial), or out of curiosity. It would end with a wrong answer
called right. This is no prison: whoever wants to break out of it will.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RELIED_ON = {"builtins", "math", "minicnn", "numpy", "os", "sys"}
PROCESSES = {"os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.system", "subprocess.Popen"}
HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class that was written in Python, and can be changed


class Forbidden(Exception):
    """What an answer did, in words that follow its name: "starts another process; ..."."""


class Originals:
    """The functions and classes that the checker relies on, as they are now: of NumPy, minicnn, and Python itself."""

    def __init__(self) -> None:
        modules = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in RELIED_ON}
        owners: dict[str, Any] = dict(modules)
        for module, content in modules.items():
            own = [thing for thing in vars(content).values() if isinstance(thing, type) and thing.__module__ == module]
            owners |= {f"{module}.{thing.__qualname__}": thing for thing in own if thing.__flags__ & HEAP_TYPE}
        self._functions = [
            (place, owner, name, thing)
            for place, owner in owners.items()
            for name, thing in vars(owner).items()
            if (callable(thing) or isinstance(thing, (property, classmethod, staticmethod)))
            and not (place == "sys" and name.endswith("hook"))  # of debuggers and notebooks, and no matter to us
        ]

    def put_back(self) -> list[str]:
        """Undo what was replaced since; return the names of it."""
        replaced = []
        for place, owner, name, original in self._functions:
            if vars(owner).get(name) is not original:
                setattr(owner, name, original)
                replaced.append(f"{place}.{name}")
        return replaced


class _Watch:
    """What the audit hook looks at, which cannot be taken out again once it is in."""

    is_on = False
    is_hooked = False
    is_solution = False  # it is the solution that is being checked


def _audit(event: str, arguments: tuple) -> None:
    if not _Watch.is_on:
        return
    if event in PROCESSES:
        raise Forbidden("starts another process; a function computes its answer itself")
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        name = os.path.basename(os.fsdecode(arguments[0]))
        if name.startswith(("solution.", "tasks.", "slips.")) and not _Watch.is_solution:
            raise Forbidden(f"reads {name}; write your own, and look at the solution afterwards")


@contextmanager
def guarded(file: Path) -> Iterator[Originals]:
    """While the answers of this file run: no other processes, no other solution.

    Gives the functions as they were before, to be put back where somebody replaced one.
    """
    originals = Originals()
    if not _Watch.is_hooked:
        sys.addaudithook(_audit)
        _Watch.is_hooked = True
    _Watch.is_on, _Watch.is_solution = True, file.name == "solution.py"
    try:
        yield originals
    finally:
        _Watch.is_on = False
        originals.put_back()
