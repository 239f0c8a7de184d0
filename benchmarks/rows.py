"""What a row of the results is, and how one is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

COLUMNS = {
    "group": "layers, networks or startup",
    "name": "what was measured",
    "ours_ms": "median time of minicnn, milliseconds",
    "torch_ms": "median time of PyTorch, milliseconds, in the better of its memory layouts",
    "ratio": "torch_ms / ours_ms (of the installation: torch_mb / ours_mb): above 1 is in our favour",
    "ours_peak_mb": "networks only: largest memory of a process that does this with minicnn, libraries included, 10^6 bytes",
    "torch_peak_mb": "the same with PyTorch",
    "memory_ratio": "torch_peak_mb / ours_peak_mb",
    "ours_extra_mb": "of the peak, what came after the libraries, the network and its input were there",
    "torch_extra_mb": "the same with PyTorch",
    "extra_ratio": "torch_extra_mb / ours_extra_mb",
    "gflops": "our effective speed, 10^9 operations a second: 2 * multiply-adds of the definition / time",
    "moved_mb": "10^6 bytes that must move at least once: inputs, weights and outputs, what a step updates twice",
    "limit": "arithmetic or memory: which of the processor's limits is nearer, the peak of the definition's operations or the "
    "bandwidth for moved_mb",
    "share_of_limit": "time at that limit / ours_ms; above 1 where Winograd does fewer operations than the definition has, or "
    "where data is still in a cache",
    "difference": "largest difference between both sides' results, divided by the largest result",
    "ours_how": "which of our ways counted, where there are two",
    "torch_how": "which of PyTorch's memory layouts counted",
    "compile_ms": "torch.compile, with weights frozen; outside the comparison",
    "onnxruntime_ms": "inference with ONNX Runtime, in turns with ours",
    "onnxruntime_ratio": "onnxruntime_ms / ours_ms",
    "openvino_ms": "inference with OpenVINO, in turns with ours",
    "openvino_ratio": "openvino_ms / ours_ms",
    "ours_mb": "size on disk of the installation with all that it depends on, megabytes",
    "torch_mb": "the same of PyTorch",
    "networks": "the networks that have this layer",
    "note": "what a reader should know, and why a number is missing",
}  # a column that does not apply to a row, or was not measured, is null


@dataclass(frozen=True)
class Limits:
    """What the processor can do at most, with the threads of the benchmark and with one.

    Attributes
    ----------
    gflops, gflops_one_thread : float
        Fused multiply-adds of float32 in registers, 10^9 operations a second, two for each.
    bandwidth, bandwidth_one_thread : float
        10^9 bytes read from memory a second.
    """

    gflops: float
    gflops_one_thread: float
    bandwidth: float
    bandwidth_one_thread: float


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes
    ----------
    quick : bool
        The essentials only.
    threads : int
        Of both sides.
    seconds : float
        About how long each side is measured in a row.
    limits : Limits
        This machine's.
    torch : bool
        Whether PyTorch is here.
    """

    quick: bool
    threads: int
    seconds: float
    limits: Limits
    torch: bool


@dataclass(frozen=True)
class Case:
    """A row that can be asked for: its name, what measures it, and whether it is one of the essentials."""

    group: str
    name: str
    measure: Callable[[Settings], Row]
    quick: bool = True


def make_row(group: str, name: str, **measured: Any) -> Row:
    """A row with every column, None where nothing is given, and other engines' numbers divided by ours."""
    unknown = set(measured) - set(COLUMNS)
    if unknown:
        raise ValueError(f"a row has no column {', '.join(sorted(unknown))}; the columns are {', '.join(COLUMNS)}")
    row = dict.fromkeys(COLUMNS) | {"group": group, "name": name} | measured
    for unit, ratio in (("ms", "ratio"), ("mb", "ratio"), ("peak_mb", "memory_ratio"), ("extra_mb", "extra_ratio")):
        ours, torch = row[f"ours_{unit}"], row[f"torch_{unit}"]
        if ours and torch:
            row[ratio] = torch / ours
    for engine in ("onnxruntime", "openvino"):
        if row["ours_ms"] and row[f"{engine}_ms"]:
            row[f"{engine}_ratio"] = row[f"{engine}_ms"] / row["ours_ms"]
    return row


def speed(multiply_adds: int | None, moved: int | None, milliseconds: float, limits: Limits) -> dict[str, Any]:
    """The columns about speed of a row that took this time: what it reached, and its share of the nearer of both limits.

    Parameters
    ----------
    multiply_adds : int, optional
        Of the definition, two operations each: an algorithm may do with fewer. None if they were not counted.
    moved : int, optional
        Bytes that must move at least once.

    >>> columns = speed(10**9, 10**6, 20.0, Limits(200.0, 100.0, 20.0, 10.0))
    >>> [columns[name] for name in ("gflops", "limit", "share_of_limit")]
    [100.0, 'arithmetic', 0.5]
    >>> speed(0, 10**8, 20.0, Limits(200.0, 100.0, 20.0, 10.0))
    {'moved_mb': 100.0, 'limit': 'memory', 'share_of_limit': 0.25}
    """
    columns: dict[str, Any] = {}
    if multiply_adds:
        columns["gflops"] = 2 * multiply_adds / (milliseconds * 1e6)
    if moved is not None:
        columns["moved_mb"] = moved / 1e6
    if multiply_adds is not None and moved is not None:
        times = {"arithmetic": 2 * multiply_adds / (limits.gflops * 1e6), "memory": moved / (limits.bandwidth * 1e6)}
        columns["limit"] = max(times, key=times.get)
        columns["share_of_limit"] = times[columns["limit"]] / milliseconds
    return columns


def bytes_of(*arrays: Any) -> int:
    """Bytes of all the arrays together."""
    return sum(array.nbytes for array in arrays)


def geometric_mean(ratios: Iterable[float]) -> float:
    """exp(mean of log r): twice as fast here and half as fast there is 1, as it should be.

    >>> geometric_mean([2.0, 0.5])
    1.0
    """
    logs = [math.log(ratio) for ratio in ratios]
    if not logs:
        raise ValueError("there is no mean of no ratios")
    return math.exp(sum(logs) / len(logs))
