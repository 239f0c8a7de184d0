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
        ("convert mine.npz --arch mobilenet --out x.h5", "Did you mean 'mobilenet_v1' or 'mobilenet_v2'?"),
        ("convert mine.npz --arch resnet32 --out x.h5", "that resnet20 has below its classifier: is it that architecture?"),
        ("convert mine.npz --arch vgg11 --partial --out x.h5", "does not look like vgg11"),
        ("fetch resnet-51", "Did you mean 'resnet"),
        ("convert mine.npz --arch resnet32 --out x.h5", "60 missing: conv2_4.sum"),
        (
            "convert mine.npz --arch resnet20 --classes 3 --out x.h5",
            "2 of another shape: fc.w: (10, 64), the network has (3, 64)",
        ),
        (
            "convert mine.npz --arch resnet20 --classes 3 --out x.h5",
            "classifier is for another number of classes than 3: leave",
        ),
        ("convert mine.npz --arch resnet20 --out classes.txt/x.h5", "classes.txt is not a folder; name another one"),
        ("export mine.npz --to onnx", "minicnn weights convert mine.npz --arch NAME --out X.h5"),
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


# ---- nothing of the user's is lost


@pytest.mark.parametrize("out", ["mine.npz", "./mine.npz", "sub/../mine.npz", "link.h5", "hard.h5"])
@pytest.mark.parametrize("force", ["", " --force"])
def test_the_file_that_is_converted_is_never_written_over(run, here, checkpoint, out, force):
    (here / "sub").mkdir()
    (here / "link.h5").symlink_to(here / "mine.npz")
    (here / "hard.h5").hardlink_to(here / "mine.npz")
    before = (here / "mine.npz").read_bytes()
    status, _, err = run(f"convert mine.npz --arch resnet20 --out {out}{force}")
    assert status == 1 and "is a file that is read" in err and "name another one" in err
    assert (here / "mine.npz").read_bytes() == before


def test_the_file_beside_an_onnx_model_that_has_its_numbers_is_never_written_over(run, here, checkpoint):
    onnx = pytest.importorskip("onnx")
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in np.load("mine.npz").items()]
    net = onnx.helper.make_model(onnx.helper.make_graph([], "net", [], [], initializer=tensors))
    onnx.save(net, "net.onnx", save_as_external_data=True, location="net.bin", size_threshold=0)
    before = (here / "net.bin").read_bytes()
    status, _, err = run("convert net.onnx --arch resnet20 --out net.bin --force")
    assert status == 1 and "net.bin is a file that is read" in err and (here / "net.bin").read_bytes() == before
    assert run("convert net.onnx --arch resnet20 --out net.h5")[0] == 0


def test_a_file_of_somebody_elses_is_replaced_only_if_asked_for(run, here, checkpoint):
    for content in (b"\x89HDF\r\n\x1a\n and weights", b"notes", b""):
        (here / "x.h5").write_bytes(content)
        status, out, err = run("convert mine.npz --arch resnet20 --out x.h5")
        assert status == 1 and out == "" and "not a model of minicnn" in err and "--force" in err
        assert (here / "x.h5").read_bytes() == content
    assert run("convert mine.npz --arch resnet20 --out x.h5 --force")[0] == 0
    assert run("convert mine.npz --arch resnet20 --out x.h5")[0] == 0  # now it is one of ours
    (here / "names.txt").write_text("\n".join("abcdefghij"))
    assert "which would be lost" in run("convert mine.npz --arch resnet20 --classes names.txt --out names.txt --force")[2]
    assert "is not a file; name one in it" in run("convert mine.npz --arch resnet20 --out data")[2]


# ---- what was found and assumed is said


def test_notes_are_printed_before_the_way_to_use_the_model(run, here, checkpoint):
    arrays = {f"backbone.{name}": array for name, array in np.load("mine.npz").items() if not name.startswith("linear")}
    arrays["backbone.conv1.weight"] = arrays["backbone.conv1.weight"].mean(1, keepdims=True)
    np.savez("own.npz", **arrays, **{"head.weight": np.ones((3, 64)), "head.bias": np.ones(3), "loss.weight": np.ones(3)})
    status, out, _ = run("convert own.npz --arch ResNet-20 --out own.h5")
    notes = [line for line in out.splitlines() if line.startswith("note: ")]
    assert status == 0 and out.splitlines()[-1].startswith("Use it: minicnn predict own.h5")
    for note, words in zip(notes, ("begin with 'backbone.'", "own: head, 64 to 3", "takes grey pictures"), strict=True):
        assert words in note
    assert "Left out of the file, as nothing here uses it: loss.weight" in out
    assert "Its 3 classes have no names: --classes FILE gives them" in out
    np.savez("base.npz", **arrays)
    status, out, _ = run("convert base.npz --arch resnet20 --out base.h5")
    assert "The file has no classifier, and neither has the network." in out and "minicnn predict" not in out


def test_it_is_said_which_of_several_networks_in_a_file_is_shown_and_taken(run, here, checkpoint):
    import pickle

    arrays = dict(np.load("mine.npz"))
    (here / "both.pkl").write_bytes(pickle.dumps({"model_ema": arrays, "model": dict(arrays)}))
    for line in ("show both.pkl", "convert both.pkl --arch resnet20 --out both.h5"):
        assert "note: The weights under 'model' were taken (97 arrays), not those under 'model_ema' (97)." in run(line)[1]


# ---- fetch and verify


def test_names_may_be_written_as_people_write_them(run, published):
    assert run("fetch ResNet-20")[1] == run("fetch resnet20")[1]
    assert run("show ResNet20")[1] == run("show resnet20")[1]
    assert run("verify RESNET_20")[0] == 0


def test_a_published_file_is_known_by_its_content_whatever_it_is_called(run, here, published):
    (here / "download (1).bin").write_bytes(published.read_bytes())
    assert "the published file of resnet20" in command._verified("download (1).bin")


def test_the_name_that_a_file_has_where_it_is_published_is_known(run, here, published):
    """The publisher calls it resnet20-12fca82f.th; here its name says CIFAR-10, too."""
    assert (
        run("verify resnet20-12fca82f.th")[1]
        == f"resnet20-12fca82f.th: {published} (first 8 digits of the SHA-256 as published)\n"
    )
    published.rename(published.parent / "resnet20-12fca82f.th")
    assert run("verify resnet20")[0] == 0 and "resnet20-12fca82f.th" in run("fetch resnet20")[1]
    (here / "resnet20-12fca82f.th").write_bytes(b"something else")
    status, _, err = run("verify ./resnet20-12fca82f.th")
    assert status == 1 and "WRONG" in err and "It was changed or damaged" in err


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
    np.savez("other.npz", w=np.ones(3))
    assert "its SHA-256 is" in run("verify other.npz")[1]
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
