"""Every network by its name: the published size, other numbers of classes, and without its classifier."""

import inspect
import re

import numpy as np
import pytest

from minicnn import models
from minicnn.models import ARCHITECTURES

# Parameters, and multiply-adds of one picture at the network's own size: as published, to the digits that were published, or
# worked out where it says so.
PUBLISHED = {
    # LeCun et al. 1998 have 60,000 parameters, but not all connections in c3; by hand: 156 + 2,416 + 48,120 + 10,164 + 850
    "lenet5": (61_706, "0.417 M"),
    "cifar_net": (1_187_274, "153 M"),  # no paper; see test_cifar_net.py
    "vgg_small": (1_056_602, "87 M"),  # no paper; see test_vgg_small.py
    "speed_net": (1_972_792, "118 M"),  # 1.97 M in Jordan 2024; see test_speed_net.py
    # Caffe Model Zoo: a file of 243,862,414 bytes, four a parameter; multiply-adds: Sze et al. 2017, "Efficient Processing of
    # Deep Neural Networks", table II
    "alexnet": (60_965_224, "724 M"),
    "caffenet": (60_965_224, "724 M"),
    "alexnet_torchvision": (61_100_840, "0.71 G"),  # torchvision
    # torchvision's documentation of its weights: num_params, GFLOPS
    "vgg11": (132_863_336, "7.61 G"),
    "vgg13": (133_047_848, "11.31 G"),
    "vgg16": (138_357_544, "15.47 G"),
    "vgg19": (143_667_240, "19.63 G"),
    "vgg11_bn": (132_868_840, "7.61 G"),
    "vgg13_bn": (133_053_736, "11.31 G"),
    "vgg16_bn": (138_365_992, "15.47 G"),
    "vgg19_bn": (143_678_248, "19.63 G"),
    # Szegedy et al. 2015 aimed at 1.5 G. Caffe Model Zoo: a file of 53,533,754 bytes, auxiliary heads included
    "googlenet": (13_378_280, "1.58 G"),
    "googlenet_torchvision": (13_004_888, "1.50 G"),  # torchvision: 6,624,904 without the auxiliary heads
    # torchvision; the paper's table 1 (1.8, 3.6, 3.8, 7.6, 11.3 G) counts bottlenecks with their stride in the first 1x1
    "resnet18": (11_689_512, "1.81 G"),
    "resnet34": (21_797_672, "3.66 G"),
    "resnet50": (25_557_032, "4.09 G"),
    "resnet101": (44_549_160, "7.80 G"),
    "resnet152": (60_192_808, "11.51 G"),
    # He et al. 2016, table 6, rounds the parameters to 0.27, 0.46, 0.66, 0.85 and 1.7 M; multiply-adds counted here
    "resnet20": (269_722, "41 M"),
    "resnet32": (464_154, "69 M"),
    "resnet44": (658_586, "97 M"),
    "resnet56": (853_018, "125 M"),
    "resnet110": (1_727_962, "253 M"),
    "resnet18_cifar": (11_173_962, "555 M"),
    # torchvision
    "squeezenet1_0": (1_248_424, "0.82 G"),
    "squeezenet1_1": (1_235_496, "0.35 G"),
    # Howard et al. 2017, table 8: 4.2 M and 569 M; Keras counts 4,253,864 with the 21,888 running statistics
    "mobilenet_v1": (4_253_864 - 21_888, "569 M"),
    # torchvision; Sandler et al. 2018, table 4: 3.4 M and 300 M
    "mobilenet_v2": (3_504_872, "0.30 G"),
    # the tests of tensorflow/tpu, efficientnet/lite; multiply-adds counted here, see below
    "efficientnet_lite0": (4_652_008, "385 M"),
    "efficientnet_lite1": (5_416_680, "600 M"),
    "efficientnet_lite2": (6_092_072, "860 M"),
    "efficientnet_lite3": (8_197_096, "1.38 G"),
    "efficientnet_lite4": (13_006_568, "2.55 G"),
}
LITE_MILLIONS = [407, 631, 899, 1440, 2640]  # multiply-adds according to its authors

ALL = pytest.mark.parametrize("name", ARCHITECTURES)


