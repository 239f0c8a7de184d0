"""Questions that the table, the figures and the page all ask of an experiment's results."""

from __future__ import annotations

import numpy as np

MAX_MISTAKES = 12


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


def always_the_same_answer(results: dict) -> tuple[float, float] | None:
    """Accuracy and balanced accuracy (0..1) of always answering the most frequent class: what is reached without looking."""
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
