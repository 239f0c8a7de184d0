"""A model comes out of its file as it went in, a file that is wrong is refused in words, and nothing is lost on the way."""

import errno
import hashlib
import inspect
import json

import h5py
import numpy as np
import pytest
from hostile import assert_only_refuses, mutated, truncated

import minicnn
from minicnn import cache, layers
from minicnn.data.preprocessing import Preprocessing
from minicnn.errors import WeightsError
from minicnn.layers import (
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
)
from minicnn.models import Model, efficientnet_lite0, lenet5
from minicnn.models.model import load_model, save_model
from minicnn.models.strict import arrays_of
from minicnn.sealed import SEAL_SIZE, seal


@pytest.fixture
def net():
    rng = np.random.default_rng(0)
    inception = Concat(
        narrow=Conv2d(4, 2, 1, rng=rng),
        wide=Sequential(conv=Conv2d(4, 3, 3, pad="same", groups=1, rng=rng), leaky=LeakyReLU(0.2)),
    )
    model = Model(
        {
            "conv": Conv2d(3, 4, (3, 5), stride=(2, 1), pad=(1, 2), rng=rng),
            "block": Residual(
                Sequential(conv=Conv2d(4, 4, 3, pad=1, bias=False, rng=rng), norm=BatchNorm2d(4, eps=1e-3), relu=ReLU())
            ),
            "inception": inception,
            "pool": MaxPool2d(2, ceil_mode=True),
            "flatten": Flatten(),
            "dropout": Dropout(0.3),
            "scores": Linear(5 * 2 * 4, 2, rng=rng),
        },
        architecture="a bit of everything",
        input_shape=(3, 7, 8),
        preprocessing=Preprocessing(size=(7, 8), channels="BGR", mean=(104.0, 117.0, 123.0)),
        classes=["Käfer", "蜂"],
        provenance={"licence": "MIT", "accuracy": 0.5},
    )
    for name, array in model.state().items():
        array[...] = rng.uniform(0.5, 2, array.shape)
        assert name
    return model.freeze(names="block")


@pytest.fixture
def path(net, tmp_path):
    net.save(tmp_path / "model.h5")
    return tmp_path / "model.h5"


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((2, 3, 7, 8)).astype(np.float32)


def rewrite(path, change):
    """Edit a file with another program, and seal it anew as somebody with bad intentions would."""
    with h5py.File(path, "r+") as file:
        change(file)
    path.write_bytes(sealed(path.read_bytes()))


def sealed(data):
    return seal("model", hashlib.sha256(data[SEAL_SIZE:]).hexdigest()) + data[SEAL_SIZE:]


def load_arrays(path):
    return arrays_of(load_model(path))


def set_layers(path, change):
    """Edit the description of the layers inside a file."""

    def change_text(file):
        described = json.loads(bytes(file["layers"][()]))
        change(described)
        del file["layers"]
        file["layers"] = np.bytes_(json.dumps(described).encode())

    rewrite(path, change_text)


# ---- there and back


def test_a_loaded_model_is_the_saved_one_to_the_bit(net, path, x):
    loaded = load_model(path)
    assert np.array_equal(loaded.forward(x), net.eval().forward(x))
    for (name, array), (loaded_name, loaded_array) in zip(arrays_of(net).items(), arrays_of(loaded).items(), strict=True):
        assert name == loaded_name and np.array_equal(array, loaded_array) and array.dtype == loaded_array.dtype
    assert (loaded.architecture, loaded.classes, loaded.input_shape) == (net.architecture, net.classes, net.input_shape)
    assert loaded.preprocessing == net.preprocessing
    assert loaded.provenance["licence"] == "MIT" and "saved" in loaded.provenance


def test_what_was_frozen_is_still_frozen_and_the_model_is_in_inference_mode(path):
    loaded = load_model(path)
    assert {name for name, parameter in loaded.parameters().items() if not parameter.trainable} == {
        "block.body.conv.w",
        "block.body.norm.gamma",
        "block.body.norm.beta",
    }
    assert not loaded.training and not loaded.remembers


