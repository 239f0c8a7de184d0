"""Other people's files become networks of ours that give the same scores."""

import os
import re
import sys
from itertools import pairwise

import numpy as np
import pytest
from torch_parity import in_torch

import minicnn
from minicnn.errors import WeightsError
from minicnn.layers import BatchNorm2d, Conv2d
from minicnn.models import ARCHITECTURES, FAMILIES, resnet18, resnet20
from minicnn.models.strict import arrays_of
from minicnn.pretrained.convert import NoRandomness, convert, convert_arrays, convertible, foreign_names
from minicnn.pretrained.names import KERAS, KERAS_OLD, TORCHVISION
from minicnn.pretrained.names.base import family_of, their_names
from minicnn.pretrained.names.caffe import TABLES as CAFFE_TABLES
from minicnn.pretrained.names.keras import from_conv, from_dense, from_depthwise

CLASSES, NARROW = 7, 64


@pytest.fixture
def all_zero(monkeypatch):
    """Networks start at once: what they start from is replaced by what a file has."""
    monkeypatch.setattr("minicnn.initializers._normal", lambda shape, rng, dtype, std: np.zeros(shape, dtype))


@pytest.fixture
def narrow(monkeypatch):
    """Hidden layers of 64 in the place of 4096, in ours and in theirs: the same names, and less time."""
    for module in ("minicnn.models.vgg", "minicnn.models.alexnet"):  # a function has the second name, too
        monkeypatch.setattr(sys.modules[module], "WIDTH", NARROW)


@pytest.fixture(scope="module")
def zoo():
    return in_torch()


def pictures(height, width, seed=0):
    return np.random.default_rng(seed).standard_normal((2, 3, height, width)).astype(np.float32)


def assert_same_scores(model, theirs, x):
    ours = model.forward(x)
    assert ours.shape == theirs.shape and np.ptp(theirs) > 0.01
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def assert_same_first_gradient(model, theirs, size):
    """Of the first layer's weights, through all that is above them; both in inference mode, for one picture of six.

    For some pictures rounding puts an activation on the other side of ReLU's kink, here or there, which changes the gradient by
    a percent; a wrong computation would be wrong for all.

    Parameters
    ----------
    theirs : function (x, dy) -> array
        The gradient of sum(scores(x) * dy), in our layout.
    """
    dy = np.random.default_rng(4).standard_normal(model.output_shape((1, 3, *size))).astype(np.float32)
    errors = []
    for seed in range(6):
        x = pictures(*size, seed=seed)[:1]
        model.eval(backward=True).forward(x)
        model.backward(dy)
        ours, expected = next(iter(model.parameters().values())).grad, theirs(x, dy)
        errors.append(np.abs(ours - expected).max() / np.abs(expected).max())
        if errors[-1] < 1e-3:
            return
    raise AssertionError(f"relative errors {errors}")


def by_torch(net, first=None):
    """PyTorch's gradient of the ``first`` weights (as a rule the first that there are), as a function of x and dy."""
    import torch

    first = next(iter(net.parameters())) if first is None else first

    def gradient(x, dy):
        first.grad = None
        net(torch.from_numpy(x)).backward(torch.from_numpy(dy))
        return first.grad.numpy()

    return gradient


# ---- torchvision


SIZES = {  # of pictures, by family
    "alexnet_torchvision": (65, 97), "vgg": (65, 97), "vgg_bn": (65, 97), "googlenet_torchvision": (49, 65),
    "cifar_resnet": (17, 25), "efficientnet": (25, 33),
}  # fmt: skip


@pytest.mark.parametrize(
    "architecture", [form for form in convertible(TORCHVISION) if form not in {*TORCHVISION.forms, "lenet5"}]
)
def test_a_torchvision_checkpoint_gives_its_scores_and_gradients(zoo, narrow, all_zero, tmp_path, architecture):
    import torch

    size = SIZES.get(family_of(architecture), (33, 49))
    net = zoo.shaken(zoo.BY_NAME[architecture](CLASSES, 2 * 3, NARROW))
    torch.save(net.state_dict(), tmp_path / "net.pth")
    further = {"input_shape": (3, *size)} if architecture.startswith("vgg") else {}
    model, mapped = convert(tmp_path / "net.pth", architecture, **further)
    x = pictures(*size)
    assert mapped.source == "torchvision" and not mapped.differences and all(row.fits for row in mapped.rows)
    assert all(name.endswith("num_batches_tracked") or name.startswith("aux") for name in mapped.left_out)
    assert_same_scores(model, zoo.scores(net, x), x)
    assert_same_first_gradient(model, by_torch(net), size)


@pytest.mark.parametrize("name", ["alexnet", "googlenet"])
def test_where_torchvision_has_a_form_of_its_own_the_plain_name_gets_it(zoo, narrow, name):
    arrays = {key: array.numpy() for key, array in zoo.BY_NAME[f"{name}_torchvision"](CLASSES, 1, NARROW).state_dict().items()}
    assert convert_arrays(arrays, "net.pth", name)[0].architecture == f"{name}_torchvision"


def test_the_size_of_square_pictures_is_found_from_the_weights(zoo, narrow):
    net = zoo.shaken(zoo.vgg(11, CLASSES, last_map=2 * 2, width=NARROW))
    model, _ = convert_arrays({key: array.numpy() for key, array in net.state_dict().items()}, "net.pth", "vgg11")
    assert model.input_shape == (3, 64, 64)
    assert_same_scores(model, zoo.scores(net, pictures(64, 64)), pictures(64, 64))


def test_side_heads_are_taken_along_if_asked_for(zoo):
    net = zoo.shaken(zoo.googlenet(CLASSES))
    arrays = {name: array.numpy() for name, array in net.state_dict().items()}
    model, mapped = convert_arrays(arrays, "net.pth", "googlenet_torchvision", aux=True)
    assert np.array_equal(model.parameters()["aux2.head.fc1.w"].value, arrays["aux2.fc1.weight"])
    assert all(name.endswith("num_batches_tracked") for name in mapped.left_out)


# ---- Keras


@pytest.fixture(scope="module")
def keras(zoo):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras", reason="Keras is asked whether it gets the same numbers")


def shaken_keras(net):
    """Batch norms and biases that are not at their neutral start."""
    rng = np.random.default_rng(5)
    for variable in net.variables:
        kind = variable.path.split("/")[-1]
        if kind in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif kind in ("beta", "bias", "moving_mean"):
            variable.assign(rng.normal(0, 0.2, variable.shape))
    return net


