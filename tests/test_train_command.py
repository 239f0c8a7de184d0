"""``minicnn train`` as it is typed: what it prints, what it writes, and how it ends."""

import zipfile

import pytest
from test_from_scratch import write_digits, write_pictures

from minicnn.cli import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with the digits beside it."""
    monkeypatch.delenv("MINICNN_DATA", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def fails(capsys, *words) -> str:
    """What a command that cannot work says, which is one line, with exit status 1."""
    assert main(["train", *words]) == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith("minicnn train: ") and "\n" not in said and "Traceback" not in said
    return said


def test_a_folder_is_trained_on_and_predicted_with(here, capsys):
    write_pictures(here / "colours")
    words = ["--arch", "cifar_net", "--size", "32", "--epochs", "6", "--batch-size", "4", "--out", "out"]
    assert main(["train", "--data", "colours", *words]) == 0
    printed = capsys.readouterr().out
    assert printed.index("class") < printed.index("epoch"), "what was found is said first"
    assert "cifar_net from scratch" in printed and "The report: out" in printed
    assert printed.encode("cp1252")
    assert "minicnn predict out" in printed
    assert main(["predict", "out/model.h5", "colours/red/0.png"]) == 0
    assert "red" in capsys.readouterr().out
    assert main(["weights", "show", "out/model.h5"]) == 0
    assert "trained from scratch on colours" in capsys.readouterr().out
    assert {"report.html", "results.json", "model.h5", "learning_curves.png"} <= {
        file.name for file in (here / "out").iterdir()
    }


def test_the_report_in_a_folder_of_pictures_is_no_class(here, capsys):
    write_pictures(here / "colours")
    words = ["train", "--data", "colours", "--arch", "cifar_net", "--size", "32", "--epochs", "1", "--out", "colours/report"]
    for _ in range(2):
        assert main(words) == 0
        assert "24 pictures of 2 classes" in capsys.readouterr().out


def test_an_archive_of_grey_pictures_is_trained_on(here, capsys):
    write_pictures(here / "greys", grey=True)
    with zipfile.ZipFile("greys.zip", "w") as archive:
        for file in sorted((here / "greys").rglob("*.png")):
            archive.write(file, file.relative_to(here))
    assert main(["train", "--data", "greys.zip", "--arch", "cifar_net", "--size", "32", "--quick", "--epochs", "1"]) == 0
    assert main(["predict", "train-report/model.h5", "greys/red/0.png"]) == 0
    capsys.readouterr()


def test_ctrl_c_ends_with_its_own_status(here, monkeypatch, capsys):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    write_digits(here / "mnist")
    monkeypatch.setenv("MINICNN_DATA", str(here))
    monkeypatch.setattr("minicnn.from_scratch.live.line", interrupt)
    assert main(["train", "--data", "mnist", "--quick"]) == 130
    printed = capsys.readouterr()
    assert "the first checkpoint is written after 30 seconds" in printed.out and "stopped by Ctrl-C" in printed.err


def test_each_mistake_is_one_sentence(here, capsys):
    assert "MINICNN_DATA is not set" in fails(capsys, "--data", "mnist")
    assert "no such folder or archive" in fails(capsys, "--data", "mnits")
    write_pictures(here / "colours")
    assert "there is no recipe 'soup'" in fails(capsys, "--data", "colours", "--recipe", "soup")
    assert "there is no architecture 'vgg3'" in fails(capsys, "--data", "colours", "--arch", "vgg3")
    assert "speed_net" in fails(capsys, "--data", "colours", "--arch", "vgg_small", "--recipe", "speed-run")
    assert "expects 4096 features" in fails(capsys, "--data", "colours", "--arch", "cifar_net", "--size", "32x48")
    assert "use a larger picture" in fails(capsys, "--data", "colours", "--size", "4x4")
    assert "learning_rate is a number above 0" in fails(capsys, "--data", "colours", "--learning-rate", "0")
    (here / "one" / "class").mkdir(parents=True)
    (here / "colours" / "red" / "0.png").rename(here / "one" / "class" / "0.png")
    assert "has only one class" in fails(capsys, "--data", "one")


@pytest.mark.parametrize("words", [["--size", "64x"], ["--size", "0"], ["--epochs", "0"], ["--seed", "-1"], []])
def test_words_that_are_no_numbers_are_refused_by_name(words, here, capsys):
    with pytest.raises(SystemExit):
        main(["train", *(["--data", "mnist"] if words else []), *words])
    assert (words[0] if words else "--data") in capsys.readouterr().err
