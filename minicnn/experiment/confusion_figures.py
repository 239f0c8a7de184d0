"""Figures of the predictions: confusion matrices, and the mistakes as pictures."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.figure import Figure

from ..viz.mistakes import draw_mistakes
from ..viz.style import FAINT, INK, WIDTH, class_labels, text_width
from .results import recommended, row_percent, summed_confusion, worst_mistakes

MAX_NUMBERED_CLASSES = 12  # a confusion matrix of more has no room for numbers


def confusion(results: dict, pictures=None):
    """One confusion matrix a strategy, summed over seeds. Of many classes, or long names, the recommended one is large."""
    strategies = results["strategies"]
    if not strategies:
        return None
    classes, best = results["data"]["classes"], recommended(results)
    labels, K = class_labels(classes, 20 if len(classes) <= MAX_NUMBERED_CLASSES else 24), len(classes)
    few = K <= 3 and max(map(text_width, labels)) <= 12
    large = [] if few else [best]
    small = [s for s in strategies if s not in large]
    columns = 2 if few else 3
    heights = [5.9 if K > 5 else 4.6] * len(large) + [2.75] * -(-len(small) // columns)
    figure = Figure(figsize=(WIDTH, sum(heights)))
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, strategy in zip(parts, large, strict=False):
        _matrix(part.add_subplot(), strategy, labels)
    for k, part in enumerate(parts[len(large) :]):
        row = small[k * columns : (k + 1) * columns]
        grid = part.subplots(1, columns, squeeze=False)[0]
        for axes, strategy in zip(grid, row, strict=False):
            _matrix(axes, strategy, labels, beside_large=bool(large))
        for axes in grid[len(row) :]:
            axes.remove()
    summed = summed_confusion(best)
    found, is_tested = np.diag(row_percent(summed)), summed.sum(1) > 0
    right = [
        f"{name} {share:.0f} %" if tested else f"{name} not tested"
        for name, share, tested in zip(classes, found, is_tested, strict=True)
    ][:MAX_NUMBERED_CLASSES]
    alt = f"Confusion matrices. {best['title']}, share of each class found: " + ", ".join(right)
    alt += f" and {K - len(right)} more." if len(right) < K else "."
    has_numbers = K <= MAX_NUMBERED_CLASSES
    caption = (
        "Rows are the true classes, columns the answers; " + ("percentages" if has_numbers else "shades") + " are of the row"
    )
    caption += "; counts are summed over seeds." if has_numbers and max(len(s["runs"]) for s in strategies) > 1 else "."
    if large and small:
        caption += " The small matrices have their classes in the order of the large one."
    if not is_tested.all():
        caption += " Grey rows: no picture of the class was tested."
    if not has_numbers:
        caption += " The darker the diagonal, the better; a dark cell beside it is a pair that is often confused."
    return figure, alt, caption


def _matrix(axes, strategy: dict, labels: list[str], beside_large: bool = False) -> None:
    """One confusion matrix, shaded by row percentage. Beside a large one it goes without class names and counts."""
    matrix = summed_confusion(strategy)
    percent, K = row_percent(matrix), len(labels)
    is_tested = matrix.sum(1) > 0
    shades = np.ma.masked_array(percent, np.broadcast_to(~is_tested[:, None], percent.shape))
    axes.imshow(shades, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    axes.set_facecolor(FAINT)  # shows through where nothing was tested
    axes.grid(False)
    axes.set_title(textwrap.fill(strategy["title"], 28 if beside_large else 40))
    axes.set(xlabel="predicted class", ylabel="true class", xticks=[], yticks=[])
    if not beside_large:
        _name_classes(axes, labels)
    if K > MAX_NUMBERED_CLASSES:
        return
    size = (8 if K <= 5 else 5) if beside_large else 9 if K <= 5 else 7
    for i in np.flatnonzero(~is_tested):
        axes.text((K - 1) / 2, i, "not tested", ha="center", va="center", size=size, color=INK)
    for (i, j), share in np.ndenumerate(percent):
        if not is_tested[i]:
            continue
        text = f"{share:.0f}" if beside_large else f"{matrix[i, j]}\n{share:.0f} %"
        axes.text(j, i, text, ha="center", va="center", size=size, color="white" if share > 55 else INK)


def _name_classes(axes, labels: list[str]) -> None:
    """Class names along both sides, as many as there is room for."""
    K = len(labels)
    step = -(-K // 50)
    size = 9 if K <= 5 else 8 if K <= 20 else 5.5
    axes.set_yticks(range(0, K, step), labels[::step], size=size)
    upright = K <= 3 and max(map(text_width, labels)) <= 12
    axes.set_xticks(range(0, K, step), labels[::step], size=size, rotation=0 if upright else 90)
    axes.tick_params(length=0)


def mistakes(results: dict, pictures):
    """The most confident mistakes of the recommended strategy, as pictures."""
    best = recommended(results)
    worst = worst_mistakes(best)
    if not worst:
        return None
    figure = draw_mistakes(pictures, worst, results["data"]["classes"], best["title"])
    described = [f"{m['true']} taken for {m['predicted']}" for m in worst]
    alt = (
        f"The {len(worst)} most confident mistakes of {best['title']}: "
        if len(worst) > 1
        else f"The mistake of {best['title']}: "
    )
    caption = "Wrong answers that the network was most sure of. Look here first for wrong labels."
    return figure, alt + ", ".join(described) + ".", caption
