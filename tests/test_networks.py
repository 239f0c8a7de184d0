"""The choice among networks: the rule of one standard error, the table, the command, and what it refuses."""

import json

import numpy as np
import pytest
from PIL import Image
from test_advisor import SIZE, folder, measurements, small_model  # noqa: F401

from minicnn.advisor import compare_networks, rules
from minicnn.advisor.advice import COLUMNS, Advice
from minicnn.advisor.figure import networks_figure
from minicnn.advisor.networks import Comparison, Network, check_input
from minicnn.advisor.rules import choose
from minicnn.cli import main
from minicnn.data.folders import open_pictures
from minicnn.data.preprocessing import Preprocessing
from minicnn.errors import DataError
from minicnn.linear_model.cross_validation import CrossValidation


def network(name, multiply_adds, right, parameters=1000, logme=0.0):
    """One whose linear classifier was right for these pictures."""
    found = measurements(parameters=parameters)
    validation = CrossValidation(np.array(right, float), 0.1)
    last = type(found.last)("high", 1, 16, validation, validation, logme, 0.0)
    found = type(found)(**{**vars(found), "codes": (*found.codes[:-1], last)})
    choice = choose(measurements())
    advice = Advice(name, "insects", ("a", "b", "c", "d"), choice, "high", 1, "high", None, None, found, "minicnn transfer")
    return Network(name, advice, multiply_adds, 1.5)


def right_in(*wrong, N=400):
    right = np.ones(N)
    right[list(wrong)] = 0
    return right


def test_the_cheapest_within_one_standard_error_of_the_best_is_recommended():
    best = network("best", 300, right_in(0, 1, 2, 3))
    near = network("near", 200, right_in(2, 3, 4, 5, 6, 7))  # two more mistakes: four are its own, two are the other's
    far = network("far", 100, right_in(*range(12)))
    comparison = Comparison((far, best, near))
    difference, error = comparison.than_best(near)
    assert (difference, error) == (pytest.approx(-0.005), pytest.approx(np.std([1, 1] + [-1] * 4 + [0] * 394, ddof=1) / 20))
    assert comparison.best is best and comparison.recommended is near
    assert "near, the cheapest within one standard error of the best, best (-0.5 ± 0.6 points)" in comparison.text()
    assert comparison.is_about_best(best) and not comparison.is_about_best(far)


def test_a_sure_difference_is_none_to_save_work_for():
    best, worse = network("best", 300, right_in(0)), network("worse", 100, right_in(0, 1, 2, 3))
    comparison = Comparison((best, worse))  # three more mistakes, and none of the other's: 0.8 ± 0.4 points
    assert comparison.recommended is best
    assert "no cheaper one is within one standard error" in comparison.text()


def test_of_networks_that_are_right_for_the_same_pictures_the_cheapest_is_best_and_recommended():
    comparison = Comparison(
        (network("a", 300, right_in(1)), network("b", 200, right_in(1)), network("c", 200, right_in(1), 10))
    )
    assert comparison.recommended.name == comparison.best.name == "c"
    assert "the best and the cheapest" in Comparison(comparison.networks[:2]).text()


def test_other_rules_say_what_they_would_have_chosen():
    large = network("large", 300, right_in(*range(21)), parameters=10**9, logme=-1)
    small = network("small", 100, right_in(0), logme=1)
    comparison = Comparison((large, small))
    chosen = {rule: network.name for rule, network in comparison.baselines.items()}
    assert chosen == {"the largest network": "large", "k-NN": "small", "LogME": "small", "H-score": "large"}
    assert "large (the largest network, H-score; -5.0 ± 1.1 points); small (k-NN, LogME)." in comparison.text()


def test_the_text_is_narrow_even_with_long_names():
    names = ["a folder of mine/" + "long" * 20 + f"{i}.h5" for i in range(3)]
    comparison = Comparison(tuple(network(name, 123_000_000 * i, right_in(i)) for i, name in enumerate(names, 1)))
    assert max(map(len, comparison.text().splitlines())) <= COLUMNS
    assert [line.split()[0] for line in comparison.text().splitlines()[2:5]] == [f"…g{'long' * 4}{i}.h5" for i in range(3)]
    networks_figure(comparison).canvas.draw()


# ---- measured


