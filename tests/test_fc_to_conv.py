"""Fully connected layers as convolutions: which equality holds where, and that the check would notice if it did not."""

from importlib import import_module

import numpy as np
import pytest

import minicnn
from minicnn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
)
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models import (
    alexnet,
    alexnet_torchvision,
    caffenet,
    cifar_net,
    googlenet,
    lenet5,
    resnet20,
    squeezenet1_1,
    vgg16,
)
from minicnn.models.model import Model
from minicnn.models.receptive_field import receptive_field
from minicnn.transfer.fc_to_conv import fc_to_conv, without_padding

TOLERANCE = 1e-5  # of the largest score


def two_layers(**options):
    """No padding, a volume that is not square, and normalisation, dropout and a nested container among the layers above it."""
    rng = np.random.default_rng(3)
    head = Sequential(
        flatten=Flatten(), hidden=Linear(6 * 3 * 2, 9, rng=rng), norm=BatchNorm1d(9), relu=ReLU(), drop=Dropout(0.4)
    )
    layers = {"conv": Conv2d(2, 6, 3, stride=2, rng=rng), "pool": MaxPool2d(2), "head": head, "scores": Linear(9, 4, rng=rng)}
    model = Model(layers, architecture="two layers", input_shape=(2, 15, 10), **options)
    model.state()["head.norm.running_mean"][...] = rng.standard_normal(9)
    model.state()["head.norm.running_var"][...] = rng.uniform(0.5, 2, 9)
    return model


def thin_vgg16(monkeypatch):
    monkeypatch.setattr("minicnn.models.vgg.CHANNELS", (4, 6, 6, 8, 8))
    monkeypatch.setattr("minicnn.models.vgg.WIDTH", 24)
    return vgg16(num_classes=7, input_shape=(3, 64, 96), rng=0)


def thin_alexnet(make, monkeypatch, **options):
    monkeypatch.setattr(import_module("minicnn.models.alexnet"), "WIDTH", 24)  # the package has a function of that name
    return make(num_classes=7, rng=0, **options)


NETWORKS = {
    "two layers": lambda monkeypatch: two_layers(),
    "lenet5": lambda monkeypatch: lenet5(rng=0),
    "alexnet": lambda monkeypatch: thin_alexnet(alexnet, monkeypatch, input_shape=(3, 99, 131)),
    "caffenet": lambda monkeypatch: thin_alexnet(caffenet, monkeypatch, input_shape=(3, 99, 99)),
    "alexnet_torchvision": lambda monkeypatch: thin_alexnet(alexnet_torchvision, monkeypatch),
    "vgg16": thin_vgg16,
    "cifar_net": lambda monkeypatch: cifar_net(rng=0),
}
PADDED = [name for name in NETWORKS if name != "two layers"]


@pytest.fixture(params=NETWORKS)
def network(request, monkeypatch):
    return NETWORKS[request.param](monkeypatch).astype(np.float64).eval()


@pytest.fixture(params=PADDED)
def padded(request, monkeypatch):
    return NETWORKS[request.param](monkeypatch).astype(np.float64).eval()


def picture(shape, more=(0, 0), dtype=np.float64):
    C, H, W = shape
    return np.random.default_rng(1).standard_normal((1, C, H + more[0], W + more[1])).astype(dtype)


def steps_of(model):
    """The total stride, and how large the picture is to be for two rows and three columns of crops, and a bit that is left."""
    stride = receptive_field(fc_to_conv(model), model.input_shape).stride
    return stride, (stride[0] + 1, 2 * stride[1] + 1)


def difference(a, b):
    """The largest, as a share of the largest score."""
    assert a.shape == b.shape
    return np.abs(a - b).max() / np.abs(b).max()


def difference_from_crops(dense, model, x, size):
    """Between the map and the network's scores of the crops that lie within the picture, at steps of the total stride."""
    stride = receptive_field(dense, model.input_shape).stride
    maps = dense.forward(x)
    worst = 0.0
    for i in range(2):
        for j in range(3):
            top, left = i * stride[0], j * stride[1]
            crop = x[:, :, top : top + size[0], left : left + size[1]]
            worst = max(worst, difference(maps[:, :, i, j], model.forward(crop)))
    return worst


def difference_from_windows(dense, model, x):
    """Between the map and what the fully connected layers make of each window of the last feature map."""
    names = list(model.layers)
    last = next(name for i, name in enumerate(names) if isinstance(model.layers[names[i + 1]], (Flatten, AdaptiveAvgPool2d)))
    lower, upper = model.split(last)
    (H, W), volume = lower.output_shape((1, *model.input_shape))[2:], lower.forward(x)
    maps, worst = dense.forward(x), 0.0
    for i in range(maps.shape[2]):
        for j in range(maps.shape[3]):
            window = np.ascontiguousarray(volume[:, :, i : i + H, j : j + W])
            worst = max(worst, difference(maps[:, :, i, j], upper.forward(window)))
    return worst


