"""PyTorch files are read to the bit, and nothing that is wrong with one does more than raise a WeightsError."""

import argparse
import datetime
import functools
import os
import pathlib
import pickle
import runpy
import shutil
import subprocess
import zipfile
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest
from hostile import MANY, assert_only_refuses, entry_of, mutated, truncated, with_entry

from minicnn.errors import WeightsError
from minicnn.pretrained.readers.torch_files import LEGACY_MAGIC, read_torch

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch writes the files that these tests read")


@pytest.fixture
def save(torch, tmp_path):
    def save(data, zipped):
        path = tmp_path / "weights.pth"
        torch.save(data, path, _use_new_zipfile_serialization=zipped)
        return path

    return save


def example(torch):
    """Contiguous, transposed, strided, offset, shared, scalar, empty: whatever a window on a storage can be."""
    base = torch.arange(60, dtype=torch.float32)
    return OrderedDict(
        conv=torch.randn(4, 3, 2, 2),
        transposed=base.reshape(3, 4, 5).permute(2, 0, 1),
        every_other=base[7::2],
        block=base.reshape(6, 10)[1:4, 2:9:3],
        scalar=torch.tensor(7.5),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(torch.randn(3)),
    )


def same(array, tensor):
    expected = tensor.detach().numpy()
    return array.dtype == expected.dtype and array.shape == expected.shape and np.array_equal(array, expected)


def write_pickle(path, data, zipped):
    """A file in PyTorch's layout around any pickle, without PyTorch."""
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(data, 2))
    else:
        path.write_bytes(b"".join(pickle.dumps(part, 2) for part in (LEGACY_MAGIC, 1001, {}, data, [])))
    return path


@FORMATS
def test_tensors_come_as_they_were_whatever_their_strides(torch, save, zipped):
    tensors = example(torch)
    arrays = read_torch(save(tensors, zipped))
    assert list(arrays) == list(tensors)
    for name, tensor in tensors.items():
        assert same(arrays[name], tensor), name
        assert arrays[name].flags.c_contiguous and arrays[name].flags.writeable


