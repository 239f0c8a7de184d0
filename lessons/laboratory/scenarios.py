"""The four scenarios of transfer learning, measured: new data small or large, similar to the old or different, five strategies.

Run it with ``python lessons/laboratory/scenarios.py [--quick] [--seeds N] [--out FOLDER]``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lab import Experiment, percent
from pairs import words
from pieces import Workshop
from quadrants import Cell, accuracy_by_depth, accuracy_by_size, judge, quadrant_map
from real_strategies import NETWORK
from scenario_cells import real_cells, small_cells
from scenario_plan import BODY, FULL, QUICK, SOURCE, Plan
from small_data import FILES, decode_cifar
from strategies import TITLES


def main(argv: Sequence[str] | None = None) -> None:
    experiment = Experiment.from_arguments(__file__, "The four scenarios, measured", seeds=5, quick_seeds=1, argv=argv)
    plan = QUICK if experiment.quick else FULL
    for file in (*FILES.values(), "ants-bees.zip"):
        experiment.data(file)
    decode_cifar(plan.most)
    workshop = Workshop()
    cells, source = small_cells(plan, experiment.seeds, workshop)
    real = real_cells(plan, experiment.seeds, workshop)
    report(experiment, plan, cells, real, source, workshop)


def report(experiment: Experiment, plan: Plan, cells: list[Cell], real: list[Cell], source: dict, workshop: Workshop) -> None:
    experiment.text(
        "The lecture (CS231n) names four scenarios: the new data are few or many, and like the old or unlike them; for each "
        "it recommends what to do with a pretrained network. Here every strategy is measured in every scenario. The "
        f"pretrained network is a small one of our own, trained on {plan.most[0]} pictures each of five classes of CIFAR-10 "
        f"({words(SOURCE)}), of which it names {100 * source['test_accuracy']:.1f} % of the test pictures rightly after "
        f"{source['seconds'] / 60:.1f} minutes on one core. Its last convolution gives 128 numbers a picture. (CIFAR-10 as "
        "JPEG pictures, quality 75.)"
    )
    experiment.text(
        "\n".join(
            [
                "- **similar**: the other five classes of CIFAR-10. The same kind of pictures, animals and vehicles in both "
                "halves, and most new classes have a relative among the old ones (horse and deer, truck and automobile, ship "
                "and airplane).",
                "- **different**: five garments of Fashion-MNIST: T-shirt, pullover, dress, coat, shirt. Grey, without "
                "background, and unlike anything in the old data. These five are the ones that are hard to tell apart; with "
                "shoes and bags among them every strategy would name most pictures rightly.",
                *(f"- **{name}**: {size.per_class} training pictures of each class." for name, size in plan.sizes.items()),
                "- The real-world row: EfficientNet-Lite0 (ImageNet), at reduced size, on photos of ants and bees (few, and "
                "similar: ImageNet has many insects) and, in the full form, on grey electroluminescence pictures of solar "
                "cells (some thousand, and different).",
            ]
        )
    )
    experiment.text(
        "Each seed draws its training pictures, the same for all strategies; the test part is the same for all. Layers, "
        "regularisation and learning rates are chosen on a fifth of the training pictures, by cross-validation where there "
        "are few; then each strategy is applied to all training pictures and tested once. Linear classifiers get the codes "
        "of each picture as it is and mirrored. All that train layers use AdamW with one cycle, mirrored and moved "
        f"pictures; pretrained layers get {BODY:g} of the new classifier's rate. From scratch gets the same, its own "
        "normalisation, and twice the epochs."
    )
    table = []
    for cell in cells + real:
        for key, runs in cell.runs.items():
            mark, place = " ★" if key == cell.recommended else "", cell.title if key == "svm" else ""
            row = [place, TITLES[key] + mark, len(runs), percent(cell.accuracies(key))]
            table.append([*row, f"{cell.seconds(key):.0f}", cell.chosen[key]])
    experiment.table(["scenario", "strategy", "seeds", "test accuracy %", "seconds", "chosen on validation"], table)
    experiment.text("Mean ± half of the 95 % interval over seeds; ★ what the lecture recommends; seconds on one core.")
    experiment.figure(quadrant_map(cells + real), "The quadrant map, filled with measured accuracies")

    verdicts = [judge(cell) for cell in cells if cell.recommended]
    held = sum(verdict.held is True for verdict in verdicts)
    failed = sum(verdict.held is False for verdict in verdicts)
    experiment.text(
        f"## Which recommendations held\n\nOf the lecture's {len(verdicts)} recommendations {held} held, {failed} did not, and "
        f"{len(verdicts) - held - failed} cannot be told. *Held* means: no other strategy was surely better, and it was surely "
        "better than some other. *Surely* means that the 95 % interval of the difference, seed by seed, does not contain 0; of "
        "twenty such statements one may be wrong. Differences in points."
    )
    experiment.text("\n".join(f"- {verdict}" for verdict in verdicts))
    for verdict in (judge(cell) for cell in real if cell.recommended):
        experiment.text(f"And with {NETWORK}: {verdict}")
    best = Counter(cell.best for cell in cells)
    times = [f"{TITLES[key]} in {number}" for key, number in best.most_common()]
    experiment.text(f"Of the {len(cells)} cells with the small network the best strategy was: {words(times)}.")
    rows = []
    for cell in sorted(cells, key=lambda cell: cell.similarity, reverse=True):
        pairs = [("finetune-all", "scratch"), ("finetune-all", "svm"), ("finetune-all", "svm-earlier"), ("svm-earlier", "svm")]
        name = f"{cell.similarity}, {cell.pictures_per_class} a class"
        rows.append([name, TITLES[cell.best], *(str(cell.difference(*pair)) for pair in pairs)])
    header = ["scenario", "best", "all - scratch", "all - last codes", "all - earlier codes", "earlier - last codes"]
    experiment.table(header, rows)
    experiment.figure(accuracy_by_size(cells), "Accuracy of each strategy over the number of training pictures", "sizes")
    experiment.text(
        "And by depth: linear SVMs on the codes of each layer. Solid: averaged over the whole picture; dashed: over each "
        "part of a grid, which keeps where in the picture something was (4 x 4 parts; 2 x 2 for EfficientNet-Lite0)."
    )
    experiment.text("\n".join(f"- {cell.title}: highest at {cell.best_codes()}." for cell in cells + real))
    experiment.figure(accuracy_by_depth(cells + real), "Accuracy of linear SVMs on the codes of each layer", "depth")
    experiment.text(workshop.describe())
    experiment.finish({"source": source | {"classes": SOURCE}, "cells": [cell.record() for cell in cells + real]})


if __name__ == "__main__":
    main()
