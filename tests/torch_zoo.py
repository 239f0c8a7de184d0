"""Networks in plain PyTorch, written from the papers; to be imported only where PyTorch is installed. See `torch_mobile`, too.

Their arrays have torchvision's names, or those of the PyTorch project that published the weights.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch_mobile import efficientnet_lite, features_and_classifier, mobilenet_v2
from torch_parity import LITE

# ---- VGG and AlexNet

VGG = {  # channels of convolutions, and "M" for pools
    11: [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    13: [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    16: [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
    19: [64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4, "M"],
}


def vgg(depth, num_classes, *, batch_norm=False, last_map=49, width=4096, ceil=False):
    """``last_map``: pixels after the last pool; ``width``: of hidden layers, to be quick; ``ceil``: pools as Caffe has them."""
    features, inputs = [], 3
    for item in VGG[depth]:
        if item == "M":
            features.append(nn.MaxPool2d(2, ceil_mode=ceil))
            continue
        features += [nn.Conv2d(inputs, item, 3, padding=1), *([nn.BatchNorm2d(item)] if batch_norm else []), nn.ReLU()]
        inputs = item
    top = [nn.Linear(inputs * last_map, width), nn.ReLU(), nn.Dropout(), nn.Linear(width, width), nn.ReLU(), nn.Dropout()]
    return features_and_classifier(features, [*top, nn.Linear(width, num_classes)])


def alexnet(num_classes, width=4096):
    features = [
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    ]  # fmt: skip
    top = [nn.Dropout(), nn.Linear(256 * 36, width), nn.ReLU(), nn.Dropout(), nn.Linear(width, width), nn.ReLU()]
    return features_and_classifier(features, [*top, nn.Linear(width, num_classes)], nn.AdaptiveAvgPool2d(6))


def papers_alexnet(num_classes, last_map=36, width=4096, *, caffenet=False):
    """In Caffe's form, with two columns; in ``caffenet`` each normalisation comes after its pool."""
    pool, norm = nn.MaxPool2d(3, 2, ceil_mode=True), nn.LocalResponseNorm(5)
    between = [pool, norm] if caffenet else [norm, pool]
    features = [
        nn.Conv2d(3, 96, 11, 4), nn.ReLU(), *between, nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), *between,
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), pool,
    ]  # fmt: skip
    top = [nn.Linear(256 * last_map, width), nn.ReLU(), nn.Dropout(), nn.Linear(width, width), nn.ReLU(), nn.Dropout()]
    return features_and_classifier(features, [*top, nn.Linear(width, num_classes)])


# ---- SqueezeNet


class Fire(nn.Module):
    def __init__(self, inputs, squeezed, expanded):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x):
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], 1).relu()


SQUEEZENET = {  # channels and kernel of the first convolution; "M" for pools; of a fire module input, squeezed, expanded
    "1_0": ((96, 7), "M", (96, 16, 64), (128, 16, 64), (128, 32, 128), "M", (256, 32, 128), (256, 48, 192), (384, 48, 192),
            (384, 64, 256), "M", (512, 64, 256)),
    "1_1": ((64, 3), "M", (64, 16, 64), (128, 16, 64), "M", (128, 32, 128), (256, 32, 128), "M", (256, 48, 192),
            (384, 48, 192), (384, 64, 256), (512, 64, 256)),
}  # fmt: skip


