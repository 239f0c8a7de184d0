"""Pretrained against a random start: accuracy over epochs and seconds, with little data and with plenty.

Run it with ``python lessons/laboratory/scratch.py [--quick] [--seeds N] [--out FOLDER]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import numpy as np
from lab import Experiment, mean_and_interval, percent
from pairs import difference, words
from pieces import Piece, Workshop, piece
from scenario_plan import FULL, QUICK, SOURCE, TARGETS
from small_data import CIFAR, decode_cifar, small_pictures
from small_nets import Recipe, accuracy, pretrain, small_net, train, with_head

from minicnn.course.workbench import BLUE, ORANGE

STARTS = {"pretrained": ORANGE, "random": BLUE}
RATES = (0.001, 0.003)
HELD_OUT = 200  # validation pictures of each class, from the end of the training pool


@dataclass(frozen=True)
class Amount:
    """How much data there is, and how long to train on it.

    Attributes
    ----------
    per_class : int
        Training pictures of each class.
    passes : int
        Over the training pictures, between two looks at the validation pictures: several, where one takes less than a second.
    looks : int
        How many looks there are.
    tried : int
        Looks until the learning rate is chosen.
    """

    per_class: int
    passes: int
    looks: int
    tried: int
    batch_size: int

    @property
    def title(self) -> str:
        return f"{self.per_class} pictures a class"


def follow(source: str, most: tuple[int, int], amount: Amount, start: str, rate: float, looks: int, seed: int) -> dict:
    """Train from one start and look at the validation pictures on the way (a `Piece`).

    Returns accuracies and seconds (since the start) after each look, and the test accuracy of the best look's weights.
    """
    pool = small_pictures(*TARGETS["similar"], most)
    held_out = _last_of_each_class(pool.y, min(HELD_OUT, most[0] // 4))
    rest = np.setdiff1d(np.arange(len(pool.y)), held_out)
    pictures = replace(pool, x=pool.x[rest], y=pool.y[rest]).draw(amount.per_class, seed)
    model = with_head(source, len(pool.classes), seed)
    if start == "random":
        model = small_net(len(pool.classes), model.preprocessing, rng=seed)
    recipe = Recipe(looks, rate, amount.batch_size, anneal=False)
    again = np.tile(np.arange(len(pictures.x)), amount.passes)
    history = train(model, recipe, pictures.x[again], pictures.y[again], seed, watch=(pool.x[held_out], pool.y[held_out]))
    return {
        "val_accuracy": [epoch["val_accuracy"] for epoch in history.epochs],
        "seconds": list(np.cumsum([epoch["seconds"] for epoch in history.epochs])),
        "test_accuracy": accuracy(model, pool.x_test, pool.y_test),
    }


def _last_of_each_class(y: np.ndarray, number: int) -> np.ndarray:
    return np.sort(np.concatenate([np.flatnonzero(y == label)[-number:] for label in np.unique(y)]))


def main(argv: Sequence[str] | None = None) -> None:
    experiment = Experiment.from_arguments(__file__, "Pretrained against a random start", seeds=3, argv=argv)
    experiment.data(CIFAR)
    if experiment.quick:
        plan, rates = QUICK, RATES[:1]
        amounts = [Amount(5, 2, 3, 1, 16), Amount(40, 1, 3, 1, 32)]
    else:
        plan, rates = FULL, RATES
        amounts = [Amount(50, 8, 30, 8, 32), Amount(3000, 1, 12, 3, 64)]
    decode_cifar(plan.most)
    workshop = Workshop()
    arguments = {"data": "CIFAR-10", "classes": SOURCE, "most": plan.most, "per_class": plan.most[0]}
    (source,) = workshop.run(
        [piece("pretraining", pretrain, **arguments, recipe=plan.source, seed=0)], lambda r: f"{100 * r['test_accuracy']:.1f} %"
    )

    def job(amount: Amount, start: str, rate: float, looks: int, seed: int) -> Piece:
        title = f"{amount.title}, {start}, rate {rate:g}, {looks * amount.passes} passes, seed {seed}"
        arguments = {
            "source": source["file"],
            "most": plan.most,
            "amount": amount,
            "start": start,
            "rate": rate,
            "looks": looks,
        }
        return piece(title, follow, **arguments, seed=seed)

    def shown(result: dict) -> str:
        return f"validation {100 * result['val_accuracy'][-1]:.1f} %"

    trials = workshop.run_lists(
        {
            (amount, start, rate): [job(amount, start, rate, amount.tried, experiment.seeds[0])]
            for amount in reversed(amounts)
            for start in STARTS
            for rate in rates
        },
        shown,
    )
    chosen = {
        (amount, start): max(rates, key=lambda rate, at=(amount, start): trials[(*at, rate)][0]["val_accuracy"][-1])
        for amount in amounts
        for start in STARTS
    }
    runs = workshop.run_lists(
        {key: [job(*key, chosen[key], key[0].looks, seed) for seed in experiment.seeds] for key in reversed(chosen)}, shown
    )
    report(experiment, source, amounts, chosen, runs, workshop)


# ---- the page


def report(experiment, source: dict, amounts: list[Amount], chosen: dict, runs: dict, workshop: Workshop) -> None:
    data, classes = TARGETS["similar"]
    experiment.text(
        "A slide of the lecture compares training from scratch with fine-tuning. He, Girshick and Dollár (2018, *Rethinking "
        "ImageNet pre-training*) found that pretraining makes training *shorter*, and that a network which starts at random "
        "and trains long enough reaches the same accuracy, if there are enough data; with too few it does not. Both halves "
        "of the statement are measured here."
    )
    experiment.text(
        f"The task: {words(classes)} of {data} (JPEG, quality 75). The pretrained network knows {words(SOURCE)}; learning "
        f"those took {source['seconds'] / 60:.1f} minutes on one core. The only difference between the two is where the "
        "weights below the new classifier start: network, normalisation, mirrored and moved pictures, AdamW with a constant "
        "rate are the same, and what counts is the mean of the weights over about the last 200 steps, which is good at any "
        "moment of a training, however long it is to become. The rate is the better of "
        f"{words([f'{rate:g}' for rate in RATES])} on held-out validation pictures ({HELD_OUT} of each class) after a "
        "quarter of the training, for each start and amount of data. The curves are of the validation pictures; the test "
        "part is looked at once, at the end."
    )
    experiment.figure(
        draw(amounts, runs, source["seconds"]), "Accuracy on validation pictures over passes through the data, and over seconds"
    )
    rows, sentences = [], []
    for amount in amounts:
        pretrained, random = (runs[amount, start] for start in STARTS)
        for start, results in zip(STARTS, (pretrained, random), strict=True):
            tests = percent([result["test_accuracy"] for result in results])
            seconds = np.mean([result["seconds"][-1] for result in results])
            rows.append(
                [amount.title, start, f"{chosen[amount, start]:g}", amount.looks * amount.passes, f"{seconds:.0f}", tests]
            )
        first, last = (
            difference(*([r["val_accuracy"][at] for r in results] for results in (pretrained, random))) for at in (0, -1)
        )
        test = difference([r["test_accuracy"] for r in pretrained], [r["test_accuracy"] for r in random])
        verdict = {
            1: "the random start stays behind",
            0: "it has caught up, as far as can be told",
            -1: "the random start is ahead",
        }
        sentences.append(
            f"- **{amount.title}**: the pretrained start is ahead by {first} points on the validation pictures after "
            f"{amount.passes} {'pass' if amount.passes == 1 else 'passes'} and by {last} after "
            f"{amount.looks * amount.passes}; on the test part, at the end, by {test}: "
            + (verdict[test.sign] if test.known else "one seed cannot tell")
            + "."
        )
    experiment.table(["data", "start", "rate", "passes", "seconds", "test accuracy %"], rows)
    experiment.text("Mean ± half of the 95 % interval over seeds; differences seed by seed.\n\n" + "\n".join(sentences))
    experiment.text(
        "## Time to a given accuracy\n\nThe first look at which the mean over seeds has reached it, in seconds on one core."
    )
    table = times(amounts, runs)
    experiment.table(
        ["data", "validation accuracy", "pretrained: passes", "seconds", "random: passes", "seconds", "ratio"], table
    )
    experiment.text(
        f"The {source['seconds']:.0f} seconds of pretraining are not in these times: they are paid once, and by whoever "
        "publishes the weights."
    )
    experiment.text(workshop.describe())
    results = [
        {
            "pictures_per_class": amount.per_class,
            "start": start,
            "rate": chosen[amount, start],
            "passes": amount.passes,
            "runs": found,
        }
        for (amount, start), found in runs.items()
    ]
    experiment.finish({"source": source, "curves": results})


def mean_curve(results: list[dict], metric: str) -> np.ndarray:
    """The mean over seeds after each look."""
    return np.mean([result[metric] for result in results], axis=0)


def first_reached(curve: Sequence[float], level: float) -> int | None:
    """Index of the first point at or above a level.

    >>> first_reached([0.5, 0.7, 0.6, 0.8], 0.7), first_reached([0.5], 0.7)
    (1, None)
    """
    reached = np.flatnonzero(np.asarray(curve) >= level)
    return int(reached[0]) if len(reached) else None


def times(amounts: list[Amount], runs: dict) -> list[list[str]]:
    """Rows of the table: when each start reached each multiple of 5 % between the lowest first look and the highest."""
    rows = []
    for amount in amounts:
        curves = {start: mean_curve(runs[amount, start], "val_accuracy") for start in STARTS}
        seconds = {start: mean_curve(runs[amount, start], "seconds") for start in STARTS}
        top, bottom = max(curve.max() for curve in curves.values()), min(curve[0] for curve in curves.values())
        for level in np.arange(np.ceil(20 * bottom), np.floor(20 * top) + 1) / 20:
            row, taken = [amount.title, f"{100 * level:.0f} %"], []
            for start in STARTS:
                at = first_reached(curves[start], level)
                row += ["-", "not reached"] if at is None else [str((at + 1) * amount.passes), f"{seconds[start][at]:.1f}"]
                taken.append(None if at is None else seconds[start][at])
            rows.append([*row, "" if None in taken else f"{taken[1] / taken[0]:.1f}"])
    return rows


def draw(amounts: list[Amount], runs: dict, pretraining: float) -> plt.Figure:
    """A column for each amount of data: accuracy over passes above, over seconds below, with bands of 95 % over seeds."""
    figure, axes = plt.subplots(2, len(amounts), figsize=(9, 6.4), layout="constrained", sharey="col")
    for column, amount in enumerate(amounts):
        above, below = axes[:, column]
        passes = amount.passes * np.arange(1, amount.looks + 1)
        for start, colour in STARTS.items():
            results = runs[amount, start]
            looks = zip(*(100 * np.array(result["val_accuracy"]) for result in results), strict=True)
            values = np.array([mean_and_interval(look) for look in looks])
            mean, half = values[:, 0], np.nan_to_num(values[:, 1])
            seconds = mean_curve(results, "seconds")
            for ax, x in ((above, passes), (below, seconds)):
                ax.plot(x, mean, color=colour, marker="o", markersize=3, label=f"{start} start")
                ax.fill_between(x, mean - half, mean + half, color=colour, alpha=0.2, linewidth=0)
            if start == "pretrained":
                label = "pretrained start, with the time of pretraining"
                below.plot(seconds + pretraining, mean, color=colour, linestyle=":", marker="o", markersize=2, label=label)
        above.set_title(amount.title, loc="left")
        above.set_xlabel("passes through the training pictures")
        below.set(xlabel="seconds of training on one core", xscale="log")
        below.xaxis.set_major_formatter("{x:g}")
        below.xaxis.set_minor_formatter("")
        for ax in (above, below):
            ax.grid(axis="y", color="#e4e4e4")
            ax.set_ylabel("validation accuracy, %" if column == 0 else "")
    handles, labels = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
    return figure


if __name__ == "__main__":
    main()