def by_keras(net):
    """Its gradient of the first layer's weights, (KH, KW, C, F), in our layout; Keras computes with PyTorch here."""
    first = next(layer.kernel for layer in net.layers if layer.weights).value
    gradient = by_torch(lambda x: net(x.permute(0, 2, 3, 1), training=False), first)
    return lambda x, dy: from_conv(gradient(x, dy))


def narrow_vgg(keras, stages, size):
    """VGG with the names of keras.applications."""
    layers, x = keras.layers, (picture := keras.layers.Input((*size, 3)))
    for stage, (count, filters) in enumerate(zip(stages, (64, 128, 256, 512, 512), strict=True), 1):
        for i in range(count):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"block{stage}_conv{i + 1}")(x)
        x = layers.MaxPooling2D(2, name=f"block{stage}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    for name in ("fc1", "fc2"):
        x = layers.Dense(NARROW, activation="relu", name=name)(x)
    return keras.Model(picture, layers.Dense(CLASSES, name="predictions")(x))


def application(name, size, **arguments):
    def build(keras):
        return getattr(keras.applications, name)(
            weights=None, input_shape=(*size, 3), classes=CLASSES, classifier_activation=None, **arguments
        )

    return build


@pytest.mark.parametrize(
    ("architecture", "build", "size", "file"),
    [
        ("vgg16", lambda keras: narrow_vgg(keras, (2, 2, 3, 3, 3), (65, 97)), (65, 97), "net.h5"),
        ("vgg19", lambda keras: narrow_vgg(keras, (2, 2, 4, 4, 4), (65, 97)), (65, 97), "net.keras"),
        ("resnet50", application("ResNet50", (33, 49)), (33, 49), "net.weights.h5"),
        ("resnet101", application("ResNet101", (33, 49)), (33, 49), "net.weights.h5"),
        ("resnet152", application("ResNet152", (33, 49)), (33, 49), "net.h5"),
        ("mobilenet_v1", application("MobileNet", (65, 97), alpha=0.25), (65, 97), "net.keras"),
        ("mobilenet_v2", application("MobileNetV2", (33, 49)), (33, 49), "net.weights.h5"),
        ("mobilenet_v2", application("MobileNetV2", (33, 49), alpha=0.35), (33, 49), "net.h5"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")
def test_a_keras_network_gives_its_scores_and_gradients(keras, narrow, all_zero, tmp_path, architecture, build, size, file):
    """The real networks of keras.applications, saved by Keras in each of its formats; VGG with a flatten of 2 x 3 x 512."""
    net = shaken_keras(build(keras))
    (net.save_weights if ".weights" in file else net.save)(tmp_path / file)
    further = {"input_shape": (3, *size)} if architecture.startswith("vgg") else {}
    model, mapped = convert(tmp_path / file, architecture, **further)
    x = pictures(*size)
    theirs = np.asarray(net.predict(x.transpose(0, 2, 3, 1), verbose=0))
    assert mapped.source == "keras" and not mapped.differences
    assert_same_scores(model, theirs, x)
    assert_same_first_gradient(model, by_keras(net), size)


def test_kerass_batch_norm_has_constants_of_its_own():
    """Too small a difference to see in scores."""
    for architecture, family, eps, momentum in (
        ("resnet50", "resnet", 1.001e-5, 0.01),
        ("mobilenet_v2", "mobilenet_v2", 1e-3, 0.001),
    ):
        model = ARCHITECTURES[architecture](3, rng=NoRandomness())
        KERAS.changes[family](model)
        assert {(layer.eps, layer.momentum) for _, layer in model.walk() if isinstance(layer, BatchNorm2d)} == {(eps, momentum)}


def test_the_rows_of_a_dense_layer_after_a_flatten_are_put_in_our_order():
    """A map (C, H, W) = (2, 2, 3) whose numbers are c*100 + h*10 + w; Keras reads it with the channels last."""
    c, h, w = np.meshgrid(range(2), range(2), range(3), indexing="ij")
    ours = (c * 100 + h * 10 + w).ravel()
    theirs = (c * 100 + h * 10 + w).transpose(1, 2, 0).ravel()
    kernel = theirs[:, None].astype(np.float64)  # one output, whose weight for each number is the number itself
    assert np.array_equal(from_dense(kernel, flattened=(2, 2, 3))[0], ours)
    assert np.array_equal(from_dense(kernel)[0], theirs)


def test_kernels_change_their_axes_and_are_not_flipped():
    kernel = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)  # (KH, KW, C, F)
    assert from_conv(kernel)[4, 3, 1, 2] == kernel[1, 2, 3, 4]
    assert from_conv(kernel).shape == (5, 4, 2, 3)
    assert from_depthwise(kernel)[3 * 5 + 4, 0, 1, 2] == kernel[1, 2, 3, 4]  # channel 3, its output 4
    assert from_depthwise(kernel).shape == (20, 1, 2, 3)


def blobs(net, names, weights="0", bias="1", layout=lambda array: array):
    """The arrays of a PyTorch network under the names that a source gives to its layers, in the order of the network's."""
    layers = [layer for layer in net.modules() if [*layer.parameters(recurse=False)]]
    arrays = {}
    for name, layer in zip(names, layers, strict=True):
        arrays[f"{name}/{weights}"] = layout(layer.weight.detach().numpy())
        if layer.bias is not None:
            arrays[f"{name}/{bias}"] = layer.bias.detach().numpy()
    return arrays


@pytest.mark.parametrize("architecture", ["squeezenet1_0", "squeezenet1_1"])
@pytest.mark.parametrize("source", ["keras", "caffe"])
def test_squeezenets_of_keras_and_caffe_give_their_scores_and_gradients(zoo, architecture, source):
    """The Keras versions have kept the names that Caffe's layers have; there is none in keras.applications."""
    fires = [f"fire{n}/{part}" for n in range(2, 10) for part in ("squeeze1x1", "expand1x1", "expand3x3")]
    net, x = zoo.shaken(zoo.BY_NAME[architecture](CLASSES)), pictures(33, 49)
    names = ["conv1", *fires, "conv10"]
    in_keras = ("kernel", "bias", lambda w: w.transpose(2, 3, 1, 0))  # (F, C, KH, KW) to (KH, KW, C, F)
    model, mapped = convert_arrays(blobs(net, names, *(in_keras if source == "keras" else ())), "net", architecture)
    assert mapped.source == source and not mapped.differences
    assert_same_scores(model, zoo.scores(net, x), x)
    assert_same_first_gradient(model, by_torch(net), (33, 49))


# ---- Caffe


@pytest.mark.parametrize("architecture", ["alexnet", "caffenet"])
def test_caffes_alexnets_with_groups_and_old_blobs_of_four_axes_give_their_scores(zoo, narrow, architecture):
    net = zoo.shaken(zoo.papers_alexnet(CLASSES, 2 * 3, NARROW, caffenet=architecture == "caffenet"))
    arrays = blobs(net, [*(f"conv{i}" for i in range(1, 6)), "fc6", "fc7", "fc8"])
    old = {name: array.reshape((1,) * (4 - array.ndim) + array.shape) for name, array in arrays.items()}
    assert old["fc6/0"].shape == (1, 1, NARROW, 1536) and old["conv1/1"].shape == (1, 1, 1, 96)
    x = pictures(99, 131)
    for given in (arrays, old):
        model, mapped = convert_arrays(given, "net.caffemodel", architecture, input_shape=(3, 99, 131))
        assert mapped.source == "caffe"
        assert_same_scores(model, zoo.scores(net, x), x)
    assert_same_first_gradient(model, by_torch(net), (99, 131))


def test_a_last_layer_that_was_renamed_to_be_trained_anew_as_caffes_users_do_is_the_classifier(zoo, narrow):
    net = zoo.shaken(zoo.papers_alexnet(CLASSES, 2 * 3, NARROW, caffenet=True))
    arrays = blobs(net, [*(f"conv{i}" for i in range(1, 6)), "fc6", "fc7", "fc8_flickr"])
    old = {name: array.reshape((1,) * (4 - array.ndim) + array.shape) for name, array in arrays.items()}
    x = pictures(99, 131)
    model, mapped = convert_arrays(old, "net.caffemodel", "caffenet", input_shape=(3, 99, 131))
    assert_same_scores(model, zoo.scores(net, x), x)
    assert any("file's own: fc6, fc7, fc8_flickr, 1536 to 64 to 64 to 7" in note for note in mapped.notes)


def test_a_classifier_that_is_a_convolution_under_another_name_is_left_to_a_partial_conversion():
    squeeze = ARCHITECTURES["squeezenet1_1"](CLASSES, rng=0)
    arrays = {
        theirs.replace("conv10", "mine"): arrays_of(squeeze)[ours] for ours, theirs in foreign_names(squeeze, "caffe").items()
    }
    with pytest.raises(WeightsError, match=r"2 unexpected: mine/0.*All that this squeezenet1_1 needs is there.*--partial"):
        convert_arrays(arrays, "net.caffemodel", "squeezenet1_1")
    assert list(convert_arrays(arrays, "net.caffemodel", "squeezenet1_1", partial=True)[0].layers)[-1] == "fire9"


@pytest.mark.parametrize("depth", [16, 19])
def test_caffes_vgg_rounds_up_and_gives_its_scores(zoo, narrow, all_zero, depth):
    """Above the last pool with pictures of one size; below it with any, and with pools that reach over the edge."""
    net = zoo.shaken(zoo.vgg(depth, CLASSES, last_map=2 * 3, width=NARROW, ceil=True))
    stages = " ".join(map(str, zoo.VGG[depth])).split("M")
    names = [f"conv{s}_{i}" for s, items in enumerate(stages, 1) for i in range(1, len(items.split()) + 1)]
    arrays = blobs(net, [*names, "fc6", "fc7", "fc8"])
    x = pictures(64, 96)
    model, mapped = convert_arrays(arrays, "net.caffemodel", f"vgg{depth}", input_shape=(3, 64, 96))
    assert mapped.source == "caffe" and model.preprocessing.channels == "BGR"
    assert_same_scores(model, zoo.scores(net, x), x)
    assert_same_first_gradient(model, by_torch(net), (64, 96))

    below, odd = {name: array for name, array in arrays.items() if not name.startswith("fc")}, pictures(65, 97)
    model, _ = convert_arrays(below, "net.caffemodel", f"vgg{depth}")
    assert model.output_shape((1, 3, 65, 97)) == (1, 512, 3, 4)
    assert_same_scores(model, zoo.scores(net.features, odd), odd)
    assert_same_first_gradient(model, by_torch(net.features), (65, 97))


def test_caffes_googlenet_is_the_papers(zoo):
    names = ["conv1/7x7_s2", "conv2/3x3_reduce", "conv2/3x3"]
    parts = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")
    names += [f"inception_{module}/{part}" for module in zoo.MODULES for part in parts] + ["loss3/classifier"]
    net, x = zoo.shaken(zoo.googlenet(CLASSES, norm=False, aux=False)), pictures(65, 97)
    side = {"loss1/fc/0": np.zeros((1024, 2048), np.float32), "loss2/conv/1": np.zeros(128, np.float32)}
    model, mapped = convert_arrays(blobs(net, names) | side, "net.caffemodel", "googlenet")
    assert mapped.source == "caffe" and list(mapped.left_out) == list(side)
    assert_same_scores(model, zoo.scores(net, x), x)
    assert_same_first_gradient(model, by_torch(net), (65, 97))
    assert (model.preprocessing.channels, model.preprocessing.mean) == ("BGR", (104, 117, 123))


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_caffes_resnet_has_norms_in_two_layers_a_factor_biases_and_strides_in_front(zoo, all_zero, depth):
    net = zoo.shaken(zoo.imagenet_resnet(depth, CLASSES, ceil=True, strided=1, bias=True))
    arrays, factor = {}, np.array([0.5], np.float32)

    def put(name, conv, norm):
        arrays[f"res{name}/0"], arrays[f"res{name}/1"] = conv.weight, conv.bias
        arrays[f"bn{name}/0"], arrays[f"bn{name}/1"] = norm.running_mean * 0.5, norm.running_var * 0.5
        arrays[f"bn{name}/2"] = zoo.torch.from_numpy(factor)
        arrays[f"scale{name}/0"], arrays[f"scale{name}/1"] = norm.weight, norm.bias

    put("_conv1", net.conv1, net.bn1)
    for stage, count in enumerate(zoo.RESNET[depth], 1):
        numbered = depth > 50 and stage in (2, 3)  # a, b1, b2, ...: there are more blocks than letters
        for i, block in enumerate(getattr(net, f"layer{stage}")):
            where = f"{stage + 1}{f'b{i}' if numbered and i else 'abcdef'[i]}_branch"
            if block.downsample:
                put(f"{where}1", *block.downsample)
            for part, k in zip("abc", (1, 2, 3), strict=True):
                put(f"{where}2{part}", getattr(block, f"conv{k}"), getattr(block, f"bn{k}"))
        assert len(getattr(net, f"layer{stage}")) == count
    arrays["fc1000/0"], arrays["fc1000/1"] = net.fc.weight, net.fc.bias
    arrays = {name.replace("res_conv1", "conv1"): array.detach().numpy() for name, array in arrays.items()}

    x = pictures(34, 50)
    model, mapped = convert_arrays(arrays, "net.caffemodel", f"resnet{depth}")
    assert_same_scores(model, zoo.scores(net, x), x)
    assert_same_first_gradient(model, by_torch(net), (35, 51))
    (row,) = (row for row in mapped.rows if row.ours == "conv1.norm.running_mean")
    assert list(row.theirs) == ["bn_conv1/0", "bn_conv1/2", "conv1/1"]
    assert row.change == "divided by the factor, minus the convolution's bias"
    assert f"changed from the usual resnet{depth} to that of caffe" in model.provenance["form"]


def test_the_blocks_of_long_stages_are_numbered_by_caffe():
    assert their_names("conv4_23.sum.body.conv2.conv", CAFFE_TABLES["resnet"], 0)[-1] == "res4b22_branch2b"
    assert their_names("conv4_2.sum.body.conv1.norm", CAFFE_TABLES["resnet"], 0) == ("4b_branch2a", "4b1_branch2a")


# ---- names, without anybody's program


def test_every_layer_of_a_network_whose_names_are_known_has_a_name_of_its_own(narrow, all_zero):
    known = {"torchvision": 0, "keras": 0, "caffe": 0}
    for architecture in (name for family in FAMILIES.values() for name in family.architectures):
        model = ARCHITECTURES[architecture](3, rng=NoRandomness())
        ours = set(arrays_of(model))
        for source in known:
            try:
                names = foreign_names(model, source)
            except ValueError as error:
                assert "are not known" in str(error)
                continue
            known[source] += 1
            assert set(names) == ours, f"{architecture} in {source}"
            assert len(set(names.values())) == len(names), f"{architecture} in {source}"
    assert known["torchvision"] >= 28 and known["keras"] >= 13 and known["caffe"] >= 14  # none is lost


def test_efficientnets_names_are_those_of_its_pytorch_project():
    names = foreign_names(ARCHITECTURES["efficientnet_lite0"](3), "torchvision")
    assert names["stem.conv.w"] == "_conv_stem.weight" and names["head.norm.running_var"] == "_bn1.running_var"
    assert names["block0.depthwise.conv.w"] == "_blocks.0._depthwise_conv.weight"
    assert names["block2.body.project.norm.gamma"] == "_blocks.2._bn2.weight"


# ---- strict, and partial


@pytest.fixture
def checkpoint():
    """A ResNet-20 in the names of its PyTorch project."""
    model = resnet20(rng=0)
    return {theirs: arrays_of(model)[ours].astype(np.float64) for ours, theirs in foreign_names(model, "torchvision").items()}


def test_all_that_does_not_fit_is_listed_with_shapes_and_with_the_names_in_the_file(checkpoint):
    del checkpoint["layer3.2.bn2.weight"]
    checkpoint["layer1.0.conv1.weight"] = np.zeros((16, 16, 5, 5))
    checkpoint["layer4.0.conv1.weight"] = np.zeros((8, 4))
    with pytest.raises(WeightsError) as refused:
        convert_arrays(checkpoint, "mine.th", "resnet20")
    message = str(refused.value)
    assert "mine.th does not fit resnet20, and nothing was converted" in message
    assert "1 missing: conv4_3.sum.body.conv2.norm.gamma (64,) (there: layer3.2.bn2.weight)" in message
    assert "1 unexpected: layer4.0.conv1.weight (8, 4)" in message
    assert "conv2_1.sum.body.conv1.conv.w: (16, 16, 5, 5), the network has (16, 16, 3, 3)" in message


def test_a_file_of_an_exporter_that_folded_batch_norms_says_what_to_do(checkpoint):
    """PyTorch's gives the filters that it has computed names like these, and no norm is left."""
    nameless = {f"onnx::Conv_{i}": array for i, (key, array) in enumerate(checkpoint.items()) if "conv" in key}
    kept = {key: array for key, array in checkpoint.items() if "conv" not in key and "bn" not in key}
    with pytest.raises(WeightsError, match=r"missing.*onnx::Conv_0 .*Convert the network's state_dict"):
        convert_arrays(nameless | kept, "resnet20.onnx", "resnet20")


def test_a_partial_conversion_loads_what_fits_and_lists_the_rest(checkpoint):
    del checkpoint["layer3.2.bn2.weight"]
    checkpoint["extra"] = np.zeros(3)
    model, mapped = convert_arrays(checkpoint, "mine.th", "resnet20", partial=True, classes=["ant", "bee"])
    differences, table = mapped.differences, str(mapped)
    assert list(differences.missing) == ["conv4_3.sum.body.conv2.norm.gamma"]
    assert list(differences.unexpected) == ["extra"] and list(differences.unlike) == ["fc.w", "fc.b"]
    assert model.classes == ["ant", "bee"] and model.output_shape((1, 3, 32, 32)) == (1, 2)
    assert np.array_equal(model.parameters()["conv1.conv.w"].value, checkpoint["conv1.weight"].astype(np.float32))
    assert model.parameters()["fc.w"].value.std() > 0.01  # its random start
    assert "(10, 64)" in table and "NOT LOADED" in table and "  extra (3,)" in table


def test_what_fits_nowhere_is_refused_even_partially(checkpoint, narrow):
    with pytest.raises(
        WeightsError, match="does not look like vgg11 in the names of torchvision or keras or caffe; it has conv1"
    ):
        convert_arrays(checkpoint, "mine.th", "vgg11", partial=True)
    with pytest.raises(WeightsError, match="none of the names that keras gives to the layers of resnet50"):
        convert_arrays(checkpoint, "mine.th", "resnet50", "keras", partial=True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"architecture": "resnet51"}, "no architecture 'resnet51'; known are .*resnet50.*Did you mean"),
        (
            {"architecture": "resnet20", "source": "mxnet"},
            "no source 'mxnet' of names; known are torchvision, .*keras, .*caffe",
        ),
        ({"architecture": "cifar_net"}, "nobody else's names are known for cifar_net; known they are for alexnet"),
        (
            {"architecture": "resnet20", "source": "caffe"},
            "names that caffe gives to resnet20 are not known; of caffe known are",
        ),
        ({"architecture": "resnet20", "input_shape": (3, 8, 8)}, "resnet20 has no input_shape; it takes num_classes"),
    ],
)
def test_what_is_not_known_is_refused_in_words(tmp_path, checkpoint, arguments, complaint):
    np.savez(tmp_path / "mine.npz", **checkpoint)
    with pytest.raises(WeightsError, match=complaint):
        convert(tmp_path / "mine.npz", **arguments)