def squeezenet(version, num_classes):
    (channels, kernel), *rest = SQUEEZENET[version]
    features = [nn.Conv2d(3, channels, kernel, 2), nn.ReLU()]
    features += [nn.MaxPool2d(3, 2, ceil_mode=True) if item == "M" else Fire(*item) for item in rest]
    top = [nn.Dropout(), nn.Conv2d(512, num_classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    net = features_and_classifier(features, top)
    net.forward = lambda x: net.classifier(net.features(x))
    return net


# ---- ResNet


class Block(nn.Module):
    """Two 3x3 convolutions; or a bottleneck of 1x1, 3x3 and 1x1, with the stride in the ``strided`` of them.

    ``zeros``: where the shape changes, the shortcut takes every second pixel and puts zeros for the channels that are missing.
    """

    def __init__(self, inputs, outputs, stride, bottleneck, *, strided=2, bias=False, eps=1e-5, zeros=False):
        super().__init__()
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        widths = [inputs, *[outputs // 4] * 2, outputs] if bottleneck else [inputs, outputs, outputs]
        self.units = len(kernels)
        for k, kernel in enumerate(kernels, 1):
            step = stride if k == (strided if bottleneck else 1) else 1
            setattr(self, f"conv{k}", nn.Conv2d(widths[k - 1], widths[k], kernel, step, kernel // 2, bias=bias))
            setattr(self, f"bn{k}", nn.BatchNorm2d(widths[k], eps))
        self.downsample, self.missing = None, 0
        if (inputs, stride) != (outputs, 1):
            if zeros:
                self.missing = outputs - inputs
            else:
                self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=bias), nn.BatchNorm2d(outputs, eps))

    def forward(self, x):
        y = x
        for k in range(1, self.units + 1):
            y = getattr(self, f"bn{k}")(getattr(self, f"conv{k}")(y))
            y = y.relu() if k < self.units else y
        if self.missing:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.missing // 2, self.missing // 2))
        return (y + (self.downsample(x) if self.downsample else x)).relu()


def resnet(counts, num_classes, bottleneck=False, *, small=False, width=64, fc="fc", ceil=False, **form):
    """``small``: for pictures of 32 x 32; ``ceil``: the first pool as Caffe has it; ``form``: what else is otherwise."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            kernel, stride = (3, 1) if small else (7, 2)
            self.conv1 = nn.Conv2d(3, width, kernel, stride, kernel // 2, bias=form.get("bias", False))
            self.bn1 = nn.BatchNorm2d(width, form.get("eps", 1e-5))
            inputs = width
            for stage, count in enumerate(counts, 1):
                outputs = width // 2 * 2**stage * (4 if bottleneck else 1)
                blocks = []
                for i in range(count):
                    blocks.append(Block(inputs, outputs, 2 if stage > 1 and not i else 1, bottleneck, **form))
                    inputs = outputs
                setattr(self, f"layer{stage}", nn.Sequential(*blocks))
            setattr(self, fc, nn.Linear(inputs, num_classes))

        def forward(self, x):
            x = self.bn1(self.conv1(x)).relu()
            if not small:
                x = F.max_pool2d(x, 3, 2, 0 if ceil else 1, ceil_mode=ceil)
            for stage in range(1, len(counts) + 1):
                x = getattr(self, f"layer{stage}")(x)
            return getattr(self, fc)(x.mean((2, 3)))

    return Net()


RESNET = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def imagenet_resnet(depth, num_classes, **form):
    return resnet(RESNET[depth], num_classes, bottleneck=depth >= 50, **form)


def cifar_resnet(depth, num_classes):
    """The paper's, in the form of Y. Idelbayev."""
    n = (depth - 2) // 6
    return resnet((n, n, n), num_classes, small=True, width=16, fc="linear", zeros=True)


# ---- GoogLeNet


class Conv(nn.Module):
    """With batch norm as in torchvision, or with a bias as in the paper."""

    def __init__(self, inputs, outputs, kernel, stride=1, norm=True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not norm)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001) if norm else nn.Identity()

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


class Inception(nn.Module):
    def __init__(self, inputs, filters, norm=True):
        super().__init__()
        one, reduce3, three, reduce5, five, proj = filters
        self.branch1 = Conv(inputs, one, 1, norm=norm)
        self.branch2 = nn.Sequential(Conv(inputs, reduce3, 1, norm=norm), Conv(reduce3, three, 3, norm=norm))
        self.branch3 = nn.Sequential(Conv(inputs, reduce5, 1, norm=norm), Conv(reduce5, five, 3 if norm else 5, norm=norm))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), Conv(inputs, proj, 1, norm=norm))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


MODULES = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64), "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}  # fmt: skip


