"""What minicnn sets out to reach, beside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .rows import Row, geometric_mean

Numbers = Callable[[Sequence[float]], float]


@dataclass(frozen=True)
class Target:
    """A number that rows should reach.

    Attributes
    ----------
    column : str
        Of the rows.
    concerns : function of a row
        Whether the row is one of them.
    statistic : function
        What is made of their numbers, and held against the bar: ``geometric_mean``, or ``min`` for the lowest.
    least, aim : float, optional
        The bar, and what would be better; neither where a number is only told.
    seconds : bool
        The column has milliseconds, of which there should be few: ``least`` and ``aim`` are seconds, at most.
    """

    column: str
    concerns: Callable[[Row], bool]
    statistic: Numbers
    least: float | None = None
    aim: float | None = None
    seconds: bool = False


def _inference(row: Row) -> bool:
    return row["group"] == "networks" and " inference, " in row["name"]


def _of(*networks: str, training: str | None = None) -> Callable[[Row], bool]:
    """Inference of these networks, or the training step with this name."""
    names = tuple(f"{network} {training or 'inference'}, batch" for network in networks)
    return lambda row: row["group"] == "networks" and row["name"].startswith(names)


def _3x3(what: str) -> Callable[[Row], bool]:
    """Convolutions with 3x3 filters at stride 1; not depthwise ones, which are another thing."""

    def concerns(row: Row) -> bool:
        plain = row["name"].startswith("3x3 ") and "depthwise" not in row["name"]
        return row["group"] == "layers" and plain and row["name"].endswith(f", {what}")

    return concerns


def _all_of(group: str) -> Callable[[Row], bool]:
    return lambda row: row["group"] == group


def _startup(name: str, most: float, aim: float | None = None) -> Target:
    return Target("ours_ms", lambda row: row["group"] == "startup" and row["name"] == name, max, most, aim, seconds=True)


TARGETS = {
    "3x3 layers at stride 1, forward, mean": Target("ratio", _3x3("forward"), geometric_mean, 1.5, 2.0),
    "3x3 layers at stride 1, forward + backward, mean": Target("ratio", _3x3("forward + backward"), geometric_mean, 1.5, 2.0),
    "VGG-16 inference": Target("ratio", _of("VGG-16"), min, 1.5, 2.0),
    "CIFAR net and ResNet-18 for CIFAR, training step": Target(
        "ratio", _of("CIFAR net", "ResNet-18 for CIFAR", training="training step"), min, 1.5, 2.0
    ),
    "EfficientNet-Lite0 and MobileNetV2 inference": Target("ratio", _of("EfficientNet-Lite0", "MobileNetV2"), min, 1.8, 3.0),
    "ResNet-18 and SqueezeNet v1.1 inference": Target("ratio", _of("ResNet-18", "SqueezeNet v1.1"), min, 1.4, 2.0),
    "EfficientNet-Lite0 training step above block7": Target(
        "ratio", _of("EfficientNet-Lite0", training="training step above block7"), min, 1.3, 1.8
    ),
    "every layer alone": Target("ratio", _all_of("layers"), min, 0.8, 1.0),
    "ONNX Runtime / ours, all inference, mean": Target("onnxruntime_ratio", _inference, geometric_mean, 1.0, 1.25),
    "ONNX Runtime / ours, all inference, lowest": Target("onnxruntime_ratio", _inference, min, 0.8, 1.0),
    "OpenVINO / ours, all inference, mean": Target("openvino_ratio", _inference, geometric_mean),
    "OpenVINO / ours, all inference, lowest": Target("openvino_ratio", _inference, min),
    "peak memory, lowest": Target("memory_ratio", _all_of("networks"), min, 1.0, 1.2),
    "peak memory, mean": Target("memory_ratio", _all_of("networks"), geometric_mean, 1.4, 1.6),
    "first CIFAR net training step, nothing compiled, seconds at most": _startup(
        "first CIFAR net training step, batch 64, cold cache", 20.0, 10.0
    ),
    "first CIFAR net training step, compiled before, seconds at most": _startup(
        "first CIFAR net training step, batch 64, warm cache", 1.5, 1.0
    ),
    "import minicnn, seconds at most": _startup("import minicnn", 0.4),
}


def summarise(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A line for each target that there are rows for.

    It has ``what``, ``rows`` (how many), ``least``, ``aim``, ``measured``, and ``met``: "yes", "no", "aim" if even that is
    reached, or None where there is nothing to reach.
    """
    lines = []
    for what, target in TARGETS.items():
        numbers = [row[target.column] for row in rows if target.concerns(row) and row[target.column]]
        if numbers:
            measured = target.statistic(numbers) / (1000 if target.seconds else 1)
            line = {"what": what, "rows": len(numbers), "least": target.least, "aim": target.aim}
            lines.append(line | {"measured": measured, "met": _verdict(measured, target)})
    return lines


def _verdict(measured: float, target: Target) -> str | None:
    """Seconds reach a bar from above, ratios from below."""
    sign = -1 if target.seconds else 1
    if target.aim is not None and sign * measured >= sign * target.aim:
        return "aim"
    if target.least is None:
        return None
    return "yes" if sign * measured >= sign * target.least else "no"
