"""MobileNetV2 is the network of the paper's table 2, and computes what PyTorch computes from the same weights."""

import pytest
from torch_parity import assert_fusing_changes_nothing, assert_same_gradients, assert_same_scores, pictures, shaken

from minicnn.layers import BatchNorm2d, Residual
from minicnn.models import mobilenet_v2

# of the 17 blocks
EXPANSIONS = [1] + [6] * 16
CHANNELS = [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320]
STRIDES = [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1]


def by_torch(num_classes):
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


# ---- the architecture


def test_it_has_the_papers_numbers_of_parameters_and_multiply_adds():
    """Table 4 of the paper: 3.4M parameters (torchvision: 3,504,872) and 300M multiply-adds."""
    model = mobilenet_v2()
    assert sum(parameter.value.size for parameter in model.parameters().values()) == 3_504_872
    assert round(model.multiply_adds((1, 3, 224, 224)) / 1e6) == 301


def test_the_maps_have_the_sizes_of_the_papers_table():
    model, shape, maps = mobilenet_v2(), (1, 3, 224, 224), []
    for name, layer in model.layers.items():
        shape = layer.output_shape(shape)
        if name.startswith("block"):
            maps.append(shape[1:3])
    sizes = [112] + [56] * 2 + [28] * 3 + [14] * 7 + [7] * 4
    assert maps == list(zip(CHANNELS, sizes, strict=True))


def test_blocks_have_a_shortcut_where_input_and_output_have_one_shape():
    layers = mobilenet_v2().layers
    assert [i for i in range(17) if isinstance(layers[f"block{i}"], Residual)] == [2, 4, 5, 7, 8, 9, 11, 12, 14, 15]


def test_padding_is_symmetric_and_the_batch_norms_have_torchvisions_eps():
    model = mobilenet_v2()
    assert model.layers["stem"].layers["conv"].pad == (1, 1)
    assert {layer.eps for _, layer in model.walk() if isinstance(layer, BatchNorm2d)} == {1e-5}


# ---- against PyTorch


@pytest.mark.parametrize("size", [(65, 97), (64, 34)], ids=str)
def test_random_weights_give_the_scores_of_pytorch_at_any_size(size):
    theirs, model, x = by_torch(7), shaken(mobilenet_v2(7, rng=0)), pictures(2, 3, *size)
    assert_same_scores(model, theirs, x)
    assert_fusing_changes_nothing(model, x)


def test_a_training_step_gives_the_gradients_of_pytorch():
    assert_same_gradients(shaken(mobilenet_v2(7, rng=0)), by_torch(7), (4, 3, 65, 50))
