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
    "share_of_peak": "gflops / this machine's measured matrix-product peak; above 1 is possible, as Winograd saves products",
    "difference": "largest difference between both sides' results, divided by the largest result",
    "ours_how": "which of our ways counted, where there are two",
    "torch_how": "which of PyTorch's memory layouts counted",
    "compile_ms": "torch.compile, with weights frozen; outside the comparison",
    "onnxruntime_ms": "ONNX Runtime; outside the comparison",
    "ours_mb": "size on disk of the installation with all that it depends on, megabytes",
    "torch_mb": "the same of PyTorch",
    "networks": "the networks that have this layer",
    "note": "what a reader should know, and why a number is missing",
}  # a column that does not apply to a row, or was not measured, is null


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
    peak_gflops : float
        This machine's matrix products in float32, 10^9 operations a second.
    torch : bool
        Whether PyTorch is here.
    """

    quick: bool
    threads: int
    seconds: float
    peak_gflops: float
    torch: bool


@dataclass(frozen=True)
class Case:
    """A row that can be asked for: its name, what measures it, and whether it is one of the essentials."""

    group: str
    name: str
    measure: Callable[[Settings], Row]
    quick: bool = True


def make_row(group: str, name: str, **measured: Any) -> Row:
    """A row with every column, None where nothing is given, and PyTorch's numbers divided by ours."""
    unknown = set(measured) - set(COLUMNS)
    if unknown:
        raise ValueError(f"a row has no column {', '.join(sorted(unknown))}; the columns are {', '.join(COLUMNS)}")
    row = dict.fromkeys(COLUMNS) | {"group": group, "name": name} | measured
    for unit, ratio in (("ms", "ratio"), ("mb", "ratio"), ("peak_mb", "memory_ratio"), ("extra_mb", "extra_ratio")):
        ours, torch = row[f"ours_{unit}"], row[f"torch_{unit}"]
        if ours and torch:
            row[ratio] = torch / ours
    return row


def speed(multiply_adds: int | None, milliseconds: float, settings: Settings) -> dict[str, float]:
    """The columns ``gflops`` and ``share_of_peak`` of so many multiply-adds, two operations each, in this time."""
    if not multiply_adds:
        return {}
    gflops = 2 * multiply_adds / (milliseconds * 1e6)
    return {"gflops": gflops, "share_of_peak": gflops / settings.peak_gflops}


def geometric_mean(ratios: Iterable[float]) -> float:
    """exp(mean of log r): twice as fast here and half as fast there is 1, as it should be.

    >>> geometric_mean([2.0, 0.5])
    1.0
    """
    logs = [math.log(ratio) for ratio in ratios]
    if not logs:
        raise ValueError("there is no mean of no ratios")
    return math.exp(sum(logs) / len(logs))
