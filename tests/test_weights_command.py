"""``minicnn weights`` lists, fetches, converts, checks and shows; what cannot be done is one sentence and status 1."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import minicnn
from minicnn.cli import main
from minicnn.models import resnet20
from minicnn.models.strict import arrays_of
from minicnn.pretrained import command, downloads, registry
from minicnn.pretrained.convert import foreign_names
from minicnn.pretrained.entries import ENTRIES


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in; the cache and the data are there as well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path


@pytest.fixture
def run(capsys):
    """Runs one command; gives its status, what it printed, and what it complained about."""

    def command(line):
        status = main(["weights", *line.split()])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return command


@pytest.fixture
def checkpoint(here):
    """Somebody's ResNet-20, in the names of its PyTorch project."""
    model = resnet20(rng=0).eval()
    np.savez("mine.npz", **{theirs: arrays_of(model)[ours] for ours, theirs in foreign_names(model, "torchvision").items()})
    return model


@pytest.fixture
def published(here, checkpoint, monkeypatch):
    """The entry of resnet20, as if that file were the published one; it is in MINICNN_DATA."""
    entry = ENTRIES["resnet20"]
    path = here / "data" / entry.file
    path.write_bytes((here / "mine.npz").read_bytes())
    entry = replace(entry, hash=f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}", size=None)
    monkeypatch.setitem(ENTRIES, "resnet20", entry)
    return path


# ---- list and show


def test_the_list_says_of_each_what_it_is_and_whether_it_is_here(run, published):
    status, out, _ = run("list")
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert status == 0 and lines["name"].split()[-1] == "here" and len(lines) > len(ENTRIES)
    assert lines["resnet20"].endswith("yes") and lines["resnet18"].endswith("no")
    assert "46.8 MB   69.8 %  BSD-3-Clause" in lines["resnet18"] and "alexnet" in lines["alexnet"]
    assert "unknown   57.1 %  unrestricted" in lines["alexnet"]  # nobody says how large that file is
    assert str(published.parent) in out and "lenet5_mnist" in lines


def test_published_weights_are_shown_with_all_that_is_known(run, published):
    status, out, _ = run("show resnet20")
    assert status == 0 and f"here:              {published}" in out
    for part in ("91.73 %", "published top-5:   unknown", "BSD-2-Clause", "arXiv 1512.03385", "CIFAR-10", "centre crop 32x32",
                 "https://github.com/akamaster/", "parameters: 269,722", "conv4_3"):  # fmt: skip
        assert part in out
    assert "hash:              unknown" in run("show mobilenet_v1")[1]


def test_files_of_others_and_of_ours_are_shown(run, checkpoint):
    status, out, _ = run("show mine.npz")
    assert status == 0 and "layer1.0.bn1.running_var" in out and "(16, 16, 3, 3)" in out and "97 arrays, 271,098 numbers" in out
    run("convert mine.npz --arch resnet20 --out mine.h5")
    status, out, _ = run("show mine.h5")
    assert status == 0 and "mine.npz, in the names of torchvision" in out and "centre crop 32x32" in out
    assert run("show lenet5_mnist")[1].startswith("architecture:")


# ---- convert


def test_a_conversion_prints_its_table_and_the_model_runs(run, here, checkpoint):
    (here / "classes.txt").write_text("\n".join("abcdefghij") + "\n\n")
    status, out, _ = run("convert mine.npz --arch resnet20 --source torchvision --classes classes.txt --out sub/mine.h5")
    assert status == 0
    assert "layer1.0.conv1.weight (16, 16, 3, 3) -> conv2_1.sum.body.conv1.conv.w (16, 16, 3, 3)\n" in out
    assert "97 of 97 arrays loaded, by the names of torchvision." in out
    model = minicnn.load("sub/mine.h5")
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    assert model.classes == [*"abcdefghij"] and np.array_equal(model.forward(x), checkpoint.forward(x))
    (best,) = model.predict(np.zeros((40, 40, 3), np.uint8))
    assert best in "abcdefghij"


