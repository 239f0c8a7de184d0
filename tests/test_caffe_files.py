"""Caffe networks are read to the bit, and nothing that is wrong with one does more than raise a WeightsError."""

import numpy as np
import pytest
from hostile import MANY, assert_only_refuses, assert_same_arrays, modest, mutated, small_net, truncated

from minicnn.errors import WeightsError
from minicnn.pretrained.readers import read_caffe

# the part of Caffe's messages that weights are in: message -> (field, number, type or message), a star for repeated ones
MESSAGES = {
    "BlobShape": [("dim*", 1, "int64")],
    "BlobProto": [
        ("num", 1, "int32"), ("channels", 2, "int32"), ("height", 3, "int32"), ("width", 4, "int32"),
        ("data*", 5, "float"), ("diff*", 6, "float"), ("shape", 7, "BlobShape"), ("double_data*", 8, "double"),
    ],
    "LayerParameter": [
        ("name", 1, "string"), ("type", 2, "string"), ("bottom*", 3, "string"), ("top*", 4, "string"),
        ("blobs*", 7, "BlobProto"),
    ],
    "V0LayerParameter": [("name", 1, "string"), ("type", 2, "string"), ("blobs*", 50, "BlobProto")],
    "V1LayerParameter": [
        ("layer", 1, "V0LayerParameter"), ("bottom*", 2, "string"), ("top*", 3, "string"), ("name", 4, "string"),
        ("type", 5, "int32"), ("blobs*", 6, "BlobProto"), ("blobs_lr*", 7, "float"),
    ],
    "NetParameter": [
        ("name", 1, "string"), ("layers*", 2, "V1LayerParameter"), ("input*", 3, "string"), ("input_dim*", 4, "int32"),
        ("layer*", 100, "LayerParameter"),
    ],
}  # fmt: skip


def messages(packed):
    """Google's classes for these messages; numbers of blobs packed, as in Caffe's definition, or not, as other writers do."""
    pytest.importorskip("google.protobuf")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="net.proto", package="net", syntax="proto2")
    for message, entries in MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind in entries:
            repeated = name.endswith("*")
            added = described.field.add(name=name.rstrip("*"), number=number)
            added.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            if kind in MESSAGES:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".net.{kind}"
            else:
                added.type = getattr(kinds, f"TYPE_{kind.upper()}")
                if repeated and kind != "string" and message.startswith("Blob"):
                    added.options.packed = packed
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"net.{name}")) for name in MESSAGES}


def blob(kinds, array, shaped=True):
    made = kinds["BlobProto"]()
    if shaped:
        made.shape.dim.extend(array.shape)
    else:
        made.num, made.channels, made.height, made.width = (1,) * (4 - array.ndim) + array.shape
    (made.double_data if array.dtype == np.float64 else made.data).extend(array.flatten().tolist())
    return made


def of_caffe(dtype=np.float32):
    """The small net as Caffe has it: layer -> (type, number of the type in V1, arrays)."""
    net = {name: array.astype(dtype) for name, array in small_net().items()}
    return {
        "data": ("Data", 5, []),
        "conv": ("Convolution", 4, [net["conv.weight"], net["conv.bias"]]),
        "bn": ("BatchNorm", 39, [net["bn.running_mean"], net["bn.running_var"], np.array([0.999], dtype)]),
        "scale": ("Scale", 39, [net["bn.weight"], net["bn.bias"]]),
        "inception_3a/1x1": ("Convolution", 4, [net["depthwise.weight"]]),
        "grouped": ("Convolution", 4, [net["grouped.weight"], net["grouped.bias"]]),
        "fc": ("InnerProduct", 14, [net["fc.weight"], net["fc.bias"]]),
    }


