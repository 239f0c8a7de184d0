"""ONNX initialisers are read to the bit, and nothing that is wrong with a model does more than raise a WeightsError."""

import numpy as np
import pytest
from hostile import MANY, assert_only_refuses, assert_same_arrays, modest, mutated, small_net, truncated, varint

from minicnn.errors import WeightsError
from minicnn.pretrained.readers import read_onnx
from minicnn.pretrained.readers.protobuf_wire import LENGTH, VARINT

KINDS = ["float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "bool", "float16", "float64", "uint32", "uint64"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


@pytest.fixture
def save(path):
    onnx = pytest.importorskip("onnx")

    def save(tensors, nodes=()):
        output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
        graph = onnx.helper.make_graph(list(nodes), "net", [], [output], initializer=tensors)
        onnx.save(onnx.helper.make_model(graph, producer_name="test"), path)
        return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}

    return save


def field(number, value):
    """One field of a message, written by hand."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value % (1 << 64))
    return varint(number << 3 | LENGTH) + varint(len(value)) + value


def tensor(*fields, name=b"w", kind=1):
    return field(2, kind) + field(8, name) + b"".join(fields)


def model(*tensors):
    return field(1, 8) + field(7, b"".join(field(5, content) for content in tensors))


def test_the_small_net_comes_as_onnx_wrote_it(path, save):
    onnx = pytest.importorskip("onnx")
    net = small_net()
    nodes = [
        onnx.helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["c"]),
        onnx.helper.make_node("BatchNormalization", ["c", *list(net)[2:6]], ["n"]),
        onnx.helper.make_node("Conv", ["n", "depthwise.weight"], ["d"], group=5),
        onnx.helper.make_node("Conv", ["d", "pointwise.weight"], ["p"]),
        onnx.helper.make_node("Conv", ["p", "grouped.weight", "grouped.bias"], ["g"], group=2),
        onnx.helper.make_node("Flatten", ["g"], ["f"]),
        onnx.helper.make_node("Gemm", ["f", "fc.weight", "fc.bias"], ["y"], transB=1),
    ]
    theirs = save([onnx.numpy_helper.from_array(array, name) for name, array in net.items()], nodes)
    assert_same_arrays(read_onnx(path), net)
    assert_same_arrays(read_onnx(path), theirs)


@pytest.mark.parametrize("raw", [True, False])
def test_every_number_type_is_read_raw_or_in_the_field_for_its_kind(path, save, raw):
    onnx = pytest.importorskip("onnx")
    arrays = {kind: np.array([[0, 1, 3], [100, 7, 2]]).astype(kind) for kind in KINDS}
    for kind in KINDS:
        if np.issubdtype(kind, np.integer):
            arrays[f"{kind} limits"] = np.array([np.iinfo(kind).min, np.iinfo(kind).max], kind)
    arrays |= {"float16 limits": np.array([-65504, 6e-8, np.inf], np.float16), "single": np.array(2.5, np.float32)}
    arrays |= {"empty": np.zeros((0, 3), np.float32), "long": np.arange(-50_000, 50_000)}
    tensors = []
    for name, array in arrays.items():
        if raw:
            tensors.append(onnx.numpy_helper.from_array(array, name))
        else:
            kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            tensors.append(onnx.helper.make_tensor(name, kind, array.shape, array.flatten()))
            assert not tensors[-1].HasField("raw_data")
    theirs = save(tensors)
    assert_same_arrays(read_onnx(path), theirs)
    assert_same_arrays(read_onnx(path), arrays)


def test_bfloat16_becomes_the_float32_of_equal_value(path, save):
    onnx = pytest.importorskip("onnx")
    values = np.array([1.0, -3.140625, 2.0**100, 0.0], np.float32)
    bits = (values.view(np.uint32) >> 16).astype("<u2")
    raw = onnx.helper.make_tensor("raw", onnx.TensorProto.BFLOAT16, (2, 2), bits.tobytes(), raw=True)
    typed = onnx.TensorProto(name="typed", data_type=onnx.TensorProto.BFLOAT16, dims=[4], int32_data=bits.tolist())
    save([raw, typed])
    assert_same_arrays(read_onnx(path), {"raw": values.reshape(2, 2), "typed": values})


def test_numbers_that_are_not_packed_are_read_as_well(path):
    """As some writers do, each number has its tag; four bytes a number here, so that there are runs of every length."""
    values = np.arange(300, dtype="<f4")
    for count in (1, 2, 5, 21, 300):
        unpacked = b"".join(varint(4 << 3 | 5) + value.tobytes() for value in values[:count])
        path.write_bytes(model(tensor(field(1, count), unpacked)))
        assert_same_arrays(read_onnx(path), {"w": np.arange(count, dtype=np.float32)})
    path.write_bytes(model(tensor(field(1, 2), field(7, 5), field(7, -3), kind=7)))
    assert read_onnx(path)["w"].tolist() == [5, -3]
    path.write_bytes(model(tensor(field(1, varint(2) + varint(3)), field(9, bytes(24)))))
    assert read_onnx(path)["w"].shape == (2, 3)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is no ONNX model with initialisers"),
        (model(), "is no ONNX model with initialisers"),
        (model(tensor(field(1, 2), field(9, bytes(4)))), r"'w' of shape \(2,\) needs 8 bytes and has 4"),
        (model(tensor(field(1, 10**15), field(9, bytes(4)))), "needs 4000000000000000 bytes"),
        (model(tensor(*[field(1, 1 << 62)] * 8, field(9, bytes(4)))), "bytes and has 4"),
        (model(tensor(field(1, -1), field(1, -4), field(9, bytes(16)))), "the shape"),
        (model(tensor(*[field(1, 1)] * 40, field(9, bytes(4)))), "the shape"),
        (model(tensor(field(1, 1), field(9, bytes(4)), kind=8)), "ONNX's type number 8"),
        (model(tensor(field(1, 1), field(9, bytes(4)), kind=-1)), "ONNX's type number -1"),
        (model(tensor(field(1, 1), field(14, 1))), r"'w' in another file; put all into one with onnx\.save"),
        (model(tensor(field(1, 1), field(13, field(1, b"location") + field(2, b"/etc/passwd")))), "in another file"),
        (model(tensor(field(1, 1), field(9, bytes(4)))) * 2, "two arrays of the name 'w'"),
        (field(7, field(15, b"")), "sparse"),
        (field(7, 3), "a number where bytes belong"),
        (model(tensor(field(2, b"x"))), "bytes where a number belongs"),
        (model(tensor(name=b"\xff\xfe")), r"net\.onnx"),
        (model(tensor(field(1, 1), field(5, b"\xff" * 11 + b"\1"), kind=6)), "more than 64 bits"),
        (model(tensor(field(1, 1), field(5, b"\xff"), kind=6)), "does not end"),
        (varint(7 << 3 | LENGTH) + varint(1 << 62), "a field has 4611686018427387904 bytes"),
        (b"\x3a" + b"\xff" * 20, "does not end"),
        (b"\x00\x00", "field of number 0"),
        (b"\x0b", "a field of kind 3"),
        (b"\x0d\x00\x00", "a number of 4 bytes is not all there"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_model_that_cannot_be_is_refused_in_words(path, content, sentence):
    path.write_bytes(content)
    with modest(path, len(content)), pytest.raises(WeightsError, match=sentence):
        read_onnx(path)


def node(operator, name, inputs, outputs=("y",)):
    texts = [*((1, text) for text in inputs), *((2, text) for text in outputs), (3, name), (4, operator)]
    return field(1, b"".join(field(number, text.encode()) for number, text in texts))


def graph(arrays, *nodes):
    values = {name: np.full(1, k, "<f4") for k, name in enumerate(arrays)}
    tensors = [field(5, tensor(field(1, 1), field(9, value.tobytes()), name=name.encode())) for name, value in values.items()]
    return field(1, 8) + field(7, b"".join([*nodes, *tensors]))


def test_what_a_merged_batch_norm_has_left_without_a_name_is_called_after_its_layer(path):
    first = node("Conv", "/layer1/layer1.0/conv1/Conv", ["x", "onnx::Conv_193", "onnx::Conv_194"])
    second = node("Conv", "/features/features.0/features.0.0/Conv_1", ["y", "onnx::Conv_196", "onnx::Conv_194"])
    newest = node("Conv", "node_Conv_9", ["y", "conv3.weight", "conv3.weight_bias"])
    unknown = node("Conv", "Conv_3", ["y", "onnx::Conv_7", "onnx::Conv_8"])
    arrays = [
        "onnx::Conv_193",
        "onnx::Conv_194",
        "onnx::Conv_196",
        "conv3.weight",
        "conv3.weight_bias",
        "onnx::Conv_7",
        "fc.bias",
    ]
    path.write_bytes(graph(arrays, first, second, newest, unknown))
    assert {name: int(array[0]) for name, array in read_onnx(path).items()} == {
        "layer1.0.conv1.weight": 0, "layer1.0.conv1.bias": 1, "features.0.0.weight": 2, "features.0.0.bias": 1,
        "conv3.weight": 3, "conv3.bias": 4, "onnx::Conv_7": 5, "fc.bias": 6,
    }  # fmt: skip


def test_what_onnx_runtime_has_merged_is_called_after_its_layer(path):
    names = ["ConvBnFusion_W_layer1.0.conv1.weight", "ConvBnFusion_BN_B_layer1.0.bn1.bias"]
    path.write_bytes(graph(names, node("Conv", "", ["x", *names])))
    assert list(read_onnx(path)) == ["layer1.0.conv1.weight", "layer1.0.conv1.bias"]


def test_weights_in_nodes_are_read_and_other_constants_are_not(path):
    onnx = pytest.importorskip("onnx")
    make, arrays = onnx.helper.make_node, {"w": np.ones((2, 3), np.float32), "mean": np.ones(2), "five": np.full(2, 5.0)}
    nodes = [make("Constant", [], [name], value=onnx.numpy_helper.from_array(array)) for name, array in arrays.items()]
    nodes += [make("Gemm", ["x", "w"], ["g"]), make("BatchNormalization", ["g", "w", "w", "mean", "w"], ["n"])]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([*nodes, make("Add", ["n", "five"], ["y"])], "net", [], [])), path)
    assert {name: array.tolist() for name, array in read_onnx(path).items()} == {"w": [[1, 1, 1], [1, 1, 1]], "mean": [1, 1]}


@pytest.mark.parametrize("operator", ["QLinearConv", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger"])
def test_a_quantised_network_is_refused_with_what_to_take(path, operator):
    path.write_bytes(graph(["w"], node(operator, "", ["x", "w"])))
    with pytest.raises(WeightsError, match=f"is quantised .*{operator}.*take the model that was quantised"):
        read_onnx(path)


def test_an_array_that_is_there_keeps_its_name(path):
    path.write_bytes(graph(["c.weight", "c.weight_bias", "c.bias"], node("Conv", "", ["x", "c.weight", "c.weight_bias"])))
    assert {name: int(array[0]) for name, array in read_onnx(path).items()} == {"c.weight": 0, "c.weight_bias": 1, "c.bias": 2}


def test_copies_under_other_names_are_there_and_settings_of_nodes_are_not(path):
    nodes = [
        node("Identity", "", ["bn1.bias"], ["bn2.bias"]),
        node("Clip", "", ["x", "least", "most"]),
        node("Reshape", "", ["y", "shape"]),
        node("Add", "", ["y", "most"]),
    ]
    path.write_bytes(graph(["bn1.bias", "least", "most", "shape", "/pool/pads"], *nodes))
    arrays = read_onnx(path)
    assert set(arrays) == {"bn1.bias", "bn2.bias", "most"} and np.array_equal(arrays["bn1.bias"], arrays["bn2.bias"])


def elsewhere(location, offset, name=b"w"):
    entries = [(b"location", location), (b"offset", str(offset).encode()), (b"length", b"8")]
    places = b"".join(field(13, field(1, key) + field(2, value)) for key, value in entries)
    return tensor(field(1, 2), places, field(14, 1), name=name)


def test_numbers_in_a_file_beside_the_model_are_read(path):
    path.with_name("net.onnx.data").write_bytes(np.arange(6, dtype="<f4").tobytes())
    path.write_bytes(model(elsewhere(b"net.onnx.data", 16), elsewhere(b"net.onnx.data", 0, b"b")))
    assert_same_arrays(read_onnx(path), {"w": np.array([4, 5], np.float32), "b": np.array([0, 1], np.float32)})


@pytest.mark.parametrize(
    ("location", "offset", "sentence"),
    [
        (b"gone.data", 0, "in the file 'gone.data', which is not beside it; put it there"),
        (b"net.onnx.data", 20, "8 bytes belong at byte 20, and the file has 24"),
        (b"net.onnx.data", -4, "8 bytes belong at byte -4"),
        (b"../other.data", 0, "in another file; put all into one"),
        (b"..", 0, "in another file; put all into one"),
        (b"/etc/passwd", 0, "in another file; put all into one"),
    ],
)
def test_numbers_elsewhere_are_not(path, location, offset, sentence):
    path.with_name("net.onnx.data").write_bytes(bytes(24))
    path.parent.with_name("other.data").write_bytes(bytes(24))
    path.write_bytes(model(elsewhere(location, offset)))
    with pytest.raises(WeightsError, match=sentence) as refused:
        read_onnx(path)
    assert ("Fetch it again" in str(refused.value)) == (location == b"net.onnx.data")


def test_a_row_of_empty_fields_costs_no_memory(path):
    content = field(7, field(3, b"") * 30_000 + field(5, tensor(field(1, 1), field(9, bytes(4)))))
    path.write_bytes(content)
    with modest(path, len(content)):
        assert read_onnx(path)["w"].tolist() == [0]


def test_no_damage_does_more_than_raise_a_weights_error(path):
    raw = tensor(field(1, 2), field(1, 3), field(9, np.arange(6, dtype="<f4").tobytes()), name=b"conv.weight")
    whole = numbers = tensor(field(1, varint(2) + varint(2)), field(5, b"".join(map(varint, (1, 300, 70000, 5)))), kind=6)
    floats = tensor(field(1, 3), b"".join(varint(4 << 3 | 5) + bytes(4) for _ in range(3)), name=b"bias")
    whole = model(raw, numbers, floats) + field(8, field(1, b"") + field(2, 17))
    path.write_bytes(whole)
    assert [array.shape for array in read_onnx(path).values()] == [(2, 3), (2, 2), (3,)]
    cut = truncated(whole[: -len(field(8, field(1, b"") + field(2, 17)))])
    assert assert_only_refuses(read_onnx, path, cut) == len(cut)
    assert assert_only_refuses(read_onnx, path, mutated(whole, MANY)) > MANY / 2