def googlenet(num_classes, norm=True, aux=True):
    """torchvision's; or (``norm=False``) the paper's. In training, ``side`` has the scores of the auxiliary heads."""

    class Side(nn.Module):
        def __init__(self, inputs):
            super().__init__()
            self.conv, self.fc1, self.fc2 = Conv(inputs, 128, 1, norm=norm), nn.Linear(2048, 1024), nn.Linear(1024, num_classes)
            self.dropout = nn.Dropout(0.7)

        def forward(self, x):
            x = F.adaptive_avg_pool2d(x, 4) if norm else F.avg_pool2d(x, 5, 3)
            return self.fc2(self.dropout(self.fc1(self.conv(x).flatten(1)).relu()))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = Conv(3, 64, 7, 2, norm), Conv(64, 64, 1, norm=norm)
            self.conv3, inputs = Conv(64, 192, 3, norm=norm), 192
            for name, filters in MODULES.items():
                setattr(self, f"inception{name}", Inception(inputs, filters, norm))
                inputs = filters[0] + filters[2] + filters[4] + filters[5]
                if aux and name in ("4a", "4d"):
                    setattr(self, "aux1" if name == "4a" else "aux2", Side(inputs))
            self.dropout, self.fc = nn.Dropout(0.2 if norm else 0.4), nn.Linear(1024, num_classes)

        def forward(self, x):
            def pool(x, kernel=3):
                return F.max_pool2d(x, kernel, 2, ceil_mode=True)

            lrn = nn.Identity() if norm else nn.LocalResponseNorm(5)
            x, self.side = pool(lrn(self.conv3(self.conv2(lrn(pool(self.conv1(x))))))), []
            for name in MODULES:
                x = pool(x) if name == "4a" else pool(x, 2 if norm else 3) if name == "5a" else x
                x = getattr(self, f"inception{name}")(x)
                if aux and self.training and name in ("4a", "4d"):
                    self.side.append(getattr(self, "aux1" if name == "4a" else "aux2")(x))
            return self.fc(self.dropout(x.mean((2, 3))))

    return Net()


# ---- all of them by our names

# of (number of classes, pixels of the last map, width of the hidden layers), where a network has such
BY_NAME = {
    "alexnet_torchvision": lambda classes, pixels, width: alexnet(classes, width),
    **{f"vgg{n}": lambda classes, pixels, width, n=n: vgg(n, classes, last_map=pixels, width=width) for n in VGG},
    **{
        f"vgg{n}_bn": lambda classes, pixels, width, n=n: vgg(n, classes, batch_norm=True, last_map=pixels, width=width)
        for n in VGG
    },
    "googlenet_torchvision": lambda classes, *_: googlenet(classes),
    **{f"resnet{n}": lambda classes, *_, n=n: imagenet_resnet(n, classes) for n in RESNET},
    "resnet18_cifar": lambda classes, *_: resnet(RESNET[18], classes, small=True, fc="linear"),
    **{f"resnet{n}": lambda classes, *_, n=n: cifar_resnet(n, classes) for n in (20, 32, 44, 56, 110)},
    **{f"squeezenet{v}": lambda classes, *_, v=v: squeezenet(v, classes) for v in SQUEEZENET},
    "mobilenet_v2": lambda classes, *_: mobilenet_v2(classes),
    **{f"efficientnet_lite{n}": lambda classes, *_, n=n: efficientnet_lite(n, classes) for n in LITE},
}


# ---- what is done with them


def shaken(net, seed=0):
    """Weights that keep signals and gradients alive, norms and biases not at their neutral start; in inference mode."""
    generator = torch.Generator().manual_seed(seed)
    for name, array in net.state_dict().items():
        if array.ndim > 1:
            array.normal_(0, (2 / array[0].numel()) ** 0.5, generator=generator)
        elif name.endswith(("running_mean", "bias")):
            array.normal_(0, 0.2, generator=generator)
        elif array.ndim == 1:
            array.uniform_(0.5, 1.5, generator=generator)
    return net.eval()


def scores(net, x):
    with torch.no_grad():
        return net(torch.from_numpy(x)).numpy()
