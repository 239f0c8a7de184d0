"""Networks in plain PyTorch whose arrays have torchvision's names; to be imported only where PyTorch is installed."""

import torch
from torch import nn


def vgg(plan, num_classes, *, batch_norm=False, last_map=49, width=4096):
    """``plan``: channels of convolutions, and "M" for pools. Narrow hidden layers are quick, and are called the same."""
    features, inputs = [], 3
    for item in plan:
        if item == "M":
            features.append(nn.MaxPool2d(2))
            continue
        features += [nn.Conv2d(inputs, item, 3, padding=1), *([nn.BatchNorm2d(item)] if batch_norm else []), nn.ReLU()]
        inputs = item
    top = [nn.Linear(inputs * last_map, width), nn.ReLU(), nn.Dropout(), nn.Linear(width, width), nn.ReLU(), nn.Dropout()]
    return _features_and_classifier(features, [*top, nn.Linear(width, num_classes)])


def alexnet(num_classes, width=4096):
    features = [
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    ]  # fmt: skip
    top = [nn.Dropout(), nn.Linear(256 * 36, width), nn.ReLU(), nn.Dropout(), nn.Linear(width, width), nn.ReLU()]
    return _features_and_classifier(features, [*top, nn.Linear(width, num_classes)], nn.AdaptiveAvgPool2d(6))


def _features_and_classifier(features, classifier, between=None):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.classifier = nn.Sequential(*features), nn.Sequential(*classifier)

        def forward(self, x):
            x = self.features(x)
            return self.classifier((between(x) if between else x).flatten(1))

    return Net()


class Fire(nn.Module):
    def __init__(self, inputs, squeezed, expanded):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x):
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], 1).relu()


def squeezenet1_1(num_classes):
    def pool():
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    features = [
        nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool(), Fire(64, 16, 64), Fire(128, 16, 64), pool(), Fire(128, 32, 128),
        Fire(256, 32, 128), pool(), Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
    ]  # fmt: skip
    top = [nn.Dropout(), nn.Conv2d(512, num_classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    net = _features_and_classifier(features, top)
    net.forward = lambda x: net.classifier(net.features(x))
    return net


def _conv_bn(inputs, outputs, kernel, stride=1, groups=1, relu6=True):
    unit = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*unit, *([nn.ReLU6()] if relu6 else []))


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, expansion, stride):
        super().__init__()
        wide = inputs * expansion
        first = [_conv_bn(inputs, wide, 1)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *first, _conv_bn(wide, wide, 3, stride, wide), nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.shortcut else self.conv(x)


def mobilenet_v2(num_classes):
    features, inputs = [_conv_bn(3, 32, 3, 2)], 32
    for expansion, outputs, blocks, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                               (6, 160, 3, 2), (6, 320, 1, 1)):  # fmt: skip
        for i in range(blocks):
            features.append(InvertedResidual(inputs, outputs, expansion, 1 if i else stride))
            inputs = outputs
    top = [nn.Dropout(0.2), nn.Linear(1280, num_classes)]
    return _features_and_classifier([*features, _conv_bn(320, 1280, 1)], top, nn.AdaptiveAvgPool2d(1))


