"""Is the advisor's advice any good? Checked against strategies that were carried out; and which of its scores mean something.

python lessons/laboratory/advisor.py [--quick] [--seeds N] [--out FOLDER]
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import transfer_tasks
from advisor_cells import (
    ANTS,
    CODE,
    QUICK_UNSEEN,
    SEEN,
    SMALL_NET,
    UNSEEN,
    Case,
    advice_on,
    case_linear,
    case_measurements,
    case_trained,
    imagenet_likeness,
    real_measurements,
    small_measurements,
)
from advisor_report import Checked, report
from lab import LABORATORY, Experiment
from pieces import Piece, Workshop, digest_of, piece
from scenario_plan import FULL, QUICK, SOURCE, Plan
from small_nets import pretrain
from strategies import Target, with_current_keys


def main(argv: Sequence[str] | None = None) -> None:
    experiment = Experiment.from_arguments(__file__, "The advisor, checked", seeds=3, quick_seeds=1, argv=argv)
    seen, unseen = ((), QUICK_UNSEEN) if experiment.quick else (SEEN, UNSEEN)
    for file in ("mnist", "fashion-mnist", ANTS):
        experiment.data(file)
    workshop, code = Workshop(), digest_of(CODE)
    grid, plan = scenarios(experiment)
    source = ""
    if any(cell["network"] == SMALL_NET for cell in grid) or any(case.network == SMALL_NET for case in seen + unseen):
        arguments = {"data": "CIFAR-10", "classes": SOURCE, "most": plan.most, "per_class": plan.most[0], "recipe": plan.source}
        (found,) = workshop.run([piece("pretraining the small network", pretrain, **arguments, seed=0)], in_words)
        source = found["file"]
    checked = check_scenarios(grid, plan, source, workshop, code)
    for cases in (seen, unseen):
        checked += check_cases(cases, source, experiment, workshop, code, cases is seen)
    report(experiment, checked, likeness(experiment, workshop, code), workshop)


def scenarios(experiment: Experiment) -> tuple[list[dict], Plan]:
    """The cells that scenarios.py has measured, if it was run in the same form, quick or full, and its plan."""
    plan = QUICK if experiment.quick else FULL
    for folder in (experiment.out, LABORATORY / "out", LABORATORY.parents[1] / "docs" / "laboratory"):
        path = folder / "scenarios.json"
        if path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            if ("--quick" in found["command"]) == experiment.quick:
                print(f"the cells of {path}")
                return found["results"]["cells"], plan
    print("scenarios.py has left no scenarios.json of this form: its cells are not checked")
    return [], plan


# ---- the measurements


def check_scenarios(grid: list[dict], plan: Plan, source: str, workshop: Workshop, code: str) -> list[Checked]:
    """The cells of the four scenarios: their measured accuracies, and the advice on the same pictures."""
    work: dict = {}
    for number, cell in enumerate(grid):
        if cell["network"] == SMALL_NET:
            target = Target(cell["data"], tuple(cell["classes"]), cell["pictures_per_class"], plan.most)
            arguments: dict = {"compute": small_measurements, "source": source, "target": target}
        else:
            (target,) = [real.target for real in plan.real if real.target.data.removesuffix(".zip") == cell["data"]]
            arguments = {"compute": real_measurements, "target": target, "network": cell["network"]}
        title = f"measurements for {cell['network']}, {cell['data']}, {cell['pictures_per_class']} a class"
        work[number] = [piece(title, **arguments, seed=seed, code=code) for seed in cell["seeds"]]
    done = workshop.run_lists(work, in_words)
    checked = []
    for number, cell in enumerate(grid):
        strategies = with_current_keys(cell["strategies"])
        checked.append(
            Checked(
                f"{cell['network']}: {cell['data']}, {cell['pictures_per_class']} a class",
                {key: strategy["accuracies"] for key, strategy in strategies.items()},
                done[number][0].get("tests", plan.most[1] * len(cell["classes"])),
                [advice_on(found) for found in done[number]],
                [run["depth"] for run in strategies["svm"]["runs"]],
                seen=True,
            )
        )
    return checked


def check_cases(
    cases: Sequence[Case], source: str, experiment: Experiment, workshop: Workshop, code: str, seen: bool
) -> list[Checked]:
    """The cases of advisor_cells.py: every strategy carried out, and the advice on the same pictures.

    Those that are seen decide nothing any more, and are carried out for the first seed only.
    """
    seeds = experiment.seeds[:1] if seen else experiment.seeds
    work: dict[tuple, list[Piece]] = {}
    for case in cases:
        for strategy in case.trained:
            arguments = {"case": case, "source": source, "strategy": strategy, "code": digest_of(transfer_tasks.CODE)}
            work[case, strategy] = [piece(f"{case.title}: {strategy}", case_trained, seed=seed, **arguments) for seed in seeds]
        work[case, "linear"] = [
            piece(f"{case.title}: linear", case_linear, case=case, source=source, seed=seed) for seed in seeds
        ]
        work[case, "measurements"] = [
            piece(f"{case.title}: measurements", case_measurements, case=case, source=source, seed=seed, code=code)
            for seed in seeds
        ]
    done = workshop.run_lists(work, in_words)
    checked = []
    for case in cases:
        linear = done[case, "linear"]
        accuracies = {
            key: [result[codes]["test_accuracy"] for result in linear]
            for key, codes in (("svm", "last"), ("svm-earlier", "earlier"))
        }
        accuracies |= {key: [result["test_accuracy"] for result in done[case, key]] for key in case.trained}
        depth = [result["depth"] for result in linear]
        advice = [advice_on(found) for found in done[case, "measurements"]]
        checked.append(Checked(case.title, accuracies, linear[0]["tests"], advice, depth, seen))
    return checked


def likeness(experiment: Experiment, workshop: Workshop, code: str) -> dict[str, dict]:
    """Shift and confidence on ImageNet's own pictures, where those of the development data are at hand."""
    networks = ["efficientnet_lite0"] if experiment.quick else ["efficientnet_lite0", "squeezenet1_1_caffe"]
    experiment.data("imagenet-250.zip")
    pictures = 8 if experiment.quick else 100
    arguments = {"pictures": pictures, "code": code}
    pieces = [piece(f"{name} on ImageNet", imagenet_likeness, network=name, **arguments) for name in networks]
    return dict(zip(networks, workshop.run(pieces, in_words), strict=True))


def in_words(result: dict) -> str:
    """The result of a finished piece in a few words."""
    if "measurements" in result:
        return advice_on(result)["strategy"]
    if "last" in result:
        return f"last codes {100 * result['last']['test_accuracy']:.1f} %"
    return f"{100 * result['test_accuracy']:.1f} % of the test pictures" if "test_accuracy" in result else ""


if __name__ == "__main__":
    main()
