"""How transferable are features? The curves of Yosinski et al. 2014, at a size that a laptop trains.

Run it with ``python lessons/laboratory/transferability.py [--quick] [--seeds N] [--out FOLDER]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from lab import Experiment, mean_and_interval, percent
from pairs import Difference, difference
from pieces import Workshop, piece
from small_data import CIFAR, decode_cifar
from small_nets import LAYERS, Recipe
from yosinski import KINDS, Halves, train_base, train_copied

from minicnn.course.workbench import BLUE, INK, ORANGE

DEPTHS = range(1, len(LAYERS) + 1)
STYLES = {
    "BnB": {"color": BLUE, "marker": "o", "linestyle": "-"},
    "BnB+": {"color": "#8fc0ee", "marker": "s", "linestyle": "--"},
    "AnB": {"color": ORANGE, "marker": "D", "linestyle": "-"},
    "AnB+": {"color": "#f0b48a", "marker": "^", "linestyle": "--"},
}
MEANING = {
    "BnB": "from B, frozen (selffer)",
    "BnB+": "from B, fine-tuned",
    "AnB": "from A, frozen (transfer)",
    "AnB+": "from A, fine-tuned",
}


@dataclass
class Curves:
    """Test accuracies on half B, one a seed.

    Attributes
    ----------
    base : list of float
        Of baseB, which is n = 0 of all four curves.
    at : dict
        By (kind, n).
    """

    base: list[float]
    at: dict[tuple[str, int], list[float]]

    def gain(self, kind: str, n: int) -> Difference:
        """Over baseB of the same seed."""
        return difference(self.at[kind, n], self.base)

    def mean_of(self, kind: str, depths: Sequence[int] = DEPTHS) -> list[float]:
        """Each seed's mean over several n."""
        return list(np.mean([self.at[kind, n] for n in depths], axis=0))


def main(argv: Sequence[str] | None = None) -> None:
    experiment = Experiment.from_arguments(__file__, "How transferable are features?", seeds=4, argv=argv)
    experiment.data(CIFAR)
    if experiment.quick:
        per_class, most, recipe = 40, (60, 40), Recipe(2, 0.01)
    else:
        per_class, most, recipe = 1500, (5000, 1000), Recipe(6, 0.01)
    decode_cifar(most)
    workshop = Workshop()
    halves = [Halves(seed, per_class, most, recipe) for seed in experiment.seeds]

    def shown(result: dict) -> str:
        return f"{100 * result['test_accuracy']:.1f} %"

    bases = workshop.run_lists(
        {half: [piece(f"seed {h.seed}: base{half}", train_base, halves=h, half=half) for h in halves] for half in "AB"}, shown
    )
    work = {
        (kind, n): [
            piece(f"seed {h.seed}: {kind.replace('n', str(n))}", train_copied, halves=h, kind=kind, n=n) for h in halves
        ]
        for n in DEPTHS
        for kind in reversed(KINDS)
    }
    copied = workshop.run_lists(work, shown)
    curves = Curves(
        [result["test_accuracy"] for result in bases["B"]],
        {key: [result["test_accuracy"] for result in results] for key, results in copied.items()},
    )
    report(experiment, curves, halves, bases, workshop)


# ---- the page


def report(experiment: Experiment, curves: Curves, halves: list[Halves], bases: dict, workshop: Workshop) -> None:
    recipe = halves[0].recipe
    experiment.text(
        "Yosinski, Clune, Bengio and Lipson (2014) cut networks for two halves of ImageNet's classes, A and B, after layer "
        "n, put a new upper part on the lower layers and trained it on B. If B's own layers, frozen, do worse than the "
        "whole network (BnB below baseB), layers had adapted to each other in ways that a new upper part does not find "
        "again: *fragile co-adaptation*. If A's layers do worse than B's own (AnB below BnB), they are *specific* to A. "
        "With + the copied layers are trained further."
    )
    experiment.text(
        "Here: CIFAR-10 (JPEG, quality 75) in two random halves of five classes, others for each seed; "
        f"{halves[0].per_class} training and {halves[0].most[1]} test pictures of each class; a network of five "
        "convolutions, 16 to 128 channels, with batch norm, and a linear classifier, which is always new. Every network "
        f"gets the same training: {recipe.epochs} epochs of AdamW, one cycle with a maximum of {recipe.learning_rate:g}, "
        f"batches of {recipe.batch_size}, mirrored pictures. Nothing is chosen by looking at the test part. Frozen batch "
        f"norms keep their statistics. (In the paper: a network of eight layers, without batch norm, on 645,000 pictures for "
        "each half, which took days for each training.)"
    )
    experiment.figure(draw(curves), "Accuracy on B over the number of copied layers; and against baseB of the same seed")
    rows = [["0 (baseB)", percent(curves.base), "", "", ""]]
    for n in DEPTHS:
        cells = [f"{percent(curves.at[kind, n])} ({curves.gain(kind, n)})" for kind in KINDS]
        rows.append([f"{n} ({LAYERS[n - 1]})", *cells])
    experiment.table(["n", *(f"{kind}, {MEANING[kind]}" for kind in KINDS)], rows)
    experiment.text(
        "Test accuracy on B in per cent, in brackets the difference to baseB of the same seed in points; mean ± half of the "
        f"95 % interval over seeds. baseA reaches {percent([result['test_accuracy'] for result in bases['A']])} % on its own "
        "half."
    )
    experiment.text("## What held\n\n" + "\n".join(f"- {claim}" for claim in claims(curves)))
    experiment.text(
        "*Surely* means: the 95 % interval over seeds of the difference does not contain 0. BnB+ is the control for AnB+: "
        "it has been trained for as long, but has seen no other classes."
    )
    experiment.text(workshop.describe())
    results = {
        "base": curves.base,
        "curves": {kind: {str(n): curves.at[kind, n] for n in DEPTHS} for kind in KINDS},
        "classes_of_A": [h.classes("A") for h in halves],
    }
    experiment.finish(results)


