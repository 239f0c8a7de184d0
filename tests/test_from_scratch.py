"""`minicnn.from_scratch`: any data as one kind of object, a run that can be killed, and a report that says how it was made."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from test_mnist_files import idx

import minicnn
from minicnn.errors import DataError, TrainingError
from minicnn.from_scratch import Settings, open_data_set, train
from minicnn.from_scratch.live import LiveChart, bar, line

EPOCHS = 3


def nothing(text):
    """Where nobody listens."""


def barred(n, rng):
    """Noise (n, 28, 28) with a bright bar whose place tells the class, and the classes."""
    y = np.arange(n) % 10
    x = rng.integers(0, 60, (n, 28, 28))
    for picture, k in zip(x, y, strict=True):
        picture[2 * k + 3 : 2 * k + 8] += 150
    return x.astype(np.uint8), y


def write_digits(folder):
    """The four files of MNIST, with bars in place of digits: 200 to train on, 50 to test."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for part, n in (("train", 200), ("t10k", 50)):
        x, y = barred(n, rng)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(x))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(y))


def write_pictures(folder, grey=False):
    """Two classes of 12 pictures of 20 x 30: reddish ones and bluish ones."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(("blue", "red")):
        (folder / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 100, (20, 30, 3)).astype(np.uint8)
            pixels[..., 2 - 2 * k] += 120
            Image.fromarray(pixels[..., 0] if grey else pixels).save(folder / name / f"{i}.png")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder for MINICNN_DATA that has "MNIST"."""
    folder = tmp_path_factory.mktemp("data")
    write_digits(folder / "mnist")
    return folder


@pytest.fixture(autouse=True)
def environment(data, monkeypatch):
    monkeypatch.setenv("MINICNN_DATA", str(data))


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """An unbroken run: its folder, its results, and what it said."""
    said, out = [], tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINICNN_DATA", str(data))
        results = train(Settings("mnist", epochs=EPOCHS, batch_size=20, out=out, progress=False), said.append)
    return out, results, said


# ---- the data


def test_a_well_known_data_set_keeps_its_test_part_and_a_tenth_of_the_others_is_held_out():
    said = []
    digits = open_data_set(Settings("MNIST"), said.append)
    x, y = digits.part("train")
    assert {part: len(rows) for part, rows in digits.parts.items()} == {"train": 180, "val": 20, "test": 50}
    assert digits.pixels.shape == (250, 28, 28, 1) and digits.pixels.dtype == np.uint8
    assert np.bincount(digits.part("val")[1]).tolist() == [2] * 10
    every = np.concatenate([digits.part(part)[0][np.arange(len(rows))] for part, rows in digits.parts.items()])
    assert len(np.unique(every.reshape(250, -1), axis=0)) == 250, "no picture is in two parts"
    assert all(x[np.array([i])][0, 2 * y[i] + 5].mean() > 100 for i in range(180)), "labels belong to pictures"
    assert "val  test" in said[1] and "validation pictures are taken out of the training part" in said[1]


def test_pictures_that_came_as_arrays_can_be_shown_by_name():
    digits = open_data_set(Settings("mnist"), nothing)
    last = len(digits.pictures) - 1
    assert digits.pictures.file_name(last) == "test/49"
    np.testing.assert_array_equal(digits.pictures.picture(last), np.repeat(digits.pixels[last], 3, axis=-1))


def test_a_quick_run_takes_a_tenth_of_the_pictures():
    said = []
    digits = open_data_set(Settings("mnist", quick=True), said.append)
    assert len(digits.pictures) < 60 and set(digits.part("train")[1]) == set(range(10))
    assert "of 250 pictures, to save time (--quick)" in said[1]


def test_cifar10_from_jpegs_says_that_they_are_lossy(monkeypatch):
    from minicnn.data.cifar10 import Cifar10Files

    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8) for n in (40, 20)]
    monkeypatch.setattr(
        Cifar10Files, "load", lambda self, progress: (arrays[0], np.arange(40) % 10, arrays[1], np.arange(20) % 10)
    )
    monkeypatch.setattr("minicnn.from_scratch.data_sets.find_cifar10", lambda: Cifar10Files("cifar10-jpeg.zip", "jpeg"))
    said = []
    objects = open_data_set(Settings("cifar10"), said.append)
    assert "lossy" in said[1]
    np.testing.assert_array_equal(objects.part("test")[0][0], arrays[1][0].transpose(1, 2, 0))


