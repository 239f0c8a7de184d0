"""The results of an experiment: one dictionary that JSON can hold, from which the table, the report and results.json are made.

`results_of` puts it together; the functions at the end answer the questions that the table, the figures and the page ask of it.
"""

from __future__ import annotations

import datetime
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numba
import numpy as np

from .. import __version__
from ..data.picture_set import PictureSet
from ..models.model import Model
from ..models.predictions import confident_mistakes
from ..runtime.workers import get_threads
from ..transfer.learning_rates import parameters_of
from ..transfer.metrics import are_uneven, balanced_accuracy, mean_and_std
from ..transfer.near_duplicates import NearDuplicates
from ..transfer.strategies import STRATEGIES
from .presets import Settings

METRICS = ("accuracy", "balanced_accuracy", "f1", "seconds", "val_accuracy")
PROBE = "the linear probe"  # what a fine-tuning may end with
MAX_MISTAKES = 12  # that are shown, of a run and of a strategy
MAX_PAIRS = 6  # of pictures that are nearly the same, that are shown

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
    augmentation: str,
    positive: int | None,
    near_duplicates: NearDuplicates,
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
    augmentation : str
        How training pictures are varied, in words.
    positive : int or None
        The class whose F1 it is.
    near_duplicates : NearDuplicates
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
    strategies = [_strategy(key, found) for key, found in finished.items()]
    best, sentence = recommend(strategies, pictures.classes)
    across = near_duplicates.across(parts)
    sizes = _sizes(model)
    return {
        **facts_about_run(settings.command, settings.mode, seconds),
        "title": f"{model.architecture} transferred to {pictures.name}",
        "interrupted": interrupted,
        "data": facts_about_data(pictures, parts)
        | {
            "near_duplicates": {
                "pairs": len(near_duplicates.pairs),
                "across_parts": [[pictures.file_name(i) for i in pair] for pair in across],
                "shown": across[:MAX_PAIRS].tolist(),
            },
            "augmentation": augmentation,
        },
        "model": facts_about_model(model) | {"summary": finished[best][0].model.summary()},
        "f1_of": "macro average" if positive is None else pictures.classes[positive],
        "strategies": strategies,
        "ladder": {
            "layers": list(sizes),
            "parameters": list(sizes.values()),
            "strategies": {key: _relative_rates(found[0].model) for key, found in finished.items()},
        },
        "published": PUBLISHED_ON_CELLS if settings.data is None else [],
        "recommendation": {"key": best, "sentence": sentence},
        "model_file": "model.h5",
    }


