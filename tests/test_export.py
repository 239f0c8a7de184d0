"""A trained network leaves for other programs, and computes the same there."""

import json

import numpy as np
import pytest
from hostile import with_entry

from minicnn import layers
from minicnn.cli import main
from minicnn.data.preprocessing import Preprocessing
from minicnn.errors import WeightsError
from minicnn.layers import BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, Linear, Sequential
from minicnn.models import ARCHITECTURES, Model
from minicnn.models.model import load_model
from minicnn.models.novelty import NoveltyDetector
from minicnn.models.strict import arrays_of
from minicnn.pretrained.convert import convert
from minicnn.pretrained.export import export
from minicnn.pretrained.names import KERAS
from minicnn.pretrained.readers import read_weights
from minicnn.pretrained.writers import write_npz, write_safetensors

TOLERANCE = 1e-4  # of the largest score


def scores_by_a_runtime(path, x):
    """What somebody else's program computes with the file, which is also checked against ONNX's rules."""
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})[0]


def metadata_of(path):
    onnx = pytest.importorskip("onnx")
    return {item.key: item.value for item in onnx.load(path).metadata_props}


def shaken(model):
    """Norms and biases that are not at their neutral start; in inference mode."""
    rng = np.random.default_rng(7)
    for name, array in arrays_of(model).items():
        if name.endswith(("gamma", "running_var")):
            array[...] = rng.uniform(0.5, 1.5, array.shape)
        elif name.endswith(("beta", "running_mean", ".b")):
            array[...] = rng.normal(0, 0.2, array.shape)
    return model.eval()


def assert_same_outside(model, path):
    export(model, path, "onnx")
    x = np.random.default_rng(3).standard_normal((2, *model.input_shape)).astype(np.float32)
    ours = model.forward(x)
    theirs = scores_by_a_runtime(path, x)
    assert theirs.shape == ours.shape and np.ptp(ours) > 0
    np.testing.assert_allclose(theirs, ours, atol=TOLERANCE * np.abs(ours).max())


# ---- ONNX