def test_a_folder_is_read_at_one_size_and_what_was_found_is_said_first(tmp_path):
    write_pictures(tmp_path / "colours")
    write_pictures(tmp_path / "colours" / "out")  # what an earlier run left there is no class
    said = []
    colours = open_data_set(Settings(str(tmp_path / "colours"), size=(16, 24), out=tmp_path / "colours" / "out"), said.append)
    assert colours.pictures.classes == ["blue", "red"] and colours.pixels.shape == (24, 16, 24, 3)
    assert sorted(np.concatenate(list(colours.parts.values()))) == list(range(24))
    assert "minicnn transfer" in said[1], "so few pictures are better used otherwise"


def test_data_that_is_not_there_is_said_to_be_missing(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"no such folder or archive.*mnist, fashion-mnist, cifar10, or a folder or .zip"):
        open_data_set(Settings(str(tmp_path / "mnits")), nothing)
    with pytest.raises(DataError, match=r"fashion-mnist has no file"):
        open_data_set(Settings("fashion-mnist"), nothing)
    monkeypatch.delenv("MINICNN_DATA")
    with pytest.raises(DataError, match="MINICNN_DATA is not set"):
        open_data_set(Settings("mnist"), nothing)
    with pytest.raises(ValueError, match="--size 32x32: the pictures of MNIST stay as they are"):
        open_data_set(Settings("mnist", size=(32, 32)), nothing)


# ---- what is asked for


def test_each_data_set_has_its_usual_recipe_and_what_is_asked_for_goes_before_it():
    assert [Settings(name).recipe_name for name in ("mnist", "fashion-mnist", "cifar10", "pictures/")] == [
        "digits",
        "clothes",
        "speed-run",
        "adamw",
    ]
    asked = Settings("mnist", recipe="clothes", epochs=5, learning_rate=0.1).chosen_recipe()
    assert (asked.architecture, asked.epochs, asked.learning_rate, asked.batch_size) == ("vgg_small", 5, 0.1, 64)
    assert Settings("mnist", quick=True).chosen_recipe().epochs == 2
    assert Settings("mnist", quick=True, epochs=7).chosen_recipe().epochs == 7


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"recipe": "soup"}, "there is no recipe 'soup'; there are digits, clothes"),
        ({"epochs": 0}, "epochs is a whole number of at least 1, got 0"),
        ({"batch_size": 0}, "batch_size is a whole number of at least 1"),
        ({"learning_rate": float("nan")}, "learning_rate is a number above 0"),
        ({"learning_rate": -1.0}, "learning_rate is a number above 0"),
        ({"seed": -1}, "seed is a whole number of at least 0"),
        ({"size": (0, 5)}, "size is .height, width. in pixels"),
    ],
)
def test_what_cannot_be_is_refused_at_once(asked, fault):
    with pytest.raises(ValueError, match=fault):
        Settings("mnist", **asked)


# ---- the chart


def test_the_chart_grows_from_0_to_100_percent():
    assert bar(0.0, 0.0) == "|" + "." * 39
    assert bar(1.0, 1.0) == "#" * 39 + "|"
    assert bar(0.5, 0.25).index("|") == 19 and bar(0.5, 0.25).count("#") == 10


def test_the_chart_is_made_of_characters_that_every_terminal_has():
    record = {"epoch": 2, "loss": 0.1, "train_accuracy": 0.75, "val_accuracy": 0.5, "seconds": 7000.0}
    assert line(record, 10, 56000.0).isascii() and line(record, 10, 56000.0).endswith("1.9 h   15.6 h")


def test_the_rest_is_estimated_by_the_epochs_of_this_session():
    said = []
    chart = LiveChart(said.append)
    record = {"epoch": 1, "loss": 1.0, "train_accuracy": 0.5, "val_accuracy": 0.5, "seconds": 1000.0}
    run = SimpleNamespace(epoch=2, epochs=5, history=SimpleNamespace(epochs=[record]))  # the first epoch was in an earlier one
    chart.on_fit_begin(run)
    assert said[0].split()[0] == "epoch" and said[1].split()[0] == "1/5"
    run.history.epochs.append(record | {"epoch": 2, "seconds": 10.0})
    chart.on_epoch_end(run)
    assert said[2].split()[0] == "2/5" and said[2].endswith("30 s")


# ---- runs


def test_a_finished_run_leaves_a_model_that_knows_its_classes_and_where_it_is_from(finished):
    out, results, _ = finished
    model = minicnn.load(out / "model.h5")
    assert model.classes == [str(digit) for digit in range(10)] and model.preprocessing.channels == "L"
    assert model.provenance["source"].startswith("trained from scratch on MNIST")
    assert model.provenance["test_accuracy"] == results["strategies"][0]["runs"][0]["accuracy"] > 0.8
    assert not (out / "checkpoints").exists()


