"""The MobileNets are the networks of their papers' tables, and compute what PyTorch computes from the same weights."""

import pytest
from torch_parity import assert_fusing_changes_nothing, assert_same_gradients, assert_same_scores, pictures, shaken

import minicnn
from minicnn.layers import BatchNorm2d, Conv2d, Residual
from minicnn.models import mobilenet_v1, mobilenet_v2
from minicnn.pretrained.strict import arrays_of

# V1's 13 blocks
V1_CHANNELS = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
V1_STRIDES = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
# V2's 17
EXPANSIONS = [1] + [6] * 16
CHANNELS = [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320]
STRIDES = [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1]


def v1_by_torch(num_classes, width=1.0):
    nn = pytest.importorskip("torch").nn

    class PadLikeTensorFlow(nn.Module):
        """So that a window of 3 with this stride starts ceil(size / stride) times; what is odd goes to the bottom and right."""

        def __init__(self, stride):
            super().__init__()
            self.stride = stride

        def forward(self, x):
            total = [max((-(-size // self.stride) - 1) * self.stride + 3 - size, 0) for size in x.shape[2:]]
            return nn.functional.pad(x, (total[1] // 2, -(-total[1] // 2), total[0] // 2, -(-total[0] // 2)))

    def unit(inputs, outputs, kernel, stride=1, groups=1):
        pads = [PadLikeTensorFlow(stride)] if kernel > 1 else []
        if groups > 1 and stride == 2:
            pads = [nn.ZeroPad2d((0, 1, 0, 1))]
        conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        return [*pads, conv, nn.BatchNorm2d(outputs, 1e-3, 0.01), nn.ReLU6()]

    channels = [int(width * c) for c in [32, *V1_CHANNELS]]
    layers = unit(3, channels[0], 3, 2)
    for i, stride in enumerate(V1_STRIDES):
        layers += unit(channels[i], channels[i], 3, stride, channels[i]) + unit(channels[i], channels[i + 1], 1)
    scores = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.001), nn.Linear(channels[-1], num_classes)]
    return nn.Sequential(*layers, *scores)


def v2_by_torch(num_classes):
    nn = pytest.importorskip("torch").nn

    def unit(inputs, outputs, kernel, stride=1, groups=1):
        conv = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU6()]

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride, expansion):
            super().__init__()
            wide = inputs * expansion
            widen = unit(inputs, wide, 1) if expansion > 1 else []
            self.branch = nn.Sequential(*widen, *unit(wide, wide, 3, stride, wide), *unit(wide, outputs, 1)[:2])
            self.adds = stride == 1 and inputs == outputs

        def forward(self, x):
            return x + self.branch(x) if self.adds else self.branch(x)

    table = zip([32, *CHANNELS], CHANNELS, STRIDES, EXPANSIONS, strict=False)
    head = [*unit(320, 1280, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, num_classes)]
    return nn.Sequential(*unit(3, 32, 3, 2), *(Block(*row) for row in table), *head)


BOTH = pytest.mark.parametrize(("build", "by_torch"), [(mobilenet_v1, v1_by_torch), (mobilenet_v2, v2_by_torch)])


def maps_of_blocks(model):
    """(channels, height) of what comes out of each block, at 224 x 224."""
    shape, maps = (1, 3, 224, 224), []
    for name, layer in model.layers.items():
        shape = layer.output_shape(shape)
        if name.startswith("block"):
            maps.append(shape[1:3])
    return maps


# ---- V1


def test_the_maps_of_v1_have_the_sizes_of_the_papers_table():
    sizes = [112] + [56] * 2 + [28] * 2 + [14] * 6 + [7] * 2
    assert maps_of_blocks(mobilenet_v1()) == list(zip(V1_CHANNELS, sizes, strict=True))


@pytest.mark.parametrize(("width", "parameters", "millions"), [(0.75, 2.6, 325), (0.5, 1.3, 149), (0.25, 0.5, 41)])
def test_thinner_networks_have_the_numbers_of_the_papers_table_6(width, parameters, millions):
    model = mobilenet_v1(width=width)
    assert round(sum(parameter.value.size for parameter in model.parameters().values()) / 1e6, 1) == parameters
    assert round(model.multiply_adds((1, 3, 224, 224)) / 1e6) == millions


def test_padding_of_v1_is_kerass_and_so_are_the_constants_of_its_batch_norms():
    layers = [layer for _, layer in mobilenet_v1().walk()]
    convolutions = [layer for layer in layers if isinstance(layer, Conv2d)]
    assert {conv.pad for conv in convolutions if conv.groups > 1 and conv.stride == (2, 2)} == {((0, 1), (0, 1))}
    assert {conv.pad for conv in convolutions if conv.groups == 1 or conv.stride == (1, 1)} == {"same"}
    assert {(layer.eps, layer.momentum) for layer in layers if isinstance(layer, BatchNorm2d)} == {(1e-3, 0.01)}


def test_a_thin_network_gives_the_scores_of_pytorch():
    assert_same_scores(shaken(mobilenet_v1(7, width=0.25, rng=0)), v1_by_torch(7, 0.25), pictures(2, 3, 65, 34))


# ---- V2


def test_the_maps_of_v2_have_the_sizes_of_the_papers_table():
    sizes = [112] + [56] * 2 + [28] * 3 + [14] * 7 + [7] * 4
    assert maps_of_blocks(mobilenet_v2()) == list(zip(CHANNELS, sizes, strict=True))


def test_blocks_have_a_shortcut_where_input_and_output_have_one_shape():
    layers = mobilenet_v2().layers
    assert [i for i in range(17) if isinstance(layers[f"block{i}"], Residual)] == [2, 4, 5, 7, 8, 9, 11, 12, 14, 15]


def test_padding_of_v2_is_symmetric_and_its_batch_norms_have_torchvisions_eps():
    model = mobilenet_v2()
    assert model.layers["stem"].layers["conv"].pad == (1, 1)
    assert {layer.eps for _, layer in model.walk() if isinstance(layer, BatchNorm2d)} == {1e-5}


# ---- both, against PyTorch


@BOTH
@pytest.mark.parametrize("size", [(65, 97), (64, 34)], ids=str)
def test_random_weights_give_the_scores_of_pytorch_at_any_size(build, by_torch, size):
    theirs, model, x = by_torch(7), shaken(build(7, rng=0)), pictures(2, 3, *size)
    assert_same_scores(model, theirs, x)
    assert_fusing_changes_nothing(model, x)


@BOTH
def test_a_training_step_gives_the_gradients_of_pytorch(build, by_torch):
    assert_same_gradients(shaken(build(7, rng=0)), by_torch(7), (4, 3, 65, 50))


def test_a_saved_mobilenet_is_the_same_network(tmp_path):
    model, x = shaken(mobilenet_v1(5, width=0.25, rng=0)), pictures(1, 3, 33, 45)
    model.save(tmp_path / "mobilenet.h5")
    again = minicnn.load(tmp_path / "mobilenet.h5")
    assert list(arrays_of(again)) == list(arrays_of(model))
    assert (again.forward(x) == model.forward(x)).all()
