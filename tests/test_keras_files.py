"""Keras's files of all vintages are read to the bit, and nothing that is wrong with one does more than raise a WeightsError."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest
from hostile import (
    MANY,
    assert_only_refuses,
    assert_same_arrays,
    entry_of,
    modest,
    mutated,
    truncated,
    with_entry,
)

from minicnn.errors import WeightsError
from minicnn.pretrained.readers import read_keras

WEIGHTS = "model.weights.h5"
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras"),
    pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning"),  # the clone has none
]


@pytest.fixture(scope="module")
def keras():
    pytest.importorskip("torch", reason="Keras computes with it here")
    return pytest.importorskip("keras")


@pytest.fixture(scope="module")
def net(keras):
    """The small net as Keras has it, trained for a step so that its optimiser has something to remember."""
    layers = keras.layers
    inputs = keras.Input((7, 6, 3), name="picture")
    x = layers.Conv2D(5, (3, 2), name="block1_conv1")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.DepthwiseConv2D((2, 3), use_bias=False, name="dw")(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(10, 1, name="wide")(x)
    x = layers.Conv2D(4, 2, groups=2, name="grouped")(x)
    x = layers.Dropout(0.5)(x)
    x = layers.Flatten()(x)
    model = shaken(keras.Model(inputs, layers.Dense(6, name="fc")(x), name="net"))
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 7, 6, 3), np.float32), np.ones((2, 6), np.float32))
    return model


@pytest.fixture(scope="module")
def nested(keras):
    """A model inside a model, with two layers of one class in each."""
    layers = keras.layers
    inner = keras.Sequential(
        [keras.Input((5, 5, 2)), layers.Conv2D(3, 2, name="a"), layers.Conv2D(2, 2, name="b")], name="inner"
    )
    return shaken(
        keras.Sequential([inner, layers.Flatten(), layers.Dense(3, name="fc1"), layers.Dense(2, name="fc2")], name="outer")
    )


def shaken(model):
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, array.shape).astype(np.float32) for array in model.get_weights()])
    return model


def leaves(model, path=""):
    """(name, layer) of the layers with weights, through models inside the model."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from leaves(layer, f"{path}{layer.name}/")
        elif layer.weights:
            yield path + layer.name, layer


def by_name(model):
    return {f"{path}/{array.name}": array.numpy() for path, layer in leaves(model) for array in layer.weights}


def by_number(model):
    return {f"{path}/{k}": array.numpy() for path, layer in leaves(model) for k, array in enumerate(layer.weights)}


def assert_same_in_any_order(arrays, expected):
    assert_same_arrays(arrays, {name: expected[name] for name in arrays})
    assert len(arrays) == len(expected)


# ---- files of Keras 3


@pytest.mark.parametrize("model", ["net", "nested"])
def test_a_whole_model_in_h5_comes_with_the_names_of_its_variables(keras, request, model, tmp_path):
    model, path = request.getfixturevalue(model), tmp_path / "model.h5"
    model.save(path)
    assert_same_arrays(read_keras(path), by_name(model))
    assert_same_arrays(read_keras(path), by_name(keras.models.load_model(path, compile=False)))


@pytest.mark.parametrize("model", ["net", "nested"])
def test_weights_h5_comes_with_numbers_for_variables(keras, request, model, tmp_path):
    model, path = request.getfixturevalue(model), tmp_path / "model.weights.h5"
    model.save_weights(path)
    assert_same_in_any_order(read_keras(path), by_number(model))
    again = keras.models.clone_model(model)
    again.load_weights(path)
    assert_same_in_any_order(read_keras(path), by_number(again))


@pytest.mark.parametrize("model", ["net", "nested"])
def test_a_keras_archive_comes_with_numbers_for_variables(keras, request, model, tmp_path):
    model, path = request.getfixturevalue(model), tmp_path / "model.keras"
    model.save(path)
    assert_same_in_any_order(read_keras(path), by_number(model))
    assert_same_in_any_order(read_keras(path), by_number(keras.models.load_model(path, compile=False)))


