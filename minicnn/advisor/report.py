"""The report of the advice: its figure, and all numbers as JSON."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from .. import __version__
from ..cache import write_bytes
from ..linear_model.cross_validation import CrossValidation
from .advice import Advice
from .figure import advice_figure, networks_figure
from .networks import Comparison


def write_advice(advice: Advice, folder: Path) -> list[Path]:
    """Write ``advice.json`` and ``advice.png`` into a folder, which is made if it is not there; returns their paths."""
    return _write(folder, as_dict(advice), {"advice.png": advice_figure(advice)})


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """The same for the recommended network, and ``networks.png``; ``advice.json`` has all networks under "comparison"."""
    advice = comparison.recommended.advice
    figures = {"networks.png": networks_figure(comparison), "advice.png": advice_figure(advice)}
    return _write(folder, as_dict(advice) | {"comparison": _comparison(comparison)}, figures)


def _write(folder: Path, numbers: dict, figures: dict[str, Figure]) -> list[Path]:
    text = json.dumps(numbers, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    contents = {"advice.json": text.encode("utf-8", "backslashreplace")}
    for name, figure in figures.items():
        png = BytesIO()
        figure.savefig(png, format="png", metadata={"Software": None})
        contents[name] = png.getvalue()
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
            "knn": _probe(entry.knn),
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
        "baselines": advice.choice.baselines,
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
            "p_value": measurements.p_value,
            "pixels": _probe(measurements.pixels),
            "codes": codes,
        },
    }


def _comparison(comparison: Comparison) -> dict:
    networks = {
        network.name: {
            "strategy": network.advice.strategy,
            "layer": network.codes.layer,
            **_probe(network.codes.probe),
            "better_than_best": list(comparison.than_best(network)),
            "knn": _probe(network.codes.knn),
            "logme": network.codes.logme,
            "h_score": network.codes.h_score,
            "leep": network.advice.measurements.leep,
            "parameters": network.parameters,
            "multiply_adds": network.multiply_adds,
            "seconds": network.seconds,
        }
        for network in comparison.networks
    }
    return {
        "best": comparison.best.name,
        "recommended": comparison.recommended.name,
        "baselines": {rule: network.name for rule, network in comparison.baselines.items()},
        "networks": networks,
    }


def _probe(probe: CrossValidation) -> dict:
    ridge = {} if probe.ridge is None else {"ridge": probe.ridge}
    return {"accuracy": probe.accuracy, "standard_error": probe.standard_error} | ridge