@FORMATS
def test_every_number_type_is_read(torch, save, zipped):
    kinds = ["float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    tensors = {kind: torch.tensor([0, 1, 100, 3]).to(getattr(torch, kind)) for kind in kinds}
    arrays = read_torch(save(tensors, zipped))
    assert all(same(arrays[kind], tensor) for kind, tensor in tensors.items())


@FORMATS
def test_bfloat16_becomes_the_float32_of_equal_value(torch, save, zipped):
    tensor = torch.tensor([1.0, -3.14159, 1e30, 0.0, float("inf")], dtype=torch.bfloat16)
    arrays = read_torch(save({"w": tensor}, zipped))
    assert same(arrays["w"], tensor.float())


@FORMATS
def test_tensors_that_shared_memory_do_not_share_it_any_more(torch, save, zipped):
    weight = torch.ones(3)
    arrays = read_torch(save({"encoder": weight, "decoder": weight}, zipped))
    arrays["encoder"][:] = 0
    assert arrays["decoder"].tolist() == [1, 1, 1]


@FORMATS
@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_state_dict_in_a_checkpoint_is_found_and_its_data_parallel_prefix_taken_off(torch, save, key, zipped):
    checkpoint = {
        "epoch": 3,
        "best": 0.917,
        key: OrderedDict({"module.conv.weight": torch.ones(2), "module.conv.bias": torch.zeros(1)}),
        "optimizer": {"state": {0: {"momentum_buffer": torch.randn(5)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    }
    arrays = read_torch(save(checkpoint, zipped))
    assert {name: array.tolist() for name, array in arrays.items()} == {"conv.weight": [1, 1], "conv.bias": [0]}


def test_the_prefix_stays_where_only_some_names_have_it(torch, save):
    arrays = read_torch(save({"module.w": torch.ones(1), "w": torch.ones(1)}, True))
    assert list(arrays) == ["module.w", "w"]


def test_big_endian_files_are_read(torch, save, tmp_path):
    source = save({"w": torch.tensor([1.0, 2.0])}, True)
    swapped = tmp_path / "big.pth"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(swapped, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("/byteorder"):
                data = b"big"
            elif "/data/" in name:
                data = np.frombuffer(data, "<f4").astype(">f4").tobytes()
            new.writestr(name, data)
    assert read_torch(swapped)["w"].tolist() == [1.0, 2.0]


def test_a_real_checkpoint_of_resnet20_is_read(shared_data):
    arrays = read_torch(shared_data / "cifar10-resnet20-12fca82f.th")
    assert arrays["conv1.weight"].shape == (16, 3, 3, 3)
    trained = [array.size for name, array in arrays.items() if "running" not in name and "num_batches" not in name]
    assert sum(trained) == 269_722


class RunsACommand:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        import os

        return os.system, (self.command,)


@FORMATS
def test_a_pickle_that_runs_a_command_is_refused_by_name_and_does_not_run(tmp_path, zipped):
    proof = tmp_path / "it-ran"
    path = write_pickle(tmp_path / "evil.pth", {"w": RunsACommand(f"touch {proof}")}, zipped)
    with pytest.raises(WeightsError, match=r"asks for '(posix|nt)\.system'.*nothing of it was run"):
        read_torch(path)
    assert not proof.exists()


@FORMATS
@pytest.mark.parametrize(
    "callable_", [os.system, subprocess.run, eval, exec, __import__, shutil.rmtree, runpy.run_path], ids=lambda f: f.__name__
)
def test_what_runs_programs_is_refused_even_beside_good_weights(torch, tmp_path, zipped, callable_):
    class Runs:
        def __reduce__(self):
            return callable_, (str(tmp_path / "it-ran"),)

    torch.save({"w": torch.ones(2), "beside": Runs()}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"asks for '.*nothing of it was run"):
        read_torch(tmp_path / "w.pth")
    assert not (tmp_path / "it-ran").exists()


class Settings:
    """An object of somebody's own class, as training scripts put beside the weights."""

    def __init__(self):
        self.rate, self.sizes = 0.1, [1, 2]

    def __setstate__(self, state):
        raise AssertionError("the object was made")


class Dictionary(dict):
    """A dict of one's own, as easydict and Lightning have them."""


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])
def test_objects_beside_the_weights_do_not_matter_and_are_not_made(torch, tmp_path, zipped, protocol):
    beside = {
        "args": argparse.Namespace(lr=0.1), "scalar": np.float64(3), "array": np.arange(3), "set": {1, 2},
        "frozen": frozenset("a"),
        "dtype": torch.float16, "numpy dtype": np.dtype("f4"), "device": torch.device("cpu"), "path": pathlib.Path("x"),
        "date": datetime.datetime(2024, 1, 1), "own": Settings(), "default": defaultdict(list, a=[1]), "counter": Counter("ab"),
        "complex": torch.ones(2, dtype=torch.complex64) if zipped else 1j, "keys": {("a", 1): 2, None: 3, 1.5: 4, b"b": 5},
        "large": 10**30, "bytes": b"x" * 300, "slice": slice(1, 2), "range": range(3), "partial": functools.partial(print, 1),
    }  # fmt: skip
    path = tmp_path / "w.pth"
    torch.save(
        beside | {"state_dict": {"w": torch.ones(2)}}, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped
    )
    assert {name: array.tolist() for name, array in read_torch(path).items()} == {"w": [1, 1]}


@FORMATS
@pytest.mark.parametrize(
    "under", [("net",), ("params",), ("ema",), ("generator",), ("a", "b"), ("checkpoint", "model", "weights")]
)
def test_weights_are_found_under_any_key_and_in_dicts_of_ones_own(torch, save, zipped, under):
    tree = {"conv.weight": torch.ones(2), "conv.bias": torch.zeros(1)}
    for key in reversed(under):
        tree = Dictionary({key: tree, "epoch": 3, "optimizer": {"state": {0: {str(i): torch.ones(1) for i in range(9)}}}})
    assert list(read_torch(save(tree, zipped))) == ["conv.weight", "conv.bias"]


@FORMATS
def test_weights_are_found_in_lists(torch, save, zipped):
    first, second = {"w": torch.ones(2)}, {"w": torch.zeros(2)}
    assert read_torch(save((first, 3), zipped))["w"].tolist() == [1, 1]
    arrays = read_torch(save({"folds": [first, second]}, zipped))
    assert arrays["w"].tolist() == [1, 1]
    assert arrays.notes == ["The weights under 'folds.0' were taken (1 arrays), not those under 'folds.1' (1)."]


def test_a_program_of_torch_export_is_refused_for_what_it_is(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pt2", "w") as archive:
        archive.writestr("net/archive_format", "pt2")
    with pytest.raises(WeightsError, match=r"is a program of torch\.export.*model\.state_dict\(\), path"):
        read_torch(tmp_path / "net.pt2")


@pytest.mark.parametrize(
    ("taken", "left"), [("model", "model_ema"), ("state_dict", "state_dict_ema"), ("student", "teacher"), ("net", "shadow")]
)
def test_of_weights_and_their_average_the_weights_are_taken_and_it_is_said(torch, save, taken, left):
    average = {"module.w": torch.zeros(2), "module.b": torch.zeros(2), "n_averaged": torch.tensor(3)}
    for order in ((taken, left), (left, taken)):
        both = {taken: {"w": torch.ones(2), "b": torch.ones(2)}, left: average}
        arrays = read_torch(save({key: both[key] for key in order}, True))
        assert arrays["w"].tolist() == [1, 1]
        assert arrays.notes == [f"The weights under '{taken}' were taken (2 arrays), not those under '{left}' (3)."]


def test_a_head_in_a_dict_beside_its_network_belongs_to_it(torch, save):
    parts = {"backbone": {f"w{i}": torch.ones(1) for i in range(5)}, "head": {"weight": torch.ones(2)}}
    assert list(read_torch(save(parts, True))) == [*(f"backbone.w{i}" for i in range(5)), "head.weight"]


@pytest.mark.parametrize(
    ("data", "next_step"),
    [
        ({"epoch": 1}, r"Save the weights of a network by name: torch\.save"),
        ({("a", 1): 2}, r"Save the weights of a network by name: torch\.save"),
        (["a"], r"Save the weights of a network by name: torch\.save"),
        ({"model": Settings()}, r"an object of the class .*Settings\).*nothing was run.*save its weights by themselves"),
    ],
    ids=["numbers", "keys", "list", "object"],
)
def test_nobody_is_told_to_fetch_a_sound_file_again(torch, save, data, next_step):
    with pytest.raises(WeightsError, match=next_step) as refused:
        read_torch(save(data, True))
    assert "etch it again" not in str(refused.value) and "damaged" not in str(refused.value)


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])
def test_not_even_a_harmless_class_is_looked_up(tmp_path, zipped, protocol):
    path = tmp_path / "odd.pth"
    write_pickle(path, {"w": pytest.approx}, zipped)
    with pytest.raises(WeightsError, match=r"_pytest|pytest"):
        read_torch(path)


def test_a_whole_pickled_module_is_refused_by_the_name_of_its_class(torch, save):
    with pytest.raises(WeightsError, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict"):
        read_torch(save(torch.nn.Linear(2, 2), True))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "it is empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "minicnn.load"),
        (b"<!DOCTYPE html><html>404", "web page"),
        (pickle.dumps([1, 2]), "other pickle"),
        (b"PK\x03\x04" + bytes(50), "damaged"),
    ],
)
def test_a_file_of_another_kind_is_named_for_what_it_is(tmp_path, content, sentence):
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=sentence) as caught:
        read_torch(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder_are_one_sentence(tmp_path):
    with pytest.raises(WeightsError, match="No such file"):
        read_torch(tmp_path / "nowhere.pth")
    with pytest.raises(WeightsError, match="cannot be read"):
        read_torch(tmp_path)


@FORMATS
def test_a_file_without_named_tensors_says_what_it_has(save, zipped):
    with pytest.raises(WeightsError, match="what it has is epoch, lr"):
        read_torch(save({"epoch": 1, "lr": 0.1}, zipped))
    with pytest.raises(WeightsError, match="it is a list"):
        read_torch(save([1, 2], zipped))


@FORMATS
def test_a_compressed_or_foreign_archive_is_refused(tmp_path, zipped):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl" if zipped else "readme.txt", bytes(10_000_000))
    with pytest.raises(WeightsError, match="compressed" if zipped else "no data.pkl"):
        read_torch(path)


def tensor_pickle(offset, shape, stride, numel=6):
    """The pickle of one tensor with any numbers in it, written by hand."""
    numbers = [pickle.dumps(value, 2)[2:-1] for value in (numel, offset, shape, stride)]
    count, offset, shape, stride = (number.replace(b"q\x00", b"").replace(b"q\x01", b"") for number in numbers)
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + count + b"tQ"
    arguments = b"(" + storage + offset + shape + stride + b"\x89ccollections\nOrderedDict\n)Rt"
    return b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"Rs."


def write_tensor(path, **numbers):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", tensor_pickle(**numbers))
        archive.writestr("archive/data/0", np.arange(6, dtype="<f4").tobytes())
    return path


def test_the_hand_written_pickle_is_one(tmp_path):
    path = write_tensor(tmp_path / "w.pth", offset=1, shape=(2, 2), stride=(3, 1))
    assert read_torch(path)["w"].tolist() == [[1, 2], [4, 5]]


@pytest.mark.parametrize(
    "numbers",
    [
        {"offset": 0, "shape": (7,), "stride": (1,)},
        {"offset": 5, "shape": (2,), "stride": (1,)},
        {"offset": 0, "shape": (2, 3), "stride": (4, 1)},
        {"offset": -1, "shape": (2,), "stride": (1,)},
        {"offset": 0, "shape": (2,), "stride": (-1,)},
        {"offset": 0, "shape": (-2,), "stride": (1,)},
        {"offset": 0, "shape": (2, 2), "stride": (1,)},
        {"offset": 0, "shape": (10**15,), "stride": (0,)},
        {"offset": 0, "shape": (2**40,), "stride": (1,), "numel": 2**40},
        {"offset": 0, "shape": (1,) * 40, "stride": (1,) * 40},
        {"offset": 0.0, "shape": (2,), "stride": (1,)},
        {"offset": 0, "shape": "ab", "stride": (1,)},
    ],
    ids=str,
)
def test_a_window_that_reaches_out_of_its_storage_is_refused_before_memory_is_taken(tmp_path, numbers):
    with pytest.raises(WeightsError):
        read_torch(write_tensor(tmp_path / "w.pth", **numbers))


@FORMATS
def test_a_truncated_file_is_a_weights_error_wherever_it_ends(torch, save, tmp_path, zipped):
    whole = save({"w": torch.randn(20), "b": torch.randn(3)}, zipped).read_bytes()
    cut = truncated(whole, step=7)
    assert assert_only_refuses(read_torch, tmp_path / "part.pth", cut) == len(cut)


@pytest.mark.filterwarnings("ignore:invalid escape:DeprecationWarning")  # Python's, about a damaged text
@FORMATS
def test_no_damage_does_more_than_raise_a_weights_error(torch, save, tmp_path, zipped):
    tensors = {name: tensor for name, tensor in example(torch).items() if name in ("transposed", "block", "parameter")}
    whole, path = save(tensors, zipped).read_bytes(), tmp_path / "mutated.pth"
    pickles = 1000  # bytes: in front, and most can go wrong there
    assert assert_only_refuses(read_torch, path, mutated(whole, MANY // 2, end=pickles)) > MANY / 4
    if zipped:  # with a checksum that fits, what is wrong with the pickle itself comes to light
        pickle = entry_of(whole, "weights/data.pkl")
        files = (with_entry(whole, "weights/data.pkl", content) for content in mutated(pickle, MANY // 2))
    else:
        files = mutated(whole, MANY // 2, seed=1)
    assert assert_only_refuses(read_torch, path, files) > MANY / 8


def test_a_pickle_that_only_keeps_the_reader_busy_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("minicnn.pretrained.readers.pickle_machine.MOST_INSTRUCTIONS", 1000)
    path = tmp_path / "busy.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"N" * 2000 + b".")
    with pytest.raises(WeightsError, match="1000 instructions"):
        read_torch(path)