def test_a_partial_conversion_says_what_was_not_loaded(run, checkpoint):
    status, out, _ = run("convert mine.npz --arch resnet20 --partial --classes 3 --out mine.h5")
    assert status == 0 and "95 of 97 arrays loaded" in out
    assert "linear.weight (10, 64)" in out and "NOT LOADED" in out and "fc.w: (10, 64), the network has (3, 64)" in out


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("convert mine.npz --arch resnet51 --out x.h5", "no architecture 'resnet51'; known are"),
        ("convert mine.npz --arch resnet32 --out x.h5", "60 missing: conv2_4.sum"),
        (
            "convert mine.npz --arch resnet20 --classes 3 --out x.h5",
            "2 of another shape: fc.w: (10, 64), the network has (3, 64)",
        ),
        ("convert mine.npz --arch vgg16 --source keras --out x.h5", "none of the names that keras gives"),
        ("convert mine.npz --arch resnet20 --size 32 --out x.h5", "--size is HEIGHTxWIDTH"),
        ("convert mine.npz --arch resnet20 --size 32x32 --out x.h5", "resnet20 has no input_shape"),
        ("convert mine.npz --arch resnet20 --classes nowhere.txt --out x.h5", "--classes is a number, imagenet, or a file"),
        ("convert nowhere.pth --arch resnet20 --out x.h5", "nowhere.pth cannot be read: No such file"),
        ("convert classes.txt --arch resnet20 --out x.h5", "classes.txt is not a file of PyTorch"),
        ("fetch resnet51", "no published weights 'resnet51'; known are efficientnet_lite0"),
        ("fetch lenet5_mnist", "lenet5_mnist comes with minicnn; there is nothing to fetch"),
        ("show resnet51", "no weights and no file 'resnet51'; known are lenet5_mnist"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run, here, checkpoint, line, complaint):
    (here / "classes.txt").write_text("not weights at all")
    status, out, err = run(line)
    assert status == 1 and out == "" and err.startswith("minicnn weights: ") and complaint in err
    assert not (here / "x.h5").exists()


# ---- fetch and verify


def test_a_file_that_is_here_is_not_fetched_and_its_hash_is_compared(run, published, monkeypatch):
    monkeypatch.setattr(registry, "fetch", lambda *_: pytest.fail("downloaded"))
    status, out, _ = run("fetch resnet20")
    assert status == 0 and out == f"resnet20: {published} (first 8 digits of the SHA-256 as published)\n"


def test_what_is_stopped_while_it_is_fetched_can_be_gone_on_with(run, here, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads, "_resume", stopped)
    status, _, err = run("fetch resnet18")
    assert status == 130 and "what has arrived is kept" in err


def test_files_are_compared_with_what_is_known_of_them(run, here, published):
    assert "as published (SHA-256)" in run("verify lenet5_mnist")[1]
    status, out, err = run("verify")
    assert status == 0 and err == "" and f"resnet20: {published} (first 8 digits" in out
    assert "its SHA-256 is" in run("verify mine.npz")[1]
    assert "the published file of resnet20" in run(f"verify {published}")[1]
    run("convert mine.npz --arch resnet20 --out mine.h5")
    assert "a model of minicnn, as it was saved" in run("verify mine.h5")[1]


def test_a_damaged_file_is_named_and_the_others_are_still_looked_at(run, here, published):
    published.write_bytes(published.read_bytes()[:-1] + b"!")
    status, out, err = run(f"verify resnet20 lenet5_mnist nowhere {published}")
    assert status == 1 and out.startswith("lenet5_mnist: as published")
    assert err.count("WRONG") == 3 and "It was changed or damaged. Remove it and fetch it again" in err
    assert "no such weights, and no such file" in err
    status, _, err = run("verify resnet18")
    assert status == 1 and "it is not here; minicnn weights fetch resnet18 brings it" in err


def test_weights_of_which_no_hash_is_known_are_not_said_to_be_right():
    entry = replace(ENTRIES["mobilenet_v1"], hash=None)
    assert command._proof(entry) == "hash unknown, so not compared"


def test_a_reader_who_has_read_enough_is_no_error():
    command = subprocess.Popen(
        [sys.executable, "-m", "minicnn", "weights", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    command.stdout.close()
    assert command.stderr.read() == "" and command.wait(timeout=60) == 0
