"""Accuracy over the learning rate: too small learns nothing new, too large destroys what was learnt before.

python lessons/laboratory/learning_rates.py [--quick] [--seeds N] [--out FOLDER]
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from lab import Experiment, mean_and_interval, percent
from pairs import Difference, difference, words
from pieces import Workshop, piece
from scenario_plan import FULL, QUICK, SOURCE, TARGETS, Plan
from small_data import CIFAR, Pictures, small_pictures
from small_nets import Recipe, accuracy, pretrain, small_net, train, with_head

from minicnn.course.workbench import BLUE, GREY, ORANGE
from minicnn.inference.batches import infer
from minicnn.inference.fusion import fuse
from minicnn.linear_model.softmax_regression import SoftmaxRegression
from minicnn.models.model import Model

STARTS = {"pretrained": ORANGE, "random": BLUE}
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
PER_CLASS = 50  # new pictures of each class to fine-tune on
PROBED = 200  # old pictures of each class, for the classifier that asks what the features still know


# ---- the measurements


def fine_tuned(plan: Plan, source: str, start: str, recipe: Recipe, per_class: int, seed: int) -> dict:
    """Train all layers on new classes, from one start at one rate (a `Piece`).

    Returns the test accuracy on the new classes, the accuracy of a linear classifier on the features for the old ones, and how
    far the weights of the convolutions have moved, as a share of their length.
    """
    pictures = small_pictures(*TARGETS["similar"], plan.most).draw(per_class, seed)
    model = begin(source, start, len(pictures.classes), seed)
    before = convolutions(model)
    train(model, recipe, pictures.x, pictures.y, seed)
    return {
        "test_accuracy": accuracy(model, pictures.x_test, pictures.y_test),
        "old_classes": probe(model, small_pictures("CIFAR-10", SOURCE, plan.most), min(PROBED, plan.most[0]), seed),
        "moved": float(np.linalg.norm(convolutions(model) - before) / np.linalg.norm(before)),
    }


def untouched(plan: Plan, source: str, start: str, per_class: int, seed: int) -> dict:
    """The accuracy of a linear classifier on the features of one start as they are, for new and for old classes (a `Piece`)."""
    new = small_pictures(*TARGETS["similar"], plan.most)
    model = begin(source, start, len(new.classes), seed)
    old = small_pictures("CIFAR-10", SOURCE, plan.most)
    return {
        "test_accuracy": probe(model, new, per_class, seed),
        "old_classes": probe(model, old, min(PROBED, plan.most[0]), seed),
    }


def begin(source: str, start: str, classes: int, seed: int) -> Model:
    """The pretrained network with a new head; or a random one, with the same preprocessing."""
    model = with_head(source, classes, seed)
    return model if start == "pretrained" else small_net(classes, model.preprocessing, rng=seed)


def convolutions(model: Model) -> np.ndarray:
    """All weights of convolutions, in one row."""
    return np.concatenate([p.value.ravel() for name, p in model.parameters().items() if name.endswith("conv.w")])


def probe(model: Model, pictures: Pictures, per_class: int, seed: int) -> float:
    """Test accuracy of softmax regression on the network's codes, trained on some pictures of each class."""
    drawn = pictures.draw(per_class, seed)
    lower = fuse(model.cut("pool"))

    def codes(x: np.ndarray) -> np.ndarray:
        return infer(lower, len(x), lambda rows: model.preprocessing.normalise(x[rows]))

    return SoftmaxRegression().fit(codes(drawn.x), drawn.y).score(codes(drawn.x_test), drawn.y_test)


# ---- the experiment