def claims(curves: Curves) -> list[str]:
    """What the paper found, and what was found here."""
    bottom, top = DEPTHS[0], DEPTHS[-1]
    selffer = {n: curves.gain("BnB", n) for n in DEPTHS}
    worst = min(DEPTHS, key=lambda n: selffer[n].mean)
    recovered = difference(curves.mean_of("BnB+"), curves.base)
    specific = {n: difference(curves.at["AnB", n], curves.at["BnB", n]) for n in DEPTHS}
    first = next((n for n in DEPTHS if all(specific[m].sign < 0 for m in range(n, top + 1))), None)
    lost = {kind: np.subtract(curves.at[kind, top], curves.at[kind, bottom]) for kind in ("AnB", "BnB")}
    steeper = difference(lost["AnB"], lost["BnB"])
    tuned = difference(curves.mean_of("AnB+"), curves.base)
    control = difference(curves.mean_of("AnB+"), curves.mean_of("BnB+"))
    return [
        f"**Frozen own layers do worse than the whole network, most of all in the middle** (BnB below baseB): "
        f"{_verdict(selffer[worst], -1)}. BnB is lowest at n = {worst} of {bottom} to {top}, {selffer[worst]} points against "
        "baseB.",
        f"**Training them on recovers what is lost** (BnB+ not below baseB): {_verdict(recovered, 0)}, {recovered} points in "
        "the mean over n.",
        f"**Layers of the other half are worse the higher they are** (AnB - BnB falls with n): {_verdict(steeper, -1)}, from "
        f"n = {bottom} to n = {top} by {steeper} points. AnB - BnB is "
        + ", ".join(f"{specific[n]} at n = {n}" for n in DEPTHS)
        + (f"; surely below 0 from n = {first} on." if first else "; not surely below 0 at the top."),
        f"**Transferred and trained on beats training on B alone** (AnB+ above baseB): {_verdict(tuned, 1)}, {tuned} points "
        f"in the mean over n. Against the control BnB+: {control}"
        + (", it is the other classes that help." if control.sign > 0 else ", so that longer training may be the reason."),
    ]


def _verdict(found: Difference, expected: int) -> str:
    """Whether a difference has the sign that the paper found; 0: it is not surely negative."""
    if not found.known:
        return "one seed cannot tell"
    held = found.sign == expected if expected else found.sign >= 0
    return "held" if held else "did not hold here" if found.sign else "not found here: the interval contains 0"


def draw(curves: Curves) -> plt.Figure:
    """Accuracies on the left as in the paper's figure 2, differences to baseB on the right."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.1), layout="constrained")
    base, half = mean_and_interval([100 * a for a in curves.base])
    left.errorbar(0, base, np.nan_to_num(half), color=INK, marker="o", markerfacecolor="white", capsize=3, label="baseB")
    left.axhline(base, color="#c8c8c8", linewidth=0.8, zorder=0)
    right.axhline(0, color="#c8c8c8", linewidth=0.8, zorder=0)
    for place, kind in enumerate(KINDS):
        moved = np.array(DEPTHS) + 0.07 * (place - 1.5)  # side by side, or the intervals hide each other
        values = np.array([mean_and_interval([100 * a for a in curves.at[kind, n]]) for n in DEPTHS])
        left.plot([0, *moved], [base, *values[:, 0]], label=f"{kind}: {MEANING[kind]}", **STYLES[kind])
        for x, n in zip(moved, DEPTHS, strict=True):
            left.plot(
                [x] * len(curves.base), [100 * a for a in curves.at[kind, n]], ".", color=STYLES[kind]["color"], markersize=3
            )
        gains = [curves.gain(kind, n) for n in DEPTHS]
        halves = np.nan_to_num([gain.half for gain in gains])
        right.errorbar(moved, [gain.mean for gain in gains], halves, capsize=3, **STYLES[kind])
    names = [f"{n}\n{LAYERS[n - 1]}" for n in DEPTHS]
    left.set(xlabel="layers copied, n", ylabel="test accuracy on B, %")
    right.set(xlabel="layers copied, n", ylabel="difference to baseB, points")
    left.set_xticks([0, *DEPTHS], ["0", *names])
    right.set_xticks(DEPTHS, names)
    left.set_title("Accuracy (small dots: single seeds)", loc="left")
    right.set_title("Against baseB of the same seed (95 % intervals)", loc="left")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8.5)
    return figure


if __name__ == "__main__":
    main()