# ---- the equalities


def test_at_its_own_size_the_map_is_one_element_the_scores(network):
    x = picture(network.input_shape)
    maps = fc_to_conv(network).forward(x)
    assert maps.shape[2:] == (1, 1)
    assert difference(maps[:, :, 0, 0], network.forward(x)) < TOLERANCE


def test_each_element_is_what_the_fully_connected_layers_make_of_the_window_there(padded):
    _, more = steps_of(padded)
    assert difference_from_windows(fc_to_conv(padded), padded, picture(padded.input_shape, more)) < TOLERANCE


def test_without_padding_each_element_is_what_the_network_makes_of_the_crop_there(network):
    bare = without_padding(network)
    _, more = steps_of(bare)
    x = picture(bare.input_shape, more)
    assert difference_from_crops(fc_to_conv(bare), bare, x, bare.input_shape[1:]) < TOLERANCE


def test_with_padding_each_element_is_what_the_network_makes_of_the_crop_with_its_surroundings(padded):
    dense, bare = fc_to_conv(padded), without_padding(padded)
    field = receptive_field(dense, padded.input_shape)
    assert bare.input_shape[1:] == field.size()
    # as many elements around the one in the middle as it takes for its surroundings to lie within the picture
    before = [-(first // stride) for first, stride in zip(field.first, field.stride, strict=True)]
    top, left = (first + n * stride for first, n, stride in zip(field.first, before, field.stride, strict=True))
    H, W = field.size()
    x = picture((padded.input_shape[0], top + H + field.stride[0], left + W + field.stride[1]))
    element = dense.forward(x)[:, :, before[0], before[1]]
    crop_with_surroundings = np.ascontiguousarray(x[:, :, top : top + H, left : left + W])
    assert difference(element, bare.forward(crop_with_surroundings)) < TOLERANCE


def test_with_padding_a_crop_alone_has_other_scores(padded):
    """Its zeros are not the neighbours that the larger picture has there: the plain statement would be wrong."""
    _, more = steps_of(padded)
    x = picture(padded.input_shape, more)
    assert difference_from_crops(fc_to_conv(padded), padded, x, padded.input_shape[1:]) > 1000 * TOLERANCE


def test_lenet5_without_padding_takes_the_pictures_of_its_paper():
    assert without_padding(lenet5()).input_shape == (1, 32, 32)


def test_float32_does_as_well():
    model = two_layers().eval()
    x = picture(model.input_shape, (9, 13), np.float32)
    dense = fc_to_conv(model)
    assert dense.forward(x).dtype == np.float32
    assert difference_from_crops(dense, model, x, model.input_shape[1:]) < TOLERANCE


# ---- planted faults: the comparison notices them


def test_a_padded_first_convolution_is_noticed():
    """tensorflow-fcn#27."""
    model = two_layers().astype(np.float64).eval()
    dense = fc_to_conv(model)
    assert dense.layers["head"].layers["hidden"].pad == (0, 0)
    dense.layers["head"].layers["hidden"].pad = (1, 1)
    assert dense.forward(picture(model.input_shape)).shape[2:] != (1, 1)
    assert difference_from_crops(dense, model, picture(model.input_shape, (9, 13)), model.input_shape[1:]) > 0.1


def test_weights_in_the_order_of_channels_last_are_noticed():
    model = two_layers().astype(np.float64).eval()
    dense = fc_to_conv(model)
    conv = dense.layers["head"].layers["hidden"]
    F, C, H, W = conv.w.value.shape
    conv.w.value = np.ascontiguousarray(conv.w.value.reshape(F, H, W, C).transpose(0, 3, 1, 2))
    assert difference_from_crops(dense, model, picture(model.input_shape, (9, 13)), model.input_shape[1:]) > 0.1


# ---- averages


@pytest.mark.parametrize("make", [resnet20, squeezenet1_1, googlenet])
@pytest.mark.parametrize("size", [(65, 65), (70, 99)])
def test_under_a_global_average_the_average_of_the_map_is_the_scores_at_every_size(make, size):
    model = make(num_classes=5, rng=0).eval()
    dense = fc_to_conv(model)
    x = np.random.default_rng(2).standard_normal((2, 3, *size)).astype(np.float32)
    maps = dense.forward(x)
    assert min(maps.shape[2:]) > 1
    assert difference(maps.mean(axis=(2, 3)), model.forward(x)) < TOLERANCE


def test_side_heads_are_left_out():
    dense = fc_to_conv(googlenet(num_classes=5, rng=0))
    assert not [name for name in dense.layers if name.startswith("aux")]


def averaged(*above, size=8, pool=None):
    layers = {"conv": Conv2d(1, 4, 1, rng=0), "pool": pool or GlobalAvgPool2d()}
    layers |= {f"layer{i}": layer for i, layer in enumerate(above)}
    return Model(layers, architecture="averaged", input_shape=(1, size, size)).astype(np.float64).eval()


def test_an_adaptive_pool_of_equal_windows_becomes_a_plain_one():
    model = averaged(Flatten(), Linear(16, 3, rng=1), pool=AdaptiveAvgPool2d(2))
    dense = fc_to_conv(model)
    assert isinstance(dense.layers["pool"], AvgPool2d) and dense.layers["pool"].kernel_size == (4, 4)
    assert difference_from_crops(dense, model, picture((1, 8, 8), (4, 8)), (8, 8)) < TOLERANCE


def test_an_adaptive_pool_of_uneven_windows_is_refused():
    with pytest.raises(ValueError, match="makes 2 x 2 of 7 x 7 with windows that overlap"):
        fc_to_conv(averaged(Flatten(), Linear(16, 3, rng=1), size=7, pool=AdaptiveAvgPool2d(2)))


def test_a_hidden_layer_above_an_average_is_refused():
    with pytest.raises(ValueError, match="not linear, is above the average"):
        fc_to_conv(averaged(Linear(4, 3, rng=1), ReLU(), Linear(3, 2, rng=1)))


# ---- what is kept, what is shared


def test_nothing_is_copied_and_training_one_trains_both():
    model = two_layers()
    dense = fc_to_conv(model)
    assert np.shares_memory(dense.layers["scores"].w.value, model.layers["scores"].w.value)
    model.train()
    loss = SoftmaxCrossEntropy()
    loss.forward(model.forward(picture(model.input_shape, dtype=np.float32).repeat(2, axis=0)), np.array([0, 1]))
    model.backward(loss.backward())
    for parameter in model.parameters().values():
        parameter.value -= 0.1 * parameter.grad
    model.eval()
    x = picture(model.input_shape, dtype=np.float32)
    assert difference(dense.forward(x)[:, :, 0, 0], model.forward(x)) < TOLERANCE
    apart = dense.copy()
    model.layers["scores"].w.value += 1
    assert difference(apart.forward(x)[:, :, 0, 0], model.forward(x)) > 0.1


def test_the_converted_network_can_be_trained_itself():
    dense = fc_to_conv(two_layers().freeze(names="head.hidden")).train()
    y = dense.forward(picture((2, 15, 10), (4, 4), np.float32))
    dense.backward(np.ones_like(y))
    parameters = dense.parameters()
    assert parameters["scores.w"].grad.shape == (4, 9, 1, 1)
    assert not parameters["head.hidden.w"].trainable and parameters["head.hidden.w"].grad is None
    assert isinstance(dense.layers["head"].layers["norm"], BatchNorm2d)
    assert isinstance(dense.layers["head"].layers["drop"], Dropout)


def test_names_of_layers_and_classes_stay_and_it_can_be_saved(tmp_path):
    model = two_layers(classes=["a", "b", "c", "d"])
    dense = fc_to_conv(model)
    assert dense.classes == model.classes and list(dense.layers) == ["conv", "pool", "head", "scores"]
    dense.save(tmp_path / "dense.h5")
    x = picture(model.input_shape, (7, 5), np.float32)
    np.testing.assert_array_equal(minicnn.load(tmp_path / "dense.h5").forward(x), dense.eval().forward(x))


# ---- refused


def test_a_network_without_its_top_has_nothing_to_convert():
    with pytest.raises(ValueError, match="no Flatten and no GlobalAvgPool2d"):
        fc_to_conv(lenet5(include_top=False))


def test_what_is_no_convolution_above_the_volume_is_refused():
    residual = Residual(Sequential(fc=Linear(4, 4, rng=0)))
    layers = {"conv": Conv2d(1, 1, 1), "flatten": Flatten(), "fc": Linear(16, 4, rng=0), "again": residual}
    with pytest.raises(ValueError, match=r"Residual 'again' is above a flattened volume, \(4, 1, 1\)"):
        fc_to_conv(Model(layers, architecture="odd", input_shape=(1, 4, 4)))


def test_padding_in_branches_cannot_be_taken_off():
    with pytest.raises(ValueError, match="has branches, which need their padding"):
        without_padding(squeezenet1_1(num_classes=3))


@pytest.mark.parametrize("convert", [fc_to_conv, without_padding])
def test_a_converted_network_is_in_the_mode_of_its_original(convert):
    assert convert(lenet5(rng=0).train()).training
    assert not convert(lenet5(rng=0).eval()).training
