"""What an element of a map sees, compared with which pixels have a gradient from it."""

import numpy as np
import pytest
from test_gradients import CASES, public_types, settled

from minicnn import layers
from minicnn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Concat,
    Conv2d,
    DropConnect,
    Flatten,
    FractionalMaxPool2d,
    GlobalAvgPool2d,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
)
from minicnn.models import alexnet, lenet5, squeezenet1_1, vgg16
from minicnn.models.receptive_field import receptive_field


def ones(shape, rng, dtype):
    return np.ones(shape, dtype)


def conv(kernel, **options):
    return Conv2d(1, 1, kernel, initializer=ones, **options)


NETWORKS = {
    "one": Sequential(conv((3, 5))),
    "strides and padding": Sequential(conv(5, stride=2, pad=2), ReLU(), conv((3, 2), stride=(1, 3), pad=((1, 0), (0, 1)))),
    "dilation": Sequential(conv(3, dilation=(2, 3), pad=(2, 3)), conv(2, stride=2)),
    "pools": Sequential(conv(3, pad=1), AvgPool2d(3, stride=2, pad=1), AvgPool2d(2)),
    "other strides down than across": Sequential(
        conv(3, stride=(2, 3), pad=(1, 2)), conv((3, 2), stride=(3, 2), pad=1), conv(1)
    ),
    "one branch": Concat(conv(3, stride=2)),
    "same": Sequential(conv(3, stride=2, pad="same"), conv(4, pad="same")),
    "shortcut": Sequential(conv(3), Residual(Sequential(conv(3, pad=1), conv(5, pad=2))), conv(2, stride=2)),
    "branches": Sequential(Concat(one=conv(1), three=conv(3, pad=1), wide=conv((1, 5), pad=(0, 2))), AvgPool2d(2)),
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("element", [(0, 0), (1, 2), (3, 1)])
def test_the_field_is_where_the_gradient_of_an_element_is_not_zero(network, element):
    """With weights that are all above zero, every pixel that is seen has a gradient."""
    x = np.ones((1, 1, 33, 38))
    network.astype(np.float64).eval(backward=True)
    y = network.forward(x)
    dy = np.zeros_like(y)
    dy[0, :, element[0], element[1]] = 1
    rows, columns = np.nonzero(network.backward(dy)[0, 0])
    field = receptive_field(network, (1, 33, 38))
    for seen, first, last, stride, i in zip((rows, columns), field.first, field.last, field.stride, element, strict=True):
        assert (seen.min(), seen.max()) == (max(first + i * stride, 0), last + i * stride)


# no map, or one whose elements see windows of several sizes, as in adaptive and fractional pooling
NO_MAPS = (BatchNorm1d, AdaptiveAvgPool2d, FractionalMaxPool2d, Flatten, GlobalAvgPool2d, Linear, DropConnect)
MAP_CASES = {name: case for name, case in CASES.items() if not any(isinstance(inner, NO_MAPS) for _, inner in case[0].walk())}
MAP_CASES["AuxiliaryHead"] = CASES["AuxiliaryHead that no loss looks at"]


@pytest.mark.parametrize("case", MAP_CASES)
@pytest.mark.parametrize("element", [(0, 0), (1, 1)])
def test_no_layer_sees_pixels_outside_the_field_that_it_states(case, element):
    layer, x = MAP_CASES[case]
    y = settled(layer).eval(backward=True).forward(x)
    dy = np.zeros_like(y)
    dy[0, :, element[0], element[1]] = 1 + np.arange(y.shape[1])
    rows, columns = np.nonzero(layer.backward(dy)[0].any(axis=0))
    field = receptive_field(layer, x.shape[1:])
    for seen, first, last, stride, i in zip((rows, columns), field.first, field.last, field.stride, element, strict=True):
        assert first + i * stride <= seen.min() and seen.max() <= last + i * stride


def test_every_layer_type_whose_output_is_a_map_states_its_field():
    tested = {type(inner) for layer, _ in MAP_CASES.values() for _, inner in layer.walk()}
    assert public_types(layers, Layer) - set(NO_MAPS) <= tested


def test_fields_that_are_known():
    def size(model):
        return receptive_field(model, model.input_shape).size()

    assert size(vgg16(include_top=False)) == (212, 212)
    assert size(alexnet(include_top=False)) == (195, 195)
    assert size(lenet5(include_top=False)) == (32, 32)  # of c5: the whole picture of the paper
    assert receptive_field(squeezenet1_1(include_top=False), (3, 227, 227)).stride == (16, 16)


def test_several_elements_see_more_than_one():
    field = receptive_field(Sequential(conv(3), MaxPool2d(2)), (1, 20, 20))
    assert field.size() == (4, 4) and field.size(1, 5) == (4, 4 + 4 * 2)


@pytest.mark.parametrize("layer", [AdaptiveAvgPool2d(2), BatchNorm1d(4), Flatten(), GlobalAvgPool2d(), Linear(4, 2)], ids=str)
def test_what_gives_no_map_has_no_field(layer):
    with pytest.raises(ValueError, match="gives no map"):
        receptive_field(Sequential(norm=BatchNorm2d(1), last=layer), (1, 20, 20))


def test_branches_of_different_strides_have_no_field():
    with pytest.raises(ValueError, match=r"different strides, \(1, 1\), \(2, 2\)"):
        receptive_field(Concat(conv(1), conv(1, stride=2)), (1, 20, 20))
