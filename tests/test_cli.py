"""What a shell, a terminal and a file system do to the command ``minicnn``: any encoding, any name, ``~`` and patterns."""

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from test_novelty import tiny
from test_predict import write

from minicnn.cli import build_parser, main
from minicnn.models import lenet5
from minicnn.models.model import load_model


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def terminal(monkeypatch):
    """Standard output and standard error in an encoding; gives what was printed."""

    def open_in(encoding):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])

        def printed():
            for stream in streams:
                stream.flush()
            return [stream.buffer.getvalue().decode(encoding) for stream in streams]

        return printed

    return open_in


GREY = np.full((8, 8, 3), 128, np.uint8)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp949", "utf-8"])
def test_no_name_is_too_foreign_for_the_terminal(encoding, tmp_path, terminal):
    model = tiny(classes=["Käfer 🐞", "蜂"])
    model.save(tmp_path / "modèle 🐜.h5")
    printed = terminal(encoding)
    picture = write(tmp_path / "蟻 🐜.png", GREY)
    assert main(["predict", str(tmp_path / "modèle 🐜.h5"), picture, str(tmp_path / "fehlt 🐝.png")]) == 1
    assert main(["weights", "show", str(tmp_path / "modèle 🐜.h5")]) == 0
    assert main(["weights", "show", str(tmp_path / "fehlt 🐝.h5")]) == 1
    assert main(["advise", "--data", str(tmp_path / "fehlt 🐝"), "--out", str(tmp_path / "out")]) == 1
    assert main(["transfer", "--data", str(tmp_path / "fehlt 🐝"), "--out", str(tmp_path / "out")]) == 1
    out, err = printed()
    ant, bee = ("🐜", "🐝") if encoding == "utf-8" else (r"\U0001f41c", r"\U0001f41d")
    assert ant in out and bee in err and "100.0 %" not in err


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are text there")
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_name_that_is_not_utf8_is_read_and_printed(encoding, tmp_path, terminal):
    tiny().save(tmp_path / "model.h5")
    picture = os.fsdecode(os.fsencode(tmp_path) + b"/\xb0\xb3.png")
    write(tmp_path / "a.png", GREY)
    os.rename(tmp_path / "a.png", picture)
    printed = terminal(encoding)
    tables = ["--csv", str(tmp_path / "t.csv"), "--json", str(tmp_path / "t.json")]
    assert main(["predict", str(tmp_path / "model.h5"), picture]) == 0
    assert main(["predict", str(tmp_path / "model.h5"), picture, *tables]) == 0
    assert r"\udcb0\udcb3.png" in printed()[0]
    assert r"\udcb0\udcb3.png" in (tmp_path / "t.csv").read_text(encoding="utf-8-sig")


def test_a_tilde_after_an_equals_sign_is_the_home_folder(home):
    parse = build_parser().parse_args
    transfer, advise = parse(["transfer", "--out=~/x", "--data=~/x"]), parse(["advise", "--out=~/x", "--model=~/x"])
    predict = parse(["predict", "--csv=~/x", "--json=~/x", "a.png"])
    convert = parse(["weights", "convert", "~/x", "--arch", "lenet5", "--out=~/x", "--classes=~/x"])
    found = [transfer.out, transfer.data, advise.out, *advise.model, predict.csv, predict.json]
    found += [convert.file, convert.out, convert.classes, parse(["weights", "show", "~/x"]).name_or_file]
    assert set(map(Path, found)) == {home / "x"}


def test_the_home_of_nobody_is_an_error_and_no_new_folder(home, capsys):
    with pytest.raises(SystemExit):
        main(["transfer", "--out=~nobody-is-called-that/x"])
    assert "no user is called 'nobody-is-called-that'" in capsys.readouterr().err
    assert not os.listdir(home.parent)


def test_a_file_whose_name_begins_with_a_tilde_is_found(home):
    (home.parent / "~x.h5").write_bytes(b"")
    assert build_parser().parse_args(["weights", "show", "~x.h5"]).name_or_file == os.path.join(".", "~x.h5")


def test_python_knows_the_tilde_too(home):
    lenet5(rng=0).save("~/models/lenet.h5")
    assert os.listdir(home / "models") == ["lenet.h5"]
    assert load_model("~/models/lenet.h5").architecture == "lenet5"


def test_verify_replaces_patterns_as_well(home, capsys):
    for name in ("a.h5", "b.h5"):
        (home.parent / name).write_bytes(b"no model")
    main(["weights", "verify", "*.h5"])
    output = "".join(capsys.readouterr())
    assert "a.h5" in output and "b.h5" in output
    assert main(["weights", "verify", "*.pth"]) == 1
    assert "no file matches" in capsys.readouterr().err