def test_a_loaded_model_can_be_trained_and_saved_again(path, x, tmp_path):
    loaded = load_model(path).train()
    loaded.backward(np.ones_like(loaded.forward(x)))
    assert loaded.parameters()["conv.w"].grad.any()
    save_model(loaded, tmp_path / "again.h5")
    assert load_model(tmp_path / "again.h5").summary() == loaded.summary()


def test_a_model_without_pictures_classes_or_state_is_saved_too(tmp_path):
    Model({"scores": Linear(3, 2)}, architecture="bare", input_shape=(3, 1, 1)).save(tmp_path / "bare.h5")
    loaded = load_model(tmp_path / "bare.h5")
    assert loaded.classes is None and loaded.preprocessing is None and loaded.state() == {}


def test_half_precision_halves_the_file_and_comes_back_as_float32(tmp_path):
    model = lenet5(rng=0)
    model.save(tmp_path / "full.h5")
    model.save(tmp_path / "half.h5", dtype="float16")
    assert (tmp_path / "half.h5").stat().st_size < 0.6 * (tmp_path / "full.h5").stat().st_size
    loaded = load_model(tmp_path / "half.h5")
    for (name, ours), half in zip(arrays_of(model).items(), arrays_of(loaded).values(), strict=True):
        assert half.dtype == np.float32, name
        np.testing.assert_allclose(half, ours, rtol=1e-3, atol=1e-7)


def test_statistics_stay_in_float32_and_weights_too_large_for_half_precision_are_refused(net, tmp_path):
    net.state()["block.body.norm.running_var"][...] = 1e6
    net.save(tmp_path / "half.h5", dtype="float16")
    assert load_model(tmp_path / "half.h5").state()["block.body.norm.running_var"][0] == 1e6
    net.parameters()["scores.w"].value[0, 0] = 1e6
    with pytest.raises(ValueError, match=r"scores\.w has values of up to 1e\+06, too large for float16"):
        net.save(tmp_path / "half.h5", dtype="float16")


UNSAVED = {"rng", "initializer", "algorithm"}  # the random start, and by which loops a layer computes: not what it computes


def forgotten(layer):
    """The arguments of the constructor that config() lacks, or has with the default although the layer was made otherwise."""
    arguments = inspect.signature(type(layer)).parameters.values()
    named = [argument for argument in arguments if argument.kind not in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD)]
    config = layer.config()
    return {
        argument.name
        for argument in named
        if argument.name not in UNSAVED and (argument.name not in config or config[argument.name] == argument.default)
    }


# of each layer whose constructor has arguments one in which none of them has its default
LAYERS_WITH_ARGUMENTS = [
    layers.AdaptiveAvgPool2d((3, 2)),
    layers.AuxiliaryHead(ReLU()),
    layers.AvgPool2d(3, stride=2, pad=1, ceil_mode=True, count_include_pad=True),
    layers.BatchNorm1d(3, eps=1e-2, momentum=0.3),
    layers.BatchNorm2d(3, eps=1e-2, momentum=0.3),
    Concat(a=ReLU(), b=Flatten()),
    Conv2d(4, 6, (3, 5), stride=(2, 1), pad="same", dilation=2, groups=2, bias=False),
    layers.DropConnect(3, 2, bias=False, p=0.2),
    Dropout(0.2),
    layers.ELU(0.7),
    layers.FractionalMaxPool2d((1.3, 1.6), overlapping=False, sequence="random"),
    LeakyReLU(0.3),
    Linear(3, 2, bias=False),
    layers.LocalResponseNorm(3, 0.1, 0.5, 2.0),
    MaxPool2d(3, stride=2, pad=1, ceil_mode=True),
    layers.Maxout(3),
    layers.PadChannels(1, 2),
    Residual(ReLU(), Flatten()),
    Sequential(a=ReLU()),
    layers.StochasticDepth(ReLU(), survival=0.8),
    layers.VanillaDropout(0.2),
]
LAYER_TYPES = [
    value
    for value in vars(layers).values()
    if isinstance(value, type) and issubclass(value, layers.Layer) and value is not layers.Layer
]


