"""safetensors files are read to the bit, and nothing that is wrong with one does more than raise a WeightsError."""

import json

import numpy as np
import pytest
from hostile import MANY, assert_only_refuses, assert_same_arrays, modest, mutated, small_net, truncated

from minicnn.errors import WeightsError
from minicnn.pretrained.readers import read_safetensors

DTYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


def write(path, header, numbers=b""):
    """A file with any list in it, without the library."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
    return path


def entry(dtype="F32", shape=(2,), begin=0, end=8):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def test_the_small_net_comes_as_the_library_wrote_it(path):
    library = pytest.importorskip("safetensors.numpy")
    library.save_file(small_net(), path, metadata={"format": "pt"})
    arrays = read_safetensors(path)
    assert_same_arrays(arrays, {name: small_net()[name] for name in arrays})
    assert_same_arrays(arrays, {name: library.load_file(path)[name] for name in arrays})
    assert set(arrays) == set(small_net())


def test_every_number_type_is_read_and_empty_arrays_and_single_numbers_too(path):
    library = pytest.importorskip("safetensors.numpy")
    tensors = {dtype: np.array([[0, 1], [100, 3]]).astype(dtype) for dtype in DTYPES}
    tensors |= {"single": np.array(3.5), "empty": np.zeros((0, 3), np.float32)}
    library.save_file(tensors, path)
    arrays = read_safetensors(path)
    assert_same_arrays(arrays, {name: tensors[name] for name in arrays})
    assert len(arrays) == len(tensors)


def test_bfloat16_becomes_the_float32_of_equal_value(path):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("safetensors.torch")
    tensor = torch.tensor([1.0, -3.14159, 1e30, 0.0, float("inf")], dtype=torch.bfloat16)
    library.save_file({"w": tensor}, path)
    assert_same_arrays(read_safetensors(path), {"w": tensor.float().numpy()})


def test_the_order_is_that_of_the_list(path):
    write(path, {"b": entry(begin=8, end=16), "a": entry()}, np.arange(4, dtype="<f4").tobytes())
    assert {name: array.tolist() for name, array in read_safetensors(path).items()} == {"b": [2, 3], "a": [0, 1]}
    assert list(read_safetensors(path)) == ["b", "a"]


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ({"w": entry(), "v": entry()}, "what is before it ends at 8"),
        ({"w": entry(), "v": entry(begin=4, end=12)}, "what is before it ends at 8"),
        ({"w": entry(begin=8, end=16)}, "what is before it ends at 0"),
        ({"w": entry(begin=8, end=0)}, "at bytes 8 to 0"),
        ({"w": entry(begin=-8, end=0)}, "at bytes -8 to 0"),
        ({"w": entry()}, "its arrays have 8 bytes, and 16 are there"),
        ({"w": entry(shape=(10**12,), end=4 * 10**12)}, "its arrays have 4000000000000 bytes"),
        ({"w": entry(shape=(4, 10**18), end=16)}, "needs 16000000000000000000 bytes"),
        ({"w": entry(shape=(-2, -2), end=16)}, "the shape"),
        ({"w": entry(shape=(1.0, 4), end=16)}, "the shape"),
        ({"w": entry(shape=(1,) * 40 + (4,), end=16)}, "the shape"),
        ({"w": entry(dtype="F8_E4M3", shape=(16,), end=16)}, "in F8_E4M3; read are F64"),
        ({"w": entry(dtype=["F32"], end=16)}, "net.safetensors"),
        ({"w": entry() | {"shape": "22"}}, "not rows of whole numbers"),
        ({"w": entry() | {"data_offsets": [0, True]}}, "not rows of whole numbers"),
        ({"w": entry() | {"data_offsets": [0]}}, "net.safetensors"),
        ({"w": [1, 2]}, "something other than dtype"),
        (b'{"w": {}, "w": {}}', "two arrays of the name 'w'"),
        (b'{"w": ' + b"1" * 5000 + b"}", "a number of 5000 digits"),
        (b"{" * 100_000, "net.safetensors"),
        (b'{"w":' * 100_000, "net.safetensors"),
        (b"{\xff\xfe}", "net.safetensors"),
        (b"{}", "its arrays have 0 bytes"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_list_that_cannot_be_is_refused_in_words(path, header, sentence):
    write(path, header, bytes(16))
    with modest(path, path.stat().st_size), pytest.raises(WeightsError, match=sentence):
        read_safetensors(path)


@pytest.mark.parametrize("length", [0, 3, 1 << 20, 1 << 40, (1 << 64) - 1])
def test_a_list_of_an_absurd_length_is_refused_before_memory_is_taken(path, length):
    path.write_bytes(length.to_bytes(8, "little") + b'{"w": 1}' + bytes(100))
    with modest(path, 116), pytest.raises(WeightsError):
        read_safetensors(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "it is empty"),
        (b"short", "begins with b'short'"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5: Keras's"),
        (b"<!DOCTYPE html><html>404", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
        (b"minicnn model, an HDF5 file", r"minicnn\.load"),
    ],
)
def test_a_file_of_another_kind_is_named_for_what_it_is(path, content, sentence):
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=sentence):
        read_safetensors(path)


def test_no_damage_does_more_than_raise_a_weights_error(path, tmp_path):
    arrays = {"conv": np.arange(24).reshape(2, 3, 4), "b": np.arange(3), "e": np.zeros((0, 2)), "s": np.array(1.0)}
    header, numbers = {}, b""
    for name, array in arrays.items():
        data = array.astype("<f4").tobytes()
        header[name] = entry(shape=array.shape, begin=len(numbers), end=len(numbers) + len(data))
        numbers += data
    whole = write(path, header, numbers).read_bytes()
    assert [array.size for array in read_safetensors(path).values()] == [24, 3, 0, 1]
    part = tmp_path / "part.safetensors"
    cut = truncated(whole)
    assert assert_only_refuses(read_safetensors, part, cut) == len(cut)
    assert assert_only_refuses(read_safetensors, part, mutated(whole, MANY, end=len(whole) - len(numbers) + 8)) > MANY / 2
