"""The results of an experiment: one dictionary that JSON can hold, from which the table, the report and results.json are made.

`results_of` puts it together; the functions at the end answer the questions that the table, the figures and the page ask of it.
"""

from __future__ import annotations

import datetime
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np

from .. import __version__
from ..data.augmentation import Augmentation
from ..data.picture_set import PictureSet
from ..models.model import Model
from ..models.predictions import confident_mistakes
from ..runtime.workers import get_threads
from ..transfer.finetune import Phase
from ..transfer.metrics import mean_and_std
from ..transfer.strategies import STRATEGIES
from .presets import Settings

METRICS = ("accuracy", "balanced_accuracy", "f1", "seconds", "val_accuracy")
MAX_MISTAKES = 12  # that are shown, of a run and of a strategy

# Published results on the solar cells, shown beside ours. Deitsch et al. 2019, Solar Energy 185, table 2.
PUBLISHED_ON_CELLS = [
    {"title": "SVM on hand-made features, Deitsch et al. 2019", "accuracy": 0.8244},
    {"title": "fine-tuned VGG-19, Deitsch et al. 2019", "accuracy": 0.8842},
]


@dataclass
class Run:
    """One strategy on one split: its record in the results, and the network that it trained."""

    record: dict
    model: Model


# ---- putting the results together


def results_of(
    *,
    settings: Settings,
    model: Model,
    pictures: PictureSet,
    augmentation: Augmentation,
    parts: Mapping[str, Sequence[int]],
    runs: Mapping[str, Sequence[Run]],
    seconds: float,
    interrupted: bool,
) -> dict:
    """All that is known at the end, or when the experiment was interrupted.

    Parameters
    ----------
    settings : Settings
    model : Model
        The pretrained network with a new head.
    pictures : PictureSet
    augmentation : Augmentation
        Of training pictures.
    parts : mapping
        Indices of the pictures in the "train", "val" and "test" part of a split.
    runs : mapping
        The finished runs of each strategy, from the cheapest strategy to the most expensive one; one strategy has a run at
        least.
    seconds : float
        That the experiment took.
    interrupted : bool
        Whether it was ended early.
    """
    finished = {key: found for key, found in runs.items() if found}
    first_trained = {key: _first_trained(model, found[0]) for key, found in finished.items()}
    strategies = [_strategy(key, found, model, first_trained[key]) for key, found in finished.items()]
    best, sentence = recommend(strategies, len(parts["val"]))
    sizes = _sizes(model)
    return {
        "version": __version__,
        "date": datetime.date.today().isoformat(),
        "command": settings.command,
        "mode": settings.mode,
        "seconds": seconds,
        "interrupted": interrupted,
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
            "parts": {part: len(indices) for part, indices in parts.items()},
            "source": pictures.source,
            "licence": pictures.licence,
            "notes": pictures.notes,
            "augmentation": augmentation.describe(),
        },
        "model": {
            "name": model.architecture,
            "parameters": sum(sizes.values()),
            "multiply_adds": model.multiply_adds((1, *model.input_shape)),
            "input": list(model.input_shape),
            "source": (model.provenance or {}).get("source", ""),
            "licence": (model.provenance or {}).get("licence", ""),
            "summary": finished[best][0].model.summary(),
        },
        "f1_of": pictures.classes[1] if len(pictures.classes) == 2 else "macro average",
        "strategies": strategies,
        "ladder": {
            "layers": list(sizes),
            "parameters": list(sizes.values()),
            "strategies": {key: _relative_rates(model, first) for key, first in first_trained.items()},
        },
        "published": PUBLISHED_ON_CELLS if settings.data is None else [],
        "recommendation": {"key": best, "sentence": sentence},
        "model_file": "model.h5",
    }


def _strategy(key: str, runs: Sequence[Run], model: Model, first: int) -> dict:
    """One strategy's entry: what it trained, from the layer of number ``first`` on, and its runs with their mean metrics."""
    sizes, names = _sizes(model), list(model.layers)
    return {
        "key": key,
        "title": STRATEGIES[key],
        "trained": names[-1] if first == len(names) - 1 else f"{names[first]} to {names[-1]}",
        "frozen": f"{names[0]} to {names[first - 1]}",
        "trained_parameters": sum(sizes[name] for name in names[first:]),
        "total_parameters": sum(sizes.values()),
        "runs": [run.record for run in runs],
        **{name: mean_and_std([run.record[name] for run in runs]) for name in METRICS},
    }


