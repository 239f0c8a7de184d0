"""``minicnn search`` as it is typed: trials, the best of them, and going on."""

import json

import pytest
from test_from_scratch import write_pictures

from minicnn.cli import main
from minicnn.from_scratch import Search

WORDS = ["search", "--data", "colours", "--arch", "cifar_net", "--size", "32", "--epochs", "1", "--out", "out"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "colours")
    return tmp_path


def test_trials_are_printed_as_they_end_and_the_best_one_is_ready_to_be_trained(here, capsys):
    assert main([*WORDS, "--trials", "2", "--learning-rates", "1e-5", "1e-3"]) == 0
    printed = capsys.readouterr().out
    assert (
        "(1 / 2)" in printed
        and "(2 / 2)" in printed
        and "Use it:     minicnn train --data colours --arch cifar_net --" in printed
    )
    trials = [json.loads(line) for line in (here / "out" / "trials.jsonl").read_text().splitlines()]
    rates = [trial["settings"]["learning_rate"] for trial in trials]
    assert len(trials) == 2 and all(1e-5 <= rate <= 1e-3 for rate in rates)
    best = max(trials, key=lambda trial: trial["value"])
    assert f"--learning-rate {best['settings']['learning_rate']:.3g}" in printed
    assert (here / "out" / "search.png").stat().st_size > 5000

    assert main([*WORDS, "--trials", "3", "--learning-rates", "1e-5", "1e-3"]) == 0  # two are there, one is new
    assert len((here / "out" / "trials.jsonl").read_text().splitlines()) == 3


def test_another_study_in_the_folder_is_not_gone_on_with(here, capsys):
    assert main([*WORDS, "--trials", "1"]) == 0
    assert main([*WORDS, "--trials", "1", "--weight-decays", "1e-6", "1e-5"]) == 1
    assert "weight_decay" in capsys.readouterr().err


def test_the_figure_of_a_search_among_the_pictures_is_no_class(here, capsys):
    words = ["--arch", "cifar_net", "--size", "32", "--trials", "1", "--epochs", "1", "--out", "colours/found"]
    assert main(["search", "--data", "colours", *words]) == 0
    capsys.readouterr()
    assert main(["train", "--data", "colours", "--arch", "cifar_net", "--size", "32", "--epochs", "1"]) == 0
    assert "24 pictures of 2 classes" in capsys.readouterr().out


@pytest.mark.parametrize("words, says", [(["--method", "guess"], "there are random, grid, coarse-to-fine, halving"),
                                         (["--learning-rates", "1", "0.1"], "0.1")])  # fmt: skip
def test_what_cannot_be_searched_is_one_sentence(here, capsys, words, says):
    assert main([*WORDS, *words]) == 1
    said = capsys.readouterr().err.strip()
    assert says in said and "\n" not in said


def test_methods_know_their_sizes():
    with pytest.raises(ValueError, match="no method 'x'"):
        Search(method="x")
