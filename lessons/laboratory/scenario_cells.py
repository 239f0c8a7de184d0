"""The measurements of the four scenarios: every cell of the map, strategy by strategy and seed by seed."""

from __future__ import annotations

import numpy as np
from pairs import words
from pieces import Workshop, piece
from quadrants import SMALL_NET, Cell
from real_strategies import NETWORK, real_linear, real_training
from scenario_plan import SOURCE, TARGETS, TRAINED, Plan
from small_nets import pretrain
from strategies import Target, linear_strategies, train_and_test, try_rate


def small_cells(plan: Plan, seeds: range, workshop: Workshop) -> tuple[list[Cell], dict]:
    """The map with the small network; and what the pretraining gave.

    From scratch needs no pretrained network: its learning rates are tried while that one is trained.
    """
    places = {
        (size, similarity): Target(*TARGETS[similarity], plan.sizes[size].per_class, plan.most)
        for size in reversed(plan.sizes)  # the longest first: at the end all cores are busy
        for similarity in TARGETS
    }
    arguments = {
        "data": "CIFAR-10",
        "classes": SOURCE,
        "most": plan.most,
        "per_class": plan.most[0],
        "recipe": plan.source,
        "seed": 0,
    }
    work = {("source",): [piece("pretraining the small network", pretrain, **arguments)]}
    done = workshop.run_lists(work | _trials(plan, places, seeds, "scratch", None), in_words)
    source = done[("source",)][0]
    rates = _best_rates(done)

    work = _trials(plan, places, seeds, "finetune-all", source["file"])
    work |= _trials(plan, places, seeds, "finetune-upper", source["file"])
    work |= _runs(plan, places, seeds, "scratch", None, rates)
    for place, target in places.items():
        size, title = plan.sizes[place[0]], ", ".join(place)
        arguments = {"source": source["file"], "target": target, "folds": size.folds}
        work[place, "linear"] = [
            piece(f"{title}: linear, seed {seed}", linear_strategies, **arguments, seed=seed) for seed in seeds[: size.seeds]
        ]
    done = workshop.run_lists(work, in_words)
    rates |= _best_rates(done)

    work = {}
    for strategy in ("finetune-all", "finetune-upper"):
        work |= _runs(plan, places, seeds, strategy, source["file"], rates)
    done |= workshop.run_lists(work, in_words)

    cells = []
    for place in [(size, similarity) for size in plan.sizes for similarity in TARGETS]:
        target, used = places[place], list(seeds[: plan.sizes[place[0]].seeds])
        cell = Cell(
            network=SMALL_NET,
            data=target.data,
            classes=list(target.classes),
            pictures_per_class=target.per_class,
            size=place[0],
            similarity=place[1],
            seeds=used,
        )
        add_linear(cell, done[place, "linear"])
        for strategy in TRAINED:
            cell.runs[strategy] = done[place, strategy]
            cell.chosen[strategy] = f"rate {rates[place, strategy]:g}"
        cells.append(cell)
    return cells, source


def _trials(plan: Plan, places: dict, seeds: range, strategy: str, source: str | None) -> dict:
    """By (place, strategy, rate): trials of a learning rate, from the network in the file ``source`` or from scratch."""
    work = {}
    for place, target in places.items():
        size, title = plan.sizes[place[0]], ", ".join(place)
        for rate in plan.rates[strategy]:
            recipe = size.recipe(strategy, rate, size.share)
            arguments = {"source": source, "target": target, "strategy": strategy, "recipe": recipe}
            work[place, strategy, rate] = [
                piece(f"{title}: {strategy} at rate {rate:g}, trial {seed}", try_rate, **arguments, seed=seed)
                for seed in seeds[: size.tried_on]
            ]
    return work


def _best_rates(done: dict) -> dict:
    """By (place, strategy): the rate of the highest mean validation accuracy of those tried, of equals the first."""
    means: dict = {}
    for key, results in done.items():
        if len(key) == 3:  # a trial
            *at, rate = key
            means.setdefault(tuple(at), {})[rate] = np.mean([result["val_accuracy"] for result in results])
    return {at: max(tried, key=tried.get) for at, tried in means.items()}


def _runs(plan: Plan, places: dict, seeds: range, strategy: str, source: str | None, rates: dict) -> dict:
    """By (place, strategy): the strategy on all training pictures, for each seed."""
    work = {}
    for place, target in places.items():
        size, title = plan.sizes[place[0]], ", ".join(place)
        recipe = size.recipe(strategy, rates[place, strategy])
        arguments = {"source": source, "target": target, "strategy": strategy, "recipe": recipe}
        work[place, strategy] = [
            piece(f"{title}: {strategy}, seed {seed}", train_and_test, **arguments, seed=seed) for seed in seeds[: size.seeds]
        ]
    return work


def real_cells(plan: Plan, seeds: range, workshop: Workshop) -> list[Cell]:
    """EfficientNet-Lite0 on photos and on solar cells."""
    work = {}
    for number, real in reversed(list(enumerate(plan.real))):
        for strategy in (strategy for strategy in reversed(TRAINED) if strategy in real.seeds):
            arguments = {"target": real.target, "strategy": strategy, "recipe": real.recipes[strategy]}
            work[number, strategy] = [
                piece(f"{real.target.data}: {strategy}, seed {seed}", real_training, **arguments, seed=seed)
                for seed in seeds[: real.seeds[strategy]]
            ]
        work[number, "linear"] = [
            piece(f"{real.target.data}: linear, seed {seed}", real_linear, target=real.target, folds=3, seed=seed)
            for seed in seeds[: real.seeds["linear"]]
        ]
    done = workshop.run_lists(work, in_words)

    cells = []
    for number, real in enumerate(plan.real):
        linear = done[number, "linear"]
        cell = Cell(
            network=NETWORK,
            data=real.target.data.removesuffix(".zip"),
            classes=linear[0]["classes"],
            pictures_per_class=linear[0]["pictures_per_class"],
            size=real.size,
            similarity=real.similarity,
            seeds=list(seeds[: real.seeds["linear"]]),
        )
        add_linear(cell, linear)
        for strategy in (strategy for strategy in TRAINED if strategy in real.seeds):
            cell.runs[strategy] = done[number, strategy]
            cell.chosen[strategy] = f"rate {real.recipes[strategy].learning_rate:g}, not chosen"
        cells.append(cell)
    return cells


def add_linear(cell: Cell, results: list[dict]) -> None:
    """Both linear strategies of a cell, from what `linear_by_depth` gives for each seed."""
    cell.runs["svm"] = [result["last"] | {"depth": result["depth"]} for result in results]
    cell.runs["svm-earlier"] = [result["earlier"] for result in results]
    for strategy in ("svm", "svm-earlier"):
        cell.chosen[strategy] = words(sorted({f"{run['layer']} ({run['kind']})" for run in cell.runs[strategy]}))


def in_words(result: dict) -> str:
    """The result of a finished piece in a few words."""
    if "val_accuracy" in result:
        return f"{100 * result['val_accuracy']:.1f} % of the validation pictures"
    if "last" in result:
        last, earlier = (result[key]["test_accuracy"] for key in ("last", "earlier"))
        return f"last codes {100 * last:.1f} %, {result['earlier']['layer']} {100 * earlier:.1f} %"
    return f"{100 * result['test_accuracy']:.1f} % of the test pictures"