def test_networks_are_measured_on_the_same_pictures(folder):  # noqa: F811
    models = {"wide": small_model(1, width=1500), "narrow": small_model(2, width=1000, norm=False)}
    models["narrow"].preprocessing = Preprocessing(size=SIZE, channels="BGR", mean=100.0, std=50.0)
    comparison = compare_networks(models, open_pictures(folder), progress=False, words=("--data", "pictures"))
    assert [network.name for network in comparison.networks] == ["wide", "narrow"]
    assert {len(network.codes.probe.right) for network in comparison.networks} == {30}
    assert comparison.networks[0].multiply_adds == models["wide"].multiply_adds((1, 3, SIZE, SIZE))
    name = comparison.recommended.name
    assert f"--data pictures --model {name}" in comparison.recommended.advice.command
    assert comparison.text().endswith(comparison.recommended.advice.text())


def test_a_single_network_is_nothing_to_compare(folder):  # noqa: F811
    with pytest.raises(ValueError, match="two networks or more, got 1"):
        compare_networks({"one": small_model()}, open_pictures(folder))


def test_a_network_that_cannot_take_the_pictures_is_named_before_anything_is_measured(folder):  # noqa: F811
    grey = small_model()
    grey.preprocessing = Preprocessing(size=SIZE, channels="L")
    with pytest.raises(DataError, match=r"grey cannot take the pictures that its preprocessing makes, \(1, 1, 16, 16\)"):
        compare_networks({"fine": small_model(), "grey": grey}, open_pictures(folder))
    grey.preprocessing = None
    with pytest.raises(DataError, match="grey does not say how pictures become its input"):
        check_input(grey, "grey")


def test_a_class_of_too_few_pictures_is_said_of_the_pictures_and_not_of_a_network(folder):  # noqa: F811
    rare = open_pictures(folder).subset([*range(20), 20, 21])
    with pytest.raises(DataError, match=r"^pictures: .*'upright' has 1"):
        compare_networks({"a": small_model(), "b": small_model()}, rare)


# ---- the command


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "first.h5", tmp_path / "second.h5"]
    for seed, path in enumerate(paths):
        small_model(seed, width=40 * (seed + 1)).save(path)
    return [str(path) for path in paths]


def run(data, files, out):
    return main(["advise", "--data", str(data), "--quick", "--out", str(out), *(w for f in files for w in ("--model", f))])


def test_command_prints_the_networks_and_writes_figures_and_numbers(folder, files, tmp_path, capsys, monkeypatch):  # noqa: F811
    monkeypatch.setattr(rules, "ENOUGH", 0)  # else 30 pictures are many for networks as small as these: train a new one
    out = tmp_path / "out"
    assert run(folder, files, out) == 0
    printed = capsys.readouterr().out
    assert (
        printed.index("Networks for pictures, on the same 30 pictures") < printed.index("Recommended: ") < printed.index("Why")
    )
    assert sorted(path.name for path in out.iterdir()) == ["advice.json", "advice.png", "networks.png"]
    numbers = json.loads((out / "advice.json").read_text())
    found = numbers["comparison"]
    assert list(found["networks"]) == files and found["recommended"] in files
    assert found["networks"][found["best"]]["better_than_best"] == [0, 0]
    assert set(found["baselines"]) == {"the largest network", "k-NN", "LogME", "H-score"}
    assert found["recommended"] in numbers["command"]
    assert "p_value" in numbers["evidence"] and "knn" in numbers["evidence"]["codes"][-1]


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("{first}", "are the same network; name each once"),
        ("{parent}/../{folder}/first.h5", "are the same network; name each once"),
        ("no-such-network", "there is no model 'no-such-network'"),
    ],
)
def test_command_refuses_what_it_cannot_compare(second, said, folder, files, tmp_path, capsys):  # noqa: F811
    second = second.format(first=files[0], parent=tmp_path, folder=tmp_path.name)
    assert run(folder, [files[0], second], tmp_path / "out") == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]


def test_a_known_network_is_the_same_however_it_is_written(folder, tmp_path, capsys):  # noqa: F811
    assert run(folder, ["lenet5_mnist", "LeNet5-MNIST"], tmp_path / "out") == 1
    assert "--model lenet5_mnist and --model LeNet5-MNIST are the same network" in capsys.readouterr().err


def test_pictures_of_one_class_are_refused_for_several_networks_as_for_one(tmp_path, files, capsys):
    (tmp_path / "one" / "ants").mkdir(parents=True)
    Image.new("RGB", (SIZE, SIZE)).save(tmp_path / "one" / "ants" / "0.png")
    assert run(tmp_path / "one", files, tmp_path / "out") == 1
    assert "only one class" in capsys.readouterr().err
