"""What came of an experiment, in one dictionary that JSON can hold: the table, the report and results.json are made from it."""

from __future__ import annotations

import datetime
import math
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numba
import numpy as np

from .. import __version__
from ..runtime.workers import get_threads
from ..transfer.finetune import Phase
from ..transfer.metrics import mean_and_std

if TYPE_CHECKING:
    from .experiment import Experiment

MEASURES = ("accuracy", "balanced_accuracy", "f1", "seconds", "val_accuracy")

# What others have published on the solar cells, shown beside ours. Deitsch et al. 2019, Solar Energy 185, table 2.
PUBLISHED_ON_CELLS = [
    {"title": "SVM on hand-made features, Deitsch et al. 2019", "accuracy": 0.8244},
    {"title": "fine-tuned VGG-19, Deitsch et al. 2019", "accuracy": 0.8842},
]


def results_of(experiment: Experiment, titles: dict[str, str]) -> dict:
    """All that is known at the end (or at Ctrl-C). ``titles``: strategy -> what to call it."""
    model, pictures, settings = experiment.base, experiment.pictures, experiment.settings
    names = list(model.layers)
    sizes = {name: sum(p.value.size for p in layer.parameters().values()) for name, layer in model.layers.items()}
    strategies, ladder = [], {}
    for key, runs in experiment.runs.items():
        if not runs:
            continue
        phases = runs[0].record.get("phases")
        first = names.index(phases[-1]["frozen_until"] if phases else names[-2]) + 1
        ladder[key] = [0.0] * first + [Phase.body_multiplier] * (len(names) - first - 1) + [1.0]
        strategies.append(
            {
                "key": key,
                "title": titles[key],
                "trained": names[-1] if first == len(names) - 1 else f"{names[first]} to {names[-1]}",
                "frozen": f"{names[0]} to {names[first - 1]}",
                "trained_parameters": sum(sizes[name] for name in names[first:]),
                "total_parameters": sum(sizes.values()),
                "runs": [run.record for run in runs],
                **{name: mean_and_std([run.record[name] for run in runs]) for name in MEASURES},
            }
        )
    best, sentence = recommend(strategies, len(experiment.parts["val"]))
    return {
        "version": __version__,
        "date": datetime.date.today().isoformat(),
        "command": settings.command,
        "mode": settings.mode,
        "seconds": time.perf_counter() - experiment.started,
        "interrupted": experiment.interrupted,
        "machine": {
            "cpu": cpu_name(),
            "threads": get_threads(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": numba.__version__,
        },
        "data": {
            "name": pictures.name,
            "pictures": len(pictures),
            "classes": pictures.classes,
            "counts": np.bincount(pictures.labels, minlength=len(pictures.classes)).tolist(),
            "parts": {part: len(indices) for part, indices in experiment.parts.items()},
            "source": pictures.source,
            "licence": pictures.licence,
            "notes": pictures.notes,
            "augmentation": experiment.augmentation.describe(),
        },
        "model": {
            "name": model.architecture,
            "parameters": sum(sizes.values()),
            "multiply_adds": model.multiply_adds((1, *model.input_shape)),
            "input": list(model.input_shape),
            "source": (model.provenance or {}).get("source", ""),
            "licence": (model.provenance or {}).get("licence", ""),
            "summary": experiment.runs[best][0].model.summary(),
        },
        "f1_of": pictures.classes[1] if len(pictures.classes) == 2 else "macro average",
        "strategies": strategies,
        "ladder": {"layers": names, "parameters": list(sizes.values()), "strategies": ladder},
        "published": PUBLISHED_ON_CELLS if settings.data is None else [],
        "recommendation": {"key": best, "sentence": sentence},
        "model_file": "model.h5",
    }


def recommend(strategies: list[dict], val_pictures: int) -> tuple[str, str]:
    """The strategy to use and why: the cheapest of those within one standard error of the best on the validation pictures.

    The standard error of an accuracy p on n pictures is sqrt(p (1 - p) / n); n counts the pictures of all splits that every
    strategy ran on. A smaller difference than that may be luck, and is not worth more training (Breiman, Friedman, Olshen,
    Stone 1984, "Classification and Regression Trees", section 3.4.3). The test pictures have no say in it, and are reported
    beside it.

    Parameters
    ----------
    strategies : list of dict
        From cheap to dear.
    val_pictures : int
        In the validation part of a split.
    """
    common = min(len(strategy["runs"]) for strategy in strategies)
    val = [float(np.mean([run["val_accuracy"] for run in strategy["runs"][:common]])) for strategy in strategies]
    best = max(val)
    error = math.sqrt(best * (1 - best) / (val_pictures * common))
    chosen = next(i for i, value in enumerate(val) if value >= best - error - 1e-9)
    others = "; ".join(
        f"{other['title']} {100 * value:.1f} %"
        for i, (other, value) in enumerate(zip(strategies, val, strict=True))
        if i != chosen
    )
    reason = "the best" if val[chosen] == best else "the cheapest within one standard error of the best"
    sentence = (
        f"Recommended: {strategies[chosen]['title']}, {reason} on the validation pictures, {100 * val[chosen]:.1f} %"
        + (f" ± {100 * error:.1f} ({others})" if others else "")
        + f"; it got {100 * strategies[chosen]['accuracy']['mean']:.1f} % of the test pictures right."
    )
    return strategies[chosen]["key"], sentence


def cpu_name() -> str:
    """The processor as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