def main(argv: Sequence[str] | None = None) -> None:
    experiment = Experiment.from_arguments(__file__, "Learning rates for fine-tuning", seeds=5, argv=argv)
    experiment.data(CIFAR)
    plan, rates, epochs, per_class = (QUICK, RATES[::4], 2, 20) if experiment.quick else (FULL, RATES, 30, PER_CLASS)
    workshop = Workshop()
    arguments = {"data": "CIFAR-10", "classes": SOURCE, "most": plan.most, "per_class": plan.most[0]}
    (source,) = workshop.run(
        [piece("pretraining", pretrain, **arguments, recipe=plan.source, seed=0)], lambda r: f"{100 * r['test_accuracy']:.1f} %"
    )
    common = {"plan": plan, "source": source["file"], "per_class": per_class}

    def shown(result: dict) -> str:
        return f"new classes {100 * result['test_accuracy']:.1f} %, old {100 * result['old_classes']:.1f} %"

    work = {
        start: [
            piece(f"{start}, untouched, seed {seed}", untouched, **common, start=start, seed=seed) for seed in experiment.seeds
        ]
        for start in STARTS
    }
    for seed in experiment.seeds:
        for rate in rates:
            for start in STARTS:
                recipe = Recipe(epochs, rate, batch_size=32)
                job = piece(f"{start}, rate {rate:g}, seed {seed}", fine_tuned, **common, start=start, recipe=recipe, seed=seed)
                work.setdefault((start, rate), []).append(job)
    report(experiment, source, rates, epochs, per_class, workshop.run_lists(work, shown), workshop)


# ---- the page


def report(
    experiment: Experiment, source: dict, rates: Sequence[float], epochs: int, per_class: int, runs: dict, workshop: Workshop
) -> None:
    def values(key, metric: str = "test_accuracy") -> list[float]:
        return [result[metric] for result in runs[key]]

    data, classes = TARGETS["similar"]
    experiment.text(
        "The lecture: fine-tune with a small learning rate, because the pretrained weights are good already and large steps "
        f"destroy them. Here a small network that knows {words(SOURCE)} ({100 * source['test_accuracy']:.1f} % right) learns "
        f"{words(classes)} from {per_class} pictures of each ({data}, JPEG, quality 75), all layers at one rate: {epochs} "
        "epochs of AdamW in batches of 32, one cycle with the rate as its maximum, mirrored and moved pictures. The same "
        "network is trained from a random start. The last weights count, nothing is chosen."
    )
    experiment.text(
        "Two things show what becomes of the pretrained features. How far the weights of the convolutions move, as a share of "
        f"their length. And what is left of the *old* classes: a linear classifier is trained on the features, on up to "
        f"{PROBED} pictures of each old class, and tested on others. Fine-tuning never sees these classes."
    )
    experiment.figure(
        draw(rates, runs), "Accuracy on the new classes, what is left of the old ones, and how far the weights moved"
    )
    rows = []
    for rate in rates:
        cells = [percent(values((start, rate))) for start in STARTS]
        gain = difference(values(("pretrained", rate)), values(("random", rate)))
        moved = np.mean(values(("pretrained", rate), "moved"))
        rows.append([f"{rate:g}", *cells, gain, percent(values(("pretrained", rate), "old_classes")), f"{100 * moved:.1f}"])
    kept = [percent(values(start)) for start in STARTS]
    rows.append(["features as they are", *kept, difference(*(values(start) for start in STARTS))])
    rows[-1] += [percent(values("pretrained", "old_classes")), "0"]
    header = ["rate", "pretrained %", "random %", "difference, points", "old classes, linear %", "moved by % of their length"]
    experiment.table(header, rows)
    experiment.text(
        "Test accuracies, mean ± half of the 95 % interval over seeds; differences seed by seed. The last row has a linear "
        "classifier on the features of either start, before any fine-tuning."
    )
    experiment.text("## What held\n\n" + "\n".join(f"- {claim}" for claim in claims(rates, values)))
    experiment.text(workshop.describe())
    curves = [{"start": key[0], "rate": key[1], "runs": found} for key, found in runs.items() if isinstance(key, tuple)]
    experiment.finish({"source": source, "curves": curves, "untouched": {start: runs[start] for start in STARTS}})