def write(path, kinds, v1=False, shaped=True, dtype=np.float32, only=""):
    """A file of Google's library, and what the library reads from it again."""
    net = kinds["NetParameter"](name="small net", input=["data"], input_dim=[1, 3, 9, 9])
    for name, (kind, number, arrays) in of_caffe(dtype).items():
        if not name.startswith(only):
            continue
        blobs = [blob(kinds, array, shaped) for array in arrays]
        if v1:
            net.layers.add(name=name, type=number, bottom=["below"], top=[name], blobs=blobs, blobs_lr=[1, 2])
        else:
            net.layer.add(name=name, type=kind, bottom=["below"], top=[name], blobs=blobs)
    path.write_bytes(net.SerializeToString())
    read = kinds["NetParameter"].FromString(path.read_bytes())
    return {
        f"{layer.name}/{k}": np.array(made.double_data or made.data, dtype).reshape(
            made.shape.dim or [made.num, made.channels, made.height, made.width]
        )
        for layer in (read.layers if v1 else read.layer)
        for k, made in enumerate(layer.blobs)
    }


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.caffemodel"


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "unpacked"])
@pytest.mark.parametrize("shaped", [True, False], ids=["shape", "legacy shape"])
@pytest.mark.parametrize("v1", [True, False], ids=["V1", "new"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_small_net_comes_as_protobuf_wrote_it(path, packed, shaped, v1, dtype):
    theirs = write(path, messages(packed), v1, shaped, dtype)
    assert_same_arrays(read_caffe(path), theirs)
    assert [array.size for array in theirs.values()] == [a.size for _, _, arrays in of_caffe().values() for a in arrays]


def test_names_are_the_layer_and_the_number_of_the_blob_and_shapes_are_kept(path):
    write(path, messages(True), v1=True, shaped=False)
    arrays = read_caffe(path)
    assert list(arrays) == [
        "conv/0", "conv/1", "bn/0", "bn/1", "bn/2", "scale/0", "scale/1", "inception_3a/1x1/0",
        "grouped/0", "grouped/1", "fc/0", "fc/1",
    ]  # fmt: skip
    assert arrays["conv/1"].shape == (1, 1, 1, 5) and arrays["fc/0"].shape == (1, 1, 6, 24)
    assert arrays["bn/2"].ravel().tolist() == [np.float32(0.999)]
    assert np.array_equal(arrays["conv/0"], small_net()["conv.weight"])


def test_a_net_of_2013_is_refused_with_the_tool_that_converts_it(path):
    kinds = messages(True)
    net = kinds["NetParameter"]()
    net.layers.add().layer.blobs.append(blob(kinds, np.ones(2, np.float32)))
    path.write_bytes(net.SerializeToString())
    with pytest.raises(WeightsError, match="upgrade_net_proto_binary"):
        read_caffe(path)


def test_what_cannot_be_is_refused_in_words(path):
    kinds = messages(True)

    def refused(sentence, *layers):
        net = kinds["NetParameter"](name="net")
        net.layer.extend(layers)
        path.write_bytes(net.SerializeToString())
        with modest(path, path.stat().st_size), pytest.raises(WeightsError, match=sentence):
            read_caffe(path)

    def layer(shape=(), data=(), double_data=(), **legacy):
        made = kinds["BlobProto"](data=data, double_data=double_data, **legacy)
        made.shape.dim.extend(shape)
        if legacy:
            made.ClearField("shape")
        return kinds["LayerParameter"](name="a", blobs=[made])

    refused("is no Caffe network with weights")
    refused("is no Caffe network with weights", kinds["LayerParameter"](name="relu", type="ReLU"))
    refused(r"'a/0' of shape \(2,\) needs 8 bytes and has 4", layer([2], [1.0]))
    refused("needs 4000000000000 bytes", layer([10**12], [1.0]))
    refused("bytes and has 4", layer([1 << 62] * 8, [1.0]))
    refused("the shape", layer([-1, -1], [1.0]))
    refused("the shape", layer([1] * 40, [1.0]))
    refused("the shape", layer(num=-1, channels=1, height=1, width=-1, data=[1.0]))
    refused("in single and in double precision", layer([1], [1.0], [1.0]))
    refused("two arrays of the name 'a/0'", layer([1], [1.0]), layer([1], [2.0]))


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x0a", b"\xa2\x06\xff\xff\xff\xff\x0f", b"\x89HDF\r\n\x1a\n"])
def test_a_file_of_another_kind_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"net\.caffemodel"):
        read_caffe(path)


@pytest.mark.parametrize("v1", [True, False], ids=["V1", "new"])
def test_no_damage_does_more_than_raise_a_weights_error(path, v1):
    write(path, messages(packed=not v1), v1, shaped=not v1, only=("bn", "grouped", "scale"))
    whole = path.read_bytes()
    cut = truncated(whole, step=3)
    # cut off behind a layer, the file is that of a smaller network
    assert len(cut) - 3 <= assert_only_refuses(read_caffe, path, cut) <= len(cut)
    assert assert_only_refuses(read_caffe, path, mutated(whole, MANY // 2)) > MANY / 8
