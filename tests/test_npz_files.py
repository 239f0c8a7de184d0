"""NumPy's archives are read to the bit, and nothing that is wrong with one does more than raise a WeightsError."""

import io
import pickle
import warnings
import zipfile

import numpy as np
import pytest
from hostile import (
    MANY,
    assert_only_refuses,
    assert_same_arrays,
    entry_of,
    modest,
    mutated,
    small_net,
    truncated,
    with_entry,
)

from minicnn.errors import WeightsError
from minicnn.pretrained.readers import read_npz


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.npz"


def npy(header, numbers=b"", version=(1, 0)):
    """The bytes of an array with any header."""
    text = header.encode().ljust(118) + b"\n"
    width = 2 if version == (1, 0) else 4
    return b"\x93NUMPY" + bytes(version) + len(text).to_bytes(width, "little") + text + numbers


def described(shape, descr="<f4", order=False):
    return f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}, }}"


def write(path, **entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_small_net_comes_as_numpy_wrote_it(path, save):
    save(path, **small_net())
    assert_same_arrays(read_npz(path), small_net())
    with np.load(path) as archive:
        assert_same_arrays(read_npz(path), dict(archive))


def test_types_orders_of_bytes_and_of_axes_empty_arrays_and_single_numbers(path):
    kinds = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"]
    arrays = {kind: np.array([[0, 1, 2], [100, 3, 7]]).astype(kind) for kind in kinds}
    arrays |= {"fortran": np.asfortranarray(arrays["float32"]), "big": arrays["int32"].astype(">i4")}
    arrays |= {"empty": np.zeros((0, 3)), "single": np.array(2.5)}
    np.savez(path, **arrays)
    expected = {name: array.astype(array.dtype.newbyteorder("="), order="C") for name, array in arrays.items()}
    assert_same_arrays(read_npz(path), expected)


class Harmful:
    def __reduce__(self):
        import os

        return os.system, ("touch it-ran",)


def test_a_pickle_inside_is_not_read(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(path, w=np.array([Harmful()], object))
    with modest(path, path.stat().st_size), pytest.raises(WeightsError, match=r"'w\.npy' as a pickle.*nothing of it was read"):
        read_npz(path)
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (npy(described((3,)), bytes(8)), r"'w.npy' of shape \(3,\) needs 12 bytes and has 8"),
        (npy(described((3,)), bytes(16)), "needs 12 bytes and has 16"),
        (npy(described((10**15,)), bytes(8)), "needs 4000000000000000 bytes"),
        (npy(described((2**62, 4)), bytes(8)), "bytes and has 8"),
        (npy(described((-2, -2)), bytes(16)), "a header that NumPy does not write"),
        (npy(described((1,) * 33), bytes(4)), "a header that NumPy does not write"),
        (npy(described((2,), "<U4"), bytes(32)), "of type U4, which is not one of numbers"),
        (npy(described((2,), "<c8"), bytes(16)), "not one of numbers"),
        (npy(described((2,), [("a", "<f4")]), bytes(8)), "not one of numbers"),
        (npy(described((2,), "|O"), pickle.dumps([1, 2])), "as a pickle"),
        (npy("__import__('os').system('true')"), "a header that NumPy does not write"),
        (npy("{'shape': (1,)}"), "a header that NumPy does not write"),
        (npy("(" * 9000), "a header that NumPy does not write"),
        (npy(described("1, " * 9000)), "a header that NumPy does not write"),
        (npy(described((1,)), bytes(4), (3, 0)), "a version of NumPy's format"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{", "a header that NumPy does not write"),
        (b"text", "is not an array"),
        (b"", "is not an array"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_array_that_cannot_be_is_refused_in_words(path, content, sentence):
    write(path, w=content)
    with modest(path, path.stat().st_size), pytest.raises(WeightsError, match=sentence):
        read_npz(path)


def test_what_unpacks_to_far_more_than_the_file_is_refused_before_memory_is_taken(path):
    np.savez_compressed(path, w=np.zeros(30_000_000, np.float32))
    assert path.stat().st_size < 200_000
    with modest(path, path.stat().st_size), pytest.raises(WeightsError, match="more than 16 times as many compressed"):
        read_npz(path)


def test_an_entry_that_says_it_is_small_does_not_unpack_to_more(path):
    np.savez_compressed(path, w=np.zeros(30_000_000, np.float32))
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):  # where the unpacked size is said
        place = data.index(signature) + at
        data[place : place + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    with modest(path, len(data)), pytest.raises(WeightsError):
        read_npz(path)


def test_an_unusual_compression_is_refused(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("w.npy", npy(described((1,)), bytes(4)))
    with pytest.raises(WeightsError, match="a method other than zip's usual one"):
        read_npz(path)


def test_two_arrays_of_one_name_and_other_entries_are_refused(path):
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("w.npy", npy(described((1,)), bytes(4)))
        archive.writestr("w.npy", npy(described((1,)), bytes(4)))
    with pytest.raises(WeightsError, match="two entries of one name"):
        read_npz(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(WeightsError, match=r"'readme\.txt' inside, which is not an array"):
        read_npz(path)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"<html>404", b"PK\x03\x04" + bytes(50)])
def test_a_file_of_another_kind_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"net\.npz is"):
        read_npz(path)


def test_no_damage_does_more_than_raise_a_weights_error(path, tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, w=np.arange(6, dtype=np.float32).reshape(2, 3), b=np.zeros(2))
    whole = buffer.getvalue()
    cut = truncated(whole)
    assert assert_only_refuses(read_npz, path, cut) == len(cut)
    assert assert_only_refuses(read_npz, path, mutated(whole, MANY // 2)) > MANY / 4
    array = entry_of(whole, "w.npy")  # with a checksum that fits, what is wrong with the array itself comes to light
    inside = (with_entry(whole, "w.npy", content) for content in mutated(array, MANY // 2, end=100))
    assert assert_only_refuses(read_npz, path, inside) > MANY / 4