def test_names_are_those_of_the_layers(net, tmp_path):
    net.save(tmp_path / "net.h5")
    assert list(read_keras(tmp_path / "net.h5")) == [
        "block1_conv1/kernel", "block1_conv1/bias", "bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance", "dw/kernel",
        "wide/kernel", "wide/bias", "grouped/kernel", "grouped/bias", "fc/kernel", "fc/bias",
    ]  # fmt: skip
    net.save_weights(tmp_path / "net.weights.h5")
    arrays = read_keras(tmp_path / "net.weights.h5")
    assert {name: array.shape for name, array in arrays.items() if name.startswith(("block1", "bn"))} == {
        "bn/0": (5,), "bn/1": (5,), "bn/2": (5,), "bn/3": (5,), "block1_conv1/0": (3, 2, 3, 5), "block1_conv1/1": (5,),
    }  # fmt: skip


def test_arrays_of_more_than_ten_are_in_the_order_of_their_numbers(tmp_path):
    with h5py.File(tmp_path / "many.weights.h5", "w") as file:
        for k in range(12):
            file[f"layers/odd/vars/{k}"] = np.full(1, k, np.float32)
    assert [array[0] for array in read_keras(tmp_path / "many.weights.h5").values()] == list(range(12))


def without_names(path):
    """As Keras wrote before it gave its groups the names of layers, seen in versions 3.0 to 3.3."""

    def forget(_, group):
        group.attrs.pop("name", None)

    with h5py.File(path, "r+") as file:
        file.visititems(forget)


@pytest.mark.parametrize("container", ["layers", "_layer_checkpoint_dependencies"])
def test_without_names_of_layers_weights_h5_comes_with_those_of_their_classes(nested, tmp_path, container):
    path = tmp_path / "older.weights.h5"
    nested.save_weights(path)
    without_names(path)
    with h5py.File(path, "r+") as file:
        file.move("layers", container)
    names = {"fc1": "dense", "fc2": "dense_1", "inner/a": "sequential/conv2d", "inner/b": "sequential/conv2d_1"}
    theirs = {f"{names[path]}/{k}": array.numpy() for path, layer in leaves(nested) for k, array in enumerate(layer.weights)}
    assert_same_in_any_order(read_keras(path), theirs)


@pytest.mark.parametrize("model", ["net", "nested"])
def test_without_names_of_layers_a_keras_archive_has_them_from_its_description(request, model, tmp_path):
    model, path, inside = request.getfixturevalue(model), tmp_path / "older.keras", tmp_path / "inside.h5"
    model.save(path)
    inside.write_bytes(entry_of(path.read_bytes(), WEIGHTS))
    without_names(inside)
    path.write_bytes(with_entry(path.read_bytes(), WEIGHTS, inside.read_bytes(), zipfile.ZIP_DEFLATED))
    assert_same_in_any_order(read_keras(path), by_number(model))


def test_bfloat16_becomes_the_float32_of_equal_value(keras, tmp_path):
    model = shaken(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="q", dtype="bfloat16")]))
    model.layers[0].set_weights([np.full((4, 2), 3.140625), np.full(2, -(2.0**100))])
    expected = {"q/kernel": np.full((4, 2), 3.140625, np.float32), "q/bias": np.full(2, -(2.0**100), np.float32)}
    model.save(tmp_path / "half.h5")
    assert_same_arrays(read_keras(tmp_path / "half.h5"), expected)
    model.save_weights(tmp_path / "half.weights.h5")
    assert_same_arrays(read_keras(tmp_path / "half.weights.h5"), dict(zip(["q/0", "q/1"], expected.values(), strict=True)))


# ---- files of Keras 1 and 2, in the layout that their save_weights documents: layer_names, groups, weight_names, arrays


def write_layers(path, layers, under="", **attributes):
    """``layers`` is a dict of dicts: layer -> name of the array as Keras wrote it -> array."""
    with h5py.File(path, "w") as file:
        top = file.require_group(under) if under else file
        top.attrs["layer_names"] = [name.encode() for name in layers]
        for key, value in attributes.items():
            top.attrs[key] = value
        for name, arrays in layers.items():
            group = top.create_group(name)
            group.attrs["weight_names"] = [key.encode() for key in arrays]
            for key, array in arrays.items():
                group.create_dataset(key, data=array)
    return path


