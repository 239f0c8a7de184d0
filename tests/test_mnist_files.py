"""idx files, and the four of MNIST."""

import gzip
import struct

import numpy as np
import pytest

from minicnn.data.mnist import FASHION_MNIST_CLASSES, MNIST_CLASSES, load_fashion_mnist, load_mnist, read_idx
from minicnn.errors import DataError


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, n in (("train", 6), ("t10k", 4)):
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(rng.integers(0, 256, (n, 5, 7)))))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(n))))
    return tmp_path


def test_an_idx_file_is_a_header_and_the_values_in_row_major_order(tmp_path):
    array = np.arange(24).reshape(2, 3, 4)
    (tmp_path / "plain").write_bytes(idx(array))
    (tmp_path / "packed").write_bytes(gzip.compress(idx(array)))
    for name in ("plain", "packed"):
        seen = read_idx(tmp_path / name)
        assert seen.dtype == np.uint8 and seen.flags.writeable
        np.testing.assert_array_equal(seen, array)


def test_load_mnist_gives_pictures_and_labels(folder, monkeypatch):
    x_train, y_train, x_test, y_test = load_mnist(folder)
    assert x_train.shape == (6, 5, 7) and x_test.shape == (4, 5, 7) and x_train.dtype == np.uint8
    assert y_train.tolist() == [0, 1, 2, 3, 4, 5] and y_test.dtype == np.int64
    (folder / "mnist").mkdir()
    for path in folder.glob("*.gz"):
        (folder / "mnist" / path.name[:-3].replace("-idx", ".idx")).write_bytes(gzip.decompress(path.read_bytes()))
    monkeypatch.setenv("MINICNN_DATA", str(folder))
    np.testing.assert_array_equal(load_mnist()[0], x_train)
    (folder / "mnist").rename(folder / "fashion-mnist")  # files of the same names, in a folder of their own
    np.testing.assert_array_equal(load_fashion_mnist()[0], x_train)
    np.testing.assert_array_equal(load_fashion_mnist(folder)[2], x_test)


def test_the_error_says_which_file_is_missing_and_where_to_say_it(folder, monkeypatch):
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"has no file t10k-labels-idx1-ubyte\.gz"):
        load_mnist(folder)
    monkeypatch.delenv("MINICNN_DATA", raising=False)
    with pytest.raises(DataError, match=r"MINICNN_DATA.* has the MNIST files, in mnist/"):
        load_mnist()
    with pytest.raises(DataError, match=r"MINICNN_DATA.* has the Fashion-MNIST files, in fashion-mnist/"):
        load_fashion_mnist()
    with pytest.raises(DataError, match="download the four Fashion-MNIST files into it"):
        load_fashion_mnist(folder)
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(folder / "none")


@pytest.mark.parametrize(
    "data, words",
    [
        (b"\x89PNG....", "not an idx file"),
        (b"", "not an idx file"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "type 13"),
        (b"\0\0\x08\x03\0\0\0\x01", "header of 3 dimensions"),
        (b"\0\0\x08\0", "header of 0 dimensions"),
        (idx(np.zeros((2, 3)))[:-1], "is truncated: expected 18 bytes for shape (2, 3), got 17"),
        (idx(np.zeros((2, 3))) + b"\0", "has more in it"),
        (struct.pack(">4B2I", 0, 0, 8, 2, 2**32 - 1, 2**32 - 1), "is truncated"),
        (gzip.compress(idx(np.zeros((200, 300), int)), mtime=0)[:-30], "truncated or damaged"),
        (b"\x1f\x8b\x08\x00garbage.........", "truncated or damaged"),
    ],
)
def test_damaged_files_are_refused(tmp_path, data, words):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    "name, array, words",
    [
        ("train-labels-idx1-ubyte", np.arange(5), "expected 6 labels"),
        ("train-labels-idx1-ubyte", np.arange(5, 11), "from 0 to 9, got 10"),
        ("train-images-idx3-ubyte", np.arange(6), "is it the file of the labels"),
        ("t10k-images-idx3-ubyte", np.zeros((4, 8, 8)), "expected one size"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(folder, name, array, words):
    (folder / f"{name}.gz").unlink()
    (folder / name).write_bytes(idx(array))
    with pytest.raises(DataError, match=words):
        load_mnist(folder)


@pytest.mark.parametrize(
    "name, load, classes", [("mnist", load_mnist, MNIST_CLASSES), ("fashion-mnist", load_fashion_mnist, FASHION_MNIST_CLASSES)]
)
def test_the_official_files(request, monkeypatch, name, load, classes):
    folder = request.getfixturevalue("shared_data")
    if not (folder / name).is_dir():
        pytest.skip(f"{folder / name} is not there")
    monkeypatch.setenv("MINICNN_DATA", str(folder))
    x_train, y_train, x_test, y_test = load()
    assert x_train.shape == (60_000, 28, 28) and x_test.shape == (10_000, 28, 28)
    assert len(np.bincount(y_train)) == len(np.bincount(y_test)) == len(classes) == 10
    if name == "mnist":
        assert y_train[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
        assert x_train.mean() == pytest.approx(33.32, abs=0.01) and x_train.std() == pytest.approx(78.57, abs=0.01)
    else:
        assert [classes[label] for label in y_train[:3]] == ["Ankle boot", "T-shirt/top", "T-shirt/top"]