def _sizes(model: Model) -> dict[str, int]:
    """The number of parameters in each top-level layer."""
    return {name: sum(p.value.size for p in layer.parameters().values()) for name, layer in model.layers.items()}


def _first_trained(model: Model, run: Run) -> int:
    """The number of the lowest top-level layer that a run trained: the last one, the head, for linear classifiers."""
    names, phases = list(model.layers), run.record.get("phases")
    return names.index(phases[-1]["frozen_until"]) + 1 if phases else len(names) - 1


def _relative_rates(model: Model, first: int) -> list[float]:
    """The learning rate of each top-level layer relative to the head's, 0 for those that are frozen, below number ``first``."""
    return [0.0] * first + [Phase.body_multiplier] * (len(model.layers) - first - 1) + [1.0]


def describe_mistakes(pictures: PictureSet, indices: np.ndarray, scores: np.ndarray) -> list[dict]:
    """The most confident mistakes, with file and class names, the most confident one first.

    Parameters
    ----------
    pictures : PictureSet
    indices : int (n,)
        Of the pictures that were tested.
    scores : (n, K)
        Of these pictures.
    """
    return [
        {
            "index": int(indices[mistake["index"]]),
            "file": pictures.file_name(int(indices[mistake["index"]])),
            "true": pictures.classes[mistake["true"]],
            "predicted": pictures.classes[mistake["predicted"]],
            "confidence": mistake["confidence"],
        }
        for mistake in confident_mistakes(pictures.labels[indices], scores, MAX_MISTAKES)
    ]


def recommend(strategies: list[dict], val_pictures: int) -> tuple[str, str]:
    """The strategy to use and why: the cheapest of those within one standard error of the best on the validation pictures.

    The standard error of an accuracy p on n pictures is sqrt(p (1 - p) / n); n counts the pictures of all splits that every
    strategy ran on. A smaller difference than that may be chance, and is not worth more training (Breiman, Friedman, Olshen,
    Stone 1984, "Classification and Regression Trees", section 3.4.3). The test pictures do not influence the choice; their
    accuracy is reported beside it.

    Parameters
    ----------
    strategies : list of dict
        From cheap to expensive.
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


# ---- questions that the table, the figures and the page ask


def recommended(results: dict) -> dict | None:
    """The recommended strategy; without a recommendation the one best in validation; None where nothing has finished."""
    key = (results.get("recommendation") or {}).get("key")
    for strategy in results["strategies"]:
        if strategy["key"] == key:
            return strategy
    return max(results["strategies"], key=lambda s: s["val_accuracy"]["mean"], default=None)


def summed_confusion(strategy: dict) -> np.ndarray:
    """The strategy's confusion matrices, summed over its runs: int64 (K, K), rows true, columns predicted."""
    return np.sum([run["confusion"] for run in strategy["runs"]], axis=0, dtype=np.int64)


def row_percent(matrix: np.ndarray) -> np.ndarray:
    """Each count as a percentage of its row; a class without test pictures gets a row of zeros."""
    return 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)


def majority_baseline(results: dict) -> tuple[float, float] | None:
    """Accuracy and balanced accuracy (0..1) of always predicting the most frequent class, without looking at a picture."""
    if not results["strategies"]:
        return None
    counts = np.sum([summed_confusion(strategy).sum(1) for strategy in results["strategies"]], axis=0)
    return float(counts.max() / counts.sum()), float(1 / np.count_nonzero(counts))


def worst_mistakes(strategy: dict | None) -> list[dict]:
    """The strategy's most confident mistakes over all its runs, each picture once, at most 12."""
    runs = strategy["runs"] if strategy else []
    first: dict[int, dict] = {}
    for mistake in sorted((m for run in runs for m in run.get("mistakes", ())), key=lambda m: -m["confidence"]):
        first.setdefault(mistake["index"], mistake)
    return list(first.values())[:MAX_MISTAKES]