def claims(rates: Sequence[float], values) -> list[str]:
    """What the lecture says of small and large rates, and what was found."""

    def against_best(start: str, rate: float) -> Difference:
        return difference(values((start, rate)), values((start, best[start])))

    best = {start: max(rates, key=lambda rate, start=start: np.mean(values((start, rate)))) for start in STARTS}
    tuned = best["pretrained"]
    small, large = against_best("pretrained", rates[0]), against_best("pretrained", rates[-1])
    good = [rate for rate in rates if against_best("pretrained", rate).sign >= 0]
    gain = difference(values(("pretrained", tuned)), values("pretrained"))
    found = [
        f"**Too small**: {small} points at {rates[0]:g} against the best rate, {tuned:g}: "
        + ("surely worse; the new head has hardly begun to learn." if small.sign < 0 else "not surely worse here."),
        f"**Too large**: {large} points at {rates[-1]:g} against the best: "
        + ("surely worse." if large.sign < 0 else "not surely worse here."),
        f"Not surely worse than the best: {words([f'{rate:g}' for rate in good])}. The best from random: {best['random']:g}.",
    ]
    ahead = [difference(values(("pretrained", rate)), values(("random", rate))) for rate in rates]
    cliff = next((rate for rate, d in zip(rates, ahead, strict=True) if rate > tuned and d.sign <= 0), None)
    found.append(
        "**The cliff**: "
        + (
            f"from {cliff:g} on the pretrained start is no longer surely better than a random one."
            if cliff
            else f"not reached: at {rates[-1]:g} the pretrained start is still ahead by {ahead[-1]} points."
        )
    )
    intact, floor = np.mean(values("pretrained", "old_classes")), np.mean(values("random", "old_classes"))
    left = [np.mean(values(("pretrained", rate), "old_classes")) for rate in (tuned, rates[-1])]
    lost = difference(values(("pretrained", rates[-1]), "old_classes"), values("pretrained", "old_classes"))
    found.append(
        f"**Destroyed**: of the old classes a linear classifier names {100 * intact:.1f} % rightly before fine-tuning, "
        f"{100 * left[0]:.1f} % after it at {tuned:g}, {100 * left[1]:.1f} % at {rates[-1]:g} ({lost} points; random features: "
        f"{100 * floor:.1f} %). " + ("The features are surely worse." if lost.sign < 0 else "Not surely worse.")
    )
    found.append(
        f"Fine-tuning at the best rate against a linear classifier on the features as they are: {gain} points, "
        + {1: "surely better.", 0: "no sure difference.", -1: "surely worse."}[gain.sign]
        + " (The best rate is the best on these very test pictures, so the gain is a little flattered.)"
    )
    return found


def draw(rates: Sequence[float], runs: dict) -> plt.Figure:
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
    panels = (
        ("test_accuracy", "New classes", "test accuracy, %"),
        ("old_classes", "Old classes, by a linear classifier", "test accuracy, %"),
        ("moved", "Distance moved by the convolutions", "% of their length"),
    )
    for ax, (metric, title, label) in zip(axes, panels, strict=True):
        for start, colour in STARTS.items():
            points = [mean_and_interval([100 * result[metric] for result in runs[start, rate]]) for rate in rates]
            mean, half = np.array(points).T
            ax.errorbar(rates, mean, np.nan_to_num(half), color=colour, marker="o", ms=4, capsize=2, label=f"{start} start")
            if metric != "moved":
                level = np.mean([100 * result[metric] for result in runs[start]])
                ax.axhline(level, color=colour, ls=":", lw=1, label=f"{start} features as they are, linear")
        ax.set(xscale="log", xlabel="learning rate (log)", ylabel=label)
        ax.set_title(title, loc="left")
    axes[2].set_yscale("log")
    axes[2].axhline(100, color=GREY, lw=0.8)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    return figure


if __name__ == "__main__":
    main()
