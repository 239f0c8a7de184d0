"""`minicnn predict`: pictures however they are named, bad ones among them, and tables that other programs read."""

import csv
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_novelty import STRIPES, tiny

from minicnn.cli import main
from minicnn.data.picture_set import FileSource
from minicnn.errors import DataError
from minicnn.models.model import load_model
from minicnn.models.predict import expand_patterns, find_pictures, predict_pictures
from minicnn.transfer.novelty import codes_of, fit_novelty


@pytest.fixture
def model_file(tmp_path):
    rng = np.random.default_rng(0)
    pictures = rng.normal(128, 12, (60, 8, 8, 3)).clip(0, 255).astype(np.uint8)
    model = tiny()
    codes = codes_of(model, pictures, np.arange(60))
    model.novelty = fit_novelty(model, codes[:30], np.zeros(30, int), codes[30:])
    model.save(tmp_path / "model.h5")
    return str(tmp_path / "model.h5")


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.fixture
def folder(tmp_path):
    """Two usual pictures, one that is unlike them, and what folders of pictures hold besides."""
    grey = np.random.default_rng(1).normal(128, 12, (2, 8, 8, 3)).clip(0, 255).astype(np.uint8)
    write(tmp_path / "pictures" / "a.png", grey[0])
    write(tmp_path / "pictures" / "deeper" / "b.png", grey[1])
    write(tmp_path / "pictures" / "stripes.png", STRIPES)
    (tmp_path / "pictures" / "notes.txt").write_text("where they are from")
    (tmp_path / "pictures" / ".hidden.png").write_bytes(b"")
    return tmp_path / "pictures"


def names_of(sources):
    return [source.name for source in sources]


# ---- which pictures


def test_a_folder_stands_for_all_pictures_in_it(folder, model_file, capsys):
    assert main(["predict", model_file, str(folder), "--top", "1"]) == 0
    output = capsys.readouterr()
    assert [os.path.relpath(line, folder) for line in output.out.splitlines()[::2]] == [
        "a.png",
        os.path.join("deeper", "b.png"),
        "stripes.png",
    ]
    assert "1 file(s) that are none (.txt)" in output.err


@pytest.mark.parametrize("name", ["pictures.zip", "without suffix"])
def test_a_zip_archive_stands_for_all_pictures_in_it(folder, tmp_path, name):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.write(folder / "a.png", "x/a.png")
        archive.writestr("readme.md", "no picture")
    notes = []
    (source,) = find_pictures([str(tmp_path / name)], notes.append)
    assert source.name == f"{tmp_path / name}/x/a.png" and source.read() == (folder / "a.png").read_bytes()
    assert len(notes) == 1