def test_a_deeper_network_of_the_same_family_is_refused(checkpoint):
    with pytest.raises(WeightsError, match=r"60 missing: conv2_4\.sum.* and 52 more\."):
        convert_arrays(checkpoint, "mine.th", "resnet32")


# ---- what comes along


def test_a_file_without_a_classifier_makes_a_network_without_one(checkpoint):
    body = {name: array for name, array in checkpoint.items() if not name.startswith("linear")}
    model, mapped = convert_arrays(body, "mine.th", "resnet20")
    assert not mapped.differences and list(model.layers)[-1] == "conv4_3"
    model, mapped = convert_arrays(body, "mine.th", "resnet20", partial=True, classes=3)
    assert list(mapped.differences.missing) == ["fc.w", "fc.b"] and model.output_shape((1, 3, 32, 32)) == (1, 3)


def test_the_model_knows_its_pictures_and_its_origin_and_is_saved_with_them(tmp_path, checkpoint):
    np.savez(tmp_path / "mine.npz", **checkpoint)
    model, _ = convert(tmp_path / "mine.npz", "resnet20", classes=[*"abcdefghij"])
    model.save(tmp_path / "mine.h5")
    again = minicnn.load(tmp_path / "mine.h5")
    assert again.preprocessing.size == (32, 32) and again.preprocessing.std == (58.395, 57.12, 57.375)
    assert again.provenance["source"] == "mine.npz, in the names of torchvision" and again.classes[3] == "d"
    assert not again.training and len(again.provenance["source_sha256"]) == 64
    x = pictures(33, 41)
    assert np.array_equal(again.forward(x), model.forward(x))


