"""Timing several sides so that none disturbs another, and all meet the same machine.

All run in one process, in turns: some calls of ours, some of PyTorch's, ours again, so that a machine that slows down slows
all down. The threads of other engines go on spinning for a moment after a call, waiting for more work, and take the cores away
from whoever comes next. So the sides change places after a block of calls and not after each call, there is a pause between
blocks until nobody spins any more, and the first call of a block, with another side's data in the caches, does not count.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable
from typing import Any

PAUSE = 0.03  # seconds between blocks: longer than OpenMP's threads spin in PyTorch's builds
PAUSES = 10  # at most, until the process is idle: ONNX Runtime's threads spin for longer
IDLE = 0.1  # the share of a pause that an idle process may be busy
BLOCKS = 5
FEW_BLOCKS = 3  # where two calls take as long as all of the blocks should
LONG = 0.1  # seconds of a call for which its first milliseconds make no difference


def interleaved(sides: dict[Hashable, Callable[[], object]], seconds: float) -> dict[Hashable, float]:
    """Median milliseconds of a call of each side.

    Parameters
    ----------
    sides : dict of name to function without arguments
    seconds : float
        About how long each side is measured, though no less than three calls.

    >>> times = interleaved({"short": lambda: time.sleep(0.001), "long": lambda: time.sleep(0.004)}, seconds=0.02)
    >>> times["short"] < times["long"]
    True
    """
    once = {name: _warm_up(call) for name, call in sides.items()}
    times: dict[Hashable, list[float]] = {name: [] for name in sides}
    for _ in range(FEW_BLOCKS if max(once.values()) > seconds / 2 else BLOCKS):
        for name, call in sides.items():
            _rest()
            if once[name] < LONG:
                call()
            for _ in range(min(max(round(seconds / BLOCKS / once[name]), 1), 100)):
                times[name].append(_seconds(call))
    return {name: 1000 * statistics.median(values) for name, values in times.items()}


def race(
    ours: dict[str, Callable[[], object]],
    torch: dict[str, Callable[[], object]],
    seconds: float,
    engines: dict[str, Callable[[], object]] | None = None,
) -> dict[str, Any]:
    """All sides' times, as columns of a row; where a side has several ways of doing it, its fastest counts, and is named.

    Parameters
    ----------
    ours, torch : dict of the way's name to function without arguments
        The name is "" where there is only one. ``torch`` is empty where PyTorch is not installed.
    seconds : float
        About how long each is measured.
    engines : dict of engine to function without arguments
        More sides.
    """
    sides = {("ours", how): call for how, call in ours.items()} | {("torch", how): call for how, call in torch.items()}
    times = interleaved(sides | {(name, ""): call for name, call in (engines or {}).items()}, seconds)
    columns: dict[str, Any] = {}
    for (side, how), milliseconds in sorted(times.items(), key=lambda item: item[1]):
        if f"{side}_ms" not in columns:
            columns |= {f"{side}_ms": milliseconds} | ({f"{side}_how": how} if how else {})
    return columns


def _rest() -> None:
    """Wait until no thread of this process is busy, the workers of the last side included."""
    for _ in range(PAUSES):
        before = time.process_time()
        time.sleep(PAUSE)
        if time.process_time() - before < IDLE * PAUSE:
            return


def _warm_up(call: Callable[[], object]) -> float:
    """Seconds of the second call: the first one compiles kernels, loads code and makes workspaces."""
    call()
    return max(_seconds(call), 1e-7)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