@pytest.mark.parametrize("layer_type", LAYER_TYPES, ids=lambda layer_type: layer_type.__name__)
def test_every_layer_of_the_library_has_all_its_arguments_in_its_config(layer_type):
    layer = next((layer for layer in LAYERS_WITH_ARGUMENTS if type(layer) is layer_type), None) or layer_type()
    config = layer.config()
    assert forgotten(layer) == set()
    assert layer_type(**config).config() == config
    if not layer.children():
        assert json.loads(json.dumps(config)) == config


def test_a_layer_that_forgets_an_argument_or_its_value_would_be_noticed():
    class Forgetful(LeakyReLU):
        def config(self):
            return {}

    class Stubborn(LeakyReLU):
        def config(self):
            return {"slope": 0.01}

    class Extended(Linear):
        def __init__(self, in_features, out_features, bias=True, scale=1.0):
            super().__init__(in_features, out_features, bias)

    assert forgotten(Forgetful(0.3)) == forgotten(Stubborn(0.3)) == {"slope"}
    assert forgotten(Extended(3, 2, bias=False, scale=2.0)) == {"scale"}
    assert forgotten(LeakyReLU(0.3)) == set()


def test_a_file_of_an_older_version_has_auxiliary_heads_by_their_older_name(tmp_path):
    model = Model(
        {"pool": layers.GlobalAvgPool2d(), "aux": layers.AuxiliaryHead(Linear(3, 2, rng=0)), "scores": Linear(3, 2, rng=1)},
        architecture="with a head",
        input_shape=(3, 5, 5),
    )
    model.save(tmp_path / "old.h5")
    set_layers(tmp_path / "old.h5", lambda described: described["aux"].update(type="SideHead"))
    loaded = load_model(tmp_path / "old.h5")
    assert type(loaded.layers["aux"]) is layers.AuxiliaryHead
    assert np.array_equal(loaded.layers["aux"].head.w.value, model.layers["aux"].head.w.value)
    loaded.save(tmp_path / "new.h5")
    with h5py.File(tmp_path / "new.h5") as file:
        assert json.loads(bytes(file["layers"][()]))["aux"]["type"] == "AuxiliaryHead"


class Scale(layers.Layer):
    """y = factor * w * x, a layer of somebody's own."""

    def __init__(self, channels, factor=1.0):
        super().__init__()
        self.channels, self.factor = channels, factor
        self.w = layers.Parameter(np.ones((channels, 1, 1), np.float32))

    def forward(self, x):
        return x * (self.w.value * np.float32(self.factor))

    def output_shape(self, input_shape):
        return input_shape

    def parameters(self):
        return {"w": self.w}

    def config(self):
        return {"channels": self.channels, "factor": self.factor}


def with_own_layer():
    scale = Scale(3, factor=2.5)
    scale.w.value[:, 0, 0] = 1, 2, 3
    body = Sequential(conv=Conv2d(3, 3, 1, rng=0), scale=scale)
    return Model({"block": Residual(body), "pool": layers.GlobalAvgPool2d()}, architecture="own", input_shape=(3, 4, 4))


def test_a_model_with_a_layer_of_ones_own_comes_back_when_its_class_is_handed_over(tmp_path):
    model, path = with_own_layer(), tmp_path / "own.h5"
    model.save(path)
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype(np.float32)
    for loaded in (load_model(path, custom_layers=[Scale]), minicnn.load(path, custom_layers=[Scale])):
        assert type(loaded.layers["block"].body.layers["scale"]) is Scale
        assert np.array_equal(loaded.forward(x), model.forward(x))


def test_without_its_class_the_error_says_how_to_hand_it_over(tmp_path):
    with_own_layer().save(tmp_path / "own.h5")
    for given in ([], [Sequential]):
        with pytest.raises(
            WeightsError, match=r"'block\.body\.scale'.*'Scale'.*minicnn\.load\(path, custom_layers=\[Scale\]\)"
        ):
            load_model(tmp_path / "own.h5", given)
    with pytest.raises(TypeError, match=r"derived from minicnn\.layers\.Layer, got 'Scale'"):
        load_model(tmp_path / "own.h5", ["Scale"])


