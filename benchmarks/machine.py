"""What the measurements were made on, and the speed of its matrix products, which the others are compared with."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import minicnn
from minicnn.runtime.cores import usable_cores

SIDE = 2048  # of the square matrices: 17 * 10^9 operations a product


def torch_is_here() -> bool:
    """Whether PyTorch can be imported."""
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


def describe(threads: int, peak_gflops: float) -> dict[str, Any]:
    """Processor, threads, versions, date, and the measured peak."""
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "threads": threads,
        "matrix_product_gflops": peak_gflops,
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), "minicnn": minicnn.__version__}
        | {name: _version(name) for name in ("numpy", "numba", "scipy", "torch", "onnxruntime")},
        "date": datetime.datetime.now().isoformat(sep=" ", timespec="minutes"),
    }


def matrix_product_gflops(threads: int, products: int) -> float:
    """10^9 operations a second of the fastest of some float32 products of large matrices, NumPy's or, if here, PyTorch's."""
    a, b = np.random.default_rng(0).standard_normal((2, SIDE, SIDE), np.float32)
    out = np.empty_like(a)
    with threadpool_limits(threads, "blas"):
        fastest = _fastest(lambda: np.matmul(a, b, out=out), products)
    if torch_is_here():
        import torch

        left, right, result = (torch.from_numpy(array) for array in (a, b, out))
        fastest = min(fastest, _fastest(lambda: torch.mm(left, right, out=result), products))
    return 2 * SIDE**3 / fastest / 1e9


def _fastest(call, times: int) -> float:
    """Seconds of the fastest of so many calls, after one that does not count."""
    call()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
