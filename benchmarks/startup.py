"""Start-up: imports, the first step in a new process with a cold and with a warm cache of kernels, size on disk.

Our side makes its network with random weights; PyTorch's reads it from a file and compiles nothing, so that it has one time
for both caches.
"""

from __future__ import annotations

import functools
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from functools import partial

from .children import ROOT, in_new_process, module_file
from .installation import installed_megabytes
from .rows import Case, Row, Settings, make_row
from .workloads import Workload, prepare

GROUP = "startup"
IMPORTS = ("import minicnn", "import minicnn.models")  # the second brings in layers and kernels
FIRST = [Workload("CIFAR net", 64, training=True), Workload("EfficientNet-Lite0", 1)]


def cases() -> list[Case]:
    """Imports, first runs, and the size of the installation."""
    first = [
        Case(GROUP, f"first {workload.name}, {cache} cache", partial(_measure_first, workload, cache), workload.training)
        for workload in FIRST
        for cache in ("cold", "warm")
    ]
    imports = [Case(GROUP, name, partial(_measure_import, name)) for name in IMPORTS]
    return [*imports, *first, Case(GROUP, "installation", _measure_installation)]


def _measure_import(name: str, settings: Settings) -> Row:
    """The import of a part of minicnn and ``import torch`` in new processes, less what Python takes to start and end."""
    commands = {"bare": "pass", "ours": name} | ({"torch": "import torch"} if settings.torch else {})
    seconds: dict[str, list[float]] = {side: [] for side in commands}
    for _ in range(3 if settings.quick else 7):
        for side, command in commands.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", command], cwd=ROOT, check=True)
            seconds[side].append(time.perf_counter() - start)
    bare = statistics.median(seconds.pop("bare"))
    times = {f"{side}_ms": max(1000 * (statistics.median(values) - bare), 0.1) for side, values in seconds.items()}
    return make_row(GROUP, name, **times, note="files already read once; without the start of Python itself")


def _measure_first(workload: Workload, cache: str, settings: Settings) -> Row:
    """From the start of the process to the end of the first step; kernels are compiled in between, or read from the disk."""
    repetitions = 1 if settings.quick else 3
    columns = {"ours_ms": _our_first(workload, settings.threads, repetitions)[cache]}
    if settings.torch:
        columns["torch_ms"] = _torch_first(workload, settings.threads, repetitions)
    note = "measured once; PyTorch has no such cache" if cache == "cold" else None
    return make_row(GROUP, f"first {workload.name}, {cache} cache", **columns, networks=[workload.network], note=note)


@functools.cache
def _our_first(workload: Workload, threads: int, repetitions: int) -> dict[str, float]:
    """Milliseconds with a cold cache, once, and the median with the cache that this has filled."""
    arguments = asdict(workload) | {"threads": threads}
    with tempfile.TemporaryDirectory() as folder:
        caches = {"NUMBA_CACHE_DIR": folder, "MINICNN_CACHE": folder}
        times = [in_new_process("our_first", caches, started=time.time(), **arguments)["ms"] for _ in range(1 + repetitions)]
    return {"cold": times[0], "warm": statistics.median(times[1:])}


@functools.cache
def _torch_first(workload: Workload, threads: int, repetitions: int) -> float:
    """Median milliseconds."""
    from .torch_twin import twin

    model, x, _ = prepare(workload)
    arguments = {"shape": list(x.shape), "training": workload.training, "threads": threads}
    with module_file(twin(model, x.shape)) as path:
        times = [in_new_process("torch_first", started=time.time(), path=path, **arguments)["ms"] for _ in range(repetitions)]
    return statistics.median(times)


def _measure_installation(settings: Settings) -> Row:
    columns = {"ours_mb": installed_megabytes("minicnn"), "note": "with all dependencies, compiled Python files included"}
    if settings.torch:
        columns["torch_mb"] = installed_megabytes("torch")
    return make_row(GROUP, "installation", **columns)
