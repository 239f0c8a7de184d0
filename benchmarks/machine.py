"""What the measurements were made on."""

from __future__ import annotations

import configparser
import datetime
import importlib.metadata
import platform
from dataclasses import asdict
from typing import Any

from llvmlite import binding
from numba.core.registry import cpu_target
from packaging.requirements import Requirement

import minicnn
from minicnn.experiment.results import cpu_name
from minicnn.runtime.cores import usable_cores

from .children import ROOT
from .rows import Limits

PACKAGES = ("numpy", "numba", "scipy", "torch", "onnxruntime", "openvino")


def torch_is_here() -> bool:
    """Whether PyTorch can be imported."""
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


def vector_set() -> str:
    """The widest vectors that Numba compiles for: "AVX-512", "AVX2", or the machine's family where it has neither."""
    features = cpu_target.target_context.codegen().magic_tuple()[2]
    for feature, name in (("+avx512f", "AVX-512"), ("+avx2", "AVX2")):
        if feature in features.split(","):
            return name
    return platform.machine()


def describe(threads: int, limits: Limits) -> dict[str, Any]:
    """Processor, its microarchitecture as LLVM calls it, vectors, threads, versions, date, and the measured limits."""
    return {
        "processor": cpu_name(),
        "microarchitecture": binding.get_host_cpu_name(),
        "vectors": vector_set(),
        "cores": usable_cores(),
        "threads": threads,
        "limits": asdict(limits),
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), "minicnn": minicnn.__version__}
        | {name: _version(name) for name in PACKAGES},
        "date": datetime.datetime.now().isoformat(sep=" ", timespec="minutes"),
    }


def summary_of(machine: dict[str, Any]) -> str:
    """Which processor, and its limits, in a line.

    >>> limits = Limits(196.0, 101.0, 24.0, 15.0)
    >>> print(summary_of(describe(2, limits) | {"processor": "X", "microarchitecture": "x1", "vectors": "AVX2", "cores": 4}))
    X (x1, AVX2), 4 cores, 2 threads: 196 GFLOP/s of FMA, 101 with one thread; 24 GB/s from memory, 15 with one
    """
    limits = machine["limits"]
    return (
        f"{machine['processor']} ({machine['microarchitecture']}, {machine['vectors']}), "
        f"{machine['cores']} cores, {machine['threads']} threads: "
        f"{limits['gflops']:.0f} GFLOP/s of FMA, {limits['gflops_one_thread']:.0f} with one thread; "
        f"{limits['bandwidth']:.3g} GB/s from memory, {limits['bandwidth_one_thread']:.3g} with one"
    )


def older_baselines(versions: dict[str, str | None]) -> list[str]:
    """A note on each package that is older than what minicnn is to be compared with: the extra ``benchmarks`` in setup.cfg."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg")
    newest = [Requirement(line) for line in settings["options.extras_require"]["benchmarks"].split("\n") if line]
    return [
        f"{baseline.name} {versions[baseline.name]} is installed, and the comparison is with {baseline}"
        for baseline in newest
        if versions.get(baseline.name) and not baseline.specifier.contains(versions[baseline.name], prereleases=True)
    ]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
