"""The CIFAR-10 speed run, one ingredient after the other: how many epochs and minutes to a given accuracy.

The trainings are those of ``python -m benchmarks.cifar_speedrun --ladder --muon``, each for a few epochs and for three times as
many; here they are drawn.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from minicnn.viz.style import WIDTH, styled

EPOCHS = (1, 3)


def rungs(results: dict) -> dict[str, list[dict]]:
    """The rows of each recipe, from the bare one on, by growing number of epochs."""
    rows = sorted(results["rows"], key=lambda row: row["epochs"])
    return {name: [row for row in rows if row["recipe"] == name] for name in dict.fromkeys(row["recipe"] for row in rows)}


@styled
def figure(results: dict) -> Figure:
    """A line for each recipe: test accuracy with six views over minutes of training."""
    drawn = Figure(figsize=(WIDTH, 3.6))
    axes = drawn.subplots()
    found = rungs(results)
    for i, (name, rows) in enumerate(found.items()):
        colour = None if name == "Muon" else str(0.8 - 0.8 * i / len(found))  # darker with each ingredient
        minutes, accuracies = ([row[key] for row in rows] for key in ("minutes", "with_views"))
        axes.plot(minutes, accuracies, "o-", color=colour, label=name)
    axes.set(xlabel="minutes of training", ylabel="test accuracy %, six views")
    axes.legend()
    return drawn


def table(results: dict) -> str:
    """Rows of the page: each recipe's minutes, accuracy, and accuracy with six views, by the epochs that the first one had."""
    found = rungs(results)
    epochs = [row["epochs"] for row in next(iter(found.values()))]
    titles = [f"{n} epoch{'s' * (n > 1)}: minutes | accuracy % | with six views %" for n in epochs]
    lines = [f"| recipe | {' | '.join(titles)} |", "| --- |" + " ---: |" * (3 * len(epochs))]
    for name, rows in found.items():
        measured = {row["epochs"]: f"{row['minutes']:.1f} | {row['accuracy']:.1f} | {row['with_views']:.1f}" for row in rows}
        lines.append(f"| {name} | {' | '.join(measured.get(n, ' | | ') for n in epochs)} |")
    return "\n".join(lines)
