"""Peak memory of a workload, each side in a process of its own.

The process imports, builds the network and its input, does the work once, so that everything is loaded and every workspace
made, and then twice more; what it had at most during these two is its peak. Linux can forget a process's peak so far
(``/proc/self/clear_refs``), which is needed for this; elsewhere it is not measured. A PyTorch that is built for a GPU is not
compared with: the libraries that it loads would count for us.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .children import in_new_process, module_file
from .rows import Settings

STATUS = Path("/proc/self/status")


def memory_columns(workload, module, shape: tuple[int, ...], how: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The columns about memory of a ``Workload``; ``module`` is its network in PyTorch, or None.

    ``how`` has the columns ``ours_how`` and ``torch_how``: the ways that were fastest are the ones measured here.
    """
    if not STATUS.exists():
        return {"note": ["memory is measured on Linux only"]}
    if settings.quick and shape[0] > 1 and not workload.training:
        return {"note": ["memory of inference for several pictures: not with --quick"]}
    columns: dict[str, Any] = {}
    arguments = {"training": workload.training, "threads": settings.threads}
    try:
        ours = in_new_process("our_memory", how=how.get("ours_how", "forward"), **asdict(workload) | arguments)
        columns |= {f"ours_{name}": value for name, value in ours.items()}
        if module is not None and _torch_is_built_for_a_gpu():
            columns["note"] = ["memory: PyTorch loads the libraries of a GPU here; compared with a build for the CPU only"]
        elif module is not None:
            with module_file(module) as path:
                torch = in_new_process("torch_memory", path=path, shape=list(shape), layout=how["torch_how"], **arguments)
            columns |= {f"torch_{name}": value for name, value in torch.items()}
    except RuntimeError as error:
        columns["note"] = [f"memory: {error}"]
    return columns


def _torch_is_built_for_a_gpu() -> bool:
    """Whether importing PyTorch loads some 300 MB of libraries that have nothing to do with a network on the CPU."""
    import torch

    return (torch.version.cuda or torch.version.hip) is not None


# ---- in the process that is measured


def peak_while(call: Callable[[], object]) -> dict[str, float]:
    """``peak_mb``, the largest resident memory while ``call`` runs, and ``extra_mb``, how far that is above what was there."""
    gc.collect()
    _give_back()
    before = _status("VmRSS")
    call()
    Path("/proc/self/clear_refs").write_text("5")  # the kernel's word for: forget the peak
    for _ in range(2):
        call()
    peak = _status("VmHWM")
    return {"peak_mb": peak, "extra_mb": peak - before}


def _give_back() -> None:
    """Make the C library return memory that was freed, which would count as there before and is no longer in use."""
    with contextlib.suppress(OSError, AttributeError):  # not glibc: what it keeps counts as there before
        ctypes.CDLL(None).malloc_trim(0)


def _status(name: str) -> float:
    """Megabytes from a line like ``VmRSS:  123 kB``, where kB means 1024 bytes."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"{STATUS} does not tell {name}")