def test_a_layer_that_could_not_be_built_again_is_refused_before_anything_is_written(tmp_path):
    class Forgetful(Scale):
        def config(self):
            return {}

    class Wrong(Scale):
        def config(self):
            return {"channels": 2}

    class Unspeakable(Scale):
        def config(self):
            return {"channels": 3, "factor": np.float32(2)}

    taken = type("ReLU", (Scale,), {})
    for layer, sentence in [
        (Forgetful(3), r"missing a required argument: 'channels'.*Write a config\(self\)"),
        (Wrong(3), r"weights \{'w': \(2, 1, 1\)\}, and this one has \{'w': \(3, 1, 1\)\}"),
        (Unspeakable(3), "not JSON serializable"),
        (taken(3), "name of minicnn.layers.ReLU; call it something else"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            Model({"mine": layer}, architecture="own").save(tmp_path / "own.h5")
    assert not list(tmp_path.iterdir())


# ---- nothing lost


def test_a_failed_save_leaves_the_old_file_and_no_other(net, path, tmp_path, monkeypatch):
    before = path.read_bytes()

    def disk_full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", disk_full)
    with pytest.raises(OSError, match=r"could not be saved: No space left.*Nothing is lost") as caught:
        net.save(path)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["model.h5"]


def test_a_save_that_is_interrupted_leaves_the_old_file_and_no_other(net, path, tmp_path, monkeypatch):
    before = path.read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cache.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        net.save(path)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["model.h5"]


def test_a_really_full_disk_is_one_clear_error(net, tmp_path):
    """A limit on the size of files stands in for the disk: the operating system refuses the write."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    try:
        with pytest.raises(OSError, match="could not be saved"):
            net.save(tmp_path / "model.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_an_error_with_the_path(net, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"model\.h5"):
        net.save(tmp_path / "file" / "model.h5")


# ---- files that are wrong


def test_a_truncated_file_is_a_weights_error_wherever_it_ends(path, tmp_path):
    cut = truncated(path.read_bytes(), step=499)
    assert assert_only_refuses(load_arrays, tmp_path / "part.h5", cut) == len(cut)


def test_a_single_flipped_bit_is_noticed_wherever_it_is(path):
    """Among the weights it would be a wrong network; among HDF5's own bytes the library may even hang."""
    whole = path.read_bytes()
    for at in range(0, len(whole), 211):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(WeightsError, match=r"damaged|not a model that minicnn saved"):
            load_model(path)


def test_any_hdf5_tool_can_look_into_the_file(path):
    with h5py.File(path) as file:
        assert file.attrs["architecture"] == "a bit of everything"
        assert file["parameters/block.body.conv.w"].shape == (4, 4, 3, 3)
        assert json.loads(bytes(file["provenance"][()]))["licence"] == "MIT"


def test_damage_in_the_description_does_no_more_than_raise_a_weights_error(path, tmp_path):
    whole = path.read_bytes()
    start, end = whole.index(b'{"conv"'), whole.index(b'{"conv"') + 1500
    files = (sealed(data) for data in mutated(whole, 300, start=start, end=end) if len(data) == len(whole))
    assert assert_only_refuses(load_arrays, tmp_path / "mutated.h5", files) > 75


def test_other_files_are_named_for_what_they_are(tmp_path):
    with pytest.raises(WeightsError, match="No such file"):
        load_model(tmp_path / "nowhere.h5")
    (tmp_path / "torch.pth").write_bytes(b"PK\x03\x04rest")
    with pytest.raises(WeightsError, match="read_torch"):
        load_model(tmp_path / "torch.pth")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["codes"] = np.zeros(3)
    with pytest.raises(WeightsError, match="HDF5, but of another program"):
        load_model(tmp_path / "other.h5")
    (tmp_path / "empty.h5").write_bytes(b"")
    with pytest.raises(WeightsError, match="it is empty"):
        load_model(tmp_path / "empty.h5")


def test_a_later_format_asks_for_an_update(path):
    rewrite(path, lambda file: file.attrs.modify("format_version", 2))
    with pytest.raises(WeightsError, match=r"version 2.*update minicnn"):
        load_model(path)


def test_missing_unexpected_and_mismatched_weights_are_all_listed(path):
    def change(file):
        del file["parameters/conv.b"]
        file["parameters/extra.w"] = np.zeros((2, 3), np.float32)
        file["parameters/extra.w"].attrs["trainable"] = True
        del file["parameters/scores.b"]
        file["parameters/scores.b"] = np.zeros(5, np.float32)

    rewrite(path, change)
    with pytest.raises(WeightsError) as caught:
        load_model(path)
    for part in (r"1 missing: conv.b (4,)", "1 unexpected: extra.w (2, 3)", "scores.b: (5,), the network has (2,)"):
        assert part in str(caught.value)


@pytest.mark.parametrize("kind", ["soft", "external", "virtual", "external storage", "chunked"])
def test_weights_outside_of_the_file_are_not_followed(path, tmp_path, kind):
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        other["data"] = np.zeros(2, np.float32)

    def change(file):
        del file["parameters/scores.b"]
        group = file["parameters"]
        if kind == "soft":
            group["scores.b"] = h5py.SoftLink("/parameters/conv.b")
        elif kind == "external":
            group["scores.b"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "data")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((2,), np.float32)
            layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "data", (2,))
            group.create_virtual_dataset("scores.b", layout)
        elif kind == "external storage":
            group.create_dataset("scores.b", (2,), np.float32, external=[(str(tmp_path / "secret.h5"), 0, 8)])
        else:
            group.create_dataset("scores.b", data=np.zeros(2, np.float32), chunks=(1,), compression="gzip")

    rewrite(path, change)
    with pytest.raises(WeightsError, match=r"scores\.b"):
        load_model(path)


def test_the_size_of_a_dataset_without_content_is_not_believed(path):
    def change(file):
        del file["parameters/scores.b"]
        file["parameters"].create_dataset("scores.b", (1 << 40,), np.float32)

    rewrite(path, change)
    with pytest.raises(WeightsError, match="in one piece in this file"):
        load_model(path)


@pytest.mark.parametrize("kind", ["Layer", "Model", "os", "__builtins__", "inspect", None, {"a": 1}])
def test_only_layers_of_the_library_are_built(path, kind):
    set_layers(path, lambda described: described["flatten"].update(type=kind))
    with pytest.raises(WeightsError, match="'flatten' is of the unknown type"):
        load_model(path)


@pytest.mark.parametrize(
    ("layer", "config"),
    [
        ("conv", {"out_channels": 10**12}),
        ("conv", {"kernel_size": [1000, 1000]}),
        ("conv", {"in_channels": -3}),
        ("conv", {"initializer": "zeros"}),
        ("conv", {"surprise": 1}),
        ("conv", {"stride": [0, 0]}),
        ("scores", {"in_features": 1e300}),
        ("scores", {"in_features": float("nan")}),
        ("scores", {"out_features": "two"}),
        ("dropout", {"p": [0.5]}),
        ("pool", {"kernel_size": 10**9}),
    ],
    ids=str,
)
def test_an_absurd_description_is_refused_with_the_layers_name(path, layer, config):
    set_layers(path, lambda described: described[layer]["config"].update(config))
    with pytest.raises(WeightsError, match=f"layer '{layer}'"):
        load_model(path)


def test_a_description_nested_without_end_is_refused(path):
    depth = 20_000

    def change(file):
        del file["layers"]
        file["layers"] = np.bytes_(b'{"a":' * depth + b"0" + b"}" * depth)

    rewrite(path, change)
    with pytest.raises(WeightsError):
        load_model(path)


def test_a_model_of_one_architecture_does_not_take_the_weights_of_another(tmp_path):
    efficientnet_lite0(num_classes=2, rng=0).save(tmp_path / "two.h5")
    set_layers(tmp_path / "two.h5", lambda described: described["classifier"]["config"].update(out_features=3))
    with pytest.raises(WeightsError, match=r"classifier\.b: \(2,\), the network has \(3,\)|classifier"):
        load_model(tmp_path / "two.h5")
