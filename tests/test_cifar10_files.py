"""CIFAR-10 in all its forms; here with batches of 10 pictures in place of 10,000."""

import io
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from minicnn.data import CIFAR10_CLASSES, cifar10_batches, cifar10_jpeg, find_cifar10, load_cifar10
from minicnn.errors import DataError, PictureError

STEMS = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
BINARY, PYTHON = "cifar-10-batches-bin", "cifar-10-batches-py"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch, tmp_path):
    monkeypatch.setattr(cifar10_batches, "PICTURES_PER_BATCH", 10)
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def pictures():
    """x (60, 3, 32, 32), and y (60,): each class once in a batch, in another order in each."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (60, 3, 32, 32), np.uint8), np.concatenate([rng.permutation(10) for _ in STEMS])


def batches(pictures):
    return [(stem, x, y) for stem, x, y in zip(STEMS, *(np.split(array, 6) for array in pictures), strict=True)]


def short_text(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text  # SHORT_BINSTRING, a text of Python 2


def pickle_of_python_2(labels, data) -> bytes:
    """A batch as Python 2 wrote it, with protocol 2."""
    number = lambda n: b"J" + int(n).to_bytes(4, "little", signed=True)  # noqa: E731
    dtype = (
        b"cnumpy\ndtype\n("
        + short_text(b"u1")
        + b"K\0K\1tR(K\3"
        + short_text(b"|")
        + b"NNN"
        + b"J\xff\xff\xff\xff" * 2
        + b"K\0tb"
    )
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85" + short_text(b"b") + b"tR"
    state = b"(K\1" + number(len(data)) + number(data.shape[1]) + b"\x86" + dtype + b"\x89T" + data.size.to_bytes(4, "little")
    items = short_text(b"labels") + b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\2}(" + items + short_text(b"data") + array + state + data.tobytes() + b"tbu."


def write_binary(folder, pictures):
    folder.mkdir(parents=True)
    (folder / "batches.meta.txt").write_text("\n".join(CIFAR10_CLASSES) + "\n\n")
    for stem, x, y in batches(pictures):
        (folder / f"{stem}.bin").write_bytes(np.hstack([y[:, None].astype(np.uint8), x.reshape(10, -1)]).tobytes())
    return folder


def write_python(folder, pictures):
    folder.mkdir(parents=True)
    names = [name.encode() for name in CIFAR10_CLASSES]
    (folder / "batches.meta").write_bytes(
        b"\x80\2}" + short_text(b"label_names") + b"](" + b"".join(map(short_text, names)) + b"es."
    )
    for stem, x, y in batches(pictures):
        (folder / stem).write_bytes(pickle_of_python_2(y, x.reshape(10, -1)))
    return folder


def packed(folder):
    path = folder.with_name("cifar-10.tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, folder.name)
    return path


def jpeg(value: int, side: int = 32) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (value, value // 2, 7)).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture(scope="module")
def jpegs():
    """50 training and 10 test pictures; the red of each is its number."""
    names = [f"train/{name}/{i:04}.jpg" for name in CIFAR10_CLASSES for i in range(5)]
    names += [f"test/{name}/0000.jpg" for name in CIFAR10_CLASSES]
    return {name: jpeg(3 * number) for number, name in enumerate(names)}


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in reversed(files.items()):  # the order in the archive does not matter
            archive.writestr(name, data)
    return path


# ---- the official files


def test_a_pickle_written_by_hand_is_what_python_reads_as_an_array(pictures):
    x, y = pictures
    read = pickle.loads(pickle_of_python_2(y[:10], x[:10].reshape(10, -1)), encoding="bytes")
    np.testing.assert_array_equal(read[b"data"], x[:10].reshape(10, -1))
    assert read[b"labels"] == y[:10].tolist() and read[b"data"].dtype == np.uint8


@pytest.mark.parametrize("write, folder", [(write_binary, BINARY), (write_python, PYTHON)])
def test_both_official_versions_give_the_same_in_a_folder_and_in_an_archive(tmp_path, monkeypatch, pictures, write, folder):
    folder = write(tmp_path / folder, pictures)
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path))
    for place in (None, folder, tmp_path, packed(folder)):
        x_train, y_train, x_test, y_test = load_cifar10(place)
        np.testing.assert_array_equal(np.concatenate([x_train, x_test]), pictures[0])
        np.testing.assert_array_equal(np.concatenate([y_train, y_test]), pictures[1])
        assert x_train.shape == (50, 3, 32, 32) and x_train.dtype == np.uint8 and y_train.dtype == np.int64
        assert x_train.flags.writeable and not find_cifar10(place).is_lossy


def test_a_file_with_the_official_number_of_pictures_has_30_730_000_bytes(tmp_path, monkeypatch, pictures):
    monkeypatch.setattr(cifar10_batches, "PICTURES_PER_BATCH", 10_000)
    with pytest.raises(DataError, match="truncated: expected 30730000 bytes, 10000 pictures of 3073, got 30730"):
        load_cifar10(write_binary(tmp_path / "bin", pictures))


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("data_batch_3.bin", lambda data: data[:-1], "is truncated: expected 30730 bytes, 10 pictures of 3073, got 30729"),
        ("test_batch.bin", lambda data: data + b"\0", "is too long"),
        ("data_batch_5.bin", lambda data: b"\x0a" + data[1:], "expected labels from 0 to 9, got 0 to 10"),
        ("batches.meta.txt", lambda data: data.replace(b"cat", b"lynx"), "names the classes airplane, automobile, bird, lynx"),
        ("data_batch_2.bin", None, "has no file data_batch_2.bin"),
        ("batches.meta.txt", None, "has no file batches.meta.txt"),
    ],
)
def test_damaged_binary_files_are_refused(tmp_path, pictures, name, change, words):
    file = write_binary(tmp_path / "bin", pictures) / name
    data = file.read_bytes()
    file.unlink()
    if change:
        file.write_bytes(change(data))
    with pytest.raises(DataError) as caught:
        load_cifar10(tmp_path / "bin")
    assert words in str(caught.value) and str(tmp_path / "bin") in str(caught.value)


@pytest.mark.parametrize(
    "data, words",
    [
        (b"\x80\2cos\nsystem\n(" + short_text(b"touch ran") + b"tR.", "asks for os.system, which no batch of CIFAR-10 does"),
        (b"\x80\2cnumpy\nload\n(" + short_text(b"other.npy") + b"tR.", "asks for numpy.load"),
        (pickle_of_python_2([1] * 10, np.zeros((10, 3072), np.uint8))[:-40], "is truncated or damaged"),
        (b"not a pickle", "is truncated or damaged"),
        (b"\x80\2]q\0.", "expected a dict, got list"),
        (b"\x80\2}q\0.", "expected a list of labels, and an array of bytes"),
        (
            pickle_of_python_2([1] * 10, np.zeros((10, 1024), np.uint8)),
            "expected data (10, 3072) and as many labels, got (10, 1024)",
        ),
        (pickle_of_python_2([1] * 9, np.zeros((10, 3072), np.uint8)), "got (10, 3072) and 9"),
        (pickle_of_python_2([-1] * 10, np.zeros((10, 3072), np.uint8)), "expected labels from 0 to 9, got -1"),
        (pickle_of_python_2([1] * 10, np.zeros((10, 3072), np.uint8)).replace(b"U\2u1", b"U\2f4"), "not of bytes"),
    ],
)
def test_damaged_pickles_are_refused_and_none_is_run(tmp_path, monkeypatch, pictures, data, words):
    monkeypatch.chdir(tmp_path)
    (write_python(tmp_path / "py", pictures) / "data_batch_4").write_bytes(data)
    with pytest.raises(DataError) as caught:
        load_cifar10("py")
    assert words in str(caught.value) and "data_batch_4" in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_what_is_no_cifar10_is_refused(tmp_path, monkeypatch, pictures):
    archive = packed(write_binary(tmp_path / "bin", pictures))
    archive.write_bytes(archive.read_bytes()[:-5000])
    with pytest.raises(DataError, match="truncated or damaged"):
        load_cifar10(archive)
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(DataError, match="cannot be read as an archive of CIFAR-10"):
        load_cifar10(tmp_path / "text")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"has no file data_batch_1\.bin or data_batch_1"):
        load_cifar10(packed(tmp_path / "empty"))
    with pytest.raises(DataError, match="has no CIFAR-10; expected its files, or one of cifar-10-batches-bin, "):
        load_cifar10(tmp_path / "empty")
    with pytest.raises(DataError, match="no such folder or archive"):
        load_cifar10(tmp_path / "none")
    monkeypatch.delenv("MINICNN_DATA", raising=False)
    with pytest.raises(DataError, match="MINICNN_DATA"):
        load_cifar10()


# ---- JPEGs


def test_jpegs_in_a_folder_and_in_a_zip_archive_give_the_same_by_class_and_name(tmp_path, jpegs):
    for name, data in jpegs.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(data)
    for place in (tmp_path / "folder", write_zip(tmp_path / "cifar10-jpeg.zip", jpegs)):
        x_train, y_train, x_test, y_test = load_cifar10(place)
        assert x_train.shape == (50, 3, 32, 32) and x_train.dtype == np.uint8 and y_train.dtype == np.int64
        assert y_train.tolist() == np.repeat(range(10), 5).tolist() and y_test.tolist() == list(range(10))
        red = np.concatenate([x_train, x_test])[:, 0].astype(int)
        assert np.abs(red - 3 * np.arange(60)[:, None, None]).max() <= 4
        assert find_cifar10(place).is_lossy and "lossy" in find_cifar10(place).describe()


def test_lossless_files_are_preferred(tmp_path, monkeypatch, jpegs, pictures):
    write_zip(tmp_path / "cifar10-jpeg.zip", jpegs)
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path))
    assert find_cifar10().form == "jpeg"
    write_python(tmp_path / PYTHON, pictures)
    assert find_cifar10().form == "python"
    write_binary(tmp_path / BINARY, pictures)
    assert find_cifar10().form == "binary"


def test_a_zip_archive_is_decoded_once_and_again_when_it_has_changed(tmp_path, monkeypatch, jpegs):
    path = write_zip(tmp_path / "pictures.zip", jpegs)
    decoded = []
    monkeypatch.setattr(cifar10_jpeg, "read_picture", lambda data, name: decoded.append(name) or np.full((32, 32, 3), data[-9]))
    first = load_cifar10(path)
    assert len(decoded) == 60
    for again, array in zip(load_cifar10(path), first, strict=True):
        np.testing.assert_array_equal(again, array)
    assert len(decoded) == 60
    os.utime(path, (1, 1))
    load_cifar10(path)
    assert len(decoded) == 120
    (kept,) = (tmp_path / "cache").iterdir()
    damaged = bytearray(kept.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    kept.write_bytes(damaged)
    np.testing.assert_array_equal(load_cifar10(path)[0], first[0])
    assert len(decoded) == 180


def test_a_cache_that_cannot_be_written_costs_the_pictures_nothing(tmp_path, monkeypatch, jpegs):
    def full(file, **arrays):
        file.write(b"begun")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(UserWarning, match="could not be kept in .*No space left"):
        x_train, *_ = load_cifar10(write_zip(tmp_path / "pictures.zip", jpegs))
    assert len(x_train) == 50 and not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"train/cat/0004.jpg": None}, "train/cat has 4 JPEGs; expected 5"),
        ({"test/dog/0001.jpg": jpeg(1)}, "test/dog has 2 JPEGs; expected 1"),
        ({"train/lynx/0000.jpg": jpeg(1)}, "train/ has JPEGs in the folders airplane, .*lynx"),
        ({f"test/{name}/0000.jpg": None for name in CIFAR10_CLASSES}, r"test/ has JPEGs in the folders \(none\)"),
        ({"train/frog/0002.jpg": jpeg(1, side=33)}, "train/frog/0002.jpg has 33 x 33 pixels; expected 32 x 32"),
        ({"train/frog/0002.jpg": jpeg(1)[:400]}, "train/frog/0002.jpg is truncated or damaged"),
    ],
)
def test_other_folders_of_jpegs_are_refused(tmp_path, jpegs, changes, words):
    files = {name: data for name, data in (jpegs | changes).items() if data}
    with pytest.raises((DataError, PictureError), match=words):
        load_cifar10(write_zip(tmp_path / "pictures.zip", files))
    assert not list((tmp_path / "cache").iterdir())


def test_a_truncated_zip_archive_is_refused(tmp_path, jpegs):
    path = write_zip(tmp_path / "cifar10-jpeg.zip", jpegs)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="damaged zip archive"):
        load_cifar10(tmp_path)
