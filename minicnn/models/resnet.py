"""ResNet: very deep networks that train, because each block only adds to what is there.

He, Zhang, Ren, Sun 2016, "Deep Residual Learning for Image Recognition" (arXiv 1512.03385): table 1 for ImageNet, section 4.2
for CIFAR-10. All of them are stages of equal blocks; a stage's first block may halve the picture and widen the maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..data.preprocessing import Preprocessing
from ..layers import (
    AvgPool2d,
    GlobalAvgPool2d,
    Layer,
    Linear,
    MaxPool2d,
    PadChannels,
    ReLU,
    Residual,
    Sequential,
)
from .blocks import Rng, conv_norm
from .model import Model
from .published import IMAGENET, KERAS_KERNELS, VGG_MEAN, Entry, Family, bgr, keras_weights, torchvision_weights

# Table 1: blocks in each of the stages conv2_x to conv5_x, and the channels that come out of them.
#   at:    56  28  14  7
BLOCKS = {
    18:  (2, 2, 2, 2),
    34:  (3, 4, 6, 3),
    50:  (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}  # fmt: skip
BASIC_CHANNELS = (64, 128, 256, 512)  # 18 and 34 layers
BOTTLENECK_CHANNELS = (256, 512, 1024, 2048)  # 50 and more

# Section 4.2: three stages of n blocks each make 6n + 2 layers of weights.
#     at:         32  16  8
CIFAR_CHANNELS = (16, 32, 64)


# ---- ImageNet


def resnet18(num_classes: int = 1000, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """ResNet-18 with random weights: 11,689,512 parameters with 1,000 classes.

    conv1, pool1, conv2_1, conv2_2, conv3_1, ..., conv5_2, pool, fc. Where a block's input and output differ in shape, the
    shortcut is a 1x1 convolution with batch norm (the paper's option B). Any input (N, C, H, W) goes; the paper's is
    (N, 3, 224, 224). With ``include_top=False`` the last layer is conv5_2, whose map is 7 x 7 x 512.

    >>> model = resnet18()
    >>> sum(parameter.value.size for parameter in model.parameters().values())
    11689512
    """
    return _imagenet_resnet(18, basic_block, num_classes, include_top, rng, in_channels)


def resnet34(num_classes: int = 1000, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """ResNet-34 with random weights: 21,797,672 parameters with 1,000 classes. Otherwise like ``resnet18``."""
    return _imagenet_resnet(34, basic_block, num_classes, include_top, rng, in_channels)


def resnet50(num_classes: int = 1000, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """ResNet-50 with random weights: 25,557,032 parameters with 1,000 classes.

    Layers and inputs as in ``resnet18``, but its blocks are bottlenecks, and these in the form of torchvision, called v1.5:
    the stride is in the 3x3 convolution, see ``bottleneck``.
    """
    return _imagenet_resnet(50, bottleneck, num_classes, include_top, rng, in_channels)


def resnet101(num_classes: int = 1000, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """ResNet-101 with random weights: 44,549,160 parameters with 1,000 classes. Otherwise like ``resnet50``."""
    return _imagenet_resnet(101, bottleneck, num_classes, include_top, rng, in_channels)


def resnet152(num_classes: int = 1000, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """ResNet-152 with random weights: 60,192,808 parameters with 1,000 classes. Otherwise like ``resnet50``."""
    return _imagenet_resnet(152, bottleneck, num_classes, include_top, rng, in_channels)


def _imagenet_resnet(
    depth: int, block: Callable[..., Sequential], num_classes: int, include_top: bool, rng: Rng, in_channels: int
) -> Model:
    rng = np.random.default_rng(rng)
    stem = {
        "conv1": conv_norm(in_channels, 64, 7, stride=2, rng=rng),  # 112 x 112 x 64
        "pool1": MaxPool2d(3, stride=2, pad=1),  # 56 x 56 x 64
    }
    channels = BOTTLENECK_CHANNELS if block is bottleneck else BASIC_CHANNELS
    layers = stem | stages(64, BLOCKS[depth], channels, block, rng=rng)
    if include_top:
        layers |= classifier_head(channels[-1], num_classes, rng)
    return Model(layers, architecture=f"resnet{depth}", input_shape=(in_channels, 224, 224))


# ---- CIFAR


def resnet18_cifar(num_classes: int = 10, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """ResNet-18 for pictures of 32 x 32, with random weights: 11,173,962 parameters with 10 classes.

    Not in the paper, but popular: ImageNet's ResNet-18 with a 3x3 convolution of stride 1 as conv1, and without pool1, so that
    its stages see 32 x 32, 16 x 16, 8 x 8 and 4 x 4. It has forty times the weights of ``resnet20``.
    """
    rng = np.random.default_rng(rng)
    stem = {"conv1": conv_norm(in_channels, 64, 3, rng=rng)}  # 32 x 32 x 64
    layers = stem | stages(64, BLOCKS[18], BASIC_CHANNELS, basic_block, rng=rng)
    if include_top:
        layers |= classifier_head(512, num_classes, rng)
    return Model(layers, architecture="resnet18_cifar", input_shape=(in_channels, 32, 32))


def resnet20(num_classes: int = 10, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """The paper's ResNet-20 for CIFAR-10, with random weights: 269,722 parameters with 10 classes.

    conv1, conv2_1, ..., conv2_3, conv3_1, ..., conv4_3, pool, fc. Shortcuts have no parameters: where the shape changes they
    take every second pixel and add channels of zeros (option A, which the paper uses for all of its CIFAR networks). Any input
    (N, C, H, W) goes; the paper's is (N, 3, 32, 32). With ``include_top=False`` the last layer is conv4_3.

    >>> model = resnet20()
    >>> sum(parameter.value.size for parameter in model.parameters().values())
    269722
    """
    return _cifar_resnet(20, num_classes, include_top, rng, in_channels)


def resnet32(num_classes: int = 10, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """The paper's ResNet-32 for CIFAR-10: 464,154 parameters with 10 classes. Otherwise like ``resnet20``."""
    return _cifar_resnet(32, num_classes, include_top, rng, in_channels)


def resnet44(num_classes: int = 10, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """The paper's ResNet-44 for CIFAR-10: 658,586 parameters with 10 classes. Otherwise like ``resnet20``."""
    return _cifar_resnet(44, num_classes, include_top, rng, in_channels)


def resnet56(num_classes: int = 10, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """The paper's ResNet-56 for CIFAR-10: 853,018 parameters with 10 classes. Otherwise like ``resnet20``."""
    return _cifar_resnet(56, num_classes, include_top, rng, in_channels)


def resnet110(num_classes: int = 10, include_top: bool = True, rng: Rng = None, *, in_channels: int = 3) -> Model:
    """The paper's ResNet-110 for CIFAR-10: 1,727,962 parameters with 10 classes. Otherwise like ``resnet20``."""
    return _cifar_resnet(110, num_classes, include_top, rng, in_channels)


def _cifar_resnet(depth: int, num_classes: int, include_top: bool, rng: Rng, in_channels: int) -> Model:
    rng = np.random.default_rng(rng)
    n = (depth - 2) // 6
    stem = {"conv1": conv_norm(in_channels, 16, 3, rng=rng)}  # 32 x 32 x 16
    layers = stem | stages(16, (n, n, n), CIFAR_CHANNELS, basic_block, zero_padding, rng)
    if include_top:
        layers |= classifier_head(64, num_classes, rng)
    return Model(layers, architecture=f"resnet{depth}", input_shape=(in_channels, 32, 32))


# ---- what they are made of


def projection(in_channels: int, out_channels: int, stride: int, rng: Rng = None) -> Sequential:
    """The shortcut of option B: a 1x1 convolution with the branch's stride, and batch norm. Section 3.3 of the paper."""
    return conv_norm(in_channels, out_channels, 1, stride, activation=None, rng=rng)


def zero_padding(in_channels: int, out_channels: int, stride: int, rng: Rng = None) -> Sequential:
    """The shortcut of option A: every second pixel (with stride 2), and zeros for the channels that are missing.

    Half of the zeros come before and half after the others, as in the widely used CIFAR weights of Y. Idelbayev; the paper
    does not say where they are. Nothing here is random: ``rng`` is taken because ``projection`` takes it.
    """
    missing = out_channels - in_channels
    every_second = AvgPool2d(1, stride)  # a window of one pixel, whose average it is
    return Sequential(subsample=every_second, pad=PadChannels(missing // 2, missing - missing // 2))


def basic_block(
    in_channels: int, out_channels: int, stride: int, shortcut: Callable[..., Layer] = projection, rng: Rng = None
) -> Sequential:
    """Two 3x3 convolutions beside a shortcut: (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).

    y = relu(F(x) + S(x)), with S the identity if the shape stays, else a ``shortcut``. Figure 5 of the paper, left.

    >>> basic_block(64, 128, 2).output_shape((1, 64, 56, 56))
    (1, 128, 28, 28)
    """
    body = Sequential(
        conv1=conv_norm(in_channels, out_channels, 3, stride, rng=rng),
        conv2=conv_norm(out_channels, out_channels, 3, activation=None, rng=rng),
    )
    if (in_channels, stride) == (out_channels, 1):
        return Sequential(sum=Residual(body), relu=ReLU())
    return Sequential(sum=Residual(body, shortcut(in_channels, out_channels, stride, rng)), relu=ReLU())


def bottleneck(
    in_channels: int, out_channels: int, stride: int, shortcut: Callable[..., Layer] = projection, rng: Rng = None
) -> Sequential:
    """1x1, 3x3 and 1x1 beside a shortcut: the costly convolution works on a quarter of the channels.

    Shapes and equation as in ``basic_block``. Figure 5 of the paper, right.

    The stride is in the 3x3 convolution, which sees every pixel: the form of torchvision, known as ResNet v1.5. In the paper it
    is in the first 1x1, which passes over three pixels of four. Weights have the same shapes in both forms, but those trained
    in one do not work in the other.

    >>> bottleneck(256, 512, 2).output_shape((1, 256, 56, 56))
    (1, 512, 28, 28)
    """
    narrow = out_channels // 4
    body = Sequential(
        conv1=conv_norm(in_channels, narrow, 1, rng=rng),
        conv2=conv_norm(narrow, narrow, 3, stride, rng=rng),
        conv3=conv_norm(narrow, out_channels, 1, activation=None, rng=rng),
    )
    if (in_channels, stride) == (out_channels, 1):
        return Sequential(sum=Residual(body), relu=ReLU())
    return Sequential(sum=Residual(body, shortcut(in_channels, out_channels, stride, rng)), relu=ReLU())


def stages(
    in_channels: int,
    counts: Sequence[int],
    channels: Sequence[int],
    block: Callable[..., Sequential],
    shortcut: Callable[..., Layer] = projection,
    rng: Rng = None,
) -> dict[str, Layer]:
    """The blocks conv2_1, conv2_2, ..., conv3_1, ...: stage by stage how many, and the channels that come out of them.

    The first block of a stage has stride 2, except in conv2: what is below has brought the picture to its size already.
    """
    layers: dict[str, Layer] = {}
    for stage, (count, out_channels) in enumerate(zip(counts, channels, strict=True), start=2):
        for i in range(1, count + 1):
            stride = 2 if i == 1 and stage > 2 else 1
            layers[f"conv{stage}_{i}"] = block(in_channels, out_channels, stride, shortcut, rng)
            in_channels = out_channels
    return layers


def classifier_head(channels: int, num_classes: int, rng: Rng = None) -> dict[str, Layer]:
    """From the last map to the scores: the average of each channel, and a fully connected layer."""
    return {"pool": GlobalAvgPool2d(), "fc": Linear(channels, num_classes, rng=rng)}


# ---- published weights

PAPER = "He, Zhang, Ren, Sun 2016, Deep Residual Learning for Image Recognition, arXiv 1512.03385"
AUTHORS = "MIT (K. He)"  # Keras's are the authors' own weights

RESNET = Family(
    name="resnet",
    architectures=("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    preprocessing={"torchvision": IMAGENET, **dict.fromkeys(("keras", "keras_old", "caffe"), bgr(224, VGG_MEAN))},
    weights=(
        torchvision_weights("resnet18", "f37072fd", size=46830571, top1=69.758, top5=89.078, paper=PAPER),
        torchvision_weights("resnet34", "b627a593", mib=83.275, top1=73.314, top5=91.420, paper=PAPER),
        torchvision_weights("resnet50", "0676ba61", size=102530333, top1=76.130, top5=92.862, paper=PAPER),
        torchvision_weights("resnet101", "63fe2227", mib=170.511, top1=77.374, top5=93.546, paper=PAPER),
        torchvision_weights("resnet152", "394f9c45", mib=230.434, top1=78.312, top5=94.046, paper=PAPER),
        keras_weights(
            "resnet50_keras",
            "resnet50",
            f"resnet/resnet50_{KERAS_KERNELS}.h5",
            size=102967424,
            md5="2cb95161c43110f7111970584f804107",
            top1=74.9,
            top5=92.1,
            licence=AUTHORS,
            paper=PAPER,
        ),
        keras_weights(
            "resnet101_keras",
            "resnet101",
            f"resnet/resnet101_{KERAS_KERNELS}.h5",
            md5="f1aeb4b969a6efcfb50fad2f0c20cfc5",
            top1=76.4,
            top5=92.8,
            licence=AUTHORS,
            paper=PAPER,
        ),
        keras_weights(
            "resnet152_keras",
            "resnet152",
            f"resnet/resnet152_{KERAS_KERNELS}.h5",
            md5="100835be76be38e30d865e96f2aaae62",
            top1=76.6,
            top5=93.1,
            licence=AUTHORS,
            paper=PAPER,
        ),
    ),
)

CIFAR_PAGE = "https://github.com/akamaster/pytorch_resnet_cifar10"
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _cifar_weights(name: str, sha256: str, *, top1: float, size: int | None = None) -> Entry:
    """A file of Y. Idelbayev, whose name carries the first eight digits of its SHA-256."""
    return Entry(
        name=name,
        architecture=name,
        source="torchvision",
        file=f"cifar10-{name}-{sha256[:8]}.th",
        url=f"{CIFAR_PAGE}/raw/master/pretrained_models/{name}-{sha256[:8]}.th",
        size=size,
        hash=f"sha256:{sha256}",
        licence="BSD-2-Clause (Y. Idelbayev)",
        paper=PAPER,
        page=CIFAR_PAGE,
        origin="Y. Idelbayev",
        top1=top1,
        trained_on="CIFAR-10",
        classes=CIFAR10,
    )


CIFAR_RESNET = Family(
    name="cifar_resnet",
    architectures=("resnet18_cifar", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"),
    preprocessing={
        "torchvision": {
            "resnet18_cifar": Preprocessing(size=(32, 32), mean=(125.307, 122.951, 113.865), std=(51.587, 50.847, 51.255)),
            **dict.fromkeys(
                ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110"),
                Preprocessing(size=(32, 32), mean=IMAGENET.mean, std=IMAGENET.std),
            ),
        }
    },
    weights=(
        _cifar_weights(
            "resnet20", "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8", top1=91.73, size=1099231
        ),
        _cifar_weights("resnet32", "d509ac18", top1=92.63),
        _cifar_weights("resnet44", "014dd654", top1=93.10),
        _cifar_weights("resnet56", "4bfd9763", top1=93.39),
        _cifar_weights("resnet110", "1d1ed7c2", top1=93.68),
    ),
)
