"""Whatever kind of file it is, and whatever it is called, its content says which reader is the right one."""

import os
import pickle
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
from hostile import assert_same_arrays, modest, small_net, varint

from minicnn.errors import WeightsError
from minicnn.models import lenet5
from minicnn.pretrained import read_weights
from minicnn.pretrained.writers import write_safetensors


def as_torch(path, net, **options):
    torch = pytest.importorskip("torch")
    torch.save({name: torch.from_numpy(array) for name, array in net.items()}, path, **options)


def as_legacy_torch(path, net):
    as_torch(path, net, _use_new_zipfile_serialization=False)


def as_safetensors(path, net):
    pytest.importorskip("safetensors.numpy").save_file(net, path)


def as_onnx(path, net):
    onnx = pytest.importorskip("onnx")
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in net.items()]
    graph = onnx.helper.make_graph([], "net", [], [], initializer=tensors)
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())


def as_npz(path, net):
    with open(path, "wb") as file:
        np.savez(file, **net)


def as_pickle(path, net):
    path.write_bytes(pickle.dumps(net))


def as_keras_1(path, net):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"net"]
        file.create_group("net").attrs["weight_names"] = [name.encode() for name in net]
        for name, array in net.items():
            file[f"net/{name}"] = array


def as_weights_h5(path, net):
    with h5py.File(path, "w") as file:
        for name, array in net.items():
            file[f"net/vars/{name}"] = array


def as_keras(path, net):
    as_weights_h5(path, net)
    content = path.read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", content)


def as_caffe(path, net):
    """A net of the name "net" with a layer for each array, written by hand."""
    message = b"\x0a\x03net"
    for name, array in net.items():
        shape, data = b"".join(b"\x08" + varint(n) for n in array.shape), array.tobytes()
        blob = b"\x3a" + varint(len(shape)) + shape + b"\x2a" + varint(len(data)) + data
        layer = b"\x0a" + varint(len(name)) + name.encode() + b"\x3a" + varint(len(blob)) + blob
        message += b"\xa2\x06" + varint(len(layer)) + layer
    path.write_bytes(message)


FORMATS = pytest.mark.parametrize(
    ("write", "name"),
    [
        (as_torch, "{}"),
        (as_legacy_torch, "{}"),
        (as_safetensors, "{}"),
        (as_onnx, "{}"),
        (as_npz, "{}"),
        (as_pickle, "{}"),
        (as_keras_1, "net/{}"),
        (as_weights_h5, "net/{}"),
        (as_keras, "net/{}"),
        (as_caffe, "{}/0"),
    ],
)


@pytest.mark.parametrize("suffix", [".h5", ".pth", "", ".bin"])
@FORMATS
def test_the_small_net_is_read_from_any_kind_of_file_under_any_name(tmp_path, write, name, suffix):
    path = tmp_path / f"weights{suffix}"
    write(path, small_net())
    arrays = read_weights(path)
    expected = {name.format(key): array for key, array in small_net().items()}
    assert set(arrays) == set(expected)
    assert_same_arrays(arrays, {key: expected[key] for key in arrays})


def test_a_safetensors_file_is_known_whatever_the_length_of_its_list(tmp_path):
    """The length comes first, and its lowest byte may be that with which a pickle, or a file of ONNX or Caffe, begins."""
    path, first_bytes = tmp_path / "weights.bin", set()
    for more in range(0, 256, 8):
        write_safetensors(path, small_net(), {"more": "x" * more})
        first_bytes.add(path.read_bytes()[0])
        assert len(read_weights(path)) == len(small_net())
    assert {0x80, 0x08} <= first_bytes


@FORMATS
def test_a_large_file_takes_memory_for_itself_and_its_arrays_only(tmp_path, write, name):
    path = tmp_path / "weights.bin"
    write(path, {"w": np.arange(1 << 20, dtype=np.float32)})
    with modest(path, path.stat().st_size, always_fine=100_000, times=3.1):
        assert read_weights(path)[name.format("w")][-1] == (1 << 20) - 1


def test_a_message_that_does_not_begin_with_its_first_field_is_told_by_the_suffix(tmp_path):
    as_caffe(tmp_path / "net.caffemodel", small_net())
    whole = (tmp_path / "net.caffemodel").read_bytes()
    for name in ("net.caffemodel", "net.bin"):
        (tmp_path / name).write_bytes(whole.removeprefix(b"\x0a\x03net"))
    assert len(read_weights(tmp_path / "net.caffemodel")) == len(small_net())
    with pytest.raises(WeightsError, match="is not a file of PyTorch, safetensors, Keras"):
        read_weights(tmp_path / "net.bin")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "it is empty"),
        (b"hello", "begins with b'hello'"),
        (b"\n<html>404", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"\x93NUMPY\x01\x00", "begins with"),
        (b"PK\x03\x04" + bytes(100), "not a zip file"),
        (b"\xff" * 8 + b"{", "begins with"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".onnx", ".caffemodel", ".h5"])
def test_a_file_of_no_known_kind_is_refused_in_words(tmp_path, content, sentence, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)
    if suffix not in (".onnx", ".caffemodel") or content[:1] in b"\n<v":
        caught.match(sentence)


@pytest.mark.parametrize("text", ['name: "net"\nlayer {', "# mine\nlayers {\n", "input: 'data'"])
def test_caffes_description_of_a_network_is_told_from_its_weights(tmp_path, text):
    (tmp_path / "deploy.prototxt").write_text(text)
    with pytest.raises(WeightsError, match=r"describes a network of Caffe: its weights are in a \.caffemodel"):
        read_weights(tmp_path / "deploy.prototxt")


def test_of_a_folder_it_is_said_what_to_name(tmp_path):
    with pytest.raises(WeightsError, match="but a folder: name the file in it"):
        read_weights(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    with pytest.raises(WeightsError, match=r"a SavedModel, .*model\.save"):
        read_weights(tmp_path)
    with pytest.raises(WeightsError, match=r"it has no weights. TensorFlow's saved_model\.pb, .* are not read") as refused:
        read_weights(tmp_path / "saved_model.pb")
    assert "etch it again" not in str(refused.value)


def test_a_model_of_this_project_is_referred_to_its_loader(tmp_path):
    lenet5(rng=0).save(tmp_path / "lenet.h5")
    with pytest.raises(WeightsError, match=r"a model that minicnn saved: minicnn\.load reads it"):
        read_weights(tmp_path / "lenet.h5")


def test_what_is_not_a_file_is_refused_without_waiting(tmp_path):
    with pytest.raises(WeightsError, match="No such file"):
        read_weights(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="it is not a file"):
        read_weights(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(WeightsError, match="it is not a file"):
            read_weights(tmp_path / "pipe")


def test_no_framework_is_needed_to_read_any_of_them():
    """Not even where they are installed."""
    program = "import sys, minicnn.pretrained; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "minicnn" in loaded
    assert not {"torch", "tensorflow", "keras", "onnx", "safetensors", "google", "caffe", "ml_dtypes"} & set(loaded)