def test_pictures_of_another_size_keep_their_share_of_margin(zoo, narrow):
    net = zoo.vgg(11, CLASSES, last_map=9, width=NARROW)
    arrays = {name: array.numpy() for name, array in net.state_dict().items()}
    model, _ = convert_arrays(arrays, "net.pth", "vgg11")
    assert model.input_shape == (3, 96, 96)
    assert (model.preprocessing.size, model.preprocessing.resize) == ((96, 96), 110)  # as 256 is to 224
    arrays["classifier.0.weight"] = np.zeros((NARROW, 512 * 6), np.float32)
    with pytest.raises(WeightsError, match="takes 3072 numbers, and vgg11 makes that many of no square picture"):
        convert_arrays(arrays, "net.pth", "vgg11")


def test_dropout_still_draws_after_a_conversion(checkpoint):
    """While it was built there was no randomness."""
    model = resnet18(5, rng=NoRandomness())
    assert not any(array.any() for name, array in arrays_of(model).items() if name.endswith(".w"))
    squeeze = ARCHITECTURES["squeezenet1_1"](5, rng=0)
    arrays = {theirs: arrays_of(squeeze)[ours] for ours, theirs in foreign_names(squeeze, "torchvision").items()}
    converted, _ = convert_arrays(arrays, "net.pth", "squeezenet1_1")
    assert converted.copy().train().forward(pictures(65, 65)).std() > 0
    first, second = (converted.layers["drop9"].train().forward(np.ones((1, 8, 9, 9), np.float32)) for _ in range(2))
    assert not np.array_equal(first, second)
    assert all(isinstance(layer, Conv2d) for _, layer in converted.walk() if layer.parameters() and not layer.children())


