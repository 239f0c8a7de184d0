"""The networks of the page about the zoo: what is known of them from elsewhere, and what is counted here."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import NamedTuple

from minicnn.models import ARCHITECTURES, Model
from minicnn.pretrained.convert import NoRandomness
from minicnn.pretrained.entries import ENTRIES
from minicnn.pretrained.registry import packaged_weights


class Winner(NamedTuple):
    """Who had the lowest error in a year's ImageNet challenge, and how."""

    year: int
    team: str
    name: str  # of the network, or of the team
    error: float  # top-5, of the test pictures, in percent, trained on the challenge's own pictures
    learned: bool  # whether a convolutional network made the features
    method: str
    source: str


OVERVIEW = "Russakovsky et al. 2015, arXiv 1409.0575, section 5.1"
WINNERS = (
    Winner(2010, "NEC-UIUC", "NEC-UIUC", 28.2, False, "coded descriptors of patches, linear SVM", OVERVIEW),
    Winner(2011, "XRCE", "XRCE", 25.8, False, "Fisher vectors of descriptors, linear SVM", OVERVIEW),
    Winner(2012, "SuperVision", "AlexNet", 16.4, True, "five networks (seven, with more pictures: 15.3 %)", OVERVIEW),
    Winner(2013, "Clarifai", "Clarifai", 11.7, True, "several networks", OVERVIEW),
    Winner(2014, "GoogLeNet", "GoogLeNet", 6.7, True, "seven networks, 144 crops", OVERVIEW),
    Winner(2015, "MSRA", "ResNet", 3.57, True, "six networks of up to 152 layers", "He et al. 2016, arXiv 1512.03385, table 5"),
    Winner(2016, "Trimps-Soushen", "Trimps-Soushen", 2.99, True, "Inceptions and ResNets together",
           "image-net.org/challenges/LSVRC/2016/results"),
    Winner(2017, "WMW", "SENet", 2.25, True, "networks that weigh their channels", "Hu, Shen, Sun 2018, arXiv 1709.01507"),
)  # fmt: skip
SECOND = Winner(2014, "VGG", "VGG", 7.3, True, "seven networks", "Simonyan, Zisserman 2015, arXiv 1409.1556, section 4.5")
HUMAN = 5.1  # of one person who had practised, on 1,500 pictures: Russakovsky et al. 2015, section 6.4.1


class Network(NamedTuple):
    """A network of `minicnn.models.ARCHITECTURES`; ``place`` is that of its authors in the ImageNet challenge."""

    name: str
    title: str
    family: str
    year: int  # of the paper
    place: str = ""


NETWORKS = (
    Network("lenet5", "LeNet-5", "LeNet", 1998),
    Network("alexnet", "AlexNet", "AlexNet", 2012, "first in 2012, 16.4 %"),
    Network("caffenet", "CaffeNet", "AlexNet", 2014),
    Network("alexnet_torchvision", "AlexNet, torchvision's", "AlexNet", 2014),
    Network("vgg11", "VGG-11", "VGG", 2014),
    Network("vgg13", "VGG-13", "VGG", 2014),
    Network("vgg16", "VGG-16", "VGG", 2014, "second in 2014, 7.3 %"),
    Network("vgg19", "VGG-19", "VGG", 2014, "second in 2014, 7.3 %"),
    Network("vgg11_bn", "VGG-11, batch norm", "VGG, batch norm", 2014),
    Network("vgg13_bn", "VGG-13, batch norm", "VGG, batch norm", 2014),
    Network("vgg16_bn", "VGG-16, batch norm", "VGG, batch norm", 2014),
    Network("vgg19_bn", "VGG-19, batch norm", "VGG, batch norm", 2014),
    Network("googlenet", "GoogLeNet", "GoogLeNet", 2014, "first in 2014, 6.7 %"),
    Network("googlenet_torchvision", "GoogLeNet, torchvision's", "GoogLeNet", 2014),
    Network("resnet18", "ResNet-18", "ResNet", 2015),
    Network("resnet34", "ResNet-34", "ResNet", 2015),
    Network("resnet50", "ResNet-50", "ResNet", 2015),
    Network("resnet101", "ResNet-101", "ResNet", 2015),
    Network("resnet152", "ResNet-152", "ResNet", 2015, "first in 2015, 3.6 %"),
    Network("resnet20", "ResNet-20", "ResNet, CIFAR", 2015),
    Network("resnet32", "ResNet-32", "ResNet, CIFAR", 2015),
    Network("resnet44", "ResNet-44", "ResNet, CIFAR", 2015),
    Network("resnet56", "ResNet-56", "ResNet, CIFAR", 2015),
    Network("resnet110", "ResNet-110", "ResNet, CIFAR", 2015),
    Network("squeezenet1_0", "SqueezeNet 1.0", "SqueezeNet", 2016),
    Network("squeezenet1_1", "SqueezeNet 1.1", "SqueezeNet", 2016),
    Network("mobilenet_v1", "MobileNetV1", "MobileNet", 2017),
    Network("mobilenet_v2", "MobileNetV2", "MobileNet", 2018),
    *(Network(f"efficientnet_lite{i}", f"EfficientNet-Lite{i}", "EfficientNet-Lite", 2020) for i in range(5)),
)


# ---- size


def build(name: str, rng=0) -> Model:
    """The network as it is used: without auxiliary heads, which run in training only."""
    constructor = ARCHITECTURES[name]
    aux = {"aux": False} if "aux" in inspect.signature(constructor).parameters else {}
    return constructor(rng=rng, **aux)


@dataclass(frozen=True)
class Size:
    """Of a network of ours: the picture (C, H, W), parameters, and multiply-adds for one picture."""

    picture: tuple[int, int, int]
    parameters: int
    multiply_adds: int


@functools.cache
def size_of(name: str) -> Size:
    """Counted, not looked up."""
    model = build(name, NoRandomness())
    parameters = sum(parameter.value.size for parameter in model.parameters().values())
    return Size(model.input_shape, parameters, model.multiply_adds((1, *model.input_shape)))


# ---- accuracy


@dataclass(frozen=True)
class Accuracy:
    """In percent; ``weights`` is the name by which ``minicnn.load`` knows the weights that have it, if it knows them."""

    top1: float
    top5: float | None
    data: str
    weights: str | None


ELSEWHERE = {  # no weights that we can name; github.com/tensorflow/tpu, models/official/efficientnet/lite/README.md
    "efficientnet_lite3": Accuracy(79.8, None, "ImageNet", None),
    "efficientnet_lite4": Accuracy(81.5, None, "ImageNet", None),
}
OURS = {"lenet5": ("lenet5_mnist", "MNIST")}  # trained by this project


def accuracy_of(name: str) -> Accuracy:
    """Of the first weights in the registry whose accuracy was published; those of torchvision come before Keras's."""
    if name in ELSEWHERE:
        return ELSEWHERE[name]
    if name in OURS:
        weights, data = OURS[name]
        return Accuracy(100 * packaged_weights()[weights]["test_accuracy"], None, data, weights)
    entry = next(entry for entry in ENTRIES.values() if entry.architecture == name and entry.top1 is not None)
    return Accuracy(entry.top1, entry.top5, entry.trained_on.split(" ")[0], entry.name)
