"""CNN codes: any layer, pictures in any form, once and for all on disk (minicnn.transfer.features)."""

import os
import signal
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest
from PIL import Image

from minicnn.data.folders import open_pictures
from minicnn.data.preprocessing import Preprocessing
from minicnn.errors import PictureError
from minicnn.inference.fusion import fuse
from minicnn.layers import (
    AuxiliaryHead,
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    GlobalAvgPool2d,
    Linear,
    ReLU,
    Residual,
    Sequential,
)
from minicnn.models.model import Model
from minicnn.transfer import features as codes_module
from minicnn.transfer.feature_file import BLOCK, CodeFile
from minicnn.transfer.features import extract_features, fingerprint, pool_features
from minicnn.transfer.surgery import default_layer

SIZE = 12
LAYERS = [
    "stem.conv",
    "stem.norm",
    "stem",
    "block",
    "block.body.second.norm",
    "block.shortcut",
    "both",
    "both.left.relu",
    "pool",
]


def small_model(rng=0):
    """A network with every kind of container under a classifier: "pretrained" on nothing."""
    rng = np.random.default_rng(rng)

    def unit(inputs, outputs, stride=1):
        norm = BatchNorm2d(outputs)
        norm.state()["running_mean"][:] = rng.normal(0, 0.3, outputs)
        return Sequential(conv=Conv2d(inputs, outputs, 3, stride, "same", bias=False, rng=rng), norm=norm, relu=ReLU())

    layers = {
        "stem": unit(3, 6, stride=2),
        "block": Residual(Sequential(first=unit(6, 8), second=unit(8, 7)), shortcut=Conv2d(6, 7, 1, rng=rng)),
        "side": AuxiliaryHead(Sequential(pool=GlobalAvgPool2d(), scores=Linear(7, 5, rng=rng))),
        "both": Concat(left=unit(7, 4), right=Conv2d(7, 3, 1, rng=rng)),
        "pool": GlobalAvgPool2d(),
        "dropout": Dropout(0.1),
        "classifier": Linear(7, 5, rng=rng),
    }
    return Model(
        layers, architecture="small", input_shape=(3, SIZE, SIZE), preprocessing=Preprocessing(size=SIZE, mean=127.0, std=64.0)
    ).eval()