def test_patterns_are_replaced_where_the_shell_has_not_done_it(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert expand_patterns(["*.png", "a.png"]) == ["a.png", "stripes.png", "a.png"]
    assert expand_patterns(["**/[ab].png"]) == ["a.png", os.path.join("deeper", "b.png")]
    with pytest.raises(DataError, match=r"\*\.jpg: no file matches"):
        expand_patterns(["*.jpg"])


def test_the_name_of_a_file_is_no_pattern(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("[1].png", "1.png"):
        (tmp_path / name).write_bytes(b"")
    assert expand_patterns(["[1].png"]) == ["[1].png"]


def test_a_tilde_is_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    assert [os.path.relpath(path, folder) for path in expand_patterns(["~/*.png"])] == ["a.png", "stripes.png"]


def test_a_folder_without_pictures_is_an_error_that_says_what_is_in_it(tmp_path, model_file, capsys):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("text")
    assert main(["predict", model_file, str(tmp_path / "texts")]) == 1
    assert "there are no pictures in" in (error := capsys.readouterr().err) and ".txt" in error


def test_pictures_may_follow_an_option(folder, model_file, capsys):
    assert main(["predict", model_file, "--top", "1", str(folder / "a.png"), str(folder / "stripes.png")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    with pytest.raises(SystemExit):
        main(["predict", model_file, str(folder), "--no-such-option"])
    with pytest.raises(SystemExit):
        main(["advise", "pictures"])


# ---- what they show


def test_predictions_are_those_of_the_model(folder, model_file):
    model = load_model(model_file)
    paths = [folder / "a.png", folder / "stripes.png"] * 150
    predictions = list(predict_pictures(model, [FileSource(path, str(path)) for path in paths], top=2))
    expected = model.top_classes(paths[:2], top=2)
    assert [prediction.picture for prediction in predictions] == list(map(str, paths))
    for prediction, ranking in zip(predictions, expected * 150, strict=True):
        assert [name for name, _ in prediction.ranking] == [name for name, _ in ranking] and prediction.excess is None
        assert [p for _, p in prediction.ranking] == pytest.approx([p for _, p in ranking], abs=1e-5)


def test_a_picture_that_cannot_be_read_does_not_stop_the_others(folder, model_file, tmp_path, capsys):
    (folder / "a0.png").write_bytes((folder / "a.png").read_bytes()[:60])
    assert main(["predict", model_file, str(folder), str(tmp_path / "absent.png"), "--csv", str(tmp_path / "t.csv")]) == 1
    output = capsys.readouterr()
    assert "a0.png is truncated" in output.err and "absent.png: there is no such file" in output.err
    assert "3 predictions, 2 not readable" in output.out


@pytest.mark.parametrize("copies", [1, 10])
def test_with_reject_a_picture_unlike_the_training_pictures_is_none_of_these(folder, model_file, copies):
    sources = find_pictures([str(folder)] * copies, print)
    predictions = list(predict_pictures(load_model(model_file), sources, reject=True))
    assert [prediction.answer == "none of these" for prediction in predictions] == [False, False, True] * copies
    assert all(prediction.ranking for prediction in predictions)


def test_reject_prints_what_was_rejected_and_how_much_of_that_is_usual(folder, model_file, capsys):
    assert main(["predict", model_file, "--reject", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "none of these  (" in out and "1 of 3 are none of these" in out and "about 3.2 %" in out


def test_a_model_without_a_detector_says_so_before_any_picture_is_read(tmp_path, capsys):
    tiny().save(tmp_path / "old.h5")
    assert main(["predict", str(tmp_path / "old.h5"), "--reject", "absent.png"]) == 1
    error = capsys.readouterr().err
    assert "nothing to reject pictures with" in error and "absent" not in error


# ---- tables


def test_the_table_for_spreadsheets(folder, model_file, tmp_path):
    (folder / "c.png").write_bytes(b"\x89PNG\r\n")
    os.rename(folder / "a.png", folder / "Ämeise, rot 🐜.png")
    main(["predict", model_file, str(folder), "--reject", "--top", "1", "--csv", str(tmp_path / "t.csv")])
    assert (tmp_path / "t.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    with open(tmp_path / "t.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["picture", "answer", "class_1", "probability_1", "distance", "error"]
    by_name = {os.path.basename(row["picture"]): row for row in rows}
    assert by_name["stripes.png"]["answer"] == "none of these" and float(by_name["stripes.png"]["distance"]) > 1
    assert by_name["Ämeise, rot 🐜.png"]["answer"] == by_name["Ämeise, rot 🐜.png"]["class_1"] in ("dark", "light")
    assert by_name["c.png"]["answer"] == "" and "truncated" in by_name["c.png"]["error"]


def test_the_table_for_programs(folder, model_file, tmp_path):
    assert main(["predict", model_file, str(folder), "--json", str(tmp_path / "new" / "t.json")]) == 0
    table = json.loads((tmp_path / "new" / "t.json").read_text(encoding="utf-8"))
    assert table["model"] == model_file and len(table["predictions"]) == 3
    first = table["predictions"][0]
    assert first["answer"] == first["classes"][0]["class"] and "distance" not in first and "error" not in first
    assert sum(ranked["probability"] for ranked in first["classes"]) == pytest.approx(1, abs=1e-5)


def test_a_table_replaces_no_model_and_no_picture(folder, model_file, capsys):
    (folder / "results.json").write_text('{\n "version": "0.1.0"}')
    (folder / "measured.csv").write_text("picture,length\n")
    for target in (Path(model_file), folder / "a.png", folder / "results.json", folder / "measured.csv"):
        before = target.read_bytes()
        assert main(["predict", model_file, str(folder), "--csv", str(target)]) == 1
        assert f"{target} is there" in capsys.readouterr().err and target.read_bytes() == before
    assert main(["predict", model_file, str(folder), "--json", str(folder)]) == 1
    assert "is a folder" in capsys.readouterr().err
