"""Whole networks: inference and training steps, time and memory.

Inference on our side is what the documentation recommends, ``model.fuse()``, which folds batch norm and ReLU into the
convolutions; PyTorch's is eager mode under ``inference_mode``, which has no such step; ONNX Runtime and OpenVINO fold what
they can. A training step is forward, loss, backward and the optimiser's step on both sides. That all compute the same is
checked first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import numpy as np

from .checks import largest_difference
from .engines import compile_columns, other_engines
from .memory import memory_columns
from .rows import Case, Row, Settings, bytes_of, make_row, speed
from .timing import race
from .workloads import WORKLOADS, Workload, inference_calls, prepare, training_call, weights_of

GROUP = "networks"


def cases() -> list[Case]:
    """A row for each of ``workloads.WORKLOADS``."""
    return [Case(GROUP, workload.name, partial(_measure, workload), workload.quick) for workload in WORKLOADS]


def _measure(workload: Workload, settings: Settings) -> Row:
    model, x, targets = prepare(workload, settled=True)
    multiply_adds, columns, module, torch_calls = model.multiply_adds(x.shape), {}, None, {}
    if settings.torch:
        from .torch_modules import inference_call
        from .torch_twin import twin

        module = twin(model, x.shape)
        their_scores = inference_call(module, _tensor(x))()
        torch_calls = calls_in_torch(module, x, targets, workload.training)
    engines = nullcontext(({}, [])) if workload.training else other_engines(model, x, settings.threads)
    with engines as (engine_calls, notes):
        if workload.training:
            scores = model.eval().forward(x)
            our_calls = {"": training_call(model, x, targets, workload.frozen_until)}
            # the gradients of inputs and of weights take as many as the forward pass each; of a frozen part it is hard to say
            multiply_adds = None if workload.frozen_until else 3 * multiply_adds
            moved = bytes_of(x, targets, *4 * weights_of(model))  # they and their momentum are read and written
        else:
            model = model.fuse()
            our_calls = inference_calls(model, x)
            scores = model.forward(x)
            moved = bytes_of(x, scores, *weights_of(model))
        if settings.torch:
            columns["difference"] = largest_difference(scores, their_scores)
        for engine in engine_calls:
            largest_difference(scores, engine_calls[engine]())
        columns |= race(our_calls, torch_calls, settings.seconds, engine_calls)
    columns |= speed(multiply_adds, moved, columns["ours_ms"], settings.limits)
    del our_calls, torch_calls, engine_calls, engines, model
    for more in (
        memory_columns(workload, module, x.shape, columns, settings),
        compile_columns(workload, module, x.shape, settings),
    ):
        notes += more.pop("note", [])
        columns |= more
    return make_row(GROUP, workload.name, **columns, networks=[workload.network], note="; ".join(notes) or None)


def calls_in_torch(module, x: np.ndarray, targets: np.ndarray | None, training: bool) -> dict[str, Callable[[], object]]:
    """What is timed of PyTorch's, in each memory layout; inference needs no ``targets``."""
    from .torch_modules import LAYOUTS, in_layout, inference_call, training_call

    calls = {}
    for layout in LAYOUTS:
        there, x_there = in_layout(module, layout), in_layout(_tensor(x), layout)
        calls[layout] = training_call(there, x_there, _tensor(targets)) if training else inference_call(there, x_there)
    return calls


def _tensor(array: np.ndarray):
    import torch

    return torch.from_numpy(array)