def test_the_numbers_of_the_report_are_those_of_the_model(finished):
    out, results, _ = finished
    digits = open_data_set(Settings("mnist"), nothing)
    model = minicnn.load(out / "model.h5")
    record = results["strategies"][0]["runs"][0]
    for part, accuracy in (("val", record["val_accuracy"]), ("test", record["accuracy"])):
        x, y = digits.part(part)
        predicted = model.forward(model.preprocessing.normalise(x[np.arange(len(x))])).argmax(1)
        assert accuracy == pytest.approx(np.mean(predicted == y))
    assert np.sum(record["confusion"]) == 50


def test_the_report_has_curves_confusion_recipe_and_network(finished):
    out, results, _ = finished
    page = (out / "report.html").read_text(encoding="utf-8")
    for words in ("lenet5 trained on MNIST", "Learning curves", "Confusion matrices", "digits: SGD, 3 epochs in batches of 20"):
        assert words in page
    assert "shifts up to 8 %" in page and "c1       Conv2d" in page and "minicnn predict model.h5" in page
    assert "Test accuracy</h2>" not in page, "a single dot is no figure"
    assert json.loads((out / "results.json").read_text(encoding="utf-8"))["recommendation"] == results["recommendation"]
    assert len(results["strategies"][0]["runs"][0]["phases"][0]["history"]) == EPOCHS


def test_a_line_is_said_for_each_epoch(finished):
    assert [text.split()[0] for text in finished[2] if "#" in text][1:] == ["1/3", "2/3", "3/3"]


KILLED = """
import os, signal, sys
from pathlib import Path
from minicnn.from_scratch import Settings, train

def log(text):
    if text.split()[0] == "2/3":
        os.kill(os.getpid(), signal.SIGKILL)

out = Path(sys.argv[1])
train(Settings("mnist", epochs=3, batch_size=20, out=out, progress=False, seconds_between_checkpoints=0), log)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_run_ends_as_the_unbroken_one_to_the_bit(finished, tmp_path):
    dead = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=os.environ, timeout=300)
    assert dead.returncode == -signal.SIGKILL and not (tmp_path / "model.h5").exists()
    settings = Settings("mnist", epochs=EPOCHS, batch_size=20, out=tmp_path, progress=False)

    with pytest.raises(TrainingError, match=r"has not finished\. To go on with it, add --resume; to begin anew, delete"):
        train(settings, nothing)
    with pytest.raises(TrainingError, match="was begun with --batch-size 20, and now it is 10"):
        train(replace(settings, batch_size=10, resume=True), nothing)
    with pytest.raises(TrainingError, match="was begun with --arch lenet5, and now it is vgg_small"):
        train(replace(settings, architecture="vgg_small", resume=True), nothing)

    said = []
    results = train(replace(settings, resume=True), said.append)
    ours, theirs = (minicnn.load(folder / "model.h5").parameters() for folder in (tmp_path, finished[0]))
    for name in theirs:
        np.testing.assert_array_equal(ours[name].value, theirs[name].value, err_msg=name)
    assert results["recommendation"] == finished[1]["recommendation"]
    assert any("going on from" in text for text in said) and not (tmp_path / "checkpoints").exists()


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(tmp_path, capsys):
    said = []

    def log(text):
        said.append(text)
        if text.split()[0] == "2/3":
            raise KeyboardInterrupt

    options = {"epochs": 3, "batch_size": 20, "out": tmp_path, "progress": False, "command": "minicnn train --data mnist"}
    assert train(Settings("mnist", **options, seconds_between_checkpoints=0), log) is None
    assert said[-1] == "stopped; to go on: minicnn train --data mnist --resume"
    assert list((tmp_path / "checkpoints").glob("*.h5")) and not (tmp_path / "report.html").exists()
    capsys.readouterr()


def test_a_finished_run_is_not_resumed_and_one_that_never_began_begins(finished, tmp_path):
    with pytest.raises(TrainingError, match="has finished: there is nothing to go on with"):
        train(Settings("mnist", out=finished[0], resume=True), nothing)
    said = []
    settings = Settings("mnist", epochs=1, batch_size=20, quick=True, resume=True, out=tmp_path, progress=False)
    assert train(settings, said.append)["strategies"]
    assert "there is no checkpoint to go on from: the run begins" in said


def test_a_file_of_somebody_else_among_the_checkpoints_stays(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "notes.txt").write_text("mine")
    train(Settings("mnist", epochs=1, batch_size=20, quick=True, out=tmp_path, progress=False), nothing)
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == ["notes.txt"]


def test_an_architecture_that_cannot_take_the_pictures_is_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match="there is no architecture 'lenet6'"):
        train(Settings("mnist", architecture="lenet6", out=tmp_path), nothing)
    with pytest.raises(ValueError, match="speed-run is for speed_net, got lenet5"):
        train(Settings("mnist", architecture="lenet5", recipe="speed-run", out=tmp_path), nothing)
    assert not (tmp_path / "model.h5").exists()