@pytest.fixture(autouse=True)
def all_zero(monkeypatch):
    """No time is spent on drawing a billion random numbers that no test here looks at."""
    monkeypatch.setattr("minicnn.initializers._normal", lambda shape, rng, dtype, std: np.zeros(shape, dtype))


def rounded_like(number, published):
    """The number with as many digits after the point as the published one, e.g. "1.81 G"."""
    digits, unit = published.split()
    return f"{number / {'M': 1e6, 'G': 1e9}[unit]:.{len(digits.partition('.')[2])}f} {unit}"


def output_shape(model, size=None):
    C, H, W = model.input_shape
    return model.output_shape((2, C, *(size or (H, W))))


# ---- the names


def test_a_networks_name_is_that_of_its_constructor():
    assert (
        set(ARCHITECTURES) == set(PUBLISHED) == {name for name in models.__all__ if inspect.isfunction(getattr(models, name))}
    )
    for name, build in ARCHITECTURES.items():
        assert build.__name__ == name and getattr(models, name) is build


# ---- the sizes


@ALL
def test_the_summary_ends_in_the_published_numbers(name):
    model = ARCHITECTURES[name]()
    table = model.summary()
    parameters, multiply_adds = (int(n.replace(",", "")) for n in re.findall(r"^(?:par|mul).*?: ([\d,]+)", table, re.MULTILINE))
    assert (parameters, rounded_like(multiply_adds, PUBLISHED[name][1])) == PUBLISHED[name]
    assert model.architecture == name and table.startswith(f"{name}, input ")
    assert model.summary(depth=5).splitlines()[-2:] == table.splitlines()[-2:]


@pytest.mark.parametrize("variant", range(5))
def test_efficientnet_lite_has_a_little_less_to_multiply_than_its_authors_say(variant):
    """Their counts include more than the products in convolutions: 3 to 6 % more."""
    model = ARCHITECTURES[f"efficientnet_lite{variant}"]()
    assert 0.94 < model.multiply_adds((1, *model.input_shape)) / 1e6 / LITE_MILLIONS[variant] < 0.97


# ---- other classes, no classifier, other sizes


@ALL
def test_any_number_of_classes(name):
    assert output_shape(ARCHITECTURES[name](num_classes=7)) == (2, 7)


@ALL
def test_without_its_top_it_ends_in_the_last_map_and_is_otherwise_the_same(name):
    whole, features = ARCHITECTURES[name](), ARCHITECTURES[name](include_top=False)
    last = list(features.layers)[-1]
    assert len(output_shape(features)) == 4 and features.architecture == name
    below = [path for path in list(whole.layers)[: list(whole.layers).index(last) + 1] if not path.startswith("aux")]
    assert list(features.layers) == below
    next_layer = next(layer for path, layer in whole.layers.items() if path not in below and not path.startswith("aux"))
    assert type(next_layer).__name__ in ("Flatten", "GlobalAvgPool2d", "AdaptiveAvgPool2d", "Dropout")
    for path, parameter in features.parameters().items():
        assert parameter.value.shape == whole.parameters()[path].value.shape


@ALL
def test_without_its_top_it_takes_pictures_of_other_sizes(name):
    features = ARCHITECTURES[name](include_top=False)
    H, W = features.input_shape[1:]
    N, channels, OH, OW = output_shape(features, (H + 34, W + 67))
    assert (N, channels) == output_shape(features)[:2] and OH > 1 and OW > OH


@pytest.mark.parametrize(
    "name", [name for name, build in ARCHITECTURES.items() if "input_shape" in inspect.signature(build).parameters]
)
def test_where_fully_connected_layers_depend_on_the_size_it_can_be_chosen(name):
    model = ARCHITECTURES[name](input_shape=(3, 161, 131))
    assert model.input_shape == (3, 161, 131) and output_shape(model) == (2, model.number_of_scores())


@pytest.mark.parametrize("name", ["resnet50", "squeezenet1_0", "mobilenet_v1", "efficientnet_lite1", "googlenet"])
def test_where_an_average_stands_before_the_classifier_every_size_goes(name):
    assert output_shape(ARCHITECTURES[name](), (97, 131)) == (2, 1000)