VGG16 = {"kernel": np.arange(36, dtype=np.float32).reshape(3, 3, 2, 2), "bias": np.arange(2, dtype=np.float32)}
NORM = {name: np.full(2, k, np.float32) for k, name in enumerate(["gamma", "beta", "moving_mean", "moving_variance"])}


@pytest.mark.parametrize("under", ["", "model_weights"])
@pytest.mark.parametrize("scope", ["{}/", "{}_1/", "net/{}/", "net/{}_3/"])
def test_files_of_keras_2_come_with_the_names_of_layer_and_variable(tmp_path, under, scope):
    layers = {
        "input_1": {},
        "block1_conv1": {f"{scope.format('block1_conv1')}{name}:0": array for name, array in VGG16.items()},
        "bn": {f"{scope.format('bn')}{name}:0": array for name, array in NORM.items()},
        "dw": {f"{scope.format('dw')}depthwise_kernel:0": VGG16["kernel"]},
    }
    path = write_layers(tmp_path / "vgg.h5", layers, under, backend=b"tensorflow", keras_version=b"2.2.4")
    expected = {f"block1_conv1/{name}": array for name, array in VGG16.items()} | {f"bn/{name}": a for name, a in NORM.items()}
    assert_same_arrays(read_keras(path), expected | {"dw/depthwise_kernel": VGG16["kernel"]})


@pytest.mark.parametrize("ending", ["", ":0", "_1:0"])
def test_files_of_keras_1_come_with_the_names_that_keras_2_gave_the_variables(tmp_path, ending):
    older = dict(zip(("gamma", "beta", "running_mean", "running_std"), NORM.values(), strict=True))
    layers = {
        "conv_1": {f"conv_1_W{ending}": VGG16["kernel"], f"conv_1_b{ending}": VGG16["bias"]},
        "bn2a_branch2a": {f"bn2a_branch2a_{name}{ending}": array for name, array in older.items()},
        "nameless": {"param_0": VGG16["bias"]},
    }
    path = write_layers(tmp_path / "resnet.h5", layers)
    expected = {f"conv_1/{name}": array for name, array in VGG16.items()}
    expected |= {f"bn2a_branch2a/{name}": array for name, array in NORM.items()}
    assert_same_arrays(read_keras(path), expected | {"nameless/param_0": VGG16["bias"]})


def test_a_model_inside_a_model_keeps_both_names(tmp_path):
    layers = {
        "vgg16": {f"block1_conv1/{name}:0": array for name, array in VGG16.items()},
        "stage/fc": {"stage/fc/bias:0": VGG16["bias"]},
    }
    arrays = read_keras(write_layers(tmp_path / "outer.h5", layers))
    assert list(arrays) == ["vgg16/block1_conv1/kernel", "vgg16/block1_conv1/bias", "stage/fc/bias"]


def test_lists_that_are_cut_into_several_attributes_are_put_together(tmp_path):
    path = write_layers(tmp_path / "long.h5", {f"conv{k}": {f"conv{k}/bias:0": np.full(1, k, np.float32)} for k in range(25)})
    with h5py.File(path, "r+") as file:
        names = file.attrs.pop("layer_names")
        for k, part in enumerate(np.array_split(names, 3)):
            file.attrs[f"layer_names{k}"] = part
    assert [array[0] for array in read_keras(path).values()] == list(range(25))


def test_kernels_of_theano_are_refused_because_they_are_flipped(tmp_path):
    path = write_layers(tmp_path / "theano.h5", {"conv": {"conv/kernel:0": VGG16["kernel"]}}, backend=b"theano")
    with pytest.raises(WeightsError, match=r"under Theano.*convert_all_kernels_in_model"):
        read_keras(path)


# ---- what is wrong


def test_an_array_that_is_listed_and_not_there_is_named(tmp_path):
    path = write_layers(tmp_path / "net.h5", {"conv": {"conv/bias:0": VGG16["bias"]}})
    with h5py.File(path, "r+") as file:
        file["conv"].attrs["weight_names"] = [b"conv/bias:0", b"conv/kernel:0"]
    with pytest.raises(WeightsError, match="has no 'kernel:0' where 'conv/kernel:0' should be"):
        read_keras(path)


