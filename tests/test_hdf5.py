"""HDF5 as Keras's files use it: what is in one piece in the file is read, everything else is refused in words."""

import h5py
import numpy as np
import pytest
from hostile import assert_same_arrays, modest

from minicnn.errors import WeightsError
from minicnn.pretrained.readers import read_keras


@pytest.mark.parametrize("library", ["earliest", "v108", "latest"])
def test_every_number_type_and_version_of_hdf5_is_read(tmp_path, library):
    kinds = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">f4", ">i8"]
    with h5py.File(tmp_path / "kinds.h5", "w", libver=library) as file:
        group = file.create_group("layers/odd/vars")
        for k, kind in enumerate(kinds[:8]):
            group[str(k)] = np.array([[0, 1, 3], [100, 7, 2]]).astype(kind)
        other = file.create_group("layers/other/vars")
        for k, kind in enumerate(kinds[8:]):
            other[str(k)] = np.array([[0, 1, 3], [100, 7, 2]]).astype(kind)
        other["5"], other["6"] = np.float32(2.5), np.zeros((0, 3), np.float32)
        small = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        small.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((2, 2))
        compact = h5py.h5d.create(other.id, b"7", h5py.h5t.IEEE_F32LE, space, small)
        compact.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(4, dtype=np.float32).reshape(2, 2))
    with h5py.File(tmp_path / "kinds.h5") as file:
        expected = {
            f"{layer}/{k}": np.asarray(array[()]).astype(array.dtype.newbyteorder("="))
            for layer, group in file["layers"].items()
            for k, array in group["vars"].items()
        }
    assert_same_arrays(read_keras(tmp_path / "kinds.h5"), expected)
    assert len(expected) == 16


def test_large_groups_are_read_in_the_usual_form_and_refused_in_words_in_the_newer(tmp_path):
    def write(library):
        with h5py.File(tmp_path / "large.h5", "w", libver=library) as file:
            for k in range(500):
                file[f"layers/conv2d_{k}/vars/0"] = np.full(1, k, np.float32)
        return read_keras(tmp_path / "large.h5")

    assert {name: array[0] for name, array in write("earliest").items()} == {f"conv2d_{k}/0": k for k in range(500)}
    with pytest.raises(WeightsError, match="a large group in HDF5's newer form"):
        write("latest")


def put(group, name, kind, elsewhere):
    """An array, or something that only looks like one."""
    if kind == "soft link":
        group[name] = h5py.SoftLink("/layers/conv/vars/0")
    elif kind == "link to itself":
        group[name] = h5py.SoftLink(f"{group.name}/{name}")
    elif kind == "external link":
        group[name] = h5py.ExternalLink(str(elsewhere), "data")
    elif kind == "virtual":
        layout = h5py.VirtualLayout((2,), np.float32)
        layout[:] = h5py.VirtualSource(str(elsewhere), "data", (2,))
        group.create_virtual_dataset(name, layout)
    elif kind == "external storage":
        group.create_dataset(name, (2,), np.float32, external=[(str(elsewhere), 0, 8)])
    elif kind == "packed":
        group.create_dataset(name, data=np.zeros(2, np.float32), chunks=(1,), compression="gzip")
    elif kind == "without content":
        group.create_dataset(name, (1 << 40,), np.float32)
    elif kind == "nothing":
        group.create_dataset(name, data=h5py.Empty("f4"))
    elif kind == "shared type":
        group.file["type"] = np.dtype("f4")
        group.create_dataset(name, (2,), group.file["type"])
    elif kind == "texts":
        group.create_dataset(name, data=["a", "b"])
    elif kind == "table":
        group.create_dataset(name, data=np.zeros(2, [("a", "f4")]))
    elif kind == "complex":
        group.create_dataset(name, data=np.zeros(2, "c8"))
    elif kind == "group":
        group.create_group(name)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("soft link", "as a link to something else, which is not followed"),
        ("link to itself", "as a link to something else, which is not followed"),
        ("external link", "as a link to something else, which is not followed"),
        ("virtual", "packed, in pieces or made of others"),
        ("external storage", "in another file"),
        ("packed", "h5repack"),
        ("without content", "has nothing under"),
        ("nothing", "has nothing under"),
        ("shared type", "0 types where one belongs"),
        ("texts", "none of NumPy's types of numbers"),
        ("table", "none of NumPy's types of numbers"),
        ("complex", "none of NumPy's types of numbers"),
        ("group", "0 shapes where one belongs"),
    ],
)
def test_what_only_looks_like_an_array_is_refused_in_words(tmp_path, kind, sentence):
    elsewhere = tmp_path / "secret.h5"
    with h5py.File(elsewhere, "w") as other:
        other["data"] = np.zeros(2, np.float32)
    path = tmp_path / "net.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/conv/vars/0"] = np.zeros(2, np.float32)
        put(file["layers/conv/vars"], "1", kind, elsewhere)
    with modest(path, path.stat().st_size), pytest.raises(WeightsError, match=sentence):
        read_keras(path)


def loop(file):
    file["layers/a/again"] = file["layers"]


def doubling(file):
    """Two ways to the next group, forty times: more ways to the last than anything can walk."""
    group = file["layers"]
    for _ in range(40):
        group["x"] = below = group.create_group("y")
        group = below


def deep(file):
    group = file["layers"]
    for _ in range(3000):
        group = group.create_group("a")


def same_array_often(file):
    file["layers/a/vars/0"] = np.zeros(5000, np.float32)
    for k in range(1, 500):
        file[f"layers/a/vars/{k}"] = file["layers/a/vars/0"]


def strange_name(file):
    file.create_group("layers/a/vars").attrs["name"] = 3.5


def endless_name(file):
    file.create_group("layers/a/vars").attrs["name"] = "a" * 60_000


def same_name(file):
    for kind in ("a", "b"):
        file.create_group(f"layers/{kind}/vars").attrs["name"] = "one"
        file[f"layers/{kind}/vars/0"] = np.zeros(1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (loop, "has one group in two places"),
        (doubling, "has one group in two places"),
        (deep, "net.h5"),
        (same_array_often, "the same bytes again and again"),
        (strange_name, "an attribute 'name' that is not of texts"),
        (endless_name, "a name of 60000 bytes"),
        (same_name, "two arrays of the name 'one/0'"),
        (lambda file: None, "has no weights where Keras keeps them"),
    ],
)
def test_what_leads_in_circles_or_multiplies_is_refused(tmp_path, change, sentence):
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        file.create_group("layers")
        change(file)
    with modest(path, path.stat().st_size), pytest.raises(WeightsError, match=sentence):
        read_keras(path)