# ---- inside other things


def prefixed(prefix, arrays):
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def without_head(arrays):
    return {name: array for name, array in arrays.items() if not name.startswith("linear")}


@pytest.fixture
def expected(checkpoint):
    """The scores of the checkpoint's network."""
    return convert_arrays(checkpoint, "mine.th", "resnet20")[0].forward(pictures(33, 33))


@pytest.mark.parametrize(
    "prefix",
    [
        "module.", "model.", "_orig_mod.", "net.", "module._orig_mod.", "model._orig_mod.", "_fsdp_wrapped_module.", "a.b.c.",
        "model/",
    ],
)  # fmt: skip
def test_whatever_the_names_begin_with_is_taken_off(checkpoint, expected, prefix):
    model, mapped = convert_arrays(prefixed(prefix, checkpoint), "mine.th", "resnet20")
    assert np.array_equal(model.forward(pictures(33, 33)), expected)
    assert mapped.rows[0].theirs == {f"{prefix}conv1.weight": (16, 3, 3, 3)}  # its name in the file


def test_what_compilers_put_in_the_middle_of_names_is_taken_out(checkpoint, expected):
    middle = {name.replace("layer2.", "layer2._orig_mod."): array for name, array in checkpoint.items()}
    assert np.array_equal(convert_arrays(middle, "mine.th", "resnet20")[0].forward(pictures(33, 33)), expected)


def test_what_no_network_has_is_left_out_and_listed(checkpoint, expected):
    one = np.ones(1)
    helpers = {
        "total_ops": one, "layer1.0.conv1.total_params": one, "loss.weight": np.ones(10),
        "criterion.centers": np.ones((10, 64)), "val_acc.correct": np.ones(3), "n_averaged": np.array(3),
        "epoch": np.array(7), "bn1.num_batches_tracked": np.array(5),
    }  # fmt: skip
    for arrays in (checkpoint | helpers, prefixed("model.", checkpoint) | helpers):
        model, mapped = convert_arrays(arrays, "mine.th", "resnet20")
        assert np.array_equal(model.forward(pictures(33, 33)), expected) and set(mapped.left_out) == set(helpers)


def test_pictures_that_a_network_prepares_itself_are_spoken_of(checkpoint):
    arrays = checkpoint | {"normalize.mean": np.full((1, 3, 1, 1), 0.5)}
    _, mapped = convert_arrays(arrays, "mine.th", "resnet20")
    assert any("normalize.mean = 0.5, 0.5, 0.5" in note and "model.preprocessing" in note for note in mapped.notes)


