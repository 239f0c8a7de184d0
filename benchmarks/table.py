"""Rows as text, in columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

HEADINGS = {  # column: heading
    "layers": {
        "name": "layer",
        "ours_ms": "ours ms",
        "torch_ms": "torch ms",
        "ratio": "ratio",
        "gflops": "GFLOP/s",
        "limit": "limit",
        "share_of_limit": "of limit",
        "difference": "differ",
        "torch_how": "layout",
    },
    "networks": {
        "name": "network",
        "ours_ms": "ours ms",
        "torch_ms": "torch ms",
        "ratio": "ratio",
        "ours_peak_mb": "ours MB",
        "torch_peak_mb": "torch MB",
        "memory_ratio": "ratio",
        "ours_extra_mb": "ours extra",
        "torch_extra_mb": "torch extra",
        "compile_ms": "compile ms",
        "onnxruntime_ms": "onnx ms",
        "openvino_ms": "openvino ms",
        "limit": "limit",
        "share_of_limit": "of limit",
        "difference": "differ",
        "ours_how": "by",
        "torch_how": "layout",
    },
    "startup": {
        "name": "start-up",
        "ours_ms": "ours ms",
        "torch_ms": "torch ms",
        "ours_mb": "ours MB",
        "torch_mb": "torch MB",
        "ratio": "ratio",
    },
    "students": {
        "way": "one picture of 32 x 32, 64 channels",
        "layer": "layer",
        "ms": "ms",
        "times_ours": "times ours",
    },
    "accuracy": {
        "layer": "error against float64, results of unit variance",
        "algorithm": "algorithm",
        "y_max": "y max",
        "y_rms": "y rms",
        "dw_max": "dw max",
        "dw_rms": "dw rms",
        "dx_max": "dx max",
        "dx_rms": "dx rms",
    },
    "outliers": {
        "algorithm": "one pixel out of the ordinary",
        "nan_outputs": "NaN outputs",
        "error": "error beside 1e6",
        "finite_up_to": "finite up to max /",
    },
    "augmentation": {
        "what": "1,000 pictures of 32 x 32",
        "ms": "ms",
        "share": "of the step",
    },
    "summary": {
        "what": "PyTorch / ours, lowest unless it says mean",
        "rows": "rows",
        "least": "at least",
        "aim": "aim",
        "measured": "measured",
        "met": "ok?",
    },
}


def format_table(rows: Sequence[dict[str, Any]], headings: dict[str, str]) -> str:
    """The rows under the headings, numbers to three digits, "-" for what was not measured, and the notes below.

    >>> rows = [{"name": "a", "ms": 12.345, "note": "once"}, {"name": "bc", "ms": None}]
    >>> print(format_table(rows, {"name": "what", "ms": "ms"}))
    what    ms
    ----------
    a     12.3
    bc       -
    a: once
    """
    cells = [list(headings.values())] + [[_text(row.get(column)) for column in headings] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells]
    lines.insert(1, "-" * len(lines[0]))
    notes: dict[str, list[str]] = {}  # the same note of several rows once
    for row, line in zip(rows, cells[1:], strict=True):
        if row.get("note"):
            notes.setdefault(row["note"], []).append(line[0])
    lines += [f"{names[0] if len(names) == 1 else f'{len(names)} rows'}: {note}" for note, names in notes.items()]
    return "\n".join(lines)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
