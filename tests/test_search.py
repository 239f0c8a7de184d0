"""Searches: spaces worked by hand, schedules; studies repeat to the bit wherever they run, and go on after they were killed."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from drawn import frame_is_white, png_of
from search_objectives import Deadly, deadly_at_large_rates, fails_for_large_rates, hill, slow, train

from minicnn.errors import TrainingError
from minicnn.recipes import Recipe
from minicnn.runtime import get_threads, set_threads
from minicnn.search import Choice, Integers, LogUniform, RecipeObjective, Study, Uniform, halving_schedule
from minicnn.viz import random_against_grid_figure, search_figure

TESTS = Path(__file__).parent
SPACE = {"lr": LogUniform(1e-4, 1.0), "reg": LogUniform(1e-5, 1e-1)}


def study_of(objective=hill, space=SPACE, **options):
    return Study(objective, space, progress=False, **options)


# ---- spaces


def test_a_logarithmic_range_goes_by_factors():
    lr = LogUniform(1e-4, 1.0)
    assert [lr.at(u) for u in (0, 0.25, 0.5, 0.75)] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert lr.grid(5) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1]) and lr.grid(1) == pytest.approx([1e-2])
    assert lr.position(lr.at(0.3)) == pytest.approx(0.3)


def test_a_uniform_range_goes_by_steps():
    assert Uniform(-1, 3).at(0.25) == 0 and Uniform(-1, 3).grid(3) == [-1, 1, 3]


def test_whole_numbers_and_options_are_all_equally_likely():
    draws = (np.arange(1000) + 0.5) / 1000
    assert np.bincount([Integers(2, 5).at(u) for u in draws]).tolist() == [0, 0, 250, 250, 250, 250]
    assert [Choice("ab").at(u) for u in draws].count("a") == 500
    assert Integers(1, 3).grid(100) == [1, 2, 3]


@pytest.mark.parametrize(("value", "low", "high"), [(1e-2, 1e-3, 1e-1), (2e-4, 1e-4, 1e-2), (1.0, 1e-2, 1.0)])
def test_a_range_is_narrowed_around_a_value_and_never_leaves_the_range(value, low, high):
    narrow = LogUniform(1e-4, 1.0).narrowed(value, 0.5)
    assert (narrow.low, narrow.high) == pytest.approx((low, high))


def test_narrowed_whole_numbers_are_two_at_least_and_options_stay():
    assert Integers(1, 9).narrowed(1, 0.1) == Integers(1, 3) and Integers(1, 9).narrowed(9, 0.1) == Integers(7, 9)
    assert Integers(1, 2).narrowed(2, 0.5) == Integers(1, 2)
    options = Choice(["sgd", "adam"])
    assert options.narrowed("adam", 0.1) is options


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogUniform(0, 1), "LogUniform needs low > 0, .* got low=0"),
        (lambda: LogUniform(1, 1), "LogUniform goes from a number low up to a greater one, high; got low=1, high=1"),
        (lambda: Uniform(2, 1), "got low=2, high=1"),
        (lambda: Uniform(0, float("inf")), "got low=0, high=inf"),
        (lambda: Integers(1, 2.5), "whole number up to a greater one; got low=1, high=2.5"),
        (lambda: Choice(["a"]), "two options or more, no two of them equal; got"),
        (lambda: Choice([1, 1]), "no two of them equal"),
        (lambda: Choice([(1, 2), (3, 4)]), r"would not give back \(1, 2\)"),
        (lambda: Uniform(0, 1).grid(0), "a grid has a whole number of points from 1 up, got 0"),
        (lambda: study_of(space={}), "a space is a dict .* got {}"),
        (lambda: study_of(workers=0), "workers is a whole number from 1 up, got 0"),
        (lambda: study_of(seed=-1), "seed is a whole number from 0 up, got -1"),
        (lambda: study_of(workers=2, cluster="tcp://localhost:1"), "choose one of the two"),
        (lambda: study_of().random(0, 1), "trials is a whole number from 1 up"),
        (lambda: study_of().random(3, 0), "budget is a whole number from 1 up"),
        (lambda: study_of().grid({"lr": 3}, 1), "the grid has points for lr, but the space has lr, reg"),
        (lambda: study_of().coarse_to_fine(3, [1, 1], share=1.0), "share is the part .* got 1.0"),
        (lambda: study_of().successive_halving(9, eta=1), "eta is a whole number from 2 up, got 1"),
        (lambda: study_of().best, "no trial of this study has succeeded yet, of 0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_something_else_than_a_range_is_refused():
    with pytest.raises(TypeError, match=r"the space has \(1, 2\) for 'lr', which is none of LogUniform"):
        study_of(space={"lr": (1, 2)})


# ---- searches


def test_random_trials_are_independent_of_how_many_there_are():
    few, many = study_of().random(3, 1), study_of().random(8, 1)
    assert few == many[:3] and len({trial.settings["lr"] for trial in many}) == len({trial.seed for trial in many}) == 8
    assert study_of(seed=1).random(3, 1) != few
    study = study_of()
    assert [t.settings for t in study.random(3, 1) + study.random(2, 1)] == [t.settings for t in many[:5]]


def test_random_trials_cover_each_decade_alike():
    drawn = [np.log10(trial.settings["lr"]) for trial in study_of().random(400, 1)]
    counts = np.histogram(drawn, bins=[-4, -3, -2, -1, 0])[0]
    assert counts.sum() == 400 and counts.min() > 75


def test_a_grid_is_all_combinations():
    trials = study_of(space=SPACE | {"optimizer": Choice(["sgd", "adam"])}).grid({"lr": 3, "reg": 2, "optimizer": 1}, 1)
    found = [(round(np.log10(t.settings["lr"])), round(np.log10(t.settings["reg"])), t.settings["optimizer"]) for t in trials]
    assert found == [(lr, reg, name) for lr in (-4, -2, 0) for reg in (-5, -1) for name in ("sgd", "adam")]


def test_each_round_from_coarse_to_fine_lies_around_the_best_of_the_round_before():
    trials = study_of().coarse_to_fine(6, budgets=[1, 2, 4], share=0.25)
    coarse, fine, finest = trials[:6], trials[6:12], trials[12:]
    assert [t.budget for t in trials] == [1] * 6 + [2] * 6 + [4] * 6
    for share, earlier, later in ((0.25, coarse, fine), (0.0625, fine, finest)):
        best = np.log10(max(earlier, key=lambda t: t.value).settings["lr"])
        rates = np.log10([t.settings["lr"] for t in later])
        assert np.ptp(rates) <= 4 * share and rates.min() - 4 * share <= best <= rates.max() + 4 * share
    assert abs(np.log10(max(finest, key=lambda t: t.value).settings["lr"]) + 2) < 0.25


def test_the_halving_schedule_is_that_of_the_paper():
    assert halving_schedule(81, 1, 3) == [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)]
    assert halving_schedule(10, 2, 3) == [(10, 2), (3, 6), (1, 18)] and halving_schedule(1, 5, 2) == [(1, 5)]


def test_successive_halving_keeps_the_best_of_each_rung_with_their_seeds():
    trials = study_of().successive_halving(9, least_budget=1, eta=3)
    rungs = [[t for t in trials if t.round == k] for k in range(3)]
    assert [(len(rung), rung[0].budget) for rung in rungs] == [(9, 1), (3, 3), (1, 9)]
    for lower, upper in pairwise(rungs):
        best = sorted(lower, key=lambda t: -t.value)[: len(upper)]
        assert [(t.settings, t.seed) for t in best] == [(t.settings, t.seed) for t in upper]
    assert [t.number for t in trials] == list(range(13))


def test_the_best_trial_is_one_of_the_largest_budget():
    study = study_of(lambda settings, budget, seed: -budget - settings["lr"])
    study.random(3, budget=1)
    last = study.random(2, budget=2)
    assert study.best == max(last, key=lambda t: t.value)


def test_a_running_study_looks_as_on_the_slides(capsys):
    study = Study(hill, SPACE)
    study.grid(2, budget=3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("val_acc: 0.6") and lines[1].endswith(", lr: 1.000000e-04, reg: 1.000000e-01, (2 / 4)")
    assert study.table().splitlines() == ["round 1, budget 3", *lines]


def test_a_failed_trial_is_the_worst_and_the_search_goes_on():
    study = study_of(fails_for_large_rates)
    trials = study.successive_halving(9)
    failed = [t for t in trials if t.error]
    assert failed and all(t.value is None and t.error == "RuntimeError: the loss is nan" for t in failed)
    assert all(t.budget == 1 for t in failed) and study.best.settings["lr"] <= 0.01
    assert "failed: RuntimeError: the loss is nan, lr: " in study.table()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.9", None])
def test_what_is_no_finite_number_is_a_failure(value):
    with pytest.raises(TrainingError, match="all 2 trials of this round have failed, the first of them: the objective"):
        study_of(lambda settings, budget, seed: value).random(2, 1)


def test_a_study_leaves_the_number_of_threads_as_it_was_and_uses_its_own():
    before, seen = get_threads(), []
    try:
        set_threads(3)
        study_of(lambda settings, budget, seed: seen.append(get_threads()) or 1.0, threads=2).random(1, 1)
        assert get_threads() == 3 and seen == [2]
    finally:
        set_threads(before)


# ---- the folder


def test_a_finished_study_is_read_and_not_computed_again(tmp_path):
    study = study_of(folder=tmp_path)
    trials = study.random(4, 1)
    assert study_of(folder=tmp_path).trials == trials
    calls = []

    def hill(settings, budget, seed):
        return calls.append(settings) or 0.0

    hill.__module__, hill.__qualname__ = "search_objectives", "hill"
    again = study_of(hill, folder=tmp_path)
    assert again.random(4, 1) == trials and not calls
    more = again.random(6, 1)
    assert len(more) == len(calls) == 6 and study_of(folder=tmp_path).trials == trials + more


def test_a_line_that_was_cut_off_is_ignored_and_its_trial_repeated(tmp_path):
    trials = study_of(folder=tmp_path).random(4, 1)
    file = tmp_path / "trials.jsonl"
    whole = file.read_bytes()
    for cut in (1, 2, 30):
        file.write_bytes(whole[:-cut])
        assert study_of(folder=tmp_path).random(4, 1) == trials
        assert [json.loads(line)["number"] for line in file.read_bytes().splitlines()] == [0, 1, 2, 3]


def test_a_damaged_line_is_named(tmp_path):
    study_of(folder=tmp_path).random(3, 1)
    file = tmp_path / "trials.jsonl"
    file.write_bytes(file.read_bytes().replace(b'{"number": 1,', b'{"number 1,'))
    with pytest.raises(TrainingError, match=r"line 2 of .*trials.jsonl is damaged .* delete this line"):
        study_of(folder=tmp_path)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"seed": 5}, "seed: 0 there, 5 here"),
        ({"space": {"lr": LogUniform(1e-3, 1.0)}}, "space: "),
        ({"objective": train}, r"objective: search_objectives\.hill there, search_objectives\.train here"),
        ({"threads": 2}, "number of threads: 1 there, 2 here"),
    ],
)
def test_another_study_does_not_go_on_in_the_folder(tmp_path, options, what):
    study_of(folder=tmp_path).random(2, 1)
    with pytest.raises(TrainingError, match=f"holds another study, with another {what}"):
        study_of(**options, folder=tmp_path)


def test_other_searches_do_not_go_on_in_the_folder(tmp_path):
    study_of(folder=tmp_path).random(2, 1)
    with pytest.raises(TrainingError, match=r"trial 0 of the study .* with budget 1, and would now be .* with budget 2"):
        study_of(folder=tmp_path).random(2, 2)


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_two_processes_do_not_write_into_one_folder(tmp_path):
    def second(settings, budget, seed):
        study_of(folder=tmp_path, seed=0).random(1, 1)

    second.__module__, second.__qualname__ = "search_objectives", "hill"
    with pytest.raises(TrainingError, match="another process is running the study"):
        study_of(second, folder=tmp_path).random(1, 1)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"a study cannot be kept in .*file .*name another folder"):
        study_of(folder=tmp_path / "file").random(1, 1)


def test_a_study_that_was_killed_ends_as_the_unbroken_one(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(TESTS)!r}); from test_search import slow, study_of; "
    code += f"study_of(slow, folder={str(tmp_path)!r}).successive_halving(27)"
    process = subprocess.Popen([sys.executable, "-c", code])
    journal = tmp_path / "trials.jsonl"
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 5):
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = journal.read_bytes().count(b"\n")
    assert 5 <= before < 40

    calls = []

    def counted(*arguments):
        return calls.append(arguments) or hill(*arguments)

    counted.__module__, counted.__qualname__ = slow.__module__, slow.__qualname__
    assert study_of(counted, folder=tmp_path).successive_halving(27) == study_of().successive_halving(27)
    assert len(calls) == 40 - before


# ---- processes side by side


def test_processes_side_by_side_give_the_same_bits_also_when_one_dies(tmp_path):
    alone = study_of(train).successive_halving(6, least_budget=1, eta=3)
    beside = study_of(Deadly(tmp_path), workers=2).successive_halving(6, least_budget=1, eta=3)
    assert (tmp_path / "died").exists() and beside == alone


def test_a_trial_that_kills_its_process_each_time_has_failed():
    low, high = study_of(deadly_at_large_rates, space={"lr": LogUniform(1e-3, 1.0)}, workers=2).grid(2, 1)
    assert low.value == 0.5 and high.error == "the process that ran it died 4 times (was there too little memory?)"


def test_an_objective_that_other_processes_cannot_import_is_refused(monkeypatch):
    """The second is found where it was defined here, and nowhere else."""
    with pytest.raises(ValueError, match=r"this cannot be sent to another process: .* top level of a module"):
        study_of(lambda settings, budget, seed: 1.0, workers=2).random(2, 1)

    def vanished(settings, budget, seed):
        return 1.0

    vanished.__qualname__ = "vanished"
    monkeypatch.setitem(globals(), "vanished", vanished)
    with pytest.raises(ValueError, match=r"another process cannot import the objective: AttributeError: .*vanished"):
        study_of(vanished, workers=2).random(2, 1)


def test_a_script_without_a_guard_is_told_what_to_do(tmp_path):
    (tmp_path / "script.py").write_text(
        f"import sys; sys.path.insert(0, {str(TESTS)!r})\nfrom search_objectives import hill\n"
        "from minicnn.search import LogUniform, Study\nStudy(hill, {'lr': LogUniform(0.1, 1)}, workers=2).random(2, 1)\n"
    )
    ran = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1 and "TrainingError: a new process cannot be started" in ran.stderr.splitlines()[-1]
    assert 'if __name__ == "__main__":' in ran.stderr.splitlines()[-1]


# ---- a recipe as the objective


def test_a_recipe_is_trained_with_the_settings_and_as_many_epochs_as_the_budget(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = (rng.integers(0, 60, (60, 28, 28, 1)) + 90 * (np.arange(28) // 10 == y[:, None])[:, :, None, None]).astype(np.uint8)
    data = (x[:45], y[:45], x[45:], y[45:])
    recipe = Recipe("lenet5", epochs=99, batch_size=15)
    objective = RecipeObjective.save(tmp_path / "data.npz", recipe, *data, "abc")
    study = study_of(objective, {"learning_rate": LogUniform(1e-6, 0.1), "batch_size": Choice([5, 15])}, folder=tmp_path)
    bad, good = study.grid({"learning_rate": 2, "batch_size": 1}, budget=4)[::3]
    model = Recipe("lenet5", epochs=4, batch_size=15, learning_rate=good.settings["learning_rate"]).network(
        x[:45], "abc", good.seed
    )
    trainer = Recipe("lenet5", 4, 15, good.settings["learning_rate"]).trainer(model, good.seed, progress=False)
    before = get_threads()
    try:
        set_threads(1)
        assert good.value == trainer.fit(*data).best["val_accuracy"] > bad.value
    finally:
        set_threads(before)

    np.savez(tmp_path / "other.npz", x=x)
    with pytest.raises(ValueError, match=r"other.npz has changed since the study began"):
        replace(objective, file=tmp_path / "other.npz")({}, 1, 0)


# ---- figures


def test_figures_of_searches_are_whole():
    study = study_of(fails_for_large_rates, SPACE | {"layers": Integers(1, 9), "optimizer": Choice(["sgd", None])})
    study.successive_halving(27)
    figure = search_figure(study)
    assert frame_is_white(png_of(figure))
    panels = {axes.get_xlabel(): axes for axes in figure.axes[:4]}
    assert list(panels) == ["lr", "reg", "layers", "optimizer"] and panels["lr"].get_xscale() == "log"
    first = study.trials[:27]
    dots = panels["reg"].lines[0]
    assert dots.get_ydata().tolist() == [t.value for t in first if not t.error]
    assert dots.get_xdata().tolist() == [t.settings["reg"] for t in first if not t.error]
    one = study_of(space={"lr": LogUniform(1e-4, 1.0)})
    one.random(5, 1)
    assert frame_is_white(png_of(search_figure(one)))


def test_random_against_grid_shows_how_many_values_were_tried():
    random, grid = study_of(), study_of()
    random.random(9, 1)
    grid.grid(3, 1)
    figure = random_against_grid_figure(random, grid)
    assert frame_is_white(png_of(figure))
    titles = [axes.get_title(loc="left") for axes in figure.axes[:2]]
    assert titles[0].startswith("grid: 3 values of lr") and titles[1].startswith("random: 9 values of lr")
    with pytest.raises(ValueError, match="two studies of the same two settings"):
        random_against_grid_figure(random, study_of(space={"lr": LogUniform(1e-4, 1.0)}))