def test_many_names_for_one_layer_do_not_multiply_its_arrays(tmp_path):
    path = write_layers(tmp_path / "net.h5", {"a": {f"{k}": np.zeros(0, np.float32) for k in range(300)}})
    with h5py.File(path, "r+") as file:
        for k in range(300):
            file[f"b{k}"] = file["a"]
        file.attrs["layer_names"] = [f"b{k}".encode() for k in range(300)]
    with modest(path, path.stat().st_size), pytest.raises(WeightsError, match="again and again"):
        read_keras(path)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"config": {"layers": [{"class_name": "Dense", "config": {"name": "fc"}}]}}, None),
        ({"class_name": "Mine", "config": {}}, None),
        ({"config": {"layers": [3]}}, "net.keras"),
        ([], "net.keras"),
        ("[" * 100_000, "net.keras"),
        ("{" * 3, "net.keras"),
        (" " * 9_000_000 + "{}", "a config.json of 9000002 bytes"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_archive_with_a_strange_description_is_read_or_refused(tmp_path, config, sentence):
    inside = io.BytesIO()
    with h5py.File(inside, "w") as file:
        file["layers/dense/vars/0"] = np.zeros(2, np.float32)
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        archive.writestr(WEIGHTS, inside.getvalue())
    if sentence is None:
        assert list(read_keras(path)) == ["fc/0" if "layers" in config["config"] else "dense/0"]
    else:
        with pytest.raises(WeightsError, match=sentence):
            read_keras(path)


def test_files_of_another_kind_are_named_for_what_they_are(tmp_path):
    path = tmp_path / "net.h5"
    for content, sentence in [
        (b"", "it is empty"),
        (b"<!DOCTYPE html>", "web page"),
        (b"minicnn model, an HDF5 file", r"minicnn\.load"),
        (b"PK\x03\x04" + bytes(40), "not a zip file"),
        (b"\x89HDF\r\n\x1a\n\x07" + bytes(100), "unknown version 7"),
        (b"\x89HDF\r\n\x1a\n" + bytes(5) + b"\4\4" + bytes(100), "addresses and lengths of 4 and 4 bytes"),
    ]:
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=sentence):
            read_keras(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(WeightsError, match=r"has no 'model\.weights\.h5' inside"):
        read_keras(path)


@pytest.fixture
def tiny(keras):
    layers = [keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 2, name="c"), keras.layers.BatchNormalization(name="bn")]
    return keras.Sequential(layers)


@pytest.mark.parametrize("file", ["net.h5", "net.weights.h5", "older.h5"])
def test_no_damage_does_more_than_raise_a_weights_error(tiny, tmp_path, file):
    path = tmp_path / file
    if file == "older.h5":
        write_layers(
            path, {"conv": {f"conv/{name}:0": array for name, array in VGG16.items()}}, "model_weights", backend=b"cntk"
        )
    elif file == "net.h5":
        tiny.save(path)
    else:
        tiny.save_weights(path)
    whole = path.read_bytes()
    cut = truncated(whole, step=131)
    last = [end for end in range(len(whole) - 2000, len(whole)) if not any(whole[end:])]  # the end may be empty
    assert len(cut) - len(last) <= assert_only_refuses(read_keras, path, cut)
    count = MANY if file == "net.weights.h5" else MANY // 2  # of the other kind there are two
    assert assert_only_refuses(read_keras, path, mutated(whole, count, skip_zeros=True)) > count / 4


def test_no_damage_of_an_archive_does_more_than_raise_a_weights_error(tiny, tmp_path):
    path = tmp_path / "net.keras"
    tiny.save(path)
    whole = path.read_bytes()
    cut = truncated(whole, step=67)
    assert assert_only_refuses(read_keras, path, cut) == len(cut)
    assert assert_only_refuses(read_keras, path, mutated(whole, MANY // 2, skip_zeros=True)) > MANY / 4
    changed = mutated(entry_of(whole, "config.json"), MANY // 4)
    assert assert_only_refuses(read_keras, path, (with_entry(whole, "config.json", content) for content in changed)) > 0
    changed = mutated(entry_of(whole, WEIGHTS), MANY // 4, skip_zeros=True)
    assert assert_only_refuses(read_keras, path, (with_entry(whole, WEIGHTS, content) for content in changed)) > MANY / 16