@pytest.mark.parametrize(("other", "taken"), [("teacher.", "student."), ("ema.", "net."), ("b.", "a.")])
def test_of_two_networks_in_a_file_it_is_said_which_was_taken(checkpoint, expected, other, taken):
    average = {name: array * 2 for name, array in checkpoint.items()}
    model, mapped = convert_arrays(prefixed(taken, checkpoint) | prefixed(other, average), "mine.th", "resnet20")
    assert np.array_equal(model.forward(pictures(33, 33)), expected)
    assert f"As large a network is in the file under '{other}'; it was not taken." in mapped.notes


def test_a_lightning_checkpoint_with_all_that_is_in_it_gives_its_network(zoo, tmp_path):
    import argparse

    net = zoo.shaken(zoo.cifar_resnet(20, CLASSES))
    state = prefixed("model.", net.state_dict()) | {"loss.weight": zoo.torch.ones(CLASSES)}
    zoo.torch.save(
        {
            "epoch": 3, "pytorch-lightning_version": "2.0", "state_dict": state, "loops": {"fit_loop": {"state_dict": {}}},
            "callbacks": {("ModelCheckpoint", 1): {"best": zoo.torch.tensor(0.5)}},
            "hyper_parameters": argparse.Namespace(lr=0.1),
            "optimizer_states": [{"state": {0: {"exp_avg": zoo.torch.ones(5)}}}],
        },
        tmp_path / "last.ckpt",
    )  # fmt: skip
    model, mapped = convert(tmp_path / "last.ckpt", "ResNet-20")
    assert_same_scores(model, zoo.scores(net, pictures(33, 41)), pictures(33, 41))
    assert model.architecture == "resnet20" and "loss.weight" in mapped.left_out


def test_a_network_cut_into_an_nn_sequential_as_fastai_does_gives_its_scores(zoo):
    nn, net = zoo.nn, zoo.shaken(zoo.imagenet_resnet(18, CLASSES))
    body = nn.Sequential(net.conv1, net.bn1, nn.ReLU(), nn.MaxPool2d(3, 2, 1), net.layer1, net.layer2, net.layer3, net.layer4)
    whole = nn.Sequential(body, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), net.fc))
    arrays = {name: array.numpy() for name, array in whole.state_dict().items()}
    model, _ = convert_arrays(arrays, "learner.pth", "resnet18")
    assert_same_scores(model, zoo.scores(net, pictures(33, 49)), pictures(33, 49))


# ---- heads of one's own


def test_a_linear_classifier_is_found_wherever_it_is(checkpoint, expected):
    """Under another name, in a Sequential with dropout, beside the network, without biases."""
    body, w, b = without_head(checkpoint), checkpoint["linear.weight"], checkpoint["linear.bias"]
    for name in ("classifier", "fc.1", "head", "last_linear", "head.fc"):
        for arrays in (
            body | {f"{name}.weight": w, f"{name}.bias": b},
            prefixed("backbone.", body) | {f"{name}.weight": w, f"{name}.bias": b},
            prefixed("backbone.", body | {f"{name}.weight": w, f"{name}.bias": b}),
        ):
            model, mapped = convert_arrays(arrays, "mine.th", "resnet20")
            assert np.array_equal(model.forward(pictures(33, 33)), expected) and not mapped.differences
    model, mapped = convert_arrays(body | {"linear.weight": w}, "mine.th", "resnet20")
    np.testing.assert_allclose(model.forward(pictures(33, 33)), expected - b.astype(np.float32), atol=1e-4)


@pytest.mark.parametrize("widths", [(64, 12, 5), (64, 64, 5), (64, 64, 12, 5)], ids=str)
@pytest.mark.parametrize("places", [("fc.{}", (0, 3, 6)), ("head.fc{}", (1, 2, 3))], ids=["Sequential", "attributes"])
def test_a_head_of_several_layers_with_relu_between_gives_the_scores_of_pytorch(zoo, tmp_path, widths, places):
    nn, net = zoo.nn, zoo.shaken(zoo.cifar_resnet(20, 5))
    linear = [nn.Linear(m, n) for m, n in pairwise(widths)]
    arrays = {name: array.numpy() for name, array in net.state_dict().items() if not name.startswith("linear")}
    for place, layer in zip(places[1], linear, strict=False):
        arrays |= {f"{places[0].format(place)}.{name}": array.detach().numpy() for name, array in layer.named_parameters()}
    net.linear = nn.Sequential(*[part for layer in linear for part in (layer, nn.ReLU())][:-1])
    model, mapped = convert_arrays(arrays, "mine.pth", "resnet20", classes=[*"abcde"])
    assert_same_scores(model, zoo.scores(net.eval(), pictures(33, 41)), pictures(33, 41))
    assert any("between them a ReLU is assumed" in note for note in mapped.notes) and model.classes == [*"abcde"]
    model.save(tmp_path / "own.h5")
    assert np.array_equal(minicnn.load(tmp_path / "own.h5").forward(pictures(33, 41)), model.forward(pictures(33, 41)))


@pytest.mark.parametrize(("architecture", "build"), [("mobilenet_v2", {"width": 0.35}), ("squeezenet1_1", {})])
def test_the_features_of_a_network_alone_may_be_the_base_of_ones_own(architecture, build):
    expected = ARCHITECTURES[architecture](CLASSES, **build, rng=0).eval()
    last = "classifier.1"
    cut = {name: array for name, array in renamed(expected, "torchvision").items() if not name.startswith(last)}
    assert all(name.startswith("features.") for name in cut)
    for base in ("", "base.", "features."):
        arrays = {f"{base}{name.removeprefix('features.')}": array for name, array in cut.items()}
        model, mapped = convert_arrays(arrays, "mine.pth", architecture)
        assert not any("As large a network" in note for note in mapped.notes)
        ours, theirs = arrays_of(model), arrays_of(expected)
        assert len(ours) == len(cut) and all(np.array_equal(array, theirs[name]) for name, array in ours.items())


def test_vgg_with_a_head_of_ones_own_gives_the_scores_of_pytorch(zoo):
    nn, net = zoo.nn, zoo.shaken(zoo.vgg(11, CLASSES, last_map=49, width=8))
    net.classifier = nn.Sequential(nn.Linear(512 * 49, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 5)).eval()
    model, _ = convert_arrays({name: array.numpy() for name, array in net.state_dict().items()}, "net.pth", "vgg11")
    x = pictures(224, 224)[:1]
    assert_same_scores(model, zoo.scores(net, x), x)


