"""Engines beyond PyTorch's eager mode, for the reader who wants to know the best there is. They are outside the comparison.

``torch.compile`` generates and compiles C++ for the network (it needs a compiler; weights frozen, which lets it choose their
layout and fold batch norms); ONNX Runtime optimises an exported graph. Each runs alone in a process of its own, so that one
that does not work on a machine takes nothing with it.
"""

from __future__ import annotations

import importlib.util
import shutil
from typing import Any

from .children import in_new_process, module_file
from .rows import Settings


def engine_columns(workload, module, shape: tuple[int, ...], settings: Settings) -> dict[str, Any]:
    """``compile_ms`` and ``onnxruntime_ms`` of an inference with ``module`` (PyTorch), or notes that say why not."""
    if workload.training or module is None:
        return {}
    if settings.quick:
        return {"note": ["torch.compile and ONNX Runtime: not with --quick"]}
    columns: dict[str, Any] = {"note": []}
    with module_file(module) as path:
        for task, column, obstacle in (
            ("torch_compile", "compile_ms", None if shutil.which("g++") else "no g++ here"),
            ("onnxruntime", "onnxruntime_ms", None if importlib.util.find_spec("onnxruntime") else "not installed"),
        ):
            try:
                if obstacle:
                    raise RuntimeError(obstacle)
                common = {"path": path, "shape": list(shape), "threads": settings.threads, "seconds": settings.seconds}
                columns[column] = in_new_process(task, {"TORCHINDUCTOR_FREEZING": "1"}, **common)["ms"]
            except RuntimeError as error:
                columns["note"].append(f"{column.removesuffix('_ms')}: {error}")
    return columns
