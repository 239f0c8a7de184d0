"""MobileNets and EfficientNet-Lite in plain PyTorch, written from the papers; to be imported only where PyTorch is installed.

Their arrays have torchvision's names, or those of the PyTorch project that published the weights.
"""

from torch import nn
from torch.nn import functional as F
from torch_parity import LITE


def features_and_classifier(features, classifier, between=None):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.classifier = nn.Sequential(*features), nn.Sequential(*classifier)

        def forward(self, x):
            x = self.features(x)
            return self.classifier((between(x) if between else x).flatten(1))

    return Net()


# ---- MobileNetV2, torchvision's


def _conv_bn(inputs, outputs, kernel, stride=1, groups=1):
    unit = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*unit, nn.ReLU6())


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
    return features_and_classifier([*features, _conv_bn(320, 1280, 1)], top, nn.AdaptiveAvgPool2d(1))


# ---- trained in TensorFlow


def same(conv, x):
    """The convolution with TensorFlow's padding: what is odd goes to the bottom and to the right."""
    pads = []
    for size, kernel, stride in zip(x.shape[2:], conv.kernel_size, conv.stride, strict=True):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads = [total // 2, total - total // 2, *pads]
    return conv(F.pad(x, pads))


def mobilenet_v1(num_classes, width=1.0):
    """In Keras's form: where a depthwise convolution has stride 2, there is padding below and to the right only."""

    class Unit(nn.Module):
        def __init__(self, inputs, outputs, kernel, stride=1, groups=1):
            super().__init__()
            self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
            self.bn, self.one_sided = nn.BatchNorm2d(outputs, 1e-3, 0.01), groups > 1 and stride == 2

        def forward(self, x):
            return F.relu6(self.bn(self.conv(F.pad(x, (0, 1, 0, 1))) if self.one_sided else same(self.conv, x)))

    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    channels = [int(width * c) for c in [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]]
    layers = [Unit(3, channels[0], 3, 2)]
    for stride, inputs, outputs in zip(strides, channels, channels[1:], strict=False):
        layers += [Unit(inputs, inputs, 3, stride, inputs), Unit(inputs, outputs, 1)]
    top = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.001), nn.Linear(channels[-1], num_classes)]
    return nn.Sequential(*layers, *top)


def efficientnet_lite(variant, num_classes):
    """In the form of EfficientNet-PyTorch, in which its weights are published."""
    blocks, channels, dropout = LITE[variant]

    def norm(channels):
        return nn.BatchNorm2d(channels, 1e-3, 0.01)

    class MBConv(nn.Module):
        def __init__(self, inputs, outputs, expansion, kernel, stride):
            super().__init__()
            wide = inputs * expansion
            if expansion > 1:
                self._expand_conv, self._bn0 = nn.Conv2d(inputs, wide, 1, bias=False), norm(wide)
            self._depthwise_conv = nn.Conv2d(wide, wide, kernel, stride, groups=wide, bias=False)
            self._bn1 = norm(wide)
            self._project_conv, self._bn2 = nn.Conv2d(wide, outputs, 1, bias=False), norm(outputs)
            self.widens, self.adds = expansion > 1, (inputs, stride) == (outputs, 1)

        def forward(self, x):
            y = F.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
            y = F.relu6(self._bn1(same(self._depthwise_conv, y)))
            y = self._bn2(self._project_conv(y))
            return x + y if self.adds else y

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self._conv_stem, self._bn0 = nn.Conv2d(3, 32, 3, 2, bias=False), norm(32)
            stages, inputs = [], 32
            for count, outputs, expansion, kernel, stride in zip(
                blocks, channels, (1, 6, 6, 6, 6, 6, 6), (3, 3, 5, 3, 5, 5, 3), (1, 2, 2, 2, 1, 2, 1), strict=True
            ):
                for i in range(count):
                    stages.append(MBConv(inputs, outputs, expansion, kernel, 1 if i else stride))
                    inputs = outputs
            self._blocks = nn.ModuleList(stages)
            self._conv_head, self._bn1 = nn.Conv2d(inputs, 1280, 1, bias=False), norm(1280)
            self._dropout, self._fc = nn.Dropout(dropout), nn.Linear(1280, num_classes)

        def forward(self, x):
            x = F.relu6(self._bn0(same(self._conv_stem, x)))
            for block in self._blocks:
                x = block(x)
            return self._fc(self._dropout(F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))))

    return Net()
