"""The laboratory: what its scripts share, and that each of them answers ``--help``."""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lessons" / "laboratory"))

import advisor
import advisor_cells
import pieces
import quadrants
import scratch
import strategies
import transferability
import yosinski
from lab import Experiment
from pairs import difference, words
from pieces import Workshop, digest_of, piece
from small_data import Pictures, first_of_each_class
from small_nets import LAYERS, Recipe, small_net, train

from minicnn.advisor.measurements import measure_fitted, sample
from minicnn.advisor.rules import choose
from minicnn.data import Preprocessing

LABORATORY = Path(pieces.__file__).parent
SCRIPTS = sorted(path for path in LABORATORY.glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_a_script_answers_help(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0
    assert "--quick" in capsys.readouterr().out


# ---- differences over seeds


def test_a_difference_is_sure_only_where_its_interval_is_on_one_side_of_zero():
    assert difference([0.70, 0.71, 0.72], [0.60, 0.61, 0.62]).sign == 1
    assert difference([0.60, 0.61, 0.62], [0.70, 0.71, 0.72]).sign == -1
    assert difference([0.70, 0.60, 0.80], [0.60, 0.65, 0.71]).sign == 0


def test_one_seed_is_never_sure():
    alone = difference([0.9], [0.1])
    assert alone.sign == 0 and not alone.known and str(alone) == "+80.0"


def test_seeds_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="same seeds on both sides, got 1 and 2"):
        difference([0.5], [0.5, 0.6])


def test_words_join_as_in_a_sentence():
    assert [words([]), words(["a"]), words(["a", "b"])] == ["", "a", "a and b"]


# ---- pieces


def doubled(number: int, recipe: Recipe) -> dict:
    doubled.calls += 1
    return {"doubled": 2 * number}


@pytest.fixture
def counted():
    doubled.calls = 0
    return doubled


def test_a_finished_piece_is_not_computed_again(counted, capsys):
    work = [piece(f"number {k}", counted, number=k, recipe=Recipe(1, 0.1)) for k in (100, 101)]
    first, second = Workshop(workers=1), Workshop(workers=1)
    assert [result["doubled"] for result in first.run(work)] == [200, 202]
    assert [result["doubled"] for result in second.run(work, lambda result: "never shown")] == [200, 202]
    assert (counted.calls, first.computed, second.computed, second.found) == (2, 2, 0, 2)
    assert capsys.readouterr().out.count("number") == 2


def test_any_change_of_the_recipe_is_another_piece(counted):
    one = piece("a", counted, number=1, recipe=Recipe(1, 0.1))
    assert one.path == piece("another title", counted, number=1, recipe=Recipe(1, 0.1)).path
    assert one.path != piece("a", counted, number=1, recipe=Recipe(1, 0.2)).path
    assert one.path != piece("a", counted, number=2, recipe=Recipe(1, 0.1)).path


def test_the_digits_of_code_change_with_it(tmp_path):
    first, second = (SimpleNamespace(__file__=str(tmp_path / f"{name}.py")) for name in "ab")
    for module, code in ((first, "x = 1"), (second, "y = 1")):
        Path(module.__file__).write_text(code)
    before = digest_of([first, second])
    assert len(before) == 8 and digest_of([first, second]) == before != digest_of([first])
    Path(second.__file__).write_text("y = 2")
    assert digest_of([first, second]) != before


def test_a_damaged_result_is_computed_again(counted):
    work = piece("damaged", counted, number=7, recipe=Recipe(1, 0.1))
    Workshop(workers=1).run([work])
    work.path.write_text('{"result": ', encoding="utf-8")
    assert Workshop(workers=1).run([work])[0]["doubled"] == 14
    assert json.loads(work.path.read_text(encoding="utf-8"))["recipe"] == {
        "number": 7,
        "recipe": json.loads(json.dumps(Recipe(1, 0.1), default=pieces._as_json)),
    }


def test_lists_of_pieces_keep_their_places(counted):
    work = {("a", n): [piece("x", counted, number=10 * n + k, recipe=Recipe(1, 0.1)) for k in range(n)] for n in (2, 1)}
    found = Workshop(workers=1).run_lists(work)
    assert {key: [result["doubled"] for result in results] for key, results in found.items()} == {
        ("a", 2): [40, 42],
        ("a", 1): [20],
    }


# ---- data and networks


def drawn_pictures(per_class: int = 8) -> Pictures:
    """Three classes that differ in brightness."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), per_class)
    x = (60 * y[:, None, None, None] + rng.integers(0, 60, (len(y), 32, 32, 3))).astype(np.uint8)
    return Pictures(("dark", "grey", "light"), x, y, x[::2], y[::2])


def test_a_small_draw_is_part_of_a_larger_one_and_has_as_many_of_each_class():
    pictures = drawn_pictures()
    small, large = (pictures.draw(per_class, seed=3) for per_class in (2, 5))
    assert np.bincount(small.y).tolist() == [2, 2, 2]
    in_large = {picture.tobytes() for picture in large.x}
    assert all(picture.tobytes() in in_large for picture in small.x)
    assert not np.array_equal(small.x, pictures.draw(2, seed=4).x)


def test_chosen_classes_are_numbered_in_the_order_given():
    chosen = drawn_pictures().of(("light", "dark"))
    assert chosen.classes == ("light", "dark") and set(chosen.y.tolist()) == {0, 1}
    assert chosen.x[chosen.y == 0].mean() > chosen.x[chosen.y == 1].mean()


def test_more_pictures_than_there_are_cannot_be_drawn():
    with pytest.raises(ValueError, match="class 1 has 1"):
        first_of_each_class(np.array([0, 0, 1]), 2, np.arange(3))


def test_what_is_up_to_the_frozen_layer_stays_to_the_bit():
    pictures = drawn_pictures()
    model = small_net(3, pictures.statistics(), rng=0)
    before = model.copy()
    train(model, Recipe(1, 0.01, batch_size=8, body=0.3), pictures.x, pictures.y, seed=0, freeze_until="conv3")
    for name in LAYERS:
        arrays, old = ({**m.layers[name].parameters(), **m.layers[name].state()} for m in (model, before))
        same = [np.array_equal(getattr(arrays[k], "value", arrays[k]), getattr(old[k], "value", old[k])) for k in arrays]
        assert all(same) if name <= "conv3" else not any(same)
    multipliers = {name: parameter.learning_rate_multiplier for name, parameter in model.parameters().items()}
    assert multipliers["fc.w"] == multipliers["fc.b"] == 1.0 and multipliers["conv5.conv.w"] == 0.3


# ---- strategies


def test_codes_by_depth_are_what_the_layers_say():
    model = small_net(3, Preprocessing(size=32, mean=127, std=64), rng=0).eval()
    x = drawn_pictures(2).x
    codes = strategies.codes_by_depth(model, x, [*LAYERS, "pool"], grid=4)
    assert {name: {kind: c.shape[1] for kind, c in kinds.items()} for name, kinds in codes.items()} == {
        "conv1": {"mean": 16, "grid": 256},
        "conv2": {"mean": 32, "grid": 512},
        "conv3": {"mean": 64, "grid": 1024},
        "conv4": {"mean": 64, "grid": 1024},
        "conv5": {"mean": 128, "grid": 2048},
        "pool": {"mean": 128},
    }
    maps = model.forward(model.preprocessing.normalise(x), ["conv2"])["conv2"]
    np.testing.assert_allclose(codes["conv2"]["mean"], maps.mean((2, 3)), atol=1e-4)
    parts = maps.reshape(6, 32, 4, 2, 4, 2).mean((3, 5))
    np.testing.assert_allclose(codes["conv2"]["grid"], parts.reshape(6, -1), atol=1e-4)
    np.testing.assert_allclose(codes["pool"]["mean"], codes["conv5"]["mean"], atol=1e-4)


def test_the_layer_of_a_linear_strategy_is_chosen_on_validation():
    pictures = drawn_pictures(10)
    model = small_net(3, pictures.statistics(), rng=0)
    found = strategies.linear_by_depth(model, LAYERS, 2, (pictures.x, pictures.y), (pictures.x_test, pictures.y_test), 2, 0)
    early = [found["depth"][name][kind]["val_accuracy"] for name in LAYERS[:-1] for kind in ("mean", "grid")]
    assert found["earlier"]["val_accuracy"] == max(early) and found["earlier"]["layer"] != "conv5"
    assert found["last"]["layer"] == "conv5" and found["last"]["test_accuracy"] > 0.9


def test_linear_strategies_mirror_only_what_is_the_same_when_mirrored():
    """Two classes that are each other's mirror image: ramps that are bright on the left, and on the right."""
    rng = np.random.default_rng(0)
    ramps = np.linspace(40, 200, 32)[None, :, None] * np.ones((32, 1, 3))
    y = np.arange(60) % 2
    x = np.stack([ramps if label else ramps[:, ::-1] for label in y]) + rng.normal(0, 5, (60, 32, 32, 3))
    x = x.astype(np.uint8)
    model = small_net(2, Preprocessing(size=32, mean=127, std=64), rng=0)

    def test_accuracy(mirror):
        found = strategies.linear_by_depth(model, LAYERS, 2, (x[:40], y[:40]), (x[40:], y[40:]), 2, 0, mirror)
        return found["depth"]["conv2"]["grid"]["test_accuracy"]

    assert test_accuracy(mirror=False) == 1 and test_accuracy(mirror=True) < 0.8


def test_results_that_were_stored_with_former_keys_can_be_read():
    stored = json.loads((LABORATORY.parents[1] / "docs" / "laboratory" / "scenarios.json").read_text(encoding="utf-8"))
    for cell in stored["results"]["cells"]:
        assert {"svm", "finetune-all"} <= strategies.with_current_keys(cell["strategies"]).keys() <= set(strategies.COMPARED)


# ---- verdicts


def cell(**accuracies: list[float]) -> quadrants.Cell:
    runs = {key.replace("_", "-"): [{"test_accuracy": a, "seconds": 1.0} for a in values] for key, values in accuracies.items()}
    return quadrants.Cell("small_net", "drawn", ["a", "b"], 5, "small", "similar", [0, 1, 2], runs)


def test_a_recommendation_fails_when_another_strategy_is_surely_better():
    beaten = cell(svm=[0.50, 0.51, 0.52], finetune_all=[0.60, 0.61, 0.62], scratch=[0.3, 0.31, 0.32])
    verdict = quadrants.judge(beaten)
    assert verdict.held is False and beaten.best == "finetune-all" and beaten.recommended == "svm"
    assert "did not hold" in str(verdict) and "Surely worse than: fine-tune all layers (-10.0" in str(verdict)


def test_a_recommendation_holds_when_none_is_surely_better_and_it_is_surely_better_than_some():
    assert quadrants.judge(cell(svm=[0.6, 0.61, 0.62], finetune_all=[0.66, 0.60, 0.61], scratch=[0.3, 0.3, 0.3])).held is True
    assert quadrants.judge(cell(svm=[0.6], finetune_all=[0.7])).held is None


def test_where_the_lecture_recommends_nothing_there_is_no_star():
    middle = cell(svm=[0.5], finetune_all=[0.6])
    middle.size = "middle"
    assert middle.recommended is None and middle.record()["strategies"]["finetune-all"]["accuracies"] == [0.6]


# ---- the other two experiments


def test_halves_are_five_classes_each_and_others_for_another_seed():
    splits = [yosinski.Halves(seed, 10, (10, 10), Recipe(1, 0.1)) for seed in range(4)]
    assert all(not set(h.classes("A")) & set(h.classes("B")) for h in splits)
    assert len({h.classes("A") for h in splits}) > 1
    assert len({h.base_file(half) for h in splits for half in "AB"}) == 8


def test_claims_of_the_paper_are_told_from_the_numbers():
    seeds = np.array([0.0, 0.01, -0.01])
    at = {(kind, n): list(0.8 + seeds) for kind in yosinski.KINDS for n in transferability.DEPTHS}
    at["BnB", 3] = list(0.75 + seeds)
    for n in transferability.DEPTHS:
        at["AnB", n] = list(0.8 - 0.05 * n + seeds)
        at["AnB+", n] = list(0.83 + seeds)
    dip, recovery, specificity, transfer = transferability.claims(transferability.Curves(list(0.8 + seeds), at))
    assert ": held. BnB is lowest at n = 3 of 1 to 5, -5.0" in dip
    assert ": held" in recovery and ": held" in transfer and "other classes that help" in transfer
    assert ": held, from n = 1 to n = 5 by -20.0" in specificity


def test_the_time_to_an_accuracy_is_that_of_the_first_look_at_or_above_it():
    assert scratch.first_reached([0.5, 0.7, 0.6, 0.8], 0.7) == 1
    assert scratch.first_reached([0.5, 0.6], 0.7) is None
    amount = scratch.Amount(10, 2, 3, 1, 8)
    runs = {
        (amount, "pretrained"): [{"val_accuracy": [0.58, 0.66, 0.71], "seconds": [1.0, 2.0, 3.0]}],
        (amount, "random"): [{"val_accuracy": [0.42, 0.51, 0.61], "seconds": [1.0, 2.0, 3.0]}],
    }
    rows = scratch.times([amount], runs)
    assert [row[1] for row in rows] == ["45 %", "50 %", "55 %", "60 %", "65 %", "70 %"]
    assert rows[3] == ["10 pictures a class", "60 %", "4", "2.0", "6", "3.0", "1.5"]
    assert rows[5][4:] == ["-", "not reached", ""]


def test_measurements_that_were_kept_lead_to_the_same_advice():
    pictures = drawn_pictures(20)
    model = small_net(3, pictures.statistics(), rng=0)
    rows = sample(pictures.y, advisor_cells.MOST)
    found = measure_fitted(model, pictures.x[rows], pictures.y[rows], tuple(np.bincount(pictures.y).tolist()), progress=False)
    kept = json.loads(json.dumps(advisor_cells.found_by(model, pictures.x, pictures.y)))
    assert choose(advisor_cells.measurements_of(kept["measurements"])) == choose(found)
    advice = advisor_cells.advice_on(kept)
    assert advice["strategy"] == choose(found).strategy and advice["codes"][-1]["layer"] == found.last.layer


@pytest.mark.parametrize("quick", [True, False])
def test_the_advisor_is_checked_by_scenarios_of_the_same_form_only(tmp_path, monkeypatch, quick):
    """The full pages are kept in the repository: a quick run that took their cells would take half an hour."""
    monkeypatch.setattr(advisor, "LABORATORY", tmp_path / "lessons" / "laboratory")
    experiment = Experiment("advisor", "The advisor", quick, range(1), tmp_path)
    for command, cells in (("scenarios.py --quick", ["quick"]), ("scenarios.py", ["full"])):
        (tmp_path / "scenarios.json").write_text(json.dumps({"command": command, "results": {"cells": cells}}))
        found, plan = advisor.scenarios(experiment)
        assert found == (cells if (cells == ["quick"]) == quick else [])
        assert plan is (advisor.QUICK if quick else advisor.FULL)
