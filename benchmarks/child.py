"""What runs in a process of its own: ``python -m benchmarks.child TASK ARGUMENTS`` prints a line of JSON.

Each task imports what it needs and nothing else, since its imports are part of what is measured.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

# ---- ours


def our_memory(how: str, threads: int, **workload: Any) -> dict[str, float]:
    """Memory of a workload, see ``memory.peak_while``."""
    from .memory import peak_while

    return peak_while(_our_call(how, threads, workload))


def our_first(started: float, threads: int, **workload: Any) -> dict[str, float]:
    """Milliseconds from the start of the process to the end of a workload's first run."""
    _our_call("forward", threads, workload)()
    return {"ms": 1000 * (time.time() - started)}


def _our_call(how: str, threads: int, workload: dict[str, Any]) -> Callable[[], object]:
    from minicnn.runtime.workers import set_threads

    from .workloads import Workload, inference_calls, prepare, training_call

    set_threads(threads)
    work = Workload(**workload)
    model, x, targets = prepare(work)
    return training_call(model, x, targets, work.frozen_until) if work.training else inference_calls(model.fuse(), x)[how]


# ---- PyTorch's


def torch_memory(path: str, shape: list[int], training: bool, layout: str, threads: int) -> dict[str, float]:
    """Memory of a workload, see ``memory.peak_while``."""
    from .memory import peak_while

    return peak_while(_torch_call(path, shape, training, layout, threads))


def torch_first(started: float, path: str, shape: list[int], training: bool, threads: int) -> dict[str, float]:
    """Milliseconds from the start of the process to the end of a workload's first run, with a network read from a file."""
    _torch_call(path, shape, training, "NCHW", threads)()
    return {"ms": 1000 * (time.time() - started)}


def _torch_call(path: str, shape: list[int], training: bool, layout: str, threads: int) -> Callable[[], object]:
    import torch

    from .torch_modules import LAYOUTS, inference_call, training_call

    torch.set_num_threads(threads)
    module = torch.load(path, weights_only=False).to(memory_format=LAYOUTS[layout])
    x = torch.randn(shape).to(memory_format=LAYOUTS[layout])
    return training_call(module, x, torch.zeros(shape[0], dtype=torch.int64)) if training else inference_call(module, x)


# ---- other engines


def torch_compile(path: str, shape: list[int], threads: int, seconds: float) -> dict[str, float]:
    """Milliseconds of an inference with ``torch.compile``, compilation not counted."""
    import torch

    from .timing import interleaved
    from .torch_modules import inference_call

    torch.set_num_threads(threads)
    module = torch.load(path, weights_only=False).eval()
    return {"ms": interleaved({"": inference_call(torch.compile(module), torch.randn(shape))}, seconds)[""]}


# ---- code


def assembly(loops: list[list[str]]) -> dict[str, str]:
    """The assembly of compiled functions, by their place; each is a place, "module:function", and types of arguments."""
    import importlib

    texts = {}
    for place, arguments in loops:
        module, name = place.split(":")
        function = getattr(importlib.import_module(module), name)
        function.compile(f"({arguments},)")
        (texts[place],) = function.inspect_asm().values()
    return texts


if __name__ == "__main__":
    task, arguments = sys.argv[1:]
    print(json.dumps(globals()[task](**json.loads(arguments))))