def test_a_head_that_cannot_be_built_is_named_and_partially_the_network_below_it_is_taken(checkpoint):
    norm = {"head.1.weight": np.ones(12), "head.1.running_mean": np.ones(12)}
    head = {"head.0.weight": np.ones((12, 64)), "head.3.weight": np.ones((5, 12)), "head.3.bias": np.ones(5)}
    arrays = prefixed("backbone.", without_head(checkpoint)) | head | norm
    with pytest.raises(
        WeightsError, match=r"more than fully connected layers: head\.1\.weight.*--partial\) takes the network bel"
    ):
        convert_arrays(arrays, "mine.th", "resnet20")
    model, mapped = convert_arrays(arrays, "mine.th", "resnet20", partial=True)
    assert list(model.layers)[-1] == "conv4_3" and any("cannot be built" in note for note in mapped.notes)
    model, _ = convert_arrays(arrays, "mine.th", "resnet20", partial=True, classes=2)
    assert model.output_shape((1, 3, 32, 32)) == (1, 2)


def test_a_head_for_another_number_of_classes_than_named_is_refused(checkpoint):
    arrays = without_head(checkpoint) | {"head.weight": np.ones((5, 64)), "head.bias": np.ones(5)}
    with pytest.raises(WeightsError, match="own head, head, gives 5 scores, not 3"):
        convert_arrays(arrays, "mine.th", "resnet20", classes=["a", "b", "c"])


# ---- other names, widths and channels


def renamed(model, source):
    return {theirs: arrays_of(model)[ours] for ours, theirs in foreign_names(model, source).items()}


@pytest.mark.parametrize(
    ("source", "architecture"),
    [("timm", "mobilenet_v2"), ("timm", "efficientnet_lite0"), ("timm", "efficientnet_lite3"), ("tonylins", "mobilenet_v2"),
     ("keras_old", "resnet50")],
)  # fmt: skip
def test_names_of_other_projects_are_told_from_each_other(source, architecture):
    expected = ARCHITECTURES[architecture](CLASSES, rng=0).eval()
    arrays = renamed(expected, source)
    if source == "keras_old":  # in Keras's layout
        arrays = {name: array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T for name, array in arrays.items()}
    model, mapped = convert_arrays(arrays, "net", architecture)
    assert mapped.source == source
    assert all(np.array_equal(array, arrays_of(expected)[name]) for name, array in arrays_of(model).items())
    assert any("two forms of ResNet-50" in note for note in mapped.notes) == (source == "keras_old")


def test_names_of_other_projects_are_what_they_are_there():
    names = foreign_names(ARCHITECTURES["efficientnet_lite1"](3, rng=0), "timm")
    assert names["stem.conv.w"] == "conv_stem.weight" and names["block0.project.norm.gamma"] == "blocks.0.0.bn2.weight"
    assert names["block3.body.expand.conv.w"] == "blocks.1.2.conv_pw.weight" and names["head.norm.beta"] == "bn2.bias"
    names = foreign_names(ARCHITECTURES["mobilenet_v2"](3, rng=0), "tonylins")
    assert names["block1.project.conv.w"] == "features.2.conv.6.weight" and names["head.conv.w"] == "conv.0.weight"
    names = foreign_names(ARCHITECTURES["resnet50"](3, rng=0), "keras_old")
    assert names["conv2_1.sum.body.conv1.norm.gamma"] == "bn2a_branch2a/gamma" and names["fc.w"] == "fc1000/kernel"


def test_resnets_of_hugging_face_have_names_of_their_own():
    expected = ARCHITECTURES["resnet18"](CLASSES, rng=0).eval()
    changes = [
        (r"layer(\d)\.", lambda found: f"encoder.stages.{int(found[1]) - 1}.layers."),
        (r"downsample\.0", "shortcut.convolution"),
        (r"downsample\.1", "shortcut.normalization"), ("^conv1", "embedder.embedder.convolution"),
        ("^bn1", "embedder.embedder.normalization"), (r"conv(\d)", lambda found: f"layer.{int(found[1]) - 1}.convolution"),
        (r"bn(\d)", lambda found: f"layer.{int(found[1]) - 1}.normalization"), ("^(?!fc)", "resnet."), ("^fc", "classifier.1"),
    ]  # fmt: skip
    arrays = renamed(expected, "torchvision")
    for pattern, name in changes:
        arrays = {re.sub(pattern, name, theirs): array for theirs, array in arrays.items()}
    assert {"resnet.encoder.stages.1.layers.0.shortcut.normalization.weight", "classifier.1.bias"} < set(arrays)
    model, _ = convert_arrays(arrays, "model.safetensors", "resnet18")
    assert np.array_equal(model.forward(pictures(33, 33)), expected.forward(pictures(33, 33)))


def test_old_kerass_batch_norm_has_an_eps_of_its_own():
    model = ARCHITECTURES["resnet50"](3, rng=NoRandomness())
    KERAS_OLD.changes["resnet"](model)
    assert {layer.eps for _, layer in model.walk() if isinstance(layer, BatchNorm2d)} == {1e-3}
    assert KERAS_OLD.preprocessing_of("resnet50").channels == "BGR"


def test_resnet18_for_small_pictures_goes_by_the_names_of_its_pytorch_project(zoo):
    net = zoo.shaken(zoo.BY_NAME["resnet18_cifar"](CLASSES))
    arrays = {f"module.{name.replace('downsample', 'shortcut')}": array.numpy() for name, array in net.state_dict().items()}
    model, _ = convert_arrays(arrays, "ckpt.pth", "resnet18_cifar")
    assert_same_scores(model, zoo.scores(net, pictures(33, 41)), pictures(33, 41))
    with pytest.raises(WeightsError, match="has 100% of the arrays that resnet18_cifar has below its classifier: is it that"):
        convert_arrays(arrays, "ckpt.pth", "resnet18")


