"""Pickled dicts of NumPy arrays are read as NumPy wrote them, without running them."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hostile import MANY, assert_only_refuses, assert_same_arrays, mutated, small_net, truncated

from minicnn.errors import WeightsError
from minicnn.pretrained.readers.numpy_pickles import read_numpy_pickle


@pytest.fixture
def written(tmp_path):
    def write(tree, protocol=3):
        path = tmp_path / "weights.pkl"
        path.write_bytes(tree if isinstance(tree, bytes) else pickle.dumps(tree, protocol))
        return path

    return write


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_are_read_to_the_bit(written, protocol):
    assert_same_arrays(read_numpy_pickle(written(small_net(), protocol)), small_net())


def test_lists_of_arrays_are_numbered(written):
    kernel, bias = np.arange(6.0).reshape(1, 2, 3), np.array([7, 8], np.int16)
    arrays = read_numpy_pickle(written({"conv1": [kernel, bias], "scale": np.float32([2])}))
    assert_same_arrays(arrays, {"conv1/0": kernel, "conv1/1": bias, "scale": np.float32([2])})


def test_column_major_and_big_endian_arrays_and_truth_values_are_read(written):
    expected = {"a": np.arange(6, dtype=">f4").reshape(2, 3).T, "b": np.array([[True], [False]])}
    arrays = read_numpy_pickle(written(expected))
    assert np.array_equal(arrays["a"], expected["a"]) and arrays["a"].dtype == np.float32
    assert np.array_equal(arrays["b"], expected["b"]) and arrays["b"].dtype == bool


def test_a_pickle_of_python_2_is_read(written):
    """There the numbers were a text, as all bytes were."""
    python2 = (
        b"\x80\x02}q\x00U\x01wq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04"
        b"(K\x01K\x02\x85cnumpy\ndtype\nq\x05U\x02f4K\x00K\x01\x87Rq\x06(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T\x08\x00\x00\x00\x00\x00\x80\x3f\x00\x00\x00\xc0tbs."
    )
    assert_same_arrays(
        {str(k): v for k, v in read_numpy_pickle(written(python2)).items()}, {"w": np.array([1, -2], np.float32)}
    )


class Calls:
    def __reduce__(self):
        return os.system, ("touch run",)


@pytest.mark.parametrize(
    ("tree", "complaint"),
    [
        ({"w": Calls()}, "asks for 'posix.system'|asks for 'nt.system'"),
        ({"w": np.array([None])}, "has no weights by name: what it has is w"),
        ({"w": 3.5}, "has no weights by name: what it has is w"),
        ([np.zeros(2)], "is not a pickle of NumPy arrays by name: it is a list"),
        ({}, "has no weights by name: it is an empty dict"),
        (b"\x80\x03}.", "has no weights by name"),
        (b"", "damaged, or not a pickle"),
    ],
    ids=["code", "objects", "number", "list", "empty dict", "empty", "nothing"],
)
def test_anything_else_is_refused_in_words(written, tree, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=complaint):
        read_numpy_pickle(written(tree))
    assert not (tmp_path / "run").exists()


def test_what_is_beside_the_arrays_does_not_matter(written):
    beside = {"epoch": 3, "classes": np.array(["ant", "bee"]), "rate": np.float32(0.1), "names": {"a", "b"}, ("a", 1): None}
    assert_same_arrays(read_numpy_pickle(written(beside | {"params": small_net()})), small_net())
    assert_same_arrays(read_numpy_pickle(written(beside | small_net())), small_net())


def test_one_array_under_many_names_does_not_fill_the_memory(written):
    array = np.zeros(3000)
    with pytest.raises(WeightsError, match="repeats the same numbers"):
        read_numpy_pickle(written({f"w{i}": array for i in range(1000)}))


def test_damaged_files_give_one_clear_error(written, tmp_path):
    arrays = small_net()
    whole = written({"conv": [arrays["conv.weight"], arrays["conv.bias"]], "fc": arrays["fc.bias"]}).read_bytes()
    files = truncated(whole, 3)
    assert assert_only_refuses(read_numpy_pickle, tmp_path / "bad.pkl", files) == len(files)
    assert assert_only_refuses(read_numpy_pickle, tmp_path / "bad.pkl", mutated(whole, MANY)) > MANY / 3


def test_numpy_reads_what_we_read_in_another_process(written, tmp_path):
    """The file of the fixture is what it is said to be: a pickle that Python's own reader understands."""
    path = written(small_net())
    code = f"import pickle; print(sum(float(a.sum()) for a in pickle.load(open({str(path)!r}, 'rb')).values()))"
    total = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert total == sum(float(array.sum()) for array in read_numpy_pickle(path).values())
