"""The report of the advice: its figure, and all numbers as JSON."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

from .. import __version__
from ..cache import write_bytes
from ..linear_model.cross_validation import CrossValidation
from .advice import Advice
from .figure import advice_figure


def write_advice(advice: Advice, folder: Path) -> list[Path]:
    """Write ``advice.json`` and ``advice.png`` into a folder, which is made if it is not there; returns their paths."""
    numbers = json.dumps(as_dict(advice), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    png = BytesIO()
    advice_figure(advice).savefig(png, format="png", metadata={"Software": None})
    contents = {"advice.json": numbers.encode("utf-8", "backslashreplace"), "advice.png": png.getvalue()}
    for name, content in contents.items():
        write_bytes(folder / name, content)
    return [folder / name for name in contents]


def as_dict(advice: Advice) -> dict:
    """The advice as JSON can hold it; arrays picture by picture are left out."""
    measurements = advice.measurements
    similarity = measurements.similarity
    codes = [
        {
            "layer": entry.layer,
            "grid": entry.grid,
            "features": entry.features,
            **_probe(entry.probe),
            "better_than_last": list(entry.probe.better_than(measurements.last.probe)),
            "logme": entry.logme,
            "h_score": entry.h_score,
        }
        for entry in measurements.codes
    ]
    return {
        "version": __version__,
        "model": advice.model,
        "data": advice.data,
        "strategy": advice.strategy,
        "many": advice.choice.many,
        "similar": advice.choice.similar,
        "reasons": list(advice.choice.reasons),
        "layer": advice.layer,
        "grid": advice.grid,
        "freeze_until": advice.freeze_until,
        "head_rate": advice.head_rate,
        "body_rate": advice.body_rate,
        "command": advice.command,
        "evidence": {
            "pictures": measurements.pictures,
            "measured": measurements.measured,
            "classes": dict(zip(advice.classes, measurements.counts, strict=True)),
            "shift": similarity.shift,
            "confidence": similarity.confidence,
            "usual_confidence": similarity.usual,
            "leep": measurements.leep,
            "pixels": _probe(measurements.pixels),
            "codes": codes,
        },
    }


def _probe(probe: CrossValidation) -> dict:
    return {"accuracy": probe.accuracy, "standard_error": probe.standard_error, "ridge": probe.ridge}
