"""What minicnn sets out to reach, beside what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .rows import Row, geometric_mean


@dataclass(frozen=True)
class Target:
    """A number that rows should reach.

    Attributes
    ----------
    column : str
    least, aim : float
        The bar, and what would be better.
    concerns : function of a row
        Whether the row is one of them.
    on_average : bool
        Their geometric mean is held against the bar; otherwise the lowest of them.
    """

    column: str
    least: float
    aim: float
    concerns: Callable[[Row], bool]
    on_average: bool = False


def _of(*networks: str, training: bool = False) -> Callable[[Row], bool]:
    what = "training step, batch" if training else "inference"
    names = tuple(f"{network} {what}" for network in networks)
    return lambda row: row["group"] == "networks" and row["name"].startswith(names)


def _3x3(what: str) -> Callable[[Row], bool]:
    def concerns(row: Row) -> bool:
        ours = {"VGG-16", "CIFAR net"} & set(row["networks"] or [])
        plain = row["name"].startswith("3x3 ") and "depthwise" not in row["name"]
        return row["group"] == "layers" and plain and bool(ours) and row["name"].endswith(f", {what}")

    return concerns


RATIOS = {
    "3x3 stride-1 layers of VGG-16 and the CIFAR net, forward": Target("ratio", 1.3, 2.0, _3x3("forward"), on_average=True),
    "the same, forward + backward": Target("ratio", 1.2, 1.6, _3x3("forward + backward"), on_average=True),
    "VGG-16, inference": Target("ratio", 1.5, 2.0, _of("VGG-16")),
    "CIFAR net, training step": Target("ratio", 1.2, 1.6, _of("CIFAR net", training=True)),
    "EfficientNet-Lite0, inference": Target("ratio", 1.5, 3.0, _of("EfficientNet-Lite0")),
    "ResNet-18 and SqueezeNet v1.1, inference": Target("ratio", 1.2, 1.8, _of("ResNet-18", "SqueezeNet v1.1")),
    "ResNet-18 for CIFAR, training step": Target("ratio", 1.0, 1.4, _of("ResNet-18 for CIFAR", training=True)),
    "peak memory": Target("memory_ratio", 1.0, 1.5, lambda row: row["group"] == "networks"),
}
SECONDS = {  # at most, of ours
    "import minicnn": 0.4,
    "first CIFAR net training step, batch 64, warm cache": 2.0,
    "first CIFAR net training step, batch 64, cold cache": 20.0,
}


def summarise(rows: list[Row]) -> list[dict[str, Any]]:
    """A line for each target that there are rows for.

    It has ``what``, ``rows`` (how many), ``mean`` (geometric, of PyTorch / ours), ``lowest``, ``least``, ``aim``, and ``met``:
    "yes", "no", or "aim" if even that is reached. Where the target is a time of ours, there are ``seconds`` and ``at_most``.
    """
    lines: list[dict[str, Any]] = []
    for what, target in RATIOS.items():
        ratios = [row[target.column] for row in rows if target.concerns(row) and row[target.column]]
        if ratios:
            mean, lowest = geometric_mean(ratios), min(ratios)
            verdict = _verdict(mean if target.on_average else lowest, target)
            numbers = {"rows": len(ratios), "mean": mean, "lowest": lowest, "least": target.least, "aim": target.aim}
            lines.append({"what": what} | numbers | {"met": verdict})
    for name, at_most in SECONDS.items():
        for row in rows:
            if row["group"] == "startup" and row["name"] == name and row["ours_ms"]:
                seconds = row["ours_ms"] / 1000
                met = "yes" if seconds <= at_most else "no"
                lines.append({"what": name, "seconds": seconds, "at_most": at_most, "met": met})
    return lines


def _verdict(ratio: float, target: Target) -> str:
    if ratio >= target.aim:
        return "aim"
    return "yes" if ratio >= target.least else "no"
