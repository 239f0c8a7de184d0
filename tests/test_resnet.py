"""ResNets are the networks of the paper, and compute what PyTorch computes from the same weights."""

import zipfile

import numpy as np
import pytest
from torch_parity import (
    assert_fusing_changes_nothing,
    assert_same_gradient_in_float32,
    assert_same_gradients,
    assert_same_scores,
    pictures,
    shaken,
)

import minicnn
from minicnn.models import (
    resnet18,
    resnet18_cifar,
    resnet20,
    resnet34,
    resnet50,
    resnet101,
    resnet110,
    resnet152,
)
from minicnn.models.resnet import basic_block, zero_padding
from minicnn.pretrained.convert import convert
from minicnn.pretrained.strict import arrays_of


def by_torch(counts, stem, *, channels, bottlenecks=False, zeros=False, num_classes=7):
    """In torchvision's form: conv1, layer1 to layer4 (layer3 for CIFAR), fc; ``zeros``: shortcuts of option A."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    def conv_norm(inputs, outputs, kernel, stride=1):
        return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)]

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            narrow = outputs // 4
            if bottlenecks:
                first = [*conv_norm(inputs, narrow, 1), nn.ReLU(), *conv_norm(narrow, narrow, 3, stride), nn.ReLU()]
                self.branch = nn.Sequential(*first, *conv_norm(narrow, outputs, 1))
            else:
                self.branch = nn.Sequential(*conv_norm(inputs, outputs, 3, stride), nn.ReLU(), *conv_norm(outputs, outputs, 3))
            self.downsample = None
            if (inputs, stride) != (outputs, 1) and not zeros:
                self.downsample = nn.Sequential(*conv_norm(inputs, outputs, 1, stride))
            self.missing = outputs - inputs

        def forward(self, x):
            y = self.branch(x)
            if self.downsample:
                x = self.downsample(x)
            elif self.missing:
                x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.missing // 2, self.missing // 2))
            return torch.relu(y + x)

    kernel, width, stride, pool = stem
    layers, inputs = [*conv_norm(3, width, kernel, stride), nn.ReLU(), *([nn.MaxPool2d(3, 2, 1)] if pool else [])], width
    for stage, (count, outputs) in enumerate(zip(counts, channels, strict=True)):
        for i in range(count):
            layers.append(Block(inputs, outputs, 2 if stage and not i else 1))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, num_classes))


FAMILY = {
    "resnet18": (resnet18, {"counts": [2, 2, 2, 2], "stem": (7, 64, 2, True), "channels": [64, 128, 256, 512]}),
    "resnet50": (
        resnet50,
        {"counts": [3, 4, 6, 3], "stem": (7, 64, 2, True), "channels": [256, 512, 1024, 2048], "bottlenecks": True},
    ),
    "resnet18_cifar": (resnet18_cifar, {"counts": [2, 2, 2, 2], "stem": (3, 64, 1, False), "channels": [64, 128, 256, 512]}),
    "resnet20": (resnet20, {"counts": [3, 3, 3], "stem": (3, 16, 1, False), "channels": [16, 32, 64], "zeros": True}),
}


# ---- the architectures


def test_the_depth_counts_the_layers_with_weights_and_not_the_projections(monkeypatch):
    monkeypatch.setattr("minicnn.initializers._normal", lambda shape, rng, dtype, std: np.zeros(shape, dtype))
    builds = {resnet18: 18, resnet34: 34, resnet50: 50, resnet101: 101, resnet152: 152, resnet20: 20, resnet110: 110}
    for build, depth in builds.items():
        weights = [name for name in build().parameters() if name.endswith(".w") and ".shortcut." not in name]
        assert len(weights) == depth


def test_the_maps_have_the_sizes_of_table_1():
    model, shape, maps = resnet50(), (1, 3, 224, 224), {}
    for name, layer in model.layers.items():
        shape = layer.output_shape(shape)
        maps[name] = shape[1:]
    assert [maps[name] for name in ("conv1", "pool1", "conv2_3", "conv3_4", "conv4_6", "conv5_3", "pool", "fc")] == [
        (64, 112, 112),
        (64, 56, 56),
        (256, 56, 56),
        (512, 28, 28),
        (1024, 14, 14),
        (2048, 7, 7),
        (2048,),
        (1000,),
    ]


def test_a_bottleneck_has_its_stride_in_the_3x3_convolution():
    body = resnet50().layers["conv3_1"].layers["sum"].body.layers
    assert [body[name].layers["conv"].stride for name in ("conv1", "conv2", "conv3")] == [(1, 1), (2, 2), (1, 1)]


def test_the_relu_comes_after_the_sum():
    """A branch of zeros lets the shortcut through, but no negative number."""
    block = basic_block(4, 4, 1)
    for parameter in block.parameters().values():
        parameter.value[...] = 0
    x = pictures(1, 4, 5, 6)
    assert np.array_equal(block.eval().forward(x), np.maximum(x, 0))


def test_option_a_takes_every_second_pixel_and_puts_zeros_on_both_sides():
    x = pictures(2, 4, 5, 6)
    y = zero_padding(4, 10, 2).forward(x)
    assert y.shape == (2, 10, 3, 3)
    assert np.array_equal(y[:, 3:7], x[:, :, ::2, ::2]) and not y[:, :3].any() and not y[:, 7:].any()


# ---- against PyTorch


@pytest.mark.parametrize("name", FAMILY)
def test_random_weights_give_the_scores_of_pytorch_at_odd_sizes(name):
    build, form = FAMILY[name]
    theirs = by_torch(**form)
    model = shaken(build(7, rng=0))
    x = pictures(2, 3, *((65, 97) if model.input_shape == (3, 224, 224) else (33, 45)))
    assert_same_scores(model, theirs, x)
    assert_fusing_changes_nothing(model, x)


@pytest.mark.parametrize(
    ("name", "assert_same"),
    [
        ("resnet20", assert_same_gradients),
        ("resnet20", assert_same_gradient_in_float32),
        ("resnet50", assert_same_gradients),
    ],
)
def test_a_training_step_gives_the_gradients_of_pytorch(name, assert_same):
    build, form = FAMILY[name]
    theirs = by_torch(**form)
    assert_same(shaken(build(7, rng=0)), theirs, (3, 3, 33, 41))


# ---- real weights, and back from a file


def test_weights_of_a_trained_resnet20_name_pictures_of_cifar10(shared_data):
    """91.73 % on the lossless pictures; these are JPEG files, which cost about ten points."""
    model, _ = convert(shared_data / "cifar10-resnet20-12fca82f.th", "resnet20")
    with zipfile.ZipFile(shared_data / "cifar10-jpeg.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("test/"))[::20]
        x = model.preprocess([archive.read(name) for name in names])
    labels = np.unique([name.split("/")[1] for name in names], return_inverse=True)[1]
    assert len(names) == 500
    assert (model.forward(x).argmax(1) == labels).mean() > 0.78


def test_a_saved_resnet20_is_the_same_network(tmp_path):
    model = shaken(resnet20(rng=0))
    model.save(tmp_path / "resnet20.h5")
    again = minicnn.load(tmp_path / "resnet20.h5")
    assert list(arrays_of(again)) == list(arrays_of(model))
    assert np.array_equal(again.forward(pictures(1, 3, 33, 45)), model.forward(pictures(1, 3, 33, 45)))