def test_a_lenet_of_pytorch_with_fully_connected_layers_gives_its_scores(zoo):
    nn = zoo.nn
    layers = {
        "conv1": nn.Conv2d(1, 6, 5, padding=2), "r1": nn.ReLU(), "p1": nn.MaxPool2d(2), "conv2": nn.Conv2d(6, 16, 5),
        "r2": nn.ReLU(), "p2": nn.MaxPool2d(2), "f": nn.Flatten(), "fc1": nn.Linear(400, 120), "r3": nn.ReLU(),
        "fc2": nn.Linear(120, 84), "r4": nn.ReLU(), "fc3": nn.Linear(84, 10),
    }  # fmt: skip
    net = nn.Sequential()
    for name, layer in layers.items():
        net.add_module(name, layer)
    zoo.shaken(net)
    x = np.random.default_rng(0).standard_normal((3, 1, 28, 28)).astype(np.float32)
    model, mapped = convert_arrays({name: array.numpy() for name, array in net.state_dict().items()}, "mnist.pt", "lenet5")
    assert_same_scores(model, zoo.scores(net, x), x)
    assert model.preprocessing.channels == "L" and any("does not say how maps are padded" in note for note in mapped.notes)


@pytest.mark.parametrize("width", [0.35, 0.5, 1.4])
def test_the_width_of_mobilenet_v2_is_found(width):
    expected = ARCHITECTURES["mobilenet_v2"](CLASSES, width=width, rng=0).eval()
    model, mapped = convert_arrays(renamed(expected, "torchvision"), "net.pth", "mobilenet_v2")
    x = pictures(33, 33)[:1]
    assert np.array_equal(model.forward(x), expected.forward(x)) and not mapped.differences
    assert f"The network in the file is {width} times as wide as usual, and so is this one." in mapped.notes


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v2", "squeezenet1_1", "vgg11"])
def test_a_network_for_grey_pictures_takes_grey_pictures(narrow, all_zero, architecture):
    build = {"input_shape": (1, 64, 64)} if architecture == "vgg11" else {"in_channels": 1}
    expected = ARCHITECTURES[architecture](CLASSES, **build, rng=0)
    model, mapped = convert_arrays(renamed(expected, "torchvision"), "net.pth", architecture)
    assert model.input_shape[0] == 1 and model.preprocessing.channels == "L"
    assert model.predict_proba(np.zeros((90, 70, 3), np.uint8)).shape == (1, CLASSES)
    assert any("grey pictures. How they were prepared is not in the file; assumed" in note for note in mapped.notes)


def test_a_network_for_other_channels_has_no_preprocessing_and_says_so(checkpoint):
    five = checkpoint | {"conv1.weight": np.zeros((16, 5, 3, 3))}
    model, mapped = convert_arrays(five, "mine.th", "resnet20")
    assert model.forward(np.zeros((1, 5, 32, 32), np.float32)).shape == (1, 10) and model.preprocessing is None
    assert any("5 channels" in note for note in mapped.notes)


# ---- what is not that network


@pytest.mark.parametrize(
    ("renaming", "sentence"),
    [
        (
            {"weight": ("weight_orig", "weight_mask")},
            r"linear\.weight_orig, linear\.weight_mask: the network was pruned.*prune\.remove",
        ),
        ({"weight": ("weight_g", "weight_v")}, "weight norm, say.*remove_weight_norm"),
        ({"weight": ("parametrizations.weight.original0",)}, "remove_parametrizations"),
        ({"weight": ("scale", "zero_point")}, "was quantised. Convert the one that it was made of"),
        ({"weight": ("weight", "lora_A.weight")}, "merge_and_unload"),
    ],
    ids=["pruned", "weight norm", "parametrised", "quantised", "LoRA"],
)
def test_weights_that_are_computed_from_others_are_named_with_what_to_do(checkpoint, renaming, sentence):
    arrays = without_head(checkpoint) | {"linear.bias": checkpoint["linear.bias"]}
    for name, names in renaming.items():
        arrays |= {f"linear.{theirs}": checkpoint[f"linear.{name}"] for theirs in names}
    with pytest.raises(WeightsError, match=sentence):
        convert_arrays(arrays, "mine.th", "resnet20")


def test_norms_without_statistics_are_those_of_another_network(checkpoint):
    arrays = {name: array for name, array in checkpoint.items() if "running" not in name}
    with pytest.raises(WeightsError, match="All its norms lack mean and variance"):
        convert_arrays(arrays, "mine.th", "resnet20")


def test_a_narrow_network_is_known_for_what_it_is():
    narrow = renamed(ARCHITECTURES["mobilenet_v2"](CLASSES, width=0.35, rng=0), "torchvision")
    with pytest.raises(WeightsError, match="The file has 100% of the arrays that mobilenet_v2 has below its classifier"):
        convert_arrays(narrow, "mine.th", "resnet18")
    with pytest.raises(WeightsError, match="has more than fully connected layers") as refused:
        body = {name: array for name, array in narrow.items() if not name.startswith("classifier")}
        head = {"head.0.weight": np.ones(1280), "head.1.weight": np.ones((5, 1280))}  # a norm first
        convert_arrays(body | head, "mine.th", "mobilenet_v2")
    assert "No architecture here" not in str(refused.value) and "--partial" in str(refused.value)


def test_classes_of_ones_own_may_have_had_pictures_prepared_in_ones_own_way(checkpoint):
    own = checkpoint | {"linear.weight": np.ones((3, 64)), "linear.bias": np.ones(3)}
    for arrays, is_said in ((own, True), (checkpoint, False)):
        _, mapped = convert_arrays(arrays, "mine.th", "resnet20")
        assert any("do not say how pixels become numbers" in note for note in mapped.notes) == is_said


def test_a_partial_conversion_of_less_than_half_says_that_it_is_another_network(checkpoint):
    with pytest.raises(WeightsError, match=r"only 15 of the 95 arrays of resnet20 .* it is not that network"):
        convert_arrays(dict(list(checkpoint.items())[:15]), "mine.th", "resnet20", partial=True)


def test_the_architecture_that_a_file_does_fit_is_named(checkpoint):
    for wrong in ("resnet32", "squeezenet1_1"):
        with pytest.raises(WeightsError, match="The file has 100% of the arrays that resnet20 has below its classifier"):
            convert_arrays(checkpoint, "mine.th", wrong)
    with pytest.raises(WeightsError, match="No architecture here has half of its arrays in the file; known are"):
        convert_arrays({"encoder.0.weight": np.zeros((3, 4))}, "mine.th", "resnet20")


@pytest.mark.parametrize(
    ("name", "meant"), [("mobilenet", "'mobilenet_v1' or 'mobilenet_v2'"), ("resnet19", "'resnet1"), ("vgg", "'vgg11'")]
)
def test_the_nearest_names_are_suggested(tmp_path, name, meant):
    with pytest.raises(WeightsError, match=f"no architecture '{name}'; known are .* Did you mean {meant}"):
        convert(tmp_path / "net.pth", name)