class Block(nn.Module):
    """Of a ResNet: two 3x3 convolutions; or a bottleneck of 1x1, 3x3 and 1x1, with the stride in the ``strided`` of them."""

    def __init__(self, inputs, outputs, stride, bottleneck, strided=2, bias=False, eps=1e-5):
        super().__init__()
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        widths = [inputs, *[outputs // 4] * 2, outputs] if bottleneck else [inputs, outputs, outputs]
        self.units = len(kernels)
        for k, kernel in enumerate(kernels, 1):
            step = stride if k == (strided if bottleneck else 1) else 1
            setattr(self, f"conv{k}", nn.Conv2d(widths[k - 1], widths[k], kernel, step, kernel // 2, bias=bias))
            setattr(self, f"bn{k}", nn.BatchNorm2d(widths[k], eps))
        self.downsample = None
        if (inputs, stride) != (outputs, 1):
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=bias), nn.BatchNorm2d(outputs, eps))

    def forward(self, x):
        y = x
        for k in range(1, self.units + 1):
            y = getattr(self, f"bn{k}")(getattr(self, f"conv{k}")(y))
            y = y.relu() if k < self.units else y
        return (y + (self.downsample(x) if self.downsample else x)).relu()


def resnet(counts, num_classes, bottleneck=False, ceil=False, **form):
    """``ceil``: the first pool as Caffe has it; ``form``: what else is otherwise in a bottleneck."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            bias, eps = form.get("bias", False), form.get("eps", 1e-5)
            self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=bias), nn.BatchNorm2d(64, eps)
            inputs = 64
            for stage, count in enumerate(counts, 1):
                outputs = 32 * 2**stage * (4 if bottleneck else 1)
                blocks = []
                for i in range(count):
                    blocks.append(Block(inputs, outputs, 2 if stage > 1 and not i else 1, bottleneck, **form))
                    inputs = outputs
                setattr(self, f"layer{stage}", nn.Sequential(*blocks))
            self.fc = nn.Linear(inputs, num_classes)

        def forward(self, x):
            pad, ceil_mode = (0, True) if ceil else (1, False)
            x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, pad, ceil_mode=ceil_mode)
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(x.mean((2, 3)))

    return Net()


class Conv(nn.Module):
    """Of GoogLeNet: with batch norm as in torchvision, or with a bias as in the paper."""

    def __init__(self, inputs, outputs, kernel, stride=1, norm=True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not norm)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001) if norm else nn.Identity()

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


class Inception(nn.Module):
    def __init__(self, inputs, filters, norm=True, largest=3):
        super().__init__()
        one, reduce3, three, reduce5, five, proj = filters
        self.branch1 = Conv(inputs, one, 1, norm=norm)
        self.branch2 = nn.Sequential(Conv(inputs, reduce3, 1, norm=norm), Conv(reduce3, three, 3, norm=norm))
        self.branch3 = nn.Sequential(Conv(inputs, reduce5, 1, norm=norm), Conv(reduce5, five, largest, norm=norm))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), Conv(inputs, proj, 1, norm=norm))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


MODULES = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64), "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}  # fmt: skip


def googlenet(num_classes, norm=True):
    """torchvision's with side heads; or (``norm=False``) the paper's without, whose convolutions have biases."""

    class Side(nn.Module):
        def __init__(self, inputs):
            super().__init__()
            self.conv, self.fc1, self.fc2 = Conv(inputs, 128, 1), nn.Linear(2048, 1024), nn.Linear(1024, num_classes)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = Conv(3, 64, 7, 2, norm), Conv(64, 64, 1, norm=norm)
            self.conv3, inputs = Conv(64, 192, 3, norm=norm), 192
            for name, filters in MODULES.items():
                setattr(self, f"inception{name}", Inception(inputs, filters, norm, 3 if norm else 5))
                inputs = filters[0] + filters[2] + filters[4] + filters[5]
            if norm:
                self.aux1, self.aux2 = Side(512), Side(528)
            self.fc = nn.Linear(1024, num_classes)

        def forward(self, x):
            def pool(x, kernel=3):
                return nn.functional.max_pool2d(x, kernel, 2, ceil_mode=True)

            lrn = nn.Identity() if norm else nn.LocalResponseNorm(5)
            x = pool(lrn(self.conv3(self.conv2(lrn(pool(self.conv1(x)))))))
            for name in MODULES:
                x = pool(x) if name == "4a" else pool(x, 2 if norm else 3) if name == "5a" else x
                x = getattr(self, f"inception{name}")(x)
            return self.fc(x.mean((2, 3)))

    return Net()


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