LAYERS = {
    "uneven padding": Conv2d(6, 4, (3, 2), stride=(2, 1), pad=((0, 1), (2, 0)), rng=0),
    "same, at stride 2": Conv2d(6, 4, 3, stride=2, pad="same", bias=False, rng=0),
    "dilation": Conv2d(6, 4, 3, dilation=(2, 1), pad="same", rng=0),
    "depthwise": Conv2d(6, 12, 3, pad=1, groups=6, rng=0),
    "norm": BatchNorm2d(6, eps=0.1),
    "max": layers.MaxPool2d(3, stride=2, pad=1),
    "max, rounded up": layers.MaxPool2d(3, stride=2, ceil_mode=True),
    "max, same": layers.MaxPool2d((2, 3), stride=2, pad="same"),
    "max, window dropped": layers.MaxPool2d(2, stride=3, pad=1, ceil_mode=True),
    "average": layers.AvgPool2d(3, stride=2, pad=1),
    "average, padding counts": layers.AvgPool2d(3, stride=2, pad=1, count_include_pad=True),
    "average, rounded up, padding counts": layers.AvgPool2d(3, stride=(4, 5), pad=1, ceil_mode=True, count_include_pad=True),
    "average, rounded up": layers.AvgPool2d((2, 3), stride=4, ceil_mode=True),
    "adaptive": layers.AdaptiveAvgPool2d((4, 3)),
    "adaptive, to more": layers.AdaptiveAvgPool2d((12, 5)),
    "response": layers.LocalResponseNorm(5, alpha=0.5, beta=0.6, k=2.0),
    "fractional": layers.FractionalMaxPool2d((1.4, 2.6)),
    "fractional, side by side": layers.FractionalMaxPool2d(1.7, overlapping=False, sequence="random"),
    "channels": layers.PadChannels(1, 2),
    "maxout": layers.Maxout(3),
    "stochastic depth": layers.Residual(layers.StochasticDepth(Conv2d(6, 6, 3, pad=1, rng=0), 0.7)),
    "vanilla dropout": layers.VanillaDropout(0.3),
    "connections": Sequential(Flatten(), layers.DropConnect(6 * 9 * 10, 6, p=0.3, rng=0), layers.Maxout(2)),
    "leaky": layers.LeakyReLU(0.2),
    "relu6": Sequential(wide=Conv2d(6, 4, 3, rng=0), relu=layers.ReLU6()),
    "elu": layers.ELU(0.7),
    "gelu": layers.GELU(),
    "sigmoid": layers.Sigmoid(),
    "tanh": layers.Tanh(),
    "shortcut": layers.Residual(Conv2d(6, 8, 1, rng=0), Conv2d(6, 8, 1, rng=1)),
    "identity": layers.Residual(Sequential(layers.Dropout(0.5), layers.ReLU())),
    "branches": layers.Concat(a=Conv2d(6, 2, 1, rng=0), b=layers.ReLU()),
    "auxiliary": layers.AuxiliaryHead(Sequential(GlobalAvgPool2d(), Linear(6, 2))),
    "rows": Sequential(Flatten(), Linear(6 * 9 * 10, 5, bias=False, rng=0), layers.BatchNorm1d(5), layers.ReLU()),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_computes_the_same_in_an_onnx_runtime(tmp_path, layer):
    model = shaken(Model({"layer": LAYERS[layer]}, architecture="one layer", input_shape=(6, 9, 10)))
    assert_same_outside(model, tmp_path / "layer.onnx")


def test_every_layer_of_the_library_is_among_them():
    there = {type(inner) for layer in LAYERS.values() for _, inner in layer.walk()}
    assert there >= {vars(layers)[name] for name in layers.__all__ if name[0].isupper()} - {layers.Layer, layers.Parameter}


@pytest.mark.parametrize(
    "architecture",
    [
        "efficientnet_lite0",
        "googlenet",
        "googlenet_torchvision",
        "lenet5",
        "mobilenet_v2",
        "resnet20",
        "resnet50",
        "squeezenet1_1",
    ],
)
def test_whole_networks_give_the_same_scores_in_an_onnx_runtime(tmp_path, architecture):
    model = shaken(ARCHITECTURES[architecture](7, rng=0))
    if architecture != "lenet5":
        model.input_shape = (3, 65, 97)
    assert_same_outside(model, tmp_path / "net.onnx")


def test_what_a_source_changed_in_a_network_is_in_its_graph(tmp_path):
    """Keras's MobileNetV2 pads unevenly, and its ResNet strides elsewhere: the weights alone would not say so."""
    for architecture in ("mobilenet_v2", "resnet50"):
        model = shaken(ARCHITECTURES[architecture](3, rng=0))
        KERAS.changes[architecture.removesuffix("50")](model)
        model.input_shape = (3, 65, 97)
        assert_same_outside(model, tmp_path / "net.onnx")
        assert not export(model, tmp_path / "net.onnx", "onnx").unlike
        unlike = export(model, tmp_path / "net.npz", "npz").unlike
        assert "conv1.norm" in unlike if architecture == "resnet50" else "stem.conv" in unlike
    assert not export(shaken(ARCHITECTURES["mobilenet_v2"](3, rng=0)), tmp_path / "usual.npz", "npz").unlike


def test_a_layer_without_a_counterpart_is_refused_by_name_and_nothing_is_written(tmp_path):
    class Mine(layers.ReLU):
        pass

    model = Model({"block": Sequential(mine=Mine())}, architecture="own", input_shape=(3, 4, 4))
    with pytest.raises(ValueError, match=r"layer 'block\.mine' is a Mine, for which ONNX has no node"):
        export(model, tmp_path / "net.onnx", "onnx")
    with pytest.raises(ValueError, match="no way out to 'tflite'; there are onnx, safetensors, npz"):
        export(model, tmp_path / "net.tflite", "tflite")
    assert not list(tmp_path.iterdir())


# ---- what goes along


@pytest.fixture
def model():
    """A network as it comes out of a training."""
    model = shaken(ARCHITECTURES["resnet20"](3, rng=0))
    model.classes = ["Käfer", "蜂", "no insect"]
    model.preprocessing = Preprocessing(size=(32, 32), mean=(1.0, 2.0, 3.0), std=58.0, symmetry="mirror")
    model.provenance = {"accuracy": 0.9}
    return model


def facts_in(path):
    if path.suffix == ".onnx":
        return metadata_of(path)
    if path.suffix == ".npz":
        return json.loads(np.load(path)["metadata.json"])
    return pytest.importorskip("safetensors").safe_open(path, "np").metadata()


@pytest.mark.parametrize("kind", ["onnx", "safetensors", "npz"])
def test_the_file_says_how_pictures_are_prepared_and_what_the_scores_mean(model, tmp_path, kind):
    path = tmp_path / f"net.{kind}"
    exported = export(model, path, kind)
    facts = facts_in(path)
    assert facts == exported.metadata
    assert Preprocessing.from_dict(json.loads(facts["preprocessing"])) == model.preprocessing
    assert json.loads(facts["classes"]) == model.classes
    assert facts["architecture"] == "resnet20" and facts["scores"] == "softmax gives the probabilities"
    assert json.loads(facts["provenance"]) == {"accuracy": 0.9}


def assert_same_model(back, model):
    picture = np.random.default_rng(1).integers(0, 256, (1, 40, 50, 3)).astype(np.uint8)
    assert np.array_equal(back.predict_proba(picture), model.predict_proba(picture))
    assert (back.architecture, back.classes, back.preprocessing) == (model.architecture, model.classes, model.preprocessing)


@pytest.mark.parametrize("kind", ["onnx", "safetensors", "npz"])
def test_what_left_comes_back_as_it_was(model, tmp_path, kind):
    export(model, path := tmp_path / f"net.{kind}", kind)
    back, mapped = convert(path, "ResNet-20")
    assert mapped.source == "minicnn" and all(row.fits for row in mapped.rows) and not mapped.left_out and not back.training
    assert mapped.rows[0].theirs == {"conv1.weight": (16, 3, 3, 3)}
    assert_same_model(back, model)
    assert back.provenance == {"accuracy": 0.9, "restored_from": f"net.{kind}"}


@pytest.mark.parametrize("kind", ["onnx", "safetensors", "npz"])
def test_what_names_of_arrays_do_not_tell_comes_back_as_well(tmp_path, kind):
    """Strides of another source, a head of one's own, a cut network, and one that nobody else has names for."""
    keras = shaken(ARCHITECTURES["mobilenet_v2"](3, width=0.35, rng=0))
    KERAS.changes["mobilenet_v2"](keras)
    keras.input_shape = (3, 33, 33)
    own = shaken(ARCHITECTURES["resnet20"](3, rng=0))
    own.layers["fc"] = Sequential(hidden=Linear(64, 8, rng=0), relu=layers.ELU(), scores=Linear(8, 1, rng=1))
    cut, nameless = shaken(own.cut("conv3_1")), shaken(ARCHITECTURES["cifar_net"](2, rng=0))
    path = tmp_path / f"net.{kind}"
    for model, name in ((keras, "mobilenet_v2"), (own, "resnet20"), (cut, "resnet20"), (nameless, "cifar_net")):
        export(model, path, kind)
        back, _ = convert(path, name)
        x = np.random.default_rng(1).standard_normal((2, *model.input_shape)).astype(np.float32)
        assert np.array_equal(back.forward(x), model.forward(x)) and back.input_shape == model.input_shape


def test_auxiliary_heads_come_back_where_the_format_has_them(tmp_path):
    model = ARCHITECTURES["googlenet"](3, rng=0).eval()
    assert "aux1" in model.layers
    for kind in ("onnx", "npz"):
        export(model, tmp_path / "net", kind)
        assert ("aux1" in convert(tmp_path / "net", "googlenet")[0].layers) == (kind == "npz")


def test_other_classes_may_be_named_for_what_comes_back_if_there_are_as_many(model, tmp_path):
    export(model, path := tmp_path / "net.npz", "npz")
    assert convert(path, "resnet20", classes=["a", "b", "c"])[0].classes == ["a", "b", "c"]
    assert convert(path, "resnet20", classes=3)[0].classes == model.classes
    with pytest.raises(WeightsError, match=r"the model that .*net\.npz has gives 3 scores, not 2"):
        convert(path, "resnet20", classes=["a", "b"])
    with pytest.raises(
        WeightsError, match="has a resnet20 that minicnn exported, not resnet32; convert it with --arch resnet20"
    ):
        convert(path, "resnet32")


def test_who_asks_for_a_source_gets_the_arrays_by_their_names_and_is_told_what_was_not_used(model, tmp_path):
    export(model, path := tmp_path / "net.npz", "npz")
    for asked in ({"source": "torchvision"}, {"partial": True}):
        back, mapped = convert(path, "resnet20", **asked)
        assert mapped.source == "torchvision" and back.classes is None and back.preprocessing != model.preprocessing
        assert "exported the file, with classes, preprocessing" in mapped.notes[-1] and "were not used" in mapped.notes[-1]


@pytest.mark.parametrize(
    ("entry", "text", "complaint"),
    [
        ("classes", '["a", "b"]', r"2 classes were named"),
        ("classes", "{", "'classes' is no JSON"),
        ("classes", "3", "'classes' is 3, not a JSON list"),
        ("preprocessing", '{"size": [32, 32], "mean": "?"}', "'preprocessing' cannot be used .could not convert"),
        ("preprocessing", "[1]", "'preprocessing' is .*not a JSON object"),
        ("input_shape", "[3, 32]", r"'input_shape' is \[3, 32\], not \[C, H, W\]"),
        ("input_shape", "[3, 32, -1]", "'input_shape' is"),
        ("input_shape", None, "it has no 'input_shape'"),
        ("array_names", '{"fc.w": "nowhere"}', "of the arrays that it names, the file has no nowhere"),
        ("array_names", '{"fc.w": 3}', "names that are not texts"),
        ("array_names", "{}", "described with weights .* and the file has 0 for it"),
        ("layers", '{"fc": {"type": "os.system", "config": {}}}', "unknown type 'os.system'"),
        ("layers", '{"fc": {"type": "Linear", "config": {"in_features": 1e9, "out_features": 2}}}', "no weights account for"),
        ("layers", "[" * 100_000, "'layers' is no JSON|recursion"),
    ],
)
def test_metadata_that_is_no_longer_what_was_written_is_refused_in_words(model, tmp_path, entry, text, complaint):
    facts = export(model, path := tmp_path / "net.safetensors", "safetensors").metadata | {entry: text}
    write_safetensors(path, read_weights(path), {name: value for name, value in facts.items() if value is not None})
    with pytest.raises(WeightsError, match=f"(?s)metadata were changed since.*({complaint}).*--source torchvision"):
        convert(path, "resnet20")
    assert convert(path, "resnet20", "torchvision")[0].classes is None


def test_metadata_of_others_changes_nothing(model, tmp_path):
    export(model, path := tmp_path / "net.safetensors", "safetensors")
    arrays = read_weights(path)
    for metadata in ({"format": "pt", "classes": "[]"}, {"written_by": "minicnnish 1", "layers": "{}"}):
        write_safetensors(path, arrays, metadata)
        _, mapped = convert(path, "resnet20")
        assert mapped.source == "torchvision" and not any("exported" in note for note in mapped.notes)
    for content in ("[1]", "{", "[" * 100_000):
        write_npz(path, arrays, {})
        path.write_bytes(with_entry(path.read_bytes(), "metadata.json", content))
        assert read_weights(path).metadata == {} and convert(path, "resnet20")[1].source == "torchvision"


def test_safetensors_and_npz_are_read_by_their_own_programs(model, tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    export(model, tmp_path / "net.safetensors", "safetensors")
    export(model, tmp_path / "net.npz", "npz")
    theirs, archive = numpy.load_file(tmp_path / "net.safetensors"), np.load(tmp_path / "net.npz")
    assert set(theirs) == set(archive.files) - {"metadata.json"} == set(read_weights(tmp_path / "net.npz"))
    assert all(np.array_equal(theirs[name], archive[name]) for name in theirs)
    assert np.array_equal(theirs["layer1.0.bn1.running_mean"], model.state()["conv2_1.sum.body.conv1.norm.running_mean"])


def test_pytorch_loads_the_weights_and_gives_the_same_scores(tmp_path):
    from torch_parity import in_torch

    zoo = in_torch()
    from safetensors.torch import load_file

    model = shaken(ARCHITECTURES["resnet18"](5, rng=0))
    export(model, tmp_path / "net.safetensors", "safetensors")
    net = zoo.BY_NAME["resnet18"](5, 1, 64)
    net.load_state_dict(load_file(tmp_path / "net.safetensors"))
    x = np.random.default_rng(0).standard_normal((2, 3, 33, 49)).astype(np.float32)
    ours = model.forward(x)
    np.testing.assert_allclose(zoo.scores(net.eval(), x), ours, atol=TOLERANCE * np.abs(ours).max())


def test_arrays_without_a_name_elsewhere_keep_ours(tmp_path):
    model = Model({"flatten": Flatten(), "scores": Linear(12, 1, rng=0)}, architecture="own", input_shape=(3, 2, 2))
    exported = export(model, tmp_path / "net.safetensors", "safetensors")
    assert set(read_weights(tmp_path / "net.safetensors")) == {"scores.w", "scores.b"}
    assert (exported.arrays, exported.named) == (2, 0)
    assert exported.metadata["scores"] == "sigmoid gives the probability of the second class"


# ---- the command


def test_the_command_writes_beside_where_it_is_called_and_replaces_nothing_unasked(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model.save("net.h5")
    assert main(["weights", "export", "net.h5", "--to", "onnx"]) == 0
    printed = capsys.readouterr().out
    assert "net.onnx" in printed and "Käfer" in printed and "97 of 97 arrays have torchvision's names" in printed
    assert model.preprocessing.describe() in printed and "does not go along" not in printed
    assert main(["weights", "convert", "net.onnx", "--arch", "resnet20", "--out", "back.h5"]) == 0
    printed = capsys.readouterr().out
    assert "note: minicnn exported the file: layers, classes and preprocessing are those of the model" in printed
    assert f"Pictures are prepared: {model.preprocessing.describe()}" in printed
    assert_same_model(load_model("back.h5"), model)
    before = (tmp_path / "net.onnx").read_bytes()
    (tmp_path / "net.onnx").write_bytes(b"mine")
    assert main(["weights", "export", "net.h5", "--to", "onnx"]) == 1
    assert "net.onnx is there already" in capsys.readouterr().err and (tmp_path / "net.onnx").read_bytes() == b"mine"
    assert main(["weights", "export", "net.h5", "--to", "onnx", "--force"]) == 0
    assert (tmp_path / "net.onnx").read_bytes() == before
    assert main(["weights", "export", "net.h5", "--to", "npz", "--out", "net.h5", "--force"]) == 1
    assert "net.h5 is a file that is read, net.h5, which would be lost" in capsys.readouterr().err
    (tmp_path / "folder").mkdir()
    assert main(["weights", "export", "net.h5", "--to", "npz", "--out", "folder", "--force"]) == 1
    assert "folder is not a file; name one in it" in capsys.readouterr().err
    assert main(["weights", "export", "lenet5_mnist", "--to", "safetensors", "--out", "deep/lenet.safetensors"]) == 0
    assert (tmp_path / "deep" / "lenet.safetensors").is_file()


def test_the_command_says_that_the_detector_of_strangers_stays_here(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    one = np.eye(1, 64, dtype=np.float32)
    model.novelty = NoveltyDetector("pool", one, one, np.ones(1, np.float32), 1.0, 1.0, calibrated_on=10, rejected=0.1)
    model.save("net.h5")
    assert main(["weights", "export", "net.h5", "--to", "npz"]) == 0
    assert "(minicnn predict --reject) does not go along" in capsys.readouterr().out
