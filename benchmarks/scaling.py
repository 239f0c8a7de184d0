"""What more threads bring: each network with 1, 2, 4, ... threads, and a model for more cores than there are.

::

    python -m benchmarks.scaling [--quick]

The numbers of threads take turns, so that a machine whose speed varies is fair to all. From the times follows the serial
share s, the part of a run that more threads do not shorten (Amdahl 1967): T(n) = T(1) (s + (1 - s) / n) with n threads. What
is serial is Python between the loops, waiting for each other, and whatever the threads share: memory and the last cache.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

from tqdm import tqdm

from minicnn.runtime.cores import usable_cores
from minicnn.runtime.workers import get_threads, set_threads

from .limits import measure_limits
from .machine import describe, summary_of
from .table import format_table
from .workloads import WORKLOADS, Workload, inference_calls, prepare, training_call

MODELLED = (4, 8)  # threads
ROUNDS, SECONDS, QUICK_SECONDS = 3, 1.0, 0.1  # of each number of threads in a round


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the essentials, roughly")
    options = parser.parse_args(arguments)
    counts = list(takewhile(lambda n: n <= usable_cores(), (2**k for k in range(10))))
    before, rows = get_threads(), []
    try:
        for workload in tqdm([one for one in WORKLOADS if one.quick or not options.quick], unit="network", leave=False):
            milliseconds = times(call_of(workload), counts, QUICK_SECONDS if options.quick else SECONDS)
            rows.append(row_of(workload.name, milliseconds))
    finally:
        set_threads(before)
    machine = describe(counts[-1], measure_limits(counts[-1], 5))
    print(f"{summary_of(machine)}, {machine['date']}")
    print(format_table(rows, {name: name for name in rows[0]}))
    return 0


def call_of(workload: Workload) -> Callable[[], object]:
    """What is timed: a training step, or a pass of the fused network."""
    model, x, targets = prepare(workload)
    if workload.training:
        return training_call(model, x, targets, workload.frozen_until)
    return inference_calls(model.fuse(), x)["forward"]


def times(call: Callable[[], object], counts: Sequence[int], seconds: float) -> dict[int, float]:
    """Milliseconds of a call by number of threads: the median over all rounds."""
    found: dict[int, list[float]] = {threads: [] for threads in counts}
    for _ in range(ROUNDS):
        for threads in counts:
            set_threads(threads)
            for _ in range(3):  # plans are made, and loops recorded, for this number
                call()
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                started = time.perf_counter()
                call()
                found[threads].append(1000 * (time.perf_counter() - started))
    return {threads: statistics.median(each) for threads, each in found.items()}


def serial_share(speed_up: float, threads: int) -> float:
    """s in 1 / speed_up = s + (1 - s) / threads, at least 0.

    >>> serial_share(2.0, 2), serial_share(1.6, 2)
    (0.0, 0.25)
    """
    return max((threads / speed_up - 1) / (threads - 1), 0.0)


def row_of(title: str, milliseconds: dict[int, float]) -> dict[str, Any]:
    """A row of the table; what is modelled has "about" before it, where there are two numbers of threads or more."""
    row: dict[str, Any] = {"network": title, "1 thread, ms": round(milliseconds[1], 1)}
    speed_ups = {threads: milliseconds[1] / ms for threads, ms in milliseconds.items() if threads > 1}
    row |= {f"{threads} threads": f"{speed_up:.2f}x" for threads, speed_up in speed_ups.items()}
    if speed_ups:
        most = max(speed_ups)
        share = serial_share(speed_ups[most], most)
        row["serial share %"] = round(100 * share, 1)
        for threads in MODELLED:
            if threads > most:
                row[f"{threads} threads"] = f"about {1 / (share + (1 - share) / threads):.1f}x"
    return row


if __name__ == "__main__":
    raise SystemExit(main())
