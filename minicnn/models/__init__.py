"""Networks, one family a file, each reading like its paper's table."""

from collections.abc import Callable

from .alexnet import ALEXNET, ALEXNET_TORCHVISION, alexnet, alexnet_torchvision, caffenet
from .cifar_net import cifar_net
from .efficientnet import (
    EFFICIENTNET_LITE,
    efficientnet_lite0,
    efficientnet_lite1,
    efficientnet_lite2,
    efficientnet_lite3,
    efficientnet_lite4,
)
from .googlenet import GOOGLENET, GOOGLENET_TORCHVISION, googlenet, googlenet_torchvision
from .lenet import LENET, lenet5
from .mobilenet import MOBILENET_V1, MOBILENET_V2, mobilenet_v1, mobilenet_v2
from .model import Model
from .published import Family
from .resnet import (
    CIFAR_RESNET,
    RESNET,
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
from .speed_net import speed_net
from .squeezenet import SQUEEZENET, squeezenet1_0, squeezenet1_1
from .vgg import (
    VGG,
    VGG_BN,
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)
from .vgg_small import vgg_small

__all__ = [
    "ARCHITECTURES",
    "FAMILIES",
    "Model",
    "alexnet",
    "alexnet_torchvision",
    "caffenet",
    "cifar_net",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "efficientnet_lite3",
    "efficientnet_lite4",
    "googlenet",
    "googlenet_torchvision",
    "lenet5",
    "mobilenet_v1",
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
    "speed_net",
    "squeezenet1_0",
    "squeezenet1_1",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "vgg_small",
]

# By name, all functions that build a network: those above in lower case. A model's ``architecture`` is its name here.
ARCHITECTURES: dict[str, Callable[..., Model]] = {name: globals()[name] for name in __all__ if name.islower()}

# By name, what others have published of them: the family that ``minicnn.load`` is first used with, then by year.
FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        EFFICIENTNET_LITE,
        LENET,
        ALEXNET,
        ALEXNET_TORCHVISION,
        VGG,
        VGG_BN,
        GOOGLENET,
        GOOGLENET_TORCHVISION,
        RESNET,
        CIFAR_RESNET,
        SQUEEZENET,
        MOBILENET_V1,
        MOBILENET_V2,
    )
}