def pictures(n, seed=0):
    """uint8 (n, SIZE, SIZE, 3)"""
    return np.random.default_rng(seed).integers(0, 256, (n, SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "codes"


@pytest.fixture
def folder(tmp_path):
    """Two classes of pictures of other sizes than the network's."""
    rng = np.random.default_rng(5)
    for name in ("ant", "bee"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(5):
            Image.fromarray(rng.integers(0, 256, (20 + i, 17, 3), np.uint8)).save(tmp_path / "pictures" / name / f"{i}.png")
    return tmp_path / "pictures"


@pytest.fixture
def ran(monkeypatch):
    """The numbers of pictures that went through a network, one entry for each piece."""
    pieces = []
    activations = codes_module.activations
    monkeypatch.setattr(codes_module, "activations", lambda net, x, names: pieces.append(len(x)) or activations(net, x, names))
    return pieces


def features(*args, **kwargs):
    return extract_features(*args, progress=False, **kwargs)


# ---- which numbers


@pytest.mark.parametrize("pool", ["mean", "flatten"])
@pytest.mark.parametrize("layer", LAYERS)
def test_codes_are_what_the_layer_gives_at_any_depth_before_and_after_the_relu(layer, pool, cache):
    model, x = small_model(), pictures(3)
    maps = model.forward(model.preprocessing.normalise(x), layers=layer)[layer]
    expected = maps.reshape(3, -1) if pool == "flatten" or maps.ndim == 2 else maps.mean(axis=(2, 3))
    codes = features(model, x, layer, pool)
    assert codes.dtype == np.float32
    np.testing.assert_allclose(codes, expected, rtol=1e-4, atol=1e-5)


def test_after_the_relu_nothing_is_negative_and_before_it_much_is():
    before, after = (features(small_model(), pictures(4), layer, "flatten") for layer in ("stem.norm", "stem"))
    assert (before < 0).mean() > 0.2 and after.min() == 0
    np.testing.assert_allclose(np.maximum(before, 0), after, rtol=1e-4, atol=1e-5)


def test_by_default_codes_come_from_right_below_the_classifier(cache):
    model = small_model()
    assert default_layer(model) == "pool"
    np.testing.assert_array_equal(features(model, pictures(3)), features(model, pictures(3), "pool"))


def test_several_layers_take_one_pass_and_give_what_each_gives_alone(cache, ran):
    model, x = small_model(), pictures(9)
    together = features(model, x, LAYERS)
    assert list(together) == LAYERS and sum(ran) == 9 + 1, "one picture more, to see how many numbers there are"
    (cache.parent / "codes").rename(cache.parent / "old")
    for layer, codes in together.items():
        np.testing.assert_allclose(features(model, x, layer), codes, rtol=1e-4, atol=1e-5)


def test_of_several_layers_only_what_is_missing_is_computed(cache, ran, monkeypatch):
    model, x = small_model(), pictures(9)
    stem = features(model, x, "stem")
    ran.clear()
    both = features(model, x, ["pool", "stem"])
    assert sum(ran) == 10
    np.testing.assert_array_equal(both["stem"], stem)
    ran.clear()
    features(model, x, ["stem", "pool"])
    assert ran == []


def test_the_network_ends_at_the_highest_layer_that_is_asked_for_and_stays_as_it_was(cache, monkeypatch):
    model = small_model().train()
    before = fingerprint(model)
    monkeypatch.setattr(Concat, "forward", lambda self, x: pytest.fail("what is above the block need not run"))
    features(model, pictures(3), ["stem", "block"])
    assert model.training and model.layers["stem"].training and fingerprint(model) == before


def test_fusing_keeps_the_layers_that_are_asked_for():
    model = small_model()
    kept = {path for path, _ in fuse(model, keep=["stem.conv", "block.body.first.norm"]).walk()}
    assert {"stem.conv", "stem.norm", "stem.relu", "block.body.first.norm", "block.body.first.relu"} <= kept
    assert "block.body.first.conv" not in kept and "both.left.norm" not in kept, "all else is fused as usual"


def test_codes_of_maps_worked_by_hand():
    maps = np.arange(8.0).reshape(1, 2, 2, 2)
    np.testing.assert_array_equal(pool_features(maps), [[1.5, 5.5]])
    np.testing.assert_array_equal(pool_features(maps, "flatten"), [np.arange(8)])


# ---- pictures in any form


def test_a_set_a_list_and_arrays_of_the_same_pictures_have_the_same_codes(folder, cache):
    model, found = small_model(), open_pictures(folder)
    fitted, _ = found.fitted(model.preprocessing, progress=False)
    paths = [folder / found.file_name(i) for i in range(len(found))]
    forms = {
        "PictureSet": found,
        "paths": paths,
        "strings": [str(path) for path in paths],
        "bytes": [path.read_bytes() for path in paths],
        "Pillow": [Image.open(path) for path in paths],
        "arrays": tuple(np.asarray(Image.open(path)) for path in paths),
        "uint8": fitted,
        "float": model.preprocessing.normalise(fitted),
    }
    for name, images in forms.items():
        (cache.parent / "codes").exists() and (cache.parent / "codes").rename(cache.parent / f"without {name}")
        codes = features(model, images, "block")
        np.testing.assert_array_equal(codes, features(model, fitted, "block"), err_msg=name)
    assert codes.shape == (10, 7)


def test_grey_pictures_need_no_axis_of_channels(cache):
    model, grey = small_model(), pictures(3)[..., 0]
    np.testing.assert_array_equal(features(model, grey, "block"), features(model, grey[..., None], "block"))


def test_floating_point_input_needs_no_preprocessing(cache):
    model = small_model()
    model.preprocessing = None
    x = np.random.default_rng(0).normal(size=(3, 3, SIZE, SIZE))
    np.testing.assert_allclose(
        features(model, x, "stem"), model.forward(x.astype(np.float32), ["stem"])["stem"].mean((2, 3)), 1e-4
    )


def test_bad_requests_are_named(folder, cache):
    model, bare = small_model(), small_model()
    bare.preprocessing = None
    for wrong, error, message in (
        (lambda: features(model, pictures(2), "blockk"), ValueError, "did you mean block"),
        (lambda: features(model, pictures(2), ["stem", "block.boddy"]), ValueError, "block.boddy"),
        (lambda: features(model, pictures(2), []), ValueError, "one layer at least"),
        (lambda: features(model, pictures(2), pool="median"), ValueError, "'mean' or 'flatten'.*'median'"),
        (lambda: features(model, pictures(0)), ValueError, "no images"),
        (lambda: features(model, []), ValueError, "no images"),
        (lambda: features(model, pictures(2).astype(np.int64)), ValueError, "uint8 .N, H, W, C.*int64"),
        (lambda: features(model, {"a": 1}), TypeError, "PictureSet, a list.*got a dict"),
        (lambda: features(model, [folder / "ant" / "0.png", 3]), TypeError, "paths, bytes.*got a int"),
        (lambda: features(model, [folder / "ant" / "9.png"]), PictureError, "9.png"),
        (lambda: features(bare, pictures(2)), ValueError, "set its .preprocessing"),
    ):
        with pytest.raises(error, match=message):
            wrong()


def test_an_unreadable_picture_of_a_set_is_named_and_not_left_out(folder, cache):
    (folder / "ant" / "2.png").write_bytes((folder / "ant" / "2.png").read_bytes()[:200])
    with pytest.raises(PictureError, match=r"ant/2\.png"):
        features(small_model(), open_pictures(folder))


# ---- once


def test_codes_are_computed_once_and_again_when_anything_they_depend_on_changes(folder, cache, ran):
    model = small_model()

    def computed(layer="pool", pool="mean"):
        ran.clear()
        features(model, open_pictures(folder), layer, pool)
        return bool(ran)

    assert computed() and not computed()
    assert computed("block") and computed("block", "flatten"), "another layer, another pool"
    model.layers["block"].body.layers["first"].layers["norm"].state()["running_mean"][0] += 0.5
    assert computed(), "other statistics, equal weights"
    assert computed("block") and not computed("block")
    model.layers["block"].body.layers["first"].layers["norm"].eps *= 10
    assert computed(), "another constant, equal arrays"
    model.preprocessing = Preprocessing(size=SIZE, mean=120.0, std=64.0)
    assert computed()
    Image.fromarray(pictures(1)[0]).save(folder / "ant" / "0.png")
    assert computed(), "another picture under the same name"
    assert not computed()


def test_what_is_above_the_layer_does_not_matter(cache, ran):
    model, x = small_model(), pictures(3)
    codes = features(model, x, "both")
    ran.clear()
    model.replace_head(["lying", "upright"], rng=3)
    np.testing.assert_array_equal(features(model, x, "both"), codes)
    assert ran == []


def test_a_changed_pixel_is_another_picture(cache, ran):
    model, x = small_model(), pictures(3)
    codes = features(model, x)
    x[1, 4, 4, 2] ^= 255
    assert (features(model, x) != codes).any(axis=1).tolist() == [False, True, False]


def test_fingerprint_tells_networks_apart():
    assert fingerprint(small_model(0)) == fingerprint(small_model(0)) != fingerprint(small_model(1))
    leaky = small_model(0)
    leaky.layers["stem"].layers["relu"] = Sequential()
    assert fingerprint(leaky) != fingerprint(small_model(0)), "the same weights, and no ReLU"


# ---- on disk


def test_codes_can_be_read_from_disk_piece_by_piece(cache):
    model, x = small_model(), pictures(BLOCK + 5)
    codes = features(model, x)
    dataset = features(model, x, in_memory=False)
    assert isinstance(dataset, h5py.Dataset) and dataset.shape == (BLOCK + 5, 7)
    np.testing.assert_array_equal(dataset[60:66], codes[60:66])
    again = features(model, x, ["pool"], in_memory=False)["pool"]
    np.testing.assert_array_equal(again[:], features(model, x))
    dataset.file.close()
    again.file.close()


def test_neither_pictures_nor_codes_are_held_in_memory_at_once(cache, monkeypatch):
    """Of each block the codes are written before the next begins, and only a few pictures are read ahead."""
    model, x, unfinished, most = small_model(), pictures(3 * BLOCK), [0], [0]
    run, write = codes_module._Extraction.run, CodeFile.write

    def counting(self, indices, names):
        unfinished[0] += len(indices)
        most[0] = max(most[0], unfinished[0])
        return run(self, indices, names)

    def written(self, rows, codes):
        unfinished[0] -= len(codes)
        write(self, rows, codes)

    monkeypatch.setattr(codes_module._Extraction, "run", counting)
    monkeypatch.setattr(CodeFile, "write", written)
    features(model, x, in_memory=False).file.close()
    assert most[0] <= BLOCK + 1


def test_an_interrupted_run_goes_on_at_the_last_finished_block(cache, ran, monkeypatch):
    model, x = small_model(), pictures(3 * BLOCK + 10)
    expected = features(model, x, ["stem", "pool"])
    for path in cache.iterdir():
        path.unlink()
    run = codes_module._Extraction.run

    def until_interrupted(self, indices, names):
        if indices[-1] >= 2 * BLOCK + 20:
            raise KeyboardInterrupt
        return run(self, indices, names)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(codes_module._Extraction, "run", until_interrupted)
        features(model, x, ["stem", "pool"])
    ran.clear()
    found = features(model, x, ["stem", "pool"])
    assert sum(ran) == BLOCK + 10, "the third block and what is left"
    for layer in found:
        np.testing.assert_array_equal(found[layer], expected[layer])


KILLED = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    from test_features import BLOCK, extract_features, pictures, small_model
    from minicnn.transfer import features as codes
    run = codes._Extraction.run
    def until_killed(self, indices, names):
        if indices[0] >= 2 * BLOCK + 30:
            os.kill(os.getpid(), signal.SIGKILL)
        return run(self, indices, names)
    codes._Extraction.run = until_killed
    extract_features(small_model(), pictures(4 * BLOCK), ["stem", "pool"], progress=False)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_a_killed_process_loses_no_finished_block(cache, ran):
    code = textwrap.dedent(KILLED).format(tests=os.path.dirname(__file__))
    assert (
        subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}).returncode
        == -9
    )
    found = features(small_model(), pictures(4 * BLOCK), ["stem", "pool"])
    assert sum(ran) == 2 * BLOCK
    for file in cache.iterdir():
        file.unlink()
    for layer, codes in features(small_model(), pictures(4 * BLOCK), ["stem", "pool"]).items():
        np.testing.assert_array_equal(found[layer], codes)


@pytest.mark.parametrize("damage", ["cut short", "emptied", "overwritten", "of another kind"])
def test_a_damaged_file_is_computed_again(damage, cache, ran):
    model, x = small_model(), pictures(BLOCK + 6)
    codes = features(model, x)
    (path,) = cache.iterdir()
    content = path.read_bytes()
    if damage == "cut short":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "emptied":
        path.write_bytes(b"")
    elif damage == "overwritten":
        path.write_bytes(b"x" * len(content))
    else:
        with h5py.File(path, "w") as file:
            file["codes"] = np.zeros((3, 7))
    ran.clear()
    np.testing.assert_array_equal(features(model, x), codes)
    assert sum(ran) >= BLOCK + 6
    ran.clear()
    np.testing.assert_array_equal(features(model, x), codes)
    assert ran == []


def test_only_the_block_in_which_a_number_was_spoilt_is_computed_again(cache, ran):
    model, x = small_model(), pictures(3 * BLOCK)
    codes = features(model, x)
    (path,) = cache.iterdir()
    with h5py.File(path, "r+") as file:
        file["codes"][BLOCK + 3, 2] += 1
    ran.clear()
    np.testing.assert_array_equal(features(model, x), codes)
    assert sum(ran) == BLOCK


def test_who_finds_another_process_at_work_waits_until_it_is_done(cache, ran, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    model, x = small_model(), pictures(2 * BLOCK)
    codes = features(model, x)
    (path,) = cache.iterdir()
    with h5py.File(path, "r+") as file:
        file["checksums"][1] = 0
    ran.clear()
    looks = []
    with open(path, "rb") as other:  # a lock belongs to an open file, so that this is what another process would have
        fcntl.flock(other, fcntl.LOCK_EX)
        monkeypatch.setattr(
            "minicnn.transfer.feature_file.time.sleep",
            lambda seconds: looks.append(seconds) or (len(looks) == 3 and fcntl.flock(other, fcntl.LOCK_UN)),
        )
        with pytest.warns(UserWarning, match="another process is computing"):
            np.testing.assert_array_equal(features(model, x), codes)
    assert len(looks) == 3 and sum(ran) == BLOCK


def test_the_bar_shows_pictures_per_second_and_stays(cache, monkeypatch, capsys):
    shown = {}

    class Bar(codes_module.tqdm):
        def __init__(self, *args, **kwargs):
            shown.update(kwargs)
            super().__init__(*args, **kwargs | {"delay": 0})

    monkeypatch.setattr(codes_module, "tqdm", Bar)
    extract_features(small_model(), pictures(BLOCK), ["stem", "pool"])
    text = capsys.readouterr().err
    assert "CNN codes at stem, pool: 100%" in text and f"{BLOCK}/{BLOCK}" in text and "pictures/s" in text
    assert shown["delay"] == 2 and text.endswith("\n")
    extract_features(small_model(), pictures(BLOCK), ["stem", "pool"])
    assert capsys.readouterr().err == "", "nothing to be done, nothing to be shown"
