"""Networks, one family a file, each reading like its paper's table."""

from .cifar_net import cifar_net
from .efficientnet import efficientnet_lite0
from .lenet import lenet5
from .mobilenet import mobilenet_v2
from .model import Model
from .resnet import (
    resnet18,
    resnet18_cifar,
    resnet20,
    resnet32,
    resnet34,
    resnet44,
    resnet50,
    resnet56,
    resnet101,
    resnet110,
    resnet152,
)
from .squeezenet import squeezenet1_0, squeezenet1_1
from .vgg import vgg11, vgg13, vgg16, vgg19

__all__ = [
    "Model",
    "cifar_net",
    "efficientnet_lite0",
    "lenet5",
    "mobilenet_v2",
    "resnet18",
    "resnet18_cifar",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet44",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet110",
    "resnet152",
    "squeezenet1_0",
    "squeezenet1_1",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
]