def facts_about_run(command: str, mode: str, seconds: float) -> dict:
    """What was typed, when, how long it took, and on what machine."""
    return {
        "version": __version__,
        "date": datetime.date.today().isoformat(),
        "command": command,
        "mode": mode,
        "seconds": seconds,
        "machine": {
            "cpu": cpu_name(),
            "threads": get_threads(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": numba.__version__,
        },
    }


def facts_about_data(pictures: PictureSet, parts: Mapping[str, Sequence[int]]) -> dict:
    """What the pictures are, how many of each class are in each part, and what was found when they were opened."""

    def counts(labels: np.ndarray) -> list[int]:
        return np.bincount(labels, minlength=len(pictures.classes)).tolist()

    return {
        "name": pictures.name,
        "pictures": len(pictures),
        "classes": pictures.classes,
        "counts": counts(pictures.labels),
        "parts": {part: len(rows) for part, rows in parts.items()},
        "source": pictures.source,
        "licence": pictures.licence,
        "counts_in_parts": {part: counts(pictures.labels[rows]) for part, rows in parts.items()},
        "uneven": are_uneven(counts(pictures.labels)),
        "findings": pictures.findings.by_heading(),
    }


def facts_about_model(model: Model) -> dict:
    """What the network is, what it costs, and where its weights come from."""
    return {
        "name": model.architecture,
        "parameters": sum(_sizes(model).values()),
        "multiply_adds": model.multiply_adds((1, *model.input_shape)),
        "input": list(model.input_shape),
        "source": model.provenance.get("source", ""),
        "licence": model.provenance.get("licence", ""),
        "summary": model.summary(),
    }


def _strategy(key: str, runs: Sequence[Run]) -> dict:
    """One strategy's entry: what it trained, and its runs with their mean metrics."""
    model = runs[0].model
    learning = {name: layer.trainable for name, layer in model.layers.items() if layer.parameters()}
    names, trained = list(learning), list(learning.values())
    parameters = model.parameters().values()
    return {
        "key": key,
        "title": STRATEGIES[key],
        "trained": _stretches(names, trained),
        "frozen": _stretches(names, [not is_trained for is_trained in trained]),
        "trained_parameters": sum(parameter.value.size for parameter in parameters if parameter.trainable),
        "total_parameters": parameters_of(model),
        "runs": [run.record for run in runs],
        **{name: mean_and_std([run.record[name] for run in runs]) for name in METRICS},
    }


def _stretches(names: Sequence[str], are_meant: Sequence[bool]) -> str:
    """The layers that are meant, those that follow each other in one piece: "stem to block3, classifier".

    >>> _stretches(["a", "b", "c", "d"], [True, True, False, True])
    'a to b, d'
    """
    stretches = []
    for is_meant, places in groupby(range(len(names)), key=lambda i: bool(are_meant[i])):
        first, *others = places
        if is_meant:
            stretches.append(f"{names[first]} to {names[others[-1]]}" if others else names[first])
    return ", ".join(stretches) or "nothing"


def _sizes(model: Model) -> dict[str, int]:
    """The number of parameters in each top-level layer."""
    return {name: parameters_of(layer) for name, layer in model.layers.items()}


def _relative_rates(model: Model) -> list[float]:
    """The learning rate of each top-level layer relative to the highest, 0 for those that are frozen or have no parameters."""
    rates = [
        max((p.learning_rate_multiplier for p in layer.parameters().values() if p.trainable), default=0.0)
        for layer in model.layers.values()
    ]
    return [rate / max(rates) for rate in rates]


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


def validation_score(record: dict) -> tuple[float, float]:
    """What runs are compared by: accuracy on the validation pictures and 0, or balanced accuracy with its standard error."""
    if "val_confusion" in record:
        return balanced_accuracy(np.array(record["val_confusion"]))
    return record["val_accuracy"], 0.0


def recommend(strategies: list[dict], classes: Sequence[str] = ()) -> tuple[str, str]:
    """The strategy to use and why: the cheapest of those within one standard error of the best on pictures that were held out.

    The standard error of an accuracy p on n pictures is sqrt(p (1 - p) / n); n counts the pictures of all splits that every
    strategy ran on. A smaller difference than that may be chance, and is not worth more training (Breiman, Friedman, Olshen,
    Stone 1984, "Classification and Regression Trees", section 3.4.3). The test pictures do not influence the choice; their
    accuracy is reported beside it.

    Where classes are uneven, runs have a ``val_confusion``, and balanced accuracy takes the place of accuracy: always
    answering the largest class would be right for most pictures, and of no use.

    Parameters
    ----------
    strategies : list of dict
        From cheap to expensive.
    classes : several str
        Names, which the sentence needs where classes are uneven.
    """
    common = min(len(strategy["runs"]) for strategy in strategies)
    scored = [_validated(strategy["runs"][:common]) for strategy in strategies]
    best, error = max(scored)
    chosen = next(i for i, (value, _) in enumerate(scored) if value >= best - error - 1e-9)
    others = "; ".join(
        f"{other['title']} {100 * value:.1f} % ± {100 * its_error:.1f}"
        for i, (other, (value, its_error)) in enumerate(zip(strategies, scored, strict=True))
        if i != chosen
    )
    value, its_error = scored[chosen]
    reason = "the best" if value == best else "the cheapest within one standard error of the best"
    is_balanced = "val_confusion" in strategies[0]["runs"][0]
    measure = ", as the mean over classes of the share that is recognised (they are uneven)" if is_balanced else ""
    sentence = (
        f"Recommended: {strategies[chosen]['title']}, {reason} on pictures that were held out, {100 * value:.1f} %"
        + (f" ± {100 * its_error:.1f}" if others else "")
        + measure
        + (f" ({others})" if others else "")
    )
    accuracy = f"{100 * strategies[chosen]['accuracy']['mean']:.1f} % of the test pictures right"
    if not is_balanced:
        return strategies[chosen]["key"], f"{sentence}; it got {accuracy}."
    return strategies[chosen][
        "key"
    ], f"{sentence}. Of the test pictures it recognised {_found(strategies[chosen], classes)}: {accuracy}."


def _validated(runs: Sequence[dict]) -> tuple[float, float]:
    """The mean of the runs' validation scores, and its standard error."""
    value = float(np.mean([validation_score(run)[0] for run in runs]))
    if "val_confusion" in runs[0]:
        return value, float(np.sqrt(np.mean([validation_score(run)[1] ** 2 for run in runs]) / len(runs)))
    return value, math.sqrt(value * (1 - value) / sum(run["val_pictures"] for run in runs))


def _found(strategy: dict, classes: Sequence[str]) -> str:
    """Of each class how many test pictures were recognised; of many classes, those of the worst."""
    confusion = summed_confusion(strategy)
    true, hits = confusion.sum(1), np.diag(confusion)
    listed = np.argsort(hits / np.maximum(true, 1), kind="stable")
    listed = listed[true[listed] > 0]
    words = [f"{hits[k]} of {true[k]} {classes[k]!r}" for k in listed[:3]]
    if len(listed) > 3:
        share = 100 * float(np.mean(hits[listed] / true[listed]))
        return f"{', '.join(words)} and more of all others, {share:.1f} % in the mean over classes"
    return " and ".join(words)


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


def majority_baseline(results: dict) -> tuple[float, float | None] | None:
    """Accuracy and balanced accuracy (0..1) of always predicting the most frequent class, without looking at a picture.

    Balanced accuracy is None where only one class is tested.
    """
    if not results["strategies"]:
        return None
    counts = np.sum([summed_confusion(strategy).sum(1) for strategy in results["strategies"]], axis=0)
    tested = np.count_nonzero(counts)
    return float(counts.max() / counts.sum()), 1 / tested if tested > 1 else None


def untested_classes(results: dict) -> list[str]:
    """Names of the classes of which no run tested a picture."""
    if not results["strategies"]:
        return []
    counts = np.sum([summed_confusion(strategy).sum(1) for strategy in results["strategies"]], axis=0)
    return [name for name, count in zip(results["data"]["classes"], counts, strict=True) if not count]


def worst_mistakes(strategy: dict | None) -> list[dict]:
    """The strategy's most confident mistakes over all its runs, each picture once, at most 12."""
    runs = strategy["runs"] if strategy else []
    first: dict[int, dict] = {}
    for mistake in sorted((m for run in runs for m in run.get("mistakes", ())), key=lambda m: -m["confidence"]):
        first.setdefault(mistake["index"], mistake)
    return list(first.values())[:MAX_MISTAKES]
