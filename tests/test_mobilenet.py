"""The MobileNets are the networks of their papers' tables, and compute what PyTorch computes from the same weights."""

import pytest
from torch_parity import assert_fusing_changes_nothing, assert_same_gradients, assert_same_scores, in_torch, pictures, shaken

import minicnn
from minicnn.layers import BatchNorm2d, Conv2d, Residual
from minicnn.models import mobilenet_v1, mobilenet_v2
from minicnn.models.strict import arrays_of

# of the 13 blocks of V1
V1_CHANNELS = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
# of the 17 of V2
CHANNELS = [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320]

BOTH = pytest.mark.parametrize("build", [mobilenet_v1, mobilenet_v2])


def by_torch(build, num_classes, **form):
    return getattr(in_torch("torch_mobile"), build.__name__)(num_classes, **form)


def maps_of_blocks(model):
    """(channels, height) of what comes out of each block, at 224 x 224."""
    shape, maps = (1, 3, 224, 224), []
    for name, layer in model.layers.items():
        shape = layer.output_shape(shape)
        if name.startswith("block"):
            maps.append(shape[1:3])
    return maps


# ---- V1


def test_the_maps_of_v1_have_the_sizes_of_the_papers_table():
    sizes = [112] + [56] * 2 + [28] * 2 + [14] * 6 + [7] * 2
    assert maps_of_blocks(mobilenet_v1()) == list(zip(V1_CHANNELS, sizes, strict=True))


@pytest.mark.parametrize(("width", "parameters", "millions"), [(0.75, 2.6, 325), (0.5, 1.3, 149), (0.25, 0.5, 41)])
def test_thinner_networks_have_the_numbers_of_the_papers_table_6(width, parameters, millions):
    model = mobilenet_v1(width=width)
    assert round(sum(parameter.value.size for parameter in model.parameters().values()) / 1e6, 1) == parameters
    assert round(model.multiply_adds((1, 3, 224, 224)) / 1e6) == millions


def test_padding_of_v1_is_kerass_and_so_are_the_constants_of_its_batch_norms():
    layers = [layer for _, layer in mobilenet_v1().walk()]
    convolutions = [layer for layer in layers if isinstance(layer, Conv2d)]
    assert {conv.pad for conv in convolutions if conv.groups > 1 and conv.stride == (2, 2)} == {((0, 1), (0, 1))}
    assert {conv.pad for conv in convolutions if conv.groups == 1 or conv.stride == (1, 1)} == {"same"}
    assert {(layer.eps, layer.momentum) for layer in layers if isinstance(layer, BatchNorm2d)} == {(1e-3, 0.01)}


def test_a_thin_network_gives_the_scores_of_pytorch():
    model, theirs = shaken(mobilenet_v1(7, width=0.25, rng=0)), by_torch(mobilenet_v1, 7, width=0.25)
    assert_same_scores(model, theirs, pictures(2, 3, 65, 34))


# ---- V2


def test_the_maps_of_v2_have_the_sizes_of_the_papers_table():
    sizes = [112] + [56] * 2 + [28] * 3 + [14] * 7 + [7] * 4
    assert maps_of_blocks(mobilenet_v2()) == list(zip(CHANNELS, sizes, strict=True))


def test_blocks_have_a_shortcut_where_input_and_output_have_one_shape():
    layers = mobilenet_v2().layers
    assert [i for i in range(17) if isinstance(layers[f"block{i}"], Residual)] == [2, 4, 5, 7, 8, 9, 11, 12, 14, 15]


def test_padding_of_v2_is_symmetric_and_its_batch_norms_have_torchvisions_eps():
    model = mobilenet_v2()
    assert model.layers["stem"].layers["conv"].pad == (1, 1)
    assert {layer.eps for _, layer in model.walk() if isinstance(layer, BatchNorm2d)} == {1e-5}


@pytest.mark.parametrize(
    ("width", "millions", "parameters"), [(0.35, 59, 1.7), (0.5, 97, 2.0), (0.75, 209, 2.6), (1.3, 509, 5.4), (1.4, 582, 6.1)]
)
def test_wider_and_thinner_networks_have_the_numbers_that_their_authors_published(width, millions, parameters):
    """https://github.com/tensorflow/models/tree/master/research/slim/nets/mobilenet"""
    model = mobilenet_v2(width=width)
    assert round(model.multiply_adds((1, 3, 224, 224)) / 1e6) == millions
    assert round(sum(parameter.value.size for parameter in model.parameters().values()) / 1e6, 1) == parameters


def test_the_head_of_a_thin_network_is_as_wide_as_usual():
    heads = {width: mobilenet_v2(width=width, include_top=False).output_shape((1, 3, 64, 64))[1] for width in (0.5, 1, 1.4)}
    assert heads == {0.5: 1280, 1: 1280, 1.4: 1792}


# ---- both, against PyTorch


@BOTH
@pytest.mark.parametrize("size", [(65, 97), (64, 34)], ids=str)
def test_random_weights_give_the_scores_of_pytorch_at_any_size(build, size):
    theirs, model, x = by_torch(build, 7), shaken(build(7, rng=0)), pictures(2, 3, *size)
    assert_same_scores(model, theirs, x)
    assert_fusing_changes_nothing(model, x)


@BOTH
def test_a_training_step_gives_the_gradients_of_pytorch(build):
    assert_same_gradients(shaken(build(7, rng=0)), by_torch(build, 7), (4, 3, 65, 50))


def test_a_saved_mobilenet_is_the_same_network(tmp_path):
    model, x = shaken(mobilenet_v1(5, width=0.25, rng=0)), pictures(1, 3, 33, 45)
    model.save(tmp_path / "mobilenet.h5")
    again = minicnn.load(tmp_path / "mobilenet.h5")
    assert list(arrays_of(again)) == list(arrays_of(model))
    assert (again.forward(x) == model.forward(x)).all()
