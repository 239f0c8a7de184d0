"""Engines beyond PyTorch's eager mode: ONNX Runtime and OpenVINO, in turns with ours, and ``torch.compile``.

The first two read the network from the ONNX file that we export, and optimise it; both know the size of the batch in advance,
have as many threads as we have, and compute in float32, as OpenVINO would not on every processor if it had the choice.
``torch.compile`` generates and compiles C++ for the network (it needs a compiler; weights frozen, which lets it choose their
layout and fold batch norms). It runs alone in a process of its own, outside the comparison.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicnn.models import Model
from minicnn.pretrained.export import export

from .children import in_new_process, module_file
from .rows import Settings

Call = Callable[[], np.ndarray]


@contextmanager
def other_engines(model: Model, x: np.ndarray, threads: int) -> Iterator[tuple[dict[str, Call], list[str]]]:
    """An inference of x by each engine that is installed, by its name, and notes on those that are not."""
    calls, notes = {}, []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network.onnx")
        export(model, path, "onnx")
        for engine, make in ENGINES.items():
            try:
                calls[engine] = make(path, x, threads)
            except ImportError:
                notes.append(f"{engine} is not installed")
            except Exception as error:  # a file that it does not take; the others are still measured
                notes.append(f"{engine}: {type(error).__name__}: {str(error)[:200]}")
        yield calls, notes


def _onnxruntime_call(path: str, x: np.ndarray, threads: int) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_free_dimension_override_by_name("N", len(x))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x}
    return lambda: session.run(None, feed)[0]


def _openvino_call(path: str, x: np.ndarray, threads: int) -> Call:
    import openvino

    network = openvino.Core().read_model(path)
    network.reshape(x.shape)
    options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    options["INFERENCE_PRECISION_HINT"] = "f32"
    request = openvino.compile_model(network, "CPU", options).create_infer_request()
    return lambda: request.infer([x], share_inputs=True, share_outputs=True)[0]


ENGINES: dict[str, Callable[[str, np.ndarray, int], Call]] = {
    "onnxruntime": _onnxruntime_call,
    "openvino": _openvino_call,
}


def compile_columns(workload, module, shape: tuple[int, ...], settings: Settings) -> dict[str, Any]:
    """``compile_ms`` of an inference with ``module`` (PyTorch), or a note that says why not."""
    if workload.training or module is None:
        return {}
    if settings.quick:
        return {"note": ["torch.compile: not with --quick"]}
    if not shutil.which("g++"):
        return {"note": ["torch.compile: no g++ here"]}
    with module_file(module) as path:
        common = {"path": path, "shape": list(shape), "threads": settings.threads, "seconds": settings.seconds}
        try:
            return {"compile_ms": in_new_process("torch_compile", {"TORCHINDUCTOR_FREEZING": "1"}, **common)["ms"]}
        except RuntimeError as error:
            return {"note": [f"torch.compile: {error}"]}
